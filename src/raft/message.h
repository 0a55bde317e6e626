/* What members' engines say to each other. One table in message.c describes every kind for both directions;
 * the bytes are in doc/formats/peer.md. */
#ifndef QR_RAFT_MESSAGE_H
#define QR_RAFT_MESSAGE_H

#include "base/base.h"

typedef enum qr_raft_message_kind {
    QR_RAFT_PREVOTE_ASK = 1, /* term: the one it would stand in */
    QR_RAFT_PREVOTE_ANSWER,  /* term: asked_term when granted, the answerer's own when not */
    QR_RAFT_VOTE_ASK,
    QR_RAFT_VOTE_ANSWER,
    QR_RAFT_APPEND,
    QR_RAFT_APPEND_ANSWER,
    QR_RAFT_TIMEOUT_NOW,
    QR_RAFT_READ_ASK,
    QR_RAFT_READ_ANSWER,
    QR_RAFT_MESSAGE_KINDS,
} qr_raft_message_kind;

enum {                       /* qr_raft_message.flags */
       QR_RAFT_HANDOVER = 1, /* VOTE_ASK: the leader itself wants this election (D 3.10) */
       QR_RAFT_GRANTED = 1,  /* *_ANSWER */
       QR_RAFT_WANTED = 1,   /* APPEND: answer at once, even if nothing is new */
       QR_RAFT_REJECTED = 1, /* APPEND_ANSWER */
};

typedef struct qr_raft_message {
    qr_raft_message_kind kind;
    uint64_t term;
    uint64_t flags;
    uint64_t last_index,
        last_term; /* votes: the asker's last entry. REJECTED: the hint, the answerer's last candidate */
    uint64_t asked_term; /* PREVOTE_ANSWER */
    uint64_t prev_index,
        prev_term;     /* APPEND: the entry before the first; REJECTED: the one that did not match */
    uint64_t commit;   /* APPEND */
    uint64_t round;    /* APPEND, APPEND_ANSWER: the newest read round known */
    uint64_t accepted; /* APPEND_ANSWER: the log agrees with the leader's up to here */
    uint64_t match;    /* APPEND_ANSWER: and is durable up to here; <= accepted */
    uint64_t id;       /* READ_* */
    uint64_t index;    /* READ_ANSWER */
    uint64_t count;    /* APPEND: entries that follow */
    qr_slice entries;  /* APPEND: in the encoding of log.h; borrowed */
} qr_raft_message;

/* All but the entries' bytes, which the caller writes behind. */
void qr_raft_message_encode(const qr_raft_message *message, qr_buffer *out);
/* BAD_VERSION, INVALID. The entries are walked and checked: terms rise from prev_term to term, kinds are
 * known. */
qr_status qr_raft_message_decode(qr_slice bytes, qr_raft_message *message);

#endif

/* What members' engines say to each other. One table in message.c describes every kind for both directions;
 * the bytes are in doc/formats/paxos.md. */
#ifndef QR_PAXOS_MESSAGE_H
#define QR_PAXOS_MESSAGE_H

#include "base/base.h"

typedef enum qr_paxos_message_kind {
    QR_PAXOS_CANVASS = 1,    /* would you promise this ballot? ballot: the one it would begin */
    QR_PAXOS_CANVASS_ANSWER, /* ballot: asked when granted, the answerer's own when not */
    QR_PAXOS_PREPARE,        /* phase 1a (PMS 2.2), for all slots behind chosen; tell from first on (0: from
                                behind what either of us knows to be chosen) */
    QR_PAXOS_PROMISE,        /* phase 1b, with what was accepted from first on; or not GRANTED */
    QR_PAXOS_ACCEPT,         /* phase 2a, for slots first .. first + count - 1; also the heartbeat */
    QR_PAXOS_ACCEPTED,       /* phase 2b, for all slots up to match */
    QR_PAXOS_TAKE_OVER,      /* the leader wants the receiver to begin a ballot */
    QR_PAXOS_READ_ASK,
    QR_PAXOS_READ_ANSWER,
    QR_PAXOS_CHOSEN, /* these slots are chosen: no business of any ballot */
    QR_PAXOS_MESSAGE_KINDS,
} qr_paxos_message_kind;

enum {                        /* qr_paxos_message.flags */
       QR_PAXOS_HANDOVER = 1, /* PREPARE: the leader itself wants this ballot */
       QR_PAXOS_GRANTED = 1,  /* CANVASS_ANSWER, PROMISE */
       QR_PAXOS_WANTED = 1,   /* ACCEPT: answer at once, even if nothing is new */
       QR_PAXOS_REJECTED = 1, /* ACCEPTED: first is behind a gap. READ_ANSWER */
};

typedef struct qr_paxos_message {
    qr_paxos_message_kind kind;
    uint64_t ballot;
    uint64_t flags;
    uint64_t asked;   /* CANVASS_ANSWER, PROMISE: the ballot that was asked for */
    uint64_t first;   /* slot; ACCEPTED: of the ACCEPT that was rejected */
    uint64_t last;    /* PROMISE, ACCEPTED: the sender's last slot with a value */
    uint64_t chosen;  /* slots up to here are chosen: the sender knows it */
    uint64_t round;   /* ACCEPT, ACCEPTED: the newest read round known */
    uint64_t taken;   /* ACCEPTED: accepted in this ballot, or chosen, up to here */
    uint64_t match;   /* ACCEPTED: and durable up to here; <= taken */
    uint64_t id;      /* READ_* */
    uint64_t index;   /* READ_ANSWER */
    uint64_t count;   /* PROMISE, ACCEPT, CHOSEN: entries that follow */
    qr_slice entries; /* in the encoding of log.h; borrowed */
} qr_paxos_message;

/* All but the entries' bytes, which the caller writes behind. */
void qr_paxos_message_encode(const qr_paxos_message *message, qr_buffer *out);
/* BAD_VERSION, INVALID. The entries are walked and checked. */
qr_status qr_paxos_message_decode(qr_slice bytes, qr_paxos_message *message);

#endif

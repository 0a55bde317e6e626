/* The other members, as a leader, and whoever wants to become one, sees them: who is there, how far each one
 * has got, and how much may be under way to it. Plain state; what it means to send, and what an answer
 * proves, is an engine's business (doc/design/engines.md).
 *
 *            it agrees with the probe                 it rejects, or the connection broke
 *   PROBE ----------------------> PIPELINE ------------------------------------------> PROBE
 *     |                                                                                  ^
 *     +--- needs entries that are gone ---> CHECKPOINT --- it has it and agrees ---------+ (PIPELINE)
 *
 * On a network that does not keep the order a run of messages is rejected one by one, and each rejection, old
 * ones included, would begin another run: so who has rejected gets one at a time first, and more as it gets
 * on. */
#ifndef QR_CORE_PEERS_H
#define QR_CORE_PEERS_H

#include "core/engine.h"

enum {
    QR_PEERS_MAX = 2 * QR_MEMBERS_MAX, /* members, and members that were removed a moment ago */
    QR_FLYING_MAX = 128,               /* messages with entries under way to one peer */
    QR_FLYING_BYTES_MAX = 16 * 1024 * 1024,
    QR_TURN_BYTES_MAX = 1024 * 1024, /* of entries to one peer in one turn */
};

typedef enum qr_vote { QR_VOTE_SILENT, QR_VOTE_YES, QR_VOTE_NO } qr_vote;
typedef enum qr_link { QR_LINK_UNKNOWN, QR_LINK_UP, QR_LINK_DOWN } qr_link;

typedef enum qr_progress {
    QR_PROBE,      /* where the logs agree is not known: one message at a time */
    QR_PIPELINE,   /* known: messages are pipelined */
    QR_CHECKPOINT, /* the peer needs entries that the log has no more */
} qr_progress;

typedef struct qr_flying {
    uint64_t last; /* index of the last entry in the message */
    size_t bytes;
} qr_flying;

typedef struct qr_peer {
    uint64_t id;
    qr_link link;
    uint64_t down_ms; /* when it broke */
    qr_vote vote;     /* in the running (pre-)election */
    /* Phase 1 of Paxos only. */
    bool promised;         /* this ballot: nothing is behind what the leader knows that it has not told */
    bool refused;          /* this ballot */
    uint64_t prepare_from; /* what it has accepted below this slot was told; 0 = nothing yet */
    /* Leader only from here on. A term is Paxos's ballot. */
    uint64_t incarnation; /* the disk that all of this is about; 0 = none has spoken and none is recorded */
    uint64_t newer;       /* another disk that spoke up under this name; 0 = none */
    uint64_t leaving_ms;  /* not a member any more: until then it is sent to; 0 = a member */
    bool answered;        /* in this term */
    uint64_t heard_ms;    /* last message of this term */
    uint64_t match;       /* the peer has these on disk, and they are the leader's */
    uint64_t next;        /* the first entry the next message brings */
    uint64_t round;       /* newest read round it answered */
    uint64_t round_sent, commit_sent;
    uint64_t offered_ms; /* when a checkpoint was last offered */
    uint64_t question,
        question_running; /* its question for readers: waits for the next round, is in the running one */
    bool answered_any;    /* something, since the running round began: planted bug only */
    qr_progress progress;
    bool probing;                    /* a probe is under way */
    qr_flying flying[QR_FLYING_MAX]; /* ring */
    uint32_t flying_first, flying_count;
    uint32_t window; /* so many may fly: 1 after a rejection, twice as many with each progress */
    size_t flying_bytes;
} qr_peer;

typedef struct qr_peers {
    uint32_t count;
    qr_peer list[QR_PEERS_MAX]; /* every member but this one, by id; then who is leaving */
} qr_peers;

static inline const qr_peer *qr_peers_of(const qr_peers *peers, uint64_t id) /* NULL: none, or this member */
{
    for (uint32_t i = 0; i < peers->count; i++)
        if (peers->list[i].id == id)
            return &peers->list[i];
    return NULL;
}
static inline qr_peer *qr_peers_find(qr_peers *peers, uint64_t id)
{
    return (qr_peer *)qr_peers_of(peers, id);
}

/* ------------------------------------------------------------ one peer ---- */

/* Of whose log nothing is known. What is known of the connection stays. next: behind the leader's last. */
void qr_peer_restart(qr_peer *peer, uint64_t incarnation, uint64_t next, uint64_t now_ms);
/* It has answered in this term, within an election timeout. */
bool qr_peer_alive(const qr_peer *peer, const qr_engine_config *config, uint64_t now_ms);
/* The connection broke, or came up: a leader finds out where the peer stands. */
void qr_peer_reconnect(qr_peer *peer, bool up);

static inline bool qr_peer_has_room(const qr_peer *peer) /* in its pipeline */
{
    return peer->flying_count < peer->window && peer->flying_bytes < QR_FLYING_BYTES_MAX;
}
/* A message of its pipeline has left, with the entries next..last. */
void qr_peer_flies(qr_peer *peer, uint64_t last, size_t bytes);
/* It has taken up to `accepted`, and has up to `match` on its disk. */
void qr_peer_agrees(qr_peer *peer, uint64_t accepted, uint64_t match);
/* It has not what the last messages went on from. Entries from `next` on are the next ones. */
void qr_peer_rejects(qr_peer *peer, uint64_t next);
/* It needs entries that are not behind base. */
void qr_peer_needs_checkpoint(qr_peer *peer, uint64_t base);
/* A checkpoint may be offered now: once in each election timeout. Notes that it is. */
bool qr_peer_offer(qr_peer *peer, const qr_engine_config *config, uint64_t now_ms);

/* ------------------------------------------------------------ all of them ---- */

/* Another configuration is in force. leads: who is not in it any more stays a while, to be told. next: as
 * above, for those who are new, or on another disk. */
void qr_peers_follow(qr_peers *peers, const qr_members *members, const qr_engine_config *config, bool leads,
                     uint64_t next, uint64_t now_ms);
/* Who was removed is told: the leader goes on sending to it for a while, so that it can commit the entry that
 * removes it, and its node knows. Nobody waits for it. */
void qr_peers_say_farewell(qr_peers *peers, const qr_peer *gone, const qr_engine_config *config,
                           uint64_t now_ms);
void qr_peers_forget_departed(qr_peers *peers, uint64_t until_ms); /* who was to be told until then */
/* The log's disk has entries below memory_first, up to `to`, no more: who needs them gets a checkpoint. */
void qr_peers_miss(qr_peers *peers, uint64_t to, uint64_t memory_first);

/* When a quorum was last heard. */
uint64_t qr_peers_heard_ms(const qr_peers *peers, const qr_members *members, const qr_engine_config *config,
                           uint64_t now_ms);
bool qr_peers_reach_quorum(const qr_peers *peers, const qr_members *members, const qr_engine_config *config);
/* The voter that is there and has most, for a handover; 0 = none. */
uint64_t qr_peers_best(const qr_peers *peers, const qr_members *members, const qr_engine_config *config,
                       uint64_t now_ms);

/* Which disk speaks? FOREIGN: one that was replaced. NOT_FOUND: a stranger to this member, because it is one,
 * or because the configuration that tells of it has not come here yet. A leader notes a newer disk. */
qr_status qr_peers_judge(qr_peers *peers, const qr_members *members, bool leads, uint64_t from,
                         uint64_t incarnation);

#endif

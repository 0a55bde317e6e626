/* Linearizable reads by rounds (Ongaro's dissertation, section 6.4): who waits for what. What a question is
 * in bytes, whom it goes to, and when a quorum has answered is an engine's business.
 *
 * A round notes the commit index, and a quorum must answer *this* round or a later one: then nobody else can
 * have been leader when the round began, and the index is good for all who came before it. One round is under
 * way at a time; who comes meanwhile shares the next one. Rounds are counted within a term, and answers of
 * other terms are not heard, so a context is never used twice (facts rows 10, 11).
 *
 * Everyone else asks the leader, one question at a time for all readers that wait. A question without an
 * answer is asked again under a new number. When leader or term change, every reader is refused: none hangs.
 */
#ifndef QR_CORE_READS_H
#define QR_CORE_READS_H

#include "core/peers.h"

enum { QR_READS_MAX = 65536 }; /* tags waiting at one member */

typedef struct qr_readers { /* tags of this member's node that wait together */
    uint64_t *tags;         /* owned */
    size_t count, room;
} qr_readers;

typedef struct qr_reads {
    uint64_t round; /* leader: the newest one begun; others: the newest one seen */
    qr_readers waiting;
    /* Leader */
    qr_readers confirming; /* readers of the running round; `waiting` are those of the next one */
    bool round_running;
    uint64_t round_index;
    /* Member that asks the leader */
    qr_readers asking;                  /* readers of the question under way; `waiting` serves the next one */
    uint64_t ask_first, ask_id, ask_ms; /* first and newest number of that question; when it was asked */
    bool ask_running;
} qr_reads;

/* Questions of an earlier life may still be answered: numbers go up from the time of the start. */
void qr_reads_init(qr_reads *reads, uint64_t now_ms);
void qr_reads_free(qr_reads *reads);

qr_status qr_reads_add(qr_reads *reads, uint64_t tag); /* BUSY */
/* All of them: leader or term changed. Peers see that as well, or ask again. */
void qr_reads_refuse(qr_reads *reads, qr_peers *peers, uint64_t leader, qr_effects *effects);

/* Leader. Somebody waits, here or at a peer, and no round is running. */
bool qr_reads_want_round(const qr_reads *reads, const qr_peers *peers);
/* Begins it, with an index that is committed, and one in the own term. */
void qr_reads_begin(qr_reads *reads, qr_peers *peers, uint64_t index);
/* A quorum has answered it: serves the own readers. Whose peer.question_running is left gets the index. */
void qr_reads_end(qr_reads *reads, qr_effects *effects);
/* The question of a peer that was in the round that is over; 0 = none. */
static inline uint64_t qr_reads_take_question(qr_peer *peer)
{
    uint64_t id = peer->question_running;
    peer->question_running = 0;
    return id;
}

/* Others. A question to the leader is due, under reads->ask_id: the first one, or again after pause_ms. */
bool qr_reads_ask(qr_reads *reads, uint64_t now_ms, uint64_t pause_ms);
/* The leader's answer; refused: with which leader it knows. */
void qr_reads_answered(qr_reads *reads, uint64_t id, bool refused, uint64_t index, uint64_t leader,
                       qr_effects *effects);

#endif

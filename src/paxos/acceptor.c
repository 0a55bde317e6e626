/* The acceptor and the learner: phase 2b (PMS 2.2), and what is chosen (PMS 2.3).
 *
 * A leader's accepts are one stream of slots from the acceptor's first open one on, and are taken in order:
 * what comes behind a gap is rejected with the place where the gap begins. So `taken` says it all: up to
 * there everything is chosen, or accepted in this ballot. The leader's chosen index travels with its accepts,
 * and up to `taken` it means the very values that are here. */
#include "paxos/inside.h"

/* A value in a slot, as accepted or as learned: it is to be saved. */
void qr_paxos_put(qr_paxos_engine *paxos, uint64_t index, const qr_paxos_view *view)
{
    QR_ASSERT(index > paxos->chosen && view->ballot <= paxos->ballot);
    qr_paxos_log_put(&paxos->log, index, view);
    qr_paxos_unsave(paxos, index);
}

void qr_paxos_choose(qr_paxos_engine *paxos, uint64_t index)
{
    if (index <= paxos->chosen)
        return;
    QR_ASSERT(index <= paxos->log.last);
    while (paxos->chosen < index) {
        qr_paxos_view view;
        bool is_here = qr_paxos_log_read(&paxos->log, ++paxos->chosen, &view);
        QR_ASSERT(is_here); /* open slots always are */
        uint64_t bytes = view.bytes.size + QR_PAXOS_ENTRY_HEADER_MAX;
        paxos->unchosen_bytes = paxos->unchosen_bytes > bytes ? paxos->unchosen_bytes - bytes : 0;
        if (view.kind == QR_ENTRY_MEMBERS) /* PMS 3: in force behind its slot, once it is chosen */
            qr_paxos_config_add(paxos, paxos->chosen, view.bytes);
    }
    paxos->taken = paxos->taken > index ? paxos->taken : index;
    if (paxos->stepped)
        qr_paxos_trace(paxos, QR_TRACE_COMMIT, index, paxos->ballot, 0, 0);
}

/* In another ballot nothing is accepted yet; but after a restart some of this one may be. */
void qr_paxos_taken_reset(qr_paxos_engine *paxos)
{
    qr_paxos_view view;
    paxos->taken = paxos->chosen;
    while (qr_paxos_log_read(&paxos->log, paxos->taken + 1, &view) && view.ballot == paxos->ballot)
        paxos->taken++;
}

/* Whoever sends accepts in this ballot is its leader: it has the promises of a quorum, even if this member
 * promised the ballot to somebody else. False: a second one, which cannot be. */
static bool hear_leader(qr_paxos_engine *paxos, uint64_t from)
{
    if (paxos->role == QR_LEADER || (paxos->leader && paxos->leader != from)) {
        qr_paxos_trace(paxos, QR_TRACE_DROP, from, QR_E_DENIED, 0, 0);
        return false;
    }
    const qr_peer *peer = qr_peers_of(&paxos->peers, from); /* NULL: a configuration that is not here yet */
    if (peer && peer->link == QR_LINK_DOWN)
        return paxos->leader == from; /* last words: good for the slots, no sign of life */
    if (paxos->leader == 0 || paxos->role == QR_PRECANDIDATE || paxos->role == QR_CANDIDATE)
        qr_paxos_follow(paxos, paxos->ballot, from);
    paxos->attempts = 0;
    paxos->gone_leader = 0;
    paxos->postponed = false;
    paxos->heard_ms = paxos->now_ms;
    paxos->heard_any = true;
    qr_paxos_timer_reset(paxos);
    return true;
}

/* False: what the leader says is chosen here contradicts what was. */
static bool take(qr_paxos_engine *paxos, const qr_paxos_message *message)
{
    qr_reader reader = qr_reader_of(message->entries);
    uint64_t first_new = 0, index = message->first;
    for (uint64_t i = 0; i < message->count; i++, index++) {
        qr_paxos_view view, own;
        qr_status status = qr_paxos_entry_decode(&reader, &view);
        QR_ASSERT(status == QR_OK); /* the message was checked as a whole */
        bool has_own = qr_paxos_log_read(&paxos->log, index, &own);
        if (index <= paxos->chosen) {
            if (!has_own || own.born == view.born)
                continue;
            qr_paxos_halt(paxos, "the leader proposes another value than the one that was chosen here");
            return false;
        }
        if (view.born > message->ballot)
            return true; /* no leader of this ballot can know it */
        view.ballot = message->ballot;
        if (!has_own || own.ballot != view.ballot || own.born != view.born) {
            first_new = first_new ? first_new : index;
            qr_paxos_put(paxos, index, &view);
        }
        paxos->taken = paxos->taken > index ? paxos->taken : index;
    }
    if (first_new)
        qr_paxos_trace(paxos, QR_TRACE_APPEND, first_new, index - 1, message->ballot, 0);
    return true;
}

void qr_paxos_on_accept(qr_paxos_engine *paxos, uint64_t from, const qr_paxos_message *message)
{
    if (!hear_leader(paxos, from))
        return;
    if (message->round > paxos->reads.round || (message->flags & QR_PAXOS_WANTED))
        paxos->answer_due = true;
    paxos->reads.round = message->round > paxos->reads.round ? message->round : paxos->reads.round;
    if (message->first > paxos->taken + 1) {
        paxos->reject_due = true;
        paxos->reject_first = message->first;
        qr_paxos_trace(paxos, QR_TRACE_REJECT, from, message->first, message->ballot, paxos->taken);
        return;
    }
    uint64_t end = message->first + message->count - 1;
    if (!take(paxos, message))
        return;
    uint64_t known = QR_BUG(paxos->config.bug, PAXOS_CHOSEN_UNTAKEN) ? paxos->log.last : paxos->taken;
    qr_paxos_choose(paxos, message->chosen < known ? message->chosen : known);
    if (message->count &&
        (end <= paxos->durable_index || paxos->now_ms - paxos->answered_ms >= paxos->config.heartbeat_ms))
        paxos->answer_due = true;
}

/* One answer a turn. What is accepted is acknowledged once it is durable, not before; questions of the leader
 * whether it still leads are answered at once. */
void qr_paxos_follower_tick(qr_paxos_engine *paxos)
{
    if (paxos->leader == 0 || (paxos->role != QR_FOLLOWER && paxos->role != QR_LEARNER))
        return;
    uint64_t taken = QR_BUG(paxos->config.bug, PAXOS_OTHER_BALLOT) ? paxos->log.last : paxos->taken;
    uint64_t match = taken < paxos->durable_index ? taken : paxos->durable_index;
    if (paxos->answer_due || paxos->reject_due || match > paxos->answered_match) {
        qr_paxos_say(paxos, paxos->leader, true,
                     &(qr_paxos_message){.kind = QR_PAXOS_ACCEPTED,
                                         .ballot = paxos->ballot,
                                         .flags = paxos->reject_due ? QR_PAXOS_REJECTED : 0,
                                         .first = paxos->reject_due ? paxos->reject_first : 0,
                                         .last = paxos->log.last,
                                         .chosen = paxos->chosen,
                                         .round = paxos->reads.round,
                                         .taken = taken,
                                         .match = match});
        paxos->answered_match = match;
        paxos->answered_ms = paxos->now_ms;
    }
    paxos->answer_due = paxos->reject_due = false;
}

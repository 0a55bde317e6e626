/* Ballots, promises and roles.
 *
 *            timeout, or the leader's link broke      quorum would promise         quorum has promised
 *   follower ----------------------------> canvasser ------------> candidate (phase 1) ------------> leader
 *      ^                                        |                        |                              |
 *      +--- later ballot, or a leader is heard -+------------------------+------- no quorum heard ------+
 *
 * Progress needs one proposer that the others leave alone (PMS 2.4; FLP forbids more). So nobody begins a
 * ballot without a canvass: a quorum must be without a leader as well. Who canvasses is QR_PRECANDIDATE, and
 * has changed nothing that lasts. (PML 5.2 protects its master by leases instead.)
 *
 * A ballot is a number alone, and an acceptor promises it to one member only. To refuse is always safe (PMS
 * 2.2), and two members with one ballot can't both have a quorum: so a ballot has one leader, and is the
 * term. */
#include "paxos/inside.h"

static bool leader_gone(const qr_paxos_engine *paxos)
{
    const qr_peer *peer = paxos->gone_leader ? qr_peers_of(&paxos->peers, paxos->gone_leader) : NULL;
    return peer && peer->link == QR_LINK_DOWN;
}

/* Drawn anew each time: PMMC 4.1 has proposers wait for different times, so that one of them gets through. */
static uint64_t draw_timeout(qr_paxos_engine *paxos)
{
    return paxos->config.election_ms + qr_prng_below(&paxos->prng, paxos->config.election_ms);
}

void qr_paxos_timer_reset(qr_paxos_engine *paxos)
{
    paxos->deadline_ms = paxos->now_ms + draw_timeout(paxos);
}

/* The next try after one that nobody has won yet. While the old leader is known to be gone nothing speaks for
 * a full timeout; the pause doubles from the third try on, so that slow disks get their promises through. */
void qr_paxos_timer_retry(qr_paxos_engine *paxos)
{
    uint64_t heartbeat = paxos->config.heartbeat_ms;
    if (!leader_gone(paxos)) {
        qr_paxos_timer_reset(paxos);
        return;
    }
    uint32_t doublings = paxos->attempts > 2 ? paxos->attempts - 2 : 0;
    uint64_t pause = qr_prng_between(&paxos->prng, (heartbeat + 1) / 2, 3 * heartbeat)
                     << (doublings < 6 ? doublings : 6);
    uint64_t longest = draw_timeout(paxos);
    paxos->deadline_ms = paxos->now_ms + (pause < longest ? pause : longest);
}

void qr_paxos_note_role(qr_paxos_engine *paxos)
{
    if (paxos->traced.valid && paxos->traced.role == qr_paxos_role(paxos) &&
        paxos->traced.ballot == paxos->ballot && paxos->traced.leader == paxos->leader)
        return;
    paxos->traced.valid = true;
    paxos->traced.role = qr_paxos_role(paxos);
    paxos->traced.ballot = paxos->ballot;
    paxos->traced.leader = paxos->leader;
    qr_paxos_trace(paxos, QR_TRACE_ROLE, paxos->ballot, qr_paxos_role(paxos), paxos->leader, 0);
}

bool qr_paxos_leader_alive(const qr_paxos_engine *paxos)
{
    if (paxos->role == QR_LEADER) /* it steps down by itself when it hears no quorum */
        return true;
    if (paxos->leader == 0 || paxos->now_ms - paxos->heard_ms >= paxos->config.election_ms)
        return false;
    const qr_peer *peer = qr_peers_of(&paxos->peers, paxos->leader);
    return peer == NULL || peer->link != QR_LINK_DOWN;
}

static bool is_self(const void *context, uint64_t id)
{
    return ((const qr_paxos_engine *)context)->config.self == id;
}

bool qr_paxos_alone(const qr_paxos_engine *paxos)
{
    return qr_paxos_is_voter(paxos) && qr_quorum_has(qr_paxos_members(paxos), is_self, paxos);
}

qr_engine_role qr_paxos_settled_role(const qr_paxos_engine *paxos)
{
    return qr_paxos_is_voter(paxos) ? QR_FOLLOWER : QR_LEARNER;
}

void qr_paxos_ballot_set(qr_paxos_engine *paxos, uint64_t ballot, uint64_t promised_to)
{
    QR_ASSERT(ballot >= paxos->ballot && ballot <= QR_PAXOS_NUMBER_MAX);
    /* One promise a ballot, to one member. */
    QR_ASSERT(ballot > paxos->ballot || paxos->promised_to == 0 || paxos->promised_to == promised_to);
    bool is_later = ballot > paxos->ballot;
    paxos->ballot = ballot;
    paxos->promised_to = promised_to;
    paxos->hard_unsaved = true;
    if (!is_later)
        return;
    paxos->reads.round = 0;
    paxos->answer_due = paxos->reject_due = false;
    paxos->answered_match = 0;
    qr_paxos_taken_reset(paxos);
}

/* Becomes a follower in that ballot, which is not below the own one; leader 0 = not known yet. */
void qr_paxos_follow(qr_paxos_engine *paxos, uint64_t ballot, uint64_t leader)
{
    bool changed = leader != paxos->leader || ballot != paxos->ballot || paxos->role == QR_LEADER;
    if (ballot > paxos->ballot)
        qr_paxos_ballot_set(paxos, ballot, leader);
    else if (leader && paxos->promised_to == 0)
        qr_paxos_ballot_set(paxos, ballot, leader);
    qr_engine_role was = paxos->role;
    if (was == QR_LEADER)
        paxos->reads.round = 0;
    paxos->role = qr_paxos_settled_role(paxos);
    paxos->leader = leader;
    paxos->handover_to = 0;
    paxos->unchosen_bytes = 0;
    paxos->proposing = false;
    qr_paxos_shelf_clear(&paxos->shelf, 0);
    if (leader) {
        paxos->attempts = 0;
        paxos->gone_leader = 0;
        paxos->postponed = false;
        qr_paxos_timer_reset(paxos);
    } else if (was == QR_LEADER) {
        qr_paxos_timer_reset(paxos);
    }
    qr_paxos_note_role(paxos);
    if (changed)
        qr_paxos_reads_refuse(paxos);
    if (was == QR_LEADER)
        qr_peers_forget_departed(&paxos->peers, UINT64_MAX);
}

/* ------------------------------------------------------------ canvass ---- */

static bool would_promise(const void *context, uint64_t id)
{
    const qr_peer *peer = qr_peers_of(&((const qr_paxos_engine *)context)->peers, id);
    return is_self(context, id) || (peer && peer->vote == QR_VOTE_YES);
}

static bool may_still_answer(const void *context, uint64_t id)
{
    const qr_peer *peer = qr_peers_of(&((const qr_paxos_engine *)context)->peers, id);
    return is_self(context, id) || (peer && peer->vote != QR_VOTE_NO);
}

static void count_canvass(qr_paxos_engine *paxos)
{
    if (qr_quorum_has(qr_paxos_members(paxos), would_promise, paxos)) {
        qr_paxos_campaign(paxos, false);
    } else if (!qr_quorum_has(qr_paxos_members(paxos), may_still_answer, paxos)) {
        paxos->role = qr_paxos_settled_role(paxos);
        qr_paxos_timer_retry(paxos);
        qr_paxos_note_role(paxos);
    }
}

static void canvass(qr_paxos_engine *paxos)
{
    QR_ASSERT(qr_paxos_is_voter(paxos) && paxos->role != QR_LEADER);
    qr_paxos_trace(paxos, QR_TRACE_TIMEOUT, paxos->ballot + 1, paxos->now_ms - paxos->heard_ms, 0, 0);
    paxos->role = QR_PRECANDIDATE;
    paxos->leader = 0;
    paxos->attempts++;
    paxos->postponed = false;
    qr_paxos_timer_retry(paxos);
    qr_paxos_note_role(paxos);
    qr_paxos_reads_refuse(paxos);
    for (uint32_t i = 0; i < paxos->peers.count; i++) {
        paxos->peers.list[i].vote = QR_VOTE_SILENT;
        if (qr_members_votes(qr_paxos_members(paxos), paxos->peers.list[i].id))
            qr_paxos_say(paxos, paxos->peers.list[i].id, false,
                         &(qr_paxos_message){.kind = QR_PAXOS_CANVASS,
                                             .ballot = paxos->ballot + 1,
                                             .first = paxos->chosen + 1});
    }
    count_canvass(paxos);
}

/* What this member accepted and learned from that slot on is at hand for a promise. */
static bool can_tell(const qr_paxos_engine *paxos, uint64_t first)
{
    return first >= paxos->log.memory_first;
}

/* Who was removed, or counts no more, keeps quiet; but what it knows to be chosen may be what tells the
 * others who they are. What it has to read from its disk first it tells when it is asked again. */
static void teach(qr_paxos_engine *paxos, uint64_t from, uint64_t first)
{
    qr_paxos_view view;
    if (qr_paxos_may_promise(paxos) || first > paxos->chosen)
        return;
    if (qr_paxos_entry_read(paxos, first, &view))
        qr_paxos_say(paxos, from, false,
                     &(qr_paxos_message){.kind = QR_PAXOS_CHOSEN, .ballot = paxos->ballot, .first = first});
    else if (first > paxos->log.base)
        qr_paxos_want(paxos, first, paxos->chosen, false);
}

void qr_paxos_on_canvass(qr_paxos_engine *paxos, uint64_t from, const qr_paxos_message *message)
{
    bool would = message->ballot > paxos->ballot && !qr_paxos_leader_alive(paxos) &&
                 qr_paxos_may_promise(paxos) && can_tell(paxos, message->first);
    qr_paxos_trace(paxos, would ? QR_TRACE_PREVOTE_GIVE : QR_TRACE_PREVOTE_DENY, message->ballot, from, 0, 0);
    if (!would && paxos->ballot == 0) /* a fresh disk without a vote has no news of later ballots either */
        return;
    qr_paxos_say(paxos, from, !would,
                 &(qr_paxos_message){.kind = QR_PAXOS_CANVASS_ANSWER,
                                     .ballot = would ? message->ballot : paxos->ballot,
                                     .asked = message->ballot,
                                     .flags = would ? QR_PAXOS_GRANTED : 0});
    teach(paxos, from, message->first);
    /* Two members that notice a broken connection in the same instant would duel: whoever was asked first
     * lets the other go ahead, once. */
    if (would && paxos->role == QR_FOLLOWER && leader_gone(paxos) && !paxos->postponed) {
        uint64_t later = paxos->now_ms + qr_prng_between(&paxos->prng, (paxos->config.heartbeat_ms + 1) / 2,
                                                         2 * (uint64_t)paxos->config.heartbeat_ms);
        paxos->postponed = true;
        paxos->deadline_ms = paxos->deadline_ms > later ? paxos->deadline_ms : later;
    }
}

void qr_paxos_on_canvass_answer(qr_paxos_engine *paxos, uint64_t from, const qr_paxos_message *message)
{
    bool granted = message->flags & QR_PAXOS_GRANTED;
    if (!granted && message->ballot > paxos->ballot) { /* behind: the next try is for a later ballot */
        qr_paxos_follow(paxos, message->ballot, 0);
        qr_paxos_timer_retry(paxos);
        return;
    }
    if (paxos->role != QR_PRECANDIDATE || message->asked != paxos->ballot + 1)
        return;
    qr_peers_find(&paxos->peers, from)->vote = granted ? QR_VOTE_YES : QR_VOTE_NO;
    count_canvass(paxos);
}

/* ------------------------------------------------------------ promises ---- */

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Phase 1b (PMS 2.2): promises to take part in no lower ballot any more, and tells what it has accepted in
 * any slot that the asker does not know to be chosen (PMS 3: "executes phase 1 for infinitely many
 * instances"); and in those that it does not know itself, which show whether the rest is dead (log.c). */
void qr_paxos_on_prepare(qr_paxos_engine *paxos, uint64_t from, const qr_paxos_message *message)
{
    uint64_t first = message->first ? message->first : smaller(message->chosen, paxos->chosen) + 1;
    bool is_later = message->ballot > paxos->ballot;
    /* While a leader is alive nobody begins a ballot against it, unless it wants that itself. */
    if (is_later && qr_paxos_leader_alive(paxos) && !(message->flags & QR_PAXOS_HANDOVER))
        return;
    bool give = message->ballot >= paxos->ballot && qr_paxos_may_promise(paxos) && can_tell(paxos, first);
    if (give && is_later)
        qr_paxos_follow(paxos, message->ballot, 0);
    give = give && (paxos->leader == 0 || paxos->leader == from) &&
           (paxos->promised_to == 0 || paxos->promised_to == from);
    qr_paxos_message promise = {.kind = QR_PAXOS_PROMISE,
                                .ballot = paxos->ballot,
                                .asked = message->ballot,
                                .flags = give ? QR_PAXOS_GRANTED : 0};
    if (!give) {
        qr_paxos_trace(paxos, QR_TRACE_VOTE_DENY, message->ballot, from, paxos->log.last, paxos->ballot);
        if (promise.ballot) /* else it has nothing to say yet */
            qr_paxos_say(paxos, from, true, &promise);
        teach(paxos, from, message->chosen + 1);
        return;
    }
    if (paxos->promised_to == 0)
        qr_paxos_ballot_set(paxos, message->ballot, from);
    if (paxos->role == QR_PRECANDIDATE)
        paxos->role = qr_paxos_settled_role(paxos);
    qr_paxos_timer_retry(paxos); /* gives the candidate time to get through */
    qr_paxos_note_role(paxos);
    qr_paxos_trace(paxos, QR_TRACE_VOTE_GIVE, paxos->ballot, from, 0, 0);
    promise.first = first;
    promise.last = paxos->log.last;
    promise.chosen = paxos->chosen;
    qr_paxos_say(paxos, from, true, &promise); /* with its entries, when the record of it has a ticket */
}

/* The promise is on its way to the disk. Until it is there nobody can win or lose, and another ballot would
 * only throw away the promise that is being written. */
bool qr_paxos_promise_pending(const qr_paxos_engine *paxos)
{
    return paxos->hard_unsaved || paxos->hard_ticket > paxos->durable_ticket;
}

/* It is there, after took_ms: candidate and acceptors get about the same time again for the other disks. */
void qr_paxos_promise_durable(qr_paxos_engine *paxos, uint64_t took_ms)
{
    if (paxos->role == QR_LEADER || paxos->leader)
        return;
    uint64_t grace = 2 * took_ms < paxos->config.election_ms ? 2 * took_ms : paxos->config.election_ms;
    uint64_t deadline = paxos->now_ms + grace + qr_prng_below(&paxos->prng, paxos->config.heartbeat_ms);
    paxos->deadline_ms = paxos->deadline_ms > deadline ? paxos->deadline_ms : deadline;
    qr_paxos_count_promises(paxos);
}

/* ------------------------------------------------------------ time and links ---- */

uint64_t qr_paxos_quorum_heard_ms(const qr_paxos_engine *paxos)
{
    return qr_peers_heard_ms(&paxos->peers, qr_paxos_members(paxos), &paxos->config, paxos->now_ms);
}

void qr_paxos_ballot_tick(qr_paxos_engine *paxos)
{
    if (paxos->role == QR_LEADER) { /* one that hears no quorum holds up who could find the next one */
        uint64_t silent_ms = paxos->now_ms - qr_paxos_quorum_heard_ms(paxos);
        if (silent_ms < paxos->config.election_ms)
            return;
        qr_paxos_trace(paxos, QR_TRACE_STEP_DOWN, paxos->ballot, silent_ms, 0, 0);
        qr_paxos_follow(paxos, paxos->ballot, 0);
        return;
    }
    if (!qr_paxos_is_voter(paxos)) { /* a learner only notices that its leader is silent */
        if (paxos->now_ms >= paxos->deadline_ms && paxos->leader)
            qr_paxos_follow(paxos, paxos->ballot, 0);
        return;
    }
    qr_paxos_count_promises(paxos); /* what was learned may have changed who counts */
    if (qr_paxos_alone(paxos)) {    /* nobody to ask, nobody to wait for */
        if (paxos->role != QR_CANDIDATE && paxos->role != QR_LEADER)
            qr_paxos_campaign(paxos, false);
        return;
    }
    if (paxos->role != QR_LEADER && paxos->now_ms >= paxos->deadline_ms && !qr_paxos_promise_pending(paxos))
        canvass(paxos);
}

/* A cluster that starts has no leader to wait for: whoever reaches a quorum and has heard none in its life
 * asks soon. Where one is alive the others deny, and nothing has happened. */
static void ask_soon_after_start(qr_paxos_engine *paxos)
{
    if (paxos->leader || paxos->heard_any || paxos->role != QR_FOLLOWER ||
        !qr_peers_reach_quorum(&paxos->peers, qr_paxos_members(paxos), &paxos->config))
        return;
    uint64_t soon = paxos->now_ms + qr_prng_below(&paxos->prng, paxos->config.election_ms / 5 + 1);
    paxos->deadline_ms = paxos->deadline_ms < soon ? paxos->deadline_ms : soon;
}

void qr_paxos_on_link(qr_paxos_engine *paxos, uint64_t id, bool up)
{
    qr_peer *peer = qr_peers_find(&paxos->peers, id);
    if (peer == NULL)
        return;
    peer->link = up ? QR_LINK_UP : QR_LINK_DOWN;
    peer->down_ms = paxos->now_ms;
    if (paxos->role == QR_LEADER) {
        qr_peer_reconnect(peer, up);
        return;
    }
    if (up)
        ask_soon_after_start(paxos);
    if (up || paxos->leader != id)
        return;
    /* A dead process loses its connections at once; nobody needs to wait for the timer. If the leader lives
     * and only this connection broke, the others still hear it and deny. */
    if (!qr_paxos_is_voter(paxos)) {
        qr_paxos_follow(paxos, paxos->ballot, 0);
        return;
    }
    paxos->gone_leader = id;
    paxos->attempts = 0;
    paxos->postponed = false;
    uint64_t soon = paxos->now_ms + qr_prng_below(&paxos->prng, paxos->config.heartbeat_ms / 2 + 1);
    paxos->deadline_ms = paxos->deadline_ms < soon ? paxos->deadline_ms : soon;
}

/* ------------------------------------------------------------ handover ---- */

void qr_paxos_on_handover(qr_paxos_engine *paxos, uint64_t target)
{
    qr_status status = QR_OK;
    if (paxos->role != QR_LEADER)
        status = paxos->leader ? QR_E_NOT_LEADER : QR_E_NO_LEADER;
    else if (paxos->handover_to)
        status = QR_E_BUSY;
    if (target == 0 && status == QR_OK)
        target = qr_peers_best(&paxos->peers, qr_paxos_members(paxos), &paxos->config, paxos->now_ms);
    const qr_member *member = qr_members_find(qr_paxos_members(paxos), target);
    if (status == QR_OK && (target == paxos->config.self || member == NULL || member->role != QR_ROLE_VOTER))
        status = QR_E_INVALID;
    if (status != QR_OK) {
        qr_paxos_refuse(paxos, QR_EVENT_HANDOVER, 0, status);
        return;
    }
    qr_paxos_trace(paxos, QR_TRACE_HANDOVER, target, paxos->ballot, 0, 0);
    paxos->handover_to = target;
    paxos->handover_ms = paxos->now_ms + paxos->config.election_ms;
    paxos->handover_said = false;
}

/* Proposals stop, the target gets all there is, then it may begin a ballot at once. If it has not got through
 * within an election timeout the leader goes on. */
void qr_paxos_handover_tick(qr_paxos_engine *paxos)
{
    if (paxos->handover_to == 0)
        return;
    const qr_peer *peer = qr_peers_of(&paxos->peers, paxos->handover_to);
    const qr_member *member = qr_members_find(qr_paxos_members(paxos), paxos->handover_to);
    if (peer == NULL || member == NULL || member->role != QR_ROLE_VOTER ||
        paxos->now_ms >= paxos->handover_ms) {
        paxos->handover_to = 0;
        return;
    }
    if (paxos->heartbeat_due)
        paxos->handover_said = false; /* the message may have been lost */
    if (peer->match != paxos->taken || paxos->handover_said)
        return;
    paxos->handover_said = true;
    qr_paxos_say(paxos, peer->id, false,
                 &(qr_paxos_message){.kind = QR_PAXOS_TAKE_OVER, .ballot = paxos->ballot});
}

void qr_paxos_on_take_over(qr_paxos_engine *paxos, uint64_t from)
{
    if (paxos->role == QR_FOLLOWER && paxos->leader == from)
        qr_paxos_campaign(paxos, true);
}

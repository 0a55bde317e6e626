/* Phase 2 of the leader: proposals, what is sent, what is counted (PMS 2.2 and 3; PMMC 4 calls it the
 * commander's part).
 *
 *            answer to the probe                  a rejection, or the connection broke
 *   PROBE ----------------------> PIPELINE ------------------------------------------> PROBE
 *     |                                                                                  ^
 *     +--- needs slots that are gone ---> CHECKPOINT --- the peer has it and answers ----+ (PIPELINE)
 *
 * What is sent follows from the state at the end of a turn alone, never from the arrival of an answer: an
 * answer that brings no progress cannot cause a message. On a network that does not keep the order each
 * rejection would begin another run: so who has rejected gets one accept at a time first, and more as it gets
 * on. */
#include "paxos/inside.h"

void qr_paxos_lead(qr_paxos_engine *paxos)
{
    QR_ASSERT(paxos->role == QR_CANDIDATE && paxos->promised_to == paxos->config.self);
    paxos->role = QR_LEADER;
    paxos->leader = paxos->config.self;
    paxos->round = 0;
    paxos->round_running = false;
    paxos->attempts = 0;
    paxos->gone_leader = 0;
    paxos->handover_to = 0;
    paxos->unchosen_bytes = 0;
    paxos->heartbeat_due = true;
    paxos->heartbeat_ms = paxos->now_ms + paxos->config.heartbeat_ms;
    for (uint32_t i = 0; i < paxos->peer_count; i++) {
        qr_paxos_peer *peer = &paxos->peers[i];
        const qr_paxos_peer before = *peer;
        const qr_member *member = qr_members_find(qr_paxos_members(paxos), peer->id);
        qr_paxos_peer_restart(paxos, peer, member->incarnation);
        if (!before.promised)
            continue;
        peer->promised = true; /* and told up to where it knows what is chosen: the stream begins there */
        peer->next = before.next;
        peer->progress = QR_PAXOS_PIPELINE;
    }
}

void qr_paxos_propose(qr_paxos_engine *paxos, const qr_paxos_view *view)
{
    QR_ASSERT(paxos->role == QR_LEADER && view->ballot == paxos->ballot);
    qr_paxos_put(paxos, ++paxos->taken, view); /* the leader is an acceptor of its own proposal, too */
    paxos->unchosen_bytes += view->bytes.size + QR_PAXOS_ENTRY_HEADER_MAX;
    /* Who counts behind it is known when it is chosen (PMS 3, with a window of one slot). */
    if (view->kind == QR_ENTRY_MEMBERS && !QR_BUG(paxos->config.bug, PAXOS_NO_WINDOW))
        paxos->proposing = false;
}

void qr_paxos_on_propose(qr_paxos_engine *paxos, const qr_slice *commands, size_t count)
{
    qr_status refusal = QR_OK;
    uint64_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        bytes += commands[i].size + QR_PAXOS_ENTRY_HEADER_MAX;
        if (commands[i].size > QR_PAXOS_ENTRY_MAX)
            refusal = QR_E_INVALID;
    }
    if (paxos->role != QR_LEADER)
        refusal = paxos->leader ? QR_E_NOT_LEADER : QR_E_NO_LEADER;
    else if (refusal == QR_OK && (!paxos->proposing || paxos->handover_to || !qr_paxos_is_voter(paxos) ||
                                  paxos->unchosen_bytes + bytes > QR_PAXOS_UNCHOSEN_MAX))
        refusal = QR_E_BUSY;
    if (refusal != QR_OK || count == 0) {
        qr_paxos_refuse(paxos, QR_EVENT_PROPOSE, 0, refusal != QR_OK ? refusal : QR_E_INVALID);
        return;
    }
    qr_paxos_trace(paxos, QR_TRACE_APPEND, paxos->taken + 1, paxos->taken + count, paxos->ballot, 0);
    for (size_t i = 0; i < count; i++)
        qr_paxos_propose(paxos, &(qr_paxos_view){.ballot = paxos->ballot,
                                                 .born = paxos->ballot,
                                                 .kind = QR_ENTRY_COMMAND,
                                                 .bytes = commands[i]});
}

/* ------------------------------------------------------------ answers ---- */

void qr_paxos_forget_flying(qr_paxos_peer *peer)
{
    peer->flying_count = 0;
    peer->flying_bytes = 0;
}

static void need_checkpoint(qr_paxos_peer *peer, const qr_paxos_log *log)
{
    peer->progress = QR_PAXOS_CHECKPOINT;
    peer->next = (log->base > peer->match ? log->base : peer->match) + 1;
    qr_paxos_forget_flying(peer);
}

static void on_rejection(qr_paxos_engine *paxos, qr_paxos_peer *peer, const qr_paxos_message *message)
{
    bool is_stale = peer->progress == QR_PAXOS_PROBE
                        ? message->first != peer->next
                        : message->first <= peer->match + 1 || message->first > peer->next;
    if (is_stale || peer->progress == QR_PAXOS_CHECKPOINT)
        return; /* an answer to an older accept, or one that came twice */
    /* It may deny what it had acknowledged: its disk has lost it. Taking less for stored never harms. */
    peer->match = peer->match < message->taken ? peer->match : message->taken;
    if (message->taken < paxos->log.base) {
        need_checkpoint(peer, &paxos->log);
        return;
    }
    peer->window = peer->progress == QR_PAXOS_PIPELINE ? 1 : peer->window;
    peer->progress = QR_PAXOS_PROBE;
    peer->probing = false;
    peer->next = message->taken + 1;
    qr_paxos_forget_flying(peer);
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static void on_agreement(qr_paxos_peer *peer, uint64_t taken, uint64_t match)
{
    if (match > peer->match) {
        peer->match = match;
        peer->window = peer->window > QR_PAXOS_INFLIGHT_MAX / 2 ? QR_PAXOS_INFLIGHT_MAX : 2 * peer->window;
        while (peer->flying_count && peer->flying[peer->flying_first].last <= peer->match) {
            peer->flying_bytes -= peer->flying[peer->flying_first].bytes;
            peer->flying_first = (peer->flying_first + 1) % QR_PAXOS_INFLIGHT_MAX;
            peer->flying_count--;
        }
    }
    if (peer->progress != QR_PAXOS_PIPELINE && taken + 1 >= peer->next) {
        peer->progress = QR_PAXOS_PIPELINE;
        peer->next = taken + 1;
        qr_paxos_forget_flying(peer);
    }
    if (peer->next <= peer->match)
        peer->next = peer->match + 1;
}

void qr_paxos_on_accepted(qr_paxos_engine *paxos, uint64_t from, const qr_paxos_message *message)
{
    if (paxos->role != QR_LEADER)
        return;
    qr_paxos_peer *peer = qr_paxos_peer_find(paxos, from);
    /* Behind a MEMBERS entry that is adopted, others may know more than the leader does yet. */
    if (message->round > paxos->round || (message->taken > paxos->taken && paxos->proposing)) {
        qr_paxos_trace(paxos, QR_TRACE_DROP, from, QR_E_INVALID, 0, 0);
        return;
    }
    peer->heard_ms = paxos->now_ms;
    peer->answered = true;
    peer->round = message->round > peer->round ? message->round : peer->round;
    /* It takes part in this ballot, and there is nothing behind `taken` that it could tell: a promise. */
    peer->promised = peer->promised || message->last <= paxos->taken;
    if (message->flags & QR_PAXOS_REJECTED)
        on_rejection(paxos, peer, message);
    else
        on_agreement(peer, smaller(message->taken, paxos->taken), smaller(message->match, paxos->taken));
}

/* ------------------------------------------------------------ sending ---- */

/* At most one message's worth from peer->next on; returns the bytes of entries in it. */
static size_t send_accept(qr_paxos_engine *paxos, qr_paxos_peer *peer, bool is_bare, bool wanted)
{
    qr_paxos_message message = {.kind = QR_PAXOS_ACCEPT,
                                .ballot = paxos->ballot,
                                .flags = wanted ? QR_PAXOS_WANTED : 0,
                                .first = peer->next,
                                .chosen = paxos->chosen,
                                .round = paxos->round};
    QR_ASSERT(peer->next > paxos->log.base && peer->next <= paxos->taken + 1);
    size_t bytes;
    qr_paxos_view view;
    if (!is_bare && peer->next <= paxos->taken && !qr_paxos_entry_read(paxos, peer->next, &view))
        qr_paxos_want(paxos, peer->next, paxos->taken, false);
    uint64_t last =
        qr_paxos_send_entries(paxos, peer->id, 0, &message, is_bare ? peer->next - 1 : paxos->taken,
                              &bytes); /* the own disk may still be busy with it */
    peer->round_sent = paxos->round;
    peer->chosen_sent = paxos->chosen;
    if (peer->progress == QR_PAXOS_PIPELINE && last >= peer->next) {
        uint32_t at = (peer->flying_first + peer->flying_count++) % QR_PAXOS_INFLIGHT_MAX;
        peer->flying[at] = (qr_paxos_flying){.last = last, .bytes = bytes};
        peer->flying_bytes += bytes;
        peer->next = last + 1;
    }
    return bytes;
}

static bool pipeline(qr_paxos_engine *paxos, qr_paxos_peer *peer)
{
    bool sent = false;
    size_t told = 0;
    qr_paxos_view view;
    while (peer->next <= paxos->taken && peer->flying_count < peer->window &&
           peer->flying_bytes < QR_PAXOS_INFLIGHT_BYTES_MAX) {
        if (told >= QR_PAXOS_TURN_BYTES_MAX) {
            paxos->more = true;
            break;
        }
        if (!qr_paxos_entry_read(paxos, peer->next, &view)) {
            qr_paxos_want(paxos, peer->next, paxos->taken, false);
            break;
        }
        told += send_accept(paxos, peer, false, paxos->heartbeat_due && !sent);
        sent = true;
    }
    return sent;
}

static void offer_checkpoint(qr_paxos_engine *paxos, qr_paxos_peer *peer)
{
    if (peer->offered_ms && paxos->now_ms - peer->offered_ms < paxos->config.election_ms)
        return;
    peer->offered_ms = paxos->now_ms ? paxos->now_ms : 1;
    qr_effects_add(paxos->effects, QR_EFFECT_SEND_CHECKPOINT, 0)->send_checkpoint.to = peer->id;
}

static void send_to(qr_paxos_engine *paxos, qr_paxos_peer *peer)
{
    bool must = paxos->heartbeat_due || (paxos->round_running && peer->round_sent < paxos->round);
    if (peer->link == QR_PAXOS_LINK_DOWN && !paxos->heartbeat_due)
        return;
    if (peer->next <= paxos->log.base) /* the log was shortened meanwhile */
        need_checkpoint(peer, &paxos->log);
    switch (peer->progress) {
    case QR_PAXOS_PIPELINE:
        if (!pipeline(paxos, peer) && (must || peer->chosen_sent < paxos->chosen))
            send_accept(paxos, peer, true, must);
        break;
    case QR_PAXOS_PROBE:
        if (!peer->probing) {
            send_accept(paxos, peer, peer->link == QR_PAXOS_LINK_DOWN, true);
            peer->probing = true;
        } else if (must) { /* the probe may be lost: the same question without its load */
            send_accept(paxos, peer, true, true);
        }
        break;
    case QR_PAXOS_CHECKPOINT:
        if (must || !peer->probing)
            send_accept(paxos, peer, true, true);
        peer->probing = true;
        if (peer->link != QR_PAXOS_LINK_DOWN && peer->leaving_ms == 0)
            offer_checkpoint(paxos, peer);
        break;
    }
}

/* ------------------------------------------------------------ counting ---- */

static uint64_t match_of(const void *context, uint64_t id)
{
    const qr_paxos_engine *paxos = context;
    const qr_paxos_peer *peer = qr_paxos_peer_of(paxos, id);
    uint64_t own = paxos->taken < paxos->durable_index ? paxos->taken : paxos->durable_index;
    if (id == paxos->config.self)
        return own;
    if (QR_BUG(paxos->config.bug, PAXOS_SMALL_QUORUM) && peer == &paxos->peers[0])
        return own;
    return peer ? peer->match : 0;
}

/* PMS 2.2: what a quorum has accepted in one ballot is chosen. Every slot up to `taken` is proposed in this
 * one, whoever proposed its value first. */
void qr_paxos_leader_count(qr_paxos_engine *paxos)
{
    if (paxos->now_ms >= paxos->heartbeat_ms) {
        paxos->heartbeat_due = true;
        paxos->heartbeat_ms = paxos->now_ms + paxos->config.heartbeat_ms;
    }
    uint64_t index = qr_quorum_value(qr_paxos_members(paxos), match_of, paxos);
    qr_paxos_choose(paxos, index < paxos->taken ? index : paxos->taken);
    if (paxos->role == QR_LEADER)
        qr_paxos_count_promises(paxos);
}

void qr_paxos_leader_tick(qr_paxos_engine *paxos)
{
    qr_paxos_reads_tick(paxos);
    for (uint32_t i = 0; i < paxos->peer_count; i++)
        send_to(paxos, &paxos->peers[(i + paxos->fetch_turn) % paxos->peer_count]);
    qr_paxos_prepare_tick(paxos);
    qr_paxos_handover_tick(paxos);
    paxos->heartbeat_due = false;
    qr_paxos_members_retire(paxos);
}

/* Phase 2 of the leader: proposals, what is sent, what is counted (PMS 2.2 and 3; PMMC 4 calls it the
 * commander's part).
 * How much may be under way to a peer, and where it stands: core/peers.h.
 *
 * What is sent follows from the state at the end of a turn alone, never from the arrival of an answer: an
 * answer that brings no progress cannot cause a message. */
#include "paxos/inside.h"

void qr_paxos_lead(qr_paxos_engine *paxos)
{
    QR_ASSERT(paxos->role == QR_CANDIDATE && paxos->promised_to == paxos->config.self);
    paxos->role = QR_LEADER;
    paxos->leader = paxos->config.self;
    paxos->reads.round = 0;
    paxos->reads.round_running = false;
    paxos->attempts = 0;
    paxos->gone_leader = 0;
    paxos->handover_to = 0;
    paxos->unchosen_bytes = 0;
    paxos->heartbeat_due = true;
    paxos->heartbeat_ms = paxos->now_ms + paxos->config.heartbeat_ms;
    for (uint32_t i = 0; i < paxos->peers.count; i++) {
        qr_peer *peer = &paxos->peers.list[i];
        const qr_peer before = *peer;
        const qr_member *member = qr_members_find(qr_paxos_members(paxos), peer->id);
        qr_peer_restart(peer, member->incarnation, paxos->taken + 1, paxos->now_ms);
        if (!before.promised)
            continue;
        peer->promised = true; /* and told up to where it knows what is chosen: the stream begins there */
        peer->next = before.next;
        peer->progress = QR_PIPELINE;
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

static void on_rejection(qr_paxos_engine *paxos, qr_peer *peer, const qr_paxos_message *message)
{
    bool is_stale = peer->progress == QR_PROBE
                        ? message->first != peer->next
                        : message->first <= peer->match + 1 || message->first > peer->next;
    if (is_stale || peer->progress == QR_CHECKPOINT)
        return; /* an answer to an older accept, or one that came twice */
    /* It may deny what it had acknowledged: its disk has lost it. Taking less for stored never harms. */
    peer->match = peer->match < message->taken ? peer->match : message->taken;
    if (message->taken < paxos->log.base) {
        qr_peer_needs_checkpoint(peer, paxos->log.base);
        return;
    }
    qr_peer_rejects(peer, message->taken + 1);
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

void qr_paxos_on_accepted(qr_paxos_engine *paxos, uint64_t from, const qr_paxos_message *message)
{
    if (paxos->role != QR_LEADER)
        return;
    qr_peer *peer = qr_peers_find(&paxos->peers, from);
    /* Behind a MEMBERS entry that is adopted, others may know more than the leader does yet. */
    if (message->round > paxos->reads.round || (message->taken > paxos->taken && paxos->proposing)) {
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
        qr_peer_agrees(peer, smaller(message->taken, paxos->taken), smaller(message->match, paxos->taken));
}

/* ------------------------------------------------------------ sending ---- */

/* At most one message's worth from peer->next on; returns the bytes of entries in it. */
static size_t send_accept(qr_paxos_engine *paxos, qr_peer *peer, bool is_bare, bool wanted)
{
    qr_paxos_message message = {.kind = QR_PAXOS_ACCEPT,
                                .ballot = paxos->ballot,
                                .flags = wanted ? QR_PAXOS_WANTED : 0,
                                .first = peer->next,
                                .chosen = paxos->chosen,
                                .round = paxos->reads.round};
    QR_ASSERT(peer->next > paxos->log.base && peer->next <= paxos->taken + 1);
    size_t bytes;
    qr_paxos_view view;
    if (!is_bare && peer->next <= paxos->taken && !qr_paxos_entry_read(paxos, peer->next, &view))
        qr_paxos_want(paxos, peer->next, paxos->taken, false);
    uint64_t last =
        qr_paxos_send_entries(paxos, peer->id, 0, &message, is_bare ? peer->next - 1 : paxos->taken,
                              &bytes); /* the own disk may still be busy with it */
    peer->round_sent = paxos->reads.round;
    peer->commit_sent = paxos->chosen;
    if (peer->progress == QR_PIPELINE && last >= peer->next)
        qr_peer_flies(peer, last, bytes);
    return bytes;
}

static bool pipeline(qr_paxos_engine *paxos, qr_peer *peer)
{
    bool sent = false;
    size_t told = 0;
    qr_paxos_view view;
    while (peer->next <= paxos->taken && qr_peer_has_room(peer)) {
        if (told >= QR_TURN_BYTES_MAX) {
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

static void offer_checkpoint(qr_paxos_engine *paxos, qr_peer *peer)
{
    if (qr_peer_offer(peer, &paxos->config, paxos->now_ms))
        qr_effects_add(paxos->effects, QR_EFFECT_SEND_CHECKPOINT, 0)->send_checkpoint.to = peer->id;
}

static void send_to(qr_paxos_engine *paxos, qr_peer *peer)
{
    bool must = paxos->heartbeat_due || (paxos->reads.round_running && peer->round_sent < paxos->reads.round);
    if (peer->link == QR_LINK_DOWN && !paxos->heartbeat_due)
        return;
    if (peer->next <= paxos->log.base) /* the log was shortened meanwhile */
        qr_peer_needs_checkpoint(peer, paxos->log.base);
    switch (peer->progress) {
    case QR_PIPELINE:
        if (!pipeline(paxos, peer) && (must || peer->commit_sent < paxos->chosen))
            send_accept(paxos, peer, true, must);
        break;
    case QR_PROBE:
        if (!peer->probing) {
            send_accept(paxos, peer, peer->link == QR_LINK_DOWN, true);
            peer->probing = true;
        } else if (must) { /* the probe may be lost: the same question without its load */
            send_accept(paxos, peer, true, true);
        }
        break;
    case QR_CHECKPOINT:
        if (must || !peer->probing)
            send_accept(paxos, peer, true, true);
        peer->probing = true;
        if (peer->link != QR_LINK_DOWN && peer->leaving_ms == 0)
            offer_checkpoint(paxos, peer);
        break;
    }
}

/* ------------------------------------------------------------ counting ---- */

static uint64_t match_of(const void *context, uint64_t id)
{
    const qr_paxos_engine *paxos = context;
    const qr_peer *peer = qr_peers_of(&paxos->peers, id);
    uint64_t own = paxos->taken < paxos->durable_index ? paxos->taken : paxos->durable_index;
    if (id == paxos->config.self)
        return own;
    if (QR_BUG(paxos->config.bug, PAXOS_SMALL_QUORUM) && peer == &paxos->peers.list[0])
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
    for (uint32_t i = 0; i < paxos->peers.count; i++)
        send_to(paxos, &paxos->peers.list[(i + paxos->fetch_turn) % paxos->peers.count]);
    qr_paxos_prepare_tick(paxos);
    qr_paxos_handover_tick(paxos);
    paxos->heartbeat_due = false;
    qr_paxos_members_retire(paxos);
}

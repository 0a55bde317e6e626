/* Replication: what a leader sends and counts, what a follower checks and answers (5.3, 5.4). How much may be
 * under way to a peer, and where it stands: core/peers.h.
 *
 * What is sent follows from the state at the end of a turn alone, never from the arrival of an answer: an
 * answer that brings no progress cannot cause a message (facts row 23). */
#include "raft/raft_internal.h"

void qr_raft_add_entry(qr_raft_engine *raft, uint64_t term, qr_entry_kind kind, qr_slice bytes)
{
    qr_raft_log_append(&raft->log, term, kind, bytes);
    if (raft->unsaved_first > raft->log.last)
        raft->unsaved_first = raft->log.last;
    qr_raft_entry_added(raft, kind, bytes);
}

void qr_raft_entry_added(qr_raft_engine *raft, qr_entry_kind kind, qr_slice bytes)
{
    if (kind != QR_ENTRY_MEMBERS)
        return;
    qr_members members;
    qr_reader reader = qr_reader_of(bytes);
    qr_status status = qr_members_decode(&reader, &members);
    QR_ASSERT(status == QR_OK); /* checked where the bytes came in */
    qr_raft_config_add(raft, raft->log.last, &members);
}

void qr_raft_lead(qr_raft_engine *raft)
{
    QR_ASSERT(raft->role == QR_LEADER && raft->vote == raft->config.self);
    raft->reads.round = 0;
    raft->reads.round_running = false;
    raft->attempts = 0;
    raft->gone_leader = 0;
    raft->handover_to = 0;
    raft->uncommitted_bytes = 0;
    raft->heartbeat_due = true;
    raft->heartbeat_ms = raft->now_ms + raft->config.heartbeat_ms;
    for (uint32_t i = 0; i < raft->peers.count; i++) {
        const qr_member *member = qr_members_find(qr_raft_members(raft), raft->peers.list[i].id);
        qr_peer_restart(&raft->peers.list[i], member->incarnation, raft->log.last + 1, raft->now_ms);
    }
    qr_raft_members_lead(raft);
    /* Section 8: entries of older terms are committed through this one, and reads wait for it. */
    qr_raft_trace(raft, QR_TRACE_APPEND, raft->log.last + 1, raft->log.last + 1, raft->term, 0);
    qr_raft_add_entry(raft, raft->term, QR_ENTRY_NOOP, qr_slice_of(NULL, 0));
    raft->noop_index = raft->log.last;
}

void qr_raft_on_propose(qr_raft_engine *raft, const qr_slice *commands, size_t count)
{
    qr_status refusal = QR_OK;
    uint64_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        bytes += commands[i].size + QR_RAFT_ENTRY_HEADER_MAX;
        if (commands[i].size > QR_RAFT_ENTRY_MAX)
            refusal = QR_E_INVALID;
    }
    if (raft->role != QR_LEADER)
        refusal = raft->leader ? QR_E_NOT_LEADER : QR_E_NO_LEADER;
    else if (refusal == QR_OK &&
             (raft->handover_to || raft->uncommitted_bytes + bytes > QR_RAFT_UNCOMMITTED_MAX))
        refusal = QR_E_BUSY;
    else if (refusal == QR_OK && !qr_raft_is_voter(raft)) /* it goes: its log ends with its removal */
        refusal = QR_E_BUSY;
    if (refusal != QR_OK || count == 0) {
        qr_raft_refuse(raft, QR_EVENT_PROPOSE, 0, refusal != QR_OK ? refusal : QR_E_INVALID);
        return;
    }
    qr_raft_trace(raft, QR_TRACE_APPEND, raft->log.last + 1, raft->log.last + count, raft->term, 0);
    for (size_t i = 0; i < count; i++)
        qr_raft_add_entry(raft, raft->term, QR_ENTRY_COMMAND, commands[i]);
    raft->uncommitted_bytes += bytes;
}

void qr_raft_commit_to(qr_raft_engine *raft, uint64_t index)
{
    if (index <= raft->commit)
        return;
    if (raft->role == QR_LEADER) {
        uint64_t bytes = 0;
        qr_raft_view view;
        for (uint64_t i = raft->commit + 1; i <= index; i++)
            if (qr_raft_log_read(&raft->log, i, &view))
                bytes += view.bytes.size + QR_RAFT_ENTRY_HEADER_MAX;
        bool all = index == raft->log.last || bytes > raft->uncommitted_bytes;
        raft->uncommitted_bytes = all ? 0 : raft->uncommitted_bytes - bytes;
    }
    QR_ASSERT(index <= raft->log.last);
    raft->commit = index;
    qr_raft_trace(raft, QR_TRACE_COMMIT, index, raft->term, 0, 0);
}

/* ------------------------------------------------------------ follower ---- */

/* Remembers to say no. The hint spares the leader a walk back entry by entry (5.3, last paragraphs): nothing
 * above the hint can agree, because entries with a term above prev_term are not in the leader's log at or
 * before prev_index. */
static void reject(qr_raft_engine *raft, uint64_t from, const qr_raft_message *message)
{
    uint64_t hint = qr_raft_log_find(&raft->log, message->prev_index, message->prev_term);
    raft->reject_due = true;
    raft->reject = (qr_raft_message){.kind = QR_RAFT_APPEND_ANSWER,
                                     .term = raft->term,
                                     .flags = QR_RAFT_REJECTED,
                                     .prev_index = message->prev_index,
                                     .last_index = hint,
                                     .last_term = qr_raft_log_term(&raft->log, hint)};
    qr_raft_trace(raft, QR_TRACE_REJECT, from, message->prev_index, message->prev_term, hint);
}

/* Takes over the entries behind the agreed one. Only a real conflict of terms cuts the log (5.3; a late
 * append must not, facts row 6). Returns false when the leader contradicts what is committed. */
static bool take_entries(qr_raft_engine *raft, const qr_raft_message *message)
{
    qr_reader reader = qr_reader_of(message->entries);
    uint64_t index = message->prev_index, first_new = 0;
    for (uint64_t i = 0; i < message->count; i++) {
        qr_raft_view view;
        qr_status status = qr_raft_entry_decode(&reader, &view);
        QR_ASSERT(status == QR_OK); /* the message was checked as a whole */
        index++;
        if (index <= raft->log.base_index)
            continue;
        if (index <= raft->log.last) {
            if (qr_raft_log_term(&raft->log, index) == view.term)
                continue;
            if (index <= raft->commit) {
                qr_raft_halt(raft, "the leader's log contradicts an entry that is committed here");
                return false;
            }
            qr_raft_trace(raft, QR_TRACE_TRUNCATE, index, view.term, 0, 0);
            qr_raft_truncate(raft, index);
        }
        if (first_new == 0)
            first_new = index;
        qr_raft_add_entry(raft, view.term, view.kind, view.bytes);
    }
    if (first_new)
        qr_raft_trace(raft, QR_TRACE_APPEND, first_new, index, qr_raft_log_last_term(&raft->log), 0);
    if (QR_BUG(raft->config.bug, TRUNCATE_ALWAYS) && index < raft->log.last && index >= raft->log.base_index)
        qr_raft_truncate(raft, index + 1);
    return true;
}

static bool prefix_agrees(const qr_raft_engine *raft, const qr_raft_message *message)
{
    if (message->prev_index <
        raft->log.base_index) /* committed, so it is in every later leader's log (5.4.3) */
        return true;
    if (message->prev_index > raft->log.last)
        return false;
    if (QR_BUG(raft->config.bug, LOST_TRUNCATION))
        return true;
    return qr_raft_log_term(&raft->log, message->prev_index) == message->prev_term;
}

/* Whoever sends appends in this term is its leader (5.2). False: a second one, which cannot be. */
static bool hear_leader(qr_raft_engine *raft, uint64_t from)
{
    if (raft->role == QR_LEADER || (raft->leader && raft->leader != from)) {
        qr_raft_trace(raft, QR_TRACE_DROP, from, QR_E_DENIED, 0, 0);
        return false;
    }
    const qr_peer *peer = qr_peers_of(&raft->peers, from); /* NULL: a configuration that is not here yet */
    if (peer && peer->link == QR_LINK_DOWN)
        return raft->leader == from; /* last words: good for the log, no sign of life */
    if (raft->leader == 0 || raft->role == QR_PRECANDIDATE || raft->role == QR_CANDIDATE)
        qr_raft_follow(raft, raft->term, from);
    raft->attempts = 0;
    raft->gone_leader = 0;
    raft->postponed = false;
    raft->heard_ms = raft->now_ms;
    raft->heard_any = true;
    qr_raft_timer_reset(raft);
    return true;
}

void qr_raft_on_append(qr_raft_engine *raft, uint64_t from, const qr_raft_message *message)
{
    QR_ASSERT(message->term == raft->term);
    if (!hear_leader(raft, from))
        return;
    if (message->round > raft->reads.round || (message->flags & QR_RAFT_WANTED))
        raft->answer_due = true;
    raft->reads.round = message->round > raft->reads.round ? message->round : raft->reads.round;
    if (!prefix_agrees(raft, message)) {
        if (message->prev_index <= raft->commit)
            qr_raft_halt(raft, "the leader's log contradicts an entry that is committed here");
        else
            reject(raft, from, message);
        return;
    }
    if (!take_entries(raft, message))
        return;
    uint64_t end = message->prev_index + message->count;
    raft->matched = end > raft->matched ? end : raft->matched;
    /* 5.3, figure 2: only what this very append has shown to agree may be taken as committed (facts row 5).
     */
    uint64_t bound = QR_BUG(raft->config.bug, COMMIT_UNMATCHED) ? raft->log.last : end;
    qr_raft_commit_to(raft, message->commit < bound ? message->commit : bound);
    raft->matched = raft->commit > raft->matched ? raft->commit : raft->matched;
    if (message->count &&
        (end <= raft->durable_index || raft->now_ms - raft->answered_ms >= raft->config.heartbeat_ms))
        raft->answer_due = true;
}

/* One answer a turn. New entries are acknowledged once they are durable, not before (facts row 4); questions
 * of the leader whether it still leads are answered at once. */
void qr_raft_follower_tick(qr_raft_engine *raft)
{
    if (raft->leader == 0 || (raft->role != QR_FOLLOWER && raft->role != QR_LEARNER))
        return;
    uint64_t match = raft->matched < raft->durable_index ? raft->matched : raft->durable_index;
    if (raft->reject_due) {
        raft->reject.round = raft->reads.round;
        qr_raft_say(raft, raft->leader, true, &raft->reject);
    }
    if ((raft->answer_due && !raft->reject_due) || match > raft->answered_match) {
        qr_raft_say(raft, raft->leader, true,
                    &(qr_raft_message){.kind = QR_RAFT_APPEND_ANSWER,
                                       .term = raft->term,
                                       .accepted = raft->matched,
                                       .match = match,
                                       .round = raft->reads.round});
        raft->answered_match = match;
        raft->answered_ms = raft->now_ms;
    }
    raft->answer_due = raft->reject_due = false;
}

/* ------------------------------------------------------------ leader ---- */

static void on_rejection(qr_raft_engine *raft, qr_peer *peer, const qr_raft_message *message)
{
    uint64_t prev = message->prev_index;
    bool is_stale =
        peer->progress == QR_PROBE ? prev != peer->next - 1 : prev <= peer->match || prev >= peer->next;
    if (prev == 0 || is_stale || peer->progress == QR_CHECKPOINT)
        return; /* an answer to an older append, or one that came twice */
    const qr_raft_log *log = &raft->log;
    uint64_t highest = message->last_index < prev ? message->last_index : prev - 1;
    uint64_t agreed = qr_raft_log_find(log, highest, message->last_term);
    if (message->last_index < log->base_index ||
        (agreed == log->base_index && (log->base_term > message->last_term || prev == log->base_index))) {
        qr_peer_needs_checkpoint(peer, log->base_index);
        return;
    }
    /* A probe of the last entry that the peer had acknowledged is denied: its disk has lost what it promised
     * to keep. It gets those entries again; taking less for stored than there is never harms. */
    if (peer->progress == QR_PROBE && prev == peer->match && agreed < peer->match)
        peer->match = agreed;
    /* match < next <= last + 1 (facts row 24) */
    qr_peer_rejects(peer, (agreed > peer->match ? agreed : peer->match) + 1);
}

void qr_raft_on_append_answer(qr_raft_engine *raft, uint64_t from, const qr_raft_message *message)
{
    if (raft->role != QR_LEADER)
        return;
    qr_peer *peer = qr_peers_find(&raft->peers, from);
    if (message->accepted > raft->log.last || message->round > raft->reads.round) {
        qr_raft_trace(raft, QR_TRACE_DROP, from, QR_E_INVALID, 0, 0);
        return;
    }
    peer->heard_ms = raft->now_ms;
    peer->answered = peer->answered_any = true;
    peer->round = message->round > peer->round ? message->round : peer->round;
    raft->heartbeat_due = raft->heartbeat_due || QR_BUG(raft->config.bug, MESSAGE_STORM);
    if (message->flags & QR_RAFT_REJECTED)
        on_rejection(raft, peer, message);
    else
        qr_peer_agrees(peer, message->accepted, message->match);
}

/* The message whose head is in scratch, with the entries from..last behind it. Peers that are equally far get
 * the same bytes: a head says which entries follow, so the same head in the same turn is the same message. */
static qr_slice append_bytes(qr_raft_engine *raft, uint64_t from, uint64_t last, size_t bytes)
{
    size_t head = raft->scratch.size;
    qr_slice *told = &raft->told;
    if (told->size == head + bytes && memcmp(told->data, raft->scratch.data, head) == 0)
        return *told;
    uint8_t *whole = qr_arena_alloc(&raft->effects->arena, head + bytes);
    memcpy(whole, raft->scratch.data, head);
    uint8_t *end = qr_raft_copy(raft, from, last, whole + head);
    QR_ASSERT(end == whole + head + bytes);
    return *told = qr_slice_of(whole, head + bytes);
}

/* Sends header and entries from peer->next to last as one message. */
static void send_append(qr_raft_engine *raft, qr_peer *peer, uint64_t last, size_t bytes, bool wanted)
{
    uint64_t prev = peer->next - 1;
    QR_ASSERT(prev <= raft->log.last && last <= raft->log.last && last >= prev);
    qr_raft_message message = {.kind = QR_RAFT_APPEND,
                               .term = raft->term,
                               .flags = wanted ? QR_RAFT_WANTED : 0,
                               .prev_index = prev,
                               .prev_term = qr_raft_log_term(&raft->log, prev),
                               .commit = raft->commit,
                               .round = raft->reads.round,
                               .count = last - prev};
    qr_buffer_clear(&raft->scratch);
    qr_raft_message_encode(&message, &raft->scratch);
    qr_effect *effect =
        qr_effects_add(raft->effects, QR_EFFECT_SEND, 0); /* the own disk may still be busy with it */
    effect->send.to = peer->id;
    effect->send.bytes = append_bytes(raft, prev + 1, last, bytes);
    effect->send.head = raft->scratch.size;
    peer->round_sent = raft->reads.round;
    peer->commit_sent = raft->commit;
}

/* The last entry from peer->next on that fits in one message; next - 1 if the first one is not at hand. */
static uint64_t fill(qr_raft_engine *raft, const qr_peer *peer, size_t *bytes)
{
    uint64_t last = qr_raft_measure(raft, peer->next, raft->log.last, raft->config.message_max, bytes);
    if (last < peer->next && peer->next <= raft->log.last)
        qr_raft_want(raft, peer->next, raft->log.last, false);
    return last;
}

static bool pipeline(qr_raft_engine *raft, qr_peer *peer)
{
    bool sent = false;
    size_t told = 0, bytes;
    while (peer->next <= raft->log.last && qr_peer_has_room(peer)) {
        if (told >= QR_TURN_BYTES_MAX) {
            raft->more = true;
            break;
        }
        uint64_t last = fill(raft, peer, &bytes);
        if (last < peer->next)
            break;
        send_append(raft, peer, last, bytes, raft->heartbeat_due && !sent);
        qr_peer_flies(peer, last, bytes);
        told += bytes;
        sent = true;
    }
    return sent;
}

static void offer_checkpoint(qr_raft_engine *raft, qr_peer *peer)
{
    if (!QR_BUG(raft->config.bug, CHECKPOINT_WITHHELD) && qr_peer_offer(peer, &raft->config, raft->now_ms))
        qr_effects_add(raft->effects, QR_EFFECT_SEND_CHECKPOINT, 0)->send_checkpoint.to = peer->id;
}

static void send_to(qr_raft_engine *raft, qr_peer *peer)
{
    bool must = raft->heartbeat_due || (raft->reads.round_running && peer->round_sent < raft->reads.round);
    if (peer->link == QR_LINK_DOWN && !raft->heartbeat_due)
        return;
    if (peer->next <= raft->log.base_index) /* the log was shortened meanwhile */
        qr_peer_needs_checkpoint(peer, raft->log.base_index);
    switch (peer->progress) {
    case QR_PIPELINE:
        if (!pipeline(raft, peer) && (must || peer->commit_sent < raft->commit))
            send_append(raft, peer, peer->next - 1, 0, must);
        break;
    case QR_PROBE:
        if (!peer->probing) {
            size_t bytes = 0;
            uint64_t last = peer->link == QR_LINK_DOWN ? peer->next - 1 : fill(raft, peer, &bytes);
            send_append(raft, peer, last, bytes, true);
            peer->probing = true;
        } else if (must) { /* the probe may be lost: the same question without its load */
            send_append(raft, peer, peer->next - 1, 0, true);
        }
        break;
    case QR_CHECKPOINT:
        if (must || !peer->probing)
            send_append(raft, peer, peer->next - 1, 0, true);
        peer->probing = true;
        if (peer->link != QR_LINK_DOWN && peer->leaving_ms == 0)
            offer_checkpoint(raft, peer);
        break;
    }
}

static uint64_t match_of(const void *context, uint64_t id)
{
    const qr_raft_engine *raft = context;
    const qr_peer *peer = qr_peers_of(&raft->peers, id);
    uint64_t match = id == raft->config.self ? raft->durable_index : peer ? peer->match : 0;
    for (uint32_t i = 0; QR_BUG(raft->config.bug, LEARNER_COUNTED) && i < raft->peers.count; i++)
        if (raft->peers.list[i].match > match &&
            !qr_members_votes(qr_raft_members(raft), raft->peers.list[i].id))
            match = raft->peers.list[i].match;
    return match;
}

/* 5.3 and 5.4.2: an entry of the own term on a majority of disks is committed, and all before it. Older ones
 * are never counted (figure 8, facts row 2). */
void qr_raft_leader_count(qr_raft_engine *raft)
{
    if (raft->now_ms >= raft->heartbeat_ms) {
        raft->heartbeat_due = true;
        raft->heartbeat_ms = raft->now_ms + raft->config.heartbeat_ms;
    }
    uint64_t index = qr_quorum_value(qr_raft_counted(raft), match_of, raft);
    index = index < raft->log.last ? index : raft->log.last;
    if (index <= raft->commit)
        return;
    if (qr_raft_log_term(&raft->log, index) == raft->term || QR_BUG(raft->config.bug, COMMIT_OLD_TERM))
        qr_raft_commit_to(raft, index);
}

void qr_raft_leader_tick(qr_raft_engine *raft)
{
    qr_raft_reads_tick(raft);
    raft->told = qr_slice_of(NULL, 0); /* of an earlier step: its memory is gone */
    for (uint32_t i = 0; i < raft->peers.count; i++)
        send_to(raft, &raft->peers.list[(i + raft->fetch_turn) % raft->peers.count]);
    qr_raft_handover_tick(raft);
    raft->heartbeat_due = false;
    qr_raft_members_retire(raft);
}

#include "raft/raft.h"

#include "raft/raft_internal.h"

static qr_raft_engine *raft_of(qr_engine *engine)
{
    return (qr_raft_engine *)engine;
}
static const qr_raft_engine *raft_of_const(const qr_engine *engine)
{
    return (const qr_raft_engine *)engine;
}

static qr_engine *raft_open(const qr_engine_config *config)
{
    QR_ASSERT(config->self != 0 && config->heartbeat_ms > 0 && config->election_ms > config->heartbeat_ms);
    QR_ASSERT(qr_members_check(&config->members) == QR_OK);
    qr_raft_engine *raft = qr_alloc_zero(1, sizeof *raft);
    raft->base.ops = &qr_raft;
    raft->config = *config;
    if (raft->config.memory_max == 0)
        raft->config.memory_max = QR_RAFT_MEMORY_DEFAULT;
    if (raft->config.message_max == 0)
        raft->config.message_max = QR_RAFT_MESSAGE_DEFAULT;
    qr_prng_seed(&raft->prng, config->seed);
    raft->now_ms = raft->heard_ms = config->now_ms;
    qr_raft_log_init(&raft->log);
    raft->unsaved_first = 1;
    raft->base_found = true;
    raft->configs[0] = (qr_raft_config_row){.index = 0, .members = config->members};
    raft->config_count = 1;
    raft->role = QR_FOLLOWER;
    raft->untold = true;
    qr_reads_init(&raft->reads, config->now_ms);
    qr_raft_timer_reset(raft);
    return &raft->base;
}

static void raft_free(qr_engine *engine)
{
    if (engine == NULL)
        return;
    qr_raft_engine *raft = raft_of(engine);
    qr_raft_log_free(&raft->log);
    qr_free(raft->flights);
    qr_reads_free(&raft->reads);
    qr_free(raft->fetched.rows);
    qr_buffer_free(&raft->fetched.bytes);
    qr_free(raft->outbox);
    qr_buffer_free(&raft->scratch);
    qr_free(raft);
}

/* ------------------------------------------------------------ helpers ---- */

void qr_raft_halt(qr_raft_engine *raft, const char *sentence)
{
    if (raft->halted)
        return;
    raft->halted = true;
    qr_raft_trace(raft, QR_TRACE_HALT, 0, 0, 0, 0);
    qr_effects_add(raft->effects, QR_EFFECT_HALT, 0)->halt.why = sentence;
}

void qr_raft_refuse(qr_raft_engine *raft, qr_event_kind what, uint64_t tag, qr_status why)
{
    qr_effects_refuse(raft->effects, what, tag, raft->leader, why);
}

void qr_raft_say(qr_raft_engine *raft, uint64_t to, bool promises, const qr_raft_message *message)
{
    if (raft->outbox_count == QR_RAFT_OUTBOX_MAX)
        return;
    if (raft->outbox_count == raft->outbox_room) {
        raft->outbox_room = raft->outbox_room ? raft->outbox_room * 2 : 16;
        raft->outbox = qr_realloc(raft->outbox, raft->outbox_room * sizeof *raft->outbox);
    }
    raft->outbox[raft->outbox_count++] = (qr_raft_mail){.to = to, .promises = promises, .message = *message};
}

static void outbox_send(qr_raft_engine *raft)
{
    for (size_t i = 0; i < raft->outbox_count; i++) {
        const qr_raft_mail *mail = &raft->outbox[i];
        qr_buffer_clear(&raft->scratch);
        qr_raft_message_encode(&mail->message, &raft->scratch);
        uint64_t after = mail->promises ? raft->hard_ticket : 0;
        if (mail->message.kind == QR_RAFT_APPEND_ANSWER && raft->durable_ticket > after)
            after = raft->durable_ticket; /* what is acknowledged is durable with it */
        qr_effect *effect = qr_effects_add(raft->effects, QR_EFFECT_SEND, after);
        effect->send.to = mail->to;
        effect->send.bytes = qr_arena_copy(&raft->effects->arena, qr_buffer_slice(&raft->scratch));
        effect->send.head = effect->send.bytes.size;
    }
    raft->outbox_count = 0;
}

/* ------------------------------------------------------------ messages ---- */

/* A message of an older term is answered only where its sender would wait in vain without the news. */
static void answer_old_term(qr_raft_engine *raft, uint64_t from, const qr_raft_message *message)
{
    qr_raft_message answer = {.term = raft->term, .flags = QR_RAFT_REJECTED};
    if (message->kind == QR_RAFT_APPEND) {
        answer.kind = QR_RAFT_APPEND_ANSWER;
        answer.prev_index = message->prev_index;
    } else if (message->kind == QR_RAFT_READ_ASK) {
        answer.kind = QR_RAFT_READ_ANSWER;
        answer.id = message->id;
    } else {
        return;
    }
    qr_raft_say(raft, from, true, &answer);
}

static void dispatch(qr_raft_engine *raft, uint64_t from, const qr_raft_message *message)
{
    switch (message->kind) { /* votes look at terms in their own way */
    case QR_RAFT_PREVOTE_ASK: qr_raft_on_prevote_ask(raft, from, message); return;
    case QR_RAFT_PREVOTE_ANSWER: qr_raft_on_prevote_answer(raft, from, message); return;
    case QR_RAFT_VOTE_ASK: qr_raft_on_vote_ask(raft, from, message); return;
    default: break;
    }
    if (message->term < raft->term) {
        answer_old_term(raft, from, message);
        return;
    }
    if (message->term > raft->term) /* 5.1 */
        qr_raft_follow(raft, message->term, message->kind == QR_RAFT_APPEND ? from : 0);
    switch (message->kind) {
    case QR_RAFT_VOTE_ANSWER: qr_raft_on_vote_answer(raft, from, message); break;
    case QR_RAFT_APPEND: qr_raft_on_append(raft, from, message); break;
    case QR_RAFT_APPEND_ANSWER: qr_raft_on_append_answer(raft, from, message); break;
    case QR_RAFT_TIMEOUT_NOW: qr_raft_on_timeout_now(raft, from); break;
    case QR_RAFT_READ_ASK: qr_raft_on_read_ask(raft, from, message); break;
    case QR_RAFT_READ_ANSWER: qr_raft_on_read_answer(raft, from, message); break;
    default: QR_CHECK(false, "a message kind without a handler");
    }
}

static qr_status judge_sender(qr_raft_engine *raft, uint64_t from, uint64_t incarnation)
{
    qr_status status =
        qr_peers_judge(&raft->peers, qr_raft_members(raft), raft->role == QR_LEADER, from, incarnation);
    if (status == QR_E_NOT_FOUND && QR_BUG(raft->config.bug, WIPED_VOTES) && qr_peers_of(&raft->peers, from))
        return QR_OK;
    return status;
}

/* D 4.1: requests are processed without a look at the own configuration, which may be an old one: else a
 * joiner would never hear its leader, nor a member that is behind the leader whom it does not know yet. What
 * a stranger answers counts nowhere, and nothing but a vote or an append may bring a later term. */
static bool may_stranger_say(const qr_raft_engine *raft, const qr_raft_message *message)
{
    switch (message->kind) {
    case QR_RAFT_PREVOTE_ASK:
    case QR_RAFT_VOTE_ASK:
    case QR_RAFT_APPEND: return true;
    case QR_RAFT_TIMEOUT_NOW:
    case QR_RAFT_READ_ASK:
    case QR_RAFT_READ_ANSWER: return message->term <= raft->term;
    default: return false;
    }
}

static void on_recv(qr_raft_engine *raft, const qr_event *event)
{
    uint64_t from = event->recv.from;
    qr_raft_message message;
    qr_status status = qr_raft_message_decode(event->recv.bytes, &message);
    qr_status sender = from == 0 || from == raft->config.self
                           ? QR_E_INVALID
                           : judge_sender(raft, from, event->recv.incarnation);
    if (status == QR_OK && (sender != QR_E_NOT_FOUND || !may_stranger_say(raft, &message)))
        status = sender;
    if (status != QR_OK) {
        qr_raft_trace(raft, QR_TRACE_DROP, from, status, 0, 0);
        return;
    }
    qr_peer *peer = qr_peers_find(&raft->peers, from);
    if (peer && peer->leaving_ms && message.term > raft->term && !may_stranger_say(raft, &message))
        return; /* D 4.2.3: who was removed deposes nobody */
    /* Right after a connection broke its last messages may still come in. Later ones show that the peer is
     * there. */
    if (peer && peer->link == QR_LINK_DOWN && raft->now_ms - peer->down_ms >= raft->config.heartbeat_ms)
        peer->link = QR_LINK_UNKNOWN;
    if (peer && peer->incarnation == 0 && message.kind == QR_RAFT_APPEND_ANSWER && raft->role == QR_LEADER &&
        message.term == raft->term)
        peer->incarnation = event->recv.incarnation; /* the first contact */
    dispatch(raft, from, &message);
}

/* ------------------------------------------------------------ events ---- */

/* The end of a turn: timers, then everything that the turn's events have left to say. */
static void on_tick(qr_raft_engine *raft)
{
    raft->more = false;
    /* Bytes that COMMIT effects of the last step pointed at may go now. */
    uint64_t spare_max = raft->emitted < raft->unsaved_first - 1 ? raft->emitted : raft->unsaved_first - 1;
    qr_raft_log_trim(&raft->log, spare_max, raft->config.memory_max);
    qr_raft_election_tick(raft);
    if (raft->role == QR_LEADER) {
        qr_raft_leader_count(raft);
        qr_raft_members_tick(raft);
    }
    qr_raft_persist(raft);
    if (raft->role == QR_LEADER) {
        qr_raft_leader_tick(raft);
    } else {
        qr_raft_reads_tick(raft);
        qr_raft_follower_tick(raft);
    }
    outbox_send(raft);
    qr_raft_emit(raft);
    qr_raft_fetch_tick(raft);
    raft->untold = false;
}

static void on_applied(qr_raft_engine *raft, uint64_t index)
{
    if (index > raft->emitted && index <= raft->log.last) { /* at boot: the machine came from a checkpoint */
        raft->emitted = index;
        raft->commit = raft->commit > index ? raft->commit : index;
    }
    raft->applied = raft->applied > index ? raft->applied : index;
}

static void handle(qr_raft_engine *raft, const qr_event *event)
{
    switch (event->kind) {
    case QR_EVENT_TICK: on_tick(raft); break;
    case QR_EVENT_RECV: on_recv(raft, event); break;
    case QR_EVENT_LINK: qr_raft_on_link(raft, event->link.peer, event->link.up); break;
    case QR_EVENT_PROPOSE: qr_raft_on_propose(raft, event->propose.commands, event->propose.count); break;
    case QR_EVENT_READ: qr_raft_on_read(raft, event->read.tag); break;
    case QR_EVENT_DURABLE: qr_raft_on_durable(raft, event->durable.ticket); break;
    case QR_EVENT_APPLIED: on_applied(raft, event->applied.index); break;
    case QR_EVENT_ENTRIES: qr_raft_on_entries(raft, event); break;
    case QR_EVENT_CHECKPOINT: qr_raft_on_checkpoint(raft, event); break;
    case QR_EVENT_MEMBERS: qr_raft_on_members(raft, event->members.wanted, event->members.tag); break;
    case QR_EVENT_HANDOVER: qr_raft_on_handover(raft, event->handover.target); break;
    }
}

static void raft_step(qr_engine *engine, const qr_event *event, qr_effects *effects)
{
    qr_raft_engine *raft = raft_of(engine);
    if (raft->halted)
        return;
    raft->now_ms = event->now_ms > raft->now_ms ? event->now_ms : raft->now_ms;
    raft->effects = effects;
    raft->untold = true;
    if (!raft->stepped)
        qr_raft_recall_end(raft);
    handle(raft, event);
    if (!raft->reported.valid || raft->reported.role != raft->role || raft->reported.term != raft->term ||
        raft->reported.leader != raft->leader) {
        raft->reported.valid = true;
        raft->reported.role = raft->role;
        raft->reported.term = raft->term;
        raft->reported.leader = raft->leader;
        qr_effect *effect = qr_effects_add(effects, QR_EFFECT_ROLE, 0);
        effect->role.role = raft->role;
        effect->role.term = raft->term;
        effect->role.leader = raft->leader;
    }
    raft->effects = NULL;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t raft_wake_ms(const qr_engine *engine)
{
    const qr_raft_engine *raft = raft_of_const(engine);
    if (raft->halted)
        return UINT64_MAX;
    if (raft->untold || raft->more)
        return raft->now_ms;
    if (raft->role == QR_LEADER) {
        if (raft->peers.count == 0)
            return UINT64_MAX;
        uint64_t wake = earlier(raft->heartbeat_ms, qr_raft_quorum_heard_ms(raft) + raft->config.election_ms);
        return raft->handover_to ? earlier(wake, raft->handover_ms) : wake;
    }
    uint64_t wake = raft->reads.ask_running ? raft->reads.ask_ms + raft->config.heartbeat_ms : UINT64_MAX;
    if (qr_raft_may_stand(raft) || raft->leader)
        wake = earlier(wake, qr_raft_vote_pending(raft) ? UINT64_MAX : raft->deadline_ms);
    return wake;
}

/* ------------------------------------------------------------ looking in ---- */

static const char *broken_leader(const qr_raft_engine *raft)
{
    if (raft->vote != raft->config.self)
        return "a leader that has not voted for itself";
    for (uint32_t i = 0; i < raft->peers.count; i++) {
        const qr_peer *peer = &raft->peers.list[i];
        if (peer->match >= peer->next || peer->next > raft->log.last + 1)
            return "match < next <= last + 1"; /* facts row 24 */
        if (peer->flying_count > QR_FLYING_MAX || peer->round > raft->reads.round)
            return "a peer's answers are ahead of the questions";
    }
    return NULL;
}

static const char *raft_broken(const qr_engine *engine)
{
    const qr_raft_engine *raft = raft_of_const(engine);
    const qr_raft_log *log = &raft->log;
    if (raft->commit > log->last)
        return "commit index beyond the log"; /* facts row 5 */
    if (raft->emitted > raft->commit || raft->emitted < log->base_index)
        return "applied entries are committed, and without a gap to the checkpoint";
    if (raft->durable_index > log->last || raft->unsaved_first > log->last + 1 ||
        raft->unsaved_first <= log->base_index)
        return "durable entries are in the log";
    if (raft->stepped && raft->term < qr_raft_log_last_term(log))
        return "no entry is of a later term than its member";
    uint64_t term = log->base_term, first = log->base_index;
    for (size_t i = 0; i < log->run_count; i++) {
        bool rises = i == 0 ? log->runs[i].term >= term && log->runs[i].first == first + 1
                            : log->runs[i].term > term && log->runs[i].first > first;
        if (!rises)
            return "terms rise along the log";
        term = log->runs[i].term;
        first = log->runs[i].first;
    }
    const char *members = qr_raft_members_broken(raft);
    return members == NULL && raft->role == QR_LEADER ? broken_leader(raft) : members;
}

static void raft_status(const qr_engine *engine, qr_engine_status *status)
{
    const qr_raft_engine *raft = raft_of_const(engine);
    *status = (qr_engine_status){.role = raft->role,
                                 .term = raft->term,
                                 .leader = raft->leader,
                                 .commit_index = raft->commit,
                                 .last_index = raft->log.last,
                                 .first_index = raft->log.base_index + 1,
                                 .members = *qr_raft_members(raft),
                                 .members_index = raft->configs[raft->config_count - 1].index};
    for (uint32_t i = 0; raft->role == QR_LEADER && i < status->members.count; i++) {
        const qr_peer *peer = qr_peers_of(&raft->peers, status->members.list[i].id);
        status->match[i] = peer ? peer->match : raft->durable_index;
        status->alive[i] = peer == NULL || qr_peer_alive(peer, &raft->config, raft->now_ms);
    }
}

static uint64_t raft_entry(const qr_engine *engine, uint64_t index, qr_entry_kind *kind, qr_slice *bytes)
{
    qr_raft_view view;
    if (!qr_raft_log_read(&raft_of_const(engine)->log, index, &view))
        return 0;
    *kind = view.kind;
    *bytes = view.bytes;
    return view.term;
}

static void raft_brief(const qr_engine *engine, qr_buffer *out)
{
    qr_raft_brief(raft_of_const(engine), out);
}

static qr_status raft_recall(qr_engine *engine, qr_slice record, bool is_brief)
{
    return qr_raft_recall(raft_of(engine), record, is_brief);
}

const qr_engine_ops qr_raft = {
    .name = "raft",
    .format = QR_RAFT_FORMAT,
    .logs_match = true,
    .open = raft_open,
    .recall = raft_recall,
    .step = raft_step,
    .brief = raft_brief,
    .wake_ms = raft_wake_ms,
    .broken = raft_broken,
    .status = raft_status,
    .entry = raft_entry,
    .free = raft_free,
    .image = qr_raft_image,
    .restore = qr_raft_restore,
    .redact = qr_raft_redact,
    .expand = qr_raft_expand,
};

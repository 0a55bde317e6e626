#include "paxos/paxos.h"

#include "paxos/inside.h"

static qr_paxos_engine *paxos_of(qr_engine *engine)
{
    return (qr_paxos_engine *)engine;
}
static const qr_paxos_engine *paxos_of_const(const qr_engine *engine)
{
    return (const qr_paxos_engine *)engine;
}

static qr_engine *paxos_open(const qr_engine_config *config)
{
    QR_ASSERT(config->self != 0 && config->heartbeat_ms > 0 && config->election_ms > config->heartbeat_ms);
    QR_ASSERT(qr_members_check(&config->members) == QR_OK);
    qr_paxos_engine *paxos = qr_alloc_zero(1, sizeof *paxos);
    paxos->base.ops = &qr_paxos;
    paxos->config = *config;
    if (paxos->config.memory_max == 0)
        paxos->config.memory_max = QR_PAXOS_MEMORY_DEFAULT;
    if (paxos->config.message_max == 0)
        paxos->config.message_max = QR_PAXOS_MESSAGE_DEFAULT;
    qr_prng_seed(&paxos->prng, config->seed);
    paxos->now_ms = paxos->heard_ms = config->now_ms;
    qr_paxos_log_init(&paxos->log);
    paxos->unsaved_first = 1;
    paxos->base_found = true;
    qr_paxos_config_set(paxos, &(qr_paxos_config_row){.members = config->members}, 1);
    paxos->role = QR_FOLLOWER;
    paxos->untold = true;
    qr_reads_init(&paxos->reads, config->now_ms);
    qr_paxos_timer_reset(paxos);
    return &paxos->base;
}

static void paxos_free(qr_engine *engine)
{
    if (engine == NULL)
        return;
    qr_paxos_engine *paxos = paxos_of(engine);
    qr_paxos_log_free(&paxos->log);
    qr_paxos_shelf_free(&paxos->shelf);
    qr_paxos_shelf_free(&paxos->fetched);
    qr_free(paxos->flights);
    qr_reads_free(&paxos->reads);
    qr_free(paxos->outbox);
    qr_buffer_free(&paxos->scratch);
    qr_free(paxos);
}

/* ------------------------------------------------------------ helpers ---- */

void qr_paxos_halt(qr_paxos_engine *paxos, const char *sentence)
{
    if (paxos->halted)
        return;
    paxos->halted = true;
    qr_paxos_trace(paxos, QR_TRACE_HALT, 0, 0, 0, 0);
    qr_effects_add(paxos->effects, QR_EFFECT_HALT, 0)->halt.why = sentence;
}

void qr_paxos_refuse(qr_paxos_engine *paxos, qr_event_kind what, uint64_t tag, qr_status why)
{
    qr_effects_refuse(paxos->effects, what, tag, paxos->leader, why);
}

void qr_paxos_say(qr_paxos_engine *paxos, uint64_t to, bool promises, const qr_paxos_message *message)
{
    if (paxos->outbox_count == QR_PAXOS_OUTBOX_MAX)
        return;
    if (paxos->outbox_count == paxos->outbox_room) {
        paxos->outbox_room = paxos->outbox_room ? paxos->outbox_room * 2 : 16;
        paxos->outbox = qr_realloc(paxos->outbox, paxos->outbox_room * sizeof *paxos->outbox);
    }
    paxos->outbox[paxos->outbox_count++] =
        (qr_paxos_mail){.to = to, .promises = promises, .message = *message};
}

uint64_t qr_paxos_send_entries(qr_paxos_engine *paxos, uint64_t peer, uint64_t after,
                               qr_paxos_message *message, uint64_t to, size_t *bytes)
{
    qr_paxos_view view;
    uint64_t end = message->first; /* behind the last one */
    *bytes = 0;
    for (; end <= to && qr_paxos_entry_read(paxos, end, &view); end++) {
        size_t size = view.bytes.size + QR_PAXOS_ENTRY_HEADER_MAX;
        if (end > message->first && *bytes + size > paxos->config.message_max)
            break;
        *bytes += size;
    }
    message->count = end - message->first;
    qr_buffer *out = &paxos->scratch;
    qr_buffer_clear(out);
    qr_paxos_message_encode(message, out);
    size_t head = out->size;
    for (uint64_t index = message->first; index < end; index++) {
        qr_paxos_entry_read(paxos, index, &view);
        qr_paxos_entry_encode(&view, out);
    }
    qr_effect *effect = qr_effects_add(paxos->effects, QR_EFFECT_SEND, after);
    effect->send.to = peer;
    effect->send.bytes = qr_arena_copy(&paxos->effects->arena, qr_buffer_slice(out));
    effect->send.head = head;
    return end - 1;
}

static void outbox_send(qr_paxos_engine *paxos)
{
    for (size_t i = 0; i < paxos->outbox_count; i++) {
        qr_paxos_mail *mail = &paxos->outbox[i];
        uint64_t after = mail->promises ? paxos->tickets : 0, to = 0;
        if (mail->message.kind == QR_PAXOS_ACCEPTED) /* its match is durable already */
            after = paxos->hard_ticket > paxos->durable_ticket ? paxos->hard_ticket : paxos->durable_ticket;
        if (mail->message.kind == QR_PAXOS_PROMISE && (mail->message.flags & QR_PAXOS_GRANTED)) {
            if (mail->message.ballot != paxos->ballot)
                continue; /* overtaken within the turn */
            to = paxos->log.last;
            if (QR_BUG(paxos->config.bug, PAXOS_ACCEPTED_FORGOTTEN) && to <= paxos->recalled_last)
                to = paxos->chosen;
            mail->message.chosen = paxos->chosen;
            mail->message.last = to;
            after = QR_BUG(paxos->config.bug, PAXOS_PROMISE_EARLY) ? 0 : after;
        } else if (mail->message.kind == QR_PAXOS_CHOSEN) {
            to = paxos->chosen;
        }
        size_t bytes;
        qr_paxos_send_entries(paxos, mail->to, after, &mail->message, to, &bytes);
    }
    paxos->outbox_count = 0;
}

/* ------------------------------------------------------------ messages ---- */

/* A message of an older ballot is answered only where its sender would wait in vain without the news (PMMC
 * 2.2: the acceptor always tells its ballot). */
static void answer_old_ballot(qr_paxos_engine *paxos, uint64_t from, const qr_paxos_message *message)
{
    qr_paxos_message answer = {.ballot = paxos->ballot, .flags = QR_PAXOS_REJECTED};
    if (message->kind == QR_PAXOS_ACCEPT) {
        answer.kind = QR_PAXOS_ACCEPTED;
        answer.first = message->first;
    } else if (message->kind == QR_PAXOS_READ_ASK) {
        answer.kind = QR_PAXOS_READ_ANSWER;
        answer.id = message->id;
    } else {
        return;
    }
    qr_paxos_say(paxos, from, true, &answer);
}

static void dispatch(qr_paxos_engine *paxos, uint64_t from, qr_paxos_message *message)
{
    switch (message->kind) { /* these look at ballots in their own way */
    case QR_PAXOS_CANVASS: qr_paxos_on_canvass(paxos, from, message); return;
    case QR_PAXOS_CANVASS_ANSWER: qr_paxos_on_canvass_answer(paxos, from, message); return;
    case QR_PAXOS_PREPARE: qr_paxos_on_prepare(paxos, from, message); return;
    case QR_PAXOS_PROMISE: qr_paxos_on_promise(paxos, from, message); return;
    case QR_PAXOS_CHOSEN: qr_paxos_on_chosen(paxos, message); return;
    default: break;
    }
    if (QR_BUG(paxos->config.bug, PAXOS_BELOW_PROMISE) && message->kind == QR_PAXOS_ACCEPT &&
        message->ballot < paxos->ballot && paxos->promised_to != paxos->config.self) {
        message->ballot = paxos->ballot;
        paxos->promised_to = paxos->leader = from;
    }
    if (message->ballot < paxos->ballot) {
        answer_old_ballot(paxos, from, message);
        return;
    }
    /* An acceptor accepts in every ballot that is not below its promise (PMS 2.2, P1a). */
    if (message->ballot > paxos->ballot)
        qr_paxos_follow(paxos, message->ballot, message->kind == QR_PAXOS_ACCEPT ? from : 0);
    switch (message->kind) {
    case QR_PAXOS_ACCEPT: qr_paxos_on_accept(paxos, from, message); break;
    case QR_PAXOS_ACCEPTED: qr_paxos_on_accepted(paxos, from, message); break;
    case QR_PAXOS_TAKE_OVER: qr_paxos_on_take_over(paxos, from); break;
    case QR_PAXOS_READ_ASK: qr_paxos_on_read_ask(paxos, from, message); break;
    case QR_PAXOS_READ_ANSWER: qr_paxos_on_read_answer(paxos, from, message); break;
    default: QR_CHECK(false, "a message kind without a handler");
    }
}

/* Requests are processed without a look at the own configuration, which may be an old one: else a joiner
 * would never hear its leader. What a stranger answers counts nowhere, and nothing but the beginning of a
 * ballot or an accept may bring a later one. */
static bool may_stranger_say(const qr_paxos_engine *paxos, const qr_paxos_message *message)
{
    switch (message->kind) {
    case QR_PAXOS_CANVASS:
    case QR_PAXOS_PREPARE:
    case QR_PAXOS_ACCEPT:
    case QR_PAXOS_CHOSEN: return true;
    case QR_PAXOS_TAKE_OVER:
    case QR_PAXOS_READ_ASK:
    case QR_PAXOS_READ_ANSWER: return message->ballot <= paxos->ballot;
    default: return false;
    }
}

static void on_recv(qr_paxos_engine *paxos, const qr_event *event)
{
    uint64_t from = event->recv.from;
    qr_paxos_message message;
    qr_status status = qr_paxos_message_decode(event->recv.bytes, &message);
    qr_status sender = from == 0 || from == paxos->config.self
                           ? QR_E_INVALID
                           : qr_peers_judge(&paxos->peers, qr_paxos_members(paxos), paxos->role == QR_LEADER,
                                            from, event->recv.incarnation);
    if (status == QR_OK && (sender != QR_E_NOT_FOUND || !may_stranger_say(paxos, &message)))
        status = sender;
    if (status != QR_OK) {
        qr_paxos_trace(paxos, QR_TRACE_DROP, from, status, 0, 0);
        return;
    }
    qr_peer *peer = qr_peers_find(&paxos->peers, from);
    if (peer && peer->leaving_ms && message.ballot > paxos->ballot && !may_stranger_say(paxos, &message))
        return; /* who was removed deposes nobody */
    /* Right after a connection broke its last messages may still come in. Later ones show that the peer is
     * there. */
    if (peer && peer->link == QR_LINK_DOWN && paxos->now_ms - peer->down_ms >= paxos->config.heartbeat_ms)
        peer->link = QR_LINK_UNKNOWN;
    if (peer && peer->incarnation == 0 && message.kind == QR_PAXOS_ACCEPTED && paxos->role == QR_LEADER &&
        message.ballot == paxos->ballot)
        peer->incarnation = event->recv.incarnation; /* the first contact */
    dispatch(paxos, from, &message);
}

/* ------------------------------------------------------------ events ---- */

/* The end of a turn: timers, then everything that the turn's events have left to say. */
static void on_tick(qr_paxos_engine *paxos)
{
    paxos->more = false;
    /* Bytes that COMMIT effects of the last step pointed at may go now. */
    uint64_t spare_max =
        paxos->emitted < paxos->unsaved_first - 1 ? paxos->emitted : paxos->unsaved_first - 1;
    qr_paxos_log_trim(&paxos->log, spare_max, paxos->config.memory_max);
    qr_paxos_ballot_tick(paxos);
    if (paxos->role == QR_LEADER) {
        qr_paxos_leader_count(paxos);
        qr_paxos_members_tick(paxos);
    }
    qr_paxos_persist(paxos);
    if (paxos->role == QR_LEADER) {
        qr_paxos_leader_tick(paxos);
    } else {
        qr_paxos_prepare_tick(paxos);
        qr_paxos_reads_tick(paxos);
        qr_paxos_follower_tick(paxos);
    }
    outbox_send(paxos);
    qr_paxos_emit(paxos);
    qr_paxos_fetch_tick(paxos);
    paxos->untold = false;
}

static void on_applied(qr_paxos_engine *paxos, uint64_t index)
{
    if (index > paxos->emitted &&
        index <= paxos->log.last) { /* at boot: the machine came from a checkpoint */
        paxos->emitted = index;
        qr_paxos_choose(paxos, index);
    }
    paxos->applied = paxos->applied > index ? paxos->applied : index;
}

static void handle(qr_paxos_engine *paxos, const qr_event *event)
{
    switch (event->kind) {
    case QR_EVENT_TICK: on_tick(paxos); break;
    case QR_EVENT_RECV: on_recv(paxos, event); break;
    case QR_EVENT_LINK: qr_paxos_on_link(paxos, event->link.peer, event->link.up); break;
    case QR_EVENT_PROPOSE: qr_paxos_on_propose(paxos, event->propose.commands, event->propose.count); break;
    case QR_EVENT_READ: qr_paxos_on_read(paxos, event->read.tag); break;
    case QR_EVENT_DURABLE: qr_paxos_on_durable(paxos, event->durable.ticket); break;
    case QR_EVENT_APPLIED: on_applied(paxos, event->applied.index); break;
    case QR_EVENT_ENTRIES: qr_paxos_on_entries(paxos, event); break;
    case QR_EVENT_CHECKPOINT: qr_paxos_on_checkpoint(paxos, event); break;
    case QR_EVENT_MEMBERS: qr_paxos_on_members(paxos, event->members.wanted, event->members.tag); break;
    case QR_EVENT_HANDOVER: qr_paxos_on_handover(paxos, event->handover.target); break;
    }
}

static void paxos_step(qr_engine *engine, const qr_event *event, qr_effects *effects)
{
    qr_paxos_engine *paxos = paxos_of(engine);
    if (paxos->halted)
        return;
    paxos->now_ms = event->now_ms > paxos->now_ms ? event->now_ms : paxos->now_ms;
    paxos->effects = effects;
    paxos->untold = true;
    if (!paxos->stepped)
        qr_paxos_recall_end(paxos);
    handle(paxos, event);
    qr_engine_role role = qr_paxos_role(paxos);
    if (!paxos->reported.valid || paxos->reported.role != role || paxos->reported.ballot != paxos->ballot ||
        paxos->reported.leader != paxos->leader) {
        paxos->reported.valid = true;
        paxos->reported.role = role;
        paxos->reported.ballot = paxos->ballot;
        paxos->reported.leader = paxos->leader;
        qr_effect *effect = qr_effects_add(effects, QR_EFFECT_ROLE, 0);
        effect->role.role = role;
        effect->role.term = paxos->ballot;
        effect->role.leader = paxos->leader;
    }
    paxos->effects = NULL;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t paxos_wake_ms(const qr_engine *engine)
{
    const qr_paxos_engine *paxos = paxos_of_const(engine);
    if (paxos->halted)
        return UINT64_MAX;
    if (paxos->untold || paxos->more)
        return paxos->now_ms;
    if (paxos->role == QR_LEADER) {
        if (paxos->peers.count == 0)
            return UINT64_MAX;
        uint64_t wake =
            earlier(paxos->heartbeat_ms, qr_paxos_quorum_heard_ms(paxos) + paxos->config.election_ms);
        return paxos->handover_to ? earlier(wake, paxos->handover_ms) : wake;
    }
    uint64_t wake = paxos->reads.ask_running ? paxos->reads.ask_ms + paxos->config.heartbeat_ms : UINT64_MAX;
    if (qr_paxos_is_voter(paxos) || paxos->leader)
        wake = earlier(wake, qr_paxos_promise_pending(paxos) ? UINT64_MAX : paxos->deadline_ms);
    return wake;
}

/* ------------------------------------------------------------ looking in ---- */

static const char *broken_leader(const qr_paxos_engine *paxos)
{
    if (paxos->promised_to != paxos->config.self)
        return "a leader that has not promised its ballot to itself";
    for (uint32_t i = 0; i < paxos->peers.count; i++) {
        const qr_peer *peer = &paxos->peers.list[i];
        if (peer->match >= peer->next || peer->next > paxos->taken + 1)
            return "match < next <= taken + 1";
        if (peer->flying_count > QR_FLYING_MAX || peer->round > paxos->reads.round)
            return "a peer's answers are ahead of the questions";
    }
    return NULL;
}

static const char *broken_slots(const qr_paxos_engine *paxos)
{
    const qr_paxos_log *log = &paxos->log;
    uint64_t ballot = paxos->ballot;
    for (uint64_t index = paxos->chosen + 1; index <= log->last; index++) {
        qr_paxos_view view;
        if (!qr_paxos_log_read(log, index, &view))
            return "slots that are not known to be chosen are in memory";
        if (view.ballot > ballot)
            return "no slot was accepted in a later ballot than the promise, or the slot before it";
        if (index <= paxos->taken && view.ballot != paxos->ballot)
            return "what is taken is accepted in this ballot";
        ballot = view.ballot;
    }
    return NULL;
}

static const char *paxos_broken(const qr_engine *engine)
{
    const qr_paxos_engine *paxos = paxos_of_const(engine);
    const qr_paxos_log *log = &paxos->log;
    if (paxos->chosen > paxos->taken || paxos->taken > log->last)
        return "chosen <= taken <= last";
    if (paxos->emitted > paxos->chosen || paxos->emitted < log->base)
        return "applied slots are chosen, and without a gap to the checkpoint";
    if (paxos->durable_index > log->last || paxos->unsaved_first > log->last + 1 ||
        paxos->unsaved_first <= log->base)
        return "durable slots are in the log";
    const char *broken = paxos->stepped ? broken_slots(paxos) : NULL;
    if (broken == NULL)
        broken = qr_paxos_members_broken(paxos);
    return broken == NULL && paxos->role == QR_LEADER ? broken_leader(paxos) : broken;
}

static void paxos_status(const qr_engine *engine, qr_engine_status *status)
{
    const qr_paxos_engine *paxos = paxos_of_const(engine);
    *status = (qr_engine_status){.role = qr_paxos_role(paxos),
                                 .term = paxos->ballot,
                                 .leader = paxos->leader,
                                 .commit_index = paxos->chosen,
                                 .last_index = paxos->role == QR_LEADER ? paxos->taken : paxos->log.last,
                                 .first_index = paxos->log.base + 1,
                                 .members = *qr_paxos_members(paxos),
                                 .members_index = paxos->configs[paxos->config_count - 1].index};
    for (uint32_t i = 0; status->role == QR_LEADER && i < status->members.count; i++) {
        const qr_peer *peer = qr_peers_of(&paxos->peers, status->members.list[i].id);
        uint64_t own = paxos->taken < paxos->durable_index ? paxos->taken : paxos->durable_index;
        status->match[i] = peer ? peer->match : own;
        status->alive[i] = peer == NULL || qr_peer_alive(peer, &paxos->config, paxos->now_ms);
    }
}

static uint64_t paxos_entry(const qr_engine *engine, uint64_t index, qr_entry_kind *kind, qr_slice *bytes)
{
    const qr_paxos_log *log = &paxos_of_const(engine)->log;
    qr_paxos_view view;
    if (!qr_paxos_log_read(log, index, &view))
        return 0;
    *kind = view.kind;
    *bytes = view.bytes;
    return qr_paxos_log_term(log, index);
}

static void paxos_brief(const qr_engine *engine, qr_buffer *out)
{
    qr_paxos_brief(paxos_of_const(engine), out);
}

static qr_status paxos_recall(qr_engine *engine, qr_slice record, bool is_brief)
{
    return qr_paxos_recall(paxos_of(engine), record, is_brief);
}

const qr_engine_ops qr_paxos = {
    .name = "paxos",
    .format = QR_PAXOS_FORMAT,
    .counts_in_committed = true,
    .open = paxos_open,
    .recall = paxos_recall,
    .step = paxos_step,
    .brief = paxos_brief,
    .wake_ms = paxos_wake_ms,
    .broken = paxos_broken,
    .status = paxos_status,
    .entry = paxos_entry,
    .free = paxos_free,
};

/* One replica: opening, turns, answers. node.h tells what it promises; pending.c, reads.c, effects.c,
 * envelope.c and recover.c hold its parts. */
#include "node/internal.h"

static void init(qr_node *node, const qr_node_config *config)
{
    node->config = *config;
    node->machine = config->machine;
    node->level = QR_APPLY_OLDEST;
    node->incarnation = config->incarnation;
    node->now_ms = config->now_ms;
    node->wall_ms = config->wall_ms;
    node->batches_tail = &node->batches;
    qr_trace_init(&node->trace, config->trace_room);
    node->trace.sink = config->trace_sink;
    node->trace.context = config->trace_context;
    node->trace.now_ms = config->now_ms;
    qr_effects_init(&node->effects);
    node->watches.index.seed = config->seed;
    node->health.handover_wait_ms = config->election_ms;
    node->hold.number = 1;
    if (node->config.request_ms == 0)
        node->config.request_ms = QR_NODE_REQUEST_MS;
}

/* What the engine was told while opening is in its first image. */
static void open_box(qr_node *node)
{
    const qr_node_config *config = &node->config;
    if (config->box == NULL)
        return;
    qr_engine_config engine = qr_recover__engine_config(node);
    node->box = qr_box_new(config->box, config->engine, &engine, config->cluster, config->group, node->boot);
    qr_box_clock(node->box, config->now_ms, config->wall_ms);
}

qr_status qr_node_open(const qr_node_config *config, qr_arena *arena, qr_node **opened, const char **sentence)
{
    QR_ASSERT(config->heartbeat_ms > 0 && config->election_ms > config->heartbeat_ms);
    qr_node *node = qr_alloc_zero(1, sizeof *node);
    init(node, config);
    *opened = NULL;
    *sentence = NULL;
    node->opening = true;
    qr_status status = qr_restore__open(node, arena, sentence);
    if (status == QR_OK)
        status = qr_recover__open(node, arena, sentence);
    if (status == QR_OK)
        status = qr_restore__opened(node, arena, sentence);
    node->opening = false;
    if (status != QR_OK) {
        if (*sentence == NULL)
            *sentence = qr_arena_format(arena, "the log cannot be used: %s", qr_status_sentence(status));
        qr_node_free(node);
        return status;
    }
    qr_engine_status engine;
    node->engine->ops->status(node->engine, &engine);
    node->role = engine.role;
    node->term = engine.term;
    node->recalled_index = engine.last_index;
    qr_change__open(node, &engine);
    qr_lease__open(node);
    qr_trace_add(&node->trace, QR_TRACE_BOOT, node->incarnation, node->boot, engine.first_index,
                 engine.last_index);
    open_box(node);
    *opened = node;
    return QR_OK;
}

void qr_node_free(qr_node *node)
{
    if (node == NULL)
        return;
    qr_pending__finish(node, QR_E_STOPPED);
    qr_reads__finish(node, QR_E_STOPPED);
    qr_change__finish(node, QR_E_STOPPED);
    qr_lease__finish(node, QR_E_STOPPED);
    if (node->handover.wanted)
        qr_node__answer(node, node->handover.done, node->handover.owner, QR_E_STOPPED, NULL, 0);
    qr_watch__free(node);
    qr_export__free(node);
    qr_keeper__free(node);
    qr_transfer__free(node);
    qr_receive__free(node);
    qr_restore__free(node->opened);
    qr_lease__free(node);
    qr_box_free(node->box);
    if (node->wal != NULL)
        qr_wal_close(node->wal);
    if (node->engine != NULL)
        node->engine->ops->free(node->engine);
    node->machine->ops->free(node->machine);
    if (node->retired != NULL)
        node->retired->ops->free(node->retired);
    qr_node__free_held(node);
    qr_effects_free(&node->effects);
    qr_arena_free(&node->arena);
    qr_arena_free(&node->admission);
    qr_buffer_free(&node->inbox);
    qr_buffer_free(&node->message);
    qr_free(node->pendings.ring);
    qr_free(node->tickets);
    qr_free(node->proposal);
    qr_trace_free(&node->trace);
    qr_free(node);
}

void qr_node__halt(qr_node *node, const char *sentence)
{
    if (node->halted)
        return;
    node->halted = true;
    node->halt_sentence = sentence;
    qr_trace_add(&node->trace, QR_TRACE_HALT, 0, 0, 0, 0);
    if (node->config.halted != NULL)
        node->config.halted(node->config.context, sentence);
}

void qr_node__wake(qr_node *node)
{
    if (node->config.wake != NULL)
        node->config.wake(node->config.context);
}

void qr_node__answer(qr_node *node, void (*done)(void *, const qr_reply *), void *owner, qr_status status,
                     const void *result, uint64_t index)
{
    if (done == NULL)
        return;
    qr_reply reply = {.status = status, .result = result, .index = index, .term = node->term};
    qr_trace_add(&node->trace, QR_TRACE_REPLY, index, status, 0, 0);
    done(owner, &reply);
}

uint64_t qr_node__digest(const qr_node *node)
{
    return qr_state_digest(node->machine->ops->digest(node->machine), &node->origins, node->level);
}

void qr_node__step(qr_node *node, qr_event *event)
{
    if (node->halted)
        return;
    event->now_ms = node->now_ms;
    qr_effects_clear(&node->effects);
    uint64_t traces = node->trace.count;
    qr_box_before(node->box, node->engine, node->now_ms);
    node->engine->ops->step(node->engine, event, &node->effects);
    qr_box_step(node->box, event, &node->effects, node->trace.count - traces);
    if (event->kind != QR_EVENT_APPLIED) /* after which an engine has nothing to say */
        node->stepped = event->kind != QR_EVENT_TICK;
    qr_node__carry_out(node);
}

/* ---------------------------------------------------------------- requests ---- */

static qr_status submit_write(qr_node *node, const qr_request *request, uint64_t deadline_ms)
{
    if (request->body.size == 0) /* means something to the node itself */
        return QR_E_INVALID;
    if (request->body.size > QR_COMMAND_MAX - QR_PRINCIPAL_MAX - 64)
        return QR_E_TOO_LARGE;
    /* The log could only pile up in memory. About alarms there is little to say, and another one's log takes
     * it. */
    if (node->no_space && (node->role == QR_LEADER || !qr_body_is_of_alarms(request->body)))
        return QR_E_NO_SPACE;
    if (node->health.corrupt) /* whose state is right is not known: nothing is built on it */
        return QR_E_CORRUPT;
    if (node->level < qr_body_level(request->body))
        return QR_E_UNSUPPORTED;
    if (node->machine->ops->admit != NULL) {
        qr_arena_reset(&node->admission);
        qr_status status = node->machine->ops->admit(node->machine, request->body, &node->admission);
        if (status == QR_E_QUOTA)
            return qr_alarm__refuse(node, request, deadline_ms);
        if (status != QR_OK)
            return status;
    }
    return qr_pending__add(node, request, deadline_ms);
}

static qr_status submit_handover(qr_node *node, const qr_request *request, uint64_t deadline_ms)
{
    if (node->handover.wanted)
        return QR_E_BUSY;
    node->handover.wanted = true;
    node->handover.under_way = false;
    node->handover.target = request->target;
    node->handover.deadline_ms = deadline_ms;
    node->handover.done = request->done;
    node->handover.owner = request->owner;
    return QR_OK;
}

qr_status qr_node_submit(qr_node *node, const qr_request *request)
{
    if (node->halted)
        return QR_E_HALTED;
    if (request->principal.size > QR_PRINCIPAL_MAX)
        return QR_E_INVALID;
    uint64_t deadline_ms =
        request->deadline_ms ? request->deadline_ms : node->now_ms + node->config.request_ms;
    qr_status status = QR_OK;
    switch (request->kind) {
    case QR_REQUEST_WRITE: status = submit_write(node, request, deadline_ms); break;
    case QR_REQUEST_READ:
    case QR_REQUEST_READ_LOCAL:
        if (node->read_count >= QR_NODE_PENDING_MAX)
            return QR_E_BUSY;
        qr_reads__add(node, request, deadline_ms);
        break;
    case QR_REQUEST_HANDOVER: status = submit_handover(node, request, deadline_ms); break;
    case QR_REQUEST_MEMBERS: status = qr_change__add(node, request, deadline_ms); break;
    case QR_REQUEST_LEASE_RENEW:
    case QR_REQUEST_LEASE_TIME: status = qr_lease__ask(node, request, deadline_ms); break;
    default: return QR_E_INVALID;
    }
    if (status == QR_OK)
        qr_node__wake(node);
    return status;
}

/* ------------------------------------------------------------------ events ---- */

void qr_node_on_message(qr_node *node, uint64_t from, qr_slice message, uint64_t now_ms)
{
    if (node->halted)
        return;
    node->now_ms = node->trace.now_ms = now_ms;
    qr_envelope_kind kind;
    uint64_t incarnation;
    qr_slice body;
    qr_status status = qr_envelope__open(node, from, message, &kind, &incarnation, &body);
    if (status != QR_OK) {
        qr_trace_add(&node->trace, QR_TRACE_DROP, from, status, 0, 0);
        return;
    }
    if (kind == QR_ENVELOPE_ENGINE) {
        qr_event event = {.kind = QR_EVENT_RECV,
                          .recv = {.from = from, .incarnation = incarnation, .bytes = body}};
        qr_node__step(node, &event);
    } else if (kind == QR_ENVELOPE_FORWARD) {
        qr_reader reader = qr_reader_of(body);
        qr_pending__forwarded(node, &reader);
    } else if (kind == QR_ENVELOPE_HEALTH) {
        qr_reader reader = qr_reader_of(body);
        qr_health__heard(node, from, incarnation, &reader);
    } else if (kind == QR_ENVELOPE_SCRUB) {
        qr_reader reader = qr_reader_of(body);
        qr_scrub__heard(node, from, incarnation, &reader);
    } else if (kind == QR_ENVELOPE_CHANGE) {
        qr_reader reader = qr_reader_of(body);
        qr_change__forwarded(node, from, &reader);
    } else if (kind == QR_ENVELOPE_VERDICT) {
        qr_reader reader = qr_reader_of(body);
        qr_change__verdict(node, &reader);
    } else if (kind == QR_ENVELOPE_LEASE) {
        qr_reader reader = qr_reader_of(body);
        qr_lease__heard(node, from, incarnation, &reader);
    } else if (kind == QR_ENVELOPE_CHECKPOINT) {
        qr_reader reader = qr_reader_of(body);
        qr_transfer__heard(node, from, &reader);
    }
}

void qr_node_on_link(qr_node *node, uint64_t peer, bool up, uint64_t now_ms)
{
    if (node->halted)
        return;
    node->now_ms = node->trace.now_ms = now_ms;
    qr_trace_add(&node->trace, QR_TRACE_LINK, peer, up, 0, 0);
    qr_health__link(node, peer, up);
    qr_event event = {.kind = QR_EVENT_LINK, .link = {.peer = peer, .up = up}};
    qr_node__step(node, &event);
    if (up && peer == node->leader) {
        /* What was under way when the link broke may be lost. */
        node->pendings.unsent = node->pendings.first;
    }
}

/* ------------------------------------------------------------------- turns ---- */

static void tell_durable(qr_node *node)
{
    if (node->durable_ticket == node->told_ticket)
        return;
    node->told_ticket = node->durable_ticket;
    qr_trace_add(&node->trace, QR_TRACE_DURABLE, node->durable_ticket, 0, 0, 0);
    qr_node__release_held(node);
    qr_event event = {.kind = QR_EVENT_DURABLE, .durable = {.ticket = node->told_ticket}};
    qr_node__step(node, &event);
}

static void start_handover(qr_node *node)
{
    if (!node->handover.wanted || node->handover.under_way)
        return;
    node->handover.under_way = true;
    /* An engine gives a transfer up after an election timeout, and says nothing. */
    uint64_t over_ms = node->now_ms + 2 * (uint64_t)node->config.election_ms;
    if (over_ms < node->handover.deadline_ms)
        node->handover.deadline_ms = over_ms;
    qr_event event = {.kind = QR_EVENT_HANDOVER, .handover = {.target = node->handover.target}};
    qr_node__step(node, &event);
}

static void sweep(qr_node *node)
{
    if (node->now_ms < node->sweep_ms)
        return;
    node->sweep_ms = node->now_ms + QR_NODE_SWEEP_MS;
    qr_pending__sweep(node);
    qr_reads__sweep(node);
    qr_change__sweep(node);
    qr_lease__sweep(node);
    if (node->handover.wanted && node->now_ms >= node->handover.deadline_ms) {
        node->handover.wanted = node->handover.under_way = false;
        qr_node__answer(node, node->handover.done, node->handover.owner, QR_E_TIMEOUT, NULL, 0);
    }
}

/* The leader proposes what the machine wants for itself; nobody waits for the answer. */
static void upkeep(qr_node *node)
{
    if (node->role != QR_LEADER || node->now_ms < node->upkeep_ms)
        return;
    node->upkeep_ms = node->now_ms + QR_NODE_UPKEEP_MS;
    qr_buffer body;
    qr_buffer_init(&body);
    if (node->machine->ops->upkeep(node->machine, node->wall_ms, &body)) {
        qr_request request = {.kind = QR_REQUEST_WRITE, .body = qr_buffer_slice(&body)};
        qr_pending__add(node, &request, node->now_ms + node->config.request_ms);
    }
    qr_buffer_free(&body);
}

static void tell_applied(qr_node *node)
{
    if (node->applied_index == node->told_applied)
        return;
    node->told_applied = node->applied_index;
    uint64_t digest = qr_node__digest(node);
    qr_trace_add(&node->trace, QR_TRACE_APPLY, node->applied_index,
                 node->machine->ops->revision(node->machine), digest, 0);
    qr_event event = {.kind = QR_EVENT_APPLIED, .applied = {.index = node->applied_index, .digest = digest}};
    qr_node__step(node, &event);
}

/* A restarted member starts from an empty machine and applies its log again. Local reads wait until it is
 * back where it stood, so that a restart never shows older state than the life before it could have shown. */
static void note_caught_up(qr_node *node)
{
    if (node->caught_up)
        return;
    qr_engine_status engine;
    node->engine->ops->status(node->engine, &engine);
    bool whole_log_applied = node->leader != 0 && engine.commit_index > 0 &&
                             node->applied_index == engine.commit_index &&
                             engine.commit_index == engine.last_index;
    bool back_again = node->recalled_index > 0 && node->applied_index >= node->recalled_index;
    /* A new folder has no life before it, but a joiner gets a long log piece by piece, and at the end of each
     * piece all that it has is applied. What its leader has committed in its own term is recent enough. */
    bool is_recent = node->leader != 0 && node->applied_term == node->term;
    node->caught_up = node->recalled_index > 0 ? whole_log_applied || back_again : is_recent;
}

void qr_node_turn(qr_node *node, uint64_t now_ms, int64_t wall_ms)
{
    if (node->halted) {
        qr_pending__finish(node, QR_E_HALTED);
        qr_reads__finish(node, QR_E_HALTED);
        qr_change__finish(node, QR_E_HALTED);
        qr_lease__finish(node, QR_E_HALTED);
        qr_export__failed(node, QR_E_HALTED);
        qr_watch__finish(node);
        return;
    }
    node->now_ms = node->trace.now_ms = now_ms;
    node->wall_ms = wall_ms;
    qr_box_clock(node->box, now_ms, wall_ms);
    tell_durable(node);
    upkeep(node);
    qr_alarm__turn(node);
    qr_lease__turn(node);
    qr_pending__offer(node);
    qr_level__turn(node);
    qr_reads__start(node);
    qr_health__watch(node);
    start_handover(node);
    qr_change__turn(node);
    qr_receive__turn(node);
    tell_applied(node);
    if (!node->halted && (node->stepped || now_ms >= node->engine->ops->wake_ms(node->engine))) {
        qr_event tick = {.kind = QR_EVENT_TICK};
        qr_node__step(node, &tick);
    }
    note_caught_up(node);
    qr_export__turn(node);
    qr_scrub__turn(node);
    qr_keeper__turn(node);
    qr_transfer__turn(node);
    qr_reads__serve(node);
    qr_watch__turn(node);
    sweep(node);
    if (!node->halted) {
        qr_health__tell(node);
        qr_wal_flush(node->wal);
    }
    qr_node__free_some(node);
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

uint64_t qr_node_wake_ms(const qr_node *node)
{
    if (node->halted)
        return UINT64_MAX;
    uint64_t wake = node->engine->ops->wake_ms(node->engine);
    if (node->stepped || node->more_reads || qr_watch__wants_turn(node) ||
        node->durable_ticket != node->told_ticket)
        wake = node->now_ms;
    bool waiting = node->read_count > 0 || node->pendings.first < node->pendings.next ||
                   node->handover.wanted || node->changes.asked.wanted || node->leases.asked_count > 0;
    if (waiting)
        wake = sooner(wake, node->sweep_ms);
    wake = sooner(wake, qr_change__wake_ms(node));
    wake = sooner(wake, qr_lease__wake_ms(node));
    wake = sooner(wake, qr_alarm__wake_ms(node));
    bool can_offer = node->leader != 0 && node->pendings.unsent < node->pendings.next;
    if (can_offer || node->reads_waiting.count > 0)
        wake = sooner(wake, node->now_ms + QR_NODE_RETRY_MS);
    if (node->role == QR_LEADER)
        wake = sooner(wake, node->upkeep_ms);
    if (node->no_space) /* each flush counts down to another try of the log's */
        wake = sooner(wake, node->now_ms + QR_NODE_RETRY_MS);
    if (node->more_work)
        wake = sooner(wake, node->now_ms + 1);
    if (node->hold.count > 0)
        wake = sooner(wake, node->hold.until_ms);
    wake = sooner(wake, qr_level__wake_ms(node));
    wake = sooner(wake, qr_health__wake_ms(node));
    wake = sooner(wake, qr_scrub__wake_ms(node));
    wake = sooner(wake, qr_keeper__wake_ms(node));
    wake = sooner(wake, qr_transfer__wake_ms(node));
    return sooner(wake, qr_receive__wake_ms(node));
}

/* ------------------------------------------------------------------ status ---- */

void qr_node_status_of(const qr_node *node, qr_node_status *status)
{
    *status = (qr_node_status){
        .cluster = node->config.cluster,
        .group = node->config.group,
        .self = node->config.self,
        .incarnation = node->incarnation,
        .boot = node->boot,
        .applied_index = node->applied_index,
        .applied_term = node->applied_term,
        .digest = qr_node__digest(node),
        .revision = node->machine->ops->revision(node->machine),
        .pending_writes = node->pendings.next - node->pendings.first,
        .pending_reads = node->read_count + node->leases.asked_count,
        .leader_changes = node->leader_changes,
        .halted = node->halted,
        .no_space = node->no_space,
        .halt_sentence = node->halt_sentence,
        .checkpoint_index = node->keeper.newest.index,
        .checkpoint_bytes = node->keeper.newest.size,
        .checkpoint_wall_ms = node->keeper.newest.wall_ms,
        .checkpoint_running = node->keeper.writer != NULL,
        .checkpoint_damaged = node->keeper.damaged_index,
        .receiving = {.peer = node->receiving.from,
                      .index = node->receiving.index,
                      .bytes = node->receiving.durable,
                      .size = node->receiving.size},
    };
    for (size_t i = QR_NODE_SENDINGS_MAX; i-- > 0;) {
        const qr_sending *sending = &node->sendings[i];
        if (sending->peer != 0)
            status->sending = (struct qr_node_transfer){.peer = sending->peer,
                                                        .index = sending->file.index,
                                                        .bytes = sending->offset,
                                                        .size = sending->file.size};
    }
    node->engine->ops->status(node->engine, &status->engine);
    qr_health__status(node, status);
    qr_level__status(node, status);
    qr_wal_status log;
    qr_wal_status_of(node->wal, &log);
    status->log_bytes = log.bytes;
    status->log_segments = log.segments;
}

const qr_engine *qr_node_engine(const qr_node *node)
{
    return node->engine;
}
const qr_machine *qr_node_machine(const qr_node *node)
{
    return node->machine;
}
qr_trace *qr_node_trace(qr_node *node)
{
    return &node->trace;
}

const char *qr_node_broken(const qr_node *node)
{
    if (node->applied_index < node->told_applied)
        return "applied index went back";
    if (node->told_ticket > node->durable_ticket)
        return "engine was told of tickets that are not durable";
    if (node->pendings.first > node->pendings.unsent || node->pendings.unsent > node->pendings.next)
        return "pending writes are out of order";
    return node->engine->ops->broken(node->engine);
}

uint64_t qr_node_member_id(qr_slice peer_urls_sorted, qr_slice token)
{
    uint64_t id = qr_hash(peer_urls_sorted, qr_hash(token, 1));
    return id ? id : 1;
}

uint64_t qr_node_cluster_id(const qr_members *members, qr_slice token)
{
    uint64_t id = qr_hash(token, 2);
    for (uint32_t i = 0; i < members->count; i++)
        id = qr_hash_mix(id, members->list[i].id);
    return id ? id : 1;
}

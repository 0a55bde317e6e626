#include "fake_node.h"

#include "tree/tree.h"

void fake_node_init(qr_node *node)
{
    memset(node, 0, sizeof *node);
    node->tree = qr_tree_open(&(qr_tree_config){0});
    node->leader = FAKE_SELF;
    for (uint64_t i = 0; i < 3; i++)
        qr_members_add(&node->members,
                       (qr_member){.id = FAKE_SELF + i, .role = i == 2 ? QR_ROLE_LEARNER : QR_ROLE_VOTER});
}

qr_status qr_node_submit(qr_node *node, const qr_request *request)
{
    if (node->refusal != QR_OK)
        return node->refusal;
    if (node->count == sizeof node->queue / sizeof node->queue[0])
        return QR_E_BUSY;
    fake_request *queued = &node->queue[node->count++];
    queued->request = node->last = *request;
    qr_buffer_init(&queued->body);
    qr_buffer_add_slice(&queued->body, request->body);
    return QR_OK;
}

static qr_member *member_of(qr_members *members, uint64_t id)
{
    return (qr_member *)(uintptr_t)qr_members_find(members, id);
}

static void drop(qr_members *members, uint64_t id)
{
    qr_member *member = member_of(members, id);
    if (!member)
        return;
    size_t behind = members->count - (size_t)(member - members->list) - 1;
    memmove(member, member + 1, behind * sizeof *member);
    members->count--;
}

static qr_status change_members(qr_node *node, const qr_change *change)
{
    qr_member *member = member_of(&node->members, change->id);
    if (node->verdict != QR_OK)
        return node->verdict;
    if (change->kind == QR_CHANGE_ADD)
        return qr_members_add(
            &node->members,
            (qr_member){.id = change->id, .role = change->voter ? QR_ROLE_VOTER : QR_ROLE_LEARNER});
    if (!member)
        return QR_E_NOT_FOUND;
    if (change->kind == QR_CHANGE_PROMOTE) {
        if (member->role == QR_ROLE_VOTER)
            return QR_E_EXISTS;
        member->role = QR_ROLE_VOTER;
        return QR_OK;
    }
    if (change->kind == QR_CHANGE_REPLACE)
        member_of(&node->members, change->id_new)->role = QR_ROLE_VOTER;
    drop(&node->members, change->id);
    return QR_OK;
}

static qr_status carry_out(qr_node *node, const fake_request *queued, qr_arena *arena, const void **result)
{
    const qr_request *request = &queued->request;
    if (node->failure != QR_OK)
        return node->failure;
    switch (request->kind) {
    case QR_REQUEST_WRITE: {
        node->index++;
        qr_command command = {.apply_version = QR_APPLY_VERSION,
                              .origin = {FAKE_SELF, 1, node->index},
                              .stamp_ms = 1700000000000 + (int64_t)node->index,
                              .body = qr_buffer_slice(&queued->body)};
        return node->tree->ops->apply(node->tree, node->index, &command, arena, result);
    }
    case QR_REQUEST_LEASE_RENEW: return QR_OK; /* nothing ends by time here */
    case QR_REQUEST_HANDOVER: node->leader = request->target; return QR_OK;
    case QR_REQUEST_MEMBERS: return change_members(node, &request->change);
    default: return node->tree->ops->query(node->tree, request->query, arena, result);
    }
}

static void answer(qr_node *node, fake_request *queued, qr_status forced)
{
    qr_arena arena;
    qr_arena_init(&arena);
    const void *result = NULL;
    qr_status status = forced != QR_OK ? forced : carry_out(node, queued, &arena, &result);
    qr_reply reply = {.status = status, .result = result, .index = node->index, .term = 7};
    queued->request.done(queued->request.owner, &reply);
    qr_buffer_free(&queued->body);
    qr_arena_free(&arena);
}

uint16_t qr_node_level(const qr_node *node)
{
    return QR_APPLY_VERSION;
}

const qr_machine *qr_node_machine(const qr_node *node)
{
    return node->tree;
}

qr_status qr_node_look_events(qr_node *node, const qr_events_query *query, qr_events_result *result)
{
    return node->tree->ops->events(node->tree, query, result);
}

qr_status qr_node_look(qr_node *node, const void *query, qr_arena *arena, const void **result)
{
    return node->tree->ops->query(node->tree, query, arena, result);
}

qr_node_export *
qr_node_export_begin(qr_node *node,
                     void (*ready)(void *owner, qr_status status, uint64_t index, uint64_t size), void *owner)
{
    for (size_t i = 0; i < QR_NODE_EXPORTS_MAX; i++) {
        qr_node_export *export = &node->exports[i];
        if (export->node != NULL)
            continue;
        *export = (qr_node_export){.node = node, .ready = ready, .owner = owner};
        return export;
    }
    return NULL;
}

void qr_node_export_read(qr_node_export *export, uint64_t offset, size_t size,
                         void (*done)(void *owner, qr_status status, qr_slice bytes))
{
    QR_ASSERT(export->done == NULL && export->ready == NULL && size <= QR_NODE_EXPORT_READ_MAX);
    export->done = done;
    export->offset = offset;
    export->size = size;
}

void qr_node_export_end(qr_node_export *export)
{
    *export = (qr_node_export){0};
}

uint8_t fake_node_byte(uint64_t offset)
{
    return (uint8_t)(offset * 31 + (offset >> 8));
}

static void turn_export(qr_node *node, qr_node_export *export)
{
    static uint8_t bytes[QR_NODE_EXPORT_READ_MAX];
    qr_node_export was = *export;
    export->ready = NULL;
    export->done = NULL;
    if (was.ready != NULL)
        was.ready(was.owner, node->export_failure, node->index, node->export_size);
    if (was.done == NULL)
        return;
    for (size_t i = 0; i < was.size; i++)
        bytes[i] = fake_node_byte(was.offset + i);
    was.done(was.owner, node->export_failure, qr_slice_of(bytes, was.size));
}

/* ---------------------------------------------------------------- watchers ---- */

static qr_slice keep(qr_slice bytes)
{
    return qr_slice_of(
        memcpy(qr_alloc(bytes.size + 1), bytes.data ? bytes.data : (const uint8_t *)"", bytes.size),
        bytes.size);
}

static uint64_t revision_of(const qr_node *node)
{
    return node->tree->ops->revision(node->tree);
}

qr_watcher *qr_node_watch(qr_node *node, const qr_watch_config *config)
{
    if (node->refusal != QR_OK)
        return NULL;
    qr_watcher *watcher = qr_alloc_zero(1, sizeof *watcher);
    *watcher = (qr_watcher){.node = node, .config = *config, .position = config->start, .due = true};
    watcher->config.span.key = keep(config->span.key);
    watcher->config.span.end = keep(config->span.end);
    if (config->start == 0)
        watcher->position = revision_of(node) + 1;
    watcher->next = node->watchers;
    node->watchers = watcher;
    return watcher;
}

void qr_node_watch_end(qr_watcher *watcher)
{
    qr_watcher **at = &watcher->node->watchers;
    while (*at != watcher)
        at = &(*at)->next;
    *at = watcher->next;
    qr_free((void *)(uintptr_t)watcher->config.span.key.data);
    qr_free((void *)(uintptr_t)watcher->config.span.end.data);
    qr_free(watcher);
}

qr_status qr_node_watch_next(qr_watcher *watcher, size_t bytes_max,
                             void (*tell)(void *context, const qr_kv_event *event), void *context,
                             uint64_t *compacted)
{
    const qr_watch_config *config = &watcher->config;
    qr_machine *tree = watcher->node->tree;
    if (watcher->node->failure != QR_OK)
        return watcher->node->failure;
    qr_events_query query = {.span = config->span,
                             .from = watcher->position,
                             .skip_puts = config->skip_puts,
                             .skip_deletes = config->skip_deletes,
                             .want_previous = config->want_previous,
                             .bytes_max = bytes_max,
                             .look_max = QR_NODE_WATCH_LOOK_MAX,
                             .tell = tell,
                             .context = context};
    qr_events_result result;
    qr_status status = tree->ops->events(tree, &query, &result);
    *compacted = result.compacted;
    watcher->position = result.next;
    watcher->seen = result.next > result.revision ? result.revision : 0;
    return status;
}

void qr_node_watch_figures_of(const qr_node *node, qr_node_watch_figures *figures)
{
    *figures = (qr_node_watch_figures){0};
    for (const qr_watcher *watcher = node->watchers; watcher; watcher = watcher->next)
        figures->watchers++;
}

bool qr_node_watch_started(const qr_watcher *watcher)
{
    return !watcher->node->waking;
}

bool qr_node_watch_idle(const qr_watcher *watcher)
{
    return watcher->seen != 0 && watcher->seen == revision_of(watcher->node);
}

void qr_node_watch_resume(qr_watcher *watcher)
{
    watcher->due = true;
}

uint64_t qr_node_watch_position(const qr_watcher *watcher)
{
    uint64_t next = revision_of(watcher->node) + 1;
    return qr_node_watch_idle(watcher) && watcher->position < next ? next : watcher->position;
}

static qr_watcher *next_due(const qr_node *node)
{
    qr_watcher *watcher = node->watchers;
    while (watcher != NULL && !watcher->due)
        watcher = watcher->next;
    return watcher;
}

static void turn_watchers(qr_node *node)
{
    if (node->waking)
        return;
    for (qr_watcher *watcher = node->watchers; watcher != NULL; watcher = watcher->next)
        watcher->due |= watcher->seen != 0 && watcher->seen < revision_of(node);
    for (qr_watcher *watcher = next_due(node); watcher != NULL; watcher = next_due(node)) {
        watcher->due = false;
        if (watcher->seen != 0 && watcher->position <= watcher->seen)
            watcher->position = watcher->seen + 1; /* so far nothing was for it */
        watcher->seen = 0;
        watcher->config.ready(watcher->config.owner);
    }
}

/* ------------------------------------------------------------------- turns ---- */

void fake_node_turn(qr_node *node)
{
    for (size_t i = 0; i < QR_NODE_EXPORTS_MAX; i++)
        if (node->exports[i].node != NULL)
            turn_export(node, &node->exports[i]);
    while (node->count > 0) { /* answers may bring more */
        fake_request first = node->queue[0];
        memmove(node->queue, node->queue + 1, --node->count * sizeof *node->queue);
        answer(node, &first, QR_OK);
    }
    turn_watchers(node);
}

void fake_node_free(qr_node *node)
{
    for (size_t i = 0; i < node->count; i++)
        answer(node, &node->queue[i], QR_E_STOPPED);
    node->count = 0;
    node->tree->ops->free(node->tree);
}

void qr_node_status_of(const qr_node *node, qr_node_status *status)
{
    memset(status, 0, sizeof *status);
    status->cluster = FAKE_CLUSTER;
    status->level = qr_node_level(node);
    status->self = FAKE_SELF;
    status->applied_index = node->index;
    status->revision = node->tree->ops->revision(node->tree);
    status->engine.role = node->leader == FAKE_SELF ? QR_LEADER : QR_FOLLOWER;
    status->engine.leader = node->leader;
    status->engine.term = 7;
    status->engine.commit_index = node->index + 1;
    status->engine.members = node->members;
    status->no_space = node->no_space;
    status->divergent = node->divergent;
}

const qr_members *qr_node_members_applied(const qr_node *node)
{
    return &node->members;
}

uint64_t qr_node_hold(qr_node *node)
{
    node->holds++;
    return 1;
}

bool qr_node_holds(const qr_node *node, uint64_t hold)
{
    return hold == 1 && !node->holds_ended;
}

void qr_node_let_go(qr_node *node, uint64_t hold)
{
    QR_ASSERT(node->holds > 0);
    node->holds--;
}

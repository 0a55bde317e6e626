/* The workload: a few clients, one request at a time each, on a handful of keys, so that they get into each
 * other's way. Every write carries a mark of its own as its principal: it is found again in entries and on
 * disks.
 *
 * Draws stand in statements of their own, here and everywhere in this room: C leaves the order of arguments
 * and of initialisers open, and one seed is to be one run with every compiler. */
#include <inttypes.h>
#include <stdlib.h>

#include "sim/world.h"

enum { ADMIN_THINKS_US = 150000 }; /* on average, between two changes of members */

static uint64_t below(qr_sim_world *world, uint64_t bound)
{
    return qr_prng_below(&world->prng_client, bound);
}

static qr_slice key_name(qr_sim_world *world, uint64_t number)
{
    return qr_slice_text(qr_arena_format(&world->arena, "k%" PRIu64, number));
}

static qr_slice counter_name(qr_sim_world *world, uint64_t number)
{
    return qr_slice_text(qr_arena_format(&world->arena, "n%" PRIu64, number));
}

static qr_span span_of(qr_slice key)
{
    return (qr_span){.kind = QR_SPAN_KEY, .space = QR_SPACE_KEYS, .key = key};
}

/* A value that no other operation writes. */
static qr_slice unique_value(qr_sim_world *world, const qr_sim_op *op)
{
    char *head = qr_arena_format(&world->arena, "v%" PRIu64 ".", op->id);
    uint64_t size = strlen(head) + below(world, world->plan.value_max);
    uint8_t *bytes = qr_arena_alloc(&world->arena, size);
    memset(bytes, 'a' + (int)(op->id % 26), size);
    memcpy(bytes, head, strlen(head));
    return qr_slice_of(bytes, size);
}

/* ------------------------------------------------------------ the requests ---- */

typedef struct sim_draft {
    qr_condition conditions[4];
    qr_op then_ops[6], else_ops[2];
    qr_txn txn;
} sim_draft;

static qr_op put_op(qr_slice key, qr_slice value, bool want_previous)
{
    uint32_t options = want_previous ? QR_PUT_WANT_PREVIOUS : 0;
    return (qr_op){.kind = QR_OP_PUT,
                   .put = {.space = QR_SPACE_KEYS, .options = options, .key = key, .value = value}};
}

static qr_op range_op(qr_span span)
{
    return (qr_op){.kind = QR_OP_RANGE, .range = {.span = span}};
}

static qr_op delete_op(qr_span span, bool want_previous)
{
    return (qr_op){.kind = QR_OP_DELETE, .del = {.span = span, .want_previous = want_previous}};
}

/* Every key and counter, or one of them. */
static qr_op some_range(qr_sim_world *world)
{
    qr_span all = {
        .kind = QR_SPAN_RANGE, .space = QR_SPACE_KEYS, .key = qr_slice_text("k"), .end = qr_slice_text("z")};
    switch (below(world, 4)) {
    case 0: return range_op(all);
    case 1: {
        qr_op op = range_op(all);
        op.range.limit = 1 + below(world, 4);
        return op;
    }
    case 2: return range_op(span_of(counter_name(world, below(world, QR_SIM_COUNTERS_MAX))));
    default: return range_op(span_of(key_name(world, below(world, world->plan.keys))));
    }
}

static void draft_put(qr_sim_world *world, const qr_sim_op *op, sim_draft *draft)
{
    qr_slice key = key_name(world, below(world, world->plan.keys));
    qr_slice value = unique_value(world, op);
    draft->then_ops[draft->txn.then_count++] = put_op(key, value, below(world, 2));
}

static void draft_delete(qr_sim_world *world, sim_draft *draft)
{
    uint64_t number = below(world, world->plan.keys);
    qr_span span = span_of(key_name(world, number));
    if (below(world, 4) == 0) {
        span.kind = QR_SPAN_RANGE;
        span.end = key_name(world, number + 1 + below(world, 2));
    }
    draft->then_ops[draft->txn.then_count++] = delete_op(span, below(world, 2));
}

/* If the key is as this client last saw it, then change it, else look at it again. */
static void draft_compare_and_swap(qr_sim_world *world, const qr_sim_op *op, sim_draft *draft)
{
    uint64_t number = below(world, world->plan.keys);
    qr_slice key = key_name(world, number);
    draft->conditions[draft->txn.condition_count++] = (qr_condition){
        .span = span_of(key),
        .target = QR_TARGET_MOD,
        .relation = QR_IS_EQUAL,
        .number = (int64_t)world->clients[op->client].known_mod[number],
    };
    draft->then_ops[draft->txn.then_count++] = put_op(key, unique_value(world, op), false);
    draft->else_ops[draft->txn.else_count++] = range_op(span_of(key));
}

static qr_slice count_value(qr_sim_world *world, uint64_t count)
{
    return qr_slice_text(qr_arena_format(&world->arena, "%" PRIu64, count));
}

static void draft_increment(qr_sim_world *world, const qr_sim_op *op, sim_draft *draft)
{
    uint64_t number = below(world, QR_SIM_COUNTERS_MAX);
    uint64_t known = world->clients[op->client].known_count[number];
    qr_slice key = counter_name(world, number);
    qr_condition condition = {.span = span_of(key), .relation = QR_IS_EQUAL};
    if (known == 0)
        condition.target = QR_TARGET_VERSION; /* 0: it does not exist */
    else {
        condition.target = QR_TARGET_VALUE;
        condition.value = count_value(world, known);
    }
    draft->conditions[draft->txn.condition_count++] = condition;
    draft->then_ops[draft->txn.then_count++] = put_op(key, count_value(world, known + 1), true);
    draft->else_ops[draft->txn.else_count++] = range_op(span_of(key));
}

static void draft_many(qr_sim_world *world, const qr_sim_op *op, sim_draft *draft)
{
    uint64_t count = 2 + below(world, 3);
    for (uint64_t i = 0; i < count; i++) {
        uint64_t draw = below(world, 10);
        if (draw < 6)
            draft_put(world, op, draft);
        else if (draw < 8)
            draft_delete(world, draft);
        else
            draft->then_ops[draft->txn.then_count++] = some_range(world);
    }
    if (below(world, 3) > 0)
        return;
    qr_condition condition = {.target = QR_TARGET_VERSION};
    condition.span = span_of(key_name(world, below(world, world->plan.keys)));
    condition.relation = (qr_relation)below(world, 4);
    condition.number = (int64_t)below(world, 4);
    draft->conditions[draft->txn.condition_count++] = condition;
}

void qr_sim_write_body(qr_sim_op *op, const qr_body *body)
{
    qr_buffer bytes;
    qr_buffer_init(&bytes);
    qr_body_encode(body, &bytes);
    op->kind = QR_REQUEST_WRITE;
    op->body = qr_arena_copy(&op->world->arena, qr_buffer_slice(&bytes));
    qr_buffer_free(&bytes);
}

static void finish_draft(qr_sim_world *world, qr_sim_op *op, const sim_draft *draft)
{
    sim_draft *kept = qr_arena_alloc(&world->arena, sizeof *kept);
    *kept = *draft;
    kept->txn.conditions = kept->conditions;
    kept->txn.then_ops = kept->then_ops;
    kept->txn.else_ops = kept->else_ops;
    op->txn = &kept->txn;
    if (op->kind != QR_REQUEST_WRITE) {
        op->query = (qr_query){.kind = QR_QUERY_TXN, .txn = kept->txn};
        return;
    }
    qr_sim_write_body(op, &(qr_body){.kind = QR_BODY_TXN, .txn = *op->txn});
}

static void draft_compaction(qr_sim_world *world, qr_sim_op *op)
{
    op->compacts = true;
    op->compact_revision = 1 + below(world, world->oracle.model.revision + 2);
    if (world->plan.watches > 0 && below(world, 2)) /* right where somebody is to go on */
        op->compact_revision = world->watches[below(world, world->plan.watches)].next;
    qr_sim_write_body(op, &(qr_body){.kind = QR_BODY_COMPACT, .revision = op->compact_revision});
}

/* A look at the past within a write, most often right where compaction may be: every member has to find the
 * same there, whatever it has freed by then (row 29). */
static void draft_past(qr_sim_world *world, const qr_sim_op *op, sim_draft *draft)
{
    const qr_sim_model *model = &world->oracle.model;
    uint64_t edge = below(world, 2) ? model->compacted : model->revision;
    qr_op range = some_range(world);
    range.range.revision = below(world, 3) ? edge + below(world, 3) : 1 + below(world, model->revision + 1);
    range.range.revision -= range.range.revision > 1;
    if (range.range.revision == 0)
        range.range.revision = 1;
    draft->then_ops[draft->txn.then_count++] = range;
    draft_put(world, op, draft);
}

static void draft_request(qr_sim_world *world, qr_sim_op *op)
{
    if (world->plan.alarms && qr_sim_alarm_draft(world, op))
        return;
    if (world->plan.leases && qr_sim_lease_draft(world, op))
        return;
    if (world->plan.paths && qr_sim_path_draft(world, op))
        return;
    sim_draft draft;
    memset(&draft, 0, sizeof draft);
    uint64_t draw = below(world, 1000);
    op->kind = QR_REQUEST_WRITE;
    if (draw < 330)
        draft_put(world, op, &draft);
    else if (draw < 460)
        draft_compare_and_swap(world, op, &draft);
    else if (draw < 580)
        draft_increment(world, op, &draft);
    else if (draw < 640)
        draft_delete(world, &draft);
    else if (draw < 665)
        draft_past(world, op, &draft);
    else if (draw < 740)
        draft_many(world, op, &draft);
    else if (draw < 743 && world->plan.handovers && world->nodes > 1) {
        op->kind = QR_REQUEST_HANDOVER;
        op->target = below(world, 2) ? 0 : world->node[below(world, world->nodes)].id;
        return;
    } else if (draw < 750 && world->plan.compactions) {
        draft_compaction(world, op);
        return;
    } else {
        op->kind = draw < 920 ? QR_REQUEST_READ : QR_REQUEST_READ_LOCAL;
        draft.then_ops[draft.txn.then_count++] = some_range(world);
    }
    finish_draft(world, op, &draft);
}

/* ------------------------------------------------------------- the answers ---- */

static void think(qr_sim_world *world, uint32_t client)
{
    bool is_admin = qr_sim_members_is_admin(world, client);
    uint64_t mean_us = is_admin ? ADMIN_THINKS_US : (uint64_t)world->plan.think_ms * 1000;
    qr_sim_after(world, 1 + below(world, 2 * mean_us), (qr_sim_event){.kind = QR_SIM_CLIENT, .node = client});
}

static void close_op(qr_sim_op *op, qr_sim_outcome outcome)
{
    qr_sim_world *world = op->world;
    QR_ASSERT(op->outcome == QR_SIM_OPEN && outcome != QR_SIM_OPEN);
    op->outcome = outcome;
    op->answered_us = world->now_us;
    world->open_count--;
    world->clients[op->client].busy = false;
    if (op->kind == QR_REQUEST_WRITE) {
        world->report->writes_acked += outcome == QR_SIM_DONE;
        world->report->writes_unknown += outcome == QR_SIM_UNKNOWN;
    }
    think(world, op->client);
}

static qr_sim_outcome outcome_of(qr_request_kind kind, qr_status status)
{
    switch (status) {
    case QR_E_EXISTS: return kind == QR_REQUEST_WRITE ? QR_SIM_DONE : QR_SIM_REFUSED; /* else a change */
    case QR_E_HAS_LEASE:
    case QR_E_HAS_CHILDREN:
    case QR_OK:
    case QR_E_COMPACTED:
    case QR_E_FUTURE_REVISION:
    case QR_E_KEY_NOT_FOUND:
    case QR_E_LEASE_NOT_FOUND:
    case QR_E_LEASE_EXISTS:
    case QR_E_DUPLICATE_KEY:
    case QR_E_VERSION_MISMATCH:
    case QR_E_QUOTA:
    case QR_E_CORRUPT:
    case QR_E_DENIED: return QR_SIM_DONE;
    case QR_E_TIMEOUT:
    case QR_E_STOPPED:
    case QR_E_HALTED: return QR_SIM_UNKNOWN;
    default: return QR_SIM_REFUSED;
    }
}

/* What a client remembers of the keys it has seen. */
static void remember(qr_sim_client *client, const qr_op_result *result)
{
    for (size_t i = 0; i < result->kv_count; i++) {
        const qr_key_value *kv = &result->kvs[i];
        if (kv->key.size != 2 || kv->key.data[1] < '0')
            continue;
        uint32_t number = (uint32_t)(kv->key.data[1] - '0');
        if (kv->key.data[0] == 'k' && number < QR_SIM_KEYS_MAX)
            client->known_mod[number] = kv->mod_revision;
        if (kv->key.data[0] == 'n' && number < QR_SIM_COUNTERS_MAX && kv->value.size < 20) {
            char digits[20] = {0};
            memcpy(digits, kv->value.data, kv->value.size);
            client->known_count[number] = strtoull(digits, NULL, 10);
        }
    }
}

static void digest_result(qr_sim_op *op, const qr_txn_result *result)
{
    qr_sim_client *client = &op->world->clients[op->client];
    for (size_t i = 0; i < result->op_count; i++)
        remember(client, &result->ops[i]);
    for (size_t i = 0; result->succeeded && i < op->txn->then_count; i++) {
        const qr_op *done = &op->txn->then_ops[i];
        if (done->kind != QR_OP_PUT || done->put.space != QR_SPACE_KEYS)
            continue;
        uint32_t number = (uint32_t)(done->put.key.data[1] - '0');
        if (done->put.key.data[0] == 'k')
            client->known_mod[number] = result->revision;
        else
            client->known_count[number] = strtoull((const char *)done->put.value.data, NULL, 10);
    }
}

static void forget_taken(qr_sim_op *op)
{
    qr_sim_op **at = &op->world->node[op->node].taken;
    while (*at != NULL && *at != op)
        at = &(*at)->next_taken;
    if (*at == NULL) {
        qr_sim_fail(op->world, "every-request-is-answered-once", "%s is answered twice", op->mark);
        return;
    }
    *at = op->next_taken;
}

static void on_done(void *owner, const qr_reply *reply)
{
    qr_sim_op *op = owner;
    qr_sim_world *world = op->world;
    qr_sim_node *node = &world->node[op->node];
    forget_taken(op);
    if (qr_sim_failed(world))
        return;
    if (node->dying || qr_sim_disk_dead(node->disk)) {
        close_op(op, QR_SIM_UNKNOWN); /* nobody hears the answer of a dead process */
        return;
    }
    op->has_reply = true;
    op->status = reply->status;
    op->reply_index = reply->index;
    qr_buffer_clear(&world->text);
    bool has_result = op->txn != NULL && reply->status == QR_OK;
    if (reply->status == QR_OK && qr_body_is_of_alarms(op->body))
        qr_sim_alarm_text(((const qr_alarm_result *)reply->result)->stood, &world->text);
    else
        qr_sim_result_text(reply->status, op->txn != NULL ? reply->result : NULL, &world->text);
    op->reply_text = qr_arena_text(&world->arena, qr_buffer_slice(&world->text));
    if (has_result)
        digest_result(op, reply->result);
    if (op->lease)
        qr_sim_lease_answered(op, reply);
    qr_sim_mix(world, qr_hash(qr_slice_text(op->reply_text), op->id));
    qr_sim_story_op(op, "is answered");
    /* Refused by the member that was asked, which has raised its alarm instead: not by a command. */
    bool has_no_room = reply->status == QR_E_QUOTA && reply->index == 0;
    close_op(op, has_no_room ? QR_SIM_REFUSED : outcome_of(op->kind, reply->status));
    qr_sim_oracle_answered(op);
}

/* ------------------------------------------------------------- the clients ---- */

static qr_sim_op *new_op(qr_sim_world *world, uint32_t client)
{
    if (world->op_count == world->op_room) {
        world->op_room = world->op_room ? world->op_room * 2 : 1024;
        world->ops = qr_realloc(world->ops, world->op_room * sizeof *world->ops);
    }
    qr_sim_op *op = qr_arena_zero(&world->arena, 1, sizeof *op);
    world->ops[world->op_count++] = op;
    op->world = world;
    op->id = world->op_count;
    op->client = client;
    op->reply_text = op->model_text = "";
    snprintf(op->mark, sizeof op->mark, "q!#%013" PRIu64, op->id);
    op->invoked_us = world->now_us;
    op->floor_index = world->oracle.floor_index;
    op->floor_revision = world->oracle.floor_revision;
    op->config_floor = world->configs.count - 1;
    return op;
}

/* Who comes in the calm has everything before it still to get. */
static bool serves(const qr_sim_node *node)
{
    const qr_sim_world *world = node->world;
    return qr_sim_node_up(node) && (world->phase != QR_SIM_CALM || node->born_us <= world->calm_since_us);
}

static uint32_t choose_node(qr_sim_world *world, const qr_sim_client *client)
{
    uint32_t node = client->sticky && below(world, 10) ? client->home : (uint32_t)below(world, world->nodes);
    for (uint32_t i = 0; i < world->nodes && !serves(&world->node[node]); i++)
        node = (node + 1) % world->nodes;
    return node;
}

static bool is_resting(const qr_sim_world *world)
{
    return world->phase == QR_SIM_CORE || world->phase == QR_SIM_HEALING || world->phase >= QR_SIM_SETTLING;
}

void qr_sim_client_next(qr_sim_world *world, uint32_t number)
{
    qr_sim_client *client = &world->clients[number];
    if (client->busy || is_resting(world))
        return;
    uint32_t node = choose_node(world, client);
    if (!serves(&world->node[node])) {
        think(world, number);
        return;
    }
    qr_change change;
    bool is_admin = qr_sim_members_is_admin(world, number);
    if (is_admin && !qr_sim_members_draft(world, &change)) {
        think(world, number);
        return;
    }
    qr_sim_op *op = new_op(world, number);
    op->node = node;
    client->busy = true;
    world->open_count++;
    if (is_admin) {
        op->kind = QR_REQUEST_MEMBERS;
        op->change = change;
    } else {
        draft_request(world, op);
    }
    qr_sim_after(
        world, 20 + below(world, 300),
        (qr_sim_event){.kind = QR_SIM_SUBMIT, .node = node, .life = world->node[node].life, .pointer = op});
}

void qr_sim_client_submit(qr_sim_world *world, qr_sim_op *op)
{
    qr_sim_node *node = &world->node[op->node];
    qr_request request = {
        .kind = op->kind,
        .body = op->body,
        .query = &op->query,
        .principal = qr_slice_text(op->mark),
        .target = op->target,
        .change = op->change,
        .lease = op->lease,
        .done = on_done,
        .owner = op,
    };
    if (op->kind == QR_REQUEST_HANDOVER) /* it may come to nothing without anybody noticing */
        request.deadline_ms = qr_sim_node_now_ms(node) + 500;
    qr_sim_story_op(op, "asks");
    op->life = node->life;
    op->next_taken = node->taken;
    node->taken = op;
    qr_status status = qr_sim_node_submit(node, &request);
    if (status == QR_OK)
        return;
    forget_taken(op);
    op->status = status;
    close_op(op, QR_SIM_REFUSED);
    qr_sim_oracle_answered(op);
}

void qr_sim_client_unreachable(qr_sim_op *op)
{
    op->status = QR_E_NO_LEADER;
    close_op(op, QR_SIM_REFUSED);
}

void qr_sim_client_init(qr_sim_world *world)
{
    for (uint32_t i = 0; i < world->plan.clients; i++) {
        qr_sim_client *client = &world->clients[i];
        client->home = (uint32_t)below(world, world->nodes);
        client->sticky = below(world, 2);
        think(world, i);
    }
}

/* After the calm begins: everybody who waited goes on. */
void qr_sim_client_resume(qr_sim_world *world)
{
    for (uint32_t i = 0; i < world->plan.clients; i++)
        if (!world->clients[i].busy)
            think(world, i);
}

/* The other door: somebody who writes the same paths as keys, below the doors. It makes directories that
 * nobody created, takes keys away from under their children, and hangs keys on leases that end by
 * themselves. */
#include <inttypes.h>

#include "sim/door/inside.h"

/* ------------------------------------------------------------------- answers ---- */

/* It deleted nothing: there was nothing at some state. */
static bool was_nothing(qr_simd *all, const qr_simd_op *op, uint64_t revision)
{
    for (uint64_t at = revision; at >= op->floor && at > 0; at--) {
        qr_simd_try(all, op, at, NULL);
        if (all->view.change_count == 0)
            return true;
    }
    return false;
}

void qr_simd_hand_told(qr_simd_op *op)
{
    qr_simd *all = op->all;
    const qr_simd_row *row = qr_simd_row_of(&all->tree, op->revision);
    bool right;
    all->hand_under_way--;
    if (op->changed) {
        qr_simd_try(all, op, op->revision - 1, NULL);
        right = row != NULL && qr_simd_view_is(&all->view, row);
        qr_simd_explain(all, op, op->revision);
    } else {
        right = was_nothing(all, op, op->revision);
    }
    if (!right)
        qr_sim_fail(all->world, "state-follows-model",
                    "d%" PRIu64 " of the other door changed other paths at %" PRIu64 " than it asked for",
                    op->id, op->revision);
    qr_simd_show(all, op->revision);
}

/* It is looked at a little later: the world learns of an entry after its answer. */
static void on_done(void *owner, const qr_reply *reply)
{
    qr_simd_op *op = owner;
    qr_simd *all = op->all;
    const qr_sim_node *node = &all->world->node[op->node];
    bool dead = node->dying || qr_sim_disk_dead(node->disk);
    qr_sim_story(all->world, "the other door is answered d%" PRIu64 ": %s%s", op->id,
                 qr_status_name(reply->status), dead ? ", and does not hear it" : "");
    if (reply->status == QR_OK && op->type == QR_BODY_TXN && !dead) {
        const qr_txn_result *result = reply->result;
        op->revision = result->revision;
        op->changed = op->items[0].type == QR_OP_PUT || result->ops[0].count > 0;
        qr_simd_after(all, 1, QR_SIMD_ACT_HAND_TOLD, op);
        return;
    }
    all->hand_under_way--;
    if (op->type == QR_BODY_TXN && (dead || reply->status == QR_E_TIMEOUT || reply->status == QR_E_STOPPED ||
                                    reply->status == QR_E_HALTED))
        qr_simd_lose(all, op);
}

/* ------------------------------------------------------------------ drafting ---- */

static qr_op draft_write(qr_simd *all, qr_simd_op *op)
{
    qr_simd_item *item = &op->items[op->count++];
    uint64_t draw = qr_simd_below(all, 100);
    item->path = qr_simd_draft_path(all);
    item->type = draw < 60 ? QR_OP_PUT : QR_OP_DELETE;
    qr_span span = {.kind = QR_SPAN_KEY, .space = QR_SPACE_KEYS, .key = item->path};
    if (item->type == QR_OP_PUT) {
        if (draw < 25)
            op->lease = QR_SIMD_HAND_LEASE + 1 + (int64_t)qr_simd_below(all, QR_SIMD_HAND_LEASES);
        item->data = qr_slice_text(qr_arena_format(&all->world->arena, "h%" PRIu64, op->id));
        return (qr_op){
            .kind = QR_OP_PUT,
            .put = {.space = QR_SPACE_KEYS, .key = item->path, .value = item->data, .lease = op->lease}};
    }
    op->range = draw >= 92;
    if (op->range) {
        qr_arena *arena = &all->world->arena;
        int size = (int)item->path.size;
        const char *name = (const char *)item->path.data;
        span.kind = QR_SPAN_RANGE;
        span.key = qr_slice_text(qr_arena_format(arena, "%.*s/", size, name));
        span.end = qr_slice_text(qr_arena_format(arena, "%.*s0", size, name));
    }
    return (qr_op){.kind = QR_OP_DELETE, .del = {.span = span}};
}

static void draft(qr_simd *all, qr_simd_op *op, qr_buffer *out)
{
    uint64_t draw = qr_simd_below(all, 20);
    int64_t lease = QR_SIMD_HAND_LEASE + 1 + (int64_t)qr_simd_below(all, QR_SIMD_HAND_LEASES);
    qr_body body = {.kind = draw < 4 ? QR_BODY_LEASE_GRANT : QR_BODY_LEASE_REVOKE, .lease = lease};
    if (draw < 5) {
        op->type = (int32_t)body.kind;
        body.ttl_ms = 100 + qr_simd_below(all, 1500);
        qr_body_encode(&body, out);
        return;
    }
    op->type = QR_BODY_TXN;
    qr_op write = draft_write(all, op);
    qr_body_encode_txn(&(qr_txn){.then_ops = &write, .then_count = 1}, out);
}

static void tell(const qr_simd *all, const qr_simd_op *op)
{
    const qr_simd_item *item = &op->items[0];
    qr_sim_story(all->world, "the other door asks n%u: d%" PRIu64 " %s%s %.*s", op->node + 1, op->id,
                 op->type != QR_BODY_TXN   ? "a lease"
                 : item->type == QR_OP_PUT ? "put"
                                           : "delete",
                 op->lease   ? " with a lease"
                 : op->range ? " below"
                             : "",
                 (int)item->path.size, (const char *)item->path.data);
}

static void ask(qr_simd *all)
{
    qr_sim_world *world = all->world;
    uint32_t number = (uint32_t)qr_simd_below(all, world->nodes);
    qr_sim_node *node = &world->node[number];
    if (!qr_sim_node_up(node) || node->halted || node->paused_us > world->now_us)
        return;
    qr_simd_op *op = qr_simd_op_new(all, NULL, 0);
    op->node = number;
    op->floor = world->oracle.floor_revision;
    qr_buffer body;
    qr_buffer_init(&body);
    draft(all, op, &body);
    tell(all, op);
    qr_request request = {
        .kind = QR_REQUEST_WRITE, .body = qr_buffer_slice(&body), .done = on_done, .owner = op};
    all->hand_under_way++;
    world->door_requests++;
    if (qr_sim_node_submit(node, &request) != QR_OK)
        all->hand_under_way--;
    qr_buffer_free(&body);
}

void qr_simd_hand_act(qr_simd *all)
{
    if (all->world->phase >= QR_SIM_SETTLING)
        return;
    uint64_t delay_us = 1 + qr_simd_below(all, 2 * (uint64_t)all->hand_ms * 1000);
    qr_simd_after(all, delay_us, QR_SIMD_ACT_HAND, all);
    if (qr_simd_works(all))
        ask(all);
}

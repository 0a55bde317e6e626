/* What ZooKeeper does with a writing request, operation by operation, on the model. */
#include <inttypes.h>

#include "sim/door/inside.h"

enum {
    NO_NODE = -101,
    BAD_VERSION = -103,
    NO_CHILDREN_FOR_EPHEMERALS = -108,
    NODE_EXISTS = -110,
    NOT_EMPTY = -111,
    RUNTIME_INCONSISTENCY = -2
};

static bool is_numbered(const qr_simd_item *item)
{
    return item->flags == 2 || item->flags == 3 || item->flags == 6;
}

static uint8_t kind_of(const qr_simd_item *item)
{
    return item->type == QR_JUTE_OP_CREATE_CONTAINER ? QR_SIMD_CONTAINER
           : item->type == QR_JUTE_OP_CREATE_TTL     ? QR_SIMD_TTL
                                                     : 0;
}

static int32_t create(qr_simd *all, const qr_simd_op *op, const qr_simd_item *item, qr_simd_verdict *verdict)
{
    qr_simd_view *view = &all->view;
    uint32_t path = qr_simd_path_of(&all->tree, item->path);
    const qr_simd_state *directory = qr_simd_seen(view, all->tree.paths[path].parent);
    verdict->name = item->path;
    if (!directory->present)
        return NO_NODE;
    if (is_numbered(item))
        verdict->name =
            qr_slice_text(qr_arena_format(&all->world->arena, "%.*s%010" PRId32, (int)item->path.size,
                                          (const char *)item->path.data, (int32_t)directory->born));
    path = qr_simd_path_of(&all->tree, verdict->name);
    /* A number that is taken below an ephemeral: both are another door's doing, and the number is known when
     * all else has been checked. */
    bool leased = directory->owner != 0, taken = qr_simd_seen(view, path)->present;
    if (taken && !(leased && is_numbered(item)))
        return NODE_EXISTS;
    if (leased)
        return NO_CHILDREN_FOR_EPHEMERALS;
    bool ephemeral = item->flags == 1 || item->flags == 3;
    qr_simd_put(view, path, item->data, ephemeral ? op->session : 0, kind_of(item));
    qr_simd_stat(path, qr_simd_seen(view, path), &verdict->stat);
    return 0;
}

static int32_t check(const qr_simd_state *state, int32_t version)
{
    if (!state->present)
        return NO_NODE;
    return version != -1 && (uint64_t)version != state->version ? BAD_VERSION : 0;
}

static int32_t remove_node(qr_simd_view *view, const qr_simd_item *item, uint32_t path)
{
    const qr_simd_state *state = qr_simd_seen(view, path);
    int32_t err = check(state, item->version);
    if (err == 0 && state->children > 0)
        err = NOT_EMPTY;
    if (err == 0)
        qr_simd_delete(view, path);
    return err;
}

static int32_t set_data(qr_simd_view *view, const qr_simd_item *item, uint32_t path, qr_simd_verdict *verdict)
{
    const qr_simd_state *state = qr_simd_seen(view, path);
    int32_t err = check(state, item->version);
    if (err != 0)
        return err;
    qr_simd_put(view, path, item->data, state->owner, state->kind);
    qr_simd_stat(path, qr_simd_seen(view, path), &verdict->stat);
    return 0;
}

static int32_t try_item(qr_simd *all, const qr_simd_op *op, const qr_simd_item *item,
                        qr_simd_verdict *verdict)
{
    if (qr_simd_creates(item->type))
        return create(all, op, item, verdict);
    uint32_t path = qr_simd_path_of(&all->tree, item->path);
    switch (item->type) {
    case QR_JUTE_OP_DELETE: return remove_node(&all->view, item, path);
    case QR_JUTE_OP_SET_DATA: return set_data(&all->view, item, path, verdict);
    default: return check(qr_simd_seen(&all->view, path), item->version);
    }
}

static bool is_below(qr_slice name, qr_slice path)
{
    return name.size > path.size && qr_slice_starts(name, path) && name.data[path.size] == '/';
}

/* The hand's: a put, or a deletion of one key, or of all in a range, in their order. */
static void try_hand(qr_simd *all, const qr_simd_op *op)
{
    qr_simd_tree *tree = &all->tree;
    const qr_simd_item *item = &op->items[0];
    uint32_t path = qr_simd_path_of(tree, item->path);
    if (item->type == QR_OP_PUT) {
        qr_simd_put(&all->view, path, item->data, op->lease, qr_simd_seen(&all->view, path)->kind);
        return;
    }
    if (!op->range) {
        if (qr_simd_seen(&all->view, path)->keyed)
            qr_simd_delete(&all->view, path);
        return;
    }
    qr_slice after = qr_slice_of(NULL, 0);
    for (;;) { /* the next one in order */
        uint32_t next = QR_SIMD_NOWHERE;
        for (uint32_t i = 0; i < tree->count; i++) {
            qr_slice name = tree->paths[i].name;
            if (is_below(name, item->path) && qr_slice_compare(name, after) > 0 &&
                qr_simd_seen(&all->view, i)->keyed &&
                (next == QR_SIMD_NOWHERE || qr_slice_compare(name, tree->paths[next].name) < 0))
                next = i;
        }
        if (next == QR_SIMD_NOWHERE)
            return;
        after = tree->paths[next].name;
        qr_simd_delete(&all->view, next);
    }
}

bool qr_simd_try(qr_simd *all, const qr_simd_op *op, uint64_t base, qr_simd_verdict *verdicts)
{
    qr_simd_view_begin(&all->view, &all->tree, base, base + 1);
    if (op->client == NULL) {
        try_hand(all, op);
        return true;
    }
    bool failed = false;
    for (size_t i = 0; i < op->count; i++) {
        verdicts[i] = (qr_simd_verdict){.err = failed ? RUNTIME_INCONSISTENCY : 0};
        if (failed)
            continue;
        verdicts[i].err = try_item(all, op, &op->items[i], &verdicts[i]);
        failed = verdicts[i].err != 0;
    }
    if (failed)
        all->view.change_count = 0;
    return !failed;
}

bool qr_simd_view_is(const qr_simd_view *view, const qr_simd_row *row)
{
    bool same = view->change_count == row->change_count;
    for (size_t i = 0; same && i < row->change_count; i++) {
        const qr_simd_change *a = &view->changes[i], *b = &row->changes[i];
        same = a->path == b->path && a->deleted == b->deleted && a->owner == b->owner && a->kind == b->kind &&
               qr_slice_equal(a->data, b->data);
    }
    return same;
}

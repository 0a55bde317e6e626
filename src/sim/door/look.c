/* When all is at rest: every member shows every path as the model has it, and everything that happened was
 * asked for by somebody. */
#include <inttypes.h>

#include "door/zookeeper/request.h"
#include "sim/door/inside.h"

static bool same_children(const qr_simd *all, uint32_t path, const qr_path_result *found)
{
    uint64_t there = 0;
    size_t skip = path == QR_SIMD_ROOT ? 1 : all->tree.paths[path].name.size + 1;
    for (uint32_t at = all->tree.paths[path].child; at != QR_SIMD_NOWHERE; at = all->tree.paths[at].sibling) {
        qr_slice name = all->tree.paths[at].name;
        bool named = false;
        for (size_t i = 0; i < found->child_count; i++)
            named =
                named || qr_slice_equal(found->children[i], qr_slice_of(name.data + skip, name.size - skip));
        if (named != qr_simd_now(&all->tree, at)->present)
            return false;
        there += named;
    }
    return there == found->child_count && there == found->directory.children;
}

/* NULL, or what differs. */
static const char *difference(const qr_simd *all, uint32_t path, const qr_path_result *found)
{
    const qr_simd_state *state = qr_simd_now(&all->tree, path);
    if (found->present != state->present || (found->kv != NULL) != state->keyed)
        return "is there or not";
    if (!state->present)
        return NULL;
    qr_jute_stat shown, due;
    qr_zookeeper_stat(found, path == QR_SIMD_ROOT, &shown);
    qr_simd_stat(path, state, &due);
    if (shown.czxid != due.czxid || shown.mzxid != due.mzxid || shown.pzxid != due.pzxid)
        return "has other transactions";
    if (shown.version != due.version || shown.cversion != due.cversion)
        return "has other versions";
    if (shown.num_children != due.num_children || !same_children(all, path, found))
        return "has other children";
    if (shown.cversion + (path == QR_SIMD_ROOT) !=
        2 * (int32_t)found->directory.created - (int32_t)found->directory.children)
        return "does not count its children's comings and goings";
    if (shown.ephemeral_owner != due.ephemeral_owner || shown.data_length != due.data_length ||
        (found->kv != NULL && !qr_slice_equal(found->kv->value, state->data)))
        return "has other data or another owner";
    return NULL;
}

static void look_at(qr_simd *all, qr_sim_node *node, uint32_t path)
{
    qr_query query = {.kind = QR_QUERY_PATH, .path = all->tree.paths[path].name, .want_children = true};
    qr_arena arena;
    qr_arena_init(&arena);
    const void *found;
    const char *wrong = "cannot be looked at";
    if (qr_node_look(node->node, &query, &arena, &found) == QR_OK)
        wrong = difference(all, path, found);
    if (wrong != NULL)
        qr_sim_fail(all->world, "doors-show-one-tree", "%.*s at n%u %s", (int)all->tree.paths[path].name.size,
                    (const char *)all->tree.paths[path].name.data, node->number + 1, wrong);
    qr_arena_free(&arena);
}

void qr_simd_look(qr_simd *all)
{
    qr_sim_world *world = all->world;
    for (uint32_t i = 0; i < world->nodes; i++)
        for (uint32_t path = 0; path < all->tree.count && qr_sim_node_up(&world->node[i]); path++)
            look_at(all, &world->node[i], path);
    for (uint32_t path = 0; path < all->tree.count; path++) {
        int64_t owner = qr_simd_now(&all->tree, path)->owner;
        const qr_simd_lease *lease = owner ? qr_simd_lease_of(all, owner) : NULL;
        if (owner != 0 && (lease == NULL || lease->ended_us != 0))
            qr_sim_fail(world, "ephemerals-go-with-their-session", "%.*s hangs on a lease that is not",
                        (int)all->tree.paths[path].name.size, (const char *)all->tree.paths[path].name.data);
    }
}

/* ------------------------------------------------------------------ at the end ---- */

/* An empty container, or a node whose time to live may be over: a member has removed it. Their time is the
 * wall clock's, which is wrong here. */
static bool went_by_itself(const qr_simd *all, const qr_simd_row *row)
{
    const qr_simd_state *state = qr_simd_at(&all->tree, row->changes[0].path, row->revision - 1);
    bool goes = state->kind & QR_SIMD_TTL || (state->kind & QR_SIMD_CONTAINER && state->born > 0);
    return row->change_count == 1 && row->changes[0].deleted && state->children == 0 && goes;
}

static bool could_be(qr_simd *all, const qr_simd_op *op, const qr_simd_row *row)
{
    qr_simd_verdict verdicts[QR_SIMD_ITEMS_MAX];
    return op->outcome == QR_SIMD_LOST && row->revision > op->floor && row->revision <= op->bound &&
           op->type != QR_JUTE_OP_PING && qr_simd_try(all, op, row->revision - 1, verdicts) &&
           qr_simd_view_is(&all->view, row);
}

/* Of those whose answer was lost: the one that can be least of what comes later, since it must be before, or
 * asked for something special. */
static qr_simd_op *who_did(qr_simd *all, const qr_simd_row *row)
{
    qr_simd_op *found = NULL;
    for (size_t i = 0; i < all->lost_count; i++) {
        qr_simd_op *op = all->lost[i];
        bool better = found == NULL || op->bound < found->bound ||
                      (op->bound == found->bound && op->items[0].version > found->items[0].version);
        if (better && could_be(all, op, row))
            found = op;
    }
    return found;
}

void qr_simd_look_final(qr_simd *all)
{
    qr_simd_look(all);
    for (size_t i = 0; i < all->tree.row_count && !qr_sim_failed(all->world); i++) {
        qr_simd_row *row = &all->tree.rows[i];
        if (row->explained || went_by_itself(all, row))
            continue;
        qr_simd_op *op = who_did(all, row);
        if (op == NULL)
            qr_sim_fail(all->world, "commands-come-from-clients",
                        "revision %" PRIu64 ", which changed %.*s, was asked for by nobody that is left",
                        row->revision, (int)all->tree.paths[row->changes[0].path].name.size,
                        (const char *)all->tree.paths[row->changes[0].path].name.data);
        else
            op->outcome = QR_SIMD_DONE;
    }
}

/* Checks between operations and the records that stand with keys and leases, in the workload. What comes of
 * them is the model's business. The keys are no paths, so nothing is below them: directories are the tree's
 * own tests' affair. */
#include <inttypes.h>

#include "sim/world.h"

typedef struct sim_list {
    qr_op ops[8];
    size_t count;
} sim_list;

static uint64_t below(qr_sim_world *world, uint64_t bound)
{
    return qr_prng_below(&world->prng_path, bound);
}

static qr_slice some_key(qr_sim_world *world)
{
    uint64_t number = below(world, world->plan.keys);
    return qr_slice_text(qr_arena_format(&world->arena, "k%" PRIu64, number));
}

static qr_slice some_session(qr_sim_world *world)
{
    uint8_t *name = qr_arena_zero(&world->arena, 1, 8);
    name[7] = (uint8_t)(1 + below(world, QR_SIM_LEASES_MAX));
    return qr_slice_of(name, 8);
}

/* How often it was written, most of the time; else a number that may be right. */
static uint64_t guess(qr_sim_world *world, qr_slice key)
{
    const qr_sim_model *model = &world->oracle.model;
    uint64_t luck = below(world, 4), any = below(world, 4);
    for (size_t i = 0; i < model->count && luck > 0; i++)
        if (qr_slice_equal(model->keys[i].name, key) && model->keys[i].count > 0)
            return model->keys[i].versions[model->keys[i].count - 1].version - 1;
    return any;
}

static void add_check(qr_sim_world *world, sim_list *list)
{
    static const uint8_t spaces[] = {QR_SPACE_KEYS, QR_SPACE_KEYS, QR_SPACE_KEYS, QR_SPACE_ACLS,
                                     QR_SPACE_SESSIONS};
    static const uint32_t tests[] = {QR_CHECK_PRESENT, QR_CHECK_ABSENT, QR_CHECK_STATES,
                                     QR_CHECK_PRESENT | QR_CHECK_STATES,
                                     QR_CHECK_UNLEASED | QR_CHECK_CHILDLESS};
    qr_check check = {.space = spaces[below(world, sizeof spaces)]};
    bool is_key = check.space == QR_SPACE_KEYS;
    check.tests = tests[below(world, is_key ? 5 : 4)];
    check.key = check.space == QR_SPACE_SESSIONS ? some_session(world) : some_key(world);
    if (check.tests & QR_CHECK_STATES)
        check.states = is_key ? guess(world, check.key) : below(world, 3);
    list->ops[list->count++] = (qr_op){.kind = QR_OP_CHECK, .check = check};
}

static void add_change(qr_sim_world *world, const qr_sim_op *op, sim_list *list)
{
    uint64_t draw = below(world, 10);
    qr_put put = {.space = draw < 5 ? QR_SPACE_KEYS : draw < 8 ? QR_SPACE_ACLS : QR_SPACE_SESSIONS};
    put.key = put.space == QR_SPACE_SESSIONS ? some_session(world) : some_key(world);
    put.value = qr_slice_text(qr_arena_format(&world->arena, "v%" PRIu64, op->id));
    if (draw < 2)
        put.options = QR_PUT_EXPECT_ABSENT;
    qr_op change = {.kind = QR_OP_PUT, .put = put};
    if (draw == 4)
        change = (qr_op){.kind = QR_OP_DELETE,
                         .del.span = {.kind = QR_SPAN_KEY, .space = QR_SPACE_KEYS, .key = put.key}};
    list->ops[list->count++] = change;
}

bool qr_sim_path_draft(qr_sim_world *world, qr_sim_op *op)
{
    if (below(world, 10) > 0)
        return false;
    sim_list *list = qr_arena_zero(&world->arena, 1, sizeof *list);
    uint64_t count = 1 + below(world, 6);
    while (list->count < count)
        if (below(world, 2))
            add_check(world, list);
        else
            add_change(world, op, list);
    qr_txn *txn = qr_arena_zero(&world->arena, 1, sizeof *txn);
    *txn = (qr_txn){.then_ops = list->ops, .then_count = list->count};
    op->txn = txn;
    qr_sim_write_body(op, &(qr_body){.kind = QR_BODY_TXN, .txn = *txn});
    return true;
}

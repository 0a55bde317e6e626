/* Alarms in the workload, and what has to be true of them: who raises them has a cause, and all members have
 * the same ones in the end. What they refuse is the model's business. */
#include <inttypes.h>

#include "sim/world.h"

static uint64_t below(qr_sim_world *world, uint64_t bound)
{
    return qr_prng_below(&world->prng_alarm, bound);
}

static void draft(qr_sim_op *op, qr_alarm_act act, const qr_alarm *alarm)
{
    qr_sim_write_body(op, &(qr_body){.kind = QR_BODY_ALARM, .alarm_act = act, .alarm = *alarm});
}

/* They are seldom raised and soon cleared: little can be seen while everything is refused. */
bool qr_sim_alarm_draft(qr_sim_world *world, qr_sim_op *op)
{
    const qr_sim_model *model = &world->oracle.model;
    uint64_t draw = below(world, 1000), number = below(world, world->nodes);
    qr_alarm alarm = {.member = world->node[number].id, .kind = (uint32_t)below(world, 4)};
    if (draw < 6) {
        draft(op, QR_ALARM_RAISE, &alarm);
        return true;
    }
    if (draw >= 10 && (model->alarm_count == 0 || draw >= 200))
        return false;
    if (model->alarm_count > 0 && draw > 8)
        alarm = model->alarms[below(world, model->alarm_count)];
    draft(op, QR_ALARM_CLEAR, &alarm);
    return true;
}

/* A member speaks of itself and of space. Whose state differs is known where a bug makes it so. */
static bool has_cause(const qr_sim_world *world, const qr_command *command, const qr_body *body)
{
    const qr_alarm *alarm = &body->alarm;
    if (alarm->kind == QR_ALARM_NO_SPACE && alarm->member == command->origin.replica)
        return body->alarm_act == QR_ALARM_NOTE
                   ? world->plan.no_space
                   : body->alarm_act == QR_ALARM_RAISE && world->plan.admit_bytes > 0;
    return QR_BUG(world->config->bug, STATE_DIVERGES) && body->alarm_act == QR_ALARM_NOTE &&
           alarm->kind == QR_ALARM_CORRUPT && alarm->member == world->members.list[0].id;
}

void qr_sim_alarm_applied(qr_sim_world *world, const qr_sim_op *op, const qr_command *command, uint64_t index,
                          qr_buffer *text)
{
    qr_body body;
    qr_arena arena;
    qr_arena_init(&arena);
    QR_CHECK(qr_body_decode(command->body, &arena, &body) == QR_OK,
             "what a node or a client asks for can be read");
    if (op == NULL && !has_cause(world, command, &body))
        qr_sim_fail(world, "alarms-have-a-cause",
                    "entry %" PRIu64 " is an alarm of kind %" PRIu32 " that nobody has a cause for", index,
                    body.alarm.kind);
    qr_sim_model_alarm(&world->oracle.model, &body, text);
    qr_arena_free(&arena);
}

static bool has(const qr_sim_model *model, const qr_alarm *alarm)
{
    for (size_t i = 0; i < model->alarm_count; i++)
        if (model->alarms[i].member == alarm->member && model->alarms[i].kind == alarm->kind &&
            model->alarms[i].noted == alarm->noted)
            return true;
    return false;
}

static void judge_list(qr_sim_world *world, uint32_t number, const qr_tree_status *tree)
{
    const qr_sim_model *model = &world->oracle.model;
    bool same = tree->alarm_count == model->alarm_count;
    for (size_t i = 0; same && i < tree->alarm_count; i++)
        same = has(model, &tree->alarms[i]);
    if (!same)
        qr_sim_fail(world, "alarms-are-everywhere", "n%u lists %zu alarms, the model %zu, or others",
                    number + 1, tree->alarm_count, model->alarm_count);
}

void qr_sim_alarm_final(qr_sim_world *world)
{
    const qr_query query = {.kind = QR_QUERY_STATUS};
    qr_arena arena;
    qr_arena_init(&arena);
    for (uint32_t i = 0; i < world->nodes; i++) {
        const qr_sim_node *node = &world->node[i];
        const void *result = NULL;
        qr_machine *machine = node->node ? (qr_machine *)qr_node_machine(node->node) : NULL;
        if (machine != NULL && machine->ops->query(machine, &query, &arena, &result) == QR_OK)
            judge_list(world, i, result);
    }
    qr_arena_free(&arena);
}

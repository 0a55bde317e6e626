/* One run: draw a plan, let things go wrong for a while, heal everything, and demand that the store is whole
 * again: first that what was under way is finished, then that new work is done without any trouble at all. */
#include <inttypes.h>
#include <stdarg.h>

#include "sim/world.h"

void qr_sim_fail(qr_sim_world *world, const char *invariant, const char *format, ...)
{
    qr_sim_report *report = world->report;
    if (report->failed)
        return; /* the first one counts; what follows is mostly its consequence */
    report->failed = true;
    report->invariant = invariant;
    report->failed_at_ms = world->now_us / 1000;
    va_list list;
    va_start(list, format);
    vsnprintf(report->detail, sizeof report->detail, format, list);
    va_end(list);
    qr_sim_story(world, "VIOLATED: %s: %s", invariant, report->detail);
}

void qr_sim_after(qr_sim_world *world, uint64_t delay_us, qr_sim_event event)
{
    event.at_us = world->now_us + delay_us;
    qr_sim_queue_push(&world->queue, event);
}

static void on_arrival(void *context, qr_sim_message *message, uint64_t at_us)
{
    qr_sim_world *world = context;
    message->from_id = world->node[message->from].id;
    message->to_id = world->node[message->to].id;
    if (++world->flight > QR_SIM_FLIGHT_MAX)
        qr_sim_fail(world, "messages-are-bounded", "%" PRIu64 " messages are under way", world->flight);
    qr_sim_queue_push(
        &world->queue,
        (qr_sim_event){.kind = QR_SIM_ARRIVAL, .at_us = at_us, .node = message->to, .pointer = message});
}

/* ------------------------------------------------------------------ phases ---- */

static void look_again(qr_sim_world *world)
{
    qr_sim_after(world, 20000, (qr_sim_event){.kind = QR_SIM_LOOK});
}

static uint64_t patience_us(const qr_sim_world *world)
{
    /* Ten election timeouts (one is drawn from [election, 2 * election)), and a little for disks and
     * restarts. */
    return (uint64_t)world->plan.election_ms * 2 * 10 * 1000 + 1000000;
}

static void heal(qr_sim_world *world)
{
    world->outside = 0;
    qr_sim_story(world, "---- all faults end");
    world->phase = QR_SIM_HEALING;
    qr_sim_level_heal(world);
    qr_sim_nemesis_heal(world);
    world->phase_since_us = world->now_us;
    world->phase_end_us = world->now_us + patience_us(world);
    look_again(world);
}

/* Liveness: a quorum is healed and left alone with what it has. */
static void heal_core(qr_sim_world *world)
{
    world->phase = QR_SIM_CORE;
    if (!qr_sim_nemesis_heal_core(world)) {
        heal(world);
        return;
    }
    world->report->cores++;
    qr_sim_story(world, "---- all faults end, but members %x are out of reach", world->outside);
    world->phase_since_us = world->now_us;
    world->phase_end_us = world->now_us + patience_us(world);
    look_again(world);
}

/* Ten election timeouts are for what waits for something. Who has much to catch up on may take longer, as
 * long as it comes nearer, but not for ever. */
static bool is_patience_over(qr_sim_world *world)
{
    bool comes_nearer = world->caught_up != world->caught_up_seen;
    world->caught_up_seen = world->caught_up;
    uint64_t later_us = world->now_us + patience_us(world);
    if (comes_nearer && later_us > world->phase_end_us &&
        world->now_us < world->phase_since_us + 10 * patience_us(world))
        world->phase_end_us = later_us;
    return world->now_us >= world->phase_end_us;
}

/* Nothing is under way, and everybody who was to vote, also after its log was put aside, votes. */
static bool is_settled(const qr_members *members)
{
    for (uint32_t i = 0; i < members->count; i++)
        if (members->list[i].role != QR_ROLE_VOTER && members->list[i].role != QR_ROLE_LEARNER)
            return false;
    return !members->joint;
}

/* Requests without an answer, but for those that somebody out of reach has. */
static uint64_t open_inside(const qr_sim_world *world)
{
    uint64_t open = world->open_count;
    for (uint64_t i = 0; world->outside && i < world->op_count; i++)
        open -= world->ops[i]->outcome == QR_SIM_OPEN && (world->outside >> world->ops[i]->node & 1);
    return open;
}

/* NULL: everybody is up, agrees on a leader, has applied the same, and nothing is open. Else what is missing.
 */
static const char *unrest(const qr_sim_world *world, char *text, size_t size)
{
    uint64_t leader = 0;
    for (uint32_t i = 0; i < world->nodes; i++) {
        const qr_sim_node *node = &world->node[i];
        bool belongs = qr_members_find(qr_sim_configs_last(world), node->id) != NULL;
        if ((!belongs && !qr_sim_node_up(node)) || world->outside >> i & 1)
            continue;
        if (!belongs) {
            snprintf(text, size, "n%u is up and no member", i + 1);
            return text;
        }
        if (!qr_sim_node_up(node)) {
            snprintf(text, size, "n%u is not up", i + 1);
            return text;
        }
        qr_node_status status;
        qr_node_status_of(node->node, &status);
        if (status.engine.leader == 0 || (leader != 0 && status.engine.leader != leader) ||
            !qr_members_find(qr_sim_configs_last(world), status.engine.leader)) {
            snprintf(text, size, "n%u knows no leader, another one, or one that was removed", i + 1);
            return text;
        }
        leader = status.engine.leader;
        if (status.applied_index != world->oracle.count || status.engine.last_index != world->oracle.count) {
            snprintf(text, size, "n%u has applied %" PRIu64 ", holds %" PRIu64 ", entries known %" PRIu64,
                     i + 1, status.applied_index, status.engine.last_index, world->oracle.count);
            return text;
        }
        if (status.no_space) {
            snprintf(text, size, "n%u still sees a full disk", i + 1);
            return text;
        }
        if (!is_settled(&status.engine.members)) {
            snprintf(text, size, "n%u knows a member that is to vote and does not yet", i + 1);
            return text;
        }
        if (status.level != QR_APPLY_VERSION && world->phase != QR_SIM_CORE) {
            snprintf(text, size, "n%u is at level %u", i + 1, status.level);
            return text;
        }
        if (status.handing_over) {
            snprintf(text, size, "n%u is handing over", i + 1);
            return text;
        }
        if (status.pending_writes + status.pending_reads > 0) {
            snprintf(text, size, "n%u has %" PRIu64 " writes and %" PRIu64 " reads pending", i + 1,
                     status.pending_writes, status.pending_reads);
            return text;
        }
    }
    if (world->phase == QR_SIM_SETTLING && qr_sim_lease_count(world) > 0) {
        snprintf(text, size, "%u leases have not ended", qr_sim_lease_count(world));
        return text;
    }
    const char *behind = world->phase == QR_SIM_CORE ? NULL : qr_sim_watch_missing(world, text, size);
    if (behind == NULL && world->door != NULL && world->phase != QR_SIM_CORE)
        behind = world->config->door->missing(world->door, text, size);
    if (behind != NULL)
        return behind;
    uint64_t open = open_inside(world);
    if (open > 0) {
        snprintf(text, size, "%" PRIu64 " requests are unanswered", open);
        return text;
    }
    return NULL;
}

static void begin_calm(qr_sim_world *world)
{
    qr_sim_story(world, "---- whole again; some work without faults");
    world->phase = QR_SIM_CALM;
    world->calm_since_us = world->now_us;
    world->phase_end_us = world->now_us + 1500000;
    world->calm_messages = world->network.sent;
    world->calm_ops = world->op_count;
    world->calm_door_requests = world->door_requests;
    world->calm_overload = false;
    world->calm_terms = world->oracle.term_max;
    if (world->door != NULL)
        world->config->door->calm(world->door);
    qr_sim_members_calm(world);
    qr_sim_client_resume(world);
}

/* A removal that somebody had asked for in the storm came true in the calm: the member ends with what it has.
 */
static bool has_left(const qr_sim_op *op)
{
    const qr_sim_node *node = &op->world->node[op->node];
    return op->world->plan.changes && (node->life != op->life || !qr_sim_node_up(node)) &&
           (qr_sim_configs_removed_at(op->world, node->id) || node->seat.standing == QR_SIM_WAITING);
}

static bool has_no_room(const qr_sim_op *op)
{
    return op->world->plan.admit_bytes > 0 && op->status == QR_E_QUOTA;
}

/* In calm weather nothing is refused but for want of room, nobody loses the leadership, and messages are few
 * (rows 12, 13 and 23).
 */
static void judge_calm(qr_sim_world *world)
{
    uint64_t ops = world->op_count - world->calm_ops + world->door_requests - world->calm_door_requests;
    uint64_t ms = (world->now_us - world->calm_since_us) / 1000;
    uint64_t messages = world->network.sent - world->calm_messages;
    uint64_t pairs = (uint64_t)world->nodes * (world->nodes - 1);
    uint64_t messages_max = pairs * (ops * 8 + ms * 4 / world->plan.heartbeat_ms + 20);
    bool handed_over = world->calm_overload;
    for (uint64_t i = world->calm_ops; i < world->op_count; i++) {
        const qr_sim_op *op = world->ops[i];
        if (op->kind == QR_REQUEST_HANDOVER)
            handed_over = true;
        else if (op->outcome != QR_SIM_DONE && !handed_over && !has_left(op) && !has_no_room(op))
            qr_sim_fail(world, "works-when-calm", "%s was answered %s though nothing is broken", op->mark,
                        qr_status_name(op->status));
    }
    if (messages > messages_max && world->calm_changes == 0) /* who comes gets everything */
        qr_sim_fail(world, "messages-are-bounded",
                    "%" PRIu64 " messages for %" PRIu64 " requests in %" PRIu64 " ms", messages, ops, ms);
    if (world->oracle.term_max != world->calm_terms && !handed_over)
        qr_sim_fail(world, "leader-stays-when-calm",
                    "term %" PRIu64 " became %" PRIu64 " though nothing is broken", world->calm_terms,
                    world->oracle.term_max);
    qr_sim_story(world, "---- calm: %" PRIu64 " messages for %" PRIu64 " requests in %" PRIu64 " ms",
                 messages, ops, ms);
}

/* Rows 12 and 14: who does not hear the leader is told by the others that there is one, and a leader that
 * loses one voice of many stays. */
static void judge_apart(qr_sim_world *world)
{
    uint64_t terms = world->oracle.term_max - world->apart_terms;
    if (terms > 0)
        qr_sim_fail(world, "two-apart-trouble-nobody",
                    "%" PRIu64 " terms in twenty election timeouts, for one broken link", terms);
}

static void part_two(qr_sim_world *world)
{
    if (!world->plan.apart || world->nodes < 3 || world->plan.changes || !world->config->elects) {
        world->phase = QR_SIM_OVER;
        return;
    }
    world->phase = QR_SIM_APART;
    world->apart_terms = world->oracle.term_max;
    world->phase_end_us = world->now_us + (uint64_t)world->plan.election_ms * 20 * 1000;
    qr_sim_nemesis_keep_apart(world);
}

static void look(qr_sim_world *world)
{
    char text[200];
    if (world->phase == QR_SIM_CALM && world->now_us >= world->phase_end_us) {
        world->phase = QR_SIM_SETTLING;
        world->phase_since_us = world->now_us;
        world->phase_end_us = world->now_us + patience_us(world) + QR_SIM_TTL_MS_MAX * 1000;
    }
    look_again(world);
    if (world->phase == QR_SIM_CALM || world->phase == QR_SIM_SETTLING)
        qr_sim_lease_look(world);
    if (world->phase == QR_SIM_APART && world->now_us >= world->phase_end_us) {
        world->phase = QR_SIM_OVER;
        judge_apart(world);
    }
    if (world->phase == QR_SIM_FAULTS || world->phase == QR_SIM_CALM || world->phase >= QR_SIM_APART)
        return;
    const char *missing = unrest(world, text, sizeof text);
    if (missing != NULL) {
        if (is_patience_over(world))
            qr_sim_fail(world, world->phase == QR_SIM_CORE ? "a-quorum-is-enough" : "heals",
                        "%" PRIu64 " ms after the last fault: %s",
                        (world->now_us - world->phase_since_us) / 1000, missing);
        return;
    }
    if (world->phase == QR_SIM_CORE) {
        heal(world);
        return;
    }
    if (world->phase == QR_SIM_HEALING) {
        begin_calm(world);
        return;
    }
    judge_calm(world);
    qr_sim_oracle_final(world);
    if (world->door != NULL)
        world->config->door->final(world->door);
    part_two(world);
}

/* ------------------------------------------------------------------ events ---- */

static void arrive(qr_sim_world *world, qr_sim_node *node, qr_sim_message *message)
{
    world->flight--;
    world->report->messages++;
    if (qr_sim_node_up(node) && node->id == message->to_id)
        qr_sim_node_arrival(node, message);
    qr_sim_message_drop(message);
}

static void link(qr_sim_world *world, qr_sim_node *node, uint64_t number)
{
    uint32_t peer = (uint32_t)(number / 4);
    bool only_if_cut = number & 2;
    if (only_if_cut && !qr_sim_network_is_cut(&world->network, peer, node->number) &&
        !qr_sim_network_is_cut(&world->network, node->number, peer))
        return;
    qr_sim_node_link(node, peer, number & 1);
}

/* An event for a process: void if it is dead, late if it is paused. */
static void handle_for_process(qr_sim_world *world, const qr_sim_event *event)
{
    qr_sim_node *node = &world->node[event->node];
    bool void_now = event->life != node->life || (!qr_sim_node_up(node) && event->kind != QR_SIM_BOOT);
    if (event->kind == QR_SIM_SUBMIT && void_now)
        qr_sim_client_unreachable(event->pointer);
    if (void_now)
        return;
    bool dies = event->kind == QR_SIM_CRASH || event->kind == QR_SIM_BOOT;
    if (!dies && node->paused_us > world->now_us) {
        qr_sim_queue_delay(&world->queue, *event, node->paused_us);
        return;
    }
    switch (event->kind) {
    case QR_SIM_TURN: qr_sim_node_turn(node); break;
    case QR_SIM_WAKE:
        if (event->number == node->wake_us && !node->turn_due) {
            node->wake_us = UINT64_MAX;
            qr_sim_node_turn(node);
        }
        break;
    case QR_SIM_DISK: qr_sim_node_disk(node); break;
    case QR_SIM_LINK: link(world, node, event->number); break;
    case QR_SIM_BOOT: qr_sim_node_boot(node); break;
    case QR_SIM_SUBMIT: qr_sim_client_submit(world, event->pointer); break;
    default:
        QR_ASSERT(event->kind == QR_SIM_CRASH);
        /* What the nemesis had planned is void once the faults have ended. */
        if (world->phase != QR_SIM_FAULTS && !node->halted && !qr_sim_disk_dead(node->disk))
            break;
        qr_sim_node_crash(node, event->number & 1, qr_sim_nemesis_down_us(world));
    }
}

static void handle(qr_sim_world *world, qr_sim_event *event)
{
    switch (event->kind) {
    case QR_SIM_ARRIVAL: {
        qr_sim_node *node = &world->node[event->node];
        if (qr_sim_node_up(node) && node->paused_us > world->now_us)
            qr_sim_queue_delay(&world->queue, *event, node->paused_us);
        else
            arrive(world, node, event->pointer);
        break;
    }
    case QR_SIM_CLIENT: qr_sim_client_next(world, event->node); break;
    case QR_SIM_WATCH: qr_sim_watch_act(world, event->node); break;
    case QR_SIM_NEMESIS: qr_sim_nemesis_strike(world); break;
    case QR_SIM_ISOLATE: qr_sim_nemesis_isolate(world, event->number); break;
    case QR_SIM_MEND: qr_sim_nemesis_mend(world, event->number); break;
    case QR_SIM_TICK: qr_sim_members_tick(world, event->node); break;
    case QR_SIM_LOOK: look(world); break;
    case QR_SIM_DOOR: world->config->door->event(world->door, event); break;
    default: handle_for_process(world, event);
    }
}

static void run(qr_sim_world *world)
{
    uint64_t heal_us = world->plan.fault_ms * 1000;
    qr_sim_event event;
    while (!qr_sim_failed(world) && world->phase != QR_SIM_OVER) {
        bool healed = world->phase != QR_SIM_FAULTS;
        if (!healed && qr_sim_queue_next_us(&world->queue) >= heal_us) {
            world->now_us = heal_us;
            heal_core(world);
            continue;
        }
        if (!qr_sim_queue_pop(&world->queue, &event)) {
            qr_sim_fail(world, "heals", "nothing will ever happen again");
            break;
        }
        QR_ASSERT(event.at_us >= world->now_us);
        world->now_us = event.at_us;
        handle(world, &event);
        if (++world->steps % 64 == 0)
            qr_sim_oracle_match(world);
        if (world->steps > QR_SIM_STEPS_MAX)
            qr_sim_fail(world, "messages-are-bounded", "%" PRIu64 " events and no end", world->steps);
    }
}

/* ------------------------------------------------------------------ object ---- */

static void open_world(qr_sim_world *world)
{
    uint64_t seed = world->config->seed;
    qr_sim_plan_draw(world);
    QR_ASSERT(world->nodes <= QR_SIM_NODES_MAX);
    qr_prng_seed(&world->prng_nemesis, qr_hash_mix(seed, 10));
    qr_prng_seed(&world->prng_client, qr_hash_mix(seed, 11));
    qr_prng_seed(&world->prng_world, qr_hash_mix(seed, 12));
    qr_prng_seed(&world->prng_lease, qr_hash_mix(seed, 14));
    qr_prng_seed(&world->prng_watch, qr_hash_mix(seed, 15));
    qr_prng_seed(&world->prng_alarm, qr_hash_mix(seed, 16));
    qr_prng_seed(&world->prng_path, qr_hash_mix(seed, 17));
    qr_prng_seed(&world->prng_malformed, qr_hash_mix(seed, 18));
    qr_sim_network_init(&world->network, world->nodes, qr_hash_mix(seed, 13));
    world->network.arrival = on_arrival;
    world->network.context = world;
    for (uint32_t i = 0; i < world->nodes; i++) {
        qr_sim_node_init(world, i);
        if (i >= world->founders)
            continue;
        qr_member member = {.id = world->node[i].id, .role = QR_ROLE_VOTER};
        QR_CHECK(qr_members_add(&world->members, member) == QR_OK, "ids of nodes are different");
    }
    qr_sim_members_init(world);
    qr_sim_configs_init(world);
    qr_sim_oracle_init(world);
    qr_sim_client_init(world);
    qr_sim_watch_init(world);
    qr_sim_nemesis_start(world);
    if (world->plan.doors)
        world->door = world->config->door->open(world);
}

static void close_world(qr_sim_world *world)
{
    for (uint32_t i = 0; i < world->nodes; i++)
        qr_sim_node_free(&world->node[i]);
    qr_sim_watch_free(world);
    if (world->door != NULL)
        world->config->door->close(world->door);
    qr_sim_event event;
    while (qr_sim_queue_pop(&world->queue, &event))
        if (event.kind == QR_SIM_ARRIVAL)
            qr_sim_message_drop(event.pointer);
    qr_sim_queue_free(&world->queue);
    qr_sim_oracle_free(&world->oracle);
    qr_sim_configs_free(&world->configs);
    qr_free(world->ops);
    qr_buffer_free(&world->text);
    qr_arena_free(&world->arena);
}

void qr_sim_run(const qr_sim_config *config, qr_sim_report *report)
{
    *report = (qr_sim_report){.invariant = ""};
    qr_sim_world *world = qr_alloc_zero(1, sizeof *world);
    world->config = config;
    world->report = report;
    qr_arena_init(&world->arena);
    qr_buffer_init(&world->text);
    open_world(world);
    const qr_sim_plan *plan = &world->plan;
    qr_sim_story(
        world,
        "seed %" PRIu64 ": %u nodes, %u clients, heartbeat %u ms, election %u ms, faults for %" PRIu64 " ms",
        config->seed, world->nodes, plan->clients, plan->heartbeat_ms, plan->election_ms, plan->fault_ms);
    run(world);
    report->trace_hash = world->hash;
    report->simulated_ms = world->now_us / 1000;
    report->events = world->steps;
    report->entries = world->oracle.count;
    report->spoilt = world->network.spoilt;
    report->configurations = world->configs.count - 1;
    close_world(world);
    qr_free(world);
}

/* Swarm: each seed draws its own subset of faults and their strength, so that no fault always hides behind
 * another. */
#include "sim/world.h"

static bool one_in(qr_prng *prng, uint64_t n)
{
    return qr_prng_below(prng, n) == 0;
}

static uint32_t pick(qr_prng *prng, const uint32_t *list, size_t count)
{
    return list[qr_prng_below(prng, count)];
}
#define PICK(prng, ...)                                                                                      \
    pick(prng, (const uint32_t[]){__VA_ARGS__}, sizeof((uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t))

static void draw_times(qr_sim_plan *plan, qr_prng *prng)
{
    plan->heartbeat_ms = PICK(prng, 20, 40, 50, 100);
    plan->election_ms = plan->heartbeat_ms * PICK(prng, 4, 5, 8, 10);
    plan->request_ms = PICK(prng, 700, 1500, 3000, 7000);
    plan->turn_us_max = PICK(prng, 20, 50, 50, 500, 3000);
}

static void draw_sizes(qr_sim_plan *plan, qr_prng *prng)
{
    plan->segment_size = (uint64_t)PICK(prng, 16, 32, 64, 128) * 1024;
    plan->engine_memory_max = one_in(prng, 3) ? PICK(prng, 1, 256, 4096) : 0;
    plan->engine_message_max = one_in(prng, 2) ? PICK(prng, 1, 1, 512, 4096) : 0;
    plan->clients = (uint32_t)qr_prng_between(prng, 3, 10);
    plan->keys = (uint32_t)qr_prng_between(prng, 2, QR_SIM_KEYS_MAX);
    plan->think_ms = PICK(prng, 5, 20, 50, 100);
    plan->value_max = PICK(prng, 40, 40, 200, 3000);
    /* Most runs make many checkpoints, and keep so little log that a member is soon behind its beginning; but
     * some entries at least. */
    plan->checkpoint_bytes = one_in(prng, 5) ? 0 : (uint64_t)PICK(prng, 1, 2, 4, 16) * 1024;
    if (plan->checkpoint_bytes && one_in(prng, 2))
        plan->segment_size = 16 * 1024;
    if (plan->checkpoint_bytes && plan->checkpoint_bytes < 8 * (uint64_t)plan->value_max)
        plan->checkpoint_bytes = 8 * (uint64_t)plan->value_max;
}

/* From those that read at once to those that compaction overtakes. */
static void draw_watches(qr_sim_plan *plan, qr_prng *prng)
{
    plan->watches = (uint32_t)qr_prng_below(prng, QR_SIM_WATCHES_MAX + 1);
    plan->watch_ms = PICK(prng, 1, 10, 50, 300);
}

static void draw_weather(qr_sim_plan *plan, qr_prng *prng)
{
    qr_sim_weather *weather = &plan->weather;
    weather->delay_us_min = PICK(prng, 50, 50, 200, 1000);
    weather->delay_us_max = weather->delay_us_min + PICK(prng, 50, 500, 2000, 5000);
    if (one_in(prng, 2))
        weather->loss = PICK(prng, 1000, 10000, 50000, 200000);
    if (one_in(prng, 2))
        weather->duplication = PICK(prng, 10000, 200000, 500000);
    if (one_in(prng, 2)) {
        weather->straggling = PICK(prng, 1000, 10000, 50000);
        weather->straggle_us_max = PICK(prng, 20, 200, 1000, 5000) * 1000;
    }
    weather->in_order = one_in(prng, 3);
}

static void draw_faults(qr_sim_plan *plan, qr_prng *prng)
{
    plan->nemesis_ms = PICK(prng, 100, 300, 600, 1500);
    plan->crashes = !one_in(prng, 4);
    plan->power_cuts = !one_in(prng, 4);
    plan->io_crashes = one_in(prng, 2);
    plan->boot_crashes = one_in(prng, 4);
    plan->all_die = one_in(prng, 3);
    plan->cuts = one_in(prng, 2);
    plan->cut_shapes = (uint32_t)qr_prng_between(prng, 1, (1u << QR_SIM_CUT_SHAPES) - 1);
    plan->pauses = one_in(prng, 3);
    plan->clogs = one_in(prng, 4);
    plan->old_leaders = one_in(prng, 3);
    plan->left_behind = one_in(prng, 2) && plan->checkpoint_bytes > 0;
    plan->clock_jumps = one_in(prng, 3);
    plan->slow_disks = one_in(prng, 4);
    plan->stalls = one_in(prng, 4);
    plan->failing_syncs = one_in(prng, 4);
    plan->no_space = one_in(prng, 8);
    plan->handovers = one_in(prng, 3);
    /* A state that does not grow is saved again and again, and its log stays short. */
    plan->compactions = one_in(prng, 3) || plan->left_behind;
    /* Crashes right after a decision: the moments in which a promise is made but perhaps not on the disk. */
    plan->triggered = one_in(prng, 2);
    static const qr_trace_kind kinds[] = {QR_TRACE_ROLE,
                                          QR_TRACE_VOTE_GIVE,
                                          QR_TRACE_VOTE_ASK,
                                          QR_TRACE_TRUNCATE,
                                          QR_TRACE_REJECT,
                                          QR_TRACE_FETCH,
                                          QR_TRACE_WAL_SEGMENT,
                                          QR_TRACE_HANDOVER,
                                          QR_TRACE_BOOT,
                                          QR_TRACE_WAL_CUT,
                                          QR_TRACE_CHECKPOINT_BEGIN,
                                          QR_TRACE_CHECKPOINT_DONE,
                                          QR_TRACE_CHECKPOINT_TOLD,
                                          QR_TRACE_CHECKPOINT_LOAD,
                                          QR_TRACE_CHECKPOINT_SEND,
                                          QR_TRACE_CHECKPOINT_TAKE};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (one_in(prng, 3))
            plan->triggers |= (uint64_t)1 << kinds[i];
    if (one_in(prng, 3)) { /* elections in bad company */
        static const qr_trace_kind elections[] = {QR_TRACE_VOTE_ASK, QR_TRACE_VOTE_GIVE, QR_TRACE_ROLE,
                                                  QR_TRACE_COMMIT};
        for (size_t i = 0; i < sizeof elections / sizeof elections[0]; i++)
            if (!one_in(prng, 3))
                plan->ambushes |= (uint64_t)1 << elections[i];
    }
    if (one_in(prng, 5)) { /* leaders fall fast, and entries travel one by one: old ones and new ones apart */
        plan->ambushes |= (uint64_t)1 << QR_TRACE_ROLE | (uint64_t)1 << QR_TRACE_COMMIT;
        plan->engine_message_max = 1;
        plan->think_ms = 5;
        plan->all_die = false;
    }
    plan->trigger_per_million = PICK(prng, 20000, 100000, 300000);
    plan->damage = one_in(prng, 2);
    plan->upgrade =
        (qr_sim_upgrade)PICK(prng, QR_SIM_UPGRADE_NONE, QR_SIM_UPGRADE_ROLLING, QR_SIM_UPGRADE_HELD);
}

static void draw_damage(qr_sim_plan *plan, qr_prng *prng)
{
    plan->rot_zones = (uint32_t)qr_prng_between(prng, 1, (1u << QR_SIM_ZONES) - 1);
    plan->rots = (uint32_t)qr_prng_between(prng, 1, (1u << QR_SIM_ROTS) - 1);
    plan->lies = one_in(prng, 2);
}

/* Drawn apart, as what follows is: the runs without them stay as they were. */
static void draw_late_faults(qr_sim_world *world)
{
    qr_sim_plan *plan = &world->plan;
    qr_prng prng;
    qr_prng_seed(&prng, qr_hash_mix(world->config->seed, 5));
    plan->lost_kinds = one_in(&prng, 4);
    if (one_in(&prng, 4))
        plan->weather.corruption = PICK(&prng, 100, 1000, 20000);
    plan->core = one_in(&prng, 3);
    plan->apart = one_in(&prng, 4);
}

static void draw_changes(qr_sim_world *world)
{
    qr_sim_plan *plan = &world->plan;
    qr_prng prng;
    qr_prng_seed(&prng, qr_hash_mix(world->config->seed, 4));
    plan->transfer_cuts = one_in(&prng, 2) && world->config->elects;
    plan->transfer_cut_per_million = PICK(&prng, 20000, 100000, 300000);
    plan->changes = one_in(&prng, 3) && world->config->elects && world->config->nodes == 0;
    plan->wipes = one_in(&prng, 2) && plan->changes;
    plan->calm_change = one_in(&prng, 2) && plan->changes;
    if (!plan->changes)
        return;
    world->nodes += (uint32_t)qr_prng_between(&prng, 2, 4);
    if (world->nodes > QR_SIM_NODES_MAX)
        world->nodes = QR_SIM_NODES_MAX;
    plan->clients++; /* the administrator */
}

/* Likewise. */
static void draw_alarms(qr_sim_world *world)
{
    qr_sim_plan *plan = &world->plan;
    qr_prng prng;
    qr_prng_seed(&prng, qr_hash_mix(world->config->seed, 6));
    plan->alarms = one_in(&prng, 3);
    if (plan->alarms && one_in(&prng, 2))
        plan->admit_bytes = qr_prng_between(&prng, 500, 5000);
    plan->paths = one_in(&prng, 2);
}

/* Likewise. */
static void draw_malformed(qr_sim_world *world)
{
    qr_prng prng;
    qr_prng_seed(&prng, qr_hash_mix(world->config->seed, 7));
    if (one_in(&prng, 3))
        world->plan.malformed = PICK(&prng, 1000, 10000, 50000);
}

/* Likewise. */
static void draw_doors(qr_sim_world *world)
{
    qr_prng prng;
    qr_prng_seed(&prng, qr_hash_mix(world->config->seed, 8));
    bool drawn = one_in(&prng, 8);
    world->plan.doors = world->config->door != NULL && (drawn || world->config->doors);
}

void qr_sim_plan_draw(qr_sim_world *world)
{
    qr_prng prng;
    qr_prng_seed(&prng, qr_hash_mix(world->config->seed, 1));
    uint32_t nodes = PICK(&prng, 1, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 5, 5, 5, 5, 5, 5);
    world->nodes = world->config->nodes ? world->config->nodes : nodes;
    world->quorum = world->nodes / 2 + 1;
    world->founders = world->nodes;
    qr_sim_plan *plan = &world->plan;
    draw_times(plan, &prng);
    draw_sizes(plan, &prng);
    draw_weather(plan, &prng);
    draw_faults(plan, &prng);
    if (!world->config->elects) /* the engine with a fixed leader needs its log whole */
        plan->checkpoint_bytes = UINT64_MAX;
    plan->fault_ms = qr_prng_between(&prng, 6000, 16000);
    plan->leases = one_in(&prng, 2);
    draw_watches(plan, &prng);
    if (world->config->fault_ms)
        plan->fault_ms = world->config->fault_ms;
    draw_damage(plan, &prng);
    draw_late_faults(world);
    draw_changes(world);
    draw_alarms(world);
    draw_malformed(world);
    draw_doors(world);
}

/* Each seed draws its own faults and patience. */
#include "sim/groups/groups.h"

static uint32_t pick(qr_prng *prng, const uint32_t *list, size_t count)
{
    return list[qr_prng_below(prng, count)];
}
#define PICK(prng, ...)                                                                                      \
    pick(prng, (const uint32_t[]){__VA_ARGS__}, sizeof((uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t))

static void draw_weather(qr_sim_weather *weather, qr_prng *prng)
{
    weather->delay_us_min = PICK(prng, 50, 200, 1000);
    weather->delay_us_max = weather->delay_us_min + PICK(prng, 50, 500, 2000, 5000);
    if (qr_sim_one_in(prng, 2))
        weather->loss = PICK(prng, 1000, 10000, 50000);
    if (qr_sim_one_in(prng, 2))
        weather->duplication = PICK(prng, 10000, 200000);
    if (qr_sim_one_in(prng, 2)) {
        weather->straggling = PICK(prng, 1000, 10000, 50000);
        weather->straggle_us_max = PICK(prng, 20, 200, 1000) * 1000;
    }
    weather->in_order = qr_sim_one_in(prng, 3);
}

void qr_sim_groups_plan_draw(qr_sim_groups *world)
{
    qr_sim_group_plan *plan = &world->plan;
    qr_prng prng;
    qr_prng_seed(&prng, qr_hash_mix(world->config->seed, 1));
    plan->groups = world->config->groups;
    plan->tellers = (uint32_t)qr_prng_between(&prng, 3, QR_SIM_TELLERS_MAX);
    plan->accounts = PICK(&prng, 2, 3, QR_SIM_ACCOUNTS);
    plan->think_ms = PICK(&prng, 5, 20, 50);
    plan->heartbeat_ms = PICK(&prng, 20, 40, 50);
    plan->election_ms = plan->heartbeat_ms * PICK(&prng, 4, 5, 8);
    plan->turn_us_max = PICK(&prng, 20, 50, 500, 3000);
    plan->limit_ms = PICK(&prng, 400, 800, 1500);
    plan->request_ms =
        PICK(&prng, 30, 100, 300, 1500); /* short ones are asked again while they are under way */
    plan->group = (qr_group_config){.retry_ms = PICK(&prng, 2, 10, 30),
                                    .push_ms = PICK(&prng, 5, 50, 200),
                                    .forget_ms = plan->limit_ms * 2 + 100,
                                    .bug = world->config->bug};
    plan->fault_ms = world->config->fault_ms ? world->config->fault_ms : qr_prng_between(&prng, 2000, 8000);
    plan->segment_size = (uint64_t)PICK(&prng, 16, 64) * 1024;
    plan->checkpoint_bytes = qr_sim_one_in(&prng, 2) ? 0 : (uint64_t)PICK(&prng, 4, 16) * 1024;
    plan->nemesis_ms = PICK(&prng, 100, 300, 600);
    plan->kills = !qr_sim_one_in(&prng, 4);
    plan->power_cuts = !qr_sim_one_in(&prng, 4);
    plan->io_crashes = qr_sim_one_in(&prng, 2);
    plan->cuts = qr_sim_one_in(&prng, 2);
    plan->pauses = qr_sim_one_in(&prng, 3);
    plan->all_die = qr_sim_one_in(&prng, 4);
    plan->deserts = !qr_sim_one_in(&prng, 3);
    plan->core = !qr_sim_one_in(&prng, 3);
    plan->moments = qr_sim_one_in(&prng, 2) ? PICK(&prng, 1000, 10000) : 0;
    draw_weather(&plan->weather, &prng);
}

/* Files of a member go bad, by zone and kind. The nemesis has made sure that nothing can be lost by it. */
#include "sim/world.h"

static const char *const zones[QR_SIM_ZONES] = {
    "the head of a segment", "an older segment",         "the newest segment", "the newest checkpoint",
    "an older checkpoint",   "an unfinished checkpoint", "a spare segment"};
static const char *const rots[QR_SIM_ROTS] = {"a bit is flipped", "bytes are scrambled", "a sector is zeroed",
                                              "a block is zeroed", "a block cannot be read"};

/* Any of the set, beginning anywhere. */
static uint32_t draw(qr_sim_world *world, uint32_t set, uint32_t count)
{
    uint32_t n = (uint32_t)qr_prng_below(&world->prng_nemesis, count);
    while (!(set >> n & 1))
        n = (n + 1) % count;
    return n;
}

/* In one of the zones of this run that are there. */
static bool rot(qr_sim_node *node)
{
    qr_sim_world *world = node->world;
    uint32_t kind = draw(world, world->plan.rots, QR_SIM_ROTS), left = world->plan.rot_zones;
    while (left != 0) {
        uint32_t zone = draw(world, left, QR_SIM_ZONES);
        left &= ~(1u << zone);
        if (!qr_sim_disk_rot(node->disk, (qr_sim_zone)zone, (qr_sim_rot)kind))
            continue;
        world->report->damages++;
        qr_sim_story(world, "the disk of n%u rots in %s: %s", node->number + 1, zones[zone], rots[kind]);
        return true;
    }
    return false;
}

bool qr_sim_damage_at_rest(qr_sim_node *node)
{
    return rot(node);
}

bool qr_sim_damage_running(qr_sim_node *node)
{
    qr_sim_world *world = node->world;
    if (world->plan.changes) /* another member may go before it is found */
        return false;
    if (world->plan.lies && qr_prng_below(&world->prng_nemesis, 2)) {
        qr_sim_disk_faults *faults = qr_sim_disk_faults_of(node->disk);
        faults->lies_in = (uint32_t)qr_prng_between(&world->prng_nemesis, 1, 40);
        faults->misdirects = qr_prng_below(&world->prng_nemesis, 2);
        node->damaged = node->rots = true;
        world->report->damages++;
        qr_sim_story(world, "the disk of n%u is going to send write %u astray", node->number + 1,
                     faults->lies_in);
        return true;
    }
    if (qr_prng_below(&world->prng_nemesis, 2) || !rot(node))
        return false;
    node->damaged = node->rots = true;
    return true;
}

void qr_sim_damage_heal(qr_sim_world *world)
{
    for (uint32_t i = 0; i < world->nodes; i++) {
        qr_sim_node *node = &world->node[i];
        if (node->rots && qr_sim_node_up(node))
            qr_sim_node_crash(node, true, qr_sim_nemesis_down_us(world));
    }
}

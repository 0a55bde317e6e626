/* Members of two versions: who runs which program, and what must be true of the feature level. The two rules
 * of doc/guides/upgrade.md hold: a member goes back only while some member holds the level, and in the end
 * all run the new program and nobody holds it. */
#include <inttypes.h>

#include "core/command.h"
#include "sim/world.h"

enum { BEFORE = QR_APPLY_VERSION - 1 };

/* In a held cluster the first member never owns up to more than the version before; where members come and
 * go, nobody does. */
static bool is_holder(const qr_sim_node *node)
{
    return node->number == 0 || node->world->plan.changes;
}

void qr_sim_level_init(qr_sim_node *node)
{
    bool new_from_the_start = node->world->plan.upgrade == QR_SIM_UPGRADE_NONE;
    node->apply_knows = new_from_the_start ? QR_APPLY_VERSION : BEFORE;
    node->level_max = 0;
}

static bool is_old_about(const qr_sim_world *world)
{
    for (uint32_t i = 0; i < world->nodes; i++)
        if (world->node[i].apply_knows < QR_APPLY_VERSION &&
            qr_members_find(qr_sim_configs_last(world), world->node[i].id))
            return true;
    return false;
}

/* In the calm: once all run the new program nobody has to hold the level any more. */
static void release_holders(qr_sim_world *world)
{
    for (uint32_t i = 0; i < world->nodes && !is_old_about(world); i++)
        if (qr_sim_node_up(&world->node[i]) && world->node[i].level_max != 0)
            qr_sim_node_crash(&world->node[i], true, qr_prng_between(&world->prng_world, 1000, 20000));
}

void qr_sim_level_boot(qr_sim_node *node)
{
    qr_sim_world *world = node->world;
    uint16_t before = node->apply_knows;
    bool healed = world->phase != QR_SIM_FAULTS;
    if (healed || node->seat.standing == QR_SIM_JOINER) /* who joins has to know the level */
        node->apply_knows = QR_APPLY_VERSION;
    else if (world->plan.upgrade == QR_SIM_UPGRADE_ROLLING && qr_prng_below(&world->prng_world, 2))
        node->apply_knows = QR_APPLY_VERSION;
    else if (world->plan.upgrade == QR_SIM_UPGRADE_HELD)
        node->apply_knows = qr_prng_below(&world->prng_world, 2) ? QR_APPLY_VERSION : BEFORE;
    bool over = healed && !is_old_about(world);
    bool holds = world->plan.upgrade == QR_SIM_UPGRADE_HELD && !over && is_holder(node);
    node->level_max = holds ? BEFORE : 0;
    if (healed)
        release_holders(world);
    if (node->apply_knows != before)
        qr_sim_story(world, "n%u starts with %s program", node->number + 1,
                     node->apply_knows > before ? "the new" : "the old");
}

void qr_sim_level_heal(qr_sim_world *world)
{
    for (uint32_t i = 0; i < world->nodes; i++) {
        qr_sim_node *node = &world->node[i];
        if (qr_sim_node_up(node) && node->apply_knows < QR_APPLY_VERSION)
            qr_sim_node_crash(node, true, qr_prng_between(&world->prng_world, 1000, 20000));
    }
    release_holders(world);
}

void qr_sim_level_learned(qr_sim_world *world, uint64_t index, uint16_t version)
{
    if (version <= world->oracle.level)
        return;
    world->oracle.level = version;
    if (version > BEFORE && world->phase == QR_SIM_FAULTS && world->plan.upgrade == QR_SIM_UPGRADE_HELD)
        qr_sim_fail(world, "level-is-held", "entry %" PRIu64 " raises the level to %u", index, version);
    for (uint32_t i = 0; i < world->nodes; i++)
        if (world->node[i].apply_knows < version &&
            qr_members_find(qr_sim_configs_last(world), world->node[i].id))
            qr_sim_fail(world, "level-is-known-to-all",
                        "entry %" PRIu64 " needs version %u, n%u runs a program that knows %u", index,
                        version, i + 1, world->node[i].apply_knows);
}

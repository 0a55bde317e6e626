/* What goes wrong. Strikes at random times with the faults of the plan, and right after decisions of the
 * nodes where a promise may have been made that is not on the disk yet. */
#include <inttypes.h>

#include "sim/world.h"

typedef enum sim_fault {
    FAULT_KILL,
    FAULT_POWER,
    FAULT_ALL_DIE,
    FAULT_IO_CRASH,
    FAULT_CUT,
    FAULT_PAUSE,
    FAULT_CLOG,
    FAULT_CLOCK,
    FAULT_SLOW_DISK,
    FAULT_SYNC,
    FAULT_NO_SPACE,
    FAULT_OLD_LEADER,
    FAULT_STALL,
    FAULT_DAMAGE,
    FAULT_LEFT_BEHIND,
    FAULT_LOST_KIND,
    FAULT_COUNT,
} sim_fault;

static uint64_t below(qr_sim_world *world, uint64_t bound)
{
    return qr_prng_below(&world->prng_nemesis, bound);
}

static uint64_t between(qr_sim_world *world, uint64_t low, uint64_t high)
{
    return qr_prng_between(&world->prng_nemesis, low, high);
}

static bool allowed(const qr_sim_plan *plan, sim_fault fault)
{
    switch (fault) {
    case FAULT_KILL: return plan->crashes;
    case FAULT_POWER: return plan->power_cuts;
    case FAULT_ALL_DIE: return plan->all_die;
    case FAULT_IO_CRASH: return plan->io_crashes;
    case FAULT_CUT: return plan->cuts;
    case FAULT_PAUSE: return plan->pauses;
    case FAULT_CLOG: return plan->clogs;
    case FAULT_CLOCK: return plan->clock_jumps;
    case FAULT_SLOW_DISK: return plan->slow_disks;
    case FAULT_STALL: return plan->stalls;
    case FAULT_DAMAGE: return plan->damage;
    case FAULT_SYNC: return plan->failing_syncs;
    case FAULT_NO_SPACE: return plan->no_space;
    case FAULT_OLD_LEADER: return plan->old_leaders;
    case FAULT_LEFT_BEHIND: return plan->left_behind;
    case FAULT_LOST_KIND: return plan->lost_kinds;
    default: return false;
    }
}

static qr_sim_node *leader_of(qr_sim_world *world)
{
    const qr_sim_oracle *oracle = &world->oracle;
    if (oracle->leader_count == 0)
        return NULL;
    return &world->node[oracle->leaders[oracle->leader_count - 1].node];
}

/* Half of all faults hit the leader: that is where it hurts. */
static qr_sim_node *victim(qr_sim_world *world)
{
    qr_sim_node *leader = leader_of(world);
    if (leader != NULL && below(world, 2))
        return leader;
    return &world->node[below(world, world->nodes)];
}

static uint64_t draw_down_us(qr_sim_world *world)
{
    if (world->phase != QR_SIM_FAULTS)
        return between(world, 1000, 20000);
    return below(world, 2) ? between(world, 500, 60000) : between(world, 1000, 3000000);
}

static void die(qr_sim_world *world, qr_sim_node *node, bool kill, uint64_t delay_us)
{
    qr_sim_after(
        world, delay_us,
        (qr_sim_event){.kind = QR_SIM_CRASH, .node = node->number, .life = node->life, .number = kill});
}

/* ------------------------------------------------------------------- cuts ---- */

static void tell_link(qr_sim_world *world, uint32_t to, uint32_t peer, uint64_t flags, uint64_t delay_us)
{
    qr_sim_node *node = &world->node[to];
    if (qr_sim_node_up(node))
        qr_sim_after(
            world, delay_us,
            (qr_sim_event){.kind = QR_SIM_LINK, .node = to, .life = node->life, .number = peer * 4 + flags});
}

/* Both ends of each link in the cut hear of it: "up", or "down" if the cut is still there by then. */
static void tell_cut(qr_sim_world *world, qr_sim_cut cut, bool up)
{
    bool at_once = !up && below(world, 2); /* a reset instead of silence */
    for (uint32_t from = 0; from < world->nodes; from++)
        for (uint32_t to = 0; to < world->nodes; to++) {
            if (!qr_sim_cut_has(cut, from, to))
                continue;
            uint64_t delay_us = up        ? between(world, 500, 100000)
                                : at_once ? between(world, 500, 20000)
                                          : between(world, 100000, 3000000);
            tell_link(world, to, from, up ? 1 : 2, delay_us);
            tell_link(world, from, to, up ? 1 : 2, delay_us);
        }
}

/* false: there is no such link, or too many cuts already. */
static bool make_cut(qr_sim_world *world, qr_sim_cut_shape shape, qr_sim_cut cut, uint64_t length_us)
{
    uint32_t slot = 0;
    while (slot < QR_SIM_CUTS_MAX && world->cuts[slot].active)
        slot++;
    if (slot == QR_SIM_CUTS_MAX || cut == 0)
        return false;
    world->cuts[slot].active = true;
    world->cuts[slot].cut = cut;
    qr_sim_cut_apply(&world->network, cut, false);
    qr_sim_story(world, "the network is cut (%s) for %" PRIu64 " ms, links %" PRIx64, qr_sim_cut_name(shape),
                 length_us / 1000, cut);
    qr_sim_after(world, length_us, (qr_sim_event){.kind = QR_SIM_MEND, .number = slot});
    return true;
}

void qr_sim_nemesis_part(qr_sim_world *world, const qr_sim_node *a, const qr_sim_node *b, uint64_t length_us)
{
    qr_sim_cut cut = (qr_sim_cut)1 << (a->number * QR_SIM_NODES_MAX + b->number) |
                     (qr_sim_cut)1 << (b->number * QR_SIM_NODES_MAX + a->number);
    make_cut(world, QR_SIM_CUT_PAIR, cut, length_us);
}

static void strike_cut(qr_sim_world *world)
{
    uint32_t shape = (uint32_t)below(world, QR_SIM_CUT_SHAPES);
    while (!(world->plan.cut_shapes >> shape & 1))
        shape = (shape + 1) % QR_SIM_CUT_SHAPES;
    qr_sim_cut cut = qr_sim_cut_make(&world->network, (qr_sim_cut_shape)shape, victim(world)->number);
    uint64_t length_us = below(world, 2) ? between(world, 20000, 1000000) : between(world, 500000, 6000000);
    if (make_cut(world, (qr_sim_cut_shape)shape, cut, length_us) && below(world, 2))
        tell_cut(world, cut, false);
}

void qr_sim_nemesis_mend(qr_sim_world *world, uint64_t number)
{
    if (!world->cuts[number].active)
        return;
    world->cuts[number].active = false;
    qr_sim_cut_apply(&world->network, world->cuts[number].cut, true);
    tell_cut(world, world->cuts[number].cut, true);
    qr_sim_story(world, "the cut with links %" PRIx64 " is mended", world->cuts[number].cut);
}

/* ---------------------------------------------------------------- strikes ---- */

enum { ISOLATE_BEHIND_ITS_BACK = 256 }; /* the others hear of it at once, the node does not */

/* Away from all others, some time from now, for some elections. */
static void isolate_soon(qr_sim_world *world, const qr_sim_node *node, uint64_t delay_us, uint64_t flags)
{
    qr_sim_after(world, delay_us, (qr_sim_event){.kind = QR_SIM_ISOLATE, .number = node->number | flags});
}

static uint64_t some_elections_us(qr_sim_world *world)
{
    return (uint64_t)world->plan.election_ms * between(world, 200, 6000);
}

void qr_sim_nemesis_isolate(qr_sim_world *world, uint64_t number)
{
    if (world->phase != QR_SIM_FAULTS)
        return;
    bool behind = number & ISOLATE_BEHIND_ITS_BACK;
    uint32_t victim_number = (uint32_t)(number & ~(uint64_t)ISOLATE_BEHIND_ITS_BACK);
    qr_sim_cut_shape shape = behind || below(world, 3) ? QR_SIM_CUT_ISOLATE : QR_SIM_CUT_MUTE;
    qr_sim_cut cut = qr_sim_cut_make(&world->network, shape, victim_number);
    if (!make_cut(world, shape, cut, some_elections_us(world)))
        return;
    for (uint32_t i = 0; behind && i < world->nodes; i++)
        if (i != victim_number)
            tell_link(world, i, victim_number, 2, between(world, 500, 5000));
    if (!behind && below(world, 2))
        tell_cut(world, cut, false);
}

/* A leader that does not know yet that it is one no more: answers to it are on their way for long, and while
 * it waits for them the others, who hear nothing of it, go on without it (rows 10 and 11). */
static void strike_old_leader(qr_sim_world *world)
{
    qr_sim_node *leader = leader_of(world);
    if (leader == NULL || !qr_sim_node_up(leader))
        return;
    uint64_t clog_us = (uint64_t)world->plan.election_ms * between(world, 300, 950);
    for (uint32_t i = 0; i < world->nodes; i++)
        if (i != leader->number)
            world->network.clogged_us[i][leader->number] = world->now_us + clog_us;
    qr_sim_story(world, "what is sent to n%u takes %" PRIu64 " ms", leader->number + 1, clog_us / 1000);
    isolate_soon(world, leader, between(world, 1, clog_us / 3), ISOLATE_BEHIND_ITS_BACK);
}

/* A follower is away for so long that the log of the others begins behind it when it comes back. */
static void strike_left_behind(qr_sim_world *world)
{
    const qr_sim_node *leader = leader_of(world), *node = &world->node[below(world, world->nodes)];
    if (world->nodes < 2 || node == leader)
        return;
    qr_sim_cut cut = qr_sim_cut_make(&world->network, QR_SIM_CUT_ISOLATE, node->number);
    uint64_t length_us = between(world, 2000000, 8000000);
    if (make_cut(world, QR_SIM_CUT_ISOLATE, cut, length_us))
        tell_cut(world, cut, false);
}

static void strike_clog(qr_sim_world *world)
{
    if (world->nodes < 2)
        return;
    uint32_t from = victim(world)->number;
    uint32_t to = (from + 1 + (uint32_t)below(world, world->nodes - 1)) % world->nodes;
    uint64_t length_us = between(world, 50000, 3000000);
    world->network.clogged_us[from][to] = world->now_us + length_us;
    qr_sim_story(world, "the link from n%u to n%u is clogged for %" PRIu64 " ms", from + 1, to + 1,
                 length_us / 1000);
}

/* One kind of message does not arrive any more, from nobody; all others do. */
static void strike_lost_kind(qr_sim_world *world)
{
    qr_sim_network *network = &world->network;
    if (network->kind_count == 0)
        return;
    uint64_t length_us = between(world, 20000, below(world, 2) ? 500000 : 4000000);
    network->lost_kind = network->kinds[below(world, network->kind_count)];
    network->lost_kind_us = world->now_us + length_us;
    qr_sim_story(world, "messages of kind %u/%u are lost for %" PRIu64 " ms", network->lost_kind >> 8,
                 network->lost_kind & 0xff, length_us / 1000);
}

static void strike_pause(qr_sim_world *world, qr_sim_node *node)
{
    uint64_t length_us = below(world, 2) ? between(world, 10000, 1000000) : between(world, 1000000, 10000000);
    uint64_t end_us =
        world->plan.fault_ms * 1000; /* what waits for a paused node is queued for the end of its pause */
    if (world->now_us + length_us > end_us)
        length_us = end_us - world->now_us;
    node->paused_us = world->now_us + length_us;
    qr_sim_story(world, "n%u is paused for %" PRIu64 " ms", node->number + 1, length_us / 1000);
}

static void strike_disk(qr_sim_world *world, qr_sim_node *node, sim_fault fault)
{
    qr_sim_disk_faults *faults = qr_sim_disk_faults_of(node->disk);
    if (!qr_sim_node_up(node))
        return;
    switch (fault) {
    case FAULT_IO_CRASH: faults->crash_in = between(world, 1, 30); break;
    case FAULT_SLOW_DISK:
        faults->slow_factor = faults->slow_factor > 1 ? 1 : (uint32_t)between(world, 2, 200);
        qr_sim_story(world, "the disk of n%u is slower by %u", node->number + 1, faults->slow_factor);
        break;
    case FAULT_STALL:
        faults->stall_us = some_elections_us(world);
        qr_sim_story(world, "the disk of n%u hangs for %" PRIu64 " ms", node->number + 1,
                     faults->stall_us / 1000);
        break;
    case FAULT_SYNC:
        if (below(world, 4))
            faults->sync_fails_in = (uint32_t)between(world, 1, 10);
        else
            faults->write_fails_in = (uint32_t)between(world, 1, 10);
        break;
    default:
        faults->no_space_per_million = faults->no_space_per_million ? 0 : 500000;
        qr_sim_story(world, "the disk of n%u %s", node->number + 1,
                     faults->no_space_per_million ? "is nearly full" : "has space again");
        break;
    }
}

/* Its disk goes bad. Only as many members as may lose what they have, all told, and only where an engine
 * gives them back what they have lost. Who began a group alone knows nobody else without its log, and would
 * refuse to start. */
static void strike_files(qr_sim_world *world, qr_sim_node *node)
{
    if (node->seat.standing == QR_SIM_FOUNDER && world->founders == 1)
        return;
    bool may_lose = world->plan.changes ? qr_sim_members_may_lose(node)
                                        : !node->damaged && world->damaged < world->nodes - world->quorum;
    if (!world->config->elects || !qr_sim_node_up(node) || node->damage_due || !may_lose)
        return;
    world->damaged++;
    if (qr_sim_damage_running(node))
        return;
    node->damage_due = true;
    die(world, node, false, 1);
}

static void strike_all(qr_sim_world *world)
{
    if (below(world, 4)) /* rarely: it hides much */
        return;
    for (uint32_t i = 0; i < world->nodes; i++)
        if (qr_sim_node_up(&world->node[i]))
            die(world, &world->node[i], false, below(world, 2000));
}

void qr_sim_nemesis_strike(qr_sim_world *world)
{
    if (world->phase != QR_SIM_FAULTS)
        return;
    uint64_t mean_us = (uint64_t)world->plan.nemesis_ms * 1000;
    qr_sim_after(world, 1 + below(world, 2 * mean_us), (qr_sim_event){.kind = QR_SIM_NEMESIS});
    sim_fault fault = (sim_fault)below(world, FAULT_COUNT);
    if (!allowed(&world->plan, fault))
        return;
    qr_sim_node *node = victim(world);
    switch (fault) {
    case FAULT_KILL:
    case FAULT_POWER:
        if (qr_sim_node_up(node))
            die(world, node, fault == FAULT_KILL, 1);
        break;
    case FAULT_ALL_DIE: strike_all(world); break;
    case FAULT_DAMAGE: strike_files(world, node); break;
    case FAULT_CUT: strike_cut(world); break;
    case FAULT_PAUSE: strike_pause(world, node); break;
    case FAULT_CLOG: strike_clog(world); break;
    case FAULT_OLD_LEADER: strike_old_leader(world); break;
    case FAULT_LEFT_BEHIND: strike_left_behind(world); break;
    case FAULT_LOST_KIND: strike_lost_kind(world); break;
    case FAULT_CLOCK:
        node->wall_skew_ms += (int64_t)below(world, 7200000) - 3600000;
        qr_sim_story(world, "the wall clock of n%u jumps", node->number + 1);
        break;
    default: strike_disk(world, node, fault); break;
    }
}

/* ------------------------------------------------- in the worst moment ---- */

static qr_sim_node *node_of(qr_sim_world *world, uint64_t id)
{
    for (uint32_t i = 0; i < world->nodes; i++)
        if (world->node[i].id == id)
            return &world->node[i];
    return NULL;
}

/* Some of those who are asked for a vote do not hear of it: elections by narrow majorities. */
static void ambush_question(qr_sim_world *world, const qr_sim_node *candidate, const qr_sim_node *asked)
{
    if (below(world, 2))
        qr_sim_nemesis_part(world, candidate, asked, some_elections_us(world));
}

/* Who has just voted forgets it if that is not on its disk, and the one who was elected by it goes out of
 * sight. */
static void ambush_vote(qr_sim_world *world, qr_sim_node *voter, const qr_sim_node *candidate)
{
    die(world, voter, false, between(world, 50, 3000));
    if (below(world, 4))
        isolate_soon(world, candidate, between(world, 300, 4000), 0);
}

/* A leader dies or is cut off young: its first entry is on some disks and not on others (Raft, figure 8). */
static void ambush_leader(qr_sim_world *world, qr_sim_node *leader)
{
    bool kill = below(world, 2);
    if (below(world, 2))
        die(world, leader, kill, between(world, 100, below(world, 2) ? 3000 : 20000));
    else
        isolate_soon(world, leader, between(world, 1, below(world, 2) ? 1000 : 20000), 0);
}

/* What a young leader has just committed must not depend on it: it is gone before anybody hears of it. */
static void ambush_commit(qr_sim_world *world, qr_sim_node *leader)
{
    if (world->now_us - leader->leads_since_us > 200000)
        return;
    bool kill = below(world, 2);
    if (below(world, 2))
        die(world, leader, kill, between(world, 1, 300));
    else
        isolate_soon(world, leader, 0, 0);
}

static void ambush(qr_sim_node *node, const qr_trace_record *record)
{
    qr_sim_world *world = node->world;
    qr_sim_node *other = node_of(world, record->number[1]);
    if (record->kind == QR_TRACE_VOTE_ASK && other != NULL && other != node)
        ambush_question(world, node, other);
    else if (record->kind == QR_TRACE_VOTE_GIVE && other != NULL && other != node)
        ambush_vote(world, node, other);
    else if (record->kind == QR_TRACE_ROLE && record->number[1] == QR_LEADER)
        ambush_leader(world, node);
    else if (record->kind == QR_TRACE_COMMIT && node->leads)
        ambush_commit(world, node);
}

void qr_sim_nemesis_trace(qr_sim_node *node, const qr_trace_record *record)
{
    qr_sim_world *world = node->world;
    const qr_sim_plan *plan = &world->plan;
    if (world->phase != QR_SIM_FAULTS || node->node == NULL)
        return;
    if ((plan->ambushes >> record->kind & 1) && below(world, 2))
        ambush(node, record);
    if (!plan->triggered || !(plan->triggers >> record->kind & 1))
        return;
    if (record->kind == QR_TRACE_ROLE && record->number[1] != QR_LEADER)
        return;
    if (!qr_prng_chance(&world->prng_nemesis, plan->trigger_per_million))
        return;
    switch (below(world, 4)) {
    case 0: qr_sim_disk_faults_of(node->disk)->crash_in = between(world, 1, 8); break;
    case 1: die(world, node, false, 1 + below(world, 300)); break;
    case 2: die(world, node, false, 1 + below(world, 6000)); break;
    default: die(world, node, false, 1 + below(world, 50000)); break;
    }
}

/* -------------------------------------------------------------------- heal ---- */

void qr_sim_nemesis_start(qr_sim_world *world)
{
    world->network.weather = world->plan.weather;
    qr_sim_after(world, (uint64_t)world->plan.nemesis_ms * 1000, (qr_sim_event){.kind = QR_SIM_NEMESIS});
}

/* Everything is repaired: no fault from here on, and everybody is started. */
void qr_sim_nemesis_heal(qr_sim_world *world)
{
    for (uint64_t i = 0; i < QR_SIM_CUTS_MAX; i++)
        qr_sim_nemesis_mend(world, i);
    world->network.lost_kind_us = 0;
    memset(world->network.clogged_us, 0, sizeof world->network.clogged_us);
    memset(world->network.latest_us, 0, sizeof world->network.latest_us);
    qr_sim_damage_heal(world);
    world->network.weather = (qr_sim_weather){.delay_us_min = 50, .delay_us_max = 500, .in_order = true};
    for (uint32_t i = 0; i < world->nodes; i++) {
        qr_sim_node *node = &world->node[i];
        qr_sim_disk_faults *faults = qr_sim_disk_faults_of(node->disk);
        *faults = (qr_sim_disk_faults){.steady = true};
        node->paused_us = 0;
        if (!qr_sim_node_up(node))
            qr_sim_after(world, 1 + below(world, 5000),
                         (qr_sim_event){.kind = QR_SIM_BOOT, .node = i, .life = node->life});
        else /* what a slow disk has begun is done soon; the event that was to end it ends a later one early
              */
            qr_sim_after(world, between(world, 100, 5000),
                         (qr_sim_event){.kind = QR_SIM_DISK, .node = i, .life = node->life});
        for (uint32_t peer = 0; peer < world->nodes; peer++)
            if (peer != i)
                tell_link(world, i, peer, 1, between(world, 10000, 50000));
    }
}

/* Where no disk has lost anything, any quorum that can elect a leader has to get along without the others. */
bool qr_sim_nemesis_heal_core(qr_sim_world *world)
{
    if (!world->plan.core || !world->config->elects || world->plan.changes || world->damaged ||
        world->nodes < 3)
        return false;
    uint32_t spared = 1 + (uint32_t)below(world, world->nodes - world->quorum), outside = 0;
    for (uint32_t n = 0, first = (uint32_t)below(world, world->nodes); n < spared; n++)
        outside |= 1u << (first + n) % world->nodes;
    qr_sim_nemesis_heal(world);
    qr_sim_cut cut = 0;
    for (uint32_t a = 0; a < world->nodes; a++)
        for (uint32_t b = 0; b < world->nodes; b++)
            if ((outside >> a & 1) != (outside >> b & 1))
                cut |= (qr_sim_cut)1 << (a * QR_SIM_NODES_MAX + b);
    if (!make_cut(world, QR_SIM_CUT_HALVES, cut, UINT32_MAX))
        return false;
    if (below(world, 2))
        tell_cut(world, cut, false);
    world->outside = outside;
    return true;
}

void qr_sim_nemesis_keep_apart(qr_sim_world *world)
{
    uint32_t one = (uint32_t)below(world, world->nodes);
    uint32_t other = (one + 1 + (uint32_t)below(world, world->nodes - 1)) % world->nodes;
    qr_sim_nemesis_part(world, &world->node[one], &world->node[other], UINT32_MAX);
    if (below(world, 2)) {
        tell_link(world, one, other, 0, between(world, 500, 20000));
        tell_link(world, other, one, 0, between(world, 500, 20000));
    }
}

uint64_t qr_sim_nemesis_down_us(qr_sim_world *world)
{
    return draw_down_us(world);
}

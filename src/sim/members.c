/* The seats of a world with changes of members: who sits there, whom they know, what they lose, and the
 * administrator who changes the members. */
#include <inttypes.h>

#include "sim/world.h"

enum {
    TICK_US = 100000,        /* about; how often a seat looks around */
    WIPE_TICKS = 40,         /* one of so many tries to lose a disk */
    FORGOTTEN_US = 20000000, /* after that no copy of a request is under way */
    REBIRTH_TICKS = 10,      /* until a seat is taken again */
    CALM_CHANGE_US = 300000, /* a change in the calm is asked for so early that it can be done in it */
};

static uint64_t below(qr_sim_world *world, uint64_t bound)
{
    return qr_prng_below(&world->prng_members, bound);
}

static void plan_tick(qr_sim_world *world, uint32_t number)
{
    qr_sim_after(world, TICK_US / 2 + below(world, TICK_US),
                 (qr_sim_event){.kind = QR_SIM_TICK, .node = number});
}

void qr_sim_members_init(qr_sim_world *world)
{
    qr_prng_seed(&world->prng_members, qr_hash_mix(world->config->seed, 14));
    for (uint32_t i = 0; i < world->nodes && world->plan.changes; i++) {
        if (i >= world->founders)
            world->node[i].seat.standing = QR_SIM_WAITING;
        plan_tick(world, i);
    }
}

/* ------------------------------------------------------- who knows whom ---- */

static bool lists(const qr_sim_node *node, uint64_t id)
{
    if (node->seat.standing == QR_SIM_FOUNDER && qr_members_find(&node->world->members, id) &&
        node->seat.roster_count == 0)
        return true;
    for (uint32_t i = 0; i < node->seat.roster_count; i++)
        if (node->seat.roster[i] == id)
            return true;
    return false;
}

bool qr_sim_members_linked(const qr_sim_node *a, const qr_sim_node *b)
{
    return !a->world->plan.changes || (lists(a, b->id) && lists(b, a->id));
}

static void add_to_roster(qr_sim_seat *seat, uint64_t id)
{
    for (uint32_t i = 0; i < seat->roster_count; i++)
        if (seat->roster[i] == id)
            return;
    if (seat->roster_count < QR_MEMBERS_MAX)
        seat->roster[seat->roster_count++] = id;
}

/* As bin/serve_group does it: everyone in the configuration in force and in the one that was applied, who
 * leads, and as long as the log is still being applied, everyone from before too. */
void qr_sim_members_reconfigured(qr_sim_node *node, bool removed)
{
    qr_sim_seat *seat = &node->seat, old = *seat;
    if (!node->world->plan.changes)
        return;
    qr_node_status status;
    qr_node_status_of(node->node, &status);
    const qr_members *members = &status.engine.members, *applied = qr_node_members_applied(node->node);
    seat->roster_count = 0;
    for (uint32_t i = 0; i < members->count; i++)
        add_to_roster(seat, members->list[i].id);
    for (uint32_t i = 0; applied != NULL && i < applied->count; i++)
        add_to_roster(seat, applied->list[i].id);
    if (status.engine.leader)
        add_to_roster(seat, status.engine.leader);
    for (uint32_t i = 0; applied == NULL && i < old.roster_count; i++)
        add_to_roster(seat, old.roster[i]);
    seat->removed |= removed;
    if (removed)
        qr_sim_story(node->world, "n%u has applied its removal", node->number + 1);
}

static bool is_reachable(const qr_sim_node *from, const qr_sim_node *to)
{
    const qr_sim_network *network = &from->world->network;
    return to != from && qr_sim_node_up(to) && to->paused_us <= from->world->now_us &&
           !qr_sim_network_is_cut(network, from->number, to->number) &&
           !qr_sim_network_is_cut(network, to->number, from->number);
}

/* A member that can tell the node who belongs to the group, itself among them. */
static const qr_sim_node *find_lister(const qr_sim_node *node)
{
    qr_sim_world *world = node->world;
    uint32_t first = (uint32_t)below(world, world->nodes);
    for (uint32_t n = 0; n < world->nodes; n++) {
        const qr_sim_node *peer = &world->node[(first + n) % world->nodes];
        if (is_reachable(node, peer) && !peer->seat.removed && qr_node_members_applied(peer->node) != NULL &&
            lists(peer, node->id))
            return peer;
    }
    return NULL;
}

static void take_roster(qr_sim_node *node, const qr_sim_node *lister)
{
    qr_sim_seat old = node->seat;
    node->seat.roster_count = 0; /* those who are there now come first: a full list forgets the others */
    for (uint32_t i = 0; i < lister->seat.roster_count; i++)
        add_to_roster(&node->seat, lister->seat.roster[i]);
    for (uint32_t i = 0; i < old.roster_count; i++)
        add_to_roster(&node->seat, old.roster[i]);
    qr_sim_story(node->world, "n%u asks n%u who the members are", node->number + 1, lister->number + 1);
}

/* ------------------------------------------------------------- processes ---- */

bool qr_sim_members_may_boot(const qr_sim_node *node)
{
    return node->seat.standing == QR_SIM_FOUNDER || node->seat.standing == QR_SIM_JOINER;
}

/* As bin/serve_group: a learner in its own eyes, among voters. A new disk is newer than the one before it. */
void qr_sim_members_configure(qr_sim_node *node, qr_node_config *config)
{
    if (!node->world->plan.changes)
        return;
    if (config->incarnation <= node->incarnation)
        config->incarnation = node->incarnation + 1;
    if (node->seat.standing != QR_SIM_JOINER)
        return;
    config->members = (qr_members){0};
    qr_members_add(&config->members, (qr_member){.id = node->id, .role = QR_ROLE_LEARNER});
    for (uint32_t i = 0; i < node->seat.roster_count && config->members.count < QR_MEMBERS_MAX; i++)
        qr_members_add(&config->members, (qr_member){.id = node->seat.roster[i], .role = QR_ROLE_VOTER});
    if (config->members.count == 1)
        qr_members_add(&config->members, (qr_member){.id = node->id ^ 1, .role = QR_ROLE_VOTER});
}

static void end_process(qr_sim_node *node)
{
    qr_sim_story(node->world, "n%u was removed, and ends", node->number + 1);
    node->seat.standing = QR_SIM_ENDED;
    qr_sim_node_crash(node, true, 0);
}

/* Somebody new, with an empty disk, takes the seat. */
static void rebirth(qr_sim_node *node)
{
    qr_sim_world *world = node->world;
    qr_sim_seat *seat = &node->seat;
    *seat = (qr_sim_seat){.standing = QR_SIM_WAITING, .births = seat->births + 1};
    for (uint64_t i = 0; i < world->op_count; i++)
        world->ops[i]->durable_on &= ~(1u << node->number);
    qr_sim_node_renew(node, true);
    qr_sim_story(world, "somebody new, %" PRIx64 ", waits to become n%u", node->id, node->number + 1);
}

/* The disk is lost; the member comes back with an empty one and asks the others who they are. */
static void wipe(qr_sim_node *node)
{
    qr_sim_story(node->world, "n%u loses its disk", node->number + 1);
    if (qr_sim_node_up(node))
        qr_sim_node_crash(node, false, 0);
    node->seat.standing = QR_SIM_WAITING;
    node->seat.lost_incarnation = node->incarnation;
    node->seat.births++;
    node->world->report->wipes++;
    qr_sim_node_renew(node, false);
}

/* ------------------------------------------------------------- the budget ---- */

/* The leader of the newest term, if all that is known of it is committed. */
static bool is_settled(const qr_sim_world *world)
{
    for (uint32_t i = 0; i < world->nodes; i++) {
        const qr_sim_node *node = &world->node[i];
        if (!qr_sim_node_up(node) || !node->leads)
            continue;
        qr_node_status status;
        qr_node_status_of(node->node, &status);
        uint64_t commit = status.engine.commit_index;
        const qr_members *last = qr_sim_configs_last(world), *own = &status.engine.members;
        bool own_is_last = last->count == own->count && !memcmp(last->list, own->list, sizeof own->list);
        if (status.engine.term == world->oracle.term_max && commit > 0 && commit <= world->oracle.count &&
            world->oracle.commits[commit - 1].term == status.engine.term && !last->joint && own_is_last)
            return true;
    }
    return false;
}

static const qr_sim_node *node_of(const qr_sim_world *world, uint64_t id)
{
    for (uint32_t i = 0; i < world->nodes; i++)
        if (world->node[i].id == id)
            return &world->node[i];
    return NULL;
}

/* It speaks from the disk that the configuration names. */
static bool has_its_disk(const qr_sim_world *world, const qr_member *member)
{
    const qr_sim_node *node = node_of(world, member->id);
    return node != NULL && !node->damage_due && member->incarnation == node->incarnation &&
           member->incarnation > node->seat.lost_incarnation;
}

/* So does everybody who votes. */
static bool is_whole(const qr_sim_world *world)
{
    const qr_members *members = qr_sim_configs_last(world);
    for (uint32_t i = 0; i < members->count; i++)
        if (members->list[i].role == QR_ROLE_VOTER && !has_its_disk(world, &members->list[i]))
            return false;
    return true;
}

/* No change of members may come about that was asked for while all was whole. */
static bool is_quiet(const qr_sim_world *world)
{
    for (uint64_t i = world->op_count; i-- > 0;) {
        const qr_sim_op *op = world->ops[i];
        if (op->invoked_us + FORGOTTEN_US < world->now_us)
            break;
        if (op->kind == QR_REQUEST_MEMBERS && (op->outcome == QR_SIM_OPEN || op->outcome == QR_SIM_UNKNOWN))
            return false;
    }
    return true;
}

/* One after another, and never so many that the others are no quorum. */
bool qr_sim_members_may_lose(const qr_sim_node *node)
{
    const qr_sim_world *world = node->world;
    const qr_members *members = qr_sim_configs_last(world);
    const qr_member *self = qr_members_find(members, node->id);
    uint32_t voters = 0;
    for (uint32_t i = 0; i < members->count; i++)
        voters += members->list[i].role == QR_ROLE_VOTER;
    return self != NULL && is_settled(world) && is_whole(world) && is_quiet(world) &&
           (self->role != QR_ROLE_VOTER || voters - 1 > voters / 2);
}

/* ------------------------------------------------------------- each seat ---- */

/* Refused by a member that has applied its removal. */
static bool is_told(const qr_sim_node *node)
{
    const qr_sim_world *world = node->world;
    uint64_t removed_at = qr_sim_configs_removed_at(world, node->id);
    for (uint32_t i = 0; removed_at && i < world->nodes; i++)
        if (is_reachable(node, &world->node[i]) && world->node[i].applied >= removed_at &&
            !lists(&world->node[i], node->id))
            return true;
    return false;
}

/* A member that is not known here wants to speak: it came while this one was away. */
static bool is_called(const qr_sim_node *node)
{
    const qr_sim_world *world = node->world;
    for (uint32_t i = 0; i < world->nodes; i++)
        if (is_reachable(node, &world->node[i]) && lists(&world->node[i], node->id) &&
            !lists(node, world->node[i].id) && qr_members_find(qr_sim_configs_last(world), world->node[i].id))
            return true;
    return false;
}

/* It began by a list that was not committed in the end, and once all is well somebody sees that and stops it.
 */
static bool is_in_vain(const qr_sim_node *node)
{
    const qr_sim_world *world = node->world;
    return world->phase != QR_SIM_FAULTS && node->seat.standing != QR_SIM_FOUNDER &&
           !qr_members_find(qr_sim_configs_last(world), node->id);
}

/* One of these may be down in the moment when all is found well; it does not come again then. */
void qr_sim_members_calm(qr_sim_world *world)
{
    for (uint32_t i = 0; i < world->nodes; i++) {
        qr_sim_node *node = &world->node[i];
        if (!qr_sim_node_up(node) && node->seat.standing == QR_SIM_JOINER && is_in_vain(node))
            node->seat.standing = QR_SIM_WAITING;
    }
}

static void refresh_links(qr_sim_node *node)
{
    qr_sim_world *world = node->world;
    for (uint32_t i = 0; i < world->nodes && qr_sim_node_up(node); i++) {
        qr_sim_node *peer = &world->node[i];
        if (peer == node)
            continue;
        bool up = qr_sim_members_linked(node, peer) && is_reachable(node, peer);
        if (up || !qr_sim_members_linked(node, peer))
            qr_sim_node_link(node, i, up);
    }
}

static void tick_up(qr_sim_world *world, qr_sim_node *node)
{
    qr_sim_members_reconfigured(node, false);
    if (node->seat.removed || is_told(node)) {
        end_process(node);
        return;
    }
    if (is_in_vain(node) && world->phase == QR_SIM_HEALING) {
        node->seat.standing = QR_SIM_WAITING;
        qr_sim_node_crash(node, true, 0);
        return;
    }
    if (world->phase == QR_SIM_FAULTS && world->plan.wipes && below(world, WIPE_TICKS) == 0 &&
        qr_sim_members_may_lose(node)) {
        wipe(node);
        return;
    }
    /* Real processes do not do this yet, see "Half done" in doc/roadmap.md: a member that knows none of those
     * who lead now hears nothing. */
    const qr_sim_node *lister = is_called(node) ? find_lister(node) : NULL;
    if (lister != NULL)
        take_roster(node, lister);
    refresh_links(node);
}

void qr_sim_members_tick(qr_sim_world *world, uint32_t number)
{
    qr_sim_node *node = &world->node[number];
    qr_sim_seat *seat = &node->seat;
    plan_tick(world, number);
    if (node->paused_us > world->now_us)
        return;
    bool is_gone = seat->standing == QR_SIM_ENDED ||
                   (seat->standing == QR_SIM_WAITING && qr_sim_configs_removed_at(world, node->id));
    if (qr_sim_node_up(node)) {
        if (!node->halted)
            tick_up(world, node);
    } else if (is_gone) {
        if (below(world, REBIRTH_TICKS) == 0)
            rebirth(node);
    } else if (seat->standing == QR_SIM_WAITING) {
        const qr_sim_node *lister = is_in_vain(node) ? NULL : find_lister(node);
        if (lister == NULL)
            return;
        take_roster(node, lister);
        seat->standing = QR_SIM_JOINER;
        qr_sim_node_boot(node);
    }
}

/* ------------------------------------------------------- the administrator ---- */

bool qr_sim_members_is_admin(const qr_sim_world *world, uint32_t client)
{
    return world->plan.changes && client + 1 == world->plan.clients;
}

/* 0: there is none with that role. */
static uint64_t some_member(qr_sim_world *world, uint8_t role)
{
    const qr_members *members = qr_sim_configs_last(world);
    uint32_t first = (uint32_t)below(world, members->count);
    for (uint32_t i = 0; i < members->count; i++) {
        const qr_member *member = &members->list[(first + i) % members->count];
        if (role == 0 || member->role == role)
            return member->id;
    }
    return 0;
}

/* A request of his may still come true: nobody asks for the same id once more. A door draws another one each
 * time, since a late first request would bring back who was removed after the second. */
static bool may_be_coming(const qr_sim_world *world, uint64_t id)
{
    for (uint64_t i = 0; i < world->op_count; i++) {
        const qr_sim_op *op = world->ops[i];
        if (op->kind == QR_REQUEST_MEMBERS && op->change.kind == QR_CHANGE_ADD && op->change.id == id &&
            (op->outcome == QR_SIM_OPEN || op->outcome == QR_SIM_UNKNOWN))
            return true;
    }
    return false;
}

/* Somebody who waits and was never a member; 0: nobody does. */
static uint64_t some_stranger(qr_sim_world *world)
{
    uint32_t first = (uint32_t)below(world, world->nodes);
    for (uint32_t i = 0; i < world->nodes; i++) {
        const qr_sim_node *node = &world->node[(first + i) % world->nodes];
        if (node->seat.standing != QR_SIM_FOUNDER && !qr_members_find(qr_sim_configs_last(world), node->id) &&
            !qr_sim_configs_removed_at(world, node->id) && !may_be_coming(world, node->id))
            return node->id;
    }
    return 0;
}

static qr_change draft_mistake(qr_sim_world *world)
{
    uint64_t ghost = below(world, UINT64_MAX - 1) | 1, member = some_member(world, 0);
    switch (below(world, 6)) {
    case 0: /* not while it may be on its way out: an id is never used again */
        return (qr_change){.kind = QR_CHANGE_ADD, .id = is_quiet(world) ? member : 0};
    case 1: return (qr_change){.kind = QR_CHANGE_PROMOTE, .id = ghost};
    case 2: return (qr_change){.kind = QR_CHANGE_REMOVE, .id = ghost};
    case 3: return (qr_change){.kind = QR_CHANGE_REPLACE, .id = member, .id_new = ghost};
    case 4: return (qr_change){.kind = QR_CHANGE_REPLACE, .id = member, .id_new = member};
    default: return (qr_change){.kind = QR_CHANGE_ADD};
    }
}

static qr_change draft_wish(qr_sim_world *world)
{
    uint64_t stranger = some_stranger(world), learner = some_member(world, QR_ROLE_LEARNER);
    uint64_t draw = below(world, 10);
    if (draw < 4 && stranger)
        return (qr_change){.kind = QR_CHANGE_ADD, .id = stranger, .voter = below(world, 2)};
    if (!is_whole(world)) /* a disk is lost: nobody takes another vote away in these minutes */
        return draft_mistake(world);
    /* A learner whose disk was lost just now, unnoticed, would be missing in the quorum that it is made part
     * of. */
    const qr_member *chosen = learner ? qr_members_find(qr_sim_configs_last(world), learner) : NULL;
    if (chosen && chosen->incarnation && !has_its_disk(world, chosen))
        learner = 0;
    if (draw < 6 && learner)
        return (qr_change){.kind = QR_CHANGE_PROMOTE, .id = learner};
    if (draw == 6 && learner)
        return (qr_change){
            .kind = QR_CHANGE_REPLACE, .id = some_member(world, QR_ROLE_VOTER), .id_new = learner};
    if (draw < 9)
        return (qr_change){.kind = QR_CHANGE_REMOVE, .id = some_member(world, 0)};
    return draft_mistake(world);
}

/* One change that has to succeed: somebody comes. */
static bool draft_calm(qr_sim_world *world, qr_change *change)
{
    uint64_t stranger = some_stranger(world);
    if (!world->plan.calm_change || world->calm_changes > 0 || stranger == 0 ||
        world->now_us > world->calm_since_us + CALM_CHANGE_US)
        return false;
    world->calm_changes++;
    *change = (qr_change){.kind = QR_CHANGE_ADD, .id = stranger, .voter = below(world, 2)};
    return true;
}

bool qr_sim_members_draft(qr_sim_world *world, qr_change *change)
{
    if (world->phase == QR_SIM_CALM)
        return draft_calm(world, change);
    *change = draft_wish(world);
    return true;
}

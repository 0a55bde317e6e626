/* What must be true of the configurations in the log, of those who count in them, and of what was asked for.
 * Quorums are written down a second time here, as sets of disks. */
#include <inttypes.h>

#include "core/command.h"
#include "sim/world.h"

enum {
    DISKS_MAX = 16,       /* voters of two configurations together */
    COUNTED_ENTRIES = 64, /* of one step of the commit index that are looked after */
};

void qr_sim_configs_init(qr_sim_world *world)
{
    qr_sim_configs *configs = &world->configs;
    configs->room = 16;
    configs->rows = qr_alloc_zero(configs->room, sizeof *configs->rows);
    configs->rows[configs->count++].members = world->members;
}

void qr_sim_configs_free(qr_sim_configs *configs)
{
    qr_free(configs->rows);
    *configs = (qr_sim_configs){0};
}

const qr_members *qr_sim_configs_last(const qr_sim_world *world)
{
    return &world->configs.rows[world->configs.count - 1].members;
}

const qr_members *qr_sim_configs_of(const qr_sim_world *world, uint64_t index)
{
    size_t row = world->configs.count - 1;
    while (world->configs.rows[row].index > index)
        row--;
    return &world->configs.rows[row].members;
}

uint64_t qr_sim_configs_removed_at(const qr_sim_world *world, uint64_t id)
{
    const qr_sim_configs *configs = &world->configs;
    if (qr_members_find(qr_sim_configs_last(world), id) != NULL)
        return 0;
    for (size_t row = configs->count - 1; row-- > 0;)
        if (qr_members_find(&configs->rows[row].members, id) != NULL)
            return configs->rows[row + 1].index;
    return 0;
}

/* ---------------------------------------------------------------- quorums ---- */

static bool is_in_half(const qr_member *member, bool outgoing)
{
    return outgoing ? member->voted_before : member->role == QR_ROLE_VOTER;
}

static bool is_majority(const qr_members *members, bool outgoing,
                        bool (*has)(const void *context, const qr_member *member), const void *context)
{
    uint32_t voters = 0, those = 0;
    for (uint32_t i = 0; i < members->count; i++) {
        const qr_member *member = &members->list[i];
        voters += is_in_half(member, outgoing);
        those += is_in_half(member, outgoing) && has(context, member);
    }
    return 2 * those > voters;
}

typedef struct copies {
    const qr_sim_world *world;
    uint32_t durable_on;
} copies;

/* What was on the disk of somebody who is gone altogether is not known any more. */
static bool has_copy(const void *context, const qr_member *member)
{
    const copies *c = context;
    for (uint32_t i = 0; i < c->world->nodes; i++)
        if (c->world->node[i].id == member->id)
            return c->durable_on >> i & 1;
    return true;
}

bool qr_sim_configs_kept(const qr_sim_world *world, const qr_members *members, uint32_t durable_on,
                         bool halves)
{
    copies c = {.world = world, .durable_on = durable_on};
    bool both = halves && members->joint;
    return is_majority(members, false, has_copy, &c) && (!both || is_majority(members, true, has_copy, &c));
}

typedef struct disks {
    struct {
        uint64_t id, incarnation;
    } list[DISKS_MAX];
    uint32_t count, chosen; /* bit set */
} disks;

static bool is_disk(const disks *d, uint32_t i, const qr_member *member)
{
    uint64_t one = d->list[i].incarnation, other = member->incarnation;
    return d->list[i].id == member->id && (one == 0 || other == 0 || one == other);
}

static bool is_chosen(const void *context, const qr_member *member)
{
    const disks *d = context;
    for (uint32_t i = 0; i < d->count; i++)
        if (is_disk(d, i, member))
            return d->chosen >> i & 1;
    return false;
}

static void add_disks(disks *d, const qr_members *members)
{
    for (uint32_t i = 0; i < members->count; i++) {
        const qr_member *member = &members->list[i];
        bool known = !is_in_half(member, false) && !is_in_half(member, true);
        for (uint32_t j = 0; j < d->count; j++)
            known |= is_disk(d, j, member);
        if (known)
            continue;
        QR_ASSERT(d->count < DISKS_MAX);
        d->list[d->count].id = member->id;
        d->list[d->count++].incarnation = member->incarnation;
    }
}

static bool is_quorum(const qr_members *members, const disks *d)
{
    return is_majority(members, false, is_chosen, d) &&
           (!members->joint || is_majority(members, true, is_chosen, d));
}

/* Is there no way to choose disks so that they are a quorum of one, and all others one of the other? */
static bool do_meet(const qr_members *a, const qr_members *b)
{
    disks d = {0};
    add_disks(&d, a);
    add_disks(&d, b);
    uint32_t all = (1u << d.count) - 1;
    for (uint32_t set = 0; set <= all; set++) {
        d.chosen = set;
        if (!is_quorum(a, &d))
            continue;
        d.chosen = all & ~set;
        if (is_quorum(b, &d))
            return false;
    }
    return true;
}

/* ------------------------------------------------------------ what was asked ---- */

typedef enum effect {
    EFFECT_COMES,
    EFFECT_GOES,
    EFFECT_RISES, /* from learner to one that votes or is to vote */
} effect;

static const char *const effect_names[] = {"comes", "goes", "is promoted"};

static bool brings(const qr_change *change, effect what, uint64_t id)
{
    switch (what) {
    case EFFECT_COMES: return change->kind == QR_CHANGE_ADD && change->id == id;
    case EFFECT_GOES:
        return (change->kind == QR_CHANGE_REMOVE || change->kind == QR_CHANGE_REPLACE) && change->id == id;
    case EFFECT_RISES:
        return (change->kind == QR_CHANGE_PROMOTE && change->id == id) ||
               (change->kind == QR_CHANGE_REPLACE && change->id_new == id);
    }
    return false;
}

/* Somebody has asked for it, and was not told that it surely did not happen. */
static void demand_wish(qr_sim_world *world, effect what, uint64_t id)
{
    for (uint64_t i = world->op_count; i-- > 0;) {
        const qr_sim_op *op = world->ops[i];
        if (op->kind == QR_REQUEST_MEMBERS && op->outcome != QR_SIM_REFUSED && brings(&op->change, what, id))
            return;
    }
    qr_sim_fail(world, "changes-were-asked-for", "member %" PRIx64 " %s and nobody has asked for it", id,
                effect_names[what]);
}

static void judge_effects(qr_sim_world *world, const qr_members *last, const qr_members *next)
{
    for (uint32_t i = 0; i < next->count; i++) {
        const qr_member *before = qr_members_find(last, next->list[i].id);
        if (before == NULL)
            demand_wish(world, EFFECT_COMES, next->list[i].id);
        else if (before->role == QR_ROLE_LEARNER && next->list[i].role != QR_ROLE_LEARNER)
            demand_wish(world, EFFECT_RISES, next->list[i].id);
    }
    for (uint32_t i = 0; i < last->count; i++)
        if (qr_members_find(next, last->list[i].id) == NULL)
            demand_wish(world, EFFECT_GOES, last->list[i].id);
}

static void judge_all_effects(qr_sim_world *world)
{
    const qr_sim_configs *configs = &world->configs;
    for (size_t row = 1; row < configs->count; row++)
        judge_effects(world, &configs->rows[row - 1].members, &configs->rows[row].members);
}

static bool is_fulfilled(const qr_members *members, const qr_change *change)
{
    const qr_member *member = qr_members_find(members, change->id);
    const qr_member *other = qr_members_find(members, change->id_new);
    if (members->joint)
        return false;
    switch (change->kind) {
    case QR_CHANGE_ADD: return member != NULL && (member->role == QR_ROLE_LEARNER) == !change->voter;
    case QR_CHANGE_PROMOTE: return member != NULL && member->role == QR_ROLE_VOTER;
    case QR_CHANGE_REMOVE: return member == NULL;
    case QR_CHANGE_REPLACE: return member == NULL && other != NULL && other->role == QR_ROLE_VOTER;
    }
    return false;
}

void qr_sim_configs_answered(qr_sim_op *op)
{
    qr_sim_world *world = op->world;
    world->report->changes += op->outcome == QR_SIM_DONE;
    world->report->changes_refused += op->outcome == QR_SIM_REFUSED;
    if (op->outcome == QR_SIM_REFUSED)
        judge_all_effects(world);
}

void qr_sim_configs_final(const qr_sim_op *op)
{
    const qr_sim_configs *configs = &op->world->configs;
    for (size_t row = op->config_floor; row < configs->count; row++)
        if (is_fulfilled(&configs->rows[row].members, &op->change))
            return;
    qr_sim_fail(op->world, "acknowledged-change-is-made", "%s was acknowledged and is in no configuration",
                op->mark);
}

/* --------------------------------------------------------------- learning ---- */

void qr_sim_configs_learn(qr_sim_world *world, uint64_t index, qr_slice bytes)
{
    qr_sim_configs *configs = &world->configs;
    qr_reader reader = qr_reader_of(bytes);
    qr_members next;
    if (qr_members_decode(&reader, &next) != QR_OK || qr_members_check(&next) != QR_OK) {
        qr_sim_fail(world, "configurations-are-legal", "entry %" PRIu64 " cannot be read", index);
        return;
    }
    const qr_members *last = qr_sim_configs_last(world);
    if (!do_meet(last, &next))
        qr_sim_fail(world, "configurations-are-legal",
                    "a quorum of the members of entry %" PRIu64 " need not meet one of those before", index);
    judge_effects(world, last, &next);
    for (uint32_t i = 0; i < next.count; i++) {
        const qr_member *before = qr_members_find(last, next.list[i].id);
        if (before == NULL && qr_sim_configs_removed_at(world, next.list[i].id) != 0)
            qr_sim_fail(world, "changes-happen-once", "member %" PRIx64 " was removed and is there again",
                        next.list[i].id);
        world->report->renewed +=
            before && before->incarnation && before->incarnation != next.list[i].incarnation;
    }
    if (configs->count == configs->room) {
        configs->room *= 2;
        configs->rows = qr_realloc(configs->rows, configs->room * sizeof *configs->rows);
    }
    configs->rows[configs->count].index = index;
    configs->rows[configs->count++].members = next;
}

/* ---------------------------------------------------------------- counting ---- */

/* The configuration that the entries before index lead to, as far as the oracle or this engine knows them. */
static qr_members config_before(const qr_sim_world *world, const qr_engine *engine, uint64_t index)
{
    qr_members members;
    while (--index > world->oracle.count) {
        qr_entry_kind kind;
        qr_slice bytes;
        if (engine->ops->entry(engine, index, &kind, &bytes) == 0 || kind != QR_ENTRY_MEMBERS)
            continue;
        qr_reader reader = qr_reader_of(bytes);
        if (qr_members_decode(&reader, &members) == QR_OK)
            return members;
    }
    return *qr_sim_configs_of(world, index);
}

/* The configuration in force may have changed within this step, once what it waited for was committed. */
static bool is_kept(const qr_sim_node *node, const qr_engine *engine, uint64_t index, const qr_sim_op *op,
                    const qr_members *now)
{
    const qr_sim_world *world = node->world;
    if (engine->ops->counts_in_committed) {
        qr_members members = config_before(world, engine, index);
        return qr_sim_configs_kept(world, &members, op->durable_on, true);
    }
    return qr_sim_configs_kept(world, now, op->durable_on, true) ||
           (node->counted_in.count && qr_sim_configs_kept(world, &node->counted_in, op->durable_on, true));
}

static void judge_counted(qr_sim_node *node, const qr_engine *engine, uint64_t index, qr_slice bytes,
                          const qr_members *now)
{
    qr_sim_world *world = node->world;
    qr_command command;
    if (qr_command_decode(bytes, &command) != QR_OK)
        return;
    const qr_sim_op *op = qr_sim_oracle_op(world, command.principal);
    if (op == NULL || is_kept(node, engine, index, op, now))
        return;
    qr_sim_fail(world, "committed-by-a-quorum",
                "n%u counts entry %" PRIu64 " (%s) as committed, and it is on the disks %x only",
                node->number + 1, index, op->mark, op->durable_on);
}

void qr_sim_configs_look(qr_sim_node *node, const qr_engine *engine, const qr_engine_status *status)
{
    qr_sim_configs *configs = &node->world->configs;
    if (status->role != QR_LEADER) {
        node->counted_in.count = 0;
        return;
    }
    if (status->members_index <= status->commit_index && !qr_members_votes(&status->members, node->id))
        qr_sim_fail(node->world, "only-members-lead", "n%u leads term %" PRIu64 " and was removed",
                    node->number + 1, status->term);
    uint64_t index = status->commit_index;
    for (uint32_t n = 0; index > configs->committed && n < COUNTED_ENTRIES; index--, n++) {
        qr_entry_kind kind;
        qr_slice bytes;
        if (engine->ops->entry(engine, index, &kind, &bytes) != 0 && kind == QR_ENTRY_COMMAND)
            judge_counted(node, engine, index, bytes, &status->members);
    }
    if (status->commit_index > configs->committed)
        configs->committed = status->commit_index;
    node->counted_in = status->members;
}

/* ---------------------------------------------------------------- who leads ---- */

/* The configuration before the one in force, which nobody may have applied yet; false: the engine does not
 * remember. */
static bool find_one_before(const qr_sim_world *world, const qr_engine *engine,
                            const qr_engine_status *status, qr_members *before)
{
    qr_entry_kind kind;
    qr_slice bytes;
    for (uint64_t index = status->members_index - 1; index > status->commit_index; index--) {
        if (engine->ops->entry(engine, index, &kind, &bytes) == 0)
            return false;
        qr_reader reader = qr_reader_of(bytes);
        if (kind == QR_ENTRY_MEMBERS)
            return qr_members_decode(&reader, before) == QR_OK;
    }
    *before = *qr_sim_configs_of(world, status->commit_index);
    return true;
}

/* Who leads has a vote in its own configuration or, as long as it may believe that this one is not committed,
 * in the one before it (D 4.2.2). */
void qr_sim_configs_lead(qr_sim_node *node, const qr_engine *engine, const qr_engine_status *status)
{
    qr_sim_world *world = node->world;
    qr_members before = {0};
    if (qr_members_votes(&status->members, node->id) ||
        (status->members_index > status->commit_index && !find_one_before(world, engine, status, &before)))
        return;
    if (!qr_members_votes(&before, node->id))
        qr_sim_fail(world, "only-members-lead", "n%u leads term %" PRIu64 " and is no voter",
                    node->number + 1, status->term);
}

/* Who knows that it was removed keeps quiet. */
void qr_sim_configs_trace(qr_sim_node *node, const qr_trace_record *record)
{
    bool is_loud = record->kind == QR_TRACE_VOTE_ASK || record->kind == QR_TRACE_VOTE_GIVE ||
                   record->kind == QR_TRACE_TIMEOUT;
    if (is_loud && node->seat.removed)
        qr_sim_fail(node->world, "removed-keep-quiet",
                    "n%u knows that it was removed and takes part in an election", node->number + 1);
}

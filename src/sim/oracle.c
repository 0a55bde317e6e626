/* What must be true. The oracle learns the sequence of entries from whoever applies an index first, runs the
 * model over it, and holds everybody else, every answer and every leader against that. Each check has a name
 * that stays the same; row numbers are those of the list of known bugs in doc/design/simulator.md. */
#include <inttypes.h>
#include <stdlib.h>

#include "sim/world.h"

void qr_sim_oracle_init(qr_sim_world *world)
{
    qr_sim_oracle *oracle = &world->oracle;
    qr_machine *empty = world->config->machine(0, 0);
    qr_sim_model_init(&oracle->model, empty->ops->revision(empty));
    empty->ops->free(empty);
}

void qr_sim_oracle_free(qr_sim_oracle *oracle)
{
    qr_sim_model_free(&oracle->model);
    qr_free(oracle->commits);
    oracle->commits = NULL;
}

bool qr_sim_oracle_revision(const qr_sim_oracle *oracle, uint64_t index, uint64_t *revision)
{
    if (index == 0 || index > oracle->count)
        return false;
    *revision = oracle->commits[index - 1].revision;
    return true;
}

/* ------------------------------------------------------------------ marks ---- */

static const char mark_begin[] = "q!#";

/* The operation a mark belongs to; NULL if these bytes are no mark. */
static qr_sim_op *op_of_mark(qr_sim_world *world, const uint8_t *bytes, size_t size)
{
    if (size < QR_SIM_MARK_SIZE || memcmp(bytes, mark_begin, 3) != 0)
        return NULL;
    uint64_t id = 0;
    for (size_t i = 3; i < QR_SIM_MARK_SIZE; i++) {
        if (bytes[i] < '0' || bytes[i] > '9')
            return NULL;
        id = id * 10 + (bytes[i] - '0');
    }
    return id >= 1 && id <= world->op_count ? world->ops[id - 1] : NULL;
}

qr_sim_op *qr_sim_oracle_op(qr_sim_world *world, qr_slice bytes)
{
    return op_of_mark(world, bytes.data, bytes.size);
}

void qr_sim_oracle_durable(qr_sim_node *node, qr_slice bytes)
{
    const uint8_t *at = bytes.data, *end = bytes.data + bytes.size;
    while ((at = memmem(at, (size_t)(end - at), mark_begin, 3)) != NULL) {
        qr_sim_op *op = op_of_mark(node->world, at, (size_t)(end - at));
        if (op != NULL)
            op->durable_on |= 1u << node->number;
        at++;
    }
}

/* ---------------------------------------------------------------- answers ---- */

/* Position and answer of a write are both known now: do they agree with the model and with real time? */
static void judge_write(qr_sim_op *op)
{
    qr_sim_world *world = op->world;
    qr_sim_oracle *oracle = &world->oracle;
    uint64_t revision = oracle->commits[op->position - 1].revision;
    if (op->reply_index != op->position)
        qr_sim_fail(world, "answered-at-its-index", "%s is entry %" PRIu64 " but was answered at %" PRIu64,
                    op->mark, op->position, op->reply_index);
    if (strcmp(op->reply_text, op->model_text) != 0)
        qr_sim_fail(world, "answer-follows-model", "%s at %" PRIu64 " answered [%s], the model [%s]",
                    op->mark, op->position, op->reply_text, op->model_text);
    if (op->position <= op->floor_index)
        qr_sim_fail(world, "linearizable-writes",
                    "%s is entry %" PRIu64 " but began after %" PRIu64 " was answered", op->mark,
                    op->position, op->floor_index);
    if (revision < op->floor_revision)
        qr_sim_fail(world, "linearizable-writes",
                    "%s made revision %" PRIu64 " but began after %" PRIu64 " was seen", op->mark, revision,
                    op->floor_revision);
    if (op->position > oracle->floor_index)
        oracle->floor_index = op->position;
    if (revision > oracle->floor_revision)
        oracle->floor_revision = revision;
}

static void judge_read(qr_sim_op *op)
{
    qr_sim_world *world = op->world;
    qr_sim_oracle *oracle = &world->oracle;
    qr_sim_node *node = &world->node[op->node];
    uint64_t revision = 0;
    bool linearizable = op->kind == QR_REQUEST_READ;
    if (op->reply_index == 0 && (!linearizable || op->floor_index == 0))
        return; /* nothing was applied yet */
    if (!qr_sim_oracle_revision(oracle, op->reply_index, &revision)) {
        qr_sim_fail(world, "reads-committed-state", "%s was read at entry %" PRIu64 ", known are %" PRIu64,
                    op->mark, op->reply_index, oracle->count);
        return;
    }
    qr_buffer_clear(&world->text);
    qr_sim_model_query(&oracle->model, op->txn, revision, &world->text);
    if (strcmp(op->reply_text, (const char *)world->text.data) != 0)
        qr_sim_fail(world, "read-follows-model", "%s at %" PRIu64 " read [%s], the model [%s]", op->mark,
                    op->reply_index, op->reply_text, (const char *)world->text.data);
    if (linearizable) {
        if (op->reply_index < op->floor_index || revision < op->floor_revision)
            qr_sim_fail(world, "linearizable-reads",
                        "%s read entry %" PRIu64 " (revision %" PRIu64 ") but began after entry %" PRIu64
                        " was answered and revision %" PRIu64 " was seen",
                        op->mark, op->reply_index, revision, op->floor_index, op->floor_revision);
        if (revision > oracle->floor_revision)
            oracle->floor_revision = revision;
    } else {
        if (op->reply_index < node->local_index)
            qr_sim_fail(world, "local-reads-go-forward", "n%u showed entry %" PRIu64 " after %" PRIu64,
                        node->number + 1, op->reply_index, node->local_index);
        node->local_index = op->reply_index;
    }
    world->report->reads_checked++;
}

void qr_sim_oracle_answered(qr_sim_op *op)
{
    qr_sim_world *world = op->world;
    qr_sim_node *node = &world->node[op->node];
    if (op->kind == QR_REQUEST_MEMBERS)
        qr_sim_configs_answered(op);
    if (op->outcome == QR_SIM_REFUSED && op->position != 0)
        qr_sim_fail(world, "refused-is-never-applied", "%s was refused (%s) but is entry %" PRIu64, op->mark,
                    qr_status_name(op->status), op->position);
    if (op->outcome != QR_SIM_DONE)
        return;
    if (op->kind == QR_REQUEST_READ || op->kind == QR_REQUEST_READ_LOCAL)
        judge_read(op);
    if (op->kind != QR_REQUEST_WRITE)
        return;
    if (qr_sim_disk_failed(node->disk))
        qr_sim_fail(world, "silent-after-failed-sync", "n%u acknowledges %s after its disk has failed",
                    node->number + 1, op->mark);
    /* Of a joint configuration the incoming half is enough here: the outgoing one has no say any more once
     * the end of the change is in the leader's log. */
    const qr_members *members = qr_sim_configs_of(world, op->position ? op->position : world->oracle.count);
    if (!qr_sim_configs_kept(world, members, op->durable_on, false))
        qr_sim_fail(world, "acknowledged-is-durable", "%s is acknowledged by n%u and on the disks %x only",
                    op->mark, node->number + 1, op->durable_on);
    if (op->position != 0)
        judge_write(op);
}

/* --------------------------------------------------------------- learning ---- */

/* The rule of core/command.h, written down a second time: a number not above the last one is not applied
 * again. */
static bool admit(qr_sim_world *world, qr_origin origin)
{
    qr_sim_oracle *oracle = &world->oracle;
    for (size_t i = 0; i < oracle->source_count; i++) {
        qr_sim_source *source = &oracle->sources[i];
        if (source->replica != origin.replica || source->incarnation != origin.incarnation)
            continue;
        if (origin.sequence <= source->last)
            return false;
        source->last = origin.sequence;
        return true;
    }
    QR_ASSERT(oracle->source_count < sizeof oracle->sources / sizeof oracle->sources[0]);
    oracle->sources[oracle->source_count++] = (qr_sim_source){
        .replica = origin.replica, .incarnation = origin.incarnation, .last = origin.sequence};
    return true;
}

static void learn_leases(qr_sim_world *world, qr_slice bytes, uint64_t index)
{
    qr_body body;
    qr_arena arena;
    qr_arena_init(&arena);
    QR_CHECK(qr_body_decode(bytes, &arena, &body) == QR_OK, "what a node or a client asks for can be read");
    qr_buffer_clear(&world->text);
    bool named = body.kind == QR_BODY_LEASE_GRANT || body.kind == QR_BODY_LEASE_REVOKE;
    if (!named || qr_sim_lease_is_own(body.lease))
        qr_sim_lease_applied(world, &body, index, &world->text);
    qr_arena_free(&arena);
}

static void learn_op(qr_sim_world *world, qr_sim_op *op, const qr_command *command, uint64_t index)
{
    if (!qr_slice_equal(op->body, command->body) || op->kind != QR_REQUEST_WRITE)
        qr_sim_fail(world, "commands-arrive-intact", "entry %" PRIu64 " is not what %s asked for", index,
                    op->mark);
    if (op->position != 0)
        qr_sim_fail(world, "applied-at-most-once", "%s is applied by entry %" PRIu64 " and again by %" PRIu64,
                    op->mark, op->position, index);
    if (op->outcome == QR_SIM_REFUSED)
        qr_sim_fail(world, "refused-is-never-applied", "%s was refused (%s) but is entry %" PRIu64, op->mark,
                    qr_status_name(op->status), index);
    op->position = index;
    qr_buffer_clear(&world->text);
    if (op->compacts)
        qr_sim_model_compact(&world->oracle.model, op->compact_revision, &world->text);
    else if (qr_body_is_of_alarms(command->body))
        qr_sim_alarm_applied(world, op, command, index, &world->text);
    else if (op->txn == NULL)
        learn_leases(world, command->body, index);
    else
        qr_sim_model_apply(&world->oracle.model, op->txn, &world->text);
    op->model_text = qr_arena_text(&world->arena, qr_buffer_slice(&world->text));
}

static void learn_command(qr_sim_node *node, qr_sim_commit *commit, uint64_t index, qr_slice bytes)
{
    qr_sim_world *world = node->world;
    qr_command command;
    qr_status status = qr_command_decode(bytes, &command);
    if (status != QR_OK) {
        qr_sim_fail(world, "commands-arrive-intact", "entry %" PRIu64 " cannot be read: %s", index,
                    qr_status_name(status));
        return;
    }
    commit->admitted = admit(world, command.origin);
    qr_sim_level_learned(world, index, command.apply_version);
    if (command.body.size == 0)
        return; /* for the level alone */
    qr_sim_op *op = op_of_mark(world, command.principal.data, command.principal.size);
    if (op != NULL) {
        commit->op = op->id;
        if (commit->admitted)
            learn_op(world, op, &command, index);
        return;
    }
    if (qr_body_is_of_alarms(command.body)) {
        qr_buffer_clear(&world->text);
        if (commit->admitted)
            qr_sim_alarm_applied(world, NULL, &command, index, &world->text);
        return;
    }
    if (qr_body_is_of_leases(command.body)) {
        if (commit->admitted)
            learn_leases(world, command.body, index);
        if (commit->admitted && world->door != NULL)
            world->config->door->learned(world->door, node, index, &command);
        return;
    }
    if (world->door != NULL &&
        (!commit->admitted || world->config->door->learned(world->door, node, index, &command)))
        return;
    qr_body body;
    qr_arena arena;
    qr_arena_init(&arena);
    if (qr_body_decode(command.body, &arena, &body) != QR_OK || body.kind != QR_BODY_COMPACT)
        qr_sim_fail(world, "commands-come-from-clients", "entry %" PRIu64 " was asked for by nobody", index);
    else if (commit->admitted) {
        qr_buffer_clear(&world->text);
        qr_sim_model_compact(&world->oracle.model, body.revision, &world->text);
    }
    qr_arena_free(&arena);
}

static void learn(qr_sim_node *node, uint64_t index, uint64_t term, qr_entry_kind kind, qr_slice bytes,
                  uint64_t digest)
{
    qr_sim_world *world = node->world;
    qr_sim_oracle *oracle = &world->oracle;
    QR_ASSERT(index == oracle->count + 1);
    if (oracle->count == oracle->room) {
        oracle->room = oracle->room ? oracle->room * 2 : 1024;
        oracle->commits = qr_realloc(oracle->commits, oracle->room * sizeof *oracle->commits);
    }
    qr_sim_commit *commit = &oracle->commits[oracle->count++];
    *commit =
        (qr_sim_commit){.term = term, .kind = kind, .hash = qr_hash(bytes, (uint64_t)kind), .digest = digest};
    commit->seen_term = UINT64_MAX;
    if (index > 1 && term < oracle->commits[index - 2].term)
        qr_sim_fail(world, "terms-grow-along-the-log", "entry %" PRIu64 " has term %" PRIu64, index, term);
    if (kind == QR_ENTRY_COMMAND)
        learn_command(node, commit, index, bytes);
    else if (kind == QR_ENTRY_MEMBERS)
        qr_sim_configs_learn(world, index, bytes);
    commit->revision = oracle->model.revision;
    qr_sim_op *op = commit->op && commit->admitted ? world->ops[commit->op - 1] : NULL;
    if (op != NULL && op->has_reply && op->outcome == QR_SIM_DONE)
        judge_write(op);
}

void qr_sim_oracle_applied(qr_sim_node *node, uint64_t index, uint64_t term, qr_entry_kind kind,
                           qr_slice bytes, uint64_t digest)
{
    qr_sim_world *world = node->world;
    qr_sim_oracle *oracle = &world->oracle;
    if (index != node->applied + 1 || index > oracle->count + 1) {
        qr_sim_fail(world, "applied-in-order", "n%u applies %" PRIu64 " after %" PRIu64, node->number + 1,
                    index, node->applied);
        return;
    }
    node->applied = index;
    if (index == oracle->count + 1) {
        learn(node, index, term, kind, bytes, digest);
        qr_sim_malformed_entry(world, kind, bytes);
    } else {
        world->caught_up++;
    }
    const qr_sim_commit *commit = &oracle->commits[index - 1];
    if (commit->term != term || commit->hash != qr_hash(bytes, (uint64_t)kind))
        qr_sim_fail(world, "same-command-at-same-index",
                    "n%u applies another entry %" PRIu64 " (term %" PRIu64
                    ") than was applied before (term %" PRIu64 ")",
                    node->number + 1, index, term, commit->term);
    const qr_machine *machine = qr_node_machine(node->node);
    uint64_t revision = machine->ops->revision(machine);
    if (revision != commit->revision)
        qr_sim_fail(world, commit->admitted ? "state-follows-model" : "applied-at-most-once",
                    "n%u is at revision %" PRIu64 " after entry %" PRIu64 ", the model at %" PRIu64,
                    node->number + 1, revision, index, commit->revision);
    if (commit->digest != digest && !QR_BUG(world->config->bug, STATE_DIVERGES))
        qr_sim_fail(world, "equal-digest-at-equal-index",
                    "n%u has digest %016" PRIx64 " at %" PRIu64 ", others %016" PRIx64, node->number + 1,
                    digest, index, commit->digest);
    qr_sim_mix(world, digest);
}

/* Members find a difference by themselves. With the bug that makes one, they have to name the right one, and
 * that one has to halt ("halts-only-for-a-cause" is how the bug is found); while the one who could decide is
 * down they cannot know. Without it nobody may see a difference. */
void qr_sim_oracle_diverges(qr_sim_node *node, const qr_trace_record *record)
{
    qr_sim_world *world = node->world;
    bool is_named = record->kind == QR_TRACE_ALARM || record->number[0] == world->members.list[0].id;
    if (QR_BUG(world->config->bug, STATE_DIVERGES) && is_named)
        return;
    qr_sim_fail(world, "no-false-alarm", "n%u sees states differ at entry %" PRIu64 ", %s", node->number + 1,
                record->kind == QR_TRACE_DIVERGE ? record->number[1] : record->number[0],
                record->kind == QR_TRACE_DIVERGE ? "and names a member" : "and does not know whose is right");
}

/* A checkpoint holds the state of its index and nothing else (rows 8 and 9), and never an older one than was
 * there (row 7). */
void qr_sim_oracle_restored(qr_sim_node *node, uint64_t index, uint64_t term, uint64_t digest,
                            uint64_t revision, bool received)
{
    qr_sim_world *world = node->world;
    const qr_sim_oracle *oracle = &world->oracle;
    if (index <= node->applied)
        qr_sim_fail(world, "checkpoints-go-forward",
                    "n%u takes the state of entry %" PRIu64 " after it has applied %" PRIu64,
                    node->number + 1, index, node->applied);
    if (index > oracle->count) {
        qr_sim_fail(world, "checkpoints-hold-committed-state",
                    "n%u takes the state of entry %" PRIu64 ", known are %" PRIu64, node->number + 1, index,
                    oracle->count);
        return;
    }
    const qr_sim_commit *commit = &oracle->commits[index - 1];
    if (commit->term != term || commit->digest != digest || commit->revision != revision)
        qr_sim_fail(world, "checkpoint-follows-model",
                    "n%u takes a state of entry %" PRIu64 " with term %" PRIu64 ", revision %" PRIu64
                    " and digest %016" PRIx64 "; it was term %" PRIu64 ", revision %" PRIu64
                    " and digest %016" PRIx64,
                    node->number + 1, index, term, revision, digest, commit->term, commit->revision,
                    commit->digest);
    node->applied = index;
    *(received ? &world->report->transfers : &world->report->restores) += 1;
    qr_sim_mix(world, digest);
}

/* Whoever saves the state of an entry saves the same, however it came to it. */
void qr_sim_oracle_saved(qr_sim_node *node, uint64_t index, uint64_t sum)
{
    qr_sim_world *world = node->world;
    if (index > world->oracle.count)
        return; /* "checkpoints-hold-committed-state" */
    if (QR_BUG(world->config->bug, STATE_DIVERGES))
        return; /* the members themselves are to find it */
    qr_sim_commit *commit = &world->oracle.commits[index - 1];
    if (commit->saved == 0)
        commit->saved = sum;
    if (commit->saved != sum)
        qr_sim_fail(world, "saved-states-are-equal",
                    "n%u saves a state of entry %" PRIu64 " with sum %016" PRIx64 "; it was %016" PRIx64,
                    node->number + 1, index, sum, commit->saved);
}

/* ---------------------------------------------------------------- leaders ---- */

/* Of the entry at index; 0 if it is not in memory. */
static uint64_t term_at(const qr_engine *engine, uint64_t index)
{
    qr_entry_kind kind;
    qr_slice bytes;
    return engine->ops->entry(engine, index, &kind, &bytes);
}

/* Leader Completeness (Raft, 5.4.3; row 2): what was committed in an earlier term is in the log of every
 * later leader. */
static void judge_leader(qr_sim_node *node, uint64_t term)
{
    qr_sim_world *world = node->world;
    const qr_sim_oracle *oracle = &world->oracle;
    const qr_engine *engine = qr_node_engine(node->node);
    qr_engine_status status;
    engine->ops->status(engine, &status);
    qr_sim_configs_lead(node, engine, &status);
    for (uint64_t index = oracle->count; index >= 1; index--) {
        const qr_sim_commit *commit = &oracle->commits[index - 1];
        if (commit->seen_term >= term)
            continue;
        uint64_t held = term_at(engine, index);
        if (index > status.last_index || (held != 0 && held != commit->term)) {
            qr_sim_fail(world, "leader-has-all-committed",
                        "n%u leads term %" PRIu64 " without entry %" PRIu64 " of term %" PRIu64
                        " (it has %" PRIu64 " entries)",
                        node->number + 1, term, index, commit->term, status.last_index);
            return;
        }
        if (held != 0)
            return; /* the same term at the same index: equal below too (log matching, checked elsewhere) */
    }
}

/* Election Safety (Raft, 5.2; rows 3 and 32). */
void qr_sim_oracle_role(qr_sim_node *node, qr_engine_role role, uint64_t term)
{
    qr_sim_world *world = node->world;
    qr_sim_oracle *oracle = &world->oracle;
    if (term > oracle->term_max)
        oracle->term_max = term;
    if (role != QR_LEADER)
        return;
    for (size_t i = 0; i < oracle->leader_count; i++) {
        if (oracle->leaders[i].term != term)
            continue;
        if (oracle->leaders[i].node != node->number)
            qr_sim_fail(world, "one-leader-a-term", "n%u and n%u both lead term %" PRIu64,
                        oracle->leaders[i].node + 1, node->number + 1, term);
        return;
    }
    if (oracle->leader_count < QR_SIM_LEADERS_MAX) {
        oracle->leaders[oracle->leader_count].term = term;
        oracle->leaders[oracle->leader_count++].node = node->number;
    }
    if (node->node != NULL)
        judge_leader(node, term);
}

/* ------------------------------------------------------------------ looking ---- */

static void look_at_log(qr_sim_node *node, const qr_engine *engine, const qr_engine_status *status)
{
    qr_sim_world *world = node->world;
    const qr_sim_oracle *oracle = &world->oracle;
    if (status->commit_index < node->commit)
        qr_sim_fail(world, "commit-goes-forward", "n%u goes from %" PRIu64 " back to %" PRIu64,
                    node->number + 1, node->commit, status->commit_index);
    if (status->commit_index > status->last_index || node->applied > status->commit_index)
        qr_sim_fail(world, "commit-within-log",
                    "n%u has applied %" PRIu64 ", committed %" PRIu64 " and holds %" PRIu64 " entries",
                    node->number + 1, node->applied, status->commit_index, status->last_index);
    for (uint64_t index = status->commit_index; index > node->commit && index + 8 > status->commit_index;
         index--) {
        uint64_t held = term_at(engine, index);
        if (held != 0 && index <= oracle->count && held != oracle->commits[index - 1].term)
            qr_sim_fail(world, "committed-stays",
                        "n%u holds entry %" PRIu64 " of term %" PRIu64
                        " as committed, applied was term %" PRIu64,
                        node->number + 1, index, held, oracle->commits[index - 1].term);
    }
    node->commit = status->commit_index;
}

void qr_sim_oracle_look(qr_sim_node *node)
{
    qr_sim_world *world = node->world;
    qr_sim_oracle *oracle = &world->oracle;
    const qr_engine *engine = qr_node_engine(node->node);
    const char *broken = qr_node_broken(node->node);
    if (broken != NULL && QR_ASSERTED)
        qr_sim_fail(world, "node-is-sound", "n%u: %s", node->number + 1, broken);
    qr_engine_status status;
    engine->ops->status(engine, &status);
    qr_sim_configs_look(node, engine, &status);
    look_at_log(node, engine, &status);
    if (status.term < node->term)
        qr_sim_fail(world, "terms-go-forward", "n%u goes from term %" PRIu64 " back to %" PRIu64,
                    node->number + 1, node->term, status.term);
    node->term = status.term;
    if (status.term > oracle->term_max)
        oracle->term_max = status.term;
    for (uint32_t i = 0; status.role == QR_LEADER && i < status.members.count; i++)
        if (status.match[i] > status.last_index)
            qr_sim_fail(world, "match-within-log",
                        "n%u counts entry %" PRIu64 " of a member, it has %" PRIu64, node->number + 1,
                        status.match[i], status.last_index);
    while (oracle->stamped < oracle->count)
        oracle->commits[oracle->stamped++].seen_term = oracle->term_max;
}

/* Log Matching (Raft, 5.3): the same term at the same index means the same log up to there. */
void qr_sim_oracle_match(qr_sim_world *world)
{
    uint32_t a = (uint32_t)qr_prng_below(&world->prng_world, world->nodes);
    uint32_t b = (uint32_t)qr_prng_below(&world->prng_world, world->nodes);
    if (a == b || !qr_sim_node_up(&world->node[a]) || !qr_sim_node_up(&world->node[b]))
        return;
    const qr_engine *one = qr_node_engine(world->node[a].node), *other = qr_node_engine(world->node[b].node);
    qr_engine_status status, status_other;
    one->ops->status(one, &status);
    other->ops->status(other, &status_other);
    if (!one->ops->logs_match) {
        status.last_index = status.commit_index;
        status_other.last_index = status_other.commit_index;
    }
    uint64_t last = status.last_index < status_other.last_index ? status.last_index : status_other.last_index;
    bool must_match = false;
    for (uint64_t index = last, seen = 0; index >= 1 && seen < 64; index--, seen++) {
        qr_slice bytes = {0}, bytes_other = {0};
        qr_entry_kind kind, kind_other;
        uint64_t term = one->ops->entry(one, index, &kind, &bytes);
        uint64_t term_other = other->ops->entry(other, index, &kind_other, &bytes_other);
        if (term == 0 || term_other == 0)
            return;
        bool same = term == term_other;
        must_match |= !one->ops->logs_match;
        if ((must_match && !same) || (same && !qr_slice_equal(bytes, bytes_other)))
            qr_sim_fail(world, "logs-match", "n%u and n%u differ at entry %" PRIu64 " but agree behind it",
                        a + 1, b + 1, index);
        must_match |= same;
    }
}

void qr_sim_oracle_final(qr_sim_world *world)
{
    for (uint64_t i = 0; i < world->op_count; i++) {
        const qr_sim_op *op = world->ops[i];
        if (op->kind == QR_REQUEST_WRITE && op->outcome == QR_SIM_DONE && op->position == 0)
            qr_sim_fail(world, "acknowledged-is-applied", "%s was acknowledged and is nowhere", op->mark);
        if (op->kind == QR_REQUEST_MEMBERS && op->outcome == QR_SIM_DONE)
            qr_sim_configs_final(op);
        if (op->outcome == QR_SIM_OPEN)
            qr_sim_fail(world, "every-request-is-answered-once", "%s was never answered", op->mark);
    }
    for (uint32_t i = 0; i < world->nodes; i++) {
        qr_sim_node *node = &world->node[i];
        const qr_machine *machine = node->node ? qr_node_machine(node->node) : NULL;
        const char *broken = machine ? machine->ops->broken(machine) : NULL;
        if (broken != NULL && QR_ASSERTED)
            qr_sim_fail(world, "machine-is-sound", "n%u: %s", i + 1, broken);
    }
    qr_sim_alarm_final(world);
}

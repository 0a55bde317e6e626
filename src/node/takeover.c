/* What a new leader learns of the renewals before its term. It asks all voters when they last heard of one,
 * of each lease, page by page. A renewal that was acknowledged was heard of by a quorum; so the latest
 * moment at which a quorum may have heard of one bounds it: the quorum value of what they say, those that
 * say nothing having heard of one just now. It gets better with every voter that answers.
 *
 * A voter answers once it has the epoch of the leader's term on its disk, and from then on notes nothing for
 * a leader of an earlier one, not even in another life. What it says it says as an age; by the leader's clock
 * the moment is at most that long ago.
 *
 * All answers that count together were given in one configuration, which the voter had in its log: who got
 * another say in between may have heard nothing of what counted before (qr_lease__voter()). So with each
 * configuration the survey begins anew; what was found before stays true. */
#include "node/internal.h"

/* Moments before the leader's clock began are no less than 0 this way. */
#define BIAS_MS (UINT64_C(1) << 60)

/* ------------------------------------------------------------ at a voter ---- */

static uint64_t last_heard_ms(const qr_node *node, const qr_leased *lease)
{
    uint64_t since_ms = node->leases.voter_since_ms;
    return lease->noted_ms > since_ms ? lease->noted_ms : since_ms;
}

static bool may_answer(qr_node *node, uint64_t from, uint64_t term)
{
    qr_engine_status engine;
    node->engine->ops->status(node->engine, &engine);
    qr_lease__voter(node, &engine.members);
    uint64_t index = 0, epoch = node->machine->ops->lease_epoch(node->machine, &index);
    return engine.term == term && engine.leader == from && epoch == term &&
           index <= node->keeper.durable_entry;
}

void qr_lease__recall(qr_node *node, uint64_t from, qr_reader *body)
{
    uint64_t term = qr_reader_u64(body), survey = qr_reader_u64(body);
    int64_t first = (int64_t)qr_reader_u64(body);
    if (body->failed || qr_reader_left(body) > 0 || !may_answer(node, from, term))
        return; /* it asks again */
    qr_buffer notes;
    qr_buffer_init(&notes);
    qr_machine_lease found;
    int64_t id = first;
    bool more = node->machine->ops->lease_from(node->machine, id, &found);
    for (size_t count = 0; more && count < QR_LEASE_PAGE_MAX; count++) {
        const qr_leased *lease = qr_lease__find(node, found.id);
        QR_ASSERT(lease != NULL && lease->generation == found.generation);
        qr_buffer_u64(&notes, (uint64_t)lease->id);
        qr_buffer_varint(&notes, lease->generation);
        qr_buffer_varint(&notes, node->now_ms - last_heard_ms(node, lease));
        id = found.id + 1;
        more = id != 0 && node->machine->ops->lease_from(node->machine, id, &found);
    }
    qr_buffer *out = qr_lease__begin(node, QR_LEASE_RECALLED);
    qr_buffer_u64(out, survey);
    qr_buffer_u64(out, (uint64_t)first);
    qr_buffer_u64(out, more ? (uint64_t)found.id : 0);
    qr_buffer_add_slice(out, qr_buffer_slice(&notes));
    qr_buffer_free(&notes);
    qr_envelope__send(node, from);
}

/* ------------------------------------------------------------ at the leader ---- */

void qr_lease__forget_memories(qr_node *node)
{
    qr_leases *leases = &node->leases;
    for (size_t i = 0; i < leases->memory_count; i++)
        qr_free(leases->memories[i].notes);
    qr_free(leases->memories);
    leases->memories = NULL;
    leases->memory_count = 0;
    leases->recalled_term = 0;
    leases->ready = false;
}

static qr_lease_memory *memory_of(const qr_leases *leases, uint64_t peer)
{
    for (size_t i = 0; i < leases->memory_count; i++)
        if (leases->memories[i].peer == peer)
            return &leases->memories[i];
    return NULL;
}

/* Still to be asked, or asked again. */
static bool is_asked(const qr_node *node, uint64_t id)
{
    const qr_lease_memory *memory = memory_of(&node->leases, id);
    return id != node->config.self && qr_members_votes(&node->changes.told, id) &&
           (memory == NULL || !memory->whole);
}

/* Who is a member no more makes room. */
static qr_lease_memory *make_memory(qr_node *node, uint64_t peer)
{
    qr_leases *leases = &node->leases;
    qr_lease_memory *memory = NULL;
    for (size_t i = 0; i < leases->memory_count && memory == NULL; i++)
        if (qr_members_find(&node->changes.told, leases->memories[i].peer) == NULL)
            memory = &leases->memories[i];
    if (memory == NULL) {
        QR_ASSERT(leases->memory_count < QR_MEMBERS_MAX);
        memory = &leases->memories[leases->memory_count++];
    }
    qr_free(memory->notes);
    *memory = (qr_lease_memory){.peer = peer, .next = 1};
    return memory;
}

/* knows: the configuration is on its disk. */
static void ask_voter(qr_node *node, uint64_t peer, bool knows)
{
    const qr_leases *leases = &node->leases;
    qr_lease_memory *memory = memory_of(leases, peer);
    if (memory == NULL)
        memory = make_memory(node, peer);
    if (!knows || memory->retry_ms == UINT64_MAX)
        memory->retry_ms = knows ? 0 : UINT64_MAX; /* its acknowledgement will bring a turn */
    if (node->now_ms < memory->retry_ms)
        return;
    /* One that is away is no hurry once the others have answered. */
    memory->retry_ms =
        node->now_ms + (leases->ready ? 10 * (uint64_t)node->config.election_ms : QR_LEASE_RETRY_MS);
    qr_buffer *out = qr_lease__begin(node, QR_LEASE_RECALL);
    qr_buffer_u64(out, node->term);
    qr_buffer_u64(out, leases->recall);
    qr_buffer_u64(out, (uint64_t)memory->next);
    qr_envelope__send(node, peer);
}

typedef struct question {
    const qr_node *node;
    const qr_leased *lease;
} question;

static uint64_t heard_by(const void *context, uint64_t id)
{
    const question *asked = context;
    const qr_node *node = asked->node;
    const qr_leased *lease = asked->lease;
    if (id == node->config.self)
        return BIAS_MS + last_heard_ms(node, lease);
    const qr_lease_memory *memory = memory_of(&node->leases, id);
    if (memory == NULL || !memory->whole)
        return UINT64_MAX;
    bool told = memory->at < memory->count && memory->notes[memory->at].id == lease->id &&
                memory->notes[memory->at].generation == lease->generation;
    return told ? memory->notes[memory->at].noted_ms : UINT64_MAX;
}

static void find_deadline(qr_node *node, qr_leased *lease, const qr_members *members)
{
    qr_leases *leases = &node->leases;
    for (size_t i = 0; i < leases->memory_count; i++) {
        qr_lease_memory *memory = &leases->memories[i];
        while (memory->at < memory->count && (uint64_t)memory->notes[memory->at].id < (uint64_t)lease->id)
            memory->at++;
    }
    if (lease->renewed_ms > 0 || lease->ending)
        return;
    question asked = {.node = node, .lease = lease};
    uint64_t heard = qr_quorum_value(members, heard_by, &asked);
    if (heard == UINT64_MAX) /* enough of them have lost it already, and this one is going to */
        heard = BIAS_MS + node->now_ms;
    uint64_t due = heard + lease->ttl_ms + QR_LEASE_GRACE_MS;
    due = due > BIAS_MS ? due - BIAS_MS : 1;
    if (lease->heap_at == 0 || due < lease->deadline_ms)
        qr_lease__due(node, lease, due);
}

static bool has_told(const void *context, uint64_t id)
{
    const qr_node *node = context;
    const qr_lease_memory *memory = memory_of(&node->leases, id);
    return id == node->config.self || (memory != NULL && memory->whole);
}

static void find_deadlines(qr_node *node)
{
    qr_leases *leases = &node->leases;
    qr_engine_status engine;
    node->engine->ops->status(node->engine, &engine);
    qr_lease__voter(node, &engine.members);
    if (engine.members_index != leases->recalled_members || !qr_quorum_has(&engine.members, has_told, node))
        return;
    for (size_t i = 0; i < leases->memory_count; i++)
        leases->memories[i].at = 0;
    qr_machine_lease found;
    for (int64_t id = 1; node->machine->ops->lease_from(node->machine, id, &found); id = found.id + 1) {
        find_deadline(node, qr_lease__find(node, found.id), &engine.members);
        if (found.id == -1) /* the greatest, as an unsigned number */
            break;
    }
    leases->ready = true;
    qr_trace_add(&node->trace, QR_TRACE_LEASE_TAKEOVER, leases->heap_count, node->term, 0, 0);
}

static bool read_notes(qr_node *node, qr_lease_memory *memory, qr_reader *body)
{
    while (!body->failed && qr_reader_left(body) > 0) {
        struct qr_lease_note note = {.id = (int64_t)qr_reader_u64(body)};
        note.generation = qr_reader_varint(body);
        uint64_t age_ms = qr_reader_varint(body);
        if (body->failed || age_ms > BIAS_MS || (uint64_t)note.id < (uint64_t)memory->next)
            return false;
        note.noted_ms = BIAS_MS + node->now_ms - age_ms;
        memory->next = note.id + 1;
        if (memory->count == memory->room) {
            memory->room = memory->room ? memory->room * 2 : 64;
            memory->notes = qr_realloc(memory->notes, memory->room * sizeof *memory->notes);
        }
        memory->notes[memory->count++] = note;
    }
    return !body->failed;
}

/* Whether it is another disk than it was does not matter: a new one says that it has heard of everything. */
void qr_lease__recalled(qr_node *node, uint64_t from, qr_reader *body)
{
    qr_leases *leases = &node->leases;
    uint64_t survey = qr_reader_u64(body);
    int64_t first = (int64_t)qr_reader_u64(body), next = (int64_t)qr_reader_u64(body);
    qr_lease_memory *memory = memory_of(leases, from);
    if (body->failed || memory == NULL || memory->whole || survey != leases->recall ||
        first != memory->next || !qr_lease__in_force(node))
        return;
    size_t before = memory->count;
    if (!read_notes(node, memory, body) || (next != 0 && (uint64_t)next < (uint64_t)memory->next)) {
        memory->count = before;
        memory->next = first;
        qr_trace_add(&node->trace, QR_TRACE_DROP, from, QR_E_INVALID, 0, 0);
        return;
    }
    memory->next = next;
    memory->whole = next == 0;
    memory->retry_ms = 0;
    if (memory->whole)
        find_deadlines(node);
}

static void begin_survey(qr_node *node, uint64_t members_index)
{
    qr_leases *leases = &node->leases;
    bool ready = leases->ready && leases->recalled_term == node->term;
    qr_lease__forget_memories(node);
    leases->ready = ready;
    leases->recalled_term = node->term;
    leases->recalled_members = members_index;
    leases->recall = qr_lease__number(node);
    leases->memories = qr_alloc_zero(QR_MEMBERS_MAX, sizeof *leases->memories);
}

void qr_lease__take_over(qr_node *node)
{
    qr_leases *leases = &node->leases;
    qr_engine_status engine;
    node->engine->ops->status(node->engine, &engine);
    if (leases->recalled_term != node->term || leases->recalled_members != engine.members_index)
        begin_survey(node, engine.members_index);
    if (!leases->ready) /* those who have told may be enough by now, since members leave; alone it needs
                           nobody */
        find_deadlines(node);
    for (uint32_t i = 0; i < engine.members.count; i++)
        if (is_asked(node, engine.members.list[i].id))
            ask_voter(node, engine.members.list[i].id, engine.match[i] >= engine.members_index);
}

uint64_t qr_lease__take_over_wake_ms(const qr_node *node)
{
    const qr_members *members = &node->changes.told;
    uint64_t wake = UINT64_MAX;
    for (uint32_t i = 0; i < members->count && qr_lease__in_force(node); i++) {
        const qr_lease_memory *memory = memory_of(&node->leases, members->list[i].id);
        uint64_t due = memory ? memory->retry_ms : node->now_ms;
        if (is_asked(node, members->list[i].id) && due < wake)
            wake = due;
    }
    return wake;
}

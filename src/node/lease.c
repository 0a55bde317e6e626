/* When leases end (doc/design/leases.md).
 *
 * Every member keeps, beside its machine, when it last heard of a renewal of each lease: renewal.c. The
 * leader alone has deadlines. It knows them from the renewals and grants of its own term, and from what the
 * voters tell it of those before: takeover.c. When one has passed it proposes the lease's end, which holds
 * only while the epoch in force is that of its term: what it proposes as one that leads no more is void. */
#include <stdlib.h>

#include "core/bugs.h"
#include "core/txn.h"
#include "node/internal.h"

/* ---------------------------------------------------------------- the table ---- */

static size_t place_of(const qr_leases *leases, int64_t id)
{
    return (size_t)qr_hash_mix(1, (uint64_t)id) & (leases->room - 1);
}

/* The slot of the lease, or the free one where it would stand. */
static size_t search(const qr_leases *leases, int64_t id)
{
    size_t at = place_of(leases, id);
    while (leases->slots[at] != NULL && leases->slots[at]->id != id)
        at = (at + 1) & (leases->room - 1);
    return at;
}

qr_leased *qr_lease__find(const qr_node *node, int64_t id)
{
    const qr_leases *leases = &node->leases;
    return leases->count > 0 ? leases->slots[search(leases, id)] : NULL;
}

static void grow(qr_leases *leases)
{
    qr_leased **old = leases->slots;
    size_t room = leases->room;
    leases->room = room ? room * 2 : 64;
    leases->slots = qr_alloc_zero(leases->room, sizeof(qr_leased *));
    for (size_t i = 0; i < room; i++)
        if (old[i] != NULL)
            leases->slots[search(leases, old[i]->id)] = old[i];
    qr_free(old);
}

static qr_leased *add(qr_leases *leases, int64_t id)
{
    if ((leases->count + 1) * 2 > leases->room)
        grow(leases);
    qr_leased *lease = qr_alloc_zero(1, sizeof *lease);
    lease->id = id;
    leases->slots[search(leases, id)] = lease;
    leases->count++;
    return lease;
}

/* Those behind it that it has pushed out of their places move up. */
static void close_gap(qr_leases *leases, size_t gap)
{
    size_t mask = leases->room - 1;
    leases->slots[gap] = NULL;
    for (size_t at = (gap + 1) & mask; leases->slots[at] != NULL; at = (at + 1) & mask) {
        size_t wish = place_of(leases, leases->slots[at]->id);
        if (((at - wish) & mask) < ((at - gap) & mask))
            continue;
        leases->slots[gap] = leases->slots[at];
        leases->slots[at] = NULL;
        gap = at;
    }
}

/* ----------------------------------------------------------------- the heap ---- */

static void put_in_heap(qr_leases *leases, size_t at, qr_leased *lease)
{
    leases->heap[at - 1] = lease;
    lease->heap_at = at;
}

static void sift(qr_leases *leases, size_t at)
{
    qr_leased *lease = leases->heap[at - 1];
    while (at > 1 && leases->heap[at / 2 - 1]->deadline_ms > lease->deadline_ms) {
        put_in_heap(leases, at, leases->heap[at / 2 - 1]);
        at /= 2;
    }
    for (size_t child; (child = at * 2) <= leases->heap_count; at = child) {
        if (child < leases->heap_count &&
            leases->heap[child]->deadline_ms < leases->heap[child - 1]->deadline_ms)
            child++;
        if (leases->heap[child - 1]->deadline_ms >= lease->deadline_ms)
            break;
        put_in_heap(leases, at, leases->heap[child - 1]);
    }
    put_in_heap(leases, at, lease);
}

static void leave_heap(qr_leases *leases, qr_leased *lease)
{
    size_t at = lease->heap_at;
    if (at == 0)
        return;
    lease->heap_at = 0;
    qr_leased *last = leases->heap[--leases->heap_count];
    if (last == lease)
        return;
    put_in_heap(leases, at, last);
    sift(leases, at);
}

void qr_lease__due(qr_node *node, qr_leased *lease, uint64_t deadline_ms)
{
    qr_leases *leases = &node->leases;
    lease->deadline_ms = deadline_ms;
    if (lease->heap_at == 0) {
        if (leases->heap_count == leases->heap_room) {
            leases->heap_room = leases->heap_room ? leases->heap_room * 2 : 64;
            leases->heap = qr_realloc(leases->heap, leases->heap_room * sizeof(qr_leased *));
        }
        put_in_heap(leases, ++leases->heap_count, lease);
    }
    sift(leases, lease->heap_at);
}

/* ------------------------------------------------------- what the machine has ---- */

static void drop(qr_leases *leases, qr_leased *lease)
{
    leave_heap(leases, lease);
    close_gap(leases, search(leases, lease->id));
    leases->count--;
    qr_free(lease);
}

static void take(qr_node *node, const qr_machine_lease *found)
{
    qr_leased *lease = qr_lease__find(node, found->id);
    if (lease != NULL && lease->generation == found->generation)
        return;
    if (lease != NULL)
        drop(&node->leases, lease);
    lease = add(&node->leases, found->id);
    lease->generation = found->generation;
    lease->ttl_ms = found->ttl_ms;
    lease->noted_ms = node->now_ms;
    if (node->role != QR_LEADER || node->applied_term != node->term)
        return;
    lease->renewed_ms = node->now_ms;
    qr_lease__due(node, lease, node->now_ms + lease->ttl_ms);
}

/* The machine may have got it, lost it, or got another one of that id. */
static void look_at(qr_node *node, int64_t id)
{
    qr_machine_lease found;
    if (node->machine->ops->lease_from(node->machine, id, &found) && found.id == id)
        take(node, &found);
    else if (qr_lease__find(node, id) != NULL)
        drop(&node->leases, qr_lease__find(node, id));
}

void qr_lease__applied(qr_node *node, const qr_command *command, qr_status status)
{
    if (status != QR_OK || node->machine->ops->lease_from == NULL || !qr_body_is_of_leases(command->body))
        return;
    qr_body body;
    qr_arena_reset(&node->leases.arena);
    QR_CHECK(qr_body_decode(command->body, &node->leases.arena, &body) == QR_OK,
             "a body that was applied can be read");
    if (body.lease != 0)
        look_at(node, body.lease);
    for (size_t i = 0; i < body.ended_count; i++)
        look_at(node, body.ended[i].id);
}

static void remove_gone(qr_node *node)
{
    qr_leases *leases = &node->leases;
    qr_leased **all = qr_alloc((leases->count + 1) * sizeof(qr_leased *));
    size_t count = 0;
    for (size_t i = 0; i < leases->room; i++)
        if (leases->slots[i] != NULL)
            all[count++] = leases->slots[i];
    for (size_t i = 0; i < count; i++) {
        qr_machine_lease found;
        if (!node->machine->ops->lease_from(node->machine, all[i]->id, &found) || found.id != all[i]->id)
            drop(leases, all[i]);
    }
    qr_free(all);
}

void qr_lease__jumped(qr_node *node)
{
    qr_machine_lease found;
    if (node->machine->ops->lease_from == NULL)
        return;
    remove_gone(node);
    for (int64_t id = 1; node->machine->ops->lease_from(node->machine, id, &found); id = found.id + 1) {
        take(node, &found);
        if (found.id == -1) /* the greatest, as an unsigned number */
            break;
    }
}

/* ------------------------------------------------------------------ life ---- */

void qr_lease__open(qr_node *node)
{
    node->leases.asked_tail = &node->leases.asked;
    node->leases.rounds_tail = &node->leases.rounds;
    node->leases.votes = qr_members_votes(&node->changes.told, node->config.self);
    qr_lease__jumped(node);
}

void qr_lease__free(qr_node *node)
{
    qr_leases *leases = &node->leases;
    qr_lease__forget_rounds(node);
    qr_lease__forget_memories(node);
    for (size_t i = 0; i < leases->room; i++)
        qr_free(leases->slots[i]);
    qr_free(leases->slots);
    qr_free(leases->heap);
    qr_free(leases->asks);
    qr_arena_free(&leases->arena);
}

void qr_lease__voter(qr_node *node, const qr_members *members)
{
    bool votes = qr_members_votes(members, node->config.self);
    uint64_t voters = 0;
    for (uint32_t i = 0; i < members->count; i++)
        voters = qr_hash_mix(qr_hash_mix(voters, members->list[i].id), members->list[i].role);
    /* What was renewed before, others may have heard of who have no say any more. */
    if (votes && (!node->leases.votes || voters != node->leases.voters))
        node->leases.voter_since_ms = node->now_ms;
    node->leases.votes = votes;
    node->leases.voters = voters;
}

void qr_lease__reroute(qr_node *node)
{
    qr_leases *leases = &node->leases;
    leases->retry_ms = 0;
    leases->rerouted_ms = node->now_ms;
    leases->epoch_asked = 0;
    leases->heap_count = 0;
    qr_lease__forget_rounds(node);
    qr_lease__forget_memories(node);
    for (size_t i = 0; i < leases->room; i++) {
        qr_leased *lease = leases->slots[i];
        if (lease == NULL)
            continue;
        lease->renewed_ms = lease->deadline_ms = 0;
        lease->heap_at = 0;
        lease->ending = false;
    }
}

/* ---------------------------------------------------------------- the epoch ---- */

/* An entry of its own term is applied, and with it everything that was ever committed before. (How long its
 * log was when it started says nothing: the end of it may have been cut off since.) */
bool qr_lease__leads(const qr_node *node)
{
    return node->role == QR_LEADER && node->applied_term == node->term;
}

bool qr_lease__in_force(const qr_node *node)
{
    uint64_t index;
    return qr_lease__leads(node) && node->machine->ops->lease_epoch(node->machine, &index) == node->term;
}

static void on_epoch(void *owner, const qr_reply *reply)
{
    qr_node *node = owner;
    if (reply->status != QR_OK)
        node->leases.epoch_asked = 0;
}

static qr_status propose(qr_node *node, const qr_body *body, void (*done)(void *, const qr_reply *))
{
    qr_buffer bytes;
    qr_buffer_init(&bytes);
    qr_body_encode(body, &bytes);
    qr_request request = {.body = qr_buffer_slice(&bytes), .done = done, .owner = node};
    qr_status status = qr_pending__add(node, &request, UINT64_MAX);
    qr_buffer_free(&bytes);
    if (status != QR_OK)
        node->leases.propose_again_ms = node->now_ms + QR_LEASE_RETRY_MS;
    return status;
}

/* A cluster without leases needs none. */
static void propose_epoch(qr_node *node)
{
    qr_leases *leases = &node->leases;
    if (leases->count == 0 || leases->epoch_asked == node->term || node->now_ms < leases->propose_again_ms)
        return;
    qr_body body = {.kind = QR_BODY_LEASE_EPOCH, .epoch = node->term};
    if (propose(node, &body, on_epoch) == QR_OK)
        leases->epoch_asked = node->term;
}

/* ------------------------------------------------------------------- the end ---- */

/* Only now the next ones are proposed. Those of this proposal are gone, unless it was void: then this member
 * has ceased to lead in the meantime, and knows nothing of them. */
static void on_ended(void *owner, const qr_reply *reply)
{
    qr_node *node = owner;
    (void)reply;
    node->leases.end_asked = false;
}

static int compare_names(const void *a_in, const void *b_in)
{
    uint64_t a = (uint64_t)((const qr_lease_name *)a_in)->id, b = (uint64_t)((const qr_lease_name *)b_in)->id;
    return (a > b) - (a < b);
}

/* It stays proposed until it is decided, however long that takes: it may be in the log. */
static void propose_end(qr_node *node, uint64_t epoch, qr_lease_name *names, size_t count)
{
    qsort(names, count, sizeof *names, compare_names);
    qr_body body = {.kind = QR_BODY_LEASE_EXPIRE, .epoch = epoch, .ended = names, .ended_count = count};
    qr_trace_add(&node->trace, QR_TRACE_LEASE_END, count, (uint64_t)names[0].id, 0, 0);
    node->leases.end_asked = propose(node, &body, on_ended) == QR_OK;
}

static void end_due(qr_node *node)
{
    qr_leases *leases = &node->leases;
    bool may = leases->ready && !leases->end_asked && !node->no_space && !node->health.corrupt &&
               node->now_ms >= leases->propose_again_ms;
    qr_lease_name names[QR_LEASES_MAX];
    qr_leased *ended[QR_LEASES_MAX];
    size_t count = 0;
    while (may && count < QR_LEASES_MAX && leases->heap_count > 0 &&
           leases->heap[0]->deadline_ms <= node->now_ms) {
        qr_leased *lease = leases->heap[0];
        leave_heap(leases, lease);
        lease->ending = true;
        names[count] = (qr_lease_name){.id = lease->id, .generation = lease->generation};
        ended[count++] = lease;
    }
    if (count == 0)
        return;
    propose_end(node, node->term, names, count);
    for (size_t i = 0; i < count && !leases->end_asked; i++) { /* too many writes are pending */
        ended[i]->ending = false;
        qr_lease__due(node, ended[i], ended[i]->deadline_ms);
    }
}

/* A planted bug. */
static void end_as_follower(qr_node *node)
{
    qr_leases *leases = &node->leases;
    uint64_t index, epoch = node->machine->ops->lease_epoch(node->machine, &index);
    for (size_t i = 0; i < leases->room && !leases->end_asked; i++) {
        const qr_leased *lease = leases->slots[i];
        if (lease == NULL || epoch == 0 || node->now_ms < lease->noted_ms + lease->ttl_ms)
            continue;
        qr_lease_name name = {.id = lease->id, .generation = lease->generation};
        propose_end(node, epoch, &name, 1);
    }
}

/* ------------------------------------------------------------------- turns ---- */

void qr_lease__turn(qr_node *node)
{
    if (node->machine->ops->lease_from == NULL)
        return;
    qr_lease__rounds(node);
    if (QR_BUG(node->config.bug, LEASE_BY_FOLLOWER) && node->role != QR_LEADER)
        end_as_follower(node);
    if (!qr_lease__leads(node))
        return;
    if (!qr_lease__in_force(node)) {
        propose_epoch(node);
        return;
    }
    qr_lease__take_over(node);
    end_due(node);
}

uint64_t qr_lease__wake_ms(const qr_node *node)
{
    const qr_leases *leases = &node->leases;
    if (node->machine->ops->lease_from == NULL)
        return UINT64_MAX;
    uint64_t wake = qr_lease__rounds_wake_ms(node);
    if (!qr_lease__leads(node))
        return wake;
    uint64_t due = UINT64_MAX;
    if (!qr_lease__in_force(node))
        due = leases->count > 0 && leases->epoch_asked != node->term ? node->now_ms : UINT64_MAX;
    else if (leases->ready && !leases->end_asked && leases->heap_count > 0 && !node->no_space &&
             !node->health.corrupt)
        due = leases->heap[0]->deadline_ms;
    if (due < leases->propose_again_ms)
        due = leases->propose_again_ms;
    wake = due < wake ? due : wake;
    due = qr_lease__take_over_wake_ms(node);
    return due < wake ? due : wake;
}

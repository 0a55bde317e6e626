/* Writes and their way to the leader.
 *
 * Every write that this member answers for stands in a ring, in order of its sequence, until *this* member
 * has applied it. Each turn offers what is new to the engine as one PROPOSE. If the engine refuses because
 * another member leads, the same commands are forwarded to that one. When the way changes (new leader or
 * term, a link that came back, no progress for a while) everything that is still pending is offered again, in
 * order: the table of origins drops what was applied already.
 *
 * Forwards: a leader takes commands of one origin only in order. Each forward names the sequence of the
 * pending command before its first one (0: there is none), and is dropped if the leader has not taken over
 * that one in its term: something in between was lost, and would be passed over for good. The origin offers
 * everything again soon after.
 *
 * Passed over: when a later command of this member is applied before an earlier one, the earlier one will
 * never be. It was surely not applied, so it gets a new sequence and another try, until its deadline. */
#include "core/bugs.h"
#include "node/internal.h"

static qr_pending *slot(qr_pendings *pendings, uint64_t number)
{
    return &pendings->ring[number & (pendings->room - 1)];
}

static void grow(qr_pendings *pendings)
{
    size_t room = pendings->room ? pendings->room * 2 : 64;
    qr_pending *ring = qr_alloc(room * sizeof *ring);
    for (uint64_t n = pendings->first; n < pendings->next; n++)
        ring[n & (room - 1)] = *slot(pendings, n);
    qr_free(pendings->ring);
    pendings->ring = ring;
    pendings->room = room;
}

static qr_pending *add_slot(qr_node *node)
{
    qr_pendings *pendings = &node->pendings;
    if (pendings->next - pendings->first == pendings->room)
        grow(pendings);
    qr_pending *pending = slot(pendings, pendings->next);
    *pending = (qr_pending){.sequence = node->boot << QR_BOOT_SHIFT | (pendings->next + 1)};
    QR_ASSERT(pendings->next + 1 < (uint64_t)1 << QR_BOOT_SHIFT);
    pendings->next++;
    return pending;
}

static void drop_bytes(qr_node *node, qr_pending *pending)
{
    node->pendings.bytes -= pending->bytes.size;
    qr_free((void *)pending->bytes.data);
    pending->bytes = qr_slice_of(NULL, 0);
}

/* Abandoned slots (answered, never offered again) leave the ring once they are the oldest. */
static void pop_abandoned(qr_pendings *pendings)
{
    while (pendings->first < pendings->next && slot(pendings, pendings->first)->bytes.data == NULL)
        pendings->first++;
    if (pendings->unsent < pendings->first)
        pendings->unsent = pendings->first;
}

qr_status qr_pending__add(qr_node *node, const qr_request *request, uint64_t deadline_ms)
{
    return qr_pending__add_refused(node, request, deadline_ms, QR_OK);
}

qr_status qr_pending__add_refused(qr_node *node, const qr_request *request, uint64_t deadline_ms,
                                  qr_status refusal)
{
    qr_pendings *pendings = &node->pendings;
    if (pendings->next - pendings->first >= QR_NODE_PENDING_MAX ||
        pendings->bytes >= QR_NODE_PENDING_BYTES_MAX)
        return QR_E_BUSY;
    qr_pending *pending = add_slot(node);
    qr_command command = {
        .apply_version = node->level,
        .origin = {.replica = node->config.self,
                   .incarnation = node->incarnation,
                   .sequence = pending->sequence},
        .stamp_ms = node->wall_ms,
        .principal = request->principal,
        .auth_revision = request->auth_revision,
        .body = request->body,
    };
    qr_buffer bytes;
    qr_buffer_init(&bytes);
    qr_buffer_reserve(&bytes, request->body.size + request->principal.size + 64);
    qr_command_encode(&command, &bytes);
    pending->bytes = qr_buffer_slice(&bytes); /* the buffer's memory is the slot's now */
    pending->deadline_ms = deadline_ms;
    pending->done = request->done;
    pending->owner = request->owner;
    pending->refusal = refusal;
    pendings->bytes += pending->bytes.size;
    return QR_OK;
}

uint64_t qr_pending__take_sequence(qr_node *node)
{
    QR_ASSERT(node->pendings.unsent == node->pendings.next);
    uint64_t sequence = add_slot(node)->sequence; /* a slot without bytes is abandoned from the start */
    node->pendings.unsent = node->pendings.next;
    pop_abandoned(&node->pendings);
    return sequence;
}

void qr_pending__reroute(qr_node *node)
{
    node->pendings.unsent = node->pendings.first;
    node->accepted_count = 0;
}

/* ------------------------------------------------------------ offering ---- */

static void proposal_add(qr_node *node, size_t *count, qr_slice command)
{
    if (*count == node->proposal_room) {
        node->proposal_room = node->proposal_room ? node->proposal_room * 2 : 64;
        node->proposal = qr_realloc(node->proposal, node->proposal_room * sizeof *node->proposal);
    }
    node->proposal[(*count)++] = command;
}

static uint64_t gather_own(qr_node *node, size_t *count)
{
    qr_pendings *pendings = &node->pendings;
    uint64_t number = pendings->unsent;
    size_t bytes = 0;
    for (; number < pendings->next && bytes < QR_NODE_PROPOSE_MAX; number++) {
        qr_slice command = slot(pendings, number)->bytes;
        if (command.data == NULL)
            continue;
        proposal_add(node, count, command);
        bytes += command.size;
    }
    return number;
}

static void gather_inbox(qr_node *node, size_t *count)
{
    qr_reader reader = qr_reader_of(qr_buffer_slice(&node->inbox));
    while (qr_reader_left(&reader) > 0) {
        uint32_t size = qr_reader_u32(&reader);
        proposal_add(node, count, qr_reader_take(&reader, size));
    }
    QR_ASSERT(!reader.failed);
}

static void mark_sent(qr_node *node, uint64_t upto)
{
    qr_pendings *pendings = &node->pendings;
    /* The clock of "nothing moves" starts with the oldest one that is on its way; later ones do not set it
     * back, or a single lost forward could hold up a busy member for as long as it stays busy. */
    if (pendings->first == pendings->unsent)
        pendings->sent_ms = node->now_ms;
    for (uint64_t n = pendings->unsent; n < upto; n++)
        slot(pendings, n)->was_sent = true;
    pendings->unsent = upto;
}

static uint64_t sequence_before(qr_node *node, uint64_t number)
{
    qr_pendings *pendings = &node->pendings;
    while (number > pendings->first)
        if (slot(pendings, --number)->bytes.data != NULL)
            return slot(pendings, number)->sequence;
    return 0;
}

/* One forward of at most about QR_NODE_FORWARD_MAX bytes; false when nothing is left or the way is blocked.
 */
static bool forward_some(qr_node *node, uint64_t leader, uint64_t end)
{
    qr_pendings *pendings = &node->pendings;
    if (pendings->unsent >= end)
        return false;
    uint64_t number = pendings->unsent, first_sequence = slot(pendings, number)->sequence;
    qr_buffer *out = qr_envelope__begin(node, QR_ENVELOPE_FORWARD);
    qr_buffer_u64(out, sequence_before(node, number));
    size_t start = out->size;
    for (; number < end && out->size - start < QR_NODE_FORWARD_MAX; number++)
        if (slot(pendings, number)->bytes.data != NULL)
            qr_buffer_bytes(out, slot(pendings, number)->bytes);
    if (out->size > start) {
        qr_trace_add(&node->trace, QR_TRACE_FORWARD, leader, first_sequence,
                     slot(pendings, number - 1)->sequence, 0);
        if (qr_envelope__send(node, leader) != QR_OK)
            return false;
    }
    mark_sent(node, number);
    return true;
}

void qr_pending__offer(qr_node *node)
{
    qr_pendings *pendings = &node->pendings;
    pop_abandoned(pendings);
    if (node->durable_position < node->boot_position)
        return; /* a sequence of this boot may not leave before the boot is on the disk */
    if (node->role != QR_LEADER && node->leader == 0) {
        qr_buffer_clear(&node->inbox);
        return; /* nobody to offer it to; a new leader makes everything unsent */
    }
    bool stuck = pendings->first < pendings->unsent && node->role != QR_LEADER &&
                 node->now_ms >= pendings->sent_ms + 5 * (uint64_t)node->config.heartbeat_ms;
    if (stuck)
        pendings->unsent = pendings->first;
    size_t count = 0;
    uint64_t end = gather_own(node, &count);
    gather_inbox(node, &count);
    if (count > 0) {
        qr_event event = {.kind = QR_EVENT_PROPOSE, .propose = {.commands = node->proposal, .count = count}};
        node->proposal_refused = false;
        qr_node__step(node, &event);
        if (!node->proposal_refused)
            mark_sent(node, end);
        else
            node->accepted_count = 0; /* the inbox is lost: its origins offer it again, and are listened to */
        if (node->proposal_refused && node->proposal_leader != 0 &&
            node->proposal_leader != node->config.self)
            while (forward_some(node, node->proposal_leader, end))
                ;
    }
    qr_buffer_shrink(&node->inbox, QR_NODE_PROPOSE_MAX);
}

/* ------------------------------------------------------------ forwards ---- */

static qr_accepted *accepted_of(qr_node *node, qr_origin origin)
{
    for (size_t i = 0; i < node->accepted_count; i++) {
        qr_accepted *accepted = &node->accepted[i];
        if (accepted->replica != origin.replica)
            continue;
        if (accepted->incarnation != origin.incarnation)
            *accepted = (qr_accepted){.replica = origin.replica, .incarnation = origin.incarnation};
        return accepted;
    }
    if (node->accepted_count == QR_MEMBERS_MAX)
        return NULL;
    qr_accepted *accepted = &node->accepted[node->accepted_count++];
    *accepted = (qr_accepted){.replica = origin.replica, .incarnation = origin.incarnation};
    return accepted;
}

void qr_pending__forwarded(qr_node *node, qr_reader *body)
{
    if (node->role != QR_LEADER || node->no_space || node->health.corrupt ||
        node->inbox.size > QR_NODE_PENDING_BYTES_MAX)
        return; /* the origin offers it again */
    uint64_t before = qr_reader_u64(body);
    while (!body->failed && qr_reader_left(body) > 0) {
        qr_slice bytes = qr_reader_bytes(body);
        qr_command command;
        if (body->failed || qr_command_decode(bytes, &command) != QR_OK ||
            command.apply_version > qr_level__known(node))
            return;
        qr_accepted *accepted = accepted_of(node, command.origin);
        if (accepted == NULL)
            return;
        if (before > accepted->sequence &&
            before > qr_origins_last(&node->origins, command.origin.replica, command.origin.incarnation))
            return;
        before = command.origin.sequence;
        if (command.origin.sequence <= accepted->sequence && !QR_BUG(node->config.bug, FORWARD_TWICE))
            continue;
        accepted->sequence = command.origin.sequence;
        qr_buffer_u32(&node->inbox, (uint32_t)bytes.size);
        qr_buffer_add_slice(&node->inbox, bytes);
    }
}

/* ------------------------------------------------------------- answers ---- */

static void finish(qr_node *node, qr_pending *pending, qr_status status, const void *result, uint64_t index)
{
    void (*done)(void *, const qr_reply *) = pending->done;
    void *owner = pending->owner;
    bool refused = pending->refusal != QR_OK;
    status = refused ? pending->refusal : status;
    pending->done = NULL;
    drop_bytes(node, pending);
    qr_node__answer(node, done, owner, status, refused ? NULL : result, refused ? 0 : index);
}

/* Surely never applied: another try under a new sequence. */
static void try_again(qr_node *node, uint64_t number)
{
    qr_pending old = *slot(&node->pendings, number);
    slot(&node->pendings, number)->bytes = qr_slice_of(NULL, 0);
    slot(&node->pendings, number)->done = NULL;
    if (old.bytes.data == NULL)
        return;
    qr_pending *pending = add_slot(node);
    uint64_t sequence = pending->sequence;
    *pending = old;
    pending->sequence = sequence;
    pending->was_sent = false;
    qr_command_renumber((uint8_t *)pending->bytes.data, sequence);
}

void qr_pending__applied(qr_node *node, const qr_command *command, uint64_t index, qr_status status,
                         const void *result)
{
    if (command->origin.replica != node->config.self || command->origin.incarnation != node->incarnation)
        return;
    qr_pendings *pendings = &node->pendings;
    if (command->origin.sequence >> QR_BOOT_SHIFT != node->boot)
        return; /* of an earlier life of this process: nobody waits for it any more */
    pendings->sent_ms = node->now_ms;
    while (pendings->first < pendings->next &&
           slot(pendings, pendings->first)->sequence < command->origin.sequence) {
        try_again(node, pendings->first);
        pendings->first++;
    }
    if (pendings->unsent < pendings->first)
        pendings->unsent = pendings->first;
    if (pendings->first < pendings->next &&
        slot(pendings, pendings->first)->sequence == command->origin.sequence) {
        qr_pending *pending = slot(pendings, pendings->first);
        if (pending->bytes.data != NULL)
            finish(node, pending, status, result, index);
    }
    pop_abandoned(pendings);
}

/* Those up to the last one that is in the state now were applied there or passed over, and whoever could tell
 * which is not asked any more: the results are gone. */
void qr_pending__jumped(qr_node *node)
{
    qr_pendings *pendings = &node->pendings;
    uint64_t last = qr_origins_last(&node->origins, node->config.self, node->incarnation);
    while (pendings->first < pendings->next && slot(pendings, pendings->first)->sequence <= last) {
        uint64_t number = pendings->first++;
        bool may_be_inside = slot(pendings, number)->was_sent && !QR_BUG(node->config.bug, CHECKPOINT_RETRY);
        if (slot(pendings, number)->bytes.data == NULL)
            continue;
        if (may_be_inside)
            finish(node, slot(pendings, number), QR_E_TIMEOUT, NULL, 0);
        else
            try_again(node, number);
    }
    if (pendings->unsent < pendings->first)
        pendings->unsent = pendings->first;
    pop_abandoned(pendings);
}

void qr_pending__sweep(qr_node *node)
{
    qr_pendings *pendings = &node->pendings;
    for (uint64_t n = pendings->first; n < pendings->next; n++) {
        qr_pending *pending = slot(pendings, n);
        if (pending->bytes.data == NULL || node->now_ms < pending->deadline_ms)
            continue;
        finish(node, pending, pending->was_sent ? QR_E_TIMEOUT : QR_E_NO_LEADER, NULL, 0);
    }
    pop_abandoned(pendings);
}

void qr_pending__finish(qr_node *node, qr_status status)
{
    qr_pendings *pendings = &node->pendings;
    for (uint64_t n = pendings->first; n < pendings->next; n++)
        if (slot(pendings, n)->bytes.data != NULL)
            finish(node, slot(pendings, n), status, NULL, 0);
    pop_abandoned(pendings);
}

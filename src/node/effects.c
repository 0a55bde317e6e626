/* Carrying out what the engine decided. */
#include "core/bugs.h"
#include "node/internal.h"

/* ---------------------------------------------------------------- holding ---- */

static qr_slice *bytes_of(qr_effect *effect)
{
    switch (effect->kind) {
    case QR_EFFECT_SEND: return &effect->send.bytes;
    case QR_EFFECT_COMMIT: return &effect->commit.bytes;
    default: return NULL;
    }
}

static void hold(qr_node *node, const qr_effect *effect)
{
    if (node->held_count == node->held_room) {
        node->held_room = node->held_room ? node->held_room * 2 : 16;
        node->held = qr_realloc(node->held, node->held_room * sizeof *node->held);
    }
    qr_held *held = &node->held[node->held_count++];
    *held = (qr_held){.effect = *effect};
    qr_slice *bytes = bytes_of(&held->effect);
    if (bytes != NULL && bytes->size > 0) {
        held->bytes = memcpy(qr_alloc(bytes->size), bytes->data, bytes->size);
        bytes->data = held->bytes;
    }
    node->held_commits += effect->kind == QR_EFFECT_COMMIT;
}

/* ---------------------------------------------------------------- applying ---- */

static void apply_command(qr_node *node, uint64_t index, qr_slice bytes)
{
    qr_command command;
    qr_status status = qr_command_decode(bytes, &command);
    if (status == QR_E_BAD_VERSION || (status == QR_OK && command.apply_version > qr_level__known(node))) {
        qr_node__halt(node, "a committed command needs a newer version of this program: upgrade this member");
        return;
    }
    if (status != QR_OK)
        return; /* the same bytes mean nothing on every replica alike */
    bool first_time = qr_origins_admit(&node->origins, command.origin, index);
    if (!first_time && !QR_BUG(node->config.bug, FORWARD_TWICE))
        return;
    const void *result = NULL;
    qr_level__applied(node, command.apply_version);
    if (!QR_BUG(node->config.bug, LEVEL_OF_PROPOSER))
        command.apply_version = node->level; /* whoever was behind has stamped it with less */
    qr_arena_reset(&node->arena);
    if (command.body.size > 0) /* else it was there for the level alone */
        status = node->machine->ops->apply(node->machine, index, &command, &node->arena, &result);
    qr_lease__applied(node, &command, status);
    qr_watch__applied(node);
    qr_pending__applied(node, &command, index, status, result);
}

void qr_node__apply(qr_node *node, const qr_effect *effect)
{
    QR_CHECK(effect->commit.index == node->applied_index + 1, "entries are committed once each, in order");
    QR_CHECK(effect->commit.term >= node->applied_term, "terms never go back along the log");
    node->applied_index = effect->commit.index;
    node->applied_term = effect->commit.term;
    if (effect->commit.kind == QR_ENTRY_COMMAND)
        apply_command(node, effect->commit.index, effect->commit.bytes);
    else if (effect->commit.kind == QR_ENTRY_MEMBERS)
        qr_change__applied(node, effect->commit.index, effect->commit.bytes);
    if (QR_BUG(node->config.bug, STATE_DIVERGES) && node->applied_index == 200 &&
        node->config.self == node->config.members.list[0].id)
        node->origins.digest ^= 1;
    if (node->halted)
        return;
    if (node->config.applied != NULL)
        node->config.applied(node->config.context, node->applied_index, node->applied_term,
                             effect->commit.kind, effect->commit.bytes, qr_node__digest(node));
    qr_health__applied(node);
    qr_scrub__applied(node);
}

/* ------------------------------------------------------------------- roles ---- */

static void finish_handover(qr_node *node, qr_status status)
{
    if (!node->handover.wanted)
        return;
    node->handover.wanted = node->handover.under_way = false;
    qr_node__answer(node, node->handover.done, node->handover.owner, status, NULL, 0);
}

static void take_role(qr_node *node, const qr_effect *effect)
{
    bool changed = node->role != effect->role.role || node->term != effect->role.term ||
                   node->leader != effect->role.leader;
    node->leader_changes += effect->role.leader != 0 && effect->role.leader != node->leader;
    node->role = effect->role.role;
    node->term = effect->role.term;
    node->leader = effect->role.leader;
    if (!changed)
        return;
    qr_pending__reroute(node);
    qr_change__reroute(node);
    qr_lease__reroute(node);
    node->retry_reads_ms = 0;
    if (node->handover.under_way && node->leader != 0 && node->leader != node->config.self)
        finish_handover(node, QR_OK);
    if (node->config.role != NULL && !node->opening)
        node->config.role(node->config.context, node->role, node->term, node->leader);
}

static void refused(qr_node *node, const qr_effect *effect)
{
    switch (effect->refuse.what) {
    case QR_EVENT_PROPOSE:
        node->proposal_refused = true;
        node->proposal_leader = effect->refuse.leader;
        break;
    case QR_EVENT_READ: qr_reads__refused(node, effect->refuse.tag); break;
    case QR_EVENT_MEMBERS: qr_change__refused(node, effect->refuse.tag, effect->refuse.why); break;
    case QR_EVENT_HANDOVER: finish_handover(node, effect->refuse.why); break;
    default: break;
    }
}

/* ------------------------------------------------------------------ carrying ---- */

static void send(qr_node *node, const qr_effect *effect)
{
    qr_buffer *out = qr_envelope__begin(node, QR_ENVELOPE_ENGINE);
    qr_buffer_add_slice(out, effect->send.bytes);
    qr_envelope__send(node,
                      effect->send.to); /* a full queue loses it, as a network may; the engine sends again */
}

static void carry_out(qr_node *node, const qr_effect *effect)
{
    switch (effect->kind) {
    case QR_EFFECT_PERSIST: qr_recover__persist(node, effect); break;
    case QR_EFFECT_SEND: send(node, effect); break;
    case QR_EFFECT_COMMIT: qr_node__apply(node, effect); break;
    case QR_EFFECT_READ_AT: qr_reads__at(node, effect->read_at.tag, effect->read_at.index); break;
    case QR_EFFECT_REFUSE: refused(node, effect); break;
    case QR_EFFECT_FETCH: qr_recover__fetch(node, effect->fetch.from, effect->fetch.to); break;
    case QR_EFFECT_SEND_CHECKPOINT: qr_transfer__wanted(node, effect->send_checkpoint.to); break;
    case QR_EFFECT_ROLE: take_role(node, effect); break;
    case QR_EFFECT_HALT: qr_node__halt(node, effect->halt.why); break;
    }
}

static bool must_wait(const qr_node *node, const qr_effect *effect)
{
    if (effect->kind == QR_EFFECT_PERSIST)
        return false;
    return effect->after > node->durable_ticket ||
           (effect->kind == QR_EFFECT_COMMIT && node->held_commits > 0);
}

/* Tells the machine of the commands at that place of the list and behind it; where the next ones begin. */
static size_t foresee(const qr_node *node, size_t from)
{
    qr_slice bodies[QR_MACHINE_FORESEEN];
    size_t count = 0, at = from;
    for (; at < node->effects.count && count < QR_MACHINE_FORESEEN; at++) {
        const qr_effect *effect = &node->effects.list[at];
        qr_command command;
        if (effect->kind == QR_EFFECT_COMMIT && effect->commit.kind == QR_ENTRY_COMMAND &&
            qr_command_decode(effect->commit.bytes, &command) == QR_OK)
            bodies[count++] = command.body;
    }
    if (count > 1 && node->machine->ops->foresee != NULL)
        node->machine->ops->foresee(node->machine, bodies, count);
    return at;
}

void qr_node__carry_out(qr_node *node)
{
    size_t foreseen = 0;
    for (size_t i = 0; i < node->effects.count && !node->halted; i++) {
        const qr_effect *effect = &node->effects.list[i];
        if (effect->kind == QR_EFFECT_COMMIT && i >= foreseen)
            foreseen = foresee(node, i);
        if (must_wait(node, effect))
            hold(node, effect);
        else
            carry_out(node, effect);
    }
}

void qr_node__release_held(qr_node *node)
{
    size_t kept = 0, count = node->held_count;
    bool commits_wait = false;
    for (size_t i = 0; i < count; i++) {
        qr_held held = node->held[i];
        bool is_commit = held.effect.kind == QR_EFFECT_COMMIT;
        if (node->halted || held.effect.after > node->durable_ticket || (is_commit && commits_wait)) {
            commits_wait |= is_commit;
            node->held[kept++] = held;
            continue;
        }
        node->held_commits -= is_commit;
        carry_out(node, &held.effect);
        qr_free(held.bytes);
    }
    QR_ASSERT(node->held_count == count);
    node->held_count = kept;
}

void qr_node__free_held(qr_node *node)
{
    for (size_t i = 0; i < node->held_count; i++)
        qr_free(node->held[i].bytes);
    qr_free(node->held);
    node->held = NULL;
    node->held_count = node->held_room = 0;
}

/* The feature level: the newest apply version that may be used, agreed on through the log.
 * doc/design/level.md has the reasons.
 *
 * The leader raises it when every member of the configuration in force has said lately that it knows a higher
 * one, by a command without a body whose apply version is the new level. It proposes that command once, into
 * its own log, and never forwards or repeats it: a later leader looks for itself who knows what. */
#include "core/bugs.h"
#include "node/internal.h"

enum { EVERY_MS = 250 };

uint16_t qr_level__known(const qr_node *node)
{
    return node->config.apply_knows ? node->config.apply_knows : QR_APPLY_VERSION;
}

uint16_t qr_level__told(const qr_node *node)
{
    uint16_t known = qr_level__known(node), hold = node->config.level_max;
    if (hold == 0 || hold > known)
        return known;
    return hold > node->level ? hold : node->level; /* what is in force can't be held back any more */
}

void qr_level__applied(qr_node *node, uint16_t version)
{
    if (version <= node->level)
        return;
    node->level = version;
    if (node->config.level != NULL)
        node->config.level(node->config.context, version);
    qr_trace_add(&node->trace, QR_TRACE_LEVEL, version, node->applied_index, 0, 0);
}

static uint16_t known_to(const qr_node *node, uint64_t id)
{
    return id == node->config.self ? qr_level__told(node) : qr_health__knows(node, id);
}

/* What all members know, learners too; below the level in force while one of them is silent. */
static uint16_t known_to_all(const qr_node *node, const qr_members *members)
{
    uint16_t all = qr_level__told(node);
    if (QR_BUG(node->config.bug, LEVEL_EARLY))
        return all;
    for (uint32_t i = 0; i < members->count; i++) {
        uint16_t one = known_to(node, members->list[i].id);
        all = one < all ? one : all;
    }
    return all;
}

/* Everything before is applied here and on its way, so that this is really the next step. */
static bool may_propose(const qr_node *node)
{
    return node->role == QR_LEADER && node->applied_term == node->term && !node->no_space &&
           !node->health.corrupt && node->level < qr_level__told(node) &&
           node->durable_position >= node->boot_position && node->pendings.unsent == node->pendings.next;
}

static void propose(qr_node *node, uint16_t level)
{
    const qr_command command = {.apply_version = level,
                                .origin = {.replica = node->config.self,
                                           .incarnation = node->incarnation,
                                           .sequence = qr_pending__take_sequence(node)},
                                .stamp_ms = node->wall_ms};
    qr_buffer bytes;
    qr_buffer_init(&bytes);
    qr_command_encode(&command, &bytes);
    const qr_slice encoded = qr_buffer_slice(&bytes);
    qr_event event = {.kind = QR_EVENT_PROPOSE, .propose = {.commands = &encoded, .count = 1}};
    qr_trace_add(&node->trace, QR_TRACE_LEVEL_ASK, level, 0, 0, 0);
    qr_node__step(node, &event);
    qr_buffer_free(&bytes);
}

void qr_level__turn(qr_node *node)
{
    if (!may_propose(node) || node->now_ms < node->level_ms)
        return;
    node->level_ms = node->now_ms + EVERY_MS;
    qr_engine_status engine;
    node->engine->ops->status(node->engine, &engine);
    uint16_t level = known_to_all(node, &engine.members);
    if (level <= node->level)
        return;
    node->level_ms =
        node->now_ms + node->config.election_ms; /* until the one under way is surely lost or not */
    propose(node, level);
}

uint64_t qr_level__wake_ms(const qr_node *node)
{
    return may_propose(node) ? node->level_ms : UINT64_MAX;
}

void qr_level__status(const qr_node *node, qr_node_status *status)
{
    status->level = node->level;
    status->level_told = qr_level__told(node);
    for (uint32_t i = 0; i < status->engine.members.count; i++)
        status->level_known[i] = known_to(node, status->engine.members.list[i].id);
}

uint16_t qr_node_level(const qr_node *node)
{
    return node->level;
}

/* Rounds: all members save their state at the same index, and compare sums of what they saved. So memory that
 * rots is found, whether or not anything was decided by it. doc/design/health.md has the reasons,
 * doc/formats/peer.md the bytes.
 *
 * The leader names the index: the end of its log, which nobody has applied yet unless all is quiet. Each
 * member that can begins its checkpoint there, inside apply. Whoever cannot takes no part in that round. A
 * checkpoint of a round gets its name when a majority of the voters has the same sum, so that what rotted is
 * not kept; or, since the log must not grow without end, when the log has grown by another interval. */
#include "node/internal.h"

enum {
    EVERY_MS = 1000,    /* what was said is said again: messages get lost */
    DISPUTED_MS = 5000, /* between two rounds while nobody knows who is wrong */
    IN_FLIGHT_MAX = 4096
};

static void tell(qr_node *node)
{
    qr_scrub *scrub = &node->scrub;
    if (!scrub->untold && node->now_ms < scrub->tell_ms)
        return;
    qr_engine_status engine;
    node->engine->ops->status(node->engine, &engine);
    for (uint32_t i = 0; i < engine.members.count; i++) {
        if (engine.members.list[i].id == node->config.self)
            continue;
        qr_buffer *out = qr_envelope__begin(node, QR_ENVELOPE_SCRUB);
        qr_buffer_u64(out, node->boot);
        qr_buffer_u64(out, scrub->round);
        qr_buffer_u64(out, scrub->index);
        qr_buffer_u64(out, scrub->saved.index);
        qr_buffer_u64(out, scrub->saved.digest);
        qr_envelope__send(node, engine.members.list[i].id);
    }
    scrub->untold = false;
    scrub->tell_ms = node->now_ms + EVERY_MS;
}

static bool is_disputed(const qr_node *node)
{
    return node->health.disputed != 0 && node->health.disputed_what == QR_COMPARED_CONTENTS;
}

bool qr_scrub__decides(const qr_node *node)
{
    return node->health.peer_count > 0;
}

/* A checkpoint carries the engine's brief of now. Within a turn the engine may be ahead of what is applied: a
 * newer configuration in the brief would not be that of the index. */
static bool members_change_ahead(const qr_node *node)
{
    qr_engine_status engine;
    node->engine->ops->status(node->engine, &engine);
    if (engine.last_index > node->applied_index + IN_FLIGHT_MAX)
        return true;
    for (uint64_t index = node->applied_index + 1; index <= engine.last_index; index++) {
        qr_entry_kind kind = QR_ENTRY_MEMBERS;
        qr_slice bytes;
        if (node->engine->ops->entry(node->engine, index, &kind, &bytes) == 0 || kind == QR_ENTRY_MEMBERS)
            return true;
    }
    return false;
}

/* The file of this index is there already and is being read: it must not change under its reader. */
static bool is_in_use(const qr_node *node)
{
    return node->applied_index == node->keeper.newest.index &&
           (qr_transfer__uses(node, node->applied_index) || qr_export__uses(node, node->applied_index));
}

static void take_part(qr_node *node)
{
    if (!qr_keeper__can_begin(node) || is_in_use(node) || node->now_ms < node->keeper.retry_ms ||
        members_change_ahead(node))
        return;
    qr_keeper__begin(node, true);
}

void qr_scrub__applied(qr_node *node)
{
    if (node->applied_index == node->scrub.index && !node->opening)
        take_part(node);
}

/* Saved, and without a word of the majority so far. */
static bool waits(const qr_node *node)
{
    return node->keeper.writer != NULL && node->keeper.saved && !node->keeper.finished && node->scrub.shared;
}

static uint64_t next_round_ms(const qr_node *node)
{
    return node->now_ms + (node->config.scrub_ms ? node->config.scrub_ms : DISPUTED_MS);
}

static void begin_round(qr_node *node, uint64_t round, uint64_t index)
{
    qr_scrub *scrub = &node->scrub;
    /* Nobody is going to speak of the round before any more. */
    if (waits(node) && node->keeper.making.index != index)
        qr_keeper__give_up(node);
    scrub->round = round;
    scrub->index = index;
    scrub->next_ms = next_round_ms(node);
    scrub->untold = true;
    if (index == node->applied_index)
        take_part(node);
}

void qr_scrub__saved(qr_node *node, uint64_t sum)
{
    qr_scrub *scrub = &node->scrub;
    qr_trace_add(&node->trace, QR_TRACE_SAVED, node->keeper.making.index, sum, 0, 0);
    if (!scrub->shared)
        return;
    scrub->saved = (qr_mark){.index = node->keeper.making.index, .digest = sum};
    scrub->untold = scrub->unjudged = true;
    tell(node); /* before it may halt: the others are to know whom to name */
}

bool qr_scrub__lets_keep(const qr_node *node)
{
    const qr_scrub *scrub = &node->scrub;
    if (!scrub->shared || scrub->vouched)
        return true;
    return !is_disputed(node) && (node->keeper.forced || qr_keeper__has_grown(node, 2));
}

/* -------------------------------------------------------------------- messages ---- */

/* Another life: what the one before said of its memory is over. */
static void note_boot(qr_node *node, qr_neighbour *other, uint64_t boot)
{
    if (other->boot == boot)
        return;
    other->boot = boot;
    other->saved = (qr_mark){0};
    if (other->divergent != 0 || is_disputed(node))
        node->scrub.next_ms = node->now_ms; /* is it well now? */
    other->divergent_what = QR_COMPARED_DECISIONS;
}

void qr_scrub__heard(qr_node *node, uint64_t from, uint64_t incarnation, qr_reader *body)
{
    uint64_t boot = qr_reader_u64(body), round = qr_reader_u64(body), index = qr_reader_u64(body);
    qr_mark saved = {.index = qr_reader_u64(body), .digest = qr_reader_u64(body)};
    if (body->failed || qr_reader_left(body) != 0) {
        qr_trace_add(&node->trace, QR_TRACE_DROP, from, QR_E_INVALID, 0, 0);
        return;
    }
    qr_neighbour *other = qr_health__neighbour(node, from, incarnation);
    if (other == NULL)
        return;
    note_boot(node, other, boot);
    if (round > node->scrub.round && from == node->leader && index >= node->applied_index)
        begin_round(node, round, index);
    bool is_news = saved.index != other->saved.index || saved.digest != other->saved.digest;
    if (saved.index == 0 || !is_news || node->halted)
        return;
    other->saved = saved;
    qr_health__judge_saved(node, saved.index);
}

/* ----------------------------------------------------------------------- turns ---- */

static bool is_due(const qr_node *node)
{
    const qr_scrub *scrub = &node->scrub;
    bool timed = node->config.scrub_ms > 0 || is_disputed(node);
    bool has_grown = node->keeper.writer == NULL && node->applied_index != node->keeper.newest.index &&
                     qr_keeper__has_grown(node, 1);
    return (timed && node->now_ms >= scrub->next_ms) || has_grown;
}

/* A round that waits for its index, or whose checkpoint is being made, comes to its end first. */
static bool is_under_way(const qr_node *node)
{
    const qr_keeper *keeper = &node->keeper;
    return node->scrub.index > node->applied_index || (keeper->writer != NULL && !waits(node)) ||
           (keeper->writer == NULL && !qr_keeper__can_begin(node)) || node->now_ms < keeper->retry_ms;
}

void qr_scrub__turn(qr_node *node)
{
    qr_scrub *scrub = &node->scrub;
    if (node->halted || !qr_scrub__decides(node) || node->config.checkpoint_bytes == UINT64_MAX)
        return;
    if (scrub->unjudged) {
        scrub->unjudged = false;
        qr_health__judge_saved(node, scrub->saved.index);
    }
    if (scrub->next_ms == 0)
        scrub->next_ms = next_round_ms(node);
    if (is_disputed(node) && scrub->next_ms > node->now_ms + DISPUTED_MS)
        scrub->next_ms = node->now_ms + DISPUTED_MS;
    if (!node->halted && node->role == QR_LEADER && is_due(node) && !is_under_way(node)) {
        qr_engine_status engine;
        node->engine->ops->status(node->engine, &engine);
        uint64_t first = node->term << 32; /* a new leader's rounds are newer than all it has not heard of */
        begin_round(node, (scrub->round > first ? scrub->round : first) + 1, engine.last_index);
    }
    if (!node->halted)
        tell(node);
}

uint64_t qr_scrub__wake_ms(const qr_node *node)
{
    return node->scrub.untold || node->scrub.unjudged ? node->now_ms
                                                      : UINT64_MAX; /* the rest: whenever health speaks */
}

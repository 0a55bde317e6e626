/* What members tell each other about themselves, and what follows from it. doc/design/health.md has the
 * reasons, doc/formats/peer.md the bytes.
 *
 * Divergence: every member takes the digest of its state at each index that is a multiple of
 * QR_HEALTH_STRIDE, inside apply() at that very index, and tells it to the others. A digest rolls over all
 * that was decided before, so one wrong decision shows at every later mark. Whom the majority of the voters
 * contradicts is wrong: it halts by itself, and the others note its id. Where there is no majority nobody
 * knows who is wrong, and writes are refused until one is found.
 *
 * A disk in trouble: a leader whose disk hangs, or that has no space for its log, gives the leadership to a
 * voter that is well. */
#include <inttypes.h>
#include <stdio.h>

#include "node/internal.h"

enum {
    FLAG_NO_SPACE = 1,
    FLAG_DISK_SLOW = 2,
    EVERY_MS = 1000,             /* at least so often a member speaks */
    SILENCE_MS = 2500,           /* who has said nothing for so long is not known to be well */
    PATIENCE_MS = 3000,          /* a disagreement may wait so long for the others' word */
    REPEATED = 8,                /* marks in every message, told before or not: some messages are lost */
    SLOW_ELECTIONS = 10,         /* a disk counts as slow until this many election timeouts went well */
    HANDOVER_WAIT_MAX_MS = 60000 /* longest pause between two attempts to hand over */
};

/* ---------------------------------------------------------------- who says what ---- */

static qr_neighbour *find(const qr_health *health, uint64_t id)
{
    for (size_t i = 0; i < health->other_count; i++)
        if (health->others[i].id == id)
            return (qr_neighbour *)&health->others[i]; /* const only as far as the caller's node is */
    return NULL;
}

/* The place of a member of the configuration; who is in it no more makes room. */
static qr_neighbour *place_of(qr_health *health, const qr_members *members, uint64_t id)
{
    qr_neighbour *known = find(health, id);
    if (known != NULL || qr_members_find(members, id) == NULL)
        return known;
    for (size_t i = 0; i < health->other_count && known == NULL; i++)
        if (qr_members_find(members, health->others[i].id) == NULL)
            known = &health->others[i];
    if (known == NULL) {
        QR_ASSERT(health->other_count < QR_MEMBERS_MAX);
        known = &health->others[health->other_count++];
    }
    *known = (qr_neighbour){.id = id};
    return known;
}

static qr_mark *slot(qr_mark *marks, uint64_t index)
{
    return &marks[index / QR_HEALTH_STRIDE % QR_HEALTH_KEPT];
}

/* What this member, or another one, says of the state at index; false: nothing. */
static bool digest_of(qr_node *node, uint64_t id, qr_compared what, uint64_t index, uint64_t *digest)
{
    bool own = id == node->config.self;
    qr_neighbour *other = find(&node->health, id);
    if (!own && other == NULL)
        return false;
    const qr_mark *mark = own ? &node->scrub.saved : &other->saved;
    if (what == QR_COMPARED_DECISIONS)
        mark = slot(own ? node->health.marks : other->marks, index);
    *digest = mark->digest;
    return mark->index == index;
}

/* ------------------------------------------------------------------- divergence ---- */

typedef struct ballot {
    qr_node *node;
    qr_compared what;
    uint64_t index, digest;
    bool silent_ones_agree;
} ballot;

static bool agrees(const void *context, uint64_t id)
{
    const ballot *b = context;
    uint64_t digest;
    return digest_of(b->node, id, b->what, b->index, &digest) ? digest == b->digest : b->silent_ones_agree;
}

/* The digest that the ballot's quorum has at its index; false: none has one. */
static bool elect(ballot *b, const qr_members *members)
{
    for (uint32_t i = 0; i < members->count; i++) {
        uint64_t id = members->list[i].id;
        if (qr_members_votes(members, id) && digest_of(b->node, id, b->what, b->index, &b->digest) &&
            qr_quorum_has(members, agrees, b))
            return true;
    }
    return false;
}

static bool is_disputed(qr_node *node, const qr_members *members, qr_compared what, uint64_t index)
{
    uint64_t first = 0, digest;
    bool any = false;
    for (uint32_t i = 0; i < members->count; i++) {
        uint64_t id = members->list[i].id;
        if (!qr_members_votes(members, id) || !digest_of(node, id, what, index, &digest))
            continue;
        if (any && digest != first)
            return true;
        first = digest;
        any = true;
    }
    return false;
}

static void raise_alarm(qr_node *node)
{
    if (node->health.corrupt)
        return;
    node->health.corrupt = true;
    qr_trace_add(&node->trace, QR_TRACE_ALARM, node->health.disputed, 0, 0, 0);
}

static void note_dispute(qr_node *node, const qr_members *members, qr_compared what, uint64_t index)
{
    qr_health *health = &node->health;
    if (health->disputed == 0) {
        health->disputed = index;
        health->disputed_ms = node->now_ms;
        health->disputed_what = what;
    }
    ballot b = {.node = node, .what = what, .index = index, .silent_ones_agree = true};
    if (!elect(&b, members)) /* whatever the others are going to say */
        raise_alarm(node);
}

static void contradict_self(qr_node *node, qr_compared what, uint64_t index)
{
    const char *sentence =
        what == QR_COMPARED_DECISIONS
            ? "this member's state differs from that of the majority at index %" PRIu64
            : "this member's state in memory differs from that of the majority at index %" PRIu64;
    snprintf(node->health.sentence, sizeof node->health.sentence, sentence, index);
    qr_node__halt(node, node->health.sentence);
}

static void judge_other(qr_node *node, qr_neighbour *other, qr_compared what, uint64_t index, bool agreed)
{
    if (agreed && index >= other->divergent) {
        if (what >= other->divergent_what)
            other->divergent = 0;
    } else if (!agreed && other->divergent == 0) {
        other->divergent = index;
        other->divergent_what = what;
        qr_trace_add(&node->trace, QR_TRACE_DIVERGE, other->id, index, 0, 0);
    }
}

/* Something new is known about the state at index. */
static void judge(qr_node *node, const qr_members *members, qr_compared what, uint64_t index)
{
    qr_health *health = &node->health;
    ballot b = {.node = node, .what = what, .index = index};
    uint64_t digest;
    if (!elect(&b, members)) {
        if (is_disputed(node, members, what, index))
            note_dispute(node, members, what, index);
        return;
    }
    if (index >= health->disputed && what >= health->disputed_what) {
        health->disputed = 0;
        health->disputed_what = QR_COMPARED_DECISIONS;
        health->corrupt = false;
    }
    for (size_t i = 0; i < health->other_count; i++)
        if (digest_of(node, health->others[i].id, what, index, &digest))
            judge_other(node, &health->others[i], what, index, digest == b.digest);
    if (!digest_of(node, node->config.self, what, index, &digest))
        return;
    if (digest != b.digest)
        contradict_self(node, what, index);
    else if (what == QR_COMPARED_CONTENTS && node->keeper.saved && node->keeper.making.index == index)
        node->scrub.vouched = true;
}

void qr_health__judge_saved(qr_node *node, uint64_t index)
{
    qr_engine_status engine;
    node->engine->ops->status(node->engine, &engine);
    judge(node, &engine.members, QR_COMPARED_CONTENTS, index);
}

void qr_health__applied(qr_node *node)
{
    qr_health *health = &node->health;
    if (node->applied_index % QR_HEALTH_STRIDE != 0)
        return;
    health->newest = node->applied_index;
    health->untold++;
    *slot(health->marks, health->newest) =
        (qr_mark){.index = health->newest, .digest = qr_node__digest(node)};
    if (health->other_count == 0)
        return;
    qr_engine_status engine;
    node->engine->ops->status(node->engine, &engine);
    judge(node, &engine.members, QR_COMPARED_DECISIONS, health->newest);
}

/* -------------------------------------------------------------------- messages ---- */

typedef struct report {
    uint8_t flags;
    uint16_t apply_from, apply_to;
    uint64_t newest;
    uint8_t count;
    uint64_t digests[QR_HEALTH_KEPT]; /* newest first */
} report;

static bool decode(qr_reader *body, report *r)
{
    r->flags = qr_reader_u8(body);
    r->apply_from = qr_reader_u16(body);
    r->apply_to = qr_reader_u16(body);
    r->newest = qr_reader_u64(body);
    r->count = qr_reader_u8(body);
    if (body->failed || r->count > QR_HEALTH_KEPT || r->apply_from > r->apply_to)
        return false;
    if (r->newest % QR_HEALTH_STRIDE != 0 || r->newest / QR_HEALTH_STRIDE < r->count)
        return false;
    for (uint8_t i = 0; i < r->count; i++)
        r->digests[i] = qr_reader_u64(body);
    return !body->failed && qr_reader_left(body) == 0;
}

/* A member that starts again applies its log again, and says the same digests again. */
static void take_marks(qr_node *node, qr_neighbour *other, const qr_members *members, const report *r)
{
    for (uint8_t i = r->count; i > 0 && !node->halted; i--) {
        uint64_t index = r->newest - (uint64_t)(i - 1) * QR_HEALTH_STRIDE;
        qr_mark *mark = slot(other->marks, index);
        bool is_old = mark->index > index || (mark->index == index && mark->digest == r->digests[i - 1]);
        if (is_old)
            continue;
        *mark = (qr_mark){.index = index, .digest = r->digests[i - 1]};
        judge(node, members, QR_COMPARED_DECISIONS, index);
    }
}

qr_neighbour *qr_health__neighbour(qr_node *node, uint64_t id, uint64_t incarnation)
{
    qr_engine_status engine;
    node->engine->ops->status(node->engine, &engine);
    qr_neighbour *other = place_of(&node->health, &engine.members, id);
    if (other == NULL || id == node->config.self)
        return NULL;
    if (other->incarnation != incarnation) { /* another disk: nothing that the old one said holds for it */
        bool link_down = other->link_down;
        *other = (qr_neighbour){.id = id, .incarnation = incarnation, .link_down = link_down};
    }
    return other;
}

void qr_health__heard(qr_node *node, uint64_t from, uint64_t incarnation, qr_reader *body)
{
    report r;
    qr_engine_status engine;
    if (!decode(body, &r)) {
        qr_trace_add(&node->trace, QR_TRACE_DROP, from, QR_E_INVALID, 0, 0);
        return;
    }
    qr_neighbour *other = qr_health__neighbour(node, from, incarnation);
    if (other == NULL)
        return;
    other->heard = true;
    other->heard_ms = node->now_ms;
    other->flags = r.flags;
    other->apply_to = r.apply_to;
    node->engine->ops->status(node->engine, &engine);
    take_marks(node, other, &engine.members, &r);
}

void qr_health__link(qr_node *node, uint64_t peer, bool up)
{
    qr_neighbour *other = find(&node->health, peer);
    if (other != NULL)
        other->link_down = !up;
    if (up) /* whoever has just come knows nothing of this member, and a new cluster waits for all */
        node->health.tell_ms = 0;
}

static void encode(const qr_node *node, uint8_t flags, qr_buffer *out)
{
    const qr_health *health = &node->health;
    uint64_t known = health->newest / QR_HEALTH_STRIDE;
    uint64_t count = health->untold > REPEATED ? health->untold : REPEATED;
    count = count > QR_HEALTH_KEPT ? QR_HEALTH_KEPT : count;
    count = count > known ? known : count;
    qr_buffer_u8(out, flags);
    qr_buffer_u16(out, QR_APPLY_OLDEST);
    qr_buffer_u16(out, qr_level__told(node));
    qr_buffer_u64(out, health->newest);
    uint8_t *at = qr_buffer_extend(out, 1);
    size_t count_at = (size_t)(at - out->data);
    uint8_t said = 0;
    for (; said < count; said++) {
        uint64_t index = health->newest - (uint64_t)said * QR_HEALTH_STRIDE;
        const qr_mark *mark = &health->marks[index / QR_HEALTH_STRIDE % QR_HEALTH_KEPT];
        if (mark->index != index) /* before the checkpoint that this life began with */
            break;
        qr_buffer_u64(out, mark->digest);
    }
    out->data[count_at] = said;
}

/* Speaks when there is something new, and once in a while. */
void qr_health__tell(qr_node *node)
{
    qr_health *health = &node->health;
    uint8_t flags =
        (uint8_t)((node->no_space ? FLAG_NO_SPACE : 0) | (health->disk_slow ? FLAG_DISK_SLOW : 0));
    if (health->untold == 0 && flags == health->told_flags && node->now_ms < health->tell_ms)
        return;
    qr_engine_status engine;
    node->engine->ops->status(node->engine, &engine);
    health->peer_count = 0;
    for (uint32_t i = 0; i < engine.members.count; i++) {
        uint64_t id = engine.members.list[i].id;
        if (id == node->config.self)
            continue;
        encode(node, flags, qr_envelope__begin(node, QR_ENVELOPE_HEALTH));
        qr_envelope__send(node, id); /* a lost one is made good by the next one */
        health->peer_count++;
    }
    health->untold = 0;
    health->told_flags = flags;
    health->tell_ms = node->now_ms + EVERY_MS;
}

/* -------------------------------------------------------------- disks in trouble ---- */

uint64_t qr_health__oldest_sync_ms(const qr_node *node)
{
    uint64_t since = node->now_ms;
    if (node->tickets_first < node->tickets_count)
        since = node->tickets[node->tickets_first].asked_ms;
    return node->now_ms - since;
}

static bool hangs(const qr_node *node)
{
    return qr_health__oldest_sync_ms(node) > node->config.election_ms;
}

static bool has_spoken(const qr_node *node, const qr_neighbour *other)
{
    return other != NULL && other->heard && node->now_ms - other->heard_ms < SILENCE_MS;
}

uint16_t qr_health__knows(const qr_node *node, uint64_t id)
{
    const qr_neighbour *other = find(&node->health, id);
    return has_spoken(node, other) ? other->apply_to : 0;
}

static bool is_well(const void *context, uint64_t id)
{
    const qr_node *node = context;
    const qr_neighbour *other = find(&node->health, id);
    return has_spoken(node, other) && !other->link_down && other->flags == 0 && other->divergent == 0;
}

/* The voter that has most of the log among those that are well; 0: nobody. While this member's disk hangs it
 * cannot even vote: then those that are well must be a quorum by themselves, or nobody would lead. */
static uint64_t successor(const qr_node *node)
{
    qr_engine_status engine;
    node->engine->ops->status(node->engine, &engine);
    if (hangs(node) && !qr_quorum_has(&engine.members, is_well, node))
        return 0;
    uint64_t best = 0, best_match = 0;
    for (uint32_t i = 0; i < engine.members.count; i++) {
        const qr_member *member = &engine.members.list[i];
        bool fits =
            member->id != node->config.self && member->role == QR_ROLE_VOTER && is_well(node, member->id);
        if (fits && (best == 0 || engine.match[i] > best_match)) {
            best = member->id;
            best_match = engine.match[i];
        }
    }
    return best;
}

static void hand_over(qr_node *node)
{
    qr_health *health = &node->health;
    bool trouble = hangs(node) || node->no_space;
    if (!trouble && node->now_ms >= health->handover_ms + health->handover_wait_ms)
        health->handover_wait_ms = node->config.election_ms; /* it went well for as long as the last pause */
    if (!trouble || node->role != QR_LEADER || node->handover.wanted || node->now_ms < health->handover_ms)
        return;
    uint64_t target = successor(node);
    if (target == 0)
        return;
    health->handover_ms = node->now_ms + health->handover_wait_ms;
    health->handover_wait_ms *= 2;
    if (health->handover_wait_ms > HANDOVER_WAIT_MAX_MS)
        health->handover_wait_ms = HANDOVER_WAIT_MAX_MS;
    qr_trace_add(&node->trace, QR_TRACE_TROUBLE, target, qr_health__oldest_sync_ms(node), node->no_space, 0);
    node->handover.wanted = true;
    node->handover.under_way = false;
    node->handover.target = target;
    node->handover.deadline_ms = node->now_ms + 2 * (uint64_t)node->config.election_ms;
    node->handover.done = NULL;
    node->handover.owner = NULL;
}

void qr_health__watch(qr_node *node)
{
    qr_health *health = &node->health;
    if (hangs(node))
        health->slow_until_ms = node->now_ms + (uint64_t)SLOW_ELECTIONS * node->config.election_ms;
    health->disk_slow = node->now_ms < health->slow_until_ms;
    if (health->disputed != 0 && node->now_ms >= health->disputed_ms + PATIENCE_MS)
        raise_alarm(node);
    hand_over(node);
}

uint64_t qr_health__wake_ms(const qr_node *node)
{
    uint64_t wake = node->health.peer_count > 0 ? node->health.tell_ms : UINT64_MAX;
    if (node->tickets_first < node->tickets_count && !hangs(node)) {
        uint64_t slow = node->tickets[node->tickets_first].asked_ms + node->config.election_ms + 1;
        wake = slow < wake ? slow : wake;
    }
    return wake;
}

uint64_t qr_health__divergent(const qr_node *node, uint64_t *index)
{
    const qr_health *health = &node->health;
    uint64_t id = 0;
    *index = 0;
    for (size_t i = 0; i < health->other_count; i++)
        if (health->others[i].divergent > *index) {
            id = health->others[i].id;
            *index = health->others[i].divergent;
        }
    return id;
}

void qr_health__status(const qr_node *node, qr_node_status *status)
{
    const qr_health *health = &node->health;
    status->disk_slow = health->disk_slow;
    status->oldest_sync_ms = qr_health__oldest_sync_ms(node);
    status->handing_over = node->handover.wanted;
    status->corrupt = health->corrupt;
    status->corrupt_index = health->corrupt ? health->disputed : 0;
    status->divergent = qr_health__divergent(node, &status->divergent_index);
}

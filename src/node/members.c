/* Changes of members: from whoever was asked to the leader, its verdict, and the end of the change.
 *
 * A request waits in .asked of the member that it came to and goes to the leader as a CHANGE envelope, again
 * after a pause, a new leader or a lost answer, until its deadline. That is safe because each change says
 * what is to be in the end: whoever repeats one that has happened is told OK. `again` marks such a
 * repetition; the first try of adding a member that is there already, or of removing one that is not, is a
 * mistake and is told so.
 *
 * A copy of a request that comes late must not do what the asker was told is not done. So a request is good
 * in the term in which it was sent, since what a former leader still begins in its own is never committed;
 * its copies are numbered, and within a term a leader passes over those that are not newer than the last one
 * that came; and once it has given a verdict it repeats it. BUSY is believed only as the answer to the newest
 * copy.
 *
 * The leader judges by what it knows: the configuration in force, how far each member has got, who is alive.
 * What it accepts it proposes to its engine, and keeps in .led whom to tell. It judges nothing before it has
 * applied an entry of its own term: until then it knows neither which configuration is committed nor what a
 * repeated change has brought about.
 *
 * The end: the last configuration of the change is committed and applied, first at the leader and then where
 * the request came in, so that who was told sees the members as they are now. */
#include "node/internal.h"

enum {
    FLAG_AGAIN = 1,
    FLAG_VOTER = 2,
    DISK_BITS = 20, /* of a disk's name, in a tag */
};

/* ------------------------------------------------------------ verdicts ---- */

static bool has_role(const qr_members *members, uint64_t id, qr_member_role role)
{
    const qr_member *member = qr_members_find(members, id);
    return member != NULL && member->role == role;
}

/* A voter, or one that its engine makes a voter by itself as soon as it may count. */
static bool is_to_vote(const qr_members *members, uint64_t id)
{
    const qr_member *member = qr_members_find(members, id);
    return member != NULL && member->role != QR_ROLE_LEARNER;
}

/* Are the members as this change wants them? */
static bool is_done(const qr_members *members, const qr_change *change)
{
    if (members->joint)
        return false;
    switch (change->kind) {
    case QR_CHANGE_ADD:
        return change->voter ? is_to_vote(members, change->id)
                             : has_role(members, change->id, QR_ROLE_LEARNER);
    case QR_CHANGE_PROMOTE: return has_role(members, change->id, QR_ROLE_VOTER);
    case QR_CHANGE_REMOVE: return qr_members_find(members, change->id) == NULL;
    case QR_CHANGE_REPLACE:
        return qr_members_find(members, change->id) == NULL &&
               has_role(members, change->id_new, QR_ROLE_VOTER);
    }
    return false;
}

static void take_out(qr_members *members, uint64_t id)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < members->count; i++)
        if (members->list[i].id != id)
            members->list[kept++] = members->list[i];
    memset(&members->list[kept], 0, (members->count - kept) * sizeof *members->list);
    members->count = kept;
}

/* NOT_FOUND; EXISTS: it is no learner. */
static qr_status make_voter(qr_members *members, uint64_t id)
{
    for (uint32_t i = 0; i < members->count; i++) {
        if (members->list[i].id != id)
            continue;
        if (members->list[i].role != QR_ROLE_LEARNER)
            return QR_E_EXISTS;
        members->list[i].role = QR_ROLE_VOTER;
        return QR_OK;
    }
    return QR_E_NOT_FOUND;
}

static qr_status edit(qr_members *members, const qr_change *change)
{
    switch (change->kind) {
    case QR_CHANGE_ADD:
        return change->id == 0
                   ? QR_E_INVALID
                   : qr_members_add(members,
                                    (qr_member){.id = change->id,
                                                .role = change->voter ? QR_ROLE_VOTER : QR_ROLE_LEARNER});
    case QR_CHANGE_PROMOTE: return make_voter(members, change->id);
    case QR_CHANGE_REMOVE:
        if (qr_members_find(members, change->id) == NULL)
            return QR_E_NOT_FOUND;
        take_out(members, change->id);
        return QR_OK;
    case QR_CHANGE_REPLACE:
        if (!is_to_vote(members, change->id))
            return QR_E_NOT_FOUND;
        take_out(members, change->id);
        return make_voter(members, change->id_new);
    }
    return QR_E_INVALID;
}

static bool is_alive(const qr_engine_status *engine, uint64_t id)
{
    const qr_member *member = qr_members_find(&engine->members, id);
    return member != NULL && engine->alive[member - engine->members.list];
}

/* A learner that is to vote must not hold commits up: what it lacks has to fit into about one message. One
 * that replaces a voter takes its place in the very same step, so it must lack nothing that is committed;
 * under load that is a matter of the moment, and the leader waits for it. One whose program is too old for
 * the level in force can't apply what it gets. */
static qr_status is_ready(const qr_node *node, const qr_engine_status *engine, uint64_t id, bool replaces)
{
    uint16_t known = qr_health__knows(node, id);
    if (known != 0 && known < node->level)
        return QR_E_NOT_READY;
    const qr_member *member = qr_members_find(&engine->members, id);
    if (member == NULL || !is_alive(engine, id))
        return QR_E_NOT_READY;
    uint64_t match = engine->match[member - engine->members.list];
    if (match == 0 || match + QR_NODE_CAUGHT_UP_ENTRIES < engine->last_index)
        return QR_E_NOT_READY;
    return replaces && match < engine->commit_index ? QR_E_BUSY : QR_OK;
}

/* Would a majority of these voters be alive, counted with those that are alive now? */
static bool has_quorum(const qr_engine_status *engine, const qr_members *wanted)
{
    uint32_t voters = 0, alive = 0;
    for (uint32_t i = 0; i < wanted->count; i++) {
        voters += wanted->list[i].role == QR_ROLE_VOTER;
        alive += wanted->list[i].role == QR_ROLE_VOTER && is_alive(engine, wanted->list[i].id);
    }
    return voters > 0 && alive > voters / 2;
}

/* A new member never counts before it has caught up, also when it is to vote: adding one takes nothing away.
 */
static bool moves_votes(const qr_members *members, const qr_change *change)
{
    return change->kind != QR_CHANGE_ADD &&
           !(change->kind == QR_CHANGE_REMOVE && has_role(members, change->id, QR_ROLE_LEARNER));
}

static bool are_equal(const qr_members *a, const qr_members *b)
{
    bool equal = a->count == b->count && a->joint == b->joint;
    for (uint32_t i = 0; equal && i < a->count; i++)
        equal = a->list[i].id == b->list[i].id && a->list[i].role == b->list[i].role &&
                a->list[i].incarnation == b->list[i].incarnation &&
                a->list[i].voted_before == b->list[i].voted_before;
    return equal;
}

/* Its vote is granted, and its engine gives it as soon as it may. */
static bool is_on_its_way(const qr_members *members, const qr_change *change)
{
    if (change->kind == QR_CHANGE_PROMOTE)
        return has_role(members, change->id, QR_ROLE_RETURNING);
    return change->kind == QR_CHANGE_REPLACE && qr_members_find(members, change->id) == NULL &&
           has_role(members, change->id_new, QR_ROLE_RETURNING);
}

/* The leader's verdict. OK with an empty *wanted: it has happened already. */
static qr_status judge(qr_node *node, const qr_change *change, bool again, qr_members *wanted)
{
    *wanted = (qr_members){0};
    if (node->role != QR_LEADER)
        return QR_E_NOT_LEADER;
    qr_engine_status engine;
    node->engine->ops->status(node->engine, &engine);
    /* Nothing is judged by a configuration that is in force and not committed yet: it may be this very
     * change. */
    if (node->changes.led.under_way || node->applied_term != node->term || engine.members.joint ||
        !are_equal(&engine.members, &node->changes.applied))
        return QR_E_BUSY;
    if (again && is_done(&engine.members, change))
        return QR_OK;
    if (again && is_on_its_way(&engine.members, change))
        return QR_E_BUSY;
    qr_members edited = engine.members;
    qr_status status = edit(&edited, change);
    if (status != QR_OK)
        return status;
    if (change->kind == QR_CHANGE_PROMOTE)
        status = is_ready(node, &engine, change->id, false);
    else if (change->kind == QR_CHANGE_REPLACE)
        status = is_ready(node, &engine, change->id_new, true);
    if (status == QR_OK && moves_votes(&engine.members, change) && !has_quorum(&engine, &edited))
        status = QR_E_QUORUM;
    if (status != QR_OK)
        return status;
    *wanted = edited;
    return QR_OK;
}

/* ------------------------------------------------------- where it came in ---- */

static void finish(qr_node *node, qr_status status)
{
    if (!node->changes.asked.wanted)
        return;
    node->changes.asked.wanted = false;
    qr_node__answer(node, node->changes.asked.done, node->changes.asked.owner, status, NULL,
                    node->applied_index);
}

static bool comes_again(qr_status status)
{
    return status == QR_E_BUSY || status == QR_E_NOT_LEADER || status == QR_E_NO_LEADER;
}

static bool takes_out(const qr_change *change, uint64_t id)
{
    return change->id == id && (change->kind == QR_CHANGE_REMOVE || change->kind == QR_CHANGE_REPLACE);
}

/* The change that was asked for here takes this very member out. */
static bool goes_itself(const qr_node *node)
{
    return takes_out(&node->changes.asked.change, node->config.self);
}

/* What the leader said. */
static void take_verdict(qr_node *node, uint64_t tag, uint32_t copy, uint64_t term, qr_status status)
{
    qr_change_asked *asked = &node->changes.asked;
    if (!asked->wanted || tag != asked->tag || term != asked->term)
        return;                /* another leader may have judged it otherwise meanwhile */
    if (comes_again(status)) { /* it is asked for again until the deadline */
        /* A leader that is busy has done nothing so far; one that leads no more may have. */
        if (status == QR_E_BUSY && copy == asked->copy) {
            asked->sent = false;
            asked->why = QR_E_BUSY;
        }
        return;
    }
    if (status != QR_OK) {
        finish(node, status);
        return;
    }
    asked->agreed = true;
    /* Whoever is removed may never see it applied. */
    if (goes_itself(node) || is_done(&node->changes.applied, &asked->change))
        finish(node, QR_OK);
}

/* Rises with the boots of a disk, by which old copies are told from new ones. A disk that takes the place of
 * a lost one counts its boots from one again, and a word about what the lost one asked for may still be under
 * way: so some bits of the disk's name stand between. */
static uint64_t next_tag(qr_node *node)
{
    uint64_t disk = qr_hash_mix(node->incarnation, 0) >> (64 - DISK_BITS);
    return (node->boot << QR_BOOT_SHIFT) + (disk << (QR_BOOT_SHIFT - DISK_BITS)) + ++node->changes.next_tag;
}

qr_status qr_change__add(qr_node *node, const qr_request *request, uint64_t deadline_ms)
{
    qr_change_asked *asked = &node->changes.asked;
    if (asked->wanted)
        return QR_E_BUSY;
    *asked = (qr_change_asked){
        .wanted = true,
        .tag = next_tag(node),
        .change = request->change,
        .was_so = is_done(&node->changes.applied, &request->change),
        .deadline_ms = deadline_ms,
        .why = QR_E_NO_LEADER,
        .done = request->done,
        .owner = request->owner,
    };
    return QR_OK;
}

static qr_peer_life *life_of(qr_node *node, uint64_t id)
{
    for (size_t i = 0; i < node->life_count; i++)
        if (node->lives[i].id == id)
            return &node->lives[i];
    return NULL;
}

static void tell_verdict(qr_node *node, uint64_t to, uint64_t tag, uint32_t copy, qr_status status)
{
    qr_peer_life *life = life_of(node, to);
    if (life != NULL && !comes_again(status) && life->change_tag == tag && life->change_term == node->term)
        life->verdict = status;
    if (to == node->config.self) {
        take_verdict(node, tag, copy, node->term, status);
        return;
    }
    qr_buffer *out = qr_envelope__begin(node, QR_ENVELOPE_VERDICT);
    qr_buffer_u64(out, tag);
    qr_buffer_u32(out, copy);
    qr_buffer_u64(out, node->term);
    qr_buffer_u8(out, (uint8_t)status);
    qr_envelope__send(node, to); /* if it is lost, the change is asked for again */
}

void qr_change__verdict(qr_node *node, qr_reader *body)
{
    uint64_t tag = qr_reader_u64(body);
    uint32_t copy = qr_reader_u32(body);
    uint64_t term = qr_reader_u64(body);
    uint8_t status = qr_reader_u8(body);
    if (!body->failed && qr_reader_left(body) == 0 && status < QR_STATUS_COUNT)
        take_verdict(node, tag, copy, term, (qr_status)status);
}

/* ------------------------------------------------------------- the leader ---- */

static void lead(qr_node *node, uint64_t from, uint64_t tag, uint32_t copy, const qr_change *change,
                 bool again)
{
    qr_change_led *led = &node->changes.led;
    if (led->under_way && led->from == from && led->tag == tag) {
        led->copy = copy;
        return; /* is told when it is done */
    }
    qr_members wanted;
    qr_status status = judge(node, change, again, &wanted);
    if (status != QR_OK || wanted.count == 0) {
        tell_verdict(node, from, tag, copy, status);
        return;
    }
    *led = (qr_change_led){.under_way = true, .from = from, .tag = tag, .copy = copy, .change = *change};
    led->engine_tag = ++node->changes.next_tag;
    qr_event event = {.kind = QR_EVENT_MEMBERS, .members = {.wanted = &wanted, .tag = led->engine_tag}};
    qr_node__step(node, &event);
}

void qr_change__refused(qr_node *node, uint64_t tag, qr_status why)
{
    qr_change_led *led = &node->changes.led;
    if (!led->under_way || led->engine_tag != tag)
        return;
    led->under_way = false;
    tell_verdict(node, led->from, led->tag, led->copy,
                 why == QR_E_UNSUPPORTED || why == QR_E_INVALID ? why : QR_E_BUSY);
}

/* To be judged: not an old copy, and not one of what was judged already. */
static bool is_news(qr_node *node, uint64_t from, uint64_t tag, uint32_t copy)
{
    qr_peer_life *life = life_of(node, from);
    if (life == NULL)
        return false; /* of one more than a group may have */
    bool same_term = life->change_term == node->term, same = same_term && life->change_tag == tag;
    if (same_term && (life->change_tag > tag || (same && life->change_copy >= copy)))
        return false;
    life->change_tag = tag;
    life->change_term = node->term;
    life->change_copy = copy;
    if (!same)
        life->verdict = QR_E_BUSY;
    if (life->verdict != QR_E_BUSY)
        tell_verdict(node, from, tag, copy, life->verdict);
    return life->verdict == QR_E_BUSY;
}

/* Which copies came from somebody is forgotten when it goes, so a late one would look new. What it may still
 * ask is whether it is gone; before an entry of the own term is applied, nobody knows: the configuration that
 * the log of the start ended in may be cut off again. */
static bool is_of_a_member(qr_node *node, uint64_t from, uint64_t tag, uint32_t copy, const qr_change *change)
{
    if (qr_members_find(&node->changes.told, from) != NULL)
        return true;
    if (takes_out(change, from) && node->role == QR_LEADER && node->applied_term == node->term &&
        is_done(&node->changes.applied, change))
        tell_verdict(node, from, tag, copy, QR_OK);
    return false;
}

void qr_change__forwarded(qr_node *node, uint64_t from, qr_reader *body)
{
    uint64_t tag = qr_reader_u64(body);
    uint32_t copy = qr_reader_u32(body);
    uint64_t term = qr_reader_u64(body);
    uint8_t flags = qr_reader_u8(body);
    uint8_t kind = qr_reader_u8(body);
    qr_change change = {.kind = (qr_change_kind)kind, .voter = (flags & FLAG_VOTER) != 0};
    change.id = qr_reader_u64(body);
    change.id_new = qr_reader_u64(body);
    bool known = kind >= QR_CHANGE_ADD && kind <= QR_CHANGE_REPLACE && flags <= (FLAG_AGAIN | FLAG_VOTER);
    if (body->failed || qr_reader_left(body) > 0 || !known || term != node->term)
        return;
    if (is_of_a_member(node, from, tag, copy, &change) && is_news(node, from, tag, copy))
        lead(node, from, tag, copy, &change, (flags & FLAG_AGAIN) != 0);
}

static void send_change(qr_node *node, bool again)
{
    const qr_change_asked *asked = &node->changes.asked;
    qr_buffer *out = qr_envelope__begin(node, QR_ENVELOPE_CHANGE);
    qr_buffer_u64(out, asked->tag);
    qr_buffer_u32(out, asked->copy);
    qr_buffer_u64(out, node->term);
    qr_buffer_u8(out, (uint8_t)((again ? FLAG_AGAIN : 0) | (asked->change.voter ? FLAG_VOTER : 0)));
    qr_buffer_u8(out, (uint8_t)asked->change.kind);
    qr_buffer_u64(out, asked->change.id);
    qr_buffer_u64(out, asked->change.id_new);
    if (qr_envelope__send(node, node->leader) == QR_OK)
        node->changes.asked.sent = true;
}

/* To the leader, whoever that is now. */
static void ask(qr_node *node)
{
    qr_change_asked *asked = &node->changes.asked;
    if (!asked->wanted || asked->agreed || node->leader == 0 || node->now_ms < asked->retry_ms)
        return;
    asked->retry_ms = node->now_ms + QR_NODE_CHANGE_RETRY_MS;
    bool again = asked->sent || asked->uncertain;
    asked->copy++;
    asked->term = node->term;
    if (node->leader != node->config.self) {
        send_change(node, again);
        return;
    }
    asked->sent = true; /* a refusal takes it back */
    qr_change change = asked->change;
    lead(node, node->config.self, asked->tag, asked->copy, &change, again);
}

void qr_change__reroute(qr_node *node)
{
    qr_change_asked *asked = &node->changes.asked;
    asked->retry_ms = 0;
    asked->uncertain |= asked->sent;
    asked->sent = false;
    if (node->role != QR_LEADER)
        node->changes.led.under_way = false; /* who asked asks again */
}

/* ---------------------------------------------------- the configurations ---- */

/* The newest configuration of the log, which is not known to be committed: see tell(). */
void qr_change__open(qr_node *node, const qr_engine_status *engine)
{
    node->changes.applied = node->changes.told = engine->members;
    node->changes.applied_at = engine->members_index;
    /* The first members of a group stand in no entry. A joiner knows itself only, as a learner, until the log
     * has told it more: entries from before its time must not look like its removal. */
    node->changes.belonged = has_role(&node->config.members, node->config.self, QR_ROLE_VOTER);
}

void qr_change__applied(qr_node *node, uint64_t index, qr_slice bytes)
{
    qr_reader reader = qr_reader_of(bytes);
    qr_members members;
    if (qr_members_decode(&reader, &members) != QR_OK)
        return; /* no engine commits such an entry */
    qr_changes *changes = &node->changes;
    changes->applied = members;
    changes->applied_at = index;
    changes->news = true;
    if (qr_members_find(&members, node->config.self) != NULL)
        changes->belonged = true;
    else if (changes->belonged && !members.joint)
        changes->removed = true;
    if (changes->led.under_way && is_done(&members, &changes->led.change)) {
        changes->led.under_way = false;
        tell_verdict(node, changes->led.from, changes->led.tag, changes->led.copy, QR_OK);
    }
    qr_change_asked *asked = &changes->asked;
    /* What a member that lags sees come about may be somebody else's doing, long ago: the leader's word
     * counts. But who removes himself may never hear it; and where he does not stand after he did, he was
     * removed, while entries from before his time say nothing. */
    bool is_new = node->caught_up && !asked->was_so && changes->belonged;
    bool may_be_ours = asked->agreed || ((asked->sent || asked->uncertain) && is_new && goes_itself(node));
    if (asked->wanted && may_be_ours && is_done(&members, &asked->change))
        finish(node, QR_OK);
}

void qr_change__jumped(qr_node *node)
{
    qr_engine_status engine;
    node->engine->ops->status(node->engine, &engine);
    node->changes.applied = engine.members;
    node->changes.applied_at = engine.members_index;
    node->changes.news = true;
    if (qr_members_find(&engine.members, node->config.self) != NULL)
        node->changes.belonged = true;
    const qr_change_asked *asked = &node->changes.asked;
    if (asked->wanted && asked->agreed && is_done(&engine.members, &asked->change))
        finish(node, QR_OK); /* its entry is inside the checkpoint */
}

/* The newest disks that spoke for members that are gone need no watching any more. */
static void forget_lives(qr_node *node, const qr_members *members)
{
    size_t kept = 0;
    for (size_t i = 0; i < node->life_count; i++)
        if (qr_members_find(members, node->lives[i].id) != NULL)
            node->lives[kept++] = node->lives[i];
    node->life_count = kept;
}

static void tell(qr_node *node)
{
    qr_changes *changes = &node->changes;
    qr_engine_status engine;
    node->engine->ops->status(node->engine, &engine);
    qr_lease__voter(node, &engine.members);
    if (engine.members_index < changes->applied_at) { /* the log of the start ended in one that was cut off */
        changes->applied = engine.members;
        changes->applied_at = engine.members_index;
    }
    if (!changes->news && are_equal(&engine.members, &changes->told))
        return;
    changes->news = false;
    changes->told = engine.members;
    forget_lives(node, &engine.members);
    if (node->config.reconfigured != NULL)
        node->config.reconfigured(node->config.context, &changes->told, changes->removed);
}

const qr_members *qr_node_members_applied(const qr_node *node)
{
    return node->caught_up ? &node->changes.applied : NULL;
}

/* ------------------------------------------------------------------ turns ---- */

void qr_change__turn(qr_node *node)
{
    ask(node);
    tell(node);
}

uint64_t qr_change__wake_ms(const qr_node *node)
{
    const qr_change_asked *asked = &node->changes.asked;
    return asked->wanted && !asked->agreed && node->leader != 0 ? asked->retry_ms : UINT64_MAX;
}

void qr_change__sweep(qr_node *node)
{
    const qr_change_asked *asked = &node->changes.asked;
    if (!asked->wanted || node->now_ms < asked->deadline_ms)
        return;
    if (asked->agreed) /* it is done, though this member has not seen it yet */
        finish(node, QR_OK);
    else
        finish(node, asked->sent || asked->uncertain ? QR_E_TIMEOUT : asked->why);
}

void qr_change__finish(qr_node *node, qr_status status)
{
    finish(node, status);
}

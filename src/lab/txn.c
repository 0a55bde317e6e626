/* txn: a transaction over several groups, each of which is replicated (doc/design/groups.md; the real one is
 * src/group, tried by `quorate sim --groups`). Two phases whose coordinator may die at any moment: everything
 * that a decision needs stands in the groups, and whoever meets a lock may ask the home group, and end the
 * transaction there unless it is committed.
 *
 * A group is one process here: a log that a majority of its members agrees on, which is other protocols'
 * matter
 * (`raft`, `paxos`). Its members may die one by one; it answers while more than half of them are left. Each
 * host has one transaction, which writes the host's name into the one key of every group. */
#include "lab/protocols.h"

enum { HOST, GROUP };
enum {
    LOCK,
    LOCKED,
    TAKEN,
    DECIDE,
    DECIDED,
    REFUSED,
    APPLY,
    CLEAR,
    DONE,
    ASK,
    STANDS,
    PUSH,
    FORGET,
    LOOK,
    FREE
};
enum { PATIENCE, VARIANT };
enum { ENDS, ENDLESS };
enum { CORRECT, DECIDES_BLIND, PUSHES_BLIND, ASSUMES_ABORT, FORGETS_EARLY };
enum step { IDLE, LOCKING, DECIDING, APPLYING, FORGETTING, RELEASING, SWEEPING, OVER };
enum errand { NONE, ASKING, WAITING, PUSHING, CLEARING };
enum { NOT_TOLD, COMMITTED, ABORTED };
enum { UNDECIDED, IS_COMMITTED, IS_ABORTED };
enum { HOSTS_MAX = 4, GROUPS_MAX = 3, MEMBERS = 3 };

typedef struct lock {
    uint8_t holder;   /* host, from 1; 0 = free */
    uint8_t revision; /* never given twice in a group */
    uint8_t primary;  /* revision of its transaction's lock in the home group */
} lock;

typedef struct record {
    uint8_t stands;
    uint8_t revisions[GROUPS_MAX]; /* of the locks */
} record;

typedef struct host {
    uint8_t step, at; /* which group the step is about */
    uint8_t told;     /* how its transaction ended */
    uint8_t errand, met_at;
    uint8_t revisions[GROUPS_MAX];
    lock met; /* in the way */
} host;

typedef struct group {
    uint8_t members; /* that are up */
    uint8_t counter; /* of revisions */
    uint8_t value;   /* host, from 1, whose transaction wrote last */
    lock lock;
    record records[HOSTS_MAX]; /* the home group's */
} group;

typedef union state {
    host host;
    group group;
} state;

typedef struct message {
    qr_lab_message head;
    uint8_t holder; /* whose transaction it is about, from 1 */
    uint8_t revision, primary;
    uint8_t standing;
    uint8_t revisions[GROUPS_MAX];
    uint8_t zero;
} message;

typedef struct shared {
    uint8_t committed, dropped; /* sets of hosts: a record was written; a lock went without its value */
} shared;

static int variant_of(const qr_lab_world *world)
{
    return qr_lab_parameter_of(world, VARIANT);
}

static unsigned group_count(const qr_lab_world *world)
{
    return qr_lab_count(world, GROUP);
}

static message new_message(const qr_lab_world *world, unsigned kind, unsigned self, uint8_t holder,
                           uint8_t revision)
{
    message m;
    qr_lab_message_of(world, &m.head, kind, self);
    m.holder = holder;
    m.revision = revision;
    return m;
}

static void send(qr_lab_world *world, message *m, unsigned at)
{
    qr_lab_send(world, &m->head, qr_lab_first(world, GROUP) + at);
}

/* ---------------------------------------------------------------- hosts ---- */

static uint8_t name_of(unsigned self)
{
    return (uint8_t)(self + 1); /* hosts come first */
}

/* What the step asks of the group it is at. */
static void ask_step(qr_lab_world *world, unsigned self)
{
    static const uint8_t kinds_of[] = {[LOCKING] = LOCK,      [DECIDING] = DECIDE, [APPLYING] = APPLY,
                                       [FORGETTING] = FORGET, [RELEASING] = CLEAR, [SWEEPING] = LOOK};
    host *h = qr_lab_state(world, self);
    message m = new_message(world, kinds_of[h->step], self, name_of(self), h->revisions[h->at]);
    m.primary = h->revisions[0];
    memcpy(m.revisions, h->revisions, sizeof m.revisions);
    send(world, &m, h->at);
}

static void go(qr_lab_world *world, unsigned self, enum step step, uint8_t at)
{
    host *h = qr_lab_state(world, self);
    h->step = (uint8_t)step;
    h->at = at;
    h->errand = NONE;
    if (step != OVER)
        ask_step(world, self);
}

static void ask_about_met(qr_lab_world *world, unsigned self, unsigned kind)
{
    host *h = qr_lab_state(world, self);
    h->errand = kind == ASK ? ASKING : PUSHING;
    message m =
        new_message(world, kind, self, h->met.holder, h->met_at == 0 ? h->met.revision : h->met.primary);
    send(world, &m, 0);
}

static void clear_met(qr_lab_world *world, unsigned self, unsigned kind)
{
    host *h = qr_lab_state(world, self);
    h->errand = CLEARING;
    message m = new_message(world, kind, self, h->met.holder, h->met.revision);
    send(world, &m, h->met_at);
}

static void take_standing(qr_lab_world *world, unsigned self, const message *m)
{
    host *h = qr_lab_state(world, self);
    bool assumes = variant_of(world) == ASSUMES_ABORT && h->met_at > 0;
    if (m->standing == IS_COMMITTED)
        clear_met(world, self, m->revisions[h->met_at] == h->met.revision ? APPLY : CLEAR);
    else if (m->standing == IS_ABORTED || assumes)
        clear_met(world, self, CLEAR);
    else {
        h->errand = WAITING;
        qr_lab_say(world, self, "waits for %s", qr_lab_name_of(world, h->met.holder - 1u).text);
    }
}

static void take_done(qr_lab_world *world, unsigned self)
{
    host *h = qr_lab_state(world, self);
    uint8_t next = (uint8_t)(h->at + 1);
    bool last = next == group_count(world);
    if (h->errand == PUSHING)
        ask_about_met(world, self, ASK); /* whoever was first: what is the word now? */
    else if (h->errand == CLEARING)
        go(world, self, (enum step)h->step, h->at); /* what it wanted before */
    else if (h->step == APPLYING && (last || variant_of(world) == FORGETS_EARLY))
        go(world, self, FORGETTING, 0);
    else if (h->step == FORGETTING || last)
        go(world, self, OVER, 0);
    else
        go(world, self, (enum step)h->step, next);
}

static void host_receive(qr_lab_world *world, unsigned self, const message *m)
{
    host *h = qr_lab_state(world, self);
    switch (m->head.kind) {
    case LOCKED:
        h->revisions[h->at] = m->revision;
        if (h->at + 1u < group_count(world))
            go(world, self, LOCKING, (uint8_t)(h->at + 1));
        else
            go(world, self, DECIDING, 0);
        break;
    case TAKEN:
        h->met = (lock){m->holder, m->revision, m->primary};
        h->met_at = h->at;
        ask_about_met(world, self, ASK);
        break;
    case DECIDED:
        h->told = COMMITTED;
        go(world, self, APPLYING, 0);
        break;
    case REFUSED:
        h->told = ABORTED;
        go(world, self, RELEASING, 0);
        break;
    case STANDS: take_standing(world, self, m); break;
    case FREE: /* nothing was left behind there */
    default: take_done(world, self);
    }
}

/* --------------------------------------------------------------- groups ---- */

static void drop_lock(qr_lab_world *world, group *g)
{
    ((shared *)qr_lab_shared(world))->dropped |= (uint8_t)(1u << (g->lock.holder - 1));
    g->lock = (lock){0};
}

static bool has_lock(const group *g, const message *m)
{
    return g->lock.holder != 0 && g->lock.holder == m->holder && g->lock.revision == m->revision;
}

static void decide(qr_lab_world *world, group *g, const message *m, message *reply)
{
    record *r = &g->records[m->holder - 1];
    bool good = (has_lock(g, m) || variant_of(world) == DECIDES_BLIND) && !r->stands;
    reply->head.kind = good ? DECIDED : REFUSED;
    if (!good)
        return;
    r->stands = 1;
    memcpy(r->revisions, m->revisions, sizeof r->revisions);
    ((shared *)qr_lab_shared(world))->committed |= (uint8_t)(1u << (m->holder - 1));
}

static void put_standing(const group *g, const message *m, message *reply)
{
    const record *r = &g->records[m->holder - 1];
    reply->head.kind = STANDS;
    reply->standing = r->stands ? IS_COMMITTED : has_lock(g, m) ? UNDECIDED : IS_ABORTED;
    memcpy(reply->revisions, r->revisions, sizeof reply->revisions);
}

/* Every command is one entry of the group's log. */
static void group_receive(qr_lab_world *world, unsigned self, const message *m)
{
    group *g = qr_lab_state(world, self);
    message reply = new_message(world, DONE, self, m->holder, m->revision);
    if (g->members * 2 <= MEMBERS) {
        qr_lab_say(world, self, "has no majority left, and cannot answer");
        return;
    }
    switch (m->head.kind) {
    case LOCK:
    case LOOK:
        if (g->lock.holder == 0 && m->head.kind == LOCK) {
            g->lock = (lock){m->holder, ++g->counter, m->primary};
            reply.head.kind = LOCKED;
        } else
            reply.head.kind = g->lock.holder ? TAKEN : FREE;
        reply.holder = g->lock.holder;
        reply.revision = g->lock.revision;
        reply.primary = g->lock.primary;
        break;
    case DECIDE: decide(world, g, m, &reply); break;
    case APPLY:
        if (has_lock(g, m)) {
            g->value = m->holder;
            g->lock = (lock){0};
        }
        break;
    case CLEAR:
        if (has_lock(g, m))
            drop_lock(world, g);
        break;
    case PUSH:
        if (has_lock(g, m) && (!g->records[m->holder - 1].stands || variant_of(world) == PUSHES_BLIND))
            drop_lock(world, g);
        break;
    case ASK: put_standing(g, m, &reply); break;
    default: g->records[m->holder - 1] = (record){0}; break; /* FORGET */
    }
    qr_lab_send(world, &reply.head, m->head.from);
}

static void receive(qr_lab_world *world, unsigned self, const qr_lab_message *head)
{
    const message *m = (const message *)(const void *)head;
    if (qr_lab_role_of(world, self) == HOST)
        host_receive(world, self, m);
    else
        group_receive(world, self, m);
}

/* --------------------------------------------------------------- events ---- */

static const host *host_of(const qr_lab_world *world, unsigned self)
{
    return qr_lab_role_of(world, self) == HOST ? qr_lab_state(world, self) : NULL;
}

static bool may_begin(const qr_lab_world *world, unsigned self)
{
    const host *h = host_of(world, self);
    return h != NULL && h->step == IDLE;
}

static bool begin(qr_lab_world *world, unsigned self, const qr_lab_words *arguments)
{
    if (!may_begin(world, self) || arguments->count)
        return false;
    go(world, self, LOCKING, 0);
    return true;
}

static bool may_push(const qr_lab_world *world, unsigned self)
{
    const host *h = host_of(world, self);
    return h != NULL && h->errand == WAITING && qr_lab_parameter_of(world, PATIENCE) == ENDS;
}

static bool push(qr_lab_world *world, unsigned self, const qr_lab_words *arguments)
{
    if (!may_push(world, self) || arguments->count)
        return false;
    ask_about_met(world, self, PUSH);
    return true;
}

/* It would find another answer: what it met is gone, or decided. */
static bool may_look(const qr_lab_world *world, unsigned self)
{
    const host *h = host_of(world, self);
    if (h == NULL || h->errand != WAITING)
        return false;
    const group *home = qr_lab_state(world, qr_lab_first(world, GROUP));
    const group *g = qr_lab_state(world, qr_lab_first(world, GROUP) + h->met_at);
    return g->lock.holder != h->met.holder || home->records[h->met.holder - 1].stands;
}

static bool look(qr_lab_world *world, unsigned self, const qr_lab_words *arguments)
{
    const host *h = host_of(world, self);
    if (h == NULL || h->errand != WAITING || arguments->count)
        return false;
    go(world, self, (enum step)h->step, h->at);
    return true;
}

static unsigned locks_left(const qr_lab_world *world)
{
    unsigned left = 0;
    for (unsigned i = 0; i < group_count(world); i++)
        left += ((const group *)qr_lab_state(world, qr_lab_first(world, GROUP) + i))->lock.holder != 0;
    return left;
}

static bool may_sweep(const qr_lab_world *world, unsigned self)
{
    const host *h = host_of(world, self);
    return h != NULL && h->step == OVER && locks_left(world) > 0;
}

static bool sweep(qr_lab_world *world, unsigned self, const qr_lab_words *arguments)
{
    const host *h = host_of(world, self);
    if (h == NULL || (h->step != OVER && h->step != IDLE) || arguments->count)
        return false;
    go(world, self, SWEEPING, 0);
    return true;
}

static bool lose(qr_lab_world *world, unsigned self, const qr_lab_words *arguments)
{
    group *g = qr_lab_state(world, self);
    if (qr_lab_role_of(world, self) != GROUP || g->members == 0 || arguments->count)
        return false;
    g->members--;
    qr_lab_say(world, self, "goes on with %u of %u members, and all that was committed", g->members, MEMBERS);
    return true;
}

/* ------------------------------------------------------------ what is seen ---- */

static const char *start(qr_lab_world *world)
{
    for (unsigned i = 0; i < group_count(world); i++)
        ((group *)qr_lab_state(world, qr_lab_first(world, GROUP) + i))->members = MEMBERS;
    return qr_lab_count(world, HOST) && group_count(world) ? NULL : "hosts and groups";
}

/* Hosts that are up and whose transaction has not ended. */
static unsigned waiting(const qr_lab_world *world)
{
    unsigned count = 0;
    for (unsigned i = 0; i < qr_lab_count(world, HOST); i++) {
        const host *h = qr_lab_state(world, i);
        count += qr_lab_up(world, i) && h->step != IDLE && h->step != OVER;
    }
    return count;
}

static const char *check(const qr_lab_world *world)
{
    const shared *all = qr_lab_shared(world);
    return all->committed & all->dropped ? "atomicity" : NULL;
}

static const char *const kinds[] = {"lock",   "locked", "taken", "decide", "decided", "refused",
                                    "apply",  "clear",  "done",  "ask",    "stands",  "push",
                                    "forget", "look",   "free",  NULL};
static const char *const told_words[] = {"nothing", "committed", "aborted"};

static void describe(const qr_lab_world *world, unsigned self, qr_buffer *out)
{
    static const char *const steps[] = {"has not begun", "locks",    "decides", "applies",
                                        "forgets",       "releases", "sweeps",  "has ended"};
    const state *s = qr_lab_state(world, self);
    if (qr_lab_role_of(world, self) == HOST) {
        qr_buffer_format(out, "%s", steps[s->host.step]);
        if (s->host.told)
            qr_buffer_format(out, ", %s", told_words[s->host.told]);
        return;
    }
    unsigned nobody = QR_LAB_NOBODY;
    qr_buffer_format(out, "value of %s",
                     qr_lab_name_of(world, s->group.value ? s->group.value - 1u : nobody).text);
    if (s->group.lock.holder)
        qr_buffer_format(out, ", locked by %s at revision %u",
                         qr_lab_name_of(world, s->group.lock.holder - 1u).text, s->group.lock.revision);
    for (unsigned i = 0; i < qr_lab_count(world, HOST); i++)
        if (s->group.records[i].stands)
            qr_buffer_format(out, ", record of %s", qr_lab_name_of(world, i).text);
}

static void describe_message(const qr_lab_world *world, const qr_lab_message *head, qr_buffer *out)
{
    static const char *const standings[] = {"undecided", "committed", "aborted"};
    const message *m = (const message *)(const void *)head;
    qr_buffer_format(out, "%s", kinds[head->kind]);
    if (m->holder)
        qr_buffer_format(out, "(of:%s", qr_lab_name_of(world, m->holder - 1u).text);
    if (m->holder && m->revision)
        qr_buffer_format(out, ",lock:%u", m->revision);
    if (head->kind == STANDS)
        qr_buffer_format(out, ",%s", standings[m->standing]);
    if (m->holder)
        qr_buffer_format(out, ")");
}

static void outcome(const qr_lab_world *world, qr_buffer *out)
{
    for (unsigned i = 0; i < qr_lab_count(world, HOST); i++) {
        const host *h = qr_lab_state(world, i);
        qr_buffer_format(out, "%s,", qr_lab_up(world, i) ? told_words[h->told] : "dead");
    }
    qr_buffer_format(out, "waiting=%u", waiting(world));
}

static bool observe(const qr_lab_world *world, unsigned self, qr_slice name, qr_buffer *out)
{
    if (self == QR_LAB_NOBODY) {
        if (qr_lab_word_is(name, "waiting"))
            qr_buffer_format(out, "%u", waiting(world));
        else if (qr_lab_word_is(name, "locks"))
            qr_buffer_format(out, "%u", locks_left(world));
        return out->size > 0;
    }
    const state *s = qr_lab_state(world, self);
    bool is_host = qr_lab_role_of(world, self) == HOST;
    if (is_host && qr_lab_word_is(name, "told"))
        qr_buffer_format(out, "%s", told_words[s->host.told]);
    else if (!is_host && qr_lab_word_is(name, "value"))
        qr_buffer_format(out, "%s", s->group.value ? qr_lab_name_of(world, s->group.value - 1u).text : "-");
    else if (!is_host && qr_lab_word_is(name, "lock"))
        qr_buffer_format(out, "%s",
                         s->group.lock.holder ? qr_lab_name_of(world, s->group.lock.holder - 1u).text : "-");
    return out->size > 0;
}

static const qr_lab_parameter parameters[] = {
    [PATIENCE] = {"patience", "ends|endless", ENDS, 0, 0,
                  "whether somebody who waits for a lock may end its transaction: without, these are two "
                  "phases as ever"},
    [VARIANT] =
        {"variant", "correct|decides-blind|pushes-blind|assumes-abort|forgets-early", CORRECT, 0, 0,
         "the mistake: commits without looking at its own lock; ends what may be committed; takes what is "
         "undecided for aborted; deletes the record when one group has applied it"},
    {0},
};

static const qr_lab_event events[] = {
    {"begin", "a host begins its transaction", may_begin, begin},
    {"look", "who waits for a lock asks for it again", may_look, look},
    {"push", "who waits for a lock ends its transaction, if it is not committed", may_push, push},
    {"sweep", "a host with nothing else to do looks for what was left behind", may_sweep, sweep},
    {"lose", "a member of a group dies", NULL, lose},
    {0},
};

const qr_lab_protocol qr_lab_txn = {
    .name = "txn",
    .title = "a transaction over several replicated groups",
    .roles = {{"host", "h", 2, HOSTS_MAX}, {"group", "g", 2, GROUPS_MAX}},
    .parameters = parameters,
    .events = events,
    .kinds = kinds,
    .state_size = sizeof(state),
    .message_size = sizeof(message),
    .shared_size = sizeof(shared),
    .start = start,
    .receive = receive,
    .describe = describe,
    .describe_message = describe_message,
    .check = check,
    .outcome = outcome,
    .observe = observe,
};

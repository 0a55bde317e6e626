/* stage_raft: members of the real engine (raft/raft.h) on the stage of the laboratory. What is shown is the
 * code that serves clients: its messages, its log, its disk records. Section numbers are those of Ongaro and
 * Ousterhout, 2014.
 *
 * Each member has a clock of its own, which moves when a schedule says `timeout` (to the next moment at which
 * the engine wants to be waked) or `wait`. Disks are fast: what is written in a turn is durable at its end.
 * Nobody is told that a connection broke, so whoever notices a death does so by a timeout. */
#include <stdio.h>

#include "lab/protocols.h"
#include "raft/message.h"
#include "raft/raft.h"

enum { MEMBERS_MAX = 7, TERMS_MAX = 256, INDEX_MAX = 4096, HEARTBEAT_MS = 100, ELECTION_MS = 1000 };
enum { VARIANT };
enum { CORRECT, LYING_DISK };

typedef struct record {
    qr_buffer bytes;
    bool preset;
} record;

typedef struct member {
    qr_engine *engine; /* NULL while it is down; all else is owned as well */
    qr_effects effects;
    qr_trace trace;
    qr_buffer brief; /* of an empty log */
    record *records;
    size_t record_count;
    uint64_t now_ms, life, ticket;
    uint64_t applied;
    qr_engine_role role;
    uint64_t appends; /* messages with which leaders have looked for the place where the logs agree */
    bool agreed;
} member;

typedef struct state {
    member *member; /* owned by the stage */
} state;

typedef struct message {
    qr_lab_message head;
    uint16_t zero;
    uint32_t number; /* of its bytes in the stage */
} message;

typedef struct stage {
    qr_lab_world *world; /* of the step that is under way */
    member members[MEMBERS_MAX];
    qr_buffer *sent; /* bytes of every message ever sent */
    size_t sent_count, sent_room;
    uint64_t leader_of_term[TERMS_MAX];
    uint64_t committed[INDEX_MAX]; /* hash of the entry; 0 = not yet */
    uint64_t committed_term[INDEX_MAX];
    uint64_t committed_max;
    const char *violation;
} stage;

typedef struct ear { /* a member's trace speaks through it */
    stage *all;
    unsigned self;
} ear;

static const char *const roles[] = {"follower", "pre-candidate", "candidate", "leader", "learner"};

static stage *stage_of(const qr_lab_world *world)
{
    return world->own;
}

static member *member_of(const qr_lab_world *world, unsigned self)
{
    return &stage_of(world)->members[self];
}

static void broken(stage *all, const char *property)
{
    all->violation = all->violation ? all->violation : property;
}

/* -------------------------------------------------------------- oracle ---- */

static uint64_t entry_hash(uint64_t index, uint64_t term, qr_entry_kind kind, qr_slice bytes)
{
    return qr_hash_mix(qr_hash_mix(qr_hash(bytes, kind), index), term) | 1;
}

/* 5.2, election safety; 5.4, leader completeness. */
static void note_leader(qr_lab_world *world, unsigned self, uint64_t term)
{
    stage *all = stage_of(world);
    member *m = member_of(world, self);
    if (term >= TERMS_MAX)
        return;
    if (all->leader_of_term[term] && all->leader_of_term[term] != self + 1)
        broken(all, "election-safety");
    all->leader_of_term[term] = self + 1;
    for (uint64_t i = 1; i <= all->committed_max; i++) {
        qr_entry_kind kind;
        qr_slice bytes;
        uint64_t own = m->engine->ops->entry(m->engine, i, &kind, &bytes);
        if (all->committed_term[i] < term &&
            (own == 0 || entry_hash(i, own, kind, bytes) != all->committed[i]))
            broken(all, "leader-completeness");
    }
}

/* 5.4.3, state machine safety. */
static void note_commit(qr_lab_world *world, unsigned self, const qr_effect *effect)
{
    stage *all = stage_of(world);
    uint64_t index = effect->commit.index, term = effect->commit.term;
    if (index >= INDEX_MAX) {
        broken(all, "bound-on-entries");
        return;
    }
    uint64_t hash = entry_hash(index, term, effect->commit.kind, effect->commit.bytes);
    if (all->committed[index] && all->committed[index] != hash)
        broken(all, "state-machine-safety");
    all->committed[index] = hash;
    all->committed_term[index] = term;
    all->committed_max = index > all->committed_max ? index : all->committed_max;
    member_of(world, self)->applied = index;
    if (effect->commit.kind == QR_ENTRY_COMMAND)
        qr_lab_say(world, self, "applies entry %llu: %.*s", (unsigned long long)index,
                   (int)effect->commit.bytes.size, (const char *)effect->commit.bytes.data);
}

/* 5.3, log matching: equal at an index, equal below. */
static void check_matching(const qr_lab_world *world, const member *m, const member *n)
{
    bool agreed = false;
    qr_engine_status a, b;
    m->engine->ops->status(m->engine, &a);
    n->engine->ops->status(n->engine, &b);
    for (uint64_t i = a.last_index < b.last_index ? a.last_index : b.last_index; i > 0; i--) {
        qr_entry_kind k, l;
        qr_slice p, q;
        uint64_t s = m->engine->ops->entry(m->engine, i, &k, &p);
        uint64_t t = n->engine->ops->entry(n->engine, i, &l, &q);
        if ((s == t && (k != l || !qr_slice_equal(p, q))) || (agreed && s != t))
            broken(stage_of(world), "log-matching");
        agreed = agreed || s == t;
    }
}

static const char *check(const qr_lab_world *world)
{
    for (unsigned i = 0; i < world->setting->count; i++)
        for (unsigned k = 0; k < i; k++)
            if (member_of(world, i)->engine && member_of(world, k)->engine)
                check_matching(world, member_of(world, i), member_of(world, k));
    return stage_of(world)->violation;
}

/* ------------------------------------------------------------- effects ---- */

static void keep_record(member *m, qr_slice bytes, bool preset)
{
    m->records = qr_realloc(m->records, (m->record_count + 1) * sizeof *m->records);
    m->records[m->record_count] = (record){.preset = preset};
    qr_buffer_add_slice(&m->records[m->record_count++].bytes, bytes);
}

static void send(qr_lab_world *world, unsigned self, unsigned to, qr_slice bytes)
{
    stage *all = stage_of(world);
    qr_raft_message content;
    qr_status status = qr_raft_message_decode(bytes, &content);
    QR_CHECK(status == QR_OK, "the engine sends something malformed");
    member *asked = member_of(world, to), *answers = member_of(world, self);
    asked->appends += content.kind == QR_RAFT_APPEND && !asked->agreed;
    answers->agreed |= content.kind == QR_RAFT_APPEND_ANSWER && !(content.flags & QR_RAFT_REJECTED);
    if (all->sent_count == all->sent_room) {
        all->sent_room = all->sent_room ? 2 * all->sent_room : 64;
        all->sent = qr_realloc(all->sent, all->sent_room * sizeof *all->sent);
    }
    all->sent[all->sent_count] = (qr_buffer){0};
    qr_buffer_add_slice(&all->sent[all->sent_count], bytes);
    message m;
    qr_lab_message_of(world, &m.head, content.kind, self);
    m.number = (uint32_t)all->sent_count++;
    qr_lab_send(world, &m.head, to);
}

static void refused(qr_lab_world *world, unsigned self, const qr_effect *effect)
{
    if (effect->refuse.what == QR_EVENT_PROPOSE)
        qr_lab_say(world, self, "refuses: %s", qr_status_sentence(effect->refuse.why));
}

/* All that it writes in a step is on disk before anything is sent, so each `after` is kept. The ticket that
 * is durable now; 0: nothing was written. */
static uint64_t step(qr_lab_world *world, unsigned self, qr_event event)
{
    member *m = member_of(world, self);
    uint64_t ticket = 0;
    event.now_ms = m->trace.now_ms = m->now_ms;
    qr_effects_clear(&m->effects);
    m->engine->ops->step(m->engine, &event, &m->effects);
    for (size_t i = 0; i < m->effects.count; i++)
        if (m->effects.list[i].kind == QR_EFFECT_PERSIST) {
            keep_record(m, m->effects.list[i].persist.record, false);
            ticket = m->effects.list[i].persist.ticket;
        }
    for (size_t i = 0; i < m->effects.count; i++) {
        const qr_effect *effect = &m->effects.list[i];
        switch (effect->kind) {
        case QR_EFFECT_SEND: send(world, self, (unsigned)effect->send.to - 1, effect->send.bytes); break;
        case QR_EFFECT_COMMIT: note_commit(world, self, effect); break;
        case QR_EFFECT_REFUSE: refused(world, self, effect); break;
        case QR_EFFECT_ROLE:
            m->role = effect->role.role;
            if (m->role == QR_LEADER)
                note_leader(world, self, effect->role.term);
            break;
        default: break; /* no reads, no checkpoints, and no log too long for memory */
        }
    }
    return ticket;
}

/* An event and the TICK that ends its turn; then turns for the disk, until it has nothing more to do. */
static void turn(qr_lab_world *world, unsigned self, qr_event event)
{
    stage_of(world)->world = world;
    uint64_t ticket = step(world, self, event), later = 0;
    if (event.kind != QR_EVENT_TICK)
        later = step(world, self, (qr_event){.kind = QR_EVENT_TICK});
    for (ticket = later ? later : ticket; ticket; ticket = later ? later : ticket) {
        ticket = step(world, self, (qr_event){.kind = QR_EVENT_DURABLE, .durable = {.ticket = ticket}});
        later = step(world, self, (qr_event){.kind = QR_EVENT_TICK});
    }
    const char *own = member_of(world, self)->engine->ops->broken(member_of(world, self)->engine);
    if (own)
        broken(stage_of(world), own);
}

static void receive(qr_lab_world *world, unsigned self, const qr_lab_message *head)
{
    const message *m = (const message *)(const void *)head;
    turn(world, self,
         (qr_event){.kind = QR_EVENT_RECV,
                    .recv = {.from = head->from + 1u,
                             .incarnation = 1,
                             .bytes = qr_buffer_slice(&stage_of(world)->sent[m->number])}});
}

/* --------------------------------------------------------------- lives ---- */

static const char *name_of(void *context, uint64_t id)
{
    static const char *const names[MEMBERS_MAX + 1] = {"nobody", "n1", "n2", "n3", "n4", "n5", "n6", "n7"};
    return id <= MEMBERS_MAX ? names[id] : "a stranger";
}

static void hear(void *context, const qr_trace_record *told)
{
    const ear *e = context;
    qr_lab_world *world = e->all->world;
    if (world == NULL || world->ear == NULL)
        return;
    qr_buffer line = {0};
    switch (told->kind) {
    case QR_TRACE_LINK:
    case QR_TRACE_COMMIT:
    case QR_TRACE_DURABLE:
    case QR_TRACE_MEMBERS: return; /* told otherwise, or no news here */
    case QR_TRACE_ROLE:
        qr_buffer_format(&line, "is %s in term %d, leader %s", roles[told->number[1]], (int)told->number[0],
                         name_of(NULL, told->number[2]));
        break;
    default: qr_trace_say(told, name_of, NULL, &line); break;
    }
    qr_lab_say(world, e->self, "%.*s", (int)line.size, (const char *)line.data);
    qr_buffer_free(&line);
}

static void boot(qr_lab_world *world, unsigned self)
{
    member *m = member_of(world, self);
    qr_engine_config config = {.self = self + 1u,
                               .incarnation = 1,
                               .seed = world->setting->seed * 1000 + self * 100 + m->life++,
                               .heartbeat_ms = HEARTBEAT_MS,
                               .election_ms = ELECTION_MS,
                               .now_ms = m->now_ms,
                               .trace = &m->trace};
    for (unsigned i = 0; i < world->setting->count; i++)
        qr_members_add(&config.members, (qr_member){.id = i + 1u, .incarnation = 1, .role = QR_ROLE_VOTER});
    qr_trace_init(&m->trace, 0);
    ear *e = qr_alloc(sizeof *e);
    *e = (ear){stage_of(world), self};
    m->trace.context = e;
    m->trace.sink = hear;
    m->engine = qr_raft.open(&config);
    m->role = QR_FOLLOWER;
    m->applied = 0;
    if (m->brief.size == 0)
        m->engine->ops->brief(m->engine, &m->brief);
    for (size_t i = 0; i < m->record_count; i++) {
        if (i == 0)
            QR_ASSERT(m->engine->ops->recall(m->engine, qr_buffer_slice(&m->brief), true) == QR_OK);
        QR_ASSERT(m->engine->ops->recall(m->engine, qr_buffer_slice(&m->records[i].bytes), false) == QR_OK);
    }
}

static void halt(member *m)
{
    if (m->engine == NULL)
        return;
    m->engine->ops->free(m->engine);
    m->engine = NULL;
    qr_free(m->trace.context);
    qr_trace_free(&m->trace);
}

static void link_up(qr_lab_world *world, unsigned self, unsigned peer)
{
    turn(world, self, (qr_event){.kind = QR_EVENT_LINK, .link = {.peer = peer + 1u, .up = true}});
}

static const char *start(qr_lab_world *world)
{
    world->own = qr_alloc_zero(1, sizeof(stage));
    for (unsigned i = 0; i < world->setting->count; i++) {
        ((state *)qr_lab_state(world, i))->member = member_of(world, i);
        member_of(world, i)->now_ms = 1000;
        qr_effects_init(&member_of(world, i)->effects);
        boot(world, i);
    }
    for (unsigned i = 0; i < world->setting->count; i++)
        for (unsigned k = 0; k < world->setting->count; k++)
            if (i != k)
                link_up(world, i, k);
    return NULL;
}

static void crash(qr_lab_world *world, unsigned self)
{
    member *m = member_of(world, self);
    halt(m);
    size_t kept = 0;
    for (size_t i = 0; i < m->record_count; i++)
        if (m->records[i].preset || qr_lab_parameter_of(world, VARIANT) != LYING_DISK)
            m->records[kept++] = m->records[i];
        else
            qr_buffer_free(&m->records[i].bytes);
    m->record_count = kept;
}

static void restart(qr_lab_world *world, unsigned self)
{
    stage_of(world)->world = world;
    boot(world, self);
    for (unsigned i = 0; i < world->setting->count; i++)
        if (i != self && member_of(world, i)->engine) {
            link_up(world, self, i);
            link_up(world, i, self);
        }
}

static void finish(qr_lab_world *world)
{
    stage *all = stage_of(world);
    for (unsigned i = 0; all && i < MEMBERS_MAX; i++) {
        member *m = &all->members[i];
        halt(m);
        for (size_t k = 0; k < m->record_count; k++)
            qr_buffer_free(&m->records[k].bytes);
        qr_free(m->records);
        qr_buffer_free(&m->brief);
        qr_effects_free(&m->effects);
    }
    for (size_t i = 0; all && i < all->sent_count; i++)
        qr_buffer_free(&all->sent[i]);
    qr_free(all ? all->sent : NULL);
    qr_free(all);
    world->own = NULL;
}

/* -------------------------------------------------------------- events ---- */

/* preset TERM TERM-OF-ENTRY...: it wakes up in this term with a log of such entries on its disk (the form of
 * the record is in doc/formats/peer.md). */
static bool preset(qr_lab_world *world, unsigned self, const qr_lab_words *arguments)
{
    member *m = member_of(world, self);
    int64_t terms[64];
    for (size_t i = 0; i < arguments->count; i++)
        if (i == 64 || !qr_lab_number(arguments->list[i], &terms[i]) || terms[i] < 1 ||
            terms[i] >= TERMS_MAX || (i > 1 && terms[i] < terms[i - 1]) || (i && terms[i] > terms[0]))
            return false;
    if (arguments->count < 1 || m->record_count > 0)
        return false;
    qr_buffer out = {0};
    size_t count = arguments->count - 1;
    qr_buffer_u8(&out, 1);
    qr_buffer_u8(&out, count ? 5 : 1);
    qr_buffer_varint(&out, (uint64_t)terms[0]);
    qr_buffer_u64(&out, 0);
    if (count) {
        qr_buffer_varint(&out, 1);
        qr_buffer_varint(&out, 0);
        qr_buffer_varint(&out, count);
    }
    for (size_t i = 1; i <= count; i++) {
        char text[32];
        int size = snprintf(text, sizeof text, "e%d.t%d", (int)i, (int)terms[i]);
        qr_buffer_varint(&out, (uint64_t)terms[i]);
        qr_buffer_u8(&out, QR_ENTRY_COMMAND);
        qr_buffer_bytes(&out, qr_slice_of(text, (size_t)size));
    }
    keep_record(m, qr_buffer_slice(&out), true);
    qr_buffer_free(&out);
    halt(m);
    restart(world, self);
    return true;
}

static bool time_out(qr_lab_world *world, unsigned self, const qr_lab_words *arguments)
{
    member *m = member_of(world, self);
    uint64_t wake_ms = m->engine->ops->wake_ms(m->engine);
    if (arguments->count || wake_ms == UINT64_MAX)
        return false;
    m->now_ms = wake_ms > m->now_ms ? wake_ms : m->now_ms;
    turn(world, self, (qr_event){.kind = QR_EVENT_TICK});
    return true;
}

/* wait MS: time passes here, and nothing is done about it before the next event. */
static bool pass_time(qr_lab_world *world, unsigned self, const qr_lab_words *arguments)
{
    int64_t ms;
    if (arguments->count != 1 || !qr_lab_number(arguments->list[0], &ms) || ms < 0 || ms > 1000000)
        return false;
    member_of(world, self)->now_ms += (uint64_t)ms;
    return true;
}

static bool propose(qr_lab_world *world, unsigned self, const qr_lab_words *arguments)
{
    if (arguments->count != 1)
        return false;
    turn(world, self,
         (qr_event){.kind = QR_EVENT_PROPOSE, .propose = {.commands = arguments->list, .count = 1}});
    return true;
}

static const qr_lab_event events[] = {
    {"preset", "TERM TERM...: begins in this term with a log of entries of these terms", NULL, preset},
    {"timeout", "its clock moves to where the engine wants to be waked: heartbeats, or an election", NULL,
     time_out},
    {"wait", "MS: its clock moves, and it does not notice yet", NULL, pass_time},
    {"propose", "WORD: a client asks this member to append it", NULL, propose},
    {0},
};

/* --------------------------------------------------------------- words ---- */

static const char *const kinds[] = {"-",      "prevote",       "prevote-answer", "vote", "vote-answer",
                                    "append", "append-answer", "timeout-now",    "read", "read-answer",
                                    NULL};

static void put_log(const member *m, const char *between, qr_buffer *out)
{
    qr_engine_status status;
    m->engine->ops->status(m->engine, &status);
    for (uint64_t i = 1; i <= status.last_index; i++) {
        qr_entry_kind kind;
        qr_slice bytes;
        qr_buffer_format(out, "%s%d", i > 1 ? between : "",
                         (int)m->engine->ops->entry(m->engine, i, &kind, &bytes));
    }
    if (status.last_index == 0)
        qr_buffer_format(out, "-");
}

static void describe(const qr_lab_world *world, unsigned self, qr_buffer *out)
{
    const member *m = member_of(world, self);
    if (m->engine == NULL) {
        qr_buffer_format(out, "down");
        return;
    }
    qr_engine_status status;
    m->engine->ops->status(m->engine, &status);
    qr_buffer_format(out, "%s of term %d, terms in its log: ", roles[m->role], (int)status.term);
    put_log(m, " ", out);
    qr_buffer_format(out, "; committed to %d", (int)status.commit_index);
}

static void describe_message(const qr_lab_world *world, const qr_lab_message *head, qr_buffer *out)
{
    const message *m = (const message *)(const void *)head;
    qr_raft_message c;
    qr_status status = qr_raft_message_decode(qr_buffer_slice(&stage_of(world)->sent[m->number]), &c);
    QR_ASSERT(status == QR_OK);
    qr_buffer_format(out, "%s(term:%d", kinds[c.kind], (int)c.term);
    switch (c.kind) {
    case QR_RAFT_PREVOTE_ASK:
    case QR_RAFT_VOTE_ASK: qr_buffer_format(out, ",last:%d/%d", (int)c.last_index, (int)c.last_term); break;
    case QR_RAFT_PREVOTE_ANSWER:
    case QR_RAFT_VOTE_ANSWER: qr_buffer_format(out, ",%s", c.flags & QR_RAFT_GRANTED ? "yes" : "no"); break;
    case QR_RAFT_APPEND:
        qr_buffer_format(out, ",prev:%d/%d,entries:%d,commit:%d", (int)c.prev_index, (int)c.prev_term,
                         (int)c.count, (int)c.commit);
        break;
    case QR_RAFT_APPEND_ANSWER:
        if (c.flags & QR_RAFT_REJECTED)
            qr_buffer_format(out, ",no:%d/%d,hint:%d/%d", (int)c.prev_index, (int)c.prev_term,
                             (int)c.last_index, (int)c.last_term);
        else
            qr_buffer_format(out, ",match:%d", (int)c.match);
        break;
    default: break;
    }
    qr_buffer_format(out, ")");
}

/* The leader of the highest term that is up. */
static void put_leader(const qr_lab_world *world, qr_buffer *out)
{
    unsigned leader = QR_LAB_NOBODY;
    uint64_t newest = 0;
    for (unsigned i = 0; i < world->setting->count; i++) {
        const member *m = member_of(world, i);
        qr_engine_status status;
        if (m->engine == NULL || m->role != QR_LEADER)
            continue;
        m->engine->ops->status(m->engine, &status);
        if (status.term > newest) {
            newest = status.term;
            leader = i;
        }
    }
    qr_buffer_format(out, "%s", qr_lab_name_of(world, leader).text);
}

static bool observe(const qr_lab_world *world, unsigned self, qr_slice name, qr_buffer *out)
{
    if (self == QR_LAB_NOBODY) {
        if (qr_lab_word_is(name, "leader"))
            put_leader(world, out);
        else if (qr_lab_word_is(name, "committed"))
            qr_buffer_format(out, "%d", (int)stage_of(world)->committed_max);
        return out->size > 0;
    }
    const member *m = member_of(world, self);
    if (m->engine == NULL)
        return false;
    qr_engine_status status;
    m->engine->ops->status(m->engine, &status);
    const struct {
        const char *name;
        uint64_t value;
    } numbers[] = {{"term", status.term},
                   {"commit", status.commit_index},
                   {"applied", m->applied},
                   {"last", status.last_index},
                   {"appends", m->appends}};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (qr_lab_word_is(name, numbers[i].name))
            qr_buffer_format(out, "%d", (int)numbers[i].value);
    if (qr_lab_word_is(name, "role"))
        qr_buffer_format(out, "%s", roles[m->role]);
    else if (qr_lab_word_is(name, "log"))
        put_log(m, ",", out);
    return out->size > 0;
}

/* --------------------------------------------------------------- table ---- */

static const qr_lab_parameter parameters[] = {
    [VARIANT] = {"variant", "correct|lying-disk", CORRECT, 0, 0,
                 "the mistake: what a disk calls durable is gone after a crash"},
    {0},
};

const qr_lab_protocol qr_lab_raft = {
    .name = "raft",
    .title = "the engine of Quorate itself",
    .roles = {{"member", "n", 3, MEMBERS_MAX}},
    .parameters = parameters,
    .events = events,
    .kinds = kinds,
    .state_size = sizeof(state),
    .message_size = sizeof(message),
    .opaque = true,
    .start = start,
    .receive = receive,
    .crash = crash,
    .restart = restart,
    .describe = describe,
    .describe_message = describe_message,
    .check = check,
    .observe = observe,
    .finish = finish,
};

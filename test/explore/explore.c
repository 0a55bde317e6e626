/* explore: every behaviour of the real engine in a small scope. Three members; a message may be delivered at
 * any time or never, in the order of its link (--order any: in any order); a record may become durable at any
 * time after the ones before it; members may time out, beat, be given a command, and die (what is not durable
 * is lost), and messages may be lost, each as often as its budget says. From each state all that can happen
 * next is tried, and states that were seen before are not tried again.
 *
 *   explore [--elections E] [--beats B] [--commands C] [--crashes X] [--losses L] [--order link|any]
 *           [--states MAX] [--bug NAME]
 *
 * What must hold in every state: one leader a term; one command an index among all that was ever committed; a
 * leader has everything that was committed before it led (figure 3 of the Raft paper); entries of one index
 * and term are one entry with one past; and what the engine says of itself (broken()). The path to a
 * violation is printed.
 *
 * Time stands still but for the member that times out or beats: the clocks of members know nothing of each
 * other. States are told apart by everything an engine will ever look at, so pruning loses nothing but with
 * the probability that two of some millions of states share 64 bits. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "raft/raft_internal.h"

enum {
    MEMBERS = 3,
    HEARTBEAT_MS = 100,
    ELECTION_MS = 1000,
    RECORDS_MAX = 48,
    HELD_MAX = 24,
    FLYING_MAX = 96, /* messages under way at once */
    INDEX_MAX = 24,
    TERM_MAX = 24,
    DEPTH_MAX = 400,
};

/* ---- values that states share ---- */

typedef struct blob {
    uint32_t references, size;
    uint64_t hash;
    uint8_t bytes[];
} blob;

static blob *blob_new(qr_slice bytes)
{
    blob *made = qr_alloc(sizeof *made + bytes.size);
    *made = (blob){.references = 1, .size = (uint32_t)bytes.size, .hash = qr_hash(bytes, 0)};
    if (bytes.size)
        memcpy(made->bytes, bytes.data, bytes.size);
    return made;
}

static blob *blob_keep(blob *shared)
{
    shared->references++;
    return shared;
}

static void blob_drop(blob *shared)
{
    if (--shared->references == 0)
        qr_free(shared);
}

typedef struct held { /* a message that waits for a ticket */
    uint64_t after;
    uint32_t to;
    blob *bytes;
} held;

/* A member between two events; never changed once made, so states share it. */
typedef struct member {
    uint32_t references;
    qr_raft_engine *engine;
    uint64_t now_ms;
    blob *records[RECORDS_MAX]; /* durable ones first; record i has ticket i + 1 - lost */
    uint32_t record_count, durable_count;
    uint64_t ticket_base; /* records before this life */
    held held[HELD_MAX];
    uint32_t held_count;
    uint64_t fingerprint;
} member;

typedef struct flying {
    uint8_t from, to;
    blob *bytes;
} flying;

typedef struct committed {
    uint64_t term, hash, leader_term; /* of the entry; of the newest term when it was committed */
} committed;

typedef struct state {
    member *members[MEMBERS];
    flying flying[FLYING_MAX];
    uint32_t flying_count;
    uint8_t leaders[TERM_MAX]; /* 1 + number of the member that led this term; 0 = nobody so far */
    committed committed[INDEX_MAX];
    uint64_t committed_count;
    uint32_t elections, beats, commands, crashes, losses; /* left */
} state;

typedef enum act_kind {
    ACT_DELIVER,
    ACT_LOSE,
    ACT_DURABLE,
    ACT_ELECTION,
    ACT_BEAT,
    ACT_COMMAND,
    ACT_CRASH
} act_kind;

typedef struct act {
    uint8_t kind, member;
    uint16_t message; /* DELIVER, LOSE: which one */
} act;

/* The run. */
static struct {
    uint32_t elections, beats, commands, crashes, losses, bug;
    bool any_order;
    uint64_t states_max;
    uint64_t *seen; /* a hash table of fingerprints; 0 = free */
    uint64_t seen_room, states, steps, ends, deepest;
    act path[DEPTH_MAX];
    uint32_t depth;
    const char *violation;
} run;

static void violate(const char *what)
{
    if (!run.violation)
        run.violation = what;
}

/* ---- members ---- */

/* The log once more; nothing of it is only on the disk here. */
static void copy_log(const qr_raft_log *from, qr_raft_log *to)
{
    qr_raft_view view;
    qr_raft_log_init(to);
    qr_raft_log_reset(to, from->base_index, from->base_term);
    for (uint64_t index = from->base_index + 1; index <= from->last; index++) {
        QR_CHECK(qr_raft_log_read(from, index, &view), "all entries are in memory");
        qr_raft_log_append(to, view.term, view.kind, view.bytes);
    }
}

static qr_raft_engine *engine_clone(const qr_raft_engine *from)
{
    QR_CHECK(from->outbox_count == 0 && !from->fetch_running && from->fetched.count == 0 &&
                 from->reads.waiting.count == 0 && from->reads.confirming.count == 0 &&
                 from->reads.asking.count == 0,
             "between two turns nothing is left unsaid, and nobody reads");
    qr_raft_engine *to = qr_alloc(sizeof *to);
    memcpy(to, from, offsetof(qr_raft_engine, configs) + from->config_count * sizeof *from->configs);
    size_t peers_end = offsetof(qr_raft_engine, peers.list) + from->peers.count * sizeof *from->peers.list;
    size_t after_configs = offsetof(qr_raft_engine, config_count);
    memcpy((uint8_t *)to + after_configs, (const uint8_t *)from + after_configs, peers_end - after_configs);
    size_t after_peers = offsetof(qr_raft_engine, peers) + sizeof from->peers;
    memcpy((uint8_t *)to + after_peers, (const uint8_t *)from + after_peers, sizeof *to - after_peers);
    copy_log(&from->log, &to->log);
    to->flights = qr_alloc((from->flight_room + 1) * sizeof *to->flights);
    if (from->flight_room)
        memcpy(to->flights, from->flights, from->flight_room * sizeof *to->flights);
    to->effects = NULL;
    to->reads.waiting = to->reads.confirming = to->reads.asking = (qr_readers){0};
    to->fetched = (qr_raft_fetched){0};
    to->outbox = NULL;
    to->outbox_room = 0;
    qr_buffer_init(&to->scratch);
    return to;
}

static member *member_clone(const member *from)
{
    member *to = qr_alloc(sizeof *to);
    *to = *from;
    to->references = 1;
    to->engine = engine_clone(from->engine);
    for (uint32_t i = 0; i < to->record_count; i++)
        blob_keep(to->records[i]);
    for (uint32_t i = 0; i < to->held_count; i++)
        blob_keep(to->held[i].bytes);
    return to;
}

static void member_drop(member *shared)
{
    if (--shared->references > 0)
        return;
    qr_raft.free(&shared->engine->base);
    for (uint32_t i = 0; i < shared->record_count; i++)
        blob_drop(shared->records[i]);
    for (uint32_t i = 0; i < shared->held_count; i++)
        blob_drop(shared->held[i].bytes);
    qr_free(shared);
}

static qr_engine_config config_of(uint32_t number, uint64_t now_ms)
{
    qr_engine_config config = {.self = number + 1,
                               .incarnation = 1,
                               .seed = number + 1,
                               .heartbeat_ms = HEARTBEAT_MS,
                               .election_ms = ELECTION_MS,
                               .now_ms = now_ms,
                               .bug = run.bug};
    for (uint64_t id = 1; id <= MEMBERS; id++)
        qr_members_add(&config.members, (qr_member){.id = id, .incarnation = 1, .role = QR_ROLE_VOTER});
    return config;
}

/* ---- what tells states apart ---- */

static uint64_t mix_recency(uint64_t hash, uint64_t now_ms, uint64_t then_ms, uint64_t limit_ms)
{
    return qr_hash_mix(hash, now_ms - then_ms < limit_ms ? now_ms - then_ms : limit_ms);
}

static uint64_t mix_peer(uint64_t hash, const qr_raft_engine *raft, const qr_peer *peer)
{
    hash = qr_hash_mix(hash, (uint64_t)peer->vote << 8 | (uint64_t)peer->answered << 4 |
                                 (uint64_t)peer->probing << 2 | (uint64_t)peer->progress);
    if (raft->role != QR_LEADER)
        return hash;
    hash = mix_recency(hash, raft->now_ms, peer->heard_ms, ELECTION_MS);
    hash = qr_hash_mix(qr_hash_mix(hash, peer->match), peer->next);
    hash = qr_hash_mix(qr_hash_mix(hash, peer->round), peer->round_sent);
    hash = qr_hash_mix(qr_hash_mix(hash, peer->commit_sent), qr_hash_mix(peer->flying_count, peer->window));
    for (uint32_t i = 0; i < peer->flying_count; i++)
        hash = qr_hash_mix(hash, peer->flying[(peer->flying_first + i) % QR_FLYING_MAX].last);
    return hash;
}

static uint64_t mix_log(uint64_t hash, const qr_raft_log *log)
{
    qr_raft_view view;
    hash = qr_hash_mix(hash, log->last);
    for (uint64_t index = log->base_index + 1; index <= log->last; index++) {
        qr_raft_log_read(log, index, &view);
        hash = qr_hash_mix(hash, qr_hash(view.encoded, 0));
    }
    return hash;
}

/* Everything an engine decides by but the state of its dice. */
static uint64_t engine_fingerprint(const qr_raft_engine *raft)
{
    uint64_t hash = mix_log(qr_hash_mix(raft->term, raft->vote), &raft->log);
    const uint64_t numbers[] = {
        raft->role,
        raft->leader,
        raft->commit,
        raft->emitted,
        raft->applied,
        raft->hard_ticket > raft->durable_ticket ? raft->hard_ticket - raft->durable_ticket : 0,
        raft->tickets - raft->durable_ticket,
        raft->unsaved_first,
        raft->durable_index,
        raft->matched,
        raft->reads.round,
        raft->answered_match,
        (uint64_t)raft->answer_due << 1 | (uint64_t)raft->reject_due,
        raft->noop_index,
        raft->handover_to,
        raft->gone_leader,
        raft->attempts,
        (uint64_t)raft->postponed << 1 | (uint64_t)raft->heard_any,
        raft->config_count};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        hash = qr_hash_mix(hash, numbers[i]);
    hash = mix_recency(hash, raft->now_ms, raft->heard_ms, ELECTION_MS);
    hash = mix_recency(hash, raft->now_ms, raft->answered_ms, HEARTBEAT_MS);
    if (raft->role == QR_LEADER)
        hash = qr_hash_mix(hash, raft->heartbeat_ms > raft->now_ms ? raft->heartbeat_ms - raft->now_ms : 0);
    else
        hash = qr_hash_mix(hash, raft->deadline_ms <= raft->now_ms + HEARTBEAT_MS);
    for (size_t i = 0; i < raft->flight_count; i++) {
        const qr_raft_ticket *flight = &raft->flights[(raft->flight_first + i) % raft->flight_room];
        hash = qr_hash_mix(qr_hash_mix(hash, flight->ticket - raft->durable_ticket), flight->last);
    }
    for (uint32_t i = 0; i < raft->peers.count; i++)
        hash = mix_peer(hash, raft, &raft->peers.list[i]);
    return hash;
}

static void member_seal(member *m)
{
    uint64_t hash = engine_fingerprint(m->engine);
    for (uint32_t i = 0; i < m->record_count; i++)
        hash = qr_hash_mix(hash, m->records[i]->hash);
    hash = qr_hash_mix(hash, m->durable_count);
    for (uint32_t i = 0; i < m->held_count; i++)
        hash = qr_hash_mix(qr_hash_mix(hash, m->held[i].after - m->engine->durable_ticket),
                           m->held[i].bytes->hash ^ m->held[i].to);
    m->fingerprint = hash;
}

static uint64_t state_fingerprint(const state *s)
{
    uint64_t hash = (uint64_t)s->losses << 32 | (uint64_t)s->elections << 24 | s->beats << 16 |
                    s->commands << 8 | s->crashes;
    for (uint32_t i = 0; i < MEMBERS; i++)
        hash = qr_hash_mix(hash, s->members[i]->fingerprint);
    uint64_t links[MEMBERS * MEMBERS] = {0}, messages = 0;
    for (uint32_t i = 0; i < s->flying_count; i++) {
        uint32_t link = s->flying[i].from * MEMBERS + s->flying[i].to;
        if (run.any_order) /* a multiset */
            messages += qr_hash_mix(s->flying[i].bytes->hash, link);
        else
            links[link] = qr_hash_mix(links[link] + 1, s->flying[i].bytes->hash);
    }
    for (uint32_t i = 0; i < MEMBERS * MEMBERS; i++)
        messages = qr_hash_mix(messages, links[i]);
    hash = qr_hash_mix(hash, messages);
    hash = qr_hash_mix(hash, s->committed_count);
    hash = qr_hash_mix(hash, qr_hash(qr_slice_of(s->leaders, sizeof s->leaders), 0));
    return hash ? hash : 1;
}

/* True: for the first time. */
static bool note_state(uint64_t hash)
{
    uint64_t at = hash & (run.seen_room - 1);
    for (; run.seen[at]; at = (at + 1) & (run.seen_room - 1))
        if (run.seen[at] == hash)
            return false;
    run.seen[at] = hash;
    run.states++;
    return true;
}

/* ---- what happens ---- */

static void fly(state *s, uint32_t from, uint32_t to, blob *bytes)
{
    QR_CHECK(s->flying_count < FLYING_MAX, "there is room for a message");
    s->flying[s->flying_count++] = (flying){.from = (uint8_t)from, .to = (uint8_t)to, .bytes = bytes};
}

static void commit(state *s, const qr_effect *effect)
{
    uint64_t index = effect->commit.index;
    QR_CHECK(index > 0 && index < INDEX_MAX, "few entries");
    committed entry = {.term = effect->commit.term,
                       .hash = qr_hash(effect->commit.bytes, effect->commit.kind)};
    if (index <= s->committed_count) {
        const committed *before = &s->committed[index - 1];
        if (before->term != entry.term || before->hash != entry.hash)
            violate("two members committed different entries at one index");
        return;
    }
    for (uint64_t term = 1; term < TERM_MAX; term++)
        if (s->leaders[term])
            entry.leader_term = term;
    s->committed[index - 1] = entry;
    s->committed_count = index;
}

static void take_effects(state *s, uint32_t number, qr_effects *effects, uint64_t *applied)
{
    member *m = s->members[number];
    for (size_t i = 0; i < effects->count; i++) {
        const qr_effect *effect = &effects->list[i];
        if (effect->kind == QR_EFFECT_PERSIST) {
            QR_CHECK(m->record_count < RECORDS_MAX, "few records");
            m->records[m->record_count++] = blob_new(effect->persist.record);
        } else if (effect->kind == QR_EFFECT_SEND) {
            blob *bytes = blob_new(effect->send.bytes);
            if (effect->after <= m->engine->durable_ticket) {
                fly(s, number, (uint32_t)effect->send.to - 1, bytes);
            } else {
                QR_CHECK(m->held_count < HELD_MAX, "few messages wait for the disk");
                m->held[m->held_count++] =
                    (held){.after = effect->after, .to = (uint32_t)effect->send.to - 1, .bytes = bytes};
            }
        } else if (effect->kind == QR_EFFECT_COMMIT) {
            QR_CHECK(effect->after <= m->engine->durable_ticket, "a commit waits for nothing");
            commit(s, effect);
            *applied = effect->commit.index;
        } else if (effect->kind == QR_EFFECT_HALT) {
            violate("a member halts");
        }
    }
}

static void step(state *s, uint32_t number, const qr_event *event, uint64_t *applied)
{
    static qr_effects effects;
    qr_effects_clear(&effects);
    qr_raft.step(&s->members[number]->engine->base, event, &effects);
    take_effects(s, number, &effects, applied);
}

/* One event and the end of its turn. */
static void give(state *s, uint32_t number, qr_event event)
{
    uint64_t applied = 0;
    event.now_ms = s->members[number]->now_ms;
    step(s, number, &event, &applied);
    qr_event tick = {.kind = QR_EVENT_TICK, .now_ms = event.now_ms};
    if (event.kind != QR_EVENT_TICK)
        step(s, number, &tick, &applied);
    qr_event told = {.kind = QR_EVENT_APPLIED, .now_ms = event.now_ms, .applied = {.index = applied}};
    if (applied)
        step(s, number, &told, &applied);
}

static void on_durable(state *s, uint32_t number)
{
    member *m = s->members[number];
    uint64_t ticket = ++m->durable_count - m->ticket_base;
    give(s, number, (qr_event){.kind = QR_EVENT_DURABLE, .durable = {.ticket = ticket}});
    uint32_t left = 0;
    for (uint32_t i = 0; i < m->held_count; i++) {
        if (m->held[i].after <= ticket)
            fly(s, number, m->held[i].to, m->held[i].bytes);
        else
            m->held[left++] = m->held[i];
    }
    m->held_count = left;
}

static void on_crash(state *s, uint32_t number)
{
    member *m = s->members[number];
    while (m->record_count > m->durable_count)
        blob_drop(m->records[--m->record_count]);
    while (m->held_count)
        blob_drop(m->held[--m->held_count].bytes);
    qr_raft.free(&m->engine->base);
    qr_engine_config config = config_of(number, m->now_ms);
    m->engine = (qr_raft_engine *)qr_raft.open(&config);
    m->ticket_base = m->record_count;
    for (uint32_t i = 0; i < m->record_count; i++)
        QR_CHECK(qr_raft.recall(&m->engine->base, qr_slice_of(m->records[i]->bytes, m->records[i]->size),
                                false) == QR_OK,
                 "a record that was written is recalled");
    give(s, number, (qr_event){.kind = QR_EVENT_TICK});
}

static flying take_off(state *s, uint32_t message)
{
    flying taken = s->flying[message];
    s->flying_count--;
    memmove(s->flying + message, s->flying + message + 1, (s->flying_count - message) * sizeof *s->flying);
    return taken;
}

static void on_deliver(state *s, uint32_t message)
{
    flying taken = take_off(s, message);
    give(s, taken.to,
         (qr_event){.kind = QR_EVENT_RECV,
                    .recv = {.from = taken.from + 1u,
                             .incarnation = 1,
                             .bytes = qr_slice_of(taken.bytes->bytes, taken.bytes->size)}});
    blob_drop(taken.bytes);
}

static void on_command(state *s, uint32_t number)
{
    uint8_t name = (uint8_t)('a' + s->commands);
    qr_slice command = qr_slice_of(&name, 1);
    give(s, number, (qr_event){.kind = QR_EVENT_PROPOSE, .propose = {.commands = &command, .count = 1}});
}

/* ---- what must hold ---- */

static void check_leader(state *s, uint32_t number)
{
    const qr_raft_engine *raft = s->members[number]->engine;
    if (raft->role != QR_LEADER)
        return;
    QR_CHECK(raft->term < TERM_MAX, "few terms");
    if (s->leaders[raft->term] && s->leaders[raft->term] != number + 1)
        violate("two leaders in one term");
    s->leaders[raft->term] = (uint8_t)(number + 1);
    qr_raft_view view;
    for (uint64_t index = 1; index <= s->committed_count; index++) {
        const committed *entry = &s->committed[index - 1];
        if (entry->leader_term >= raft->term)
            continue;
        if (!qr_raft_log_read(&raft->log, index, &view) || view.term != entry->term ||
            qr_hash(view.bytes, view.kind) != entry->hash)
            violate("a leader lacks an entry that was committed before it led");
    }
}

/* The newest entry on which both agree by index and term: everything before it is the same. */
static void check_logs(const qr_raft_log *a, const qr_raft_log *b)
{
    qr_raft_view one, other;
    bool same = false;
    for (uint64_t index = a->last < b->last ? a->last : b->last; index > 0; index--) {
        qr_raft_log_read(a, index, &one);
        qr_raft_log_read(b, index, &other);
        bool equal = one.term == other.term;
        if ((same && !equal) || (equal && !qr_slice_equal(one.bytes, other.bytes)))
            violate("logs agree at an entry and differ before it");
        same = same || equal;
    }
}

static void check(state *s, uint32_t changed)
{
    const member *m = s->members[changed];
    const char *broken = qr_raft.broken(&m->engine->base);
    if (broken)
        violate(broken);
    check_leader(s, changed);
    for (uint32_t i = 0; i < MEMBERS; i++)
        if (i != changed)
            check_logs(&m->engine->log, &s->members[i]->engine->log);
}

/* ---- going everywhere ---- */

static state *state_clone(const state *from, uint32_t changed)
{
    state *to = qr_alloc(sizeof *to);
    *to = *from;
    for (uint32_t i = 0; i < MEMBERS; i++)
        to->members[i]->references++;
    to->members[changed] = member_clone(from->members[changed]);
    member_drop(from->members[changed]);
    for (uint32_t i = 0; i < to->flying_count; i++)
        blob_keep(to->flying[i].bytes);
    return to;
}

static void state_drop(state *s)
{
    for (uint32_t i = 0; i < MEMBERS; i++)
        member_drop(s->members[i]);
    for (uint32_t i = 0; i < s->flying_count; i++)
        blob_drop(s->flying[i].bytes);
    qr_free(s);
}

static void carry_out(state *s, act what)
{
    member *m = s->members[what.member];
    switch (what.kind) {
    case ACT_DELIVER: on_deliver(s, what.message); break;
    case ACT_LOSE:
        s->losses--;
        blob_drop(take_off(s, what.message).bytes);
        break;
    case ACT_DURABLE: on_durable(s, what.member); break;
    case ACT_ELECTION:
        s->elections--;
        m->now_ms += (uint64_t)3 * ELECTION_MS;
        give(s, what.member, (qr_event){.kind = QR_EVENT_TICK});
        break;
    case ACT_BEAT:
        s->beats--;
        m->now_ms += HEARTBEAT_MS;
        give(s, what.member, (qr_event){.kind = QR_EVENT_TICK});
        break;
    case ACT_COMMAND:
        s->commands--;
        on_command(s, what.member);
        break;
    default:
        s->crashes--;
        on_crash(s, what.member);
        break;
    }
    check(s, what.member);
    member_seal(s->members[what.member]);
}

static void explore(const state *s);

static void attempt(const state *s, act what)
{
    if (run.violation || run.states >= run.states_max)
        return;
    QR_CHECK(run.depth < DEPTH_MAX, "no path is that long");
    state *next = state_clone(s, what.member);
    run.path[run.depth++] = what;
    run.steps++;
    carry_out(next, what);
    if (run.depth > run.deepest)
        run.deepest = run.depth;
    if (!run.violation && note_state(state_fingerprint(next)))
        explore(next);
    if (!run.violation)
        run.depth--;
    state_drop(next);
}

/* Not the next one of its link; or, in any order, the same as an earlier one. */
static bool must_wait(const state *s, uint32_t message)
{
    const flying *one = &s->flying[message];
    for (uint32_t i = 0; i < message; i++)
        if (s->flying[i].to == one->to && s->flying[i].from == one->from &&
            (!run.any_order || s->flying[i].bytes->hash == one->bytes->hash))
            return true;
    return false;
}

static void explore(const state *s)
{
    uint64_t before = run.steps;
    for (uint32_t i = 0; i < s->flying_count; i++) {
        if (must_wait(s, i))
            continue;
        attempt(s, (act){.kind = ACT_DELIVER, .member = s->flying[i].to, .message = (uint16_t)i});
        if (s->losses)
            attempt(s, (act){.kind = ACT_LOSE, .member = s->flying[i].to, .message = (uint16_t)i});
    }
    for (uint8_t i = 0; i < MEMBERS; i++) {
        const member *m = s->members[i];
        if (m->record_count > m->durable_count)
            attempt(s, (act){.kind = ACT_DURABLE, .member = i});
        if (s->commands && m->engine->role == QR_LEADER)
            attempt(s, (act){.kind = ACT_COMMAND, .member = i});
        if (s->elections)
            attempt(s, (act){.kind = ACT_ELECTION, .member = i});
        if (s->beats && m->engine->role == QR_LEADER)
            attempt(s, (act){.kind = ACT_BEAT, .member = i});
        if (s->crashes)
            attempt(s, (act){.kind = ACT_CRASH, .member = i});
    }
    run.ends += run.steps == before;
}

static state *beginning(void)
{
    state *s = qr_alloc_zero(1, sizeof *s);
    s->elections = run.elections;
    s->beats = run.beats;
    s->commands = run.commands;
    s->crashes = run.crashes;
    s->losses = run.losses;
    for (uint32_t i = 0; i < MEMBERS; i++) {
        member *m = s->members[i] = qr_alloc_zero(1, sizeof *m);
        qr_engine_config config = config_of(i, 1000);
        m->references = 1;
        m->now_ms = 1000;
        m->engine = (qr_raft_engine *)qr_raft.open(&config);
        give(s, i, (qr_event){.kind = QR_EVENT_TICK});
        member_seal(m);
    }
    return s;
}

static void tell_path(void)
{
    static const char *const kinds[] = {"is delivered a message",
                                        "is never delivered a message",
                                        "has its oldest record on the disk",
                                        "times out",
                                        "beats",
                                        "is given a command",
                                        "dies and comes back"};
    state *s = beginning();
    for (uint32_t i = 0; i < run.depth; i++) {
        act what = run.path[i];
        printf("  %2u  m%u %s", i + 1, what.member + 1u, kinds[what.kind]);
        if (what.kind == ACT_DELIVER || what.kind == ACT_LOSE) {
            const flying *one = &s->flying[what.message];
            qr_raft_message message;
            if (qr_raft_message_decode(qr_slice_of(one->bytes->bytes, one->bytes->size), &message) == QR_OK)
                printf(" of m%u: kind %d, term %" PRIu64, one->from + 1u, (int)message.kind, message.term);
        }
        printf("\n");
        state *next = state_clone(s, what.member);
        carry_out(next, what);
        state_drop(s);
        s = next;
    }
    state_drop(s);
}

/* ---- the command ---- */

static bool take(const char *name, const char *value)
{
    const struct {
        const char *name;
        uint32_t *to;
    } budgets[] = {{"--elections", &run.elections},
                   {"--beats", &run.beats},
                   {"--commands", &run.commands},
                   {"--crashes", &run.crashes},
                   {"--losses", &run.losses}};
    static const char *const bugs[] = {"none",
#define BUG_NAME(id, row, text, explanation) text,
                                       QR_BUG_LIST(BUG_NAME)
#undef BUG_NAME
    };
    for (size_t i = 0; i < sizeof budgets / sizeof *budgets; i++)
        if (strcmp(name, budgets[i].name) == 0) {
            *budgets[i].to = (uint32_t)strtoul(value, NULL, 10);
            return true;
        }
    if (strcmp(name, "--order") == 0) {
        run.any_order = strcmp(value, "any") == 0;
        return run.any_order || strcmp(value, "link") == 0;
    }
    if (strcmp(name, "--states") == 0)
        run.states_max = strtoull(value, NULL, 10);
    for (uint32_t i = 0; strcmp(name, "--bug") == 0 && i < sizeof bugs / sizeof *bugs; i++)
        if (strcmp(value, bugs[i]) == 0)
            run.bug = i;
    return strcmp(name, "--states") == 0 || (strcmp(name, "--bug") == 0 && run.bug);
}

int main(int argc, char **argv)
{
    run.elections = 2;
    run.beats = 1;
    run.commands = 1;
    run.crashes = 1;
    run.states_max = 100 * 1000 * 1000;
    for (int i = 1; i < argc; i += 2)
        if (i + 1 == argc || !take(argv[i], argv[i + 1])) {
            fprintf(stderr, "explore: cannot use %s\n", argv[i]);
            return 2;
        }
    for (run.seen_room = 1024; run.seen_room < 2 * run.states_max && run.seen_room < UINT64_C(1) << 28;)
        run.seen_room *= 2;
    run.seen = qr_alloc_zero(run.seen_room, sizeof *run.seen);
    if (run.states_max > run.seen_room / 2)
        run.states_max = run.seen_room / 2;
    state *first = beginning();
    explore(first);
    state_drop(first);
    if (run.violation) {
        printf("VIOLATED: %s, after %u steps:\n", run.violation, run.depth);
        tell_path();
    }
    printf("%" PRIu64 " states, %" PRIu64 " steps, %" PRIu64 " ends, longest path %" PRIu64 "%s\n",
           run.states, run.steps, run.ends, run.deepest,
           run.states >= run.states_max ? "; stopped at the bound"
           : run.violation              ? ""
                                        : "; all of them");
    qr_free(run.seen);
    return run.violation ? 1 : run.states >= run.states_max ? 3 : 0;
}

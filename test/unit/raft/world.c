#include "world.h"

#include <stdarg.h>

#include "raft/raft_internal.h"

void world_fail(world *w, const char *violation, const char *format, ...)
{
    if (w->violation)
        return;
    w->violation = violation;
    va_list args;
    va_start(args, format);
    vsnprintf(w->detail, sizeof w->detail, format, args);
    va_end(args);
}

world *world_new(uint32_t count, uint64_t seed)
{
    QR_ASSERT(count <= WORLD_MEMBERS_MAX);
    world *w = qr_alloc_zero(1, sizeof *w);
    w->engine = &qr_raft;
    w->count = count;
    w->now_ms = 1000;
    w->delay_min_ms = w->delay_max_ms = 1;
    w->next_tag = 1;
    qr_prng_seed(&w->prng, seed);
    w->config = (qr_engine_config){.heartbeat_ms = 100, .election_ms = 1000, .seed = seed};
    for (uint64_t id = 1; id <= count; id++) {
        qr_members_add(&w->config.members, (qr_member){.id = id, .incarnation = 1, .role = QR_ROLE_VOTER});
        w->member[id].id = id;
        w->member[id].incarnation = 1;
        w->member[id].disk_ms = 1;
    }
    w->members = w->config.members;
    return w;
}

world *world_new_of(uint32_t voters, uint32_t count, uint64_t seed)
{
    world *w = world_new(count, seed);
    w->config.members.count = voters;
    for (uint64_t id = voters + 1; id <= count; id++)
        w->member[id].joins = true;
    w->members = w->config.members;
    return w;
}

static void record_free(world_record *record)
{
    qr_buffer_free(&record->bytes);
    qr_buffer_free(&record->brief);
}

static void forget_held(world_member *m)
{
    for (size_t i = 0; i < m->held_count; i++)
        qr_buffer_free(&m->held[i].bytes);
    m->held_count = 0;
}

void world_free(world *w)
{
    for (uint64_t id = 1; id <= w->count; id++) {
        world_member *m = &w->member[id];
        if (m->engine) {
            m->engine->ops->free(m->engine);
            qr_effects_free(&m->effects);
            qr_trace_free(&m->trace);
        }
        for (size_t i = 0; i < m->record_count; i++)
            record_free(&m->records[i]);
        qr_free(m->records);
        forget_held(m);
        qr_free(m->held);
        qr_buffer_free(&m->checkpoint_brief);
    }
    for (size_t i = 0; i < w->message_count; i++)
        qr_buffer_free(&w->messages[i].bytes);
    qr_free(w->messages);
    qr_free(w);
}

/* ------------------------------------------------------------ network ---- */

static void watch_message(world *w, uint64_t from, uint64_t to, qr_slice bytes)
{
    qr_raft_message message;
    QR_ASSERT(bytes.size > 2 && bytes.data[1] < WORLD_KINDS_MAX); /* format, kind: in every engine */
    w->sent[from][to][bytes.data[1]]++;
    if (w->engine != &qr_raft)
        return;
    if (qr_raft_message_decode(bytes, &message) != QR_OK) {
        world_fail(w, "well-formed messages", "%d says something malformed", (int)from);
        return;
    }
    bool rejected = message.flags & QR_RAFT_REJECTED;
    if (message.kind == QR_RAFT_APPEND_ANSWER && !rejected && w->agreed[to][from] == 0)
        w->agreed[to][from] = w->sent[to][from][QR_RAFT_APPEND];
    if (message.kind == QR_RAFT_VOTE_ANSWER && (message.flags & QR_RAFT_GRANTED) && message.term < 4096) {
        if (w->voted[from][message.term] && w->voted[from][message.term] != to)
            world_fail(w, "one vote a term", "%d votes for %d and %d in term %d", (int)from,
                       (int)w->voted[from][message.term], (int)to, (int)message.term);
        w->voted[from][message.term] = to;
    }
}

static void wire(world *w, uint64_t from, uint64_t to, qr_slice bytes, bool is_copy)
{
    if (w->message_count == w->message_room) {
        w->message_room = w->message_room ? 2 * w->message_room : 64;
        w->messages = qr_realloc(w->messages, w->message_room * sizeof *w->messages);
    }
    world_message *message = &w->messages[w->message_count++];
    *message =
        (world_message){.from = from,
                        .incarnation = w->member[from].incarnation,
                        .to = to,
                        .number = w->message_number++,
                        .due_ms = w->now_ms + qr_prng_between(&w->prng, w->delay_min_ms, w->delay_max_ms)};
    if (w->late_ppm && qr_prng_chance(&w->prng, w->late_ppm))
        message->due_ms += qr_prng_below(&w->prng, 2000);
    qr_buffer_add_slice(&message->bytes, bytes);
    if (!is_copy && w->copy_ppm && qr_prng_chance(&w->prng, w->copy_ppm))
        wire(w, from, to, bytes, true);
}

static void network_send(world *w, uint64_t from, uint64_t to, qr_slice bytes)
{
    watch_message(w, from, to, bytes);
    if (w->cut[from][to] || (w->loss_ppm && qr_prng_chance(&w->prng, w->loss_ppm)))
        return;
    wire(w, from, to, bytes, false);
}

static bool network_deliver(world *w)
{
    size_t best = SIZE_MAX;
    for (size_t i = 0; i < w->message_count; i++) {
        const world_message *a = &w->messages[i];
        if (a->due_ms <= w->now_ms &&
            (best == SIZE_MAX || a->due_ms < w->messages[best].due_ms ||
             (a->due_ms == w->messages[best].due_ms && a->number < w->messages[best].number)))
            best = i;
    }
    if (best == SIZE_MAX)
        return false;
    world_message message = w->messages[best];
    w->messages[best] = w->messages[--w->message_count];
    if (w->member[message.to].engine)
        world_step(w, message.to,
                   &(qr_event){.kind = QR_EVENT_RECV,
                               .recv = {.from = message.from,
                                        .incarnation = message.incarnation,
                                        .bytes = qr_buffer_slice(&message.bytes)}});
    qr_buffer_free(&message.bytes);
    return true;
}

/* ------------------------------------------------------------ oracle ---- */

static uint64_t entry_hash(uint64_t index, uint64_t term, qr_entry_kind kind, qr_slice bytes)
{
    return qr_hash_mix(qr_hash_mix(qr_hash(bytes, kind), index), term);
}

/* Facts rows 1 and 15: quorums of consecutive configurations meet, so each one has the voters of the one
 * before it, or is the joint one between, or its end. */
static void on_members(world *w, world_member *m, const qr_effect *effect, bool first_time)
{
    qr_reader reader = qr_reader_of(effect->commit.bytes);
    if (qr_members_decode(&reader, &m->members) != QR_OK)
        world_fail(w, "well-formed members", "entry %d", (int)effect->commit.index);
    if (!first_time)
        return;
    if (!qr_members_may_follow(&w->members, &m->members))
        world_fail(w, "quorums of consecutive configurations meet", "entry %d", (int)effect->commit.index);
    w->members = m->members;
    w->changes++;
}

static void on_commit(world *w, world_member *m, const qr_effect *effect)
{
    uint64_t index = effect->commit.index;
    if (index != m->applied + 1) {
        world_fail(w, "each index once and in order", "%d applies %d after %d", (int)m->id, (int)index,
                   (int)m->applied);
        return;
    }
    uint64_t hash = entry_hash(index, effect->commit.term, effect->commit.kind, effect->commit.bytes);
    m->applied = index;
    m->applied_term = effect->commit.term;
    m->chain = qr_hash_mix(m->chain, hash);
    QR_ASSERT(index < WORLD_INDEX_MAX);
    if (effect->commit.kind == QR_ENTRY_MEMBERS)
        on_members(w, m, effect, w->committed[index].term == 0);
    if (w->committed[index].term == 0) {
        w->committed[index].term = effect->commit.term;
        w->committed[index].hash = hash;
        w->committed[index].chain = m->chain;
        uint64_t state = w->committed[index - 1].state;
        bool is_command = effect->commit.kind == QR_ENTRY_COMMAND;
        w->committed[index].state = is_command ? qr_hash_mix(state, qr_hash(effect->commit.bytes, 0)) : state;
        w->committed_max = index > w->committed_max ? index : w->committed_max;
    } else if (w->committed[index].hash != hash || w->committed[index].chain != m->chain) {
        world_fail(w, "state machine safety", "%d applies another entry %d", (int)m->id, (int)index);
    }
}

/* Leader completeness: what was ever applied anywhere is in the log of each later leader (5.4). */
static void on_leader(world *w, world_member *m, uint64_t term)
{
    QR_ASSERT(term < 4096);
    w->elections++;
    if (w->leader_of_term[term] && w->leader_of_term[term] != m->id)
        world_fail(w, "election safety", "%d and %d lead term %d", (int)w->leader_of_term[term], (int)m->id,
                   (int)term);
    w->leader_of_term[term] = m->id;
    qr_engine_status status;
    m->engine->ops->status(m->engine, &status);
    if (status.last_index < w->committed_max)
        world_fail(w, "leader completeness", "%d leads term %d with %d of %d committed entries", (int)m->id,
                   (int)term, (int)status.last_index, (int)w->committed_max);
    for (uint64_t i = status.first_index; i <= w->committed_max; i++) {
        qr_entry_kind kind;
        qr_slice bytes;
        uint64_t own = m->engine->ops->entry(m->engine, i, &kind, &bytes);
        if (own && w->committed[i].term < term && entry_hash(i, own, kind, bytes) != w->committed[i].hash)
            world_fail(w, "leader completeness", "%d leads term %d without entry %d", (int)m->id, (int)term,
                       (int)i);
    }
}

static void on_read_at(world *w, world_member *m, const qr_effect *effect)
{
    uint64_t tag = effect->read_at.tag;
    m->served_reads++;
    if (w->read_floor[tag] == 0) {
        world_fail(w, "one answer a read", "read %d is answered again", (int)tag);
        return;
    }
    if (effect->read_at.index + 1 < w->read_floor[tag])
        world_fail(w, "linearizable reads", "read %d at %d saw %d, older than %d", (int)tag, (int)m->id,
                   (int)effect->read_at.index, (int)w->read_floor[tag] - 1);
    w->read_floor[tag] = 0;
    w->read_at[tag] = effect->read_at.index + 1;
}

void world_check(world *w)
{
    for (uint64_t a = 1; a <= w->count && !w->violation; a++) {
        world_member *m = &w->member[a];
        if (!m->engine || m->halted)
            continue;
        const char *broken = m->engine->ops->broken(m->engine);
        if (broken)
            world_fail(w, broken, "member %d says so itself", (int)a);
        for (uint64_t b = a + 1; b <= w->count && !w->violation; b++) {
            world_member *n = &w->member[b];
            if (!n->engine || n->halted)
                continue;
            qr_engine_status x, y;
            m->engine->ops->status(m->engine, &x);
            n->engine->ops->status(n->engine, &y);
            bool whole = w->engine->logs_match;
            uint64_t x_last = whole ? x.last_index : x.commit_index,
                     y_last = whole ? y.last_index : y.commit_index;
            uint64_t last = x_last < y_last ? x_last : y_last;
            bool agreed = false;
            for (uint64_t i = last; i > 0; i--) { /* log matching (5.3): equal once, equal below */
                qr_entry_kind k, l;
                qr_slice p, q;
                uint64_t s = m->engine->ops->entry(m->engine, i, &k, &p);
                uint64_t t = n->engine->ops->entry(n->engine, i, &l, &q);
                if (s == 0 || t == 0)
                    break;
                if ((s == t && (k != l || !qr_slice_equal(p, q))) || (agreed && s != t))
                    world_fail(w, "log matching", "%d and %d differ at entry %d", (int)a, (int)b, (int)i);
                agreed = agreed || s == t;
            }
        }
    }
}

/* ------------------------------------------------------------ effects ---- */

static void persist(world *w, world_member *m, const qr_effect *effect)
{
    if (m->record_count == m->record_room) {
        m->record_room = m->record_room ? 2 * m->record_room : 64;
        m->records = qr_realloc(m->records, m->record_room * sizeof *m->records);
    }
    world_record *record = &m->records[m->record_count++];
    uint64_t start_ms = w->now_ms;
    *record = (world_record){.ticket = effect->persist.ticket,
                             .index_first = effect->persist.index_first,
                             .index_last = effect->persist.index_last,
                             .begins_segment = m->segment_wanted || m->record_count == 1,
                             .due_ms = start_ms + m->disk_ms};
    qr_buffer_add_slice(&record->bytes, effect->persist.record);
    if (record->begins_segment)
        m->engine->ops->brief(m->engine, &record->brief);
    m->segment_wanted = false;
}

static void hold(world_member *m, const qr_effect *effect)
{
    if (m->held_count == m->held_room) {
        m->held_room = m->held_room ? 2 * m->held_room : 16;
        m->held = qr_realloc(m->held, m->held_room * sizeof *m->held);
    }
    world_held *held = &m->held[m->held_count++];
    *held = (world_held){.after = effect->after, .to = effect->send.to};
    qr_buffer_add_slice(&held->bytes, effect->send.bytes);
}

static void note_refusal(world *w, world_member *m, const qr_effect *effect)
{
    m->refused_why = effect->refuse.why;
    m->refused_proposals += effect->refuse.what == QR_EVENT_PROPOSE;
    m->refused_members += effect->refuse.what == QR_EVENT_MEMBERS;
    m->refused_handovers += effect->refuse.what == QR_EVENT_HANDOVER;
    if (effect->refuse.what == QR_EVENT_READ) {
        m->refused_reads++;
        w->read_floor[effect->refuse.tag] = 0;
    }
}

/* The machine's state of the newest checkpoint, carried over. */
static void install(world *w, world_member *to, const world_member *from)
{
    if (from->checkpoint_index == 0)
        return;
    if (from->checkpoint_index > to->applied) {
        to->applied = to->checkpoint_index = from->checkpoint_index;
        to->applied_term = to->checkpoint_term = from->checkpoint_term;
        to->chain = to->checkpoint_chain = from->checkpoint_chain;
        qr_buffer_clear(&to->checkpoint_brief);
        qr_buffer_add_slice(&to->checkpoint_brief, qr_buffer_slice(&from->checkpoint_brief));
        to->segment_wanted = true;
    }
    world_step(w, to->id,
               &(qr_event){.kind = QR_EVENT_CHECKPOINT,
                           .checkpoint = {.index = from->checkpoint_index,
                                          .term = from->checkpoint_term,
                                          .received = true,
                                          .brief = qr_buffer_slice(&from->checkpoint_brief)}});
}

static void carry_out(world *w, world_member *m, const qr_effect *effect)
{
    switch (effect->kind) {
    case QR_EFFECT_PERSIST: persist(w, m, effect); break;
    case QR_EFFECT_SEND:
        if (effect->after > m->durable_ticket)
            hold(m, effect);
        else
            network_send(w, m->id, effect->send.to, effect->send.bytes);
        break;
    case QR_EFFECT_COMMIT: on_commit(w, m, effect); break;
    case QR_EFFECT_READ_AT: on_read_at(w, m, effect); break;
    case QR_EFFECT_REFUSE: note_refusal(w, m, effect); break;
    case QR_EFFECT_FETCH:
        if (m->fetching)
            world_fail(w, "one fetch at a time", "member %d", (int)m->id);
        m->fetches++;
        m->fetching = true;
        m->fetch_from = effect->fetch.from;
        m->fetch_to = effect->fetch.to;
        break;
    case QR_EFFECT_SEND_CHECKPOINT: {
        m->checkpoints_sent++;
        world_member *to = &w->member[effect->send_checkpoint.to];
        if (to->engine && !w->cut[m->id][to->id])
            install(w, to, m);
        break;
    }
    case QR_EFFECT_ROLE:
        m->role = effect->role.role;
        m->term = effect->role.term;
        m->leader = effect->role.leader;
        if (m->role == QR_LEADER)
            on_leader(w, m, m->term);
        break;
    case QR_EFFECT_HALT: m->halted = effect->halt.why; break;
    }
}

void world_step(world *w, uint64_t id, const qr_event *event)
{
    world_member *m = &w->member[id];
    QR_ASSERT(m->engine);
    qr_event stamped = *event;
    stamped.now_ms = w->now_ms;
    m->trace.now_ms = w->now_ms;
    m->untold = event->kind != QR_EVENT_TICK;
    w->steps++;
    qr_effects_clear(&m->effects);
    m->engine->ops->step(m->engine, &stamped, &m->effects);
    for (size_t i = 0; i < m->effects.count; i++)
        carry_out(w, m, &m->effects.list[i]);
    if (m->halted)
        world_fail(w, "nobody halts", "%d: %s", (int)id, m->halted);
}

/* ------------------------------------------------------------ disk ---- */

static bool disk_work(world *w, world_member *m)
{
    uint64_t ticket = m->durable_ticket;
    while (m->durable_count < m->record_count && m->records[m->durable_count].due_ms <= w->now_ms)
        ticket = m->records[m->durable_count++].ticket;
    if (ticket != m->durable_ticket) {
        m->durable_ticket = ticket;
        m->syncs++;
        size_t kept = 0;
        for (size_t i = 0; i < m->held_count; i++) {
            if (m->held[i].after > ticket) {
                m->held[kept++] = m->held[i];
                continue;
            }
            network_send(w, m->id, m->held[i].to, qr_buffer_slice(&m->held[i].bytes));
            qr_buffer_free(&m->held[i].bytes);
        }
        m->held_count = kept;
        world_step(w, m->id, &(qr_event){.kind = QR_EVENT_DURABLE, .durable = {.ticket = ticket}});
        return true;
    }
    if (!m->fetching)
        return false;
    m->fetching = false;
    qr_slice *found = qr_alloc((m->record_count + 1) * sizeof *found);
    size_t count = 0, size = 0;
    bool has_from = false;
    uint64_t last = m->fetch_from; /* greatest entry handed over */
    for (size_t i = 0; i < m->record_count; i++) {
        const world_record *record = &m->records[i];
        if (record->index_last < m->fetch_from || record->index_first > m->fetch_to ||
            record->index_first == 0)
            continue;
        /* Once it is enough, only what overrides something that is handed over. */
        if (size >= 4096 && has_from && record->index_first > last)
            continue;
        has_from = has_from || record->index_first <= m->fetch_from;
        last = record->index_last > last ? record->index_last : last;
        size += record->bytes.size;
        found[count++] = qr_buffer_slice(&record->bytes);
    }
    world_step(w, m->id,
               &(qr_event){.kind = QR_EVENT_ENTRIES,
                           .entries = {.from = m->fetch_from,
                                       .to = m->fetch_to,
                                       .status = has_from ? QR_OK : QR_E_NOT_FOUND,
                                       .records = found,
                                       .count = count}});
    qr_free(found);
    return true;
}

void world_checkpoint(world *w, uint64_t id)
{
    world_member *m = &w->member[id];
    if (m->applied <= m->checkpoint_index)
        return;
    m->checkpoint_index = m->applied;
    m->checkpoint_term = m->applied_term;
    m->checkpoint_chain = m->chain;
    world_step(w, id,
               &(qr_event){.kind = QR_EVENT_CHECKPOINT,
                           .checkpoint = {.index = m->checkpoint_index, .term = m->checkpoint_term}});
    qr_buffer_clear(&m->checkpoint_brief);
    m->engine->ops->brief(m->engine, &m->checkpoint_brief);
    m->segment_wanted = true;
    size_t free_to = 0, last_of_segment = 0; /* whole segments with nothing newer go */
    for (size_t i = 0; i < m->durable_count && m->records[i].index_last <= m->checkpoint_index; i++) {
        last_of_segment = i + 1;
        if (last_of_segment < m->durable_count && m->records[last_of_segment].begins_segment)
            free_to = last_of_segment;
    }
    for (size_t i = 0; i < free_to; i++)
        record_free(&m->records[i]);
    if (free_to)
        memmove(m->records, m->records + free_to, (m->record_count - free_to) * sizeof *m->records);
    m->record_count -= free_to;
    m->durable_count -= free_to;
}

/* ------------------------------------------------------------ lives ---- */

static void tell(void *context, const qr_trace_record *record)
{
    world_member *m = context;
    qr_buffer line = {0};
    qr_trace_say(record, NULL, NULL, &line);
    fprintf(m->story, "[%6d] %d %.*s\n", (int)record->now_ms, (int)m->id, (int)line.size,
            (const char *)line.data);
    qr_buffer_free(&line);
}

/* What a joiner's flags say: the cluster as it is, whose disks it does not know, and itself. */
static void list_as_learner(qr_members *members, uint64_t id)
{
    qr_members_add(members, (qr_member){.id = id});
    members->joint = 0;
    for (uint32_t i = 0; i < members->count; i++) {
        qr_member *member = &members->list[i];
        *member = (qr_member){.id = member->id,
                              .role = member->role != QR_ROLE_VOTER || member->id == id ? QR_ROLE_LEARNER
                                                                                        : QR_ROLE_VOTER};
    }
}

void world_boot(world *w, uint64_t id)
{
    world_member *m = &w->member[id];
    QR_ASSERT(m->engine == NULL);
    qr_trace_init(&m->trace, 0);
    m->story = w->story;
    m->trace.context = m;
    m->trace.sink = w->story ? tell : NULL;
    qr_effects_init(&m->effects);
    qr_engine_config config = w->config;
    config.self = id;
    config.incarnation = m->incarnation;
    if (m->joins && m->flags.count == 0) {
        m->flags = w->members;
        list_as_learner(&m->flags, id);
    }
    if (m->joins)
        config.members = m->flags;
    if (m->election_ms)
        config.election_ms = m->election_ms;
    config.seed = w->config.seed * 1000 + id * 100 + m->life++;
    config.now_ms = w->now_ms;
    config.trace = &m->trace;
    m->engine = w->engine->open(&config);
    m->durable_ticket = 0;
    m->halted = NULL;
    m->fetching = false;
    m->untold = true;
    m->segment_wanted = true;
    m->role = QR_FOLLOWER;
    m->leader = 0;
    for (size_t i = 0; i < m->record_count; i++) {
        m->records[i].ticket = 0;
        if (i == 0 && m->engine->ops->recall(m->engine, qr_buffer_slice(&m->records[i].brief), true) != QR_OK)
            world_fail(w, "recall", "%d refuses its own brief", (int)id);
        if (m->engine->ops->recall(m->engine, qr_buffer_slice(&m->records[i].bytes), false) != QR_OK)
            world_fail(w, "recall", "%d refuses its own record %d", (int)id, (int)i);
    }
    m->applied = m->checkpoint_index;
    m->applied_term = m->checkpoint_term;
    m->chain = m->checkpoint_chain;
    if (m->checkpoint_index)
        world_step(w, id,
                   &(qr_event){.kind = QR_EVENT_CHECKPOINT,
                               .checkpoint = {.index = m->checkpoint_index,
                                              .term = m->checkpoint_term,
                                              .brief = qr_buffer_slice(&m->checkpoint_brief)}});
    for (uint64_t peer = 1; peer <= w->count; peer++) {
        if (peer == id || !w->member[peer].engine || w->cut[id][peer] || w->cut[peer][id])
            continue;
        world_link(w, id, peer, true);
        world_link(w, peer, id, true);
    }
}

void world_boot_all(world *w)
{
    for (uint64_t id = 1; id <= w->count; id++)
        world_boot(w, id);
}

void world_crash(world *w, uint64_t id)
{
    world_member *m = &w->member[id];
    QR_ASSERT(m->engine);
    m->engine->ops->free(m->engine);
    m->engine = NULL;
    qr_effects_free(&m->effects);
    qr_trace_free(&m->trace);
    forget_held(m);
    /* What was written and not synced may be there or not; a tail is always lost as a tail. */
    size_t kept = m->durable_count + qr_prng_below(&w->prng, m->record_count - m->durable_count + 1);
    for (size_t i = kept; i < m->record_count; i++)
        record_free(&m->records[i]);
    m->record_count = m->durable_count = kept;
    for (uint64_t peer = 1; peer <= w->count; peer++)
        if (peer != id && w->member[peer].engine && !w->cut[id][peer] && !w->cut[peer][id])
            world_link(w, peer, id, false);
    size_t left = 0; /* its connections are gone, with what was in them */
    for (size_t i = 0; i < w->message_count; i++) {
        if (w->messages[i].to == id)
            qr_buffer_free(&w->messages[i].bytes);
        else
            w->messages[left++] = w->messages[i];
    }
    w->message_count = left;
}

void world_wipe(world *w, uint64_t id)
{
    world_member *m = &w->member[id];
    if (m->engine)
        world_crash(w, id);
    for (size_t i = 0; i < m->record_count; i++)
        record_free(&m->records[i]);
    m->record_count = m->durable_count = 0;
    m->checkpoint_index = m->checkpoint_term = m->checkpoint_chain = 0;
    qr_buffer_clear(&m->checkpoint_brief);
    memset(w->voted[id], 0, sizeof w->voted[id]); /* one vote a term and disk */
    m->incarnation++;
    m->flags.count = 0;
    m->joins = true;
}

void world_link(world *w, uint64_t id, uint64_t peer, bool up)
{
    if (w->member[id].engine)
        world_step(w, id, &(qr_event){.kind = QR_EVENT_LINK, .link = {.peer = peer, .up = up}});
}

void world_cut_both(world *w, uint64_t a, uint64_t b, bool cut)
{
    w->cut[a][b] = w->cut[b][a] = cut;
}

void world_isolate(world *w, uint64_t id, bool cut)
{
    for (uint64_t peer = 1; peer <= w->count; peer++)
        if (peer != id)
            world_cut_both(w, id, peer, cut);
}

void world_propose(world *w, uint64_t id, const char *text)
{
    qr_slice command = qr_slice_text(text);
    world_step(w, id, &(qr_event){.kind = QR_EVENT_PROPOSE, .propose = {.commands = &command, .count = 1}});
}

void world_change(world *w, uint64_t id, const qr_members *wanted)
{
    world_step(w, id, &(qr_event){.kind = QR_EVENT_MEMBERS, .members = {.wanted = wanted, .tag = w->steps}});
}

uint64_t world_read(world *w, uint64_t id)
{
    uint64_t tag = w->next_tag++;
    QR_ASSERT(tag < WORLD_READS_MAX);
    w->read_floor[tag] = w->committed_max + 1;
    world_step(w, id, &(qr_event){.kind = QR_EVENT_READ, .read = {.tag = tag}});
    return tag;
}

void world_preset(world *w, uint64_t id, const uint64_t *terms, size_t count, uint64_t term, uint64_t vote)
{
    world_member *m = &w->member[id];
    qr_engine_config config = w->config;
    config.self = id;
    qr_engine *empty = qr_raft.open(&config);
    m->records = qr_realloc(m->records, 64 * sizeof *m->records);
    m->record_room = 64;
    m->record_count = m->durable_count = 1;
    m->records[0] = (world_record){.begins_segment = true, .index_first = count ? 1 : 0, .index_last = count};
    empty->ops->brief(empty, &m->records[0].brief);
    empty->ops->free(empty);
    qr_buffer *out = &m->records[0].bytes; /* doc/formats/peer.md, "Records" */
    qr_buffer_u8(out, 1);
    qr_buffer_u8(out, count ? 5 : 1);
    qr_buffer_varint(out, term);
    qr_buffer_u64(out, vote);
    if (count) {
        qr_buffer_varint(out, 1);
        qr_buffer_varint(out, 0);
        qr_buffer_varint(out, count);
    }
    for (size_t i = 0; i < count; i++) {
        qr_buffer_varint(out, terms[i]);
        qr_buffer_u8(out, QR_ENTRY_COMMAND);
        qr_buffer_bytes(out, qr_slice_text("preset"));
    }
}

const char *world_terms(const world *w, uint64_t id, qr_buffer *out)
{
    qr_engine *engine = w->member[id].engine;
    qr_engine_status status;
    engine->ops->status(engine, &status);
    qr_buffer_clear(out);
    for (uint64_t i = status.first_index; i <= status.last_index; i++) {
        qr_entry_kind kind;
        qr_slice bytes;
        qr_buffer_format(out, out->size ? " %d" : "%d", (int)engine->ops->entry(engine, i, &kind, &bytes));
    }
    qr_buffer_u8(out, 0);
    return (const char *)out->data;
}

/* ------------------------------------------------------------ time ---- */

static void work_at_now(world *w)
{
    for (int turn = 0; turn < 10000 && !w->violation; turn++) {
        bool busy = false;
        while (!w->violation && network_deliver(w))
            busy = true;
        for (uint64_t id = 1; id <= w->count && !w->violation; id++) {
            world_member *m = &w->member[id];
            if (!m->engine)
                continue;
            while (disk_work(w, m))
                busy = true;
            if (m->untold || m->engine->ops->wake_ms(m->engine) <= w->now_ms) {
                world_step(w, id, &(qr_event){.kind = QR_EVENT_TICK});
                busy = true;
            }
        }
        if (!busy)
            return;
    }
    world_fail(w, "a turn ends", "the members never get quiet at %d ms", (int)w->now_ms);
}

static uint64_t next_ms(const world *w)
{
    uint64_t next = UINT64_MAX;
    for (size_t i = 0; i < w->message_count; i++)
        next = w->messages[i].due_ms < next ? w->messages[i].due_ms : next;
    for (uint64_t id = 1; id <= w->count; id++) {
        const world_member *m = &w->member[id];
        if (!m->engine)
            continue;
        uint64_t wake = m->engine->ops->wake_ms(m->engine);
        next = wake < next ? wake : next;
        if (m->durable_count < m->record_count && m->records[m->durable_count].due_ms < next)
            next = m->records[m->durable_count].due_ms;
    }
    return next > w->now_ms ? next : w->now_ms + 1;
}

bool world_until(world *w, uint64_t ms, bool (*what)(const world *w))
{
    uint64_t end = w->now_ms + ms;
    work_at_now(w);
    while (!w->violation && !(what && what(w))) {
        uint64_t next = next_ms(w);
        if (next > end) {
            w->now_ms = end;
            break;
        }
        w->now_ms = next;
        work_at_now(w);
    }
    world_check(w);
    return !w->violation && (what == NULL || what(w));
}

void world_run(world *w, uint64_t ms)
{
    world_until(w, ms, NULL);
}

uint64_t world_leader(const world *w)
{
    uint64_t leader = 0, term = 0;
    for (uint64_t id = 1; id <= w->count; id++) {
        const world_member *m = &w->member[id];
        if (m->engine && m->role == QR_LEADER && m->term > term) {
            leader = id;
            term = m->term;
        }
    }
    return leader;
}

bool world_has_leader(const world *w)
{
    uint64_t leader = world_leader(w);
    if (leader == 0)
        return false;
    uint32_t followers = 0, voters = 0;
    qr_engine_status status;
    w->engine->status(w->member[leader].engine, &status);
    for (uint32_t i = 0; i < status.members.count; i++) {
        const world_member *m = &w->member[status.members.list[i].id];
        if (status.members.list[i].role != QR_ROLE_VOTER)
            continue;
        voters++;
        followers += m->engine && m->leader == leader && m->term == w->member[leader].term;
    }
    const world_member *m = &w->member[leader];
    return followers > voters / 2 && m->applied_term == m->term;
}

bool world_is_even(const world *w)
{
    if (!world_has_leader(w))
        return false;
    qr_engine_status status;
    w->engine->status(w->member[world_leader(w)].engine, &status);
    for (uint32_t i = 0; i < status.members.count; i++) {
        const world_member *m = &w->member[status.members.list[i].id];
        if (m->engine && (m->applied != w->committed_max || m->leader != world_leader(w)))
            return false;
    }
    return true;
}

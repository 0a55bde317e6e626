#include "fixed/internal.h"

/* The whole idea. The leader writes what is proposed to its disk, and only what is on its disk goes out (SEND
 * carries the ticket), so its log is always at least as long as anybody's and nothing ever conflicts: there
 * are no terms and no truncation. A follower adds what fits behind its last entry and acknowledges what is on
 * its disk. Loss is repaired by the leader alone: on a heartbeat without progress it starts again behind the
 * last acknowledged entry. */

enum { TERM = 1 };

typedef struct fixed_peer {
    uint64_t id;
    uint64_t next;  /* the next index to send */
    uint64_t match; /* known to be on its disk; of ourselves: on ours */
    uint64_t match_at_beat;
    uint64_t round; /* the newest read round it has answered */
} fixed_peer;

typedef struct fixed_ticket {
    uint64_t ticket, last;
} fixed_ticket;

typedef struct fixed_read {
    uint64_t tag;
    uint64_t round, index; /* leader: may be served from index on once a majority has answered the round */
    uint64_t from, life;   /* leader: the follower that asked; 0 = our own node */
    bool asked;            /* follower: the leader was asked since the last retry */
} fixed_read;

typedef struct fixed {
    qr_engine base;
    uint64_t self, leader, life;
    uint32_t heartbeat_ms;
    size_t memory_max, message_max;
    qr_members members;
    qr_trace *trace;

    fixed_log log;       /* the recent entries */
    fixed_log window;    /* older ones that were fetched for somebody */
    uint64_t checkpoint; /* entries up to here are in a checkpoint */
    uint64_t recalled;   /* the last entry found on the disk at boot */
    uint64_t commit, emitted;
    size_t uncommitted_bytes;
    fixed_ticket *tickets; /* those under way, oldest first; owned */
    size_t ticket_count, ticket_room;
    uint64_t ticket;
    bool fetching;
    uint64_t fetch_from;

    fixed_peer peers[QR_MEMBERS_MAX]; /* in the order of members.list, ourselves included */
    uint64_t beat_ms;                 /* leader: when the next heartbeat is due */
    bool urgent;                      /* leader: something new for everybody at the next TICK */
    uint64_t round;
    uint64_t ask_ms;   /* follower with open reads: when the leader is asked again */
    fixed_read *reads; /* owned */
    size_t read_count, read_room;

    uint64_t heard_life, heard_round; /* follower: what is to be answered at the next TICK */
    bool must_answer, must_promise;
    bool announced;
    const char *broken;
} fixed;

static fixed *fixed_of(qr_engine *engine)
{
    return (fixed *)engine;
}
static const fixed *fixed_of_const(const qr_engine *engine)
{
    return (const fixed *)engine;
}
static bool leads(const fixed *self)
{
    return self->self == self->leader;
}
static uint64_t last_of(const fixed *self)
{
    return qr_fixed_log_next(&self->log) - 1;
}

static fixed_peer *peer_of(fixed *self, uint64_t id)
{
    for (uint32_t i = 0; i < self->members.count; i++)
        if (self->peers[i].id == id)
            return &self->peers[i];
    return NULL;
}

static uint64_t match_of(const void *context, uint64_t id)
{
    const fixed *self = context;
    for (uint32_t i = 0; i < self->members.count; i++)
        if (self->peers[i].id == id)
            return self->peers[i].match;
    return 0;
}

static uint64_t round_of(const void *context, uint64_t id)
{
    const fixed *self = context;
    for (uint32_t i = 0; i < self->members.count; i++)
        if (self->peers[i].id == id)
            return self->peers[i].round;
    return 0;
}

static void adopt_members(fixed *self, const qr_members *members)
{
    self->members = *members;
    self->leader = 0;
    memset(self->peers, 0, sizeof self->peers);
    for (uint32_t i = 0; i < members->count; i++) {
        self->peers[i] = (fixed_peer){.id = members->list[i].id, .next = 1};
        if (members->list[i].role == QR_ROLE_VOTER && self->leader == 0)
            self->leader = members->list[i].id; /* the list is sorted: the smallest voter */
    }
}

static const fixed_entry *entry_at(const fixed *self, uint64_t index)
{
    const fixed_entry *entry = qr_fixed_log_find(&self->log, index);
    return entry ? entry : qr_fixed_log_find(&self->window, index);
}

/* The ticket that has to be durable before anybody may hear that we have entry `last`; 0 = it is. */
static uint64_t ticket_for(const fixed *self, uint64_t last)
{
    for (size_t i = 0; i < self->ticket_count; i++)
        if (self->tickets[i].last >= last)
            return self->tickets[i].ticket;
    return 0;
}

static uint64_t durable_last(const fixed *self)
{
    const fixed_peer *own = NULL;
    for (uint32_t i = 0; i < self->members.count; i++)
        if (self->peers[i].id == self->self)
            own = &self->peers[i];
    return own ? own->match : 0;
}

static qr_slice take_buffer(qr_effects *effects, qr_buffer *buffer)
{
    qr_slice copy = qr_arena_copy(&effects->arena, qr_buffer_slice(buffer));
    qr_buffer_free(buffer);
    return copy;
}

/* ------------------------------------------------------------------ open ---- */

static qr_engine *fixed_open(const qr_engine_config *config)
{
    QR_ASSERT(config->heartbeat_ms > 0);
    fixed *self = qr_alloc_zero(1, sizeof *self);
    self->base.ops = &qr_fixed;
    self->self = config->self;
    self->heartbeat_ms = config->heartbeat_ms;
    self->memory_max = config->memory_max ? config->memory_max : QR_FIXED_MEMORY_MAX;
    self->message_max = config->message_max ? config->message_max : QR_FIXED_MESSAGE_MAX;
    self->trace = config->trace;
    self->life = qr_hash_mix(qr_hash_mix(config->seed, config->incarnation), config->now_ms);
    self->log.first = 1;
    self->window.first = 1;
    adopt_members(self, &config->members);
    return &self->base;
}

static void fixed_free(qr_engine *engine)
{
    fixed *self = fixed_of(engine);
    qr_fixed_log_free(&self->log);
    qr_fixed_log_free(&self->window);
    qr_free(self->tickets);
    qr_free(self->reads);
    qr_free(self);
}

static void fixed_brief(const qr_engine *engine, qr_buffer *out)
{
    const fixed *self = fixed_of_const(engine);
    qr_buffer_u8(out, QR_FIXED_FORMAT);
    qr_buffer_u64(out, self->checkpoint);
    qr_members_encode(&self->members, out);
}

static qr_status recall_brief(fixed *self, qr_slice bytes)
{
    qr_reader reader = qr_reader_of(bytes);
    if (qr_reader_u8(&reader) != QR_FIXED_FORMAT)
        return QR_E_BAD_VERSION;
    uint64_t checkpoint = qr_reader_u64(&reader);
    qr_members members;
    qr_status status = qr_members_decode(&reader, &members);
    if (status != QR_OK || reader.failed)
        return QR_E_CORRUPT;
    adopt_members(self, &members);
    self->checkpoint = checkpoint;
    self->commit = self->emitted = checkpoint;
    qr_fixed_log_restart(&self->log, checkpoint + 1);
    return QR_OK;
}

/* Forgets entries that memory has no room for; they are in our own log on the disk. */
static void trim(fixed *self)
{
    if (self->log.bytes <= self->memory_max)
        return;
    uint64_t settled = self->emitted > self->recalled ? self->emitted : self->recalled;
    if (settled > durable_last(self))
        settled = durable_last(self);
    size_t bytes = self->log.bytes;
    uint64_t index = self->log.first;
    for (; index <= settled && bytes > self->memory_max / 2; index++)
        bytes -= qr_fixed_log_find(&self->log, index)->bytes.size;
    qr_fixed_log_drop_before(&self->log, index);
}

static qr_status fixed_recall(qr_engine *engine, qr_slice record, bool is_brief)
{
    fixed *self = fixed_of(engine);
    if (is_brief)
        return recall_brief(self, record);
    qr_reader reader = qr_reader_of(record);
    if (qr_reader_u8(&reader) != QR_FIXED_FORMAT)
        return QR_E_BAD_VERSION;
    uint64_t first = qr_reader_u64(&reader);
    uint64_t next = qr_fixed_log_next(&self->log);
    if (reader.failed || first > next)
        return QR_E_CORRUPT; /* a gap: something acknowledged is missing */
    if (qr_fixed_decode_entries(&reader, first, next, &self->log) != QR_OK)
        return QR_E_CORRUPT;
    self->recalled = last_of(self);
    fixed_peer *own = peer_of(self, self->self);
    if (own)
        own->match = self->recalled;
    trim(self);
    return QR_OK;
}

/* --------------------------------------------------------------- effects ---- */

static void persist(fixed *self, uint64_t first, uint64_t last, qr_effects *effects)
{
    QR_ASSERT(first <= last);
    qr_buffer buffer;
    qr_buffer_init(&buffer);
    qr_fixed_encode_record(&self->log, first, last, &buffer);
    if (self->ticket_count == self->ticket_room) {
        self->ticket_room = self->ticket_room ? self->ticket_room * 2 : 16;
        self->tickets = qr_realloc(self->tickets, self->ticket_room * sizeof *self->tickets);
    }
    self->tickets[self->ticket_count++] = (fixed_ticket){.ticket = ++self->ticket, .last = last};
    qr_effect *effect = qr_effects_add(effects, QR_EFFECT_PERSIST, 0);
    effect->persist.ticket = self->ticket;
    effect->persist.record = take_buffer(effects, &buffer);
    effect->persist.index_first = first;
    effect->persist.index_last = last;
    qr_trace_add(self->trace, QR_TRACE_APPEND, first, last, TERM, 0);
}

static void refuse(fixed *self, qr_event_kind what, uint64_t tag, qr_status why, qr_effects *effects)
{
    qr_effect *effect = qr_effects_add(effects, QR_EFFECT_REFUSE, 0);
    effect->refuse.what = what;
    effect->refuse.tag = tag;
    effect->refuse.leader = self->leader;
    effect->refuse.why = why;
}

static void fetch(fixed *self, uint64_t from, uint64_t to, qr_effects *effects)
{
    QR_ASSERT(from <= to);
    if (self->fetching)
        return;
    self->fetching = true;
    self->fetch_from = from;
    qr_effect *effect = qr_effects_add(effects, QR_EFFECT_FETCH, 0);
    effect->fetch.from = from;
    effect->fetch.to = to;
    qr_trace_add(self->trace, QR_TRACE_FETCH, from, to, 0, 0);
}

static void emit_commits(fixed *self, qr_effects *effects)
{
    while (self->emitted < self->commit) {
        const fixed_entry *entry = entry_at(self, self->emitted + 1);
        if (entry == NULL) {
            fetch(self, self->emitted + 1, self->commit, effects);
            return;
        }
        self->emitted++;
        qr_effect *effect = qr_effects_add(effects, QR_EFFECT_COMMIT, 0);
        effect->commit.index = self->emitted;
        effect->commit.term = TERM;
        effect->commit.kind = entry->kind;
        effect->commit.bytes = entry->bytes;
        if (self->emitted > self->recalled)
            self->uncommitted_bytes -= entry->bytes.size;
    }
}

static void know_commit(fixed *self, uint64_t commit, qr_effects *effects)
{
    if (commit > last_of(self))
        commit = last_of(self); /* bounded by what we have (facts row 5) */
    if (commit > self->commit) {
        self->commit = commit;
        qr_trace_add(self->trace, QR_TRACE_COMMIT, commit, TERM, 0, 0);
    }
    emit_commits(self, effects);
}

static void send_plain(const fixed_message *message, uint64_t to, uint64_t after, qr_effects *effects)
{
    qr_buffer buffer;
    qr_buffer_init(&buffer);
    qr_fixed_encode_message(message, &buffer);
    qr_effect *effect = qr_effects_add(effects, QR_EFFECT_SEND, after);
    effect->send.to = to;
    effect->send.bytes = take_buffer(effects, &buffer);
}

static void serve_reads(fixed *self, qr_effects *effects)
{
    uint64_t confirmed = qr_quorum_value(&self->members, round_of, self);
    size_t kept = 0;
    for (size_t i = 0; i < self->read_count; i++) {
        const fixed_read *read = &self->reads[i];
        if (read->round > confirmed) {
            self->reads[kept++] = *read;
            continue;
        }
        qr_trace_add(self->trace, QR_TRACE_READ_DONE, read->round, read->index, 0, 0);
        if (read->from != 0) {
            fixed_message told = {
                .kind = FIXED_TELL, .life = read->life, .round = read->tag, .first = read->index};
            send_plain(&told, read->from, 0, effects);
            continue;
        }
        qr_effect *effect = qr_effects_add(effects, QR_EFFECT_READ_AT, 0);
        effect->read_at.tag = read->tag;
        effect->read_at.index = read->index;
    }
    self->read_count = kept;
}

/* One message: what the peer lacks, at most message_max bytes of it, or a bare heartbeat. */
static void send_append(fixed *self, fixed_peer *peer, qr_effects *effects)
{
    uint64_t first = peer->next, last = first - 1;
    size_t bytes = 0;
    while (last < last_of(self)) {
        const fixed_entry *entry = entry_at(self, last + 1);
        if (entry == NULL && last < first)
            fetch(self, first, last_of(self), effects);
        if (entry == NULL || (bytes > 0 && bytes + entry->bytes.size > self->message_max))
            break;
        bytes += entry->bytes.size;
        last++;
    }
    fixed_message message = {.kind = FIXED_APPEND,
                             .life = self->life,
                             .round = self->round,
                             .commit = self->commit,
                             .first = first};
    qr_buffer buffer;
    qr_buffer_init(&buffer);
    qr_fixed_encode_message(&message, &buffer);
    qr_buffer_varint(&buffer, last + 1 - first);
    for (uint64_t index = first; index <= last; index++) {
        const fixed_entry *entry = entry_at(self, index);
        qr_buffer_u8(&buffer, (uint8_t)entry->kind);
        qr_buffer_bytes(&buffer, entry->bytes);
    }
    qr_effect *effect = qr_effects_add(effects, QR_EFFECT_SEND, last < first ? 0 : ticket_for(self, last));
    effect->send.to = peer->id;
    effect->send.bytes = take_buffer(effects, &buffer);
    peer->next = last + 1;
}

static void send_ack(fixed *self, uint64_t last, uint64_t after, qr_effects *effects)
{
    fixed_message message = {
        .kind = FIXED_ACK, .life = self->heard_life, .round = self->heard_round, .first = last};
    send_plain(&message, self->leader, after, effects);
}

/* ---------------------------------------------------------------- events ---- */

static void on_propose(fixed *self, const qr_event *event, qr_effects *effects)
{
    if (!leads(self)) {
        refuse(self, QR_EVENT_PROPOSE, 0, QR_E_NOT_LEADER, effects);
        return;
    }
    size_t bytes = 0;
    for (size_t i = 0; i < event->propose.count; i++)
        bytes += event->propose.commands[i].size;
    if (self->uncommitted_bytes > 0 && self->uncommitted_bytes + bytes > QR_FIXED_UNCOMMITTED_MAX) {
        refuse(self, QR_EVENT_PROPOSE, 0, QR_E_BUSY, effects);
        return;
    }
    uint64_t first = last_of(self) + 1;
    for (size_t i = 0; i < event->propose.count; i++)
        qr_fixed_log_add(&self->log, QR_ENTRY_COMMAND, event->propose.commands[i]);
    self->uncommitted_bytes += bytes;
    persist(self, first, last_of(self), effects);
    self->urgent = true;
}

static fixed_read *add_read(fixed *self)
{
    if (self->read_count == self->read_room) {
        self->read_room = self->read_room ? self->read_room * 2 : 16;
        self->reads = qr_realloc(self->reads, self->read_room * sizeof *self->reads);
    }
    fixed_read *read = &self->reads[self->read_count++];
    *read = (fixed_read){0};
    return read;
}

/* Leader: a fresh round for each batch of reads, so that no older answer can confirm it (facts row 11). */
static void start_round(fixed *self, uint64_t tag, uint64_t from, uint64_t life, qr_effects *effects)
{
    /* What was acknowledged before this life is in what we recalled: the leader's log is the longest. */
    uint64_t index = self->commit > self->recalled ? self->commit : self->recalled;
    *add_read(self) =
        (fixed_read){.tag = tag, .round = ++self->round, .index = index, .from = from, .life = life};
    peer_of(self, self->self)->round = self->round;
    qr_trace_add(self->trace, QR_TRACE_READ_ROUND, self->round, index, 0, 0);
    self->urgent = true;
    serve_reads(self, effects);
}

static void on_read(fixed *self, const qr_event *event, qr_effects *effects)
{
    if (self->read_count >= QR_FIXED_READS_MAX)
        refuse(self, QR_EVENT_READ, event->read.tag, QR_E_BUSY, effects);
    else if (leads(self))
        start_round(self, event->read.tag, 0, 0, effects);
    else
        add_read(self)->tag = event->read.tag; /* the leader is asked at the end of the turn */
}

/* Follower: the leader says from which index on the read of that tag may be served. */
static void on_tell(fixed *self, const fixed_message *message, qr_effects *effects)
{
    if (message->life != self->life)
        return; /* an answer to an earlier life of ours, whose tags may be the same */
    for (size_t i = 0; i < self->read_count; i++) {
        if (self->reads[i].tag != message->round)
            continue;
        self->reads[i] = self->reads[--self->read_count];
        qr_effect *effect = qr_effects_add(effects, QR_EFFECT_READ_AT, 0);
        effect->read_at.tag = message->round;
        effect->read_at.index = message->first;
        return;
    }
}

static void on_ask(fixed *self, uint64_t from, const fixed_message *message, qr_effects *effects)
{
    if (self->read_count < QR_FIXED_READS_MAX && peer_of(self, from) != NULL)
        start_round(self, message->round, from, message->life, effects);
}

static void on_durable(fixed *self, uint64_t ticket, qr_effects *effects)
{
    fixed_peer *own = peer_of(self, self->self);
    size_t done = 0;
    while (done < self->ticket_count && self->tickets[done].ticket <= ticket) {
        QR_ASSERT(own == NULL || self->tickets[done].last >= own->match);
        if (own)
            own->match = self->tickets[done].last;
        done++;
    }
    self->ticket_count -= done;
    memmove(self->tickets, self->tickets + done, self->ticket_count * sizeof *self->tickets);
    if (leads(self))
        know_commit(self, qr_quorum_value(&self->members, match_of, self), effects);
}

static void on_append(fixed *self, const fixed_message *message, qr_effects *effects)
{
    uint64_t next = qr_fixed_log_next(&self->log);
    self->heard_life = message->life;
    self->heard_round = message->round;
    self->must_answer = true;
    if (message->first <= next) { /* else a hole: the leader starts again behind what we have */
        size_t before = self->log.bytes;
        qr_reader reader = qr_reader_of(message->entries);
        if (qr_fixed_decode_entries(&reader, message->first, next, &self->log) != QR_OK) {
            qr_fixed_log_drop_from(&self->log, next);
            qr_trace_add(self->trace, QR_TRACE_DROP, self->leader, QR_E_INVALID, 0, 0);
            return;
        }
        self->uncommitted_bytes += self->log.bytes - before;
        if (last_of(self) >= next) {
            persist(self, next, last_of(self), effects);
            self->must_promise = true;
        }
    }
    know_commit(self, message->commit, effects);
}

static void on_ack(fixed *self, uint64_t from, const fixed_message *message, qr_effects *effects)
{
    fixed_peer *peer = peer_of(self, from);
    if (peer == NULL || message->first > last_of(self)) {
        qr_trace_add(self->trace, QR_TRACE_DROP, from, QR_E_INVALID, 0, 0);
        return;
    }
    if (message->first > peer->match) {
        peer->match = message->first;
        self->urgent |= peer->next <= last_of(self); /* only progress makes us send more (facts row 23) */
    }
    if (peer->next <= peer->match)
        peer->next = peer->match + 1;
    if (message->life == self->life && message->round <= self->round && message->round > peer->round)
        peer->round = message->round;
    know_commit(self, qr_quorum_value(&self->members, match_of, self), effects);
    serve_reads(self, effects);
}

static void on_recv(fixed *self, const qr_event *event, qr_effects *effects)
{
    fixed_message message;
    qr_status status = qr_fixed_decode_message(event->recv.bytes, &message);
    if (status == QR_OK && message.kind == FIXED_APPEND && event->recv.from == self->leader && !leads(self))
        on_append(self, &message, effects);
    else if (status == QR_OK && message.kind == FIXED_ACK && leads(self))
        on_ack(self, event->recv.from, &message, effects);
    else if (status == QR_OK && message.kind == FIXED_ASK && leads(self))
        on_ask(self, event->recv.from, &message, effects);
    else if (status == QR_OK && message.kind == FIXED_TELL && event->recv.from == self->leader &&
             !leads(self))
        on_tell(self, &message, effects);
    else
        qr_trace_add(self->trace, QR_TRACE_DROP, event->recv.from, QR_E_INVALID, 0, 0);
}

static void on_entries(fixed *self, const qr_event *event, qr_effects *effects)
{
    self->fetching = false;
    if (event->entries.status != QR_OK) {
        qr_effects_add(effects, QR_EFFECT_HALT, 0)->halt.why = "an entry that is needed is gone from the log";
        return;
    }
    qr_fixed_log_restart(&self->window, self->fetch_from);
    for (size_t i = 0; i < event->entries.count; i++) {
        qr_reader reader = qr_reader_of(event->entries.records[i]);
        uint8_t format = qr_reader_u8(&reader);
        uint64_t first = qr_reader_u64(&reader), next = qr_fixed_log_next(&self->window);
        if (reader.failed || format != QR_FIXED_FORMAT || first > next ||
            qr_fixed_decode_entries(&reader, first, next, &self->window) != QR_OK) {
            qr_effects_add(effects, QR_EFFECT_HALT, 0)->halt.why = "a record of the log cannot be read";
            return;
        }
    }
    emit_commits(self, effects);
    self->urgent = true;
}

static void on_checkpoint(fixed *self, const qr_event *event)
{
    if (event->checkpoint.received || event->checkpoint.index > self->emitted)
        return; /* a follower is never that far behind here: nothing is freed before everybody has it */
    if (event->checkpoint.index > self->checkpoint)
        self->checkpoint = event->checkpoint.index;
}

static void lead(fixed *self, uint64_t now_ms, qr_effects *effects)
{
    bool beat = now_ms >= self->beat_ms;
    for (uint32_t i = 0; i < self->members.count; i++) {
        fixed_peer *peer = &self->peers[i];
        if (peer->id == self->self)
            continue;
        if (beat && peer->match == peer->match_at_beat)
            peer->next = peer->match + 1; /* a heartbeat without progress: something was lost */
        if (beat)
            peer->match_at_beat = peer->match;
        if (beat || self->urgent)
            send_append(self, peer, effects);
    }
    if (beat)
        self->beat_ms = now_ms + self->heartbeat_ms;
    self->urgent = false;
}

/* Follower: asks for the reads that came in since the last turn, and again for all of them once a heartbeat.
 */
static void ask(fixed *self, uint64_t now_ms, qr_effects *effects)
{
    bool again = now_ms >= self->ask_ms;
    for (size_t i = 0; i < self->read_count; i++) {
        fixed_read *read = &self->reads[i];
        if (read->asked && !again)
            continue;
        read->asked = true;
        fixed_message message = {.kind = FIXED_ASK, .life = self->life, .round = read->tag};
        send_plain(&message, self->leader, 0, effects);
    }
    if (again)
        self->ask_ms = now_ms + self->heartbeat_ms;
}

static void on_tick(fixed *self, uint64_t now_ms, qr_effects *effects)
{
    if (!self->announced) {
        self->announced = true;
        qr_engine_role role = leads(self)                                    ? QR_LEADER
                              : qr_members_votes(&self->members, self->self) ? QR_FOLLOWER
                                                                             : QR_LEARNER;
        qr_effect *effect = qr_effects_add(effects, QR_EFFECT_ROLE, 0);
        effect->role.role = role;
        effect->role.term = TERM;
        effect->role.leader = self->leader;
        qr_trace_add(self->trace, QR_TRACE_ROLE, TERM, role, self->leader, 0);
    }
    if (leads(self)) {
        know_commit(self, qr_quorum_value(&self->members, match_of, self), effects);
        lead(self, now_ms, effects);
        return;
    }
    if (self->must_promise)
        send_ack(self, last_of(self), ticket_for(self, last_of(self)), effects);
    else if (self->must_answer)
        send_ack(self, durable_last(self), 0, effects);
    self->must_answer = self->must_promise = false;
    ask(self, now_ms, effects);
}

static void fixed_step(qr_engine *engine, const qr_event *event, qr_effects *effects)
{
    fixed *self = fixed_of(engine);
    qr_effects_clear(effects);
    trim(self);
    switch (event->kind) {
    case QR_EVENT_TICK: on_tick(self, event->now_ms, effects); break;
    case QR_EVENT_RECV: on_recv(self, event, effects); break;
    case QR_EVENT_LINK: break; /* nobody takes over, so nobody needs to know */
    case QR_EVENT_PROPOSE: on_propose(self, event, effects); break;
    case QR_EVENT_READ: on_read(self, event, effects); break;
    case QR_EVENT_DURABLE: on_durable(self, event->durable.ticket, effects); break;
    case QR_EVENT_APPLIED: break;
    case QR_EVENT_ENTRIES: on_entries(self, event, effects); break;
    case QR_EVENT_CHECKPOINT: on_checkpoint(self, event); break;
    case QR_EVENT_MEMBERS: refuse(self, event->kind, event->members.tag, QR_E_UNSUPPORTED, effects); break;
    case QR_EVENT_HANDOVER: refuse(self, event->kind, 0, QR_E_UNSUPPORTED, effects); break;
    }
    if (self->emitted > self->commit || self->commit > last_of(self))
        self->broken = "commit-within-log";
    if (durable_last(self) > last_of(self))
        self->broken = "durable-within-log";
}

/* --------------------------------------------------------------- looking ---- */

static uint64_t fixed_wake_ms(const qr_engine *engine)
{
    const fixed *self = fixed_of_const(engine);
    if (!self->announced)
        return 0;
    if (leads(self))
        return self->beat_ms;
    return self->read_count > 0 ? self->ask_ms : UINT64_MAX;
}

static const char *fixed_broken(const qr_engine *engine)
{
    return fixed_of_const(engine)->broken;
}

static void fixed_status(const qr_engine *engine, qr_engine_status *status)
{
    const fixed *self = fixed_of_const(engine);
    *status = (qr_engine_status){
        .role = leads(self) ? QR_LEADER : QR_FOLLOWER,
        .term = TERM,
        .leader = self->leader,
        .commit_index = self->commit,
        .last_index = last_of(self),
        .first_index = self->checkpoint + 1,
        .members = self->members,
    };
    for (uint32_t i = 0; leads(self) && i < self->members.count; i++)
        status->match[i] = self->peers[i].match;
}

static uint64_t fixed_entry_at(const qr_engine *engine, uint64_t index, qr_entry_kind *kind, qr_slice *bytes)
{
    const fixed_entry *entry = qr_fixed_log_find(&fixed_of_const(engine)->log, index);
    if (entry == NULL)
        return 0;
    if (kind)
        *kind = entry->kind;
    if (bytes)
        *bytes = entry->bytes;
    return TERM;
}

const qr_engine_ops qr_fixed = {
    .name = "fixed",
    .format = QR_FIXED_FORMAT,
    .open = fixed_open,
    .recall = fixed_recall,
    .step = fixed_step,
    .brief = fixed_brief,
    .wake_ms = fixed_wake_ms,
    .broken = fixed_broken,
    .status = fixed_status,
    .entry = fixed_entry_at,
    .free = fixed_free,
};

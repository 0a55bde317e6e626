/* The whole state of an engine as bytes, for a black box: one walk over the fields writes it and reads it, so
 * the two cannot differ. What only lives within a turn (outbox, effects, scratch) is empty then.
 *
 * Entries at or below `emitted` never leave this engine as anything but a size again: they are in messages
 * and records, which a black box compares by their heads and sizes. So their content is left out. */
#include "core/redact.h"
#include "raft/raft_internal.h"

enum {
    IMAGE_FORMAT = 1,
    KIND_BITS = 2,
    WAITING_BYTES = 11, /* of a small command that waits to be emitted: group, term, size, mark */
    IMAGE_BYTES_MAX = 1024 * 1024 * 1024, /* of entries, when expanded */
};

typedef struct walk {
    qr_buffer *out; /* NULL: reads */
    qr_reader in;
    bool whole;
    uint64_t bytes; /* of entries, expanded so far */
} walk;

static void number(walk *w, uint64_t *value)
{
    if (w->out)
        qr_buffer_varint(w->out, *value);
    else
        *value = qr_reader_varint(&w->in);
}

static uint64_t bounded(walk *w, uint64_t value, uint64_t max)
{
    number(w, &value);
    QR_ASSERT(w->out == NULL || value <= max); /* a walk that writes changes nothing */
    if (value > max)
        w->in.failed = true;
    return w->in.failed ? 0 : value;
}

static void flag(walk *w, bool *value)
{
    *value = bounded(w, *value, 1) != 0;
}

#define WALK_ENUM(w, field, max) ((field) = bounded((w), (uint64_t)(field), (max)))

/* ------------------------------------------------------------ plain fields ---- */

static void walk_numbers(walk *w, qr_raft_engine *raft)
{
    qr_reads *reads = &raft->reads;
    uint64_t *numbers[] = {
        &raft->prng.state[0],  &raft->prng.state[1],
        &raft->prng.state[2],  &raft->prng.state[3],
        &raft->now_ms,         &raft->term,
        &raft->vote,           &raft->hard_ticket,
        &raft->hard_ms,        &raft->unsaved_first,
        &raft->durable_index,  &raft->tickets,
        &raft->durable_ticket, &raft->base_brief,
        &raft->commit,         &raft->emitted,
        &raft->applied,        &raft->leader,
        &raft->traced.term,    &raft->traced.leader,
        &raft->reported.term,  &raft->reported.leader,
        &raft->deadline_ms,    &raft->heard_ms,
        &raft->gone_leader,    &raft->matched,
        &reads->round,         &raft->answered_match,
        &raft->answered_ms,    &raft->heartbeat_ms,
        &raft->noop_index,     &raft->uncommitted_bytes,
        &raft->handover_to,    &raft->handover_ms,
        &reads->round_index,   &reads->ask_first,
        &reads->ask_id,        &reads->ask_ms,
        &raft->fetch_from,     &raft->fetch_to,
        &raft->fetch_term,     &raft->want_from,
        &raft->want_to,
    };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        number(w, numbers[i]);
}

static void walk_flags(walk *w, qr_raft_engine *raft)
{
    qr_reads *reads = &raft->reads;
    bool *flags[] = {
        &raft->stepped,         &raft->halted,        &raft->untold,         &raft->more,
        &raft->hard_unsaved,    &raft->base_found,    &raft->traced.valid,   &raft->reported.valid,
        &raft->restart_unsaved, &raft->heard_any,     &raft->postponed,      &raft->answer_due,
        &raft->reject_due,      &raft->handover_said, &reads->round_running, &reads->ask_running,
        &raft->heartbeat_due,   &raft->fetch_running, &raft->want_for_self,
    };
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
        flag(w, flags[i]);
    raft->attempts = (uint32_t)bounded(w, raft->attempts, UINT32_MAX);
    raft->votes = (uint32_t)bounded(w, raft->votes, UINT32_MAX);
    raft->fetch_turn = (uint32_t)bounded(w, raft->fetch_turn, UINT32_MAX);
    WALK_ENUM(w, raft->role, QR_LEARNER);
    WALK_ENUM(w, raft->traced.role, QR_LEARNER);
    WALK_ENUM(w, raft->reported.role, QR_LEARNER);
}

static void walk_reject(walk *w, qr_raft_message *reject)
{
    uint64_t *numbers[] = {&reject->term,       &reject->flags,      &reject->last_index, &reject->last_term,
                           &reject->asked_term, &reject->prev_index, &reject->prev_term,  &reject->commit,
                           &reject->round,      &reject->accepted,   &reject->match,      &reject->id,
                           &reject->index,      &reject->count};
    WALK_ENUM(w, reject->kind, QR_RAFT_MESSAGE_KINDS - 1);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        number(w, numbers[i]);
}

/* ------------------------------------------------------------ members and peers ---- */

static void walk_configs(walk *w, qr_raft_engine *raft)
{
    raft->config_count = (uint32_t)bounded(w, raft->config_count, QR_RAFT_CONFIGS_MAX);
    if (raft->config_count == 0)
        w->in.failed = true;
    for (uint32_t i = 0; i < raft->config_count && !w->in.failed; i++) {
        number(w, &raft->configs[i].index);
        if (w->out)
            qr_members_encode(&raft->configs[i].members, w->out);
        else if (qr_members_decode(&w->in, &raft->configs[i].members) != QR_OK)
            w->in.failed = true;
    }
}

static void walk_flying(walk *w, qr_peer *peer)
{
    uint32_t first = peer->flying_first;
    peer->flying_count = (uint32_t)bounded(w, peer->flying_count, QR_FLYING_MAX);
    if (w->out == NULL)
        peer->flying_first = first = 0;
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < peer->flying_count; i++) {
        qr_flying *flying = &peer->flying[(first + i) % QR_FLYING_MAX];
        number(w, &flying->last);
        flying->bytes = (size_t)bounded(w, flying->bytes, QR_RAFT_UNCOMMITTED_MAX);
        bytes += flying->bytes;
    }
    QR_ASSERT(w->out == NULL || peer->flying_bytes == bytes);
    peer->flying_bytes = (size_t)bytes;
}

static void walk_peer(walk *w, qr_peer *peer)
{
    uint64_t *numbers[] = {&peer->id,         &peer->down_ms,         &peer->incarnation, &peer->newer,
                           &peer->leaving_ms, &peer->heard_ms,        &peer->match,       &peer->next,
                           &peer->round,      &peer->round_sent,      &peer->commit_sent, &peer->offered_ms,
                           &peer->question,   &peer->question_running};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        number(w, numbers[i]);
    WALK_ENUM(w, peer->link, QR_LINK_DOWN);
    WALK_ENUM(w, peer->vote, QR_VOTE_NO);
    WALK_ENUM(w, peer->progress, QR_CHECKPOINT);
    peer->window = (uint32_t)bounded(w, peer->window, UINT32_MAX);
    flag(w, &peer->answered);
    flag(w, &peer->answered_any);
    flag(w, &peer->probing);
    walk_flying(w, peer);
}

static void walk_readers(walk *w, qr_readers *readers)
{
    readers->count = (size_t)bounded(w, readers->count, QR_READS_MAX);
    if (w->out == NULL) {
        readers->room = readers->count;
        readers->tags = qr_realloc(readers->tags, (readers->count + 1) * sizeof *readers->tags);
    }
    for (size_t i = 0; i < readers->count; i++)
        number(w, &readers->tags[i]);
}

/* ------------------------------------------------------------ entries ---- */

/* count neighbours of one term, kind and size; with their bytes it is one. */
typedef struct group {
    uint64_t count, term, kind, size;
    bool has_bytes;
} group;

static void write_group(walk *w, const group *g, qr_slice bytes)
{
    qr_buffer_varint(w->out, g->count << KIND_BITS | g->kind);
    qr_buffer_varint(w->out, g->term);
    qr_buffer_varint(w->out, g->size);
    if (g->has_bytes)
        qr_redact(bytes, w->whole || g->kind != QR_ENTRY_COMMAND, w->out);
}

/* The bytes of each entry of the group, as far as they are known, in `bytes`. */
static bool read_group(walk *w, group *g, uint64_t count_max, qr_buffer *bytes)
{
    uint64_t first = qr_reader_varint(&w->in);
    g->count = first >> KIND_BITS;
    g->kind = first & ((1 << KIND_BITS) - 1);
    g->term = qr_reader_varint(&w->in);
    g->size = qr_reader_varint(&w->in);
    qr_buffer_clear(bytes);
    bool sound = !w->in.failed && g->count > 0 && g->count <= count_max && (!g->has_bytes || g->count == 1) &&
                 g->term > 0 && g->term <= QR_RAFT_NUMBER_MAX && g->kind > 0 && g->kind <= QR_ENTRY_NOOP &&
                 g->size <= QR_RAFT_ENTRY_MAX &&
                 g->count <= (IMAGE_BYTES_MAX - w->bytes) / (g->size + sizeof(qr_raft_entry));
    if (!sound) {
        w->in.failed = true;
        return false;
    }
    w->bytes += g->count * (g->size + sizeof(qr_raft_entry));
    if (g->has_bytes)
        qr_redact_expand(&w->in, w->whole || g->kind != QR_ENTRY_COMMAND, (size_t)g->size, bytes);
    else if (g->size)
        memset(qr_buffer_extend(bytes, (size_t)g->size), 0, (size_t)g->size);
    return !w->in.failed;
}

static void write_entries(walk *w, const qr_raft_engine *raft)
{
    const qr_raft_log *log = &raft->log;
    uint64_t emitted = raft->emitted < log->last ? raft->emitted : log->last;
    for (uint64_t index = log->memory_first; index <= log->last;) {
        qr_raft_view view;
        qr_raft_log_read(log, index, &view);
        group g = {.count = index <= emitted ? qr_raft_log_alike(log, index, emitted) : 1,
                   .term = view.term,
                   .kind = view.kind,
                   .size = view.bytes.size,
                   .has_bytes = index > emitted};
        write_group(w, &g, view.bytes);
        index += g.count;
    }
}

static void read_entries(walk *w, qr_raft_engine *raft, uint64_t last)
{
    qr_raft_log *log = &raft->log;
    qr_buffer bytes;
    qr_buffer_init(&bytes);
    while (log->last < last && !w->in.failed) {
        group g = {.has_bytes = log->last + 1 > raft->emitted};
        if (!read_group(w, &g, last - log->last, &bytes) || g.term < qr_raft_log_last_term(log)) {
            w->in.failed = true;
            break;
        }
        for (; g.count > 0; g.count--)
            qr_raft_log_append(log, g.term, (qr_entry_kind)g.kind, qr_buffer_slice(&bytes));
    }
    qr_buffer_free(&bytes);
}

/* Runs of entries that are not in memory; those that are bring theirs along. */
static void walk_runs(walk *w, qr_raft_log *log, size_t count)
{
    if (w->out == NULL) {
        log->run_count = log->run_room = count;
        log->runs = qr_realloc(log->runs, (count + 1) * sizeof *log->runs);
    }
    for (size_t i = 0; i < count; i++) {
        number(w, &log->runs[i].first);
        number(w, &log->runs[i].term);
    }
}

static void walk_log(walk *w, qr_raft_engine *raft)
{
    qr_raft_log *log = &raft->log;
    uint64_t last = bounded(w, log->last, QR_RAFT_NUMBER_MAX);
    uint64_t base = bounded(w, log->base_index, last), term = bounded(w, log->base_term, QR_RAFT_NUMBER_MAX);
    uint64_t first = bounded(w, log->memory_first, last + 1);
    size_t runs = 0;
    while (runs < log->run_count && log->runs[runs].first < log->memory_first)
        runs++;
    runs = (size_t)bounded(w, runs, w->out ? runs : qr_reader_left(&w->in));
    if (w->out == NULL) {
        if (first <= base || (runs == 0) != (first == base + 1))
            w->in.failed = true;
        qr_raft_log_reset(log, base, term);
    }
    walk_runs(w, log, w->in.failed ? 0 : runs);
    if (w->out) {
        write_entries(w, raft);
    } else if (!w->in.failed) {
        log->last = first - 1;
        log->memory_first = first;
        read_entries(w, raft, last);
    }
}

static void write_fetched(walk *w, const qr_raft_engine *raft)
{
    const qr_raft_fetched *fetched = &raft->fetched;
    for (size_t i = 0; i < fetched->count; i++) {
        qr_reader reader = qr_reader_of(qr_buffer_slice(&fetched->bytes));
        qr_reader_take(&reader, fetched->rows[i].offset);
        qr_raft_view view;
        qr_status status = qr_raft_entry_decode(&reader, &view);
        QR_ASSERT(status == QR_OK); /* checked when it was kept */
        group g = {.count = 1,
                   .term = view.term,
                   .kind = view.kind,
                   .size = view.bytes.size,
                   .has_bytes = fetched->first + i > raft->emitted};
        write_group(w, &g, view.bytes);
    }
}

static void read_fetched(walk *w, qr_raft_engine *raft)
{
    qr_raft_fetched *fetched = &raft->fetched;
    fetched->room = fetched->count;
    fetched->rows = qr_realloc(fetched->rows, (fetched->count + 1) * sizeof *fetched->rows);
    qr_buffer bytes;
    qr_buffer_init(&bytes);
    for (size_t i = 0; i < fetched->count && !w->in.failed; i++) {
        group g = {.has_bytes = fetched->first + i > raft->emitted};
        if (!read_group(w, &g, 1, &bytes))
            break;
        fetched->rows[i].term = g.term;
        fetched->rows[i].offset = fetched->bytes.size;
        uint8_t header[QR_RAFT_ENTRY_HEADER_MAX];
        qr_buffer_add(&fetched->bytes, header,
                      qr_raft_entry_header(header, g.term, (qr_entry_kind)g.kind, g.size));
        qr_buffer_add_slice(&fetched->bytes, qr_buffer_slice(&bytes));
    }
    qr_buffer_free(&bytes);
}

static void walk_fetched(walk *w, qr_raft_engine *raft)
{
    number(w, &raft->fetched.first);
    /* Every row takes some bytes of the image. */
    raft->fetched.count =
        (size_t)bounded(w, raft->fetched.count, w->out ? raft->fetched.count : qr_reader_left(&w->in));
    if (w->out)
        write_fetched(w, raft);
    else
        read_fetched(w, raft);
}

static void walk_flights(walk *w, qr_raft_engine *raft)
{
    raft->flight_count =
        (size_t)bounded(w, raft->flight_count, w->out ? raft->flight_count : qr_reader_left(&w->in));
    if (w->out == NULL) {
        raft->flight_first = 0;
        raft->flight_room = raft->flight_count + 1;
        raft->flights = qr_realloc(raft->flights, raft->flight_room * sizeof *raft->flights);
    }
    for (size_t i = 0; i < raft->flight_count; i++) {
        qr_raft_ticket *flight = &raft->flights[(raft->flight_first + i) % raft->flight_room];
        number(w, &flight->ticket);
        number(w, &flight->last);
    }
}

/* ------------------------------------------------------------ the whole ---- */

static void walk_engine(walk *w, qr_raft_engine *raft)
{
    walk_numbers(w, raft);
    walk_flags(w, raft);
    walk_reject(w, &raft->reject);
    walk_configs(w, raft);
    raft->peers.count = (uint32_t)bounded(w, raft->peers.count, QR_PEERS_MAX);
    for (uint32_t i = 0; i < raft->peers.count; i++)
        walk_peer(w, &raft->peers.list[i]);
    walk_flights(w, raft);
    walk_readers(w, &raft->reads.waiting);
    walk_readers(w, &raft->reads.confirming);
    walk_readers(w, &raft->reads.asking);
    walk_log(w, raft);
    walk_fetched(w, raft);
}

bool qr_raft_image(const qr_engine *engine, bool whole, size_t max, qr_buffer *out)
{
    qr_raft_engine *raft = (qr_raft_engine *)engine; /* a walk that writes changes nothing */
    QR_ASSERT(raft->outbox_count == 0);
    const qr_raft_log *log = &raft->log;
    uint64_t from = log->memory_first > raft->emitted ? log->memory_first : raft->emitted + 1;
    if (log->last >= from && (log->last - from) * WAITING_BYTES > max)
        return false; /* after a start a long log waits to be applied */
    uint64_t vote = raft->vote;
    if (QR_BUG(raft->config.bug, IMAGE_FORGETS))
        raft->vote = 0;
    qr_buffer_u8(out, IMAGE_FORMAT);
    walk w = {.out = out, .whole = whole};
    walk_engine(&w, raft);
    raft->vote = vote;
    return true;
}

qr_status qr_raft_restore(qr_engine *engine, bool whole, qr_slice image)
{
    qr_raft_engine *raft = (qr_raft_engine *)engine;
    QR_ASSERT(!raft->stepped);
    walk w = {.in = qr_reader_of(image), .whole = whole};
    if (qr_reader_u8(&w.in) != IMAGE_FORMAT)
        return QR_E_BAD_VERSION;
    walk_engine(&w, raft);
    if (w.in.failed || qr_reader_left(&w.in) != 0 || qr_raft_members(raft)->count == 0)
        return QR_E_CORRUPT;
    return engine->ops->broken(engine) == NULL ? QR_OK : QR_E_CORRUPT;
}

/* ------------------------------------------------------------ what others say ---- */

/* Where the entries of a message or record begin, and how many there are. False: it is malformed. */
static bool find_entries(qr_opaque what, qr_slice bytes, size_t *head, uint64_t *count)
{
    qr_slice entries = {0};
    if (what == QR_OPAQUE_MESSAGE) {
        qr_raft_message message;
        if (qr_raft_message_decode(bytes, &message) != QR_OK)
            return false;
        entries = message.entries;
        *count = message.count;
    } else {
        qr_raft_record *record = qr_alloc(sizeof *record);
        bool sound = qr_raft_record_decode(bytes, record) == QR_OK;
        if (sound && record->count)
            entries = qr_slice_of(record->entries.at, qr_reader_left(&record->entries));
        *count = record->count;
        qr_free(record);
        if (!sound)
            return false;
    }
    *head = bytes.size - entries.size;
    return true;
}

void qr_raft_redact(qr_opaque what, qr_slice bytes, qr_buffer *out)
{
    size_t head = 0;
    uint64_t count = 0;
    if (!find_entries(what, bytes, &head, &count)) { /* its first byte tells what it is refused for */
        qr_buffer_bytes(out, qr_slice_of(bytes.data, bytes.size > 0));
        return;
    }
    qr_buffer_bytes(out, qr_slice_of(bytes.data, head));
    qr_reader reader = qr_reader_of(bytes);
    qr_reader_take(&reader, head);
    for (; count > 0; count--) {
        qr_raft_view view;
        qr_raft_entry_decode(&reader, &view);
        qr_buffer_add(out, view.encoded.data, view.encoded.size - view.bytes.size);
        qr_redact(view.bytes, view.kind != QR_ENTRY_COMMAND, out);
    }
}

qr_status qr_raft_expand(qr_opaque what, qr_slice redacted, qr_buffer *out)
{
    (void)what;
    qr_reader reader = qr_reader_of(redacted);
    qr_buffer_add_slice(out, qr_reader_bytes(&reader));
    uint64_t bytes = 0;
    while (!reader.failed && qr_reader_left(&reader) > 0) {
        uint64_t term = qr_reader_varint(&reader);
        uint8_t kind = qr_reader_u8(&reader);
        uint64_t size = qr_reader_varint(&reader);
        bytes += size;
        if (reader.failed || size > QR_RAFT_ENTRY_MAX || bytes > IMAGE_BYTES_MAX)
            return QR_E_CORRUPT;
        uint8_t header[QR_RAFT_ENTRY_HEADER_MAX];
        qr_buffer_add(out, header, qr_raft_entry_header(header, term, (qr_entry_kind)kind, size));
        qr_redact_expand(&reader, kind != QR_ENTRY_COMMAND, (size_t)size, out);
    }
    return reader.failed ? QR_E_CORRUPT : QR_OK;
}

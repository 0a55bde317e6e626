/* The node's own records and brief around those of the engine, and coming back from them.
 *
 * A record of a node is one byte of kind and its content: what the engine gave to PERSIST, or the number of
 * this boot. The brief at the head of each segment is {format, incarnation, boot, the engine's brief}.
 * doc/formats/wal.md. */
#include "core/bugs.h"
#include "node/internal.h"

enum { RECORD_ENGINE = 1, RECORD_BOOT = 2 };

typedef struct recovery {
    qr_node *node;
    qr_arena *arena;
    const char *sentence; /* why the visitor gave up */
} recovery;

qr_engine_config qr_recover__engine_config(qr_node *node)
{
    const qr_node_config *config = &node->config;
    return (qr_engine_config){
        .self = config->self,
        .incarnation = node->incarnation,
        .seed = config->seed,
        .heartbeat_ms = config->heartbeat_ms,
        .election_ms = config->election_ms,
        .now_ms = config->now_ms,
        .members = config->members,
        .applied_index = node->applied_index,
        .memory_max = config->engine_memory_max,
        .message_max = config->engine_message_max,
        .trace = &node->trace,
        .bug = config->bug,
    };
}

static void open_engine(qr_node *node)
{
    if (node->engine != NULL)
        return;
    qr_engine_config config = qr_recover__engine_config(node);
    node->engine = node->config.engine->open(&config);
}

void qr_recover__brief_head(qr_buffer *out, uint64_t incarnation, uint64_t boot)
{
    qr_buffer_u8(out, QR_NODE_FORMAT);
    qr_buffer_u64(out, incarnation);
    qr_buffer_u64(out, boot);
}

void qr_recover__brief(void *context, qr_buffer *out)
{
    qr_node *node = context;
    open_engine(node);
    qr_recover__brief_head(out, node->incarnation, node->boot);
    node->engine->ops->brief(node->engine, out);
}

static qr_status visit_brief(recovery *found, qr_slice bytes)
{
    qr_node *node = found->node;
    qr_reader reader = qr_reader_of(bytes);
    uint8_t format = qr_reader_u8(&reader);
    node->incarnation = qr_reader_u64(&reader);
    node->boot = qr_reader_u64(&reader);
    if (reader.failed || format != QR_NODE_FORMAT) {
        found->sentence = "the brief at the head of the oldest log segment is not in a format known here";
        return reader.failed ? QR_E_CORRUPT : QR_E_BAD_VERSION;
    }
    open_engine(node);
    const qr_engine_ops *ops = node->engine->ops;
    if (qr_reader_left(&reader) > 0 && *reader.at != ops->format) {
        found->sentence = qr_arena_format(
            found->arena, "the log was written by another engine, or a later version of it, than %s",
            ops->name);
        return QR_E_BAD_VERSION;
    }
    return ops->recall(node->engine, qr_reader_take(&reader, qr_reader_left(&reader)), true);
}

static qr_status visit(void *context, bool is_brief, qr_slice bytes, uint64_t position, uint64_t index_first,
                       uint64_t index_last)
{
    recovery *found = context;
    qr_node *node = found->node;
    if (is_brief)
        return visit_brief(found, bytes);
    qr_kept *newest = &node->keeper.newest;
    if (index_last <= newest->index && !node->tail_found)
        newest->written = node->log_written + bytes.size; /* so far all of it is in the checkpoint */
    else
        node->tail_found = true;
    node->log_written += bytes.size;
    qr_reader reader = qr_reader_of(bytes);
    uint8_t kind = qr_reader_u8(&reader);
    if (reader.failed || node->engine == NULL)
        return QR_E_CORRUPT;
    if (kind == RECORD_BOOT) {
        node->boot = qr_reader_u64(&reader);
        return reader.failed ? QR_E_CORRUPT : QR_OK;
    }
    if (kind != RECORD_ENGINE) {
        found->sentence = qr_arena_format(found->arena, "log record at position %llu is of unknown kind %u",
                                          (unsigned long long)position, kind);
        return QR_E_BAD_VERSION;
    }
    return node->engine->ops->recall(node->engine, qr_reader_take(&reader, qr_reader_left(&reader)), false);
}

static void note_durable(qr_node *node, const qr_ticket_position *ticket)
{
    node->durable_ticket = ticket->ticket;
    if (ticket->index_last > 0) /* what an earlier record held behind it is void */
        node->keeper.durable_entry = ticket->index_last;
}

static void on_durable(void *context, uint64_t position)
{
    qr_node *node = context;
    QR_ASSERT(position >= node->durable_position);
    node->durable_position = position;
    while (node->tickets_first < node->tickets_count &&
           node->tickets[node->tickets_first].position <= node->durable_position)
        note_durable(node, &node->tickets[node->tickets_first++]);
    if (node->tickets_first == node->tickets_count)
        node->tickets_first = node->tickets_count = 0;
    qr_node__wake(node);
}

static void on_broken(void *context, qr_status status, const char *sentence)
{
    qr_node__halt(context, sentence);
}

static void on_space(void *context, bool full)
{
    ((qr_node *)context)->no_space = full;
}

qr_status qr_recover__open(qr_node *node, qr_arena *arena, const char **sentence)
{
    recovery found = {.node = node, .arena = arena};
    qr_wal_config config = {
        .disk = &node->config.disk,
        .cluster = node->config.cluster,
        .group = node->config.group,
        .member = node->config.self,
        .incarnation = node->incarnation,
        .segment_size = node->config.segment_size,
        .trace = &node->trace,
        .bug = node->config.bug,
        .brief = qr_recover__brief,
        .durable = on_durable,
        .broken = on_broken,
        .space = on_space,
        .context = node,
    };
    qr_status status = qr_wal_open(&config, visit, &found, arena, &node->wal, sentence);
    if (status != QR_OK) {
        if (found.sentence != NULL)
            *sentence = found.sentence;
        return status;
    }
    if (qr_wal_incarnation(node->wal) != node->incarnation) {
        *sentence = "log segments of two different disks stand in one folder";
        return QR_E_CORRUPT;
    }
    qr_wal_status log;
    qr_wal_status_of(node->wal, &log);
    node->durable_position = log.durable_position;

    /* Sequences of this boot are above those of every earlier one, once the boot itself is on the disk. */
    node->boot++;
    QR_CHECK(node->boot < (uint64_t)1 << (64 - QR_BOOT_SHIFT), "boots are counted in 24 bits");
    uint8_t record[1 + 8] = {RECORD_BOOT};
    qr_store_u64(record + 1, node->boot);
    node->boot_position = qr_wal_append(node->wal, qr_slice_of(record, sizeof record), 0, 0);
    return QR_OK;
}

/* What stands on the disk from this entry on, or is on its way there, is not the log any more, even before
 * its successor is there: a checkpoint that counted on it would meet the old entries after a crash. */
static void replace_from(qr_node *node, uint64_t first)
{
    uint64_t *durable = &node->keeper.durable_entry;
    *durable = *durable < first ? *durable : first - 1;
    for (size_t i = node->tickets_first; i < node->tickets_count; i++)
        if (node->tickets[i].index_last >= first)
            node->tickets[i].index_last = first - 1;
}

void qr_recover__persist(qr_node *node, const qr_effect *effect)
{
    qr_buffer *record = &node->message;
    qr_buffer_clear(record);
    qr_buffer_u8(record, RECORD_ENGINE);
    qr_buffer_add_slice(record, effect->persist.record);
    if (effect->persist.index_first > 0)
        replace_from(node, effect->persist.index_first);
    uint64_t position = qr_wal_append(node->wal, qr_buffer_slice(record), effect->persist.index_first,
                                      effect->persist.index_last);
    qr_keeper__appended(node, position, record->size);
    if (QR_BUG(node->config.bug, ACK_BEFORE_SYNC)) {
        note_durable(node, &(qr_ticket_position){.ticket = effect->persist.ticket,
                                                 .index_last = effect->persist.index_last});
        return;
    }
    if (node->tickets_count == node->tickets_room) {
        size_t kept = node->tickets_count - node->tickets_first;
        node->tickets_room = kept < node->tickets_room / 2 ? node->tickets_room : node->tickets_room * 2 + 64;
        qr_ticket_position *tickets = qr_alloc(node->tickets_room * sizeof *tickets);
        if (kept)
            memcpy(tickets, node->tickets + node->tickets_first, kept * sizeof *tickets);
        qr_free(node->tickets);
        node->tickets = tickets;
        node->tickets_first = 0;
        node->tickets_count = kept;
    }
    node->tickets[node->tickets_count++] = (qr_ticket_position){.ticket = effect->persist.ticket,
                                                                .position = position,
                                                                .asked_ms = node->now_ms,
                                                                .index_last = effect->persist.index_last};
}

static void fetched(void *context, uint64_t from, uint64_t to, qr_status status, const qr_slice *records,
                    size_t count)
{
    qr_node *node = context;
    qr_slice *bare = qr_alloc((count ? count : 1) * sizeof *bare);
    size_t bare_count = 0;
    for (size_t i = 0; i < count; i++)
        if (records[i].size > 0 && records[i].data[0] == RECORD_ENGINE)
            bare[bare_count++] = qr_slice_of(records[i].data + 1, records[i].size - 1);
    qr_event event = {
        .kind = QR_EVENT_ENTRIES,
        .entries = {.from = from, .to = to, .status = status, .records = bare, .count = bare_count}};
    qr_node__step(node, &event);
    qr_free(bare);
    qr_node__wake(node);
}

void qr_recover__fetch(qr_node *node, uint64_t from, uint64_t to)
{
    qr_wal_fetch(node->wal, from, to, QR_NODE_FETCH_MAX, fetched, node);
}

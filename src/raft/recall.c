/* What survives a crash: records, the brief, and how they become an engine again. The bytes are in
 * doc/formats/peer.md.
 *
 * A record holds what changed in a turn: term and vote, entries (they replace everything from the first one
 * on), or that the log was restarted behind a checkpoint. A brief is a record of the third kind: it replaces
 * all records before it. */
#include "raft/raft_internal.h"

enum { RECORD_HARD = 1, RECORD_RESTART = 2, RECORD_ENTRIES = 4, RECORD_KINDS = 7 };

/* ------------------------------------------------------------ bytes ---- */

static void encode_hard(const qr_raft_engine *raft, qr_buffer *out)
{
    qr_buffer_varint(out, raft->term);
    qr_buffer_u64(out, raft->vote);
}

static void encode_restart(const qr_raft_engine *raft, qr_buffer *out)
{
    qr_buffer_varint(out, raft->log.base_index);
    qr_buffer_varint(out, raft->log.base_term);
    qr_buffer_varint(out, raft->config_count);
    for (uint32_t i = 0; i < raft->config_count; i++) {
        qr_buffer_varint(out, raft->configs[i].index);
        qr_members_encode(&raft->configs[i].members, out);
    }
}

void qr_raft_brief(const qr_raft_engine *raft, qr_buffer *out)
{
    qr_buffer_u8(out, QR_RAFT_FORMAT);
    qr_buffer_u8(out, RECORD_HARD | RECORD_RESTART);
    encode_hard(raft, out);
    encode_restart(raft, out);
}

static qr_status decode_restart(qr_reader *reader, qr_raft_record *record)
{
    record->base_index = qr_reader_varint(reader);
    record->base_term = qr_reader_varint(reader);
    uint64_t count = qr_reader_varint(reader);
    if (reader->failed || record->base_index > QR_RAFT_NUMBER_MAX || record->base_term > record->term ||
        (record->base_index == 0) != (record->base_term == 0) || count == 0 || count > QR_RAFT_CONFIGS_MAX)
        return QR_E_CORRUPT;
    record->config_count = (uint32_t)count;
    for (uint32_t i = 0; i < record->config_count; i++) {
        qr_raft_config_row *row = &record->configs[i];
        row->index = qr_reader_varint(reader);
        if (qr_members_decode(reader, &row->members) != QR_OK)
            return QR_E_CORRUPT;
        if (row->index > QR_RAFT_NUMBER_MAX || (i > 0 && row->index <= record->configs[i - 1].index))
            return QR_E_CORRUPT;
    }
    return QR_OK;
}

/* The next entry behind one of that term. */
static qr_status next_entry(qr_reader *reader, uint64_t *term, qr_raft_view *view)
{
    if (qr_raft_entry_decode(reader, view) != QR_OK || view->term < *term)
        return QR_E_CORRUPT;
    *term = view->term;
    if (view->kind != QR_ENTRY_MEMBERS)
        return QR_OK;
    qr_members members;
    qr_reader inside = qr_reader_of(view->bytes);
    bool is_sound = qr_members_decode(&inside, &members) == QR_OK && qr_reader_left(&inside) == 0;
    return is_sound ? QR_OK : QR_E_CORRUPT;
}

static qr_status check_entries(const qr_raft_record *record)
{
    qr_reader reader = record->entries;
    uint64_t term = record->prev_term;
    qr_raft_view view;
    for (uint64_t i = 0; i < record->count; i++)
        if (next_entry(&reader, &term, &view) != QR_OK)
            return QR_E_CORRUPT;
    return qr_reader_left(&reader) == 0 ? QR_OK : QR_E_CORRUPT;
}

/* All but the entries, which are still to be checked. */
static qr_status decode_head(qr_slice bytes, qr_raft_record *record)
{
    memset(record, 0, offsetof(qr_raft_record, configs));
    qr_reader reader = qr_reader_of(bytes);
    uint8_t format = qr_reader_u8(&reader), parts = qr_reader_u8(&reader);
    if (!reader.failed && format != QR_RAFT_FORMAT)
        return QR_E_BAD_VERSION;
    if (reader.failed || parts == 0 || parts > RECORD_KINDS)
        return QR_E_CORRUPT;
    if ((parts & RECORD_RESTART) && !(parts & RECORD_HARD))
        return QR_E_CORRUPT;
    if (parts & RECORD_HARD) {
        record->has_hard = true;
        record->term = qr_reader_varint(&reader);
        record->vote = qr_reader_u64(&reader);
        if (record->term > QR_RAFT_NUMBER_MAX || (record->term == 0 && record->vote != 0))
            return QR_E_CORRUPT;
    }
    if (parts & RECORD_RESTART) {
        record->restarts = true;
        if (decode_restart(&reader, record) != QR_OK)
            return QR_E_CORRUPT;
    }
    if (parts & RECORD_ENTRIES) {
        record->first = qr_reader_varint(&reader);
        record->prev_term = qr_reader_varint(&reader);
        record->count = qr_reader_varint(&reader);
        record->entries = reader;
        if (reader.failed || record->first == 0 || record->first > QR_RAFT_NUMBER_MAX || record->count == 0 ||
            record->count > qr_reader_left(&reader) || (record->first == 1) != (record->prev_term == 0))
            return QR_E_CORRUPT;
        return QR_OK;
    }
    return reader.failed || qr_reader_left(&reader) != 0 ? QR_E_CORRUPT : QR_OK;
}

qr_status qr_raft_record_decode(qr_slice bytes, qr_raft_record *record)
{
    qr_status status = decode_head(bytes, record);
    return status == QR_OK && record->count ? check_entries(record) : status;
}

/* ------------------------------------------------------------ boot ---- */

static void restart_log(qr_raft_engine *raft, uint64_t index, uint64_t term)
{
    qr_raft_log_reset(&raft->log, index, term);
    raft->commit = raft->emitted = index;
}

/* What stands in the log beyond the newest checkpoint is about to be applied: more of it stays in memory than
 * later, or it would be read from the disk a second time. */
static size_t recall_max(const qr_raft_engine *raft)
{
    size_t most = raft->config.memory_max;
    return most < SIZE_MAX / QR_RAFT_RECALL_FACTOR ? most * QR_RAFT_RECALL_FACTOR : SIZE_MAX;
}

/* One entry more. What the checkpoint has stays where it is. */
static void recall_entry(qr_raft_engine *raft, const qr_raft_view *view)
{
    if (raft->log.last >= raft->config.applied_index) {
        qr_raft_add_entry(raft, view->term, view->kind, view->bytes);
        return;
    }
    qr_raft_log_skip(&raft->log, view->term);
    qr_raft_entry_added(raft, view->kind, view->bytes);
}

/* Entries of one record, from index `first` on, behind an entry that is known. They are checked on the way:
 * whoever hears that one of them is not sound drops the engine. */
static qr_status recall_entries(qr_raft_engine *raft, qr_raft_record *record)
{
    qr_raft_log *log = &raft->log;
    bool is_gap = record->first > log->last + 1;
    bool is_below = record->first <= log->base_index && log->base_index > raft->base_brief;
    if (is_gap || is_below) {
        /* The oldest segments are gone, with entries that are in a checkpoint: the log begins here. The
         * checkpoint, which the node knows, must reach at least this far. */
        if (is_gap && raft->base_found)
            return QR_E_CORRUPT;
        restart_log(raft, record->first - 1, record->prev_term);
        qr_raft_config_cut(raft, record->first);
    }
    raft->base_found = true;
    uint64_t index = record->first, term = record->prev_term;
    qr_raft_view view;
    if (index <= log->base_index) {
        /* The brief is younger than this record, which was waiting for its write when the segment began. */
        qr_status status = check_entries(record);
        if (status != QR_OK)
            return status;
        for (; record->count && index <= log->base_index; index++, record->count--)
            next_entry(&record->entries, &term, &view);
        if (index != log->base_index + 1 || term != log->base_term)
            return QR_OK; /* a later record replaces all of it */
    } else if (qr_raft_log_term(log, index - 1) != record->prev_term) {
        return QR_E_CORRUPT;
    }
    if (record->count && index <= log->last)
        qr_raft_log_truncate(log, index);
    if (record->count)
        qr_raft_config_cut(raft, index);
    for (; record->count; record->count--) {
        if (next_entry(&record->entries, &term, &view) != QR_OK || view.term > raft->term ||
            view.term < qr_raft_log_last_term(log))
            return QR_E_CORRUPT;
        recall_entry(raft, &view);
    }
    qr_raft_log_trim(log, log->last, recall_max(raft));
    return qr_reader_left(&record->entries) == 0 ? QR_OK : QR_E_CORRUPT;
}

static qr_status recall_record(qr_raft_engine *raft, qr_raft_record *record, bool is_brief)
{
    if (is_brief && (!record->has_hard || !record->restarts || record->count))
        return QR_E_CORRUPT;
    /* A brief may be younger than the records that follow it: terms never go back. */
    if (record->has_hard && record->term > raft->term) {
        raft->term = record->term;
        raft->vote = record->vote;
    } else if (record->has_hard && record->term == raft->term && record->vote) {
        if (raft->vote && raft->vote != record->vote) /* two votes in a term were never written */
            return QR_E_CORRUPT;
        raft->vote = record->vote;
    }
    if (record->restarts && record->base_index >= raft->log.base_index) {
        restart_log(raft, record->base_index, record->base_term);
        raft->base_brief = record->base_index;
        raft->base_found = !is_brief;
        raft->config_count = record->config_count;
        memcpy(raft->configs, record->configs, record->config_count * sizeof *record->configs);
    }
    return record->count ? recall_entries(raft, record) : QR_OK;
}

qr_status qr_raft_recall(qr_raft_engine *raft, qr_slice bytes, bool is_brief)
{
    QR_ASSERT(!raft->stepped);
    qr_raft_record *record = qr_alloc(sizeof *record);
    qr_status status = decode_head(bytes, record);
    if (status == QR_OK)
        status = recall_record(raft, record, is_brief);
    qr_free(record);
    return status;
}

void qr_raft_recall_end(qr_raft_engine *raft)
{
    qr_raft_config_cut(raft, raft->log.last +
                                 1); /* a brief may have told of an entry that never reached the disk */
    raft->stepped = true;
    if (QR_BUG(raft->config.bug, VOTE_FORGOTTEN))
        raft->vote = 0;
    raft->unsaved_first = raft->log.last + 1;
    raft->durable_index = raft->log.last;
    qr_raft_config_in_force(raft);
}

/* ------------------------------------------------------------ saving ---- */

static void flight_push(qr_raft_engine *raft, qr_raft_ticket flight)
{
    if (raft->flight_count == raft->flight_room) {
        size_t room = raft->flight_room ? raft->flight_room * 2 : 16;
        qr_raft_ticket *flights = qr_alloc(room * sizeof *flights);
        for (size_t i = 0; i < raft->flight_count; i++)
            flights[i] = raft->flights[(raft->flight_first + i) % raft->flight_room];
        qr_free(raft->flights);
        raft->flights = flights;
        raft->flight_first = 0;
        raft->flight_room = room;
    }
    QR_ASSERT(flight.ticket == raft->tickets && flight.last <= raft->log.last);
    raft->flights[(raft->flight_first + raft->flight_count++) % raft->flight_room] = flight;
}

static void flights_cut(qr_raft_engine *raft, uint64_t last)
{
    for (size_t i = 0; i < raft->flight_count; i++) {
        qr_raft_ticket *flight = &raft->flights[(raft->flight_first + i) % raft->flight_room];
        flight->last = flight->last < last ? flight->last : last;
    }
}

void qr_raft_truncate(qr_raft_engine *raft, uint64_t index)
{
    qr_raft_log_truncate(&raft->log, index);
    qr_raft_config_cut(raft, index);
    flights_cut(raft, index - 1);
    raft->unsaved_first = raft->unsaved_first < index ? raft->unsaved_first : index;
    raft->durable_index = raft->durable_index < index - 1 ? raft->durable_index : index - 1;
    raft->matched = raft->matched < index - 1 ? raft->matched : index - 1;
}

static void persist_one(qr_raft_engine *raft)
{
    uint64_t first = raft->unsaved_first, last = first - 1;
    QR_ASSERT(first > raft->log.base_index && first <= raft->log.last + 1);
    size_t bytes = 0;
    uint8_t parts = (raft->hard_unsaved || raft->restart_unsaved ? RECORD_HARD : 0) |
                    (raft->restart_unsaved ? RECORD_RESTART : 0);
    if (first <= raft->log.last) {
        parts |= RECORD_ENTRIES;
        last = qr_raft_measure(raft, first, raft->log.last, QR_RAFT_RECORD_MAX, &bytes);
        QR_ASSERT(last >= first); /* what is not saved is in memory */
    }
    qr_buffer *head = &raft->scratch;
    qr_buffer_clear(head);
    qr_buffer_u8(head, QR_RAFT_FORMAT);
    qr_buffer_u8(head, parts);
    if (parts & RECORD_HARD)
        encode_hard(raft, head);
    if (parts & RECORD_RESTART)
        encode_restart(raft, head);
    if (parts & RECORD_ENTRIES) {
        qr_buffer_varint(head, first);
        qr_buffer_varint(head, qr_raft_log_term(&raft->log, first - 1));
        qr_buffer_varint(head, last - first + 1);
    }
    uint8_t *whole = qr_arena_alloc(&raft->effects->arena, head->size + bytes);
    memcpy(whole, head->data, head->size);
    qr_raft_copy(raft, first, last, whole + head->size);

    raft->tickets++;
    qr_effect *effect = qr_effects_add(raft->effects, QR_EFFECT_PERSIST, 0);
    effect->persist.ticket = raft->tickets;
    effect->persist.record = qr_slice_of(whole, head->size + bytes);
    effect->persist.head = head->size;
    effect->persist.index_first = last >= first ? first : 0;
    effect->persist.index_last = last >= first ? last : 0;
    if (parts & RECORD_HARD) {
        raft->hard_ticket = raft->tickets;
        raft->hard_ms = raft->now_ms;
    }
    QR_ASSERT(parts != 0);
    raft->hard_unsaved = raft->restart_unsaved = false;
    raft->unsaved_first = last + 1;
    flight_push(raft, (qr_raft_ticket){.ticket = raft->tickets, .last = last});
}

void qr_raft_persist(qr_raft_engine *raft)
{
    while (raft->hard_unsaved || raft->restart_unsaved || raft->unsaved_first <= raft->log.last)
        persist_one(raft);
}

void qr_raft_on_durable(qr_raft_engine *raft, uint64_t ticket)
{
    QR_CHECK(ticket <= raft->tickets, "a ticket is durable that was never given out");
    if (ticket <= raft->durable_ticket)
        return;
    bool had_vote = raft->durable_ticket >= raft->hard_ticket;
    raft->durable_ticket = ticket;
    while (raft->flight_count && raft->flights[raft->flight_first].ticket <= ticket) {
        uint64_t last = raft->flights[raft->flight_first].last;
        raft->durable_index = raft->durable_index > last ? raft->durable_index : last;
        raft->flight_first = (raft->flight_first + 1) % raft->flight_room;
        raft->flight_count--;
    }
    if (!had_vote && ticket >= raft->hard_ticket)
        qr_raft_vote_durable(raft, raft->now_ms - raft->hard_ms);
}

/* ------------------------------------------------------------ checkpoints ---- */

/* The machine's state comes from the checkpoint now; the log goes on behind it. */
static void restart_behind(qr_raft_engine *raft, const qr_event *event)
{
    uint64_t index = event->checkpoint.index, term = event->checkpoint.term;
    if (event->checkpoint.brief.size) {
        qr_raft_record *brief = qr_alloc(sizeof *brief);
        bool is_sound = qr_raft_record_decode(event->checkpoint.brief, brief) == QR_OK && brief->restarts;
        uint32_t in_force = 0; /* the last configuration that is inside the checkpoint */
        while (is_sound && in_force + 1 < brief->config_count && brief->configs[in_force + 1].index <= index)
            in_force++;
        if (is_sound) {
            raft->configs[0] = brief->configs[in_force];
            raft->config_count = 1;
        }
        qr_free(brief);
        if (!is_sound) {
            qr_raft_halt(raft, "the checkpoint carries a malformed brief");
            return;
        }
    } else {
        qr_raft_config_cut(raft, index + 1);
    }
    restart_log(raft, index, term);
    flights_cut(raft, index);
    raft->durable_index = index;
    raft->unsaved_first = index + 1;
    raft->matched = 0;
    raft->restart_unsaved = true;
    if (term > raft->term)
        qr_raft_follow(raft, term, 0);
    qr_raft_config_in_force(raft);
}

void qr_raft_on_checkpoint(qr_raft_engine *raft, const qr_event *event)
{
    uint64_t index = event->checkpoint.index, term = event->checkpoint.term;
    qr_raft_log *log = &raft->log;
    if (index > QR_RAFT_NUMBER_MAX || term > QR_RAFT_NUMBER_MAX || index == 0 || term == 0) {
        qr_raft_halt(raft, "a checkpoint has no sound index and term");
        return;
    }
    raft->answer_due = true; /* a leader may wait for this */
    if (index <= log->base_index)
        return; /* an old one over a newer state (facts row 7) */
    if (index <= log->last && qr_raft_log_term(log, index) == term) {
        /* The entries behind it agree and stay: some may have been acknowledged. */
        if (event->checkpoint.received && index <= raft->emitted)
            return;
        raft->commit = raft->commit > index ? raft->commit : index;
        raft->emitted = raft->emitted > index ? raft->emitted : index;
        raft->durable_index = raft->durable_index > index ? raft->durable_index : index;
        if (raft->unsaved_first <= index) { /* its record would begin before the log does */
            raft->unsaved_first = index + 1;
            raft->restart_unsaved = true;
        }
        qr_raft_log_forget(log, index);
    } else if (index <= raft->commit) {
        qr_raft_halt(raft, "a checkpoint contradicts an entry that is committed here");
    } else {
        restart_behind(raft, event);
    }
}

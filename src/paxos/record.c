/* What survives a crash: records, the brief, and how they become an engine again. The bytes are in
 * doc/formats/paxos.md.
 *
 * A record holds the promise and the chosen index of its turn; the slots that were accepted or learned, with
 * everything behind the first of them; or that the log was restarted behind a checkpoint. A brief is a record
 * of the last kind: it replaces all records before it.
 *
 * The chosen index need not be there ("Paxos Made Live" 5.1 does without), but a member that knows it after a
 * restart has few open slots to tell of. It never says more than the record and those before it hold: else a
 * crash between two records could make an older value pass for the chosen one. */
#include "paxos/inside.h"

enum { RECORD_PROMISE = 1, RECORD_RESTART = 2, RECORD_ENTRIES = 4, RECORD_KINDS = 7 };

/* ------------------------------------------------------------ bytes ---- */

static void encode_head(const qr_paxos_engine *paxos, uint8_t parts, uint64_t chosen, qr_buffer *out)
{
    qr_buffer_u8(out, QR_PAXOS_FORMAT);
    qr_buffer_u8(out, parts | RECORD_PROMISE);
    qr_buffer_varint(out, paxos->ballot);
    qr_buffer_u64(out, paxos->promised_to);
    qr_buffer_varint(out, chosen);
    if (!(parts & RECORD_RESTART))
        return;
    qr_buffer_varint(out, paxos->log.base);
    qr_buffer_varint(out, paxos->log.base_term);
    qr_buffer_varint(out, paxos->config_count);
    for (size_t i = 0; i < paxos->config_count; i++) {
        qr_buffer_varint(out, paxos->configs[i].index);
        qr_members_encode(&paxos->configs[i].members, out);
    }
}

void qr_paxos_brief(const qr_paxos_engine *paxos, qr_buffer *out)
{
    encode_head(paxos, RECORD_RESTART, paxos->log.base, out);
}

static qr_status decode_restart(qr_reader *reader, qr_paxos_record *record)
{
    record->base = qr_reader_varint(reader);
    record->base_term = qr_reader_varint(reader);
    uint64_t count = qr_reader_varint(reader);
    if (reader->failed || record->base > QR_PAXOS_NUMBER_MAX || record->base_term > record->ballot ||
        (record->base == 0) != (record->base_term == 0) || count == 0 || count > QR_PAXOS_CONFIGS_MAX ||
        count > qr_reader_left(reader))
        return QR_E_CORRUPT;
    record->restarts = true;
    record->configs = qr_alloc_zero(count, sizeof *record->configs);
    for (; record->config_count < count; record->config_count++) {
        qr_paxos_config_row *row = &record->configs[record->config_count];
        row->index = qr_reader_varint(reader);
        if (qr_members_decode(reader, &row->members) != QR_OK || row->index > QR_PAXOS_NUMBER_MAX ||
            (record->config_count > 0 && row->index <= row[-1].index))
            return QR_E_CORRUPT;
    }
    return record->configs[0].index > record->base ? QR_E_CORRUPT : QR_OK;
}

qr_status qr_paxos_record_decode(qr_slice bytes, qr_paxos_record *record)
{
    *record = (qr_paxos_record){0};
    qr_reader reader = qr_reader_of(bytes);
    uint8_t format = qr_reader_u8(&reader), parts = qr_reader_u8(&reader);
    if (!reader.failed && format != QR_PAXOS_FORMAT)
        return QR_E_BAD_VERSION;
    if (reader.failed || !(parts & RECORD_PROMISE) || parts > RECORD_KINDS)
        return QR_E_CORRUPT;
    record->ballot = qr_reader_varint(&reader);
    record->promised_to = qr_reader_u64(&reader);
    record->chosen = qr_reader_varint(&reader);
    if (reader.failed || record->ballot > QR_PAXOS_NUMBER_MAX || record->chosen > QR_PAXOS_NUMBER_MAX ||
        (record->ballot == 0 && record->promised_to != 0))
        return QR_E_CORRUPT;
    if ((parts & RECORD_RESTART) && decode_restart(&reader, record) != QR_OK)
        return QR_E_CORRUPT;
    if (parts & RECORD_ENTRIES) {
        record->first = qr_reader_varint(&reader);
        record->prev_term = qr_reader_varint(&reader);
        record->count = qr_reader_varint(&reader);
        record->entries = reader;
        if (reader.failed || record->first == 0 || record->first > QR_PAXOS_NUMBER_MAX ||
            record->count == 0 || record->count > qr_reader_left(&reader) ||
            record->prev_term > record->ballot || (record->first == 1) != (record->prev_term == 0) ||
            !qr_paxos_entries_sound(reader, record->count, record->ballot))
            return QR_E_CORRUPT;
        return QR_OK;
    }
    return reader.failed || qr_reader_left(&reader) != 0 ? QR_E_CORRUPT : QR_OK;
}

void qr_paxos_record_free(qr_paxos_record *record)
{
    qr_free(record->configs);
    record->configs = NULL;
}

/* ------------------------------------------------------------ boot ---- */

/* What stands in the log beyond the newest checkpoint is about to be applied: more of it stays in memory than
 * later, or it would be read from the disk a second time. */
static size_t recall_max(const qr_paxos_engine *paxos)
{
    size_t most = paxos->config.memory_max;
    return most < SIZE_MAX / QR_PAXOS_RECALL_FACTOR ? most * QR_PAXOS_RECALL_FACTOR : SIZE_MAX;
}

/* Slots of one record, from `first` on, behind one that is known. */
static qr_status recall_entries(qr_paxos_engine *paxos, const qr_paxos_record *record)
{
    qr_paxos_log *log = &paxos->log;
    bool is_gap = record->first > log->last + 1;
    bool is_below = record->first <= log->base && log->base > paxos->base_brief;
    if (is_gap || is_below) {
        /* The oldest segments are gone, with slots that are in a checkpoint: the log begins here. The
         * checkpoint, which the node knows, must reach at least this far. */
        if (is_gap && paxos->base_found)
            return QR_E_CORRUPT;
        qr_paxos_restart_log(paxos, record->first - 1, record->prev_term);
    }
    paxos->base_found = true;
    if (record->first > log->base && qr_paxos_log_term(log, record->first - 1) != record->prev_term)
        return QR_E_CORRUPT;
    qr_reader entries = record->entries;
    uint64_t index = record->first;
    for (uint64_t i = 0; i < record->count; i++, index++) {
        qr_paxos_view view;
        qr_paxos_entry_decode(&entries, &view);
        if (index <= log->base) /* the brief is younger than this record, which was waiting for its write */
            continue;
        if (index < log->memory_first || index > log->last + 1)
            return QR_E_CORRUPT; /* what is chosen is never accepted again */
        qr_paxos_log_put(log, index, &view);
    }
    paxos->recalled_last = index - 1;
    return QR_OK;
}

static qr_status recall_record(qr_paxos_engine *paxos, const qr_paxos_record *record, bool is_brief)
{
    if (is_brief && (!record->restarts || record->count))
        return QR_E_CORRUPT;
    /* A brief may be younger than the records that follow it: ballots never go back. */
    if (record->ballot > paxos->ballot) {
        paxos->ballot = record->ballot;
        paxos->promised_to = record->promised_to;
    } else if (record->ballot == paxos->ballot && record->promised_to) {
        if (paxos->promised_to && paxos->promised_to != record->promised_to)
            return QR_E_CORRUPT; /* two promises of one ballot were never written */
        paxos->promised_to = record->promised_to;
    }
    qr_paxos_log *log = &paxos->log;
    if (record->restarts && record->base >= log->base) {
        qr_paxos_config_set(paxos, record->configs, record->config_count);
        if (record->base < log->last) { /* what was accepted behind it stays */
            qr_paxos_log_forget(log, record->base, record->base_term);
            paxos->chosen = paxos->chosen > record->base ? paxos->chosen : record->base;
            paxos->emitted = record->base;
        } else {
            qr_paxos_restart_log(paxos, record->base, record->base_term);
        }
        paxos->base_brief = record->base;
        paxos->base_found = false; /* slots kept behind it may stand in a segment that is gone by now */
    }
    qr_status status = record->count ? recall_entries(paxos, record) : QR_OK;
    if (status != QR_OK)
        return status;
    qr_paxos_choose(paxos, record->chosen < log->last ? record->chosen : log->last);
    qr_paxos_log_trim(log, paxos->chosen, recall_max(paxos));
    return QR_OK;
}

qr_status qr_paxos_recall(qr_paxos_engine *paxos, qr_slice bytes, bool is_brief)
{
    QR_ASSERT(!paxos->stepped);
    qr_paxos_record record;
    qr_status status = qr_paxos_record_decode(bytes, &record);
    if (status == QR_OK)
        status = recall_record(paxos, &record, is_brief);
    qr_paxos_record_free(&record);
    return status;
}

void qr_paxos_recall_end(qr_paxos_engine *paxos)
{
    paxos->stepped = true;
    if (QR_BUG(paxos->config.bug, PAXOS_PROMISE_FORGOTTEN))
        paxos->promised_to = 0;
    /* A crash between the two records of one turn: what the first one left behind it is there, but the log on
     * the disk ends with it. It is written again. */
    uint64_t saved = paxos->recalled_last < paxos->log.last ? paxos->recalled_last : paxos->log.last;
    paxos->durable_index = saved > paxos->log.base ? saved : paxos->log.base;
    paxos->unsaved_first = paxos->durable_index + 1;
    qr_paxos_config_forget(paxos, paxos->log.base);
    qr_paxos_taken_reset(paxos);
    qr_paxos_config_in_force(paxos);
}

/* ------------------------------------------------------------ saving ---- */

static void flight_push(qr_paxos_engine *paxos, qr_paxos_ticket flight)
{
    if (paxos->flight_count == paxos->flight_room) {
        size_t room = paxos->flight_room ? paxos->flight_room * 2 : 16;
        qr_paxos_ticket *flights = qr_alloc(room * sizeof *flights);
        for (size_t i = 0; i < paxos->flight_count; i++)
            flights[i] = paxos->flights[(paxos->flight_first + i) % paxos->flight_room];
        qr_free(paxos->flights);
        paxos->flights = flights;
        paxos->flight_first = 0;
        paxos->flight_room = room;
    }
    paxos->flights[(paxos->flight_first + paxos->flight_count++) % paxos->flight_room] = flight;
}

void qr_paxos_unsave(qr_paxos_engine *paxos, uint64_t index)
{
    for (size_t i = 0; i < paxos->flight_count; i++) {
        qr_paxos_ticket *flight = &paxos->flights[(paxos->flight_first + i) % paxos->flight_room];
        flight->last = flight->last < index ? flight->last : index - 1;
    }
    paxos->unsaved_first = paxos->unsaved_first < index ? paxos->unsaved_first : index;
    paxos->durable_index = paxos->durable_index < index ? paxos->durable_index : index - 1;
}

static void persist_one(qr_paxos_engine *paxos)
{
    uint64_t first = paxos->unsaved_first, last = first - 1;
    size_t bytes = 0;
    qr_paxos_view view;
    for (; last < paxos->log.last; last++) {
        bool is_here = qr_paxos_log_read(&paxos->log, last + 1, &view);
        QR_ASSERT(is_here); /* what is not saved is in memory */
        bytes += view.bytes.size + QR_PAXOS_ENTRY_HEADER_MAX;
        if (bytes > QR_PAXOS_RECORD_MAX && last >= first)
            break;
    }
    uint8_t parts = (paxos->restart_unsaved ? RECORD_RESTART : 0) | (last >= first ? RECORD_ENTRIES : 0);
    qr_buffer *out = &paxos->scratch;
    qr_buffer_clear(out);
    encode_head(paxos, parts, paxos->chosen < last ? paxos->chosen : last, out);
    if (last >= first) {
        qr_buffer_varint(out, first);
        qr_buffer_varint(out, qr_paxos_log_term(&paxos->log, first - 1));
        qr_buffer_varint(out, last - first + 1);
    }
    size_t head = out->size;
    for (uint64_t index = first; index <= last; index++) {
        qr_paxos_log_read(&paxos->log, index, &view);
        qr_paxos_entry_encode(&view, out);
    }
    qr_effect *effect = qr_effects_add(paxos->effects, QR_EFFECT_PERSIST, 0);
    effect->persist.ticket = ++paxos->tickets;
    effect->persist.record = qr_arena_copy(&paxos->effects->arena, qr_buffer_slice(out));
    effect->persist.head = head;
    effect->persist.index_first = last >= first ? first : 0;
    effect->persist.index_last = last >= first ? last : 0;
    if (paxos->hard_unsaved) {
        paxos->hard_ticket = paxos->tickets;
        paxos->hard_ms = paxos->now_ms;
    }
    paxos->hard_unsaved = paxos->restart_unsaved = false;
    paxos->unsaved_first = last + 1;
    flight_push(paxos, (qr_paxos_ticket){.ticket = paxos->tickets, .last = last});
}

void qr_paxos_persist(qr_paxos_engine *paxos)
{
    while (paxos->hard_unsaved || paxos->restart_unsaved || paxos->unsaved_first <= paxos->log.last)
        persist_one(paxos);
}

void qr_paxos_on_durable(qr_paxos_engine *paxos, uint64_t ticket)
{
    QR_CHECK(ticket <= paxos->tickets, "a ticket is durable that was never given out");
    if (ticket <= paxos->durable_ticket)
        return;
    bool had_promise = paxos->durable_ticket >= paxos->hard_ticket;
    paxos->durable_ticket = ticket;
    while (paxos->flight_count && paxos->flights[paxos->flight_first].ticket <= ticket) {
        uint64_t last = paxos->flights[paxos->flight_first].last;
        paxos->durable_index = paxos->durable_index > last ? paxos->durable_index : last;
        paxos->flight_first = (paxos->flight_first + 1) % paxos->flight_room;
        paxos->flight_count--;
    }
    if (!had_promise && ticket >= paxos->hard_ticket)
        qr_paxos_promise_durable(paxos, paxos->now_ms - paxos->hard_ms);
}

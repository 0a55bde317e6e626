#include "paxos/log.h"

#include "paxos/inside.h"

enum { RING_ROOM_MIN = 64 };

void qr_paxos_log_init(qr_paxos_log *log)
{
    *log = (qr_paxos_log){.memory_first = 1};
}

static qr_paxos_entry *entry_at(const qr_paxos_log *log, uint64_t index)
{
    QR_ASSERT(index >= log->memory_first && index <= log->last);
    return &log->ring[index & (log->ring_room - 1)];
}

static void entry_release(qr_paxos_log *log, qr_paxos_entry *entry)
{
    log->memory_bytes -= entry->size + sizeof *entry;
    qr_free(entry->bytes);
    *entry = (qr_paxos_entry){0};
}

static void release_all(qr_paxos_log *log)
{
    for (; log->memory_first <= log->last; log->memory_first++)
        entry_release(log, entry_at(log, log->memory_first));
}

void qr_paxos_log_free(qr_paxos_log *log)
{
    release_all(log);
    qr_free(log->ring);
    qr_free(log->runs);
    *log = (qr_paxos_log){0};
}

void qr_paxos_log_reset(qr_paxos_log *log, uint64_t index, uint64_t term)
{
    release_all(log);
    log->base = log->last = index;
    log->base_term = term;
    log->memory_first = index + 1;
    log->run_count = 0;
}

/* The row of runs that holds index, which is below memory_first. */
static size_t run_of(const qr_paxos_log *log, uint64_t index)
{
    size_t low = 0, high = log->run_count;
    QR_ASSERT(high > 0 && log->runs[0].first <= index);
    while (high - low > 1) {
        size_t middle = (low + high) / 2;
        *(log->runs[middle].first <= index ? &low : &high) = middle;
    }
    return low;
}

/* The terms of the slots in memory from index on. */
static void note_terms(qr_paxos_log *log, uint64_t index)
{
    uint64_t term = qr_paxos_log_term(log, index - 1);
    for (uint64_t i = index; i <= log->last; i++) {
        qr_paxos_entry *entry = entry_at(log, i);
        term = entry->born > term ? entry->born : term;
        entry->term = term;
    }
}

void qr_paxos_log_forget(qr_paxos_log *log, uint64_t index, uint64_t term)
{
    QR_ASSERT(index >= log->base && index <= log->last);
    if (index + 1 < log->memory_first) {
        size_t row = run_of(log, index + 1);
        log->run_count -= row;
        memmove(log->runs, log->runs + row, log->run_count * sizeof *log->runs);
        log->runs[0].first = index + 1;
    } else {
        for (; log->memory_first <= index; log->memory_first++)
            entry_release(log, entry_at(log, log->memory_first));
        log->run_count = 0;
    }
    log->base = index;
    log->base_term = term;
    if (log->memory_first == index + 1)
        note_terms(log, index + 1);
}

static void ring_grow(qr_paxos_log *log)
{
    uint64_t room = log->ring_room ? log->ring_room * 2 : RING_ROOM_MIN;
    qr_paxos_entry *ring = qr_alloc_zero(room, sizeof *ring);
    for (uint64_t i = log->memory_first; i <= log->last; i++)
        ring[i & (room - 1)] = *entry_at(log, i);
    qr_free(log->ring);
    log->ring = ring;
    log->ring_room = room;
}

/* Behind a slot that gets another value than it had everything is dead: it was accepted in earlier ballots
 * whose leaders had the former value here. Had one of these ballots chosen something behind this slot, the
 * same quorum would have accepted the former value in it first, for acceptors accept in order; so that would
 * be chosen, and no later ballot could propose another one (PMS, P2c). */
static void drop_dead(qr_paxos_log *log, uint64_t index)
{
    for (; log->last > index; log->last--)
        entry_release(log, entry_at(log, log->last));
}

void qr_paxos_log_put(qr_paxos_log *log, uint64_t index, const qr_paxos_view *view)
{
    QR_ASSERT(view->bytes.size <= QR_PAXOS_ENTRY_MAX && index < QR_PAXOS_NUMBER_MAX);
    QR_ASSERT(index >= log->memory_first && index <= log->last + 1 && view->born <= view->ballot);
    uint8_t *bytes = view->bytes.size ? qr_alloc(view->bytes.size) : NULL;
    if (bytes)
        memcpy(bytes, view->bytes.data, view->bytes.size);
    if (index > log->last) {
        if (index - log->memory_first == log->ring_room)
            ring_grow(log);
        log->last = index;
    } else {
        if (entry_at(log, index)->born != view->born)
            drop_dead(log, index);
        entry_release(log, entry_at(log, index));
    }
    *entry_at(log, index) = (qr_paxos_entry){.ballot = view->ballot,
                                             .born = view->born,
                                             .bytes = bytes,
                                             .size = (uint32_t)view->bytes.size,
                                             .kind = (uint8_t)view->kind};
    log->memory_bytes += view->bytes.size + sizeof(qr_paxos_entry);
    note_terms(log, index);
}

void qr_paxos_log_trim(qr_paxos_log *log, uint64_t index_max, size_t memory_max)
{
    for (; log->memory_bytes > memory_max && log->memory_first <= index_max && log->memory_first <= log->last;
         log->memory_first++) {
        qr_paxos_entry *entry = entry_at(log, log->memory_first);
        if (log->run_count == 0 || log->runs[log->run_count - 1].term != entry->term) {
            if (log->run_count == log->run_room) {
                log->run_room = log->run_room ? log->run_room * 2 : 16;
                log->runs = qr_realloc(log->runs, log->run_room * sizeof *log->runs);
            }
            log->runs[log->run_count++] = (qr_paxos_run){.first = log->memory_first, .term = entry->term};
        }
        entry_release(log, entry);
    }
}

uint64_t qr_paxos_log_term(const qr_paxos_log *log, uint64_t index)
{
    if (index < log->base || index > log->last)
        return 0;
    if (index == log->base)
        return log->base_term;
    return index >= log->memory_first ? entry_at(log, index)->term : log->runs[run_of(log, index)].term;
}

bool qr_paxos_log_read(const qr_paxos_log *log, uint64_t index, qr_paxos_view *view)
{
    if (index < log->memory_first || index > log->last)
        return false;
    const qr_paxos_entry *entry = entry_at(log, index);
    *view = (qr_paxos_view){.ballot = entry->ballot,
                            .born = entry->born,
                            .kind = (qr_entry_kind)entry->kind,
                            .bytes = qr_slice_of(entry->bytes, entry->size)};
    return true;
}

/* ------------------------------------------------------------ bytes ---- */

void qr_paxos_entry_encode(const qr_paxos_view *view, qr_buffer *out)
{
    qr_buffer_varint(out, view->ballot);
    qr_buffer_varint(out, view->born);
    qr_buffer_u8(out, (uint8_t)view->kind);
    qr_buffer_bytes(out, view->bytes);
}

qr_status qr_paxos_entry_decode(qr_reader *reader, qr_paxos_view *view)
{
    view->ballot = qr_reader_varint(reader);
    view->born = qr_reader_varint(reader);
    uint8_t kind = qr_reader_u8(reader);
    view->bytes = qr_reader_bytes(reader);
    if (reader->failed || view->born == 0 || view->born > view->ballot ||
        view->ballot > QR_PAXOS_NUMBER_MAX || view->bytes.size > QR_PAXOS_ENTRY_MAX)
        return QR_E_INVALID;
    if (kind != QR_ENTRY_COMMAND && kind != QR_ENTRY_MEMBERS && kind != QR_ENTRY_NOOP)
        return QR_E_INVALID;
    view->kind = (qr_entry_kind)kind;
    return QR_OK;
}

bool qr_paxos_entries_sound(qr_reader reader, uint64_t count, uint64_t ballot_max)
{
    for (uint64_t i = 0; i < count; i++) {
        qr_paxos_view view;
        if (qr_paxos_entry_decode(&reader, &view) != QR_OK || view.ballot > ballot_max)
            return false;
        qr_members members;
        qr_reader inside = qr_reader_of(view.bytes);
        if (view.kind == QR_ENTRY_MEMBERS &&
            (qr_members_decode(&inside, &members) != QR_OK || qr_reader_left(&inside) != 0))
            return false;
    }
    return qr_reader_left(&reader) == 0;
}

/* Entries that are not in memory any more, and what is committed going out to the machine.
 *
 * Two need old entries: COMMIT after a restart, and followers far behind. One FETCH is under way at a time;
 * what comes back is kept until the next one, and serves whoever finds his entry there. An entry is told by
 * index and term, so leftovers of a log that was cut meanwhile are never taken for the new ones. */
#include "raft/raft_internal.h"

static bool fetched_read(const qr_raft_engine *raft, uint64_t index, qr_raft_view *view)
{
    const qr_raft_fetched *fetched = &raft->fetched;
    if (index < fetched->first || index - fetched->first >= fetched->count)
        return false;
    const struct qr_raft_fetched_row *row = &fetched->rows[index - fetched->first];
    if (row->term != qr_raft_log_term(&raft->log, index) || index <= raft->log.base_index)
        return false;
    qr_reader reader =
        qr_reader_of(qr_slice_of(fetched->bytes.data + row->offset, fetched->bytes.size - row->offset));
    qr_status status = qr_raft_entry_decode(&reader, view);
    QR_ASSERT(status == QR_OK); /* checked when it was kept */
    return true;
}

bool qr_raft_entry_read(const qr_raft_engine *raft, uint64_t index, qr_raft_view *view)
{
    return qr_raft_log_read(&raft->log, index, view) || fetched_read(raft, index, view);
}

uint64_t qr_raft_measure(const qr_raft_engine *raft, uint64_t from, uint64_t to, size_t bytes_max,
                         size_t *bytes)
{
    *bytes = 0;
    uint64_t index = from;
    qr_raft_view view;
    for (; index <= to && qr_raft_entry_read(raft, index, &view); index++) {
        if (index > from && *bytes + view.encoded.size > bytes_max)
            break;
        *bytes += view.encoded.size;
    }
    return index - 1;
}

uint8_t *qr_raft_copy(const qr_raft_engine *raft, uint64_t from, uint64_t to, uint8_t *at)
{
    const uint8_t *run = NULL; /* neighbours in memory are copied in one go */
    size_t size = 0;
    for (uint64_t index = from; index <= to; index++) {
        qr_raft_view view;
        bool is_here = qr_raft_entry_read(raft, index, &view);
        QR_ASSERT(is_here);
        if (run && run + size == view.encoded.data) {
            size += view.encoded.size;
            continue;
        }
        if (size)
            memcpy(at, run, size);
        at += size;
        run = view.encoded.data;
        size = view.encoded.size;
    }
    if (size)
        memcpy(at, run, size);
    return at + size;
}

void qr_raft_want(qr_raft_engine *raft, uint64_t from, uint64_t to, bool for_self)
{
    if (raft->want_from && !for_self) /* applying comes first; among peers, whoever is looked at first */
        return;
    raft->want_from = from;
    raft->want_to = to < raft->log.memory_first - 1 ? to : raft->log.memory_first - 1;
    QR_ASSERT(raft->want_from <= raft->want_to);
}

/* What is committed goes out in order, each index once. The bytes stay in the log until the next step. */
void qr_raft_emit(qr_raft_engine *raft)
{
    uint64_t to = raft->commit < raft->log.last ? raft->commit : raft->log.last;
    size_t bytes = 0, count = 0;
    while (raft->emitted < to) {
        qr_raft_view view;
        if (!qr_raft_entry_read(raft, raft->emitted + 1, &view)) {
            qr_raft_want(raft, raft->emitted + 1, to, true);
            return;
        }
        if (bytes >= QR_RAFT_COMMIT_BYTES_MAX || count >= QR_RAFT_COMMIT_COUNT_MAX) {
            raft->more = true;
            return;
        }
        QR_ASSERT(raft->emitted < raft->commit && view.term <= raft->term);
        raft->emitted++;
        bytes += view.bytes.size;
        count++;
        qr_effect *effect = qr_effects_add(raft->effects, QR_EFFECT_COMMIT, 0);
        effect->commit.index = raft->emitted;
        effect->commit.term = view.term;
        effect->commit.kind = view.kind;
        effect->commit.bytes = view.bytes;
    }
}

void qr_raft_fetch_tick(qr_raft_engine *raft)
{
    if (raft->want_from && !raft->fetch_running) {
        QR_ASSERT(raft->want_from > raft->log.base_index && raft->want_to <= raft->log.last);
        raft->fetch_running = true;
        raft->fetch_from = raft->want_from;
        raft->fetch_to = raft->want_to;
        raft->fetch_term = qr_raft_log_term(&raft->log, raft->want_from);
        raft->fetch_turn++;
        qr_raft_trace(raft, QR_TRACE_FETCH, raft->fetch_from, raft->fetch_to, 0, 0);
        qr_effect *effect = qr_effects_add(raft->effects, QR_EFFECT_FETCH, 0);
        effect->fetch.from = raft->fetch_from;
        effect->fetch.to = raft->fetch_to;
    }
    raft->want_from = 0;
}

static bool keep_record(qr_raft_engine *raft, qr_slice bytes)
{
    qr_raft_fetched *fetched = &raft->fetched;
    qr_raft_record *record = qr_alloc(sizeof *record);
    qr_status status = qr_raft_record_decode(bytes, record);
    qr_reader entries = record->entries;
    uint64_t first = record->first, count = record->count;
    qr_free(record);
    if (status != QR_OK)
        return false;
    for (uint64_t index = first; index < first + count; index++) {
        qr_raft_view view;
        if (qr_raft_entry_decode(&entries, &view) != QR_OK)
            return false;
        if (index < fetched->first || index > raft->fetch_to)
            continue;
        if (index - fetched->first > fetched->count) /* a gap: the rest is asked for again */
            return true;
        fetched->count = index - fetched->first; /* a later record overrides an earlier one */
        if (fetched->count == fetched->room) {
            fetched->room = fetched->room ? fetched->room * 2 : 64;
            fetched->rows = qr_realloc(fetched->rows, fetched->room * sizeof *fetched->rows);
        }
        fetched->rows[fetched->count].term = view.term;
        fetched->rows[fetched->count].offset = fetched->bytes.size;
        fetched->count++;
        qr_buffer_add_slice(&fetched->bytes, view.encoded);
    }
    return true;
}

/* The log's disk has them no more: a peer that needs them gets a checkpoint. */
static void fetch_missed(qr_raft_engine *raft)
{
    uint64_t to = raft->commit < raft->log.last ? raft->commit : raft->log.last;
    if (raft->emitted + 1 == raft->fetch_from && raft->emitted < to) {
        qr_raft_halt(raft, "committed entries that were not applied yet are missing from the own log");
        return;
    }
    if (raft->role == QR_LEADER)
        qr_peers_miss(&raft->peers, raft->fetch_to, raft->log.memory_first);
}

void qr_raft_on_entries(qr_raft_engine *raft, const qr_event *event)
{
    if (!raft->fetch_running || event->entries.from != raft->fetch_from) /* of something given up */
        return;
    raft->fetch_running = false;
    if (event->entries.status == QR_E_NOT_FOUND) {
        fetch_missed(raft);
        return;
    }
    if (event->entries.status != QR_OK) {
        qr_raft_halt(raft, "the own log can't be read back");
        return;
    }
    raft->fetched.first = raft->fetch_from;
    raft->fetched.count = 0;
    qr_buffer_shrink(&raft->fetched.bytes, QR_FLYING_BYTES_MAX);
    for (size_t i = 0; i < event->entries.count; i++) {
        if (!keep_record(raft, event->entries.records[i])) {
            qr_raft_halt(raft, "the own log gave back a malformed record");
            return;
        }
    }
    qr_raft_view view;
    bool same_log = qr_raft_log_term(&raft->log, raft->fetch_from) == raft->fetch_term &&
                    raft->fetch_from > raft->log.base_index;
    if (same_log && !qr_raft_entry_read(raft, raft->fetch_from, &view))
        qr_raft_halt(raft, "the own log gave back other entries than were written");
}

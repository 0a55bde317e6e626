/* Reading entries back. The plan is made at once: which runs, and where their bytes go. What is not durable
 * yet is copied from the batches then and there, because it may be gone from memory when the disk answers;
 * the rest is read run by run. When nothing has to be read, eight bytes of the oldest segment are, and thrown
 * away: the disk is the only thing here that calls back later, and done() must not come from inside
 * qr_wal_fetch().
 *
 * Every record is checked again before it is handed over, and the newest one of each entry wins: a record
 * whose last entries were replaced is followed by the one that replaces them, whatever size_max says. */
#include <string.h>

#include "wal/inside.h"

static void add_piece(qr_wal *wal, const wal_run *run)
{
    wal_fetch *fetch = &wal->fetch;
    if (fetch->count == fetch->room) {
        fetch->room = fetch->room ? fetch->room * 2 : 16;
        fetch->pieces = qr_realloc(fetch->pieces, fetch->room * sizeof *fetch->pieces);
    }
    uint64_t on_disk = wal->durable > run->position ? wal->durable - run->position : 0;
    wal_piece *piece = &fetch->pieces[fetch->count++];
    *piece = (wal_piece){
        .run = *run,
        .on_disk = on_disk < run->size ? on_disk : run->size,
        .start = fetch->bytes.size,
    };
    uint8_t *target = qr_buffer_extend(&fetch->bytes, run->size);
    if (piece->on_disk < run->size)
        qr_wal_batch_copy(wal, run->position + piece->on_disk, run->size - piece->on_disk,
                          target + piece->on_disk);
}

static void plan(qr_wal *wal)
{
    wal_fetch *fetch = &wal->fetch;
    const wal_index *index = &wal->index;
    const wal_run *run = qr_wal_index_find(index, fetch->from);
    if (run == NULL) {
        fetch->status = QR_E_NOT_FOUND;
        return;
    }
    const wal_run *end = index->runs + index->end;
    add_piece(wal, run);
    for (; run + 1 < end && run[1].first == run->last + 1; run++) {
        bool is_enough = run->last >= fetch->to || fetch->bytes.size >= fetch->size_max;
        if (is_enough && !run->is_cut)
            break;
        add_piece(wal, &run[1]);
    }
}

static const wal_segment *segment_of(const qr_wal *wal, uint64_t position)
{
    uint64_t sequence = position / wal->segment_size;
    for (size_t i = 0; i < wal->segment_count; i++) {
        const wal_segment *segment = &wal->segments[i];
        if (sequence >= segment->sequence && sequence < segment->sequence + segment->span)
            return segment;
    }
    return NULL;
}

static void fetch_done(qr_disk_op *op);

static void submit(qr_wal *wal, const wal_segment *segment, uint64_t offset, uint8_t *target, uint64_t size)
{
    qr_disk_op *op = &wal->fetch.op;
    *op = (qr_disk_op){
        .kind = QR_DISK_READ,
        .lane = QR_LANE_BACKGROUND,
        .offset = offset,
        .target = target,
        .size = size,
        .done = fetch_done,
        .owner = wal,
    };
    qr_wal_name_segment(segment->sequence, op->name);
    wal->config.disk->submit(wal->config.disk->self, op);
}

/* Reads the next piece that is on the disk; false: there is none. */
static bool read_piece(qr_wal *wal)
{
    wal_fetch *fetch = &wal->fetch;
    while (fetch->next < fetch->count && fetch->pieces[fetch->next].on_disk == 0)
        fetch->next++;
    if (fetch->next == fetch->count || fetch->status != QR_OK)
        return false;
    const wal_piece *piece = &fetch->pieces[fetch->next++];
    const wal_segment *segment = segment_of(wal, piece->run.position);
    QR_ASSERT(segment != NULL && segment->on_disk);
    submit(wal, segment, piece->run.position - segment->sequence * wal->segment_size,
           fetch->bytes.data + piece->start, piece->on_disk);
    return true;
}

typedef struct found_records {
    qr_slice *records;
    size_t count, room, bytes;
    uint64_t last; /* greatest entry in any of them */
} found_records;

static void keep(found_records *found, const wal_record *record)
{
    if (found->count == found->room) {
        found->room = found->room ? found->room * 2 : 64;
        found->records = qr_realloc(found->records, found->room * sizeof *found->records);
    }
    found->records[found->count++] = record->payload;
    found->bytes += record->payload.size;
    if (found->last < record->index_last)
        found->last = record->index_last;
}

/* Checks a piece and keeps what is asked for of it. CORRUPT; NOT_FOUND: enough was kept. */
static qr_status walk(const qr_wal *wal, const wal_piece *piece, found_records *found)
{
    const wal_fetch *fetch = &wal->fetch;
    uint64_t at = 0;
    while (at < piece->run.size) {
        wal_record record;
        qr_slice left = qr_slice_of(fetch->bytes.data + piece->start + at, (size_t)(piece->run.size - at));
        if (!qr_wal_record_read(left, wal->seed, &record) || record.position != piece->run.position + at)
            return QR_E_CORRUPT;
        at += record.total;
        if (record.index_last < fetch->from || record.index_first > piece->run.last)
            continue; /* before the asked ones, replaced, or without entries */
        bool is_enough = record.index_first > fetch->to ||
                         (found->count > 0 && found->bytes + record.payload.size > fetch->size_max);
        if (is_enough && record.index_first > found->last)
            return QR_E_NOT_FOUND;
        keep(found, &record);
    }
    return QR_OK;
}

static void finish(qr_wal *wal)
{
    wal_fetch *fetch = &wal->fetch;
    found_records found = {0};
    qr_status status = fetch->status;
    for (size_t i = 0; i < fetch->count && status == QR_OK; i++)
        status = walk(wal, &fetch->pieces[i], &found);
    if (status == QR_E_NOT_FOUND && found.count > 0)
        status = QR_OK;
    if (status == QR_OK && found.count == 0)
        status = QR_E_CORRUPT; /* the index knew of a record that is not there */
    /* The records stay alive through the call, even if it starts the next fetch or closes the log. */
    qr_buffer bytes = fetch->bytes;
    uint64_t from = fetch->from, to = fetch->to;
    qr_wal_fetched done = fetch->done;
    void *context = fetch->context;
    qr_buffer_init(&fetch->bytes);
    fetch->active = false;
    fetch->count = fetch->next = 0;
    qr_wal_workshop_advance(wal);
    done(context, from, to, status, found.records, status == QR_OK ? found.count : 0);
    qr_buffer_free(&bytes);
    qr_free(found.records);
}

static void fetch_done(qr_disk_op *op)
{
    qr_wal *wal = op->owner;
    wal_fetch *fetch = &wal->fetch;
    QR_ASSERT(fetch->active);
    /* A read that failed and a file that is shorter than what was written are the same to who asked: damage.
     */
    if (op->target != fetch->probe && (op->status != QR_OK || op->got < op->size))
        fetch->status = QR_E_CORRUPT;
    if (!read_piece(wal))
        finish(wal);
}

void qr_wal_fetch(qr_wal *wal, uint64_t from, uint64_t to, size_t size_max, qr_wal_fetched done,
                  void *context)
{
    wal_fetch *fetch = &wal->fetch;
    QR_CHECK(!fetch->active, "one fetch at a time");
    QR_ASSERT(from > 0 && from <= to);
    fetch->active = true;
    fetch->from = from;
    fetch->to = to;
    fetch->size_max = size_max;
    fetch->done = done;
    fetch->context = context;
    fetch->status = QR_OK;
    fetch->count = fetch->next = 0;
    plan(wal);
    if (!read_piece(wal)) {
        QR_ASSERT(wal->segments[0].on_disk);
        submit(wal, &wal->segments[0], 0, fetch->probe, sizeof fetch->probe);
    }
}

/* Appending and flushing. Two batches take turns: one takes appends, the other one is on its way to the disk.
 *
 * A batch is a list of chunks, each the bytes of one write; a chunk ends where a segment ends. Happy path:
 * the batches are swapped, the chunk is written and synced where the segment stands, durable() is called.
 * When a chunk begins a segment, its bytes begin with the head; they are written into a spare and synced,
 * then the spare gets its name, then the folder is synced: only then does the segment exist, whole up to
 * there. Without a spare the flush waits for one.
 *
 * The first write into a place that is only reserved costs its sync a write of metadata. That is little for a
 * large write; a small one carries zeros as far as the next multiple of 64 KiB, so that those after it are
 * free of it.
 *
 * Every record of a chunk says that the log was durable up to the chunk's beginning. That is true when it
 * reaches the disk, because no chunk is submitted before the one before it is durable. */
#include <string.h>

#include "wal/inside.h"

static wal_batch *waiting_batch(qr_wal *wal)
{
    return &wal->batches[wal->waiting];
}
static wal_batch *flying_batch(qr_wal *wal)
{
    return &wal->batches[!wal->waiting];
}

/* ------------------------------------------------------------- append ---- */

static wal_chunk *add_chunk(wal_batch *batch)
{
    if (batch->count == batch->room) {
        batch->room = batch->room ? batch->room * 2 : 4;
        batch->chunks = qr_realloc(batch->chunks, batch->room * sizeof *batch->chunks);
    }
    wal_chunk *chunk = &batch->chunks[batch->count++];
    *chunk = (wal_chunk){.start = batch->bytes.size};
    return chunk;
}

static void begin_segment(qr_wal *wal, uint64_t total)
{
    const wal_segment *last = qr_wal_segment_last(wal);
    qr_buffer_clear(&wal->brief);
    wal->config.brief(wal->config.context, &wal->brief);
    QR_CHECK(wal->brief.size <= QR_WAL_BRIEF_MAX,
             "the brief of a log segment is larger than QR_WAL_BRIEF_MAX");
    uint32_t head_size = qr_wal_head_size(wal->brief.size);
    wal_head head = {
        .cluster = wal->config.cluster,
        .group = wal->config.group,
        .member = wal->config.member,
        .incarnation = wal->incarnation,
        .sequence = last->sequence + last->span,
        .segment_size = wal->segment_size,
        .span = (uint32_t)((head_size + total + wal->segment_size - 1) / wal->segment_size),
        .previous_end = wal->position,
        .chain = wal->chain,
    };
    wal_chunk *chunk = add_chunk(waiting_batch(wal));
    chunk->place = head.sequence * wal->segment_size;
    chunk->size = head_size;
    chunk->span = head.span;
    chunk->head_size = head_size;
    qr_wal_head_write(&head, qr_buffer_slice(&wal->brief),
                      qr_buffer_extend(&waiting_batch(wal)->bytes, head_size));
    wal_segment *segment = qr_wal_segment_add(wal);
    segment->sequence = head.sequence;
    segment->span = head.span;
    segment->head_size = head_size;
    wal->position = chunk->place + head_size;
    wal->chain = head.checksum;
    wal->end_asked = false;
}

uint64_t qr_wal_append(qr_wal *wal, qr_slice payload, uint64_t index_first, uint64_t index_last)
{
    QR_ASSERT(payload.size <= QR_WAL_RECORD_MAX);
    QR_ASSERT(index_first <= index_last && (index_first == 0) == (index_last == 0));
    uint64_t total = qr_wal_record_total(payload.size);
    if (wal->broken) /* never durable, so not worth the memory */
        return wal->position + total;
    wal_batch *batch = waiting_batch(wal);
    wal_segment *segment = qr_wal_segment_last(wal);
    if (wal->end_asked || wal->position + total > (segment->sequence + segment->span) * wal->segment_size) {
        begin_segment(wal, total);
        segment = qr_wal_segment_last(wal);
    } else if (batch->count == 0) {
        add_chunk(batch)->place = wal->position;
    }
    wal_chunk *chunk = &batch->chunks[batch->count - 1];
    wal_record record = {
        .position = wal->position,
        .durable = chunk->place,
        .chain = wal->chain,
        .index_first = index_first,
        .index_last = index_last,
        .payload = payload,
    };
    qr_wal_record_write(&record, wal->seed, qr_buffer_extend(&batch->bytes, (size_t)total));
    chunk->size += (size_t)total;
    chunk->end = wal->position + total;
    QR_ASSERT(chunk->start + chunk->size == batch->bytes.size);
    if (index_first > 0) {
        qr_wal_index_add(&wal->index, index_first, index_last, wal->position, total,
                         segment->sequence * wal->segment_size);
        if (segment->index_max < index_last)
            segment->index_max = index_last;
    }
    wal->chain = record.checksum;
    wal->position += total;
    wal->records++;
    return wal->position;
}

void qr_wal_begin_segment(qr_wal *wal)
{
    wal->end_asked = true;
}

/* -------------------------------------------------------------- flush ---- */

static void flying_done(qr_disk_op *op);

static void submit(qr_wal *wal, qr_disk_kind kind, wal_flying state)
{
    wal->flying = state;
    qr_disk_op *op = &wal->op;
    op->kind = kind;
    op->lane = QR_LANE_LOG;
    op->done = flying_done;
    op->owner = wal;
    wal->config.disk->submit(wal->config.disk->self, op);
}

/* Zeros behind the last chunk of the flying batch, for what was never written; returns their bytes. */
static size_t pad(qr_wal *wal, const wal_chunk *chunk, uint64_t offset, uint64_t file_size)
{
    wal_batch *batch = flying_batch(wal);
    uint64_t end = offset + chunk->size, to = end;
    if (end <= wal->written)
        return 0;
    if (chunk->size < WAL_PADDED && chunk->start + chunk->size == batch->bytes.size)
        to = (end / WAL_PADDED_TO + 1) * WAL_PADDED_TO;
    to = to < file_size ? to : file_size;
    wal->written = to;
    if (to > end)
        memset(qr_buffer_extend(&batch->bytes, (size_t)(to - end)), 0, (size_t)(to - end));
    return (size_t)(to - end);
}

static void write_chunk(qr_wal *wal)
{
    const wal_chunk *chunk = &flying_batch(wal)->chunks[wal->chunk_next];
    wal->op = (qr_disk_op){0};
    if (chunk->span > 0 && !qr_wal_spare_take(wal, chunk->span, &wal->begun)) {
        wal->flying = FLYING_SPARE;
        qr_wal_workshop_advance(wal);
        return;
    }
    uint64_t file_size;
    if (chunk->span > 0) {
        qr_wal_name_spare(wal->begun.number, wal->op.name);
        file_size = chunk->span * wal->segment_size;
        wal->written = wal->begun.written;
    } else {
        /* The segment that holds the place is the newest one on the disk: chunks are carried out in order. */
        size_t at = wal->segment_count;
        while (!wal->segments[at - 1].on_disk)
            at--;
        const wal_segment *segment = &wal->segments[at - 1];
        qr_wal_name_segment(segment->sequence, wal->op.name);
        wal->op.offset = chunk->place - segment->sequence * wal->segment_size;
        file_size = segment->span * wal->segment_size;
        QR_ASSERT(wal->op.offset + chunk->size <= file_size);
    }
    size_t padding = pad(wal, chunk, wal->op.offset, file_size);
    wal->op.bytes = qr_slice_of(flying_batch(wal)->bytes.data + chunk->start, chunk->size + padding);
    submit(wal, QR_DISK_WRITE_SYNC, FLYING_WRITE);
}

static void start(qr_wal *wal)
{
    if (wal->broken || wal->flying != FLYING_NOTHING || !wal->flush_asked || waiting_batch(wal)->count == 0)
        return;
    QR_ASSERT(flying_batch(wal)->count == 0);
    wal->waiting = !wal->waiting;
    wal->flush_asked = false;
    wal->chunk_next = 0;
    write_chunk(wal);
    qr_wal_workshop_advance(wal);
}

void qr_wal_flying_advance(qr_wal *wal)
{
    if (!wal->broken && wal->flying == FLYING_SPARE)
        write_chunk(wal);
}

void qr_wal_flush(qr_wal *wal)
{
    wal->flush_asked = waiting_batch(wal)->count > 0;
    start(wal);
    qr_wal_workshop_retry(wal);
}

/* The next chunk, or the next batch, is on its way before the owner hears that this one is durable. */
static void chunk_is_durable(qr_wal *wal)
{
    wal_batch *batch = flying_batch(wal);
    const wal_chunk *chunk = &batch->chunks[wal->chunk_next];
    uint64_t durable = chunk->end;
    QR_ASSERT(durable > wal->durable && durable <= wal->position);
    wal->durable = durable;
    if (chunk->span > 0) {
        size_t at = 0;
        while (wal->segments[at].sequence * wal->segment_size != chunk->place)
            at++;
        QR_ASSERT(at < wal->segment_count && !wal->segments[at].on_disk);
        wal->segments[at].on_disk = true;
        qr_trace_add(wal->config.trace, QR_TRACE_WAL_SEGMENT, wal->segments[at].sequence, 0, 0, 0);
    }
    wal->flying = FLYING_NOTHING;
    wal->flushes++;
    if (++wal->chunk_next < batch->count) {
        write_chunk(wal);
    } else {
        batch->count = 0;
        qr_buffer_shrink(&batch->bytes, WAL_BUFFER_KEPT);
        start(wal);
    }
    qr_wal_workshop_advance(wal);
    wal->config.durable(wal->config.context, durable);
}

static void flying_done(qr_disk_op *op)
{
    qr_wal *wal = op->owner;
    bool begins = flying_batch(wal)->chunks[wal->chunk_next].span > 0;
    QR_ASSERT(wal->flying == FLYING_WRITE || wal->flying == FLYING_RENAME || wal->flying == FLYING_FOLDER);
    if (op->status != QR_OK && !QR_BUG(wal->config.bug, SYNC_ERROR_IGNORED)) {
        bool was_write = wal->flying == FLYING_WRITE;
        wal->flying = FLYING_NOTHING;
        qr_wal_break(wal, op, was_write ? "writing" : "naming");
        return;
    }
    if (wal->broken) {
        wal->flying = FLYING_NOTHING;
        return;
    }
    if (wal->flying == FLYING_WRITE && begins) {
        qr_wal_name_segment(flying_batch(wal)->chunks[wal->chunk_next].place / wal->segment_size,
                            op->name_to);
        submit(wal, QR_DISK_RENAME, FLYING_RENAME);
    } else if (wal->flying == FLYING_RENAME && !QR_BUG(wal->config.bug, MISSING_FOLDER_SYNC)) {
        submit(wal, QR_DISK_SYNC_FOLDER, FLYING_FOLDER);
    } else {
        chunk_is_durable(wal);
    }
}

/* ------------------------------------------------ reading from memory ---- */

static void copy_from(const wal_batch *batch, uint64_t position, uint64_t size, uint8_t *target)
{
    for (size_t i = 0; i < batch->count; i++) {
        const wal_chunk *chunk = &batch->chunks[i];
        uint64_t from = position > chunk->place ? position : chunk->place;
        uint64_t to =
            position + size < chunk->place + chunk->size ? position + size : chunk->place + chunk->size;
        if (from < to)
            memcpy(target + (from - position), batch->bytes.data + chunk->start + (from - chunk->place),
                   (size_t)(to - from));
    }
}

void qr_wal_batch_copy(const qr_wal *wal, uint64_t position, uint64_t size, uint8_t *target)
{
    copy_from(&wal->batches[!wal->waiting], position, size, target);
    copy_from(&wal->batches[wal->waiting], position, size, target);
}

/* Segments and spares. A spare is a file of the size of a segment that may be overwritten: reserved here, or,
 * where the disk cannot do that, zero-filled slice by slice in the background lane so that log syncs get in
 * between; or a released segment under another name. Its first write (append.c) turns it into a segment. */
#include <stdio.h>
#include <string.h>

#include "wal/inside.h"

static const char *const suffix = ".wal";

void qr_wal_name_segment(uint64_t sequence, char name[QR_DISK_NAME_MAX])
{
    snprintf(name, QR_DISK_NAME_MAX, "%016" PRIx64 "%s", sequence, suffix);
}

void qr_wal_name_spare(uint64_t number, char name[QR_DISK_NAME_MAX])
{
    snprintf(name, QR_DISK_NAME_MAX, "spare-%016" PRIx64 "%s", number, suffix);
}

bool qr_wal_name_read(const char *name, const char *prefix, uint64_t *number)
{
    size_t skip = strlen(prefix);
    if (strncmp(name, prefix, skip) != 0 || strlen(name) != skip + 16 + strlen(suffix) ||
        strcmp(name + skip + 16, suffix) != 0)
        return false;
    *number = 0;
    for (size_t i = skip; i < skip + 16; i++) {
        const char *digits = "0123456789abcdef", *digit = strchr(digits, name[i]);
        if (digit == NULL)
            return false;
        *number = *number << 4 | (uint64_t)(digit - digits);
    }
    return true;
}

wal_segment *qr_wal_segment_add(qr_wal *wal)
{
    if (wal->segment_count == wal->segment_room) {
        wal->segment_room = wal->segment_room ? wal->segment_room * 2 : 16;
        wal->segments = qr_realloc(wal->segments, wal->segment_room * sizeof *wal->segments);
    }
    wal_segment *segment = &wal->segments[wal->segment_count++];
    *segment = (wal_segment){.span = 1};
    return segment;
}

bool qr_wal_spare_take(qr_wal *wal, uint32_t span, wal_spare *spare)
{
    for (size_t i = 0; i < wal->spare_count; i++) {
        if (wal->spares[i].span != span)
            continue;
        *spare = wal->spares[i];
        wal->spare_count--;
        memmove(&wal->spares[i], &wal->spares[i + 1], (wal->spare_count - i) * sizeof *wal->spares);
        return true;
    }
    return false;
}

static size_t spares_max(const qr_wal *wal)
{
    size_t wanted = (size_t)wal->config.segments_ready + WAL_SPARES_EXTRA;
    return wanted < WAL_SPARES_MAX - 1 ? wanted : WAL_SPARES_MAX - 1;
}

static void workshop_done(qr_disk_op *op);

static void submit(qr_wal *wal, qr_disk_kind kind, wal_making state)
{
    wal->workshop.state = state;
    qr_disk_op *op = &wal->workshop.op;
    op->kind = kind;
    op->lane = QR_LANE_BACKGROUND;
    op->done = workshop_done;
    op->owner = wal;
    wal->config.disk->submit(wal->config.disk->self, op);
}

static void submit_folder(qr_wal *wal)
{
    wal->workshop.op = (qr_disk_op){0};
    submit(wal, QR_DISK_SYNC_FOLDER, MAKING_FOLDER);
}

/* ------------------------------------------------------------- making ---- */

static void make_spare(qr_wal *wal, uint32_t span)
{
    wal_workshop *shop = &wal->workshop;
    QR_ASSERT(wal->spare_count < WAL_SPARES_MAX);
    shop->spare = (wal_spare){.number = wal->spare_number++, .span = span};
    shop->op = (qr_disk_op){0};
    qr_wal_name_spare(shop->spare.number, shop->op.name);
    submit(wal, QR_DISK_CREATE, MAKING_CREATE);
}

/* Not synced: the sync of the first records makes it durable. */
static void reserve(qr_wal *wal)
{
    wal->workshop.op.size = wal->workshop.spare.span * wal->segment_size;
    submit(wal, QR_DISK_RESERVE, MAKING_RESERVE);
}

static void fill_slice(qr_wal *wal)
{
    wal_workshop *shop = &wal->workshop;
    uint64_t left = shop->spare.span * wal->segment_size - shop->spare.written;
    shop->op.offset = shop->spare.written;
    shop->op.bytes = qr_slice_of(wal->zeros, (size_t)(left < wal->slice ? left : wal->slice));
    /* Synced slice by slice: one sync of a whole segment would keep the log's syncs waiting for a tenth of a
     * second. */
    submit(wal, QR_DISK_WRITE_SYNC, MAKING_FILL);
}

static void spare_ready(qr_wal *wal)
{
    QR_ASSERT(wal->spare_count < WAL_SPARES_MAX);
    wal->spares[wal->spare_count++] = wal->workshop.spare;
}

/* The disk is full. What was made of the spare is given back: a checkpoint may need the room to free
 * segments. */
static void undo_spare(qr_wal *wal)
{
    wal_workshop *shop = &wal->workshop;
    uint32_t most = wal->flying == FLYING_SPARE ? WAL_RETRY_URGENT_MAX : WAL_RETRY_MAX;
    shop->hold_next = shop->hold_next == 0 ? 1 : shop->hold_next * 2;
    if (shop->hold_next > most)
        shop->hold_next = most;
    shop->hold = shop->hold_next;
    shop->op.offset = 0;
    submit(wal, QR_DISK_REMOVE, MAKING_UNDO);
}

/* ---------------------------------------------------------- recycling ---- */

/* The oldest segment may go when a newer one stands durably behind it, with the brief that replaces it. */
static bool may_release(const qr_wal *wal)
{
    return wal->segment_count > 1 && wal->segments[1].on_disk && !wal->fetch.active &&
           wal->segments[0].index_max <= wal->workshop.release && wal->workshop.release > 0;
}

/* One at a time and oldest first, each made durable before the next: after a crash the segments left are
 * without a gap, and a file is never overwritten while its old name may come back. */
static void release_oldest(qr_wal *wal)
{
    wal_workshop *shop = &wal->workshop;
    wal_segment oldest = wal->segments[0];
    wal->segment_count--;
    memmove(wal->segments, wal->segments + 1, wal->segment_count * sizeof *wal->segments);
    qr_wal_index_drop(&wal->index, wal->segments[0].sequence * wal->segment_size);
    shop->op = (qr_disk_op){0};
    qr_wal_name_segment(oldest.sequence, shop->op.name);
    shop->keep = oldest.span == 1 && wal->spare_count < spares_max(wal);
    if (!shop->keep) {
        submit(wal, QR_DISK_REMOVE, MAKING_REMOVE);
        return;
    }
    shop->spare = (wal_spare){.number = wal->spare_number++, .span = 1, .written = wal->segment_size};
    qr_wal_name_spare(shop->spare.number, shop->op.name_to);
    submit(wal, QR_DISK_RENAME, MAKING_RENAME);
}

bool qr_wal_has_before(const qr_wal *wal, uint64_t index)
{
    return wal->segments[0].index_max <= index;
}

void qr_wal_release(qr_wal *wal, uint64_t index)
{
    if (index > wal->workshop.release)
        wal->workshop.release = index;
    qr_wal_workshop_advance(wal);
}

/* ------------------------------------------------------------ the flow ---- */

static bool is_plenty(const qr_wal *wal)
{
    return wal->flying != FLYING_SPARE && wal->spare_count >= wal->config.segments_ready;
}

static uint32_t span_wanted(const qr_wal *wal)
{
    return wal->flying == FLYING_SPARE ? wal->batches[!wal->waiting].chunks[wal->chunk_next].span : 1;
}

void qr_wal_workshop_advance(qr_wal *wal)
{
    wal_workshop *shop = &wal->workshop;
    if (wal->broken || shop->state != MAKING_NOTHING)
        return;
    /* What is released may be the very spare that is waited for, or make room for it on a full disk; but a
     * long row of removals must not keep a flush waiting that needs a larger one. */
    bool is_urgent = span_wanted(wal) > 1 && !shop->full;
    if (may_release(wal) && !is_urgent)
        release_oldest(wal);
    else if (is_plenty(wal) || (shop->full && shop->hold > 0))
        return;
    else
        make_spare(wal, span_wanted(wal));
}

void qr_wal_workshop_retry(qr_wal *wal)
{
    if (wal->workshop.hold > 0 && wal->workshop.state == MAKING_NOTHING)
        wal->workshop.hold--;
    qr_wal_workshop_advance(wal);
}

/* A step is complete: a waiting flush takes the spare, the next work begins, and the owner hears about the
 * space. */
static void finish(qr_wal *wal, bool gained)
{
    wal_workshop *shop = &wal->workshop;
    shop->state = MAKING_NOTHING;
    if (gained) {
        spare_ready(wal);
        qr_wal_flying_advance(wal);
    }
    bool relieved = shop->full && gained && is_plenty(wal);
    if (relieved) {
        shop->full = false;
        shop->hold = shop->hold_next = 0;
    }
    qr_wal_workshop_advance(wal);
    if (relieved)
        wal->config.space(wal->config.context, false);
}

static void disk_full(qr_wal *wal)
{
    bool is_news = !wal->workshop.full;
    wal->workshop.full = true;
    undo_spare(wal);
    if (is_news)
        wal->config.space(wal->config.context, true);
}

static void workshop_done(qr_disk_op *op)
{
    qr_wal *wal = op->owner;
    wal_workshop *shop = &wal->workshop;
    wal_making state = shop->state;
    bool makes = state == MAKING_CREATE || state == MAKING_RESERVE || state == MAKING_FILL;
    bool was_full = op->status == QR_E_NO_SPACE && makes;
    bool was_missing = op->status == QR_E_NOT_FOUND && state == MAKING_UNDO;
    bool reserved = state == MAKING_RESERVE && op->status == QR_OK;
    bool must_fill = op->status == QR_E_UNSUPPORTED && state == MAKING_RESERVE;
    QR_ASSERT(state != MAKING_NOTHING);
    if (op->status != QR_OK && !was_full && !was_missing && !must_fill) {
        shop->state = MAKING_NOTHING;
        qr_wal_break(wal, op, "preparing");
        return;
    }
    if (wal->broken) {
        shop->state = MAKING_NOTHING;
        return;
    }
    if (was_full) {
        disk_full(wal);
        return;
    }
    switch (state) {
    case MAKING_CREATE: reserve(wal); break;
    case MAKING_RESERVE:
    case MAKING_FILL:
        shop->spare.written += op->bytes.size;
        if (reserved || shop->spare.written == shop->spare.span * wal->segment_size)
            finish(wal, true);
        else
            fill_slice(wal);
        break;
    case MAKING_RENAME:
    case MAKING_REMOVE:
        if (QR_BUG(wal->config.bug, MISSING_FOLDER_SYNC))
            finish(wal, shop->keep);
        else
            submit_folder(wal);
        break;
    case MAKING_FOLDER: finish(wal, shop->keep); break;
    case MAKING_UNDO: finish(wal, false); break;
    case MAKING_NOTHING: break;
    }
}

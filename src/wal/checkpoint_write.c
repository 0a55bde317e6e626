/* Making a checkpoint file. Chunks are framed and packed into blocks at once, in `waiting`; what is sealed
 * there moves to `flying`, whose bytes stay put while they are written slice by slice. Only when all of it,
 * footer included, is synced does the file get its name.
 *
 * A full disk is no accident of the disk's: the .part goes, and the owner tries again when it likes. Any
 * other failure ends the member, so nothing is cleaned up after it; opening does that. */
#include <string.h>

#include "wal/checkpoint_inside.h"

typedef enum wal_stage {
    STAGE_CREATE,
    STAGE_CLEAR, /* the .part of one that was given up is in the way */
    STAGE_IDLE,  /* no operation is under way */
    STAGE_WRITE,
    STAGE_SYNC,      /* between the slices */
    STAGE_SYNC_LAST, /* all is written */
    STAGE_RENAME,
    STAGE_FOLDER,
    STAGE_UNDO, /* the disk was full */
    STAGE_OVER, /* done() is being called */
} wal_stage;

struct qr_checkpoint_writer {
    qr_disk disk;
    uint64_t index;
    void (*done)(void *context, qr_status status, uint64_t bytes);
    void (*ready)(void *context);
    void *context;

    wal_stage stage;
    bool is_finished, is_abandoned;
    bool is_full; /* wants() was 0 after the last chunk: ready() is owed */

    uint64_t seed;
    wal_footer footer; /* of what was sealed, and the chunks begun */
    qr_buffer waiting; /* sealed blocks, then perhaps the one being filled */
    size_t open_at;    /* where that one begins */
    bool is_open;

    qr_buffer flying;
    size_t flown;      /* bytes of it that were written */
    uint64_t offset;   /* in the file: where the next write goes */
    uint64_t unsynced; /* bytes */
    qr_disk_op op, undo;
    qr_checkpoint_writer *next, **list; /* of those that were abandoned */
    void (*failed)(void *context);      /* of one that was */
};

/* ------------------------------------------------------------ packing ---- */

static void seal(qr_checkpoint_writer *writer)
{
    size_t content = writer->waiting.size - writer->open_at - CHECKPOINT_BLOCK_HEAD;
    size_t zeros = qr_wal_block_total(content) - CHECKPOINT_BLOCK_HEAD - content;
    qr_buffer_extend(&writer->waiting, zeros);
    wal_footer *footer = &writer->footer;
    footer->blocks++;
    footer->bytes += content;
    uint64_t checksum = qr_wal_block_seal(writer->waiting.data + writer->open_at, WAL_BLOCK_CHUNKS,
                                          writer->seed, footer->blocks, content);
    footer->checksum = qr_hash_mix(footer->checksum, checksum);
    writer->is_open = false;
}

static void pack(qr_checkpoint_writer *writer, qr_slice bytes)
{
    while (bytes.size > 0) {
        if (!writer->is_open) {
            writer->open_at = writer->waiting.size;
            qr_buffer_extend(&writer->waiting, CHECKPOINT_BLOCK_HEAD);
            writer->is_open = true;
        }
        size_t room = writer->open_at + QR_CHECKPOINT_BLOCK - writer->waiting.size;
        size_t part = bytes.size < room ? bytes.size : room;
        qr_buffer_add(&writer->waiting, bytes.data, part);
        bytes = qr_slice_of(bytes.data + part, bytes.size - part);
        if (part == room)
            seal(writer);
    }
}

static void pack_footer(qr_checkpoint_writer *writer)
{
    if (writer->is_open)
        seal(writer);
    uint8_t *at = qr_buffer_extend(&writer->waiting, qr_wal_block_total(CHECKPOINT_FOOTER));
    qr_wal_footer_write(&writer->footer, at + CHECKPOINT_BLOCK_HEAD);
    qr_wal_block_seal(at, WAL_BLOCK_FOOTER, writer->seed, writer->footer.blocks + 1, CHECKPOINT_FOOTER);
}

/* What is sealed flies; the block being filled stays. */
static void take_off(qr_checkpoint_writer *writer)
{
    qr_buffer empty = writer->flying;
    size_t sealed = writer->is_open ? writer->open_at : writer->waiting.size;
    qr_buffer_clear(&empty);
    if (sealed < writer->waiting.size)
        qr_buffer_add(&empty, writer->waiting.data + sealed, writer->waiting.size - sealed);
    writer->flying = writer->waiting;
    writer->flying.size = sealed;
    writer->waiting = empty;
    writer->open_at = 0;
    writer->flown = 0;
}

/* ------------------------------------------------------------ the flow ---- */

static void op_done(qr_disk_op *op);

static void submit(qr_checkpoint_writer *writer, qr_disk_kind kind, wal_stage stage)
{
    writer->stage = stage;
    if (kind != QR_DISK_WRITE)
        writer->op.bytes = (qr_slice){0};
    qr_wal_submit(&writer->disk, &writer->op, kind, op_done, writer);
}

static void write_slice(qr_checkpoint_writer *writer)
{
    size_t left = writer->flying.size - writer->flown;
    size_t size = left < CHECKPOINT_SLICE ? left : CHECKPOINT_SLICE;
    if (writer->unsynced + size > QR_CHECKPOINT_SYNC_BYTES) {
        submit(writer, QR_DISK_SYNC, STAGE_SYNC);
        return;
    }
    writer->op.offset = writer->offset;
    writer->op.bytes = qr_slice_of(writer->flying.data + writer->flown, size);
    submit(writer, QR_DISK_WRITE, STAGE_WRITE);
}

static void advance(qr_checkpoint_writer *writer)
{
    if (writer->stage != STAGE_IDLE)
        return;
    bool has_sealed = writer->is_open ? writer->open_at > 0 : writer->waiting.size > 0;
    if (writer->flown == writer->flying.size && has_sealed)
        take_off(writer);
    if (writer->flown < writer->flying.size)
        write_slice(writer);
    else if (writer->is_finished)
        submit(writer, QR_DISK_SYNC, STAGE_SYNC_LAST);
}

static void writer_free(qr_checkpoint_writer *writer)
{
    qr_buffer_free(&writer->waiting);
    qr_buffer_free(&writer->flying);
    qr_free(writer);
}

static void finish(qr_checkpoint_writer *writer, qr_status status)
{
    writer->stage = STAGE_OVER;
    writer->done(writer->context, status, status == QR_OK ? writer->offset : 0);
    writer_free(writer);
}

static void op_failed(qr_checkpoint_writer *writer, wal_stage stage, qr_status status)
{
    if (stage == STAGE_CREATE && status == QR_E_EXISTS)
        submit(writer, QR_DISK_REMOVE, STAGE_CLEAR);
    else if (status == QR_E_NO_SPACE && (stage == STAGE_CREATE || stage == STAGE_WRITE))
        submit(writer, QR_DISK_REMOVE, STAGE_UNDO);
    else if (status == QR_E_NOT_FOUND && stage == STAGE_UNDO)
        finish(writer, QR_E_NO_SPACE); /* it could not even be created */
    else
        finish(writer, QR_E_IO);
}

/* Nothing depends on the file any more, but a disk that fails is not to be trusted with the log either. */
static void judge_abandoned(const qr_checkpoint_writer *writer, qr_status status)
{
    if (status == QR_E_IO)
        writer->failed(writer->context);
}

static void op_done(qr_disk_op *op)
{
    qr_checkpoint_writer *writer = op->owner;
    wal_stage stage = writer->stage;
    writer->stage = STAGE_IDLE;
    if (writer->is_abandoned) { /* the removal behind this operation frees it */
        judge_abandoned(writer, op->status);
        return;
    }
    if (op->status != QR_OK) {
        op_failed(writer, stage, op->status);
        return;
    }
    switch (stage) {
    case STAGE_CLEAR: submit(writer, QR_DISK_CREATE, STAGE_CREATE); return;
    case STAGE_WRITE:
        writer->offset += op->bytes.size;
        writer->unsynced += op->bytes.size;
        writer->flown += op->bytes.size;
        break;
    case STAGE_SYNC: writer->unsynced = 0; break;
    case STAGE_SYNC_LAST: submit(writer, QR_DISK_RENAME, STAGE_RENAME); return;
    case STAGE_RENAME: submit(writer, QR_DISK_SYNC_FOLDER, STAGE_FOLDER); return;
    case STAGE_FOLDER: finish(writer, QR_OK); return;
    case STAGE_UNDO: finish(writer, QR_E_NO_SPACE); return;
    case STAGE_CREATE:
    case STAGE_IDLE:
    case STAGE_OVER: break;
    }
    advance(writer);
    if (writer->is_full && qr_checkpoint_wants(writer) > 0) {
        writer->is_full = false;
        writer->ready(writer->context); /* last: it may give the writer up */
    }
}

/* ----------------------------------------------------------- the owner ---- */

qr_checkpoint_writer *qr_checkpoint_begin(const qr_disk *disk, const qr_checkpoint_about *about,
                                          void (*done)(void *context, qr_status status, uint64_t bytes),
                                          void (*ready)(void *context), void *context)
{
    QR_ASSERT(done != NULL && ready != NULL);
    qr_checkpoint_writer *writer = qr_alloc_zero(1, sizeof *writer);
    writer->disk = *disk;
    writer->index = about->index;
    writer->done = done;
    writer->ready = ready;
    writer->context = context;
    qr_wal_checkpoint_header_write(about, qr_buffer_extend(&writer->waiting, CHECKPOINT_HEADER),
                                   &writer->seed);
    writer->footer.checksum = writer->seed;
    qr_wal_checkpoint_name_write(WAL_NAME_PART, about->index, writer->op.name);
    qr_wal_checkpoint_name_write(WAL_NAME_WHOLE, about->index, writer->op.name_to);
    submit(writer, QR_DISK_CREATE, STAGE_CREATE);
    return writer;
}

static bool is_ending(const qr_checkpoint_writer *writer)
{
    return writer->stage == STAGE_UNDO || writer->stage == STAGE_OVER;
}

size_t qr_checkpoint_wants(const qr_checkpoint_writer *writer)
{
    size_t waiting = writer->waiting.size + (writer->flying.size - writer->flown);
    if (writer->is_finished || is_ending(writer) || waiting >= CHECKPOINT_WAITING)
        return 0;
    return CHECKPOINT_WAITING + CHECKPOINT_SLICE - waiting; /* never so little that chunks get tiny */
}

void qr_checkpoint_add(qr_checkpoint_writer *writer, qr_checkpoint_kind kind, qr_slice chunk)
{
    QR_ASSERT(!writer->is_finished && !writer->is_abandoned);
    QR_CHECK(kind == qr_wal_kind_at(writer->footer.chunks), "a checkpoint's chunks come in a wrong order");
    QR_CHECK(chunk.size <= QR_CHECKPOINT_CHUNK_MAX,
             "a chunk of a checkpoint is larger than QR_CHECKPOINT_CHUNK_MAX");
    writer->footer.chunks++;
    if (is_ending(writer))
        return;
    uint8_t head[CHECKPOINT_CHUNK_HEAD];
    qr_store_u32(head, kind);
    qr_store_u32(head + 4, (uint32_t)chunk.size);
    pack(writer, qr_slice_of(head, sizeof head));
    pack(writer, chunk);
    advance(writer);
    writer->is_full = qr_checkpoint_wants(writer) == 0;
}

void qr_checkpoint_finish(qr_checkpoint_writer *writer)
{
    QR_ASSERT(!writer->is_finished && !writer->is_abandoned);
    QR_CHECK(writer->footer.chunks >= 2, "a checkpoint lacks its brief or its origins");
    writer->is_finished = true;
    if (is_ending(writer))
        return;
    pack_footer(writer);
    advance(writer);
}

static void abandoned(qr_disk_op *op)
{
    qr_checkpoint_writer *writer = op->owner;
    QR_ASSERT(writer->stage == STAGE_IDLE);
    qr_checkpoint_writer **at = writer->list;
    while (*at != writer)
        at = &(*at)->next;
    *at = writer->next;
    judge_abandoned(writer, op->status);
    writer_free(writer);
}

void qr_checkpoint_abandon(qr_checkpoint_writer *writer, void (*failed)(void *context),
                           qr_checkpoint_writer **list)
{
    if (writer == NULL || writer->stage == STAGE_OVER)
        return;
    QR_ASSERT(!writer->is_abandoned);
    writer->is_abandoned = true;
    writer->failed = failed;
    writer->list = list;
    writer->next = *list;
    *list = writer;
    /* Submitted now and not when the operation under way has ended: so it comes before whatever a new writer
     * of the same index does with the same name. */
    memcpy(writer->undo.name, writer->op.name, sizeof writer->undo.name);
    qr_wal_submit(&writer->disk, &writer->undo, QR_DISK_REMOVE, abandoned, writer);
}

void qr_checkpoint_writer_drop(qr_checkpoint_writer *writer)
{
    while (writer != NULL) {
        qr_checkpoint_writer *next = writer->next;
        writer_free(writer);
        writer = next;
    }
}

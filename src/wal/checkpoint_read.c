/* Reading a checkpoint: at once, for opening and for tools, and block by block between turns. */
#include <string.h>

#include "wal/checkpoint_inside.h"

static void read_op(const wal_decoder *decoder, uint8_t *target, qr_disk_op *op)
{
    *op = (qr_disk_op){
        .kind = QR_DISK_READ,
        .offset = decoder->offset,
        .target = target,
        .size = qr_wal_decoder_wants(decoder),
    };
    memcpy(op->name, decoder->name, sizeof op->name);
}

static qr_status take(wal_decoder *decoder, const qr_disk_op *op)
{
    if (op->status != QR_OK)
        return qr_wal_decoder_failed(decoder, op->status);
    QR_ASSERT(op->got <= op->size);
    return qr_wal_decoder_feed(decoder, qr_slice_of(op->target, (size_t)op->got));
}

/* -------------------------------------------------------------- at once ---- */

qr_status qr_wal_decoder_run(wal_decoder *decoder, const qr_disk *disk)
{
    uint8_t *block = qr_alloc(QR_CHECKPOINT_BLOCK);
    qr_status status = QR_OK;
    while (status == QR_OK && !decoder->is_done) {
        qr_disk_op op;
        read_op(decoder, block, &op);
        disk->run(disk->self, &op);
        status = take(decoder, &op);
    }
    qr_free(block);
    return status;
}

qr_status qr_checkpoint_read(const qr_disk *disk, const char *name, uint64_t cluster, uint64_t group,
                             const qr_checkpoint_visit *visit, qr_arena *arena, const char **sentence)
{
    wal_decoder *decoder = qr_alloc(sizeof *decoder);
    qr_wal_decoder_init(decoder, name, cluster, group, visit);
    qr_status status = qr_wal_decoder_run(decoder, disk);
    *sentence = status == QR_OK ? NULL : qr_arena_text(arena, qr_slice_text(decoder->sentence));
    qr_wal_decoder_free(decoder);
    qr_free(decoder);
    return status;
}

/* -------------------------------------------------------- between turns ---- */

struct qr_checkpoint_reader {
    qr_disk disk;
    wal_decoder decoder;
    void (*done)(void *context, qr_status status, const char *sentence);
    void *context;
    bool is_closed;
    qr_disk_op op;
    uint8_t block[QR_CHECKPOINT_BLOCK];
};

static void reader_free(qr_checkpoint_reader *reader)
{
    qr_wal_decoder_free(&reader->decoder);
    qr_free(reader);
}

static void block_read(qr_disk_op *op);

static void read_next(qr_checkpoint_reader *reader)
{
    read_op(&reader->decoder, reader->block, &reader->op);
    qr_wal_submit(&reader->disk, &reader->op, QR_DISK_READ, block_read, reader);
}

static void block_read(qr_disk_op *op)
{
    qr_checkpoint_reader *reader = op->owner;
    qr_status status = reader->is_closed ? QR_OK : take(&reader->decoder, op);
    if (!reader->is_closed && status == QR_OK && !reader->decoder.is_done) {
        read_next(reader);
        return;
    }
    if (!reader->is_closed)
        reader->done(reader->context, status, status == QR_OK ? NULL : reader->decoder.sentence);
    reader_free(reader);
}

qr_checkpoint_reader *qr_checkpoint_open(const qr_disk *disk, const char *name, uint64_t cluster,
                                         uint64_t group, const qr_checkpoint_visit *visit,
                                         void (*done)(void *context, qr_status status, const char *sentence),
                                         void *context)
{
    QR_ASSERT(done != NULL);
    qr_checkpoint_reader *reader = qr_alloc_zero(1, sizeof *reader);
    reader->disk = *disk;
    reader->done = done;
    reader->context = context;
    qr_wal_decoder_init(&reader->decoder, name, cluster, group, visit);
    read_next(reader);
    return reader;
}

void qr_checkpoint_close(qr_checkpoint_reader *reader)
{
    if (reader == NULL)
        return;
    reader->is_closed = true;
    reader->decoder.is_stopped = true;
}

void qr_checkpoint_reader_drop(qr_checkpoint_reader *reader)
{
    if (reader != NULL)
        reader_free(reader);
}

/* Blocks of a checkpoint file back into chunks. Nothing is visited that was not checked; the last chunk waits
 * until the footer has said that it is the last one, so every whole chunk waits for what comes behind it. */
#include <stdio.h>
#include <string.h>

#include "wal/checkpoint_inside.h"

void qr_wal_decoder_init(wal_decoder *decoder, const char *name, uint64_t cluster, uint64_t group,
                         const qr_checkpoint_visit *visit)
{
    *decoder = (wal_decoder){.cluster = cluster, .group = group, .visit = *visit};
    size_t size = strlen(name);
    QR_ASSERT(size < sizeof decoder->name);
    memcpy(decoder->name, name, size);
}

void qr_wal_decoder_free(wal_decoder *decoder)
{
    qr_buffer_free(&decoder->chunk);
}

uint64_t qr_wal_decoder_wants(const wal_decoder *decoder)
{
    return decoder->number == 0 ? CHECKPOINT_HEADER : QR_CHECKPOINT_BLOCK;
}

static qr_status fail(wal_decoder *d, qr_status status, const char *what)
{
    snprintf(d->what, sizeof d->what, "%s", what);
    snprintf(d->sentence, sizeof d->sentence,
             "checkpoint file %s, block %" PRIu64 ", position %" PRIu64 ": %s", d->name, d->number, d->offset,
             what);
    return status;
}

qr_status qr_wal_decoder_failed(wal_decoder *d, qr_status status)
{
    QR_ASSERT(status != QR_OK);
    snprintf(d->what, sizeof d->what, "%s", qr_status_sentence(status));
    snprintf(d->sentence, sizeof d->sentence, "reading checkpoint file %s failed: %s", d->name, d->what);
    return status == QR_E_NOT_FOUND && d->number == 0 ? QR_E_NOT_FOUND : QR_E_IO;
}

static qr_status deliver(wal_decoder *d, bool last)
{
    d->is_whole = false;
    if (d->is_stopped || d->visit.chunk == NULL)
        return QR_OK;
    qr_status status = d->visit.chunk(d->visit.context, d->kind, qr_buffer_slice(&d->chunk), last);
    return status == QR_OK ? QR_OK : fail(d, status, "its state was refused by what reads it");
}

static qr_status feed_header(wal_decoder *d, qr_slice bytes)
{
    uint64_t index;
    qr_status status = qr_wal_checkpoint_header_read(bytes, &d->about, &d->seed);
    if (status == QR_E_BAD_VERSION)
        return fail(d, status, "it was written by a newer version, in a format not known here");
    if (status != QR_OK)
        return fail(d, QR_E_CORRUPT, "its header is damaged");
    d->has_about = true;
    if (qr_wal_checkpoint_name_read(d->name, &index) != WAL_NAME_OTHER && index != d->about.index)
        return fail(d, QR_E_CORRUPT, "its header is that of another checkpoint");
    if (d->cluster != 0 && d->cluster != d->about.cluster)
        return fail(d, QR_E_FOREIGN, "it belongs to another cluster");
    if (d->group != 0 && d->group != d->about.group)
        return fail(d, QR_E_FOREIGN, "it belongs to another group");
    d->checksum = d->seed;
    if (d->visit.about != NULL)
        status = d->visit.about(d->visit.context, &d->about);
    if (status != QR_OK)
        return fail(d, status, "its header was refused by what reads it");
    d->offset = CHECKPOINT_HEADER;
    d->number = 1;
    return QR_OK;
}

static qr_status begin_chunk(wal_decoder *d)
{
    uint32_t kind = qr_load_u32(d->head), size = qr_load_u32(d->head + 4);
    if (kind != qr_wal_kind_at(d->chunks))
        return fail(d, QR_E_CORRUPT, "a chunk is of a kind that cannot stand there");
    if (size > QR_CHECKPOINT_CHUNK_MAX)
        return fail(d, QR_E_CORRUPT, "a chunk is larger than any may be");
    d->kind = (qr_checkpoint_kind)kind;
    d->chunk_size = size;
    d->chunks++;
    qr_buffer_clear(&d->chunk);
    return QR_OK;
}

/* Memory for a chunk grows as its bytes arrive, not with what its head says. */
static qr_status feed_chunks(wal_decoder *d, qr_slice bytes)
{
    qr_status status = QR_OK;
    while (bytes.size > 0 && status == QR_OK) {
        if (d->is_whole) {
            status = deliver(d, false);
            continue;
        }
        bool is_head = d->head_got < sizeof d->head;
        size_t want = is_head ? sizeof d->head - d->head_got : d->chunk_size - d->chunk.size;
        size_t part = want < bytes.size ? want : bytes.size;
        if (is_head) {
            memcpy(d->head + d->head_got, bytes.data, part);
            d->head_got += part;
        } else {
            qr_buffer_add(&d->chunk, bytes.data, part);
        }
        bytes = qr_slice_of(bytes.data + part, bytes.size - part);
        if (is_head && part == want)
            status = begin_chunk(d);
        if (d->head_got == sizeof d->head && d->chunk.size == d->chunk_size) {
            d->is_whole = true;
            d->head_got = 0;
        }
    }
    return status;
}

static qr_status feed_footer(wal_decoder *d, const wal_block *block, size_t size)
{
    wal_footer footer;
    if (!qr_wal_footer_read(block->content, &footer))
        return fail(d, QR_E_CORRUPT, "its footer is damaged");
    if (footer.blocks != d->number - 1 || footer.bytes != d->bytes || footer.chunks != d->chunks ||
        footer.checksum != d->checksum)
        return fail(d, QR_E_CORRUPT, "its footer does not fit what stands before it");
    if (d->chunks < 2 || !d->is_whole)
        return fail(d, QR_E_CORRUPT, "its footer stands within its chunks");
    if (size > block->total)
        return fail(d, QR_E_CORRUPT, "it goes on behind its footer");
    d->offset += block->total;
    d->is_done = true;
    return deliver(d, true);
}

qr_status qr_wal_decoder_feed(wal_decoder *d, qr_slice bytes)
{
    wal_block block;
    QR_ASSERT(!d->is_done);
    if (d->number == 0)
        return feed_header(d, bytes);
    if (bytes.size == 0)
        return fail(d, QR_E_CORRUPT, "it ends before its footer");
    if (!qr_wal_block_read(bytes, d->seed, d->number, &block))
        return fail(d, QR_E_CORRUPT, "the block is damaged, cut short or not the one that belongs there");
    if (block.kind == WAL_BLOCK_FOOTER)
        return feed_footer(d, &block, bytes.size);
    if (d->is_last || block.content.size == 0)
        return fail(d, QR_E_CORRUPT, "a block before its last one is not full");
    d->is_last = block.content.size < QR_CHECKPOINT_BLOCK - CHECKPOINT_BLOCK_HEAD;
    d->bytes += block.content.size;
    d->checksum = qr_hash_mix(d->checksum, block.checksum);
    qr_status status = feed_chunks(d, block.content);
    if (status != QR_OK)
        return status;
    d->offset += block.total;
    d->number++;
    return QR_OK;
}

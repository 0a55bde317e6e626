/* Arbitrary bytes as a checkpoint file: reading must answer with a status, never crash, and the reader
 * between turns must find the same as the one at once. A file that reads well is written again from what was
 * visited, and must come out the same byte for byte: there is one way only to write a state down.
 *
 * First byte: how the rest is used.
 *   0  the bytes of a file, as they are
 *   1  a header, then blocks {u8 kind, u16 size, content}: checksums and numbers are put right, a footer that
 *      fits is added, so that the fuzzer gets behind them
 *   2  a good file of three blocks, with edits: u8 and u16 offset, u8 value, again and again */
#include <string.h>

#include "../unit/wal/fake_disk.h"
#include "wal/checkpoint_inside.h"

enum { INPUT_MAX = 256 * 1024 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char name[] = "checkpoint-under-test";

typedef struct findings {
    qr_checkpoint_about about;
    uint64_t count, digest;
    bool last, done;
    qr_status status;
    qr_buffer chunks; /* kind, size, bytes, one after another */
} findings;

static qr_status on_about(void *context, const qr_checkpoint_about *about)
{
    findings *found = context;
    QR_ASSERT(found->count == 0);
    found->about = *about;
    return QR_OK;
}

static qr_status on_chunk(void *context, qr_checkpoint_kind kind, qr_slice chunk, bool last)
{
    findings *found = context;
    QR_ASSERT(!found->last && chunk.size <= QR_CHECKPOINT_CHUNK_MAX);
    QR_ASSERT(kind == qr_wal_kind_at(found->count));
    found->count++;
    found->last = last;
    found->digest = qr_hash_mix(found->digest, qr_hash(chunk, (uint64_t)kind));
    qr_buffer_u32(&found->chunks, kind);
    qr_buffer_u32(&found->chunks, (uint32_t)chunk.size);
    qr_buffer_add_slice(&found->chunks, chunk);
    return QR_OK;
}

static void on_read(void *context, qr_status status, const char *sentence)
{
    findings *found = context;
    QR_ASSERT(!found->done && (sentence == NULL) == (status == QR_OK));
    found->done = true;
    found->status = status;
}

static void read_both(fake_disk *disk, findings *found)
{
    findings other = {0};
    qr_checkpoint_visit visit = {.about = on_about, .chunk = on_chunk, .context = found};
    qr_arena arena;
    qr_arena_init(&arena);
    const char *sentence;
    found->status = qr_checkpoint_read(&disk->disk, name, 0, 0, &visit, &arena, &sentence);
    QR_ASSERT((found->status == QR_OK) == found->last && (sentence == NULL) == found->last);
    visit.context = &other;
    qr_checkpoint_open(&disk->disk, name, 0, 0, &visit, on_read, &other);
    fake_disk_pump(disk);
    QR_CHECK(other.done && other.status == found->status && other.count == found->count &&
                 other.digest == found->digest,
             "the two readers of a checkpoint do not agree");
    qr_buffer_free(&other.chunks);
    qr_arena_free(&arena);
}

static void on_made(void *context, qr_status status, uint64_t bytes)
{
    (void)bytes;
    QR_ASSERT(status == QR_OK);
    *(bool *)context = true;
}

static void on_ready(void *context)
{
    (void)context;
}

static void make(fake_disk *disk, const qr_checkpoint_about *about, qr_slice chunks)
{
    bool made = false;
    qr_checkpoint_writer *writer = qr_checkpoint_begin(&disk->disk, about, on_made, on_ready, &made);
    qr_reader reader = qr_reader_of(chunks);
    while (qr_reader_left(&reader) > 0) {
        uint32_t kind = qr_reader_u32(&reader), size = qr_reader_u32(&reader);
        qr_checkpoint_add(writer, (qr_checkpoint_kind)kind, qr_reader_take(&reader, size));
    }
    qr_checkpoint_finish(writer);
    fake_disk_pump(disk);
    QR_ASSERT(made);
}

static void put(fake_disk *disk, qr_slice bytes)
{
    qr_disk_op op = {.kind = QR_DISK_CREATE};
    memcpy(op.name, name, sizeof name);
    disk->disk.run(disk, &op);
    op.kind = QR_DISK_WRITE_SYNC;
    op.bytes = bytes;
    disk->disk.run(disk, &op);
}

/* ------------------------------------------------------------- the file ---- */

static uint64_t count_chunks(const qr_buffer *stream)
{
    qr_reader reader = qr_reader_of(qr_buffer_slice(stream));
    uint64_t count = 0;
    while (qr_reader_left(&reader) > 0 && !reader.failed) {
        qr_reader_u32(&reader);
        qr_reader_take(&reader, qr_reader_u32(&reader));
        count++;
    }
    return count;
}

static void put_block(qr_buffer *file, wal_block_kind kind, uint64_t seed, qr_slice content,
                      wal_footer *footer)
{
    uint8_t *at = qr_buffer_extend(file, qr_wal_block_total(content.size));
    if (content.size > 0)
        memcpy(at + CHECKPOINT_BLOCK_HEAD, content.data, content.size);
    uint64_t checksum = qr_wal_block_seal(at, kind, seed, ++footer->blocks, content.size);
    footer->checksum = qr_hash_mix(footer->checksum, checksum);
    footer->bytes += content.size;
}

static void put_mended(fake_disk *disk, qr_slice input)
{
    qr_reader reader = qr_reader_of(input);
    qr_checkpoint_about about = {
        .cluster = qr_reader_u8(&reader),
        .index = qr_reader_u16(&reader),
        .apply_version = qr_reader_u16(&reader),
        .wall_ms = qr_reader_u8(&reader),
    };
    qr_buffer file = {0}, stream = {0};
    uint64_t seed;
    qr_wal_checkpoint_header_write(&about, qr_buffer_extend(&file, CHECKPOINT_HEADER), &seed);
    wal_footer footer = {.checksum = seed};
    while (qr_reader_left(&reader) > 3) {
        wal_block_kind kind = qr_reader_u8(&reader) % 8 == 7 ? WAL_BLOCK_FOOTER : WAL_BLOCK_CHUNKS;
        size_t room = QR_CHECKPOINT_BLOCK - CHECKPOINT_BLOCK_HEAD;
        size_t size = qr_reader_u16(&reader), left = qr_reader_left(&reader);
        qr_slice content = qr_reader_take(&reader, size < left ? (size < room ? size : room) : left);
        put_block(&file, kind, seed, content, &footer);
        qr_buffer_add_slice(&stream, content);
    }
    footer.chunks = count_chunks(&stream);
    uint8_t last[CHECKPOINT_FOOTER];
    qr_wal_footer_write(&footer, last);
    put_block(&file, WAL_BLOCK_FOOTER, seed, qr_slice_of(last, sizeof last), &footer);
    put(disk, qr_buffer_slice(&file));
    qr_buffer_free(&file);
    qr_buffer_free(&stream);
}

static void put_edited(fake_disk *disk, qr_slice input)
{
    qr_buffer chunks = {0};
    for (uint32_t i = 0; i < 4; i++) {
        qr_buffer_u32(&chunks, qr_wal_kind_at(i));
        qr_buffer_u32(&chunks, i * 22000);
        memset(qr_buffer_extend(&chunks, (size_t)i * 22000), (int)i, (size_t)i * 22000);
    }
    make(disk, &(qr_checkpoint_about){.cluster = 1, .index = 1}, qr_buffer_slice(&chunks));
    qr_disk_op op = {.kind = QR_DISK_RENAME, .name = "checkpoint-0000000000000001"};
    memcpy(op.name_to, name, sizeof name);
    disk->disk.run(disk, &op);
    qr_buffer *file = fake_disk_file(disk, name);
    qr_reader reader = qr_reader_of(input);
    while (qr_reader_left(&reader) >= 4) {
        size_t at = (size_t)qr_reader_u8(&reader) << 16 | qr_reader_u16(&reader);
        uint8_t value = qr_reader_u8(&reader);
        if (at < file->size)
            file->data[at] = value;
        else if (value == 0) /* cuts as well */
            file->size = at % (file->size + 1);
    }
    qr_buffer_free(&chunks);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > INPUT_MAX)
        return 0;
    fake_disk *disk = fake_disk_new();
    qr_slice input = qr_slice_of(data + 1, size - 1);
    if (data[0] % 3 == 0)
        put(disk, input);
    else if (data[0] % 3 == 1)
        put_mended(disk, input);
    else
        put_edited(disk, input);
    findings found = {0};
    read_both(disk, &found);
    if (found.status == QR_OK) {
        char again[QR_DISK_NAME_MAX];
        qr_wal_checkpoint_name_write(WAL_NAME_WHOLE, found.about.index, again);
        make(disk, &found.about, qr_buffer_slice(&found.chunks));
        QR_CHECK(qr_slice_equal(qr_buffer_slice(fake_disk_file(disk, name)),
                                qr_buffer_slice(fake_disk_file(disk, again))),
                 "a checkpoint that was read and written again is not the same");
    }
    qr_buffer_free(&found.chunks);
    fake_disk_free(disk);
    return 0;
}

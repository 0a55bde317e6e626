/* Recovery from arbitrary segment bytes: open() must answer with a status, never crash; when it says yes, the
 * log must take appends, and open again with the same records and the new ones.
 *
 * First byte: how the rest is used.
 *   0  two files, as they are: u16 size of the first one (in units of 8 bytes), then the bytes of both
 *   1  the same, but the checksums of heads and records are put right, so that the fuzzer gets behind them
 *   2  a good log of three segments, with edits: u8 file, u16 offset, u8 value, again and again */
#include <string.h>

#include "../unit/wal/fake_disk.h"
#include "wal/inside.h"
#include "wal/wal.h"

/* BYTES_MAX: a head may ask for segments of a gigabyte; their spares then find the disk full, which is an
 * alarm only. */
enum { SEGMENT = 8 * 1024, IDENTITY = 1, INPUT_MAX = 256 * 1024, BYTES_MAX = 2 * 1024 * 1024 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct findings {
    uint64_t count, digest;
} findings;

static void on_brief(void *context, qr_buffer *out)
{
    (void)context;
    qr_buffer_u64(out, 7);
}

static void on_durable(void *context, uint64_t position)
{
    (void)context, (void)position;
}

static void on_broken(void *context, qr_status status, const char *sentence)
{
    (void)context, (void)status;
    QR_CHECK(false, sentence); /* this disk never fails */
}

static void on_space(void *context, bool full)
{
    (void)context, (void)full;
}

static qr_status on_visit(void *context, bool is_brief, qr_slice bytes, uint64_t position, uint64_t first,
                          uint64_t last)
{
    findings *found = context;
    (void)is_brief, (void)position;
    QR_ASSERT(first <= last);
    found->count++;
    found->digest = qr_hash_mix(found->digest, qr_hash(bytes, first));
    return QR_OK;
}

static qr_wal *open_log(fake_disk *disk, findings *found)
{
    qr_wal_config config = {
        .disk = &disk->disk,
        .cluster = IDENTITY,
        .group = IDENTITY,
        .member = IDENTITY,
        .incarnation = IDENTITY,
        .segment_size = SEGMENT,
        .brief = on_brief,
        .durable = on_durable,
        .broken = on_broken,
        .space = on_space,
    };
    qr_arena arena;
    qr_arena_init(&arena);
    const char *sentence = NULL;
    qr_wal *wal = NULL;
    *found = (findings){0};
    qr_status status = qr_wal_open(&config, on_visit, found, &arena, &wal, &sentence);
    QR_ASSERT((status == QR_OK) == (wal != NULL) && (status == QR_OK || sentence != NULL));
    qr_arena_free(&arena);
    return wal;
}

static void append(fake_disk *disk, qr_wal *wal, int count)
{
    uint8_t bytes[300];
    memset(bytes, 5, sizeof bytes);
    for (int i = 0; i < count; i++) {
        qr_wal_append(wal, qr_slice_of(bytes, (size_t)i * 37 % sizeof bytes), 0, 0);
        if (i % 3 == 2)
            qr_wal_flush(wal);
        fake_disk_step(disk);
    }
    qr_wal_flush(wal);
    fake_disk_pump(disk);
    QR_ASSERT(qr_wal_idle(wal));
}

static void make_file(fake_disk *disk, uint64_t sequence, qr_slice bytes)
{
    qr_disk_op op = {.kind = QR_DISK_CREATE};
    qr_wal_name_segment(sequence, op.name);
    disk->disk.run(disk, &op);
    op.kind = QR_DISK_WRITE_SYNC;
    op.bytes = bytes;
    disk->disk.run(disk, &op);
}

/* Puts right what a checksum would hide. */
static void mend(qr_buffer *file, uint64_t sequence)
{
    if (file->size < WAL_HEAD_SIZE)
        return;
    qr_store_u64(file->data, 0x4745534c41575251); /* the magic */
    qr_store_u32(file->data + 8, WAL_VERSION);
    uint32_t head_size = qr_load_u32(file->data + 12) % (16 * WAL_BLOCK);
    if (head_size <= file->size && head_size >= WAL_HEAD_SIZE)
        qr_store_u64(file->data + 88,
                     qr_hash(qr_slice_of(file->data + WAL_HEAD_SIZE, head_size - WAL_HEAD_SIZE), 0x77616c32));
    if (sequence == 0)
        for (size_t at = 16; at < 48; at += 8)
            qr_store_u64(file->data + at, IDENTITY);
    qr_store_u64(file->data + 104, qr_hash(qr_slice_of(file->data, 104), 0x77616c31));
    uint64_t seed = qr_wal_seed(IDENTITY, IDENTITY, IDENTITY, IDENTITY);
    for (size_t at = head_size; at + WAL_RECORD_HEAD <= file->size;) {
        uint64_t total = qr_wal_record_total(qr_load_u32(file->data + at + 48));
        if (total > file->size - at)
            break;
        qr_store_u64(file->data + at, qr_hash(qr_slice_of(file->data + at + 8, (size_t)total - 8), seed));
        at += (size_t)total;
    }
}

static void make_files(fake_disk *disk, qr_slice input, bool is_mended)
{
    qr_reader reader = qr_reader_of(input);
    size_t first = (size_t)qr_reader_u16(&reader) * 8, left = qr_reader_left(&reader);
    qr_slice parts[2];
    parts[0] = qr_reader_take(&reader, first < left ? first : left);
    parts[1] = qr_reader_take(&reader, qr_reader_left(&reader));
    for (uint64_t i = 0; i < 2; i++) {
        if (i > 0 && parts[i].size == 0)
            continue;
        qr_buffer file = {0};
        qr_buffer_add_slice(&file, parts[i]);
        if (is_mended)
            mend(&file, i);
        make_file(disk, i, qr_buffer_slice(&file));
        qr_buffer_free(&file);
    }
}

static void make_edited(fake_disk *disk, qr_slice input)
{
    findings found;
    qr_wal *wal = open_log(disk, &found);
    QR_ASSERT(wal != NULL);
    append(disk, wal, 60);
    qr_wal_close(wal);
    qr_reader reader = qr_reader_of(input);
    while (qr_reader_left(&reader) >= 4) {
        char name[QR_DISK_NAME_MAX];
        qr_wal_name_segment(qr_reader_u8(&reader) % 3u, name);
        uint16_t at = qr_reader_u16(&reader);
        uint8_t value = qr_reader_u8(&reader);
        qr_buffer *file = fake_disk_file(disk, name);
        if (file != NULL && at < file->size)
            file->data[at] = value;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > INPUT_MAX)
        return 0;
    fake_disk *disk = fake_disk_new();
    qr_slice input = qr_slice_of(data + 1, size - 1);
    if (data[0] % 3 == 2)
        make_edited(disk, input);
    else
        make_files(disk, input, data[0] % 3 == 1);
    findings before, after;
    qr_wal *wal = open_log(disk, &before);
    if (wal != NULL) {
        disk->bytes_max = BYTES_MAX;
        append(disk, wal, 5);
        qr_wal_close(wal);
        wal = open_log(disk, &after);
        QR_CHECK(wal != NULL && after.count == before.count + 5, "a log that opened does not open again");
        qr_wal_close(wal);
    }
    fake_disk_free(disk);
    return 0;
}

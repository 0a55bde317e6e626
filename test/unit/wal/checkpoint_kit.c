#include "checkpoint_kit.h"

#include <stdio.h>
#include <string.h>

qr_checkpoint_about kit_about(uint64_t index, uint64_t seed)
{
    return (qr_checkpoint_about){
        .cluster = 11,
        .group = 22,
        .member = 33,
        .incarnation = 44,
        .index = index,
        .term = 5,
        .digest = qr_hash_mix(seed, index),
        .revision = index * 3,
        .wall_ms = -7,
        .apply_version = 9,
    };
}

qr_slice kit_chunk(const kit_plan *plan, size_t number, qr_buffer *out)
{
    qr_prng prng;
    qr_prng_seed(&prng, plan->seed * 1000003 + number);
    size_t size = plan->sizes[number];
    qr_buffer_clear(out);
    qr_buffer_reserve(out, size + 8);
    while (out->size < size)
        qr_buffer_u64(out, qr_prng_next(&prng));
    out->size = size;
    return qr_buffer_slice(out);
}

void kit_name(uint64_t index, char name[QR_DISK_NAME_MAX])
{
    qr_wal_checkpoint_name_write(WAL_NAME_WHOLE, index, name);
}

/* -------------------------------------------------------------- making ---- */

static void on_done(void *context, qr_status status, uint64_t bytes)
{
    kit_made *made = context;
    assert_int_equal(made->done, 0);
    made->done++;
    made->status = status;
    made->bytes = bytes;
    made->writer = NULL;
}

static void on_ready(void *context)
{
    kit_made *made = context;
    assert_int_equal(made->done, 0);
    assert_true(qr_checkpoint_wants(made->writer) > 0);
    made->ready++;
    kit_feed(made);
}

void kit_begin(fake_disk *disk, const kit_plan *plan, kit_made *made)
{
    qr_checkpoint_about about = kit_about(plan->index, plan->seed);
    *made = (kit_made){.plan = plan};
    made->writer = qr_checkpoint_begin(&disk->disk, &about, on_done, on_ready, made);
}

void kit_feed(kit_made *made)
{
    qr_buffer bytes = {0};
    while (made->writer != NULL && made->next < made->plan->count && qr_checkpoint_wants(made->writer) > 0) {
        size_t number = made->next++;
        qr_slice chunk = kit_chunk(made->plan, number, &bytes);
        qr_checkpoint_add(made->writer, qr_wal_kind_at(number), chunk);
        memset(bytes.data, 0xee, bytes.size); /* it was copied */
    }
    if (made->writer != NULL && made->next == made->plan->count && !made->finished) {
        made->finished = true;
        qr_checkpoint_finish(made->writer);
        assert_int_equal(qr_checkpoint_wants(made->writer), 0);
    }
    qr_buffer_free(&bytes);
}

qr_status kit_make(fake_disk *disk, const kit_plan *plan, uint64_t *bytes)
{
    kit_made made;
    kit_begin(disk, plan, &made);
    kit_feed(&made);
    assert_int_equal(made.done, 0);
    fake_disk_pump(disk);
    assert_int_equal(made.done, 1);
    if (bytes != NULL)
        *bytes = made.bytes;
    return made.status;
}

/* ------------------------------------------------------------- reading ---- */

static qr_status on_about(void *context, const qr_checkpoint_about *about)
{
    kit_seen *seen = context;
    assert_int_equal(seen->chunks, 0);
    seen->abouts++;
    seen->about = *about;
    if (seen->plan != NULL) {
        qr_checkpoint_about wanted = kit_about(seen->plan->index, seen->plan->seed);
        assert_memory_equal(about, &wanted, offsetof(qr_checkpoint_about, apply_version));
        assert_int_equal(about->apply_version, wanted.apply_version);
    }
    return QR_OK;
}

static qr_status on_chunk(void *context, qr_checkpoint_kind kind, qr_slice chunk, bool last)
{
    kit_seen *seen = context;
    assert_false(seen->last);
    assert_int_equal(kind, qr_wal_kind_at(seen->chunks));
    if (seen->plan != NULL) {
        qr_buffer wanted = {0};
        assert_true(seen->chunks < seen->plan->count);
        assert_true(qr_slice_equal(chunk, kit_chunk(seen->plan, seen->chunks, &wanted)));
        assert_int_equal(last, seen->chunks + 1 == seen->plan->count);
        qr_buffer_free(&wanted);
    }
    seen->chunks++;
    seen->last = last;
    seen->digest = qr_hash_mix(seen->digest, qr_hash(chunk, (uint64_t)kind * 2 + last));
    if (seen->close != NULL && seen->chunks == seen->close_at)
        qr_checkpoint_close(seen->close);
    return seen->refuse_at > 0 && seen->chunks == seen->refuse_at ? QR_E_HALTED : QR_OK;
}

qr_checkpoint_visit kit_visit(kit_seen *seen)
{
    return (qr_checkpoint_visit){.about = on_about, .chunk = on_chunk, .context = seen};
}

qr_status kit_read(fake_disk *disk, const char *name, kit_seen *seen)
{
    qr_arena arena;
    qr_arena_init(&arena);
    const char *sentence;
    qr_checkpoint_visit visit = kit_visit(seen);
    seen->status = qr_checkpoint_read(&disk->disk, name, 11, 22, &visit, &arena, &sentence);
    assert_true((sentence == NULL) == (seen->status == QR_OK));
    snprintf(seen->sentence, sizeof seen->sentence, "%s", sentence ? sentence : "");
    qr_arena_free(&arena);
    return seen->status;
}

static void on_read(void *context, qr_status status, const char *sentence)
{
    kit_seen *seen = context;
    assert_true((sentence == NULL) == (status == QR_OK));
    seen->done++;
    seen->status = status;
    snprintf(seen->sentence, sizeof seen->sentence, "%s", sentence ? sentence : "");
}

qr_status kit_read_both(fake_disk *disk, const char *name, kit_seen *seen)
{
    kit_seen other = *seen;
    qr_status status = kit_read(disk, name, seen);
    qr_checkpoint_visit visit = kit_visit(&other);
    assert_non_null(qr_checkpoint_open(&disk->disk, name, 11, 22, &visit, on_read, &other));
    assert_int_equal(other.abouts, 0);
    fake_disk_pump(disk);
    assert_int_equal(other.done, 1);
    assert_int_equal(other.status, status);
    assert_string_equal(other.sentence, seen->sentence);
    assert_true(other.digest == seen->digest && other.chunks == seen->chunks && other.last == seen->last);
    assert_int_equal(other.abouts, seen->abouts);
    assert_int_equal(seen->last, status == QR_OK);
    return status;
}

/* ------------------------------------------------------------- forging ---- */

void kit_put(fake_disk *disk, const char *name, qr_slice bytes)
{
    qr_disk_op op = {.kind = QR_DISK_REMOVE};
    snprintf(op.name, sizeof op.name, "%s", name);
    disk->disk.run(disk, &op); /* if it is there */
    op.kind = QR_DISK_CREATE;
    disk->disk.run(disk, &op);
    op.kind = QR_DISK_WRITE_SYNC;
    op.bytes = bytes;
    disk->disk.run(disk, &op);
    assert_int_equal(op.status, QR_OK);
    op.kind = QR_DISK_SYNC_FOLDER;
    disk->disk.run(disk, &op);
}

void kit_forge(fake_disk *disk, const char *name, const qr_checkpoint_about *about, qr_slice stream,
               const wal_footer *more)
{
    qr_buffer file = {0};
    uint64_t seed;
    wal_footer footer = {0};
    qr_wal_checkpoint_header_write(about, qr_buffer_extend(&file, CHECKPOINT_HEADER), &seed);
    footer.checksum = seed;
    footer.bytes = stream.size;
    while (stream.size > 0) {
        size_t room = QR_CHECKPOINT_BLOCK - CHECKPOINT_BLOCK_HEAD;
        size_t part = stream.size < room ? stream.size : room;
        uint8_t *at = qr_buffer_extend(&file, qr_wal_block_total(part));
        memcpy(at + CHECKPOINT_BLOCK_HEAD, stream.data, part);
        footer.checksum = qr_hash_mix(footer.checksum,
                                      qr_wal_block_seal(at, WAL_BLOCK_CHUNKS, seed, ++footer.blocks, part));
        stream = qr_slice_of(stream.data + part, stream.size - part);
    }
    uint64_t blocks = footer.blocks;
    if (more != NULL) {
        footer.blocks += more->blocks;
        footer.bytes += more->bytes;
        footer.chunks += more->chunks;
        footer.checksum += more->checksum;
    }
    uint8_t *at = qr_buffer_extend(&file, qr_wal_block_total(CHECKPOINT_FOOTER));
    qr_wal_footer_write(&footer, at + CHECKPOINT_BLOCK_HEAD);
    qr_wal_block_seal(at, WAL_BLOCK_FOOTER, seed, blocks + 1, CHECKPOINT_FOOTER);
    kit_put(disk, name, qr_buffer_slice(&file));
    qr_buffer_free(&file);
}

/* Every kind of damage is found, and named by its block and position. */
#include "checkpoint_kit.h"

#include <stdio.h>
#include <string.h>

static const size_t sizes_small[] = {50, 20, 3000};
static const size_t sizes_large[] = {500, 80, 100000, 7, 150000};
static const kit_plan small = {.index = 9, .seed = 2, .count = 3, .sizes = sizes_small};
static const kit_plan large = {.index = 9, .seed = 2, .count = 5, .sizes = sizes_large};
static const char name[] = "checkpoint-0000000000000009";

/* Blocks of `large`: three full ones, a part of one, the footer. */
enum { BLOCKS = 4 };

static size_t block_at(size_t number)
{
    return number == 0 ? 0 : CHECKPOINT_HEADER + (number - 1) * QR_CHECKPOINT_BLOCK;
}

/* Nothing that was not checked has been visited, and never the last chunk: the plan is demanded back. */
static void demand(fake_disk *disk, const kit_plan *plan, qr_status status, size_t block, size_t position)
{
    kit_seen seen = {.plan = plan};
    char place[64];
    snprintf(place, sizeof place, "block %d, position %d: ", (int)block, (int)position);
    qr_status found = kit_read(disk, name, &seen);
    if (found != status || strstr(seen.sentence, place) == NULL)
        fail_msg("%s, not %s at %s: %s", qr_status_name(found), qr_status_name(status), place, seen.sentence);
    assert_false(seen.last);
}

static void test_every_byte_of_a_small_one(void **state)
{
    (void)state;
    fake_disk *disk = fake_disk_new();
    assert_int_equal(kit_make(disk, &small, NULL), QR_OK);
    qr_buffer *file = fake_disk_file(disk, name);
    assert_int_equal(file->size, 3 * 4096);
    for (size_t at = 0; at < file->size; at++) {
        size_t number = at / 4096;
        file->data[at] ^= (uint8_t)(1u << at % 8);
        demand(disk, &small, QR_E_CORRUPT, number, number * 4096);
        file->data[at] ^= (uint8_t)(1u << at % 8);
    }
    kit_seen seen = {.plan = &small};
    assert_int_equal(kit_read_both(disk, name, &seen), QR_OK);
    fake_disk_free(disk);
}

static fake_disk *make_large(void)
{
    fake_disk *disk = fake_disk_new();
    uint64_t bytes;
    assert_int_equal(kit_make(disk, &large, &bytes), QR_OK);
    assert_true(bytes > block_at(BLOCKS) && bytes < block_at(BLOCKS + 1));
    return disk;
}

static void test_bytes_of_every_block(void **state)
{
    (void)state;
    fake_disk *disk = make_large();
    qr_buffer *file = fake_disk_file(disk, name);
    size_t footer = file->size - CHECKPOINT_ALIGN;
    for (size_t number = 1; number <= BLOCKS; number++)
        for (size_t i = 0; i < 100; i++) {
            size_t at = block_at(number) + (i < 40 ? i : i * 655);
            if (at >= footer)
                break;
            file->data[at] ^= 0x40;
            demand(disk, &large, QR_E_CORRUPT, number, block_at(number));
            file->data[at] ^= 0x40;
        }
    fake_disk_free(disk);
}

static void test_zeroed_blocks(void **state)
{
    (void)state;
    fake_disk *good = make_large();
    for (size_t number = 0; number <= BLOCKS + 1; number++) {
        fake_disk *disk = fake_disk_clone(good);
        qr_buffer *file = fake_disk_file(disk, name);
        size_t footer = file->size - CHECKPOINT_ALIGN;
        size_t from = number <= BLOCKS ? block_at(number) : footer;
        size_t to = number == BLOCKS ? footer : number > BLOCKS ? file->size : block_at(number + 1);
        memset(file->data + from, 0, to - from);
        demand(disk, &large, QR_E_CORRUPT, number, from);
        fake_disk_free(disk);
    }
    fake_disk_free(good);
}

static void test_torn_sectors(void **state)
{
    (void)state;
    fake_disk *disk = make_large();
    qr_buffer *file = fake_disk_file(disk, name);
    uint8_t kept[512];
    for (size_t at = block_at(2); at < block_at(3); at += 512 * 5) {
        memcpy(kept, file->data + at, 512);
        memset(file->data + at, 0, 512);
        demand(disk, &large, QR_E_CORRUPT, 2, block_at(2));
        memcpy(file->data + at, kept, 512);
    }
    fake_disk_free(disk);
}

static void test_misplaced_blocks(void **state)
{
    (void)state;
    fake_disk *good = make_large();
    for (size_t a = 1; a < BLOCKS; a++)
        for (size_t b = 1; b < BLOCKS; b++) {
            if (a == b)
                continue;
            /* b twice; then a and b exchanged */
            for (int swap = 0; swap < 2; swap++) {
                fake_disk *disk = fake_disk_clone(good);
                uint8_t *data = fake_disk_file(disk, name)->data;
                const uint8_t *from = fake_disk_file(good, name)->data;
                memcpy(data + block_at(a), from + block_at(b), QR_CHECKPOINT_BLOCK);
                if (swap)
                    memcpy(data + block_at(b), from + block_at(a), QR_CHECKPOINT_BLOCK);
                size_t first = swap && b < a ? b : a;
                demand(disk, &large, QR_E_CORRUPT, first, block_at(first));
                fake_disk_free(disk);
            }
        }
    fake_disk_free(good);
}

/* A block at its own place, but of another attempt: a write of this one was lost. */
static void test_stale_blocks(void **state)
{
    (void)state;
    fake_disk *good = make_large(), *other = fake_disk_new();
    kit_plan earlier = large;
    earlier.seed = 3; /* the header differs in one field */
    assert_int_equal(kit_make(other, &earlier, NULL), QR_OK);
    const uint8_t *from = fake_disk_file(other, name)->data;
    size_t footer = fake_disk_file(good, name)->size - CHECKPOINT_ALIGN;
    for (size_t number = 1; number <= BLOCKS + 1; number++) {
        fake_disk *disk = fake_disk_clone(good);
        qr_buffer *file = fake_disk_file(disk, name);
        size_t at = number <= BLOCKS ? block_at(number) : footer;
        size_t to = number < BLOCKS ? block_at(number + 1) : number == BLOCKS ? footer : file->size;
        memcpy(file->data + at, from + at, to - at);
        demand(disk, &large, QR_E_CORRUPT, number, at);
        fake_disk_free(disk);
    }
    /* The other header before these blocks. */
    fake_disk *disk = fake_disk_clone(good);
    memcpy(fake_disk_file(disk, name)->data, from, CHECKPOINT_HEADER);
    demand(disk, &earlier, QR_E_CORRUPT, 1, block_at(1));
    fake_disk_free(disk);
    fake_disk_free(other);
    fake_disk_free(good);
}

static void test_truncated_and_lengthened(void **state)
{
    (void)state;
    fake_disk *disk = make_large();
    qr_buffer *file = fake_disk_file(disk, name);
    size_t size = file->size, footer = size - CHECKPOINT_ALIGN;
    for (size_t cut = 0; cut < size; cut += cut % CHECKPOINT_ALIGN == 1 ? CHECKPOINT_ALIGN - 2 : 1) {
        size_t number = cut < block_at(1) ? 0
                        : cut >= footer   ? BLOCKS + 1
                                          : (cut - block_at(1)) / QR_CHECKPOINT_BLOCK + 1;
        file->size = cut;
        demand(disk, &large, QR_E_CORRUPT, number, number > BLOCKS ? footer : block_at(number));
    }
    for (size_t more = 1; more <= QR_CHECKPOINT_BLOCK; more = more * 16) {
        file->size = size;
        memset(qr_buffer_extend(file, more), 0, more);
        demand(disk, &large, QR_E_CORRUPT, BLOCKS + 1, footer);
    }
    file->size = size;
    kit_seen seen = {.plan = &large};
    assert_int_equal(kit_read_both(disk, name, &seen), QR_OK);
    fake_disk_free(disk);
}

/* A whole footer where a block belongs: the file ends early, in good order. */
static void test_early_footer(void **state)
{
    (void)state;
    fake_disk *disk = make_large();
    qr_buffer *file = fake_disk_file(disk, name);
    memmove(file->data + block_at(3), file->data + file->size - CHECKPOINT_ALIGN, CHECKPOINT_ALIGN);
    file->size = block_at(3) + CHECKPOINT_ALIGN;
    demand(disk, &large, QR_E_CORRUPT, 3, block_at(3));
    fake_disk_free(disk);
}

/* --------------------------------------------------------------- header ---- */

static void patch(qr_buffer *file, size_t at, uint32_t value, bool mend)
{
    qr_store_u32(file->data + at, value);
    if (mend)
        qr_store_u64(file->data + 104, qr_hash(qr_slice_of(file->data, 104), 0x636b7031));
}

static void test_newer_version(void **state)
{
    (void)state;
    fake_disk *good = make_large();
    fake_disk *disk = fake_disk_clone(good);
    patch(fake_disk_file(disk, name), 8, CHECKPOINT_VERSION + 1, false);
    demand(disk, &large, QR_E_CORRUPT, 0, 0);
    patch(fake_disk_file(disk, name), 8, CHECKPOINT_VERSION + 1, true);
    demand(disk, &large, QR_E_BAD_VERSION, 0, 0);
    memset(fake_disk_file(disk, name)->data + 112, 7, 3000); /* whatever it keeps there */
    patch(fake_disk_file(disk, name), 12, 112, true);
    demand(disk, &large, QR_E_BAD_VERSION, 0, 0);
    fake_disk_file(disk, name)->size = 112;
    demand(disk, &large, QR_E_BAD_VERSION, 0, 0);
    fake_disk_file(disk, name)->size = 111;
    demand(disk, &large, QR_E_CORRUPT, 0, 0);
    fake_disk_free(disk);
    const size_t fields[] = {12, 16, 20, 56, 96};
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        disk = fake_disk_clone(good);
        patch(fake_disk_file(disk, name), fields[i], UINT32_MAX, true);
        demand(disk, &large, QR_E_CORRUPT, 0, 0);
        fake_disk_free(disk);
    }
    fake_disk_free(good);
}

static void test_the_name_of_another(void **state)
{
    (void)state;
    fake_disk *disk = fake_disk_new();
    assert_int_equal(kit_make(disk, &small, NULL), QR_OK);
    qr_slice bytes = qr_buffer_slice(fake_disk_file(disk, name));
    const struct {
        const char *name;
        qr_status status;
    } names[] = {{"checkpoint-000000000000000a", QR_E_CORRUPT},
                 {"received-000000000000000a.part", QR_E_CORRUPT},
                 {"received-0000000000000009.part", QR_OK},
                 {"somewhere-else", QR_OK}};
    for (size_t i = 0; i < 4; i++) {
        kit_put(disk, names[i].name, bytes);
        kit_seen seen = {0};
        assert_int_equal(kit_read_both(disk, names[i].name, &seen), names[i].status);
    }
    fake_disk_free(disk);
}

/* ------------------------------------------- good checksums, bad contents ---- */

static void frame(qr_buffer *stream, uint32_t kind, uint32_t size, size_t bytes)
{
    qr_buffer_u32(stream, kind);
    qr_buffer_u32(stream, size);
    memset(qr_buffer_extend(stream, bytes), 7, bytes);
}

static qr_status forged(const qr_buffer *stream, wal_footer more, kit_seen *seen)
{
    fake_disk *disk = fake_disk_new();
    qr_checkpoint_about about = kit_about(9, 2);
    kit_forge(disk, name, &about, qr_buffer_slice(stream), &more);
    *seen = (kit_seen){0};
    qr_status status = kit_read_both(disk, name, seen);
    fake_disk_free(disk);
    return status;
}

static void test_chunks_out_of_order(void **state)
{
    (void)state;
    const uint32_t kinds[][5] = {{1, 2, 3, 3, 1}, {1, 2, 1}, {1, 2, 2}, {1, 1}, {1, 3}, {2}, {3}, {0}, {4},
                                 {1, 2, 4}};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        qr_buffer stream = {0};
        size_t count = 0;
        while (count < 5 && (kinds[i][count] > 0 || count == 0))
            frame(&stream, kinds[i][count++], 10, 10);
        kit_seen seen;
        assert_int_equal(forged(&stream, (wal_footer){.chunks = count}, &seen), QR_E_CORRUPT);
        assert_non_null(strstr(seen.sentence, "cannot stand there"));
        assert_int_equal(seen.chunks, count - 1);
        qr_buffer_free(&stream);
    }
}

static void test_forged_footers(void **state)
{
    (void)state;
    qr_buffer stream = {0};
    kit_seen seen;
    frame(&stream, 1, 10, 10);
    assert_int_equal(forged(&stream, (wal_footer){.chunks = 1}, &seen), QR_E_CORRUPT); /* no origins */
    frame(&stream, 2, 70000, 70000);
    assert_int_equal(forged(&stream, (wal_footer){.chunks = 2}, &seen), QR_OK);
    assert_int_equal(seen.chunks, 2);
    assert_int_equal(forged(&stream, (wal_footer){.chunks = 1}, &seen), QR_E_CORRUPT);
    assert_int_equal(forged(&stream, (wal_footer){.chunks = 2, .blocks = 1}, &seen), QR_E_CORRUPT);
    assert_int_equal(forged(&stream, (wal_footer){.chunks = 2, .bytes = 1}, &seen), QR_E_CORRUPT);
    assert_int_equal(forged(&stream, (wal_footer){.chunks = 2, .checksum = 1}, &seen), QR_E_CORRUPT);
    assert_non_null(strstr(seen.sentence, "does not fit"));
    for (size_t cut = 1; cut < 70010;
         cut += cut < 20 ? 1 : 10007) { /* within the last chunk, head or bytes */
        qr_buffer part = {0};
        qr_buffer_add(&part, stream.data, stream.size - cut);
        bool has_head = cut <= 70000;
        assert_int_equal(forged(&part, (wal_footer){.chunks = 1 + has_head}, &seen), QR_E_CORRUPT);
        assert_true(seen.chunks <= 1);
        qr_buffer_free(&part);
    }
    qr_buffer_clear(&stream);
    assert_int_equal(forged(&stream, (wal_footer){.chunks = 0}, &seen), QR_E_CORRUPT);
    qr_buffer_free(&stream);
}

/* The head asks for four gigabytes: refused before any memory is taken for them. */
static void test_chunk_too_large(void **state)
{
    (void)state;
    const uint32_t sizes[] = {QR_CHECKPOINT_CHUNK_MAX + 1, UINT32_MAX};
    for (size_t i = 0; i < 2; i++) {
        qr_buffer stream = {0};
        kit_seen seen;
        frame(&stream, 1, sizes[i], 100);
        assert_int_equal(forged(&stream, (wal_footer){.chunks = 1}, &seen), QR_E_CORRUPT);
        assert_non_null(strstr(seen.sentence, "larger than any"));
        qr_buffer_free(&stream);
    }
}

/* Blocks that are not full anywhere but at the end, or are empty. */
static void test_short_blocks(void **state)
{
    (void)state;
    qr_checkpoint_about about = kit_about(9, 2);
    for (size_t content = 0; content <= 100; content += 50) {
        qr_buffer file = {0};
        fake_disk *disk = fake_disk_new();
        uint64_t seed;
        qr_wal_checkpoint_header_write(&about, qr_buffer_extend(&file, CHECKPOINT_HEADER), &seed);
        for (uint64_t number = 1; number <= 2; number++) {
            uint8_t *at = qr_buffer_extend(&file, CHECKPOINT_ALIGN);
            memset(at, 0, CHECKPOINT_ALIGN);
            qr_store_u32(at + CHECKPOINT_BLOCK_HEAD, QR_CHECKPOINT_BRIEF);
            qr_store_u32(at + CHECKPOINT_BLOCK_HEAD + 4, 1000);
            qr_wal_block_seal(at, WAL_BLOCK_CHUNKS, seed, number, content);
        }
        kit_put(disk, name, qr_buffer_slice(&file));
        demand(disk, NULL, QR_E_CORRUPT, content == 0 ? 1 : 2, content == 0 ? 4096 : 8192);
        fake_disk_free(disk);
        qr_buffer_free(&file);
    }
}

/* ----------------------------------------------------------- inspecting ---- */

typedef struct findings {
    qr_checkpoint_report reports[8];
    size_t count, reads, fail_at; /* the read of that number fails; 0 = none */
} findings;

static void on_report(void *context, const qr_checkpoint_report *report)
{
    findings *f = context;
    assert_true(f->count < 8);
    assert_true((report->what == NULL) == (report->status == QR_OK));
    f->reports[f->count] = *report;
    f->reports[f->count++].what = NULL; /* the arena's */
}

static qr_status only_reads(void *context, const qr_disk_op *op)
{
    findings *f = context;
    assert_int_equal(op->kind, QR_DISK_READ);
    return ++f->reads == f->fail_at ? QR_E_IO : QR_OK;
}

static qr_status inspect(fake_disk *disk, findings *f, uint64_t cluster, size_t fail_at)
{
    qr_arena arena;
    qr_arena_init(&arena);
    const char *sentence;
    uint64_t digest = fake_disk_digest(disk);
    *f = (findings){.fail_at = fail_at};
    disk->before = only_reads;
    disk->context = f;
    qr_status status = qr_checkpoint_inspect(&disk->disk, cluster, 22, on_report, f, &arena, &sentence);
    disk->before = NULL;
    assert_true((sentence == NULL) == (status == QR_OK));
    assert_true(fake_disk_digest(disk) == digest);
    qr_arena_free(&arena);
    return status;
}

static void test_inspect(void **state)
{
    (void)state;
    fake_disk *disk = fake_disk_new();
    findings f;
    assert_int_equal(inspect(disk, &f, 0, 0), QR_OK);
    assert_int_equal(f.count, 0);
    kit_put(disk, "0000000000000000.wal", qr_slice_text("a log"));
    for (uint64_t index = 1; index <= 3; index++) {
        kit_plan plan = {.index = index, .seed = index, .count = 5, .sizes = sizes_large};
        assert_int_equal(kit_make(disk, &plan, NULL), QR_OK);
    }
    kit_put(disk, "checkpoint-0000000000000004.part", qr_slice_text("half"));
    assert_int_equal(inspect(disk, &f, 11, 0), QR_OK);
    assert_int_equal(f.count, 4);
    for (uint64_t index = 1; index <= 3; index++) {
        const qr_checkpoint_report *report = &f.reports[index - 1];
        qr_checkpoint_about about = kit_about(index, index);
        assert_true(report->index == index && report->verdict == QR_CHECKPOINT_SOUND && report->has_about);
        assert_true(report->about.digest == about.digest && report->about.term == 5 && report->chunks == 5);
        assert_int_equal(report->size, fake_disk_file(disk, report->name)->size);
    }
    assert_int_equal(f.reports[3].verdict, QR_CHECKPOINT_UNFINISHED);
    assert_int_equal(f.reports[3].size, 4);
    /* One damaged, one newer: the others are judged all the same. */
    size_t reads = f.reads;
    fake_disk_file(disk, "checkpoint-0000000000000001")->data[block_at(3) + 77] ^= 1;
    patch(fake_disk_file(disk, "checkpoint-0000000000000002"), 8, CHECKPOINT_VERSION + 1, true);
    assert_int_equal(inspect(disk, &f, 11, 0), QR_E_BAD_VERSION);
    assert_int_equal(f.count, 4);
    assert_int_equal(f.reports[0].verdict, QR_CHECKPOINT_DAMAGED);
    assert_int_equal(f.reports[0].status, QR_E_CORRUPT);
    assert_true(f.reports[0].block == 3 && f.reports[0].position == block_at(3) && f.reports[0].has_about);
    assert_int_equal(f.reports[1].verdict, QR_CHECKPOINT_UNCHECKED);
    assert_int_equal(f.reports[1].status, QR_E_BAD_VERSION);
    assert_false(f.reports[1].has_about);
    assert_int_equal(f.reports[2].verdict, QR_CHECKPOINT_SOUND);
    assert_true(f.reads < reads);
    assert_int_equal(inspect(disk, &f, 11, f.reads), QR_E_BAD_VERSION); /* the first reason is told */
    assert_int_equal(f.reports[2].verdict, QR_CHECKPOINT_UNCHECKED);
    assert_int_equal(f.reports[2].status, QR_E_IO);
    assert_int_equal(inspect(disk, &f, 12, 0), QR_E_BAD_VERSION);
    assert_int_equal(f.reports[2].verdict, QR_CHECKPOINT_DAMAGED);
    assert_int_equal(f.reports[2].status, QR_E_FOREIGN);
    fake_disk_free(disk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_byte_of_a_small_one),
        cmocka_unit_test(test_bytes_of_every_block),
        cmocka_unit_test(test_zeroed_blocks),
        cmocka_unit_test(test_torn_sectors),
        cmocka_unit_test(test_misplaced_blocks),
        cmocka_unit_test(test_stale_blocks),
        cmocka_unit_test(test_truncated_and_lengthened),
        cmocka_unit_test(test_early_footer),
        cmocka_unit_test(test_newer_version),
        cmocka_unit_test(test_the_name_of_another),
        cmocka_unit_test(test_chunks_out_of_order),
        cmocka_unit_test(test_forged_footers),
        cmocka_unit_test(test_chunk_too_large),
        cmocka_unit_test(test_short_blocks),
        cmocka_unit_test(test_inspect),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

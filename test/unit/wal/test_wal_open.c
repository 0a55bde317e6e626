/* Opening: an empty folder, another one's folder, damage of every byte, what is told apart and what it says.
 */
#include "harness.h"

#include <stdio.h>
#include <string.h>

#include "wal/inside.h"

static harness *start(uint64_t segment_size, uint32_t records)
{
    harness *h = qr_alloc(sizeof *h);
    harness_init(h, fake_disk_new(), segment_size);
    h->where = "open";
    DEMAND(h, harness_open(h) == QR_OK);
    for (uint32_t i = 0; i < records; i++) {
        harness_append(h, 3);
        if (i % 2)
            harness_settle(h);
    }
    harness_settle(h);
    return h;
}

static void stop(harness *h)
{
    harness_close(h);
    fake_disk_free(h->disk);
    qr_free(h);
}

static void test_empty_folder(void **state)
{
    (void)state;
    harness *h = start(0, 0);
    qr_wal_status facts;
    qr_wal_status_of(h->wal, &facts);
    assert_int_equal(facts.segments, 1);
    assert_int_equal(facts.spare, 1);
    assert_int_equal(facts.bytes, 2 * (uint64_t)QR_WAL_SEGMENT_SIZE);
    assert_int_equal(facts.next_position, facts.first_position);
    assert_int_equal(qr_wal_incarnation(h->wal), 44);
    assert_true(qr_wal_idle(h->wal));
    harness_close(h);
    h->config.incarnation = 99; /* an existing log keeps its own */
    assert_int_equal(harness_open(h), QR_OK);
    assert_int_equal(qr_wal_incarnation(h->wal), 44);
    stop(h);
}

static void test_segment_size_is_kept(void **state)
{
    (void)state;
    harness *h = start(16 * 1024, 100);
    harness_close(h);
    h->config.segment_size = 64 * 1024;
    assert_int_equal(harness_open(h), QR_OK);
    harness_append_many(h, 100, 4);
    harness_settle(h);
    harness_close(h);
    assert_int_equal(harness_open(h), QR_OK);
    assert_int_equal(h->model.count, 200);
    stop(h);
}

static void expect(harness *h, qr_status status, const char *part)
{
    qr_status got = harness_open(h);
    if (got != status || strstr(h->sentence, part) == NULL)
        fail_msg("status %s, \"%s\"; wanted %s, \"...%s...\"", qr_status_name(got), h->sentence,
                 qr_status_name(status), part);
}

static void test_foreign_folders(void **state)
{
    (void)state;
    harness *h = start(16 * 1024, 30);
    harness_close(h);
    qr_wal_config good = h->config;
    h->config.cluster++;
    expect(h, QR_E_FOREIGN, "0000000000000000.wal, position 0: it belongs to another cluster");
    h->config = good;
    h->config.group++;
    expect(h, QR_E_FOREIGN, "another group");
    h->config = good;
    h->config.member++;
    expect(h, QR_E_FOREIGN, "another member");
    h->config = good;
    assert_int_equal(harness_open(h), QR_OK);
    stop(h);
}

static void rename_file(fake_disk *disk, const char *name, const char *name_to)
{
    qr_disk_op op = {.kind = name_to ? QR_DISK_RENAME : QR_DISK_REMOVE};
    snprintf(op.name, sizeof op.name, "%s", name);
    snprintf(op.name_to, sizeof op.name_to, "%s", name_to ? name_to : "");
    disk->disk.run(disk, &op);
    assert_int_equal(op.status, QR_OK);
}

static void test_wrong_files(void **state)
{
    (void)state;
    harness *h = start(16 * 1024, 200);
    harness_close(h);
    fake_disk *good = h->disk;

    h->disk = fake_disk_clone(good);
    rename_file(h->disk, "0000000000000001.wal", NULL);
    expect(h, QR_E_CORRUPT, "0000000000000002.wal, position 32768: the segment before it is missing");
    fake_disk_free(h->disk);

    h->disk = fake_disk_clone(good);
    rename_file(h->disk, "0000000000000001.wal", "0000000000000002.wal");
    expect(h, QR_E_CORRUPT, "0000000000000002.wal, position 0: its head is that of another segment");
    fake_disk_free(h->disk);

    h->disk = fake_disk_clone(good);
    qr_buffer *file = fake_disk_file(h->disk, "0000000000000001.wal");
    qr_store_u32(file->data + 8, WAL_VERSION + 1);
    qr_store_u64(file->data + 104, qr_hash(qr_slice_of(file->data, 104), 0x77616c31));
    expect(h, QR_E_BAD_VERSION, "newer version");
    qr_store_u32(file->data + 8, WAL_VERSION);
    qr_store_u64(file->data + 40, 45); /* another incarnation */
    qr_store_u64(file->data + 104, qr_hash(qr_slice_of(file->data, 104), 0x77616c31));
    expect(h, QR_E_FOREIGN, "another life");
    file->size = 100;
    expect(h, QR_E_CORRUPT, "its head is damaged");
    file->size = 0;
    expect(h, QR_E_CORRUPT, "its head is damaged");
    fake_disk_free(h->disk);

    /* Files of other makers are none of the log's business. */
    h->disk = fake_disk_clone(good);
    qr_disk_op op = {.kind = QR_DISK_CREATE, .name = "checkpoint-1"};
    h->disk->disk.run(h->disk, &op);
    snprintf(op.name, sizeof op.name, "000000000000000g.wal");
    h->disk->disk.run(h->disk, &op);
    assert_int_equal(harness_open(h), QR_OK);
    harness_close(h);
    assert_non_null(fake_disk_file(h->disk, "checkpoint-1"));
    fake_disk_free(h->disk);
    h->disk = good;
    assert_int_equal(harness_open(h), QR_OK);
    stop(h);
}

static void note_refusal(void *context, const qr_wal_report *report)
{
    bool *refused = context;
    *refused = *refused || report->verdict == QR_WAL_DAMAGED || report->verdict == QR_WAL_UNCHECKED;
}

/* By inspecting. */
static bool is_refused(fake_disk *disk)
{
    qr_arena arena;
    qr_arena_init(&arena);
    const char *sentence;
    bool refused = false;
    (void)qr_wal_inspect(&disk->disk, note_refusal, &refused, &arena, &sentence);
    qr_arena_free(&arena);
    return refused;
}

/* Every byte of every segment, one at a time: either open() refuses, or what comes back is right and nothing
 * but the last flush may be missing. The harness compares every record that comes back. */
static void test_flip_every_byte(void **state)
{
    (void)state;
    harness *h = start(8 * 1024, 60);
    uint32_t acknowledged = h->model.durable, refused = 0, cut = 0, unseen = 0;
    harness_close(h);
    fake_disk *good = h->disk;
    model whole = h->model;
    for (int segment = 0; segment < 16; segment++) {
        char name[QR_DISK_NAME_MAX];
        qr_wal_name_segment((uint64_t)segment, name);
        qr_buffer *original = fake_disk_file(good, name);
        if (original == NULL)
            continue; /* a segment of a large record stands for two */
        for (size_t at = 0; at < original->size; at += at < 4096 ? 13 : 5) {
            if (at > 4500 && original->data[at] == 0 && at % 64)
                continue; /* the empty part more coarsely */
            original->data[at] ^= (uint8_t)(1u << (at % 8));
            h->model = whole;
            h->model.durable = acknowledged - 2; /* the last flush had two records */
            h->disk = fake_disk_clone(good);
            h->number = at;
            bool foretold = is_refused(h->disk);
            qr_status status = harness_open(h);
            DEMAND(h, foretold == (status != QR_OK));
            if (status == QR_OK && h->model.count == acknowledged)
                unseen++;
            else if (status == QR_OK)
                cut++;
            else {
                DEMAND(h, status == QR_E_CORRUPT && strstr(h->sentence, name) != NULL);
                refused++;
            }
            harness_close(h);
            fake_disk_free(h->disk);
            original->data[at] ^= (uint8_t)(1u << (at % 8));
        }
    }
    printf("flipped: %u refused, %u cut the last flush, %u in bytes that hold nothing\n", refused, cut,
           unseen);
    assert_true(refused > 2000 && cut > 20 && unseen > 10);
    h->disk = good;
    h->model = whole;
    assert_int_equal(harness_open(h), QR_OK);
    assert_int_equal(h->model.count, acknowledged);
    stop(h);
}

/* Whole blocks gone, or replaced by what stood there once (a recycled segment), or by those of another place.
 */
static void test_lost_and_misplaced_blocks(void **state)
{
    (void)state;
    harness *h = start(16 * 1024, 120);
    uint32_t acknowledged = h->model.durable;
    harness_close(h);
    fake_disk *good = h->disk;
    model whole = h->model;
    uint32_t refused = 0;
    for (int what = 0; what < 2; what++) {
        for (uint64_t block = 0; block < 3 * 32; block++) {
            char name[QR_DISK_NAME_MAX], other[QR_DISK_NAME_MAX];
            qr_wal_name_segment(block / 32, name);
            qr_wal_name_segment(1 - block / 32 % 2, other);
            h->model = whole;
            h->model.durable = acknowledged - 2;
            h->disk = fake_disk_clone(good);
            h->number = block;
            uint8_t *at = fake_disk_file(h->disk, name)->data + block % 32 * 512;
            if (what == 0)
                memset(at, 0, 512);
            else
                memcpy(at, fake_disk_file(h->disk, other)->data + block % 32 * 512, 512);
            bool foretold = is_refused(h->disk);
            qr_status status = harness_open(h);
            DEMAND(h, foretold == (status != QR_OK));
            refused += status == QR_E_CORRUPT;
            DEMAND(h, status == QR_OK || status == QR_E_CORRUPT);
            harness_close(h);
            fake_disk_free(h->disk);
        }
    }
    printf("blocks: %u of %d refused\n", refused, 2 * 3 * 32);
    assert_true(refused > 100);
    h->disk = good;
    stop(h);
}

/* Puts another payload into the last record before `end`, with a checksum that holds: what a lost write
 * leaves behind where an earlier life had written a record of the same size. */
static void replace_record(fake_disk *disk, const char *name, uint64_t place, uint64_t end)
{
    qr_buffer *file = fake_disk_file(disk, name);
    uint64_t seed = qr_wal_seed(11, 22, 33, 44), at = 4096;
    wal_head head;
    assert_int_equal(qr_wal_head_read(qr_buffer_slice(file), &head), QR_OK);
    wal_record record = {0};
    for (at = head.size; place + at < end; at += record.total)
        assert_true(qr_wal_record_read(qr_slice_of(file->data + at, file->size - at), seed, &record));
    assert_int_equal(place + at, end);
    qr_buffer other = {0};
    qr_buffer_add_slice(&other, record.payload);
    assert_true(other.size > 0);
    other.data[0] ^= 1;
    record.payload = qr_buffer_slice(&other);
    record.chain++;
    qr_wal_record_write(&record, seed, file->data + record.position - place);
    qr_buffer_free(&other);
}

static void test_the_chain_finds_a_lost_write(void **state)
{
    (void)state;
    harness *h = start(16 * 1024, 150);
    qr_wal_status facts;
    qr_wal_status_of(h->wal, &facts);
    harness_close(h);
    fake_disk *good = h->disk;
    model whole = h->model;
    char name[QR_DISK_NAME_MAX];

    /* In the middle: the last record of the first segment. */
    h->disk = fake_disk_clone(good);
    wal_head next;
    qr_wal_name_segment(1, name);
    assert_int_equal(qr_wal_head_read(qr_buffer_slice(fake_disk_file(h->disk, name)), &next), QR_OK);
    qr_wal_name_segment(0, name);
    replace_record(h->disk, name, 0, next.previous_end);
    expect(h, QR_E_CORRUPT, "0000000000000000.wal");
    fake_disk_free(h->disk);

    /* The same, but the lost write had the right record before it: only the next segment's head knows better.
     */
    h->disk = fake_disk_clone(good);
    qr_buffer *file = fake_disk_file(h->disk, "0000000000000001.wal");
    qr_store_u64(file->data + 72, next.chain + 1);
    qr_store_u64(file->data + 104, qr_hash(qr_slice_of(file->data, 104), 0x77616c31));
    expect(h, QR_E_CORRUPT, "the next segment does not continue its chain");
    fake_disk_free(h->disk);

    /* At the end: it is no record of this log, so it is cut. */
    h->disk = fake_disk_clone(good);
    h->model = whole;
    h->model.durable = whole.durable - 2;
    uint64_t sequence = facts.next_position / (16 * 1024);
    qr_wal_name_segment(sequence, name);
    replace_record(h->disk, name, sequence * 16 * 1024, facts.next_position);
    assert_int_equal(harness_open(h), QR_OK);
    assert_int_equal(h->model.count, whole.count - 1);
    harness_close(h);
    fake_disk_free(h->disk);
    h->disk = good;
    stop(h);
}

typedef struct listener {
    uint64_t cuts, position, bytes;
} listener;

static void on_trace(void *context, const qr_trace_record *record)
{
    listener *l = context;
    if (record->kind == QR_TRACE_WAL_CUT) {
        l->cuts++;
        l->position = record->number[0];
        l->bytes = record->number[1];
    }
}

static void test_torn_tail_is_cut_and_told(void **state)
{
    (void)state;
    harness *h = start(16 * 1024, 10);
    listener l = {0};
    qr_trace trace;
    qr_trace_init(&trace, 0);
    trace.sink = on_trace;
    trace.context = &l;
    qr_wal_status facts;
    qr_wal_status_of(h->wal, &facts);
    harness_append_many(h, 3, 9);
    qr_wal_flush(h->wal);
    fake_disk_begin(h->disk, h->disk->queue[QR_LANE_LOG][0]);
    harness_close(h);
    h->disk->queued[QR_LANE_LOG] = h->disk->queued[QR_LANE_BACKGROUND] = 0;
    fake_disk_file(h->disk, "0000000000000000.wal")->data[facts.next_position + 60] ^= 1;
    h->config.trace = &trace;
    assert_int_equal(harness_open(h), QR_OK);
    assert_int_equal(h->model.count, 10);
    assert_int_equal(l.cuts, 1);
    assert_int_equal(l.position, facts.next_position);
    assert_int_equal(l.bytes, h->model.end[12] - facts.next_position);
    harness_close(h);
    assert_int_equal(harness_open(h), QR_OK);
    assert_int_equal(l.cuts, 1); /* nothing is left of it */
    qr_trace_free(&trace);
    stop(h);
}

static qr_status refuse(void *context, bool is_brief, qr_slice bytes, uint64_t position, uint64_t first,
                        uint64_t last)
{
    (void)bytes, (void)position, (void)first, (void)last;
    int *left = context;
    (void)is_brief;
    return (*left)-- == 0 ? QR_E_BAD_VERSION : QR_OK;
}

static void test_the_visitor_may_refuse(void **state)
{
    (void)state;
    harness *h = start(16 * 1024, 10);
    harness_close(h);
    for (int visits = 0; visits < 11; visits++) {
        qr_arena arena;
        qr_arena_init(&arena);
        const char *sentence;
        int left = visits;
        qr_wal *wal;
        assert_int_equal(qr_wal_open(&h->config, refuse, &left, &arena, &wal, &sentence), QR_E_BAD_VERSION);
        assert_null(wal);
        assert_non_null(sentence);
        qr_arena_free(&arena);
    }
    stop(h);
}

typedef struct failing {
    int left;
    qr_disk_kind kind; /* of the operation that failed */
} failing;

static qr_status fail_at(void *context, const qr_disk_op *op)
{
    failing *f = context;
    if (f->left-- != 0)
        return QR_OK;
    f->kind = op->kind;
    return QR_E_IO;
}

/* Every operation of an opening fails once: open() says so (what cannot be read is damage), leaks nothing,
 * and the next attempt works. */
static void test_errors_while_opening(void **state)
{
    (void)state;
    for (int folder = 0; folder < 2; folder++) {
        harness *h = start(8 * 1024, folder * 40);
        harness_close(h);
        fake_disk *good = h->disk;
        model whole = h->model;
        int failures = 0;
        for (int at = 0;; at++) {
            h->model = whole;
            h->disk = folder ? fake_disk_clone(good) : fake_disk_new();
            failing f = {.left = at};
            h->disk->before = fail_at;
            h->disk->context = &f;
            qr_status status = harness_open(h);
            if (status == QR_OK) {
                harness_close(h);
                fake_disk_free(h->disk);
                break;
            }
            assert_int_equal(status, f.kind == QR_DISK_READ ? QR_E_CORRUPT : QR_E_IO);
            failures++;
            assert_int_equal(harness_open(h), QR_OK);
            harness_close(h);
            fake_disk_free(h->disk);
        }
        assert_true(failures >= 6);
        h->disk = good;
        stop(h);
    }
}

static void test_no_space_for_the_first_segment(void **state)
{
    (void)state;
    fake_disk *disk = fake_disk_new();
    disk->bytes_max = 10000;
    harness *h = qr_alloc(sizeof *h);
    harness_init(h, disk, 16 * 1024);
    assert_int_equal(harness_open(h), QR_E_NO_SPACE);
    disk->bytes_max = 0;
    assert_int_equal(harness_open(h), QR_OK);
    stop(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty_folder),
        cmocka_unit_test(test_segment_size_is_kept),
        cmocka_unit_test(test_foreign_folders),
        cmocka_unit_test(test_wrong_files),
        cmocka_unit_test(test_flip_every_byte),
        cmocka_unit_test(test_lost_and_misplaced_blocks),
        cmocka_unit_test(test_the_chain_finds_a_lost_write),
        cmocka_unit_test(test_torn_tail_is_cut_and_told),
        cmocka_unit_test(test_the_visitor_may_refuse),
        cmocka_unit_test(test_errors_while_opening),
        cmocka_unit_test(test_no_space_for_the_first_segment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

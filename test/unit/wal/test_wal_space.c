/* Failing disks: no space for spares, failing writes and syncs; spares, recycling, and what the status tells.
 */
#include "harness.h"

#include <stdio.h>
#include <string.h>

static harness *start(uint64_t segment_size)
{
    harness *h = qr_alloc(sizeof *h);
    harness_init(h, fake_disk_new(), segment_size);
    h->where = "space";
    DEMAND(h, harness_open(h) == QR_OK);
    return h;
}

static void stop(harness *h)
{
    harness_close(h);
    fake_disk_free(h->disk);
    qr_free(h);
}

static qr_wal_status facts_of(const harness *h)
{
    qr_wal_status facts;
    qr_wal_status_of(h->wal, &facts);
    return facts;
}

static void test_full_disk_is_an_alarm(void **state)
{
    (void)state;
    harness *h = start(16 * 1024);
    h->disk->bytes_max = 20000; /* no room for a second segment */
    harness_append(h, 1);
    harness_settle(h);
    assert_int_equal(h->full, 1);
    assert_int_equal(h->broken, 0);
    uint32_t durable = h->model.durable;
    for (int i = 0; i < 40; i++) { /* goes on while the segment lasts, then buffers */
        harness_append_many(h, 5, 1);
        qr_wal_flush(h->wal);
        fake_disk_pump(h->disk);
    }
    assert_true(h->model.durable > durable && h->model.durable < h->model.count);
    assert_false(qr_wal_idle(h->wal));
    assert_int_equal(h->full, 1);
    assert_int_equal(h->relieved, 0);
    /* Nothing of the attempts is left on the disk. */
    assert_int_equal(facts_of(h).bytes, 16 * 1024);
    h->disk->bytes_max = 0;
    for (int i = 0; i < 9 && h->model.durable < h->model.count;
         i++) { /* flushes without appends retry as well */
        qr_wal_flush(h->wal);
        fake_disk_pump(h->disk);
    }
    assert_int_equal(h->model.durable, h->model.count);
    assert_int_equal(h->relieved, 1);
    assert_int_equal(h->full, 1);
    assert_int_equal(h->broken, 0);
    assert_true(qr_wal_idle(h->wal));
    harness_close(h);
    assert_int_equal(harness_open(h), QR_OK);
    assert_int_equal(h->model.count, 201);
    stop(h);
}

static void test_release_relieves_a_full_disk(void **state)
{
    (void)state;
    harness *h = start(16 * 1024);
    h->disk->bytes_max = 3 * 16 * 1024;
    while (h->full == 0) {
        harness_append(h, 2);
        harness_settle(h);
    }
    while (h->model.durable == h->model.count) {
        harness_append(h, 2);
        qr_wal_flush(h->wal);
        fake_disk_pump(h->disk);
    }
    harness_release(h, h->model.durable);
    fake_disk_pump(h->disk);
    assert_int_equal(h->model.durable, h->model.count);
    assert_int_equal(h->relieved, 1);
    stop(h);
}

/* Appending and releasing for a long time takes a bounded number of files, and fills no new ones. */
static void test_segments_are_recycled(void **state)
{
    (void)state;
    harness *h = start(16 * 1024);
    while (h->model.count < 900) {
        harness_append_many(h, 2, 3);
        harness_settle(h);
        harness_release(h, h->model.durable);
        fake_disk_pump(h->disk);
        assert_true(facts_of(h).segments <= 2 && facts_of(h).spare <= 2);
    }
    assert_true(h->disk->file_count <= 4);
    assert_true(facts_of(h).first_position > 8 * 16 * 1024);
    harness_close(h);
    assert_int_equal(harness_open(h), QR_OK);
    assert_int_equal(h->model.count, 900);
    stop(h);
}

/* ---- places that are only reserved ---- */

enum { SLICE = 256 * 1024, PADDED = 64 * 1024 };

typedef struct last_write {
    uint64_t offset, size;
    uint64_t filled; /* bytes of zeros of the background's */
} last_write;

static qr_status note_write(void *context, const qr_disk_op *op)
{
    last_write *last = context;
    if (op->kind == QR_DISK_WRITE_SYNC && op->lane == QR_LANE_LOG) {
        last->offset = op->offset;
        last->size = op->bytes.size;
    } else if (op->kind == QR_DISK_WRITE_SYNC) {
        last->filled += op->bytes.size;
    }
    return QR_OK;
}

static harness *start_noting(uint64_t segment_size, bool reserves_nothing, last_write *last)
{
    harness *h = qr_alloc(sizeof *h);
    harness_init(h, fake_disk_new(), segment_size);
    h->largest = SLICE + SLICE / 4; /* records 50, 147, 244 ... */
    h->disk->reserves_nothing = reserves_nothing;
    h->disk->before = note_write;
    h->disk->context = last;
    DEMAND(h, harness_open(h) == QR_OK);
    return h;
}

static void flush_upto(harness *h, uint32_t records)
{
    harness_append_many(h, records - h->model.count, 3);
    harness_settle(h);
}

/* A small write into such a place carries zeros to the next multiple of 64 KiB, a large one none, and neither
 * does one into what was written before. */
static void test_small_writes_carry_zeros(void **state)
{
    (void)state;
    last_write last = {0};
    harness *h = start_noting(4 * SLICE, false, &last);
    flush_upto(h, 1);
    assert_int_equal(last.offset + last.size, PADDED);
    for (uint32_t large = 50; large <= 147; large += 97) {
        flush_upto(h, large);
        assert_true(last.size < PADDED);
        assert_int_equal(last.offset + last.size, facts_of(h).next_position);
        flush_upto(h, large + 1);
        assert_int_equal(last.offset + last.size, facts_of(h).next_position);
        flush_upto(h, large + 2);
        assert_true(last.size < PADDED);
        assert_int_equal((last.offset + last.size) % PADDED, 0);
    }
    flush_upto(h, 245);
    assert_int_equal(facts_of(h).segments, 2);
    assert_int_equal(last.filled, 0);
    harness_close(h);
    assert_int_equal(harness_open(h), QR_OK);
    flush_upto(h, 246);
    stop(h);
}

static void test_recycled_files_need_no_zeros(void **state)
{
    (void)state;
    last_write last = {0};
    harness *h = start_noting(2 * SLICE, false, &last);
    while (h->model.count < 800) {
        flush_upto(h, h->model.count + 1);
        harness_release(h, h->model.durable);
        fake_disk_pump(h->disk);
        bool is_recycled = facts_of(h).next_position > 6 * SLICE;
        assert_true(!is_recycled || last.size < 16 * 1024 || last.size > SLICE + SLICE / 4);
    }
    assert_true(facts_of(h).next_position > 8 * SLICE);
    stop(h);
}

/* Where nothing can be reserved spares are filled as they are made, and no write of records carries zeros. */
static void test_a_disk_that_reserves_nothing(void **state)
{
    (void)state;
    last_write last = {0};
    harness *h = start_noting(4 * SLICE, true, &last);
    flush_upto(h, 244);
    assert_int_equal(last.filled, 4 * SLICE);
    flush_upto(h, 245);
    assert_int_equal(facts_of(h).segments, 2);
    flush_upto(h, 246);
    assert_true(last.size < 8 * 1024);
    stop(h);
}

static void test_begin_segment_then_release(void **state)
{
    (void)state;
    harness *h = start(64 * 1024);
    harness_append_many(h, 10, 3);
    harness_settle(h);
    harness_release(h, 10);
    fake_disk_pump(h->disk);
    assert_int_equal(facts_of(h).segments, 1); /* the only segment stays */
    qr_wal_begin_segment(h->wal);
    harness_append(h, 3);
    qr_wal_flush(h->wal);
    harness_release(h, 10);
    assert_int_equal(facts_of(h).first_position, 4096);
    fake_disk_pump(h->disk);
    assert_int_equal(facts_of(h).segments, 1);
    assert_true(facts_of(h).first_position > 64 * 1024);
    stop(h);
}

static qr_status fail_one(void *context, const qr_disk_op *op)
{
    int *left = context;
    if (op->kind == QR_DISK_READ)
        return QR_OK;
    return (*left)-- == 0 ? QR_E_IO : QR_OK;
}

/* Each operation of a busy log fails once: the log says so exactly once, and nothing is reported durable
 * after it. */
static void test_a_failed_sync_breaks_the_log(void **state)
{
    (void)state;
    int broken = 0;
    for (int at = 0; at < 150; at++) {
        harness *h = start(8 * 1024);
        int left = at;
        h->disk->before = fail_one;
        h->disk->context = &left;
        for (int i = 0; i < 100 && h->broken == 0; i++) {
            harness_append_many(h, 2, 6);
            qr_wal_flush(h->wal);
            fake_disk_pump(h->disk);
            if (h->model.durable > 30)
                harness_release(h, h->model.durable - 30);
        }
        if (h->broken > 0) {
            broken++;
            assert_int_equal(h->broken_status, QR_E_IO);
            assert_non_null(strstr(h->broken_sentence, "failed"));
            uint32_t durable = h->model.durable;
            for (int i = 0; i < 10; i++) {
                harness_append_many(h, 2, 6);
                qr_wal_flush(h->wal);
                fake_disk_pump(h->disk);
            }
            assert_int_equal(h->model.durable, durable);
            assert_int_equal(h->broken, 1);
            assert_true(qr_wal_idle(h->wal));
        }
        h->disk->before = NULL;
        stop(h);
    }
    assert_true(broken > 100);
}

static void test_records_larger_than_a_segment(void **state)
{
    (void)state;
    harness *h = start(8 * 1024);
    h->largest = 100000;
    while (h->model.count < 300) {
        harness_append_many(h, 7, 3);
        harness_settle(h);
        if (h->model.durable > 200)
            harness_release(h, h->model.durable - 200);
    }
    harness_close(h);
    assert_int_equal(harness_open(h), QR_OK);
    stop(h);
}

static void test_one_flush_at_a_time(void **state)
{
    (void)state;
    harness *h = start(64 * 1024);
    harness_append(h, 1);
    qr_wal_flush(h->wal);
    harness_append_many(h, 20, 1);
    qr_wal_flush(h->wal);
    harness_append_many(h, 3, 1);
    qr_wal_flush(h->wal);
    assert_int_equal(h->disk->queued[QR_LANE_LOG], 1);
    assert_int_equal(h->model.durable, 0); /* never from inside a call */
    fake_disk_step(h->disk);
    assert_int_equal(h->model.durable, 1);
    assert_int_equal(h->disk->queued[QR_LANE_LOG], 1); /* followed by itself */
    harness_append(h, 1);                              /* not asked to be flushed */
    fake_disk_step(h->disk);
    assert_int_equal(h->model.durable, 24); /* all in one write */
    assert_int_equal(h->disk->queued[QR_LANE_LOG], 0);
    assert_false(qr_wal_idle(h->wal));
    harness_settle(h);
    assert_true(qr_wal_idle(h->wal));
    assert_int_equal(facts_of(h).flushes, 3);
    assert_int_equal(facts_of(h).records, 25);
    stop(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_full_disk_is_an_alarm),
        cmocka_unit_test(test_release_relieves_a_full_disk),
        cmocka_unit_test(test_segments_are_recycled),
        cmocka_unit_test(test_small_writes_carry_zeros),
        cmocka_unit_test(test_recycled_files_need_no_zeros),
        cmocka_unit_test(test_a_disk_that_reserves_nothing),
        cmocka_unit_test(test_begin_segment_then_release),
        cmocka_unit_test(test_a_failed_sync_breaks_the_log),
        cmocka_unit_test(test_records_larger_than_a_segment),
        cmocka_unit_test(test_one_flush_at_a_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

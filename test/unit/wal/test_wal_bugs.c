/* The planted bugs of this room: with -Dplanted_bugs=true each must do its harm, in every other build none
 * may. */
#include "harness.h"

#include <string.h>

#include "core/bugs.h"

#ifdef QR_PLANTED_BUGS
enum { PLANTED = true };
#else
enum { PLANTED = false };
#endif

static qr_status fail_syncs(void *context, const qr_disk_op *op)
{
    (void)context;
    return op->kind == QR_DISK_WRITE_SYNC && op->lane == QR_LANE_LOG ? QR_E_IO : QR_OK;
}

static void test_sync_error_ignored(void **state)
{
    (void)state;
    harness *h = qr_alloc(sizeof *h);
    harness_init(h, fake_disk_new(), 16 * 1024);
    h->config.bug = QR_BUG_SYNC_ERROR_IGNORED;
    assert_int_equal(harness_open(h), QR_OK);
    h->disk->before = fail_syncs;
    harness_append(h, 1);
    qr_wal_flush(h->wal);
    fake_disk_pump(h->disk);
    assert_int_equal(h->model.durable, PLANTED ? 1 : 0);
    assert_int_equal(h->broken, PLANTED ? 0 : 1);
    harness_close(h);
    fake_disk_free(h->disk);
    qr_free(h);
}

static uint64_t recovered;

static qr_status count_records(void *context, bool is_brief, qr_slice bytes, uint64_t position,
                               uint64_t first, uint64_t last)
{
    (void)context, (void)bytes, (void)position, (void)first, (void)last;
    recovered += !is_brief;
    return QR_OK;
}

/* Opens what the last life left and counts. */
static uint64_t reopen(harness *h)
{
    qr_arena arena;
    qr_arena_init(&arena);
    const char *sentence;
    recovered = 0;
    qr_status status = qr_wal_open(&h->config, count_records, NULL, &arena, &h->wal, &sentence);
    qr_arena_free(&arena);
    return status == QR_OK ? recovered : UINT64_MAX;
}

static void test_missing_folder_sync(void **state)
{
    (void)state;
    harness *h = qr_alloc(sizeof *h);
    harness_init(h, fake_disk_new(), 16 * 1024);
    assert_int_equal(harness_open(h), QR_OK); /* the first segment is made well */
    harness_close(h);
    h->config.bug = QR_BUG_MISSING_FOLDER_SYNC;
    assert_int_equal(harness_open(h), QR_OK);
    harness_append_many(h, 200, 1);
    harness_settle(h);
    assert_int_equal(h->model.durable, 200);
    harness_close(h);
    qr_prng prng;
    qr_prng_seed(&prng, 1);
    fake_disk_crash(h->disk, CRASH_LOSE_ALL, &prng);
    uint64_t count = reopen(h);
    assert_true(PLANTED ? count < 200 : count == 200);
    harness_close(h);
    fake_disk_free(h->disk);
    qr_free(h);
}

static void test_stale_record(void **state)
{
    (void)state;
    harness *h = qr_alloc(sizeof *h);
    harness_init(h, fake_disk_new(), 16 * 1024);
    h->config.bug = QR_BUG_STALE_RECORD;
    assert_int_equal(harness_open(h), QR_OK);
    uint8_t bytes[200] = {1, 2, 3};
    /* Records of one size, in recycled segments: the old ones begin where a new one ends. */
    for (uint64_t i = 1; i <= 500; i++) {
        qr_wal_append(h->wal, qr_slice_of(bytes, sizeof bytes), i, i);
        qr_wal_flush(h->wal);
        fake_disk_pump(h->disk);
        if (i > 100)
            qr_wal_release(h->wal, i - 100);
    }
    qr_wal_status facts;
    qr_wal_status_of(h->wal, &facts);
    assert_true(facts.first_position > 16 * 1024 && facts.next_position % (16 * 1024) < 12 * 1024);
    harness_close(h);
    uint64_t count = reopen(h);
    uint64_t end = facts.next_position;
    qr_wal_status_of(h->wal, &facts);
    assert_true(PLANTED ? facts.next_position > end : facts.next_position == end);
    assert_true(count >= 100);
    harness_close(h);
    fake_disk_free(h->disk);
    qr_free(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sync_error_ignored),
        cmocka_unit_test(test_missing_folder_sync),
        cmocka_unit_test(test_stale_record),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Reading entries back: from the disk, from memory, across both; replaced entries; bounds; damage. */
#include "harness.h"

#include <stdio.h>
#include <string.h>

#include "wal/inside.h"

/* A record here: its first and last entry and a mark, three u64, then filler. */
typedef struct answer {
    int calls;
    qr_status status;
    size_t count;
    uint64_t first[4096], last[4096], mark[4096];
    size_t bytes;
} answer;

static void on_fetched(void *context, uint64_t from, uint64_t to, qr_status status, const qr_slice *records,
                       size_t count)
{
    (void)from, (void)to;
    answer *a = context;
    a->calls++;
    a->status = status;
    a->count = count;
    a->bytes = 0;
    assert_true(status == QR_OK ? count > 0 : count == 0);
    for (size_t i = 0; i < count; i++) {
        assert_true(records[i].size >= 24);
        a->first[i] = qr_load_u64(records[i].data);
        a->last[i] = qr_load_u64(records[i].data + 8);
        a->mark[i] = qr_load_u64(records[i].data + 16);
        a->bytes += records[i].size;
    }
}

typedef struct bench {
    harness h;
    answer a;
    uint64_t mark;
    uint64_t newest[20000]; /* mark of the record that holds an entry */
    uint64_t last;
} bench;

static bench *start(uint64_t segment_size)
{
    bench *b = qr_alloc_zero(1, sizeof *b);
    harness_init(&b->h, fake_disk_new(), segment_size);
    b->h.where = "fetch";
    DEMAND(&b->h, harness_open(&b->h) == QR_OK);
    return b;
}

static void stop(bench *b)
{
    harness_close(&b->h);
    fake_disk_free(b->h.disk);
    qr_free(b);
}

static void append(bench *b, uint64_t first, uint64_t last, size_t size)
{
    qr_buffer bytes = {0};
    qr_buffer_u64(&bytes, first);
    qr_buffer_u64(&bytes, last);
    qr_buffer_u64(&bytes, ++b->mark);
    while (bytes.size < size)
        qr_buffer_u8(&bytes, (uint8_t)b->mark);
    qr_wal_append(b->h.wal, qr_buffer_slice(&bytes), first, last);
    if (first > 0) {
        QR_ASSERT(last < 20000);
        for (uint64_t i = first; i <= last; i++)
            b->newest[i] = b->mark;
        for (uint64_t i = last + 1; i <= b->last; i++)
            b->newest[i] = 0;
        b->last = last;
    }
    qr_buffer_free(&bytes);
}

/* Fetches and checks: each entry from `from` on comes, and the last record that holds it is the newest one.
 * Returns the last entry that came, 0 if none did. */
static uint64_t fetch(bench *b, uint64_t from, uint64_t to, size_t size_max)
{
    b->a.calls = 0;
    qr_wal_fetch(b->h.wal, from, to, size_max, on_fetched, &b->a);
    assert_int_equal(b->a.calls, 0);
    assert_false(qr_wal_idle(b->h.wal));
    while (b->a.calls == 0)
        assert_true(fake_disk_step(b->h.disk));
    assert_int_equal(b->a.calls, 1);
    if (b->a.status != QR_OK)
        return 0;
    const answer *a = &b->a;
    assert_true(a->first[0] <= from && a->last[0] >= from);
    uint64_t reached = 0;
    for (size_t i = 0; i < a->count; i++) {
        assert_true(i == 0 || (a->first[i] <= a->last[i - 1] + 1 && a->first[i] > a->first[i - 1]));
        reached = a->last[i];
    }
    for (uint64_t entry = from; entry <= reached; entry++) {
        uint64_t mark = 0;
        for (size_t i = 0; i < a->count; i++)
            if (a->first[i] <= entry && a->last[i] >= entry)
                mark = a->mark[i];
        assert_int_equal(mark, b->newest[entry]);
    }
    return reached;
}

static void settle(bench *b)
{
    qr_wal_flush(b->h.wal);
    fake_disk_pump(b->h.disk);
}

static void test_from_disk_and_memory(void **state)
{
    (void)state;
    bench *b = start(64 * 1024);
    for (uint64_t i = 1; i <= 1000; i++) {
        append(b, i, i, 200);
        if (i == 500)
            settle(b);
        if (i == 700)
            qr_wal_flush(b->h.wal); /* on its way, some of it into a segment that does not exist yet */
    }
    assert_int_equal(fetch(b, 1, 1000, SIZE_MAX), 1000);
    assert_int_equal(fetch(b, 990, 1000, SIZE_MAX), 1000);
    settle(b);
    assert_int_equal(fetch(b, 1, 1000, SIZE_MAX), 1000);
    assert_int_equal(b->a.count, 1000);
    assert_int_equal(fetch(b, 400, 410, SIZE_MAX), 410);
    assert_int_equal(b->a.count, 11);
    assert_int_equal(fetch(b, 300, 1000, 2000), 309); /* ten of 200 bytes */
    assert_int_equal(fetch(b, 300, 1000, 0), 300);    /* at least one */
    assert_int_equal(fetch(b, 1001, 1001, 100), 0);
    assert_int_equal(b->a.status, QR_E_NOT_FOUND);
    assert_int_equal(fetch(b, 900, 5000, SIZE_MAX), 1000);
    qr_wal_status facts;
    qr_wal_status_of(b->h.wal, &facts);
    assert_true(facts.segments >= 4);
    stop(b);
}

static void test_everything_in_memory(void **state)
{
    (void)state;
    bench *b = start(64 * 1024);
    append(b, 1, 5, 100);
    append(b, 6, 6, 100);
    assert_int_equal(fetch(b, 2, 6, SIZE_MAX), 6);
    append(b, 7, 9, 100);
    b->a.calls = 0;
    qr_wal_fetch(b->h.wal, 3, 9, SIZE_MAX, on_fetched, &b->a);
    settle(b); /* the batch is gone from memory before the answer comes */
    assert_int_equal(b->a.calls, 1);
    assert_int_equal(b->a.count, 3);
    assert_int_equal(b->a.last[2], 9);
    stop(b);
}

static void test_replaced_entries(void **state)
{
    (void)state;
    bench *b = start(64 * 1024);
    append(b, 1, 3, 100);
    append(b, 4, 6, 100);
    append(b, 5, 7, 100); /* 5 and 6 are replaced, 4 is not */
    append(b, 8, 9, 100);
    settle(b);
    assert_int_equal(fetch(b, 1, 9, SIZE_MAX), 9);
    assert_int_equal(b->a.count, 4);
    assert_int_equal(fetch(b, 4, 4, 1), 7); /* the record that replaces some of it always comes along */
    assert_int_equal(b->a.count, 2);
    append(b, 4, 4, 100); /* a whole record is void now, and three entries are gone */
    settle(b);
    assert_int_equal(fetch(b, 1, 9, SIZE_MAX), 4);
    assert_int_equal(b->a.count, 2);
    append(b, 5, 5, 100);
    append(b, 0, 0, 100); /* without entries: never handed out */
    append(b, 6, 6, 100);
    assert_int_equal(fetch(b, 1, 9, SIZE_MAX), 6);
    assert_int_equal(b->a.count, 4);
    append(b, 1, 1, 100);
    assert_int_equal(fetch(b, 1, 9, SIZE_MAX), 1);
    append(b, 50, 51, 100); /* a gap: the log restarts behind a checkpoint */
    assert_int_equal(fetch(b, 1, 90, SIZE_MAX), 1);
    assert_int_equal(fetch(b, 50, 90, SIZE_MAX), 51);
    assert_int_equal(fetch(b, 20, 90, SIZE_MAX), 0);
    assert_int_equal(b->a.status, QR_E_NOT_FOUND);
    stop(b);
}

/* Random replacement of entries against a plain model; across reopening. */
static void test_random_replacement(void **state)
{
    (void)state;
    bench *b = start(16 * 1024);
    qr_prng prng;
    qr_prng_seed(&prng, 77);
    for (int step = 0; step < 3000; step++) {
        uint64_t what = qr_prng_below(&prng, 100);
        if (what < 60) {
            append(b, b->last + 1, b->last + 1 + qr_prng_below(&prng, 3), 24 + qr_prng_below(&prng, 400));
        } else if (what < 66 && b->last > 5) {
            uint64_t first = b->last - qr_prng_below(&prng, 5);
            append(b, first, first + qr_prng_below(&prng, 4), 24 + qr_prng_below(&prng, 400));
        } else if (what < 70) {
            append(b, 0, 0, 100);
        } else if (what < 80) {
            qr_wal_flush(b->h.wal);
        } else if (what < 90) {
            fake_disk_step(b->h.disk);
        } else if (b->last > 0) {
            uint64_t from = qr_prng_between(&prng, b->last > 60 ? b->last - 60 : 1, b->last);
            size_t size_max = qr_prng_chance(&prng, 500000) ? SIZE_MAX : (size_t)qr_prng_below(&prng, 3000);
            uint64_t reached = fetch(b, from, from + qr_prng_below(&prng, 40), size_max);
            assert_true(reached >= from);
        }
    }
    settle(b);
    assert_int_equal(fetch(b, 1, b->last, SIZE_MAX), b->last);
    uint64_t records = b->a.count;
    harness_close(&b->h);
    qr_arena arena;
    qr_arena_init(&arena);
    const char *sentence;
    assert_int_equal(qr_wal_open(&b->h.config, NULL, NULL, &arena, &b->h.wal, &sentence), QR_OK);
    qr_arena_free(&arena);
    assert_int_equal(fetch(b, 1, b->last, SIZE_MAX), b->last);
    assert_int_equal(b->a.count, records);
    stop(b);
}

static void test_release_and_pin(void **state)
{
    (void)state;
    bench *b = start(16 * 1024);
    for (uint64_t i = 1; i <= 300; i++)
        append(b, i, i, 200);
    settle(b);
    b->a.calls = 0;
    qr_wal_fetch(b->h.wal, 1, 300, SIZE_MAX, on_fetched, &b->a);
    qr_wal_release(b->h.wal, 200);
    qr_wal_status facts;
    qr_wal_status_of(b->h.wal, &facts);
    assert_int_equal(facts.first_position, 4096); /* pinned */
    fake_disk_pump(b->h.disk);
    assert_int_equal(b->a.status, QR_OK);
    assert_int_equal(b->a.count, 300);
    qr_wal_status_of(b->h.wal, &facts);
    assert_true(facts.first_position > 16 * 1024);
    assert_int_equal(fetch(b, 1, 300, SIZE_MAX), 0);
    assert_int_equal(b->a.status, QR_E_NOT_FOUND);
    assert_int_equal(fetch(b, 201, 300, SIZE_MAX), 300); /* nothing above 200 was freed */
    stop(b);
}

static void test_damage_is_found(void **state)
{
    (void)state;
    bench *b = start(64 * 1024);
    for (uint64_t i = 1; i <= 50; i++)
        append(b, i, i, 200);
    settle(b);
    fake_disk_file(b->h.disk, "0000000000000000.wal")->data[4096 + 256 * 20 + 100] ^= 4;
    assert_int_equal(fetch(b, 1, 50, SIZE_MAX), 0);
    assert_int_equal(b->a.status, QR_E_CORRUPT);
    assert_int_equal(fetch(b, 1, 10, 2000), 10); /* what was asked for lies before the damage */
    fake_disk_file(b->h.disk, "0000000000000000.wal")->size = 4096 + 100;
    assert_int_equal(fetch(b, 30, 50, SIZE_MAX), 0);
    assert_int_equal(b->a.status, QR_E_CORRUPT);
    stop(b);
}

/* A million small records: what the index costs. */
static void test_index_is_small(void **state)
{
    (void)state;
    wal_index index = {0};
    uint64_t position = 4096;
    for (uint64_t i = 1; i <= 1000000; i++) {
        uint64_t begin = position / QR_WAL_SEGMENT_SIZE * QR_WAL_SEGMENT_SIZE;
        qr_wal_index_add(&index, i, i, position, 312, begin);
        position += 312;
    }
    printf("index of a million records of 256 bytes: %zu bytes\n", index.room * sizeof *index.runs);
    assert_true(index.room * sizeof *index.runs < 1000000);
    for (uint64_t i = 1; i <= 1000000; i += 997) {
        const wal_run *run = qr_wal_index_find(&index, i);
        assert_true(run != NULL && run->first <= i && run->last >= i);
        assert_true(run->position <= 4096 + (i - 1) * 312 && run->position + run->size >= 4096 + i * 312);
    }
    assert_null(qr_wal_index_find(&index, 1000001));
    qr_wal_index_drop(&index, 4096 + 312 * 500000);
    assert_null(qr_wal_index_find(&index, 400000));
    assert_non_null(qr_wal_index_find(&index, 600000));
    qr_free(index.runs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_from_disk_and_memory), cmocka_unit_test(test_everything_in_memory),
        cmocka_unit_test(test_replaced_entries),     cmocka_unit_test(test_random_replacement),
        cmocka_unit_test(test_release_and_pin),      cmocka_unit_test(test_damage_is_found),
        cmocka_unit_test(test_index_is_small),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Crashes at every operation, in every way, and many lives in a row. The harness demands each time: what
 * comes back is a prefix of what was appended, holds everything that was reported durable, and is equal byte
 * for byte. */
#include "harness.h"

#include <stdio.h>
#include <string.h>

typedef struct campaign {
    harness *live; /* the log whose operations are the crash points */
    uint64_t points, states, inner;
    qr_prng prng;
} campaign;

typedef struct forecast {
    bool refused, any;
    uint64_t cut_at, cut;
    uint64_t next_position;
} forecast;

static void on_report(void *context, const qr_wal_report *report)
{
    forecast *f = context;
    if (report->verdict >= QR_WAL_SPARE)
        return;
    f->any = true;
    f->refused = f->refused || report->verdict == QR_WAL_DAMAGED || report->verdict == QR_WAL_UNCHECKED;
    f->next_position = report->next_position;
    if (report->verdict == QR_WAL_TORN) {
        f->cut_at = report->position;
        f->cut = report->torn;
    }
}

static void on_trace(void *context, const qr_trace_record *record)
{
    forecast *f = context;
    if (record->kind == QR_TRACE_WAL_CUT) {
        f->cut_at = record->number[0];
        f->cut = record->number[1];
    }
}

/* Opens and closes, and demands that inspecting has foretold it: refused or not, the cut, the end. Inspecting
 * writes nothing. */
static qr_status open_as_foretold(harness *h)
{
    qr_arena arena;
    qr_arena_init(&arena);
    const char *sentence;
    forecast told = {0}, done = {0};
    qr_trace trace;
    qr_trace_init(&trace, 0);
    trace.sink = on_trace;
    trace.context = &done;
    uint64_t digest = fake_disk_digest(h->disk);
    qr_status status = qr_wal_inspect(&h->disk->disk, on_report, &told, &arena, &sentence);
    DEMAND(h, fake_disk_digest(h->disk) == digest);
    DEMAND(h, status == (told.any ? QR_OK : QR_E_NOT_FOUND));
    h->config.trace = &trace;
    status = harness_open(h);
    DEMAND(h, told.refused == (status != QR_OK));
    if (status == QR_OK) {
        qr_wal_status facts;
        qr_wal_status_of(h->wal, &facts);
        DEMAND(h, told.cut == done.cut && told.cut_at == done.cut_at);
        DEMAND(h, !told.any || told.next_position == facts.next_position);
        harness_close(h); /* it holds the trace */
    }
    h->config.trace = NULL;
    qr_trace_free(&trace);
    qr_arena_free(&arena);
    return status;
}

/* A crashed disk must open; a second opening must give the same log; appending must go on. */
static void go_on(harness *h, uint64_t salt)
{
    DEMAND(h, open_as_foretold(h) == QR_OK);
    uint32_t recovered = h->model.count;
    uint64_t digest = fake_disk_digest(h->disk);
    DEMAND(h, harness_open(h) == QR_OK);
    DEMAND(h, h->model.count == recovered && fake_disk_digest(h->disk) == digest);
    harness_append_many(h, 3, salt);
    harness_settle(h);
    harness_append_many(h, 3, salt);
    harness_settle(h);
    DEMAND(h, h->model.count == recovered + 6);
    harness_close(h);
    DEMAND(h, harness_open(h) == QR_OK);
    DEMAND(h, h->model.count == recovered + 6);
    harness_close(h);
}

/* Crash inside recovery: every operation of the opening and of the first appends is a crash point again. */
static qr_status before_inner(void *context, const qr_disk_op *op)
{
    campaign *c = context;
    harness *outer = c->live;
    if (op->kind == QR_DISK_READ)
        return QR_OK;
    for (int how = CRASH_KEEP_ALL; how <= CRASH_RANDOM; how += 2) {
        fake_disk *disk = fake_disk_clone(outer->disk);
        fake_disk_begin(disk, op);
        fake_disk_crash(disk, (fake_crash)how, &c->prng);
        harness h = *outer;
        h.disk = disk;
        h.wal = NULL;
        h.config.trace = NULL;
        h.where = "crash inside recovery, operation";
        DEMAND(&h, open_as_foretold(&h) == QR_OK);
        fake_disk_free(disk);
        c->inner++;
    }
    return QR_OK;
}

static qr_status before(void *context, const qr_disk_op *op)
{
    campaign *c = context;
    harness *live = c->live;
    if (op->kind == QR_DISK_READ)
        return QR_OK;
    c->points++;
    for (int how = 0; how < CRASH_RANDOM + 3; how++) {
        fake_disk *disk = fake_disk_clone(live->disk);
        fake_disk_begin(disk, op);
        fake_disk_crash(disk, (fake_crash)(how < CRASH_RANDOM ? how : CRASH_RANDOM), &c->prng);
        harness h = *live;
        h.disk = disk;
        h.wal = NULL;
        h.where = "crash at operation";
        h.number = live->disk->ops;
        campaign nested = {.live = &h, .prng = c->prng};
        if ((c->points + (uint64_t)how) % 20 == 0) {
            disk->before = before_inner;
            disk->context = &nested;
        }
        go_on(&h, live->model.count ? live->model.salt[0] : 0);
        fake_disk_free(disk);
        c->inner += nested.inner;
        c->states++;
    }
    return QR_OK;
}

static void script(harness *h, uint32_t records, uint64_t seed)
{
    qr_prng prng;
    qr_prng_seed(&prng, seed);
    while (h->model.count + 20 < records) {
        switch (qr_prng_below(&prng, 12)) {
        case 0: harness_settle(h); break;
        case 1:
            if (h->model.durable > 10)
                harness_release(h, h->model.durable - (uint32_t)qr_prng_below(&prng, 10));
            break;
        case 2:
            if (qr_prng_below(&prng, 4) == 0)
                qr_wal_begin_segment(h->wal);
            break;
        case 3:
            if (qr_prng_below(&prng, 3) == 0) {
                harness_settle(h);
                harness_close(h);
                DEMAND(h, harness_open(h) == QR_OK);
            }
            break;
        case 4:
        case 5: qr_wal_flush(h->wal); break;
        case 6:
        case 7: fake_disk_step(h->disk); break;
        default: harness_append_many(h, (uint32_t)qr_prng_below(&prng, 5), seed); break;
        }
    }
    harness_settle(h);
}

static void crash_everywhere(uint64_t segment_size, uint32_t records, uint32_t largest, uint64_t seed)
{
    fake_disk *disk = fake_disk_new();
    disk->reserves_nothing = seed % 2 == 0;
    harness h;
    harness_init(&h, disk, segment_size);
    h.where = "script";
    h.largest = largest;
    campaign c = {.live = &h};
    qr_prng_seed(&c.prng, seed);
    disk->before = before;
    disk->context = &c;
    DEMAND(&h, harness_open(&h) == QR_OK);
    script(&h, records, seed);
    qr_wal_status facts;
    qr_wal_status_of(h.wal, &facts);
    printf("segment size %llu: %llu crash points, %llu states, %llu inside recovery; %llu flushes, %llu "
           "segments\n",
           (unsigned long long)segment_size, (unsigned long long)c.points, (unsigned long long)c.states,
           (unsigned long long)c.inner, (unsigned long long)facts.flushes,
           (unsigned long long)facts.segments);
    assert_true(c.points > 100 && c.states > 500 && c.inner > 500);
    harness_close(&h);
    fake_disk_free(disk);
}

static void test_crash_at_every_operation(void **state)
{
    (void)state;
    crash_everywhere(16 * 1024, 300, 0, 1);
    crash_everywhere(8 * 1024, 200, 0, 2);
    crash_everywhere(16 * 1024, 250, 40000, 3);
    crash_everywhere(32 * 1024, 300, 0, 4);
}

/* One folder, many lives. Half of the lives append the very same bytes as the life before did behind the cut:
 * a leftover that fits the chain again must still never come back. */
static void many_lives(uint64_t seed, uint64_t segment_size)
{
    fake_disk *disk = fake_disk_new();
    disk->reserves_nothing = seed % 4 == 0;
    harness *h = qr_alloc(sizeof *h);
    harness_init(h, disk, segment_size);
    h->where = "life";
    qr_prng prng;
    qr_prng_seed(&prng, seed);
    for (h->number = 0; h->number < 60 && h->model.count + 60 < RECORDS_MAX; h->number++) {
        harness twin = *h; /* on a copy: the life goes on with the first opening of its disk */
        twin.disk = fake_disk_clone(disk);
        DEMAND(&twin, open_as_foretold(&twin) == QR_OK);
        fake_disk_free(twin.disk);
        DEMAND(h, harness_open(h) == QR_OK);
        uint64_t salt = qr_prng_chance(&prng, 500000) ? 0 : h->number;
        uint64_t steps = qr_prng_below(&prng, 40);
        for (uint64_t i = 0; i < steps; i++) {
            uint64_t what = qr_prng_below(&prng, 10);
            if (what < 4)
                harness_append(h, salt);
            else if (what < 6)
                qr_wal_flush(h->wal);
            else if (what < 9)
                fake_disk_step(disk);
            else if (h->model.durable > 20)
                harness_release(h, h->model.durable - 20);
        }
        if (disk->queued[QR_LANE_LOG] > 0 && qr_prng_chance(&prng, 700000))
            fake_disk_begin(disk, disk->queue[QR_LANE_LOG][0]);
        harness_close(h);
        fake_disk_crash(disk, (fake_crash)qr_prng_below(&prng, CRASH_RANDOM + 1), &prng);
        if (disk->file_count > FAKE_FILES_MAX - 100)
            break;
    }
    DEMAND(h, harness_open(h) == QR_OK);
    harness_close(h);
    fake_disk_free(disk);
    qr_free(h);
}

static void test_many_lives(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 150; seed++)
        many_lives(seed, seed % 2 ? 16 * 1024 : 8 * 1024);
}

/* The case of many_lives() at its sharpest: A and B are written in one go, A is torn and B whole; the next
 * life appends the same A. B must not come back. */
static void test_leftover_behind_the_same_record(void **state)
{
    (void)state;
    fake_disk *disk = fake_disk_new();
    harness h;
    harness_init(&h, disk, 16 * 1024);
    h.where = "leftover";
    DEMAND(&h, harness_open(&h) == QR_OK);
    harness_append_many(&h, 2, 5);
    harness_settle(&h);
    qr_wal_status facts;
    qr_wal_status_of(h.wal, &facts);
    harness_append_many(&h, 2, 5);
    harness_settle(&h);
    harness_close(&h);
    /* As if that last flush had never been acknowledged and its first record had been torn. */
    qr_buffer *file = fake_disk_file(disk, "0000000000000000.wal");
    file->data[facts.next_position] ^= 1;
    h.model.durable = 2;
    DEMAND(&h, harness_open(&h) == QR_OK);
    DEMAND(&h, h.model.count == 2);
    harness_append(&h, 5);
    harness_settle(&h);
    harness_close(&h);
    DEMAND(&h, harness_open(&h) == QR_OK);
    DEMAND(&h, h.model.count == 3);
    harness_close(&h);
    fake_disk_free(disk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_leftover_behind_the_same_record),
        cmocka_unit_test(test_many_lives),
        cmocka_unit_test(test_crash_at_every_operation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

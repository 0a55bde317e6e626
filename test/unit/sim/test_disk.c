/* The simulated disk keeps exactly the promises of edge/edge.h: what was synced stays, what was not may go or
 * be torn. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "sim/disk.h"

typedef struct desk {
    qr_sim_disk *disk;
    qr_disk edge;
    int scheduled, done;
    size_t durable_bytes;
} desk;

static void on_schedule(void *context, uint64_t delay_us)
{
    ((desk *)context)->scheduled++;
    assert_true(delay_us > 0 && delay_us <= 2000000);
}

static void on_durable(void *context, qr_slice bytes)
{
    ((desk *)context)->durable_bytes += bytes.size;
}
static void on_done(qr_disk_op *op)
{
    ((desk *)op->owner)->done++;
}

static void open_desk(desk *d, uint64_t seed)
{
    *d = (desk){0};
    qr_sim_disk_config config = {.seed = seed,
                                 .sync_us_min = 100,
                                 .sync_us_max = 1000,
                                 .schedule = on_schedule,
                                 .durable = on_durable,
                                 .context = d};
    d->disk = qr_sim_disk_open(&config);
    d->edge = qr_sim_disk_edge(d->disk);
}

static qr_status run(desk *d, qr_disk_kind kind, const char *name, uint64_t offset, qr_slice bytes)
{
    qr_disk_op op = {.kind = kind, .offset = offset, .bytes = bytes};
    snprintf(op.name, sizeof op.name, "%s", name);
    d->edge.run(d->edge.self, &op);
    return op.status;
}

static qr_status rename_to(desk *d, const char *name, const char *name_to)
{
    qr_disk_op op = {.kind = QR_DISK_RENAME};
    snprintf(op.name, sizeof op.name, "%s", name);
    snprintf(op.name_to, sizeof op.name_to, "%s", name_to);
    d->edge.run(d->edge.self, &op);
    return op.status;
}

static uint64_t read_file(desk *d, const char *name, uint8_t *target, uint64_t size, qr_status *status)
{
    qr_disk_op op = {.kind = QR_DISK_READ, .target = target, .size = size};
    snprintf(op.name, sizeof op.name, "%s", name);
    d->edge.run(d->edge.self, &op);
    *status = op.status;
    return op.got;
}

static bool exists(desk *d, const char *name)
{
    qr_status status;
    uint8_t byte;
    read_file(d, name, &byte, 1, &status);
    return status == QR_OK;
}

static const qr_slice nothing = {0};

static void synced_bytes_survive(void **state)
{
    for (uint64_t seed = 1; seed <= 50; seed++) {
        desk d;
        open_desk(&d, seed);
        assert_int_equal(run(&d, QR_DISK_CREATE, "a", 0, nothing), QR_OK);
        assert_int_equal(run(&d, QR_DISK_CREATE, "a", 0, nothing), QR_E_EXISTS);
        assert_int_equal(run(&d, QR_DISK_SYNC_FOLDER, "", 0, nothing), QR_OK);
        assert_int_equal(run(&d, QR_DISK_WRITE, "a", 3, qr_slice_text("hello")), QR_OK);
        assert_int_equal(run(&d, QR_DISK_SYNC, "a", 0, nothing), QR_OK);
        assert_int_equal(run(&d, QR_DISK_WRITE, "missing", 0, qr_slice_text("x")), QR_E_NOT_FOUND);
        assert_int_equal(run(&d, QR_DISK_WRITE, "a", 100, qr_slice_text("tail")), QR_OK);
        qr_sim_disk_crash(d.disk, false);
        uint8_t bytes[16] = {0};
        qr_status status;
        assert_true(read_file(&d, "a", bytes, 8, &status) == 8);
        assert_memory_equal(bytes, "\0\0\0hello", 8);
        assert_true(d.durable_bytes > 0);
        qr_sim_disk_free(d.disk);
    }
}

/* Every sector of a write that was not synced is either old or new; over some seeds all of that is seen. */
static void writes_are_torn_at_sectors(void **state)
{
    int lost = 0, kept = 0, torn = 0;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        desk d;
        open_desk(&d, seed);
        uint8_t old[4096], new[4096], found[4096];
        memset(old, 'o', sizeof old);
        memset(new, 'n', sizeof new);
        run(&d, QR_DISK_CREATE, "a", 0, nothing);
        run(&d, QR_DISK_SYNC_FOLDER, "", 0, nothing);
        run(&d, QR_DISK_WRITE_SYNC, "a", 0, qr_slice_of(old, sizeof old));
        run(&d, QR_DISK_WRITE, "a", 100, qr_slice_of(new, 3000));
        qr_sim_disk_crash(d.disk, false);
        qr_status status;
        assert_true(read_file(&d, "a", found, sizeof found, &status) == sizeof found);
        int news = 0, pieces = 0;
        for (uint64_t at = 0; at < sizeof found; at++) {
            assert_true(found[at] == 'o' || (found[at] == 'n' && at >= 100 && at < 3100));
            if (at >= 100 && at < 3100 && (at == 100 || at % QR_SIM_SECTOR == 0)) {
                pieces++;
                news += found[at] == 'n';
            } else if (at > 100 && at < 3100) {
                assert_true(found[at] == found[at - 1]);
            }
        }
        lost += news == 0;
        kept += news == pieces;
        torn += news > 0 && news < pieces;
        qr_sim_disk_free(d.disk);
    }
    assert_true(lost > 20 && kept > 20 && torn > 10);
}

static void names_need_a_synced_folder(void **state)
{
    int lost = 0, kept = 0, half = 0;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        desk d;
        open_desk(&d, seed);
        run(&d, QR_DISK_CREATE, "old", 0, nothing);
        run(&d, QR_DISK_SYNC_FOLDER, "", 0, nothing);
        assert_int_equal(rename_to(&d, "old", "new"), QR_OK);
        assert_int_equal(run(&d, QR_DISK_CREATE, "other", 0, nothing), QR_OK);
        assert_true(!exists(&d, "old") && exists(&d, "new"));
        qr_sim_disk_crash(d.disk, false);
        assert_true(exists(&d, "old") != exists(&d, "new"));
        lost += exists(&d, "old") && !exists(&d, "other");
        kept += exists(&d, "new") && exists(&d, "other");
        half += exists(&d, "old") || !exists(&d, "other");
        run(&d, QR_DISK_CREATE, "last", 0, nothing);
        run(&d, QR_DISK_SYNC_FOLDER, "", 0, nothing);
        qr_sim_disk_crash(d.disk, false);
        assert_true(exists(&d, "last"));
        qr_sim_disk_free(d.disk);
    }
    assert_true(lost > 20 && kept > 20 && half > lost);
}

static void a_failed_sync_keeps_nothing(void **state)
{
    int lost = 0;
    for (uint64_t seed = 1; seed <= 100; seed++) {
        desk d;
        open_desk(&d, seed);
        run(&d, QR_DISK_CREATE, "a", 0, nothing);
        run(&d, QR_DISK_SYNC_FOLDER, "", 0, nothing);
        qr_sim_disk_faults_of(d.disk)->sync_fails_in = 1;
        run(&d, QR_DISK_WRITE, "a", 0, qr_slice_text("x"));
        assert_int_equal(run(&d, QR_DISK_SYNC, "a", 0, nothing), QR_E_IO);
        assert_int_equal(run(&d, QR_DISK_SYNC, "a", 0, nothing), QR_OK); /* a lie, as of real disks */
        qr_sim_disk_crash(d.disk, false);
        qr_status status;
        uint8_t byte = 0;
        lost += read_file(&d, "a", &byte, 1, &status) == 0;
        qr_sim_disk_free(d.disk);
    }
    assert_true(lost > 20);
}

static qr_disk_op write_op(desk *d, qr_disk_lane lane, uint64_t offset)
{
    return (qr_disk_op){.kind = QR_DISK_WRITE_SYNC,
                        .lane = lane,
                        .name = "a",
                        .offset = offset,
                        .bytes = qr_slice_text("x"),
                        .done = on_done,
                        .owner = d};
}

static void lanes_are_served_in_order(void **state)
{
    desk d;
    open_desk(&d, 1);
    run(&d, QR_DISK_CREATE, "a", 0, nothing);
    qr_disk_op back = write_op(&d, QR_LANE_BACKGROUND, 0), back_too = write_op(&d, QR_LANE_BACKGROUND, 1);
    qr_disk_op log = write_op(&d, QR_LANE_LOG, 2);
    d.edge.submit(d.edge.self, &back);
    d.edge.submit(d.edge.self, &back_too);
    d.edge.submit(d.edge.self, &log);
    assert_int_equal(d.done, 0); /* never from inside submit() */
    back.status = back_too.status = log.status = QR_E_BUSY;
    qr_sim_disk_finish(d.disk);
    assert_int_equal(back.status, QR_OK); /* was under way */
    qr_sim_disk_finish(d.disk);
    assert_int_equal(log.status, QR_OK); /* goes first */
    assert_int_equal(back_too.status, QR_E_BUSY);
    qr_sim_disk_finish(d.disk);
    assert_true(d.done == 3 && d.scheduled == 3);
    qr_sim_disk_finish(d.disk);
    assert_int_equal(d.done, 3);
    qr_sim_disk_free(d.disk);
}

static void the_power_fails_at_the_nth_operation(void **state)
{
    for (uint64_t n = 1; n <= 6; n++) {
        desk d;
        open_desk(&d, n);
        run(&d, QR_DISK_CREATE, "a", 0, nothing);
        run(&d, QR_DISK_SYNC_FOLDER, "", 0, nothing);
        qr_sim_disk_faults_of(d.disk)->crash_in = n;
        int good = 0;
        for (int i = 0; i < 5; i++)
            good += run(&d, QR_DISK_WRITE_SYNC, "a", 0, qr_slice_text("x")) == QR_OK;
        assert_int_equal(good, (int)(n - 1) / 2); /* two points each: before it and behind it */
        assert_true(qr_sim_disk_dead(d.disk));
        assert_int_equal(run(&d, QR_DISK_SYNC, "a", 0, nothing), QR_E_IO);
        qr_sim_disk_crash(d.disk, false);
        assert_false(qr_sim_disk_dead(d.disk));
        assert_int_equal(run(&d, QR_DISK_SYNC, "a", 0, nothing), QR_OK);
        qr_sim_disk_free(d.disk);
    }
}

static void a_full_disk_refuses_background_writes_only(void **state)
{
    desk d;
    open_desk(&d, 1);
    run(&d, QR_DISK_CREATE, "a", 0, nothing);
    qr_sim_disk_faults_of(d.disk)->no_space_per_million = 1000000;
    qr_disk_op back = write_op(&d, QR_LANE_BACKGROUND, 0), log = write_op(&d, QR_LANE_LOG, 0);
    back.kind = log.kind = QR_DISK_WRITE;
    d.edge.submit(d.edge.self, &log);
    d.edge.submit(d.edge.self, &back);
    qr_sim_disk_finish(d.disk);
    qr_sim_disk_finish(d.disk);
    assert_int_equal(log.status, QR_OK);
    assert_int_equal(back.status, QR_E_NO_SPACE);
    assert_false(qr_sim_disk_failed(d.disk));
    qr_sim_disk_free(d.disk);
}

/* An append that went astray is the newest one: after a crash it stands where it should, or who starts next
 * would take it for a torn one. Once another is durable behind it, it stays lost, and so does what it has
 * overwritten. */
static void a_lost_append_stays_lost_once_another_follows(void **state)
{
    static const char name[] = "0000000000000000.wal";
    uint8_t page[2048], bytes[4096];
    memset(page, 'x', sizeof page);
    for (uint64_t seed = 1; seed <= 20; seed++) {
        bool follows = seed % 2;
        desk d;
        open_desk(&d, seed);
        run(&d, QR_DISK_CREATE, name, 0, nothing);
        run(&d, QR_DISK_SYNC_FOLDER, "", 0, nothing);
        qr_sim_disk_faults_of(d.disk)->lies_in = 1;
        assert_int_equal(run(&d, QR_DISK_WRITE_SYNC, name, 0, qr_slice_of(page, 2048)), QR_OK);
        if (follows)
            run(&d, QR_DISK_WRITE_SYNC, name, 2048, qr_slice_of(page, 2048));
        qr_sim_disk_crash(d.disk, false);
        qr_status status;
        uint64_t size = read_file(&d, name, bytes, sizeof bytes, &status), lost = 0;
        for (uint64_t i = 0; i < size; i++)
            lost += bytes[i] != 'x';
        assert_int_equal(size, follows ? 4096 : 2048);
        assert_int_equal(lost, follows ? QR_SIM_SECTOR : 0);
        qr_sim_disk_free(d.disk);
    }
}

static void what_cannot_be_read_can_be_written_again(void **state)
{
    static const char name[] = "checkpoint-0000000000000001";
    uint8_t page[4096] = {1}, bytes[4096];
    desk d;
    open_desk(&d, 1);
    run(&d, QR_DISK_CREATE, name, 0, nothing);
    run(&d, QR_DISK_WRITE_SYNC, name, 0, qr_slice_of(page, sizeof page));
    run(&d, QR_DISK_SYNC_FOLDER, "", 0, nothing);
    assert_false(qr_sim_disk_rot(d.disk, QR_SIM_ZONE_OLDER, QR_SIM_ROT_FLIP)); /* there is one only */
    assert_true(qr_sim_disk_rot(d.disk, QR_SIM_ZONE_NEWEST, QR_SIM_ROT_UNREADABLE));
    qr_status status;
    read_file(&d, name, bytes, sizeof bytes, &status);
    assert_int_equal(status, QR_E_IO);
    assert_false(qr_sim_disk_failed(d.disk));
    run(&d, QR_DISK_WRITE_SYNC, name, 0, qr_slice_of(page, sizeof page));
    assert_int_equal(read_file(&d, name, bytes, sizeof bytes, &status), sizeof bytes);
    assert_true(qr_sim_disk_rot(d.disk, QR_SIM_ZONE_NEWEST, QR_SIM_ROT_FLIP));
    read_file(&d, name, bytes, sizeof bytes, &status);
    assert_int_equal(status, QR_OK);
    assert_memory_not_equal(bytes, page, sizeof page);
    qr_sim_disk_free(d.disk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(synced_bytes_survive),
        cmocka_unit_test(writes_are_torn_at_sectors),
        cmocka_unit_test(names_need_a_synced_folder),
        cmocka_unit_test(a_failed_sync_keeps_nothing),
        cmocka_unit_test(lanes_are_served_in_order),
        cmocka_unit_test(the_power_fails_at_the_nth_operation),
        cmocka_unit_test(a_full_disk_refuses_background_writes_only),
        cmocka_unit_test(a_lost_append_stays_lost_once_another_follows),
        cmocka_unit_test(what_cannot_be_read_can_be_written_again),
    };
    return cmocka_run_group_tests_name("sim disk", tests, NULL, NULL);
}

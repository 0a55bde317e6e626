/* A full disk, a failing one, and giving up, at every operation. */
#include "checkpoint_kit.h"

#include <string.h>

static qr_checkpoint_writer *abandoned; /* and not removed yet */

static const size_t sizes[] = {500, 80, 300000, 0, 500000, 1};
static const size_t sizes_long[] = {500, 80, 4500000};
static const kit_plan plan = {.index = 9, .seed = 2, .count = 6, .sizes = sizes};
static const kit_plan plan_long = {.index = 9, .seed = 2, .count = 3, .sizes = sizes_long};
static const kit_plan small = {.index = 9, .seed = 3, .count = 4, .sizes = sizes};

typedef struct faults {
    uint64_t ops, at; /* the operation of that number fails; UINT64_MAX: none */
    qr_status status;
    qr_disk_kind kind; /* what it was */
    qr_disk_kind kinds[256];
} faults;

static qr_status on_op(void *context, const qr_disk_op *op)
{
    faults *f = context;
    uint64_t number = f->ops++;
    if (number < 256)
        f->kinds[number] = op->kind;
    if (number != f->at)
        return QR_OK;
    f->kind = op->kind;
    return f->status;
}

static fake_disk *start(faults *f)
{
    static const size_t sizes_old[] = {20, 30, 5000};
    const kit_plan plan_old = {.index = 3, .seed = 1, .count = 3, .sizes = sizes_old};
    fake_disk *disk = fake_disk_new();
    assert_int_equal(kit_make(disk, &plan_old, NULL), QR_OK);
    disk->before = on_op;
    disk->context = f;
    return disk;
}

static void demand(fake_disk *disk, const kit_plan *wanted)
{
    char name[QR_DISK_NAME_MAX];
    kit_seen seen = {.plan = wanted};
    kit_name(wanted->index, name);
    assert_int_equal(kit_read(disk, name, &seen), QR_OK);
    assert_null(fake_disk_file(disk, "checkpoint-0000000000000009.part"));
    kit_name(3, name);
    seen = (kit_seen){0};
    assert_int_equal(kit_read(disk, name, &seen), QR_OK);
}

static uint64_t count_ops(const kit_plan *of, faults *f)
{
    *f = (faults){.at = UINT64_MAX};
    fake_disk *disk = start(f);
    assert_int_equal(kit_make(disk, of, NULL), QR_OK);
    fake_disk_free(disk);
    return f->ops;
}

static bool may_be_full(qr_disk_kind kind)
{
    return kind == QR_DISK_CREATE || kind == QR_DISK_WRITE || kind == QR_DISK_WRITE_SYNC;
}

static void test_full_at_every_operation(void **state)
{
    (void)state;
    faults all, f;
    uint64_t ops = count_ops(&plan, &all), full = 0;
    assert_true(ops > 7 && ops < 256);
    for (uint64_t at = 0; at < ops; at++) {
        if (!may_be_full(all.kinds[at]))
            continue;
        full++;
        f = (faults){.at = at, .status = QR_E_NO_SPACE};
        fake_disk *disk = start(&f);
        uint64_t digest = fake_disk_digest(disk);
        assert_int_equal(kit_make(disk, &plan, NULL), QR_E_NO_SPACE);
        assert_true(fake_disk_digest(disk) == digest); /* the .part is gone, nothing else has changed */
        assert_int_equal(kit_make(disk, &small, NULL), QR_OK);
        demand(disk, &small);
        fake_disk_free(disk);
    }
    assert_true(full > 4);
}

static void test_really_full(void **state)
{
    (void)state;
    faults f = {.at = UINT64_MAX};
    fake_disk *disk = start(&f);
    uint64_t digest = fake_disk_digest(disk);
    disk->bytes_max = 600 * 1024;
    assert_int_equal(kit_make(disk, &plan, NULL), QR_E_NO_SPACE);
    assert_true(fake_disk_digest(disk) == digest);
    assert_int_equal(kit_make(disk, &small, NULL), QR_OK);
    demand(disk, &small);
    disk->bytes_max = 0;
    assert_int_equal(kit_make(disk, &plan, NULL), QR_OK);
    demand(disk, &plan);
    fake_disk_free(disk);
}

/* The owner goes on adding while the removal is under way, and asks for nothing. */
static void test_full_while_chunks_come(void **state)
{
    (void)state;
    faults f = {.at = 1, .status = QR_E_NO_SPACE};
    fake_disk *disk = start(&f);
    kit_made made;
    kit_begin(disk, &plan, &made);
    uint8_t byte = 7;
    qr_checkpoint_add(made.writer, QR_CHECKPOINT_BRIEF, qr_slice_of(&byte, 1));
    while (f.ops < 2)
        assert_true(fake_disk_step(disk));
    assert_true(made.done == 0 && qr_checkpoint_wants(made.writer) == 0);
    qr_checkpoint_add(made.writer, QR_CHECKPOINT_ORIGINS, qr_slice_of(&byte, 1));
    qr_checkpoint_add(made.writer, QR_CHECKPOINT_MACHINE, qr_slice_of(&byte, 1));
    qr_checkpoint_finish(made.writer);
    fake_disk_pump(disk);
    assert_int_equal(made.done, 1);
    assert_int_equal(made.status, QR_E_NO_SPACE);
    fake_disk_free(disk);
}

static void test_failing_at_every_operation(void **state)
{
    (void)state;
    faults all, f;
    uint64_t ops = count_ops(&plan, &all);
    for (uint64_t at = 0; at < ops; at++) {
        f = (faults){.at = at, .status = QR_E_IO};
        fake_disk *disk = start(&f);
        assert_int_equal(kit_make(disk, &plan, NULL), QR_E_IO);
        assert_int_equal(f.ops, at + 1); /* nothing is tried again, nothing is cleaned up */
        fake_disk_free(disk);
    }
    f = (faults){.at = 2, .status = QR_E_IO}; /* the removal after a full disk */
    fake_disk *disk = start(&f);
    disk->bytes_max = 10 * 1024;
    assert_int_equal(kit_make(disk, &plan, NULL), QR_E_IO);
    assert_int_equal(f.kind, QR_DISK_REMOVE);
    fake_disk_free(disk);
}

/* ------------------------------------------------------------ giving up ---- */

static void must_not_fail(void *context)
{
    (void)context;
    fail();
}

/* The sync between the slices of a long one. */
static void test_the_sync_between(void **state)
{
    (void)state;
    faults all, f;
    uint64_t ops = count_ops(&plan_long, &all), at = 1;
    while (all.kinds[at] != QR_DISK_SYNC)
        at++;
    assert_true(at + 4 < ops && all.kinds[at + 1] == QR_DISK_WRITE);
    for (int how = 0; how < 3; how++) {
        f = (faults){.at = how == 0 ? at : UINT64_MAX, .status = QR_E_IO};
        fake_disk *disk = start(&f);
        kit_made made;
        kit_begin(disk, &plan_long, &made);
        kit_feed(&made);
        while (f.ops < at)
            assert_true(fake_disk_step(disk));
        if (how == 1) {
            qr_checkpoint_abandon(made.writer, must_not_fail, &abandoned);
        } else if (how == 2) {
            fake_disk_crash(disk, CRASH_KEEP_ALL, NULL);
            qr_checkpoint_writer_drop(made.writer);
        }
        fake_disk_pump(disk);
        assert_int_equal(made.done, how == 0);
        assert_true(how > 0 || (made.status == QR_E_IO && f.ops == at + 1));
        assert_int_equal(fake_disk_file(disk, "checkpoint-0000000000000009.part") == NULL, how == 1);
        fake_disk_free(disk);
    }
}

static void test_abandon_at_every_operation(void **state)
{
    (void)state;
    faults f;
    uint64_t ops = count_ops(&plan, &f);
    for (uint64_t at = 0; at <= ops; at++) {
        f = (faults){.at = UINT64_MAX};
        fake_disk *disk = start(&f);
        kit_made made;
        kit_begin(disk, &plan, &made);
        for (uint64_t i = 0; i < at; i++) {
            kit_feed(&made);
            fake_disk_step(disk);
        }
        qr_checkpoint_writer *writer = made.writer;
        assert_int_equal(writer == NULL, at == ops);
        qr_checkpoint_abandon(writer, must_not_fail, &abandoned);
        made.writer = NULL;
        /* Another one of the same index begins at once, in the way of the one that goes. */
        assert_int_equal(kit_make(disk, &small, NULL), QR_OK);
        assert_int_equal(made.done, at == ops);
        demand(disk, &small);
        fake_disk_free(disk);
    }
}

static void test_abandon_removes_the_part(void **state)
{
    (void)state;
    faults f;
    uint64_t ops = count_ops(&plan, &f);
    for (uint64_t at = 0; at + 3 < ops; at++) {
        f = (faults){.at = UINT64_MAX};
        fake_disk *disk = start(&f);
        uint64_t digest = fake_disk_digest(disk);
        kit_made made;
        kit_begin(disk, &plan, &made);
        for (uint64_t i = 0; i < at; i++) {
            kit_feed(&made);
            fake_disk_step(disk);
        }
        qr_checkpoint_abandon(made.writer, must_not_fail, &abandoned);
        fake_disk_pump(disk);
        assert_int_equal(made.done, 0);
        assert_true(fake_disk_digest(disk) == digest);
        fake_disk_free(disk);
    }
}

static void on_failed(void *context)
{
    kit_made *made = context;
    made->status = QR_E_IO;
}

/* Nobody waits for the file any more, but the member has to hear that its disk fails. */
static void test_abandoned_and_then_the_disk_fails(void **state)
{
    (void)state;
    faults all, f;
    uint64_t ops = count_ops(&plan, &all);
    for (uint64_t at = 0; at + 1 < ops; at++) {
        for (uint64_t later = 0; later < 2; later++) { /* the operation under way, or the removal */
            f = (faults){.at = at + later, .status = QR_E_IO};
            fake_disk *disk = start(&f);
            kit_made made;
            kit_begin(disk, &plan, &made);
            kit_feed(&made);
            while (f.ops < at) {
                fake_disk_step(disk);
                kit_feed(&made);
            }
            assert_int_equal(made.done, 0);
            qr_checkpoint_abandon(made.writer, on_failed, &abandoned);
            made.status = QR_OK;
            fake_disk_pump(disk);
            assert_int_equal(made.done, 0);
            assert_int_equal(made.status, QR_E_IO);
            fake_disk_free(disk);
        }
    }
}

static void test_drop_at_every_operation(void **state)
{
    (void)state;
    faults f;
    uint64_t ops = count_ops(&plan, &f);
    for (uint64_t at = 0; at < ops; at++) {
        f = (faults){.at = UINT64_MAX};
        fake_disk *disk = start(&f);
        kit_made made;
        kit_begin(disk, &plan, &made);
        for (uint64_t i = 0; i < at; i++) {
            kit_feed(&made);
            fake_disk_step(disk);
        }
        fake_disk_crash(disk, CRASH_KEEP_ALL, NULL);
        qr_checkpoint_writer_drop(made.writer);
        assert_int_equal(made.done, 0);
        assert_false(fake_disk_step(disk));
        assert_int_equal(kit_make(disk, &small, NULL), QR_OK); /* whatever was left in the way */
        demand(disk, &small);
        fake_disk_free(disk);
    }
}

typedef struct quitter {
    qr_checkpoint_writer *writer;
    int ready, done;
} quitter;

static void on_done(void *context, qr_status status, uint64_t bytes)
{
    quitter *q = context;
    (void)status, (void)bytes;
    q->done++;
    qr_checkpoint_abandon(q->writer, must_not_fail, &abandoned); /* too late, and harmless */
}

static void on_ready(void *context)
{
    quitter *q = context;
    q->ready++;
    qr_checkpoint_abandon(q->writer, must_not_fail, &abandoned);
}

static void test_abandon_inside_the_callbacks(void **state)
{
    (void)state;
    faults f = {.at = UINT64_MAX};
    fake_disk *disk = start(&f);
    uint64_t digest = fake_disk_digest(disk);
    qr_checkpoint_about about = kit_about(9, 9);
    for (int large = 0; large < 2; large++) {
        quitter q = {0};
        size_t size = large ? 1024 * 1024 : 10;
        uint8_t *bytes = qr_alloc_zero(1, size);
        q.writer = qr_checkpoint_begin(&disk->disk, &about, on_done, on_ready, &q);
        qr_checkpoint_add(q.writer, QR_CHECKPOINT_BRIEF, qr_slice_of(bytes, 1));
        qr_checkpoint_add(q.writer, QR_CHECKPOINT_ORIGINS, qr_slice_of(bytes, size));
        if (!large)
            qr_checkpoint_finish(q.writer);
        fake_disk_pump(disk);
        assert_true(q.ready == large && q.done == !large);
        assert_int_equal(fake_disk_digest(disk) == digest, large);
        qr_free(bytes);
        if (!large) {
            qr_checkpoint_remove(&disk->disk, "checkpoint-0000000000000009", NULL, NULL);
            fake_disk_pump(disk);
        }
    }
    qr_checkpoint_abandon(NULL, must_not_fail, &abandoned);
    qr_checkpoint_writer_drop(NULL);
    fake_disk_free(disk);
}

/* ------------------------------------------------------------- readers ---- */

static void on_read(void *context, qr_status status, const char *sentence)
{
    (void)sentence;
    kit_seen *seen = context;
    seen->done++;
    seen->status = status;
    if (seen->close != NULL)
        qr_checkpoint_close(seen->close); /* too late, and harmless */
}

static void test_close_at_every_operation(void **state)
{
    (void)state;
    faults f = {.at = UINT64_MAX};
    fake_disk *disk = start(&f);
    assert_int_equal(kit_make(disk, &small, NULL), QR_OK);
    char name[QR_DISK_NAME_MAX];
    kit_name(9, name);
    f = (faults){.at = UINT64_MAX};
    kit_seen seen = {.plan = &small};
    assert_int_equal(kit_read(disk, name, &seen), QR_OK);
    uint64_t ops = f.ops;
    for (int drop = 0; drop < 2; drop++)
        for (uint64_t at = 0; at < ops; at++) {
            seen = (kit_seen){.plan = &small};
            qr_checkpoint_visit visit = kit_visit(&seen);
            qr_checkpoint_reader *reader =
                qr_checkpoint_open(&disk->disk, name, 11, 22, &visit, on_read, &seen);
            for (uint64_t i = 0; i < at; i++)
                fake_disk_step(disk);
            size_t chunks = seen.chunks;
            if (drop) {
                fake_disk_crash(disk, CRASH_KEEP_ALL, NULL);
                qr_checkpoint_reader_drop(reader);
            } else {
                qr_checkpoint_close(reader);
            }
            fake_disk_pump(disk);
            assert_true(seen.done == 0 && seen.chunks == chunks && seen.abouts == (at > 0));
        }
    qr_checkpoint_close(NULL);
    qr_checkpoint_reader_drop(NULL);
    fake_disk_free(disk);
}

static void test_close_inside_the_visitor(void **state)
{
    (void)state;
    faults f = {.at = UINT64_MAX};
    fake_disk *disk = start(&f);
    assert_int_equal(kit_make(disk, &small, NULL), QR_OK);
    char name[QR_DISK_NAME_MAX];
    kit_name(9, name);
    for (size_t at = 1; at <= small.count + 1; at++)
        for (int refuse = 0; refuse < 2; refuse++) {
            kit_seen seen = {.plan = &small, .close_at = at, .refuse_at = refuse ? at : 0};
            qr_checkpoint_visit visit = kit_visit(&seen);
            seen.close = qr_checkpoint_open(&disk->disk, name, 11, 22, &visit, on_read, &seen);
            fake_disk_pump(disk);
            assert_int_equal(seen.done, at > small.count);
            assert_int_equal(seen.chunks, at > small.count ? small.count : at);
        }
    fake_disk_free(disk);
}

static void test_reading_fails(void **state)
{
    (void)state;
    faults f = {.at = UINT64_MAX};
    fake_disk *disk = start(&f);
    assert_int_equal(kit_make(disk, &small, NULL), QR_OK);
    char name[QR_DISK_NAME_MAX];
    kit_name(9, name);
    f = (faults){.at = UINT64_MAX};
    kit_seen seen = {.plan = &small};
    assert_int_equal(kit_read(disk, name, &seen), QR_OK);
    uint64_t ops = f.ops;
    for (uint64_t at = 0; at < ops; at++) {
        seen = (kit_seen){.plan = &small};
        f = (faults){.at = at, .status = QR_E_IO};
        assert_int_equal(kit_read(disk, name, &seen), QR_E_IO);
        assert_false(seen.last);
        f = (faults){.at = at, .status = QR_E_IO};
        seen = (kit_seen){.plan = &small};
        qr_checkpoint_visit visit = kit_visit(&seen);
        qr_checkpoint_open(&disk->disk, name, 11, 22, &visit, on_read, &seen);
        fake_disk_pump(disk);
        assert_true(seen.done == 1 && seen.status == QR_E_IO && !seen.last);
    }
    f = (faults){.at = 1, .status = QR_E_NOT_FOUND}; /* gone between two blocks: not to be had any more */
    seen = (kit_seen){.plan = &small};
    assert_int_equal(kit_read(disk, name, &seen), QR_E_IO);
    fake_disk_free(disk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_full_at_every_operation),
        cmocka_unit_test(test_really_full),
        cmocka_unit_test(test_full_while_chunks_come),
        cmocka_unit_test(test_failing_at_every_operation),
        cmocka_unit_test(test_the_sync_between),
        cmocka_unit_test(test_abandon_at_every_operation),
        cmocka_unit_test(test_abandon_removes_the_part),
        cmocka_unit_test(test_abandoned_and_then_the_disk_fails),
        cmocka_unit_test(test_drop_at_every_operation),
        cmocka_unit_test(test_abandon_inside_the_callbacks),
        cmocka_unit_test(test_close_at_every_operation),
        cmocka_unit_test(test_close_inside_the_visitor),
        cmocka_unit_test(test_reading_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

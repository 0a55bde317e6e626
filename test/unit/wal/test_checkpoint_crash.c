/* Making and receiving a checkpoint, with a crash at every operation and in every way. Demanded each time: a
 * file that has a checkpoint's name is whole; the old one is there; the new one is, once that was said; and
 * the next attempt succeeds. */
#include "checkpoint_kit.h"

#include <stdio.h>
#include <string.h>

static const size_t sizes_old[] = {20, 30, 5000};
static const size_t sizes_new[] = {500, 80, 300000, 0, 90000, 1};
static const size_t sizes_long[] = {500, 80, 4500000};
static const kit_plan plan_old = {.index = 3, .seed = 1, .count = 3, .sizes = sizes_old};

typedef struct campaign {
    fake_disk *live;
    const kit_plan *plan;  /* being made */
    const kit_plan *other; /* what may stand under the same name instead; NULL = nothing */
    bool is_durable;       /* done() has said so */
    bool is_long;          /* only some of the many writes are crash points */
    uint64_t points, states, with_new;
    qr_prng prng;
} campaign;

/* Whether the file is just what the plan says. */
static bool is_plan(fake_disk *disk, const char *name, const kit_plan *plan)
{
    kit_seen found = {0}, wanted = {.plan = plan};
    assert_int_equal(kit_read(disk, name, &found), QR_OK);
    if (found.about.digest != kit_about(plan->index, plan->seed).digest)
        return false;
    assert_int_equal(kit_read(disk, name, &wanted), QR_OK);
    return true;
}

static void look(campaign *c, fake_disk *disk)
{
    qr_checkpoint_row rows[8];
    size_t count;
    bool has_new = false, has_old = false;
    assert_int_equal(qr_checkpoint_list(&disk->disk, rows, 8, &count), QR_OK);
    for (size_t i = 0; i < count; i++) {
        if (rows[i].index == plan_old.index) {
            has_old = is_plan(disk, rows[i].name, &plan_old);
            continue;
        }
        assert_int_equal(rows[i].index, c->plan->index);
        has_new = is_plan(disk, rows[i].name, c->plan);
        assert_true(has_new || (c->other != NULL && is_plan(disk, rows[i].name, c->other)));
    }
    assert_true(has_old && (has_new || !c->is_durable));
    assert_true(count == 2 || (count == 1 && c->other == NULL));
    c->with_new += has_new;
}

static void recover(campaign *c, fake_disk *disk)
{
    look(c, disk);
    assert_int_equal(qr_checkpoint_sweep(&disk->disk), QR_OK);
    for (int i = 0; i < disk->now_count; i++)
        assert_null(strstr(disk->now[i].name, ".part"));
    look(c, disk);
    static const size_t sizes[] = {1, 2, 100};
    kit_plan again = {.index = c->plan->index, .seed = 99, .count = 3, .sizes = sizes};
    char name[QR_DISK_NAME_MAX];
    kit_name(again.index, name);
    assert_int_equal(kit_make(disk, &again, NULL), QR_OK);
    assert_true(is_plan(disk, name, &again));
}

static void crash_all_ways(campaign *c, const qr_disk_op *op)
{
    for (int how = c->is_long ? CRASH_LOSE_ALL : 0; how < CRASH_RANDOM + 3; how += c->is_long ? 3 : 1) {
        fake_disk *disk = fake_disk_clone(c->live);
        if (op != NULL)
            fake_disk_begin(disk, op);
        fake_disk_crash(disk, (fake_crash)(how < CRASH_RANDOM ? how : CRASH_RANDOM), &c->prng);
        recover(c, disk);
        fake_disk_free(disk);
        c->states++;
    }
}

static qr_status before(void *context, const qr_disk_op *op)
{
    campaign *c = context;
    bool is_one_of_many = op->kind == QR_DISK_WRITE && op->offset > 0 && op->offset < 4000000;
    if (c->is_long && is_one_of_many)
        return QR_OK;
    c->points++;
    crash_all_ways(c, op);
    return QR_OK;
}

static void make_with_crashes(const kit_plan *plan, const kit_plan *other)
{
    campaign c = {
        .live = fake_disk_new(), .plan = plan, .other = other, .is_long = plan->sizes == sizes_long};
    qr_prng_seed(&c.prng, plan->count);
    assert_int_equal(kit_make(c.live, &plan_old, NULL), QR_OK);
    if (other != NULL)
        assert_int_equal(kit_make(c.live, other, NULL), QR_OK);
    c.live->before = before;
    c.live->context = &c;
    assert_int_equal(kit_make(c.live, plan, NULL), QR_OK);
    c.is_durable = true;
    uint64_t found = c.with_new;
    crash_all_ways(&c, NULL);
    assert_true(found > 0 && c.with_new > found && c.with_new < 2 * c.states);
    print_message("%d crash points, %d states\n", (int)c.points, (int)c.states);
    fake_disk_free(c.live);
}

static void test_crash_while_making(void **state)
{
    (void)state;
    make_with_crashes(&(kit_plan){.index = 9, .seed = 2, .count = 6, .sizes = sizes_new}, NULL);
    make_with_crashes(&(kit_plan){.index = 9, .seed = 2, .count = 2, .sizes = sizes_new}, NULL);
}

static void test_crash_while_making_a_long_one(void **state)
{
    (void)state;
    make_with_crashes(&(kit_plan){.index = 9, .seed = 2, .count = 3, .sizes = sizes_long}, NULL);
}

static void test_crash_while_replacing(void **state)
{
    (void)state;
    const kit_plan other = {.index = 9, .seed = 3, .count = 3, .sizes = sizes_old};
    make_with_crashes(&(kit_plan){.index = 9, .seed = 2, .count = 6, .sizes = sizes_new}, &other);
}

/* The process dies between the rename and the sync of the folder, the machine does not; the next process sees
 * the new name, relies on it, and then the power fails. */
static void test_a_name_that_was_seen_stays(void **state)
{
    (void)state;
    const kit_plan plan = {.index = 9, .seed = 2, .count = 3, .sizes = sizes_new};
    fake_disk *disk = fake_disk_new();
    kit_made made;
    kit_begin(disk, &plan, &made);
    kit_feed(&made);
    while (fake_disk_file(disk, "checkpoint-0000000000000009") == NULL)
        assert_true(fake_disk_step(disk));
    memset(disk->queued, 0, sizeof disk->queued);
    qr_checkpoint_writer_drop(made.writer);
    assert_int_equal(qr_checkpoint_sweep(&disk->disk), QR_OK);
    fake_disk_crash(disk, CRASH_LOSE_ALL, NULL);
    assert_true(is_plan(disk, "checkpoint-0000000000000009", &plan));
    fake_disk_free(disk);
}

/* ------------------------------------------------------------ receiving ---- */

enum { PIECE = 100 * 1000 };

typedef struct transfer {
    campaign c;
    qr_buffer source; /* the bytes of the sender's file */
    uint64_t said;    /* durable, by done() */
    bool is_kept;
    int done;
} transfer;

static void on_received(void *context, qr_status status, uint64_t durable)
{
    transfer *t = context;
    assert_int_equal(status, QR_OK);
    assert_true(durable > t->said || durable == t->source.size);
    t->said = durable;
    t->done++;
}

/* What was said to be durable is there, under either name. */
static void look_received(transfer *t, fake_disk *disk)
{
    const qr_buffer *part = fake_disk_file(disk, "received-0000000000000009.part");
    const qr_buffer *whole = fake_disk_file(disk, "checkpoint-0000000000000009");
    const qr_buffer *file = whole != NULL ? whole : part;
    assert_true(file != NULL || t->said == 0);
    if (file != NULL) {
        assert_true(file->size >= t->said);
        assert_true(t->said == 0 || memcmp(file->data, t->source.data, t->said) == 0);
    }
    assert_true(whole != NULL || !t->is_kept);
    assert_true(whole == NULL || whole->size == t->source.size);
}

static qr_status before_receiving(void *context, const qr_disk_op *op)
{
    transfer *t = context;
    t->c.points++;
    for (int how = 0; how < CRASH_RANDOM + 3; how++) {
        fake_disk *disk = fake_disk_clone(t->c.live);
        fake_disk_begin(disk, op);
        fake_disk_crash(disk, (fake_crash)(how < CRASH_RANDOM ? how : CRASH_RANDOM), &t->c.prng);
        look_received(t, disk);
        t->c.is_durable = t->is_kept;
        recover(&t->c, disk);
        fake_disk_free(disk);
        t->c.states++;
    }
    return QR_OK;
}

static void test_crash_while_receiving(void **state)
{
    (void)state;
    const kit_plan plan = {.index = 9, .seed = 2, .count = 6, .sizes = sizes_new};
    fake_disk *sender = fake_disk_new();
    assert_int_equal(kit_make(sender, &plan, NULL), QR_OK);
    transfer t = {.c = {.live = fake_disk_new(), .plan = &plan}};
    qr_prng_seed(&t.c.prng, 5);
    qr_buffer_add_slice(&t.source, qr_buffer_slice(fake_disk_file(sender, "checkpoint-0000000000000009")));
    assert_int_equal(kit_make(t.c.live, &plan_old, NULL), QR_OK);
    t.c.live->before = before_receiving;
    t.c.live->context = &t;
    qr_checkpoint_receiver *receiver =
        qr_checkpoint_receive(&t.c.live->disk, 9, t.source.size, on_received, &t);
    while (t.said < t.source.size) {
        size_t left = (size_t)(t.source.size - t.said);
        qr_checkpoint_receiver_add(receiver,
                                   qr_slice_of(t.source.data + t.said, left < PIECE ? left : PIECE));
        fake_disk_pump(t.c.live);
    }
    qr_checkpoint_receiver_keep(receiver);
    fake_disk_pump(t.c.live);
    assert_int_equal(t.done, (t.source.size + PIECE - 1) / PIECE + 1);
    t.is_kept = t.c.is_durable = true;
    fake_disk_crash(t.c.live, CRASH_LOSE_ALL, NULL);
    look_received(&t, t.c.live);
    qr_checkpoint_receiver_free(receiver);
    t.c.live->before = NULL;
    recover(&t.c, t.c.live);
    qr_buffer_free(&t.source);
    fake_disk_free(t.c.live);
    fake_disk_free(sender);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_crash_while_making),    cmocka_unit_test(test_crash_while_making_a_long_one),
        cmocka_unit_test(test_crash_while_replacing), cmocka_unit_test(test_a_name_that_was_seen_stays),
        cmocka_unit_test(test_crash_while_receiving),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Writing and reading back: every shape of chunks, the order, the list, giving up. */
#include "checkpoint_kit.h"

#include <string.h>

enum { ROOM = QR_CHECKPOINT_BLOCK - CHECKPOINT_BLOCK_HEAD };

static void round_trip(const size_t *sizes, size_t count)
{
    fake_disk *disk = fake_disk_new();
    kit_plan plan = {.index = 77, .seed = count, .count = count, .sizes = sizes};
    uint64_t bytes, sum = 0;
    assert_int_equal(kit_make(disk, &plan, &bytes), QR_OK);
    for (size_t i = 0; i < count; i++)
        sum += sizes[i] + CHECKPOINT_CHUNK_HEAD;
    uint64_t whole = sum / ROOM, rest = sum % ROOM;
    uint64_t wanted = CHECKPOINT_HEADER + whole * QR_CHECKPOINT_BLOCK +
                      (rest ? qr_wal_block_total((size_t)rest) : 0) + CHECKPOINT_ALIGN;
    assert_int_equal(bytes, wanted);
    char name[QR_DISK_NAME_MAX];
    kit_name(77, name);
    assert_string_equal(name, "checkpoint-000000000000004d");
    assert_int_equal(fake_disk_file(disk, name)->size, bytes);
    assert_null(fake_disk_file(disk, "checkpoint-000000000000004d.part"));
    kit_seen seen = {.plan = &plan};
    assert_int_equal(kit_read_both(disk, name, &seen), QR_OK);
    assert_int_equal(seen.chunks, count);
    assert_int_equal(seen.abouts, 1);
    /* All of it is durable. */
    fake_disk_crash(disk, CRASH_LOSE_ALL, NULL);
    seen = (kit_seen){.plan = &plan};
    assert_int_equal(kit_read(disk, name, &seen), QR_OK);
    fake_disk_free(disk);
}

static void test_round_trip(void **state)
{
    (void)state;
    const size_t head = CHECKPOINT_CHUNK_HEAD;
    const size_t edges[] = {0, 1, 2, 7, 8, 9, 4096, ROOM - 1, ROOM, ROOM + 1, 3 * ROOM};
    const size_t backs[] = {0, 1, head - 1, head, head + 1, 2 * head, 2 * head + 3, 3 * head, 4 * head};
    round_trip((size_t[]){0, 0}, 2);
    round_trip((size_t[]){0, 0, 0, 0, 0}, 5);
    round_trip((size_t[]){1, 1, 1}, 3);
    round_trip((size_t[]){300, 40, 2 * 1024 * 1024, 0, 3 * 1024 * 1024 + 5, 1}, 6);
    round_trip((size_t[]){10, 10, QR_CHECKPOINT_CHUNK_MAX}, 3);
    for (size_t i = 0; i < sizeof edges / sizeof edges[0]; i++)
        for (size_t k = 0; k < sizeof backs / sizeof backs[0]; k++)
            if (edges[i] >= backs[k])
                round_trip((size_t[]){edges[i] - backs[k], 3, edges[i], 5}, k % 2 ? 4 : 2);
}

/* Exactly full blocks: no empty or short block stands before the footer. */
static void test_full_blocks(void **state)
{
    (void)state;
    const size_t head = CHECKPOINT_CHUNK_HEAD;
    for (size_t blocks = 1; blocks <= 9; blocks++)
        round_trip((size_t[]){5, 0, blocks * ROOM - 3 * head - 5}, 3);
}

static void test_many_small_chunks(void **state)
{
    (void)state;
    static size_t sizes[KIT_CHUNKS_MAX];
    for (size_t i = 0; i < KIT_CHUNKS_MAX; i++)
        sizes[i] = i * 37 % 700;
    round_trip(sizes, KIT_CHUNKS_MAX);
}

/* Order, as an observer of the disk sees it. */
typedef struct watch {
    uint64_t unsynced, writes, largest, most;
    bool renamed, folder_synced;
} watch;

static qr_status on_op(void *context, const qr_disk_op *op)
{
    watch *w = context;
    assert_int_equal(op->lane, QR_LANE_BACKGROUND);
    switch (op->kind) {
    case QR_DISK_WRITE:
        assert_false(w->renamed);
        w->writes++;
        w->unsynced += op->bytes.size;
        if (w->largest < op->bytes.size)
            w->largest = op->bytes.size;
        if (w->most < w->unsynced)
            w->most = w->unsynced;
        break;
    case QR_DISK_SYNC: w->unsynced = 0; break;
    case QR_DISK_RENAME:
        assert_int_equal(w->unsynced, 0);
        w->renamed = true;
        break;
    case QR_DISK_SYNC_FOLDER: w->folder_synced = w->renamed; break;
    case QR_DISK_CREATE: break;
    default: fail();
    }
    return QR_OK;
}

static void test_small_writes_and_syncs_between(void **state)
{
    (void)state;
    fake_disk *disk = fake_disk_new();
    watch w = {0};
    disk->before = on_op;
    disk->context = &w;
    size_t sizes[] = {10, 10, 9 * 1024 * 1024, 10};
    kit_plan plan = {.index = 1, .count = 4, .sizes = sizes};
    assert_int_equal(kit_make(disk, &plan, NULL), QR_OK);
    assert_true(w.folder_synced && w.writes > 36);
    assert_true(w.largest <= CHECKPOINT_SLICE && w.most <= QR_CHECKPOINT_SYNC_BYTES);
    fake_disk_free(disk);
}

/* Memory stays small however slow the disk is: nothing is wanted while enough waits, and ready() says when.
 */
static void test_wants(void **state)
{
    (void)state;
    fake_disk *disk = fake_disk_new();
    static size_t sizes[64];
    for (size_t i = 0; i < 64; i++)
        sizes[i] = 100 * 1024;
    kit_plan plan = {.index = 1, .count = 64, .sizes = sizes};
    kit_made made;
    kit_begin(disk, &plan, &made);
    assert_true(qr_checkpoint_wants(made.writer) >= CHECKPOINT_SLICE);
    kit_feed(&made);
    assert_true(made.next < 10 && made.ready == 0);
    assert_int_equal(qr_checkpoint_wants(made.writer), 0);
    while (fake_disk_step(disk) && made.next < 64)
        assert_true(qr_checkpoint_wants(made.writer) == 0); /* kit_feed() fills it up at once */
    assert_true(made.ready > 10);
    fake_disk_pump(disk);
    assert_int_equal(made.done, 1);
    assert_int_equal(made.status, QR_OK);
    fake_disk_free(disk);
}

/* ---------------------------------------------------------- the visitor ---- */

static void test_the_visitor_refuses(void **state)
{
    (void)state;
    fake_disk *disk = fake_disk_new();
    size_t sizes[] = {10, 10, 70000, 200};
    kit_plan plan = {.index = 5, .count = 4, .sizes = sizes};
    char name[QR_DISK_NAME_MAX];
    kit_name(5, name);
    assert_int_equal(kit_make(disk, &plan, NULL), QR_OK);
    for (size_t at = 1; at <= 4; at++) {
        kit_seen seen = {.plan = &plan, .refuse_at = at};
        assert_int_equal(kit_read(disk, name, &seen), QR_E_HALTED);
        assert_int_equal(seen.chunks, at);
        assert_non_null(strstr(seen.sentence, "refused"));
    }
    fake_disk_free(disk);
}

static void test_foreign_and_missing(void **state)
{
    (void)state;
    fake_disk *disk = fake_disk_new();
    size_t sizes[] = {10, 10};
    kit_plan plan = {.index = 5, .count = 2, .sizes = sizes};
    assert_int_equal(kit_make(disk, &plan, NULL), QR_OK);
    char name[QR_DISK_NAME_MAX];
    kit_name(5, name);
    qr_arena arena;
    qr_arena_init(&arena);
    const uint64_t asked[][3] = {{11, 22, QR_OK}, {0, 0, QR_OK},          {11, 0, QR_OK},
                                 {0, 22, QR_OK},  {12, 22, QR_E_FOREIGN}, {11, 23, QR_E_FOREIGN}};
    for (size_t i = 0; i < 6; i++) {
        kit_seen seen = {.plan = &plan};
        qr_checkpoint_visit visit = kit_visit(&seen);
        const char *sentence;
        qr_status status =
            qr_checkpoint_read(&disk->disk, name, asked[i][0], asked[i][1], &visit, &arena, &sentence);
        assert_int_equal(status, asked[i][2]);
        assert_int_equal(seen.abouts, status == QR_OK);
    }
    qr_arena_free(&arena);
    kit_name(6, name);
    kit_seen seen = {0};
    assert_int_equal(kit_read_both(disk, name, &seen), QR_E_NOT_FOUND);
    fake_disk_free(disk);
}

/* ------------------------------------------------------------- the list ---- */

static void put_file(fake_disk *disk, const char *name)
{
    qr_disk_op op = {.kind = QR_DISK_CREATE};
    memcpy(op.name, name, strlen(name) + 1);
    disk->disk.run(disk, &op);
    assert_int_equal(op.status, QR_OK);
}

static void test_list_and_sweep(void **state)
{
    (void)state;
    fake_disk *disk = fake_disk_new();
    const char *names[] = {"0000000000000000.wal",
                           "checkpoint-",
                           "checkpoint-000000000000000",
                           "checkpoint-0000000000000001",
                           "checkpoint-0000000000000001.part",
                           "checkpoint-000000000000000a",
                           "checkpoint-000000000000000b.parts",
                           "checkpoint-000000000000001g",
                           "checkpoint-00000000000000021",
                           "checkpoint-fedcba9876543210",
                           "received-000000000000000c",
                           "received-000000000000000c.part"};
    const size_t given = sizeof names / sizeof names[0];
    for (size_t i = 0; i < given; i++)
        put_file(disk, names[i]);
    qr_checkpoint_row rows[8];
    size_t count;
    assert_int_equal(qr_checkpoint_list(&disk->disk, rows, 8, &count), QR_OK);
    assert_int_equal(count, 3);
    assert_true(rows[0].index == 0xfedcba9876543210 && rows[1].index == 10 && rows[2].index == 1);
    assert_string_equal(rows[1].name, "checkpoint-000000000000000a");
    assert_int_equal(qr_checkpoint_list(&disk->disk, rows, 2, &count), QR_OK);
    assert_int_equal(count, 2);
    assert_true(rows[0].index == 0xfedcba9876543210 && rows[1].index == 10);
    assert_int_equal(qr_checkpoint_list(&disk->disk, rows, 0, &count), QR_OK);
    assert_int_equal(count, 0);
    assert_int_equal(qr_checkpoint_sweep(&disk->disk), QR_OK);
    fake_disk_crash(disk, CRASH_LOSE_ALL, NULL);
    for (size_t i = 0; i < given; i++)
        assert_int_equal(fake_disk_file(disk, names[i]) == NULL, i == 4 || i == 11);
    fake_disk_free(disk);
}

static void on_removed(void *context, qr_status status)
{
    int *count = context;
    assert_int_equal(status, QR_OK);
    ++*count;
}

static void test_remove(void **state)
{
    (void)state;
    fake_disk *disk = fake_disk_new();
    put_file(disk, "checkpoint-0000000000000001");
    put_file(disk, "checkpoint-0000000000000002");
    int count = 0;
    qr_checkpoint_remove(&disk->disk, "checkpoint-0000000000000001", on_removed, &count);
    qr_checkpoint_remove(&disk->disk, "checkpoint-0000000000000002", NULL, NULL);
    qr_checkpoint_remove(&disk->disk, "checkpoint-0000000000000003", on_removed, &count);
    assert_int_equal(count, 0);
    fake_disk_pump(disk);
    assert_int_equal(count, 2);
    fake_disk_crash(disk, CRASH_LOSE_ALL, NULL);
    assert_int_equal(disk->now_count, 0);
    qr_checkpoint_remover_drop(qr_checkpoint_remove(&disk->disk, "checkpoint-01", on_removed, &count));
    fake_disk_crash(disk, CRASH_LOSE_ALL, NULL);
    fake_disk_free(disk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_full_blocks),
        cmocka_unit_test(test_many_small_chunks),
        cmocka_unit_test(test_small_writes_and_syncs_between),
        cmocka_unit_test(test_wants),
        cmocka_unit_test(test_the_visitor_refuses),
        cmocka_unit_test(test_foreign_and_missing),
        cmocka_unit_test(test_list_and_sweep),
        cmocka_unit_test(test_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

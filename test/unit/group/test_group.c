/* Transactions over two groups, step by step: two trees without any replication, and tasks that are driven by
 * hand, so that a coordinator can die at each of its calls, before it happens or after. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "group/group.h"
#include "tree/tree.h"

enum { GROUPS = 2, PUSH_MS = 50, LIMIT_MS = 1000, FORGET_MS = 3000 };

static const qr_group_config config = {.retry_ms = 10, .push_ms = PUSH_MS, .forget_ms = FORGET_MS};

typedef struct world {
    qr_machine *trees[GROUPS];
    uint64_t index, now_ms;
    qr_arena arena; /* of the last result */
} world;

static void world_open(world *w)
{
    *w = (world){.now_ms = 1};
    qr_arena_init(&w->arena);
    for (int g = 0; g < GROUPS; g++)
        w->trees[g] = qr_tree_open(&(qr_tree_config){0});
}

static void world_close(world *w)
{
    for (int g = 0; g < GROUPS; g++)
        w->trees[g]->ops->free(w->trees[g]);
    qr_arena_free(&w->arena);
}

static const qr_txn_result *apply(world *w, const qr_group_call *call)
{
    const void *result = NULL;
    qr_machine *tree = w->trees[call->group];
    qr_arena_reset(&w->arena);
    if (!call->writes) {
        qr_query query = {.kind = QR_QUERY_TXN, .txn = *call->txn};
        assert_int_equal(tree->ops->query(tree, &query, &w->arena, &result), QR_OK);
        return result;
    }
    qr_buffer body;
    qr_buffer_init(&body);
    qr_body_encode_txn(call->txn, &body);
    qr_command command = {.apply_version = QR_APPLY_VERSION, .stamp_ms = 1, .body = qr_buffer_slice(&body)};
    assert_int_equal(tree->ops->apply(tree, ++w->index, &command, &w->arena, &result), QR_OK);
    qr_buffer_free(&body);
    return result;
}

/* One call of the task, or time goes on until there is one; false: it has finished, or holds. */
static bool step(world *w, qr_group_task *task)
{
    qr_group_call call;
    while (!qr_group_next(task, w->now_ms, &call)) {
        if (qr_group_wake_ms(task) == UINT64_MAX)
            return false;
        w->now_ms = qr_group_wake_ms(task);
    }
    const qr_txn_result *result = apply(w, &call);
    qr_group_answer(task, QR_OK, result, w->now_ms);
    return true;
}

static const qr_group_key keys[] = {{1, {(const uint8_t *)"b", 1}}, {0, {(const uint8_t *)"a", 1}}};

static qr_group_task *update(world *w, const char *id)
{
    return qr_group_update(&config, qr_slice_text(id), keys, 2, w->now_ms, LIMIT_MS);
}

static void commit(qr_group_task *task, const char *text)
{
    qr_slice values[] = {qr_slice_text(text), qr_slice_text(text)};
    assert_int_equal(qr_group_state_of(task), QR_GROUP_HOLDING);
    assert_true(qr_group_commit(task, values));
}

static void expect_both(world *w, const char *text)
{
    uint64_t revision;
    qr_group_task *task = qr_group_read(&config, keys, 2, w->now_ms, LIMIT_MS);
    while (step(w, task)) {
    }
    assert_int_equal(qr_group_state_of(task), QR_GROUP_COMMITTED);
    for (size_t i = 0; i < 2; i++)
        assert_true(qr_slice_equal(qr_group_value(task, i, &revision), qr_slice_text(text)));
    qr_group_free(task);
}

/* How many keys of the layer's own stand in a group. */
static size_t left_in(world *w, uint32_t group)
{
    qr_op op = {.kind = QR_OP_RANGE,
                .range.span = {.kind = QR_SPAN_FROM, .space = QR_SPACE_KEYS, .key = qr_slice_text("~")}};
    qr_txn txn = {.then_ops = &op, .then_count = 1};
    return apply(w, &(qr_group_call){.group = group, .txn = &txn})->ops[0].kv_count;
}

static void expect_nothing_left(world *w)
{
    assert_int_equal(left_in(w, 0), 0);
    assert_int_equal(left_in(w, 1), 0);
}

static void run_whole(world *w, const char *id, const char *text)
{
    qr_group_task *task = update(w, id);
    while (step(w, task)) {
    }
    commit(task, text);
    while (step(w, task)) {
    }
    assert_int_equal(qr_group_state_of(task), QR_GROUP_COMMITTED);
    assert_true(qr_group_is_finished(task));
    qr_group_free(task);
}

static void test_commits(void **state)
{
    world w;
    world_open(&w);
    run_whole(&w, "one", "1");
    expect_both(&w, "1");
    expect_nothing_left(&w);
    world_close(&w);
}

static void test_aborts(void **state)
{
    world w;
    world_open(&w);
    run_whole(&w, "one", "1");
    qr_group_task *task = update(&w, "two");
    while (step(&w, task)) {
    }
    qr_group_abort(task);
    while (step(&w, task)) {
    }
    assert_int_equal(qr_group_state_of(task), QR_GROUP_ABORTED);
    expect_nothing_left(&w);
    expect_both(&w, "1");
    qr_group_free(task);
    world_close(&w);
}

static void sweep(world *w, uint64_t length_ms)
{
    qr_group_task *tasks[GROUPS];
    for (uint32_t g = 0; g < GROUPS; g++)
        tasks[g] = qr_group_sweep(&config, g);
    for (uint64_t end_ms = w->now_ms + length_ms; w->now_ms < end_ms;)
        for (uint32_t g = 0; g < GROUPS; g++)
            step(w, tasks[g]);
    for (uint32_t g = 0; g < GROUPS; g++)
        qr_group_free(tasks[g]);
}

/* The coordinator makes so many calls and is gone. Did it commit? */
static bool die_after(world *w, unsigned calls, bool *finished)
{
    qr_group_task *task = update(w, "two");
    bool decided = false;
    while (calls-- > 0 && !qr_group_is_finished(task)) {
        if (!step(w, task))
            commit(task, "2");
        decided = qr_group_state_of(task) == QR_GROUP_COMMITTED;
    }
    *finished = qr_group_is_finished(task);
    qr_group_free(task);
    return decided;
}

/* Wherever it dies, the next reader finds all of it or nothing, and the sweepers leave nothing behind. */
static void test_dies_anywhere(void **state)
{
    bool finished = false;
    unsigned calls = 0, committed = 0;
    for (; !finished; calls++)
        for (int reads_first = 0; reads_first < 2; reads_first++) {
            world w;
            world_open(&w);
            run_whole(&w, "one", "1");
            bool decided = die_after(&w, calls, &finished);
            committed += decided;
            if (!reads_first)
                sweep(&w, 2 * FORGET_MS);
            expect_both(&w, decided ? "2" : "1");
            if (reads_first)
                sweep(&w, 2 * FORGET_MS);
            expect_nothing_left(&w);
            expect_both(&w, decided ? "2" : "1");
            world_close(&w);
        }
    assert_int_equal(calls - 1, 7); /* two locks, the owner, the decision, two groups, the record */
    assert_int_equal(committed, 8);
}

/* Each call is taken for a failed one although it has happened, and is asked for again. */
static void test_every_answer_is_lost_once(void **state)
{
    world w;
    qr_group_call call;
    world_open(&w);
    qr_group_task *task = update(&w, "one");
    bool lose = true;
    while (!qr_group_is_finished(task)) {
        if (qr_group_state_of(task) == QR_GROUP_HOLDING)
            commit(task, "1");
        if (!qr_group_next(task, w.now_ms, &call)) {
            w.now_ms = qr_group_wake_ms(task);
            continue;
        }
        const qr_txn_result *result = apply(&w, &call);
        qr_group_answer(task, lose ? QR_E_TIMEOUT : QR_OK, lose ? NULL : result, w.now_ms);
        lose = !lose;
    }
    assert_int_equal(qr_group_state_of(task), QR_GROUP_COMMITTED);
    qr_group_free(task);
    expect_nothing_left(&w);
    expect_both(&w, "1");
    world_close(&w);
}

/* A decision that comes after somebody has pushed the transaction: it is aborted, and is told so. */
static void test_pushed_before_it_decides(void **state)
{
    world w;
    world_open(&w);
    qr_group_task *slow = update(&w, "slow");
    while (step(&w, slow)) {
    }
    uint64_t before_ms = w.now_ms;
    run_whole(&w, "fast", "f");
    assert_true(w.now_ms >= before_ms + PUSH_MS);
    commit(slow, "s");
    while (step(&w, slow)) {
    }
    assert_int_equal(qr_group_state_of(slow), QR_GROUP_ABORTED);
    qr_group_free(slow);
    expect_both(&w, "f");
    expect_nothing_left(&w);
    world_close(&w);
}

/* A command of a transaction long over comes at last: it must change nothing. */
static void test_late_calls_change_nothing(void **state)
{
    for (unsigned late = 0; late < 7; late++) {
        world w;
        qr_group_call call;
        world_open(&w);
        qr_group_task *old = update(&w, "old"), *helper;
        for (unsigned i = 0; i < late; i++)
            if (!step(&w, old))
                commit(old, "o");
        if (qr_group_state_of(old) == QR_GROUP_HOLDING)
            commit(old, "o");
        if (!qr_group_next(old, w.now_ms, &call))
            fail();
        sweep(&w, 2 * FORGET_MS);
        run_whole(&w, "new", "n");
        apply(&w, &call); /* now */
        expect_both(&w, "n");
        helper = update(&w, "helper");
        while (step(&w, helper)) {
        }
        commit(helper, "h");
        while (step(&w, helper)) {
        }
        qr_group_free(helper);
        qr_group_free(old);
        expect_both(&w, "h");
        sweep(&w, 2 * FORGET_MS);
        expect_nothing_left(&w);
        world_close(&w);
    }
}

static void test_gives_up(void **state)
{
    world w;
    world_open(&w);
    qr_group_task *holder = update(&w, "holder");
    while (step(&w, holder)) {
    }
    qr_group_config patient = config;
    patient.push_ms = 10 * LIMIT_MS;
    qr_group_task *waiter = qr_group_update(&patient, qr_slice_text("waiter"), keys, 2, w.now_ms, LIMIT_MS);
    while (step(&w, waiter)) {
    }
    assert_int_equal(qr_group_state_of(waiter), QR_GROUP_ABORTED);
    qr_group_free(waiter);
    commit(holder, "x");
    w.now_ms = 2; /* its own clock has not gone so far */
    while (step(&w, holder)) {
    }
    assert_int_equal(qr_group_state_of(holder), QR_GROUP_COMMITTED);
    qr_group_free(holder);
    world_close(&w);
}

static void test_too_large(void **state)
{
    world w;
    world_open(&w);
    run_whole(&w, "one", "1");
    qr_group_task *task = update(&w, "large");
    while (step(&w, task)) {
    }
    size_t size = QR_GROUP_RECORD_MAX;
    uint8_t *bytes = qr_alloc_zero(1, size);
    qr_slice values[] = {qr_slice_of(bytes, size), {0}};
    assert_false(qr_group_commit(task, values));
    qr_free(bytes);
    while (step(&w, task)) {
    }
    assert_int_equal(qr_group_state_of(task), QR_GROUP_ABORTED);
    qr_group_free(task);
    expect_both(&w, "1");
    expect_nothing_left(&w);
    world_close(&w);
}

static void test_records_are_read_as_written(void **state)
{
    qr_arena arena;
    qr_arena_init(&arena);
    qr_group_write writes[] = {{.key = qr_slice_text("a"), .changes = true, .value = qr_slice_text("1")},
                               {.key = qr_slice_text("b")}};
    qr_group_record record = {.parts = {{.group = 3, .lock_revision = 77, .writes = writes, .count = 2}},
                              .count = 1},
                    again;
    qr_slice bytes = qr_group_record_encode(&arena, &record);
    assert_true(qr_group_record_decode(bytes, &arena, &again));
    assert_int_equal(again.parts[0].lock_revision, 77);
    assert_true(again.parts[0].writes[0].changes && !again.parts[0].writes[1].changes);
    for (size_t size = 0; size < bytes.size; size++)
        assert_false(qr_group_record_decode(qr_slice_of(bytes.data, size), &arena, &again));
    qr_arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_commits),
        cmocka_unit_test(test_aborts),
        cmocka_unit_test(test_dies_anywhere),
        cmocka_unit_test(test_every_answer_is_lost_once),
        cmocka_unit_test(test_pushed_before_it_decides),
        cmocka_unit_test(test_late_calls_change_nothing),
        cmocka_unit_test(test_gives_up),
        cmocka_unit_test(test_too_large),
        cmocka_unit_test(test_records_are_read_as_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

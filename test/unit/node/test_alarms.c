/* What members have recorded of themselves, with whole members and the real tree: doc/design/alarms.md. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/txn.h"
#include "tree/tree.h"
#include "trio.h"

enum { ADMIT_BYTES = 3000, STEPS = 2000 };

static qr_machine *make_tree(void)
{
    return qr_tree_open(&(qr_tree_config){0});
}

static qr_machine *make_small_tree(void)
{
    return qr_tree_open(&(qr_tree_config){.admit_bytes = ADMIT_BYTES});
}

typedef struct answer {
    bool is_there;
    qr_status status;
    uint64_t index;
} answer;

static void on_done(void *owner, const qr_reply *reply)
{
    *(answer *)owner = (answer){.is_there = true, .status = reply->status, .index = reply->index};
}

/* Refused at once counts as an answer. */
static answer write_body(trio *t, uint32_t number, const qr_body *body)
{
    answer a = {0};
    qr_buffer bytes;
    qr_buffer_init(&bytes);
    qr_body_encode(body, &bytes);
    qr_request request = {
        .kind = QR_REQUEST_WRITE, .body = qr_buffer_slice(&bytes), .done = on_done, .owner = &a};
    qr_status status = qr_node_submit(t->members[number].node, &request);
    qr_buffer_free(&bytes);
    if (status != QR_OK)
        return (answer){.is_there = true, .status = status};
    for (int i = 0; i < STEPS && !a.is_there; i++)
        trio_step(t);
    assert_true(a.is_there);
    return a;
}

/* A key of its own each time. */
static answer put(trio *t, uint32_t number, size_t size)
{
    static const uint8_t zeros[4096];
    qr_op op = {.kind = QR_OP_PUT,
                .put = {.space = QR_SPACE_KEYS,
                        .key = qr_slice_of(&t->now_ms, sizeof t->now_ms),
                        .value = qr_slice_of(zeros, size)}};
    return write_body(t, number, &(qr_body){.kind = QR_BODY_TXN, .txn = {.then_ops = &op, .then_count = 1}});
}

static answer act(trio *t, uint32_t number, qr_alarm_act act, uint64_t member, uint32_t kind)
{
    return write_body(
        t, number,
        &(qr_body){.kind = QR_BODY_ALARM, .alarm_act = act, .alarm = {.member = member, .kind = kind}});
}

static bool stands(trio *t, uint32_t number, uint64_t member, uint32_t kind)
{
    const qr_machine *machine = qr_node_machine(t->members[number].node);
    return machine->ops->has_alarm(machine, member, kind, false);
}

static trio *start(qr_machine *(*make)(void), uint32_t *leader)
{
    trio *t = trio_new_with(3, make);
    *leader = (uint32_t)trio_wait_leader(t);
    for (uint32_t i = 0; i < 3; i++)
        while (trio_status(t, i).level < QR_LEVEL_ALARMS)
            trio_step(t);
    return t;
}

static void fill_disk(trio *t, uint32_t number)
{
    t->members[number].full = true;
    for (int i = 0; i < STEPS && !trio_status(t, number).no_space; i++)
        put(t, (uint32_t)trio_wait_leader(t), 4000);
    assert_true(trio_status(t, number).no_space);
}

/* The others list it and go on; whoever clears it sees it again while the disk is full. */
static void a_full_follower_is_noted(void **state)
{
    uint32_t leader;
    trio *t = start(make_tree, &leader);
    uint32_t full = (leader + 1) % 3, other = (leader + 2) % 3;
    uint64_t id = t->members[full].id;
    fill_disk(t, full);
    trio_run(t, 100);
    assert_true(stands(t, leader, id, QR_ALARM_NO_SPACE) && stands(t, other, id, QR_ALARM_NO_SPACE));
    assert_int_equal(put(t, leader, 8).status, QR_OK);
    assert_int_equal(act(t, other, QR_ALARM_CLEAR, id, QR_ALARM_NO_SPACE).status, QR_OK);
    assert_false(stands(t, other, id, QR_ALARM_NO_SPACE));
    trio_run(t, 10000);
    assert_true(stands(t, other, id, QR_ALARM_NO_SPACE));
    t->members[full].full = false;
    trio_run(t, 10000);
    assert_false(trio_status(t, full).no_space);
    assert_true(stands(t, full, id, QR_ALARM_NO_SPACE)); /* until somebody has seen it */
    assert_int_equal(act(t, full, QR_ALARM_CLEAR, id, QR_ALARM_NO_SPACE).status, QR_OK);
    trio_run(t, 10000);
    assert_false(stands(t, full, id, QR_ALARM_NO_SPACE));
    trio_free(t);
}

/* It hands over, and then it is a follower like that. */
static void a_full_leader_is_noted(void **state)
{
    uint32_t leader;
    trio *t = start(make_tree, &leader);
    fill_disk(t, leader);
    trio_run(t, 5000);
    assert_int_not_equal(trio_leader(t), leader);
    assert_true(stands(t, (uint32_t)trio_leader(t), t->members[leader].id, QR_ALARM_NO_SPACE));
    trio_free(t);
}

/* Whoever is refused finds the alarm standing, and all members refuse from then on, until it is cleared. */
static void the_quota_raises(void **state)
{
    uint32_t leader;
    trio *t = start(make_small_tree, &leader);
    uint32_t asked = (leader + 1) % 3, other = (leader + 2) % 3;
    uint64_t id = t->members[asked].id;
    assert_int_equal(put(t, asked, 3000).status, QR_OK);
    act(t, leader, QR_ALARM_NOTE, id, QR_ALARM_NO_SPACE);
    answer refused = put(t, asked, 8);
    assert_int_equal(refused.status, QR_E_QUOTA);
    assert_int_equal(refused.index, 0);
    const qr_machine *machine = qr_node_machine(t->members[asked].node);
    assert_true(machine->ops->has_alarm(machine, id, QR_ALARM_NO_SPACE, true)); /* more than noted */
    assert_int_equal(put(t, asked, 8).status, QR_E_QUOTA);
    qr_op del = {.kind = QR_OP_DELETE, .del.span = {.kind = QR_SPAN_FROM, .space = QR_SPACE_KEYS}};
    qr_body all = {.kind = QR_BODY_TXN, .txn = {.then_ops = &del, .then_count = 1}};
    assert_int_equal(write_body(t, other, &all).status, QR_OK);
    refused = put(t, other, 8); /* there is room, and yet */
    assert_int_equal(refused.status, QR_E_QUOTA);
    assert_true(refused.index > 0);
    assert_int_equal(act(t, leader, QR_ALARM_CLEAR, id, QR_ALARM_NO_SPACE).status, QR_OK);
    assert_int_equal(put(t, other, 8).status, QR_OK);
    trio_free(t);
}

/* What becomes of the alarm is nothing to whoever has no room: it is refused. */
static void the_quota_refuses_without_a_quorum(void **state)
{
    uint32_t leader;
    trio *t = start(make_small_tree, &leader);
    assert_int_equal(put(t, leader, 3000).status, QR_OK);
    trio_stop(t, (leader + 1) % 3);
    trio_stop(t, (leader + 2) % 3);
    assert_int_equal(put(t, leader, 8).status, QR_E_QUOTA);
    trio_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_follower_is_noted),
        cmocka_unit_test(a_full_leader_is_noted),
        cmocka_unit_test(the_quota_raises),
        cmocka_unit_test(the_quota_refuses_without_a_quorum),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

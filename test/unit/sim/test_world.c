/* The other parts of a world: the queue, the network, the model, and that one seed is one run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fixed/fixed.h"
#include "sim/model.h"
#include "sim/network.h"
#include "sim/queue.h"
#include "sim/sim.h"
#include "tree/tree.h"

/* ------------------------------------------------------------------ queue ---- */

static void events_come_in_order_of_time_and_of_putting(void **state)
{
    qr_sim_queue queue = {0};
    qr_prng prng;
    qr_prng_seed(&prng, 7);
    for (uint64_t i = 0; i < 2000; i++)
        qr_sim_queue_push(&queue, (qr_sim_event){.at_us = qr_prng_below(&prng, 50), .number = i});
    qr_sim_event event, last = {0};
    for (uint64_t i = 0; i < 2000; i++) {
        assert_true(qr_sim_queue_next_us(&queue) >= last.at_us);
        assert_true(qr_sim_queue_pop(&queue, &event));
        assert_true(event.at_us > last.at_us || (event.at_us == last.at_us && event.order > last.order));
        last = event;
    }
    assert_false(qr_sim_queue_pop(&queue, &event));
    /* What is delayed keeps its place among others of the same time. */
    qr_sim_queue_push(&queue, (qr_sim_event){.at_us = 1, .number = 1});
    qr_sim_queue_push(&queue, (qr_sim_event){.at_us = 9, .number = 2});
    qr_sim_queue_pop(&queue, &event);
    qr_sim_queue_delay(&queue, event, 9);
    qr_sim_queue_pop(&queue, &event);
    assert_true(event.number == 1 && event.at_us == 9);
    qr_sim_queue_free(&queue);
}

/* ---------------------------------------------------------------- network ---- */

typedef struct post {
    int arrived;
    uint64_t latest_us;
    bool overtaken;
} post;

static void on_arrival(void *context, qr_sim_message *message, uint64_t at_us)
{
    post *p = context;
    p->arrived++;
    p->overtaken |= at_us < p->latest_us;
    p->latest_us = at_us;
    qr_sim_message_drop(message);
}

static void links_lose_repeat_and_overtake(void **state)
{
    qr_sim_network network;
    post p = {0};
    qr_sim_network_init(&network, 3, 1);
    network.arrival = on_arrival;
    network.context = &p;
    for (int i = 0; i < 1000; i++)
        qr_sim_network_send(&network, 0, 1, qr_slice_text("x"), (uint64_t)i);
    assert_true(p.arrived == 1000 && p.overtaken);
    p = (post){0};
    network.weather.in_order = true;
    network.weather.loss = 100000;
    for (int i = 0; i < 1000; i++)
        qr_sim_network_send(&network, 0, 1, qr_slice_text("x"), (uint64_t)i);
    assert_true(p.arrived > 850 && p.arrived < 950 && !p.overtaken);
    p = (post){0};
    network.weather.loss = 0;
    network.weather.duplication = 200000;
    for (int i = 0; i < 1000; i++)
        qr_sim_network_send(&network, 0, 1, qr_slice_text("x"), (uint64_t)i);
    assert_true(p.arrived > 1100 && p.arrived < 1300);
}

static void cuts_have_their_shapes(void **state)
{
    qr_sim_network network;
    qr_sim_network_init(&network, 5, 1);
    qr_sim_cut isolate = qr_sim_cut_make(&network, QR_SIM_CUT_ISOLATE, 2);
    qr_sim_cut mute = qr_sim_cut_make(&network, QR_SIM_CUT_MUTE, 2);
    qr_sim_cut_apply(&network, isolate, false);
    qr_sim_cut_apply(&network, mute, false);
    for (uint32_t i = 0; i < 5; i++)
        assert_true(i == 2 ||
                    (qr_sim_network_is_cut(&network, 2, i) && qr_sim_network_is_cut(&network, i, 2)));
    assert_false(qr_sim_network_is_cut(&network, 0, 1));
    qr_sim_cut_apply(&network, isolate, true); /* the other one still holds */
    assert_true(qr_sim_network_is_cut(&network, 2, 0) && !qr_sim_network_is_cut(&network, 0, 2));
    qr_sim_cut_apply(&network, mute, true);
    assert_false(qr_sim_network_is_cut(&network, 2, 0));
    for (int i = 0; i < 100; i++) { /* the one in the middle always reaches everybody */
        qr_sim_cut bridge = qr_sim_cut_make(&network, QR_SIM_CUT_BRIDGE, 3);
        for (uint32_t n = 0; n < 5; n++)
            assert_false(qr_sim_cut_has(bridge, 3, n) || qr_sim_cut_has(bridge, n, 3));
    }
}

/* ------------------------------------------------------------------ model ---- */

static qr_span key_span(const char *key)
{
    return (qr_span){.kind = QR_SPAN_KEY, .space = QR_SPACE_KEYS, .key = qr_slice_text(key)};
}

static void the_model_counts_revisions_and_versions(void **state)
{
    qr_sim_model model;
    qr_sim_model_init(&model, 1);
    qr_buffer text;
    qr_buffer_init(&text);
    qr_op puts[] = {
        {.kind = QR_OP_PUT,
         .put = {.space = QR_SPACE_KEYS, .key = qr_slice_text("k"), .value = qr_slice_text("a")}},
        {.kind = QR_OP_PUT,
         .put = {.space = QR_SPACE_KEYS, .key = qr_slice_text("k"), .value = qr_slice_text("b")}},
    };
    qr_sim_model_apply(&model, &(qr_txn){.then_ops = puts, .then_count = 2}, &text);
    assert_string_equal((const char *)text.data, "r2 then{put; put}");
    qr_op range = {.kind = QR_OP_RANGE, .range = {.span = key_span("k")}};
    qr_txn look = {.then_ops = &range, .then_count = 1};
    qr_buffer_clear(&text);
    qr_sim_model_query(&model, &look, 2, &text);
    assert_string_equal((const char *)text.data, "r2 then{range 1 k=b@2/2/2}");
    qr_condition missing = {.span = key_span("nobody"), .target = QR_TARGET_VERSION, .relation = QR_IS_EQUAL};
    qr_op del = {.kind = QR_OP_DELETE, .del = {.span = key_span("k")}};
    qr_txn remove = {.conditions = &missing, .condition_count = 1, .then_ops = &del, .then_count = 1};
    qr_buffer_clear(&text);
    qr_sim_model_apply(&model, &remove, &text);
    assert_string_equal((const char *)text.data, "r3 then{delete 1}");
    qr_buffer_clear(&text);
    qr_sim_model_apply(&model, &remove, &text); /* nothing is changed: the revision stays */
    assert_string_equal((const char *)text.data, "r3 then{delete 0}");
    qr_buffer_clear(&text);
    qr_sim_model_query(&model, &look, 2, &text); /* the past stays as it was */
    assert_string_equal((const char *)text.data, "r2 then{range 1 k=b@2/2/2}");
    qr_buffer_free(&text);
    qr_sim_model_free(&model);
}

/* -------------------------------------------------------------------- runs ---- */

static qr_machine *new_tree(uint32_t bug, uint64_t admit_bytes)
{
    qr_tree_config config = {.bug = bug, .admit_bytes = admit_bytes, .move_always = true};
    return qr_tree_open(&config);
}

static void one_seed_is_one_run(void **state)
{
    uint64_t hashes[3];
    for (uint64_t seed = 1; seed <= 3; seed++) {
        qr_sim_config config = {.seed = seed, .engine = &qr_fixed, .machine = new_tree, .fault_ms = 1500};
        qr_sim_report report, again;
        qr_sim_run(&config, &report);
        qr_sim_run(&config, &again);
        if (report.failed)
            fail_msg("seed %d: %s: %s", (int)seed, report.invariant, report.detail);
        assert_true(report.trace_hash == again.trace_hash && report.events == again.events);
        assert_true(report.writes_acked > 10 && report.reads_checked > 5);
        hashes[seed - 1] = report.trace_hash;
    }
    assert_true(hashes[0] != hashes[1] && hashes[1] != hashes[2]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_come_in_order_of_time_and_of_putting),
        cmocka_unit_test(links_lose_repeat_and_overtake),
        cmocka_unit_test(cuts_have_their_shapes),
        cmocka_unit_test(the_model_counts_revisions_and_versions),
        cmocka_unit_test(one_seed_is_one_run),
    };
    return cmocka_run_group_tests_name("sim world", tests, NULL, NULL);
}

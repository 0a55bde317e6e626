/* Calls between our client and our server, in memory. */
#include "echo.h"

static void start(qr_grpc_client *client, const char *path, qr_slice message, outcome *result)
{
    *result = (outcome){0};
    assert_int_equal(qr_grpc_client_call(client, path, message, result), QR_OK);
}

static void unary(void **state)
{
    echo service;
    echo_open(&service, NULL);
    qr_grpc_client *client = outcome_client();
    for (int i = 0; i < 300; i++) {
        outcome result;
        char text[32];
        qr_slice message = qr_slice_of(text, (size_t)snprintf(text, sizeof text, "hello %d", i));
        start(client, "/test/Echo", message, &result);
        carry(&service, client, SIZE_MAX);
        assert_int_equal(result.done, 1);
        assert_int_equal(result.code, QR_GRPC_OK);
        assert_string_equal(result.text, "");
        assert_int_equal(result.messages, 1);
        assert_int_equal(result.hash, qr_hash(message, 0));
        assert_string_equal(service.path, "/test/Echo");
        assert_true(service.timeout_ms == UINT64_MAX);
        assert_false(qr_grpc_server_pending(service.server));
    }
    assert_int_equal(service.closed, 300);
    assert_int_equal(service.half_closed, 300);
    qr_grpc_client_free(client);
    echo_close(&service);
}

static void errors_and_their_texts(void **state)
{
    echo service;
    echo_open(&service, NULL);
    qr_grpc_client *client = outcome_client();
    outcome result;
    start(client, "/test/Fail", qr_slice_text("x"), &result);
    carry(&service, client, SIZE_MAX);
    assert_int_equal(result.done, 1);
    assert_int_equal(result.code, QR_GRPC_FAILED_PRECONDITION);
    assert_string_equal(result.text, "100% \xc3\xa4rger\n");
    assert_int_equal(result.messages, 0);
    start(client, "/test/Half", qr_slice_text("x"), &result);
    carry(&service, client, SIZE_MAX);
    assert_int_equal(result.code, QR_GRPC_ABORTED);
    assert_string_equal(result.text, "changed my mind");
    assert_int_equal(result.messages, 1);
    start(client, "/nowhere/At", qr_slice_text(""), &result);
    carry(&service, client, SIZE_MAX);
    assert_int_equal(result.code, QR_GRPC_UNIMPLEMENTED);
    assert_int_equal(service.messages, 0);
    assert_int_equal(service.closed, 3);
    qr_grpc_client_free(client);
    echo_close(&service);
}

/* A call that goes on: each further message gets its answer, and the half-close ends it. */
static void further_messages(void **state)
{
    echo service;
    echo_open(&service, NULL);
    qr_grpc_client *client = outcome_client();
    outcome result = {0};
    const char *const metadata[2] = {"token", "t1"};
    assert_int_equal(qr_grpc_client_open(client, "/test/Echo", metadata, qr_slice_text("a"), &result), QR_OK);
    qr_grpc_client_ping(client);
    carry(&service, client, SIZE_MAX);
    assert_string_equal(service.token, "t1");
    assert_int_equal(result.messages, 1);
    assert_int_equal(result.done, 0);
    for (unsigned i = 2; i < 50; i++) {
        assert_int_equal(qr_grpc_client_send(client, &result, qr_slice_text("more")), QR_OK);
        carry(&service, client, i);
        assert_int_equal(result.messages, i);
    }
    assert_int_equal(service.half_closed, 0);
    assert_int_equal(qr_grpc_client_send(client, &result, qr_slice_text("last")), QR_OK);
    assert_int_equal(qr_grpc_client_half_close(client, &result), QR_OK);
    assert_int_equal(qr_grpc_client_half_close(client, &result), QR_E_NOT_FOUND);
    carry(&service, client, SIZE_MAX);
    assert_int_equal(result.messages, 50);
    assert_int_equal(result.done, 1);
    assert_int_equal(result.code, QR_GRPC_OK);
    assert_int_equal(qr_grpc_client_send(client, &result, qr_slice_text("late")), QR_E_NOT_FOUND);
    qr_grpc_client_free(client);
    echo_close(&service);
}

static void messages_out_in_number(void **state)
{
    echo service;
    echo_open(&service, NULL);
    qr_grpc_client *client = outcome_client();
    uint8_t many[1000] = {0};
    uint64_t hash = 0;
    for (int i = 0; i < 1000; i++) {
        char text[16];
        hash = qr_hash(qr_slice_of(text, (size_t)snprintf(text, sizeof text, "%d", i)), hash);
    }
    for (size_t step = 1; step < 5000; step = step * 7 + 1) {
        outcome result;
        start(client, "/test/Count", qr_slice_of(many, sizeof many), &result);
        carry(&service, client, step);
        assert_int_equal(result.code, QR_GRPC_OK);
        assert_int_equal(result.messages, 1000);
        assert_int_equal(result.hash, hash);
    }
    qr_grpc_client_free(client);
    echo_close(&service);
}

static void answers_from_outside_feed(void **state)
{
    enum { COUNT = 500 };
    echo service;
    echo_open(&service, NULL);
    qr_grpc_client *client = outcome_client();
    outcome *results = qr_alloc_zero(COUNT, sizeof *results);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < COUNT; i++)
            start(client, "/test/Later", qr_slice_text("some bytes"), &results[i]);
        carry(&service, client, 333);
        assert_int_equal(service.later_count, COUNT);
        for (int i = 0; i < COUNT; i++)
            assert_int_equal(results[i].done, 0);
        echo_answer_later(&service);
        assert_true(qr_grpc_server_pending(service.server));
        carry(&service, client, 333);
        for (int i = 0; i < COUNT; i++) {
            assert_int_equal(results[i].done, 1);
            assert_int_equal(results[i].code, QR_GRPC_OK);
            assert_int_equal(results[i].hash, qr_hash(qr_slice_text("later"), 0));
        }
        assert_int_equal(service.closed, COUNT * (round + 1));
    }
    qr_free(results);
    qr_grpc_client_free(client);
    echo_close(&service);
}

/* Messages go out one by one over time, as a watch does, and the queue is seen to grow and to empty. */
static void a_stream_over_time(void **state)
{
    echo service;
    echo_open(&service, NULL);
    qr_grpc_client *client = outcome_client();
    outcome result;
    start(client, "/test/Later", qr_slice_text("watch"), &result);
    carry(&service, client, SIZE_MAX);
    qr_grpc_call *call = service.latest;
    for (unsigned i = 1; i <= 50; i++) {
        qr_grpc_send(call, qr_slice_text("event"));
        assert_int_equal(qr_grpc_call_queued(call), 10);
        carry(&service, client, SIZE_MAX);
        assert_int_equal(qr_grpc_call_queued(call), 0);
        assert_int_equal(result.messages, i);
        assert_int_equal(result.done, 0);
    }
    qr_grpc_finish(call, QR_GRPC_CANCELLED, "compacted");
    carry(&service, client, SIZE_MAX);
    assert_int_equal(result.done, 1);
    assert_int_equal(result.code, QR_GRPC_CANCELLED);
    assert_string_equal(result.text, "compacted");
    qr_grpc_client_free(client);
    echo_close(&service);
}

/* More than the client's windows hold, both ways: flow control must start again by itself. */
static void large_messages(void **state)
{
    enum { SIZE = 7 * 1024 * 1024 };
    const qr_grpc_limits limits = {SIZE, 100, 16384, 2 * SIZE};
    echo service;
    echo_open(&service, &limits);
    qr_grpc_client *client = outcome_client();
    uint8_t *bytes = qr_alloc(SIZE);
    for (size_t i = 0; i < SIZE; i++)
        bytes[i] = (uint8_t)(i * 131 >> 7);
    outcome results[2];
    for (size_t i = 0; i < 2; i++)
        start(client, "/test/Echo", qr_slice_of(bytes, SIZE - i), &results[i]);
    carry(&service, client, 65536);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(results[i].done, 1);
        assert_int_equal(results[i].code, QR_GRPC_OK);
        assert_int_equal(results[i].size, SIZE - i);
        assert_int_equal(results[i].hash, qr_hash(qr_slice_of(bytes, SIZE - i), 0));
    }
    qr_free(bytes);
    qr_grpc_client_free(client);
    echo_close(&service);
}

static void too_large_messages(void **state)
{
    const qr_grpc_limits limits = {1000, 10, 16384, 2000};
    echo service;
    echo_open(&service, &limits);
    qr_grpc_client *client = outcome_client();
    uint8_t *bytes = qr_alloc_zero(1, 100000);
    outcome result;
    start(client, "/test/Echo", qr_slice_of(bytes, 1000), &result);
    carry(&service, client, 10);
    assert_int_equal(result.code, QR_GRPC_OK);
    assert_int_equal(result.size, 1000);
    for (size_t size = 1001; size < 100000; size += 24000) {
        start(client, "/test/Echo", qr_slice_of(bytes, size), &result);
        carry(&service, client, 10);
        char text[100];
        snprintf(text, sizeof text, "grpc: received message larger than max (%zu vs. 1000)", size);
        assert_int_equal(result.done, 1);
        assert_int_equal(result.code, QR_GRPC_RESOURCE_EXHAUSTED);
        assert_string_equal(result.text, text);
    }
    assert_int_equal(service.messages, 1);
    qr_free(bytes);
    qr_grpc_client_free(client);
    echo_close(&service);
}

/* More calls than the server allows at once: the client holds the rest back. */
static void more_calls_than_streams(void **state)
{
    enum { COUNT = 200 };
    const qr_grpc_limits limits = {1000, 7, 16384, 2000};
    echo service;
    echo_open(&service, &limits);
    qr_grpc_client *client = outcome_client();
    outcome *results = qr_alloc_zero(COUNT, sizeof *results);
    start(client, "/test/Echo", qr_slice_text("settle"), &results[0]);
    carry(&service, client, SIZE_MAX);
    for (int i = 0; i < COUNT; i++)
        start(client, "/test/Later", qr_slice_text("x"), &results[i]);
    for (int round = 0; round < COUNT; round++) {
        carry(&service, client, SIZE_MAX);
        assert_true(service.later_count <= 7);
        echo_answer_later(&service);
    }
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(results[i].code == QR_GRPC_OK && results[i].done == 1, 1);
    qr_free(results);
    qr_grpc_client_free(client);
    echo_close(&service);
}

static void freed_in_the_middle(void **state)
{
    for (size_t cut = 1; cut < 400; cut += 3) {
        echo service;
        echo_open(&service, NULL);
        qr_grpc_client *client = outcome_client();
        outcome results[4];
        qr_buffer bytes;
        qr_buffer_init(&bytes);
        start(client, "/test/Later", qr_slice_text("abc"), &results[0]);
        start(client, "/test/Echo", qr_slice_text("abc"), &results[1]);
        start(client, "/test/Count", qr_slice_text("abc"), &results[2]);
        start(client, "/test/Fail", qr_slice_text("abc"), &results[3]);
        qr_grpc_client_drain(client, &bytes, SIZE_MAX);
        size_t size = bytes.size < cut ? bytes.size : cut;
        assert_int_equal(qr_grpc_server_feed(service.server, qr_slice_of(bytes.data, size)), QR_OK);
        qr_buffer_clear(&bytes);
        qr_grpc_server_drain(service.server, &bytes, cut);
        assert_int_equal(qr_grpc_client_feed(client, qr_buffer_slice(&bytes)), QR_OK);
        echo_close(&service);
        qr_grpc_client_free(client);
        for (int i = 0; i < 4; i++)
            assert_int_equal(results[i].done, 1);
        assert_int_equal(results[0].code, QR_GRPC_UNAVAILABLE);
        qr_buffer_free(&bytes);
    }
}

static void shutdown_lets_running_calls_end(void **state)
{
    echo service;
    echo_open(&service, NULL);
    qr_grpc_client *client = outcome_client();
    outcome running, late;
    start(client, "/test/Later", qr_slice_text("x"), &running);
    carry(&service, client, SIZE_MAX);
    qr_grpc_server_shutdown(service.server);
    qr_grpc_server_shutdown(service.server);
    /* This one crosses the GOAWAY: it must never reach a handler, as its client will try it elsewhere. */
    start(client, "/test/Echo", qr_slice_text("x"), &late);
    carry(&service, client, SIZE_MAX);
    assert_int_equal(late.done, 1);
    assert_int_equal(late.code, QR_GRPC_UNAVAILABLE);
    assert_int_equal(service.calls, 1);
    assert_int_equal(running.done, 0);
    assert_false(qr_grpc_server_finished(service.server));
    assert_int_equal(qr_grpc_client_call(client, "/test/Echo", qr_slice_text(""), NULL), QR_E_NOT_APPLIED);
    echo_answer_later(&service);
    carry(&service, client, SIZE_MAX);
    assert_int_equal(running.code, QR_GRPC_OK);
    assert_true(qr_grpc_server_finished(service.server));
    qr_grpc_client_free(client);
    echo_close(&service);
}

/* The same between GOAWAY being asked for and being sent. */
static void shutdown_refuses_what_comes_before_the_drain(void **state)
{
    echo service;
    echo_open(&service, NULL);
    qr_grpc_client *client = outcome_client();
    outcome first, late;
    start(client, "/test/Echo", qr_slice_text("x"), &first);
    carry(&service, client, SIZE_MAX);
    qr_buffer bytes;
    qr_buffer_init(&bytes);
    start(client, "/test/Echo", qr_slice_text("x"), &late);
    qr_grpc_client_drain(client, &bytes, SIZE_MAX);
    qr_grpc_server_shutdown(service.server);
    assert_int_equal(qr_grpc_server_feed(service.server, qr_buffer_slice(&bytes)), QR_OK);
    carry(&service, client, SIZE_MAX);
    assert_int_equal(service.calls, 1);
    assert_int_equal(late.code, QR_GRPC_UNAVAILABLE);
    assert_true(qr_grpc_server_finished(service.server));
    qr_buffer_free(&bytes);
    qr_grpc_client_free(client);
    echo_close(&service);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unary),
        cmocka_unit_test(errors_and_their_texts),
        cmocka_unit_test(further_messages),
        cmocka_unit_test(messages_out_in_number),
        cmocka_unit_test(answers_from_outside_feed),
        cmocka_unit_test(a_stream_over_time),
        cmocka_unit_test(large_messages),
        cmocka_unit_test(too_large_messages),
        cmocka_unit_test(more_calls_than_streams),
        cmocka_unit_test(freed_in_the_middle),
        cmocka_unit_test(shutdown_lets_running_calls_end),
        cmocka_unit_test(shutdown_refuses_what_comes_before_the_drain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

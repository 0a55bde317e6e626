/* Keep-alives: many on one stream, answered by the node in any order, and by the door in theirs. */
#include "unit.h"

#include "door/etcd/door.h"
#include "fake_node.h"
#include "wire/protobuf.h"

enum { NOW = 5000, ANSWERS_MAX = 8 };

struct stage {
    qr_node node;
    qr_etcd_door *door;
    qr_etcd_line line;
    qr_etcd_call *call; /* NULL: closed */
    qr_buffer answer;
    struct {
        int64_t id, ttl;
    } answers[ANSWERS_MAX];
    size_t count, queued;
    bool finished;
    qr_grpc_code code;
};

static qr_buffer *begin(qr_etcd_call *call)
{
    struct stage *stage = call->stream;
    qr_buffer_clear(&stage->answer);
    return &stage->answer;
}

static void end(qr_etcd_call *call)
{
    struct stage *stage = call->stream;
    qr_arena arena;
    qr_arena_init(&arena);
    const QrEtcdpb__LeaseKeepAliveResponse *answer = (const void *)qr_protobuf_unpack(
        &qr_etcdpb__lease_keep_alive_response__descriptor, qr_buffer_slice(&stage->answer), &arena);
    assert_non_null(answer);
    assert_true(stage->count < ANSWERS_MAX);
    stage->answers[stage->count].id = answer->id;
    stage->answers[stage->count++].ttl = answer->ttl;
    qr_arena_free(&arena);
}

static size_t queued(qr_etcd_call *call)
{
    return ((struct stage *)call->stream)->queued;
}

static void finish(qr_etcd_call *call, qr_grpc_code code, const char *text)
{
    struct stage *stage = call->stream;
    stage->finished = true;
    stage->code = code;
}

static const qr_etcd_transport transport = {.begin = begin, .end = end, .queued = queued, .finish = finish};

static int fresh(void **state)
{
    struct stage *stage = qr_alloc_zero(1, sizeof *stage);
    fake_node_init(&stage->node);
    stage->door = qr_etcd_door_new(
        &(qr_etcd_config){.node = &stage->node, .cluster = FAKE_CLUSTER, .self = FAKE_SELF, .name = "one"});
    qr_etcd_line_open(&stage->line, stage->door, (qr_stream_waker){0}, NOW);
    const char *text;
    const qr_etcd_method *method =
        qr_etcd_find_method(qr_slice_text("/etcdserverpb.Lease/LeaseKeepAlive"), &stage->door->arena, &text);
    assert_non_null(method);
    stage->call = qr_etcd_call_new(stage->door, method, &transport, stage, NOW);
    stage->call->line = &stage->line;
    *state = stage;
    return 0;
}

static void close_call(struct stage *stage)
{
    if (stage->call)
        qr_etcd_call_closed(stage->call);
    stage->call = NULL;
}

static int gone(void **state)
{
    struct stage *stage = *state;
    close_call(stage);
    qr_etcd_line_close(&stage->line);
    qr_etcd_door_free(stage->door);
    fake_node_free(&stage->node);
    qr_buffer_free(&stage->answer);
    qr_free(stage);
    return 0;
}

static void send(struct stage *stage, int64_t lease)
{
    QrEtcdpb__LeaseKeepAliveRequest request = QR_ETCDPB__LEASE_KEEP_ALIVE_REQUEST__INIT;
    request.id = lease;
    qr_buffer bytes;
    qr_buffer_init(&bytes);
    qr_protobuf_pack(&request.base, &bytes);
    qr_etcd_call_message(stage->call, qr_buffer_slice(&bytes));
    qr_buffer_free(&bytes);
}

/* What stands at `at` in the node's queue is answered; the others keep their places. */
static void answer(struct stage *stage, size_t at, qr_status status)
{
    const qr_request *request = &stage->node.queue[at].request;
    qr_lease_time time = {.ttl_ms = 10000, .remaining_ms = 10000};
    assert_int_equal(request->kind, QR_REQUEST_LEASE_RENEW);
    qr_reply reply = {.status = status, .result = status == QR_OK ? &time : NULL, .term = 7};
    request->done(request->owner, &reply);
}

static void expect(const struct stage *stage, size_t at, int64_t lease, int64_t ttl)
{
    assert_true(at < stage->count);
    assert_int_equal(stage->answers[at].id, lease);
    assert_int_equal(stage->answers[at].ttl, ttl);
}

static void test_answers_in_order(void **state)
{
    struct stage *stage = *state;
    for (int64_t lease = 1; lease <= 3; lease++)
        send(stage, lease);
    assert_int_equal(stage->node.count, 3);
    answer(stage, 1, QR_E_LEASE_NOT_FOUND);
    answer(stage, 2, QR_OK);
    assert_int_equal(stage->count, 0);
    qr_etcd_call_half_closed(stage->call);
    assert_false(stage->finished);
    answer(stage, 0, QR_OK);
    stage->node.count = 0;
    expect(stage, 0, 1, 10);
    expect(stage, 1, 2, 0);
    expect(stage, 2, 3, 10);
    assert_true(stage->finished);
    assert_int_equal(stage->code, QR_GRPC_OK);
}

/* The node answers streams that are closed as well; nobody hears it. */
static void test_closed_with_renewals_at_the_node(void **state)
{
    struct stage *stage = *state;
    send(stage, 1);
    send(stage, 2);
    answer(stage, 1, QR_OK);
    close_call(stage);
    answer(stage, 0, QR_OK);
    stage->node.count = 0;
    assert_int_equal(stage->count, 0);
}

static void test_fails_with_the_node(void **state)
{
    struct stage *stage = *state;
    send(stage, 1);
    send(stage, 2);
    answer(stage, 0, QR_E_NO_LEADER);
    assert_true(stage->finished);
    assert_int_equal(stage->code, QR_GRPC_UNAVAILABLE);
    answer(stage, 1, QR_OK);
    stage->node.count = 0;
    assert_int_equal(stage->count, 0);
}

static void test_reader_that_takes_nothing(void **state)
{
    struct stage *stage = *state;
    send(stage, 1);
    stage->queued = 5 * 1024 * 1024;
    answer(stage, 0, QR_OK);
    stage->node.count = 0;
    assert_true(stage->finished);
    assert_int_equal(stage->code, QR_GRPC_RESOURCE_EXHAUSTED);
}

static void test_refused_and_malformed(void **state)
{
    struct stage *stage = *state;
    stage->node.refusal = QR_E_BUSY;
    send(stage, 1);
    assert_true(stage->finished);
    assert_int_equal(stage->code, QR_GRPC_RESOURCE_EXHAUSTED);
    send(stage, 2); /* after the end */
    assert_int_equal(stage->node.count, 0);
}

int main(void)
{
#define ROW(test) cmocka_unit_test_setup_teardown(test, fresh, gone)
    const struct CMUnitTest tests[] = {
        ROW(test_answers_in_order),      ROW(test_closed_with_renewals_at_the_node),
        ROW(test_fails_with_the_node),   ROW(test_reader_that_takes_nothing),
        ROW(test_refused_and_malformed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Maintenance and health, failures of the node, and the lives of calls. */
#include "stage.h"

#include "health.pb-c.h"

/* ---- Maintenance, health ---- */

static void test_status(void **state)
{
    struct stage *stage = *state;
    put(stage, "key", "value");
    QrEtcdpb__StatusRequest request = QR_ETCDPB__STATUS_REQUEST__INIT;
    const char *path = "/etcdserverpb.Maintenance/Status";
    QrEtcdpb__StatusResponse *status =
        ask(stage, path, &request.base, &qr_etcdpb__status_response__descriptor);
    assert_header(status->header, 2);
    assert_string_equal(status->version, "3.4.23");
    assert_int_equal(status->leader, FAKE_SELF);
    assert_int_equal(status->raftindex, 2);
    assert_int_equal(status->raftappliedindex, 1);
    assert_int_equal(status->raftterm, 7);
    assert_true(status->dbsizeinuse >= 8 && status->dbsize > 0);
    assert_false(status->islearner);
    assert_int_equal(status->n_errors, 0);
    stage->node.leader = 0;
    status = ask(stage, path, &request.base, &qr_etcdpb__status_response__descriptor);
    assert_int_equal(status->n_errors, 1);
    assert_string_equal(status->errors[0], "etcdserver: no leader");
}

static void test_hashes(void **state)
{
    struct stage *stage = *state;
    QrEtcdpb__HashRequest whole = QR_ETCDPB__HASH_REQUEST__INIT;
    QrEtcdpb__HashKVRequest part = QR_ETCDPB__HASH_KVREQUEST__INIT;
    const char *path = "/etcdserverpb.Maintenance/HashKV";
    put(stage, "a", "1");
    QrEtcdpb__HashKVResponse *first = ask(stage, path, &part.base, &qr_etcdpb__hash_kvresponse__descriptor);
    assert_header(first->header, 2);
    assert_int_equal(first->compact_revision, -1); /* never compacted */
    put(stage, "a", "2");
    QrEtcdpb__HashKVResponse *second = ask(stage, path, &part.base, &qr_etcdpb__hash_kvresponse__descriptor);
    assert_int_not_equal(first->hash, second->hash);
    part.revision = 2;
    QrEtcdpb__HashKVResponse *past = ask(stage, path, &part.base, &qr_etcdpb__hash_kvresponse__descriptor);
    assert_int_equal(past->hash, first->hash);
    part.revision = 9;
    assert_error(stage, ask(stage, path, &part.base, NULL), QR_ETCD_E_FUTURE_REVISION);
    part.revision = -1;
    assert_error(stage, ask(stage, path, &part.base, NULL), QR_ETCD_E_COMPACTED);
    compact(stage, 3);
    part.revision = 2;
    assert_error(stage, ask(stage, path, &part.base, NULL), QR_ETCD_E_COMPACTED);
    part.revision = 0;
    second = ask(stage, path, &part.base, &qr_etcdpb__hash_kvresponse__descriptor);
    assert_int_equal(second->compact_revision, 3);
    QrEtcdpb__HashResponse *all =
        ask(stage, "/etcdserverpb.Maintenance/Hash", &whole.base, &qr_etcdpb__hash_response__descriptor);
    assert_header(all->header, 3);
}

static void test_small_maintenance(void **state)
{
    struct stage *stage = *state;
    QrEtcdpb__AlarmRequest alarm = QR_ETCDPB__ALARM_REQUEST__INIT;
    const char *path = "/etcdserverpb.Maintenance/Alarm";
    assert_non_null(ask(stage, path, &alarm.base, &qr_etcdpb__alarm_response__descriptor));
    assert_int_equal(stage->answer.size, 0); /* no header, as 3.4 */
    alarm.action = 5;
    assert_error(stage, ask(stage, path, &alarm.base, NULL), QR_ETCD_E_UNSUPPORTED);
    QrEtcdpb__DefragmentRequest defragment = QR_ETCDPB__DEFRAGMENT_REQUEST__INIT;
    assert_non_null(ask(stage, "/etcdserverpb.Maintenance/Defragment", &defragment.base,
                        &qr_etcdpb__defragment_response__descriptor));
}

static void test_move_leader(void **state)
{
    struct stage *stage = *state;
    QrEtcdpb__MoveLeaderRequest request = QR_ETCDPB__MOVE_LEADER_REQUEST__INIT;
    const char *path = "/etcdserverpb.Maintenance/MoveLeader";
    request.targetid = 999;
    assert_error(stage, ask(stage, path, &request.base, NULL), QR_ETCD_E_BAD_TRANSFEREE);
    request.targetid = FAKE_LEARNER;
    assert_error(stage, ask(stage, path, &request.base, NULL), QR_ETCD_E_BAD_TRANSFEREE);
    request.targetid = FAKE_SELF;
    assert_non_null(ask(stage, path, &request.base, &qr_etcdpb__move_leader_response__descriptor));
    request.targetid = FAKE_OTHER;
    assert_non_null(ask(stage, path, &request.base, &qr_etcdpb__move_leader_response__descriptor));
    assert_int_equal(stage->node.leader, FAKE_OTHER);
    assert_error(stage, ask(stage, path, &request.base, NULL), QR_ETCD_E_NOT_LEADER);
}

static void test_health_check(void **state)
{
    struct stage *stage = *state;
    QrHealth__HealthCheckRequest request = QR_HEALTH__HEALTH_CHECK_REQUEST__INIT;
    const char *path = "/grpc.health.v1.Health/Check";
    QrHealth__HealthCheckResponse *answer =
        ask(stage, path, &request.base, &qr_health__health_check_response__descriptor);
    assert_int_equal(answer->status, QR_HEALTH__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING);
    request.service = (char *)"etcdserverpb.KV";
    assert_error(stage, ask(stage, path, &request.base, NULL), QR_ETCD_E_UNKNOWN_HEALTH_SERVICE);
}

static void test_unknown_methods(void **state)
{
    struct stage *stage = *state;
    static const char *const rows[][2] = {
        {"/etcdserverpb.Auth/AuthEnable", "unknown service etcdserverpb.Auth"},
        {"/etcdserverpb.KV/RangeStream", "unknown method RangeStream for service etcdserverpb.KV"},
        {"/etcdserverpb.KV/", "unknown method  for service etcdserverpb.KV"},
        {"/etcdserverpb.KV", "malformed method name: \"/etcdserverpb.KV\""},
        {"etcdserverpb.KV/Put", "malformed method name: \"etcdserverpb.KV/Put\""},
        {"", "malformed method name: \"\""},
        {"/", "malformed method name: \"/\""},
        {"//", "unknown service "}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *text = NULL;
        assert_null(qr_etcd_find_method(qr_slice_text(rows[i][0]), &stage->arena, &text));
        assert_string_equal(text, rows[i][1]);
    }
}

/* ---- failures and lifetimes ---- */

static void test_failures_of_the_node(void **state)
{
    struct stage *stage = *state;
    static const struct {
        qr_status status;
        qr_etcd_error error;
    } rows[] = {{QR_E_NO_LEADER, QR_ETCD_E_NO_LEADER},
                {QR_E_TIMEOUT, QR_ETCD_E_TIMED_OUT},
                {QR_E_STOPPED, QR_ETCD_E_STOPPED},
                {QR_E_QUOTA, QR_ETCD_E_NO_SPACE}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        stage->node.failure = rows[i].status;
        assert_error(stage, put(stage, "a", "1"), rows[i].error);
        assert_error(stage, range(stage, "a", NULL, 0, 0), rows[i].error);
    }
    stage->node.failure = QR_OK;
    stage->node.refusal = QR_E_BUSY;
    assert_error(stage, put(stage, "a", "1"), QR_ETCD_E_TOO_MANY_REQUESTS);
    stage->node.refusal = QR_E_HALTED;
    assert_error(stage, range(stage, "a", NULL, 0, 0), QR_ETCD_E_STOPPED);
    stage->node.refusal = QR_E_UNSUPPORTED; /* below the level, or it has just started: clients ask again */
    assert_error(stage, put(stage, "a", "1"), QR_ETCD_E_NOT_CAPABLE);
    stage->node.refusal = QR_E_TOO_LARGE;
    assert_error(stage, put(stage, "a", "1"), QR_ETCD_E_TOO_LARGE);
}

static void test_patience_of_the_client(void **state)
{
    struct stage *stage = *state;
    static const uint8_t get_a[] = {0x0a, 1, 'a'};
    qr_etcd_call *call = begin_call(stage, "/etcdserverpb.KV/Range");
    call->timeout_ms = 300;
    qr_etcd_call_message(call, qr_slice_of(get_a, sizeof get_a));
    assert_int_equal(stage->node.last.deadline_ms, 1300);
    stage->node.failure = QR_E_TIMEOUT;
    fake_node_turn(&stage->node);
    assert_int_equal(stage->code, QR_GRPC_DEADLINE_EXCEEDED);
    qr_etcd_call_closed(call);
    stage->node.failure = QR_OK;
    call = begin_call(stage, "/etcdserverpb.KV/Range");
    call->timeout_ms = 60000; /* more patience than the node has */
    qr_etcd_call_message(call, qr_slice_of(get_a, sizeof get_a));
    assert_int_equal(stage->node.last.deadline_ms, 0);
    fake_node_turn(&stage->node);
    qr_etcd_call_closed(call);
}

static void test_stream_closed_before_the_answer(void **state)
{
    struct stage *stage = *state;
    static const uint8_t put_a[] = {0x0a, 1, 'a', 0x12, 1, '1'};
    qr_etcd_call *call = begin_call(stage, "/etcdserverpb.KV/Put");
    qr_etcd_call_message(call, qr_slice_of(put_a, sizeof put_a));
    qr_etcd_call_message(call, qr_slice_of(put_a, sizeof put_a)); /* a second message is ignored */
    assert_int_equal(stage->node.count, 1);
    qr_etcd_call_closed(call);
    fake_node_turn(&stage->node);
    assert_false(stage->finished);                             /* nobody was told */
    assert_int_equal(range(stage, "a", NULL, 0, 0)->count, 1); /* but it was done */
}

static void test_requests_that_never_come(void **state)
{
    struct stage *stage = *state;
    qr_etcd_call *call = begin_call(stage, "/etcdserverpb.KV/Put");
    qr_etcd_call_half_closed(call);
    assert_int_equal(stage->code, QR_GRPC_INTERNAL);
    qr_etcd_call_half_closed(call);
    qr_etcd_call_closed(call);
    call = begin_call(stage, "/etcdserverpb.KV/Put");
    qr_etcd_call_closed(call);
    assert_false(stage->finished);
}

/* The door is let go while the node still has requests: they are answered into nothing. */
static void test_door_freed_before_the_answers(void **state)
{
    struct stage *stage = *state;
    static const uint8_t get_a[] = {0x0a, 1, 'a'};
    qr_etcd_call *call = begin_call(stage, "/etcdserverpb.KV/Range");
    qr_etcd_call_message(call, qr_slice_of(get_a, sizeof get_a));
    qr_etcd_call_closed(call);
    qr_etcd_door_publish(stage->door, 0);
    qr_etcd_door_free(stage->door);
    stage->door = NULL;
    fake_node_turn(&stage->node);
    assert_int_equal(stage->published, 0);
}

/* Bytes that often are a message: short fields of the common two kinds, now and then anything. */
static size_t some_message(qr_prng *prng, uint8_t *bytes, size_t room)
{
    size_t size = 0;
    for (uint64_t fields = qr_prng_below(prng, 5); fields > 0 && size + 8 < room; fields--) {
        bool text = qr_prng_below(prng, 2);
        size_t length = qr_prng_below(prng, 5);
        bytes[size++] = (uint8_t)((1 + qr_prng_below(prng, 7)) << 3 | (text ? 2 : 0));
        bytes[size++] = (uint8_t)length;
        for (size_t i = 0; text && i < length; i++)
            bytes[size++] = (uint8_t)qr_prng_next(prng);
    }
    if (size && qr_prng_below(prng, 3) == 0)
        bytes[qr_prng_below(prng, size)] = (uint8_t)qr_prng_next(prng);
    return size;
}

static void test_random_requests(void **state)
{
    struct stage *stage = *state;
    static const char *const paths[] = {"/etcdserverpb.KV/Range",
                                        "/etcdserverpb.KV/Put",
                                        "/etcdserverpb.KV/DeleteRange",
                                        "/etcdserverpb.KV/Txn",
                                        "/etcdserverpb.KV/Compact",
                                        "/etcdserverpb.Maintenance/Status",
                                        "/etcdserverpb.Maintenance/Hash",
                                        "/etcdserverpb.Maintenance/HashKV",
                                        "/etcdserverpb.Maintenance/Alarm",
                                        "/etcdserverpb.Cluster/MemberList",
                                        "/etcdserverpb.Cluster/MemberAdd",
                                        "/etcdserverpb.Cluster/MemberRemove",
                                        "/etcdserverpb.Cluster/MemberUpdate",
                                        "/etcdserverpb.Cluster/MemberPromote",
                                        "/etcdserverpb.Maintenance/MoveLeader",
                                        "/grpc.health.v1.Health/Check"};
    qr_prng prng;
    qr_prng_seed(&prng, 5);
    size_t good = 0;
    for (int i = 0; i < 20000; i++) {
        uint8_t bytes[48];
        size_t size = some_message(&prng, bytes, sizeof bytes);
        qr_etcd_call *call = begin_call(stage, paths[qr_prng_below(&prng, sizeof paths / sizeof paths[0])]);
        qr_etcd_call_message(call, qr_slice_of(bytes, size));
        fake_node_turn(&stage->node);
        assert_true(stage->finished);
        good += stage->code == QR_GRPC_OK;
        qr_etcd_call_closed(call);
        qr_arena_reset(&stage->arena);
    }
    assert_true(good > 500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STAGE_ROW(test_status),
        STAGE_ROW(test_hashes),
        STAGE_ROW(test_small_maintenance),
        STAGE_ROW(test_move_leader),
        STAGE_ROW(test_health_check),
        STAGE_ROW(test_unknown_methods),
        STAGE_ROW(test_failures_of_the_node),
        STAGE_ROW(test_patience_of_the_client),
        STAGE_ROW(test_stream_closed_before_the_answer),
        STAGE_ROW(test_requests_that_never_come),
        STAGE_ROW(test_door_freed_before_the_answers),
        STAGE_ROW(test_random_requests),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

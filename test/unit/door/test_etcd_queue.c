/* Locks and elections: calls that wait for each other over one fake node, with a real tree behind it. */
#include "unit.h"

#include "door/etcd/door.h"
#include "fake_node.h"
#include "lock.pb-c.h"
#include "wire/protobuf.h"

/* ---- the stage ---- */

struct stage {
    qr_node node;
    qr_etcd_door *door;
    qr_etcd_line line;
    qr_arena arena;
    size_t queued; /* what every call says is not drained */
};

typedef struct waiter {
    struct stage *stage;
    qr_etcd_call *call;
    qr_buffer answer; /* the latest */
    unsigned answers;
    bool finished;
    qr_grpc_code code;
    const char *text;
} waiter;

static qr_buffer *test_begin(qr_etcd_call *call)
{
    waiter *self = call->stream;
    qr_buffer_clear(&self->answer);
    return &self->answer;
}

static void test_end(qr_etcd_call *call)
{
    ((waiter *)call->stream)->answers++;
}

static size_t test_queued(qr_etcd_call *call)
{
    return ((waiter *)call->stream)->stage->queued;
}

static void test_finish(qr_etcd_call *call, qr_grpc_code code, const char *text)
{
    waiter *self = call->stream;
    assert_false(self->finished);
    self->finished = true;
    self->code = code;
    self->text = text ? text : "";
}

static const qr_etcd_transport transport = {
    .begin = test_begin, .end = test_end, .queued = test_queued, .finish = test_finish};

static void wake(void *context)
{
    (void)context;
}

static int fresh(void **state)
{
    struct stage *made = qr_alloc_zero(1, sizeof *made);
    fake_node_init(&made->node);
    qr_arena_init(&made->arena);
    made->door = qr_etcd_door_new(
        &(qr_etcd_config){.node = &made->node, .cluster = FAKE_CLUSTER, .self = FAKE_SELF, .name = "one"});
    qr_etcd_line_open(&made->line, made->door, (qr_stream_waker){.wake = wake}, 1000);
    *state = made;
    return 0;
}

static int gone(void **state)
{
    struct stage *stage = *state;
    qr_etcd_line_close(&stage->line);
    fake_node_free(&stage->node); /* which tells the last withdrawals that nothing comes of them */
    qr_etcd_door_free(stage->door);
    qr_arena_free(&stage->arena);
    qr_free(stage);
    return 0;
}

static void start_with(struct stage *stage, waiter *self, const char *path, const ProtobufCMessage *request,
                       uint64_t timeout_ms)
{
    const char *text;
    *self = (waiter){.stage = stage};
    qr_buffer_init(&self->answer);
    const qr_etcd_method *method = qr_etcd_find_method(qr_slice_text(path), &stage->arena, &text);
    assert_non_null(method);
    self->call = qr_etcd_call_new(stage->door, method, &transport, self, stage->line.now_ms);
    self->call->line = &stage->line;
    self->call->timeout_ms = timeout_ms;
    qr_buffer bytes;
    qr_buffer_init(&bytes);
    qr_protobuf_pack(request, &bytes);
    qr_etcd_call_message(self->call, qr_buffer_slice(&bytes));
    if (!self->finished)
        qr_etcd_call_half_closed(self->call);
    qr_buffer_free(&bytes);
}

/* The client hangs up, or has its answer. */
static void end(waiter *self)
{
    qr_etcd_call_closed(self->call);
    qr_buffer_free(&self->answer);
}

static ProtobufCBinaryData data_of(const char *text)
{
    return (ProtobufCBinaryData){.data = (uint8_t *)(uintptr_t)text, .len = strlen(text)};
}

static void start_lock(struct stage *stage, waiter *self, int64_t lease, uint64_t timeout_ms)
{
    QrEtcdpb__LockRequest request = QR_ETCDPB__LOCK_REQUEST__INIT;
    request.name = data_of("name");
    request.lease = lease;
    start_with(stage, self, "/v3lockpb.Lock/Lock", &request.base, timeout_ms);
}

static void lock(struct stage *stage, waiter *self, int64_t lease)
{
    start_lock(stage, self, lease, UINT64_MAX);
    fake_node_turn(&stage->node);
}

static ProtobufCBinaryData locked_key(waiter *self)
{
    assert_true(self->finished);
    assert_int_equal(self->code, QR_GRPC_OK);
    const QrEtcdpb__LockResponse *answer = (const void *)qr_protobuf_unpack(
        &qr_etcdpb__lock_response__descriptor, qr_buffer_slice(&self->answer), &self->stage->arena);
    assert_non_null(answer);
    assert_true(answer->header->revision > 1);
    return answer->key;
}

static void unlock(struct stage *stage, ProtobufCBinaryData key)
{
    waiter self;
    QrEtcdpb__UnlockRequest request = QR_ETCDPB__UNLOCK_REQUEST__INIT;
    request.key = key;
    start_with(stage, &self, "/v3lockpb.Lock/Unlock", &request.base, UINT64_MAX);
    fake_node_turn(&stage->node);
    assert_int_equal(self.code, QR_GRPC_OK);
    end(&self);
}

static void grant(struct stage *stage, int64_t lease)
{
    waiter self;
    QrEtcdpb__LeaseGrantRequest request = QR_ETCDPB__LEASE_GRANT_REQUEST__INIT;
    request.id = lease;
    request.ttl = 60;
    start_with(stage, &self, "/etcdserverpb.Lease/LeaseGrant", &request.base, UINT64_MAX);
    fake_node_turn(&stage->node);
    assert_int_equal(self.code, QR_GRPC_OK);
    end(&self);
}

static void revoke(struct stage *stage, int64_t lease)
{
    waiter self;
    QrEtcdpb__LeaseRevokeRequest request = QR_ETCDPB__LEASE_REVOKE_REQUEST__INIT;
    request.id = lease;
    start_with(stage, &self, "/etcdserverpb.Lease/LeaseRevoke", &request.base, UINT64_MAX);
    fake_node_turn(&stage->node);
    assert_int_equal(self.code, QR_GRPC_OK);
    end(&self);
}

static uint64_t keys(struct stage *stage)
{
    const qr_query query = {.kind = QR_QUERY_STATUS};
    const void *result = NULL;
    qr_machine *tree = stage->node.tree;
    assert_int_equal(tree->ops->query(tree, &query, &stage->arena, &result), QR_OK);
    return ((const qr_tree_status *)result)->keys;
}

/* ---- locks ---- */

static void test_in_line(void **state)
{
    struct stage *stage = *state;
    waiter all[4];
    for (size_t i = 0; i < 4; i++)
        lock(stage, &all[i], 0);
    assert_int_equal(keys(stage), 4);
    for (size_t i = 0; i < 4; i++) {
        for (size_t j = i + 1; j < 4; j++)
            assert_false(all[j].finished);
        unlock(stage, locked_key(&all[i]));
        fake_node_turn(&stage->node);
        end(&all[i]);
    }
    assert_int_equal(keys(stage), 0);
}

static void test_hang_up(void **state)
{
    struct stage *stage = *state;
    waiter holder, going, staying;
    lock(stage, &holder, 0);
    lock(stage, &going, 0);
    lock(stage, &staying, 0);
    end(&going);
    fake_node_turn(&stage->node);
    assert_int_equal(keys(stage), 2);
    fake_node_turn(&stage->node);
    assert_false(staying.finished); /* it looked again, and there is still someone */
    unlock(stage, locked_key(&holder));
    fake_node_turn(&stage->node);
    locked_key(&staying);
    end(&holder); /* the answer was given: the key is its client's business */
    end(&staying);
    fake_node_turn(&stage->node);
    assert_int_equal(keys(stage), 1);
}

/* At every step of queueing up: nothing is left behind. */
static void test_hang_up_early(void **state)
{
    struct stage *stage = *state;
    waiter self;
    grant(stage, 7);
    for (int64_t lease = 0; lease <= 7; lease += 7) {
        start_lock(stage, &self, lease, UINT64_MAX);
        end(&self); /* the lease, or the key, is on its way */
        fake_node_turn(&stage->node);
        fake_node_turn(&stage->node);
        assert_int_equal(keys(stage), 0);
    }
}

static void test_taken_over(void **state)
{
    struct stage *stage = *state;
    waiter holder, first, again;
    grant(stage, 7);
    lock(stage, &holder, 0);
    lock(stage, &first, 7);
    lock(stage, &again, 7);
    end(&first);
    fake_node_turn(&stage->node);
    assert_int_equal(keys(stage), 2);
    unlock(stage, locked_key(&holder));
    fake_node_turn(&stage->node);
    assert_int_equal(locked_key(&again).len, strlen("name/7"));
    assert_int_equal(keys(stage), 1);
    end(&holder);
    end(&again);
}

static void test_lease_ends(void **state)
{
    struct stage *stage = *state;
    waiter holder, waiting;
    grant(stage, 7);
    lock(stage, &holder, 0);
    lock(stage, &waiting, 7);
    revoke(stage, 7);
    fake_node_turn(&stage->node);
    assert_true(waiting.finished);
    assert_int_equal(waiting.code, QR_GRPC_UNKNOWN);
    assert_string_equal(waiting.text, "mutex: session is expired");
    end(&waiting);
    end(&holder);
}

static void test_patience(void **state)
{
    struct stage *stage = *state;
    waiter holder, waiting;
    lock(stage, &holder, 0);
    start_lock(stage, &waiting, 0, 500);
    fake_node_turn(&stage->node);
    qr_etcd_line_tick(&stage->line, 1499);
    assert_false(waiting.finished);
    qr_etcd_line_tick(&stage->line, 1500);
    assert_int_equal(waiting.code, QR_GRPC_DEADLINE_EXCEEDED);
    fake_node_turn(&stage->node);
    assert_int_equal(keys(stage), 1);
    end(&waiting);
    end(&holder);
}

static void test_failures(void **state)
{
    struct stage *stage = *state;
    waiter self;
    stage->node.failure = QR_E_TIMEOUT;
    lock(stage, &self, 0);
    assert_int_equal(self.code, QR_GRPC_UNKNOWN);
    assert_string_equal(self.text, "etcdserver: request timed out");
    end(&self);
    stage->node.failure = QR_OK;
    lock(stage, &self, 99);
    assert_string_equal(self.text, "etcdserver: requested lease not found");
    end(&self);
    stage->node.refusal = QR_E_BUSY;
    lock(stage, &self, 0);
    assert_string_equal(self.text, "etcdserver: too many requests");
    end(&self);
    stage->node.refusal = QR_OK;
    fake_node_turn(&stage->node);
    assert_int_equal(keys(stage), 0);
}

/* What waits is bounded by its bytes, and what has gone makes room again. */
static void test_bound(void **state)
{
    struct stage *stage = *state;
    waiter all[64];
    uint64_t kept = stage->door->queued_bytes;
    uint8_t *name = qr_alloc_zero(1, 1 << 20);
    QrEtcdpb__LockRequest request = QR_ETCDPB__LOCK_REQUEST__INIT;
    request.name = (ProtobufCBinaryData){.data = name, .len = 1 << 20};
    size_t count = 0;
    for (bool refused = false; !refused; count++) {
        assert_true(count < 64);
        start_with(stage, &all[count], "/v3lockpb.Lock/Lock", &request.base, UINT64_MAX);
        refused = all[count].finished;
    }
    assert_string_equal(all[count - 1].text, "etcdserver: too many requests");
    assert_in_range(count, 8, 16);
    for (size_t i = 0; i < count; i++)
        end(&all[i]);
    for (size_t i = 0; i < 3; i++)
        fake_node_turn(&stage->node);
    assert_int_equal(stage->door->queued_bytes, kept);
    qr_free(name);
}

/* ---- elections ---- */

static void campaign(struct stage *stage, waiter *self, int64_t lease, const char *value)
{
    QrEtcdpb__CampaignRequest request = QR_ETCDPB__CAMPAIGN_REQUEST__INIT;
    request.name = data_of("name");
    request.lease = lease;
    request.value = data_of(value);
    start_with(stage, self, "/v3electionpb.Election/Campaign", &request.base, UINT64_MAX);
    fake_node_turn(&stage->node);
    fake_node_turn(&stage->node);
}

static void assert_told(waiter *self, unsigned answers, const char *value)
{
    const QrEtcdpb__LeaderResponse *answer = (const void *)qr_protobuf_unpack(
        &qr_etcdpb__leader_response__descriptor, qr_buffer_slice(&self->answer), &self->stage->arena);
    assert_int_equal(self->answers, answers);
    assert_non_null(answer);
    assert_int_equal(answer->kv->value.len, strlen(value));
    assert_memory_equal(answer->kv->value.data, value, strlen(value));
}

static void test_observe(void **state)
{
    struct stage *stage = *state;
    waiter observer, one, two;
    QrEtcdpb__LeaderRequest request = QR_ETCDPB__LEADER_REQUEST__INIT;
    request.name = data_of("name");
    grant(stage, 7);
    grant(stage, 8);
    start_with(stage, &observer, "/v3electionpb.Election/Observe", &request.base, UINT64_MAX);
    fake_node_turn(&stage->node);
    assert_int_equal(observer.answers, 0);
    campaign(stage, &one, 7, "one");
    assert_told(&observer, 1, "one");
    campaign(stage, &two, 8, "two");
    assert_told(&observer, 1, "one"); /* it only stands */
    stage->queued = SIZE_MAX;
    revoke(stage, 7);
    fake_node_turn(&stage->node);
    assert_told(&observer, 1, "one"); /* no room */
    stage->queued = 0;
    qr_etcd_line_drained(&stage->line);
    fake_node_turn(&stage->node);
    fake_node_turn(&stage->node);
    assert_told(&observer, 2, "two");
    assert_true(two.finished);
    end(&one);
    end(&two);
    end(&observer);
}

int main(void)
{
#define ROW(test) cmocka_unit_test_setup_teardown(test, fresh, gone)
    const struct CMUnitTest tests[] = {
        ROW(test_in_line),    ROW(test_hang_up),    ROW(test_hang_up_early),
        ROW(test_taken_over), ROW(test_lease_ends), ROW(test_patience),
        ROW(test_bound),      ROW(test_failures),   ROW(test_observe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

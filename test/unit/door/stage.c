#include "stage.h"

static struct stage *stage_of(const qr_etcd_call *call)
{
    return call->stream;
}

static qr_buffer *test_begin(qr_etcd_call *call)
{
    qr_buffer_clear(&stage_of(call)->answer);
    return &stage_of(call)->answer;
}

static void test_end(qr_etcd_call *call)
{
    assert_false(stage_of(call)->finished);
}

static void test_finish(qr_etcd_call *call, qr_grpc_code code, const char *text)
{
    struct stage *stage = stage_of(call);
    assert_false(stage->finished); /* exactly once */
    stage->finished = true;
    stage->code = code;
    stage->text = text ? text : "";
}

static const qr_etcd_transport transport = {.begin = test_begin, .end = test_end, .finish = test_finish};

static void on_published(void *context)
{
    ((struct stage *)context)->published++;
}

int stage_fresh(void **state)
{
    static const qr_etcd_member members[] = {
        {.id = FAKE_SELF, .name = "one", .peer_urls = {"http://127.0.0.1:1"}, .peer_url_count = 1},
        {.id = FAKE_OTHER,
         .name = "two",
         .peer_urls = {"http://127.0.0.1:2", "http://127.0.0.1:22"},
         .peer_url_count = 2},
        {.id = FAKE_LEARNER, .name = "three"}};
    struct stage *made = qr_alloc_zero(1, sizeof *made);
    fake_node_init(&made->node);
    qr_arena_init(&made->arena);
    qr_buffer_init(&made->answer);
    made->door = qr_etcd_door_new(&(qr_etcd_config){.node = &made->node,
                                                    .cluster = FAKE_CLUSTER,
                                                    .self = FAKE_SELF,
                                                    .name = "one",
                                                    .client_urls = {"http://127.0.0.1:3"},
                                                    .client_url_count = 1,
                                                    .members = members,
                                                    .member_count = 3,
                                                    .published = on_published,
                                                    .context = made});
    *state = made;
    return 0;
}

int stage_gone(void **state)
{
    struct stage *stage = *state;
    qr_etcd_door_free(stage->door);
    fake_node_free(&stage->node);
    qr_arena_free(&stage->arena);
    qr_buffer_free(&stage->answer);
    qr_free(stage);
    return 0;
}

qr_etcd_call *begin_call(struct stage *stage, const char *path)
{
    const char *text;
    const qr_etcd_method *method = qr_etcd_find_method(qr_slice_text(path), &stage->arena, &text);
    assert_non_null(method);
    stage->finished = false;
    stage->code = QR_GRPC_UNKNOWN;
    stage->text = NULL;
    qr_buffer_clear(&stage->answer);
    return qr_etcd_call_new(stage->door, method, &transport, stage, 1000);
}

void *ask(struct stage *stage, const char *path, const ProtobufCMessage *request,
          const ProtobufCMessageDescriptor *descriptor)
{
    qr_buffer bytes;
    qr_buffer_init(&bytes);
    qr_protobuf_pack(request, &bytes);
    qr_etcd_call *call = begin_call(stage, path);
    qr_etcd_call_message(call, qr_buffer_slice(&bytes));
    memset(bytes.data ? bytes.data : (uint8_t *)"", 0xee,
           bytes.data ? bytes.room : 0); /* it was only borrowed */
    qr_buffer_free(&bytes);
    fake_node_turn(&stage->node);
    assert_true(stage->finished);
    qr_etcd_call_closed(call);
    if (stage->code != QR_GRPC_OK)
        return NULL;
    void *answer = qr_protobuf_unpack(descriptor, qr_buffer_slice(&stage->answer), &stage->arena);
    assert_non_null(answer);
    return answer;
}

void assert_error(struct stage *stage, const void *answer, qr_etcd_error error)
{
    assert_null(answer);
    assert_string_equal(stage->text, qr_etcd_error_text(error));
    assert_int_equal(stage->code, qr_etcd_error_code(error));
}

ProtobufCBinaryData data_of(const char *text)
{
    return (ProtobufCBinaryData){.len = strlen(text), .data = (uint8_t *)text};
}

void assert_data(ProtobufCBinaryData data, const char *text)
{
    assert_int_equal(data.len, strlen(text));
    if (data.len)
        assert_memory_equal(data.data, text, data.len);
}

void assert_header(const QrEtcdpb__ResponseHeader *header, int64_t revision)
{
    assert_non_null(header);
    assert_int_equal(header->cluster_id, FAKE_CLUSTER);
    assert_int_equal(header->member_id, FAKE_SELF);
    assert_int_equal(header->revision, revision);
    assert_int_equal(header->raft_term, 7);
}

QrEtcdpb__PutResponse *send_put(struct stage *stage, const QrEtcdpb__PutRequest *request)
{
    return ask(stage, "/etcdserverpb.KV/Put", &request->base, &qr_etcdpb__put_response__descriptor);
}

QrEtcdpb__PutResponse *put(struct stage *stage, const char *key, const char *value)
{
    QrEtcdpb__PutRequest request = QR_ETCDPB__PUT_REQUEST__INIT;
    request.key = data_of(key);
    request.value = data_of(value);
    return send_put(stage, &request);
}

QrEtcdpb__RangeResponse *send_range(struct stage *stage, const QrEtcdpb__RangeRequest *request)
{
    return ask(stage, "/etcdserverpb.KV/Range", &request->base, &qr_etcdpb__range_response__descriptor);
}

QrEtcdpb__RangeResponse *range(struct stage *stage, const char *key, const char *end, int64_t limit,
                               int64_t revision)
{
    QrEtcdpb__RangeRequest request = QR_ETCDPB__RANGE_REQUEST__INIT;
    request.key = data_of(key);
    if (end)
        request.range_end = *end ? data_of(end) : (ProtobufCBinaryData){.len = 1, .data = (uint8_t *)end};
    request.limit = limit;
    request.revision = revision;
    return send_range(stage, &request);
}

QrEtcdpb__CompactionResponse *compact(struct stage *stage, int64_t revision)
{
    QrEtcdpb__CompactionRequest request = QR_ETCDPB__COMPACTION_REQUEST__INIT;
    request.revision = revision;
    request.physical = revision % 2;
    return ask(stage, "/etcdserverpb.KV/Compact", &request.base, &qr_etcdpb__compaction_response__descriptor);
}

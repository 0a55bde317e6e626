/* What a client may ask of the etcd door: any bytes as the message of any method, one call after another over
 * one tree. Each call is answered exactly once, with an answer or a code of the error table.
 *
 * Input: a row of {u8 method, u16 size, message}. */
#include "door/etcd/door.h"

#include "../unit/door/fake_node.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CALLS_MAX = 32 };

typedef struct answer {
    qr_buffer bytes;
    bool finished;
} answer;

static qr_buffer *begin(qr_etcd_call *call)
{
    answer *given = call->stream;
    qr_buffer_clear(&given->bytes);
    return &given->bytes;
}

static void end(qr_etcd_call *call)
{
    QR_ASSERT(!((answer *)call->stream)->finished);
}

static void finish(qr_etcd_call *call, qr_grpc_code code, const char *text)
{
    answer *given = call->stream;
    QR_ASSERT(!given->finished && code <= QR_GRPC_UNAUTHENTICATED);
    QR_ASSERT(code == QR_GRPC_OK || (text != NULL && *text != '\0'));
    given->finished = true;
}

static void ask(qr_etcd_door *door, qr_node *node, uint8_t which, qr_slice message)
{
    static const char *const paths[] = {
        "/etcdserverpb.KV/Put",
        "/etcdserverpb.KV/Range",
        "/etcdserverpb.KV/Txn",
        "/etcdserverpb.KV/DeleteRange",
        "/etcdserverpb.KV/Compact",
        "/etcdserverpb.Maintenance/Status",
        "/etcdserverpb.KV/Txn",
        "/etcdserverpb.Maintenance/HashKV",
        "/etcdserverpb.Cluster/MemberList",
        "/etcdserverpb.KV/Range",
        "/etcdserverpb.Maintenance/Alarm",
        "/etcdserverpb.Maintenance/MoveLeader",
        "/grpc.health.v1.Health/Check",
    };
    static const qr_etcd_transport transport = {.begin = begin, .end = end, .finish = finish};
    answer given = {.finished = false};
    qr_arena arena;
    qr_arena_init(&arena);
    const char *text;
    const char *path = paths[which % (sizeof paths / sizeof *paths)];
    const qr_etcd_method *method = qr_etcd_find_method(qr_slice_text(path), &arena, &text);
    QR_ASSERT(method != NULL);
    qr_etcd_call *call = qr_etcd_call_new(door, method, &transport, &given, 1000);
    qr_etcd_call_message(call, message);
    fake_node_turn(node);
    QR_ASSERT(given.finished);
    qr_etcd_call_closed(call);
    qr_buffer_free(&given.bytes);
    qr_arena_free(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const qr_etcd_member member = {.id = FAKE_SELF, .name = "one"};
    qr_node node;
    fake_node_init(&node);
    qr_etcd_door *door = qr_etcd_door_new(&(qr_etcd_config){.node = &node,
                                                            .cluster = FAKE_CLUSTER,
                                                            .self = FAKE_SELF,
                                                            .name = "one",
                                                            .members = &member,
                                                            .member_count = 1});
    qr_reader reader = qr_reader_of(qr_slice_of(data, size));
    for (int i = 0; i < CALLS_MAX && qr_reader_left(&reader) > 0; i++) {
        uint8_t which = qr_reader_u8(&reader);
        size_t left = qr_reader_u16(&reader);
        if (left > qr_reader_left(&reader))
            left = qr_reader_left(&reader);
        ask(door, &node, which, qr_reader_take(&reader, left));
    }
    qr_etcd_door_free(door);
    fake_node_free(&node);
    return 0;
}

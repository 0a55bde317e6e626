/* A door over a fake node with a real tree, below gRPC: calls from the bytes of their request to the bytes of
 * their answer. */
#ifndef QR_TEST_DOOR_STAGE_H
#define QR_TEST_DOOR_STAGE_H

#include "unit.h"

#include "door/etcd/door.h"
#include "fake_node.h"
#include "wire/protobuf.h"

struct stage {
    qr_node node;
    qr_etcd_door *door;
    qr_arena arena;
    qr_buffer answer; /* of the last call */
    bool finished;
    qr_grpc_code code;
    const char *text;
    int published;
    void *told;
};

/* Set-up and tear-down of a case whose state is a stage. */
int stage_fresh(void **state);
int stage_gone(void **state);
/* A call that has said nothing yet; to be closed by the test. */
qr_etcd_call *begin_call(struct stage *stage, const char *path);
/* The whole way of one call; NULL when it ended with an error. */
void *ask(struct stage *stage, const char *path, const ProtobufCMessage *request,
          const ProtobufCMessageDescriptor *descriptor);
void assert_error(struct stage *stage, const void *answer, qr_etcd_error error);
ProtobufCBinaryData data_of(const char *text);
void assert_data(ProtobufCBinaryData data, const char *text);
void assert_header(const QrEtcdpb__ResponseHeader *header, int64_t revision);

QrEtcdpb__PutResponse *send_put(struct stage *stage, const QrEtcdpb__PutRequest *request);
QrEtcdpb__PutResponse *put(struct stage *stage, const char *key, const char *value);
QrEtcdpb__RangeResponse *send_range(struct stage *stage, const QrEtcdpb__RangeRequest *request);
/* end: NULL = one key, "\0" = all from the key on. */
QrEtcdpb__RangeResponse *range(struct stage *stage, const char *key, const char *end, int64_t limit,
                               int64_t revision);
QrEtcdpb__CompactionResponse *compact(struct stage *stage, int64_t revision);

#define STAGE_ROW(test) cmocka_unit_test_setup_teardown(test, stage_fresh, stage_gone)

#endif

/* The messages of the hot calls, encoded and decoded by hand from one table each: put, range, delete,
 * compact, and the answer of a txn. Every other message goes through protobuf-c. The unit tests compare both
 * ways, byte by byte.
 *
 * A table line is X(field number, kind, member): NUMBER (any varint: int64, uint64, enum), FLAG (bool) or
 * BYTES. The structs, the decoders and the encoders are made from the same lines. Members bear the names of
 * the .proto files. */
#ifndef QR_DOOR_ETCD_MESSAGE_H
#define QR_DOOR_ETCD_MESSAGE_H

#include "base/base.h"
#include "core/events.h"
#include "core/txn.h"

#define QR_ETCD_HEADER(X)                                                                                    \
    X(1, NUMBER, cluster_id)                                                                                 \
    X(2, NUMBER, member_id)                                                                                  \
    X(3, NUMBER, revision)                                                                                   \
    X(4, NUMBER, raft_term)

#define QR_ETCD_RANGE_REQUEST(X)                                                                             \
    X(1, BYTES, key)                                                                                         \
    X(2, BYTES, range_end)                                                                                   \
    X(3, NUMBER, limit)                                                                                      \
    X(4, NUMBER, revision)                                                                                   \
    X(5, NUMBER, sort_order)                                                                                 \
    X(6, NUMBER, sort_target)                                                                                \
    X(7, FLAG, serializable)                                                                                 \
    X(8, FLAG, keys_only)                                                                                    \
    X(9, FLAG, count_only)                                                                                   \
    X(10, NUMBER, min_mod_revision)                                                                          \
    X(11, NUMBER, max_mod_revision)                                                                          \
    X(12, NUMBER, min_create_revision)                                                                       \
    X(13, NUMBER, max_create_revision)

#define QR_ETCD_PUT_REQUEST(X)                                                                               \
    X(1, BYTES, key)                                                                                         \
    X(2, BYTES, value)                                                                                       \
    X(3, NUMBER, lease)                                                                                      \
    X(4, FLAG, prev_kv)                                                                                      \
    X(5, FLAG, ignore_value)                                                                                 \
    X(6, FLAG, ignore_lease)

#define QR_ETCD_DELETE_REQUEST(X)                                                                            \
    X(1, BYTES, key)                                                                                         \
    X(2, BYTES, range_end)                                                                                   \
    X(3, FLAG, prev_kv)

#define QR_ETCD_COMPACT_REQUEST(X)                                                                           \
    X(1, NUMBER, revision)                                                                                   \
    X(2, FLAG, physical)

/* Encoded straight from a qr_key_value of core/txn.h. */
#define QR_ETCD_KEY_VALUE(X)                                                                                 \
    X(1, BYTES, key)                                                                                         \
    X(2, NUMBER, create_revision)                                                                            \
    X(3, NUMBER, mod_revision)                                                                               \
    X(4, NUMBER, version)                                                                                    \
    X(5, BYTES, value)                                                                                       \
    X(6, NUMBER, lease)

#define QR_ETCD_TYPE_NUMBER                  int64_t
#define QR_ETCD_TYPE_FLAG                    bool
#define QR_ETCD_TYPE_BYTES                   qr_slice
#define QR_ETCD_MEMBER(number, kind, member) QR_ETCD_TYPE_##kind member;

typedef struct qr_etcd_header {
    QR_ETCD_HEADER(QR_ETCD_MEMBER)
} qr_etcd_header;
typedef struct qr_etcd_range_request {
    QR_ETCD_RANGE_REQUEST(QR_ETCD_MEMBER)
} qr_etcd_range_request;
typedef struct qr_etcd_put_request {
    QR_ETCD_PUT_REQUEST(QR_ETCD_MEMBER)
} qr_etcd_put_request;
typedef struct qr_etcd_delete_request {
    QR_ETCD_DELETE_REQUEST(QR_ETCD_MEMBER)
} qr_etcd_delete_request;
typedef struct qr_etcd_compact_request {
    QR_ETCD_COMPACT_REQUEST(QR_ETCD_MEMBER)
} qr_etcd_compact_request;

/* False: malformed. The members borrow the bytes; absent fields are zero; unknown fields are skipped. */
bool qr_etcd_decode_range(qr_slice bytes, qr_etcd_range_request *request);
bool qr_etcd_decode_put(qr_slice bytes, qr_etcd_put_request *request);
bool qr_etcd_decode_delete(qr_slice bytes, qr_etcd_delete_request *request);
bool qr_etcd_decode_compact(qr_slice bytes, qr_etcd_compact_request *request);

/* Each appends one whole answer. */
void qr_etcd_encode_range(qr_buffer *out, const qr_etcd_header *header, const qr_op_result *result);
/* The same in pieces: what all but the key-values take, and the parts behind the header. count: of all keys.
 */
size_t qr_etcd_range_frame_bytes(const qr_etcd_header *header, bool more, uint64_t count);
void qr_etcd_encode_range_tail(qr_buffer *out, bool more, uint64_t count);
size_t qr_etcd_key_values_bytes(const qr_key_value *kvs, size_t count);
void qr_etcd_encode_key_values(qr_buffer *out, const qr_key_value *kvs, size_t count);
void qr_etcd_encode_put(qr_buffer *out, const qr_etcd_header *header, const qr_op_result *result);
void qr_etcd_encode_delete(qr_buffer *out, const qr_etcd_header *header, const qr_op_result *result);
/* The answers inside carry a header with the revision after that operation only; a nested txn an empty one.
 * The arena is for the sizes of nested messages. */
void qr_etcd_encode_txn(qr_buffer *out, const qr_etcd_header *header, const qr_txn_result *result,
                        qr_arena *arena);
/* A message that is nothing but a header in field 1: the answer of a compaction. */
void qr_etcd_encode_header(qr_buffer *out, const qr_etcd_header *header);
/* One event of an answer of Watch, with its tag; and that answer, around events that were encoded before. */
void qr_etcd_encode_event(qr_buffer *out, const qr_kv_event *event);
void qr_etcd_encode_watch(qr_buffer *out, const qr_etcd_header *header, int64_t watch_id, bool fragment,
                          qr_slice events);
/* How many of these encoded events make up about `size_max` bytes, in bytes; one at least. */
size_t qr_etcd_events_cut(qr_slice events, size_t size_max);
/* At least the bytes that the answer takes, and not many more: for bounds, before memory is taken. */
uint64_t qr_etcd_operation_bytes(const qr_op_result *result);
uint64_t qr_etcd_txn_bytes(const qr_txn_result *result);

#endif

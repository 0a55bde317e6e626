/* What the door answers when it does not answer: one table of gRPC codes and texts. Clients compare the
 * texts, so they are etcd's to the letter. */
#ifndef QR_DOOR_ETCD_ERROR_H
#define QR_DOOR_ETCD_ERROR_H

#include "base/base.h"
#include "wire/grpc.h"

/* name, code, text */
#define QR_ETCD_ERROR_LIST(X)                                                                                \
    X(NONE, OK, "")                                                                                          \
    X(EMPTY_KEY, INVALID_ARGUMENT, "etcdserver: key is not provided")                                        \
    X(KEY_NOT_FOUND, INVALID_ARGUMENT, "etcdserver: key not found")                                          \
    X(VALUE_PROVIDED, INVALID_ARGUMENT, "etcdserver: value is provided")                                     \
    X(LEASE_PROVIDED, INVALID_ARGUMENT, "etcdserver: lease is provided")                                     \
    X(TOO_MANY_OPERATIONS, INVALID_ARGUMENT, "etcdserver: too many operations in txn request")               \
    X(DUPLICATE_KEY, INVALID_ARGUMENT, "etcdserver: duplicate key given in txn request")                     \
    X(INVALID_SORT, INVALID_ARGUMENT, "etcdserver: invalid sort option")                                     \
    X(INVALID_COMPARE, INVALID_ARGUMENT, "etcdserver: invalid compare option")                               \
    X(TOO_LARGE, INVALID_ARGUMENT, "etcdserver: request is too large")                                       \
    X(COMPACTED, OUT_OF_RANGE, "etcdserver: mvcc: required revision has been compacted")                     \
    X(FUTURE_REVISION, OUT_OF_RANGE, "etcdserver: mvcc: required revision is a future revision")             \
    X(NO_SPACE, RESOURCE_EXHAUSTED, "etcdserver: mvcc: database space exceeded")                             \
    X(TOO_MANY_REQUESTS, RESOURCE_EXHAUSTED, "etcdserver: too many requests")                                \
    X(ANSWER_TOO_LARGE, RESOURCE_EXHAUSTED, "etcdserver: answer is too large, ask for less with a limit")    \
    X(LEASE_NOT_FOUND, NOT_FOUND, "etcdserver: requested lease not found")                                   \
    X(LEASE_TTL_TOO_LARGE, OUT_OF_RANGE, "etcdserver: too large lease TTL")                                  \
    X(LEASE_EXISTS, FAILED_PRECONDITION, "etcdserver: lease already exists")                                 \
    X(NOT_LEADER, FAILED_PRECONDITION, "etcdserver: not leader")                                             \
    X(BAD_TRANSFEREE, FAILED_PRECONDITION, "etcdserver: bad leader transferee")                              \
    X(MEMBER_NOT_FOUND, NOT_FOUND, "etcdserver: member not found")                                           \
    X(MEMBER_EXISTS, FAILED_PRECONDITION, "etcdserver: member ID already exist")                             \
    X(PEER_URLS_EXIST, FAILED_PRECONDITION, "etcdserver: Peer URLs already exists")                          \
    X(BAD_MEMBER_URLS, INVALID_ARGUMENT, "etcdserver: given member URLs are invalid")                        \
    X(NOT_ENOUGH_STARTED, FAILED_PRECONDITION,                                                               \
      "etcdserver: re-configuration failed due to not enough started members")                               \
    X(UNHEALTHY, UNAVAILABLE, "etcdserver: unhealthy cluster")                                               \
    X(NOT_LEARNER, FAILED_PRECONDITION, "etcdserver: can only promote a learner member")                     \
    X(LEARNER_NOT_READY, FAILED_PRECONDITION,                                                                \
      "etcdserver: can only promote a learner member which is in sync with leader")                          \
    X(TOO_MANY_MEMBERS, FAILED_PRECONDITION, "etcdserver: too many members in cluster")                      \
    X(PERMISSION_DENIED, PERMISSION_DENIED, "etcdserver: permission denied")                                 \
    X(CORRUPT, DATA_LOSS, "etcdserver: corrupt cluster")                                                     \
    X(DOWNGRADE_FORMAT, INVALID_ARGUMENT, "etcdserver: wrong downgrade target version format")               \
    X(DOWNGRADE_TARGET, INVALID_ARGUMENT, "etcdserver: invalid downgrade target version")                    \
    X(NO_DOWNGRADE, FAILED_PRECONDITION, "etcdserver: no inflight downgrade job")                            \
    X(NO_LEADER, UNAVAILABLE, "etcdserver: no leader")                                                       \
    X(LEADER_CHANGED, UNAVAILABLE, "etcdserver: leader changed")                                             \
    X(TIMED_OUT, UNAVAILABLE, "etcdserver: request timed out")                                               \
    X(STOPPED, UNAVAILABLE, "etcdserver: server stopped")                                                    \
    X(DEADLINE, DEADLINE_EXCEEDED, "context deadline exceeded")                                              \
    X(MALFORMED, INTERNAL, "grpc: error unmarshalling request: malformed message")                           \
    X(NO_MESSAGE, INTERNAL, "grpc: the request ended without a message")                                     \
    X(UNKNOWN_HEALTH_SERVICE, NOT_FOUND, "unknown service")                                                  \
    X(NOT_CAPABLE, UNAVAILABLE, "etcdserver: not capable")                                                   \
    X(UNSUPPORTED, UNIMPLEMENTED, "etcdserver: not supported by this server")                                \
    X(INTERNAL, INTERNAL, "etcdserver: internal error")

typedef enum qr_etcd_error {
#define QR_ETCD_ERROR_ENUM(name, code, text) QR_ETCD_E_##name,
    QR_ETCD_ERROR_LIST(QR_ETCD_ERROR_ENUM)
#undef QR_ETCD_ERROR_ENUM
        QR_ETCD_ERROR_COUNT
} qr_etcd_error;

qr_grpc_code qr_etcd_error_code(qr_etcd_error error);
const char *qr_etcd_error_text(qr_etcd_error error);
/* What a status of the node or the tree is called here. */
qr_etcd_error qr_etcd_error_of(qr_status status);

#endif

/* The one list of everything that can go wrong without being a bug of ours. A function that can fail returns
 * a qr_status: QR_OK (0) or one of these. Doors translate them to their protocol's codes, each in one table.
 */
#ifndef QR_BASE_STATUS_H
#define QR_BASE_STATUS_H

/* name, sentence. Numbers travel in results between versions: append only. */
#define QR_STATUS_LIST(X)                                                                                    \
    X(OK, "ok")                                                                                              \
    /* input */                                                                                              \
    X(INVALID, "malformed input")                                                                            \
    X(TOO_LARGE, "larger than the allowed size")                                                             \
    X(TOO_DEEP, "nested too deeply")                                                                         \
    X(BAD_VERSION, "format version not known here")                                                          \
    X(UNSUPPORTED, "not supported")                                                                          \
    /* files */                                                                                              \
    X(CORRUPT, "checksum or structure is damaged")                                                           \
    X(FOREIGN, "belongs to another cluster or member")                                                       \
    X(IO, "input/output error")                                                                              \
    X(NO_SPACE, "no space left on the device")                                                               \
    X(NOT_FOUND, "not found")                                                                                \
    X(EXISTS, "already exists")                                                                              \
    X(PERMISSION, "permissions are too wide or too narrow")                                                  \
    /* conduct of a replica */                                                                               \
    X(BUSY, "a bounded queue is full")                                                                       \
    X(NO_LEADER, "no leader is known; surely not applied")                                                   \
    X(NOT_LEADER, "this member is not the leader")                                                           \
    X(NOT_APPLIED, "surely not applied")                                                                     \
    X(TIMEOUT, "no answer in time; may have been applied")                                                   \
    X(STOPPED, "this member is stopping; may have been applied")                                             \
    X(HALTED, "this member has halted")                                                                      \
    /* the machine's verdicts */                                                                             \
    X(COMPACTED, "required revision has been compacted")                                                     \
    X(FUTURE_REVISION, "required revision is a future revision")                                             \
    X(KEY_NOT_FOUND, "key not found")                                                                        \
    X(LEASE_NOT_FOUND, "lease not found")                                                                    \
    X(LEASE_EXISTS, "lease already exists")                                                                  \
    X(DUPLICATE_KEY, "duplicate key in one transaction")                                                     \
    X(VERSION_MISMATCH, "the key is at another version")                                                     \
    X(QUOTA, "the space quota is used up")                                                                   \
    X(DENIED, "permission denied")                                                                           \
    /* changes of members */                                                                                 \
    X(NOT_READY, "the member has not caught up yet")                                                         \
    X(QUORUM, "too few of the remaining members are alive")                                                  \
    /* the machine's verdicts on paths */                                                                    \
    X(HAS_CHILDREN, "there are keys below this one")                                                         \
    X(HAS_LEASE, "the key has a lease")

/* QR_OK, or QR_E_<NAME>. */
typedef enum qr_status {
#define QR_STATUS_ENUM(name, sentence) QR_E_##name,
    QR_STATUS_LIST(QR_STATUS_ENUM)
#undef QR_STATUS_ENUM
        QR_STATUS_COUNT
} qr_status;
#define QR_OK QR_E_OK

const char *qr_status_name(qr_status status);     /* "COMPACTED" */
const char *qr_status_sentence(qr_status status); /* "required revision has been compacted" */

#endif

#include "door/etcd/error.h"

static const struct {
    qr_grpc_code code;
    const char *text;
} errors[] = {
#define ERROR_ROW(name, number, sentence) [QR_ETCD_E_##name] = {QR_GRPC_##number, sentence},
    QR_ETCD_ERROR_LIST(ERROR_ROW)
#undef ERROR_ROW
};

/* Statuses that no request of this door should meet are INTERNAL: seeing one is a bug of ours. */
static const qr_etcd_error of_status[QR_STATUS_COUNT] = {
    [QR_E_OK] = QR_ETCD_E_NONE,
    [QR_E_INVALID] = QR_ETCD_E_INTERNAL,
    [QR_E_TOO_LARGE] = QR_ETCD_E_TOO_LARGE,
    [QR_E_TOO_DEEP] = QR_ETCD_E_TOO_MANY_OPERATIONS,
    [QR_E_BAD_VERSION] = QR_ETCD_E_INTERNAL,
    [QR_E_UNSUPPORTED] = QR_ETCD_E_NOT_CAPABLE,
    [QR_E_CORRUPT] = QR_ETCD_E_CORRUPT,
    [QR_E_FOREIGN] = QR_ETCD_E_INTERNAL,
    [QR_E_IO] = QR_ETCD_E_STOPPED,
    [QR_E_NO_SPACE] = QR_ETCD_E_NO_SPACE,
    [QR_E_NOT_FOUND] = QR_ETCD_E_KEY_NOT_FOUND,
    [QR_E_EXISTS] = QR_ETCD_E_INTERNAL,
    [QR_E_PERMISSION] = QR_ETCD_E_INTERNAL,
    [QR_E_BUSY] = QR_ETCD_E_TOO_MANY_REQUESTS,
    [QR_E_NO_LEADER] = QR_ETCD_E_NO_LEADER,
    [QR_E_NOT_LEADER] = QR_ETCD_E_NOT_LEADER,
    [QR_E_NOT_APPLIED] = QR_ETCD_E_LEADER_CHANGED,
    [QR_E_TIMEOUT] = QR_ETCD_E_TIMED_OUT,
    [QR_E_STOPPED] = QR_ETCD_E_STOPPED,
    [QR_E_HALTED] = QR_ETCD_E_STOPPED,
    [QR_E_COMPACTED] = QR_ETCD_E_COMPACTED,
    [QR_E_FUTURE_REVISION] = QR_ETCD_E_FUTURE_REVISION,
    [QR_E_KEY_NOT_FOUND] = QR_ETCD_E_KEY_NOT_FOUND,
    [QR_E_LEASE_NOT_FOUND] = QR_ETCD_E_LEASE_NOT_FOUND,
    [QR_E_LEASE_EXISTS] = QR_ETCD_E_LEASE_EXISTS,
    [QR_E_DUPLICATE_KEY] = QR_ETCD_E_DUPLICATE_KEY,
    [QR_E_VERSION_MISMATCH] = QR_ETCD_E_INTERNAL,
    [QR_E_QUOTA] = QR_ETCD_E_NO_SPACE,
    [QR_E_DENIED] = QR_ETCD_E_PERMISSION_DENIED,
    [QR_E_NOT_READY] = QR_ETCD_E_LEARNER_NOT_READY,
    [QR_E_QUORUM] = QR_ETCD_E_UNHEALTHY,
};

qr_grpc_code qr_etcd_error_code(qr_etcd_error error)
{
    QR_ASSERT((unsigned)error < QR_ETCD_ERROR_COUNT);
    return errors[error].code;
}

const char *qr_etcd_error_text(qr_etcd_error error)
{
    QR_ASSERT((unsigned)error < QR_ETCD_ERROR_COUNT);
    return errors[error].text;
}

qr_etcd_error qr_etcd_error_of(qr_status status)
{
    QR_ASSERT((unsigned)status < QR_STATUS_COUNT);
    qr_etcd_error error = of_status[status];
    return status != QR_OK && error == QR_ETCD_E_NONE ? QR_ETCD_E_INTERNAL
                                                      : error; /* a status newer than the table */
}

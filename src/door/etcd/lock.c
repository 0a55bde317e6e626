/* The Lock service: Lock waits for its turn in the queue under the name; Unlock deletes the key. */
#include "door/etcd/door.h"
#include "door/etcd/queue.h"
#include "lock.pb-c.h"
#include "wire/protobuf.h"

static void answer_lock(qr_etcd_call *call, const qr_etcd_place *place)
{
    QrEtcdpb__ResponseHeader header;
    QrEtcdpb__LockResponse answer = QR_ETCDPB__LOCK_RESPONSE__INIT;
    qr_etcd_queue_header(&header, call, place->revision, place->term);
    answer.header = &header;
    answer.key = qr_protobuf_data(place->key);
    qr_etcd_call_pack(call, &answer.base);
}

static void start_lock(qr_etcd_call *call, qr_slice message)
{
    const QrEtcdpb__LockRequest *request =
        qr_etcd_call_unpack(call, &qr_etcdpb__lock_request__descriptor, message);
    if (request && qr_etcd_call_fits(call, message))
        qr_etcd_queue_up(call, qr_protobuf_slice(request->name), qr_slice_of(NULL, 0), request->lease,
                         answer_lock);
}

static void answer_unlock(qr_etcd_call *call, const qr_reply *reply)
{
    QrEtcdpb__ResponseHeader header;
    QrEtcdpb__UnlockResponse answer = QR_ETCDPB__UNLOCK_RESPONSE__INIT;
    qr_etcd_queue_header(&header, call, ((const qr_txn_result *)reply->result)->revision, reply->term);
    answer.header = &header;
    qr_etcd_call_pack(call, &answer.base);
}

static void start_unlock(qr_etcd_call *call, qr_slice message)
{
    const QrEtcdpb__UnlockRequest *request =
        qr_etcd_call_unpack(call, &qr_etcdpb__unlock_request__descriptor, message);
    if (!request || !qr_etcd_call_fits(call, message))
        return;
    if (request->key.len == 0) {
        qr_etcd_call_fail_with(call, QR_GRPC_UNKNOWN, qr_etcd_error_text(QR_ETCD_E_EMPTY_KEY));
        return;
    }
    const qr_op op = {
        .kind = QR_OP_DELETE,
        .del.span = {.kind = QR_SPAN_KEY, .space = QR_SPACE_KEYS, .key = qr_protobuf_slice(request->key)}};
    qr_etcd_queue_write(call, &(qr_txn){.then_ops = &op, .then_count = 1}, answer_unlock);
}

static const qr_etcd_method methods[] = {
    {.name = "Lock", .start = start_lock, .streaming = &qr_etcd_queueing, QR_ETCD_GATEWAY("lock/lock", lock)},
    {.name = "Unlock", .start = start_unlock, QR_ETCD_GATEWAY("lock/unlock", unlock)}};

const qr_etcd_service qr_etcd_lock_service = {"v3lockpb.Lock", methods, sizeof methods / sizeof methods[0]};

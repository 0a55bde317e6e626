/* quorate.Cluster/BlackBox: what this member has recorded, file after file, as a stream. The files are
 * written meanwhile; whoever takes them looks at the sums in them. */
#include "door/etcd/cluster.h"

enum { PIECE = 256 * 1024 }; /* bytes of messages that are not drained; the next piece waits for room */

typedef struct pull {
    uint32_t file;
    uint64_t offset;
    bool reading;
} pull;

static void go_on(qr_etcd_call *call);

static void closed(qr_etcd_call *call)
{
    pull *work = call->work;
    call->work = NULL;
    if (work == NULL)
        return;
    if (work->reading)
        call->door->config.recorded_end(call->door->config.context, call);
    qr_free(work);
}

static void on_piece(void *owner, qr_status status, qr_slice bytes)
{
    qr_etcd_call *call = owner;
    pull *work = call->work;
    work->reading = false;
    if (status != QR_OK && status != QR_E_NOT_FOUND) {
        qr_etcd_call_fail(call, qr_etcd_error_of(status));
        return;
    }
    work->offset += bytes.size;
    if (bytes.size == 0) {
        work->file++;
        work->offset = 0;
    } else {
        QrEtcdpb__BlackBoxResponse answer = QR_ETCDPB__BLACK_BOX_RESPONSE__INIT;
        answer.blob.data = (uint8_t *)bytes.data;
        answer.blob.len = bytes.size;
        if (!qr_etcd_call_send(call, &answer.base))
            return;
    }
    go_on(call);
}

static void go_on(qr_etcd_call *call)
{
    pull *work = call->work;
    const qr_etcd_config *config = &call->door->config;
    if (work->reading)
        return;
    if (call->transport->queued(call) >= PIECE) {
        qr_etcd_call_await_room(call);
        return;
    }
    work->reading = true;
    if (config->recorded(config->context, work->file, work->offset, on_piece, call))
        return;
    work->reading = false;
    qr_etcd_call_succeed(call);
}

void qr_etcd_start_black_box(qr_etcd_call *call, qr_slice message)
{
    if (!qr_etcd_call_unpack(call, &qr_etcdpb__black_box_request__descriptor, message))
        return;
    if (call->door->config.recorded == NULL) {
        qr_etcd_call_fail(call, QR_ETCD_E_UNSUPPORTED);
        return;
    }
    call->work = qr_alloc_zero(1, sizeof(pull));
    go_on(call);
}

const qr_etcd_streaming qr_etcd_black_box_streaming = {.room = go_on, .closed = closed};

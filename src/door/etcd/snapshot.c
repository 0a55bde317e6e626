/* Maintenance.Snapshot: a copy of the state of this member, as a stream.
 *
 *   start --> the node makes a checkpoint --ready--> read a piece <--drained-- send it --> ... --> sum, end
 *
 * What is sent is the checkpoint file, then zeros up to a multiple of 512 bytes, then the SHA-256 of all
 * before: what etcd's tools take for a whole snapshot is any number of pages of 512 bytes with a sum behind
 * it. A client decides how fast it reads; at most QR_ETCD_COPY_UNSENT_MAX bytes of a copy are in memory at a
 * time. */
#include "door/etcd/door.h"
#include "wire/protobuf.h"
#include "wire/sha256.h"

enum {
    QR_ETCD_COPY_PIECE = 64 * 1024,        /* bytes of one message */
    QR_ETCD_COPY_UNSENT_MAX = 1024 * 1024, /* of messages that are not drained */
    QR_ETCD_COPY_PAGE = 512,
};

typedef struct qr_etcd_copy {
    qr_node_export *export;
    qr_sha256 *sum;
    uint64_t size, sent; /* bytes of the file; of them */
    uint64_t revision, term;
    bool ready, reading;
} qr_etcd_copy;

static uint64_t padding_of(uint64_t size)
{
    return (QR_ETCD_COPY_PAGE - size % QR_ETCD_COPY_PAGE) % QR_ETCD_COPY_PAGE;
}

static void closed(qr_etcd_call *call)
{
    qr_etcd_copy *copy = call->work;
    call->work = NULL;
    if (!copy)
        return;
    if (copy->export)
        qr_node_export_end(copy->export);
    qr_sha256_free(copy->sum);
    qr_free(copy);
}

static void send(qr_etcd_call *call, qr_slice bytes, uint64_t remaining)
{
    qr_etcd_copy *copy = call->work;
    QrEtcdpb__ResponseHeader header = QR_ETCDPB__RESPONSE_HEADER__INIT;
    header.cluster_id = call->door->config.cluster;
    header.member_id = call->door->config.self;
    header.revision = (int64_t)copy->revision;
    header.raft_term = copy->term;
    QrEtcdpb__SnapshotResponse answer = QR_ETCDPB__SNAPSHOT_RESPONSE__INIT;
    answer.header = &header;
    answer.remaining_bytes = remaining;
    answer.blob.data = (uint8_t *)bytes.data;
    answer.blob.len = bytes.size;
    qr_etcd_call_send(call, &answer.base);
}

static void send_last(qr_etcd_call *call)
{
    static const uint8_t zeros[QR_ETCD_COPY_PAGE];
    qr_etcd_copy *copy = call->work;
    uint64_t padding = padding_of(copy->size);
    uint8_t sum[QR_SHA256_SIZE];
    if (padding > 0) {
        qr_sha256_add(copy->sum, qr_slice_of(zeros, padding));
        send(call, qr_slice_of(zeros, padding), 0);
    }
    qr_sha256_end(copy->sum, sum);
    send(call, qr_slice_of(sum, sizeof sum), 0);
    qr_etcd_call_succeed(call);
}

static void go_on(qr_etcd_call *call);

static void on_piece(void *owner, qr_status status, qr_slice bytes)
{
    qr_etcd_call *call = owner;
    qr_etcd_copy *copy = call->work;
    copy->reading = false;
    if (status == QR_OK && bytes.size == 0)
        status = QR_E_IO; /* the file is shorter than it was */
    if (status != QR_OK) {
        qr_etcd_call_fail(call, qr_etcd_error_of(status));
        return;
    }
    QR_ASSERT(bytes.size <= copy->size - copy->sent);
    copy->sent += bytes.size;
    qr_sha256_add(copy->sum, bytes);
    send(call, bytes, copy->size - copy->sent + padding_of(copy->size));
    go_on(call);
}

static void go_on(qr_etcd_call *call)
{
    qr_etcd_copy *copy = call->work;
    if (!copy->ready || copy->reading)
        return;
    if (call->transport->queued(call) >= QR_ETCD_COPY_UNSENT_MAX) {
        qr_etcd_call_await_room(call);
        return;
    }
    if (copy->sent == copy->size) {
        send_last(call);
        return;
    }
    uint64_t left = copy->size - copy->sent;
    copy->reading = true;
    qr_node_export_read(copy->export, copy->sent, left < QR_ETCD_COPY_PIECE ? left : QR_ETCD_COPY_PIECE,
                        on_piece);
}

static void on_ready(void *owner, qr_status status, uint64_t index, uint64_t size)
{
    qr_etcd_call *call = owner;
    if (status != QR_OK) {
        qr_etcd_call_fail(call, qr_etcd_error_of(status));
        return;
    }
    qr_node_status node;
    qr_node_status_of(call->door->config.node, &node);
    qr_etcd_copy *copy = call->work;
    copy->revision = node.revision;
    copy->term = node.engine.term;
    copy->size = size;
    copy->ready = true;
    go_on(call);
}

void qr_etcd_snapshot(qr_etcd_call *call, qr_slice message)
{
    if (!qr_etcd_call_unpack(call, &qr_etcdpb__snapshot_request__descriptor, message))
        return;
    qr_etcd_copy *copy = call->work = qr_alloc_zero(1, sizeof *copy);
    copy->sum = qr_sha256_new();
    copy->export = qr_node_export_begin(call->door->config.node, on_ready, call);
    if (!copy->export)
        qr_etcd_call_fail(call, QR_ETCD_E_TOO_MANY_REQUESTS);
}

const qr_etcd_streaming qr_etcd_snapshot_streaming = {.room = go_on, .closed = closed};

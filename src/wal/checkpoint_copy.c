/* The bytes of a checkpoint file for another member, and those of another member's into a file here. Neither
 * end looks into them. */
#include <string.h>

#include "wal/checkpoint_inside.h"

/* ------------------------------------------------------------- fetching ---- */

struct qr_checkpoint_fetcher {
    qr_disk disk;
    char name[QR_DISK_NAME_MAX];
    bool is_busy, is_freed;
    bool is_telling; /* done() is being called */
    qr_buffer bytes;
    void (*done)(void *context, qr_status status, uint64_t offset, qr_slice bytes);
    void *context;
    qr_disk_op op;
};

qr_checkpoint_fetcher *qr_checkpoint_fetcher_new(const qr_disk *disk, const char *name)
{
    qr_checkpoint_fetcher *fetcher = qr_alloc_zero(1, sizeof *fetcher);
    size_t size = strlen(name);
    QR_ASSERT(size < sizeof fetcher->name);
    memcpy(fetcher->name, name, size);
    fetcher->disk = *disk;
    return fetcher;
}

bool qr_checkpoint_fetcher_busy(const qr_checkpoint_fetcher *fetcher)
{
    return fetcher->is_busy;
}

void qr_checkpoint_fetcher_drop(qr_checkpoint_fetcher *fetcher)
{
    if (fetcher == NULL)
        return;
    qr_buffer_free(&fetcher->bytes);
    qr_free(fetcher);
}

static void fetched(qr_disk_op *op)
{
    qr_checkpoint_fetcher *fetcher = op->owner;
    fetcher->is_busy = false;
    if (fetcher->is_freed) {
        qr_checkpoint_fetcher_drop(fetcher);
        return;
    }
    QR_ASSERT(op->status != QR_OK || op->got <= op->size);
    qr_status status = op->status == QR_OK || op->status == QR_E_NOT_FOUND ? op->status : QR_E_IO;
    /* The bytes stay alive through the call, even if it starts the next fetch or frees the fetcher. */
    qr_buffer bytes = fetcher->bytes;
    fetcher->bytes = (qr_buffer){0};
    bytes.size = status == QR_OK ? (size_t)op->got : 0;
    fetcher->is_telling = true;
    fetcher->done(fetcher->context, status, op->offset, qr_buffer_slice(&bytes));
    fetcher->is_telling = false;
    if (fetcher->is_freed && !fetcher->is_busy)
        qr_checkpoint_fetcher_drop(fetcher);
    else if (!fetcher->is_busy)
        fetcher->bytes = bytes, bytes = (qr_buffer){0}; /* for the next one */
    qr_buffer_free(&bytes);
}

void qr_checkpoint_fetch(qr_checkpoint_fetcher *fetcher, uint64_t offset, size_t size,
                         void (*done)(void *context, qr_status status, uint64_t offset, qr_slice bytes),
                         void *context)
{
    QR_ASSERT(!fetcher->is_busy && !fetcher->is_freed && done != NULL);
    QR_ASSERT(size <= QR_CHECKPOINT_CHUNK_MAX);
    fetcher->is_busy = true;
    fetcher->done = done;
    fetcher->context = context;
    qr_buffer_clear(&fetcher->bytes);
    fetcher->op = (qr_disk_op){
        .offset = offset,
        .target = qr_buffer_reserve(&fetcher->bytes, size > 0 ? size : 1),
        .size = size,
    };
    memcpy(fetcher->op.name, fetcher->name, sizeof fetcher->op.name);
    qr_wal_submit(&fetcher->disk, &fetcher->op, QR_DISK_READ, fetched, fetcher);
}

void qr_checkpoint_fetcher_free(qr_checkpoint_fetcher *fetcher)
{
    if (fetcher == NULL)
        return;
    fetcher->is_freed = true;
    if (!fetcher->is_busy && !fetcher->is_telling)
        qr_checkpoint_fetcher_drop(fetcher);
}

/* ------------------------------------------------------------ receiving ---- */

typedef enum wal_receiving {
    RECEIVING_IDLE,
    RECEIVING_CREATE,
    RECEIVING_CLEAR,  /* one of a former attempt is in the way */
    RECEIVING_FOLDER, /* the new name is made durable, so that `durable` is true from the first byte on */
    RECEIVING_WRITE,
    RECEIVING_RENAME,
    RECEIVING_KEEP,
} wal_receiving;

struct qr_checkpoint_receiver {
    qr_disk disk;
    uint64_t size, durable;
    void (*done)(void *context, qr_status status, uint64_t durable);
    void *context;
    wal_receiving state;
    bool has_file, is_kept, is_broken, is_freed;
    bool is_telling; /* done() is being called */
    qr_buffer bytes; /* being added */
    size_t written;  /* of them */
    uint64_t offset; /* in the file, behind what was written */
    qr_disk_op op;
    char name[QR_DISK_NAME_MAX]; /* what the file is called now */
};

qr_checkpoint_receiver *qr_checkpoint_receive(const qr_disk *disk, uint64_t index, uint64_t size,
                                              void (*done)(void *context, qr_status status, uint64_t durable),
                                              void *context)
{
    QR_ASSERT(size > 0 && done != NULL);
    qr_checkpoint_receiver *receiver = qr_alloc_zero(1, sizeof *receiver);
    receiver->disk = *disk;
    receiver->size = size;
    receiver->done = done;
    receiver->context = context;
    qr_wal_checkpoint_name_write(WAL_NAME_RECEIVED, index, receiver->name);
    qr_wal_checkpoint_name_write(WAL_NAME_RECEIVED, index, receiver->op.name);
    qr_wal_checkpoint_name_write(WAL_NAME_WHOLE, index, receiver->op.name_to);
    return receiver;
}

const char *qr_checkpoint_receiver_name(const qr_checkpoint_receiver *receiver)
{
    return receiver->name;
}

void qr_checkpoint_receiver_drop(qr_checkpoint_receiver *receiver)
{
    if (receiver == NULL)
        return;
    qr_buffer_free(&receiver->bytes);
    qr_free(receiver);
}

static void received(qr_disk_op *op);

static void submit(qr_checkpoint_receiver *receiver, qr_disk_kind kind, wal_receiving state)
{
    receiver->state = state;
    if (state != RECEIVING_WRITE)
        receiver->op.bytes = (qr_slice){0};
    qr_wal_submit(&receiver->disk, &receiver->op, kind, received, receiver);
}

static void tell(qr_checkpoint_receiver *receiver, qr_status status)
{
    receiver->state = RECEIVING_IDLE;
    receiver->is_broken = receiver->is_broken || status == QR_E_IO;
    receiver->is_telling = true;
    receiver->done(receiver->context, status, receiver->durable);
    receiver->is_telling = false;
    if (receiver->is_freed && receiver->state == RECEIVING_IDLE)
        qr_checkpoint_receiver_drop(receiver);
}

static void write_slice(qr_checkpoint_receiver *receiver)
{
    size_t left = receiver->bytes.size - receiver->written;
    size_t size = left < CHECKPOINT_SLICE ? left : CHECKPOINT_SLICE;
    bool is_last = size == left;
    bool is_due = receiver->offset + size - receiver->durable > QR_CHECKPOINT_SYNC_BYTES - CHECKPOINT_SLICE;
    receiver->op.offset = receiver->offset;
    receiver->op.bytes = qr_slice_of(receiver->bytes.data + receiver->written, size);
    submit(receiver, is_last || is_due ? QR_DISK_WRITE_SYNC : QR_DISK_WRITE, RECEIVING_WRITE);
}

static void slice_written(qr_checkpoint_receiver *receiver)
{
    receiver->written += receiver->op.bytes.size;
    receiver->offset += receiver->op.bytes.size;
    if (receiver->op.kind == QR_DISK_WRITE_SYNC)
        receiver->durable = receiver->offset;
    if (receiver->written < receiver->bytes.size)
        write_slice(receiver);
    else
        tell(receiver, QR_OK);
}

static void receive_failed(qr_checkpoint_receiver *receiver, wal_receiving state, qr_status status)
{
    bool is_full = status == QR_E_NO_SPACE && (state == RECEIVING_CREATE || state == RECEIVING_WRITE);
    if (state == RECEIVING_CREATE && status == QR_E_EXISTS) {
        submit(receiver, QR_DISK_REMOVE, RECEIVING_CLEAR);
        return;
    }
    receiver->offset = receiver->durable; /* what was written and not synced is written again */
    tell(receiver, is_full ? QR_E_NO_SPACE : QR_E_IO);
}

static void received(qr_disk_op *op)
{
    qr_checkpoint_receiver *receiver = op->owner;
    wal_receiving state = receiver->state;
    receiver->state = RECEIVING_IDLE;
    if (receiver->is_freed) {
        qr_checkpoint_receiver_drop(receiver);
        return;
    }
    if (op->status != QR_OK) {
        receive_failed(receiver, state, op->status);
        return;
    }
    switch (state) {
    case RECEIVING_CLEAR: submit(receiver, QR_DISK_CREATE, RECEIVING_CREATE); break;
    case RECEIVING_CREATE: submit(receiver, QR_DISK_SYNC_FOLDER, RECEIVING_FOLDER); break;
    case RECEIVING_FOLDER:
        receiver->has_file = true;
        write_slice(receiver);
        break;
    case RECEIVING_WRITE: slice_written(receiver); break;
    case RECEIVING_RENAME:
        memcpy(receiver->name, op->name_to, sizeof receiver->name);
        submit(receiver, QR_DISK_SYNC_FOLDER, RECEIVING_KEEP);
        break;
    case RECEIVING_KEEP:
        receiver->is_kept = true;
        tell(receiver, QR_OK);
        break;
    case RECEIVING_IDLE: break;
    }
}

static bool may_begin(const qr_checkpoint_receiver *receiver)
{
    return receiver->state == RECEIVING_IDLE && !receiver->is_freed && !receiver->is_broken &&
           !receiver->is_kept;
}

void qr_checkpoint_receiver_add(qr_checkpoint_receiver *receiver, qr_slice bytes)
{
    QR_ASSERT(may_begin(receiver) && bytes.size > 0);
    QR_ASSERT(bytes.size <= QR_CHECKPOINT_CHUNK_MAX && bytes.size <= receiver->size - receiver->durable);
    qr_buffer_clear(&receiver->bytes);
    qr_buffer_add_slice(&receiver->bytes, bytes);
    receiver->written = 0;
    if (receiver->has_file)
        write_slice(receiver);
    else
        submit(receiver, QR_DISK_CREATE, RECEIVING_CREATE);
}

void qr_checkpoint_receiver_keep(qr_checkpoint_receiver *receiver)
{
    QR_ASSERT(may_begin(receiver) && receiver->durable == receiver->size);
    submit(receiver, QR_DISK_RENAME, RECEIVING_RENAME);
}

void qr_checkpoint_receiver_free(qr_checkpoint_receiver *receiver)
{
    if (receiver == NULL)
        return;
    receiver->is_freed = true;
    if (receiver->state == RECEIVING_IDLE && !receiver->is_telling)
        qr_checkpoint_receiver_drop(receiver);
}

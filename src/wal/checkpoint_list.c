/* Which checkpoints there are, and how they go. */
#include <string.h>

#include "wal/checkpoint_inside.h"

typedef struct listing {
    qr_checkpoint_row *rows;
    size_t room, count;
    qr_buffer parts; /* names, QR_DISK_NAME_MAX each */
} listing;

/* Names come in order, and so do the indexes in them: the newest comes last and goes to the front. */
static void visit_whole(void *context, const char *name, uint64_t size)
{
    listing *found = context;
    qr_checkpoint_row row = {.size = size};
    if (qr_wal_checkpoint_name_read(name, &row.index) != WAL_NAME_WHOLE || found->room == 0)
        return;
    memcpy(row.name, name, strlen(name));
    if (found->count < found->room)
        found->count++;
    memmove(found->rows + 1, found->rows, (found->count - 1) * sizeof *found->rows);
    found->rows[0] = row;
}

qr_status qr_checkpoint_list(const qr_disk *disk, qr_checkpoint_row *rows, size_t room, size_t *count)
{
    listing found = {.rows = rows, .room = room};
    qr_status status = disk->list(disk->self, visit_whole, &found);
    *count = found.count;
    return status == QR_OK ? QR_OK : QR_E_IO;
}

static void visit_part(void *context, const char *name, uint64_t size)
{
    (void)size;
    listing *found = context;
    uint64_t index;
    wal_checkpoint_name what = qr_wal_checkpoint_name_read(name, &index);
    if (what != WAL_NAME_PART && what != WAL_NAME_RECEIVED)
        return;
    uint8_t *copy = qr_buffer_extend(&found->parts, QR_DISK_NAME_MAX);
    memset(copy, 0, QR_DISK_NAME_MAX);
    memcpy(copy, name, strlen(name));
}

qr_status qr_checkpoint_sweep(const qr_disk *disk)
{
    listing found = {0};
    qr_status status = disk->list(disk->self, visit_part, &found);
    for (size_t at = 0; at < found.parts.size && status == QR_OK; at += QR_DISK_NAME_MAX) {
        qr_disk_op op = {.kind = QR_DISK_REMOVE};
        memcpy(op.name, found.parts.data + at, sizeof op.name);
        disk->run(disk->self, &op);
        status = op.status == QR_E_NOT_FOUND ? QR_OK : op.status;
    }
    /* Also when nothing was removed: a process that died between a rename and this sync has left a name that
     * is seen and not durable, and the log behind it may soon be let go. */
    if (status == QR_OK) {
        qr_disk_op op = {.kind = QR_DISK_SYNC_FOLDER};
        disk->run(disk->self, &op);
        status = op.status;
    }
    qr_buffer_free(&found.parts);
    return status == QR_OK ? QR_OK : QR_E_IO;
}

/* ------------------------------------------------------------- removing ---- */

struct qr_checkpoint_remover {
    qr_disk disk;
    void (*done)(void *context, qr_status status);
    void *context;
    qr_disk_op op;
};

static void removed(qr_disk_op *op)
{
    qr_checkpoint_remover *remover = op->owner;
    bool is_gone = op->status == QR_OK || op->status == QR_E_NOT_FOUND;
    if (op->kind == QR_DISK_REMOVE && is_gone) {
        qr_wal_submit(&remover->disk, op, QR_DISK_SYNC_FOLDER, removed, remover);
        return;
    }
    if (remover->done != NULL)
        remover->done(remover->context, op->status == QR_OK ? QR_OK : QR_E_IO);
    qr_free(remover);
}

qr_checkpoint_remover *qr_checkpoint_remove(const qr_disk *disk, const char *name,
                                            void (*done)(void *context, qr_status status), void *context)
{
    qr_checkpoint_remover *remover = qr_alloc_zero(1, sizeof *remover);
    size_t size = strlen(name);
    QR_ASSERT(size < sizeof remover->op.name);
    memcpy(remover->op.name, name, size);
    remover->disk = *disk;
    remover->done = done;
    remover->context = context;
    qr_wal_submit(&remover->disk, &remover->op, QR_DISK_REMOVE, removed, remover);
    return remover;
}

void qr_checkpoint_remover_drop(qr_checkpoint_remover *remover)
{
    qr_free(remover);
}

/* What the disk edge was asked for and has done, as lines of level debug: for people who follow a member, and
 * for test/crash/syscalls, which holds them against the system calls. */
#include <inttypes.h>
#include <stdio.h>

#include "os/room.h"

static const char *const kinds[] = {
    [QR_DISK_CREATE] = "create", [QR_DISK_RESERVE] = "reserve",       [QR_DISK_WRITE] = "write",
    [QR_DISK_SYNC] = "sync",     [QR_DISK_WRITE_SYNC] = "write-sync", [QR_DISK_READ] = "read",
    [QR_DISK_RENAME] = "rename", [QR_DISK_REMOVE] = "remove",         [QR_DISK_SYNC_FOLDER] = "sync-folder",
};

static void tell(qr_os *os, const char *message, const qr_disk_op *op, const char *status)
{
    char offset[24], size[24];
    snprintf(offset, sizeof offset, "%" PRIu64, op->offset);
    bool sized = op->kind == QR_DISK_READ || op->kind == QR_DISK_RESERVE;
    snprintf(size, sizeof size, "%" PRIu64, sized ? op->size : (uint64_t)op->bytes.size);
    qr_log(os, QR_LOG_DEBUG, message, "kind", kinds[op->kind], "lane",
           op->lane == QR_LANE_LOG ? "log" : "background", "name",
           op->kind == QR_DISK_SYNC_FOLDER ? "" : op->name, "to",
           op->kind == QR_DISK_RENAME ? op->name_to : "", "offset", offset, "size", size,
           status ? "status" : NULL, status, NULL);
}

void qr_os_disk_log_submitted(qr_os *os, const qr_disk_op *op)
{
    if (os->log.level <= QR_LOG_DEBUG)
        tell(os, "disk operation submitted", op, NULL);
}

void qr_os_disk_log_done(qr_os *os, const qr_disk_op *op)
{
    if (os->log.level <= QR_LOG_DEBUG)
        tell(os, "disk operation done", op, qr_status_name(op->status));
}

void qr_os_disk_log_run(qr_os *os, const qr_disk_op *op)
{
    if (os->log.level <= QR_LOG_DEBUG)
        tell(os, "disk operation run", op, qr_status_name(op->status));
}

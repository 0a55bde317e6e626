/* ring: the segments of a black box in four files of a data folder, the oldest of which makes place for the
 * next. It never syncs and never waits: what it writes is for those who look at a member that has died, and
 * the page cache outlives a process. It goes through the background lane, so the log comes first. */
#ifndef QR_BOX_RING_H
#define QR_BOX_RING_H

#include "box/box.h"
#include "edge/edge.h"

typedef struct qr_ring qr_ring;

enum {
    QR_RING_FILES = 4,
    QR_RING_WAITING_MAX = 4 * 1024 * 1024, /* bytes handed over that are not on their way to a file yet */
};
#define QR_RING_BYTES_MIN (QR_RING_FILES * (uint64_t)QR_BOX_SEGMENT_MIN)

typedef struct qr_ring_config {
    const qr_disk *disk; /* borrowed */
    uint64_t bytes;      /* of all files together, about; at least QR_RING_BYTES_MIN */
    bool whole;
    /* Told once, when a write has failed: nothing more is recorded. */
    void (*stopped)(void *context, qr_status status);
    void *context;
} qr_ring_config;

/* Looks at the files that are there (synchronously) and will take the oldest first. */
qr_ring *qr_ring_open(const qr_ring_config *config);
const qr_box_sink *qr_ring_sink(const qr_ring *ring);
/* Writes what waits, unless something is still on its way. When the disk is at rest. NULL is fine. */
void qr_ring_close(qr_ring *ring);
void qr_ring_name(uint32_t file, char name[QR_DISK_NAME_MAX]);

#endif

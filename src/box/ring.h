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
/* The next bytes of a file from offset on, for done(), from the replica's thread: at most QR_RING_READ_MAX,
 * none at its end, NOT_FOUND. end(): the owner is told nothing any more. */
enum { QR_RING_READ_MAX = 64 * 1024 };
void qr_ring_read(qr_ring *ring, uint32_t file, uint64_t offset,
                  void (*done)(void *owner, qr_status status, qr_slice bytes), void *owner);
void qr_ring_read_end(qr_ring *ring, const void *owner);
/* The disk is at rest for good: what comes now waits for close(), which writes it synchronously. NULL is fine
 * for close(). */
void qr_ring_hold(qr_ring *ring);
void qr_ring_close(qr_ring *ring);
void qr_ring_name(uint32_t file, char name[QR_DISK_NAME_MAX]);

#endif

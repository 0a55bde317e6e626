#include "box/ring.h"

#include <stdio.h>

#include "box/replay.h"

typedef struct reading reading;
struct reading {
    qr_ring *ring;
    reading *next;
    qr_disk_op op;
    void (*done)(void *owner, qr_status status, qr_slice bytes); /* NULL: nobody waits any more */
    void *owner;
    uint8_t bytes[QR_RING_READ_MAX];
};

struct qr_ring {
    qr_ring_config config;
    qr_box_sink sink;
    uint32_t file;     /* of the segment under way */
    uint64_t offset;   /* in it */
    qr_buffer waiting; /* not on its way yet */
    bool begins;       /* a new segment, hence another file, begins in `waiting`, */
    size_t begins_at;  /* there */
    qr_buffer writing;
    qr_disk_op op;
    bool busy, failed, held;
    reading *readings; /* under way */
};

void qr_ring_name(uint32_t file, char name[QR_DISK_NAME_MAX])
{
    snprintf(name, QR_DISK_NAME_MAX, "blackbox-%u", (unsigned)file);
}

/* ------------------------------------------------------------ writing ---- */

/* The next operation: a segment's file is removed and made anew, then written as far as there is something
 * for it. False: nothing to do. */
static bool prepare(qr_ring *ring)
{
    qr_disk_kind last = ring->op.kind;
    bool ended = ring->op.status == QR_OK;
    bool makes = ring->begins && ring->begins_at == 0;
    ring->op = (qr_disk_op){.lane = QR_LANE_BACKGROUND, .kind = QR_DISK_WRITE};
    if (makes && !(ended && last == QR_DISK_CREATE)) {
        bool removed = last == QR_DISK_REMOVE;
        if (!removed)
            ring->file = (ring->file + 1) % QR_RING_FILES;
        ring->op.kind = removed ? QR_DISK_CREATE : QR_DISK_REMOVE;
    } else {
        if (makes) {
            ring->begins = false;
            ring->offset = 0;
        }
        size_t size = ring->begins ? ring->begins_at : ring->waiting.size;
        if (size == 0)
            return false;
        qr_buffer_shrink(&ring->writing, QR_RING_WAITING_MAX);
        qr_buffer_add(&ring->writing, ring->waiting.data, size);
        qr_buffer_drop(&ring->waiting, size);
        ring->begins_at -= ring->begins ? size : 0;
        ring->op.bytes = qr_buffer_slice(&ring->writing);
        ring->op.offset = ring->offset;
        ring->offset += size;
    }
    qr_ring_name(ring->file, ring->op.name);
    return true;
}

static bool went_well(const qr_disk_op *op)
{
    return op->status == QR_OK || (op->kind == QR_DISK_REMOVE && op->status == QR_E_NOT_FOUND);
}

static void fail(qr_ring *ring)
{
    ring->failed = true;
    if (ring->config.stopped)
        ring->config.stopped(ring->config.context, ring->op.status);
}

static void go_on(qr_ring *ring);

static void on_done(qr_disk_op *op)
{
    qr_ring *ring = op->owner;
    ring->busy = false;
    if (went_well(op))
        go_on(ring);
    else
        fail(ring);
}

static void go_on(qr_ring *ring)
{
    if (!prepare(ring))
        return;
    ring->op.done = on_done;
    ring->op.owner = ring;
    ring->busy = true;
    ring->config.disk->submit(ring->config.disk->self, &ring->op);
}

static bool put(void *self, bool begins, qr_slice bytes)
{
    qr_ring *ring = self;
    bool fits = ring->waiting.size == 0 || ring->waiting.size + bytes.size <= QR_RING_WAITING_MAX;
    if (ring->failed || !fits || (begins && ring->begins))
        return false;
    if (begins) {
        ring->begins = true;
        ring->begins_at = ring->waiting.size;
    }
    qr_buffer_add_slice(&ring->waiting, bytes);
    if (!ring->busy && !ring->held)
        go_on(ring);
    return true;
}

/* ------------------------------------------------------------ reading ---- */

static void on_read(qr_disk_op *op)
{
    reading *one = op->owner;
    reading **link = &one->ring->readings;
    while (*link != one)
        link = &(*link)->next;
    *link = one->next;
    if (one->done != NULL)
        one->done(one->owner, op->status, qr_slice_of(one->bytes, op->status == QR_OK ? (size_t)op->got : 0));
    qr_free(one);
}

void qr_ring_read(qr_ring *ring, uint32_t file, uint64_t offset,
                  void (*done)(void *owner, qr_status status, qr_slice bytes), void *owner)
{
    reading *one = qr_alloc(sizeof *one);
    one->ring = ring;
    one->next = ring->readings;
    ring->readings = one;
    one->done = done;
    one->owner = owner;
    one->op = (qr_disk_op){.kind = QR_DISK_READ,
                           .lane = QR_LANE_BACKGROUND,
                           .offset = offset,
                           .target = one->bytes,
                           .size = sizeof one->bytes,
                           .done = on_read,
                           .owner = one};
    qr_ring_name(file, one->op.name);
    ring->config.disk->submit(ring->config.disk->self, &one->op);
}

void qr_ring_read_end(qr_ring *ring, const void *owner)
{
    for (reading *one = ring->readings; one != NULL; one = one->next)
        if (one->owner == owner)
            one->done = NULL;
}

/* ------------------------------------------------------------ object ---- */

/* The file that was begun last. */
static uint32_t find_newest(const qr_disk *disk)
{
    uint32_t newest = QR_RING_FILES - 1;
    int64_t newest_ms = INT64_MIN;
    for (uint32_t file = 0; file < QR_RING_FILES; file++) {
        int64_t wall_ms;
        uint8_t head[256];
        qr_disk_op op = {.kind = QR_DISK_READ, .target = head, .size = sizeof head};
        qr_ring_name(file, op.name);
        disk->run(disk->self, &op);
        if (op.status == QR_OK && qr_box_begun(qr_slice_of(head, (size_t)op.got), &wall_ms) &&
            wall_ms > newest_ms) {
            newest = file;
            newest_ms = wall_ms;
        }
    }
    return newest;
}

qr_ring *qr_ring_open(const qr_ring_config *config)
{
    QR_ASSERT(config->bytes >= QR_RING_BYTES_MIN);
    qr_ring *ring = qr_alloc_zero(1, sizeof *ring);
    ring->config = *config;
    ring->op.kind = QR_DISK_WRITE; /* nothing was made yet */
    ring->sink = (qr_box_sink){.segment_bytes = (size_t)(config->bytes / QR_RING_FILES),
                               .whole = config->whole,
                               .self = ring,
                               .put = put};
    ring->file = find_newest(config->disk);
    return ring;
}

const qr_box_sink *qr_ring_sink(const qr_ring *ring)
{
    return &ring->sink;
}

void qr_ring_hold(qr_ring *ring)
{
    QR_ASSERT(!ring->busy && ring->readings == NULL);
    ring->held = true;
}

void qr_ring_close(qr_ring *ring)
{
    if (ring == NULL)
        return;
    QR_ASSERT(!ring->busy);
    while (!ring->failed && prepare(ring)) {
        ring->config.disk->run(ring->config.disk->self, &ring->op);
        if (!went_well(&ring->op))
            fail(ring);
    }
    qr_buffer_free(&ring->waiting);
    qr_buffer_free(&ring->writing);
    qr_free(ring);
}

/* edge: the disk and the network as a replica sees them. Header only.
 *
 * Two implementations exist: src/os (real files, real sockets) and src/sim (everything can be lost, torn,
 * reordered or late). Nothing below src/os may touch a file or a socket in any other way. Time is no edge: it
 * comes in with each call (milliseconds of a monotonic clock, and the wall clock where a stamp is needed). */
#ifndef QR_EDGE_EDGE_H
#define QR_EDGE_EDGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "base/status.h"

/* ---------------------------------------------------------------- disk ----
 *
 * One folder of flat files, owned by one member. An operation is a struct of the caller's that stays put,
 * with its bytes, until it is done. Operations of one lane are carried out one after another in the order of
 * their submission; the log lane is served before the background lane, one operation at a time.
 *
 * Promises: after a successful SYNC of a file its earlier WRITEs survive a crash; CREATE, RENAME and REMOVE
 * survive a crash only after a successful SYNC_FOLDER. A WRITE that was not synced may be kept, lost or torn
 * at any 512 bytes, a RESERVE likewise; so one of the very bytes that stand there durably changes nothing. A
 * failed WRITE or SYNC is never retried by the caller: it halts. */

enum { QR_DISK_NAME_MAX = 64 }; /* bytes of a file name with its zero: [a-z0-9._-]+ */

typedef enum qr_disk_kind {
    QR_DISK_CREATE,      /* make an empty file; EXISTS if it is there */
    QR_DISK_RESERVE,     /* grow the file to size bytes: zeros, whose place on the disk is there already.
                            UNSUPPORTED: not on this one */
    QR_DISK_WRITE,       /* write bytes at offset, growing the file */
    QR_DISK_SYNC,        /* make earlier writes and reservations of this file durable (data and size) */
    QR_DISK_WRITE_SYNC,  /* WRITE then SYNC */
    QR_DISK_READ,        /* read size bytes at offset into target; .got says how many there were */
    QR_DISK_RENAME,      /* name -> name_to, replacing it */
    QR_DISK_REMOVE,      /* NOT_FOUND if it is not there */
    QR_DISK_SYNC_FOLDER, /* make creations, renames and removals durable */
} qr_disk_kind;

typedef enum qr_disk_lane { QR_LANE_LOG, QR_LANE_BACKGROUND, QR_LANE_COUNT } qr_disk_lane;

typedef struct qr_disk_op qr_disk_op;
struct qr_disk_op {
    /* set by the caller */
    qr_disk_kind kind;
    qr_disk_lane lane;
    char name[QR_DISK_NAME_MAX];
    char name_to[QR_DISK_NAME_MAX]; /* RENAME */
    uint64_t offset;                /* WRITE*, READ; bytes */
    qr_slice bytes;                 /* WRITE*: the caller's until done */
    uint8_t *target;                /* READ: the caller's memory, size bytes */
    uint64_t size;                  /* READ, RESERVE; bytes */
    void (*done)(qr_disk_op *op);   /* called from the replica's own thread, never from inside submit() */
    void *owner;                    /* the caller's */
    /* set by the edge */
    /* QR_OK, NOT_FOUND, EXISTS, NO_SPACE (CREATE, RESERVE, and the writing half of WRITE and WRITE_SYNC),
     * UNSUPPORTED (RESERVE), IO */
    qr_status status;
    uint64_t got;     /* READ: bytes read, fewer than size at the end of the file */
    qr_disk_op *next; /* the edge's while under way */
};

typedef struct qr_disk {
    void *self;
    void (*submit)(void *self, qr_disk_op *op); /* asynchronous; done() follows, also on failure */
    void (*run)(void *self,
                qr_disk_op *op); /* synchronous, ignores .done and .lane: for opening and for tools */
    /* Calls visit(context, name, size) for each file in order of name. Synchronous. */
    qr_status (*list)(void *self, void (*visit)(void *context, const char *name, uint64_t size),
                      void *context);
} qr_disk;

/* ------------------------------------------------------------- network ----
 *
 * Whole messages between members, known by their member id. A message may be lost, duplicated, late or out of
 * order (the real edge is TCP and mostly kinder: its links lose only what was under way when they broke).
 * Arrivals and the state of links come in through qr_node_on_message() and qr_node_on_link(). */

enum { QR_PEER_MESSAGE_MAX = 64 * 1024 * 1024 }; /* bytes; larger is refused before memory is taken */

typedef struct qr_network {
    void *self;
    /* Copies the bytes. BUSY when the queue to that peer is full, NOT_FOUND when the peer has no address: the
     * message is dropped and the caller counts on its own retries. */
    qr_status (*send)(void *self, uint64_t to, qr_slice message);
} qr_network;

#endif

/* What the clients of a door leave unread, and the reads that wait in line for it.
 *
 * An answer is in memory from when it is built until its last byte is drained, and a client decides when that
 * is. So a read is built only while its connection, the door, and the present round have room for it; else it
 * stands in the line of its connection, first in, first out, and is given to the node again when there is
 * room. What counts is measured in whole answers, because an answer's memory is freed as a whole.
 *
 *   read --no room on its connection--> in line <------no room when its answer is to be built----+
 *      \                                  | \                                                    |
 *       \                                 |  +--patience is over: timed out                      |
 *        \                                +--room: its share is reserved--+                      |
 *         +--> at the node <----------------------------------------------+--done--> built, or --+
 *
 * Writes never stand in line: by the time their answers are built they have happened, and that must be said.
 *
 * Who waits for the whole door's room waits in the door's ring of connections, which is served in turns, so
 * that a connection with many waiting reads takes nothing from the others. */
#ifndef QR_DOOR_ETCD_LINE_H
#define QR_DOOR_ETCD_LINE_H

#include "core/txn.h"
#include "door/etcd/etcd.h"

enum {
    QR_ETCD_UNSENT_MAX = 8 * 1024 * 1024,        /* bytes of answers unsent on a connection: its reads wait */
    QR_ETCD_UNSENT_DOOR_MAX = 256 * 1024 * 1024, /* of all connections: all reads wait, but the small ones */
    QR_ETCD_BUILT_MAX = 32 * 1024 * 1024, /* built between two drains: further reads wait for a drain */
    /* A connection that has taken everything gets an answer of so many bytes in any case: no client can stop
     * the small reads of another one. */
    QR_ETCD_SMALL_ANSWER = 16 * 1024,
    QR_ETCD_SHARE_UNKNOWN = 64 * 1024, /* reserved for a read whose answer was never measured */
    /* Bytes of answers to writes unsent on a connection: new writes are refused, nothing having happened. */
    QR_ETCD_UNSENT_WRITES_MAX = 64 * 1024 * 1024,
};

typedef struct qr_etcd_call qr_etcd_call;

/* A call is in one list at most. */
typedef struct qr_etcd_list {
    qr_etcd_call *first, *last;
} qr_etcd_list;

void qr_etcd_list_add(qr_etcd_list *list, qr_etcd_call *call);
void qr_etcd_list_leave(qr_etcd_call *call); /* whichever list it is in, if any */

typedef struct qr_etcd_line qr_etcd_line;

struct qr_etcd_line { /* one connection's */
    qr_etcd_door *door;
    qr_stream_waker waker;
    uint64_t now_ms;        /* the latest that the connection was told */
    uint64_t unsent;        /* bytes of its answers in memory */
    uint64_t unsent_writes; /* how many of them answer writes */
    uint64_t reserved;      /* for reads that left the line and are at the node */
    qr_etcd_list waiting;   /* in order of their tickets */
    uint64_t next_ticket;
    uint64_t deadline_ms;    /* none of the waiting has an earlier one; UINT64_MAX = none waits */
    qr_etcd_call *streams;   /* the calls that go on, in no order */
    qr_etcd_list roomless;   /* those of them that wait for a drain */
    uint64_t stream_wake_ms; /* none of them wants a tick earlier; UINT64_MAX = never */
    bool in_ring;
    qr_etcd_line *next, *previous; /* in the ring */
};

/* The door's. */
typedef struct qr_etcd_ring {
    qr_etcd_line *first, *last; /* connections with waiting reads and room of their own, in turn */
    uint64_t unsent, reserved;  /* of all connections */
    uint64_t unsent_max;        /* QR_ETCD_UNSENT_DOOR_MAX; tests have less */
    uint64_t built;             /* bytes of answers since anything was last drained */
} qr_etcd_ring;

void qr_etcd_line_open(qr_etcd_line *line, qr_etcd_door *door, qr_stream_waker waker, uint64_t now_ms);
/* All calls have left before. */
void qr_etcd_line_close(qr_etcd_line *line);
void qr_etcd_line_wake(qr_etcd_line *line);

/* Is there no room to begin with? Then the read need not go to the node. */
bool qr_etcd_line_is_full(const qr_etcd_line *line);
/* The node has read; does its answer have to wait all the same? */
bool qr_etcd_line_holds(qr_etcd_call *call, const qr_txn_result *result);
/* Puts a read in line: at the end, or where it stood before. */
void qr_etcd_line_stand(qr_etcd_call *call);
/* What was reserved for a read is reserved no longer: the node has answered, or nobody listens any more. */
void qr_etcd_line_release(qr_etcd_call *call);

/* An answer of so many bytes was built; the call's stream is over, its answer sent or thrown away. */
void qr_etcd_line_built(qr_etcd_call *call, uint64_t bytes);
void qr_etcd_line_leave(qr_etcd_call *call);

void qr_etcd_line_add_stream(qr_etcd_call *call);
void qr_etcd_line_remove_stream(qr_etcd_call *call);

/* The connection was just drained: whoever has room now is given to the node again, and the streams that
 * waited for it are told. */
void qr_etcd_line_drained(qr_etcd_line *line);
/* Bytes arrived or a stream ended: room may have come up, and the next drain gives it away. */
void qr_etcd_line_stirred(qr_etcd_line *line);
/* Ends the waiting whose patience is over, and tells the streams whose time has come. */
void qr_etcd_line_tick(qr_etcd_line *line, uint64_t now_ms);

#endif

/* watch_index: which watchers does an event concern? All watchers of one span share a track; tracks of single
 * keys stand in a hash table, those of ranges in a search tree by their beginnings that knows the greatest
 * end below each node. So an event costs one look-up and O(log n) for each range that holds its key, however
 * many watchers there are; waking costs each watcher once. */
#ifndef QR_NODE_WATCH_INDEX_H
#define QR_NODE_WATCH_INDEX_H

#include "core/txn.h"

typedef struct qr_watcher_list {
    struct qr_watcher *first, *last;
} qr_watcher_list;

typedef struct qr_track qr_track;
struct qr_track {
    qr_span span;           /* slices point behind the struct */
    size_t users;           /* watchers with this span */
    qr_watcher_list idle;   /* those that wait for the next event, whatever it is */
    qr_watcher_list future; /* and those that wait for one of a later revision */
    uint64_t hash;
    union {
        qr_track *chain; /* single key: in its bucket */
        struct {         /* range */
            qr_track *left, *right;
            const qr_track *farthest; /* that with the greatest end at or below this node */
        };
    };
};

typedef struct qr_watch_index {
    uint64_t seed;     /* of the hashes: clients choose the keys */
    qr_track **points; /* owned; room is a power of two, or 0 */
    size_t point_room, point_count;
    qr_track *ranges; /* a treap: a heap by hash, which keeps it balanced */
} qr_watch_index;

/* The track of that span, made if there is none; counts one more user. */
qr_track *qr_watch_index__enter(qr_watch_index *index, const qr_span *span);
void qr_watch_index__leave(qr_watch_index *index, qr_track *track); /* the last user frees it */
void qr_watch_index__visit(const qr_watch_index *index, qr_slice key,
                           void (*visit)(void *context, qr_track *track), void *context);
void qr_watch_index__free(qr_watch_index *index); /* everybody has left */

#endif

/* watches: who watches what: a table of paths, each with its watchers. */
#ifndef QR_DOOR_ZOOKEEPER_WATCHES_H
#define QR_DOOR_ZOOKEEPER_WATCHES_H

#include "base/base.h"

enum { /* kinds, as bits */
       QR__ZK_DATA = 1,
       QR__ZK_EXIST = 2,
       QR__ZK_CHILD = 4,
       QR__ZK_PERSISTENT = 8,
       QR__ZK_RECURSIVE = 16,
       QR__ZK_LASTING = QR__ZK_PERSISTENT | QR__ZK_RECURSIVE,
};

typedef struct qr__zk_watched qr__zk_watched; /* a path */
typedef struct qr__zk_watch qr__zk_watch;     /* a watcher at a path */

/* Kinds that ZooKeeper has in its table of data (as most of its words tell), and in that of children. */
static inline bool qr__zk_is_of_data(uint32_t kinds)
{
    return kinds & (QR__ZK_DATA | QR__ZK_EXIST | QR__ZK_LASTING);
}
static inline bool qr__zk_is_of_children(uint32_t kinds)
{
    return kinds & (QR__ZK_CHILD | QR__ZK_LASTING);
}

typedef struct qr__zk_watcher { /* part of a connection */
    qr__zk_watch *watches;
    uint64_t stamp; /* of the last event it was given */
} qr__zk_watcher;

struct qr__zk_watch {
    qr__zk_watched *at;
    qr__zk_watcher *watcher;
    uint32_t kinds;
    qr__zk_watch **link, *next;                 /* of the path */
    qr__zk_watch **watcher_link, *watcher_next; /* of the watcher */
};

struct qr__zk_watched {
    qr__zk_watched *next; /* of its bucket */
    qr__zk_watch *watches;
    uint64_t hash;
    size_t size;
    uint8_t path[];
};

typedef struct qr__zk_watches { /* zeroed at the start */
    qr__zk_watched **buckets;
    size_t bucket_count, paths, watches, recursive;
    size_t of_data, of_children; /* of these watches, as ZooKeeper counts them: lasting ones are both */
    uint64_t stamp;
} qr__zk_watches;

void qr__zk_watches_free(qr__zk_watches *table); /* no watcher has any */
void qr__zk_watches_add(qr__zk_watches *table, qr__zk_watcher *watcher, qr_slice path, uint32_t kinds);
/* Those of these kinds that were there. */
uint32_t qr__zk_watches_remove(qr__zk_watches *table, qr__zk_watcher *watcher, qr_slice path, uint32_t kinds);
uint32_t qr__zk_watches_kinds(const qr__zk_watches *table, const qr__zk_watcher *watcher, qr_slice path);
void qr__zk_watches_leave(qr__zk_watches *table, qr__zk_watcher *watcher); /* all of them */
/* A change of that path, as the type of a watch event: tells each watcher that it concerns, once. One-shot
 * watches that were told are gone. `tell` must leave the table alone. */
void qr__zk_watches_fire(qr__zk_watches *table, int32_t type, qr_slice path,
                         void (*tell)(qr__zk_watcher *watcher, int32_t type, qr_slice path));

#endif

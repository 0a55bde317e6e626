/* The watches of one stream: by the client's ids, and in the order in which they wait for room. */
#ifndef QR_DOOR_ETCD_WATCH_SET_H
#define QR_DOOR_ETCD_WATCH_SET_H

#include "node/node.h"

typedef struct qr_etcd_watch_set {
    struct qr_etcd_watch **buckets; /* by id; owned; bucket_count is a power of two, or 0 */
    size_t bucket_count, count;
    int64_t next_id;
    struct qr_etcd_watch *waiting_first, *waiting_last;
    size_t lagging; /* watches that were not told everything yet */
} qr_etcd_watch_set;

typedef struct qr_etcd_watch {
    struct qr_etcd_watch_stream *stream; /* watch.c */
    qr_watcher *watcher;
    int64_t id;
    bool from_now;                         /* no start revision was given */
    bool created;                          /* and that was said */
    bool lags;                             /* counted in set->lagging */
    bool fragment, notify;                 /* as the client asked for */
    bool told;                             /* events since the last progress notification */
    bool waits;                            /* for room */
    struct qr_etcd_watch *chain;           /* in its bucket */
    struct qr_etcd_watch *next, *previous; /* of those that wait for room */
} qr_etcd_watch;

qr_etcd_watch *qr_etcd_watch_find(const qr_etcd_watch_set *set, int64_t id); /* NULL: there is none */
/* Under that id, which is free; 0: under the next free one. */
void qr_etcd_watch_add(qr_etcd_watch_set *set, qr_etcd_watch *watch, int64_t id);
void qr_etcd_watch_remove(qr_etcd_watch_set *set, qr_etcd_watch *watch); /* is its owner's again */
/* All, in no order: the one behind `watch`, NULL for the first. Removing `watch` itself does not disturb. */
qr_etcd_watch *qr_etcd_watch_after(const qr_etcd_watch_set *set, const qr_etcd_watch *watch);
void qr_etcd_watch_wait(qr_etcd_watch_set *set, qr_etcd_watch *watch); /* at the end of the queue */
void qr_etcd_watch_wait_no_more(qr_etcd_watch_set *set, qr_etcd_watch *watch);
void qr_etcd_watch_lag(qr_etcd_watch_set *set, qr_etcd_watch *watch, bool lags);
void qr_etcd_watch_set_free(qr_etcd_watch_set *set); /* nobody is in it any more */

#endif

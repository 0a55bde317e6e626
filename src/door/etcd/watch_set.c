#include "door/etcd/watch_set.h"

enum { BUCKETS_MIN = 8 }; /* grows with the watches */

static size_t bucket_of(const qr_etcd_watch_set *set, int64_t id)
{
    return (uint64_t)id & (set->bucket_count - 1);
}

/* Where it stands or would stand. */
static qr_etcd_watch **place_of(const qr_etcd_watch_set *set, int64_t id)
{
    qr_etcd_watch **at = &set->buckets[bucket_of(set, id)];
    while (*at && (*at)->id != id)
        at = &(*at)->chain;
    return at;
}

static void grow(qr_etcd_watch_set *set)
{
    qr_etcd_watch **old = set->buckets;
    size_t count = set->bucket_count;
    set->bucket_count = count ? count * 2 : BUCKETS_MIN;
    set->buckets = qr_alloc_zero(set->bucket_count, sizeof *set->buckets);
    for (size_t i = 0; i < count; i++) {
        for (qr_etcd_watch *watch = old[i], *next; watch; watch = next) {
            next = watch->chain;
            watch->chain = NULL;
            *place_of(set, watch->id) = watch;
        }
    }
    qr_free(old);
}

qr_etcd_watch *qr_etcd_watch_find(const qr_etcd_watch_set *set, int64_t id)
{
    return set->count > 0 ? *place_of(set, id) : NULL;
}

static int64_t free_id(qr_etcd_watch_set *set)
{
    while (*place_of(set, set->next_id))
        set->next_id++;
    return set->next_id++;
}

void qr_etcd_watch_add(qr_etcd_watch_set *set, qr_etcd_watch *watch, int64_t id)
{
    if (set->count++ == set->bucket_count)
        grow(set);
    watch->id = id ? id : free_id(set);
    *place_of(set, watch->id) = watch;
}

void qr_etcd_watch_remove(qr_etcd_watch_set *set, qr_etcd_watch *watch)
{
    qr_etcd_watch_wait_no_more(set, watch);
    qr_etcd_watch_lag(set, watch, false);
    *place_of(set, watch->id) = watch->chain;
    set->count--;
}

qr_etcd_watch *qr_etcd_watch_after(const qr_etcd_watch_set *set, const qr_etcd_watch *watch)
{
    if (watch && watch->chain)
        return watch->chain;
    for (size_t i = watch ? bucket_of(set, watch->id) + 1 : 0; i < set->bucket_count; i++)
        if (set->buckets[i])
            return set->buckets[i];
    return NULL;
}

void qr_etcd_watch_wait(qr_etcd_watch_set *set, qr_etcd_watch *watch)
{
    QR_ASSERT(!watch->waits);
    watch->waits = true;
    watch->next = NULL;
    watch->previous = set->waiting_last;
    *(set->waiting_last ? &set->waiting_last->next : &set->waiting_first) = watch;
    set->waiting_last = watch;
}

void qr_etcd_watch_wait_no_more(qr_etcd_watch_set *set, qr_etcd_watch *watch)
{
    if (!watch->waits)
        return;
    watch->waits = false;
    *(watch->previous ? &watch->previous->next : &set->waiting_first) = watch->next;
    *(watch->next ? &watch->next->previous : &set->waiting_last) = watch->previous;
}

void qr_etcd_watch_lag(qr_etcd_watch_set *set, qr_etcd_watch *watch, bool lags)
{
    if (watch->lags != lags)
        set->lagging += lags ? 1 : (size_t)-1;
    watch->lags = lags;
}

void qr_etcd_watch_set_free(qr_etcd_watch_set *set)
{
    QR_ASSERT(set->count == 0);
    qr_free(set->buckets);
}

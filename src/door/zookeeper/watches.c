#include "door/zookeeper/watches.h"

#include "door/zookeeper/path.h"

static qr__zk_watched **place(const qr__zk_watches *table, qr_slice path, uint64_t hash)
{
    qr__zk_watched **at = &table->buckets[hash & (table->bucket_count - 1)];
    while (*at && !((*at)->hash == hash && qr_slice_equal(qr_slice_of((*at)->path, (*at)->size), path)))
        at = &(*at)->next;
    return at;
}

static qr__zk_watched *find(const qr__zk_watches *table, qr_slice path)
{
    return table->bucket_count ? *place(table, path, qr_hash(path, 0)) : NULL;
}

static void grow(qr__zk_watches *table)
{
    qr__zk_watches wider = {.bucket_count = table->bucket_count ? table->bucket_count * 2 : 64};
    wider.buckets = qr_alloc_zero(wider.bucket_count, sizeof(qr__zk_watched *));
    for (size_t i = 0; i < table->bucket_count; i++) {
        for (qr__zk_watched *at = table->buckets[i], *next; at; at = next) {
            next = at->next;
            qr__zk_watched **head = &wider.buckets[at->hash & (wider.bucket_count - 1)];
            at->next = *head;
            *head = at;
        }
    }
    qr_free(table->buckets);
    table->buckets = wider.buckets;
    table->bucket_count = wider.bucket_count;
}

void qr__zk_watches_free(qr__zk_watches *table)
{
    QR_ASSERT(table->paths == 0 && table->watches == 0);
    qr_free(table->buckets);
}

static qr__zk_watch *watch_of(qr__zk_watched *at, const qr__zk_watcher *watcher)
{
    qr__zk_watch *watch = at ? at->watches : NULL;
    while (watch && watch->watcher != watcher)
        watch = watch->next;
    return watch;
}

static void drop_path(qr__zk_watches *table, qr__zk_watched *at)
{
    qr__zk_watched **link = place(table, qr_slice_of(at->path, at->size), at->hash);
    *link = at->next;
    table->paths--;
    qr_free(at);
}

static void set_kinds(qr__zk_watches *table, qr__zk_watch *watch, uint32_t kinds)
{
    uint32_t before = watch->kinds;
    watch->kinds = kinds;
    table->recursive += ((kinds & QR__ZK_RECURSIVE) != 0) - (size_t)((before & QR__ZK_RECURSIVE) != 0);
    table->of_data += qr__zk_is_of_data(kinds) - (size_t)qr__zk_is_of_data(before);
    table->of_children += qr__zk_is_of_children(kinds) - (size_t)qr__zk_is_of_children(before);
}

/* Takes kinds away from a watch; the last one takes it along, and it the path. */
static void weaken(qr__zk_watches *table, qr__zk_watch *watch, uint32_t kinds)
{
    set_kinds(table, watch, watch->kinds & ~kinds);
    if (watch->kinds)
        return;
    *watch->link = watch->next;
    if (watch->next)
        watch->next->link = watch->link;
    *watch->watcher_link = watch->watcher_next;
    if (watch->watcher_next)
        watch->watcher_next->watcher_link = watch->watcher_link;
    table->watches--;
    if (!watch->at->watches)
        drop_path(table, watch->at);
    qr_free(watch);
}

static qr__zk_watched *add_path(qr__zk_watches *table, qr_slice path)
{
    if (table->paths >= table->bucket_count)
        grow(table);
    uint64_t hash = qr_hash(path, 0);
    qr__zk_watched **link = place(table, path, hash);
    if (*link)
        return *link;
    qr__zk_watched *at = qr_alloc(sizeof *at + path.size);
    *at = (qr__zk_watched){.hash = hash, .size = path.size};
    if (path.size)
        memcpy(at->path, path.data, path.size);
    *link = at;
    table->paths++;
    return at;
}

void qr__zk_watches_add(qr__zk_watches *table, qr__zk_watcher *watcher, qr_slice path, uint32_t kinds)
{
    qr__zk_watched *at = add_path(table, path);
    qr__zk_watch *watch = watch_of(at, watcher);
    if (!watch) {
        watch = qr_alloc(sizeof *watch);
        *watch = (qr__zk_watch){.at = at,
                                .watcher = watcher,
                                .link = &at->watches,
                                .next = at->watches,
                                .watcher_link = &watcher->watches,
                                .watcher_next = watcher->watches};
        if (watch->next)
            watch->next->link = &watch->next;
        if (watch->watcher_next)
            watch->watcher_next->watcher_link = &watch->watcher_next;
        at->watches = watcher->watches = watch;
        table->watches++;
    }
    set_kinds(table, watch, watch->kinds | kinds);
}

uint32_t qr__zk_watches_remove(qr__zk_watches *table, qr__zk_watcher *watcher, qr_slice path, uint32_t kinds)
{
    qr__zk_watch *watch = watch_of(find(table, path), watcher);
    uint32_t had = watch ? watch->kinds & kinds : 0;
    if (had)
        weaken(table, watch, had);
    return had;
}

uint32_t qr__zk_watches_kinds(const qr__zk_watches *table, const qr__zk_watcher *watcher, qr_slice path)
{
    const qr__zk_watch *watch = watch_of(find(table, path), watcher);
    return watch ? watch->kinds : 0;
}

void qr__zk_watches_leave(qr__zk_watches *table, qr__zk_watcher *watcher)
{
    while (watcher->watches)
        weaken(table, watcher->watches, watcher->watches->kinds);
}

/* `wanted`: kinds that hear of it; `spent`: those that are over then. */
static void fire_at(qr__zk_watches *table, qr_slice at_path, uint32_t wanted, uint32_t spent, int32_t type,
                    qr_slice path, void (*tell)(qr__zk_watcher *, int32_t, qr_slice))
{
    qr__zk_watched *at = find(table, at_path);
    for (qr__zk_watch *watch = at ? at->watches : NULL, *next; watch; watch = next) {
        next = watch->next;
        if (!(watch->kinds & wanted))
            continue;
        if (watch->watcher->stamp != table->stamp)
            tell(watch->watcher, type, path);
        watch->watcher->stamp = table->stamp;
        weaken(table, watch, watch->kinds & spent);
    }
}

void qr__zk_watches_fire(qr__zk_watches *table, int32_t type, qr_slice path,
                         void (*tell)(qr__zk_watcher *watcher, int32_t type, qr_slice path))
{
    enum { DELETED = 2, CHILDREN_CHANGED = 4 };
    if (!table->watches)
        return;
    table->stamp++;
    if (type == CHILDREN_CHANGED) {
        fire_at(table, path, QR__ZK_CHILD | QR__ZK_PERSISTENT, QR__ZK_CHILD, type, path, tell);
        return;
    }
    uint32_t spent = QR__ZK_DATA | QR__ZK_EXIST | (type == DELETED ? QR__ZK_CHILD : 0);
    fire_at(table, path, spent | QR__ZK_LASTING, spent, type, path, tell);
    for (qr_slice above = path; table->recursive && above.size > 1;) {
        above = qr_zookeeper_path_parent(above);
        fire_at(table, above, QR__ZK_RECURSIVE, 0, type, path, tell);
    }
}

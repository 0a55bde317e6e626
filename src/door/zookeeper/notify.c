/* Events of the tree, as watch events. The door has a position in the member's history; what lies behind it
 * is read before any answer is built, and when the node rings. */
#include "door/zookeeper/config.h"
#include "door/zookeeper/door.h"
#include "door/zookeeper/node.h"
#include "door/zookeeper/path.h"

enum { CREATED = 1, DELETED = 2, DATA_CHANGED = 3, CHILDREN_CHANGED = 4, CONNECTED = 3, WATCH_XID = -1 };

typedef struct change {
    qr_slice path;
    uint8_t levels;
    bool deleted, leased;
} change;

typedef struct revision { /* the changes of one, until the next begins */
    qr_zookeeper_door *door;
    qr_arena arena;
    change *changes;
    size_t count, room;
    uint64_t revision;
} revision;

uint64_t qr__zk_revision(const qr_zookeeper_door *door)
{
    const qr_machine *machine = qr_node_machine(door->config.node);
    return machine->ops->revision(machine);
}

void qr__zk_event(qr__zk_connection *connection, int32_t type, qr_slice path)
{
    qr_jute_reply_header header = {.xid = WATCH_XID, .zxid = -1};
    qr_jute_watcher_event event = {.type = type, .state = CONNECTED, .path = path};
    size_t begin = qr_jute_packet_begin(&connection->out);
    qr_jute_encode(&qr_jute_record_reply_header, &header, &connection->out);
    qr_jute_encode(&qr_jute_record_watcher_event, &event, &connection->out);
    qr_jute_packet_end(&connection->out, begin);
    qr__zk_wake(connection);
}

static void tell_watcher(qr__zk_watcher *watcher, int32_t type, qr_slice path)
{
    qr__zk_event((qr__zk_connection *)((char *)watcher - offsetof(qr__zk_connection, watcher)), type, path);
}

static void fire(const revision *all, int32_t type, qr_slice path)
{
    qr__zk_watches_fire(&all->door->watches, type, path, tell_watcher);
}

void qr__zk_config_changed(qr_zookeeper_door *door)
{
    qr__zk_watches_fire(&door->watches, DATA_CHANGED, qr_slice_text("/zookeeper/config"), tell_watcher);
}

static qr_slice above(qr_slice path, size_t levels)
{
    while (levels-- > 0)
        path = qr_zookeeper_path_parent(path);
    return path;
}

/* A change and what it meant for the directories above: those between come before the key, and go after it.
 */
static void fire_change(const revision *all, const change *one, bool parent_too)
{
    if (one->levels == 0) {
        fire(all, DATA_CHANGED, one->path);
        return;
    }
    if (!one->deleted) {
        for (size_t level = one->levels; level > 0; level--) {
            fire(all, CREATED, above(one->path, level - 1));
            fire(all, CHILDREN_CHANGED, above(one->path, level));
        }
        return;
    }
    fire(all, DELETED, one->path);
    for (size_t level = 1; parent_too && level <= one->levels; level++) {
        fire(all, CHILDREN_CHANGED, above(one->path, level));
        if (level < one->levels)
            fire(all, DELETED, above(one->path, level));
    }
}

/* What a lease takes along: all deletions, then each parent once. The changes are in order of their keys, but
 * siblings need not stand together. */
static void fire_lease_end(const revision *all)
{
    for (size_t i = 0; i < all->count; i++)
        fire_change(all, &all->changes[i], false);
    for (size_t i = 0; i < all->count; i++) {
        for (size_t level = 1; level <= all->changes[i].levels; level++) {
            qr_slice path = above(all->changes[i].path, level);
            bool told = false;
            for (size_t j = 0; j < i && !told; j++)
                for (size_t k = 1; k <= all->changes[j].levels && !told; k++)
                    told = qr_slice_equal(path, above(all->changes[j].path, k));
            if (!told)
                fire(all, CHILDREN_CHANGED, path);
            if (level < all->changes[i].levels)
                fire(all, DELETED, path);
        }
    }
}

static void fire_revision(revision *all)
{
    bool lease_end = all->count > 1;
    for (size_t i = 0; i < all->count; i++)
        lease_end = lease_end && all->changes[i].deleted && all->changes[i].leased;
    if (lease_end)
        fire_lease_end(all);
    else
        for (size_t i = 0; i < all->count; i++)
            fire_change(all, &all->changes[i], true);
    all->count = 0;
    qr_arena_reset(&all->arena);
}

/* The root is always there: that it appears or goes in the tree is a change of its data, if it is one. */
static uint8_t levels_below_root(const qr_kv_event *event, qr_slice path)
{
    uint8_t depth = 0;
    for (size_t i = 0; i < path.size && path.size > 1 && depth < event->levels; i++)
        depth += path.data[i] == '/';
    return depth;
}

static bool is_of_no_concern(const qr_kv_event *event, qr_slice path)
{
    bool appears = event->levels > 0 && !event->deleted;
    return path.size == 1 && appears && event->kv.value.size == 0;
}

static void on_event(void *context, const qr_kv_event *event)
{
    revision *all = context;
    if (event->kv.mod_revision != all->revision)
        fire_revision(all);
    all->revision = event->kv.mod_revision;
    qr_slice path;
    if (!qr_zookeeper_path_of_key(qr_buffer_slice(&all->door->root), event->kv.key, &path) ||
        !qr_zookeeper_path_valid(path) || qr__zk_is_made_up(path) || is_of_no_concern(event, path))
        return;
    uint8_t levels = levels_below_root(event, path);
    while (levels > 1 && qr__zk_made_up(above(path, levels - 1u)))
        levels--; /* what is made up is always there */
    if (all->count == all->room) {
        all->room = all->room ? all->room * 2 : 16;
        all->changes = qr_realloc(all->changes, all->room * sizeof *all->changes);
    }
    all->changes[all->count++] = (change){.path = qr_arena_copy(&all->arena, path),
                                          .levels = levels,
                                          .deleted = event->deleted,
                                          .leased = event->has_previous && event->previous.lease != 0};
}

/* Its record moves no revision: of a change at the revision that the client saw last it cannot be said
 * whether it saw that too, and an event too many does no harm. */
static bool config_since(qr_zookeeper_door *door, uint64_t seen)
{
    qr_arena arena;
    qr_arena_init(&arena);
    qr_zookeeper_ensemble *ensemble = qr_arena_zero(&arena, 1, sizeof *ensemble);
    bool changed = qr__zk_ensemble_look(door->config.node, &arena, ensemble) == QR_OK &&
                   ensemble->version > 0 && ensemble->revision >= seen;
    qr_arena_free(&arena);
    return changed;
}

/* Since when a root without a trace is so is not known: that may be news. */
static qr_status present_state(qr_zookeeper_door *door, qr_slice path, bool *present, qr_jute_stat *stat)
{
    qr_arena arena;
    qr_arena_init(&arena);
    const qr_path_result *found;
    qr_status status =
        qr__zk_look(door->config.node, qr_buffer_slice(&door->root), &arena, path, NULL, &found);
    bool root = qr_zookeeper_path_is_root(path);
    *stat = (qr_jute_stat){.mzxid = root ? INT64_MAX : 0, .pzxid = root ? INT64_MAX : 0};
    if (status == QR_OK && found->present)
        qr_zookeeper_stat(found, root, stat);
    *present = status == QR_OK && (found->present || root || qr__zk_made_up(path));
    qr_arena_free(&arena);
    return status;
}

uint32_t qr__zk_judge(qr__zk_connection *connection, qr_slice path, uint32_t kinds, uint64_t seen)
{
    qr_jute_stat stat;
    bool present, config_changed = qr__zk_is_config(path) && config_since(connection->door, seen);
    int32_t type = 0;
    if (present_state(connection->door, path, &present, &stat) != QR_OK)
        return kinds;
    if (!present && kinds & (QR__ZK_DATA | QR__ZK_CHILD))
        type = DELETED;
    else if (present && kinds & QR__ZK_EXIST)
        type = CREATED;
    else if (kinds & QR__ZK_DATA && ((uint64_t)stat.mzxid > seen || config_changed))
        type = DATA_CHANGED;
    else if (kinds & QR__ZK_CHILD && (uint64_t)stat.pzxid > seen)
        type = CHILDREN_CHANGED;
    if (type == 0)
        return kinds;
    qr__zk_event(connection, type, path);
    if (type == CHILDREN_CHANGED)
        return kinds & ~(uint32_t)QR__ZK_CHILD;
    return kinds & ~(uint32_t)(QR__ZK_DATA | QR__ZK_EXIST | (type == DELETED ? QR__ZK_CHILD : 0));
}

/* The history that was not read is gone: every watch is compared with the present state. */
static void judge_all(qr_zookeeper_door *door)
{
    for (qr__zk_connection *connection = door->connections; connection; connection = connection->next) {
        for (qr__zk_watch *watch = connection->watcher.watches, *next; watch; watch = next) {
            next = watch->watcher_next;
            qr_slice path = qr_slice_of(watch->at->path, watch->at->size);
            uint32_t kept = watch->kinds, before;
            do { /* what is told of data does not tell of children */
                before = kept;
                kept = qr__zk_judge(connection, path, before, door->seen);
            } while (kept != before);
            qr__zk_watches_remove(&door->watches, &connection->watcher, path, watch->kinds & ~kept);
        }
    }
}

void qr__zk_catch_up(qr_zookeeper_door *door)
{
    uint64_t revision_now = qr__zk_revision(door);
    if (door->catching_up || door->seen == revision_now)
        return;
    if (!door->watches.watches) {
        door->seen = revision_now;
        return;
    }
    door->catching_up = true;
    revision all = {.door = door};
    qr_arena_init(&all.arena);
    qr_events_query query = {.span = {.kind = QR_SPAN_FROM, .space = QR_SPACE_KEYS},
                             .from = door->seen + 1,
                             .want_previous = true,
                             .bytes_max = SIZE_MAX,
                             .look_max = SIZE_MAX,
                             .tell = on_event,
                             .context = &all};
    qr_events_result result;
    qr_status status =
        revision_now < door->seen ? QR_E_COMPACTED : qr_node_look_events(door->config.node, &query, &result);
    if (status == QR_OK) {
        fire_revision(&all);
        door->seen = result.next - 1;
    } else if (status == QR_E_COMPACTED) {
        judge_all(door);
        door->seen = revision_now;
    }
    qr_free(all.changes);
    qr_arena_free(&all.arena);
    door->catching_up = false;
}

static void discard(void *context, const qr_kv_event *event) {}

/* Without watches what rang is left unread, and the bell is silent until the first one comes. */
static void on_bell(void *owner)
{
    enum { READ_MAX = 1024 * 1024 };
    qr_zookeeper_door *door = owner;
    door->bell_rang = !door->watches.watches;
    if (door->bell_rang)
        return;
    qr__zk_catch_up(door);
    uint64_t compacted;
    qr_status status = qr_node_watch_next(door->bell, READ_MAX, discard, NULL, &compacted);
    if (status == QR_OK && !qr_node_watch_idle(door->bell)) {
        qr_node_watch_resume(door->bell);
    } else if (status == QR_E_COMPACTED) { /* it was silent for long; what matters is what comes now */
        qr_node_watch_end(door->bell);
        door->bell = NULL;
        qr__zk_bell_start(door);
    }
}

void qr__zk_bell_start(qr_zookeeper_door *door)
{
    if (!door->bell) {
        qr_watch_config config = {
            .span = {.kind = QR_SPAN_FROM, .space = QR_SPACE_KEYS}, .ready = on_bell, .owner = door};
        door->bell = qr_node_watch(door->config.node, &config);
    } else if (door->bell_rang) {
        door->bell_rang = false;
        qr_node_watch_resume(door->bell);
    }
}

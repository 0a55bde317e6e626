/* Watchers: positions in the machine's history, and the waking of those that an event concerns.
 *
 *   waiting --caught up--> ready --its turn--> busy --all told--> idle --an event--> ready
 *                            ^                  |
 *                            +--- resume -------+   (more is there, or its owner has no room yet)
 *
 * An idle watcher has been told everything up to the newest revision, so its position moves on by itself.
 * Every entry is looked at right after it was applied, so between an owner's reading and the next event there
 * is no gap, and compaction can never overtake the hub. */
#include "core/bugs.h"
#include "node/internal.h"

/* A turn's work is counted in events looked at; serving a watcher costs some of them in any case, and so do
 * bytes that are told. */
enum { TURN_BUDGET = 64 * 1024, SERVICE_COST = 32, BYTES_PER_UNIT = 64 };

typedef enum watch_state { WAITING, IDLE, READY, BUSY } watch_state;

struct qr_watcher {
    qr_node *node; /* NULL: it has been freed */
    qr_watch_config config;
    qr_track *track; /* has the span */
    watch_state state;
    uint64_t position;     /* all events before this revision were handed out; unless idle */
    qr_watcher_list *list; /* it stands in: idle or future ones of its track, the ready or the busy ones */
    qr_watcher *next, *previous;         /* in it */
    qr_watcher *all_next, *all_previous; /* of the node */
};

static void list_add(qr_watcher_list *list, qr_watcher *watcher)
{
    QR_ASSERT(watcher->list == NULL);
    watcher->list = list;
    watcher->next = NULL;
    watcher->previous = list->last;
    *(list->last ? &list->last->next : &list->first) = watcher;
    list->last = watcher;
}

static void list_leave(qr_watcher *watcher)
{
    qr_watcher_list *list = watcher->list;
    if (list == NULL)
        return;
    *(watcher->previous ? &watcher->previous->next : &list->first) = watcher->next;
    *(watcher->next ? &watcher->next->previous : &list->last) = watcher->previous;
    watcher->next = watcher->previous = NULL;
    watcher->list = NULL;
}

/* Out of everything that the node has. */
static void detach(qr_watcher *watcher)
{
    qr_watch_hub *hub = &watcher->node->watches;
    list_leave(watcher);
    qr_watch_index__leave(&hub->index, watcher->track);
    watcher->track = NULL;
    *(watcher->all_previous ? &watcher->all_previous->all_next : &hub->all) = watcher->all_next;
    if (watcher->all_next != NULL)
        watcher->all_next->all_previous = watcher->all_previous;
    hub->count--;
}

static void make_ready(qr_watcher *watcher)
{
    list_leave(watcher);
    watcher->state = READY;
    list_add(&watcher->node->watches.ready, watcher);
}

static void make_idle(qr_watcher *watcher)
{
    const qr_watch_hub *hub = &watcher->node->watches;
    bool later = watcher->position > hub->revision + 1;
    list_leave(watcher);
    watcher->state = IDLE;
    list_add(later ? &watcher->track->future : &watcher->track->idle, watcher);
}

/* ------------------------------------------------------------------ events ---- */

/* Of an idle watcher: something of that revision is for it. */
static void wake(qr_watcher *watcher, uint64_t revision)
{
    if (watcher->position < revision)
        watcher->position = revision;
    make_ready(watcher);
}

static void wake_track(void *context, qr_track *track)
{
    uint64_t revision = *(const uint64_t *)context;
    while (track->idle.first != NULL)
        wake(track->idle.first, revision);
    for (qr_watcher *watcher = track->future.first, *next; watcher != NULL; watcher = next) {
        next = watcher->next;
        if (watcher->position <= revision)
            wake(watcher, revision);
    }
}

static void on_event(void *context, const qr_kv_event *event)
{
    uint64_t revision = event->kv.mod_revision;
    qr_watch_index__visit(context, event->kv.key, wake_track, &revision);
}

/* Wakes whom the events since the last look concern. */
static qr_status look(qr_node *node)
{
    qr_watch_hub *hub = &node->watches;
    uint64_t revision = node->machine->ops->revision(node->machine);
    if (hub->count == 0 || revision == hub->revision) {
        hub->revision = revision;
        return QR_OK;
    }
    qr_events_query query = {
        .span = {.kind = QR_SPAN_FROM, .space = QR_SPACE_KEYS, .key = qr_slice_of("", 0)},
        .from = hub->revision + 1,
        .bytes_max = SIZE_MAX,
        .look_max = SIZE_MAX,
        .tell = on_event,
        .context = &hub->index,
    };
    qr_events_result result;
    qr_status status = node->machine->ops->events(node->machine, &query, &result);
    if (status == QR_OK)
        hub->revision = revision;
    return status;
}

void qr_watch__applied(qr_node *node)
{
    QR_CHECK(look(node) == QR_OK, "compaction has overtaken the events of its own member");
}

/* Another machine, some revisions ahead. If its history begins behind where the watchers stood, each has to
 * find out for itself. */
void qr_watch__jumped(qr_node *node)
{
    qr_watch_hub *hub = &node->watches;
    bool repeats = QR_BUG(node->config.bug, WATCH_REPEATS);
    if (QR_BUG(node->config.bug, WATCH_SKIPS))
        hub->revision = node->machine->ops->revision(node->machine);
    if (!repeats && look(node) == QR_OK)
        return;
    for (qr_watcher *watcher = hub->all; watcher != NULL; watcher = watcher->all_next) {
        if (watcher->state != IDLE)
            continue;
        watcher->position = repeats ? hub->revision : qr_node_watch_position(watcher);
        make_ready(watcher);
    }
    hub->revision = node->machine->ops->revision(node->machine);
}

/* ------------------------------------------------------------------- turns ---- */

/* From now on the member's state is no older than what was seen of it before it restarted. */
static void start(qr_watcher *watcher)
{
    qr_watch_hub *hub = &watcher->node->watches;
    if (watcher->config.start == 0 ||
        (QR_BUG(watcher->node->config.bug, WATCH_FUTURE) && watcher->position > hub->revision + 1))
        watcher->position = hub->revision + 1;
    make_ready(watcher);
}

static void start_waiting(qr_node *node)
{
    qr_watch_hub *hub = &node->watches;
    hub->started = true;
    for (qr_watcher *watcher = hub->all; watcher != NULL; watcher = watcher->all_next)
        start(watcher);
}

/* The first in the queue; its owner may end it, and others. */
static void serve(qr_watch_hub *hub)
{
    qr_watcher *watcher = hub->ready.first;
    list_leave(watcher);
    watcher->state = BUSY;
    list_add(&hub->busy, watcher);
    watcher->config.ready(watcher->config.owner);
}

void qr_watch__turn(qr_node *node)
{
    qr_watch_hub *hub = &node->watches;
    if (node->caught_up && !hub->started)
        start_waiting(node);
    hub->budget = TURN_BUDGET;
    while (hub->ready.first != NULL && hub->budget > 0) {
        hub->budget -= SERVICE_COST;
        serve(hub);
    }
}

bool qr_watch__wants_turn(const qr_node *node)
{
    return node->watches.ready.first != NULL;
}

void qr_watch__finish(qr_node *node)
{
    qr_watch_hub *hub = &node->watches;
    for (qr_watcher *watcher = hub->all; watcher != NULL; watcher = watcher->all_next)
        if (watcher->state != BUSY) { /* these hear of it when they resume */
            watcher->position = qr_node_watch_position(watcher);
            make_ready(watcher);
        }
    while (hub->ready.first != NULL)
        serve(hub);
}

void qr_watch__free(qr_node *node)
{
    qr_watch_hub *hub = &node->watches;
    while (hub->all != NULL) {
        qr_watcher *watcher = hub->all;
        bool waits = watcher->state == BUSY;
        watcher->position = qr_node_watch_position(watcher);
        detach(watcher);
        watcher->node = NULL;
        watcher->state = BUSY;
        if (!waits)
            watcher->config.ready(watcher->config.owner);
    }
    qr_watch_index__free(&hub->index);
}

/* ------------------------------------------------------------------ owners ---- */

qr_watcher *qr_node_watch(qr_node *node, const qr_watch_config *config)
{
    qr_watch_hub *hub = &node->watches;
    if (node->halted || hub->count >= QR_NODE_WATCHERS_MAX || node->machine->ops->events == NULL)
        return NULL;
    QR_ASSERT(config->span.space == QR_SPACE_KEYS && config->ready != NULL);
    if (hub->count++ == 0)
        hub->revision = node->machine->ops->revision(node->machine);
    qr_watcher *watcher = qr_alloc_zero(1, sizeof *watcher);
    watcher->node = node;
    watcher->config = *config;
    watcher->track = qr_watch_index__enter(&hub->index, &config->span);
    watcher->config.span = watcher->track->span;
    watcher->position = config->start;
    watcher->all_next = hub->all;
    if (hub->all != NULL)
        hub->all->all_previous = watcher;
    hub->all = watcher;
    if (hub->started) {
        start(watcher);
        qr_node__wake(node);
    }
    return watcher;
}

void qr_node_watch_end(qr_watcher *watcher)
{
    if (watcher->node != NULL)
        detach(watcher);
    qr_free(watcher);
}

qr_status qr_node_watch_next(qr_watcher *watcher, size_t bytes_max,
                             void (*tell)(void *context, const qr_kv_event *event), void *context,
                             uint64_t *compacted)
{
    qr_node *node = watcher->node;
    *compacted = 0;
    QR_ASSERT(watcher->state == BUSY);
    if (node == NULL || node->halted)
        return node == NULL ? QR_E_STOPPED : QR_E_HALTED;
    const qr_watch_config *config = &watcher->config;
    qr_events_query query = {
        .span = config->span,
        .from = watcher->position,
        .skip_puts = config->skip_puts,
        .skip_deletes = config->skip_deletes,
        .want_previous = config->want_previous,
        .bytes_max = bytes_max,
        .look_max = QR_NODE_WATCH_LOOK_MAX,
        .tell = tell,
        .context = context,
    };
    qr_events_result result;
    qr_status status = node->machine->ops->events(node->machine, &query, &result);
    *compacted = result.compacted;
    if (status != QR_OK)
        return status;
    watcher->position = result.next;
    node->watches.budget -= (int64_t)(result.looked + result.bytes / BYTES_PER_UNIT);
    QR_ASSERT(result.revision == node->watches.revision);
    if (result.next > result.revision)
        make_idle(watcher);
    return QR_OK;
}

void qr_node_watch_resume(qr_watcher *watcher)
{
    QR_ASSERT(watcher->state == BUSY);
    if (watcher->node == NULL) {
        watcher->config.ready(watcher->config.owner);
        return;
    }
    make_ready(watcher);
    qr_node__wake(watcher->node);
}

bool qr_node_watch_started(const qr_watcher *watcher)
{
    return watcher->state != WAITING && watcher->position != 0; /* 0: the node halted before */
}

bool qr_node_watch_idle(const qr_watcher *watcher)
{
    return watcher->state == IDLE;
}

uint64_t qr_node_watch_position(const qr_watcher *watcher)
{
    const qr_node *node = watcher->node;
    if (node == NULL)
        return watcher->position;
    bool told = watcher->state == IDLE || QR_BUG(node->config.bug, WATCH_AHEAD);
    uint64_t next = node->watches.revision + 1;
    return told && watcher->position < next ? next : watcher->position;
}

static void count_behind(const qr_watcher_list *list, uint64_t revision, qr_node_watch_figures *figures)
{
    for (const qr_watcher *watcher = list->first; watcher != NULL; watcher = watcher->next) {
        uint64_t lag = watcher->position <= revision ? revision + 1 - watcher->position : 0;
        figures->slow += lag > 0;
        if (lag > figures->lag)
            figures->lag = lag;
    }
}

void qr_node_watch_figures_of(const qr_node *node, qr_node_watch_figures *figures)
{
    const qr_watch_hub *hub = &node->watches;
    *figures = (qr_node_watch_figures){.watchers = hub->count};
    count_behind(&hub->ready, hub->revision, figures);
    count_behind(&hub->busy, hub->revision, figures);
}

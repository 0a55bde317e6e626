/* Watchers in the workload: clients that follow a span on some member, slowly, go on elsewhere after a crash,
 * and begin at revisions that are past, compacted or still to come. Everything that they are told is held
 * against the model's history. The rules are the nine properties that etcd promises of a watch: ordered,
 * unique, atomic, reliable, resumable, bookmarkable, with the right previous value, with the right create and
 * modify flags, and filtered as asked. doc/design/watches.md says why each holds. */
#include <inttypes.h>

#include "sim/world.h"

static uint64_t below(qr_sim_world *world, uint64_t bound)
{
    return qr_prng_below(&world->prng_watch, bound);
}

static bool at_rest(const qr_sim_world *world)
{
    return world->phase != QR_SIM_FAULTS;
}

/* When the client looks at its watch again: soon, or after it was busy with something else. */
static void act_later(qr_sim_watch *watch)
{
    qr_sim_world *world = watch->world;
    uint64_t mean_us = at_rest(world) ? 2000 : (uint64_t)world->plan.watch_ms * 1000;
    uint64_t delay_us = 1 + below(world, 2 * mean_us);
    qr_sim_after(world, delay_us, (qr_sim_event){.kind = QR_SIM_WATCH, .node = watch->number});
}

/* --------------------------------------------------------- what is expected ---- */

static bool inside(const qr_span *span, qr_slice key)
{
    if (span->kind == QR_SPAN_KEY)
        return qr_slice_equal(span->key, key);
    return qr_slice_compare(span->key, key) <= 0 &&
           (span->kind == QR_SPAN_FROM || qr_slice_compare(key, span->end) < 0);
}

static bool is_wanted(const qr_sim_watch *watch, const qr_sim_version *version)
{
    return version->live ? !watch->skip_puts : !watch->skip_deletes;
}

/* The first version of the key from that revision on. */
static size_t first_from(const qr_sim_key *key, uint64_t revision)
{
    size_t low = 0, high = key->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (key->versions[middle].revision < revision)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* How many events there are for the watch in [from, to). */
static uint64_t expected(const qr_sim_watch *watch, uint64_t from, uint64_t to)
{
    const qr_sim_model *model = &watch->world->oracle.model;
    uint64_t count = 0;
    for (size_t k = 0; k < model->count; k++) {
        const qr_sim_key *key = &model->keys[k];
        if (!inside(&watch->span, key->name))
            continue;
        for (size_t i = first_from(key, from); i < key->count && key->versions[i].revision < to; i++)
            count += is_wanted(watch, &key->versions[i]);
    }
    return count;
}

static const qr_sim_key *model_key(const qr_sim_model *model, qr_slice name)
{
    for (size_t k = 0; k < model->count; k++)
        if (qr_slice_equal(model->keys[k].name, name))
            return &model->keys[k];
    return NULL;
}

static bool same(const qr_key_value *kv, const qr_sim_version *version)
{
    return qr_slice_equal(kv->value, version->value) && kv->mod_revision == version->revision &&
           kv->create_revision == version->create_revision && kv->version == version->version &&
           kv->lease == version->lease;
}

/* --------------------------------------------------------------- what is told ---- */

static void judge_previous(qr_sim_watch *watch, const qr_kv_event *event, const qr_sim_key *key)
{
    qr_sim_world *world = watch->world;
    uint64_t revision = event->kv.mod_revision;
    size_t at = first_from(key, revision);
    const qr_sim_version *before = at > 0 && key->versions[at - 1].live ? &key->versions[at - 1] : NULL;
    if (event->has_previous && (before == NULL || !watch->want_previous || !same(&event->previous, before)))
        qr_sim_fail(world, "watch-tells-the-previous",
                    "w%u is told a wrong previous value at revision %" PRIu64, watch->number + 1, revision);
    if (!event->has_previous && before != NULL && watch->want_previous)
        watch->no_previous = revision; /* lawful if it was compacted */
}

/* Which change of this key within its revision is it? */
static const qr_sim_version *version_of(qr_sim_watch *watch, const qr_kv_event *event, const qr_sim_key *key)
{
    uint64_t revision = event->kv.mod_revision;
    uint64_t hash = qr_hash(event->kv.key, revision);
    size_t earlier = 0;
    for (size_t i = 0; i < watch->told_count; i++)
        earlier += watch->told_keys[i] == hash;
    if (watch->told_count < QR_SIM_TOLD_MAX)
        watch->told_keys[watch->told_count++] = hash;
    for (size_t at = first_from(key, revision); at < key->count; at++) {
        const qr_sim_version *version = &key->versions[at];
        if (version->revision == revision && is_wanted(watch, version) && earlier-- == 0)
            return version;
    }
    return NULL;
}

static void on_event(void *context, const qr_kv_event *event)
{
    qr_sim_watch *watch = context;
    qr_sim_world *world = watch->world;
    uint64_t revision = event->kv.mod_revision;
    if (revision < watch->next)
        qr_sim_fail(world, "watch-tells-each-once",
                    "w%u is told of revision %" PRIu64 " and wanted those from %" PRIu64 " on",
                    watch->number + 1, revision, watch->next);
    if (revision < watch->told)
        qr_sim_fail(world, "watch-is-in-order", "w%u is told of revision %" PRIu64 " after %" PRIu64,
                    watch->number + 1, revision, watch->told);
    if (revision != watch->told)
        watch->told_count = 0;
    watch->told = revision;
    watch->told_events++;
    qr_sim_mix(world, qr_hash(event->kv.key, revision));
    const qr_sim_key *key = model_key(&world->oracle.model, event->kv.key);
    const qr_sim_version *version = key ? version_of(watch, event, key) : NULL;
    bool right = version != NULL && version->live != event->deleted && inside(&watch->span, event->kv.key) &&
                 (event->deleted || same(&event->kv, version));
    if (!right) {
        qr_sim_fail(world, "watch-follows-model",
                    "w%u is told of a change of %.*s at revision %" PRIu64 " that is not the model's",
                    watch->number + 1, (int)event->kv.key.size, (const char *)event->kv.key.data, revision);
        return;
    }
    judge_previous(watch, event, key);
}

/* Everything for it before `position` was told, `told` of them just now. */
static void judge_position(qr_sim_watch *watch, uint64_t position, uint64_t told)
{
    qr_sim_world *world = watch->world;
    if (position < watch->next || position <= watch->told)
        qr_sim_fail(world, "watch-goes-forward",
                    "w%u stands at %" PRIu64 " after %" PRIu64 " and events of %" PRIu64, watch->number + 1,
                    position, watch->next, watch->told);
    uint64_t wanted = expected(watch, watch->next, position);
    if (told != wanted)
        qr_sim_fail(world, "watch-is-complete",
                    "w%u stands at revision %" PRIu64 ", was told %" PRIu64 " events from %" PRIu64
                    " on, and there were %" PRIu64,
                    watch->number + 1, position, told, watch->next, wanted);
    watch->next = position;
}

/* --------------------------------------------------------------- the client ---- */

static void leave(qr_sim_watch *watch)
{
    if (watch->watcher != NULL)
        qr_node_watch_end(watch->watcher);
    watch->watcher = NULL;
    watch->holds = watch->started = false;
}

/* A new one, at its first word: from here on it counts. */
static void begin(qr_sim_watch *watch)
{
    qr_sim_world *world = watch->world;
    uint64_t position = qr_node_watch_position(watch->watcher);
    watch->started = true;
    if (watch->start != 0 && position != watch->start)
        qr_sim_fail(world, "watch-begins-where-asked", "w%u asked for %" PRIu64 " and begins at %" PRIu64,
                    watch->number + 1, watch->start, position);
    watch->next = position;
    watch->told = 0;
}

/* From inside a turn, or when the process dies. What the node has for us is taken later. */
static void on_ready(void *owner)
{
    qr_sim_watch *watch = owner;
    qr_sim_node *node = &watch->world->node[watch->node];
    if (node->dying) {
        leave(watch);
        return;
    }
    if (qr_sim_disk_dead(
            node->disk)) { /* it dies as soon as this call is over, and is told so when it takes */
        watch->holds = true;
        return;
    }
    if (!watch->started && qr_node_watch_started(watch->watcher))
        begin(watch);
    watch->holds = true;
}

static void compacted_away(qr_sim_watch *watch, uint64_t compacted)
{
    qr_sim_world *world = watch->world;
    qr_sim_story(world, "w%u: compacted to %" PRIu64 ", it stood at %" PRIu64, watch->number + 1, compacted,
                 watch->next);
    if (watch->next >= compacted || compacted > world->oracle.model.compacted)
        qr_sim_fail(world, "watch-ends-only-for-a-cause",
                    "w%u stands at %" PRIu64 " and is told that all before %" PRIu64
                    " is compacted; the model is at %" PRIu64,
                    watch->number + 1, watch->next, compacted, world->oracle.model.compacted);
    leave(watch);
    watch->next = compacted; /* what is left begins here */
}

static void take(qr_sim_watch *watch)
{
    qr_sim_world *world = watch->world;
    uint64_t compacted, bytes_max = at_rest(world) ? 1 << 20 : 1 + below(world, 400);
    watch->told_events = watch->no_previous = 0;
    qr_status status = qr_node_watch_next(watch->watcher, bytes_max, on_event, watch, &compacted);
    watch->holds = false;
    if (status == QR_E_COMPACTED) {
        compacted_away(watch, compacted);
        return;
    }
    if (status != QR_OK) {
        leave(watch);
        return;
    }
    if (watch->no_previous > compacted)
        qr_sim_fail(world, "watch-tells-the-previous",
                    "w%u is not told what was there before revision %" PRIu64 ", compacted is %" PRIu64,
                    watch->number + 1, watch->no_previous, compacted);
    judge_position(watch, qr_node_watch_position(watch->watcher), watch->told_events);
    world->report->watch_events += watch->told_events;
    if (!qr_node_watch_idle(watch->watcher))
        qr_node_watch_resume(watch->watcher);
}

static void look_for_progress(qr_sim_watch *watch)
{
    if (watch->watcher != NULL && watch->started)
        judge_position(watch, qr_node_watch_position(watch->watcher), 0);
}

static void draw_interest(qr_sim_watch *watch)
{
    qr_sim_world *world = watch->world;
    static const char *const names[] = {"k0", "k1", "k2", "k3", "n0", "n1"};
    uint64_t draw = below(world, 4), first = below(world, 6);
    watch->span = (qr_span){.kind = QR_SPAN_FROM, .space = QR_SPACE_KEYS, .key = qr_slice_text("k")};
    if (draw < 2) {
        watch->span.kind = QR_SPAN_KEY;
        watch->span.key = qr_slice_text(names[first]);
    } else if (draw == 2) {
        watch->span.kind = QR_SPAN_RANGE;
        watch->span.key = qr_slice_text(names[first / 2]);
        watch->span.end = qr_slice_text("k5");
    }
    uint64_t filter = below(world, 12);
    watch->skip_puts = filter == 0;
    watch->skip_deletes = filter == 1;
    watch->want_previous = below(world, 2);
}

/* Where the client begins: where it has come to, or it is another one. */
static uint64_t draw_start(qr_sim_watch *watch)
{
    qr_sim_world *world = watch->world;
    uint64_t newest = world->oracle.model.revision, draw = below(world, 10);
    if (at_rest(world) || draw < 7)
        return watch->next;
    draw_interest(watch);
    if (draw == 7)
        return 0;
    return draw == 8 ? 1 + below(world, newest) : newest + 1 + below(world, 8);
}

static void join(qr_sim_watch *watch)
{
    qr_sim_world *world = watch->world;
    uint32_t number = (uint32_t)below(world, world->nodes);
    qr_sim_node *node = &world->node[number];
    if (!qr_sim_node_up(node) || node->halted)
        return;
    watch->node = number;
    watch->start = draw_start(watch);
    watch->next = watch->start;
    watch->told = 0;
    qr_watch_config config = {.span = watch->span,
                              .start = watch->start,
                              .skip_puts = watch->skip_puts,
                              .skip_deletes = watch->skip_deletes,
                              .want_previous = watch->want_previous,
                              .ready = on_ready,
                              .owner = watch};
    watch->watcher = qr_node_watch(node->node, &config);
    qr_sim_story(world, "w%u watches %.*s%s at n%u from %" PRIu64 " on", watch->number + 1,
                 (int)watch->span.key.size, (const char *)watch->span.key.data,
                 watch->span.kind == QR_SPAN_KEY ? "" : "..", number + 1, watch->start);
}

/* The process that has the watcher is not the one it was made in. */
static bool is_orphan(const qr_sim_watch *watch)
{
    return watch->watcher != NULL && watch->started && qr_sim_disk_dead(watch->world->node[watch->node].disk);
}

void qr_sim_watch_act(qr_sim_world *world, uint32_t number)
{
    qr_sim_watch *watch = &world->watches[number];
    if (is_orphan(watch)) {
        act_later(watch); /* its process dies any moment */
        return;
    }
    look_for_progress(watch);
    if (watch->holds)
        take(watch);
    else if (watch->watcher != NULL && !at_rest(world) && below(world, 20) == 0)
        leave(watch); /* it goes on somewhere else */
    if (watch->watcher == NULL)
        join(watch);
    act_later(watch);
}

void qr_sim_watch_init(qr_sim_world *world)
{
    for (uint32_t i = 0; i < world->plan.watches; i++) {
        qr_sim_watch *watch = &world->watches[i];
        watch->world = world;
        watch->number = i;
        watch->next = 1;
        draw_interest(watch);
        act_later(watch);
    }
}

const char *qr_sim_watch_missing(const qr_sim_world *world, char *text, size_t size)
{
    for (uint32_t i = 0; i < world->plan.watches; i++) {
        const qr_sim_watch *watch = &world->watches[i];
        if (watch->watcher != NULL && watch->next > world->oracle.model.revision)
            continue;
        snprintf(text, size, "w%u was told what came before revision %" PRIu64 " of %" PRIu64, i + 1,
                 watch->next, world->oracle.model.revision);
        return text;
    }
    return NULL;
}

void qr_sim_watch_free(qr_sim_world *world)
{
    for (uint32_t i = 0; i < world->plan.watches; i++)
        leave(&world->watches[i]);
}

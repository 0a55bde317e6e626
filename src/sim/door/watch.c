/* What a client watches, and which events it must be told in which order. A watch that a connection has set
 * is known to stand from the state on that its answer shows; so everything that comes behind that is known
 * beforehand: the events of the model's rows, in their order, each before any answer that shows its revision.
 *
 * After a reconnect the client asks for its watches anew, and is told at once what it has missed, by the
 * present state alone: nothing if that looks as it did. */
#include <inttypes.h>

#include "sim/door/inside.h"

enum { ONE_SHOT = QR_SIMD_WATCH_DATA | QR_SIMD_WATCH_EXIST | QR_SIMD_WATCH_CHILD };

bool qr_simd_watch_room(const qr_simd_client *client)
{
    return client->watch_count + 2 * QR_SIMD_PIPELINE_MAX < QR_SIMD_WATCHES_MAX;
}

static qr_simd_watch *watch_at(qr_simd_client *client, uint32_t path)
{
    for (size_t i = 0; i < client->watch_count; i++)
        if (client->watches[i].path == path)
            return &client->watches[i];
    return NULL;
}

static uint32_t kinds_at(qr_simd_client *client, uint32_t path)
{
    const qr_simd_watch *watch = watch_at(client, path);
    return watch ? watch->kinds : 0;
}

static void spend(qr_simd_client *client, uint32_t path, uint32_t kinds)
{
    qr_simd_watch *watch = watch_at(client, path);
    if (watch == NULL)
        return;
    watch->kinds &= ~kinds;
    if (watch->kinds == 0)
        *watch = client->watches[--client->watch_count];
}

/* The one-shot kinds at the path that such an event fires and ends. */
static uint32_t spent_by(int32_t type)
{
    switch (type) {
    case QR_SIMD_CHILDREN: return QR_SIMD_WATCH_CHILD;
    case QR_SIMD_DELETED: return ONE_SHOT;
    default: return QR_SIMD_WATCH_DATA | QR_SIMD_WATCH_EXIST;
    }
}

static bool concerns(qr_simd_client *client, const qr_simd_event *event)
{
    const qr_simd_tree *tree = &client->all->tree;
    uint32_t kinds = kinds_at(client, event->path);
    if (kinds & (spent_by(event->type) | QR_SIMD_WATCH_PERSISTENT))
        return true;
    for (uint32_t at = event->path; event->type != QR_SIMD_CHILDREN && at != QR_SIMD_NOWHERE;
         at = tree->paths[at].parent)
        if (kinds_at(client, at) & QR_SIMD_WATCH_RECURSIVE)
            return true;
    return false;
}

/* The next one for the client up to that revision, which becomes its position; NULL: none. */
static const qr_simd_event *next_event(qr_simd_client *client, uint64_t limit)
{
    const qr_simd_tree *tree = &client->all->tree;
    qr_simd_wire *wire = client->wire;
    for (size_t at = qr_simd_row_after(tree, wire->seen);
         at < tree->row_count && tree->rows[at].revision <= limit; at++) {
        const qr_simd_row *row = &tree->rows[at];
        for (; wire->event < row->event_count; wire->event++)
            if (concerns(client, &row->events[wire->event]))
                return &row->events[wire->event];
        wire->seen = row->revision;
        wire->event = 0;
    }
    return NULL;
}

static uint64_t next_revision(const qr_simd_client *client)
{
    const qr_simd_tree *tree = &client->all->tree;
    size_t at = qr_simd_row_after(tree, client->wire->seen);
    return at < tree->row_count ? tree->rows[at].revision : UINT64_MAX;
}

void qr_simd_watch_add(qr_simd_client *client, qr_slice name, uint32_t kinds, uint64_t revision)
{
    uint32_t path = qr_simd_path_of(&client->all->tree, name);
    qr_simd_watch *watch = watch_at(client, path);
    if (client->wire->seen < revision) {
        client->wire->seen = revision;
        client->wire->event = 0;
    }
    if (watch == NULL) {
        QR_ASSERT(client->watch_count < QR_SIMD_WATCHES_MAX);
        watch = &client->watches[client->watch_count++];
        *watch = (qr_simd_watch){.path = path};
    }
    watch->kinds |= kinds;
}

/* Where history was compacted away before it was read there, one-shot watches are compared with the present
 * state, and what came and went meanwhile is not told. */
static bool may_be_skipped(qr_simd_client *client, const qr_simd_event *event)
{
    bool is_gone = next_revision(client) <= client->all->world->oracle.model.compacted;
    uint32_t sure = spent_by(event->type) & (QR_SIMD_WATCH_DATA | QR_SIMD_WATCH_CHILD);
    return is_gone && !(kinds_at(client, event->path) & sure);
}

static bool is_by_state(qr_simd_client *client, int32_t type, uint32_t path)
{
    bool is_gone = client->wire->seen < client->all->world->oracle.model.compacted;
    return is_gone && (kinds_at(client, path) & spent_by(type));
}

void qr_simd_watch_event(qr_simd_client *client, int32_t type, qr_slice name)
{
    qr_simd *all = client->all;
    uint32_t path = qr_simd_path_of(&all->tree, name);
    qr_sim_story(all->world, "z%u is told of event %d at %.*s", client->number + 1, type, (int)name.size,
                 (const char *)name.data);
    all->world->report->door_events++;
    if (client->setting) {
        if (client->caught_count < sizeof client->caught / sizeof client->caught[0])
            client->caught[client->caught_count++] = (qr_simd_event){type, path};
        return;
    }
    const qr_simd_event *event = next_event(client, all->tree.revision);
    bool right = event != NULL && event->type == type && event->path == path;
    if (right)
        client->wire->event++;
    else if (!is_by_state(client, type, path))
        qr_sim_fail(all->world, "watch-tells-each-in-order",
                    "z%u is told of event %d at %.*s, the next for it is %d at %.*s", client->number + 1,
                    type, (int)name.size, (const char *)name.data, event ? event->type : 0,
                    event ? (int)all->tree.paths[event->path].name.size : 0,
                    event ? (const char *)all->tree.paths[event->path].name.data : "");
    spend(client, path, spent_by(type));
}

void qr_simd_watch_reply(qr_simd_client *client, uint64_t revision)
{
    qr_simd *all = client->all;
    const qr_simd_event *event;
    while (!client->setting && (event = next_event(client, revision)) != NULL) {
        if (!may_be_skipped(client, event)) {
            qr_sim_fail(all->world, "watch-precedes-the-answer",
                        "z%u is answered with the state of %" PRIu64
                        " and was not told of event %d at %.*s of %" PRIu64,
                        client->number + 1, revision, event->type,
                        (int)all->tree.paths[event->path].name.size,
                        (const char *)all->tree.paths[event->path].name.data, next_revision(client));
            return;
        }
        client->wire->event++;
    }
}

/* Those of a kind that are there: 1 of children, 2 of data, 3 any. */
uint32_t qr_simd_watch_ask(qr_simd_client *client, qr_slice name, int32_t type, bool removes)
{
    static const uint32_t kinds[] = {0, QR_SIMD_WATCH_CHILD, QR_SIMD_WATCH_DATA | QR_SIMD_WATCH_EXIST,
                                     ONE_SHOT | QR_SIMD_WATCH_PERSISTENT | QR_SIMD_WATCH_RECURSIVE};
    uint32_t path = qr_simd_path_of(&client->all->tree, name);
    uint32_t there = kinds_at(client, path) & kinds[type];
    if (removes)
        spend(client, path, there);
    return there;
}

/* ---------------------------------------------------------------- reconnects ---- */

void qr_simd_watch_set(qr_simd_client *client)
{
    client->caught_count = 0;
    client->setting = client->watch_count > 0;
    client->set_since = client->zxid;
    if (client->setting)
        qr_simd_send(client, qr_simd_op_new(client->all, client, QR_JUTE_OP_SET_WATCHES2));
}

static qr_jute_vector paths_with(const qr_simd_client *client, uint32_t kind, qr_arena *arena)
{
    qr_jute_name *names = qr_arena_zero(arena, client->watch_count + 1, sizeof *names);
    int32_t count = 0;
    for (size_t i = 0; i < client->watch_count; i++)
        if (client->watches[i].kinds & kind)
            names[count++].text = client->all->tree.paths[client->watches[i].path].name;
    return (qr_jute_vector){names, count};
}

void qr_simd_watch_encode(const qr_simd_client *client, const qr_simd_op *op, qr_buffer *out)
{
    qr_arena *arena = &client->all->world->arena;
    qr_jute_request_header header = {.xid = op->xid, .type = op->type};
    qr_jute_set_watches2 lists = {.relative_zxid = (int64_t)client->zxid,
                                  .data = paths_with(client, QR_SIMD_WATCH_DATA, arena),
                                  .exist = paths_with(client, QR_SIMD_WATCH_EXIST, arena),
                                  .child = paths_with(client, QR_SIMD_WATCH_CHILD, arena),
                                  .persistent = paths_with(client, QR_SIMD_WATCH_PERSISTENT, arena),
                                  .recursive = paths_with(client, QR_SIMD_WATCH_RECURSIVE, arena)};
    size_t begin = qr_jute_packet_begin(out);
    qr_jute_encode(&qr_jute_record_request_header, &header, out);
    qr_jute_encode(&qr_jute_record_set_watches2, &lists, out);
    qr_jute_packet_end(out, begin);
}

/* What a client has missed that knew an earlier revision, by the state of now; 0: nothing. */
static int32_t missed(uint32_t kind, const qr_simd_state *state, uint64_t since)
{
    qr_jute_stat stat;
    qr_simd_stat(QR_SIMD_NOWHERE, state, &stat);
    if (kind == QR_SIMD_WATCH_EXIST)
        return state->present ? QR_SIMD_CREATED : 0;
    if (!state->present)
        return QR_SIMD_DELETED;
    if (kind == QR_SIMD_WATCH_DATA)
        return (uint64_t)stat.mzxid > since ? QR_SIMD_DATA : 0;
    return (uint64_t)stat.pzxid > since ? QR_SIMD_CHILDREN : 0;
}

void qr_simd_watch_was_set(qr_simd_client *client, uint64_t revision)
{
    static const uint32_t kinds[] = {QR_SIMD_WATCH_DATA, QR_SIMD_WATCH_EXIST, QR_SIMD_WATCH_CHILD};
    qr_simd *all = client->all;
    qr_simd_watch asked[QR_SIMD_WATCHES_MAX];
    size_t asked_count = client->watch_count, told = 0;
    memcpy(asked, client->watches, sizeof asked);
    bool right = true;
    for (size_t k = 0; k < 3; k++) {
        for (size_t i = 0; i < asked_count; i++) {
            if (!(asked[i].kinds & kinds[k]))
                continue;
            uint32_t path = asked[i].path;
            int32_t type = missed(kinds[k], qr_simd_at(&all->tree, path, revision), client->set_since);
            if (type == 0)
                continue;
            right = right && told < client->caught_count && client->caught[told].type == type &&
                    client->caught[told].path == path;
            told++;
            spend(client, path, kinds[k]);
        }
    }
    if (!right || told != client->caught_count)
        qr_sim_fail(all->world, "watch-outlives-the-connection",
                    "z%u knew revision %" PRIu64 " and at %" PRIu64
                    " was told %zu events of what it missed; %zu are due",
                    client->number + 1, client->set_since, revision, client->caught_count, told);
    client->setting = false;
    client->wire->seen = revision;
    client->wire->event = 0;
}

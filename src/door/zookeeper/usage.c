/* usage: the nodes and bytes at a path and below it. They are counted once, and from then on followed through
 * the history. */
#include "door/zookeeper/usage.h"

#include "door/zookeeper/path.h"

enum {
    PIECE = 8192,       /* keys of one look of a walk */
    CHANGES_MAX = 1024, /* of one revision that are followed; with more the keys are walked through anew */
};

typedef struct walk {
    int64_t nodes, bytes;
    size_t path_size;
    qr_arena arena; /* of the changes of one revision: a key may be changed twice in it */
    struct change {
        qr_slice key;
        int64_t size;
    } * changes;
    size_t count;
    uint64_t revision;
    bool too_many;
} walk;

/* Those that came or went with the key: itself, and the implied ones above it, up to the path. */
static int64_t nodes_of(const walk *self, const qr_kv_event *event)
{
    int64_t below = 1;
    for (size_t i = self->path_size; i < event->kv.key.size; i++)
        below += event->kv.key.data[i] == '/';
    int64_t nodes = event->levels < below ? event->levels : below;
    return event->deleted ? -nodes : nodes;
}

static void on_change(void *context, const qr_kv_event *event)
{
    walk *self = context;
    if (!qr_zookeeper_path_valid(event->kv.key))
        return;
    if (event->kv.mod_revision != self->revision) {
        self->revision = event->kv.mod_revision;
        self->count = 0;
        qr_arena_reset(&self->arena);
        self->changes = qr_arena_zero(&self->arena, CHANGES_MAX, sizeof *self->changes);
    }
    self->nodes += nodes_of(self, event);
    int64_t size = event->deleted ? 0 : (int64_t)event->kv.value.size;
    size_t at = 0;
    while (at < self->count && !qr_slice_equal(self->changes[at].key, event->kv.key))
        at++;
    self->too_many = self->too_many || at == CHANGES_MAX;
    if (self->too_many)
        return;
    if (at == self->count)
        self->changes[self->count++] =
            (struct change){.key = qr_arena_copy(&self->arena, event->kv.key),
                            .size = event->has_previous ? (int64_t)event->previous.value.size : 0};
    self->bytes += size - self->changes[at].size;
    self->changes[at].size = size;
}

/* From "/a/" to "/a0", which comes right behind it. */
qr_span qr__zk_below(qr_slice path, qr_arena *arena)
{
    uint8_t *from = qr_arena_alloc(arena, path.size + 1), *to = qr_arena_alloc(arena, path.size + 1);
    memcpy(from, path.data, path.size);
    memcpy(to, path.data, path.size);
    from[path.size] = '/';
    to[path.size] = '/' + 1;
    return (qr_span){.kind = QR_SPAN_RANGE,
                     .space = QR_SPACE_KEYS,
                     .key = qr_slice_of(from, path.size + 1),
                     .end = qr_slice_of(to, path.size + 1)};
}

static qr_span itself(qr_slice path)
{
    return (qr_span){.kind = QR_SPAN_KEY, .space = QR_SPACE_KEYS, .key = path};
}

/* Since the sum's revision. False: the history of that is not there. */
static bool follow(qr_node *node, const qr__zk_sum *one, const qr_span spans[2], walk *changes)
{
    for (int i = 0; i < 2; i++) {
        qr_events_query query = {.span = spans[i],
                                 .from = one->revision + 1,
                                 .want_previous = true,
                                 .bytes_max = SIZE_MAX,
                                 .look_max = SIZE_MAX,
                                 .tell = on_change,
                                 .context = changes};
        qr_events_result result;
        changes->revision = 0;
        if (qr_node_look_events(node, &query, &result) != QR_OK || changes->too_many ||
            result.compacted > one->revision || result.revision < one->revision)
            return false;
    }
    return true;
}

static qr_status add_up(qr_node *node, qr_span span, int64_t *bytes)
{
    qr_arena arena;
    qr_arena_init(&arena);
    qr_buffer next;
    qr_buffer_init(&next);
    qr_status status;
    for (bool more = true; more;) {
        qr_op op = {.kind = QR_OP_RANGE, .range = {.span = span, .limit = PIECE}};
        qr_query query = {.kind = QR_QUERY_TXN, .txn = {.then_ops = &op, .then_count = 1}};
        const void *found;
        qr_arena_reset(&arena);
        status = qr_node_look(node, &query, &arena, &found);
        if (status != QR_OK)
            break;
        const qr_op_result *result = ((const qr_txn_result *)found)->ops;
        for (size_t i = 0; i < result->kv_count; i++)
            if (qr_zookeeper_path_valid(result->kvs[i].key))
                *bytes += (int64_t)result->kvs[i].value.size;
        more = result->more && result->kv_count > 0;
        if (!more)
            break;
        qr_buffer_clear(&next);
        qr_buffer_add_slice(&next, result->kvs[result->kv_count - 1].key);
        qr_buffer_u8(&next, 0);
        span.key = qr_buffer_slice(&next);
    }
    qr_buffer_free(&next);
    qr_arena_free(&arena);
    return status;
}

static qr_status count_nodes(qr_node *node, qr_slice path, qr_arena *arena, int64_t *nodes)
{
    qr_query query = {.kind = QR_QUERY_PATH, .path = path, .want_descendants = true};
    const void *found;
    qr_status status = qr_node_look(node, &query, arena, &found);
    if (status != QR_OK)
        return status;
    const qr_path_result *result = found;
    *nodes = result->present ? (int64_t)result->descendants + 1 : 0;
    return QR_OK;
}

qr_status qr__zk_sum_follow(qr_node *node, qr__zk_sum *one)
{
    const qr_machine *machine = qr_node_machine(node);
    uint64_t revision = machine->ops->revision(machine);
    if (one->revision == revision)
        return QR_OK;
    qr_arena arena;
    qr_arena_init(&arena);
    qr_slice path = qr_slice_text(one->path);
    walk self = {.nodes = one->nodes, .bytes = one->bytes, .path_size = path.size};
    qr_arena_init(&self.arena);
    const qr_span spans[2] = {itself(path), qr__zk_below(path, &arena)};
    qr_status status = QR_OK;
    if (one->revision == 0 || !follow(node, one, spans, &self)) {
        self.bytes = 0;
        status = count_nodes(node, path, &arena, &self.nodes);
        for (int i = 0; i < 2 && status == QR_OK; i++)
            status = add_up(node, spans[i], &self.bytes);
    }
    if (status == QR_OK) {
        one->nodes = self.nodes;
        one->bytes = self.bytes;
        one->revision = revision;
    }
    qr_arena_free(&self.arena);
    qr_arena_free(&arena);
    return status;
}

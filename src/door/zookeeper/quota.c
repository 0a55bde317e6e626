#include "door/zookeeper/quota.h"

#include "door/zookeeper/path.h"
#include "door/zookeeper/request.h"
#include "door/zookeeper/usage.h"

static const char top[] = "/zookeeper/quota", limits_name[] = "/zookeeper_limits",
                  stats_name[] = "/zookeeper_stats";

enum {
    COMPLAIN_MS = 60000, /* between two complaints about one quota */
    LOOK_MAX = 4096,     /* keys of quotas in which a look finds something to complain about */
};

struct qr_zookeeper_quotas {
    qr_node *node;
    bool enforce;
    void (*complain)(void *context, const char *path, const qr_zookeeper_usage *usage);
    void *context;
    qr_buffer root;
    qr__zk_sum *sums; /* by keys; of those that were asked for and have quotas still */
};

/* ---- limits ---- */

static bool take_number(qr_slice text, int64_t *number)
{
    bool negative = text.size > 0 && text.data[0] == '-';
    uint64_t value = 0;
    size_t at = negative;
    for (; at < text.size && text.data[at] >= '0' && text.data[at] <= '9'; at++) {
        uint64_t digit = text.data[at] - (uint64_t)'0';
        if (value > (INT64_MAX - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    *number = negative ? -(int64_t)value : (int64_t)value;
    return at == text.size && at > negative;
}

static size_t find(qr_slice text, const char *ends)
{
    size_t at = 0;
    while (at < text.size && strchr(ends, text.data[at] ? text.data[at] : ' ') == NULL)
        at++;
    return at;
}

static qr_slice drop(qr_slice text, size_t size)
{
    size = size < text.size ? size : text.size;
    return qr_slice_of(text.data + size, text.size - size);
}

static bool set_limit(qr_zookeeper_limits *limits, qr_slice name, int64_t number)
{
    const struct {
        const char *name;
        int64_t *at;
    } names[] = {{"count", &limits->count},
                 {"bytes", &limits->bytes},
                 {"countHardLimit", &limits->count_hard},
                 {"byteHardLimit", &limits->bytes_hard}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (qr_slice_equal(name, qr_slice_text(names[i].name)))
            *names[i].at = number < 0 ? -1 : number;
    return name.size > 0;
}

qr_status qr_zookeeper_limits_read(qr_slice text, qr_zookeeper_limits *limits)
{
    *limits = (qr_zookeeper_limits){-1, -1, -1, -1};
    if (text.size > QR_ZOOKEEPER_LIMITS_MAX)
        return QR_E_INVALID;
    while (text.size > 0) {
        size_t size = find(text, ",;");
        qr_slice pair = qr_slice_of(text.data, size);
        size_t equals = find(pair, "=");
        qr_slice value = drop(pair, equals + 1);
        int64_t number;
        value.size = find(value, "="); /* one more "=" was put there for the sake of old servers */
        if (size > 0 &&
            (!take_number(value, &number) || !set_limit(limits, qr_slice_of(pair.data, equals), number)))
            return QR_E_INVALID;
        text = drop(text, size + 1);
    }
    return QR_OK;
}

/* ---- what there is ---- */

static qr__zk_sum *sum_of(qr_zookeeper_quotas *quotas, qr_slice key)
{
    for (qr__zk_sum *one = quotas->sums; one; one = one->next)
        if (qr_slice_equal(qr_slice_text(one->path), key))
            return one;
    qr__zk_sum *fresh = qr_alloc_zero(1, sizeof *fresh + key.size + 1);
    memcpy(fresh->path, key.data, key.size);
    fresh->next = quotas->sums;
    quotas->sums = fresh;
    return fresh;
}

static qr_status look(qr_node *node, qr_slice key, qr_arena *arena, const qr_path_result **result)
{
    qr_query query = {.kind = QR_QUERY_PATH, .path = key};
    const void *found;
    qr_status status = qr_node_look(node, &query, arena, &found);
    *result = found;
    return status;
}

qr_status qr_zookeeper_usage_of(qr_zookeeper_quotas *quotas, qr_slice path, qr_zookeeper_usage *usage)
{
    qr_arena arena;
    qr_arena_init(&arena);
    qr__zk_sum *one = sum_of(quotas, qr_zookeeper_path_key(qr_buffer_slice(&quotas->root), path, &arena));
    qr_arena_free(&arena);
    qr_status status = qr__zk_sum_follow(quotas->node, one);
    *usage = (qr_zookeeper_usage){.count = one->nodes, .bytes = one->bytes};
    return status;
}

bool qr_zookeeper_quota_is_stats(qr_slice path, qr_slice *of)
{
    size_t before = sizeof top - 1, behind = sizeof stats_name - 1;
    if (path.size <= before + behind || !qr_slice_starts(path, qr_slice_text(top)) ||
        memcmp(path.data + path.size - behind, stats_name, behind) != 0)
        return false;
    *of = qr_slice_of(path.data + before, path.size - before - behind);
    return of->data[0] == '/' && of->size > 1;
}

/* ---- what may be ---- */

/* The key of a quota, or of what is right below it. */
static qr_slice join(const qr_zookeeper_quotas *quotas, qr_arena *arena, qr_slice path, const char *name)
{
    qr_buffer out;
    qr_buffer_init(&out);
    qr_buffer_add_slice(&out, qr_buffer_slice(&quotas->root));
    qr_buffer_add_slice(&out, qr_slice_text(top));
    qr_buffer_add_slice(&out, path);
    qr_buffer_add_slice(&out, qr_slice_text(name));
    qr_slice joined = qr_arena_copy(arena, qr_buffer_slice(&out));
    qr_buffer_free(&out);
    return joined;
}

/* The nearest path at or above this one that has limits: down from the top, as long as there are quotas
 * below. Its limits as text, of the arena. */
static bool nearest(const qr_zookeeper_quotas *quotas, qr_slice path, qr_arena *arena, qr_slice *of,
                    qr_slice *text)
{
    bool found = false;
    for (size_t size = 1; size <= path.size; size++) {
        const qr_path_result *result;
        if (size < path.size && path.data[size] != '/')
            continue;
        qr_slice above = qr_slice_of(path.data, size);
        if (look(quotas->node, join(quotas, arena, above, ""), arena, &result) != QR_OK || !result->present)
            break;
        if (look(quotas->node, join(quotas, arena, above, limits_name), arena, &result) != QR_OK ||
            !result->kv)
            continue;
        *of = above;
        *text = qr_arena_copy(arena, result->kv->value);
        found = true;
    }
    return found;
}

/* A hard limit takes the place of the soft one. */
static bool is_passed(int64_t have, int64_t soft, int64_t hard)
{
    int64_t limit = hard >= 0 ? hard : soft;
    return limit >= 0 && have > limit;
}

static int32_t check(qr_zookeeper_quotas *quotas, qr_slice of, const qr_zookeeper_limits *limits,
                     int64_t nodes, int64_t bytes)
{
    qr_zookeeper_usage usage;
    bool count_matters = limits->count_hard >= 0 && nodes != 0;
    bool bytes_matter = limits->bytes_hard >= 0 && bytes != 0;
    if (!count_matters && !bytes_matter)
        return QR_ZOOKEEPER_OK;
    if (qr_zookeeper_usage_of(quotas, of, &usage) != QR_OK)
        return QR_ZOOKEEPER_CONNECTION_LOSS;
    return (count_matters && is_passed(usage.count + nodes, -1, limits->count_hard)) ||
                   (bytes_matter && is_passed(usage.bytes + bytes, -1, limits->bytes_hard))
               ? QR_ZOOKEEPER_QUOTA_EXCEEDED
               : QR_ZOOKEEPER_OK;
}

int32_t qr_zookeeper_quota_check(qr_zookeeper_quotas *quotas, qr_slice path, int64_t nodes, int64_t bytes)
{
    if (!quotas->enforce)
        return QR_ZOOKEEPER_OK;
    qr_arena arena;
    qr_arena_init(&arena);
    int32_t err = QR_ZOOKEEPER_OK;
    qr_slice of, text;
    qr_zookeeper_limits limits;
    if (nearest(quotas, path, &arena, &of, &text))
        err = qr_zookeeper_limits_read(text, &limits) == QR_OK ? check(quotas, of, &limits, nodes, bytes)
                                                               : QR_ZOOKEEPER_MARSHALLING;
    qr_arena_free(&arena);
    return err;
}

/* ---- once a second ---- */

static void look_at(qr_zookeeper_quotas *quotas, qr_slice path, qr_slice text, uint64_t now_ms)
{
    qr_zookeeper_limits limits;
    qr_zookeeper_usage usage;
    qr_arena arena;
    qr_arena_init(&arena);
    qr__zk_sum *one = sum_of(quotas, qr_zookeeper_path_key(qr_buffer_slice(&quotas->root), path, &arena));
    qr_arena_free(&arena);
    if (now_ms < one->complain_ms || qr_zookeeper_limits_read(text, &limits) != QR_OK ||
        qr_zookeeper_usage_of(quotas, path, &usage) != QR_OK)
        return;
    bool count = is_passed(usage.count, limits.count, limits.count_hard);
    bool bytes = is_passed(usage.bytes, limits.bytes, limits.bytes_hard);
    if (!count && !bytes)
        return;
    one->complain_ms = now_ms + COMPLAIN_MS;
    quotas->complain(quotas->context, one->path, &usage);
}

/* Limits among the keys of quotas: what they are of, or an empty slice. */
static qr_slice path_of_limits(const qr_zookeeper_quotas *quotas, qr_slice key)
{
    size_t before = quotas->root.size + sizeof top - 1, behind = sizeof limits_name - 1;
    bool is_one =
        key.size > before + behind + 1 && memcmp(key.data + key.size - behind, limits_name, behind) == 0;
    return is_one ? qr_slice_of(key.data + before, key.size - before - behind) : qr_slice_of(NULL, 0);
}

static void look_at_all(qr_zookeeper_quotas *quotas, uint64_t now_ms)
{
    qr_arena arena;
    qr_arena_init(&arena);
    qr_op op = {.kind = QR_OP_RANGE,
                .range = {.span = qr__zk_below(join(quotas, &arena, qr_slice_of(NULL, 0), ""), &arena),
                          .limit = LOOK_MAX}};
    qr_query query = {.kind = QR_QUERY_TXN, .txn = {.then_ops = &op, .then_count = 1}};
    const void *found;
    struct {
        qr_slice path, text;
    } *limits = NULL;
    size_t count = 0;
    if (qr_node_look(quotas->node, &query, &arena, &found) == QR_OK) {
        const qr_op_result *all = ((const qr_txn_result *)found)->ops;
        limits = qr_arena_zero(&arena, all->kv_count + 1, sizeof *limits);
        for (size_t i = 0; i < all->kv_count; i++) {
            qr_slice path = path_of_limits(quotas, all->kvs[i].key);
            if (path.size == 0)
                continue;
            limits[count].path = qr_arena_copy(&arena, path);
            limits[count++].text = qr_arena_copy(&arena, all->kvs[i].value);
        }
    }
    for (size_t i = 0; i < count; i++)
        look_at(quotas, limits[i].path, limits[i].text, now_ms);
    qr_arena_free(&arena);
}

/* Sums are kept up, so that there is never much to follow; those whose quota was removed go. */
static void keep_sums(qr_zookeeper_quotas *quotas)
{
    qr_arena arena;
    qr_arena_init(&arena);
    for (qr__zk_sum **link = &quotas->sums, *one; (one = *link) != NULL;) {
        const qr_path_result *quota;
        qr_slice path = qr_slice_text(one->path);
        path = qr_slice_of(path.data + quotas->root.size, path.size - quotas->root.size);
        if (look(quotas->node, join(quotas, &arena, path, ""), &arena, &quota) == QR_OK && !quota->present) {
            *link = one->next;
            qr_free(one);
            continue;
        }
        if (one->revision)
            (void)qr__zk_sum_follow(quotas->node, one); /* tried again when it is asked for */
        link = &one->next;
    }
    qr_arena_free(&arena);
}

void qr_zookeeper_quotas_look(qr_zookeeper_quotas *quotas, uint64_t now_ms)
{
    qr_node_status status;
    qr_node_status_of(quotas->node, &status);
    keep_sums(quotas);
    if (quotas->complain && status.engine.role == QR_LEADER)
        look_at_all(quotas, now_ms);
}

qr_zookeeper_quotas *qr_zookeeper_quotas_new(qr_node *node, qr_slice root, bool enforce,
                                             void (*complain)(void *context, const char *path,
                                                              const qr_zookeeper_usage *usage),
                                             void *context)
{
    qr_zookeeper_quotas *quotas = qr_alloc_zero(1, sizeof *quotas);
    *quotas =
        (qr_zookeeper_quotas){.node = node, .enforce = enforce, .complain = complain, .context = context};
    qr_buffer_init(&quotas->root);
    if (root.size > 0)
        qr_buffer_add_slice(&quotas->root, root);
    return quotas;
}

void qr_zookeeper_quotas_free(qr_zookeeper_quotas *quotas)
{
    for (qr__zk_sum *one = quotas->sums, *next; one; one = next) {
        next = one->next;
        qr_free(one);
    }
    qr_buffer_free(&quotas->root);
    qr_free(quotas);
}

/* Range queries: what is visible, filters, limits and sorting. The result borrows keys and values from the
 * tree. */
#include "tree/private.h"

enum { AHEAD = 8 }; /* keys whose memory is asked for before they are filled in */

typedef struct found {
    const qr__entry *entry;
    const qr__version *version;
} found;

static bool passes(const qr_range *range, const qr__version *version)
{
    if (range->mod_revision_min && qr__mod_of(version) < range->mod_revision_min)
        return false;
    if (range->mod_revision_max && qr__mod_of(version) > range->mod_revision_max)
        return false;
    if (range->create_revision_min && qr__create_of(version) < range->create_revision_min)
        return false;
    return !range->create_revision_max || qr__create_of(version) <= range->create_revision_max;
}

static bool has_filters(const qr_range *range)
{
    return range->mod_revision_min || range->mod_revision_max || range->create_revision_min ||
           range->create_revision_max;
}

/* ------------------------------------------------------------------ sorting ---- */

static int compare_numbers(uint64_t a, uint64_t b)
{
    return (a > b) - (a < b);
}

static int compare(qr_sort sort, const found *a, const found *b)
{
    switch (sort) {
    case QR_SORT_KEY: break;
    case QR_SORT_VERSION: return compare_numbers(qr__number_of(a->version), qr__number_of(b->version));
    case QR_SORT_CREATE: return compare_numbers(qr__create_of(a->version), qr__create_of(b->version));
    case QR_SORT_MOD: return compare_numbers(qr__mod_of(a->version), qr__mod_of(b->version));
    case QR_SORT_VALUE: return qr_slice_compare(qr__value_of(a->version), qr__value_of(b->version));
    }
    return qr_slice_compare(qr__key_of(a->entry), qr__key_of(b->entry));
}

/* Merges runs of growing length between two arrays; equal ones keep their order, in both directions. */
static found *sort_found(found *list, size_t count, qr_sort sort, bool down, qr_arena *arena)
{
    found *target = qr_arena_zero(arena, count ? count : 1, sizeof *target);
    for (size_t run = 1; run < count; run *= 2) {
        for (size_t from = 0; from < count; from += 2 * run) {
            size_t left = from, left_end = from + run < count ? from + run : count;
            size_t right = left_end, right_end = left_end + run < count ? left_end + run : count;
            for (size_t to = from; to < right_end; to++) {
                bool take_left = right == right_end;
                if (!take_left && left < left_end) {
                    int order = compare(sort, &list[left], &list[right]);
                    take_left = down ? order >= 0 : order <= 0;
                }
                target[to] = list[take_left ? left++ : right++];
            }
        }
        found *swap = list;
        list = target;
        target = swap;
    }
    return list;
}

/* --------------------------------------------------------------- collecting ---- */

typedef struct collection {
    found *list;
    size_t count;
    bool best; /* there is room for one, and it is for the one that a sort would put first */
    bool more; /* one that did not fit was seen */
} collection;

/* Whether a sort puts it before the one that came earlier in key order. */
static bool is_better(const qr_range *range, const found *one, const found *earlier)
{
    int order = compare(range->sort, one, earlier);
    return range->order == QR_ORDER_DOWN ? order > 0 : order < 0;
}

/* The first `room` keys that pass the filters, in key order or against it; or the best of all. `visible` says
 * how many keys of the span there are, so the walk ends without comparing keys with the end of the span. */
static void collect(const qr__index *index, const qr_range *range, uint64_t visible, uint64_t room, bool down,
                    collection *result)
{
    uint64_t revision = range->revision ? range->revision : UINT64_MAX;
    bool filters = has_filters(range);
    qr_slice from;
    const qr_slice *to;
    bool any = qr__span_bounds(&range->span, &from, &to);
    QR_ASSERT(any);
    qr__cursor cursor = down ? qr__cursor_before(index, to) : qr__cursor_seek(index, from);
    while (visible > 0) {
        QR_ASSERT(cursor.leaf != NULL);
        const qr__entry *entry = qr__cursor_entry(&cursor);
        bool current = cursor.leaf->node.mods[cursor.at] <= revision;
        const qr__version *version = NULL;
        if (!current)
            version = qr__visible(entry, revision);
        else if (cursor.leaf->live >> cursor.at & 1)
            version = entry->newest;
        if (down)
            qr__cursor_previous(&cursor);
        else
            qr__cursor_next(&cursor);
        if (version == NULL)
            continue;
        visible--;
        if (filters && !passes(range, version))
            continue;
        const found one = {.entry = entry, .version = version};
        if (result->count < room) {
            result->list[result->count++] = one;
            continue;
        }
        result->more = true;
        if (!result->best)
            return;
        if (is_better(range, &one, &result->list[0]))
            result->list[0] = one;
    }
}

/* One key: no list, no sorting. */
static void range_point(const qr__index *index, const qr_range *range, qr_arena *arena, qr_op_result *result)
{
    const qr__entry *entry = qr__index_find(index, range->span.key);
    const qr__version *version =
        entry ? qr__visible(entry, range->revision ? range->revision : UINT64_MAX) : NULL;
    if (version == NULL)
        return;
    result->count = 1;
    if (range->count_only || !passes(range, version))
        return;
    qr_key_value *kv = qr_arena_alloc(arena, sizeof *kv);
    qr__fill(entry, version, range->keys_only, kv);
    result->kvs = kv;
    result->kv_count = 1;
}

static qr_status check_revision(const qr_tree *tree, const qr_range *range, uint64_t newest)
{
    if (range->revision == 0)
        return QR_OK;
    if (range->span.space != QR_SPACE_KEYS)
        return QR_E_UNSUPPORTED; /* the other spaces have no past */
    if (range->revision > newest)
        return QR_E_FUTURE_REVISION;
    if (QR_BUG(tree->config.bug, READ_COMPACTED) && qr__history_pending(tree))
        return QR_OK;
    return range->revision < tree->compacted ? QR_E_COMPACTED : QR_OK;
}

qr_status qr__range(qr_tree *tree, const qr_range *range, uint64_t newest, qr_arena *arena,
                    qr_op_result *result)
{
    const qr__index *index = qr__space_asked(tree, range->span.space);
    if (index == NULL)
        return QR_E_INVALID;
    qr_status status = check_revision(tree, range, newest);
    if (status != QR_OK)
        return status;
    *result = (qr_op_result){.kind = QR_OP_RANGE, .revision = tree->now.revision};
    if (qr__span_point(&range->span)) {
        range_point(index, range, arena, result);
        return QR_OK;
    }
    qr_slice from;
    const qr_slice *to;
    if (qr__span_bounds(&range->span, &from, &to))
        result->count = qr__index_count(index, from, to, range->revision ? range->revision : UINT64_MAX);
    if (result->count == 0 || range->count_only)
        return QR_OK;
    uint64_t limit = range->limit ? range->limit : UINT64_MAX;
    bool sorted = range->sort != QR_SORT_KEY;
    bool sorted_before = sorted && range->order != QR_ORDER_NONE;
    bool down = range->order == QR_ORDER_DOWN;
    bool best = sorted_before && limit == 1; /* who is first, who is last: what locks ask for */
    uint64_t room = (sorted_before && !best) || result->count < limit ? result->count : limit;
    collection all = {.list = qr_arena_alloc(arena, room * sizeof(found)), .best = best};
    collect(index, range, result->count, room, down && !sorted, &all);
    if (sorted && !best)
        all.list = sort_found(all.list, all.count, range->sort, down, arena);
    if (all.count > limit) {
        all.count = (size_t)limit;
        all.more = true;
    }
    qr_key_value *kvs = qr_arena_alloc(arena, all.count * sizeof *kvs);
    for (size_t i = 0; i < all.count; i++) {
        if (i + AHEAD < all.count) { /* neighbours were mostly written far from each other */
            __builtin_prefetch(all.list[i + AHEAD].entry);
            __builtin_prefetch(all.list[i + AHEAD].version);
        }
        qr__fill(all.list[i].entry, all.list[i].version, range->keys_only, &kvs[i]);
    }
    result->kvs = kvs;
    result->kv_count = all.count;
    result->more = all.more;
    return QR_OK;
}

/* ------------------------------------------------------------- piece by piece ---- */

qr_status qr__scan(const qr_tree *tree, const qr_scan *scan, qr_arena *arena, qr_scan_result *result)
{
    QR_ASSERT(scan->span.space == QR_SPACE_KEYS && scan->keys_max > 0);
    if (scan->revision > tree->now.revision)
        return QR_E_FUTURE_REVISION;
    if (!scan->is_held && scan->revision < tree->compacted)
        return QR_E_COMPACTED;
    *result = (qr_scan_result){.is_end = true};
    qr_slice from;
    const qr_slice *to;
    if (!qr__span_bounds(&scan->span, &from, &to))
        return QR_OK;
    qr_key_value *kvs = qr_arena_alloc(arena, scan->keys_max * sizeof *kvs);
    uint64_t steps = 0, bytes = 0;
    qr__cursor cursor = qr__cursor_seek(&tree->spaces[QR__SPACE_KEYS], from);
    for (; cursor.leaf; qr__cursor_next(&cursor), steps++) {
        const qr__entry *entry = qr__cursor_entry(&cursor);
        if (to && qr_slice_compare(qr__key_of(entry), *to) >= 0)
            break;
        if (steps >= scan->keys_max || bytes >= scan->bytes_max) {
            result->is_end = false;
            result->next = qr__key_of(entry);
            break;
        }
        const qr__version *version = qr__visible(entry, scan->revision);
        if (version == NULL)
            continue;
        qr_key_value *kv = &kvs[result->kv_count++];
        qr__fill(entry, version, scan->keys_only, kv);
        bytes += kv->key.size + kv->value.size;
    }
    result->kvs = kvs;
    return QR_OK;
}

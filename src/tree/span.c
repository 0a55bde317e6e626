/* Walking the ordered structure, and answers about whole spans that need no walk. */
#include "tree/private.h"

bool qr__span_point(const qr_span *span)
{
    return span->kind == QR_SPAN_KEY;
}

bool qr__span_bounds(const qr_span *span, qr_slice *from, const qr_slice **to)
{
    QR_ASSERT(span->kind == QR_SPAN_RANGE || span->kind == QR_SPAN_FROM);
    *from = span->key;
    *to = span->kind == QR_SPAN_RANGE ? &span->end : NULL;
    return *to == NULL || qr_slice_compare(*from, **to) < 0;
}

qr__cursor qr__cursor_seek(const qr__index *index, qr_slice from)
{
    qr__path path;
    qr__index_path(index, from, &path);
    qr__cursor cursor = {.leaf = path.leaf, .at = path.at};
    if (cursor.at == cursor.leaf->node.count) {
        cursor.leaf = (const qr__leaf *)cursor.leaf->next;
        cursor.at = 0;
    }
    return cursor;
}

qr__cursor qr__cursor_before(const qr__index *index, const qr_slice *to)
{
    qr__cursor cursor;
    if (to) {
        qr__path path;
        qr__index_path(index, *to, &path);
        cursor = (qr__cursor){.leaf = path.leaf, .at = path.at};
    } else {
        const qr__node *node = index->root;
        while (!node->is_leaf)
            node = ((const qr__inner *)node)->children[node->count - 1];
        cursor = (qr__cursor){.leaf = (const qr__leaf *)node, .at = node->count};
    }
    qr__cursor_previous(&cursor);
    return cursor;
}

/* The children or entries that lie inside the bounds, wholly or (an inner node's first and last) in part. */
static void clip(const qr__node *node, const qr_slice *from, const qr_slice *to, uint32_t *first,
                 uint32_t *end)
{
    bool equal;
    *first = 0;
    *end = node->count;
    if (from) {
        *first = qr__node_search(node, *from, &equal);
        if (!node->is_leaf && !equal)
            *first -= 1;
    }
    if (to) {
        *end = qr__node_search(node, *to, &equal);
        QR_ASSERT(node->is_leaf || *end >= 1);
    }
}

static uint64_t count_leaf(const qr__leaf *leaf, uint32_t first, uint32_t end, uint64_t revision)
{
    uint64_t count = 0;
    for (uint32_t i = first; i < end; i++) {
        if (leaf->node.mods[i] <= revision)
            count += leaf->live >> i & 1;
        else
            count += qr__visible(leaf->node.slots[i], revision) != NULL;
    }
    return count;
}

static uint64_t count_below(const qr__node *node, const qr_slice *from, const qr_slice *to, uint64_t revision)
{
    uint32_t first, end;
    clip(node, from, to, &first, &end);
    if (node->is_leaf)
        return count_leaf((const qr__leaf *)node, first, end, revision);
    const qr__inner *inner = (const qr__inner *)node;
    uint64_t count = 0;
    for (uint32_t i = first; i < end; i++) {
        const qr_slice *child_from = i == first ? from : NULL, *child_to = i + 1 == end ? to : NULL;
        /* A subtree in which nothing has changed since then holds now what it held then. */
        if (!child_from && !child_to && node->mods[i] <= revision)
            count += inner->live[i];
        else
            count += count_below(inner->children[i], child_from, child_to, revision);
    }
    return count;
}

uint64_t qr__index_count(const qr__index *index, qr_slice from, const qr_slice *to, uint64_t revision)
{
    return count_below(index->root, from.size ? &from : NULL, to, revision);
}

static uint64_t newest_below(const qr__node *node, const qr_slice *from, const qr_slice *to)
{
    uint32_t first, end;
    uint64_t newest = 0;
    clip(node, from, to, &first, &end);
    for (uint32_t i = first; i < end; i++) {
        uint64_t mod = node->mods[i];
        const qr_slice *child_from = i == first ? from : NULL, *child_to = i + 1 == end ? to : NULL;
        if (!node->is_leaf && mod > newest && (child_from || child_to))
            mod = newest_below(((const qr__inner *)node)->children[i], child_from, child_to);
        newest = mod > newest ? mod : newest;
    }
    return newest;
}

uint64_t qr__index_newest(const qr__index *index, qr_slice from, const qr_slice *to)
{
    return newest_below(index->root, from.size ? &from : NULL, to);
}

/* Every invariant of the ordered structure. */
#include "tree/private.h"

typedef struct checker {
    const qr__leaf *previous;
    uint64_t entries;
    uint32_t leaf_depth;
    bool of_directories;
} checker;

static const char *broken_slots(const qr__node *node, const qr_slice *low, const qr_slice *high)
{
    for (uint32_t i = node->is_leaf ? 0 : 1; i < node->count; i++) {
        qr_slice key = qr__key_of(node->slots[i]);
        if (low && qr_slice_compare(key, *low) < 0)
            return "index: key below its node's lower bound";
        if (high && qr_slice_compare(key, *high) >= 0)
            return "index: key not below its node's upper bound";
        if (i > (node->is_leaf ? 0u : 1u) && qr_slice_compare(qr__key_of(node->slots[i - 1]), key) >= 0)
            return "index: keys out of order";
        if (!qr_slice_starts(key, qr_slice_of(node->prefix, node->skip)))
            return "index: key without its node's prefix";
        if (node->heads[i] != qr__head_of(key, node->skip))
            return "index: head does not match its key";
    }
    return NULL;
}

static const char *broken_leaf(checker *check, const qr__leaf *leaf, uint32_t depth)
{
    if (leaf->previous != (check->previous ? &check->previous->node : NULL))
        return "index: leaves badly chained";
    if (check->previous && check->previous->next != &leaf->node)
        return "index: leaves badly chained";
    if (check->previous && check->leaf_depth != depth)
        return "index: leaves at different depths";
    check->leaf_depth = depth;
    check->previous = leaf;
    check->entries += leaf->node.count;
    for (uint32_t i = 0; i < leaf->node.count && !check->of_directories; i++) {
        const qr__version *newest = leaf->node.slots[i]->newest;
        if (newest == NULL)
            return "index: key without versions";
        if ((leaf->live >> i & 1) != qr__is_live(newest))
            return "index: wrong idea of which keys live";
        if (leaf->node.mods[i] != qr__mod_of(newest))
            return "index: wrong mod revision in a leaf";
    }
    return leaf->node.count < QR__FAN && leaf->live >> leaf->node.count ? "index: live bits behind the end"
                                                                        : NULL;
}

static const char *broken_node(checker *check, const qr__node *node, const qr_slice *low,
                               const qr_slice *high, uint32_t depth)
{
    const char *broken = broken_slots(node, low, high);
    if (broken)
        return broken;
    if (depth > 0 && node->count == 0)
        return "index: empty node";
    if (node->is_leaf)
        return broken_leaf(check, (const qr__leaf *)node, depth);
    const qr__inner *inner = (const qr__inner *)node;
    if (depth == 0 && node->count < 2)
        return "index: root with one child";
    for (uint32_t i = 0; i < node->count; i++) {
        qr_slice from = i > 0 ? qr__key_of(node->slots[i]) : qr_slice_of(NULL, 0);
        qr_slice to = i + 1u < node->count ? qr__key_of(node->slots[i + 1]) : qr_slice_of(NULL, 0);
        broken = broken_node(check, inner->children[i], i > 0 ? &from : low,
                             i + 1u < node->count ? &to : high, depth + 1);
        if (broken)
            return broken;
        if (inner->live[i] != qr__node_live(inner->children[i]))
            return "index: wrong count of a subtree";
        if (node->mods[i] != qr__node_mod(inner->children[i]))
            return "index: wrong mod revision of a subtree";
    }
    return NULL;
}

const char *qr__index_broken(const qr__index *index, bool of_directories)
{
    checker check = {.of_directories = of_directories};
    const char *broken = broken_node(&check, index->root, NULL, NULL, 0);
    if (broken)
        return broken;
    if (check.previous->next)
        return "index: leaves badly chained";
    if (check.entries != index->entries || qr__node_live(index->root) != index->live)
        return "index: wrong totals";
    return NULL;
}

/* The ordered structure: a B+tree with wide nodes. doc/design/tree-structure.md says why.
 *
 * A node takes the common prefix of its keys out of its comparisons and keeps the eight bytes after it as a
 * number (the head), so that a search inside a node reads the node and, as a rule, no key at all. Inner nodes
 * know for each child how many live keys are below it and the greatest mod revision, tombstones included; a
 * leaf knows the same of its entries. */
#include "tree/private.h"

enum {
    COUNT_MIN = QR__FAN / 4,      /* a node with fewer takes from a sibling, or joins it */
    JOINED_MAX = QR__FAN * 3 / 4, /* two siblings join only up to this: room to grow before the next split */
    SHARED_MAX = QR__FAN * 3 / 4, /* a full leaf evens out with a sibling that has no more */
};

/* One entry or child lifted out of its node, while nodes are split, joined or evened out. */
typedef struct item {
    qr__entry *slot;
    qr__node *child;
    uint64_t mod;
    uint64_t live;
} item;

static qr__leaf *as_leaf(qr__node *node)
{
    return (qr__leaf *)node;
}
static qr__inner *as_inner(qr__node *node)
{
    return (qr__inner *)node;
}

uint64_t qr__node_live(const qr__node *node)
{
    if (node->is_leaf)
        return (uint64_t)__builtin_popcountll(((const qr__leaf *)node)->live);
    uint64_t live = 0;
    for (uint32_t i = 0; i < node->count; i++)
        live += ((const qr__inner *)node)->live[i];
    return live;
}

uint64_t qr__node_mod(const qr__node *node)
{
    uint64_t mod = 0;
    for (uint32_t i = 0; i < node->count; i++)
        mod = node->mods[i] > mod ? node->mods[i] : mod;
    return mod;
}

static qr__node *node_new(qr__index *index, bool is_leaf)
{
    size_t size = is_leaf ? sizeof(qr__leaf) : sizeof(qr__inner);
    qr__node *node = qr_alloc_zero(1, size);
    node->is_leaf = is_leaf;
    index->bytes += size;
    return node;
}

static void node_free(qr__index *index, qr__node *node)
{
    index->bytes -= node->is_leaf ? sizeof(qr__leaf) : sizeof(qr__inner);
    qr_free(node);
}

/* ----------------------------------------------------- heads and searching ---- */

uint32_t qr__node_search(const qr__node *node, qr_slice key, bool *equal)
{
    uint32_t low = node->is_leaf ? 0 : 1, high = node->count;
    *equal = false;
    if (low >= high)
        return low;
    uint32_t skip = node->skip;
    int order = qr_slice_compare(qr_slice_of(key.data, key.size < skip ? key.size : skip),
                                 qr_slice_of(node->prefix, skip));
    if (order != 0)
        return order < 0 ? low : high;
    uint64_t head = qr__head_of(key, skip);
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (node->heads[middle] < head) {
            low = middle + 1;
        } else if (node->heads[middle] > head) {
            high = middle;
        } else {
            order = qr_slice_compare(qr__key_of(node->slots[middle]), key);
            if (order == 0) {
                *equal = true;
                return middle;
            }
            if (order < 0)
                low = middle + 1;
            else
                high = middle;
        }
    }
    return low;
}

/* Asks for all heads of a node at once: a binary search would wait for its cache lines one after another. */
static void prefetch(const qr__node *node)
{
    __builtin_prefetch(node);
    for (uint32_t i = 0; i < QR__FAN; i += 8)
        __builtin_prefetch(&node->heads[i]);
}

static uint32_t child_of(const qr__node *node, qr_slice key)
{
    bool equal;
    uint32_t at = qr__node_search(node, key, &equal);
    return equal ? at : at - 1;
}

static uint32_t common_prefix(qr_slice a, qr_slice b, uint32_t limit)
{
    size_t shared = a.size < b.size ? a.size : b.size;
    if (shared > limit)
        shared = limit;
    uint32_t size = 0;
    while (size < shared && a.data[size] == b.data[size])
        size++;
    return size;
}

/* Takes the prefix anew from the first and the last key: as the keys are sorted, all between share it. */
static void node_reset_heads(qr__node *node)
{
    uint32_t first = node->is_leaf ? 0 : 1;
    node->skip = 0;
    if (node->count <= first)
        return;
    qr_slice low = qr__key_of(node->slots[first]), high = qr__key_of(node->slots[node->count - 1]);
    node->skip = (uint8_t)common_prefix(low, high, QR__PREFIX_MAX);
    memcpy(node->prefix, low.data, node->skip);
    for (uint32_t i = first; i < node->count; i++)
        node->heads[i] = qr__head_of(qr__key_of(node->slots[i]), node->skip);
}

/* Gives the new slot `at` its head; shortens the node's prefix if the key does not have it. */
static void node_adopt(qr__node *node, uint32_t at)
{
    qr_slice key = qr__key_of(node->slots[at]);
    uint32_t others = (uint32_t)node->count - 1 - (node->is_leaf ? 0 : 1);
    if (others == 0 || !qr_slice_starts(key, qr_slice_of(node->prefix, node->skip)))
        node_reset_heads(node);
    else
        node->heads[at] = qr__head_of(key, node->skip);
}

qr__entry *qr__index_find(const qr__index *index, qr_slice key)
{
    const qr__node *node = index->root;
    while (!node->is_leaf) {
        node = ((const qr__inner *)node)->children[child_of(node, key)];
        prefetch(node);
    }
    bool found;
    uint32_t at = qr__node_search(node, key, &found);
    return found ? node->slots[at] : NULL;
}

qr__entry *qr__index_path(const qr__index *index, qr_slice key, qr__path *path)
{
    qr__node *node = index->root;
    path->depth = 0;
    while (!node->is_leaf) {
        QR_ASSERT(path->depth < QR__DEPTH_MAX);
        uint32_t child = child_of(node, key);
        path->steps[path->depth].inner = as_inner(node);
        path->steps[path->depth++].child = child;
        node = as_inner(node)->children[child];
        prefetch(node);
    }
    path->leaf = as_leaf(node);
    path->at = qr__node_search(node, key, &path->found);
    return path->found ? node->slots[path->at] : NULL;
}

/* Where a key stands or would stand, by the heads alone: no key is touched. */
static uint32_t position_by_head(const qr__node *leaf, qr_slice key)
{
    uint64_t head = qr__head_of(key, leaf->skip);
    uint32_t low = 0, high = leaf->count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (leaf->heads[middle] < head)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Level by level for all keys together, so that their waits for memory overlap: one search alone waits for a
 * node, an entry and a version in turn. No step touches what the step before has just asked for the same key.
 */
void qr__index_foresee(const qr__index *index, const qr_slice *keys, size_t count)
{
    const qr__node *nodes[QR_MACHINE_FORESEEN];
    qr__entry *const *slots[QR_MACHINE_FORESEEN];
    for (size_t i = 0; i < count; i++)
        nodes[i] = index->root;
    /* All leaves are equally deep: the first branch tells when they come, untouched themselves. */
    for (const qr__node *first = index->root; !first->is_leaf;
         first = ((const qr__inner *)first)->children[0])
        for (size_t i = 0; i < count; i++) {
            nodes[i] = ((const qr__inner *)nodes[i])->children[child_of(nodes[i], keys[i])];
            prefetch(nodes[i]);
        }
    for (size_t i = 0; i < count; i++) {
        uint32_t at = position_by_head(nodes[i], keys[i]);
        slots[i] = at < nodes[i]->count ? &nodes[i]->slots[at] : NULL;
        __builtin_prefetch(slots[i]);
        __builtin_prefetch(&nodes[i]->mods[at < QR__FAN ? at : 0]);
        __builtin_prefetch(&((const qr__leaf *)nodes[i])->live);
    }
    for (size_t i = 0; i < count; i++)
        if (slots[i] != NULL)
            __builtin_prefetch(*slots[i]);
    for (size_t i = 0; i < count; i++)
        if (slots[i] != NULL)
            __builtin_prefetch((*slots[i])->newest);
}

/* ---------------------------------------------------- lifting and filling ---- */

static uint32_t lift(const qr__node *node, item *items)
{
    for (uint32_t i = 0; i < node->count; i++) {
        items[i] = (item){.slot = node->slots[i], .mod = node->mods[i]};
        if (node->is_leaf) {
            items[i].live = ((const qr__leaf *)node)->live >> i & 1;
        } else {
            items[i].child = ((const qr__inner *)node)->children[i];
            items[i].live = ((const qr__inner *)node)->live[i];
        }
    }
    return node->count;
}

static void fill(qr__node *node, const item *items, uint32_t count)
{
    QR_ASSERT(count <= QR__FAN);
    node->count = (uint16_t)count;
    if (node->is_leaf)
        as_leaf(node)->live = 0;
    for (uint32_t i = 0; i < count; i++) {
        node->slots[i] = items[i].slot;
        node->mods[i] = items[i].mod;
        if (node->is_leaf) {
            as_leaf(node)->live |= items[i].live << i;
        } else {
            as_inner(node)->children[i] = items[i].child;
            as_inner(node)->live[i] = items[i].live;
        }
    }
    if (!node->is_leaf)
        node->slots[0] = NULL;
    node_reset_heads(node);
}

static void move_items(qr__node *to, uint32_t at, const qr__node *from, uint32_t first, uint32_t count)
{
    memmove(&to->heads[at], &from->heads[first], count * sizeof to->heads[0]);
    memmove(&to->slots[at], &from->slots[first], count * sizeof to->slots[0]);
    memmove(&to->mods[at], &from->mods[first], count * sizeof to->mods[0]);
}

/* Makes room at `at` and puts the item there; the node is not full. */
static void place(qr__node *node, uint32_t at, const item *what)
{
    QR_ASSERT(node->count < QR__FAN && at <= node->count);
    uint32_t behind = node->count - at;
    if (behind > 0)
        move_items(node, at + 1, node, at, behind);
    node->slots[at] = what->slot;
    node->mods[at] = what->mod;
    if (node->is_leaf) {
        uint64_t below = ((uint64_t)1 << at) - 1;
        uint64_t live = as_leaf(node)->live;
        as_leaf(node)->live = (live & below) | (live & ~below) << 1 | what->live << at;
    } else {
        qr__inner *inner = as_inner(node);
        memmove(&inner->children[at + 1], &inner->children[at], behind * sizeof inner->children[0]);
        memmove(&inner->live[at + 1], &inner->live[at], behind * sizeof inner->live[0]);
        inner->children[at] = what->child;
        inner->live[at] = what->live;
    }
    node->count++;
    node_adopt(node, at);
}

/* The other way round. Heads stay valid: a prefix that more keys shared is shared by fewer too. */
static void take_out(qr__node *node, uint32_t at)
{
    QR_ASSERT(at < node->count);
    uint32_t behind = node->count - at - 1u;
    move_items(node, at, node, at + 1, behind);
    if (node->is_leaf) {
        uint64_t below = ((uint64_t)1 << at) - 1;
        uint64_t live = as_leaf(node)->live;
        as_leaf(node)->live = (live & below) | (live >> 1 & ~below);
    } else {
        qr__inner *inner = as_inner(node);
        memmove(&inner->children[at], &inner->children[at + 1], behind * sizeof inner->children[0]);
        memmove(&inner->live[at], &inner->live[at + 1], behind * sizeof inner->live[0]);
    }
    node->count--;
}

/* A bare key that is greater than low and not greater than high: as short as possible. */
static qr__entry *separator_between(qr__index *index, qr_slice low, qr_slice high)
{
    uint32_t size = common_prefix(low, high, UINT32_MAX) + 1;
    QR_ASSERT(size <= high.size);
    return qr__entry_new(qr_slice_of(high.data, size), index->records);
}

/* ------------------------------------------------------------ bookkeeping ---- */

/* What the inner nodes on the path say of the children that the path takes, computed from these children. */
static void refresh(const qr__path *path, uint32_t depth)
{
    while (depth-- > 0) {
        qr__inner *inner = path->steps[depth].inner;
        uint32_t child = path->steps[depth].child;
        inner->live[child] = qr__node_live(inner->children[child]);
        inner->node.mods[child] = qr__node_mod(inner->children[child]);
    }
}

/* The same, when all that happened is that live keys came or went and that one key's revision moved up to
 * mod. */
static void adjust(const qr__path *path, uint32_t depth, int live, uint64_t mod)
{
    while (depth-- > 0) {
        qr__inner *inner = path->steps[depth].inner;
        uint32_t child = path->steps[depth].child;
        inner->live[child] += (uint64_t)(int64_t)live;
        if (inner->node.mods[child] < mod)
            inner->node.mods[child] = mod;
    }
}

void qr__index_set(qr__index *index, qr__path *path, bool live, uint64_t mod)
{
    QR_ASSERT(path->found);
    qr__leaf *leaf = path->leaf;
    uint64_t bit = (uint64_t)1 << path->at;
    int difference = (live ? 1 : 0) - (leaf->live & bit ? 1 : 0);
    bool forward = mod >= leaf->node.mods[path->at];
    leaf->live = live ? leaf->live | bit : leaf->live & ~bit;
    leaf->node.mods[path->at] = mod;
    index->live += (uint64_t)(int64_t)difference;
    if (forward)
        adjust(path, path->depth, difference, mod);
    else
        refresh(path, path->depth); /* undone: the greatest revision may have become smaller */
}

/* ---------------------------------------------------- splitting, evening out ---- */

/* Splits a full node around the new item. The new right sibling is returned; *bound is its lower bound. */
static qr__node *split(qr__index *index, qr__node *left, uint32_t at, const item *what, qr__entry **bound)
{
    item items[QR__FAN + 1];
    uint32_t count = lift(left, items);
    QR_ASSERT(count == QR__FAN);
    memmove(&items[at + 1], &items[at], (count - at) * sizeof items[0]);
    items[at] = *what;
    count++;
    /* Keys that come in rising order leave full nodes behind them. */
    bool rising = at == QR__FAN && (!left->is_leaf || as_leaf(left)->next == NULL);
    uint32_t stay = rising ? QR__FAN - (left->is_leaf ? 0 : 1) : count / 2;
    qr__node *right = node_new(index, left->is_leaf);
    if (left->is_leaf) {
        *bound = separator_between(index, qr__key_of(items[stay - 1].slot), qr__key_of(items[stay].slot));
        as_leaf(right)->next = as_leaf(left)->next;
        as_leaf(right)->previous = left;
        if (as_leaf(left)->next)
            as_leaf(as_leaf(left)->next)->previous = right;
        as_leaf(left)->next = right;
    } else {
        *bound = items[stay].slot;
    }
    fill(left, items, stay);
    fill(right, items + stay, count - stay);
    return right;
}

static void grow_root(qr__index *index, qr__node *right, qr__entry *bound)
{
    qr__node *left = index->root, *root = node_new(index, false);
    const item items[2] = {
        {.child = left, .mod = qr__node_mod(left), .live = qr__node_live(left)},
        {.slot = bound, .child = right, .mod = qr__node_mod(right), .live = qr__node_live(right)}};
    fill(root, items, 2);
    index->root = root;
}

/* Leaves `stay` entries in the left one of two neighbours that have the same prefix: so heads stay valid, and
 * no key is looked at. */
static void move_entries(qr__leaf *left, qr__leaf *right, uint32_t stay)
{
    uint32_t had = left->node.count, count = right->node.count;
    if (stay <= had) {
        uint32_t move = had - stay;
        move_items(&right->node, move, &right->node, 0, count);
        move_items(&right->node, 0, &left->node, stay, move);
        right->live = right->live << move | left->live >> stay;
        left->live &= ((uint64_t)1 << stay) - 1;
    } else {
        uint32_t move = stay - had;
        move_items(&left->node, had, &right->node, 0, move);
        move_items(&right->node, 0, &right->node, move, count - move);
        left->live |= (right->live & (((uint64_t)1 << move) - 1)) << had;
        right->live >>= move;
    }
    left->node.count = (uint16_t)stay;
    right->node.count = (uint16_t)(had + count - stay);
}

static bool same_prefix(const qr__node *a, const qr__node *b)
{
    return a->is_leaf && a->skip == b->skip && memcmp(a->prefix, b->prefix, a->skip) == 0;
}

/* All of two neighbours, and what divides them. */
static uint32_t lift_both(const qr__node *left, const qr__node *right, qr__entry *bound, item *items)
{
    uint32_t seam = lift(left, items), count = seam + lift(right, items + seam);
    if (!left->is_leaf)
        items[seam].slot = bound;
    return count;
}

/* Children i and i + 1 of a parent become one. */
static void join(qr__index *index, qr__inner *parent, uint32_t i)
{
    item items[2 * QR__FAN];
    qr__node *left = parent->children[i], *right = parent->children[i + 1];
    qr__entry *bound = parent->node.slots[i + 1];
    uint32_t count = lift_both(left, right, bound, items);
    if (left->is_leaf) {
        qr__entry_free(bound, index->records);
        as_leaf(left)->next = as_leaf(right)->next;
        if (as_leaf(left)->next)
            as_leaf(as_leaf(left)->next)->previous = left;
    }
    fill(left, items, count);
    node_free(index, right);
    take_out(&parent->node, i + 1);
}

/* Children i and i + 1 of a parent get half of all each. */
static void balance(qr__index *index, qr__inner *parent, uint32_t i)
{
    item items[2 * QR__FAN];
    qr__node *left = parent->children[i], *right = parent->children[i + 1];
    qr__entry **bound = &parent->node.slots[i + 1];
    uint32_t count = (uint32_t)left->count + right->count, stay = count / 2;
    if (same_prefix(left, right)) {
        move_entries(as_leaf(left), as_leaf(right), stay);
    } else {
        lift_both(left, right, *bound, items);
        fill(left, items, stay);
        fill(right, items + stay, count - stay);
    }
    if (left->is_leaf) {
        qr__entry_free(*bound, index->records);
        *bound = separator_between(index, qr__key_of(left->slots[stay - 1]), qr__key_of(right->slots[0]));
    } else {
        *bound = items[stay].slot;
    }
    parent->live[i + 1] = qr__node_live(right);
    parent->node.mods[i + 1] = qr__node_mod(right);
    node_adopt(&parent->node, i + 1);
}

static void even_out(qr__index *index, qr__inner *parent, uint32_t i)
{
    qr__node *left = parent->children[i];
    if (left->count + parent->children[i + 1]->count <= JOINED_MAX)
        join(index, parent, i);
    else
        balance(index, parent, i);
    parent->live[i] = qr__node_live(left);
    parent->node.mods[i] = qr__node_mod(left);
}

/* ------------------------------------------------------------------ insert ---- */

/* Evens a full leaf out with a sibling that has room: fewer leaves, and fuller ones. Not before the end,
 * where rising keys will fill the next leaf anyway. */
static bool share(qr__index *index, const qr__path *path)
{
    if (path->depth == 0 || (path->at == QR__FAN && path->leaf->next == NULL))
        return false;
    qr__inner *parent = path->steps[path->depth - 1].inner;
    uint32_t child = path->steps[path->depth - 1].child;
    if (child + 1 < parent->node.count && parent->children[child + 1]->count <= SHARED_MAX)
        even_out(index, parent, child);
    else if (child > 0 && parent->children[child - 1]->count <= SHARED_MAX)
        even_out(index, parent, child - 1);
    else
        return false;
    return true;
}

void qr__index_insert(qr__index *index, qr__path *path, qr__entry *entry, bool live, uint64_t mod)
{
    QR_ASSERT(!path->found);
    if (path->leaf->node.count == QR__FAN && share(index, path))
        qr__index_path(index, qr__key_of(entry), path);
    index->entries++;
    index->live += live;
    item what = {.slot = entry, .mod = mod, .live = live};
    uint32_t at = path->at, depth = path->depth;
    qr__node *node = &path->leaf->node;
    while (node->count == QR__FAN) {
        qr__entry *bound;
        qr__node *right = split(index, node, at, &what, &bound);
        if (depth == 0) {
            grow_root(index, right, bound);
            return;
        }
        depth--;
        qr__inner *parent = path->steps[depth].inner;
        uint32_t child = path->steps[depth].child;
        parent->live[child] = qr__node_live(node);
        parent->node.mods[child] = qr__node_mod(node);
        what =
            (item){.slot = bound, .child = right, .mod = qr__node_mod(right), .live = qr__node_live(right)};
        node = &parent->node;
        at = child + 1;
    }
    place(node, at, &what);
    adjust(path, depth, live, mod);
}

void qr__index_append(qr__index *index, qr__path *last, qr__entry *entry, bool live, uint64_t mod)
{
    if (last->leaf == NULL)
        qr__index_path(index, qr__key_of(entry), last);
    last->at = last->leaf->node.count;
    bool stays = last->at < QR__FAN;
    qr__index_insert(index, last, entry, live, mod);
    if (!stays)
        last->leaf = NULL; /* it was split */
}

/* ------------------------------------------------------------------ remove ---- */

void qr__index_remove(qr__index *index, qr__path *path)
{
    QR_ASSERT(path->found);
    index->entries--;
    index->live -= path->leaf->live >> path->at & 1;
    take_out(&path->leaf->node, path->at);
    refresh(path, path->depth);
    for (uint32_t depth = path->depth; depth-- > 0;) {
        qr__inner *parent = path->steps[depth].inner;
        uint32_t child = path->steps[depth].child;
        if (parent->children[child]->count >= COUNT_MIN)
            return;
        if (parent->node.count > 1)
            even_out(index, parent, child > 0 ? child - 1 : 0);
    }
    while (!index->root->is_leaf && index->root->count == 1) {
        qr__node *old = index->root;
        index->root = as_inner(old)->children[0];
        node_free(index, old);
    }
}

/* -------------------------------------------------------------------- life ---- */

void qr__index_init(qr__index *index, qr_slab *records)
{
    *index = (qr__index){.records = records};
    index->root = node_new(index, true);
}

static void free_below(qr__index *index, qr__node *node)
{
    if (!node->is_leaf)
        for (uint32_t i = 0; i < node->count; i++) {
            free_below(index, as_inner(node)->children[i]);
            if (i > 0)
                qr__entry_free(node->slots[i], index->records);
        }
    node_free(index, node);
}

void qr__index_free(qr__index *index)
{
    free_below(index, index->root);
    QR_ASSERT(index->bytes == 0);
    *index = (qr__index){0};
}

/* Giving memory back. What is freed leaves holes in pages of records: when nine keys of ten are gone, hardly
 * any page is empty. So after a compaction that leaves more holes than records, one walk over all keys moves
 * those in pages less than half full together. In slices, between commands.
 *
 * A version may move when nothing but its key points to it: when its event has left the log, and nothing
 * older hangs on it. A key may when this holds for its newest version, and no lease points to it. Not while a
 * save runs, as for anything that is freed. None of it is seen by a result, the digest or a saved image. */
#include "tree/private.h"

enum {
    SPARE_PAGES = 64,  /* kept at least: what a small tree frees is not given back */
    WASTED_PAGES = 64, /* holes that are not worth a walk */
};

static uint64_t first_told(const qr_tree *tree)
{
    const qr__ring *ring = &tree->history;
    return ring->first < ring->end ? qr__mod_of(qr__ring_at(ring, ring->first)->version) : UINT64_MAX;
}

static qr__entry *move_key(qr_tree *tree, qr__entry *entry, uint64_t told)
{
    const qr__version *newest = entry->newest;
    if (qr__mod_of(newest) >= told || qr__older_of(newest) != NULL)
        return entry;
    entry->newest = qr__version_move(entry->newest, &tree->records, tree->config.move_always);
    const qr__extra *extra = qr__extra_of(entry->newest);
    bool is_attached = extra && extra->lease;
    return is_attached ? entry : qr__entry_move(entry, &tree->records, tree->config.move_always);
}

static qr__entry *move_directory(qr_tree *tree, qr__entry *entry)
{
    bool always = tree->config.move_always;
    entry->directory = qr_slab_move(&tree->records, entry->directory, sizeof *entry->directory, always);
    return qr__entry_move(entry, &tree->records, always);
}

/* The bounds that lead to a leaf: bare keys, which lie among the others. */
static void move_bounds(qr_tree *tree, const qr__path *path)
{
    for (uint32_t i = 0; i < path->depth; i++) {
        qr__entry **bound = &path->steps[i].inner->node.slots[path->steps[i].child];
        if (path->steps[i].child > 0)
            *bound = qr__entry_move(*bound, &tree->records, tree->config.move_always);
    }
}

/* The leaf where the walk stands. False: it was the last one of the index. */
static bool move_leaf(qr_tree *tree, qr__index *index, uint64_t told, size_t *moved)
{
    qr_buffer *place = &tree->tidying.place;
    qr__path path;
    qr__index_path(index, qr_buffer_slice(place), &path);
    move_bounds(tree, &path);
    qr__node *leaf = &path.leaf->node;
    for (uint32_t i = 0; i < leaf->count; i++)
        leaf->slots[i] = index == &tree->directories ? move_directory(tree, leaf->slots[i])
                                                     : move_key(tree, leaf->slots[i], told);
    *moved = leaf->count;
    qr_buffer_clear(place);
    if (path.leaf->next == NULL)
        return false;
    qr_buffer_add_slice(place, qr__key_of(path.leaf->next->slots[0]));
    return true;
}

static bool is_worth_a_walk(const qr_tree *tree)
{
    uint64_t used = qr_slab_used(&tree->records);
    return tree->config.move_always ||
           tree->records.pages * QR_SLAB_PAGE > 2 * used + (uint64_t)WASTED_PAGES * QR_SLAB_PAGE;
}

static bool move_some(qr_tree *tree, size_t budget)
{
    qr__tidying *tidying = &tree->tidying;
    if (tree->save || qr__history_pending(tree))
        return false; /* comes back when that is over */
    if (tidying->stage == QR__TIDY_REST) {
        if (tidying->compacted == tree->compacted || !is_worth_a_walk(tree))
            return false;
        tidying->compacted = tree->compacted;
        tidying->stage = QR__TIDY_KEYS;
    }
    uint64_t told = first_told(tree);
    for (size_t moved = 0; tidying->stage != QR__TIDY_REST; budget -= moved) {
        if (budget == 0)
            return true;
        bool is_keys = tidying->stage == QR__TIDY_KEYS;
        qr__index *index = is_keys ? &tree->spaces[QR__SPACE_KEYS] : &tree->directories;
        if (!move_leaf(tree, index, told, &moved))
            tidying->stage = is_keys ? QR__TIDY_DIRECTORIES : QR__TIDY_REST;
        moved = moved < budget ? moved : budget;
    }
    return false;
}

bool qr__tidy(qr_tree *tree, size_t budget)
{
    bool more = move_some(tree, budget);
    size_t keep = (size_t)(tree->records.pages / 8) + SPARE_PAGES;
    return qr_slab_trim(&tree->records, keep) || more;
}

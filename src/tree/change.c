/* One change of one key: a new version at the head of its chain, with everything that counts it; and taking
 * it back. */
#include "tree/private.h"

struct qr__undo {
    qr__undo *next;   /* older */
    qr__entry *entry; /* NULL: a directory record */
    uint8_t space;
    qr_slice path;           /* of a directory record, in the key of an entry that is undone later */
    const qr_directory *old; /* NULL: there was none */
};

static uint64_t live_size(const qr__entry *entry, const qr__version *version)
{
    return qr__is_live(version) ? entry->key_size + qr__content_size(version) : 0;
}

/* The figures of the space of keys: live bytes, and what has become history by this change. */
static void account(qr_tree *tree, const qr__entry *entry, const qr__version *version)
{
    const qr__version *old = qr__older_of(version);
    tree->now.live_bytes += live_size(entry, version);
    tree->now.live_bytes -= live_size(entry, old);
    tree->now.history_bytes += sizeof(qr__event);
    if (qr__is_live(old))
        tree->now.history_bytes += qr__version_cost(old, version);
    if (!qr__is_live(version))
        tree->now.history_bytes += qr__version_cost(version, NULL);
}

static void stamp(qr__work *work, uint8_t space, qr__draft *draft)
{
    qr_tree *tree = work->tree;
    if (space == QR_SPACE_KEYS && tree->now.revision == work->base)
        tree->now.revision++; /* the first change of a command that clients see */
    draft->index = work->index;
    draft->mod_revision = tree->now.revision;
    QR_CHECK(work->sub <= QR__SUB_MAX, "one command makes more changes than can be told apart");
    draft->sub = work->sub++;
    if (draft->number == 1)
        draft->create_revision = draft->mod_revision;
}

qr__entry *qr__change(qr__work *work, uint8_t space, qr_slice key, qr__path *path, qr__draft *draft)
{
    qr_tree *tree = work->tree;
    qr__index *index = qr__space_of(tree, space);
    qr__entry *entry = path->found ? path->leaf->node.slots[path->at] : NULL;
    qr__version *old = entry ? entry->newest : NULL;
    bool live = draft->number != 0, was_live = qr__is_live(old);
    QR_ASSERT(live || was_live);
    QR_ASSERT(draft->number == (live ? (was_live ? qr__number_of(old) + 1 : 1) : 0));
    stamp(work, space, draft);
    QR_ASSERT(old == NULL || qr__mod_of(old) <= draft->mod_revision);
    draft->older = old;
    draft->has_older = old != NULL;
    qr__version *version = qr__version_new(draft, &tree->records);
    if (entry == NULL) {
        entry = qr__entry_new(key, &tree->records);
        entry->newest = version;
        qr__index_insert(index, path, entry, live, draft->mod_revision);
    } else {
        entry->newest = version;
        qr__index_set(index, path, live, draft->mod_revision);
    }
    qr__ring_push(space == QR_SPACE_KEYS ? &tree->history : &tree->hidden,
                  (qr__event){.entry = entry, .version = version});
    qr__undo *undo = qr_arena_zero(work->arena, 1, sizeof *undo);
    *undo = (qr__undo){.next = work->undo, .entry = entry, .space = space};
    work->undo = undo;
    qr__lease_moved(tree, space, entry, old, version);
    qr__digest_change(tree, space, qr__key_of(entry), version);
    if (space == QR_SPACE_KEYS) {
        account(tree, entry, version);
        if (live != was_live)
            qr__directory_note(work, entry);
    }
    return entry;
}

void qr__undo_directory(qr__work *work, qr_slice path, const qr_directory *old)
{
    qr__undo *undo = qr_arena_zero(work->arena, 1, sizeof *undo);
    *undo = (qr__undo){.next = work->undo, .path = path};
    if (old) {
        qr_directory *copy = qr_arena_alloc(work->arena, sizeof *copy);
        *copy = *old;
        undo->old = copy;
    }
    work->undo = undo;
}

static void undo_change(qr_tree *tree, uint8_t space, qr__entry *entry)
{
    qr__index *index = qr__space_of(tree, space);
    qr__ring *ring = space == QR_SPACE_KEYS ? &tree->history : &tree->hidden;
    qr__version *version = entry->newest, *older = qr__older_of(version);
    QR_ASSERT(qr__ring_at(ring, ring->end - 1)->version == version);
    ring->end--;
    qr__path path;
    QR_CHECK(qr__index_path(index, qr__key_of(entry), &path) == entry,
             "a change to be undone is not in the tree");
    qr__lease_moved(tree, space, entry, version, older);
    entry->newest = older;
    if (older) {
        qr__index_set(index, &path, qr__is_live(older), qr__mod_of(older));
    } else {
        qr__index_remove(index, &path);
        qr__entry_free(entry, &tree->records);
    }
    qr__version_free(version, &tree->records);
}

void qr__undo_all(qr__work *work)
{
    for (qr__undo *undo = work->undo; undo; undo = undo->next) {
        if (undo->entry)
            undo_change(work->tree, undo->space, undo->entry);
        else
            qr__directory_put(work->tree, undo->path, undo->old);
    }
    work->undo = NULL;
    work->tree->now = work->before;
}

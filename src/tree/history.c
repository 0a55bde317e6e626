/* The event log, and forgetting.
 *
 * Every change of the space of keys is an event, in the order of (revision, sub). Compaction to revision C
 * moves the watermark at once; from then on a version counts as kept if
 *   - its mod revision is C or greater (so a deletion exactly at C can still be told to a watcher that starts
 * there), or
 *   - it is live and the newest of its key with a mod revision of at most C: what a read at C sees.
 * Everything else is freed here, in slices, by going through the events: first those below C, which leave the
 * log, then those at C, which stay but hide older versions. A version is freed only by the event of its next
 * newer one, after its own event has left the log, so no event ever points to freed memory.
 *
 * The other spaces have no history: their older versions wait here only until no save needs them. */
#include "tree/private.h"

enum { RING_ROOM_MIN = 4, HISTORY_BYTES_DEFAULT = 1 << 30 };

/* Twice the room. Chunks keep their place, or have one bit more of it. */
static void grow(qr__ring *ring)
{
    uint64_t room = ring->room ? ring->room * 2 : RING_ROOM_MIN;
    qr__event **chunks = qr_alloc_zero(room, sizeof *chunks);
    for (uint64_t i = 0; i < ring->room; i++) {
        uint64_t chunk = ring->first / QR__CHUNK + i;
        chunks[chunk & (room - 1)] = ring->chunks[chunk & (ring->room - 1)];
    }
    qr_free(ring->chunks);
    ring->chunks = chunks;
    ring->room = room;
}

void qr__ring_push(qr__ring *ring, qr__event event)
{
    uint64_t number = ring->end++;
    if (number % QR__CHUNK == 0) {
        if (number / QR__CHUNK - ring->first / QR__CHUNK >= ring->room)
            grow(ring);
        qr__event **chunk = &ring->chunks[number / QR__CHUNK & (ring->room - 1)];
        if (*chunk == NULL) /* else what began it was taken back */
            *chunk = qr_slab_page_alloc(ring->records);
    }
    *qr__ring_at(ring, number) = event;
}

static void ring_pop(qr__ring *ring)
{
    QR_ASSERT(ring->first < ring->end);
    uint64_t number = ring->first++;
    if (ring->first % QR__CHUNK != 0)
        return;
    qr__event **chunk = &ring->chunks[number / QR__CHUNK & (ring->room - 1)];
    qr_slab_page_free(ring->records, *chunk);
    *chunk = NULL;
}

void qr__ring_free(qr__ring *ring)
{
    for (uint64_t i = 0; i < ring->room; i++)
        if (ring->chunks[i])
            qr_slab_page_free(ring->records, ring->chunks[i]);
    qr_free(ring->chunks);
    *ring = (qr__ring){.records = ring->records};
}

uint64_t qr__history_place(const qr_tree *tree, uint64_t revision, uint32_t sub)
{
    uint64_t low = tree->history.first, high = tree->history.end;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        const qr__version *version = qr__ring_at(&tree->history, middle)->version;
        uint64_t mod = qr__mod_of(version);
        if (mod < revision || (mod == revision && version->sub < sub))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* ----------------------------------------------------------------- freeing ---- */

/* Frees what the version hides: all older ones, if the next older one is below the limit. Their events have
 * left the log, so tombstones among them are not charged any more. */
static void cut_below(qr_tree *tree, qr__version *version, uint64_t limit, bool counted)
{
    qr__version *older = qr__older_of(version);
    if (older == NULL || qr__mod_of(older) >= limit)
        return;
    qr__life_of(version)->older = NULL;
    for (qr__version *newer = version; older;) {
        if (counted && qr__is_live(older))
            tree->now.history_bytes -= qr__version_cost(older, newer);
        if (newer != version)
            qr__version_free(newer, &tree->records);
        newer = older;
        older = qr__older_of(newer);
        if (older == NULL)
            qr__version_free(newer, &tree->records);
    }
}

/* A tombstone that hides nothing any more is not charged. If nothing is newer, it goes with its key; else it
 * stays until the event of the next newer version leaves the log: nobody sees it. */
static void drop_tombstone(qr_tree *tree, qr__index *index, qr__event event, bool counted)
{
    qr__entry *entry = event.entry;
    if (qr__is_live(event.version))
        return;
    QR_ASSERT(qr__older_of(event.version) == NULL);
    if (counted)
        tree->now.history_bytes -= qr__version_cost(event.version, NULL);
    if (entry->newest != event.version)
        return;
    qr__path path;
    QR_CHECK(qr__index_path(index, qr__key_of(entry), &path) == entry, "a deleted key is not in the tree");
    qr__version_free(event.version, &tree->records);
    qr__index_remove(index, &path);
    qr__entry_free(entry, &tree->records);
}

static qr__index *index_of_hidden(qr_tree *tree, const qr__entry *entry)
{
    for (int space = 0; space < QR__SPACE_KEYS; space++)
        if (qr__index_find(&tree->spaces[space], qr__key_of(entry)) == entry)
            return &tree->spaces[space];
    qr_panic(__FILE__, __LINE__, "a hidden key is not in the tree");
}

static bool history_step(qr_tree *tree)
{
    qr__ring *ring = &tree->history;
    if (ring->first < ring->end) {
        qr__event event = *qr__ring_at(ring, ring->first);
        if (qr__mod_of(event.version) < tree->compacted) {
            ring_pop(ring);
            tree->now.history_bytes -= sizeof event;
            cut_below(tree, event.version, tree->compacted, true);
            drop_tombstone(tree, &tree->spaces[QR__SPACE_KEYS], event, true);
            if (tree->trimmed < ring->first)
                tree->trimmed = ring->first;
            return true;
        }
    }
    if (tree->trimmed < ring->end) {
        qr__event event = *qr__ring_at(ring, tree->trimmed);
        if (qr__mod_of(event.version) == tree->compacted) {
            tree->trimmed++;
            cut_below(tree, event.version, tree->compacted, true);
            return true;
        }
    }
    return false;
}

static bool hidden_step(qr_tree *tree)
{
    if (tree->hidden.first == tree->hidden.end)
        return false;
    qr__event event = *qr__ring_at(&tree->hidden, tree->hidden.first);
    ring_pop(&tree->hidden);
    cut_below(tree, event.version, UINT64_MAX, false);
    if (!qr__is_live(event.version))
        drop_tombstone(tree, index_of_hidden(tree, event.entry), event, false);
    return true;
}

bool qr__history_pending(const qr_tree *tree)
{
    const qr__ring *ring = &tree->history;
    if (tree->hidden.first < tree->hidden.end)
        return true;
    if (ring->first < ring->end && qr__mod_of(qr__ring_at(ring, ring->first)->version) < tree->compacted)
        return true;
    return tree->trimmed < ring->end &&
           qr__mod_of(qr__ring_at(ring, tree->trimmed)->version) <= tree->compacted;
}

bool qr__history_work(qr_tree *tree, size_t budget)
{
    if (tree->save)
        return false; /* the image still needs what would be freed; qr__save_end() lets it go on */
    while (budget-- > 0)
        if (!hidden_step(tree) && !history_step(tree))
            return false;
    return qr__history_pending(tree);
}

static size_t free_entry(qr_tree *tree, qr__entry *entry)
{
    size_t freed = 1;
    for (; entry->newest; freed++) {
        qr__version *version = entry->newest;
        entry->newest = qr__older_of(version);
        qr__version_free(version, &tree->records);
    }
    qr__entry_free(entry, &tree->records);
    return freed;
}

bool qr__history_free(qr_tree *tree, size_t budget)
{
    qr__cursor *cursor = &tree->freeing.cursor;
    for (; tree->freeing.space < QR__SPACE_COUNT; tree->freeing.space++, tree->freeing.began = false) {
        if (!tree->freeing.began)
            *cursor = qr__cursor_seek(&tree->spaces[tree->freeing.space], qr_slice_of(NULL, 0));
        tree->freeing.began = true;
        while (cursor->leaf) {
            if (budget == 0)
                return true;
            qr__entry *entry = qr__cursor_entry(cursor);
            qr__cursor_next(cursor);
            size_t freed = free_entry(tree, entry);
            budget -= freed < budget ? freed : budget;
        }
    }
    qr__ring_free(&tree->history);
    qr__ring_free(&tree->hidden);
    return false;
}

/* ------------------------------------------------------------------ upkeep ---- */

/* The revision at which half of the events would be gone, and so about half of the bytes. Counting these
 * would take a walk over all of them; if much more than half is left, the next compaction halves it again. */
static uint64_t half_by_events(const qr_tree *tree)
{
    const qr__ring *ring = &tree->history;
    return ring->first < ring->end
               ? qr__mod_of(qr__ring_at(ring, ring->first + (ring->end - ring->first) / 2)->version)
               : tree->compacted;
}

/* The first event from `number` on that was not made before. Clocks may go back a little now and then, and
 * that much it may be wrong. */
static uint64_t find_made(const qr__ring *ring, uint64_t number, int64_t from_ms)
{
    uint64_t end = ring->end;
    while (number < end) {
        uint64_t middle = number + (end - number) / 2;
        if (qr__modified_of(qr__ring_at(ring, middle)->version) < from_ms)
            number = middle + 1;
        else
            end = middle;
    }
    return number;
}

/* If something is older than the bound: the revision at which all that is older than half of it would be
 * gone. */
static uint64_t half_by_age(const qr_tree *tree, int64_t wall_ms)
{
    const qr__ring *ring = &tree->history;
    uint64_t first = qr__history_find(tree, tree->compacted + 1);
    if (first == ring->end ||
        qr__modified_of(qr__ring_at(ring, first)->version) >= wall_ms - tree->config.history_ms_max)
        return tree->compacted;
    uint64_t kept = find_made(ring, first, wall_ms - tree->config.history_ms_max / 2);
    return kept > first ? qr__mod_of(qr__ring_at(ring, kept - 1)->version) : tree->compacted;
}

bool qr__history_upkeep(qr_tree *tree, int64_t wall_ms, qr_buffer *body)
{
    if (qr__history_pending(tree))
        return false; /* the last compaction has not been carried out: the figures are not yet what they will
                         be */
    uint64_t bytes_max =
        tree->config.history_bytes_max ? tree->config.history_bytes_max : HISTORY_BYTES_DEFAULT;
    uint64_t revision = tree->compacted;
    if (tree->now.history_bytes > bytes_max)
        revision = half_by_events(tree);
    if (revision <= tree->compacted && tree->config.history_ms_max > 0)
        revision = half_by_age(tree, wall_ms);
    if (revision <= tree->compacted || qr__alarm_holds(tree, QR_ALARM_CORRUPT))
        return false;
    QR_ASSERT(revision <= tree->now.revision);
    qr_body_encode_compact(revision, body);
    return true;
}

/* Reading the event log from a revision on. What is told depends on the logical state alone, never on how far
 * the freeing of compacted history has come: an event counts as held from the compacted revision on, and a
 * previous value while a read at its revision would still find it. */
#include "tree/private.h"

static bool inside(const qr_span *span, qr_slice key)
{
    if (span->kind == QR_SPAN_KEY)
        return qr_slice_equal(span->key, key);
    return qr_slice_compare(span->key, key) <= 0 &&
           (span->kind == QR_SPAN_FROM || qr_slice_compare(key, span->end) < 0);
}

/* A span in which nothing has happened since then needs no look at the events of all others. */
static bool is_quiet(const qr_tree *tree, const qr_span *span, uint64_t from)
{
    const qr__index *index = &tree->spaces[QR__SPACE_KEYS];
    if (qr__span_point(span)) {
        const qr__entry *entry = qr__index_find(index, span->key);
        return entry == NULL || qr__mod_of(entry->newest) < from;
    }
    qr_slice key;
    const qr_slice *to;
    return !qr__span_bounds(span, &key, &to) || qr__index_newest(index, key, to) < from;
}

/* The key as it was before this revision; a revision can change a key more than once. */
static const qr__version *version_before(const qr_tree *tree, const qr__version *version)
{
    uint64_t revision = qr__mod_of(version);
    if (revision <= tree->compacted)
        return NULL;
    const qr__version *before = qr__older_of(version);
    while (before != NULL && qr__mod_of(before) == revision)
        before = qr__older_of(before);
    return qr__is_live(before) ? before : NULL;
}

/* Bytes told. */
static size_t tell(const qr_tree *tree, const qr_events_query *query, const qr__event *event)
{
    qr_kv_event told = {.deleted = !qr__is_live(event->version)};
    if (told.deleted)
        told.kv = (qr_key_value){.key = qr__key_of(event->entry),
                                 .mod_revision = qr__mod_of(event->version),
                                 .modified_ms = qr__modified_of(event->version)};
    else
        qr__fill(event->entry, event->version, false, &told.kv);
    told.levels = event->version->levels;
    const qr__version *before = query->want_previous ? version_before(tree, event->version) : NULL;
    if (before != NULL) {
        told.has_previous = true;
        qr__fill(event->entry, before, false, &told.previous);
    }
    query->tell(query->context, &told);
    return told.kv.key.size + told.kv.value.size + told.previous.key.size + told.previous.value.size;
}

static bool is_wanted(const qr_tree *tree, const qr_events_query *query, const qr__event *event)
{
    bool deletes = !qr__is_live(event->version);
    if (deletes ? query->skip_deletes : query->skip_puts)
        return false;
    if (deletes && QR_BUG(tree->config.bug, TOMBSTONE_LOST) && qr__mod_of(event->version) == tree->compacted)
        return false;
    return inside(&query->span, qr__key_of(event->entry));
}

qr_status qr__events(const qr_tree *tree, const qr_events_query *query, qr_events_result *result)
{
    QR_ASSERT(query->span.space == QR_SPACE_KEYS && query->tell != NULL);
    *result =
        (qr_events_result){.next = query->from, .revision = tree->now.revision, .compacted = tree->compacted};
    if (query->from < tree->compacted)
        return QR_E_COMPACTED;
    if (query->from > tree->now.revision)
        return QR_OK;
    result->next = tree->now.revision + 1;
    if (is_quiet(tree, &query->span, query->from))
        return QR_OK;
    uint64_t number = qr__history_find(tree, query->from), end = tree->history.end, last = 0;
    for (; number < end; number++) {
        const qr__event *event = qr__ring_at(&tree->history, number);
        uint64_t revision = qr__mod_of(event->version);
        bool enough = result->bytes >= query->bytes_max || result->looked >= query->look_max;
        if (enough && (revision != last || QR_BUG(tree->config.bug, REVISION_SPLIT)) && last != 0) {
            result->next = last + 1;
            return QR_OK;
        }
        last = revision;
        result->looked++;
        if (is_wanted(tree, query, event))
            result->bytes += tell(tree, query, event);
    }
    return QR_OK;
}

/* The way back: chunks of an image into an empty tree. Indexes, sums and the event log are made anew. The
 * image has versions by their keys, the event log wants them by revision: they are sorted last, in pieces. */
#include "tree/image.h"
#include "tree/private.h"

enum {
    DIGIT_BITS = 11,
    DIGITS = 1 << DIGIT_BITS,
    /* Each revision behind the compacted one has an event, so there can't be more of them. */
    REVISIONS_BITS = 39,
    SUB_BITS = 25,
};

/* An event with its place in the log: revisions behind the compacted one, then the sub. */
typedef struct placed {
    uint64_t place;
    qr__event event;
} placed;

enum { PILE_PAGE = QR_SLAB_PAGE / sizeof(placed) };

/* Events in pages of the slab of records: none is copied while their number grows, and what they leave serves
 * records. */
typedef struct pile {
    placed **pages; /* owned */
    uint64_t page_count, room;
} pile;

/* Places are sorted by one digit after another, the lowest first; bits that are zero in all of them belong to
 * none. Of each digit its values are counted, and then the events moved, in their order. */
typedef struct sorting {
    pile target;    /* as large as what is sorted */
    uint64_t bits;  /* that are set in any place */
    uint32_t shift; /* of the digit */
    enum { SORT_BEGIN, SORT_COUNT, SORT_MOVE } stage;
    uint64_t at;             /* the next event to be counted or moved */
    uint64_t starts[DIGITS]; /* counts; then where the next event with that value goes */
} sorting;

struct qr__load {
    uint64_t chunks, keys, versions;
    uint64_t chain;
    uint64_t digest;
    uint64_t revision, compacted, index;
    int space;
    qr__entry *entry;    /* the key whose versions are being read; in the index once it has one */
    qr__version *oldest; /* its oldest version so far */
    bool headed, ended;
    qr__path last; /* in the index of the space, to where the next key goes; leaf NULL = not known */
    pile events;   /* of the event log, by their keys until they are sorted */
    uint64_t event_count;
    sorting sort;
};

static placed *pile_at(const pile *events, uint64_t at)
{
    return &events->pages[at / PILE_PAGE][at % PILE_PAGE];
}

/* There is room for so many events. */
static void pile_need(pile *events, uint64_t count, qr_slab *records)
{
    while (events->page_count * PILE_PAGE < count) {
        if (events->page_count == events->room) {
            events->room = events->room ? events->room * 2 : 16;
            events->pages = qr_realloc(events->pages, events->room * sizeof *events->pages);
        }
        events->pages[events->page_count++] = qr_slab_page_alloc(records);
    }
}

static void pile_free(pile *events, qr_slab *records)
{
    for (uint64_t i = 0; i < events->page_count; i++)
        qr_slab_page_free(records, events->pages[i]);
    qr_free(events->pages);
}

void qr__load_end(qr_tree *tree)
{
    if (tree->load == NULL)
        return;
    if (tree->load->entry && tree->load->oldest == NULL)
        qr__entry_free(tree->load->entry, &tree->records);
    pile_free(&tree->load->events, &tree->records);
    pile_free(&tree->load->sort.target, &tree->records);
    qr_free(tree->load);
    tree->load = NULL;
}

static bool load_head(qr__load *load, qr_reader *reader)
{
    load->index = qr_reader_u64(reader);
    load->revision = qr_reader_u64(reader);
    load->compacted = qr_reader_u64(reader);
    load->digest = qr_reader_u64(reader);
    bool first = !load->headed;
    load->headed = true;
    return first && load->revision >= 1 && load->compacted <= load->revision &&
           (load->revision - load->compacted) >> REVISIONS_BITS == 0;
}

static bool load_key(qr_tree *tree, qr__load *load, qr_reader *reader)
{
    qr__index *index = qr__space_of(tree, qr_reader_u8(reader));
    qr_slice key = qr_reader_bytes(reader);
    if (reader->failed || index == NULL || key.size == 0 || key.size > QR_KEY_MAX)
        return false;
    int space = (int)(index - tree->spaces);
    bool is_neighbour = load->entry && load->space == space;
    int order = is_neighbour ? qr_slice_compare(key, qr__key_of(load->entry)) : space - load->space;
    if (is_neighbour && order == 0)
        return true;
    if (load->entry && (order <= 0 || load->oldest == NULL))
        return false; /* keys rise, and each has versions */
    load->entry = qr__entry_new(key, &tree->records);
    load->oldest = NULL;
    if (load->space != space)
        load->last.leaf = NULL;
    load->space = space;
    load->keys++;
    return true;
}

static bool load_extra(qr_tree *tree, qr_reader *reader, qr__draft *draft)
{
    qr__extra parts = {.lease = (int64_t)qr_reader_u64(reader)};
    parts.detach = qr_reader_u8(reader);
    parts.flags = qr_reader_varint(reader);
    parts.acl = qr_reader_varint(reader);
    parts.acl_version = qr_reader_varint(reader);
    qr_slice attribute = qr_reader_bytes(reader);
    if (reader->failed || attribute.size > QR_ATTRIBUTE_MAX || parts.detach > 1)
        return false;
    qr__extra *like = tree->load->oldest ? qr__extra_of(tree->load->oldest) : NULL;
    draft->extra = qr__extra_new(&parts, attribute, like, &tree->records);
    return draft->extra != NULL;
}

static void note_event(qr__load *load, qr__version *version, qr_slab *records)
{
    _Static_assert(QR__SUB_MAX == (1 << SUB_BITS) - 1, "a place has room for every sub");
    pile_need(&load->events, load->event_count + 1, records);
    uint64_t place = (qr__mod_of(version) - load->compacted) << SUB_BITS | version->sub;
    load->sort.bits |= place;
    *pile_at(&load->events, load->event_count++) =
        (placed){.place = place, .event = {.entry = load->entry, .version = version}};
}

/* The event log, and the sums of the figures. */
static void note_key(qr_tree *tree, qr__load *load, qr__version *version, const qr__version *newer)
{
    if (qr__mod_of(version) >= load->compacted) {
        note_event(load, version, &tree->records);
        tree->now.history_bytes += sizeof(qr__event);
    }
    if (newer || !qr__is_live(version))
        tree->now.history_bytes += qr__version_cost(version, newer);
    else
        tree->now.live_bytes += load->entry->key_size + qr__content_size(version);
}

/* Hangs the version in as the oldest of its key; a first one brings its key into the index. */
static bool hang_in(qr_tree *tree, qr__load *load, qr__version *version)
{
    qr__version *newer = load->oldest;
    load->oldest = version;
    load->versions++;
    if (newer) {
        qr__life_of(newer)->older = version;
    } else {
        load->entry->newest = version;
        qr__index_append(&tree->spaces[load->space], &load->last, load->entry, qr__is_live(version),
                         qr__mod_of(version));
    }
    if (load->space == QR__SPACE_KEYS)
        note_key(tree, load, version, newer);
    return newer || qr__lease_loaded(tree, qr__space_byte((qr__space)load->space), load->entry);
}

static bool load_levels(const qr__load *load, qr_reader *reader, uint8_t bits, qr__version *version)
{
    bool counts = load->space == QR__SPACE_KEYS;
    uint8_t levels = counts ? qr__directory_levels(qr__key_of(load->entry), version) : 0;
    if (bits & QR__IMAGE_HAS_LEVELS)
        levels = qr_reader_u8(reader);
    if (reader->failed || levels > QR_PATH_LEVELS_MAX || (!counts && levels > 0))
        return false;
    version->levels = levels & 127;
    return true;
}

/* All but the levels. */
static bool load_draft(qr_tree *tree, qr__load *load, qr_reader *reader, uint8_t bits, qr__draft *draft)
{
    draft->index = qr_reader_varint(reader);
    draft->mod_revision = qr_reader_varint(reader);
    uint64_t sub = qr_reader_varint(reader);
    draft->create_revision = qr_reader_varint(reader);
    draft->number = qr_reader_varint(reader);
    draft->created_ms = (int64_t)qr_reader_u64(reader);
    draft->modified_ms = (int64_t)qr_reader_u64(reader);
    const qr__version *newer = load->oldest;
    draft->like = bits & QR__IMAGE_SAME_VALUE ? newer : NULL;
    if (reader->failed || load->entry == NULL || sub > QR__SUB_MAX || draft->index > load->index ||
        draft->mod_revision > load->revision)
        return false;
    if (newer && (qr__life_of(newer) == NULL || qr__index_of(newer) < draft->index ||
                  qr__mod_of(newer) < draft->mod_revision))
        return false;
    if ((bits & QR__IMAGE_SAME_VALUE) && (newer == NULL || qr__blob_of(newer) == NULL))
        return false;
    draft->value = draft->like ? qr__value_of(draft->like) : qr_reader_bytes(reader);
    if (reader->failed || draft->value.size > QR_VALUE_MAX)
        return false;
    draft->sub = (uint32_t)sub;
    return !(bits & QR__IMAGE_HAS_EXTRA) || load_extra(tree, reader, draft);
}

static bool load_version(qr_tree *tree, qr__load *load, qr_reader *reader)
{
    uint8_t bits = qr_reader_u8(reader);
    qr__draft draft = {0};
    if (!load_draft(tree, load, reader, bits, &draft))
        return false;
    const uint8_t *next = reader->at + ((bits & QR__IMAGE_HAS_LEVELS) != 0);
    /* The next version of the key may come in the next chunk. */
    draft.has_older = next >= reader->end || *next == QR__IMAGE_VERSION;
    qr__version *version = qr__version_new(&draft, &tree->records);
    if (load_levels(load, reader, bits, version))
        return hang_in(tree, load, version);
    qr__version_free(version, &tree->records);
    return false;
}

static bool load_directory(qr_tree *tree, qr_reader *reader)
{
    qr_slice path = qr_reader_bytes(reader);
    qr_directory record = {.created = qr_reader_varint(reader)};
    record.changes = qr_reader_varint(reader);
    record.children = qr_reader_varint(reader);
    record.last_revision = qr_reader_varint(reader);
    record.first_revision = qr_reader_varint(reader);
    record.bare_revision = qr_reader_varint(reader);
    record.versions = qr_reader_varint(reader);
    record.first_ms = (int64_t)qr_reader_u64(reader);
    record.bare_ms = (int64_t)qr_reader_u64(reader);
    if (reader->failed || !qr__path_valid(path))
        return false;
    qr__directory_put(tree, path, &record);
    return true;
}

static bool load_end(qr__load *load, qr_reader *reader)
{
    load->ended = true;
    bool keys = qr_reader_varint(reader) == load->keys;
    return qr_reader_varint(reader) == load->versions && keys && !reader->failed;
}

static bool load_record(qr_tree *tree, qr__load *load, qr_reader *reader)
{
    uint8_t kind = qr_reader_u8(reader);
    if (load->ended || (kind != QR__IMAGE_HEAD && !load->headed))
        return false;
    switch (kind) {
    case QR__IMAGE_HEAD: return load_head(load, reader);
    case QR__IMAGE_KEY: return load_key(tree, load, reader);
    case QR__IMAGE_VERSION: return load_version(tree, load, reader);
    case QR__IMAGE_DIRECTORY: return load_directory(tree, reader);
    case QR__IMAGE_END: return load_end(load, reader);
    default: return false;
    }
}

/* ----------------------------------------------------------------- finishing ---- */

static uint64_t digit_of(const sorting *sort, const placed *event)
{
    return event->place >> sort->shift & (DIGITS - 1);
}

/* False: there is no digit left. */
static bool begin_digit(qr__load *load, qr_slab *records)
{
    sorting *sort = &load->sort;
    uint64_t rest = sort->shift < 64 ? sort->bits >> sort->shift : 0;
    if (rest == 0)
        return false;
    sort->shift += (uint32_t)__builtin_ctzll(rest);
    pile_need(&sort->target, load->event_count, records);
    memset(sort->starts, 0, sizeof sort->starts);
    sort->stage = SORT_COUNT;
    return true;
}

static void end_counting(sorting *sort)
{
    uint64_t before = 0;
    for (size_t i = 0; i < DIGITS; i++) {
        uint64_t count = sort->starts[i];
        sort->starts[i] = before;
        before += count;
    }
    sort->at = 0;
    sort->stage = SORT_MOVE;
}

static void end_moving(qr__load *load)
{
    sorting *sort = &load->sort;
    pile swap = load->events;
    load->events = sort->target;
    sort->target = swap;
    sort->shift += DIGIT_BITS;
    sort->at = 0;
    sort->stage = SORT_BEGIN;
}

/* Counts or moves events, as far as the budget goes. False: they are sorted. */
static bool sort_some(qr__load *load, qr_slab *records, size_t *budget)
{
    sorting *sort = &load->sort;
    if (sort->stage == SORT_BEGIN && !begin_digit(load, records))
        return false;
    uint64_t left = load->event_count - sort->at, end = sort->at + (left < *budget ? left : *budget);
    *budget -= end - sort->at;
    if (sort->stage == SORT_COUNT) {
        for (; sort->at < end; sort->at++)
            sort->starts[digit_of(sort, pile_at(&load->events, sort->at))]++;
        if (end == load->event_count)
            end_counting(sort);
        return true;
    }
    for (; sort->at < end; sort->at++) {
        const placed *event = pile_at(&load->events, sort->at);
        *pile_at(&sort->target, sort->starts[digit_of(sort, event)]++) = *event;
    }
    if (end == load->event_count)
        end_moving(load);
    return true;
}

bool qr__load_settle(qr_tree *tree, size_t budget)
{
    qr__load *load = tree->load;
    if (load == NULL)
        return false;
    QR_ASSERT(load->ended);
    while (budget > 0 && sort_some(load, &tree->records, &budget))
        continue;
    for (; budget > 0 && tree->history.end < load->event_count; budget--)
        qr__ring_push(&tree->history, pile_at(&load->events, tree->history.end)->event);
    if (budget == 0)
        return true;
    qr__load_end(tree);
    return false;
}

static qr_status finish(qr_tree *tree, qr__load *load)
{
    if (!load->ended || (load->entry && load->oldest == NULL))
        return QR_E_CORRUPT;
    tree->applied_index = load->index;
    tree->now.revision = load->revision;
    tree->compacted = load->compacted;
    tree->now.digest = load->digest;
    return qr__alarms_broken(tree) == NULL ? QR_OK : QR_E_CORRUPT;
}

qr_status qr__load_chunk(qr_tree *tree, qr_slice chunk, bool last)
{
    if (tree->load == NULL) {
        QR_ASSERT(tree->applied_index == 0 && tree->spaces[QR__SPACE_KEYS].entries == 0);
        tree->load = qr_alloc_zero(1, sizeof *tree->load);
    }
    qr__load *load = tree->load;
    if (chunk.size < 1 + 8 + 8)
        return QR_E_CORRUPT;
    qr_slice body = qr_slice_of(chunk.data, chunk.size - 8);
    load->chain = qr_hash(body, load->chain);
    if (qr_load_u64(chunk.data + body.size) != load->chain)
        return QR_E_CORRUPT;
    qr_reader reader = qr_reader_of(body);
    if (qr_reader_u8(&reader) != QR__IMAGE_FORMAT)
        return QR_E_BAD_VERSION;
    if (qr_reader_u64(&reader) != load->chunks++)
        return QR_E_CORRUPT;
    while (qr_reader_left(&reader) > 0)
        if (!load_record(tree, load, &reader) || reader.failed)
            return QR_E_CORRUPT;
    return last ? finish(tree, load) : QR_OK;
}

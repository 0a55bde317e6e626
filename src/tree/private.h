/* What the files of the tree share and nobody else sees. One file a noun:
 *
 *   index.c, index_check.c  the ordered structure                  span.c     counting and walking it
 *   record.c     entries, versions, values, attributes             change.c   one change, and its undoing
 *   history.c    the event log, compaction, freeing                directory.c  records of parents
 *   events.c     reading the event log
 *   range.c      range queries: visibility, filters, sorting       txn.c      conditions and operations
 *   digest.c     the rolling digest, and the hash of all versions  save.c, load.c  the image in slices
 *   lease.c      leases and the keys attached to them              check.c    every structural invariant
 *   alarm.c      alarms, and what they refuse                      paths.c    checks, rights, sessions, one
 * path tree.c       the machine                                 tidy.c     giving memory back
 *
 * Logical and physical state are kept apart throughout: what a result, the digest or a saved image may depend
 * on is the logical state; which old versions are already freed is physical and may differ between replicas
 * at any time. */
#ifndef QR_TREE_PRIVATE_H
#define QR_TREE_PRIVATE_H

#include "core/bugs.h"
#include "tree/tree.h"

/* ---------------------------------------------------------------- records ---- */

enum {
    QR__INLINE_MAX =
        256, /* bytes of a value that lives inside its version; larger ones are shared and counted */
    QR__VERSION_COST = 64, /* bytes the history is charged for a version besides its value */
    QR__KEY_COST = 256,    /* bytes the quota charges for a key besides its own bytes */
    /* And for a directory record besides its path: one key may bring as many of them as it has levels. */
    QR__DIRECTORY_COST = 160,
    QR__LEASE_COST = 256,              /* and for a lease */
    QR__LEVELS_RULES = QR_LEVEL_PATHS, /* from which on levels are counted and kept */
    QR__SUB_MAX = (1 << 25) - 1,       /* changes of one command */
    QR__ATTACHMENT_HEAD =
        9, /* bytes before the key in the key of an attachment: the lease's id and the space */
    /* Key-values that all ranges and deletes of one command may return together. A command is carried out on
     * every replica, so one that takes too much memory would end them all. */
    QR__RETURNED_MAX = 1 << 20,
};

typedef struct qr__blob {
    uint64_t hash;
    uint32_t references;
    uint32_t size; /* bytes */
    uint8_t bytes[];
} qr__blob;

/* The seldom parts of a key record; absent when all are zero. Never changed once made, so versions share it.
 */
typedef struct qr__extra {
    int64_t lease;
    uint64_t flags, acl, acl_version;
    uint32_t references;
    uint16_t attribute_size; /* bytes, at most QR_ATTRIBUTE_MAX */
    uint8_t detach;          /* the end of the lease detaches the key instead of deleting it */
    uint8_t attribute[];
} qr__extra;

/* One state of a key. Most keys are written once and most numbers are small, so it has room for just what the
 * first put of a key says; its forms tell what else stands behind it, in this order: life, wide, the extra,
 * the value. Made once and never changed after that, but for its levels and for losing what is older. */
typedef struct qr__version qr__version;
struct qr__version {
    uint64_t mod_revision : 48;
    uint64_t forms : 4;
    uint64_t inline_size : 12; /* bytes of a value that is no blob */
    int64_t modified_ms : 48;
    int32_t ahead;       /* index of the log - mod revision */
    uint32_t sub : 25;   /* number of the change within its revision */
    uint32_t levels : 7; /* directories above that got or lost a child by it (core/events.h) */
};

enum {
    QR__HAS_LIFE = 1 << 0,  /* else it is the first put of a key, with nothing older */
    QR__HAS_WIDE = 1 << 1,  /* a number does not fit */
    QR__HAS_EXTRA = 1 << 2, /* else all of it is zero */
    QR__HAS_BLOB = 1 << 3,  /* the value is larger than QR__INLINE_MAX */
};

typedef struct qr__life {
    qr__version *older;       /* the chain of its key, newest first */
    uint64_t create_revision; /* 0 for a tombstone */
    uint64_t number;          /* counts up from 1 in each life of the key; 0 marks a tombstone */
    int64_t created_ms;
} qr__life;

/* The numbers in full; those in the version are void. */
typedef struct qr__wide {
    uint64_t index, mod_revision;
    int64_t modified_ms;
} qr__wide;

/* What a version is made of. */
typedef struct qr__draft {
    qr_slice value;
    const qr__version *like; /* not NULL: it has that value, and a large one is shared with it */
    qr__extra *extra;        /* a reference of its own, which goes to the version; NULL = all zero */
    qr__version *older;
    bool has_older; /* set: something older may be hung in later */
    uint32_t sub;
    uint64_t index; /* of the log: a saved image is cut by it */
    uint64_t mod_revision, create_revision, number;
    int64_t created_ms, modified_ms;
} qr__draft;

/* The record of a directory, and the last save that has a copy of it from before a change. */
typedef struct qr__directory {
    qr_directory figures;
    uint64_t stashed;
} qr__directory;

/* A key: an item of an index. Also a directory record, an attachment, and the bare key that separates two
 * children of an inner node. */
typedef struct qr__entry qr__entry;
struct qr__entry {
    union {
        qr__version *newest;
        qr__directory *directory;
        qr__entry *attached; /* a live key that has the lease of this attachment */
    };
    uint32_t key_size; /* bytes */
    uint8_t key[];
};

static inline qr_slice qr__key_of(const qr__entry *entry)
{
    return qr_slice_of(entry->key, entry->key_size);
}

static inline size_t qr__life_size(const qr__version *version)
{
    return version->forms & QR__HAS_LIFE ? sizeof(qr__life) : 0;
}
static inline size_t qr__numbers_size(const qr__version *version)
{
    return qr__life_size(version) + (version->forms & QR__HAS_WIDE ? sizeof(qr__wide) : 0);
}
static inline qr__life *qr__life_of(const qr__version *version) /* NULL if it has none */
{
    return version->forms & QR__HAS_LIFE ? (qr__life *)(version + 1) : NULL;
}
static inline const qr__wide *qr__wide_of(const qr__version *version) /* NULL if it has none */
{
    const uint8_t *behind = (const uint8_t *)(version + 1) + qr__life_size(version);
    return version->forms & QR__HAS_WIDE ? (const qr__wide *)(const void *)behind : NULL;
}
static inline qr__extra *qr__extra_of(const qr__version *version) /* NULL = all zero */
{
    const uint8_t *behind = (const uint8_t *)(version + 1) + qr__numbers_size(version);
    return version->forms & QR__HAS_EXTRA ? *(qr__extra *const *)(const void *)behind : NULL;
}
static inline const uint8_t *qr__content_of(const qr__version *version) /* the value, or where its blob is */
{
    return (const uint8_t *)(version + 1) + qr__numbers_size(version) +
           (version->forms & QR__HAS_EXTRA ? sizeof(qr__extra *) : 0);
}
static inline qr__blob *qr__blob_of(const qr__version *version) /* NULL: the value is small */
{
    const void *content = qr__content_of(version);
    return version->forms & QR__HAS_BLOB ? *(qr__blob *const *)content : NULL;
}

static inline uint64_t qr__mod_of(const qr__version *version)
{
    const qr__wide *wide = qr__wide_of(version);
    return wide ? wide->mod_revision : version->mod_revision;
}
static inline uint64_t qr__index_of(const qr__version *version)
{
    const qr__wide *wide = qr__wide_of(version);
    return wide ? wide->index : version->mod_revision + (uint64_t)(int64_t)version->ahead;
}
static inline int64_t qr__modified_of(const qr__version *version)
{
    const qr__wide *wide = qr__wide_of(version);
    return wide ? wide->modified_ms : version->modified_ms;
}
static inline uint64_t qr__create_of(const qr__version *version)
{
    const qr__life *life = qr__life_of(version);
    return life ? life->create_revision : qr__mod_of(version);
}
static inline int64_t qr__created_of(const qr__version *version)
{
    const qr__life *life = qr__life_of(version);
    return life ? life->created_ms : qr__modified_of(version);
}
static inline uint64_t qr__number_of(const qr__version *version)
{
    const qr__life *life = qr__life_of(version);
    return life ? life->number : 1;
}
static inline qr__version *qr__older_of(const qr__version *version)
{
    const qr__life *life = qr__life_of(version);
    return life ? life->older : NULL;
}
static inline bool qr__is_live(const qr__version *version)
{
    return version != NULL && qr__number_of(version) != 0;
}

typedef struct qr_tree qr_tree;

qr__entry *qr__entry_new(qr_slice key, qr_slab *records);
void qr__entry_free(qr__entry *entry, qr_slab *records);
qr__version *qr__version_new(const qr__draft *draft, qr_slab *records);
void qr__version_free(qr__version *version, qr_slab *records);
/* The same out of a page that is mostly empty, or always: where it is now (base/slab.h). */
qr__entry *qr__entry_move(qr__entry *entry, qr_slab *records, bool always);
qr__version *qr__version_move(qr__version *version, qr_slab *records, bool always);
qr_slice qr__value_of(const qr__version *version);
uint64_t qr__value_hash(const qr__version *version);
/* Bytes of value and attribute. */
uint64_t qr__content_size(const qr__version *version);
/* Bytes a version is charged while it is history; newer (may be NULL): the next one of its key. */
uint64_t qr__version_cost(const qr__version *version, const qr__version *newer);
/* A new reference to an extra with these parts; `like` (may be NULL) is shared if it has the same. NULL if
 * all are zero. */
qr__extra *qr__extra_new(const qr__extra *parts, qr_slice attribute, qr__extra *like, qr_slab *records);
void qr__extra_drop(qr__extra *extra, qr_slab *records);
/* The live version of the key right after revision; NULL if there was none. */
const qr__version *qr__visible(const qr__entry *entry, uint64_t revision);
/* create_revision and the like of a live version; keys_only leaves the value out. */
void qr__fill(const qr__entry *entry, const qr__version *version, bool keys_only, qr_key_value *kv);

/* ------------------------------------------------------------------ index ---- */

enum {
    QR__FAN = 64, /* entries of a leaf, children of an inner node; a leaf's live keys are one 64-bit word */
    QR__DEPTH_MAX = 16,
    QR__PREFIX_MAX = 44, /* bytes of a common prefix that a node takes out of its comparisons */
};

typedef struct qr__node qr__node;
struct qr__node {
    uint16_t count; /* entries or children */
    uint8_t is_leaf;
    uint8_t skip; /* bytes that all keys of the node have in common, at most QR__PREFIX_MAX */
    uint8_t prefix[QR__PREFIX_MAX]; /* these bytes */
    uint64_t heads[QR__FAN]; /* the next eight bytes of each key, most significant first, padded with zeros */
    qr__entry *slots[QR__FAN]; /* leaf: entries; inner: lower bounds of the children, [0] being unused */
    uint64_t mods[QR__FAN];    /* greatest mod revision of the entry or child, tombstones included */
};

/* The head of a key in a node that skips so many bytes. */
static inline uint64_t qr__head_of(qr_slice key, uint32_t skip)
{
    if (key.size >= (size_t)skip + 8) {
        uint64_t head;
        memcpy(&head, key.data + skip, 8);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
        head = __builtin_bswap64(head);
#endif
        return head;
    }
    uint64_t head = 0;
    for (uint32_t i = 0; i < 8; i++)
        head = head << 8 | (skip + i < key.size ? key.data[skip + i] : 0);
    return head;
}

typedef struct qr__leaf {
    qr__node node;
    uint64_t live; /* bit i: entry i is live */
    qr__node *next, *previous;
} qr__leaf;

typedef struct qr__inner {
    qr__node node;
    qr__node *children[QR__FAN];
    uint64_t live[QR__FAN]; /* live keys below each child */
} qr__inner;

typedef struct qr__index {
    qr__node *root;
    qr_slab *records;       /* borrowed: for bare keys */
    uint64_t live, entries; /* keys: live ones, and all including tombstones */
    uint64_t bytes;         /* of nodes */
} qr__index;

/* The way from the root to a key, or to where it would stand. Good until the next change of the index's
 * shape. */
typedef struct qr__path {
    uint32_t depth; /* inner nodes */
    struct {
        qr__inner *inner;
        uint32_t child;
    } steps[QR__DEPTH_MAX];
    qr__leaf *leaf;
    uint32_t at;
    bool found;
} qr__path;

/* Where a walk stands; leaf == NULL = at the end. Good until the next change of the index's shape. */
typedef struct qr__cursor {
    const qr__leaf *leaf;
    uint32_t at;
} qr__cursor;

void qr__index_init(qr__index *index, qr_slab *records);
void qr__index_free(qr__index *index);                           /* nodes only; entries are their owner's */
qr__entry *qr__index_find(const qr__index *index, qr_slice key); /* NULL if it is not there */
qr__entry *qr__index_path(const qr__index *index, qr_slice key, qr__path *path);
/* Asks for the memory that the next searches for these keys will touch, at most QR_MACHINE_FORESEEN of them.
 */
void qr__index_foresee(const qr__index *index, const qr_slice *keys, size_t count);
void qr__index_insert(qr__index *index, qr__path *path, qr__entry *entry, bool live, uint64_t mod);
/* Of a key behind all others. *last: the way there, as the call before left it; leaf NULL = not known. */
void qr__index_append(qr__index *index, qr__path *last, qr__entry *entry, bool live, uint64_t mod);
void qr__index_set(qr__index *index, qr__path *path, bool live, uint64_t mod);
void qr__index_remove(qr__index *index, qr__path *path);
const char *qr__index_broken(const qr__index *index, bool of_directories);

/* Bounds of a walk: from <= key, and key < to unless to is NULL. */
uint64_t qr__index_count(const qr__index *index, qr_slice from, const qr_slice *to, uint64_t revision);
uint64_t qr__index_newest(const qr__index *index, qr_slice from, const qr_slice *to);
qr__cursor qr__cursor_seek(const qr__index *index, qr_slice from);
static inline qr__entry *qr__cursor_entry(const qr__cursor *cursor)
{
    return cursor->leaf->node.slots[cursor->at];
}
static inline void qr__cursor_next(qr__cursor *cursor)
{
    if (++cursor->at < cursor->leaf->node.count)
        return;
    cursor->leaf = (const qr__leaf *)cursor->leaf->next;
    cursor->at = 0;
}
/* The last entry before `to`; NULL = of the index. */
qr__cursor qr__cursor_before(const qr__index *index, const qr_slice *to);
static inline void qr__cursor_previous(qr__cursor *cursor)
{
    if (cursor->at-- > 0)
        return;
    cursor->leaf = (const qr__leaf *)cursor->leaf->previous;
    cursor->at = cursor->leaf ? cursor->leaf->node.count - 1u : 0;
}
uint32_t qr__node_search(const qr__node *node, qr_slice key,
                         bool *equal);        /* first position whose key is >= key */
uint64_t qr__node_live(const qr__node *node); /* live keys below it */
uint64_t qr__node_mod(const qr__node *node);  /* the greatest mod revision of its items */

/* ---------------------------------------------------------------- history ---- */

typedef struct qr__event {
    qr__entry *entry;
    qr__version *version;
} qr__event;

enum { QR__CHUNK = QR_SLAB_PAGE / sizeof(qr__event) }; /* events of a chunk; a power of two */

/* Events by a number that counts up for ever; those from `first` to `end` - 1 are held, in chunks: none is
 * ever copied, and what has been forgotten holds no memory. */
typedef struct qr__ring {
    qr__event **chunks; /* owned: by number of the first event / QR__CHUNK, modulo room; NULL = none there */
    uint64_t room;      /* a power of two, or 0 */
    uint64_t first, end;
    qr_slab *records; /* borrowed: a chunk is a page of it */
} qr__ring;

static inline qr__event *qr__ring_at(const qr__ring *ring, uint64_t number)
{
    QR_ASSERT(number >= ring->first && number < ring->end);
    return &ring->chunks[number / QR__CHUNK & (ring->room - 1)][number % QR__CHUNK];
}
void qr__ring_push(qr__ring *ring, qr__event event);
void qr__ring_free(qr__ring *ring);

/* ------------------------------------------------------------------- tree ---- */

typedef enum qr__space {
    QR__SPACE_LEASES,
    QR__SPACE_SESSIONS,
    QR__SPACE_USERS,
    QR__SPACE_CATALOGUE,
    QR__SPACE_ALARMS,
    QR__SPACE_ACLS,
    QR__SPACE_KEYS,
    QR__SPACE_COUNT,
} qr__space;

/* What a rejected txn must put back in one go. */
typedef struct qr__figures {
    uint64_t revision;
    uint64_t digest;
    uint64_t live_bytes;    /* keys, values and attributes of the newest versions in the space of keys */
    uint64_t history_bytes; /* physical */
} qr__figures;

/* The walk that moves records together (tidy.c). */
typedef struct qr__tidying {
    enum { QR__TIDY_REST, QR__TIDY_KEYS, QR__TIDY_DIRECTORIES } stage;
    uint64_t compacted; /* when the last walk began */
    qr_buffer place;    /* a key in the leaf that comes next */
} qr__tidying;

typedef struct qr__save qr__save;
typedef struct qr__load qr__load;

struct qr_tree {
    qr_machine machine; /* first: a qr_machine * is a qr_tree * */
    qr_tree_config config;
    qr__index spaces[QR__SPACE_COUNT];
    qr__index directories;
    qr__index attachments; /* of leases to keys: made anew at load */
    qr_buffer attachment;  /* scratch: the key of one */
    qr__figures now;
    uint64_t compacted;     /* revision; nothing older can be read */
    uint64_t applied_index; /* of the log */
    qr__ring
        history; /* events of the space of keys with mod_revision >= compacted, and those still to be freed */
    uint64_t trimmed;        /* number in history: chains are cut below all events before it */
    qr__ring hidden;         /* events of the other spaces whose older versions are still to be freed */
    qr_slab records;         /* entries, versions, values, directory records */
    uint64_t directory_cost; /* what the quota charges for all directory records */
    uint64_t queries;        /* served since the start; nothing replicated may look at it */
    uint64_t saves;          /* begun since the start */
    qr__tidying tidying;
    qr__save *save; /* NULL unless a save runs */
    qr__load *load; /* NULL unless a load runs */
    struct {
        bool began;
        int space;
        qr__cursor cursor;
    } freeing; /* how far the entries are gone (qr__history_free) */
};

/* NULL for a byte that is no space, and for the directory space. */
qr__index *qr__space_of(qr_tree *tree, uint8_t space);
/* Likewise, for a space that transactions name; they know nothing of alarms. */
qr__index *qr__space_asked(qr_tree *tree, uint8_t space);
uint8_t qr__space_byte(qr__space space);

/* Undo lists live in the request's arena, newest first. */
typedef struct qr__undo qr__undo;

/* One command being carried out. */
typedef struct qr__work {
    qr_tree *tree;
    qr_arena *arena;
    uint64_t index; /* of the log; 0 for a query */
    int64_t stamp_ms;
    uint16_t rules; /* the apply version of the command */
    uint64_t base;  /* the revision before the command */
    qr__figures before;
    uint32_t sub;      /* changes made so far */
    uint64_t returned; /* key-values in the result so far */
    qr_slice last_key; /* of the last put in the space of keys; empty = none */
    qr__undo *undo;
    const bool *decisions; /* which branch each txn on the chosen path takes, in order of execution */
    size_t next_decision;
} qr__work;

/* Makes a version of the draft, the newest of key, whose way has just been found: it holds all but index,
 * revisions and sub, which are stamped. */
qr__entry *qr__change(qr__work *work, uint8_t space, qr_slice key, qr__path *path, qr__draft *draft);
void qr__undo_all(qr__work *work);
/* The path must lie in the key of an entry that has been changed before, old (NULL = no record) is copied. */
void qr__undo_directory(qr__work *work, qr_slice path, const qr_directory *old);

qr_status qr__range(qr_tree *tree, const qr_range *range, uint64_t newest, qr_arena *arena,
                    qr_op_result *result);
qr_status qr__scan(const qr_tree *tree, const qr_scan *scan, qr_arena *arena, qr_scan_result *result);
bool qr__span_point(const qr_span *span);
/* False if the span is empty by its bounds. */
bool qr__span_bounds(const qr_span *span, qr_slice *from, const qr_slice **to);

uint64_t qr__quota_charge(const qr_tree *tree); /* live bytes, as the quota counts them */
qr_status qr__txn_apply(qr__work *work, const qr_txn *txn, qr_txn_result *result);
qr_status qr__txn_query(qr_tree *tree, const qr_txn *txn, qr_arena *arena, qr_txn_result *result);

/* A change that may come with any command: as put and delete, without asking whether it is allowed. */
void qr__delete_key(qr__work *work, uint8_t space, qr__entry *entry);
void qr__detach_key(qr__work *work, uint8_t space, qr__entry *entry); /* its lease goes, all else stays */
qr_status qr__put_key(qr__work *work, const qr_put *put, qr_op_result *result);

bool qr__lease_exists(qr_tree *tree, int64_t lease);
/* The key had that version and has this one now (NULL: none), the newest. */
void qr__lease_moved(qr_tree *tree, uint8_t space, qr__entry *entry, const qr__version *from,
                     const qr__version *to);
qr_status qr__lease_apply(qr__work *work, const qr_body *body);
void qr__lease_query(const qr_tree *tree, const qr_query *query, qr_arena *arena, qr_leases_result *result);
bool qr__lease_from(const qr_tree *tree, int64_t id, qr_machine_lease *lease);
uint64_t qr__lease_epoch(const qr_tree *tree, uint64_t *index);
/* A key that comes from an image has its newest version; false: a record that is none. */
bool qr__lease_loaded(qr_tree *tree, uint8_t space, qr__entry *entry);
void qr__leases_free(qr_tree *tree);
const char *qr__leases_broken(const qr_tree *tree);

/* QR_OK, or why alarms refuse this. */
qr_status qr__alarm_allows(const qr_tree *tree, const qr_body *body);
qr_status qr__alarm_apply(qr__work *work, const qr_body *body, qr_alarm_result *result);
bool qr__alarm_stands(const qr_tree *tree, uint64_t member, uint32_t kind, bool raised);
bool qr__alarm_holds(const qr_tree *tree, uint32_t kind); /* one of that kind stands, and not just noted */
const qr_alarm *qr__alarm_list(const qr_tree *tree, qr_arena *arena, size_t *count);
const char *qr__alarms_broken(const qr_tree *tree);

qr_status qr__check(const qr_tree *tree, const qr_check *check);
bool qr__path_present(const qr_tree *tree, qr_slice key);
/* May that be put into a space whose records stand with something else? */
qr_status qr__record_allowed(const qr_tree *tree, const qr_put *put, qr_slice key);
void qr__record_end(qr__work *work, uint8_t space, qr_slice key); /* if there is one */
void qr__path_query(const qr_tree *tree, const qr_query *query, qr_arena *arena, qr_path_result *result);
const char *qr__records_broken(const qr_tree *tree);

/* Puts into the space of keys or of rights, in any branch; or a grant of a lease. */
bool qr__body_grows(const qr_body *body);

bool qr__path_valid(qr_slice key);
qr_slice qr__path_parent(qr_slice path); /* of a valid path other than "/" */
const qr_directory *qr__directory_find(const qr_tree *tree, qr_slice path); /* NULL if there is no record */
/* Keeps the records after the creation or deletion of a key in the space of keys. */
void qr__directory_note(qr__work *work, const qr__entry *entry);
/* What qr__version.levels is where nothing else is known. */
uint8_t qr__directory_levels(qr_slice key, const qr__version *version);
void qr__directory_put(qr_tree *tree, qr_slice path, const qr_directory *record); /* NULL removes it */

bool qr__history_free(qr_tree *tree, size_t budget); /* all entries but those of directories; true = more */
bool qr__history_work(qr_tree *tree, size_t budget);
bool qr__tidy(qr_tree *tree, size_t budget); /* true = more */
bool qr__history_pending(const qr_tree *tree);
bool qr__history_upkeep(qr_tree *tree, int64_t wall_ms, qr_buffer *body);
/* First number in history whose event comes at or behind that place. */
uint64_t qr__history_place(const qr_tree *tree, uint64_t revision, uint32_t sub);
static inline uint64_t qr__history_find(const qr_tree *tree, uint64_t revision)
{
    return qr__history_place(tree, revision, 0);
}

/* events.c */
qr_status qr__events(const qr_tree *tree, const qr_events_query *query, qr_events_result *result);

void qr__digest_change(qr_tree *tree, uint8_t space, qr_slice key, const qr__version *version);
void qr__digest_compact(qr_tree *tree);
void qr__digest_directory(qr_tree *tree, qr_slice path, const qr_directory *record);
qr_status qr__hash_versions(qr_tree *tree, uint64_t revision, qr_hash_result *result);

qr_status qr__save_begin(qr_tree *tree);
qr_status qr__save_next(qr_tree *tree, size_t budget, qr_buffer *out, bool *done);
uint64_t qr__save_sum(const qr_tree *tree);
void qr__save_end(qr_tree *tree);
void qr__save_directory(qr_tree *tree, qr__entry *entry); /* while a save runs, before a record changes */
qr_status qr__load_chunk(qr_tree *tree, qr_slice chunk, bool last);
bool qr__load_settle(qr_tree *tree, size_t budget);
void qr__load_end(qr_tree *tree);

const char *qr__broken(const qr_tree *tree);

#endif

/* tree: paths as ZooKeeper shows them, with their whole history, made of changes of keys alone. Written
 * beside doc/doors/one-tree.md, not beside the tree's own directory records. */
#ifndef QR_SIM_DOOR_TREE_H
#define QR_SIM_DOOR_TREE_H

#include "base/base.h"
#include "wire/jute.h"

enum { QR_SIMD_ROOT = 0, QR_SIMD_NOWHERE = UINT32_MAX };

enum { /* types of watch events */
       QR_SIMD_CREATED = 1,
       QR_SIMD_DELETED = 2,
       QR_SIMD_DATA = 3,
       QR_SIMD_CHILDREN = 4,
};

enum { /* what goes by itself, as bits; as the attribute of its key has it */
       QR_SIMD_CONTAINER = 2,
       QR_SIMD_TTL = 4,
};

typedef struct qr_simd_state { /* of a path, from a revision on */
    uint64_t revision;
    bool present, keyed;              /* keyed: it is a key, not only there for one below it */
    uint64_t created_at, changed_at;  /* czxid, mzxid */
    uint64_t children_at;             /* last change of the children; 0 = none */
    uint64_t version;                 /* states of the data before this one */
    uint64_t born, changes, children; /* children ever, their comings and goings, and now */
    int64_t owner;
    uint8_t kind;
    qr_slice data; /* of the arena */
} qr_simd_state;

typedef struct qr_simd_path {
    qr_slice name;
    uint32_t parent, child, sibling; /* QR_SIMD_NOWHERE: none */
    qr_simd_state *states;           /* oldest first; owned */
    size_t count, room;
} qr_simd_path;

typedef struct qr_simd_change { /* of a key */
    uint32_t path;
    bool deleted;
    bool leased;    /* it had an owner before the revision */
    uint8_t levels; /* directories above whose children it changed */
    uint8_t kind;
    int64_t owner;
    qr_slice data;
} qr_simd_change;

typedef struct qr_simd_event {
    int32_t type;
    uint32_t path;
} qr_simd_event;

typedef struct qr_simd_row { /* a revision in which paths changed */
    uint64_t revision;
    const qr_simd_change *changes; /* of the arena */
    size_t change_count;
    const qr_simd_event *events; /* that it means to ZooKeeper, in their order; of the arena */
    size_t event_count;
    bool explained; /* somebody was told that it is his, or a lease ended by it */
} qr_simd_row;

/* What is tried or done on the state of a revision: the paths that are touched, as they become. */
typedef struct qr_simd_view {
    struct qr_simd_tree *tree;
    uint64_t base, revision; /* right after base; what it does is of revision */
    struct qr_simd_touched {
        uint32_t path;
        qr_simd_state state;
    } * touched; /* owned */
    size_t touched_count, touched_room;
    qr_simd_change *changes; /* owned */
    size_t change_count, change_room;
} qr_simd_view;

typedef struct qr_simd_tree {
    qr_arena *arena; /* the world's */
    qr_simd_path *paths;
    uint32_t count, room;
    qr_simd_row *rows;
    size_t row_count, row_room;
    uint64_t revision; /* of the newest row, 0 = none */
} qr_simd_tree;

void qr_simd_tree_init(qr_simd_tree *tree, qr_arena *arena);
void qr_simd_tree_free(qr_simd_tree *tree);
uint32_t qr_simd_path_of(qr_simd_tree *tree, qr_slice name); /* a valid one; makes it, and those above */
const qr_simd_state *qr_simd_at(const qr_simd_tree *tree, uint32_t path, uint64_t revision);
const qr_simd_state *qr_simd_now(const qr_simd_tree *tree, uint32_t path);
void qr_simd_stat(uint32_t path, const qr_simd_state *state, qr_jute_stat *stat); /* but for the times */
qr_simd_row *qr_simd_row_of(const qr_simd_tree *tree, uint64_t revision);         /* NULL: none */
size_t qr_simd_row_after(const qr_simd_tree *tree, uint64_t revision); /* number of the first such row */

void qr_simd_view_begin(qr_simd_view *view, qr_simd_tree *tree, uint64_t base, uint64_t revision);
void qr_simd_view_free(qr_simd_view *view);
const qr_simd_state *qr_simd_seen(qr_simd_view *view, uint32_t path);
void qr_simd_put(qr_simd_view *view, uint32_t path, qr_slice data, int64_t owner, uint8_t kind);
void qr_simd_delete(qr_simd_view *view, uint32_t path);
/* It has happened: a row of the tree. */
qr_simd_row *qr_simd_view_learn(qr_simd_view *view);

#endif

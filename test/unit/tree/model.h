/* A model of the tree that is too simple to be wrong in the same way: a sorted array of keys, each with an
 * array of all versions it ever had, scanned from end to end. It never forgets anything; compaction only
 * moves a number. */
#ifndef TEST_TREE_MODEL_H
#define TEST_TREE_MODEL_H

#include "core/txn.h"

typedef struct model_version {
    uint64_t mod, create, version; /* version 0: deleted */
    uint32_t sub;
    int64_t lease, created_ms, modified_ms;
    uint64_t flags, acl, acl_version;
    bool detach;
    qr_slice value, attribute; /* owned by the model's arena */
} model_version;

typedef struct model_key {
    uint8_t space;
    qr_slice key;
    model_version *versions; /* oldest first */
    size_t count, room;
} model_key;

typedef struct model_directory {
    qr_slice path;
    qr_directory record;
} model_directory;

typedef struct model {
    qr_arena arena;
    model_key **keys; /* sorted by space and key */
    size_t count, room;
    model_directory *directories; /* unsorted */
    size_t directory_count, directory_room;
    uint64_t revision, compacted;
    uint64_t quota;
} model;

void model_init(model *model);
void model_free(model *model);
/* The result lives in the arena given. */
qr_status model_txn(model *model, const qr_txn *txn, int64_t stamp_ms, qr_arena *arena,
                    qr_txn_result *result);
qr_status model_compact(model *model, uint64_t revision);
/* A command about leases, at that index of the log. */
qr_status model_lease(model *model, const qr_body *body, uint64_t index, int64_t stamp_ms, qr_arena *arena);
qr_directory model_directory_of(const model *model, qr_slice path);
uint64_t model_live_bytes(const model *model);
uint64_t model_live_keys(const model *model);

#endif

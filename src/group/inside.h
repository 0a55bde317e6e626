/* Private to src/group: what a task is made of. task.c goes through the steps of a transaction, resolve.c
 * does away with a lock that is in the way, sweep.c looks for what was left behind, record.c writes names and
 * values, draft.c makes the commands. */
#ifndef QR_GROUP_INSIDE_H
#define QR_GROUP_INSIDE_H

#include "core/bugs.h"
#include "group/group.h"

/* A command in the making; lives in an arena. */
typedef struct qr_group_draft {
    qr_txn txn; /* first: it is what the call points to */
    qr_arena *arena;
    qr_condition *conditions;
    qr_op *then_ops, *else_ops;
} qr_group_draft;

enum { QR_GROUP_DRAFT_OPS_MAX = 2 * QR_GROUP_KEYS_MAX + 2 };

qr_group_draft *qr_group_draft_new(qr_arena *arena);
/* If the key's last change is of that revision; 0: if the key is not there. */
void qr_group_draft_if(qr_group_draft *draft, qr_slice key, uint64_t mod_revision);
void qr_group_draft_put(qr_group_draft *draft, qr_slice key, qr_slice value);
void qr_group_draft_delete(qr_group_draft *draft, qr_slice key);
void qr_group_draft_get(qr_group_draft *draft, qr_slice key);      /* if the conditions hold */
void qr_group_draft_get_else(qr_group_draft *draft, qr_slice key); /* if not */
/* Up to limit keys that begin so. */
void qr_group_draft_list(qr_group_draft *draft, qr_slice prefix, uint64_t limit);
/* The record's part is applied, if its locks are still there. */
void qr_group_draft_apply(qr_group_draft *draft, const qr_group_part *part);

/* What a get found; NULL: nothing, or there is no such operation. */
const qr_key_value *qr_group_found(const qr_txn_result *result, size_t op);

typedef enum qr_group_step {
    QR_GROUP_LOCK,
    QR_GROUP_HOLD, /* the owner is to decide */
    QR_GROUP_DECIDE,
    QR_GROUP_APPLY,
    QR_GROUP_FORGET,
    QR_GROUP_RELEASE,
    QR_GROUP_LOOK,
    QR_GROUP_LOOK_AGAIN,
    QR_GROUP_SWEEP_LOCKS,
    QR_GROUP_SWEEP_RECORDS,
    QR_GROUP_END,
} qr_group_step;

/* What a task does in between about a lock that it has met. */
typedef enum qr_group_errand {
    QR_GROUP_NO_ERRAND,
    QR_GROUP_ASK,   /* how its transaction stands */
    QR_GROUP_PUSH,  /* it is to end */
    QR_GROUP_CLEAR, /* it is known how it ended: .clear says what to do */
} qr_group_errand;

typedef struct qr_group_met {
    uint32_t group;
    uint64_t revision; /* of the lock; 0: none was met */
    uint64_t since_ms;
    qr_slice key;
    qr_group_lock lock;
    qr_arena arena; /* of key and lock, and of */
    qr_group_draft *clear;
} qr_group_met;

typedef struct qr_group_item {
    qr_group_key key;
    size_t given; /* which of the owner's keys it is */
    qr_slice value;
    uint64_t mod_revision;
} qr_group_item;

typedef struct qr_group_seen {
    uint64_t hash; /* of name and revision */
    uint64_t since_ms;
} qr_group_seen;

enum { QR_GROUP_SEEN_MAX = 128 }; /* of a list; what is behind has to wait until some of these are gone */

struct qr_group_task {
    qr_group_config config;
    qr_group_state state;
    qr_group_step step;
    bool asked; /* a call is under way */
    uint64_t limit_ms, wake_ms;
    qr_slice id;
    qr_group_item items[QR_GROUP_KEYS_MAX]; /* by group and key */
    size_t count;
    qr_group_record record; /* parts of the items, with the revisions of their locks; 0 = not locked */
    size_t part;            /* which one the step is about */
    bool has_asked_to_decide;
    uint64_t decided_ms; /* when first */
    qr_group_errand errand;
    qr_group_met met;
    /* sweeping */
    bool sweeps;
    uint32_t group;
    qr_group_seen seen[2][QR_GROUP_SEEN_MAX]; /* locks; records */
    size_t seen_count[2];
    qr_arena arena;   /* keys, id */
    qr_arena values;  /* what was read, or is to be written, or the record that is swept */
    qr_arena scratch; /* of the call under way */
};

/* task.c */
qr_group_task *qr_group_task_new(const qr_group_config *config, uint64_t now_ms, uint32_t limit_ms);
void qr_group_pause(qr_group_task *task, uint64_t now_ms); /* the step is tried again later */

/* resolve.c: a lock is in the way. push_at_once: it was watched long enough. */
void qr_group_resolve(qr_group_task *task, uint32_t group, qr_slice key, const qr_key_value *kv,
                      uint64_t now_ms, bool push_at_once);
void qr_group_errand_call(qr_group_task *task, qr_group_call *call);
void qr_group_errand_answer(qr_group_task *task, const qr_txn_result *result, uint64_t now_ms);

/* sweep.c */
void qr_group_sweep_call(qr_group_task *task, qr_group_call *call);
void qr_group_sweep_answer(qr_group_task *task, const qr_txn_result *result, uint64_t now_ms);

#endif

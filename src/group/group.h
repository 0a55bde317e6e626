/* group: transactions over keys of several groups, each of which is a replicated tree of its own. Pure:
 * requests out, answers in; no clock, disk, socket or node. Everything that counts stands in the trees, so a
 * host that dies in the middle of a transaction holds nobody up: whoever meets one of its locks finishes it
 * or ends it. doc/design/groups.md has the protocol and what it promises.
 *
 * A task is one transaction (or one host's broom, see qr_group_sweep). Its owner asks it for a call, hands
 * that to the node of that group on its host, and gives the answer back; at most one call is under way. A
 * call whose outcome is not known may be answered as failed and happen later: every step bears that.
 *
 * Keys of transactions are written by transactions alone. Names that begin with "~lock/" and "~txn/" belong
 * to this room, in every group. */
#ifndef QR_GROUP_GROUP_H
#define QR_GROUP_GROUP_H

#include "core/txn.h"

enum {
    QR_GROUP_KEYS_MAX = 64,            /* of one transaction */
    QR_GROUP_GROUPS_MAX = 16,          /* likewise */
    QR_GROUP_ID_MAX = 32,              /* bytes */
    QR_GROUP_RECORD_MAX = 1024 * 1024, /* bytes of all keys and new values together: they are one command */
};

typedef struct qr_group_config {
    uint32_t retry_ms;  /* pause before something is tried again */
    uint32_t push_ms;   /* how long one meets the same lock of an undecided transaction before ending it */
    uint32_t forget_ms; /* how long a sweeper sees the same record before it takes it away; more than twice
                           the longest time limit of an update, and the same on all hosts */
    uint32_t bug;       /* core/bugs.h */
} qr_group_config;

typedef struct qr_group_key {
    uint32_t group;
    qr_slice key;
} qr_group_key;

typedef enum qr_group_state {
    QR_GROUP_RUNNING,
    QR_GROUP_HOLDING,   /* all keys are locked: the owner looks at the values and calls commit or abort */
    QR_GROUP_COMMITTED, /* or, of a read: the values are there */
    QR_GROUP_ABORTED,   /* surely nothing has happened, nor will */
    QR_GROUP_UNKNOWN,   /* may have been committed, or will be */
} qr_group_state;

typedef struct qr_group_call {
    uint32_t group;
    bool writes;       /* a command for the tree; else a linearizable query */
    const qr_txn *txn; /* lives until the answer */
} qr_group_call;

typedef struct qr_group_task qr_group_task;

/* Locks all keys. id: never used before by anybody (copied). keys: 1 .. QR_GROUP_KEYS_MAX, different ones, in
 * any order (copied); of at most QR_GROUP_GROUPS_MAX groups. now_ms, limit_ms: a monotonic clock of the
 * owner's; after limit_ms it gives up. */
qr_group_task *qr_group_update(const qr_group_config *config, qr_slice id, const qr_group_key *keys,
                               size_t count, uint64_t now_ms, uint32_t limit_ms);
/* Reads all keys as they stood together at one moment since the call. */
qr_group_task *qr_group_read(const qr_group_config *config, const qr_group_key *keys, size_t count,
                             uint64_t now_ms, uint32_t limit_ms);
/* Looks for locks and records that were left behind in a group, for ever. One host at a time is enough; more
 * do no harm. */
qr_group_task *qr_group_sweep(const qr_group_config *config, uint32_t group);
/* Whenever. What is under way may still happen, but no more comes. */
void qr_group_free(qr_group_task *task);

/* When HOLDING: values[i] for keys[i] as they were given; NULL data: the key stays as it is. Copied.
 * false: more than QR_GROUP_RECORD_MAX, and it is aborted. */
bool qr_group_commit(qr_group_task *task, const qr_slice *values);
void qr_group_abort(qr_group_task *task);

/* The next call, if it is time for one. */
bool qr_group_next(qr_group_task *task, uint64_t now_ms, qr_group_call *call);
/* Of the last call. result: the tree's, when status is QR_OK; borrowed. Any other status: it may or may not
 * have happened. */
void qr_group_answer(qr_group_task *task, qr_status status, const qr_txn_result *result, uint64_t now_ms);
/* When to call next() again; UINT64_MAX: after the answer, after commit or abort, or never. */
uint64_t qr_group_wake_ms(const qr_group_task *task);

qr_group_state qr_group_state_of(const qr_group_task *task);
/* Nothing more will be asked: after the outcome is known there are locks to be released. */
bool qr_group_is_finished(const qr_group_task *task);
/* HOLDING, and a read that is COMMITTED: what keys[i] holds; the revision of its last change, 0 = never
 * written. */
qr_slice qr_group_value(const qr_group_task *task, size_t i, uint64_t *mod_revision);

/* ---- what stands in the trees; for checkers and tools ---- */

typedef struct qr_group_lock {
    qr_slice id, primary;
    uint32_t home;
    uint64_t primary_revision; /* 0: it is in the home group, and its own */
} qr_group_lock;

typedef struct qr_group_write {
    qr_slice key;
    bool changes;
    qr_slice value; /* if it does */
} qr_group_write;

typedef struct qr_group_part {
    uint32_t group;
    uint64_t lock_revision;
    const qr_group_write *writes;
    size_t count;
} qr_group_part;

typedef struct qr_group_record {
    qr_group_part
        parts[QR_GROUP_GROUPS_MAX]; /* by rising group; the first is the home, its first key the primary */
    size_t count;
} qr_group_record;

qr_slice qr_group_lock_name(qr_arena *arena, qr_slice key);
qr_slice qr_group_record_name(qr_arena *arena, qr_slice id);
/* What such a name is about: the key or the id; false: it is no such name. */
bool qr_group_is_lock(qr_slice name, qr_slice *key);
bool qr_group_is_record(qr_slice name, qr_slice *id);
qr_slice qr_group_lock_encode(qr_arena *arena, const qr_group_lock *lock);
bool qr_group_lock_decode(qr_slice bytes, qr_group_lock *lock); /* borrows */
qr_slice qr_group_record_encode(qr_arena *arena, const qr_group_record *record);
bool qr_group_record_decode(qr_slice bytes, qr_arena *arena, qr_group_record *record); /* borrows */

#endif

/* txn: the one language below the doors. Conditions, then one of two lists of operations over the keys of a
 * multi-version tree. Neutral words only: what a protocol calls these things is its door's business.
 *
 * A stored key is one space byte followed by the key's own bytes; requests name the two apart. Revisions are
 * counted by changes in QR_SPACE_KEYS only. All structs borrow their bytes. */
#ifndef QR_CORE_TXN_H
#define QR_CORE_TXN_H

#include "base/base.h"

enum {
    QR_SPACE_DIRECTORY = 0x02, /* directory records: kept by the tree itself, never written by requests */
    QR_SPACE_LEASES = 0x04,
    QR_SPACE_SESSIONS = 0x06, /* a record named by the id of a lease, 8 bytes, greatest first; ends with it */
    QR_SPACE_USERS = 0x08,
    QR_SPACE_CATALOGUE = 0x0a, /* what members say of themselves: names and addresses */
    QR_SPACE_ALARMS = 0x0c,    /* kept by their own commands, never read or written by transactions */
    /* Who may do what with a key: a record named by the key, written by transactions; ends with its key. */
    QR_SPACE_ACLS = 0x0e,
    QR_SPACE_KEYS = 0x10, /* clients' keys */
};

enum {
    QR_KEY_MAX = 1024 * 1024 * 3 / 2, /* bytes; a request bounds it too */
    QR_VALUE_MAX = 1024 * 1024 * 2,
    QR_TXN_DEPTH_MAX = 130,   /* nested transactions; a door's op limit is stricter */
    QR_TXN_OPS_MAX = 1 << 16, /* operations and conditions in one command, all levels together */
    QR_ACL_MAX = 16 * 1024,   /* bytes of a record of rights */
    QR_SESSION_MAX = 512,     /* bytes of a session's record */
    QR_ATTRIBUTE_MAX = 512,   /* bytes of the attribute string of a key */
    QR_PATH_MAX = 4096,       /* directory records are kept for paths up to this size */
    QR_PATH_LEVELS_MAX = 64,  /* and this depth */
    QR_LEASES_MAX = 1024,     /* leases in one command that ends them */
    QR_ALARMS_MAX = 1024,     /* alarms that can stand at a time */
};

#define QR_LEASE_TTL_MS_MAX (9000000000u * UINT64_C(1000)) /* the longest time to live */

typedef enum qr_span_kind {
    QR_SPAN_KEY,   /* exactly key */
    QR_SPAN_RANGE, /* key <= k < end; empty when end <= key */
    QR_SPAN_FROM,  /* key <= k, to the end of the space */
} qr_span_kind;

typedef struct qr_span {
    qr_span_kind kind;
    uint8_t space;
    qr_slice key;
    qr_slice end; /* QR_SPAN_RANGE only */
} qr_span;

typedef enum qr_target {
    QR_TARGET_VERSION, /* of a missing key: 0 */
    QR_TARGET_CREATE,  /* create revision; missing: 0 */
    QR_TARGET_MOD,     /* mod revision; missing: 0 */
    QR_TARGET_VALUE,   /* of a missing key: no comparison holds, not even "differs" */
    QR_TARGET_LEASE,   /* missing or unleased: 0 */
} qr_target;

typedef enum qr_relation { QR_IS_EQUAL, QR_IS_GREATER, QR_IS_LESS, QR_IS_NOT_EQUAL } qr_relation;

typedef struct qr_condition {
    qr_span span; /* every key of it must satisfy; an empty span counts as one missing key */
    qr_target target;
    qr_relation relation;
    int64_t number; /* all targets but VALUE */
    qr_slice value; /* VALUE: compared byte-wise */
} qr_condition;

enum {                             /* qr_put.options */
       QR_PUT_KEEP_VALUE = 1 << 0, /* the key must exist: KEY_NOT_FOUND; its value stays */
       QR_PUT_KEEP_LEASE = 1 << 1, /* likewise its lease */
       QR_PUT_WANT_PREVIOUS = 1 << 2,
       QR_PUT_NUMBERED =
           1 << 3, /* the key gets ten digits appended: the children ever created in its directory */
       QR_PUT_SET_FLAGS = 1 << 4, /* flags, acl and attribute stay as they are unless set */
       QR_PUT_SET_ACL = 1 << 5,
       QR_PUT_SET_ATTRIBUTE = 1 << 6,
       QR_PUT_EXPECT_VERSION = 1 << 7,   /* else VERSION_MISMATCH; 0 = must not exist */
       QR_PUT_DETACH_ON_EXPIRY = 1 << 8, /* the end of the lease detaches the key instead of deleting it */
       QR_PUT_EXPECT_ABSENT = 1 << 9,    /* else EXISTS: neither the key nor one below it is there */
       QR_PUT_SAME_KEY = 1 << 10, /* of the put right before it: a record of rights for a numbered key. `key`
                                     says nothing. INVALID: there is none */
};

typedef struct qr_put {
    uint8_t space;
    uint32_t options;
    qr_slice key;
    qr_slice value;
    int64_t lease; /* 0 = none: a plain put detaches the key */
    uint64_t expected_version;
    uint64_t flags;
    uint64_t acl; /* interned */
    qr_slice attribute;
} qr_put;

typedef struct qr_delete {
    qr_span span;
    bool want_previous;
} qr_delete;

/* Is judged where it stands among the operations, and sees what those before it did. The first test that does
 * not hold undoes the whole command and gives its status. In the space of keys a key is taken as a path,
 * which is there while its key lives or one below it does ("/" always is). */
enum {                              /* qr_check.tests */
       QR_CHECK_PRESENT = 1 << 0,   /* it is there: KEY_NOT_FOUND */
       QR_CHECK_ABSENT = 1 << 1,    /* it is not: EXISTS */
       QR_CHECK_UNLEASED = 1 << 2,  /* its key, if it has one, has no lease: HAS_LEASE */
       QR_CHECK_CHILDLESS = 1 << 3, /* nothing is below it: HAS_CHILDREN */
       /* `states` as given: VERSION_MISMATCH. In the space of keys how many states its data had before the
        * present one (qr_directory.versions + version - 1, or versions without a key); else the version, 0 =
        * no record. */
       QR_CHECK_STATES = 1 << 4,
};

typedef struct qr_check {
    uint8_t space; /* KEYS, ACLS or SESSIONS */
    uint32_t tests;
    qr_slice key;
    uint64_t states;
} qr_check;

typedef enum qr_order { QR_ORDER_NONE, QR_ORDER_UP, QR_ORDER_DOWN } qr_order;
typedef enum qr_sort { QR_SORT_KEY, QR_SORT_VERSION, QR_SORT_CREATE, QR_SORT_MOD, QR_SORT_VALUE } qr_sort;

typedef struct qr_range {
    qr_span span;
    uint64_t revision; /* 0 = as the txn sees it; else the state right after that revision (COMPACTED,
                          FUTURE_REVISION) */
    uint64_t limit;    /* 0 = none */
    /* NONE keeps key order, unless sort is not KEY: then it is UP *after* the limit was applied in key order.
     * UP and DOWN sort everything before the limit. Ties keep key order. */
    qr_order order;
    qr_sort sort;
    bool keys_only, count_only;
    uint64_t mod_revision_min, mod_revision_max; /* 0 = no bound; inclusive; filters do not change `count` */
    uint64_t create_revision_min, create_revision_max;
} qr_range;

typedef struct qr_txn qr_txn;

typedef enum qr_op_kind { QR_OP_RANGE = 1, QR_OP_PUT, QR_OP_DELETE, QR_OP_TXN, QR_OP_CHECK } qr_op_kind;

typedef struct qr_op {
    qr_op_kind kind;
    union {
        qr_range range;
        qr_put put;
        qr_delete del;
        const qr_txn *txn;
        qr_check check;
    };
} qr_op;

/* All conditions of the txn, nested ones included, are judged on the state before it; then the chosen
 * operations run in order and see each other. A status other than QR_OK means that nothing at all happened.
 */
struct qr_txn {
    const qr_condition *conditions;
    size_t condition_count;
    const qr_op *then_ops;
    size_t then_count;
    const qr_op *else_ops;
    size_t else_count;
};

bool qr_txn_writes(const qr_txn *txn); /* any put, delete or check in any branch, or a nested txn */

/* ------------------------------------------------------- command bodies ----
 * What the tree is given as qr_command.body. */

typedef enum qr_body_kind {
    QR_BODY_TXN = 1,
    QR_BODY_COMPACT = 2, /* revision: forget what is not visible at it or after */
    /* Leases (doc/design/leases.md). A lease has an id other than 0, and a generation: the log index of its
     * grant, so that a later lease of the same id is another one. */
    QR_BODY_LEASE_GRANT = 3,  /* lease, ttl_ms: LEASE_EXISTS, QUOTA */
    QR_BODY_LEASE_REVOKE = 4, /* lease, with its keys: LEASE_NOT_FOUND */
    /* ended, with their keys, by the leader of the term `epoch` whose time for them is over. Of those names
     * that are still leases, and nothing at all unless that is the epoch in force. */
    QR_BODY_LEASE_EXPIRE = 5,
    QR_BODY_LEASE_EPOCH = 6, /* epoch: in force from now on, unless a later one is */
    QR_BODY_ALARM = 7,       /* alarm_act, alarm (doc/design/alarms.md): BUSY, there are QR_ALARMS_MAX */
} qr_body_kind;

/* An alarm is a member and a kind. Those of which the tree knows what they mean, while they stand raised: */
enum {
    QR_ALARM_NO_SPACE = 1, /* what makes the store grow is refused with QUOTA */
    QR_ALARM_CORRUPT = 2,  /* what a client writes is refused with CORRUPT */
};

typedef struct qr_alarm {
    uint64_t member; /* 0 too, and ids that no member has */
    uint32_t kind;   /* others than those above only stand there */
    bool noted;      /* it was not raised: it is there to be seen, and nothing is refused */
} qr_alarm;

typedef enum qr_alarm_act {
    QR_ALARM_RAISE = 1, /* also one that is noted */
    QR_ALARM_NOTE = 2,  /* unless it stands */
    QR_ALARM_CLEAR = 3, /* if it stands */
} qr_alarm_act;

typedef struct qr_lease_name {
    int64_t id;
    uint64_t generation;
} qr_lease_name;

typedef struct qr_body {
    qr_body_kind kind;
    qr_txn txn;
    uint64_t revision;
    int64_t lease;
    uint64_t ttl_ms;  /* 1 .. QR_LEASE_TTL_MS_MAX */
    qr_slice session; /* LEASE_GRANT: the record of that name in QR_SPACE_SESSIONS; empty = none */
    uint64_t epoch;
    qr_alarm_act alarm_act;
    qr_alarm alarm;             /* member, kind */
    const qr_lease_name *ended; /* 1 .. QR_LEASES_MAX, by rising id as unsigned numbers */
    size_t ended_count;
} qr_body;

void qr_body_encode(const qr_body *body, qr_buffer *out);
void qr_body_encode_txn(const qr_txn *txn, qr_buffer *out);
void qr_body_encode_compact(uint64_t revision, qr_buffer *out);
/* By its kind; the rest may still be malformed. */
bool qr_body_is_of_leases(qr_slice bytes);
bool qr_body_is_of_alarms(qr_slice bytes);
uint16_t qr_body_level(qr_slice bytes); /* the feature level that it needs (core/command.h) */
/* The first key among QR_SPACE_KEYS that a transaction asks for or writes, read out of its bytes alone;
 * empty: none there, or malformed. For whoever wants to have it at hand: what is behind it is not looked at.
 */
qr_slice qr_body_first_key(qr_slice bytes);
/* Depth, counts and sizes are scanned before anything recursive runs. Borrows bytes; structs come from the
 * arena. INVALID, BAD_VERSION, TOO_DEEP, TOO_LARGE. */
qr_status qr_body_decode(qr_slice bytes, qr_arena *arena, qr_body *body);

/* -------------------------------------------------------------- results ---- */

typedef struct qr_key_value {
    qr_slice key;   /* without the space byte */
    qr_slice value; /* empty when keys_only */
    uint64_t create_revision, mod_revision, version;
    int64_t lease;
    int64_t created_ms, modified_ms; /* wall clock of the proposers; never goes back for a key */
    uint64_t flags, acl, acl_version;
    qr_slice attribute;
} qr_key_value;

typedef struct qr_txn_result qr_txn_result;

typedef struct qr_op_result {
    qr_op_kind kind;
    uint64_t revision; /* of the store right after this operation */
    /* RANGE: the kvs found; PUT, DELETE: the previous ones, if wanted and there */
    const qr_key_value *kvs;
    size_t kv_count;
    uint64_t count; /* RANGE: keys in the span, before limit and filters; DELETE: keys deleted */
    bool more;      /* RANGE: the limit cut some */
    qr_slice key;   /* PUT: the key written (a numbered one differs from the one asked for) */
    const qr_txn_result *txn;
} qr_op_result;

struct qr_txn_result {
    uint64_t revision; /* of the store after the txn (or at the time of the query) */
    bool succeeded;    /* the conditions held */
    const qr_op_result *ops;
    size_t op_count;
    /* Of a command that failed in one of its own operations (not in a nested txn's): which one. The only
     * field that is filled in then. SIZE_MAX: it was none of them. */
    size_t failed_op;
};

/* Of a QR_BODY_ALARM. */
typedef struct qr_alarm_result {
    uint64_t revision;
    bool stood; /* before */
} qr_alarm_result;

/* -------------------------------------------------------------- queries ---- */

typedef enum qr_query_kind {
    QR_QUERY_TXN,       /* a txn for which !qr_txn_writes(); result: qr_txn_result */
    QR_QUERY_HASH,      /* result: qr_hash_result */
    QR_QUERY_STATUS,    /* result: qr_tree_status */
    QR_QUERY_DIRECTORY, /* result: qr_directory, of span.key as a path */
    QR_QUERY_LEASE,     /* result: qr_leases_result, of one lease or none */
    QR_QUERY_LEASES,    /* result: qr_leases_result, of all */
    QR_QUERY_PATH,      /* result: qr_path_result */
    QR_QUERY_SCAN,      /* result: qr_scan_result */
} qr_query_kind;

/* A piece of a range in the space of keys, in their order: begins at the start of the span. */
typedef struct qr_scan {
    qr_span span;
    uint64_t revision;  /* the state right after it (FUTURE_REVISION; COMPACTED unless it is held) */
    uint64_t keys_max;  /* and as many steps over keys that are not there then */
    uint64_t bytes_max; /* of keys and values, passed by one key at most */
    bool keys_only;
    bool is_held; /* nothing that the revision needs was freed, whatever was compacted meanwhile */
} qr_scan;

typedef struct qr_query {
    qr_query_kind kind;
    qr_txn txn;
    uint64_t revision;                    /* HASH: of all versions up to it; 0 = the newest */
    qr_slice path;                        /* DIRECTORY, PATH */
    bool want_children, want_descendants; /* PATH */
    int64_t lease;                        /* LEASE */
    bool want_keys;                       /* LEASE */
    qr_scan scan;
} qr_query;

typedef struct qr_lease_record {
    int64_t id;
    uint64_t generation;
    uint64_t ttl_ms;
    int64_t granted_ms; /* wall clock of the proposer */
} qr_lease_record;

typedef struct qr_leases_result {
    uint64_t revision;
    const qr_lease_record *leases; /* by rising id, as unsigned numbers */
    size_t count;
    const qr_slice *keys; /* clients' keys attached to the one that was asked for, in their order */
    size_t key_count;
} qr_leases_result;

typedef struct qr_scan_result {
    const qr_key_value *kvs;
    size_t kv_count;
    bool is_end;   /* of the span; else it goes on with */
    qr_slice next; /* this key */
} qr_scan_result;

typedef struct qr_hash_result {
    uint32_t hash; /* over all versions in (compacted, revision] and those visible at compacted; equal on all
                      members */
    uint64_t revision, compacted, hash_revision;
} qr_hash_result;

typedef struct qr_tree_status {
    uint64_t revision, compacted;
    uint64_t keys;             /* live, in QR_SPACE_KEYS */
    uint64_t live_bytes;       /* keys and values of the newest versions */
    uint64_t history_bytes;    /* of older versions and tombstones still kept */
    uint64_t memory_bytes;     /* about what the tree holds of the machine's memory */
    uint64_t pages_bytes;      /* of the pages that records and events lie in, and those kept for more */
    uint64_t pages_used_bytes; /* what of these is in use */
    const qr_alarm *alarms;    /* that stand, by kind and member */
    size_t alarm_count;
} qr_tree_status;

/* The directory record of a path: kept by every door's writes (doc/doors/one-tree.md). A directory can be
 * seen while its own key lives or a child of it can be seen, so it need not have a key. Zeros if there is no
 * record. */
typedef struct qr_directory {
    uint64_t created;       /* children that ever appeared under it */
    uint64_t changes;       /* appearances and disappearances of children */
    uint64_t children;      /* that can be seen now */
    uint64_t last_revision; /* of the last appearance or disappearance of a child */
    /* Of the directory itself, what its key does not tell. */
    uint64_t first_revision; /* since when it can be seen without a break; 0 for "/", which always can be */
    uint64_t bare_revision;  /* since when it has no key of its own; 0 = it has one, and for "/" before any */
    uint64_t versions; /* states of its own data before the present one or before the present key's first */
    int64_t first_ms, bare_ms; /* the times of these revisions, by the proposers' clocks */
} qr_directory;

/* All there is about a path. */
typedef struct qr_path_result {
    uint64_t revision;       /* of the store */
    bool present;            /* by its key, or by one below it ("/" always is) */
    const qr_key_value *kv;  /* its own key; NULL if it has none */
    bool has_directory;      /* there is a record of it */
    qr_directory directory;  /* zeros if not */
    const qr_key_value *acl; /* its record in QR_SPACE_ACLS; NULL if it has none */
    /* want_children: the last components of the names of those right below it, in order of their bytes, each
     * once. Only children that are valid paths. directory.children of them. */
    const qr_slice *children;
    size_t child_count;
    uint64_t descendants; /* want_descendants: paths that are there below it, at any depth */
} qr_path_result;

#endif

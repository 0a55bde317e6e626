/* request: one operation of a client, from its packet's body to its reply's. Knows no connection, no
 * session's life and no queue: who asks is told to it, and what is to be watched it says.
 *
 *   begin --refused, or answered from what is applied here--------------> DONE
 *     \
 *      +--> WRITE: `command` is to be submitted as it is --applied()--> DONE, or WRITE again
 *
 * A write that was judged by rights or figures that had changed when it was applied is judged anew, hence
 * WRITE again. Everything is of the request's arena, which the caller resets when the reply is sent. */
#ifndef QR_DOOR_ZOOKEEPER_REQUEST_H
#define QR_DOOR_ZOOKEEPER_REQUEST_H

#include "core/bugs.h"
#include "door/zookeeper/quota.h"
#include "node/node.h"
#include "wire/jute.h"

enum { /* ReplyHeader.err */
       QR_ZOOKEEPER_OK = 0,
       QR_ZOOKEEPER_SYSTEM = -1,
       QR_ZOOKEEPER_RUNTIME_INCONSISTENCY = -2,
       QR_ZOOKEEPER_CONNECTION_LOSS = -4, /* never sent: the connection is closed instead */
       QR_ZOOKEEPER_MARSHALLING = -5,
       QR_ZOOKEEPER_UNIMPLEMENTED = -6,
       QR_ZOOKEEPER_OPERATION_TIMEOUT = -7,
       QR_ZOOKEEPER_BAD_ARGUMENTS = -8,
       QR_ZOOKEEPER_NEW_CONFIG_NO_QUORUM = -13,
       QR_ZOOKEEPER_RECONFIG_IN_PROGRESS = -14,
       QR_ZOOKEEPER_NO_NODE = -101,
       QR_ZOOKEEPER_NO_AUTH = -102,
       QR_ZOOKEEPER_BAD_VERSION = -103,
       QR_ZOOKEEPER_NO_CHILDREN_FOR_EPHEMERALS = -108,
       QR_ZOOKEEPER_NODE_EXISTS = -110,
       QR_ZOOKEEPER_NOT_EMPTY = -111,
       QR_ZOOKEEPER_SESSION_EXPIRED = -112,
       QR_ZOOKEEPER_INVALID_ACL = -114,
       QR_ZOOKEEPER_AUTH_FAILED = -115,
       QR_ZOOKEEPER_SESSION_MOVED = -118,
       QR_ZOOKEEPER_NOT_READ_ONLY = -119,
       QR_ZOOKEEPER_NO_WATCHER = -121,
       QR_ZOOKEEPER_RECONFIG_DISABLED = -123,
       QR_ZOOKEEPER_QUOTA_EXCEEDED = -125,
       QR_ZOOKEEPER_THROTTLED = -127,
};

typedef struct qr_zookeeper_id { /* as an ACL names it: "digest", "user:hash"; "ip", "127.0.0.1" */
    qr_slice scheme, id;
} qr_zookeeper_id;

typedef struct qr_zookeeper_asker {
    int64_t session;
    /* Version of its record, since it was attached to this connection or a write of it was stale: a check of
     * every write. */
    uint64_t session_states;
    qr_slice session_record;    /* empty: a stale write leaves the record alone */
    const qr_zookeeper_id *ids; /* authenticated; ip first */
    size_t id_count;
    bool is_super;
} qr_zookeeper_asker;

typedef enum qr_zookeeper_watch_kind { /* what a successful read leaves behind */
                                       QR_ZOOKEEPER_WATCH_NONE,
                                       QR_ZOOKEEPER_WATCH_DATA,
                                       QR_ZOOKEEPER_WATCH_EXIST,
                                       QR_ZOOKEEPER_WATCH_CHILD,
                                       QR_ZOOKEEPER_WATCH_PERSISTENT, /* addWatch is the connection's; here
                                                                         for its table */
                                       QR_ZOOKEEPER_WATCH_RECURSIVE,
} qr_zookeeper_watch_kind;

typedef enum qr_zookeeper_step { QR_ZOOKEEPER_DONE, QR_ZOOKEEPER_WRITE } qr_zookeeper_step;

typedef struct qr_zookeeper_request {
    /* set by the caller */
    qr_arena *arena;
    int32_t type;
    qr_slice body; /* of the packet, behind its header; lives as long as the arena */
    const qr_zookeeper_asker *asker;
    qr_slice root;  /* of the door: what clients call "/"; empty: the tree's own */
    bool ttl_nodes; /* extendedTypesEnabled: nodes with a time to live may be made */
    qr_zookeeper_quotas *quotas;
    uint32_t bug; /* core/bugs.h */
    /* WRITE */
    qr_slice command; /* an encoded qr_body */
    /* DONE */
    int32_t err; /* CONNECTION_LOSS: not to be sent, but the connection closed: what happened is not known */
    qr_slice reply;                /* the body behind the header; empty with an error */
    uint64_t revision;             /* of the state that the reply is of: the header's zxid */
    qr_zookeeper_watch_kind watch; /* to be registered, before the reply is sent, on */
    qr_slice watch_path;
    bool closes; /* the connection is to be closed behind the reply: an unknown operation */
    /* request.c's own, between begin and applied */
    void *plan;
} qr_zookeeper_request;

/* Is it one of those here (all but sessions, ping, auth, sasl, watches by themselves, changes of members and
 * sync)? Unknown types are: they are answered with UNIMPLEMENTED. */
bool qr_zookeeper_request_takes(int32_t type);
/* Would it be a write? Reads wait for the writes before them, writes go on one after another. */
bool qr_zookeeper_request_writes(int32_t type);
qr_zookeeper_step qr_zookeeper_request_begin(qr_node *node, qr_zookeeper_request *request);
/* A write that was judged by what had changed when it was applied has done nothing but write the session's
 * record once more. So all writes of the session that were sent behind it fail, and follow it in their order.
 * Before applied() the caller counts: asker->session_states, and who has to come again. */
bool qr_zookeeper_request_stale(const qr_zookeeper_request *request, const qr_reply *reply);
bool qr_zookeeper_request_overtaken(const qr_zookeeper_request *request); /* sent before that */
qr_zookeeper_step qr_zookeeper_request_applied(qr_node *node, qr_zookeeper_request *request,
                                               const qr_reply *reply);

/* What else is asked of the tree in the words of this door. */
void qr_zookeeper_stat(const qr_path_result *path, bool root, qr_jute_stat *stat);
/* "user:password" as an ACL names it: "user:" and the digest in base64. No colon: QR_E_INVALID. */
qr_status qr_zookeeper_digest(qr_slice auth, qr_arena *arena, qr_slice *id);
/* May they, with these rights on a node with that ACL record (NULL: open)? */
bool qr_zookeeper_allows(const qr_key_value *acl, const qr_zookeeper_asker *asker, uint32_t permission);

#endif

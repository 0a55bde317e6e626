/* door: what the files of the door share. A connection has at most one session, whose requests stand in one
 * line: writes go to the node one after another without waiting for their answers, a read waits for all
 * before it, and answers leave in the order of their requests. Before any answer is built, the events of what
 * the member has applied by then are queued (notify.c). */
#ifndef QR_DOOR_ZOOKEEPER_DOOR_H
#define QR_DOOR_ZOOKEEPER_DOOR_H

#include "door/zookeeper/request.h"
#include "door/zookeeper/watches.h"
#include "door/zookeeper/zookeeper.h"

enum {
    QR__ZK_QUEUED_MAX = 4096,                   /* requests of a connection that wait; more: it is closed */
    QR__ZK_QUEUED_BYTES_MAX = 16 * 1024 * 1024, /* of their bodies */
    QR__ZK_UNSENT_MAX = 4 * 1024 * 1024,        /* bytes; with more, reads wait */
    QR__ZK_RETRY_MS = 10,                       /* until a node that was too busy is asked again */
    QR__ZK_PASSWORD = 16,                       /* bytes */
    QR__ZK_IDS_MAX = 64,                        /* authenticated ids of a connection */
    QR__ZK_LEVEL = 4,                           /* the feature level this door needs */
    QR__ZK_BEGIN_SESSION = -10,                 /* as a type of request, in what is told of a connection */
    QR__ZK_TRACE_MASK = 0x132,                  /* the usual one */
};

typedef struct qr__zk_connection qr__zk_connection;

typedef struct qr__zk_latency { /* of answers, since they were asked for */
    uint64_t min_ms, max_ms, sum_ms, last_ms, count;
} qr__zk_latency;

typedef struct qr__zk_call { /* a request in its line */
    struct qr__zk_call *next;
    qr__zk_connection *connection;
    qr_arena arena;
    qr_zookeeper_request request;
    qr_query barrier;
    int32_t xid;
    uint64_t arrived_ms;
    bool begun, passed_barrier, done;
    struct qr__zk_change *reconfig; /* reconfig.c's own */
} qr__zk_call;

typedef enum qr__zk_state {
    QR__ZK_GREETING,  /* a ConnectRequest or a word is to come */
    QR__ZK_ATTACHING, /* the session is being made or taken over */
    QR__ZK_ATTACHED,
    QR__ZK_MASKING, /* stmk was sent, and its number is to come */
    QR__ZK_ENDING,  /* what is queued for the client is sent, nothing more happens */
} qr__zk_state;

struct qr__zk_connection {
    qr_zookeeper_door *door;
    qr__zk_connection *previous, *next; /* of the door */
    qr_stream_waker waker;
    qr_jute_splitter splitter;
    qr_buffer out;
    qr_arena arena; /* of the ids and the peer's name */
    const char *peer;
    qr__zk_state state;
    bool closed;    /* by the stream's owner; kept for the requests under way */
    size_t flights; /* requests of the node's that name this connection or a call of it */
    uint64_t now_ms, deadline_ms, retry_ms;
    /* the session */
    int64_t session;
    uint8_t password[QR__ZK_PASSWORD];
    uint32_t timeout_ms;
    bool read_only; /* there is no quorum: it reads, and its session is not renewed */
    bool is_local;  /* the session is nobody's but this connection's */
    bool has_tail;  /* the client sent, and gets, the byte of read-only */
    bool renewing;
    uint64_t renewal_ms, renewed_ms; /* when the last renewal was asked for, and the last that succeeded */
    qr_query query;
    qr_op query_op;
    qr_buffer record, key;
    qr_zookeeper_asker asker;
    qr_zookeeper_id ids[QR__ZK_IDS_MAX];
    /* the line */
    qr__zk_call *first, **last, *waiting; /* waiting: the first that is not begun */
    size_t queued, queued_bytes, reads_flying, writes_flying;
    int64_t zxid;    /* the greatest that an answer had */
    size_t recalled; /* of the writes: they were sent behind a stale one, fail, and follow it */
    bool pumping;
    qr__zk_watcher watcher;
    /* What the words and the AdminServer tell of it. */
    int64_t opened_ms; /* wall clock */
    uint64_t received, sent, answered_ms;
    int32_t last_type, last_xid; /* of the last answer; type 0: none */
    int64_t last_zxid;
    qr__zk_latency latency;
};

struct qr_zookeeper_door {
    qr_zookeeper_config config;
    qr_buffer super_digest, root;
    qr__zk_connection *connections;
    size_t connection_count;
    qr_prng prng;
    qr__zk_watches watches;
    qr_watcher *bell;
    size_t admin_connections;
    qr_buffer reap_from; /* where the walk goes on (reap.c); empty: at the beginning, at reap_ms */
    uint64_t reap_ms;
    qr_zookeeper_quotas *quotas;
    uint64_t config_version;    /* of /zookeeper/config, when its watchers were told last */
    bool config_writing;        /* a write of ours is under way */
    qr__zk_call *reconfiguring; /* the change of members under way, one at a time */
    uint64_t leaderless_ms;     /* since when there is no leader; UINT64_MAX: there is one */
    bool read_only;
    bool bell_rang; /* and was not listened to: nobody watched */
    uint64_t seen;  /* events of revisions up to this one are queued */
    bool catching_up;
    uint64_t outstanding, now_ms, began_ms;
    int64_t trace_mask; /* as clients set it; nothing is traced by it */
    struct qr__zk_counts {
        uint64_t received, sent; /* packets */
        uint64_t received_bytes, sent_bytes;
        uint64_t connects, rejected;
        uint64_t answer_last, answer_min, answer_max; /* bytes */
        qr__zk_latency all, reads, updates;
    } counts; /* since the start, or the last srst */
};

/* stream.c */
extern const qr_stream_ops qr__zk_stream_ops;
void qr__zk_wake(qr__zk_connection *connection);
void qr__zk_end(qr__zk_connection *connection);    /* once what is queued is sent */
void qr__zk_landed(qr__zk_connection *connection); /* a flight has ended; may free the connection */

/* session.c */
void qr__zk_session_begin(qr__zk_connection *connection, qr_slice packet);
void qr__zk_session_renew(qr__zk_connection *connection);
void qr__zk_session_draw(qr__zk_connection *connection);                     /* an id and a password */
bool qr__zk_session_matches(qr__zk_connection *connection, qr_slice record); /* takes its time-out */
void qr__zk_session_attach(qr__zk_connection *connection);
void qr__zk_session_refuse(qr__zk_connection *connection);
qr_status qr__zk_session_close(qr__zk_call *call); /* submits; done as a write */

/* readonly.c */
bool qr__zk_read_only(qr_zookeeper_door *door, uint64_t now_ms); /* as it is now; a change closes all */
void qr__zk_read_only_begin(qr__zk_connection *connection, const qr_jute_connect_request *request);
bool qr__zk_read_only_refuses(qr__zk_call *call); /* then it is done */

/* line.c */
qr_status qr__zk_line_add(qr__zk_connection *connection, qr_slice packet);
void qr__zk_line_pump(qr__zk_connection *connection);
void qr__zk_line_free(qr__zk_connection *connection);
void qr__zk_count_answer(qr__zk_connection *connection, size_t size);       /* of a packet, less its length */
void qr__zk_line_finish(qr__zk_call *call, int32_t err, uint64_t revision); /* of a call without a body */
qr_status qr__zk_line_submit(qr__zk_call *call, qr_request_kind kind,
                             void (*done)(void *owner, const qr_reply *reply));

/* own.c: what a connection answers by itself: ping, auth, watches. */
void qr__zk_own(qr__zk_call *call);

/* notify.c */
void qr__zk_catch_up(qr_zookeeper_door *door);
void qr__zk_bell_start(qr_zookeeper_door *door);
uint64_t qr__zk_revision(const qr_zookeeper_door *door);
void qr__zk_event(qr__zk_connection *connection, int32_t type, qr_slice path);
/* Compares a path with the present state as a client that saw `seen` knows it; sends what it missed. The
 * kinds that are to stay registered. */
uint32_t qr__zk_judge(qr__zk_connection *connection, qr_slice path, uint32_t kinds, uint64_t seen);

void qr__zk_config_changed(qr_zookeeper_door *door); /* tells who watches it */

/* config.c */
void qr__zk_config_keep(qr_zookeeper_door *door);   /* a look at what it should be */
void qr__zk_config_notice(qr_zookeeper_door *door); /* a look at whether it has changed */

/* reconfig.c: submits the first step; done as a write. */
qr_status qr__zk_reconfig(qr__zk_call *call);
void qr__zk_reconfig_retry(qr_zookeeper_door *door); /* once a second */
void qr__zk_reconfig_stop(qr_zookeeper_door *door);  /* of a door that ends, behind its node */

/* reap.c */
void qr__zk_reap(qr_zookeeper_door *door, uint64_t now_ms);

/* words.c. `rest`: what came behind the letters; taken from. */
void qr__zk_answer_word(qr__zk_connection *connection, qr_slice letters, qr_slice *rest);
void qr__zk_take_mask(qr__zk_connection *connection, qr_slice *bytes);

#endif

/* A call: one request on its way from a stream through the node and back. Everything here knows gRPC's codes
 * but no gRPC: bytes of a request message come in, bytes of an answer or a code with a text go out through a
 * transport, which is the gRPC stream, the JSON gateway, a page of HTTP/1.1, or a unit test.
 *
 *   new --message--> started --(submitted)--> waiting for the node --done--> answered
 *                        \--(refused by a check)--------------------------> answered
 *
 * A read may have to wait in the line of its connection before the node, or behind it and then go to the node
 * again (line.h).
 *
 * A method with stream operations goes on after its first message: it gets every further one, may send any
 * number of answers and ends when it, the client or the connection says so. It keeps what it needs in .work.
 *
 * A request outlives its stream: a call has one reference of its stream until qr_etcd_call_closed(), and one
 * of the node while the node has its request. The last one gone returns it to the door's small pool. */
#ifndef QR_DOOR_ETCD_CALL_H
#define QR_DOOR_ETCD_CALL_H

#include "core/txn.h"
#include "door/etcd/error.h"
#include "door/etcd/etcd.h"
#include "door/etcd/line.h"
#include "door/etcd/message.h"
#include "rpc.pb-c.h"

enum {
    QR_ETCD_HEALTH_MS = 1000,            /* patience of a page with its read */
    QR_ETCD_SPARE_CALLS_MAX = 1024,      /* calls kept for reuse */
    QR_ETCD_SPARE_BYTES_MAX = 64 * 1024, /* of the arena of a call that is kept */
    QR_ETCD_BODY_ROOM_MAX = 256 * 1024,  /* of the door's body buffer between requests */
    QR_ETCD_REQUEST_OVERHEAD = 18,       /* bytes etcd counts around a write's message; measured on 3.4.23 */
    QR_ETCD_REQUEST_DEFAULT = 1536 * 1024, /* --max-request-bytes */
    QR_ETCD_MESSAGE_ROOM = 512 * 1024,     /* a gRPC message may be this much larger than a request */
    QR_ETCD_TXN_OPS_DEFAULT = 128,         /* --max-txn-ops */
    QR_ETCD_CONNECTIONS_DEFAULT = 10000,
    QR_ETCD_WATCH_PROGRESS_MS = 600000,      /* --experimental-watch-progress-notify-interval */
    QR_ETCD_ANSWER_MAX = 1024 * 1024 * 1024, /* bytes of one answer */
};

typedef struct qr_etcd_connection qr_etcd_connection;

typedef struct qr_etcd_transport {
    qr_buffer *(*begin)(
        qr_etcd_call *call); /* a buffer to append an answer to; one, unless queued is there */
    void (*end)(qr_etcd_call *call);
    size_t (*queued)(
        qr_etcd_call *call); /* bytes of answers not drained; NULL: cannot carry a stream of them */
    void (*finish)(qr_etcd_call *call, qr_grpc_code code, const char *text); /* the last thing said on it */
    /* An answer in parts: first its size, then parts that add up to it. NULL: cannot carry one. */
    void (*sized)(qr_etcd_call *call, uint32_t size);
    qr_buffer *(*part_begin)(qr_etcd_call *call);
    void (*part_end)(qr_etcd_call *call);
} qr_etcd_transport;

/* What a call that goes on is told besides its first message. */
typedef struct qr_etcd_streaming {
    bool once; /* one message, one answer: it goes on only because that may take its time */
    void (*message)(qr_etcd_call *call, qr_slice message); /* each further one; NULL: they are ignored */
    void (*half_closed)(qr_etcd_call *call);               /* the client says no more; NULL: it goes on */
    /* It waits for room (qr_etcd_call_await_room()) and something was drained: queued() has become less. To
     * be told again it waits again. */
    void (*room)(qr_etcd_call *call);
    void (*tick)(qr_etcd_call *call, uint64_t now_ms); /* its wake_ms has come; NULL: it never asks */
    /* Nobody listens any more, or the call has finished: forget .work. Called exactly once if it was started.
     */
    void (*closed)(qr_etcd_call *call);
} qr_etcd_streaming;

typedef struct qr_etcd_method {
    const char *name;
    void (*start)(qr_etcd_call *call, qr_slice message);
    const qr_etcd_streaming *streaming; /* NULL: one message, one answer */
    const char *path;                   /* of the JSON gateway, behind "/v3/"; NULL: not served there */
    const ProtobufCMessageDescriptor *request, *answer; /* for the gateway */
} qr_etcd_method;

/* The gateway's columns of a method: its path, and the stem of its messages' names. */
#define QR_ETCD_GATEWAY(page, stem)                                                                          \
    .path = page, .request = &qr_etcdpb__##stem##_request__descriptor,                                       \
    .answer = &qr_etcdpb__##stem##_response__descriptor

typedef struct qr_etcd_service {
    const char *name; /* "etcdserverpb.KV" */
    const qr_etcd_method *methods;
    size_t method_count;
} qr_etcd_service;

extern const qr_etcd_service qr_etcd_kv_service, qr_etcd_cluster_service, qr_etcd_own_service,
    qr_etcd_lease_service, qr_etcd_watch_service, qr_etcd_lock_service, qr_etcd_election_service,
    qr_etcd_maintenance_service, qr_etcd_health_service;

struct qr_etcd_call {
    qr_etcd_door *door;
    const qr_etcd_transport *transport; /* NULL once the stream is closed */
    void *stream;                       /* the transport's */
    qr_etcd_connection *connection;     /* the transport's; may be NULL */
    qr_etcd_line *line;                 /* of its connection; NULL in a test */
    const qr_etcd_method *method;
    const qr_etcd_streaming *streaming; /* the method's, or since qr_etcd_call_stays() another; may be NULL */
    struct qr_etcd_count *count;        /* of its method; NULL: not counted */
    uint64_t now_ms;                    /* when it arrived */
    uint64_t timeout_ms;                /* the client's patience; UINT64_MAX = not said */
    uint32_t references;
    bool started, finished;
    bool writes;       /* was given to the node as a write */
    bool local;        /* a read of what is applied here */
    bool wants_leader; /* "hasleader: true": to fail at once rather than to wait for one */
    bool hears_closed; /* streaming->closed is still to be called */
    qr_arena arena;    /* of the request and of the making of its answer */
    /* What a method keeps until the node has answered. */
    qr_query query;
    qr_op op;
    qr_etcd_range_request range;
    const QrEtcdpb__TxnRequest *txn;                           /* kept only if the answer needs it */
    void (*answer)(qr_etcd_call *call, const qr_reply *reply); /* after QR_OK only */
    /* After any other status; false: not its business, the table of errors has the answer. May be NULL. Both
     * may hand the node one request more: the call goes on then. */
    bool (*refused)(qr_etcd_call *call, qr_status status);
    void *work;        /* the method's, in the arena */
    bool is_submitted; /* the node has a request of it */
    uint64_t wake_ms;  /* streaming: when tick() is wanted; UINT64_MAX = never. By qr_etcd_call_wake_at() */
    qr_etcd_call *stream_next, *stream_previous; /* the connection's streaming calls that were started */
    /* The connection's calls that wait for their message, for room, or stand in line; .next also of the
     * door's pool. */
    qr_etcd_list *list; /* the one it is in; NULL = none */
    qr_etcd_call *next, *previous;
    uint64_t deadline_ms; /* of a read: when the patience with it is over */
    uint64_t ticket;      /* its place in line; 0 = never stood there */
    uint64_t measured;    /* bytes of its answer, once it had to wait for room for it */
    uint64_t reserved;    /* of line and door, while the node has it again */
    uint64_t unsent;      /* bytes of its answer in memory */
};

/* "/package.Service/Method". NULL: not served, and text (in the arena) says so in gRPC's words. */
const qr_etcd_method *qr_etcd_find_method(qr_slice path, qr_arena *arena, const char **text);

const qr_etcd_method *qr_etcd_find_path(qr_slice path);        /* "kv/range"; NULL: not served */
const char *qr_etcd_method_type(const qr_etcd_method *method); /* "unary", "bidi_stream", "server_stream" */
void qr_etcd_counts_init(qr_etcd_door *door);

qr_etcd_call *qr_etcd_call_new(qr_etcd_door *door, const qr_etcd_method *method,
                               const qr_etcd_transport *transport, void *stream, uint64_t now_ms);
/* The request message; a further one is for streaming calls only. The bytes are borrowed for the call. */
void qr_etcd_call_message(qr_etcd_call *call, qr_slice message);
/* No more messages come: a call without one fails. */
void qr_etcd_call_half_closed(qr_etcd_call *call);
void qr_etcd_call_room(qr_etcd_call *call); /* streaming: something was drained */
void qr_etcd_call_tick(qr_etcd_call *call, uint64_t now_ms);
void qr_etcd_call_closed(qr_etcd_call *call);

/* ---- for the line ---- */

void qr_etcd_call_again(qr_etcd_call *call);  /* to the node */
void qr_etcd_call_expire(qr_etcd_call *call); /* the patience is over */

/* ---- range.c: answers that are too large to be encoded at once ---- */

/* Before the node reads: it is asked for no more than is encoded at once, if the rest can follow in pieces.
 */
void qr_etcd_range_limit(qr_etcd_call *call);
/* The node has read: is there more to follow? Then the call goes on by itself. */
bool qr_etcd_range_goes_on(qr_etcd_call *call, const qr_reply *reply);

/* ---- snapshot.c ---- */

void qr_etcd_snapshot(qr_etcd_call *call, qr_slice message);
extern const qr_etcd_streaming qr_etcd_snapshot_streaming;

/* ---- for the methods ---- */

void qr_etcd_call_fail(qr_etcd_call *call, qr_etcd_error error);
/* Between begin and end the answer's bytes are appended to the buffer; NULL: nobody listens any more. */
qr_buffer *qr_etcd_call_begin(qr_etcd_call *call);
void qr_etcd_call_end(qr_etcd_call *call);
/* Streaming: one message of many; false: nobody listens any more. */
bool qr_etcd_call_send(qr_etcd_call *call, const ProtobufCMessage *answer);
void qr_etcd_call_await_room(qr_etcd_call *call);
/* From now on it is one that goes on, though its method is not: its answer may take its time. */
void qr_etcd_call_stays(qr_etcd_call *call, const qr_etcd_streaming *streaming);
void qr_etcd_call_wake_at(qr_etcd_call *call, uint64_t wake_ms);
void qr_etcd_call_fail_with(qr_etcd_call *call, qr_grpc_code code, const char *text); /* text: static */
void qr_etcd_call_succeed(qr_etcd_call *call);                              /* ends well without a message */
void qr_etcd_call_pack(qr_etcd_call *call, const ProtobufCMessage *answer); /* begin, pack, end */
/* Unpacks into the call's arena; NULL: malformed, and the call has failed. */
void *qr_etcd_call_unpack(qr_etcd_call *call, const ProtobufCMessageDescriptor *descriptor, qr_slice message);
/* Hand call->query, or a body, to the node. call->answer is told when it worked; every failure is answered
 * here. */
void qr_etcd_call_read(qr_etcd_call *call, bool local);
void qr_etcd_call_write(qr_etcd_call *call, qr_slice body);
/* A small read, which waits for nothing but the node. */
void qr_etcd_call_look(qr_etcd_call *call, bool local);
void qr_etcd_call_lease_time(qr_etcd_call *call, int64_t lease);
void qr_etcd_call_change(qr_etcd_call *call, const qr_change *change);
void qr_etcd_call_handover(qr_etcd_call *call, uint64_t target);
/* Counts as etcd counts: false = too large, and the call has failed. */
bool qr_etcd_call_fits(qr_etcd_call *call, qr_slice message);
qr_etcd_header qr_etcd_call_header(const qr_etcd_call *call, uint64_t revision, uint64_t term);

#endif

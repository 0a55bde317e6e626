/* The insides of the gRPC server, shared by its two files: grpc_server.c drives the HTTP/2 session and turns
 * frames into handler calls; grpc_call.c owns the call objects and everything that is sent on them. */
#ifndef QR_WIRE_HTTP2_GRPC_SERVER_H
#define QR_WIRE_HTTP2_GRPC_SERVER_H

#include <nghttp2/nghttp2.h>

#include "wire/grpc.h"
#include "wire/grpc_frame.h"

enum {
    QR_GRPC_METADATA_MAX = 16,            /* headers kept of a request */
    QR_GRPC_METADATA_SIZE_MAX = 1024,     /* bytes of name and value of one of them */
    QR_GRPC_STREAM_WINDOW = 1 << 20,      /* bytes a client may send on a stream before it hears from us */
    QR_GRPC_CONNECTION_WINDOW = 16 << 20, /* the same for a connection */
    QR_GRPC_SPARE_MAX = 256,              /* call objects kept for reuse by a connection */
    QR_GRPC_SPARE_BYTES_MAX = 1 << 20,    /* bytes of buffers they may keep, all together */
    QR_GRPC_STRIKES_MAX = 1000,           /* see strike() */
    QR_GRPC_ACKS_MAX = 256,               /* undrained answers to PING and SETTINGS */
    QR_GRPC_SETTINGS_MAX = 32,            /* entries of one SETTINGS frame */
    QR_GRPC_CONTINUATIONS_MAX = 32,       /* CONTINUATION frames of one header block; see session_open() */
    QR_GRPC_PING_STRIKES_MAX = 2,         /* see on_ping() */
    QR_GRPC_PING_INTERVAL_MS = 5000,      /* between two pings while a call is open */
    QR_GRPC_PING_IDLE_MS = 2 * 3600000,   /* the same while none is */
};

typedef struct grpc_metadata {
    uint32_t name_at, name_size, value_at, value_size; /* in qr_grpc_call.heads */
} grpc_metadata;

/* What the headers of a request say against it, noted one by one and judged when they are complete. */
typedef struct grpc_request_faults {
    bool header_list_large;
    bool method_wrong;
    bool timeout_malformed;
    bool encoding_unknown;
    bool content_type_valid;
} grpc_request_faults;

struct qr_grpc_call {
    qr_grpc_server *server;
    qr_grpc_call *previous; /* in the server's list of running calls */
    qr_grpc_call *next;     /* the same, or the list of spare ones */
    void *data;             /* the handlers' */
    int32_t stream_id;
    bool announced;   /* on_call was called */
    bool half_closed; /* the client will send no more */
    bool responded;   /* response headers are submitted */
    bool answered;    /* response headers were drained */
    bool deferred;    /* the session waits to be told of new data */
    bool finished;    /* no more may be sent: by qr_grpc_finish or on the call's behalf */
    bool closed;      /* the stream is gone; on_closed is running */
    bool sending;     /* between send_begin and send_end */
    qr_grpc_code code;

    grpc_request_faults faults;
    uint32_t header_list_size;
    uint32_t path_at, path_size; /* in .heads */
    uint32_t metadata_count;
    grpc_metadata metadata[QR_GRPC_METADATA_MAX];
    qr_buffer heads;
    uint64_t timeout_ms;

    qr_grpc_deframer in;
    qr_buffer out;       /* framed messages */
    size_t out_at;       /* drained bytes at its front */
    size_t message_at;   /* where the message (its prefix included) or part being encoded starts */
    uint32_t parts_left; /* bytes of a message sent in parts that are still to come */
    qr_buffer text;      /* grpc-message, encoded */
};

struct qr_grpc_server {
    nghttp2_session *session;
    const qr_grpc_handlers *handlers;
    void *context;
    qr_grpc_limits limits;
    qr_grpc_call *running;
    qr_grpc_call *spare;
    uint32_t spare_count;
    size_t spare_bytes;
    qr_grpc_call *receiving; /* whose request headers are arriving */
    qr_grpc_call *recent;    /* the last one that was looked up */
    size_t buffered;         /* bytes of incomplete incoming messages, all calls */
    uint32_t torn;           /* calls with an incomplete incoming message */
    uint32_t strikes;
    qr_grpc_position position; /* of what was fed */
    uint64_t now_ms;
    uint64_t last_ping_ms;
    uint32_t ping_strikes;
    bool timed;          /* now_ms was ever told */
    bool pinged;         /* there is a last ping */
    bool pings_forgiven; /* HEADERS or DATA were sent since the last ping */
    qr_buffer sink;      /* takes what is sent on a call that is over */
    bool busy;           /* inside feed, drain or free */
    bool shut;           /* GOAWAY is submitted: new streams are refused */
    bool broken;         /* the peer broke the protocol: feed takes nothing more */
    bool dead;           /* the session failed: nothing comes out of it either */
};

/* grpc_call.c */
qr_grpc_call *qr_grpc_call_open(qr_grpc_server *server, int32_t stream_id);
void qr_grpc_call_close(
    qr_grpc_call *call); /* tells on_closed if the call was announced; the call is gone after */
void qr_grpc_call_refuse(qr_grpc_call *call, const char *http_status, qr_grpc_code code, const char *text);
void qr_grpc_call_forget_incoming(qr_grpc_call *call);
void qr_grpc_server_spares_free(qr_grpc_server *server);

#endif

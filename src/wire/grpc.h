/* grpc: the gRPC framing of unary and streaming calls over HTTP/2, server and client side. Bytes in, bytes
 * out; libnghttp2 does the HTTP/2 inside. Knows no service and no message type: paths and bytes only.
 *
 * Every limit has a name; what a peer sizes is checked before memory is taken. A peer that breaks a rule gets
 * its stream reset or a GOAWAY, never a crash. */
#ifndef QR_WIRE_GRPC_H
#define QR_WIRE_GRPC_H

#include "base/base.h"

typedef enum qr_grpc_code {
    QR_GRPC_OK = 0,
    QR_GRPC_CANCELLED = 1,
    QR_GRPC_UNKNOWN = 2,
    QR_GRPC_INVALID_ARGUMENT = 3,
    QR_GRPC_DEADLINE_EXCEEDED = 4,
    QR_GRPC_NOT_FOUND = 5,
    QR_GRPC_ALREADY_EXISTS = 6,
    QR_GRPC_PERMISSION_DENIED = 7,
    QR_GRPC_RESOURCE_EXHAUSTED = 8,
    QR_GRPC_FAILED_PRECONDITION = 9,
    QR_GRPC_ABORTED = 10,
    QR_GRPC_OUT_OF_RANGE = 11,
    QR_GRPC_UNIMPLEMENTED = 12,
    QR_GRPC_INTERNAL = 13,
    QR_GRPC_UNAVAILABLE = 14,
    QR_GRPC_DATA_LOSS = 15,
    QR_GRPC_UNAUTHENTICATED = 16,
} qr_grpc_code;

typedef struct qr_grpc_limits {
    uint32_t message_max;     /* bytes of one incoming message; larger: RESOURCE_EXHAUSTED on its stream */
    uint32_t streams_max;     /* concurrent streams of a connection */
    uint32_t header_list_max; /* bytes of a header block */
    uint32_t buffered_max; /* bytes of incomplete incoming messages of one connection, all streams together */
} qr_grpc_limits;

extern const qr_grpc_limits qr_grpc_limits_default; /* 1.5 MiB + 512 KiB; 1000; 16 KiB; 32 MiB */

/* ---------------------------------------------------------------- server ---- */

typedef struct qr_grpc_server qr_grpc_server; /* one connection */
typedef struct qr_grpc_call qr_grpc_call;     /* one stream of it; dies right after on_closed returns */

typedef struct qr_grpc_handlers {
    /* Request headers are complete; path is "/package.Service/Method", borrowed for the call. The handler may
     * finish the call at once (unknown method: UNIMPLEMENTED). */
    void (*on_call)(void *context, qr_grpc_call *call, qr_slice path);
    /* One whole message; borrowed for the call. */
    void (*on_message)(void *context, qr_grpc_call *call, qr_slice message);
    /* The client will send no more messages. */
    void (*on_half_closed)(void *context, qr_grpc_call *call);
    /* The stream is over, finished or reset: forget the call. Called for every call that on_call was called
     * for, the latest from qr_grpc_server_free. */
    void (*on_closed)(void *context, qr_grpc_call *call);
} qr_grpc_handlers;

/* limits NULL: the default. handlers, context and pool are borrowed for life; the session takes its memory
 * from the pool (NULL: from the system), which connections may share. Handlers run inside feed(); on_closed
 * also inside drain() and free(). They may send, finish and shut down, but not feed, drain or free. */
qr_grpc_server *qr_grpc_server_new(const qr_grpc_handlers *handlers, void *context,
                                   const qr_grpc_limits *limits, qr_pool *pool);
/* The time of the bytes that are fed next, in ms from any start, never going back. A server that was never
 * told the time does not mind how often it is pinged; one that was ends the connection of a client that pings
 * too often, by the rule and with the words of grpc-go: GOAWAY with ENHANCE_YOUR_CALM and "too_many_pings".
 */
void qr_grpc_server_now(qr_grpc_server *server, uint64_t now_ms);
/* Not QR_OK: the connection is to be closed after draining. */
qr_status qr_grpc_server_feed(qr_grpc_server *server, qr_slice bytes);
/* What was fed ends before the client's preface (its SETTINGS included) is complete, inside a frame, inside a
 * header block, or inside a message of a call that is not finished. Nobody but the caller has a clock that
 * could end this. */
bool qr_grpc_server_partial(const qr_grpc_server *server);
/* Frames that have become whole, a header block counted as one: while it is partial(), a change of this
 * number tells a client that goes on from one that has stopped. */
uint64_t qr_grpc_server_frames(const qr_grpc_server *server);
void qr_grpc_server_drain(qr_grpc_server *server, qr_buffer *out, size_t size_max);
bool qr_grpc_server_pending(const qr_grpc_server *server); /* drain() would give something */
bool qr_grpc_server_finished(
    const qr_grpc_server *server);                    /* GOAWAY done, no streams: close the connection */
void qr_grpc_server_shutdown(qr_grpc_server *server); /* GOAWAY; running calls may end */
void qr_grpc_server_free(qr_grpc_server *server);

void qr_grpc_call_set_data(qr_grpc_call *call, void *data);
void *qr_grpc_call_data(const qr_grpc_call *call);
/* A metadata value of the request by lower-case name ("token", "hasleader"); size 0 and data NULL when
 * absent. At most 16 headers of 1 KiB each are kept. */
qr_slice qr_grpc_call_metadata(const qr_grpc_call *call, const char *name);
uint64_t qr_grpc_call_timeout_ms(const qr_grpc_call *call); /* of grpc-timeout; UINT64_MAX = none */
size_t
qr_grpc_call_queued(const qr_grpc_call *call); /* bytes sent but not drained: back-pressure for streams */

/* Sends one message: begin() gives a buffer to encode into, end() frames what was added to it. No other call
 * in between. The 5 bytes of framing are taken care of. */
qr_buffer *qr_grpc_send_begin(qr_grpc_call *call);
void qr_grpc_send_end(qr_grpc_call *call);
void qr_grpc_send(qr_grpc_call *call, qr_slice message); /* the same in one go; copies */
/* One message in parts, for what is too large to be encoded at once: first its size, then parts that add up
 * to it, each added between part_begin() and part_end(). A call that is finished before they do leaves its
 * client with half a message, and so has to fail. */
void qr_grpc_send_sized(qr_grpc_call *call, uint32_t size);
qr_buffer *qr_grpc_part_begin(qr_grpc_call *call);
void qr_grpc_part_end(qr_grpc_call *call);
/* Ends the call with trailers; text may be NULL. Nothing may be sent on it after. The server itself ends a
 * call whose incoming messages break a rule; so sending on a finished call, and finishing it again, are no
 * errors and do nothing. A finished call hears of no further message or half-close, only of on_closed. */
void qr_grpc_finish(qr_grpc_call *call, qr_grpc_code code, const char *text);

/* ---------------------------------------------------------------- client ---- */

typedef struct qr_grpc_client qr_grpc_client; /* one connection */

typedef struct qr_grpc_client_handlers {
    void (*on_message)(void *context, void *call, qr_slice message);
    void (*on_done)(void *context, void *call, qr_grpc_code code, const char *text); /* exactly once a call */
} qr_grpc_client_handlers;

qr_grpc_client *qr_grpc_client_new(const qr_grpc_client_handlers *handlers, void *context,
                                   const char *authority);
/* Starts a call with one request message; `call` is the caller's name for it. */
qr_status qr_grpc_client_call(qr_grpc_client *client, const char *path, qr_slice message, void *call);
/* Starts one with a first message, more of which may follow until half_close(). Names must differ then.
 * metadata: NULL, or the name and the value of one more header. */
qr_status qr_grpc_client_open(qr_grpc_client *client, const char *path, const char *const metadata[2],
                              qr_slice message, void *call);
/* NOT_FOUND: that call is over, or was half-closed before. */
qr_status qr_grpc_client_send(qr_grpc_client *client, void *call, qr_slice message);
qr_status qr_grpc_client_half_close(qr_grpc_client *client, void *call);
void qr_grpc_client_ping(qr_grpc_client *client); /* whoever lives answers with bytes */
qr_status qr_grpc_client_feed(qr_grpc_client *client, qr_slice bytes);
void qr_grpc_client_drain(qr_grpc_client *client, qr_buffer *out, size_t size_max);
void qr_grpc_client_free(qr_grpc_client *client);

#endif

/* http1: HTTP/1.1 requests in, responses out, for one connection; llhttp parses inside. Keep-alive and
 * pipelining are handled; a request is handed over whole. */
#ifndef QR_WIRE_HTTP1_H
#define QR_WIRE_HTTP1_H

#include "base/base.h"

typedef struct qr_http1 qr_http1;

typedef struct qr_http1_request {
    qr_slice method; /* "GET" */
    qr_slice target; /* "/health?serializable=true" */
    qr_slice path;   /* "/health" */
    qr_slice query;  /* "serializable=true", or empty */
    qr_slice body;
} qr_http1_request;

typedef struct qr_http1_limits {
    uint32_t head_max; /* bytes of request line and headers; more: 431 and close */
    uint32_t body_max; /* bytes of a body; more: 413 and close */
} qr_http1_limits;

extern const qr_http1_limits qr_http1_limits_default; /* 16 KiB, 2 MiB */

enum { QR_HTTP1_QUEUED_MAX = 64 * 1024 };

typedef struct qr_http1_handlers {
    /* A whole request; borrowed for the call. Exactly one response must follow, now or later: respond(), or
     * begin(), pieces and end(). The next pipelined request is handed over only after it, and while no more
     * than QR_HTTP1_QUEUED_MAX bytes of responses are undrained. */
    void (*on_request)(void *context, qr_http1 *http, const qr_http1_request *request);
} qr_http1_handlers;

const char *qr_http1_reason(int status); /* 404: "Not Found" */

qr_http1 *qr_http1_new(const qr_http1_handlers *handlers, void *context, const qr_http1_limits *limits);
qr_status qr_http1_feed(qr_http1 *http,
                        qr_slice bytes); /* not QR_OK: an error response is queued; drain, then close */
/* content_type and extra_headers may be NULL; extra_headers are whole lines, each ending in "\r\n". From
 * outside on_request this may hand over the next request before it returns. */
void qr_http1_respond(qr_http1 *http, int status, const char *content_type, const char *extra_headers,
                      qr_slice body);
/* The same in pieces, as they come about: chunks, or for HTTP/1.0 everything up to the connection's end.
 * Nothing bounds what is queued: the caller looks at qr_http1_queued(). */
void qr_http1_begin(qr_http1 *http, int status, const char *content_type, const char *extra_headers);
void qr_http1_piece(qr_http1 *http, qr_slice bytes);
void qr_http1_end(qr_http1 *http);
/* Ends the connection with that status while a request is arriving; without effect at any other time. */
void qr_http1_refuse(qr_http1 *http, int status, const char *reason);
/* A header of the current request by lower-case name; size 0 and data NULL when absent. */
qr_slice qr_http1_header(const qr_http1 *http, const char *name);
void qr_http1_drain(qr_http1 *http, qr_buffer *out, size_t size_max);
/* After draining: hands over the requests that waited for it. */
void qr_http1_resume(qr_http1 *http);
size_t qr_http1_queued(const qr_http1 *http); /* bytes of responses not drained */
size_t qr_http1_held(const qr_http1 *http);   /* bytes of requests in memory */
bool qr_http1_partial(const qr_http1 *http);  /* is a request arriving that is not whole? */
bool qr_http1_pending(const qr_http1 *http);
bool qr_http1_finished(const qr_http1 *http); /* close after draining */
void qr_http1_free(qr_http1 *http);

#endif

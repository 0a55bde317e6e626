/* The HTTP/1.1 half of a connection: the JSON gateway (gateway.c), the pages (pages.c), and what both stand
 * on (http.c). One request is in hand at a time; its call is told of the end of the connection like any
 * other. */
#ifndef QR_DOOR_ETCD_HTTP_H
#define QR_DOOR_ETCD_HTTP_H

#include "door/etcd/door.h"
#include "wire/http1.h"

enum {
    QR_ETCD_HTTP_DOCUMENTS_MAX = 1024,         /* messages of one request to a stream */
    QR_ETCD_HTTP_HEAD_MAX = 16 * 1024,         /* bytes of a request's line and headers */
    QR_ETCD_HTTP_HELD_MAX = 256 * 1024 * 1024, /* bytes of requests that are not whole, all connections */
};

/* Headers etcd sends on everything, so that a page of another origin may read it. */
#define QR_ETCD_OPEN_TO_BROWSERS                                                                             \
    "Access-Control-Allow-Headers: accept, content-type, authorization\r\n"                                  \
    "Access-Control-Allow-Methods: POST, GET, OPTIONS, PUT, DELETE\r\n"                                      \
    "Access-Control-Allow-Origin: *\r\n"
#define QR_ETCD_PLAIN_TEXT "text/plain; charset=utf-8"
#define QR_ETCD_JSON       "application/json"

typedef struct qr_etcd_page { /* the page that is asked for */
    const struct qr_etcd_page_kind *kind;
    unsigned checks; /* bits of those wanted */
    bool verbose, local, no_space_is_fine, corrupt_is_fine;
} qr_etcd_page;

typedef struct qr_etcd_http {
    qr_etcd_door *door;
    qr_etcd_line *line; /* the connection's */
    qr_http1 *codec;
    qr_etcd_call *call;      /* of the request in hand; NULL: none, or it is answered */
    qr_etcd_call *undrained; /* it is answered, and what is unread of it counts (line.h) */
    qr_buffer message;       /* packed, to the method or from it */
    qr_buffer text;          /* the body in the making */
    bool pages_only;         /* no gateway here */
    bool headed;             /* the head of a stream's response was sent */
    qr_etcd_page page;
    uint64_t requests; /* seen */
    uint64_t held;     /* bytes of this connection in the door's sum */
} qr_etcd_http;

qr_etcd_http *qr_etcd_http_new(qr_etcd_door *door, qr_etcd_line *line);
qr_status qr_etcd_http_feed(qr_etcd_http *http, qr_slice bytes);
void qr_etcd_http_drain(qr_etcd_http *http, qr_buffer *out, size_t size_max);
void qr_etcd_http_free(qr_etcd_http *http); /* tells the call that nobody listens */

/* ---- for gateway.c and pages.c ---- */

qr_etcd_call *qr_etcd_http_call(qr_etcd_http *http, const qr_etcd_method *method,
                                const qr_etcd_transport *transport);
/* The whole response; more_headers is appended to those that all have, and may be NULL. */
void qr_etcd_http_respond(qr_etcd_http *http, int status, const char *type, const char *more_headers,
                          qr_slice body);
/* The same as the answer to the call in hand, which ends with it. */
void qr_etcd_http_answer(qr_etcd_http *http, int status, const char *type, const char *more_headers,
                         qr_slice body);
/* The call in hand ends; so many bytes of its answer are undrained or about to be queued. */
qr_etcd_call *qr_etcd_http_let_go(qr_etcd_http *http, size_t undrained);

void qr_etcd_gateway(qr_etcd_http *http, const qr_http1_request *request, qr_slice path);
void qr_etcd_pages(qr_etcd_http *http, const qr_http1_request *request);

#endif

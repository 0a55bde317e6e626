#include "door/etcd/http.h"

#include <stdio.h>

void qr_etcd_http_respond(qr_etcd_http *http, int status, const char *type, const char *more_headers,
                          qr_slice body)
{
    char headers[512];
    int size =
        snprintf(headers, sizeof headers, QR_ETCD_OPEN_TO_BROWSERS "%s", more_headers ? more_headers : "");
    QR_ASSERT(size > 0 && (size_t)size < sizeof headers);
    qr_http1_respond(http->codec, status, type, headers, body);
}

qr_etcd_call *qr_etcd_http_call(qr_etcd_http *http, const qr_etcd_method *method,
                                const qr_etcd_transport *transport)
{
    QR_ASSERT(!http->call); /* the codec hands over one request at a time */
    qr_etcd_call *call = qr_etcd_call_new(http->door, method, transport, http, http->line->now_ms);
    call->line = http->line;
    http->call = call;
    return call;
}

/* A small answer is forgotten at once. A large one is remembered until it is drained: the codec hands over no
 * request before that, so there is one at most. */
qr_etcd_call *qr_etcd_http_let_go(qr_etcd_http *http, size_t undrained)
{
    qr_etcd_call *call = http->call;
    QR_ASSERT(call && !http->undrained);
    http->call = NULL;
    qr_buffer_shrink(&http->message, QR_ETCD_BODY_ROOM_MAX);
    qr_etcd_list_leave(call);
    if (undrained <= QR_HTTP1_QUEUED_MAX)
        return call;
    qr_etcd_line_built(call, undrained);
    http->undrained = call;
    return NULL;
}

void qr_etcd_http_answer(qr_etcd_http *http, int status, const char *type, const char *more_headers,
                         qr_slice body)
{
    qr_etcd_call *over = qr_etcd_http_let_go(http, body.size);
    qr_etcd_line *line = http->line;
    qr_etcd_http_respond(http, status, type, more_headers, body); /* may begin with the next request */
    qr_etcd_line_wake(line);
    if (over)
        qr_etcd_call_closed(over);
}

static void on_request(void *context, qr_http1 *codec, const qr_http1_request *request)
{
    static const char *const prefixes[] = {"/v3/", "/v3beta/"};
    qr_etcd_http *http = context;
    http->requests++;
    qr_etcd_line_wake(http->line);
    if (qr_slice_equal(request->method, qr_slice_text("OPTIONS"))) {
        qr_etcd_http_respond(http, 200, NULL, NULL, qr_slice_of(NULL, 0));
        return;
    }
    for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++) {
        qr_slice prefix = qr_slice_text(prefixes[i]);
        if (http->pages_only || !qr_slice_starts(request->path, prefix))
            continue;
        qr_etcd_gateway(http, request,
                        qr_slice_of(request->path.data + prefix.size, request->path.size - prefix.size));
        return;
    }
    qr_etcd_pages(http, request);
}

static const qr_http1_handlers handlers = {on_request};

qr_etcd_http *qr_etcd_http_new(qr_etcd_door *door, qr_etcd_line *line)
{
    qr_etcd_http *http = qr_alloc_zero(1, sizeof *http);
    http->door = door;
    http->line = line;
    /* base64 makes four bytes of three */
    uint64_t body_max = (uint64_t)door->limits.message_max / 3 * 4 + QR_ETCD_HTTP_HEAD_MAX;
    qr_http1_limits limits = {.head_max = QR_ETCD_HTTP_HEAD_MAX,
                              .body_max = body_max < UINT32_MAX ? (uint32_t)body_max : UINT32_MAX};
    http->codec = qr_http1_new(&handlers, http, &limits);
    qr_buffer_init(&http->message);
    qr_buffer_init(&http->text);
    return http;
}

/* What all connections have sent of requests that are not whole is bounded together. */
static void count_held(qr_etcd_http *http)
{
    uint64_t held = qr_http1_held(http->codec);
    http->door->http_held += held - http->held;
    http->held = held;
}

qr_status qr_etcd_http_feed(qr_etcd_http *http, qr_slice bytes)
{
    qr_status status = qr_http1_feed(http->codec, bytes);
    count_held(http);
    if (http->door->http_held <= QR_ETCD_HTTP_HELD_MAX || http->held <= QR_HTTP1_QUEUED_MAX)
        return status;
    qr_http1_refuse(http->codec, 429, "too many large requests are arriving");
    return QR_E_BUSY;
}

void qr_etcd_http_drain(qr_etcd_http *http, qr_buffer *out, size_t size_max)
{
    qr_http1_drain(http->codec, out, size_max);
    if (http->undrained && qr_http1_queued(http->codec) <= QR_HTTP1_QUEUED_MAX) {
        qr_etcd_call *call = http->undrained;
        http->undrained = NULL;
        qr_etcd_call_closed(call);
    }
    qr_etcd_line_drained(http->line);
    qr_http1_resume(http->codec);
    count_held(http);
}

void qr_etcd_http_free(qr_etcd_http *http)
{
    if (http->call)
        qr_etcd_call_closed(http->call);
    if (http->undrained)
        qr_etcd_call_closed(http->undrained);
    http->door->http_held -= http->held;
    qr_http1_free(http->codec);
    qr_buffer_free(&http->message);
    qr_buffer_free(&http->text);
    qr_free(http);
}

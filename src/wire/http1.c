/* HTTP/1.1 on top of llhttp. The parser is fed until it stands at the end of a request, where it is paused;
 * bytes behind that wait until the request is answered. So one request is in the house at a time and its
 * parts need no list. */
#include "wire/http1.h"

#include <llhttp.h>
#include <stdio.h>

enum {
    HEADERS_MAX = 100, /* headers of one request */
    HEADER_COST = 4,   /* bytes of a header that are not its name and value: ": " and the end of the line */
    WAITING_ROOM_MIN =
        1 << 16,           /* bytes of pipelined requests that may wait, beside one of the largest size */
    BUFFER_KEPT = 1 << 16, /* bytes of room each buffer keeps between requests */
};

const qr_http1_limits qr_http1_limits_default = {.head_max = 16 * 1024, .body_max = 2 * 1024 * 1024};

typedef struct header_place {
    uint32_t name_at, name_size, value_at, value_size; /* in qr_http1.head */
} header_place;

typedef enum http1_state {
    READING, /* a request is arriving, or none */
    HANDED,  /* it was handed over and not answered yet */
    CLOSING, /* the last response is queued; input is ignored */
} http1_state;

struct qr_http1 {
    llhttp_t parser;
    llhttp_settings_t settings;
    const qr_http1_handlers *handlers;
    void *context;
    qr_http1_limits limits;
    http1_state state;
    bool parsing;    /* advance() is at work: a response given meanwhile is picked up by it */
    bool begun;      /* a request is arriving */
    bool head_done;  /* of the request that is arriving */
    bool whole;      /* the request is complete */
    bool value_open; /* the last header piece belonged to a value */
    bool keep_alive;
    bool version_old; /* HTTP/1.0 */
    bool is_head;     /* the HEAD method */
    bool failed;      /* closed because of an error: feed says so */
    bool in_pieces;   /* the response is being sent in pieces, ... */
    bool chunked;     /* ... as chunks */
    int refusal;      /* status of the error found by a callback; 0: none */

    qr_buffer head; /* the target, then names and values, lower-case names */
    uint32_t target_size;
    uint32_t head_cost; /* bytes counted against head_max */
    uint32_t header_count;
    header_place headers[HEADERS_MAX];
    qr_buffer body;
    qr_buffer waiting; /* bytes behind the request that was handed over */
    size_t waiting_at; /* those at its front are taken */
    qr_buffer out;
    size_t out_at;
};

/* ---------------------------------------------------------------- parser ---- */

static int refuse(qr_http1 *http, int status)
{
    http->refusal = status;
    return HPE_USER;
}

/* Counts bytes of the request line and headers before they are kept. */
static bool head_fits(qr_http1 *http, size_t size)
{
    if (size > http->limits.head_max - http->head_cost)
        return false;
    http->head_cost += (uint32_t)size;
    return true;
}

static int on_message_begin(llhttp_t *parser)
{
    qr_http1 *http = parser->data;
    qr_buffer_shrink(&http->head, BUFFER_KEPT);
    qr_buffer_shrink(&http->body, BUFFER_KEPT);
    http->target_size = http->head_cost = http->header_count = 0;
    http->begun = true;
    http->head_done = http->whole = http->value_open = false;
    http->refusal = 0;
    return 0;
}

static int on_url(llhttp_t *parser, const char *at, size_t size)
{
    qr_http1 *http = parser->data;
    if (!head_fits(http, size))
        return refuse(http, 414);
    qr_buffer_add(&http->head, at, size);
    http->target_size += (uint32_t)size;
    return 0;
}

static int on_header_field(llhttp_t *parser, const char *at, size_t size)
{
    qr_http1 *http = parser->data;
    if (!head_fits(http, size))
        return refuse(http, 431);
    if (http->head_done) /* a trailer behind a chunked body: counted, and of no interest */
        return 0;
    if (http->header_count == 0 || http->value_open) {
        if (http->header_count == HEADERS_MAX || !head_fits(http, HEADER_COST))
            return refuse(http, 431);
        http->value_open = false;
        http->headers[http->header_count++] = (header_place){.name_at = (uint32_t)http->head.size};
    }
    for (size_t i = 0; i < size; i++)
        qr_buffer_u8(&http->head, (uint8_t)(at[i] >= 'A' && at[i] <= 'Z' ? at[i] - 'A' + 'a' : at[i]));
    http->headers[http->header_count - 1].name_size += (uint32_t)size;
    return 0;
}

static int on_header_value(llhttp_t *parser, const char *at, size_t size)
{
    qr_http1 *http = parser->data;
    if (!head_fits(http, size))
        return refuse(http, 431);
    if (http->head_done)
        return 0;
    QR_ASSERT(http->header_count > 0);
    header_place *place = &http->headers[http->header_count - 1];
    if (!http->value_open)
        place->value_at = (uint32_t)http->head.size;
    http->value_open = true;
    qr_buffer_add(&http->head, at, size);
    place->value_size += (uint32_t)size;
    return 0;
}

/* Empty values have no span; without this the next name would be taken for the rest of this one. */
static int on_header_value_complete(llhttp_t *parser)
{
    qr_http1 *http = parser->data;
    if (http->head_done || http->value_open || http->header_count == 0)
        return 0;
    http->headers[http->header_count - 1].value_at = (uint32_t)http->head.size;
    http->value_open = true;
    return 0;
}

static bool text_equal_ignoring_case(qr_slice bytes, const char *text)
{
    size_t size = strlen(text);
    if (bytes.size != size)
        return false;
    for (size_t i = 0; i < size; i++) {
        uint8_t byte = bytes.data[i];
        if ((byte >= 'A' && byte <= 'Z' ? byte - 'A' + 'a' : byte) != (uint8_t)text[i])
            return false;
    }
    return true;
}

static int on_headers_complete(llhttp_t *parser)
{
    qr_http1 *http = parser->data;
    http->head_done = true;
    http->version_old = parser->http_major == 1 && parser->http_minor == 0;
    if (parser->http_major != 1)
        return refuse(http, 505);
    /* An offer to change the protocol ("Upgrade: h2c") may be passed over, and is: the request is served as
     * it is. */
    parser->upgrade = 0;
    bool chunked = (parser->flags & F_CHUNKED) != 0;
    if (!chunked && parser->content_length > http->limits.body_max)
        return refuse(http, 413);
    qr_slice expect = qr_http1_header(http, "expect");
    if (expect.data != NULL && !http->version_old) {
        if (!text_equal_ignoring_case(expect, "100-continue"))
            return refuse(http, 417);
        if (chunked || parser->content_length > 0)
            qr_buffer_format(&http->out, "HTTP/1.1 100 Continue\r\n\r\n");
    }
    return 0;
}

static int on_body(llhttp_t *parser, const char *at, size_t size)
{
    qr_http1 *http = parser->data;
    if (size > http->limits.body_max - http->body.size)
        return refuse(http, 413);
    qr_buffer_add(&http->body, at, size);
    return 0;
}

static int on_message_complete(llhttp_t *parser)
{
    qr_http1 *http = parser->data;
    http->whole = true;
    http->begun = false;
    http->keep_alive = llhttp_should_keep_alive(parser) != 0;
    http->is_head = parser->method == HTTP_HEAD;
    return HPE_PAUSED;
}

/* --------------------------------------------------------------- respond ---- */

const char *qr_http1_reason(int status)
{
    switch (status) {
    case 200: return "OK";
    case 201: return "Created";
    case 202: return "Accepted";
    case 204: return "No Content";
    case 301: return "Moved Permanently";
    case 302: return "Found";
    case 304: return "Not Modified";
    case 307: return "Temporary Redirect";
    case 308: return "Permanent Redirect";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 408: return "Request Timeout";
    case 409: return "Conflict";
    case 412: return "Precondition Failed";
    case 413: return "Content Too Large";
    case 414: return "URI Too Long";
    case 415: return "Unsupported Media Type";
    case 417: return "Expectation Failed";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 502: return "Bad Gateway";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    case 505: return "HTTP Version Not Supported";
    default: return "Unknown";
    }
}

static bool is_bodiless(int status)
{
    return status < 200 || status == 204 || status == 304; /* RFC 9110, 6.4.1 */
}

/* A response's head up to the line about the length of its body. */
static void queue_head(qr_http1 *http, int status, const char *content_type, const char *extra_headers)
{
    qr_buffer *out = &http->out;
    QR_ASSERT(status >= 200 && status <= 999);
    qr_buffer_format(out, "HTTP/1.1 %d %s\r\n", status, qr_http1_reason(status));
    if (content_type != NULL && !is_bodiless(status))
        qr_buffer_format(out, "Content-Type: %s\r\n", content_type);
    qr_buffer_format(out, "X-Content-Type-Options: nosniff\r\n");
    if (extra_headers != NULL)
        qr_buffer_add(out, extra_headers, strlen(extra_headers));
}

static void end_head(qr_http1 *http, bool closes)
{
    if (closes)
        qr_buffer_format(&http->out, "Connection: close\r\n");
    else if (http->version_old)
        qr_buffer_format(&http->out, "Connection: keep-alive\r\n");
    qr_buffer_add(&http->out, "\r\n", 2);
}

static void queue_response(qr_http1 *http, int status, const char *content_type, const char *extra_headers,
                           qr_slice body)
{
    qr_buffer *out = &http->out;
    bool bodiless = is_bodiless(status);
    queue_head(http, status, content_type, extra_headers);
    if (!bodiless)
        qr_buffer_format(out, "Content-Length: %zu\r\n", body.size);
    end_head(http, http->state == CLOSING);
    if (!bodiless && !http->is_head)
        qr_buffer_add_slice(out, body);
}

/* Answers with an error of our own and ends the connection. */
static void fail(qr_http1 *http, int status, const char *reason)
{
    char text[160];
    int size = snprintf(text, sizeof text, "%d %s: %s\n", status, qr_http1_reason(status), reason);
    http->state = CLOSING;
    http->failed = true;
    http->is_head = false;
    queue_response(http, status, "text/plain; charset=utf-8", NULL, qr_slice_of(text, (size_t)size));
}

static const char *refusal_reason(int status)
{
    switch (status) {
    case 413: return "the body is larger than this server takes";
    case 414: return "the request line is larger than this server takes";
    case 417: return "only 100-continue can be expected";
    case 505: return "this server speaks HTTP/1.1";
    default: return "the request's head is larger than this server takes";
    }
}

/* -------------------------------------------------------------- requests ---- */

static void hand_over(qr_http1 *http)
{
    qr_slice target = qr_slice_of(http->head.data, http->target_size);
    const uint8_t *mark = target.size ? memchr(target.data, '?', target.size) : NULL;
    size_t path_size = mark != NULL ? (size_t)(mark - target.data) : target.size;
    qr_http1_request request = {
        .method = qr_slice_text(llhttp_method_name((llhttp_method_t)http->parser.method)),
        .target = target,
        .path = qr_slice_of(target.data, path_size),
        .query = mark != NULL ? qr_slice_of(mark + 1, target.size - path_size - 1) : qr_slice_of(NULL, 0),
        .body = qr_buffer_slice(&http->body),
    };
    http->state = HANDED;
    http->handlers->on_request(http->context, http, &request);
}

/* Parses bytes up to the end of a request and hands it over; returns how many were taken. */
static size_t parse(qr_http1 *http, qr_slice bytes)
{
    const char *start = (const char *)bytes.data;
    llhttp_errno_t error = llhttp_execute(&http->parser, start, bytes.size);
    if (error == HPE_OK)
        return bytes.size;
    if (error == HPE_PAUSED && http->whole) {
        size_t taken = (size_t)(llhttp_get_error_pos(&http->parser) - start);
        QR_ASSERT(taken <= bytes.size);
        llhttp_resume(&http->parser);
        hand_over(http);
        qr_buffer_shrink(&http->body, BUFFER_KEPT);
        return taken;
    }
    if (http->refusal != 0)
        fail(http, http->refusal, refusal_reason(http->refusal));
    else
        fail(http, 400, "malformed HTTP");
    return bytes.size;
}

/* Whoever does not take the answers gets no more of them made. */
static bool may_take(const qr_http1 *http)
{
    return http->state == READING && qr_http1_queued(http) <= QR_HTTP1_QUEUED_MAX;
}

/* Takes requests from the bytes while the ones before are answered at once; returns how many bytes were
 * taken. A loop and not a recursion from respond(), so that no number of pipelined requests can exhaust the
 * stack. */
static size_t advance(qr_http1 *http, qr_slice bytes)
{
    QR_ASSERT(!http->parsing);
    size_t taken = 0;
    http->parsing = true;
    while (taken < bytes.size && may_take(http))
        taken += parse(http, qr_slice_of(bytes.data + taken, bytes.size - taken));
    http->parsing = false;
    return taken;
}

/* Goes on with what waited while a request was in hand. */
static void advance_waiting(qr_http1 *http)
{
    size_t size = http->waiting.size - http->waiting_at;
    if (size > 0)
        http->waiting_at += advance(http, qr_slice_of(http->waiting.data + http->waiting_at, size));
    if (http->waiting_at == http->waiting.size || http->state == CLOSING) {
        qr_buffer_shrink(&http->waiting, http->state == CLOSING ? 0 : BUFFER_KEPT);
        http->waiting_at = 0;
    }
}

/* Bytes behind a request that is not answered yet. */
static void keep_waiting(qr_http1 *http, qr_slice bytes)
{
    size_t room = (size_t)http->limits.head_max + http->limits.body_max + WAITING_ROOM_MIN;
    if (bytes.size > room - (http->waiting.size - http->waiting_at)) {
        /* The answer to the request in hand can still be given; nothing after it. */
        http->keep_alive = false;
        http->failed = true;
        return;
    }
    if (http->waiting_at > http->waiting.size / 2) {
        qr_buffer_drop(&http->waiting, http->waiting_at);
        http->waiting_at = 0;
    }
    qr_buffer_add_slice(&http->waiting, bytes);
}

qr_http1 *qr_http1_new(const qr_http1_handlers *handlers, void *context, const qr_http1_limits *limits)
{
    qr_http1 *http = qr_alloc_zero(1, sizeof *http);
    http->handlers = handlers;
    http->context = context;
    http->limits = limits ? *limits : qr_http1_limits_default;
    llhttp_settings_init(&http->settings);
    http->settings.on_message_begin = on_message_begin;
    http->settings.on_url = on_url;
    http->settings.on_header_field = on_header_field;
    http->settings.on_header_value = on_header_value;
    http->settings.on_header_value_complete = on_header_value_complete;
    http->settings.on_headers_complete = on_headers_complete;
    http->settings.on_body = on_body;
    http->settings.on_message_complete = on_message_complete;
    llhttp_init(&http->parser, HTTP_REQUEST, &http->settings);
    http->parser.data = http;
    return http;
}

qr_status qr_http1_feed(qr_http1 *http, qr_slice bytes)
{
    QR_CHECK(!http->parsing, "feed() called from inside a handler");
    bool waiting = http->waiting.size > http->waiting_at;
    size_t taken = waiting || bytes.size == 0 ? 0 : advance(http, bytes);
    if (http->state != CLOSING && !http->failed && taken < bytes.size)
        keep_waiting(http, qr_slice_of(bytes.data + taken, bytes.size - taken));
    return http->failed ? QR_E_INVALID : QR_OK;
}

void qr_http1_respond(qr_http1 *http, int status, const char *content_type, const char *extra_headers,
                      qr_slice body)
{
    QR_CHECK(http->state == HANDED, "a response without a request, or a second one");
    http->state = http->keep_alive ? READING : CLOSING;
    queue_response(http, status, content_type, extra_headers, body);
    if (!http->parsing)
        advance_waiting(http);
}

void qr_http1_begin(qr_http1 *http, int status, const char *content_type, const char *extra_headers)
{
    QR_CHECK(http->state == HANDED && !http->in_pieces, "a response without a request, or a second one");
    http->in_pieces = true;
    http->chunked = !http->version_old;
    queue_head(http, status, content_type, extra_headers);
    if (http->chunked)
        qr_buffer_format(&http->out, "Transfer-Encoding: chunked\r\n");
    end_head(http, !http->keep_alive || !http->chunked);
}

void qr_http1_piece(qr_http1 *http, qr_slice bytes)
{
    QR_CHECK(http->in_pieces, "a piece of no response");
    if (!bytes.size || http->is_head) /* an empty chunk would end the response */
        return;
    if (http->chunked)
        qr_buffer_format(&http->out, "%zx\r\n", bytes.size);
    qr_buffer_add_slice(&http->out, bytes);
    if (http->chunked)
        qr_buffer_add(&http->out, "\r\n", 2);
}

void qr_http1_end(qr_http1 *http)
{
    QR_CHECK(http->in_pieces, "the end of no response");
    if (http->chunked && !http->is_head)
        qr_buffer_format(&http->out, "0\r\n\r\n");
    http->in_pieces = false;
    http->state = http->keep_alive && http->chunked ? READING : CLOSING;
    if (!http->parsing)
        advance_waiting(http);
}

void qr_http1_refuse(qr_http1 *http, int status, const char *reason)
{
    if (http->state == READING)
        fail(http, status, reason);
}

qr_slice qr_http1_header(const qr_http1 *http, const char *name)
{
    qr_slice wanted = qr_slice_text(name);
    for (uint32_t i = 0; i < http->header_count; i++) {
        const header_place *place = &http->headers[i];
        if (qr_slice_equal(wanted, qr_slice_of(http->head.data + place->name_at, place->name_size)))
            return qr_slice_of(http->head.data + place->value_at, place->value_size);
    }
    return qr_slice_of(NULL, 0);
}

void qr_http1_drain(qr_http1 *http, qr_buffer *out, size_t size_max)
{
    size_t size = http->out.size - http->out_at;
    if (size > size_max)
        size = size_max;
    if (size > 0)
        qr_buffer_add(out, http->out.data + http->out_at, size);
    http->out_at += size;
    if (http->out_at == http->out.size) {
        qr_buffer_shrink(&http->out, BUFFER_KEPT);
        http->out_at = 0;
    } else if (http->out_at > http->out.size / 2) { /* a stream may never be drained to its end */
        qr_buffer_drop(&http->out, http->out_at);
        http->out_at = 0;
    }
}

void qr_http1_resume(qr_http1 *http)
{
    if (!http->parsing)
        advance_waiting(http);
}

size_t qr_http1_queued(const qr_http1 *http)
{
    return http->out.size - http->out_at;
}

size_t qr_http1_held(const qr_http1 *http)
{
    return http->head.size + http->body.size + http->waiting.size;
}

bool qr_http1_partial(const qr_http1 *http)
{
    return http->state == READING && http->begun;
}

bool qr_http1_pending(const qr_http1 *http)
{
    return http->out.size > http->out_at;
}

bool qr_http1_finished(const qr_http1 *http)
{
    return http->state == CLOSING && !qr_http1_pending(http);
}

void qr_http1_free(qr_http1 *http)
{
    if (http == NULL)
        return;
    QR_CHECK(!http->parsing, "free() called from inside a handler");
    qr_buffer_free(&http->head);
    qr_buffer_free(&http->body);
    qr_buffer_free(&http->waiting);
    qr_buffer_free(&http->out);
    qr_free(http);
}

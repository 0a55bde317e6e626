/* The JSON gateway: POST /v3/kv/range with a JSON body is the Range of the tables, through a transport that
 * reads and writes JSON. No method knows. A stream is answered in chunks, a line of {"result":...} a message;
 * its request body may hold several documents, one message each. */
#include "door/etcd/http.h"
#include "wire/grpc_frame.h"
#include "wire/json.h"

#define METADATA "Grpc-Metadata-Content-Type: application/grpc\r\n"

/* As etcd 3.4's gateway has them; 3.6 and later answer FAILED_PRECONDITION with 400. */
static int http_status_of(qr_grpc_code code)
{
    switch (code) {
    case QR_GRPC_OK: return 200;
    case QR_GRPC_CANCELLED: return 408;
    case QR_GRPC_INVALID_ARGUMENT:
    case QR_GRPC_OUT_OF_RANGE: return 400;
    case QR_GRPC_UNAUTHENTICATED: return 401;
    case QR_GRPC_PERMISSION_DENIED: return 403;
    case QR_GRPC_NOT_FOUND: return 404;
    case QR_GRPC_ALREADY_EXISTS:
    case QR_GRPC_ABORTED: return 409;
    case QR_GRPC_FAILED_PRECONDITION: return 412;
    case QR_GRPC_RESOURCE_EXHAUSTED: return 429;
    case QR_GRPC_UNIMPLEMENTED: return 501;
    case QR_GRPC_UNAVAILABLE: return 503;
    case QR_GRPC_DEADLINE_EXCEEDED: return 504;
    default: return 500;
    }
}

static qr_buffer *begin(qr_etcd_call *call)
{
    qr_etcd_http *http = call->stream;
    qr_buffer_clear(&http->message);
    return &http->message;
}

/* What every version's clients read: "error" and "message" up to 3.5, "message" and "details" since. */
static void write_error(qr_buffer *out, qr_grpc_code code, const char *text)
{
    qr_buffer_clear(out);
    qr_buffer_format(out, "{\"error\":");
    qr_json_write_text(out, qr_slice_text(text));
    qr_buffer_format(out, ",\"message\":");
    qr_json_write_text(out, qr_slice_text(text));
    qr_buffer_format(out, ",\"code\":%d,\"details\":[]}", (int)code);
}

static void write_stream_error(qr_buffer *out, qr_grpc_code code, const char *text)
{
    int status = http_status_of(code);
    qr_buffer_clear(out);
    qr_buffer_format(out, "{\"error\":{\"grpc_code\":%d,\"http_code\":%d,\"message\":", (int)code, status);
    qr_json_write_text(out, qr_slice_text(text));
    qr_buffer_format(out, ",\"http_status\":\"%s\",\"code\":%d,\"details\":[]}}\n", qr_http1_reason(status),
                     (int)code);
}

/* ---- one message, one answer ---- */

static void end_one(qr_etcd_call *call)
{
    qr_etcd_http *http = call->stream;
    qr_buffer_clear(&http->text);
    bool written = qr_json_write(call->method->answer, qr_buffer_slice(&http->message), &http->text);
    QR_ASSERT(written); /* our own encoders wrote it */
    qr_buffer_shrink(&http->message, QR_ETCD_BODY_ROOM_MAX);
}

static void finish_one(qr_etcd_call *call, qr_grpc_code code, const char *text)
{
    qr_etcd_http *http = call->stream;
    if (code != QR_GRPC_OK)
        write_error(&http->text, code, text);
    qr_buffer body = http->text; /* the next request, which may begin now, has its own */
    qr_buffer_init(&http->text);
    qr_etcd_http_answer(http, http_status_of(code), QR_ETCD_JSON, code == QR_GRPC_OK ? METADATA : NULL,
                        qr_buffer_slice(&body));
    qr_buffer_free(&body);
}

static const qr_etcd_transport transport_of_one = {.begin = begin, .end = end_one, .finish = finish_one};

/* ---- streams ---- */

static void send_line(qr_etcd_http *http)
{
    if (!http->headed)
        qr_http1_begin(http->codec, 200, QR_ETCD_JSON, QR_ETCD_OPEN_TO_BROWSERS METADATA);
    http->headed = true;
    qr_http1_piece(http->codec, qr_buffer_slice(&http->text));
    qr_buffer_shrink(&http->text, QR_ETCD_BODY_ROOM_MAX);
    qr_etcd_line_wake(http->line);
}

static void end_message(qr_etcd_call *call)
{
    qr_etcd_http *http = call->stream;
    qr_buffer_clear(&http->text);
    qr_buffer_format(&http->text, "{\"result\":");
    bool written = qr_json_write(call->method->answer, qr_buffer_slice(&http->message), &http->text);
    QR_ASSERT(written);
    qr_buffer_format(&http->text, "}\n");
    send_line(http);
}

static void finish_stream(qr_etcd_call *call, qr_grpc_code code, const char *text)
{
    qr_etcd_http *http = call->stream;
    if (code != QR_GRPC_OK) {
        write_stream_error(&http->text, code, text);
        if (!http->headed) {
            qr_etcd_http_answer(http, http_status_of(code), QR_ETCD_JSON, NULL, qr_buffer_slice(&http->text));
            return;
        }
    } else {
        qr_buffer_clear(&http->text);
    }
    send_line(http);
    qr_etcd_call *over = qr_etcd_http_let_go(http, qr_http1_queued(http->codec));
    qr_http1_end(http->codec);
    if (over)
        qr_etcd_call_closed(over);
}

static size_t queued(qr_etcd_call *call)
{
    qr_etcd_http *http = call->stream;
    return qr_http1_queued(http->codec);
}

static const qr_etcd_transport transport_of_stream = {
    .begin = begin, .end = end_message, .queued = queued, .finish = finish_stream};

/* ---- requests ---- */

/* One document to the call. False: there is none, or the call has ended. */
static bool deliver(qr_etcd_http *http, qr_slice *rest, bool needed)
{
    qr_etcd_call *call = http->call;
    const char *why;
    qr_buffer_clear(&http->message);
    size_t taken = qr_json_read(call->method->request, *rest, &http->message, &why);
    if (why) {
        qr_etcd_call_fail_with(call, QR_GRPC_INVALID_ARGUMENT, why);
        return false;
    }
    if (!taken && !needed)
        return false;
    *rest = qr_slice_of(rest->data + taken, rest->size - taken);
    qr_buffer message = http->message; /* the answer may begin while it is being read */
    qr_buffer_init(&http->message);
    qr_etcd_call_message(call, qr_buffer_slice(&message));
    qr_buffer_free(&message);
    return http->call == call;
}

static void deliver_all(qr_etcd_http *http, qr_slice body)
{
    qr_etcd_call *call = http->call;
    for (int i = 0; deliver(http, &body, false); i++) {
        if (i < QR_ETCD_HTTP_DOCUMENTS_MAX)
            continue;
        qr_etcd_call_fail(call, QR_ETCD_E_TOO_MANY_REQUESTS);
        break;
    }
    if (http->call == call)
        qr_etcd_call_half_closed(call);
}

/* Of the header Grpc-Timeout; none, or one of zero, is none. False: it is malformed, and the call has ended.
 */
static bool take_timeout(qr_etcd_call *call, qr_slice text)
{
    uint64_t timeout_ms = 0;
    if (text.size > 0 && !qr_grpc_timeout_parse(text, &timeout_ms)) {
        qr_etcd_call_fail_with(
            call, QR_GRPC_INVALID_ARGUMENT,
            qr_arena_format(&call->arena, "invalid grpc-timeout: %s", qr_arena_text(&call->arena, text)));
        return false;
    }
    if (timeout_ms > 0)
        call->timeout_ms = timeout_ms;
    return true;
}

void qr_etcd_gateway(qr_etcd_http *http, const qr_http1_request *request, qr_slice path)
{
    const qr_etcd_method *method = qr_etcd_find_path(path);
    if (!method) {
        qr_etcd_http_respond(http, 404, QR_ETCD_PLAIN_TEXT, NULL, qr_slice_text("Not Found\n"));
        return;
    }
    if (!qr_slice_equal(request->method, qr_slice_text("POST"))) {
        qr_etcd_http_respond(http, 405, QR_ETCD_PLAIN_TEXT, NULL, qr_slice_text("Method Not Allowed\n"));
        return;
    }
    qr_slice body = request->body, timeout = qr_http1_header(http->codec, "grpc-timeout");
    http->headed = false;
    qr_etcd_call *call = qr_etcd_http_call(
        http, method,
        method->streaming && !method->streaming->once ? &transport_of_stream : &transport_of_one);
    if (!take_timeout(call, timeout))
        return;
    if (method->streaming && method->streaming->message)
        deliver_all(http, body); /* the client says as much as it likes */
    else
        deliver(http, &body, true);
}

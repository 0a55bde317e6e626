/* The client side of a gRPC connection: calls of one request message or many, any number of answers. For our
 * own command line program, so it is simple rather than fast. */
#include <stdio.h>
#include <stdlib.h>

#include <nghttp2/nghttp2.h>

#include "wire/grpc.h"
#include "wire/grpc_frame.h"

enum {
    CLIENT_MESSAGE_MAX = 512 * 1024 * 1024, /* bytes of one answer; memory is taken as they arrive */
    CLIENT_STREAM_WINDOW = 4 << 20,
    CLIENT_CONNECTION_WINDOW = 64 << 20,
    CLIENT_GRPC_TEXT_MAX = 16 * 1024, /* bytes of an encoded grpc-message that are kept */
};

typedef struct client_call {
    struct client_call *previous;
    struct client_call *next;
    qr_grpc_client *client;
    void *name; /* the caller's */
    int32_t stream_id;
    qr_buffer out; /* framed requests */
    size_t out_at;
    bool open;     /* more requests may come */
    bool deferred; /* the session waits to be told of one */
    qr_grpc_deframer in;
    int http_status;   /* 0: none came */
    bool code_arrived; /* grpc-status */
    bool failed;       /* .code and .text are ours */
    qr_grpc_code code;
    qr_buffer text; /* decoded, zero-terminated; or empty */
} client_call;

struct qr_grpc_client {
    nghttp2_session *session;
    const qr_grpc_client_handlers *handlers;
    void *context;
    char *authority;
    client_call *running;
    bool busy;
    bool broken;
};

static void set_text(client_call *call, const char *text)
{
    qr_buffer_clear(&call->text);
    qr_buffer_add(&call->text, text, strlen(text) + 1);
}

static void fail(client_call *call, qr_grpc_code code, const char *text)
{
    if (call->failed)
        return;
    call->failed = true;
    call->code = code;
    set_text(call, text);
}

/* on_done, exactly once: the call is gone after. */
static void done(client_call *call)
{
    qr_grpc_client *client = call->client;
    if (call->previous != NULL)
        call->previous->next = call->next;
    else
        client->running = call->next;
    if (call->next != NULL)
        call->next->previous = call->previous;
    client->handlers->on_done(client->context, call->name, call->code,
                              call->text.size ? (const char *)call->text.data : "");
    qr_buffer_free(&call->out);
    qr_buffer_free(&call->text);
    qr_grpc_deframer_free(&call->in);
    qr_free(call);
}

/* --------------------------------------------------------------- verdict ---- */

/* gRPC's "http-grpc-status-mapping.md". */
static qr_grpc_code code_of_http(int status)
{
    switch (status) {
    case 400: return QR_GRPC_INTERNAL;
    case 401: return QR_GRPC_UNAUTHENTICATED;
    case 403: return QR_GRPC_PERMISSION_DENIED;
    case 404: return QR_GRPC_UNIMPLEMENTED;
    case 429:
    case 502:
    case 503:
    case 504: return QR_GRPC_UNAVAILABLE;
    default: return QR_GRPC_UNKNOWN;
    }
}

/* gRPC's "PROTOCOL-HTTP2.md", "Errors". */
static qr_grpc_code code_of_reset(uint32_t error_code)
{
    switch (error_code) {
    case NGHTTP2_REFUSED_STREAM: return QR_GRPC_UNAVAILABLE;
    case NGHTTP2_CANCEL: return QR_GRPC_CANCELLED;
    case NGHTTP2_ENHANCE_YOUR_CALM: return QR_GRPC_RESOURCE_EXHAUSTED;
    case NGHTTP2_INADEQUATE_SECURITY: return QR_GRPC_PERMISSION_DENIED;
    default: return QR_GRPC_INTERNAL;
    }
}

/* The stream is over; what does that mean for the call? */
static void conclude(client_call *call, uint32_t error_code)
{
    char text[96];
    if (call->failed)
        return;
    if (call->code_arrived) {
        if (call->code == QR_GRPC_OK && qr_grpc_deframer_torn(&call->in))
            fail(call, QR_GRPC_INTERNAL, "the answer ended inside a message");
    } else if (error_code != NGHTTP2_NO_ERROR) {
        snprintf(text, sizeof text, "the stream was reset: %s", nghttp2_http2_strerror(error_code));
        fail(call, code_of_reset(error_code), text);
    } else if (call->http_status != 200) {
        snprintf(text, sizeof text, "unexpected HTTP status %d", call->http_status);
        fail(call, code_of_http(call->http_status), text);
    } else {
        fail(call, QR_GRPC_UNKNOWN, "the answer carries no grpc-status");
    }
}

/* -------------------------------------------------------------- callbacks ---- */

static ssize_t read_out(nghttp2_session *session, int32_t stream_id, uint8_t *target, size_t size_max,
                        uint32_t *flags, nghttp2_data_source *source, void *user_data)
{
    client_call *call = source->ptr;
    size_t size = call->out.size - call->out_at;
    if (size == 0 && call->open) {
        call->deferred = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    if (size > size_max)
        size = size_max;
    if (size > 0)
        memcpy(target, call->out.data + call->out_at, size);
    call->out_at += size;
    if (call->out_at == call->out.size) {
        qr_buffer_clear(&call->out);
        call->out_at = 0;
        if (!call->open)
            *flags |= NGHTTP2_DATA_FLAG_EOF;
    }
    return (ssize_t)size;
}

static bool is(const uint8_t *name, size_t size, const char *text)
{
    return size == strlen(text) && memcmp(name, text, size) == 0;
}

/* A small decimal number; -1 when it is none. */
static int number_of(const uint8_t *value, size_t size)
{
    int number = 0;
    if (size == 0 || size > 3)
        return -1;
    for (size_t i = 0; i < size; i++) {
        if (value[i] < '0' || value[i] > '9')
            return -1;
        number = number * 10 + (value[i] - '0');
    }
    return number;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_size, const uint8_t *value, size_t value_size, uint8_t flags,
                     void *user_data)
{
    client_call *call = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    if (call == NULL || call->failed)
        return 0;
    if (is(name, name_size, ":status")) {
        call->http_status = number_of(value, value_size);
    } else if (is(name, name_size, "grpc-status")) {
        int code = number_of(value, value_size);
        call->code = code >= 0 && code <= QR_GRPC_UNAUTHENTICATED ? (qr_grpc_code)code : QR_GRPC_UNKNOWN;
        call->code_arrived = true;
    } else if (is(name, name_size, "grpc-message")) {
        qr_buffer_clear(&call->text);
        qr_grpc_text_decode(
            &call->text,
            qr_slice_of(value, value_size < CLIENT_GRPC_TEXT_MAX ? value_size : CLIENT_GRPC_TEXT_MAX));
    }
    return 0;
}

static int on_data_chunk(nghttp2_session *session, uint8_t flags, int32_t stream_id, const uint8_t *data,
                         size_t size, void *user_data)
{
    qr_grpc_client *client = user_data;
    client_call *call = nghttp2_session_get_stream_user_data(session, stream_id);
    qr_slice input = qr_slice_of(data, size);
    while (call != NULL && !call->failed) {
        qr_slice message;
        switch (qr_grpc_deframer_next(&call->in, &input, CLIENT_MESSAGE_MAX, &message)) {
        case QR_GRPC_DEFRAMED_NOTHING: return 0;
        case QR_GRPC_DEFRAMED_MESSAGE:
            client->handlers->on_message(client->context, call->name, message);
            continue;
        case QR_GRPC_DEFRAMED_TOO_LARGE:
            fail(call, QR_GRPC_RESOURCE_EXHAUSTED, "the answer is too large");
            break;
        case QR_GRPC_DEFRAMED_COMPRESSED: fail(call, QR_GRPC_INTERNAL, "the answer is compressed"); break;
        case QR_GRPC_DEFRAMED_MALFORMED: fail(call, QR_GRPC_INTERNAL, "the answer is malformed"); break;
        }
        qr_grpc_deframer_reset(&call->in);
        if (nghttp2_is_fatal(
                nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, stream_id, NGHTTP2_CANCEL)))
            return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t stream_id, uint32_t error_code, void *user_data)
{
    client_call *call = nghttp2_session_get_stream_user_data(session, stream_id);
    if (call == NULL)
        return 0;
    nghttp2_session_set_stream_user_data(session, stream_id, NULL);
    conclude(call, error_code);
    done(call);
    return 0;
}

/* A request that was queued and cannot be sent any more: the server said goodbye, or stream numbers have run
 * out. */
static int on_frame_not_send(nghttp2_session *session, const nghttp2_frame *frame, int reason,
                             void *user_data)
{
    qr_grpc_client *client = user_data;
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0;
    for (client_call *call = client->running; call != NULL; call = call->next) {
        if (call->stream_id != frame->hd.stream_id)
            continue;
        nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, NULL);
        fail(call, QR_GRPC_UNAVAILABLE, "the server is closing the connection");
        done(call);
        break;
    }
    return 0;
}

/* ---------------------------------------------------------------- session ---- */

static int session_open(qr_grpc_client *client)
{
    nghttp2_session_callbacks *callbacks = NULL;
    nghttp2_option *option = NULL;
    int result = nghttp2_session_callbacks_new(&callbacks);
    if (result == 0)
        result = nghttp2_option_new(&option);
    if (result == 0) {
        nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
        nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data_chunk);
        nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
        nghttp2_session_callbacks_set_on_frame_not_send_callback(callbacks, on_frame_not_send);
        nghttp2_option_set_no_closed_streams(option, 1);
        result = nghttp2_session_client_new2(&client->session, callbacks, client, option);
    }
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    return result;
}

qr_grpc_client *qr_grpc_client_new(const qr_grpc_client_handlers *handlers, void *context,
                                   const char *authority)
{
    qr_grpc_client *client = qr_alloc_zero(1, sizeof *client);
    client->handlers = handlers;
    client->context = context;
    client->authority = qr_strdup(authority);
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, CLIENT_STREAM_WINDOW},
    };
    int result = session_open(client);
    if (result == 0)
        result = nghttp2_submit_settings(client->session, NGHTTP2_FLAG_NONE, settings, 2);
    if (result == 0)
        result = nghttp2_session_set_local_window_size(client->session, NGHTTP2_FLAG_NONE, 0,
                                                       CLIENT_CONNECTION_WINDOW);
    QR_CHECK(result == 0, "out of memory for an HTTP/2 session");
    return client;
}

static nghttp2_nv header(const char *name, const char *value)
{
    return (nghttp2_nv){.name = (uint8_t *)(uintptr_t)name,
                        .value = (uint8_t *)(uintptr_t)value,
                        .namelen = strlen(name),
                        .valuelen = strlen(value),
                        .flags = NGHTTP2_NV_FLAG_NONE};
}

static void put_request(client_call *call, qr_slice message)
{
    qr_grpc_prefix_store(qr_buffer_extend(&call->out, QR_GRPC_PREFIX_SIZE), (uint32_t)message.size);
    qr_buffer_add_slice(&call->out, message);
}

static qr_status begin(qr_grpc_client *client, const char *path, const char *const *metadata,
                       qr_slice message, void *name, bool open)
{
    if (client->broken || !nghttp2_session_check_request_allowed(client->session))
        return QR_E_NOT_APPLIED;
    if (message.size > UINT32_MAX)
        return QR_E_TOO_LARGE;
    client_call *call = qr_alloc_zero(1, sizeof *call);
    call->client = client;
    call->name = name;
    call->open = open;
    put_request(call, message);
    const nghttp2_nv headers[] = {
        header(":method", "POST"),
        header(":scheme", "http"),
        header(":path", path),
        header(":authority", client->authority),
        header("content-type", "application/grpc"),
        header("user-agent", "quorate"),
        header("te", "trailers"),
        metadata ? header(metadata[0], metadata[1]) : header("", ""), /* the last one: left out if empty */
    };
    size_t header_count = sizeof headers / sizeof *headers - !metadata;
    const nghttp2_data_provider provider = {.source.ptr = call, .read_callback = read_out};
    int32_t stream_id = nghttp2_submit_request(client->session, NULL, headers, header_count, &provider, call);
    if (stream_id < 0) {
        qr_buffer_free(&call->out);
        qr_free(call);
        return QR_E_NOT_APPLIED;
    }
    call->stream_id = stream_id;
    call->next = client->running;
    if (client->running != NULL)
        client->running->previous = call;
    client->running = call;
    return QR_OK;
}

qr_status qr_grpc_client_call(qr_grpc_client *client, const char *path, qr_slice message, void *name)
{
    return begin(client, path, NULL, message, name, false);
}

qr_status qr_grpc_client_open(qr_grpc_client *client, const char *path, const char *const metadata[2],
                              qr_slice message, void *name)
{
    return begin(client, path, metadata, message, name, true);
}

static client_call *find_open(const qr_grpc_client *client, const void *name)
{
    client_call *call = client->running;
    while (call != NULL && !(call->name == name && call->open))
        call = call->next;
    return call;
}

/* There is something new to send, if only the end. A stream that went wrong meanwhile tells so by itself. */
static void push(client_call *call)
{
    if (!call->deferred)
        return;
    call->deferred = false;
    nghttp2_session_resume_data(call->client->session, call->stream_id);
}

qr_status qr_grpc_client_send(qr_grpc_client *client, void *name, qr_slice message)
{
    client_call *call = find_open(client, name);
    if (call == NULL)
        return QR_E_NOT_FOUND;
    if (message.size > UINT32_MAX)
        return QR_E_TOO_LARGE;
    put_request(call, message);
    push(call);
    return QR_OK;
}

qr_status qr_grpc_client_half_close(qr_grpc_client *client, void *name)
{
    client_call *call = find_open(client, name);
    if (call == NULL)
        return QR_E_NOT_FOUND;
    call->open = false;
    push(call);
    return QR_OK;
}

void qr_grpc_client_ping(qr_grpc_client *client)
{
    nghttp2_submit_ping(client->session, NGHTTP2_FLAG_NONE, NULL);
}

qr_status qr_grpc_client_feed(qr_grpc_client *client, qr_slice bytes)
{
    QR_CHECK(!client->busy, "feed() called from inside a handler");
    if (client->broken)
        return QR_E_INVALID;
    if (bytes.size == 0)
        return QR_OK;
    client->busy = true;
    client->broken = nghttp2_session_mem_recv(client->session, bytes.data, bytes.size) < 0;
    client->busy = false;
    return client->broken ? QR_E_INVALID : QR_OK;
}

void qr_grpc_client_drain(qr_grpc_client *client, qr_buffer *out, size_t size_max)
{
    QR_CHECK(!client->busy, "drain() called from inside a handler");
    client->busy = true;
    size_t start = out->size;
    while (!client->broken && out->size - start < size_max) {
        const uint8_t *bytes;
        ssize_t size = nghttp2_session_mem_send(client->session, &bytes);
        if (size <= 0) {
            client->broken = size < 0;
            break;
        }
        qr_buffer_add(out, bytes, (size_t)size);
    }
    client->busy = false;
}

void qr_grpc_client_free(qr_grpc_client *client)
{
    if (client == NULL)
        return;
    QR_CHECK(!client->busy, "free() called from inside a handler");
    client->broken = true; /* a handler that tries again from on_done is refused */
    while (client->running != NULL) {
        fail(client->running, QR_GRPC_UNAVAILABLE, "the connection was closed");
        done(client->running);
    }
    nghttp2_session_del(client->session);
    qr_free(client->authority);
    qr_free(client);
}

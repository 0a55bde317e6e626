/* The server side of a gRPC connection: drives an HTTP/2 session and turns its frames into handler calls.
 *
 * Floods. A peer can make a server work or remember more than it pays for itself. What bounds each kind:
 * - PING: how often, on_ping(); answers that are not drained yet, QR_GRPC_ACKS_MAX, as for SETTINGS;
 * - SETTINGS: entries of a frame, QR_GRPC_SETTINGS_MAX;
 * - CONTINUATION: frames of a header block, QR_GRPC_CONTINUATIONS_MAX (CVE-2024-28182);
 * - streams and resets: strike(), below (CVE-2023-44487 "rapid reset", CVE-2025-8671 "made you reset");
 * - refused streams: frames waiting to be drained, outbound_frames_max().
 * A peer over a bound gets GOAWAY with ENHANCE_YOUR_CALM and the connection ends. The library has a limit of
 * its own on resets, but it asks the clock, which would make a simulated run depend on the machine it runs
 * on: it is switched off in favour of strike(). */
#include <stdio.h>

#include "wire/http2/grpc_server.h"

static qr_grpc_call *find_call(qr_grpc_server *server, int32_t stream_id)
{
    if (server->recent != NULL && server->recent->stream_id == stream_id)
        return server->recent;
    qr_grpc_call *call = nghttp2_session_get_stream_user_data(server->session, stream_id);
    if (call != NULL)
        server->recent = call;
    return call;
}

static void end_connection(qr_grpc_server *server, uint32_t reason)
{
    if (!server->broken)
        nghttp2_session_terminate_session(server->session, reason);
    server->broken = true;
}

/* A stream that ends before anything of its answer was drained was work for nothing. Every call that is
 * answered makes up for one of them; more than QR_GRPC_STRIKES_MAX that nothing made up for end the
 * connection. Counting instead of measuring a rate needs no clock; a client that merely gives up on a
 * thousand calls in a row, as in an outage, loses its connection and nothing else. */
static void strike(qr_grpc_server *server)
{
    if (++server->strikes > QR_GRPC_STRIKES_MAX)
        end_connection(server, NGHTTP2_ENHANCE_YOUR_CALM);
}

/* Each running stream can have a few frames waiting; far more than that are answers to nonsense that the peer
 * does not read. */
static size_t outbound_frames_max(const qr_grpc_server *server)
{
    return 8 * (size_t)server->limits.streams_max + 1024;
}

/* -------------------------------------------------------------- headers ---- */

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user_data)
{
    qr_grpc_server *server = user_data;
    server->receiving = NULL;
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0;
    if (server->shut || server->broken) {
        /* Our GOAWAY has named the last stream that will be served. This one is surely not, and the client is
         * told so in the one way that lets it try elsewhere without fear of doing things twice (RFC
         * 9113, 8.7). */
        return nghttp2_is_fatal(nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id,
                                                          NGHTTP2_REFUSED_STREAM))
                   ? NGHTTP2_ERR_CALLBACK_FAILURE
                   : 0;
    }
    qr_grpc_call *call = qr_grpc_call_open(server, frame->hd.stream_id);
    nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, call);
    server->receiving = call;
    server->recent = call;
    return 0;
}

static uint32_t keep(qr_grpc_call *call, qr_slice bytes)
{
    uint32_t at = (uint32_t)call->heads.size;
    qr_buffer_add_slice(&call->heads, bytes);
    return at;
}

static bool is(qr_slice name, const char *text, size_t size)
{
    return name.size == size && memcmp(name.data, text, size) == 0;
}

static void take_header(qr_grpc_call *call, qr_slice name, qr_slice value)
{
    if (name.data[0] == ':') {
        if (is(name, ":path", 5)) {
            call->path_at = keep(call, value);
            call->path_size = (uint32_t)value.size;
        } else if (is(name, ":method", 7)) {
            call->faults.method_wrong = !is(value, "POST", 4);
        }
        return;
    }
    if (is(name, "content-type", 12)) {
        call->faults.content_type_valid = qr_grpc_content_type_valid(value);
    } else if (is(name, "grpc-timeout", 12)) {
        if (!qr_grpc_timeout_parse(value, &call->timeout_ms))
            call->faults.timeout_malformed = true;
    } else if (is(name, "grpc-encoding", 13)) {
        call->faults.encoding_unknown = !is(value, "identity", 8);
    } else if (is(name, "te", 2)) {
        return; /* proxies between may strip it: neither demanded nor kept */
    }
    if (call->metadata_count == QR_GRPC_METADATA_MAX || name.size + value.size > QR_GRPC_METADATA_SIZE_MAX)
        return;
    grpc_metadata *metadata = &call->metadata[call->metadata_count++];
    metadata->name_size = (uint32_t)name.size;
    metadata->value_size = (uint32_t)value.size;
    metadata->name_at = keep(call, name);
    metadata->value_at = keep(call, value);
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_size, const uint8_t *value, size_t value_size, uint8_t flags,
                     void *user_data)
{
    qr_grpc_server *server = user_data;
    qr_grpc_call *call = server->receiving;
    if (call == NULL || name_size == 0)
        return 0;
    /* The size that SETTINGS_MAX_HEADER_LIST_SIZE speaks of (RFC 9113, 6.5.2). */
    size_t size = name_size + value_size + 32;
    if (size > server->limits.header_list_max - call->header_list_size) {
        call->faults.header_list_large = true;
        call->header_list_size = server->limits.header_list_max;
        return 0;
    }
    call->header_list_size += (uint32_t)size;
    take_header(call, qr_slice_of(name, name_size), qr_slice_of(value, value_size));
    return 0;
}

/* True when the request may be handed over; else it is answered. The HTTP status is for clients that speak no
 * gRPC. */
static bool judge_request(qr_grpc_call *call)
{
    const grpc_request_faults *faults = &call->faults;
    char text[160];
    if (faults->header_list_large) {
        snprintf(text, sizeof text, "the request's headers are larger than %u bytes",
                 (unsigned)call->server->limits.header_list_max);
        qr_grpc_call_refuse(call, "431", QR_GRPC_RESOURCE_EXHAUSTED, text);
    } else if (faults->method_wrong) {
        qr_grpc_call_refuse(call, "405", QR_GRPC_INTERNAL, "a gRPC request is a POST");
    } else if (!faults->content_type_valid) {
        qr_slice type = qr_grpc_call_metadata(call, "content-type");
        snprintf(text, sizeof text, "invalid gRPC request content-type \"%.*s\"",
                 (int)(type.size < 80 ? type.size : 80), type.data ? (const char *)type.data : "");
        qr_grpc_call_refuse(call, "415", QR_GRPC_INVALID_ARGUMENT, text);
    } else if (faults->timeout_malformed) {
        qr_grpc_call_refuse(call, "400", QR_GRPC_INTERNAL, "malformed grpc-timeout");
    } else if (faults->encoding_unknown) {
        qr_slice encoding = qr_grpc_call_metadata(call, "grpc-encoding");
        snprintf(text, sizeof text, "grpc: Decompressor is not installed for grpc-encoding \"%.*s\"",
                 (int)(encoding.size < 80 ? encoding.size : 80),
                 encoding.data ? (const char *)encoding.data : "");
        qr_grpc_call_refuse(call, "200", QR_GRPC_UNIMPLEMENTED, text);
    } else {
        return true;
    }
    return false;
}

static void half_close(qr_grpc_server *server, qr_grpc_call *call)
{
    call->half_closed = true;
    if (call->finished)
        return;
    if (qr_grpc_deframer_torn(&call->in))
        qr_grpc_finish(call, QR_GRPC_INTERNAL, "the stream ended inside a message");
    else
        server->handlers->on_half_closed(server->context, call);
}

static void on_request(qr_grpc_server *server, qr_grpc_call *call)
{
    server->receiving = NULL;
    if (!judge_request(call))
        return;
    call->announced = true;
    server->handlers->on_call(server->context, call,
                              qr_slice_of(call->heads.data + call->path_at, call->path_size));
}

/* ----------------------------------------------------------------- data ---- */

/* Why the rest of a call's messages is not wanted; the texts of size and encoding are those of grpc-go, which
 * tools look for. */
static void fail_incoming(qr_grpc_call *call, qr_grpc_deframed verdict)
{
    char text[96];
    switch (verdict) {
    case QR_GRPC_DEFRAMED_TOO_LARGE:
        snprintf(text, sizeof text, "grpc: received message larger than max (%u vs. %u)",
                 (unsigned)call->in.message_size, (unsigned)call->server->limits.message_max);
        qr_grpc_finish(call, QR_GRPC_RESOURCE_EXHAUSTED, text);
        break;
    case QR_GRPC_DEFRAMED_COMPRESSED:
        qr_grpc_finish(call, QR_GRPC_UNIMPLEMENTED, "grpc: compressed messages are not supported");
        break;
    default: qr_grpc_finish(call, QR_GRPC_INTERNAL, "grpc: received unexpected payload format"); break;
    }
}

static int on_data_chunk(nghttp2_session *session, uint8_t flags, int32_t stream_id, const uint8_t *data,
                         size_t size, void *user_data)
{
    qr_grpc_server *server = user_data;
    qr_grpc_call *call = find_call(server, stream_id);
    qr_slice input = qr_slice_of(data, size);
    while (call != NULL && !call->finished) {
        qr_slice message;
        size_t held = qr_grpc_deframer_held(&call->in);
        uint32_t torn_others = server->torn - (uint32_t)qr_grpc_deframer_torn(&call->in);
        qr_grpc_deframed verdict =
            qr_grpc_deframer_next(&call->in, &input, server->limits.message_max, &message);
        server->torn = torn_others + (uint32_t)qr_grpc_deframer_torn(&call->in);
        QR_ASSERT(server->buffered >= held);
        server->buffered = server->buffered - held + qr_grpc_deframer_held(&call->in);
        if (verdict == QR_GRPC_DEFRAMED_MESSAGE) {
            server->handlers->on_message(server->context, call, message);
        } else if (verdict != QR_GRPC_DEFRAMED_NOTHING) {
            fail_incoming(call, verdict);
        } else {
            if (server->buffered > server->limits.buffered_max)
                qr_grpc_finish(call, QR_GRPC_RESOURCE_EXHAUSTED,
                               "too many unfinished messages on this connection");
            break;
        }
    }
    return 0;
}

/* --------------------------------------------------------------- frames ---- */

/* The rule of grpc-go, with the figures of etcd, because clients are set to live with it: a ping that comes
 * sooner after the last one than it may is a strike, more than QR_GRPC_PING_STRIKES_MAX strikes end the
 * connection, and the first ping after we sent HEADERS or DATA is free and wipes the strikes out. The last is
 * what lets clients measure the bandwidth, which they do by pinging at each answer. Where no call is open
 * there is nothing to keep alive, and almost every ping is one too many. */
static void on_ping(qr_grpc_server *server)
{
    static const char reason[] = "too_many_pings"; /* clients look for it, and ping more slowly afterwards */
    if (!server->timed)
        return;
    uint64_t interval_ms = server->running ? QR_GRPC_PING_INTERVAL_MS : QR_GRPC_PING_IDLE_MS;
    bool early = server->pinged && server->now_ms < server->last_ping_ms + interval_ms;
    server->pinged = true;
    server->last_ping_ms = server->now_ms;
    if (server->pings_forgiven) {
        server->pings_forgiven = false;
        server->ping_strikes = 0;
        return;
    }
    if (!early || ++server->ping_strikes <= QR_GRPC_PING_STRIKES_MAX || server->broken)
        return;
    /* Ending the session sends a GOAWAY of its own, but one that cannot carry a reason; this one goes before
     * it. */
    int32_t last = nghttp2_session_get_last_proc_stream_id(server->session);
    if (nghttp2_is_fatal(nghttp2_submit_goaway(server->session, NGHTTP2_FLAG_NONE, last,
                                               NGHTTP2_ENHANCE_YOUR_CALM, (const uint8_t *)reason,
                                               sizeof reason - 1)))
        server->dead = true;
    end_connection(server, NGHTTP2_ENHANCE_YOUR_CALM);
}

static int on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *user_data)
{
    qr_grpc_server *server = user_data;
    if (frame->hd.type == NGHTTP2_PING && !(frame->hd.flags & NGHTTP2_FLAG_ACK))
        on_ping(server);
    if (frame->hd.type != NGHTTP2_DATA && frame->hd.type != NGHTTP2_HEADERS)
        return 0;
    qr_grpc_call *call = find_call(server, frame->hd.stream_id);
    if (call == NULL)
        return 0;
    if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST)
        on_request(server, call);
    if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
        half_close(server, call);
    return 0;
}

static int on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *user_data)
{
    qr_grpc_server *server = user_data;
    if (frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS)
        server->pings_forgiven = true;
    if (frame->hd.type != NGHTTP2_HEADERS)
        return 0;
    qr_grpc_call *call = find_call(server, frame->hd.stream_id);
    if (call == NULL)
        return 0;
    call->answered = true;
    /* The answer is whole but the client is still sending: it is told to stop, without blame (RFC 9113, 8.1).
     */
    if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) && !call->half_closed &&
        nghttp2_is_fatal(
            nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, call->stream_id, NGHTTP2_NO_ERROR)))
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t stream_id, uint32_t error_code, void *user_data)
{
    qr_grpc_server *server = user_data;
    qr_grpc_call *call = find_call(server, stream_id);
    if (call == NULL || !call->answered) {
        if (!server->shut) /* streams that our GOAWAY crossed are no one's fault */
            strike(server);
    } else if (server->strikes > 0) {
        server->strikes--;
    }
    if (call != NULL) {
        nghttp2_session_set_stream_user_data(session, stream_id, NULL);
        qr_grpc_call_close(call);
    }
    return 0;
}

/* -------------------------------------------------------------- session ---- */

static void *pool_malloc(size_t size, void *pool)
{
    return qr_pool_alloc(pool, size);
}
static void pool_free(void *memory, void *pool)
{
    qr_pool_free(pool, memory);
}
static void *pool_calloc(size_t count, size_t size, void *pool)
{
    QR_ASSERT(size == 0 || count <= SIZE_MAX / 4 / size);
    return memset(qr_pool_alloc(pool, count * size), 0, count * size);
}
static void *pool_realloc(void *old, size_t size, void *pool)
{
    return qr_pool_realloc(pool, old, size);
}

static int session_open(qr_grpc_server *server, qr_pool *pool)
{
    nghttp2_session_callbacks *callbacks = NULL;
    nghttp2_option *option = NULL;
    int result = nghttp2_session_callbacks_new(&callbacks);
    if (result == 0)
        result = nghttp2_option_new(&option);
    if (result == 0) {
        nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
        nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
        nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data_chunk);
        nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame_recv);
        nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_send);
        nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
        nghttp2_option_set_no_closed_streams(option, 1);
        nghttp2_option_set_max_outbound_ack(option, QR_GRPC_ACKS_MAX);
        nghttp2_option_set_max_settings(option, QR_GRPC_SETTINGS_MAX);
        /* A header block of ours needs one or two. But the library counts every piece in which the nine bytes
         * before a CONTINUATION arrive, so a bound that is too tight would punish slow networks. */
        nghttp2_option_set_max_continuations(option, QR_GRPC_CONTINUATIONS_MAX);
        nghttp2_option_set_stream_reset_rate_limit(option, UINT64_MAX, UINT64_MAX);
        nghttp2_mem memory = {pool, pool_malloc, pool_free, pool_calloc, pool_realloc};
        result = nghttp2_session_server_new3(&server->session, callbacks, server, option,
                                             pool != NULL ? &memory : NULL);
    }
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    return result;
}

qr_grpc_server *qr_grpc_server_new(const qr_grpc_handlers *handlers, void *context,
                                   const qr_grpc_limits *limits, qr_pool *pool)
{
    qr_grpc_server *server = qr_alloc_zero(1, sizeof *server);
    server->handlers = handlers;
    server->context = context;
    server->limits = limits ? *limits : qr_grpc_limits_default;
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, server->limits.streams_max},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, QR_GRPC_STREAM_WINDOW},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, server->limits.header_list_max},
        {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
    };
    int result = session_open(server, pool);
    if (result == 0)
        result = nghttp2_submit_settings(server->session, NGHTTP2_FLAG_NONE, settings,
                                         sizeof settings / sizeof *settings);
    if (result == 0)
        result = nghttp2_session_set_local_window_size(server->session, NGHTTP2_FLAG_NONE, 0,
                                                       QR_GRPC_CONNECTION_WINDOW);
    QR_CHECK(result == 0, "out of memory for an HTTP/2 session");
    return server;
}

void qr_grpc_server_now(qr_grpc_server *server, uint64_t now_ms)
{
    server->now_ms = now_ms;
    server->timed = true;
}

bool qr_grpc_server_partial(const qr_grpc_server *server)
{
    return qr_grpc_position_inside(&server->position) || server->torn > 0;
}

uint64_t qr_grpc_server_frames(const qr_grpc_server *server)
{
    return server->position.frames;
}

qr_status qr_grpc_server_feed(qr_grpc_server *server, qr_slice bytes)
{
    QR_CHECK(!server->busy, "feed() called from inside a handler");
    if (server->broken || server->dead)
        return QR_E_INVALID;
    if (bytes.size == 0)
        return QR_OK;
    server->busy = true;
    qr_grpc_position_pass(&server->position, bytes);
    ssize_t result = nghttp2_session_mem_recv(server->session, bytes.data, bytes.size);
    if (result == NGHTTP2_ERR_NOMEM || result == NGHTTP2_ERR_CALLBACK_FAILURE)
        server->dead = true;
    else if (result == NGHTTP2_ERR_FLOODED ||
             nghttp2_session_get_outbound_queue_size(server->session) > outbound_frames_max(server))
        end_connection(server, NGHTTP2_ENHANCE_YOUR_CALM);
    else if (result < 0)
        end_connection(server, NGHTTP2_PROTOCOL_ERROR);
    server->busy = false;
    return server->broken || server->dead ? QR_E_INVALID : QR_OK;
}

void qr_grpc_server_drain(qr_grpc_server *server, qr_buffer *out, size_t size_max)
{
    QR_CHECK(!server->busy, "drain() called from inside a handler");
    server->busy = true;
    size_t start = out->size;
    while (!server->dead && out->size - start < size_max) {
        const uint8_t *bytes;
        ssize_t size = nghttp2_session_mem_send(server->session, &bytes);
        if (size <= 0) {
            server->dead = server->dead || size < 0;
            break;
        }
        qr_buffer_add(out, bytes, (size_t)size);
    }
    server->busy = false;
}

bool qr_grpc_server_pending(const qr_grpc_server *server)
{
    return !server->dead && nghttp2_session_want_write(server->session) != 0;
}

bool qr_grpc_server_finished(const qr_grpc_server *server)
{
    if (server->dead)
        return true;
    if (nghttp2_session_want_write(server->session))
        return false;
    return server->broken || !nghttp2_session_want_read(server->session);
}

void qr_grpc_server_shutdown(qr_grpc_server *server)
{
    if (server->shut || server->broken || server->dead)
        return;
    server->shut = true;
    int32_t last = nghttp2_session_get_last_proc_stream_id(server->session);
    if (nghttp2_is_fatal(
            nghttp2_submit_goaway(server->session, NGHTTP2_FLAG_NONE, last, NGHTTP2_NO_ERROR, NULL, 0)))
        server->dead = true;
}

void qr_grpc_server_free(qr_grpc_server *server)
{
    if (server == NULL)
        return;
    QR_CHECK(!server->busy, "free() called from inside a handler");
    server->busy = true;
    while (server->running != NULL)
        qr_grpc_call_close(server->running);
    nghttp2_session_del(server->session);
    qr_grpc_server_spares_free(server);
    qr_buffer_free(&server->sink);
    qr_free(server);
}

/* The server's call objects: their pool, and everything that is sent on them. Buffers live with the call
 * object and go back to the pool with it, so a steady stream of small calls asks for no memory of ours. */
#include "wire/http2/grpc_server.h"

#define HEADER(header_name, header_value, header_value_size)                                                 \
    {                                                                                                        \
        .name = (uint8_t *)(uintptr_t)(header_name), .value = (uint8_t *)(uintptr_t)(header_value),          \
        .namelen = sizeof(header_name) - 1, .valuelen = (header_value_size),                                 \
        .flags = NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE                                \
    }

static const char *const code_texts[] = {"0", "1",  "2",  "3",  "4",  "5",  "6",  "7", "8",
                                         "9", "10", "11", "12", "13", "14", "15", "16"};

static size_t buffers_room(const qr_grpc_call *call)
{
    return call->heads.room + call->in.body.room + call->out.room + call->text.room;
}

static void buffers_free(qr_grpc_call *call)
{
    qr_buffer_free(&call->heads);
    qr_buffer_free(&call->out);
    qr_buffer_free(&call->text);
    qr_grpc_deframer_free(&call->in);
}

qr_grpc_call *qr_grpc_call_open(qr_grpc_server *server, int32_t stream_id)
{
    qr_grpc_call *call = server->spare;
    if (call != NULL) {
        server->spare = call->next;
        server->spare_count--;
        server->spare_bytes -= buffers_room(call);
    } else {
        call = qr_alloc_zero(1, sizeof *call);
    }
    call->server = server;
    call->stream_id = stream_id;
    call->timeout_ms = UINT64_MAX;
    call->previous = NULL;
    call->next = server->running;
    if (server->running != NULL)
        server->running->previous = call;
    server->running = call;
    return call;
}

static void unlink_running(qr_grpc_call *call)
{
    qr_grpc_server *server = call->server;
    if (call->previous != NULL)
        call->previous->next = call->next;
    else
        server->running = call->next;
    if (call->next != NULL)
        call->next->previous = call->previous;
    if (server->receiving == call)
        server->receiving = NULL;
    if (server->recent == call)
        server->recent = NULL;
}

/* Puts everything but the buffers' memory back to zero. */
static void wipe(qr_grpc_call *call)
{
    qr_grpc_deframer_reset(&call->in);
    qr_buffer_clear(&call->heads);
    qr_buffer_clear(&call->out);
    qr_buffer_clear(&call->text);
    call->data = NULL;
    call->announced = call->half_closed = call->responded = call->answered = false;
    call->deferred = call->finished = call->closed = call->sending = false;
    call->code = QR_GRPC_OK;
    call->faults = (grpc_request_faults){0};
    call->header_list_size = call->path_at = call->path_size = call->metadata_count = 0;
    call->out_at = call->message_at = 0;
    call->parts_left = 0;
}

void qr_grpc_call_close(qr_grpc_call *call)
{
    qr_grpc_server *server = call->server;
    QR_ASSERT(!call->closed && !call->sending);
    call->closed = true;
    call->finished = true;
    qr_grpc_call_forget_incoming(call);
    if (call->announced)
        server->handlers->on_closed(server->context, call);
    QR_ASSERT(!call->sending);
    unlink_running(call);
    wipe(call);
    if (server->spare_count >= QR_GRPC_SPARE_MAX) {
        buffers_free(call);
        qr_free(call);
        return;
    }
    if (server->spare_bytes + buffers_room(call) > QR_GRPC_SPARE_BYTES_MAX)
        buffers_free(call);
    server->spare_bytes += buffers_room(call);
    server->spare_count++;
    call->next = server->spare;
    server->spare = call;
}

void qr_grpc_server_spares_free(qr_grpc_server *server)
{
    while (server->spare != NULL) {
        qr_grpc_call *next = server->spare->next;
        buffers_free(server->spare);
        qr_free(server->spare);
        server->spare = next;
    }
}

void qr_grpc_call_forget_incoming(qr_grpc_call *call)
{
    size_t held = qr_grpc_deframer_held(&call->in);
    QR_ASSERT(held <= call->server->buffered);
    call->server->buffered -= held;
    if (qr_grpc_deframer_torn(&call->in)) {
        QR_ASSERT(call->server->torn > 0);
        call->server->torn--;
    }
    qr_grpc_deframer_reset(&call->in);
}

/* ------------------------------------------------------------------ out ---- */

/* The message is drained and the call is finished: its last words. Called by the session's own rule from
 * inside the data source, so that DATA and trailers leave in one drain. */
static int submit_trailers(qr_grpc_call *call)
{
    const char *code = code_texts[call->code];
    const nghttp2_nv trailers[] = {
        HEADER("grpc-status", code, strlen(code)),
        HEADER("grpc-message", call->text.data, call->text.size),
    };
    return nghttp2_submit_trailer(call->server->session, call->stream_id, trailers, call->text.size ? 2 : 1);
}

static ssize_t read_out(nghttp2_session *session, int32_t stream_id, uint8_t *target, size_t size_max,
                        uint32_t *flags, nghttp2_data_source *source, void *user_data)
{
    qr_grpc_call *call = source->ptr;
    QR_ASSERT(call->stream_id == stream_id && !call->closed && !call->sending);
    size_t size = call->out.size - call->out_at;
    if (size == 0 && !call->finished) {
        call->deferred = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    if (size > size_max)
        size = size_max;
    if (size)
        memcpy(target, call->out.data + call->out_at, size);
    call->out_at += size;
    if (call->out_at == call->out.size) {
        qr_buffer_clear(&call->out);
        call->out_at = 0;
        if (call->finished) {
            *flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
            if (submit_trailers(call) != 0)
                return NGHTTP2_ERR_CALLBACK_FAILURE;
        }
    }
    return (ssize_t)size;
}

/* A stream that went wrong under our hands is no error of the caller's: on_closed will come. Only a session
 * out of memory is fatal, and is remembered until the next feed or drain. */
static void note(qr_grpc_server *server, int result)
{
    if (nghttp2_is_fatal(result))
        server->dead = true;
}

/* There is something new to send: the first time it takes response headers, later the session is woken. */
static void push(qr_grpc_call *call)
{
    qr_grpc_server *server = call->server;
    if (!call->responded) {
        static const char type[] = "application/grpc";
        const nghttp2_nv headers[] = {HEADER(":status", "200", 3),
                                      HEADER("content-type", type, sizeof type - 1)};
        const nghttp2_data_provider provider = {.source.ptr = call, .read_callback = read_out};
        call->responded = true;
        note(server, nghttp2_submit_response(server->session, call->stream_id, headers, 2, &provider));
    } else if (call->deferred) {
        call->deferred = false;
        note(server, nghttp2_session_resume_data(server->session, call->stream_id));
    }
}

static qr_buffer *begin(qr_grpc_call *call)
{
    QR_ASSERT(!call->sending);
    call->sending = true;
    qr_buffer *out = &call->out;
    if (call->finished) {
        out = &call->server->sink;
        qr_buffer_clear(out);
    } else if (call->out_at > QR_GRPC_BODY_KEPT && call->out_at > out->size / 2) {
        qr_buffer_drop(out, call->out_at);
        call->out_at = 0;
    }
    call->message_at = out->size;
    return out;
}

/* False: nobody listens any more. */
static bool end(qr_grpc_call *call)
{
    QR_ASSERT(call->sending);
    call->sending = false;
    if (call->finished)
        qr_buffer_shrink(&call->server->sink, QR_GRPC_BODY_KEPT);
    return !call->finished;
}

qr_buffer *qr_grpc_send_begin(qr_grpc_call *call)
{
    QR_ASSERT(call->parts_left == 0 || call->finished);
    qr_buffer *out = begin(call);
    qr_buffer_extend(out, QR_GRPC_PREFIX_SIZE);
    return out;
}

void qr_grpc_send_end(qr_grpc_call *call)
{
    if (!end(call))
        return;
    QR_ASSERT(call->out.size >= call->message_at + QR_GRPC_PREFIX_SIZE);
    size_t size = call->out.size - call->message_at - QR_GRPC_PREFIX_SIZE;
    QR_ASSERT(size <= UINT32_MAX);
    qr_grpc_prefix_store(call->out.data + call->message_at, (uint32_t)size);
    push(call);
}

void qr_grpc_send(qr_grpc_call *call, qr_slice message)
{
    qr_buffer_add_slice(qr_grpc_send_begin(call), message);
    qr_grpc_send_end(call);
}

void qr_grpc_send_sized(qr_grpc_call *call, uint32_t size)
{
    qr_grpc_prefix_store(qr_buffer_extend(begin(call), QR_GRPC_PREFIX_SIZE), size);
    if (end(call))
        call->parts_left = size;
}

qr_buffer *qr_grpc_part_begin(qr_grpc_call *call)
{
    return begin(call);
}

void qr_grpc_part_end(qr_grpc_call *call)
{
    if (!end(call))
        return;
    size_t size = call->out.size - call->message_at;
    QR_ASSERT(size <= call->parts_left);
    call->parts_left -= (uint32_t)size;
    push(call);
}

/* An answer without a message: response headers and trailers are one ("Trailers-Only"). */
static void submit_trailers_only(qr_grpc_call *call, const char *http_status)
{
    static const char type[] = "application/grpc";
    const char *code = code_texts[call->code];
    const nghttp2_nv headers[] = {
        HEADER(":status", http_status, strlen(http_status)),
        HEADER("content-type", type, sizeof type - 1),
        HEADER("grpc-status", code, strlen(code)),
        HEADER("grpc-message", call->text.data, call->text.size),
    };
    call->responded = true;
    note(call->server, nghttp2_submit_response(call->server->session, call->stream_id, headers,
                                               call->text.size ? 4 : 3, NULL));
}

static void set_outcome(qr_grpc_call *call, qr_grpc_code code, const char *text)
{
    QR_ASSERT((size_t)code < sizeof code_texts / sizeof *code_texts);
    QR_ASSERT(code != QR_GRPC_OK || call->parts_left == 0);
    call->finished = true;
    call->code = code;
    if (text != NULL)
        qr_grpc_text_encode(&call->text, text);
    qr_grpc_call_forget_incoming(call);
}

void qr_grpc_finish(qr_grpc_call *call, qr_grpc_code code, const char *text)
{
    QR_ASSERT(!call->sending);
    if (call->finished)
        return;
    set_outcome(call, code, text);
    if (call->responded)
        push(call);
    else
        submit_trailers_only(call, "200");
}

void qr_grpc_call_refuse(qr_grpc_call *call, const char *http_status, qr_grpc_code code, const char *text)
{
    QR_ASSERT(!call->announced && !call->responded && !call->finished);
    set_outcome(call, code, text);
    submit_trailers_only(call, http_status);
}

size_t qr_grpc_call_queued(const qr_grpc_call *call)
{
    return call->closed ? 0 : call->out.size - call->out_at;
}

/* -------------------------------------------------------------- request ---- */

void qr_grpc_call_set_data(qr_grpc_call *call, void *data)
{
    call->data = data;
}

void *qr_grpc_call_data(const qr_grpc_call *call)
{
    return call->data;
}

uint64_t qr_grpc_call_timeout_ms(const qr_grpc_call *call)
{
    return call->timeout_ms;
}

qr_slice qr_grpc_call_metadata(const qr_grpc_call *call, const char *name)
{
    qr_slice wanted = qr_slice_text(name);
    for (uint32_t i = 0; i < call->metadata_count; i++) {
        const grpc_metadata *metadata = &call->metadata[i];
        if (qr_slice_equal(wanted, qr_slice_of(call->heads.data + metadata->name_at, metadata->name_size)))
            return qr_slice_of(call->heads.data + metadata->value_at, metadata->value_size);
    }
    return qr_slice_of(NULL, 0);
}

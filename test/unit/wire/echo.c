#include "echo.h"

static void set_kind(qr_grpc_call *call, const char *kind)
{
    qr_grpc_call_set_data(call, (void *)(uintptr_t)kind);
}

static void on_call(void *context, qr_grpc_call *call, qr_slice path)
{
    echo *service = context;
    service->calls++;
    service->latest = call;
    service->timeout_ms = qr_grpc_call_timeout_ms(call);
    snprintf(service->path, sizeof service->path, "%.*s", (int)path.size, (const char *)path.data);
    qr_slice token = qr_grpc_call_metadata(call, "token");
    snprintf(service->token, sizeof service->token, "%.*s", (int)token.size,
             token.data ? (const char *)token.data : "");
    if (qr_slice_equal(path, qr_slice_text("/test/Echo"))) {
        set_kind(call, "echo");
    } else if (qr_slice_equal(path, qr_slice_text("/test/Later"))) {
        set_kind(call, "later");
    } else if (qr_slice_equal(path, qr_slice_text("/test/Count"))) {
        set_kind(call, "count");
    } else if (qr_slice_equal(path, qr_slice_text("/test/Fail"))) {
        qr_grpc_finish(call, QR_GRPC_FAILED_PRECONDITION, "100% \xc3\xa4rger\n");
    } else if (qr_slice_equal(path, qr_slice_text("/test/Half"))) {
        qr_grpc_send(call, qr_slice_text("half"));
        qr_grpc_finish(call, QR_GRPC_ABORTED, "changed my mind");
    } else {
        qr_grpc_finish(call, QR_GRPC_UNIMPLEMENTED, "unknown service");
    }
}

static void on_message(void *context, qr_grpc_call *call, qr_slice message)
{
    echo *service = context;
    const char *kind = qr_grpc_call_data(call);
    service->messages++;
    service->message_size = message.size;
    if (strcmp(kind, "echo") == 0) {
        qr_buffer_add_slice(qr_grpc_send_begin(call), message);
        qr_grpc_send_end(call);
    } else if (strcmp(kind, "later") == 0) {
        assert_true(service->later_count < ECHO_LATER_MAX);
        service->later[service->later_count++] = call;
    } else if (strcmp(kind, "count") == 0) {
        for (size_t i = 0; i < message.size; i++) {
            qr_buffer_format(qr_grpc_send_begin(call), "%zu", i);
            qr_grpc_send_end(call);
        }
        qr_grpc_finish(call, QR_GRPC_OK, NULL);
        qr_grpc_finish(call, QR_GRPC_INTERNAL, "a second word is not heard");
        qr_grpc_send(call, qr_slice_text("nor is this"));
    }
}

static void on_half_closed(void *context, qr_grpc_call *call)
{
    echo *service = context;
    service->half_closed++;
    if (strcmp(qr_grpc_call_data(call), "echo") == 0)
        qr_grpc_finish(call, QR_GRPC_OK, NULL);
}

static void on_closed(void *context, qr_grpc_call *call)
{
    echo *service = context;
    service->closed++;
    for (unsigned i = 0; i < service->later_count; i++) {
        if (service->later[i] == call)
            service->later[i] = service->later[--service->later_count];
    }
    /* A handler that has not noticed yet does no harm. */
    qr_grpc_send(call, qr_slice_text("too late"));
    qr_grpc_finish(call, QR_GRPC_OK, NULL);
    assert_int_equal(qr_grpc_call_queued(call), 0);
}

static const qr_grpc_handlers handlers = {on_call, on_message, on_half_closed, on_closed};

void echo_open(echo *service, const qr_grpc_limits *limits)
{
    *service = (echo){0};
    service->server = qr_grpc_server_new(&handlers, service, limits, &service->pool);
}

void echo_close(echo *service)
{
    qr_grpc_server_free(service->server);
    qr_pool_end(&service->pool);
    assert_int_equal(service->calls, service->closed);
    assert_int_equal(service->later_count, 0);
}

void echo_answer_later(echo *service)
{
    while (service->later_count > 0) {
        qr_grpc_call *call = service->later[--service->later_count];
        qr_grpc_send(call, qr_slice_text("later"));
        qr_grpc_finish(call, QR_GRPC_OK, NULL);
    }
}

static void client_message(void *context, void *name, qr_slice message)
{
    outcome *result = name;
    assert_int_equal(result->done, 0);
    result->messages++;
    result->size += message.size;
    result->hash = qr_hash(message, result->hash);
}

static void client_done(void *context, void *name, qr_grpc_code code, const char *text)
{
    outcome *result = name;
    result->done++;
    result->code = code;
    snprintf(result->text, sizeof result->text, "%s", text);
}

static const qr_grpc_client_handlers client_handlers = {client_message, client_done};

qr_grpc_client *outcome_client(void)
{
    return qr_grpc_client_new(&client_handlers, NULL, "localhost");
}

void carry(echo *service, qr_grpc_client *client, size_t step)
{
    qr_buffer bytes;
    qr_buffer_init(&bytes);
    for (bool moved = true; moved;) {
        moved = false;
        qr_grpc_client_drain(client, &bytes, SIZE_MAX);
        for (size_t at = 0; at < bytes.size; at += step) {
            moved = true;
            size_t size = bytes.size - at < step ? bytes.size - at : step;
            if (qr_grpc_server_feed(service->server, qr_slice_of(bytes.data + at, size)) != QR_OK)
                break;
        }
        qr_buffer_clear(&bytes);
        qr_grpc_server_drain(service->server, &bytes, 1000);
        for (size_t at = 0; at < bytes.size; at += step) {
            moved = true;
            size_t size = bytes.size - at < step ? bytes.size - at : step;
            assert_int_equal(qr_grpc_client_feed(client, qr_slice_of(bytes.data + at, size)), QR_OK);
        }
        qr_buffer_clear(&bytes);
    }
    qr_buffer_free(&bytes);
}

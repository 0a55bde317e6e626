/* Any bytes as the other side of a gRPC connection. The first byte chooses: bit 0 feeds our client instead of
 * the server, bit 1 (server) puts a correct preface in front, the rest is the size of the pieces. Every call
 * must be closed exactly once, and nothing may be touched after. */
#include "wire/grpc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct books {
    unsigned calls, closed;
    qr_grpc_call *open[8]; /* calls that are answered later */
} books;

static void on_call(void *context, qr_grpc_call *call, qr_slice path)
{
    books *b = context;
    b->calls++;
    QR_ASSERT(path.size > 0);
    if (path.size % 4 == 1)
        qr_grpc_finish(call, QR_GRPC_UNIMPLEMENTED, "unknown service");
    else if (path.size % 4 == 2)
        b->open[b->calls % 8] = call;
}

static void on_message(void *context, qr_grpc_call *call, qr_slice message)
{
    qr_grpc_send(call, message);
    QR_ASSERT(qr_grpc_call_queued(call) >= message.size);
    if (message.size % 2)
        qr_grpc_finish(call, QR_GRPC_OK, NULL);
}

static void on_half_closed(void *context, qr_grpc_call *call)
{
    qr_grpc_finish(call, qr_grpc_call_metadata(call, "x").data ? QR_GRPC_ABORTED : QR_GRPC_OK, "d\xc3\xb6ne");
}

static void on_closed(void *context, qr_grpc_call *call)
{
    books *b = context;
    b->closed++;
    for (unsigned i = 0; i < 8; i++) {
        if (b->open[i] == call)
            b->open[i] = NULL;
    }
}

static void server(qr_slice input, size_t step, bool preface)
{
    static const qr_grpc_handlers handlers = {on_call, on_message, on_half_closed, on_closed};
    static const qr_grpc_limits limits = {5000, 8, 2000, 8000};
    static const char magic[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0";
    books b = {0};
    qr_grpc_server *s = qr_grpc_server_new(&handlers, &b, &limits, NULL);
    qr_buffer out;
    qr_buffer_init(&out);
    qr_status status = preface ? qr_grpc_server_feed(s, qr_slice_of(magic, sizeof magic)) : QR_OK;
    for (size_t at = 0, turn = 0; at < input.size && status == QR_OK; at += step, turn++) {
        status = qr_grpc_server_feed(
            s, qr_slice_of(input.data + at, input.size - at < step ? input.size - at : step));
        if (turn % 3 == 1)
            qr_grpc_server_drain(s, &out, 50);
        for (unsigned i = 0; i < 8 && turn % 5 == 4; i++) {
            if (b.open[i] != NULL)
                qr_grpc_send(b.open[i], qr_slice_text("later"));
        }
        if (turn == 40)
            qr_grpc_server_shutdown(s);
    }
    qr_grpc_server_drain(s, &out, SIZE_MAX);
    qr_grpc_server_free(s);
    qr_buffer_free(&out);
    QR_ASSERT(b.calls == b.closed);
}

static void on_answer(void *context, void *call, qr_slice message)
{
    QR_ASSERT(*(unsigned *)call == 0);
}

static void on_done(void *context, void *call, qr_grpc_code code, const char *text)
{
    ++*(unsigned *)call;
}

static void client(qr_slice input, size_t step)
{
    static const qr_grpc_client_handlers handlers = {on_answer, on_done};
    unsigned done[3] = {0};
    qr_grpc_client *c = qr_grpc_client_new(&handlers, NULL, "localhost");
    qr_buffer out;
    qr_buffer_init(&out);
    for (int i = 0; i < 3; i++)
        QR_ASSERT(qr_grpc_client_call(c, "/test/Echo", qr_slice_text("hello"), &done[i]) == QR_OK);
    qr_grpc_client_drain(c, &out, SIZE_MAX);
    qr_status status = QR_OK;
    for (size_t at = 0; at < input.size && status == QR_OK; at += step) {
        status = qr_grpc_client_feed(
            c, qr_slice_of(input.data + at, input.size - at < step ? input.size - at : step));
        qr_grpc_client_drain(c, &out, SIZE_MAX);
    }
    qr_grpc_client_free(c);
    qr_buffer_free(&out);
    QR_ASSERT(done[0] == 1 && done[1] == 1 && done[2] == 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    size_t step = data[0] >> 2 ? (size_t)(data[0] >> 2) : SIZE_MAX / 2;
    if (data[0] & 1)
        client(qr_slice_of(data + 1, size - 1), step);
    else
        server(qr_slice_of(data + 1, size - 1), step, data[0] & 2);
    return 0;
}

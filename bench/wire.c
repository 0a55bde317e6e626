/* What HTTP/2 and gRPC cost, both ends together: unary calls with a message of 280 bytes and an answer of 30,
 * so many at once on one connection; figures are for each call. */
#include "meter.h"
#include "wire/grpc.h"

enum { CALLS = 400000, TURN_BYTES = 1 << 20 };

typedef struct bench {
    qr_grpc_client *client;
    qr_grpc_server *server;
    qr_pool pool;
    uint32_t answered;
    uint8_t question[280], answer[30];
} bench;

static void on_call(void *context, qr_grpc_call *call, qr_slice path)
{
    (void)context, (void)call, (void)path;
}

static void on_question(void *context, qr_grpc_call *call, qr_slice message)
{
    bench *b = context;
    QR_ASSERT(message.size == sizeof b->question);
    qr_grpc_send(call, qr_slice_of(b->answer, sizeof b->answer));
    qr_grpc_finish(call, QR_GRPC_OK, NULL);
}

static void on_call_event(void *context, qr_grpc_call *call)
{
    (void)context, (void)call;
}

static void on_answer(void *context, void *call, qr_slice message)
{
    (void)context, (void)call, (void)message;
}

static void on_done(void *context, void *call, qr_grpc_code code, const char *text)
{
    bench *b = context;
    (void)call, (void)text;
    QR_ASSERT(code == QR_GRPC_OK);
    b->answered++;
}

static void exchange(bench *b, qr_buffer *bytes)
{
    do {
        qr_buffer_clear(bytes);
        qr_grpc_client_drain(b->client, bytes, TURN_BYTES);
        QR_ASSERT(qr_grpc_server_feed(b->server, qr_buffer_slice(bytes)) == QR_OK);
        qr_buffer_clear(bytes);
        qr_grpc_server_drain(b->server, bytes, TURN_BYTES);
        QR_ASSERT(qr_grpc_client_feed(b->client, qr_buffer_slice(bytes)) == QR_OK);
    } while (bytes->size > 0);
}

static void run(meter *m, uint32_t at_once)
{
    static const qr_grpc_handlers handlers = {.on_call = on_call,
                                              .on_message = on_question,
                                              .on_half_closed = on_call_event,
                                              .on_closed = on_call_event};
    static const qr_grpc_client_handlers client_handlers = {.on_message = on_answer, .on_done = on_done};
    bench b = {.answered = 0};
    qr_buffer bytes;
    qr_buffer_init(&bytes);
    b.server = qr_grpc_server_new(&handlers, &b, NULL, &b.pool);
    b.client = qr_grpc_client_new(&client_handlers, &b, "localhost");
    exchange(&b, &bytes);
    meter_begin(m);
    for (uint32_t asked = 0; asked < CALLS; asked += at_once) {
        for (uint32_t i = 0; i < at_once; i++)
            QR_ASSERT(qr_grpc_client_call(b.client, "/etcdserverpb.KV/Put",
                                          qr_slice_of(b.question, sizeof b.question), NULL) == QR_OK);
        exchange(&b, &bytes);
    }
    char what[64];
    snprintf(what, sizeof what, "call and answer, %u at once", (unsigned)at_once);
    meter_say(m, what, CALLS);
    QR_ASSERT(b.answered == CALLS);
    qr_grpc_client_free(b.client);
    qr_grpc_server_free(b.server);
    qr_pool_end(&b.pool);
    qr_buffer_free(&bytes);
}

int main(void)
{
    meter m;
    meter_open(&m);
    run(&m, 1);
    run(&m, 10);
    run(&m, 100);
    return 0;
}

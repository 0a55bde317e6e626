/* One connection to one member: a question and its answer, or a stream of answers. */
#include "chaos/inside.h"
#include "os/dial.h"
#include "wire/grpc.h"
#include "wire/protobuf.h"

enum { CONNECT_MS = 1000, WHY_SIZE = 160 };

struct qr_chaos_line {
    qr_dial *dial;
    qr_grpc_client *grpc;
    qr_buffer bytes;
    bool streaming; /* the stream of qr_chaos_line_send is open */
    bool done;
    qr_grpc_code code;
    char why[WHY_SIZE];
    void (*take)(void *context, qr_slice message);
    void *context;
};

static void on_message(void *context, void *call, qr_slice message)
{
    qr_chaos_line *l = context;
    (void)call;
    if (l->take != NULL)
        l->take(l->context, message);
}

static void on_done(void *context, void *call, qr_grpc_code code, const char *text)
{
    qr_chaos_line *l = context;
    (void)call;
    l->done = true;
    l->code = code;
    snprintf(l->why, sizeof l->why, "%s", text != NULL && *text ? text : "ended without a word");
}

static const qr_grpc_client_handlers handlers = {on_message, on_done};

qr_chaos_line *qr_chaos_line_open(const char *endpoint)
{
    qr_arena arena;
    const char *sentence;
    qr_arena_init(&arena);
    qr_dial *dial = qr_dial_open(endpoint, CONNECT_MS, &arena, &sentence);
    qr_arena_free(&arena);
    if (dial == NULL)
        return NULL;
    qr_chaos_line *l = qr_alloc_zero(1, sizeof *l);
    l->dial = dial;
    l->grpc = qr_grpc_client_new(&handlers, l, endpoint);
    qr_buffer_init(&l->bytes);
    return l;
}

void qr_chaos_line_close(qr_chaos_line *l)
{
    if (l == NULL)
        return;
    l->take = NULL;
    qr_grpc_client_free(l->grpc);
    qr_dial_close(l->dial);
    qr_buffer_free(&l->bytes);
    qr_free(l);
}

const char *qr_chaos_line_why(const qr_chaos_line *l)
{
    return l->why;
}

static qr_status send_pending(qr_chaos_line *l)
{
    qr_buffer_clear(&l->bytes);
    for (size_t before = SIZE_MAX; before != l->bytes.size;) {
        before = l->bytes.size;
        qr_grpc_client_drain(l->grpc, &l->bytes, 64 * 1024);
    }
    return l->bytes.size > 0 ? qr_dial_send(l->dial, qr_buffer_slice(&l->bytes)) : QR_OK;
}

/* Sends, and takes what comes within the time. */
static qr_status exchange(qr_chaos_line *l, uint64_t patience_ms)
{
    qr_status status = send_pending(l);
    if (status != QR_OK)
        return status;
    qr_buffer_clear(&l->bytes);
    status = qr_dial_receive(l->dial, &l->bytes, patience_ms);
    return status == QR_OK ? qr_grpc_client_feed(l->grpc, qr_buffer_slice(&l->bytes)) : status;
}

typedef struct answer_taker {
    const ProtobufCMessageDescriptor *descriptor;
    qr_arena *arena;
    const void *answer;
} answer_taker;

static void take_answer(void *context, qr_slice message)
{
    answer_taker *taker = context;
    taker->answer = qr_protobuf_unpack(taker->descriptor, message, taker->arena);
}

/* What a store says only when it has not begun; all else may have been done. */
static bool is_refusal(const char *why)
{
    static const char *const refusals[] = {"etcdserver: no leader", "etcdserver: too many requests",
                                           "etcdserver: mvcc: database space exceeded"};
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++)
        if (strcmp(why, refusals[i]) == 0)
            return true;
    return false;
}

qr_chaos_outcome qr_chaos_line_ask(qr_chaos_line *l, const char *method, const ProtobufCMessage *request,
                                   const ProtobufCMessageDescriptor *descriptor, uint64_t patience_ms,
                                   qr_arena *arena, const void **answer)
{
    char path[80];
    answer_taker taker = {.descriptor = descriptor, .arena = arena};
    snprintf(path, sizeof path, "/%s", method);
    snprintf(l->why, sizeof l->why, "no answer");
    l->done = false;
    l->take = take_answer;
    l->context = &taker;
    qr_buffer_clear(&l->bytes);
    qr_protobuf_pack(request, &l->bytes);
    if (qr_grpc_client_call(l->grpc, path, qr_buffer_slice(&l->bytes), l) != QR_OK)
        return REFUSED;
    uint64_t deadline_us = qr_chaos_now_us() + patience_ms * 1000;
    qr_status status = QR_OK;
    while (!l->done && status == QR_OK) {
        uint64_t now_us = qr_chaos_now_us();
        status = now_us < deadline_us ? exchange(l, (deadline_us - now_us) / 1000 + 1) : QR_E_TIMEOUT;
    }
    l->take = NULL;
    *answer = taker.answer;
    if (l->done && l->code == QR_GRPC_OK && taker.answer != NULL)
        return ANSWERED;
    return l->done && is_refusal(l->why) ? REFUSED : UNSURE;
}

bool qr_chaos_line_send(qr_chaos_line *l, const char *method, const ProtobufCMessage *request)
{
    static const char *const metadata[2] = {"hasleader", "true"}; /* who lost its leader is to say so */
    char path[80];
    snprintf(path, sizeof path, "/%s", method);
    qr_buffer_clear(&l->bytes);
    qr_protobuf_pack(request, &l->bytes);
    qr_slice message = qr_buffer_slice(&l->bytes);
    qr_status status = l->streaming ? qr_grpc_client_send(l->grpc, l, message)
                                    : qr_grpc_client_open(l->grpc, path, metadata, message, l);
    l->streaming = true;
    return status == QR_OK;
}

bool qr_chaos_line_listen(qr_chaos_line *l, uint64_t patience_ms,
                          void (*take)(void *context, qr_slice message), void *context)
{
    l->take = take;
    l->context = context;
    qr_status status = l->done ? QR_E_IO : exchange(l, patience_ms);
    l->take = NULL;
    return !l->done && (status == QR_OK || status == QR_E_TIMEOUT);
}

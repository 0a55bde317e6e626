/* Any bytes as an HTTP/1.1 client. The first byte chooses the size of the pieces and whether answers come
 * late. However the bytes are cut, the same requests must be understood. */
#include "wire/http1.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct books {
    bool later;
    bool owed;
    unsigned requests;
    uint64_t hash;
} books;

static void on_request(void *context, qr_http1 *http, const qr_http1_request *request)
{
    books *b = context;
    b->requests++;
    QR_ASSERT(!b->owed && request->method.size > 0);
    b->hash = qr_hash(request->method, b->hash);
    b->hash = qr_hash(request->target, b->hash);
    b->hash = qr_hash(request->path, b->hash);
    b->hash = qr_hash(request->query, b->hash);
    b->hash = qr_hash(request->body, b->hash);
    b->hash = qr_hash(qr_http1_header(http, "host"), b->hash);
    if (b->later)
        b->owed = true;
    else
        qr_http1_respond(http, 200, "text/plain", NULL, request->path);
}

static books run(qr_slice input, size_t step, bool later)
{
    static const qr_http1_handlers handlers = {on_request};
    static const qr_http1_limits limits = {1000, 2000};
    books b = {.later = later};
    qr_http1 *http = qr_http1_new(&handlers, &b, &limits);
    qr_buffer out;
    qr_buffer_init(&out);
    qr_status status = QR_OK;
    for (size_t at = 0; at < input.size && status == QR_OK; at += step) {
        status = qr_http1_feed(http,
                               qr_slice_of(input.data + at, input.size - at < step ? input.size - at : step));
        qr_http1_drain(http, &out, 100);
    }
    while (b.owed) {
        b.owed = false;
        qr_http1_respond(http, 404, NULL, "A: b\r\n", qr_slice_text("none"));
    }
    qr_http1_drain(http, &out, SIZE_MAX);
    QR_ASSERT(!qr_http1_pending(http));
    qr_http1_free(http);
    qr_buffer_free(&out);
    return b;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || size > 10000)
        return 0;
    qr_slice input = qr_slice_of(data + 1, size - 1);
    books whole = run(input, SIZE_MAX / 2, false);
    books pieces = run(input, (size_t)(data[0] >> 1) + 1, data[0] & 1);
    QR_ASSERT(whole.requests == pieces.requests && whole.hash == pieces.hash);
    return 0;
}

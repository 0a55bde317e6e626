/* The server against frames written by hand: bad manners, floods, and requests our client does not make. The
 * answers are read by our client, whose own bytes are thrown away: its first call is stream 1, its second
 * stream 3, and so on. */
#include "echo.h"

enum {
    DATA = 0,
    HEADERS = 1,
    RST_STREAM = 3,
    SETTINGS = 4,
    PING = 6,
    GOAWAY = 7,
    WINDOW_UPDATE = 8,
    CONTINUATION = 9
};
enum { END_STREAM = 1, END_HEADERS = 4 };

static void frame(qr_buffer *out, uint8_t type, uint8_t flags, uint32_t stream_id, qr_slice payload)
{
    uint8_t head[9] = {(uint8_t)(payload.size >> 16),
                       (uint8_t)(payload.size >> 8),
                       (uint8_t)payload.size,
                       type,
                       flags,
                       (uint8_t)(stream_id >> 24),
                       (uint8_t)(stream_id >> 16),
                       (uint8_t)(stream_id >> 8),
                       (uint8_t)stream_id};
    qr_buffer_add(out, head, sizeof head);
    qr_buffer_add_slice(out, payload);
}

/* A literal field, never huffman coded, never indexed (RFC 7541, 6.2.2); sizes up to 126 + 127 bytes. */
static void field(qr_buffer *out, const char *name, const char *value)
{
    size_t sizes[2] = {strlen(name), strlen(value)};
    const char *texts[2] = {name, value};
    qr_buffer_u8(out, 0);
    for (int i = 0; i < 2; i++) {
        if (sizes[i] >= 127) {
            qr_buffer_u8(out, 127);
            qr_buffer_varint(out, sizes[i] - 127);
        } else {
            qr_buffer_u8(out, (uint8_t)sizes[i]);
        }
        qr_buffer_add(out, texts[i], sizes[i]);
    }
}

typedef struct request {
    const char *method, *path, *type, *timeout, *encoding, *token;
    unsigned extra; /* headers "x: yyy..." of 500 bytes */
} request;

static const request plain = {.method = "POST", .path = "/test/Echo", .type = "application/grpc"};

static void add_block(qr_buffer *out, const request *r)
{
    field(out, ":method", r->method);
    field(out, ":scheme", "http");
    field(out, ":path", r->path);
    field(out, ":authority", "localhost");
    if (r->type)
        field(out, "content-type", r->type);
    if (r->timeout)
        field(out, "grpc-timeout", r->timeout);
    if (r->encoding)
        field(out, "grpc-encoding", r->encoding);
    if (r->token)
        field(out, "token", r->token);
    char filler[501];
    memset(filler, 'y', 500);
    filler[500] = '\0';
    for (unsigned i = 0; i < r->extra; i++)
        field(out, "x", filler);
}

static void add_headers(qr_buffer *out, uint8_t flags, uint32_t stream_id, const request *r)
{
    qr_buffer block;
    qr_buffer_init(&block);
    add_block(&block, r);
    frame(out, HEADERS, (uint8_t)(flags | END_HEADERS), stream_id, qr_buffer_slice(&block));
    qr_buffer_free(&block);
}

static void add_message(qr_buffer *out, uint8_t flags, uint32_t stream_id, uint8_t compressed,
                        const char *text)
{
    qr_buffer message;
    qr_buffer_init(&message);
    uint8_t prefix[5] = {compressed, 0, 0, 0, (uint8_t)strlen(text)};
    qr_buffer_add(&message, prefix, sizeof prefix);
    qr_buffer_add(&message, text, strlen(text));
    frame(out, DATA, flags, stream_id, qr_buffer_slice(&message));
    qr_buffer_free(&message);
}

static void add_preface(qr_buffer *out, qr_slice settings)
{
    static const char magic[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    qr_buffer_add(out, magic, sizeof magic - 1);
    frame(out, SETTINGS, 0, 0, settings);
}

/* Frames of a type in what the server sent; *code: the error code of the last one that carries it. */
static unsigned frames_of(const qr_buffer *bytes, uint8_t type, uint32_t *code)
{
    unsigned count = 0;
    for (size_t at = 0; at + 9 <= bytes->size;) {
        const uint8_t *head = bytes->data + at;
        size_t size = (size_t)head[0] << 16 | (size_t)head[1] << 8 | head[2];
        assert_true(at + 9 + size <= bytes->size);
        if (head[3] == type) {
            const uint8_t *word = head + 9 + (type == GOAWAY ? 4 : 0);
            count++;
            if (code && (type == GOAWAY || type == RST_STREAM))
                *code = (uint32_t)word[0] << 24 | (uint32_t)word[1] << 16 | (uint32_t)word[2] << 8 | word[3];
        }
        at += 9 + size;
    }
    return count;
}

static bool ended_with(const qr_buffer *bytes, uint32_t code)
{
    uint32_t seen = UINT32_MAX;
    return frames_of(bytes, GOAWAY, &seen) > 0 && seen == code;
}

typedef struct fixture {
    echo service;
    qr_grpc_client *reader;
    qr_buffer in, out;
    outcome results[8]; /* of streams 1, 3, ... */
} fixture;

static fixture *open_fixture(const qr_grpc_limits *limits)
{
    fixture *f = qr_alloc_zero(1, sizeof *f);
    echo_open(&f->service, limits);
    f->reader = outcome_client();
    for (int i = 0; i < 8; i++)
        assert_int_equal(qr_grpc_client_call(f->reader, "/", qr_slice_text(""), &f->results[i]), QR_OK);
    qr_grpc_client_drain(f->reader, &f->out, SIZE_MAX);
    qr_buffer_clear(&f->out);
    add_preface(&f->in, qr_slice_of(NULL, 0));
    return f;
}

/* Feeds .in and drains to .out, in steps. */
static qr_status run(fixture *f, size_t step)
{
    qr_status status = QR_OK;
    qr_buffer_clear(&f->out);
    for (size_t at = 0; at < f->in.size && status == QR_OK; at += step) {
        size_t size = f->in.size - at < step ? f->in.size - at : step;
        status = qr_grpc_server_feed(f->service.server, qr_slice_of(f->in.data + at, size));
        qr_grpc_server_drain(f->service.server, &f->out, SIZE_MAX);
    }
    qr_buffer_clear(&f->in);
    qr_grpc_client_feed(f->reader, qr_buffer_slice(&f->out));
    return status;
}

static void close_fixture(fixture *f)
{
    echo_close(&f->service);
    qr_grpc_client_free(f->reader);
    qr_buffer_free(&f->in);
    qr_buffer_free(&f->out);
    qr_free(f);
}

static void requests_that_are_refused(void **state)
{
    const struct {
        request request;
        qr_grpc_code code;
        const char *text;
    } cases[] = {
        {{"GET", "/test/Echo", "application/grpc", 0, 0, 0, 0}, QR_GRPC_INTERNAL, "a gRPC request is a POST"},
        {{"POST", "/test/Echo", "text/plain", 0, 0, 0, 0},
         QR_GRPC_INVALID_ARGUMENT,
         "invalid gRPC request content-type \"text/plain\""},
        {{"POST", "/test/Echo", NULL, 0, 0, 0, 0},
         QR_GRPC_INVALID_ARGUMENT,
         "invalid gRPC request content-type \"\""},
        {{"POST", "/test/Echo", "application/grpcx", 0, 0, 0, 0},
         QR_GRPC_INVALID_ARGUMENT,
         "invalid gRPC request content-type \"application/grpcx\""},
        {{"POST", "/test/Echo", "application/grpc", "soon", 0, 0, 0},
         QR_GRPC_INTERNAL,
         "malformed grpc-timeout"},
        {{"POST", "/test/Echo", "application/grpc", 0, "gzip", 0, 0},
         QR_GRPC_UNIMPLEMENTED,
         "grpc: Decompressor is not installed for grpc-encoding \"gzip\""},
        {{"POST", "/test/Echo", "application/grpc", 0, 0, 0, 31},
         QR_GRPC_RESOURCE_EXHAUSTED,
         "the request's headers are larger than 16384 bytes"},
    };
    fixture *f = open_fixture(NULL);
    for (uint32_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        add_headers(&f->in, 0, 2 * i + 1, &cases[i].request);
        assert_int_equal(run(f, i + 1), QR_OK);
        assert_int_equal(f->results[i].done, 1);
        assert_int_equal(f->results[i].code, cases[i].code);
        assert_string_equal(f->results[i].text, cases[i].text);
        uint32_t code = 99; /* and the client is told to stop sending, without blame */
        assert_int_equal(frames_of(&f->out, RST_STREAM, &code), 1);
        assert_int_equal(code, 0);
    }
    assert_int_equal(f->service.calls, 0);
    close_fixture(f);
}

static void requests_that_are_taken(void **state)
{
    fixture *f = open_fixture(NULL);
    const request full = {"POST", "/test/Echo", "application/grpc+proto", "2500u", "identity", "secret", 20};
    add_headers(&f->in, 0, 1, &full);
    add_message(&f->in, END_STREAM, 1, 0, "hello");
    assert_int_equal(run(f, 1), QR_OK);
    assert_int_equal(f->results[0].code, QR_GRPC_OK);
    assert_int_equal(f->results[0].hash, qr_hash(qr_slice_text("hello"), 0));
    assert_int_equal(f->service.timeout_ms, 3);
    assert_string_equal(f->service.token, "secret");
    add_headers(&f->in, END_STREAM, 3, &plain); /* no message at all */
    assert_int_equal(run(f, 1), QR_OK);
    assert_int_equal(f->results[1].code, QR_GRPC_OK);
    assert_int_equal(f->results[1].messages, 0);
    assert_int_equal(f->service.half_closed, 2);
    /* Several messages in one frame, the last one empty, and one torn over three frames. */
    add_headers(&f->in, 0, 5, &plain);
    frame(&f->in, DATA, 0, 5, qr_slice_of("\0\0\0\0\1a\0\0\0\0\2bc\0\0\0\0\0\0\0", 20));
    frame(&f->in, DATA, 0, 5, qr_slice_of("\0\0\3d", 4));
    frame(&f->in, DATA, END_STREAM, 5, qr_slice_of("ef", 2));
    assert_int_equal(run(f, 1000), QR_OK);
    assert_int_equal(f->results[2].code, QR_GRPC_OK);
    assert_int_equal(f->results[2].messages, 4);
    assert_int_equal(f->results[2].size, 6);
    /* Trailers of the client end its side, too. */
    add_headers(&f->in, 0, 7, &plain);
    add_message(&f->in, 0, 7, 0, "x");
    qr_buffer trailers;
    qr_buffer_init(&trailers);
    field(&trailers, "x-checksum", "1");
    frame(&f->in, HEADERS, END_HEADERS | END_STREAM, 7, qr_buffer_slice(&trailers));
    qr_buffer_free(&trailers);
    assert_int_equal(run(f, 1000), QR_OK);
    assert_int_equal(f->results[3].code, QR_GRPC_OK);
    close_fixture(f);
}

static void messages_that_are_refused(void **state)
{
    fixture *f = open_fixture(NULL);
    add_headers(&f->in, 0, 1, &plain);
    add_message(&f->in, END_STREAM, 1, 1, "zipped");
    add_headers(&f->in, 0, 3, &plain);
    add_message(&f->in, END_STREAM, 3, 2, "what");
    add_headers(&f->in, 0, 5, &plain);
    frame(&f->in, DATA, END_STREAM, 5, qr_slice_of("\0\0\0\0\5abc", 8));
    add_headers(&f->in, 0, 7, &plain);
    frame(&f->in, DATA, END_STREAM, 7, qr_slice_of("\0\0\0", 3));
    add_headers(&f->in, 0, 9, &plain);
    frame(&f->in, DATA, 0, 9, qr_slice_of("\0\xff\xff\xff\xff", 5));
    frame(&f->in, DATA, 0, 9, qr_slice_of("never looked at", 15));
    assert_int_equal(run(f, 100), QR_OK);
    assert_int_equal(f->results[0].code, QR_GRPC_UNIMPLEMENTED);
    assert_int_equal(f->results[1].code, QR_GRPC_INTERNAL);
    assert_int_equal(f->results[2].code, QR_GRPC_INTERNAL);
    assert_string_equal(f->results[2].text, "the stream ended inside a message");
    assert_int_equal(f->results[3].code, QR_GRPC_INTERNAL);
    assert_int_equal(f->results[4].code, QR_GRPC_RESOURCE_EXHAUSTED);
    assert_string_equal(f->results[4].text,
                        "grpc: received message larger than max (4294967295 vs. 2097152)");
    assert_int_equal(f->service.messages, 0);
    assert_int_equal(f->service.half_closed, 0);
    close_fixture(f);
}

/* Unfinished messages of many streams share one bound; freed ones give their bytes back. */
static void unfinished_messages_are_bounded(void **state)
{
    const qr_grpc_limits limits = {1000, 100, 16384, 2500};
    fixture *f = open_fixture(&limits);
    char bytes[905] = {0, 0, 0, 3, (char)0xe8}; /* 900 of 1000 bytes */
    for (uint32_t round = 0; round < 2; round++) {
        for (uint32_t i = 0; i < 3; i++) {
            add_headers(&f->in, 0, 2 * (3 * round + i) + 1, &plain);
            frame(&f->in, DATA, 0, 2 * (3 * round + i) + 1, qr_slice_of(bytes, sizeof bytes));
        }
        assert_int_equal(run(f, 5000), QR_OK);
        assert_int_equal(f->results[3 * round + 1].done, 0);
        assert_int_equal(f->results[3 * round + 2].code, QR_GRPC_RESOURCE_EXHAUSTED);
        for (uint32_t i = 0; i < 2; i++)
            frame(&f->in, RST_STREAM, 0, 2 * (3 * round + i) + 1, qr_slice_of("\0\0\0\10", 4));
        assert_int_equal(run(f, 5000), QR_OK);
        assert_int_equal(f->service.closed, 3 * (round + 1));
    }
    close_fixture(f);
}

static void cancelled_streams(void **state)
{
    fixture *f = open_fixture(NULL);
    const request later = {"POST", "/test/Later", "application/grpc", 0, 0, 0, 0};
    for (uint32_t i = 0; i < 600; i++) {
        add_headers(&f->in, 0, 2 * i + 1, &later);
        add_message(&f->in, END_STREAM, 2 * i + 1, 0, "x");
        assert_int_equal(run(f, SIZE_MAX), QR_OK);
        /* In one round the reset finds an answer that was queued and not drained. */
        if (i % 2)
            echo_answer_later(&f->service);
        frame(&f->in, RST_STREAM, 0, 2 * i + 1, qr_slice_of("\0\0\0\10", 4));
        assert_int_equal(run(f, SIZE_MAX), QR_OK);
        assert_int_equal(f->service.closed, i + 1);
        assert_int_equal(f->service.later_count, 0);
    }
    close_fixture(f);
}

static void rapid_resets_end_the_connection(void **state)
{
    fixture *f = open_fixture(NULL);
    uint32_t id = 1;
    qr_status status = QR_OK;
    while (status == QR_OK && id < 10000) {
        add_headers(&f->in, END_STREAM, id, &plain);
        frame(&f->in, RST_STREAM, 0, id, qr_slice_of("\0\0\0\10", 4));
        id += 2;
        status = run(f, SIZE_MAX);
    }
    assert_int_equal(id / 2, 1001);
    assert_true(ended_with(&f->out, 11)); /* ENHANCE_YOUR_CALM */
    assert_true(qr_grpc_server_finished(f->service.server));
    close_fixture(f);
    /* As long as every second call is let through, nobody minds. */
    f = open_fixture(NULL);
    for (id = 1; id < 10000; id += 2) {
        add_headers(&f->in, END_STREAM, id, &plain);
        if (id & 2)
            frame(&f->in, RST_STREAM, 0, id, qr_slice_of("\0\0\0\10", 4));
        assert_int_equal(run(f, SIZE_MAX), QR_OK);
    }
    assert_int_equal(f->service.closed, 5000);
    close_fixture(f);
}

/* The server is made to reset the streams itself (a window that overflows). */
static void made_resets_end_the_connection(void **state)
{
    fixture *f = open_fixture(NULL);
    const request later = {"POST", "/test/Later", "application/grpc", 0, 0, 0, 0};
    uint32_t id = 1;
    qr_status status = QR_OK;
    for (; status == QR_OK && id < 10000; id += 2) {
        add_headers(&f->in, END_STREAM, id, &later);
        frame(&f->in, WINDOW_UPDATE, 0, id, qr_slice_of("\x7f\xff\xff\xff", 4));
        status = run(f, SIZE_MAX);
    }
    assert_int_not_equal(status, QR_OK);
    assert_true(id < 2100);
    close_fixture(f);
}

static void ping_and_settings_floods(void **state)
{
    fixture *f = open_fixture(NULL);
    for (int i = 0; i < 5000; i++) { /* a patient one, answered each time; the time is not told */
        frame(&f->in, PING, 0, 0, qr_slice_of("12345678", 8));
        assert_int_equal(run(f, SIZE_MAX), QR_OK);
        assert_int_equal(frames_of(&f->out, PING, NULL), 1);
    }
    for (int i = 0; i < 1000; i++)
        frame(&f->in, PING, 0, 0, qr_slice_of("12345678", 8));
    assert_int_not_equal(run(f, SIZE_MAX), QR_OK);
    assert_true(ended_with(&f->out, 11));
    close_fixture(f);
    f = open_fixture(NULL);
    for (int i = 0; i < 1000; i++)
        frame(&f->in, SETTINGS, 0, 0, qr_slice_of("\0\4\0\1\0\0", 6));
    assert_int_not_equal(run(f, SIZE_MAX), QR_OK);
    assert_true(ended_with(&f->out, 11));
    close_fixture(f);
    f = open_fixture(NULL);
    uint8_t entries[33 * 6] = {0};
    for (int i = 0; i < 33; i++)
        entries[6 * i + 1] = 4;
    frame(&f->in, SETTINGS, 0, 0, qr_slice_of(entries, sizeof entries));
    run(f, SIZE_MAX);
    assert_true(qr_grpc_server_finished(f->service.server));
    close_fixture(f);
}

static void continuation_flood(void **state)
{
    fixture *f = open_fixture(NULL);
    qr_buffer block;
    qr_buffer_init(&block);
    add_block(&block, &plain);
    frame(&f->in, HEADERS, 0, 1, qr_buffer_slice(&block));
    for (int i = 0; i < 3; i++)
        frame(&f->in, CONTINUATION, i == 2 ? END_HEADERS : 0, 1, qr_slice_of("\0\1x\1y", 5));
    assert_int_equal(run(f, 1), QR_OK);
    assert_int_equal(f->service.calls, 1);
    frame(&f->in, HEADERS, 0, 3, qr_buffer_slice(&block));
    for (int i = 0; i < 100; i++)
        frame(&f->in, CONTINUATION, 0, 3, qr_slice_of("\0\1x\1y", 5));
    assert_int_not_equal(run(f, 100), QR_OK);
    assert_true(qr_grpc_server_finished(f->service.server));
    assert_int_equal(f->service.calls, 1);
    qr_buffer_free(&block);
    close_fixture(f);
}

/* Streams above the limit are refused; a peer that goes on without reading the refusals is shown out. */
static void stream_flood(void **state)
{
    const qr_grpc_limits limits = {1000, 10, 16384, 2000};
    fixture *f = open_fixture(&limits);
    const request later = {"POST", "/test/Later", "application/grpc", 0, 0, 0, 0};
    for (uint32_t i = 0; i < 12; i++) {
        add_headers(&f->in, 0, 2 * i + 1, &later);
        add_message(&f->in, 0, 2 * i + 1, 0, "x");
    }
    assert_int_equal(run(f, SIZE_MAX), QR_OK);
    uint32_t code;
    assert_int_equal(frames_of(&f->out, RST_STREAM, &code), 2);
    assert_int_equal(code, 7); /* REFUSED_STREAM */
    assert_int_equal(f->service.later_count, 10);
    qr_status status = QR_OK;
    uint32_t i = 12;
    for (; status == QR_OK && i < 5000; i++) {
        add_headers(&f->in, 0, 2 * i + 1, &later);
        status = qr_grpc_server_feed(f->service.server, qr_buffer_slice(&f->in));
        qr_buffer_clear(&f->in);
    }
    assert_int_not_equal(status, QR_OK);
    assert_true(i < 1200);
    close_fixture(f);
}

static void not_http2(void **state)
{
    echo service;
    const char *texts[] = {"GET / HTTP/1.1\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\rX",
                           "\x16\x03\x01\x02\x00\x01"};
    for (size_t i = 0; i < 3; i++) {
        echo_open(&service, NULL);
        assert_int_not_equal(qr_grpc_server_feed(service.server, qr_slice_text(texts[i])), QR_OK);
        assert_int_not_equal(qr_grpc_server_feed(service.server, qr_slice_text("more")), QR_OK);
        qr_buffer out;
        qr_buffer_init(&out);
        qr_grpc_server_drain(service.server, &out, SIZE_MAX);
        assert_true(ended_with(&out, 1)); /* PROTOCOL_ERROR */
        assert_true(qr_grpc_server_finished(service.server));
        qr_buffer_free(&out);
        echo_close(&service);
    }
}

static void nonsense_on_streams(void **state)
{
    fixture *f = open_fixture(NULL); /* DATA on a stream that was never opened */
    frame(&f->in, DATA, 0, 77, qr_slice_text("hello"));
    run(f, SIZE_MAX);
    assert_true(ended_with(&f->out, 1) || ended_with(&f->out, 5));
    assert_true(qr_grpc_server_finished(f->service.server));
    close_fixture(f);
    f = open_fixture(NULL); /* frames for one that is long gone are ignored */
    add_headers(&f->in, 0, 1, &plain);
    add_message(&f->in, END_STREAM, 1, 0, "x");
    assert_int_equal(run(f, SIZE_MAX), QR_OK);
    frame(&f->in, RST_STREAM, 0, 1, qr_slice_of("\0\0\0\10", 4));
    frame(&f->in, WINDOW_UPDATE, 0, 1, qr_slice_of("\0\0\0\1", 4));
    assert_int_equal(run(f, SIZE_MAX), QR_OK);
    assert_int_equal(f->results[0].code, QR_GRPC_OK);
    add_headers(&f->in, 0, 3, &plain);
    add_message(&f->in, END_STREAM, 3, 0, "x");
    assert_int_equal(run(f, SIZE_MAX), QR_OK);
    assert_int_equal(f->results[1].code, QR_GRPC_OK);
    frame(&f->in, HEADERS, END_HEADERS, 5, qr_slice_of("\xff\xff\xff\xff\xff\xff", 6)); /* broken HPACK */
    run(f, SIZE_MAX);
    assert_true(ended_with(&f->out, 9)); /* COMPRESSION_ERROR */
    close_fixture(f);
}

/* A client that opens its window never: what is queued stays counted, and goes when the window opens. */
static void a_closed_window(void **state)
{
    fixture *f = open_fixture(NULL);
    qr_buffer_clear(&f->in);
    add_preface(&f->in, qr_slice_of("\0\4\0\0\0\12", 6)); /* streams start with 10 bytes */
    add_headers(&f->in, 0, 1, &plain);
    for (int i = 0; i < 8; i++)
        add_message(&f->in, i == 7 ? END_STREAM : 0, 1, 0, "hello");
    assert_int_equal(run(f, SIZE_MAX), QR_OK);
    assert_int_equal(qr_grpc_call_queued(f->service.latest), 70);
    assert_int_equal(f->results[0].messages, 1);
    frame(&f->in, WINDOW_UPDATE, 0, 1, qr_slice_of("\0\0\0\5", 4));
    assert_int_equal(run(f, SIZE_MAX), QR_OK);
    assert_int_equal(qr_grpc_call_queued(f->service.latest), 65);
    frame(&f->in, WINDOW_UPDATE, 0, 1, qr_slice_of("\0\0\1\0", 4));
    assert_int_equal(run(f, SIZE_MAX), QR_OK);
    assert_int_equal(f->results[0].messages, 8);
    assert_int_equal(f->results[0].code, QR_GRPC_OK);
    assert_int_equal(f->service.closed, 1);
    close_fixture(f);
}

/* Feeds .in a byte at a time; after each one the server must call itself partial, but not after those that
 * end at one of the boundaries (0 ends the list). Reads every answer, so that calls can end. */
static void assert_partial_but_at(fixture *f, const size_t *boundaries)
{
    for (size_t at = 0; at < f->in.size; at++) {
        assert_int_equal(qr_grpc_server_feed(f->service.server, qr_slice_of(f->in.data + at, 1)), QR_OK);
        qr_grpc_server_drain(f->service.server, &f->out, SIZE_MAX);
        bool boundary = at + 1 == *boundaries;
        boundaries += boundary;
        assert_int_equal(qr_grpc_server_partial(f->service.server), !boundary);
    }
    assert_int_equal(*boundaries, 0);
    qr_buffer_clear(&f->in);
}

static void partial_input_is_told(void **state)
{
    fixture *f = open_fixture(NULL);
    assert_true(qr_grpc_server_partial(f->service.server));
    assert_partial_but_at(f, (size_t[]){24 + 9, 0}); /* the preface ends with the first SETTINGS */
    assert_int_equal(qr_grpc_server_frames(f->service.server), 1);
    frame(&f->in, PING, 0, 0, qr_slice_of("12345678", 8));
    frame(&f->in, SETTINGS, 1, 0, qr_slice_of(NULL, 0));
    frame(&f->in, 77, 0xff, 0, qr_slice_of("unknown", 7));
    assert_partial_but_at(f, (size_t[]){17, 26, 42, 0});
    assert_int_equal(qr_grpc_server_frames(f->service.server), 4);
    /* A header block over three frames, the last one empty, is one; before its end nothing is whole. */
    qr_buffer block;
    qr_buffer_init(&block);
    add_block(&block, &plain);
    frame(&f->in, HEADERS, 0, 1, qr_buffer_slice(&block));
    frame(&f->in, CONTINUATION, 0, 1, qr_slice_of("\0\1x\1y", 5));
    assert_partial_but_at(f, (size_t[]){0});
    assert_int_equal(qr_grpc_server_frames(f->service.server), 4);
    frame(&f->in, CONTINUATION, END_HEADERS, 1, qr_slice_of(NULL, 0));
    assert_partial_but_at(f, (size_t[]){9, 0});
    assert_int_equal(qr_grpc_server_frames(f->service.server), 5);
    assert_int_equal(f->service.calls, 1);
    qr_buffer_free(&block);
    /* A message over two frames, and the same of two calls at once. */
    frame(&f->in, DATA, 0, 1, qr_slice_of("\0\0\0\0\2a", 6));
    assert_partial_but_at(f, (size_t[]){0});
    frame(&f->in, DATA, 0, 1, qr_slice_of("b", 1));
    assert_partial_but_at(f, (size_t[]){10, 0});
    assert_int_equal(f->service.messages, 1);
    add_headers(&f->in, 0, 3, &plain);
    frame(&f->in, DATA, 0, 1, qr_slice_of("\0\0", 2));
    frame(&f->in, DATA, 0, 3, qr_slice_of("\0\0\0\0\1c\0", 7));
    assert_int_equal(run(f, SIZE_MAX), QR_OK);
    assert_true(qr_grpc_server_partial(f->service.server));
    frame(&f->in, DATA, END_STREAM, 1, qr_slice_of("\0\0\1d", 4));
    assert_int_equal(run(f, SIZE_MAX), QR_OK);
    assert_true(qr_grpc_server_partial(f->service.server)); /* the other call's */
    assert_int_equal(f->results[0].code, QR_GRPC_OK);
    qr_grpc_finish(f->service.latest, QR_GRPC_ABORTED, NULL); /* its rest is not wanted any more */
    assert_false(qr_grpc_server_partial(f->service.server));
    frame(&f->in, RST_STREAM, 0, 3, qr_slice_of("\0\0\0\10", 4));
    assert_int_equal(run(f, 1), QR_OK);
    /* Neither a reset nor an end in the middle of a message leaves anything behind. */
    add_headers(&f->in, 0, 5, &plain);
    frame(&f->in, DATA, 0, 5, qr_slice_of("\0\0\0\0\3e", 6));
    add_headers(&f->in, 0, 7, &plain);
    frame(&f->in, DATA, 0, 7, qr_slice_of("\0", 1));
    assert_int_equal(run(f, 7), QR_OK);
    assert_true(qr_grpc_server_partial(f->service.server));
    frame(&f->in, RST_STREAM, 0, 5, qr_slice_of("\0\0\0\10", 4));
    frame(&f->in, DATA, END_STREAM, 7, qr_slice_of(NULL, 0));
    assert_int_equal(run(f, 7), QR_OK);
    assert_false(qr_grpc_server_partial(f->service.server));
    close_fixture(f);
}

/* One ping at a time; the bytes are fed one by one. */
static qr_status ping_at(fixture *f, uint64_t now_ms)
{
    qr_grpc_server_now(f->service.server, now_ms);
    frame(&f->in, PING, 0, 0, qr_slice_of("12345678", 8));
    return run(f, 1);
}

/* The same pings as were put to etcd 3.4.23: the fourth was the last, 0.1 s and 6 s apart alike, where no
 * call is open. */
static void pings_without_a_call(void **state)
{
    const uint64_t gaps_ms[] = {0, 100, 6000, 2 * 3600000 - 1};
    for (size_t i = 0; i < sizeof gaps_ms / sizeof *gaps_ms; i++) {
        fixture *f = open_fixture(NULL);
        for (uint64_t count = 0; count < 3; count++) {
            assert_int_equal(ping_at(f, count * gaps_ms[i]), QR_OK);
            assert_int_equal(frames_of(&f->out, PING, NULL), 1);
        }
        assert_int_not_equal(ping_at(f, 3 * gaps_ms[i]), QR_OK);
        assert_true(ended_with(&f->out, 11));
        static const char reason[] = "too_many_pings";
        bool found = false;
        for (size_t at = 0; at + 14 <= f->out.size; at++)
            found = found || memcmp(f->out.data + at, reason, 14) == 0;
        assert_true(found);
        assert_true(qr_grpc_server_finished(f->service.server));
        close_fixture(f);
    }
    fixture *f = open_fixture(NULL);
    for (uint64_t count = 0; count < 100; count++)
        assert_int_equal(ping_at(f, count * 2 * 3600000), QR_OK);
    for (uint64_t count = 0; count < 100; count++) /* answers to pings of ours are not pings */
        frame(&f->in, PING, 1, 0, qr_slice_of("12345678", 8));
    assert_int_equal(run(f, 1), QR_OK);
    close_fixture(f);
}

static void pings_with_a_call(void **state)
{
    const request later = {"POST", "/test/Later", "application/grpc", 0, 0, 0, 0};
    for (uint64_t gap_ms = 4999; gap_ms <= 5000; gap_ms++) {
        fixture *f = open_fixture(NULL);
        add_headers(&f->in, 0, 1, &later);
        uint64_t count = 0;
        while (count < 1000 && ping_at(f, 7000 + count * gap_ms) == QR_OK)
            count++;
        assert_int_equal(count, gap_ms == 5000 ? 1000 : 3);
        close_fixture(f);
    }
}

/* Clients ping at each answer to measure the bandwidth: that is free, and wipes out what was before. */
static void pings_after_answers(void **state)
{
    fixture *f = open_fixture(NULL);
    for (uint32_t count = 0; count < 1000; count++) {
        for (int early = 0; early < 3; early++) /* free, and two strikes */
            assert_int_equal(ping_at(f, count), QR_OK);
        add_headers(&f->in, 0, 2 * count + 1, &plain);
        add_message(&f->in, END_STREAM, 2 * count + 1, 0, "x");
        assert_int_equal(run(f, SIZE_MAX), QR_OK);
    }
    for (int early = 0; early < 3; early++)
        assert_int_equal(ping_at(f, 2000), QR_OK);
    assert_int_not_equal(ping_at(f, 2000), QR_OK);
    assert_true(ended_with(&f->out, 11));
    close_fixture(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_that_are_refused),
        cmocka_unit_test(requests_that_are_taken),
        cmocka_unit_test(messages_that_are_refused),
        cmocka_unit_test(unfinished_messages_are_bounded),
        cmocka_unit_test(cancelled_streams),
        cmocka_unit_test(rapid_resets_end_the_connection),
        cmocka_unit_test(made_resets_end_the_connection),
        cmocka_unit_test(ping_and_settings_floods),
        cmocka_unit_test(continuation_flood),
        cmocka_unit_test(stream_flood),
        cmocka_unit_test(not_http2),
        cmocka_unit_test(nonsense_on_streams),
        cmocka_unit_test(a_closed_window),
        cmocka_unit_test(partial_input_is_told),
        cmocka_unit_test(pings_without_a_call),
        cmocka_unit_test(pings_with_a_call),
        cmocka_unit_test(pings_after_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

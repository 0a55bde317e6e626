/* HTTP/1.1 requests in, responses out; in one piece and byte by byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "wire/http1.h"

typedef struct site {
    qr_http1 *http;
    bool later; /* requests are answered by the test */
    unsigned requests;
    qr_buffer log; /* a line for each request */
    qr_buffer out;
} site;

static void on_request(void *context, qr_http1 *http, const qr_http1_request *request)
{
    site *s = context;
    s->requests++;
    qr_slice host = qr_http1_header(http, "host");
    qr_buffer_format(&s->log, "%.*s|%.*s|%.*s|%.*s|%.*s\n", (int)request->method.size,
                     (const char *)request->method.data, (int)request->path.size,
                     (const char *)request->path.data, (int)request->query.size,
                     request->query.data ? (const char *)request->query.data : "", (int)request->body.size,
                     request->body.data ? (const char *)request->body.data : "",
                     host.data ? (int)host.size : 1, host.data ? (const char *)host.data : "-");
    if (s->later)
        return;
    if (qr_slice_equal(request->path, qr_slice_text("/none")))
        qr_http1_respond(http, 204, "text/plain", NULL, qr_slice_text("not shown"));
    else
        qr_http1_respond(http, 200, "text/plain", "X-Extra: 1\r\n", request->path);
}

static const qr_http1_handlers handlers = {on_request};

static void open_site(site *s, const qr_http1_limits *limits)
{
    *s = (site){0};
    s->http = qr_http1_new(&handlers, s, limits);
}

static void close_site(site *s)
{
    qr_http1_free(s->http);
    qr_buffer_free(&s->log);
    qr_buffer_free(&s->out);
}

static qr_status feed(site *s, const char *text, size_t step)
{
    qr_status status = QR_OK;
    size_t size = strlen(text);
    for (size_t at = 0; at < size && status == QR_OK; at += step) {
        size_t piece = size - at < step ? size - at : step;
        uint8_t *copy = qr_alloc(piece); /* of exactly this size: a step outside is seen */
        memcpy(copy, text + at, piece);
        status = qr_http1_feed(s->http, qr_slice_of(copy, piece));
        qr_free(copy);
    }
    qr_http1_drain(s->http, &s->out, SIZE_MAX);
    return status;
}

static const char *text_of(qr_buffer *buffer)
{
    *qr_buffer_reserve(buffer, 1) = '\0';
    return (const char *)buffer->data;
}

/* Feeds the text in steps of several sizes to a fresh connection each. */
static void expect(const char *text, qr_status status, bool finished, const char *log, const char *out)
{
    for (size_t step = 1; step < 5000; step = step * 3 + 1) {
        site s;
        open_site(&s, NULL);
        assert_int_equal(feed(&s, text, step), status);
        assert_string_equal(text_of(&s.log), log);
        if (out)
            assert_string_equal(text_of(&s.out), out);
        assert_int_equal(qr_http1_finished(s.http), finished);
        assert_false(qr_http1_pending(s.http));
        close_site(&s);
    }
}

#define OK_HEAD                                                                                              \
    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nX-Content-Type-Options: nosniff\r\nX-Extra: 1\r\n"

static void plain_requests(void **state)
{
    expect("GET /health?serializable=true&a=? HTTP/1.1\r\nHost: here\r\nEmpty:\r\nAccept: */*\r\n\r\n", QR_OK,
           false, "GET|/health|serializable=true&a=?||here\n", OK_HEAD "Content-Length: 7\r\n\r\n/health");
    expect("POST /v3/kv/put HTTP/1.1\r\nHOST: here\r\nContent-Length: 11\r\n\r\n{\"a\":\"b\"}\r\n", QR_OK,
           false, "POST|/v3/kv/put||{\"a\":\"b\"}\r\n|here\n",
           OK_HEAD "Content-Length: 10\r\n\r\n/v3/kv/put");
    expect("HEAD /x HTTP/1.1\r\n\r\n", QR_OK, false, "HEAD|/x|||-\n", OK_HEAD "Content-Length: 2\r\n\r\n");
    expect("GET /none HTTP/1.1\r\n\r\n", QR_OK, false, "GET|/none|||-\n",
           "HTTP/1.1 204 No Content\r\nX-Content-Type-Options: nosniff\r\n\r\n");
    expect("DELETE /a%20b HTTP/1.1\r\n\r\n", QR_OK, false, "DELETE|/a%20b|||-\n", NULL);
}

static void chunked_bodies(void **state)
{
    expect("PUT /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n7;ext=1\r\n, world\r\n0\r\n"
           "Host: a trailer\r\n\r\nGET /next HTTP/1.1\r\n\r\n",
           QR_OK, false, "PUT|/c||hello, world|-\nGET|/next|||-\n", NULL);
}

static void keep_alive_and_close(void **state)
{
    expect("GET /a HTTP/1.1\r\nConnection: close\r\n\r\nGET /b HTTP/1.1\r\n\r\n", QR_OK, true, "GET|/a|||-\n",
           OK_HEAD "Content-Length: 2\r\nConnection: close\r\n\r\n/a");
    expect("GET /a HTTP/1.0\r\n\r\n", QR_OK, true, "GET|/a|||-\n",
           OK_HEAD "Content-Length: 2\r\nConnection: close\r\n\r\n/a");
    expect("GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /b HTTP/1.1\r\n\r\n", QR_OK, false,
           "GET|/a|||-\nGET|/b|||-\n",
           OK_HEAD "Content-Length: 2\r\nConnection: keep-alive\r\n\r\n/a" OK_HEAD
                   "Content-Length: 2\r\n\r\n/b");
}

/* Offers to change the protocol are passed over; the body and what follows are still understood. */
static void upgrades_are_passed_over(void **state)
{
    expect("GET /a HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: "
           "AAMAAABk\r\n\r\n"
           "GET /b HTTP/1.1\r\n\r\n",
           QR_OK, false, "GET|/a|||-\nGET|/b|||-\n", NULL);
    expect("POST /a HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 2\r\n\r\nhi"
           "GET /b HTTP/1.1\r\n\r\n",
           QR_OK, false, "POST|/a||hi|-\nGET|/b|||-\n", NULL);
}

static void expectations(void **state)
{
    site s;
    open_site(&s, NULL);
    assert_int_equal(feed(&s, "PUT /c HTTP/1.1\r\nExpect: 100-Continue\r\nContent-Length: 3\r\n\r\n", 7),
                     QR_OK);
    assert_string_equal(text_of(&s.out), "HTTP/1.1 100 Continue\r\n\r\n");
    assert_int_equal(s.requests, 0);
    assert_int_equal(feed(&s, "abc", 1), QR_OK);
    assert_int_equal(s.requests, 1);
    close_site(&s);
    open_site(&s, NULL);
    assert_int_equal(feed(&s, "PUT /c HTTP/1.1\r\nExpect: a-miracle\r\nContent-Length: 3\r\n\r\n", 7),
                     QR_E_INVALID);
    assert_non_null(strstr(text_of(&s.out), "HTTP/1.1 417 "));
    close_site(&s);
}

static void errors(void **state)
{
    const struct {
        const char *text;
        const char *start;
    } cases[] = {
        {"complete nonsense\r\n\r\n", "HTTP/1.1 400 "},
        {"GET / HTTP/1.1\r\nno colon\r\n\r\n", "HTTP/1.1 400 "},
        {"GET / HTTP/1.1\r\na\1b: x\r\n\r\n", "HTTP/1.1 400 "},
        {"GET / HTTP/2.0\r\n\r\n", "HTTP/1.1 "},
        {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP/1.1 400 "},
        {"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx", "HTTP/1.1 400 "},
        {"POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
         "HTTP/1.1 400 "},
        {"POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\nxx", "HTTP/1.1 400 "},
        {"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", "HTTP/1.1 400 "},
        {"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", "HTTP/1.1 400 "},
        {"POST / HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n", "HTTP/1.1 400 "},
        {"POST / HTTP/1.1\r\nContent-Length: 2097153\r\n\r\n", "HTTP/1.1 413 "},
        {"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nfffffff\r\n", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (size_t step = 1; step < 100; step += 33) {
            site s;
            open_site(&s, NULL);
            qr_status status = feed(&s, cases[i].text, step);
            assert_int_equal(s.requests, 0);
            if (cases[i].start != NULL) {
                assert_int_equal(status, QR_E_INVALID);
                assert_true(qr_slice_starts(qr_buffer_slice(&s.out), qr_slice_text(cases[i].start)));
                assert_non_null(strstr(text_of(&s.out), "Connection: close\r\n"));
                assert_true(qr_http1_finished(s.http));
                assert_int_equal(feed(&s, "GET / HTTP/1.1\r\n\r\n", 100), QR_E_INVALID);
                assert_int_equal(s.requests, 0);
            }
            close_site(&s);
        }
    }
}

static void bounds(void **state)
{
    const qr_http1_limits limits = {.head_max = 200, .body_max = 50};
    char text[4000];
    for (unsigned size = 1; size < 400; size++) {
        site s;
        open_site(&s, &limits);
        snprintf(text, sizeof text, "GET /%0*d HTTP/1.1\r\n\r\n", (int)size, 0);
        assert_int_equal(feed(&s, text, 10), size < 200 ? QR_OK : QR_E_INVALID);
        assert_non_null(strstr(text_of(&s.out), size < 200 ? " 200 " : " 414 "));
        close_site(&s);
        open_site(&s, &limits);
        snprintf(text, sizeof text, "GET / HTTP/1.1\r\na: %0*d\r\n\r\n", (int)size, 0);
        assert_int_equal(feed(&s, text, 10), size <= 194 ? QR_OK : QR_E_INVALID);
        assert_non_null(strstr(text_of(&s.out), size <= 194 ? " 200 " : " 431 "));
        close_site(&s);
        open_site(&s, &limits);
        snprintf(text, sizeof text, "GET / HTTP/1.1\r\nContent-Length: %u\r\n\r\n%0*d", size, (int)size, 0);
        assert_int_equal(feed(&s, text, 10), size <= 50 ? QR_OK : QR_E_INVALID);
        assert_non_null(strstr(text_of(&s.out), size <= 50 ? " 200 " : " 413 "));
        close_site(&s);
        open_site(&s, &limits);
        snprintf(text, sizeof text,
                 "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%0*d\r\n0\r\n\r\n", size,
                 (int)size, 0);
        assert_int_equal(feed(&s, text, 10), size <= 50 ? QR_OK : QR_E_INVALID);
        assert_non_null(strstr(text_of(&s.out), size <= 50 ? " 200 " : " 413 "));
        close_site(&s);
    }
    site s;
    open_site(&s, NULL); /* many small headers, and trailers without end */
    qr_buffer many;
    qr_buffer_init(&many);
    qr_buffer_format(&many, "GET / HTTP/1.1\r\n");
    for (int i = 0; i < 101; i++)
        qr_buffer_format(&many, "a:\r\n");
    assert_int_equal(feed(&s, text_of(&many), 1000), QR_E_INVALID);
    assert_non_null(strstr(text_of(&s.out), " 431 "));
    close_site(&s);
    open_site(&s, NULL);
    qr_buffer_clear(&many);
    qr_buffer_format(&many, "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n");
    for (int i = 0; i < 2000; i++)
        qr_buffer_format(&many, "trailer: bytes\r\n");
    assert_int_equal(feed(&s, text_of(&many), 1000), QR_E_INVALID);
    qr_buffer_free(&many);
    close_site(&s);
}

/* Pipelined requests come one at a time, in order, however late the answers. */
static void pipelining(void **state)
{
    for (size_t step = 1; step < 3000; step = step * 4 + 3) {
        for (int later = 0; later < 2; later++) {
            site s;
            open_site(&s, NULL);
            s.later = later;
            qr_buffer text, log;
            qr_buffer_init(&text);
            qr_buffer_init(&log);
            for (int i = 0; i < 200; i++) {
                qr_buffer_format(&text, "POST /%d HTTP/1.1\r\nContent-Length: 4\r\n\r\n%04d", i, i);
                qr_buffer_format(&log, "POST|/%d||%04d|-\n", i, i);
            }
            assert_int_equal(feed(&s, text_of(&text), step), QR_OK);
            for (unsigned i = 1; later && i <= 200; i++) {
                assert_int_equal(s.requests, i);
                qr_http1_respond(s.http, 200, NULL, NULL, qr_slice_text("x"));
            }
            assert_int_equal(s.requests, 200);
            assert_string_equal(text_of(&s.log), text_of(&log));
            qr_buffer_free(&text);
            qr_buffer_free(&log);
            close_site(&s);
        }
    }
}

/* The number of pipelined requests that wait is bounded by their bytes; and the stack never grows with it. */
static void pipelining_without_measure(void **state)
{
    site s;
    open_site(&s, NULL);
    s.later = true;
    qr_buffer text;
    qr_buffer_init(&text);
    for (int i = 0; i < 2000; i++)
        qr_buffer_format(&text, "GET / HTTP/1.1\r\n\r\n");
    qr_status status = QR_OK;
    unsigned rounds = 0;
    while (status == QR_OK && ++rounds < 1000)
        status = qr_http1_feed(s.http, qr_buffer_slice(&text));
    assert_int_equal(status, QR_E_INVALID);
    assert_in_range(rounds, 50, 70);
    assert_int_equal(s.requests, 1);
    qr_http1_respond(s.http, 200, NULL, NULL, qr_slice_text("x"));
    assert_int_equal(s.requests, 1);
    qr_http1_drain(s.http, &s.out, 10);
    assert_int_equal(s.out.size, 10);
    assert_false(qr_http1_finished(s.http));
    qr_http1_drain(s.http, &s.out, SIZE_MAX);
    assert_non_null(strstr(text_of(&s.out), "Connection: close\r\n"));
    assert_true(qr_http1_finished(s.http));
    close_site(&s);
    open_site(&s, NULL);
    s.later = true;
    for (int i = 0; i < 40; i++)
        assert_int_equal(qr_http1_feed(s.http, qr_buffer_slice(&text)), QR_OK);
    s.later = false;
    qr_http1_respond(s.http, 200, NULL, NULL, qr_slice_text("x"));
    for (size_t before = 0;
         s.requests > before;) { /* a client that reads gets all; one that doesn't, no more */
        assert_in_range(qr_http1_queued(s.http), 0, QR_HTTP1_QUEUED_MAX + 200);
        before = s.requests;
        qr_http1_resume(s.http);
        assert_int_equal(s.requests, before);
        qr_buffer_clear(&s.out);
        qr_http1_drain(s.http, &s.out, SIZE_MAX);
        qr_http1_resume(s.http);
    }
    assert_int_equal(s.requests, 80000);
    qr_buffer_free(&text);
    close_site(&s);
}

/* ---- responses in pieces ---- */

static void pieces(void **state)
{
    site s;
    open_site(&s, NULL);
    s.later = true;
    feed(&s, "GET /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\n", 1000);
    qr_http1_begin(s.http, 200, "text/plain", "X-Extra: 1\r\n");
    qr_http1_piece(s.http, qr_slice_text("0123456789abcdef!"));
    qr_http1_piece(s.http, qr_slice_of(NULL, 0)); /* would be the end */
    assert_int_equal(s.requests, 1);
    qr_http1_piece(s.http, qr_slice_text("x"));
    assert_int_equal(qr_http1_queued(s.http), strlen(OK_HEAD) +
                                                  strlen("Transfer-Encoding: chunked\r\n\r\n") +
                                                  strlen("11\r\n0123456789abcdef!\r\n1\r\nx\r\n"));
    qr_http1_end(s.http);
    assert_int_equal(s.requests, 2);
    qr_http1_drain(s.http, &s.out, SIZE_MAX);
    assert_string_equal(text_of(&s.out), OK_HEAD "Transfer-Encoding: chunked\r\n\r\n"
                                                 "11\r\n0123456789abcdef!\r\n1\r\nx\r\n0\r\n\r\n");
    assert_false(qr_http1_finished(s.http));
    close_site(&s);
}

/* HTTP/1.0 knows no chunks: the end of the connection is that of the response. */
static void pieces_for_an_old_client(void **state)
{
    site s;
    open_site(&s, NULL);
    s.later = true;
    feed(&s, "GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 1000);
    qr_http1_begin(s.http, 200, "text/plain", "X-Extra: 1\r\n");
    qr_http1_piece(s.http, qr_slice_text("x"));
    assert_false(qr_http1_finished(s.http));
    qr_http1_end(s.http);
    qr_http1_drain(s.http, &s.out, SIZE_MAX);
    assert_string_equal(text_of(&s.out), OK_HEAD "Connection: close\r\n\r\nx");
    assert_true(qr_http1_finished(s.http));
    close_site(&s);
}

/* A stream that is never drained to its end keeps only what is not drained. */
static void an_endless_stream(void **state)
{
    site s;
    open_site(&s, NULL);
    s.later = true;
    feed(&s, "GET /a HTTP/1.1\r\n\r\n", 1000);
    qr_http1_begin(s.http, 200, "text/plain", NULL);
    for (int i = 0; i < 100000; i++) {
        qr_http1_piece(s.http, qr_slice_text("0123456789"));
        qr_buffer_clear(&s.out);
        if (i > 0)
            qr_http1_drain(s.http, &s.out, 15); /* of each chunk's bytes */
    }
    assert_in_range(qr_http1_queued(s.http), 1, 1000);
    close_site(&s);
}

static void refusing_what_arrives(void **state)
{
    site s;
    open_site(&s, NULL);
    feed(&s, "POST /a HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc", 1000);
    assert_in_range(qr_http1_held(s.http), 5, 100);
    qr_http1_refuse(s.http, 429, "no more");
    qr_http1_drain(s.http, &s.out, SIZE_MAX);
    assert_non_null(strstr(text_of(&s.out), "HTTP/1.1 429 Too Many Requests\r\n"));
    assert_true(qr_http1_finished(s.http));
    assert_int_equal(qr_http1_feed(s.http, qr_slice_text("defghij")), QR_E_INVALID);
    close_site(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_requests),
        cmocka_unit_test(chunked_bodies),
        cmocka_unit_test(keep_alive_and_close),
        cmocka_unit_test(upgrades_are_passed_over),
        cmocka_unit_test(expectations),
        cmocka_unit_test(errors),
        cmocka_unit_test(bounds),
        cmocka_unit_test(pipelining),
        cmocka_unit_test(pipelining_without_measure),
        cmocka_unit_test(pieces),
        cmocka_unit_test(pieces_for_an_old_client),
        cmocka_unit_test(an_endless_stream),
        cmocka_unit_test(refusing_what_arrives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

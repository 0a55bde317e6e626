/* HTTP/1.1 on a client connection: the JSON gateway, the pages, and what a client may cost. */
#include "unit.h"

#include "door/etcd/http.h"
#include "fake_node.h"

enum { NOW = 5000 };

struct site {
    qr_node node;
    qr_etcd_door *door;
    qr_stream_door stream;
    void *connection;
    qr_buffer out;
};

static void open_connection(struct site *site, qr_stream_door stream)
{
    site->stream = stream;
    site->connection = stream.ops->open(stream.self, "127.0.0.1:4711", (qr_stream_waker){0}, NOW);
    assert_non_null(site->connection);
}

static void close_connection(struct site *site)
{
    site->stream.ops->close(site->connection);
    site->connection = NULL;
}

static int fresh(void **state)
{
    struct site *site = qr_alloc_zero(1, sizeof *site);
    fake_node_init(&site->node);
    site->door = qr_etcd_door_new(
        &(qr_etcd_config){.node = &site->node, .cluster = FAKE_CLUSTER, .self = FAKE_SELF, .name = "one"});
    open_connection(site, qr_etcd_door_stream(site->door));
    *state = site;
    return 0;
}

static int gone(void **state)
{
    struct site *site = *state;
    if (site->connection)
        close_connection(site);
    assert_int_equal(site->door->http_held, 0);
    assert_int_equal(site->door->ring.unsent, 0);
    qr_etcd_door_free(site->door);
    fake_node_free(&site->node);
    qr_buffer_free(&site->out);
    qr_free(site);
    return 0;
}

static qr_status feed(struct site *site, const char *text)
{
    return site->stream.ops->feed(site->connection, qr_slice_text(text), NOW);
}

static qr_status post(struct site *site, const char *path, const char *body)
{
    qr_buffer text;
    qr_buffer_init(&text);
    qr_buffer_format(&text, "POST %s HTTP/1.1\r\nContent-Length: %zu\r\n\r\n%s", path, strlen(body), body);
    qr_status status = site->stream.ops->feed(site->connection, qr_buffer_slice(&text), NOW);
    qr_buffer_free(&text);
    return status;
}

static const char *drain(struct site *site, size_t size)
{
    qr_buffer_clear(&site->out);
    site->stream.ops->drain(site->connection, &site->out, size);
    *qr_buffer_reserve(&site->out, 1) = 0;
    return (const char *)site->out.data;
}

static void assert_response(const char *response, const char *status, const char *body)
{
    assert_memory_equal(response + strlen("HTTP/1.1 "), status, strlen(status));
    const char *head_end = strstr(response, "\r\n\r\n");
    assert_non_null(head_end);
    assert_string_equal(head_end + 4, body);
}

static void expect(struct site *site, const char *path, const char *body, const char *status,
                   const char *answer)
{
    assert_int_equal(post(site, path, body), QR_OK);
    fake_node_turn(&site->node);
    assert_response(drain(site, 65536), status, answer);
}

static void expect_page(struct site *site, const char *path, const char *status, const char *body)
{
    qr_buffer text;
    qr_buffer_init(&text);
    qr_buffer_format(&text, "GET %s HTTP/1.1\r\n\r\n", path);
    assert_int_equal(site->stream.ops->feed(site->connection, qr_buffer_slice(&text), NOW), QR_OK);
    qr_buffer_free(&text);
    fake_node_turn(&site->node);
    assert_response(drain(site, 65536), status, body);
}

#define HEADER(revision)                                                                                     \
    "\"header\":{\"cluster_id\":\"193\",\"member_id\":\"81\",\"revision\":\"" revision                       \
    "\",\"raft_term\":\"7\"}"

static void test_unary(void **state)
{
    struct site *site = *state;
    expect(site, "/v3/kv/put", "{\"key\":\"YQ==\",\"value\":\"Yg==\"}", "200", "{" HEADER("2") "}");
    expect(site, "/v3beta/kv/range", "{\"key\":\"YQ==\"}", "200",
           "{" HEADER("2") ",\"kvs\":[{\"key\":\"YQ==\",\"create_revision\":\"2\",\"mod_revision\":\"2\","
                           "\"version\":\"1\",\"value\":\"Yg==\"}],\"count\":\"1\"}");
    expect(site, "/v3/kv/put", "{}", "400",
           "{\"error\":\"etcdserver: key is not provided\",\"message\":\"etcdserver: key is not provided\","
           "\"code\":3,\"details\":[]}");
    expect(
        site, "/v3/kv/put", "{\"key\":}", "400",
        "{\"error\":\"a string is missing\",\"message\":\"a string is missing\",\"code\":3,\"details\":[]}");
    expect(site, "/v3/maintenance/downgrade", "{\"action\":\"CANCEL\"}", "412",
           "{\"error\":\"etcdserver: no inflight downgrade job\",\"message\":\"etcdserver: no inflight "
           "downgrade "
           "job\",\"code\":9,\"details\":[]}");
    expect(site, "/v3/kv/lease/nothing", "{}", "404", "Not Found\n");
    expect(site, "/v3/", "{}", "404", "Not Found\n");
    expect_page(site, "/v3/kv/put", "405", "Method Not Allowed\n");
}

/* A transaction answers one level deeper than it asks: the deepest that is taken can still be written. */
static void test_the_deepest_transaction(void **state)
{
    struct site *site = *state;
    qr_buffer body;
    bool refused = false, answered = false;
    qr_buffer_init(&body);
    expect(site, "/v3/kv/put", "{\"key\":\"YQ==\",\"value\":\"Yg==\"}", "200", "{" HEADER("2") "}");
    for (int levels = 40; levels < 90; levels++) {
        qr_buffer_clear(&body);
        for (int i = 0; i < levels; i++)
            qr_buffer_format(&body, "{\"success\":[{\"request_txn\":");
        qr_buffer_format(&body, "{\"success\":[{\"request_range\":{\"key\":\"YQ==\"}}]}");
        for (int i = 0; i < levels; i++)
            qr_buffer_format(&body, "}]}");
        qr_buffer_u8(&body, 0);
        assert_int_equal(post(site, "/v3/kv/txn", (const char *)body.data), QR_OK);
        fake_node_turn(&site->node);
        bool good = strncmp(drain(site, 1 << 20), "HTTP/1.1 200", 12) == 0;
        refused = refused || !good;
        answered = answered || good;
        assert_true(!good || !refused);
    }
    assert_true(refused && answered);
    qr_buffer_free(&body);
}

static void put_large(struct site *site, size_t size)
{
    qr_buffer body;
    qr_buffer_init(&body);
    qr_buffer_format(&body, "{\"key\":\"YQ==\",\"value\":\"");
    memset(qr_buffer_extend(&body, size), 'A', size);
    qr_buffer_format(&body, "\"}");
    qr_buffer_u8(&body, 0);
    expect(site, "/v3/kv/put", (const char *)body.data, "200", "{" HEADER("2") "}");
    qr_buffer_free(&body);
}

/* What a client does not read counts, and it gets no more of it. */
static void test_unread_answers(void **state)
{
    struct site *site = *state;
    static const char request[] = "{\"key\":\"YQ==\"}";
    put_large(site, 400000);
    for (int i = 0; i < 3; i++)
        assert_int_equal(post(site, "/v3/kv/range", request), QR_OK);
    assert_int_equal(site->node.count, 1);
    fake_node_turn(&site->node);
    assert_int_equal(site->node.count, 0); /* the second one waits: the first is unread */
    assert_in_range(site->door->ring.unsent, 400000, 401000);
    drain(site, 300000);
    assert_int_equal(site->node.count, 0);
    drain(site, 65000); /* nearly all is read */
    assert_int_equal(site->node.count, 1);
    assert_int_equal(site->door->ring.unsent, 0);
    fake_node_turn(&site->node);
    assert_in_range(site->door->ring.unsent, 400000, 401000); /* and closed with that */
}

/* Requests that wait behind unread answers are whole: their client is not a slow one. */
static void test_waiting_requests_have_no_clock(void **state)
{
    struct site *site = *state;
    put_large(site, 400000);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(post(site, "/v3/kv/range", "{\"key\":\"YQ==\"}"), QR_OK);
        fake_node_turn(&site->node);
    }
    for (int i = 0; i < 3; i++) {
        drain(site, SIZE_MAX);
        fake_node_turn(&site->node);
    }
    assert_int_equal(site->node.count, 0);
    site->stream.ops->tick(site->connection, NOW + 40000);
    assert_false(site->stream.ops->finished(site->connection));
    assert_int_equal(feed(site, "POST /v3/kv/put HTTP/1.1\r\n"), QR_OK);
    site->stream.ops->tick(site->connection, NOW + 80000);
    assert_true(site->stream.ops->finished(site->connection));
}

static void test_closed_with_a_request_at_the_node(void **state)
{
    struct site *site = *state;
    assert_int_equal(post(site, "/v3/kv/put", "{\"key\":\"YQ==\"}"), QR_OK);
    assert_int_equal(site->node.count, 1);
    close_connection(site);
    fake_node_turn(&site->node);
    assert_int_equal(site->node.index, 1);
}

static void test_too_much_that_is_not_whole(void **state)
{
    struct site *site = *state;
    assert_int_equal(feed(site, "POST /v3/kv/put HTTP/1.1\r\nContent-Length: 500000\r\n\r\n"), QR_OK);
    site->door->http_held += QR_ETCD_HTTP_HELD_MAX; /* of others */
    assert_int_equal(feed(site, "  "), QR_OK);      /* a small one may go on */
    qr_buffer body;
    qr_buffer_init(&body);
    qr_buffer_format(&body, "%100000s", "");
    assert_int_equal(site->stream.ops->feed(site->connection, qr_buffer_slice(&body), NOW), QR_E_BUSY);
    qr_buffer_free(&body);
    site->door->http_held -= QR_ETCD_HTTP_HELD_MAX;
    assert_non_null(strstr(drain(site, 65536), "HTTP/1.1 429 Too Many Requests\r\n"));
    assert_true(site->stream.ops->finished(site->connection));
}

static void test_stream(void **state)
{
    struct site *site = *state;
    site->node.export_size = 3 * 1024 * 1024;
    assert_int_equal(post(site, "/v3/maintenance/snapshot", ""), QR_OK);
    size_t total = 0, most = 0, lines = 0;
    for (int idle = 0; idle < 3;) {
        fake_node_turn(&site->node);
        const char *text = drain(site, 65536);
        for (size_t i = 0; i < site->out.size; i++)
            lines += text[i] == '\n' && i > 0 && text[i - 1] == '}';
        total += site->out.size;
        most = site->out.size > most ? site->out.size : most;
        idle = site->out.size ? 0 : idle + 1;
    }
    assert_in_range(total, 4 * 1024 * 1024, 5 * 1024 * 1024); /* base64 */
    assert_true(lines > 3 && most <= 65536);
    expect_page(site, "/version", "200", "{\"etcdserver\":\"3.4.23\",\"etcdcluster\":\"3.4.0\"}");
}

static void test_stream_that_nobody_reads(void **state)
{
    struct site *site = *state;
    site->node.export_size = 64 * 1024 * 1024;
    assert_int_equal(post(site, "/v3/maintenance/snapshot", ""), QR_OK);
    for (int i = 0; i < 100; i++)
        fake_node_turn(&site->node);
    drain(site, 1);
    for (int i = 0; i < 100; i++)
        fake_node_turn(&site->node);
    drain(site, SIZE_MAX);
    assert_in_range(site->out.size, 1, 4 * 1024 * 1024); /* of 64 MiB */
    close_connection(site);                              /* in the middle: the method is told */
    fake_node_turn(&site->node);
}

static void test_stream_that_fails(void **state)
{
    struct site *site = *state;
    site->node.export_size = 1000;
    site->node.export_failure = QR_E_NO_SPACE;
    assert_int_equal(post(site, "/v3/maintenance/snapshot", ""), QR_OK);
    fake_node_turn(&site->node);
    const char *text = drain(site, 65536);
    assert_non_null(strstr(text, "{\"error\":{\"grpc_code\":"));
    assert_non_null(strstr(text, "\"http_status\":"));
}

static void test_health_checks(void **state)
{
    struct site *site = *state;
    expect_page(site, "/livez", "200", "ok\n");
    expect_page(site, "/livez?verbose", "200", "[+]serializable_read ok\nok\n");
    expect_page(site, "/readyz/linearizable_read?verbose", "200", "[+]linearizable_read ok\nok\n");
    expect_page(site, "/livez/linearizable_read", "404", "404 page not found\n");
    expect_page(site, "/livezz", "404", "404 page not found\n");
    site->node.failure = QR_E_NO_LEADER;
    expect_page(site, "/readyz", "503",
                "[+]data_corruption ok\n[+]serializable_read ok\n[-]linearizable_read failed: etcdserver: no "
                "leader\n[+]non_learner ok\n");
    expect_page(
        site, "/readyz?exclude=linearizable_read", "503",
        "[+]data_corruption ok\n[-]serializable_read failed: etcdserver: no leader\n[+]non_learner ok\n");
    site->node.failure = QR_OK;
    site->node.leader = 0;
    expect_page(site, "/health", "503", "{\"health\":\"false\",\"reason\":\"RAFT NO LEADER\"}");
    expect_page(site, "/health?serializable=true", "200", "{\"health\":\"true\"}");
}

static void test_alarms(void **state)
{
    struct site *site = *state;
    expect(site, "/v3/maintenance/alarm", "{}", "200", "{}");
    site->node.no_space = true;
    site->node.divergent = FAKE_OTHER;
    expect(site, "/v3/maintenance/alarm", "{}", "200",
           "{\"alarms\":[{\"memberID\":\"81\",\"alarm\":\"NOSPACE\"},{\"memberID\":\"82\",\"alarm\":"
           "\"CORRUPT\"}]}");
    expect(site, "/v3/maintenance/alarm", "{\"alarm\":\"CORRUPT\"}", "200",
           "{\"alarms\":[{\"memberID\":\"82\",\"alarm\":\"CORRUPT\"}]}");
    expect_page(site, "/health", "503", "{\"health\":\"false\",\"reason\":\"ALARM NOSPACE\"}");
    expect_page(site, "/health?exclude=NOSPACE", "503",
                "{\"health\":\"false\",\"reason\":\"ALARM CORRUPT\"}");
    expect_page(site, "/health?exclude=NOSPACE&exclude=CORRUPT", "200", "{\"health\":\"true\"}");
    expect_page(site, "/readyz/data_corruption", "503",
                "[-]data_corruption failed: alarm activated: CORRUPT\n");
    assert_int_equal(post(site, "/v3/maintenance/status", "{}"), QR_OK);
    fake_node_turn(&site->node);
    assert_non_null(strstr(drain(site, 65536),
                           "\"errors\":[\"memberID:81 alarm:NOSPACE \",\"memberID:82 alarm:CORRUPT \"]"));
}

/* As records, with etcd's answers (3.4.23, by hand). */
static void test_alarm_records(void **state)
{
    struct site *site = *state;
    static const struct {
        const char *request, *answer;
    } steps[] = {
        {"{\"action\":\"ACTIVATE\",\"memberID\":\"7\",\"alarm\":\"NOSPACE\"}",
         "{\"alarms\":[{\"memberID\":\"7\",\"alarm\":\"NOSPACE\"}]}"},
        {"{\"action\":\"ACTIVATE\",\"memberID\":\"7\",\"alarm\":\"NOSPACE\"}",
         "{\"alarms\":[{\"memberID\":\"7\",\"alarm\":\"NOSPACE\"}]}"},
        {"{\"memberID\":\"9\"}", "{\"alarms\":[{\"memberID\":\"7\",\"alarm\":\"NOSPACE\"}]}"},
        {"{\"alarm\":\"CORRUPT\"}", "{}"},
        {"{\"action\":\"DEACTIVATE\"}", "{}"},
        {"{\"action\":\"DEACTIVATE\",\"memberID\":\"7\"}", "{}"},
        {"{\"action\":\"DEACTIVATE\",\"alarm\":\"NOSPACE\"}", "{}"},
        {"{\"action\":\"ACTIVATE\",\"memberID\":\"7\"}", "{\"alarms\":[{\"memberID\":\"7\"}]}"},
        {"{\"action\":\"ACTIVATE\",\"memberID\":\"7\",\"alarm\":9}",
         "{\"alarms\":[{\"memberID\":\"7\",\"alarm\":9}]}"},
        {"{\"action\":\"DEACTIVATE\",\"memberID\":\"7\",\"alarm\":\"NOSPACE\"}",
         "{\"alarms\":[{\"memberID\":\"7\",\"alarm\":\"NOSPACE\"}]}"},
        {"{\"action\":\"DEACTIVATE\",\"memberID\":\"7\",\"alarm\":\"NOSPACE\"}", "{}"},
        {"{\"action\":\"ACTIVATE\",\"alarm\":\"CORRUPT\"}", "{\"alarms\":[{\"alarm\":\"CORRUPT\"}]}"},
        {"{}",
         "{\"alarms\":[{\"memberID\":\"7\"},{\"alarm\":\"CORRUPT\"},{\"memberID\":\"7\",\"alarm\":9}]}"},
    };
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++)
        expect(site, "/v3/maintenance/alarm", steps[i].request, "200", steps[i].answer);
    expect(site, "/v3/kv/put", "{\"key\":\"YQ==\"}", "500",
           "{\"error\":\"etcdserver: corrupt cluster\",\"message\":\"etcdserver: corrupt cluster\","
           "\"code\":15,\"details\":[]}");
    expect_page(site, "/health", "503", "{\"health\":\"false\",\"reason\":\"ALARM CORRUPT\"}");
    assert_int_equal(post(site, "/v3/maintenance/status", "{}"), QR_OK);
    fake_node_turn(&site->node);
    assert_non_null(strstr(drain(site, 65536),
                           "\"errors\":[\"memberID:7 \",\"alarm:CORRUPT \",\"memberID:7 alarm:9 \"]"));
    assert_int_equal(feed(site, "GET /metrics HTTP/1.1\r\n\r\n"), QR_OK);
    fake_node_turn(&site->node);
    assert_non_null(strstr(drain(site, 65536), "\nquorate_alarm{member=\"7\",kind=\"9\"} 1\n"));
}

static void test_counting(void **state)
{
    struct site *site = *state;
    expect(site, "/v3/kv/put", "{}", "400",
           "{\"error\":\"etcdserver: key is not provided\",\"message\":\"etcdserver: key is not provided\","
           "\"code\":3,\"details\":[]}");
    assert_int_equal(feed(site, "GET /metrics HTTP/1.1\r\n\r\n"), QR_OK);
    fake_node_turn(&site->node);
    assert_non_null(strstr(drain(site, 65536),
                           "\ngrpc_server_handled_total{grpc_service=\"etcdserverpb.KV\",grpc_method=\"Put\","
                           "grpc_type=\"unary\",grpc_code=\"InvalidArgument\"} 1\n"));
    site->node.refusal = QR_E_HALTED; /* the page is there all the same, without what the store would say */
    assert_int_equal(feed(site, "GET /metrics HTTP/1.1\r\n\r\n"), QR_OK);
    const char *text = drain(site, 65536);
    assert_non_null(strstr(text, "HTTP/1.1 200"));
    assert_null(strstr(text, "etcd_mvcc"));
}

static void test_pages_alone(void **state)
{
    struct site *site = *state;
    close_connection(site);
    open_connection(site, qr_etcd_door_pages(site->door));
    expect(site, "/v3/kv/put", "{\"key\":\"YQ==\"}", "404", "404 page not found\n");
    expect_page(site, "/health", "200", "{\"health\":\"true\"}");
    assert_int_not_equal(feed(site, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), QR_OK);
}

int main(void)
{
#define ROW(test) cmocka_unit_test_setup_teardown(test, fresh, gone)
    const struct CMUnitTest tests[] = {
        ROW(test_unary),
        ROW(test_the_deepest_transaction),
        ROW(test_unread_answers),
        ROW(test_waiting_requests_have_no_clock),
        ROW(test_closed_with_a_request_at_the_node),
        ROW(test_too_much_that_is_not_whole),
        ROW(test_stream),
        ROW(test_stream_that_nobody_reads),
        ROW(test_stream_that_fails),
        ROW(test_health_checks),
        ROW(test_alarms),
        ROW(test_alarm_records),
        ROW(test_counting),
        ROW(test_pages_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

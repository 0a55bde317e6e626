/* The command line client without its connections: flags, requests from words, the txn language, JSON. */
#include "unit.h"

#include "bin/client.h"
#include "wire/protobuf.h"

static int fresh(void **state)
{
    qr_client *client = qr_alloc_zero(1, sizeof *client);
    qr_arena_init(&client->arena);
    qr_buffer_init(&client->out);
    qr_client_options_init(&client->options);
    *state = client;
    return 0;
}

static int gone(void **state)
{
    qr_client *client = *state;
    qr_arena_free(&client->arena);
    qr_buffer_free(&client->out);
    qr_free(client);
    return 0;
}

static void assert_data(ProtobufCBinaryData data, const char *bytes, size_t size)
{
    assert_int_equal(data.len, size);
    if (size)
        assert_memory_equal(data.data, bytes, size);
}

#define ASSERT_TEXT(data, text) assert_data(data, text, strlen(text))

/* The words of a command line, given as one list. */
static const char *parse(qr_client *client, qr_client_verb verb, const char *const *words)
{
    int count = 0;
    while (words[count])
        count++;
    qr_client_options_init(&client->options);
    return qr_client_parse(verb, count, (char *const *)words, &client->options, &client->arena);
}

#define PARSE(verb, ...) parse(client, verb, (const char *[]){__VA_ARGS__, NULL})

static void test_flags(void **state)
{
    qr_client *client = *state;
    assert_null(PARSE(QR_CLIENT_GET, "a", "--limit", "5", "--rev=7", "--prefix", "-w=json", "--", "--b"));
    assert_int_equal(client->options.limit, 5);
    assert_int_equal(client->options.revision, 7);
    assert_true(client->options.prefix);
    assert_string_equal(client->options.output, "json");
    assert_int_equal(client->options.argument_count, 2);
    assert_string_equal(client->options.arguments[1], "--b");
    assert_null(PARSE(QR_CLIENT_GET, "-o", "simple", "--prefix=false"));
    assert_false(client->options.prefix);
    assert_string_equal(PARSE(QR_CLIENT_PUT, "--limit", "5"),
                        "unknown flag --limit; --help lists what there is");
    assert_string_equal(PARSE(QR_CLIENT_GET, "--limit", "many"), "--limit takes a number, not \"many\"");
    assert_string_equal(PARSE(QR_CLIENT_GET, "--limit"), "--limit needs a value");
    assert_string_equal(PARSE(QR_CLIENT_GET, "-o", "xml"), "--write-out knows simple and json, not \"xml\"");
    assert_non_null(PARSE(QR_CLIENT_GET, "--prefix=perhaps"));
    uint64_t milliseconds;
    assert_true(qr_client_duration("1.5s", &milliseconds) && milliseconds == 1500);
    assert_true(qr_client_duration("20ms", &milliseconds) && milliseconds == 20);
    assert_true(qr_client_duration("2m", &milliseconds) && milliseconds == 120000);
    assert_false(qr_client_duration("0s", &milliseconds));
    assert_false(qr_client_duration("-1s", &milliseconds));
    assert_false(qr_client_duration("5h", &milliseconds));
    assert_false(qr_client_duration("", &milliseconds));
}

static void test_spans(void **state)
{
    qr_client *client = *state;
    QrEtcdpb__RangeRequest request;
    assert_null(PARSE(QR_CLIENT_GET, "abc", "--prefix"));
    assert_null(qr_client_get_request(client, &client->options, &request));
    ASSERT_TEXT(request.key, "abc");
    ASSERT_TEXT(request.range_end, "abd");
    assert_null(PARSE(QR_CLIENT_GET, "a\xff\xff", "--prefix"));
    assert_null(qr_client_get_request(client, &client->options, &request));
    ASSERT_TEXT(request.range_end, "b");
    assert_null(PARSE(QR_CLIENT_GET, "\xff", "--prefix"));
    assert_null(qr_client_get_request(client, &client->options, &request));
    assert_data(request.range_end, "\0", 1);
    assert_null(PARSE(QR_CLIENT_GET, "", "--prefix"));
    assert_null(qr_client_get_request(client, &client->options, &request));
    assert_data(request.key, "\0", 1);
    assert_data(request.range_end, "\0", 1);
    assert_null(
        PARSE(QR_CLIENT_GET, "k", "--from-key", "--sort-by", "modify", "--order=descend", "--consistency=s"));
    assert_null(qr_client_get_request(client, &client->options, &request));
    assert_data(request.range_end, "\0", 1);
    assert_int_equal(request.sort_target, 3);
    assert_int_equal(request.sort_order, 2);
    assert_true(request.serializable);
    static const char *const wrong[][6] = {{"a", "b", "c"},
                                           {"a", "b", "--prefix"},
                                           {"a", "--prefix", "--from-key"},
                                           {"a", "--order", "SIDEWAYS"},
                                           {"a", "--sort-by", "COLOUR"},
                                           {"a", "--consistency", "x"},
                                           {NULL}};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_null(parse(client, QR_CLIENT_GET, wrong[i]));
        assert_non_null(qr_client_get_request(client, &client->options, &request));
    }
}

/* Where the words of a command begin, which keeps its own flags. */
static void test_commands(void **state)
{
    qr_client *client = *state;
    const qr_client_options *options = &client->options;
    assert_null(PARSE(QR_CLIENT_LOCK, "--ttl", "5", "name", "--ttl=7", "rsync", "-a", "--ttl", "9"));
    assert_int_equal(options->ttl, 7);
    assert_int_equal(options->command_at, 1);
    assert_int_equal(options->argument_count, 5);
    assert_string_equal(options->arguments[1], "rsync");
    assert_string_equal(options->arguments[4], "9");
    assert_null(options->arguments[5]);
    assert_null(PARSE(QR_CLIENT_LOCK, "name", "--", "-x", "--", "y"));
    assert_int_equal(options->command_at, 1);
    assert_string_equal(options->arguments[1], "-x");
    assert_null(PARSE(QR_CLIENT_LOCK, "name"));
    assert_int_equal(options->command_at, 1);
    assert_null(options->arguments[1]);
    assert_null(PARSE(QR_CLIENT_WATCH, "a", "b", "--prev-kv", "--", "sh", "-c", "x"));
    assert_true(options->prev_kv);
    assert_int_equal(options->command_at, 2);
    assert_int_equal(options->argument_count, 5);
    assert_null(PARSE(QR_CLIENT_WATCH, "a", "b"));
    assert_int_equal(options->command_at, 2);
    assert_null(PARSE(QR_CLIENT_GET, "--", "a", "b")); /* runs none */
    assert_int_equal(options->command_at, 2);
    assert_null(PARSE(QR_CLIENT_ELECT, "name", "-l"));
    assert_true(options->listen);
    assert_int_equal(options->ttl, 10);
}

static void test_watch_request(void **state)
{
    qr_client *client = *state;
    QrEtcdpb__WatchCreateRequest request;
    assert_null(PARSE(QR_CLIENT_WATCH, "a", "--prefix", "--rev", "7", "--prev-kv", "--", "true"));
    assert_null(qr_client_watch_request(client, &client->options, &request));
    ASSERT_TEXT(request.key, "a");
    ASSERT_TEXT(request.range_end, "b");
    assert_int_equal(request.start_revision, 7);
    assert_true(request.prev_kv);
    assert_false(request.progress_notify);
    assert_null(PARSE(QR_CLIENT_WATCH, "--progress-notify", "a", "b", "c"));
    assert_non_null(qr_client_watch_request(client, &client->options, &request));
    assert_null(PARSE(QR_CLIENT_WATCH, "a", "--rev=-1"));
    assert_non_null(qr_client_watch_request(client, &client->options, &request));
    assert_null(PARSE(QR_CLIENT_WATCH, "--", "true"));
    assert_non_null(qr_client_watch_request(client, &client->options, &request));
}

static void test_events(void **state)
{
    qr_client *client = *state;
    QrMvccpb__KeyValue kv = QR_MVCCPB__KEY_VALUE__INIT, before = QR_MVCCPB__KEY_VALUE__INIT;
    kv.key = before.key = (ProtobufCBinaryData){.len = 1, .data = (uint8_t *)"k"};
    kv.value = (ProtobufCBinaryData){.len = 3, .data = (uint8_t *)"new"};
    before.value = (ProtobufCBinaryData){.len = 3, .data = (uint8_t *)"old"};
    QrMvccpb__Event event = QR_MVCCPB__EVENT__INIT;
    event.kv = &kv;
    event.prev_kv = &before;
    qr_client_print_event(client, &event);
    event.type = QR_MVCCPB__EVENT__EVENT_TYPE__DELETE;
    event.prev_kv = NULL;
    kv.value.len = 0;
    qr_client_print_event(client, &event);
    qr_buffer_u8(&client->out, 0);
    assert_string_equal((const char *)client->out.data, "PUT\nk\nold\nk\nnew\nDELETE\nk\n\n");
}

static const char *read_txn(qr_client *client, const char *text, QrEtcdpb__TxnRequest *request)
{
    return qr_client_txn_request(client, qr_slice_text(text), request);
}

static void test_txn_language(void **state)
{
    qr_client *client = *state;
    QrEtcdpb__TxnRequest request;
    assert_null(read_txn(client,
                         "ver(\"k\") = \"1\"\n"
                         "create(\"k\")   !=  \"2\"  \r\n"
                         "m(\"k\") > \"-3\"\n"
                         "val(\"a \\\"b\\\"\\n\\x41\\102\") < \"v\"\n"
                         "lease(\"k\") = \"1f\"\n"
                         "\n"
                         "put key \"a value\"\n"
                         "get 'x y' --prefix --limit=2\n"
                         "del a z --prev-kv\n"
                         "\n"
                         "put other 1 --lease=ff\n"
                         "\n",
                         &request));
    assert_int_equal(request.n_compare, 5);
    assert_int_equal(request.compare[0]->target, 0);
    assert_int_equal(request.compare[0]->version, 1);
    assert_int_equal(request.compare[1]->target, 1);
    assert_int_equal(request.compare[1]->result, 3);
    assert_int_equal(request.compare[2]->mod_revision, -3);
    assert_int_equal(request.compare[2]->result, 1);
    ASSERT_TEXT(request.compare[3]->key, "a \"b\"\nAB");
    ASSERT_TEXT(request.compare[3]->value, "v");
    assert_int_equal(request.compare[3]->result, 2);
    assert_int_equal(request.compare[4]->lease, 0x1f);
    assert_int_equal(request.n_success, 3);
    ASSERT_TEXT(request.success[0]->request_put->value, "a value");
    ASSERT_TEXT(request.success[1]->request_range->key, "x y");
    assert_int_equal(request.success[1]->request_range->limit, 2);
    assert_true(request.success[2]->request_delete_range->prev_kv);
    assert_int_equal(request.n_failure, 1);
    assert_int_equal(request.failure[0]->request_put->lease, 0xff);
    assert_null(read_txn(client, "", &request));
    assert_null(read_txn(client, "\nput a b", &request)); /* the end of the text ends everything */
    assert_int_equal(request.n_success, 1);
    assert_int_equal(request.n_failure, 0);
}

static void test_txn_language_mistakes(void **state)
{
    qr_client *client = *state;
    QrEtcdpb__TxnRequest request;
    static const char *const rows[][2] = {
        {"what\n", "malformed comparison: what"},
        {"mod(\"k\") ~ \"1\"\n", "malformed comparison: mod(\"k\") ~ \"1\""},
        {"mod(k) = \"1\"\n", "malformed comparison: mod(k) = \"1\""},
        {"mod(\"k) = \"1\"\n", "malformed comparison: mod(\"k) = \"1\""},
        {"size(\"k\") = \"1\"\n", "\"size\" cannot be compared: ver, create, mod, val or lease can"},
        {"mod(\"k\") = \"x\"\n", "\"x\" is not a number to compare mod with"},
        {"\nmove a b\n", "unknown operation \"move\": put, get or del"},
        {"\nput a\n", "a key and a value are needed"},
        {"\nput \"a\n", "malformed operation: put \"a"},
        {"\nput \"\\q\" b\n", "malformed operation: put \"\\q\" b"},
        {"\nget\n", "one key is needed, or a key and the end of a range"},
        {"\nget a --color\n", "unknown flag --color; --help lists what there is"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *sentence = read_txn(client, rows[i][0], &request);
        assert_non_null(sentence);
        assert_string_equal(sentence, rows[i][1]);
    }
}

static void test_txn_language_random(void **state)
{
    qr_client *client = *state;
    qr_prng prng;
    qr_prng_seed(&prng, 8);
    static const char letters[] = "mod(\"k\") = \"1\"\n\nput 'a' b\\x4 --prefix=\t get del";
    for (int i = 0; i < 5000; i++) {
        char text[120];
        size_t size = qr_prng_below(&prng, sizeof text);
        for (size_t j = 0; j < size; j++)
            text[j] = qr_prng_below(&prng, 20) ? letters[qr_prng_below(&prng, sizeof letters)]
                                               : (char)qr_prng_next(&prng);
        QrEtcdpb__TxnRequest request;
        qr_client_txn_request(client, qr_slice_of(text, size), &request);
        qr_arena_reset(&client->arena);
    }
}

/* The shape that etcdctl -w json prints. */
static void test_json(void **state)
{
    qr_client *client = *state;
    QrEtcdpb__ResponseHeader header = QR_ETCDPB__RESPONSE_HEADER__INIT,
                             inner = QR_ETCDPB__RESPONSE_HEADER__INIT;
    QrMvccpb__KeyValue kv = QR_MVCCPB__KEY_VALUE__INIT, *kvs[] = {&kv};
    QrEtcdpb__RangeResponse range = QR_ETCDPB__RANGE_RESPONSE__INIT;
    QrEtcdpb__ResponseOp op = QR_ETCDPB__RESPONSE_OP__INIT, *ops[] = {&op};
    QrEtcdpb__TxnResponse txn = QR_ETCDPB__TXN_RESPONSE__INIT;
    header.cluster_id = UINT64_MAX;
    header.revision = 9;
    kv.key = (ProtobufCBinaryData){2, (uint8_t *)"ab"};
    kv.value = (ProtobufCBinaryData){3, (uint8_t *)"abc"};
    kv.mod_revision = -1;
    range.header = &inner;
    range.kvs = kvs;
    range.n_kvs = 1;
    range.more = true;
    op.response_case = QR_ETCDPB__RESPONSE_OP__RESPONSE_RESPONSE_RANGE;
    op.response_range = &range;
    txn.header = &header;
    txn.responses = ops;
    txn.n_responses = 1;
    qr_client_print_json(client, &txn.base);
    qr_buffer_u8(&client->out, 0);
    assert_string_equal(
        (const char *)client->out.data,
        "{\"header\":{\"cluster_id\":18446744073709551615,\"revision\":9},\"responses\":[{\"Response\":"
        "{\"ResponseRange\":{\"header\":{},\"kvs\":[{\"key\":\"YWI=\",\"mod_revision\":-1,"
        "\"value\":\"YWJj\"}],\"more\":true}}}]}");
}

/* The flags of the verbs that change members; other verbs do not know them. */
static void test_member_flags(void **state)
{
    qr_client *client = *state;
    const qr_client_options *options = &client->options;
    assert_null(PARSE(QR_CLIENT_MEMBER, "add", "m4", "--peer-urls=http://a:1,http://b:2", "--voter", "--wait",
                      "30s"));
    assert_int_equal(options->argument_count, 2);
    assert_string_equal(options->peer_urls, "http://a:1,http://b:2");
    assert_string_equal(options->wait, "30s");
    assert_true(options->voter);
    assert_null(PARSE(QR_CLIENT_MEMBER, "list"));
    assert_string_equal(options->peer_urls, "");
    assert_non_null(PARSE(QR_CLIENT_MOVE_LEADER, "m4", "--voter"));
    assert_non_null(PARSE(QR_CLIENT_PUT, "k", "v", "--peer-urls=x"));
}

static void test_simple_output(void **state)
{
    qr_client *client = *state;
    QrMvccpb__KeyValue kv = QR_MVCCPB__KEY_VALUE__INIT;
    QrEtcdpb__Member member = QR_ETCDPB__MEMBER__INIT, *members[] = {&member};
    QrEtcdpb__MemberListResponse list = QR_ETCDPB__MEMBER_LIST_RESPONSE__INIT;
    kv.key = (ProtobufCBinaryData){1, (uint8_t *)"k"};
    kv.value = (ProtobufCBinaryData){2, (uint8_t *)"\0v"};
    client->options.hex = true;
    qr_client_print_kv(client, &kv, false);
    char *urls[] = {(char *)"http://a", (char *)"http://b"};
    member.id = 0xabc;
    member.peerurls = urls;
    member.n_peerurls = 2;
    list.members = members;
    list.n_members = 1;
    qr_client_print_members(client, &list);
    static const char *const cells[] = {"A", "LONG", "longer", "x"};
    qr_client_print_table(client, cells, 2, 2);
    qr_buffer_u8(&client->out, 0);
    assert_string_equal((const char *)client->out.data, "\\x6b\n\\x00\\x76\n"
                                                        "abc, unstarted, , http://a,http://b, , false\n"
                                                        "A       LONG\nlonger  x\n");
}

int main(void)
{
#define ROW(test) cmocka_unit_test_setup_teardown(test, fresh, gone)
    const struct CMUnitTest tests[] = {
        ROW(test_flags),
        ROW(test_spans),
        ROW(test_commands),
        ROW(test_watch_request),
        ROW(test_events),
        ROW(test_txn_language),
        ROW(test_txn_language_mistakes),
        ROW(test_txn_language_random),
        ROW(test_json),
        ROW(test_member_flags),
        ROW(test_simple_output),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

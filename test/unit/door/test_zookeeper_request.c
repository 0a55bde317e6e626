/* Operations of clients, from the bytes of a packet's body to those of its reply, over a real tree. What is
 * expected is what test/door/zk_probe saw of a real server. */
#include "unit.h"

#include "door/zookeeper/request.h"
#include "fake_node.h"

static const int64_t own_session = 0x5100000000000007, other_session = 0x5100000000000008;

typedef struct peer {
    qr_node *node;
    qr_zookeeper_asker asker;
    qr_zookeeper_request request;
    qr_arena arena;
    qr_zookeeper_step step;
    void (*rival)(struct peer *client);
} peer;

static qr_node node;
static peer one, two;
static const char *root;
static const qr_jute_acl open_term[] = {
    {.perms = 31, .scheme = {(const uint8_t *)"world", 5}, .id = {(const uint8_t *)"anyone", 6}}};
static const qr_jute_vector open_acl = {.items = open_term, .count = 1};
static const qr_zookeeper_id ids[] = {
    {{(const uint8_t *)"ip", 2}, {(const uint8_t *)"127.0.0.1", 9}},
    {{(const uint8_t *)"digest", 6}, {(const uint8_t *)"u:Jq7wMyA/w2Vd5WIDAKdu4OIIFEQ=", 30}}};

static void ignore(void *owner, const qr_reply *reply)
{
    qr_status *status = owner;
    *status = reply->status;
}

static void grant(int64_t session)
{
    qr_body body = {
        .kind = QR_BODY_LEASE_GRANT, .lease = session, .ttl_ms = 10000, .session = qr_slice_text("s")};
    qr_buffer bytes;
    qr_buffer_init(&bytes);
    qr_body_encode(&body, &bytes);
    qr_status status = QR_E_STOPPED;
    qr_request request = {
        .kind = QR_REQUEST_WRITE, .body = qr_buffer_slice(&bytes), .done = ignore, .owner = &status};
    assert_int_equal(qr_node_submit(&node, &request), QR_OK);
    fake_node_turn(&node);
    assert_int_equal(status, QR_OK);
    qr_buffer_free(&bytes);
}

static void join(peer *client, int64_t session, size_t id_count)
{
    *client = (struct peer){
        .node = &node, .asker = {.session = session, .session_states = 1, .ids = ids, .id_count = id_count}};
    qr_arena_init(&client->arena);
    grant(session);
}

static int fresh_at(const char *where)
{
    root = where;
    fake_node_init(&node);
    join(&one, own_session, 1);
    join(&two, other_session, 2);
    return 0;
}

static int fresh(void **state)
{
    (void)state;
    return fresh_at("");
}

static int fresh_below(void **state)
{
    (void)state;
    return fresh_at("/app/zk");
}

static int gone(void **state)
{
    (void)state;
    fake_node_free(&node);
    qr_arena_free(&one.arena);
    qr_arena_free(&two.arena);
    return 0;
}

static void applied(void *owner, const qr_reply *reply)
{
    peer *client = owner;
    client->step = qr_zookeeper_request_applied(client->node, &client->request, reply);
}

static int32_t finish(peer *client)
{
    while (client->step == QR_ZOOKEEPER_WRITE) {
        if (client->rival) {
            void (*rival)(struct peer *) = client->rival;
            client->rival = NULL;
            rival(client);
        }
        qr_request write = {
            .kind = QR_REQUEST_WRITE, .body = client->request.command, .done = applied, .owner = client};
        assert_int_equal(qr_node_submit(client->node, &write), QR_OK);
        fake_node_turn(client->node);
    }
    return client->request.err;
}

static int32_t send_bytes(peer *client, int32_t type, qr_buffer *body)
{
    client->request = (qr_zookeeper_request){.arena = &client->arena,
                                             .type = type,
                                             .body = qr_arena_copy(&client->arena, qr_buffer_slice(body)),
                                             .root = qr_slice_text(root),
                                             .asker = &client->asker};
    qr_buffer_free(body);
    client->step = qr_zookeeper_request_begin(client->node, &client->request);
    return finish(client);
}

static int32_t send(peer *client, int32_t type, const void *value)
{
    qr_buffer body;
    qr_buffer_init(&body);
    qr_jute_encode(qr_jute_request_of(type), value, &body);
    return send_bytes(client, type, &body);
}

static void *answer(peer *client)
{
    const qr_jute_record *record = qr_jute_reply_of(client->request.type);
    void *value = qr_arena_zero(&client->arena, 1, qr_jute_record_size(record));
    qr_reader reader = qr_reader_of(client->request.reply);
    assert_int_equal(qr_jute_decode(record, &reader, &client->arena, value), QR_OK);
    assert_int_equal(qr_reader_left(&reader), 0);
    return value;
}

static int32_t create_acl(peer *client, const char *path, int32_t flags, qr_jute_vector acl)
{
    qr_jute_create create = {
        .path = qr_slice_text(path), .data = qr_slice_text("x"), .acl = acl, .flags = flags};
    return send(client, QR_JUTE_OP_CREATE2, &create);
}

static int32_t create(peer *client, const char *path, int32_t flags)
{
    return create_acl(client, path, flags, open_acl);
}

static int32_t versioned(peer *client, int32_t type, const char *path, int32_t version)
{
    qr_jute_path_version request = {.path = qr_slice_text(path), .version = version};
    return send(client, type, &request);
}

static int32_t set_data(peer *client, const char *path, qr_slice data, int32_t version)
{
    qr_jute_set_data request = {.path = qr_slice_text(path), .data = data, .version = version};
    return send(client, QR_JUTE_OP_SET_DATA, &request);
}

static int32_t set_acl(peer *client, const char *path, qr_jute_vector acl, int32_t version)
{
    qr_jute_set_acl request = {.path = qr_slice_text(path), .acl = acl, .version = version};
    return send(client, QR_JUTE_OP_SET_ACL, &request);
}

static int32_t ask(peer *client, int32_t type, const char *path)
{
    qr_jute_path_watch request = {.path = qr_slice_text(path), .watch = true};
    return send(client, type, &request);
}

static qr_jute_stat stat_of(peer *client, const char *path)
{
    assert_int_equal(ask(client, QR_JUTE_OP_EXISTS, path), 0);
    return ((qr_jute_stat_reply *)answer(client))->stat;
}

static void assert_text(qr_slice slice, const char *text)
{
    if (!qr_slice_equal(slice, qr_slice_text(text)))
        fail_msg("'%.*s' is not '%s'", (int)slice.size, (const char *)slice.data, text);
}

/* --------------------------------------------------------------------- cases ---- */

static void creates(void **state)
{
    (void)state;
    assert_int_equal(create(&one, "/a", 0), 0);
    qr_jute_path_stat *made = answer(&one);
    assert_text(made->path, "/a");
    qr_jute_stat seen = stat_of(&two, "/a");
    assert_memory_equal(&made->stat, &seen, sizeof seen);
    assert_int_equal(seen.czxid, 2);
    assert_int_equal(create(&one, "/a", 0), QR_ZOOKEEPER_NODE_EXISTS);
    assert_int_equal(create(&one, "/", 0), QR_ZOOKEEPER_NODE_EXISTS);
    assert_int_equal(create(&one, "/x/y", 0), QR_ZOOKEEPER_NO_NODE);
    assert_int_equal(create(&one, "/x/../y", 0), QR_ZOOKEEPER_NO_NODE);
    assert_int_equal(create(&one, "/a/..", 0), QR_ZOOKEEPER_BAD_ARGUMENTS);
    assert_int_equal(create(&one, "a", 0), QR_ZOOKEEPER_BAD_ARGUMENTS);
    assert_int_equal(create(&one, "/b", 7), QR_ZOOKEEPER_BAD_ARGUMENTS);
    assert_int_equal(create(&one, "/b", 5), QR_ZOOKEEPER_UNIMPLEMENTED);
    assert_int_equal(create_acl(&one, "/b", 0, (qr_jute_vector){.count = 0}), QR_ZOOKEEPER_INVALID_ACL);
    assert_int_equal(create(&one, "/e", 1), 0);
    assert_int_equal(stat_of(&two, "/e").ephemeral_owner, own_session);
    assert_int_equal(create(&two, "/e/a", 0), QR_ZOOKEEPER_NO_CHILDREN_FOR_EPHEMERALS);
    assert_int_equal(create(&one, "/a/", 2), 0);
    assert_text(((qr_jute_path_stat *)answer(&one))->path, "/a/0000000000");
    assert_int_equal(stat_of(&one, "/a").cversion, 1);
}

static void sets_and_deletes(void **state)
{
    (void)state;
    assert_int_equal(set_data(&one, "/a", qr_slice_text("y"), -1), QR_ZOOKEEPER_NO_NODE);
    assert_int_equal(create(&one, "/a", 0), 0);
    assert_int_equal(set_data(&one, "/a", qr_slice_text("yes"), 1), QR_ZOOKEEPER_BAD_VERSION);
    assert_int_equal(set_data(&one, "/a", qr_slice_text("yes"), -2), QR_ZOOKEEPER_BAD_VERSION);
    assert_int_equal(set_data(&one, "/a", qr_slice_text("yes"), 0), 0);
    qr_jute_stat set = ((qr_jute_stat_reply *)answer(&one))->stat, seen = stat_of(&two, "/a");
    assert_memory_equal(&set, &seen, sizeof seen);
    assert_int_equal(seen.version, 1);
    assert_int_equal(seen.data_length, 3);
    assert_int_equal(set_data(&one, "/a", qr_slice_of(NULL, 0), 1), 0);
    assert_int_equal(ask(&one, QR_JUTE_OP_GET_DATA, "/a"), 0);
    assert_null(((qr_jute_data_reply *)answer(&one))->data.data);
    assert_int_equal(one.request.watch, QR_ZOOKEEPER_WATCH_DATA);
    assert_int_equal(create(&one, "/a/b", 0), 0);
    assert_int_equal(versioned(&one, QR_JUTE_OP_DELETE, "/a", 7), QR_ZOOKEEPER_BAD_VERSION);
    assert_int_equal(versioned(&one, QR_JUTE_OP_DELETE, "/a", 2), QR_ZOOKEEPER_NOT_EMPTY);
    assert_int_equal(versioned(&one, QR_JUTE_OP_DELETE, "/", -1), QR_ZOOKEEPER_BAD_ARGUMENTS);
    assert_int_equal(versioned(&one, QR_JUTE_OP_DELETE, "/zookeeper", -1), QR_ZOOKEEPER_BAD_ARGUMENTS);
    assert_int_equal(versioned(&one, QR_JUTE_OP_DELETE, "/a/", -1), QR_ZOOKEEPER_NO_NODE);
    assert_int_equal(versioned(&one, QR_JUTE_OP_DELETE, "/a/b", 0), 0);
    assert_int_equal(versioned(&one, QR_JUTE_OP_DELETE, "/a", 2), 0);
    assert_int_equal(ask(&one, QR_JUTE_OP_EXISTS, "/a"), QR_ZOOKEEPER_NO_NODE);
    assert_int_equal(one.request.watch, QR_ZOOKEEPER_WATCH_EXIST);
}

static void the_root(void **state)
{
    (void)state;
    assert_int_equal(ask(&one, QR_JUTE_OP_GET_CHILDREN2, ""), 0);
    qr_jute_children_stat *seen = answer(&one);
    assert_int_equal(seen->children.count, 1);
    assert_text(((const qr_jute_name *)seen->children.items)[0].text, "zookeeper");
    assert_int_equal(seen->stat.cversion, -1);
    assert_int_equal(seen->stat.num_children, 1);
    assert_int_equal(ask(&one, QR_JUTE_OP_GET_CHILDREN, "/zookeeper"), 0);
    assert_int_equal(((qr_jute_children *)answer(&one))->children.count, 2);
    assert_int_equal(set_data(&one, "/zookeeper/config", qr_jute_empty, -1), QR_ZOOKEEPER_NO_AUTH);
    qr_jute_path path = {.path = qr_slice_text("/")};
    assert_int_equal(send(&one, QR_JUTE_OP_GET_ALL_CHILDREN_NUMBER, &path), 0);
    assert_int_equal(((qr_jute_number *)answer(&one))->number, 3);
}

static void rights(void **state)
{
    (void)state;
    qr_jute_acl auth = {.perms = 31, .scheme = qr_slice_text("auth"), .id = qr_jute_empty};
    qr_jute_vector mine = {.items = &auth, .count = 1};
    assert_int_equal(create_acl(&one, "/a", 0, mine), QR_ZOOKEEPER_INVALID_ACL);
    assert_int_equal(create_acl(&two, "/a", 0, mine), 0);
    assert_int_equal(stat_of(&one, "/a").aversion, 0);
    assert_int_equal(ask(&one, QR_JUTE_OP_GET_DATA, "/a"), QR_ZOOKEEPER_NO_AUTH);
    assert_int_equal(set_data(&one, "/a", qr_jute_empty, -1), QR_ZOOKEEPER_NO_AUTH);
    assert_int_equal(create(&one, "/a/b", 0), QR_ZOOKEEPER_NO_AUTH);
    assert_int_equal(create_acl(&two, "/a/s-", 2, mine), 0);
    assert_int_equal(ask(&one, QR_JUTE_OP_GET_DATA, "/a/s-0000000000"), QR_ZOOKEEPER_NO_AUTH);
    assert_int_equal(set_acl(&two, "/a", open_acl, 3), QR_ZOOKEEPER_BAD_VERSION);
    assert_int_equal(set_acl(&two, "/a", open_acl, 0), 0);
    assert_int_equal(((qr_jute_stat_reply *)answer(&two))->stat.aversion, 1);
    assert_int_equal(ask(&one, QR_JUTE_OP_GET_DATA, "/a"), 0);
    qr_slice id;
    assert_int_equal(qr_zookeeper_digest(qr_slice_text("u:p"), &one.arena, &id), QR_OK);
    assert_text(id, "u:Jq7wMyA/w2Vd5WIDAKdu4OIIFEQ=");
}

static void forbids(peer *client)
{
    (void)client;
    qr_jute_acl none = {.perms = 1, .scheme = qr_slice_text("world"), .id = qr_slice_text("anyone")};
    assert_int_equal(set_acl(&two, "/a", (qr_jute_vector){.items = &none, .count = 1}, -1), 0);
}

static void makes_anew(peer *client)
{
    (void)client;
    assert_int_equal(versioned(&two, QR_JUTE_OP_DELETE, "/a", -1), 0);
    assert_int_equal(create(&two, "/a", 4), 0);
}

/* What was judged by has changed when the write is applied. */
static void overtaken(void **state)
{
    (void)state;
    assert_int_equal(create(&one, "/a", 0), 0);
    one.rival = forbids;
    assert_int_equal(set_data(&one, "/a", qr_slice_text("y"), -1), QR_ZOOKEEPER_NO_AUTH);
    assert_int_equal(versioned(&two, QR_JUTE_OP_DELETE, "/a", -1), 0);
    assert_int_equal(create(&one, "/a", 0), 0);
    one.rival = makes_anew;
    assert_int_equal(set_data(&one, "/a", qr_slice_of(NULL, 0), -1), 0);
    assert_int_equal(stat_of(&one, "/a").version, 1);
}

static void makes(peer *client)
{
    (void)client;
    assert_int_equal(create(&two, "/a", 4), 0);
}

/* The node that a write needs is on its way when the write is judged. */
static void on_its_way(void **state)
{
    (void)state;
    one.rival = makes;
    assert_int_equal(create(&one, "/a/b", 0), 0);
    assert_int_equal(versioned(&one, QR_JUTE_OP_DELETE, "/a/b", 0), 0);
    assert_int_equal(versioned(&one, QR_JUTE_OP_DELETE, "/a", 0), 0);
    one.rival = makes;
    assert_int_equal(set_data(&one, "/a", qr_slice_text("y"), 0), 0);
    assert_int_equal(stat_of(&one, "/a").version, 1);
}

/* As another door does it. */
static void put_beside(const char *key)
{
    qr_buffer bytes, name;
    qr_buffer_init(&bytes);
    qr_buffer_init(&name);
    qr_buffer_format(&name, "%s%s", root, key);
    qr_op op = {.kind = QR_OP_PUT, .put = {.space = QR_SPACE_KEYS, .key = qr_buffer_slice(&name)}};
    qr_body_encode_txn(&(qr_txn){.then_ops = &op, .then_count = 1}, &bytes);
    qr_status status = QR_E_STOPPED;
    qr_request request = {
        .kind = QR_REQUEST_WRITE, .body = qr_buffer_slice(&bytes), .done = ignore, .owner = &status};
    assert_int_equal(qr_node_submit(&node, &request), QR_OK);
    fake_node_turn(&node);
    assert_int_equal(status, QR_OK);
    qr_buffer_free(&bytes);
    qr_buffer_free(&name);
}

/* To be a key is one more state of the data of a directory that nobody created. */
static void implied(void **state)
{
    (void)state;
    put_beside("/i/x");
    assert_int_equal(stat_of(&two, "/i").version, 0);
    assert_int_equal(set_data(&one, "/i", qr_slice_text("y"), 0), 0);
    qr_jute_stat told = ((qr_jute_stat_reply *)answer(&one))->stat, seen = stat_of(&two, "/i");
    assert_int_equal(told.version, 1);
    assert_memory_equal(&told, &seen, sizeof seen);
    assert_int_equal(set_data(&one, "/i", qr_slice_text("z"), told.version), 0);
}

static void sessions(void **state)
{
    (void)state;
    one.asker.session_states = 2;
    assert_int_equal(create(&one, "/a", 0), QR_ZOOKEEPER_SESSION_MOVED);
    one.asker.session = 77;
    assert_int_equal(create(&one, "/a", 0), QR_ZOOKEEPER_SESSION_EXPIRED);
    assert_int_equal(ask(&two, QR_JUTE_OP_EXISTS, "/a"), QR_ZOOKEEPER_NO_NODE);
}

/* --------------------------------------------------------------------- multi ---- */

static void add_create(qr_buffer *body, const char *path, int32_t flags)
{
    qr_jute_create create = {
        .path = qr_slice_text(path), .data = qr_jute_empty, .acl = open_acl, .flags = flags};
    qr_jute_multi_add(body, QR_JUTE_OP_CREATE, -1, &qr_jute_record_create, &create);
}

static void add_set(qr_buffer *body, const char *path)
{
    qr_jute_set_data set = {.path = qr_slice_text(path), .data = qr_slice_text("x"), .version = 0};
    qr_jute_multi_add(body, QR_JUTE_OP_SET_DATA, -1, &qr_jute_record_set_data, &set);
}

static void add_delete(qr_buffer *body, const char *path)
{
    qr_jute_path_version del = {.path = qr_slice_text(path), .version = -1};
    qr_jute_multi_add(body, QR_JUTE_OP_DELETE, -1, &qr_jute_record_path_version, &del);
}

static qr_jute_multi_item next(peer *client, qr_reader *reader)
{
    qr_jute_multi_item item;
    assert_int_equal(qr_jute_multi_next(reader, &client->arena, true, &item), QR_OK);
    return item;
}

/* It was there before it was a key, and is told so though it is gone at the end. */
static void multi_sets_and_deletes(void **state)
{
    (void)state;
    put_beside("/i/x");
    qr_jute_stat implied_as = stat_of(&two, "/i");
    put_beside("/i");
    qr_buffer body;
    qr_buffer_init(&body);
    qr_jute_set_data set = {.path = qr_slice_text("/i"), .data = qr_slice_text("x"), .version = 1};
    qr_jute_multi_add(&body, QR_JUTE_OP_SET_DATA, -1, &qr_jute_record_set_data, &set);
    add_delete(&body, "/i/x");
    add_delete(&body, "/i");
    qr_jute_multi_end(&body);
    assert_int_equal(send_bytes(&one, QR_JUTE_OP_MULTI, &body), 0);
    qr_reader reader = qr_reader_of(one.request.reply);
    qr_jute_multi_item item = next(&one, &reader);
    const qr_jute_stat *told = &((const qr_jute_stat_reply *)item.value)->stat;
    assert_int_equal(told->czxid, implied_as.czxid);
    assert_int_equal(told->version, 2);
    assert_int_equal(ask(&two, QR_JUTE_OP_EXISTS, "/i"), QR_ZOOKEEPER_NO_NODE);
}

static void multi_sees_itself(void **state)
{
    (void)state;
    qr_buffer body;
    qr_buffer_init(&body);
    add_create(&body, "/a", 0);
    add_set(&body, "/a");
    add_create(&body, "/a/b", 0);
    add_delete(&body, "/a/b");
    add_create(&body, "/s", 2);
    qr_jute_multi_end(&body);
    assert_int_equal(send_bytes(&one, QR_JUTE_OP_MULTI, &body), 0);
    qr_reader reader = qr_reader_of(one.request.reply);
    assert_text(((qr_jute_path *)next(&one, &reader).value)->path, "/a");
    qr_jute_stat set = ((qr_jute_stat_reply *)next(&one, &reader).value)->stat;
    assert_int_equal(set.version, 1);
    assert_int_equal(set.cversion, 0);
    assert_int_equal(set.num_children, 0);
    assert_int_equal(set.czxid, 2);
    assert_int_equal(set.mzxid, 2);
    next(&one, &reader);
    assert_int_equal(next(&one, &reader).header.type, QR_JUTE_OP_DELETE);
    assert_text(((qr_jute_path *)next(&one, &reader).value)->path, "/s0000000001");
    assert_true(next(&one, &reader).header.done);
    assert_int_equal(stat_of(&one, "/a").cversion, 2);
}

static void multi_fails(void **state)
{
    (void)state;
    qr_buffer body;
    qr_buffer_init(&body);
    add_create(&body, "/a", 0);
    add_create(&body, "/a", 0);
    add_delete(&body, "/a");
    qr_jute_multi_end(&body);
    assert_int_equal(send_bytes(&one, QR_JUTE_OP_MULTI, &body), 0);
    static const int32_t codes[] = {0, QR_ZOOKEEPER_NODE_EXISTS, QR_ZOOKEEPER_RUNTIME_INCONSISTENCY};
    qr_reader reader = qr_reader_of(one.request.reply);
    for (size_t i = 0; i < 3; i++) {
        qr_jute_multi_item item = next(&one, &reader);
        assert_int_equal(item.header.err, codes[i]);
        assert_int_equal(((qr_jute_number *)item.value)->number, codes[i]);
    }
    assert_true(next(&one, &reader).header.done);
    assert_int_equal(ask(&one, QR_JUTE_OP_EXISTS, "/a"), QR_ZOOKEEPER_NO_NODE);
}

static void multi_empty_and_unknown(void **state)
{
    (void)state;
    qr_buffer body;
    qr_buffer_init(&body);
    qr_jute_multi_end(&body);
    assert_int_equal(send_bytes(&one, QR_JUTE_OP_MULTI, &body), 0);
    qr_buffer_init(&body);
    qr_jute_path_watch read = {.path = qr_slice_text("/")};
    qr_jute_multi_add(&body, QR_JUTE_OP_GET_DATA, -1, &qr_jute_record_path_watch, &read);
    qr_jute_multi_end(&body);
    assert_int_equal(send_bytes(&one, QR_JUTE_OP_MULTI, &body), QR_ZOOKEEPER_MARSHALLING);
    qr_buffer_init(&body);
    assert_int_equal(send_bytes(&one, 4711, &body), QR_ZOOKEEPER_UNIMPLEMENTED);
    assert_true(one.request.closes);
}

static void who_and_what(void **state)
{
    (void)state;
    qr_buffer body;
    qr_buffer_init(&body);
    assert_int_equal(send_bytes(&two, QR_JUTE_OP_WHO_AM_I, &body), 0);
    qr_jute_users *users = answer(&two);
    assert_int_equal(users->users.count, 2);
    assert_text(((const qr_jute_user *)users->users.items)[1].user, "u");
    assert_int_equal(create(&one, "/e", 1), 0);
    assert_int_equal(create(&two, "/f", 1), 0);
    qr_jute_path path = {.path = qr_slice_text("/")};
    assert_int_equal(send(&one, QR_JUTE_OP_GET_EPHEMERALS, &path), 0);
    qr_jute_children *mine = answer(&one);
    assert_int_equal(mine->children.count, 1);
    assert_text(((const qr_jute_name *)mine->children.items)[0].text, "/e");
}

#define ROW(test)                                                                                            \
    cmocka_unit_test_setup_teardown(test, fresh, gone),                                                      \
        cmocka_unit_test_setup_teardown(test, fresh_below, gone)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ROW(creates),
        ROW(sets_and_deletes),
        ROW(the_root),
        ROW(rights),
        ROW(overtaken),
        ROW(on_its_way),
        ROW(implied),
        ROW(sessions),
        ROW(multi_fails),
        ROW(multi_sets_and_deletes),
        ROW(multi_sees_itself),
        ROW(who_and_what),
        ROW(multi_empty_and_unknown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

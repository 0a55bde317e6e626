/* Members that come and go, and those without a quorum, as clients of the ZooKeeper door see it. */
#include "zookeeper_play.h"

#include "core/catalogue.h"

/* ---- changes of members ---- */

static void on_put(void *owner, const qr_reply *reply)
{
    assert_int_equal(reply->status, QR_OK);
}

/* The members have started, and say where they are. */
static void fill_catalogue(void)
{
    static const char *const names[] = {"1", "2", "3"};
    static const char *const urls[] = {"http://a:1", "http://b:1", "http://c:1"};
    for (uint32_t i = 0; i < 3; i++) {
        qr_catalogue_entry entry = {.name = qr_slice_text(names[i]),
                                    .peer = {.list = {qr_slice_text(urls[i])}, .count = 1}};
        qr_buffer body = {0};
        qr_catalogue_body(FAKE_SELF + i, &entry, 0, &body);
        qr_request request = {.kind = QR_REQUEST_WRITE, .body = qr_buffer_slice(&body), .done = on_put};
        assert_int_equal(qr_node_submit(&node, &request), QR_OK);
        qr_buffer_free(&body);
    }
    fake_node_turn(&node);
}

static int32_t send_reconfig(peer *one, const char *joining, const char *leaving)
{
    qr_buffer body = {0};
    add_number(&body, ++one->xid, 4);
    add_number(&body, RECONFIG, 4);
    add_text(&body, joining);
    add_text(&body, leaving);
    add_number(&body, -1, 4);
    add_number(&body, -1, 8);
    assert_int_equal(feed_packet(one, &body), QR_OK);
    qr_buffer_free(&body);
    return one->xid;
}

static void become_super(peer *one)
{
    qr_buffer body = {0};
    add_number(&body, -4, 4);
    add_number(&body, AUTH, 4);
    add_number(&body, 0, 4);
    add_text(&body, "digest");
    add_text(&body, "super:test");
    assert_int_equal(feed_packet(one, &body), QR_OK);
    qr_buffer_free(&body);
    turns(one);
    expect(one, -4, 0);
}

static void expect_data(peer *one, int32_t xid, const char *data)
{
    packet p = next(one);
    assert_int_equal(p.xid, xid);
    assert_int_equal(p.err, 0);
    qr_reader reader = qr_reader_of(p.body);
    assert_int_equal(number(&reader, 4), strlen(data));
    assert_memory_equal(reader.at, data, strlen(data));
}

#define OF_TWO "server.1=a:1:2:participant\nserver.2=b:1:2:participant\n"

static void a_change_of_members_is_told_to_who_watches(void **state)
{
    peer one = {0}, other = {0};
    fill_catalogue();
    connect(&one);
    connect(&other);
    int32_t xid = send(&other, GET_DATA, "/zookeeper/config", 1);
    turns(&other);
    expect_data(&other, xid, OF_TWO "server.3=c:1:2:observer\nversion=0");
    xid = send_reconfig(&one, "server.9=d:1:2;3", "3");
    turns(&one);
    expect(&one, xid, NO_AUTH);
    become_super(&one);
    node.verdict = QR_E_QUORUM; /* of those who would be left */
    xid = send_reconfig(&one, "", "3");
    turns(&one);
    expect(&one, xid, NO_QUORUM);
    node.verdict = QR_OK;
    xid = send_reconfig(&one, "server.9=d:1:2;3", "3");
    turns(&one);
    turns(&one);
    expect_data(&one, xid, OF_TWO "server.9=d:1:2:participant;0.0.0.0:3\nversion=1");
    assert_int_equal(node.members.count, 3);
    assert_null(qr_members_find(&node.members, FAKE_LEARNER));
    xid = send(&other, EXISTS, "/zookeeper/config", 0);
    turns(&other);
    expect_event(&other, CHANGED, "/zookeeper/config");
    expect(&other, xid, 0);
    disconnect(&one);
    disconnect(&other);
}

/* Another change is under way when the second step comes: it is tried again with the door's next look, though
 * the client has gone. What comes meanwhile is told so. */
static void a_change_of_members_waits_for_another(void **state)
{
    peer one = {0}, other = {0};
    fill_catalogue();
    connect(&one);
    connect(&other);
    become_super(&one);
    become_super(&other);
    send_reconfig(&one, "server.9=d:1:2;3", "");
    node.verdict = QR_E_BUSY;
    turns(&one);
    disconnect(&one);
    int32_t xid = send_reconfig(&other, "", "3");
    turns(&other);
    expect(&other, xid, IN_PROGRESS);
    node.verdict = QR_OK;
    assert_int_equal(node.members.count, 3);
    qr_zookeeper_door_look(door, now_ms);
    turns(&other);
    assert_int_equal(node.members.count, 4);
    xid = send(&other, GET_DATA, "/zookeeper/config", 0);
    turns(&other);
    expect_data(&other, xid,
                OF_TWO "server.3=c:1:2:observer\nserver.9=d:1:2:participant;0.0.0.0:3\nversion=1");
    disconnect(&other);
}

/* ---- without a quorum ---- */

static void without_a_quorum_who_can_do_with_it_reads(void **state)
{
    peer writer = {0};
    connect(&writer);
    assert_int_equal(writer.read_only, 0);
    call(&writer, CREATE, "/a", 0, 0);
    node.leader = 0;
    qr_zookeeper_door_look(door, now_ms);
    call(&writer, EXISTS, "/a", 0, 0); /* it may be an election */
    now_ms += 2000;
    qr_zookeeper_door_look(door, now_ms);
    assert_true(ops->finished(writer.stream));
    disconnect(&writer);

    peer reader = {.read_only = 1}, heir = {.session = writer.session, .read_only = 1};
    connect(&reader);
    assert_int_equal(reader.read_only, 1);
    assert_int_not_equal(reader.session, 0);
    call(&reader, EXISTS, "/a", 0, 0);
    call(&reader, CREATE, "/b", 0, NOT_READ_ONLY);
    call(&reader, CLOSE, NULL, 0, 0);
    assert_true(ops->finished(reader.stream));
    disconnect(&reader);

    memcpy(heir.password, writer.password, 16);
    connect(&heir);
    assert_int_equal(heir.session, writer.session);
    call(&heir, CLOSE, NULL, 0, NOT_READ_ONLY); /* it is not this member's to end */
    peer thief = {.session = writer.session, .read_only = 1};
    connect(&thief);
    assert_int_equal(thief.session, 0);
    disconnect(&thief);

    node.leader = FAKE_SELF;
    qr_zookeeper_door_look(door, now_ms);
    assert_true(ops->finished(heir.stream));
    disconnect(&heir);
    peer again = {.session = writer.session};
    memcpy(again.password, writer.password, 16);
    connect(&again);
    assert_int_equal(again.session, writer.session);
    call(&again, CREATE, "/b", 0, 0);
    disconnect(&again);
}

/* It gets no answer, and asks elsewhere. */
static void without_a_quorum_who_has_to_write_is_not_let_in(void **state)
{
    node.leader = 0;
    qr_zookeeper_door_look(door, now_ms);
    now_ms += 2000;
    qr_zookeeper_door_look(door, now_ms);
    void *stream = ops->open(door, "127.0.0.1:4711", (qr_stream_waker){NULL, wake}, now_ms);
    static const uint8_t zeros[16];
    qr_jute_connect_request request = {.timeout = 10000, .password = qr_slice_of(zeros, 16)};
    qr_buffer body = {0};
    qr_jute_encode(&qr_jute_record_connect_request, &request, &body);
    peer one = {.stream = stream};
    assert_int_equal(feed_packet(&one, &body), QR_OK);
    qr_buffer_free(&body);
    ops->drain(stream, &one.in, 4096);
    assert_int_equal(one.in.size, 0);
    assert_true(ops->finished(stream));
    disconnect(&one);
}

int main(void)
{
#define TEST(name)                                                                                           \
    cmocka_unit_test_setup_teardown(name, begin, end), cmocka_unit_test_setup_teardown(name, begin_below, end)
    const struct CMUnitTest tests[] = {
        TEST(a_change_of_members_is_told_to_who_watches),
        TEST(a_change_of_members_waits_for_another),
        TEST(without_a_quorum_who_can_do_with_it_reads),
        TEST(without_a_quorum_who_has_to_write_is_not_let_in),
    };
    return cmocka_run_group_tests_name("members, as clients of the ZooKeeper door see them", tests, NULL,
                                       NULL);
}

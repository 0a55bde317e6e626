/* Peers over loopback: members that greet, members that may not, strangers and liars. */
#include "drive.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "os/peers.h"

enum { CLUSTER = 77, GROUP = 1 };

typedef struct member {
    qr_os *os;
    uint64_t id;
    uint16_t port;
    qr_network network;
    qr_arena arena;
    int ups, downs, removals;
    bool up;
    size_t messages, bytes, turns;
    uint64_t digest;       /* of all messages in order */
    uint64_t turn_of_down; /* .turns when the last link went down */
    qr_os_handlers handlers;
} member;

static void turn(void *context, uint64_t now_ms, int64_t wall_ms)
{
    ((member *)context)->turns++;
}

static void on_message(void *context, uint64_t from, qr_slice message, uint64_t now_ms)
{
    member *m = context;
    assert_int_not_equal(from, m->id);
    m->messages++;
    m->bytes += message.size;
    m->digest = qr_hash(message, m->digest);
}

static void on_link(void *context, uint64_t peer, bool up, uint64_t now_ms)
{
    member *m = context;
    assert_true(m->up != up);
    m->up = up;
    if (up) {
        m->ups++;
    } else {
        m->downs++;
        m->turn_of_down = m->turns;
    }
}

static void member_open(member *m, uint64_t id, uint16_t port)
{
    *m = (member){.id = id, .port = port};
    m->handlers = (qr_os_handlers){.turn = turn, .on_message = on_message, .on_link = on_link};
    m->os = qr_os_new(&m->handlers, m);
    qr_arena_init(&m->arena);
    const char *sentence = "";
    qr_log_config log = {.level = QR_LOG_ERROR, .outputs = "/dev/null"};
    assert_int_equal(qr_log_open(m->os, &log, &m->arena, &sentence), QR_OK);
    assert_int_equal(qr_os_peers_listen(m->os, "127.0.0.1", port, &m->arena, &sentence), QR_OK);
}

static void member_start(member *m, uint64_t cluster, uint64_t peer, uint16_t peer_port)
{
    qr_os_peer peers[] = {{.id = peer, .host = "127.0.0.1", .port = peer_port}};
    qr_os_peers_config config = {
        .cluster = cluster, .group = GROUP, .self = m->id, .incarnation = 5, .peers = peers, .peer_count = 1};
    assert_int_equal(qr_os_peers_start(m->os, &config, &m->network), QR_OK);
}

static void member_close(member *m)
{
    qr_os_free(m->os);
    qr_arena_free(&m->arena);
}

static qr_status say(member *m, uint64_t to, const char *text)
{
    return m->network.send(m->network.self, to, qr_slice_text(text));
}

/* ---- two members ---- */
typedef struct pair {
    member a, b;
    qr_os *both[2];
} pair;

static void pair_open(pair *p)
{
    member_open(&p->a, 1, drive_free_port());
    member_open(&p->b, 2, drive_free_port());
    member_start(&p->a, CLUSTER, 2, p->b.port);
    member_start(&p->b, CLUSTER, 1, p->a.port);
    p->both[0] = p->a.os;
    p->both[1] = p->b.os;
}

static bool both_up(void *context)
{
    const pair *p = context;
    return p->a.up && p->b.up;
}

static bool b_heard(void *context)
{
    const pair *p = context;
    return p->b.messages >= 3;
}

static void test_two_members_talk(void **state)
{
    pair p;
    pair_open(&p);
    assert_int_equal(say(&p.a, 2, "too early"), QR_E_BUSY);
    assert_int_equal(say(&p.a, 9, "to nobody"), QR_E_NOT_FOUND);
    drive_until(p.both, 2, both_up, &p, "both links are up");
    assert_int_equal(say(&p.a, 2, "one"), QR_OK);
    assert_int_equal(say(&p.a, 2, "two"), QR_OK);
    assert_int_equal(say(&p.a, 2, "three"), QR_OK);
    drive_until(p.both, 2, b_heard, &p, "three messages");
    uint64_t wanted =
        qr_hash(qr_slice_text("three"), qr_hash(qr_slice_text("two"), qr_hash(qr_slice_text("one"), 0)));
    assert_true(p.b.digest == wanted);
    assert_int_equal(p.a.messages, 0);
    member_close(&p.a);
    member_close(&p.b);
}

static bool a_noticed(void *context)
{
    const pair *p = context;
    return p->a.downs == 1;
}

static bool a_is_up_again(void *context)
{
    const pair *p = context;
    return p->a.ups == 2 && p->a.up && p->b.up;
}

/* A member that dies closes both connections at once: noticed in the round in which the kernel tells, and one
 * turn follows. It comes back and both talk again. */
static void test_a_member_dies_and_returns(void **state)
{
    pair p;
    pair_open(&p);
    drive_until(p.both, 2, both_up, &p, "both links are up");
    uint16_t port = p.b.port;
    member_close(&p.b);
    uint64_t before_ms = qr_os_now_ms(p.a.os);
    drive_until(p.both, 1, a_noticed, &p, "the break");
    assert_true(qr_os_now_ms(p.a.os) - before_ms < 500);
    assert_int_equal(p.a.turns, p.a.turn_of_down + 1); /* the same round */
    assert_int_equal(say(&p.a, 2, "into the void"), QR_E_BUSY);
    member_open(&p.b, 2, port);
    member_start(&p.b, CLUSTER, 1, p.a.port);
    p.both[1] = p.b.os;
    drive_until(p.both, 2, a_is_up_again, &p, "the return");
    assert_int_equal(p.a.downs, 1);
    assert_int_equal(say(&p.a, 2, "again"), QR_OK);
    assert_int_equal(p.b.messages, 0);
    member_close(&p.a);
    member_close(&p.b);
}

static bool b_got_all(void *context)
{
    const pair *p = context;
    return p->b.bytes >= 3 * (size_t)QR_PEER_MESSAGE_MAX;
}

/* The greatest message passes whole; beyond the queue's bound it is BUSY, and nothing is lost that was
 * accepted. */
static void test_great_messages_and_full_queue(void **state)
{
    pair p;
    pair_open(&p);
    drive_until(p.both, 2, both_up, &p, "both links are up");
    uint8_t *great = qr_alloc(QR_PEER_MESSAGE_MAX);
    memset(great, 'q', QR_PEER_MESSAGE_MAX);
    qr_slice message = qr_slice_of(great, QR_PEER_MESSAGE_MAX);
    assert_int_equal(p.a.network.send(p.a.network.self, 2, qr_slice_of(great, QR_PEER_MESSAGE_MAX + 1)),
                     QR_E_TOO_LARGE);
    for (int sent = 0; sent < 3;) {
        qr_status status = p.a.network.send(p.a.network.self, 2, message);
        assert_true(status == QR_OK || status == QR_E_BUSY);
        if (status == QR_OK) {
            sent++;
            assert_int_equal(say(&p.a, 2, "one more"), QR_E_BUSY);
        }
        drive_once(p.both, 2);
    }
    drive_until(p.both, 2, b_got_all, &p, "192 MiB");
    assert_int_equal(p.b.messages, 3);
    assert_true(p.a.up && p.b.up && p.a.downs == 0);
    qr_free(great);
    member_close(&p.a);
    member_close(&p.b);
}

/* ---- peers that come, go and move ---- */

static bool both_down(void *context)
{
    const pair *p = context;
    return !p->a.up && !p->b.up;
}

static bool b_was_refused(void *context)
{
    const pair *p = context;
    return p->b.os->peers->links[0]->logged_ms[0] != 0;
}

static void test_a_peer_leaves_and_comes_back(void **state)
{
    pair p;
    pair_open(&p);
    drive_until(p.both, 2, both_up, &p, "both links are up");
    qr_os_peers_update(p.a.os, NULL, 0);
    assert_false(p.a.up);
    assert_int_equal(say(&p.a, 2, "to nobody"), QR_E_NOT_FOUND);
    drive_until(p.both, 2, both_down, &p, "the other side notices");
    drive_until(p.both, 2, b_was_refused, &p, "it dials again and is refused");
    qr_os_peer peer = {.id = 2, .host = "localhost", .port = p.b.port};
    qr_os_peers_update(p.a.os, &peer, 1);
    drive_until(p.both, 2, both_up, &p, "both links are up again");
    uint64_t turns = p.a.turns;
    qr_os_peers_update(p.a.os, &peer, 1); /* nothing new: the link stays */
    while (p.a.turns < turns + 3)
        qr_os_happened(p.a.os), drive_once(p.both, 2);
    assert_true(p.a.up && p.a.downs == 1);
    member_close(&p.a);
    member_close(&p.b);
}

static void test_a_peer_moves(void **state)
{
    pair p;
    pair_open(&p);
    drive_until(p.both, 2, both_up, &p, "both links are up");
    member_close(&p.b);
    member_open(&p.b, 2, drive_free_port());
    member_start(&p.b, CLUSTER, 1, p.a.port);
    p.both[1] = p.b.os;
    qr_os_peer peer = {.id = 2, .host = "127.0.0.1", .port = p.b.port};
    qr_os_peers_update(p.a.os, &peer, 1);
    drive_until(p.both, 2, both_up, &p, "up at the new address");
    member_close(&p.a);
    member_close(&p.b);
}

static bool was_two_removed(void *context, uint64_t id)
{
    return id == 2;
}

static void on_removed(void *context, uint64_t by, const char *sentence)
{
    member *m = context;
    assert_int_equal(by, 1);
    assert_string_equal(sentence, "member 2 was removed from the cluster");
    m->removals++;
}

static bool b_knows(void *context)
{
    return ((const pair *)context)->b.removals > 0;
}

static void test_a_removed_member_is_told(void **state)
{
    pair p;
    pair_open(&p);
    p.a.os->handlers.was_removed = was_two_removed;
    p.b.os->handlers.on_removed = on_removed;
    drive_until(p.both, 2, both_up, &p, "both links are up");
    qr_os_peers_update(p.a.os, NULL, 0);
    drive_until(p.both, 2, b_knows, &p, "the removed one knows");
    member_close(&p.a);
    member_close(&p.b);
}

/* ---- one member and a peer of our own making ---- */
typedef struct raw {
    member m;
    int socket;
    qr_buffer got;
    bool ended;
} raw;

static bool raw_read(raw *r)
{
    uint8_t bytes[4096];
    ssize_t got = recv(r->socket, bytes, sizeof bytes, 0);
    if (got > 0)
        qr_buffer_add(&r->got, bytes, (size_t)got);
    if (got == 0 || (got < 0 && errno != EAGAIN))
        r->ended = true;
    return r->ended;
}

static bool raw_ended(void *context)
{
    return raw_read(context);
}
static bool raw_greeted(void *context)
{
    raw *r = context;
    raw_read(r);
    return r->got.size >= QR_OS_HELLO_SIZE;
}
static bool raw_heard(void *context)
{
    raw *r = context;
    return r->m.messages >= 1;
}

static void raw_open(raw *r)
{
    memset(r, 0, sizeof *r);
    member_open(&r->m, 1, drive_free_port());
    member_start(&r->m, CLUSTER, 2, drive_free_port());
    r->socket = drive_connect(r->m.port);
}

static void raw_again(raw *r)
{
    close(r->socket);
    r->socket = drive_connect(r->m.port);
    qr_buffer_clear(&r->got);
    r->ended = false;
}

static void raw_close(raw *r)
{
    close(r->socket);
    qr_buffer_free(&r->got);
    member_close(&r->m);
}

static const qr_os_hello good = {.version = QR_OS_PEER_FORMAT,
                                 .answer = QR_OS_ASKS,
                                 .cluster = CLUSTER,
                                 .group = GROUP,
                                 .from = 2,
                                 .to = 1,
                                 .incarnation = 9};

static void raw_hello(raw *r, qr_os_hello hello)
{
    uint8_t bytes[QR_OS_HELLO_SIZE];
    qr_os_hello_encode(&hello, bytes);
    assert_int_equal(drive_send(r->socket, bytes, sizeof bytes), sizeof bytes);
}

static void expect_refusal(qr_os_hello hello, const char *wanted)
{
    raw r;
    raw_open(&r);
    raw_hello(&r, hello);
    shutdown(r.socket, SHUT_WR);
    drive_until(&r.m.os, 1, raw_ended, &r, "the refusal");
    qr_os_hello answer;
    assert_true(r.got.size > QR_OS_HELLO_SIZE);
    assert_int_equal(qr_os_hello_decode(r.got.data, &answer), QR_OK);
    assert_int_equal(answer.answer, QR_OS_REFUSES);
    qr_slice sentence;
    size_t used;
    qr_slice rest = qr_slice_of(r.got.data + QR_OS_HELLO_SIZE, r.got.size - QR_OS_HELLO_SIZE);
    assert_int_equal(qr_os_frame_take(rest, QR_OS_REFUSAL_MAX, &sentence, &used), QR_OK);
    assert_int_equal(used, rest.size);
    char *text = qr_arena_text(&r.m.arena, sentence);
    if (strstr(text, wanted) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", text, wanted);
    raw_close(&r);
}

static void test_hello_refusals(void **state)
{
    qr_os_hello hello = good;
    hello.cluster = 78;
    expect_refusal(hello, "belongs to cluster 4d, not to cluster 4e");
    hello = good;
    hello.group = 3;
    expect_refusal(hello, "belongs to group 1, not to group 3");
    hello = good;
    hello.to = 3;
    expect_refusal(hello, "this is member 1, not member 3");
    hello = good;
    hello.from = 4;
    expect_refusal(hello, "member 4 is not known");
    hello = good;
    hello.from = 1;
    expect_refusal(hello, "talks to itself");
    hello = good;
    hello.version = 2;
    expect_refusal(hello, "peer format 2 is not known");
}

static void tell_some(void *context, qr_buffer *out)
{
    qr_buffer_add_slice(out, qr_slice_text("these are the members"));
}

/* A joiner knows neither its own id nor the cluster's. */
static void test_who_are_you(void **state)
{
    const qr_os_hello asks = {.version = QR_OS_PEER_FORMAT, .answer = QR_OS_WHO};
    expect_refusal(asks, "cannot tell who belongs to the cluster");
    raw r;
    raw_open(&r);
    r.m.os->handlers.who = tell_some;
    raw_hello(&r, asks);
    shutdown(r.socket, SHUT_WR);
    drive_until(&r.m.os, 1, raw_ended, &r, "the answer and the end");
    qr_os_hello answer;
    assert_true(r.got.size > QR_OS_HELLO_SIZE);
    assert_int_equal(qr_os_hello_decode(r.got.data, &answer), QR_OK);
    assert_true(answer.answer == QR_OS_ACCEPTS && answer.cluster == CLUSTER && answer.from == 1);
    qr_slice members;
    size_t used;
    qr_slice rest = qr_slice_of(r.got.data + QR_OS_HELLO_SIZE, r.got.size - QR_OS_HELLO_SIZE);
    assert_int_equal(qr_os_frame_take(rest, QR_OS_WHO_MAX, &members, &used), QR_OK);
    assert_true(qr_slice_equal(members, qr_slice_text("these are the members")));
    raw_again(&r);
    raw_hello(&r, (qr_os_hello){.version = 9, .answer = QR_OS_WHO}); /* of a format not known here */
    shutdown(r.socket, SHUT_WR);
    drive_until(&r.m.os, 1, raw_ended, &r, "the refusal");
    assert_int_equal(qr_os_hello_decode(r.got.data, &answer), QR_OK);
    assert_int_equal(answer.answer, QR_OS_REFUSES);
    raw_close(&r);
}

/* Our dialing side hears the sentence of a member that refuses us, and comes back. */
static bool b_refused(void *context)
{
    const pair *p = context;
    return p->b.os->peers->links[0]->logged_ms[0] != 0 && p->a.os->peers->links[0]->logged_ms[0] != 0;
}

static void test_clusters_do_not_mix(void **state)
{
    pair p;
    member_open(&p.a, 1, drive_free_port());
    member_open(&p.b, 2, drive_free_port());
    member_start(&p.a, CLUSTER, 2, p.b.port);
    member_start(&p.b, CLUSTER + 1, 1, p.a.port);
    p.both[0] = p.a.os;
    p.both[1] = p.b.os;
    drive_until(p.both, 2, b_refused, &p, "both were refused");
    assert_int_equal(p.a.ups + p.b.ups, 0);
    member_close(&p.a);
    member_close(&p.b);
}

static void test_known_member_is_greeted_byte_by_byte(void **state)
{
    raw r;
    raw_open(&r);
    uint8_t hello[QR_OS_HELLO_SIZE];
    qr_os_hello_encode(&good, hello);
    for (size_t i = 0; i < sizeof hello; i++) {
        drive_send(r.socket, hello + i, 1);
        drive_once(&r.m.os, 1);
    }
    drive_until(&r.m.os, 1, raw_greeted, &r, "the greeting");
    qr_os_hello answer;
    assert_int_equal(qr_os_hello_decode(r.got.data, &answer), QR_OK);
    assert_true(answer.answer == QR_OS_ACCEPTS && answer.from == 1 && answer.to == 2 &&
                answer.incarnation == 5);
    qr_buffer frame;
    qr_buffer_init(&frame);
    qr_os_frame_add(&frame, qr_slice_text("slow but whole"));
    for (size_t i = 0; i < frame.size; i++) {
        assert_int_equal(r.m.messages, 0);
        drive_send(r.socket, frame.data + i, 1);
        drive_once(&r.m.os, 1);
    }
    drive_until(&r.m.os, 1, raw_heard, &r, "the message");
    assert_true(r.m.digest == qr_hash(qr_slice_text("slow but whole"), 0));
    qr_buffer_free(&frame);
    raw_close(&r);
}

static void expect_end(raw *r, const void *bytes, size_t size)
{
    drive_send(r->socket, bytes, size);
    drive_until(&r->m.os, 1, raw_ended, r, "the end of a bad connection");
    assert_int_equal(r->m.messages, 0);
    raw_again(r);
}

static void test_garbage(void **state)
{
    raw r;
    raw_open(&r);
    expect_end(&r, "GET / HTTP/1.1\r\nHost: somewhere.example.com\r\nUser-Agent: curl/7.88.1\r\n\r\n", 72);
    uint8_t hello[QR_OS_HELLO_SIZE];
    qr_os_hello_encode(&good, hello);
    hello[20] ^= 1;
    expect_end(&r, hello, sizeof hello);
    /* Every single-bit change of a good hello is noticed. */
    for (size_t bit = 0; bit < QR_OS_HELLO_SIZE * 8; bit++) {
        qr_os_hello decoded;
        qr_os_hello_encode(&good, hello);
        hello[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        assert_int_not_equal(qr_os_hello_decode(hello, &decoded), QR_OK);
    }
    qr_prng prng;
    qr_prng_seed(&prng, 4711);
    for (int round = 0; round < 20; round++) {
        uint8_t noise[256];
        for (size_t i = 0; i < sizeof noise; i++)
            noise[i] = (uint8_t)qr_prng_next(&prng);
        expect_end(&r, noise, sizeof noise);
    }
    raw_close(&r);
}

static void greet(raw *r)
{
    raw_hello(r, good);
    drive_until(&r->m.os, 1, raw_greeted, r, "the greeting");
}

static void test_bad_frames(void **state)
{
    raw r;
    raw_open(&r);
    uint8_t head[QR_OS_FRAME_HEAD] = {0};
    greet(&r);
    expect_end(&r, head, sizeof head); /* empty */
    greet(&r);
    qr_store_u32(head, QR_PEER_MESSAGE_MAX + 1);
    expect_end(&r, head, sizeof head); /* oversize: refused on its head alone */
    greet(&r);
    qr_buffer frame;
    qr_buffer_init(&frame);
    qr_os_frame_add(&frame, qr_slice_text("damaged"));
    frame.data[frame.size - 1] ^= 1;
    expect_end(&r, frame.data, frame.size);
    qr_buffer_free(&frame);
    raw_close(&r);
}

/* A head that announces 64 MiB costs no memory until the bytes arrive. */
static void test_a_liar_gets_no_memory(void **state)
{
    raw r;
    raw_open(&r);
    greet(&r);
    uint8_t head[QR_OS_FRAME_HEAD + 100] = {0};
    qr_store_u32(head, QR_PEER_MESSAGE_MAX);
    drive_send(r.socket, head, sizeof head);
    qr_os_wire *wire = r.m.os->peers->links[0]->accepted;
    assert_non_null(wire);
    while (wire->in.size < sizeof head)
        drive_once(&r.m.os, 1);
    assert_true(wire->in.room <= 1024);
    raw_close(&r);
}

/* Whoever is accepted but never says hello goes after its patience, and cannot keep others out before. */
static void test_silent_strangers(void **state)
{
    raw r;
    raw_open(&r);
    r.m.os->peers->greet_ms = 150;
    drive_until(&r.m.os, 1, raw_ended, &r, "the end of a silent stranger");
    raw_again(&r);
    r.m.os->peers->greet_ms = 60000;
    int silent[200];
    for (int i = 0; i < 200; i++) {
        silent[i] = drive_connect(r.m.port);
        drive_once(&r.m.os, 1);
    }
    raw_again(&r);
    greet(&r);
    assert_true(r.m.os->peers->stranger_count <= 64);
    for (int i = 0; i < 200; i++)
        close(silent[i]);
    raw_close(&r);
}

/* ---- the dialing side against a server of our own making ---- */
typedef struct server {
    member m;
    int listener, socket;
    size_t accepted;
} server;

static bool was_dialed_twice(void *context)
{
    server *s = context;
    int made = accept(s->listener, NULL, NULL);
    if (made >= 0) {
        s->accepted++;
        if (s->socket >= 0)
            close(s->socket);
        s->socket = made;
    }
    return s->accepted >= 2;
}

/* Half open: somebody listens at the peer's address but never greets back. The link never comes up; it is
 * dialed anew. */
static void test_dialed_peer_never_answers(void **state)
{
    server s = {.socket = -1};
    uint16_t port = drive_free_port();
    s.listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
    assert_int_equal(bind(s.listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(s.listener, 8), 0);
    member_open(&s.m, 1, drive_free_port());
    member_start(&s.m, CLUSTER, 2, port);
    s.m.os->peers->greet_ms = 100;
    drive_until(&s.m.os, 1, was_dialed_twice, &s, "the second dial");
    assert_int_equal(s.m.ups + s.m.downs, 0);
    close(s.socket);
    close(s.listener);
    member_close(&s.m);
}

static bool b_lost_and_found(void *context)
{
    const pair *p = context;
    return p->a.downs >= 1 && p->a.up && p->b.up;
}

/* One direction breaks: both sides call the link down and both directions are new afterwards; it settles. */
static void test_one_direction_breaks(void **state)
{
    pair p;
    pair_open(&p);
    drive_until(p.both, 2, both_up, &p, "both links are up");
    while (p.a.os->peers->links[0]->accepted == NULL)
        drive_once(p.both, 2);
    uv_os_fd_t descriptor;
    uv_fileno((uv_handle_t *)&p.a.os->peers->links[0]->accepted->tcp, &descriptor);
    shutdown(descriptor, SHUT_RDWR);
    drive_until(p.both, 2, b_lost_and_found, &p, "the break and the repair");
    for (int i = 0; i < 200; i++)
        drive_once(p.both, 2);
    assert_true(p.a.up && p.b.up);
    assert_true(p.a.downs <= 2 && p.b.downs <= 2);
    p.b.messages = 0;
    say(&p.a, 2, "1");
    say(&p.a, 2, "2");
    say(&p.a, 2, "3");
    drive_until(p.both, 2, b_heard, &p, "messages on the new connection");
    member_close(&p.a);
    member_close(&p.b);
}

/* ---- three members whose connections break at random ---- */
typedef struct storm_member storm_member;
typedef struct storm {
    struct storm_member {
        member m;                   /* first: it is the context of the handlers */
        uint64_t sent[4], heard[4]; /* the last number to and from each member */
        bool up[4];
    } members[4]; /* 1 to 3 */
    qr_os *all[3];
} storm;

static void storm_message(void *context, uint64_t from, qr_slice message, uint64_t now_ms)
{
    storm_member *self = context;
    assert_int_equal(message.size % 8, 0);
    uint64_t number = qr_load_u64(message.data);
    assert_true(number > self->heard[from]); /* lost, perhaps; never twice, never behind a later one */
    self->heard[from] = number;
    self->m.messages++;
}

static void storm_link(void *context, uint64_t peer, bool up, uint64_t now_ms)
{
    storm_member *self = context;
    assert_true(self->up[peer] != up);
    self->up[peer] = up;
}

static void storm_send(storm *s, qr_prng *prng)
{
    static const uint8_t zeroes[4096];
    for (uint64_t from = 1; from <= 3; from++)
        for (uint64_t to = 1; to <= 3; to++) {
            storm_member *self = &s->members[from];
            if (from == to)
                continue;
            qr_buffer message;
            qr_buffer_init(&message);
            qr_buffer_u64(&message, ++self->sent[to]);
            qr_buffer_add(&message, zeroes, 8 * qr_prng_below(prng, 512));
            qr_status status = self->m.network.send(self->m.network.self, to, qr_buffer_slice(&message));
            assert_int_equal(status == QR_OK, self->up[to]);
            qr_buffer_free(&message);
        }
}

static bool storm_break(storm *s, qr_prng *prng)
{
    qr_os_peers *peers = s->all[qr_prng_below(prng, 3)]->peers;
    qr_os_link *link = peers->links[qr_prng_below(prng, 2)];
    qr_os_wire *wire = qr_prng_chance(prng, 500000) ? link->dialed : link->accepted;
    uv_os_fd_t descriptor;
    if (wire == NULL || uv_fileno((uv_handle_t *)&wire->tcp, &descriptor) != 0)
        return false;
    return shutdown(descriptor, qr_prng_chance(prng, 500000) ? SHUT_RDWR : SHUT_WR) == 0;
}

static bool storm_is_over(void *context)
{
    storm *s = context;
    for (int i = 1; i <= 3; i++)
        for (int j = 1; j <= 3; j++)
            if (i != j && (!s->members[i].up[j] || s->members[j].heard[i] != s->members[i].sent[j]))
                return false;
    return true;
}

static bool storm_all_up(void *context)
{
    storm *s = context;
    bool up = true;
    for (int i = 1; i <= 3; i++)
        for (int j = 1; j <= 3; j++)
            up = up && (i == j || s->members[i].up[j]);
    return up;
}

static void test_storm(void **state)
{
    storm *s = qr_alloc_zero(1, sizeof *s);
    uint16_t ports[4] = {0};
    for (uint64_t i = 1; i <= 3; i++) {
        ports[i] = drive_free_port();
        member_open(&s->members[i].m, i, ports[i]);
        s->all[i - 1] = s->members[i].m.os;
        s->all[i - 1]->handlers.on_message = storm_message;
        s->all[i - 1]->handlers.on_link = storm_link;
    }
    for (uint64_t i = 1; i <= 3; i++) {
        uint64_t one = i % 3 + 1, other = (i + 1) % 3 + 1;
        qr_os_peer peers[] = {{.id = one, .host = "127.0.0.1", .port = ports[one]},
                              {.id = other, .host = "localhost", .port = ports[other]}};
        qr_os_peers_config config = {
            .cluster = CLUSTER, .group = GROUP, .self = i, .incarnation = 5, .peers = peers, .peer_count = 2};
        assert_int_equal(qr_os_peers_start(s->all[i - 1], &config, &s->members[i].m.network), QR_OK);
    }
    qr_prng prng;
    qr_prng_seed(&prng, 20);
    uint64_t storm_ms = qr_os_now_ms(s->all[0]) + DRIVE_MAX_MS;
    for (int breaks = 0; breaks < 40;) {
        assert_true(qr_os_now_ms(s->all[0]) < storm_ms);
        storm_send(s, &prng);
        drive_once(s->all, 3);
        /* Mostly when everything is well, sometimes while links are being repaired. */
        if (qr_prng_chance(&prng, storm_all_up(s) ? 100000 : 1000))
            breaks += storm_break(s, &prng);
    }
    drive_until(s->all, 3, storm_all_up, s, "every link is up after the storm");
    /* Breaks of the storm's last steps may still be on their way: what is sent now arrives, at the latest,
     * when it is said again on links that stay up. */
    uint64_t end_ms = qr_os_now_ms(s->all[0]) + DRIVE_MAX_MS;
    while (!storm_is_over(s)) {
        assert_true(qr_os_now_ms(s->all[0]) < end_ms);
        if (storm_all_up(s))
            storm_send(s, &prng);
        for (int i = 0; i < 20; i++)
            drive_once(s->all, 3);
    }
    for (int i = 1; i <= 3; i++) {
        assert_true(s->members[i].m.messages > 100);
        member_close(&s->members[i].m);
    }
    qr_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_two_members_talk),
        cmocka_unit_test(test_a_member_dies_and_returns),
        cmocka_unit_test(test_great_messages_and_full_queue),
        cmocka_unit_test(test_a_peer_leaves_and_comes_back),
        cmocka_unit_test(test_a_peer_moves),
        cmocka_unit_test(test_a_removed_member_is_told),
        cmocka_unit_test(test_hello_refusals),
        cmocka_unit_test(test_who_are_you),
        cmocka_unit_test(test_clusters_do_not_mix),
        cmocka_unit_test(test_known_member_is_greeted_byte_by_byte),
        cmocka_unit_test(test_garbage),
        cmocka_unit_test(test_bad_frames),
        cmocka_unit_test(test_a_liar_gets_no_memory),
        cmocka_unit_test(test_silent_strangers),
        cmocka_unit_test(test_dialed_peer_never_answers),
        cmocka_unit_test(test_one_direction_breaks),
        cmocka_unit_test(test_storm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

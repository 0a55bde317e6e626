/* Large answers that clients leave unread: several connections of one door over a fake node with a real tree.
 */
#include "unit.h"

#include <stdio.h>

#include "door/etcd/door.h"
#include "fake_node.h"

enum {
    NOW = 5000,
    CLIENTS = 9,
    CALLS = 8, /* of a client, in a test that tells them apart */
    MIB = 1024 * 1024,
    BIG = 9 * MIB, /* the values of the large range: one alone passes the bound of a connection */
};

static const char put_path[] = "/etcdserverpb.KV/Put", range_path[] = "/etcdserverpb.KV/Range",
                  txn_path[] = "/etcdserverpb.KV/Txn";
/* b .. c downwards, so it is encoded at once. */
static const char range_big[] = "\x0a\x01"
                                "b\x12\x01"
                                "c\x28\x02";
static const char range_small[] = "\x0a\x01"
                                  "s";
/* A txn whose one operation is the large range. */
static const char txn_big[] = "\x12\x08\x0a\x06\x0a\x01"
                              "b\x12\x01"
                              "c";

struct client {
    struct stage *stage;
    void *connection;
    qr_grpc_client *grpc;
    size_t wakes, sent, ended;
    struct {
        size_t order; /* 1 for the first that ended; 0 = not yet */
        size_t bytes;
        qr_grpc_code code;
        char text[80];
    } calls[CALLS];
};

struct stage {
    qr_node node;
    qr_etcd_door *door;
    qr_stream_door stream;
    qr_buffer bytes;
    struct client clients[CLIENTS];
};

/* ---- the stage ---- */

/* Calls are named by their number in their client; those above CALLS are not told apart. */
static size_t number_of(struct client *client, void *call)
{
    size_t number = (size_t)((char *)call - (char *)client);
    return number < CALLS ? number : CALLS - 1;
}

static void on_message(void *context, void *call, qr_slice message)
{
    struct client *client = context;
    client->calls[number_of(client, call)].bytes = message.size;
}

static void on_done(void *context, void *call, qr_grpc_code code, const char *text)
{
    struct client *client = context;
    size_t number = number_of(client, call);
    client->calls[number].order = ++client->ended;
    client->calls[number].code = code;
    snprintf(client->calls[number].text, sizeof client->calls[number].text, "%s", text ? text : "");
}

static const qr_grpc_client_handlers client_handlers = {on_message, on_done};

static void on_wake(void *self)
{
    ((struct client *)self)->wakes++;
}

static void close_client(struct client *client)
{
    if (!client->connection)
        return;
    client->stage->stream.ops->close(client->connection);
    qr_grpc_client_free(client->grpc);
    client->connection = NULL;
}

static void feed(struct client *client, const void *bytes, size_t size)
{
    assert_int_equal(client->stage->stream.ops->feed(client->connection, qr_slice_of(bytes, size), NOW),
                     QR_OK);
}

/* What the client has to say reaches the door. */
static void speak(struct client *client)
{
    qr_buffer *bytes = &client->stage->bytes;
    qr_buffer_clear(bytes);
    qr_grpc_client_drain(client->grpc, bytes, 16 * MIB);
    if (bytes->size)
        feed(client, bytes->data, bytes->size);
}

/* The client takes about so many bytes; returns how many. */
static size_t listen_to(struct client *client, size_t size)
{
    qr_buffer *bytes = &client->stage->bytes;
    qr_buffer_clear(bytes);
    client->stage->stream.ops->drain(client->connection, bytes, size);
    size_t taken = bytes->size;
    if (taken)
        assert_int_equal(qr_grpc_client_feed(client->grpc, qr_buffer_slice(bytes)), QR_OK);
    speak(client);
    return taken;
}

/* Both sides go on, a round of the loop after the other, until nothing moves. */
static void converse(struct client *client)
{
    qr_node *node = &client->stage->node;
    for (bool moved = true; moved;) {
        moved = node->count > 0;
        fake_node_turn(node);
        moved = listen_to(client, 256 * 1024) > 0 || moved;
        moved = moved || node->count > 0;
    }
}

static size_t start(struct client *client, const char *path, const void *message, size_t size)
{
    size_t number = client->sent++;
    void *name = (char *)client + number;
    assert_int_equal(qr_grpc_client_call(client->grpc, path, qr_slice_of(message, size), name), QR_OK);
    speak(client);
    return number;
}

static size_t start_big(struct client *client)
{
    return start(client, range_path, range_big, sizeof range_big - 1);
}

static size_t start_small(struct client *client)
{
    return start(client, range_path, range_small, sizeof range_small - 1);
}

/* The call that the node was last given. */
static qr_etcd_call *newest(struct stage *stage)
{
    assert_true(stage->node.count > 0);
    return stage->node.queue[stage->node.count - 1].request.owner;
}

static void open_client(struct stage *stage, size_t number)
{
    struct client *client = &stage->clients[number];
    *client = (struct client){.stage = stage};
    client->connection = stage->stream.ops->open(stage->stream.self, "127.0.0.1:4711",
                                                 (qr_stream_waker){client, on_wake}, NOW);
    client->grpc = qr_grpc_client_new(&client_handlers, client, "test");
    speak(client);
    while (listen_to(client, MIB) > 0) /* greetings, so that what comes later is answers */
        continue;
}

static void put(struct stage *stage, const char *key, size_t value_size, const char *options)
{
    struct client *client = &stage->clients[0];
    qr_buffer message;
    qr_buffer_init(&message);
    qr_buffer_u8(&message, 0x0a);
    qr_buffer_u8(&message, (uint8_t)strlen(key));
    qr_buffer_add(&message, key, strlen(key));
    if (value_size) {
        qr_buffer_u8(&message, 0x12);
        for (size_t left = value_size;; left >>= 7) {
            qr_buffer_u8(&message, (uint8_t)(left > 127 ? left | 128 : left));
            if (left <= 127)
                break;
        }
        memset(qr_buffer_extend(&message, value_size), 'v', value_size);
    }
    qr_buffer_add(&message, options, strlen(options));
    start(client, put_path, message.data, message.size);
    qr_buffer_free(&message);
}

static int fresh(void **state)
{
    struct stage *stage = qr_alloc_zero(1, sizeof *stage);
    fake_node_init(&stage->node);
    stage->door = qr_etcd_door_new(
        &(qr_etcd_config){.node = &stage->node, .cluster = FAKE_CLUSTER, .self = FAKE_SELF, .name = "one"});
    stage->stream = qr_etcd_door_stream(stage->door);
    qr_buffer_init(&stage->bytes);
    open_client(stage, 0);
    static const char *const keys[] = {"b1", "b2", "b3", "b4", "b5", "b6", "b7", "b8", "b9"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        put(stage, keys[i], MIB, "");
        converse(&stage->clients[0]);
    }
    put(stage, "s", 100, "");
    converse(&stage->clients[0]);
    close_client(&stage->clients[0]);
    for (size_t i = 0; i < CLIENTS; i++)
        open_client(stage, i);
    *state = stage;
    return 0;
}

static int gone(void **state)
{
    struct stage *stage = *state;
    for (size_t i = 0; i < CLIENTS; i++)
        close_client(&stage->clients[i]);
    const qr_etcd_ring *ring = &stage->door->ring;
    assert_true(ring->unsent == 0 && ring->reserved == 0 && !ring->first && !ring->last);
    qr_etcd_door_free(stage->door);
    fake_node_free(&stage->node);
    qr_buffer_free(&stage->bytes);
    qr_free(stage);
    return 0;
}

static void assert_answered(const struct client *client, size_t number, size_t bytes)
{
    assert_true(client->calls[number].order > 0);
    assert_int_equal(client->calls[number].code, QR_GRPC_OK);
    assert_true(client->calls[number].bytes >= bytes && client->calls[number].bytes < bytes + 2000);
}

/* ---- one connection ---- */

static void read_in_line(void **state, const char *path, const char *message, size_t size)
{
    struct stage *stage = *state;
    struct client *client = &stage->clients[0];
    const qr_etcd_ring *ring = &stage->door->ring;
    for (size_t i = 0; i < 5; i++)
        start(client, path, message, size);
    assert_int_equal(stage->node.count, 5);
    const qr_etcd_line *line = newest(stage)->line;
    size_t wakes = client->wakes;
    fake_node_turn(&stage->node);
    assert_true(client->wakes > wakes);
    assert_true(ring->unsent > BIG && ring->unsent < BIG + MIB);
    assert_true(line->waiting.first && line->unsent == ring->unsent);
    start_small(client); /* the connection is full: not even asked */
    assert_int_equal(stage->node.count, 0);

    for (size_t rounds = 0; client->ended < 6; rounds++) {
        assert_true(rounds < 1000);
        listen_to(client, 256 * 1024);
        assert_true(stage->node.count <=
                    2); /* one large read at a time; the small one may go beside the last */
        fake_node_turn(&stage->node);
        assert_true(ring->unsent < BIG + MIB);
    }
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(client->calls[i].order, i + 1);
        assert_answered(client, i, BIG);
    }
    assert_answered(client, 5, 100);
    converse(client);
    assert_true(ring->unsent == 0 && ring->reserved == 0);
    assert_true(line->waiting.first == NULL && !line->in_ring);
}

static void test_ranges_wait_and_are_answered_in_order(void **state)
{
    read_in_line(state, range_path, range_big, sizeof range_big - 1);
}

static void test_txns_that_read_wait_as_well(void **state)
{
    read_in_line(state, txn_path, txn_big, sizeof txn_big - 1);
}

/* A client may take the bytes and still leave no window for the answers: they are unsent all the same. */
static void test_closed_windows_are_no_way_round(void **state)
{
    struct stage *stage = *state;
    struct client *client = &stage->clients[0];
    static const char narrow[] = "\0\0\6\4\0\0\0\0\0\0\4\0\0\3\xe8"; /* SETTINGS: windows of 1000 bytes */
    feed(client, narrow, sizeof narrow - 1);
    for (size_t i = 0; i < 4; i++)
        start_big(client);
    for (size_t i = 0; i < 50; i++) {
        fake_node_turn(&stage->node);
        qr_buffer_clear(&stage->bytes); /* taken, and no word of it to the client's HTTP/2 */
        stage->stream.ops->drain(client->connection, &stage->bytes, MIB);
    }
    assert_int_equal(stage->node.count, 0);
    assert_true(stage->door->ring.unsent > BIG && stage->door->ring.unsent < BIG + MIB);
}

static void test_patience_ends_in_line(void **state)
{
    struct stage *stage = *state;
    struct client *client = &stage->clients[0];
    const qr_stream_ops *ops = stage->stream.ops;
    start_big(client);
    start_big(client);
    start_big(client);
    qr_etcd_call *hasty = newest(stage);
    hasty->timeout_ms = 500;
    hasty->deadline_ms = hasty->now_ms + 500;
    fake_node_turn(&stage->node);
    start_big(client); /* waits before the node */

    assert_int_equal(ops->wake_ms(client->connection), NOW + 500);
    ops->tick(client->connection, NOW + 499);
    assert_non_null(hasty->list);
    ops->tick(client->connection, NOW + 500);
    assert_int_equal(ops->wake_ms(client->connection), NOW + QR_NODE_REQUEST_MS);
    ops->tick(client->connection, NOW + QR_NODE_REQUEST_MS - 1);
    assert_int_equal(ops->wake_ms(client->connection), NOW + QR_NODE_REQUEST_MS);
    size_t wakes = client->wakes;
    ops->tick(client->connection, NOW + QR_NODE_REQUEST_MS);
    assert_true(client->wakes > wakes);
    assert_int_equal(ops->wake_ms(client->connection), UINT64_MAX);
    converse(client);
    assert_answered(client, 0, BIG);
    assert_int_equal(client->calls[1].code, QR_GRPC_UNAVAILABLE);
    assert_string_equal(client->calls[1].text, "etcdserver: request timed out");
    assert_int_equal(client->calls[2].code, QR_GRPC_DEADLINE_EXCEEDED);
    assert_string_equal(client->calls[3].text, "etcdserver: request timed out");
}

/* A read that goes to the node a second time keeps the deadline it had. */
static void test_patience_is_not_renewed(void **state)
{
    struct stage *stage = *state;
    struct client *client = &stage->clients[0];
    start_big(client);
    start_big(client);
    fake_node_turn(&stage->node);
    stage->stream.ops->tick(client->connection, NOW + 3000);
    while (stage->node.count == 0)
        assert_true(listen_to(client, 256 * 1024) > 0);
    assert_int_equal(stage->node.last.deadline_ms, NOW + QR_NODE_REQUEST_MS);
    stage->node.failure = QR_E_TIMEOUT;
    converse(client);
    assert_string_equal(client->calls[1].text, "etcdserver: request timed out");
    assert_int_equal(stage->door->ring.reserved, 0);
}

static void reset_stream(struct client *client, uint8_t stream)
{
    char frame[] = "\0\0\4\3\0\0\0\0\0\0\0\0\x8";
    frame[8] = (char)stream;
    feed(client, frame, sizeof frame - 1);
}

static void test_streams_reset_in_line(void **state)
{
    struct stage *stage = *state;
    struct client *client = &stage->clients[0];
    for (size_t i = 0; i < 4; i++)
        start_big(client); /* streams 1, 3, 5, 7 */
    const qr_etcd_line *line = newest(stage)->line;
    fake_node_turn(&stage->node);
    reset_stream(client, 5);
    assert_true(line->waiting.first && line->waiting.first->next == line->waiting.last);
    size_t wakes = client->wakes;
    reset_stream(client, 1); /* what was built is thrown away, and its room is given away */
    assert_true(client->wakes > wakes);
    assert_int_equal(line->unsent, 0);
    listen_to(client, 256 * 1024);
    assert_int_equal(stage->node.count, 1);
    reset_stream(client, 3); /* at the node for the second time */
    assert_int_equal(line->reserved, 0);
    listen_to(client, 256 * 1024);
    assert_int_equal(stage->node.count, 2);
    fake_node_turn(&stage->node);
    assert_true(line->unsent > BIG && line->unsent < BIG + MIB);
    assert_null(line->waiting.first);
    converse(client);
    assert_answered(client, 3, BIG);
}

static void test_connection_closed_with_a_line(void **state)
{
    struct stage *stage = *state;
    for (size_t round = 0; round < 2; round++) {
        struct client *client = &stage->clients[round];
        for (size_t i = 0; i < 4; i++)
            start_big(client);
        fake_node_turn(&stage->node);
        if (round == 1) { /* now with one of them at the node again */
            while (stage->node.count == 0)
                assert_true(listen_to(client, 256 * 1024) > 0);
            assert_true(stage->door->ring.reserved > BIG);
        }
        close_client(client);
        assert_true(stage->door->ring.unsent == 0 && stage->door->ring.reserved == 0);
        fake_node_turn(&stage->node);
    }
    start_small(&stage->clients[2]);
    converse(&stage->clients[2]);
    assert_answered(&stage->clients[2], 0, 100);
}

/* A read called up to a node that takes nothing: the client is told, nothing stays reserved. */
static void test_the_node_refuses_who_waited(void **state)
{
    struct stage *stage = *state;
    struct client *client = &stage->clients[0];
    for (size_t i = 0; i < 3; i++)
        start_big(client);
    fake_node_turn(&stage->node);
    stage->node.refusal = QR_E_BUSY;
    converse(client);
    assert_answered(client, 0, BIG);
    assert_string_equal(client->calls[1].text, "etcdserver: too many requests");
    assert_string_equal(client->calls[2].text, "etcdserver: too many requests");
    assert_int_equal(stage->door->ring.reserved, 0);
}

/* Called up, and no room after all: it keeps its place. */
static void test_places_are_kept(void **state)
{
    struct stage *stage = *state;
    struct client *client = &stage->clients[0];
    static const char previous[] = "\x20\x01\x28\x01"; /* prev_kv, ignore_value */
    for (size_t i = 0; i < 3; i++)
        start_big(client);
    for (size_t i = 0; i < 9; i++)
        put(stage, "b1", 0, previous); /* at the node behind the ranges; their answers fill the connection */
    fake_node_turn(&stage->node);
    while (stage->node.count == 0)
        assert_true(listen_to(client, 256 * 1024) > 0);
    const qr_etcd_call *called_up = newest(stage), *behind = called_up->line->waiting.first;
    assert_true(called_up->ticket == 1 && behind->ticket == 2);
    fake_request read = stage->node.queue[0];
    stage->node.count = 0;
    for (size_t i = 0; i < 9; i++) {
        put(stage, "b2", 0, previous);
        fake_node_turn(&stage->node);
    }
    stage->node.queue[stage->node.count++] = read;
    fake_node_turn(&stage->node);
    assert_ptr_equal(called_up->line->waiting.first, called_up);
    assert_ptr_equal(called_up->next, behind);
    assert_int_equal(called_up->reserved, 0);
    converse(client);
    assert_int_equal(client->ended, client->sent);
    assert_true(client->calls[1].order < client->calls[2].order);
}

static void test_answers_of_writes_pass(void **state)
{
    struct stage *stage = *state;
    struct client *client = &stage->clients[0];
    static const char previous[] = "\x20\x01\x28\x01"; /* prev_kv, ignore_value */
    start_big(client);
    fake_node_turn(&stage->node);
    for (size_t i = 0; i < 64; i++) {
        put(stage, "b1", 0, previous);
        fake_node_turn(&stage->node);
    }
    assert_true(stage->door->ring.unsent > BIG + 64 * (uint64_t)MIB);
    uint64_t index = stage->node.index;
    put(stage, "b1", 0, previous); /* that is enough */
    assert_int_equal(stage->node.count, 0);
    start_small(client);
    converse(client);
    assert_int_equal(client->ended, 67);
    assert_int_equal(stage->node.index, index);
    assert_answered(client, 0, BIG);
    assert_answered(client, 1, MIB);
    put(stage, "b1", 0, previous); /* all is read: welcome again */
    converse(client);
    assert_int_equal(stage->node.index, index + 1);
}

/* ---- the whole door ---- */

static void test_the_door_has_a_bound(void **state)
{
    struct stage *stage = *state;
    stage->door->ring.unsent_max = 25 * MIB;
    for (size_t i = 0; i < 3; i++) {
        start_big(&stage->clients[i]);
        fake_node_turn(&stage->node);
        listen_to(&stage->clients[i], 100); /* a drain, but no room */
    }
    assert_true(stage->door->ring.unsent > 27 * (uint64_t)MIB);
    struct client *late = &stage->clients[3], *later = &stage->clients[4], *small = &stage->clients[5];
    start_big(late);
    start_big(later);
    start_big(later);
    for (size_t i = 0; i < 3; i++)
        start_small(small);
    uint64_t before = stage->door->ring.unsent;
    fake_node_turn(&stage->node);
    assert_true(stage->door->ring.unsent > before + 100 && stage->door->ring.unsent < before + 200); /* one */
    converse(small);
    for (size_t i = 0; i < 3; i++)
        assert_answered(small, i, 100); /* not held by those who do not read */
    converse(late);
    converse(later);
    assert_int_equal(late->ended + later->ended, 0);

    size_t wakes = late->wakes;
    close_client(&stage->clients[0]);
    assert_true(late->wakes > wakes); /* the first in the ring has its turn */
    listen_to(late, 256 * 1024);
    assert_int_equal(stage->node.count, 1);
    fake_node_turn(&stage->node);
    assert_true(stage->door->ring.unsent > 27 * (uint64_t)MIB);
    converse(late);
    assert_answered(late, 0, BIG);
    converse(later); /* the drains of late gave it room */
    assert_answered(later, 0, BIG);
    assert_answered(later, 1, BIG);
}

/* A connection with many reads in line does not go first with all of them. */
static void test_the_ring_goes_round(void **state)
{
    struct stage *stage = *state;
    stage->door->ring.unsent_max = 4 * MIB;
    struct client *full = &stage->clients[0], *many = &stage->clients[1], *one = &stage->clients[2];
    static const char range_one[] = "\x0a\x02"
                                    "b1";
    start_big(full);
    for (size_t i = 0; i < 6; i++)
        start(many, range_path, range_one, sizeof range_one - 1);
    start(one, range_path, range_one, sizeof range_one - 1);
    fake_node_turn(&stage->node);
    assert_int_equal(stage->node.count, 0);
    const qr_etcd_line *first = stage->door->ring.first;
    const qr_etcd_call *of_many = first->waiting.first, *of_one = first->next->waiting.first;
    close_client(full);
    listen_to(many, 256 * 1024);
    assert_int_equal(stage->node.count, 4);
    assert_ptr_equal(stage->node.queue[0].request.owner, of_many);
    assert_ptr_equal(stage->node.queue[1].request.owner, of_one);
    converse(many);
    converse(one);
    assert_answered(many, 5, MIB);
    assert_answered(one, 0, MIB);
}

/* Two connections that both ask for too much are served alternately. */
static void test_turns_are_taken(void **state)
{
    struct stage *stage = *state;
    stage->door->ring.unsent_max = 5 * MIB;
    struct client *greedy = &stage->clients[0], *modest = &stage->clients[1];
    for (size_t i = 0; i < 5; i++)
        start_big(greedy);
    fake_node_turn(&stage->node);
    start_big(modest);
    for (size_t rounds = 0; modest->ended == 0; rounds++) {
        assert_true(rounds < 1000);
        fake_node_turn(&stage->node);
        listen_to(greedy, 256 * 1024);
        listen_to(modest, 256 * 1024);
    }
    assert_true(greedy->ended <= 2);
    converse(greedy);
    assert_int_equal(greedy->ended, 5);
}

/* One turn builds no more than its share; the next round goes on, though nobody had to drain much for it. */
static void test_a_turn_has_a_bound(void **state)
{
    struct stage *stage = *state;
    for (size_t i = 0; i < CLIENTS; i++)
        start_big(&stage->clients[i]);
    struct client *last = &stage->clients[5], *silent = &stage->clients[6];
    start_small(last);
    size_t wakes = silent->wakes;
    fake_node_turn(&stage->node);
    assert_true(stage->door->ring.unsent > 36 * (uint64_t)MIB);
    assert_true(stage->door->ring.unsent < 37 * (uint64_t)MIB);
    assert_true(silent->wakes > wakes);
    listen_to(last, 256 * 1024);
    assert_answered(last, 1, 100); /* small ones pass */
    assert_int_equal(stage->node.count, 3);
    assert_true(stage->door->ring.reserved > 27 * (uint64_t)MIB);
    fake_node_turn(&stage->node);
    assert_true(stage->door->ring.unsent > 63 * (uint64_t)MIB);
    for (size_t i = 0; i < CLIENTS; i++) {
        converse(&stage->clients[i]);
        assert_answered(&stage->clients[i], 0, BIG);
    }
}

/* Everything at once, in an order that a seed decides: nothing is lost, nothing is answered twice (the client
 * checks that), and the books are even at the end (gone() checks that). */
static void test_random_doings(void **state)
{
    struct stage *stage = *state;
    stage->door->ring.unsent_max = 20 * MIB;
    qr_prng prng;
    qr_prng_seed(&prng, 11);
    uint64_t now_ms = NOW;
    for (size_t i = 0; i < 3000; i++) {
        size_t number = (size_t)qr_prng_below(&prng, CLIENTS);
        struct client *client = &stage->clients[number];
        switch (qr_prng_below(&prng, 12)) {
        case 0:
        case 1:
            if (stage->node.count < 40 && client->sent - client->ended < 20)
                start_big(client);
            break;
        case 2:
            if (stage->node.count < 40 && client->sent - client->ended < 20)
                start_small(client);
            break;
        case 3:
        case 4: fake_node_turn(&stage->node); break;
        case 5:
            now_ms += qr_prng_below(&prng, 500);
            stage->stream.ops->tick(client->connection, now_ms);
            break;
        case 6:
            if (qr_prng_below(&prng, 8) == 0) {
                close_client(client);
                open_client(stage, number);
            }
            break;
        case 7: stage->node.failure = qr_prng_below(&prng, 10) == 0 ? QR_E_NO_LEADER : QR_OK; break;
        default: listen_to(client, 4 * MIB); break;
        }
        assert_true(stage->door->ring.unsent < 20 * MIB + CLIENTS * (uint64_t)BIG);
    }
    stage->node.failure = QR_OK;
    for (size_t round = 0; round < 200; round++)
        for (size_t i = 0; i < CLIENTS; i++) {
            listen_to(&stage->clients[i], 16 * MIB);
            fake_node_turn(&stage->node);
        }
    for (size_t i = 0; i < CLIENTS; i++)
        assert_int_equal(stage->clients[i].ended, stage->clients[i].sent);
}

int main(void)
{
#define ROW(test) cmocka_unit_test_setup_teardown(test, fresh, gone)
    const struct CMUnitTest tests[] = {
        ROW(test_ranges_wait_and_are_answered_in_order),
        ROW(test_txns_that_read_wait_as_well),
        ROW(test_closed_windows_are_no_way_round),
        ROW(test_patience_ends_in_line),
        ROW(test_patience_is_not_renewed),
        ROW(test_streams_reset_in_line),
        ROW(test_connection_closed_with_a_line),
        ROW(test_the_node_refuses_who_waited),
        ROW(test_places_are_kept),
        ROW(test_answers_of_writes_pass),
        ROW(test_the_door_has_a_bound),
        ROW(test_the_ring_goes_round),
        ROW(test_turns_are_taken),
        ROW(test_a_turn_has_a_bound),
        ROW(test_random_doings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

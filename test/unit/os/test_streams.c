/* Client connections, with an echo for a door. */
#include "drive.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

typedef struct echo_door echo_door;
typedef struct echo {
    echo_door *door;
    qr_stream_waker waker;
    qr_buffer kept;
    size_t at;
    bool over;
} echo;

struct echo_door {
    qr_os *os;
    uint16_t port;
    size_t open, opened, fed, feeds, drained_most, ticks;
    size_t refuse_above; /* connections */
    uint64_t wake_ms;
    size_t turns, fed_since, fed_most; /* bytes since the last turn, and the most between two */
    bool late;                         /* answers only in the turn, as a replicated store does */
    echo *last;                        /* woken in the turn when late */
    qr_arena arena;
};

static void *echo_open(void *self, const char *peer, qr_stream_waker waker, uint64_t now_ms)
{
    echo_door *door = self;
    assert_int_equal(strncmp(peer, "127.0.0.1:", 10), 0);
    if (door->refuse_above && door->open >= door->refuse_above)
        return NULL;
    echo *stream = qr_alloc_zero(1, sizeof *stream);
    stream->door = door;
    stream->waker = waker;
    door->open++;
    door->opened++;
    return stream;
}

/* "!" ends the connection with an error, "." politely; everything else comes back. */
static qr_status echo_feed(void *self, qr_slice bytes, uint64_t now_ms)
{
    echo *stream = self;
    assert_true(bytes.size > 0);
    stream->door->fed += bytes.size;
    stream->door->feeds++;
    stream->door->fed_since += bytes.size;
    if (stream->door->fed_since > stream->door->fed_most)
        stream->door->fed_most = stream->door->fed_since;
    qr_buffer_add_slice(&stream->kept, bytes);
    if (stream->door->late)
        stream->door->last = stream;
    else
        stream->waker.wake(stream->waker.self);
    if (memchr(bytes.data, '.', bytes.size))
        stream->over = true;
    return memchr(bytes.data, '!', bytes.size) ? QR_E_INVALID : QR_OK;
}

static void echo_drain(void *self, qr_buffer *out, size_t size_max)
{
    echo *stream = self;
    if (stream->door->late && stream->door->last == stream)
        return;
    size_t size = stream->kept.size - stream->at;
    if (size > size_max)
        size = size_max;
    qr_buffer_add(out, stream->kept.data + stream->at, size);
    stream->at += size;
    if (out->size > stream->door->drained_most)
        stream->door->drained_most = out->size;
}

static uint64_t echo_wake_ms(void *self)
{
    const echo *stream = self;
    return stream->door->wake_ms;
}

static void echo_tick(void *self, uint64_t now_ms)
{
    echo *stream = self;
    stream->door->ticks++;
    stream->door->wake_ms = UINT64_MAX;
    qr_buffer_add(&stream->kept, "tick", 4);
}

static int echo_finished(void *self)
{
    const echo *stream = self;
    return stream->over;
}

static void echo_close(void *self)
{
    echo *stream = self;
    stream->door->open--;
    if (stream->door->last == stream)
        stream->door->last = NULL;
    qr_buffer_free(&stream->kept);
    qr_free(stream);
}

static const qr_stream_ops echo_ops = {
    .name = "echo",
    .open = echo_open,
    .feed = echo_feed,
    .drain = echo_drain,
    .wake_ms = echo_wake_ms,
    .tick = echo_tick,
    .finished = echo_finished,
    .close = echo_close,
};

static void turn(void *context, uint64_t now_ms, int64_t wall_ms)
{
    echo_door *door = context;
    door->turns++;
    door->fed_since = 0;
    assert_true(wall_ms > 1500000000000);
    if (door->late && door->last) {
        echo *stream = door->last;
        door->last = NULL;
        stream->waker.wake(stream->waker.self);
    }
}

static int set_up(void **state)
{
    echo_door *door = qr_alloc_zero(1, sizeof *door);
    door->wake_ms = UINT64_MAX;
    qr_arena_init(&door->arena);
    door->os = qr_os_new(&(qr_os_handlers){.turn = turn}, door);
    door->port = drive_free_port();
    const char *sentence = "";
    qr_stream_door stream_door = {.self = door, .ops = &echo_ops};
    assert_int_equal(qr_os_listen(door->os, "127.0.0.1", door->port, stream_door, &door->arena, &sentence),
                     QR_OK);
    *state = door;
    return 0;
}

static int tear_down(void **state)
{
    echo_door *door = *state;
    qr_os_free(door->os);
    assert_int_equal(door->open, 0);
    qr_arena_free(&door->arena);
    qr_free(door);
    return 0;
}

/* ---- a client that is driven along with the loop ---- */
typedef struct client {
    int socket;
    size_t wanted, got;
    bool ended;
    uint8_t bytes[256];
    uint64_t sum; /* of every byte with its position */
} client;

static void receive(client *c)
{
    uint8_t bytes[64 * 1024];
    for (;;) {
        ssize_t got = recv(c->socket, bytes, sizeof bytes, 0);
        if (got == 0)
            c->ended = true;
        if (got <= 0)
            return;
        for (ssize_t i = 0; i < got; i++)
            c->sum = c->sum * 31 + bytes[i];
        if (c->got + (size_t)got <= sizeof c->bytes)
            memcpy(c->bytes + c->got, bytes, (size_t)got);
        c->got += (size_t)got;
    }
}

static bool has_all(void *context)
{
    client *c = context;
    receive(c);
    return c->got >= c->wanted;
}

static bool has_ended(void *context)
{
    client *c = context;
    receive(c);
    return c->ended;
}

static bool none_open(void *context)
{
    const echo_door *door = context;
    return door->open == 0;
}

static void test_one_byte_at_a_time(void **state)
{
    echo_door *door = *state;
    const char text[] = "bytes may arrive one by one";
    client c = {.socket = drive_connect(door->port)};
    for (size_t i = 0; i < sizeof text - 2; i++) {
        assert_int_equal(drive_send(c.socket, text + i, 1), 1);
        c.wanted = i + 1;
        drive_until(&door->os, 1, has_all, &c, "the echo of a byte");
    }
    assert_memory_equal(c.bytes, text, c.got);
    assert_int_equal(door->feeds, sizeof text - 2);
    close(c.socket);
}

static void test_answers_come_from_the_turn(void **state)
{
    echo_door *door = *state;
    door->late = true;
    client c = {.socket = drive_connect(door->port), .wanted = 5};
    drive_send(c.socket, "hello", 5);
    drive_until(&door->os, 1, has_all, &c, "the answer");
    assert_memory_equal(c.bytes, "hello", 5);
    close(c.socket);
}

/* The protocol has finished: the last bytes arrive, then the end; the client's own end is waited for. */
static void test_finished(void **state)
{
    echo_door *door = *state;
    client c = {.socket = drive_connect(door->port)};
    drive_send(c.socket, "bye.", 4);
    drive_until(&door->os, 1, has_ended, &c, "the end");
    assert_memory_equal(c.bytes, "bye.", 4);
    assert_int_equal(door->open, 0);
    assert_int_equal(door->os->streams.count, 1); /* lingers for our own end */
    drive_send(c.socket, "ignored", 7);
    close(c.socket);
    while (door->os->streams.count > 0)
        drive_once(&door->os, 1);
    assert_int_equal(door->fed, 4);
}

static void test_feed_error_drains_then_closes(void **state)
{
    echo_door *door = *state;
    client c = {.socket = drive_connect(door->port)};
    drive_send(c.socket, "bad!", 4);
    drive_until(&door->os, 1, has_ended, &c, "the end");
    assert_memory_equal(c.bytes, "bad!", 4);
    assert_int_equal(door->open, 0);
    close(c.socket);
}

/* A client that shuts its half still gets its answer; afterwards the connection goes. */
static void test_half_closed_client(void **state)
{
    echo_door *door = *state;
    door->os->streams.linger_ms = 50;
    client c = {.socket = drive_connect(door->port), .wanted = 5};
    drive_send(c.socket, "hello", 5);
    shutdown(c.socket, SHUT_WR);
    drive_until(&door->os, 1, has_all, &c, "the answer");
    drive_until(&door->os, 1, none_open, door, "the close");
    close(c.socket);
}

static void test_client_vanishes(void **state)
{
    echo_door *door = *state;
    client c = {.socket = drive_connect(door->port), .wanted = 1};
    drive_send(c.socket, "x", 1);
    drive_until(&door->os, 1, has_all, &c, "the answer");
    struct linger reset = {.l_onoff = 1, .l_linger = 0};
    setsockopt(c.socket, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    close(c.socket);
    drive_until(&door->os, 1, none_open, door, "the close");
}

/* ---- back-pressure ---- */
typedef struct flood {
    client c;
    echo_door *door;
    size_t left, sent;
    uint64_t sum;
    bool reads;
    size_t stalls; /* looks in a row without any byte moving */
    size_t fed_seen;
} flood;

static void send_some(flood *f)
{
    uint8_t bytes[16 * 1024];
    while (f->left > 0) {
        for (size_t i = 0; i < sizeof bytes; i++)
            bytes[i] = (uint8_t)('A' + (f->sent + i) % 61 % 26);
        size_t size = drive_send(f->c.socket, bytes, f->left < sizeof bytes ? f->left : sizeof bytes);
        if (size == 0)
            return;
        for (size_t i = 0; i < size; i++)
            f->sum = f->sum * 31 + bytes[i];
        f->sent += size;
        f->left -= size;
    }
}

static bool is_stuck(void *context)
{
    flood *f = context;
    size_t before = f->sent;
    send_some(f);
    bool moved = f->sent != before || f->door->fed != f->fed_seen;
    f->fed_seen = f->door->fed;
    f->stalls = moved ? 0 : f->stalls + 1;
    return f->stalls > 20;
}

static bool is_through(void *context)
{
    flood *f = context;
    send_some(f);
    receive(&f->c);
    return f->left == 0 && f->c.got == f->sent;
}

/* A client that sends and sends and does not read is read no further; once it reads, every byte is there, in
 * order. */
static void test_back_pressure(void **state)
{
    echo_door *door = *state;
    flood f = {.c = {.socket = drive_connect(door->port)}, .door = door, .left = 48 * 1024 * 1024};
    drive_until(&door->os, 1, is_stuck, &f, "the client is not read any more");
    assert_true(f.left > 0);
    assert_true(door->drained_most <= 2 * 1024 * 1024);
    size_t waiting = door->fed - f.c.got;
    assert_true(waiting < 40 * 1024 * 1024);
    drive_until(&door->os, 1, is_through, &f, "everything comes back");
    assert_true(f.sum == f.c.sum);
    close(f.c.socket);
}

/* However much has piled up, a turn comes after a share of each connection; all of it is read in the end. */
static void test_a_share_between_turns(void **state)
{
    enum { SHARE = 64 * 1024 };
    echo_door *door = *state;
    flood f = {.c = {.socket = drive_connect(door->port)}, .door = door, .left = 1024 * 1024};
    flood g = {.c = {.socket = drive_connect(door->port)}, .door = door, .left = 1024 * 1024};
    send_some(&f);
    send_some(&g);
    assert_true(f.sent > 4 * SHARE && g.sent > 4 * SHARE);
    drive_until(&door->os, 1, is_through, &f, "everything of the first comes back");
    drive_until(&door->os, 1, is_through, &g, "everything of the second comes back");
    assert_true(f.sum == f.c.sum && g.sum == g.c.sum);
    assert_true(door->fed_most <= 2 * SHARE);
    close(f.c.socket);
    close(g.c.socket);
}

/* Nothing moves for longer than patience lasts: closed. */
static void test_slow_reader_is_closed(void **state)
{
    echo_door *door = *state;
    door->os->streams.patience_ms = 100;
    flood f = {.c = {.socket = drive_connect(door->port)}, .door = door, .left = 48 * 1024 * 1024};
    drive_until(&door->os, 1, is_stuck, &f, "the client is not read any more");
    drive_until(&door->os, 1, none_open, door, "the close");
    close(f.c.socket);
}

static void test_tick(void **state)
{
    echo_door *door = *state;
    client c = {.socket = drive_connect(door->port), .wanted = 1};
    drive_send(c.socket, "x", 1);
    drive_until(&door->os, 1, has_all, &c, "the echo");
    uint64_t wanted_ms = qr_os_now_ms(door->os) + 30;
    door->wake_ms = wanted_ms;
    drive_send(c.socket, "y", 1);
    c.wanted = 6;
    drive_until(&door->os, 1, has_all, &c, "the tick");
    assert_memory_equal(c.bytes, "xytick", 6);
    assert_true(qr_os_now_ms(door->os) >= wanted_ms);
    assert_int_equal(door->ticks, 1);
    close(c.socket);
}

enum { MANY = 300 };

static bool many_have_all(void *context)
{
    client *list = context;
    bool all = true;
    for (int i = 0; i < MANY; i++) {
        receive(&list[i]);
        all = all && list[i].got >= list[i].wanted;
    }
    return all;
}

static void test_many_connections(void **state)
{
    echo_door *door = *state;
    client *list = qr_alloc_zero(MANY, sizeof *list);
    char text[32];
    for (int i = 0; i < MANY; i++) {
        list[i].socket = drive_connect(door->port);
        drive_once(&door->os, 1);
    }
    for (int round = 1; round <= 5; round++) {
        for (int i = 0; i < MANY; i++) {
            snprintf(text, sizeof text, "%04d:%02d;", i, round);
            assert_int_equal(drive_send(list[i].socket, text, 8), 8);
            list[i].wanted = (size_t)round * 8;
        }
        drive_until(&door->os, 1, many_have_all, list, "every echo");
    }
    for (int i = 0; i < MANY; i++) {
        snprintf(text, sizeof text, "%04d:05;", i);
        assert_memory_equal(list[i].bytes + 32, text, 8);
        close(list[i].socket);
    }
    assert_int_equal(door->opened, MANY);
    door->os->streams.linger_ms = 1;
    drive_until(&door->os, 1, none_open, door, "every close");
    qr_free(list);
}

static void test_door_refuses(void **state)
{
    echo_door *door = *state;
    door->refuse_above = 1;
    client first = {.socket = drive_connect(door->port), .wanted = 1};
    drive_send(first.socket, "x", 1);
    drive_until(&door->os, 1, has_all, &first, "the echo");
    client second = {.socket = drive_connect(door->port)};
    drive_until(&door->os, 1, has_ended, &second, "the refusal");
    assert_int_equal(second.got, 0);
    close(first.socket);
    close(second.socket);
}

static void test_port_taken(void **state)
{
    echo_door *door = *state;
    const char *sentence = "";
    qr_stream_door stream_door = {.self = door, .ops = &echo_ops};
    assert_int_equal(qr_os_listen(door->os, "127.0.0.1", door->port, stream_door, &door->arena, &sentence),
                     QR_E_EXISTS);
    assert_string_equal(
        sentence, qr_arena_format(&door->arena,
                                  "port %u on 127.0.0.1 is taken by another program (address already in use)",
                                  door->port));
    assert_int_equal(qr_os_listen(door->os, "192.0.2.1", 1, stream_door, &door->arena, &sentence),
                     QR_E_NOT_FOUND);
    assert_non_null(strstr(sentence, "not an address of this machine"));
    uint16_t port = drive_free_port();
    assert_int_equal(qr_os_listen(door->os, "localhost", port, stream_door, &door->arena, &sentence), QR_OK);
    client c = {.socket = drive_connect(port), .wanted = 1};
    drive_send(c.socket, "x", 1);
    drive_until(&door->os, 1, has_all, &c, "the echo over localhost");
    close(c.socket);
}

/* Stopping from within a turn: what was queued arrives, the client sees the end, run() returns. */
static void stopping_turn(void *context, uint64_t now_ms, int64_t wall_ms)
{
    echo_door *door = context;
    door->turns++;
    if (door->fed > 0)
        qr_os_stop(door->os);
}

static void test_stop_writes_what_is_queued(void **state)
{
    echo_door *door = *state;
    door->os->handlers.turn = stopping_turn;
    client c = {.socket = drive_connect(door->port), .wanted = 5};
    client idle = {.socket = drive_connect(door->port)};
    drive_send(c.socket, "hello", 5);
    uint64_t before_ms = qr_os_now_ms(door->os);
    qr_os_run(door->os);
    assert_true(qr_os_now_ms(door->os) - before_ms < 1000);
    receive(&c);
    receive(&idle);
    assert_int_equal(c.got, 5);
    assert_true(c.ended && idle.ended);
    assert_int_equal(door->open, 0);
    close(c.socket);
    close(idle.socket);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(test_one_byte_at_a_time),
        CASE(test_answers_come_from_the_turn),
        CASE(test_finished),
        CASE(test_feed_error_drains_then_closes),
        CASE(test_half_closed_client),
        CASE(test_client_vanishes),
        CASE(test_back_pressure),
        CASE(test_a_share_between_turns),
        CASE(test_slow_reader_is_closed),
        CASE(test_tick),
        CASE(test_many_connections),
        CASE(test_door_refuses),
        CASE(test_port_taken),
        CASE(test_stop_writes_what_is_queued),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

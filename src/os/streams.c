/* Client connections: sockets on one side, a door's streams on the other.
 *
 * Bytes go in through the loop's one read buffer. They come out through one scratch buffer straight into the
 * socket; only what the socket does not take is kept here, in .flight (under way) and .waiting (behind it). A
 * connection that cannot be written is not drained beyond UNWRITTEN_MAX, and when it is blocked its client is
 * not read for long either.
 *
 * The life of a connection:  OPEN -> ENDING (feed failed, or we are stopping: drain what is left) ->
 * LINGERING (our half is shut; the client's last bytes are thrown away, so that its kernel does not drop our
 * last answer with a reset) -> CLOSED. */
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>

#include "os/room.h"

enum {
    CONNECTIONS_MAX = 20000,
    INTAKE_MAX = 64 * 1024,    /* read of one connection between two rounds */
    DRAIN_SIZE = 64 * 1024,    /* asked of a door at a time */
    ROUND_SIZE = 256 * 1024,   /* written to one connection in one round */
    UNWRITTEN_MAX = 64 * 1024, /* above it a door is not drained */
    /* Bytes that the kernel takes and cannot send yet. Without a bound it grows its buffers to megabytes for
     * each client that does not read, and thousands of them make a member copy gigabytes for nothing. */
    UNSENT_KERNEL_MAX = 128 * 1024,
    UNWRITTEN_READ_MAX = 4 * 1024 * 1024, /* above it the client is not read */
    BLOCKED_READ_MAX = 1024 * 1024,       /* bytes taken from a client that does not take our answers */
    KEPT_ROOM = 64 * 1024,                /* of .flight and .waiting between two bursts */
    SCRATCH_ROOM = 2 * 1024 * 1024,
    SWEEP_GAP_MS = 10,
    PROGRESS_CHECK_MS = 1000,
    PATIENCE_MS = 60000,
    LINGER_MS = 1000,
    LINGER_STOPPING_MS = 200,
    LINGER_READ_MAX = 4 * 1024 * 1024,
    KEEPALIVE_S = 30,
};

typedef enum state { OPEN, ENDING, LINGERING, CLOSED } state;

typedef struct connection {
    qr_os *os;
    uv_tcp_t tcp;
    uv_write_t write;
    uv_shutdown_t shutdown;
    qr_os_ring all, woken;
    const qr_stream_ops *ops;
    void *stream; /* the door's; NULL once closed */
    state state;
    bool flying;    /* a uv_write of .flight is under way */
    bool reading;   /* the loop looks for bytes */
    bool heard_end; /* the client has shut its half */
    qr_os_intake intake;
    qr_buffer flight, waiting;
    size_t blocked_read;   /* bytes fed while UNWRITTEN_MAX was passed; while lingering: bytes thrown away */
    size_t unwritten_seen; /* at the last look for progress */
    uint64_t progress_ms;
    uint64_t deadline_ms; /* of lingering, or of a half closed client; UINT64_MAX = none */
} connection;

static void on_read(uv_stream_t *tcp, ssize_t got, const uv_buf_t *buffer);
static void on_sweep(uv_timer_t *timer);

static size_t unwritten(const connection *conn)
{
    return conn->waiting.size + uv_stream_get_write_queue_size((const uv_stream_t *)&conn->tcp);
}

/* ---- the one timer ---- */

static void sweep_at(qr_os *os, uint64_t at_ms)
{
    qr_os_streams *streams = &os->streams;
    if (at_ms >= streams->armed_ms)
        return;
    uint64_t now_ms = qr_os_now_ms(os);
    uint64_t earliest_ms = streams->swept_ms + SWEEP_GAP_MS;
    if (earliest_ms < now_ms)
        earliest_ms = now_ms;
    streams->armed_ms = at_ms > earliest_ms ? at_ms : earliest_ms;
    uv_update_time(&os->loop);
    uv_timer_start(&streams->timer, on_sweep, streams->armed_ms - now_ms, 0);
}

/* ---- waking ---- */

static void wake(void *self)
{
    connection *conn = self;
    if (conn->state == CLOSED || !qr_os_ring_empty(&conn->woken))
        return;
    qr_os_ring_push(&conn->os->streams.woken, &conn->woken);
    qr_os_happened(conn->os);
}

/* ---- closing ---- */

static void on_closed(uv_handle_t *handle)
{
    connection *conn = handle->data;
    QR_ASSERT(conn->state == CLOSED && !conn->flying);
    qr_buffer_free(&conn->flight);
    qr_buffer_free(&conn->waiting);
    qr_free(conn);
}

static void end_stream(connection *conn)
{
    void *stream = conn->stream;
    conn->stream = NULL;
    if (stream != NULL)
        conn->ops->close(stream);
}

static void close_now(connection *conn)
{
    if (conn->state == CLOSED)
        return;
    conn->state = CLOSED;
    end_stream(conn);
    qr_os_ring_remove(&conn->woken);
    qr_os_ring_remove(&conn->all);
    conn->os->streams.count--;
    uv_close((uv_handle_t *)&conn->tcp, on_closed);
    qr_os_happened(conn->os);
}

static void on_alloc(uv_handle_t *handle, size_t size, uv_buf_t *buffer)
{
    connection *conn = handle->data;
    qr_os_read_within(conn->os, &conn->intake, INTAKE_MAX, buffer);
}

static void set_reading(connection *conn, bool reading)
{
    if (conn->reading == reading)
        return;
    conn->reading = reading;
    if (reading)
        uv_read_start((uv_stream_t *)&conn->tcp, on_alloc, on_read);
    else
        uv_read_stop((uv_stream_t *)&conn->tcp);
}

/* libuv calls it without asking whether it is there. */
static void on_shut(uv_shutdown_t *shutdown, int status)
{
    (void)status;
}

/* Everything is drained and written: shut our half, and wait for the client's a little. */
static void linger(connection *conn)
{
    end_stream(conn);
    if (conn->heard_end || uv_shutdown(&conn->shutdown, (uv_stream_t *)&conn->tcp, on_shut) != 0) {
        close_now(conn);
        return;
    }
    conn->state = LINGERING;
    conn->blocked_read = 0;
    uint64_t patience_ms = conn->os->stopping ? LINGER_STOPPING_MS : conn->os->streams.linger_ms;
    conn->deadline_ms = qr_os_now_ms(conn->os) + patience_ms;
    sweep_at(conn->os, conn->deadline_ms);
    set_reading(conn, true);
}

/* ---- writing ---- */

static void on_written(uv_write_t *write, int status);

static void start_flight(connection *conn, size_t offset)
{
    QR_ASSERT(!conn->flying && offset < conn->flight.size);
    uv_buf_t rest = uv_buf_init((char *)conn->flight.data + offset, (unsigned)(conn->flight.size - offset));
    conn->flying = true;
    conn->progress_ms = qr_os_now_ms(conn->os);
    conn->unwritten_seen = SIZE_MAX;
    int failed = uv_write(&conn->write, (uv_stream_t *)&conn->tcp, &rest, 1, on_written);
    if (failed != 0) {
        conn->flying = false;
        close_now(conn);
        return;
    }
    sweep_at(conn->os, conn->progress_ms + PROGRESS_CHECK_MS);
}

static void on_written(uv_write_t *write, int status)
{
    connection *conn = QR_OS_CONTAINER(write, connection, write);
    conn->flying = false;
    if (conn->state == CLOSED)
        return;
    if (status != 0) {
        close_now(conn);
        return;
    }
    qr_buffer_shrink(&conn->flight, KEPT_ROOM);
    if (conn->waiting.size > 0) {
        qr_buffer swap = conn->flight;
        conn->flight = conn->waiting;
        conn->waiting = swap;
        start_flight(conn, 0);
        if (conn->state == CLOSED)
            return;
    }
    wake(conn);
}

/* Writes what the socket takes at once; the rest flies. False: the connection is closed. */
static bool write_scratch(connection *conn, const qr_buffer *bytes)
{
    uv_buf_t all = uv_buf_init((char *)bytes->data, (unsigned)bytes->size);
    int wrote = uv_try_write((uv_stream_t *)&conn->tcp, &all, 1);
    if (wrote == UV_EAGAIN)
        wrote = 0;
    if (wrote < 0) {
        close_now(conn);
        return false;
    }
    if ((size_t)wrote < bytes->size) {
        qr_buffer_clear(&conn->flight);
        qr_buffer_add(&conn->flight, bytes->data + wrote, bytes->size - (size_t)wrote);
        start_flight(conn, 0);
    }
    return conn->state != CLOSED;
}

/* Moves what the door has to the socket. True: the door had nothing more. */
static bool drain(connection *conn)
{
    qr_buffer *scratch = &conn->os->streams.scratch;
    for (size_t moved = 0; moved < ROUND_SIZE;) {
        if (conn->flying) {
            if (unwritten(conn) > UNWRITTEN_MAX)
                return false; /* on_written wakes it again */
            size_t before = conn->waiting.size;
            conn->ops->drain(conn->stream, &conn->waiting, DRAIN_SIZE);
            if (conn->waiting.size == before)
                return true;
            moved += conn->waiting.size - before;
            continue;
        }
        qr_buffer_clear(scratch);
        conn->ops->drain(conn->stream, scratch, DRAIN_SIZE);
        if (scratch->size == 0)
            return true;
        moved += scratch->size;
        QR_CHECK(scratch->size < UINT32_MAX, "a door drained 4 GiB at once");
        if (!write_scratch(conn, scratch))
            return false;
    }
    wake(conn);
    return false;
}

/* One connection after the turn: drain it, close it if it has ended, read on or pause. */
static void serve(connection *conn)
{
    QR_ASSERT(conn->state != CLOSED);
    if (conn->stream == NULL)
        return;
    bool empty = drain(conn);
    if (conn->state == CLOSED)
        return;
    bool over = conn->state == ENDING || conn->ops->finished(conn->stream);
    if (empty && over && !conn->flying) {
        linger(conn);
        return;
    }
    if (over)
        conn->state = ENDING;
    size_t left = unwritten(conn);
    if (left <= UNWRITTEN_MAX)
        conn->blocked_read = 0;
    set_reading(conn, conn->state == OPEN && !conn->heard_end && left <= UNWRITTEN_READ_MAX &&
                          conn->blocked_read <= BLOCKED_READ_MAX);
    uint64_t wake_ms = conn->ops->wake_ms(conn->stream);
    sweep_at(conn->os, wake_ms);
}

bool qr_os_streams_are_few(const qr_os *os, size_t max)
{
    const qr_os_ring *woken = &os->streams.woken;
    size_t count = 0;
    for (const qr_os_ring *at = woken->next; at != woken && count <= max; at = at->next)
        count++;
    return count <= max;
}

void qr_os_streams_flush(qr_os *os)
{
    qr_os_ring round;
    qr_os_ring_take(&round, &os->streams.woken);
    while (!qr_os_ring_empty(&round)) {
        connection *conn = QR_OS_CONTAINER(round.next, connection, woken);
        qr_os_ring_remove(&conn->woken);
        serve(conn);
    }
    qr_buffer_shrink(&os->streams.scratch, SCRATCH_ROOM);
}

/* ---- reading ---- */

static void on_end(connection *conn)
{
    conn->heard_end = true;
    set_reading(conn, false);
    if (conn->state == LINGERING || conn->ops->finished(conn->stream)) {
        if (!conn->flying || conn->state == LINGERING)
            close_now(conn);
        return;
    }
    /* The client may only have shut its half and still wait for the answer. If it is gone, the write will
     * fail. */
    conn->deadline_ms = qr_os_now_ms(conn->os) + conn->os->streams.linger_ms;
    sweep_at(conn->os, conn->deadline_ms);
    wake(conn);
}

static void on_read(uv_stream_t *tcp, ssize_t got, const uv_buf_t *buffer)
{
    connection *conn = tcp->data;
    if (conn->state == CLOSED || got == 0 || got == UV_ENOBUFS)
        return;
    if (got == UV_EOF) {
        on_end(conn);
        return;
    }
    if (got < 0) {
        close_now(conn);
        return;
    }
    conn->intake.bytes += (size_t)got;
    if (conn->state == LINGERING) {
        conn->blocked_read += (size_t)got;
        if (conn->blocked_read > LINGER_READ_MAX)
            close_now(conn);
        return;
    }
    if (conn->state != OPEN)
        return;
    if (conn->flying && unwritten(conn) > UNWRITTEN_MAX) {
        conn->blocked_read += (size_t)got;
        if (conn->blocked_read > BLOCKED_READ_MAX)
            set_reading(conn, false);
    }
    qr_status status =
        conn->ops->feed(conn->stream, qr_slice_of(buffer->base, (size_t)got), qr_os_now_ms(conn->os));
    if (conn->state == CLOSED)
        return;
    if (status != QR_OK) {
        conn->state = ENDING;
        set_reading(conn, false);
    }
    wake(conn);
}

/* ---- time ---- */

/* Returns when this connection wants to be looked at again. */
static uint64_t sweep_one(connection *conn, uint64_t now_ms)
{
    qr_os_streams *streams = &conn->os->streams;
    if (conn->deadline_ms <= now_ms && conn->flying && conn->state != LINGERING)
        conn->deadline_ms =
            now_ms + streams->linger_ms; /* a half closed client that is still taking its answer */
    if (conn->deadline_ms <= now_ms) {
        close_now(conn);
        return UINT64_MAX;
    }
    uint64_t next_ms = conn->deadline_ms;
    if (conn->flying) {
        size_t left = uv_stream_get_write_queue_size((const uv_stream_t *)&conn->tcp);
        if (left != conn->unwritten_seen) {
            conn->unwritten_seen = left;
            conn->progress_ms = now_ms;
        } else if (now_ms - conn->progress_ms >= streams->patience_ms) {
            qr_log(conn->os, QR_LOG_WARN, "closed a connection that takes no bytes", NULL);
            close_now(conn);
            return UINT64_MAX;
        }
        if (now_ms + PROGRESS_CHECK_MS < next_ms)
            next_ms = now_ms + PROGRESS_CHECK_MS;
    }
    if (conn->stream == NULL)
        return next_ms;
    if (conn->ops->wake_ms(conn->stream) <= now_ms) {
        conn->ops->tick(conn->stream, now_ms);
        if (conn->state == CLOSED)
            return UINT64_MAX;
        wake(conn);
    }
    uint64_t wake_ms = conn->ops->wake_ms(conn->stream);
    return wake_ms < next_ms ? wake_ms : next_ms;
}

static void on_sweep(uv_timer_t *timer)
{
    qr_os *os = timer->data;
    uint64_t now_ms = qr_os_now_ms(os), next_ms = UINT64_MAX;
    os->streams.armed_ms = UINT64_MAX;
    os->streams.swept_ms = now_ms;
    for (qr_os_ring *at = os->streams.all.next, *next; at != &os->streams.all; at = next) {
        next = at->next;
        uint64_t wanted_ms = sweep_one(QR_OS_CONTAINER(at, connection, all), now_ms);
        if (wanted_ms < next_ms)
            next_ms = wanted_ms;
    }
    sweep_at(os, next_ms);
}

/* ---- accepting ---- */

static void bound_kernel(connection *conn)
{
    uv_os_fd_t descriptor;
    int bytes = UNSENT_KERNEL_MAX;
    if (uv_fileno((uv_handle_t *)&conn->tcp, &descriptor) == 0)
        setsockopt(descriptor, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &bytes, sizeof bytes);
}

static void accept_client(qr_os *os, uv_stream_t *listener, const qr_stream_door *door)
{
    connection *conn = qr_alloc_zero(1, sizeof *conn);
    conn->os = os;
    conn->ops = door->ops;
    conn->deadline_ms = UINT64_MAX;
    qr_os_ring_init(&conn->woken);
    uv_tcp_init(&os->loop, &conn->tcp);
    conn->tcp.data = conn;
    qr_os_ring_push(&os->streams.all, &conn->all);
    os->streams.count++;
    struct sockaddr_storage from;
    int size = sizeof from;
    if (uv_accept(listener, (uv_stream_t *)&conn->tcp) != 0 || os->streams.count > CONNECTIONS_MAX ||
        uv_tcp_getpeername(&conn->tcp, (struct sockaddr *)&from, &size) != 0) {
        close_now(conn);
        return;
    }
    qr_os_tune_socket(&conn->tcp, KEEPALIVE_S, 0);
    bound_kernel(conn);
    char peer[QR_OS_ADDRESS_TEXT];
    qr_os_address_text((const struct sockaddr *)&from, peer, sizeof peer);
    qr_stream_waker waker = {.self = conn, .wake = wake};
    conn->stream = conn->ops->open(door->self, peer, waker, qr_os_now_ms(os));
    if (conn->stream == NULL) {
        close_now(conn);
        return;
    }
    set_reading(conn, true);
    wake(conn); /* a protocol may speak first */
}

qr_status qr_os_listen(qr_os *os, const char *host, uint16_t port, qr_stream_door door, qr_arena *arena,
                       const char **sentence)
{
    return qr_os_listen_on(os, host, port, accept_client, &door, arena, sentence);
}

/* ---- the whole ---- */

void qr_os_streams_init(qr_os *os)
{
    qr_os_streams *streams = &os->streams;
    qr_os_ring_init(&streams->all);
    qr_os_ring_init(&streams->woken);
    streams->armed_ms = UINT64_MAX;
    streams->patience_ms = PATIENCE_MS;
    streams->linger_ms = LINGER_MS;
    uv_timer_init(&os->loop, &streams->timer);
    streams->timer.data = os;
}

void qr_os_streams_stop(qr_os *os)
{
    for (qr_os_ring *at = os->streams.all.next; at != &os->streams.all; at = at->next) {
        connection *conn = QR_OS_CONTAINER(at, connection, all);
        if (conn->state == OPEN) {
            conn->state = ENDING;
            set_reading(conn, false);
            wake(conn);
        }
    }
}

void qr_os_streams_close(qr_os *os)
{
    while (!qr_os_ring_empty(&os->streams.all))
        close_now(QR_OS_CONTAINER(os->streams.all.next, connection, all));
}

void qr_os_streams_free(qr_os *os)
{
    qr_buffer_free(&os->streams.scratch);
}

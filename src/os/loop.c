/* The loop: one round after each poll in which something happened.
 *
 *   timers -> (idle keeps poll from blocking) -> poll: bytes, completions -> check: the round
 *   the round: turn, write peers, wake the disks, drain and write streams (a few of these first), arm the
 * timer
 *
 * What the round itself causes (a stream that wakes while it is drained) waits for the next one, so no
 * connection can starve the others; the idle handle makes that next round come at once. */
#include <errno.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>

#include "os/room.h"

/* What peers are told goes out before clients are served, for the next writes of many wait for it. But a
 * client or two that have their answer do not wait for the peers: a write to a socket takes as long as a
 * turn. */
enum { ANSWERS_FIRST_MAX = 2 };

static void on_idle(uv_idle_t *idle)
{
    (void)idle;
}

void qr_os_happened(qr_os *os)
{
    if (os->happened)
        return;
    os->happened = true;
    uv_idle_start(&os->idle, on_idle);
}

void qr_os_wake(qr_os *os)
{
    qr_os_happened(os);
}

static void on_wake(uv_timer_t *timer)
{
    qr_os *os = timer->data;
    os->wake_armed_ms = UINT64_MAX;
    qr_os_happened(os);
}

static void arm_wake(qr_os *os)
{
    uint64_t at_ms = os->handlers.wake_ms ? os->handlers.wake_ms(os->context) : UINT64_MAX;
    if (at_ms == os->wake_armed_ms)
        return;
    os->wake_armed_ms = at_ms;
    if (at_ms == UINT64_MAX) {
        uv_timer_stop(&os->wake);
        return;
    }
    uint64_t now_ms = qr_os_now_ms(os);
    uv_update_time(&os->loop);
    uv_timer_start(&os->wake, on_wake, at_ms > now_ms ? at_ms - now_ms : 0, 0);
}

/* Stopping, one step a round: what is queued is written, then connections are closed, then the disk is waited
 * for, because an operation under way still points into its owner's memory. */
static void stop_further(qr_os *os)
{
    if (!os->closing) {
        bool written = os->streams.count == 0 && qr_os_peers_written(os);
        if (!written && qr_os_now_ms(os) < os->stop_ms)
            return;
        os->closing = true;
        uv_timer_stop(&os->wake);
        qr_os_streams_close(os);
        qr_os_peers_close(os);
    }
    if (qr_os_disks_idle(os)) {
        uv_timer_stop(&os->stopper);
        uv_stop(&os->loop);
    }
}

/* ---- how long turns are, in CPU time: what they take of the machine, however busy others keep it ---- */

static uint64_t thread_cpu_us(void)
{
    struct timespec now;
    int failed = clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    QR_ASSERT(failed == 0);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* A turn is what happened since the one before: callbacks with bytes and completions (in), the node's turn
 * (turn), and what is drained and written (out). The parts are of the wall clock. */
static void note_turn(qr_os *os, uint64_t begun, uint64_t turned)
{
    uint64_t cpu_us = thread_cpu_us(), now = uv_hrtime(), took_us = cpu_us - os->turn.cpu_us;
    os->turn.cpu_us = cpu_us;
    qr_histogram_add(&os->turn_cpu, took_us);
    if (now >= os->turn.window_ns + QR_OS_TURN_WINDOW_NS) {
        os->turn.window_ns = now;
        os->turn.longest_us = QR_OS_TURN_LONG_US;
    }
    if (took_us < os->turn.longest_us)
        return;
    os->turn.longest_us = took_us;
    char cpu[24], turn[24], out[24];
    snprintf(cpu, sizeof cpu, "%" PRIu64 ".%03u", took_us / 1000, (unsigned)(took_us % 1000));
    snprintf(turn, sizeof turn, "%" PRIu64, (turned - begun) / 1000000);
    snprintf(out, sizeof out, "%" PRIu64, (now - turned) / 1000000);
    qr_log(os, QR_LOG_INFO, "the longest turn for a while", "cpu_ms", cpu, "turn_ms", turn, "out_ms", out,
           NULL);
}

/* Outside of rounds disks are asked, too. */
static void on_prepare(uv_prepare_t *prepare)
{
    qr_os_disks_wake(prepare->data);
}

static void on_check(uv_check_t *check)
{
    qr_os *os = check->data;
    if (!os->happened)
        return;
    os->happened = false;
    os->round++;
    uv_idle_stop(&os->idle);
    if (!os->closing) {
        uint64_t begun = uv_hrtime();
        if (os->handlers.turn)
            os->handlers.turn(os->context, qr_os_now_ms(os), qr_os_wall_ms());
        uint64_t turned = uv_hrtime();
        bool is_brief = qr_os_streams_are_few(os, ANSWERS_FIRST_MAX);
        if (is_brief)
            qr_os_streams_flush(os);
        qr_os_peers_flush(os);
        qr_os_disks_wake(os); /* behind what peers are told: the way over them is the longer one */
        if (!is_brief)
            qr_os_streams_flush(os);
        qr_os_peers_flush(os);
        arm_wake(os);
        qr_histogram_add(&os->turns, (uv_hrtime() - begun) / 1000);
        note_turn(os, begun, turned);
    }
    if (os->stopping)
        stop_further(os);
}

void qr_os_read_alloc(uv_handle_t *handle, size_t size, uv_buf_t *buffer)
{
    qr_os *os = handle->loop->data;
    *buffer = uv_buf_init((char *)os->read_bytes, QR_OS_READ_SIZE);
}

void qr_os_read_within(qr_os *os, qr_os_intake *intake, size_t limit, uv_buf_t *buffer)
{
    if (intake->round != os->round)
        *intake = (qr_os_intake){.round = os->round};
    size_t left = limit - intake->bytes;
    if (left == 0)
        qr_os_happened(os);
    *buffer = uv_buf_init((char *)os->read_bytes, left < QR_OS_READ_SIZE ? (unsigned)left : QR_OS_READ_SIZE);
}

/* keepalive_s: silence after which the kernel begins to ask; after as long again without an answer the
 * connection is broken. user_timeout_ms: how long sent bytes may stay unacknowledged (0 = the kernel's
 * default of many minutes). */
void qr_os_tune_socket(uv_tcp_t *tcp, unsigned keepalive_s, unsigned user_timeout_ms)
{
    uv_tcp_nodelay(tcp, 1);
    uv_tcp_keepalive(tcp, 1, keepalive_s);
    uv_os_fd_t descriptor;
    if (uv_fileno((uv_handle_t *)tcp, &descriptor) != 0)
        return;
    int count = 5, interval_s = (int)keepalive_s / count;
    setsockopt(descriptor, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof interval_s);
    setsockopt(descriptor, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
    if (user_timeout_ms != 0)
        setsockopt(descriptor, IPPROTO_TCP, TCP_USER_TIMEOUT, &user_timeout_ms, sizeof user_timeout_ms);
}

qr_os *qr_os_new(const qr_os_handlers *handlers, void *context)
{
    qr_os *os = qr_alloc_zero(1, sizeof *os);
    os->handlers = *handlers;
    os->context = context;
    os->wake_armed_ms = UINT64_MAX;
    os->read_bytes = qr_alloc(QR_OS_READ_SIZE);
    int failed = uv_loop_init(&os->loop);
    QR_CHECK(failed == 0, "the event loop cannot be made (file descriptors used up?)");
    os->loop.data = os;
    uv_prepare_init(&os->loop, &os->prepare);
    uv_check_init(&os->loop, &os->check);
    uv_idle_init(&os->loop, &os->idle);
    uv_timer_init(&os->loop, &os->wake);
    uv_timer_init(&os->loop, &os->stopper);
    os->prepare.data = os->check.data = os->idle.data = os->wake.data = os->stopper.data = os;
    uv_prepare_start(&os->prepare, on_prepare);
    uv_check_start(&os->check, on_check);
    qr_os_log_init(&os->log);
    qr_os_signals_init(os);
    qr_os_streams_init(os);
    return os;
}

void qr_os_run(qr_os *os)
{
    qr_os_signals_start(os);
    os->turn.cpu_us = thread_cpu_us();
    qr_os_happened(os); /* the first turn */
    uv_run(&os->loop, UV_RUN_DEFAULT);
}

static void on_stopper(uv_timer_t *timer)
{
    qr_os_happened(timer->data);
}

void qr_os_stop(qr_os *os)
{
    if (os->stopping)
        return;
    os->stopping = true;
    os->stop_ms = qr_os_now_ms(os) + QR_OS_STOP_MS;
    qr_os_listeners_close(os);
    qr_os_streams_stop(os);
    uv_timer_start(&os->stopper, on_stopper, 10, 10);
    qr_os_happened(os);
}

void qr_os_free(qr_os *os)
{
    if (os == NULL)
        return;
    os->stopping = os->closing = true;
    qr_os_program_close(os);
    qr_os_disks_close(os);
    qr_os_listeners_close(os);
    qr_os_streams_close(os);
    qr_os_peers_end(os);
    qr_os_signals_close(os);
    uv_handle_t *own[] = {(uv_handle_t *)&os->prepare, (uv_handle_t *)&os->check,
                          (uv_handle_t *)&os->idle,    (uv_handle_t *)&os->wake,
                          (uv_handle_t *)&os->stopper, (uv_handle_t *)&os->streams.timer};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        uv_close(own[i], NULL);
    while (uv_run(&os->loop, UV_RUN_DEFAULT) != 0)
        continue;
    int failed = uv_loop_close(&os->loop);
    QR_CHECK(failed == 0, "a handle of the event loop was left open");
    qr_os_disks_free(os);
    qr_os_peers_free(os);
    qr_os_streams_free(os);
    qr_os_log_close(&os->log);
    qr_free(os->read_bytes);
    qr_free(os);
}

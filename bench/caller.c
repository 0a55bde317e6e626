#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

#include "caller.h"
#include "wire/protobuf.h"

enum { READ_MAX = 256 * 1024, DRAIN_MAX = 1 << 20 };

uint64_t bench_now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

void bench_die(const char *what)
{
    fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what, strerror(errno));
    exit(1);
}

/* ------------------------------------------------------------ connections ---- */

void caller_connect(caller *c, const char *endpoint, const qr_grpc_client_handlers *handlers, void *context)
{
    char host[64];
    unsigned port = 0;
    struct sockaddr_in address = {.sin_family = AF_INET};
    errno = EINVAL;
    if (sscanf(endpoint, "%63[^:]:%u", host, &port) != 2 || port > UINT16_MAX ||
        inet_pton(AF_INET, host, &address.sin_addr) != 1)
        bench_die(endpoint);
    address.sin_port = htons((uint16_t)port);
    *c = (caller){.socket = socket(AF_INET, SOCK_STREAM, 0)};
    if (connect(c->socket, (struct sockaddr *)&address, sizeof address) != 0)
        bench_die(endpoint);
    setsockopt(c->socket, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    qr_buffer_init(&c->out);
    c->client = qr_grpc_client_new(handlers, context, "localhost");
}

bool caller_flush(caller *c)
{
    qr_grpc_client_drain(c->client, &c->out, DRAIN_MAX);
    if (c->out.size == c->sent)
        return false;
    ssize_t wrote =
        send(c->socket, c->out.data + c->sent, c->out.size - c->sent, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (wrote < 0 && errno != EAGAIN)
        bench_die("send");
    c->sent += wrote > 0 ? (size_t)wrote : 0;
    if (c->sent < c->out.size)
        return true;
    qr_buffer_clear(&c->out);
    c->sent = 0;
    return false;
}

void caller_take(caller *c)
{
    static uint8_t bytes[READ_MAX];
    ssize_t got;
    do {
        got = recv(c->socket, bytes, sizeof bytes, MSG_DONTWAIT);
        if (got == 0)
            errno = ECONNRESET;
        if (got == 0 || (got < 0 && errno != EAGAIN))
            bench_die("recv");
        if (got > 0 && qr_grpc_client_feed(c->client, qr_slice_of(bytes, (size_t)got)) != QR_OK)
            bench_die("HTTP/2");
    } while (got == (ssize_t)sizeof bytes);
}

void caller_call(caller *c, const char *path, const ProtobufCMessage *message, void *name)
{
    qr_buffer body;
    qr_buffer_init(&body);
    qr_protobuf_pack(message, &body);
    qr_status status = qr_grpc_client_call(c->client, path, qr_buffer_slice(&body), name);
    QR_ASSERT(status == QR_OK);
    qr_buffer_free(&body);
}

/* ------------------------------------------------------------ latencies ---- */

/* Below LATENCY_STEPS a class each; above, that many classes for each doubling. */
static size_t class_of(uint64_t us)
{
    if (us < LATENCY_STEPS)
        return (size_t)us;
    unsigned doublings = 63 - (unsigned)__builtin_clzll(us) - 6;
    size_t class = LATENCY_STEPS * (doublings + 1) + (size_t)((us >> doublings) - LATENCY_STEPS);
    return class < LATENCY_CLASSES ? class : LATENCY_CLASSES - 1;
}

/* The longest that belongs to it. */
static uint64_t end_of(size_t class)
{
    if (class < LATENCY_STEPS)
        return class;
    unsigned doublings = (unsigned)(class / LATENCY_STEPS) - 1;
    return ((class % LATENCY_STEPS + LATENCY_STEPS + 1) << doublings) - 1;
}

void latencies_add(latencies *of, uint64_t us)
{
    of->classes[class_of(us)]++;
    of->count++;
    of->longest_us = us > of->longest_us ? us : of->longest_us;
}

uint64_t latencies_quantile_us(const latencies *of, double part)
{
    uint64_t wanted = (uint64_t)(part * (double)of->count), seen = 0;
    for (size_t class = 0; class < LATENCY_CLASSES; class ++) {
        seen += of->classes[class];
        if (seen > wanted)
            return end_of(class) < of->longest_us ? end_of(class) : of->longest_us;
    }
    return of->longest_us;
}

void latencies_say(const latencies *of, const char *op, size_t connections, size_t clients, double seconds,
                   uint64_t errors)
{
    printf("op=%s conns=%zu clients=%zu ops=%" PRIu64 " secs=%.3f rate=%.0f p50_us=%" PRIu64
           " p90_us=%" PRIu64 " p99_us=%" PRIu64 " p999_us=%" PRIu64 " max_us=%" PRIu64 " errors=%" PRIu64
           "\n",
           op, connections, clients, of->count, seconds, (double)of->count / seconds,
           latencies_quantile_us(of, 0.5), latencies_quantile_us(of, 0.9), latencies_quantile_us(of, 0.99),
           latencies_quantile_us(of, 0.999), of->longest_us, errors);
}

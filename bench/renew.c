/* bench_renew HOST:PORT CONNECTIONS LEASES SECONDS - how many renewals of leases a server of etcd's protocol
 * bears. Each connection has one LeaseKeepAlive stream, as a client of etcd has, on which its share of the
 * leases is renewed, each again as soon as its last renewal is answered. Prints one line in the form of
 * etcdload. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>

#include "base/base.h"
#include "meter.h"
#include "rpc.pb-c.h"
#include "wire/grpc.h"
#include "wire/protobuf.h"

enum { CONNECTIONS_MAX = 1000, LEASES_MAX = 1 << 20, READ_MAX = 1 << 16, TTL_S = 600 };

typedef struct lease {
    int64_t id;
    uint64_t asked_us;
} lease;

typedef struct connection {
    int socket;
    qr_grpc_client *client;
    qr_buffer out;
    size_t sent;
    lease *leases; /* this one's share */
    size_t share, granted;
    bool open; /* has its stream */
    struct bench *bench;
} connection;

typedef struct bench {
    connection connections[CONNECTIONS_MAX];
    size_t count, leases, granted;
    uint32_t *took_us; /* of each renewal */
    size_t renewed, room;
    qr_arena arena;
} bench;

static uint64_t now_us(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000 + (uint64_t)time.tv_nsec / 1000;
}

static void die(const char *what)
{
    fprintf(stderr, "bench_renew: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void renew(connection *c, lease *which)
{
    QrEtcdpb__LeaseKeepAliveRequest request = QR_ETCDPB__LEASE_KEEP_ALIVE_REQUEST__INIT;
    request.id = which->id;
    which->asked_us = now_us();
    qr_buffer body;
    qr_buffer_init(&body);
    qr_protobuf_pack(&request.base, &body);
    qr_status status = c->open ? qr_grpc_client_send(c->client, c, qr_buffer_slice(&body))
                               : qr_grpc_client_open(c->client, "/etcdserverpb.Lease/LeaseKeepAlive", NULL,
                                                     qr_buffer_slice(&body), c);
    QR_ASSERT(status == QR_OK);
    c->open = true;
    qr_buffer_free(&body);
}

static void on_renewed(bench *b, connection *c, const QrEtcdpb__LeaseKeepAliveResponse *answer)
{
    QR_ASSERT(answer->ttl > 0);
    lease *which = c->leases;
    while (which->id != answer->id)
        which++;
    if (b->renewed < b->room)
        b->took_us[b->renewed++] = (uint32_t)(now_us() - which->asked_us);
    renew(c, which);
}

/* A call's name is its lease while that is granted, and the connection afterwards. */
static void on_message(void *context, void *call, qr_slice message)
{
    connection *c = context;
    bench *b = c->bench;
    qr_arena_reset(&b->arena);
    if (call == c) {
        const ProtobufCMessage *answer =
            qr_protobuf_unpack(&qr_etcdpb__lease_keep_alive_response__descriptor, message, &b->arena);
        QR_ASSERT(answer);
        on_renewed(b, c, (const QrEtcdpb__LeaseKeepAliveResponse *)answer);
        return;
    }
    const ProtobufCMessage *answer =
        qr_protobuf_unpack(&qr_etcdpb__lease_grant_response__descriptor, message, &b->arena);
    QR_ASSERT(answer);
    ((lease *)call)->id = ((const QrEtcdpb__LeaseGrantResponse *)answer)->id;
    c->granted++;
    b->granted++;
}

static void on_done(void *context, void *call, qr_grpc_code code, const char *text)
{
    (void)context, (void)call;
    if (code != QR_GRPC_OK) {
        fprintf(stderr, "bench_renew: refused with %d: %s\n", (int)code, text ? text : "");
        exit(1);
    }
}

static void grant_all(connection *c)
{
    QrEtcdpb__LeaseGrantRequest request = QR_ETCDPB__LEASE_GRANT_REQUEST__INIT;
    request.ttl = TTL_S;
    qr_buffer body;
    qr_buffer_init(&body);
    qr_protobuf_pack(&request.base, &body);
    for (size_t i = 0; i < c->share; i++)
        QR_ASSERT(qr_grpc_client_call(c->client, "/etcdserverpb.Lease/LeaseGrant", qr_buffer_slice(&body),
                                      &c->leases[i]) == QR_OK);
    qr_buffer_free(&body);
}

static void flush(connection *c)
{
    qr_grpc_client_drain(c->client, &c->out, 1 << 20);
    ssize_t wrote = c->out.size > c->sent ? send(c->socket, c->out.data + c->sent, c->out.size - c->sent,
                                                 MSG_DONTWAIT | MSG_NOSIGNAL)
                                          : 0;
    if (wrote < 0 && errno != EAGAIN)
        die("send");
    c->sent += wrote > 0 ? (size_t)wrote : 0;
    if (c->sent == c->out.size) {
        qr_buffer_clear(&c->out);
        c->sent = 0;
    }
}

static void take(connection *c)
{
    static uint8_t bytes[READ_MAX];
    ssize_t got = recv(c->socket, bytes, sizeof bytes, MSG_DONTWAIT);
    if (got == 0 || (got < 0 && errno != EAGAIN))
        die("recv");
    if (got > 0 && qr_grpc_client_feed(c->client, qr_slice_of(bytes, (size_t)got)) != QR_OK)
        die("HTTP/2");
}

static void turn(bench *b)
{
    static struct pollfd polled[CONNECTIONS_MAX];
    for (size_t i = 0; i < b->count; i++) {
        connection *c = &b->connections[i];
        flush(c);
        polled[i] = (struct pollfd){.fd = c->socket, .events = (short)(POLLIN | (c->out.size ? POLLOUT : 0))};
    }
    if (poll(polled, b->count, 1000) < 0)
        die("poll");
    for (size_t i = 0; i < b->count; i++)
        if (polled[i].revents)
            take(&b->connections[i]);
}

static void connect_all(bench *b, const char *host, uint16_t port)
{
    static const qr_grpc_client_handlers handlers = {.on_message = on_message, .on_done = on_done};
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    if (inet_pton(AF_INET, host, &address.sin_addr) != 1)
        die("address");
    for (size_t i = 0; i < b->count; i++) {
        connection *c = &b->connections[i];
        *c = (connection){.socket = socket(AF_INET, SOCK_STREAM, 0), .bench = b};
        if (connect(c->socket, (struct sockaddr *)&address, sizeof address) != 0)
            die("connect");
        setsockopt(c->socket, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
        qr_buffer_init(&c->out);
        c->client = qr_grpc_client_new(&handlers, c, "localhost");
        c->share = b->leases / b->count + (i < b->leases % b->count);
        c->leases = qr_alloc_zero(c->share, sizeof *c->leases);
    }
}

static int by_size(const void *left, const void *right)
{
    uint32_t l = *(const uint32_t *)left, r = *(const uint32_t *)right;
    return (l > r) - (l < r);
}

static void say(bench *b, double seconds)
{
    qsort(b->took_us, b->renewed, sizeof *b->took_us, by_size);
    QR_ASSERT(b->renewed > 0);
    printf("op=renew conns=%zu clients=%zu ops=%zu secs=%.3f rate=%.0f p50_us=%u p99_us=%u p999_us=%u "
           "max_us=%u errors=0\n",
           b->count, b->leases, b->renewed, seconds, (double)b->renewed / seconds, b->took_us[b->renewed / 2],
           b->took_us[b->renewed * 99 / 100], b->took_us[b->renewed * 999 / 1000],
           b->took_us[b->renewed - 1]);
}

int main(int argc, char **argv)
{
    char *colon = argc == 5 ? strchr(argv[1], ':') : NULL;
    static bench b;
    b.count = colon ? strtoul(argv[2], NULL, 10) : 0;
    b.leases = colon ? strtoul(argv[3], NULL, 10) : 0;
    double seconds = colon ? strtod(argv[4], NULL) : 0;
    if (b.count == 0 || b.count > CONNECTIONS_MAX || b.leases < b.count || b.leases > LEASES_MAX ||
        seconds <= 0) {
        fprintf(stderr, "usage: bench_renew HOST:PORT CONNECTIONS LEASES SECONDS\n");
        return 2;
    }
    *colon = '\0';
    b.room = 1 << 24;
    b.took_us = qr_alloc(b.room * sizeof *b.took_us);
    qr_arena_init(&b.arena);
    connect_all(&b, argv[1], (uint16_t)atoi(colon + 1));
    for (size_t i = 0; i < b.count; i++)
        grant_all(&b.connections[i]);
    while (b.granted < b.leases)
        turn(&b);
    for (size_t i = 0; i < b.count; i++)
        for (size_t k = 0; k < b.connections[i].share; k++)
            renew(&b.connections[i], &b.connections[i].leases[k]);
    uint64_t began = now_us();
    while ((double)(now_us() - began) < seconds * 1e6)
        turn(&b);
    say(&b, (double)(now_us() - began) / 1e6);
    return 0;
}

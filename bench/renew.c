/* bench_renew HOST:PORT CONNECTIONS LEASES SECONDS - how many renewals of leases a server of etcd's protocol
 * bears. Each connection has one LeaseKeepAlive stream, as a client of etcd has, on which its share of the
 * leases is renewed, each again as soon as its last renewal is answered. Prints one line in the form of
 * etcdload. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "caller.h"
#include "rpc.pb-c.h"
#include "wire/protobuf.h"

enum { CONNECTIONS_MAX = 1000, LEASES_MAX = 1 << 20, TTL_S = 600 };

typedef struct lease {
    int64_t id;
    uint64_t asked_ns;
} lease;

typedef struct connection {
    caller caller;
    lease *leases; /* this one's share */
    size_t share, granted;
    bool open; /* has its stream */
    struct bench *bench;
} connection;

typedef struct bench {
    connection connections[CONNECTIONS_MAX];
    size_t count, leases, granted;
    latencies latencies; /* of each renewal */
    qr_arena arena;
} bench;

static void renew(connection *c, lease *which)
{
    QrEtcdpb__LeaseKeepAliveRequest request = QR_ETCDPB__LEASE_KEEP_ALIVE_REQUEST__INIT;
    request.id = which->id;
    which->asked_ns = bench_now_ns();
    qr_buffer body;
    qr_buffer_init(&body);
    qr_protobuf_pack(&request.base, &body);
    qr_grpc_client *client = c->caller.client;
    qr_status status = c->open ? qr_grpc_client_send(client, c, qr_buffer_slice(&body))
                               : qr_grpc_client_open(client, "/etcdserverpb.Lease/LeaseKeepAlive", NULL,
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
    latencies_add(&b->latencies, (bench_now_ns() - which->asked_ns) / 1000);
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
    for (size_t i = 0; i < c->share; i++)
        caller_call(&c->caller, "/etcdserverpb.Lease/LeaseGrant", &request.base, &c->leases[i]);
}

static void turn(bench *b)
{
    static struct pollfd polled[CONNECTIONS_MAX];
    for (size_t i = 0; i < b->count; i++) {
        connection *c = &b->connections[i];
        bool left = caller_flush(&c->caller);
        polled[i] = (struct pollfd){.fd = c->caller.socket, .events = (short)(POLLIN | (left ? POLLOUT : 0))};
    }
    if (poll(polled, b->count, 1000) < 0)
        bench_die("poll");
    for (size_t i = 0; i < b->count; i++)
        if (polled[i].revents)
            caller_take(&b->connections[i].caller);
}

static void connect_all(bench *b, const char *endpoint)
{
    static const qr_grpc_client_handlers handlers = {.on_message = on_message, .on_done = on_done};
    for (size_t i = 0; i < b->count; i++) {
        connection *c = &b->connections[i];
        *c = (connection){.bench = b, .share = b->leases / b->count + (i < b->leases % b->count)};
        caller_connect(&c->caller, endpoint, &handlers, c);
        c->leases = qr_alloc_zero(c->share, sizeof *c->leases);
    }
}

int main(int argc, char **argv)
{
    static bench b;
    b.count = argc == 5 ? strtoul(argv[2], NULL, 10) : 0;
    b.leases = argc == 5 ? strtoul(argv[3], NULL, 10) : 0;
    double seconds = argc == 5 ? strtod(argv[4], NULL) : 0;
    if (b.count == 0 || b.count > CONNECTIONS_MAX || b.leases < b.count || b.leases > LEASES_MAX ||
        seconds <= 0) {
        fprintf(stderr, "usage: bench_renew HOST:PORT CONNECTIONS LEASES SECONDS\n");
        return 2;
    }
    qr_arena_init(&b.arena);
    connect_all(&b, argv[1]);
    for (size_t i = 0; i < b.count; i++)
        grant_all(&b.connections[i]);
    while (b.granted < b.leases)
        turn(&b);
    for (size_t i = 0; i < b.count; i++)
        for (size_t k = 0; k < b.connections[i].share; k++)
            renew(&b.connections[i], &b.connections[i].leases[k]);
    uint64_t began_ns = bench_now_ns();
    while ((double)(bench_now_ns() - began_ns) < seconds * 1e9)
        turn(&b);
    latencies_say(&b.latencies, "renew", b.count, b.leases, (double)(bench_now_ns() - began_ns) / 1e9, 0);
    return 0;
}

/* bench_offer -e HOST:PORT,... [FLAG VALUE]... - load at a fixed rate for servers of etcd's protocol.
 *
 *   -o put|get|sget|lease|all  a put, a linearizable or serializable get, a grant of a lease, a linearizable
 *                          read of all keys (put)
 *   -R RATE                requests a second, due whatever the server does (0: a closed loop, see -n)
 *   -t COUNT               requests in all (10000)
 *   -c CONNECTIONS         over which they go (30); they are spread over the endpoints
 *   -n CLIENTS             requests that may be under way at once (1000); in a closed loop they always are
 *   -k KEYS -K BYTES -V BYTES  how many keys, and the size of a key and of a value (100000, 8, 256)
 *   -r                     keys at random, not in order
 *   -T SECONDS             of a lease (60)
 *   -I NUMBER              the first lease's, counted on from there (0: the server chooses)
 *
 * Open loop: time is cut into ticks of half a millisecond (of one request at low rates), and what falls into
 * a tick is due when it begins. A latency counts from then, however late the request could be sent: because
 * the server took no bytes, because -n requests were under way, or because this program was late. So a stall
 * of the server is in the latencies of all requests that were due while it lasted, and not of those alone
 * that it found under way ("coordinated omission").
 *
 * Between ticks the program sleeps, so that it takes little of a machine that it shares with the servers. The
 * requests of a tick go to one connection of each endpoint, in one write each; the next tick takes the next.
 * Prints one line in the form of etcdload; the exit status is 3 if a request was refused. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "caller.h"
#include "rpc.pb-c.h"

enum {
    CONNECTIONS_MAX = 1000,
    ENDPOINTS_MAX = 16,
    CLIENTS_MAX = 1 << 20,
    KEY_MAX = 256,
    VALUE_MAX = 1 << 20,
    TICK_NS = 500000,
    EVENTS_MAX = 256,
    PATIENCE_MS = 60000, /* without any answer */
};

typedef enum op { OP_PUT, OP_GET, OP_SGET, OP_LEASE, OP_ALL, OPS } op;
static const char *const op_names[OPS] = {"put", "get", "sget", "lease", "all"};

typedef struct request {
    uint64_t due_ns;
    struct request *next; /* of the free ones */
    size_t at;            /* the connection, in a closed loop */
} request;

typedef struct bench {
    /* what is asked for */
    op op;
    double rate;
    uint64_t count, keys;
    size_t connection_count, client_count, endpoint_count, key_size, value_size;
    int64_t ttl_s, lease;
    bool random;
    char *endpoints[ENDPOINTS_MAX];
    /* the state */
    caller connections[CONNECTIONS_MAX];
    bool blocked[CONNECTIONS_MAX]; /* waits until the socket takes more */
    int poll;
    double tick_ns;
    uint64_t start_ns, issued, done, errors;
    request *requests, *unused;
    uint64_t turn; /* rounds of issuing */
    qr_prng prng;
    uint8_t *value;
    latencies latencies;
} bench;

static void on_message(void *context, void *call, qr_slice message)
{
    (void)context, (void)call, (void)message;
}

static void issue(bench *b, size_t at, uint64_t due_ns);

static void on_done(void *context, void *call, qr_grpc_code code, const char *text)
{
    bench *b = context;
    request *done = call;
    uint64_t now_ns = bench_now_ns();
    if (code == QR_GRPC_OK)
        latencies_add(&b->latencies, (now_ns - done->due_ns) / 1000);
    else if (b->errors++ == 0)
        fprintf(stderr, "bench_offer: refused with %d: %s\n", (int)code, text ? text : "");
    b->done++;
    size_t at = done->at;
    done->next = b->unused;
    b->unused = done;
    if (b->rate <= 0 && b->issued < b->count)
        issue(b, at, now_ns);
}

/* ------------------------------------------------------------ requests ---- */

static ProtobufCBinaryData next_key(bench *b)
{
    static uint8_t key[KEY_MAX];
    uint64_t number = b->random ? qr_prng_below(&b->prng, b->keys) : b->issued % b->keys;
    for (size_t i = b->key_size; i-- > 0; number /= 10)
        key[i] = (uint8_t)('0' + number % 10);
    return (ProtobufCBinaryData){.data = key, .len = b->key_size};
}

static void issue(bench *b, size_t at, uint64_t due_ns)
{
    caller *c = &b->connections[at];
    request *r = b->unused;
    b->unused = r->next;
    *r = (request){.due_ns = due_ns, .at = at};
    switch (b->op) {
    case OP_PUT: {
        QrEtcdpb__PutRequest put = QR_ETCDPB__PUT_REQUEST__INIT;
        put.key = next_key(b);
        put.value = (ProtobufCBinaryData){.data = b->value, .len = b->value_size};
        caller_call(c, "/etcdserverpb.KV/Put", &put.base, r);
        break;
    }
    case OP_LEASE: {
        QrEtcdpb__LeaseGrantRequest grant = QR_ETCDPB__LEASE_GRANT_REQUEST__INIT;
        grant.ttl = b->ttl_s;
        grant.id = b->lease ? b->lease + (int64_t)b->issued : 0;
        caller_call(c, "/etcdserverpb.Lease/LeaseGrant", &grant.base, r);
        break;
    }
    case OP_ALL: {
        static uint8_t first[1];
        QrEtcdpb__RangeRequest range = QR_ETCDPB__RANGE_REQUEST__INIT;
        range.key = range.range_end = (ProtobufCBinaryData){.data = first, .len = sizeof first};
        caller_call(c, "/etcdserverpb.KV/Range", &range.base, r);
        break;
    }
    default: {
        QrEtcdpb__RangeRequest range = QR_ETCDPB__RANGE_REQUEST__INIT;
        range.key = next_key(b);
        range.serializable = b->op == OP_SGET;
        caller_call(c, "/etcdserverpb.KV/Range", &range.base, r);
    }
    }
    b->issued++;
}

static uint64_t due_ns(const bench *b, uint64_t number)
{
    double tick = floor((double)number * 1e9 / b->rate / b->tick_ns);
    return b->start_ns + (uint64_t)(tick * b->tick_ns);
}

static void flush(bench *b, size_t at)
{
    bool left = caller_flush(&b->connections[at]);
    if (left == b->blocked[at])
        return;
    b->blocked[at] = left;
    struct epoll_event wanted = {.events = EPOLLIN | (left ? EPOLLOUT : 0), .data.u64 = at};
    epoll_ctl(b->poll, EPOLL_CTL_MOD, b->connections[at].socket, &wanted);
}

/* Connection i speaks to endpoint i % endpoint_count: the neighbours from `first` on reach all of them. */
static void issue_due(bench *b)
{
    uint64_t now_ns = bench_now_ns(), due = 0;
    while (b->issued + due < b->count && due_ns(b, b->issued + due) <= now_ns)
        due++;
    size_t width = b->endpoint_count < b->connection_count ? b->endpoint_count : b->connection_count;
    size_t first = b->turn % (b->connection_count / width) * width;
    uint64_t from = b->issued;
    for (uint64_t i = 0; i < due && b->unused != NULL; i++)
        issue(b, first + (b->issued + b->turn) % width, due_ns(b, b->issued));
    b->turn += b->issued > from;
    for (size_t i = 0; i < width && b->issued > from; i++)
        flush(b, first + i);
}

/* ------------------------------------------------------------ the loop ---- */

static int wait(bench *b, struct epoll_event *events)
{
    struct timespec timeout = {.tv_sec = PATIENCE_MS / 1000};
    bool limited = b->rate > 0 && b->issued < b->count && b->unused != NULL;
    if (limited) {
        uint64_t now_ns = bench_now_ns(), next_ns = due_ns(b, b->issued);
        uint64_t left_ns = next_ns > now_ns ? next_ns - now_ns : 0;
        timeout = (struct timespec){.tv_sec = (time_t)(left_ns / 1000000000),
                                    .tv_nsec = (long)(left_ns % 1000000000)};
    }
    int count = epoll_pwait2(b->poll, events, EVENTS_MAX, &timeout, NULL);
    if (count < 0 && errno != EINTR)
        bench_die("epoll");
    errno = ETIMEDOUT;
    if (count == 0 && !limited)
        bench_die("no answer for a minute");
    return count;
}

static void run(bench *b)
{
    struct epoll_event events[EVENTS_MAX];
    for (size_t i = 0; b->rate <= 0 && i < b->client_count && b->issued < b->count; i++)
        issue(b, i % b->connection_count, b->start_ns);
    for (size_t i = 0; i < b->connection_count; i++)
        flush(b, i);
    while (b->done < b->count) {
        int count = wait(b, events);
        for (int i = 0; i < count; i++) {
            size_t at = (size_t)events[i].data.u64;
            caller_take(&b->connections[at]);
            flush(b, at);
        }
        if (b->rate > 0)
            issue_due(b);
    }
}

static void connect_all(bench *b)
{
    static const qr_grpc_client_handlers handlers = {.on_message = on_message, .on_done = on_done};
    b->poll = epoll_create1(0);
    for (size_t i = 0; i < b->connection_count; i++) {
        caller_connect(&b->connections[i], b->endpoints[i % b->endpoint_count], &handlers, b);
        struct epoll_event wanted = {.events = EPOLLIN, .data.u64 = i};
        epoll_ctl(b->poll, EPOLL_CTL_ADD, b->connections[i].socket, &wanted);
    }
}

/* ------------------------------------------------------------ flags ---- */

static bool read_flag(bench *b, int flag, char *value)
{
    double number = value ? strtod(value, NULL) : 0;
    switch (flag) {
    case 'e':
        for (char *one = strtok(value, ","); one && b->endpoint_count < ENDPOINTS_MAX;
             one = strtok(NULL, ","))
            b->endpoints[b->endpoint_count++] = one;
        return true;
    case 'o':
        for (b->op = 0; b->op < OPS && strcmp(value, op_names[b->op]) != 0;)
            b->op++;
        return b->op < OPS;
    case 'R': b->rate = number; return number >= 0;
    case 't': b->count = (uint64_t)number; return number >= 1;
    case 'c': b->connection_count = (size_t)number; return number >= 1 && number <= CONNECTIONS_MAX;
    case 'n': b->client_count = (size_t)number; return number >= 1 && number <= CLIENTS_MAX;
    case 'k': b->keys = (uint64_t)number; return number >= 1;
    case 'K': b->key_size = (size_t)number; return number >= 1 && number <= KEY_MAX;
    case 'V': b->value_size = (size_t)number; return number >= 0 && number <= VALUE_MAX;
    case 'T': b->ttl_s = (int64_t)number; return number >= 1;
    case 'I': b->lease = (int64_t)number; return number >= 0;
    case 'r': b->random = true; return true;
    default: return false;
    }
}

int main(int argc, char **argv)
{
    static bench b = {.count = 10000,
                      .keys = 100000,
                      .connection_count = 30,
                      .client_count = 1000,
                      .key_size = 8,
                      .value_size = 256,
                      .ttl_s = 60};
    bool sound = true;
    for (int flag; sound && (flag = getopt(argc, argv, "e:o:R:t:c:n:k:K:V:T:I:r")) != -1;)
        sound = read_flag(&b, flag, optarg);
    if (!sound || b.endpoint_count == 0 || optind < argc) {
        fprintf(
            stderr,
            "usage: bench_offer -e HOST:PORT,... [-o put|get|sget|lease] [-R RATE] [-t COUNT] "
            "[-c CONNECTIONS] [-n CLIENTS] [-k KEYS] [-K BYTES] [-V BYTES] [-T SECONDS] [-I NUMBER] [-r]\n");
        return 2;
    }
    b.tick_ns = b.rate * TICK_NS < 1e9 ? 1e9 / b.rate : TICK_NS;
    b.value = qr_alloc(VALUE_MAX);
    memset(b.value, 'v', VALUE_MAX);
    b.requests = qr_alloc_zero(b.client_count, sizeof *b.requests);
    for (size_t i = 0; i < b.client_count; i++) {
        b.requests[i].next = b.unused;
        b.unused = &b.requests[i];
    }
    qr_prng_seed(&b.prng, (uint64_t)getpid());
    connect_all(&b);
    b.start_ns = bench_now_ns();
    run(&b);
    latencies_say(&b.latencies, op_names[b.op], b.connection_count, b.client_count,
                  (double)(bench_now_ns() - b.start_ns) / 1e9, b.errors);
    return b.errors ? 3 : 0;
}

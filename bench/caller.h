/* What the generators of load share: connections of gRPC that never block, a clock, and latencies with the
 * one line that tells them, in the form of etcdload. A failure ends the program with a sentence. */
#ifndef BENCH_CALLER_H
#define BENCH_CALLER_H

#include "base/base.h"
#include "wire/grpc.h"

typedef struct caller {
    int socket;
    qr_grpc_client *client;
    qr_buffer out; /* bytes that the socket has not taken yet, from .sent on */
    size_t sent;
} caller;

/* endpoint: an address and a port. */
void caller_connect(caller *c, const char *endpoint, const qr_grpc_client_handlers *handlers, void *context);
/* Writes what was begun, all of it in one piece if the socket takes that; true if something is left. */
bool caller_flush(caller *c);
void caller_take(caller *c); /* feeds what has arrived */

/* Starts the call `name` with one message of protobuf. */
struct ProtobufCMessage;
void caller_call(caller *c, const char *path, const struct ProtobufCMessage *message, void *name);

uint64_t bench_now_ns(void);
_Noreturn void bench_die(const char *what); /* with errno */

/* Latencies, counted in classes no wider than a sixty-fourth of what they count. */
enum { LATENCY_STEPS = 64, LATENCY_CLASSES = 32 * LATENCY_STEPS };

typedef struct latencies {
    uint64_t classes[LATENCY_CLASSES];
    uint64_t count, longest_us;
} latencies;

void latencies_add(latencies *of, uint64_t us);
uint64_t latencies_quantile_us(const latencies *of, double part);
/* "op=... rate=... p50_us=... max_us=... errors=..." */
void latencies_say(const latencies *of, const char *op, size_t connections, size_t clients, double seconds,
                   uint64_t errors);

#endif

/* A gRPC service for the tests of the wire room, by paths:
 *   /test/Echo     answers each message with itself, and OK after the client's last
 *   /test/Later    keeps the message; the test answers it from outside feed()
 *   /test/Count    the message is a number of bytes n: n messages "0", "1", ... and OK
 *   /test/Fail     code 9 and a text that needs escapes
 *   /test/Half     one message, then an error
 * and UNIMPLEMENTED for everything else. It counts what it was told, so a test can balance the books. */
#ifndef QR_TEST_WIRE_ECHO_H
#define QR_TEST_WIRE_ECHO_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "wire/grpc.h"

enum { ECHO_LATER_MAX = 4096 };

typedef struct echo {
    qr_grpc_server *server;
    qr_pool pool;
    qr_grpc_call *later[ECHO_LATER_MAX];
    unsigned later_count;
    unsigned calls, messages, half_closed, closed; /* what happened */
    size_t message_size;                           /* of the latest */
    uint64_t timeout_ms;                           /* of the latest call */
    char path[128];                                /* of the latest call */
    char token[64];                                /* metadata of the latest call */
    qr_grpc_call *latest;
} echo;

void echo_open(echo *service, const qr_grpc_limits *limits);
void echo_close(echo *service); /* frees the server and checks that every call was closed */
void echo_answer_later(echo *service);

typedef struct outcome {
    unsigned messages;
    unsigned done;
    size_t size; /* bytes of all messages */
    uint64_t hash;
    qr_grpc_code code;
    char text[4096];
} outcome;

/* A client whose calls are named by an outcome each. */
qr_grpc_client *outcome_client(void);

/* Carries bytes both ways until there are none; step: bytes a feed, at most. */
void carry(echo *service, qr_grpc_client *client, size_t step);

#endif

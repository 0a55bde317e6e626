/* rawcall: makes unary calls with messages given in hexadecimal; for tests that compare two servers byte by
 * byte.
 *
 *   rawcall HOST:PORT
 *
 * Reads lines "/package.Service/Method HEX" (HEX may be "-" for the empty message), makes one call after the
 * other over one connection, and answers each with a line "CODE HEX TEXT": the status, the message ("-" if
 * there was none or it was empty) and the status text. Ends with its input; a lost connection ends it with
 * status 1. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "os/dial.h"
#include "wire/grpc.h"

enum { LINE_MAX_BYTES = 8 << 20, CONNECT_MS = 2000, PATIENCE_MS = 20000 };

typedef struct raw_answer {
    bool done;
    qr_grpc_code code;
    char text[512];
    qr_buffer message;
} raw_answer;

static void on_message(void *context, void *call, qr_slice message)
{
    (void)context;
    raw_answer *answer = call;
    qr_buffer_add_slice(&answer->message, message);
}

static void on_done(void *context, void *call, qr_grpc_code code, const char *text)
{
    (void)context;
    raw_answer *answer = call;
    answer->done = true;
    answer->code = code;
    snprintf(answer->text, sizeof answer->text, "%s", text ? text : "");
}

static const qr_grpc_client_handlers handlers = {.on_message = on_message, .on_done = on_done};

static int digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool decode_hex(const char *text, qr_buffer *out)
{
    qr_buffer_clear(out);
    if (strcmp(text, "-") == 0)
        return true;
    for (; text[0] != '\0'; text += 2) {
        if (digit(text[0]) < 0 || digit(text[1]) < 0)
            return false;
        qr_buffer_u8(out, (uint8_t)(digit(text[0]) * 16 + digit(text[1])));
    }
    return true;
}

/* Runs the connection until the call is over. */
static bool finish(qr_dial *dial, qr_grpc_client *client, raw_answer *answer, qr_buffer *bytes)
{
    while (!answer->done) {
        qr_buffer_clear(bytes);
        qr_grpc_client_drain(client, bytes, 1 << 20);
        if (bytes->size > 0) {
            if (qr_dial_send(dial, qr_buffer_slice(bytes)) != QR_OK)
                return false;
            continue;
        }
        if (qr_dial_receive(dial, bytes, PATIENCE_MS) != QR_OK ||
            qr_grpc_client_feed(client, qr_buffer_slice(bytes)) != QR_OK)
            return false;
    }
    return true;
}

static void print_answer(const raw_answer *answer)
{
    printf("%d ", (int)answer->code);
    for (size_t i = 0; i < answer->message.size; i++)
        printf("%02x", answer->message.data[i]);
    printf("%s %s\n", answer->message.size == 0 ? "-" : "", answer->text);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: rawcall HOST:PORT\n");
        return 2;
    }
    qr_arena arena;
    qr_arena_init(&arena);
    const char *sentence = "";
    qr_dial *dial = qr_dial_open(argv[1], CONNECT_MS, &arena, &sentence);
    if (dial == NULL) {
        fprintf(stderr, "rawcall: %s\n", sentence);
        return 1;
    }
    qr_grpc_client *client = qr_grpc_client_new(&handlers, NULL, "rawcall");
    qr_buffer request, bytes;
    raw_answer answer = {0};
    qr_buffer_init(&request);
    qr_buffer_init(&bytes);
    qr_buffer_init(&answer.message);
    char *line = qr_alloc(LINE_MAX_BYTES);
    int status = 0;
    while (status == 0 && fgets(line, LINE_MAX_BYTES, stdin)) {
        char *path = strtok(line, " \n"), *hex = strtok(NULL, " \n");
        if (path == NULL || hex == NULL || !decode_hex(hex, &request)) {
            fprintf(stderr, "rawcall: a line is not PATH HEX\n");
            status = 2;
            break;
        }
        answer.done = false;
        qr_buffer_clear(&answer.message);
        if (qr_grpc_client_call(client, path, qr_buffer_slice(&request), &answer) != QR_OK ||
            !finish(dial, client, &answer, &bytes)) {
            fprintf(stderr, "rawcall: the connection is lost\n");
            status = 1;
        } else {
            print_answer(&answer);
        }
    }
    qr_grpc_client_free(client);
    qr_dial_close(dial);
    qr_buffer_free(&request);
    qr_buffer_free(&bytes);
    qr_buffer_free(&answer.message);
    qr_free(line);
    qr_arena_free(&arena);
    return status;
}

/* crashload: a client that keeps a window of puts under way over one connection, whatever happens to the
 * servers.
 *
 *   crashload NAME RATE WINDOW LOG HOST:PORT...
 *
 * Write number n is the key "crash/NAME/n" with a value that is derived from it. A write that failed or was
 * not answered in time is tried again at the next endpoint, with the same key and value, until it is
 * acknowledged. Each acknowledgement becomes one line of LOG: "n attempts revision milliseconds", the time by
 * the monotonic clock; what stands there, the cluster has promised to keep. Ends at SIGTERM or SIGINT. */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/base.h"
#include "os/dial.h"
#include "wire/grpc.h"

enum { WINDOW_MAX = 1024, PATIENCE_MS = 4000, CONNECT_MS = 500, PAUSE_MS = 10, FILLER = 64 };

typedef struct write_slot {
    uint64_t number, sent_ms, revision;
    uint32_t attempts;
    bool used, under_way;
} write_slot;

typedef struct load {
    const char *name;
    uint64_t rate, begun_ms, next_number;
    size_t window, endpoint, endpoint_count;
    char **endpoints;
    FILE *log;
    qr_dial *dial;
    qr_grpc_client *client;
    write_slot slots[WINDOW_MAX];
    bool lost; /* the connection is to be given up */
} load;

static volatile sig_atomic_t stopping;

static void on_signal(int signal)
{
    (void)signal;
    stopping = 1;
}

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* PutRequest: 1 key, 2 value. */
static void encode_put(const load *l, uint64_t number, qr_buffer *out)
{
    char key[128], value[256];
    int key_size = snprintf(key, sizeof key, "crash/%s/%010" PRIu64, l->name, number);
    int value_size =
        snprintf(value, sizeof value, "%s wrote %010" PRIu64 " %0*d", l->name, number, FILLER, 0);
    QR_ASSERT(key_size > 0 && (size_t)key_size < sizeof key && value_size > 0 &&
              (size_t)value_size < sizeof value);
    qr_buffer_clear(out);
    qr_buffer_u8(out, 1 << 3 | 2);
    qr_buffer_bytes(out, qr_slice_of(key, (size_t)key_size));
    qr_buffer_u8(out, 2 << 3 | 2);
    qr_buffer_bytes(out, qr_slice_of(value, (size_t)value_size));
}

/* PutResponse: 1 header { 3 revision }. 0 when there is none. */
static uint64_t revision_of(qr_slice message)
{
    qr_reader reader = qr_reader_of(message);
    if (qr_reader_u8(&reader) != (1 << 3 | 2))
        return 0;
    qr_reader header = qr_reader_of(qr_reader_bytes(&reader));
    while (!header.failed && qr_reader_left(&header) > 0) {
        uint64_t tag = qr_reader_varint(&header);
        if ((tag & 7) != 0)
            return 0;
        uint64_t value = qr_reader_varint(&header);
        if (tag >> 3 == 3 && !header.failed)
            return value;
    }
    return 0;
}

static void on_message(void *context, void *call, qr_slice message)
{
    (void)context;
    write_slot *slot = call;
    slot->revision = revision_of(message);
}

static void on_done(void *context, void *call, qr_grpc_code code, const char *text)
{
    load *l = context;
    write_slot *slot = call;
    (void)text;
    slot->under_way = false;
    if (code == QR_GRPC_OK && slot->revision > 0) {
        fprintf(l->log, "%" PRIu64 " %u %" PRIu64 " %" PRIu64 "\n", slot->number, slot->attempts,
                slot->revision, now_ms());
        slot->used = false;
    } else {
        l->lost = true; /* this member cannot serve now: the next one may */
    }
}

static const qr_grpc_client_handlers handlers = {.on_message = on_message, .on_done = on_done};

static void hang_up(load *l)
{
    if (l->client)
        qr_grpc_client_free(l->client);
    if (l->dial)
        qr_dial_close(l->dial);
    l->client = NULL;
    l->dial = NULL;
    l->lost = false;
    l->endpoint = (l->endpoint + 1) % l->endpoint_count;
    for (size_t i = 0; i < l->window; i++)
        l->slots[i].under_way = false;
}

static bool connect_next(load *l, qr_arena *arena)
{
    const char *sentence = NULL;
    qr_arena_reset(arena);
    l->dial = qr_dial_open(l->endpoints[l->endpoint], CONNECT_MS, arena, &sentence);
    if (l->dial == NULL) {
        l->endpoint = (l->endpoint + 1) % l->endpoint_count;
        nanosleep(&(struct timespec){.tv_nsec = PAUSE_MS * 1000000}, NULL);
        return false;
    }
    l->client = qr_grpc_client_new(&handlers, l, "crashload");
    return true;
}

static void send_puts(load *l, qr_buffer *request)
{
    uint64_t now = now_ms();
    for (size_t i = 0; i < l->window && !l->lost; i++) {
        write_slot *slot = &l->slots[i];
        if (slot->under_way)
            continue;
        if (!slot->used) {
            if (stopping || l->next_number * 1000 >= (now - l->begun_ms) * l->rate)
                continue;
            *slot = (write_slot){.number = l->next_number++, .used = true};
        }
        slot->attempts++;
        slot->sent_ms = now;
        slot->revision = 0;
        slot->under_way = true;
        encode_put(l, slot->number, request);
        if (qr_grpc_client_call(l->client, "/etcdserverpb.KV/Put", qr_buffer_slice(request), slot) != QR_OK) {
            slot->under_way = false;
            l->lost = true;
        }
    }
    for (size_t i = 0; i < l->window; i++)
        if (l->slots[i].under_way && now - l->slots[i].sent_ms > PATIENCE_MS)
            l->lost = true;
}

static void exchange(load *l, qr_buffer *bytes)
{
    qr_buffer_clear(bytes);
    qr_grpc_client_drain(l->client, bytes, 1 << 20);
    if (bytes->size > 0 && qr_dial_send(l->dial, qr_buffer_slice(bytes)) != QR_OK) {
        l->lost = true;
        return;
    }
    qr_buffer_clear(bytes);
    qr_status status = qr_dial_receive(l->dial, bytes, 5);
    if (status == QR_E_TIMEOUT)
        return;
    if (status != QR_OK || qr_grpc_client_feed(l->client, qr_buffer_slice(bytes)) != QR_OK)
        l->lost = true;
}

static bool anything_under_way(const load *l)
{
    for (size_t i = 0; i < l->window; i++)
        if (l->slots[i].under_way)
            return true;
    return false;
}

int main(int argc, char **argv)
{
    if (argc < 6) {
        fprintf(stderr, "usage: crashload NAME RATE WINDOW LOG HOST:PORT...\n");
        return 2;
    }
    load *l = qr_alloc_zero(1, sizeof *l);
    l->name = argv[1];
    l->rate = strtoull(argv[2], NULL, 10);
    l->window = strtoull(argv[3], NULL, 10);
    l->log = fopen(argv[4], "a");
    l->endpoints = argv + 5;
    l->endpoint_count = (size_t)(argc - 5);
    l->begun_ms = now_ms();
    if (l->log == NULL || l->rate == 0 || l->window == 0 || l->window > WINDOW_MAX) {
        fprintf(stderr, "crashload: cannot write %s (%s), or RATE or WINDOW is out of bounds\n", argv[4],
                strerror(errno));
        return 2;
    }
    signal(SIGTERM, on_signal);
    signal(SIGINT, on_signal);
    signal(SIGPIPE, SIG_IGN);

    qr_arena arena;
    qr_buffer request, bytes;
    qr_arena_init(&arena);
    qr_buffer_init(&request);
    qr_buffer_init(&bytes);
    while (!stopping || anything_under_way(l)) {
        if (l->client == NULL && !connect_next(l, &arena))
            continue;
        send_puts(l, &request);
        exchange(l, &bytes);
        fflush(l->log);
        if (l->lost) {
            hang_up(l);
            if (stopping)
                break;
        }
    }
    hang_up(l);
    fclose(l->log);
    qr_buffer_free(&request);
    qr_buffer_free(&bytes);
    qr_arena_free(&arena);
    qr_free(l);
    return 0;
}

/* A call that goes on: one connection, answers as they come, and whatever else wakes the listener meanwhile.
 *
 * A member that is gone without a word is told from one that has nothing to say by pings: after a while of
 * silence it is asked whether it lives, and it has that long again to say anything at all. */
#include <time.h>

#include "bin/client.h"
#include "os/dial.h"
#include "wire/grpc.h"
#include "wire/protobuf.h"

enum { SILENCE_MS = 6000 }; /* etcd does not like to be pinged more often than each 5 s */

typedef struct conversation {
    qr_client *client;
    qr_client_listener *listener;
    qr_grpc_client *grpc;
    qr_dial *dial;
    qr_buffer buffer;
    bool enough, done;
    uint64_t heard_ms;
    bool pinged; /* since it was last heard */
    const char *text;
} conversation;

uint64_t qr_client_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void on_message(void *context, void *call, qr_slice message)
{
    conversation *self = context;
    if (!self->enough)
        self->enough = !self->listener->take(self->listener->context, message);
}

static void on_done(void *context, void *call, qr_grpc_code code, const char *text)
{
    conversation *self = context;
    self->done = true;
    self->text = *text ? qr_arena_format(&self->client->arena, "%s", text)
                       : qr_arena_format(&self->client->arena, "gRPC code %d", code);
}

static const qr_grpc_client_handlers handlers = {on_message, on_done};

static qr_status send_pending(conversation *self)
{
    qr_buffer_clear(&self->buffer);
    for (size_t before = SIZE_MAX; before != self->buffer.size;) {
        before = self->buffer.size;
        qr_grpc_client_drain(self->grpc, &self->buffer, 64 * 1024);
    }
    return self->buffer.size ? qr_dial_send(self->dial, qr_buffer_slice(&self->buffer)) : QR_OK;
}

static qr_status take_arrived(conversation *self)
{
    qr_buffer_clear(&self->buffer);
    qr_status status = qr_dial_receive(self->dial, &self->buffer, 0);
    if (status == QR_E_TIMEOUT)
        return QR_OK;
    if (status == QR_OK) {
        self->heard_ms = qr_client_now_ms();
        self->pinged = false;
        status = qr_grpc_client_feed(self->grpc, qr_buffer_slice(&self->buffer));
    }
    return status;
}

/* NULL, or why the member is given up. */
static const char *mind_silence(conversation *self, uint64_t now_ms)
{
    if (now_ms < self->heard_ms + SILENCE_MS)
        return NULL;
    if (self->pinged)
        return "it does not answer any more";
    qr_grpc_client_ping(self->grpc);
    self->pinged = true;
    self->heard_ms = now_ms;
    return NULL;
}

static const char *converse(conversation *self)
{
    qr_client_listener *listener = self->listener;
    while (!self->enough && !self->done) {
        if (send_pending(self) != QR_OK)
            return "the connection was closed";
        uint64_t now_ms = qr_client_now_ms(), silence_ms = self->heard_ms + SILENCE_MS;
        uint64_t wake_ms = listener->wake_ms < silence_ms ? listener->wake_ms : silence_ms;
        qr_status status =
            qr_dial_wait(self->dial, listener->signals, wake_ms > now_ms ? wake_ms - now_ms : 0);
        if (status == QR_OK)
            status = take_arrived(self);
        if (status != QR_OK && status != QR_E_TIMEOUT && !self->done)
            return "the connection was closed";
        if (!self->enough && listener->woken)
            self->enough = !listener->woken(listener->context);
        const char *sentence = mind_silence(self, qr_client_now_ms());
        if (sentence)
            return sentence;
    }
    return self->enough ? NULL : self->text;
}

void qr_client_say(const qr_client_listener *listener, const ProtobufCMessage *request)
{
    conversation *self = listener->call;
    qr_buffer message;
    qr_buffer_init(&message);
    qr_protobuf_pack(request, &message);
    (void)qr_grpc_client_send(self->grpc, self, qr_buffer_slice(&message));
    qr_buffer_free(&message);
}

const char *qr_client_listen(qr_client *client, const char *endpoint, const char *path,
                             const ProtobufCMessage *request, qr_client_listener *listener)
{
    /* A member that has lost its leader is to say so and not to be silent. */
    static const char *const metadata[2] = {"hasleader", "true"};
    const char *sentence = NULL;
    conversation self = {.client = client, .listener = listener, .heard_ms = qr_client_now_ms()};
    self.dial = qr_dial_open(endpoint, client->timeout_ms, &client->arena, &sentence);
    if (!self.dial)
        return sentence;
    listener->call = &self;
    self.grpc = qr_grpc_client_new(&handlers, &self, qr_client_authority(endpoint));
    qr_buffer_init(&self.buffer);
    qr_protobuf_pack(request, &self.buffer);
    sentence = qr_grpc_client_open(self.grpc, path, metadata, qr_buffer_slice(&self.buffer), &self) == QR_OK
                   ? converse(&self)
                   : "the request cannot be sent";
    self.enough = true; /* nothing is told any more */
    qr_grpc_client_free(self.grpc);
    qr_buffer_free(&self.buffer);
    qr_dial_close(self.dial);
    return sentence;
}

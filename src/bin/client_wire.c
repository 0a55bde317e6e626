#include "bin/client.h"
#include "os/dial.h"
#include "wire/grpc.h"
#include "wire/protobuf.h"

/* One call on one connection: what came back. */
typedef struct trial {
    qr_client *client;
    const ProtobufCMessageDescriptor *descriptor;
    const void *answer;
    void (*take)(void *context, qr_slice message); /* of a stream: each answer; else NULL */
    void *context;
    bool sent, done;
    qr_grpc_code code;
    const char *text; /* of the server, or of us */
} trial;

static void on_message(void *context, void *call, qr_slice message)
{
    trial *attempt = context;
    if (attempt->take)
        attempt->take(attempt->context, message);
    else
        attempt->answer = qr_protobuf_unpack(attempt->descriptor, message, &attempt->client->arena);
}

static void on_done(void *context, void *call, qr_grpc_code code, const char *text)
{
    trial *attempt = context;
    attempt->done = true;
    attempt->code = code;
    attempt->text = qr_arena_format(&attempt->client->arena, "%s", text ? text : "");
}

static const qr_grpc_client_handlers handlers = {on_message, on_done};

/* Sends what there is to send, then waits for bytes. */
static const char *exchange(trial *attempt, qr_grpc_client *grpc, qr_dial *dial, qr_buffer *buffer)
{
    qr_arena *arena = &attempt->client->arena;
    while (!attempt->done) {
        qr_buffer_clear(buffer);
        for (size_t before = 0;; before = buffer->size) {
            qr_grpc_client_drain(grpc, buffer, 64 * 1024);
            if (buffer->size == before)
                break;
        }
        attempt->sent = attempt->sent || buffer->size;
        qr_status status = buffer->size ? qr_dial_send(dial, qr_buffer_slice(buffer)) : QR_OK;
        if (status == QR_OK) {
            qr_buffer_clear(buffer);
            status = qr_dial_receive(dial, buffer, attempt->client->timeout_ms);
        }
        if (status == QR_OK)
            status = qr_grpc_client_feed(grpc, qr_buffer_slice(buffer));
        if (status == QR_E_TIMEOUT)
            return qr_arena_format(arena, "no answer within %s", attempt->client->options.timeout);
        if (status != QR_OK && !attempt->done)
            return "the connection was closed before an answer came";
    }
    return NULL;
}

const char *qr_client_authority(const char *url)
{
    static const char scheme[] = "http://";
    return strncmp(url, scheme, sizeof scheme - 1) == 0 ? url + sizeof scheme - 1 : url;
}

/* NULL: answered, well or not. */
static const char *try_endpoint(trial *attempt, const char *endpoint, const char *path, qr_slice request)
{
    qr_client *client = attempt->client;
    const char *sentence = "cannot connect";
    qr_dial *dial = qr_dial_open(endpoint, client->timeout_ms, &client->arena, &sentence);
    if (!dial)
        return sentence;
    qr_grpc_client *grpc = qr_grpc_client_new(&handlers, attempt, qr_client_authority(endpoint));
    qr_buffer buffer;
    qr_buffer_init(&buffer);
    sentence = qr_grpc_client_call(grpc, path, request, attempt) == QR_OK
                   ? exchange(attempt, grpc, dial, &buffer)
                   : "the request cannot be sent";
    qr_buffer_free(&buffer);
    qr_grpc_client_free(grpc);
    qr_dial_close(dial);
    if (!sentence && attempt->code == QR_GRPC_OK && !attempt->answer && !attempt->take)
        return "the answer cannot be read";
    return sentence;
}

const void *qr_client_call(qr_client *client, const char *endpoint, const char *path, bool changes,
                           const ProtobufCMessage *request, const ProtobufCMessageDescriptor *answer,
                           const char **sentence)
{
    qr_buffer bytes;
    qr_buffer_init(&bytes);
    qr_protobuf_pack(request, &bytes);
    size_t count = endpoint ? 1 : client->endpoint_count;
    trial attempt;
    *sentence = NULL;
    for (size_t i = 0; i < count; i++) {
        size_t at = (client->answering + i) % client->endpoint_count;
        const char *one = endpoint ? endpoint : client->endpoints[at];
        attempt = (struct trial){.client = client, .descriptor = answer};
        const char *trouble = try_endpoint(&attempt, one, path, qr_buffer_slice(&bytes));
        if (!trouble && !endpoint)
            client->answering = at;
        if (!trouble && attempt.code == QR_GRPC_OK)
            break;
        attempt.answer = NULL;
        if (!trouble) {
            *sentence = attempt.text[0] ? attempt.text
                                        : qr_arena_format(&client->arena, "gRPC code %d", attempt.code);
            if (changes || attempt.code != QR_GRPC_UNAVAILABLE)
                break; /* a verdict; or a write that might go through twice */
            continue;
        }
        *sentence = qr_arena_format(&client->arena, "%s: %s%s", one, trouble,
                                    changes && attempt.sent ? "; the change may have been made" : "");
        if (changes && attempt.sent)
            break;
    }
    qr_buffer_free(&bytes);
    return attempt.answer;
}

const char *qr_client_stream(qr_client *client, const char *endpoint, const char *path,
                             const ProtobufCMessage *request, void (*take)(void *context, qr_slice message),
                             void *context)
{
    qr_buffer bytes;
    qr_buffer_init(&bytes);
    qr_protobuf_pack(request, &bytes);
    trial attempt = {.client = client, .take = take, .context = context};
    const char *trouble = try_endpoint(&attempt, endpoint, path, qr_buffer_slice(&bytes));
    qr_buffer_free(&bytes);
    if (trouble)
        return qr_arena_format(&client->arena, "%s: %s", endpoint, trouble);
    if (attempt.code == QR_GRPC_OK)
        return NULL;
    return attempt.text[0] ? attempt.text : qr_arena_format(&client->arena, "gRPC code %d", attempt.code);
}

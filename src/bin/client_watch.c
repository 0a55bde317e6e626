/* watch: what happens to keys, as it happens.
 *
 * What is remembered is the revision behind the last event that was told. All events of a revision come in
 * one answer, so whichever endpoint goes on from there misses nothing and repeats nothing. */
#include <inttypes.h>
#include <poll.h>
#include <sys/wait.h>

#include "bin/client.h"
#include "wire/protobuf.h"

enum { ROUND_PAUSE_MS = 500 }; /* after all endpoints were tried in vain */

typedef struct watching {
    qr_client *client;
    int64_t next; /* revision; 0: from now on, whenever that is */
    bool created; /* by this endpoint; */
    bool ever;    /* by any */
    int result;   /* once it has enough */
} watching;

/* As etcdctl has it: in double quotes. */
static const char *quoted(qr_client *client, const char *name, ProtobufCBinaryData data)
{
    qr_buffer out;
    qr_buffer_init(&out);
    qr_buffer_format(&out, "%s=\"", name);
    for (size_t i = 0; i < data.len; i++) {
        uint8_t byte = data.data[i];
        if (byte == '"' || byte == '\\')
            qr_buffer_format(&out, "\\%c", byte);
        else if (byte == '\n')
            qr_buffer_format(&out, "\\n");
        else if (byte < 0x20 || byte == 0x7f)
            qr_buffer_format(&out, "\\x%02x", byte);
        else
            qr_buffer_u8(&out, byte);
    }
    qr_buffer_format(&out, "\"");
    const char *text = qr_arena_text(&client->arena, qr_buffer_slice(&out));
    qr_buffer_free(&out);
    return text;
}

/* NULL, or why the watch ends. */
static const char *run_command(qr_client *client, const QrMvccpb__Event *event, int64_t revision)
{
    const char *const *command = client->options.arguments + client->options.command_at;
    const char *variables[] = {
        qr_arena_format(&client->arena, "ETCD_WATCH_REVISION=%" PRId64, revision),
        event->type == QR_MVCCPB__EVENT__EVENT_TYPE__PUT ? "ETCD_WATCH_EVENT_TYPE=\"PUT\""
                                                         : "ETCD_WATCH_EVENT_TYPE=\"DELETE\"",
        quoted(client, "ETCD_WATCH_KEY", event->kv->key),
        quoted(client, "ETCD_WATCH_VALUE", event->kv->value),
        NULL,
    };
    const char *sentence;
    int status;
    pid_t child = qr_client_run(client, command, variables, false, &sentence);
    if (!child)
        return sentence;
    while (waitpid(child, &status, 0) < 0)
        ;
    status = qr_client_exit_status(status);
    return status ? qr_arena_format(&client->arena, "%s ended with status %d", command[0], status) : NULL;
}

static const char *tell(watching *self, const QrEtcdpb__WatchResponse *answer)
{
    qr_client *client = self->client;
    const char *sentence = NULL;
    if (qr_client_wants_json(client))
        qr_client_print_json_line(client, &answer->base);
    for (size_t i = 0; i < answer->n_events && !sentence; i++) {
        if (!answer->events[i]->kv)
            return "an event came without its key";
        if (!qr_client_wants_json(client))
            qr_client_print_event(client, answer->events[i]);
        if (qr_client_flush(client) != QR_CLIENT_DONE)
            return "the watch ends";
        if (client->options.arguments[client->options.command_at])
            sentence = run_command(client, answer->events[i], answer->header->revision);
    }
    return sentence;
}

static const char *canceled(qr_client *client, const QrEtcdpb__WatchResponse *answer)
{
    if (answer->compact_revision)
        return qr_arena_format(&client->arena,
                               "the watch was canceled: history before revision %" PRId64
                               " was compacted, so events are missing",
                               answer->compact_revision);
    return qr_arena_format(&client->arena, "the watch was canceled: %s", answer->cancel_reason);
}

/* NULL, or why the watch ends. */
static const char *take_answer(watching *self, qr_slice message)
{
    qr_client *client = self->client;
    const QrEtcdpb__WatchResponse *answer =
        (const void *)qr_protobuf_unpack(&qr_etcdpb__watch_response__descriptor, message, &client->arena);
    if (!answer || !answer->header)
        return "the answer cannot be read";
    if (answer->canceled)
        return canceled(client, answer);
    int64_t behind = answer->header->revision + 1;
    if (answer->created) {
        self->created = self->ever = true;
        if (self->next == 0)
            self->next = behind;
        return NULL;
    }
    if (answer->n_events == 0) {
        self->next = behind > self->next ? behind : self->next;
        if (!qr_client_wants_json(client))
            qr_buffer_format(&client->out, "progress: revision %" PRId64 "\n", answer->header->revision);
        return tell(self, answer) ? "the watch ends" : qr_client_flush(client) ? "the watch ends" : NULL;
    }
    const QrMvccpb__Event *last = answer->events[answer->n_events - 1];
    const char *sentence = tell(self, answer);
    if (!sentence)
        self->next = last->kv->mod_revision + 1;
    return sentence;
}

static bool take(void *context, qr_slice message)
{
    watching *self = context;
    qr_arena kept = qr_client_scratch(self->client);
    const char *sentence = take_answer(self, message);
    if (sentence)
        self->result = qr_client_refuse(sentence);
    qr_client_scratch_end(self->client, kept);
    return sentence == NULL;
}

static void say_why(watching *self, const char *endpoint, const char *sentence, const char *next)
{
    fprintf(stderr, "quorate: %s: %s; going on at %s from revision %" PRId64 "\n", endpoint, sentence, next,
            self->next);
}

/* Endpoint after endpoint, until it has enough. */
static int go_on(watching *self, QrEtcdpb__WatchCreateRequest *create)
{
    qr_client *client = self->client;
    QrEtcdpb__WatchRequest request = QR_ETCDPB__WATCH_REQUEST__INIT;
    request.request_union_case = QR_ETCDPB__WATCH_REQUEST__REQUEST_UNION_CREATE_REQUEST;
    request.create_request = create;
    qr_client_listener listener = {.take = take, .wake_ms = UINT64_MAX, .signals = -1, .context = self};
    for (size_t vain = 0, at = 0;; at = (at + 1) % client->endpoint_count) {
        const char *endpoint = client->endpoints[at];
        create->start_revision = self->next;
        self->created = false;
        qr_arena kept = qr_client_scratch(client);
        const char *sentence =
            qr_client_listen(client, endpoint, "/etcdserverpb.Watch/Watch", &request.base, &listener);
        vain = self->created ? 0 : vain + 1;
        bool is_over = !sentence || (!self->ever && vain == client->endpoint_count);
        if (sentence && is_over)
            self->result = qr_client_refuse(qr_arena_format(&client->arena, "%s: %s", endpoint, sentence));
        else if (sentence && self->created)
            say_why(self, endpoint, sentence, client->endpoints[(at + 1) % client->endpoint_count]);
        qr_client_scratch_end(client, kept);
        if (is_over)
            return self->result;
        if (vain % client->endpoint_count == 0)
            poll(NULL, 0, ROUND_PAUSE_MS);
    }
}

int qr_client_run_watch(qr_client *client)
{
    QrEtcdpb__WatchCreateRequest create;
    const char *sentence = qr_client_watch_request(client, &client->options, &create);
    if (sentence)
        return qr_client_misuse(sentence);
    watching self = {.client = client, .next = create.start_revision};
    return go_on(&self, &create);
}

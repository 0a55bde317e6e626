/* lock and elect: one at a time, and everyone can tell who. */
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "bin/client_hold.h"
#include "wire/protobuf.h"

enum {
    KILL_AFTER_MS = 5000, /* between TERM and KILL for a command that has lost its lock */
    ROUND_PAUSE_MS = 500, /* while nobody tells who leads */
};

static void print_hold(qr_client_hold *hold, const char *value)
{
    qr_buffer *out = &hold->client->out;
    if (qr_client_wants_json(hold->client)) {
        qr_buffer_format(out, "{\"key\":");
        qr_client_json_text(out, hold->key);
        qr_buffer_format(out, ",\"token\":%" PRId64 ",\"lease\":\"%" PRIx64 "\"}\n", hold->token,
                         (uint64_t)hold->lease);
    } else {
        qr_buffer_format(out, "%s\n%s%sfencing token %" PRId64 "\n", hold->key, value ? value : "",
                         value ? "\n" : "", hold->token);
    }
}

/* Until it is told to end, or has lost it. */
static int stay(qr_client_hold *hold, const char *value)
{
    print_hold(hold, value);
    int result = qr_client_flush(hold->client);
    while (result == QR_CLIENT_DONE && qr_client_hold_mind(hold, UINT64_MAX))
        ;
    return hold->lost ? qr_client_refuse(qr_arena_format(&hold->client->arena, "lost: %s", hold->lost))
                      : result;
}

/* ---- lock ---- */

/* Waits for the command and keeps the lease meanwhile. A signal to end is handed on to it, as TERM. */
static int attend(qr_client_hold *hold, pid_t child)
{
    uint64_t kill_ms = UINT64_MAX;
    int status;
    bool was_lost = false;
    while (waitpid(child, &status, WNOHANG) == 0) {
        if (qr_client_hold_mind(hold, kill_ms))
            continue;
        if (hold->told)
            kill(-child, SIGTERM);
        hold->told = 0;
        if (hold->lost && !was_lost) {
            was_lost = true;
            qr_client_refuse(qr_arena_format(&hold->client->arena,
                                             "the lock is lost: %s; the command is told to end", hold->lost));
            kill(-child, SIGTERM);
            kill_ms = qr_client_now_ms() + KILL_AFTER_MS;
        } else if (qr_client_now_ms() >= kill_ms) {
            kill(-child, SIGKILL);
            kill_ms = UINT64_MAX;
        }
    }
    return was_lost ? QR_CLIENT_REFUSED : qr_client_exit_status(status);
}

static int run_command(qr_client_hold *hold)
{
    qr_client *client = hold->client;
    const char *variables[] = {
        qr_arena_format(&client->arena, "ETCD_LOCK_KEY=%s", hold->key),
        qr_arena_format(&client->arena, "ETCD_LOCK_REV=%" PRId64, hold->revision),
        qr_arena_format(&client->arena, "QUORATE_LOCK_TOKEN=%" PRId64, hold->token),
        NULL,
    };
    const char *sentence;
    const char *const *command = client->options.arguments + client->options.command_at;
    pid_t child = qr_client_run(client, command, variables, true, &sentence);
    return child ? attend(hold, child) : qr_client_refuse(sentence);
}

int qr_client_run_lock(qr_client *client)
{
    const qr_client_options *options = &client->options;
    if (options->command_at != 1)
        return qr_client_misuse("lock needs one name, and maybe a command behind it");
    if (options->ttl <= 0)
        return qr_client_misuse("--ttl takes a number of seconds");
    qr_client_hold hold;
    const char *sentence = qr_client_hold_begin(&hold, client, options->arguments[0], "");
    if (sentence)
        return qr_client_refuse(sentence);
    sentence = qr_client_hold_wait(&hold);
    int result = QR_CLIENT_REFUSED;
    if (sentence)
        qr_client_refuse(sentence);
    else if (!hold.told)
        result = options->arguments[1] ? run_command(&hold) : stay(&hold, NULL);
    qr_client_hold_end(&hold);
    return result;
}

/* ---- elect ---- */

typedef struct audience {
    qr_client *client;
    ProtobufCBinaryData leader; /* the key; empty: nobody leads */
    int64_t told;               /* mod revision of what was printed last */
    int result;
} audience;

static bool print_leader(audience *self, const QrMvccpb__KeyValue *kv)
{
    if (kv->mod_revision <= self->told)
        return true;
    self->told = kv->mod_revision;
    if (qr_client_wants_json(self->client))
        qr_client_print_json_line(self->client, &kv->base);
    else
        qr_client_print_kv(self->client, kv, false);
    self->result = qr_client_flush(self->client);
    return self->result == QR_CLIENT_DONE;
}

/* A new value of the leader's is told; anything that may make another one the leader is a reason to ask. */
static bool take(void *context, qr_slice message)
{
    audience *self = context;
    qr_arena kept = qr_client_scratch(self->client);
    const QrEtcdpb__WatchResponse *answer = (const void *)qr_protobuf_unpack(
        &qr_etcdpb__watch_response__descriptor, message, &self->client->arena);
    bool goes_on = answer && !answer->canceled;
    for (size_t i = 0; goes_on && i < answer->n_events; i++) {
        const QrMvccpb__Event *event = answer->events[i];
        bool is_leader = event->kv && event->kv->key.len == self->leader.len &&
                         memcmp(event->kv->key.data, self->leader.data, self->leader.len) == 0;
        bool is_put = event->type == QR_MVCCPB__EVENT__EVENT_TYPE__PUT;
        if (is_leader && is_put)
            goes_on = print_leader(self, event->kv);
        else
            goes_on = !is_leader && self->leader.len > 0;
    }
    qr_client_scratch_end(self->client, kept);
    return goes_on;
}

static void listen_once(audience *self, const char *prefix)
{
    qr_client *client = self->client;
    const char *sentence;
    const QrEtcdpb__RangeResponse *first =
        qr_client_hold_first(client, client->options.arguments[0], &sentence);
    if (first) {
        self->leader = first->n_kvs ? first->kvs[0]->key : (ProtobufCBinaryData){0};
        if (first->n_kvs && !print_leader(self, first->kvs[0]))
            return;
        qr_client_listener listener = {.take = take, .wake_ms = UINT64_MAX, .signals = -1, .context = self};
        const ProtobufCBinaryData key = {.len = strlen(prefix), .data = (uint8_t *)(uintptr_t)prefix};
        sentence = qr_client_hold_listen(client, key, qr_client_prefix_end(client, prefix),
                                         first->header->revision + 1, &listener);
    }
    if (!sentence)
        return;
    fprintf(stderr, "quorate: %s: %s; asking the next one\n", client->endpoints[client->answering], sentence);
    client->answering = (client->answering + 1) % client->endpoint_count;
    poll(NULL, 0, ROUND_PAUSE_MS);
}

static int run_listen(qr_client *client)
{
    audience self = {.client = client};
    const char *prefix = qr_arena_format(&client->arena, "%s/", client->options.arguments[0]);
    while (self.result == QR_CLIENT_DONE) {
        qr_arena kept = qr_client_scratch(client);
        listen_once(&self, prefix);
        qr_client_scratch_end(client, kept);
    }
    return self.result;
}

int qr_client_run_elect(qr_client *client)
{
    const qr_client_options *options = &client->options;
    if (options->argument_count != (options->listen ? 1 : 2))
        return qr_client_misuse("elect needs a name and a value, or a name and --listen");
    if (options->listen)
        return run_listen(client);
    if (options->ttl <= 0)
        return qr_client_misuse("--ttl takes a number of seconds");
    qr_client_hold hold;
    const char *value = options->arguments[1];
    const char *sentence = qr_client_hold_begin(&hold, client, options->arguments[0], value);
    if (sentence)
        return qr_client_refuse(sentence);
    sentence = qr_client_hold_wait(&hold);
    int result = QR_CLIENT_REFUSED;
    if (sentence)
        qr_client_refuse(sentence);
    else if (!hold.told)
        result = stay(&hold, value);
    qr_client_hold_end(&hold);
    return result;
}

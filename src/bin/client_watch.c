/* watch: what happens to keys, as it happens.
 *
 * What is remembered of a watch is the revision behind the last event that was told. All events of a revision
 * come in one answer, so whichever endpoint goes on from there misses nothing and repeats nothing.
 *
 * Interactively there are several, which begin and end by lines on standard input; all share one stream. */
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bin/client.h"
#include "wire/protobuf.h"

enum {
    ROUND_PAUSE_MS = 500, /* after all endpoints were tried in vain */
    WATCHES_MAX = 64,
    LINE_MAX_SIZE = 64 * 1024,
};

typedef struct watch {
    int64_t number; /* its id on every stream: 0 if it is the only one, else from 1 on */
    bool stands;    /* false: this place is free */
    bool asked;     /* this endpoint; */
    bool ever;      /* any has begun it */
    int64_t next;   /* revision; 0: from now on, whenever that is */
    qr_client_options options;
    QrEtcdpb__WatchCreateRequest create;
    qr_arena arena; /* what the two above point into */
} watch;

typedef struct watching {
    qr_client *client;
    qr_client_listener listener;
    qr_client_options common; /* of the command line: every line begins with them */
    watch watches[WATCHES_MAX];
    int64_t numbers;  /* given so far */
    qr_buffer input;  /* a line that is not whole yet */
    bool interactive; /* and standard input has not ended */
    bool over;        /* nothing more is wanted */
    bool created;     /* this endpoint has answered; */
    bool ever;        /* any has */
    int result;
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

/* In the form that the watch wants. */
static const char *tell(watching *self, watch *one, const QrEtcdpb__WatchResponse *answer)
{
    qr_client *client = self->client;
    const char *sentence = NULL;
    client->options = one->options;
    if (qr_client_wants_json(client))
        qr_client_print_json_line(client, &answer->base);
    else if (answer->n_events == 0)
        qr_buffer_format(&client->out, "progress: revision %" PRId64 "\n", answer->header->revision);
    self->over = qr_client_flush(client) != QR_CLIENT_DONE;
    for (size_t i = 0; i < answer->n_events && !sentence; i++) {
        if (!answer->events[i]->kv)
            return "an event came without its key";
        if (!qr_client_wants_json(client))
            qr_client_print_event(client, answer->events[i]);
        self->over = self->over || qr_client_flush(client) != QR_CLIENT_DONE;
        if (self->over)
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

/* ---- the stream ---- */

static void say_cancel(watching *self, int64_t number)
{
    QrEtcdpb__WatchCancelRequest cancel = QR_ETCDPB__WATCH_CANCEL_REQUEST__INIT;
    QrEtcdpb__WatchRequest request = QR_ETCDPB__WATCH_REQUEST__INIT;
    request.request_union_case = QR_ETCDPB__WATCH_REQUEST__REQUEST_UNION_CANCEL_REQUEST;
    request.cancel_request = &cancel;
    cancel.watch_id = number;
    qr_client_say(&self->listener, &request.base);
}

static QrEtcdpb__WatchRequest ask_for(watch *one)
{
    QrEtcdpb__WatchRequest request = QR_ETCDPB__WATCH_REQUEST__INIT;
    one->create.start_revision = one->next;
    one->create.watch_id = one->number;
    one->asked = true;
    request.request_union_case = QR_ETCDPB__WATCH_REQUEST__REQUEST_UNION_CREATE_REQUEST;
    request.create_request = &one->create;
    return request;
}

/* NULL: there is none. */
static watch *find(watching *self, int64_t number)
{
    for (size_t i = 0; i < WATCHES_MAX; i++)
        if (self->watches[i].stands && self->watches[i].number == number)
            return &self->watches[i];
    return NULL;
}

static watch *find_any(watching *self)
{
    for (size_t i = 0; i < WATCHES_MAX; i++)
        if (self->watches[i].stands)
            return &self->watches[i];
    return NULL;
}

static void drop(watching *self, watch *one)
{
    one->stands = false;
    qr_arena_free(&one->arena);
    self->over = self->over || (!self->interactive && !find_any(self));
}

/* What begins its stream is the first one; the others follow once that is answered. */
static void ask_for_all(watching *self)
{
    for (size_t i = 0; i < WATCHES_MAX && self->created; i++) {
        if (!self->watches[i].stands || self->watches[i].asked)
            continue;
        QrEtcdpb__WatchRequest request = ask_for(&self->watches[i]);
        qr_client_say(&self->listener, &request.base);
    }
}

/* NULL, or why the watch ends. */
static const char *take_answer(watching *self, watch *one, const QrEtcdpb__WatchResponse *answer)
{
    if (answer->canceled)
        return canceled(self->client, answer);
    int64_t behind = answer->header->revision + 1;
    if (answer->created) {
        if (one->next == 0)
            one->next = behind;
        if (one->number && !one->ever && strcmp(one->options.output, "json") != 0)
            qr_buffer_format(&self->client->out, "watch %" PRId64 " begins\n", one->number);
        one->ever = true;
        self->over = qr_client_flush(self->client) != QR_CLIENT_DONE;
        return NULL;
    }
    const char *sentence = tell(self, one, answer);
    if (sentence)
        return sentence;
    if (answer->n_events)
        behind = answer->events[answer->n_events - 1]->kv->mod_revision + 1;
    one->next = behind > one->next ? behind : one->next;
    return NULL;
}

static bool take(void *context, qr_slice message)
{
    watching *self = context;
    qr_arena kept = qr_client_scratch(self->client);
    const QrEtcdpb__WatchResponse *answer = (const void *)qr_protobuf_unpack(
        &qr_etcdpb__watch_response__descriptor, message, &self->client->arena);
    bool readable = answer && answer->header;
    watch *one = readable ? find(self, answer->watch_id) : NULL;
    const char *sentence = one ? take_answer(self, one, answer) : NULL;
    self->created = self->ever = true;
    if (!readable) {
        self->over = true;
        self->result = qr_client_refuse("the answer cannot be read");
    } else if (!one && answer->created && answer->canceled) { /* without an id: whose it is cannot be told */
        self->over = true;
        self->result = qr_client_refuse(canceled(self->client, answer));
    } else if (!one && answer->created) { /* it was canceled before that */
        say_cancel(self, answer->watch_id);
    } else if (sentence) {
        if (one->number)
            sentence = qr_arena_format(&self->client->arena, "watch %" PRId64 ": %s", one->number, sentence);
        self->result = qr_client_refuse(sentence);
        if (!answer->canceled)
            say_cancel(self, one->number);
        drop(self, one);
    }
    qr_client_scratch_end(self->client, kept);
    ask_for_all(self);
    return !self->over;
}

/* ---- lines on standard input ---- */

/* A server refuses it without saying which one it refuses. */
static bool is_empty(const QrEtcdpb__WatchCreateRequest *create)
{
    qr_slice end = qr_protobuf_slice(create->range_end);
    bool bounded = end.size > 1 || (end.size == 1 && end.data[0] != 0);
    return bounded && qr_slice_compare(end, qr_protobuf_slice(create->key)) <= 0;
}

/* NULL, or what is wrong. */
static const char *begin_watch(watching *self, const qr_client_words *words)
{
    qr_client *client = self->client;
    watch *one = NULL;
    for (size_t i = 0; i < WATCHES_MAX && !one; i++)
        one = self->watches[i].stands ? NULL : &self->watches[i];
    if (!one)
        return "there are as many watches as there may be";
    *one = (watch){.options = self->common};
    const char *sentence = qr_client_parse(QR_CLIENT_WATCH, (int)words->count - 1, words->list + 1,
                                           &one->options, &client->arena);
    if (!sentence)
        sentence = qr_client_watch_request(client, &one->options, &one->create);
    if (!sentence && is_empty(&one->create))
        sentence = "the range is empty";
    if (sentence)
        return sentence;
    one->stands = true;
    one->number = ++self->numbers;
    one->next = one->create.start_revision;
    one->arena = client->arena;
    qr_arena_init(&client->arena);
    return NULL;
}

static const char *cancel_watch(watching *self, const qr_client_words *words)
{
    char *end = NULL;
    int64_t number = words->count == 2 ? strtoll(words->list[1], &end, 10) : 0;
    watch *one = end && !*end ? find(self, number) : NULL;
    if (!one)
        return "cancel takes the number of a watch";
    if (one->asked && self->created)
        say_cancel(self, number);
    if (strcmp(one->options.output, "json") != 0)
        qr_buffer_format(&self->client->out, "watch %" PRId64 " ends\n", number);
    self->over = qr_client_flush(self->client) != QR_CLIENT_DONE;
    drop(self, one);
    return NULL;
}

static void take_line(watching *self, qr_slice line)
{
    qr_arena kept = qr_client_scratch(self->client);
    qr_client_words words;
    const char *sentence = NULL;
    if (!qr_client_split(self->client, line, &words))
        sentence = "the line cannot be read";
    else if (words.count && strcmp(words.list[0], "watch") == 0)
        sentence = begin_watch(self, &words);
    else if (words.count && strcmp(words.list[0], "cancel") == 0)
        sentence = cancel_watch(self, &words);
    else if (words.count && strcmp(words.list[0], "exit") == 0)
        self->over = true;
    else if (words.count)
        sentence =
            qr_arena_format(&self->client->arena, "unknown command %s: watch, cancel or exit", words.list[0]);
    if (sentence)
        qr_client_misuse(sentence);
    qr_client_scratch_end(self->client, kept);
}

/* A piece of standard input; at its end the watches that there are go on. */
static void take_input(watching *self)
{
    ssize_t size = read(STDIN_FILENO, qr_buffer_reserve(&self->input, 4096), 4096);
    self->input.size += size > 0 ? (size_t)size : 0;
    if (size <= 0) {
        qr_buffer_u8(&self->input, '\n');
        self->interactive = false;
        self->listener.signals = -1;
    }
    const uint8_t *newline;
    while (!self->over && (newline = memchr(self->input.data, '\n', self->input.size)) != NULL) {
        size_t length = (size_t)(newline - self->input.data);
        take_line(self, qr_slice_of(self->input.data, length));
        qr_buffer_drop(&self->input, length + 1);
    }
    if (self->input.size > LINE_MAX_SIZE) {
        qr_client_misuse("the line is too long");
        qr_buffer_clear(&self->input);
    }
    self->over = self->over || (!self->interactive && !find_any(self));
}

static bool woken(void *context)
{
    watching *self = context;
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    if (self->interactive && poll(&input, 1, 0) == 1)
        take_input(self);
    ask_for_all(self);
    return !self->over;
}

/* ---- from endpoint to endpoint ---- */

static void say_why(const char *endpoint, const char *sentence, const char *next, const watch *one)
{
    fprintf(stderr, "quorate: %s: %s; going on at %s from revision %" PRId64 "\n", endpoint, sentence, next,
            one->next);
}

/* One stream, until it ends or enough was told. `vain`: endpoints that did not answer since one did. */
static void listen_once(watching *self, size_t at, size_t *vain)
{
    qr_client *client = self->client;
    const char *endpoint = client->endpoints[at];
    self->created = false;
    for (size_t i = 0; i < WATCHES_MAX; i++)
        self->watches[i].asked = false;
    QrEtcdpb__WatchRequest request = ask_for(find_any(self));
    const char *sentence =
        qr_client_listen(client, endpoint, "/etcdserverpb.Watch/Watch", &request.base, &self->listener);
    *vain = self->created ? 0 : *vain + 1;
    if (!sentence)
        return;
    if (!self->ever && *vain == client->endpoint_count) {
        self->over = true;
        self->result = qr_client_refuse(qr_arena_format(&client->arena, "%s: %s", endpoint, sentence));
    } else if (self->created && find_any(self)) {
        say_why(endpoint, sentence, client->endpoints[(at + 1) % client->endpoint_count], find_any(self));
    }
}

static void go_on(watching *self)
{
    for (size_t at = 0, vain = 0; !self->over;) {
        if (!find_any(self)) {
            take_input(self);
            continue;
        }
        qr_arena kept = qr_client_scratch(self->client);
        listen_once(self, at, &vain);
        qr_client_scratch_end(self->client, kept);
        at = (at + 1) % self->client->endpoint_count;
        if (!self->over && vain % self->client->endpoint_count == 0)
            poll(NULL, 0, ROUND_PAUSE_MS);
    }
}

int qr_client_run_watch(qr_client *client)
{
    bool interactive = client->options.interactive;
    watching self = {.client = client, .common = client->options, .interactive = interactive};
    self.listener = (qr_client_listener){.take = take,
                                         .woken = woken,
                                         .wake_ms = UINT64_MAX,
                                         .signals = interactive ? STDIN_FILENO : -1,
                                         .context = &self};
    if (interactive && client->options.argument_count)
        return qr_client_misuse("with --interactive keys come on standard input");
    watch *only = &self.watches[0];
    only->options = client->options;
    only->stands = !interactive;
    const char *sentence =
        interactive ? NULL : qr_client_watch_request(client, &only->options, &only->create);
    if (sentence)
        return qr_client_misuse(sentence);
    only->next = only->create.start_revision;
    qr_buffer_init(&self.input);
    go_on(&self);
    for (size_t i = 0; i < WATCHES_MAX; i++)
        qr_arena_free(&self.watches[i].arena);
    qr_buffer_free(&self.input);
    return self.result;
}

/* blackbox pull: the recordings of a cluster's members, in one file for replay. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bin/client.h"
#include "bin/recording.h"
#include "wire/protobuf.h"

enum { PULL_MAX = 1 << 30, PULL_URLS_MAX = 256 };

typedef struct pull {
    qr_client *client;
    qr_recording recording;
    qr_buffer bytes; /* of the member that is asked */
    bool refused;    /* it sends what nobody can want */
    const char *asked[PULL_URLS_MAX];
    size_t asked_count;
} pull;

static void take(void *context, qr_slice message)
{
    pull *self = context;
    qr_arena arena;
    qr_arena_init(&arena);
    const QrEtcdpb__BlackBoxResponse *answer =
        (const void *)qr_protobuf_unpack(&qr_etcdpb__black_box_response__descriptor, message, &arena);
    if (answer == NULL || answer->blob.len > PULL_MAX - self->bytes.size)
        self->refused = true;
    else
        qr_buffer_add(&self->bytes, answer->blob.data, answer->blob.len);
    qr_arena_free(&arena);
}

static const char *without_scheme(const char *url)
{
    const char *behind = strstr(url, "://");
    return behind ? behind + 3 : url;
}

static bool was_asked(const pull *self, const char *endpoint)
{
    for (size_t i = 0; i < self->asked_count; i++)
        if (strcmp(self->asked[i], endpoint) == 0)
            return true;
    return self->asked_count == PULL_URLS_MAX;
}

/* What a member has that is stopped meanwhile is in its folder. */
static void ask(pull *self, const char *url)
{
    const char *endpoint = without_scheme(url);
    if (was_asked(self, endpoint))
        return;
    self->asked[self->asked_count++] = endpoint;
    const QrEtcdpb__BlackBoxRequest request = QR_ETCDPB__BLACK_BOX_REQUEST__INIT;
    qr_buffer_clear(&self->bytes);
    self->refused = false;
    const char *sentence =
        qr_client_stream(self->client, endpoint, "/quorate.Cluster/BlackBox", &request.base, take, self);
    if (sentence == NULL && self->refused)
        sentence = qr_arena_format(&self->client->arena, "%s: its answer cannot be read", endpoint);
    if (sentence != NULL) {
        fprintf(stderr, "quorate: left out: %s\n", sentence);
        return;
    }
    qr_recording_add(&self->recording, qr_buffer_slice(&self->bytes));
}

static void ask_all(pull *self)
{
    qr_client *client = self->client;
    for (size_t i = 0; i < client->endpoint_count; i++)
        ask(self, client->endpoints[i]);
    const char *sentence = NULL;
    const QrEtcdpb__MemberListResponse *members = qr_client_members(client, NULL, &sentence);
    for (size_t i = 0; members != NULL && i < members->n_members; i++)
        if (members->members[i]->n_clienturls > 0)
            ask(self, members->members[i]->clienturls[0]);
    if (members == NULL)
        fprintf(stderr, "quorate: who else is a member is not known: %s\n", sentence);
}

static const char *write_file(pull *self, const char *path, uint64_t *bytes)
{
    qr_arena *arena = &self->client->arena;
    FILE *file = fopen(path, "wbx"); /* recordings are evidence: none is overwritten */
    if (file == NULL)
        return qr_arena_format(arena, "%s cannot be made: %s", path, strerror(errno));
    bool written = true;
    for (size_t i = 0; i < self->recording.count && written; i++) {
        qr_slice one = self->recording.list[i].bytes;
        written = fwrite(one.data, 1, one.size, file) == one.size;
        *bytes += one.size;
    }
    written = fclose(file) == 0 && written;
    if (written)
        return NULL;
    unlink(path);
    return qr_arena_format(arena, "%s cannot be written: %s", path, strerror(errno));
}

static int finish(pull *self, const char *path)
{
    qr_recording_sort(&self->recording);
    if (self->recording.count == 0)
        return qr_client_refuse("nothing was recorded there");
    uint64_t bytes = 0, members = 0;
    for (size_t i = 0; i < self->recording.count; i++)
        members += i == 0 || self->recording.list[i].config.self != self->recording.list[i - 1].config.self;
    const char *sentence = write_file(self, path, &bytes);
    if (sentence != NULL)
        return qr_client_refuse(sentence);
    qr_buffer_format(&self->client->out,
                     qr_client_wants_json(self->client) ? "{\"file\":\"%s\",\"members\":%" PRIu64
                                                          ",\"segments\":%zu,\"bytes\":%" PRIu64 "}\n"
                                                        : "%s: %" PRIu64 " members, %zu segments, %" PRIu64
                                                          " bytes\n",
                     path, members, self->recording.count, bytes);
    return QR_CLIENT_DONE;
}

int qr_client_run_blackbox(qr_client *client)
{
    const qr_client_options *options = &client->options;
    if (options->argument_count < 2 || strcmp(options->arguments[0], "pull") != 0)
        return qr_client_misuse("blackbox needs: pull FILE [FOLDER...]");
    pull self = {.client = client, .recording.arena = &client->arena};
    qr_buffer_init(&self.bytes);
    const char *sentence = NULL;
    for (size_t i = 2; i < options->argument_count && sentence == NULL; i++)
        qr_recording_add_folder(&self.recording, options->arguments[i], &sentence);
    if (options->argument_count == 2)
        ask_all(&self);
    int result = sentence != NULL ? qr_client_refuse(sentence) : finish(&self, options->arguments[1]);
    qr_buffer_free(&self.bytes);
    qr_recording_free(&self.recording);
    return result;
}

/* backup: a copy of the whole state of a running cluster, in one file, checked before it gets its name. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "bin/client.h"
#include "bin/snapshot_file.h"
#include "wire/protobuf.h"

enum { BEGUN_BYTES = 1 << 20, NICE = 10 };

typedef struct backup {
    qr_client *client;
    const char *path, *part; /* wanted; while it is being written */
    int file;
    uint64_t bytes, begun; /* written; of these, what the disk was told to begin with */
    int failure;           /* errno of the first write that failed */
} backup;

/* Else the sync at the end would find all of it still to be done, and a member on the same disk would wait.
 * Only a hint. */
static void begin_writing(backup *self)
{
    if (self->bytes - self->begun < BEGUN_BYTES)
        return;
    (void)sync_file_range(self->file, (off_t)self->begun, (off_t)(self->bytes - self->begun),
                          SYNC_FILE_RANGE_WRITE);
    self->begun = self->bytes;
}

static void write_all(backup *self, const uint8_t *bytes, size_t size)
{
    while (size > 0 && self->failure == 0) {
        ssize_t done = write(self->file, bytes, size);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0) {
            self->failure = errno;
            return;
        }
        bytes += done;
        size -= (size_t)done;
        self->bytes += (uint64_t)done;
    }
    begin_writing(self);
}

static void take(void *context, qr_slice message)
{
    backup *self = context;
    qr_arena arena;
    qr_arena_init(&arena);
    const QrEtcdpb__SnapshotResponse *answer =
        (const void *)qr_protobuf_unpack(&qr_etcdpb__snapshot_response__descriptor, message, &arena);
    if (answer)
        write_all(self, answer->blob.data, answer->blob.len);
    else if (self->failure == 0)
        self->failure = EBADMSG;
    qr_arena_free(&arena);
}

/* From the first endpoint that begins to answer. */
static const char *stream(backup *self)
{
    qr_client *client = self->client;
    const QrEtcdpb__SnapshotRequest request = QR_ETCDPB__SNAPSHOT_REQUEST__INIT;
    const char *sentence = NULL;
    for (size_t i = 0; i < client->endpoint_count && self->bytes == 0; i++) {
        sentence = qr_client_stream(client, client->endpoints[i], "/etcdserverpb.Maintenance/Snapshot",
                                    &request.base, take, self);
        if (!sentence)
            break;
    }
    if (self->failure)
        return qr_arena_format(&client->arena, "%s cannot be written: %s", self->part,
                               strerror(self->failure));
    return sentence;
}

static const char *settle(backup *self)
{
    qr_arena *arena = &self->client->arena;
    if (rename(self->part, self->path) != 0)
        return qr_arena_format(arena, "%s cannot be renamed: %s", self->part, strerror(errno));
    char *copy = qr_arena_format(arena, "%s", self->path);
    int folder = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool synced = folder >= 0 && fsync(folder) == 0;
    if (folder >= 0)
        close(folder);
    return synced ? NULL : qr_arena_format(arena, "the folder of %s cannot be synced", self->path);
}

static const char *make(backup *self)
{
    qr_arena *arena = &self->client->arena;
    self->part = qr_arena_format(arena, "%s.part", self->path);
    self->file = open(self->part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (self->file < 0)
        return qr_arena_format(arena, "%s cannot be made: %s", self->part, strerror(errno));
    const char *sentence = stream(self);
    if (!sentence && fsync(self->file) != 0)
        sentence = qr_arena_format(arena, "%s cannot be synced: %s", self->part, strerror(errno));
    if (close(self->file) != 0 && !sentence)
        sentence = qr_arena_format(arena, "%s cannot be closed: %s", self->part, strerror(errno));
    return sentence;
}

int qr_client_run_backup(qr_client *client)
{
    if (client->options.argument_count != 1) {
        fprintf(stderr, "quorate: backup needs the name of one file\n");
        return 2;
    }
    /* Checking takes a processor for as long as a start does; a member beside it goes first. Only a wish. */
    (void)setpriority(PRIO_PROCESS, 0, NICE);
    backup self = {.client = client, .path = client->options.arguments[0]};
    qr_snapshot_file read = {0};
    const char *sentence = make(&self);
    if (!sentence)
        sentence = qr_snapshot_file_load(self.part, &client->arena, &read);
    if (!sentence && !read.has_sum)
        sentence = qr_arena_format(&client->arena, "%s came without the sum at its end", self.part);
    if (!sentence)
        sentence = settle(&self);
    if (sentence) {
        fprintf(stderr, "quorate: %s\n", sentence);
        if (self.part)
            unlink(self.part);
    } else {
        qr_tree_status tree = qr_snapshot_file_status(&read);
        bool json = strcmp(client->options.output, "json") == 0;
        qr_buffer_format(&client->out,
                         json ? "{\"file\":\"%s\",\"index\":%" PRIu64 ",\"revision\":%" PRIu64
                                ",\"keys\":%" PRIu64 ",\"bytes\":%" PRIu64 "}\n"
                              : "%s: index %" PRIu64 ", revision %" PRIu64 ", %" PRIu64 " keys, %" PRIu64
                                " bytes; checked\n",
                         self.path, read.about.index, tree.revision, tree.keys, read.size);
    }
    if (read.machine)
        read.machine->ops->free(read.machine);
    return sentence ? 1 : 0;
}

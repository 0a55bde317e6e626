#include "bin/snapshot_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bin/bin.h"
#include "core/command.h"
#include "tree/tree.h"
#include "wire/sha256.h"

enum {
    PIECE = 1024 * 1024, /* bytes read at a time */
    PAGE = 512,          /* a whole backup is a number of these and the sum */
};

typedef struct loading {
    qr_arena *arena;
    int file;
    uint64_t end; /* bytes of the checkpoint in it */
    qr_snapshot_file *into;
    qr_origins origins;
    const char *sentence;
} loading;

/* ---- the sum ---- */

static const char *unreadable(loading *self, const char *path)
{
    return qr_arena_format(self->arena, "%s cannot be read: %s", path, strerror(errno));
}

static const char *check_sum(loading *self, const char *path, uint64_t size)
{
    uint8_t *piece = qr_alloc(PIECE), wanted[QR_SHA256_SIZE], found[QR_SHA256_SIZE];
    qr_sha256 *sum = qr_sha256_new();
    const char *sentence = NULL;
    for (uint64_t at = 0; at < size && !sentence;) {
        ssize_t got = pread(self->file, piece, size - at < PIECE ? size - at : PIECE, (off_t)at);
        if (got <= 0)
            sentence = unreadable(self, path);
        else
            qr_sha256_add(sum, qr_slice_of(piece, (size_t)got));
        at += got > 0 ? (uint64_t)got : 0;
    }
    qr_sha256_end(sum, found);
    qr_sha256_free(sum);
    qr_free(piece);
    if (!sentence && pread(self->file, wanted, sizeof wanted, (off_t)size) != QR_SHA256_SIZE)
        sentence = unreadable(self, path);
    if (!sentence && memcmp(wanted, found, sizeof wanted) != 0)
        sentence = qr_arena_format(self->arena,
                                   "%s is damaged: its bytes do not match the SHA-256 at its end", path);
    return sentence;
}

/* ---- the content ---- */

/* The one file, as the disk that the log's readers know. */
static void run(void *self, qr_disk_op *op)
{
    const loading *from = self;
    op->got = 0;
    op->status = QR_E_UNSUPPORTED;
    if (op->kind != QR_DISK_READ)
        return;
    uint64_t left = op->offset < from->end ? from->end - op->offset : 0;
    uint64_t wanted = op->size < left ? op->size : left;
    while (op->got < wanted) {
        ssize_t got =
            pread(from->file, op->target + op->got, wanted - op->got, (off_t)(op->offset + op->got));
        if (got < 0 && errno == EINTR)
            continue;
        op->status = got < 0 ? QR_E_IO : QR_OK;
        if (got <= 0)
            return;
        op->got += (uint64_t)got;
    }
    op->status = QR_OK;
}

static qr_status visit_about(void *context, const qr_checkpoint_about *about)
{
    loading *self = context;
    self->into->about = *about;
    return about->apply_version > qr_bin_apply_knows ? QR_E_BAD_VERSION : QR_OK;
}

static qr_status visit_chunk(void *context, qr_checkpoint_kind kind, qr_slice chunk, bool last)
{
    loading *self = context;
    qr_machine *machine = self->into->machine;
    if (kind == QR_CHECKPOINT_ORIGINS) {
        qr_reader reader = qr_reader_of(chunk);
        return qr_origins_decode(&reader, &self->origins);
    }
    return kind == QR_CHECKPOINT_MACHINE ? machine->ops->load(machine, chunk, last) : QR_OK;
}

static const char *load(loading *self, const char *path)
{
    const qr_disk disk = {.self = self, .run = run};
    const qr_checkpoint_visit visit = {visit_about, visit_chunk, self};
    qr_machine *machine = self->into->machine;
    const char *sentence = NULL;
    qr_status status = qr_checkpoint_read(&disk, "backup", 0, 0, &visit, self->arena, &sentence);
    if (status == QR_E_BAD_VERSION)
        return qr_arena_format(self->arena, "%s was made by a newer version of this program", path);
    if (status != QR_OK)
        return qr_arena_format(self->arena, "%s is no whole backup: %s", path,
                               sentence ? sentence : qr_status_sentence(status));
    while (machine->ops->settle && machine->ops->settle(machine, SIZE_MAX))
        continue;
    const qr_checkpoint_about *about = &self->into->about;
    if (qr_state_digest(machine->ops->digest(machine), &self->origins, about->apply_version) != about->digest)
        return qr_arena_format(
            self->arena, "%s is damaged: the state in it has another digest than it was made with", path);
    return NULL;
}

const char *qr_snapshot_file_load(const char *path, qr_arena *arena, qr_snapshot_file *loaded)
{
    loading *self = qr_alloc_zero(1, sizeof *self);
    struct stat about;
    *loaded = (qr_snapshot_file){0};
    self->arena = arena;
    self->into = loaded;
    self->file = open(path, O_RDONLY | O_CLOEXEC);
    const char *sentence = NULL;
    if (self->file < 0 || fstat(self->file, &about) != 0)
        sentence = unreadable(self, path);
    else if (!S_ISREG(about.st_mode))
        sentence = qr_arena_format(arena, "%s is not a file", path);
    if (!sentence) {
        loaded->size = (uint64_t)about.st_size;
        loaded->has_sum = loaded->size % PAGE == QR_SHA256_SIZE;
        self->end = loaded->size - (loaded->has_sum ? QR_SHA256_SIZE : 0);
        if (loaded->has_sum)
            sentence = check_sum(self, path, self->end);
    }
    if (!sentence) {
        loaded->machine = qr_tree_open(&(qr_tree_config){0});
        sentence = load(self, path);
    }
    if (sentence && loaded->machine) {
        loaded->machine->ops->free(loaded->machine);
        loaded->machine = NULL;
    }
    if (self->file >= 0)
        close(self->file);
    qr_free(self);
    return sentence;
}

qr_tree_status qr_snapshot_file_status(const qr_snapshot_file *loaded)
{
    qr_arena arena;
    qr_arena_init(&arena);
    const void *result = NULL;
    const qr_query query = {.kind = QR_QUERY_STATUS};
    QR_CHECK(loaded->machine->ops->query(loaded->machine, &query, &arena, &result) == QR_OK,
             "a tree has a status");
    qr_tree_status status = *(const qr_tree_status *)result;
    qr_arena_free(&arena);
    return status;
}

/* A damaged log is put aside, and the member begins anew, as one that has lost its disk.
 * doc/design/members.md tells why that is safe: it comes back with a newer incarnation, as a learner in its
 * own eyes, and the others make it a voter again when it has caught up.
 *
 * Putting aside takes many renames, and a log of which some segments are gone may look whole. So it begins
 * with a mark in the folder, and whoever finds the mark goes on where the last one stopped:
 *
 *    damaged-begun      files are being put aside: the log in the folder may not be opened
 *    damaged-done       they were: a log that is made now is that of a member without a memory
 *    damaged-<name>     what was put aside, until the next time
 *
 * The mark holds the incarnation of the damaged log (u64, little-endian): the next one is above it. */
#include <string.h>

#include "node/internal.h"

static const char prefix[] = "damaged-";
static const char mark_begun[] = "damaged-begun";
static const char mark_done[] = "damaged-done";

enum { NAMES_MAX = 1 << 16 }; /* files of a folder; a log of 64 MiB segments has fewer below 4 TiB */

typedef struct folder {
    qr_buffer names; /* QR_DISK_NAME_MAX bytes each */
    size_t count;
    bool begun, done, log; /* the two marks; a segment that is not put aside */
} folder;

static bool has_prefix(const char *name, const char *start)
{
    return strncmp(name, start, strlen(start)) == 0;
}

static bool is_segment(const char *name)
{
    static const char suffix[] = ".wal";
    size_t size = strlen(name), tail = strlen(suffix);
    return size > tail && strcmp(name + size - tail, suffix) == 0 && !has_prefix(name, prefix) &&
           !has_prefix(name, "spare-");
}

static void note_file(void *context, const char *name, uint64_t size)
{
    folder *f = context;
    f->begun |= strcmp(name, mark_begun) == 0;
    f->done |= strcmp(name, mark_done) == 0;
    f->log |= is_segment(name);
    if (f->count == NAMES_MAX)
        return;
    uint8_t *at = qr_buffer_extend(&f->names, QR_DISK_NAME_MAX);
    memset(at, 0, QR_DISK_NAME_MAX);
    memcpy(at, name, strnlen(name, QR_DISK_NAME_MAX - 1));
    f->count++;
}

static const char *name_at(const folder *f, size_t i)
{
    return (const char *)f->names.data + i * QR_DISK_NAME_MAX;
}

static qr_status read_folder(const qr_disk *disk, folder *f, qr_arena *arena, const char **sentence)
{
    *f = (folder){0};
    qr_buffer_init(&f->names);
    qr_status status = disk->list(disk->self, note_file, f);
    if (status != QR_OK)
        *sentence = qr_arena_format(arena, "the data folder can't be listed: %s", qr_status_sentence(status));
    return status;
}

static qr_status run(const qr_disk *disk, qr_disk_kind kind, const char *name, const char *name_to,
                     qr_arena *arena, const char **sentence)
{
    qr_disk_op op = {.kind = kind};
    memcpy(op.name, name, strlen(name));
    memcpy(op.name_to, name_to, strlen(name_to));
    disk->run(disk->self, &op);
    if (op.status != QR_OK)
        *sentence = qr_arena_format(arena, "the damaged log can't be put aside: %s%s%s",
                                    qr_status_sentence(op.status), *name ? ", file " : "", name);
    return op.status;
}

static qr_status sync_folder(const qr_disk *disk, qr_arena *arena, const char **sentence)
{
    return run(disk, QR_DISK_SYNC_FOLDER, "", "", arena, sentence);
}

static qr_status write_mark(const qr_disk *disk, uint64_t incarnation, qr_arena *arena, const char **sentence)
{
    uint8_t bytes[8];
    qr_store_u64(bytes, incarnation);
    qr_disk_op op = {.kind = QR_DISK_WRITE_SYNC, .bytes = qr_slice_of(bytes, sizeof bytes)};
    memcpy(op.name, mark_begun, sizeof mark_begun);
    disk->run(disk->self, &op);
    if (op.status != QR_OK)
        *sentence = qr_arena_format(arena, "the damaged log can't be put aside: %s, file %s",
                                    qr_status_sentence(op.status), mark_begun);
    return op.status;
}

/* 0: a crash came before it was written, or nothing told it. */
static uint64_t read_mark(const qr_disk *disk, const char *name)
{
    uint8_t bytes[8] = {0};
    qr_disk_op op = {.kind = QR_DISK_READ, .target = bytes, .size = sizeof bytes};
    memcpy(op.name, name, strlen(name) + 1);
    disk->run(disk->self, &op);
    return op.status == QR_OK && op.got == sizeof bytes ? qr_load_u64(bytes) : 0;
}

/* An older quarantine makes room: there is at most one. */
static qr_status begin(const qr_disk *disk, const folder *f, uint64_t incarnation, qr_arena *arena,
                       const char **sentence)
{
    qr_status status = QR_OK;
    for (size_t i = 0; i < f->count && status == QR_OK; i++)
        if (has_prefix(name_at(f, i), prefix))
            status = run(disk, QR_DISK_REMOVE, name_at(f, i), "", arena, sentence);
    if (status == QR_OK)
        status = run(disk, QR_DISK_CREATE, mark_begun, "", arena, sentence);
    if (status == QR_OK)
        status = write_mark(disk, incarnation, arena, sentence);
    return status == QR_OK ? sync_folder(disk, arena, sentence) : status;
}

static qr_status put_file_aside(const qr_disk *disk, const char *name, qr_arena *arena, const char **sentence)
{
    char aside[QR_DISK_NAME_MAX] = {0};
    bool is_worthless = has_prefix(name, "spare-");
    if (!is_segment(name) && !has_prefix(name, "checkpoint-") && !is_worthless)
        return QR_OK;
    if (is_worthless || strlen(name) + sizeof prefix > sizeof aside)
        return run(disk, QR_DISK_REMOVE, name, "", arena, sentence);
    memcpy(aside, prefix, strlen(prefix));
    memcpy(aside + strlen(prefix), name, strlen(name));
    return run(disk, QR_DISK_RENAME, name, aside, arena, sentence);
}

static qr_status finish(const qr_disk *disk, const folder *f, qr_arena *arena, const char **sentence)
{
    qr_status status = QR_OK;
    for (size_t i = 0; i < f->count && status == QR_OK; i++)
        status = put_file_aside(disk, name_at(f, i), arena, sentence);
    if (status == QR_OK)
        status = sync_folder(disk, arena, sentence);
    if (status == QR_OK)
        status = run(disk, QR_DISK_RENAME, mark_begun, mark_done, arena, sentence);
    return status == QR_OK ? sync_folder(disk, arena, sentence) : status;
}

/* ------------------------------------------------------------- what it begins as ---- */

static bool has_others(const qr_node_config *config)
{
    for (uint32_t i = 0; i < config->members.count; i++)
        if (config->members.list[i].id != config->self && config->members.list[i].role == QR_ROLE_VOTER)
            return true;
    return false;
}

static void begin_as_learner(qr_node_config *config, uint64_t incarnation)
{
    if (config->incarnation <= incarnation) /* the wall clock went back */
        config->incarnation = incarnation + 1;
    for (uint32_t i = 0; i < config->members.count; i++)
        if (config->members.list[i].id == config->self)
            config->members.list[i].role = QR_ROLE_LEARNER;
}

static void note_incarnation(void *context, const qr_wal_report *report)
{
    uint64_t *newest = context;
    if (report->has_head && report->incarnation > *newest)
        *newest = report->incarnation;
}

static qr_status note_about(void *context, const qr_checkpoint_about *about)
{
    *(qr_checkpoint_about *)context = *about;
    return QR_E_STOPPED;
}

/* The greatest one of the heads that are whole, those of the member's own checkpoints among them: the head of
 * the only segment may be what is damaged. */
static uint64_t incarnation_of(const qr_node_config *config, qr_arena *arena)
{
    const qr_disk *disk = &config->disk;
    const char *ignored;
    uint64_t newest = 0;
    (void)qr_wal_inspect(disk, note_incarnation, &newest, arena, &ignored);
    qr_checkpoint_row *rows = qr_alloc(QR_NODE_FILES_MAX * sizeof *rows);
    size_t count = 0;
    (void)qr_checkpoint_list(disk, rows, QR_NODE_FILES_MAX, &count);
    for (size_t i = 0; i < count; i++) {
        qr_checkpoint_about about = {0};
        qr_checkpoint_visit visit = {.about = note_about, .context = &about};
        (void)qr_checkpoint_read(disk, rows[i].name, config->cluster, config->group, &visit, arena, &ignored);
        if (about.member == config->self && about.incarnation > newest)
            newest = about.incarnation;
    }
    qr_free(rows);
    return newest;
}

/* A crash came before the mark was written, and so before anything was put aside. */
static qr_status complete_mark(const qr_node_config *config, qr_arena *arena, const char **sentence)
{
    if (read_mark(&config->disk, mark_begun) != 0)
        return QR_OK;
    return write_mark(&config->disk, incarnation_of(config, arena), arena, sentence);
}

qr_status qr_node_prepare(qr_node_config *config, bool repair, qr_arena *arena, const char **sentence)
{
    folder f;
    *sentence = NULL;
    qr_status status = read_folder(&config->disk, &f, arena, sentence);
    if (status == QR_OK && f.begun && !repair) {
        *sentence = "a repair of this folder was begun and may not be finished: repair is off";
        status = QR_E_CORRUPT;
    } else if (status == QR_OK && f.begun) {
        status = complete_mark(config, arena, sentence);
        if (status == QR_OK)
            status = finish(&config->disk, &f, arena, sentence);
        f.done = true;
        f.log = false;
    }
    if (status == QR_OK && f.done && !f.log)
        begin_as_learner(config, read_mark(&config->disk, mark_done));
    qr_buffer_free(&f.names);
    return status;
}

qr_status qr_node_put_aside(qr_node_config *config, qr_arena *arena, const char **sentence)
{
    folder f;
    *sentence = NULL;
    if (!has_others(config)) {
        *sentence = "there is no other member to get the lost entries from";
        return QR_E_CORRUPT;
    }
    uint64_t incarnation = incarnation_of(config, arena);
    qr_status status = read_folder(&config->disk, &f, arena, sentence);
    if (status == QR_OK)
        status = begin(&config->disk, &f, incarnation, arena, sentence);
    if (status == QR_OK)
        status = finish(&config->disk, &f, arena, sentence);
    if (status == QR_OK)
        begin_as_learner(config, incarnation);
    qr_buffer_free(&f.names);
    return status;
}

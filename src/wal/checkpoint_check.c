/* Reading every checkpoint for people: each by itself, whatever is the matter with the others. Only
 * operations that read are carried out. */
#include <string.h>

#include "wal/checkpoint_inside.h"

typedef struct found_file {
    char name[QR_DISK_NAME_MAX];
    uint64_t index, size;
    bool is_whole; /* by its name */
} found_file;

static void visit_file(void *context, const char *name, uint64_t size)
{
    found_file file = {.size = size};
    wal_checkpoint_name what = qr_wal_checkpoint_name_read(name, &file.index);
    if (what == WAL_NAME_OTHER)
        return;
    file.is_whole = what == WAL_NAME_WHOLE;
    memcpy(file.name, name, strlen(name));
    qr_buffer_add(context, &file, sizeof file);
}

static qr_checkpoint_verdict verdict_of(qr_status status)
{
    if (status == QR_OK)
        return QR_CHECKPOINT_SOUND;
    return status == QR_E_CORRUPT || status == QR_E_FOREIGN ? QR_CHECKPOINT_DAMAGED : QR_CHECKPOINT_UNCHECKED;
}

/* Reads it, and fills in what was found. Returns the sentence of why it can't be checked, or NULL. */
static const char *check(const qr_disk *disk, wal_decoder *decoder, qr_checkpoint_report *report,
                         qr_arena *arena)
{
    report->status = qr_wal_decoder_run(decoder, disk);
    report->verdict = verdict_of(report->status);
    report->has_about = decoder->has_about;
    report->about = decoder->about;
    report->chunks = decoder->chunks;
    if (report->verdict == QR_CHECKPOINT_SOUND)
        return NULL;
    report->what = qr_arena_text(arena, qr_slice_text(decoder->what));
    report->block = decoder->number;
    report->position = decoder->offset;
    return report->verdict == QR_CHECKPOINT_UNCHECKED ? qr_arena_text(arena, qr_slice_text(decoder->sentence))
                                                      : NULL;
}

qr_status qr_checkpoint_inspect(const qr_disk *disk, uint64_t cluster, uint64_t group,
                                void (*visit)(void *context, const qr_checkpoint_report *report),
                                void *context, qr_arena *arena, const char **sentence)
{
    qr_buffer files = {0};
    qr_status status = QR_OK;
    *sentence = NULL;
    if (disk->list(disk->self, visit_file, &files) != QR_OK) {
        status = QR_E_IO;
        *sentence = "the folder of the checkpoints can't be listed";
    }
    wal_decoder *decoder = qr_alloc(sizeof *decoder);
    for (size_t at = 0; at < files.size; at += sizeof(found_file)) {
        found_file file;
        memcpy(&file, files.data + at, sizeof file);
        qr_checkpoint_report report = {
            .index = file.index, .size = file.size, .verdict = QR_CHECKPOINT_UNFINISHED};
        memcpy(report.name, file.name, sizeof report.name);
        if (file.is_whole) {
            qr_wal_decoder_init(decoder, file.name, cluster, group, &(qr_checkpoint_visit){0});
            const char *found = check(disk, decoder, &report, arena);
            qr_wal_decoder_free(decoder);
            if (found != NULL && status == QR_OK) {
                status = report.status == QR_E_BAD_VERSION ? QR_E_BAD_VERSION : QR_E_IO;
                *sentence = found;
            }
        }
        visit(context, &report);
    }
    qr_free(decoder);
    qr_buffer_free(&files);
    return status;
}

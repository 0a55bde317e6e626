#include "bin/recording.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "box/ring.h"

enum { FILE_MAX = 1 << 30 };

void qr_recording_add(qr_recording *recording, qr_slice bytes)
{
    qr_reader file = qr_reader_of(qr_arena_copy(recording->arena, bytes));
    qr_box_segment segment;
    while (qr_box_next(&file, &segment, &recording->lost)) {
        if (recording->count == recording->room) {
            recording->room = recording->room ? recording->room * 2 : 64;
            recording->list = qr_realloc(recording->list, recording->room * sizeof *recording->list);
        }
        recording->list[recording->count++] = segment;
    }
}

static bool add(qr_recording *recording, const char *path, bool may_miss, const char **sentence)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL && may_miss && errno == ENOENT)
        return true;
    struct stat about;
    qr_buffer bytes;
    qr_buffer_init(&bytes);
    bool whole = file != NULL && fstat(fileno(file), &about) == 0;
    if (whole && (!S_ISREG(about.st_mode) || about.st_size > FILE_MAX)) {
        whole = false;
        errno = EFBIG;
    }
    if (whole) {
        size_t size = (size_t)about.st_size;
        bytes.size = size > 0 ? fread(qr_buffer_reserve(&bytes, size), 1, size, file) : 0;
        whole = !ferror(file);
    }
    if (whole)
        qr_recording_add(recording, qr_buffer_slice(&bytes));
    else
        *sentence = qr_arena_format(recording->arena, "%s cannot be read: %s", path, strerror(errno));
    qr_buffer_free(&bytes);
    if (file != NULL)
        fclose(file);
    return whole;
}

bool qr_recording_add_file(qr_recording *recording, const char *path, const char **sentence)
{
    return add(recording, path, false, sentence);
}

bool qr_recording_add_folder(qr_recording *recording, const char *path, const char **sentence)
{
    struct stat about;
    if (stat(path, &about) != 0 || !S_ISDIR(about.st_mode)) {
        *sentence = qr_arena_format(recording->arena, "%s is not a folder", path);
        return false;
    }
    bool whole = true;
    for (uint32_t file = 0; file < QR_RING_FILES && whole; file++) {
        char name[QR_DISK_NAME_MAX];
        qr_ring_name(file, name);
        whole = add(recording, qr_arena_format(recording->arena, "%s/%s", path, name), true, sentence);
    }
    return whole;
}

static int compare(const void *a, const void *b)
{
    const qr_box_segment *left = a, *right = b;
    const uint64_t pairs[][2] = {{left->config.self, right->config.self},
                                 {left->config.incarnation, right->config.incarnation},
                                 {left->boot, right->boot},
                                 {left->sequence, right->sequence},
                                 {right->bytes.size, left->bytes.size}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        if (pairs[i][0] != pairs[i][1])
            return pairs[i][0] < pairs[i][1] ? -1 : 1;
    return 0;
}

static bool is_same(const qr_box_segment *a, const qr_box_segment *b)
{
    return a->config.self == b->config.self && a->config.incarnation == b->config.incarnation &&
           a->boot == b->boot && a->sequence == b->sequence;
}

void qr_recording_sort(qr_recording *recording)
{
    if (recording->count > 0)
        qsort(recording->list, recording->count, sizeof *recording->list, compare);
    size_t kept = 0;
    for (size_t i = 0; i < recording->count; i++)
        if (kept == 0 || !is_same(&recording->list[kept - 1], &recording->list[i]))
            recording->list[kept++] = recording->list[i]; /* of two the longer one */
    recording->count = kept;
}

void qr_recording_free(qr_recording *recording)
{
    qr_free(recording->list);
}

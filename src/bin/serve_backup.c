#include "bin/serve_backup.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    PATH_SIZE = 4096,
    STAMP_SIZE = 16, /* of 20261126T022800Z, without its zero */
    LISTED_MAX = 4096,
};

struct qr_serve_backups {
    qr_os *os;
    const qr_serve_config *config;
    char program[PATH_SIZE]; /* this binary */
    char path[PATH_SIZE];    /* of the one under way */
    int64_t due_ms;          /* wall clock; 0: not known yet */
    bool running;
};

qr_serve_backups *qr_serve_backups_new(qr_os *os, const qr_serve_config *config)
{
    if (config->backup_dir[0] == 0)
        return NULL;
    qr_serve_backups *backups = qr_alloc_zero(1, sizeof *backups);
    backups->os = os;
    backups->config = config;
    ssize_t size = readlink("/proc/self/exe", backups->program, PATH_SIZE - 1);
    if (size <= 0)
        snprintf(backups->program, PATH_SIZE, "quorate");
    return backups;
}

void qr_serve_backups_free(qr_serve_backups *backups)
{
    qr_free(backups);
}

/* ---- files: NAME-20261126T022800Z.backup ---- */

/* The stamp of a backup of this member, or NULL. */
static const char *stamp_of(const qr_serve_backups *backups, const char *file)
{
    size_t size = strlen(backups->config->name);
    if (strncmp(file, backups->config->name, size) != 0 || file[size] != '-')
        return NULL;
    const char *stamp = file + size + 1;
    return strlen(stamp) == STAMP_SIZE + strlen(".backup") && strcmp(stamp + STAMP_SIZE, ".backup") == 0
               ? stamp
               : NULL;
}

static int64_t time_of(const char *stamp)
{
    struct tm when = {0};
    char text[STAMP_SIZE + 1] = {0};
    memcpy(text, stamp, STAMP_SIZE);
    return strptime(text, "%Y%m%dT%H%M%SZ", &when) ? (int64_t)timegm(&when) * 1000 : 0;
}

/* Names that sort are times that sort. */
static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Oldest first, in the arena. */
static size_t list(const qr_serve_backups *backups, qr_arena *arena, const char **names)
{
    size_t count = 0;
    DIR *folder = opendir(backups->config->backup_dir);
    for (const struct dirent *entry; folder && count < LISTED_MAX && (entry = readdir(folder)) != NULL;)
        if (stamp_of(backups, entry->d_name))
            names[count++] = qr_arena_format(arena, "%s", entry->d_name);
    if (folder)
        closedir(folder);
    qsort(names, count, sizeof *names, by_name);
    return count;
}

static int64_t newest_ms(const qr_serve_backups *backups)
{
    qr_arena arena;
    qr_arena_init(&arena);
    const char **names = qr_arena_zero(&arena, LISTED_MAX, sizeof *names);
    size_t count = list(backups, &arena, names);
    int64_t newest = count ? time_of(stamp_of(backups, names[count - 1])) : 0;
    qr_arena_free(&arena);
    return newest;
}

static void remove_old(const qr_serve_backups *backups)
{
    qr_arena arena;
    qr_arena_init(&arena);
    const char **names = qr_arena_zero(&arena, LISTED_MAX, sizeof *names);
    size_t count = list(backups, &arena, names);
    for (size_t i = 0; i + backups->config->backup_keep < count; i++) {
        const char *path = qr_arena_format(&arena, "%s/%s", backups->config->backup_dir, names[i]);
        if (unlink(path) != 0)
            qr_log(backups->os, QR_LOG_WARN, "an old backup cannot be removed", "file", path, "error",
                   strerror(errno), NULL);
    }
    qr_arena_free(&arena);
}

/* ---- one backup ---- */

static void on_ended(void *context, int exit_status, const char *words)
{
    qr_serve_backups *backups = context;
    backups->running = false;
    if (exit_status != 0) {
        qr_log(backups->os, QR_LOG_ERROR, "a scheduled backup has failed", "file", backups->path, "error",
               words, NULL);
        return;
    }
    qr_log(backups->os, QR_LOG_INFO, "a scheduled backup was made and checked", "file", backups->path, NULL);
    remove_old(backups);
}

static void begin(qr_serve_backups *backups, int64_t wall_ms)
{
    const qr_serve_config *config = backups->config;
    char stamp[STAMP_SIZE + 1], endpoint[300];
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm when;
    strftime(stamp, sizeof stamp, "%Y%m%dT%H%M%SZ", gmtime_r(&seconds, &when));
    snprintf(backups->path, sizeof backups->path, "%s/%s-%s.backup", config->backup_dir, config->name, stamp);
    const qr_serve_url *url = &config->listen_client.list[0];
    snprintf(endpoint, sizeof endpoint, strchr(url->host, ':') ? "[%s]:%u" : "%s:%u", url->host, url->port);
    const char *arguments[] = {backups->program, "backup", "--endpoints", endpoint,
                               "--timeout",      "5m",     backups->path, NULL};
    backups->running = qr_os_spawn(backups->os, arguments, on_ended, backups) == QR_OK;
    if (!backups->running)
        on_ended(backups, 1, "the program cannot be started");
}

void qr_serve_backups_look(qr_serve_backups *backups, int64_t wall_ms)
{
    if (backups->due_ms == 0) {
        int64_t newest = newest_ms(backups);
        backups->due_ms = newest ? newest + (int64_t)backups->config->backup_interval_ms : wall_ms;
    }
    /* A clock that was set back must not end the backups for as long as it was wrong. */
    int64_t latest = wall_ms + (int64_t)backups->config->backup_interval_ms;
    backups->due_ms = backups->due_ms < latest ? backups->due_ms : latest;
    if (backups->running || wall_ms < backups->due_ms)
        return;
    backups->due_ms = latest;
    begin(backups, wall_ms);
}

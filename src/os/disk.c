/* The disk edge over real files: one folder, one thread, two lanes.
 *
 * An operation belongs to the disk thread from submit() until it stands in the list of the completed ones,
 * which the loop thread empties; the mutex hands it over in both directions, so nothing else of an operation
 * needs a lock.
 *
 * A failed fsync is reported once and never tried again: after it the kernel may have dropped the dirty pages
 * and would call the second try a success (Rebello et al., "Can Applications Recover from fsync Failures?",
 * USENIX ATC 2020). */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/disk_release.h"
#include "os/room.h"

enum { FILES_MAX = 32 }; /* descriptors kept open */

static const char lock_name[] = "lock";

typedef struct open_file {
    char name[QR_DISK_NAME_MAX]; /* "" = free */
    int descriptor;
    uint64_t used; /* by the clock of the table: the least recently used one goes */
} open_file;

typedef struct lane {
    qr_disk_op *head, *tail;
} lane;

struct qr_os_disk {
    qr_os *os;
    qr_os_disk *next;
    int folder, lock; /* descriptors */
    uv_async_t completed;
    size_t outstanding; /* submitted and not yet told; the loop thread's */
    size_t unsaid;      /* of these, what the thread is not woken for yet; the loop thread's */

    pthread_t thread;
    sem_t wanted;          /* one for each operation in the lanes, and one to end */
    pthread_mutex_t mutex; /* guards the next four */
    lane lanes[QR_LANE_COUNT];
    lane done;
    qr_histogram syncs[QR_LANE_COUNT];

    pthread_mutex_t files_mutex; /* guards the rest; run() and the thread take turns */
    open_file files[FILES_MAX];
    uint64_t files_clock;
    qr_os_release release;
};

static void lane_push(lane *list, qr_disk_op *op)
{
    op->next = NULL;
    if (list->tail)
        list->tail->next = op;
    else
        list->head = op;
    list->tail = op;
}

static qr_disk_op *lane_pop(lane *list)
{
    qr_disk_op *op = list->head;
    if (op) {
        list->head = op->next;
        if (list->head == NULL)
            list->tail = NULL;
        op->next = NULL;
    }
    return op;
}

/* ---- files ---- */

static bool name_is_right(const char *name)
{
    size_t size = strnlen(name, QR_DISK_NAME_MAX);
    if (size == 0 || size == QR_DISK_NAME_MAX || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return false;
    return name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789._-")] == 0 && strcmp(name, lock_name) != 0;
}

static qr_status status_of(int error)
{
    return error == ENOENT ? QR_E_NOT_FOUND : error == EEXIST ? QR_E_EXISTS : QR_E_IO;
}

static qr_status status_of_growth(int error)
{
    return error == ENOSPC || error == EDQUOT ? QR_E_NO_SPACE : status_of(error);
}

static void forget(qr_os_disk *disk, const char *name)
{
    for (int i = 0; i < FILES_MAX; i++) {
        open_file *file = &disk->files[i];
        if (file->name[0] && strcmp(file->name, name) == 0) {
            close(file->descriptor);
            file->name[0] = 0;
        }
    }
}

static void remember(qr_os_disk *disk, const char *name, int descriptor)
{
    open_file *oldest = &disk->files[0];
    for (int i = 0; i < FILES_MAX; i++) {
        open_file *file = &disk->files[i];
        if (file->name[0] == 0) {
            oldest = file;
            break;
        }
        if (file->used < oldest->used)
            oldest = file;
    }
    /* Closing a descriptor with unsynced writes is harmless: the pages stay, and an error in writing them
     * back that nobody has seen yet is reported to the next one that opens the file and syncs it (Linux
     * since 4.16). */
    if (oldest->name[0])
        close(oldest->descriptor);
    *oldest = (open_file){.descriptor = descriptor, .used = ++disk->files_clock};
    memcpy(oldest->name, name, QR_DISK_NAME_MAX);
}

/* A descriptor of the table, or -1 and errno. */
static int opened(qr_os_disk *disk, const char *name)
{
    for (int i = 0; i < FILES_MAX; i++) {
        open_file *file = &disk->files[i];
        if (file->name[0] && strcmp(file->name, name) == 0) {
            file->used = ++disk->files_clock;
            return file->descriptor;
        }
    }
    int descriptor = openat(disk->folder, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (descriptor >= 0)
        remember(disk, name, descriptor);
    return descriptor;
}

static qr_status do_create(qr_os_disk *disk, const qr_disk_op *op)
{
    int descriptor = openat(disk->folder, op->name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (descriptor < 0)
        return status_of_growth(errno);
    remember(disk, op->name, descriptor);
    return QR_OK;
}

static qr_status do_reserve(qr_os_disk *disk, const qr_disk_op *op)
{
    int descriptor = opened(disk, op->name), failed;
    if (descriptor < 0)
        return status_of(errno);
    do
        failed = fallocate(descriptor, 0, 0, (off_t)op->size);
    while (failed != 0 && errno == EINTR);
    if (failed == 0)
        return QR_OK;
    return errno == EOPNOTSUPP || errno == ENOSYS ? QR_E_UNSUPPORTED : status_of_growth(errno);
}

static qr_status do_write(qr_os_disk *disk, const qr_disk_op *op)
{
    int descriptor = opened(disk, op->name);
    if (descriptor < 0)
        return status_of(errno);
    const uint8_t *at = op->bytes.data;
    uint64_t offset = op->offset;
    for (size_t left = op->bytes.size; left > 0;) {
        ssize_t wrote = pwrite(descriptor, at, left, (off_t)offset);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote <= 0)
            return wrote < 0 ? status_of_growth(errno) : QR_E_IO;
        at += wrote;
        left -= (size_t)wrote;
        offset += (uint64_t)wrote;
    }
    /* What is written in the background starts for the disk at once: else its sync would find everything
     * still to be done, and the log's next sync would have to wait behind all of it. Only a hint. */
    if (op->lane == QR_LANE_BACKGROUND && op->kind == QR_DISK_WRITE && op->bytes.size >= 64 * 1024)
        (void)sync_file_range(descriptor, (off_t)op->offset, (off_t)op->bytes.size, SYNC_FILE_RANGE_WRITE);
    return QR_OK;
}

static qr_status do_sync(qr_os_disk *disk, const qr_disk_op *op)
{
    int descriptor = opened(disk, op->name);
    if (descriptor < 0)
        return status_of(errno);
    return fdatasync(descriptor) == 0 ? QR_OK : QR_E_IO;
}

static qr_status do_read(qr_os_disk *disk, qr_disk_op *op)
{
    int descriptor = opened(disk, op->name);
    if (descriptor < 0)
        return status_of(errno);
    while (op->got < op->size) {
        ssize_t got =
            pread(descriptor, op->target + op->got, op->size - op->got, (off_t)(op->offset + op->got));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return QR_E_IO;
        if (got == 0)
            break;
        op->got += (uint64_t)got;
    }
    return QR_OK;
}

static qr_status do_rename(qr_os_disk *disk, const qr_disk_op *op)
{
    QR_CHECK(name_is_right(op->name_to), "a file name that the disk edge does not allow");
    forget(disk, op->name);
    forget(disk, op->name_to);
    return renameat(disk->folder, op->name, disk->folder, op->name_to) == 0 ? QR_OK : status_of(errno);
}

static qr_status do_remove(qr_os_disk *disk, const qr_disk_op *op)
{
    forget(disk, op->name);
    int descriptor = openat(disk->folder, op->name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    qr_status status = unlinkat(disk->folder, op->name, 0) == 0 ? QR_OK : status_of(errno);
    if (descriptor >= 0)
        qr_os_release_add(&disk->release, descriptor);
    return status;
}

static qr_status execute_kind(qr_os_disk *disk, qr_disk_op *op)
{
    qr_status status;
    switch (op->kind) {
    case QR_DISK_CREATE: return do_create(disk, op);
    case QR_DISK_RESERVE: return do_reserve(disk, op);
    case QR_DISK_WRITE: return do_write(disk, op);
    case QR_DISK_SYNC: return do_sync(disk, op);
    case QR_DISK_WRITE_SYNC: status = do_write(disk, op); return status == QR_OK ? do_sync(disk, op) : status;
    case QR_DISK_READ: return do_read(disk, op);
    case QR_DISK_RENAME: return do_rename(disk, op);
    case QR_DISK_REMOVE: return do_remove(disk, op);
    case QR_DISK_SYNC_FOLDER: return fsync(disk->folder) == 0 ? QR_OK : QR_E_IO;
    }
    QR_CHECK(false, "a disk operation of unknown kind");
    return QR_E_IO;
}

static void execute(qr_os_disk *disk, qr_disk_op *op)
{
    QR_CHECK(op->kind == QR_DISK_SYNC_FOLDER || name_is_right(op->name),
             "a file name that the disk edge does not allow");
    op->got = 0;
    pthread_mutex_lock(&disk->files_mutex);
    op->status = execute_kind(disk, op);
    pthread_mutex_unlock(&disk->files_mutex);
}

/* ---- the thread ---- */

/* Until there is an operation, or the end. Meanwhile, and between operations, space goes back to the disk. */
static void await(qr_os_disk *disk)
{
    for (;;) {
        pthread_mutex_lock(&disk->files_mutex);
        qr_os_release_advance(&disk->release, uv_hrtime());
        bool releases = qr_os_release_is_pending(&disk->release);
        uint64_t next_ns = disk->release.next_ns;
        pthread_mutex_unlock(&disk->files_mutex);
        struct timespec until = {.tv_sec = (time_t)(next_ns / 1000000000),
                                 .tv_nsec = (long)(next_ns % 1000000000)};
        if ((releases ? sem_clockwait(&disk->wanted, CLOCK_MONOTONIC, &until) : sem_wait(&disk->wanted)) == 0)
            return;
        QR_ASSERT(errno == EINTR || errno == ETIMEDOUT);
    }
}

static void *disk_main(void *self)
{
    qr_os_disk *disk = self;
    for (;;) {
        await(disk);
        pthread_mutex_lock(&disk->mutex);
        qr_disk_op *op = lane_pop(&disk->lanes[QR_LANE_LOG]);
        if (op == NULL)
            op = lane_pop(&disk->lanes[QR_LANE_BACKGROUND]);
        pthread_mutex_unlock(&disk->mutex);
        if (op == NULL)
            return NULL; /* the end */
        bool syncs = op->kind == QR_DISK_SYNC || op->kind == QR_DISK_WRITE_SYNC;
        unsigned of_lane = op->lane;
        uint64_t begun = uv_hrtime();
        execute(disk, op);
        uint64_t taken_us = (uv_hrtime() - begun) / 1000;
        pthread_mutex_lock(&disk->mutex);
        if (syncs)
            qr_histogram_add(&disk->syncs[of_lane], taken_us);
        bool first = disk->done.head == NULL;
        lane_push(&disk->done, op);
        pthread_mutex_unlock(&disk->mutex);
        if (first)
            uv_async_send(&disk->completed);
    }
}

static void on_completed(uv_async_t *async)
{
    qr_os_disk *disk = async->data;
    pthread_mutex_lock(&disk->mutex);
    lane done = disk->done;
    disk->done = (lane){0};
    pthread_mutex_unlock(&disk->mutex);
    for (qr_disk_op *op; (op = lane_pop(&done)) != NULL;) {
        QR_ASSERT(disk->outstanding > 0);
        disk->outstanding--;
        qr_os_disk_log_done(disk->os, op);
        op->done(op);
    }
    qr_os_happened(disk->os);
}

static void add_up(qr_histogram *sum, const qr_histogram *more)
{
    sum->sum_us += more->sum_us;
    for (unsigned i = 0; i < QR_HISTOGRAM_CLASSES; i++)
        sum->counts[i] += more->counts[i];
}

void qr_os_disks_count(const qr_os *os, qr_os_process *process)
{
    for (qr_os_disk *disk = os->disks; disk != NULL; disk = disk->next) {
        pthread_mutex_lock(&disk->mutex);
        add_up(&process->log_syncs, &disk->syncs[QR_LANE_LOG]);
        add_up(&process->other_syncs, &disk->syncs[QR_LANE_BACKGROUND]);
        pthread_mutex_unlock(&disk->mutex);
    }
}

static void disk_submit(void *self, qr_disk_op *op)
{
    qr_os_disk *disk = self;
    QR_ASSERT(op->done != NULL && op->lane < QR_LANE_COUNT);
    disk->outstanding++;
    qr_os_disk_log_submitted(disk->os, op);
    pthread_mutex_lock(&disk->mutex);
    lane_push(&disk->lanes[op->lane], op);
    pthread_mutex_unlock(&disk->mutex);
    disk->unsaid++;
}

void qr_os_disks_wake(qr_os *os)
{
    for (qr_os_disk *disk = os->disks; disk != NULL; disk = disk->next)
        for (; disk->unsaid > 0; disk->unsaid--)
            sem_post(&disk->wanted);
}

static void disk_run(void *self, qr_disk_op *op)
{
    qr_os_disk *disk = self;
    execute(disk, op);
    qr_os_disk_log_run(disk->os, op);
}

typedef struct listed {
    char name[QR_DISK_NAME_MAX];
    uint64_t size;
} listed;

static int compare_listed(const void *a, const void *b)
{
    return strcmp(((const listed *)a)->name, ((const listed *)b)->name);
}

static qr_status disk_list(void *self, void (*visit)(void *context, const char *name, uint64_t size),
                           void *context)
{
    qr_os_disk *disk = self;
    int descriptor = openat(disk->folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *folder = descriptor < 0 ? NULL : fdopendir(descriptor);
    if (folder == NULL)
        return QR_E_IO;
    qr_buffer found;
    qr_buffer_init(&found);
    qr_status status = QR_OK;
    errno = 0;
    for (struct dirent *entry; (entry = readdir(folder)) != NULL; errno = 0) {
        struct stat about;
        if (!name_is_right(entry->d_name))
            continue;
        if (fstatat(disk->folder, entry->d_name, &about, AT_SYMLINK_NOFOLLOW) != 0)
            status = QR_E_IO;
        else if (S_ISREG(about.st_mode)) {
            listed *file = (listed *)(void *)qr_buffer_extend(&found, sizeof(listed));
            memset(file, 0, sizeof *file);
            memcpy(file->name, entry->d_name, strlen(entry->d_name));
            file->size = (uint64_t)about.st_size;
        }
    }
    if (errno != 0)
        status = QR_E_IO;
    closedir(folder);
    size_t count = found.size / sizeof(listed);
    listed *files = (listed *)(void *)found.data;
    if (count > 0)
        qsort(files, count, sizeof(listed), compare_listed);
    for (size_t i = 0; i < count && status == QR_OK; i++)
        visit(context, files[i].name, files[i].size);
    qr_buffer_free(&found);
    return status;
}

/* ---- opening ---- */

/* Makes the folder and what is missing above it, and makes the making durable. */
static bool make_folders(const char *folder, qr_arena *arena)
{
    char *path = qr_arena_format(arena, "%s", folder);
    for (char *at = path + 1;; at++) {
        if (*at != '/' && *at != 0)
            continue;
        char kept = *at;
        *at = 0;
        if (mkdir(path, 0700) == 0) {
            char *slash = strrchr(path, '/');
            const char *above = slash == NULL   ? "."
                                : slash == path ? "/"
                                                : qr_arena_format(arena, "%.*s", (int)(slash - path), path);
            int descriptor = open(above, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
            bool durable = descriptor >= 0 && fsync(descriptor) == 0;
            int error = errno;
            if (descriptor >= 0)
                close(descriptor);
            errno = error;
            if (!durable)
                return false;
        } else if (errno != EEXIST && errno != EISDIR) {
            return false;
        }
        *at = kept;
        if (kept == 0)
            return true;
    }
}

static qr_status open_folder(const char *folder, int *descriptor, qr_arena *arena, const char **sentence)
{
    if (folder[0] == 0) {
        *sentence = "the name of the data folder is empty";
        return QR_E_INVALID;
    }
    if (!make_folders(folder, arena)) {
        *sentence = qr_arena_format(arena, "data folder %s cannot be made: %s", folder, strerror(errno));
        return QR_E_IO;
    }
    *descriptor = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct stat about;
    if (*descriptor < 0 || fstat(*descriptor, &about) != 0) {
        *sentence = qr_arena_format(arena, "data folder %s cannot be opened: %s", folder, strerror(errno));
        return QR_E_IO;
    }
    if (about.st_uid != geteuid()) {
        *sentence = qr_arena_format(
            arena, "data folder %s belongs to user %u, not to user %u who runs this: run 'chown -R %u %s'",
            folder, about.st_uid, geteuid(), geteuid(), folder);
        return QR_E_PERMISSION;
    }
    if ((about.st_mode & 077) != 0) {
        *sentence =
            qr_arena_format(arena, "data folder %s is open to other users (mode %04o): run 'chmod 700 %s'",
                            folder, about.st_mode & 07777, folder);
        return QR_E_PERMISSION;
    }
    return QR_OK;
}

static qr_status take_lock(int folder, const char *path, int *lock, qr_arena *arena, const char **sentence)
{
    *lock = openat(folder, lock_name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (*lock < 0) {
        *sentence = qr_arena_format(arena, "data folder %s cannot be written: %s", path, strerror(errno));
        return QR_E_IO;
    }
    char text[32] = {0};
    if (flock(*lock, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK) {
            *sentence = qr_arena_format(arena, "data folder %s cannot be locked: %s", path, strerror(errno));
            return QR_E_IO;
        }
        ssize_t got = pread(*lock, text, sizeof text - 1, 0);
        long process = got > 0 ? strtol(text, NULL, 10) : 0;
        *sentence = process > 0 ? qr_arena_format(arena, "data folder %s is in use by another process (%ld)",
                                                  path, process)
                                : qr_arena_format(arena, "data folder %s is in use by another process", path);
        return QR_E_BUSY;
    }
    /* Only told to people: a disk too full for a process number is the log's trouble to report. */
    int size = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    if (ftruncate(*lock, 0) == 0)
        (void)!pwrite(*lock, text, (size_t)size, 0);
    return QR_OK;
}

/* The disk thread takes no signals: they are the loop's. */
static void start_thread(qr_os_disk *disk)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&disk->thread, NULL, disk_main, disk);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    QR_CHECK(failed == 0, "the disk thread cannot be started");
}

qr_status qr_os_disk_open(qr_os *os, const char *folder, qr_disk *edge, qr_arena *arena,
                          const char **sentence)
{
    int descriptor = -1, lock = -1;
    qr_status status = open_folder(folder, &descriptor, arena, sentence);
    if (status == QR_OK)
        status = take_lock(descriptor, folder, &lock, arena, sentence);
    if (status != QR_OK) {
        if (lock >= 0)
            close(lock);
        if (descriptor >= 0)
            close(descriptor);
        return status;
    }
    qr_os_disk *disk = qr_alloc_zero(1, sizeof *disk);
    disk->os = os;
    disk->folder = descriptor;
    disk->lock = lock;
    pthread_mutex_init(&disk->mutex, NULL);
    pthread_mutex_init(&disk->files_mutex, NULL);
    qr_os_release_init(&disk->release);
    int failed = sem_init(&disk->wanted, 0, 0);
    QR_CHECK(failed == 0, "the disk thread's semaphore cannot be made");
    uv_async_init(&os->loop, &disk->completed, on_completed);
    disk->completed.data = disk;
    disk->next = os->disks;
    os->disks = disk;
    start_thread(disk);
    *edge = (qr_disk){.self = disk, .submit = disk_submit, .run = disk_run, .list = disk_list};
    return QR_OK;
}

bool qr_os_disks_idle(const qr_os *os)
{
    for (const qr_os_disk *disk = os->disks; disk != NULL; disk = disk->next)
        if (disk->outstanding > 0)
            return false;
    return true;
}

void qr_os_disks_close(qr_os *os)
{
    qr_os_disks_wake(os);
    for (qr_os_disk *disk = os->disks; disk != NULL; disk = disk->next) {
        sem_post(&disk->wanted);
        pthread_join(disk->thread, NULL);
        uv_close((uv_handle_t *)&disk->completed, NULL);
    }
}

void qr_os_disks_free(qr_os *os)
{
    for (qr_os_disk *disk = os->disks, *next; disk != NULL; disk = next) {
        next = disk->next;
        for (int i = 0; i < FILES_MAX; i++)
            if (disk->files[i].name[0])
                close(disk->files[i].descriptor);
        qr_os_release_free(&disk->release);
        close(disk->folder);
        close(disk->lock);
        pthread_mutex_destroy(&disk->mutex);
        pthread_mutex_destroy(&disk->files_mutex);
        sem_destroy(&disk->wanted);
        qr_free(disk);
    }
    os->disks = NULL;
}

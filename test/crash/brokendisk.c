/* A disk that can be broken while it is used: preloaded into one member (LD_PRELOAD). $BROKENDISK names a
 * folder; a file in it is a fault that lasts as long as the file is there.
 *
 *    stall    a sync does not come back
 *    eio      a sync fails: input/output error
 *    unreadable  "FROM TO NAME": bytes FROM to TO - 1 of the file of that name in any folder cannot be read
 *
 * Syncs are counted in $BROKENDISK/syncs, one byte each, so that a test can wait until one was tried. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

int fsync(int descriptor);
int fdatasync(int descriptor);
ssize_t pread(int descriptor, void *target, size_t size, off_t offset);

static int has_fault(const char *name)
{
    char path[512];
    const char *folder = getenv("BROKENDISK");
    snprintf(path, sizeof path, "%s/%s", folder ? folder : "/nonexistent", name);
    return access(path, F_OK) == 0;
}

static void count(void)
{
    char path[512];
    const char *folder = getenv("BROKENDISK");
    snprintf(path, sizeof path, "%s/syncs", folder ? folder : "/nonexistent");
    int file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (file >= 0) {
        (void)!write(file, ".", 1);
        close(file);
    }
}

/* Returns when the file of the fault is gone. The folder is watched before the file is looked for, so a file
 * that goes between the two leaves an event behind. A test that can't wait has to fail: a fault that ends
 * early would prove nothing. */
static void wait_for_end(const char *name)
{
    const char *folder = getenv("BROKENDISK");
    int watch = inotify_init1(IN_CLOEXEC);
    if (watch < 0 ||
        inotify_add_watch(watch, folder ? folder : "/nonexistent", IN_DELETE | IN_MOVED_FROM) < 0) {
        perror("brokendisk: inotify");
        abort();
    }
    while (has_fault(name)) {
        char events[4096];
        if (read(watch, events, sizeof events) < 0 && errno != EINTR) {
            perror("brokendisk: inotify");
            abort();
        }
    }
    close(watch);
}

static int broken_sync(const char *name, int descriptor)
{
    /* The way from an object to a function that C does not have, as POSIX wants it (dlsym, rationale). */
    int (*real)(int);
    *(void **)&real = dlsym(RTLD_NEXT, name);
    if (has_fault("stall") || has_fault("eio"))
        count();
    if (has_fault("stall"))
        wait_for_end("stall");
    if (has_fault("eio")) {
        errno = EIO;
        return -1;
    }
    return real(descriptor);
}

int fsync(int descriptor)
{
    return broken_sync("fsync", descriptor);
}

int fdatasync(int descriptor)
{
    return broken_sync("fdatasync", descriptor);
}

/* Does the read touch what cannot be read? */
static int is_unreadable(int descriptor, size_t size, off_t offset)
{
    char path[512], link[64], target[512], name[256];
    long from, to;
    const char *folder = getenv("BROKENDISK");
    snprintf(path, sizeof path, "%s/unreadable", folder ? folder : "/nonexistent");
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return 0;
    int told = fscanf(file, "%ld %ld %255s", &from, &to, name);
    fclose(file);
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, target, sizeof target - 1);
    if (told != 3 || length < 0 || offset >= to || offset + (off_t)size <= from)
        return 0;
    target[length] = 0;
    const char *base = strrchr(target, '/');
    return base != NULL && strcmp(base + 1, name) == 0;
}

/* With 64-bit file offsets this is pread64, and the headers see to the name. */
ssize_t pread(int descriptor, void *target, size_t size, off_t offset)
{
    ssize_t (*real)(int, void *, size_t, off_t);
    *(void **)&real = dlsym(RTLD_NEXT, "pread64");
    if (is_unreadable(descriptor, size, offset)) {
        errno = EIO;
        return -1;
    }
    return real(descriptor, target, size, offset);
}

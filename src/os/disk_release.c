/* The space of removed files goes back to the disk in small steps.
 *
 * A file system that tells its disk what has become free (mount option `discard`) does so for a removed file
 * in one piece: while a virtual disk took in that 256 MB were free, every sync on it stood still for 30 ms.
 * So a file that is removed loses its name at once, as ever, and its bytes from the end, a step now and then.
 * A process that dies in between leaves nothing: the kernel frees what has neither name nor descriptor. */
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/disk_release.h"

enum {
    STEP = 1024 * 1024, /* bytes: a millisecond of such a disk at most */
    PAUSE_NS = 4000000, /* from step to step */
};

void qr_os_release_init(qr_os_release *release)
{
    *release = (qr_os_release){0};
    qr_buffer_init(&release->files);
}

void qr_os_release_free(qr_os_release *release)
{
    const int *files = (const int *)(const void *)release->files.data;
    for (size_t i = release->first; i < release->files.size / sizeof *files; i++)
        close(files[i]);
    qr_buffer_free(&release->files);
}

void qr_os_release_add(qr_os_release *release, int descriptor)
{
    struct stat about;
    bool is_last = fstat(descriptor, &about) == 0 && S_ISREG(about.st_mode) && about.st_nlink == 0;
    if (!is_last || about.st_size <= STEP) {
        close(descriptor);
        return;
    }
    memcpy(qr_buffer_extend(&release->files, sizeof descriptor), &descriptor, sizeof descriptor);
}

bool qr_os_release_is_pending(const qr_os_release *release)
{
    return release->files.size > 0;
}

/* An error changes nothing: then the last close frees the rest in one piece. */
void qr_os_release_advance(qr_os_release *release, uint64_t now_ns)
{
    if (!qr_os_release_is_pending(release) || now_ns < release->next_ns)
        return;
    release->next_ns = now_ns + PAUSE_NS;
    const int *files = (const int *)(const void *)release->files.data;
    int descriptor = files[release->first];
    struct stat about;
    if (fstat(descriptor, &about) == 0 && about.st_size > STEP &&
        ftruncate(descriptor, about.st_size - STEP) == 0)
        return;
    close(descriptor);
    if (++release->first * sizeof *files < release->files.size)
        return;
    qr_buffer_clear(&release->files);
    release->first = 0;
}

/* A file system for each member, on a loop device: one that can be filled, and whose power can be cut. Root
 * only.
 *
 * The cut is FS_IOC_SHUTDOWN without flushing the journal: from that moment nothing reaches the device, as if
 * the machine had lost its power. After the next mount what was synced is there, and what was not may be
 * gone. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "chaos/inside.h"

#define IOC_SHUTDOWN _IOR('X', 125, uint32_t) /* of <xfs/xfs_fs.h>, and ext4's as well */
enum { NO_LOG_FLUSH = 2, IMAGE_MB = 768 };

bool qr_chaos_disk_make(qr_chaos_slot *s)
{
    int file = open(s->image, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    bool good = file >= 0 && ftruncate(file, (off_t)IMAGE_MB << 20) == 0;
    if (file >= 0)
        close(file);
    return good && qr_chaos_command((const char *const[]){"mkfs.ext4", "-q", "-F", s->image, NULL}) &&
           qr_chaos_disk_mount(s);
}

bool qr_chaos_disk_mount(qr_chaos_slot *s)
{
    s->mounted = qr_chaos_command((const char *const[]){"mount", "-o", "loop", s->image, s->folder, NULL});
    return s->mounted;
}

void qr_chaos_disk_unmount(qr_chaos_slot *s)
{
    if (s->mounted && umount2(s->folder, 0) != 0)
        umount2(s->folder, MNT_DETACH);
    s->mounted = false;
}

bool qr_chaos_disk_cut_power(qr_chaos_slot *s)
{
    uint32_t how = NO_LOG_FLUSH;
    int folder = open(s->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool good = folder >= 0 && ioctl(folder, IOC_SHUTDOWN, &how) == 0;
    if (folder >= 0)
        close(folder);
    return good;
}

bool qr_chaos_disk_fill(qr_chaos_slot *s)
{
    struct statvfs about;
    int file = open(s->filler, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    bool good = file >= 0 && fstatvfs(file, &about) == 0;
    /* All at once may be more than there is in the end; so in pieces that get smaller. */
    off_t at = 0, size = good ? (off_t)(about.f_bavail * about.f_frsize) : 0;
    while (size >= 4096)
        if (posix_fallocate(file, at, size) == 0)
            at += size;
        else
            size /= 2;
    if (file >= 0)
        close(file);
    return good;
}

void qr_chaos_disk_give_back(qr_chaos_slot *s)
{
    unlink(s->filler);
}

void qr_chaos_disk_remove_spares(qr_chaos_slot *s)
{
    DIR *folder = opendir(s->data);
    for (struct dirent *one; folder != NULL && (one = readdir(folder)) != NULL;)
        if (strncmp(one->d_name, "spare-", 6) == 0)
            unlinkat(dirfd(folder), one->d_name, 0);
    if (folder != NULL)
        closedir(folder);
}

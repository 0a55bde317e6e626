/* What the process takes of the machine: asked for by whoever shows it, a few times a minute. */
#include <sys/resource.h>

#include "os/room.h"

/* Entries of /proc/self/fd, the one that the looking itself needs not among them. */
static uint64_t count_open_files(void)
{
    uv_fs_t request;
    int count = uv_fs_scandir(NULL, &request, "/proc/self/fd", 0, NULL);
    uv_fs_req_cleanup(&request);
    return count > 0 ? (uint64_t)count - 1 : 0;
}

void qr_os_process_of(qr_os *os, qr_os_process *process)
{
    *process =
        (qr_os_process){.turns = os->turns, .turn_cpu = os->turn_cpu, .open_files = count_open_files()};
    size_t resident = 0;
    if (uv_resident_set_memory(&resident) == 0)
        process->resident_bytes = resident;
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0)
        process->open_files_max = files.rlim_cur;
    uv_rusage_t usage;
    if (uv_getrusage(&usage) == 0)
        process->cpu_us = (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000 +
                          (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
    qr_os_disks_count(os, process);
    qr_os_peers_count(os, process);
}

/* Time and randomness, the two things that enter the pure rooms as data. */
#include <errno.h>
#include <sys/random.h>
#include <time.h>

#include "os/room.h"

/* One source for every now_ms of a process: libuv's own cached time may lag behind it by a tick, and the
 * rooms below are promised a clock that never goes back. */
uint64_t qr_os_now_ms(qr_os *os)
{
    return uv_hrtime() / 1000000;
}

int64_t qr_os_wall_ms(void)
{
    struct timespec now;
    int failed = clock_gettime(CLOCK_REALTIME, &now);
    QR_ASSERT(failed == 0);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void qr_os_random(void *into, size_t size)
{
    uint8_t *at = into;
    while (size > 0) {
        ssize_t got = getrandom(at, size, 0);
        if (got < 0 && errno == EINTR)
            continue;
        QR_CHECK(got > 0, "the kernel gives no random bytes");
        at += got;
        size -= (size_t)got;
    }
}

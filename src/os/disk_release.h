/* What disk.c leaves to disk_release.c: files without a name whose space goes back step by step. Whoever
 * holds the mutex of the disk's files may call. */
#ifndef QR_OS_DISK_RELEASE_H
#define QR_OS_DISK_RELEASE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"

typedef struct qr_os_release {
    qr_buffer files;  /* descriptors (int); owned */
    size_t first;     /* of them that is still open */
    uint64_t next_ns; /* when a step is due (uv_hrtime) */
} qr_os_release;

void qr_os_release_init(qr_os_release *release);
void qr_os_release_free(qr_os_release *release); /* closes what is left */
/* A descriptor, open for writing, of a file whose name was just removed; taken over. A small one, and one
 * that has another name, is only closed. */
void qr_os_release_add(qr_os_release *release, int descriptor);
bool qr_os_release_is_pending(const qr_os_release *release);
void qr_os_release_advance(qr_os_release *release, uint64_t now_ns); /* a step, if one is due */

#endif

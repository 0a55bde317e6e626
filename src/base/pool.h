/* pool: memory for small blocks that come and go all the time. What is given back is kept, by size, and given
 * out again, the newest first, while it is still in the processor's caches. One thread. */
#ifndef QR_BASE_POOL_H
#define QR_BASE_POOL_H

#include <stddef.h>

enum {
    QR_POOL_STEP = 64,                  /* bytes between two sizes of blocks */
    QR_POOL_CLASSES = 16,               /* larger blocks are the system's, here and back */
    QR_POOL_KEPT_MAX = 2 * 1024 * 1024, /* bytes */
};

typedef struct qr_pool {
    void *spare[QR_POOL_CLASSES]; /* lists; owned */
    size_t kept;                  /* bytes in them */
} qr_pool;                        /* all zero: an empty one */

void *qr_pool_alloc(qr_pool *pool, size_t size); /* aligned for anything; uninitialised */
void *qr_pool_realloc(qr_pool *pool, void *old, size_t size);
void qr_pool_free(qr_pool *pool, void *memory); /* NULL: nothing */
void qr_pool_end(qr_pool *pool);                /* gives back what is kept, not what is in use */

#endif

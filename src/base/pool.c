#include "base/pool.h"

#include <stdint.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"

/* Checkers of memory see only what is asked of the system: for them nothing is kept. */
#ifdef __SANITIZE_ADDRESS__
enum { KEPT_MAX = 0 };
#else
enum { KEPT_MAX = QR_POOL_KEPT_MAX };
#endif

/* In front of each block. */
typedef union head {
    size_t steps; /* of QR_POOL_STEP, this head included */
    void *next;   /* while spare */
    max_align_t align;
} head;

void *qr_pool_alloc(qr_pool *pool, size_t size)
{
    QR_ASSERT(size < SIZE_MAX / 2);
    size_t steps = (size + sizeof(head) + QR_POOL_STEP - 1) / QR_POOL_STEP;
    head *block = steps <= QR_POOL_CLASSES ? pool->spare[steps - 1] : NULL;
    if (block != NULL) {
        pool->spare[steps - 1] = block->next;
        pool->kept -= steps * QR_POOL_STEP;
    } else {
        block = qr_alloc(steps * QR_POOL_STEP);
    }
    block->steps = steps;
    return block + 1;
}

void qr_pool_free(qr_pool *pool, void *memory)
{
    if (memory == NULL)
        return;
    head *block = (head *)memory - 1;
    size_t steps = block->steps;
    if (steps > QR_POOL_CLASSES || pool->kept + steps * QR_POOL_STEP > KEPT_MAX) {
        qr_free(block);
        return;
    }
    block->next = pool->spare[steps - 1];
    pool->spare[steps - 1] = block;
    pool->kept += steps * QR_POOL_STEP;
}

void *qr_pool_realloc(qr_pool *pool, void *old, size_t size)
{
    if (old == NULL)
        return qr_pool_alloc(pool, size);
    size_t room = ((head *)old - 1)->steps * QR_POOL_STEP - sizeof(head);
    if (size <= room)
        return old;
    void *memory = qr_pool_alloc(pool, size);
    memcpy(memory, old, room);
    qr_pool_free(pool, old);
    return memory;
}

void qr_pool_end(qr_pool *pool)
{
    for (size_t i = 0; i < QR_POOL_CLASSES; i++) {
        while (pool->spare[i] != NULL) {
            head *block = pool->spare[i];
            pool->spare[i] = block->next;
            qr_free(block);
        }
    }
    pool->kept = 0;
}

#include "base/mem.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#ifdef __linux__
#include <sys/mman.h>
#endif

#include "base/assert.h"

enum {
    LARGE_PAGE = 2 * 1024 * 1024, /* of x86-64, and of ARM with small ones of 4 KiB */
    LARGE_MIN = 2 * LARGE_PAGE,
};

/* Whoever fills megabytes meets the kernel once for each page, and again wherever the processor has forgotten
 * where a page is; in a virtual machine both are dear. It is a wish: without it everything is only slower. */
static void *in_large_pages(void *memory, size_t size)
{
#ifdef MADV_HUGEPAGE
    uintptr_t at = (uintptr_t)memory;
    uintptr_t from = (at + LARGE_PAGE - 1) & ~(uintptr_t)(LARGE_PAGE - 1);
    uintptr_t to = (at + size) & ~(uintptr_t)(LARGE_PAGE - 1);
    if (from < to)
        (void)madvise((uint8_t *)memory + (from - at), to - from, MADV_HUGEPAGE);
#endif
    return memory;
}

void *qr_alloc(size_t size)
{
    void *memory = malloc(size ? size : 1);
    QR_CHECK(memory != NULL, "out of memory");
    return size >= LARGE_MIN ? in_large_pages(memory, size) : memory;
}

void *qr_alloc_zero(size_t count, size_t size)
{
    void *memory = calloc(count ? count : 1, size ? size : 1);
    QR_CHECK(memory != NULL, "out of memory");
    return count * size >= LARGE_MIN ? in_large_pages(memory, count * size) : memory;
}

void *qr_alloc_aligned(size_t align, size_t size)
{
    void *memory = NULL;
    QR_CHECK(posix_memalign(&memory, align, size) == 0, "out of memory");
    return memory;
}

void *qr_realloc(void *old, size_t size)
{
    void *memory = realloc(old, size ? size : 1);
    QR_CHECK(memory != NULL, "out of memory");
    return size >= LARGE_MIN ? in_large_pages(memory, size) : memory;
}

void qr_free(void *memory)
{
    free(memory);
}

void qr_in_small_pages(void *memory, size_t size)
{
#ifdef MADV_NOHUGEPAGE
    (void)madvise(memory, size, MADV_NOHUGEPAGE);
#endif
}

void qr_give_back(void *memory, size_t size)
{
    QR_ASSERT((uintptr_t)memory % 4096 == 0 && size % 4096 == 0);
#ifdef __linux__
    /* A kernel with larger pages refuses, and then it is as where it can't be done. */
    (void)madvise(memory, size, MADV_DONTNEED);
#endif
}

void qr_touch(void *memory, size_t size)
{
#ifdef MADV_POPULATE_WRITE
    (void)madvise(memory, size, MADV_POPULATE_WRITE);
#endif
}

char *qr_strdup(const char *text)
{
    size_t size = strlen(text) + 1;
    return memcpy(qr_alloc(size), text, size);
}

#include "base/slab.h"

#include <stdbool.h>

#include "base/assert.h"
#include "base/mem.h"

/* A use after free must be seen by the sanitizer here, too. */
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(at, size)   ((void)(at), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(at, size) ((void)(at), (void)(size))
#endif

enum {
    PAGE_ALIGN = 32 * 1024,      /* so an object's page is found by its address */
    PAGE_SIZE = PAGE_ALIGN - 16, /* malloc's head of the next page fits between */
};

/* An object that is free. */
typedef struct hole {
    struct hole *next;
} hole;

struct qr_slab_page {
    qr_slab_page *before, *behind; /* in the list of those with room; a full page is in none */
    hole *holes;                   /* among the objects that were given out before */
    uint32_t size;                 /* bytes of an object */
    uint32_t objects;              /* given out */
    uint32_t end;                  /* bytes behind the last object that was ever given out */
};

static size_t rounded(size_t size)
{
    return size ? (size + QR_SLAB_STEP - 1) / QR_SLAB_STEP * QR_SLAB_STEP : QR_SLAB_STEP;
}

static qr_slab_page **list_of(qr_slab *slab, size_t size)
{
    return &slab->open[size / QR_SLAB_STEP - 1];
}

static void link_in(qr_slab_page **list, qr_slab_page *page)
{
    page->before = NULL;
    page->behind = *list;
    if (*list)
        (*list)->before = page;
    *list = page;
}

static void take_out(qr_slab_page **list, qr_slab_page *page)
{
    *(page->before ? &page->before->behind : list) = page->behind;
    if (page->behind)
        page->behind->before = page->before;
}

static qr_slab_page *page_new(size_t size)
{
    qr_slab_page *page = qr_alloc_aligned(PAGE_ALIGN, PAGE_SIZE);
    *page = (qr_slab_page){.size = (uint32_t)size, .end = sizeof *page};
    ASAN_POISON_MEMORY_REGION(page + 1, PAGE_SIZE - sizeof *page);
    return page;
}

static void page_free(qr_slab_page *page)
{
    ASAN_UNPOISON_MEMORY_REGION(page, PAGE_SIZE);
    qr_free(page);
}

static bool is_full(const qr_slab_page *page)
{
    return page->holes == NULL && page->end + page->size > PAGE_SIZE;
}

void *qr_slab_alloc(qr_slab *slab, size_t size)
{
    size = rounded(size);
    slab->bytes += size;
    if (size > QR_SLAB_MAX)
        return qr_alloc(size);
    qr_slab_page **list = list_of(slab, size), *page = *list;
    if (page == NULL) {
        page = page_new(size);
        link_in(list, page);
    }
    void *object = page->holes;
    ASAN_UNPOISON_MEMORY_REGION(object ? object : (uint8_t *)page + page->end, size);
    if (object) {
        page->holes = page->holes->next;
    } else {
        object = (uint8_t *)page + page->end;
        page->end += page->size;
    }
    page->objects++;
    if (is_full(page))
        take_out(list, page);
    return object;
}

void qr_slab_free(qr_slab *slab, void *object, size_t size)
{
    size = rounded(size);
    QR_ASSERT(slab->bytes >= size);
    slab->bytes -= size;
    if (size > QR_SLAB_MAX) {
        qr_free(object);
        return;
    }
    qr_slab_page *page = (void *)((uintptr_t)object & ~(uintptr_t)(PAGE_ALIGN - 1));
    qr_slab_page **list = list_of(slab, size);
    QR_ASSERT(page->size == size && page->objects > 0);
    if (is_full(page))
        link_in(list, page);
    hole *freed = object;
    freed->next = page->holes;
    page->holes = freed;
    ASAN_POISON_MEMORY_REGION(object, size);
    /* The last one of a size stays: the next object of that size is not far. */
    if (--page->objects == 0 && (page->before || page->behind)) {
        take_out(list, page);
        page_free(page);
    }
}

void qr_slab_end(qr_slab *slab)
{
    QR_ASSERT(slab->bytes == 0);
    for (size_t i = 0; i < sizeof slab->open / sizeof slab->open[0]; i++) {
        qr_slab_page *page = slab->open[i];
        QR_ASSERT(page == NULL || (page->objects == 0 && page->behind == NULL));
        if (page)
            page_free(page);
    }
    *slab = (qr_slab){0};
}

#include "base/slab.h"

#include <string.h>

#include "base/assert.h"
#include "base/mem.h"

/* A use after free must be seen by the sanitizer here, too. */
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(at, size)   ((void)(at), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(at, size) ((void)(at), (void)(size))
#endif

/* Pages of a region: few of the first ones, so that a small slab stays small. */
enum { REGION_FIRST = 4, REGION_MAX = QR_SLAB_TRIMMED };

enum { CALLS_MAX = 8 }; /* of the system, in one go */

/* An object that is free. */
typedef struct hole {
    struct hole *next;
} hole;

struct qr_slab_page {
    qr_slab_page *before, *behind; /* in the ring of those with room, which a full page is not in */
    hole *holes;                   /* among the objects that were given out before */
    uint32_t size;                 /* bytes of an object */
    uint32_t objects;              /* given out */
    uint32_t end;                  /* bytes behind the last object that was ever given out */
    uint32_t half;                 /* objects of a page that is half full */
};

/* Its pages in use are in neither of the masks. */
struct qr_slab_region {
    uint8_t *memory; /* owned */
    uint32_t pages;
    uint64_t spare; /* as they were left */
    uint64_t bare;  /* given back, or never used */
};

static size_t rounded(size_t size)
{
    return size ? (size + QR_SLAB_STEP - 1) / QR_SLAB_STEP * QR_SLAB_STEP : QR_SLAB_STEP;
}

static qr_slab_page **ring_of(qr_slab *slab, size_t size)
{
    return &slab->open[size / QR_SLAB_STEP - 1];
}

static qr_slab_page *page_of(const void *object)
{
    return (void *)((uintptr_t)object & ~(uintptr_t)(QR_SLAB_PAGE - 1));
}

/* As the last one of the ring. */
static void link_last(qr_slab_page **ring, qr_slab_page *page)
{
    qr_slab_page *first = *ring;
    page->before = first ? first->before : page;
    page->behind = first ? first : page;
    page->before->behind = page->behind->before = page;
    if (first == NULL)
        *ring = page;
}

static void link_first(qr_slab_page **ring, qr_slab_page *page)
{
    link_last(ring, page);
    *ring = page;
}

static void take_out(qr_slab_page **ring, qr_slab_page *page)
{
    page->before->behind = page->behind;
    page->behind->before = page->before;
    if (*ring == page)
        *ring = page->behind == page ? NULL : page->behind;
}

/* ------------------------------------------------------------------ pages ---- */

static uint64_t all_of(const struct qr_slab_region *region)
{
    return UINT64_MAX >> (64 - region->pages);
}

static void region_new(qr_slab *slab)
{
    uint32_t number = slab->region_count++;
    if (number == slab->region_room) {
        slab->region_room = number ? number * 2 : 8;
        slab->regions = qr_realloc(slab->regions, slab->region_room * sizeof *slab->regions);
        slab->by_address = qr_realloc(slab->by_address, slab->region_room * sizeof *slab->by_address);
    }
    uint32_t pages = number < 4 ? REGION_FIRST << number : REGION_MAX;
    size_t size = pages * (size_t)QR_SLAB_PAGE;
    uint8_t *memory = qr_alloc_aligned(QR_SLAB_PAGE, size);
    /* The first touch of a large page waits until the system has cleared 2 MiB: on a virtual machine whose
     * host has to find the memory, too, that was a standstill of 6 to 12 ms, on all members at the same
     * entry. */
    qr_in_small_pages(memory, size);
    ASAN_POISON_MEMORY_REGION(memory, size);
    struct qr_slab_region *region = &slab->regions[number];
    *region = (struct qr_slab_region){.memory = memory, .pages = pages};
    region->bare = all_of(region);
    uint32_t at = number;
    for (; at > 0 && slab->regions[slab->by_address[at - 1]].memory > memory; at--)
        slab->by_address[at] = slab->by_address[at - 1];
    slab->by_address[at] = number;
}

/* The number of the region that the page lies in. */
static uint32_t region_of(const qr_slab *slab, const void *page)
{
    uint32_t low = 0, high = slab->region_count;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (slab->regions[slab->by_address[middle]].memory > (const uint8_t *)page)
            high = middle;
        else
            low = middle;
    }
    return slab->by_address[low];
}

/* Of the lowest region that has one: so the others may run empty. One that was
 * not given back goes first. */
static void *page_take(qr_slab *slab)
{
    while (slab->lowest < slab->region_count &&
           (slab->regions[slab->lowest].spare | slab->regions[slab->lowest].bare) == 0)
        slab->lowest++;
    if (slab->lowest == slab->region_count)
        region_new(slab);
    struct qr_slab_region *region = &slab->regions[slab->lowest];
    uint64_t *pages = region->spare ? &region->spare : &region->bare;
    uint32_t at = (uint32_t)__builtin_ctzll(*pages);
    slab->spare_pages -= region->spare != 0;
    slab->pages++;
    bool is_bare = region->spare == 0;
    *pages &= *pages - 1;
    void *page = region->memory + at * (size_t)QR_SLAB_PAGE;
    ASAN_UNPOISON_MEMORY_REGION(page, QR_SLAB_PAGE);
    if (is_bare)
        qr_touch(page, QR_SLAB_PAGE);
    return page;
}

static void page_put(qr_slab *slab, void *page)
{
    uint32_t number = region_of(slab, page);
    struct qr_slab_region *region = &slab->regions[number];
    size_t at = (size_t)((uint8_t *)page - region->memory) / QR_SLAB_PAGE;
    QR_ASSERT(at < region->pages && slab->pages > 0);
    region->spare |= (uint64_t)1 << at;
    slab->spare_pages++;
    slab->pages--;
    slab->lowest = number < slab->lowest ? number : slab->lowest;
    ASAN_POISON_MEMORY_REGION(page, QR_SLAB_PAGE);
}

void *qr_slab_page_alloc(qr_slab *slab)
{
    slab->bytes += QR_SLAB_PAGE;
    return page_take(slab);
}

void qr_slab_page_free(qr_slab *slab, void *page)
{
    QR_ASSERT(page == page_of(page) && slab->bytes >= QR_SLAB_PAGE);
    slab->bytes -= QR_SLAB_PAGE;
    page_put(slab, page);
}

/* Neighbours in one go: what costs is the call, not the memory. So there are not many of them at once. */
static void give_back(struct qr_slab_region *region)
{
    for (int calls = 0; region->spare && calls < CALLS_MAX; calls++) {
        uint32_t from = (uint32_t)__builtin_ctzll(region->spare);
        uint64_t others = ~(region->spare >> from);
        uint32_t count = others ? (uint32_t)__builtin_ctzll(others) : 64 - from;
        uint64_t run = UINT64_MAX >> (64 - count) << from;
        qr_give_back(region->memory + from * (size_t)QR_SLAB_PAGE, count * (size_t)QR_SLAB_PAGE);
        region->spare &= ~run;
        region->bare |= run;
    }
}

bool qr_slab_trim(qr_slab *slab, size_t keep)
{
    for (uint32_t i = slab->region_count; i-- > 0 && slab->spare_pages > keep;) {
        struct qr_slab_region *region = &slab->regions[i];
        if (region->spare == 0)
            continue;
        slab->spare_pages -= (uint64_t)__builtin_popcountll(region->spare);
        give_back(region);
        slab->spare_pages += (uint64_t)__builtin_popcountll(region->spare);
        return slab->spare_pages > keep;
    }
    return false;
}

uint64_t qr_slab_used(const qr_slab *slab)
{
    return slab->bytes - slab->large_bytes;
}

uint64_t qr_slab_held(const qr_slab *slab)
{
    return (slab->pages + slab->spare_pages) * QR_SLAB_PAGE;
}

/* ---------------------------------------------------------------- objects ---- */

static qr_slab_page *page_new(qr_slab *slab, size_t size)
{
    qr_slab_page *page = page_take(slab);
    uint32_t objects = (uint32_t)((QR_SLAB_PAGE - sizeof *page) / size);
    *page = (qr_slab_page){.size = (uint32_t)size, .end = sizeof *page, .half = objects / 2};
    ASAN_POISON_MEMORY_REGION(page + 1, QR_SLAB_PAGE - sizeof *page);
    return page;
}

static bool is_full(const qr_slab_page *page)
{
    return page->holes == NULL && page->end + page->size > QR_SLAB_PAGE;
}

void *qr_slab_alloc(qr_slab *slab, size_t size)
{
    size = rounded(size);
    slab->bytes += size;
    if (size > QR_SLAB_MAX) {
        slab->large_bytes += size;
        return qr_alloc(size);
    }
    qr_slab_page **ring = ring_of(slab, size), *page = *ring;
    if (page == NULL) {
        page = page_new(slab, size);
        link_first(ring, page);
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
        take_out(ring, page);
    return object;
}

/* One object fewer. Pages below half are the last to be filled; the last page
 * of a size stays, as the next object of that size is not far. */
static void note_free(qr_slab *slab, qr_slab_page *page, qr_slab_page **ring)
{
    page->objects--;
    if (page->objects > page->half)
        return;
    if (page->objects == page->half && page->objects > 0) {
        take_out(ring, page);
        link_last(ring, page);
    }
    if (page->objects == 0 && page->behind != page) {
        take_out(ring, page);
        page_put(slab, page);
    }
}

void qr_slab_free(qr_slab *slab, void *object, size_t size)
{
    size = rounded(size);
    QR_ASSERT(slab->bytes >= size);
    slab->bytes -= size;
    if (size > QR_SLAB_MAX) {
        slab->large_bytes -= size;
        qr_free(object);
        return;
    }
    qr_slab_page *page = page_of(object), **ring = ring_of(slab, size);
    QR_ASSERT(page->size == size && page->objects > 0);
    if (is_full(page))
        link_first(ring, page);
    hole *freed = object;
    freed->next = page->holes;
    page->holes = freed;
    ASAN_POISON_MEMORY_REGION(object, size);
    note_free(slab, page, ring);
}

void *qr_slab_move(qr_slab *slab, void *object, size_t size, bool always)
{
    if (rounded(size) > QR_SLAB_MAX)
        return object;
    const qr_slab_page *page = page_of(object);
    QR_ASSERT(page->size == rounded(size) && page->objects > 0);
    if (!always && (page->objects > page->half || page == *ring_of(slab, rounded(size))))
        return object;
    void *copy = memcpy(qr_slab_alloc(slab, size), object, size);
    qr_slab_free(slab, object, size);
    return copy;
}

void qr_slab_end(qr_slab *slab)
{
    QR_ASSERT(slab->bytes == 0);
    for (size_t i = 0; i < sizeof slab->open / sizeof slab->open[0]; i++) {
        qr_slab_page *page = slab->open[i];
        QR_ASSERT(page == NULL || (page->objects == 0 && page->behind == page));
        slab->pages -= page != NULL;
    }
    QR_ASSERT(slab->pages == 0);
    for (uint32_t i = 0; i < slab->region_count; i++) {
        ASAN_UNPOISON_MEMORY_REGION(slab->regions[i].memory, slab->regions[i].pages * (size_t)QR_SLAB_PAGE);
        qr_free(slab->regions[i].memory);
    }
    qr_free(slab->regions);
    qr_free(slab->by_address);
    *slab = (qr_slab){0};
}

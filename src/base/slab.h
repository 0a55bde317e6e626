/* A slab: many small objects of a few sizes that come and go one by one, such as the records of a tree.
 *
 * An object costs its size, rounded up to eight bytes, and nothing besides: neither malloc's head nor its
 * rounding to sixteen. Objects of one size lie together in pages. New ones go into pages that are more than
 * half full, as long as there are such, so that the others may run empty; what stays in these can be moved
 * (qr_slab_move). A page without objects serves any size again, and qr_slab_trim() gives back to the system
 * what is not needed soon. Whoever frees an object says how large it was; that it was so large is checked.
 * Larger ones than QR_SLAB_MAX may be asked for as well and are malloc's. */
#ifndef QR_BASE_SLAB_H
#define QR_BASE_SLAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    QR_SLAB_STEP = 8,         /* bytes between two sizes; what objects are aligned to */
    QR_SLAB_MAX = 512,        /* bytes of the largest object in a page */
    QR_SLAB_PAGE = 32 * 1024, /* bytes of a page, and what it is aligned to */
    QR_SLAB_TRIMMED = 64,     /* pages that are given back at once: of them neighbours go together */
};

typedef struct qr_slab_page qr_slab_page;

/* All zero is an empty slab. */
typedef struct qr_slab {
    qr_slab_page *open[QR_SLAB_MAX / QR_SLAB_STEP]; /* owned: rings of pages with room, by size; full ones are
                                                       their objects' */
    uint64_t bytes;                                 /* of all objects, rounded */
    uint64_t large_bytes;                           /* of those that are malloc's */
    uint64_t pages;                                 /* in use */
    uint64_t spare_pages;                           /* without objects, and not given back */
    struct qr_slab_region *regions;                 /* owned: what pages are cut from */
    uint32_t *by_address;                           /* owned: their numbers, in the order of their memory */
    uint32_t region_count, region_room;
    uint32_t lowest; /* no region before that one has a page that is not in use */
} qr_slab;

void *qr_slab_alloc(qr_slab *slab, size_t size); /* uninitialised; ends the process when memory is out */
void qr_slab_free(qr_slab *slab, void *object, size_t size); /* size: as it was asked for */
/* An object whose page is less than half full goes into another page, if there is one with room; or any that
 * has a page, whatever its own is like (always). Returns where it is now: nothing may point to the old place.
 */
void *qr_slab_move(qr_slab *slab, void *object, size_t size, bool always);

/* A whole page, for somebody who divides it himself. */
void *qr_slab_page_alloc(qr_slab *slab);
void qr_slab_page_free(qr_slab *slab, void *page);

/* If more than `keep` pages are not in use, gives some of them back to the system: those of one region, at
 * most QR_SLAB_TRIMMED. True: there is more. */
bool qr_slab_trim(qr_slab *slab, size_t keep);
uint64_t qr_slab_used(const qr_slab *slab); /* bytes of objects in pages, and of whole pages */
uint64_t qr_slab_held(const qr_slab *slab); /* bytes of pages that are not given back */
/* Gives back all that is left. No object may be. */
void qr_slab_end(qr_slab *slab);

#endif

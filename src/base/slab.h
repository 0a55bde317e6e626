/* A slab: many small objects of a few sizes that come and go one by one, such as the records of a tree.
 *
 * An object costs its size, rounded up to eight bytes, and nothing besides: neither malloc's head nor its
 * rounding to sixteen. Objects of one size lie together in pages, and a page without objects is given back.
 * Whoever frees one says how large it was; that it was so large is checked. Larger ones than QR_SLAB_MAX may
 * be asked for as well and are malloc's. */
#ifndef QR_BASE_SLAB_H
#define QR_BASE_SLAB_H

#include <stddef.h>
#include <stdint.h>

enum {
    QR_SLAB_STEP = 8,  /* bytes between two sizes; what objects are aligned to */
    QR_SLAB_MAX = 512, /* bytes of the largest object in a page */
};

typedef struct qr_slab_page qr_slab_page;

/* All zero is an empty slab. */
typedef struct qr_slab {
    qr_slab_page *open[QR_SLAB_MAX / QR_SLAB_STEP]; /* owned: pages with room, by size; full ones are their
                                                       objects' */
    uint64_t bytes;                                 /* of all objects, rounded */
} qr_slab;

void *qr_slab_alloc(qr_slab *slab, size_t size); /* uninitialised; ends the process when memory is out */
void qr_slab_free(qr_slab *slab, void *object, size_t size); /* size: as it was asked for */
/* Gives back what it kept for later. No object may be left. */
void qr_slab_end(qr_slab *slab);

#endif

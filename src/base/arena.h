/* An arena: many small allocations, one release. One per request; it dies with the reply. */
#ifndef QR_BASE_ARENA_H
#define QR_BASE_ARENA_H

#include <stddef.h>

#include "base/slice.h"

typedef struct qr_arena_chunk qr_arena_chunk;

typedef struct qr_arena {
    qr_arena_chunk *chunks; /* newest first; owned */
    size_t used;            /* bytes used of the newest chunk */
    size_t total;           /* bytes handed out since the last reset */
} qr_arena;

void qr_arena_init(qr_arena *arena);
void *qr_arena_alloc(qr_arena *arena, size_t size);              /* 16-byte aligned, uninitialised */
void *qr_arena_zero(qr_arena *arena, size_t count, size_t size); /* zeroed */
qr_slice qr_arena_copy(qr_arena *arena, qr_slice bytes);
char *qr_arena_text(qr_arena *arena, qr_slice bytes); /* zero-terminated copy */
char *qr_arena_format(qr_arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));
void qr_arena_reset(qr_arena *arena); /* keeps one chunk for reuse */
void qr_arena_free(qr_arena *arena);

#endif

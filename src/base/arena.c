#include "base/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"

enum { CHUNK_SIZE_MIN = 4096 - 64, ALIGNMENT = 16 };

struct qr_arena_chunk {
    qr_arena_chunk *next;
    size_t size; /* of bytes[] */
    _Alignas(ALIGNMENT) unsigned char bytes[];
};

void qr_arena_init(qr_arena *arena)
{
    *arena = (qr_arena){0};
}

static void add_chunk(qr_arena *arena, size_t need)
{
    size_t size = need > CHUNK_SIZE_MIN ? need : CHUNK_SIZE_MIN;
    qr_arena_chunk *chunk = qr_alloc(sizeof *chunk + size);
    chunk->next = arena->chunks;
    chunk->size = size;
    arena->chunks = chunk;
    arena->used = 0;
}

void *qr_arena_alloc(qr_arena *arena, size_t size)
{
    QR_ASSERT(size <= SIZE_MAX / 2);
    size_t need = (size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
    if (arena->chunks == NULL || arena->chunks->size - arena->used < need)
        add_chunk(arena, need);
    void *memory = arena->chunks->bytes + arena->used;
    arena->used += need;
    arena->total += need;
    return memory;
}

void *qr_arena_zero(qr_arena *arena, size_t count, size_t size)
{
    QR_ASSERT(size == 0 || count <= SIZE_MAX / 2 / size);
    void *memory = qr_arena_alloc(arena, count * size);
    memset(memory, 0, count * size);
    return memory;
}

qr_slice qr_arena_copy(qr_arena *arena, qr_slice bytes)
{
    if (bytes.size == 0)
        return qr_slice_of(NULL, 0);
    return qr_slice_of(memcpy(qr_arena_alloc(arena, bytes.size), bytes.data, bytes.size), bytes.size);
}

char *qr_arena_text(qr_arena *arena, qr_slice bytes)
{
    char *text = qr_arena_alloc(arena, bytes.size + 1);
    if (bytes.size)
        memcpy(text, bytes.data, bytes.size);
    text[bytes.size] = '\0';
    return text;
}

char *qr_arena_format(qr_arena *arena, const char *format, ...)
{
    QR_ASSERT(format != NULL);
    va_list args;
    va_start(args, format);
    int size = vsnprintf(NULL, 0, format, args);
    va_end(args);
    QR_ASSERT(size >= 0);
    char *text = qr_arena_alloc(arena, (size_t)size + 1);
    va_start(args, format);
    vsnprintf(text, (size_t)size + 1, format, args);
    va_end(args);
    return text;
}

void qr_arena_reset(qr_arena *arena)
{
    /* Keep the oldest chunk if it is a plain one, so that a steady stream of requests allocates nothing. */
    qr_arena_chunk *kept = NULL;
    while (arena->chunks != NULL) {
        qr_arena_chunk *next = arena->chunks->next;
        if (next == NULL && arena->chunks->size == CHUNK_SIZE_MIN)
            kept = arena->chunks;
        else
            qr_free(arena->chunks);
        arena->chunks = next;
    }
    arena->chunks = kept;
    arena->used = 0;
    arena->total = 0;
}

void qr_arena_free(qr_arena *arena)
{
    while (arena->chunks != NULL) {
        qr_arena_chunk *next = arena->chunks->next;
        qr_free(arena->chunks);
        arena->chunks = next;
    }
    *arena = (qr_arena){0};
}

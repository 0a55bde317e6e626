/* A slice is a borrowed run of bytes: whoever hands it over says how long it lives. */
#ifndef QR_BASE_SLICE_H
#define QR_BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct qr_slice {
    const uint8_t *data; /* may be NULL when size is 0 */
    size_t size;         /* bytes */
} qr_slice;

static inline qr_slice qr_slice_of(const void *data, size_t size)
{
    return (qr_slice){.data = (const uint8_t *)data, .size = size};
}

/* The bytes of a C string without its terminating zero. */
static inline qr_slice qr_slice_text(const char *text)
{
    return qr_slice_of(text, strlen(text));
}

static inline bool qr_slice_equal(qr_slice a, qr_slice b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

/* Byte-wise (unsigned) lexicographic order; a proper prefix sorts first. <0, 0 or >0. */
static inline int qr_slice_compare(qr_slice a, qr_slice b)
{
    size_t shared = a.size < b.size ? a.size : b.size;
    int order = shared ? memcmp(a.data, b.data, shared) : 0;
    if (order != 0)
        return order;
    return (a.size > b.size) - (a.size < b.size);
}

static inline bool qr_slice_starts(qr_slice whole, qr_slice prefix)
{
    return whole.size >= prefix.size &&
           (prefix.size == 0 || memcmp(whole.data, prefix.data, prefix.size) == 0);
}

#endif

/* A growing run of bytes to write into, and a reader that walks a slice without ever reading past it.
 * All numbers are little-endian and of fixed width, or varints (LEB128, as protobuf's): nothing here depends
 * on the machine. */
#ifndef QR_BASE_BUFFER_H
#define QR_BASE_BUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/slice.h"

/* ---- fixed width, at an address: also for headers patched in place ----
 * By memcpy: a loop over the bytes is more than the compiler makes one load of. */
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define QR__LITTLE32(value) (value)
#define QR__LITTLE64(value) (value)
#else
#define QR__LITTLE32(value) __builtin_bswap32(value)
#define QR__LITTLE64(value) __builtin_bswap64(value)
#endif

static inline void qr_store_u32(uint8_t *at, uint32_t value)
{
    value = QR__LITTLE32(value);
    memcpy(at, &value, sizeof value);
}
static inline void qr_store_u64(uint8_t *at, uint64_t value)
{
    value = QR__LITTLE64(value);
    memcpy(at, &value, sizeof value);
}
static inline uint32_t qr_load_u32(const uint8_t *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof value);
    return QR__LITTLE32(value);
}
static inline uint64_t qr_load_u64(const uint8_t *at)
{
    uint64_t value;
    memcpy(&value, at, sizeof value);
    return QR__LITTLE64(value);
}

/* ---- writing ---- */

typedef struct qr_buffer {
    uint8_t *data; /* owned */
    size_t size;   /* bytes written */
    size_t room;   /* bytes allocated */
} qr_buffer;

void qr_buffer_init(qr_buffer *buffer);
void qr_buffer_free(qr_buffer *buffer);
static inline void qr_buffer_clear(qr_buffer *buffer)
{
    buffer->size = 0;
}
void qr_buffer_shrink(qr_buffer *buffer, size_t room_max); /* empties it; gives memory above room_max back */
void qr_buffer_grow(qr_buffer *buffer, size_t size);       /* what reserve() does when there is no room */
/* Room for size more bytes; does not move .size. */
static inline uint8_t *qr_buffer_reserve(qr_buffer *buffer, size_t size)
{
    if (buffer->data == NULL || buffer->room - buffer->size < size)
        qr_buffer_grow(buffer, size);
    return buffer->data + buffer->size;
}
/* The same, and moves .size; uninitialised. */
static inline uint8_t *qr_buffer_extend(qr_buffer *buffer, size_t size)
{
    uint8_t *at = qr_buffer_reserve(buffer, size);
    buffer->size += size;
    return at;
}
static inline void qr_buffer_add(qr_buffer *buffer, const void *data, size_t size)
{
    if (size)
        memcpy(qr_buffer_extend(buffer, size), data, size);
}
static inline void qr_buffer_add_slice(qr_buffer *buffer, qr_slice slice)
{
    qr_buffer_add(buffer, slice.data, slice.size);
}
static inline void qr_buffer_u8(qr_buffer *buffer, uint8_t value)
{
    *qr_buffer_extend(buffer, 1) = value;
}
static inline void qr_buffer_u16(qr_buffer *buffer, uint16_t value)
{
    uint8_t *at = qr_buffer_extend(buffer, 2);
    at[0] = (uint8_t)value;
    at[1] = (uint8_t)(value >> 8);
}
static inline void qr_buffer_u32(qr_buffer *buffer, uint32_t value)
{
    qr_store_u32(qr_buffer_extend(buffer, 4), value);
}
static inline void qr_buffer_u64(qr_buffer *buffer, uint64_t value)
{
    qr_store_u64(qr_buffer_extend(buffer, 8), value);
}
static inline void qr_buffer_varint(qr_buffer *buffer, uint64_t value)
{
    uint8_t *at = qr_buffer_reserve(buffer, 10);
    size_t size = 0;
    while (value >= 0x80) {
        at[size++] = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    at[size++] = (uint8_t)value;
    buffer->size += size;
}
/* Varint length, then the bytes. */
static inline void qr_buffer_bytes(qr_buffer *buffer, qr_slice slice)
{
    qr_buffer_varint(buffer, slice.size);
    qr_buffer_add_slice(buffer, slice);
}
void qr_buffer_format(qr_buffer *buffer, const char *format, ...) __attribute__((format(printf, 2, 3)));
void qr_buffer_drop(qr_buffer *buffer, size_t size); /* removes bytes at the front */
static inline qr_slice qr_buffer_slice(const qr_buffer *buffer)
{
    return qr_slice_of(buffer->data, buffer->size);
}

/* ---- reading ---- */

/* The first failed read makes the reader fail for good (.failed) and every later read return zero, so a
 * decoder may read a whole header and ask once. */
typedef struct qr_reader {
    const uint8_t *at;
    const uint8_t *end;
    bool failed;
} qr_reader;

static inline qr_reader qr_reader_of(qr_slice slice)
{
    return (qr_reader){
        .at = slice.data, .end = slice.data ? slice.data + slice.size : slice.data, .failed = false};
}
static inline size_t qr_reader_left(const qr_reader *reader)
{
    return (size_t)(reader->end - reader->at);
}
static inline qr_slice qr_reader_take(qr_reader *reader, size_t size)
{
    if (reader->failed || size > qr_reader_left(reader)) {
        reader->failed = true;
        return qr_slice_of(NULL, 0);
    }
    qr_slice slice = qr_slice_of(reader->at, size);
    reader->at += size;
    return slice;
}
static inline uint8_t qr_reader_u8(qr_reader *reader)
{
    qr_slice slice = qr_reader_take(reader, 1);
    return slice.data ? slice.data[0] : 0;
}
static inline uint16_t qr_reader_u16(qr_reader *reader)
{
    qr_slice slice = qr_reader_take(reader, 2);
    return slice.data ? (uint16_t)(slice.data[0] | slice.data[1] << 8) : 0;
}
static inline uint32_t qr_reader_u32(qr_reader *reader)
{
    qr_slice slice = qr_reader_take(reader, 4);
    return slice.data ? qr_load_u32(slice.data) : 0;
}
static inline uint64_t qr_reader_u64(qr_reader *reader)
{
    qr_slice slice = qr_reader_take(reader, 8);
    return slice.data ? qr_load_u64(slice.data) : 0;
}
uint64_t qr_reader_varint_long(qr_reader *reader); /* of any length */
/* At most 10 bytes and 64 bits, else failed. */
static inline uint64_t qr_reader_varint(qr_reader *reader)
{
    if (!reader->failed && reader->at != reader->end && *reader->at < 0x80)
        return *reader->at++;
    return qr_reader_varint_long(reader);
}
/* Varint length, then the bytes; borrowed from the slice. */
static inline qr_slice qr_reader_bytes(qr_reader *reader)
{
    uint64_t size = qr_reader_varint(reader);
    if (size > qr_reader_left(reader))
        reader->failed = true;
    return qr_reader_take(reader, reader->failed ? 0 : (size_t)size);
}

#endif

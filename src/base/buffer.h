/* A growing run of bytes to write into, and a reader that walks a slice without ever reading past it.
 * All numbers are little-endian and of fixed width, or varints (LEB128, as protobuf's): nothing here depends
 * on the machine. */
#ifndef QR_BASE_BUFFER_H
#define QR_BASE_BUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

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
uint8_t *qr_buffer_reserve(qr_buffer *buffer,
                           size_t size);                   /* room for size more bytes; does not move .size */
uint8_t *qr_buffer_extend(qr_buffer *buffer, size_t size); /* the same, and moves .size; uninitialised */
void qr_buffer_add(qr_buffer *buffer, const void *data, size_t size);
void qr_buffer_add_slice(qr_buffer *buffer, qr_slice slice);
void qr_buffer_u8(qr_buffer *buffer, uint8_t value);
void qr_buffer_u16(qr_buffer *buffer, uint16_t value);
void qr_buffer_u32(qr_buffer *buffer, uint32_t value);
void qr_buffer_u64(qr_buffer *buffer, uint64_t value);
void qr_buffer_varint(qr_buffer *buffer, uint64_t value);
void qr_buffer_bytes(qr_buffer *buffer, qr_slice slice); /* varint length, then the bytes */
void qr_buffer_format(qr_buffer *buffer, const char *format, ...) __attribute__((format(printf, 2, 3)));
void qr_buffer_drop(qr_buffer *buffer, size_t size); /* removes bytes at the front */
static inline qr_slice qr_buffer_slice(const qr_buffer *buffer)
{
    return qr_slice_of(buffer->data, buffer->size);
}

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
uint8_t qr_reader_u8(qr_reader *reader);
uint16_t qr_reader_u16(qr_reader *reader);
uint32_t qr_reader_u32(qr_reader *reader);
uint64_t qr_reader_u64(qr_reader *reader);
uint64_t qr_reader_varint(qr_reader *reader); /* at most 10 bytes and 64 bits, else failed */
qr_slice qr_reader_take(qr_reader *reader, size_t size);
qr_slice qr_reader_bytes(qr_reader *reader); /* varint length, then the bytes; borrowed from the slice */

/* Fixed-width stores and loads at an address, for headers patched in place. */
void qr_store_u32(uint8_t *at, uint32_t value);
void qr_store_u64(uint8_t *at, uint64_t value);
uint32_t qr_load_u32(const uint8_t *at);
uint64_t qr_load_u64(const uint8_t *at);

#endif

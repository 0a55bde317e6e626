#include "base/buffer.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"

void qr_store_u32(uint8_t *at, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> (8 * i));
}

void qr_store_u64(uint8_t *at, uint64_t value)
{
    for (int i = 0; i < 8; i++)
        at[i] = (uint8_t)(value >> (8 * i));
}

uint32_t qr_load_u32(const uint8_t *at)
{
    uint32_t value = 0;
    for (int i = 0; i < 4; i++)
        value |= (uint32_t)at[i] << (8 * i);
    return value;
}

uint64_t qr_load_u64(const uint8_t *at)
{
    uint64_t value = 0;
    for (int i = 0; i < 8; i++)
        value |= (uint64_t)at[i] << (8 * i);
    return value;
}

void qr_buffer_init(qr_buffer *buffer)
{
    *buffer = (qr_buffer){0};
}

void qr_buffer_free(qr_buffer *buffer)
{
    qr_free(buffer->data);
    *buffer = (qr_buffer){0};
}

void qr_buffer_shrink(qr_buffer *buffer, size_t room_max)
{
    if (buffer->room > room_max)
        qr_buffer_free(buffer);
    buffer->size = 0;
}

uint8_t *qr_buffer_reserve(qr_buffer *buffer, size_t size)
{
    QR_ASSERT(size <= SIZE_MAX / 4 - buffer->size);
    if (buffer->room - buffer->size < size || buffer->data == NULL) {
        size_t room = buffer->room ? buffer->room * 2 : 256;
        while (room < buffer->size + size)
            room *= 2;
        buffer->data = qr_realloc(buffer->data, room);
        buffer->room = room;
    }
    return buffer->data + buffer->size;
}

uint8_t *qr_buffer_extend(qr_buffer *buffer, size_t size)
{
    uint8_t *at = qr_buffer_reserve(buffer, size);
    buffer->size += size;
    return at;
}

void qr_buffer_add(qr_buffer *buffer, const void *data, size_t size)
{
    if (size)
        memcpy(qr_buffer_extend(buffer, size), data, size);
}

void qr_buffer_add_slice(qr_buffer *buffer, qr_slice slice)
{
    qr_buffer_add(buffer, slice.data, slice.size);
}

void qr_buffer_u8(qr_buffer *buffer, uint8_t value)
{
    *qr_buffer_extend(buffer, 1) = value;
}

void qr_buffer_u16(qr_buffer *buffer, uint16_t value)
{
    uint8_t *at = qr_buffer_extend(buffer, 2);
    at[0] = (uint8_t)value;
    at[1] = (uint8_t)(value >> 8);
}

void qr_buffer_u32(qr_buffer *buffer, uint32_t value)
{
    qr_store_u32(qr_buffer_extend(buffer, 4), value);
}

void qr_buffer_u64(qr_buffer *buffer, uint64_t value)
{
    qr_store_u64(qr_buffer_extend(buffer, 8), value);
}

void qr_buffer_varint(qr_buffer *buffer, uint64_t value)
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

void qr_buffer_bytes(qr_buffer *buffer, qr_slice slice)
{
    qr_buffer_varint(buffer, slice.size);
    qr_buffer_add_slice(buffer, slice);
}

void qr_buffer_format(qr_buffer *buffer, const char *format, ...)
{
    QR_ASSERT(format != NULL);
    va_list args;
    va_start(args, format);
    int size = vsnprintf(NULL, 0, format, args);
    va_end(args);
    QR_ASSERT(size >= 0);
    uint8_t *at = qr_buffer_reserve(buffer, (size_t)size + 1);
    va_start(args, format);
    vsnprintf((char *)at, (size_t)size + 1, format, args);
    va_end(args);
    buffer->size += (size_t)size;
}

void qr_buffer_drop(qr_buffer *buffer, size_t size)
{
    QR_ASSERT(size <= buffer->size);
    buffer->size -= size;
    if (buffer->size)
        memmove(buffer->data, buffer->data + size, buffer->size);
}

qr_slice qr_reader_take(qr_reader *reader, size_t size)
{
    if (reader->failed || size > qr_reader_left(reader)) {
        reader->failed = true;
        return qr_slice_of(NULL, 0);
    }
    qr_slice slice = qr_slice_of(reader->at, size);
    reader->at += size;
    return slice;
}

uint8_t qr_reader_u8(qr_reader *reader)
{
    qr_slice slice = qr_reader_take(reader, 1);
    return slice.data ? slice.data[0] : 0;
}

uint16_t qr_reader_u16(qr_reader *reader)
{
    qr_slice slice = qr_reader_take(reader, 2);
    return slice.data ? (uint16_t)(slice.data[0] | slice.data[1] << 8) : 0;
}

uint32_t qr_reader_u32(qr_reader *reader)
{
    qr_slice slice = qr_reader_take(reader, 4);
    return slice.data ? qr_load_u32(slice.data) : 0;
}

uint64_t qr_reader_u64(qr_reader *reader)
{
    qr_slice slice = qr_reader_take(reader, 8);
    return slice.data ? qr_load_u64(slice.data) : 0;
}

uint64_t qr_reader_varint(qr_reader *reader)
{
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
        if (reader->failed || reader->at == reader->end)
            break;
        uint8_t byte = *reader->at++;
        if (shift == 63 && byte > 1)
            break;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80))
            return value;
    }
    reader->failed = true;
    return 0;
}

qr_slice qr_reader_bytes(qr_reader *reader)
{
    uint64_t size = qr_reader_varint(reader);
    if (size > qr_reader_left(reader))
        reader->failed = true;
    return qr_reader_take(reader, reader->failed ? 0 : (size_t)size);
}

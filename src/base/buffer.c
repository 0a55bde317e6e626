#include "base/buffer.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"

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

void qr_buffer_grow(qr_buffer *buffer, size_t size)
{
    QR_ASSERT(size <= SIZE_MAX / 4 - buffer->size);
    size_t room = buffer->room ? buffer->room * 2 : 256;
    while (room < buffer->size + size)
        room *= 2;
    buffer->data = qr_realloc(buffer->data, room);
    buffer->room = room;
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

uint64_t qr_reader_varint_long(qr_reader *reader)
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

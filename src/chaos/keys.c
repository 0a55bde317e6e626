/* Keys and values are numbers to the judge, and texts on the wire. */
#include <inttypes.h>
#include <stdlib.h>

#include "chaos/inside.h"

static ProtobufCBinaryData bytes_of(char *text)
{
    return (ProtobufCBinaryData){.len = strlen(text), .data = (uint8_t *)text};
}

ProtobufCBinaryData qr_chaos_key(const qr_chaos *c, uint64_t key, qr_arena *arena)
{
    return bytes_of(qr_arena_format(arena, "%s%012" PRIu64, c->prefix, key));
}

static uint64_t number_of(const uint8_t *bytes, size_t size)
{
    char text[24] = "", *end;
    if (size == 0 || size >= sizeof text)
        return UINT64_MAX;
    memcpy(text, bytes, size);
    uint64_t number = strtoull(text, &end, 10);
    return *end == 0 ? number : UINT64_MAX;
}

uint64_t qr_chaos_key_number(const qr_chaos *c, ProtobufCBinaryData bytes)
{
    size_t size = strlen(c->prefix);
    if (bytes.len <= size || memcmp(bytes.data, c->prefix, size) != 0)
        return UINT64_MAX;
    return number_of(bytes.data + size, bytes.len - size);
}

ProtobufCBinaryData qr_chaos_value(uint64_t value, qr_arena *arena)
{
    return bytes_of(qr_arena_format(arena, "%" PRIu64, value));
}

uint64_t qr_chaos_value_number(ProtobufCBinaryData bytes)
{
    return number_of(bytes.data, bytes.len);
}

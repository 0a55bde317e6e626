/* protobuf: glue between protobuf-c and an arena. */
#ifndef QR_WIRE_PROTOBUF_H
#define QR_WIRE_PROTOBUF_H

#include <protobuf-c/protobuf-c.h>

#include "base/base.h"

enum {
    QR_PROTOBUF_DEPTH_MAX = 140,      /* nested messages */
    QR_PROTOBUF_FIELDS_MAX = 1 << 18, /* fields of one message, all levels together */
    QR_PROTOBUF_GROWTH = 160,         /* bytes of arena per byte of input, at most, ... */
    QR_PROTOBUF_BASE = 16 * 1024,     /* ... and these for the small ones (protobuf.c has the arithmetic) */
};

/* Unpacks into the arena: everything dies with it, nothing is freed one by one. Depth and number of fields
 * are scanned first, by the descriptor and without recursion on the input (protobuf-c itself recurses and
 * allocates as the sender likes). NULL: malformed, too deep or too many. */
ProtobufCMessage *qr_protobuf_unpack(const ProtobufCMessageDescriptor *descriptor, qr_slice bytes,
                                     qr_arena *arena);

/* One field of a packed message, taken at *at, which moves on. False: malformed. */
typedef struct qr_protobuf_field {
    const ProtobufCFieldDescriptor *descriptor; /* NULL: not known */
    uint64_t number;                            /* of a varint */
    qr_slice bytes;                             /* of a text, bytes, a message, or packed numbers; borrowed */
} qr_protobuf_field;
bool qr_protobuf_next(const ProtobufCMessageDescriptor *descriptor, qr_slice message, size_t *at,
                      qr_protobuf_field *field);

/* Borrowed, both ways. */
static inline qr_slice qr_protobuf_slice(ProtobufCBinaryData data)
{
    return qr_slice_of(data.data, data.len);
}
static inline ProtobufCBinaryData qr_protobuf_data(qr_slice bytes)
{
    return (ProtobufCBinaryData){.data = (uint8_t *)(uintptr_t)bytes.data, .len = bytes.size};
}

/* Appends the packed message. */
void qr_protobuf_pack(const ProtobufCMessage *message, qr_buffer *out);

#endif

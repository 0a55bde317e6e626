/* Unpacking with bounds. The scan walks the input once, by the descriptor, exactly where protobuf-c would
 * recurse, and refuses what is too deep, too many or malformed before protobuf-c sees it.
 *
 * What remains is the memory that protobuf-c takes. Its allocator here is the arena, and free does nothing,
 * so a sum is taken over all it ever asks for, arrays it gives up for larger ones included. The sum is
 * bounded twice over:
 *
 *   by arithmetic, for what honest encoders write: one field costs at least two bytes of input, and at most
 * its share of the table of scanned fields (40 bytes, doubled because the tables grow by doubling), its entry
 * in a repeated or unknown array (24) and its own structure or copied bytes; by a budget, for what they do
 * not write: a message field that is not repeated but occurs n times is merged n times, each time into new
 * arrays, which adds up to n^2. The allocator hands out at most QR_PROTOBUF_GROWTH * size + QR_PROTOBUF_BASE
 * bytes for an input of that size and then fails, and protobuf-c gives up.
 */
#include "wire/protobuf.h"

typedef struct scan_level {
    const ProtobufCMessageDescriptor *descriptor;
    size_t end; /* offset in the input where the message ends */
} scan_level;

static bool take_varint(qr_slice bytes, size_t *at, size_t end, size_t size_max, uint64_t *value)
{
    *value = 0;
    for (size_t i = 0; i < size_max; i++) {
        if (*at == end)
            return false;
        uint8_t byte = bytes.data[(*at)++];
        *value |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (!(byte & 0x80))
            return true;
    }
    return false;
}

static ProtobufCWireType wire_type_of(ProtobufCType type)
{
    switch (type) {
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_FLOAT: return PROTOBUF_C_WIRE_TYPE_32BIT;
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_DOUBLE: return PROTOBUF_C_WIRE_TYPE_64BIT;
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_BYTES:
    case PROTOBUF_C_TYPE_MESSAGE: return PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED;
    default: return PROTOBUF_C_WIRE_TYPE_VARINT;
    }
}

static bool wire_type_fits(const ProtobufCFieldDescriptor *field, unsigned wire_type)
{
    unsigned wanted = wire_type_of(field->type);
    if (wire_type == wanted)
        return true;
    /* Repeated numbers may come packed, whatever the descriptor prefers. */
    return field->label == PROTOBUF_C_LABEL_REPEATED && wire_type == PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED;
}

/* Steps over the value of one field. For a length-prefixed one, *size is its length and *at stands before its
 * bytes; for the others *size is 0 and *at stands behind. *value is that of a varint. */
static bool take_value(qr_slice bytes, size_t *at, size_t end, unsigned wire_type, size_t *size,
                       uint64_t *value)
{
    size_t fixed = 0;
    *size = 0;
    switch (wire_type) {
    case PROTOBUF_C_WIRE_TYPE_VARINT: return take_varint(bytes, at, end, 10, value);
    case PROTOBUF_C_WIRE_TYPE_64BIT: fixed = 8; break;
    case PROTOBUF_C_WIRE_TYPE_32BIT: fixed = 4; break;
    case PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED:
        if (!take_varint(bytes, at, end, 5, value) || *value > end - *at)
            return false;
        *size = (size_t)*value;
        return true;
    default: return false; /* groups, and what no one has defined */
    }
    if (end - *at < fixed)
        return false;
    *at += fixed;
    return true;
}

/* The head of a field and, unless it is length-prefixed, its value. */
static bool take_field(const ProtobufCMessageDescriptor *descriptor, qr_slice bytes, size_t *at, size_t end,
                       const ProtobufCFieldDescriptor **field, size_t *size, uint64_t *value)
{
    uint64_t tag;
    if (!take_varint(bytes, at, end, 5, &tag) || tag > UINT32_MAX || tag >> 3 == 0)
        return false;
    *field = protobuf_c_message_descriptor_get_field(descriptor, (unsigned)(tag >> 3));
    return (*field == NULL || wire_type_fits(*field, (unsigned)(tag & 7))) &&
           take_value(bytes, at, end, (unsigned)(tag & 7), size, value);
}

bool qr_protobuf_next(const ProtobufCMessageDescriptor *descriptor, qr_slice message, size_t *at,
                      qr_protobuf_field *field)
{
    size_t size;
    if (!take_field(descriptor, message, at, message.size, &field->descriptor, &size, &field->number))
        return false;
    field->bytes = qr_slice_of(message.data + *at, size);
    *at += size;
    return true;
}

static bool scan(const ProtobufCMessageDescriptor *descriptor, qr_slice bytes)
{
    scan_level levels[QR_PROTOBUF_DEPTH_MAX];
    size_t depth = 1;
    size_t at = 0;
    uint32_t fields = 0;
    levels[0] = (scan_level){.descriptor = descriptor, .end = bytes.size};
    for (;;) {
        const scan_level *level = &levels[depth - 1];
        if (at == level->end) {
            if (--depth == 0)
                return true;
            continue;
        }
        const ProtobufCFieldDescriptor *field;
        size_t size;
        uint64_t value;
        if (++fields > QR_PROTOBUF_FIELDS_MAX ||
            !take_field(level->descriptor, bytes, &at, level->end, &field, &size, &value))
            return false;
        if (field != NULL && field->type == PROTOBUF_C_TYPE_MESSAGE) {
            if (depth == QR_PROTOBUF_DEPTH_MAX)
                return false;
            levels[depth++] = (scan_level){.descriptor = field->descriptor, .end = at + size};
        } else {
            at += size;
        }
    }
}

typedef struct budget {
    qr_arena *arena;
    size_t left; /* bytes */
} budget;

static void *budget_alloc(void *context, size_t size)
{
    budget *money = context;
    size_t cost = size > SIZE_MAX - 16 ? SIZE_MAX : (size + 15) & ~(size_t)15; /* the arena rounds up, too */
    if (cost > money->left)
        return NULL;
    money->left -= cost;
    return qr_arena_alloc(money->arena, size);
}

static void budget_free(void *context, void *memory) {}

ProtobufCMessage *qr_protobuf_unpack(const ProtobufCMessageDescriptor *descriptor, qr_slice bytes,
                                     qr_arena *arena)
{
    if (!scan(descriptor, bytes))
        return NULL;
    budget money = {.arena = arena, .left = SIZE_MAX};
    if (bytes.size <= (SIZE_MAX - QR_PROTOBUF_BASE) / QR_PROTOBUF_GROWTH)
        money.left = QR_PROTOBUF_GROWTH * bytes.size + QR_PROTOBUF_BASE;
    ProtobufCAllocator allocator = {.alloc = budget_alloc, .free = budget_free, .allocator_data = &money};
    return protobuf_c_message_unpack(descriptor, &allocator, bytes.size, bytes.data);
}

void qr_protobuf_pack(const ProtobufCMessage *message, qr_buffer *out)
{
    size_t size = protobuf_c_message_get_packed_size(message);
    uint8_t *target = qr_buffer_extend(out, size);
    size_t packed = protobuf_c_message_pack(message, target);
    QR_ASSERT(packed == size);
}

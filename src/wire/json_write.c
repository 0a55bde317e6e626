/* Packed messages to JSON. */
#include <inttypes.h>

#include "wire/json.h"

static void write_base64(qr_buffer *out, qr_slice bytes)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint8_t *to = qr_buffer_extend(out, (bytes.size + 2) / 3 * 4 + 2);
    *to++ = '"';
    for (size_t i = 0; i < bytes.size; i += 3) {
        size_t left = bytes.size - i;
        uint32_t group = (uint32_t)bytes.data[i] << 16 | (left > 1 ? (uint32_t)bytes.data[i + 1] << 8 : 0) |
                         (left > 2 ? bytes.data[i + 2] : 0);
        *to++ = (uint8_t)digits[group >> 18];
        *to++ = (uint8_t)digits[group >> 12 & 63];
        *to++ = left > 1 ? (uint8_t)digits[group >> 6 & 63] : '=';
        *to++ = left > 2 ? (uint8_t)digits[group & 63] : '=';
    }
    *to = '"';
}

/* Bytes of the character that the text begins with; 0: none of UTF-8 (RFC 3629). */
static size_t character_size(qr_slice text)
{
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    uint8_t first = text.data[0];
    size_t size = first < 0x80   ? 1
                  : first < 0xc0 ? 0
                  : first < 0xe0 ? 2
                  : first < 0xf0 ? 3
                  : first < 0xf8 ? 4
                                 : 0;
    if (size <= 1)
        return size;
    if (size > text.size)
        return 0;
    uint32_t code = first & (0x7fu >> size);
    for (size_t i = 1; i < size; i++) {
        if ((text.data[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (text.data[i] & 0x3f);
    }
    bool surrogate = code >= 0xd800 && code < 0xe000;
    return code < smallest[size] || surrogate || code > 0x10ffff ? 0 : size;
}

void qr_json_write_text(qr_buffer *out, qr_slice text)
{
    qr_buffer_u8(out, '"');
    for (size_t i = 0; i < text.size;) {
        size_t size = character_size(qr_slice_of(text.data + i, text.size - i));
        uint8_t byte = text.data[i];
        if (size == 0)
            qr_buffer_format(out, "\\ufffd");
        else if (byte < 0x20)
            qr_buffer_format(out, "\\u%04x", byte);
        else if (byte == '"' || byte == '\\')
            qr_buffer_format(out, "\\%c", byte);
        else
            qr_buffer_add(out, text.data + i, size);
        i += size ? size : 1;
    }
    qr_buffer_u8(out, '"');
}

static void write_enum(qr_buffer *out, const ProtobufCEnumDescriptor *descriptor, int32_t number)
{
    const ProtobufCEnumValue *value = protobuf_c_enum_descriptor_get_value(descriptor, number);
    if (value)
        qr_json_write_text(out, qr_slice_text(value->name));
    else
        qr_buffer_format(out, "%" PRId32, number);
}

static bool write_message(const ProtobufCMessageDescriptor *descriptor, qr_slice message, qr_buffer *out,
                          unsigned depth);

static bool write_value(const qr_protobuf_field *field, qr_buffer *out, unsigned depth)
{
    const ProtobufCFieldDescriptor *descriptor = field->descriptor;
    switch (descriptor->type) {
    case PROTOBUF_C_TYPE_BOOL: qr_buffer_format(out, field->number ? "true" : "false"); return true;
    case PROTOBUF_C_TYPE_INT32: qr_buffer_format(out, "%" PRId32, (int32_t)field->number); return true;
    case PROTOBUF_C_TYPE_UINT32: qr_buffer_format(out, "%" PRIu32, (uint32_t)field->number); return true;
    case PROTOBUF_C_TYPE_INT64: qr_buffer_format(out, "\"%" PRId64 "\"", (int64_t)field->number); return true;
    case PROTOBUF_C_TYPE_UINT64: qr_buffer_format(out, "\"%" PRIu64 "\"", field->number); return true;
    case PROTOBUF_C_TYPE_ENUM: write_enum(out, descriptor->descriptor, (int32_t)field->number); return true;
    case PROTOBUF_C_TYPE_BYTES: write_base64(out, field->bytes); return true;
    case PROTOBUF_C_TYPE_STRING: qr_json_write_text(out, field->bytes); return true;
    case PROTOBUF_C_TYPE_MESSAGE: return write_message(descriptor->descriptor, field->bytes, out, depth + 1);
    default: return false; /* no message of ours has such a field */
    }
}

/* Encoders leave zeros out; those of oneofs and of hand-made messages may come all the same. */
static bool is_left_out(const qr_protobuf_field *field)
{
    const ProtobufCFieldDescriptor *descriptor = field->descriptor;
    return descriptor == NULL ||
           (descriptor->label != PROTOBUF_C_LABEL_REPEATED && descriptor->type != PROTOBUF_C_TYPE_MESSAGE &&
            !(descriptor->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) && !field->number && !field->bytes.size);
}

/* Repeated numbers come one by one: no answer has any, and packed ones are refused. */
static bool is_packed(const qr_protobuf_field *field)
{
    ProtobufCType type = field->descriptor->type;
    return field->bytes.size && type != PROTOBUF_C_TYPE_BYTES && type != PROTOBUF_C_TYPE_STRING &&
           type != PROTOBUF_C_TYPE_MESSAGE;
}

static bool write_message(const ProtobufCMessageDescriptor *descriptor, qr_slice message, qr_buffer *out,
                          unsigned depth)
{
    if (depth > QR_JSON_DEPTH_MAX)
        return false;
    const ProtobufCFieldDescriptor *last = NULL;
    qr_buffer_u8(out, '{');
    for (size_t at = 0; at < message.size;) {
        qr_protobuf_field field;
        if (!qr_protobuf_next(descriptor, message, &at, &field))
            return false;
        if (is_left_out(&field))
            continue;
        bool repeated = field.descriptor->label == PROTOBUF_C_LABEL_REPEATED;
        bool goes_on = field.descriptor == last;
        if (is_packed(&field) || (goes_on && !repeated) || (last && field.descriptor->id < last->id))
            return false;
        if (!goes_on) {
            if (last)
                qr_buffer_format(out, last->label == PROTOBUF_C_LABEL_REPEATED ? "]," : ",");
            qr_buffer_format(out, "\"%s\":%s", field.descriptor->name, repeated ? "[" : "");
        } else {
            qr_buffer_u8(out, ',');
        }
        if (!write_value(&field, out, depth))
            return false;
        last = field.descriptor;
    }
    qr_buffer_format(out, last && last->label == PROTOBUF_C_LABEL_REPEATED ? "]}" : "}");
    return true;
}

bool qr_json_write(const ProtobufCMessageDescriptor *descriptor, qr_slice message, qr_buffer *out)
{
    return write_message(descriptor, message, out, 1);
}

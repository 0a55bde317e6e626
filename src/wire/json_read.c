/* JSON to packed messages: a recursive descent over the text (RFC 8259) that appends as it goes. The
 * recursion is bounded by QR_JSON_DEPTH_MAX. A nested message gets its length in front once its end is known.
 */
#include <inttypes.h>

#include "wire/json.h"

enum { FIELDS_MAX = 64 }; /* of one message: a bit each */

typedef struct json_reader {
    const uint8_t *at, *end;
    qr_buffer *out;
    qr_buffer text; /* the latest string that had escapes */
    const char *why;
    unsigned depth;
} json_reader;

static bool fail(json_reader *reader, const char *why)
{
    if (!reader->why)
        reader->why = why;
    return false;
}

/* ---- tokens ---- */

static void skip_space(json_reader *reader)
{
    while (reader->at < reader->end &&
           (*reader->at == ' ' || *reader->at == '\n' || *reader->at == '\r' || *reader->at == '\t'))
        reader->at++;
}

/* The next byte that is not white space; 0 at the end. */
static uint8_t peek(json_reader *reader)
{
    skip_space(reader);
    return reader->at < reader->end ? *reader->at : 0;
}

static bool take(json_reader *reader, char wanted)
{
    if (peek(reader) != (uint8_t)wanted)
        return false;
    reader->at++;
    return true;
}

static bool take_word(json_reader *reader, const char *word)
{
    size_t size = strlen(word);
    skip_space(reader);
    if ((size_t)(reader->end - reader->at) < size || memcmp(reader->at, word, size) != 0)
        return false;
    reader->at += size;
    return true;
}

static bool is_digit(const json_reader *reader)
{
    return reader->at < reader->end && *reader->at >= '0' && *reader->at <= '9';
}

static bool take_digits(json_reader *reader)
{
    if (!is_digit(reader))
        return false;
    while (is_digit(reader))
        reader->at++;
    return true;
}

static bool take_number(json_reader *reader, qr_slice *number)
{
    skip_space(reader);
    const uint8_t *begin = reader->at;
    if (reader->at < reader->end && *reader->at == '-')
        reader->at++;
    const uint8_t *digits = reader->at;
    if (!take_digits(reader) || (*digits == '0' && reader->at - digits > 1))
        return fail(reader, "a value is malformed");
    if (reader->at < reader->end && *reader->at == '.') {
        reader->at++;
        if (!take_digits(reader))
            return fail(reader, "a number is malformed");
    }
    if (reader->at < reader->end && (*reader->at == 'e' || *reader->at == 'E')) {
        reader->at++;
        if (reader->at < reader->end && (*reader->at == '+' || *reader->at == '-'))
            reader->at++;
        if (!take_digits(reader))
            return fail(reader, "a number is malformed");
    }
    *number = qr_slice_of(begin, (size_t)(reader->at - begin));
    return true;
}

static bool take_hex(json_reader *reader, uint32_t *code)
{
    *code = 0;
    for (int i = 0; i < 4; i++) {
        uint8_t byte = reader->at < reader->end ? *reader->at++ : 0;
        uint32_t digit = byte >= '0' && byte <= '9'   ? byte - (uint32_t)'0'
                         : byte >= 'a' && byte <= 'f' ? byte - (uint32_t)'a' + 10
                         : byte >= 'A' && byte <= 'F' ? byte - (uint32_t)'A' + 10
                                                      : 16;
        if (digit == 16)
            return fail(reader, "a \\u in a string lacks its four digits");
        *code = *code << 4 | digit;
    }
    return true;
}

static void add_character(qr_buffer *out, uint32_t code)
{
    if (code < 0x80) {
        qr_buffer_u8(out, (uint8_t)code);
        return;
    }
    if (code < 0x800) {
        qr_buffer_u8(out, (uint8_t)(0xc0 | code >> 6));
    } else {
        if (code < 0x10000) {
            qr_buffer_u8(out, (uint8_t)(0xe0 | code >> 12));
        } else {
            qr_buffer_u8(out, (uint8_t)(0xf0 | code >> 18));
            qr_buffer_u8(out, (uint8_t)(0x80 | (code >> 12 & 63)));
        }
        qr_buffer_u8(out, (uint8_t)(0x80 | (code >> 6 & 63)));
    }
    qr_buffer_u8(out, (uint8_t)(0x80 | (code & 63)));
}

/* Behind "\u". A half of a pair without the other becomes U+FFFD. */
static bool take_unicode(json_reader *reader)
{
    uint32_t code, low;
    if (!take_hex(reader, &code))
        return false;
    if (code >= 0xd800 && code < 0xdc00 && reader->end - reader->at >= 6 && reader->at[0] == '\\' &&
        reader->at[1] == 'u') {
        const uint8_t *before = reader->at;
        reader->at += 2;
        if (!take_hex(reader, &low))
            return false;
        if (low >= 0xdc00 && low < 0xe000)
            code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
        else
            reader->at = before; /* stands for itself */
    }
    add_character(&reader->text, code >= 0xd800 && code < 0xe000 ? 0xfffd : code);
    return true;
}

static bool take_escape(json_reader *reader)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    if (reader->at == reader->end)
        return fail(reader, "a string has no end");
    uint8_t byte = *reader->at++;
    if (byte == 'u')
        return take_unicode(reader);
    const char *found = byte ? strchr(from, byte) : NULL;
    if (!found)
        return fail(reader, "a string has an unknown escape");
    qr_buffer_u8(&reader->text, (uint8_t)to[found - from]);
    return true;
}

/* A string; valid until the next one is taken. */
static bool take_string(json_reader *reader, qr_slice *string)
{
    if (!take(reader, '"'))
        return fail(reader, "a string is missing");
    const uint8_t *begin = reader->at;
    bool escaped = false;
    qr_buffer_clear(&reader->text);
    for (;;) {
        if (reader->at == reader->end)
            return fail(reader, "a string has no end");
        uint8_t byte = *reader->at++;
        if (byte < 0x20)
            return fail(reader, "a string has a control character");
        if (byte == '"')
            break;
        if (byte == '\\') {
            if (!escaped)
                qr_buffer_add(&reader->text, begin, (size_t)(reader->at - 1 - begin));
            escaped = true;
            if (!take_escape(reader))
                return false;
        } else if (escaped) {
            qr_buffer_u8(&reader->text, byte);
        }
    }
    *string = escaped ? qr_buffer_slice(&reader->text) : qr_slice_of(begin, (size_t)(reader->at - 1 - begin));
    return true;
}

/* ---- structure ---- */

static bool enter(json_reader *reader)
{
    return ++reader->depth <= QR_JSON_DEPTH_MAX || fail(reader, "objects and arrays are nested too deeply");
}

/* Behind a member of an object or array: is there another one? *ended says that it was the last. */
static bool take_comma(json_reader *reader, char closing, bool *ended)
{
    *ended = take(reader, closing);
    if (*ended)
        reader->depth--;
    return *ended || take(reader, ',') || fail(reader, "a comma or a closing bracket is missing");
}

static bool begins_empty(json_reader *reader, char closing)
{
    if (!take(reader, closing))
        return false;
    reader->depth--;
    return true;
}

static bool take_name(json_reader *reader, qr_slice *name)
{
    return take_string(reader, name) && (take(reader, ':') || fail(reader, "a colon is missing"));
}

static bool skip_value(json_reader *reader);

static bool skip_members(json_reader *reader, char closing)
{
    reader->at++;
    if (!enter(reader))
        return false;
    bool ended = begins_empty(reader, closing);
    while (!ended) {
        qr_slice name;
        if ((closing == '}' && !take_name(reader, &name)) || !skip_value(reader) ||
            !take_comma(reader, closing, &ended))
            return false;
    }
    return true;
}

static bool skip_value(json_reader *reader)
{
    qr_slice ignored;
    switch (peek(reader)) {
    case '"': return take_string(reader, &ignored);
    case '{': return skip_members(reader, '}');
    case '[': return skip_members(reader, ']');
    default:
        return take_word(reader, "true") || take_word(reader, "false") || take_word(reader, "null") ||
               take_number(reader, &ignored);
    }
}

/* ---- values ---- */

static int base64_digit(uint8_t byte)
{
    if (byte >= 'A' && byte <= 'Z')
        return byte - 'A';
    if (byte >= 'a' && byte <= 'z')
        return byte - 'a' + 26;
    if (byte >= '0' && byte <= '9')
        return byte - '0' + 52;
    return byte == '+' ? 62 : byte == '/' ? 63 : -1;
}

/* The standard alphabet with its padding, and nothing else: as the gateways that we stand in for. */
static bool add_base64(json_reader *reader, qr_slice text)
{
    if (text.size % 4)
        return fail(reader, "base64 lacks its padding");
    size_t padding = text.size == 0                    ? 0
                     : text.data[text.size - 1] != '=' ? 0
                     : text.data[text.size - 2] != '=' ? 1
                                                       : 2;
    size_t digits = text.size - padding;
    qr_buffer_varint(reader->out, text.size / 4 * 3 - padding);
    uint32_t group = 0;
    for (size_t i = 0; i < digits; i++) {
        int digit = base64_digit(text.data[i]);
        if (digit < 0)
            return fail(reader, "base64 has a foreign character");
        group = group << 6 | (uint32_t)digit;
        if (i % 4 > 0)
            qr_buffer_u8(reader->out, (uint8_t)(group >> (6 - 2 * (i % 4))));
    }
    return true;
}

/* The digits of an integer as 64 bits, a negative one as its complement. */
static bool parse_integer(qr_slice number, bool is_signed, uint64_t max, uint64_t *value)
{
    bool negative = number.size && number.data[0] == '-';
    size_t i = negative ? 1 : 0;
    if (i == number.size || (number.data[i] == '0' && number.size > i + 1))
        return false;
    *value = 0;
    for (; i < number.size; i++) {
        uint64_t digit = (uint64_t)number.data[i] - '0';
        if (digit > 9 || *value > (UINT64_MAX - digit) / 10)
            return false;
        *value = *value * 10 + digit;
    }
    if (*value > max + (negative && is_signed ? 1 : 0) || (negative && !is_signed && *value))
        return false;
    if (negative)
        *value = ~*value + 1;
    return true;
}

static bool take_integer(json_reader *reader, bool is_signed, uint64_t max, uint64_t *value)
{
    qr_slice number;
    bool taken = peek(reader) == '"' ? take_string(reader, &number) : take_number(reader, &number);
    return taken &&
           (parse_integer(number, is_signed, max, value) || fail(reader, "no integer, or out of range"));
}

static bool take_enum(json_reader *reader, const ProtobufCEnumDescriptor *descriptor, uint64_t *value)
{
    qr_slice name;
    if (peek(reader) != '"')
        return take_integer(reader, true, INT32_MAX, value);
    if (!take_string(reader, &name))
        return false;
    for (unsigned i = 0; i < descriptor->n_values; i++) {
        if (!qr_slice_equal(name, qr_slice_text(descriptor->values[i].name)))
            continue;
        *value = (uint64_t)(int64_t)descriptor->values[i].value;
        return true;
    }
    return fail(reader, "an enum has no value of that name");
}

static bool take_bool(json_reader *reader, uint64_t *value)
{
    *value = take_word(reader, "true");
    return *value || take_word(reader, "false") || fail(reader, "true or false is missing");
}

static bool take_scalar(json_reader *reader, const ProtobufCFieldDescriptor *field, uint64_t *value)
{
    switch (field->type) {
    case PROTOBUF_C_TYPE_BOOL: return take_bool(reader, value);
    case PROTOBUF_C_TYPE_INT32: return take_integer(reader, true, INT32_MAX, value);
    case PROTOBUF_C_TYPE_UINT32: return take_integer(reader, false, UINT32_MAX, value);
    case PROTOBUF_C_TYPE_INT64: return take_integer(reader, true, INT64_MAX, value);
    case PROTOBUF_C_TYPE_UINT64: return take_integer(reader, false, UINT64_MAX, value);
    case PROTOBUF_C_TYPE_ENUM: return take_enum(reader, field->descriptor, value);
    default: return fail(reader, "a field of a kind that has no JSON here");
    }
}

static bool take_message(json_reader *reader, const ProtobufCMessageDescriptor *descriptor);

/* The message's length goes in front of it. */
static bool take_submessage(json_reader *reader, const ProtobufCMessageDescriptor *descriptor)
{
    qr_buffer *out = reader->out;
    size_t begin = out->size;
    if (!take_message(reader, descriptor))
        return false;
    size_t size = out->size - begin;
    qr_buffer_varint(out, size); /* at the end first: so its own length is known */
    size_t head = out->size - begin - size;
    uint8_t length[10];
    memcpy(length, out->data + begin + size, head);
    memmove(out->data + begin + head, out->data + begin, size);
    memcpy(out->data + begin, length, head);
    return true;
}

/* One value of the field with its tag. `always`: also when it is zero. */
static bool take_value(json_reader *reader, const ProtobufCFieldDescriptor *field, bool always)
{
    size_t begin = reader->out->size;
    bool prefixed = field->type == PROTOBUF_C_TYPE_MESSAGE || field->type == PROTOBUF_C_TYPE_BYTES ||
                    field->type == PROTOBUF_C_TYPE_STRING;
    qr_buffer_varint(reader->out, (uint64_t)field->id << 3 | (prefixed ? 2 : 0));
    qr_slice text;
    uint64_t value = 1;
    if (field->type == PROTOBUF_C_TYPE_MESSAGE)
        return take_submessage(reader, field->descriptor);
    if (!prefixed) {
        if (!take_scalar(reader, field, &value))
            return false;
        qr_buffer_varint(reader->out, value);
    } else {
        if (!take_string(reader, &text))
            return false;
        value = text.size;
        if (field->type == PROTOBUF_C_TYPE_STRING)
            qr_buffer_bytes(reader->out, text);
        else if (!add_base64(reader, text))
            return false;
    }
    if (!value && !always)
        reader->out->size = begin;
    return true;
}

static bool take_array(json_reader *reader, const ProtobufCFieldDescriptor *field)
{
    if (!take(reader, '['))
        return fail(reader, "an array is missing");
    if (!enter(reader))
        return false;
    bool ended = begins_empty(reader, ']');
    while (!ended)
        if (!take_value(reader, field, true) || !take_comma(reader, ']', &ended))
            return false;
    return true;
}

/* ---- messages ---- */

/* "range_end" is also "rangeEnd". */
static bool name_fits(qr_slice name, const char *field)
{
    if (qr_slice_equal(name, qr_slice_text(field)))
        return true;
    size_t i = 0;
    for (; *field; field++, i++) {
        char wanted = *field;
        if (wanted == '_' && field[1]) {
            wanted = *++field;
            wanted = wanted >= 'a' && wanted <= 'z' ? (char)(wanted - 'a' + 'A') : wanted;
        }
        if (i == name.size || name.data[i] != (uint8_t)wanted)
            return false;
    }
    return i == name.size;
}

static const ProtobufCFieldDescriptor *find_field(const ProtobufCMessageDescriptor *descriptor, qr_slice name)
{
    for (unsigned i = 0; i < descriptor->n_fields; i++)
        if (name_fits(name, descriptor->fields[i].name))
            return &descriptor->fields[i];
    return NULL;
}

/* Has another member of the field's oneof been there? */
static bool oneof_is_taken(const ProtobufCMessageDescriptor *descriptor,
                           const ProtobufCFieldDescriptor *field, uint64_t seen)
{
    for (unsigned i = 0; i < descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *other = &descriptor->fields[i];
        if (other != field && seen >> i & 1 && (other->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) &&
            other->quantifier_offset == field->quantifier_offset)
            return true;
    }
    return false;
}

static bool take_field(json_reader *reader, const ProtobufCMessageDescriptor *descriptor, uint64_t *seen)
{
    qr_slice name;
    if (!take_name(reader, &name))
        return false;
    const ProtobufCFieldDescriptor *field = find_field(descriptor, name);
    if (!field)
        return skip_value(reader);
    if (take_word(reader, "null"))
        return true;
    bool repeated = field->label == PROTOBUF_C_LABEL_REPEATED;
    bool oneof = (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0;
    uint64_t bit = UINT64_C(1) << (field - descriptor->fields);
    bool again = (*seen & bit) != 0;
    if (again && (repeated || field->type == PROTOBUF_C_TYPE_MESSAGE))
        return fail(reader, "a name occurs twice");
    if (oneof && oneof_is_taken(descriptor, field, *seen))
        return fail(reader, "two members of a oneof");
    *seen |= bit;
    return repeated ? take_array(reader, field) : take_value(reader, field, oneof || again);
}

static bool take_message(json_reader *reader, const ProtobufCMessageDescriptor *descriptor)
{
    QR_ASSERT(descriptor->n_fields <= FIELDS_MAX);
    if (!take(reader, '{'))
        return fail(reader, "an object is missing");
    if (!enter(reader))
        return false;
    uint64_t seen = 0;
    bool ended = begins_empty(reader, '}');
    while (!ended)
        if (!take_field(reader, descriptor, &seen) || !take_comma(reader, '}', &ended))
            return false;
    return true;
}

size_t qr_json_read(const ProtobufCMessageDescriptor *descriptor, qr_slice text, qr_buffer *out,
                    const char **why)
{
    json_reader reader = {.at = text.data, .end = text.data + text.size, .out = out};
    *why = NULL;
    if (text.size)
        skip_space(&reader);
    if (reader.at == reader.end)
        return 0;
    qr_buffer_init(&reader.text);
    if (!take_word(&reader, "null"))
        take_message(&reader, descriptor);
    qr_buffer_free(&reader.text);
    *why = reader.why;
    return (size_t)(reader.at - text.data);
}

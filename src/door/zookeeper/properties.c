#include "door/zookeeper/properties.h"

static bool is_blank(uint8_t byte)
{
    return byte == ' ' || byte == '\t' || byte == '\f';
}

static bool is_end(uint8_t byte)
{
    return byte == '\n' || byte == '\r';
}

static qr_slice skip(qr_slice text, size_t size)
{
    QR_ASSERT(size <= text.size);
    return qr_slice_of(text.data + size, text.size - size);
}

static void skip_blanks(qr_zookeeper_properties *reader)
{
    while (reader->rest.size > 0 && is_blank(reader->rest.data[0]))
        reader->rest = skip(reader->rest, 1);
}

/* CR LF is one end. */
static void skip_end(qr_zookeeper_properties *reader)
{
    bool pair = reader->rest.size > 1 && reader->rest.data[0] == '\r' && reader->rest.data[1] == '\n';
    reader->rest = skip(reader->rest, pair ? 2 : 1);
    reader->line++;
}

qr_zookeeper_properties qr_zookeeper_properties_of(qr_slice text)
{
    return (qr_zookeeper_properties){.rest = text};
}

/* ---- escapes ---- */

static bool hex_digit(uint8_t byte, uint32_t *digit)
{
    uint8_t letter = byte | 0x20;
    bool number = byte >= '0' && byte <= '9';
    if (!number && (letter < 'a' || letter > 'f'))
        return false;
    *digit = number ? (uint32_t)(byte - '0') : (uint32_t)(letter - 'a' + 10);
    return true;
}

/* One UTF-16 unit as UTF-8. A surrogate becomes three bytes, which no file or host is called. */
static void add_unit(qr_buffer *out, uint32_t unit)
{
    if (unit < 0x80) {
        qr_buffer_u8(out, (uint8_t)unit);
        return;
    }
    if (unit < 0x800) {
        qr_buffer_u8(out, (uint8_t)(0xC0 | unit >> 6));
    } else {
        qr_buffer_u8(out, (uint8_t)(0xE0 | unit >> 12));
        qr_buffer_u8(out, (uint8_t)(0x80 | (unit >> 6 & 0x3F)));
    }
    qr_buffer_u8(out, (uint8_t)(0x80 | (unit & 0x3F)));
}

/* Behind "\u". */
static bool take_unit(qr_zookeeper_properties *reader, qr_buffer *out)
{
    uint32_t unit = 0, digit;
    for (size_t i = 0; i < 4; i++) {
        if (i >= reader->rest.size || !hex_digit(reader->rest.data[i], &digit))
            return false;
        unit = unit << 4 | digit;
    }
    reader->rest = skip(reader->rest, 4);
    if (unit != 0)
        add_unit(out, unit);
    return unit != 0;
}

/* Behind a backslash. At the end of a line the next one goes on, without its blanks; at the end of the text
 * the backslash was nothing. */
static bool take_escape(qr_zookeeper_properties *reader, qr_buffer *out)
{
    static const char letters[] = "tnrf", meanings[] = "\t\n\r\f";
    if (reader->rest.size == 0)
        return true;
    uint8_t byte = reader->rest.data[0];
    if (is_end(byte)) {
        skip_end(reader);
        skip_blanks(reader);
        return true;
    }
    reader->rest = skip(reader->rest, 1);
    if (byte == 'u')
        return take_unit(reader, out);
    const char *letter = byte != 0 ? strchr(letters, byte) : NULL;
    qr_buffer_u8(out, letter != NULL ? (uint8_t)meanings[letter - letters] : byte);
    return byte != 0;
}

/* ---- names and values ---- */

static bool ends_name(uint8_t byte)
{
    return byte == '=' || byte == ':' || is_blank(byte);
}

/* Up to the end of the logical line, or of the name. */
static bool take_part(qr_zookeeper_properties *reader, bool name, qr_buffer *out)
{
    while (reader->rest.size > 0) {
        uint8_t byte = reader->rest.data[0];
        if (is_end(byte) || (name && ends_name(byte)))
            return true;
        reader->rest = skip(reader->rest, 1);
        if (byte == '\\') {
            if (!take_escape(reader, out))
                return false;
        } else {
            qr_buffer_u8(out, byte);
        }
        if (byte == 0)
            return false;
    }
    return true;
}

/* Blanks, one = or :, blanks; over lines that go on. */
static void skip_separator(qr_zookeeper_properties *reader)
{
    bool seen = false;
    while (reader->rest.size > 0) {
        uint8_t byte = reader->rest.data[0];
        bool goes_on = byte == '\\' && reader->rest.size > 1 && is_end(reader->rest.data[1]);
        if (goes_on) {
            reader->rest = skip(reader->rest, 1);
            skip_end(reader);
        } else if (is_blank(byte) || (!seen && (byte == '=' || byte == ':'))) {
            seen = seen || !is_blank(byte);
            reader->rest = skip(reader->rest, 1);
        } else {
            return;
        }
    }
}

/* As String.trim() of Java: everything up to the space. */
static const char *trimmed(const qr_buffer *part, qr_arena *arena)
{
    qr_slice text = qr_buffer_slice(part);
    while (text.size > 0 && text.data[0] <= ' ')
        text = skip(text, 1);
    while (text.size > 0 && text.data[text.size - 1] <= ' ')
        text.size--;
    return qr_arena_text(arena, text);
}

static bool take_property(qr_zookeeper_properties *reader, qr_arena *arena, qr_zookeeper_property *property)
{
    qr_buffer name, value;
    qr_buffer_init(&name);
    qr_buffer_init(&value);
    property->line = reader->line + 1;
    bool taken = take_part(reader, true, &name);
    if (taken) {
        skip_separator(reader);
        taken = take_part(reader, false, &value);
    }
    property->name = trimmed(&name, arena);
    property->value = trimmed(&value, arena);
    qr_buffer_free(&name);
    qr_buffer_free(&value);
    return taken;
}

static void skip_comment(qr_zookeeper_properties *reader)
{
    while (reader->rest.size > 0 && !is_end(reader->rest.data[0]))
        reader->rest = skip(reader->rest, 1);
}

qr_status qr_zookeeper_properties_next(qr_zookeeper_properties *reader, qr_arena *arena,
                                       qr_zookeeper_property *property, const char **sentence)
{
    while (reader->rest.size > 0) {
        skip_blanks(reader);
        if (reader->rest.size == 0)
            break;
        uint8_t byte = reader->rest.data[0];
        if (is_end(byte)) {
            skip_end(reader);
        } else if (byte == '#' || byte == '!') {
            skip_comment(reader);
        } else if (take_property(reader, arena, property)) {
            return QR_OK;
        } else {
            *sentence = qr_arena_format(
                arena, "line %zu: there is a zero byte, or a \\u without four hexadecimal digits",
                property->line);
            return QR_E_INVALID;
        }
    }
    return QR_E_NOT_FOUND;
}

/* A line of the log, as bytes: a message and its fields, as one JSON object or as logfmt.
 *
 * Values come from anywhere (a member's name, a client's key, the text of a peer), so whatever is in them,
 * the line stays one line with the fields that we gave it. It has at most QR_OS_LOG_LINE_MAX bytes: a value
 * that is too long is cut, and fields that find no room are left out. */
#include <string.h>
#include <time.h>

#include "os/room.h"

static const char *const level_names[] = {"debug", "info", "warn", "error"};

enum {
    PIECE_MAX = 6,  /* bytes of one character of a value, escaped */
    END_MAX = 8,    /* kept free for what ends a value and a line: ...", } and the line feed */
    FIELD_MIN = 64, /* a field finds no room when less than this is left behind its name */
};

/* Length of the well-formed UTF-8 sequence at text (RFC 3629, section 4), 0 if it is none. */
static size_t utf8_length(const uint8_t *text)
{
    uint8_t first = text[0];
    size_t size = first < 0x80                     ? 1
                  : first >= 0xC2 && first <= 0xDF ? 2
                  : (first & 0xF0) == 0xE0         ? 3
                  : first >= 0xF0 && first <= 0xF4 ? 4
                                                   : 0;
    for (size_t i = 1; i < size; i++)
        if ((text[i] & 0xC0) != 0x80)
            return 0;
    if (size >= 3) {
        bool overlong = (first == 0xE0 && text[1] < 0xA0) || (first == 0xF0 && text[1] < 0x90);
        bool surrogate = first == 0xED && text[1] > 0x9F;
        bool beyond = first == 0xF4 && text[1] > 0x8F;
        if (overlong || surrogate || beyond)
            return 0;
    }
    return size;
}

/* Characters of two and three bytes that act on a terminal or a viewer instead of showing: the second set of
 * control characters (U+009B begins an escape sequence), line and paragraph separators, marks that turn the
 * direction of the text around. */
static uint32_t acting_character(const uint8_t *text, size_t size)
{
    uint32_t code =
        size == 2   ? (uint32_t)(text[0] & 0x1F) << 6 | (text[1] & 0x3F)
        : size == 3 ? (uint32_t)(text[0] & 0x0F) << 12 | (uint32_t)(text[1] & 0x3F) << 6 | (text[2] & 0x3F)
                    : 0;
    bool acts = (code >= 0x80 && code < 0xA0) || (code >= 0x2028 && code <= 0x202E) ||
                (code >= 0x2066 && code <= 0x2069);
    return acts ? code : 0;
}

/* One character, at most PIECE_MAX bytes; returns how many of the text it was. */
static size_t add_character(qr_buffer *line, const uint8_t *at)
{
    size_t size = utf8_length(at);
    if (size == 0) {
        qr_buffer_add(line, "\xEF\xBF\xBD", 3);
        return 1;
    }
    uint32_t code = *at < 0x20 || *at == 0x7F ? *at : acting_character(at, size);
    if (*at == '"' || *at == '\\')
        qr_buffer_format(line, "\\%c", *at);
    else if (*at == '\n' || *at == '\r' || *at == '\t')
        qr_buffer_format(line, "\\%c", *at == '\n' ? 'n' : *at == '\r' ? 'r' : 't');
    else if (code != 0)
        qr_buffer_format(line, "\\u%04x", (unsigned)code);
    else
        qr_buffer_add(line, at, size);
    return size;
}

/* A quoted string that is right for JSON and for logfmt; what is not UTF-8 becomes U+FFFD. What would pass
 * the bound of a value or of the line ends with three dots. */
static void add_quoted(qr_buffer *line, const char *text)
{
    const uint8_t *at = (const uint8_t *)text;
    size_t end = line->size + QR_OS_LOG_VALUE_MAX;
    if (end > QR_OS_LOG_LINE_MAX - END_MAX)
        end = QR_OS_LOG_LINE_MAX - END_MAX;
    qr_buffer_u8(line, '"');
    while (*at && line->size + PIECE_MAX <= end)
        at += add_character(line, at);
    qr_buffer_format(line, *at ? "...\"" : "\"");
}

static bool fits(const qr_buffer *line, size_t size)
{
    return size <= QR_OS_LOG_VALUE_MAX && line->size + size <= QR_OS_LOG_LINE_MAX - END_MAX;
}

static void add_value(qr_buffer *line, bool json, const char *text)
{
    bool plain = !json && *text != 0 && fits(line, strlen(text));
    for (const char *at = text; plain && *at; at++)
        plain =
            (unsigned char)*at > ' ' && (unsigned char)*at < 0x7F && *at != '"' && *at != '=' && *at != '\\';
    if (plain)
        qr_buffer_add(line, text, strlen(text));
    else
        add_quoted(line, text);
}

static void add_name(qr_buffer *line, bool json, const char *name)
{
    if (json) {
        if (line->size > 1)
            qr_buffer_u8(line, ',');
        add_quoted(line, name);
        qr_buffer_u8(line, ':');
    } else {
        if (line->size)
            qr_buffer_u8(line, ' ');
        qr_buffer_format(line, "%s=", name);
    }
}

static void add_time(qr_buffer *line, bool json, int64_t wall_ms)
{
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm utc;
    gmtime_r(&seconds, &utc);
    char text[64];
    size_t size = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &utc);
    QR_ASSERT(size > 0);
    add_name(line, json, "ts");
    qr_buffer_format(line, json ? "\"%s.%03dZ\"" : "%s.%03dZ", text, (int)(wall_ms % 1000));
}

/* One field; false when there was no room for it. */
static bool add_field(qr_buffer *line, bool json, const char *name, const char *text)
{
    if (!fits(line, strlen(name) + FIELD_MIN))
        return false;
    add_name(line, json, name);
    add_value(line, json, text);
    return true;
}

void qr_os_log_line(qr_buffer *line, bool json, qr_log_level level, int64_t wall_ms, const char *message,
                    va_list fields)
{
    qr_buffer_clear(line);
    if (json) {
        qr_buffer_u8(line, '{');
        add_field(line, true, "level", level_names[level]);
        add_time(line, true, wall_ms);
    } else {
        add_time(line, false, wall_ms);
        add_field(line, false, "level", level_names[level]);
    }
    bool room = add_field(line, json, "msg", message);
    for (const char *name; room && (name = va_arg(fields, const char *)) != NULL;) {
        const char *text = va_arg(fields, const char *);
        QR_CHECK(text != NULL, "a log field without a text");
        room = add_field(line, json, name, text);
    }
    qr_buffer_add(line, json ? "}\n" : "\n", json ? 2 : 1);
    QR_ASSERT(line->size <= QR_OS_LOG_LINE_MAX);
}

#include "bin/config_file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* ---- bytes of a line ---- */

static bool is_blank(uint8_t byte)
{
    return byte == ' ' || byte == '\t';
}

static bool is_name_byte(uint8_t byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= '0' && byte <= '9') || byte == '-';
}

static qr_slice skip(qr_slice text, size_t size)
{
    QR_ASSERT(size <= text.size);
    return qr_slice_of(text.data + size, text.size - size);
}

static qr_slice without_blanks(qr_slice text)
{
    while (text.size && is_blank(text.data[0]))
        text = skip(text, 1);
    while (text.size && is_blank(text.data[text.size - 1]))
        text.size--;
    return text;
}

/* The next line without its end; a carriage return before the line feed belongs to the end. */
static qr_slice take_line(qr_config_reader *reader)
{
    const uint8_t *feed = memchr(reader->rest.data, '\n', reader->rest.size);
    qr_slice line =
        qr_slice_of(reader->rest.data, feed ? (size_t)(feed - reader->rest.data) : reader->rest.size);
    reader->rest = skip(reader->rest, line.size + (feed != NULL));
    reader->line++;
    if (line.size && line.data[line.size - 1] == '\r')
        line.size--;
    return line;
}

/* ---- values ---- */

/* What is wrong with a line, or NULL. Every sentence below stands behind "line N: ". */
typedef const char *complaint;

static complaint take_single(qr_slice *text, qr_buffer *value)
{
    for (*text = skip(*text, 1); text->size; *text = skip(*text, 1)) {
        if (text->data[0] == '\'') {
            if (text->size < 2 || text->data[1] != '\'') {
                *text = skip(*text, 1);
                return NULL;
            }
            *text = skip(*text, 1); /* two of them stand for one */
        }
        qr_buffer_u8(value, text->data[0]);
    }
    return "the ' that ends the value is missing";
}

static complaint take_double(qr_slice *text, qr_buffer *value)
{
    for (*text = skip(*text, 1); text->size; *text = skip(*text, 1)) {
        if (text->data[0] == '"') {
            *text = skip(*text, 1);
            return NULL;
        }
        if (text->data[0] == '\\') {
            *text = skip(*text, 1);
            if (text->size == 0 || (text->data[0] != '"' && text->data[0] != '\\'))
                return "between double quotes only \\\" and \\\\ are known as escapes";
        }
        qr_buffer_u8(value, text->data[0]);
    }
    return "the \" that ends the value is missing";
}

/* A value without quotes ends before " #", and inside of brackets before a comma or the bracket. */
static complaint take_plain(qr_slice *text, qr_buffer *value, bool in_list)
{
    static const char special[] = "&*!|>%@`{}[],?#";
    if (memchr(special, text->data[0], sizeof special - 1) != NULL)
        return "the value begins with a character that YAML gives a meaning of its own: put it between "
               "quotes";
    if (text->data[0] == '-' && (text->size == 1 || is_blank(text->data[1])))
        return "lists over several lines are not read: write [one, two] or one,two";
    size_t size = 0;
    for (; size < text->size; size++) {
        uint8_t byte = text->data[size];
        if (in_list && (byte == ',' || byte == ']'))
            break;
        if (in_list && (byte == '[' || byte == '{' || byte == '}'))
            return "brackets within brackets are not read";
        if (byte == '#' && size && is_blank(text->data[size - 1]))
            break;
        if (byte == ':' && (size + 1 == text->size || is_blank(text->data[size + 1])))
            return "a second \": \" in one line: put the value between quotes";
    }
    qr_slice plain = without_blanks(qr_slice_of(text->data, size));
    qr_buffer_add_slice(value, plain);
    *text = skip(*text, plain.size);
    return NULL;
}

static complaint take_scalar(qr_slice *text, qr_buffer *value, bool in_list)
{
    if (text->data[0] == '\'')
        return take_single(text, value);
    if (text->data[0] == '"')
        return take_double(text, value);
    return take_plain(text, value, in_list);
}

/* [one, 'two'] is "one,two". */
static complaint take_list(qr_slice *text, qr_buffer *value)
{
    *text = without_blanks(skip(*text, 1));
    for (bool first = true;; first = false) {
        if (text->size && text->data[0] == ']' && first)
            break;
        if (text->size == 0)
            return "the ] that ends the list is missing in this line";
        if (!first)
            qr_buffer_u8(value, ',');
        complaint wrong = take_scalar(text, value, true);
        if (wrong)
            return wrong;
        *text = without_blanks(*text);
        if (text->size && text->data[0] == ']')
            break;
        if (text->size == 0 || text->data[0] != ',')
            return "the ] that ends the list is missing in this line";
        *text = without_blanks(skip(*text, 1));
    }
    *text = skip(*text, 1);
    return NULL;
}

/* text: what is behind the colon. */
static complaint take_value(qr_slice text, qr_arena *arena, const char **value)
{
    *value = NULL;
    qr_slice rest = without_blanks(text);
    if (rest.size == 0 || rest.data[0] == '#')
        return NULL;
    qr_buffer bytes;
    qr_buffer_init(&bytes);
    complaint wrong = rest.data[0] == '[' ? take_list(&rest, &bytes) : take_scalar(&rest, &bytes, false);
    bool touches = rest.size && !is_blank(rest.data[0]);
    rest = without_blanks(rest);
    if (!wrong && rest.size && (touches || rest.data[0] != '#'))
        wrong = "there is something behind the end of the value";
    if (!wrong)
        *value = qr_arena_text(arena, qr_buffer_slice(&bytes));
    qr_buffer_free(&bytes);
    return wrong;
}

/* ---- lines ---- */

qr_config_reader qr_config_reader_of(qr_slice text)
{
    qr_slice mark = qr_slice_text("\xEF\xBB\xBF"); /* of UTF-8, left by some editors */
    return (qr_config_reader){.rest = qr_slice_starts(text, mark) ? skip(text, mark.size) : text};
}

static complaint check_bytes(qr_slice line)
{
    for (size_t i = 0; i < line.size; i++)
        if ((line.data[i] < 0x20 && line.data[i] != '\t') || line.data[i] == 0x7F)
            return "control characters do not belong into this file";
    return NULL;
}

/* A line that is no entry, but is in order. */
static bool says_nothing(qr_config_reader *reader, qr_slice line)
{
    qr_slice text = without_blanks(line);
    if (text.size == 0 || text.data[0] == '#')
        return true;
    bool beginning = !reader->begun && line.size == text.size && qr_slice_equal(text, qr_slice_text("---"));
    reader->begun = reader->begun || beginning;
    return beginning;
}

static complaint take_entry(qr_config_reader *reader, qr_slice line, qr_arena *arena, qr_config_entry *entry)
{
    if (is_blank(line.data[0]) && reader->newest.size)
        return qr_arena_format(arena, "nested YAML is not read; this would belong to \"%.*s\" in line %zu",
                               (int)reader->newest.size, (const char *)reader->newest.data,
                               reader->newest_at);
    if (is_blank(line.data[0]))
        return "a name stands at the beginning of its line";
    if (line.data[0] == '-' && (line.size == 1 || is_blank(line.data[1])))
        return "lists over several lines are not read: write name: [one, two] or name: one,two";
    size_t size = 0;
    while (size < line.size && is_name_byte(line.data[size]))
        size++;
    if (size == 0 || size == line.size || line.data[size] != ':' ||
        (size + 1 < line.size && !is_blank(line.data[size + 1])))
        return "this is not of the form \"name: value\"";
    reader->begun = true;
    reader->newest = entry->name = qr_slice_of(line.data, size);
    reader->newest_at = entry->line = reader->line;
    complaint wrong = take_value(skip(line, size + 1), arena, &entry->value);
    return wrong ? qr_arena_format(arena, "%.*s: %s", (int)size, (const char *)line.data, wrong) : NULL;
}

qr_status qr_config_next(qr_config_reader *reader, qr_arena *arena, qr_config_entry *entry,
                         const char **sentence)
{
    while (reader->rest.size) {
        qr_slice line = take_line(reader);
        complaint wrong = check_bytes(line);
        if (!wrong && says_nothing(reader, line))
            continue;
        if (!wrong)
            wrong = take_entry(reader, line, arena, entry);
        if (!wrong)
            return QR_OK;
        *sentence = qr_arena_format(arena, "line %zu: %s", reader->line, wrong);
        return QR_E_INVALID;
    }
    return QR_E_NOT_FOUND;
}

qr_status qr_config_read(const char *path, qr_arena *arena, qr_slice *text, const char **sentence)
{
    FILE *file = fopen(path, "rbe");
    if (file == NULL) {
        *sentence =
            qr_arena_format(arena, "the configuration file %s cannot be opened: %s", path, strerror(errno));
        return errno == ENOENT ? QR_E_NOT_FOUND : QR_E_IO;
    }
    char *bytes = qr_arena_alloc(arena, QR_CONFIG_FILE_MAX + 1);
    errno = 0;
    size_t size = fread(bytes, 1, QR_CONFIG_FILE_MAX + 1, file);
    int trouble = ferror(file) ? errno : 0;
    fclose(file);
    if (trouble != 0) {
        *sentence =
            qr_arena_format(arena, "the configuration file %s cannot be read: %s", path, strerror(trouble));
        return QR_E_IO;
    }
    if (size > QR_CONFIG_FILE_MAX) {
        *sentence = qr_arena_format(arena, "the configuration file %s has more than %d bytes", path,
                                    QR_CONFIG_FILE_MAX);
        return QR_E_TOO_LARGE;
    }
    *text = qr_slice_of(bytes, size);
    return QR_OK;
}

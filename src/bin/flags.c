#include "bin/flags.h"
#include "bin/config_file.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { HELP_WIDTH = 96, HELP_INDENT = 8 };

/* ---- values ---- */

static bool parse_bool(const char *text, bool *value)
{
    static const char *const yes[] = {"1", "t", "T", "TRUE", "true", "True"};
    static const char *const no[] = {"0", "f", "F", "FALSE", "false", "False"};
    for (size_t i = 0; i < sizeof yes / sizeof *yes; i++) {
        if (strcmp(text, yes[i]) == 0 || strcmp(text, no[i]) == 0) {
            *value = strcmp(text, yes[i]) == 0;
            return true;
        }
    }
    return false;
}

static bool parse_number(const char *text, int64_t *value)
{
    char *end;
    errno = 0;
    *value = strtoll(text, &end, 10);
    return errno == 0 && end != text && *end == 0 && !isspace((unsigned char)*text);
}

static bool is_usual(const qr_flag *flag, const char *text)
{
    bool a, b;
    if (flag->kind == QR_FLAG_BOOL && parse_bool(text, &a) && parse_bool(flag->usual, &b))
        return a == b;
    return strcmp(text, flag->usual) == 0;
}

const char *qr_flags_text(const qr_flags *flags, size_t index)
{
    QR_ASSERT(index < flags->count);
    return flags->values[index].text;
}

bool qr_flags_bool(const qr_flags *flags, size_t index)
{
    bool value = false, right = parse_bool(qr_flags_text(flags, index), &value);
    QR_ASSERT(right && flags->table[index].kind == QR_FLAG_BOOL);
    return value;
}

int64_t qr_flags_number(const qr_flags *flags, size_t index)
{
    int64_t value = 0;
    bool right = parse_number(qr_flags_text(flags, index), &value);
    QR_ASSERT(right && flags->table[index].kind == QR_FLAG_NUMBER);
    return value;
}

bool qr_flags_set(const qr_flags *flags, size_t index)
{
    QR_ASSERT(index < flags->count);
    return flags->values[index].source != QR_FLAG_USUAL;
}

/* ---- names ---- */

/* ETCD_DATA_DIR, of data-dir. */
static char *variable_name(const char *prefix, const char *name, qr_arena *arena)
{
    char *text = qr_arena_format(arena, "%s%s", prefix, name);
    for (char *at = text + strlen(prefix); *at; at++)
        *at = *at == '-' ? '_' : (char)toupper((unsigned char)*at);
    return text;
}

static const qr_flag *find_exactly(const qr_flags *flags, qr_slice name)
{
    for (size_t i = 0; i < flags->count; i++)
        if (qr_slice_equal(qr_slice_text(flags->table[i].name), name))
            return &flags->table[i];
    return NULL;
}

/* etcd's flags lose the word "experimental" when they grow up: both names are known. */
static const qr_flag *find(const qr_flags *flags, qr_slice name)
{
    static const char prefix[] = "experimental-";
    const qr_flag *flag = find_exactly(flags, name);
    if (flag == NULL && qr_slice_starts(name, qr_slice_text(prefix)))
        flag = find_exactly(flags, qr_slice_of(name.data + sizeof prefix - 1, name.size - sizeof prefix + 1));
    return flag;
}

static void warn(qr_flags *flags, const char *warning)
{
    if (flags->warning_count < QR_FLAG_WARNINGS_MAX)
        flags->warnings[flags->warning_count++] = warning;
}

/* ---- parsing ---- */

static qr_status parse_variables(qr_flags *flags, char **environment, qr_arena *arena)
{
    size_t prefix_size = strlen(flags->prefix);
    for (char **at = environment; at != NULL && *at != NULL; at++) {
        const char *equals = strchr(*at, '=');
        if (equals == NULL || strncmp(*at, flags->prefix, prefix_size) != 0 || equals == *at + prefix_size)
            continue;
        size_t size = (size_t)(equals - *at) - prefix_size;
        char *name = qr_arena_text(arena, qr_slice_of(*at + prefix_size, size));
        for (char *letter = name; *letter; letter++)
            *letter = *letter == '_' ? '-' : (char)tolower((unsigned char)*letter);
        const qr_flag *flag = find(flags, qr_slice_text(name));
        if (flag == NULL)
            warn(flags, qr_arena_format(arena, "the environment variable %.*s is not known and has no effect",
                                        (int)(equals - *at), *at));
        else if (equals[1] != 0) /* an empty variable is none, as in etcd */
            flags->values[flag - flags->table] =
                (qr_flag_value){.text = equals + 1, .source = QR_FLAG_VARIABLE};
    }
    return QR_OK;
}

static qr_status parse_line(qr_flags *flags, int argc, char **argv, qr_arena *arena, const char **sentence)
{
    for (int i = 1; i < argc; i++) {
        const char *at = argv[i];
        size_t dashes = strspn(at, "-");
        if (dashes == 0 || dashes > 2 || at[dashes] == 0) {
            *sentence = qr_arena_format(arena, "'%s' is not a flag", at);
            return QR_E_INVALID;
        }
        at += dashes;
        size_t size = strcspn(at, "=");
        const qr_flag *flag = find(flags, qr_slice_of(at, size));
        if (flag == NULL) {
            *sentence = qr_arena_format(arena, "the flag --%.*s is not known", (int)size, at);
            return QR_E_INVALID;
        }
        const char *text;
        if (at[size] == '=') {
            text = at + size + 1;
        } else if (flag->kind == QR_FLAG_BOOL) {
            text = "true";
        } else if (i + 1 < argc) {
            text = argv[++i];
        } else {
            *sentence = qr_arena_format(arena, "the flag --%s needs a value", flag->name);
            return QR_E_INVALID;
        }
        flags->values[flag - flags->table] = (qr_flag_value){.text = text, .source = QR_FLAG_LINE};
    }
    return QR_OK;
}

/* How whoever set the value wrote the flag. */
static const char *source_name(const qr_flags *flags, size_t index, qr_arena *arena)
{
    const char *name = flags->table[index].name;
    switch (flags->values[index].source) {
    case QR_FLAG_FILE:
        return qr_arena_format(arena, "%s, line %zu: %s", flags->file, flags->values[index].file_line, name);
    case QR_FLAG_VARIABLE: return variable_name(flags->prefix, name, arena);
    default: return qr_arena_format(arena, "--%s", name);
    }
}

static qr_status check_value(qr_flags *flags, size_t index, qr_arena *arena, const char **sentence)
{
    const qr_flag *flag = &flags->table[index];
    const qr_flag_value *value = &flags->values[index];
    if (value->source == QR_FLAG_USUAL)
        return QR_OK;
    const char *name = source_name(flags, index, arena);
    bool truth;
    int64_t number;
    const char *wanted = NULL;
    if (flag->kind == QR_FLAG_BOOL && !parse_bool(value->text, &truth))
        wanted = "true or false";
    if (flag->kind == QR_FLAG_NUMBER && !parse_number(value->text, &number))
        wanted = "a whole number";
    if (wanted != NULL) {
        *sentence = qr_arena_format(arena, "%s must be %s, not \"%s\"", name, wanted, value->text);
        return QR_E_INVALID;
    }
    if (flag->conduct == QR_FLAG_TAKEN || is_usual(flag, value->text))
        return QR_OK;
    if (flag->conduct == QR_FLAG_IGNORED) {
        warn(flags, qr_arena_format(arena, "%s has no effect: %s", name, flag->help));
        return QR_OK;
    }
    *sentence = qr_arena_format(arena, "%s is not supported: %s", name, flag->help);
    return QR_E_UNSUPPORTED;
}

qr_status qr_flags_parse(qr_flags *flags, int argc, char **argv, char **environment, qr_arena *arena,
                         const char **sentence)
{
    flags->values = qr_arena_zero(arena, flags->count, sizeof *flags->values);
    flags->warning_count = 0;
    flags->file = NULL;
    for (size_t i = 0; i < flags->count; i++)
        flags->values[i].text = flags->table[i].usual;
    for (int i = 1; i < argc; i++) {
        const char *name = argv[i] + strspn(argv[i], "-");
        bool dashed = name != argv[i] && name - argv[i] <= 2;
        flags->help = flags->help || (dashed && (strcmp(name, "help") == 0 || strcmp(name, "h") == 0));
        flags->version = flags->version || (dashed && strcmp(name, "version") == 0);
    }
    if (flags->help || flags->version)
        return QR_OK;
    qr_status status = flags->prefix ? parse_variables(flags, environment, arena) : QR_OK;
    if (status == QR_OK)
        status = parse_line(flags, argc, argv, arena, sentence);
    for (size_t i = 0; i < flags->count && status == QR_OK; i++)
        status = check_value(flags, i, arena, sentence);
    return status;
}

/* ---- configuration files ---- */

static void forget_values(qr_flags *flags, size_t keep, qr_arena *arena)
{
    qr_buffer names;
    qr_buffer_init(&names);
    for (size_t i = 0; i < flags->count; i++) {
        if (i == keep)
            continue;
        if (flags->values[i].source != QR_FLAG_USUAL)
            qr_buffer_format(&names, "%s%s", names.size ? ", " : "", source_name(flags, i, arena));
        flags->values[i] = (qr_flag_value){.text = flags->table[i].usual};
    }
    flags->warning_count = 0;
    if (names.size)
        warn(flags, qr_arena_format(
                        arena, "the configuration file replaces flags and variables; without effect: %.*s",
                        (int)names.size, (const char *)names.data));
    qr_buffer_free(&names);
}

static qr_status take_entry(qr_flags *flags, const qr_config_entry *entry, size_t keep, qr_arena *arena,
                            const char **sentence)
{
    const qr_flag *flag = find(flags, entry->name);
    const char *name = qr_arena_text(arena, entry->name), *wrong = NULL;
    qr_flag_value *value = flag ? &flags->values[flag - flags->table] : NULL;
    if (flag == NULL)
        wrong = "is not known; the names are those of the flags";
    else if (flag == &flags->table[keep])
        wrong = "cannot be named in a configuration file";
    else if (value->file_line != 0)
        wrong = qr_arena_format(arena, "was already set in line %zu", value->file_line);
    if (wrong != NULL) {
        *sentence = qr_arena_format(arena, "%s, line %zu: %s %s", flags->file, entry->line, name, wrong);
        return QR_E_INVALID;
    }
    value->file_line = entry->line;
    if (entry->value != NULL) {
        value->text = entry->value;
        value->source = QR_FLAG_FILE;
    }
    return QR_OK;
}

qr_status qr_flags_parse_file(qr_flags *flags, const char *file, qr_slice text, size_t keep, qr_arena *arena,
                              const char **sentence)
{
    forget_values(flags, keep, arena);
    flags->file = file;
    qr_config_reader reader = qr_config_reader_of(text);
    qr_config_entry entry;
    qr_status status;
    while ((status = qr_config_next(&reader, arena, &entry, sentence)) == QR_OK) {
        status = take_entry(flags, &entry, keep, arena, sentence);
        if (status != QR_OK)
            return status;
    }
    if (status != QR_E_NOT_FOUND) {
        *sentence = qr_arena_format(arena, "%s, %s", file, *sentence);
        return status;
    }
    status = QR_OK;
    for (size_t i = 0; i < flags->count && status == QR_OK; i++)
        if (i != keep)
            status = check_value(flags, i, arena, sentence);
    return status;
}

const char *qr_flags_place(const qr_flags *flags, const char *sentence, qr_arena *arena)
{
    const char *at = flags->file ? strstr(sentence, "--") : NULL;
    if (at == NULL)
        return sentence;
    size_t size = strspn(at + 2, "abcdefghijklmnopqrstuvwxyz0123456789-");
    const qr_flag *flag = find_exactly(flags, qr_slice_of(at + 2, size));
    const qr_flag_value *value = flag ? &flags->values[flag - flags->table] : NULL;
    if (value == NULL || value->source != QR_FLAG_FILE)
        return qr_arena_format(arena, "%s: %s", flags->file, sentence);
    return qr_arena_format(arena, "%s, line %zu: %s", flags->file, value->file_line, sentence);
}

/* ---- help ---- */

static void add_wrapped(qr_buffer *out, const char *text)
{
    size_t column = 0;
    while (*text) {
        size_t word = strcspn(text, " ");
        if (column > 0 && column + 1 + word > HELP_WIDTH) {
            qr_buffer_u8(out, '\n');
            column = 0;
        }
        if (column == 0) {
            qr_buffer_format(out, "%*s", HELP_INDENT, "");
            column = HELP_INDENT;
        } else {
            qr_buffer_u8(out, ' ');
            column++;
        }
        qr_buffer_add(out, text, word);
        column += word;
        text += word + (text[word] == ' ');
    }
    qr_buffer_u8(out, '\n');
}

void qr_flags_help(const qr_flags *flags, qr_buffer *out)
{
    for (size_t i = 0; i < flags->count; i++) {
        const qr_flag *flag = &flags->table[i];
        if (flag->conduct != QR_FLAG_TAKEN)
            continue;
        qr_buffer_format(out, "    --%s", flag->name);
        if (flag->kind != QR_FLAG_BOOL)
            qr_buffer_format(out, " %s", flag->value);
        if (flag->usual[0])
            qr_buffer_format(out, "   (%s)", flag->usual);
        qr_buffer_u8(out, '\n');
        add_wrapped(out, flag->help);
    }
}

void qr_flags_names(const qr_flags *flags, qr_flag_conduct conduct, qr_buffer *out)
{
    qr_buffer names;
    qr_buffer_init(&names);
    for (size_t i = 0; i < flags->count; i++)
        if (flags->table[i].conduct == conduct)
            qr_buffer_format(&names, "%s%s", names.size ? ", " : "", flags->table[i].name);
    qr_buffer_u8(&names, 0);
    add_wrapped(out, (const char *)names.data);
    qr_buffer_free(&names);
}

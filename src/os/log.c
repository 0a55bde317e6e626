/* The log sink: one line an event, as JSON in the form that etcd's tools read, or as logfmt for people. A
 * line is written with one write(2) to each output, so lines of several processes that share a pipe do not
 * mix. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "os/room.h"

static const char *const level_names[] = {"debug", "info", "warn", "error"};

void qr_os_log_init(qr_os_log *log)
{
    *log = (qr_os_log){.level = QR_LOG_INFO, .json = true, .outputs = {STDERR_FILENO}, .output_count = 1};
}

void qr_os_log_close(qr_os_log *log)
{
    for (size_t i = 0; i < log->output_count; i++)
        if (log->outputs[i] > STDERR_FILENO)
            close(log->outputs[i]);
    log->output_count = 0;
    qr_buffer_free(&log->line);
}

static int open_output(const char *name)
{
    if (strcmp(name, "stderr") == 0 || strcmp(name, "default") == 0)
        return STDERR_FILENO;
    if (strcmp(name, "stdout") == 0)
        return STDOUT_FILENO;
    if (strcmp(name, "/dev/null") == 0)
        return open(name, O_WRONLY | O_CLOEXEC);
    return open(name, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
}

qr_status qr_log_open(qr_os *os, const qr_log_config *config, qr_arena *arena, const char **sentence)
{
    qr_os_log *log = &os->log;
    qr_os_log_close(log);
    log->level = config->level;
    log->json = config->json;
    char *rest = qr_arena_format(arena, "%s", config->outputs ? config->outputs : "default");
    for (char *name; (name = strsep(&rest, ",")) != NULL;) {
        if (*name == 0)
            continue;
        if (log->output_count == QR_OS_LOG_OUTPUTS_MAX) {
            *sentence = qr_arena_format(arena, "more than %d log outputs", QR_OS_LOG_OUTPUTS_MAX);
            return QR_E_TOO_LARGE;
        }
        int descriptor = open_output(name);
        if (descriptor < 0) {
            *sentence = qr_arena_format(arena, "log output %s cannot be opened: %s", name, strerror(errno));
            return QR_E_IO;
        }
        log->outputs[log->output_count++] = descriptor;
    }
    return QR_OK;
}

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

/* A quoted string that is right for JSON and for logfmt; what is not UTF-8 becomes U+FFFD. */
static void add_quoted(qr_buffer *line, const char *text)
{
    const uint8_t *at = (const uint8_t *)text;
    qr_buffer_u8(line, '"');
    while (*at) {
        size_t size = utf8_length(at);
        if (size == 0) {
            qr_buffer_add(line, "\xEF\xBF\xBD", 3);
            at++;
        } else if (*at == '"' || *at == '\\') {
            qr_buffer_u8(line, '\\');
            qr_buffer_u8(line, *at++);
        } else if (*at == '\n' || *at == '\r' || *at == '\t') {
            qr_buffer_u8(line, '\\');
            qr_buffer_u8(line, *at == '\n' ? 'n' : *at == '\r' ? 'r' : 't');
            at++;
        } else if (*at < 0x20 || *at == 0x7F) {
            qr_buffer_format(line, "\\u%04x", *at++);
        } else {
            qr_buffer_add(line, at, size);
            at += size;
        }
    }
    qr_buffer_u8(line, '"');
}

static void add_value(qr_buffer *line, bool json, const char *text)
{
    bool plain = !json && *text != 0;
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
        qr_buffer_u8(line, line->size == 1 ? ' ' : ',');
        if (line->data[line->size - 1] == ' ')
            line->size--;
        add_quoted(line, name);
        qr_buffer_u8(line, ':');
    } else {
        if (line->size)
            qr_buffer_u8(line, ' ');
        qr_buffer_format(line, "%s=", name);
    }
}

static void add_time(qr_buffer *line, bool json)
{
    int64_t wall_ms = qr_os_wall_ms();
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm utc;
    gmtime_r(&seconds, &utc);
    char text[64];
    size_t size = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &utc);
    QR_ASSERT(size > 0);
    add_name(line, json, "ts");
    qr_buffer_format(line, json ? "\"%s.%03dZ\"" : "%s.%03dZ", text, (int)(wall_ms % 1000));
}

static void write_all(int descriptor, const uint8_t *at, size_t left)
{
    while (left > 0) {
        ssize_t wrote = write(descriptor, at, left);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote <= 0)
            return; /* a full or broken log must not stop a member */
        at += wrote;
        left -= (size_t)wrote;
    }
}

void qr_log(qr_os *os, qr_log_level level, const char *message, ...)
{
    qr_os_log *log = &os->log;
    QR_ASSERT(level <= QR_LOG_ERROR);
    if (level < log->level)
        return;
    qr_buffer *line = &log->line;
    qr_buffer_clear(line);
    if (log->json)
        qr_buffer_u8(line, '{');
    if (log->json) {
        add_name(line, true, "level");
        add_value(line, true, level_names[level]);
        add_time(line, true);
    } else {
        add_time(line, false);
        add_name(line, false, "level");
        add_value(line, false, level_names[level]);
    }
    add_name(line, log->json, "msg");
    add_value(line, log->json, message);
    va_list fields;
    va_start(fields, message);
    for (const char *name; (name = va_arg(fields, const char *)) != NULL;) {
        const char *text = va_arg(fields, const char *);
        QR_CHECK(text != NULL, "a log field without a text");
        add_name(line, log->json, name);
        add_value(line, log->json, text);
    }
    va_end(fields);
    qr_buffer_add(line, log->json ? "}\n" : "\n", log->json ? 2 : 1);
    for (size_t i = 0; i < log->output_count; i++)
        write_all(log->outputs[i], line->data, line->size);
}

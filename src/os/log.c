/* The log sink: one line an event, as JSON in the form that etcd's tools read, or as logfmt for people. A
 * line is written with one write(2) to each output, and is short enough that lines of several processes that
 * share a pipe do not mix. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "os/room.h"

void qr_os_log_init(qr_os_log *log)
{
    *log = (qr_os_log){.level = QR_LOG_INFO, .json = true, .outputs = {STDERR_FILENO}, .output_count = 1};
}

static void close_outputs(const int *outputs, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (outputs[i] > STDERR_FILENO)
            close(outputs[i]);
}

void qr_os_log_close(qr_os_log *log)
{
    close_outputs(log->outputs, log->output_count);
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

/* All of them or none. */
static qr_status open_outputs(const char *names, int *outputs, size_t *count, qr_arena *arena,
                              const char **sentence)
{
    char *rest = qr_arena_format(arena, "%s", names ? names : "default");
    *count = 0;
    for (char *name; (name = strsep(&rest, ",")) != NULL;) {
        if (*name == 0)
            continue;
        bool room = *count < QR_OS_LOG_OUTPUTS_MAX;
        int descriptor = room ? open_output(name) : -1;
        if (descriptor < 0) {
            *sentence =
                room ? qr_arena_format(arena, "log output %s cannot be opened: %s", name, strerror(errno))
                     : qr_arena_format(arena, "more than %d log outputs", QR_OS_LOG_OUTPUTS_MAX);
            close_outputs(outputs, *count);
            return room ? QR_E_IO : QR_E_TOO_LARGE;
        }
        outputs[(*count)++] = descriptor;
    }
    return QR_OK;
}

/* The new outputs are open before the old ones are closed, so that a mistake leaves the log as it was. */
qr_status qr_log_open(qr_os *os, const qr_log_config *config, qr_arena *arena, const char **sentence)
{
    qr_os_log *log = &os->log;
    int outputs[QR_OS_LOG_OUTPUTS_MAX];
    size_t count;
    qr_status status = open_outputs(config->outputs, outputs, &count, arena, sentence);
    if (status != QR_OK)
        return status;
    qr_os_log_close(log);
    log->level = config->level;
    log->json = config->json;
    memcpy(log->outputs, outputs, count * sizeof *outputs);
    log->output_count = count;
    return QR_OK;
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
    va_list fields;
    va_start(fields, message);
    qr_os_log_line(&log->line, log->json, level, qr_os_wall_ms(), message, fields);
    va_end(fields);
    for (size_t i = 0; i < log->output_count; i++)
        write_all(log->outputs[i], log->line.data, log->line.size);
}

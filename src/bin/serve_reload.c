#include <string.h>

#include "bin/config_file.h"
#include "bin/serve.h"

/* The values of now: of the file as it is now, or those that the member runs with. */
static qr_status read_again(const qr_flags *running, qr_flags *fresh, qr_arena *arena, const char **sentence)
{
    if (running->file == NULL) {
        *fresh = *running;
        return QR_OK;
    }
    *fresh = qr_serve_flags();
    qr_status status = qr_flags_parse(fresh, 0, NULL, NULL, arena, sentence);
    QR_ASSERT(status == QR_OK);
    fresh->values[QR_SERVE_CONFIG_FILE] = running->values[QR_SERVE_CONFIG_FILE];
    qr_slice text;
    status = qr_config_read(running->file, arena, &text, sentence);
    return status == QR_OK
               ? qr_flags_parse_file(fresh, running->file, text, QR_SERVE_CONFIG_FILE, arena, sentence)
               : status;
}

/* Flags whose change takes effect without a restart. */
static bool is_reloadable(size_t flag)
{
    return flag == QR_SERVE_LOG_LEVEL || flag == QR_SERVE_LOG_FORMAT || flag == QR_SERVE_LOG_OUTPUTS ||
           flag == QR_SERVE_LOGGER;
}

static void tell_waiting(qr_os *os, const qr_flags *running, const qr_flags *fresh)
{
    qr_buffer names;
    qr_buffer_init(&names);
    for (size_t i = 0; i < QR_SERVE_FLAG_COUNT; i++)
        if (!is_reloadable(i) && strcmp(qr_flags_text(running, i), qr_flags_text(fresh, i)) != 0)
            qr_buffer_format(&names, "%s%s", names.size ? "," : "", running->table[i].name);
    qr_buffer_u8(&names, 0);
    if (names.size > 1)
        qr_log(os, QR_LOG_WARN, "changed settings need a restart", "settings", (const char *)names.data,
               NULL);
    qr_buffer_free(&names);
}

void qr_serve_reload(qr_os *os, const qr_flags *running)
{
    qr_arena arena;
    qr_arena_init(&arena);
    const char *sentence = NULL;
    qr_flags fresh;
    qr_serve_config *config = qr_arena_alloc(&arena, sizeof *config);
    qr_status status = read_again(running, &fresh, &arena, &sentence);
    if (status == QR_OK) {
        status = qr_serve_configure(&fresh, &arena, config, &sentence);
        if (status != QR_OK)
            sentence = qr_flags_place(&fresh, sentence, &arena);
    }
    if (status == QR_OK)
        status = qr_log_open(os, &config->log, &arena, &sentence);
    if (status == QR_OK) {
        qr_log(os, QR_LOG_INFO, "reloaded on SIGHUP: the log outputs are open again", "config-file",
               qr_flags_text(running, QR_SERVE_CONFIG_FILE), "log-level",
               qr_flags_text(&fresh, QR_SERVE_LOG_LEVEL), NULL);
        tell_waiting(os, running, &fresh);
    } else {
        qr_log(os, QR_LOG_ERROR, "the configuration cannot be reloaded; nothing was changed", "error",
               sentence, NULL);
    }
    qr_arena_free(&arena);
}

/* Any bytes as a configuration file. What is read can be written in quotes and read again as the same; what
 * is not read gets a sentence with its line. */
#include "bin/config_file.h"
#include "bin/serve.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void write_quoted(qr_buffer *out, const qr_config_entry *entry)
{
    qr_buffer_add_slice(out, entry->name);
    qr_buffer_add(out, ": \"", 3);
    for (const char *at = entry->value; *at; at++) {
        if (*at == '"' || *at == '\\')
            qr_buffer_u8(out, '\\');
        qr_buffer_u8(out, (uint8_t)*at);
    }
    qr_buffer_add(out, "\"\n", 2);
}

static void read_again(const qr_config_entry *entry, qr_arena *arena)
{
    if (entry->value == NULL)
        return;
    qr_buffer text;
    qr_buffer_init(&text);
    write_quoted(&text, entry);
    qr_config_reader reader = qr_config_reader_of(qr_buffer_slice(&text));
    qr_config_entry again;
    const char *sentence = NULL;
    QR_ASSERT(qr_config_next(&reader, arena, &again, &sentence) == QR_OK);
    QR_ASSERT(qr_slice_equal(again.name, entry->name) && strcmp(again.value, entry->value) == 0);
    qr_buffer_free(&text);
}

static void configure(qr_slice text, qr_arena *arena)
{
    const char *sentence = NULL;
    qr_flags flags = qr_serve_flags();
    QR_ASSERT(qr_flags_parse(&flags, 0, NULL, NULL, arena, &sentence) == QR_OK);
    qr_status status = qr_flags_parse_file(&flags, "f", text, QR_SERVE_CONFIG_FILE, arena, &sentence);
    QR_ASSERT(status == QR_OK || strncmp(sentence, "f, line ", 8) == 0);
    if (status != QR_OK)
        return;
    qr_serve_config *config = qr_arena_alloc(arena, sizeof *config);
    status = qr_serve_configure(&flags, arena, config, &sentence);
    QR_ASSERT(status == QR_OK || strncmp(qr_flags_place(&flags, sentence, arena), "f", 1) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    qr_slice text = qr_slice_of(data, size < QR_CONFIG_FILE_MAX ? size : QR_CONFIG_FILE_MAX);
    qr_arena arena;
    qr_arena_init(&arena);
    qr_config_reader reader = qr_config_reader_of(text);
    qr_config_entry entry;
    const char *sentence = NULL;
    qr_status status;
    size_t line = 0;
    while ((status = qr_config_next(&reader, &arena, &entry, &sentence)) == QR_OK) {
        QR_ASSERT(entry.name.size > 0 && entry.line > line);
        line = entry.line;
        read_again(&entry, &arena);
    }
    QR_ASSERT(status == QR_E_NOT_FOUND || strncmp(sentence, "line ", 5) == 0);
    configure(text, &arena);
    qr_arena_free(&arena);
    return 0;
}

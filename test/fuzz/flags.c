/* Any words as the command line and the environment of serve: the input is split at line feeds, words that
 * begin with a dollar sign are variables. Whatever they are, there is a configuration or a sentence. */
#include "bin/serve.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { WORDS_MAX = 64 };

static void configure(int count, char **line, char **environment, qr_arena *arena)
{
    const char *sentence = NULL;
    qr_flags flags = qr_serve_flags();
    qr_status status = qr_flags_parse(&flags, count, line, environment, arena, &sentence);
    QR_ASSERT(status == QR_OK || (sentence != NULL && *sentence));
    if (status != QR_OK || flags.help || flags.version)
        return;
    qr_serve_config *config = qr_arena_alloc(arena, sizeof *config);
    status = qr_serve_configure(&flags, arena, config, &sentence);
    QR_ASSERT(status == QR_OK || (sentence != NULL && *sentence));
    QR_ASSERT(status != QR_OK || (config->self != 0 && config->member_count > 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    qr_arena arena;
    qr_arena_init(&arena);
    char *line[WORDS_MAX + 1] = {(char[]){"serve"}}, *environment[WORDS_MAX + 1] = {NULL};
    int count = 1, variable_count = 0;
    char *rest = qr_arena_text(&arena, qr_slice_of(data, size));
    for (char *word; count + variable_count < WORDS_MAX && (word = strsep(&rest, "\n")) != NULL;) {
        if (*word == '$')
            environment[variable_count++] = word + 1;
        else if (*word)
            line[count++] = word;
    }
    configure(count, line, environment, &arena);
    qr_arena_free(&arena);
    return 0;
}

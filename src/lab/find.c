#include "lab/find.h"

#include <ctype.h>

enum { WORD_MAX = 60, NAME_DISTANCE_MAX = 3 };

/* What U+00C0 to U+00FF are without their accents. */
static const char plain[] = "aaaaaaaceeeeiiiidnooooo*ouuuuytsaaaaaaaceeeeiiiidnooooo/ouuuuyty";

char *qr_scenario_folded(const char *text, qr_arena *arena)
{
    char *folded = qr_arena_alloc(arena, strlen(text) + 1), *at = folded;
    for (const uint8_t *c = (const uint8_t *)text; *c; c++) {
        if (*c == 0xC3 && c[1] >= 0x80 && c[1] <= 0xBF)
            *at++ = plain[*++c - 0x80];
        else
            *at++ = (char)tolower(*c);
    }
    *at = 0;
    return folded;
}

static bool is_of_word(char c)
{
    return isalnum((unsigned char)c) || (c & 0x80);
}

/* Whether a word of text begins so. */
static bool has_word(const char *text, const char *word)
{
    for (const char *at = strstr(text, word); at; at = strstr(at + 1, word))
        if (at == text || !is_of_word(at[-1]))
            return true;
    return false;
}

/* The next word that counts: of two letters or less only numbers do, and an s at the end does not. False:
 * none. */
static bool next_word(const char **text, char *word)
{
    for (;;) {
        while (**text && !is_of_word(**text))
            ++*text;
        size_t size = 0;
        bool number = isdigit((unsigned char)**text);
        for (; is_of_word(**text); ++*text)
            if (size < WORD_MAX)
                word[size++] = **text;
        word[size] = 0;
        if (size == 0)
            return false;
        if (size > 4 && word[size - 1] == 's')
            word[size - 1] = 0;
        if (size > 2 || number)
            return true;
    }
}

static bool has_all(const char *const *texts, size_t count, const char *words)
{
    char word[WORD_MAX + 1];
    bool any = false;
    while (next_word(&words, word)) {
        bool has = false;
        for (size_t i = 0; i < count; i++)
            has |= has_word(texts[i], word);
        if (!has)
            return false;
        any = true;
    }
    return any;
}

bool qr_scenario_is_meant(const char *words, qr_scenario_manner manner, const qr_scenario_topic *topic,
                          const qr_scenario *scenario)
{
    qr_arena arena;
    qr_arena_init(&arena);
    const char *texts[6] = {qr_scenario_folded(topic->title, &arena),
                            qr_scenario_folded(topic->words, &arena)};
    size_t count = 2;
    if (scenario) {
        const qr_slice more[] = {scenario->name, scenario->title, scenario->source, scenario->about};
        for (size_t i = 0; i < sizeof more / sizeof *more; i++)
            texts[count++] = qr_scenario_folded(qr_arena_text(&arena, more[i]), &arena);
    }
    bool meant = false;
    if (manner == QR_SCENARIO_ALL_OF_THEM)
        meant = has_all(texts, count, words);
    for (size_t i = 0; i < count && i < 5 && manner == QR_SCENARIO_AS_THEY_STAND; i++)
        meant |= strstr(texts[i], words) != NULL;
    qr_arena_free(&arena);
    return meant;
}

/* How many letters have to be changed, put in or taken out (Wagner and Fischer 1974); upper and lower case
 * are one. */
static size_t distance(const char *a, const char *b)
{
    size_t row[WORD_MAX + 1], width = strlen(b);
    for (size_t j = 0; j <= width; j++)
        row[j] = j;
    for (size_t i = 1; a[i - 1]; i++) {
        size_t corner = row[0];
        row[0] = i;
        for (size_t j = 1; j <= width; j++) {
            size_t best = corner + (tolower((unsigned char)a[i - 1]) != tolower((unsigned char)b[j - 1]));
            corner = row[j];
            best = row[j] + 1 < best ? row[j] + 1 : best;
            row[j] = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
        }
    }
    return row[width];
}

const char *qr_scenario_name_like(const char *name)
{
    const char *like = NULL;
    size_t least = NAME_DISTANCE_MAX + 1;
    for (const qr_scenario_file *file = qr_scenario_files; file->name; file++) {
        size_t now = distance(name, file->name);
        if (now < least) {
            least = now;
            like = file->name;
        }
    }
    return like;
}

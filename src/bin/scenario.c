/* quorate scenario: algorithms run message by message, told, and held against what is expected of them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bin/bin.h"
#include "lab/find.h"
#include "lab/narrate.h"
#include "lab/scenario.h"

enum { SCENARIO_AS_EXPECTED, SCENARIO_NOT, SCENARIO_USAGE }; /* exit statuses */
enum { WORDS_MAX = 256 };

static const char help[] =
    "NAME\n"
    "    quorate scenario - algorithms of consensus, run message by message\n\n"
    "SYNOPSIS\n"
    "    quorate scenario list [WORD...]\n"
    "    quorate scenario run NAME [--trace]\n"
    "    quorate scenario run --all\n"
    "    quorate scenario explore NAME\n"
    "    quorate scenario show NAME\n"
    "    quorate scenario protocols\n\n"
    "DESCRIPTION\n"
    "    A scenario says who takes part, in what order messages arrive or get lost, who crashes when, and "
    "how "
    "it\n"
    "    has to end. NAME is one of the list, or the path of a file of your own "
    "(doc/formats/scenario.md).\n\n"
    "    list       names and titles, by topics; with words those that are meant by them: of a name, a "
    "title, a\n"
    "               note and its exercise, a topic, in English or Portuguese\n"
    "    run        tells the story: what arrives, what follows from it, how each process stands then. The "
    "last\n"
    "               line says whether all came as expected. A scenario of a mistaken variant is as expected "
    "when\n"
    "               the mistake is caught, by the name of the property that it breaks.\n"
    "    explore    tries everything that may happen with the members of the scenario, instead of its steps\n"
    "    show       the file\n"
    "    protocols  what can be put into a scenario: roles, events, parameters, mistakes\n\n"
    "OPTIONS\n"
    "    --all      every scenario; a line each, and what went wrong\n"
    "    --trace    JSON lines instead of sentences\n"
    "    --help     print this page and end\n\n"
    "EXIT STATUS\n"
    "    0 when all came as expected, 1 when not, 2 when the command line or the file makes no sense.\n\n"
    "EXAMPLES\n"
    "    quorate scenario list paxos\n"
    "    quorate scenario list exercise 2\n"
    "    quorate scenario list generais bizantinos\n"
    "    quorate scenario run paxos5-a-rescued\n";

typedef struct options {
    bool all, trace, explore;
    const char *name;
    char words[WORDS_MAX]; /* LIST: all that were given */
} options;

/* --------------------------------------------------------------- files ---- */

/* A file of the user's, zero-terminated; NULL: said why. */
static char *read_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        fprintf(stderr, "quorate scenario: %s cannot be opened\n", path);
        return NULL;
    }
    char *text = qr_alloc(QR_SCENARIO_SIZE_MAX + 2);
    size_t size = fread(text, 1, QR_SCENARIO_SIZE_MAX + 1, file);
    text[size] = 0;
    fclose(file);
    return text;
}

/* The text of a scenario by name or path; owned. NULL: said why. */
static char *find_text(const char *name)
{
    for (const qr_scenario_file *file = qr_scenario_files; file->name; file++)
        if (strcmp(file->name, name) == 0)
            return qr_strdup(file->text);
    if (strchr(name, '/') || strchr(name, '.'))
        return read_file(name);
    const char *like = qr_scenario_name_like(name);
    fprintf(stderr, "quorate scenario: there is no scenario '%s'. ", name);
    if (like)
        fprintf(stderr, "Do you mean %s?\n", like);
    else
        fprintf(stderr, "Try 'quorate scenario list %s'.\n", name);
    return NULL;
}

static bool read_scenario(const char *name, const char *text, qr_scenario *scenario)
{
    char complaint[QR_SCENARIO_COMPLAINT_MAX];
    if (qr_scenario_read(qr_slice_text(text), scenario, complaint) == QR_OK)
        return true;
    fprintf(stderr, "quorate scenario: %s: %s\n", name, complaint);
    qr_scenario_free(scenario);
    return false;
}

/* --------------------------------------------------------------- verbs ---- */

static void flush(qr_narrator *narrator)
{
    fwrite(narrator->out.data, 1, narrator->out.size, stdout);
    qr_buffer_clear(&narrator->out);
}

/* A story may be long: it is printed as it grows. */
typedef struct teller {
    qr_narrator narrator;
    qr_lab_ear ear;
} teller;

static void hear(void *context, const qr_lab_telling *telling)
{
    teller *self = context;
    self->ear.hear(self->ear.context, telling);
    if (self->narrator.out.size > 65536)
        flush(&self->narrator);
}

static int run_one(const options *given)
{
    char *text = find_text(given->name);
    qr_scenario scenario;
    if (text == NULL || !read_scenario(given->name, text, &scenario)) {
        qr_free(text);
        return SCENARIO_USAGE;
    }
    teller self = {.narrator = {.json = given->trace}};
    self.ear = qr_narrator_ear(&self.narrator);
    qr_lab_ear ear = {hear, &self};
    qr_scenario_result result;
    qr_narrate_begin(&self.narrator, &scenario);
    (given->explore ? qr_scenario_explore : qr_scenario_run)(&scenario, &ear, &result);
    if (given->explore)
        result.as_expected = result.wrong.size == 0;
    qr_narrate_end(&self.narrator, &scenario, &result);
    flush(&self.narrator);
    qr_buffer_free(&self.narrator.out);
    int status = result.as_expected ? SCENARIO_AS_EXPECTED : SCENARIO_NOT;
    qr_scenario_result_free(&result);
    qr_scenario_free(&scenario);
    qr_free(text);
    return status;
}

static int run_all(void)
{
    unsigned count = 0, good = 0;
    for (const qr_scenario_file *file = qr_scenario_files; file->name; file++, count++) {
        qr_scenario scenario;
        if (!read_scenario(file->name, file->text, &scenario))
            continue;
        qr_scenario_result result;
        qr_scenario_run(&scenario, NULL, &result);
        good += result.as_expected;
        printf("%s %s: %.*s%s%s\n", result.as_expected ? "ok" : "not ok", file->name,
               (int)scenario.title.size, (const char *)scenario.title.data,
               result.violation ? "; broken: " : "", result.violation ? result.violation : "");
        printf("%.*s", (int)result.wrong.size, (const char *)result.wrong.data);
        fflush(stdout);
        qr_scenario_result_free(&result);
        qr_scenario_free(&scenario);
    }
    printf("%u scenarios, %u as expected\n", count, good);
    return good == count ? SCENARIO_AS_EXPECTED : SCENARIO_NOT;
}

static void say_topic(const qr_scenario_topic *topic)
{
    printf("%s (%s)\n", topic->title, topic->page);
    for (const char *line = topic->see; *line;) {
        size_t size = strcspn(line, "\n");
        printf("  see %.*s\n", (int)size, line);
        line += size + (line[size] == '\n');
    }
}

/* The topic, if it is meant (NULL: everything is) or a scenario of it, and these; how many lines it were. */
static unsigned list_topic(const qr_scenario_topic *topic, const char *words, qr_scenario_manner manner)
{
    bool whole = words == NULL || qr_scenario_is_meant(words, manner, topic, NULL);
    unsigned told = 0;
    if (whole && ++told)
        say_topic(topic);
    for (const qr_scenario_file *file = qr_scenario_files; file->name; file++) {
        qr_scenario scenario;
        if (&qr_scenario_topics[file->topic] != topic || !read_scenario(file->name, file->text, &scenario))
            continue;
        if (whole || qr_scenario_is_meant(words, manner, topic, &scenario)) {
            if (told++ == 0)
                say_topic(topic);
            printf("  %-28s%.*s\n", file->name, (int)scenario.title.size, (const char *)scenario.title.data);
        }
        qr_scenario_free(&scenario);
    }
    if (told)
        printf("\n");
    return told;
}

static int list(const char *given)
{
    qr_arena arena;
    qr_arena_init(&arena);
    const char *words = *given ? qr_scenario_folded(given, &arena) : NULL;
    unsigned told = 0;
    for (int manner = QR_SCENARIO_AS_THEY_STAND; manner <= QR_SCENARIO_ALL_OF_THEM && told == 0; manner++)
        for (const qr_scenario_topic *topic = qr_scenario_topics; topic->title; topic++)
            told += list_topic(topic, words, (qr_scenario_manner)manner);
    qr_arena_free(&arena);
    if (told)
        return SCENARIO_AS_EXPECTED;
    fprintf(stderr, "quorate scenario: nothing has '%s'. There is:\n", given);
    for (const qr_scenario_topic *topic = qr_scenario_topics; topic->title; topic++)
        fprintf(stderr, "  %s\n", topic->title);
    return SCENARIO_NOT;
}

static int show(const char *name)
{
    char *text = find_text(name);
    if (text == NULL)
        return SCENARIO_USAGE;
    fputs(text, stdout);
    qr_free(text);
    return 0;
}

static int list_protocols(void)
{
    for (size_t i = 0; qr_lab_protocols[i]; i++) {
        const qr_lab_protocol *protocol = qr_lab_protocols[i];
        printf("%s: %s\n", protocol->name, protocol->title);
        for (const qr_lab_role *role = protocol->roles; role->name; role++)
            printf("    members %s N    %s1, %s2, ...; %u unless said, at most %u\n", role->name,
                   role->prefix, role->prefix, role->count, role->count_max);
        for (const qr_lab_event *event = protocol->events; event->name; event++)
            printf("    PROCESS %-12s %s\n", event->name, event->what);
        for (const qr_lab_parameter *parameter = protocol->parameters; parameter->name; parameter++)
            printf("    let %s %s    %s\n", parameter->name, parameter->words ? parameter->words : "N",
                   parameter->what);
        printf("    messages:");
        for (const char *const *kind = protocol->kinds; *kind; kind++)
            printf(" %s", *kind);
        printf("\n\n");
    }
    return 0;
}

/* -------------------------------------------------------- command line ---- */

static int complain(const char *what)
{
    fprintf(stderr, "quorate scenario: %s. Try 'quorate scenario --help'.\n", what);
    return SCENARIO_USAGE;
}

static bool take_options(int argc, char **argv, options *given)
{
    for (int i = 2; i < argc; i++) {
        if (strcmp(argv[i], "--all") == 0)
            given->all = true;
        else if (strcmp(argv[i], "--trace") == 0)
            given->trace = true;
        else if (argv[i][0] == '-' || (given->name && strcmp(argv[1], "list") != 0))
            return false;
        else {
            size_t used = strlen(given->words);
            snprintf(given->words + used, sizeof given->words - used, "%s%s", used ? " " : "", argv[i]);
            given->name = argv[i];
        }
    }
    return true;
}

int qr_scenario_main(int argc, char **argv)
{
    options given = {0};
    const char *verb = argc > 1 ? argv[1] : "";
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            fputs(help, stdout);
            return 0;
        }
    if (!take_options(argc, argv, &given))
        return complain("unknown option, or a word too many");
    bool is_run = strcmp(verb, "run") == 0;
    given.explore = strcmp(verb, "explore") == 0;
    if (strcmp(verb, "list") == 0)
        return list(given.words);
    if (strcmp(verb, "protocols") == 0)
        return list_protocols();
    if (is_run && given.all && given.name == NULL)
        return run_all();
    if (given.name == NULL || given.all)
        return complain("which scenario");
    if (is_run || given.explore)
        return run_one(&given);
    if (strcmp(verb, "show") == 0)
        return show(given.name);
    return complain("list, run, explore, show or protocols");
}

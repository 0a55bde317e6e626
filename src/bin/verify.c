/* verify: what the files of a stopped member are worth, for people and by exit status. Changes nothing but
 * the lock file, which keeps a member from starting meanwhile. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "bin/bin.h"
#include "os/os.h"
#include "wal/wal.h"

enum { VERIFY_SOUND, VERIFY_DAMAGED, VERIFY_UNCHECKED }; /* exit statuses */

typedef struct verify {
    const char *folder;
    bool json, help;
    qr_arena arena;
    qr_buffer reports; /* qr_wal_report, one after another */
    size_t segments, damaged, torn;
    uint64_t records, index_first, index_last;
    qr_wal_report known; /* the first one with a whole head */
} verify;

static const char help[] =
    "NAME\n"
    "    quorate verify - check the files of a stopped member\n\n"
    "SYNOPSIS\n"
    "    quorate verify [FLAGS] DIR\n\n"
    "DESCRIPTION\n"
    "    Makes the checks of a start on the data folder of a member: every head and record of its log, "
    "checksums,\n"
    "    positions, order and what must have been durable. Cuts, repairs and removes nothing; only the lock "
    "file is\n"
    "    written. Unlike a start it goes on behind damage. A running member is refused.\n\n"
    "    sound       as a start expects it\n"
    "    torn tail   the end of the log is an unfinished write, which the next start cuts. A crash leaves "
    "that\n"
    "                behind; after an orderly stop the last write, which had been acknowledged, may be "
    "damaged\n"
    "    damaged     a start would refuse; the position is in bytes from the beginning of the log\n"
    "    unchecked   it can't be read, or a newer version wrote it\n\n"
    "    Damage within the very last write can look like a torn tail or like the end of the log.\n\n"
    "OPTIONS\n"
    "    -o, --output FORMAT   (table)\n        table or json.\n"
    "    --help\n        Print this page and end.\n\n"
    "EXIT STATUS\n"
    "    0   sound, or sound with a torn tail.\n"
    "    1   damage was found.\n"
    "    2   cannot be checked: no folder, no log in it, in use, unreadable; or the command line is "
    "wrong.\n\n"
    "EXAMPLES\n"
    "    quorate verify /var/lib/quorate/a\n"
    "    quorate verify -o json /var/lib/quorate/a | jq -r '.files[] | select(.verdict == "
    "\"damaged\").name'\n";

/* ---- words ---- */

static const char *verdict_word(qr_wal_verdict verdict)
{
    switch (verdict) {
    case QR_WAL_SOUND: return "sound";
    case QR_WAL_TORN: return "torn tail";
    case QR_WAL_DAMAGED: return "damaged";
    case QR_WAL_UNCHECKED: return "unchecked";
    case QR_WAL_SPARE: return "spare";
    case QR_WAL_STRANGER: return "not a file of the log";
    }
    return "";
}

static const char *verdict_sentence(verify *v, const qr_wal_report *report)
{
    const char *word = verdict_word(report->verdict);
    if (report->verdict == QR_WAL_TORN)
        return qr_arena_format(&v->arena, "%s at position %" PRIu64 " (%" PRIu64 " bytes would be cut)", word,
                               report->position, report->torn);
    if (report->verdict == QR_WAL_DAMAGED)
        return qr_arena_format(&v->arena, "%s at position %" PRIu64 ": %s", word, report->position,
                               report->what);
    if (report->verdict == QR_WAL_UNCHECKED)
        return qr_arena_format(&v->arena, "%s: %s", word, report->what);
    return word;
}

static const char *range(verify *v, uint64_t first, uint64_t last)
{
    return qr_arena_format(&v->arena, "%" PRIu64 "..%" PRIu64, first, last);
}

/* ---- table ---- */

static void print_row(verify *v, const qr_wal_report *report)
{
    bool segment = report->verdict < QR_WAL_SPARE;
    const char *sequence = segment ? qr_arena_format(&v->arena, "%" PRIu64, report->sequence) : "";
    const char *positions = report->has_head ? range(v, report->first_position, report->next_position) : "";
    const char *records = report->has_head ? qr_arena_format(&v->arena, "%" PRIu64, report->records) : "";
    const char *entries = report->index_first ? range(v, report->index_first, report->index_last) : "";
    printf("%-26s  %8s  %-25s  %8s  %-17s  %s\n", report->name, sequence, positions, records, entries,
           verdict_sentence(v, report));
}

static void print_table(verify *v, const char *result, const char *sentence)
{
    const qr_wal_report *known = &v->known;
    if (known->has_head)
        printf("cluster %" PRIx64 ", group %" PRIu64 ", member %" PRIx64 ", incarnation %" PRIx64 "\n\n",
               known->cluster, known->group, known->member, known->incarnation);
    if (v->reports.size > 0)
        printf("%-26s  %8s  %-25s  %8s  %-17s  %s\n", "FILE", "SEQUENCE", "POSITIONS", "RECORDS", "ENTRIES",
               "VERDICT");
    for (size_t at = 0; at < v->reports.size; at += sizeof(qr_wal_report)) {
        qr_wal_report report;
        memcpy(&report, v->reports.data + at, sizeof report);
        print_row(v, &report);
    }
    if (v->segments > 0) {
        const char *entries = v->index_first ? range(v, v->index_first, v->index_last) : "none";
        printf("\n%s%s: segments %zu, damaged %zu, good records %" PRIu64 ", entries %s\n", result,
               v->torn ? " with a torn tail" : "", v->segments, v->damaged, v->records, entries);
    }
    fflush(stdout);
    if (sentence != NULL)
        fprintf(stderr, "quorate verify: %s cannot be checked: %s\n", v->folder, sentence);
}

/* ---- JSON: numbers of 64 bits that name something are hexadecimal texts, as no reader may round them ----
 */

static void json_text(const char *name, const char *text)
{
    printf("\"%s\":\"", name);
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            printf("\\%c", *text);
        else if ((unsigned char)*text < 0x20)
            printf("\\u%04x", (unsigned)(unsigned char)*text);
        else
            putchar(*text);
    }
    putchar('"');
}

static void json_number(const char *name, uint64_t value)
{
    printf(",\"%s\":%" PRIu64, name, value);
}

static void json_identity(const qr_wal_report *report)
{
    printf(",\"cluster\":\"%" PRIx64 "\",\"group\":%" PRIu64 ",\"member\":\"%" PRIx64
           "\",\"incarnation\":\"%" PRIx64 "\"",
           report->cluster, report->group, report->member, report->incarnation);
}

static void json_file(const qr_wal_report *report)
{
    putchar('{');
    json_text("name", report->name);
    json_number("size", report->size);
    putchar(',');
    json_text("verdict", verdict_word(report->verdict));
    if (report->what != NULL) {
        putchar(',');
        json_text("what", report->what);
    }
    if (report->verdict == QR_WAL_TORN || report->verdict == QR_WAL_DAMAGED)
        json_number("position", report->position);
    if (report->verdict == QR_WAL_TORN)
        json_number("torn", report->torn);
    if (report->verdict < QR_WAL_SPARE)
        json_number("sequence", report->sequence);
    if (report->has_head) {
        json_number("span", report->span);
        json_number("first_position", report->first_position);
        json_number("next_position", report->next_position);
        json_number("records", report->records);
        json_number("index_first", report->index_first);
        json_number("index_last", report->index_last);
        json_identity(report);
    }
    putchar('}');
}

static void print_json(verify *v, const char *result, const char *sentence)
{
    putchar('{');
    json_text("folder", v->folder);
    putchar(',');
    json_text("result", result);
    if (sentence != NULL) {
        putchar(',');
        json_text("sentence", sentence);
    }
    json_number("records", v->records);
    json_number("index_first", v->index_first);
    json_number("index_last", v->index_last);
    printf(",\"files\":[");
    for (size_t at = 0; at < v->reports.size; at += sizeof(qr_wal_report)) {
        qr_wal_report report;
        memcpy(&report, v->reports.data + at, sizeof report);
        if (at > 0)
            putchar(',');
        json_file(&report);
    }
    puts("]}");
}

/* ---- the check ---- */

static void visit(void *context, const qr_wal_report *report)
{
    verify *v = context;
    qr_buffer_add(&v->reports, report, sizeof *report);
    v->segments += report->verdict < QR_WAL_SPARE;
    v->damaged += report->verdict == QR_WAL_DAMAGED;
    v->torn += report->verdict == QR_WAL_TORN;
    v->records += report->records;
    if (report->index_first > 0 && (v->index_first == 0 || v->index_first > report->index_first))
        v->index_first = report->index_first;
    if (v->index_last < report->index_last)
        v->index_last = report->index_last;
    if (report->has_head && !v->known.has_head)
        v->known = *report;
}

/* Opening the disk would make a folder that is missing. */
static const char *look(verify *v)
{
    struct stat about;
    if (stat(v->folder, &about) != 0)
        return strerror(errno);
    return S_ISDIR(about.st_mode) ? NULL : "it is not a folder";
}

static int check(verify *v)
{
    const qr_os_handlers handlers = {0};
    qr_disk disk;
    const char *sentence = look(v);
    if (sentence == NULL) {
        qr_os *os = qr_os_new(&handlers, v);
        if (qr_os_disk_open(os, v->folder, &disk, &v->arena, &sentence) == QR_OK)
            (void)qr_wal_inspect(&disk, visit, v, &v->arena, &sentence);
        qr_os_free(os);
    }
    /* Damage that was found is damage, whatever else could not be looked at. */
    int result = v->damaged > 0 ? VERIFY_DAMAGED : sentence != NULL ? VERIFY_UNCHECKED : VERIFY_SOUND;
    const char *word = result == VERIFY_DAMAGED     ? "damaged"
                       : result == VERIFY_UNCHECKED ? "unchecked"
                                                    : "sound";
    if (v->json)
        print_json(v, word, sentence);
    else
        print_table(v, word, sentence);
    return result;
}

/* ---- command line ---- */

static const char *parse(verify *v, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const char *at = argv[i], *value = NULL;
        if (at[0] != '-' || at[1] == 0) {
            if (v->folder != NULL)
                return "one folder at a time";
            v->folder = at;
            continue;
        }
        at += strspn(at, "-");
        if (strcmp(at, "help") == 0 || strcmp(at, "h") == 0) {
            v->help = true;
            return NULL;
        }
        if (strcmp(at, "o") == 0 || strcmp(at, "output") == 0)
            value = i + 1 < argc ? argv[++i] : "";
        else if (strncmp(at, "o=", 2) == 0 || strncmp(at, "output=", 7) == 0)
            value = strchr(at, '=') + 1;
        else
            return qr_arena_format(&v->arena, "the flag %s is not known", argv[i]);
        v->json = strcmp(value, "json") == 0;
        if (!v->json && strcmp(value, "table") != 0)
            return qr_arena_format(&v->arena, "--output is table or json, not \"%s\"", value);
    }
    return v->folder == NULL ? "which folder?" : NULL;
}

int qr_verify_main(int argc, char **argv)
{
    verify v = {0};
    qr_arena_init(&v.arena);
    qr_buffer_init(&v.reports);
    int exit_status = VERIFY_UNCHECKED;
    const char *sentence = parse(&v, argc, argv);
    if (v.help) {
        fputs(help, stdout);
        exit_status = 0;
    } else if (sentence != NULL) {
        fprintf(stderr, "quorate verify: %s\nTry 'quorate verify --help'.\n", sentence);
    } else {
        exit_status = check(&v);
    }
    qr_buffer_free(&v.reports);
    qr_arena_free(&v.arena);
    return exit_status;
}

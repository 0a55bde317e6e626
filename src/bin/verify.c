/* verify: what the files of a stopped member are worth, for people and by exit status. Changes nothing but
 * the lock file, which keeps a member from starting meanwhile. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "bin/bin.h"
#include "bin/verify.h"
#include "os/os.h"

enum { VERIFY_SOUND, VERIFY_DAMAGED, VERIFY_UNCHECKED }; /* exit statuses */

static const char help[] =
    "NAME\n"
    "    quorate verify - check the files of a stopped member\n\n"
    "SYNOPSIS\n"
    "    quorate verify [FLAGS] DIR\n\n"
    "DESCRIPTION\n"
    "    Makes the checks of a start on the data folder of a member: every head and record of its log, "
    "checksums,\n"
    "    positions, order and what must have been durable; every block of its checkpoints; and that the log "
    "begins\n"
    "    no later than behind the newest sound checkpoint. Cuts, repairs and removes nothing; only the lock "
    "file is\n"
    "    written. Unlike a start it goes on behind damage. A running member is refused.\n\n"
    "    sound       as a start expects it\n"
    "    torn tail   the end of the log is an unfinished write, which the next start cuts. A crash leaves "
    "that\n"
    "                behind; after an orderly stop the last write, which had been acknowledged, may be "
    "damaged\n"
    "    damaged     a start would refuse it; the position is in bytes from the beginning of the log, or of "
    "the\n"
    "                checkpoint\n"
    "    unchecked   it can't be read, or a newer version wrote it (a checkpoint: newer version)\n"
    "    unfinished  a checkpoint that was being made or received; the next start removes it\n"
    "    gap         entries that are neither in a sound checkpoint nor in the log: damage\n\n"
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
    "    quorate verify -o json /var/lib/quorate/a |\n"
    "        jq -r '(.files + .checkpoints)[] | select(.verdict == \"damaged\").name'\n";

/* ---- the check ---- */

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
            sentence = qr_verify_inspect(v, &disk);
        qr_os_free(os);
    }
    /* Damage that was found is damage, whatever else could not be looked at. */
    int result = qr_verify_is_damaged(v) ? VERIFY_DAMAGED
                 : sentence != NULL      ? VERIFY_UNCHECKED
                                         : VERIFY_SOUND;
    const char *word = result == VERIFY_DAMAGED     ? "damaged"
                       : result == VERIFY_UNCHECKED ? "unchecked"
                                                    : "sound";
    if (v->json)
        qr_verify_print_json(v, word, sentence);
    else
        qr_verify_print_table(v, word, sentence);
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
    verify v;
    qr_verify_init(&v);
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
    qr_verify_free(&v);
    return exit_status;
}

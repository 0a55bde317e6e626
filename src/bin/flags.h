/* Flags, environment variables and configuration files of the binary's verbs, described by a table.
 *
 * A flag --a-b is written --a-b V, --a-b=V or -a-b V (Go's forms); a boolean one --a-b or --a-b=false. With
 * an environment prefix "ETCD_" the variable ETCD_A_B stands for it; what is on the command line wins. */
#ifndef QR_BIN_FLAGS_H
#define QR_BIN_FLAGS_H

#include "base/base.h"

typedef enum qr_flag_kind { QR_FLAG_TEXT, QR_FLAG_BOOL, QR_FLAG_NUMBER } qr_flag_kind;

typedef enum qr_flag_conduct {
    QR_FLAG_TAKEN,
    QR_FLAG_IGNORED, /* known from etcd, without meaning here: a warning when it is set to something else than
                        usual */
    QR_FLAG_REFUSED, /* ignoring it would betray whoever set it: an error when it is set to something else
                        than usual */
} qr_flag_conduct;

typedef struct qr_flag {
    const char *name; /* "data-dir" */
    qr_flag_kind kind;
    qr_flag_conduct conduct;
    const char *usual; /* the default, as text */
    const char *value; /* TAKEN: what its value is called in the help, "FOLDER"; "" for booleans */
    const char *help;  /* TAKEN: for the help. IGNORED, REFUSED: the reason, a clause */
} qr_flag;

typedef enum qr_flag_source { QR_FLAG_USUAL, QR_FLAG_VARIABLE, QR_FLAG_LINE, QR_FLAG_FILE } qr_flag_source;

typedef struct qr_flag_value {
    const char *text; /* borrowed from argv or the environment, the arena's (of a file), or the usual one */
    qr_flag_source source;
    size_t file_line; /* FILE */
} qr_flag_value;

enum { QR_FLAG_WARNINGS_MAX = 64 };

typedef struct qr_flags {
    const qr_flag *table;
    size_t count;
    const char *prefix; /* of environment variables; NULL: none are read */
    /* set by qr_flags_parse */
    qr_flag_value *values; /* one a flag, in the order of the table; the arena's */
    const char *warnings[QR_FLAG_WARNINGS_MAX];
    size_t warning_count;
    const char *file;   /* the configuration file that the values come from, or NULL */
    bool help, version; /* --help or -h, --version: nothing else was looked at */
} qr_flags;

/* argv[0] is the verb. INVALID or UNSUPPORTED with a sentence that names the flag (or the variable). */
qr_status qr_flags_parse(qr_flags *flags, int argc, char **argv, char **environment, qr_arena *arena,
                         const char **sentence);

/* A configuration file (bin/config_file.h) in place of the line and the environment, as etcd has it: what was
 * parsed before is forgotten and named in a warning, except the flag `keep`, which named the file. text must
 * live as long as the values. The same statuses; sentences begin with the file and the number of the line. */
qr_status qr_flags_parse_file(qr_flags *flags, const char *file, qr_slice text, size_t keep, qr_arena *arena,
                              const char **sentence);
/* The sentence of someone who judged the values: if it names a flag whose value came from a file, with file
 * and line in front. */
const char *qr_flags_place(const qr_flags *flags, const char *sentence, qr_arena *arena);

/* Values that have been checked by qr_flags_parse. */
const char *qr_flags_text(const qr_flags *flags, size_t index);
bool qr_flags_bool(const qr_flags *flags, size_t index);
int64_t qr_flags_number(const qr_flags *flags, size_t index);
bool qr_flags_set(const qr_flags *flags, size_t index); /* by the line, the environment or the file */

/* The flags of the table that are taken, as text for a help page. */
void qr_flags_help(const qr_flags *flags, qr_buffer *out);
/* The names of those with that conduct, as a paragraph. */
void qr_flags_names(const qr_flags *flags, qr_flag_conduct conduct, qr_buffer *out);

#endif

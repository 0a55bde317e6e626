/* Configuration files: the flat part of YAML that etcd's file has for its flags, one "name: value" a line.
 *
 *     # a comment, an empty line, or --- before the first name
 *     name: a
 *     listen-client-urls: http://10.0.0.1:2379,http://127.0.0.1:2379   # a comment behind a space
 *     log-outputs: [stderr, '/var/log/quorate.log']                    # the items, joined by commas
 *     initial-cluster-token: "with \"quotes\" and \\"
 *     wal-dir:                                                         # nothing: as if it were not there
 *
 * Names stand at the beginning of their line and have lower-case letters, digits and dashes. Everything else
 * that YAML has (nesting, lists over several lines, anchors, tags, texts over several lines) is refused with
 * a sentence that names the line: half-read YAML would be a configuration that nobody wrote. Bytes in, names
 * and values out; what the names mean is the flags' business. */
#ifndef QR_BIN_CONFIG_FILE_H
#define QR_BIN_CONFIG_FILE_H

#include "base/base.h"

enum {
    QR_CONFIG_FILE_MAX = 64 * 1024, /* bytes of a file */
};

typedef struct qr_config_entry {
    qr_slice name;     /* borrowed from the text */
    const char *value; /* the arena's; NULL: there is nothing behind the colon */
    size_t line;       /* from 1 */
} qr_config_entry;

typedef struct qr_config_reader {
    qr_slice rest;
    size_t line;      /* lines taken */
    bool begun;       /* a name or --- was seen */
    qr_slice newest;  /* the newest name, for sentences */
    size_t newest_at; /* its line */
} qr_config_reader;

qr_config_reader qr_config_reader_of(qr_slice text);

/* The next entry: OK; NOT_FOUND at the end; INVALID with a sentence that begins with "line N:". */
qr_status qr_config_next(qr_config_reader *reader, qr_arena *arena, qr_config_entry *entry,
                         const char **sentence);

/* The bytes of a file, in the arena: TOO_LARGE, IO, NOT_FOUND with a sentence that names the file. */
qr_status qr_config_read(const char *path, qr_arena *arena, qr_slice *text, const char **sentence);

#endif

/* properties: the text of a zoo.cfg, as java.util.Properties reads it (its documentation of load(), Java SE
 * 17):
 *
 *     # a comment, as is a line that begins with !
 *     tickTime=2000
 *     dataDir : /var/lib/zookeeper
 *     server.1=a\:2888\:3888
 *     4lw.commands.whitelist=ruok,\
 *         stat
 *
 * Bytes in, names and values out, with the blanks around them taken off, as ZooKeeper does; what they mean is
 * conf.h. Bytes above 127 stay as they are, where Java would take each for a Latin-1 character. */
#ifndef QR_DOOR_ZOOKEEPER_PROPERTIES_H
#define QR_DOOR_ZOOKEEPER_PROPERTIES_H

#include "base/base.h"

typedef struct qr_zookeeper_property {
    const char *name, *value; /* the arena's */
    size_t line;              /* where it begins, from 1 */
} qr_zookeeper_property;

typedef struct qr_zookeeper_properties {
    qr_slice rest;
    size_t line; /* lines taken */
} qr_zookeeper_properties;

/* text must live as long as the reader. */
qr_zookeeper_properties qr_zookeeper_properties_of(qr_slice text);

/* The next one: OK; NOT_FOUND at the end; INVALID with a sentence that begins with "line N:" for a \u without
 * four digits, or for a zero byte, which would end a name or value. */
qr_status qr_zookeeper_properties_next(qr_zookeeper_properties *reader, qr_arena *arena,
                                       qr_zookeeper_property *property, const char **sentence);

#endif

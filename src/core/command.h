/* command: what is inside a COMMAND entry, for every machine: who asked, when, and with which rights, then a
 * body only the machine understands. doc/formats/command.md has the bytes.
 *
 * A request is known by its origin {replica, incarnation, sequence}, never by its index. Each replica numbers
 * its commands upwards; the table of origins keeps the last applied number of each replica, and a command
 * whose number is not above it is not applied again. So a command may be forwarded or proposed any number of
 * times, and once a *later* command of a replica is applied, an earlier one that was not is surely never
 * going to be. The table is replicated state: part of the digest and of every checkpoint. */
#ifndef QR_CORE_COMMAND_H
#define QR_CORE_COMMAND_H

#include "base/base.h"

enum {
    QR_COMMAND_FORMAT = 1, /* of the header */
    QR_APPLY_OLDEST = 1,   /* the oldest rules of apply that are known here, and */
    QR_APPLY_VERSION = 4,  /* the newest; doc/design/level.md says what each brought */
    QR_LEVEL_LEASES = 2,   /* from which on leases are granted; without any, nothing else asks for theirs */
    QR_LEVEL_ALARMS = 3,   /* from which on alarms are records */
    QR_LEVEL_PATHS = 4,    /* from which on there are checks, records of rights and of sessions */
    QR_COMMAND_MAX =
        2 * 1024 * 1024,         /* bytes of an encoded command: a request of 1.5 MiB and room for framing */
    QR_PRINCIPAL_MAX = 256,      /* bytes */
    QR_COMMAND_SEQUENCE_AT = 20, /* where the origin's sequence stands in the encoded header */
};

typedef struct qr_origin {
    uint64_t replica;     /* member id */
    uint64_t incarnation; /* of its disk */
    uint64_t sequence;    /* boot count << 40 | number within the boot, from 1 */
} qr_origin;

typedef struct qr_command {
    uint16_t apply_version; /* apply by these rules */
    qr_origin origin;
    int64_t stamp_ms;       /* wall clock of the proposer, milliseconds since 1970 */
    qr_slice principal;     /* neutral name of who asks; empty = nobody in particular */
    uint64_t auth_revision; /* of the rights it was checked against, and */
    uint64_t auth_term;     /* the term that was read in; apply checks again from replicated state */
    qr_slice body;          /* the machine's; empty: it raises the level to its apply version */
} qr_command;

void qr_command_encode(const qr_command *command, qr_buffer *out);
/* Borrows from bytes. INVALID, BAD_VERSION (a newer format or apply version), TOO_LARGE. */
qr_status qr_command_decode(qr_slice bytes, qr_command *command);
/* Gives an encoded command another sequence: the earlier one was passed over and will never be applied. */
void qr_command_renumber(uint8_t *encoded, uint64_t sequence);

/* The table of origins. One slot a replica ever seen (bounded: QR_ORIGINS_MAX, the longest silent one makes
 * room). */
enum { QR_ORIGINS_MAX = 256 };

typedef struct qr_origins {
    uint32_t count;
    uint64_t digest; /* rolling, over every admission */
    struct qr_origin_slot {
        qr_origin last;
        uint64_t index; /* of the entry that brought it */
    } slots[QR_ORIGINS_MAX];
} qr_origins;

/* Is this the first time? If so it is noted. Deterministic: part of the replicated state. */
bool qr_origins_admit(qr_origins *origins, qr_origin origin, uint64_t index);
/* The last applied sequence of that replica in that incarnation; 0 = none. */
uint64_t qr_origins_last(const qr_origins *origins, uint64_t replica, uint64_t incarnation);
/* Of the whole state: what all members compare, and what stands in a checkpoint. The level counts from 2 on,
 * so that it is what it was before there were levels. */
static inline uint64_t qr_state_digest(uint64_t machine, const qr_origins *origins, uint16_t level)
{
    uint64_t digest = qr_hash_mix(machine, origins->digest);
    return level > QR_APPLY_OLDEST ? qr_hash_mix(digest, level) : digest;
}
void qr_origins_encode(const qr_origins *origins, qr_buffer *out);
qr_status qr_origins_decode(qr_reader *reader, qr_origins *origins);

#endif

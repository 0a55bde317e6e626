/* Private to src/fixed. */
#ifndef QR_FIXED_INTERNAL_H
#define QR_FIXED_INTERNAL_H

#include "fixed/fixed.h"

enum {
    QR_FIXED_FORMAT = 'f',                   /* of records, messages and briefs */
    QR_FIXED_MEMORY_MAX = 4 * 1024 * 1024, /* default of config.memory_max */
    QR_FIXED_MESSAGE_MAX = 256 * 1024,     /* default of config.message_max */
    QR_FIXED_UNCOMMITTED_MAX =
        64 * 1024 * 1024,         /* bytes of uncommitted entries; more: PROPOSE is refused with BUSY */
    QR_FIXED_READS_MAX = 4096,    /* read batches waiting for a round; more: READ is refused with BUSY */
    QR_FIXED_BATCH_MAX = 1 << 20, /* entries in one record or message, before memory is taken for them */
};

typedef struct fixed_entry {
    qr_entry_kind kind;
    qr_slice bytes; /* owned */
} fixed_entry;

/* A run of entries with consecutive indices. */
typedef struct fixed_log {
    fixed_entry *list; /* owned */
    size_t count, room;
    uint64_t first; /* index of list[0]; also when the run is empty: the next one to be added */
    size_t bytes;
} fixed_log;

void qr_fixed_log_free(fixed_log *log);
void qr_fixed_log_restart(fixed_log *log, uint64_t first); /* empties it */
void qr_fixed_log_add(fixed_log *log, qr_entry_kind kind, qr_slice bytes);
void qr_fixed_log_drop_before(fixed_log *log, uint64_t index);
void qr_fixed_log_drop_from(fixed_log *log, uint64_t index);
static inline uint64_t qr_fixed_log_next(const fixed_log *log)
{
    return log->first + log->count;
}
const fixed_entry *qr_fixed_log_find(const fixed_log *log, uint64_t index); /* NULL if it is not there */

/* ------------------------------------------------------------------ bytes ---- */

typedef enum fixed_message_kind {
    FIXED_APPEND = 1, /* leader: entries, commit and read round */
    FIXED_ACK = 2,    /* follower: what is on its disk, and the round it has heard of */
    FIXED_ASK = 3,    /* follower: from which index on may I read? */
    FIXED_TELL = 4,   /* leader: from this one on */
} fixed_message_kind;

typedef struct fixed_message {
    fixed_message_kind kind;
    uint64_t life;   /* of who asked (APPEND: the leader, ASK: the follower): older answers do not count */
    uint64_t round;  /* APPEND: the newest read round; ACK: the one that is answered; ASK, TELL: the tag */
    uint64_t commit; /* APPEND */
    uint64_t first; /* APPEND: index of the first entry; ACK: the last index on the follower's disk; TELL: the
                       index */
    qr_slice entries; /* APPEND: encoded like a record's */
} fixed_message;

void qr_fixed_encode_message(const fixed_message *message, qr_buffer *out);
qr_status qr_fixed_decode_message(qr_slice bytes, fixed_message *message);

/* Entries on the wire and in records: count, then kind and bytes of each. */
void qr_fixed_encode_record(const fixed_log *log, uint64_t first, uint64_t last, qr_buffer *out);
/* Adds the entries from `wanted` on to log. INVALID. */
qr_status qr_fixed_decode_entries(qr_reader *reader, uint64_t first, uint64_t wanted, fixed_log *log);

#endif

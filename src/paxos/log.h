/* The slots of one member: base + 1 .. last, the newest ones in memory. A slot that is not known to be chosen
 * is always in memory, and holds what this acceptor accepted last (PMS 2.2): the ballot, and the value.
 *
 * A value carries its first ballot, `born`: the one that proposed it fresh, not because phase 1 had found it.
 * A ballot proposes one value for a slot, so slot and born name a value. The term of an entry is the greatest
 * born among the slots up to it: it never falls along the log, and follows from the chosen values alone. */
#ifndef QR_PAXOS_LOG_H
#define QR_PAXOS_LOG_H

#include "core/engine.h"

enum { QR_PAXOS_ENTRY_HEADER_MAX = 31 };

typedef struct qr_paxos_entry { /* one slot in memory */
    uint64_t ballot, born, term;
    uint8_t *bytes; /* owned */
    uint32_t size;
    uint8_t kind; /* qr_entry_kind */
} qr_paxos_entry;

typedef struct qr_paxos_run { /* slots from first on have this term */
    uint64_t first, term;
} qr_paxos_run;

typedef struct qr_paxos_log {
    uint64_t base, base_term; /* the slot before the first: inside a checkpoint, or 0 and 0 */
    uint64_t last;            /* base when empty */
    uint64_t memory_first;    /* slots memory_first..last are in memory */
    qr_paxos_entry *ring;     /* slot i is at i & (ring_room - 1) */
    uint64_t ring_room;       /* a power of two */
    qr_paxos_run *runs;       /* terms of the slots below memory_first; oldest first */
    size_t run_count, run_room;
    size_t memory_bytes;
} qr_paxos_log;

/* A slot's content, as read from memory, a record or a message; bytes are borrowed from there. */
typedef struct qr_paxos_view {
    uint64_t ballot, born;
    qr_entry_kind kind;
    qr_slice bytes;
} qr_paxos_view;

void qr_paxos_log_init(qr_paxos_log *log);
void qr_paxos_log_free(qr_paxos_log *log);
/* Forgets everything and begins behind (index, term). */
void qr_paxos_log_reset(qr_paxos_log *log, uint64_t index, uint64_t term);
/* Slots up to index (in the log) are not needed any more: the log begins behind it. term: that of index,
 * which may have had another value here. */
void qr_paxos_log_forget(qr_paxos_log *log, uint64_t index, uint64_t term);
/* Puts a value into slot index, in memory_first..last + 1, and drops what is dead behind it (see log.c). The
 * bytes may be those of the slot itself. */
void qr_paxos_log_put(qr_paxos_log *log, uint64_t index, const qr_paxos_view *view);
/* Drops the bytes of the oldest slots, not above index_max, until at most memory_max bytes are held. */
void qr_paxos_log_trim(qr_paxos_log *log, uint64_t index_max, size_t memory_max);

uint64_t qr_paxos_log_term(const qr_paxos_log *log, uint64_t index); /* 0 = outside base..last */
bool qr_paxos_log_read(const qr_paxos_log *log, uint64_t index,
                       qr_paxos_view *view); /* false: not in memory */

/* Entries in messages and records: varint ballot, varint born, kind (1 byte), varint size, bytes. */
void qr_paxos_entry_encode(const qr_paxos_view *view, qr_buffer *out);
/* INVALID when malformed, oversized, of a kind not known, or born after its ballot. */
qr_status qr_paxos_entry_decode(qr_reader *reader, qr_paxos_view *view);
/* The count entries that fill the rest of reader are sound, none of a ballot above ballot_max. */
bool qr_paxos_entries_sound(qr_reader reader, uint64_t count, uint64_t ballot_max);

#endif

/* The log as one member holds it: entries base_index + 1 .. last, of which the newest ones are in memory. The
 * terms of *all* of them are known (one row for each run of equal terms), so the questions of the protocol
 * (5.3, 5.4.1) never need the disk; only bytes of old entries do.
 *
 * Entries lie in memory in the very encoding they have in records and messages, back to back in chunks, so
 * that a record or a message is made by copying runs of bytes. */
#ifndef QR_RAFT_LOG_H
#define QR_RAFT_LOG_H

#include "core/engine.h"

typedef struct qr_raft_chunk qr_raft_chunk;

typedef struct qr_raft_entry { /* one entry in memory */
    qr_raft_chunk *home;
    uint64_t term;
    uint32_t offset; /* of its encoding in home */
    uint32_t size;   /* of its encoding, header and bytes */
    uint8_t header;  /* bytes of the encoding before the entry's own bytes */
    uint8_t kind;    /* qr_entry_kind */
} qr_raft_entry;

/* Descriptors stand in blocks: more of them never means that those that are there have to move, which would
 * be milliseconds for some 100,000. */
enum { QR_RAFT_BLOCK = 1024 };

typedef struct qr_raft_run { /* entries from first on have this term */
    uint64_t first, term;
} qr_raft_run;

typedef struct qr_raft_log {
    uint64_t base_index, base_term; /* the entry before the first: inside a checkpoint, or 0 and 0 */
    uint64_t last;                  /* base_index when empty */
    uint64_t memory_first;          /* entries memory_first..last are in memory; last + 1 when none is */
    /* Descriptors of entries in memory: block b, of entries b * QR_RAFT_BLOCK on, is at b & (block_room - 1),
     * which is NULL when none of them is; block_room is a power of two. */
    qr_raft_entry **blocks;
    uint64_t block_room;
    qr_raft_entry *spare_block; /* kept for reuse, or NULL */
    qr_raft_run *runs;          /* oldest first; indexes and terms strictly rise */
    size_t run_count, run_room;
    qr_raft_chunk *head, *tail; /* oldest and newest chunk */
    qr_raft_chunk *spare;       /* kept for reuse, or NULL */
    size_t memory_bytes;        /* of entries in memory, with their descriptors */
} qr_raft_log;

/* One entry, as read from memory, a record or a message; bytes are borrowed from there. */
typedef struct qr_raft_view {
    uint64_t term;
    qr_entry_kind kind;
    qr_slice bytes;   /* the entry's own */
    qr_slice encoded; /* header and bytes */
} qr_raft_view;

void qr_raft_log_init(qr_raft_log *log);
void qr_raft_log_free(qr_raft_log *log);
/* Forgets everything and begins behind the entry (index, term). */
void qr_raft_log_reset(qr_raft_log *log, uint64_t index, uint64_t term);
/* Entries up to index (in the log) are not needed any more: the log begins behind it. */
void qr_raft_log_forget(qr_raft_log *log, uint64_t index);
/* Adds entry last + 1. term is not below the last one's. */
void qr_raft_log_append(qr_raft_log *log, uint64_t term, qr_entry_kind kind, qr_slice bytes);
/* The same, but for its bytes, which stay on the disk. Nothing may be in memory. */
void qr_raft_log_skip(qr_raft_log *log, uint64_t term);
/* Drops the entries from index (> base_index) on. */
void qr_raft_log_truncate(qr_raft_log *log, uint64_t index);
/* Drops the bytes of the oldest entries, not above index_max, until at most memory_max bytes are held. */
void qr_raft_log_trim(qr_raft_log *log, uint64_t index_max, size_t memory_max);

uint64_t qr_raft_log_term(const qr_raft_log *log, uint64_t index); /* 0 = outside base_index..last */
static inline uint64_t qr_raft_log_last_term(const qr_raft_log *log)
{
    return log->run_count ? log->runs[log->run_count - 1].term : log->base_term;
}
bool qr_raft_log_read(const qr_raft_log *log, uint64_t index, qr_raft_view *view); /* false: not in memory */
/* How many entries from index on, which is in memory, up to last have its term, its kind and its size. */
uint64_t qr_raft_log_alike(const qr_raft_log *log, uint64_t index, uint64_t last);
/* The greatest index in base_index..index_max whose term is at most term; base_index if none is. */
uint64_t qr_raft_log_find(const qr_raft_log *log, uint64_t index_max, uint64_t term);

/* Entries: varint term, kind (1 byte), varint size, bytes. */
enum { QR_RAFT_ENTRY_HEADER_MAX = 21 };
size_t qr_raft_entry_header(uint8_t *at, uint64_t term, qr_entry_kind kind,
                            uint64_t size); /* bytes written */
/* INVALID when malformed, oversized or of a kind not known. */
qr_status qr_raft_entry_decode(qr_reader *reader, qr_raft_view *view);

#endif

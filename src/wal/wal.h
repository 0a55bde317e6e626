/* wal: the write-ahead log. Opaque records in, the same records out after a crash; damage is told from a torn
 * tail. doc/formats/wal.md has the bytes.
 *
 * Segments are preallocated and recycled, so that an append is mostly an overwrite and its sync has no
 * metadata to write. Each record's checksum covers cluster, group, position and the previous record's
 * checksum: a stale, misplaced or foreign record never passes. Group commit: everything appended since the
 * last flush goes out as one write and one sync; one flush is under way at a time.
 *
 * Recovery: a damaged record with nothing acknowledged behind it is a torn tail and is cut; anywhere else
 * open() refuses with CORRUPT. Every record says up to where the log was durable when it was written; that
 * tells the two apart.
 *
 * Position: bytes from the beginning of the log, counted through all segments. The wal knows neither terms
 * nor entries. */
#ifndef QR_WAL_WAL_H
#define QR_WAL_WAL_H

#include "base/base.h"
#include "core/trace.h"
#include "edge/edge.h"

enum {
    QR_WAL_SEGMENT_SIZE = 16 * 1024 * 1024, /* bytes; default */
    QR_WAL_RECORD_MAX = 32 * 1024 * 1024,   /* bytes of one record; it may not span segments */
    QR_WAL_BRIEF_MAX = 64 * 1024,
};

typedef struct qr_wal qr_wal;

typedef struct qr_wal_config {
    qr_disk *disk; /* borrowed */
    uint64_t cluster, group, member;
    uint64_t incarnation;    /* used when the log is new; an existing log keeps its own */
    uint64_t segment_size;   /* 0 = default; a multiple of 4096. Small ones serve tests and the simulator */
    uint32_t segments_ready; /* spare segments kept ready; 0 = default (1) */
    qr_trace *trace;         /* may be NULL; borrowed */
    uint32_t bug;            /* core/bugs.h by number; the wal's own rows only */
    /* Called while a segment is begun: the bytes that replace all records before it (the engine's and the
     * node's). */
    void (*brief)(void *context, qr_buffer *out);
    /* Everything appended up to this position (exclusive) is durable. From within qr_disk_op.done. */
    void (*durable)(void *context, uint64_t position);
    /* A write or sync failed, or the log is damaged: the member must halt. sentence is static or lives as
     * long as wal. */
    void (*broken)(void *context, qr_status status, const char *sentence);
    /* Preallocation failed for want of space (full = true), or works again. Appends go on while a segment
     * lasts. */
    void (*space)(void *context, bool full);
    void *context;
} qr_wal_config;

/* What open() finds, in order: first one brief (that of the oldest segment kept; is_brief), then every
 * record, each with its position. Not QR_OK from the visitor ends the opening with that status. */
typedef qr_status (*qr_wal_visit)(void *context, bool is_brief, qr_slice bytes, uint64_t position,
                                  uint64_t index_first, uint64_t index_last);

/* Opens or, in an empty folder, makes the log. Synchronous (disk.run). On failure *wal is NULL and *sentence
 * names the cause, file and position (owned by the arena): CORRUPT (also what cannot be read), FOREIGN
 * (another cluster, group or member), BAD_VERSION, IO (all but reads), NO_SPACE. */
qr_status qr_wal_open(const qr_wal_config *config, qr_wal_visit visit, void *visit_context, qr_arena *arena,
                      qr_wal **wal, const char **sentence);

uint64_t qr_wal_incarnation(const qr_wal *wal); /* of this log: the configured one when it was made */

/* Adds a record to what the next flush writes (copied). Returns the position behind it: it is durable once
 * durable(position) has said so. index_first..index_last: the entries in it (0, 0: none), kept for
 * qr_wal_fetch. */
uint64_t qr_wal_append(qr_wal *wal, qr_slice record, uint64_t index_first, uint64_t index_last);

/* Starts a write and sync of everything appended, unless one is under way: then it follows by itself. */
void qr_wal_flush(qr_wal *wal);
bool qr_wal_idle(const qr_wal *wal); /* nothing appended is waiting, nothing is under way */

/* Reads the newest records that hold entries from..to, at most about size_max bytes of them but at least one
 * record, then calls done (never from inside this call): QR_OK with the raw records in index order, NOT_FOUND
 * when `from` is no longer in the log, CORRUPT. Records that are not durable yet are served from memory. One
 * fetch at a time. */
typedef void (*qr_wal_fetched)(void *context, uint64_t from, uint64_t to, qr_status status,
                               const qr_slice *records, size_t count);
void qr_wal_fetch(qr_wal *wal, uint64_t from, uint64_t to, size_t size_max, qr_wal_fetched done,
                  void *context);

/* Entries up to index are in a durable checkpoint, and so are all records before its brief: segments that
 * hold nothing newer are recycled, unless pinned by a fetch. The caller has appended a durable brief
 * (begin_segment) first. */
void qr_wal_release(qr_wal *wal, uint64_t index);
/* Would a release up to there let any segment go, once a new one with a fresh brief stands behind it? */
bool qr_wal_has_before(const qr_wal *wal, uint64_t index);
/* Ends the current segment early, so that a new one with a fresh brief begins with the next append. */
void qr_wal_begin_segment(qr_wal *wal);

typedef struct qr_wal_status {
    uint64_t segments, spare, bytes; /* on disk */
    uint64_t first_position, next_position, durable_position;
    uint64_t flushes, records; /* since open */
} qr_wal_status;
void qr_wal_status_of(const qr_wal *wal, qr_wal_status *status);

/* ---- inspecting: the checks of opening on a log that nobody has open, without writing anything ---- */

typedef enum qr_wal_verdict {
    QR_WAL_SOUND,
    QR_WAL_TORN,      /* the last segment only: opening would cut .torn bytes at .position */
    QR_WAL_DAMAGED,   /* opening would refuse with .status, for what stands at .position */
    QR_WAL_UNCHECKED, /* it can't be read (IO), or it is of a newer format (BAD_VERSION) */
    QR_WAL_SPARE,     /* holds no records: opening would remove it */
    QR_WAL_STRANGER,  /* not a file of the log */
} qr_wal_verdict;

typedef struct qr_wal_report {
    char name[QR_DISK_NAME_MAX];
    uint64_t size; /* bytes of the file */
    qr_wal_verdict verdict;
    qr_status status; /* DAMAGED, UNCHECKED: why; else QR_OK */
    const char *what; /* the same as a clause, "its head is damaged"; NULL = nothing to say. The arena's */
    uint64_t position, torn;
    /* Segments whose head is whole (has_head): */
    bool has_head;
    uint32_t span;
    uint64_t sequence, segment_size, cluster, group, member, incarnation;
    uint64_t first_position, next_position; /* of its good records; equal when there is none */
    uint64_t records, index_first,
        index_last; /* good ones up to the first bad one; least and greatest entry, 0 = none */
} qr_wal_report;

/* Visits every segment in order, damaged or not, then spares, then strangers; checkpoints are left to
 * qr_checkpoint_inspect(). Identity is that of the oldest whole head. QR_OK: all could be checked, whatever
 * was found. Else with a sentence: NOT_FOUND (no segment), IO, BAD_VERSION. */
qr_status qr_wal_inspect(const qr_disk *disk, void (*visit)(void *context, const qr_wal_report *report),
                         void *context, qr_arena *arena, const char **sentence);

void qr_wal_close(
    qr_wal *wal); /* frees; does not flush. No operation may be under way, or the disk is dead */

#endif

/* Private to src/wal: what its files share. The bytes are in doc/formats/wal.md.
 *
 * record.c   a record and a segment's head as bytes, and their checks
 * segment.c  names, the list of segments, spares: made and recycled in the background
 * append.c   appending, and the flush that makes it durable
 * index.c    which entries are where, in memory
 * fetch.c    reading entries back
 * walk.c     checking a log without changing it
 * recover.c  opening: a walk, then whatever has to be repaired
 * inspect.c  a walk that goes on behind damage and tells
 * wal.c      the small rest
 *
 * Checkpoints share the folder and nothing else: checkpoint_inside.h has their files.
 *
 * The order of everything on the disk is strict: a flush is written and synced before the next one is
 * submitted, and a segment gets its name only when all before it is durable. So a crash can tear nothing but
 * the last chunk (the bytes of one write) of the last segment. */
#ifndef QR_WAL_INSIDE_H
#define QR_WAL_INSIDE_H

#include <inttypes.h>

#include "core/bugs.h"
#include "wal/wal.h"

enum {
    WAL_VERSION = 1,
    WAL_BLOCK = 4096,     /* heads and segments are multiples of it */
    WAL_HEAD_SIZE = 112,  /* bytes of a head without its brief */
    WAL_RECORD_HEAD = 56, /* bytes of a record without its payload */
    WAL_SEGMENT_SIZE_MAX = 1024 * 1024 * 1024,
    WAL_SLICE = 256 * 1024,    /* bytes of zeros in one background write: how long a log sync waits for it */
    WAL_PADDED = 32 * 1024,    /* smaller writes into what was never written carry zeros as far as */
    WAL_PADDED_TO = 64 * 1024, /* the next multiple of this: long zeros would keep a sync and its processor */
    WAL_RUN_MAX = 64 * 1024,   /* bytes of neighbouring records that share one row of the index */
    WAL_SPARES_MAX = 16,
    WAL_SPARES_EXTRA = 7,              /* recycled segments kept above segments_ready: an interval of log */
    WAL_BUFFER_KEPT = 4 * 1024 * 1024, /* bytes of an idle batch buffer that are not given back */
    WAL_RETRY_MAX = 64,                /* flushes between two attempts to preallocate on a full disk */
    WAL_RETRY_URGENT_MAX = 8,          /* the same while appends wait for it */
};

/* ------------------------------------------------------------ record.c ---- */

typedef struct wal_head {
    uint32_t size; /* bytes with brief and padding: the first record stands there */
    uint32_t
        span; /* segments that this file stands for: more than 1 only for a record larger than a segment */
    uint32_t brief_size;
    uint64_t cluster, group, member, incarnation;
    uint64_t sequence;
    uint64_t segment_size;
    uint64_t previous_end; /* position where the records before this segment end; all of them were durable */
    uint64_t chain;        /* checksum of the last thing before: a record, or a head without records */
    uint64_t brief_checksum;
    uint64_t checksum;
} wal_head;

typedef struct wal_record {
    uint64_t position; /* of its first byte */
    uint64_t durable;
    uint64_t chain;
    uint64_t checksum;
    uint64_t index_first, index_last;
    qr_slice payload;
    uint64_t total; /* bytes with head and padding */
} wal_record;

uint32_t qr_wal_head_size(uint64_t brief_size);
/* Writes head->size bytes at `at`: head, brief, zeros. Sets size, brief_size and both checksums. */
void qr_wal_head_write(wal_head *head, qr_slice brief, uint8_t *at);
/* INVALID: not a head, or damaged. BAD_VERSION: a whole head of another version. */
qr_status qr_wal_head_read(qr_slice bytes, wal_head *head);
bool qr_wal_brief_read(const wal_head *head, qr_slice bytes,
                       qr_slice *brief); /* bytes: head->size of them, or more */

uint64_t qr_wal_seed(uint64_t cluster, uint64_t group, uint64_t member, uint64_t incarnation);
static inline uint64_t qr_wal_record_total(uint64_t payload)
{
    return (WAL_RECORD_HEAD + payload + 7) & ~(uint64_t)7;
}
/* Writes record->total bytes at `at` from position, durable, chain, index_* and payload; sets .checksum. */
void qr_wal_record_write(wal_record *record, uint64_t seed, uint8_t *at);
/* Whether the bytes begin with a record whose own checksum holds. Position and chain are for the caller to
 * compare. */
bool qr_wal_record_read(qr_slice bytes, uint64_t seed, wal_record *record);

/* ------------------------------------------------------------- segment.c ---- */

typedef struct wal_segment {
    uint64_t sequence;
    uint64_t index_max; /* greatest entry in it; 0 = none */
    uint32_t span, head_size;
    bool on_disk; /* named, and its name is durable */
} wal_segment;

typedef struct wal_spare {
    uint64_t number; /* in its name */
    uint32_t span;
    uint64_t written; /* bytes of it that were written, zeros or not; the rest is only reserved */
} wal_spare;

typedef enum wal_making {
    MAKING_NOTHING,
    MAKING_CREATE,
    MAKING_RESERVE,
    MAKING_FILL,   /* where nothing can be reserved */
    MAKING_UNDO,   /* the disk is full: the half-filled file goes */
    MAKING_RENAME, /* a released segment becomes a spare */
    MAKING_REMOVE, /* a released segment goes */
    MAKING_FOLDER, /* ... durably, before the next step */
} wal_making;

/* The background work: one operation at a time. */
typedef struct wal_workshop {
    wal_making state;
    wal_spare spare; /* the one being made */
    bool keep;       /* FOLDER: .spare is one now */
    bool full;       /* the disk was, at the last attempt */
    uint32_t hold;   /* full: flushes to go before the next attempt */
    uint32_t hold_next;
    uint64_t release; /* entries up to here may go */
    qr_disk_op op;
} wal_workshop;

typedef enum wal_flying {
    FLYING_NOTHING,
    FLYING_SPARE, /* waits for a spare to begin a segment in */
    FLYING_WRITE,
    FLYING_RENAME, /* the spare with its first records gets its name */
    FLYING_FOLDER,
} wal_flying;

/* ------------------------------------------------------------- append.c ---- */

/* A run of bytes that one write carries to the disk. */
typedef struct wal_chunk {
    uint64_t place;     /* position of its first byte, a head's included */
    size_t start, size; /* in the batch's bytes */
    uint64_t end;       /* position behind its last record */
    uint32_t span;      /* of the segment it begins; 0 = it begins none */
    uint32_t head_size;
} wal_chunk;

typedef struct wal_batch {
    qr_buffer bytes;
    wal_chunk *chunks; /* owned */
    size_t count, room;
} wal_batch;

/* ------------------------------------------------------------- index.c ---- */

/* Neighbouring records of one segment that hold consecutive entries; a newer record with a lower index cuts
 * it. */
typedef struct wal_run {
    uint64_t first, last; /* entries; inclusive */
    uint64_t position;
    uint32_t size; /* bytes */
    bool is_cut;   /* a newer record took entries behind it: nothing is added to it any more */
} wal_run;

typedef struct wal_index {
    wal_run *runs; /* owned; ascending in index and in position. A ring without wrap: [begin, end) of room */
    size_t begin, end, room;
} wal_index;

void qr_wal_index_add(wal_index *index, uint64_t first, uint64_t last, uint64_t position, uint64_t total,
                      uint64_t segment_begin);
const wal_run *qr_wal_index_find(const wal_index *index, uint64_t entry); /* NULL: not in the log */
void qr_wal_index_drop(wal_index *index, uint64_t position);              /* every run before position */

/* ------------------------------------------------------------- fetch.c ---- */

typedef struct wal_piece {
    wal_run run;
    uint64_t on_disk; /* bytes of the run that are read; the rest was copied from memory */
    size_t start;     /* in the fetch's bytes */
} wal_piece;

typedef struct wal_fetch {
    bool active;
    uint64_t from, to;
    size_t size_max;
    qr_wal_fetched done;
    void *context;
    qr_status status;
    qr_buffer bytes;
    wal_piece *pieces; /* owned */
    size_t count, room, next;
    uint8_t probe[8]; /* what is read when everything comes from memory */
    qr_disk_op op;
} wal_fetch;

/* ---------------------------------------------------------------- all ---- */

struct qr_wal {
    qr_wal_config config;
    uint64_t incarnation, segment_size, seed;
    uint8_t *zeros; /* owned; a slice of them */
    uint64_t slice; /* bytes of it */

    wal_segment *segments; /* owned; oldest first, the last one takes the appends */
    size_t segment_count, segment_room;
    wal_spare spares[WAL_SPARES_MAX];
    size_t spare_count;
    uint64_t spare_number; /* the next one */
    wal_workshop workshop;

    uint64_t position; /* behind the last record appended: where the next one goes if it fits */
    uint64_t chain;
    uint64_t durable;
    bool end_asked; /* the next append begins a segment */
    wal_batch batches[2];
    int waiting; /* which of them takes appends; the other one flies or is empty */
    wal_flying flying;
    size_t chunk_next; /* of the flying batch */
    wal_spare begun;   /* the spare being begun */
    uint64_t written;  /* bytes of the file that the flying batch goes into, as in wal_spare */
    bool flush_asked;
    qr_disk_op op;   /* of the flush */
    qr_buffer brief; /* scratch */

    wal_index index;
    wal_fetch fetch;

    uint64_t flushes, records;
    bool broken;
    char sentence[256];
};

/* segment.c */
void qr_wal_name_segment(uint64_t sequence, char name[QR_DISK_NAME_MAX]);
void qr_wal_name_spare(uint64_t number, char name[QR_DISK_NAME_MAX]);
bool qr_wal_name_read(const char *name, const char *prefix, uint64_t *number);
wal_segment *qr_wal_segment_add(qr_wal *wal);
static inline wal_segment *qr_wal_segment_last(qr_wal *wal)
{
    QR_ASSERT(wal->segment_count > 0);
    return &wal->segments[wal->segment_count - 1];
}
bool qr_wal_spare_take(qr_wal *wal, uint32_t span, wal_spare *spare);
void qr_wal_workshop_advance(qr_wal *wal); /* starts whatever background work is due */
void qr_wal_workshop_retry(
    qr_wal *wal); /* called at each flush: counts down to the next attempt on a full disk */

/* -------------------------------------------------------------- walk.c ---- */

typedef struct wal_file {
    uint64_t number; /* in the name */
    uint64_t size;
    wal_head head;
} wal_file;

typedef struct wal_files {
    wal_file *list; /* owned; in order of number */
    size_t count, room;
} wal_files;

typedef struct wal_walk {
    qr_wal *wal; /* its position and chain are where the walk is */
    const qr_disk *disk;
    qr_arena *arena;
    /* Of the last failure: the whole sentence, its last part, its position. */
    const char *sentence, *what;
    uint64_t failed_at;
    wal_files segments, spares;
    qr_wal_visit visit; /* may be NULL */
    void *visit_context;
    qr_buffer bytes; /* of the segment being walked */
    uint64_t chunk;  /* position where the last chunk of the log begins */
} wal_walk;

qr_status qr_wal_walk_fail(wal_walk *o, qr_status status, const char *name, uint64_t position,
                           const char *what);
qr_status qr_wal_walk_run(wal_walk *o, qr_disk_op *op,
                          const char *what); /* NO_SPACE or IO, with a sentence */
/* Notes a file that the folder's list shows; false: it is not one of the log's. */
bool qr_wal_walk_file(wal_walk *o, const char *name, uint64_t size);
qr_status qr_wal_walk_head(wal_walk *o, wal_file *file); /* reads and checks file->head by itself */
/* Against the configuration, and against the oldest head for what the configuration does not know. */
qr_status qr_wal_walk_identity(wal_walk *o, const wal_head *head, const wal_head *oldest);
qr_status qr_wal_walk_neighbour(wal_walk *o, const wal_head *head, const wal_head *before);
void qr_wal_walk_begin(wal_walk *o, const wal_head *oldest); /* heads are checked; segments may be walked */
/* One segment: its brief, its records, its end. `next` is NULL for the last one. */
qr_status qr_wal_walk_segment(wal_walk *o, const wal_file *file, const wal_file *next, bool is_oldest);
/* Behind the last segment's records: CORRUPT, or [wal->position, *end) is a torn chunk to be cut. */
qr_status qr_wal_walk_tail(wal_walk *o, const wal_file *file, uint64_t *end);
void qr_wal_walk_free(wal_walk *o); /* what the walk owns; not wal */

/* append.c */
void qr_wal_flying_advance(qr_wal *wal); /* a spare may have come, or a flush may be due */
/* Copies what of [position, position + size) is still in memory: those bytes are all of it from *from on. */
void qr_wal_batch_copy(const qr_wal *wal, uint64_t position, uint64_t size, uint8_t *target);

/* wal.c: says it once, and nothing is durable any more. */
void qr_wal_break(qr_wal *wal, const qr_disk_op *op, const char *what);

#endif

/* checkpoint: the state at one index of the log in a file of its own beside the log, so that the log before
 * it may go. doc/formats/checkpoint.md has the bytes; this room sees opaque chunks of three kinds.
 *
 * A file is written as `checkpoint-<index>.part`, synced, renamed to `checkpoint-<index>` (16 hex digits) and
 * the folder synced: a checkpoint that has its name is whole, or damaged. Every block of it carries a
 * checksum over its place and the identity in the header, the footer says how many there are: a torn, stale,
 * foreign or misplaced block never passes.
 *
 * All writing and all reading but that of opening is asynchronous, on the background lane, one operation at a
 * time and at most QR_CHECKPOINT_SYNC_BYTES without a sync, so that the log's syncs wait for little. No
 * callback comes from inside the call that asked for it; any callback may give up or free what calls it.
 *
 * What has an operation under way can't be freed before the disk is through with it: abandon(), close() and
 * free() see to that. The drop() calls free at once, without a callback or an operation: for a disk that is
 * dead, or when no operation is under way; not from within a callback. */
#ifndef QR_WAL_CHECKPOINT_H
#define QR_WAL_CHECKPOINT_H

#include "base/base.h"
#include "edge/edge.h"

enum {
    QR_CHECKPOINT_BLOCK = 64 * 1024,            /* bytes of a block in the file, its head included */
    QR_CHECKPOINT_SYNC_BYTES = 4 * 1024 * 1024, /* written at most between two syncs */
    QR_CHECKPOINT_CHUNK_MAX = 16 * 1024 * 1024, /* bytes of one chunk; it may span blocks */
};

/* What the header says. */
typedef struct qr_checkpoint_about {
    uint64_t cluster, group;
    uint64_t member, incarnation; /* of whoever made it: a received one keeps its maker's */
    uint64_t index, term;         /* the last entry inside */
    uint64_t digest;              /* of machine and origins at index */
    uint64_t revision;            /* of the machine there: for people */
    int64_t wall_ms;              /* when it was begun */
    uint16_t apply_version;       /* newest rules that the state may depend on */
} qr_checkpoint_about;

/* In this order in the file: one BRIEF, one ORIGINS, any number of MACHINE. */
typedef enum qr_checkpoint_kind {
    QR_CHECKPOINT_BRIEF = 1,
    QR_CHECKPOINT_ORIGINS = 2,
    QR_CHECKPOINT_MACHINE = 3,
} qr_checkpoint_kind;

/* ---- making one ---- */

typedef struct qr_checkpoint_writer qr_checkpoint_writer;

/* done: once, QR_OK when the file is durable under its name (a file of that name is replaced), else NO_SPACE
 * (the .part is removed, nothing else is harmed) or IO (the member must halt). The writer is freed after it.
 */
qr_checkpoint_writer *qr_checkpoint_begin(const qr_disk *disk, const qr_checkpoint_about *about,
                                          void (*done)(void *context, qr_status status, uint64_t bytes),
                                          void (*ready)(void *context), void *context);
/* Bytes that are wanted now: 0 while enough is on its way (ready() tells when that changes), else at least
 * 256 KiB, so that no chunk need be tiny. More is taken as well. */
size_t qr_checkpoint_wants(const qr_checkpoint_writer *writer);
void qr_checkpoint_add(qr_checkpoint_writer *writer, qr_checkpoint_kind kind, qr_slice chunk); /* copied */
void qr_checkpoint_finish(qr_checkpoint_writer *writer); /* no more chunks; done() follows */
/* Gives it up: none of its callbacks comes any more, the .part is removed; frees itself when that has ended,
 * and stands in the list until then. failed: the disk failed meanwhile (IO), and the member must halt. */
void qr_checkpoint_abandon(qr_checkpoint_writer *writer, void (*failed)(void *context),
                           qr_checkpoint_writer **list);
void qr_checkpoint_writer_drop(qr_checkpoint_writer *writer); /* and those behind it in such a list */

/* ---- finding and reading ---- */

typedef struct qr_checkpoint_row {
    char name[QR_DISK_NAME_MAX];
    uint64_t index, size; /* from the name; bytes */
} qr_checkpoint_row;

/* Names only, newest first; at most room of them, the newest. Without unfinished ones. Synchronous. */
qr_status qr_checkpoint_list(const qr_disk *disk, qr_checkpoint_row *rows, size_t room, size_t *count);
/* Removes unfinished ones (.part) and makes the names that are left durable. Synchronous: for opening, before
 * any of them is relied on. */
qr_status qr_checkpoint_sweep(const qr_disk *disk);

/* A reader visits the chunks in order. about comes first and is checked against cluster and group. */
typedef struct qr_checkpoint_visit {
    qr_status (*about)(void *context, const qr_checkpoint_about *about);
    qr_status (*chunk)(void *context, qr_checkpoint_kind kind, qr_slice chunk, bool last);
    void *context;
} qr_checkpoint_visit;

/* Reads it whole. Synchronous: for opening and for tools. Visits only what has been checked; `last` is true
 * with the last chunk, and only after the footer was found whole. CORRUPT (sentence names block and
 * position), BAD_VERSION, FOREIGN (cluster or group; 0 = any), IO, NOT_FOUND, or what the visitor returned.
 */
qr_status qr_checkpoint_read(const qr_disk *disk, const char *name, uint64_t cluster, uint64_t group,
                             const qr_checkpoint_visit *visit, qr_arena *arena, const char **sentence);

/* The same between turns: one block an operation. done(): once, unless closed before. The reader is freed
 * after it. */
typedef struct qr_checkpoint_reader qr_checkpoint_reader;
qr_checkpoint_reader *qr_checkpoint_open(const qr_disk *disk, const char *name, uint64_t cluster,
                                         uint64_t group, const qr_checkpoint_visit *visit,
                                         void (*done)(void *context, qr_status status, const char *sentence),
                                         void *context);
/* Instead of done(): no callback comes any more; frees itself when its operation has ended. */
void qr_checkpoint_close(qr_checkpoint_reader *reader);
void qr_checkpoint_reader_drop(qr_checkpoint_reader *reader);

/* ---- inspecting: reading all of them without writing anything, for people ---- */

typedef enum qr_checkpoint_verdict {
    QR_CHECKPOINT_SOUND,
    QR_CHECKPOINT_DAMAGED,    /* reading would answer .status, for what stands at .block and .position */
    QR_CHECKPOINT_UNCHECKED,  /* it can't be read (IO), or it is of a newer format (BAD_VERSION) */
    QR_CHECKPOINT_UNFINISHED, /* a .part: opening would remove it */
} qr_checkpoint_verdict;

typedef struct qr_checkpoint_report {
    char name[QR_DISK_NAME_MAX];
    uint64_t index, size; /* from the name; bytes */
    qr_checkpoint_verdict verdict;
    qr_status status; /* DAMAGED, UNCHECKED: why; else QR_OK */
    const char *what; /* the same as a clause, "its header is damaged"; NULL = nothing to say. The arena's */
    uint64_t block, position;  /* where; block 0 is the header */
    bool has_about;            /* the header is whole */
    qr_checkpoint_about about; /* what it says */
    uint64_t chunks;           /* good ones */
} qr_checkpoint_report;

/* Visits every checkpoint in order of name, damaged or not, unfinished ones among them. cluster and group as
 * for reading. QR_OK: all could be checked, whatever was found. Else with a sentence: IO, BAD_VERSION. */
qr_status qr_checkpoint_inspect(const qr_disk *disk, uint64_t cluster, uint64_t group,
                                void (*visit)(void *context, const qr_checkpoint_report *report),
                                void *context, qr_arena *arena, const char **sentence);

/* ---- sending and receiving the bytes of a file ---- */

/* Reads size bytes (at most QR_CHECKPOINT_CHUNK_MAX) at offset of a file into memory. done once: OK (fewer
 * bytes at the end of the file; borrowed for the call), NOT_FOUND or IO. One at a time a fetcher. */
typedef struct qr_checkpoint_fetcher qr_checkpoint_fetcher;
qr_checkpoint_fetcher *qr_checkpoint_fetcher_new(const qr_disk *disk, const char *name);
bool qr_checkpoint_fetcher_busy(const qr_checkpoint_fetcher *fetcher);
void qr_checkpoint_fetch(qr_checkpoint_fetcher *fetcher, uint64_t offset, size_t size,
                         void (*done)(void *context, qr_status status, uint64_t offset, qr_slice bytes),
                         void *context);
void qr_checkpoint_fetcher_free(qr_checkpoint_fetcher *fetcher); /* no done() any more; frees itself */
void qr_checkpoint_fetcher_drop(qr_checkpoint_fetcher *fetcher);

/* Takes the bytes of a file of known size in order, into `received-<index>.part`, a new one from its first
 * byte on; keep() makes it `checkpoint-<index>` (rename, folder sync). The bytes are not judged here: read it
 * first. done: QR_OK, NO_SPACE (what is durable stays; adding from there may be tried again) or IO (the
 * member must halt). */
typedef struct qr_checkpoint_receiver qr_checkpoint_receiver;
qr_checkpoint_receiver *qr_checkpoint_receive(const qr_disk *disk, uint64_t index, uint64_t size,
                                              void (*done)(void *context, qr_status status, uint64_t durable),
                                              void *context);
const char *qr_checkpoint_receiver_name(const qr_checkpoint_receiver *receiver);
/* Appends (copied): 1 to QR_CHECKPOINT_CHUNK_MAX bytes, no more than are missing. done(status, durable bytes)
 * follows. One at a time. */
void qr_checkpoint_receiver_add(qr_checkpoint_receiver *receiver, qr_slice bytes);
void qr_checkpoint_receiver_keep(qr_checkpoint_receiver *receiver); /* done() follows */
void qr_checkpoint_receiver_free(qr_checkpoint_receiver *receiver); /* frees itself; the .part stays */
void qr_checkpoint_receiver_drop(qr_checkpoint_receiver *receiver);

/* Removes a file, durably, in the background; done (may be NULL): QR_OK, also when it was not there, or IO.
 * The remover is freed after it; only drop() has a use for it. */
typedef struct qr_checkpoint_remover qr_checkpoint_remover;
qr_checkpoint_remover *qr_checkpoint_remove(const qr_disk *disk, const char *name,
                                            void (*done)(void *context, qr_status status), void *context);
void qr_checkpoint_remover_drop(qr_checkpoint_remover *remover);

#endif

/* A disk in memory that keeps the promises of edge.h and nothing more. It knows for every file what is
 * durable and which writes are not, for the folder the same, and can be copied and crashed at any time.
 * Deterministic. */
#ifndef FAKE_DISK_H
#define FAKE_DISK_H

#include "base/base.h"
#include "edge/edge.h"

typedef struct fake_write {
    uint64_t offset;
    qr_buffer bytes;
} fake_write;

typedef struct fake_file {
    qr_buffer now;
    qr_buffer durable;  /* only while there are writes that are not synced; else `now` is */
    fake_write *writes; /* not synced, in order */
    size_t write_count;
} fake_file;

typedef struct fake_entry {
    char name[QR_DISK_NAME_MAX];
    int file; /* -1: no entry */
} fake_entry;

typedef struct fake_change {
    qr_disk_kind kind; /* CREATE, RENAME, REMOVE */
    char name[QR_DISK_NAME_MAX], name_to[QR_DISK_NAME_MAX];
    int file;
} fake_change;

enum { FAKE_ENTRIES_MAX = 64, FAKE_CHANGES_MAX = 64, FAKE_FILES_MAX = 2048, FAKE_QUEUE_MAX = 16 };

typedef struct fake_disk {
    qr_disk disk;
    fake_file *files[FAKE_FILES_MAX];
    int file_count;
    fake_entry now[FAKE_ENTRIES_MAX], durable[FAKE_ENTRIES_MAX];
    int now_count, durable_count;
    fake_change changes[FAKE_CHANGES_MAX]; /* of the folder, not synced */
    int change_count;
    qr_disk_op *queue[QR_LANE_COUNT][FAKE_QUEUE_MAX];
    uint64_t promised[QR_LANE_COUNT][FAKE_QUEUE_MAX]; /* hash of the bytes at submit(): they must stay */
    int queued[QR_LANE_COUNT];
    uint64_t ops;          /* carried out */
    uint64_t bytes_max;    /* of all files; 0 = no bound */
    bool reserves_nothing; /* RESERVE is UNSUPPORTED */
    /* Called before each operation. Not QR_OK: the operation fails with it, without effect. */
    qr_status (*before)(void *context, const qr_disk_op *op);
    void *context;
} fake_disk;

typedef enum fake_crash {
    CRASH_KEEP_ALL,    /* the process died, the machine did not */
    CRASH_LOSE_ALL,    /* nothing that was not synced is there */
    CRASH_KEEP_FOLDER, /* writes lost, folder changes kept */
    CRASH_KEEP_DATA,   /* writes kept, folder changes lost */
    CRASH_RANDOM,      /* each kept, lost or torn at 512 bytes */
} fake_crash;

/* What becomes of one thing that is not synced: a write, or a change of the folder (kept or lost). */
typedef struct fake_fate {
    enum {
        FATE_LOST,
        FATE_KEPT,
        FATE_HEAD, /* only the first .sector sectors */
        FATE_HOLE, /* all but that sector */
        FATE_SIZE, /* the size of the file came through, the bytes did not */
    } kind;
    uint32_t sector; /* of 512 bytes */
} fake_fate;

fake_disk *fake_disk_new(void);
fake_disk *fake_disk_clone(const fake_disk *disk); /* without what is queued, and without hooks */
void fake_disk_free(fake_disk *disk);
bool fake_disk_step(fake_disk *disk); /* carries out one queued operation; false: there is none */
void fake_disk_pump(fake_disk *disk); /* all of them */
/* Leaves a write or a folder change as it is while it is under way: visible, not durable. */
void fake_disk_begin(fake_disk *disk, const qr_disk_op *op);
void fake_disk_crash(fake_disk *disk, fake_crash how, qr_prng *prng);
/* Writes that are not synced, file by file in their order, then changes of the folder in theirs. A write has
 * so many sectors; a change has 0. */
size_t fake_disk_unsynced(const fake_disk *disk, uint32_t sectors[], size_t room);
void fake_disk_crash_as(fake_disk *disk, const fake_fate fates[]); /* one for each of them */
qr_buffer *fake_disk_file(fake_disk *disk, const char *name);      /* what a reader sees; NULL: not there */
uint64_t fake_disk_digest(const fake_disk *disk);                  /* of all names and bytes */

#endif

/* What the log's tests share: a log over a fake disk, and a model that knows what must come back. */
#ifndef WAL_HARNESS_H
#define WAL_HARNESS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fake_disk.h"
#include "wal/wal.h"

enum { RECORDS_MAX = 1024 };

/* Record number i has contents that follow from i and its salt. Every seventh one holds no entry. */
typedef struct model {
    uint32_t count;   /* records appended */
    uint32_t durable; /* records reported durable */
    uint32_t first;   /* the oldest one that may be asked for: those before it were released */
    uint64_t salt[RECORDS_MAX];
    uint64_t end[RECORDS_MAX]; /* position behind it */
} model;

typedef struct harness {
    fake_disk *disk; /* borrowed */
    qr_wal_config config;
    qr_wal *wal; /* NULL when closed */
    model model;
    const char *where; /* for messages: what the test is at */
    uint64_t number;
    /* what the log said */
    uint64_t durable_position;
    uint32_t broken;
    qr_status broken_status;
    char broken_sentence[256];
    uint32_t full, relieved;
    char sentence[256]; /* of a failed open */
    uint32_t largest;   /* every so often a record of this many bytes; 0 = none */
    /* while opening */
    uint32_t visited;
    bool brief_seen;
} harness;

void harness_init(harness *h, fake_disk *disk, uint64_t segment_size);
qr_status harness_open(harness *h); /* and checks what comes back against the model */
void harness_close(harness *h);
void harness_append(harness *h, uint64_t salt);
void harness_append_many(harness *h, uint32_t count, uint64_t salt);
uint64_t harness_entry(uint32_t record); /* the entry in it, or the newest one before it */
bool harness_has_entry(uint32_t record);
void harness_contents(const harness *h, uint32_t record, uint64_t salt, qr_buffer *out);
void harness_release(harness *h, uint32_t record); /* all records before it */
void harness_settle(harness *h);                   /* flush and wait until everything is durable */
_Noreturn void harness_fail(const harness *h, const char *what);

#define DEMAND(h, condition)                                                                                 \
    do {                                                                                                     \
        if (!(condition))                                                                                    \
            harness_fail(h, #condition);                                                                     \
    } while (0)

#endif

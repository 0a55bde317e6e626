/* verify: what was found, and how it is told. Private to verify*.c. */
#ifndef QR_BIN_VERIFY_H
#define QR_BIN_VERIFY_H

#include "base/base.h"
#include "wal/checkpoint.h"
#include "wal/wal.h"

typedef struct verify {
    const char *folder;
    bool json, help;
    qr_arena arena;
    qr_buffer reports;     /* qr_wal_report, one after another */
    qr_buffer checkpoints; /* qr_checkpoint_report, one after another */
    size_t segments, damaged, torn;
    uint64_t records, index_first, index_last;
    qr_wal_report known;    /* the first one with a whole head */
    bool begins_well;       /* nothing is the matter with the oldest segment: index_first is the log's */
    size_t whole;           /* checkpoints that have the name of one */
    size_t whole_damaged;   /* of them */
    size_t whole_unchecked; /* of them */
    bool has_sound;
    uint64_t sound_index;         /* of the newest sound one; 0 = none */
    uint64_t gap_first, gap_last; /* entries that are nowhere; 0 = none is missing */
} verify;

void qr_verify_init(verify *v);
void qr_verify_free(verify *v);
/* NULL, or why something can't be checked. */
const char *qr_verify_inspect(verify *v, const qr_disk *disk);
bool qr_verify_is_damaged(const verify *v);

/* result: "sound" and so on; sentence: why something can't be checked, or NULL. */
void qr_verify_print_table(verify *v, const char *result, const char *sentence);
void qr_verify_print_json(const verify *v, const char *result, const char *sentence);

#endif

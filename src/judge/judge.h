/* judge: what clients of a store recorded, and whether a correct store could have told them so. Pure: records
 * in, verdicts out. Knows no store, protocol, clock or file; includes base alone, so that a judge shares no
 * code with the judged. doc/design/chaos.md.
 *
 * Keys and values are numbers that the recorder hands out; value 0 is "there is no such key". Times are of
 * one clock, in any unit. Where two times are equal, the operations count as overlapping. */
#ifndef QR_JUDGE_JUDGE_H
#define QR_JUDGE_JUDGE_H

#include "base/base.h"

typedef enum qr_judge_verdict {
    QR_JUDGE_OK,
    QR_JUDGE_VIOLATION, /* no correct store could have told this */
    QR_JUDGE_TOO_HARD,  /* the memory was used up before a verdict: not a pass */
} qr_judge_verdict;

typedef struct qr_judge_finding {
    qr_judge_verdict verdict;
    uint64_t key; /* of what was found */
    char text[400];
} qr_judge_finding;

/* ---- operations on registers, one a key ---- */

typedef enum qr_judge_kind {
    QR_JUDGE_READ,   /* .value: what was found */
    QR_JUDGE_WRITE,  /* .value: what is written */
    QR_JUDGE_DELETE, /* .changed: there was something */
    QR_JUDGE_CAS,    /* writes .value if .expected is there; .changed: it was. One that failed and was told
                        what is there instead is recorded as that READ */
} qr_judge_kind;

typedef struct qr_judge_op {
    uint64_t invoke, answer; /* times */
    uint64_t key, value, expected;
    uint64_t revision;     /* of the whole store when it was answered; of a change: its own. 0 = not told */
    uint64_t mod_revision; /* READ: of the change that wrote what was found; 0 = not told, or nothing found */
    uint32_t client;
    uint8_t kind; /* qr_judge_kind */
    bool known;   /* false: nobody told how it ended; it may take place at any time after invoke, or never.
                     (What surely did not take place is left out of the record.) */
    bool changed;
} qr_judge_op;

/* Is there an order in which each operation takes place between its invoke and its answer, key by key, and
 * each read finds what was written last? memory_max: bytes for what was tried, of one key at a time. The
 * operations are sorted by key and invoke. A violation names the operation that cannot be placed. */
void qr_judge_linear(qr_judge_op *ops, size_t count, size_t memory_max, qr_judge_finding *finding);

/* Do the revisions follow time, over all keys, has each change its own, and does a read find the change that
 * its revisions say? Operations without revisions say nothing. Sorts as above; every write must have a value
 * of its own. */
void qr_judge_revisions(qr_judge_op *ops, size_t count, qr_judge_finding *finding);

/* "client 3 reads 17 of key 5 (120..180, revision 9)"; for sentences. */
void qr_judge_describe(const qr_judge_op *op, char *text, size_t size);

/* ---- watches ---- */

typedef enum qr_judge_note_kind {
    QR_JUDGE_BEGIN,     /* a watch is made: everything from .revision on is wanted */
    QR_JUDGE_EVENT,     /* one event */
    QR_JUDGE_ANSWER,    /* the answer with the events before this note is over */
    QR_JUDGE_PROGRESS,  /* "everything up to .revision was told" */
    QR_JUDGE_COMPACTED, /* the watch ends, since all before .revision is gone */
} qr_judge_note_kind;

typedef struct qr_judge_note {
    uint64_t revision;                 /* EVENT: of the change */
    uint64_t key, value;               /* EVENT; value 0: a deletion */
    uint64_t create_revision, version; /* EVENT that is no deletion */
    uint64_t previous, previous_mod;   /* EVENT: value and revision before it; 0 = not told */
    uint8_t kind;                      /* qr_judge_note_kind */
} qr_judge_note;

typedef struct qr_judge_watch {
    uint64_t first, end; /* keys wanted: first <= key < end */
    bool skip_puts, skip_deletes, wants_previous;
    const qr_judge_note *notes; /* in the order in which they were told; borrowed */
    size_t count;
} qr_judge_watch;

/* Were the watches told what they asked for? The first one listens to everything that the others do, without
 * filters, and goes on where it was after each interruption: what versions and previous values must be
 * follows from it. ops: the same operations, for what must have been told; only changes with a revision
 * count. One change a key and revision. */
void qr_judge_watches(const qr_judge_watch *watches, size_t count, const qr_judge_op *ops, size_t op_count,
                      qr_judge_finding *finding);

#endif

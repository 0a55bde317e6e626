/* What the tests of checkpoints share: chunks whose contents follow from a seed, a file made of them in one
 * go, and a visitor that demands them back. */
#ifndef CHECKPOINT_KIT_H
#define CHECKPOINT_KIT_H

#include "harness.h"
#include "wal/checkpoint_inside.h"

enum { KIT_CHUNKS_MAX = 4096 };

typedef struct kit_plan {
    uint64_t index, seed;
    size_t count;        /* of chunks, brief and origins included */
    const size_t *sizes; /* borrowed */
} kit_plan;

typedef struct kit_made {
    qr_checkpoint_writer *writer; /* NULL once done() was called */
    const kit_plan *plan;
    size_t next;
    bool finished;
    int done, ready;
    qr_status status;
    uint64_t bytes;
} kit_made;

qr_checkpoint_about kit_about(uint64_t index, uint64_t seed);
/* The bytes of a chunk, in the buffer. */
qr_slice kit_chunk(const kit_plan *plan, size_t number, qr_buffer *out);
void kit_begin(fake_disk *disk, const kit_plan *plan, kit_made *made);
void kit_feed(kit_made *made); /* adds chunks while they are wanted, then finishes */
/* All of it: begins, feeds, pumps until done. */
qr_status kit_make(fake_disk *disk, const kit_plan *plan, uint64_t *bytes);
void kit_name(uint64_t index, char name[QR_DISK_NAME_MAX]);

/* What a reader visited. */
typedef struct kit_seen {
    const kit_plan *plan; /* demanded back chunk by chunk; NULL: nothing is */
    qr_checkpoint_about about;
    int abouts;
    size_t chunks;
    bool last;
    uint64_t digest;             /* of all that was visited */
    size_t refuse_at;            /* the number of chunks after which the visitor says HALTED; 0 = never */
    qr_checkpoint_reader *close; /* closed at the chunk close_at */
    size_t close_at;
    int done;
    qr_status status;
    char sentence[CHECKPOINT_SENTENCE_MAX];
} kit_seen;

qr_checkpoint_visit kit_visit(kit_seen *seen);
qr_status kit_read(fake_disk *disk, const char *name, kit_seen *seen);
/* The same with the reader between turns; it must find just the same. */
qr_status kit_read_both(fake_disk *disk, const char *name, kit_seen *seen);

/* A file with good checksums whose chunks are any bytes: what only a liar or a bug could write. `more` is
 * added to what the footer says (it begins with no chunks); NULL: nothing is. */
void kit_forge(fake_disk *disk, const char *name, const qr_checkpoint_about *about, qr_slice stream,
               const wal_footer *more);
void kit_put(fake_disk *disk, const char *name, qr_slice bytes); /* a file, durable */

#endif

/* replay: segments of recordings, read and repeated. Pure: bytes in, what was found out. */
#ifndef QR_BOX_REPLAY_H
#define QR_BOX_REPLAY_H

#include "box/box.h"

typedef struct qr_box_segment {
    uint64_t cluster, group, boot, sequence;
    qr_engine_config config; /* of the engine, but for members and trace */
    char engine[16];         /* its name */
    bool follows;            /* goes on exactly where the segment of sequence - 1 ends */
    bool whole;              /* commands are not redacted */
    uint64_t now_ms;         /* own clock when it begins */
    int64_t wall_ms;         /* and wall clock */
    qr_slice bytes;          /* all of it, as far as it is sound */
    qr_slice image, steps;   /* payload; frames of steps */
    const char *damage;      /* NULL: it ends where it ends; else why no more of it is used */
} qr_box_segment;

/* The next segment of a file of segments, borrowed from it. False: there is none. What cannot be read is
 * passed over up to the next head, and makes the segment before it damaged (or, without one, *lost). */
bool qr_box_next(qr_reader *file, qr_box_segment *segment, bool *lost);
/* A head stands at the beginning of these bytes: when was it written? */
bool qr_box_begun(qr_slice bytes, int64_t *wall_ms);

typedef struct qr_replay_config {
    const qr_engine_ops *(*engine)(void *context, const char *name); /* NULL: there is none of that name */
    /* What the engine traces on the way, and when by the member's wall clock. May be NULL. */
    void (*traced)(void *context, const qr_box_segment *segment, int64_t wall_ms,
                   const qr_trace_record *record);
    /* The member had applied the entries up to index, and this was the digest of its state. May be NULL. */
    void (*applied)(void *context, const qr_box_segment *segment, uint64_t index, uint64_t digest);
    void *context;
} qr_replay_config;

/* What has come of it, over all segments. */
typedef struct qr_replay_result {
    uint64_t segments, steps;
    /* The first difference; NULL: none. */
    const char *difference; /* a sentence, static */
    uint64_t step;          /* in its segment, from 1; 0: at the head */
    qr_event_kind event;
    int64_t wall_ms;
} qr_replay_result;

typedef struct qr_replay qr_replay;

qr_replay *qr_replay_new(const qr_replay_config *config);
void qr_replay_free(qr_replay *replay);
/* Segments of one member in their order. False: it differs from here on; others may still be tried. */
bool qr_replay_segment(qr_replay *replay, const qr_box_segment *segment, qr_replay_result *result);

const char *qr_event_name(qr_event_kind kind);

#endif

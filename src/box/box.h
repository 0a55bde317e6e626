/* box: the black box of a member. It records what its engine is told and what comes of it, so that the run
 * can be repeated by the same code, step by step. doc/design/blackbox.md says why it is the engine's events
 * that are recorded, doc/formats/blackbox.md has the bytes.
 *
 * A recording is a row of segments. Each begins with a head, which says whose it is, and an image of the
 * engine, so it can be repeated without those before it; then come the steps, each with its event and a check
 * of all effects since the head. Commands are redacted (core/redact.h) unless .whole is set.
 *
 * recorder.c makes segments, ring.c keeps them in files, read.c reads them, replay.c repeats them. */
#ifndef QR_BOX_BOX_H
#define QR_BOX_BOX_H

#include "core/engine.h"

typedef struct qr_box qr_box;

enum {
    QR_BOX_FORMAT = 1,
    QR_BOX_SEGMENT_MIN = 16 * 1024, /* bytes */
    QR_BOX_FRAME_MAX = 1024 * 1024 * 1024,
};

/* Who keeps the segments. */
typedef struct qr_box_sink {
    size_t segment_bytes; /* a segment ends once it is that long; its image may be three quarters of it */
    bool whole;           /* commands are kept with all their bytes, secrets of clients among them */
    void *self;
    /* The next bytes of the segment, or of a new one. Copies them. False: there is no room for them now, and
     * the segment is over; later another one begins. */
    bool (*put)(void *self, bool begins, qr_slice bytes);
} qr_box_sink;

/* sink is borrowed until the box is freed, config is copied (its trace and members are not used). NULL: the
 * engine has no image. */
qr_box *qr_box_new(const qr_box_sink *sink, const qr_engine_ops *engine, const qr_engine_config *config,
                   uint64_t cluster, uint64_t group, uint64_t boot);
void qr_box_free(qr_box *box); /* gives the rest to the sink; NULL is fine */

/* Once a turn: which wall-clock time (ms since 1970) this one is, for whoever reads several recordings. */
void qr_box_clock(qr_box *box, uint64_t now_ms, int64_t wall_ms);
/* Around each step of the engine; all three do nothing when box is NULL. traces: records that the step added
 * to the trace. */
void qr_box_before(qr_box *box, const qr_engine *engine, uint64_t now_ms);
void qr_box_step(qr_box *box, const qr_event *event, const qr_effects *effects, uint64_t traces);

/* The running check of a segment: over the effects of a step, commands by their marks. */
uint64_t qr_box_check(uint64_t check, const qr_effects *effects, uint64_t traces);

/* What the bytes of a segment are made of: {u32 size, u32 checksum, payload}, the first byte of the payload
 * says what it is. */
typedef enum qr_box_part { QR_BOX_HEAD = 1, QR_BOX_IMAGE = 2, QR_BOX_STEPS = 3 } qr_box_part;
enum { QR_BOX_FRAME_HEADER = 8, QR_BOX_MAGIC = 8 };
extern const char qr_box_magic[QR_BOX_MAGIC + 1]; /* right behind the first byte of a head */

#endif

/* recording: the segments of black boxes, of any number of members, in the order in which they are repeated.
 */
#ifndef QR_BIN_RECORDING_H
#define QR_BIN_RECORDING_H

#include "box/replay.h"

typedef struct qr_recording {
    qr_arena *arena; /* holds the bytes */
    qr_box_segment *list;
    size_t count, room;
    bool lost; /* some bytes belong to no segment that can be read */
} qr_recording;

/* A file of segments; false: *sentence (in the arena) says what is wrong with it. */
bool qr_recording_add_file(qr_recording *recording, const char *path, const char **sentence);
/* The ring in a data folder; a file of it that is not there is none. */
bool qr_recording_add_folder(qr_recording *recording, const char *path, const char **sentence);
/* Copies. */
void qr_recording_add(qr_recording *recording, qr_slice bytes);
/* By member, disk, start and number; each once. */
void qr_recording_sort(qr_recording *recording);
void qr_recording_free(qr_recording *recording);

#endif

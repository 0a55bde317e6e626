/* json_out: a document of JSON written piece by piece, laid out for people as Java's Jackson does it: one
 * member of an object a line, arrays in one line. */
#ifndef QR_WIRE_JSON_OUT_H
#define QR_WIRE_JSON_OUT_H

#include "base/base.h"

enum { QR_JSON_OUT_DEPTH_MAX = 8 };

typedef struct qr_json_out {
    qr_buffer *out; /* borrowed */
    size_t size_max;
    bool cut; /* the document would be larger: nothing more is written, and what there is means nothing */
    uint32_t depth, objects;
    struct qr_json_level {
        bool object, any;
    } levels[QR_JSON_OUT_DEPTH_MAX];
} qr_json_out;

/* Appends to `out`, up to about `size_max` bytes in it. */
qr_json_out qr_json_out_of(qr_buffer *out, size_t size_max);
/* '{' or '['. In an object each value stands behind a key. */
void qr_json_out_open(qr_json_out *json, char bracket);
void qr_json_out_close(qr_json_out *json);
void qr_json_out_key(qr_json_out *json, qr_slice name);
void qr_json_out_text(qr_json_out *json, qr_slice text);
void qr_json_out_number(qr_json_out *json, int64_t number);
/* A number with a fraction, true, false, null: as it stands. */
void qr_json_out_bare(qr_json_out *json, const char *literal);

#endif

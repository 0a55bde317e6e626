/* The bytes between two members (doc/formats/peer-frames.md): a hello of fixed size both ways, then frames.
 * Pure: bytes in, verdicts out. */
#ifndef QR_OS_FRAMES_H
#define QR_OS_FRAMES_H

#include "base/base.h"

enum {
    QR_OS_HELLO_SIZE = 64,
    QR_OS_FRAME_HEAD = 12,
    QR_OS_PEER_FORMAT = 1,       /* version of everything in this file */
    QR_OS_REFUSAL_MAX = 512,     /* bytes of the sentence behind a refusing hello */
    QR_OS_WHO_MAX = 1024 * 1024, /* bytes of the members told to somebody who asks */
};

typedef enum qr_os_answer {
    QR_OS_ASKS,    /* the dialer's hello */
    QR_OS_ACCEPTS, /* the greeted member's: frames may follow */
    QR_OS_REFUSES, /* one frame with a sentence follows, then the end */
    QR_OS_WHO,     /* of somebody who has no id yet: who are you? Accepted with one frame, then the end */
    QR_OS_REMOVED, /* refuses, because the dialer was removed from the cluster: it need not come again */
} qr_os_answer;

typedef struct qr_os_hello {
    uint32_t version;
    uint32_t answer; /* qr_os_answer */
    uint64_t cluster, group, from, to, incarnation;
} qr_os_hello;

void qr_os_hello_encode(const qr_os_hello *hello, uint8_t *bytes); /* QR_OS_HELLO_SIZE */
/* bytes: QR_OS_HELLO_SIZE. INVALID: no hello of ours; CORRUPT: a hello with a wrong checksum. A version that
 * is not known is the caller's to refuse: the layout of the hello never changes. */
qr_status qr_os_hello_decode(const uint8_t *bytes, qr_os_hello *hello);

void qr_os_frame_add(qr_buffer *out, qr_slice payload);
/* Looks at the front of bytes. OK: *payload is a whole frame's, *used its size on the wire. BUSY: more bytes
 * are needed. TOO_LARGE, INVALID (empty), CORRUPT: the connection is of no more use. */
qr_status qr_os_frame_take(qr_slice bytes, size_t payload_max, qr_slice *payload, size_t *used);

#endif

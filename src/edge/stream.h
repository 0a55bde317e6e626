/* A protocol on a byte stream, as whoever owns the socket drives it: bytes in, bytes out. Doors implement it;
 * src/os (real connections) and src/sim/door (simulated ones) call it. All calls come from one thread. */
#ifndef QR_EDGE_STREAM_H
#define QR_EDGE_STREAM_H

#include <stdint.h>

#include "base/buffer.h"
#include "base/slice.h"
#include "base/status.h"

typedef struct qr_stream_waker {
    void *self;
    /* "there are bytes to drain, or my wake_ms changed": cheap, may be called often */
    void (*wake)(void *self);
} qr_stream_waker;

typedef struct qr_stream_ops {
    const char *name; /* of the protocol, for logs */
    /* A connection was accepted from peer (text, "127.0.0.1:4711", copied). The waker is copied too; it stays
     * valid until close(). NULL: refused (too many), and the caller closes the socket. */
    void *(*open)(void *door, const char *peer, qr_stream_waker waker, uint64_t now_ms);
    /* Bytes arrived; borrowed for the call. Not QR_OK: drain what is left, then close the connection. */
    qr_status (*feed)(void *stream, qr_slice bytes, uint64_t now_ms);
    /* Appends what is to be sent, about size_max bytes at most. The caller calls again when these are
     * written. */
    void (*drain)(void *stream, qr_buffer *out, size_t size_max);
    /* When tick() wants to be called; UINT64_MAX = never. */
    uint64_t (*wake_ms)(void *stream);
    void (*tick)(void *stream, uint64_t now_ms);
    /* The protocol is finished with this connection: close it once the bytes are drained. */
    int (*finished)(void *stream);
    void (*close)(void *stream);
} qr_stream_ops;

typedef struct qr_stream_door {
    void *self;
    const qr_stream_ops *ops;
} qr_stream_door;

#endif

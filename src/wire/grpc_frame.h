/* grpc_frame: the parts of the gRPC protocol that need no HTTP/2: length-prefixed messages, grpc-timeout, and
 * the percent-encoding of grpc-message; and the boundaries of HTTP/2's own frames. Inside the wire room only;
 * used by the server and the client side. The protocol is described in gRPC's own "PROTOCOL-HTTP2.md". */
#ifndef QR_WIRE_GRPC_FRAME_H
#define QR_WIRE_GRPC_FRAME_H

#include "base/base.h"

enum {
    QR_GRPC_MAGIC_SIZE = 24,   /* the first bytes of a client (RFC 9113, 3.4) */
    QR_GRPC_HEAD_SIZE = 9,     /* of a frame of HTTP/2 (RFC 9113, 4.1) */
    QR_GRPC_PREFIX_SIZE = 5,   /* one byte of flags, four of big-endian length */
    QR_GRPC_TEXT_MAX = 2048,   /* bytes of a grpc-message before its encoding; the rest is cut off */
    QR_GRPC_BODY_KEPT = 65536, /* bytes of room a deframer keeps between two messages */
};

typedef enum qr_grpc_deframed {
    QR_GRPC_DEFRAMED_NOTHING,    /* all input is consumed, no message is complete */
    QR_GRPC_DEFRAMED_MESSAGE,    /* one message; there may be more in the input */
    QR_GRPC_DEFRAMED_TOO_LARGE,  /* the announced length (.message_size) is above the bound; nothing was
                                    allocated */
    QR_GRPC_DEFRAMED_COMPRESSED, /* the compressed flag is set */
    QR_GRPC_DEFRAMED_MALFORMED,  /* flags that the protocol does not know */
} qr_grpc_deframed;

/* Cuts a run of bytes, arriving in pieces of any size, into messages. A message that lies in one piece is not
 * copied. */
typedef struct qr_grpc_deframer {
    uint8_t prefix[QR_GRPC_PREFIX_SIZE];
    uint8_t prefix_size;   /* bytes of the prefix that have arrived */
    bool handed_over;      /* .body was given to the caller and is emptied by the next call */
    uint32_t message_size; /* as announced; valid once the prefix is whole */
    qr_buffer body;        /* grows as bytes arrive, never ahead of them because of an announced length */
} qr_grpc_deframer;

/* Consumes from the front of *input. *message is borrowed until the next call on this deframer or the end of
 * the input's life, whichever comes first. */
qr_grpc_deframed qr_grpc_deframer_next(qr_grpc_deframer *deframer, qr_slice *input, uint32_t message_max,
                                       qr_slice *message);
/* Bytes held of a message that is not complete. */
static inline size_t qr_grpc_deframer_held(const qr_grpc_deframer *deframer)
{
    return deframer->handed_over ? 0 : deframer->body.size;
}
/* The input ended in the middle of a message. */
static inline bool qr_grpc_deframer_torn(const qr_grpc_deframer *deframer)
{
    return deframer->prefix_size != 0;
}
void qr_grpc_deframer_reset(qr_grpc_deframer *deframer); /* forgets what it holds; keeps the memory */
void qr_grpc_deframer_free(qr_grpc_deframer *deframer);

/* Where in a client's bytes of HTTP/2 the input stands, told from the preface and the heads of the frames
 * alone: the library that reads them does not say. Judges nothing; of input that breaks the protocol it tells
 * nothing useful. */
typedef struct qr_grpc_position {
    uint8_t magic_size; /* bytes of the preface that have arrived */
    uint8_t head_size;  /* of the frame under way; 0 = none */
    uint8_t head[QR_GRPC_HEAD_SIZE];
    uint32_t payload_left; /* valid once the head is whole */
    bool in_block;         /* a header block waits for its CONTINUATION */
    uint64_t frames;       /* that have become whole, a header block counted as one */
} qr_grpc_position;

void qr_grpc_position_pass(qr_grpc_position *position, qr_slice bytes);
/* Inside the preface (to which the first frame belongs: RFC 9113, 3.4), a frame or a header block. */
static inline bool qr_grpc_position_inside(const qr_grpc_position *position)
{
    return position->frames == 0 || position->head_size != 0 || position->in_block;
}

/* Writes the prefix of an uncompressed message. */
void qr_grpc_prefix_store(uint8_t *at, uint32_t message_size);

/* "250m" and the like: one to eight digits and a unit of H M S m u n; parts of a millisecond are rounded up.
 */
bool qr_grpc_timeout_parse(qr_slice text, uint64_t *timeout_ms);

void qr_grpc_text_encode(qr_buffer *out,
                         const char *text); /* appends; at most QR_GRPC_TEXT_MAX bytes of the text */
void qr_grpc_text_decode(qr_buffer *out, qr_slice text); /* appends, with a terminating zero */

/* "application/grpc", alone or followed by "+proto" or ";charset=...". */
bool qr_grpc_content_type_valid(qr_slice value);

#endif

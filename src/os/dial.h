/* dial: a blocking TCP connection for command line clients. The server never uses it. */
#ifndef QR_OS_DIAL_H
#define QR_OS_DIAL_H

#include "base/base.h"

typedef struct qr_dial qr_dial;

/* Connects to host:port ("127.0.0.1:2379" or "http://127.0.0.1:2379") within timeout_ms. NULL: *sentence says
 * why. */
qr_dial *qr_dial_open(const char *endpoint, uint64_t timeout_ms, qr_arena *arena, const char **sentence);
qr_status qr_dial_send(qr_dial *dial, qr_slice bytes);
/* Appends what arrives, at least one byte. TIMEOUT, IO (closed). */
qr_status qr_dial_receive(qr_dial *dial, qr_buffer *into, uint64_t timeout_ms);
/* Waits for bytes, or until the file `also` (-1: none) can be read. QR_OK: one of them or both; a receive()
 * without patience tells. TIMEOUT. */
qr_status qr_dial_wait(qr_dial *dial, int also, uint64_t timeout_ms);
void qr_dial_close(qr_dial *dial);

#endif

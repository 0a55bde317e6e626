/* sha256: the digest that etcd's tools expect behind a snapshot, and SHA-1, which ZooKeeper's clients expect
 * of a password (both FIPS 180-4). The only cryptography of this room; OpenSSL's, behind these calls. */
#ifndef QR_WIRE_SHA256_H
#define QR_WIRE_SHA256_H

#include "base/base.h"

enum { QR_SHA256_SIZE = 32, QR_SHA1_SIZE = 20 }; /* bytes */

typedef struct qr_sha256 qr_sha256;

qr_sha256 *qr_sha256_new(void);
void qr_sha256_add(qr_sha256 *sum, qr_slice bytes);
void qr_sha256_end(qr_sha256 *sum, uint8_t digest[QR_SHA256_SIZE]); /* nothing may be added after */
void qr_sha256_free(qr_sha256 *sum);

void qr_sha1(qr_slice bytes, uint8_t digest[QR_SHA1_SIZE]); /* in one go */

#endif

/* Checksums and digests: XXH3, 64 bits. Guards against accidents and lying disks, not against liars. */
#ifndef QR_BASE_HASH_H
#define QR_BASE_HASH_H

#include <stdint.h>

#include "base/slice.h"

uint64_t qr_hash(qr_slice bytes, uint64_t seed);

/* Mixes one number into a running digest; order matters. */
uint64_t qr_hash_mix(uint64_t digest, uint64_t number);

#endif

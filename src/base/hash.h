/* Checksums and digests: XXH3, 64 bits. Guards against accidents and lying disks, not against liars. */
#ifndef QR_BASE_HASH_H
#define QR_BASE_HASH_H

#include <stdint.h>

#include "base/slice.h"

uint64_t qr_hash(qr_slice bytes, uint64_t seed);

/* Mixes one number into a running digest; order matters. */
static inline uint64_t qr_hash_mix(uint64_t digest, uint64_t number)
{
    /* The finaliser of splitmix64 over both, so that neither order nor zeros are lost. */
    uint64_t z = digest * 0x9e3779b97f4a7c15ull + number + 0x632be59bd9b4e019ull;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

#endif

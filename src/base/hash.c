#include "base/hash.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

uint64_t qr_hash(qr_slice bytes, uint64_t seed)
{
    return XXH3_64bits_withSeed(bytes.data, bytes.size, seed);
}

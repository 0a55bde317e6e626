#include "base/prng.h"

#include "base/assert.h"

static uint64_t splitmix(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15ull);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

static uint64_t rotate(uint64_t x, int by)
{
    return (x << by) | (x >> (64 - by));
}

void qr_prng_seed(qr_prng *prng, uint64_t seed)
{
    for (int i = 0; i < 4; i++)
        prng->state[i] = splitmix(&seed);
}

uint64_t qr_prng_next(qr_prng *prng)
{
    uint64_t *s = prng->state;
    uint64_t result = rotate(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate(s[3], 45);
    return result;
}

uint64_t qr_prng_below(qr_prng *prng, uint64_t bound)
{
    QR_ASSERT(bound > 0);
    return qr_prng_next(prng) % bound;
}

uint64_t qr_prng_between(qr_prng *prng, uint64_t low, uint64_t high)
{
    QR_ASSERT(low <= high);
    uint64_t width = high - low + 1;
    return width == 0 ? qr_prng_next(prng) : low + qr_prng_below(prng, width);
}

bool qr_prng_chance(qr_prng *prng, uint32_t per_million)
{
    return qr_prng_below(prng, 1000000) < per_million;
}

/* Pseudo-random numbers from a seed (xoshiro256**, seeded by splitmix64; Blackman and Vigna). Same seed, same
 * numbers, on every machine. Never for secrets. */
#ifndef QR_BASE_PRNG_H
#define QR_BASE_PRNG_H

#include <stdbool.h>
#include <stdint.h>

typedef struct qr_prng {
    uint64_t state[4];
} qr_prng;

void qr_prng_seed(qr_prng *prng, uint64_t seed);
uint64_t qr_prng_next(qr_prng *prng);
uint64_t qr_prng_below(qr_prng *prng, uint64_t bound);                /* [0, bound); bound > 0 */
uint64_t qr_prng_between(qr_prng *prng, uint64_t low, uint64_t high); /* [low, high] */
bool qr_prng_chance(qr_prng *prng, uint32_t per_million);             /* true that often */

#endif

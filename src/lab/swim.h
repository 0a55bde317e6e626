/* swim: a group of members that look whether each other is alive, by SWIM or by heartbeats of all to all, in
 * whole periods; what that costs and what it finds is counted. Deterministic: the same plan and seed, the
 * same result. */
#ifndef QR_LAB_SWIM_H
#define QR_LAB_SWIM_H

#include "lab/lab.h"

enum { QR_SWIM_MEMBERS_MAX = 1000 };

typedef struct qr_swim_plan {
    uint32_t members, periods, crash_at; /* member 0 crashes before that period */
    uint32_t loss, slow,
        lateness;     /* per mille: of messages; of members; of messages that a slow one misses */
    uint32_t helpers; /* who are asked to probe as well, the paper's k */
    uint32_t carried; /* rumours that a message carries at most */
    bool suspicion;   /* else who does not answer is dead at once */
    bool lifeguard, heartbeats;
} qr_swim_plan;

typedef struct qr_swim_result {
    uint64_t messages;
    uint64_t suspicions, mistakes; /* of members that were alive: suspected; declared dead (by heartbeats:
                                     each pair counts, since nobody tells the others) */
    uint32_t first, all; /* periods from the crash until one, and everyone, takes it for dead; 0: never */
} qr_swim_result;

void qr_swim_run(const qr_swim_plan *plan, uint64_t seed, qr_swim_result *result);

#endif

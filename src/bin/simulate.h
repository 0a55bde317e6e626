/* Private to simulate.c and simulate_pool.c: a campaign of simulated runs in several processes. */
#ifndef QR_BIN_SIMULATE_H
#define QR_BIN_SIMULATE_H

#include "sim/sim.h"

typedef struct qr_simulate_options {
    uint64_t first, last; /* seeds, inclusive */
    const qr_engine_ops *engine;
    bool elects, doors, story, twice, hashes, stop_at_first, quiet;
    uint32_t groups; /* 0: the world of one */
    uint32_t nodes, fault_ms, bug, jobs;
} qr_simulate_options;

/* What a worker tells about one seed; goes through a pipe as it is. */
typedef struct qr_simulate_record {
    uint64_t seed;
    qr_sim_report report; /* .invariant is void: see below */
    char invariant[64];
    uint64_t cpu_us;
} qr_simulate_record;

/* Runs one seed here, once or twice. A broken promise (QR_ASSERT) is a failure like any other. */
void qr_simulate_one(const qr_simulate_options *options, uint64_t seed, qr_simulate_record *record);

/* Runs all seeds in options->jobs processes; tell() is called for each, in no special order; false from it
 * ends the campaign. */
void qr_simulate_all(const qr_simulate_options *options,
                     bool (*tell)(void *context, const qr_simulate_record *record), void *context);

#endif

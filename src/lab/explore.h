/* explore: everything that may happen from a world on, and random walks through it.
 *
 * Exhaustive: breadth first, so that the way to a broken property is a shortest one. Two worlds count as one
 * when their fingerprints of 64 bits are equal; with N states some pair is confused with a chance of about
 * N^2 / 2^65 (one in two million for four million states). A world where nothing more can happen is an end.
 */
#ifndef QR_LAB_EXPLORE_H
#define QR_LAB_EXPLORE_H

#include "lab/lab.h"

enum { QR_LAB_OUTCOMES_MAX = 256, QR_LAB_OUTCOME_MAX = 64 };

typedef struct qr_lab_outcome {
    char text[QR_LAB_OUTCOME_MAX]; /* as the protocol puts it */
    uint64_t states;               /* worlds that stand so; of a sample: walks that ended so */
    uint64_t ends;                 /* of them, ends */
} qr_lab_outcome;

typedef struct qr_lab_finding {
    bool complete;          /* nothing was left out */
    uint64_t states, moves; /* different worlds; steps between them. Of a sample: walks, steps */
    uint64_t ends;
    uint64_t depth; /* steps of the longest shortest way; of a sample: median of the steps of a walk */
    qr_lab_outcome outcomes[QR_LAB_OUTCOMES_MAX]; /* in the order of their text */
    size_t outcome_count;
    const char *violation; /* NULL, or the first one found */
    qr_lab_choice *path;   /* the way to it; owned, qr_free() */
    size_t path_length;
} qr_lab_finding;

/* Ends early at states_max different worlds, or at the first broken property. */
void qr_lab_explore(const qr_lab_world *from, uint64_t states_max, qr_lab_finding *finding);

/* Walks of at most steps_max random steps each; walk i is drawn from seed + i. */
void qr_lab_sample(const qr_lab_world *from, uint64_t walks, uint64_t steps_max, qr_lab_finding *finding);

/* One random step; false: nothing can happen. */
bool qr_lab_random_step(qr_lab_world *world, qr_lab_choices *choices, qr_prng *prng);

#endif

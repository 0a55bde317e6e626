/* Readings of a tree's events, held against the model. */
#ifndef TEST_TREE_EVENTS_CHECK_H
#define TEST_TREE_EVENTS_CHECK_H

#include "harness.h"
#include "model.h"

/* Reads on from revision `from` in pieces of bounds drawn from prng until all is told or refused. */
void events_check(const model *model, qr_machine *machine, qr_span span, uint64_t from, qr_prng *prng);

#endif

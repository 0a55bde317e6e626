/* paxos: Multi-Paxos as an engine (doc/algorithms/multi-paxos.md). The papers, as named in the code:
 *
 *   PTP   Lamport, "The Part-Time Parliament" (1998)
 *   PMS   Lamport, "Paxos Made Simple" (2001)
 *   PMMC  van Renesse and Altinbuken, "Paxos Made Moderately Complex" (2015)
 *   PML   Chandra, Griesemer and Redstone, "Paxos Made Live" (2007)
 *
 * Phase 1 over all open slots at once, a stable leader, phase 2 in a pipeline, adoption per slot of what the
 * highest ballot proposed, reads confirmed by a round of the ballot, members changed by entries with a window
 * of one slot, catch-up from memory, log and checkpoint. doc/design/paxos.md has what is different from the
 * papers, and why. */
#ifndef QR_PAXOS_PAXOS_H
#define QR_PAXOS_PAXOS_H

#include "core/engine.h"

extern const qr_engine_ops qr_paxos;

#endif

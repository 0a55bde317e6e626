/* raft: the default engine (Ongaro and Ousterhout, "In Search of an Understandable Consensus Algorithm",
 * 2014; section numbers below and in the code are the paper's, or those of Ongaro's dissertation, "D").
 *
 * Election with PreVote (D 9.6) and check-quorum (D 6.2), randomised timeouts from the seed (5.2),
 * replication with pipelining and (index, term) conflict hints (D 10.2.1, 5.3), commit of own-term entries
 * only (5.4.2), a no-op at the start of each term (8), batched ReadIndex with a fresh context each round
 * (D 6.4), leadership transfer (D 3.10), members changed through joint configurations, with learners and the
 * disk behind each name (D 4, members.c). A follower whose leader's connection breaks starts PreVote at once.
 */
#ifndef QR_RAFT_RAFT_H
#define QR_RAFT_RAFT_H

#include "core/engine.h"

extern const qr_engine_ops qr_raft;

#endif

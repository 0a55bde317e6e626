/* The steps by which a leader changes the members. Where voters change the way is
 *
 *   C_old ---- leader appends ----> C_old,new ---- committed: leader appends ----> C_new
 *
 * and while C_old,new is in force everything needs a majority of both (D 4.3). Where only learners change, or
 * the disk behind a member becomes known, quorums stay what they are and one entry is enough. A leader makes
 * one step at a time, and none before an entry of its own term is committed (facts row 1): when a
 * configuration is in force, and when it is settled, an engine says.
 *
 * The disk behind a name. What votes and remembers is a disk, and its incarnation is its name. A
 * configuration says which disk it means; 0 = whichever speaks first. When a newer one speaks up under a
 * member's name the old one is gone, with what it had promised: to all rules of consensus that is a server
 * that died, and another one that may be added. So the leader takes the voter out (it is RETURNING now, under
 * its old incarnation, that nobody speaks with), then lets the new disk in as one that does not count, and
 * makes it a voter when it has caught up:
 *
 *   VOTER, b  ---joint---> RETURNING, b  ---simple---> RETURNING, x  ---joint---> VOTER, x
 *
 * All of it is in the log: whoever leads goes on from there. */
#ifndef QR_CORE_STEPS_H
#define QR_CORE_STEPS_H

#include "core/peers.h"

/* What a leader goes by. */
typedef struct qr_steps {
    const qr_engine_config *config;
    const qr_members *members; /* in force, and committed */
    const qr_peers *peers;
    uint64_t commit, now_ms;
    bool is_due; /* a heartbeat is */
} qr_steps;

/* The first entry on the way to the wanted configuration: with the disks that are known, and a voter that has
 * not caught up yet as one that will be. INVALID; BUSY: the one in force is a joint one. */
qr_status qr_steps_begin(const qr_steps *steps, const qr_members *wanted, qr_members *entry);
/* What the leader has to append by itself; false: nothing. */
bool qr_steps_next(const qr_steps *steps, qr_members *entry);

#endif

/* sim: a world in one thread. Real nodes (engine, log, machine: the production code) over simulated disks and
 * a simulated network, clients that write and read, a nemesis that breaks things, and checkers that look
 * after every step. One seed gives one run, always: the trace hash says so.
 *
 * Sees node and below, no door, no os. The engine and the machine come in from outside, so every engine runs
 * in the same world, and so does a door with its clients (src/sim/door). */
#ifndef QR_SIM_SIM_H
#define QR_SIM_SIM_H

#include <stdio.h>

#include "core/bugs.h"
#include "core/engine.h"
#include "core/machine.h"
#include "edge/edge.h"

typedef struct qr_sim_door_ops qr_sim_door_ops; /* sim/world.h */

typedef struct qr_sim_config {
    uint64_t seed;
    const qr_engine_ops *engine;
    /* A new, empty machine that understands core/txn.h, whose member refuses puts above so many bytes; 0 =
     * off. */
    qr_machine *(*machine)(uint32_t bug, uint64_t admit_bytes);
    /* Looks at the files of a member that is gone: NULL, or what is wrong with them. May be NULL; no trace
     * hash depends on it. */
    const char *(*verify)(const qr_disk *disk);
    const qr_sim_door_ops *door; /* stands on the nodes in some of the seeds; NULL: there is none */
    bool doors;                  /* in every seed */
    bool elects;                 /* false: the engine has a fixed leader; liveness waits for it */
    uint32_t groups;             /* qr_sim_groups_run: 1 .. QR_SIM_GROUPS_MAX */
    uint32_t nodes;              /* 0 = drawn from the seed: 1, 3 or 5, mostly 3 */
    uint32_t fault_ms;           /* simulated time with faults; 0 = default */
    uint32_t bug;                /* core/bugs.h */
    FILE
        *story; /* NULL = none; else every trace record as a sentence, with faults and client calls between */
} qr_sim_config;

typedef enum qr_sim_part {
    QR_SIM_PART_FIRST,  /* chunk of a checkpoint on its way */
    QR_SIM_PART_MIDDLE, /* ... */
    QR_SIM_PART_LAST,
    QR_SIM_PART_LOAD, /* the receiver has all of it and loads it */
    QR_SIM_PARTS,
} qr_sim_part;

typedef struct qr_sim_report {
    bool failed;
    const char *invariant; /* static name of what was violated, "" if nothing */
    char detail[512];      /* a sentence with the numbers */
    uint64_t failed_at_ms; /* simulated */
    uint64_t trace_hash;   /* of every record, message, disk operation and reply of the run */
    uint64_t simulated_ms, events, messages, crashes, elections, entries;
    uint64_t writes_acked, writes_unknown, reads_checked;
    uint64_t watch_events;
    uint64_t checkpoints, restores, transfers; /* made; started from; taken over from a leader */
    uint64_t transfers_cut[QR_SIM_PARTS];      /* faults in the midst of a transfer, by where */
    uint64_t configurations, changes, changes_refused, wipes,
        renewed;        /* entries; requests; disks lost; incarnations that took the place of another */
    uint64_t spoilt;    /* messages with a bit turned on their way */
    uint64_t malformed; /* messages and records whose checksum was right */
    uint64_t cores;     /* runs in which a quorum had to work alone first */
    uint64_t recorded;  /* steps of engines that were repeated from their black boxes */
    uint64_t transactions, decisions, aborted; /* over groups: begun; committed; told so */
    uint64_t damages, put_aside;               /* disks struck; logs that were put aside for it */
    uint64_t doors, door_answers, door_events, door_sessions; /* runs with a door, and what its clients got */
} qr_sim_report;

void qr_sim_run(const qr_sim_config *config, qr_sim_report *report);

/* Another world: three hosts that each run a replica of every group, and transactions over several groups
 * (doc/design/groups.md). */
enum { QR_SIM_GROUPS_MAX = 4 };
void qr_sim_groups_run(const qr_sim_config *config, qr_sim_report *report);

#endif

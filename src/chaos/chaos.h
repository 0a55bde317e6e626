/* chaos: a test cluster of real processes, what breaks it, and clients whose records the judge gets.
 *
 * Starts members of a program, puts a proxy between them, lets clients read, write and watch, breaks members,
 * disks and links from a seeded plan, and asks src/judge in the end. Or only the clients and the judges, for
 * a cluster that somebody else runs and breaks. Knows members from outside alone: their flags, their API and
 * the hello between them. doc/design/chaos.md. */
#ifndef QR_CHAOS_CHAOS_H
#define QR_CHAOS_CHAOS_H

#include "base/base.h"

enum {
    QR_CHAOS_MEMBERS_MAX = 7, /* a spare one not counted */
    QR_CHAOS_CLIENTS_MAX = 64,
};

/* name on the command line, what it does, what it needs: 0, QR_CHAOS_ROOT or QR_CHAOS_SHIM */
#define QR_CHAOS_FAULT_LIST(X)                                                                               \
    X(KILL, "kill", "kill -9: one member, the leader, a majority, or all", 0)                                \
    X(PAUSE, "pause", "SIGSTOP: one member, the leader, or a majority", 0)                                   \
    X(ISOLATE, "isolate", "one member is cut off from the others", 0)                                        \
    X(HALVES, "halves", "the members are cut into two halves", 0)                                            \
    X(ONEWAY, "oneway", "what one member sends reaches nobody, or nothing reaches it", 0)                    \
    X(BRIDGE, "bridge", "two halves that only one member can reach both of", 0)                              \
    X(DELAY, "delay", "every link is slow, or those of one member", 0)                                       \
    X(ROLLING, "rolling", "each member is stopped and started again, in turn", 0)                            \
    X(COMPACT, "compact", "the history is compacted while a member is dead", 0)                              \
    X(MEMBERS, "members", "a member is removed and comes back as a new one, or one more comes and goes", 0)  \
    X(FULL, "full", "a member's file system is full", QR_CHAOS_ROOT)                                         \
    X(POWER, "power", "the power of a file system is cut: one member's, or all", QR_CHAOS_ROOT)              \
    X(EIO, "eio", "a member's syncs fail", QR_CHAOS_SHIM)

typedef enum qr_chaos_need { QR_CHAOS_ROOT = 1, QR_CHAOS_SHIM } qr_chaos_need;

typedef enum qr_chaos_fault {
#define QR_CHAOS_FAULT_ENUM(id, name, what, needs) QR_CHAOS_##id,
    QR_CHAOS_FAULT_LIST(QR_CHAOS_FAULT_ENUM)
#undef QR_CHAOS_FAULT_ENUM
        QR_CHAOS_FAULT_COUNT
} qr_chaos_fault;

typedef struct qr_chaos_options {
    const char *program; /* what is run with "serve" */
    uint32_t members, seconds, clients;
    uint32_t rate; /* operations a second, all clients together; 0 = as many as they can */
    uint64_t seed; /* of the plan; what clients do depends on the machine's timing, too */
    bool faults[QR_CHAOS_FAULT_COUNT];
    const char *history;   /* a file to be kept, or NULL */
    const char *shim;      /* a library to preload into members, or NULL */
    const char *endpoints; /* comma separated: somebody else's cluster; NULL: our own */
} qr_chaos_options;

/* Runs it all, telling on standard output how it goes. 0: nothing was found; 1: something was, or the cluster
 * did not come back; 2: it could not be begun. SIGINT and SIGTERM end it early, with a verdict. */
int qr_chaos_run(const qr_chaos_options *options);

/* Judges a history that was kept. */
int qr_chaos_judge(const char *history);

#endif

/* disk: one member's folder, as edge/edge.h promises it and not an inch better. Files have durable content
 * and writes that were not synced; the folder has durable names and changes that were not synced. A crash
 * keeps, drops or tears what was not synced, sector by sector. The disk outlives the process. */
#ifndef QR_SIM_DISK_H
#define QR_SIM_DISK_H

#include "base/base.h"
#include "edge/edge.h"

enum { QR_SIM_SECTOR = 512 };

typedef struct qr_sim_disk qr_sim_disk;

typedef struct qr_sim_disk_config {
    uint64_t seed;
    uint32_t sync_us_min, sync_us_max; /* of a sync */
    uint32_t slow_per_million;         /* operations that take up to a second instead */
    bool stale_writes;     /* a write that was not synced may leave the bytes of the one before it */
    bool folder_prefix;    /* a crash keeps a prefix of the folder's changes; else any of them */
    bool reserves_nothing; /* RESERVE is UNSUPPORTED */
    /* Calls qr_sim_disk_finish() after this time. */
    void (*schedule)(void *context, uint64_t delay_us);
    /* These bytes have just become durable, with some of their neighbourhood. For checkers; may be NULL. */
    void (*durable)(void *context, qr_slice bytes);
    /* Each operation when it is carried out. For the trace hash; may be NULL. */
    void (*done)(void *context, const qr_disk_op *op);
    void *context;
} qr_sim_disk_config;

/* What the nemesis may change while the disk runs. */
typedef struct qr_sim_disk_faults {
    uint64_t crash_in; /* the power fails at the n-th submission or completion from now; 0 = never */
    uint32_t
        sync_fails_in; /* the n-th sync from now fails, and what it should have kept may be lost; 0 = never */
    uint32_t write_fails_in;       /* the n-th write from now fails; 0 = never */
    uint32_t no_space_per_million; /* of CREATE, RESERVE, WRITE and WRITE_SYNC in the background lane */
    uint32_t slow_factor;          /* multiplies every latency; 0 = 1 */
    bool steady;                   /* no slow_per_million */
    uint64_t stall_us;             /* the next operation hangs for so long */
    uint32_t lies_in; /* the n-th sync of an append or of a checkpoint from now is done, but a sector of what
                       * it should have kept is not there; 0 = never */
    bool misdirects;  /* ... and stands somewhere else instead */
} qr_sim_disk_faults;

qr_sim_disk *qr_sim_disk_open(const qr_sim_disk_config *config);
void qr_sim_disk_free(qr_sim_disk *disk);
qr_disk qr_sim_disk_edge(qr_sim_disk *disk);
qr_sim_disk_faults *qr_sim_disk_faults_of(qr_sim_disk *disk);

/* The operation under way is done: carries it out and calls its done(). */
void qr_sim_disk_finish(qr_sim_disk *disk);
/* The power has failed (crash_in): nothing is done any more until qr_sim_disk_crash(). */
bool qr_sim_disk_dead(const qr_sim_disk *disk);
/* Some write or sync has failed since the last crash, and its done() was called with IO. */
bool qr_sim_disk_failed(const qr_sim_disk *disk);
/* Decides about everything that was not synced, forgets every operation and turns the power on again. kill:
 * only the process dies; what was written stays written. */
void qr_sim_disk_crash(qr_sim_disk *disk, bool kill);

/* Where and how bytes go bad that were durable. */
typedef enum qr_sim_zone {
    QR_SIM_ZONE_LOG_HEAD,   /* the beginning of any segment */
    QR_SIM_ZONE_LOG_MIDDLE, /* a segment that is not the newest one */
    QR_SIM_ZONE_LOG_TAIL,   /* the newest one */
    QR_SIM_ZONE_NEWEST,     /* the newest checkpoint */
    QR_SIM_ZONE_OLDER,      /* the one before it */
    QR_SIM_ZONE_PART,       /* one that is being made or received */
    QR_SIM_ZONE_SPARE,      /* a file that is to become a segment */
    QR_SIM_ZONES
} qr_sim_zone;

typedef enum qr_sim_rot {
    QR_SIM_ROT_FLIP,       /* a bit */
    QR_SIM_ROT_SCRAMBLE,   /* up to 4096 bytes */
    QR_SIM_ROT_SECTOR,     /* zeros */
    QR_SIM_ROT_BLOCK,      /* 4096 zeros */
    QR_SIM_ROT_UNREADABLE, /* IO, until it is written again */
    QR_SIM_ROTS
} qr_sim_rot;

/* Some bytes go bad, whether or not a process has the disk open; never those of the last append, which could
 * not be told from a torn one (they may become unreadable). False: there is no such place. */
bool qr_sim_disk_rot(qr_sim_disk *disk, qr_sim_zone zone, qr_sim_rot rot);

uint64_t qr_sim_disk_digest(const qr_sim_disk *disk); /* of all durable content; slow */
bool qr_sim_disk_overloaded(const qr_sim_disk *disk); /* it has not rested for a while */
uint64_t qr_sim_disk_operations(const qr_sim_disk *disk);

#endif

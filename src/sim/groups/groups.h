/* Private to src/sim/groups: a world of hosts that each run a replica of every group, and clients whose
 * transactions go over several of them (doc/design/groups.md). It is another world than that of sim/world.h,
 * over the same disks, networks and queue: what is looked after here is the transactions. world.c runs it,
 * host.c owns the processes, actor.c the clients and sweepers, oracle.c the knowledge of what must be true.
 */
#ifndef QR_SIM_GROUPS_GROUPS_H
#define QR_SIM_GROUPS_GROUPS_H

#include "group/group.h"
#include "node/node.h"
#include "sim/disk.h"
#include "sim/network.h"
#include "sim/queue.h"
#include "sim/sim.h"

enum {
    QR_SIM_HOSTS = 3,
    QR_SIM_ACCOUNTS = 4,      /* a group */
    QR_SIM_TOUCHED_MAX = 6,   /* keys of one transaction */
    QR_SIM_TELLERS_MAX = 8,   /* clients */
    QR_SIM_GROUP_CUTS_MAX = 4 /* at once */
};
#define QR_SIM_OPENING INT64_C(1000) /* what an account holds that was never written */

typedef struct qr_sim_groups qr_sim_groups;
typedef struct qr_sim_host qr_sim_host;

/* ---------------------------------------------------------------- workload ---- */

typedef struct qr_sim_account {
    uint32_t group, number;
} qr_sim_account;

/* What an account holds: the value of its key, 16 bytes. */
typedef struct qr_sim_balance {
    int64_t amount;
    uint64_t op; /* that wrote it; 0 = nobody has */
} qr_sim_balance;

/* A transaction of a client, and all that is known about it. */
typedef struct qr_sim_transfer {
    uint64_t number; /* from 1; its id is made of it */
    uint32_t host;   /* of its client */
    bool reads;      /* only */
    qr_sim_account accounts[QR_SIM_TOUCHED_MAX];
    size_t count;
    qr_sim_balance found[QR_SIM_TOUCHED_MAX], made[QR_SIM_TOUCHED_MAX];
    bool writes[QR_SIM_TOUCHED_MAX];
    uint64_t begun_version; /* decisions that were made before */
    qr_group_state told;    /* to its client; RUNNING: nothing yet */
    bool decided, forgotten;
    uint64_t lock_revision[QR_SIM_TOUCHED_MAX]; /* of the decision */
    size_t settled;                             /* accounts whose locks are gone since */
} qr_sim_transfer;

/* Somebody on a host with a task: a client, or the sweeper of a group. */
typedef struct qr_sim_actor {
    qr_sim_groups *world;
    qr_sim_host *host;
    uint32_t number;
    bool sweeps;
    uint64_t act_us; /* the scheduled moment; UINT64_MAX = none */
    qr_group_task *task;
    struct qr_sim_ask *ask; /* the call under way */
    qr_sim_transfer *transfer;
} qr_sim_actor;

/* ------------------------------------------------------------------- hosts ---- */

typedef struct qr_sim_replica {
    qr_sim_host *host;
    uint32_t group;
    qr_sim_disk *disk;
    qr_node *node; /* NULL: down */
    uint64_t wake_us;
    bool turn_due, halted;
    bool sees[QR_SIM_HOSTS];
} qr_sim_replica;

struct qr_sim_host {
    qr_sim_groups *world;
    uint32_t number;
    uint64_t id;
    bool up, dying;
    bool stays_down; /* while the others have to do without it */
    uint64_t life;   /* counts processes */
    uint64_t born_us, clock_ms, paused_us;
    int32_t rate_ppm;
    int64_t wall_skew_ms;
    qr_sim_replica *replicas; /* one a group */
};

/* ------------------------------------------------------------------ oracle ---- */

/* What stands in the trees, as the events of the replica that is furthest tell it. */
typedef struct qr_sim_ledger {
    uint64_t known; /* revisions of the group that were looked at */
    struct {
        uint64_t holder, revision; /* transfer, 0 = free */
        qr_sim_balance value;
    } accounts[QR_SIM_ACCOUNTS];
} qr_sim_ledger;

typedef struct qr_sim_group_plan {
    uint32_t groups, tellers, accounts, think_ms;
    uint32_t heartbeat_ms, election_ms, request_ms, turn_us_max;
    uint32_t limit_ms;
    qr_group_config group;
    uint64_t fault_ms, segment_size, checkpoint_bytes;
    uint32_t nemesis_ms;
    bool kills, power_cuts, io_crashes, cuts, pauses, all_die, deserts, core;
    uint32_t moments; /* per million: the host of a transaction dies right after a step of it */
    qr_sim_weather weather;
} qr_sim_group_plan;

typedef enum qr_sim_group_phase {
    QR_SIM_G_FAULTS,
    QR_SIM_G_CORE,     /* one host is dead, the others are whole */
    QR_SIM_G_HEALING,  /* all are */
    QR_SIM_G_CALM,     /* new work */
    QR_SIM_G_SETTLING, /* until nothing is left of it */
    QR_SIM_G_OVER
} qr_sim_group_phase;

struct qr_sim_groups {
    const qr_sim_config *config;
    qr_sim_report *report;
    qr_sim_group_plan plan;
    qr_sim_group_phase phase;
    uint64_t now_us, phase_end_us, steps, hash;
    uint64_t calm_first; /* the first transfer of the calm */
    qr_sim_queue queue;
    qr_sim_network *networks; /* one a group: their links are cut together */
    qr_members members;
    qr_sim_host hosts[QR_SIM_HOSTS];
    qr_sim_replica *replicas; /* owned */
    qr_sim_actor *actors;     /* owned: the clients, then for each host the sweepers of all groups */
    size_t actor_count;
    struct {
        qr_sim_cut cut;
        bool active;
    } cuts[QR_SIM_GROUP_CUTS_MAX];
    qr_prng prng_nemesis, prng_client, prng_world;
    /* the oracle */
    qr_sim_transfer **transfers; /* owned */
    uint64_t transfer_count, transfer_room;
    qr_sim_ledger *ledgers;   /* owned: one a group */
    qr_sim_balance *versions; /* owned: all balances after each decision, groups * QR_SIM_ACCOUNTS each */
    uint64_t version_count, version_room;
    uint64_t records; /* that stand */
    qr_arena arena;   /* scratch of the oracle */
};

static inline bool qr_sim_one_in(qr_prng *prng, uint64_t n)
{
    return qr_prng_below(prng, n) == 0;
}

/* plan.c */
void qr_sim_groups_plan_draw(qr_sim_groups *world);

/* world.c */
void qr_sim_groups_fail(qr_sim_groups *world, const char *invariant, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void qr_sim_groups_tell(qr_sim_groups *world, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A transaction has come further: sometimes its host dies right then. */
void qr_sim_groups_moment(qr_sim_groups *world, const qr_sim_transfer *transfer);
void qr_sim_groups_after(qr_sim_groups *world, uint64_t delay_us, qr_sim_event event);
static inline void qr_sim_groups_mix(qr_sim_groups *world, uint64_t number)
{
    world->hash = qr_hash_mix(world->hash, number);
}
/* Whether clients begin something new. */
static inline bool qr_sim_groups_open(const qr_sim_groups *world)
{
    return world->phase == QR_SIM_G_FAULTS || world->phase == QR_SIM_G_CALM;
}

/* host.c */
void qr_sim_host_init(qr_sim_groups *world, uint32_t number);
void qr_sim_host_free(qr_sim_host *host);
void qr_sim_host_boot(qr_sim_host *host);
void qr_sim_host_crash(qr_sim_host *host, bool kill, uint64_t down_us);
void qr_sim_host_pick_up(qr_sim_host *host, uint64_t delay_us); /* it boots then */
uint64_t qr_sim_host_now_ms(const qr_sim_host *host);
uint64_t qr_sim_host_us_until(const qr_sim_host *host, uint64_t local_ms); /* from now */
void qr_sim_replica_turn(qr_sim_replica *replica);
void qr_sim_replica_disk(qr_sim_replica *replica);
void qr_sim_replica_link(qr_sim_replica *replica, uint32_t peer, bool up);
void qr_sim_replica_arrival(qr_sim_replica *replica, const qr_sim_message *message);
qr_status qr_sim_replica_submit(qr_sim_replica *replica, const qr_request *request);

/* actor.c */
void qr_sim_actors_init(qr_sim_groups *world);
void qr_sim_actors_free(qr_sim_groups *world);
void qr_sim_actors_boot(qr_sim_host *host);
void qr_sim_actors_die(qr_sim_host *host); /* after its nodes */
void qr_sim_actor_act(qr_sim_actor *actor);
void qr_sim_actor_desert(qr_sim_actor *actor); /* its program ends, the host goes on */
bool qr_sim_actors_rest(const qr_sim_groups *world);

/* oracle.c */
void qr_sim_ledgers_init(qr_sim_groups *world);
void qr_sim_ledgers_free(qr_sim_groups *world);
void qr_sim_ledger_look(qr_sim_replica *replica); /* after each of its turns */
qr_sim_transfer *qr_sim_transfer_new(qr_sim_groups *world);
qr_slice qr_sim_transfer_id(const qr_sim_transfer *transfer, qr_arena *arena);
void qr_sim_transfer_told(qr_sim_groups *world, qr_sim_transfer *transfer, qr_group_state state);
qr_slice qr_sim_account_key(qr_sim_account account, qr_arena *arena);
qr_sim_balance qr_sim_balance_read(qr_slice value);
qr_slice qr_sim_balance_write(qr_sim_balance balance, qr_arena *arena);
/* NULL: no lock and no record stands anywhere. */
const char *qr_sim_ledgers_left(const qr_sim_groups *world, char *text, size_t size);
void qr_sim_ledgers_final(qr_sim_groups *world);

#endif

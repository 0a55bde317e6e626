/* Private to src/sim: what a world is made of. world.c runs it, node.c owns the processes, client.c the
 * workload, nemesis.c the faults, oracle.c the knowledge of what must be true, story.c the sentences. */
#ifndef QR_SIM_WORLD_H
#define QR_SIM_WORLD_H

#include "core/command.h"
#include "node/node.h"
#include "sim/disk.h"
#include "sim/members.h"
#include "sim/model.h"
#include "sim/network.h"
#include "sim/queue.h"
#include "sim/sim.h"

enum {
    QR_SIM_CLIENTS_MAX = 12,
    QR_SIM_CUTS_MAX = 16, /* at once */
    QR_SIM_KEYS_MAX = 8,  /* keys of the workload, besides the counters */
    QR_SIM_COUNTERS_MAX = 2,
    QR_SIM_WATCHES_MAX = 6,
    QR_SIM_TOLD_MAX = 64,         /* events of one revision */
    QR_SIM_MARK_SIZE = 16,        /* bytes of an operation's mark, see qr_sim_op */
    QR_SIM_FLIGHT_MAX = 20000,    /* messages under way at once; more is a storm */
    QR_SIM_STEPS_MAX = 20000000,  /* events of one run; more is a livelock */
    QR_SIM_LEADERS_MAX = 1 << 14, /* elections that are remembered */
};

/* ------------------------------------------------------------- workload ---- */

typedef enum qr_sim_outcome {
    QR_SIM_OPEN,    /* no answer yet */
    QR_SIM_DONE,    /* answered by the machine, or read */
    QR_SIM_REFUSED, /* surely not applied */
    QR_SIM_UNKNOWN, /* the process died, or "may have been applied" */
} qr_sim_outcome;

/* One request of a client and all that is known about it. Lives as long as the world, in its arena. */
struct qr_sim_op {
    qr_sim_world *world;
    uint64_t id; /* from 1 */
    uint32_t client, node;
    uint64_t life; /* of the node's process that took it; 0 = none */
    qr_request_kind kind;
    bool compacts;
    char mark[QR_SIM_MARK_SIZE + 1]; /* the principal of the command: found again in entries and on disks */
    const qr_txn *txn;
    qr_slice body;
    qr_query query;
    qr_change change;
    size_t config_floor; /* configurations that were known when it was invoked, less one */
    uint64_t compact_revision, target;
    int64_t lease; /* of a renewal, or the question how long it lasts */
    /* what everybody could know when it was invoked: a linearizable answer is not older */
    uint64_t invoked_us, floor_index, floor_revision;
    uint64_t answered_us;
    qr_sim_outcome outcome;
    bool has_reply; /* .status, .reply_index and .reply_text are what the node said */
    qr_status status;
    uint64_t reply_index;
    const char *reply_text;
    uint64_t position;            /* index of the entry that applied it; 0 = not applied so far */
    const char *model_text;       /* what the model says it has to answer */
    uint32_t durable_on;          /* bit set of the nodes on whose disk it is */
    struct qr_sim_op *next_taken; /* those a process has taken and not answered */
};

typedef struct qr_sim_client {
    uint32_t home; /* the node it prefers */
    bool sticky, busy;
    uint64_t known_mod[QR_SIM_KEYS_MAX]; /* as it last saw it */
    uint64_t known_count[QR_SIM_COUNTERS_MAX];
} qr_sim_client;

/* A client that follows a span (watch.c). */
typedef struct qr_sim_watch {
    qr_sim_world *world;
    uint32_t number, node;
    qr_watcher *watcher; /* NULL: on no member now */
    qr_span span;
    bool skip_puts, skip_deletes, want_previous;
    bool started;                        /* the watcher has spoken */
    bool holds;                          /* there is something for it that it has not taken */
    uint64_t start;                      /* as it asked for it */
    uint64_t next;                       /* everything before this revision was told */
    uint64_t told;                       /* revision of the last event */
    uint64_t told_events;                /* of this reading */
    uint64_t no_previous;                /* revision of one that had none though there was one */
    uint64_t told_keys[QR_SIM_TOLD_MAX]; /* of the revision .told: hashes */
    size_t told_count;
} qr_sim_watch;

/* --------------------------------------------------------------- oracle ---- */

typedef struct qr_sim_commit {
    uint64_t term, hash, digest, revision;
    uint64_t seen_term; /* no smaller than the term in which it was committed */
    uint64_t saved;     /* sum of the state as the first one saved it; 0 = nobody has */
    qr_entry_kind kind;
    uint64_t op; /* id; 0 = not a client's */
    bool admitted;
} qr_sim_commit;

typedef struct qr_sim_source {
    uint64_t replica, incarnation, last;
} qr_sim_source;

typedef struct qr_sim_oracle {
    qr_sim_commit *commits; /* commits[index - 1]; owned */
    uint64_t count, room, stamped;
    qr_sim_source sources[512];
    size_t source_count;
    qr_sim_model model;
    uint64_t floor_index, floor_revision; /* the newest that anybody was told of */
    uint16_t level;                       /* raised so far */
    struct {
        uint64_t term;
        uint32_t node;
    } leaders[QR_SIM_LEADERS_MAX]; /* in order of their time */
    size_t leader_count;
    uint64_t term_max;
} qr_sim_oracle;

/* What has to be true of a lease in the world's time; the model has the rest (leases.c). */
typedef struct qr_sim_life {
    uint64_t granted_us; /* applied by whoever was the first */
    uint64_t renewed_us; /* last confirmed by a leader, while it lived */
    uint64_t said_us;    /* last confirmed by a leader at all */
    /* The one before, of that generation, was revoked then; 0 = it had expired. */
    uint64_t revoked_us, revoked_generation;
    uint64_t touched_us; /* a renewal was last under way */
} qr_sim_life;

/* ---------------------------------------------------------------- nodes ---- */

struct qr_sim_node {
    qr_sim_world *world;
    uint32_t number;
    uint64_t id, incarnation;
    qr_sim_disk *disk;
    /* the process */
    qr_node *node; /* NULL: down */
    uint64_t life; /* counts processes, from 1 */
    uint64_t born_us, clock_ms;
    int32_t rate_ppm;
    int64_t wall_skew_ms;
    uint64_t paused_us; /* takes no turn before */
    uint64_t wake_us;   /* the scheduled WAKE; UINT64_MAX = none */
    bool turn_due, halted, dying, leads;
    uint16_t apply_knows, level_max; /* of its program, and what it is told to hold; level.c */
    bool damage_due,
        damaged; /* its disk is to go bad while it is down; it has, and the log may be put aside */
    bool rots;   /* it has, while this process runs: found later, or at the next start */
    uint64_t leads_since_us;
    uint64_t applied, commit, term;
    uint64_t local_index;        /* of the newest local read of this life */
    bool sees[QR_SIM_NODES_MAX]; /* what it was last told of its links */
    qr_sim_op *taken;
    qr_sim_seat seat;
    qr_members counted_in; /* a leader's configuration when it was last looked at */
    qr_box_sink box;       /* of this process, and */
    qr_buffer recording;   /* what it has recorded */
    uint64_t spoils;       /* the next message to this member is spoilt; 0 = nobody */
    struct {
        qr_engine_ops ops; /* the engine's, but for recall */
        uint32_t in;       /* the n-th record from now is malformed; 0 = none */
        bool refused;
    } misreads;
};

/* ------------------------------------------------------------------ door ---- */

/* A door that stands on the nodes, with clients of its own and what it knows of them (src/sim/door). The
 * world calls it; `self` is what open() has made. */
struct qr_sim_door_ops {
    void *(*open)(qr_sim_world *world);
    void (*close)(void *self); /* after the nodes */
    void (*booted)(void *self, qr_sim_node *node);
    void (*dying)(void *self, qr_sim_node *node);   /* its node is freed next, and */
    void (*dead)(void *self, qr_sim_node *node);    /* has been */
    void (*event)(void *self, qr_sim_event *event); /* QR_SIM_DOOR */
    void (*calm)(void *self);                       /* it begins, and all are at rest */
    void (*final)(void *self);                      /* likewise in the end */
    /* A command of no client of the world's own, applied first by this node just now. False: nobody can have
     * asked for it. The model's revision follows what it did to paths. */
    bool (*learned)(void *self, qr_sim_node *node, uint64_t index, const qr_command *command);
    void (*renewed)(void *self, int64_t lease, uint64_t generation); /* a leader has confirmed it */
    /* NULL: all clients are where they are to be in this phase. Else a sentence about one that is not. */
    const char *(*missing)(void *self, char *text, size_t size);
};

/* ------------------------------------------------------------------ plan ---- */

typedef enum qr_sim_upgrade {
    QR_SIM_UPGRADE_NONE,    /* the new program from the start */
    QR_SIM_UPGRADE_ROLLING, /* the program before; the new one at some restart */
    QR_SIM_UPGRADE_HELD,    /* to and fro at restarts, while one member holds the level */
} qr_sim_upgrade;

/* Everything the seed draws before the first event: which faults there are in this run and how strong
 * ("swarm"). */
typedef struct qr_sim_plan {
    uint32_t heartbeat_ms, election_ms, request_ms;
    uint64_t fault_ms;
    uint64_t segment_size;
    uint64_t checkpoint_bytes; /* 0: no run is long enough for one */
    size_t engine_memory_max, engine_message_max;
    uint32_t clients, keys, think_ms, value_max;
    uint32_t watches, watch_ms; /* mean time until a watching client looks again */
    uint32_t turn_us_max;
    uint32_t nemesis_ms; /* mean time between two faults */
    bool crashes, power_cuts, io_crashes, boot_crashes, triggered, cuts, pauses, clock_jumps, slow_disks,
        stalls, failing_syncs, no_space, damage, clogs, old_leaders, left_behind, handovers, compactions,
        all_die, leases, lost_kinds, alarms, paths;
    uint64_t admit_bytes; /* above which a member has no room for puts; 0 = off */
    bool apart;
    uint32_t malformed;  /* messages per million; 0: records are not either */
    bool core;           /* before all is healed, a quorum has to work alone */
    uint32_t cut_shapes; /* bit set */
    uint64_t triggers;   /* bit set of trace kinds after which a crash may follow */
    uint64_t ambushes;   /* bit set of trace kinds of elections after which the worst is done */
    uint32_t trigger_per_million;
    bool changes, wipes, calm_change, transfer_cuts;
    uint32_t transfer_cut_per_million;
    qr_sim_upgrade upgrade;
    bool doors;
    uint32_t rot_zones, rots; /* bit sets: where damage strikes, and how */
    bool lies;                /* also writes that go astray */
    qr_sim_weather weather;   /* while there are faults */
} qr_sim_plan;

typedef enum qr_sim_phase {
    QR_SIM_FAULTS,
    QR_SIM_CORE, /* some members are whole and together, the others are out of reach */
    QR_SIM_HEALING,
    QR_SIM_CALM,
    QR_SIM_SETTLING,
    QR_SIM_APART, /* two members do not hear each other, the others hear both */
    QR_SIM_OVER
} qr_sim_phase;

struct qr_sim_world {
    const qr_sim_config *config;
    qr_sim_report *report;
    qr_sim_plan plan;
    qr_sim_phase phase;
    uint64_t now_us, phase_since_us, phase_end_us, calm_since_us;
    uint64_t hash;
    qr_sim_queue queue;
    qr_sim_network network;
    uint32_t nodes, quorum; /* seats, those of members to come among them */
    uint32_t founders;      /* nodes that are members from the beginning */
    qr_sim_node node[QR_SIM_NODES_MAX];
    qr_members members; /* at the beginning */
    qr_sim_configs configs;
    qr_sim_client clients[QR_SIM_CLIENTS_MAX];
    qr_sim_op **ops; /* ops[id - 1]; owned, their content is the arena's */
    uint64_t op_count, op_room, open_count;
    qr_sim_oracle oracle;
    qr_sim_life lives[QR_SIM_LEASES_MAX + 1]; /* of the leases, by id */
    qr_sim_watch watches[QR_SIM_WATCHES_MAX];
    qr_prng prng_nemesis, prng_client, prng_world, prng_members, prng_lease, prng_watch, prng_alarm,
        prng_path, prng_malformed;
    void *door;             /* of config->door; NULL: not in this run */
    uint64_t door_requests; /* that its clients have sent */
    qr_arena arena;
    uint64_t flight;
    uint64_t caught_up, caught_up_seen; /* steps by which members came nearer to the others: patience lasts */
    uint64_t steps;
    uint32_t outside;   /* bit set: who is out of reach while a core is healed */
    uint32_t damaged;   /* members whose disk was damaged so far: never so many that something is lost */
    bool calm_overload; /* a leader has handed over since its disk could not keep pace */
    uint64_t calm_messages, calm_ops, calm_door_requests, calm_terms,
        calm_changes;     /* as they stood when the calm began */
    uint64_t apart_terms; /* when the two were parted */
    struct {
        qr_sim_cut cut;
        bool active;
    } cuts[QR_SIM_CUTS_MAX];
    qr_buffer text; /* scratch */
};

/* world.c */
void qr_sim_fail(qr_sim_world *world, const char *invariant, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static inline bool qr_sim_failed(const qr_sim_world *world)
{
    return world->report->failed;
}
static inline void qr_sim_mix(qr_sim_world *world, uint64_t number)
{
    world->hash = qr_hash_mix(world->hash, number);
}
void qr_sim_after(qr_sim_world *world, uint64_t delay_us, qr_sim_event event);

/* plan.c */
void qr_sim_plan_draw(qr_sim_world *world);

/* node.c */
void qr_sim_node_init(qr_sim_world *world, uint32_t number);
void qr_sim_node_free(qr_sim_node *node);
void qr_sim_node_boot(qr_sim_node *node);
/* A node that is down gets an empty disk, and another id too if it is somebody new. */
void qr_sim_node_renew(qr_sim_node *node, bool is_new);
void qr_sim_node_crash(qr_sim_node *node, bool kill, uint64_t down_us);
void qr_sim_node_turn(qr_sim_node *node);
void qr_sim_node_arrival(qr_sim_node *node, const qr_sim_message *message);
void qr_sim_node_link(qr_sim_node *node, uint32_t peer, bool up);
void qr_sim_node_disk(qr_sim_node *node);
void qr_sim_node_called(qr_sim_node *node); /* by somebody else than the functions here */
qr_status qr_sim_node_submit(qr_sim_node *node, const qr_request *request);
uint64_t qr_sim_node_now_ms(const qr_sim_node *node);
static inline bool qr_sim_node_up(const qr_sim_node *node)
{
    return node->node != NULL;
}

/* altered.c */
void qr_sim_altered_look(qr_sim_node *node); /* one that is gone */

/* malformed.c */
/* A message that the member cannot take, in the place of this one; false: this one shall go. */
bool qr_sim_malformed_message(qr_sim_node *node, uint64_t to, qr_slice message, qr_buffer *out);
/* The engine for a start, that may read a record malformed. */
const qr_engine_ops *qr_sim_malformed_start(qr_sim_node *node);
void qr_sim_malformed_entry(qr_sim_world *world, qr_entry_kind kind, qr_slice bytes); /* may be read so */

/* level.c */
void qr_sim_level_init(qr_sim_node *node);
void qr_sim_level_boot(qr_sim_node *node);   /* which program starts now */
void qr_sim_level_heal(qr_sim_world *world); /* everybody gets the new one */
void qr_sim_level_learned(qr_sim_world *world, uint64_t index, uint16_t version);

/* client.c */
void qr_sim_client_init(qr_sim_world *world);
void qr_sim_write_body(qr_sim_op *op, const qr_body *body);    /* makes it a write of that */
void qr_sim_client_next(qr_sim_world *world, uint32_t client); /* thinks up a request and sends it off */
void qr_sim_client_submit(qr_sim_world *world, qr_sim_op *op); /* it reaches the node */
void qr_sim_client_unreachable(qr_sim_op *op);                 /* there was nobody to take it */
void qr_sim_client_resume(qr_sim_world *world);                /* after a rest */

/* leases.c */
enum { QR_SIM_TTL_MS_MAX = 3000 };
static inline bool qr_sim_lease_is_own(int64_t lease) /* of the world's clients, not of a door's */
{
    return lease >= 1 && lease <= QR_SIM_LEASES_MAX;
}
bool qr_sim_lease_draft(qr_sim_world *world, qr_sim_op *op); /* false: the request is to be another one */
void qr_sim_lease_applied(qr_sim_world *world, const qr_body *body, uint64_t index, qr_buffer *text);
void qr_sim_lease_renewed(qr_sim_node *node, const qr_trace_record *record);
void qr_sim_lease_answered(qr_sim_op *op, const qr_reply *reply);
void qr_sim_lease_look(qr_sim_world *world); /* in calm weather: does anything last too long? */
uint32_t qr_sim_lease_count(const qr_sim_world *world);

/* paths.c */
bool qr_sim_path_draft(qr_sim_world *world, qr_sim_op *op); /* false: something else this time */

/* alarms.c */
bool qr_sim_alarm_draft(qr_sim_world *world, qr_sim_op *op); /* false: the request is to be another one */
/* By a client, or by a member (op NULL): then it has to be the word of one that has a cause. */
void qr_sim_alarm_applied(qr_sim_world *world, const qr_sim_op *op, const qr_command *command, uint64_t index,
                          qr_buffer *text);
void qr_sim_alarm_final(qr_sim_world *world);

/* watch.c */
void qr_sim_watch_init(qr_sim_world *world);
void qr_sim_watch_act(qr_sim_world *world, uint32_t number); /* it looks at what it was told */
/* NULL: all have been told everything. Else a sentence about one that was not. */
const char *qr_sim_watch_missing(const qr_sim_world *world, char *text, size_t size);
void qr_sim_watch_free(qr_sim_world *world); /* after the nodes */

/* nemesis.c */
void qr_sim_nemesis_start(qr_sim_world *world);
void qr_sim_nemesis_strike(qr_sim_world *world);
void qr_sim_nemesis_isolate(qr_sim_world *world, uint64_t number);
void qr_sim_nemesis_mend(qr_sim_world *world, uint64_t number);
void qr_sim_nemesis_trace(qr_sim_node *node, const qr_trace_record *record);
void qr_sim_nemesis_part(qr_sim_world *world, const qr_sim_node *a, const qr_sim_node *b, uint64_t length_us);
void qr_sim_nemesis_heal(qr_sim_world *world);
/* Draws who stays outside, and cuts them off; false: nobody can be spared in this run. */
bool qr_sim_nemesis_heal_core(qr_sim_world *world);
void qr_sim_nemesis_keep_apart(qr_sim_world *world);  /* two of them, for good */
uint64_t qr_sim_nemesis_down_us(qr_sim_world *world); /* how long a dead process stays down */

/* damage.c */
/* A budget has been spent on the node: while it runs, or false: it has to be struck while it is down. */
bool qr_sim_damage_running(qr_sim_node *node);
bool qr_sim_damage_at_rest(qr_sim_node *node);
/* Faults are over: whoever has run over rotten files is started anew, so that they are found now. */
void qr_sim_damage_heal(qr_sim_world *world);

/* boxes.c */
void qr_sim_box_open(qr_sim_node *node);
void qr_sim_box_repeat(qr_sim_node *node); /* after its process is gone */

/* oracle.c */
void qr_sim_oracle_init(qr_sim_world *world);
void qr_sim_oracle_free(qr_sim_oracle *oracle);
void qr_sim_oracle_applied(qr_sim_node *node, uint64_t index, uint64_t term, qr_entry_kind kind,
                           qr_slice bytes, uint64_t digest);
/* The node says that the state of a member differs, or of some member (row 26). */
void qr_sim_oracle_diverges(qr_sim_node *node, const qr_trace_record *record);
/* The node's state is that of a checkpoint now. */
void qr_sim_oracle_restored(qr_sim_node *node, uint64_t index, uint64_t term, uint64_t digest,
                            uint64_t revision, bool received);
void qr_sim_oracle_saved(qr_sim_node *node, uint64_t index, uint64_t sum);
void qr_sim_oracle_role(qr_sim_node *node, qr_engine_role role, uint64_t term);
void qr_sim_oracle_look(qr_sim_node *node);    /* after each call of the node */
void qr_sim_oracle_match(qr_sim_world *world); /* logs of two members; sampled */
/* The operation whose mark these bytes begin with; NULL if there is none. */
qr_sim_op *qr_sim_oracle_op(qr_sim_world *world, qr_slice bytes);
void qr_sim_oracle_durable(qr_sim_node *node, qr_slice bytes);
/* The node has answered; op->reply_* are filled in. */
void qr_sim_oracle_answered(qr_sim_op *op);
/* The machine's answer to a query in the state of the log index. NULL if that index is not known. */
bool qr_sim_oracle_revision(const qr_sim_oracle *oracle, uint64_t index, uint64_t *revision);
void qr_sim_oracle_final(qr_sim_world *world);

/* story.c */
void qr_sim_story(qr_sim_world *world, const char *format, ...) __attribute__((format(printf, 2, 3)));
void qr_sim_story_trace(qr_sim_node *node, const qr_trace_record *record);
void qr_sim_story_op(const qr_sim_op *op, const char *what);

#endif

/* Private to src/node: what one replica is made of. */
#ifndef QR_NODE_INTERNAL_H
#define QR_NODE_INTERNAL_H

#include "node/node.h"
#include "node/watch_index.h"
#include "wal/checkpoint.h"
#include "wal/wal.h"

enum {
    QR_NODE_FORMAT = 1,                    /* of the envelope, the records and the brief of a node */
    QR_NODE_FORWARD_MAX = 1024 * 1024,     /* bytes of commands in one forward */
    QR_NODE_PROPOSE_MAX = 8 * 1024 * 1024, /* bytes of commands proposed in one turn */
    QR_NODE_FETCH_MAX = 1024 * 1024,       /* bytes of old entries read back at once */
    QR_NODE_RETRY_MS = 20,                 /* until a refused read or a stuck forward is tried again */
    QR_NODE_SWEEP_MS = 50,                 /* how exact deadlines are */
    QR_NODE_UPKEEP_MS = 1000,
    QR_NODE_CHANGE_RETRY_MS = 200, /* until a change of members is asked for again */
    /* A renewal whose round took longer is not acknowledged; a new leader gives every lease as much more. */
    QR_LEASE_GRACE_MS = 500,
    QR_LEASE_RETRY_MS = 100,   /* until the leader, or a voter, is asked again */
    QR_LEASE_ROUNDS_MAX = 64,  /* open at once; more questions wait */
    QR_LEASE_ASKS_MAX = 65536, /* waiting on the leader; more are dropped, and asked again */
    QR_LEASE_PAGE_MAX = 16384, /* leases in one message about what was renewed */
    /* What a learner may lack when it becomes a voter: about what one message carries. */
    QR_NODE_CAUGHT_UP_ENTRIES = 1024,
    QR_NODE_READ_BUDGET = 1024 * 1024, /* bytes of results (without values) that one turn makes for reads */
    QR_NODE_SETTLE_BUDGET = 65536,     /* records of a new state put in order a turn */
    QR_NODE_RETIRE_BUDGET = 4096,      /* records of an old state freed a turn */
    QR_NODE_WORK_BUDGET = 512,         /* of the machine's housekeeping a turn */
    QR_BOOT_SHIFT = 40,                /* sequence = boot << 40 | number */
    QR_HEALTH_STRIDE = 256,            /* entries between two digests that members compare */
    QR_HEALTH_KEPT = 64,               /* digests kept of each member */

    QR_NODE_CHECKPOINT_BYTES = 64 * 1024 * 1024, /* of log between two checkpoints, at least; default */
    QR_NODE_SLICE_MAX = 256 * 1024,              /* of a checkpoint that one turn makes */
    QR_NODE_SLICE_PAUSE_MS = 40,                 /* after a slice of that size, while there is other work */
    QR_NODE_SLICE_PAUSE_FORCED_MS = 10,          /* the same for a checkpoint that somebody waits for */
    QR_NODE_FILES_MAX = 16,                      /* checkpoint files that are known of at once */
    QR_NODE_SENDINGS_MAX = 4,                    /* checkpoints on their way to peers at once */
    QR_NODE_CHUNK_MAX = 512 * 1024,              /* bytes of a checkpoint in one message, and */
    QR_NODE_CHUNK_MIN = 4096,                    /* at least, however small messages are to be */
    QR_NODE_LAG_MAX = 4, /* intervals of log that are kept longer for a checkpoint that is being sent */
    QR_NODE_CHECKPOINT_RETRY_MS = 1000, /* after a full disk; doubled up to */
    QR_NODE_CHECKPOINT_RETRY_MS_MAX = 60 * 1000,
};

/* A write that this member answers for. Slots stand in a ring in order of their sequence. */
typedef struct qr_pending {
    uint64_t sequence;
    uint64_t deadline_ms;
    qr_slice bytes;                                   /* the encoded command; owned; NULL once abandoned */
    bool was_sent;                                    /* somebody may have it */
    void (*done)(void *owner, const qr_reply *reply); /* NULL: nobody waits */
    void *owner;
    qr_status refusal; /* not QR_OK: what is answered, whatever becomes of it */
} qr_pending;

typedef struct qr_pendings {
    qr_pending *ring; /* room slots; a power of two */
    size_t room;
    uint64_t first, next; /* slot numbers: first <= n < next is in use, at ring[n & (room - 1)] */
    uint64_t unsent;      /* first <= unsent <= next: from here on nothing was offered on the present route */
    size_t bytes;
    uint64_t sent_ms; /* when the oldest one was sent, or one was applied */
} qr_pendings;

typedef struct qr_read {
    struct qr_read *next;
    const void *query;
    uint64_t deadline_ms;
    void (*done)(void *owner, const qr_reply *reply);
    void *owner;
} qr_read;

typedef struct qr_read_queue {
    qr_read *head, **tail;
    size_t count;
} qr_read_queue;

/* Reads that share one READ event. */
typedef struct qr_read_batch {
    struct qr_read_batch *next;
    uint64_t tag;
    bool ready;
    uint64_t index; /* once ready */
    qr_read_queue reads;
} qr_read_batch;

/* An effect that waits for its ticket. */
typedef struct qr_held {
    qr_effect effect;
    uint8_t *bytes; /* owned copy of what the effect points to, or NULL */
} qr_held;

typedef struct qr_ticket_position {
    uint64_t ticket, position;
    uint64_t asked_ms;   /* when the record was given to the log */
    uint64_t index_last; /* of the entries in it; 0 = none */
} qr_ticket_position;

/* What a leader has taken over from each origin in its present term (pending.c, "forwards"). */
typedef struct qr_accepted {
    uint64_t replica, incarnation, sequence;
} qr_accepted;

typedef struct qr_peer_life {
    uint64_t id, incarnation; /* the newest disk that spoke for this member */
    /* The newest of its changes of members that came here, as the leader of this term, and what became of it;
     * BUSY: nothing so far. */
    uint64_t change_tag, change_term;
    uint32_t change_copy;
    qr_status verdict;
} qr_peer_life;

/* The digest of the state at an index that is a multiple of QR_HEALTH_STRIDE; index 0 = none. */
typedef struct qr_mark {
    uint64_t index, digest;
} qr_mark;

/* What is compared. Contents agree only if the decisions did. */
typedef enum qr_compared {
    QR_COMPARED_DECISIONS, /* rolling digests */
    QR_COMPARED_CONTENTS,  /* sums of saved states */
} qr_compared;

/* What another member has said of itself. */
typedef struct qr_neighbour {
    uint64_t id, incarnation, boot;
    uint64_t heard_ms;
    bool heard, link_down;
    uint8_t flags;
    uint16_t apply_to;  /* the newest version of apply that it knows */
    uint64_t divergent; /* index at which a majority contradicts it; 0 = nowhere */
    qr_compared divergent_what;
    qr_mark saved; /* the state that it saved in a round */
    qr_mark marks[QR_HEALTH_KEPT];
} qr_neighbour;

typedef struct qr_health {
    qr_mark marks[QR_HEALTH_KEPT]; /* this member's own */
    uint64_t newest, untold;       /* the newest mark, and how many were not sent yet */
    qr_neighbour others[QR_MEMBERS_MAX];
    size_t other_count;
    size_t peer_count; /* to whom the last message went */
    uint64_t tell_ms;  /* the next message at the latest */
    uint8_t told_flags;
    uint64_t disputed, disputed_ms; /* index at which no majority agrees, 0 = none, and since when */
    qr_compared disputed_what;
    bool corrupt;       /* the alarm: writes are refused */
    char sentence[128]; /* why it halted */
    bool disk_slow;
    uint64_t slow_until_ms;
    uint64_t handover_ms, handover_wait_ms; /* the next attempt at the earliest, and the pause behind it */
} qr_health;

/* Rounds in which all members save their state at the same index and compare it (scrub.c). */
typedef struct qr_scrub {
    uint64_t round, index; /* number of the newest round, and where all save; 0 = none yet */
    qr_mark saved;         /* what this member saved in a round */
    bool shared;           /* the checkpoint being made belongs to a round */
    bool vouched;          /* a majority has the same */
    bool untold, unjudged;
    uint64_t next_ms, tell_ms; /* the next round and the next message at the latest */
} qr_scrub;

/* Changes of members (members.c). */
typedef struct qr_change_asked { /* here, by a client of this member */
    bool wanted;                 /* somebody waits */
    bool sent;                   /* the present leader may have it */
    bool uncertain;              /* an earlier leader may have it */
    bool was_so;                 /* the members were like that before: seeing it proves nothing */
    bool agreed;                 /* the leader says that it is done */
    uint64_t tag;
    uint32_t copy; /* number of the newest that was sent, and the term of the leader it went to */
    uint64_t term;
    qr_change change;
    uint64_t deadline_ms, retry_ms;
    qr_status why; /* nothing was done so far, because of this */
    void (*done)(void *owner, const qr_reply *reply);
    void *owner;
} qr_change_asked;

typedef struct qr_change_led { /* by this member as the leader */
    bool under_way;
    uint64_t from, tag; /* who asked, and its name for it */
    uint32_t copy;      /* the newest that came */
    uint64_t engine_tag;
    qr_change change;
} qr_change_led;

typedef struct qr_changes {
    qr_change_asked asked;
    qr_change_led led;
    uint64_t next_tag;
    qr_members applied;  /* the newest configuration that was applied, */
    uint64_t applied_at; /* by this entry */
    qr_members told;     /* the one in force, as last told */
    bool news;           /* .applied has changed since then */
    bool belonged;       /* this member stood in an applied configuration */
    bool removed;        /* and no longer stands in .applied */
} qr_changes;

/* A lease, as every member keeps it beside its machine (lease.c). */
typedef struct qr_leased {
    int64_t id;
    uint64_t generation, ttl_ms;
    uint64_t noted_ms; /* when this process last heard of a renewal, or when it took the grant over */
    /* on the leader, in its present term */
    uint64_t renewed_ms;  /* the last renewal that a quorum has confirmed, or the grant; 0 = none */
    uint64_t deadline_ms; /* 0 = not known yet */
    size_t heap_at;       /* its place there, from 1; 0 = none */
    bool ending;          /* its end was proposed: nothing renews it any more */
} qr_leased;

/* A client's question about a lease, here. */
typedef struct qr_lease_asked {
    struct qr_lease_asked *next;
    uint64_t number; /* rises; its name for the leader */
    int64_t id;
    bool renews, sent;
    uint64_t deadline_ms;
    void (*done)(void *owner, const qr_reply *reply);
    void *owner;
} qr_lease_asked;

/* The same on the leader. */
typedef struct qr_lease_ask {
    uint64_t from, number;
    int64_t id;
    uint64_t generation; /* once it is in a round; 0 = there was no such lease */
    bool renews;
} qr_lease_ask;

/* Questions that share a round of a quorum: whoever answers it has noted the renewals. */
typedef struct qr_lease_round {
    struct qr_lease_round *next;
    uint64_t number, sent_ms;
    uint64_t index; /* what is not there once this is applied was not there when they were asked */
    uint64_t noted_by[QR_MEMBERS_MAX];
    size_t noted_count;
    qr_lease_ask *asks; /* owned */
    size_t ask_count;
} qr_lease_round;

/* What a voter says, to a new leader, of the renewals before its term. */
typedef struct qr_lease_memory {
    uint64_t peer;
    bool whole;
    int64_t next;      /* the lease from which on it is still to be told */
    uint64_t retry_ms; /* when it is asked again */
    struct qr_lease_note {
        int64_t id;
        uint64_t generation,
            noted_ms; /* at the latest, by this member's clock, from a moment long before it began */
    } * notes;        /* by rising id; owned */
    size_t count, room, at;
} qr_lease_memory;

typedef struct qr_leases {
    qr_leased **slots; /* by a hash of the id; owned, as the leases are */
    size_t room, count;
    qr_arena arena;          /* of a body being read */
    uint64_t voter_since_ms; /* when this member became a voter, or the voters became others, in this life */
    uint64_t voters;         /* sum of them */
    bool votes;

    /* questions of this member's clients */
    qr_lease_asked *asked, **asked_tail;
    size_t asked_count;
    uint64_t next_number; /* of questions, rounds and surveys */
    uint64_t retry_ms;
    bool unsent;

    /* the leader's */
    qr_lease_ask *asks; /* not in a round yet; owned */
    size_t ask_count, ask_room;
    qr_lease_round *rounds, **rounds_tail;
    size_t round_count;
    qr_leased **heap; /* by their deadlines; owned */
    size_t heap_count, heap_room;
    qr_lease_memory *memories; /* QR_MEMBERS_MAX of them, while in office; owned */
    size_t memory_count;
    uint64_t recalled_term, recall; /* of .memories: the term, the name of the survey, and */
    uint64_t recalled_members;      /* the index of the configuration whose voters are asked */
    bool ready;                     /* the deadlines are known */
    uint64_t rerouted_ms;           /* when role, term or leader became what they are */
    uint64_t epoch_asked;           /* the term for which an epoch was proposed */
    bool end_asked;                 /* the end of some was proposed and is not decided */
    uint64_t propose_again_ms;      /* after the pending writes were full */
} qr_leases;

/* A checkpoint file. */
typedef struct qr_kept {
    uint64_t index, term; /* index 0: there is none */
    uint64_t size;        /* bytes of the file */
    uint64_t content;     /* bytes of what is in it */
    uint64_t written;     /* bytes of records that stood in the log when it was begun */
    int64_t wall_ms;
} qr_kept;

/* Making checkpoints, and keeping as many as are needed (checkpoint.c). */
typedef struct qr_keeper {
    qr_kept newest, previous;          /* both are whole, and the log reaches back to the older one */
    uint64_t files[QR_NODE_FILES_MAX]; /* indexes of all in the folder that are known of */
    size_t file_count;
    uint64_t part;                  /* index of what was received in part and given up; 0 = none */
    qr_checkpoint_remover *remover; /* NULL: nothing is being removed */

    qr_checkpoint_writer *writer;    /* NULL: none is being made */
    qr_checkpoint_writer *abandoned; /* given up, and not removed yet */
    qr_kept making;
    bool saved, finished;                         /* the machine is written; the writer knows */
    uint64_t sliced_index, sliced_ms, sliced_log; /* applied, time and log_written at the last slice */
    size_t sliced_bytes;                          /* of it */
    uint64_t origins_sum;                         /* of what is being saved */
    bool forced; /* make one although the log has not grown: the newest is damaged */
    bool news;   /* one was made since the engine was told */
    uint64_t retry_ms, pause_ms;
    qr_buffer slice; /* scratch */

    uint64_t told_index;       /* up to here the engine may forget its log */
    uint64_t release_index;    /* up to here the log may go, once what stands at */
    uint64_t release_position; /* is durable; 0: nothing was written since */
    uint64_t durable_entry;    /* the last entry on the disk, of the log as it is now */
    uint64_t damaged_index;    /* of one that could not be used at the start */
} qr_keeper;

/* A checkpoint on its way into a machine (restore.c). */
typedef struct qr_restore {
    qr_node *node;
    qr_machine *machine; /* owned until it is taken */
    qr_origins origins;
    qr_checkpoint_about about;
    qr_buffer brief; /* the engine's */
    uint64_t content;
    bool is_over; /* nobody wants it any more: the reading ends */
} qr_restore;

/* A checkpoint on its way to a peer (transfer.c). */
typedef struct qr_sending {
    qr_node *node;
    uint64_t peer; /* 0: this one is free */
    qr_kept file;
    qr_checkpoint_fetcher *fetcher;
    uint64_t offset;    /* what the peer has on its disk */
    uint64_t sent_ms;   /* when the chunk from there on was sent; 0: not yet */
    uint64_t wanted_ms; /* when the engine last asked for it */
    uint64_t taken_ms;  /* when the peer had no more need of it; 0: it has */
    bool ending;        /* nothing more is sent: the slot is free when the disk is through with it */
} qr_sending;

typedef enum qr_receiving_state {
    QR_RECEIVING_NOTHING,
    QR_RECEIVING_BYTES,
    QR_RECEIVING_LOAD,   /* they are all here and are being read into a machine */
    QR_RECEIVING_SETTLE, /* which puts itself in order */
    QR_RECEIVING_HOLD,   /* and waits for its moment */
    QR_RECEIVING_KEEP,   /* the file gets its name */
    QR_RECEIVING_KEPT,
} qr_receiving_state;

/* A checkpoint of a leader's on its way to us (receive.c). */
typedef struct qr_receiving {
    qr_receiving_state state;
    uint64_t from, index, size;
    uint64_t durable; /* bytes */
    bool busy;        /* some are on their way to the disk */
    uint64_t deaf_ms; /* nothing is taken before */
    qr_checkpoint_receiver *receiver;
    qr_checkpoint_reader *reader;
    qr_restore *restore;
} qr_receiving;

/* Watchers (watch.c). */
typedef struct qr_watch_hub {
    qr_watch_index index;
    qr_watcher *all; /* in no order */
    size_t count;
    qr_watcher_list ready; /* whose owners are to be called, in turn */
    qr_watcher_list busy;  /* whose owners were called, and have not read all yet */
    uint64_t revision;     /* whom the events up to it concern was woken */
    int64_t budget;        /* of this turn */
    bool started;          /* the member has caught up */
} qr_watch_hub;

struct qr_node {
    qr_node_config config;
    uint64_t incarnation, boot;
    qr_engine *engine;
    qr_box *box; /* NULL: not opened yet, or nothing is recorded */
    qr_machine *machine;
    qr_machine *retired; /* being freed; NULL: none */
    qr_wal *wal;
    qr_trace trace;
    qr_effects effects;
    uint64_t now_ms;
    int64_t wall_ms;
    bool stepped; /* since the last TICK */

    /* durability */
    qr_ticket_position *tickets; /* FIFO: tickets_first..tickets_count */
    size_t tickets_first, tickets_count, tickets_room;
    uint64_t durable_position, durable_ticket, told_ticket;
    uint64_t boot_position; /* behind the boot record: nothing is proposed before it is durable */
    /* Bytes of all records, those found at the start included. Not a position: ending a segment early moves
     * that by what is left of the segment. */
    uint64_t log_written;
    bool tail_found; /* while opening: a record that is not in the checkpoint */
    qr_held *held;
    size_t held_count, held_room, held_commits;

    /* consensus as last told */
    qr_engine_role role;
    uint64_t term, leader;
    uint64_t leader_changes; /* leaders that have come */

    /* state */
    qr_origins origins;
    uint16_t level;    /* the apply version in force; >= QR_APPLY_OLDEST */
    uint64_t level_ms; /* it is looked at again whether it can be raised, at the earliest */
    uint64_t applied_index, applied_term, told_applied;
    uint64_t recalled_index; /* last entry found at boot */
    bool caught_up;          /* local reads may be served */
    qr_arena arena;          /* of the apply or query under way */
    qr_arena admission;      /* submit() may be called while a reply that lives in the other one is read */

    /* requests */
    qr_pendings pendings;
    qr_read_queue reads_waiting, reads_local;
    qr_read_batch *batches, **batches_tail;
    size_t read_count;
    size_t read_bytes; /* made in this turn */
    bool more_reads;   /* some could be served but for the budget */
    uint64_t next_tag, retry_reads_ms;
    qr_accepted accepted[QR_MEMBERS_MAX];
    size_t accepted_count;
    qr_buffer inbox; /* forwarded commands of this turn: u32 size, bytes, ... */
    bool proposal_refused;
    uint64_t proposal_leader;
    qr_slice *proposal; /* scratch */
    size_t proposal_room;
    struct {
        bool wanted, under_way;
        uint64_t target, deadline_ms, from_term;
        void (*done)(void *owner, const qr_reply *reply);
        void *owner;
    } handover;

    qr_health health;
    qr_scrub scrub;
    qr_changes changes;
    qr_leases leases;
    struct {
        bool asked;       /* one is proposed here and not decided yet */
        uint64_t next_ms; /* of asking, at the earliest */
    } alarms;

    qr_keeper keeper;
    qr_sending sendings[QR_NODE_SENDINGS_MAX];
    qr_receiving receiving;
    qr_watch_hub watches;
    qr_node_export *exports[QR_NODE_EXPORTS_MAX]; /* NULL: none */
    bool opening;
    qr_restore *opened; /* while opening: what the machine was loaded from */
    const char *damage; /* while opening: what is wrong with the newest checkpoint, or NULL */

    qr_peer_life lives[QR_MEMBERS_MAX];
    size_t life_count;
    qr_buffer message; /* scratch for an outgoing envelope */
    uint64_t sweep_ms, upkeep_ms;
    bool more_work, more_commits;
    struct {
        uint64_t number; /* of the holds that are in force or come next */
        uint32_t count;
        uint64_t until_ms;
        bool is_over; /* they took too long: none until all is freed that waited for them */
    } hold;
    bool no_space, halted;
    qr_status halt_status;
    const char *halt_sentence;
};

/* node.c */
void qr_node__halt(qr_node *node, const char *sentence);
void qr_node__step(qr_node *node, qr_event *event); /* one step of the engine and its effects */

/* hold.c */
void qr_node__retire(qr_node *node, qr_machine *machine); /* frees it between turns */
void qr_node__free_some(qr_node *node);
void qr_node__end_holds(qr_node *node);

uint64_t qr_node__digest(const qr_node *node); /* of machine, origins and level */
void qr_node__wake(qr_node *node);
void qr_node__answer(qr_node *node, void (*done)(void *, const qr_reply *), void *owner, qr_status status,
                     const void *result, uint64_t index);

/* effects.c */
void qr_node__apply(qr_node *node, const qr_effect *commit);
void qr_node__carry_out(qr_node *node);
void qr_node__release_held(qr_node *node);
void qr_node__free_held(qr_node *node);

/* pending.c: writes and their way to the leader */
qr_status qr_pending__add(qr_node *node, const qr_request *request, uint64_t deadline_ms);
/* For a command that is proposed once and that nobody waits for: nothing may be waiting to be offered. */
uint64_t qr_pending__take_sequence(qr_node *node);
void qr_pending__reroute(qr_node *node); /* the way to the leader changed: offer everything again */
void qr_pending__offer(qr_node *node);   /* PROPOSE what is new, forward it if refused */
void qr_pending__applied(qr_node *node, const qr_command *command, uint64_t index, qr_status status,
                         const void *result);
void qr_pending__jumped(qr_node *node); /* the state came from a peer, with some of ours perhaps in it */
void qr_pending__sweep(qr_node *node);
void qr_pending__forwarded(qr_node *node, qr_reader *body);
void qr_pending__finish(qr_node *node, qr_status status);

/* The same, and whoever waits is answered `refusal` once it is applied or given up. */
qr_status qr_pending__add_refused(qr_node *node, const qr_request *request, uint64_t deadline_ms,
                                  qr_status refusal);

/* alarm.c: what this member finds wrong, as records that all members have */
/* This member has no room for a request: it raises NO_SPACE instead, unless that stands or cannot, and then
 * answers QUOTA. Else QUOTA at once. */
qr_status qr_alarm__refuse(qr_node *node, const qr_request *request, uint64_t deadline_ms);
void qr_alarm__turn(qr_node *node);
uint64_t qr_alarm__wake_ms(const qr_node *node);

/* reads.c */
void qr_reads__add(qr_node *node, const qr_request *request, uint64_t deadline_ms);
void qr_reads__start(qr_node *node);
void qr_reads__at(qr_node *node, uint64_t tag, uint64_t index);
void qr_reads__refused(qr_node *node, uint64_t tag);
void qr_reads__serve(qr_node *node);
void qr_reads__sweep(qr_node *node);
void qr_reads__finish(qr_node *node, qr_status status);

/* health.c: what members tell each other about themselves */
void qr_health__applied(qr_node *node); /* after each entry, before the next one */
void qr_health__heard(qr_node *node, uint64_t from, uint64_t incarnation, qr_reader *body);
void qr_health__link(qr_node *node, uint64_t peer, bool up);
void qr_health__watch(qr_node *node); /* at the beginning of a turn: is the disk well, who may lead */
void qr_health__tell(qr_node *node);  /* at the end of a turn */
void qr_health__judge_saved(qr_node *node, uint64_t index); /* something new is known of a round */
/* The place of a member that has just spoken; NULL: it is none. */
qr_neighbour *qr_health__neighbour(qr_node *node, uint64_t id, uint64_t incarnation);
uint64_t qr_health__wake_ms(const qr_node *node);
uint64_t qr_health__oldest_sync_ms(const qr_node *node); /* age of the oldest record that is not durable */
void qr_health__status(const qr_node *node, qr_node_status *status);
/* The member that a majority contradicts, latest if there are several; 0: none. */
uint64_t qr_health__divergent(const qr_node *node, uint64_t *index);

/* The newest apply version that member id says it knows; 0 = nothing recent is known of it. */
uint16_t qr_health__knows(const qr_node *node, uint64_t id);

/* level.c: the apply version in force */
uint16_t qr_level__known(const qr_node *node); /* the newest one that this member can apply, and */
uint16_t qr_level__told(const qr_node *node);  /* the newest one that it owns up to */
void qr_level__applied(qr_node *node, uint16_t version);
void qr_level__turn(qr_node *node);
uint64_t qr_level__wake_ms(const qr_node *node);
void qr_level__status(const qr_node *node, qr_node_status *status);

/* scrub.c: states in memory compared */
void qr_scrub__applied(qr_node *node);             /* after each entry, before the next one */
void qr_scrub__saved(qr_node *node, uint64_t sum); /* the checkpoint being made holds this */
bool qr_scrub__lets_keep(const qr_node *node);     /* may that checkpoint get its name? */
bool qr_scrub__decides(const qr_node *node);       /* when checkpoints are made: not each member for itself */
void qr_scrub__heard(qr_node *node, uint64_t from, uint64_t incarnation, qr_reader *body);
void qr_scrub__turn(qr_node *node);
uint64_t qr_scrub__wake_ms(const qr_node *node);

/* members.c: changes of members */
void qr_change__open(qr_node *node, const qr_engine_status *engine);
qr_status qr_change__add(qr_node *node, const qr_request *request, uint64_t deadline_ms);
void qr_change__forwarded(qr_node *node, uint64_t from, qr_reader *body);
void qr_change__verdict(qr_node *node, qr_reader *body);
void qr_change__refused(qr_node *node, uint64_t tag, qr_status why);
void qr_change__applied(qr_node *node, uint64_t index, qr_slice bytes); /* a MEMBERS entry */
void qr_change__jumped(qr_node *node);  /* the state came from a peer, with its members */
void qr_change__reroute(qr_node *node); /* another role, term or leader */
void qr_change__turn(qr_node *node);
uint64_t qr_change__wake_ms(const qr_node *node);
void qr_change__sweep(qr_node *node);
void qr_change__finish(qr_node *node, qr_status status);

/* lease.c: when leases end */
void qr_lease__open(qr_node *node);
void qr_lease__free(qr_node *node);
void qr_lease__applied(qr_node *node, const qr_command *command, qr_status status);
void qr_lease__jumped(qr_node *node);  /* the machine is another one */
void qr_lease__reroute(qr_node *node); /* another role, term or leader */
void qr_lease__turn(qr_node *node);
uint64_t qr_lease__wake_ms(const qr_node *node);
void qr_lease__voter(qr_node *node, const qr_members *members); /* in force now: does this one vote? */
qr_leased *qr_lease__find(const qr_node *node, int64_t id);     /* NULL: there is none */
void qr_lease__due(qr_node *node, qr_leased *lease, uint64_t deadline_ms);
bool qr_lease__leads(const qr_node *node);    /* and has applied what was committed before its term */
bool qr_lease__in_force(const qr_node *node); /* this member leads, and the epoch is that of its term */

/* renewal.c: renewals and their way to the leader */
qr_status qr_lease__ask(qr_node *node, const qr_request *request, uint64_t deadline_ms);
void qr_lease__heard(qr_node *node, uint64_t from, uint64_t incarnation, qr_reader *body);
void qr_lease__rounds(qr_node *node);
void qr_lease__forget_rounds(qr_node *node);
uint64_t qr_lease__rounds_wake_ms(const qr_node *node);
void qr_lease__sweep(qr_node *node);
void qr_lease__finish(qr_node *node, qr_status status);
qr_buffer *qr_lease__begin(qr_node *node, uint8_t word);
uint64_t qr_lease__number(qr_node *node); /* rises, and no other life of this member has it */

/* takeover.c: what a new leader asks the voters */
enum { QR_LEASE_RECALL = 5, QR_LEASE_RECALLED = 6 }; /* words of the envelope */
void qr_lease__take_over(qr_node *node);
void qr_lease__recall(qr_node *node, uint64_t from, qr_reader *body);
void qr_lease__recalled(qr_node *node, uint64_t from, qr_reader *body);
void qr_lease__forget_memories(qr_node *node);
uint64_t qr_lease__take_over_wake_ms(const qr_node *node);

/* envelope.c: messages between nodes */
typedef enum qr_envelope_kind {
    QR_ENVELOPE_ENGINE = 1,
    QR_ENVELOPE_FORWARD = 2,
    QR_ENVELOPE_CHECKPOINT = 3,
    QR_ENVELOPE_HEALTH = 4,
    QR_ENVELOPE_CHANGE = 5,  /* a change of members, for the leader */
    QR_ENVELOPE_VERDICT = 6, /* what became of it */
    QR_ENVELOPE_SCRUB = 7,   /* rounds, and what was saved in them */
    QR_ENVELOPE_LEASE = 8,   /* renewals */
} qr_envelope_kind;
qr_buffer *qr_envelope__begin(qr_node *node, qr_envelope_kind kind);
qr_status qr_envelope__send(qr_node *node, uint64_t to);
/* Checks format, cluster, group, sender, incarnation and checksum. */
qr_status qr_envelope__open(qr_node *node, uint64_t from, qr_slice message, qr_envelope_kind *kind,
                            uint64_t *incarnation, qr_slice *body);

/* recover.c: the node's records and brief around the engine's */
qr_status qr_recover__open(qr_node *node, qr_arena *arena, const char **sentence);
qr_engine_config qr_recover__engine_config(qr_node *node);
void qr_recover__persist(qr_node *node, const qr_effect *effect);
void qr_recover__fetch(qr_node *node, uint64_t from, uint64_t to);
void qr_recover__brief(void *context, qr_buffer *out);
void qr_recover__brief_head(qr_buffer *out, uint64_t incarnation, uint64_t boot); /* before the engine's */

/* checkpoint.c */
void qr_keeper__turn(qr_node *node);
bool qr_keeper__can_begin(const qr_node *node);
void qr_keeper__begin(qr_node *node, bool shared);              /* one at the applied index */
void qr_keeper__give_up(qr_node *node);                         /* the one being made */
bool qr_keeper__has_grown(const qr_node *node, uint64_t times); /* log since the newest one */
uint64_t qr_keeper__wake_ms(const qr_node *node);
void qr_keeper__adopt(qr_node *node, const qr_kept *kept); /* one came from a peer: there is no other now */
void qr_keeper__note_file(qr_node *node, uint64_t index);  /* it goes when it is needed no more */
void qr_keeper__appended(qr_node *node, uint64_t position,
                         uint64_t bytes); /* the log has grown up to there */
void qr_keeper__free(qr_node *node);
void qr_keeper__name(uint64_t index, char name[QR_DISK_NAME_MAX]);

/* restore.c */
qr_status qr_restore__open(qr_node *node, qr_arena *arena, const char **sentence);   /* before the log */
qr_status qr_restore__opened(qr_node *node, qr_arena *arena, const char **sentence); /* after it */
qr_restore *qr_restore__begin(qr_node *node, qr_machine *machine);
qr_checkpoint_visit qr_restore__visit(qr_restore *restore);
bool qr_restore__settle(qr_restore *restore, size_t budget); /* all chunks were there; true = more is left */
qr_status qr_restore__end(qr_restore *restore);              /* does the state agree with them? */
void qr_restore__take(qr_restore *restore);                  /* it is the node's state from now on */
void qr_restore__tell_engine(qr_restore *restore, bool received);
void qr_restore__free(qr_restore *restore);

/* transfer.c: chunks and answers on the wire, and the side that sends */
typedef enum qr_transfer_word {
    QR_TRANSFER_CHUNK = 1,
    QR_TRANSFER_DURABLE = 2,  /* the answer: that much is on the disk */
    QR_TRANSFER_NEEDLESS = 3, /* the answer: there is newer state here */
    QR_TRANSFER_DAMAGED = 4,  /* the answer: it is not whole */
} qr_transfer_word;
typedef struct qr_transfer_message {
    qr_transfer_word word;
    uint64_t index, size, offset;
    qr_slice bytes;
} qr_transfer_message;
void qr_transfer__say(qr_node *node, uint64_t to, const qr_transfer_message *message);
void qr_transfer__heard(qr_node *node, uint64_t from, qr_reader *body);
void qr_transfer__wanted(qr_node *node, uint64_t peer); /* SEND_CHECKPOINT */
void qr_transfer__turn(qr_node *node);
uint64_t qr_transfer__wake_ms(const qr_node *node);
bool qr_transfer__uses(const qr_node *node, uint64_t index); /* the file is being sent */
void qr_transfer__free(qr_node *node);

/* receive.c */
void qr_receive__chunk(qr_node *node, uint64_t from, const qr_transfer_message *message);
void qr_receive__turn(qr_node *node);
uint64_t qr_receive__wake_ms(const qr_node *node);
void qr_receive__free(qr_node *node);

/* watch.c */
void qr_watch__applied(qr_node *node); /* after each entry */
void qr_watch__jumped(qr_node *node);  /* the state came from a peer */
void qr_watch__turn(qr_node *node);
bool qr_watch__wants_turn(const qr_node *node);
void qr_watch__finish(qr_node *node); /* halted: every owner is told */
void qr_watch__free(qr_node *node);

/* export.c: copies for someone outside */
void qr_export__turn(qr_node *node);
void qr_export__failed(qr_node *node, qr_status status); /* the checkpoint that they wait for */
bool qr_export__uses(const qr_node *node, uint64_t index);
void qr_export__free(qr_node *node);

#endif

/* Private to src/node: what one replica is made of. */
#ifndef QR_NODE_INTERNAL_H
#define QR_NODE_INTERNAL_H

#include "node/node.h"
#include "wal/wal.h"

enum {
    QR_NODE_FORMAT = 1,                    /* of the envelope, the records and the brief of a node */
    QR_NODE_FORWARD_MAX = 1024 * 1024,     /* bytes of commands in one forward */
    QR_NODE_PROPOSE_MAX = 8 * 1024 * 1024, /* bytes of commands proposed in one turn */
    QR_NODE_FETCH_MAX = 4 * 1024 * 1024,
    QR_NODE_RETRY_MS = 20, /* until a refused read or a stuck forward is tried again */
    QR_NODE_SWEEP_MS = 50, /* how exact deadlines are */
    QR_NODE_UPKEEP_MS = 1000,
    QR_NODE_CHANGE_RETRY_MS = 200, /* until a change of members is asked for again */
    /* What a learner may lack when it becomes a voter: about what one message carries. */
    QR_NODE_CAUGHT_UP_ENTRIES = 1024,
    QR_NODE_READ_BUDGET =
        8 * 1024 * 1024,       /* bytes of results (without values) that one turn makes for reads */
    QR_NODE_WORK_BUDGET = 512, /* of the machine's housekeeping a turn */
    QR_BOOT_SHIFT = 40,        /* sequence = boot << 40 | number */
    QR_HEALTH_STRIDE = 256,    /* entries between two digests that members compare */
    QR_HEALTH_KEPT = 64,       /* digests kept of each member */
};

/* A write that this member answers for. Slots stand in a ring in order of their sequence. */
typedef struct qr_pending {
    uint64_t sequence;
    uint64_t deadline_ms;
    qr_slice bytes;                                   /* the encoded command; owned; NULL once abandoned */
    bool was_sent;                                    /* somebody may have it */
    void (*done)(void *owner, const qr_reply *reply); /* NULL: nobody waits */
    void *owner;
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
    uint64_t asked_ms; /* when the record was given to the log */
} qr_ticket_position;

/* What a leader has taken over from each origin in its present term (pending.c, "forwards"). */
typedef struct qr_accepted {
    uint64_t replica, incarnation, sequence;
} qr_accepted;

typedef struct qr_peer_life {
    uint64_t id, incarnation; /* the newest disk that spoke for this member */
} qr_peer_life;

/* The digest of the state at an index that is a multiple of QR_HEALTH_STRIDE; index 0 = none. */
typedef struct qr_mark {
    uint64_t index, digest;
} qr_mark;

/* What another member has said of itself. */
typedef struct qr_neighbour {
    uint64_t id, incarnation;
    uint64_t heard_ms;
    bool heard, link_down;
    uint8_t flags;
    uint16_t apply_from, apply_to; /* versions of apply that it knows */
    uint64_t divergent;            /* index at which a majority contradicts it; 0 = nowhere */
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
    bool corrupt;                   /* the alarm: writes are refused */
    char sentence[128];             /* why it halted */
    bool disk_slow;
    uint64_t slow_until_ms;
    uint64_t handover_ms, handover_wait_ms; /* the next attempt at the earliest, and the pause behind it */
} qr_health;

/* Changes of members (members.c). */
typedef struct qr_change_asked { /* here, by a client of this member */
    bool wanted;                 /* somebody waits */
    bool sent;                   /* the present leader may have it */
    bool uncertain;              /* an earlier leader may have it */
    bool was_so;                 /* the members were like that before: seeing it proves nothing */
    bool agreed;                 /* the leader says that it is done */
    uint64_t tag;
    qr_change change;
    uint64_t deadline_ms, retry_ms;
    qr_status why; /* nothing was done so far, because of this */
    void (*done)(void *owner, const qr_reply *reply);
    void *owner;
} qr_change_asked;

typedef struct qr_change_led { /* by this member as the leader */
    bool under_way;
    uint64_t from, tag; /* who asked, and its name for it */
    uint64_t engine_tag;
    qr_change change;
} qr_change_led;

typedef struct qr_changes {
    qr_change_asked asked;
    qr_change_led led;
    uint64_t next_tag;
    qr_members applied; /* the newest configuration that was applied */
    qr_members told;    /* the one in force, as last told */
    bool news;          /* .applied has changed since then */
    bool belonged;      /* this member stood in an applied configuration */
    bool removed;       /* and no longer stands in .applied */
} qr_changes;

struct qr_node {
    qr_node_config config;
    uint64_t incarnation, boot;
    qr_engine *engine;
    qr_machine *machine;
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
    qr_held *held;
    size_t held_count, held_room, held_commits;

    /* consensus as last told */
    qr_engine_role role;
    uint64_t term, leader;

    /* state */
    qr_origins origins;
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
    qr_changes changes;
    qr_peer_life lives[QR_MEMBERS_MAX];
    size_t life_count;
    qr_buffer message; /* scratch for an outgoing envelope */
    uint64_t sweep_ms, upkeep_ms;
    bool more_work, more_commits;
    bool no_space, halted;
    qr_status halt_status;
    const char *halt_sentence;
};

/* node.c */
void qr_node__halt(qr_node *node, const char *sentence);
void qr_node__step(qr_node *node, qr_event *event); /* one step of the engine and its effects */
uint64_t qr_node__digest(const qr_node *node);      /* of all replicated state */
void qr_node__answer(qr_node *node, void (*done)(void *, const qr_reply *), void *owner, qr_status status,
                     const void *result, uint64_t index);

/* effects.c */
void qr_node__carry_out(qr_node *node);
void qr_node__release_held(qr_node *node);
void qr_node__free_held(qr_node *node);

/* pending.c: writes and their way to the leader */
qr_status qr_pending__add(qr_node *node, const qr_request *request, uint64_t deadline_ms);
void qr_pending__reroute(qr_node *node); /* the way to the leader changed: offer everything again */
void qr_pending__offer(qr_node *node);   /* PROPOSE what is new, forward it if refused */
void qr_pending__applied(qr_node *node, const qr_command *command, uint64_t index, qr_status status,
                         const void *result);
void qr_pending__sweep(qr_node *node);
void qr_pending__forwarded(qr_node *node, qr_reader *body);
void qr_pending__finish(qr_node *node, qr_status status);

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
uint64_t qr_health__wake_ms(const qr_node *node);
uint64_t qr_health__oldest_sync_ms(const qr_node *node); /* age of the oldest record that is not durable */
void qr_health__status(const qr_node *node, qr_node_status *status);

/* members.c: changes of members */
void qr_change__open(qr_node *node, const qr_members *members); /* the newest ones that the log knows */
qr_status qr_change__add(qr_node *node, const qr_request *request, uint64_t deadline_ms);
void qr_change__forwarded(qr_node *node, uint64_t from, qr_reader *body);
void qr_change__verdict(qr_node *node, qr_reader *body);
void qr_change__refused(qr_node *node, uint64_t tag, qr_status why);
void qr_change__applied(qr_node *node, qr_slice bytes); /* a MEMBERS entry */
void qr_change__reroute(qr_node *node);                 /* another role, term or leader */
void qr_change__turn(qr_node *node);
uint64_t qr_change__wake_ms(const qr_node *node);
void qr_change__sweep(qr_node *node);
void qr_change__finish(qr_node *node, qr_status status);

/* envelope.c: messages between nodes */
typedef enum qr_envelope_kind {
    QR_ENVELOPE_ENGINE = 1,
    QR_ENVELOPE_FORWARD = 2,
    QR_ENVELOPE_HEALTH = 4,  /* 3: checkpoints */
    QR_ENVELOPE_CHANGE = 5,  /* a change of members, for the leader */
    QR_ENVELOPE_VERDICT = 6, /* what became of it */
} qr_envelope_kind;
qr_buffer *qr_envelope__begin(qr_node *node, qr_envelope_kind kind);
qr_status qr_envelope__send(qr_node *node, uint64_t to);
/* Checks format, cluster, group, sender, incarnation and checksum. */
qr_status qr_envelope__open(qr_node *node, uint64_t from, qr_slice message, qr_envelope_kind *kind,
                            uint64_t *incarnation, qr_slice *body);

/* recover.c: the node's records and brief around the engine's */
qr_status qr_recover__open(qr_node *node, qr_arena *arena, const char **sentence);
void qr_recover__persist(qr_node *node, const qr_effect *effect);
void qr_recover__fetch(qr_node *node, uint64_t from, uint64_t to);

#endif

/* engine: the contract of consensus. An engine agrees on one sequence of commands; it sees no disk, no
 * socket, no clock and no key tree. Events go in, effects come out, and the same events give the same
 * effects.
 *
 * A node drives it: every event is one step(); its effects are carried out before the next step. TICK ends
 * every turn of the node in which something happened, so an engine may save its sends up for the TICK and
 * coalesce them: one message a follower and a turn.
 *
 * The one rule of durability: each effect carries `after`, the ticket of the PERSIST that must be durable
 * before the effect may happen; 0 = now. A leader's entries go out with after = 0 while its own disk is still
 * busy; a vote or an acknowledgement carries the ticket of the record it promises. Tickets count up from 1 in
 * each life of the engine.
 *
 * Logs: an engine keeps recent entries in memory. Entries that it needs and no longer has (a slow follower,
 * applying after a restart) it asks for with FETCH; the node reads the records that hold them from its log
 * and gives the raw records back with ENTRIES. Records and messages are opaque to everyone else.
 *
 * brief() gives the bytes that replace every record before the tail of the log: term, vote, members, and
 * where the log begins. They stand at the head of each log segment and in each checkpoint. */
#ifndef QR_CORE_ENGINE_H
#define QR_CORE_ENGINE_H

#include "base/base.h"
#include "core/members.h"
#include "core/trace.h"

typedef struct qr_engine qr_engine;

typedef enum qr_event_kind {
    QR_EVENT_TICK,       /* end of a turn, or wake_ms has come */
    QR_EVENT_RECV,       /* a message of a peer's engine */
    QR_EVENT_LINK,       /* the connection from a peer came up or broke. Down is a hint that the peer died */
    QR_EVENT_PROPOSE,    /* commands, in order, as one batch */
    QR_EVENT_READ,       /* which index must be applied before a read that starts now is linearizable? */
    QR_EVENT_DURABLE,    /* everything up to this ticket is on the disk */
    QR_EVENT_APPLIED,    /* the machine has applied up to index; digest of its state there */
    QR_EVENT_ENTRIES,    /* the answer to FETCH */
    QR_EVENT_CHECKPOINT, /* a checkpoint is durable here: own (the log before it may go) or received from a
                            peer */
    /* Propose this change of members. REFUSEd with the tag: NOT_LEADER, NO_LEADER, BUSY (another change is
     * under way, or nothing of the own term is committed yet), INVALID. Otherwise the engine goes there by
     * itself, through a joint configuration where voters change, and each MEMBERS entry is COMMITted; it has
     * arrived with the one that is not joint. A change that only fills in an incarnation is the engine's own:
     * a leader records the disk behind each member when it first hears of it. A member that comes back with a
     * newer incarnation (its disk was lost, or was damaged and put aside) is to everyone a stranger: the
     * leader makes it a learner with that incarnation (QR_ROLE_RETURNING), and a voter again when it has
     * caught up. Likewise a new voter that has not caught up yet: it is RETURNING first, and never missing in
     * a quorum. A wanted incarnation of 0 means "as it is". */
    QR_EVENT_MEMBERS,
    QR_EVENT_HANDOVER, /* leader: give leadership to target (0: to the best one) */
} qr_event_kind;

typedef struct qr_event {
    qr_event_kind kind;
    uint64_t now_ms; /* monotonic; never goes back within one life */
    union {
        struct {
            uint64_t from;
            uint64_t incarnation; /* the sender's */
            qr_slice bytes; /* borrowed for the step; not trusted: malformed bytes are dropped and counted */
        } recv;
        struct {
            uint64_t peer;
            bool up;
        } link;
        struct {
            const qr_slice *commands; /* borrowed for the step */
            size_t count;             /* at least 1 */
        } propose;
        struct {
            uint64_t tag; /* the node's name for a batch of reads; never used again */
        } read;
        struct {
            uint64_t ticket;
        } durable;
        struct {
            uint64_t index;
            uint64_t digest;
        } applied;
        struct {
            uint64_t from, to; /* as asked; inclusive */
            qr_status status;  /* QR_OK; NOT_FOUND: freed long ago; CORRUPT */
            const qr_slice
                *records; /* raw PERSIST records that cover from and as much of from..to as was read */
            size_t count;
        } entries;
        struct {
            uint64_t index, term; /* the last entry inside it */
            bool received;        /* from a peer: the log restarts behind it */
            qr_slice brief;       /* received: the brief it carried */
        } checkpoint;
        struct {
            const qr_members *wanted; /* the configuration to end in */
            uint64_t tag;
        } members;
        struct {
            uint64_t target;
        } handover;
    };
} qr_event;

typedef enum qr_effect_kind {
    QR_EFFECT_PERSIST,
    QR_EFFECT_SEND,
    QR_EFFECT_COMMIT,
    QR_EFFECT_READ_AT,
    QR_EFFECT_REFUSE,
    QR_EFFECT_FETCH,
    QR_EFFECT_SEND_CHECKPOINT,
    QR_EFFECT_ROLE,
    QR_EFFECT_HALT,
} qr_effect_kind;

typedef enum qr_entry_kind {
    QR_ENTRY_COMMAND = 1, /* bytes are one command */
    QR_ENTRY_MEMBERS = 2, /* bytes are an encoded qr_members */
    QR_ENTRY_NOOP = 3,    /* no bytes: the first entry of a term */
} qr_entry_kind;

typedef enum qr_engine_role {
    QR_FOLLOWER,
    QR_PRECANDIDATE,
    QR_CANDIDATE,
    QR_LEADER,
    QR_LEARNER,
} qr_engine_role;

typedef struct qr_effect {
    qr_effect_kind kind;
    uint64_t after; /* ticket that must be durable first; 0 = none */
    union {
        struct {
            uint64_t ticket;
            qr_slice record;
            size_t head; /* bytes of the record before those of its entries */
            /* The entries in the record, for FETCH; both 0 = none. They replace every entry from index_first
             * on that an earlier record held. */
            uint64_t index_first, index_last;
        } persist;
        struct {
            uint64_t to;
            qr_slice bytes;
            size_t head; /* of them before those of entries */
        } send;
        struct { /* each index once, in order, without gaps, from the first one of this life on */
            uint64_t index, term;
            qr_entry_kind kind;
            qr_slice bytes;
        } commit;
        struct { /* the read of that tag may be served once index is applied */
            uint64_t tag, index;
        } read_at;
        struct { /* surely not done by this engine now. PROPOSE: the whole batch of this step */
            qr_event_kind what; /* PROPOSE, READ, MEMBERS or HANDOVER */
            uint64_t tag;       /* READ, MEMBERS */
            uint64_t leader;    /* who may do it; 0 = nobody known */
            qr_status why;      /* NOT_LEADER, NO_LEADER, BUSY, INVALID, UNSUPPORTED */
        } refuse;
        struct {
            uint64_t from, to; /* inclusive; at most one FETCH is under way */
        } fetch;
        struct { /* the peer is behind the log: the node sends its newest checkpoint */
            uint64_t to;
        } send_checkpoint;
        struct {
            qr_engine_role role;
            uint64_t term, leader; /* 0 = no leader known */
        } role;
        struct {
            const char *why; /* a sentence; static */
        } halt;
    };
} qr_effect;

/* The effects of one step: valid until the next step of the same list. Owned by the caller of step(). */
typedef struct qr_effects {
    qr_effect *list;
    size_t count, room;
    qr_arena arena; /* for bytes an engine makes for its effects */
} qr_effects;

void qr_effects_init(qr_effects *effects);
void qr_effects_clear(qr_effects *effects);
void qr_effects_free(qr_effects *effects);
qr_effect *qr_effects_add(qr_effects *effects, qr_effect_kind kind, uint64_t after); /* zeroed union */
void qr_effects_refuse(qr_effects *effects, qr_event_kind what, uint64_t tag, uint64_t leader, qr_status why);

typedef struct qr_engine_config {
    uint64_t self;
    uint64_t incarnation;
    uint64_t seed;         /* of its own prng: election timeouts */
    uint32_t heartbeat_ms; /* > 0 */
    uint32_t election_ms;  /* > heartbeat_ms; timeouts are drawn from [election_ms, 2 * election_ms) */
    uint64_t now_ms;       /* at open */
    qr_members members;    /* of a new group; a recalled brief or entry overrides it */
    /* The machine's own checkpoint reaches this far: recalled entries up to here are looked at, but need not
     * be kept in memory, for nobody is likely to ask for them. */
    uint64_t applied_index;
    size_t memory_max;  /* bytes of entries kept in memory (recent ones; uncommitted ones always stay); 0 =
                           default */
    size_t message_max; /* bytes of entries in one message; 0 = default */
    qr_trace *trace;    /* may be NULL; borrowed */
    uint32_t bug; /* a planted bug of core/bugs.h; 0, and without effect unless built with -Dplanted_bugs */
} qr_engine_config;

typedef struct qr_engine_status {
    qr_engine_role role;
    uint64_t term, leader;
    uint64_t commit_index, last_index, first_index;
    qr_members members;     /* the configuration in force, and */
    uint64_t members_index; /* the entry that brought it; 0: there from the beginning */
    /* Leader only: what each member has, in the order of members.list; 0 elsewhere. */
    uint64_t match[QR_MEMBERS_MAX];
    bool alive[QR_MEMBERS_MAX]; /* leader only: itself, and who answered within the last election_ms */
} qr_engine_status;

typedef enum qr_opaque { QR_OPAQUE_MESSAGE, QR_OPAQUE_RECORD } qr_opaque;

typedef struct qr_engine_ops {
    const char *name; /* "raft" */
    uint8_t format;   /* the first byte of its messages, records and briefs: no two engines share one */
    /* For checkers: the same term at the same index means the same log up to there, committed or not (Raft,
     * 5.3). Otherwise that is said of what is committed. */
    bool logs_match;
    /* For checkers: entries are counted in the configuration of those before them, which is in force once it
     * is committed (Paxos). Otherwise in the newest one in the log (Raft, D 4.1). */
    bool counts_in_committed;
    qr_engine *(*open)(const qr_engine_config *config);
    /* At boot, before the first step: first the newest brief (is_brief), then every record after it, in
     * order. Borrowed. CORRUPT, BAD_VERSION: the member must not start. */
    qr_status (*recall)(qr_engine *engine, qr_slice record, bool is_brief);
    void (*step)(qr_engine *engine, const qr_event *event, qr_effects *effects);
    void (*brief)(const qr_engine *engine, qr_buffer *out);
    uint64_t (*wake_ms)(const qr_engine *engine); /* a TICK is wanted then; UINT64_MAX = never */
    const char *(*broken)(
        const qr_engine *engine); /* NULL, or the name of a violated invariant of its own state */
    void (*status)(const qr_engine *engine, qr_engine_status *status);
    /* For checkers: term of the entry at index, 0 if it is not in memory; its bytes. */
    uint64_t (*entry)(const qr_engine *engine, uint64_t index, qr_entry_kind *kind, qr_slice *bytes);
    void (*free)(qr_engine *engine);
    /* For a black box (doc/design/blackbox.md); NULL: this engine has none. image() gives the whole state,
     * between a TICK and the next event, with the entries that are still to be COMMITted redacted as
     * core/redact.h does it (whole: not), and of earlier ones the sizes; false: it would be longer than about
     * max bytes, as far as can be said without making it. restore() gives it to an engine that was just
     * opened with the same configuration; CORRUPT. Then equal events have equal effects, but for what
     * commands hold. */
    bool (*image)(const qr_engine *engine, bool whole, size_t max, qr_buffer *out);
    qr_status (*restore)(qr_engine *engine, bool whole, qr_slice image);
    /* A message or a record with its commands redacted, and back. Malformed ones become others that are
     * malformed as well. expand() is CORRUPT for what redact() never gives. */
    void (*redact)(qr_opaque what, qr_slice bytes, qr_buffer *out);
    qr_status (*expand)(qr_opaque what, qr_slice redacted, qr_buffer *out);
} qr_engine_ops;

/* What every engine's struct begins with. */
struct qr_engine {
    const qr_engine_ops *ops;
};

#endif

/* node: one replica. It puts an engine, a log and a machine together over the edges: requests and messages
 * come in, turns are taken, answers go out. Pure like the engine: no clock, no socket, no thread of its own,
 * no globals.
 *
 * A turn takes every request that is queued as one PROPOSE, and every read as one READ; does one write and
 * one sync; sends one message a follower; applies what is committed; answers. The caller (src/os, src/sim)
 * delivers whatever has arrived and then calls qr_node_turn() once.
 *
 * Writes on a member that is not the leader are forwarded to it, and forwarded again after an interruption:
 * the table of origins (core/command.h) makes that safe. The origin answers when *it* has applied the
 * command. */
#ifndef QR_NODE_NODE_H
#define QR_NODE_NODE_H

#include "base/base.h"
#include "box/box.h"
#include "core/engine.h"
#include "core/machine.h"
#include "core/trace.h"
#include "edge/edge.h"

typedef struct qr_node qr_node;

enum {
    QR_NODE_PENDING_MAX = 65536,                   /* requests waiting at one member; more: BUSY */
    QR_NODE_PENDING_BYTES_MAX = 256 * 1024 * 1024, /* of commands waiting at one member; more: BUSY */
    QR_NODE_REQUEST_MS = 7000,                     /* default patience: 5 s + two election timeouts of 1 s */
};

typedef struct qr_node_config {
    uint64_t cluster, group, self;
    uint64_t incarnation; /* for a new folder; wall-clock milliseconds of its making. An existing one keeps
                             its own */
    uint64_t seed;
    uint32_t heartbeat_ms, election_ms;
    uint64_t now_ms;
    int64_t wall_ms;
    qr_members members;        /* of a new group */
    uint64_t segment_size;     /* of the log; 0 = default */
    uint64_t checkpoint_bytes; /* of log between two checkpoints, at least; 0 = default (64 MiB), UINT64_MAX =
                                  never */
    uint64_t
        scrub_ms; /* a round in which members compare their states, at least so often; 0 = never by time */
    /* Makes an empty machine like .machine: a received checkpoint is loaded into a new one beside the old
     * one.
     */
    qr_machine *(*new_machine)(void *context);
    uint16_t level_max;   /* holds the cluster's level at this one or below while this member belongs to it;
                             0 = no hold */
    uint16_t apply_knows; /* the newest apply version it knows, as if it were an older program; 0 = all */
    size_t engine_memory_max, engine_message_max; /* 0 = defaults */
    uint32_t request_ms;                          /* patience with a request; 0 = default */
    const qr_engine_ops *engine;                  /* how to make the engine */
    qr_machine *machine;                          /* owned by the node from open on, also when open fails */
    qr_disk disk;
    qr_network network;
    size_t trace_room;                                                /* records; 0 = hash and sink only */
    void (*trace_sink)(void *context, const qr_trace_record *record); /* may be NULL */
    void *trace_context;
    const qr_box_sink *box; /* takes the recording of what the engine is told; borrowed; NULL: none is made */
    uint32_t bug;
    /* Told once, when the replica halts for good: a failed disk, a broken invariant. It answers nothing any
     * more. */
    void (*halted)(void *context, const char *sentence);
    /* Told at each change of role, term or leader. May be NULL. */
    void (*role)(void *context, qr_engine_role role, uint64_t term, uint64_t leader);
    /* Told when an entry that is applied here raises the feature level, also when a restarted member applies
     * its log again. May be NULL. */
    void (*level)(void *context, uint16_t level);
    /* "call turn() soon": something was queued from outside a turn. May be NULL. */
    void (*wake)(void *context);
    /* Told when the configuration in force here changes, when one was applied, and when this member is no
     * longer in a committed one. May be NULL. */
    void (*reconfigured)(void *context, const qr_members *members, bool removed);
    /* Each entry after it was applied, for checkers. May be NULL. */
    void (*applied)(void *context, uint64_t index, uint64_t term, qr_entry_kind kind, qr_slice bytes,
                    uint64_t digest);
    /* The state here is that of a checkpoint now, without the entries in between: one of the folder's while
     * opening, or (received) one of the leader's. Whoever follows the changes has missed some. May be NULL.
     */
    void (*restored)(void *context, uint64_t index, uint64_t term, uint64_t digest, uint64_t revision,
                     bool received);
    void *context;
} qr_node_config;

/* Before opening: goes on with a repair that was begun here, and lets a member that has put its log aside
 * begin as a learner in its own eyes, with a newer incarnation (changes config.members, config.incarnation).
 * CORRUPT with a sentence when there is such a repair and `repair` is false; IO, NO_SPACE. */
qr_status qr_node_prepare(qr_node_config *config, bool repair, qr_arena *arena, const char **sentence);
/* After opening has failed with CORRUPT: puts all files of the log aside, under names with "damaged-" before
 * them (an earlier such set is removed), and lets the member begin anew in the same way. The next
 * qr_node_open makes a new log; the others give the member back what it has lost. CORRUPT with a sentence: it
 * has no others. doc/design/members.md. */
qr_status qr_node_put_aside(qr_node_config *config, qr_arena *arena, const char **sentence);
/* Recovers from the folder. On failure *sentence (in the arena) names the cause. */
qr_status qr_node_open(const qr_node_config *config, qr_arena *arena, qr_node **node, const char **sentence);
void qr_node_free(qr_node *node); /* unanswered requests get STOPPED */

typedef enum qr_request_kind {
    QR_REQUEST_WRITE,       /* body: a command body for the machine; answered once applied here */
    QR_REQUEST_READ,        /* query: answered linearizably */
    QR_REQUEST_READ_LOCAL,  /* query: answered at once from what is applied here; may be stale */
    QR_REQUEST_HANDOVER,    /* target: give leadership away */
    QR_REQUEST_MEMBERS,     /* change: of the members; by any member, the leader does it */
    QR_REQUEST_LEASE_RENEW, /* lease: its time begins anew; result: qr_lease_time. LEASE_NOT_FOUND: it has
                               ended */
    QR_REQUEST_LEASE_TIME,  /* lease: how long it lasts; likewise */
} qr_request_kind;

/* Of a lease, by the leader's clock, confirmed by a quorum. After a renewal the lease lasts that long at
 * least. Else it is what the leader knows, and for a while after a change of leaders that may be too much. */
typedef struct qr_lease_time {
    uint64_t ttl_ms, remaining_ms;
} qr_lease_time;

typedef enum qr_change_kind {
    QR_CHANGE_ADD = 1,     /* id, as a learner; voter: it gets its vote by itself once it has caught up */
    QR_CHANGE_PROMOTE = 2, /* learner id becomes a voter; NOT_READY until it has caught up */
    QR_CHANGE_REMOVE = 3,  /* id */
    QR_CHANGE_REPLACE =
        4, /* voter id by learner id_new, in one joint step; NOT_READY until it has caught up */
} qr_change_kind;

/* Checked on the leader against the configuration in force and against who is alive: NOT_FOUND, EXISTS,
 * NOT_READY, QUORUM (too few of the members that would be left are alive), BUSY (another change is under
 * way), TOO_LARGE. Answered OK once the last configuration of the change is committed and applied at the
 * leader. */
typedef struct qr_change {
    qr_change_kind kind;
    uint64_t id, id_new;
    bool voter;
} qr_change;

typedef struct qr_reply {
    qr_status status;
    const void *result; /* the machine's; valid only during the call of done */
    uint64_t index;     /* of the log: where it was applied or read */
    uint64_t term;      /* the member's term when it answered */
} qr_reply;

typedef struct qr_request {
    qr_request_kind kind;
    qr_slice body;      /* WRITE: copied */
    const void *query;  /* READ, READ_LOCAL: must live until done */
    qr_slice principal; /* copied */
    uint64_t auth_revision;
    uint64_t target;  /* HANDOVER: member id */
    qr_change change; /* MEMBERS */
    int64_t lease;    /* LEASE_* */
    uint64_t
        deadline_ms; /* 0 = now + request_ms. After it: TIMEOUT, or NO_LEADER if it was surely not applied */
    /* Called exactly once for each accepted request, from within a turn or from qr_node_free. */
    void (*done)(void *owner, const qr_reply *reply);
    void *owner;
} qr_request;

/* QR_OK: accepted, done() will be called (never from inside submit). BUSY, TOO_LARGE, HALTED, INVALID: done()
 * will not be. */
qr_status qr_node_submit(qr_node *node, const qr_request *request);

/* ---- at once, between turns, from what is applied here: no older than what this member showed before it
 * restarted, and perhaps behind the leader. NOT_READY: a restarted member is not back there yet; HALTED; else
 * what the machine says. ---- */
qr_status qr_node_look(qr_node *node, const void *query, qr_arena *arena, const void **result);
qr_status qr_node_look_events(qr_node *node, const qr_events_query *query, qr_events_result *result);

/* ---- holding the past, for a range that is read in pieces (QR_QUERY_SCAN) ----
 * While somebody holds, nothing of the history here is freed, whatever is compacted: what could be read at
 * the revision of now, or at an older one that is not compacted yet, can be read at it until the hold ends.
 * It ends with let_go(), after QR_NODE_HOLD_MS (of the first of those that overlap), or when the state comes
 * from a peer. 0: not now, there is much to be freed first. */
enum { QR_NODE_HOLD_MS = 60 * 1000 };
uint64_t qr_node_hold(qr_node *node);
bool qr_node_holds(const qr_node *node, uint64_t hold); /* still */
void qr_node_let_go(qr_node *node, uint64_t hold);      /* ended or not; 0 too */

void qr_node_on_message(qr_node *node, uint64_t from, qr_slice message, uint64_t now_ms);
void qr_node_on_link(qr_node *node, uint64_t peer, bool up, uint64_t now_ms);
/* wall_ms: milliseconds since 1970, only for stamps. */
void qr_node_turn(qr_node *node, uint64_t now_ms, int64_t wall_ms);
uint64_t qr_node_wake_ms(const qr_node *node); /* when turn() is wanted even if nothing arrives */

/* The whole state in the folder of a stopped member: the checkpoint, and every entry of its log behind it.
 * Opens it as qr_node_open does (with the same repairs of a torn tail) and writes nothing else. NOT_FOUND: it
 * is empty. The machine is the caller's. */
typedef struct qr_node_salvaged {
    qr_machine *machine;
    uint64_t index, term; /* of the last entry */
    uint64_t entries;     /* of the log that were there */
    uint16_t level;
} qr_node_salvaged;
qr_status qr_node_salvage(const qr_node_config *config, qr_arena *arena, qr_node_salvaged *found,
                          const char **sentence);

/* The brief of a group that begins with these members, as it stands in a checkpoint that a new group is to
 * start from. */
void qr_node_found(const qr_engine_ops *engine, const qr_members *members, qr_buffer *out);

/* ---- a copy of the state, for a backup: a checkpoint made for someone outside ----
 * begin() makes a checkpoint of what is applied here now (or waits for the one under way and then makes it)
 * and keeps its file until end(), whatever other checkpoints come. ready(): once, with QR_OK and the size of
 * the file in bytes, or NO_SPACE, STOPPED, HALTED. read() gives the bytes of a part of the file, at most
 * QR_NODE_EXPORT_READ_MAX, to done(): one at a time, never from inside read(). NULL: QR_NODE_EXPORTS_MAX are
 * under way, or the node has halted. After end() nothing is called any more; qr_node_free() calls ready() or
 * done() of those that wait, with STOPPED, and their owners still call end(). */
enum { QR_NODE_EXPORTS_MAX = 4, QR_NODE_EXPORT_READ_MAX = 256 * 1024 };

typedef struct qr_node_export qr_node_export;
qr_node_export *qr_node_export_begin(
    qr_node *node, void (*ready)(void *owner, qr_status status, uint64_t index, uint64_t size), void *owner);
void qr_node_export_read(qr_node_export *export, uint64_t offset, size_t size,
                         void (*done)(void *owner, qr_status status, qr_slice bytes));
void qr_node_export_end(qr_node_export *export);

/* ---- watchers: a span of keys, followed from a revision on ----
 * A watcher is a position in the machine's history and nothing else: who is slow costs no memory, and is told
 * COMPACTED once the history it has not read is gone. Its owner is called from a turn when there is (or may
 * be) something for it, and takes it then or later. doc/design/watches.md. */
enum {
    QR_NODE_WATCHERS_MAX = 1 << 20, /* of a member */
    QR_NODE_WATCH_LOOK_MAX = 16384, /* events that one call of next() looks at, or one revision more */
};

typedef struct qr_watcher qr_watcher;

typedef struct qr_watch_config {
    qr_span span;   /* in QR_SPACE_KEYS; copied */
    uint64_t start; /* revision of the first event wanted, may lie ahead; 0 = the next one from now on */
    bool skip_puts, skip_deletes, want_previous;
    /* The watcher has started, or goes on: call next(), or keep it until there is room and call resume().
     * From inside qr_node_turn() or, for the last time, qr_node_free() or a halted turn. */
    void (*ready)(void *owner);
    void *owner;
} qr_watch_config;

/* Starts at once, or when a restarted member is back where it stood before. NULL: QR_NODE_WATCHERS_MAX, or
 * the node has halted. The owner calls end() in any case, also after qr_node_free(). */
qr_watcher *qr_node_watch(qr_node *node, const qr_watch_config *config);
void qr_node_watch_end(qr_watcher *watcher);
/* Only between ready() and the moment when the watcher is idle again: tells the events that come next, about
 * bytes_max of them, whole revisions only. COMPACTED: some that were wanted are gone, all before *compacted;
 * STOPPED, HALTED. Then, or if there is no room for more, nothing comes until resume(). */
qr_status qr_node_watch_next(qr_watcher *watcher, size_t bytes_max,
                             void (*tell)(void *context, const qr_kv_event *event), void *context,
                             uint64_t *compacted);
bool qr_node_watch_started(const qr_watcher *watcher);
bool qr_node_watch_idle(const qr_watcher *watcher); /* all was told; ready() comes with the next event */
void qr_node_watch_resume(qr_watcher *watcher);     /* not idle: ready() in one of the next turns */
/* Every event before this revision that is for the watcher was handed out, and none from it on. Once it has
 * started never below config.start. */
uint64_t qr_node_watch_position(const qr_watcher *watcher);

/* Of all watchers here. Takes time for each slow one. */
typedef struct qr_node_watch_figures {
    uint64_t watchers;
    uint64_t slow; /* that have revisions to read, whether these hold something for them or not */
    uint64_t lag;  /* of the slowest: such revisions */
} qr_node_watch_figures;
void qr_node_watch_figures_of(const qr_node *node, qr_node_watch_figures *figures);

typedef struct qr_node_status {
    uint64_t cluster, group, self, incarnation;
    uint64_t boot;
    qr_engine_status engine;
    uint64_t applied_index, applied_term, digest, revision;
    uint16_t level;                       /* in force as applied here */
    uint16_t level_told;                  /* the newest that this member says it knows, and */
    uint16_t level_known[QR_MEMBERS_MAX]; /* each of engine.members, in their order; 0 = not known now */
    uint64_t pending_writes, pending_reads;
    uint64_t leader_changes; /* leaders that have come, since the start */
    uint64_t log_bytes, log_segments;
    /* The newest durable checkpoint (0: none), and the transfers under way: to a peer and from one. */
    uint64_t checkpoint_index, checkpoint_bytes;
    int64_t checkpoint_wall_ms;
    bool checkpoint_running;
    uint64_t checkpoint_damaged; /* index of one that was too damaged to start from; 0 = none */
    struct qr_node_transfer {
        uint64_t peer, index, bytes, size; /* peer 0: none */
    } sending, receiving;
    bool halted, no_space;
    const char *halt_sentence; /* NULL unless halted */
    /* The disk: a sync took longer than an election timeout not long ago; age of the oldest record that is
     * not durable yet, 0 = none. */
    bool disk_slow;
    uint64_t oldest_sync_ms;
    bool handing_over; /* gives the leadership away, or tries to */
    /* The state of members is compared: one that a majority contradicts, 0 = none, and where. corrupt: they
     * differ and there is no majority; writes are refused with CORRUPT, reads go on. */
    uint64_t divergent, divergent_index;
    bool corrupt;
    uint64_t corrupt_index;
} qr_node_status;
void qr_node_status_of(const qr_node *node, qr_node_status *status);

/* The newest configuration that was applied here, so that it stays. NULL: not known yet, since a restarted
 * member is still applying its log. */
const qr_members *qr_node_members_applied(const qr_node *node);

/* The feature level in force as applied here (doc/design/level.md): what belongs to a higher one must not be
 * proposed yet. It only grows. */
uint16_t qr_node_level(const qr_node *node);

/* For checkers and tools. */
const qr_engine *qr_node_engine(const qr_node *node);
const qr_machine *qr_node_machine(const qr_node *node);
qr_trace *qr_node_trace(qr_node *node);
const char *qr_node_broken(const qr_node *node); /* NULL, or the name of a violated invariant */

/* Peer identities from names: the same on every member, so a static cluster needs no exchange before it
 * starts. */
uint64_t qr_node_member_id(qr_slice peer_urls_sorted, qr_slice token);
uint64_t qr_node_cluster_id(const qr_members *members, qr_slice token);

#endif

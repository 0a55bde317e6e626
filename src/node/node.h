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
    qr_members members;                           /* of a new group */
    uint64_t segment_size;                        /* of the log; 0 = default */
    size_t engine_memory_max, engine_message_max; /* 0 = defaults */
    uint32_t request_ms;                          /* patience with a request; 0 = default */
    const qr_engine_ops *engine;                  /* how to make the engine */
    qr_machine *machine;                          /* owned by the node from open on, also when open fails */
    qr_disk disk;
    qr_network network;
    size_t trace_room;                                                /* records; 0 = hash and sink only */
    void (*trace_sink)(void *context, const qr_trace_record *record); /* may be NULL */
    void *trace_context;
    uint32_t bug;
    /* Told once, when the replica halts for good: a failed disk, a broken invariant. It answers nothing any
     * more. */
    void (*halted)(void *context, const char *sentence);
    /* Told at each change of role, term or leader. May be NULL. */
    void (*role)(void *context, qr_engine_role role, uint64_t term, uint64_t leader);
    /* "call turn() soon": something was queued from outside a turn. May be NULL. */
    void (*wake)(void *context);
    /* Each entry after it was applied, for checkers. May be NULL. */
    void (*applied)(void *context, uint64_t index, uint64_t term, qr_entry_kind kind, qr_slice bytes,
                    uint64_t digest);
    void *context;
} qr_node_config;

/* Recovers from the folder. On failure *sentence (in the arena) names the cause. */
qr_status qr_node_open(const qr_node_config *config, qr_arena *arena, qr_node **node, const char **sentence);
void qr_node_free(qr_node *node); /* unanswered requests get STOPPED */

typedef enum qr_request_kind {
    QR_REQUEST_WRITE,      /* body: a command body for the machine; answered once applied here */
    QR_REQUEST_READ,       /* query: answered linearizably */
    QR_REQUEST_READ_LOCAL, /* query: answered at once from what is applied here; may be stale */
    QR_REQUEST_HANDOVER,   /* target: give leadership away */
} qr_request_kind;

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
    uint64_t target; /* HANDOVER: member id */
    uint64_t
        deadline_ms; /* 0 = now + request_ms. After it: TIMEOUT, or NO_LEADER if it was surely not applied */
    /* Called exactly once for each accepted request, from within a turn or from qr_node_free. */
    void (*done)(void *owner, const qr_reply *reply);
    void *owner;
} qr_request;

/* QR_OK: accepted, done() will be called (never from inside submit). BUSY, TOO_LARGE, HALTED, INVALID: done()
 * will not be. */
qr_status qr_node_submit(qr_node *node, const qr_request *request);

void qr_node_on_message(qr_node *node, uint64_t from, qr_slice message, uint64_t now_ms);
void qr_node_on_link(qr_node *node, uint64_t peer, bool up, uint64_t now_ms);
/* wall_ms: milliseconds since 1970, only for stamps. */
void qr_node_turn(qr_node *node, uint64_t now_ms, int64_t wall_ms);
uint64_t qr_node_wake_ms(const qr_node *node); /* when turn() is wanted even if nothing arrives */

typedef struct qr_node_status {
    uint64_t cluster, group, self, incarnation;
    uint64_t boot;
    qr_engine_status engine;
    uint64_t applied_index, applied_term, digest, revision;
    uint64_t pending_writes, pending_reads;
    uint64_t log_bytes, log_segments;
    bool halted, no_space;
    const char *halt_sentence; /* NULL unless halted */
} qr_node_status;
void qr_node_status_of(const qr_node *node, qr_node_status *status);

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

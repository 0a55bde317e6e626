/* machine: the contract of what is replicated. Same commands in the same order give the same state and the
 * same results, byte by byte, on every replica and on 32 and 64 bit. The key tree (src/tree) is one; an
 * embedder brings another.
 *
 * apply() is total: a command that cannot be done is answered with a status and changes nothing. It looks at
 * nothing but the command and the replicated state. */
#ifndef QR_CORE_MACHINE_H
#define QR_CORE_MACHINE_H

#include "base/base.h"
#include "core/command.h"
#include "core/events.h"

typedef struct qr_machine qr_machine;

enum { QR_MACHINE_FORESEEN = 16 };

/* A lease that the machine keeps: it ends by itself unless it is renewed in time. Time is the node's business
 * (doc/design/leases.md), which ends leases with the bodies of core/txn.h. */
typedef struct qr_machine_lease {
    int64_t id;          /* never 0 */
    uint64_t generation; /* log index of its grant */
    uint64_t ttl_ms;
} qr_machine_lease;

typedef struct qr_machine_ops {
    const char *name; /* "tree" */
    /* index: of the log. *result: private between the machine and whoever made the request (the tree's is a
     * qr_txn_result); it and all it points to live until the next call of apply, query or work, or die with
     * the arena. */
    qr_status (*apply)(qr_machine *machine, uint64_t index, const qr_command *command, qr_arena *arena,
                       const void **result);
    /* The bodies of commands that will probably be applied soon, at most QR_MACHINE_FORESEEN: a machine whose
     * state is larger than the processor's caches may ask for the memory that they will need, for all of them
     * at once. Changes nothing. May be NULL. */
    void (*foresee)(const qr_machine *machine, const qr_slice *bodies, size_t count);
    /* Asked at the member that a request came to, before it is proposed: QR_OK, or why this member refuses it
     * (its own memory is used up, say). Never part of apply: members may differ here, the replicated state
     * may not. May be NULL. */
    qr_status (*admit)(const qr_machine *machine, qr_slice body, qr_arena *arena);
    /* query: of the machine's own type (the tree's is a const qr_txn without writes). Changes nothing. */
    qr_status (*query)(qr_machine *machine, const void *query, qr_arena *arena, const void **result);
    /* Tells the events of a span from a revision on, whole revisions only. COMPACTED, with result->compacted:
     * some from there on are held no more. Changes nothing. NULL: the machine keeps no history. */
    qr_status (*events)(const qr_machine *machine, const qr_events_query *query, qr_events_result *result);
    /* Rolling digest of the state after the last apply: equal at equal index on all replicas. */
    uint64_t (*digest)(const qr_machine *machine);
    /* A counter that shows progress to people (the tree's revision); 0 if there is none. */
    uint64_t (*revision)(const qr_machine *machine);
    /* Asked on the leader, about once a second: true = propose this body (a compaction that history needs).
     */
    bool (*upkeep)(qr_machine *machine, int64_t wall_ms, qr_buffer *body);
    /* Housekeeping between turns that no result depends on, about budget units of it; true = more is left. */
    bool (*work)(qr_machine *machine, size_t budget);
    /* The lease with that id or, in the order of ids as unsigned numbers, the next one; false: there is none.
     * NULL: a machine without leases. */
    bool (*lease_from)(const qr_machine *machine, int64_t id, qr_machine_lease *lease);
    /* The epoch in force, 0 = none so far, and the log index that brought it. NULL: as above. */
    uint64_t (*lease_epoch)(const qr_machine *machine, uint64_t *index);
    /* Does the alarm of that member and kind (core/txn.h) stand, and raised, not just noted, if that is asked
     * for? NULL: a machine without alarms. */
    bool (*has_alarm)(const qr_machine *machine, uint64_t member, uint32_t kind, bool raised);
    /* Save in slices at the index of the last apply: begin, next until *done, end. Applies may come in
     * between; what is saved is the state at begin. load: the same chunks in the same order into an empty
     * machine. */
    qr_status (*save_begin)(qr_machine *machine);
    qr_status (*save_next)(qr_machine *machine, size_t budget, qr_buffer *out, bool *done);
    /* Once next has said *done: a sum of what was saved, read out of memory by that very walk. Equal at equal
     * index on all replicas, however each came to its state and however the slices fell. */
    uint64_t (*save_sum)(const qr_machine *machine);
    void (*save_end)(qr_machine *machine);
    qr_status (*load)(qr_machine *machine, qr_slice chunk, bool last);
    /* After the last chunk and before it is used: puts what was loaded in order, in slices of about budget
     * records; true = more is left. Only digest, revision, retire and free may be called meanwhile. NULL:
     * nothing to do. */
    bool (*settle)(qr_machine *machine, size_t budget);
    const char *(*broken)(
        const qr_machine *machine); /* NULL, or the name of a violated invariant; may be slow */
    void (*free)(qr_machine *machine);
    /* Free in slices of about budget units, for a machine that nobody uses any more: true = more is left, and
     * nothing but retire and free may be called. NULL: it is freed at once. */
    bool (*retire)(qr_machine *machine, size_t budget);
} qr_machine_ops;

struct qr_machine {
    const qr_machine_ops *ops;
};

#endif

/* trace: what happened, as typed records in a ring. Stories, crash dumps and the simulator's trace hash read
 * them. Each kind is declared once, here, with the names of its numbers. */
#ifndef QR_CORE_TRACE_H
#define QR_CORE_TRACE_H

#include "base/base.h"

/* kind, sentence for a story: %a %b %c %d stand for the numbers (decimal), %A.. for the same as a member's
 * name. */
#define QR_TRACE_LIST(X)                                                                                     \
    X(ROLE, "becomes %b (0 follower 1 pre-candidate 2 candidate 3 leader 4 learner) in term %a, leader %C")  \
    X(TIMEOUT, "has heard no leader since %b ms, asks for pre-votes for term %a")                            \
    X(VOTE_ASK, "asks %B for its vote in term %a (last entry %c of term %d)")                                \
    X(VOTE_GIVE, "gives its vote in term %a to %B")                                                          \
    X(VOTE_DENY, "denies its vote in term %a to %B (own last entry %c of term %d)")                          \
    X(PREVOTE_GIVE, "would vote for %B in term %a")                                                          \
    X(PREVOTE_DENY, "would not vote for %B in term %a")                                                      \
    X(APPEND, "appends entries %a to %b of term %c")                                                         \
    X(TRUNCATE, "drops its entries from %a on: they conflict with term %b of the leader")                    \
    X(REJECT, "rejects an append of %A: previous entry %b of term %c, hint %d")                              \
    X(COMMIT, "knows entries up to %a committed in term %b")                                                 \
    X(STEP_DOWN, "steps down in term %a: heard from no quorum for %b ms")                                    \
    X(READ_ROUND, "starts read round %a at index %b")                                                        \
    X(READ_DONE, "may serve reads of round %a at index %b")                                                  \
    X(HANDOVER, "hands leadership over to %A in term %b")                                                    \
    X(FETCH, "needs entries %a to %b from its log")                                                          \
    X(LINK, "link to %A: %b (0 down, 1 up)")                                                                 \
    X(DURABLE, "has everything up to ticket %a on disk")                                                     \
    X(APPLY, "applied entry %a: revision %b, digest %c")                                                     \
    X(FORWARD, "forwards commands %b to %c to leader %A")                                                    \
    X(REPLY, "answers request %a: status %b")                                                                \
    X(BOOT, "starts: incarnation %a, boot %b, log from entry %c to %d")                                      \
    X(HALT, "halts")                                                                                         \
    X(WAL_CUT, "cuts a torn tail of the log at position %a (%b bytes)")                                      \
    X(WAL_SEGMENT, "log goes on in segment %a")                                                              \
    X(DROP, "drops a malformed or foreign message of %A (reason %b)")                                        \
    X(COMPACT, "compacts to revision %a")                                                                    \
    X(MEMBERS, "members are in force from entry %a on: %b voters, %c learners")                              \
    X(DIVERGE, "finds that the state of %A differs from that of the majority at entry %b")                   \
    X(ALARM, "cannot tell whose state is right at entry %a, and refuses writes")                             \
    X(TROUBLE, "is in trouble with its disk (oldest sync %b ms, no space %c): hands over to %A")             \
    X(CHECKPOINT_BEGIN, "begins a checkpoint at entry %a")                                                   \
    X(CHECKPOINT_DONE, "has a checkpoint at entry %a (%b bytes) on its disk")                                \
    X(CHECKPOINT_FAIL, "gives up its checkpoint at entry %a: no space")                                      \
    X(CHECKPOINT_DAMAGED, "cannot use the checkpoint at entry %a (status %b)")                               \
    X(CHECKPOINT_LOAD, "starts from its checkpoint at entry %a: revision %b, digest %c")                     \
    X(CHECKPOINT_TOLD, "may do without its log up to entry %a")                                              \
    X(CHECKPOINT_SEND, "sends its checkpoint at entry %b (%c bytes) to %A")                                  \
    X(CHECKPOINT_CHUNK, "sends bytes %b to %c of %d of its checkpoint to %A")                                \
    X(CHECKPOINT_PART, "has bytes %b to %c of %d of the checkpoint of %A on its disk")                       \
    X(CHECKPOINT_TAKE, "takes over the checkpoint at entry %b of %A: revision %c, digest %d")                \
    X(SAVED, "has saved its state at entry %a: sum %b")                                                      \
    X(LEASE_TAKEOVER, "knows the deadlines of %a leases in term %b")                                         \
    X(LEASE_RENEW, "has renewed lease %a (granted at %b) for %c ms")                                         \
    X(LEASE_END, "proposes the end of %a leases, the first is %b")                                           \
    X(LEVEL_ASK, "proposes level %a: all members know it")                                                   \
    X(LEVEL, "is at level %a from entry %b on")

typedef enum qr_trace_kind {
    QR_TRACE_NONE,
#define QR_TRACE_ENUM(name, sentence) QR_TRACE_##name,
    QR_TRACE_LIST(QR_TRACE_ENUM)
#undef QR_TRACE_ENUM
        QR_TRACE_COUNT
} qr_trace_kind;

typedef struct qr_trace_record {
    uint64_t now_ms;
    uint64_t number[4];
    qr_trace_kind kind;
} qr_trace_record;

typedef struct qr_trace {
    qr_trace_record *ring; /* owned; NULL when records go to the sink only */
    size_t room;           /* records in the ring; a power of two, or 0 */
    uint64_t count;        /* records ever */
    uint64_t hash;         /* of all records ever: equal runs have equal hashes */
    uint64_t now_ms;       /* set by the owner before each turn; stamped on records */
    void (*sink)(void *context, const qr_trace_record *record); /* may be NULL */
    void *context;
} qr_trace;

void qr_trace_init(qr_trace *trace, size_t room);
void qr_trace_free(qr_trace *trace);
/* trace may be NULL. */
void qr_trace_add(qr_trace *trace, qr_trace_kind kind, uint64_t a, uint64_t b, uint64_t c, uint64_t d);
/* One line without newline: the sentence with its numbers. name_of turns a member id into a name (may be
 * NULL). */
void qr_trace_say(const qr_trace_record *record, const char *(*name_of)(void *context, uint64_t id),
                  void *context, qr_buffer *out);

#endif

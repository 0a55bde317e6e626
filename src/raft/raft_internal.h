/* What the files of this room share. One member's engine is one struct; each file owns a part of it:
 *   log.c        the entries                      recall.c     records, brief, boot, checkpoints
 *   election.c   terms, votes, roles              replicate.c  leader and follower of APPEND, commit
 *   read.c       linearizable reads               fetch.c      entries that only the disk has, COMMIT effects
 *   message.c    bytes of messages                members.c    configurations, and the way between them
 *   image.c      the whole state as bytes, for a black box
 *   raft.c       the contract: events in, effects out
 *
 * A turn: each event changes the state and notes what is to be said; TICK, the last event of a turn, says it
 * (PERSIST first, then one message a peer, then COMMIT). So any number of proposals and messages of a turn
 * become one record and one message. */
#ifndef QR_RAFT_RAFT_INTERNAL_H
#define QR_RAFT_RAFT_INTERNAL_H

#include "core/bugs.h"
#include "core/engine.h"
#include "core/reads.h"
#include "core/steps.h"
#include "raft/log.h"
#include "raft/message.h"
#include "raft/raft.h"

enum {
    QR_RAFT_FORMAT = 1,                        /* first byte of messages, records and briefs */
    QR_RAFT_MEMORY_DEFAULT = 16 * 1024 * 1024, /* bytes of entries kept in memory */
    QR_RAFT_RECALL_FACTOR = 4, /* as much more at a start: what is not applied yet is not read twice */
    QR_RAFT_MESSAGE_DEFAULT = 1024 * 1024,       /* bytes of entries in one message, or one entry */
    QR_RAFT_ENTRY_MAX = 8 * 1024 * 1024,         /* bytes of one command */
    QR_RAFT_RECORD_MAX = 8 * 1024 * 1024,        /* bytes of entries in one record, or one entry */
    QR_RAFT_UNCOMMITTED_MAX = 256 * 1024 * 1024, /* bytes a leader takes before it says BUSY */
    QR_RAFT_OUTBOX_MAX = 4096, /* small messages of one turn; more are dropped: peers ask again */
    QR_RAFT_COMMIT_BYTES_MAX = 1024 * 1024, /* of COMMIT effects in one step */
    QR_RAFT_COMMIT_COUNT_MAX = 512,         /* applying and answering one takes 4 to 6 us */
    QR_RAFT_CONFIGS_MAX = 64,               /* configurations remembered: the committed one and later ones */
};

/* Terms and indexes above this are refused: no sum of two of them wraps around (facts row 32). */
#define QR_RAFT_NUMBER_MAX (UINT64_C(1) << 62)

typedef struct qr_raft_config_row { /* a configuration, in force from index on (D 4.1) */
    uint64_t index;
    qr_members members;
} qr_raft_config_row;

typedef struct qr_raft_ticket { /* a record on its way to the disk */
    uint64_t ticket;
    uint64_t last; /* the log is durable up to here with it */
} qr_raft_ticket;

typedef struct qr_raft_mail { /* a small message, said at the end of the turn */
    uint64_t to;
    bool promises; /* not before the term and vote of this turn are durable */
    qr_raft_message message;
} qr_raft_mail;

typedef struct qr_raft_fetched { /* old entries read back from the disk; all of one run of indexes */
    uint64_t first;
    size_t count, room;
    struct qr_raft_fetched_row {
        uint64_t term;
        size_t offset;
    } * rows;
    qr_buffer bytes;
} qr_raft_fetched;

/* What is added here, above, or to core/peers.h and core/reads.h, and lives longer than a turn belongs into
 * image.c as well. */
typedef struct qr_raft_engine {
    qr_engine base;
    qr_engine_config config; /* members: of a new group only */
    qr_prng prng;
    qr_effects *effects; /* of the running step; NULL outside */
    uint64_t now_ms;
    bool stepped; /* recall is over */
    bool halted;
    bool untold; /* events came since the last TICK */
    bool more;   /* COMMIT effects or appends were held back: how much a step has of them is bounded */

    /* Term, vote, log: what survives a crash (5.2, figure 2 "persistent state"). */
    uint64_t term, vote;
    bool hard_unsaved;    /* term or vote are in no record yet */
    uint64_t hard_ticket; /* of the newest record with term and vote */
    uint64_t hard_ms;     /* when it was written */
    qr_raft_log log;
    uint64_t unsaved_first; /* entries from here on are in no record yet */
    bool restart_unsaved;   /* the log was restarted behind a checkpoint */
    uint64_t durable_index; /* own entries up to here are on the own disk */
    uint64_t tickets, durable_ticket;
    qr_raft_ticket *flights; /* ring, oldest first */
    size_t flight_first, flight_count, flight_room;
    /* Recall only: the log's beginning is settled (a record after the brief may begin later than the brief
     * says), and where the brief or a restart put it. */
    bool base_found;
    uint64_t base_brief;

    qr_raft_config_row configs[QR_RAFT_CONFIGS_MAX]; /* oldest first; the last one is in force */
    uint32_t config_count;

#ifdef QR_PLANTED_BUGS
    qr_members spoilt;
#endif

    uint64_t commit, emitted, applied;

    qr_engine_role role;
    uint64_t leader; /* 0 = none known */
    struct {
        bool valid;
        qr_engine_role role;
        uint64_t term, leader;
    } traced, reported;

    /* Election */
    uint64_t deadline_ms; /* not the leader: (pre-)election starts */
    uint64_t heard_ms;    /* from the leader */
    bool heard_any;       /* a leader, in this life */
    uint64_t gone_leader; /* the leader whose connection broke, 0 = none */
    uint32_t attempts;    /* elections since a leader was heard */
    uint32_t votes;       /* answers, not voters: planted bug only */
    bool postponed;       /* gave way to another's pre-election once */

    /* Follower of the leader of this term */
    uint64_t matched; /* own log agrees with the leader's up to here */
    bool answer_due, reject_due;
    uint64_t answered_match, answered_ms;
    qr_raft_message reject;

    qr_reads reads;

    /* Leader, and who wants to be one */
    qr_peers peers;
    uint64_t heartbeat_ms; /* next heartbeat is due */
    bool heartbeat_due;    /* in this turn */
    uint64_t noop_index;   /* first entry of the own term */
    uint64_t uncommitted_bytes;
    uint64_t handover_to, handover_ms; /* target, deadline; 0 = none */
    bool handover_said;

    /* Fetch */
    qr_raft_fetched fetched;
    bool fetch_running;
    uint64_t fetch_from, fetch_to, fetch_term; /* term: of fetch_from when it was asked for */
    uint32_t fetch_turn;                       /* whose peer's want is looked at first */
    uint64_t want_from, want_to;
    bool want_for_self;

    qr_raft_mail *outbox;
    size_t outbox_count, outbox_room;
    qr_slice told; /* the last append of this turn, in the arena of effects */
    qr_buffer scratch;
} qr_raft_engine;

/* raft.c */
void qr_raft_halt(qr_raft_engine *raft, const char *sentence);
void qr_raft_say(qr_raft_engine *raft, uint64_t to, bool promises, const qr_raft_message *message);
void qr_raft_refuse(qr_raft_engine *raft, qr_event_kind what, uint64_t tag, qr_status why);
static inline const qr_members *qr_raft_members(const qr_raft_engine *raft)
{
    return &raft->configs[raft->config_count - 1].members;
}
static inline void qr_raft_trace(qr_raft_engine *raft, qr_trace_kind kind, uint64_t a, uint64_t b, uint64_t c,
                                 uint64_t d)
{
    qr_trace_add(raft->config.trace, kind, a, b, c, d);
}

/* election.c */
void qr_raft_timer_reset(qr_raft_engine *raft);
void qr_raft_follow(qr_raft_engine *raft, uint64_t term, uint64_t leader);
bool qr_raft_leader_alive(const qr_raft_engine *raft);
bool qr_raft_alone(const qr_raft_engine *raft);               /* the only voter */
uint64_t qr_raft_quorum_heard_ms(const qr_raft_engine *raft); /* leader: when a quorum was last heard */
void qr_raft_election_tick(qr_raft_engine *raft);
void qr_raft_campaign(qr_raft_engine *raft, bool forced);
bool qr_raft_vote_pending(const qr_raft_engine *raft);
void qr_raft_vote_durable(qr_raft_engine *raft, uint64_t took_ms);
void qr_raft_count_votes(qr_raft_engine *raft);
void qr_raft_on_prevote_ask(qr_raft_engine *raft, uint64_t from, const qr_raft_message *message);
void qr_raft_on_prevote_answer(qr_raft_engine *raft, uint64_t from, const qr_raft_message *message);
void qr_raft_on_vote_ask(qr_raft_engine *raft, uint64_t from, const qr_raft_message *message);
void qr_raft_on_vote_answer(qr_raft_engine *raft, uint64_t from, const qr_raft_message *message);
void qr_raft_on_timeout_now(qr_raft_engine *raft, uint64_t from);
void qr_raft_on_link(qr_raft_engine *raft, uint64_t id, bool up);
void qr_raft_on_handover(qr_raft_engine *raft, uint64_t target);
void qr_raft_handover_tick(qr_raft_engine *raft);

/* members.c */
bool qr_raft_is_voter(const qr_raft_engine *raft); /* by the configuration in force, with this disk */
bool qr_raft_may_stand(const qr_raft_engine *raft);
bool qr_raft_may_vote(const qr_raft_engine *raft);
const qr_members *qr_raft_counted(const qr_raft_engine *raft);
void qr_raft_config_in_force(qr_raft_engine *raft); /* peers and role by it */
void qr_raft_config_add(qr_raft_engine *raft, uint64_t index, const qr_members *members);
void qr_raft_config_cut(qr_raft_engine *raft,
                        uint64_t index); /* forgets those from index on (facts row 16) */
void qr_raft_on_members(qr_raft_engine *raft, const qr_members *wanted, uint64_t tag);
void qr_raft_members_lead(qr_raft_engine *raft);
void qr_raft_members_tick(qr_raft_engine *raft);
void qr_raft_members_retire(qr_raft_engine *raft);
const char *qr_raft_members_broken(const qr_raft_engine *raft);

/* replicate.c */
void qr_raft_lead(qr_raft_engine *raft); /* the state of a new leader */
void qr_raft_add_entry(qr_raft_engine *raft, uint64_t term, qr_entry_kind kind, qr_slice bytes);
/* What the last entry of the log, of which these are the bytes, means to the configuration. */
void qr_raft_entry_added(qr_raft_engine *raft, qr_entry_kind kind, qr_slice bytes);
void qr_raft_on_propose(qr_raft_engine *raft, const qr_slice *commands, size_t count);
void qr_raft_on_append(qr_raft_engine *raft, uint64_t from, const qr_raft_message *message);
void qr_raft_on_append_answer(qr_raft_engine *raft, uint64_t from, const qr_raft_message *message);
void qr_raft_commit_to(qr_raft_engine *raft, uint64_t index);
void qr_raft_leader_count(qr_raft_engine *raft);  /* commits what a quorum has */
void qr_raft_leader_tick(qr_raft_engine *raft);   /* sends */
void qr_raft_follower_tick(qr_raft_engine *raft); /* answers */

/* read.c */
void qr_raft_on_read(qr_raft_engine *raft, uint64_t tag);
void qr_raft_on_read_ask(qr_raft_engine *raft, uint64_t from, const qr_raft_message *message);
void qr_raft_on_read_answer(qr_raft_engine *raft, uint64_t from, const qr_raft_message *message);
void qr_raft_reads_refuse(qr_raft_engine *raft); /* all of them: leader or term changed */
void qr_raft_reads_tick(qr_raft_engine *raft);

/* recall.c */
qr_status qr_raft_recall(qr_raft_engine *raft, qr_slice record, bool is_brief);
void qr_raft_recall_end(qr_raft_engine *raft); /* before the first step */
void qr_raft_brief(const qr_raft_engine *raft, qr_buffer *out);
void qr_raft_persist(qr_raft_engine *raft); /* emits what is unsaved */
void qr_raft_on_durable(qr_raft_engine *raft, uint64_t ticket);
void qr_raft_on_checkpoint(qr_raft_engine *raft, const qr_event *event);
/* The entries of a raw record; count 0 if it holds none. */
typedef struct qr_raft_record {
    bool has_hard, restarts; /* a brief has and does both */
    uint64_t term, vote;
    uint64_t base_index, base_term; /* restarts */
    uint64_t first, prev_term, count;
    qr_reader entries;
    uint32_t config_count;
    qr_raft_config_row configs[QR_RAFT_CONFIGS_MAX]; /* the last member: more than a megabyte */
} qr_raft_record;
qr_status qr_raft_record_decode(qr_slice bytes, qr_raft_record *record);
void qr_raft_truncate(qr_raft_engine *raft, uint64_t index); /* the log, and all that was built on it */

/* fetch.c */
bool qr_raft_entry_read(const qr_raft_engine *raft, uint64_t index,
                        qr_raft_view *view); /* memory, or fetched */
/* The last of the entries from..to that fit in bytes_max (the first one always fits) and are at hand without
 * a gap, and their bytes; from - 1 if the first one is not at hand. */
uint64_t qr_raft_measure(const qr_raft_engine *raft, uint64_t from, uint64_t to, size_t bytes_max,
                         size_t *bytes);
/* Copies the encodings of from..to, which are at hand; returns the end of what was written. */
uint8_t *qr_raft_copy(const qr_raft_engine *raft, uint64_t from, uint64_t to, uint8_t *at);
void qr_raft_want(qr_raft_engine *raft, uint64_t from, uint64_t to, bool for_self);
void qr_raft_emit(qr_raft_engine *raft);
void qr_raft_fetch_tick(qr_raft_engine *raft);
void qr_raft_on_entries(qr_raft_engine *raft, const qr_event *event);

/* image.c: see qr_engine_ops */
bool qr_raft_image(const qr_engine *engine, bool whole, size_t max, qr_buffer *out);
qr_status qr_raft_restore(qr_engine *engine, bool whole, qr_slice image);
void qr_raft_redact(qr_opaque what, qr_slice bytes, qr_buffer *out);
qr_status qr_raft_expand(qr_opaque what, qr_slice redacted, qr_buffer *out);

#endif

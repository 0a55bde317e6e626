/* What the files of this room share. One member's engine is one struct; each file owns a part of it:
 *   log.c        the slots                        record.c     records, brief, boot
 *   ballot.c     ballots, promises, roles, timers checkpoint.c the log begins behind a checkpoint
 *   phase1.c     the would-be leader's phase 1    leader.c     phase 2 of the leader
 *   acceptor.c   phase 2 of the others            members.c    configurations, and the way between them
 *   read.c       linearizable reads               fetch.c      slots that only the disk has, COMMIT effects
 *   message.c    bytes of messages                paxos.c      the contract: events in, effects out
 *
 * Every member is acceptor and learner, and may become the proposer (PMS 2.4).
 *
 * A turn: each event changes the state and notes what is to be said; TICK, the last event of a turn, says it
 * (PERSIST first, then messages, then COMMIT). */
#ifndef QR_PAXOS_INSIDE_H
#define QR_PAXOS_INSIDE_H

#include "core/bugs.h"
#include "core/engine.h"
#include "core/reads.h"
#include "core/steps.h"
#include "paxos/log.h"
#include "paxos/message.h"
#include "paxos/paxos.h"

enum {
    QR_PAXOS_FORMAT = 'p',                      /* first byte of messages, records and briefs */
    QR_PAXOS_MEMORY_DEFAULT = 16 * 1024 * 1024, /* bytes of slots kept in memory */
    QR_PAXOS_RECALL_FACTOR = 4,                 /* as much more at a start: it is about to be applied */
    QR_PAXOS_MESSAGE_DEFAULT = 1024 * 1024,     /* bytes of entries in one message, or one entry */
    QR_PAXOS_ENTRY_MAX = 8 * 1024 * 1024,       /* bytes of one command */
    QR_PAXOS_RECORD_MAX = 8 * 1024 * 1024,      /* bytes of entries in one record, or one entry */
    QR_PAXOS_UNCHOSEN_MAX = 256 * 1024 * 1024,  /* bytes a leader takes before it says BUSY */
    QR_PAXOS_OUTBOX_MAX = 4096,                 /* small messages of one turn; peers ask again */
    QR_PAXOS_COMMIT_BYTES_MAX = 1024 * 1024,    /* of COMMIT effects in one step */
    QR_PAXOS_COMMIT_COUNT_MAX = 512,
    QR_PAXOS_CONFIGS_MAX = 64, /* configurations remembered: a brief has 64 KiB */
};

/* Ballots and slots above this are refused: no sum of two of them wraps around. */
#define QR_PAXOS_NUMBER_MAX (UINT64_C(1) << 62)

typedef struct qr_paxos_config_row { /* a configuration, in force behind slot index */
    uint64_t index;
    qr_members members;
} qr_paxos_config_row;

typedef struct qr_paxos_ticket { /* a record on its way to the disk */
    uint64_t ticket;
    uint64_t last; /* the slots are durable up to here with it */
} qr_paxos_ticket;

typedef struct qr_paxos_mail { /* a message without entries, said at the end of the turn */
    uint64_t to;
    bool promises; /* not before all that this member knows now is durable */
    qr_paxos_message message;
} qr_paxos_mail;

/* Slots that are kept beside the log: what promises told, or what came back from the disk. */
typedef struct qr_paxos_shelf {
    uint64_t first;
    size_t count, room;
    struct qr_paxos_shelf_row {
        uint64_t ballot, born;
        qr_entry_kind kind;
        size_t offset, size;
    } * rows;
    qr_buffer bytes;
} qr_paxos_shelf;

typedef struct qr_paxos_engine {
    qr_engine base;
    qr_engine_config config; /* members: of a new group only */
    qr_prng prng;
    qr_effects *effects; /* of the running step; NULL outside */
    uint64_t now_ms;
    bool stepped; /* recall is over */
    bool halted;
    bool untold; /* events came since the last TICK */
    bool more;   /* COMMIT effects or accepts were held back: how much a step has of them is bounded */

    /* Acceptor (PMS 2.2): what survives a crash. */
    uint64_t ballot, promised_to; /* the highest ballot promised, and to whom; 0 = known, but not promised */
    bool hard_unsaved;            /* they are in no record yet */
    uint64_t hard_ticket;         /* of the newest record that changed them */
    uint64_t hard_ms;             /* when it was written */
    qr_paxos_log log;
    uint64_t unsaved_first; /* slots from here on are in no record yet */
    bool restart_unsaved;   /* the log was restarted behind a checkpoint */
    uint64_t durable_index; /* own slots up to here are on the own disk as they are */
    uint64_t tickets, durable_ticket;
    qr_paxos_ticket *flights; /* ring, oldest first */
    size_t flight_first, flight_count, flight_room;
    bool base_found;        /* recall only: the log's beginning is settled */
    uint64_t base_brief;    /* recall only: where a brief or a restart put it */
    uint64_t recalled_last; /* recall only: the last slot of the newest record with entries */
    uint64_t taken; /* slots up to here are chosen, or accepted in the ballot in force: without a gap */

    /* Learner */
    /* Those of chosen slots: the one in force at the log's base, and what came since; the last one is in
     * force. */
    qr_paxos_config_row configs[QR_PAXOS_CONFIGS_MAX];
    size_t config_count; /* at least 1 */
    uint64_t chosen, emitted, applied;

    qr_engine_role role;
    uint64_t leader; /* 0 = none known */
    struct {
        bool valid;
        qr_engine_role role;
        uint64_t ballot, leader;
    } traced, reported;

    /* Timers, and the way to leadership */
    uint64_t deadline_ms; /* not the leader: a canvass starts */
    uint64_t heard_ms;    /* from the leader */
    bool heard_any;       /* a leader, in this life */
    uint64_t gone_leader; /* the leader whose connection broke, 0 = none */
    uint32_t attempts;    /* canvasses since a leader was heard */
    bool postponed;       /* gave way to another's canvass once */
    bool prepare_due;     /* in this turn */
    bool forced;          /* the running ballot was asked for by the leader before */
    qr_paxos_shelf
        shelf; /* what promises of the running ballot told of slots that are not known to be chosen */

    /* Follower of the leader of this ballot */
    bool answer_due, reject_due;
    uint64_t reject_first;
    uint64_t answered_match, answered_ms;

    qr_reads reads;

    /* Leader, and who wants to be one */
    qr_peers peers;
    bool proposing;        /* phase 1 is complete for all slots behind `taken` */
    uint64_t heartbeat_ms; /* next heartbeat is due */
    bool heartbeat_due;    /* in this turn */
    uint64_t noop_index;   /* first fresh value of the own ballot; 0 = none yet */
    uint64_t unchosen_bytes;
    uint64_t handover_to, handover_ms; /* target, deadline; 0 = none */
    bool handover_said;

    /* Fetch */
    qr_paxos_shelf fetched; /* chosen slots */
    bool fetch_running;
    uint64_t fetch_from, fetch_to;
    uint32_t fetch_turn; /* whose peer's want is looked at first */
    uint64_t want_from, want_to;

    qr_paxos_mail *outbox;
    size_t outbox_count, outbox_room;
    qr_buffer scratch;
} qr_paxos_engine;

/* paxos.c */
void qr_paxos_halt(qr_paxos_engine *paxos, const char *sentence);
void qr_paxos_say(qr_paxos_engine *paxos, uint64_t to, bool promises, const qr_paxos_message *message);
/* Sends message with the entries from its first slot on up to `to`, as many as fit and are at hand, at once;
 * returns the last slot in it. after: the ticket it waits for. */
uint64_t qr_paxos_send_entries(qr_paxos_engine *paxos, uint64_t peer, uint64_t after,
                               qr_paxos_message *message, uint64_t to, size_t *bytes);
void qr_paxos_refuse(qr_paxos_engine *paxos, qr_event_kind what, uint64_t tag, qr_status why);
static inline const qr_members *qr_paxos_members(const qr_paxos_engine *paxos)
{
    return &paxos->configs[paxos->config_count - 1].members;
}
/* To all others it leads once phase 1 is complete. */
static inline qr_engine_role qr_paxos_role(const qr_paxos_engine *paxos)
{
    return paxos->role == QR_LEADER && paxos->noop_index == 0 ? QR_CANDIDATE : paxos->role;
}
static inline void qr_paxos_trace(qr_paxos_engine *paxos, qr_trace_kind kind, uint64_t a, uint64_t b,
                                  uint64_t c, uint64_t d)
{
    qr_trace_add(paxos->config.trace, kind, a, b, c, d);
}

/* ballot.c */
void qr_paxos_timer_reset(qr_paxos_engine *paxos);
void qr_paxos_timer_retry(qr_paxos_engine *paxos);
void qr_paxos_note_role(qr_paxos_engine *paxos);
void qr_paxos_ballot_set(qr_paxos_engine *paxos, uint64_t ballot, uint64_t promised_to);
void qr_paxos_follow(qr_paxos_engine *paxos, uint64_t ballot, uint64_t leader);
qr_engine_role qr_paxos_settled_role(const qr_paxos_engine *paxos);
bool qr_paxos_leader_alive(const qr_paxos_engine *paxos);
bool qr_paxos_alone(const qr_paxos_engine *paxos);               /* the only voter */
uint64_t qr_paxos_quorum_heard_ms(const qr_paxos_engine *paxos); /* leader: when a quorum was last heard */
void qr_paxos_ballot_tick(qr_paxos_engine *paxos);
bool qr_paxos_promise_pending(const qr_paxos_engine *paxos);
void qr_paxos_promise_durable(qr_paxos_engine *paxos, uint64_t took_ms);
void qr_paxos_on_canvass(qr_paxos_engine *paxos, uint64_t from, const qr_paxos_message *message);
void qr_paxos_on_canvass_answer(qr_paxos_engine *paxos, uint64_t from, const qr_paxos_message *message);
void qr_paxos_on_prepare(qr_paxos_engine *paxos, uint64_t from, const qr_paxos_message *message);
void qr_paxos_on_take_over(qr_paxos_engine *paxos, uint64_t from);
void qr_paxos_on_link(qr_paxos_engine *paxos, uint64_t id, bool up);
void qr_paxos_on_handover(qr_paxos_engine *paxos, uint64_t target);
void qr_paxos_handover_tick(qr_paxos_engine *paxos);

/* phase1.c */
void qr_paxos_shelf_clear(qr_paxos_shelf *shelf, uint64_t first);
bool qr_paxos_shelf_read(const qr_paxos_shelf *shelf, uint64_t index, qr_paxos_view *view);
void qr_paxos_shelf_put(qr_paxos_shelf *shelf, uint64_t index, const qr_paxos_view *view);
void qr_paxos_shelf_cut(qr_paxos_shelf *shelf, uint64_t index); /* forgets slots from index on */
void qr_paxos_shelf_free(qr_paxos_shelf *shelf);
void qr_paxos_campaign(qr_paxos_engine *paxos, bool forced);
void qr_paxos_count_promises(qr_paxos_engine *paxos);
void qr_paxos_prepare_tick(qr_paxos_engine *paxos);
void qr_paxos_on_promise(qr_paxos_engine *paxos, uint64_t from, const qr_paxos_message *message);
void qr_paxos_on_chosen(qr_paxos_engine *paxos, const qr_paxos_message *message);

/* leader.c */
void qr_paxos_lead(qr_paxos_engine *paxos);                               /* the state of a new leader */
void qr_paxos_propose(qr_paxos_engine *paxos, const qr_paxos_view *view); /* into slot taken + 1 */
void qr_paxos_on_propose(qr_paxos_engine *paxos, const qr_slice *commands, size_t count);
void qr_paxos_on_accepted(qr_paxos_engine *paxos, uint64_t from, const qr_paxos_message *message);
void qr_paxos_leader_count(qr_paxos_engine *paxos); /* what a quorum has accepted is chosen */
void qr_paxos_leader_tick(qr_paxos_engine *paxos);  /* sends */

/* acceptor.c */
void qr_paxos_put(qr_paxos_engine *paxos, uint64_t index, const qr_paxos_view *view);
void qr_paxos_choose(qr_paxos_engine *paxos, uint64_t index); /* slots up to index are chosen */
void qr_paxos_taken_reset(qr_paxos_engine *paxos);
void qr_paxos_on_accept(qr_paxos_engine *paxos, uint64_t from, const qr_paxos_message *message);
void qr_paxos_follower_tick(qr_paxos_engine *paxos); /* answers */

/* members.c */
bool qr_paxos_is_voter(const qr_paxos_engine *paxos); /* by the configuration in force, with this disk */
bool qr_paxos_may_promise(const qr_paxos_engine *paxos);
void qr_paxos_config_in_force(qr_paxos_engine *paxos);
void qr_paxos_config_add(qr_paxos_engine *paxos, uint64_t index, qr_slice bytes);
void qr_paxos_config_set(qr_paxos_engine *paxos, const qr_paxos_config_row *rows, size_t count);
void qr_paxos_config_forget(qr_paxos_engine *paxos, uint64_t base); /* those that base has replaced */
void qr_paxos_on_members(qr_paxos_engine *paxos, const qr_members *wanted, uint64_t tag);
void qr_paxos_members_tick(qr_paxos_engine *paxos);
void qr_paxos_members_retire(qr_paxos_engine *paxos);
const char *qr_paxos_members_broken(const qr_paxos_engine *paxos);

/* read.c */
void qr_paxos_on_read(qr_paxos_engine *paxos, uint64_t tag);
void qr_paxos_on_read_ask(qr_paxos_engine *paxos, uint64_t from, const qr_paxos_message *message);
void qr_paxos_on_read_answer(qr_paxos_engine *paxos, uint64_t from, const qr_paxos_message *message);
void qr_paxos_reads_refuse(qr_paxos_engine *paxos); /* all of them: leader or ballot changed */
void qr_paxos_reads_tick(qr_paxos_engine *paxos);

/* record.c */
typedef struct qr_paxos_record {
    uint64_t ballot, promised_to, chosen;
    bool restarts; /* a brief does */
    uint64_t base, base_term;
    qr_paxos_config_row *configs; /* owned */
    size_t config_count;
    uint64_t first, prev_term, count; /* count 0: no entries */
    qr_reader entries;
} qr_paxos_record;
qr_status qr_paxos_record_decode(qr_slice bytes, qr_paxos_record *record); /* free it in any case */
void qr_paxos_record_free(qr_paxos_record *record);
qr_status qr_paxos_recall(qr_paxos_engine *paxos, qr_slice record, bool is_brief);
void qr_paxos_recall_end(qr_paxos_engine *paxos); /* before the first step */
void qr_paxos_brief(const qr_paxos_engine *paxos, qr_buffer *out);
void qr_paxos_persist(qr_paxos_engine *paxos); /* emits what is unsaved */
void qr_paxos_on_durable(qr_paxos_engine *paxos, uint64_t ticket);
void qr_paxos_unsave(qr_paxos_engine *paxos, uint64_t index); /* slots from index on are other ones now */

/* checkpoint.c */
void qr_paxos_restart_log(qr_paxos_engine *paxos, uint64_t index, uint64_t term);
void qr_paxos_on_checkpoint(qr_paxos_engine *paxos, const qr_event *event);

/* fetch.c */
bool qr_paxos_entry_read(const qr_paxos_engine *paxos, uint64_t index,
                         qr_paxos_view *view); /* memory, or fetched */
void qr_paxos_want(qr_paxos_engine *paxos, uint64_t from, uint64_t to, bool for_self);
void qr_paxos_emit(qr_paxos_engine *paxos);
void qr_paxos_fetch_tick(qr_paxos_engine *paxos);
void qr_paxos_on_entries(qr_paxos_engine *paxos, const qr_event *event);

#endif

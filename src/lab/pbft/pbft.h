/* pbft: Practical Byzantine Fault Tolerance (Castro and Liskov, OSDI 1999; section numbers are that paper's).
 *
 * n = 3f + 1 replicas keep the same sequence of requests although f of them do whatever they like. The
 * primary of a view gives a request its number (pre-prepare). 2f + 1 replicas that agree about that within
 * the view make it prepared: nothing else can be prepared there. 2f + 1 that say so (commit) make it last
 * through every change of view. A client believes what f + 1 replicas tell it, since one of them is honest.
 *
 *   pbft.c        the normal case (4.2), execution, clients (4.1)
 *   checkpoint.c  checkpoints, watermarks, transfer of the state (4.3, 5.3 in small)
 *   view.c        view changes (4.4)
 *   liar.c        what faulty replicas do
 *   sign.c        signatures
 *   words.c       the story, and what an observer checks
 *
 * A request is four bytes here, shorter than any digest of it, so it stands itself wherever the paper writes
 * its digest d. */
#ifndef QR_LAB_PBFT_H
#define QR_LAB_PBFT_H

#include "lab/lab.h"

enum { REPLICA, CLIENT }; /* roles */
enum {
    REQUEST,
    PRE_PREPARE,
    PREPARE,
    COMMIT,
    REPLY,
    CHECKPOINT,
    VIEW_CHANGE,
    NEW_VIEW,
    FETCH,
    STATE
};                                                               /* kinds */
enum { LIARS, FIRST_LIAR, LIE, LIES, VIEWS, REQUESTS, VARIANT }; /* parameters */
enum lie { TWO_FACED, SILENT, FALSE_REPLY, WILD };
enum variant { CORRECT, SMALL_QUORUM, ONE_REPLY, NO_PROOFS, FORGETFUL, UNSIGNED };

enum {
    REPLICAS_MAX = 7,
    CLIENTS_MAX = 2,
    INTERVAL = 2,    /* numbers between checkpoints (4.3: 100) */
    WINDOW = 4,      /* numbers above the last stable checkpoint: from h + 1 to H = h + WINDOW */
    CERTIFICATE = 5, /* signatures of the largest quorum, 2f + 1 with f = 2 */
    PROOFS_MAX = CERTIFICATE * (1 + WINDOW),
    NUMBERS_MAX = 64, /* that the observer remembers */
};

typedef struct qr_pbft_request {
    uint8_t client; /* from 1; 0: the null request, which does nothing (4.4) */
    uint8_t value;  /* a letter */
    uint16_t timestamp;
} qr_pbft_request;

typedef struct qr_pbft_signature {
    uint8_t bytes[64];
} qr_pbft_signature;

/* What a signature covers. `digest` is that of the body where there is one. */
typedef struct qr_pbft_content {
    uint8_t kind, signer; /* signer: process */
    uint16_t view, number, result;
    qr_pbft_request request;
    uint32_t zero;
    uint64_t digest;
} qr_pbft_content;

/* A request that was prepared in a view: the primary and 2f others have signed that. */
typedef struct qr_pbft_certificate {
    uint16_t view;
    uint8_t signers, is; /* set of replicas; is: there is one */
    qr_pbft_request request;
} qr_pbft_certificate;

typedef struct qr_pbft_reply {
    uint16_t timestamp, result;
} qr_pbft_reply;

/* The replicated state: how many requests were executed, which, and the last reply to each client. */
typedef struct qr_pbft_machine {
    uint64_t history; /* digest of the requests in their order */
    uint16_t number, executed;
    qr_pbft_reply replies[CLIENTS_MAX];
} qr_pbft_machine;

typedef struct qr_pbft_body {
    uint64_t stable_digest; /* VIEW_CHANGE: the last stable checkpoint, with the set of those who signed it */
    uint64_t changes[REPLICAS_MAX];       /* NEW_VIEW: digests of the view changes that it rests on */
    qr_pbft_certificate prepared[WINDOW]; /* VIEW_CHANGE: of the numbers above the checkpoint */
    qr_pbft_request ordered[WINDOW]; /* NEW_VIEW: what is pre-prepared for the numbers above the checkpoint */
    qr_pbft_machine machine;         /* STATE */
    uint16_t stable;
    uint8_t stable_signers, change_signers, ordered_count;
    uint8_t zero[3];
} qr_pbft_body;

typedef struct qr_pbft_message {
    qr_lab_message head;
    uint16_t zero;
    qr_pbft_content content;
    qr_pbft_body body;
    qr_pbft_signature own;
    qr_pbft_signature client; /* PRE_PREPARE: of its request */
    qr_pbft_signature proofs[PROOFS_MAX];
} qr_pbft_message;

typedef struct qr_pbft_vote {
    uint16_t view;
    uint16_t cast; /* 0: none */
    qr_pbft_request request;
} qr_pbft_vote;

typedef struct qr_pbft_slot {
    uint16_t number; /* 0: nothing known */
    uint16_t view;
    uint8_t accepted, committed; /* a pre-prepare of that view */
    uint16_t zero;
    qr_pbft_request request;
    qr_pbft_vote prepares[REPLICAS_MAX], commits[REPLICAS_MAX]; /* the newest of each */
    qr_pbft_certificate prepared;                               /* the newest */
} qr_pbft_slot;

typedef struct qr_pbft_change { /* the newest view change heard of a replica */
    uint16_t view, is;
    uint32_t zero;
    qr_pbft_body body;
} qr_pbft_change;

typedef struct qr_pbft_replica {
    uint8_t secret[64];
    uint16_t view;
    uint8_t changing;  /* the view has not begun: no votes in it */
    uint8_t announced; /* as its primary: NEW_VIEW was sent */
    uint16_t low;      /* number of the last stable checkpoint: h */
    uint16_t assigned; /* as primary: the last number given */
    uint8_t stable_signers;
    uint8_t told; /* a liar: lies told; two-faced primary: backups served */
    uint64_t stable_digest;
    qr_pbft_machine machine,
        saved[WINDOW / INTERVAL + 1]; /* saved: at numbers that are multiples of INTERVAL */
    struct {
        uint64_t digest;
        uint16_t number, zero[3];
    } checkpoints[REPLICAS_MAX]; /* the newest said by each */
    qr_pbft_request waiting[CLIENTS_MAX];
    qr_pbft_slot slots[WINDOW];
    qr_pbft_change changes[REPLICAS_MAX];
    struct {
        uint16_t view, is;
        uint32_t zero;
        qr_pbft_body body;
    } held; /* a new view whose view changes are not all here */
} qr_pbft_replica;

typedef struct qr_pbft_client {
    uint8_t secret[64];
    qr_pbft_request request; /* the last one */
    uint8_t value, answered;
    uint16_t result;
    struct {
        uint16_t result, is;
    } replies[REPLICAS_MAX];
} qr_pbft_client;

/* What an observer has seen of the correct ones. */
typedef struct qr_pbft_shared {
    uint8_t publics[REPLICAS_MAX + CLIENTS_MAX][32]; /* the keys, which everyone knows */
    qr_pbft_request committed[NUMBERS_MAX];          /* by the first correct replica that did */
    uint8_t is_committed[NUMBERS_MAX];
    uint16_t asked[CLIENTS_MAX];     /* newest timestamp */
    uint64_t histories[NUMBERS_MAX]; /* after so many requests; 0: nobody is there yet */
    uint8_t split, invented, forked, deceived;
} qr_pbft_shared;

static inline unsigned qr_pbft_f(const qr_lab_world *world)
{
    return (qr_lab_count(world, REPLICA) - 1) / 3;
}

static inline enum variant qr_pbft_variant(const qr_lab_world *world)
{
    return (enum variant)qr_lab_parameter_of(world, VARIANT);
}

static inline unsigned qr_pbft_primary(const qr_lab_world *world, unsigned view)
{
    return view % qr_lab_count(world, REPLICA);
}

static inline bool qr_pbft_same(qr_pbft_request a, qr_pbft_request b)
{
    return a.client == b.client && a.value == b.value && a.timestamp == b.timestamp;
}

/* sign.c */
void qr_pbft_make_keys(qr_lab_world *world);
qr_pbft_signature qr_pbft_sign(const qr_lab_world *world, qr_pbft_content content);
bool qr_pbft_signed(const qr_lab_world *world, qr_pbft_content content, const qr_pbft_signature *signature);
uint64_t qr_pbft_digest(const void *bytes, size_t size);
qr_pbft_content qr_pbft_vote_content(unsigned kind, unsigned signer, unsigned view, unsigned number,
                                     qr_pbft_request request);
qr_pbft_content qr_pbft_checkpoint_content(unsigned signer, unsigned number, uint64_t digest);
void qr_pbft_seal(const qr_lab_world *world,
                  qr_pbft_message *m); /* fills in the digest of the body and the signature */

/* pbft.c */
qr_pbft_slot *qr_pbft_slot_of(qr_pbft_replica *r, unsigned number); /* NULL outside of the watermarks */
void qr_pbft_accept(qr_lab_world *world, unsigned self, unsigned view, unsigned number,
                    qr_pbft_request request);
void qr_pbft_progress(qr_lab_world *world,
                      unsigned self); /* whatever has become possible by what was heard */
void qr_pbft_multicast(qr_lab_world *world, unsigned self, qr_pbft_message *m);
void qr_pbft_say_vote(qr_lab_world *world, unsigned self, unsigned kind, unsigned number,
                      qr_pbft_request request);

/* checkpoint.c */
void qr_pbft_checkpoint(qr_lab_world *world, unsigned self);
void qr_pbft_on_checkpoint(qr_lab_world *world, unsigned self, const qr_pbft_message *m);
void qr_pbft_stable(qr_lab_world *world, unsigned self, unsigned number, uint64_t digest, unsigned signers);
void qr_pbft_put_stable_proof(const qr_lab_world *world, const qr_pbft_replica *r, qr_pbft_message *m,
                              unsigned *proofs);
bool qr_pbft_stable_proven(const qr_lab_world *world, const qr_pbft_message *m, unsigned *proofs);
void qr_pbft_ask_for_state(qr_lab_world *world, unsigned self);
void qr_pbft_on_fetch(qr_lab_world *world, unsigned self, const qr_pbft_message *m);
void qr_pbft_on_state(qr_lab_world *world, unsigned self, const qr_pbft_message *m);

/* view.c */
void qr_pbft_suspect(qr_lab_world *world, unsigned self, unsigned view);
void qr_pbft_on_view_change(qr_lab_world *world, unsigned self, const qr_pbft_message *m);
void qr_pbft_on_new_view(qr_lab_world *world, unsigned self, const qr_pbft_message *m);

/* liar.c */
bool qr_pbft_lies(const qr_lab_world *world, unsigned self);
bool qr_pbft_is_silent(const qr_lab_world *world, unsigned self);
void qr_pbft_support(qr_lab_world *world, unsigned self, const qr_pbft_message *m);
bool qr_pbft_may_lie(const qr_lab_world *world, unsigned self);
bool qr_pbft_lie(qr_lab_world *world, unsigned self, const qr_lab_words *arguments);
bool qr_pbft_tell(qr_lab_world *world, unsigned self, const qr_lab_words *arguments);
bool qr_pbft_claim(qr_lab_world *world, unsigned self, const qr_lab_words *arguments);
bool qr_pbft_may_tell(const qr_lab_world *world, unsigned self);
bool qr_pbft_tell_first(qr_lab_world *world, unsigned self, const qr_lab_words *arguments);
bool qr_pbft_tell_second(qr_lab_world *world, unsigned self, const qr_lab_words *arguments);
bool qr_pbft_tell_nothing(qr_lab_world *world, unsigned self, const qr_lab_words *arguments);

/* words.c */
void qr_pbft_describe(const qr_lab_world *world, unsigned self, qr_buffer *out);
void qr_pbft_describe_message(const qr_lab_world *world, const qr_lab_message *head, qr_buffer *out);
const char *qr_pbft_check(const qr_lab_world *world);
void qr_pbft_outcome(const qr_lab_world *world, qr_buffer *out);
bool qr_pbft_observe(const qr_lab_world *world, unsigned self, qr_slice name, qr_buffer *out);
/* What an observer notes: a correct replica has committed, or executed. */
void qr_pbft_note_committed(qr_lab_world *world, unsigned self, unsigned number, qr_pbft_request request);
void qr_pbft_note_executed(qr_lab_world *world, unsigned self);
extern const char *const qr_pbft_kinds[];

#endif

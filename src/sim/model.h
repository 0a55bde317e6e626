/* model: what the machine has to do, written down a second time and as simply as possible. A handful of keys,
 * each with its whole history; one transaction after another. Results come out as text, so that two of them
 * are compared with strcmp and a difference can be read. */
#ifndef QR_SIM_MODEL_H
#define QR_SIM_MODEL_H

#include "base/base.h"
#include "core/txn.h"

typedef struct qr_sim_version {
    uint64_t revision; /* from this one on */
    bool live;
    uint64_t create_revision, version;
    int64_t lease;
    bool detach;    /* what the end of the lease does: else the key goes */
    qr_slice value; /* borrowed: values live as long as the world */
} qr_sim_version;

enum {
    QR_SIM_LEASES_MAX = 6,  /* of the workload: ids from 1 */
    QR_SIM_ALARMS_MAX = 64, /* that can stand at a time */
};

/* A lease of the model; generation 0: there is none of that id. */
typedef struct qr_sim_lease {
    uint64_t generation, ttl_ms;
    uint64_t session; /* version of its session's record, 0 = none */
} qr_sim_lease;

typedef struct qr_sim_key {
    qr_slice name;            /* borrowed */
    qr_sim_version *versions; /* oldest first; owned */
    size_t count, room;
    uint64_t rights, rights_kept; /* version of its record of rights, 0 = none */
} qr_sim_key;

typedef struct qr_sim_model {
    qr_sim_key *keys; /* in order of name; owned */
    size_t count, room;
    uint64_t revision, compacted;
    qr_sim_lease leases[QR_SIM_LEASES_MAX + 1]; /* by id; [0] is none */
    qr_sim_lease leases_kept[QR_SIM_LEASES_MAX + 1];
    uint64_t epoch;
    qr_alarm alarms[QR_SIM_ALARMS_MAX]; /* that stand, in any order */
    size_t alarm_count;
} qr_sim_model;

/* revision: of an empty machine. */
void qr_sim_model_init(qr_sim_model *model, uint64_t revision);
void qr_sim_model_free(qr_sim_model *model);
/* Applies it and writes its result as text (zero-terminated on return). */
void qr_sim_model_apply(qr_sim_model *model, const qr_txn *txn, qr_buffer *text);
void qr_sim_model_compact(qr_sim_model *model, uint64_t revision, qr_buffer *text);
/* A command about leases, entry number index. */
void qr_sim_model_lease(qr_sim_model *model, const qr_body *body, uint64_t index, qr_buffer *text);
void qr_sim_model_alarm(qr_sim_model *model, const qr_body *body, qr_buffer *text);
/* The answer of a transaction without writes in the state right after that revision. */
void qr_sim_model_query(const qr_sim_model *model, const qr_txn *txn, uint64_t revision, qr_buffer *text);

/* The machine's answer to the same as the same text; with a status, result may tell where. */
void qr_sim_result_text(qr_status status, const qr_txn_result *result, qr_buffer *text);
void qr_sim_alarm_text(bool stood, qr_buffer *text);

#endif

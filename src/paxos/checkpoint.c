/* The log begins behind a checkpoint: an own one, or one that a peer has sent. Everything in it is chosen;
 * what was accepted behind it stays, for it may be what a quorum was made of. */
#include "paxos/inside.h"

void qr_paxos_restart_log(qr_paxos_engine *paxos, uint64_t index, uint64_t term)
{
    qr_paxos_log_reset(&paxos->log, index, term);
    paxos->chosen = paxos->emitted = paxos->taken = index;
}

/* The configurations that are inside the checkpoint, from the brief that it carries. */
static bool take_configs(qr_paxos_engine *paxos, qr_slice bytes, uint64_t index)
{
    qr_paxos_record brief;
    bool is_sound = qr_paxos_record_decode(bytes, &brief) == QR_OK && brief.restarts;
    while (is_sound && brief.config_count > 1 && brief.configs[brief.config_count - 1].index > index)
        brief.config_count--;
    if (is_sound)
        qr_paxos_config_set(paxos, brief.configs, brief.config_count);
    qr_paxos_record_free(&brief);
    return is_sound;
}

/* What is in it was not known to be chosen here. */
static bool take_over(qr_paxos_engine *paxos, const qr_event *event)
{
    uint64_t index = event->checkpoint.index, term = event->checkpoint.term;
    if (event->checkpoint.brief.size && !take_configs(paxos, event->checkpoint.brief, index)) {
        qr_paxos_halt(paxos, "the checkpoint carries a malformed brief");
        return false;
    }
    if (term > paxos->ballot || paxos->role == QR_CANDIDATE || paxos->role == QR_LEADER)
        qr_paxos_follow(paxos, term > paxos->ballot ? term : paxos->ballot, 0);
    if (index > paxos->log.last)
        qr_paxos_restart_log(paxos, index, term);
    paxos->chosen = index;
    paxos->taken = paxos->taken > index ? paxos->taken : index;
    paxos->restart_unsaved = true;
    return true;
}

void qr_paxos_on_checkpoint(qr_paxos_engine *paxos, const qr_event *event)
{
    uint64_t index = event->checkpoint.index, term = event->checkpoint.term;
    if (index > QR_PAXOS_NUMBER_MAX || term > QR_PAXOS_NUMBER_MAX || index == 0 || term == 0) {
        qr_paxos_halt(paxos, "a checkpoint has no sound index and term");
        return;
    }
    paxos->answer_due = true; /* a leader may wait for this */
    if (index <= paxos->log.base)
        return; /* an old one over a newer state */
    bool is_known = index <= paxos->chosen;
    if (is_known && qr_paxos_log_term(&paxos->log, index) != term) {
        qr_paxos_halt(paxos, "a checkpoint contradicts what was chosen here");
        return;
    }
    if ((is_known && event->checkpoint.received && index <= paxos->emitted) ||
        (!is_known && !take_over(paxos, event)))
        return;
    paxos->emitted = paxos->emitted > index ? paxos->emitted : index;
    paxos->durable_index = paxos->durable_index > index ? paxos->durable_index : index;
    if (paxos->unsaved_first <= index) { /* its record would begin before the log does */
        paxos->unsaved_first = index + 1;
        paxos->restart_unsaved = true;
    }
    qr_paxos_log_forget(&paxos->log, index, term);
    if (!is_known)
        qr_paxos_taken_reset(paxos);
    qr_paxos_config_forget(paxos, index);
    if (!is_known)
        qr_paxos_config_in_force(paxos);
}

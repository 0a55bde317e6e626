/* Configurations: which one is in force, who may promise and stand by it, and how a leader goes from one to
 * the next.
 *
 * A configuration is an entry, in force for all slots behind its own one, once it is chosen (PMS 3: "the set
 * of servers that execute instance i + alpha ... specified by the state after execution of the i-th", with a
 * window of alpha = 1 behind a MEMBERS entry: nothing is proposed there before it is chosen). The way
 * from one to another, and what becomes of a disk that is replaced: core/steps.h. Before a leader proposes
 * behind a configuration, a quorum of it must have promised its ballot (phase1.c). */
#include "paxos/inside.h"

/* ------------------------------------------------------------ who counts ---- */

bool qr_paxos_is_voter(const qr_paxos_engine *paxos)
{
    return qr_members_count_disk(qr_paxos_members(paxos), paxos->config.self, paxos->config.incarnation);
}

/* This very disk is named by a change that it has accepted, and that may be chosen. */
static bool is_named_in_open_slot(const qr_paxos_engine *paxos)
{
    for (uint64_t index = paxos->chosen + 1; index <= paxos->log.last; index++) {
        qr_paxos_view view;
        qr_members members;
        if (!qr_paxos_log_read(&paxos->log, index, &view) || view.kind != QR_ENTRY_MEMBERS)
            continue;
        qr_reader reader = qr_reader_of(view.bytes);
        const qr_member *self = qr_members_decode(&reader, &members) == QR_OK
                                    ? qr_members_find(&members, paxos->config.self)
                                    : NULL;
        if (self && self->incarnation && self->incarnation == paxos->config.incarnation)
            return true;
    }
    return false;
}

/* A promise is safe without asking the own configuration, which may be older than the candidate's: a learner
 * that was just promoted may be the one that is missing. But a disk without a memory must not promise in the
 * place of the one that it replaces. So either the own configuration makes it a voter, or one names this very
 * disk: then whoever counts this promise means this disk too, or drops it as an older one. */
bool qr_paxos_may_promise(const qr_paxos_engine *paxos)
{
    const qr_members *members = qr_paxos_members(paxos);
    const qr_member *self = qr_members_find(members, paxos->config.self);
    if (self && !qr_member_is_disk(self, paxos->config.incarnation))
        return false;
    return (self && (self->incarnation || qr_members_votes(members, self->id))) ||
           is_named_in_open_slot(paxos);
}

/* ------------------------------------------------------------ peers ---- */

/* Everything that depends on the configuration in force. */
void qr_paxos_config_in_force(qr_paxos_engine *paxos)
{
    const qr_members *members = qr_paxos_members(paxos);
    uint32_t voters = qr_members_voters(members);
    qr_peers_follow(&paxos->peers, members, &paxos->config, paxos->role == QR_LEADER, paxos->taken + 1,
                    paxos->now_ms);
    bool is_settled_role = paxos->role == QR_FOLLOWER || paxos->role == QR_LEARNER;
    if (is_settled_role || (paxos->role != QR_LEADER && !qr_paxos_is_voter(paxos)))
        paxos->role = qr_paxos_settled_role(paxos);
    paxos->prepare_due = true;
    qr_paxos_trace(paxos, QR_TRACE_MEMBERS, paxos->configs[paxos->config_count - 1].index, voters,
                   members->count - voters, 0);
}

void qr_paxos_config_set(qr_paxos_engine *paxos, const qr_paxos_config_row *rows, size_t count)
{
    QR_ASSERT(count > 0 && count <= QR_PAXOS_CONFIGS_MAX);
    memcpy(paxos->configs, rows, count * sizeof *rows);
    paxos->config_count = count;
}

/* The entry of slot index is chosen. */
void qr_paxos_config_add(qr_paxos_engine *paxos, uint64_t index, qr_slice bytes)
{
    if (paxos->configs[paxos->config_count - 1].index >= index) /* at boot a brief may be younger */
        return;
    if (paxos->config_count ==
        QR_PAXOS_CONFIGS_MAX) /* no checkpoint for long: one that is over, and not the base's */
        memmove(paxos->configs + 1, paxos->configs + 2, (--paxos->config_count - 1) * sizeof *paxos->configs);
    qr_paxos_config_row *row = &paxos->configs[paxos->config_count++];
    row->index = index;
    qr_reader reader = qr_reader_of(bytes);
    qr_status status = qr_members_decode(&reader, &row->members);
    QR_ASSERT(status == QR_OK); /* checked where the bytes came in */
    if (paxos->stepped)
        qr_paxos_config_in_force(paxos);
}

/* Of those at or below base only the last one counts; those above what is chosen come again with their
 * entries (a brief may be younger than what the disk kept). */
void qr_paxos_config_forget(qr_paxos_engine *paxos, uint64_t base)
{
    size_t gone = 0;
    while (gone + 1 < paxos->config_count && paxos->configs[gone + 1].index <= base)
        gone++;
    paxos->config_count -= gone;
    memmove(paxos->configs, paxos->configs + gone, paxos->config_count * sizeof *paxos->configs);
    while (paxos->config_count > 1 && paxos->configs[paxos->config_count - 1].index > paxos->chosen)
        paxos->config_count--;
}

/* ------------------------------------------------------------ changing ---- */

static void propose_config(qr_paxos_engine *paxos, const qr_members *members)
{
    QR_ASSERT(paxos->role == QR_LEADER && qr_members_check(members) == QR_OK);
    QR_ASSERT(qr_members_may_follow(qr_paxos_members(paxos), members));
    qr_buffer bytes = {0};
    qr_members_encode(members, &bytes);
    qr_paxos_trace(paxos, QR_TRACE_APPEND, paxos->taken + 1, paxos->taken + 1, paxos->ballot, 0);
    qr_paxos_propose(paxos, &(qr_paxos_view){.ballot = paxos->ballot,
                                             .born = paxos->ballot,
                                             .kind = QR_ENTRY_MEMBERS,
                                             .bytes = qr_buffer_slice(&bytes)});
    qr_buffer_free(&bytes);
}

/* Nothing is under way, so that a step may be made from the configuration in force. */
static bool is_settled(const qr_paxos_engine *paxos)
{
    return paxos->proposing && paxos->noop_index && paxos->chosen >= paxos->noop_index;
}

static qr_steps steps_of(const qr_paxos_engine *paxos)
{
    return (qr_steps){.config = &paxos->config,
                      .members = qr_paxos_members(paxos),
                      .peers = &paxos->peers,
                      .commit = paxos->chosen,
                      .now_ms = paxos->now_ms,
                      .is_due = paxos->heartbeat_due};
}

void qr_paxos_on_members(qr_paxos_engine *paxos, const qr_members *wanted, uint64_t tag)
{
    const qr_steps steps = steps_of(paxos);
    qr_members entry;
    qr_status status = paxos->role == QR_LEADER ? qr_steps_begin(&steps, wanted, &entry)
                       : paxos->leader          ? QR_E_NOT_LEADER
                                                : QR_E_NO_LEADER;
    if (status == QR_OK && (!is_settled(paxos) || paxos->handover_to || !qr_paxos_is_voter(paxos)))
        status = QR_E_BUSY;
    if (status == QR_OK)
        propose_config(paxos, &entry);
    else
        qr_paxos_refuse(paxos, QR_EVENT_MEMBERS, tag, status);
}

/* A leader's next step, when the former one is chosen. */
void qr_paxos_members_tick(qr_paxos_engine *paxos)
{
    const qr_steps steps = steps_of(paxos);
    qr_members entry;
    if (paxos->heartbeat_due)
        qr_peers_forget_departed(&paxos->peers, paxos->now_ms);
    if (is_settled(paxos) && !paxos->handover_to && qr_steps_next(&steps, &entry))
        propose_config(paxos, &entry);
}

/* Who is no voter any more leads no more. Its last messages tell that this is chosen, and who may be next. */
void qr_paxos_members_retire(qr_paxos_engine *paxos)
{
    if (qr_paxos_is_voter(paxos))
        return;
    uint64_t heir = qr_peers_best(&paxos->peers, qr_paxos_members(paxos), &paxos->config, paxos->now_ms);
    if (heir) {
        qr_paxos_trace(paxos, QR_TRACE_HANDOVER, heir, paxos->ballot, 0, 0);
        qr_paxos_say(paxos, heir, false,
                     &(qr_paxos_message){.kind = QR_PAXOS_TAKE_OVER, .ballot = paxos->ballot});
    }
    qr_paxos_follow(paxos, paxos->ballot, 0);
}

/* ------------------------------------------------------------ looking in ---- */

const char *qr_paxos_members_broken(const qr_paxos_engine *paxos)
{
    const qr_paxos_config_row *last = &paxos->configs[paxos->config_count - 1];
    if (!paxos->stepped)
        return NULL;
    if (last->index > paxos->chosen)
        return "the configuration in force is chosen";
    for (size_t i = 1; i < paxos->config_count; i++) {
        if (paxos->configs[i - 1].index >= paxos->configs[i].index)
            return "configurations rise along the log";
        /* Behind the base's some may have been left out, or it is a joiner's own, made of its flags. */
        if (i > 1 && !qr_members_may_follow(&paxos->configs[i - 1].members, &paxos->configs[i].members))
            return "quorums of consecutive configurations meet";
    }
    if ((paxos->role == QR_FOLLOWER && !qr_paxos_is_voter(paxos)) ||
        (paxos->role == QR_LEARNER && qr_paxos_is_voter(paxos)))
        return "a learner is who has no vote";
    if (paxos->role != QR_FOLLOWER && paxos->role != QR_LEARNER && !qr_paxos_is_voter(paxos))
        return "only voters stand and lead";
    for (uint32_t i = 0; i < last->members.count; i++)
        if (last->members.list[i].id != paxos->config.self &&
            !qr_peers_of(&paxos->peers, last->members.list[i].id))
            return "every other member is a peer";
    return NULL;
}

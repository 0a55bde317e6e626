/* Configurations: which one is in force, who may vote and stand by it, and how a leader goes from one to the
 * next.
 *
 * A configuration is an entry, in force as soon as it is in the log (D 4.1). The way from one to another, and
 * what becomes of a disk that is replaced: core/steps.h. */
#include "raft/raft_internal.h"

/* ------------------------------------------------------------ who counts ---- */

static bool counts_in(const qr_raft_engine *raft, const qr_members *members)
{
    return qr_members_count_disk(members, raft->config.self, raft->config.incarnation);
}

bool qr_raft_is_voter(const qr_raft_engine *raft)
{
    return counts_in(raft, qr_raft_members(raft));
}

/* The remembered configurations that may turn out to be the one in force: the newest, and while it is not
 * known to be committed the one before it. That one is committed: no leader appends a configuration on top
 * of one that is not. */
static bool may_be_in_force(const qr_raft_engine *raft, uint32_t row)
{
    return row + 1 == raft->config_count ||
           (row + 2 == raft->config_count && raft->configs[row + 1].index > raft->commit);
}

/* D 4.2.2: a server that its newest configuration leaves out still starts elections while that one may not be
 * committed: the others may need it to get there. It does not count its own vote. */
bool qr_raft_may_stand(const qr_raft_engine *raft)
{
    const qr_member *self = qr_members_find(qr_raft_members(raft), raft->config.self);
    if (self && !qr_member_is_disk(self, raft->config.incarnation))
        return false;
    for (uint32_t row = raft->config_count; row-- > 0 && may_be_in_force(raft, row);)
        if (counts_in(raft, &raft->configs[row].members))
            return true;
    return false;
}

/* D 4.1 lets a server vote without asking its own configuration, which may be older than the candidate's: a
 * learner that was just promoted may be the one vote that is missing. But a disk without a memory must not
 * vote in the place of the one that it replaces. So either the own configuration makes it a voter, or one in
 * its log names this very disk: then whoever counts this vote means this disk too, or drops it as an older
 * one. A fresh disk that lists itself as a learner is named nowhere, and has no vote. */
bool qr_raft_may_vote(const qr_raft_engine *raft)
{
    if (QR_BUG(raft->config.bug, WIPED_VOTES))
        return true;
    for (uint32_t row = raft->config_count; row-- > 0 && may_be_in_force(raft, row);) {
        const qr_members *members = &raft->configs[row].members;
        const qr_member *self = qr_members_find(members, raft->config.self);
        if (self == NULL)
            continue;
        if (!qr_member_is_disk(self, raft->config.incarnation))
            return false;
        if (self->incarnation || qr_members_votes(members, self->id))
            return true;
    }
    return false;
}

/* The configuration that quorums are counted in. */
const qr_members *qr_raft_counted(const qr_raft_engine *raft)
{
#ifdef QR_PLANTED_BUGS
    if (QR_BUG(raft->config.bug, JOINT_ONE_HALF)) {
        qr_members *spoilt = (qr_members *)&raft->spoilt;
        *spoilt = *qr_raft_members(raft);
        spoilt->joint = 0;
        return spoilt;
    }
#endif
    return qr_raft_members(raft);
}

/* ------------------------------------------------------------ peers ---- */

/* Everything that depends on the configuration in force. */
void qr_raft_config_in_force(qr_raft_engine *raft)
{
    const qr_members *members = qr_raft_members(raft);
    uint32_t voters = qr_members_voters(members);
    qr_peers_follow(&raft->peers, members, &raft->config, raft->role == QR_LEADER, raft->log.last + 1,
                    raft->now_ms);
    if (raft->role == QR_FOLLOWER || raft->role == QR_LEARNER)
        raft->role = qr_raft_is_voter(raft) ? QR_FOLLOWER : QR_LEARNER;
    qr_raft_trace(raft, QR_TRACE_MEMBERS, raft->configs[raft->config_count - 1].index, voters,
                  members->count - voters, 0);
}

/* D 4.1: a configuration is in force as soon as it is in the log. */
void qr_raft_config_add(qr_raft_engine *raft, uint64_t index, const qr_members *members)
{
    while (raft->config_count > 1 &&
           (raft->configs[1].index <= raft->commit || raft->config_count == QR_RAFT_CONFIGS_MAX)) {
        raft->config_count--;
        memmove(raft->configs, raft->configs + 1, raft->config_count * sizeof *raft->configs);
    }
    QR_ASSERT(raft->config_count < QR_RAFT_CONFIGS_MAX && qr_members_check(members) == QR_OK);
    /* At boot a brief may be younger than the entry that comes again here. */
    while (raft->config_count && raft->configs[raft->config_count - 1].index >= index)
        raft->config_count--;
    raft->configs[raft->config_count++] = (qr_raft_config_row){.index = index, .members = *members};
    if (raft->stepped)
        qr_raft_config_in_force(raft);
}

/* The entries from index on are gone, and with them their configurations: the former one is in force again.
 */
void qr_raft_config_cut(qr_raft_engine *raft, uint64_t index)
{
    uint32_t before = raft->config_count;
    QR_ASSERT(raft->config_count >= 1);
    if (raft->stepped && QR_BUG(raft->config.bug, CONFIG_NOT_RESTORED))
        return;
    while (raft->config_count > 1 && raft->configs[raft->config_count - 1].index >= index)
        raft->config_count--;
    if (raft->config_count != before && raft->stepped)
        qr_raft_config_in_force(raft);
}

/* ------------------------------------------------------------ changing ---- */

static void append_config(qr_raft_engine *raft, const qr_members *members)
{
    QR_ASSERT(raft->role == QR_LEADER && qr_members_check(members) == QR_OK);
    QR_ASSERT(qr_members_may_follow(qr_raft_members(raft), members) ||
              QR_BUG(raft->config.bug, CHANGE_EARLY));
    qr_buffer bytes = {0};
    qr_members_encode(members, &bytes);
    raft->uncommitted_bytes += bytes.size + QR_RAFT_ENTRY_HEADER_MAX;
    qr_raft_trace(raft, QR_TRACE_APPEND, raft->log.last + 1, raft->log.last + 1, raft->term, 0);
    qr_raft_add_entry(raft, raft->term, QR_ENTRY_MEMBERS, qr_buffer_slice(&bytes));
    qr_buffer_free(&bytes);
}

/* Nothing is under way, so that a step may be made from the configuration in force (facts row 1, D 4.1 and
 * the erratum to it: the leader's own term has reached a quorum of it). */
static bool is_settled(const qr_raft_engine *raft)
{
    if (QR_BUG(raft->config.bug, CHANGE_EARLY))
        return true;
    return raft->commit >= raft->noop_index && raft->configs[raft->config_count - 1].index <= raft->commit;
}

static qr_steps steps_of(const qr_raft_engine *raft)
{
    return (qr_steps){.config = &raft->config,
                      .members = qr_raft_members(raft),
                      .peers = &raft->peers,
                      .commit = raft->commit,
                      .now_ms = raft->now_ms,
                      .is_due = raft->heartbeat_due};
}

void qr_raft_on_members(qr_raft_engine *raft, const qr_members *wanted, uint64_t tag)
{
    const qr_steps steps = steps_of(raft);
    qr_members entry;
    qr_status status = raft->role == QR_LEADER ? qr_steps_begin(&steps, wanted, &entry)
                       : raft->leader          ? QR_E_NOT_LEADER
                                               : QR_E_NO_LEADER;
    if (status == QR_OK && (!is_settled(raft) || raft->handover_to || !qr_raft_is_voter(raft)))
        status = QR_E_BUSY;
    if (status == QR_OK)
        append_config(raft, &entry);
    else
        qr_raft_refuse(raft, QR_EVENT_MEMBERS, tag, status);
}

/* A leader's next step, when the former one is committed. */
void qr_raft_members_tick(qr_raft_engine *raft)
{
    const qr_steps steps = steps_of(raft);
    qr_members entry;
    if (raft->heartbeat_due)
        qr_peers_forget_departed(&raft->peers, raft->now_ms);
    if (is_settled(raft) && !raft->handover_to && qr_steps_next(&steps, &entry))
        append_config(raft, &entry);
}

/* A new leader does not know whether the last one was able to tell those who were removed. */
void qr_raft_members_lead(qr_raft_engine *raft)
{
    if (raft->config_count < 2)
        return;
    const qr_members *before = &raft->configs[raft->config_count - 2].members;
    for (uint32_t i = 0; i < before->count; i++) {
        qr_peer gone = {.id = before->list[i].id};
        qr_peer_restart(&gone, before->list[i].incarnation, raft->log.last + 1, raft->now_ms);
        qr_peers_say_farewell(&raft->peers, &gone, &raft->config, raft->now_ms);
    }
}

/* D 4.2.2: a leader that is no voter leads until the configuration that says so is committed. Nothing was
 * appended behind it, so a voter that has it has everything, and may stand at once: nobody waits for a
 * timeout. */
void qr_raft_members_retire(qr_raft_engine *raft)
{
    if (qr_raft_is_voter(raft) || raft->configs[raft->config_count - 1].index > raft->commit ||
        raft->commit < raft->noop_index || QR_BUG(raft->config.bug, LEADS_ON))
        return;
    uint64_t heir = qr_peers_best(&raft->peers, qr_raft_members(raft), &raft->config, raft->now_ms);
    const qr_peer *peer = heir ? qr_peers_of(&raft->peers, heir) : NULL;
    if (peer && peer->match == raft->log.last) {
        qr_raft_trace(raft, QR_TRACE_HANDOVER, heir, raft->term, 0, 0);
        qr_raft_say(raft, heir, false, &(qr_raft_message){.kind = QR_RAFT_TIMEOUT_NOW, .term = raft->term});
    }
    qr_raft_follow(raft, raft->term, 0);
}

/* ------------------------------------------------------------ looking in ---- */

const char *qr_raft_members_broken(const qr_raft_engine *raft)
{
    const qr_raft_config_row *last = &raft->configs[raft->config_count - 1];
    if (raft->config_count > 1 && last->index > raft->log.last)
        return "the configuration in force is in the log"; /* facts row 16 */
    for (uint32_t i = 1; i < raft->config_count; i++) {
        if (raft->configs[i - 1].index >= raft->configs[i].index)
            return "configurations rise along the log";
        /* A joiner's first one is made of its flags, and no configuration that ever was. */
        if (i == 1 && raft->configs[0].index == 0 && !counts_in(raft, &raft->configs[0].members))
            continue;
        if (!qr_members_may_follow(&raft->configs[i - 1].members, &raft->configs[i].members))
            return "quorums of consecutive configurations meet"; /* facts row 1 */
    }
    if (!raft->stepped)
        return NULL;
    if ((raft->role == QR_FOLLOWER && !qr_raft_is_voter(raft)) ||
        (raft->role == QR_LEARNER && qr_raft_is_voter(raft)))
        return "a learner is who has no vote";
    if (raft->role != QR_FOLLOWER && raft->role != QR_LEARNER && !qr_raft_may_stand(raft))
        return "only voters stand and lead";
    if (raft->role == QR_LEADER && !qr_raft_is_voter(raft) && last->index <= raft->commit)
        return "a leader is a voter, or its removal is not committed"; /* facts row 15 */
    for (uint32_t i = 0; i < last->members.count; i++)
        if (last->members.list[i].id != raft->config.self &&
            !qr_peers_of(&raft->peers, last->members.list[i].id))
            return "every other member is a peer";
    return NULL;
}

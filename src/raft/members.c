/* Configurations: which one is in force, who may vote and stand by it, and how a leader goes from one to the
 * next.
 *
 * A configuration is an entry, in force as soon as it is in the log (D 4.1). Where voters change the way is
 *
 *   C_old ---- leader appends ----> C_old,new ---- committed: leader appends ----> C_new
 *
 * and while C_old,new is in force everything needs a majority of both (D 4.3). Where only learners change, or
 * the disk behind a member becomes known, quorums stay what they are and one entry is enough. A leader makes
 * one step at a time, and none before an entry of its own term is committed (facts row 1).
 *
 * The disk behind a name. What votes and remembers is a disk, and its incarnation is its name. A
 * configuration says which disk it means; 0 = whichever speaks first. When a newer one speaks up under a
 * member's name the old one is gone, with what it had promised: to all rules of Raft that is a server that
 * died, and another one that may be added. So the leader takes the voter out (it is RETURNING now, under its
 * old incarnation, that nobody speaks with), then lets the new disk in as one that does not count, and makes
 * it a voter when it has caught up:
 *
 *   VOTER, b  ---joint---> RETURNING, b  ---simple---> RETURNING, x  ---joint---> VOTER, x
 *
 * All of it is in the log: whoever leads goes on from there. */
#include "raft/raft_internal.h"

/* ------------------------------------------------------------ who counts ---- */

/* Does the configuration mean this very disk by the own name? */
static bool names_this_disk(const qr_raft_engine *raft, const qr_member *member)
{
    return member->incarnation == 0 || member->incarnation == raft->config.incarnation;
}

static bool counts_in(const qr_raft_engine *raft, const qr_members *members)
{
    const qr_member *self = qr_members_find(members, raft->config.self);
    return self && qr_members_votes(members, self->id) && names_this_disk(raft, self);
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
    if (self && !names_this_disk(raft, self))
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
        if (!names_this_disk(raft, self))
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

/* A peer whose log nothing is known about. What is known of the connection stays. */
void qr_raft_peer_restart(qr_raft_engine *raft, qr_raft_peer *peer, uint64_t incarnation)
{
    *peer = (qr_raft_peer){.id = peer->id,
                           .link = peer->link,
                           .down_ms = peer->down_ms,
                           .vote = peer->vote,
                           .incarnation = incarnation,
                           .leaving_ms = peer->leaving_ms,
                           .heard_ms = raft->now_ms,
                           .next = raft->log.last + 1,
                           .window = QR_RAFT_INFLIGHT_MAX,
                           .progress = QR_RAFT_PROBE};
}

static void peer_add(qr_raft_engine *raft, const qr_raft_peer *old, uint32_t old_count,
                     const qr_member *member)
{
    qr_raft_peer *peer = &raft->peers[raft->peer_count++];
    *peer = (qr_raft_peer){.id = member->id};
    qr_raft_peer_restart(raft, peer, member->incarnation);
    for (uint32_t i = 0; i < old_count; i++) {
        if (old[i].id != member->id)
            continue;
        *peer = old[i];
        peer->leaving_ms = 0;
        if (member->incarnation && peer->incarnation && member->incarnation != peer->incarnation)
            qr_raft_peer_restart(raft, peer, member->incarnation); /* another disk: it has nothing yet */
        peer->incarnation = member->incarnation ? member->incarnation : peer->incarnation;
    }
}

/* Who was removed is told: the leader goes on sending to it for a while, so that it can commit the entry that
 * removes it, and its node knows. Nobody waits for it. */
static void peer_say_farewell(qr_raft_engine *raft, const qr_raft_peer *old)
{
    if (old->id == raft->config.self || raft->peer_count == QR_RAFT_PEERS_MAX ||
        qr_raft_peer_of(raft, old->id))
        return;
    qr_raft_peer *peer = &raft->peers[raft->peer_count++];
    *peer = *old;
    if (peer->leaving_ms == 0)
        peer->leaving_ms = raft->now_ms + (uint64_t)QR_RAFT_FAREWELL_TIMEOUTS * raft->config.election_ms;
}

/* Everything that depends on the configuration in force. */
static void config_in_force(qr_raft_engine *raft)
{
    const qr_members *members = qr_raft_members(raft);
    uint32_t old_count = raft->peer_count, voters = 0;
    qr_raft_peer *old = qr_alloc(sizeof raft->peers);
    memcpy(old, raft->peers, sizeof raft->peers);
    raft->peer_count = 0;
    for (uint32_t i = 0; i < members->count; i++) {
        voters += members->list[i].role == QR_ROLE_VOTER;
        if (members->list[i].id != raft->config.self)
            peer_add(raft, old, old_count, &members->list[i]);
    }
    for (uint32_t i = 0; i < old_count && raft->role == QR_LEADER; i++)
        peer_say_farewell(raft, &old[i]);
    qr_free(old);
    if (raft->role == QR_FOLLOWER || raft->role == QR_LEARNER)
        raft->role = qr_raft_is_voter(raft) ? QR_FOLLOWER : QR_LEARNER;
    qr_raft_trace(raft, QR_TRACE_MEMBERS, raft->configs[raft->config_count - 1].index, voters,
                  members->count - voters, 0);
}

void qr_raft_peers_rebuild(qr_raft_engine *raft)
{
    config_in_force(raft);
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
        config_in_force(raft);
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
        config_in_force(raft);
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

/* Goes from the configuration in force, which is committed, to another one. */
static void change_to(qr_raft_engine *raft, const qr_members *to)
{
    const qr_members *from = qr_raft_members(raft);
    if (qr_members_same_voters(from, to)) {
        append_config(raft, to);
        return;
    }
    qr_members joint;
    qr_status status = qr_members_join(from, to, &joint);
    QR_ASSERT(status == QR_OK); /* checked by whoever asked for it */
    append_config(raft, &joint);
}

/* Nothing is under way, so that a step may be made from the configuration in force (facts row 1, D 4.1 and
 * the erratum to it: the leader's own term has reached a quorum of it). */
static bool is_settled(const qr_raft_engine *raft)
{
    if (QR_BUG(raft->config.bug, CHANGE_EARLY))
        return true;
    return raft->commit >= raft->noop_index && raft->configs[raft->config_count - 1].index <= raft->commit;
}

/* The member's very disk has all that is committed now, and is being heard. */
static bool has_caught_up(const qr_raft_engine *raft, const qr_member *member)
{
    const qr_raft_peer *peer = qr_raft_peer_of(raft, member->id);
    return peer && member->incarnation && member->incarnation == peer->incarnation &&
           peer->newer <= peer->incarnation && qr_raft_peer_alive(raft, peer) &&
           peer->progress == QR_RAFT_REPLICATE && peer->match >= raft->commit;
}

/* The wanted configuration with the disks that are known. A voter's disk never changes by a wish. A new voter
 * that has not caught up yet is let in as one that will be a voter when it has (D 4.2.1): counted before, it
 * would only be missing, and a disk that no configuration names could not vote for those who need it. */
static qr_status complete(const qr_raft_engine *raft, const qr_members *wanted, qr_members *to)
{
    const qr_members *from = qr_raft_members(raft);
    qr_members joint;
    if (qr_members_check(wanted) != QR_OK || wanted->joint)
        return QR_E_INVALID;
    *to = *wanted;
    for (uint32_t i = 0; i < to->count; i++) {
        qr_member *member = &to->list[i];
        const qr_member *now = qr_members_find(from, member->id);
        if (now && member->incarnation == 0)
            member->incarnation = now->incarnation;
        if (now &&
            (member->incarnation < now->incarnation ||
             (now->role == QR_ROLE_VOTER && now->incarnation && member->incarnation != now->incarnation)))
            return QR_E_INVALID;
        if (member->role == QR_ROLE_VOTER && !(now && now->role == QR_ROLE_VOTER) &&
            !has_caught_up(raft, member))
            member->role = QR_ROLE_RETURNING;
    }
    if (from->joint) /* BUSY, as will be said */
        return QR_OK;
    return qr_members_join(from, to, &joint) == QR_OK ? QR_OK : QR_E_INVALID;
}

void qr_raft_on_members(qr_raft_engine *raft, const qr_members *wanted, uint64_t tag)
{
    qr_status status = QR_OK;
    qr_members to;
    if (raft->role != QR_LEADER)
        status = raft->leader ? QR_E_NOT_LEADER : QR_E_NO_LEADER;
    else
        status = complete(raft, wanted, &to);
    if (status == QR_OK &&
        (!is_settled(raft) || qr_raft_members(raft)->joint || raft->handover_to || !qr_raft_is_voter(raft)))
        status = QR_E_BUSY;
    if (status == QR_OK)
        change_to(raft, &to);
    else
        qr_raft_refuse(raft, QR_EVENT_MEMBERS, tag, status);
}

/* ------------------------------------------------------------ by itself ---- */

/* Notes the disks that are known now and stand in no configuration yet: the own one, who spoke in this term
 * first, and what other disk is there in the place of one that does not count. */
static bool record_disks(const qr_raft_engine *raft, qr_members *to)
{
    bool changed = false, complete = true;
    for (uint32_t i = 0; i < to->count; i++) {
        qr_member *member = &to->list[i];
        const qr_raft_peer *peer = qr_raft_peer_of(raft, member->id);
        uint64_t known = member->id == raft->config.self ? raft->config.incarnation
                         : peer                          ? peer->incarnation
                                                         : 0;
        if (member->role != QR_ROLE_VOTER && peer && peer->newer > known)
            known = peer->newer;
        complete = complete && known;
        changed = changed || known > member->incarnation;
        member->incarnation = known > member->incarnation ? known : member->incarnation;
    }
    /* Members report one after another: a heartbeat is time enough to write them down together. */
    return changed && (complete || raft->heartbeat_due);
}

/* Takes out voters whose disk is another one now. One voter at least stays. */
static bool take_out_wiped(const qr_raft_engine *raft, qr_members *to)
{
    bool changed = false;
    uint32_t voters = 0;
    for (uint32_t i = 0; i < to->count; i++)
        voters += to->list[i].role == QR_ROLE_VOTER;
    for (uint32_t i = 0; i < to->count && voters > 1; i++) {
        qr_member *member = &to->list[i];
        const qr_raft_peer *peer = qr_raft_peer_of(raft, member->id);
        if (member->role != QR_ROLE_VOTER || member->incarnation == 0 || !peer ||
            peer->newer <= member->incarnation)
            continue;
        member->role = QR_ROLE_RETURNING;
        changed = true;
        voters--;
    }
    return changed;
}

static bool let_in_returned(const qr_raft_engine *raft, qr_members *to)
{
    bool changed = false;
    for (uint32_t i = 0; i < to->count; i++) {
        qr_member *member = &to->list[i];
        if (member->role != QR_ROLE_RETURNING || !has_caught_up(raft, member))
            continue;
        member->role = QR_ROLE_VOTER;
        changed = true;
    }
    return changed;
}

void qr_raft_forget_departed(qr_raft_engine *raft, uint64_t until_ms)
{
    uint32_t left = 0;
    for (uint32_t i = 0; i < raft->peer_count; i++)
        if (raft->peers[i].leaving_ms == 0 || raft->peers[i].leaving_ms > until_ms) {
            if (left != i)
                raft->peers[left] = raft->peers[i];
            left++;
        }
    raft->peer_count = left;
}

/* A leader's next step, when the former one is committed. */
void qr_raft_members_tick(qr_raft_engine *raft)
{
    if (raft->heartbeat_due)
        qr_raft_forget_departed(raft, raft->now_ms);
    if (!is_settled(raft) || raft->handover_to)
        return;
    qr_members to;
    if (qr_raft_members(raft)->joint) {
        qr_members_leave(qr_raft_members(raft), &to);
        append_config(raft, &to);
        return;
    }
    if (!qr_raft_is_voter(raft)) /* about to go */
        return;
    to = *qr_raft_members(raft);
    if (record_disks(raft, &to)) {
        append_config(raft, &to);
        return;
    }
    to = *qr_raft_members(raft);
    bool changes = take_out_wiped(raft, &to);
    changes = let_in_returned(raft, &to) || changes;
    if (changes)
        change_to(raft, &to);
}

/* A new leader does not know whether the last one was able to tell those who were removed. */
void qr_raft_members_lead(qr_raft_engine *raft)
{
    if (raft->config_count < 2)
        return;
    const qr_members *before = &raft->configs[raft->config_count - 2].members;
    for (uint32_t i = 0; i < before->count; i++) {
        qr_raft_peer gone = {.id = before->list[i].id};
        qr_raft_peer_restart(raft, &gone, before->list[i].incarnation);
        peer_say_farewell(raft, &gone);
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
    uint64_t heir = qr_raft_best_target(raft);
    const qr_raft_peer *peer = heir ? qr_raft_peer_of(raft, heir) : NULL;
    if (peer && peer->match == raft->log.last) {
        qr_raft_trace(raft, QR_TRACE_HANDOVER, heir, raft->term, 0, 0);
        qr_raft_say(raft, heir, false, &(qr_raft_message){.kind = QR_RAFT_TIMEOUT_NOW, .term = raft->term});
    }
    qr_raft_follow(raft, raft->term, 0);
}

/* ------------------------------------------------------------ looking in ---- */

bool qr_raft_peer_alive(const qr_raft_engine *raft, const qr_raft_peer *peer)
{
    return peer->answered && peer->link != QR_RAFT_LINK_DOWN &&
           raft->now_ms - peer->heard_ms < raft->config.election_ms;
}

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
        if (last->members.list[i].id != raft->config.self && !qr_raft_peer_of(raft, last->members.list[i].id))
            return "every other member is a peer";
    return NULL;
}

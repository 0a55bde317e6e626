/* Configurations: which one is in force, who may promise and stand by it, and how a leader goes from one to
 * the next.
 *
 * A configuration is an entry, in force for all slots behind its own one, once it is chosen (PMS 3: "the set
 * of servers that execute instance i + alpha ... specified by the state after execution of the i-th", with a
 * window of alpha = 1 behind a MEMBERS entry: nothing is proposed there before it is chosen). Where voters
 * change the way is
 *
 *   C_old ---- chosen: ----> C_old,new ---- chosen: leader proposes ----> C_new
 *
 * and while C_old,new is in force everything needs a majority of both. Before a leader proposes behind a
 * configuration, a quorum of it must have promised its ballot (phase1.c).
 *
 * The disk behind a name. What promises and remembers is a disk, and its incarnation is its name. A
 * configuration says which disk it means; 0 = whichever speaks first. When a newer one speaks up under a
 * member's name the old one is gone, with what it had promised: that is an acceptor that died, and another
 * one that may be added. So the leader takes the voter out (it is RETURNING now, under its old incarnation,
 * that nobody speaks with), then lets the new disk in as one that does not count, and makes it a voter when
 * it has caught up:
 *
 *   VOTER, b  ---joint---> RETURNING, b  ---simple---> RETURNING, x  ---joint---> VOTER, x
 *
 * All of it is in the log: whoever leads goes on from there. */
#include "paxos/inside.h"

/* ------------------------------------------------------------ who counts ---- */

/* Does the configuration mean this very disk by the own name? */
static bool names_this_disk(const qr_paxos_engine *paxos, const qr_member *member)
{
    return member->incarnation == 0 || member->incarnation == paxos->config.incarnation;
}

static bool counts_in(const qr_paxos_engine *paxos, const qr_members *members)
{
    const qr_member *self = qr_members_find(members, paxos->config.self);
    return self && qr_members_votes(members, self->id) && names_this_disk(paxos, self);
}

bool qr_paxos_is_voter(const qr_paxos_engine *paxos)
{
    return counts_in(paxos, qr_paxos_members(paxos));
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
    if (self && !names_this_disk(paxos, self))
        return false;
    return (self && (self->incarnation || qr_members_votes(members, self->id))) ||
           is_named_in_open_slot(paxos);
}

/* ------------------------------------------------------------ peers ---- */

/* A peer of which nothing is known. What is known of the connection stays. */
void qr_paxos_peer_restart(qr_paxos_engine *paxos, qr_paxos_peer *peer, uint64_t incarnation)
{
    *peer = (qr_paxos_peer){.id = peer->id,
                            .link = peer->link,
                            .down_ms = peer->down_ms,
                            .answer = peer->answer,
                            .incarnation = incarnation,
                            .leaving_ms = peer->leaving_ms,
                            .heard_ms = paxos->now_ms,
                            .next = paxos->taken + 1,
                            .window = QR_PAXOS_INFLIGHT_MAX,
                            .progress = QR_PAXOS_PROBE};
}

static void peer_add(qr_paxos_engine *paxos, const qr_paxos_peer *old, uint32_t old_count,
                     const qr_member *member)
{
    qr_paxos_peer *peer = &paxos->peers[paxos->peer_count++];
    *peer = (qr_paxos_peer){.id = member->id};
    qr_paxos_peer_restart(paxos, peer, member->incarnation);
    for (uint32_t i = 0; i < old_count; i++) {
        if (old[i].id != member->id)
            continue;
        *peer = old[i];
        peer->leaving_ms = 0;
        if (member->incarnation && peer->incarnation && member->incarnation != peer->incarnation)
            qr_paxos_peer_restart(paxos, peer, member->incarnation); /* another disk: it has nothing yet */
        peer->incarnation = member->incarnation ? member->incarnation : peer->incarnation;
    }
}

/* Who was removed is told: the leader goes on sending to it for a while, so that it can commit the entry that
 * removes it, and its node knows. Nobody waits for it. */
static void peer_say_farewell(qr_paxos_engine *paxos, const qr_paxos_peer *old)
{
    if (old->id == paxos->config.self || paxos->peer_count == QR_PAXOS_PEERS_MAX ||
        qr_paxos_peer_of(paxos, old->id))
        return;
    qr_paxos_peer *peer = &paxos->peers[paxos->peer_count++];
    *peer = *old;
    if (peer->leaving_ms == 0)
        peer->leaving_ms = paxos->now_ms + (uint64_t)QR_PAXOS_FAREWELL_TIMEOUTS * paxos->config.election_ms;
}

/* Everything that depends on the configuration in force. */
void qr_paxos_config_in_force(qr_paxos_engine *paxos)
{
    const qr_members *members = qr_paxos_members(paxos);
    uint32_t old_count = paxos->peer_count, voters = 0;
    qr_paxos_peer *old = qr_alloc(sizeof paxos->peers);
    memcpy(old, paxos->peers, sizeof paxos->peers);
    paxos->peer_count = 0;
    for (uint32_t i = 0; i < members->count; i++) {
        voters += members->list[i].role == QR_ROLE_VOTER;
        if (members->list[i].id != paxos->config.self)
            peer_add(paxos, old, old_count, &members->list[i]);
    }
    for (uint32_t i = 0; i < old_count && paxos->role == QR_LEADER; i++)
        peer_say_farewell(paxos, &old[i]);
    qr_free(old);
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

/* Goes from the configuration in force, which is chosen, to another one. */
static void change_to(qr_paxos_engine *paxos, const qr_members *to)
{
    const qr_members *from = qr_paxos_members(paxos);
    if (qr_members_same_voters(from, to)) {
        propose_config(paxos, to);
        return;
    }
    qr_members joint;
    qr_status status = qr_members_join(from, to, &joint);
    QR_ASSERT(status == QR_OK); /* checked by whoever asked for it */
    propose_config(paxos, &joint);
}

/* Nothing is under way, so that a step may be made from the configuration in force. */
static bool is_settled(const qr_paxos_engine *paxos)
{
    return paxos->proposing && paxos->noop_index && paxos->chosen >= paxos->noop_index;
}

/* The member's very disk has all that is committed now, and is being heard. */
static bool has_caught_up(const qr_paxos_engine *paxos, const qr_member *member)
{
    const qr_paxos_peer *peer = qr_paxos_peer_of(paxos, member->id);
    return peer && member->incarnation && member->incarnation == peer->incarnation &&
           peer->newer <= peer->incarnation && qr_paxos_peer_alive(paxos, peer) &&
           peer->progress == QR_PAXOS_PIPELINE && peer->match >= paxos->chosen;
}

/* The wanted configuration with the disks that are known. A voter's disk never changes by a wish. A new voter
 * that has not caught up yet is let in as one that will be a voter when it has : counted before, it
 * would only be missing, and a disk that no configuration names could not vote for those who need it. */
static qr_status complete(const qr_paxos_engine *paxos, const qr_members *wanted, qr_members *to)
{
    const qr_members *from = qr_paxos_members(paxos);
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
            !has_caught_up(paxos, member))
            member->role = QR_ROLE_RETURNING;
    }
    if (from->joint) /* BUSY, as will be said */
        return QR_OK;
    return qr_members_join(from, to, &joint) == QR_OK ? QR_OK : QR_E_INVALID;
}

void qr_paxos_on_members(qr_paxos_engine *paxos, const qr_members *wanted, uint64_t tag)
{
    qr_status status = QR_OK;
    qr_members to;
    if (paxos->role != QR_LEADER)
        status = paxos->leader ? QR_E_NOT_LEADER : QR_E_NO_LEADER;
    else
        status = complete(paxos, wanted, &to);
    if (status == QR_OK && (!is_settled(paxos) || qr_paxos_members(paxos)->joint || paxos->handover_to ||
                            !qr_paxos_is_voter(paxos)))
        status = QR_E_BUSY;
    if (status == QR_OK)
        change_to(paxos, &to);
    else
        qr_paxos_refuse(paxos, QR_EVENT_MEMBERS, tag, status);
}

/* ------------------------------------------------------------ by itself ---- */

/* Notes the disks that are known now and stand in no configuration yet: the own one, who spoke in this term
 * first, and what other disk is there in the place of one that does not count. */
static bool record_disks(const qr_paxos_engine *paxos, qr_members *to)
{
    bool changed = false, complete = true;
    for (uint32_t i = 0; i < to->count; i++) {
        qr_member *member = &to->list[i];
        const qr_paxos_peer *peer = qr_paxos_peer_of(paxos, member->id);
        uint64_t known = member->id == paxos->config.self ? paxos->config.incarnation
                         : peer                           ? peer->incarnation
                                                          : 0;
        if (member->role != QR_ROLE_VOTER && peer && peer->newer > known)
            known = peer->newer;
        complete = complete && known;
        changed = changed || known > member->incarnation;
        member->incarnation = known > member->incarnation ? known : member->incarnation;
    }
    /* Members report one after another: a heartbeat is time enough to write them down together. */
    return changed && (complete || paxos->heartbeat_due);
}

/* Takes out voters whose disk is another one now. One voter at least stays. */
static bool take_out_wiped(const qr_paxos_engine *paxos, qr_members *to)
{
    bool changed = false;
    uint32_t voters = 0;
    for (uint32_t i = 0; i < to->count; i++)
        voters += to->list[i].role == QR_ROLE_VOTER;
    for (uint32_t i = 0; i < to->count && voters > 1; i++) {
        qr_member *member = &to->list[i];
        const qr_paxos_peer *peer = qr_paxos_peer_of(paxos, member->id);
        if (member->role != QR_ROLE_VOTER || member->incarnation == 0 || !peer ||
            peer->newer <= member->incarnation)
            continue;
        member->role = QR_ROLE_RETURNING;
        changed = true;
        voters--;
    }
    return changed;
}

static bool let_in_returned(const qr_paxos_engine *paxos, qr_members *to)
{
    bool changed = false;
    for (uint32_t i = 0; i < to->count; i++) {
        qr_member *member = &to->list[i];
        if (member->role != QR_ROLE_RETURNING || !has_caught_up(paxos, member))
            continue;
        member->role = QR_ROLE_VOTER;
        changed = true;
    }
    return changed;
}

void qr_paxos_forget_departed(qr_paxos_engine *paxos, uint64_t until_ms)
{
    uint32_t left = 0;
    for (uint32_t i = 0; i < paxos->peer_count; i++)
        if (paxos->peers[i].leaving_ms == 0 || paxos->peers[i].leaving_ms > until_ms) {
            if (left != i)
                paxos->peers[left] = paxos->peers[i];
            left++;
        }
    paxos->peer_count = left;
}

/* A leader's next step, when the former one is chosen. */
void qr_paxos_members_tick(qr_paxos_engine *paxos)
{
    if (paxos->heartbeat_due)
        qr_paxos_forget_departed(paxos, paxos->now_ms);
    if (!is_settled(paxos) || paxos->handover_to)
        return;
    qr_members to;
    if (qr_paxos_members(paxos)->joint) {
        qr_members_leave(qr_paxos_members(paxos), &to);
        propose_config(paxos, &to);
        return;
    }
    if (!qr_paxos_is_voter(paxos)) /* about to go */
        return;
    to = *qr_paxos_members(paxos);
    if (record_disks(paxos, &to)) {
        propose_config(paxos, &to);
        return;
    }
    to = *qr_paxos_members(paxos);
    bool changes = take_out_wiped(paxos, &to);
    changes = let_in_returned(paxos, &to) || changes;
    if (changes)
        change_to(paxos, &to);
}

/* Who is no voter any more leads no more. Its last messages tell that this is chosen, and who may be next. */
void qr_paxos_members_retire(qr_paxos_engine *paxos)
{
    if (qr_paxos_is_voter(paxos))
        return;
    uint64_t heir = qr_paxos_best_target(paxos);
    if (heir) {
        qr_paxos_trace(paxos, QR_TRACE_HANDOVER, heir, paxos->ballot, 0, 0);
        qr_paxos_say(paxos, heir, false,
                     &(qr_paxos_message){.kind = QR_PAXOS_TAKE_OVER, .ballot = paxos->ballot});
    }
    qr_paxos_follow(paxos, paxos->ballot, 0);
}

/* ------------------------------------------------------------ looking in ---- */

bool qr_paxos_peer_alive(const qr_paxos_engine *paxos, const qr_paxos_peer *peer)
{
    return peer->answered && peer->link != QR_PAXOS_LINK_DOWN &&
           paxos->now_ms - peer->heard_ms < paxos->config.election_ms;
}

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
            !qr_paxos_peer_of(paxos, last->members.list[i].id))
            return "every other member is a peer";
    return NULL;
}

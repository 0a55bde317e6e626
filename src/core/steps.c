#include "core/steps.h"

/* The member's very disk has all that is committed now, and is being heard. */
static bool has_caught_up(const qr_steps *steps, const qr_member *member)
{
    const qr_peer *peer = qr_peers_of(steps->peers, member->id);
    return peer && member->incarnation && member->incarnation == peer->incarnation &&
           peer->newer <= peer->incarnation && qr_peer_alive(peer, steps->config, steps->now_ms) &&
           peer->progress == QR_PIPELINE && peer->match >= steps->commit;
}

/* The entry that leads there: TOO_LARGE, INVALID. */
static qr_status lead_to(const qr_steps *steps, const qr_members *to, qr_members *entry)
{
    qr_status status = qr_members_join(steps->members, to, entry);
    if (qr_members_same_voters(steps->members, to))
        *entry = *to;
    return status;
}

/* A voter's disk never changes by a wish. A new voter that has not caught up yet is let in as one that will
 * be a voter when it has (D 4.2.1): counted before, it would only be missing, and a disk that no
 * configuration names could not vote for those who need it. */
static qr_status complete(const qr_steps *steps, qr_member *member)
{
    const qr_member *now = qr_members_find(steps->members, member->id);
    if (now && member->incarnation == 0)
        member->incarnation = now->incarnation;
    if (now && (member->incarnation < now->incarnation ||
                (now->role == QR_ROLE_VOTER && now->incarnation && member->incarnation != now->incarnation)))
        return QR_E_INVALID;
    if (member->role == QR_ROLE_VOTER && !(now && now->role == QR_ROLE_VOTER) &&
        !has_caught_up(steps, member))
        member->role = QR_ROLE_RETURNING;
    return QR_OK;
}

qr_status qr_steps_begin(const qr_steps *steps, const qr_members *wanted, qr_members *entry)
{
    if (qr_members_check(wanted) != QR_OK || wanted->joint)
        return QR_E_INVALID;
    qr_members to = *wanted;
    for (uint32_t i = 0; i < to.count; i++)
        if (complete(steps, &to.list[i]) != QR_OK)
            return QR_E_INVALID;
    if (steps->members->joint)
        return QR_E_BUSY;
    return lead_to(steps, &to, entry) == QR_OK ? QR_OK : QR_E_INVALID;
}

/* ------------------------------------------------------------ by itself ---- */

/* Notes the disks that are known now and stand in no configuration yet: the own one, who spoke in this term
 * first, and what other disk is there in the place of one that does not count. */
static bool record_disks(const qr_steps *steps, qr_members *to)
{
    bool changed = false, complete = true;
    for (uint32_t i = 0; i < to->count; i++) {
        qr_member *member = &to->list[i];
        const qr_peer *peer = qr_peers_of(steps->peers, member->id);
        uint64_t known = member->id == steps->config->self ? steps->config->incarnation
                         : peer                            ? peer->incarnation
                                                           : 0;
        if (member->role != QR_ROLE_VOTER && peer && peer->newer > known)
            known = peer->newer;
        complete = complete && known;
        changed = changed || known > member->incarnation;
        member->incarnation = known > member->incarnation ? known : member->incarnation;
    }
    /* Members report one after another: a heartbeat is time enough to write them down together. */
    return changed && (complete || steps->is_due);
}

/* Takes out voters whose disk is another one now. One voter at least stays. */
static bool take_out_wiped(const qr_steps *steps, qr_members *to)
{
    bool changed = false;
    uint32_t voters = qr_members_voters(to);
    for (uint32_t i = 0; i < to->count && voters > 1; i++) {
        qr_member *member = &to->list[i];
        const qr_peer *peer = qr_peers_of(steps->peers, member->id);
        if (member->role != QR_ROLE_VOTER || member->incarnation == 0 || !peer ||
            peer->newer <= member->incarnation)
            continue;
        member->role = QR_ROLE_RETURNING;
        changed = true;
        voters--;
    }
    return changed;
}

static bool let_in_returned(const qr_steps *steps, qr_members *to)
{
    bool changed = false;
    for (uint32_t i = 0; i < to->count; i++) {
        qr_member *member = &to->list[i];
        if (member->role != QR_ROLE_RETURNING || !has_caught_up(steps, member))
            continue;
        member->role = QR_ROLE_VOTER;
        changed = true;
    }
    return changed;
}

bool qr_steps_next(const qr_steps *steps, qr_members *entry)
{
    if (steps->members->joint) {
        qr_members_leave(steps->members, entry);
        return true;
    }
    if (!qr_members_count_disk(steps->members, steps->config->self, steps->config->incarnation))
        return false; /* about to go */
    *entry = *steps->members;
    if (record_disks(steps, entry))
        return true;
    qr_members to = *steps->members;
    bool changes = take_out_wiped(steps, &to);
    changes = let_in_returned(steps, &to) || changes;
    if (!changes)
        return false;
    qr_status status = lead_to(steps, &to, entry);
    QR_ASSERT(status == QR_OK);
    return true;
}

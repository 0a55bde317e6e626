#include "core/members.h"

typedef enum half { HALF_INCOMING, HALF_OUTGOING } half;

static bool votes_in(const qr_member *member, half which)
{
    return which == HALF_INCOMING ? member->role == QR_ROLE_VOTER : member->voted_before == 1;
}

const qr_member *qr_members_find(const qr_members *members, uint64_t id)
{
    for (uint32_t i = 0; i < members->count; i++)
        if (members->list[i].id == id)
            return &members->list[i];
    return NULL;
}

bool qr_members_votes(const qr_members *members, uint64_t id)
{
    const qr_member *member = qr_members_find(members, id);
    return member && (member->role == QR_ROLE_VOTER || (members->joint && member->voted_before));
}

uint32_t qr_members_voters(const qr_members *members)
{
    uint32_t voters = 0;
    for (uint32_t i = 0; i < members->count; i++)
        voters += members->list[i].role == QR_ROLE_VOTER;
    return voters;
}

bool qr_members_count_disk(const qr_members *members, uint64_t id, uint64_t incarnation)
{
    const qr_member *member = qr_members_find(members, id);
    return member && qr_members_votes(members, id) && qr_member_is_disk(member, incarnation);
}

qr_status qr_members_add(qr_members *members, qr_member member)
{
    QR_ASSERT(members->count <= QR_MEMBERS_MAX);
    if (qr_members_find(members, member.id))
        return QR_E_EXISTS;
    if (members->count == QR_MEMBERS_MAX)
        return QR_E_TOO_LARGE;
    uint32_t at = members->count++;
    for (; at > 0 && members->list[at - 1].id > member.id; at--)
        members->list[at] = members->list[at - 1];
    members->list[at] = member;
    return QR_OK;
}

qr_status qr_members_check(const qr_members *members)
{
    uint32_t voters = 0, voters_old = 0;
    if (members->count > QR_MEMBERS_MAX || members->joint > 1)
        return QR_E_INVALID;
    for (uint32_t i = 0; i < members->count; i++) {
        const qr_member *member = &members->list[i];
        if (member->id == 0 || (i > 0 && member->id <= members->list[i - 1].id))
            return QR_E_INVALID;
        if (member->role < QR_ROLE_VOTER || member->role > QR_ROLE_LEAVING)
            return QR_E_INVALID;
        if (member->voted_before > members->joint) /* 0 or 1, and 1 only inside a joint configuration */
            return QR_E_INVALID;
        if (member->role == QR_ROLE_LEAVING && !member->voted_before)
            return QR_E_INVALID;
        voters += member->role == QR_ROLE_VOTER;
        voters_old += member->voted_before;
    }
    return voters == 0 || (members->joint && voters_old == 0) ? QR_E_INVALID : QR_OK;
}

/* ------------------------------------------------------------ changes ---- */

qr_status qr_members_join(const qr_members *from, const qr_members *to, qr_members *joint)
{
    QR_ASSERT(!from->joint && !to->joint);
    *joint = *to;
    joint->joint = 1;
    for (uint32_t i = 0; i < from->count; i++) {
        qr_member member = from->list[i];
        if (member.role != QR_ROLE_VOTER)
            continue;
        member.voted_before = 1;
        member.role = QR_ROLE_LEAVING;
        qr_status status = qr_members_add(joint, member);
        for (uint32_t j = 0; status == QR_E_EXISTS && j < joint->count; j++)
            if (joint->list[j].id == member.id)
                joint->list[j].voted_before = 1;
        if (status == QR_E_TOO_LARGE)
            return status;
    }
    return qr_members_check(joint);
}

void qr_members_leave(const qr_members *joint, qr_members *to)
{
    QR_ASSERT(joint->joint);
    *to = (qr_members){0};
    for (uint32_t i = 0; i < joint->count; i++) {
        qr_member member = joint->list[i];
        member.voted_before = 0;
        if (member.role != QR_ROLE_LEAVING)
            to->list[to->count++] = member;
    }
}

/* The voters of one half of `a` are those of one half of `b`. A disk may become known, never another one. */
static bool same_half(const qr_members *a, half half_a, const qr_members *b, half half_b)
{
    uint32_t voters_a = 0, voters_b = 0;
    for (uint32_t i = 0; i < b->count; i++)
        voters_b += votes_in(&b->list[i], half_b);
    for (uint32_t i = 0; i < a->count; i++) {
        const qr_member *member = &a->list[i], *same = qr_members_find(b, member->id);
        if (!votes_in(member, half_a))
            continue;
        voters_a++;
        if (!same || !votes_in(same, half_b) ||
            (member->incarnation && member->incarnation != same->incarnation))
            return false;
    }
    return voters_a == voters_b;
}

bool qr_members_same_voters(const qr_members *a, const qr_members *b)
{
    return same_half(a, HALF_INCOMING, b, HALF_INCOMING) && a->joint == b->joint &&
           (!a->joint || same_half(a, HALF_OUTGOING, b, HALF_OUTGOING));
}

bool qr_members_may_follow(const qr_members *last, const qr_members *next)
{
    if (last->joint == next->joint)
        return qr_members_same_voters(last, next);
    return next->joint ? same_half(last, HALF_INCOMING, next, HALF_OUTGOING)
                       : same_half(last, HALF_INCOMING, next, HALF_INCOMING);
}

/* ------------------------------------------------------------ bytes ---- */

void qr_members_encode(const qr_members *members, qr_buffer *out)
{
    QR_ASSERT(members->count <= QR_MEMBERS_MAX);
    qr_buffer_varint(out, members->count);
    qr_buffer_u8(out, members->joint);
    for (uint32_t i = 0; i < members->count; i++) {
        qr_buffer_u64(out, members->list[i].id);
        qr_buffer_u64(out, members->list[i].incarnation);
        qr_buffer_u8(out, members->list[i].role);
        qr_buffer_u8(out, members->list[i].voted_before);
    }
}

qr_status qr_members_decode(qr_reader *reader, qr_members *members)
{
    *members = (qr_members){0};
    uint64_t count = qr_reader_varint(reader);
    members->joint = qr_reader_u8(reader);
    if (reader->failed || count > QR_MEMBERS_MAX)
        return QR_E_INVALID;
    members->count = (uint32_t)count;
    for (uint32_t i = 0; i < members->count; i++) {
        members->list[i].id = qr_reader_u64(reader);
        members->list[i].incarnation = qr_reader_u64(reader);
        members->list[i].role = qr_reader_u8(reader);
        members->list[i].voted_before = qr_reader_u8(reader);
    }
    return reader->failed ? QR_E_INVALID : qr_members_check(members);
}

/* ------------------------------------------------------------ quorums ---- */

static bool half_has(const qr_members *members, half which, bool (*has)(const void *context, uint64_t id),
                     const void *context)
{
    uint32_t voters = 0, having = 0;
    for (uint32_t i = 0; i < members->count; i++) {
        if (!votes_in(&members->list[i], which))
            continue;
        voters++;
        having += has(context, members->list[i].id);
    }
    return voters > 0 && having > voters / 2;
}

bool qr_quorum_has(const qr_members *members, bool (*has)(const void *context, uint64_t id),
                   const void *context)
{
    return half_has(members, HALF_INCOMING, has, context) &&
           (!members->joint || half_has(members, HALF_OUTGOING, has, context));
}

static uint64_t half_value(const qr_members *members, half which,
                           uint64_t (*value_of)(const void *context, uint64_t id), const void *context)
{
    uint64_t sorted[QR_MEMBERS_MAX]; /* descending */
    uint32_t voters = 0;
    for (uint32_t i = 0; i < members->count; i++) {
        if (!votes_in(&members->list[i], which))
            continue;
        uint64_t value = value_of(context, members->list[i].id);
        uint32_t at = voters++;
        for (; at > 0 && sorted[at - 1] < value; at--)
            sorted[at] = sorted[at - 1];
        sorted[at] = value;
    }
    return voters == 0 ? 0 : sorted[voters / 2];
}

uint64_t qr_quorum_value(const qr_members *members, uint64_t (*value_of)(const void *context, uint64_t id),
                         const void *context)
{
    uint64_t value = half_value(members, HALF_INCOMING, value_of, context);
    if (members->joint) {
        uint64_t outgoing = half_value(members, HALF_OUTGOING, value_of, context);
        value = value < outgoing ? value : outgoing;
    }
    return value;
}

/* Who belongs to a group: the configuration that quorums are counted in. A plain value of bounded size.
 *
 * voters_old is non-empty only inside a joint configuration (Ongaro's dissertation, section 4.3): then a
 * decision needs a majority of both sets. */
#ifndef QR_CORE_MEMBERS_H
#define QR_CORE_MEMBERS_H

#include "base/base.h"

enum { QR_MEMBERS_MAX = 32 }; /* voters and learners of one group together */

/* Only QR_ROLE_VOTER votes; all others get entries and never count. */
typedef enum qr_member_role {
    QR_ROLE_VOTER = 1,
    QR_ROLE_LEARNER = 2,
    /* A learner that the leader makes a voter by itself as soon as it has caught up: a voter that came back
     * with another disk, or a new one that was asked for as a voter and is not there yet. Whoever leads then
     * reads here that it is owed its vote. */
    QR_ROLE_RETURNING = 3,
    /* Only in a joint configuration, with voted_before: an outgoing voter that is no member afterwards. */
    QR_ROLE_LEAVING = 4,
} qr_member_role;

typedef struct qr_member {
    uint64_t id;          /* never 0, never used again after removal */
    uint64_t incarnation; /* the disk behind it: 0 = not known yet. A wiped disk has another one and never
                             votes as the old one (facts row 31) */
    uint8_t role;         /* qr_member_role in the newest configuration */
    uint8_t voted_before; /* 1: also a voter of the outgoing half of a joint configuration */
} qr_member;

typedef struct qr_members {
    uint32_t count;
    uint8_t joint;                  /* 1: voters_old = those with voted_before */
    qr_member list[QR_MEMBERS_MAX]; /* sorted by id, no id twice */
} qr_members;

const qr_member *qr_members_find(const qr_members *members, uint64_t id); /* NULL if absent */
bool qr_members_votes(const qr_members *members, uint64_t id);            /* in either half */
uint32_t qr_members_voters(const qr_members *members);                    /* how many, without those before */
/* Does the configuration mean this very disk by the member's name? */
static inline bool qr_member_is_disk(const qr_member *member, uint64_t incarnation)
{
    return member->incarnation == 0 || member->incarnation == incarnation;
}
bool qr_members_count_disk(const qr_members *members, uint64_t id, uint64_t incarnation); /* it votes */
qr_status qr_members_add(qr_members *members, qr_member member); /* EXISTS, TOO_LARGE */
qr_status qr_members_check(const qr_members *members);           /* INVALID: order, roles, no voter */

/* The way from one configuration to another with other voters: a joint one (D 4.3), and where it ends. A
 * voter keeps its incarnation on the way; learners that are members no more are left out at once. TOO_LARGE:
 * both together are more than a group may have. */
qr_status qr_members_join(const qr_members *from, const qr_members *to, qr_members *joint);
void qr_members_leave(const qr_members *joint, qr_members *to);
/* The same voters, on the same disks as far as both name them: their quorums are the same. */
bool qr_members_same_voters(const qr_members *a, const qr_members *b);
/* May `next` come right behind `last` in a log? Then any quorum of one meets any quorum of the other: next
 * has the voters of last, or is the joint one that begins with them, or the end of the joint one last. */
bool qr_members_may_follow(const qr_members *last, const qr_members *next);

/* Encoding: doc/formats/peer.md, "members". */
void qr_members_encode(const qr_members *members, qr_buffer *out);
qr_status qr_members_decode(qr_reader *reader, qr_members *members);

/* True when the members for whom has(context, id) holds form a quorum: a majority of the voters and, in a
 * joint configuration, a majority of the outgoing voters too. Learners never count. A *set* is asked, not a
 * counter, so nobody counts twice (facts row 32). */
bool qr_quorum_has(const qr_members *members, bool (*has)(const void *context, uint64_t id),
                   const void *context);

/* The greatest number n such that value_of() >= n for a quorum: what is committed, or the freshest confirmed
 * round. */
uint64_t qr_quorum_value(const qr_members *members, uint64_t (*value_of)(const void *context, uint64_t id),
                         const void *context);

#endif

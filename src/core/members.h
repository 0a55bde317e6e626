/* Who belongs to a group: the configuration that quorums are counted in. A plain value of bounded size.
 *
 * voters_old is non-empty only inside a joint configuration (Ongaro's dissertation, section 4.3): then a
 * decision needs a majority of both sets. */
#ifndef QR_CORE_MEMBERS_H
#define QR_CORE_MEMBERS_H

#include "base/base.h"

enum { QR_MEMBERS_MAX = 32 }; /* voters and learners of one group together */

typedef enum qr_member_role { QR_ROLE_VOTER = 1, QR_ROLE_LEARNER = 2 } qr_member_role;

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
qr_status qr_members_add(qr_members *members, qr_member member);          /* EXISTS, TOO_LARGE */
qr_status qr_members_check(const qr_members *members); /* INVALID: order, roles, no voter */

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

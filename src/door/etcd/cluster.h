/* What the two files of the Cluster service share: how members look in an answer. */
#ifndef QR_DOOR_ETCD_CLUSTER_H
#define QR_DOOR_ETCD_CLUSTER_H

#include "door/etcd/door.h"

typedef struct qr_etcd_members {
    QrEtcdpb__ResponseHeader header; /* without a revision, as 3.4 */
    QrEtcdpb__Member **list;         /* in the order of their ids; the arena's */
    size_t count;
} qr_etcd_members;

/* The members of the configuration in force here, described from the catalogue, into the call's arena. */
void qr_etcd_members_describe(qr_etcd_call *call, const qr_op_result *everything, qr_etcd_members *members);
/* call->query becomes the one for the whole catalogue. */
void qr_etcd_members_query(qr_etcd_call *call);

/* membership.c: the calls that change something */
void qr_etcd_start_member_add(qr_etcd_call *call, qr_slice message);
void qr_etcd_start_member_remove(qr_etcd_call *call, qr_slice message);
void qr_etcd_start_member_update(qr_etcd_call *call, qr_slice message);
void qr_etcd_start_member_promote(qr_etcd_call *call, qr_slice message);
void qr_etcd_start_member_replace(qr_etcd_call *call, qr_slice message);

/* black_box.c */
void qr_etcd_start_black_box(qr_etcd_call *call, qr_slice message);
extern const qr_etcd_streaming qr_etcd_black_box_streaming;

/* member_status.c */
void qr_etcd_start_member_status(qr_etcd_call *call, qr_slice message);

#endif

/* The queue of those who want the same thing: a lock, or the lead in an election. Each has a key under NAME/,
 * bound to a lease, and the one whose key was created first has it. doc/doors/etcd.md, "Locks and elections".
 *
 *   (no lease given: grant) --> put the key --> look --nobody before me--> served
 *                                                ^  |
 *                                                |  +--> wait for the end of the key before mine, or of mine
 *                                                +-------+
 *
 * A place that is given up, because its client hangs up or its patience is over, is withdrawn: its key is
 * deleted, or the lease revoked that was made for it. */
#ifndef QR_DOOR_ETCD_QUEUE_H
#define QR_DOOR_ETCD_QUEUE_H

#include "door/etcd/call.h"

typedef struct qr_etcd_place {
    qr_slice name, key; /* key: NAME/LEASE */
    int64_t lease;
    uint64_t created;  /* create revision of the key: the fencing token */
    uint64_t put;      /* its mod revision */
    uint64_t revision; /* of the store when it was served */
    uint64_t term;
} qr_etcd_place;

/* Queues up for a streaming call whose operations are qr_etcd_queueing. lease 0: one of 60 s is made.
 * served() answers the call; every failure is answered here. Copies name and value. */
void qr_etcd_queue_up(qr_etcd_call *call, qr_slice name, qr_slice value, int64_t lease,
                      void (*served)(qr_etcd_call *call, const qr_etcd_place *place));
extern const qr_etcd_streaming qr_etcd_queueing;

/* All keys under a name, and the first of them. */
qr_span qr_etcd_queue_span(qr_slice name, qr_arena *arena);
qr_range qr_etcd_queue_first(qr_span span);
/* For call->refused: a failure with its text but with the code UNKNOWN, since in etcd it comes from a client
 * inside the server. */
bool qr_etcd_queue_refused(qr_etcd_call *call, qr_status status);
/* The one transaction of a call that does not wait. */
void qr_etcd_queue_write(qr_etcd_call *call, const qr_txn *txn,
                         void (*answer)(qr_etcd_call *call, const qr_reply *reply));
void qr_etcd_queue_header(QrEtcdpb__ResponseHeader *header, const qr_etcd_call *call, uint64_t revision,
                          uint64_t term);

#endif

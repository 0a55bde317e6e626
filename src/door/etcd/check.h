/* The checks a request must pass before it goes to the node: etcd's, in etcd's order. */
#ifndef QR_DOOR_ETCD_CHECK_H
#define QR_DOOR_ETCD_CHECK_H

#include "door/etcd/error.h"
#include "door/etcd/message.h"
#include "rpc.pb-c.h"

qr_etcd_error qr_etcd_check_range(const qr_etcd_range_request *request);
qr_etcd_error qr_etcd_check_put(const qr_etcd_put_request *request);
qr_etcd_error qr_etcd_check_delete(const qr_etcd_delete_request *request);
/* Counts, keys and options of all levels, then duplicate keys. The arena is for working space. */
qr_etcd_error qr_etcd_check_txn(const QrEtcdpb__TxnRequest *txn, uint32_t ops_max, qr_arena *arena);

/* Does a list of operations change one key twice in a way etcd refuses? Two puts of a key, or a put inside a
 * deleted range, unless the two stand in the `success` and the `failure` of one txn, or a later nested txn
 * deletes what an earlier one put. A range end that is not above its key (also "\0": from the key on) deletes
 * nothing in the eyes of this rule. O(n log n) for n operations of all levels. */
bool qr_etcd_changes_twice(QrEtcdpb__RequestOp *const *ops, size_t count, qr_arena *arena);

/* The same request out of a protobuf-c message; borrows. */
void qr_etcd_range_from(const QrEtcdpb__RangeRequest *message, qr_etcd_range_request *request);
void qr_etcd_put_from(const QrEtcdpb__PutRequest *message, qr_etcd_put_request *request);
void qr_etcd_delete_from(const QrEtcdpb__DeleteRangeRequest *message, qr_etcd_delete_request *request);

#endif

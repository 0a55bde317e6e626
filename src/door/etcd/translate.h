/* From etcd's requests to the language below the doors (core/txn.h). */
#ifndef QR_DOOR_ETCD_TRANSLATE_H
#define QR_DOOR_ETCD_TRANSLATE_H

#include "door/etcd/message.h"
#include "rpc.pb-c.h"

/* Range end forms: empty = the key alone; "\0" = from the key on; else up to it, which may be nothing. */
qr_span qr_etcd_span(qr_slice key, qr_slice range_end);

void qr_etcd_translate_range(const qr_etcd_range_request *request, qr_range *range);
void qr_etcd_translate_put(const qr_etcd_put_request *request, qr_put *put);
void qr_etcd_translate_delete(const qr_etcd_delete_request *request, qr_delete *del);
/* Borrows the message and takes the rest from the arena. The message has passed qr_etcd_check_txn(). */
void qr_etcd_translate_txn(const QrEtcdpb__TxnRequest *message, qr_arena *arena, qr_txn *txn);

/* No write, no nested txn; and then: every range of it serializable? */
bool qr_etcd_txn_reads_only(const QrEtcdpb__TxnRequest *message);
bool qr_etcd_txn_is_serializable(const QrEtcdpb__TxnRequest *message);

/* One corner needs the request again when the answer comes. With a sort target but without a sort order etcd
 * takes limit + 1 keys in key order, sorts these, and then cuts the last one off. The tree is asked for limit
 * + 1 in key order and the rest is done here. */
bool qr_etcd_sorts_late(const qr_etcd_range_request *request);
bool qr_etcd_txn_sorts_late(const QrEtcdpb__TxnRequest *message);
/* A result as it is to be answered: the same one, or a copy in the arena. */
const qr_op_result *qr_etcd_sort_late(const qr_etcd_range_request *request, const qr_op_result *result,
                                      qr_arena *arena);
const qr_txn_result *qr_etcd_txn_sort_late(const QrEtcdpb__TxnRequest *message, const qr_txn_result *result,
                                           qr_arena *arena);

#endif

/* Metrics: what the door counts, and the page that shows it beside what node, tree, disk and process count.
 */
#ifndef QR_DOOR_ETCD_METRICS_H
#define QR_DOOR_ETCD_METRICS_H

#include "door/etcd/alarm.h"

enum { QR_ETCD_CODES = QR_GRPC_UNAUTHENTICATED + 1 };

typedef struct qr_etcd_count { /* of one method */
    const qr_etcd_service *service;
    const qr_etcd_method *method;
    uint64_t started, handled[QR_ETCD_CODES];
} qr_etcd_count;

/* Appends Prometheus' text form (version 0.0.4). tree: as applied here; NULL: not known, and what depends on
 * it is left out. */
void qr_etcd_metrics_print(const qr_etcd_door *door, const qr_tree_status *tree, qr_buffer *out);

#endif

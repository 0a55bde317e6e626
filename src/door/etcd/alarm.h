/* Alarms: what is wrong with the space or the state of members, seen from this one. Nothing is raised and
 * nothing has to be taken back: an alarm is there as long as its cause is. */
#ifndef QR_DOOR_ETCD_ALARM_H
#define QR_DOOR_ETCD_ALARM_H

#include "door/etcd/door.h"

enum { QR_ETCD_ALARMS_MAX = 2 };

typedef struct qr_etcd_alarm {
    uint64_t member;
    bool corrupt; /* else NOSPACE */
} qr_etcd_alarm;

/* tree: as applied here; NULL: not known. Returns how many there are. */
size_t qr_etcd_alarms(const qr_etcd_door *door, const qr_tree_status *tree,
                      qr_etcd_alarm alarms[QR_ETCD_ALARMS_MAX]);

void qr_etcd_start_alarm(qr_etcd_call *call, qr_slice message);

#endif

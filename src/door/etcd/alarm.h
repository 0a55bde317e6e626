/* Alarms: the records that all members have (doc/design/alarms.md), and what this one finds wrong and could
 * not have recorded yet, or ever: of its own full disk, of states that differ. */
#ifndef QR_DOOR_ETCD_ALARM_H
#define QR_DOOR_ETCD_ALARM_H

#include "door/etcd/door.h"

enum { QR_ETCD_ALARMS_MAX = QR_ALARMS_MAX + 2 };

/* tree: as applied here; NULL: not known. Returns how many there are. */
size_t qr_etcd_alarms(const qr_etcd_door *door, const qr_tree_status *tree,
                      qr_alarm alarms[QR_ETCD_ALARMS_MAX]);
/* As etcd prints an AlarmMember. */
char *qr_etcd_alarm_text(const qr_alarm *alarm, qr_arena *arena);
const char *qr_etcd_alarm_name(const qr_alarm *alarm, char number[12]); /* number: for a kind without one */

void qr_etcd_start_alarm(qr_etcd_call *call, qr_slice message);

#endif

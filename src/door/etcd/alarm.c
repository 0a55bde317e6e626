#include "door/etcd/alarm.h"

size_t qr_etcd_alarms(const qr_etcd_door *door, const qr_tree_status *tree,
                      qr_etcd_alarm alarms[QR_ETCD_ALARMS_MAX])
{
    qr_node_status node;
    size_t count = 0;
    qr_node_status_of(door->config.node, &node);
    if (node.no_space || (tree && tree->is_full))
        alarms[count++] = (qr_etcd_alarm){.member = door->config.self};
    /* On the one that the majority contradicts, or on this member while nobody knows who is wrong. */
    if (node.divergent || node.corrupt)
        alarms[count++] =
            (qr_etcd_alarm){.member = node.divergent ? node.divergent : door->config.self, .corrupt = true};
    return count;
}

/* Of member 0 and kind NONE: of all. Like 3.4, the answer has no header. */
static void answer_alarm(qr_etcd_call *call, const qr_reply *reply)
{
    const QrEtcdpb__AlarmRequest *request = call->work;
    qr_etcd_alarm found[QR_ETCD_ALARMS_MAX];
    QrEtcdpb__AlarmMember members[QR_ETCD_ALARMS_MAX], *list[QR_ETCD_ALARMS_MAX];
    QrEtcdpb__AlarmResponse answer = QR_ETCDPB__ALARM_RESPONSE__INIT;
    size_t count = qr_etcd_alarms(call->door, reply->result, found);
    answer.alarms = list;
    for (size_t i = 0; i < count; i++) {
        QrEtcdpb__AlarmType kind =
            found[i].corrupt ? QR_ETCDPB__ALARM_TYPE__CORRUPT : QR_ETCDPB__ALARM_TYPE__NOSPACE;
        if ((request->memberid && request->memberid != found[i].member) ||
            (request->alarm && request->alarm != kind))
            continue;
        list[answer.n_alarms] = &members[i];
        qr_etcdpb__alarm_member__init(&members[i]);
        members[i].memberid = found[i].member;
        members[i].alarm = kind;
        answer.n_alarms++;
    }
    qr_etcd_call_pack(call, &answer.base);
}

void qr_etcd_start_alarm(qr_etcd_call *call, qr_slice message)
{
    QrEtcdpb__AlarmRequest *request =
        qr_etcd_call_unpack(call, &qr_etcdpb__alarm_request__descriptor, message);
    QrEtcdpb__AlarmResponse nothing = QR_ETCDPB__ALARM_RESPONSE__INIT;
    if (!request)
        return;
    call->work = request;
    call->query = (qr_query){.kind = QR_QUERY_STATUS};
    call->answer = answer_alarm;
    switch (request->action) {
    case QR_ETCDPB__ALARM_REQUEST__ALARM_ACTION__GET: qr_etcd_call_look(call, true); return;
    case QR_ETCDPB__ALARM_REQUEST__ALARM_ACTION__DEACTIVATE: /* its end is that of its cause */
        qr_etcd_call_pack(call, &nothing.base);
        return;
    default: qr_etcd_call_fail(call, QR_ETCD_E_UNSUPPORTED);
    }
}

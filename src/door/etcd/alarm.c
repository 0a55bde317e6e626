#include "door/etcd/alarm.h"

#include <inttypes.h>
#include <stdio.h>

static void add(qr_alarm *alarms, size_t *count, uint64_t member, uint32_t kind)
{
    for (size_t i = 0; i < *count; i++)
        if (alarms[i].member == member && alarms[i].kind == kind)
            return;
    alarms[(*count)++] = (qr_alarm){.member = member, .kind = kind};
}

size_t qr_etcd_alarms(const qr_etcd_door *door, const qr_tree_status *tree,
                      qr_alarm alarms[QR_ETCD_ALARMS_MAX])
{
    qr_node_status node;
    size_t count = tree ? tree->alarm_count : 0;
    qr_node_status_of(door->config.node, &node);
    if (count)
        memcpy(alarms, tree->alarms, count * sizeof *alarms);
    if (node.no_space)
        add(alarms, &count, door->config.self, QR_ALARM_NO_SPACE);
    /* On the one that the majority contradicts, or on this member while nobody knows who is wrong. */
    if (node.divergent || node.corrupt)
        add(alarms, &count, node.divergent ? node.divergent : door->config.self, QR_ALARM_CORRUPT);
    return count;
}

const char *qr_etcd_alarm_name(const qr_alarm *alarm, char number[12])
{
    const ProtobufCEnumValue *value =
        protobuf_c_enum_descriptor_get_value(&qr_etcdpb__alarm_type__descriptor, (int)alarm->kind);
    snprintf(number, 12, "%" PRId32, (int32_t)alarm->kind);
    return value ? value->name : number;
}

char *qr_etcd_alarm_text(const qr_alarm *alarm, qr_arena *arena)
{
    char number[12];
    const char *name = qr_etcd_alarm_name(alarm, number);
    const char *member = alarm->member ? qr_arena_format(arena, "memberID:%" PRIu64 " ", alarm->member) : "";
    return qr_arena_format(arena, "%s%s%s%s", member, alarm->kind ? "alarm:" : "", alarm->kind ? name : "",
                           alarm->kind ? " " : "");
}

/* Like 3.4, the answer has no header. */
static void answer_with(qr_etcd_call *call, const qr_alarm *alarms, size_t count)
{
    QrEtcdpb__AlarmMember *members = qr_arena_alloc(&call->arena, (count + 1) * sizeof *members);
    QrEtcdpb__AlarmMember **list = qr_arena_alloc(&call->arena, (count + 1) * sizeof *list);
    QrEtcdpb__AlarmResponse answer = QR_ETCDPB__ALARM_RESPONSE__INIT;
    answer.alarms = list;
    for (size_t i = 0; i < count; i++) {
        list[answer.n_alarms++] = &members[i];
        qr_etcdpb__alarm_member__init(&members[i]);
        members[i].memberid = alarms[i].member;
        members[i].alarm = (QrEtcdpb__AlarmType)alarms[i].kind;
    }
    qr_etcd_call_pack(call, &answer.base);
}

/* Kind NONE: of all. The member does not matter. */
static void answer_list(qr_etcd_call *call, const qr_reply *reply)
{
    const QrEtcdpb__AlarmRequest *request = call->work;
    qr_alarm found[QR_ETCD_ALARMS_MAX];
    size_t count = qr_etcd_alarms(call->door, reply->result, found), wanted = 0;
    for (size_t i = 0; i < count; i++)
        if (!request->alarm || (uint32_t)request->alarm == found[i].kind)
            found[wanted++] = found[i];
    answer_with(call, found, wanted);
}

/* The alarm, if it stands now or did. */
static void answer_change(qr_etcd_call *call, const qr_reply *reply)
{
    const QrEtcdpb__AlarmRequest *request = call->work;
    const qr_alarm_result *result = reply->result;
    bool raised = request->action == QR_ETCDPB__ALARM_REQUEST__ALARM_ACTION__ACTIVATE;
    qr_alarm alarm = {.member = request->memberid, .kind = (uint32_t)request->alarm};
    answer_with(call, &alarm, raised || result->stood);
}

static void start_change(qr_etcd_call *call, qr_alarm_act act)
{
    const QrEtcdpb__AlarmRequest *request = call->work;
    qr_body body = {.kind = QR_BODY_ALARM,
                    .alarm_act = act,
                    .alarm = {.member = request->memberid, .kind = (uint32_t)request->alarm}};
    qr_buffer bytes;
    qr_buffer_init(&bytes);
    qr_body_encode(&body, &bytes);
    call->answer = answer_change;
    qr_etcd_call_write(call, qr_buffer_slice(&bytes));
    qr_buffer_free(&bytes);
}

void qr_etcd_start_alarm(qr_etcd_call *call, qr_slice message)
{
    QrEtcdpb__AlarmRequest *request =
        qr_etcd_call_unpack(call, &qr_etcdpb__alarm_request__descriptor, message);
    if (!request)
        return;
    call->work = request;
    switch (request->action) {
    case QR_ETCDPB__ALARM_REQUEST__ALARM_ACTION__GET:
        call->query = (qr_query){.kind = QR_QUERY_STATUS};
        call->answer = answer_list;
        qr_etcd_call_look(call, false);
        return;
    case QR_ETCDPB__ALARM_REQUEST__ALARM_ACTION__ACTIVATE: start_change(call, QR_ALARM_RAISE); return;
    case QR_ETCDPB__ALARM_REQUEST__ALARM_ACTION__DEACTIVATE: start_change(call, QR_ALARM_CLEAR); return;
    default: qr_etcd_call_fail(call, QR_ETCD_E_UNSUPPORTED);
    }
}

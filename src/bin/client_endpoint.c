/* endpoint and alarm: each member by itself, and what members complain of. */
#include <inttypes.h>

#include "bin/client.h"

static const char *took(qr_client *client, uint64_t begun_ms)
{
    return qr_arena_format(&client->arena, "%" PRIu64 "ms", qr_client_now_ms() - begun_ms);
}

/* ---- one line or one JSON object an endpoint; false: it did not answer, and the sentence is printed ---- */

static bool show_trouble(qr_client *client, const char *endpoint, const char *what, const char *sentence)
{
    if (qr_client_wants_json(client)) {
        qr_buffer_format(&client->out, "\"%s\":null,\"error\":", what);
        qr_client_json_text(&client->out, sentence);
    }
    fprintf(stderr, "quorate: %s: %s\n", endpoint, sentence);
    return false;
}

static void show_answer(qr_client *client, const char *what, const ProtobufCMessage *answer, const char *line)
{
    if (qr_client_wants_json(client)) {
        qr_buffer_format(&client->out, "\"%s\":", what);
        qr_client_print_json(client, answer);
    } else {
        qr_buffer_format(&client->out, "%s\n", line);
    }
}

static bool show_health(qr_client *client, const char *endpoint)
{
    QrEtcdpb__RangeRequest request = QR_ETCDPB__RANGE_REQUEST__INIT;
    request.key = (ProtobufCBinaryData){.len = 6, .data = (uint8_t *)(uintptr_t) "health"};
    request.count_only = true;
    uint64_t begun_ms = qr_client_now_ms();
    const char *sentence;
    bool is_well = qr_client_call(client, endpoint, "/etcdserverpb.KV/Range", false, &request.base,
                                  &qr_etcdpb__range_response__descriptor, &sentence) != NULL;
    if (qr_client_wants_json(client))
        qr_buffer_format(&client->out, "\"health\":%s,\"took\":\"%s\"", is_well ? "true" : "false",
                         took(client, begun_ms));
    else if (is_well)
        qr_buffer_format(&client->out, "%s is healthy: answered a linearizable read in %s\n", endpoint,
                         took(client, begun_ms));
    if (!is_well)
        fprintf(stderr, "quorate: %s is unhealthy: %s\n", endpoint, sentence);
    return is_well;
}

static bool show_status(qr_client *client, const char *endpoint)
{
    const char *sentence;
    const QrEtcdpb__StatusResponse *answer = qr_client_ask_status(client, endpoint, &sentence);
    if (!answer || !answer->header)
        return show_trouble(client, endpoint, "status", answer ? "the answer has no header" : sentence);
    const char *line = qr_arena_format(
        &client->arena, "%s, %" PRIx64 ", %s, %" PRId64 " B, %s, %s, %" PRIu64 ", %" PRIu64 ", %" PRIu64,
        endpoint, answer->header->member_id, answer->version, answer->dbsize,
        answer->leader == answer->header->member_id ? "leader" : "follower",
        answer->islearner ? "learner" : "voter", answer->raftterm, answer->raftindex,
        answer->raftappliedindex);
    show_answer(client, "status", &answer->base, line);
    return true;
}

static bool show_hash(qr_client *client, const char *endpoint)
{
    QrEtcdpb__HashKVRequest request = QR_ETCDPB__HASH_KVREQUEST__INIT;
    request.revision = client->options.revision;
    const char *sentence;
    const QrEtcdpb__HashKVResponse *answer =
        qr_client_call(client, endpoint, "/etcdserverpb.Maintenance/HashKV", false, &request.base,
                       &qr_etcdpb__hash_kvresponse__descriptor, &sentence);
    if (!answer)
        return show_trouble(client, endpoint, "hashkv", sentence);
    show_answer(client, "hashkv", &answer->base,
                qr_arena_format(&client->arena, "%s, %" PRIu32, endpoint, answer->hash));
    return true;
}

int qr_client_run_endpoint(qr_client *client)
{
    static const struct {
        const char *name;
        bool (*show)(qr_client *client, const char *endpoint);
    } commands[] = {{"health", show_health}, {"status", show_status}, {"hashkv", show_hash}};
    const char *word = client->options.argument_count == 1 ? client->options.arguments[0] : "";
    size_t at = 0;
    while (at < sizeof commands / sizeof commands[0] && strcmp(commands[at].name, word) != 0)
        at++;
    if (at == sizeof commands / sizeof commands[0])
        return qr_client_misuse("endpoint knows health, status and hashkv");
    bool json = qr_client_wants_json(client), all_well = true;
    for (size_t i = 0; i < client->endpoint_count; i++) {
        if (json) {
            qr_buffer_format(&client->out, "%s{\"endpoint\":", i ? "," : "[");
            qr_client_json_text(&client->out, client->endpoints[i]);
            qr_buffer_u8(&client->out, ',');
        }
        all_well = commands[at].show(client, client->endpoints[i]) && all_well;
        if (json)
            qr_buffer_u8(&client->out, '}');
    }
    if (json)
        qr_buffer_format(&client->out, "]\n");
    return all_well ? QR_CLIENT_DONE : QR_CLIENT_REFUSED;
}

/* ---- alarm ---- */

const char *qr_client_alarm_name(const QrEtcdpb__AlarmMember *alarm)
{
    const ProtobufCEnumValue *value =
        protobuf_c_enum_descriptor_get_value(&qr_etcdpb__alarm_type__descriptor, (int)alarm->alarm);
    return value ? value->name : "UNKNOWN";
}

static const QrEtcdpb__AlarmResponse *ask_alarm(qr_client *client, QrEtcdpb__AlarmRequest *request,
                                                const char **sentence)
{
    return qr_client_call(client, NULL, "/etcdserverpb.Maintenance/Alarm",
                          request->action != QR_ETCDPB__ALARM_REQUEST__ALARM_ACTION__GET, &request->base,
                          &qr_etcdpb__alarm_response__descriptor, sentence);
}

/* Of a member and of a kind, since none stands for both: each that is raised is taken back by itself. */
static const char *disarm(qr_client *client, const QrEtcdpb__AlarmResponse *raised)
{
    for (size_t i = 0; i < raised->n_alarms; i++) {
        QrEtcdpb__AlarmRequest request = QR_ETCDPB__ALARM_REQUEST__INIT;
        const char *sentence;
        request.action = QR_ETCDPB__ALARM_REQUEST__ALARM_ACTION__DEACTIVATE;
        request.memberid = raised->alarms[i]->memberid;
        request.alarm = raised->alarms[i]->alarm;
        if (!ask_alarm(client, &request, &sentence))
            return sentence;
    }
    return NULL;
}

int qr_client_run_alarm(qr_client *client)
{
    const char *word = client->options.argument_count == 1 ? client->options.arguments[0] : "";
    bool disarms = strcmp(word, "disarm") == 0;
    if (!disarms && strcmp(word, "list") != 0)
        return qr_client_misuse("alarm knows list and disarm");
    QrEtcdpb__AlarmRequest request = QR_ETCDPB__ALARM_REQUEST__INIT;
    const char *sentence = NULL;
    const QrEtcdpb__AlarmResponse *answer = ask_alarm(client, &request, &sentence);
    if (answer && disarms)
        sentence = disarm(client, answer);
    if (!answer || sentence)
        return qr_client_refuse(sentence);
    if (qr_client_wants_json(client)) {
        qr_client_print_json_line(client, &answer->base);
        return QR_CLIENT_DONE;
    }
    for (size_t i = 0; i < answer->n_alarms; i++)
        qr_buffer_format(&client->out, "memberID:%" PRIu64 " alarm:%s%s\n", answer->alarms[i]->memberid,
                         qr_client_alarm_name(answer->alarms[i]), disarms ? " disarmed" : "");
    return QR_CLIENT_DONE;
}

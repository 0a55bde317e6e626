#include "bin/client.h"

#include <inttypes.h>
#include <stdlib.h>

#include "bin/bin.h"

int qr_client_refuse(const char *sentence)
{
    fprintf(stderr, "quorate: %s\n", sentence);
    return QR_CLIENT_REFUSED;
}

int qr_client_misuse(const char *sentence)
{
    fprintf(stderr, "quorate: %s\n", sentence);
    return QR_CLIENT_USAGE;
}

bool qr_client_wants_json(const qr_client *client)
{
    return strcmp(client->options.output, "json") == 0;
}

void qr_client_print_json_line(qr_client *client, const ProtobufCMessage *message)
{
    qr_client_print_json(client, message);
    qr_buffer_u8(&client->out, '\n');
}

int qr_client_flush(qr_client *client)
{
    size_t size = client->out.size;
    bool written = (size == 0 || fwrite(client->out.data, 1, size, stdout) == size) && fflush(stdout) == 0;
    qr_buffer_clear(&client->out);
    return written ? QR_CLIENT_DONE : qr_client_refuse("standard output cannot be written");
}

qr_arena qr_client_scratch(qr_client *client)
{
    qr_arena kept = client->arena;
    qr_arena_init(&client->arena);
    return kept;
}

void qr_client_scratch_end(qr_client *client, qr_arena kept)
{
    qr_arena_free(&client->arena);
    client->arena = kept;
}

/* ---- keys ---- */

static int run_put(qr_client *client)
{
    QrEtcdpb__PutRequest request;
    const char *sentence = qr_client_put_request(client, &client->options, true, &request);
    if (sentence)
        return qr_client_misuse(sentence);
    const QrEtcdpb__PutResponse *answer =
        qr_client_call(client, NULL, "/etcdserverpb.KV/Put", true, &request.base,
                       &qr_etcdpb__put_response__descriptor, &sentence);
    if (!answer)
        return qr_client_refuse(sentence);
    if (qr_client_wants_json(client))
        qr_client_print_json_line(client, &answer->base);
    else
        qr_client_print_put(client, answer);
    return QR_CLIENT_DONE;
}

static int run_get(qr_client *client)
{
    QrEtcdpb__RangeRequest request;
    const char *sentence = qr_client_get_request(client, &client->options, &request);
    if (sentence)
        return qr_client_misuse(sentence);
    const QrEtcdpb__RangeResponse *answer =
        qr_client_call(client, NULL, "/etcdserverpb.KV/Range", false, &request.base,
                       &qr_etcdpb__range_response__descriptor, &sentence);
    if (!answer)
        return qr_client_refuse(sentence);
    if (qr_client_wants_json(client))
        qr_client_print_json_line(client, &answer->base);
    else
        qr_client_print_get(client, &client->options, answer);
    return QR_CLIENT_DONE;
}

static int run_del(qr_client *client)
{
    QrEtcdpb__DeleteRangeRequest request;
    const char *sentence = qr_client_del_request(client, &client->options, &request);
    if (sentence)
        return qr_client_misuse(sentence);
    const QrEtcdpb__DeleteRangeResponse *answer =
        qr_client_call(client, NULL, "/etcdserverpb.KV/DeleteRange", true, &request.base,
                       &qr_etcdpb__delete_range_response__descriptor, &sentence);
    if (!answer)
        return qr_client_refuse(sentence);
    if (qr_client_wants_json(client))
        qr_client_print_json_line(client, &answer->base);
    else
        qr_client_print_del(client, answer);
    return QR_CLIENT_DONE;
}

static int run_txn(qr_client *client)
{
    if (client->options.argument_count)
        return qr_client_misuse("txn takes no arguments: the transaction is read from standard input");
    QrEtcdpb__TxnRequest request;
    qr_slice text;
    const char *sentence = qr_client_input(client, &text);
    if (!sentence)
        sentence = qr_client_txn_request(client, text, &request);
    if (sentence)
        return qr_client_misuse(sentence);
    const QrEtcdpb__TxnResponse *answer =
        qr_client_call(client, NULL, "/etcdserverpb.KV/Txn", true, &request.base,
                       &qr_etcdpb__txn_response__descriptor, &sentence);
    if (!answer)
        return qr_client_refuse(sentence);
    if (qr_client_wants_json(client))
        qr_client_print_json_line(client, &answer->base);
    else
        qr_client_print_txn(client, answer);
    return QR_CLIENT_DONE;
}

static int run_compact(qr_client *client)
{
    const char *text = client->options.argument_count == 1 ? client->options.arguments[0] : "";
    char *end;
    QrEtcdpb__CompactionRequest request = QR_ETCDPB__COMPACTION_REQUEST__INIT;
    request.revision = strtoll(text, &end, 10);
    request.physical = client->options.physical;
    if (end == text || *end)
        return qr_client_misuse("compact needs one revision number");
    const char *sentence;
    const QrEtcdpb__CompactionResponse *answer =
        qr_client_call(client, NULL, "/etcdserverpb.KV/Compact", true, &request.base,
                       &qr_etcdpb__compaction_response__descriptor, &sentence);
    if (!answer)
        return qr_client_refuse(sentence);
    if (qr_client_wants_json(client))
        qr_client_print_json_line(client, &answer->base);
    else
        qr_buffer_format(&client->out, "compacted revision %" PRId64 "\n", request.revision);
    return QR_CLIENT_DONE;
}

/* ---- the cluster ---- */

const QrEtcdpb__MemberListResponse *qr_client_members(qr_client *client, const char *endpoint,
                                                      const char **sentence)
{
    QrEtcdpb__MemberListRequest request = QR_ETCDPB__MEMBER_LIST_REQUEST__INIT;
    return qr_client_call(client, endpoint, "/etcdserverpb.Cluster/MemberList", false, &request.base,
                          &qr_etcdpb__member_list_response__descriptor, sentence);
}

const QrEtcdpb__StatusResponse *qr_client_ask_status(qr_client *client, const char *endpoint,
                                                     const char **sentence)
{
    QrEtcdpb__StatusRequest request = QR_ETCDPB__STATUS_REQUEST__INIT;
    return qr_client_call(client, endpoint, "/etcdserverpb.Maintenance/Status", false, &request.base,
                          &qr_etcdpb__status_response__descriptor, sentence);
}

static int run_status(qr_client *client)
{
    if (client->options.argument_count)
        return qr_client_misuse("status takes no arguments; name the members with --endpoints");
    return qr_client_status(client);
}

/* ---- main ---- */

static const struct {
    const char *name;
    qr_client_verb verb;
    int (*run)(qr_client *client);
} verbs[] = {
    {"put", QR_CLIENT_PUT, run_put},
    {"get", QR_CLIENT_GET, run_get},
    {"del", QR_CLIENT_DEL, run_del},
    {"txn", QR_CLIENT_TXN, run_txn},
    {"compact", QR_CLIENT_COMPACT, run_compact},
    {"status", QR_CLIENT_STATUS, run_status},
    {"member", QR_CLIENT_MEMBER, qr_client_run_member},
    {"move-leader", QR_CLIENT_MOVE_LEADER, qr_client_run_move_leader},
    {"backup", QR_CLIENT_BACKUP, qr_client_run_backup},
    {"watch", QR_CLIENT_WATCH, qr_client_run_watch},
    {"lease", QR_CLIENT_LEASE, qr_client_run_lease},
    {"lock", QR_CLIENT_LOCK, qr_client_run_lock},
    {"elect", QR_CLIENT_ELECT, qr_client_run_elect},
    {"endpoint", QR_CLIENT_ENDPOINT, qr_client_run_endpoint},
    {"alarm", QR_CLIENT_ALARM, qr_client_run_alarm},
    {"blackbox", QR_CLIENT_BLACKBOX, qr_client_run_blackbox},
    {"across", QR_CLIENT_ACROSS, qr_client_run_across},
};

const char *qr_client_split_endpoints(qr_client *client, const char *list)
{
    char *text = qr_arena_format(&client->arena, "%s", list), *rest = NULL;
    client->endpoint_count = 0;
    for (char *one = strtok_r(text, ", ", &rest); one; one = strtok_r(NULL, ", ", &rest)) {
        if (client->endpoint_count == QR_CLIENT_ENDPOINTS_MAX)
            return "more than 32 endpoints";
        client->endpoints[client->endpoint_count++] = one;
    }
    return client->endpoint_count ? NULL : "--endpoints names no endpoint";
}

static int run(qr_client *client, int argc, char **argv)
{
    size_t at = 0;
    while (at < sizeof verbs / sizeof verbs[0] && strcmp(verbs[at].name, argv[0]) != 0)
        at++;
    if (at == sizeof verbs / sizeof verbs[0])
        return qr_client_misuse(qr_arena_format(&client->arena, "unknown command %s", argv[0]));
    client->verb = verbs[at].verb;
    if (client->verb == QR_CLIENT_BACKUP) /* a busy member may have to finish two checkpoints first */
        client->options.timeout = "1m";
    const char *sentence =
        qr_client_parse(client->verb, argc - 1, argv + 1, &client->options, &client->arena);
    if (client->options.help) {
        qr_client_help(client->verb, stdout);
        return QR_CLIENT_DONE;
    }
    if (!sentence && client->verb != QR_CLIENT_ACROSS)
        sentence = qr_client_split_endpoints(client, client->options.endpoints);
    if (!sentence && !qr_client_duration(client->options.timeout, &client->timeout_ms))
        sentence = "--timeout takes a time such as 500ms, 5s or 1m";
    if (sentence)
        return qr_client_misuse(sentence);
    return verbs[at].run(client);
}

int qr_client_main(int argc, char **argv)
{
    qr_client client = {.endpoint_count = 0};
    qr_arena_init(&client.arena);
    qr_buffer_init(&client.out);
    qr_client_options_init(&client.options);
    int result = run(&client, argc, argv);
    int flushed = qr_client_flush(&client);
    if (result == QR_CLIENT_DONE)
        result = flushed;
    qr_buffer_free(&client.out);
    qr_arena_free(&client.arena);
    return result;
}

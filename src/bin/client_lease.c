/* lease: what lives as long as someone says so. */
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>

#include "bin/client.h"

const QrEtcdpb__LeaseGrantResponse *qr_client_grant(qr_client *client, int64_t ttl, int64_t lease,
                                                    const char **sentence)
{
    QrEtcdpb__LeaseGrantRequest request = QR_ETCDPB__LEASE_GRANT_REQUEST__INIT;
    request.ttl = ttl;
    request.id = lease;
    return qr_client_call(client, NULL, "/etcdserverpb.Lease/LeaseGrant", lease == 0, &request.base,
                          &qr_etcdpb__lease_grant_response__descriptor, sentence);
}

const QrEtcdpb__LeaseKeepAliveResponse *qr_client_renew(qr_client *client, int64_t lease,
                                                        const char **sentence)
{
    QrEtcdpb__LeaseKeepAliveRequest request = QR_ETCDPB__LEASE_KEEP_ALIVE_REQUEST__INIT;
    request.id = lease;
    return qr_client_call(client, NULL, "/etcdserverpb.Lease/LeaseKeepAlive", false, &request.base,
                          &qr_etcdpb__lease_keep_alive_response__descriptor, sentence);
}

const QrEtcdpb__LeaseRevokeResponse *qr_client_revoke(qr_client *client, int64_t lease, const char **sentence)
{
    QrEtcdpb__LeaseRevokeRequest request = QR_ETCDPB__LEASE_REVOKE_REQUEST__INIT;
    request.id = lease;
    return qr_client_call(client, NULL, "/etcdserverpb.Lease/LeaseRevoke", true, &request.base,
                          &qr_etcdpb__lease_revoke_response__descriptor, sentence);
}

/* ---- the verb ---- */

static int show(qr_client *client, const ProtobufCMessage *answer, const char *text)
{
    if (qr_client_wants_json(client))
        qr_client_print_json_line(client, answer);
    else
        qr_buffer_format(&client->out, "%s", text);
    return QR_CLIENT_DONE;
}

static const char *lease_text(qr_client *client, int64_t lease)
{
    return qr_arena_format(&client->arena, "lease %016" PRIx64, (uint64_t)lease);
}

/* The only argument behind the subcommand, as an id. */
static const char *take_id(qr_client *client, int64_t *lease)
{
    const qr_client_options *options = &client->options;
    const char *word = options->argument_count == 2 ? options->arguments[1] : "";
    char *end;
    *lease = (int64_t)strtoull(word, &end, 16);
    if (!*word || *end || *lease == 0)
        return qr_arena_format(&client->arena, "lease %s needs one lease id (hexadecimal)",
                               options->arguments[0]);
    return NULL;
}

static int run_grant(qr_client *client)
{
    const qr_client_options *options = &client->options;
    const char *word = options->argument_count == 2 ? options->arguments[1] : "";
    char *end;
    int64_t ttl = strtoll(word, &end, 10);
    if (!*word || *end)
        return qr_client_misuse("lease grant needs a time to live in seconds");
    const char *sentence;
    const QrEtcdpb__LeaseGrantResponse *answer = qr_client_grant(client, ttl, 0, &sentence);
    if (!answer)
        return qr_client_refuse(sentence);
    return show(client, &answer->base,
                qr_arena_format(&client->arena, "%s granted with TTL(%" PRId64 "s)\n",
                                lease_text(client, answer->id), answer->ttl));
}

static int run_revoke(qr_client *client)
{
    int64_t lease;
    const char *sentence = take_id(client, &lease);
    if (sentence)
        return qr_client_misuse(sentence);
    const QrEtcdpb__LeaseRevokeResponse *answer = qr_client_revoke(client, lease, &sentence);
    if (!answer)
        return qr_client_refuse(sentence);
    return show(client, &answer->base,
                qr_arena_format(&client->arena, "%s revoked\n", lease_text(client, lease)));
}

static void print_time(qr_client *client, int64_t lease, const QrEtcdpb__LeaseTimeToLiveResponse *answer)
{
    qr_buffer_format(&client->out, "%s", lease_text(client, lease));
    if (answer->ttl <= 0) {
        qr_buffer_format(&client->out, " already expired\n");
        return;
    }
    qr_buffer_format(&client->out, " granted with TTL(%" PRId64 "s), remaining(%" PRId64 "s)",
                     answer->grantedttl, answer->ttl);
    if (client->options.keys) {
        qr_buffer_format(&client->out, ", attached keys([");
        for (size_t i = 0; i < answer->n_keys; i++) {
            qr_buffer_format(&client->out, "%s", i ? " " : "");
            qr_client_print_bytes(client, answer->keys[i]);
        }
        qr_buffer_format(&client->out, "])");
    }
    qr_buffer_u8(&client->out, '\n');
}

static int run_timetolive(qr_client *client)
{
    QrEtcdpb__LeaseTimeToLiveRequest request = QR_ETCDPB__LEASE_TIME_TO_LIVE_REQUEST__INIT;
    const char *sentence = take_id(client, &request.id);
    if (sentence)
        return qr_client_misuse(sentence);
    request.keys = client->options.keys;
    const QrEtcdpb__LeaseTimeToLiveResponse *answer =
        qr_client_call(client, NULL, "/etcdserverpb.Lease/LeaseTimeToLive", false, &request.base,
                       &qr_etcdpb__lease_time_to_live_response__descriptor, &sentence);
    if (!answer)
        return qr_client_refuse(sentence);
    if (qr_client_wants_json(client))
        qr_client_print_json_line(client, &answer->base);
    else
        print_time(client, request.id, answer);
    return QR_CLIENT_DONE;
}

static int run_list(qr_client *client)
{
    QrEtcdpb__LeaseLeasesRequest request = QR_ETCDPB__LEASE_LEASES_REQUEST__INIT;
    const char *sentence;
    const QrEtcdpb__LeaseLeasesResponse *answer =
        qr_client_call(client, NULL, "/etcdserverpb.Lease/LeaseLeases", false, &request.base,
                       &qr_etcdpb__lease_leases_response__descriptor, &sentence);
    if (!answer)
        return qr_client_refuse(sentence);
    if (qr_client_wants_json(client)) {
        qr_client_print_json_line(client, &answer->base);
        return QR_CLIENT_DONE;
    }
    qr_buffer_format(&client->out, "found %zu leases\n", answer->n_leases);
    for (size_t i = 0; i < answer->n_leases; i++)
        qr_buffer_format(&client->out, "%016" PRIx64 "\n", (uint64_t)answer->leases[i]->id);
    return QR_CLIENT_DONE;
}

/* 0 and *ttl, or the exit status. */
static int keep_alive_once(qr_client *client, int64_t lease, int64_t *ttl)
{
    const char *sentence;
    const QrEtcdpb__LeaseKeepAliveResponse *answer = qr_client_renew(client, lease, &sentence);
    if (!answer)
        return qr_client_refuse(sentence);
    *ttl = answer->ttl;
    if (answer->ttl <= 0)
        return qr_client_refuse(
            qr_arena_format(&client->arena, "%s expired or revoked", lease_text(client, lease)));
    show(client, &answer->base,
         qr_arena_format(&client->arena, "%s keepalived with TTL(%" PRId64 ")\n", lease_text(client, lease),
                         answer->ttl));
    return qr_client_flush(client);
}

static int run_keep_alive(qr_client *client)
{
    int64_t lease, ttl = 0;
    const char *sentence = take_id(client, &lease);
    if (sentence)
        return qr_client_misuse(sentence);
    for (;;) {
        qr_arena kept = qr_client_scratch(client);
        int result = keep_alive_once(client, lease, &ttl);
        qr_client_scratch_end(client, kept);
        if (result != QR_CLIENT_DONE || client->options.once)
            return result;
        poll(NULL, 0, ttl < INT32_MAX / 1000 ? (int)(ttl * 1000 / 3) : INT32_MAX);
    }
}

int qr_client_run_lease(qr_client *client)
{
    static const struct {
        const char *name;
        int (*run)(qr_client *client);
    } commands[] = {{"grant", run_grant},
                    {"revoke", run_revoke},
                    {"timetolive", run_timetolive},
                    {"list", run_list},
                    {"keep-alive", run_keep_alive}};
    const char *word = client->options.argument_count ? client->options.arguments[0] : "";
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
        if (strcmp(commands[i].name, word) == 0)
            return commands[i].run(client);
    return qr_client_misuse("lease knows grant, revoke, timetolive, list and keep-alive");
}

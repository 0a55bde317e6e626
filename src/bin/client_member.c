/* member and move-leader: who belongs to the cluster, and who leads it. */
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "bin/client.h"

enum {
    WAIT_PAUSE_MS = 500,      /* between two looks at a learner */
    REPLACE_WAIT_MS = 600000, /* for a new member to be started and to catch up, unless --wait says more */
    CLIENT_PORT = 2379,       /* of the command line that is suggested */
};

/* ---- members by id or name ---- */

/* Into *id. NULL, or a sentence. */
static const char *find_member(qr_client *client, const char *word, uint64_t *id)
{
    const char *sentence;
    const QrEtcdpb__MemberListResponse *list = qr_client_members(client, NULL, &sentence);
    if (!list)
        return sentence;
    size_t found = 0;
    for (size_t i = 0; i < list->n_members; i++) {
        if (strcmp(list->members[i]->name, word) != 0 || !*word)
            continue;
        *id = list->members[i]->id;
        found++;
    }
    if (found == 1)
        return NULL;
    if (found > 1)
        return qr_arena_format(&client->arena, "%zu members are called %s; name one by its id", found, word);
    char *end;
    *id = strtoull(word, &end, 16);
    if (!*word || *end)
        return qr_arena_format(
            &client->arena,
            "no member is called %s, and it is no hexadecimal member id either; one that has "
            "not started yet goes by its id alone",
            word);
    return NULL;
}

/* The comma separated URLs of --peer-urls. */
static char **split_urls(qr_client *client, const char *text, size_t *count)
{
    char *words = qr_arena_format(&client->arena, "%s", text), *rest = NULL;
    char **urls = qr_arena_zero(&client->arena, strlen(text) + 1, sizeof *urls);
    *count = 0;
    for (char *one = strtok_r(words, ", ", &rest); one; one = strtok_r(NULL, ", ", &rest))
        urls[(*count)++] = one;
    return urls;
}

static int show(qr_client *client, const ProtobufCMessage *answer, const char *text)
{
    if (qr_client_wants_json(client))
        qr_client_print_json_line(client, answer);
    else
        qr_buffer_format(&client->out, "%s", text);
    return QR_CLIENT_DONE;
}

/* ---- list ---- */

static int run_list(qr_client *client)
{
    const char *sentence;
    const QrEtcdpb__MemberListResponse *answer = qr_client_members(client, NULL, &sentence);
    if (!answer)
        return qr_client_refuse(sentence);
    if (qr_client_wants_json(client))
        qr_client_print_json_line(client, &answer->base);
    else
        qr_client_print_members(client, answer);
    return QR_CLIENT_DONE;
}

/* ---- add ---- */

/* "http://10.0.0.4:2380" -> "http://10.0.0.4:2379", the port before: a guess for the client URL, good enough
 * to be edited. */
static const char *client_url(qr_client *client, const char *peer_url)
{
    const char *colon = strrchr(peer_url, ':');
    long port = colon ? strtol(colon + 1, NULL, 10) : 0;
    return qr_arena_format(&client->arena, "%.*s:%ld", (int)(colon ? colon - peer_url : 0), peer_url,
                           port > 1 ? port - 1 : CLIENT_PORT);
}

/* The line that starts the new member. */
static void print_command(qr_client *client, const char *name, const QrEtcdpb__MemberAddResponse *answer)
{
    const QrEtcdpb__Member *added = answer->member;
    const char *urls = client->options.peer_urls;
    const char *clients = *client->options.client_urls ? client->options.client_urls
                          : added->n_peerurls          ? client_url(client, added->peerurls[0])
                                                       : "";
    qr_buffer_format(&client->out,
                     "\nStart it with\n\n  quorate serve --name %s --data-dir %s.etcd \\\n"
                     "    --listen-peer-urls %s --initial-advertise-peer-urls %s \\\n"
                     "    --listen-client-urls %s --advertise-client-urls %s \\\n    --initial-cluster ",
                     name, name, urls, urls, clients, clients);
    bool first = true;
    for (size_t i = 0; i < answer->n_members; i++) {
        const QrEtcdpb__Member *one = answer->members[i];
        const char *its_name = one->id == added->id ? name : one->name;
        for (size_t j = 0; *its_name && j < one->n_peerurls; j++) { /* nobody need ask one that is down */
            qr_buffer_format(&client->out, "%s%s=%s", first ? "" : ",", its_name, one->peerurls[j]);
            first = false;
        }
    }
    qr_buffer_format(&client->out, " \\\n    --initial-cluster-state existing\n");
}

static const QrEtcdpb__MemberAddResponse *add(qr_client *client, bool learner, const char **sentence)
{
    QrEtcdpb__MemberAddRequest request = QR_ETCDPB__MEMBER_ADD_REQUEST__INIT;
    request.peerurls = split_urls(client, client->options.peer_urls, &request.n_peerurls);
    request.islearner = learner;
    const QrEtcdpb__MemberAddResponse *answer =
        qr_client_call(client, NULL, "/etcdserverpb.Cluster/MemberAdd", true, &request.base,
                       &qr_etcdpb__member_add_response__descriptor, sentence);
    if (answer && (!answer->member || !answer->header)) {
        *sentence = "the answer names no new member";
        return NULL;
    }
    return answer;
}

static int run_add(qr_client *client)
{
    const qr_client_options *options = &client->options;
    if (options->argument_count != 2 || !*options->peer_urls || strpbrk(options->arguments[1], "=,"))
        return qr_client_misuse("member add needs a NAME without '=' or ',' and --peer-urls");
    const char *sentence;
    const QrEtcdpb__MemberAddResponse *answer = add(client, !options->voter, &sentence);
    if (!answer)
        return qr_client_refuse(sentence);
    if (qr_client_wants_json(client)) {
        qr_client_print_json_line(client, &answer->base);
        return QR_CLIENT_DONE;
    }
    qr_buffer_format(&client->out, "Member %16" PRIx64 " added to cluster %16" PRIx64 "%s\n",
                     answer->member->id, answer->header->cluster_id, options->voter ? "" : " as a learner");
    print_command(client, options->arguments[1], answer);
    if (options->voter)
        qr_buffer_format(&client->out, "\nIt gets its vote by itself once it has caught up.\n");
    else
        qr_buffer_format(&client->out,
                         "\nand let it vote, once it has caught up, with\n\n  quorate member promote %" PRIx64
                         "\n",
                         answer->member->id);
    return QR_CLIENT_DONE;
}

/* ---- remove, update ---- */

static int run_remove(qr_client *client)
{
    if (client->options.argument_count != 2)
        return qr_client_misuse("member remove needs the id or the name of a member");
    QrEtcdpb__MemberRemoveRequest request = QR_ETCDPB__MEMBER_REMOVE_REQUEST__INIT;
    const char *sentence = find_member(client, client->options.arguments[1], &request.id);
    if (sentence)
        return qr_client_refuse(sentence);
    const QrEtcdpb__MemberRemoveResponse *answer =
        qr_client_call(client, NULL, "/etcdserverpb.Cluster/MemberRemove", true, &request.base,
                       &qr_etcdpb__member_remove_response__descriptor, &sentence);
    if (!answer)
        return qr_client_refuse(sentence);
    return show(client, &answer->base,
                qr_arena_format(&client->arena, "Member %16" PRIx64 " removed from cluster %16" PRIx64 "\n",
                                request.id, answer->header ? answer->header->cluster_id : 0));
}

static int run_update(qr_client *client)
{
    if (client->options.argument_count != 2 || !*client->options.peer_urls)
        return qr_client_misuse("member update needs the id or the name of a member, and --peer-urls");
    QrEtcdpb__MemberUpdateRequest request = QR_ETCDPB__MEMBER_UPDATE_REQUEST__INIT;
    const char *sentence = find_member(client, client->options.arguments[1], &request.id);
    if (sentence)
        return qr_client_refuse(sentence);
    request.peerurls = split_urls(client, client->options.peer_urls, &request.n_peerurls);
    const QrEtcdpb__MemberUpdateResponse *answer =
        qr_client_call(client, NULL, "/etcdserverpb.Cluster/MemberUpdate", true, &request.base,
                       &qr_etcdpb__member_update_response__descriptor, &sentence);
    if (!answer)
        return qr_client_refuse(sentence);
    return show(client, &answer->base,
                qr_arena_format(&client->arena, "Member %16" PRIx64 " updated in cluster %16" PRIx64 "\n",
                                request.id, answer->header ? answer->header->cluster_id : 0));
}

/* ---- promote, replace ---- */

static bool is_not_ready(const char *sentence)
{
    return strstr(sentence, "in sync with leader") != NULL;
}

/* The same call until the learner has caught up, or the patience is over. */
static const void *call_when_ready(qr_client *client, uint64_t wait_ms, const char *path,
                                   const ProtobufCMessage *request, const ProtobufCMessageDescriptor *answer,
                                   const char **sentence)
{
    for (uint64_t waited_ms = 0;; waited_ms += WAIT_PAUSE_MS) {
        const void *got = qr_client_call(client, NULL, path, true, request, answer, sentence);
        if (got || !is_not_ready(*sentence) || waited_ms >= wait_ms)
            return got;
        usleep(WAIT_PAUSE_MS * 1000);
    }
}

/* 0 without --wait. False: it is no time. */
static bool patience(const qr_client *client, uint64_t *wait_ms)
{
    *wait_ms = 0;
    return !*client->options.wait || qr_client_duration(client->options.wait, wait_ms);
}

static int run_promote(qr_client *client)
{
    uint64_t wait_ms;
    if (client->options.argument_count != 2)
        return qr_client_misuse("member promote needs the id or the name of a learner");
    if (!patience(client, &wait_ms))
        return qr_client_misuse("--wait takes a time such as 500ms, 5s or 1m");
    QrEtcdpb__MemberPromoteRequest request = QR_ETCDPB__MEMBER_PROMOTE_REQUEST__INIT;
    const char *sentence = find_member(client, client->options.arguments[1], &request.id);
    if (sentence)
        return qr_client_refuse(sentence);
    const QrEtcdpb__MemberPromoteResponse *answer =
        call_when_ready(client, wait_ms, "/etcdserverpb.Cluster/MemberPromote", &request.base,
                        &qr_etcdpb__member_promote_response__descriptor, &sentence);
    if (!answer)
        return qr_client_refuse(sentence);
    return show(client, &answer->base,
                qr_arena_format(&client->arena, "Member %16" PRIx64 " promoted in cluster %16" PRIx64 "\n",
                                request.id, answer->header ? answer->header->cluster_id : 0));
}

static void flush_now(qr_client *client)
{
    fwrite(client->out.data, 1, client->out.size, stdout);
    fflush(stdout);
    qr_buffer_clear(&client->out);
}

/* Adds the new one as a learner and says how to start it; the waiting is the caller's. */
static const char *add_for_replacing(qr_client *client, const char *name, uint64_t *id)
{
    const char *sentence = NULL;
    const QrEtcdpb__MemberAddResponse *answer = add(client, true, &sentence);
    if (!answer)
        return sentence;
    *id = answer->member->id;
    if (!qr_client_wants_json(client)) {
        qr_buffer_format(&client->out, "Member %16" PRIx64 " added to cluster %16" PRIx64 " as a learner\n",
                         *id, answer->header->cluster_id);
        print_command(client, name, answer);
        qr_buffer_format(&client->out, "\nWaiting until it has started and caught up ...\n");
        flush_now(client);
    }
    return NULL;
}

static int run_replace(qr_client *client)
{
    const qr_client_options *options = &client->options;
    bool adds = *options->peer_urls;
    uint64_t wait_ms;
    if (options->argument_count != 3)
        return qr_client_misuse(
            "member replace needs OLD (id or name) and NEW: a learner, or with --peer-urls "
            "the name of the member to add");
    if (!patience(client, &wait_ms))
        return qr_client_misuse("--wait takes a time such as 500ms, 5s or 1m");
    if (adds && !*options->wait)
        wait_ms = REPLACE_WAIT_MS;
    QrEtcdpb__MemberReplaceRequest request = QR_ETCDPB__MEMBER_REPLACE_REQUEST__INIT;
    const char *sentence = find_member(client, options->arguments[1], &request.id);
    if (!sentence)
        sentence = adds ? add_for_replacing(client, options->arguments[2], &request.newid)
                        : find_member(client, options->arguments[2], &request.newid);
    if (sentence)
        return qr_client_refuse(sentence);
    const QrEtcdpb__MemberReplaceResponse *answer =
        call_when_ready(client, wait_ms, "/quorate.Cluster/MemberReplace", &request.base,
                        &qr_etcdpb__member_replace_response__descriptor, &sentence);
    if (!answer)
        return qr_client_refuse(sentence);
    return show(client, &answer->base,
                qr_arena_format(&client->arena,
                                "Member %16" PRIx64 " replaced by %16" PRIx64 " in cluster %16" PRIx64 "\n",
                                request.id, request.newid, answer->header ? answer->header->cluster_id : 0));
}

int qr_client_run_member(qr_client *client)
{
    static const struct {
        const char *name;
        int (*run)(qr_client *client);
    } things[] = {{"list", run_list},     {"add", run_add},         {"remove", run_remove},
                  {"update", run_update}, {"promote", run_promote}, {"replace", run_replace}};
    const char *what = client->options.argument_count ? client->options.arguments[0] : "list";
    for (size_t i = 0; i < sizeof things / sizeof *things; i++)
        if (strcmp(what, things[i].name) == 0)
            return things[i].run(client);
    return qr_client_misuse(qr_arena_format(
        &client->arena, "member cannot %s; there are list, add, promote, remove, update and replace", what));
}

/* ---- move-leader ---- */

/* Where the leader serves clients: one of the endpoints, else what the member list says. */
static const char *leader_endpoint(qr_client *client, uint64_t *leader, const char **sentence)
{
    *leader = 0;
    *sentence = NULL;
    for (size_t i = 0; i < client->endpoint_count; i++) {
        const QrEtcdpb__StatusResponse *status = qr_client_ask_status(client, client->endpoints[i], sentence);
        if (!status || !status->header)
            continue;
        *leader = status->leader ? status->leader : *leader;
        if (status->leader && status->leader == status->header->member_id)
            return client->endpoints[i];
    }
    if (*leader == 0) {
        *sentence = *sentence ? *sentence : "no leader is known";
        return NULL;
    }
    const QrEtcdpb__MemberListResponse *list = qr_client_members(client, NULL, sentence);
    for (size_t i = 0; list && i < list->n_members; i++)
        if (list->members[i]->id == *leader && list->members[i]->n_clienturls)
            return list->members[i]->clienturls[0];
    *sentence = qr_arena_format(&client->arena, "the leader, member %" PRIx64 ", has no client URL", *leader);
    return NULL;
}

int qr_client_run_move_leader(qr_client *client)
{
    if (client->options.argument_count != 1)
        return qr_client_misuse("move-leader needs the id or the name of the member that is to lead");
    QrEtcdpb__MoveLeaderRequest request = QR_ETCDPB__MOVE_LEADER_REQUEST__INIT;
    uint64_t leader;
    const char *sentence = find_member(client, client->options.arguments[0], &request.targetid);
    if (sentence)
        return qr_client_refuse(sentence);
    const char *endpoint = leader_endpoint(client, &leader, &sentence);
    if (!endpoint)
        return qr_client_refuse(sentence);
    const QrEtcdpb__MoveLeaderResponse *answer =
        qr_client_call(client, endpoint, "/etcdserverpb.Maintenance/MoveLeader", true, &request.base,
                       &qr_etcdpb__move_leader_response__descriptor, &sentence);
    if (!answer)
        return qr_client_refuse(sentence);
    return show(client, &answer->base,
                qr_arena_format(&client->arena, "Leadership transferred from %" PRIx64 " to %" PRIx64 "\n",
                                leader, request.targetid));
}

/* status: how the cluster is, as seen from here. Asks the endpoints it was given, then the members that these
 * name at their own client URLs. Only the answers of this moment count: nothing is remembered. */
#include <inttypes.h>
#include <time.h>

#include "bin/client_status.h"

enum { LAG_MAX = 5000 }; /* entries behind which a member counts as left behind; etcd refuses writes there */

/* ---- asking ---- */

static double now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

/* NULL: a server that does not know the call. */
static const QrEtcdpb__MemberStatusResponse *ask_more(qr_client *client, const char *endpoint)
{
    QrEtcdpb__MemberStatusRequest request = QR_ETCDPB__MEMBER_STATUS_REQUEST__INIT;
    const char *sentence;
    return qr_client_call(client, endpoint, "/quorate.Cluster/MemberStatus", false, &request.base,
                          &qr_etcdpb__member_status_response__descriptor, &sentence);
}

static void ask(qr_client *client, const char *endpoint, qr_client_report *out)
{
    double begun = now_ms();
    out->endpoint = endpoint;
    out->status = qr_client_ask_status(client, endpoint, &out->trouble);
    out->round_trip_ms = now_ms() - begun;
    if (out->status && !out->status->header) {
        out->status = NULL;
        out->trouble = qr_arena_format(&client->arena, "%s: the answer has no header", endpoint);
    }
    if (out->status)
        out->more = ask_more(client, endpoint);
}

qr_client_report *qr_client_survey_find(qr_client_survey *all, uint64_t id)
{
    for (size_t i = 0; i < all->count; i++)
        if (all->list[i].id == id)
            return &all->list[i];
    return NULL;
}

static qr_client_report *append(qr_client_survey *all, qr_client_report one)
{
    if (all->count == QR_CLIENT_REPORTS_MAX)
        return NULL;
    all->list[all->count] = one;
    return &all->list[all->count++];
}

/* NULL when the answer is one of this cluster and new; otherwise what is wrong, "" for nothing. */
static const char *judge(qr_client_survey *all, const qr_client_report *one)
{
    if (!one->status)
        return one->trouble;
    if (all->cluster && one->status->header->cluster_id != all->cluster)
        return qr_arena_format(&all->client->arena, "%s: belongs to another cluster", one->endpoint);
    if (qr_client_survey_find(all, one->status->header->member_id))
        return "";
    return NULL;
}

/* Endpoints that do not answer stay in the list, without an id, until a member turns out to live there. */
static void ask_endpoints(qr_client_survey *all)
{
    qr_client *client = all->client;
    for (size_t i = 0; i < client->endpoint_count; i++) {
        qr_client_report one = {.name = ""};
        ask(client, client->endpoints[i], &one);
        one.trouble = judge(all, &one);
        if (one.trouble && !*one.trouble)
            continue;
        if (one.trouble) {
            one.status = NULL;
        } else {
            all->cluster = one.status->header->cluster_id;
            one.id = one.status->header->member_id;
            one.learner = one.status->islearner;
        }
        append(all, one);
    }
}

/* An endpoint that was asked in vain. */
static qr_client_report *silent_endpoint(qr_client_survey *all, const char *url)
{
    for (size_t i = 0; i < all->count; i++)
        if (all->list[i].id == 0 &&
            strcmp(qr_client_authority(all->list[i].endpoint), qr_client_authority(url)) == 0)
            return &all->list[i];
    return NULL;
}

/* A member that none of the endpoints was. */
static qr_client_report ask_member(qr_client_survey *all, const QrEtcdpb__Member *member)
{
    qr_arena *arena = &all->client->arena;
    qr_client_report one = {.endpoint = "", .trouble = "it has not told its client URLs: not started yet?"};
    for (size_t i = 0; i < member->n_clienturls && !one.status; i++) {
        const char *url = qr_client_authority(member->clienturls[i]);
        qr_client_report *known = silent_endpoint(all, url);
        if (known) {
            one = *known;
            *known = all->list[--all->count];
            continue;
        }
        ask(all->client, url, &one);
        if (one.status && one.status->header->member_id != member->id) {
            one.trouble = qr_arena_format(arena, "%s: another member answers there", url);
            one.status = NULL;
        }
    }
    return one;
}

static void ask_members(qr_client_survey *all)
{
    const QrEtcdpb__MemberListResponse *members = NULL;
    const char *sentence;
    for (size_t i = 0; i < all->count && !members; i++)
        if (all->list[i].status)
            members = qr_client_members(all->client, all->list[i].endpoint, &sentence);
    all->complete = members != NULL && members->n_members <= QR_CLIENT_REPORTS_MAX - all->count;
    for (size_t i = 0; all->complete && i < members->n_members; i++) {
        const QrEtcdpb__Member *member = members->members[i];
        qr_client_report *one = qr_client_survey_find(all, member->id);
        if (!one)
            one = append(all, ask_member(all, member));
        one->id = member->id;
        one->name = member->name;
        one->learner = member->islearner;
        all->voters += !member->islearner;
    }
}

/* ---- judging ---- */

static void find_leader(qr_client_survey *all)
{
    for (size_t i = 0; i < all->count; i++) {
        const QrEtcdpb__StatusResponse *status = all->list[i].status;
        if (status && status->leader && status->raftterm >= all->term) {
            all->leader = status->leader;
            all->term = status->raftterm;
        }
        if (status && status->raftindex > all->index)
            all->index = status->raftindex;
    }
}

uint64_t qr_client_survey_lag(const qr_client_survey *all, const QrEtcdpb__StatusResponse *status)
{
    return status->raftappliedindex < all->index ? all->index - status->raftappliedindex : 0;
}

static void count_alive(qr_client_survey *all)
{
    for (size_t i = 0; i < all->count; i++) {
        qr_client_report *one = &all->list[i];
        bool follows = one->status && one->status->leader == all->leader;
        all->alive += follows && !one->learner;
        if (one->status && !one->status->leader && !one->trouble)
            one->trouble = "it knows no leader";
        if (one->status && qr_client_survey_lag(all, one->status) > LAG_MAX && !one->trouble)
            one->trouble = "it is far behind";
        bool lacks = one->trouble != NULL || !follows;
        if (all->client->options.only) /* the rest is the cluster's trouble */
            lacks = one->status == NULL;
        all->lacks = all->lacks || lacks;
    }
}

static void ask_alarms(qr_client_survey *all)
{
    QrEtcdpb__AlarmRequest request = QR_ETCDPB__ALARM_REQUEST__INIT;
    const char *sentence;
    qr_client_report *leader = all->leader ? qr_client_survey_find(all, all->leader) : NULL;
    if (leader && leader->status)
        all->alarms = qr_client_call(all->client, leader->endpoint, "/etcdserverpb.Maintenance/Alarm", false,
                                     &request.base, &qr_etcdpb__alarm_response__descriptor, &sentence);
    all->lacks = all->lacks || (all->alarms && all->alarms->n_alarms);
}

size_t qr_client_survey_needed(const qr_client_survey *all)
{
    return all->voters / 2 + 1;
}

static qr_client_health verdict(const qr_client_survey *all)
{
    if (all->cluster == 0)
        return all->client->options.only ? QR_CLIENT_DEGRADED : QR_CLIENT_NO_QUORUM;
    if (all->complete && (all->leader == 0 || all->alive < qr_client_survey_needed(all)))
        return QR_CLIENT_NO_QUORUM;
    return all->lacks || (!all->complete && !all->client->options.only) ? QR_CLIENT_DEGRADED : QR_CLIENT_WELL;
}

int qr_client_status(qr_client *client)
{
    qr_client_survey *all = qr_arena_zero(&client->arena, 1, sizeof *all);
    all->client = client;
    ask_endpoints(all);
    if (!client->options.only)
        ask_members(all);
    find_leader(all);
    count_alive(all);
    if (!client->options.only)
        ask_alarms(all);
    qr_client_health health = verdict(all);
    if (strcmp(client->options.output, "json") == 0)
        qr_client_status_for_programs(all, health);
    else
        qr_client_status_for_people(all);
    return (int)health;
}

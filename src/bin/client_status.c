/* status: how the cluster is, as seen from here. Asks the endpoints it was given, then the members that these
 * name at their own client URLs. Only the answers of this moment count: nothing is remembered. */
#include <inttypes.h>
#include <time.h>

#include "bin/client.h"

enum {
    REPORTS_MAX = 128,
    LAG_MAX = 5000, /* entries behind which a member counts as left behind; etcd refuses writes there */
    EXIT_WELL = 0,
    EXIT_DEGRADED = 1,
    EXIT_NO_QUORUM = 2,
};

typedef struct report {
    uint64_t id;
    const char *name, *endpoint;
    bool learner;
    const QrEtcdpb__StatusResponse *status; /* NULL: did not answer */
    const char *trouble;                    /* a sentence, or NULL */
    double round_trip_ms;
} report;

typedef struct survey {
    qr_client *client;
    report list[REPORTS_MAX];
    size_t count;
    uint64_t cluster;      /* 0: nobody answered yet */
    bool complete;         /* the list has all members of the cluster */
    uint64_t leader, term; /* by the newest term that was told; leader 0: none */
    uint64_t index;        /* the newest known */
    size_t voters, alive;  /* alive: answered, and knows that leader if there is one */
    const QrEtcdpb__AlarmResponse *alarms;
    bool lacks; /* something is missing or late */
} survey;

/* ---- asking ---- */

static double now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static void ask(qr_client *client, const char *endpoint, report *out)
{
    QrEtcdpb__StatusRequest request = QR_ETCDPB__STATUS_REQUEST__INIT;
    double begun = now_ms();
    out->endpoint = endpoint;
    out->status = qr_client_call(client, endpoint, "/etcdserverpb.Maintenance/Status", false, &request.base,
                                 &qr_etcdpb__status_response__descriptor, &out->trouble);
    out->round_trip_ms = now_ms() - begun;
    if (out->status && !out->status->header) {
        out->status = NULL;
        out->trouble = qr_arena_format(&client->arena, "%s: the answer has no header", endpoint);
    }
}

static report *find(survey *all, uint64_t id)
{
    for (size_t i = 0; i < all->count; i++)
        if (all->list[i].id == id)
            return &all->list[i];
    return NULL;
}

static report *append(survey *all, report one)
{
    if (all->count == REPORTS_MAX)
        return NULL;
    all->list[all->count] = one;
    return &all->list[all->count++];
}

/* NULL when the answer is one of this cluster and new; otherwise what is wrong, "" for nothing. */
static const char *judge(survey *all, const report *one)
{
    if (!one->status)
        return one->trouble;
    if (all->cluster && one->status->header->cluster_id != all->cluster)
        return qr_arena_format(&all->client->arena, "%s: belongs to another cluster", one->endpoint);
    if (find(all, one->status->header->member_id))
        return "";
    return NULL;
}

/* Endpoints that do not answer stay in the list, without an id, until a member turns out to live there. */
static void ask_endpoints(survey *all)
{
    qr_client *client = all->client;
    for (size_t i = 0; i < client->endpoint_count; i++) {
        report one = {.name = ""};
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

static const char *without_scheme(const char *url)
{
    static const char scheme[] = "http://";
    return strncmp(url, scheme, sizeof scheme - 1) == 0 ? url + sizeof scheme - 1 : url;
}

/* An endpoint that was asked in vain. */
static report *silent_endpoint(survey *all, const char *url)
{
    for (size_t i = 0; i < all->count; i++)
        if (all->list[i].id == 0 && strcmp(without_scheme(all->list[i].endpoint), without_scheme(url)) == 0)
            return &all->list[i];
    return NULL;
}

/* A member that none of the endpoints was. */
static report ask_member(survey *all, const QrEtcdpb__Member *member)
{
    qr_arena *arena = &all->client->arena;
    report one = {.endpoint = "", .trouble = "it has not told its client URLs: not started yet?"};
    for (size_t i = 0; i < member->n_clienturls && !one.status; i++) {
        const char *url = without_scheme(member->clienturls[i]);
        report *known = silent_endpoint(all, url);
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

static void ask_members(survey *all)
{
    const QrEtcdpb__MemberListResponse *members = NULL;
    const char *sentence;
    for (size_t i = 0; i < all->count && !members; i++)
        if (all->list[i].status)
            members = qr_client_members(all->client, all->list[i].endpoint, &sentence);
    all->complete = members != NULL && members->n_members <= REPORTS_MAX - all->count;
    for (size_t i = 0; all->complete && i < members->n_members; i++) {
        const QrEtcdpb__Member *member = members->members[i];
        report *one = find(all, member->id);
        if (!one)
            one = append(all, ask_member(all, member));
        one->id = member->id;
        one->name = member->name;
        one->learner = member->islearner;
        all->voters += !member->islearner;
    }
}

/* ---- judging ---- */

static void find_leader(survey *all)
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

static uint64_t lag(const survey *all, const QrEtcdpb__StatusResponse *status)
{
    return status->raftappliedindex < all->index ? all->index - status->raftappliedindex : 0;
}

static void count_alive(survey *all)
{
    for (size_t i = 0; i < all->count; i++) {
        report *one = &all->list[i];
        bool follows = one->status && one->status->leader == all->leader;
        all->alive += follows && !one->learner;
        if (one->status && !one->status->leader && !one->trouble)
            one->trouble = "it knows no leader";
        if (one->status && lag(all, one->status) > LAG_MAX && !one->trouble)
            one->trouble = "it is far behind";
        bool lacks = one->trouble != NULL || !follows;
        if (all->client->options.only) /* the rest is the cluster's trouble */
            lacks = one->status == NULL;
        all->lacks = all->lacks || lacks;
    }
}

static void ask_alarms(survey *all)
{
    QrEtcdpb__AlarmRequest request = QR_ETCDPB__ALARM_REQUEST__INIT;
    const char *sentence;
    report *leader = all->leader ? find(all, all->leader) : NULL;
    if (leader && leader->status)
        all->alarms = qr_client_call(all->client, leader->endpoint, "/etcdserverpb.Maintenance/Alarm", false,
                                     &request.base, &qr_etcdpb__alarm_response__descriptor, &sentence);
    all->lacks = all->lacks || (all->alarms && all->alarms->n_alarms);
}

static size_t needed(const survey *all)
{
    return all->voters / 2 + 1;
}

static int verdict(const survey *all)
{
    if (all->cluster == 0)
        return all->client->options.only ? EXIT_DEGRADED : EXIT_NO_QUORUM;
    if (all->complete && (all->leader == 0 || all->alive < needed(all)))
        return EXIT_NO_QUORUM;
    return all->lacks || (!all->complete && !all->client->options.only) ? EXIT_DEGRADED : EXIT_WELL;
}

/* ---- telling people ---- */

/* Text of a peer's on a terminal: no control characters. */
static const char *shown(survey *all, const char *text)
{
    char *copy = qr_arena_format(&all->client->arena, "%s", *text ? text : "-");
    for (char *at = copy; *at; at++)
        if ((unsigned char)*at < 0x20 || *at == 0x7F)
            *at = '?';
    return copy;
}

static const char *role(const report *one)
{
    if (!one->status)
        return one->learner ? "learner" : "-";
    return one->status->leader == one->id ? "leader"
           : one->status->islearner       ? "learner"
           : one->status->leader          ? "follower"
                                          : "no leader";
}

static const char *size_text(qr_arena *arena, int64_t bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double size = (double)bytes;
    size_t unit = 0;
    while (size >= 1024 && unit < 4) {
        size /= 1024;
        unit++;
    }
    return qr_arena_format(arena, unit && size < 100 ? "%.1f %s" : "%.0f %s", size, units[unit]);
}

enum { COLUMNS = 11 };

static void fill_row(survey *all, const report *one, const char **cells)
{
    const QrEtcdpb__StatusResponse *status = one->status;
    qr_arena *arena = &all->client->arena;
    cells[0] = shown(all, one->name);
    cells[1] = one->id ? qr_arena_format(arena, "%" PRIx64, one->id) : "-";
    cells[2] = role(one);
    cells[3] = status ? "alive" : "unreachable";
    cells[4] = status ? shown(all, status->version) : "-";
    cells[5] = status ? qr_arena_format(arena, "%" PRIu64, status->raftterm) : "-";
    cells[6] = status ? qr_arena_format(arena, "%" PRIu64, status->raftappliedindex) : "-";
    cells[7] = status ? qr_arena_format(arena, "%" PRIu64, lag(all, status)) : "-";
    cells[8] = status ? size_text(arena, status->dbsize) : "-";
    cells[9] = status ? qr_arena_format(arena, "%.1f ms", one->round_trip_ms) : "-";
    cells[10] = shown(all, one->endpoint);
}

static void print_table(survey *all)
{
    static const char *const titles[COLUMNS] = {"MEMBER",  "ID",  "ROLE",    "STATE", "VERSION", "TERM",
                                                "APPLIED", "LAG", "DB SIZE", "TIME",  "ENDPOINT"};
    const char **cells = qr_arena_zero(&all->client->arena, (all->count + 1) * COLUMNS, sizeof *cells);
    memcpy(cells, titles, sizeof titles);
    for (size_t i = 0; i < all->count; i++)
        fill_row(all, &all->list[i], &cells[(i + 1) * COLUMNS]);
    qr_client_print_table(all->client, cells, all->count + 1, COLUMNS);
}

static const char *name_of(survey *all, uint64_t id)
{
    const report *one = find(all, id);
    return one && *one->name ? shown(all, one->name) : qr_arena_format(&all->client->arena, "%" PRIx64, id);
}

static void print_quorum(survey *all, qr_buffer *out)
{
    qr_buffer_format(out, "quorum: ");
    if (!all->complete)
        qr_buffer_format(out, "unknown, since nobody told the members of the cluster\n");
    else if (all->alive < needed(all))
        qr_buffer_format(out, "lost: %zu of %zu alive, %zu are needed\n", all->alive, all->voters,
                         needed(all));
    else
        qr_buffer_format(out, "%zu of %zu alive, may lose %zu more\n", all->alive, all->voters,
                         all->alive - needed(all));
}

static const char *alarm_name(const QrEtcdpb__AlarmMember *alarm)
{
    const ProtobufCEnumValue *value =
        protobuf_c_enum_descriptor_get_value(&qr_etcdpb__alarm_type__descriptor, (int)alarm->alarm);
    return value ? value->name : "UNKNOWN";
}

static void print_alarms(survey *all, qr_buffer *out)
{
    qr_buffer_format(out, "alarms:%s", !all->alarms ? " unknown" : all->alarms->n_alarms ? "" : " none");
    for (size_t i = 0; all->alarms && i < all->alarms->n_alarms; i++)
        qr_buffer_format(out, "%s %s on %s", i ? "," : "", alarm_name(all->alarms->alarms[i]),
                         name_of(all, all->alarms->alarms[i]->memberid));
    qr_buffer_u8(out, '\n');
}

static void print_for_people(survey *all)
{
    qr_buffer *out = &all->client->out;
    if (all->count)
        print_table(all);
    if (!all->client->options.only) {
        qr_buffer_u8(out, '\n');
        print_quorum(all, out);
        if (all->leader)
            qr_buffer_format(out, "leader: %s, term %" PRIu64 "\n", name_of(all, all->leader), all->term);
        else
            qr_buffer_format(out, "leader: none is known\n");
        print_alarms(all, out);
    }
    for (size_t i = 0; i < all->count; i++)
        if (all->list[i].trouble)
            fprintf(stderr, "quorate: %s%s%s\n", *all->list[i].name ? shown(all, all->list[i].name) : "",
                    *all->list[i].name ? ": " : "", shown(all, all->list[i].trouble));
}

/* ---- telling programs ---- */

static void json_field(qr_buffer *out, const char *name, const char *text)
{
    qr_buffer_format(out, "\"%s\":", name);
    qr_client_json_text(out, text);
    qr_buffer_u8(out, ',');
}

static void json_report(survey *all, const report *one, qr_buffer *out)
{
    qr_buffer_u8(out, '{');
    json_field(out, "name", one->name);
    qr_buffer_format(out, "\"id\":\"%" PRIx64 "\",", one->id);
    json_field(out, "role", one->status ? role(one) : "");
    json_field(out, "endpoint", one->endpoint);
    json_field(out, "trouble", one->trouble ? one->trouble : "");
    qr_buffer_format(out, "\"learner\":%s,\"reachable\":%s", one->learner ? "true" : "false",
                     one->status ? "true" : "false");
    if (one->status) {
        qr_buffer_format(out, ",\"round_trip_ms\":%.3f,\"lag\":%" PRIu64 ",\"status\":", one->round_trip_ms,
                         lag(all, one->status));
        qr_client_print_json(all->client, &one->status->base);
    }
    qr_buffer_u8(out, '}');
}

static void print_for_programs(survey *all, int result)
{
    static const char *const healths[] = {"ok", "degraded", "no quorum"};
    qr_buffer *out = &all->client->out;
    qr_buffer_u8(out, '{');
    json_field(out, "health", healths[result]);
    if (all->complete)
        qr_buffer_format(out, "\"quorum\":{\"voters\":%zu,\"alive\":%zu,\"needed\":%zu,\"may_lose\":%zu},",
                         all->voters, all->alive, needed(all),
                         all->alive > needed(all) ? all->alive - needed(all) : 0);
    qr_buffer_format(out, "\"leader\":\"%" PRIx64 "\",\"term\":%" PRIu64 ",\"alarms\":[", all->leader,
                     all->term);
    for (size_t i = 0; all->alarms && i < all->alarms->n_alarms; i++)
        qr_buffer_format(out, "%s{\"member\":\"%" PRIx64 "\",\"alarm\":\"%s\"}", i ? "," : "",
                         all->alarms->alarms[i]->memberid, alarm_name(all->alarms->alarms[i]));
    qr_buffer_format(out, "],\"members\":[");
    for (size_t i = 0; i < all->count; i++) {
        if (i)
            qr_buffer_u8(out, ',');
        json_report(all, &all->list[i], out);
    }
    qr_buffer_format(out, "]}\n");
}

int qr_client_status(qr_client *client)
{
    survey *all = qr_arena_zero(&client->arena, 1, sizeof *all);
    all->client = client;
    ask_endpoints(all);
    if (!client->options.only)
        ask_members(all);
    find_leader(all);
    count_alive(all);
    if (!client->options.only)
        ask_alarms(all);
    int result = verdict(all);
    if (strcmp(client->options.output, "json") == 0)
        print_for_programs(all, result);
    else
        print_for_people(all);
    return result;
}

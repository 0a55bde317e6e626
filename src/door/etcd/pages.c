/* The pages: GET /health, /livez, /readyz and the checks below them, /version, /metrics. A page that has to
 * know how the member is looks at the store first, through the node like any read. */
#include "door/etcd/http.h"
#include "door/etcd/metrics.h"

#include <stdio.h>

enum { CHECK_CORRUPTION = 1, CHECK_SERIALIZABLE = 2, CHECK_LINEARIZABLE = 4, CHECK_NON_LEARNER = 8 };

static const struct {
    unsigned bit;
    const char *name;
} checks[] = {{CHECK_CORRUPTION, "data_corruption"},
              {CHECK_SERIALIZABLE, "serializable_read"},
              {CHECK_LINEARIZABLE, "linearizable_read"},
              {CHECK_NON_LEARNER, "non_learner"}};
enum { CHECK_COUNT = sizeof checks / sizeof checks[0] };

typedef struct qr_etcd_page_kind {
    const char *path;
    unsigned checks; /* of those that it makes */
    void (*show)(qr_etcd_http *http, const qr_tree_status *tree, const char *error);
} page_kind;

/* ---- parameters ---- */

/* Is "name=value" among them? value NULL: any, or none. */
static bool has_parameter(qr_slice query, const char *name, const char *value)
{
    size_t name_size = strlen(name);
    for (const uint8_t *at = query.data, *end = query.data + query.size; query.size && at < end;) {
        const uint8_t *next = memchr(at, '&', (size_t)(end - at));
        qr_slice one = qr_slice_of(at, (size_t)((next ? next : end) - at));
        if (qr_slice_starts(one, qr_slice_text(name))) {
            qr_slice rest = qr_slice_of(one.data + name_size, one.size - name_size);
            bool named = !rest.size || rest.data[0] == '=';
            if (named && !value)
                return true;
            if (named && rest.size &&
                qr_slice_equal(qr_slice_of(rest.data + 1, rest.size - 1), qr_slice_text(value)))
                return true;
        }
        at = next ? next + 1 : end;
    }
    return false;
}

/* ---- /health ---- */

static bool has_alarm(const qr_etcd_http *http, const qr_tree_status *tree, uint32_t kind)
{
    qr_alarm alarms[QR_ETCD_ALARMS_MAX];
    size_t count = qr_etcd_alarms(http->door, tree, alarms);
    for (size_t i = 0; i < count; i++)
        if (alarms[i].kind == kind)
            return true;
    return false;
}

static const char *alarm_reason(const qr_etcd_http *http, const qr_tree_status *tree)
{
    if (has_alarm(http, tree, QR_ALARM_NO_SPACE) && !http->page.no_space_is_fine)
        return "ALARM NOSPACE";
    return has_alarm(http, tree, QR_ALARM_CORRUPT) && !http->page.corrupt_is_fine ? "ALARM CORRUPT" : NULL;
}

static void show_health(qr_etcd_http *http, const qr_tree_status *tree, const char *error)
{
    char body[256];
    qr_node_status status;
    qr_node_status_of(http->door->config.node, &status);
    const char *alarm = alarm_reason(http, tree);
    if (alarm)
        snprintf(body, sizeof body, "{\"health\":\"false\",\"reason\":\"%s\"}", alarm);
    else if (!status.engine.leader && !http->page.local)
        snprintf(body, sizeof body, "{\"health\":\"false\",\"reason\":\"RAFT NO LEADER\"}");
    else if (error)
        snprintf(body, sizeof body, "{\"health\":\"false\",\"reason\":\"RANGE ERROR:%s\"}", error);
    else
        snprintf(body, sizeof body, "{\"health\":\"true\"}");
    bool healthy = strstr(body, "true") != NULL;
    http->door->health_shown[healthy]++;
    qr_etcd_http_answer(http, healthy ? 200 : 503, QR_ETCD_PLAIN_TEXT, NULL, qr_slice_text(body));
}

/* ---- /livez, /readyz ---- */

/* Why a check fails; NULL: it doesn't. A member that reads linearizably reads locally, too. */
static const char *failure_of(const qr_etcd_http *http, unsigned check, const qr_tree_status *tree,
                              const char *error)
{
    qr_node_status status;
    qr_node_status_of(http->door->config.node, &status);
    const qr_member *self = qr_members_find(&status.engine.members, http->door->config.self);
    switch (check) {
    case CHECK_CORRUPTION: return has_alarm(http, tree, QR_ALARM_CORRUPT) ? "alarm activated: CORRUPT" : NULL;
    case CHECK_SERIALIZABLE: return http->page.local || status.halted ? error : NULL;
    case CHECK_LINEARIZABLE: return error;
    default: return self && self->role != QR_ROLE_VOTER ? "this member is a learner" : NULL;
    }
}

static void show_checks(qr_etcd_http *http, const qr_tree_status *tree, const char *error)
{
    qr_buffer body;
    bool failed = false;
    qr_buffer_init(&body);
    for (size_t i = 0; i < CHECK_COUNT; i++) {
        if (!(http->page.checks & checks[i].bit))
            continue;
        const char *why = failure_of(http, checks[i].bit, tree, error);
        failed = failed || why;
        if (why)
            qr_buffer_format(&body, "[-]%s failed: %s\n", checks[i].name, why);
        else
            qr_buffer_format(&body, "[+]%s ok\n", checks[i].name);
    }
    if (!failed && !http->page.verbose)
        qr_buffer_clear(&body);
    if (!failed)
        qr_buffer_format(&body, "ok\n");
    qr_etcd_http_answer(http, failed ? 503 : 200, QR_ETCD_PLAIN_TEXT, NULL, qr_buffer_slice(&body));
    qr_buffer_free(&body);
}

/* ---- /metrics ---- */

static void show_metrics(qr_etcd_http *http, const qr_tree_status *tree, const char *error)
{
    qr_buffer body;
    qr_buffer_init(&body);
    qr_etcd_metrics_print(http->door, tree, &body);
    qr_etcd_http_answer(http, 200, "text/plain; version=0.0.4; charset=utf-8", NULL, qr_buffer_slice(&body));
    qr_buffer_free(&body);
}

/* ---- the look at the store ---- */

static void finish_page(qr_etcd_call *call, qr_grpc_code code, const char *text)
{
    qr_etcd_http *http = call->stream;
    http->page.kind->show(http, call->work, code == QR_GRPC_OK ? NULL : text);
}

static const qr_etcd_transport page_transport = {.finish = finish_page};

static void answer_page(qr_etcd_call *call, const qr_reply *reply)
{
    qr_tree_status *kept = qr_arena_alloc(&call->arena, sizeof *kept);
    *kept = *(const qr_tree_status *)reply->result;
    qr_slice alarms = qr_slice_of(kept->alarms, kept->alarm_count * sizeof *kept->alarms);
    kept->alarms = (const qr_alarm *)qr_arena_copy(&call->arena, alarms).data;
    call->work = kept;
    qr_etcd_call_succeed(call);
}

static void start_page(qr_etcd_call *call, qr_slice message)
{
    const qr_etcd_http *http = call->stream;
    call->timeout_ms = QR_ETCD_HEALTH_MS;
    call->query = (qr_query){.kind = QR_QUERY_STATUS};
    call->answer = answer_page;
    qr_etcd_call_look(call, http->page.local);
}

static const qr_etcd_method page_method = {.name = "page", .start = start_page};

static const page_kind kinds[] = {
    {"/health", 0, show_health},
    {"/livez", CHECK_SERIALIZABLE, show_checks},
    {"/readyz", CHECK_CORRUPTION | CHECK_SERIALIZABLE | CHECK_LINEARIZABLE | CHECK_NON_LEARNER, show_checks},
    {"/metrics", 0, show_metrics},
};

/* The page itself, or one of its checks: "/readyz/linearizable_read". */
static bool page_fits(const page_kind *kind, qr_slice path, unsigned *wanted)
{
    size_t size = strlen(kind->path);
    *wanted = kind->checks;
    if (!qr_slice_starts(path, qr_slice_text(kind->path)))
        return false;
    if (path.size == size)
        return true;
    for (size_t i = 0; i < CHECK_COUNT && path.data[size] == '/'; i++) {
        *wanted = kind->checks & checks[i].bit;
        if (*wanted && qr_slice_equal(qr_slice_of(path.data + size + 1, path.size - size - 1),
                                      qr_slice_text(checks[i].name)))
            return true;
    }
    return false;
}

static void open_page(qr_etcd_http *http, const page_kind *kind, unsigned wanted, qr_slice query)
{
    for (size_t i = 0; i < CHECK_COUNT; i++)
        if (has_parameter(query, "exclude", checks[i].name))
            wanted &= ~checks[i].bit;
    bool local = kind->show == show_health ? has_parameter(query, "serializable", "true")
                                           : !(wanted & CHECK_LINEARIZABLE);
    http->page = (qr_etcd_page){.kind = kind,
                                .checks = wanted,
                                .verbose = has_parameter(query, "verbose", NULL),
                                .local = local,
                                .no_space_is_fine = has_parameter(query, "exclude", "NOSPACE"),
                                .corrupt_is_fine = has_parameter(query, "exclude", "CORRUPT")};
    qr_etcd_call_message(qr_etcd_http_call(http, &page_method, &page_transport), qr_slice_of(NULL, 0));
}

void qr_etcd_pages(qr_etcd_http *http, const qr_http1_request *request)
{
    static const char version_page[] =
        "{\"etcdserver\":\"" QR_ETCD_VERSION "\",\"etcdcluster\":\"" QR_ETCD_CLUSTER_VERSION "\"}";
    bool version = qr_slice_equal(request->path, qr_slice_text("/version"));
    const page_kind *kind = NULL;
    unsigned wanted = 0;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0] && !kind; i++)
        kind = page_fits(&kinds[i], request->path, &wanted) ? &kinds[i] : NULL;
    if (qr_slice_equal(request->path, qr_slice_text("/v3")))
        qr_etcd_http_respond(http, 301, NULL, "Location: /v3/\r\n", qr_slice_of(NULL, 0));
    else if (!kind && !version)
        qr_etcd_http_respond(http, 404, QR_ETCD_PLAIN_TEXT, NULL, qr_slice_text("404 page not found\n"));
    else if (!qr_slice_equal(request->method, qr_slice_text("GET")))
        qr_etcd_http_respond(http, 405, QR_ETCD_PLAIN_TEXT, "Allow: GET\r\n",
                             qr_slice_text("Method Not Allowed\n"));
    else if (version)
        qr_etcd_http_respond(http, 200, QR_ETCD_JSON, NULL, qr_slice_text(version_page));
    else
        open_page(http, kind, wanted, request->query);
}

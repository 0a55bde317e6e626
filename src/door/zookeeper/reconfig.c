/* reconfig: a change of members asked for by a client. It is no one entry of the log here but a row of steps,
 * one after another:
 *
 *   look (all that was decided before is applied here) -> judge
 *     -> of each that joins: its entry in the catalogue, then it is added; or its new peer URL, or its vote
 *     -> each that leaves is removed
 *     -> the record behind /zookeeper/config -> answer
 *
 * What a step has done stays done when a later one fails, and when the client goes away the steps go on. */
#include "door/zookeeper/config.h"
#include "door/zookeeper/door.h"
#include "door/zookeeper/inside.h"

enum { STEPS_MAX = 3 * QR_MEMBERS_MAX, RECORD_ATTEMPTS = 5, BUSY_ATTEMPTS = 10 };

typedef enum step_kind { ENTRY, ADD, PROMOTE, REMOVE } step_kind;

typedef struct qr__zk_change {
    qr_zookeeper_wishes wishes;
    uint64_t ids[QR_MEMBERS_MAX]; /* of wishes.joining each */
    struct step {
        step_kind kind;
        uint64_t member;
        const qr_zookeeper_server *server;
    } steps[STEPS_MAX];
    size_t step_count, next;
    uint32_t record_attempts, busy_attempts;
    bool stalled; /* another change was under way; to be tried again */
} qr__zk_change;

static qr_node *node_of(const qr__zk_call *call)
{
    return call->connection->door->config.node;
}

static void go_on(qr__zk_call *call);

/* ---- the end ---- */

static void answer(qr__zk_call *call, int32_t err)
{
    qr_zookeeper_door *door = call->connection->door;
    call->request.err = err;
    call->request.revision = qr__zk_revision(door);
    if (err == QR_ZOOKEEPER_OK) {
        qr_jute_data_reply reply;
        qr_status status = qr__zk_config_view(node_of(call), &call->arena, &reply.stat, &reply.data);
        qr__zk_reply(&call->request, call->request.revision, &qr_jute_record_data_reply, &reply);
        if (status != QR_OK)
            call->request.err = QR_ZOOKEEPER_CONNECTION_LOSS;
        qr__zk_config_notice(door);
    }
    qr__zk_line_finish(call, call->request.err, call->request.revision);
    qr__zk_line_pump(call->connection);
}

static void end(qr__zk_call *call, int32_t err)
{
    qr__zk_connection *connection = call->connection;
    if (connection->door->reconfiguring == call)
        connection->door->reconfiguring = NULL;
    connection->writes_flying--;
    if (!connection->closed)
        answer(call, err);
}

static int32_t error_of(qr_status status)
{
    switch (status) {
    case QR_E_BUSY: return QR_ZOOKEEPER_RECONFIG_IN_PROGRESS;
    case QR_E_QUORUM:
    case QR_E_NOT_READY: return QR_ZOOKEEPER_NEW_CONFIG_NO_QUORUM;
    case QR_E_VERSION_MISMATCH: return QR_ZOOKEEPER_BAD_VERSION;
    case QR_E_TOO_LARGE: return QR_ZOOKEEPER_BAD_ARGUMENTS;
    default: return QR_ZOOKEEPER_CONNECTION_LOSS; /* it may have happened */
    }
}

/* ---- the steps ---- */

static qr_status submit(qr__zk_call *call, qr_request *request,
                        void (*done)(void *owner, const qr_reply *reply))
{
    request->done = done;
    request->owner = call;
    qr_status status = qr_node_submit(node_of(call), request);
    call->connection->flights += status == QR_OK;
    return status;
}

/* Of a change of members that is there already, the step is done. */
static bool is_done(const struct step *step, qr_status status)
{
    bool adds = step->kind == ADD || step->kind == PROMOTE;
    return status == QR_OK || (adds && status == QR_E_EXISTS) ||
           (step->kind == REMOVE && status == QR_E_NOT_FOUND);
}

static void on_step(void *owner, const qr_reply *reply)
{
    qr__zk_call *call = owner;
    qr__zk_connection *connection = call->connection;
    qr__zk_change *self = call->reconfig;
    const struct step *step = &self->steps[self->next];
    bool waits = reply->status == QR_E_BUSY && self->next > 0 && self->busy_attempts++ < BUSY_ATTEMPTS;
    if (is_done(step, reply->status)) {
        self->next++;
        go_on(call);
    } else if (waits) {
        self->stalled = true; /* a member that has just joined becomes a voter, most likely */
        return;               /* and the flight stands for the wait */
    } else {
        end(call, error_of(reply->status));
    }
    qr__zk_landed(connection);
}

static qr_status take_step(qr__zk_call *call, const struct step *step)
{
    static const qr_change_kind kinds[] = {
        [ADD] = QR_CHANGE_ADD, [PROMOTE] = QR_CHANGE_PROMOTE, [REMOVE] = QR_CHANGE_REMOVE};
    qr_node *node = node_of(call);
    if (step->kind != ENTRY) {
        qr_request request = {.kind = QR_REQUEST_MEMBERS,
                              .change = {.kind = kinds[step->kind],
                                         .id = step->member,
                                         .voter = step->kind == ADD && !step->server->observer}};
        return submit(call, &request, on_step);
    }
    qr_catalogue_entry entry = {.name = qr_slice_of(NULL, 0)};
    uint64_t version = 0;
    qr__zk_catalogue_look(node, step->member, &call->arena, &entry, &version);
    entry.peer.list[0] = qr__zk_peer_url(step->server, &call->arena);
    entry.peer.count = 1;
    qr_buffer body;
    qr_buffer_init(&body);
    qr_catalogue_body(step->member, &entry, version, &body);
    qr_request request = {.kind = QR_REQUEST_WRITE, .body = qr_buffer_slice(&body)};
    qr_status status = submit(call, &request, on_step);
    qr_buffer_free(&body);
    return status;
}

/* ---- the record ---- */

static void on_record(void *owner, const qr_reply *reply)
{
    qr__zk_call *call = owner;
    qr__zk_connection *connection = call->connection;
    if (reply->status == QR_OK)
        end(call, QR_ZOOKEEPER_OK);
    else if (reply->status == QR_E_VERSION_MISMATCH && ++call->reconfig->record_attempts < RECORD_ATTEMPTS)
        go_on(call); /* a member has written its seat meanwhile */
    else
        end(call, error_of(reply->status));
    qr__zk_landed(connection);
}

static void seat_all(const qr__zk_change *self, qr_zookeeper_ensemble *ensemble)
{
    for (size_t i = 0; i < self->wishes.leaving_count; i++) {
        struct qr_zookeeper_seat *seat = qr_zookeeper_seat_numbered(ensemble, self->wishes.leaving[i]);
        if (seat != NULL)
            qr_zookeeper_seat_remove(ensemble, seat);
    }
    for (size_t i = 0; i < self->wishes.joining_count; i++) {
        struct qr_zookeeper_seat *seat = qr_zookeeper_seat_of(ensemble, self->ids[i]);
        if (seat == NULL)
            seat = qr_zookeeper_seat_add(ensemble, self->ids[i], self->wishes.joining[i].id);
        if (seat == NULL)
            continue;
        uint32_t number = seat->server.id;
        seat->server = self->wishes.joining[i];
        seat->server.id = number;
    }
}

static qr_status write_record(qr__zk_call *call)
{
    qr_zookeeper_ensemble *ensemble = qr_arena_zero(&call->arena, 1, sizeof *ensemble);
    qr_status status = qr__zk_ensemble_look(node_of(call), &call->arena, ensemble);
    if (status != QR_OK)
        return status;
    seat_all(call->reconfig, ensemble);
    qr_buffer body;
    qr_buffer_init(&body);
    qr__zk_ensemble_body(ensemble, &body);
    qr_request request = {.kind = QR_REQUEST_WRITE, .body = qr_buffer_slice(&body)};
    status = submit(call, &request, on_record);
    qr_buffer_free(&body);
    return status;
}

static void go_on(qr__zk_call *call)
{
    qr__zk_change *self = call->reconfig;
    qr_status status =
        self->next < self->step_count ? take_step(call, &self->steps[self->next]) : write_record(call);
    if (status != QR_OK)
        end(call, error_of(status));
}

void qr__zk_reconfig_retry(qr_zookeeper_door *door)
{
    qr__zk_call *call = door->reconfiguring;
    if (call == NULL || !call->reconfig->stalled)
        return;
    qr__zk_connection *connection = call->connection;
    call->reconfig->stalled = false;
    go_on(call);
    qr__zk_landed(connection);
}

void qr__zk_reconfig_stop(qr_zookeeper_door *door)
{
    qr__zk_call *call = door->reconfiguring;
    if (call == NULL)
        return;
    qr__zk_connection *connection = call->connection;
    end(call, QR_ZOOKEEPER_CONNECTION_LOSS);
    qr__zk_landed(connection);
}

/* ---- the judgement ---- */

static void plan(qr__zk_call *call, qr_zookeeper_ensemble *ensemble)
{
    const qr_zookeeper_config *config = &call->connection->door->config;
    qr__zk_change *self = call->reconfig;
    qr_node_status status;
    qr_node_status_of(config->node, &status);
    for (size_t i = 0; i < self->wishes.joining_count; i++) {
        const qr_zookeeper_server *server = &self->wishes.joining[i];
        const struct qr_zookeeper_seat *seat = qr_zookeeper_seat_numbered(ensemble, server->id);
        qr_catalogue_urls urls = {.list = {qr__zk_peer_url(server, &call->arena)}, .count = 1};
        self->ids[i] = seat ? seat->member
                            : qr_catalogue_new_id(&urls, status.cluster,
                                                  config->wall_ms ? config->wall_ms(config->context) : 0);
        bool moves = seat && (seat->server.peer_port != server->peer_port ||
                              strcmp(seat->server.host, server->host) != 0);
        if (!seat || moves)
            self->steps[self->step_count++] = (struct step){ENTRY, self->ids[i], server};
        if (!seat)
            self->steps[self->step_count++] = (struct step){ADD, self->ids[i], server};
        else if (seat->server.observer && !server->observer)
            self->steps[self->step_count++] = (struct step){PROMOTE, self->ids[i], server};
    }
    for (size_t i = 0; i < self->wishes.leaving_count; i++) {
        const struct qr_zookeeper_seat *seat = qr_zookeeper_seat_numbered(ensemble, self->wishes.leaving[i]);
        self->steps[self->step_count++] = (struct step){.kind = REMOVE, .member = seat->member};
    }
}

/* A member with a vote does not become an observer. */
static bool demotes(qr_zookeeper_ensemble *ensemble, const qr_zookeeper_wishes *wishes)
{
    for (size_t i = 0; i < wishes->joining_count; i++) {
        const struct qr_zookeeper_seat *seat = qr_zookeeper_seat_numbered(ensemble, wishes->joining[i].id);
        if (seat != NULL && wishes->joining[i].observer && !seat->server.observer)
            return true;
    }
    return false;
}

/* In ZooKeeper's order: who asks is looked at last. */
static int32_t judge(qr__zk_call *call, const qr_jute_reconfig *asked)
{
    qr_zookeeper_door *door = call->connection->door;
    const qr_members *members = qr_node_members_applied(door->config.node);
    qr_zookeeper_ensemble *ensemble = qr_arena_zero(&call->arena, 1, sizeof *ensemble);
    if (members == NULL || qr__zk_ensemble_look(door->config.node, &call->arena, ensemble) != QR_OK)
        return QR_ZOOKEEPER_CONNECTION_LOSS;
    if (members->count == 1 || ensemble->is_newer)
        return QR_ZOOKEEPER_UNIMPLEMENTED; /* a server alone */
    if (door->reconfiguring || members->joint)
        return QR_ZOOKEEPER_RECONFIG_IN_PROGRESS;
    if (asked->config_id != -1 && (uint64_t)asked->config_id != ensemble->version)
        return QR_ZOOKEEPER_BAD_VERSION;
    int32_t err = qr_zookeeper_wishes_read(ensemble, asked->joining, asked->leaving, asked->members,
                                           &call->arena, &call->reconfig->wishes);
    if (err != QR_ZOOKEEPER_OK)
        return err;
    for (size_t i = 0; i < call->reconfig->wishes.joining_count; i++)
        if (!qr_catalogue_is_peer_url(qr__zk_peer_url(&call->reconfig->wishes.joining[i], &call->arena)))
            return QR_ZOOKEEPER_BAD_ARGUMENTS;
    qr_jute_vector acl;
    uint64_t version;
    if (qr__zk_config_rights(door->config.node, &call->arena, &acl, &version) != QR_OK)
        return QR_ZOOKEEPER_CONNECTION_LOSS;
    if (!qr__zk_acl_allows(&acl, &call->connection->asker, QR_ZOOKEEPER_MAY_WRITE))
        return QR_ZOOKEEPER_NO_AUTH;
    if (call->reconfig->wishes.too_much || demotes(ensemble, &call->reconfig->wishes))
        return QR_ZOOKEEPER_UNIMPLEMENTED;
    plan(call, ensemble);
    return QR_ZOOKEEPER_OK;
}

static void on_look(void *owner, const qr_reply *reply)
{
    qr__zk_call *call = owner;
    qr__zk_connection *connection = call->connection;
    qr_jute_reconfig asked;
    qr_reader reader = qr_reader_of(call->request.body);
    int32_t err = reply->status != QR_OK ? QR_ZOOKEEPER_CONNECTION_LOSS : QR_ZOOKEEPER_OK;
    if (err == QR_ZOOKEEPER_OK &&
        qr_jute_decode(&qr_jute_record_reconfig, &reader, &call->arena, &asked) != QR_OK)
        err = QR_ZOOKEEPER_MARSHALLING;
    if (err == QR_ZOOKEEPER_OK && !connection->door->config.reconfig)
        err = QR_ZOOKEEPER_RECONFIG_DISABLED;
    if (err == QR_ZOOKEEPER_OK)
        err = judge(call, &asked);
    if (err == QR_ZOOKEEPER_OK) {
        connection->door->reconfiguring = call;
        go_on(call);
    } else {
        end(call, err);
    }
    qr__zk_landed(connection);
}

qr_status qr__zk_reconfig(qr__zk_call *call)
{
    call->reconfig = qr_arena_zero(&call->arena, 1, sizeof *call->reconfig);
    call->barrier = (qr_query){.kind = QR_QUERY_PATH, .path = qr_slice_text("/")};
    qr_status status = qr__zk_line_submit(call, QR_REQUEST_READ, on_look);
    call->connection->writes_flying += status == QR_OK;
    return status;
}

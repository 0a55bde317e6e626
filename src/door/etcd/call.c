#include "door/etcd/call.h"

#include "door/etcd/metrics.h"
#include "wire/protobuf.h"

/* ---- finding ---- */

static const qr_etcd_service *const services[] = {
    &qr_etcd_kv_service,      &qr_etcd_lease_service,    &qr_etcd_watch_service,
    &qr_etcd_lock_service,    &qr_etcd_election_service, &qr_etcd_maintenance_service,
    &qr_etcd_cluster_service, &qr_etcd_own_service,      &qr_etcd_health_service};
enum { SERVICES = sizeof services / sizeof services[0] };

const qr_etcd_method *qr_etcd_find_method(qr_slice path, qr_arena *arena, const char **text)
{
    const uint8_t *slash = path.size > 1 ? memrchr(path.data + 1, '/', path.size - 1) : NULL;
    if (!slash || path.data[0] != '/') {
        *text = qr_arena_format(arena, "malformed method name: \"%s\"", qr_arena_text(arena, path));
        return NULL;
    }
    qr_slice service = qr_slice_of(path.data + 1, (size_t)(slash - path.data) - 1);
    qr_slice name = qr_slice_of(slash + 1, path.size - service.size - 2);
    for (size_t i = 0; i < SERVICES; i++) {
        if (!qr_slice_equal(service, qr_slice_text(services[i]->name)))
            continue;
        for (size_t j = 0; j < services[i]->method_count; j++)
            if (qr_slice_equal(name, qr_slice_text(services[i]->methods[j].name)))
                return &services[i]->methods[j];
        *text = qr_arena_format(arena, "unknown method %s for service %s", qr_arena_text(arena, name),
                                services[i]->name);
        return NULL;
    }
    *text = qr_arena_format(arena, "unknown service %s", qr_arena_text(arena, service));
    return NULL;
}

const qr_etcd_method *qr_etcd_find_path(qr_slice path)
{
    qr_slice old = qr_slice_text("kv/lease/"); /* leases have a second path each, from etcd's early days */
    if (qr_slice_starts(path, old))
        path = qr_slice_of(path.data + strlen("kv/"), path.size - strlen("kv/"));
    for (size_t i = 0; i < SERVICES; i++)
        for (size_t j = 0; j < services[i]->method_count; j++) {
            const qr_etcd_method *method = &services[i]->methods[j];
            if (method->path && qr_slice_equal(path, qr_slice_text(method->path)))
                return method;
        }
    return NULL;
}

/* ---- counting ---- */

const char *qr_etcd_method_type(const qr_etcd_method *method)
{
    return !method->streaming || method->streaming->once ? "unary"
           : method->streaming->message                  ? "bidi_stream"
                                                         : "server_stream";
}

void qr_etcd_counts_init(qr_etcd_door *door)
{
    size_t count = 0;
    for (size_t i = 0; i < SERVICES; i++)
        count += services[i]->method_count;
    door->counts = qr_arena_zero(&door->arena, count, sizeof *door->counts);
    for (size_t i = 0; i < SERVICES; i++)
        for (size_t j = 0; j < services[i]->method_count; j++) {
            qr_etcd_count *one = &door->counts[door->count_count++];
            one->service = services[i];
            one->method = &services[i]->methods[j];
        }
}

/* Most calls are of the method of the one before. */
static qr_etcd_count *count_of(qr_etcd_door *door, const qr_etcd_method *method)
{
    if (door->counts[door->count_latest].method == method)
        return &door->counts[door->count_latest];
    for (size_t i = 0; i < door->count_count; i++) {
        if (door->counts[i].method != method)
            continue;
        door->count_latest = i;
        return &door->counts[i];
    }
    return NULL;
}

/* ---- life ---- */

qr_etcd_call *qr_etcd_call_new(qr_etcd_door *door, const qr_etcd_method *method,
                               const qr_etcd_transport *transport, void *stream, uint64_t now_ms)
{
    qr_etcd_call *call = door->spare;
    if (call) {
        door->spare = call->next;
        door->spare_count--;
    } else {
        call = qr_alloc(sizeof *call);
        qr_arena_init(&call->arena);
    }
    call->door = door;
    call->transport = transport;
    call->stream = stream;
    call->connection = NULL;
    call->line = NULL;
    call->method = method;
    call->streaming = method->streaming;
    call->count = count_of(door, method);
    if (call->count)
        call->count->started++;
    call->now_ms = now_ms;
    call->timeout_ms = UINT64_MAX;
    call->references = 1;
    call->started = call->finished = call->writes = call->local = call->wants_leader = call->hears_closed =
        false;
    call->txn = NULL;
    call->answer = NULL;
    call->refused = NULL;
    call->work = NULL;
    call->is_submitted = false;
    call->list = NULL;
    call->next = call->previous = NULL;
    call->deadline_ms = call->wake_ms = UINT64_MAX;
    call->ticket = call->measured = call->reserved = call->unsent = 0;
    door->references++;
    return call;
}

static void release(qr_etcd_call *call)
{
    QR_ASSERT(call->references > 0);
    if (--call->references > 0)
        return;
    QR_ASSERT(!call->list && !call->reserved && !call->unsent);
    qr_etcd_door *door = call->door;
    if (door->spare_count < QR_ETCD_SPARE_CALLS_MAX && call->arena.total <= QR_ETCD_SPARE_BYTES_MAX) {
        qr_arena_reset(&call->arena);
        call->next = door->spare;
        door->spare = call;
        door->spare_count++;
    } else {
        qr_arena_free(&call->arena);
        qr_free(call);
    }
    qr_etcd_door_release(door);
}

void qr_etcd_call_stays(qr_etcd_call *call, const qr_etcd_streaming *streaming)
{
    call->streaming = streaming;
    call->hears_closed = true;
    qr_etcd_line_add_stream(call);
    qr_etcd_call_wake_at(call, UINT64_MAX);
}

static void begin(qr_etcd_call *call, qr_slice message)
{
    call->started = true;
    if (call->streaming && !call->line) { /* a transport that can't carry a stream */
        qr_etcd_call_fail(call, QR_ETCD_E_UNSUPPORTED);
        return;
    }
    if (call->streaming)
        qr_etcd_call_stays(call, call->streaming);
    call->method->start(call, message);
}

void qr_etcd_call_message(qr_etcd_call *call, qr_slice message)
{
    const qr_etcd_streaming *streaming = call->streaming;
    if (call->finished || (call->started && !(streaming && streaming->message)))
        return;
    call->references++; /* a refusal may close the stream at once */
    if (call->started) {
        streaming->message(call, message);
    } else {
        begin(call, message);
    }
    release(call);
}

/* One that never said anything ends with it: well, if it is one that may say nothing. */
void qr_etcd_call_half_closed(qr_etcd_call *call)
{
    const qr_etcd_streaming *streaming = call->streaming;
    if (call->finished || (call->started && !(streaming && streaming->half_closed)))
        return;
    call->references++;
    if (call->started) {
        streaming->half_closed(call);
    } else {
        call->started = true;
        if (streaming && streaming->message)
            qr_etcd_call_succeed(call);
        else
            qr_etcd_call_fail(call, QR_ETCD_E_NO_MESSAGE);
    }
    release(call);
}

void qr_etcd_call_room(qr_etcd_call *call)
{
    qr_etcd_list_leave(call);
    call->references++;
    if (call->hears_closed)
        call->streaming->room(call);
    release(call);
}

/* When the patience of the client of a call that goes on is over. */
static uint64_t patience_end_ms(const qr_etcd_call *call)
{
    return call->timeout_ms == UINT64_MAX ? UINT64_MAX : call->now_ms + call->timeout_ms;
}

void qr_etcd_call_tick(qr_etcd_call *call, uint64_t now_ms)
{
    qr_etcd_call_wake_at(call, UINT64_MAX);
    call->references++;
    if (call->hears_closed && now_ms >= patience_end_ms(call))
        qr_etcd_call_fail(call, QR_ETCD_E_DEADLINE);
    else if (call->hears_closed)
        call->streaming->tick(call, now_ms);
    release(call);
}

/* The method forgets what it kept for the stream. */
static void say_closed(qr_etcd_call *call)
{
    if (!call->hears_closed)
        return;
    call->hears_closed = false;
    call->wake_ms = UINT64_MAX;
    qr_etcd_line_remove_stream(call);
    qr_etcd_list_leave(call);
    call->streaming->closed(call);
}

void qr_etcd_call_closed(qr_etcd_call *call)
{
    say_closed(call);
    if (!call->finished && call->count)
        call->count->handled[QR_GRPC_CANCELLED]++;
    if (call->line)
        qr_etcd_line_leave(call);
    call->transport = NULL;
    call->stream = NULL;
    call->connection = NULL;
    release(call);
}

/* ---- answering ---- */

static void finish(qr_etcd_call *call, qr_grpc_code code, const char *text)
{
    QR_ASSERT(!call->finished);
    call->finished = true;
    say_closed(call);
    if (call->transport && call->count)
        call->count->handled[code]++;
    if (call->transport)
        call->transport->finish(call, code, text);
}

void qr_etcd_call_fail_with(qr_etcd_call *call, qr_grpc_code code, const char *text)
{
    QR_ASSERT(code != QR_GRPC_OK);
    finish(call, code, text);
}

void qr_etcd_call_fail(qr_etcd_call *call, qr_etcd_error error)
{
    QR_ASSERT(error != QR_ETCD_E_NONE);
    finish(call, qr_etcd_error_code(error), qr_etcd_error_text(error));
}

qr_buffer *qr_etcd_call_begin(qr_etcd_call *call)
{
    QR_ASSERT(!call->finished);
    if (call->transport)
        return call->transport->begin(call);
    call->finished = true;
    return NULL;
}

void qr_etcd_call_end(qr_etcd_call *call)
{
    QR_ASSERT(call->transport && !call->finished);
    call->transport->end(call);
    finish(call, QR_GRPC_OK, NULL);
}

void qr_etcd_call_succeed(qr_etcd_call *call)
{
    finish(call, QR_GRPC_OK, NULL);
}

void qr_etcd_call_pack(qr_etcd_call *call, const ProtobufCMessage *answer)
{
    qr_buffer *out = qr_etcd_call_begin(call);
    if (!out)
        return;
    qr_protobuf_pack(answer, out);
    qr_etcd_call_end(call);
}

bool qr_etcd_call_send(qr_etcd_call *call, const ProtobufCMessage *answer)
{
    if (!call->transport || call->finished)
        return false;
    qr_protobuf_pack(answer, call->transport->begin(call));
    call->transport->end(call);
    if (call->line)
        qr_etcd_line_wake(call->line);
    return true;
}

void qr_etcd_call_await_room(qr_etcd_call *call)
{
    if (call->hears_closed && !call->list)
        qr_etcd_list_add(&call->line->roomless, call);
}

void qr_etcd_call_wake_at(qr_etcd_call *call, uint64_t wake_ms)
{
    if (!call->hears_closed)
        return;
    if (patience_end_ms(call) < wake_ms)
        wake_ms = patience_end_ms(call);
    call->wake_ms = wake_ms;
    if (wake_ms >= call->line->stream_wake_ms)
        return;
    call->line->stream_wake_ms = wake_ms;
    qr_etcd_line_wake(call->line);
}

void *qr_etcd_call_unpack(qr_etcd_call *call, const ProtobufCMessageDescriptor *descriptor, qr_slice message)
{
    ProtobufCMessage *request = qr_protobuf_unpack(descriptor, message, &call->arena);
    if (!request)
        qr_etcd_call_fail(call, QR_ETCD_E_MALFORMED);
    return request;
}

qr_etcd_header qr_etcd_call_header(const qr_etcd_call *call, uint64_t revision, uint64_t term)
{
    return (qr_etcd_header){.cluster_id = (int64_t)call->door->config.cluster,
                            .member_id = (int64_t)call->door->config.self,
                            .revision = (int64_t)revision,
                            .raft_term = (int64_t)term};
}

bool qr_etcd_call_fits(qr_etcd_call *call, qr_slice message)
{
    if (message.size + QR_ETCD_REQUEST_OVERHEAD <= call->door->config.request_max)
        return true;
    qr_etcd_call_fail(call, QR_ETCD_E_TOO_LARGE);
    return false;
}

/* ---- the node ---- */

/* The client may be less patient than the node, never more. */
static bool is_hasty(const qr_etcd_call *call)
{
    return call->timeout_ms < QR_NODE_REQUEST_MS;
}

void qr_etcd_call_expire(qr_etcd_call *call)
{
    qr_etcd_call_fail(call, is_hasty(call) ? QR_ETCD_E_DEADLINE : QR_ETCD_E_TIMED_OUT);
}

/* Statuses that are no verdict on the write itself. */
static bool is_trouble(qr_status status)
{
    return status == QR_E_TIMEOUT || status == QR_E_NO_LEADER || status == QR_E_NOT_APPLIED ||
           status == QR_E_STOPPED || status == QR_E_HALTED || status == QR_E_BUSY;
}

static void done(void *owner, const qr_reply *reply)
{
    qr_etcd_call *call = owner;
    qr_etcd_line_release(call);
    call->is_submitted = false;
    call->door->failed_writes += call->writes && is_trouble(reply->status);
    if (call->streaming && !call->hears_closed)
        ; /* it has ended meanwhile, and forgotten what it asked for */
    else if (reply->status == QR_OK)
        call->answer(call, reply);
    else if (call->refused && call->refused(call, reply->status))
        ; /* it has said so, or goes on */
    else if (reply->status == QR_E_TIMEOUT)
        qr_etcd_call_expire(call);
    else
        qr_etcd_call_fail(call, qr_etcd_error_of(reply->status));
    QR_ASSERT(call->finished || call->is_submitted || call->streaming);
    release(call);
}

/* Of a read whose answer may be large. */
static void done_reading(void *owner, const qr_reply *reply)
{
    qr_etcd_call *call = owner;
    qr_etcd_line_release(call);
    if (reply->status != QR_OK || !call->line || !qr_etcd_line_holds(call, reply->result)) {
        done(call, reply);
        return;
    }
    qr_etcd_line_stand(call);
    release(call); /* the stream has another one */
}

static void submit(qr_etcd_call *call, qr_request *request)
{
    QR_ASSERT(call->answer && !call->finished);
    if (!request->done)
        request->done = done;
    request->owner = call;
    call->references++;
    call->is_submitted = true;
    qr_status status = qr_node_submit(call->door->config.node, request);
    if (status == QR_OK)
        return;
    call->is_submitted = false;
    call->references--; /* the caller holds another one */
    QR_ASSERT(call->references > 0);
    qr_etcd_line_release(call);
    qr_etcd_call_fail(call, qr_etcd_error_of(status));
}

static uint64_t deadline_of(const qr_etcd_call *call)
{
    return is_hasty(call) ? call->now_ms + call->timeout_ms : 0;
}

static void submit_read(qr_etcd_call *call, uint64_t deadline_ms)
{
    qr_request request = {.kind = call->local ? QR_REQUEST_READ_LOCAL : QR_REQUEST_READ,
                          .query = &call->query,
                          .deadline_ms = deadline_ms};
    if (call->line && call->query.kind == QR_QUERY_TXN)
        request.done = done_reading;
    submit(call, &request);
}

void qr_etcd_call_read(qr_etcd_call *call, bool local)
{
    call->local = local;
    uint64_t deadline_ms = deadline_of(call);
    if (call->line && call->query.kind == QR_QUERY_TXN) {
        call->deadline_ms = deadline_ms ? deadline_ms : call->line->now_ms + QR_NODE_REQUEST_MS;
        if (qr_etcd_line_is_full(call->line)) {
            qr_etcd_line_stand(call);
            return;
        }
    }
    submit_read(call, deadline_ms);
}

void qr_etcd_call_again(qr_etcd_call *call)
{
    QR_ASSERT(call->line && call->deadline_ms && call->deadline_ms != UINT64_MAX);
    submit_read(call, call->deadline_ms);
}

void qr_etcd_call_write(qr_etcd_call *call, qr_slice body)
{
    if (call->line && call->line->unsent_writes > QR_ETCD_UNSENT_WRITES_MAX) {
        qr_etcd_call_fail(call, QR_ETCD_E_TOO_MANY_REQUESTS);
        return;
    }
    call->writes = true;
    qr_request request = {.kind = QR_REQUEST_WRITE, .body = body, .deadline_ms = deadline_of(call)};
    submit(call, &request);
}

void qr_etcd_call_look(qr_etcd_call *call, bool local)
{
    qr_request request = {.kind = local ? QR_REQUEST_READ_LOCAL : QR_REQUEST_READ,
                          .query = &call->query,
                          .deadline_ms = deadline_of(call)};
    submit(call, &request);
}

void qr_etcd_call_lease_time(qr_etcd_call *call, int64_t lease)
{
    qr_request request = {.kind = QR_REQUEST_LEASE_TIME, .lease = lease, .deadline_ms = deadline_of(call)};
    submit(call, &request);
}

void qr_etcd_call_change(qr_etcd_call *call, const qr_change *change)
{
    qr_request request = {.kind = QR_REQUEST_MEMBERS, .change = *change, .deadline_ms = deadline_of(call)};
    submit(call, &request);
}

void qr_etcd_call_handover(qr_etcd_call *call, uint64_t target)
{
    qr_request request = {.kind = QR_REQUEST_HANDOVER, .target = target, .deadline_ms = deadline_of(call)};
    submit(call, &request);
}

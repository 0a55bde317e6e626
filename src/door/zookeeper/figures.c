#include "door/zookeeper/figures.h"

#include <inttypes.h>
#include <stdio.h>

#include "door/zookeeper/node.h"
#include "door/zookeeper/path.h"

enum { MADE_UP = 5 }; /* nodes: /zookeeper and the two below it; and the root, which ZooKeeper counts twice */

const char *qr__zk_mode(const qr_zookeeper_door *door, const qr_node_status *status)
{
    const qr_member *self = qr_members_find(&status->engine.members, status->self);
    return door->read_only                         ? "read-only"
           : status->engine.members.count == 1     ? "standalone"
           : self && self->role == QR_ROLE_LEARNER ? "observer"
           : status->engine.role == QR_LEADER      ? "leader"
                                                   : "follower";
}

bool qr__zk_serves(const qr_zookeeper_door *door, const qr_node_status *status)
{
    return door->read_only || (status->engine.leader != 0 && status->level >= QR__ZK_LEVEL);
}

void qr__zk_average(const qr__zk_latency *latency, char text[QR__ZK_AVERAGE_SIZE])
{
    double average = latency->count ? (double)latency->sum_ms / (double)latency->count : 0;
    int size = snprintf(text, QR__ZK_AVERAGE_SIZE, "%.4f", average);
    while (size > 2 && text[size - 1] == '0' && text[size - 2] != '.')
        text[--size] = 0;
}

const char *qr__zk_op_name(int32_t type)
{
    switch (type) {
    case QR__ZK_BEGIN_SESSION: return "SESS";
    case QR_JUTE_OP_CLOSE_SESSION: return "CLOS";
    case QR_JUTE_OP_PING: return "PING";
    case QR_JUTE_OP_CREATE:
    case QR_JUTE_OP_CREATE2:
    case QR_JUTE_OP_CREATE_CONTAINER:
    case QR_JUTE_OP_CREATE_TTL: return "CREA";
    case QR_JUTE_OP_DELETE: return "DELE";
    case QR_JUTE_OP_EXISTS: return "EXIS";
    case QR_JUTE_OP_GET_DATA: return "GETD";
    case QR_JUTE_OP_SET_DATA: return "SETD";
    case QR_JUTE_OP_GET_ACL: return "GETA";
    case QR_JUTE_OP_SET_ACL: return "SETA";
    case QR_JUTE_OP_GET_CHILDREN:
    case QR_JUTE_OP_GET_CHILDREN2: return "GETC";
    case QR_JUTE_OP_GET_EPHEMERALS: return "GETE";
    case QR_JUTE_OP_SYNC: return "SYNC";
    case QR_JUTE_OP_CHECK: return "CHEC";
    case QR_JUTE_OP_MULTI: return "MULT";
    case QR_JUTE_OP_MULTI_READ: return "MLTR";
    case QR_JUTE_OP_RECONFIG: return "RECO";
    case QR_JUTE_OP_SET_WATCHES: return "SETW";
    case QR_JUTE_OP_SET_WATCHES2: return "STW2";
    case QR_JUTE_OP_ADD_WATCH: return "ADDW";
    case QR_JUTE_OP_CHECK_WATCHES: return "CHKW";
    case QR_JUTE_OP_REMOVE_WATCHES: return "REMW";
    case QR_JUTE_OP_WHO_AM_I: return "HOMI";
    default: return "NA";
    }
}

bool qr__zk_seats(const qr_zookeeper_door *door, qr_arena *arena, qr__zk_seats_view *view)
{
    qr_node_status status;
    qr_node_status_of(door->config.node, &status);
    view->ensemble = qr_arena_zero(arena, 1, sizeof *view->ensemble);
    if (qr__zk_ensemble_look(door->config.node, arena, view->ensemble) != QR_OK)
        return false;
    view->own = qr_zookeeper_seat_of(view->ensemble, status.self);
    view->leader = qr_zookeeper_seat_of(view->ensemble, status.engine.leader);
    return true;
}

/* ------------------------------------------------------------- what is in the tree ---- */

uint64_t qr__zk_node_count(const qr_zookeeper_door *door)
{
    qr_arena arena;
    qr_arena_init(&arena);
    const qr_query wants = {.want_descendants = true};
    const qr_slice root = qr_buffer_slice(&door->root);
    const qr_path_result *found;
    uint64_t count = MADE_UP;
    if (qr__zk_look(door->config.node, root, &arena, qr_slice_text("/"), &wants, &found) == QR_OK)
        count += found->descendants;
    if (qr__zk_look_quotas(door->config.node, root, &arena, &wants, &found) == QR_OK)
        count += found->descendants;
    qr_arena_free(&arena);
    return count;
}

/* All records of sessions, or how many there are. NULL: the tree cannot be looked at. */
static const qr_op_result *look_at_sessions(const qr_zookeeper_door *door, bool count_only, qr_arena *arena)
{
    static const uint8_t lowest[sizeof(int64_t)] = {0};
    qr_op op = {
        .kind = QR_OP_RANGE,
        .range = {.span = {.kind = QR_SPAN_FROM, .space = QR_SPACE_SESSIONS, .key = {lowest, sizeof lowest}},
                  .count_only = count_only}};
    qr_query query = {.kind = QR_QUERY_TXN, .txn = {.then_ops = &op, .then_count = 1}};
    const void *found;
    if (qr_node_look(door->config.node, &query, arena, &found) != QR_OK)
        return NULL;
    return &((const qr_txn_result *)found)->ops[0];
}

void qr__zk_each_session(const qr_zookeeper_door *door,
                         void (*tell)(void *context, int64_t session, uint32_t timeout_ms), void *context)
{
    qr_arena arena;
    qr_arena_init(&arena);
    const qr_op_result *sessions = look_at_sessions(door, false, &arena);
    for (size_t i = 0; sessions && i < sessions->kv_count; i++) {
        const qr_key_value *kv = &sessions->kvs[i];
        qr_reader value = qr_reader_of(kv->value);
        qr_reader_take(&value, QR__ZK_PASSWORD);
        uint64_t session = 0;
        for (size_t at = 0; at < kv->key.size; at++)
            session = session << 8 | kv->key.data[at];
        tell(context, (int64_t)session, qr_reader_u32(&value));
    }
    qr_arena_free(&arena);
}

static void tell_keys(const qr_zookeeper_door *door, int64_t lease, qr_arena *arena,
                      void (*tell)(void *context, int64_t owner, qr_slice path), void *context)
{
    qr_query query = {.kind = QR_QUERY_LEASE, .lease = lease, .want_keys = true};
    const void *found;
    if (qr_node_look(door->config.node, &query, arena, &found) != QR_OK)
        return;
    const qr_leases_result *of = found;
    for (size_t i = 0; i < of->key_count; i++) {
        qr_slice path;
        if (qr_zookeeper_path_of_key(qr_buffer_slice(&door->root), of->keys[i], &path) &&
            qr_zookeeper_path_valid(path) && !qr__zk_is_made_up(path))
            tell(context, lease, path);
    }
}

void qr__zk_each_ephemeral(const qr_zookeeper_door *door,
                           void (*tell)(void *context, int64_t owner, qr_slice path), void *context)
{
    qr_arena arena, keys;
    qr_arena_init(&arena);
    qr_arena_init(&keys);
    qr_query query = {.kind = QR_QUERY_LEASES};
    const void *found;
    if (qr_node_look(door->config.node, &query, &arena, &found) == QR_OK) {
        size_t count = ((const qr_leases_result *)found)->count;
        int64_t *leases = qr_arena_zero(&arena, count + 1, sizeof *leases);
        for (size_t i = 0; i < count; i++) /* the result is of this look only */
            leases[i] = ((const qr_leases_result *)found)->leases[i].id;
        for (size_t i = 0; i < count; i++) {
            tell_keys(door, leases[i], &keys, tell, context);
            qr_arena_reset(&keys);
        }
    }
    qr_arena_free(&keys);
    qr_arena_free(&arena);
}

/* ------------------------------------------------------------------------ figures ---- */

typedef struct teller {
    qr__zk_tell *tell;
    void *context;
} teller;

static void tell_text(const teller *to, const char *name, const char *json_name, const char *text)
{
    to->tell(to->context, &(qr__zk_figure){.name = name, .json_name = json_name, .text = text});
}

static void tell_literal(const teller *to, const char *name, const char *json_name, const char *literal)
{
    to->tell(to->context, &(qr__zk_figure){.name = name, .json_name = json_name, .literal = literal});
}

static void tell_number(const teller *to, const char *name, const char *json_name, int64_t number)
{
    char digits[24];
    snprintf(digits, sizeof digits, "%" PRId64, number);
    tell_literal(to, name, json_name, digits);
}

static void count(const teller *to, const char *name, uint64_t number)
{
    tell_number(to, name, name, (int64_t)number);
}

/* avg, min, max, cnt and sum of one thing that takes time. */
static void tell_latency(const teller *to, const char *name, const qr__zk_latency *latency)
{
    char full[64], average[QR__ZK_AVERAGE_SIZE];
    const struct {
        const char *of;
        uint64_t number;
    } parts[] = {{"min", latency->min_ms},
                 {"max", latency->max_ms},
                 {"cnt", latency->count},
                 {"sum", latency->sum_ms}};
    qr__zk_average(latency, average);
    snprintf(full, sizeof full, "avg_%s", name);
    tell_literal(to, full, full, average);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        snprintf(full, sizeof full, "%s_%s", parts[i].of, name);
        count(to, full, parts[i].number);
    }
}

static void add_one(void *sum, int64_t owner, qr_slice path)
{
    ++*(uint64_t *)sum;
}

static void tell_tree(const qr_zookeeper_door *door, const teller *to)
{
    qr_arena arena;
    qr_arena_init(&arena);
    qr_query query = {.kind = QR_QUERY_STATUS};
    const void *found;
    /* Of the whole tree, so not told of a part of it. */
    if (door->root.size == 0 && qr_node_look(door->config.node, &query, &arena, &found) == QR_OK)
        count(to, "approximate_data_size", ((const qr_tree_status *)found)->live_bytes);
    qr_arena_free(&arena);
}

static uint64_t session_count(const qr_zookeeper_door *door)
{
    qr_arena arena;
    qr_arena_init(&arena);
    const qr_op_result *sessions = look_at_sessions(door, true, &arena);
    uint64_t found = sessions ? sessions->count : 0;
    qr_arena_free(&arena);
    return found;
}

/* Those of a role that answer the leader, itself left out. */
static uint64_t count_alive(const qr_node_status *status, qr_member_role role)
{
    const qr_engine_status *engine = &status->engine;
    uint64_t alive = 0;
    for (size_t i = 0; i < engine->members.count; i++)
        alive += engine->alive[i] && engine->members.list[i].role == role &&
                 engine->members.list[i].id != status->self;
    return alive;
}

uint64_t qr__zk_observer_count(const qr_node_status *status)
{
    return status->engine.role == QR_LEADER ? count_alive(status, QR_ROLE_LEARNER) : 0;
}

static uint64_t voter_count(const qr_engine_status *engine)
{
    uint64_t voters = 0;
    for (size_t i = 0; i < engine->members.count; i++)
        voters += engine->members.list[i].role == QR_ROLE_VOTER;
    return voters;
}

static void tell_role(const qr_node_status *status, const teller *to)
{
    const qr_member *self = qr_members_find(&status->engine.members, status->self);
    tell_text(to, "peer_state", "peer_state",
              status->engine.role == QR_LEADER        ? "leading - broadcast"
              : status->engine.leader == 0            ? "looking"
              : self && self->role == QR_ROLE_LEARNER ? "observing - broadcast"
                                                      : "following - broadcast");
}

static void tell_files(const qr_zookeeper_door *door, const teller *to, bool most)
{
    uint64_t open = 0, bound = 0;
    if (door->config.files)
        door->config.files(door->config.context, &open, &bound);
    if (most && bound)
        count(to, "max_file_descriptor_count", bound);
    if (!most && open)
        count(to, "open_file_descriptor_count", open);
}

static void tell_size(const teller *to, const char *name, const struct qr__zk_counts *counts, uint64_t size)
{
    tell_number(to, name, name, counts->answer_max ? (int64_t)size : -1); /* -1: there was no answer yet */
}

static void tell_state(const qr_zookeeper_door *door, const qr_node_status *status, const teller *to)
{
    char average[QR__ZK_AVERAGE_SIZE];
    uint64_t ephemerals = 0;
    qr__zk_average(&door->counts.all, average);
    qr__zk_each_ephemeral(door, add_one, &ephemerals);
    tell_text(to, "version", "version", QR__ZK_VERSION);
    tell_text(to, "server_state", "server_state", qr__zk_mode(door, status));
    if (status->engine.members.count > 1)
        tell_role(status, to);
    count(to, "ephemerals_count", ephemerals);
    count(to, "num_alive_connections", door->connection_count);
    tell_literal(to, "avg_latency", "avg_latency", average);
    count(to, "outstanding_requests", door->outstanding);
    count(to, "znode_count", qr__zk_node_count(door));
    count(to, "global_sessions", session_count(door));
}

void qr__zk_tell_monitor(const qr_zookeeper_door *door, qr__zk_tell *tell, void *context)
{
    const teller *to = &(teller){tell, context};
    const struct qr__zk_counts *counts = &door->counts;
    qr_node_status status;
    qr_node_status_of(door->config.node, &status);
    bool alone = status.engine.members.count == 1, leads = !alone && status.engine.role == QR_LEADER;
    uint64_t followers = count_alive(&status, QR_ROLE_VOTER), observers = qr__zk_observer_count(&status);
    tell_state(door, &status, to);
    tell_size(to, "last_client_response_size", counts, counts->answer_last);
    count(to, "packets_sent", counts->sent);
    count(to, "packets_received", counts->received);
    tell_size(to, "max_client_response_size", counts, counts->answer_max);
    if (leads)
        count(to, "synced_followers", followers);
    count(to, "watch_count", door->watches.of_data + door->watches.of_children);
    if (leads)
        count(to, "synced_observers", observers);
    count(to, "min_latency", counts->all.min_ms);
    tell_files(door, to, true);
    tell_tree(door, to);
    tell_files(door, to, false);
    count(to, "uptime", door->now_ms - door->began_ms);
    count(to, "max_latency", counts->all.max_ms);
    if (leads)
        count(to, "learners", followers + observers);
    tell_size(to, "min_client_response_size", counts, counts->answer_min);
    if (!alone)
        count(to, "quorum_size", voter_count(&status.engine));
    count(to, "connection_rejected", counts->rejected);
    count(to, "bytes_received_count", counts->received_bytes);
    count(to, "connection_request_count", counts->connects);
    count(to, "response_bytes", counts->sent_bytes);
    tell_latency(to, "updatelatency", &counts->updates);
    tell_latency(to, "readlatency", &counts->reads);
}

/* What is of a member among others. */
static void tell_ensemble(const qr_zookeeper_door *door, const teller *to)
{
    qr_arena arena;
    qr_arena_init(&arena);
    qr__zk_seats_view view;
    const struct qr_zookeeper_seat *own = qr__zk_seats(door, &arena, &view) ? view.own : NULL;
    tell_number(to, "serverId", "server_id", own ? own->server.id : door->config.server);
    if (own && view.ensemble->count > 1) {
        tell_number(to, "electionPort", NULL, own->server.election_port);
        tell_number(to, "quorumPort", NULL, own->server.peer_port);
        tell_number(to, "peerType", NULL, own->server.observer);
        qr_slice text = qr_zookeeper_ensemble_text(view.ensemble, &arena);
        to->tell(to->context, &(qr__zk_figure){.name = "membership: \n",
                                               .text = qr_arena_text(&arena, text),
                                               .is_whole = true});
    }
    qr_arena_free(&arena);
}

void qr__zk_tell_settings(const qr_zookeeper_door *door, qr__zk_tell *tell, void *context)
{
    const teller *to = &(teller){tell, context};
    const qr_zookeeper_config *config = &door->config;
    qr_node_status status;
    qr_node_status_of(config->node, &status);
    if (config->client_port)
        tell_number(to, "clientPort", "client_port", config->client_port);
    tell_number(to, "secureClientPort", NULL, -1);
    if (config->data_dir)
        tell_text(to, "dataDir", "data_dir", config->data_dir);
    tell_number(to, "dataDirSize", NULL, (int64_t)status.checkpoint_bytes);
    if (config->data_dir)
        tell_text(to, "dataLogDir", "data_log_dir", config->data_dir);
    tell_number(to, "dataLogSize", NULL, (int64_t)status.log_bytes);
    tell_number(to, "tickTime", "tick_time", config->tick_ms);
    tell_number(to, "maxClientCnxns", "max_client_cnxns", config->connections_of_host_max);
    tell_number(to, "minSessionTimeout", "min_session_timeout", config->session_min_ms);
    tell_number(to, "maxSessionTimeout", "max_session_timeout", config->session_max_ms);
    tell_ensemble(door, to);
}

void qr__zk_tell_environment(const qr_zookeeper_door *door, qr__zk_tell *tell, void *context)
{
    const teller *to = &(teller){tell, context};
    tell_text(to, "zookeeper.version", "zookeeper.version", QR__ZK_VERSION);
    for (size_t i = 0; i < door->config.environment_count; i++) {
        const qr_zookeeper_fact *fact = &door->config.environment[i];
        tell_text(to, fact->name, fact->name, fact->value);
    }
}

/* ------------------------------------------------------------ watches, connections ---- */

qr__zk_connection *qr__zk_connection_of(const qr__zk_watch *watch)
{
    return (qr__zk_connection *)((char *)watch->watcher - offsetof(qr__zk_connection, watcher));
}

void qr__zk_count_watching(const qr_zookeeper_door *door, size_t *connections, size_t *paths)
{
    *connections = *paths = 0;
    for (const qr__zk_connection *one = door->connections; one; one = one->next) {
        const qr__zk_watch *watch = one->watcher.watches;
        while (watch && !qr__zk_is_of_data(watch->kinds))
            watch = watch->watcher_next;
        *connections += watch != NULL;
    }
    for (size_t i = 0; i < door->watches.bucket_count; i++) {
        for (const qr__zk_watched *at = door->watches.buckets[i]; at; at = at->next) {
            const qr__zk_watch *watch = at->watches;
            while (watch && !qr__zk_is_of_data(watch->kinds))
                watch = watch->next;
            *paths += watch != NULL;
        }
    }
}

void qr__zk_reset_connections(qr_zookeeper_door *door)
{
    for (qr__zk_connection *one = door->connections; one; one = one->next) {
        one->received = one->sent = one->answered_ms = 0;
        one->last_type = 0;
        one->last_xid = -1;
        one->last_zxid = -1;
        one->latency = (qr__zk_latency){0};
    }
}

void qr__zk_reset_counts(qr_zookeeper_door *door)
{
    door->counts = (struct qr__zk_counts){0};
}

/* The dynamic configuration as clients see it. Every member writes its own seat, with the client port that
 * only it knows; who leads takes away the seats of those who are gone, gives one to members that do not speak
 * ZooKeeper's protocol, and follows the catalogue's peer URLs. All look once a second, and write on the
 * condition that nobody else has meanwhile: who loses looks again. */
#include "door/zookeeper/config.h"

#include <stdlib.h>

#include "door/zookeeper/acl.h"
#include "door/zookeeper/door.h"

static const char record_name[] = "zookeeper"; /* longer than a member's id */

bool qr__zk_is_config(qr_slice path)
{
    return qr_slice_equal(path, qr_slice_text("/zookeeper/config"));
}

/* ---- the record, and the catalogue beside it ---- */

static qr_status look_up(qr_node *node, qr_slice key, qr_arena *arena, const qr_key_value **kv)
{
    qr_op op = {.kind = QR_OP_RANGE,
                .range.span = {.kind = QR_SPAN_KEY, .space = QR_SPACE_CATALOGUE, .key = key}};
    qr_query query = {.kind = QR_QUERY_TXN, .txn = {.then_ops = &op, .then_count = 1}};
    const void *found;
    qr_status status = qr_node_look(node, &query, arena, &found);
    if (status != QR_OK)
        return status;
    const qr_op_result *result = ((const qr_txn_result *)found)->ops;
    *kv = result->kv_count > 0 ? result->kvs : NULL;
    return QR_OK;
}

/* As it was written. A record that cannot be read, or is of a newer member, is one without seats. */
static qr_status read_record(qr_node *node, qr_arena *arena, qr_zookeeper_ensemble *ensemble)
{
    const qr_key_value *kv;
    *ensemble = (qr_zookeeper_ensemble){.version = 0};
    qr_status status = look_up(node, qr_slice_text(record_name), arena, &kv);
    if (status != QR_OK || kv == NULL)
        return status;
    ensemble->is_newer = qr_zookeeper_ensemble_decode(kv->value, arena, ensemble) == QR_E_BAD_VERSION;
    ensemble->version = kv->version;
    ensemble->revision = kv->mod_revision;
    ensemble->written_ms = kv->modified_ms;
    return QR_OK;
}

bool qr__zk_catalogue_look(qr_node *node, uint64_t member, qr_arena *arena, qr_catalogue_entry *entry,
                           uint64_t *version)
{
    uint8_t key[QR_CATALOGUE_KEY_SIZE];
    const qr_key_value *kv;
    qr_catalogue_key(member, key);
    if (look_up(node, qr_slice_of(key, sizeof key), arena, &kv) != QR_OK || kv == NULL)
        return false;
    if (version)
        *version = kv->version;
    return qr_catalogue_decode(qr_arena_copy(arena, kv->value), entry) == QR_OK;
}

void qr__zk_ensemble_body(const qr_zookeeper_ensemble *ensemble, qr_buffer *out)
{
    qr_buffer value;
    qr_buffer_init(&value);
    qr_zookeeper_ensemble_encode(ensemble, &value);
    qr_op op = {.kind = QR_OP_PUT,
                .put = {.space = QR_SPACE_CATALOGUE,
                        .options = QR_PUT_EXPECT_VERSION,
                        .key = qr_slice_text(record_name),
                        .value = qr_buffer_slice(&value),
                        .expected_version = ensemble->version}};
    qr_txn txn = {.then_ops = &op, .then_count = 1};
    qr_body_encode_txn(&txn, out);
    qr_buffer_free(&value);
}

qr_slice qr__zk_config_rights_name(void)
{
    return qr_slice_text("zookeeper-rights");
}

qr_status qr__zk_config_rights(qr_node *node, qr_arena *arena, qr_jute_vector *acl, uint64_t *version)
{
    static const qr_jute_acl readable = {.perms = QR_ZOOKEEPER_READ,
                                         .scheme = {(const uint8_t *)"world", 5},
                                         .id = {(const uint8_t *)"anyone", 6}};
    const qr_key_value *kv;
    *acl = (qr_jute_vector){.items = &readable, .count = 1};
    *version = 0;
    qr_status status = look_up(node, qr__zk_config_rights_name(), arena, &kv);
    if (status != QR_OK || kv == NULL)
        return status;
    qr_key_value *kept = qr_arena_zero(arena, 1, sizeof *kept);
    kept->value = qr_arena_copy(arena, kv->value);
    *version = kv->version;
    *acl = qr__zk_acl_of(kept, arena);
    return QR_OK;
}

qr_status qr__zk_config_view(qr_node *node, qr_arena *arena, qr_jute_stat *stat, qr_slice *data)
{
    qr_zookeeper_ensemble *ensemble = qr_arena_zero(arena, 1, sizeof *ensemble);
    qr_jute_vector acl;
    uint64_t changes;
    qr_status status = qr__zk_config_rights(node, arena, &acl, &changes);
    if (status == QR_OK)
        status = qr__zk_ensemble_look(node, arena, ensemble);
    *stat = (qr_jute_stat){.version = -1, .aversion = (int32_t)changes - 1};
    qr_slice text = ensemble->count < 2 ? qr_jute_empty : qr_zookeeper_ensemble_text(ensemble, arena);
    if (text.size > 0)
        *stat = (qr_jute_stat){.mzxid = (int64_t)ensemble->version,
                               .mtime = ensemble->written_ms,
                               .version = -1,
                               .aversion = (int32_t)changes - 1,
                               .data_length = (int32_t)text.size};
    if (data)
        *data = text;
    return status;
}

qr_slice qr__zk_peer_url(const qr_zookeeper_server *server, qr_arena *arena)
{
    bool v6 = strchr(server->host, ':') != NULL;
    return qr_slice_text(qr_arena_format(arena, "http://%s%s%s:%u", v6 ? "[" : "", server->host,
                                         v6 ? "]" : "", server->peer_port));
}

/* ---- what it should be ---- */

/* "http://host:port", the host perhaps in brackets. */
static void take_url(qr_slice url, qr_arena *arena, qr_zookeeper_server *server)
{
    if (!qr_catalogue_is_peer_url(url))
        return;
    char *host = qr_arena_text(arena, qr_slice_of(url.data + 7, url.size - 7));
    char *colon = strrchr(host, ':');
    *colon = 0;
    if (host[0] == '[' && colon[-1] == ']') {
        colon[-1] = 0;
        host++;
    }
    server->host = host;
    server->peer_port = (uint16_t)strtoul(colon + 1, NULL, 10);
}

/* A member is called by its number where a zoo.cfg describes it. */
static uint32_t number_of(qr_slice name)
{
    uint32_t number;
    return qr_zookeeper_conf_myid(name, &number) ? number : 0;
}

static void seat(qr_node *node, const qr_member *member, qr_arena *arena, qr_zookeeper_ensemble *ensemble)
{
    qr_catalogue_entry entry;
    qr_zookeeper_server known = {.host = NULL};
    if (!qr__zk_catalogue_look(node, member->id, arena, &entry, NULL) || entry.name.size == 0 ||
        entry.peer.count == 0)
        return; /* it has not started yet */
    take_url(entry.peer.list[0], arena, &known);
    struct qr_zookeeper_seat *found = qr_zookeeper_seat_of(ensemble, member->id);
    if (found == NULL && known.host != NULL)
        found = qr_zookeeper_seat_add(ensemble, member->id, number_of(entry.name));
    if (found == NULL)
        return;
    if (known.host != NULL) {
        found->server.host = known.host;
        found->server.peer_port = known.peer_port;
    }
    if (found->server.election_port == 0) /* clients want another one than the first */
        found->server.election_port =
            (uint16_t)(found->server.peer_port + (found->server.peer_port < UINT16_MAX ? 1 : -1));
    found->server.observer = member->role == QR_ROLE_LEARNER;
}

/* The seats as the members and the catalogue, as applied here, have them now. */
static void follow(qr_node *node, const qr_members *members, qr_arena *arena, qr_zookeeper_ensemble *ensemble)
{
    for (size_t i = 0; i < ensemble->count;)
        if (qr_members_find(members, ensemble->seats[i].member) == NULL)
            qr_zookeeper_seat_remove(ensemble, &ensemble->seats[i]);
        else
            i++;
    for (uint32_t i = 0; i < members->count; i++)
        if (members->list[i].role != QR_ROLE_LEAVING)
            seat(node, &members->list[i], arena, ensemble);
}

qr_status qr__zk_ensemble_look(qr_node *node, qr_arena *arena, qr_zookeeper_ensemble *ensemble)
{
    const qr_members *members = qr_node_members_applied(node);
    qr_status status = read_record(node, arena, ensemble);
    if (status == QR_OK && members != NULL)
        follow(node, members, arena, ensemble);
    return status;
}

/* ---- keeping the record ---- */

static void seat_self(const qr_zookeeper_config *config, const qr_members *members, qr_arena *arena,
                      qr_zookeeper_ensemble *ensemble)
{
    qr_node_status status;
    qr_node_status_of(config->node, &status);
    const qr_member *self = qr_members_find(members, status.self);
    if (self == NULL)
        return;
    seat(config->node, self, arena, ensemble);
    struct qr_zookeeper_seat *own = qr_zookeeper_seat_of(ensemble, status.self);
    if (own == NULL)
        return;
    if (config->election_port)
        own->server.election_port = config->election_port;
    own->server.client_host = config->client_host;
    own->server.client_port = config->client_port;
}

static void on_written(void *owner, const qr_reply *reply)
{
    qr_zookeeper_door *door = owner;
    door->config_writing = false;
}

static void write_if_changed(qr_zookeeper_door *door, const qr_zookeeper_ensemble *before,
                             const qr_zookeeper_ensemble *wanted)
{
    qr_buffer old, body;
    qr_buffer_init(&old);
    qr_buffer_init(&body);
    qr_zookeeper_ensemble_encode(before, &old);
    qr_zookeeper_ensemble_encode(wanted, &body);
    bool changed = !qr_slice_equal(qr_buffer_slice(&old), qr_buffer_slice(&body));
    qr_buffer_clear(&body);
    qr__zk_ensemble_body(wanted, &body);
    qr_request request = {
        .kind = QR_REQUEST_WRITE, .body = qr_buffer_slice(&body), .done = on_written, .owner = door};
    door->config_writing = changed && qr_node_submit(door->config.node, &request) == QR_OK;
    qr_buffer_free(&old);
    qr_buffer_free(&body);
}

void qr__zk_config_keep(qr_zookeeper_door *door)
{
    qr_node *node = door->config.node;
    const qr_members *members = qr_node_members_applied(node);
    qr_node_status status;
    if (members == NULL || members->joint || door->config_writing || door->reconfiguring ||
        qr_node_level(node) < QR__ZK_LEVEL)
        return;
    qr_node_status_of(node, &status);
    qr_arena arena;
    qr_arena_init(&arena);
    qr_zookeeper_ensemble *seats = qr_arena_zero(&arena, 2, sizeof *seats), *before = &seats[0],
                          *wanted = &seats[1];
    if (status.engine.leader != 0 && read_record(node, &arena, before) == QR_OK && !before->is_newer) {
        *wanted = *before;
        if (status.engine.role == QR_LEADER)
            follow(node, members, &arena, wanted);
        seat_self(&door->config, members, &arena, wanted);
        write_if_changed(door, before, wanted);
    }
    qr_arena_free(&arena);
}

/* ---- who is told ---- */

void qr__zk_config_notice(qr_zookeeper_door *door)
{
    const qr_key_value *kv;
    qr_arena arena;
    qr_arena_init(&arena);
    qr_status status = look_up(door->config.node, qr_slice_text(record_name), &arena, &kv);
    uint64_t version = status == QR_OK && kv ? kv->version : 0;
    qr_arena_free(&arena);
    if (status != QR_OK || version == door->config_version)
        return;
    door->config_version = version;
    qr__zk_config_changed(door);
}

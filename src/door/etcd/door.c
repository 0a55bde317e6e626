#include "door/etcd/door.h"

static const char *copy_text(qr_etcd_door *door, const char *text)
{
    return qr_arena_text(&door->arena, qr_slice_text(text ? text : ""));
}

static void copy_member(qr_etcd_door *door, const qr_etcd_member *from, qr_etcd_member *to)
{
    QR_ASSERT(from->peer_url_count <= QR_ETCD_URLS_MAX);
    *to = *from;
    to->name = copy_text(door, from->name);
    for (size_t i = 0; i < from->peer_url_count; i++)
        to->peer_urls[i] = copy_text(door, from->peer_urls[i]);
}

qr_etcd_door *qr_etcd_door_new(const qr_etcd_config *config)
{
    QR_ASSERT(config->node && config->self && config->client_url_count <= QR_ETCD_URLS_MAX);
    qr_etcd_door *door = qr_alloc_zero(1, sizeof *door);
    qr_arena_init(&door->arena);
    qr_buffer_init(&door->body);
    qr_buffer_init(&door->events);
    door->references = 1;
    door->config = *config;
    door->config.name = copy_text(door, config->name);
    for (size_t i = 0; i < config->client_url_count; i++)
        door->config.client_urls[i] = copy_text(door, config->client_urls[i]);
    qr_etcd_member *members = qr_arena_zero(&door->arena, config->member_count + 1, sizeof *members);
    for (size_t i = 0; i < config->member_count; i++)
        copy_member(door, &config->members[i], &members[i]);
    door->config.members = members;

    if (!door->config.request_max)
        door->config.request_max = QR_ETCD_REQUEST_DEFAULT;
    if (!door->config.txn_ops_max)
        door->config.txn_ops_max = QR_ETCD_TXN_OPS_DEFAULT;
    if (!door->config.connections_max)
        door->config.connections_max = QR_ETCD_CONNECTIONS_DEFAULT;
    qr_etcd_counts_init(door);
    if (!door->config.watch_progress_ms)
        door->config.watch_progress_ms = QR_ETCD_WATCH_PROGRESS_MS;
    door->ring.unsent_max = QR_ETCD_UNSENT_DOOR_MAX;
    door->limits = qr_grpc_limits_default;
    door->limits.message_max = door->config.request_max < UINT32_MAX - QR_ETCD_MESSAGE_ROOM
                                   ? door->config.request_max + QR_ETCD_MESSAGE_ROOM
                                   : UINT32_MAX;
    if (door->limits.buffered_max < door->limits.message_max)
        door->limits.buffered_max = door->limits.message_max;
    return door;
}

int64_t qr_etcd_door_lease_id(qr_etcd_door *door)
{
    qr_node_status node;
    qr_node_status_of(door->config.node, &node);
    uint64_t id = qr_hash_mix(node.self, node.incarnation);
    id = qr_hash_mix(qr_hash_mix(id, node.boot), ++door->leases_granted);
    return (int64_t)(id & INT64_MAX) | 1;
}

const qr_etcd_member *qr_etcd_door_configured(const qr_etcd_door *door, uint64_t id)
{
    for (size_t i = 0; i < door->config.member_count; i++)
        if (door->config.members[i].id == id)
            return &door->config.members[i];
    return NULL;
}

qr_stream_door qr_etcd_door_stream(qr_etcd_door *door)
{
    return (qr_stream_door){.self = door, .ops = &qr_etcd_stream_ops};
}

qr_stream_door qr_etcd_door_pages(qr_etcd_door *door)
{
    return (qr_stream_door){.self = door, .ops = &qr_etcd_pages_ops};
}

void qr_etcd_door_release(qr_etcd_door *door)
{
    QR_ASSERT(door->references > 0);
    if (--door->references > 0)
        return;
    while (door->spare) {
        qr_etcd_call *call = door->spare;
        door->spare = call->next;
        qr_arena_free(&call->arena);
        qr_free(call);
    }
    qr_pool_end(&door->pool);
    qr_buffer_free(&door->body);
    qr_buffer_free(&door->events);
    qr_arena_free(&door->arena);
    qr_free(door);
}

void qr_etcd_door_free(qr_etcd_door *door)
{
    if (!door)
        return;
    QR_ASSERT(door->connections == 0);
    door->config.published = NULL; /* nobody is told any more */
    door->config.listed = NULL;
    qr_etcd_door_release(door); /* requests that the node still holds keep the rest alive */
}

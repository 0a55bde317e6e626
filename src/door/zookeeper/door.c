#include "door/zookeeper/door.h"

enum { TICK_MS = 2000, REAP_MS = 60000, CONNECTIONS_MAX = 10000 };

qr_zookeeper_door *qr_zookeeper_door_new(const qr_zookeeper_config *config)
{
    qr_zookeeper_door *door = qr_alloc_zero(1, sizeof *door);
    door->config = *config;
    qr_zookeeper_config *own = &door->config;
    own->tick_ms = own->tick_ms ? own->tick_ms : TICK_MS;
    own->session_min_ms = own->session_min_ms ? own->session_min_ms : 2 * own->tick_ms;
    own->session_max_ms = own->session_max_ms ? own->session_max_ms : 20 * own->tick_ms;
    own->connections_max = own->connections_max ? own->connections_max : CONNECTIONS_MAX;
    own->packet_max = own->packet_max ? own->packet_max : QR_JUTE_PACKET_MAX;
    own->reap_ms = own->reap_ms ? own->reap_ms : REAP_MS;
    qr_buffer_init(&door->reap_from);
    qr_buffer_init(&door->super_digest);
    qr_buffer_init(&door->root);
    if (config->root.size > 1)
        qr_buffer_add_slice(&door->root, config->root);
    if (config->super_digest.size)
        qr_buffer_add_slice(&door->super_digest, config->super_digest);
    door->quotas = qr_zookeeper_quotas_new(own->node, qr_buffer_slice(&door->root), own->enforce_quota,
                                           own->quota_passed, own->context);
    qr_prng_seed(&door->prng, config->seed);
    door->trace_mask = QR__ZK_TRACE_MASK;
    door->began_ms = door->now_ms = config->now_ms;
    door->leaderless_ms = UINT64_MAX;
    door->seen = qr__zk_revision(door);
    return door;
}

qr_stream_door qr_zookeeper_door_stream(qr_zookeeper_door *door)
{
    return (qr_stream_door){door, &qr__zk_stream_ops};
}

void qr_zookeeper_door_look(qr_zookeeper_door *door, uint64_t now_ms)
{
    (void)qr__zk_read_only(door, now_ms);
    qr__zk_reap(door, now_ms);
    qr__zk_config_notice(door);
    qr__zk_config_keep(door);
    qr__zk_reconfig_retry(door);
    qr_zookeeper_quotas_look(door->quotas, now_ms);
}

void qr_zookeeper_door_free(qr_zookeeper_door *door)
{
    if (!door)
        return;
    QR_ASSERT(!door->connections && door->admin_connections == 0);
    qr__zk_reconfig_stop(door);
    if (door->bell)
        qr_node_watch_end(door->bell);
    qr__zk_watches_free(&door->watches);
    qr_zookeeper_quotas_free(door->quotas);
    qr_buffer_free(&door->super_digest);
    qr_buffer_free(&door->root);
    qr_buffer_free(&door->reap_from);
    qr_free(door);
}

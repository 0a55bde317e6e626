/* The answers of the four-letter words. */
#include <inttypes.h>

#include "door/zookeeper/door.h"
#include "door/zookeeper/node.h"

#define VERSION "Zookeeper version: " QR_ZOOKEEPER_VERSION "-quorate\n"

static const char *mode(const qr_node_status *status)
{
    return status->engine.members.count == 1  ? "standalone"
           : status->engine.role == QR_LEADER ? "leader"
                                              : "follower";
}

static uint64_t nodes(const qr_zookeeper_door *door)
{
    qr_arena arena;
    qr_arena_init(&arena);
    const qr_query wants = {.want_descendants = true};
    const qr_path_result *root;
    uint64_t count = 0;
    if (qr__zk_look(door->config.node, qr_buffer_slice(&door->root), &arena, qr_slice_text("/"), &wants,
                    &root) == QR_OK)
        count = root->descendants + 1;
    qr_arena_free(&arena);
    return count;
}

static double average(const qr_zookeeper_door *door)
{
    return door->latency_count ? (double)door->latency_sum_ms / (double)door->latency_count : 0;
}

static void client(const qr__zk_connection *one, bool wide, qr_buffer *out)
{
    qr_buffer_format(out, " /%s[%d](queued=%zu,recved=%" PRIu64 ",sent=%" PRIu64, one->peer,
                     one->state == QR__ZK_ATTACHED, one->queued, one->received, one->sent);
    if (wide && one->state == QR__ZK_ATTACHED)
        qr_buffer_format(out, ",sid=0x%" PRIx64 ",to=%" PRIu32, (uint64_t)one->session, one->timeout_ms);
    qr_buffer_format(out, ")\n");
}

static void clients(const qr_zookeeper_door *door, bool wide, qr_buffer *out)
{
    for (const qr__zk_connection *one = door->connections; one; one = one->next)
        client(one, wide, out);
    qr_buffer_format(out, "\n");
}

static void server(const qr_zookeeper_door *door, const qr_node_status *status, bool with_clients,
                   qr_buffer *out)
{
    qr_buffer_format(out, VERSION);
    if (with_clients) {
        qr_buffer_format(out, "Clients:\n");
        clients(door, false, out);
    }
    qr_buffer_format(out,
                     "Latency min/avg/max: %" PRIu64 "/%.4f/%" PRIu64 "\nReceived: %" PRIu64
                     "\nSent: %" PRIu64 "\nConnections: %zu\nOutstanding: %" PRIu64 "\nZxid: 0x%" PRIx64
                     "\nMode: %s\nNode count: %" PRIu64 "\n",
                     door->latency_min_ms, average(door), door->latency_max_ms, door->received, door->sent,
                     door->connection_count, door->outstanding, status->revision, mode(status), nodes(door));
}

static void monitor(const qr_zookeeper_door *door, const qr_node_status *status, qr_buffer *out)
{
    qr_buffer_format(
        out,
        "zk_version\t" QR_ZOOKEEPER_VERSION "-quorate\nzk_avg_latency\t%.4f\n"
        "zk_max_latency\t%" PRIu64 "\nzk_min_latency\t%" PRIu64 "\nzk_packets_received\t%" PRIu64
        "\nzk_packets_sent\t%" PRIu64 "\nzk_num_alive_connections\t%zu\nzk_outstanding_requests\t%" PRIu64
        "\nzk_server_state\t%s\nzk_znode_count\t%" PRIu64 "\nzk_watch_count\t%zu\n",
        average(door), door->latency_max_ms, door->latency_min_ms, door->received, door->sent,
        door->connection_count, door->outstanding, mode(status), nodes(door), door->watches.watches);
}

static void configuration(const qr_zookeeper_door *door, qr_buffer *out)
{
    const qr_zookeeper_config *config = &door->config;
    qr_buffer_format(out,
                     "tickTime=%" PRIu32 "\nmaxClientCnxns=%" PRIu32 "\nminSessionTimeout=%" PRIu32
                     "\nmaxSessionTimeout=%" PRIu32 "\nserverId=%u\n",
                     config->tick_ms, config->connections_of_host_max, config->session_min_ms,
                     config->session_max_ms, config->server);
}

static void watch_summary(const qr_zookeeper_door *door, qr_buffer *out)
{
    size_t watching = 0;
    for (const qr__zk_connection *one = door->connections; one; one = one->next)
        watching += one->watcher.watches != NULL;
    qr_buffer_format(out, "%zu connections watching %zu paths\nTotal watches:%zu\n", watching,
                     door->watches.paths, door->watches.watches);
}

static void watches_by_session(const qr_zookeeper_door *door, qr_buffer *out)
{
    for (const qr__zk_connection *one = door->connections; one; one = one->next) {
        if (one->watcher.watches)
            qr_buffer_format(out, "0x%" PRIx64 "\n", (uint64_t)one->session);
        for (const qr__zk_watch *watch = one->watcher.watches; watch; watch = watch->watcher_next)
            qr_buffer_format(out, "\t%.*s\n", (int)watch->at->size, (const char *)watch->at->path);
    }
}

static void watches_by_path(const qr_zookeeper_door *door, qr_buffer *out)
{
    for (size_t i = 0; i < door->watches.bucket_count; i++) {
        for (const qr__zk_watched *at = door->watches.buckets[i]; at; at = at->next) {
            qr_buffer_format(out, "%.*s\n", (int)at->size, (const char *)at->path);
            for (const qr__zk_watch *watch = at->watches; watch; watch = watch->next) {
                const qr__zk_connection *one =
                    (const qr__zk_connection *)((const char *)watch->watcher -
                                                offsetof(qr__zk_connection, watcher));
                qr_buffer_format(out, "\t0x%" PRIx64 "\n", (uint64_t)one->session);
            }
        }
    }
}

static void reset(qr_zookeeper_door *door)
{
    door->received = door->sent = 0;
    door->latency_min_ms = door->latency_max_ms = door->latency_sum_ms = door->latency_count = 0;
}

/* What a server says that follows nobody and leads nobody; these three it answers all the same. */
static bool answers_alone(qr_zookeeper_word word)
{
    return word == QR_ZOOKEEPER_WORD_ruok || word == QR_ZOOKEEPER_WORD_envi || word == QR_ZOOKEEPER_WORD_isro;
}

static void answer(qr_zookeeper_door *door, qr_zookeeper_word word, qr_buffer *out)
{
    qr_node_status status;
    qr_node_status_of(door->config.node, &status);
    bool serves = status.engine.leader != 0;
    if (!serves && !answers_alone(word)) {
        qr_buffer_format(out, "This ZooKeeper instance is not currently serving requests\n");
        return;
    }
    switch (word) {
    case QR_ZOOKEEPER_WORD_ruok: qr_buffer_format(out, "imok"); break;
    case QR_ZOOKEEPER_WORD_isro: qr_buffer_format(out, serves ? "rw" : "null"); break;
    case QR_ZOOKEEPER_WORD_srvr: server(door, &status, false, out); break;
    case QR_ZOOKEEPER_WORD_stat: server(door, &status, true, out); break;
    case QR_ZOOKEEPER_WORD_mntr: monitor(door, &status, out); break;
    case QR_ZOOKEEPER_WORD_conf: configuration(door, out); break;
    case QR_ZOOKEEPER_WORD_cons: clients(door, true, out); break;
    case QR_ZOOKEEPER_WORD_envi:
        qr_buffer_format(out, "Environment:\nzookeeper.version=" QR_ZOOKEEPER_VERSION "-quorate\n");
        break;
    case QR_ZOOKEEPER_WORD_dirs:
        qr_buffer_format(out, "datadir_size: %" PRIu64 "\nlogdir_size: %" PRIu64 "\n",
                         status.checkpoint_bytes, status.log_bytes);
        break;
    case QR_ZOOKEEPER_WORD_wchs: watch_summary(door, out); break;
    case QR_ZOOKEEPER_WORD_wchc: watches_by_session(door, out); break;
    case QR_ZOOKEEPER_WORD_wchp: watches_by_path(door, out); break;
    case QR_ZOOKEEPER_WORD_dump:
        qr_buffer_format(out, "Connections dump:\n");
        clients(door, true, out);
        break;
    case QR_ZOOKEEPER_WORD_crst:
        for (qr__zk_connection *one = door->connections; one; one = one->next)
            one->received = one->sent = 0;
        qr_buffer_format(out, "Connection stats reset.\n");
        break;
    case QR_ZOOKEEPER_WORD_srst:
        reset(door);
        qr_buffer_format(out, "Server stats reset.\n");
        break;
    default: break; /* hash, gtmk, stmk: nothing of the kind here */
    }
}

void qr__zk_answer_word(qr__zk_connection *connection, qr_slice letters)
{
    qr_zookeeper_word word = qr_zookeeper_word_of(letters);
    if (word == QR_ZOOKEEPER_WORD_COUNT)
        return;
    if (qr_zookeeper_word_in(connection->door->config.words, word))
        answer(connection->door, word, &connection->out);
    else
        qr_buffer_format(&connection->out, "%.4s is not executed because it is not in the whitelist.\n",
                         (const char *)letters.data);
    qr__zk_wake(connection);
}

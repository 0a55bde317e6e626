/* Commands that tell of connections, sessions and watches. */
#include <inttypes.h>
#include <stdio.h>

#include "door/zookeeper/command.h"

/* --------------------------------------------------------------------- connections ---- */

static void put_connection(qr__zk_run *one, const qr__zk_connection *connection, bool wide)
{
    const qr__zk_latency *latency = &connection->latency;
    qr_json_out_open(&one->json, '{');
    qr__zk_put_text(one, "remote_socket_address", connection->peer);
    qr__zk_put_number(one, "outstanding_requests", (int64_t)connection->queued);
    qr__zk_put_number(one, "packets_received", (int64_t)connection->received);
    qr__zk_put_number(one, "packets_sent", (int64_t)connection->sent);
    if (wide) {
        qr__zk_put_number(one, "session_id", connection->session);
        qr__zk_put_text(one, "last_operation", qr__zk_op_name(connection->last_type));
        qr__zk_put_number(one, "established", connection->opened_ms);
        qr__zk_put_number(one, "session_timeout", connection->timeout_ms);
        qr__zk_put_number(one, "last_cxid", connection->last_xid);
        qr__zk_put_number(one, "last_zxid", connection->last_zxid);
        qr__zk_put_number(one, "last_response_time", (int64_t)connection->answered_ms);
        qr__zk_put_number(one, "last_latency", (int64_t)latency->last_ms);
        qr__zk_put_number(one, "min_latency", (int64_t)latency->min_ms);
        qr__zk_put_number(one, "avg_latency",
                          (int64_t)(latency->count ? latency->sum_ms / latency->count : 0));
        qr__zk_put_number(one, "max_latency", (int64_t)latency->max_ms);
    }
    qr_json_out_close(&one->json);
}

static void put_connections(qr__zk_run *one, bool wide)
{
    qr__zk_open_at(one, "connections", '[');
    for (const qr__zk_connection *at = one->door->connections; at && !one->json.cut; at = at->next)
        put_connection(one, at, wide);
    qr_json_out_close(&one->json);
    qr__zk_open_at(one, "secure_connections", '[');
    qr_json_out_close(&one->json);
}

void qr__zk_command_connections(qr__zk_run *one)
{
    put_connections(one, true);
}

void qr__zk_command_stats(qr__zk_run *one)
{
    qr__zk_command_server_stats(one);
    put_connections(one, false);
}

void qr__zk_command_stat_reset(qr__zk_run *one)
{
    qr__zk_reset_counts(one->door);
}

void qr__zk_command_connection_stat_reset(qr__zk_run *one)
{
    qr__zk_reset_connections(one->door);
}

/* ------------------------------------------------------------------ sessions, watches ---- */

static void key_of_session(qr__zk_run *one, int64_t session)
{
    char digits[24];
    snprintf(digits, sizeof digits, "%" PRId64, session);
    qr__zk_open_at(one, digits, '[');
}

static void put_ephemeral(void *context, int64_t owner, qr_slice path)
{
    qr__zk_run *one = context;
    if (one->owner != owner) {
        if (one->owner != 0)
            qr_json_out_close(&one->json);
        key_of_session(one, owner);
        one->owner = owner;
    }
    qr_json_out_text(&one->json, path);
}

/* When sessions end is known to the leader alone; a server that follows says nothing of it there either. */
void qr__zk_command_dump(qr__zk_run *one)
{
    qr__zk_open_at(one, "expiry_time_to_session_ids", '{');
    qr_json_out_close(&one->json);
    qr__zk_open_at(one, "session_id_to_ephemeral_paths", '{');
    qr__zk_each_ephemeral(one->door, put_ephemeral, one);
    if (one->owner != 0)
        qr_json_out_close(&one->json);
    qr_json_out_close(&one->json);
}

void qr__zk_command_watch_summary(qr__zk_run *one)
{
    size_t watching, paths;
    qr__zk_count_watching(one->door, &watching, &paths);
    qr__zk_put_number(one, "num_connections", (int64_t)watching);
    qr__zk_put_number(one, "num_paths", (int64_t)paths);
    qr__zk_put_number(one, "num_total_watches", (int64_t)one->door->watches.of_data);
}

void qr__zk_command_watches(qr__zk_run *one)
{
    qr__zk_open_at(one, "session_id_to_watched_paths", '{');
    for (const qr__zk_connection *at = one->door->connections; at && !one->json.cut; at = at->next) {
        bool told = false;
        for (const qr__zk_watch *watch = at->watcher.watches; watch; watch = watch->watcher_next) {
            if (!qr__zk_is_of_data(watch->kinds))
                continue;
            if (!told)
                key_of_session(one, at->session);
            told = true;
            qr_json_out_text(&one->json, qr_slice_of(watch->at->path, watch->at->size));
        }
        if (told)
            qr_json_out_close(&one->json);
    }
    qr_json_out_close(&one->json);
}

static void watches_of_path(qr__zk_run *one, const qr__zk_watched *at)
{
    bool told = false;
    for (const qr__zk_watch *watch = at->watches; watch; watch = watch->next) {
        if (!qr__zk_is_of_data(watch->kinds))
            continue;
        if (!told) {
            qr_json_out_key(&one->json, qr_slice_of(at->path, at->size));
            qr_json_out_open(&one->json, '[');
        }
        told = true;
        qr_json_out_number(&one->json, qr__zk_connection_of(watch)->session);
    }
    if (told)
        qr_json_out_close(&one->json);
}

void qr__zk_command_watches_by_path(qr__zk_run *one)
{
    const qr__zk_watches *table = &one->door->watches;
    qr__zk_open_at(one, "path_to_session_ids", '{');
    for (size_t i = 0; i < table->bucket_count && !one->json.cut; i++)
        for (const qr__zk_watched *at = table->buckets[i]; at; at = at->next)
            watches_of_path(one, at);
    qr_json_out_close(&one->json);
}

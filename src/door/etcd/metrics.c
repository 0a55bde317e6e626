#include "door/etcd/metrics.h"

#include <inttypes.h>

static void declare(qr_buffer *out, const char *name, const char *type, const char *help)
{
    qr_buffer_format(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void number(qr_buffer *out, const char *type, const char *name, uint64_t value, const char *help)
{
    declare(out, name, type, help);
    qr_buffer_format(out, "%s %" PRIu64 "\n", name, value);
}

static void gauge(qr_buffer *out, const char *name, uint64_t value, const char *help)
{
    number(out, "gauge", name, value, help);
}

static void counter(qr_buffer *out, const char *name, uint64_t value, const char *help)
{
    number(out, "counter", name, value, help);
}

static void histogram(qr_buffer *out, const char *name, const qr_histogram *from, const char *help)
{
    uint64_t sum = 0;
    declare(out, name, "histogram", help);
    for (unsigned i = 0; i < QR_HISTOGRAM_CLASSES; i++) {
        sum += from->counts[i];
        if (i < QR_HISTOGRAM_CLASSES - 1)
            qr_buffer_format(out, "%s_bucket{le=\"%g\"} %" PRIu64 "\n", name,
                             (double)((uint64_t)QR_HISTOGRAM_FIRST_US << i) / 1e6, sum);
        else
            qr_buffer_format(out, "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n", name, sum);
    }
    qr_buffer_format(out, "%s_sum %.6f\n%s_count %" PRIu64 "\n", name, (double)from->sum_us / 1e6, name, sum);
}

static void print_engine(const qr_etcd_door *door, const qr_node_status *node, qr_buffer *out)
{
    const qr_member *self = qr_members_find(&node->engine.members, door->config.self);
    gauge(out, "etcd_server_has_leader", node->engine.leader != 0, "Is a leader known? 1 is yes, 0 is no.");
    gauge(out, "etcd_server_is_leader", node->engine.role == QR_LEADER, "Is this member the leader?");
    gauge(out, "etcd_server_is_learner", self && self->role != QR_ROLE_VOTER, "Is this member a learner?");
    counter(out, "etcd_server_leader_changes_seen_total", node->leader_changes,
            "Leaders that this member has seen come.");
    gauge(out, "etcd_server_proposals_committed_total", node->engine.commit_index,
          "The index up to which the log is agreed on.");
    gauge(out, "etcd_server_proposals_applied_total", node->applied_index,
          "The index up to which it is applied.");
    gauge(out, "etcd_server_proposals_pending", node->pending_writes, "Writes of clients under way.");
    counter(out, "etcd_server_proposals_failed_total", door->failed_writes,
            "Writes of clients that were not carried out, or may not have been.");
    gauge(out, "quorate_reads_pending", node->pending_reads, "Reads of clients under way.");
}

static void print_disk(const qr_node_status *node, qr_buffer *out)
{
    gauge(out, "quorate_log_bytes", node->log_bytes, "Bytes of the log's files.");
    gauge(out, "quorate_log_segments", node->log_segments, "Files of the log.");
    gauge(out, "quorate_checkpoint_index", node->checkpoint_index,
          "Of the newest durable checkpoint; 0 = none.");
    gauge(out, "quorate_checkpoint_bytes", node->checkpoint_bytes, "Size of the newest durable checkpoint.");
    gauge(out, "quorate_checkpoint_running", node->checkpoint_running, "Is a checkpoint being saved?");
    gauge(out, "quorate_transfer_sent_bytes", node->sending.bytes,
          "Of the checkpoint on its way to a member.");
    gauge(out, "quorate_transfer_received_bytes", node->receiving.bytes,
          "Of the checkpoint on its way here.");
    gauge(out, "quorate_disk_full", node->no_space, "Has the disk no space for the log?");
    gauge(out, "quorate_disk_slow", node->disk_slow,
          "Did a sync take longer than an election timeout lately?");
    gauge(out, "quorate_oldest_sync_ms", node->oldest_sync_ms,
          "Age of the oldest record that is not durable yet.");
    gauge(out, "quorate_halted", node->halted, "Has this member halted for good?");
    gauge(out, "quorate_corrupt", node->corrupt || node->divergent,
          "Do the states of members differ, as far as this one knows?");
}

static void print_tree(const qr_tree_status *tree, qr_buffer *out)
{
    gauge(out, "etcd_mvcc_db_total_size_in_bytes", tree->memory_bytes, "What the store holds of the memory.");
    gauge(out, "etcd_mvcc_db_total_size_in_use_in_bytes", tree->live_bytes,
          "Keys and values of the newest versions.");
    gauge(out, "etcd_debugging_mvcc_keys_total", tree->keys, "Keys that live.");
    gauge(out, "etcd_debugging_mvcc_current_revision", tree->revision, "The newest revision.");
    gauge(out, "etcd_debugging_mvcc_compact_revision", tree->compacted,
          "The revision of the last compaction.");
    gauge(out, "quorate_history_bytes", tree->history_bytes, "Older versions that are kept.");
    gauge(out, "quorate_pages_bytes", tree->pages_bytes,
          "Pages of memory with keys, small values and events, and those kept for more.");
    gauge(out, "quorate_pages_used_bytes", tree->pages_used_bytes, "What of these is in use.");
}

/* There is no queue of events that wait, and so no etcd_debugging_mvcc_pending_events_total: who is slow
 * waits by where it stands. */
static void print_watchers(const qr_etcd_door *door, qr_buffer *out)
{
    qr_node_watch_figures watches;
    qr_node_watch_figures_of(door->config.node, &watches);
    gauge(out, "etcd_debugging_mvcc_watcher_total", watches.watchers, "Watchers.");
    gauge(out, "etcd_debugging_mvcc_slow_watcher_total", watches.slow,
          "Watchers that have revisions to read.");
    gauge(out, "quorate_watch_lag_revisions", watches.lag,
          "How many revisions the slowest watcher has to read.");
}

static void print_alarms(const qr_etcd_door *door, const qr_tree_status *tree, qr_buffer *out)
{
    qr_alarm alarms[QR_ETCD_ALARMS_MAX];
    size_t count = qr_etcd_alarms(door, tree, alarms);
    declare(out, "quorate_alarm", "gauge", "Alarms that this member knows of; none, no line.");
    for (size_t i = 0; i < count; i++) {
        char number[12];
        qr_buffer_format(out, "quorate_alarm{member=\"%" PRIx64 "\",kind=\"%s\"} 1\n", alarms[i].member,
                         qr_etcd_alarm_name(&alarms[i], number));
    }
}

static void print_method(const qr_etcd_count *count, const char *name, const char *code, uint64_t value,
                         qr_buffer *out)
{
    qr_buffer_format(out, "%s{grpc_service=\"%s\",grpc_method=\"%s\",grpc_type=\"%s\"%s%s%s} %" PRIu64 "\n",
                     name, count->service->name, count->method->name, qr_etcd_method_type(count->method),
                     code ? ",grpc_code=\"" : "", code ? code : "", code ? "\"" : "", value);
}

static void print_calls(const qr_etcd_door *door, qr_buffer *out)
{
    static const char *const codes[QR_ETCD_CODES] = {
        "OK",       "Canceled",       "Unknown",          "InvalidArgument",   "DeadlineExceeded",
        "NotFound", "AlreadyExists",  "PermissionDenied", "ResourceExhausted", "FailedPrecondition",
        "Aborted",  "OutOfRange",     "Unimplemented",    "Internal",          "Unavailable",
        "DataLoss", "Unauthenticated"};
    declare(out, "grpc_server_started_total", "counter",
            "Calls begun, those through the JSON gateway among them.");
    for (size_t i = 0; i < door->count_count; i++)
        print_method(&door->counts[i], "grpc_server_started_total", NULL, door->counts[i].started, out);
    declare(out, "grpc_server_handled_total", "counter", "Calls ended, by their code.");
    for (size_t i = 0; i < door->count_count; i++)
        for (size_t code = 0; code < QR_ETCD_CODES; code++)
            if (code == QR_GRPC_OK || door->counts[i].handled[code])
                print_method(&door->counts[i], "grpc_server_handled_total", codes[code],
                             door->counts[i].handled[code], out);
}

static void print_peers(const qr_etcd_process *process, qr_buffer *out)
{
    declare(out, "etcd_network_peer_sent_bytes_total", "counter", "Bytes of messages to the other members.");
    for (size_t i = 0; i < process->peer_count; i++)
        qr_buffer_format(out, "etcd_network_peer_sent_bytes_total{To=\"%" PRIx64 "\"} %" PRIu64 "\n",
                         process->peers[i].id, process->peers[i].sent);
    declare(out, "etcd_network_peer_received_bytes_total", "counter", "Bytes of messages from them.");
    for (size_t i = 0; i < process->peer_count; i++)
        qr_buffer_format(out, "etcd_network_peer_received_bytes_total{From=\"%" PRIx64 "\"} %" PRIu64 "\n",
                         process->peers[i].id, process->peers[i].received);
}

static void print_process(const qr_etcd_door *door, qr_buffer *out)
{
    qr_etcd_process process = {0};
    if (!door->config.process)
        return;
    door->config.process(door->config.context, &process);
    histogram(out, "etcd_disk_wal_fsync_duration_seconds", &process.log_syncs,
              "Writes and syncs of the log.");
    histogram(out, "etcd_disk_backend_commit_duration_seconds", &process.other_syncs,
              "Syncs of everything else: checkpoints, and files made ready for the log.");
    histogram(out, "quorate_turn_duration_seconds", &process.turns,
              "Rounds of the loop in which something happened.");
    histogram(out, "quorate_turn_cpu_seconds", &process.turn_cpu,
              "CPU time of the loop for each of them, with all that led to it.");
    print_peers(&process, out);
    gauge(out, "process_resident_memory_bytes", process.resident_bytes, "Resident memory.");
    gauge(out, "process_open_fds", process.open_files, "Open file descriptors.");
    gauge(out, "process_max_fds", process.open_files_max, "The limit to them.");
    declare(out, "process_cpu_seconds_total", "counter", "User and system time.");
    qr_buffer_format(out, "process_cpu_seconds_total %.2f\n", (double)process.cpu_us / 1e6);
}

void qr_etcd_metrics_print(const qr_etcd_door *door, const qr_tree_status *tree, qr_buffer *out)
{
    qr_node_status node;
    qr_node_status_of(door->config.node, &node);
    print_engine(door, &node, out);
    gauge(out, "etcd_server_quota_backend_bytes", door->config.quota_bytes, "The quota; 0 = off.");
    if (tree)
        print_tree(tree, out);
    print_watchers(door, out);
    print_alarms(door, tree, out);
    print_disk(&node, out);
    print_calls(door, out);
    counter(out, "etcd_server_health_success", door->health_shown[true], "Answers of /health that say so.");
    counter(out, "etcd_server_health_failures", door->health_shown[false], "Answers of /health that say no.");
    counter(out, "etcd_network_client_grpc_received_bytes_total", door->grpc_received,
            "Bytes of gRPC clients.");
    counter(out, "etcd_network_client_grpc_sent_bytes_total", door->grpc_sent, "Bytes to gRPC clients.");
    gauge(out, "quorate_client_connections", door->connections, "Connections of clients.");
    gauge(out, "quorate_client_unsent_bytes", door->ring.unsent, "Answers that clients have not taken.");
    print_process(door, out);
    declare(out, "etcd_server_version", "gauge", "The version that clients are told.");
    qr_buffer_format(out, "etcd_server_version{server_version=\"" QR_ETCD_VERSION "\"} 1\n");
    declare(out, "etcd_server_id", "gauge", "The id of this member.");
    qr_buffer_format(out, "etcd_server_id{server_id=\"%" PRIx64 "\"} 1\n", door->config.self);
}

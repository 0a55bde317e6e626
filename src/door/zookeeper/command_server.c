/* Commands that tell of the server and the members. */
#include <inttypes.h>
#include <stdio.h>

#include "door/zookeeper/command.h"

/* ---------------------------------------------------------------------- the server ---- */

void qr__zk_command_configuration(qr__zk_run *one)
{
    qr__zk_tell_settings(one->door, qr__zk_put_figure, one);
}

void qr__zk_command_environment(qr__zk_run *one)
{
    qr__zk_tell_environment(one->door, qr__zk_put_figure, one);
}

/* Those of the environment that Java has as properties, too. */
static void put_property(void *context, const qr__zk_figure *figure)
{
    if (strncmp(figure->name, "os.", 3) == 0 || strncmp(figure->name, "user.", 5) == 0)
        qr__zk_put_figure(context, figure);
}

void qr__zk_command_system_properties(qr__zk_run *one)
{
    qr__zk_tell_environment(one->door, put_property, one);
}

void qr__zk_command_monitor(qr__zk_run *one)
{
    qr__zk_tell_monitor(one->door, qr__zk_put_figure, one);
}

void qr__zk_command_dirs(qr__zk_run *one)
{
    qr__zk_put_number(one, "datadir_size", (int64_t)one->status.checkpoint_bytes);
    qr__zk_put_number(one, "logdir_size", (int64_t)one->status.log_bytes);
}

static void put_sizes(qr__zk_run *one, const char *name)
{
    const struct qr__zk_counts *counts = &one->door->counts;
    bool any = counts->answer_max > 0;
    qr__zk_open_at(one, name, '{');
    qr__zk_put_number(one, "last_buffer_size", any ? (int64_t)counts->answer_last : -1);
    qr__zk_put_number(one, "min_buffer_size", any ? (int64_t)counts->answer_min : -1);
    qr__zk_put_number(one, "max_buffer_size", any ? (int64_t)counts->answer_max : -1);
    qr_json_out_close(&one->json);
}

void qr__zk_command_server_stats(qr__zk_run *one)
{
    const qr_zookeeper_door *door = one->door;
    const struct qr__zk_counts *counts = &door->counts;
    char average[QR__ZK_AVERAGE_SIZE];
    qr__zk_average(&counts->all, average);
    qr__zk_put_text(one, "version", QR__ZK_VERSION);
    qr__zk_put_bool(one, "read_only", one->door->read_only);
    qr__zk_open_at(one, "server_stats", '{');
    qr__zk_put_number(one, "packets_sent", (int64_t)counts->sent);
    qr__zk_put_number(one, "packets_received", (int64_t)counts->received);
    put_sizes(one, "client_response_stats");
    qr__zk_put_text(one, "server_state", qr__zk_mode(door, &one->status));
    qr__zk_put_number(one, "outstanding_requests", (int64_t)door->outstanding);
    qr__zk_put_number(one, "min_latency", (int64_t)counts->all.min_ms);
    qr__zk_put_bare(one, "avg_latency", average);
    qr__zk_put_number(one, "max_latency", (int64_t)counts->all.max_ms);
    qr__zk_put_number(one, "data_dir_size", (int64_t)one->status.checkpoint_bytes);
    qr__zk_put_number(one, "log_dir_size", (int64_t)one->status.log_bytes);
    qr__zk_put_number(one, "last_processed_zxid", (int64_t)one->status.revision);
    qr__zk_put_number(one, "num_alive_client_connections", (int64_t)door->connection_count);
    qr__zk_put_number(one, "uptime", (int64_t)(door->now_ms - door->began_ms));
    qr_json_out_close(&one->json);
    put_sizes(one, "client_response");
    qr__zk_put_number(one, "node_count", (int64_t)qr__zk_node_count(door));
}

void qr__zk_command_hash(qr__zk_run *one)
{
    qr__zk_open_at(one, "digests", '[');
    qr_json_out_open(&one->json, '{');
    qr__zk_put_number(one, "zxid", (int64_t)one->status.applied_index); /* as hash tells it */
    qr__zk_put_number(one, "digest", (int64_t)one->status.digest);
    qr_json_out_close(&one->json);
    qr_json_out_close(&one->json);
}

void qr__zk_command_is_read_only(qr__zk_run *one)
{
    qr__zk_put_bool(one, "read_only", one->door->read_only);
}

/* There is one text for all members only where there is a file, which the door does not know. */
void qr__zk_command_initial_configuration(qr__zk_run *one)
{
    qr__zk_put_bare(one, "initial_configuration", "null");
}

void qr__zk_command_last_snapshot(qr__zk_run *one)
{
    if (one->status.checkpoint_index != 0)
        qr__zk_put_number(one, "timestamp", one->status.checkpoint_wall_ms / 1000);
}

void qr__zk_command_get_trace_mask(qr__zk_run *one)
{
    qr__zk_put_number(one, "tracemask", one->door->trace_mask);
}

/* The value of a parameter; NULL data: it is not there. */
static qr_slice parameter(qr_slice query, const char *name)
{
    qr_slice wanted = qr_slice_text(name);
    while (query.size > 0) {
        const uint8_t *end = memchr(query.data, '&', query.size);
        size_t size = end ? (size_t)(end - query.data) : query.size;
        qr_slice pair = qr_slice_of(query.data, size);
        if (qr_slice_starts(pair, wanted) && pair.size > wanted.size && pair.data[wanted.size] == '=')
            return qr_slice_of(pair.data + wanted.size + 1, pair.size - wanted.size - 1);
        size += end != NULL;
        query = qr_slice_of(query.data + size, query.size - size);
    }
    return qr_slice_of(NULL, 0);
}

/* A decimal number of Java's long. */
static bool take_long(qr_slice text, int64_t *number)
{
    bool negative = text.size > 0 && text.data[0] == '-';
    uint64_t most = (uint64_t)INT64_MAX + negative, value = 0;
    for (size_t i = negative; i < text.size; i++) {
        uint64_t digit = (uint64_t)text.data[i] - '0';
        if (digit > 9 || value > (most - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    if (text.size == (size_t)negative)
        return false;
    *number = (int64_t)(negative ? 0 - value : value);
    return true;
}

void qr__zk_command_set_trace_mask(qr__zk_run *one)
{
    qr_slice value = parameter(one->query, "traceMask");
    if (value.data == NULL) {
        one->error = "setTraceMask requires long traceMask argument";
    } else if (!take_long(value, &one->door->trace_mask)) {
        snprintf(one->sentence, sizeof one->sentence,
                 "setTraceMask requires long traceMask argument, got %.*s",
                 (int)(value.size < 40 ? value.size : 40), (const char *)value.data);
        one->error = one->sentence;
    } else {
        qr__zk_command_get_trace_mask(one);
    }
}

/* ------------------------------------------------------------------------- members ---- */

/* "host:port" */
static const char *address_of(const char *host, uint16_t port, qr_arena *arena)
{
    bool v6 = strchr(host, ':') != NULL;
    return qr_arena_format(arena, "%s%s%s:%u", v6 ? "[" : "", host, v6 ? "]" : "", port);
}

static void put_list_of_one(qr__zk_run *one, const char *name, const char *text)
{
    qr__zk_open_at(one, name, '[');
    qr_json_out_text(&one->json, qr_slice_text(text));
    qr_json_out_close(&one->json);
}

void qr__zk_command_leader(qr__zk_run *one)
{
    qr_arena arena;
    qr_arena_init(&arena);
    qr__zk_seats_view view;
    if (one->status.engine.members.count == 1 || !qr__zk_seats(one->door, &arena, &view)) {
        one->error = "server is not initialized"; /* as a server alone says */
    } else {
        qr__zk_put_bool(one, "is_leader", one->status.engine.role == QR_LEADER);
        if (view.leader) {
            qr__zk_put_number(one, "leader_id", view.leader->server.id);
            qr__zk_put_text(one, "leader_ip", view.leader->server.host);
        }
    }
    qr_arena_free(&arena);
}

static void put_client_address(qr__zk_run *one, const qr_zookeeper_server *server, qr_arena *arena)
{
    const char *host = server->client_host ? server->client_host : "0.0.0.0";
    qr__zk_put_text(one, "client_address",
                    server->client_port ? address_of(host, server->client_port, arena) : "");
}

static void put_voter(qr__zk_run *one, const qr_zookeeper_server *server, qr_arena *arena)
{
    qr__zk_open_at(one, qr_arena_format(arena, "%u", server->id), '{');
    put_list_of_one(one, "server_addresses", address_of(server->host, server->peer_port, arena));
    put_list_of_one(one, "election_addresses", address_of(server->host, server->election_port, arena));
    put_client_address(one, server, arena);
    qr__zk_put_text(one, "learner_type", "participant");
    qr_json_out_close(&one->json);
}

void qr__zk_command_voting_view(qr__zk_run *one)
{
    qr_arena arena;
    qr_arena_init(&arena);
    qr__zk_seats_view view;
    bool known = qr__zk_seats(one->door, &arena, &view) && view.ensemble->count > 1;
    qr__zk_open_at(one, "current_config", '{');
    for (size_t i = 0; known && i < view.ensemble->count; i++)
        if (!view.ensemble->seats[i].server.observer)
            put_voter(one, &view.ensemble->seats[i].server, &arena);
    qr_json_out_close(&one->json);
    qr_arena_free(&arena);
}

/* There is one of each, which is not tried out. */
static void put_addresses(qr__zk_run *one, const char *name, const qr_zookeeper_server *server, uint16_t port,
                          qr_arena *arena)
{
    const char *address = address_of(server->host, port, arena);
    qr__zk_open_at(one, name, '{');
    qr__zk_put_bool(one, "empty", false);
    put_list_of_one(one, "all_addresses", address);
    qr__zk_put_text(one, "one", address);
    qr__zk_open_at(one, "all_ports", '[');
    qr_json_out_number(&one->json, port);
    qr_json_out_close(&one->json);
    put_list_of_one(one, "all_host_strings", server->host);
    qr_json_out_close(&one->json);
}

static void put_state_among_others(qr__zk_run *one, const qr_zookeeper_server *own, qr_arena *arena)
{
    qr__zk_put_number(one, "myid", own->id);
    qr__zk_put_bool(one, "is_leader", one->status.engine.role == QR_LEADER);
    put_addresses(one, "quorum_address", own, own->peer_port, arena);
    put_addresses(one, "election_address", own, own->election_port, arena);
    put_client_address(one, own, arena);
    qr__zk_put_bool(one, "voting", !own->observer);
    qr__zk_put_text(one, "last_zxid", qr_arena_format(arena, "0x%" PRIx64, one->status.revision));
    qr__zk_put_text(one, "zabstate", one->status.engine.leader != 0 ? "broadcast" : "election");
}

void qr__zk_command_zabstate(qr__zk_run *one)
{
    qr_arena arena;
    qr_arena_init(&arena);
    qr__zk_seats_view view;
    if (one->status.engine.members.count > 1 && qr__zk_seats(one->door, &arena, &view) && view.own) {
        put_state_among_others(one, &view.own->server, &arena);
    } else {
        qr__zk_put_bool(one, "voting", false);
        qr__zk_put_text(one, "zabstate", "");
    }
    qr_arena_free(&arena);
}

/* Told by the leader, as there. */
void qr__zk_command_observers(qr__zk_run *one)
{
    qr_arena arena;
    qr_arena_init(&arena);
    qr__zk_seats_view view;
    const qr_engine_status *engine = &one->status.engine;
    bool told = engine->role == QR_LEADER && qr__zk_seats(one->door, &arena, &view);
    qr__zk_put_number(one, "synced_observers", (int64_t)qr__zk_observer_count(&one->status));
    qr__zk_open_at(one, "observers", '[');
    for (size_t i = 0; told && i < engine->members.count; i++) {
        const struct qr_zookeeper_seat *seat =
            qr_zookeeper_seat_of(view.ensemble, engine->members.list[i].id);
        if (seat == NULL || !seat->server.observer || !engine->alive[i])
            continue;
        qr_json_out_open(&one->json, '{');
        qr__zk_put_number(one, "sid", seat->server.id);
        qr_json_out_close(&one->json);
    }
    qr_json_out_close(&one->json);
    qr_arena_free(&arena);
}

#include "door/zookeeper/commands.h"

#include <inttypes.h>
#include <stdio.h>

#include "door/zookeeper/command.h"

void qr__zk_put_number(qr__zk_run *one, const char *name, int64_t number)
{
    qr_json_out_key(&one->json, qr_slice_text(name));
    qr_json_out_number(&one->json, number);
}

void qr__zk_put_text(qr__zk_run *one, const char *name, const char *text)
{
    qr_json_out_key(&one->json, qr_slice_text(name));
    qr_json_out_text(&one->json, qr_slice_text(text));
}

void qr__zk_put_bare(qr__zk_run *one, const char *name, const char *literal)
{
    qr_json_out_key(&one->json, qr_slice_text(name));
    qr_json_out_bare(&one->json, literal);
}

void qr__zk_put_bool(qr__zk_run *one, const char *name, bool is)
{
    qr__zk_put_bare(one, name, is ? "true" : "false");
}

void qr__zk_open_at(qr__zk_run *one, const char *name, char bracket)
{
    qr_json_out_key(&one->json, qr_slice_text(name));
    qr_json_out_open(&one->json, bracket);
}

void qr__zk_put_figure(void *context, const qr__zk_figure *figure)
{
    qr__zk_run *one = context;
    if (figure->json_name && figure->text)
        qr__zk_put_text(one, figure->json_name, figure->text);
    else if (figure->json_name)
        qr__zk_put_bare(one, figure->json_name, figure->literal);
}

static void nothing(qr__zk_run *one) {}

/* --------------------------------------------------------------------------- table ---- */

static const struct command {
    const char *name, *other, *third; /* NULL: there is no such name */
    void (*run)(qr__zk_run *one);
    bool alone; /* answered without a leader, too */
} commands[] = {
    {"configuration", "conf", "config", qr__zk_command_configuration, false},
    {"connection_stat_reset", "crst", NULL, qr__zk_command_connection_stat_reset, false},
    {"connections", "cons", NULL, qr__zk_command_connections, false},
    {"dirs", NULL, NULL, qr__zk_command_dirs, false},
    {"dump", NULL, NULL, qr__zk_command_dump, false},
    {"environment", "env", "envi", qr__zk_command_environment, true},
    {"get_trace_mask", "gtmk", NULL, qr__zk_command_get_trace_mask, true},
    {"hash", NULL, NULL, qr__zk_command_hash, false},
    {"initial_configuration", "icfg", NULL, qr__zk_command_initial_configuration, false},
    {"is_read_only", "isro", NULL, qr__zk_command_is_read_only, false},
    {"last_snapshot", "lsnp", NULL, qr__zk_command_last_snapshot, false},
    {"leader", "lead", NULL, qr__zk_command_leader, false},
    {"monitor", "mntr", NULL, qr__zk_command_monitor, true},
    {"observer_connection_stat_reset", "orst", NULL, nothing, false},
    {"observers", "obsr", NULL, qr__zk_command_observers, false},
    {"ruok", NULL, NULL, nothing, false},
    {"server_stats", "srvr", NULL, qr__zk_command_server_stats, false},
    {"set_trace_mask", "stmk", NULL, qr__zk_command_set_trace_mask, true},
    {"stat_reset", "srst", NULL, qr__zk_command_stat_reset, false},
    {"stats", "stat", NULL, qr__zk_command_stats, false},
    {"system_properties", "sysp", NULL, qr__zk_command_system_properties, true},
    {"voting_view", NULL, NULL, qr__zk_command_voting_view, false},
    {"watch_summary", "wchs", NULL, qr__zk_command_watch_summary, false},
    {"watches", "wchc", NULL, qr__zk_command_watches, false},
    {"watches_by_path", "wchp", NULL, qr__zk_command_watches_by_path, false},
    {"zabstate", NULL, NULL, qr__zk_command_zabstate, true},
};

static bool is_called(const char *name, qr_slice text)
{
    return name && qr_slice_equal(text, qr_slice_text(name));
}

static const struct command *find(qr_slice name)
{
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        const struct command *at = &commands[i];
        if (is_called(at->name, name) || is_called(at->other, name) || is_called(at->third, name))
            return at;
    }
    return NULL;
}

void qr__zk_list_commands(qr_buffer *out)
{
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        qr_buffer_format(out, "<a href=\"/commands/%s\">%s</a>\n<br/>\n", commands[i].name, commands[i].name);
}

/* The end of every document. */
static void put_end(qr__zk_run *one, qr_slice name)
{
    qr_json_out_key(&one->json, qr_slice_text("command"));
    qr_json_out_text(&one->json, name);
    if (one->error)
        qr__zk_put_text(one, "error", one->error);
    else
        qr__zk_put_bare(one, "error", "null");
    qr_json_out_close(&one->json);
}

static qr__zk_run begin(qr_zookeeper_door *door, qr_slice query, qr_buffer *out)
{
    qr__zk_run one = {.door = door, .query = query};
    qr_node_status_of(door->config.node, &one.status);
    one.json = qr_json_out_of(out, out->size + QR__ZK_DOCUMENT_MAX);
    qr_json_out_open(&one.json, '{');
    return one;
}

void qr__zk_run_command(qr_zookeeper_door *door, qr_slice name, qr_slice query, qr_buffer *out)
{
    size_t start = out->size;
    qr__zk_run one = begin(door, query, out);
    const struct command *command = find(name);
    if (!command) {
        snprintf(one.sentence, sizeof one.sentence, "Unknown command: %.*s",
                 (int)(name.size < 80 ? name.size : 80), (const char *)name.data);
        one.error = one.sentence;
    } else if (!command->alone && !qr__zk_serves(one.door, &one.status)) {
        one.error = QR__ZK_NOT_SERVING;
    } else {
        command->run(&one);
    }
    qr_slice told = command ? qr_slice_text(command->name) : name;
    put_end(&one, told);
    if (!one.json.cut)
        return;
    out->size = start;
    one = begin(door, query, out);
    one.error = "the answer would be larger than 4 MiB";
    put_end(&one, told);
}

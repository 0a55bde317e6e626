/* command: one command of the AdminServer while it runs, and what its document is made of. */
#ifndef QR_DOOR_ZOOKEEPER_COMMAND_H
#define QR_DOOR_ZOOKEEPER_COMMAND_H

#include "door/zookeeper/figures.h"
#include "wire/json_out.h"

typedef struct qr__zk_run {
    qr_zookeeper_door *door;
    qr_node_status status;
    qr_slice query; /* "name=value&...", not decoded */
    qr_json_out json;
    const char *error; /* NULL: none */
    char sentence[128];
    int64_t owner; /* of the ephemerals that are being told */
} qr__zk_run;

/* Members of the document's present object. */
void qr__zk_put_number(qr__zk_run *one, const char *name, int64_t number);
void qr__zk_put_text(qr__zk_run *one, const char *name, const char *text);
void qr__zk_put_bare(qr__zk_run *one, const char *name, const char *literal);
void qr__zk_put_bool(qr__zk_run *one, const char *name, bool is);
void qr__zk_open_at(qr__zk_run *one, const char *name, char bracket);
void qr__zk_put_figure(void *one, const qr__zk_figure *figure); /* a qr__zk_tell */

/* command_server.c */
void qr__zk_command_configuration(qr__zk_run *one);
void qr__zk_command_dirs(qr__zk_run *one);
void qr__zk_command_environment(qr__zk_run *one);
void qr__zk_command_get_trace_mask(qr__zk_run *one);
void qr__zk_command_hash(qr__zk_run *one);
void qr__zk_command_initial_configuration(qr__zk_run *one);
void qr__zk_command_is_read_only(qr__zk_run *one);
void qr__zk_command_last_snapshot(qr__zk_run *one);
void qr__zk_command_leader(qr__zk_run *one);
void qr__zk_command_monitor(qr__zk_run *one);
void qr__zk_command_observers(qr__zk_run *one);
void qr__zk_command_server_stats(qr__zk_run *one);
void qr__zk_command_set_trace_mask(qr__zk_run *one);
void qr__zk_command_system_properties(qr__zk_run *one);
void qr__zk_command_voting_view(qr__zk_run *one);
void qr__zk_command_zabstate(qr__zk_run *one);

/* command_clients.c */
void qr__zk_command_connections(qr__zk_run *one);
void qr__zk_command_dump(qr__zk_run *one);
void qr__zk_command_watch_summary(qr__zk_run *one);
void qr__zk_command_watches(qr__zk_run *one);
void qr__zk_command_watches_by_path(qr__zk_run *one);
void qr__zk_command_stats(qr__zk_run *one);
void qr__zk_command_stat_reset(qr__zk_run *one);
void qr__zk_command_connection_stat_reset(qr__zk_run *one);

#endif

/* serve: one member. Puts the rooms together and speaks to the person at the terminal; everything else is
 * theirs.
 *
 * Order at the start: folder, peer port, recovery, door, client ports, links to the others, loop. What can go
 * wrong in the configuration goes wrong before anything is written. At the end: the loop first (connections
 * closed, disk quiet), then the node (which answers what it still holds), its black box, the door, the loop's
 * remains. */
#include "bin/serve_group.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bin/bin.h"
#include "bin/planted.h"
#include "bin/serve_backup.h"
#include "bin/serve_zookeeper.h"
#include "box/ring.h"
#include "tree/tree.h"

enum {
    PUBLISH_MS = 1000, /* between two tries to tell the cluster our name and client URLs */
    LOOK_MS = 1000,    /* between two looks at the node's state */
    HANDOVER_MS = 300, /* for a stopping leader to find a successor */
    EXIT_OK = 0,
    EXIT_FAILED = 1,
    EXIT_USAGE = 2,
};

typedef struct member {
    const qr_flags *flags; /* as they were at the start */
    qr_serve_config config;
    qr_arena arena;
    qr_os *os;
    qr_disk disk;
    qr_network network; /* of os; empty until its peers are started */
    qr_node *node;
    qr_etcd_door *door;
    qr_serve_zookeeper zookeeper;
    qr_group group;
    qr_ring *ring;             /* of the black box; NULL: none */
    qr_serve_backups *backups; /* NULL: none are scheduled */
    bool published, stopping, handing_over;
    uint64_t publish_ms; /* next try */
    uint64_t look_ms;    /* next look */
    qr_node_status told; /* as last looked at */
    bool damage_told;    /* of a checkpoint */
    qr_engine_role role;
    uint64_t leader;
    int exit_status;
} member;

static const char *hex(qr_arena *arena, uint64_t id)
{
    return qr_arena_format(arena, "%" PRIx64, id);
}

/* ---- what the node tells ---- */

static void on_halted(void *context, const char *sentence)
{
    member *self = context;
    qr_log(self->os, QR_LOG_ERROR, "this member has halted", "reason", sentence, NULL);
    self->exit_status = EXIT_FAILED;
    qr_os_stop(self->os);
}

/* A leader whose disk is in trouble gives the leadership away. */
static const char *disk_word(const member *self)
{
    qr_node_status status;
    qr_node_status_of(self->node, &status);
    return status.no_space ? "full" : status.disk_slow ? "slow" : "well";
}

static void on_role(void *context, qr_engine_role role, uint64_t term, uint64_t leader)
{
    member *self = context;
    char term_text[24], id_text[24];
    snprintf(term_text, sizeof term_text, "%" PRIu64, term);
    snprintf(id_text, sizeof id_text, "%" PRIx64, leader);
    if (role == QR_LEADER && self->role != QR_LEADER)
        qr_log(self->os, QR_LOG_INFO, "elected leader: this member leads now", "term", term_text, NULL);
    else if (role != QR_LEADER && self->role == QR_LEADER)
        qr_log(self->os, QR_LOG_WARN, "lost leadership", "term", term_text, "disk", disk_word(self), NULL);
    else if (role == QR_CANDIDATE && self->role != QR_CANDIDATE)
        qr_log(self->os, QR_LOG_INFO, "is a candidate", "term", term_text, NULL);
    if (leader != self->leader && leader != 0 && role != QR_LEADER)
        qr_log(self->os, QR_LOG_INFO, "elected leader: follows another member", "leader", id_text, "name",
               qr_group_name(&self->group, leader), "term", term_text, NULL);
    else if (leader != self->leader && leader == 0 && self->role != QR_LEADER)
        qr_log(self->os, QR_LOG_WARN, "lost leader", "former-leader",
               qr_group_name(&self->group, self->leader), "term", term_text, NULL);
    self->role = role;
    self->leader = leader;
}

static void on_level(void *context, uint16_t level)
{
    member *self = context;
    char text[8];
    snprintf(text, sizeof text, "%u", (unsigned)level);
    qr_log(self->os, QR_LOG_INFO, "feature level raised: all members know it", "level", text, NULL);
}

static void on_reconfigured(void *context, const qr_members *members, bool removed)
{
    qr_group_reconfigured(&((member *)context)->group, removed);
}

static void on_listed(void *context, const qr_etcd_member *list, size_t count)
{
    qr_group_listed(&((member *)context)->group, list, count);
}

static void on_wake(void *context)
{
    member *self = context;
    qr_os_wake(self->os);
}

/* The node is opened before its peers are: it must first say which incarnation the folder holds. */
static qr_status send_to_peer(void *context, uint64_t to, qr_slice message)
{
    member *self = context;
    return self->network.send ? self->network.send(self->network.self, to, message) : QR_E_BUSY;
}

static int64_t wall_ms(void *context)
{
    return qr_os_wall_ms();
}

static void tell_process(void *context, qr_etcd_process *process)
{
    member *self = context;
    qr_os_process os;
    qr_os_process_of(self->os, &os);
    *process = (qr_etcd_process){.log_syncs = os.log_syncs,
                                 .other_syncs = os.other_syncs,
                                 .turns = os.turns,
                                 .turn_cpu = os.turn_cpu,
                                 .resident_bytes = os.resident_bytes,
                                 .open_files = os.open_files,
                                 .open_files_max = os.open_files_max,
                                 .cpu_us = os.cpu_us};
    for (size_t i = 0; i < os.peer_count && i < QR_MEMBERS_MAX; i++) {
        process->peers[i].id = os.peers[i].id;
        process->peers[i].sent = os.peers[i].sent;
        process->peers[i].received = os.peers[i].received;
        process->peer_count = i + 1;
    }
}

static void on_published(void *context)
{
    member *self = context;
    const qr_serve_urls *urls = &self->config.advertise_client;
    char id[24], cluster[24], attributes[1024];
    size_t at = (size_t)snprintf(attributes, sizeof attributes, "{Name:%s ClientURLs:[", self->config.name);
    for (size_t i = 0; i < urls->count && at < sizeof attributes; i++)
        at += (size_t)snprintf(attributes + at, sizeof attributes - at, "%s%s", i ? " " : "",
                               urls->list[i].text);
    if (at < sizeof attributes)
        snprintf(attributes + at, sizeof attributes - at, "]}");
    snprintf(id, sizeof id, "%" PRIx64, self->config.self);
    snprintf(cluster, sizeof cluster, "%" PRIx64, self->config.cluster);
    self->published = true;
    qr_log(self->os, QR_LOG_INFO, "published local member to cluster through raft", "local-member-id", id,
           "local-member-attributes", attributes, "cluster-id", cluster, NULL);
    qr_log(self->os, QR_LOG_INFO, "enabled capabilities for version 3.4", "cluster-version",
           QR_ETCD_CLUSTER_VERSION, NULL);
    qr_log(self->os, QR_LOG_INFO, "ready to serve client requests", NULL);
    for (size_t i = 0; i < self->config.listen_client.count; i++) {
        const qr_serve_url *url = &self->config.listen_client.list[i];
        qr_log(self->os, QR_LOG_WARN, "serving client requests insecurely, this is strongly discouraged!",
               "address", url->text + strlen("http://"), NULL);
    }
}

/* Troubles that do not end this member, told when they begin and when they end. */
static void look_at_states(member *self, const qr_node_status *status)
{
    const qr_node_status *told = &self->told;
    char index[24], id[24];
    if (status->divergent_index != told->divergent_index && status->divergent != 0) {
        snprintf(index, sizeof index, "%" PRIu64, status->divergent_index);
        snprintf(id, sizeof id, "%" PRIx64, status->divergent);
        qr_log(self->os, QR_LOG_ERROR, "a member's state differs from that of the majority", "member-id", id,
               "name", qr_group_name(&self->group, status->divergent), "index", index, NULL);
    }
    if (status->divergent == 0 && told->divergent != 0)
        qr_log(self->os, QR_LOG_INFO, "all members have the same state again", NULL);
    if (status->corrupt && !told->corrupt) {
        snprintf(index, sizeof index, "%" PRIu64, status->corrupt_index);
        qr_log(self->os, QR_LOG_ERROR,
               "the members' states differ and no majority agrees: writes are refused, reads go on", "index",
               index, NULL);
    }
    if (!status->corrupt && told->corrupt)
        qr_log(self->os, QR_LOG_INFO, "a majority of the members have the same state: writes are taken again",
               NULL);
}

static void look_at_disk(member *self, const qr_node_status *status)
{
    const qr_node_status *told = &self->told;
    if (status->checkpoint_damaged != 0 && !self->damage_told)
        qr_log(self->os, QR_LOG_WARN,
               "a checkpoint was too damaged to start from; the one before it and the log were used",
               "data-dir", self->config.data_dir, "index",
               qr_arena_format(&self->arena, "%" PRIu64, status->checkpoint_damaged), NULL);
    self->damage_told = status->checkpoint_damaged != 0;
    if (status->no_space && !told->no_space)
        qr_log(
            self->os, QR_LOG_ERROR,
            "no space is left for the next log file: when this one is full, writes wait until there is some",
            "data-dir", self->config.data_dir, NULL);
    if (!status->no_space && told->no_space)
        qr_log(self->os, QR_LOG_INFO, "there is space for the log again", NULL);
    if (status->disk_slow && !told->disk_slow) {
        char age[24];
        snprintf(age, sizeof age, "%" PRIu64, status->oldest_sync_ms);
        qr_log(self->os, QR_LOG_ERROR,
               "the disk hangs: a sync of the log takes longer than an election timeout", "data-dir",
               self->config.data_dir, "oldest-sync-ms", age, NULL);
    }
    if (!status->disk_slow && told->disk_slow)
        qr_log(self->os, QR_LOG_INFO, "the disk is fast enough again", NULL);
}

static void look(member *self)
{
    qr_node_status status;
    qr_node_status_of(self->node, &status);
    look_at_states(self, &status);
    look_at_disk(self, &status);
    self->told = status;
}

/* ---- what the loop tells ---- */

static void turn(void *context, uint64_t now_ms, int64_t wall)
{
    member *self = context;
    if (!self->published && now_ms >= self->publish_ms) {
        self->publish_ms = now_ms + PUBLISH_MS;
        qr_etcd_door_publish(self->door, now_ms);
    }
    qr_node_turn(self->node, now_ms, wall);
    qr_group_turn(&self->group, now_ms);
    if (now_ms >= self->look_ms) {
        self->look_ms = now_ms + LOOK_MS;
        look(self);
        if (self->zookeeper.door != NULL)
            qr_zookeeper_door_look(self->zookeeper.door, now_ms);
        if (self->backups != NULL && self->published)
            qr_serve_backups_look(self->backups, wall);
    }
}

static uint64_t wake_ms(void *context)
{
    member *self = context;
    uint64_t node_ms = qr_node_wake_ms(self->node);
    return !self->published && self->publish_ms < node_ms ? self->publish_ms : node_ms;
}

static void on_message(void *context, uint64_t from, qr_slice message, uint64_t now_ms)
{
    qr_node_on_message(((member *)context)->node, from, message, now_ms);
}

static void on_link(void *context, uint64_t peer, bool up, uint64_t now_ms)
{
    qr_node_on_link(((member *)context)->node, peer, up, now_ms);
}

static void on_removed(void *context, uint64_t by, const char *sentence)
{
    qr_group_removed(&((member *)context)->group, sentence);
}

static bool was_removed(void *context, uint64_t id)
{
    return qr_group_was_removed(&((const member *)context)->group, id);
}

static void who(void *context, qr_buffer *out)
{
    qr_group_who(&((const member *)context)->group, out);
}

/* Removed, and the folder says so. */
static void on_ended(void *context)
{
    member *self = context;
    self->exit_status = EXIT_FAILED;
    qr_os_stop(self->os);
}

static void on_handed_over(void *owner, const qr_reply *reply)
{
    member *self = owner;
    if (!self->handing_over) /* answered from the node's own end */
        return;
    self->handing_over = false;
    if (reply->status == QR_OK)
        qr_log(self->os, QR_LOG_INFO, "handed the leadership over", NULL);
    qr_os_stop(self->os);
}

/* A leader that is told to stop hands over first, so that nobody has to wait for an election. */
static void stop(member *self)
{
    self->stopping = true;
    if (self->role == QR_LEADER && self->group.roster.count > 1) {
        qr_request request = {.kind = QR_REQUEST_HANDOVER,
                              .deadline_ms = qr_os_now_ms(self->os) + HANDOVER_MS,
                              .done = on_handed_over,
                              .owner = self};
        self->handing_over = qr_node_submit(self->node, &request) == QR_OK;
        if (self->handing_over)
            return;
    }
    qr_os_stop(self->os);
}

static void on_signal(void *context, int number)
{
    member *self = context;
    if (number == SIGHUP) {
        qr_serve_reload(self->os, self->flags);
        return;
    }
    if (self->stopping) { /* told twice: whatever hangs, it hangs without us */
        qr_log(self->os, QR_LOG_WARN, "received a second signal; ending at once", NULL);
        _exit(EXIT_FAILED);
    }
    qr_log(self->os, QR_LOG_INFO, "received signal; shutting down", "signal",
           number == SIGTERM ? "terminated" : "interrupt", NULL);
    stop(self);
}

/* ---- starting ---- */

static qr_status failed(member *self, qr_status status, const char *what, const char *sentence)
{
    qr_log(self->os, QR_LOG_ERROR, what, "error", sentence ? sentence : qr_status_sentence(status), NULL);
    return status;
}

static void count_file(void *context, const char *name, uint64_t size)
{
    ++*(size_t *)context;
}

static qr_status open_disk(member *self)
{
    const char *sentence = NULL;
    qr_status status = qr_os_disk_open(self->os, self->config.data_dir, &self->disk, &self->arena, &sentence);
    if (status != QR_OK)
        return failed(self, status, "the data folder cannot be used", sentence);
    size_t files = 0;
    status = self->disk.list(self->disk.self, count_file, &files);
    if (status != QR_OK)
        return failed(self, status, "the data folder cannot be read", NULL);
    self->group.ended = on_ended;
    self->group.context = self;
    status =
        qr_group_open(&self->group, self->os, &self->disk, &self->config, files, &self->arena, &sentence);
    return status == QR_OK ? QR_OK : failed(self, status, "this member cannot start", sentence);
}

/* A log that is damaged, not only torn: true when it was put aside and the member may begin anew. */
static bool put_aside(member *self, qr_node_config *node, const char **sentence)
{
    if (!self->config.repair || self->config.member_count < 2)
        return false;
    qr_log(self->os, QR_LOG_ERROR,
           "the log is damaged: it is put aside, and this member gets everything from the others again",
           "damage", *sentence, "data-dir", self->config.data_dir, "kept-as", "damaged-*", NULL);
    return qr_node_put_aside(node, &self->arena, sentence) == QR_OK;
}

/* In builds with planted bugs (core/bugs.h), and nowhere else, one may be asked for: to see that tests with
 * real processes see it. */
static uint32_t planted_bug(void)
{
    return qr_planted_find(getenv("QUORATE_BUG"));
}

static qr_tree_config tree_of(const member *self)
{
    return (qr_tree_config){.admit_bytes = self->config.quota_bytes, .bug = planted_bug()};
}

/* A checkpoint of the leader's is loaded beside the tree that serves. */
static qr_machine *new_machine(void *context)
{
    qr_tree_config tree = tree_of(context);
    return qr_tree_open(&tree);
}

static void on_ring_stopped(void *context, qr_status status)
{
    const member *self = context;
    qr_log(self->os, QR_LOG_WARN, "the black box cannot be written: nothing more is recorded", "data-dir",
           self->config.data_dir, "error", qr_status_sentence(status), NULL);
}

static void open_ring(member *self)
{
    if (self->config.blackbox_bytes == 0)
        return;
    self->ring = qr_ring_open(&(qr_ring_config){.disk = &self->disk,
                                                .bytes = self->config.blackbox_bytes,
                                                .whole = self->config.blackbox_values,
                                                .stopped = on_ring_stopped,
                                                .context = self});
}

static qr_status open_node(member *self)
{
    const qr_serve_config *config = &self->config;
    uint64_t seed;
    qr_os_random(&seed, sizeof seed);
    qr_node_config node = {
        .cluster = config->cluster,
        .group = 1,
        .self = config->self,
        .incarnation = (uint64_t)qr_os_wall_ms(),
        .seed = seed,
        .heartbeat_ms = config->heartbeat_ms,
        .election_ms = config->election_ms,
        .now_ms = qr_os_now_ms(self->os),
        .wall_ms = qr_os_wall_ms(),
        .members = config->group,
        .engine = config->engine,
        .checkpoint_bytes = config->checkpoint_bytes,
        .scrub_ms = config->scrub_interval_ms,
        .level_max = config->level_max,
        .apply_knows = qr_bin_apply_knows,
        .new_machine = new_machine,
        .bug = planted_bug(),
        .disk = self->disk,
        .network = {.self = self, .send = send_to_peer},
        .box = self->ring != NULL ? qr_ring_sink(self->ring) : NULL,
        .halted = on_halted,
        .role = on_role,
        .level = on_level,
        .wake = on_wake,
        .reconfigured = on_reconfigured,
        .context = self,
    };
    const char *sentence = NULL;
    qr_status status = qr_node_prepare(&node, config->repair, &self->arena, &sentence);
    bool was_opened = status == QR_OK;
    if (was_opened) {
        node.machine = new_machine(self);
        status = qr_node_open(&node, &self->arena, &self->node, &sentence);
    }
    if (status == QR_E_CORRUPT && was_opened && put_aside(self, &node, &sentence)) {
        node.machine = new_machine(self);
        status = qr_node_open(&node, &self->arena, &self->node, &sentence);
    }
    return status == QR_OK ? QR_OK : failed(self, status, "the data folder cannot be recovered", sentence);
}

static bool recorded(void *context, uint32_t file, uint64_t offset,
                     void (*done)(void *owner, qr_status status, qr_slice bytes), void *owner)
{
    const member *self = context;
    if (file < QR_RING_FILES)
        qr_ring_read(self->ring, file, offset, done, owner);
    return file < QR_RING_FILES;
}

static void recorded_end(void *context, void *owner)
{
    qr_ring_read_end(((member *)context)->ring, owner);
}

static void open_door(member *self)
{
    const qr_serve_config *config = &self->config;
    qr_etcd_config door = {
        .node = self->node,
        .cluster = config->cluster,
        .self = config->self,
        .name = config->name,
        .client_url_count = config->advertise_client.count,
        .members = self->group.roster.list,
        .member_count = self->group.roster.count,
        .request_max = config->request_max,
        .txn_ops_max = config->txn_ops_max,
        .watch_progress_ms = config->watch_progress_ms,
        .quota_bytes = config->quota_bytes,
        .election_ms = config->election_ms,
        .wall_ms = wall_ms,
        .process = tell_process,
        .recorded = self->ring != NULL ? recorded : NULL,
        .recorded_end = recorded_end,
        .published = on_published,
        .listed = on_listed,
        .context = self,
    };
    for (size_t i = 0; i < config->advertise_client.count; i++)
        door.client_urls[i] = config->advertise_client.list[i].text;
    self->door = qr_etcd_door_new(&door);
    self->group.node = self->node;
    self->group.door = self->door;
}

static bool is_loopback(const char *host)
{
    return strncmp(host, "127.", 4) == 0 || strcmp(host, "::1") == 0 || strcasecmp(host, "localhost") == 0;
}

/* What these pages tell is no secret of the clients'. */
static qr_status listen_metrics(member *self)
{
    for (size_t i = 0; i < self->config.listen_metrics.count; i++) {
        const qr_serve_url *url = &self->config.listen_metrics.list[i];
        const char *sentence = NULL;
        qr_status status = qr_os_listen(self->os, url->host, url->port, qr_etcd_door_pages(self->door),
                                        &self->arena, &sentence);
        if (status != QR_OK)
            return failed(self, status, "cannot serve metrics", sentence);
    }
    return QR_OK;
}

/* Ports in a given order, of peers when there is no door; whoever listens beyond this machine is told what
 * that means. */
static qr_status listen_urls(member *self, const qr_serve_urls *urls, const qr_stream_door *door)
{
    for (size_t i = 0; i < urls->count; i++) {
        const qr_serve_url *url = &urls->list[i];
        const char *sentence = NULL;
        qr_status status = door ? qr_os_listen(self->os, url->host, url->port, *door, &self->arena, &sentence)
                                : qr_os_peers_listen(self->os, url->host, url->port, &self->arena, &sentence);
        if (status != QR_OK)
            return failed(self, status, door ? "cannot serve clients" : "cannot serve peers", sentence);
        if (!is_loopback(url->host))
            qr_log(self->os, QR_LOG_WARN,
                   door ? "client traffic is neither encrypted nor authenticated: whoever reaches this port "
                          "can read and write everything"
                        : "peer traffic is neither encrypted nor authenticated: whoever reaches this port "
                          "can disturb the cluster",
                   "url", url->text, NULL);
    }
    return QR_OK;
}

/* The doors' ports. */
static qr_status listen_doors(member *self)
{
    qr_stream_door etcd = qr_etcd_door_stream(self->door);
    qr_status status = listen_urls(self, &self->config.listen_client, &etcd);
    if (status == QR_OK && self->zookeeper.door) {
        qr_stream_door zookeeper = qr_zookeeper_door_stream(self->zookeeper.door);
        status = listen_urls(self, &self->config.listen_zookeeper, &zookeeper);
        qr_serve_zookeeper_listen_admin(&self->zookeeper, &self->config, &self->arena);
    }
    return status == QR_OK ? listen_metrics(self) : status;
}

static qr_status start_peers(member *self)
{
    const qr_serve_config *config = &self->config;
    qr_node_status status;
    qr_node_status_of(self->node, &status);
    qr_os_peer peers[QR_ROSTER_MAX];
    size_t count = qr_group_peers(&self->group, peers, &self->arena);
    qr_os_peers_config links = {
        .cluster = config->cluster,
        .group = 1,
        .self = config->self,
        .incarnation = status.incarnation,
        .peers = peers,
        .peer_count = count,
    };
    self->group.peers_started = true;
    return qr_os_peers_start(self->os, &links, &self->network);
}

static void tell_beginning(member *self)
{
    const qr_serve_config *config = &self->config;
    qr_arena *arena = &self->arena;
    qr_log(self->os, QR_LOG_INFO, "starting a member", "version", QR_VERSION, "name", config->name,
           "data-dir", config->data_dir, "cluster-id", hex(arena, config->cluster), "local-member-id",
           hex(arena, config->self), "members", qr_arena_format(arena, "%zu", self->group.roster.count),
           "config-file", qr_flags_text(self->flags, QR_SERVE_CONFIG_FILE), NULL);
    if (self->group.roster.count % 2 == 0)
        qr_log(self->os, QR_LOG_WARN,
               "an even number of members survives no more failures than one member less", NULL);
}

static qr_status start(member *self)
{
    const char *sentence = NULL;
    qr_status status = qr_log_open(self->os, &self->config.log, &self->arena, &sentence);
    if (status != QR_OK) {
        fprintf(stderr, "quorate serve: %s\n", sentence);
        return status;
    }
    status = open_disk(self);
    if (status != QR_OK)
        return status;
    tell_beginning(self);
    status = listen_urls(self, &self->config.listen_peer, NULL);
    if (status == QR_OK) {
        open_ring(self);
        status = open_node(self);
    }
    if (status != QR_OK)
        return status;
    open_door(self);
    qr_serve_zookeeper_open(&self->zookeeper, self->os, self->node, &self->config, planted_bug(),
                            &self->arena);
    self->backups = qr_serve_backups_new(self->os, &self->config);
    status = listen_doors(self);
    return status == QR_OK ? start_peers(self) : status;
}

static int serve(member *self, const qr_flags *flags)
{
    self->flags = flags;
    const qr_os_handlers handlers = {.turn = turn,
                                     .wake_ms = wake_ms,
                                     .on_message = on_message,
                                     .on_link = on_link,
                                     .on_signal = on_signal,
                                     .on_removed = on_removed,
                                     .was_removed = was_removed,
                                     .who = who};
    self->os = qr_os_new(&handlers, self);
    qr_status status = start(self);
    if (status == QR_OK) {
        for (size_t i = 0; i < flags->warning_count; i++)
            qr_log(self->os, QR_LOG_WARN, "a setting has no effect", "why", flags->warnings[i], NULL);
        qr_os_run(self->os);
        if (self->exit_status == EXIT_OK)
            qr_log(self->os, QR_LOG_INFO, "stopped", "name", self->config.name, NULL);
    } else {
        self->exit_status = EXIT_FAILED;
    }
    self->handing_over = false;
    if (self->ring != NULL)
        qr_ring_hold(self->ring);
    if (self->node != NULL)
        qr_node_free(self->node);
    qr_ring_close(self->ring);
    qr_etcd_door_free(self->door);
    qr_zookeeper_door_free(self->zookeeper.door);
    qr_os_free(self->os);
    qr_group_close(&self->group);
    qr_serve_backups_free(self->backups);
    return self->exit_status;
}

static void print_help(void)
{
    qr_buffer page;
    qr_buffer_init(&page);
    qr_serve_help(&page);
    fwrite(page.data, 1, page.size, stdout);
    qr_buffer_free(&page);
}

int qr_serve_main(int argc, char **argv)
{
    extern char **environ;
    member *self = qr_alloc_zero(1, sizeof *self);
    qr_arena_init(&self->arena);
    qr_flags flags = qr_serve_flags();
    const char *sentence = NULL;
    int exit_status = EXIT_OK;
    qr_status status = qr_serve_parse(&flags, argc, argv, environ, &self->arena, &sentence);
    if (status == QR_OK && flags.help) {
        print_help();
    } else if (status == QR_OK && flags.version) {
        printf("quorate Version: %s\netcd Version: %s\n", QR_VERSION, QR_ETCD_VERSION);
    } else {
        if (status == QR_OK) {
            status = qr_serve_configure(&flags, &self->arena, &self->config, &sentence);
            sentence = status == QR_OK ? NULL : qr_flags_place(&flags, sentence, &self->arena);
        }
        if (status == QR_OK) {
            exit_status = serve(self, &flags);
        } else {
            fprintf(stderr, "quorate serve: %s\nTry 'quorate serve --help'.\n", sentence);
            exit_status = EXIT_USAGE;
        }
    }
    qr_arena_free(&self->arena);
    qr_free(self);
    return exit_status;
}

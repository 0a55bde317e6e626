#include "bin/serve_zookeeper.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/utsname.h>
#include <unistd.h>

static void random_bytes(void *context, uint8_t *bytes, size_t size)
{
    qr_os_random(bytes, size);
}

static int64_t wall_ms(void *context)
{
    return qr_os_wall_ms();
}

static void count_files(void *context, uint64_t *open, uint64_t *most)
{
    const qr_serve_zookeeper *self = context;
    qr_os_process os;
    qr_os_process_of(self->os, &os);
    *open = os.open_files;
    *most = os.open_files_max;
}

static void on_quota_passed(void *context, const char *path, const qr_zookeeper_usage *usage)
{
    const qr_serve_zookeeper *self = context;
    char nodes[24], bytes[24];
    snprintf(nodes, sizeof nodes, "%" PRId64, usage->count);
    snprintf(bytes, sizeof bytes, "%" PRId64, usage->bytes);
    qr_log(self->os, QR_LOG_WARN, "there is more below a path than its quota allows", "path", path, "nodes",
           nodes, "bytes", bytes, NULL);
}

/* By the names that Java has for them. */
static size_t describe_environment(qr_zookeeper_fact facts[QR_SERVE_FACTS_MAX], qr_arena *arena)
{
    struct utsname system;
    char folder[4096], host[256] = "";
    size_t count = 0;
    const char *user = getenv("USER"), *home = getenv("HOME");
    if (gethostname(host, sizeof host - 1) == 0)
        facts[count++] = (qr_zookeeper_fact){"host.name", qr_arena_format(arena, "%s", host)};
    if (uname(&system) == 0) {
        facts[count++] = (qr_zookeeper_fact){"os.name", qr_arena_format(arena, "%s", system.sysname)};
        facts[count++] = (qr_zookeeper_fact){"os.arch", qr_arena_format(arena, "%s", system.machine)};
        facts[count++] = (qr_zookeeper_fact){"os.version", qr_arena_format(arena, "%s", system.release)};
    }
    if (user != NULL)
        facts[count++] = (qr_zookeeper_fact){"user.name", user};
    if (home != NULL)
        facts[count++] = (qr_zookeeper_fact){"user.home", home};
    if (getcwd(folder, sizeof folder) != NULL)
        facts[count++] = (qr_zookeeper_fact){"user.dir", qr_arena_format(arena, "%s", folder)};
    QR_ASSERT(count <= QR_SERVE_FACTS_MAX);
    return count;
}

void qr_serve_zookeeper_open(qr_serve_zookeeper *self, qr_os *os, qr_node *node,
                             const qr_serve_config *config, uint32_t bug, qr_arena *arena)
{
    if (config->listen_zookeeper.count == 0)
        return;
    self->os = os;
    const qr_serve_url *clients = &config->listen_zookeeper.list[0];
    self->door = qr_zookeeper_door_new(
        &(qr_zookeeper_config){.node = node,
                               .root = qr_slice_text(config->zookeeper_root),
                               .server = (uint8_t)(config->self % 127 + 1),
                               .tick_ms = config->zookeeper_tick_ms,
                               .ttl_nodes = config->zookeeper_ttl_nodes,
                               .session_min_ms = config->zookeeper_session_min_ms,
                               .session_max_ms = config->zookeeper_session_max_ms,
                               .connections_of_host_max = config->zookeeper_of_host,
                               .packet_max = config->zookeeper_packet_max,
                               .super_digest = qr_slice_text(config->zookeeper_super),
                               .linearizable_reads = config->zookeeper_linearizable,
                               .read_only_mode = config->zookeeper_read_only,
                               .reconfig = config->zookeeper_reconfig,
                               .enforce_quota = config->zookeeper_enforce_quota,
                               .quota_passed = on_quota_passed,
                               .reap_ms = config->zookeeper_reap_ms,
                               .words = qr_zookeeper_words_allowed(qr_slice_text(config->zookeeper_words)),
                               .now_ms = qr_os_now_ms(os),
                               .data_dir = config->data_dir,
                               .client_host = clients->host,
                               .client_port = clients->port,
                               .election_port = config->zookeeper_election_port,
                               .environment = self->facts,
                               .environment_count = describe_environment(self->facts, arena),
                               .files = count_files,
                               .random = random_bytes,
                               .wall_ms = wall_ms,
                               .context = self,
                               .bug = bug});
}

void qr_serve_zookeeper_listen_admin(const qr_serve_zookeeper *self, const qr_serve_config *config,
                                     qr_arena *arena)
{
    for (size_t i = 0; self->door != NULL && i < config->listen_zookeeper_admin.count; i++) {
        const qr_serve_url *url = &config->listen_zookeeper_admin.list[i];
        const char *sentence = NULL;
        if (qr_os_listen(self->os, url->host, url->port, qr_zookeeper_door_admin(self->door), arena,
                         &sentence) != QR_OK)
            qr_log(self->os, QR_LOG_WARN, "the AdminServer for clients of ZooKeeper is not served", "url",
                   url->text, "why", sentence, NULL);
    }
}

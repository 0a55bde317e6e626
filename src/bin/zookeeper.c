/* zookeeper: one member, described by a zoo.cfg. Reads the files, and hands serve the flags that say the
 * same. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bin/bin.h"
#include "bin/config_file.h"
#include "bin/join.h"
#include "door/zookeeper/conf.h"

enum { EXIT_USAGE = 2, FLAGS_MAX = 32, ASK_MS = 500, PAUSE_MS = 500 };

static const char help[] =
    "NAME\n"
    "    quorate zookeeper - run one member, described by ZooKeeper's configuration file\n\n"
    "SYNOPSIS\n"
    "    quorate zookeeper [-Dzookeeper.NAME=VALUE]... CONF\n\n"
    "DESCRIPTION\n"
    "    Reads a zoo.cfg, its dynamicConfigFile and dataDir/myid, and runs what 'quorate serve' would\n"
    "    with the same meaning, in the foreground until SIGTERM. The member is called by its number,\n"
    "    its data is in dataDir/quorate. Members speak on the first port of server.N, the second one\n"
    "    (elections) is not used. Without server.N, or with one, it is a cluster of one. A server\n"
    "    without data whose ensemble runs already joins it, and waits until it is let in (reconfig, or\n"
    "    'quorate member add'). -Dzookeeper.NAME=VALUE is as a line NAME=VALUE at the end of CONF, and so\n"
    "    is -Djute.maxbuffer=BYTES; other -D are taken and left.\n"
    "\n"
    "    Taken: clientPort, clientPortAddress, dataDir, dynamicConfigFile, server.N, tickTime,\n"
    "    minSessionTimeout, maxSessionTimeout, maxClientCnxns, 4lw.commands.whitelist,\n"
    "    extendedTypesEnabled, reconfigEnabled, enforceQuota, readonlymode.enabled, jute.maxbuffer,\n"
    "    admin.enableServer, admin.serverPort, admin.serverAddress,\n"
    "    DigestAuthenticationProvider.superDigest. A name that is not known, or has no meaning here, is\n"
    "    a warning. Refused is what asks for encryption or authentication between members.\n"
    "\n"
    "    The AdminServer is on unless admin.enableServer=false, at port 8080; a port that is taken is a\n"
    "    warning.\n"
    "\n"
    "    etcd's API and the pages for people are served too, on a free port of 127.0.0.1 that the log\n"
    "    names.\n"
    "\n"
    "EXIT STATUS\n"
    "    As of quorate serve; 2 when CONF is wrong, too.\n";

typedef struct launch {
    qr_arena arena;
    qr_zookeeper_conf conf;
    uint32_t id;
    char *flags[FLAGS_MAX + 1];
    int flag_count;
    const char *sentence; /* what is wrong */
} launch;

static bool fail(launch *self, const char *file, const char *sentence)
{
    self->sentence = qr_arena_format(&self->arena, "%s: %s", file, sentence);
    return false;
}

/* ---- files ---- */

static bool read_conf(launch *self, const char *file, bool dynamic)
{
    qr_slice text;
    if (qr_config_read(file, &self->arena, &text, &self->sentence) != QR_OK)
        return false;
    const char *sentence;
    return qr_zookeeper_conf_read(&self->conf, text, dynamic, &self->arena, &sentence) == QR_OK ||
           fail(self, file, sentence);
}

static bool read_myid(launch *self, const char *conf_file)
{
    const char *file = qr_arena_format(&self->arena, "%s/myid", self->conf.data_dir);
    qr_slice text;
    if (qr_config_read(file, &self->arena, &text, &self->sentence) != QR_OK)
        return false;
    if (!qr_zookeeper_conf_myid(text, &self->id))
        return fail(self, file, "it is not a number from 1 to 254");
    if (qr_zookeeper_conf_server(&self->conf, self->id) == NULL)
        return fail(self, conf_file,
                    qr_arena_format(&self->arena, "there is no server.%u, which %s is", self->id, file));
    return true;
}

static bool is_standalone(const launch *self)
{
    return self->conf.server_count <= 1;
}

/* As ZooKeeper does for a standalone server; an ensemble has its myid there. */
static bool make_data_dir(launch *self)
{
    if (mkdir(self->conf.data_dir, 0700) == 0 || errno == EEXIST)
        return true;
    return fail(self, self->conf.data_dir, strerror(errno));
}

static bool read_all(launch *self, const char *file)
{
    const qr_zookeeper_conf *conf = &self->conf;
    if (!read_conf(self, file, false))
        return false;
    if (conf->dynamic_file != NULL && !read_conf(self, conf->dynamic_file, true))
        return false;
    if (conf->data_dir == NULL)
        return fail(self, file, "dataDir is missing");
    size_t participants = 0;
    for (size_t i = 0; i < conf->server_count; i++)
        participants += !conf->servers[i].observer;
    if (conf->server_count > 0 && participants == 0)
        return fail(self, file, "all servers are observers");
    self->id = 1;
    return is_standalone(self) ? make_data_dir(self) : read_myid(self, file);
}

/* ---- flags ---- */

static void add(launch *self, const char *name, const char *value)
{
    QR_ASSERT(self->flag_count < FLAGS_MAX);
    self->flags[self->flag_count++] = qr_arena_format(&self->arena, "--%s=%s", name, value);
}

/* 0 is what serve takes without the flag, too. */
static void add_number(launch *self, const char *name, uint32_t value)
{
    if (value != 0)
        add(self, name, qr_arena_format(&self->arena, "%u", value));
}

static const char *at(launch *self, const char *before, const char *host, unsigned port)
{
    bool v6 = strchr(host, ':') != NULL;
    return qr_arena_format(&self->arena, "%s%s%s%s:%u", before, v6 ? "[" : "", host, v6 ? "]" : "", port);
}

/* URLs on loopback that nobody uses now, for what serve cannot do without and a zoo.cfg does not name. */
static bool free_urls(launch *self, const char **urls, size_t count)
{
    int held[2];
    QR_ASSERT(count <= sizeof held / sizeof *held);
    bool found = true;
    for (size_t i = 0; i < count; i++) {
        struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t size = sizeof address;
        held[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        found = found && held[i] >= 0 && bind(held[i], (struct sockaddr *)&address, size) == 0 &&
                getsockname(held[i], (struct sockaddr *)&address, &size) == 0;
        urls[i] = at(self, "http://", "127.0.0.1", ntohs(address.sin_port));
    }
    for (size_t i = 0; i < count; i++)
        if (held[i] >= 0)
            close(held[i]);
    return found || fail(self, "127.0.0.1", "no port is free");
}

/* ---- a cluster that runs already ---- */

static const char *peer_url(launch *self, const qr_zookeeper_server *server)
{
    return at(self, "http://", server->host, server->peer_port);
}

typedef enum cluster { NOBODY, STRANGERS, OURS } cluster;

/* Whether one of the other servers answers, and whether this server is a member of its cluster. */
static cluster ask_around(launch *self)
{
    const char *own = peer_url(self, qr_zookeeper_conf_server(&self->conf, self->id)), *sentence;
    cluster best = NOBODY;
    qr_arena arena;
    qr_arena_init(&arena);
    for (size_t i = 0; i < self->conf.server_count && best != OURS; i++) {
        qr_roster roster;
        qr_roster_init(&roster);
        if (self->conf.servers[i].id != self->id &&
            qr_join_ask(peer_url(self, &self->conf.servers[i]), ASK_MS, &roster, &arena, &sentence) == QR_OK)
            best = qr_join_self(&roster, &own, 1) != NULL ? OURS : STRANGERS;
        qr_roster_free(&roster);
    }
    qr_arena_free(&arena);
    return best;
}

/* A server without data whose ensemble runs already has joined it, or is about to: it waits until it is let
 * in, as ZooKeeper's would. If nobody answers it is one of a new ensemble, unless it is an observer: these
 * join later. */
static bool joins(launch *self)
{
    const char *folder = qr_arena_format(&self->arena, "%s/quorate/members", self->conf.data_dir);
    bool observes = qr_zookeeper_conf_server(&self->conf, self->id)->observer;
    if (access(folder, F_OK) == 0)
        return false;
    for (bool told = false;; told = true) {
        cluster found = ask_around(self);
        if (found == OURS || (found == NOBODY && !observes))
            return found == OURS;
        if (!told)
            fprintf(stderr,
                    "quorate zookeeper: waiting until server.%u has joined the others, by 'reconfig' or "
                    "'quorate member add'\n",
                    self->id);
        usleep(PAUSE_MS * 1000);
    }
}

static void add_ensemble(launch *self)
{
    const qr_zookeeper_conf *conf = &self->conf;
    const char *all = "";
    for (size_t i = 0; i < conf->server_count; i++) {
        const qr_zookeeper_server *server = &conf->servers[i];
        const char *url = peer_url(self, server);
        if (server->observer && server->id != self->id)
            continue; /* not from the beginning on */
        all = qr_arena_format(&self->arena, "%s%s%u=%s", all, *all ? "," : "", server->id, url);
        if (server->id != self->id)
            continue;
        add(self, "listen-peer-urls", url);
        add(self, "initial-advertise-peer-urls", url);
        add_number(self, "zookeeper-election-port", server->election_port);
    }
    add(self, "initial-cluster", all);
    if (joins(self))
        add(self, "initial-cluster-state", "existing");
}

static bool add_client(launch *self, const char *file)
{
    const qr_zookeeper_conf *conf = &self->conf;
    const qr_zookeeper_server *server = qr_zookeeper_conf_server(conf, self->id);
    const char *host = conf->client_host;
    unsigned port = conf->client_port;
    if (server != NULL && server->client_port != 0) {
        host = server->client_host;
        port = server->client_port;
    }
    if (port == 0)
        return fail(self, file, "clientPort is missing");
    add(self, "zookeeper-listen-urls", at(self, "http://", host != NULL ? host : "0.0.0.0", port));
    if (conf->admin)
        add(self, "zookeeper-admin-listen-urls",
            at(self, "http://", conf->admin_host != NULL ? conf->admin_host : "0.0.0.0", conf->admin_port));
    add(self, "zookeeper-tick-ms", qr_arena_format(&self->arena, "%u", conf->tick_ms));
    if (conf->words != NULL || conf->read_only)
        add(self, "zookeeper-words", conf->words != NULL ? conf->words : "srvr,isro");
    if (conf->read_only)
        add(self, "zookeeper-read-only", "true");
    if (conf->extended_types)
        add(self, "zookeeper-ttl-nodes", "true");
    if (conf->reconfig)
        add(self, "zookeeper-reconfig", "true");
    if (conf->enforce_quota)
        add(self, "zookeeper-enforce-quota", "true");
    if (conf->super_digest != NULL)
        add(self, "zookeeper-super-digest", conf->super_digest);
    add_number(self, "zookeeper-session-min-ms", conf->session_min_ms);
    add_number(self, "zookeeper-session-max-ms", conf->session_max_ms);
    add_number(self, "zookeeper-connections-of-host", conf->connections_max);
    add_number(self, "zookeeper-max-packet-bytes", conf->packet_max);
    return true;
}

static bool say_flags(launch *self, const char *file)
{
    const char *urls[2];
    if (!free_urls(self, urls, 2))
        return false;
    self->flags[self->flag_count++] = (char[]){"serve"};
    add(self, "name", qr_arena_format(&self->arena, "%u", self->id));
    add(self, "data-dir", qr_arena_format(&self->arena, "%s/quorate", self->conf.data_dir));
    add(self, "initial-cluster-token", "zookeeper");
    add(self, "listen-client-urls", urls[0]);
    add(self, "advertise-client-urls", urls[0]);
    /* A member alone is known by its usual peer URL, which stays the same over restarts; nobody dials it. */
    if (is_standalone(self))
        add(self, "listen-peer-urls", urls[1]);
    else
        add_ensemble(self);
    return add_client(self, file);
}

/* ---- the verb ---- */

/* -Dzookeeper.NAME=VALUE, or what ZooKeeper calls so without a prefix; another -D is for Java. */
static bool set_property(launch *self, const char *argument)
{
    static const char *const prefixes[] = {"-Dzookeeper.", "-Djute.maxbuffer=", "-Dreadonlymode.enabled="};
    size_t known = 0;
    while (known < 3 && strncmp(argument, prefixes[known], strlen(prefixes[known])) != 0)
        known++;
    if (known == 3)
        return true;
    const char *name = argument + strlen(known == 0 ? prefixes[0] : "-D"), *equals = strchr(name, '=');
    size_t size = equals != NULL ? (size_t)(equals - name) : strlen(name);
    const char *sentence;
    return qr_zookeeper_conf_set(&self->conf, qr_arena_text(&self->arena, qr_slice_of(name, size)),
                                 equals != NULL ? equals + 1 : "", &self->arena, &sentence) == QR_OK ||
           fail(self, "-D", sentence);
}

static bool understand(launch *self, int argc, char **argv)
{
    const char *file = argv[argc - 1];
    if (argc < 2 || file[0] == '-') {
        self->sentence = "the configuration file is missing";
        return false;
    }
    for (int i = 1; i < argc - 1; i++)
        if (strncmp(argv[i], "-D", 2) != 0)
            return fail(self, argv[i], "is neither -DNAME=VALUE nor the last argument");
    if (!read_all(self, file))
        return false;
    for (int i = 1; i < argc - 1; i++)
        if (!set_property(self, argv[i]))
            return false;
    return say_flags(self, file);
}

int qr_zookeeper_main(int argc, char **argv)
{
    if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        fputs(help, stdout);
        return 0;
    }
    launch *self = qr_alloc_zero(1, sizeof *self);
    qr_arena_init(&self->arena);
    self->conf = qr_zookeeper_conf_usual();
    int exit_status = EXIT_USAGE;
    bool understood = understand(self, argc, argv);
    for (size_t i = 0; i < self->conf.note_count; i++)
        fprintf(stderr, "quorate zookeeper: %s\n", self->conf.notes[i]);
    if (understood)
        exit_status = qr_serve_main(self->flag_count, self->flags);
    else
        fprintf(stderr, "quorate zookeeper: %s\nTry 'quorate zookeeper --help'.\n", self->sentence);
    qr_arena_free(&self->arena);
    qr_free(self);
    return exit_status;
}

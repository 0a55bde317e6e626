#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "bin/engines.h"
#include "bin/serve.h"
#include "box/ring.h"
#include "door/zookeeper/conf.h"
#include "door/zookeeper/path.h"

#define QUOTA_USUAL (2ull * 1024 * 1024 * 1024) /* what etcd's 0 means */

enum {
    DAY_MS = 86400000,
    ELECTION_MAX_MS = 50000,
    ELECTION_HEARTBEATS = 5,
    REQUEST_MAX = 512 * 1024 * 1024,
    BACKUP_TIME_MAX = 100000, /* of any unit */
    WATCH_PROGRESS_MIN_MS = 100,
    BACKUP_KEEP_MAX = 1000,
    BLACKBOX_BYTES_MAX = 1024 * 1024 * 1024,
    ROOT_MAX = 1024, /* bytes, which leaves room for what stands below it */
};

static qr_status invalid(const char **sentence, const char *text)
{
    *sentence = text;
    return QR_E_INVALID;
}

/* ---- URLs ---- */

static qr_status parse_one_url(const char *text, qr_serve_url *url, qr_arena *arena, const char **sentence)
{
    qr_status status = qr_os_parse_url(text, arena, &url->host, &url->port, sentence);
    if (status != QR_OK)
        return status;
    size_t size = strlen(text);
    while (size > 0 && text[size - 1] == '/')
        size--;
    url->text = qr_arena_text(arena, qr_slice_of(text, size));
    return QR_OK;
}

static qr_status parse_urls(const qr_flags *flags, qr_serve_flag flag, qr_serve_urls *urls, qr_arena *arena,
                            const char **sentence)
{
    const char *name = flags->table[flag].name;
    char *rest = qr_arena_format(arena, "%s", qr_flags_text(flags, flag));
    urls->count = 0;
    for (char *text; (text = strsep(&rest, ",")) != NULL;) {
        if (*text == 0)
            continue;
        if (urls->count == QR_ETCD_URLS_MAX)
            return invalid(sentence,
                           qr_arena_format(arena, "--%s has more than %d URLs", name, QR_ETCD_URLS_MAX));
        qr_status status = parse_one_url(text, &urls->list[urls->count], arena, sentence);
        if (status != QR_OK) {
            *sentence = qr_arena_format(arena, "--%s: %s", name, *sentence);
            return status;
        }
        urls->count++;
    }
    if (urls->count == 0 && flags->table[flag].usual[0] != 0)
        return invalid(sentence, qr_arena_format(arena, "--%s is empty", name));
    return QR_OK;
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The URLs in order, with commas between them. */
static char *joined(const char *const *urls, size_t count, qr_arena *arena)
{
    const char *sorted[QR_ETCD_URLS_MAX];
    QR_ASSERT(count <= QR_ETCD_URLS_MAX);
    memcpy(sorted, urls, count * sizeof *urls);
    qsort(sorted, count, sizeof *sorted, compare_texts);
    char *text = qr_arena_format(arena, "%s", "");
    for (size_t i = 0; i < count; i++)
        text = qr_arena_format(arena, "%s%s%s", text, i ? "," : "", sorted[i]);
    return text;
}

static char *joined_urls(const qr_serve_urls *urls, qr_arena *arena)
{
    const char *texts[QR_ETCD_URLS_MAX];
    for (size_t i = 0; i < urls->count; i++)
        texts[i] = urls->list[i].text;
    return joined(texts, urls->count, arena);
}

/* ---- members ---- */

static qr_etcd_member *member_called(qr_serve_config *config, const char *name)
{
    for (size_t i = 0; i < config->member_count; i++)
        if (strcmp(config->members[i].name, name) == 0)
            return &config->members[i];
    return NULL;
}

/* One "name=url"; a name may come again with another URL of the same member. */
static qr_status add_member_url(qr_serve_config *config, char *entry, qr_arena *arena, const char **sentence)
{
    char *equals = strchr(entry, '=');
    /* etcdctl prints a member that has not started yet without its name. */
    bool nameless = equals == entry && !config->existing;
    if (equals == NULL || nameless || equals[1] == 0)
        return invalid(
            sentence, qr_arena_format(arena, "--initial-cluster: \"%s\" is not of the form name=URL", entry));
    *equals = 0;
    qr_serve_url url;
    qr_status status = parse_one_url(equals + 1, &url, arena, sentence);
    if (status != QR_OK) {
        *sentence = qr_arena_format(arena, "--initial-cluster: %s", *sentence);
        return status;
    }
    for (size_t i = 0; i < config->member_count; i++)
        for (size_t j = 0; j < config->members[i].peer_url_count; j++)
            if (strcmp(config->members[i].peer_urls[j], url.text) == 0)
                return invalid(sentence,
                               qr_arena_format(arena, "--initial-cluster has the URL %s twice", url.text));
    qr_etcd_member *member = member_called(config, entry);
    if (member == NULL) {
        if (config->member_count == QR_MEMBERS_MAX)
            return invalid(sentence, qr_arena_format(arena, "--initial-cluster has more than %d members",
                                                     QR_MEMBERS_MAX));
        config->peer_urls[config->member_count] = url;
        member = &config->members[config->member_count++];
        *member = (qr_etcd_member){.name = entry};
    }
    if (member->peer_url_count == QR_ETCD_URLS_MAX)
        return invalid(sentence,
                       qr_arena_format(arena, "--initial-cluster has more than %d URLs for member %s",
                                       QR_ETCD_URLS_MAX, member->name));
    member->peer_urls[member->peer_url_count++] = url.text;
    return QR_OK;
}

static qr_status parse_members(const qr_flags *flags, qr_serve_config *config, qr_arena *arena,
                               const char **sentence)
{
    char *rest = qr_arena_format(arena, "%s", qr_flags_text(flags, QR_SERVE_CLUSTER));
    if (*rest == 0 && qr_flags_set(flags, QR_SERVE_CLUSTER))
        return invalid(sentence, "--initial-cluster is empty");
    if (*rest == 0) { /* a cluster of one */
        for (size_t i = 0; i < config->advertise_peer.count; i++)
            rest = qr_arena_format(arena, "%s%s%s=%s", rest, i ? "," : "", config->name,
                                   config->advertise_peer.list[i].text);
    }
    for (char *entry; (entry = strsep(&rest, ",")) != NULL;) {
        qr_status status = add_member_url(config, entry, arena, sentence);
        if (status != QR_OK)
            return status;
    }
    const qr_etcd_member *self = member_called(config, config->name);
    if (self == NULL)
        return invalid(sentence,
                       qr_arena_format(arena,
                                       "couldn't find local name \"%s\" in the initial cluster configuration "
                                       "(--initial-cluster)",
                                       config->name));
    const char *wanted = joined(self->peer_urls, self->peer_url_count, arena);
    const char *given = joined_urls(&config->advertise_peer, arena);
    if (strcmp(wanted, given) != 0)
        return invalid(sentence,
                       qr_arena_format(arena,
                                       "--initial-cluster has %s=%s but --initial-advertise-peer-urls is %s",
                                       config->name, wanted, given));
    return QR_OK;
}

/* Ids from names: the same on every member, so a static cluster needs no exchange before it starts. */
static qr_status identify(qr_serve_config *config, qr_arena *arena, const char **sentence)
{
    qr_slice token = qr_slice_text(config->token);
    config->group = (qr_members){0};
    for (size_t i = 0; i < config->member_count; i++) {
        qr_etcd_member *member = &config->members[i];
        member->id =
            qr_node_member_id(qr_slice_text(joined(member->peer_urls, member->peer_url_count, arena)), token);
        qr_status status =
            qr_members_add(&config->group, (qr_member){.id = member->id, .role = QR_ROLE_VOTER});
        if (status != QR_OK)
            return invalid(sentence, qr_arena_format(arena,
                                                     "--initial-cluster: member %s has the id %" PRIx64
                                                     " of another one",
                                                     member->name, member->id));
        if (strcmp(member->name, config->name) == 0)
            config->self = member->id;
    }
    config->cluster = qr_node_cluster_id(&config->group, token);
    QR_ASSERT(config->self != 0);
    return QR_OK;
}

/* ---- numbers and words ---- */

static qr_status bounded(const qr_flags *flags, qr_serve_flag flag, int64_t least, int64_t most,
                         qr_arena *arena, const char **sentence)
{
    int64_t value = qr_flags_number(flags, flag);
    if (value >= least && value <= most)
        return QR_OK;
    return invalid(sentence,
                   qr_arena_format(arena, "--%s is %" PRId64 "; it must be from %" PRId64 " to %" PRId64,
                                   flags->table[flag].name, value, least, most));
}

static qr_status configure_numbers(const qr_flags *flags, qr_serve_config *config, qr_arena *arena,
                                   const char **sentence)
{
    static const struct {
        qr_serve_flag flag;
        int64_t least, most;
    } bounds[] = {
        {QR_SERVE_HEARTBEAT, 1, ELECTION_MAX_MS},
        {QR_SERVE_ELECTION, 1, INT32_MAX},
        {QR_SERVE_SNAPSHOT_COUNT, 0, INT64_MAX},
        {QR_SERVE_REQUEST_MAX, 1, REQUEST_MAX},
        {QR_SERVE_TXN_OPS, 1, INT32_MAX},
        {QR_SERVE_QUOTA, INT64_MIN, INT64_MAX},
        {QR_SERVE_CHECKPOINT_BYTES, 4096, INT64_MAX},
        {QR_SERVE_ZOOKEEPER_TICK, 100, 60000},
        {QR_SERVE_ZOOKEEPER_REAP, 100, DAY_MS},
        {QR_SERVE_ZOOKEEPER_SESSION_MIN, 0, DAY_MS},
        {QR_SERVE_ZOOKEEPER_SESSION_MAX, 0, DAY_MS},
        {QR_SERVE_ZOOKEEPER_OF_HOST, 0, 1000000},
        {QR_SERVE_ZOOKEEPER_PACKET, 1, QR_ZOOKEEPER_PACKET_MAX},
    };
    for (size_t i = 0; i < sizeof bounds / sizeof *bounds; i++) {
        qr_status status = bounded(flags, bounds[i].flag, bounds[i].least, bounds[i].most, arena, sentence);
        if (status != QR_OK)
            return status;
    }
    config->heartbeat_ms = (uint32_t)qr_flags_number(flags, QR_SERVE_HEARTBEAT);
    config->election_ms = (uint32_t)qr_flags_number(flags, QR_SERVE_ELECTION);
    if (config->election_ms < ELECTION_HEARTBEATS * config->heartbeat_ms)
        return invalid(sentence, qr_arena_format(arena,
                                                 "--election-timeout[%ums] should be at least as 5 times as "
                                                 "--heartbeat-interval[%ums]",
                                                 config->election_ms, config->heartbeat_ms));
    if (config->election_ms > ELECTION_MAX_MS)
        return invalid(
            sentence,
            qr_arena_format(arena, "--election-timeout[%ums] is too long, and should be set less than %dms",
                            config->election_ms, ELECTION_MAX_MS));
    config->request_max = (uint32_t)qr_flags_number(flags, QR_SERVE_REQUEST_MAX);
    config->txn_ops_max = (uint32_t)qr_flags_number(flags, QR_SERVE_TXN_OPS);
    config->checkpoint_bytes = (uint64_t)qr_flags_number(flags, QR_SERVE_CHECKPOINT_BYTES);
    int64_t quota = qr_flags_number(flags, QR_SERVE_QUOTA);
    config->quota_bytes = quota < 0 ? 0 : quota == 0 ? QUOTA_USUAL : (uint64_t)quota;
    return QR_OK;
}

static qr_status configure_log(const qr_flags *flags, qr_log_config *log, qr_arena *arena,
                               const char **sentence)
{
    static const struct {
        const char *name;
        qr_log_level level;
    } levels[] = {{"debug", QR_LOG_DEBUG}, {"info", QR_LOG_INFO},   {"warn", QR_LOG_WARN},
                  {"error", QR_LOG_ERROR}, {"panic", QR_LOG_ERROR}, {"fatal", QR_LOG_ERROR},
                  {"dpanic", QR_LOG_ERROR}};
    const char *level = qr_flags_text(flags, QR_SERVE_LOG_LEVEL);
    size_t at = 0;
    while (at < sizeof levels / sizeof *levels && strcmp(levels[at].name, level) != 0)
        at++;
    if (at == sizeof levels / sizeof *levels)
        return invalid(
            sentence, qr_arena_format(arena, "--log-level is debug, info, warn or error, not \"%s\"", level));
    const char *format = qr_flags_text(flags, QR_SERVE_LOG_FORMAT);
    if (strcmp(format, "json") != 0 && strcmp(format, "console") != 0 && strcmp(format, "logfmt") != 0)
        return invalid(sentence,
                       qr_arena_format(arena, "--log-format is json or console, not \"%s\"", format));
    const char *logger = qr_flags_text(flags, QR_SERVE_LOGGER);
    if (strcmp(logger, "zap") != 0 && strcmp(logger, "capnslog") != 0)
        return invalid(sentence, qr_arena_format(arena, "--logger is zap (or capnslog), not \"%s\"", logger));
    const char *outputs = qr_flags_text(flags, QR_SERVE_LOG_OUTPUTS);
    if (strstr(outputs, "systemd/journal") != NULL)
        return invalid(
            sentence,
            "--log-outputs: systemd/journal is not there; under systemd, stderr reaches the journal");
    *log =
        (qr_log_config){.level = levels[at].level, .json = strcmp(format, "json") == 0, .outputs = outputs};
    return QR_OK;
}

static qr_status configure_state(const qr_flags *flags, qr_serve_config *config, qr_arena *arena,
                                 const char **sentence)
{
    config->engine = qr_bin_engine(qr_flags_text(flags, QR_SERVE_ENGINE));
    if (config->engine == NULL)
        return invalid(sentence, qr_arena_format(arena, "--engine is raft or paxos, not \"%s\"",
                                                 qr_flags_text(flags, QR_SERVE_ENGINE)));
    const char *repair = qr_flags_text(flags, QR_SERVE_REPAIR);
    config->repair = strcmp(repair, "on") == 0;
    if (!config->repair && strcmp(repair, "off") != 0)
        return invalid(sentence, qr_arena_format(arena, "--repair is on or off, not \"%s\"", repair));
    const char *state = qr_flags_text(flags, QR_SERVE_STATE);
    config->existing = strcmp(state, "existing") == 0;
    if (!config->existing && strcmp(state, "new") != 0)
        return invalid(sentence, qr_arena_format(
                                     arena, "--initial-cluster-state is new or existing, not \"%s\"", state));
    return QR_OK;
}

/* "500ms", "90s", "30m", "6h". */
static bool parse_time(const char *text, uint64_t *milliseconds)
{
    static const struct {
        const char *unit;
        uint64_t factor;
    } units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}};
    char *end;
    unsigned long number = strtoul(text, &end, 10);
    if (end == text || text[0] == '-' || number == 0 || number > BACKUP_TIME_MAX)
        return false;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (strcmp(end, units[i].unit) == 0) {
            *milliseconds = number * units[i].factor;
            return true;
        }
    return false;
}

static qr_status configure_scrub(const qr_flags *flags, qr_serve_config *config, qr_arena *arena,
                                 const char **sentence)
{
    const char *interval = qr_flags_text(flags, QR_SERVE_SCRUB_INTERVAL);
    config->scrub_interval_ms = 0;
    if (strcmp(interval, "0") == 0 || parse_time(interval, &config->scrub_interval_ms))
        return QR_OK;
    return invalid(sentence,
                   qr_arena_format(arena,
                                   "--scrub-interval takes 0 or a time such as 90s, 30m or 6h, not \"%s\"",
                                   interval));
}

static qr_status configure_watches(const qr_flags *flags, qr_serve_config *config, qr_arena *arena,
                                   const char **sentence)
{
    const char *interval = qr_flags_text(flags, QR_SERVE_WATCH_PROGRESS);
    if (parse_time(interval, &config->watch_progress_ms) &&
        config->watch_progress_ms >= WATCH_PROGRESS_MIN_MS)
        return QR_OK;
    return invalid(sentence, qr_arena_format(arena,
                                             "--watch-progress-notify-interval takes a time such as 500ms, "
                                             "30s or 10m, at least %dms, not \"%s\"",
                                             WATCH_PROGRESS_MIN_MS, interval));
}

static qr_status configure_level(const qr_flags *flags, qr_serve_config *config, qr_arena *arena,
                                 const char **sentence)
{
    int64_t level = qr_flags_number(flags, QR_SERVE_LEVEL_MAX);
    config->level_max = (uint16_t)level;
    if (level >= 0 && level <= UINT16_MAX)
        return QR_OK;
    return invalid(sentence, "--feature-level-max takes a level from 1 on, or 0 for no hold");
}

static qr_status configure_blackbox(const qr_flags *flags, qr_serve_config *config, qr_arena *arena,
                                    const char **sentence)
{
    const char *values = qr_flags_text(flags, QR_SERVE_BLACKBOX_VALUES);
    config->blackbox_values = strcmp(values, "on") == 0;
    if (!config->blackbox_values && strcmp(values, "off") != 0)
        return invalid(sentence,
                       qr_arena_format(arena, "--blackbox-values is on or off, not \"%s\"", values));
    int64_t bytes = qr_flags_number(flags, QR_SERVE_BLACKBOX_BYTES);
    config->blackbox_bytes = (uint64_t)bytes;
    return bytes == 0 ? QR_OK
                      : bounded(flags, QR_SERVE_BLACKBOX_BYTES, (int64_t)QR_RING_BYTES_MIN,
                                BLACKBOX_BYTES_MAX, arena, sentence);
}

static qr_status configure_backups(const qr_flags *flags, qr_serve_config *config, qr_arena *arena,
                                   const char **sentence)
{
    config->backup_dir = qr_flags_text(flags, QR_SERVE_BACKUP_DIR);
    const char *interval = qr_flags_text(flags, QR_SERVE_BACKUP_INTERVAL);
    if (!parse_time(interval, &config->backup_interval_ms))
        return invalid(sentence,
                       qr_arena_format(arena,
                                       "--backup-interval takes a time such as 90s, 30m or 6h, not \"%s\"",
                                       interval));
    int64_t keep = qr_flags_number(flags, QR_SERVE_BACKUP_KEEP);
    if (keep < 1 || keep > BACKUP_KEEP_MAX)
        return invalid(sentence, qr_arena_format(arena, "--backup-keep is from 1 to %d", BACKUP_KEEP_MAX));
    config->backup_keep = (uint64_t)keep;
    if (config->backup_dir[0] != 0 && strchr(config->name, '/') != NULL)
        return invalid(sentence, "--backup-dir needs a --name that can be part of a file's name");
    return QR_OK;
}

static qr_status configure_zookeeper(const qr_flags *flags, qr_serve_config *config, qr_arena *arena,
                                     const char **sentence)
{
    config->zookeeper_root = qr_flags_text(flags, QR_SERVE_ZOOKEEPER_ROOT);
    config->zookeeper_words = qr_flags_text(flags, QR_SERVE_ZOOKEEPER_WORDS);
    config->zookeeper_tick_ms = (uint32_t)qr_flags_number(flags, QR_SERVE_ZOOKEEPER_TICK);
    config->zookeeper_ttl_nodes = qr_flags_bool(flags, QR_SERVE_ZOOKEEPER_TTL);
    config->zookeeper_reap_ms = (uint32_t)qr_flags_number(flags, QR_SERVE_ZOOKEEPER_REAP);
    config->zookeeper_session_min_ms = (uint32_t)qr_flags_number(flags, QR_SERVE_ZOOKEEPER_SESSION_MIN);
    config->zookeeper_session_max_ms = (uint32_t)qr_flags_number(flags, QR_SERVE_ZOOKEEPER_SESSION_MAX);
    config->zookeeper_of_host = (uint32_t)qr_flags_number(flags, QR_SERVE_ZOOKEEPER_OF_HOST);
    config->zookeeper_packet_max = (uint32_t)qr_flags_number(flags, QR_SERVE_ZOOKEEPER_PACKET);
    config->zookeeper_super = qr_flags_text(flags, QR_SERVE_ZOOKEEPER_SUPER);
    config->zookeeper_linearizable = qr_flags_bool(flags, QR_SERVE_ZOOKEEPER_LINEARIZABLE);
    config->zookeeper_election_port = (uint16_t)qr_flags_number(flags, QR_SERVE_ZOOKEEPER_ELECTION);
    config->zookeeper_read_only = qr_flags_bool(flags, QR_SERVE_ZOOKEEPER_READ_ONLY);
    config->zookeeper_enforce_quota = qr_flags_bool(flags, QR_SERVE_ZOOKEEPER_QUOTA);
    config->zookeeper_reconfig = qr_flags_bool(flags, QR_SERVE_ZOOKEEPER_RECONFIG);
    uint32_t least =
        config->zookeeper_session_min_ms ? config->zookeeper_session_min_ms : 2 * config->zookeeper_tick_ms;
    uint32_t most =
        config->zookeeper_session_max_ms ? config->zookeeper_session_max_ms : 20 * config->zookeeper_tick_ms;
    if (least > most)
        return invalid(sentence, "the shortest time of a ZooKeeper session is longer than the longest");
    if (config->listen_zookeeper_admin.count > 0 && config->listen_zookeeper.count == 0)
        return invalid(sentence,
                       "--zookeeper-admin-listen-urls is of no use without --zookeeper-listen-urls");
    qr_slice root = qr_slice_text(config->zookeeper_root);
    return qr_zookeeper_path_valid(root) && root.size <= ROOT_MAX
               ? QR_OK
               : invalid(sentence,
                         qr_arena_format(
                             arena,
                             "--zookeeper-root takes a path such as /apps/zk of at most %d bytes, not \"%s\"",
                             ROOT_MAX, config->zookeeper_root));
}

qr_status qr_serve_configure(const qr_flags *flags, qr_arena *arena, qr_serve_config *config,
                             const char **sentence)
{
    *config = (qr_serve_config){
        .name = qr_flags_text(flags, QR_SERVE_NAME),
        .token = qr_flags_text(flags, QR_SERVE_TOKEN),
        .data_dir = qr_flags_text(flags, QR_SERVE_DATA_DIR),
    };
    if (config->name[0] == 0)
        return invalid(sentence, "--name is empty");
    if (strpbrk(config->name, "=,") != NULL)
        return invalid(sentence,
                       qr_arena_format(arena, "--name \"%s\" must not contain '=' or ','", config->name));
    if (config->data_dir[0] == 0)
        config->data_dir = qr_arena_format(arena, "%s.etcd", config->name);
    if (qr_flags_set(flags, QR_SERVE_LISTEN_CLIENT) && !qr_flags_set(flags, QR_SERVE_ADVERTISE_CLIENT))
        return invalid(sentence,
                       "--advertise-client-urls is required when --listen-client-urls is set explicitly");
    static const qr_serve_flag url_flags[] = {
        QR_SERVE_LISTEN_CLIENT,  QR_SERVE_ADVERTISE_CLIENT, QR_SERVE_LISTEN_PEER,    QR_SERVE_ADVERTISE_PEER,
        QR_SERVE_LISTEN_METRICS, QR_SERVE_ZOOKEEPER_LISTEN, QR_SERVE_ZOOKEEPER_ADMIN};
    qr_serve_urls *urls[] = {&config->listen_client,         &config->advertise_client,
                             &config->listen_peer,           &config->advertise_peer,
                             &config->listen_metrics,        &config->listen_zookeeper,
                             &config->listen_zookeeper_admin};
    qr_status status = QR_OK;
    for (size_t i = 0; i < sizeof urls / sizeof *urls && status == QR_OK; i++)
        status = parse_urls(flags, url_flags[i], urls[i], arena, sentence);
    if (status == QR_OK)
        status = configure_numbers(flags, config, arena, sentence);
    if (status == QR_OK)
        status = configure_log(flags, &config->log, arena, sentence);
    if (status == QR_OK)
        status = configure_watches(flags, config, arena, sentence);
    if (status == QR_OK)
        status = configure_backups(flags, config, arena, sentence);
    if (status == QR_OK)
        status = configure_blackbox(flags, config, arena, sentence);
    if (status == QR_OK)
        status = configure_zookeeper(flags, config, arena, sentence);
    if (status == QR_OK)
        status = configure_scrub(flags, config, arena, sentence);
    if (status == QR_OK)
        status = configure_level(flags, config, arena, sentence);
    if (status == QR_OK)
        status = configure_state(flags, config, arena, sentence);
    if (status == QR_OK)
        status = parse_members(flags, config, arena, sentence);
    if (status == QR_OK)
        status = identify(config, arena, sentence);
    return status;
}

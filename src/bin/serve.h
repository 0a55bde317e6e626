/* What the flags of serve mean: who this member is, who the others are, where it listens. */
#ifndef QR_BIN_SERVE_H
#define QR_BIN_SERVE_H

#include "bin/serve_flags.h"
#include "door/etcd/etcd.h"
#include "os/os.h"

typedef struct qr_serve_url {
    const char *text; /* without a slash at the end */
    const char *host;
    uint16_t port;
} qr_serve_url;

typedef struct qr_serve_urls {
    qr_serve_url list[QR_ETCD_URLS_MAX];
    size_t count;
} qr_serve_urls;

typedef struct qr_serve_config { /* texts are the arena's or borrowed from the flags */
    const char *name, *data_dir, *token;
    qr_serve_urls listen_client, advertise_client, listen_metrics, listen_zookeeper, listen_zookeeper_admin,
        listen_peer, advertise_peer;
    qr_etcd_member members[QR_MEMBERS_MAX]; /* this one included, in the order of --initial-cluster */
    qr_serve_url peer_urls[QR_MEMBERS_MAX]; /* the first of each, which is dialed */
    size_t member_count;
    uint64_t cluster, self;
    qr_members group;
    uint32_t heartbeat_ms, election_ms;
    uint64_t quota_bytes; /* 0 = off */
    uint64_t checkpoint_bytes;
    uint64_t blackbox_bytes; /* 0 = none */
    bool blackbox_values;
    uint64_t scrub_interval_ms; /* 0 = never by time */
    const char *zookeeper_root, *zookeeper_words;
    uint32_t zookeeper_tick_ms, zookeeper_reap_ms;
    uint32_t zookeeper_session_min_ms, zookeeper_session_max_ms; /* 0: by ticks */
    uint32_t zookeeper_of_host;                                  /* 0: any number of connections */
    uint32_t zookeeper_packet_max;
    uint16_t zookeeper_election_port; /* 0: that of the peers */
    const char *zookeeper_super;      /* empty: nobody */
    bool zookeeper_ttl_nodes, zookeeper_linearizable, zookeeper_reconfig, zookeeper_enforce_quota,
        zookeeper_read_only;
    uint16_t level_max; /* 0 = no hold */
    uint32_t request_max, txn_ops_max;
    uint64_t watch_progress_ms;
    bool existing;
    const qr_engine_ops *engine;
    bool repair;            /* of a damaged log, from the other members */
    const char *backup_dir; /* "" = no scheduled backups */
    uint64_t backup_interval_ms, backup_keep;
    qr_log_config log;
} qr_serve_config;

/* INVALID or UNSUPPORTED with a sentence that names the flag or the value. */
qr_status qr_serve_configure(const qr_flags *flags, qr_arena *arena, qr_serve_config *config,
                             const char **sentence);

/* serve_reload.c: what SIGHUP does. Reads the configuration file again, if `running` came from one, and opens
 * the log with what it says; anything else that has changed is named in the log. A mistake changes nothing.
 */
void qr_serve_reload(qr_os *os, const qr_flags *running);

#endif

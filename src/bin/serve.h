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
    qr_serve_urls listen_client, advertise_client, listen_peer, advertise_peer;
    qr_etcd_member members[QR_MEMBERS_MAX]; /* this one included, in the order of --initial-cluster */
    qr_serve_url peer_urls[QR_MEMBERS_MAX]; /* the first of each, which is dialed */
    size_t member_count;
    uint64_t cluster, self;
    qr_members group;
    uint32_t heartbeat_ms, election_ms;
    uint64_t quota_bytes; /* 0 = off */
    uint64_t checkpoint_bytes;
    uint32_t request_max, txn_ops_max;
    bool existing;
    qr_log_config log;
} qr_serve_config;

/* INVALID or UNSUPPORTED with a sentence that names the flag or the value. */
qr_status qr_serve_configure(const qr_flags *flags, qr_arena *arena, qr_serve_config *config,
                             const char **sentence);

#endif

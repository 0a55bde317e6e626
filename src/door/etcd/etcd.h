/* The etcd door: etcd's v3 gRPC API the same as a JSON gateway, and pages of HTTP/1.1 on one port.
 * doc/doors/etcd.md says what is covered and every known difference. One door serves all client connections
 * of a node. */
#ifndef QR_DOOR_ETCD_ETCD_H
#define QR_DOOR_ETCD_ETCD_H

#include "base/histogram.h"
#include "edge/stream.h"
#include "node/node.h"

#define QR_ETCD_VERSION         "3.4.23" /* the one etcd version that we report */
#define QR_ETCD_CLUSTER_VERSION "3.4.0"

enum {
    QR_ETCD_URLS_MAX = 8,
    QR_ETCD_LISTED_MAX = 4096, /* members, past ones too, that a listing tells of */
};

typedef struct qr_etcd_member { /* as the command line or the catalogue knows it */
    uint64_t id;
    const char *name; /* in the catalogue: "" until it has started once */
    const char *peer_urls[QR_ETCD_URLS_MAX];
    size_t peer_url_count;
} qr_etcd_member;

/* What the process and its disk count; for /metrics. */
typedef struct qr_etcd_process {
    qr_histogram log_syncs, other_syncs; /* of the disk's lanes */
    qr_histogram turns;                  /* rounds of the loop */
    qr_histogram turn_cpu;               /* their CPU time */
    uint64_t resident_bytes, open_files, open_files_max, cpu_us;
    struct {
        uint64_t id, sent, received; /* bytes of messages */
    } peers[QR_MEMBERS_MAX];
    size_t peer_count;
} qr_etcd_process;

typedef struct qr_etcd_config {
    qr_node *node; /* borrowed */
    uint64_t cluster, self;
    const char *name;
    const char *client_urls[QR_ETCD_URLS_MAX]; /* advertised */
    size_t client_url_count;
    const qr_etcd_member *members; /* initial; copied */
    size_t member_count;
    uint32_t request_max;       /* --max-request-bytes; 0 = 1.5 MiB */
    uint32_t txn_ops_max;       /* --max-txn-ops; 0 = 128 */
    uint64_t quota_bytes;       /* --quota-backend-bytes, as reported */
    uint32_t connections_max;   /* 0 = 10,000 */
    uint64_t watch_progress_ms; /* between two notifications of a watch that wants them; 0 = 10 min */
    uint32_t election_ms;       /* a lease lasts at least one and a half; 0 = 1000 */
    int64_t (*wall_ms)(void *context);
    void (*process)(void *context, qr_etcd_process *process); /* fills it in. May be NULL */
    /* The bytes of a file of the black box from offset on, given to done() later; none: its end, or there is
     * no such file now. One at a time for an owner; end(): done is not to be called any more. False: there
     * are no more files. NULL: nothing is recorded. */
    bool (*recorded)(void *context, uint32_t file, uint64_t offset,
                     void (*done)(void *owner, qr_status status, qr_slice bytes), void *owner);
    void (*recorded_end)(void *context, void *owner);
    /* Told once, when the member's own name and client URLs are in the replicated catalogue. May be NULL. */
    void (*published)(void *context);
    /* The catalogue as applied here, asked for with qr_etcd_door_list(): an entry for everyone who ever was a
     * member, without client URLs. Borrowed for the call. May be NULL. */
    void (*listed)(void *context, const qr_etcd_member *list, size_t count);
    void *context;
} qr_etcd_config;

typedef struct qr_etcd_door qr_etcd_door;

qr_etcd_door *qr_etcd_door_new(const qr_etcd_config *config);
qr_stream_door qr_etcd_door_stream(qr_etcd_door *door);
/* The pages alone (health, metrics, version), for a port that may be reached by more than the clients. */
qr_stream_door qr_etcd_door_pages(qr_etcd_door *door);
/* Reads the catalogue; `listed` is told, not from inside this call. */
void qr_etcd_door_list(qr_etcd_door *door);
/* Puts this member's name and client URLs into the catalogue and tries again until that is committed. Call
 * once a second or so until `published` was told. */
void qr_etcd_door_publish(qr_etcd_door *door, uint64_t now_ms);
/* All streams must be closed before. */
void qr_etcd_door_free(qr_etcd_door *door);

#endif

/* The ZooKeeper door: ZooKeeper's client protocol (3.8, 3.9) on the one tree. doc/doors/zookeeper.md says
 * what is covered and every known difference, doc/doors/one-tree.md what is what. One door serves all client
 * connections of a node. */
#ifndef QR_DOOR_ZOOKEEPER_ZOOKEEPER_H
#define QR_DOOR_ZOOKEEPER_ZOOKEEPER_H

#include "core/bugs.h"
#include "door/zookeeper/four.h"
#include "door/zookeeper/quota.h"
#include "edge/stream.h"
#include "node/node.h"

#define QR_ZOOKEEPER_VERSION "3.8.0" /* the one version that we report */

typedef struct qr_zookeeper_fact { /* "os.name", "Linux" */
    const char *name, *value;
} qr_zookeeper_fact;

typedef struct qr_zookeeper_config {
    qr_node *node;    /* borrowed */
    qr_slice root;    /* what clients call "/", a valid path of the tree; empty or "/": its own. Copied */
    uint8_t server;   /* the first byte of new session ids, below 254: myid, or drawn from the member's id */
    uint32_t tick_ms; /* 0 = 2000; bounds and defaults of times are multiples of it */
    uint32_t session_min_ms, session_max_ms; /* 0 = 2 and 20 ticks */
    uint32_t connections_max;                /* 0 = 10,000 */
    uint32_t connections_of_host_max;        /* maxClientCnxns; 0 = no bound */
    uint32_t packet_max;                     /* jute.maxbuffer; 0 = QR_JUTE_PACKET_MAX */
    qr_zookeeper_word_set words;             /* the four-letter words that are answered */
    bool ttl_nodes;                          /* extendedTypesEnabled: nodes with a time to live may be made */
    uint32_t reap_ms;        /* between two walks for containers and such nodes; 0 = a minute */
    bool linearizable_reads; /* reads wait as a sync does */
    bool read_only_mode;     /* without a quorum, clients that can do with it may read */
    bool enforce_quota;      /* hard limits of quotas hold */
    bool reconfig; /* reconfigEnabled: nobody has the right to it, rather than that it is switched off */
    /* Of this member in /zookeeper/config: where clients reach it (host NULL: any; port 0: not told), and the
     * port of elections that a zoo.cfg names (0: the peers'). */
    const char *client_host;
    uint16_t client_port, election_port;
    qr_slice super_digest; /* "super:" and its digest; empty = nobody is super. Copied */
    uint64_t seed;         /* of passwords: 64 unguessable bits, and */
    void (*random)(void *context, uint8_t *bytes,
                   size_t size); /* more of them; NULL: from the seed (tests) */
    int64_t (*wall_ms)(void *context);
    /* A quota is passed; about once a minute each, while this member leads. May be NULL. */
    void (*quota_passed)(void *context, const char *path, const qr_zookeeper_usage *usage);
    /* What the four-letter words and the AdminServer tell and a door cannot know; all of it may be missing.
     * Texts and lists are borrowed. */
    uint64_t now_ms;                      /* when the member began, by the clock of the streams */
    const char *data_dir;                 /* NULL: not told */
    const qr_zookeeper_fact *environment; /* of the program and its machine */
    size_t environment_count;
    void (*files)(void *context, uint64_t *open, uint64_t *most); /* files of the process; 0: not known */
    void *context;
    uint32_t bug; /* core/bugs.h */
} qr_zookeeper_config;

typedef struct qr_zookeeper_door qr_zookeeper_door;

qr_zookeeper_door *qr_zookeeper_door_new(const qr_zookeeper_config *config);
qr_stream_door qr_zookeeper_door_stream(qr_zookeeper_door *door);
/* The AdminServer: the same that the words tell, and more, as JSON over HTTP, for ports of its own. */
qr_stream_door qr_zookeeper_door_admin(qr_zookeeper_door *door);
/* To be called about once a second: removes what goes by itself, a piece at a time, and keeps
 * /zookeeper/config true. */
void qr_zookeeper_door_look(qr_zookeeper_door *door, uint64_t now_ms);
/* All streams must be closed before. Writes that are under way are waited for by the node: free it first. */
void qr_zookeeper_door_free(qr_zookeeper_door *door);

#endif

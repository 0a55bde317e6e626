/* conf: what a zoo.cfg says, as far as it means something here. Bytes in, a plain value out; the files
 * themselves (zoo.cfg, dataDir/myid, the dynamic file) are read by whoever asks. */
#ifndef QR_DOOR_ZOOKEEPER_CONF_H
#define QR_DOOR_ZOOKEEPER_CONF_H

#include "base/base.h"
#include "core/members.h"

enum {
    QR_ZOOKEEPER_CONF_MAX = 64 * 1024, /* bytes of a file that callers should read */
    QR_ZOOKEEPER_CONF_NOTES_MAX = 64,
    QR_ZOOKEEPER_PACKET_MAX = 1536 * 1024, /* bytes of a packet: its writes have to fit into one command */
    QR_ZOOKEEPER_SERVER_ID_MAX = 254,      /* what leaves room for TTL nodes, as in ZooKeeper */
};

/* server.N=host:peer:election[:role][;[[client host]:]client port] */
typedef struct qr_zookeeper_server {
    uint32_t id;      /* N */
    const char *host; /* without the brackets of IPv6 */
    uint16_t peer_port, election_port;
    bool observer;
    const char *client_host; /* NULL: any */
    uint16_t client_port;    /* 0: that of the file */
} qr_zookeeper_server;

typedef struct qr_zookeeper_conf { /* texts are the arena's */
    uint32_t tick_ms;
    uint32_t session_min_ms, session_max_ms;     /* 0: 2 and 20 ticks */
    uint32_t connections_max;                    /* of one address; 0: any number */
    uint32_t packet_max;                         /* jute.maxbuffer; 0: the usual one */
    const char *data_dir;                        /* NULL: none was named */
    const char *dynamic_file;                    /* NULL: the servers stand in the file itself */
    const char *client_host;                     /* NULL: any */
    uint16_t client_port;                        /* 0: none was named */
    const char *words;                           /* 4lw.commands.whitelist; NULL: the usual ones */
    const char *super_digest;                    /* DigestAuthenticationProvider.superDigest; NULL: none */
    bool admin;                                  /* admin.enableServer */
    const char *admin_host;                      /* admin.serverAddress; NULL: any */
    uint16_t admin_port;                         /* admin.serverPort */
    bool extended_types, reconfig;               /* extendedTypesEnabled, reconfigEnabled */
    bool enforce_quota, read_only;               /* enforceQuota, readonlymode.enabled */
    qr_zookeeper_server servers[QR_MEMBERS_MAX]; /* by id, each once */
    size_t server_count;
    const char
        *notes[QR_ZOOKEEPER_CONF_NOTES_MAX]; /* what has no effect, a sentence each; more are not kept */
    size_t note_count;
} qr_zookeeper_conf;

/* ZooKeeper's usual values, nothing named. */
qr_zookeeper_conf qr_zookeeper_conf_usual(void);

/* Adds what a text says; what comes later wins. `dynamic`: the text is of a dynamic file, which has servers
 * and nothing else. INVALID with a sentence that begins with "line N:", and then conf is half changed;
 * UNSUPPORTED likewise for what must not be ignored (encryption between members). A name that is not known is
 * a note. */
qr_status qr_zookeeper_conf_read(qr_zookeeper_conf *conf, qr_slice text, bool dynamic, qr_arena *arena,
                                 const char **sentence);

/* One setting, as Java's -Dzookeeper.NAME=VALUE would make it. INVALID or UNSUPPORTED with a sentence. */
qr_status qr_zookeeper_conf_set(qr_zookeeper_conf *conf, const char *name, const char *value, qr_arena *arena,
                                const char **sentence);

/* Of several servers, or of one that is an ensemble nevertheless, the one with this id, the myid; NULL: it is
 * not among them. */
const qr_zookeeper_server *qr_zookeeper_conf_server(const qr_zookeeper_conf *conf, uint32_t id);

/* What stands behind "server.N=", without the number. What is wrong with it, or NULL. */
const char *qr_zookeeper_server_read(const char *text, qr_arena *arena, qr_zookeeper_server *server);
/* The same as ZooKeeper writes it: with its role, and with its client address if it has a client port. */
const char *qr_zookeeper_server_text(const qr_zookeeper_server *server, qr_arena *arena);

/* A myid file: a number from 1 to QR_ZOOKEEPER_SERVER_ID_MAX with blanks around it. */
bool qr_zookeeper_conf_myid(qr_slice text, uint32_t *id);

#endif

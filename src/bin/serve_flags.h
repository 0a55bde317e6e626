/* The flags of serve: etcd's names and defaults, and what is done with each. */
#ifndef QR_BIN_SERVE_FLAGS_H
#define QR_BIN_SERVE_FLAGS_H

#include "bin/flags.h"

/* what it is called here, name, kind, usual value, name of the value, help */
#define QR_SERVE_FLAG_LIST(X)                                                                                \
    X(CONFIG_FILE, "config-file", TEXT, "", "FILE",                                                          \
      "Read the configuration from this file; all other flags and variables are then without effect, as "    \
      "with etcd. See CONFIGURATION FILE.")                                                                  \
    X(NAME, "name", TEXT, "default", "NAME", "Name of this member; it must stand in --initial-cluster.")     \
    X(DATA_DIR, "data-dir", TEXT, "", "FOLDER",                                                              \
      "Where the log is kept; made (mode 0700) if it is missing. Without it "                                \
      "NAME.etcd.")                                                                                          \
    X(LISTEN_CLIENT, "listen-client-urls", TEXT, "http://localhost:2379", "URLS",                            \
      "Where clients are served: comma separated, http://HOST:PORT each.")                                   \
    X(ADVERTISE_CLIENT, "advertise-client-urls", TEXT, "http://localhost:2379", "URLS",                      \
      "Where clients are told to come to; must be given when --listen-client-urls is.")                      \
    X(ZOOKEEPER_LISTEN, "zookeeper-listen-urls", TEXT, "", "URLS",                                           \
      "Where clients of ZooKeeper are served: comma separated, http://HOST:PORT each. Without it none are. " \
      "Not one of etcd's.")                                                                                  \
    X(ZOOKEEPER_ADMIN, "zookeeper-admin-listen-urls", TEXT, "", "URLS",                                      \
      "Where ZooKeeper's AdminServer is served (/commands): comma separated, http://HOST:PORT each. A port " \
      "that is taken is a warning.")                                                                         \
    X(ZOOKEEPER_ROOT, "zookeeper-root", TEXT, "/", "PATH",                                                   \
      "What clients there call / is this path of the tree, and they see nothing else. The same on all "      \
      "members.")                                                                                            \
    X(ZOOKEEPER_WORDS, "zookeeper-words", TEXT, "srvr", "WORDS",                                             \
      "Four-letter words that are answered there: comma separated, or * for all.")                           \
    X(ZOOKEEPER_TICK, "zookeeper-tick-ms", NUMBER, "2000", "MS", "Sessions last from 2 to 20 of these.")     \
    X(ZOOKEEPER_TTL, "zookeeper-ttl-nodes", BOOL, "false", "",                                               \
      "Nodes with a time to live may be made there (ZooKeeper's extendedTypesEnabled).")                     \
    X(ZOOKEEPER_SESSION_MIN, "zookeeper-session-min-ms", NUMBER, "0", "MS",                                  \
      "A client that asks for less gets this; 0: two ticks (minSessionTimeout).")                            \
    X(ZOOKEEPER_SESSION_MAX, "zookeeper-session-max-ms", NUMBER, "0", "MS",                                  \
      "A client that asks for more gets this; 0: twenty ticks (maxSessionTimeout).")                         \
    X(ZOOKEEPER_OF_HOST, "zookeeper-connections-of-host", NUMBER, "0", "N",                                  \
      "Connections that one address may have there; 0: any number (maxClientCnxns).")                        \
    X(ZOOKEEPER_PACKET, "zookeeper-max-packet-bytes", NUMBER, "1048575", "BYTES",                            \
      "A client that sends a larger packet there is disconnected; up to 1572864 (jute.maxbuffer).")          \
    X(ZOOKEEPER_SUPER, "zookeeper-super-digest", TEXT, "", "USER:DIGEST",                                    \
      "Whoever proves this digest may do everything there (superDigest).")                                   \
    X(ZOOKEEPER_LINEARIZABLE, "zookeeper-linearizable-reads", BOOL, "false", "",                             \
      "Reads there wait as a sync does, and show all that was acknowledged before them anywhere.")           \
    X(ZOOKEEPER_READ_ONLY, "zookeeper-read-only", BOOL, "false", "",                                         \
      "Without a quorum, clients that said that they can do with it may read there (readonlymode.enabled).") \
    X(ZOOKEEPER_QUOTA, "zookeeper-enforce-quota", BOOL, "false", "",                                         \
      "Hard limits of quotas hold there (enforceQuota).")                                                    \
    X(ZOOKEEPER_RECONFIG, "zookeeper-reconfig", BOOL, "false", "",                                           \
      "Whoever has the super digest may change members there (reconfigEnabled).")                            \
    X(ZOOKEEPER_ELECTION, "zookeeper-election-port", NUMBER, "0", "PORT",                                    \
      "What /zookeeper/config says of this member's second port, which is not used; 0: that of the peers.")  \
    X(ZOOKEEPER_REAP, "zookeeper-reap-ms", NUMBER, "60000", "MS",                                            \
      "Empty containers and nodes whose time is over are looked for so often.")                              \
    X(LISTEN_METRICS, "listen-metrics-urls", TEXT, "", "URLS",                                               \
      "Where /metrics and the pages about health are served besides, and nothing else.")                     \
    X(LISTEN_PEER, "listen-peer-urls", TEXT, "http://localhost:2380", "URLS",                                \
      "Where the other members are served.")                                                                 \
    X(ADVERTISE_PEER, "initial-advertise-peer-urls", TEXT, "http://localhost:2380", "URLS",                  \
      "Where the other members find this one; the same URLs as in --initial-cluster.")                       \
    X(CLUSTER, "initial-cluster", TEXT, "", "NAME=URL,...",                                                  \
      "All members of the cluster with their peer URLs, this one included. The same on every member. "       \
      "Without it "                                                                                          \
      "a cluster of one.")                                                                                   \
    X(STATE, "initial-cluster-state", TEXT, "new", "new|existing",                                           \
      "'existing' with an empty folder joins a running cluster: the members named in --initial-cluster are " \
      "asked for it, and must have been told of this one with 'member add' before.")                         \
    X(TOKEN, "initial-cluster-token", TEXT, "etcd-cluster", "TEXT",                                          \
      "Keeps clusters with the same members apart: it goes into the ids of the cluster and its members.")    \
    X(HEARTBEAT, "heartbeat-interval", NUMBER, "100", "MS", "Time between two heartbeats of a leader.")      \
    X(ELECTION, "election-timeout", NUMBER, "1000", "MS",                                                    \
      "How long a leader may be silent before an election; at least five heartbeats, less than 50000.")      \
    X(SNAPSHOT_COUNT, "snapshot-count", NUMBER, "100000", "ENTRIES",                                         \
      "Taken for etcd's sake: checkpoints are made by the bytes of log since the last one, not by entries.") \
    X(CHECKPOINT_BYTES, "checkpoint-bytes", NUMBER, "67108864", "BYTES",                                     \
      "Of log between two checkpoints, at least; a state larger than half of that is saved more rarely. "    \
      "Not one of etcd's.")                                                                                  \
    X(SCRUB_INTERVAL, "scrub-interval", TEXT, "24h", "TIME",                                                 \
      "All members save and compare their whole state at least so often (90s, 30m, 6h), so that memory "     \
      "that "                                                                                                \
      "rots is found; 0: only when the log has grown. Not one of etcd's.")                                   \
    X(LEVEL_MAX, "feature-level-max", NUMBER, "0", "LEVEL",                                                  \
      "Holds the cluster's feature level at this one while this member belongs to it, so that every member " \
      "can go back to the program before; 0: it is raised once all members know more.")                      \
    X(ENGINE, "engine", TEXT, "raft", "raft|paxos",                                                          \
      "The consensus algorithm: the same on every member, and for the life of the data folder.")             \
    X(REPAIR, "repair", TEXT, "on", "on|off",                                                                \
      "What a member of several does with a damaged log: put it aside (damaged-*) and get everything from "  \
      "the others "                                                                                          \
      "again, or refuse to start.")                                                                          \
    X(BLACKBOX_BYTES, "blackbox-bytes", NUMBER, "16777216", "BYTES",                                         \
      "Of the newest inputs of consensus, kept in the data folder (blackbox-*) for 'quorate blackbox' and "  \
      "'quorate replay'; 0: none are. Not one of etcd's.")                                                   \
    X(BLACKBOX_VALUES, "blackbox-values", TEXT, "off", "on|off",                                             \
      "Keep the commands of clients there, keys and values with them, instead of their sizes and hashes.")   \
    X(QUOTA, "quota-backend-bytes", NUMBER, "0", "BYTES",                                                    \
      "Live bytes above which puts that come to this member are refused, and raise the alarm NOSPACE, "      \
      "under "                                                                                               \
      "which all members refuse them; 0 is 2 GiB, a negative number is no quota.")                           \
    X(REQUEST_MAX, "max-request-bytes", NUMBER, "1572864", "BYTES", "Greatest request of a client.")         \
    X(TXN_OPS, "max-txn-ops", NUMBER, "128", "OPERATIONS", "Most operations in a transaction.")              \
    X(WATCH_PROGRESS, "watch-progress-notify-interval", TEXT, "10m", "TIME",                                 \
      "Time between two notifications of progress for watches that want them: 500ms, 30s, 10m.")             \
    X(BACKUP_DIR, "backup-dir", TEXT, "", "FOLDER",                                                          \
      "Make backups of this member in this folder, which must exist: NAME-20261126T022800Z.backup, "         \
      "checked, "                                                                                            \
      "and restored by 'quorate restore'. Without it none is made.")                                         \
    X(BACKUP_INTERVAL, "backup-interval", TEXT, "24h", "TIME", "Time between two of them: 90s, 30m, 6h.")    \
    X(BACKUP_KEEP, "backup-keep", NUMBER, "7", "FILES", "How many are kept; the oldest are removed.")        \
    X(LOG_LEVEL, "log-level", TEXT, "info", "LEVEL",                                                         \
      "debug, info, warn or error (also panic and fatal, as error).")                                        \
    X(LOGGER, "logger", TEXT, "zap", "zap", "Taken for etcd's sake.")                                        \
    X(LOG_OUTPUTS, "log-outputs", TEXT, "default", "OUTPUTS",                                                \
      "Comma separated: stderr, stdout, default (stderr), or names of files that are appended to.")          \
    X(LOG_FORMAT, "log-format", TEXT, "json", "json|console",                                                \
      "One JSON object a line, or key=value pairs for people (logfmt is another name for that).")

typedef enum qr_serve_flag {
#define QR_SERVE_FLAG_ENUM(id, name, kind, usual, value, help) QR_SERVE_##id,
    QR_SERVE_FLAG_LIST(QR_SERVE_FLAG_ENUM)
#undef QR_SERVE_FLAG_ENUM
        QR_SERVE_FLAG_COUNT
} qr_serve_flag;

/* A parser for them, ready for qr_flags_parse; the first QR_SERVE_FLAG_COUNT values are those above. */
qr_flags qr_serve_flags(void);
/* Line and environment, or the file that they name. Otherwise as qr_flags_parse. */
qr_status qr_serve_parse(qr_flags *flags, int argc, char **argv, char **environment, qr_arena *arena,
                         const char **sentence);
void qr_serve_help(qr_buffer *out);

#endif

/* os: the only system calls. An event loop (libuv), client and peer sockets, the disk thread, the clock,
 * signals and the log sink. Knows no engine, no node and no protocol: it moves bytes and calls back.
 *
 * One loop thread does everything but the disk; one disk thread carries out qr_disk_op in lanes. No pointer
 * to a live object crosses: an operation belongs to the disk thread from submit() to its completion, which
 * the loop thread runs. */
#ifndef QR_OS_OS_H
#define QR_OS_OS_H

#include "base/base.h"
#include "base/histogram.h"
#include "edge/edge.h"
#include "edge/stream.h"

typedef struct qr_os qr_os;

typedef struct qr_os_handlers {
    /* Once per round of the loop in which something happened (bytes, a completion, a timer): take a turn.
     * Afterwards every stream that asked to be woken is drained, and each connection written once. */
    void (*turn)(void *context, uint64_t now_ms, int64_t wall_ms);
    uint64_t (*wake_ms)(
        void *context); /* when turn() is wanted even if nothing happens; UINT64_MAX = never */
    void (*on_message)(void *context, uint64_t from, qr_slice message, uint64_t now_ms);
    void (*on_link)(void *context, uint64_t peer, bool up, uint64_t now_ms);
    void (*on_signal)(void *context, int signal); /* SIGTERM, SIGINT, SIGHUP, on the loop thread */
    /* A peer says that this member was removed from the cluster. May be NULL. */
    void (*on_removed)(void *context, uint64_t by, const char *sentence);
    /* Was the member of this id, which has no link here, removed? NULL: nobody was. */
    bool (*was_removed)(void *context, uint64_t id);
    /* Who belongs to the cluster, for somebody who asks on a peer port: appended to out, at most
     * QR_OS_WHO_MAX bytes (frames.h), opaque here. NULL, or nothing appended: nobody is told. */
    void (*who)(void *context, qr_buffer *out);
} qr_os_handlers;

qr_os *qr_os_new(const qr_os_handlers *handlers, void *context);
void qr_os_free(qr_os *os); /* closes everything; the disk thread has ended when it returns */
void qr_os_run(qr_os *os);  /* until qr_os_stop */
void qr_os_stop(qr_os *os); /* closes listeners and connections, drains what is queued for at most a second */
void qr_os_wake(qr_os *os); /* "take a turn soon"; from the loop thread */
uint64_t qr_os_now_ms(qr_os *os);
int64_t qr_os_wall_ms(void);
void qr_os_random(void *into, size_t size); /* from the kernel; for ids and seeds */

/* ---- disk: files of one folder ----
 * Makes the folder (0700) if it is missing. Refuses, with a sentence in the arena: PERMISSION when others may
 * read or write it or it belongs to someone else, BUSY when another process holds its lock, IO. Synchronous
 * run() may be used before qr_os_run; submit() needs the loop. */
qr_status qr_os_disk_open(qr_os *os, const char *folder, qr_disk *disk, qr_arena *arena,
                          const char **sentence);

/* ---- peers: framed messages over TCP, one connection in each direction ----
 * doc/formats/peer.md: a hello with cluster, group, sender, receiver and incarnation, then length-prefixed
 * frames. Each member dials every other one (again after a pause that doubles up to a second). on_link(up)
 * when our connection to the peer has been greeted back; on_link(down) as soon as either direction breaks. */
typedef struct qr_os_peer {
    uint64_t id;
    const char *host; /* copied */
    uint16_t port;
} qr_os_peer;

typedef struct qr_os_peers_config {
    uint64_t cluster, group, self, incarnation;
    const qr_os_peer *peers; /* without self */
    size_t peer_count;
    size_t queue_max; /* bytes queued to one peer before send says BUSY; 0 = 64 MiB */
} qr_os_peers_config;

qr_status qr_os_peers_start(qr_os *os, const qr_os_peers_config *config, qr_network *network);
/* From now on these are the peers (without self; no id twice). Links to others end; new ones begin; one whose
 * address changed is dialed anew there. Not from within on_message. */
void qr_os_peers_update(qr_os *os, const qr_os_peer *peers, size_t count);
/* Peer port; may be called for several addresses, before or after qr_os_peers_start. Statuses as
 * qr_os_listen. */
qr_status qr_os_peers_listen(qr_os *os, const char *host, uint16_t port, qr_arena *arena,
                             const char **sentence);

/* ---- client ports ----
 * EXISTS with a sentence: the port is taken. host: a literal address, "localhost" (both families), or a name.
 */
qr_status qr_os_listen(qr_os *os, const char *host, uint16_t port, qr_stream_door door, qr_arena *arena,
                       const char **sentence);

/* "http://host:port[/]" -> host and port; INVALID with a sentence. https is UNSUPPORTED so far. */
qr_status qr_os_parse_url(const char *url, qr_arena *arena, const char **host, uint16_t *port,
                          const char **sentence);

enum { QR_OS_PEERS_SHOWN_MAX = 32 }; /* of more the first ones are told */

/* What this process and its disk have taken so far; for whoever shows it. */
typedef struct qr_os_process {
    qr_histogram log_syncs;   /* writes and syncs in the lane of the log, waiting for the lane not counted */
    qr_histogram other_syncs; /* in the background */
    qr_histogram turns;       /* rounds of the loop in which something happened */
    qr_histogram turn_cpu;    /* CPU time of the loop's thread for each, what led to it included */
    uint64_t resident_bytes, open_files, open_files_max, cpu_us; /* 0 = not known */
    struct {
        uint64_t id, sent, received; /* bytes of messages since they became peers; sent: handed to the socket
                                        or waiting for it */
    } peers[QR_OS_PEERS_SHOWN_MAX];
    size_t peer_count;
} qr_os_process;
void qr_os_process_of(qr_os *os, qr_os_process *process);

/* ---- a program beside this one ----
 * Starts arguments[0] (a path; NULL ends the list) without input and output. ended(): once, from the loop,
 * with its exit status (128 + signal if one ended it) and the last words on its standard error, borrowed. One
 * at a time: BUSY. IO: it cannot be started. qr_os_free kills it, and nobody is told. */
qr_status qr_os_spawn(qr_os *os, const char *const *arguments,
                      void (*ended)(void *context, int exit_status, const char *words), void *context);

/* ---- log sink: one line an event, to stderr, stdout or a file ---- */
typedef enum qr_log_level { QR_LOG_DEBUG, QR_LOG_INFO, QR_LOG_WARN, QR_LOG_ERROR } qr_log_level;
typedef struct qr_log_config {
    qr_log_level level;
    bool json;           /* etcd's zap form {"level":"info","ts":"...","msg":"..."}; else logfmt */
    const char *outputs; /* comma separated: stderr, stdout, default (= stderr), or file paths */
} qr_log_config;
/* May be called again: to change the level, and to follow a file that was moved away. When it fails (IO,
 * TOO_LARGE), everything stays as it was. */
qr_status qr_log_open(qr_os *os, const qr_log_config *config, qr_arena *arena, const char **sentence);
/* message: a text of ours, the same each time. What differs goes into fields, pairs of name and text, ended
 * by NULL; the texts may hold any bytes: qr_log(os, QR_LOG_INFO, "published", "name", name, NULL). */
void qr_log(qr_os *os, qr_log_level level, const char *message, ...) __attribute__((sentinel));

#endif

/* figures: what the four-letter words and the AdminServer tell, each thing once: its name is ZooKeeper's, its
 * order that of 3.8, and what has no counterpart here is left out (doc/doors/zookeeper.md). */
#ifndef QR_DOOR_ZOOKEEPER_FIGURES_H
#define QR_DOOR_ZOOKEEPER_FIGURES_H

#include "door/zookeeper/config.h"
#include "door/zookeeper/door.h"

#define QR__ZK_VERSION      QR_ZOOKEEPER_VERSION "-quorate"
#define QR__ZK_NOT_SERVING  "This ZooKeeper instance is not currently serving requests"
#define QR__ZK_AVERAGE_SIZE 32

/* One figure. In the output of a word it is called `name`, in JSON `json_name`; NULL: it is not told there.
 */
typedef struct qr__zk_figure {
    const char *name, *json_name;
    const char *text; /* NULL: it is a number, which `literal` has */
    const char *literal;
    bool is_whole; /* its text stands behind its name as it is */
} qr__zk_figure;

typedef void qr__zk_tell(void *context, const qr__zk_figure *figure);

void qr__zk_tell_monitor(const qr_zookeeper_door *door, qr__zk_tell *tell, void *context);     /* mntr */
void qr__zk_tell_settings(const qr_zookeeper_door *door, qr__zk_tell *tell, void *context);    /* conf */
void qr__zk_tell_environment(const qr_zookeeper_door *door, qr__zk_tell *tell, void *context); /* envi */

typedef struct qr__zk_seats_view { /* who is which server, of the arena */
    qr_zookeeper_ensemble *ensemble;
    const struct qr_zookeeper_seat *own, *leader; /* NULL: it has none, or there is none */
} qr__zk_seats_view;
bool qr__zk_seats(const qr_zookeeper_door *door, qr_arena *arena, qr__zk_seats_view *view);

uint64_t
qr__zk_observer_count(const qr_node_status *status); /* of the leader's, that answer it; elsewhere 0 */
const char *qr__zk_mode(const qr_zookeeper_door *door, const qr_node_status *status);
bool qr__zk_serves(const qr_zookeeper_door *door, const qr_node_status *status);
uint64_t qr__zk_node_count(const qr_zookeeper_door *door); /* below the root; made-up ones too */
/* As Java prints a double that was rounded to four digits. */
void qr__zk_average(const qr__zk_latency *latency, char text[QR__ZK_AVERAGE_SIZE]);
const char *qr__zk_op_name(int32_t type); /* of the last request of a connection; "NA": of none */

/* Sessions of the cluster, with their time-outs. */
void qr__zk_each_session(const qr_zookeeper_door *door,
                         void (*tell)(void *context, int64_t session, uint32_t timeout_ms), void *context);
/* Ephemerals by their owners, as clients call them, those of one owner together. `path` is borrowed. */
void qr__zk_each_ephemeral(const qr_zookeeper_door *door,
                           void (*tell)(void *context, int64_t owner, qr_slice path), void *context);

qr__zk_connection *qr__zk_connection_of(const qr__zk_watch *watch);
/* Connections, and paths, that have watches of data. */
void qr__zk_count_watching(const qr_zookeeper_door *door, size_t *connections, size_t *paths);
/* What crst, and what srst sets back. */
void qr__zk_reset_connections(qr_zookeeper_door *door);
void qr__zk_reset_counts(qr_zookeeper_door *door);

#endif

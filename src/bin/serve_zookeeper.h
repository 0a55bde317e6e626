/* What serve gives the ZooKeeper door of the process and its machine. */
#ifndef QR_BIN_SERVE_ZOOKEEPER_H
#define QR_BIN_SERVE_ZOOKEEPER_H

#include "bin/serve.h"
#include "door/zookeeper/zookeeper.h"

enum { QR_SERVE_FACTS_MAX = 8 };

typedef struct qr_serve_zookeeper { /* zeroed at the start; not to be moved */
    qr_os *os;
    qr_zookeeper_fact facts[QR_SERVE_FACTS_MAX];
    qr_zookeeper_door *door; /* NULL: not served */
} qr_serve_zookeeper;

/* Makes the door, if there is a port for it. Texts are the arena's; config is borrowed. bug: planted
 * (core/bugs.h). */
void qr_serve_zookeeper_open(qr_serve_zookeeper *self, qr_os *os, qr_node *node,
                             const qr_serve_config *config, uint32_t bug, qr_arena *arena);
/* The AdminServer's ports. One that cannot be had is told in the log, and the member goes on without. */
void qr_serve_zookeeper_listen_admin(const qr_serve_zookeeper *self, const qr_serve_config *config,
                                     qr_arena *arena);

#endif

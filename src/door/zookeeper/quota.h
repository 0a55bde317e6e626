/* quota: how many nodes and bytes may be below a path. A quota of /a is a node /zookeeper/quota/a with two
 * below it, made by clients and real keys of the tree: zookeeper_limits says what may be, zookeeper_stats is
 * shown as what there is. What there is, is never kept: nodes and bytes are counted here
 * once and then followed through the history, so that it is right whichever door wrote. */
#ifndef QR_DOOR_ZOOKEEPER_QUOTA_H
#define QR_DOOR_ZOOKEEPER_QUOTA_H

#include "node/node.h"

enum { QR_ZOOKEEPER_LIMITS_MAX = 1024 }; /* bytes of the data of zookeeper_limits that are looked at */

typedef struct qr_zookeeper_limits {
    int64_t count, bytes;           /* soft: to be complained about; -1: none */
    int64_t count_hard, bytes_hard; /* to be kept, and then the soft one of the kind says nothing */
} qr_zookeeper_limits;

/* "count=1,bytes=-1=;countHardLimit=3;byteHardLimit=20"; each may be missing. INVALID. */
qr_status qr_zookeeper_limits_read(qr_slice text, qr_zookeeper_limits *limits);

typedef struct qr_zookeeper_usage {
    int64_t count, bytes;
} qr_zookeeper_usage;

typedef struct qr_zookeeper_quotas qr_zookeeper_quotas; /* of a door; the sums that it follows */

/* root: of the door, as of a request (path.h), copied; all paths here are as clients call them.
 * enforce: hard limits hold (enforceQuota). complain: told about once a minute of each quota that is passed,
 * while this member leads, by the key of its path. May be NULL. */
qr_zookeeper_quotas *qr_zookeeper_quotas_new(qr_node *node, qr_slice root, bool enforce,
                                             void (*complain)(void *context, const char *path,
                                                              const qr_zookeeper_usage *usage),
                                             void *context);
void qr_zookeeper_quotas_free(qr_zookeeper_quotas *quotas);
/* Once a second: follows the sums, and complains. */
void qr_zookeeper_quotas_look(qr_zookeeper_quotas *quotas, uint64_t now_ms);

/* At the path and below it, as applied here. The first look goes through all keys there. */
qr_status qr_zookeeper_usage_of(qr_zookeeper_quotas *quotas, qr_slice path, qr_zookeeper_usage *usage);
/* Of "/zookeeper/quota/a/zookeeper_stats": "/a". False: another path. */
bool qr_zookeeper_quota_is_stats(qr_slice path, qr_slice *of);
/* May a write put so much more there? An error as ReplyHeader.err; 0: it may. By what is applied here: writes
 * that are under way are not counted. */
int32_t qr_zookeeper_quota_check(qr_zookeeper_quotas *quotas, qr_slice path, int64_t nodes, int64_t bytes);

#endif

/* usage: how many nodes and bytes of data there are at a path and below it. */
#ifndef QR_DOOR_ZOOKEEPER_USAGE_H
#define QR_DOOR_ZOOKEEPER_USAGE_H

#include "node/node.h"

typedef struct qr__zk_sum {
    struct qr__zk_sum *next; /* the owner's */
    uint64_t revision;       /* that they are of; 0: not known */
    int64_t nodes, bytes;
    uint64_t complain_ms; /* the owner's */
    char path[];
} qr__zk_sum;

/* Brings it up to what is applied here: by what has changed since, or by a walk through all the keys if that
 * is not known, or is much. */
qr_status qr__zk_sum_follow(qr_node *node, qr__zk_sum *one);
/* All keys below a path: from "/a/" to "/a0", which comes right behind. */
qr_span qr__zk_below(qr_slice path, qr_arena *arena);

#endif

/* node: what a node is: its figures, what its key's attribute says, and those that this door makes up. */
#ifndef QR_DOOR_ZOOKEEPER_NODE_H
#define QR_DOOR_ZOOKEEPER_NODE_H

#include "door/zookeeper/request.h"

/* The attribute of a key (doc/formats/acl.md). An empty one: a plain node with data. */
typedef struct qr__zk_attribute {
    bool null_data, container;
    uint64_t ttl_ms; /* 0 = lives on */
} qr__zk_attribute;

qr_slice qr__zk_attribute_encode(const qr__zk_attribute *attribute, qr_arena *arena);
qr__zk_attribute qr__zk_attribute_of(const qr_key_value *kv); /* NULL: an implied node, whose data is null */

/* "/zookeeper" and what is below but for quotas: never stored, whatever other doors have put there. What is
 * below "/zookeeper/quota" are real keys. */
bool qr__zk_is_made_up(qr_slice path);
bool qr__zk_made_up(qr_slice path);   /* a node of those there are */
bool qr__zk_is_quotas(qr_slice path); /* "/zookeeper/quota" itself */
/* What is stored of it: its directory, and children that are real. */
qr_status qr__zk_look_quotas(qr_node *node, qr_slice root, qr_arena *arena, const qr_query *wants,
                             const qr_path_result **result);

/* Everything about a path that is no made-up one. Paths that no node can have are not there, as "" is "/".
 * The root may have neither key nor record. */
qr_status qr__zk_look(qr_node *node, qr_slice root, qr_arena *arena, qr_slice path, const qr_query *wants,
                      const qr_path_result **result);
bool qr__zk_in_bounds(qr_slice root, qr_slice path); /* the tree keeps directory records of such a path */

#endif

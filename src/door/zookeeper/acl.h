/* acl: lists of who may do what. A list is kept as a record in QR_SPACE_ACLS (doc/formats/acl.md); a node
 * without one is open to all. */
#ifndef QR_DOOR_ZOOKEEPER_ACL_H
#define QR_DOOR_ZOOKEEPER_ACL_H

#include "door/zookeeper/request.h"

enum {
    QR_ZOOKEEPER_READ = 1,
    QR_ZOOKEEPER_MAY_WRITE = 2,
    QR_ZOOKEEPER_CREATE = 4,
    QR_ZOOKEEPER_DELETE = 8,
    QR_ZOOKEEPER_ADMIN = 16,
    QR_ZOOKEEPER_ALL = 31,
};

/* What a client sent, as it is kept: without twins, "auth" replaced by who asks. Of the arena, and borrows
 * from `sent`. QR_E_INVALID: null, empty, or a term that means nothing. */
qr_status qr__zk_acl_normal(const qr_jute_vector *sent, const qr_zookeeper_asker *asker, qr_arena *arena,
                            qr_jute_vector *acl);
bool qr__zk_acl_is_open(const qr_jute_vector *acl);
bool qr__zk_acl_allows(const qr_jute_vector *acl, const qr_zookeeper_asker *asker, uint32_t permission);

/* `born`: the node began with it, so that its first version is not a change. */
qr_slice qr__zk_acl_encode(const qr_jute_vector *acl, bool born, qr_arena *arena);
/* NULL: the open one. A record that cannot be read gives no right to anybody: the list is empty. */
qr_jute_vector qr__zk_acl_of(const qr_key_value *record, qr_arena *arena);
bool qr__zk_acl_born(const qr_key_value *record);
int32_t qr__zk_acl_changes(const qr_key_value *record); /* aversion */
/* The same list with the digests of passwords hidden. */
qr_jute_vector qr__zk_acl_hidden(const qr_jute_vector *acl, qr_arena *arena);
qr_slice qr__zk_user(qr_slice scheme, qr_slice id); /* what stands before the colon of a digest */

#endif

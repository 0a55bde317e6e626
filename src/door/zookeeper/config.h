/* config: /zookeeper/config, and how what it says is kept true. */
#ifndef QR_DOOR_ZOOKEEPER_CONFIG_H
#define QR_DOOR_ZOOKEEPER_CONFIG_H

#include "door/zookeeper/ensemble.h"
#include "door/zookeeper/request.h"

bool qr__zk_is_config(qr_slice path);
/* The seats of all who are members here and have started, by the record as far as it goes; its version. */
qr_status qr__zk_ensemble_look(qr_node *node, qr_arena *arena, qr_zookeeper_ensemble *ensemble);
/* Stat, and data if they are wanted. Those of a server alone are empty, as there. */
qr_status qr__zk_config_view(qr_node *node, qr_arena *arena, qr_jute_stat *stat, qr_slice *data);
/* Who may do what with it: a record beside that of the ensemble, named so, of the form of doc/formats/acl.md;
 * without it, everybody reads. Its version is how often the rights were changed. Of the arena. */
qr_slice qr__zk_config_rights_name(void);
qr_status qr__zk_config_rights(qr_node *node, qr_arena *arena, qr_jute_vector *acl, uint64_t *version);
/* A command body that writes the record if its version is still that of `ensemble`. */
void qr__zk_ensemble_body(const qr_zookeeper_ensemble *ensemble, qr_buffer *out);
/* The entry of a member in the catalogue, of the arena; false: there is none. version may be NULL. */
bool qr__zk_catalogue_look(qr_node *node, uint64_t member, qr_arena *arena, qr_catalogue_entry *entry,
                           uint64_t *version);

/* Where other members reach a server, of the arena. */
qr_slice qr__zk_peer_url(const qr_zookeeper_server *server, qr_arena *arena);

#endif

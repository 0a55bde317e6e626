/* commands: what the AdminServer answers to GET /commands/NAME: the names, and a document of JSON for each.
 */
#ifndef QR_DOOR_ZOOKEEPER_COMMANDS_H
#define QR_DOOR_ZOOKEEPER_COMMANDS_H

#include "door/zookeeper/door.h"

enum { QR__ZK_DOCUMENT_MAX = 4 * 1024 * 1024 }; /* bytes; what would be larger is answered with an error */

/* The page that names them all. */
void qr__zk_list_commands(qr_buffer *out);
/* Appends the answer. `query`: "name=value&...", not decoded. A name that is none is answered too, with an
 * error in the document. */
void qr__zk_run_command(qr_zookeeper_door *door, qr_slice name, qr_slice query, qr_buffer *out);

#endif

/* The catalogue: what members say of themselves, replicated, in a space of its own that no revision counts
 * (doc/formats/catalogue.md). Each member writes its own entry at start. */
#ifndef QR_DOOR_ETCD_CATALOGUE_H
#define QR_DOOR_ETCD_CATALOGUE_H

#include "core/txn.h"
#include "door/etcd/etcd.h"

enum {
    QR_CATALOGUE_FORMAT = 1,
    QR_CATALOGUE_NAME_MAX = 1024, /* bytes of a name or a URL */
};

typedef struct qr_catalogue_entry {
    qr_slice name;
    qr_slice urls[QR_ETCD_URLS_MAX];
    size_t url_count;
} qr_catalogue_entry;

typedef struct qr_etcd_publication {
    bool under_way, done;
} qr_etcd_publication;

enum { QR_CATALOGUE_KEY_SIZE = 8 }; /* the member id, big-endian: entries are sorted by it */

void qr_catalogue_key(uint64_t member, uint8_t key[QR_CATALOGUE_KEY_SIZE]);
void qr_catalogue_encode(const qr_catalogue_entry *entry, qr_buffer *out);
/* Borrows. INVALID; BAD_VERSION: written by a newer member. */
qr_status qr_catalogue_decode(qr_slice bytes, qr_catalogue_entry *entry);
/* All entries: the operation of a local query. */
qr_op qr_catalogue_everything(void);
/* The entry of a member among the kvs of that query; false: it has none that can be read. */
bool qr_catalogue_find(const qr_op_result *everything, uint64_t member, qr_catalogue_entry *entry);

#endif

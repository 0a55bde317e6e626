/* The catalogue: names and addresses of the members, replicated, in a space of its own that no revision
 * counts (doc/formats/catalogue.md). `member add` makes the entry of a new member and `member update` changes
 * its peer URLs; each member writes its own name and client URLs at start, and leaves the peer URLs alone. */
#ifndef QR_DOOR_ETCD_CATALOGUE_H
#define QR_DOOR_ETCD_CATALOGUE_H

#include "core/txn.h"
#include "door/etcd/etcd.h"

enum {
    QR_CATALOGUE_FORMAT = 2,
    QR_CATALOGUE_NAME_MAX = 1024, /* bytes of a name or a URL */
};

typedef struct qr_catalogue_urls {
    qr_slice list[QR_ETCD_URLS_MAX];
    size_t count;
} qr_catalogue_urls;

typedef struct qr_catalogue_entry {
    qr_slice name; /* empty: it has not started yet */
    qr_catalogue_urls client, peer;
} qr_catalogue_entry;

/* Putting this member's own name and client URLs into the catalogue: a look, and a write if it is needed. */
typedef struct qr_etcd_publication {
    bool under_way, done;
    qr_op op;
    qr_query query;
} qr_etcd_publication;

/* Reading the catalogue for the door's owner. */
typedef struct qr_etcd_listing {
    bool under_way;
    qr_op op;
    qr_query query;
} qr_etcd_listing;

enum { QR_CATALOGUE_KEY_SIZE = 8 }; /* the member id, big-endian: entries are sorted by it */

void qr_catalogue_key(uint64_t member, uint8_t key[QR_CATALOGUE_KEY_SIZE]);
void qr_catalogue_encode(const qr_catalogue_entry *entry, qr_buffer *out);
/* Borrows. Reads format 1 too, which has no peer URLs. INVALID; BAD_VERSION: written by a newer member. */
qr_status qr_catalogue_decode(qr_slice bytes, qr_catalogue_entry *entry);
/* A command body that puts the entry if the present one has that version (0: there is none). */
void qr_catalogue_body(uint64_t member, const qr_catalogue_entry *entry, uint64_t version, qr_buffer *out);
/* All entries: the operation of a query. */
qr_op qr_catalogue_everything(void);
/* The entry of a member among the kvs of that query; false: it has none that can be read. version may be
 * NULL; of a missing entry it is 0. */
bool qr_catalogue_find(const qr_op_result *everything, uint64_t member, qr_catalogue_entry *entry,
                       uint64_t *version);

#endif

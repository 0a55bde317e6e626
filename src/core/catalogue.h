/* catalogue: names and addresses of the members, replicated, in a space of its own that no revision counts
 * (doc/formats/catalogue.md). Whoever adds a member makes its entry, and may change its peer URLs; each
 * member writes its own name and client URLs at start, and leaves the peer URLs alone. */
#ifndef QR_CORE_CATALOGUE_H
#define QR_CORE_CATALOGUE_H

#include "core/txn.h"

enum {
    QR_CATALOGUE_FORMAT = 2,
    QR_CATALOGUE_NAME_MAX = 1024, /* bytes of a name or a URL */
    QR_CATALOGUE_URLS_MAX = 8,    /* of a member, of each kind */
    QR_CATALOGUE_KEY_SIZE = 8,    /* the member id, big-endian: entries are sorted by it */
};

typedef struct qr_catalogue_urls {
    qr_slice list[QR_CATALOGUE_URLS_MAX];
    size_t count;
} qr_catalogue_urls;

typedef struct qr_catalogue_entry {
    qr_slice name; /* empty: it has not started yet */
    qr_catalogue_urls client, peer;
} qr_catalogue_entry;

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

/* For one that is to be added: from its peer URLs, which are in order, the cluster and the time, so that the
 * id of a removed member never comes back. Never 0. */
uint64_t qr_catalogue_new_id(const qr_catalogue_urls *peer, uint64_t cluster, int64_t wall_ms);
/* "http://host:port" and nothing behind it. */
bool qr_catalogue_is_peer_url(qr_slice url);

#endif

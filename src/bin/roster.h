/* A roster: who belongs to a cluster, and at which peer URLs. It stands in the file "members" of each data
 * folder, so that a restarted member knows itself and where to find the others before it can read its own
 * log, and is what a member answers to a joiner that asks who it is. doc/formats/roster.md.
 *
 * It decides nothing: configurations stand in the log, peer URLs in the catalogue. */
#ifndef QR_BIN_ROSTER_H
#define QR_BIN_ROSTER_H

#include "door/etcd/etcd.h"

enum {
    QR_ROSTER_FORMAT = 1,
    QR_ROSTER_MAX = 2 * QR_MEMBERS_MAX, /* members before and after a change together */
    QR_ROSTER_TEXT_MAX = 1024,          /* bytes of a name or URL */
    QR_ROSTER_SIZE_MAX = 1024 * 1024,   /* bytes of an encoded one */
};

typedef struct qr_roster {
    qr_arena arena; /* of the texts; owned */
    uint64_t cluster, self;
    bool joined;  /* self came to a running cluster: its log, not its flags, says who the members are */
    bool removed; /* self was removed: this folder is of no more use */
    qr_etcd_member list[QR_ROSTER_MAX];
    size_t count;
} qr_roster;

void qr_roster_init(qr_roster *roster);
void qr_roster_free(qr_roster *roster);
/* Copies; false: there are too many. Texts that are too long, and URLs beyond the bound, are left out. */
bool qr_roster_add(qr_roster *roster, const qr_etcd_member *member);
const qr_etcd_member *qr_roster_find(const qr_roster *roster, uint64_t id);
bool qr_roster_equal(const qr_roster *a, const qr_roster *b);

void qr_roster_encode(const qr_roster *roster, qr_buffer *out);
/* Into an initialised roster. INVALID, CORRUPT, BAD_VERSION. */
qr_status qr_roster_decode(qr_slice bytes, qr_roster *roster);

#endif

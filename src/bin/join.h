/* Finding a running cluster: what a new member asks before it starts. Blocking, with a time limit. */
#ifndef QR_BIN_JOIN_H
#define QR_BIN_JOIN_H

#include "bin/roster.h"

enum {
    QR_JOIN_ASK_MS = 2000,      /* patience with one member */
    QR_JOIN_PATIENCE_MS = 6000, /* with all of them together */
};

/* Asks the member at one peer URL who belongs to its cluster. Into an initialised roster, whose .self is the
 * answerer's. On failure *sentence names the cause. */
qr_status qr_join_ask(const char *url, uint64_t timeout_ms, qr_roster *roster, qr_arena *arena,
                      const char **sentence);

/* The member that has exactly these peer URLs; NULL: none has. */
const qr_etcd_member *qr_join_self(const qr_roster *roster, const char *const *urls, size_t count);

/* Asks at these URLs in turn, again until the patience is over, for a cluster in whose list a member has
 * exactly the peer URLs `self`. Into an initialised roster: .self is the id found, .joined is set. */
qr_status qr_join_find(const char *const *urls, size_t url_count, const char *const *self, size_t self_count,
                       uint64_t (*now_ms)(void *context), void *context, qr_roster *roster, qr_arena *arena,
                       const char **sentence);

#endif

/* hold: a key under NAME/ whose lease this program keeps alive, and its turn among the others there: the one
 * with the lowest create revision holds the lock NAME, or leads in the election NAME. The layout is that of
 * etcd's own clients, so that they wait for each other. */
#ifndef QR_BIN_CLIENT_HOLD_H
#define QR_BIN_CLIENT_HOLD_H

#include "bin/client.h"

typedef struct qr_client_hold {
    qr_client *client;
    const char *name, *key; /* the key: NAME/LEASE */
    int64_t lease;
    int64_t token;             /* the create revision of the key */
    int64_t revision;          /* of the store when its turn had come */
    uint64_t ttl_ms, valid_ms; /* the lease lives until then at least, by this clock */
    uint64_t renew_ms;
    uint64_t timeout_ms; /* the patience that the user has with one endpoint */
    int signals;         /* TERM, INT, HUP and CHLD, to be read by mind() */
    int told;            /* the signal that told this program to end; 0 = none */
    bool child;          /* a child may have ended, since mind() began */
    const char *lost;    /* why it has lost its place; NULL = it has it, by all it knows */
} qr_client_hold;

/* Makes the lease and puts the key. NULL, or a sentence: nothing is left behind then but for the lease's
 * time. */
const char *qr_client_hold_begin(qr_client_hold *hold, qr_client *client, const char *name,
                                 const char *value);
/* Waits for its turn. NULL: it has come, or it was told to end, or it lost the lease. */
const char *qr_client_hold_wait(qr_client_hold *hold);
/* To be called while it holds. Sleeps until a child may have ended or wake_ms has come, and meanwhile renews
 * the lease and watches its key. False: told to end, or lost. */
bool qr_client_hold_mind(qr_client_hold *hold, uint64_t wake_ms);
void qr_client_hold_end(qr_client_hold *hold); /* gives the key and the lease back */

/* The first of those under NAME/: the holder, the leader. kvs empty: nobody. NULL: *sentence says why. */
const QrEtcdpb__RangeResponse *qr_client_hold_first(qr_client *client, const char *name,
                                                    const char **sentence);
/* Listens to a key, or a range, from a revision on. */
const char *qr_client_hold_listen(qr_client *client, ProtobufCBinaryData key, ProtobufCBinaryData end,
                                  int64_t revision, qr_client_listener *listener);

#endif

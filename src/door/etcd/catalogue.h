/* The door's part in the catalogue (core/catalogue.h). */
#ifndef QR_DOOR_ETCD_CATALOGUE_H
#define QR_DOOR_ETCD_CATALOGUE_H

#include "core/catalogue.h"
#include "door/etcd/etcd.h"

_Static_assert((int)QR_ETCD_URLS_MAX == (int)QR_CATALOGUE_URLS_MAX, "the same URLs");

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

#endif

/* The inside of a door: what its files share. */
#ifndef QR_DOOR_ETCD_DOOR_H
#define QR_DOOR_ETCD_DOOR_H

#include "door/etcd/call.h"
#include "door/etcd/catalogue.h"

struct qr_etcd_door {
    qr_etcd_config config; /* strings and lists are copies in the arena; defaults are filled in */
    qr_arena arena;
    qr_grpc_limits limits;
    qr_pool pool;           /* of the HTTP/2 sessions of all connections */
    qr_buffer body;         /* a command body on its way into the node, which copies it */
    qr_buffer events;       /* the same for events on their way into an answer */
    uint64_t watch_unsent;  /* bytes of answers of all watch streams that are not drained */
    uint64_t watch_streams; /* that ever wanted to be told of progress */
    qr_etcd_call *spare;
    uint32_t spare_count;
    uint64_t references; /* the owner's, one of each call in use, one each of a publication and a listing
                            under way */
    uint32_t connections;
    uint64_t leases_granted; /* with an id chosen here; since the start */
    uint64_t http_held;      /* bytes of HTTP/1.1 requests that are not whole, all connections together */
    struct qr_etcd_count *counts; /* one a method; in the arena */
    size_t count_count, count_latest;
    uint64_t grpc_received, grpc_sent; /* bytes */
    uint64_t failed_writes;            /* that were not carried out, or may not have been */
    uint64_t health_shown[2];          /* answers of /health: no, yes */
    uint64_t queued_bytes;             /* of the places in queues (queue.c) */
    qr_etcd_ring ring;
    qr_etcd_publication publication;
    qr_etcd_listing listing;
};

/* Lets go of one reference; the last one frees the door. */
void qr_etcd_door_release(qr_etcd_door *door);

/* An id for a new lease; one that is taken by chance is refused with LEASE_EXISTS. */
int64_t qr_etcd_door_lease_id(qr_etcd_door *door);

/* What the owner said of that member; NULL = nothing. */
const qr_etcd_member *qr_etcd_door_configured(const qr_etcd_door *door, uint64_t id);

extern const qr_stream_ops qr_etcd_stream_ops, qr_etcd_pages_ops;

#endif

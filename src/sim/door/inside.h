/* inside: what the files of this room share. door.c is what the world calls, wire.c the connections, client.c
 * the life of a client, draft.c what it asks for, reply.c what it is told, watch.c what it watches, lease.c
 * the sessions, hand.c the other door, look.c what is compared when all is at rest. */
#ifndef QR_SIM_DOOR_INSIDE_H
#define QR_SIM_DOOR_INSIDE_H

#include "door/zookeeper/zookeeper.h"
#include "sim/door/tree.h"
#include "sim/world.h"

enum {
    QR_SIMD_CLIENTS_MAX = 6,
    QR_SIMD_ITEMS_MAX = 4,     /* of a multi */
    QR_SIMD_LEASES_MAX = 1024, /* that are remembered of a run */
    QR_SIMD_WATCHES_MAX = 64,  /* of a client */
    QR_SIMD_PASSWORD = 16,
    QR_SIMD_PIPELINE_MAX = 8,  /* requests of a client under way */
    QR_SIMD_HAND_LEASE = 1000, /* the other door's leases begin behind it */
    QR_SIMD_HAND_LEASES = 3,
};

typedef struct qr_simd qr_simd;
typedef struct qr_simd_client qr_simd_client;

/* ------------------------------------------------------------- connections ---- */

typedef struct qr_simd_wire {
    struct qr_simd_wire *next; /* all of the run */
    qr_simd *all;
    qr_simd_client *client;
    uint32_t number, node;
    uint64_t life; /* of the node's process */
    void *stream;  /* the server's end; NULL: closed */
    bool open;     /* the client's end */
    bool impostor; /* the password is wrong */
    bool greeted;  /* the answer to the connect has come */
    bool closing;  /* the client has asked for the end of its session */
    bool drain_due;
    uint64_t held_us;                   /* the server looks at nothing before: it was paused */
    uint64_t opened_us, up_us, down_us; /* newest arrival in each direction */
    uint64_t fed_us;                    /* the last packet behind the greeting reached the server */
    uint64_t seen;                      /* watch events up to this revision were told or are not wanted */
    size_t event;                       /* of the row behind that: so many were looked at */
    qr_buffer in;
} qr_simd_wire;

/* ------------------------------------------------------------------ requests ---- */

typedef struct qr_simd_item {
    int32_t type, flags, version;
    qr_slice path, data;
} qr_simd_item;

typedef enum qr_simd_outcome { QR_SIMD_OPEN, QR_SIMD_DONE, QR_SIMD_REFUSED, QR_SIMD_LOST } qr_simd_outcome;

typedef struct qr_simd_op {
    struct qr_simd_op *next; /* of the client's line */
    qr_simd *all;
    uint64_t id;
    qr_simd_client *client; /* NULL: the hand's */
    const qr_simd_wire *wire;
    int64_t session;
    int32_t xid, type;
    qr_simd_item items[QR_SIMD_ITEMS_MAX];
    size_t count;
    bool watch;
    /* Of the hand: the node that it asks, the lease of a put; the deletion of what is below the item's path.
     */
    uint32_t node;
    int64_t lease;
    bool range;
    uint64_t revision; /* ... and its answer */
    bool changed;
    uint64_t floor; /* revision that anybody had seen when it was sent */
    uint64_t bound; /* LOST: it is surely not applied behind this revision */
    qr_simd_outcome outcome;
} qr_simd_op;

typedef struct qr_simd_verdict { /* of an item, as the model has it */
    int32_t err;
    qr_slice name;     /* create */
    qr_jute_stat stat; /* create2, setData: right behind it */
} qr_simd_verdict;

/* ------------------------------------------------------------------- sessions ---- */

typedef struct qr_simd_lease {
    int64_t id;
    uint64_t generation, ttl_ms;
    bool session;      /* has a record */
    bool close_asked;  /* by its client */
    bool told_expired; /* its client was told so */
    uint64_t granted_us, renewed_us;
    uint64_t ended_us; /* 0 = lives */
} qr_simd_lease;

/* -------------------------------------------------------------------- clients ---- */

enum { /* kinds of watches, as bits */
       QR_SIMD_WATCH_DATA = 1,
       QR_SIMD_WATCH_EXIST = 2,
       QR_SIMD_WATCH_CHILD = 4,
       QR_SIMD_WATCH_PERSISTENT = 8,
       QR_SIMD_WATCH_RECURSIVE = 16,
};

typedef struct qr_simd_watch {
    uint32_t path, kinds;
} qr_simd_watch;

typedef enum qr_simd_standing {
    QR_SIMD_AWAY,       /* no connection */
    QR_SIMD_CONNECTING, /* the answer to the connect is to come */
    QR_SIMD_ATTACHED,
    QR_SIMD_GONE, /* for good: the run ends */
} qr_simd_standing;

struct qr_simd_client {
    qr_simd *all;
    uint32_t number;
    qr_simd_standing standing;
    qr_simd_wire *wire;
    int64_t session; /* 0 = none */
    uint8_t password[QR_SIMD_PASSWORD];
    uint32_t timeout_ms;
    uint64_t zxid; /* the newest it has seen in its session */
    int32_t xid;
    uint64_t sent_us, heard_us, since_us; /* last packets; since when it stands so */
    bool may_be_moved;         /* an earlier connect of this session was given up: it may still go through */
    qr_simd_op *first, **last; /* requests under way, in their order */
    size_t under_way;
    uint64_t wrote; /* the newest revision of its own in this session */
    qr_simd_watch watches[QR_SIMD_WATCHES_MAX];
    size_t watch_count;
    bool setting;                                  /* its watches are being set anew on this connection; */
    uint64_t set_since;                            /* it knew that revision, and */
    qr_simd_event caught[3 * QR_SIMD_WATCHES_MAX]; /* was told so much of what it had missed */
    size_t caught_count;
};

struct qr_simd {
    qr_sim_world *world;
    qr_prng prng;
    qr_zookeeper_door *doors[QR_SIM_NODES_MAX];
    bool linearizable;                 /* reads wait as a sync does */
    uint64_t cut_us[QR_SIM_NODES_MAX]; /* clients do not reach the node before */
    uint32_t client_count, think_ms, watch_percent, hand_ms, trouble_ms;
    qr_simd_client clients[QR_SIMD_CLIENTS_MAX];
    qr_simd_wire *wires;
    uint32_t wire_count;
    uint64_t op_count;
    qr_simd_op **lost; /* what may have been applied, and nobody was told; owned */
    size_t lost_count, lost_room;
    qr_simd_tree tree;
    qr_simd_view view;
    qr_simd_lease leases[QR_SIMD_LEASES_MAX];
    size_t lease_count;
    size_t hand_under_way;
};

/* What a QR_SIM_DOOR event is about, in its .number; .pointer is of that. */
typedef enum qr_simd_act {
    QR_SIMD_ACT_CLIENT,
    QR_SIMD_ACT_UP, /* a packet of bytes arrives at the server */
    QR_SIMD_ACT_DOWN,
    QR_SIMD_ACT_DRAIN,
    QR_SIMD_ACT_TICK,
    QR_SIMD_ACT_HAND,
    QR_SIMD_ACT_HAND_TOLD, /* a request of its is answered */
    QR_SIMD_ACT_TROUBLE,
    QR_SIMD_ACT_REAP, /* members look for what goes by itself */
} qr_simd_act;

static inline uint64_t qr_simd_below(qr_simd *all, uint64_t bound)
{
    return qr_prng_below(&all->prng, bound);
}
static inline bool qr_simd_stormy(const qr_simd *all)
{
    return all->world->phase == QR_SIM_FAULTS;
}
static inline bool qr_simd_works(const qr_simd *all)
{
    return all->world->phase == QR_SIM_FAULTS || all->world->phase == QR_SIM_CALM;
}
void qr_simd_after(qr_simd *all, uint64_t delay_us, qr_simd_act act, void *pointer);

/* wire.c */
/* NULL: the server takes no connection. */
qr_simd_wire *qr_simd_wire_open(qr_simd_client *client, uint32_t node);
void qr_simd_wire_send(qr_simd_wire *wire, qr_slice bytes);
void qr_simd_wire_drop(qr_simd_wire *wire); /* by the client; the server hears of it, or not */
void qr_simd_wire_event(qr_simd *all, qr_simd_act act, qr_sim_event *event);
void qr_simd_wire_leave(qr_simd *all, qr_sim_node *node); /* its process dies */

/* client.c */
void qr_simd_client_init(qr_simd_client *client);
void qr_simd_client_act(qr_simd_client *client);
void qr_simd_client_hear(qr_simd_wire *wire, qr_slice packet);
void qr_simd_client_cut(qr_simd_client *client);    /* its connection is gone */
void qr_simd_client_forget(qr_simd_client *client); /* its session, and with it all it watched */

/* draft.c */
void qr_simd_draft(qr_simd_client *client); /* sends a request, or some */
void qr_simd_send(qr_simd_client *client, qr_simd_op *op);
qr_simd_op *qr_simd_op_new(qr_simd *all, qr_simd_client *client, int32_t type);
qr_slice qr_simd_draft_path(qr_simd *all);
void qr_simd_lose(qr_simd *all, qr_simd_op *op); /* what became of it is not known */

/* trial.c: what the operation does right after that revision, in all->view. Whether all of it is done. */
bool qr_simd_try(qr_simd *all, const qr_simd_op *op, uint64_t base, qr_simd_verdict *verdicts);
static inline bool qr_simd_creates(int32_t type)
{
    return type == QR_JUTE_OP_CREATE || type == QR_JUTE_OP_CREATE2 || type == QR_JUTE_OP_CREATE_CONTAINER ||
           type == QR_JUTE_OP_CREATE_TTL;
}
bool qr_simd_view_is(const qr_simd_view *view, const qr_simd_row *row); /* the same changes */

/* reply.c */
void qr_simd_told(qr_simd_client *client, qr_simd_op *op, const qr_jute_reply_header *header,
                  qr_reader *reader);
void qr_simd_show(qr_simd *all, uint64_t revision); /* somebody was shown it */
/* The revision is this operation's. */
void qr_simd_explain(qr_simd *all, const qr_simd_op *op, uint64_t revision);

/* watch.c */
void qr_simd_watch_add(qr_simd_client *client, qr_slice path, uint32_t kinds, uint64_t revision);
void qr_simd_watch_event(qr_simd_client *client, int32_t type, qr_slice path);
void qr_simd_watch_reply(qr_simd_client *client, uint64_t revision); /* the state of it is shown */
void qr_simd_watch_set(qr_simd_client *client);                      /* after a reconnect: asks for them */
void qr_simd_watch_encode(const qr_simd_client *client, const qr_simd_op *op, qr_buffer *out);
void qr_simd_watch_was_set(qr_simd_client *client, uint64_t revision);
uint32_t qr_simd_watch_ask(qr_simd_client *client, qr_slice path, int32_t type, bool removes);
bool qr_simd_watch_room(const qr_simd_client *client);

/* lease.c */
qr_simd_lease *qr_simd_lease_of(qr_simd *all, int64_t id); /* the newest of that id; NULL: none ever */
void qr_simd_lease_learn(qr_simd *all, qr_sim_node *node, const qr_body *body, uint64_t index,
                         qr_simd_row *row);
void qr_simd_lease_renewed(void *self, int64_t lease, uint64_t generation);

/* hand.c */
void qr_simd_hand_act(qr_simd *all);
void qr_simd_hand_told(qr_simd_op *op);

/* look.c */
void qr_simd_look(qr_simd *all);
void qr_simd_look_final(qr_simd *all);

#endif

/* recipe: what clients build upon a store with sessions, numbered and ephemeral nodes, conditions and
 * one-shot watches (Hunt, Konar, Junqueira, Reed, "ZooKeeper", 2010, 2.4; Burrows, "Chubby", 2006). The store
 * is right and never dies here; the question is whether the clients are, when one of them dies at any step,
 * or stands still for longer than its session lasts. store.c is the store, programs.c what the clients do,
 * recipe.c the table and what must be true. */
#ifndef QR_LAB_RECIPE_RECIPE_H
#define QR_LAB_RECIPE_RECIPE_H

#include "lab/lab.h"

enum { QR_RECIPE_CLIENT, QR_RECIPE_STORE };
enum { QR_RECIPE_CLIENTS_MAX = 6, QR_RECIPE_NODES_MAX = 16, QR_RECIPE_ITEMS_MAX = 4 };

/* Parameters. */
enum { QR_RECIPE_WHICH, QR_RECIPE_VARIANT, QR_RECIPE_PARTIES, QR_RECIPE_ITEMS, QR_RECIPE_LAPSES };
enum { QR_ELECTION, QR_QUEUE, QR_BARRIER, QR_DOUBLE_BARRIER, QR_RWLOCK, QR_TWO_PHASE, QR_RECIPES };
enum {
    QR_RIGHT,
    QR_LEADS_AT_ONCE,
    QR_HERD,
    QR_DELETES_FIRST,
    QR_FINISHES_BLIND,
    QR_WATCHES_LATE,
    QR_COUNTS_ALONE,
    QR_SKIPS_READERS,
    QR_DECIDES_BLIND
};

/* Kinds of messages. */
enum { QR_RECIPE_PUT, QR_RECIPE_LIST, QR_RECIPE_WATCH, QR_RECIPE_DELETE, QR_RECIPE_ANSWER, QR_RECIPE_FIRED };

typedef struct qr_recipe_node {
    uint8_t number; /* rising, from 1; 0 = no node */
    uint8_t dir;
    uint8_t owner; /* client whose session it ends with, from 1; 0 = it stays */
    uint8_t value;
} qr_recipe_node;

typedef struct qr_recipe_message {
    qr_lab_message head;
    uint8_t number, dir, value; /* PUT: value; WATCH, DELETE, ANSWER to a PUT: number */
    uint8_t other;              /* DELETE: another one, both or none */
    uint8_t ephemeral;
    uint8_t once;    /* PUT: refused if such a one is there: 1 = of that value, 2 = in that dir */
    uint8_t watches; /* LIST: and tell me when anything changes; WATCH: even if the node is not there */
    uint8_t ok;
    qr_recipe_node nodes[QR_RECIPE_NODES_MAX]; /* ANSWER: all there are */
} qr_recipe_message;

typedef enum qr_recipe_phase {
    QR_RECIPE_IDLE,
    QR_RECIPE_ASKS,  /* the store */
    QR_RECIPE_WAITS, /* for a watch */
    QR_RECIPE_HAS,   /* leads, holds, works, is inside */
    QR_RECIPE_OVER
} qr_recipe_phase;

typedef struct qr_recipe_client {
    uint8_t phase, step;
    uint8_t own;     /* its node */
    uint8_t item;    /* number of the item that it works on */
    uint8_t refuses; /* votes no */
    uint8_t outcome; /* two phases: 1 = committed, 2 = aborted */
} qr_recipe_client;

typedef struct qr_recipe_store {
    qr_recipe_node nodes[QR_RECIPE_NODES_MAX]; /* in the order of their numbers */
    uint8_t last;                              /* number */
    uint8_t ended;                             /* set of clients whose sessions have ended */
    uint8_t watch[QR_RECIPE_CLIENTS_MAX];      /* number of a node, QR_RECIPE_ANY or 0 */
} qr_recipe_store;

enum { QR_RECIPE_ANY = 255 };

typedef union qr_recipe_state {
    qr_recipe_client client;
    qr_recipe_store store;
} qr_recipe_state;

typedef struct qr_recipe_shared {
    uint8_t worked[QR_RECIPE_ITEMS_MAX + 1], done[QR_RECIPE_ITEMS_MAX + 1]; /* by number of the item */
    uint8_t began;  /* somebody was inside of the double barrier */
    uint8_t fired;  /* by one change, at most */
    uint8_t lapses; /* sessions that ended though their clients live */
} qr_recipe_shared;

static inline int qr_recipe_which(const qr_lab_world *world)
{
    return qr_lab_parameter_of(world, QR_RECIPE_WHICH);
}
static inline bool qr_recipe_is_variant(const qr_lab_world *world, int variant)
{
    return qr_lab_parameter_of(world, QR_RECIPE_VARIANT) == variant;
}

/* store.c */
qr_recipe_store *qr_recipe_store_of(const qr_lab_world *world);
void qr_recipe_store_receive(qr_lab_world *world, const qr_recipe_message *message);
void qr_recipe_store_add(qr_recipe_store *store, uint8_t dir, uint8_t value, uint8_t owner);
void qr_recipe_store_end(qr_lab_world *world, unsigned client); /* its session */
bool qr_recipe_store_has(const qr_lab_world *world, uint8_t number);

/* programs.c */
void qr_recipe_begin(qr_lab_world *world, unsigned self);
void qr_recipe_answered(qr_lab_world *world, unsigned self, const qr_recipe_message *answer);
void qr_recipe_fired(qr_lab_world *world, unsigned self);
void qr_recipe_leave(qr_lab_world *world, unsigned self);     /* HAS: it is done with it */
void qr_recipe_give_up(qr_lab_world *world, unsigned self);   /* WAITS: two phases, it decides to abort */
void qr_recipe_open_gate(qr_lab_world *world, unsigned self); /* IDLE */

#endif

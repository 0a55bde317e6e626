/* queue: what is going to happen in a world, in order of time. A binary heap; events of the same microsecond
 * keep the order in which they were put in, so that a run does not depend on the heap. */
#ifndef QR_SIM_QUEUE_H
#define QR_SIM_QUEUE_H

#include "base/base.h"

typedef enum qr_sim_event_kind {
    QR_SIM_TURN,    /* a node takes a turn */
    QR_SIM_WAKE,    /* a node's wake_ms has come */
    QR_SIM_ARRIVAL, /* a message arrives */
    QR_SIM_DISK,    /* a disk has finished its operation */
    QR_SIM_LINK,    /* a node learns that a link came up or broke */
    QR_SIM_BOOT,    /* a process starts */
    QR_SIM_CRASH,   /* a process dies */
    QR_SIM_CLIENT,  /* a client has thought enough */
    QR_SIM_SUBMIT,  /* a client's request reaches a node */
    QR_SIM_WATCH,   /* a watching client looks again */
    QR_SIM_NEMESIS, /* the next fault */
    QR_SIM_ISOLATE, /* a node is cut off */
    QR_SIM_MEND,    /* a cut ends */
    QR_SIM_TICK,    /* a seat looks around: members.h */
    QR_SIM_LOOK,    /* is the world back in order? */
    QR_SIM_DOOR,    /* something of the door: its own business */
} qr_sim_event_kind;

typedef struct qr_sim_event {
    uint64_t at_us, order;
    qr_sim_event_kind kind;
    uint32_t node;   /* number of the node or client */
    uint64_t life;   /* of the node's process; an event of another life is void */
    uint64_t number; /* the kind's own */
    void *pointer;   /* the kind's own */
} qr_sim_event;

typedef struct qr_sim_queue {
    qr_sim_event *heap; /* owned */
    size_t count, room;
    uint64_t order;
} qr_sim_queue;

void qr_sim_queue_free(qr_sim_queue *queue);
void qr_sim_queue_push(qr_sim_queue *queue, qr_sim_event event); /* stamps .order */
/* Puts an event back in at a later time without losing its place among those of the same time. */
void qr_sim_queue_delay(qr_sim_queue *queue, qr_sim_event event, uint64_t at_us);
bool qr_sim_queue_pop(qr_sim_queue *queue, qr_sim_event *event);
uint64_t qr_sim_queue_next_us(const qr_sim_queue *queue); /* UINT64_MAX when empty */

#endif

/* Private to src/sim: members that come, go and lose their disks.
 *
 * A node of the world is a seat. Who sits there has an id that never comes back: a member that was removed
 * ends, and somebody new with an empty disk takes the seat later. As with real processes, two members speak
 * with each other only while each lists the other one (os/peers), a new one begins when a member lists it
 * (bin/join), and one that was removed ends when it applies that or is refused by those who did. */
#ifndef QR_SIM_MEMBERS_H
#define QR_SIM_MEMBERS_H

#include "node/node.h"

typedef struct qr_sim_world qr_sim_world;
typedef struct qr_sim_node qr_sim_node;
typedef struct qr_sim_op qr_sim_op;

typedef enum qr_sim_standing {
    QR_SIM_FOUNDER, /* began with the members of the new group */
    QR_SIM_WAITING, /* an empty disk; starts when some member lists its id */
    QR_SIM_JOINER,  /* began with the list of another member, as a learner in its own eyes */
    QR_SIM_ENDED,   /* knows that it was removed */
} qr_sim_standing;

typedef struct qr_sim_seat {
    qr_sim_standing standing;
    bool removed; /* this process has applied its removal */
    uint32_t births;
    uint64_t lost_incarnation; /* of the newest disk that went bad or was lost; 0 = none */
    uint64_t roster[QR_MEMBERS_MAX];
    uint32_t roster_count;
} qr_sim_seat;

/* The configurations in the log, as the oracle has learned them. */
typedef struct qr_sim_configs {
    struct qr_sim_config_row {
        uint64_t index; /* of the entry; 0: the members that the group began with */
        qr_members members;
    } * rows; /* owned; at least one */
    size_t count, room;
    uint64_t committed; /* the newest entry that some leader has counted as committed */
} qr_sim_configs;

/* members.c: the processes and the administrator. All of it is idle in a run without changes of members. */
void qr_sim_members_init(qr_sim_world *world);
void qr_sim_members_calm(qr_sim_world *world); /* it begins */
bool qr_sim_members_may_boot(const qr_sim_node *node);
void qr_sim_members_configure(qr_sim_node *node, qr_node_config *config);
bool qr_sim_members_linked(const qr_sim_node *a, const qr_sim_node *b);
void qr_sim_members_reconfigured(qr_sim_node *node, bool removed);
void qr_sim_members_tick(qr_sim_world *world, uint32_t number);
/* May one more disk be lost, and may it be this one, without anything that is committed being lost? */
bool qr_sim_members_may_lose(const qr_sim_node *node);
bool qr_sim_members_is_admin(const qr_sim_world *world, uint32_t client);
/* False: nothing is to be changed now. */
bool qr_sim_members_draft(qr_sim_world *world, qr_change *change);

/* configs.c: what must be true of configurations, and what is counted in them. */
void qr_sim_configs_init(qr_sim_world *world);
void qr_sim_configs_free(qr_sim_configs *configs);
const qr_members *qr_sim_configs_last(const qr_sim_world *world);
/* NULL, or the configuration that the entry stands behind. */
const qr_members *qr_sim_configs_of(const qr_sim_world *world, uint64_t index);
/* Index of the configuration that put the id out; 0: it was never a member, or still is one. */
uint64_t qr_sim_configs_removed_at(const qr_sim_world *world, uint64_t id);
void qr_sim_configs_learn(qr_sim_world *world, uint64_t index, qr_slice bytes);
/* Is a mark on the disks of a quorum? halves: of both halves of a joint configuration. */
bool qr_sim_configs_kept(const qr_sim_world *world, const qr_members *members, uint32_t durable_on,
                         bool halves);
void qr_sim_configs_look(qr_sim_node *node, const qr_engine *engine, const qr_engine_status *status);
void qr_sim_configs_lead(qr_sim_node *node, const qr_engine *engine, const qr_engine_status *status);
void qr_sim_configs_trace(qr_sim_node *node, const qr_trace_record *record);
void qr_sim_configs_answered(qr_sim_op *op);
void qr_sim_configs_final(const qr_sim_op *op); /* an acknowledged change */

/* transfers.c: checkpoints on their way, cut at their chunks. */
void qr_sim_transfers_trace(qr_sim_node *node, const qr_trace_record *record);
/* The chunk that is sent next is to be spoilt on its way. */
bool qr_sim_transfers_spoil(qr_sim_node *node, uint64_t to, qr_slice message, qr_buffer *spoilt);

#endif

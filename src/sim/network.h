/* network: directed links between the members of one world. Each can lose, duplicate, delay and reorder
 * messages, be cut in one direction only, or be clogged. Arrivals are handed to the world as events. */
#ifndef QR_SIM_NETWORK_H
#define QR_SIM_NETWORK_H

#include "base/base.h"

enum { QR_SIM_NODES_MAX = 7 };

typedef struct qr_sim_message {
    uint32_t from, to;       /* numbers of nodes */
    uint64_t from_id, to_id; /* who they were when it was sent; the owner of the network fills them in */
    uint32_t copies;         /* still under way; the last one frees it */
    uint32_t size;
    uint8_t bytes[];
} qr_sim_message;

void qr_sim_message_drop(qr_sim_message *message); /* one copy less */

/* How the network behaves apart from cuts; the same for all links. Per million, microseconds. */
typedef struct qr_sim_weather {
    uint32_t loss, duplication, straggling, corruption; /* the last: one bit of a message turns */
    uint32_t delay_us_min, delay_us_max;
    uint32_t straggle_us_max;
    bool in_order; /* as over TCP: no message overtakes another one of the same link */
} qr_sim_weather;

/* Kinds of messages, as the network can tell them apart: the kind of the envelope and the first byte of what
 * is inside (doc/formats/peer.md). */
enum { QR_SIM_KINDS_MAX = 32 };

typedef struct qr_sim_network {
    uint32_t nodes;
    qr_sim_weather weather;
    uint32_t cuts[QR_SIM_NODES_MAX][QR_SIM_NODES_MAX];       /* [from][to]: how many faults hold it cut */
    uint64_t clogged_us[QR_SIM_NODES_MAX][QR_SIM_NODES_MAX]; /* nothing arrives before this time */
    uint64_t latest_us[QR_SIM_NODES_MAX][QR_SIM_NODES_MAX];  /* the last arrival in order */
    uint16_t kinds[QR_SIM_KINDS_MAX];                        /* seen so far */
    uint32_t kind_count;
    uint16_t lost_kind; /* all of this kind are lost until then */
    uint64_t lost_kind_us;
    qr_prng prng;
    uint64_t sent, lost, spoilt;
    /* The message arrives at that time. */
    void (*arrival)(void *context, qr_sim_message *message, uint64_t at_us);
    void *context;
} qr_sim_network;

void qr_sim_network_init(qr_sim_network *network, uint32_t nodes, uint64_t seed);
void qr_sim_network_send(qr_sim_network *network, uint32_t from, uint32_t to, qr_slice bytes,
                         uint64_t now_us);
static inline bool qr_sim_network_is_cut(const qr_sim_network *network, uint32_t from, uint32_t to)
{
    return network->cuts[from][to] > 0;
}

/* A cut is a set of directed links; it is made and mended as a whole. Bit from * QR_SIM_NODES_MAX + to. */
typedef uint64_t qr_sim_cut;

typedef enum qr_sim_cut_shape {
    QR_SIM_CUT_ISOLATE, /* one node from all others */
    QR_SIM_CUT_HALVES,  /* two groups */
    QR_SIM_CUT_ONE_WAY, /* one direction of one pair */
    QR_SIM_CUT_DEAF,    /* one node hears nobody, but is heard */
    QR_SIM_CUT_MUTE,    /* one node is not heard, but hears */
    QR_SIM_CUT_PAIR,    /* both directions of one pair */
    QR_SIM_CUT_BRIDGE,  /* two groups that only one node in the middle can reach */
    QR_SIM_CUT_RING,    /* each reaches a majority, no two the same one */
    QR_SIM_CUT_SHAPES,
} qr_sim_cut_shape;

/* victim: the node a shape with one node in it is about. */
qr_sim_cut qr_sim_cut_make(qr_sim_network *network, qr_sim_cut_shape shape, uint32_t victim);
void qr_sim_cut_apply(qr_sim_network *network, qr_sim_cut cut, bool mend);
static inline bool qr_sim_cut_has(qr_sim_cut cut, uint32_t from, uint32_t to)
{
    return cut >> (from * QR_SIM_NODES_MAX + to) & 1;
}
const char *qr_sim_cut_name(qr_sim_cut_shape shape);

#endif

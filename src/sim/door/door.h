/* sim/door: the ZooKeeper door inside the simulated world. Its clients speak bytes with the production door,
 * which stands on the production node, over connections that break and sessions that move; a hand beside them
 * writes the same keys as another door would. Everything that clients are told is held against a model of
 * paths and against what ZooKeeper promises. doc/design/door-simulation.md. */
#ifndef QR_SIM_DOOR_DOOR_H
#define QR_SIM_DOOR_DOOR_H

#include "sim/sim.h"

extern const qr_sim_door_ops qr_sim_door_zookeeper;

#endif

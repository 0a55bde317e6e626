/* A cluster for tests: real engines, logs and nodes over disks in memory, a network that the test may cut,
 * thin out and double, and a machine that remembers the first byte of every body in order. */
#ifndef TEST_NODE_CLUSTER_H
#define TEST_NODE_CLUSTER_H

#include "fake_disk.h"
#include "node/node.h"

enum { CLUSTER_NODES_MAX = 3, CLUSTER_ANSWERS_MAX = 64 };

typedef struct cluster cluster;

typedef struct cluster_member {
    cluster *cluster;
    uint64_t id;
    fake_disk *disk;
    qr_node *node; /* NULL: down */
    bool is_cut;   /* from everybody */
    uint64_t incarnation;
    uint16_t apply_knows, level_max; /* from the next cluster_open on */
    size_t restored;                 /* states taken over from a leader */
} cluster_member;

typedef struct cluster_message {
    uint64_t from, to;
    qr_buffer bytes;
} cluster_message;

struct cluster {
    size_t count;
    cluster_member members[CLUSTER_NODES_MAX]; /* ids 1, 2, 3 */
    uint64_t now_ms;
    cluster_message *queue;
    size_t queued, queue_room;
    uint64_t sent, lose_each, double_each; /* each n-th message; 0: none */
    uint64_t checkpoint_bytes;
    uint32_t bug; /* core/bugs.h */
    qr_arena arena;
    qr_status answers[CLUSTER_ANSWERS_MAX]; /* in order of cluster_write */
    size_t asked, answered;
};

cluster *cluster_new(size_t count, uint64_t checkpoint_bytes);
/* Of these disks, which it owns from now on; nobody is started. */
cluster *cluster_of(fake_disk *const disks[], size_t count, uint64_t checkpoint_bytes);
void cluster_free(cluster *c);
qr_status cluster_open(cluster *c, cluster_member *member, const char **sentence);
/* The same as bin/serve does it: a damaged log is put aside; *put_aside says so. */
qr_status cluster_repair(cluster *c, cluster_member *member, bool *put_aside, const char **sentence);
void cluster_stop(cluster *c, cluster_member *member); /* the process ends, its disk keeps all */
void cluster_run(cluster *c, int turns);
cluster_member *cluster_leader(cluster *c); /* runs until there is one */
/* Writes a letter and returns the number of its answer. */
size_t cluster_write(cluster_member *member, char letter);
void cluster_write_many(cluster *c, cluster_member *member, char letter,
                        size_t count);                  /* one after another */
const char *cluster_text(const cluster_member *member); /* all that was applied, as letters */
qr_node_status cluster_status(const cluster_member *member);

#endif

/* A node of one: requests wait in a queue until fake_node_turn() gives them to a real tree. Its moods are set
 * by the test. */
#ifndef QR_TEST_DOOR_FAKE_NODE_H
#define QR_TEST_DOOR_FAKE_NODE_H

#include "core/txn.h"
#include "node/node.h"

enum { FAKE_SELF = 0x51, FAKE_OTHER = 0x52, FAKE_LEARNER = 0x53, FAKE_CLUSTER = 0xc1 };

typedef struct fake_request {
    qr_request request;
    qr_buffer body;
} fake_request;

/* A copy under way: of .export_size bytes of a pattern, given out by fake_node_turn(). */
struct qr_node_export {
    qr_node *node; /* NULL: not in use */
    void (*ready)(void *owner, qr_status status, uint64_t index, uint64_t size);
    void (*done)(void *owner, qr_status status, qr_slice bytes);
    void *owner;
    uint64_t offset;
    size_t size;
};

/* Every write is news to every watcher. */
struct qr_watcher {
    qr_node *node;
    qr_watch_config config; /* key and end are owned */
    uint64_t position;
    uint64_t seen; /* revision up to which all was told, 0 = not all */
    bool due;      /* ready() is to be called */
    qr_watcher *next;
};

struct qr_node {
    qr_watcher *watchers;
    bool waking; /* watchers don't start yet */
    uint64_t export_size;
    qr_status export_failure; /* what ready, or a read, is told */
    qr_node_export exports[QR_NODE_EXPORTS_MAX];
    qr_machine *tree;
    uint64_t index;
    qr_status refusal;  /* what submit answers when it is not QR_OK */
    qr_status failure;  /* what done is told when it is not QR_OK */
    uint64_t leader;    /* 0 = nobody */
    qr_members members; /* two voters and a learner; MEMBERS changes them without a judge */
    bool no_space;      /* as its status says */
    uint64_t divergent; /* the same */
    qr_status verdict;  /* what MEMBERS is told when it is not QR_OK */
    fake_request queue[64];
    size_t count;
    uint64_t holds;
    bool holds_ended;
    qr_request last; /* as it came; its body is not kept */
};

void fake_node_init(qr_node *node);
void fake_node_turn(qr_node *node);      /* answers everything that is queued */
uint8_t fake_node_byte(uint64_t offset); /* of an export */
void fake_node_free(qr_node *node);      /* unanswered requests get STOPPED */

#endif

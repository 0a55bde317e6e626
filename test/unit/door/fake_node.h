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

struct qr_node {
    qr_machine *tree;
    uint64_t index;
    qr_status refusal;  /* what submit answers when it is not QR_OK */
    qr_status failure;  /* what done is told when it is not QR_OK */
    uint64_t leader;    /* 0 = nobody */
    qr_members members; /* two voters and a learner; MEMBERS changes them without a judge */
    qr_status verdict;  /* what MEMBERS is told when it is not QR_OK */
    fake_request queue[64];
    size_t count;
    qr_request last; /* as it came; its body is not kept */
};

void fake_node_init(qr_node *node);
void fake_node_turn(qr_node *node); /* answers everything that is queued */
void fake_node_free(qr_node *node); /* unanswered requests get STOPPED */

#endif

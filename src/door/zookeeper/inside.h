/* inside: what the files of request.h share. */
#ifndef QR_DOOR_ZOOKEEPER_INSIDE_H
#define QR_DOOR_ZOOKEEPER_INSIDE_H

#include "door/zookeeper/acl.h"
#include "door/zookeeper/node.h"
#include "door/zookeeper/path.h"
#include "door/zookeeper/request.h"

/* One writing operation: the whole request, or an item of a multi. */
typedef struct qr__zk_item {
    int32_t type;
    const void *value; /* its record */
    /* Made of it, anew with each attempt. */
    bool is_create, is_numbered;
    qr_slice path;         /* as asked for */
    qr_jute_vector acl;    /* create: normal */
    qr__zk_attribute kept; /* create: its attribute */
    size_t put, seen;      /* the operations that write it, and that look at the key behind setData */
    /* setData: of the directory as it was judged, with the states before the key that is written. */
    bool has_directory;
    qr_directory directory;
    /* Of its result, kept from it before the tree is looked at again. */
    qr_slice name;    /* create: of the node */
    qr_key_value key; /* setData: as it was right behind it */
} qr__zk_item;

typedef struct qr__zk_plan {
    qr_node *node;
    qr_zookeeper_request *request;
    bool multi;
    qr__zk_item *items;
    size_t count;
    /* The transaction. Conditions say what it was judged by: when they do not hold it is judged anew. */
    qr_condition *conditions;
    size_t condition_count;
    qr_op *ops;
    size_t *item_of; /* of an operation each */
    size_t op_count;
    bool root_made;          /* the root is a key, or an item has made it one */
    uint64_t session_states; /* the check of the last attempt */
    uint32_t attempts;
    /* An item that is refused if all before it is as it should be; nothing behind it is looked at. */
    size_t doomed; /* SIZE_MAX: none */
    int32_t verdict;
    qr_status failure; /* of a look */
} qr__zk_plan;

enum {
    QR__ZK_OPS = 6, /* of an item, at most */
    QR__ZK_CONDITIONS = 3,
    QR__ZK_ATTEMPTS_MAX = 64, /* until a write that others always outrun is given up: OPERATION_TIMEOUT */
};

/* plan.c */
qr_zookeeper_step qr__zk_plan_make(qr__zk_plan *plan);
qr_zookeeper_step qr__zk_plan_applied(qr__zk_plan *plan, const qr_reply *reply);

/* item.c: adds what the item asks of the tree. An error that the item has by itself, once what was added
 * before holds; 0: none. */
int32_t qr__zk_item_plan(qr__zk_plan *plan, size_t index);
qr_op *qr__zk_add(qr__zk_plan *plan, size_t index, qr_op_kind kind);
void qr__zk_check(qr__zk_plan *plan, size_t index, uint8_t space, uint32_t tests, qr_slice key,
                  uint64_t states);

/* answer.c: of a write that was applied. */
void qr__zk_answer(qr__zk_plan *plan, const qr_txn_result *result);

/* read.c */
void qr__zk_read(qr_node *node, qr_zookeeper_request *request);
void qr__zk_multi_read(qr_node *node, qr_zookeeper_request *request);

/* request.c: how a request ends. The revision of an error is looked up. */
void qr__zk_refuse(qr_node *node, qr_zookeeper_request *request, int32_t err);
void qr__zk_reply(qr_zookeeper_request *request, uint64_t revision, const qr_jute_record *record,
                  const void *value);
void qr__zk_reply_bytes(qr_zookeeper_request *request, uint64_t revision, qr_buffer *bytes); /* frees them */
int32_t qr__zk_error_of(qr_status status);

#endif

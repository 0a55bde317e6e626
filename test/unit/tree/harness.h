/* A tree under test, and short words for what is asked of it. */
#ifndef TEST_TREE_HARNESS_H
#define TEST_TREE_HARNESS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "core/txn.h"
#include "tree/tree.h"

typedef struct harness {
    qr_machine *machine;
    qr_arena arena; /* of the last apply or query */
    uint64_t index;
    int64_t stamp_ms;
    qr_status status;              /* of the last apply or query */
    const qr_txn_result *rejected; /* of a transaction that failed: which operation did */
} harness;

void harness_open(harness *h, const qr_tree_config *config);
void harness_close(harness *h);
const qr_txn_result *harness_apply(harness *h, const qr_txn *txn); /* NULL unless QR_OK */
const qr_txn_result *harness_compact(harness *h, uint64_t revision);
const qr_txn_result *harness_body(harness *h, const qr_body *body);
const qr_leases_result *harness_lease(harness *h, int64_t lease); /* with its keys; 0 = all leases */
const qr_txn_result *harness_query(harness *h, const qr_txn *txn);
const qr_op_result *harness_op(harness *h, qr_op op);          /* one operation as a command */
const qr_op_result *harness_range(harness *h, qr_range range); /* one range as a query */
qr_tree_status harness_status(harness *h);
qr_hash_result harness_hash(harness *h, uint64_t revision);
qr_directory harness_directory(harness *h, const char *path);
void harness_work(harness *h); /* until nothing is left */
void harness_check(harness *h);
/* Saves, with chunks of about budget bytes, and loads into a new machine. */
qr_machine *harness_copy(harness *h, size_t budget, const qr_tree_config *config);

/* Set-up and tear-down of a case whose state is a harness; the latter checks it once more. */
int harness_setup(void **state);
int harness_teardown(void **state);
uint64_t revision_of(harness *h);
uint64_t digest_of(harness *h);
void put(harness *h, const char *key, const char *value); /* as a command that must succeed */
uint64_t delete_key(harness *h, const char *key);         /* how many were deleted */

qr_span key_span(const char *key);
qr_span range_span(const char *from, const char *to);
qr_span from_span(const char *from);
qr_op put_op(const char *key, const char *value);
qr_op delete_op(qr_span span);
qr_op range_op(qr_span span);
qr_op txn_op(const qr_txn *txn);
#define HARNESS_TXN(...)                                                                                     \
    (&(qr_txn){.then_ops = (qr_op[]){__VA_ARGS__},                                                           \
               .then_count = sizeof((qr_op[]){__VA_ARGS__}) / sizeof(qr_op)})

#define assert_slice(slice, text)                                                                            \
    do {                                                                                                     \
        qr_slice got_slice = (slice);                                                                        \
        assert_int_equal(got_slice.size, strlen(text));                                                      \
        assert_memory_equal(got_slice.data, text, strlen(text));                                             \
    } while (0)

#endif

/* The simulator without a system beneath it: runs seeds A to B of the Raft engine over the key tree and prints the trace hash of
 * each, as `quorate sim --hashes` does. Built for wasm32 by tools/wasm; the hashes have to be those of the native build. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "raft/raft.h"
#include "sim/door/door.h"
#include "tree/tree.h"
#include "wire/sha256.h"

static qr_machine *new_tree(uint32_t bug, uint64_t admit_bytes)
{
    return qr_tree_open(&(qr_tree_config){.bug = bug, .admit_bytes = admit_bytes, .move_always = true});
}

/* For passwords of clients, which none here has; the real one is a library's. */
void qr_sha1(qr_slice bytes, uint8_t digest[QR_SHA1_SIZE])
{
    QR_CHECK(false, "no client here has a password");
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: seeds FIRST LAST\n");
        return 2;
    }
    uint64_t last = strtoull(argv[2], NULL, 10);
    int result = 0;
    for (uint64_t seed = strtoull(argv[1], NULL, 10); seed <= last; seed++) {
        qr_sim_report report;
        qr_sim_run(&(qr_sim_config){.seed = seed,
                                    .engine = &qr_raft,
                                    .machine = new_tree,
                                    .door = &qr_sim_door_zookeeper,
                                    .elects = true},
                   &report);
        printf("hash %" PRIu64 " %016" PRIx64 "\n", seed, report.trace_hash);
        if (report.failed) {
            printf("FAILED seed %" PRIu64 ": %s: %s\n", seed, report.invariant, report.detail);
            result = 1;
        }
    }
    return result;
}

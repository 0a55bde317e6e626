/* Fuzz target: command bodies, decoded and applied to a tree. The input is a run of bodies, each behind its
 * length in two bytes (little-endian; the last one may be cut short). Whatever comes in: a body that is
 * accepted has only this one form, a command that is rejected changes nothing, and the tree stays whole. */
#include <stdint.h>

#include "core/txn.h"
#include "tree/tree.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { COMMANDS_MAX = 64 };

static void check_form(qr_slice bytes, const qr_body *body)
{
    qr_buffer again;
    qr_buffer_init(&again);
    qr_body_encode(body, &again);
    QR_CHECK(qr_slice_equal(bytes, qr_buffer_slice(&again)), "an accepted body has a second form");
    qr_buffer_free(&again);
}

static void run_one(qr_machine *machine, uint64_t index, qr_slice bytes, qr_arena *arena)
{
    const qr_machine_ops *ops = machine->ops;
    qr_body body;
    qr_status decoded = qr_body_decode(bytes, arena, &body);
    if (decoded == QR_OK)
        check_form(bytes, &body);
    uint64_t digest = ops->digest(machine), revision = ops->revision(machine);
    qr_slice soon[] = {bytes, bytes};
    ops->foresee(machine, soon, 2);
    qr_command command = {.stamp_ms = (int64_t)index * 1000, .body = bytes};
    const void *result;
    qr_status status = ops->apply(machine, index, &command, arena, &result);
    QR_CHECK(decoded == QR_OK || status == decoded, "decoding and applying disagree");
    QR_CHECK(status == QR_OK || (ops->digest(machine) == digest && ops->revision(machine) == revision),
             "a rejected command changed something");
    QR_CHECK(ops->broken(machine) == NULL, "the tree is broken");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    qr_machine *machine = qr_tree_open(&(qr_tree_config){.quota_bytes = 100000});
    qr_reader reader = qr_reader_of(qr_slice_of(data, size));
    qr_arena arena;
    qr_arena_init(&arena);
    for (uint64_t index = 1; index <= COMMANDS_MAX && qr_reader_left(&reader) > 0; index++) {
        size_t wanted = qr_reader_u16(&reader), left = qr_reader_left(&reader);
        qr_slice bytes = qr_reader_take(&reader, wanted < left ? wanted : left);
        qr_arena_reset(&arena);
        run_one(machine, index, bytes, &arena);
        if (index % 3 == 0)
            machine->ops->work(machine, 5);
    }
    qr_arena_free(&arena);
    machine->ops->free(machine);
    return 0;
}

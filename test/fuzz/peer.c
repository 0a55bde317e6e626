/* What a peer may send: whole envelopes of random bytes, and well-formed envelopes with random bodies, so
 * that the engine's and the forwards' decoders are reached. The node must stay whole: no crash, no broken
 * invariant, bounded memory.
 *
 * Input: a row of {u8 how, u16 size, bytes}. how: bit 0 = wrap the bytes in an envelope, bit 1 = a forward
 * instead of an engine message, bit 2 = take a turn afterwards, bits 3..6 = milliseconds that pass, times 8;
 * bit 7 = in an envelope: a piece of a checkpoint or an answer to one.
 */
#include "node/node.h"
#include "raft/raft.h"
#include "tree/tree.h"

#include "../unit/wal/fake_disk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SELF = 1, PEER = 2, CLUSTER = 7, GROUP = 1, STEPS_MAX = 64 };

static qr_status lost(void *self, uint64_t to, qr_slice message)
{
    return QR_OK;
}

static qr_machine *new_machine(void *context)
{
    return qr_tree_open(&(qr_tree_config){0});
}

static qr_node *open_node(fake_disk *disk, qr_arena *arena)
{
    qr_node_config config = {
        .cluster = CLUSTER,
        .group = GROUP,
        .self = SELF,
        .incarnation = 3,
        .seed = 5,
        .heartbeat_ms = 100,
        .election_ms = 1000,
        .now_ms = 1,
        .segment_size = 64 * 1024,
        .engine = &qr_raft,
        .machine = new_machine(NULL),
        .new_machine = new_machine,
        .disk = disk->disk,
        .network = {.send = lost},
    };
    qr_members_add(&config.members, (qr_member){.id = SELF, .role = QR_ROLE_VOTER});
    qr_members_add(&config.members, (qr_member){.id = PEER, .role = QR_ROLE_VOTER});
    qr_node *node;
    const char *sentence;
    QR_CHECK(qr_node_open(&config, arena, &node, &sentence) == QR_OK, "a new folder opens");
    return node;
}

static void wrap(qr_buffer *out, uint8_t kind, qr_slice body)
{
    qr_buffer_clear(out);
    qr_buffer_u8(out, 1);
    qr_buffer_u8(out, kind);
    qr_buffer_u64(out, CLUSTER);
    qr_buffer_u64(out, GROUP);
    qr_buffer_u64(out, PEER);
    qr_buffer_u64(out, 4);
    qr_buffer_add_slice(out, body);
    qr_buffer_u64(out, qr_hash(qr_buffer_slice(out), SELF));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fake_disk *disk = fake_disk_new();
    qr_arena arena;
    qr_arena_init(&arena);
    qr_buffer message;
    qr_buffer_init(&message);
    qr_node *node = open_node(disk, &arena);
    qr_reader reader = qr_reader_of(qr_slice_of(data, size));
    uint64_t now_ms = 1;
    for (int step = 0; step < STEPS_MAX && qr_reader_left(&reader) > 0; step++) {
        uint8_t how = qr_reader_u8(&reader);
        size_t left = qr_reader_u16(&reader);
        if (left > qr_reader_left(&reader))
            left = qr_reader_left(&reader);
        qr_slice bytes = qr_reader_take(&reader, left);
        now_ms += (uint64_t)(how >> 3 & 15) * 8;
        if (how & 1) {
            wrap(&message, how & 128 ? 3 : how & 2 ? 2 : 1, bytes);
            bytes = qr_buffer_slice(&message);
        }
        qr_node_on_message(node, PEER, bytes, now_ms);
        if (how & 4) {
            qr_node_turn(node, now_ms, 0);
            fake_disk_pump(disk);
        }
        qr_node_status status;
        qr_node_status_of(node, &status);
        QR_CHECK(status.halted || qr_node_broken(node) == NULL, "messages never break an invariant");
    }
    qr_node_free(node);
    fake_disk_free(disk);
    qr_buffer_free(&message);
    qr_arena_free(&arena);
    return 0;
}

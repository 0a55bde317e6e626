/* Any bytes as a message: refused or unpacked within the published memory; what was unpacked can be packed
 * and unpacked again, and is the same then. */
#include "wire/protobuf.h"
#include "sample.pb-c.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    qr_arena arena;
    qr_arena_init(&arena);
    ProtobufCMessage *message =
        qr_protobuf_unpack(&sample__tree__descriptor, qr_slice_of(data, size), &arena);
    QR_ASSERT(arena.total <= QR_PROTOBUF_GROWTH * size + QR_PROTOBUF_BASE);
    if (message != NULL) {
        qr_buffer first, second;
        qr_arena again;
        qr_buffer_init(&first);
        qr_buffer_init(&second);
        qr_arena_init(&again);
        qr_protobuf_pack(message, &first);
        ProtobufCMessage *copy =
            qr_protobuf_unpack(&sample__tree__descriptor, qr_buffer_slice(&first), &again);
        QR_ASSERT(copy != NULL);
        qr_protobuf_pack(copy, &second);
        QR_ASSERT(qr_slice_equal(qr_buffer_slice(&first), qr_buffer_slice(&second)));
        qr_arena_free(&again);
        qr_buffer_free(&first);
        qr_buffer_free(&second);
    }
    qr_arena_free(&arena);
    return 0;
}

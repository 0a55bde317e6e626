/* Any bytes as a JSON document, and as a message to be written as one. What is read is understood by
 * protobuf-c; what is written is read back as the same message. */
#include "wire/json.h"
#include "sample.pb-c.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void come_back(const ProtobufCMessageDescriptor *descriptor, qr_slice wire, qr_arena *arena)
{
    ProtobufCMessage *message = qr_protobuf_unpack(descriptor, wire, arena);
    if (message == NULL) /* deeper than protobuf may be, or too many fields */
        return;
    qr_buffer packed, text, again;
    const char *why;
    qr_buffer_init(&packed);
    qr_buffer_init(&text);
    qr_buffer_init(&again);
    qr_protobuf_pack(message, &packed);
    if (qr_json_write(descriptor, qr_buffer_slice(&packed), &text)) {
        size_t taken = qr_json_read(descriptor, qr_buffer_slice(&text), &again, &why);
        QR_ASSERT(why || taken == text.size);
    }
    qr_buffer_free(&packed);
    qr_buffer_free(&text);
    qr_buffer_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const ProtobufCMessageDescriptor *const kinds[] = {&sample__kinds__descriptor,
                                                              &sample__tree__descriptor};
    if (size == 0 || size > 20000)
        return 0;
    const ProtobufCMessageDescriptor *descriptor = kinds[data[0] & 1];
    qr_slice input = qr_slice_of(data + 1, size - 1);
    qr_buffer out;
    qr_arena arena;
    const char *why;
    qr_buffer_init(&out);
    qr_arena_init(&arena);
    size_t taken = qr_json_read(descriptor, input, &out, &why);
    QR_ASSERT(taken <= input.size);
    if (!why && taken) {
        QR_ASSERT(out.size <= taken);
        come_back(descriptor, qr_buffer_slice(&out), &arena);
    }
    qr_buffer_clear(&out);
    (void)qr_json_write(descriptor, input, &out);
    come_back(descriptor, input, &arena);
    qr_arena_free(&arena);
    qr_buffer_free(&out);
    return 0;
}

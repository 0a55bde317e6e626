/* The bytes between two members: a hello, then frames, cut as they come. What is taken out was put in whole.
 */
#include "os/frames.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void take_hello(qr_slice bytes)
{
    qr_os_hello hello;
    uint8_t again[QR_OS_HELLO_SIZE];
    if (bytes.size < QR_OS_HELLO_SIZE || qr_os_hello_decode(bytes.data, &hello) != QR_OK)
        return;
    qr_os_hello_encode(&hello, again);
    QR_ASSERT(memcmp(again, bytes.data, sizeof again) == 0);
}

static void take_frames(qr_slice bytes)
{
    qr_slice payload;
    size_t used;
    while (qr_os_frame_take(bytes, 1 << 16, &payload, &used) == QR_OK) {
        QR_ASSERT(payload.size > 0 && used == QR_OS_FRAME_HEAD + payload.size && used <= bytes.size);
        bytes = qr_slice_of(bytes.data + used, bytes.size - used);
    }
}

/* The checksum is beyond a fuzzer's luck, so the input is framed by us as well: it must come back as it was.
 */
static void frame_and_take(qr_slice payload)
{
    qr_buffer wire;
    qr_buffer_init(&wire);
    qr_os_frame_add(&wire, payload);
    qr_slice back;
    size_t used;
    QR_ASSERT(qr_os_frame_take(qr_buffer_slice(&wire), payload.size, &back, &used) == QR_OK);
    QR_ASSERT(qr_slice_equal(back, payload) && used == wire.size);
    QR_ASSERT(qr_os_frame_take(qr_slice_of(wire.data, wire.size - 1), payload.size, &back, &used) ==
              QR_E_BUSY);
    take_frames(qr_buffer_slice(&wire));
    qr_buffer_free(&wire);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    take_hello(qr_slice_of(data, size));
    take_frames(qr_slice_of(data, size));
    if (size > 0)
        frame_and_take(qr_slice_of(data, size));
    return 0;
}

#include "os/frames.h"

/* "quorate" and a zero: eight bytes that no other protocol begins with. */
static const uint8_t magic[8] = {'q', 'u', 'o', 'r', 'a', 't', 'e', 0};

enum { HELLO_SEED = 1, FRAME_SEED = 2 }; /* of the checksums, so that one is never taken for the other */

void qr_os_hello_encode(const qr_os_hello *hello, uint8_t *bytes)
{
    memcpy(bytes, magic, 8);
    qr_store_u32(bytes + 8, hello->version);
    qr_store_u32(bytes + 12, hello->answer);
    qr_store_u64(bytes + 16, hello->cluster);
    qr_store_u64(bytes + 24, hello->group);
    qr_store_u64(bytes + 32, hello->from);
    qr_store_u64(bytes + 40, hello->to);
    qr_store_u64(bytes + 48, hello->incarnation);
    qr_store_u64(bytes + 56, qr_hash(qr_slice_of(bytes, 56), HELLO_SEED));
}

qr_status qr_os_hello_decode(const uint8_t *bytes, qr_os_hello *hello)
{
    if (memcmp(bytes, magic, 8) != 0)
        return QR_E_INVALID;
    if (qr_load_u64(bytes + 56) != qr_hash(qr_slice_of(bytes, 56), HELLO_SEED))
        return QR_E_CORRUPT;
    *hello = (qr_os_hello){
        .version = qr_load_u32(bytes + 8),
        .answer = qr_load_u32(bytes + 12),
        .cluster = qr_load_u64(bytes + 16),
        .group = qr_load_u64(bytes + 24),
        .from = qr_load_u64(bytes + 32),
        .to = qr_load_u64(bytes + 40),
        .incarnation = qr_load_u64(bytes + 48),
    };
    return QR_OK;
}

void qr_os_frame_add(qr_buffer *out, qr_slice payload)
{
    QR_ASSERT(payload.size > 0 && payload.size <= UINT32_MAX);
    uint8_t *head = qr_buffer_extend(out, QR_OS_FRAME_HEAD + payload.size);
    qr_store_u32(head, (uint32_t)payload.size);
    qr_store_u64(head + 4, qr_hash(payload, FRAME_SEED));
    memcpy(head + QR_OS_FRAME_HEAD, payload.data, payload.size);
}

qr_status qr_os_frame_take(qr_slice bytes, size_t payload_max, qr_slice *payload, size_t *used)
{
    if (bytes.size < QR_OS_FRAME_HEAD)
        return QR_E_BUSY;
    size_t size = qr_load_u32(bytes.data);
    if (size == 0)
        return QR_E_INVALID;
    if (size > payload_max)
        return QR_E_TOO_LARGE;
    if (bytes.size - QR_OS_FRAME_HEAD < size)
        return QR_E_BUSY;
    *payload = qr_slice_of(bytes.data + QR_OS_FRAME_HEAD, size);
    *used = QR_OS_FRAME_HEAD + size;
    return qr_load_u64(bytes.data + 4) == qr_hash(*payload, FRAME_SEED) ? QR_OK : QR_E_CORRUPT;
}

/* A list of members, as the file of a data folder or a peer's answer: what is taken encodes to the same
 * again.
 */
#include "bin/roster.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void take(qr_slice bytes)
{
    qr_roster roster, again;
    qr_roster_init(&roster);
    qr_roster_init(&again);
    if (qr_roster_decode(bytes, &roster) == QR_OK) {
        qr_buffer encoded;
        qr_buffer_init(&encoded);
        qr_roster_encode(&roster, &encoded);
        QR_ASSERT(qr_roster_decode(qr_buffer_slice(&encoded), &again) == QR_OK);
        QR_ASSERT(qr_roster_equal(&roster, &again));
        QR_ASSERT(roster.count <= QR_ROSTER_MAX && roster.cluster != 0 && roster.self != 0);
        qr_buffer_free(&encoded);
    }
    qr_roster_free(&roster);
    qr_roster_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    take(qr_slice_of(data, size));
    qr_buffer whole; /* the checksum is beyond a fuzzer's luck */
    qr_buffer_init(&whole);
    qr_buffer_add(&whole, data, size);
    qr_buffer_u64(&whole, qr_hash(qr_buffer_slice(&whole), 3));
    take(qr_buffer_slice(&whole));
    qr_buffer_free(&whole);
    return 0;
}

/* What the log costs besides the disk: making a record out of a turn's entries, and checking one. Bytes for
 * 1, 10, 100 and 1000 puts of 320 bytes each; figures are for each put. */
#include "meter.h"
#include "wal/inside.h"

enum { PUT_SIZE = 320, PUTS = 2000000 };

static void bench(meter *m, uint32_t puts)
{
    qr_prng prng;
    qr_prng_seed(&prng, 1);
    qr_buffer payload, bytes;
    qr_buffer_init(&payload);
    qr_buffer_init(&bytes);
    for (uint32_t i = 0; i < puts * PUT_SIZE; i++)
        qr_buffer_u8(&payload, (uint8_t)qr_prng_below(&prng, 256));
    uint64_t seed = qr_wal_seed(1, 2, 3, 4);
    wal_record record = {.index_first = 1, .index_last = puts, .payload = qr_buffer_slice(&payload)};
    char what[64];
    printf("\n%u puts a record, %.1f bytes a put\n", (unsigned)puts,
           (double)qr_wal_record_total(payload.size) / puts);
    meter_begin(m);
    for (uint32_t done = 0; done < PUTS; done += puts) {
        qr_buffer_clear(&bytes);
        record.position = done;
        qr_wal_record_write(&record, seed,
                            qr_buffer_extend(&bytes, (size_t)qr_wal_record_total(payload.size)));
    }
    snprintf(what, sizeof what, "write a record, %u puts", (unsigned)puts);
    meter_say(m, what, PUTS);
    meter_begin(m);
    for (uint32_t done = 0; done < PUTS; done += puts)
        QR_ASSERT(qr_wal_record_read(qr_buffer_slice(&bytes), seed, &record));
    snprintf(what, sizeof what, "check a record, %u puts", (unsigned)puts);
    meter_say(m, what, PUTS);
    qr_buffer_free(&payload);
    qr_buffer_free(&bytes);
}

int main(void)
{
    meter m;
    meter_open(&m);
    for (uint32_t puts = 1; puts <= 1000; puts *= 10)
        bench(&m, puts);
    return 0;
}

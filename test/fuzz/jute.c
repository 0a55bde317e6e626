/* Any bytes as any record of the protocol, as a run of operations, and as a stream cut into packets: refused
 * or decoded within the published memory; what was decoded encodes to bytes that decode to the same. */
#include "wire/jute.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { VALUE_MAX = 256, CHUNK = 64 }; /* bytes of the largest struct; of arena for a small one */

static void round_trip(const qr_jute_record *record, qr_slice bytes)
{
    _Alignas(16) uint8_t value[VALUE_MAX] = {0}, copy[VALUE_MAX] = {0};
    QR_ASSERT(qr_jute_record_size(record) <= VALUE_MAX);
    qr_arena arena;
    qr_buffer first, second;
    qr_arena_init(&arena);
    qr_buffer_init(&first);
    qr_buffer_init(&second);
    qr_reader reader = qr_reader_of(bytes);
    if (qr_jute_decode(record, &reader, &arena, value) == QR_OK) {
        qr_jute_encode(record, value, &first);
        QR_ASSERT(first.size == bytes.size - qr_reader_left(&reader));
        qr_reader again = qr_reader_of(qr_buffer_slice(&first));
        QR_ASSERT(qr_jute_decode(record, &again, &arena, copy) == QR_OK && qr_reader_left(&again) == 0);
        qr_jute_encode(record, copy, &second);
        QR_ASSERT(qr_slice_equal(qr_buffer_slice(&first), qr_buffer_slice(&second)));
        qr_buffer_clear(&second);
        qr_jute_print(record, value, &second);
    }
    QR_ASSERT(arena.total <= 2 * (QR_JUTE_GROWTH * bytes.size + CHUNK));
    qr_buffer_free(&first);
    qr_buffer_free(&second);
    qr_arena_free(&arena);
}

static void run(qr_slice bytes, bool answers)
{
    qr_arena arena;
    qr_arena_init(&arena);
    qr_reader reader = qr_reader_of(bytes);
    qr_jute_multi_item item;
    while (qr_jute_multi_next(&reader, &arena, answers, &item) == QR_OK && !item.header.done)
        QR_ASSERT((item.value == NULL) == (qr_jute_record_size(item.record) == 0));
    QR_ASSERT(arena.total <= QR_JUTE_GROWTH * bytes.size + CHUNK + VALUE_MAX);
    qr_arena_free(&arena);
}

/* Pieces of `piece` bytes; the bytes of all packets together, or of the word. */
static size_t split(qr_slice bytes, size_t piece)
{
    qr_jute_splitter splitter = {.head_size = 0};
    size_t total = 0;
    qr_jute_split verdict = QR_JUTE_SPLIT_NOTHING;
    for (size_t at = 0; at < bytes.size && verdict == QR_JUTE_SPLIT_NOTHING; at += piece) {
        size_t left = bytes.size - at;
        qr_slice input = qr_slice_of(bytes.data + at, left < piece ? left : piece), packet;
        while ((verdict = qr_jute_splitter_next(&splitter, &input, 4096, &packet)) == QR_JUTE_SPLIT_PACKET)
            total = total * 31 + packet.size + 1;
    }
    qr_jute_splitter_free(&splitter);
    return total * 4 + verdict;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const qr_slice bytes = qr_slice_of(data, size);
#define ROUND_TRIP(name, fields) round_trip(&qr_jute_record_##name, bytes);
    QR_JUTE_RECORDS(ROUND_TRIP)
    run(bytes, false);
    run(bytes, true);
    if (size > 0)
        QR_ASSERT(split(bytes, size) == split(bytes, 1) && split(bytes, 1) == split(bytes, 3));
    return 0;
}

/* Any bytes as the record of an ensemble: what is read is written as the same. And as what a change of
 * members asks for, behind a byte that says how: it is refused, or at least two servers are left. */
#include "door/zookeeper/ensemble.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_record(qr_slice bytes, qr_arena *arena, qr_zookeeper_ensemble *ensemble)
{
    if (qr_zookeeper_ensemble_decode(bytes, arena, ensemble) != QR_OK) {
        QR_ASSERT(ensemble->count == 0);
        return;
    }
    qr_buffer out, again;
    qr_buffer_init(&out);
    qr_buffer_init(&again);
    qr_zookeeper_ensemble_encode(ensemble, &out);
    QR_ASSERT(qr_zookeeper_ensemble_decode(qr_buffer_slice(&out), arena, ensemble) == QR_OK);
    qr_zookeeper_ensemble_encode(ensemble, &again);
    QR_ASSERT(qr_slice_equal(qr_buffer_slice(&out), qr_buffer_slice(&again)));
    QR_ASSERT(qr_zookeeper_ensemble_text(ensemble, arena).size > 0);
    qr_buffer_free(&out);
    qr_buffer_free(&again);
}

static void wish(qr_zookeeper_ensemble *ensemble, uint8_t how, qr_slice text, qr_arena *arena)
{
    qr_zookeeper_wishes wishes;
    qr_slice none = qr_slice_of(NULL, 0);
    if (qr_zookeeper_wishes_read(ensemble, how & 1 ? text : none, how & 2 ? text : none,
                                 how & 4 ? text : none, arena, &wishes) != 0)
        return;
    QR_ASSERT(wishes.joining_count <= QR_MEMBERS_MAX && wishes.leaving_count <= ensemble->count);
    for (size_t i = 0; i < wishes.leaving_count; i++)
        QR_ASSERT(qr_zookeeper_seat_numbered(ensemble, wishes.leaving[i]) != NULL);
    for (size_t i = 0; i < wishes.joining_count; i++)
        QR_ASSERT(wishes.joining[i].client_port != 0);
    QR_ASSERT(ensemble->count + wishes.joining_count >= wishes.leaving_count + 2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    qr_arena arena;
    qr_arena_init(&arena);
    qr_zookeeper_ensemble *ensemble = qr_arena_zero(&arena, 1, sizeof *ensemble);
    read_record(qr_slice_of(data, size), &arena, ensemble);
    for (uint32_t number = 1; ensemble->count < 3; number++) {
        struct qr_zookeeper_seat *seat = qr_zookeeper_seat_add(ensemble, 1000 + number, 0);
        seat->server.host = "a";
        seat->server.peer_port = (uint16_t)number;
    }
    wish(ensemble, data[0], qr_slice_of(data + 1, size - 1), &arena);
    qr_arena_free(&arena);
    return 0;
}

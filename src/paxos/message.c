#include "paxos/message.h"

#include <stddef.h>

#include "paxos/inside.h"

enum { FIELDS_MAX = 7 };

/* After format, kind and ballot each message is a row of varints; this table serves both directions. */
static const struct {
    uint8_t count;
    bool carries; /* entries */
    uint8_t offset[FIELDS_MAX];
} layouts[QR_PAXOS_MESSAGE_KINDS] = {
#define AT(field) (uint8_t) offsetof(qr_paxos_message, field)
    [QR_PAXOS_CANVASS] = {1, false, {AT(first)}},
    [QR_PAXOS_CANVASS_ANSWER] = {2, false, {AT(flags), AT(asked)}},
    [QR_PAXOS_PREPARE] = {3, false, {AT(flags), AT(first), AT(chosen)}},
    [QR_PAXOS_PROMISE] = {6, true, {AT(flags), AT(asked), AT(first), AT(last), AT(chosen), AT(count)}},
    [QR_PAXOS_ACCEPT] = {5, true, {AT(flags), AT(first), AT(chosen), AT(round), AT(count)}},
    [QR_PAXOS_ACCEPTED] = {7,
                           false,
                           {AT(flags), AT(first), AT(last), AT(chosen), AT(round), AT(taken), AT(match)}},
    [QR_PAXOS_TAKE_OVER] = {0, false, {0}},
    [QR_PAXOS_READ_ASK] = {1, false, {AT(id)}},
    [QR_PAXOS_READ_ANSWER] = {3, false, {AT(flags), AT(id), AT(index)}},
    [QR_PAXOS_CHOSEN] = {2, true, {AT(first), AT(count)}},
#undef AT
};
_Static_assert(sizeof(qr_paxos_message) < 256, "offsets fit a byte");

void qr_paxos_message_encode(const qr_paxos_message *message, qr_buffer *out)
{
    QR_ASSERT(message->kind > 0 && message->kind < QR_PAXOS_MESSAGE_KINDS);
    qr_buffer_u8(out, QR_PAXOS_FORMAT);
    qr_buffer_u8(out, (uint8_t)message->kind);
    qr_buffer_varint(out, message->ballot);
    for (uint8_t i = 0; i < layouts[message->kind].count; i++) {
        uint64_t number;
        memcpy(&number, (const char *)message + layouts[message->kind].offset[i], sizeof number);
        qr_buffer_varint(out, number);
    }
}

static qr_status check_numbers(const qr_paxos_message *message)
{
    if (message->ballot == 0 || message->flags > 1 || message->match > message->taken)
        return QR_E_INVALID;
    bool granted = message->flags & QR_PAXOS_GRANTED;
    switch (message->kind) {
    case QR_PAXOS_PROMISE:
        if (!granted)
            return message->count ? QR_E_INVALID : QR_OK;
        return message->asked != message->ballot || message->first == 0 || message->chosen > message->last ||
                       (message->count && message->first + message->count - 1 > message->last)
                   ? QR_E_INVALID
                   : QR_OK;
    case QR_PAXOS_CANVASS:
    case QR_PAXOS_ACCEPT:
    case QR_PAXOS_CHOSEN: return message->first == 0 ? QR_E_INVALID : QR_OK;
    case QR_PAXOS_ACCEPTED:
        return message->taken > message->last || message->chosen > message->taken ? QR_E_INVALID : QR_OK;
    default: return QR_OK;
    }
}

qr_status qr_paxos_message_decode(qr_slice bytes, qr_paxos_message *message)
{
    *message = (qr_paxos_message){0};
    qr_reader reader = qr_reader_of(bytes);
    uint8_t format = qr_reader_u8(&reader), kind = qr_reader_u8(&reader);
    if (reader.failed)
        return QR_E_INVALID;
    if (format != QR_PAXOS_FORMAT)
        return QR_E_BAD_VERSION;
    if (kind == 0 || kind >= QR_PAXOS_MESSAGE_KINDS)
        return QR_E_INVALID;
    message->kind = (qr_paxos_message_kind)kind;
    message->ballot = qr_reader_varint(&reader);
    uint64_t greatest = message->ballot;
    for (uint8_t i = 0; i < layouts[kind].count; i++) {
        uint64_t number = qr_reader_varint(&reader);
        memcpy((char *)message + layouts[kind].offset[i], &number, sizeof number);
        greatest = number > greatest ? number : greatest;
    }
    if (reader.failed || greatest > QR_PAXOS_NUMBER_MAX)
        return QR_E_INVALID;
    if (!layouts[kind].carries && qr_reader_left(&reader) != 0)
        return QR_E_INVALID;
    message->entries = qr_slice_of(reader.at, qr_reader_left(&reader));
    if (layouts[kind].carries && (message->count > message->entries.size ||
                                  !qr_paxos_entries_sound(reader, message->count, QR_PAXOS_NUMBER_MAX)))
        return QR_E_INVALID;
    return check_numbers(message);
}

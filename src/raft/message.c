#include "raft/message.h"

#include <stddef.h>

#include "raft/raft_internal.h"

enum { FIELDS_MAX = 7 };

/* After format, kind and term each message is a row of varints; this table serves both directions. */
static const struct {
    uint8_t count;
    uint8_t offset[FIELDS_MAX];
} layouts[QR_RAFT_MESSAGE_KINDS] = {
#define AT(field) (uint8_t) offsetof(qr_raft_message, field)
    [QR_RAFT_PREVOTE_ASK] = {2, {AT(last_index), AT(last_term)}},
    [QR_RAFT_PREVOTE_ANSWER] = {2, {AT(flags), AT(asked_term)}},
    [QR_RAFT_VOTE_ASK] = {3, {AT(flags), AT(last_index), AT(last_term)}},
    [QR_RAFT_VOTE_ANSWER] = {1, {AT(flags)}},
    [QR_RAFT_APPEND] = {6, {AT(flags), AT(prev_index), AT(prev_term), AT(commit), AT(round), AT(count)}},
    [QR_RAFT_APPEND_ANSWER] = {7,
                               {AT(flags), AT(accepted), AT(match), AT(round), AT(prev_index), AT(last_index),
                                AT(last_term)}},
    [QR_RAFT_TIMEOUT_NOW] = {0, {0}},
    [QR_RAFT_READ_ASK] = {1, {AT(id)}},
    [QR_RAFT_READ_ANSWER] = {3, {AT(flags), AT(id), AT(index)}},
#undef AT
};
_Static_assert(sizeof(qr_raft_message) < 256, "offsets fit a byte");

void qr_raft_message_encode(const qr_raft_message *message, qr_buffer *out)
{
    QR_ASSERT(message->kind > 0 && message->kind < QR_RAFT_MESSAGE_KINDS);
    qr_buffer_u8(out, QR_RAFT_FORMAT);
    qr_buffer_u8(out, (uint8_t)message->kind);
    qr_buffer_varint(out, message->term);
    for (uint8_t i = 0; i < layouts[message->kind].count; i++) {
        uint64_t number;
        memcpy(&number, (const char *)message + layouts[message->kind].offset[i], sizeof number);
        qr_buffer_varint(out, number);
    }
}

static qr_status check_entries(const qr_raft_message *message)
{
    qr_reader reader = qr_reader_of(message->entries);
    uint64_t term = message->prev_term;
    for (uint64_t i = 0; i < message->count; i++) {
        qr_raft_view view;
        if (qr_raft_entry_decode(&reader, &view) != QR_OK || view.term < term || view.term > message->term)
            return QR_E_INVALID;
        term = view.term;
        if (view.kind == QR_ENTRY_MEMBERS) {
            qr_members members;
            qr_reader inside = qr_reader_of(view.bytes);
            if (qr_members_decode(&inside, &members) != QR_OK || qr_reader_left(&inside) != 0)
                return QR_E_INVALID;
        }
    }
    return qr_reader_left(&reader) == 0 ? QR_OK : QR_E_INVALID;
}

static qr_status check_numbers(const qr_raft_message *message)
{
    if (message->term == 0 || message->flags > 1)
        return QR_E_INVALID;
    if (message->last_term > message->term || message->match > message->accepted)
        return QR_E_INVALID;
    if (message->kind == QR_RAFT_APPEND &&
        (message->prev_term > message->term || (message->prev_index == 0) != (message->prev_term == 0)))
        return QR_E_INVALID;
    return QR_OK;
}

qr_status qr_raft_message_decode(qr_slice bytes, qr_raft_message *message)
{
    *message = (qr_raft_message){0};
    qr_reader reader = qr_reader_of(bytes);
    uint8_t format = qr_reader_u8(&reader), kind = qr_reader_u8(&reader);
    if (reader.failed)
        return QR_E_INVALID;
    if (format != QR_RAFT_FORMAT)
        return QR_E_BAD_VERSION;
    if (kind == 0 || kind >= QR_RAFT_MESSAGE_KINDS)
        return QR_E_INVALID;
    message->kind = (qr_raft_message_kind)kind;
    message->term = qr_reader_varint(&reader);
    uint64_t greatest = message->term;
    for (uint8_t i = 0; i < layouts[kind].count; i++) {
        uint64_t number = qr_reader_varint(&reader);
        memcpy((char *)message + layouts[kind].offset[i], &number, sizeof number);
        greatest = number > greatest ? number : greatest;
    }
    if (reader.failed || greatest > QR_RAFT_NUMBER_MAX)
        return QR_E_INVALID;
    if (kind == QR_RAFT_APPEND) {
        message->entries = qr_slice_of(reader.at, qr_reader_left(&reader));
        if (message->count > message->entries.size || check_entries(message) != QR_OK)
            return QR_E_INVALID;
    } else if (qr_reader_left(&reader) != 0) {
        return QR_E_INVALID;
    }
    return check_numbers(message);
}

/* Envelopes: what every message between two nodes is wrapped in. doc/formats/peer.md. */
#include "core/bugs.h"
#include "node/internal.h"

enum { CHECKSUM_SIZE = 8 };

qr_buffer *qr_envelope__begin(qr_node *node, qr_envelope_kind kind)
{
    qr_buffer *out = &node->message;
    qr_buffer_clear(out);
    qr_buffer_u8(out, QR_NODE_FORMAT);
    qr_buffer_u8(out, (uint8_t)kind);
    qr_buffer_u64(out, node->config.cluster);
    qr_buffer_u64(out, node->config.group);
    qr_buffer_u64(out, node->config.self);
    qr_buffer_u64(out, node->incarnation);
    return out;
}

qr_status qr_envelope__send(qr_node *node, uint64_t to)
{
    qr_buffer_u64(&node->message, qr_hash(qr_buffer_slice(&node->message), to));
    QR_ASSERT(node->message.size <= QR_PEER_MESSAGE_MAX);
    return node->config.network.send(node->config.network.self, to, qr_buffer_slice(&node->message));
}

/* A member whose disk was replaced comes back with a newer incarnation; what its old disk said is void from
 * then on (facts row 31). */
static bool is_current_life(qr_node *node, uint64_t from, uint64_t incarnation)
{
    for (size_t i = 0; i < node->life_count; i++) {
        if (node->lives[i].id != from)
            continue;
        if (incarnation > node->lives[i].incarnation)
            node->lives[i] = (qr_peer_life){.id = from, .incarnation = incarnation};
        return incarnation == node->lives[i].incarnation;
    }
    if (node->life_count < QR_MEMBERS_MAX)
        node->lives[node->life_count++] = (qr_peer_life){.id = from, .incarnation = incarnation};
    return true;
}

qr_status qr_envelope__open(qr_node *node, uint64_t from, qr_slice message, qr_envelope_kind *kind,
                            uint64_t *incarnation, qr_slice *body)
{
    if (message.size < CHECKSUM_SIZE || message.size > QR_PEER_MESSAGE_MAX)
        return QR_E_INVALID;
    qr_slice covered = qr_slice_of(message.data, message.size - CHECKSUM_SIZE);
    if (qr_load_u64(message.data + covered.size) != qr_hash(covered, node->config.self) &&
        !QR_BUG(node->config.bug, ENVELOPE_UNCHECKED))
        return QR_E_CORRUPT;
    qr_reader reader = qr_reader_of(covered);
    uint8_t format = qr_reader_u8(&reader);
    *kind = (qr_envelope_kind)qr_reader_u8(&reader);
    uint64_t cluster = qr_reader_u64(&reader);
    uint64_t group = qr_reader_u64(&reader);
    uint64_t sender = qr_reader_u64(&reader);
    *incarnation = qr_reader_u64(&reader);
    if (reader.failed)
        return QR_E_INVALID;
    if (format != QR_NODE_FORMAT)
        return QR_E_BAD_VERSION;
    if (cluster != node->config.cluster || group != node->config.group || sender != from)
        return QR_E_FOREIGN;
    if (!is_current_life(node, from, *incarnation))
        return QR_E_FOREIGN;
    *body = qr_reader_take(&reader, qr_reader_left(&reader));
    return QR_OK;
}

/* A checkpoint goes to a peer that is behind the beginning of the log: the messages, and the side that sends.
 * doc/formats/peer.md has the bytes.
 *
 * One chunk is under way at a time, and the next one follows the answer that says up to where the peer has
 * the file on its disk: so a transfer never fills a queue, appends and heartbeats go in between, and it goes
 * on from wherever the peer stands, after losses and restarts alike. Only an answer that tells of progress is
 * followed at once; for everything else the sender waits, or each message that came twice would beget another
 * stream of chunks.
 *
 *   leader                               follower
 *     CHUNK index size offset=0 bytes ->   writes and syncs them
 *                                     <- DURABLE offset
 *     CHUNK ... offset bytes          ->   ...
 *     CHUNK offset=size, no bytes     ->   (a question, while the follower loads it)
 *                                     <- NEEDLESS once its state is as new, DAMAGED if the file is not whole
 */
#include "node/internal.h"

void qr_transfer__say(qr_node *node, uint64_t to, const qr_transfer_message *message)
{
    qr_buffer *out = qr_envelope__begin(node, QR_ENVELOPE_CHECKPOINT);
    qr_buffer_u8(out, (uint8_t)message->word);
    qr_buffer_u64(out, message->index);
    qr_buffer_u64(out, message->size);
    qr_buffer_u64(out, message->offset);
    qr_buffer_add_slice(out, message->bytes);
    qr_envelope__send(node, to); /* may be lost; it is asked again */
}

/* ---------------------------------------------------------------- sending ---- */

static void end(qr_sending *sending)
{
    sending->ending = true;
    if (qr_checkpoint_fetcher_busy(sending->fetcher))
        return;
    qr_checkpoint_fetcher_free(sending->fetcher);
    *sending = (qr_sending){.node = sending->node};
}

static qr_sending *find(qr_node *node, uint64_t peer)
{
    for (size_t i = 0; i < QR_NODE_SENDINGS_MAX; i++)
        if (node->sendings[i].peer == peer && !node->sendings[i].ending)
            return &node->sendings[i];
    return NULL;
}

bool qr_transfer__uses(const qr_node *node, uint64_t index)
{
    for (size_t i = 0; i < QR_NODE_SENDINGS_MAX; i++)
        if (node->sendings[i].peer != 0 && node->sendings[i].file.index == index)
            return true;
    return false;
}

static size_t chunk_size(const qr_node *node)
{
    size_t size = node->config.engine_message_max;
    if (size == 0 || size > QR_NODE_CHUNK_MAX)
        return QR_NODE_CHUNK_MAX;
    return size < QR_NODE_CHUNK_MIN ? QR_NODE_CHUNK_MIN : size;
}

static uint64_t patience_ms(const qr_node *node)
{
    return (uint64_t)node->config.election_ms / 2 + 1;
}

static void send_chunk(qr_sending *sending, qr_slice bytes)
{
    qr_node *node = sending->node;
    sending->sent_ms = node->now_ms;
    qr_trace_add(&node->trace, QR_TRACE_CHECKPOINT_CHUNK, sending->peer, sending->offset,
                 sending->offset + bytes.size, sending->file.size);
    qr_transfer__say(node, sending->peer,
                     &(qr_transfer_message){.word = QR_TRANSFER_CHUNK,
                                            .index = sending->file.index,
                                            .size = sending->file.size,
                                            .offset = sending->offset,
                                            .bytes = bytes});
}

static void on_fetched(void *context, qr_status status, uint64_t offset, qr_slice bytes)
{
    qr_sending *sending = context;
    qr_node *node = sending->node;
    if (node->halted)
        return;
    if (sending->ending) {
        end(sending);
    } else if (status != QR_OK ||
               bytes.size == 0) { /* it is gone, or shorter than it was: it needs a new one */
        qr_trace_add(&node->trace, QR_TRACE_CHECKPOINT_DAMAGED, sending->file.index, status, 0, 0);
        node->keeper.forced |= sending->file.index == node->keeper.newest.index;
        end(sending);
    } else if (offset == sending->offset) {
        send_chunk(sending, bytes);
    } else {
        sending->sent_ms = 0;
    }
    qr_node__wake(node);
}

static void fetch_chunk(qr_sending *sending)
{
    qr_node *node = sending->node;
    if (qr_checkpoint_fetcher_busy(sending->fetcher))
        return;
    uint64_t left = sending->file.size - sending->offset;
    if (left == 0) {
        send_chunk(sending, qr_slice_of(NULL, 0));
        return;
    }
    sending->sent_ms = node->now_ms;
    size_t size = left < chunk_size(node) ? (size_t)left : chunk_size(node);
    qr_checkpoint_fetch(sending->fetcher, sending->offset, size, on_fetched, sending);
}

void qr_transfer__wanted(qr_node *node, uint64_t peer)
{
    qr_engine_status engine;
    node->engine->ops->status(node->engine, &engine);
    qr_sending *sending = find(node, peer);
    if (sending != NULL && sending->file.index + 1 < engine.first_index) {
        end(sending); /* it took too long: what follows this one is gone too */
        sending = NULL;
    }
    if (sending != NULL) {
        sending->wanted_ms = node->now_ms;
        return;
    }
    sending = find(node, 0);
    if (sending == NULL || node->keeper.newest.index == 0 || node->role != QR_LEADER)
        return; /* the engine asks again */
    char name[QR_DISK_NAME_MAX];
    *sending =
        (qr_sending){.node = node, .peer = peer, .file = node->keeper.newest, .wanted_ms = node->now_ms};
    qr_keeper__name(sending->file.index, name);
    sending->fetcher = qr_checkpoint_fetcher_new(&node->config.disk, name);
    qr_trace_add(&node->trace, QR_TRACE_CHECKPOINT_SEND, peer, sending->file.index, sending->file.size, 0);
    fetch_chunk(sending);
}

static void answered(qr_node *node, uint64_t from, const qr_transfer_message *message)
{
    qr_sending *sending = find(node, from);
    if (sending == NULL || sending->file.index != message->index || sending->file.size != message->size ||
        message->offset > message->size)
        return;
    if (message->word == QR_TRANSFER_NEEDLESS) {
        if (sending->taken_ms == 0)
            sending->taken_ms = node->now_ms ? node->now_ms : 1;
    } else if (message->word == QR_TRANSFER_DAMAGED) {
        node->keeper.forced |= sending->file.index == node->keeper.newest.index;
        end(sending);
    } else if (message->offset > sending->offset) {
        sending->offset = message->offset;
        sending->sent_ms = 0;
        if (sending->offset < sending->file.size)
            fetch_chunk(sending);
    } else if (message->offset < sending->offset) {
        sending->offset = message->offset; /* it has started anew, or this is an old answer: after a while */
    }
}

void qr_transfer__heard(qr_node *node, uint64_t from, qr_reader *body)
{
    qr_transfer_message message = {.word = (qr_transfer_word)qr_reader_u8(body)};
    message.index = qr_reader_u64(body);
    message.size = qr_reader_u64(body);
    message.offset = qr_reader_u64(body);
    if (body->failed) {
        qr_trace_add(&node->trace, QR_TRACE_DROP, from, QR_E_INVALID, 0, 0);
        return;
    }
    message.bytes = qr_reader_take(body, qr_reader_left(body));
    switch (message.word) {
    case QR_TRANSFER_CHUNK: qr_receive__chunk(node, from, &message); break;
    case QR_TRANSFER_DURABLE:
    case QR_TRANSFER_NEEDLESS:
    case QR_TRANSFER_DAMAGED: answered(node, from, &message); break;
    default: qr_trace_add(&node->trace, QR_TRACE_DROP, from, QR_E_INVALID, 0, 0);
    }
}

/* ------------------------------------------------------------------ turns ---- */

void qr_transfer__turn(qr_node *node)
{
    for (size_t i = 0; i < QR_NODE_SENDINGS_MAX && !node->halted; i++) {
        qr_sending *sending = &node->sendings[i];
        if (sending->peer == 0)
            continue;
        uint64_t election_ms = node->config.election_ms;
        bool unwanted = node->now_ms >= sending->wanted_ms + 4 * election_ms;
        bool taken = sending->taken_ms > 0;
        /* Not at once when it is taken: the log behind it has to stay until the engines agree about that. */
        if (sending->ending || node->role != QR_LEADER || unwanted ||
            (taken && node->now_ms >= sending->taken_ms + 2 * election_ms))
            end(sending);
        else if (!taken && node->now_ms >= sending->sent_ms + patience_ms(node))
            fetch_chunk(sending);
    }
}

uint64_t qr_transfer__wake_ms(const qr_node *node)
{
    uint64_t wake = UINT64_MAX;
    for (size_t i = 0; i < QR_NODE_SENDINGS_MAX; i++) {
        const qr_sending *sending = &node->sendings[i];
        uint64_t at = sending->sent_ms + patience_ms(node);
        if (sending->taken_ms > 0)
            at = sending->taken_ms + 2 * (uint64_t)node->config.election_ms;
        if (sending->peer != 0 && !qr_checkpoint_fetcher_busy(sending->fetcher) && at < wake)
            wake = at;
    }
    return wake;
}

void qr_transfer__free(qr_node *node)
{
    for (size_t i = 0; i < QR_NODE_SENDINGS_MAX; i++)
        if (node->sendings[i].peer != 0)
            qr_checkpoint_fetcher_drop(node->sendings[i].fetcher);
}

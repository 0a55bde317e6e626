/* A leader's checkpoint comes in. Its bytes go to a file of our own as they come, each chunk is answered when
 * it is durable; the whole file is read into a machine of its own between turns, beside the one that goes on
 * serving; its digest is compared; it gets its name on the disk; and only then it takes the place of the old
 * state, in one turn.
 *
 * Meanwhile this member takes part in consensus as before. Should the log bring it beyond the checkpoint
 * first, the checkpoint is dropped: an older state is never put over a newer one. */
#include "core/bugs.h"
#include "node/internal.h"

enum { DEAF_MS = 10 * 1000 }; /* after a checkpoint that this program does not understand */

static bool is_outrun(const qr_node *node, uint64_t index)
{
    return index <= node->applied_index && !QR_BUG(node->config.bug, CHECKPOINT_OLDER);
}

static void answer(qr_node *node, qr_transfer_word word, uint64_t offset)
{
    const qr_receiving *receiving = &node->receiving;
    qr_transfer__say(node, receiving->from,
                     &(qr_transfer_message){
                         .word = word, .index = receiving->index, .size = receiving->size, .offset = offset});
}

/* Ends it; no operation of it may be under way. */
static void drop(qr_node *node)
{
    qr_receiving *receiving = &node->receiving;
    QR_ASSERT(!receiving->busy && receiving->reader == NULL);
    if (receiving->receiver != NULL)
        qr_checkpoint_receiver_free(receiving->receiver);
    if (receiving->receiver != NULL && receiving->state != QR_RECEIVING_KEPT)
        node->keeper.part = receiving->index;
    qr_restore__free(receiving->restore);
    *receiving = (qr_receiving){.deaf_ms = receiving->deaf_ms};
}

/* ------------------------------------------------------------------ loading ---- */

static void refuse(qr_node *node, qr_status status)
{
    qr_receiving *receiving = &node->receiving;
    if (status != QR_E_STOPPED)
        qr_trace_add(&node->trace, QR_TRACE_CHECKPOINT_DAMAGED, receiving->index, status, 0, 0);
    if (status == QR_E_BAD_VERSION && receiving->restore->about.apply_version > qr_level__known(node))
        qr_node__halt(node,
                      "the state of the cluster needs a newer version of this program: upgrade this member");
    if (status == QR_E_CORRUPT && !node->halted)
        answer(node, QR_TRANSFER_DAMAGED, 0);
    /* One's own disk does not give it back (IO): it is asked for from its first byte again. */
    if (status != QR_E_CORRUPT && status != QR_E_IO && status != QR_E_STOPPED)
        receiving->deaf_ms = node->now_ms + DEAF_MS;
    drop(node);
}

static void on_loaded(void *context, qr_status status, const char *sentence)
{
    qr_node *node = context;
    qr_receiving *receiving = &node->receiving;
    receiving->reader = NULL;
    qr_node__wake(node);
    if (status == QR_OK && receiving->restore->about.index != receiving->index)
        status = QR_E_CORRUPT;
    if (status == QR_OK)
        receiving->state = QR_RECEIVING_SETTLE;
    else
        refuse(node, status);
}

static void settle(qr_node *node)
{
    qr_receiving *receiving = &node->receiving;
    if (qr_restore__settle(receiving->restore, QR_NODE_SETTLE_BUDGET))
        return;
    qr_status status = qr_restore__end(receiving->restore);
    if (status == QR_OK)
        receiving->state = QR_RECEIVING_HOLD;
    else
        refuse(node, status);
}

static void load(qr_node *node)
{
    qr_receiving *receiving = &node->receiving;
    receiving->state = QR_RECEIVING_LOAD;
    receiving->restore = qr_restore__begin(node, node->config.new_machine(node->config.context));
    qr_checkpoint_visit visit = qr_restore__visit(receiving->restore);
    receiving->reader =
        qr_checkpoint_open(&node->config.disk, qr_checkpoint_receiver_name(receiving->receiver),
                           node->config.cluster, node->config.group, &visit, on_loaded, node);
}

/* ------------------------------------------------------------------- taking ---- */

static void on_written(void *context, qr_status status, uint64_t durable)
{
    qr_node *node = context;
    qr_receiving *receiving = &node->receiving;
    receiving->busy = false;
    qr_node__wake(node);
    if (status == QR_E_NO_SPACE)
        return; /* the leader asks again after a while */
    if (status != QR_OK) {
        qr_node__halt(node, "a checkpoint of the leader cannot be written to the disk");
        return;
    }
    if (receiving->state == QR_RECEIVING_KEEP) {
        receiving->state = QR_RECEIVING_KEPT;
        return;
    }
    qr_trace_add(&node->trace, QR_TRACE_CHECKPOINT_PART, receiving->from, receiving->durable, durable,
                 receiving->size);
    receiving->durable = durable;
    if (node->halted)
        return;
    answer(node, QR_TRANSFER_DURABLE, durable);
    if (durable == receiving->size)
        load(node);
}

static void start(qr_node *node, uint64_t from, const qr_transfer_message *message)
{
    qr_receiving *receiving = &node->receiving;
    drop(node);
    receiving->state = QR_RECEIVING_BYTES;
    receiving->from = from;
    receiving->index = message->index;
    receiving->size = message->size;
    receiving->receiver =
        qr_checkpoint_receive(&node->config.disk, message->index, message->size, on_written, node);
}

void qr_receive__chunk(qr_node *node, uint64_t from, const qr_transfer_message *message)
{
    qr_receiving *receiving = &node->receiving;
    bool sound = message->index > 0 && message->size > 0 && message->offset <= message->size &&
                 message->bytes.size <= message->size - message->offset &&
                 message->bytes.size <= QR_NODE_CHUNK_MAX;
    if (!sound || from != node->leader || node->role == QR_LEADER) {
        qr_trace_add(&node->trace, QR_TRACE_DROP, from, sound ? QR_E_DENIED : QR_E_INVALID, 0, 0);
        return;
    }
    if (node->config.new_machine == NULL || node->now_ms < receiving->deaf_ms)
        return;
    if (is_outrun(node, message->index)) {
        qr_transfer__say(node, from,
                         &(qr_transfer_message){
                             .word = QR_TRANSFER_NEEDLESS, .index = message->index, .size = message->size});
        return;
    }
    bool same = receiving->state != QR_RECEIVING_NOTHING && receiving->from == from &&
                receiving->index == message->index && receiving->size == message->size;
    if (!same && (receiving->busy || receiving->state > QR_RECEIVING_BYTES))
        return; /* first things first; it is asked again */
    if (!same)
        start(node, from, message);
    if (receiving->busy)
        return; /* the answer to an earlier one is on its way */
    if (receiving->state == QR_RECEIVING_BYTES && message->offset == receiving->durable &&
        message->bytes.size > 0) {
        receiving->busy = true;
        qr_checkpoint_receiver_add(receiving->receiver, message->bytes);
    } else {
        answer(node, QR_TRANSFER_DURABLE, receiving->durable);
    }
}

/* ------------------------------------------------------------------- swapping ---- */

static void install(qr_node *node)
{
    qr_receiving *receiving = &node->receiving;
    qr_restore *restore = receiving->restore;
    const qr_checkpoint_about *about = &restore->about;
    qr_trace_add(&node->trace, QR_TRACE_CHECKPOINT_TAKE, receiving->from, about->index, about->revision,
                 about->digest);
    qr_kept kept = {.index = about->index,
                    .term = about->term,
                    .size = receiving->size,
                    .content = restore->content,
                    .written = node->log_written,
                    .wall_ms = about->wall_ms};
    qr_restore__take(restore);
    qr_watch__jumped(node); /* before the engine may commit more */
    qr_restore__tell_engine(restore, true);
    qr_change__jumped(node);
    qr_lease__jumped(node);
    answer(node, QR_TRANSFER_NEEDLESS, receiving->size);
    drop(node);
    qr_keeper__adopt(node, &kept);
    qr_pending__jumped(node);
}

void qr_receive__turn(qr_node *node)
{
    qr_receiving *receiving = &node->receiving;
    if (node->halted || receiving->busy || receiving->state == QR_RECEIVING_NOTHING)
        return;
    bool must_go = is_outrun(node, receiving->index) || node->role == QR_LEADER;
    if (must_go && receiving->reader != NULL) {
        receiving->restore->is_over = true;
        return;
    }
    if (must_go) {
        if (receiving->state == QR_RECEIVING_KEPT)
            qr_keeper__note_file(node, receiving->index); /* to be removed */
        drop(node);
        return;
    }
    if (receiving->state == QR_RECEIVING_SETTLE)
        settle(node);
    /* Not while a save of the old machine runs, nor before entries that are committed but wait for the disk.
     */
    if (receiving->state == QR_RECEIVING_HOLD && node->keeper.writer == NULL && node->held_commits == 0) {
        receiving->state = QR_RECEIVING_KEEP;
        receiving->busy = true;
        qr_checkpoint_receiver_keep(receiving->receiver);
    } else if (receiving->state == QR_RECEIVING_KEPT && node->held_commits == 0) {
        install(node);
    }
}

uint64_t qr_receive__wake_ms(const qr_node *node)
{
    const qr_receiving *receiving = &node->receiving;
    bool hold = receiving->state == QR_RECEIVING_HOLD && node->keeper.writer == NULL;
    bool kept = receiving->state == QR_RECEIVING_KEPT;
    bool settles = receiving->state == QR_RECEIVING_SETTLE;
    return settles || ((hold || kept) && node->held_commits == 0) ? node->now_ms : UINT64_MAX;
}

void qr_receive__free(qr_node *node)
{
    qr_receiving *receiving = &node->receiving;
    if (receiving->reader != NULL)
        qr_checkpoint_reader_drop(receiving->reader);
    if (receiving->receiver != NULL)
        qr_checkpoint_receiver_drop(receiving->receiver);
    qr_restore__free(receiving->restore);
}

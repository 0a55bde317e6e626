/* Linearizable reads without log entries (ReadIndex, D 6.4).
 *
 * Leader: readers wait until an entry of the own term is committed (before that the commit index may be
 * behind what an earlier leader has answered). A round notes the commit index, and a quorum must answer
 * *this* round or a later one: then nobody else can have been leader when the round began, and the index is
 * good for all who came before it. One round is under way at a time; who comes meanwhile shares the next one.
 * Rounds are counted within a term, and answers of other terms are not heard, so a context is never used
 * twice (facts rows 10, 11).
 *
 * Everyone else asks the leader, one question at a time for all readers that wait. A question without an
 * answer is asked again under a new number. When leader or term change, every reader is refused: none hangs.
 */
#include "raft/raft_internal.h"

static void reads_push(qr_raft_reads *reads, uint64_t tag)
{
    if (reads->count == reads->room) {
        reads->room = reads->room ? reads->room * 2 : 16;
        reads->tags = qr_realloc(reads->tags, reads->room * sizeof *reads->tags);
    }
    reads->tags[reads->count++] = tag;
}

static void reads_move(qr_raft_reads *from, qr_raft_reads *to)
{
    for (size_t i = 0; i < from->count; i++)
        reads_push(to, from->tags[i]);
    from->count = 0;
}

static void reads_serve(qr_raft_engine *raft, qr_raft_reads *reads, uint64_t index)
{
    for (size_t i = 0; i < reads->count; i++) {
        qr_effect *effect = qr_effects_add(raft->effects, QR_EFFECT_READ_AT, 0);
        effect->read_at.tag = reads->tags[i];
        effect->read_at.index = index;
    }
    reads->count = 0;
}

static void refuse_list(qr_raft_engine *raft, qr_raft_reads *reads)
{
    for (size_t i = 0; i < reads->count; i++)
        qr_raft_refuse(raft, QR_EVENT_READ, reads->tags[i], raft->leader ? QR_E_NOT_LEADER : QR_E_NO_LEADER);
    reads->count = 0;
}

void qr_raft_reads_refuse(qr_raft_engine *raft)
{
    refuse_list(raft, &raft->confirming);
    refuse_list(raft, &raft->asking);
    refuse_list(raft, &raft->waiting);
    raft->round_running = false;
    raft->ask_running = false;
    for (uint32_t i = 0; i < raft->peer_count; i++) /* peers see the change of term, or ask again */
        raft->peers[i].question = raft->peers[i].question_running = 0;
}

/* ------------------------------------------------------------ leader ---- */

static uint64_t round_of(const void *context, uint64_t id)
{
    const qr_raft_engine *raft = context;
    const qr_raft_peer *peer = qr_raft_peer_of(raft, id);
    if (id == raft->config.self || QR_BUG(raft->config.bug, READ_NO_QUORUM))
        return raft->round;
    if (peer && peer->answered_any && QR_BUG(raft->config.bug, READ_OLD_ROUND))
        return raft->round;
    return peer ? peer->round : 0;
}

static void round_end(qr_raft_engine *raft)
{
    if (!raft->round_running || qr_quorum_value(qr_raft_counted(raft), round_of, raft) < raft->round)
        return;
    QR_ASSERT(raft->role == QR_LEADER && raft->round_index <= raft->commit);
    raft->round_running = false;
    qr_raft_trace(raft, QR_TRACE_READ_DONE, raft->round, raft->round_index, 0, 0);
    reads_serve(raft, &raft->confirming, raft->round_index);
    for (uint32_t i = 0; i < raft->peer_count; i++) {
        qr_raft_peer *peer = &raft->peers[i];
        if (peer->question_running)
            qr_raft_say(raft, peer->id, false,
                        &(qr_raft_message){.kind = QR_RAFT_READ_ANSWER,
                                           .term = raft->term,
                                           .id = peer->question_running,
                                           .index = raft->round_index});
        peer->question_running = 0;
    }
}

static void round_begin(qr_raft_engine *raft)
{
    bool somebody = raft->waiting.count > 0;
    for (uint32_t i = 0; i < raft->peer_count; i++)
        somebody = somebody || raft->peers[i].question;
    if (raft->round_running || !somebody)
        return;
    if (raft->commit < raft->noop_index && !QR_BUG(raft->config.bug, READ_BEFORE_NOOP))
        return;
    QR_ASSERT(raft->role == QR_LEADER && raft->confirming.count == 0);
    raft->round++; /* a context never used before in this term */
    raft->round_running = true;
    raft->round_index = raft->commit;
    reads_move(&raft->waiting, &raft->confirming);
    for (uint32_t i = 0; i < raft->peer_count; i++) {
        raft->peers[i].question_running = raft->peers[i].question;
        raft->peers[i].question = 0;
        raft->peers[i].answered_any = false;
    }
    qr_raft_trace(raft, QR_TRACE_READ_ROUND, raft->round, raft->round_index, 0, 0);
    round_end(raft); /* a lone voter is its own quorum */
}

void qr_raft_on_read_ask(qr_raft_engine *raft, uint64_t from, const qr_raft_message *message)
{
    if (raft->role == QR_LEADER) {
        qr_raft_peer *peer = qr_raft_peer_find(raft, from);
        if (peer) {
            peer->question = message->id; /* an older one was given up by its asker */
            return;
        }
    }
    qr_raft_say(
        raft, from, true,
        &(qr_raft_message){
            .kind = QR_RAFT_READ_ANSWER, .term = raft->term, .flags = QR_RAFT_REJECTED, .id = message->id});
}

/* ------------------------------------------------------------ asker ---- */

void qr_raft_on_read(qr_raft_engine *raft, uint64_t tag)
{
    if (raft->role != QR_LEADER && raft->leader == 0) {
        qr_raft_refuse(raft, QR_EVENT_READ, tag, QR_E_NO_LEADER);
        return;
    }
    if (raft->waiting.count + raft->confirming.count + raft->asking.count >= QR_RAFT_READS_MAX) {
        qr_raft_refuse(raft, QR_EVENT_READ, tag, QR_E_BUSY);
        return;
    }
    reads_push(&raft->waiting, tag);
    if (raft->role == QR_LEADER && (qr_raft_alone(raft) || QR_BUG(raft->config.bug, READ_NO_QUORUM)))
        round_begin(raft);
}

void qr_raft_on_read_answer(qr_raft_engine *raft, uint64_t from, const qr_raft_message *message)
{
    /* Any question since these readers came is good: on a slow network the answer to the first one may be the
     * first. */
    if (!raft->ask_running || message->id < raft->ask_first || message->id > raft->ask_id ||
        from != raft->leader)
        return;
    raft->ask_running = false;
    if (message->flags & QR_RAFT_REJECTED)
        refuse_list(raft, &raft->asking);
    else
        reads_serve(raft, &raft->asking, message->index);
}

void qr_raft_reads_tick(qr_raft_engine *raft)
{
    if (raft->role == QR_LEADER) {
        round_end(raft);
        round_begin(raft);
        return;
    }
    bool again = raft->ask_running && raft->now_ms - raft->ask_ms >= raft->config.heartbeat_ms;
    if (raft->leader == 0 || !(again || (!raft->ask_running && raft->waiting.count > 0)))
        return;
    QR_ASSERT(raft->leader != raft->config.self && raft->round_running == false);
    raft->ask_ms = raft->now_ms;
    raft->ask_id++;
    if (!again) {
        QR_ASSERT(raft->asking.count == 0);
        reads_move(&raft->waiting, &raft->asking);
        raft->ask_first = raft->ask_id;
    }
    raft->ask_running = true;
    qr_raft_say(raft, raft->leader, false,
                &(qr_raft_message){.kind = QR_RAFT_READ_ASK, .term = raft->term, .id = raft->ask_id});
}

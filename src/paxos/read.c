/* Linearizable reads without entries: a round of the ballot for each batch.
 *
 * Leader: readers wait until its first fresh value is chosen (before that its chosen index may be behind what
 * an earlier leader has answered). A round notes the chosen index, and a quorum must answer *this* round or a
 * later one in this ballot: then no quorum had promised a later ballot when the round began, and the index is
 * good for all who came before it. One round is under way at a time; who comes meanwhile shares the next one.
 * ("Paxos Made Live" 5.2 has master leases instead, which believe in clocks.)
 *
 * Everyone else asks the leader, one question at a time for all readers that wait. A question without an
 * answer is asked again under a new number. When leader or ballot change, every reader is refused: none
 * hangs.
 */
#include "paxos/inside.h"

static void reads_push(qr_paxos_reads *reads, uint64_t tag)
{
    if (reads->count == reads->room) {
        reads->room = reads->room ? reads->room * 2 : 16;
        reads->tags = qr_realloc(reads->tags, reads->room * sizeof *reads->tags);
    }
    reads->tags[reads->count++] = tag;
}

static void reads_move(qr_paxos_reads *from, qr_paxos_reads *to)
{
    for (size_t i = 0; i < from->count; i++)
        reads_push(to, from->tags[i]);
    from->count = 0;
}

static void reads_serve(qr_paxos_engine *paxos, qr_paxos_reads *reads, uint64_t index)
{
    for (size_t i = 0; i < reads->count; i++) {
        qr_effect *effect = qr_effects_add(paxos->effects, QR_EFFECT_READ_AT, 0);
        effect->read_at.tag = reads->tags[i];
        effect->read_at.index = index;
    }
    reads->count = 0;
}

static void refuse_list(qr_paxos_engine *paxos, qr_paxos_reads *reads)
{
    for (size_t i = 0; i < reads->count; i++)
        qr_paxos_refuse(paxos, QR_EVENT_READ, reads->tags[i],
                        paxos->leader ? QR_E_NOT_LEADER : QR_E_NO_LEADER);
    reads->count = 0;
}

void qr_paxos_reads_refuse(qr_paxos_engine *paxos)
{
    refuse_list(paxos, &paxos->confirming);
    refuse_list(paxos, &paxos->asking);
    refuse_list(paxos, &paxos->waiting);
    paxos->round_running = false;
    paxos->ask_running = false;
    for (uint32_t i = 0; i < paxos->peer_count; i++) /* peers see the change of ballot, or ask again */
        paxos->peers[i].question = paxos->peers[i].question_running = 0;
}

/* ------------------------------------------------------------ leader ---- */

static uint64_t round_of(const void *context, uint64_t id)
{
    const qr_paxos_engine *paxos = context;
    const qr_paxos_peer *peer = qr_paxos_peer_of(paxos, id);
    if (id == paxos->config.self || QR_BUG(paxos->config.bug, PAXOS_READ_UNCONFIRMED))
        return paxos->round;
    return peer ? peer->round : 0;
}

static void round_end(qr_paxos_engine *paxos)
{
    if (!paxos->round_running || qr_quorum_value(qr_paxos_members(paxos), round_of, paxos) < paxos->round)
        return;
    QR_ASSERT(paxos->role == QR_LEADER && paxos->round_index <= paxos->chosen);
    paxos->round_running = false;
    qr_paxos_trace(paxos, QR_TRACE_READ_DONE, paxos->round, paxos->round_index, 0, 0);
    reads_serve(paxos, &paxos->confirming, paxos->round_index);
    for (uint32_t i = 0; i < paxos->peer_count; i++) {
        qr_paxos_peer *peer = &paxos->peers[i];
        if (peer->question_running)
            qr_paxos_say(paxos, peer->id, false,
                         &(qr_paxos_message){.kind = QR_PAXOS_READ_ANSWER,
                                             .ballot = paxos->ballot,
                                             .id = peer->question_running,
                                             .index = paxos->round_index});
        peer->question_running = 0;
    }
}

static void round_begin(qr_paxos_engine *paxos)
{
    bool somebody = paxos->waiting.count > 0;
    for (uint32_t i = 0; i < paxos->peer_count; i++)
        somebody = somebody || paxos->peers[i].question;
    if (paxos->round_running || !somebody)
        return;
    if (paxos->noop_index == 0 || paxos->chosen < paxos->noop_index)
        return;
    QR_ASSERT(paxos->role == QR_LEADER && paxos->confirming.count == 0);
    paxos->round++; /* a context never used before in this ballot */
    paxos->round_running = true;
    paxos->round_index = paxos->chosen;
    reads_move(&paxos->waiting, &paxos->confirming);
    for (uint32_t i = 0; i < paxos->peer_count; i++) {
        paxos->peers[i].question_running = paxos->peers[i].question;
        paxos->peers[i].question = 0;
    }
    qr_paxos_trace(paxos, QR_TRACE_READ_ROUND, paxos->round, paxos->round_index, 0, 0);
    round_end(paxos); /* a lone voter is its own quorum */
}

void qr_paxos_on_read_ask(qr_paxos_engine *paxos, uint64_t from, const qr_paxos_message *message)
{
    if (paxos->role == QR_LEADER) {
        qr_paxos_peer *peer = qr_paxos_peer_find(paxos, from);
        if (peer) {
            peer->question = message->id; /* an older one was given up by its asker */
            return;
        }
    }
    qr_paxos_say(paxos, from, true,
                 &(qr_paxos_message){.kind = QR_PAXOS_READ_ANSWER,
                                     .ballot = paxos->ballot,
                                     .flags = QR_PAXOS_REJECTED,
                                     .id = message->id});
}

/* ------------------------------------------------------------ asker ---- */

void qr_paxos_on_read(qr_paxos_engine *paxos, uint64_t tag)
{
    if (paxos->role != QR_LEADER && paxos->leader == 0) {
        qr_paxos_refuse(paxos, QR_EVENT_READ, tag, QR_E_NO_LEADER);
        return;
    }
    if (paxos->waiting.count + paxos->confirming.count + paxos->asking.count >= QR_PAXOS_READS_MAX) {
        qr_paxos_refuse(paxos, QR_EVENT_READ, tag, QR_E_BUSY);
        return;
    }
    reads_push(&paxos->waiting, tag);
    if (paxos->role == QR_LEADER &&
        (qr_paxos_alone(paxos) || QR_BUG(paxos->config.bug, PAXOS_READ_UNCONFIRMED)))
        round_begin(paxos);
}

void qr_paxos_on_read_answer(qr_paxos_engine *paxos, uint64_t from, const qr_paxos_message *message)
{
    /* Any question since these readers came is good: on a slow network the answer to the first one may be the
     * first. */
    if (!paxos->ask_running || message->id < paxos->ask_first || message->id > paxos->ask_id ||
        from != paxos->leader)
        return;
    paxos->ask_running = false;
    if (message->flags & QR_PAXOS_REJECTED)
        refuse_list(paxos, &paxos->asking);
    else
        reads_serve(paxos, &paxos->asking, message->index);
}

void qr_paxos_reads_tick(qr_paxos_engine *paxos)
{
    if (paxos->role == QR_LEADER) {
        round_end(paxos);
        round_begin(paxos);
        return;
    }
    bool again = paxos->ask_running && paxos->now_ms - paxos->ask_ms >= paxos->config.heartbeat_ms;
    if (paxos->leader == 0 || !(again || (!paxos->ask_running && paxos->waiting.count > 0)))
        return;
    QR_ASSERT(paxos->leader != paxos->config.self && paxos->round_running == false);
    paxos->ask_ms = paxos->now_ms;
    paxos->ask_id++;
    if (!again) {
        QR_ASSERT(paxos->asking.count == 0);
        reads_move(&paxos->waiting, &paxos->asking);
        paxos->ask_first = paxos->ask_id;
    }
    paxos->ask_running = true;
    qr_paxos_say(
        paxos, paxos->leader, false,
        &(qr_paxos_message){.kind = QR_PAXOS_READ_ASK, .ballot = paxos->ballot, .id = paxos->ask_id});
}

/* Linearizable reads: the rounds of core/reads.h, asked for with accepts. What a quorum of the ballot answers
 * proves that no later one had begun when the round did. ("Paxos Made Live" 5.2 has master leases instead,
 * which believe in clocks.)
 *
 * The leader's readers wait until a fresh value of the own ballot is chosen: before that the chosen index may
 * be behind what an earlier leader has answered. */
#include "paxos/inside.h"

void qr_paxos_reads_refuse(qr_paxos_engine *paxos)
{
    qr_reads_refuse(&paxos->reads, &paxos->peers, paxos->leader, paxos->effects);
}

static uint64_t round_of(const void *context, uint64_t id)
{
    const qr_paxos_engine *paxos = context;
    const qr_peer *peer = qr_peers_of(&paxos->peers, id);
    if (id == paxos->config.self || QR_BUG(paxos->config.bug, PAXOS_READ_UNCONFIRMED))
        return paxos->reads.round;
    return peer ? peer->round : 0;
}

static void round_end(qr_paxos_engine *paxos)
{
    qr_reads *reads = &paxos->reads;
    if (!reads->round_running || qr_quorum_value(qr_paxos_members(paxos), round_of, paxos) < reads->round)
        return;
    QR_ASSERT(paxos->role == QR_LEADER && reads->round_index <= paxos->chosen);
    qr_paxos_trace(paxos, QR_TRACE_READ_DONE, reads->round, reads->round_index, 0, 0);
    qr_reads_end(reads, paxos->effects);
    for (uint32_t i = 0; i < paxos->peers.count; i++) {
        uint64_t question = qr_reads_take_question(&paxos->peers.list[i]);
        if (question)
            qr_paxos_say(paxos, paxos->peers.list[i].id, false,
                         &(qr_paxos_message){.kind = QR_PAXOS_READ_ANSWER,
                                             .ballot = paxos->ballot,
                                             .id = question,
                                             .index = reads->round_index});
    }
}

static void round_begin(qr_paxos_engine *paxos)
{
    qr_reads *reads = &paxos->reads;
    if (!qr_reads_want_round(reads, &paxos->peers) || paxos->noop_index == 0 ||
        paxos->chosen < paxos->noop_index)
        return;
    QR_ASSERT(paxos->role == QR_LEADER);
    qr_reads_begin(reads, &paxos->peers, paxos->chosen);
    qr_paxos_trace(paxos, QR_TRACE_READ_ROUND, reads->round, reads->round_index, 0, 0);
    round_end(paxos); /* a lone voter is its own quorum */
}

void qr_paxos_on_read_ask(qr_paxos_engine *paxos, uint64_t from, const qr_paxos_message *message)
{
    qr_peer *peer = paxos->role == QR_LEADER ? qr_peers_find(&paxos->peers, from) : NULL;
    if (peer) {
        peer->question = message->id; /* an older one was given up by its asker */
        return;
    }
    qr_paxos_say(paxos, from, true,
                 &(qr_paxos_message){.kind = QR_PAXOS_READ_ANSWER,
                                     .ballot = paxos->ballot,
                                     .flags = QR_PAXOS_REJECTED,
                                     .id = message->id});
}

void qr_paxos_on_read(qr_paxos_engine *paxos, uint64_t tag)
{
    bool has_leader = paxos->role == QR_LEADER || paxos->leader;
    qr_status status = has_leader ? qr_reads_add(&paxos->reads, tag) : QR_E_NO_LEADER;
    if (status != QR_OK)
        qr_paxos_refuse(paxos, QR_EVENT_READ, tag, status);
    else if (paxos->role == QR_LEADER &&
             (qr_paxos_alone(paxos) || QR_BUG(paxos->config.bug, PAXOS_READ_UNCONFIRMED)))
        round_begin(paxos);
}

void qr_paxos_on_read_answer(qr_paxos_engine *paxos, uint64_t from, const qr_paxos_message *message)
{
    if (from == paxos->leader)
        qr_reads_answered(&paxos->reads, message->id, message->flags & QR_PAXOS_REJECTED, message->index,
                          paxos->leader, paxos->effects);
}

void qr_paxos_reads_tick(qr_paxos_engine *paxos)
{
    if (paxos->role == QR_LEADER) {
        round_end(paxos);
        round_begin(paxos);
    } else if (paxos->leader && qr_reads_ask(&paxos->reads, paxos->now_ms, paxos->config.heartbeat_ms)) {
        qr_paxos_say(paxos, paxos->leader, false,
                     &(qr_paxos_message){
                         .kind = QR_PAXOS_READ_ASK, .ballot = paxos->ballot, .id = paxos->reads.ask_id});
    }
}

/* Linearizable reads (D 6.4): the rounds of core/reads.h, asked for with appends.
 *
 * The leader's readers wait until an entry of the own term is committed: before that the commit index may be
 * behind what an earlier leader has answered. A round is answered by a quorum of the configuration in force.
 */
#include "raft/raft_internal.h"

void qr_raft_reads_refuse(qr_raft_engine *raft)
{
    qr_reads_refuse(&raft->reads, &raft->peers, raft->leader, raft->effects);
}

static uint64_t round_of(const void *context, uint64_t id)
{
    const qr_raft_engine *raft = context;
    const qr_peer *peer = qr_peers_of(&raft->peers, id);
    if (id == raft->config.self || QR_BUG(raft->config.bug, READ_NO_QUORUM))
        return raft->reads.round;
    if (peer && peer->answered_any && QR_BUG(raft->config.bug, READ_OLD_ROUND))
        return raft->reads.round;
    return peer ? peer->round : 0;
}

static void round_end(qr_raft_engine *raft)
{
    qr_reads *reads = &raft->reads;
    if (!reads->round_running || qr_quorum_value(qr_raft_counted(raft), round_of, raft) < reads->round)
        return;
    QR_ASSERT(raft->role == QR_LEADER && reads->round_index <= raft->commit);
    qr_raft_trace(raft, QR_TRACE_READ_DONE, reads->round, reads->round_index, 0, 0);
    qr_reads_end(reads, raft->effects);
    for (uint32_t i = 0; i < raft->peers.count; i++) {
        uint64_t question = qr_reads_take_question(&raft->peers.list[i]);
        if (question)
            qr_raft_say(raft, raft->peers.list[i].id, false,
                        &(qr_raft_message){.kind = QR_RAFT_READ_ANSWER,
                                           .term = raft->term,
                                           .id = question,
                                           .index = reads->round_index});
    }
}

static void round_begin(qr_raft_engine *raft)
{
    qr_reads *reads = &raft->reads;
    if (!qr_reads_want_round(reads, &raft->peers) ||
        (raft->commit < raft->noop_index && !QR_BUG(raft->config.bug, READ_BEFORE_NOOP)))
        return;
    QR_ASSERT(raft->role == QR_LEADER);
    qr_reads_begin(reads, &raft->peers, raft->commit);
    qr_raft_trace(raft, QR_TRACE_READ_ROUND, reads->round, reads->round_index, 0, 0);
    round_end(raft); /* a lone voter is its own quorum */
}

void qr_raft_on_read_ask(qr_raft_engine *raft, uint64_t from, const qr_raft_message *message)
{
    qr_peer *peer = raft->role == QR_LEADER ? qr_peers_find(&raft->peers, from) : NULL;
    if (peer) {
        peer->question = message->id; /* an older one was given up by its asker */
        return;
    }
    qr_raft_say(
        raft, from, true,
        &(qr_raft_message){
            .kind = QR_RAFT_READ_ANSWER, .term = raft->term, .flags = QR_RAFT_REJECTED, .id = message->id});
}

void qr_raft_on_read(qr_raft_engine *raft, uint64_t tag)
{
    bool has_leader = raft->role == QR_LEADER || raft->leader;
    qr_status status = has_leader ? qr_reads_add(&raft->reads, tag) : QR_E_NO_LEADER;
    if (status != QR_OK)
        qr_raft_refuse(raft, QR_EVENT_READ, tag, status);
    else if (raft->role == QR_LEADER && (qr_raft_alone(raft) || QR_BUG(raft->config.bug, READ_NO_QUORUM)))
        round_begin(raft);
}

void qr_raft_on_read_answer(qr_raft_engine *raft, uint64_t from, const qr_raft_message *message)
{
    if (from == raft->leader)
        qr_reads_answered(&raft->reads, message->id, message->flags & QR_RAFT_REJECTED, message->index,
                          raft->leader, raft->effects);
}

void qr_raft_reads_tick(qr_raft_engine *raft)
{
    if (raft->role == QR_LEADER) {
        round_end(raft);
        round_begin(raft);
    } else if (raft->leader && qr_reads_ask(&raft->reads, raft->now_ms, raft->config.heartbeat_ms)) {
        qr_raft_say(
            raft, raft->leader, false,
            &(qr_raft_message){.kind = QR_RAFT_READ_ASK, .term = raft->term, .id = raft->reads.ask_id});
    }
}

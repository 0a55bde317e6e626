/* Terms, votes and roles.
 *
 *            timeout, or the leader's link broke      quorum would vote            quorum
 *   follower ----------------------------> pre-candidate ----------> candidate ----------> leader
 *      ^                                        |                        |                    |
 *      +--- newer term, or a leader is heard ---+------------------------+-- no quorum heard -+
 *
 * A pre-candidate changes nothing that lasts (D 9.6): who cannot win disturbs nobody. A live leader protects
 * itself twice: members that hear it deny (D 4.2.3), and it steps down by itself when it hears no quorum
 * (D 6.2). */
#include "raft/raft_internal.h"

static bool leader_gone(const qr_raft_engine *raft)
{
    const qr_peer *peer = raft->gone_leader ? qr_peers_of(&raft->peers, raft->gone_leader) : NULL;
    return peer && peer->link == QR_LINK_DOWN;
}

/* A new election timeout, drawn anew each time (5.2, 9.3). */
static uint64_t draw_timeout(qr_raft_engine *raft)
{
    return raft->config.election_ms + qr_prng_below(&raft->prng, raft->config.election_ms);
}

void qr_raft_timer_reset(qr_raft_engine *raft)
{
    raft->deadline_ms = raft->now_ms + draw_timeout(raft);
}

/* The next try after an election that nobody has won yet. While the old leader is known to be gone nothing
 * speaks for a full timeout; the pause doubles from the third try on, so that slow disks get their votes
 * through. */
static void timer_retry(qr_raft_engine *raft)
{
    uint64_t heartbeat = raft->config.heartbeat_ms;
    if (QR_BUG(raft->config.bug, NO_PAUSE)) {
        raft->deadline_ms = raft->now_ms + 1;
        return;
    }
    if (!leader_gone(raft)) {
        qr_raft_timer_reset(raft);
        return;
    }
    uint32_t doublings = raft->attempts > 2 ? raft->attempts - 2 : 0;
    uint64_t pause = qr_prng_between(&raft->prng, (heartbeat + 1) / 2, 3 * heartbeat)
                     << (doublings < 6 ? doublings : 6);
    uint64_t longest = draw_timeout(raft);
    raft->deadline_ms = raft->now_ms + (pause < longest ? pause : longest);
}

static void note_role(qr_raft_engine *raft)
{
    if (raft->traced.valid && raft->traced.role == raft->role && raft->traced.term == raft->term &&
        raft->traced.leader == raft->leader)
        return;
    raft->traced.valid = true;
    raft->traced.role = raft->role;
    raft->traced.term = raft->term;
    raft->traced.leader = raft->leader;
    qr_raft_trace(raft, QR_TRACE_ROLE, raft->term, raft->role, raft->leader, 0);
}

bool qr_raft_leader_alive(const qr_raft_engine *raft)
{
    if (raft->role == QR_LEADER) /* check-quorum keeps this honest */
        return true;
    if (raft->leader == 0 || raft->now_ms - raft->heard_ms >= raft->config.election_ms ||
        QR_BUG(raft->config.bug, LEADER_UNPROTECTED))
        return false;
    const qr_peer *peer = qr_peers_of(&raft->peers, raft->leader);
    return peer == NULL || peer->link != QR_LINK_DOWN;
}

static bool is_self(const void *context, uint64_t id)
{
    return ((const qr_raft_engine *)context)->config.self == id;
}

bool qr_raft_alone(const qr_raft_engine *raft)
{
    return qr_raft_is_voter(raft) && qr_quorum_has(qr_raft_counted(raft), is_self, raft);
}

static void term_set(qr_raft_engine *raft, uint64_t term, uint64_t vote)
{
    QR_ASSERT(term >= raft->term && term <= QR_RAFT_NUMBER_MAX);
    QR_ASSERT(term > raft->term || raft->vote == 0 || raft->vote == vote); /* one vote a term (5.2) */
    raft->term = term;
    raft->vote = vote;
    raft->hard_unsaved = true;
}

static qr_engine_role settled_role(const qr_raft_engine *raft)
{
    return qr_raft_is_voter(raft) ? QR_FOLLOWER : QR_LEARNER;
}

/* Becomes a follower of that term, which is not below the own; leader 0 = not known yet. */
void qr_raft_follow(qr_raft_engine *raft, uint64_t term, uint64_t leader)
{
    QR_ASSERT(term >= raft->term);
    bool changed = leader != raft->leader || term != raft->term || raft->role == QR_LEADER;
    if (term > raft->term) {
        term_set(raft, term, 0);
        raft->matched = 0;
        raft->reads.round = 0;
        raft->answer_due = raft->reject_due = false;
        raft->answered_match = 0;
    } else if (raft->role == QR_LEADER) {
        raft->matched = 0;
        raft->reads.round = 0;
    }
    qr_engine_role was = raft->role;
    raft->role = settled_role(raft);
    raft->leader = leader;
    raft->handover_to = 0;
    raft->uncommitted_bytes = 0;
    if (leader) {
        raft->attempts = 0;
        raft->gone_leader = 0;
        raft->postponed = false;
        qr_raft_timer_reset(raft);
    } else if (was == QR_LEADER) {
        qr_raft_timer_reset(raft);
    }
    note_role(raft);
    if (changed)
        qr_raft_reads_refuse(raft);
    if (was == QR_LEADER)
        qr_peers_forget_departed(&raft->peers, UINT64_MAX);
}

/* ------------------------------------------------------------ standing ---- */

static bool has_vote(const void *context, uint64_t id)
{
    const qr_raft_engine *raft = context;
    if (id == raft->config.self) /* the own vote counts like any other: once it is durable */
        return raft->role == QR_PRECANDIDATE ||
               (!raft->hard_unsaved && raft->vote == id && raft->durable_ticket >= raft->hard_ticket);
    const qr_peer *peer = qr_peers_of(&raft->peers, id);
    return peer && peer->vote == QR_VOTE_YES;
}

static bool may_still_vote(const void *context, uint64_t id)
{
    const qr_raft_engine *raft = context;
    const qr_peer *peer = qr_peers_of(&raft->peers, id);
    return id == raft->config.self || (peer && peer->vote != QR_VOTE_NO);
}

static bool has_won(const qr_raft_engine *raft)
{
    if (QR_BUG(raft->config.bug, VOTE_COUNTED_TWICE)) {
        uint32_t voters = 0;
        for (uint32_t i = 0; i < qr_raft_members(raft)->count; i++)
            voters += qr_raft_members(raft)->list[i].role == QR_ROLE_VOTER;
        return raft->votes + 1 > voters / 2;
    }
    return qr_quorum_has(qr_raft_counted(raft), has_vote, raft);
}

static void lose(qr_raft_engine *raft)
{
    raft->role = settled_role(raft);
    timer_retry(raft);
    note_role(raft);
}

void qr_raft_count_votes(qr_raft_engine *raft)
{
    if (raft->role != QR_PRECANDIDATE && raft->role != QR_CANDIDATE)
        return;
    if (has_won(raft)) {
        if (raft->role == QR_PRECANDIDATE) {
            qr_raft_campaign(raft, false);
            return;
        }
        QR_ASSERT(raft->role == QR_CANDIDATE && raft->vote == raft->config.self);
        raft->role = QR_LEADER;
        raft->leader = raft->config.self;
        note_role(raft);
        qr_raft_lead(raft);
    } else if (!qr_quorum_has(qr_raft_counted(raft), may_still_vote, raft)) {
        lose(raft);
    }
}

static void ask_all(qr_raft_engine *raft, qr_raft_message *message)
{
    message->last_index = raft->log.last;
    message->last_term = qr_raft_log_last_term(&raft->log);
    raft->votes = 0;
    for (uint32_t i = 0; i < raft->peers.count; i++) {
        qr_peer *peer = &raft->peers.list[i];
        peer->vote = QR_VOTE_SILENT;
        if (!qr_members_votes(qr_raft_counted(raft), peer->id))
            continue;
        if (message->kind == QR_RAFT_VOTE_ASK)
            qr_raft_trace(raft, QR_TRACE_VOTE_ASK, message->term, peer->id, message->last_index,
                          message->last_term);
        /* The own vote is durable before anyone is asked for his: a candidate that crashed and forgot its
         * term could otherwise lead it twice, with two logs. */
        qr_raft_say(raft, peer->id, message->kind == QR_RAFT_VOTE_ASK, message);
    }
}

static void precampaign(qr_raft_engine *raft)
{
    QR_ASSERT(qr_raft_may_stand(raft) && raft->role != QR_LEADER);
    qr_raft_trace(raft, QR_TRACE_TIMEOUT, raft->term + 1, raft->now_ms - raft->heard_ms, 0, 0);
    raft->role = QR_PRECANDIDATE;
    raft->leader = 0;
    raft->attempts++;
    raft->postponed = false;
    timer_retry(raft);
    note_role(raft);
    qr_raft_reads_refuse(raft);
    ask_all(raft, &(qr_raft_message){.kind = QR_RAFT_PREVOTE_ASK, .term = raft->term + 1});
    qr_raft_count_votes(raft);
}

void qr_raft_campaign(qr_raft_engine *raft, bool forced)
{
    if (raft->term >= QR_RAFT_NUMBER_MAX) {
        qr_raft_halt(raft, "the terms are used up");
        return;
    }
    QR_ASSERT(raft->role != QR_LEADER && qr_raft_may_stand(raft));
    term_set(raft, raft->term + 1, raft->config.self);
    raft->role = QR_CANDIDATE;
    raft->leader = 0;
    raft->matched = 0;
    raft->reads.round = 0;
    raft->answer_due = raft->reject_due = false;
    raft->answered_match = 0;
    timer_retry(raft);
    note_role(raft);
    qr_raft_reads_refuse(raft);
    ask_all(raft, &(qr_raft_message){
                      .kind = QR_RAFT_VOTE_ASK, .term = raft->term, .flags = forced ? QR_RAFT_HANDOVER : 0});
}

/* D 6.2: a leader that hears no quorum may have been replaced, and holds up clients who could find the new
 * one. */
uint64_t qr_raft_quorum_heard_ms(const qr_raft_engine *raft)
{
    return qr_peers_heard_ms(&raft->peers, qr_raft_counted(raft), &raft->config, raft->now_ms);
}

static void check_quorum(qr_raft_engine *raft)
{
    uint64_t heard = qr_raft_quorum_heard_ms(raft);
    if (raft->now_ms - heard < raft->config.election_ms)
        return;
    qr_raft_trace(raft, QR_TRACE_STEP_DOWN, raft->term, raft->now_ms - heard, 0, 0);
    qr_raft_follow(raft, raft->term, 0);
}

void qr_raft_election_tick(qr_raft_engine *raft)
{
    if (raft->role == QR_LEADER) {
        check_quorum(raft);
        return;
    }
    if (!qr_raft_may_stand(raft)) { /* a learner only notices that its leader is silent */
        if (raft->now_ms >= raft->deadline_ms && raft->leader)
            qr_raft_follow(raft, raft->term, 0);
        return;
    }
    if (qr_raft_alone(raft)) { /* nobody to ask, nobody to wait for */
        if (raft->role != QR_CANDIDATE)
            qr_raft_campaign(raft, false);
        return;
    }
    if (raft->now_ms >= raft->deadline_ms && !qr_raft_vote_pending(raft))
        precampaign(raft);
}

/* Term and vote are on their way to the disk. Until they are there nobody can win or lose, and standing again
 * would only throw away the vote that is being written. */
bool qr_raft_vote_pending(const qr_raft_engine *raft)
{
    return raft->hard_unsaved || raft->hard_ticket > raft->durable_ticket;
}

/* They are there, after took_ms: the candidate and its voters get about the same time again for the other
 * disks. */
void qr_raft_vote_durable(qr_raft_engine *raft, uint64_t took_ms)
{
    if (raft->role == QR_LEADER || raft->leader)
        return;
    uint64_t grace = 2 * took_ms < raft->config.election_ms ? 2 * took_ms : raft->config.election_ms;
    uint64_t deadline = raft->now_ms + grace + qr_prng_below(&raft->prng, raft->config.heartbeat_ms);
    raft->deadline_ms = raft->deadline_ms > deadline ? raft->deadline_ms : deadline;
    qr_raft_count_votes(raft);
}

/* ------------------------------------------------------------ voting ---- */

/* 5.4.1: the last entry's term decides, then the length. */
static bool is_up_to_date(const qr_raft_engine *raft, const qr_raft_message *message)
{
    if (QR_BUG(raft->config.bug, NO_LOG_CHECK))
        return true;
    uint64_t own_term = qr_raft_log_last_term(&raft->log);
    return message->last_term > own_term ||
           (message->last_term == own_term && message->last_index >= raft->log.last);
}

void qr_raft_on_prevote_ask(qr_raft_engine *raft, uint64_t from, const qr_raft_message *message)
{
    bool would = message->term > raft->term && !qr_raft_leader_alive(raft) && is_up_to_date(raft, message) &&
                 qr_raft_may_vote(raft);
    qr_raft_trace(raft, would ? QR_TRACE_PREVOTE_GIVE : QR_TRACE_PREVOTE_DENY, message->term, from, 0, 0);
    if (!would && raft->term == 0) /* a fresh disk without a vote has no news of later terms either */
        return;
    qr_raft_say(raft, from, !would,
                &(qr_raft_message){.kind = QR_RAFT_PREVOTE_ANSWER,
                                   .term = would ? message->term : raft->term,
                                   .asked_term = message->term,
                                   .flags = would ? QR_RAFT_GRANTED : 0});
    /* Two members that notice a broken connection in the same instant would split the votes: whoever was
     * asked first lets the other go ahead, once. */
    if (would && raft->role == QR_FOLLOWER && leader_gone(raft) && !raft->postponed) {
        uint64_t later = raft->now_ms + qr_prng_between(&raft->prng, (raft->config.heartbeat_ms + 1) / 2,
                                                        2 * (uint64_t)raft->config.heartbeat_ms);
        raft->postponed = true;
        raft->deadline_ms = raft->deadline_ms > later ? raft->deadline_ms : later;
    }
}

void qr_raft_on_prevote_answer(qr_raft_engine *raft, uint64_t from, const qr_raft_message *message)
{
    bool granted = message->flags & QR_RAFT_GRANTED;
    if (!granted && message->term > raft->term) { /* behind: the next try stands in a later term */
        qr_raft_follow(raft, message->term, 0);
        timer_retry(raft);
        return;
    }
    qr_peer *peer = qr_peers_find(&raft->peers, from);
    if (raft->role != QR_PRECANDIDATE || message->asked_term != raft->term + 1)
        return;
    peer->vote = granted ? QR_VOTE_YES : QR_VOTE_NO;
    raft->votes += granted;
    qr_raft_count_votes(raft);
}

void qr_raft_on_vote_ask(qr_raft_engine *raft, uint64_t from, const qr_raft_message *message)
{
    /* D 4.2.3: while a leader is alive nobody may depose it, unless it asked for that itself (D 3.10). Not
     * even the term is taken over. */
    bool protected_leader =
        message->term > raft->term && qr_raft_leader_alive(raft) && !(message->flags & QR_RAFT_HANDOVER);
    if (message->term > raft->term && !protected_leader)
        qr_raft_follow(raft, message->term, 0);
    bool give = message->term == raft->term && raft->leader == 0 && (raft->vote == 0 || raft->vote == from) &&
                is_up_to_date(raft, message) && qr_raft_may_vote(raft);
    if (give) {
        if (raft->vote == 0)
            term_set(raft, raft->term, from);
        if (raft->role == QR_PRECANDIDATE)
            raft->role = settled_role(raft);
        timer_retry(raft); /* gives the candidate time to win (5.2) */
        note_role(raft);
        qr_raft_trace(raft, QR_TRACE_VOTE_GIVE, raft->term, from, 0, 0);
    } else {
        qr_raft_trace(raft, QR_TRACE_VOTE_DENY, message->term, from, raft->log.last,
                      qr_raft_log_last_term(&raft->log));
    }
    if (protected_leader)
        return;
    /* 5.2, figure 2: the vote is on stable storage before the answer leaves (facts row 3). */
    qr_raft_say(raft, from, !QR_BUG(raft->config.bug, VOTE_NOT_DURABLE),
                &(qr_raft_message){
                    .kind = QR_RAFT_VOTE_ANSWER, .term = raft->term, .flags = give ? QR_RAFT_GRANTED : 0});
}

void qr_raft_on_vote_answer(qr_raft_engine *raft, uint64_t from, const qr_raft_message *message)
{
    if (raft->role != QR_CANDIDATE || message->term != raft->term)
        return;
    qr_peer *peer = qr_peers_find(&raft->peers, from);
    bool granted = message->flags & QR_RAFT_GRANTED;
    if (peer->vote == QR_VOTE_SILENT) /* a set of voters: a second answer changes nothing (facts row 32) */
        peer->vote = granted ? QR_VOTE_YES : QR_VOTE_NO;
    raft->votes += granted;
    qr_raft_count_votes(raft);
}

/* ------------------------------------------------------------ links ---- */

/* A cluster that starts has no leader to wait for: whoever reaches a quorum and has heard none in its life
 * asks soon. Where one is alive the others deny the pre-vote, and nothing has happened (D 9.6). */
static void ask_soon_after_start(qr_raft_engine *raft)
{
    if (raft->leader || raft->heard_any || raft->role != QR_FOLLOWER ||
        !qr_peers_reach_quorum(&raft->peers, qr_raft_counted(raft), &raft->config))
        return;
    uint64_t soon = raft->now_ms + qr_prng_below(&raft->prng, raft->config.election_ms / 5 + 1);
    raft->deadline_ms = raft->deadline_ms < soon ? raft->deadline_ms : soon;
}

void qr_raft_on_link(qr_raft_engine *raft, uint64_t id, bool up)
{
    qr_peer *peer = qr_peers_find(&raft->peers, id);
    if (peer == NULL)
        return;
    peer->link = up ? QR_LINK_UP : QR_LINK_DOWN;
    peer->down_ms = raft->now_ms;
    if (raft->role == QR_LEADER) {
        qr_peer_reconnect(peer, up);
        return;
    }
    if (up)
        ask_soon_after_start(raft);
    if (up || raft->leader != id)
        return;
    /* A dead process loses its connections at once; nobody needs to wait for the timer. If the leader lives
     * and only this connection broke, the others still hear it and deny. */
    if (!qr_raft_may_stand(raft)) {
        qr_raft_follow(raft, raft->term, 0);
        return;
    }
    raft->gone_leader = id;
    raft->attempts = 0;
    raft->postponed = false;
    uint64_t soon = raft->now_ms + qr_prng_below(&raft->prng, raft->config.heartbeat_ms / 2 + 1);
    raft->deadline_ms = raft->deadline_ms < soon ? raft->deadline_ms : soon;
}

/* ------------------------------------------------------------ handover ---- */

void qr_raft_on_handover(qr_raft_engine *raft, uint64_t target)
{
    if (raft->role != QR_LEADER) {
        qr_raft_refuse(raft, QR_EVENT_HANDOVER, 0, raft->leader ? QR_E_NOT_LEADER : QR_E_NO_LEADER);
        return;
    }
    if (raft->handover_to) {
        qr_raft_refuse(raft, QR_EVENT_HANDOVER, 0, QR_E_BUSY);
        return;
    }
    if (target == 0)
        target = qr_peers_best(&raft->peers, qr_raft_members(raft), &raft->config, raft->now_ms);
    const qr_member *member = qr_members_find(qr_raft_members(raft), target);
    if (target == raft->config.self || member == NULL || member->role != QR_ROLE_VOTER) {
        qr_raft_refuse(raft, QR_EVENT_HANDOVER, 0, QR_E_INVALID);
        return;
    }
    qr_raft_trace(raft, QR_TRACE_HANDOVER, target, raft->term, 0, 0);
    raft->handover_to = target;
    raft->handover_ms = raft->now_ms + raft->config.election_ms;
    raft->handover_said = false;
}

/* D 3.10: proposals stop, the target gets all there is, then it may stand at once. If it has not won within
 * an election timeout the leader goes on: whatever the target does later goes through an ordinary vote. */
void qr_raft_handover_tick(qr_raft_engine *raft)
{
    if (raft->handover_to == 0)
        return;
    const qr_peer *peer = qr_peers_of(&raft->peers, raft->handover_to);
    const qr_member *member = qr_members_find(qr_raft_members(raft), raft->handover_to);
    if (peer == NULL || member == NULL || member->role != QR_ROLE_VOTER ||
        raft->now_ms >= raft->handover_ms) {
        raft->handover_to = 0;
        return;
    }
    if (raft->heartbeat_due)
        raft->handover_said = false;                          /* the message may have been lost */
    if (peer->match != raft->log.last || raft->handover_said) /* facts row 25: never an outdated target */
        return;
    raft->handover_said = true;
    qr_raft_say(raft, peer->id, false, &(qr_raft_message){.kind = QR_RAFT_TIMEOUT_NOW, .term = raft->term});
}

void qr_raft_on_timeout_now(qr_raft_engine *raft, uint64_t from)
{
    if (raft->role == QR_FOLLOWER && raft->leader == from)
        qr_raft_campaign(raft, true);
}

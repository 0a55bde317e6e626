/* Phase 1: what a would-be leader has to know before it may propose (PMS 2.2, and 3 for all slots at once).
 *
 * It asks for promises of a new ballot, for every slot that it does not know to be chosen. When a quorum has
 * promised, then in each slot only one value can have been chosen in an earlier ballot: the one with the
 * highest ballot among what the quorum has accepted there (PMS, P2c). It proposes that one again, and where
 * nothing was accepted it is free. (PTP's president passes "olive day" decrees there; acceptors here accept
 * in order, so what is known has no holes, and one NOOP behind it is enough.) So a member whose log is behind
 * may lead: promises tell what is chosen, too, and that is simply learned.
 *
 * Quorums are those of the configuration in force at the slot. Behind a MEMBERS entry that is adopted and not
 * known to be chosen nothing can be known: it is proposed again, and when it is chosen a quorum of the
 * members that it names has to promise for the slots behind it. */
#include "paxos/inside.h"

/* ------------------------------------------------------------ shelf ---- */

void qr_paxos_shelf_clear(qr_paxos_shelf *shelf, uint64_t first)
{
    shelf->first = first;
    shelf->count = 0;
    qr_buffer_shrink(&shelf->bytes, QR_FLYING_BYTES_MAX);
}

void qr_paxos_shelf_free(qr_paxos_shelf *shelf)
{
    qr_free(shelf->rows);
    qr_buffer_free(&shelf->bytes);
}

bool qr_paxos_shelf_read(const qr_paxos_shelf *shelf, uint64_t index, qr_paxos_view *view)
{
    if (index < shelf->first || index - shelf->first >= shelf->count)
        return false;
    const struct qr_paxos_shelf_row *row = &shelf->rows[index - shelf->first];
    *view = (qr_paxos_view){.ballot = row->ballot,
                            .born = row->born,
                            .kind = row->kind,
                            .bytes = qr_slice_of(shelf->bytes.data + row->offset, row->size)};
    return true;
}

/* index: one that is there, or the next one. */
void qr_paxos_shelf_put(qr_paxos_shelf *shelf, uint64_t index, const qr_paxos_view *view)
{
    QR_ASSERT(index >= shelf->first && index - shelf->first <= shelf->count);
    if (index - shelf->first == shelf->count && shelf->count++ == shelf->room) {
        shelf->room = shelf->room ? shelf->room * 2 : 64;
        shelf->rows = qr_realloc(shelf->rows, shelf->room * sizeof *shelf->rows);
    }
    shelf->rows[index - shelf->first] = (struct qr_paxos_shelf_row){.ballot = view->ballot,
                                                                    .born = view->born,
                                                                    .kind = view->kind,
                                                                    .offset = shelf->bytes.size,
                                                                    .size = view->bytes.size};
    qr_buffer_add_slice(&shelf->bytes, view->bytes);
}

void qr_paxos_shelf_cut(qr_paxos_shelf *shelf, uint64_t index)
{
    if (index >= shelf->first && index - shelf->first < shelf->count)
        shelf->count = index - shelf->first;
}

/* ------------------------------------------------------------ asking ---- */

static void say_prepare(qr_paxos_engine *paxos, const qr_peer *peer)
{
    qr_paxos_trace(paxos, QR_TRACE_VOTE_ASK, paxos->ballot, peer->id, peer->prepare_from,
                   qr_paxos_log_term(&paxos->log, paxos->log.last));
    /* The own promise is durable before anyone is asked for his: who crashed and forgot its ballot could
     * otherwise begin it twice, with two values. */
    qr_paxos_say(paxos, peer->id, true,
                 &(qr_paxos_message){.kind = QR_PAXOS_PREPARE,
                                     .ballot = paxos->ballot,
                                     .flags = paxos->forced ? QR_PAXOS_HANDOVER : 0,
                                     .first = peer->prepare_from,
                                     .chosen = paxos->taken});
}

/* Nobody has told anything yet of the slots behind `taken`. */
static void ask_anew(qr_paxos_engine *paxos)
{
    qr_paxos_shelf_clear(&paxos->shelf, paxos->taken + 1);
    paxos->prepare_due = true;
    for (uint32_t i = 0; i < paxos->peers.count; i++) {
        paxos->peers.list[i].promised = paxos->peers.list[i].refused = false;
        paxos->peers.list[i].prepare_from = 0;
    }
}

void qr_paxos_campaign(qr_paxos_engine *paxos, bool forced)
{
    if (paxos->ballot >= QR_PAXOS_NUMBER_MAX) {
        qr_paxos_halt(paxos, "the ballots are used up");
        return;
    }
    QR_ASSERT(paxos->role != QR_LEADER && qr_paxos_is_voter(paxos));
    qr_paxos_ballot_set(paxos, paxos->ballot + 1, paxos->config.self); /* PTP 2.3, step 1 */
    QR_ASSERT(paxos->taken == paxos->chosen);
    paxos->role = QR_CANDIDATE;
    paxos->leader = 0;
    paxos->forced = forced;
    paxos->proposing = false;
    paxos->noop_index = 0;
    qr_paxos_timer_retry(paxos);
    qr_paxos_note_role(paxos);
    qr_paxos_reads_refuse(paxos);
    ask_anew(paxos);
}

static bool asks(const qr_paxos_engine *paxos)
{
    return paxos->role == QR_CANDIDATE || (paxos->role == QR_LEADER && !paxos->proposing);
}

/* Who counts by the configuration that is in force now, and has not promised yet. */
void qr_paxos_prepare_tick(qr_paxos_engine *paxos)
{
    bool is_due = paxos->prepare_due || (paxos->role == QR_LEADER && paxos->heartbeat_due);
    paxos->prepare_due = false;
    if (!asks(paxos) || !is_due)
        return;
    for (uint32_t i = 0; i < paxos->peers.count; i++)
        if (!paxos->peers.list[i].promised &&
            qr_members_votes(qr_paxos_members(paxos), paxos->peers.list[i].id))
            say_prepare(paxos, &paxos->peers.list[i]);
}

/* ------------------------------------------------------------ knowing ---- */

static bool has_promised(const void *context, uint64_t id)
{
    const qr_paxos_engine *paxos = context;
    if (id == paxos->config.self) /* like any other: once it is durable */
        return paxos->promised_to == id && !qr_paxos_promise_pending(paxos);
    const qr_peer *peer = qr_peers_of(&paxos->peers, id);
    return peer && peer->promised;
}

static bool may_still_promise(const void *context, uint64_t id)
{
    const qr_paxos_engine *paxos = context;
    const qr_peer *peer = qr_peers_of(&paxos->peers, id);
    return id == paxos->config.self || (peer && !peer->refused);
}

/* The entry is no change of members, or one that the configuration in force may lead to. Another one was made
 * for other members before it, which were not chosen: it is dead, too. */
static bool may_come_here(const qr_paxos_engine *paxos, const qr_paxos_view *view)
{
    qr_members members;
    qr_reader reader = qr_reader_of(view->bytes);
    return view->kind != QR_ENTRY_MEMBERS || (qr_members_decode(&reader, &members) == QR_OK &&
                                              qr_members_may_follow(qr_paxos_members(paxos), &members));
}

/* What has to be proposed in the slot behind `taken` (PMS, P2c): the value of the highest ballot. False:
 * anything may be. */
static bool adopt(qr_paxos_engine *paxos, qr_paxos_view *view)
{
    uint64_t slot = paxos->taken + 1;
    qr_paxos_view own = {0}, told = {0};
    bool has_own = qr_paxos_log_read(&paxos->log, slot, &own);
    bool has_told = qr_paxos_shelf_read(&paxos->shelf, slot, &told);
    /* The ballot that is the term of the slot before had found nothing behind what it proposed first there:
     * what earlier ballots have behind it is dead. */
    has_told = has_told && told.ballot >= qr_paxos_log_term(&paxos->log, paxos->taken);
    bool is_told = has_told && (!has_own || told.ballot > own.ballot);
    if (QR_BUG(paxos->config.bug, PAXOS_LOWER_ADOPTED))
        is_told = has_told && (!has_own || told.ballot < own.ballot);
    *view = is_told ? told : own;
    if (!is_told && own.born != told.born) /* dead, with what is behind it (log.c) */
        qr_paxos_shelf_cut(&paxos->shelf, slot);
    if (QR_BUG(paxos->config.bug, PAXOS_NOOP_OVER) && (has_own || has_told))
        *view = (qr_paxos_view){.born = paxos->ballot, .kind = QR_ENTRY_NOOP};
    view->ballot = paxos->ballot;
    return (has_own || has_told) && may_come_here(paxos, view);
}

/* A quorum has promised for all slots behind `taken`: proposes again what may have been chosen there. */
static void open_slots(qr_paxos_engine *paxos)
{
    qr_paxos_view view;
    uint64_t first = paxos->taken + 1;
    while (adopt(paxos, &view)) {
        qr_paxos_propose(paxos, &view);
        if (view.kind != QR_ENTRY_MEMBERS)
            continue;
        /* What is told of slots behind it was told by a quorum that may be another one there. */
        if (paxos->shelf.first + paxos->shelf.count > paxos->taken + 1)
            ask_anew(paxos);
        else
            qr_paxos_shelf_clear(&paxos->shelf, paxos->taken + 1);
        return;
    }
    if (paxos->taken >= first)
        qr_paxos_trace(paxos, QR_TRACE_APPEND, first, paxos->taken, paxos->ballot, 0);
    paxos->proposing = true;
    qr_paxos_shelf_clear(&paxos->shelf, paxos->taken + 1);
    /* A fresh value of this ballot: it tells acceptors that nothing is behind it (log.c), reads wait for it,
     * and with it everything that was ever chosen before is known. Likewise behind a change of members that
     * has arrived: when it is chosen the change may be told (fetch.c). */
    if (paxos->noop_index && qr_paxos_members(paxos)->joint)
        return;
    paxos->noop_index = paxos->noop_index ? paxos->noop_index : paxos->taken + 1;
    qr_paxos_propose(paxos,
                     &(qr_paxos_view){.ballot = paxos->ballot, .born = paxos->ballot, .kind = QR_ENTRY_NOOP});
    qr_paxos_note_role(paxos);
}

void qr_paxos_count_promises(qr_paxos_engine *paxos)
{
    bool leads = paxos->role == QR_LEADER;
    if ((paxos->role != QR_CANDIDATE && !leads) || paxos->proposing ||
        (leads && paxos->chosen < paxos->taken))
        return;
    if (qr_quorum_has(qr_paxos_members(paxos), has_promised, paxos)) {
        if (!leads)
            qr_paxos_lead(paxos);
        open_slots(paxos);
    } else if (!leads && !qr_quorum_has(qr_paxos_members(paxos), may_still_promise, paxos)) {
        paxos->role = qr_paxos_settled_role(paxos);
        qr_paxos_timer_retry(paxos);
        qr_paxos_note_role(paxos);
    }
}

/* A chosen value is chosen in every ballot: it is learned, whoever tells it (PMS 2.3). False: it was told in
 * a ballot later than the own one, which therefore is over. */
static bool learn(qr_paxos_engine *paxos, uint64_t index, const qr_paxos_view *view)
{
    qr_paxos_view own;
    if (view->ballot > paxos->ballot) {
        qr_paxos_follow(paxos, view->ballot, 0);
        return false;
    }
    if (index != paxos->chosen + 1)
        return true;
    if (!qr_paxos_log_read(&paxos->log, index, &own) || own.born != view->born)
        qr_paxos_put(paxos, index, view);
    qr_paxos_choose(paxos, index);
    return true;
}

/* One acceptor's value in a slot, in order. False: it is dead, and so is all that it has behind it, since
 * another value is there (log.c). */
static bool note_told(qr_paxos_engine *paxos, uint64_t index, const qr_paxos_view *view)
{
    qr_paxos_shelf *shelf = &paxos->shelf;
    qr_paxos_view known;
    if (shelf->first + shelf->count <= paxos->chosen) /* overtaken by what was learned */
        qr_paxos_shelf_clear(shelf, paxos->chosen + 1);
    if (index < shelf->first)
        return !qr_paxos_log_read(&paxos->log, index, &known) || known.born == view->born;
    if (QR_BUG(paxos->config.bug, PAXOS_FEW_SLOTS) && index > shelf->first)
        return false;
    if (index - shelf->first > shelf->count)
        return false;
    if (qr_paxos_shelf_read(shelf, index, &known)) {
        if (view->ballot <= known.ballot)
            return known.born == view->born;
        if (known.born != view->born)
            qr_paxos_shelf_cut(shelf, index);
    }
    qr_paxos_shelf_put(shelf, index, view);
    return true;
}

void qr_paxos_on_promise(qr_paxos_engine *paxos, uint64_t from, const qr_paxos_message *message)
{
    qr_peer *peer = qr_peers_find(&paxos->peers, from);
    if (!(message->flags & QR_PAXOS_GRANTED)) {
        if (message->ballot > paxos->ballot) { /* PMMC 2.2: preempted */
            qr_paxos_follow(paxos, message->ballot, 0);
        } else if (message->asked == paxos->ballot && paxos->role == QR_CANDIDATE && !peer->promised) {
            peer->refused = true;
            qr_paxos_count_promises(paxos);
        }
        return;
    }
    if (message->ballot != paxos->ballot || !asks(paxos) || peer->promised ||
        message->first > (peer->prepare_from ? peer->prepare_from : paxos->shelf.first))
        return;
    qr_reader reader = qr_reader_of(message->entries);
    uint64_t index = message->first;
    bool is_dead = false;
    for (uint64_t i = 0; i < message->count && !is_dead; i++, index++) {
        qr_paxos_view view;
        qr_status status = qr_paxos_entry_decode(&reader, &view);
        QR_ASSERT(status == QR_OK); /* the message was checked as a whole */
        if (index <= message->chosen ? !learn(paxos, index, &view) : view.ballot > paxos->ballot)
            return;
        is_dead = index > message->chosen && !note_told(paxos, index, &view);
    }
    peer = qr_peers_find(&paxos->peers, from); /* what was learned may have changed the members */
    if (!asks(paxos) || peer == NULL)
        return;
    bool is_more = index > peer->prepare_from; /* what came twice asks for nothing */
    peer->prepare_from = is_more ? index : peer->prepare_from;
    if (paxos->role == QR_CANDIDATE)
        peer->next = message->chosen + 1;
    peer->promised = peer->prepare_from > message->last || is_dead;
    if (is_more)
        qr_paxos_timer_retry(paxos); /* it gets on */
    if (!peer->promised && is_more)
        say_prepare(paxos, peer);
    qr_paxos_count_promises(paxos);
}

void qr_paxos_on_chosen(qr_paxos_engine *paxos, const qr_paxos_message *message)
{
    qr_reader reader = qr_reader_of(message->entries);
    for (uint64_t i = 0; i < message->count && paxos->role != QR_LEADER; i++) {
        qr_paxos_view view;
        if (qr_paxos_entry_decode(&reader, &view) != QR_OK || !learn(paxos, message->first + i, &view))
            return;
    }
}

/* Renewals. They are not logged: a renewal is what a majority of the voters has heard of.
 *
 *   client --> member --ASK--> leader --ROUND--> all members, which note it --NOTED--> leader --ANSWER-->
 * member
 *
 * A round is for all questions of a turn. That a quorum has answered it says two things: that the renewals
 * are known to enough of them for every later leader to hear of them, and that this leader was still one
 * when it was asked. Whoever knows a later term does not answer. So a question that renews nothing goes the
 * same way. What is not answered is asked again: a lost message, a new leader, a round that took too long, a
 * lease whose end has been proposed and is not decided. */
#include "core/bugs.h"
#include "node/internal.h"

enum { ASK = 1, ANSWER = 2, ROUND = 3, NOTED = 4 };

uint64_t qr_lease__number(qr_node *node)
{
    /* Boots tell the lives on one disk apart. A disk that takes the place of a lost one counts them from one
     * again, and an answer to what the old one asked may still be under way. */
    uint64_t life = qr_hash_mix(node->incarnation, node->boot) >> 33;
    return (life << 32) + ++node->leases.next_number;
}

qr_buffer *qr_lease__begin(qr_node *node, uint8_t word)
{
    qr_buffer *out = qr_envelope__begin(node, QR_ENVELOPE_LEASE);
    qr_buffer_u8(out, word);
    return out;
}

/* ---------------------------------------------------------- at the member ---- */

qr_status qr_lease__ask(qr_node *node, const qr_request *request, uint64_t deadline_ms)
{
    qr_leases *leases = &node->leases;
    if (node->machine->ops->lease_from == NULL)
        return QR_E_UNSUPPORTED;
    if (leases->asked_count >= QR_NODE_PENDING_MAX)
        return QR_E_BUSY;
    qr_lease_asked *asked = qr_alloc(sizeof *asked);
    *asked = (qr_lease_asked){.number = qr_lease__number(node),
                              .id = request->lease,
                              .renews = request->kind == QR_REQUEST_LEASE_RENEW,
                              .deadline_ms = deadline_ms,
                              .done = request->done,
                              .owner = request->owner};
    *leases->asked_tail = asked;
    leases->asked_tail = &asked->next;
    leases->asked_count++;
    leases->unsent = true;
    return QR_OK;
}

/* Takes the question at *at out of the list and answers it. */
static void finish(qr_node *node, qr_lease_asked **at, qr_status status, const qr_lease_time *time)
{
    qr_lease_asked *asked = *at;
    *at = asked->next;
    if (node->leases.asked_tail == &asked->next)
        node->leases.asked_tail = at;
    node->leases.asked_count--;
    qr_node__answer(node, asked->done, asked->owner, status, time, node->applied_index);
    qr_free(asked);
}

static bool take_ask(qr_node *node, qr_lease_ask ask)
{
    qr_leases *leases = &node->leases;
    if (node->role != QR_LEADER || leases->ask_count >= QR_LEASE_ASKS_MAX)
        return false;
    if (leases->ask_count == leases->ask_room) {
        leases->ask_room = leases->ask_room ? leases->ask_room * 2 : 64;
        leases->asks = qr_realloc(leases->asks, leases->ask_room * sizeof *leases->asks);
    }
    leases->asks[leases->ask_count++] = ask;
    return true;
}

/* Those that were not sent yet; or all, once in a while. */
static void send_asked(qr_node *node)
{
    qr_leases *leases = &node->leases;
    bool again = node->now_ms >= leases->retry_ms;
    bool here = node->leader == node->config.self;
    if (leases->asked == NULL || node->leader == 0 || (!leases->unsent && !again))
        return;
    qr_buffer *out = here ? NULL : qr_lease__begin(node, ASK);
    for (qr_lease_asked *asked = leases->asked; asked != NULL; asked = asked->next) {
        if (asked->sent && !again)
            continue;
        asked->sent = true;
        qr_lease_ask ask = {
            .from = node->config.self, .number = asked->number, .id = asked->id, .renews = asked->renews};
        if (here) {
            take_ask(node, ask);
            continue;
        }
        qr_buffer_u64(out, ask.number);
        qr_buffer_u64(out, (uint64_t)ask.id);
        qr_buffer_u8(out, ask.renews);
    }
    if (!here)
        qr_envelope__send(node, node->leader); /* a lost one is made good by the next one */
    leases->unsent = false;
    if (again)
        leases->retry_ms = node->now_ms + QR_LEASE_RETRY_MS;
}

/* The leader's words: those of the questions, in order of their numbers, that it has answered. */
static void on_answer(qr_node *node, qr_reader *body)
{
    qr_lease_asked **at = &node->leases.asked;
    while (!body->failed && qr_reader_left(body) > 0 && *at != NULL) {
        uint64_t number = qr_reader_u64(body);
        qr_lease_time time = {.ttl_ms = qr_reader_varint(body)};
        time.remaining_ms = qr_reader_varint(body);
        while (*at != NULL && (*at)->number < number)
            at = &(*at)->next;
        if (!body->failed && *at != NULL && (*at)->number == number)
            finish(node, at, time.ttl_ms ? QR_OK : QR_E_LEASE_NOT_FOUND, time.ttl_ms ? &time : NULL);
    }
}

void qr_lease__sweep(qr_node *node)
{
    for (qr_lease_asked **at = &node->leases.asked; *at != NULL;) {
        if (node->now_ms >= (*at)->deadline_ms)
            finish(node, at, node->leader == 0 ? QR_E_NO_LEADER : QR_E_TIMEOUT, NULL);
        else
            at = &(*at)->next;
    }
}

void qr_lease__finish(qr_node *node, qr_status status)
{
    while (node->leases.asked != NULL)
        finish(node, &node->leases.asked, status, NULL);
}

/* ---------------------------------------------------------- at every member ---- */

static void on_round(qr_node *node, uint64_t from, qr_reader *body)
{
    uint64_t term = qr_reader_u64(body), number = qr_reader_u64(body);
    qr_engine_status engine;
    node->engine->ops->status(node->engine, &engine);
    if (body->failed || engine.term != term || engine.leader != from)
        return;
    while (!body->failed && qr_reader_left(body) > 0) {
        int64_t id = (int64_t)qr_reader_u64(body);
        uint64_t generation = qr_reader_varint(body);
        qr_leased *lease = qr_lease__find(node, id);
        /* One that is not known here yet is to be granted here later than now. */
        bool is_ours = !body->failed && lease != NULL && lease->generation == generation;
        if (is_ours && !QR_BUG(node->config.bug, LEASE_FORGETS))
            lease->noted_ms = node->now_ms;
    }
    if (body->failed)
        return;
    qr_buffer *out = qr_lease__begin(node, NOTED);
    qr_buffer_u64(out, term);
    qr_buffer_u64(out, number);
    qr_envelope__send(node, from);
}

/* ---------------------------------------------------------- at the leader ---- */

static void on_ask(qr_node *node, uint64_t from, qr_reader *body)
{
    while (!body->failed && qr_reader_left(body) > 0) {
        qr_lease_ask ask = {.from = from, .number = qr_reader_u64(body)};
        ask.id = (int64_t)qr_reader_u64(body);
        ask.renews = qr_reader_u8(body);
        if (body->failed || !take_ask(node, ask))
            return;
    }
}

static void on_noted(qr_node *node, uint64_t from, uint64_t incarnation, qr_reader *body)
{
    uint64_t term = qr_reader_u64(body), number = qr_reader_u64(body);
    qr_engine_status engine;
    node->engine->ops->status(node->engine, &engine);
    const qr_member *member = qr_members_find(&engine.members, from);
    /* Another disk has another memory: it may have voted against this leader. */
    bool is_known = member != NULL && (member->incarnation == 0 || member->incarnation == incarnation);
    if (body->failed || term != node->term || !is_known)
        return;
    for (qr_lease_round *round = node->leases.rounds; round != NULL; round = round->next) {
        if (round->number != number)
            continue;
        for (size_t i = 0; i < round->noted_count; i++)
            if (round->noted_by[i] == from)
                return;
        if (round->noted_count < QR_MEMBERS_MAX)
            round->noted_by[round->noted_count++] = from;
        return;
    }
}

static void send_round(qr_node *node, const qr_lease_round *round, const qr_members *members)
{
    for (uint32_t i = 0; i < members->count; i++) {
        if (members->list[i].id == node->config.self)
            continue;
        qr_buffer *out = qr_lease__begin(node, ROUND);
        qr_buffer_u64(out, node->term);
        qr_buffer_u64(out, round->number);
        for (size_t k = 0; k < round->ask_count; k++) {
            const qr_lease_ask *ask = &round->asks[k];
            if (!ask->renews || ask->generation == 0)
                continue;
            qr_buffer_u64(out, (uint64_t)ask->id);
            qr_buffer_varint(out, ask->generation);
        }
        qr_envelope__send(node, members->list[i].id);
    }
}

static void start_round(qr_node *node)
{
    qr_leases *leases = &node->leases;
    if (leases->ask_count == 0 || leases->round_count == QR_LEASE_ROUNDS_MAX)
        return;
    qr_engine_status engine;
    node->engine->ops->status(node->engine, &engine);
    qr_lease_round *round = qr_alloc_zero(1, sizeof *round);
    *round = (qr_lease_round){.number = qr_lease__number(node),
                              .sent_ms = node->now_ms,
                              .index = engine.commit_index,
                              .noted_by = {node->config.self},
                              .noted_count = 1,
                              .asks = leases->asks,
                              .ask_count = leases->ask_count};
    leases->asks = NULL;
    leases->ask_count = leases->ask_room = 0;
    *leases->rounds_tail = round;
    leases->rounds_tail = &round->next;
    leases->round_count++;
    for (size_t i = 0; i < round->ask_count; i++) {
        qr_leased *lease = qr_lease__find(node, round->asks[i].id);
        round->asks[i].generation = lease ? lease->generation : 0;
        if (lease && round->asks[i].renews)
            lease->noted_ms = node->now_ms;
    }
    send_round(node, round, &engine.members);
}

/* false: not now. */
static bool judge(qr_node *node, const qr_lease_ask *ask, qr_lease_time *time)
{
    qr_leased *lease = qr_lease__find(node, ask->id);
    *time = (qr_lease_time){0};
    if (lease == NULL)
        return true;
    if (!qr_lease__in_force(node) || lease->ending || lease->generation != ask->generation)
        return false;
    if (ask->renews) {
        lease->renewed_ms = node->now_ms;
        /* A leader of before may still confirm what it heard of before this one was elected. */
        uint64_t late_ms = node->leases.rerouted_ms + QR_LEASE_GRACE_MS;
        qr_lease__due(node, lease, (late_ms > node->now_ms ? late_ms : node->now_ms) + lease->ttl_ms);
        qr_trace_add(&node->trace, QR_TRACE_LEASE_RENEW, (uint64_t)lease->id, lease->generation,
                     lease->ttl_ms, 0);
    }
    bool over = lease->deadline_ms <= node->now_ms;
    *time = (qr_lease_time){.ttl_ms = lease->ttl_ms,
                            .remaining_ms = over ? 0 : lease->deadline_ms - node->now_ms};
    return lease->deadline_ms > 0;
}

/* All questions of one member behind one another, from `first` on; how many they are. */
static size_t answer_some(qr_node *node, const qr_lease_ask *first, size_t left)
{
    qr_buffer answer;
    qr_buffer_init(&answer);
    size_t count = 0;
    for (; count < left && first[count].from == first->from; count++) {
        qr_lease_time time;
        if (!judge(node, &first[count], &time))
            continue;
        qr_buffer_u64(&answer, first[count].number);
        qr_buffer_varint(&answer, time.ttl_ms);
        qr_buffer_varint(&answer, time.remaining_ms);
    }
    if (answer.size > 0 && first->from == node->config.self) {
        qr_reader reader = qr_reader_of(qr_buffer_slice(&answer));
        on_answer(node, &reader);
    } else if (answer.size > 0) {
        qr_buffer_add_slice(qr_lease__begin(node, ANSWER), qr_buffer_slice(&answer));
        qr_envelope__send(node, first->from);
    }
    qr_buffer_free(&answer);
    return count;
}

static bool has_noted(const void *context, uint64_t id)
{
    const qr_lease_round *round = context;
    for (size_t i = 0; i < round->noted_count; i++)
        if (round->noted_by[i] == id)
            return true;
    return false;
}

static void remove_round(qr_leases *leases, qr_lease_round **at)
{
    qr_lease_round *round = *at;
    *at = round->next;
    if (leases->rounds_tail == &round->next)
        leases->rounds_tail = at;
    leases->round_count--;
    qr_free(round->asks);
    qr_free(round);
}

static void end_rounds(qr_node *node)
{
    qr_leases *leases = &node->leases;
    if (leases->rounds == NULL)
        return;
    qr_engine_status engine;
    node->engine->ops->status(node->engine, &engine);
    if (engine.role != QR_LEADER || engine.term != node->term)
        return;
    for (qr_lease_round **at = &leases->rounds; *at != NULL;) {
        const qr_lease_round *round = *at;
        bool late = node->now_ms - round->sent_ms > QR_LEASE_GRACE_MS;
        bool decided =
            qr_quorum_has(&engine.members, has_noted, round) || QR_BUG(node->config.bug, LEASE_NO_QUORUM);
        if (late) {
            remove_round(leases, at);
        } else if (decided && qr_lease__leads(node) && node->applied_index >= round->index) {
            for (size_t i = 0; i < round->ask_count;)
                i += answer_some(node, &round->asks[i], round->ask_count - i);
            remove_round(leases, at);
        } else {
            at = &(*at)->next;
        }
    }
}

/* ------------------------------------------------------------------- turns ---- */

void qr_lease__heard(qr_node *node, uint64_t from, uint64_t incarnation, qr_reader *body)
{
    uint8_t word = qr_reader_u8(body);
    if (node->machine->ops->lease_from == NULL)
        return;
    switch (word) {
    case ASK: on_ask(node, from, body); break;
    case ANSWER: on_answer(node, body); break;
    case ROUND: on_round(node, from, body); break;
    case NOTED: on_noted(node, from, incarnation, body); break;
    case QR_LEASE_RECALL: qr_lease__recall(node, from, body); break;
    case QR_LEASE_RECALLED: qr_lease__recalled(node, from, body); break;
    default: qr_trace_add(&node->trace, QR_TRACE_DROP, from, QR_E_INVALID, 0, 0); break;
    }
}

void qr_lease__rounds(qr_node *node)
{
    send_asked(node);
    if (node->role != QR_LEADER)
        return;
    start_round(node);
    end_rounds(node);
}

void qr_lease__forget_rounds(qr_node *node)
{
    while (node->leases.rounds != NULL)
        remove_round(&node->leases, &node->leases.rounds);
    node->leases.ask_count = 0;
}

uint64_t qr_lease__rounds_wake_ms(const qr_node *node)
{
    const qr_leases *leases = &node->leases;
    uint64_t wake = UINT64_MAX;
    if (leases->asked != NULL && node->leader != 0)
        wake = leases->unsent ? node->now_ms : leases->retry_ms;
    if (leases->rounds != NULL && leases->rounds->sent_ms + QR_LEASE_GRACE_MS + 1 < wake)
        wake = leases->rounds->sent_ms + QR_LEASE_GRACE_MS + 1;
    return wake;
}

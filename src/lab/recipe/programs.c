/* What clients do: each answer leads to the next request. `step` counts through a recipe. */
#include "lab/recipe/recipe.h"

static qr_recipe_client *client_of(const qr_lab_world *world, unsigned self)
{
    return qr_lab_state(world, self);
}

/* ---------------------------------------------------------------- requests ---- */

static qr_recipe_message request(const qr_lab_world *world, unsigned self, unsigned kind)
{
    qr_recipe_message m;
    qr_lab_message_of(world, &m.head, kind, self);
    return m;
}

static void ask(qr_lab_world *world, unsigned self, uint8_t step, qr_recipe_message *m)
{
    qr_recipe_client *c = client_of(world, self);
    c->phase = QR_RECIPE_ASKS;
    c->step = step;
    qr_lab_send(world, &m->head, qr_lab_first(world, QR_RECIPE_STORE));
}

static void ask_list(qr_lab_world *world, unsigned self, uint8_t step, bool watches)
{
    qr_recipe_message m = request(world, self, QR_RECIPE_LIST);
    m.watches = watches;
    ask(world, self, step, &m);
}

static void ask_watch(qr_lab_world *world, unsigned self, uint8_t step, uint8_t number, bool blind)
{
    qr_recipe_message m = request(world, self, QR_RECIPE_WATCH);
    m.number = number;
    m.watches = blind;
    ask(world, self, step, &m);
}

static void ask_delete(qr_lab_world *world, unsigned self, uint8_t step, uint8_t number, uint8_t other)
{
    qr_recipe_message m = request(world, self, QR_RECIPE_DELETE);
    m.number = number;
    m.other = other;
    ask(world, self, step, &m);
}

static void ask_put(qr_lab_world *world, unsigned self, uint8_t step, uint8_t dir, uint8_t value,
                    bool ephemeral, uint8_t once)
{
    qr_recipe_message m = request(world, self, QR_RECIPE_PUT);
    m.dir = dir;
    m.value = value;
    m.ephemeral = ephemeral;
    m.once = once;
    ask(world, self, step, &m);
}

static void rest(qr_lab_world *world, unsigned self, qr_recipe_phase phase)
{
    client_of(world, self)->phase = (uint8_t)phase;
}

/* ------------------------------------------------------- rows of candidates ---- */

static bool is_writer(const qr_lab_world *world, unsigned self)
{
    return qr_recipe_which(world) != QR_RWLOCK || self % 2 == 0;
}

/* The node that has to go before this one's turn comes; 0 = none. In an election and for writers it is the
 * one right before; for readers the last writer before. */
static uint8_t before(const qr_lab_world *world, unsigned self, const qr_recipe_message *answer)
{
    uint8_t own = client_of(world, self)->own, found = 0;
    bool only_writers = !is_writer(world, self) || qr_recipe_is_variant(world, QR_SKIPS_READERS);
    for (unsigned i = 0; i < QR_RECIPE_NODES_MAX; i++) {
        const qr_recipe_node *node = &answer->nodes[i];
        if (node->number && node->number < own && (node->value || !only_writers))
            found = node->number;
    }
    return found;
}

enum { ROW_PUT = 1, ROW_LIST, ROW_WATCH, ROW_LEAVE };

static void row_next(qr_lab_world *world, unsigned self, const qr_recipe_message *answer)
{
    qr_recipe_client *c = client_of(world, self);
    bool herd = qr_recipe_is_variant(world, QR_HERD);
    switch (c->step) {
    case ROW_PUT:
        c->own = answer->number;
        ask_list(world, self, ROW_LIST, herd);
        break;
    case ROW_LIST: {
        uint8_t first = before(world, self, answer);
        if (first == 0)
            rest(world, self, QR_RECIPE_HAS);
        else if (herd)
            rest(world, self, QR_RECIPE_WAITS);
        else
            ask_watch(world, self, ROW_WATCH, first, false);
        break;
    }
    case ROW_WATCH:
        if (answer->ok)
            rest(world, self, QR_RECIPE_WAITS);
        else /* it went in between */
            ask_list(world, self, ROW_LIST, herd);
        break;
    default: rest(world, self, QR_RECIPE_OVER);
    }
}

/* ------------------------------------------------------------------- queue ---- */

enum { ITEMS, CLAIMS };
enum { QUEUE_LIST = 1, QUEUE_CLAIM, QUEUE_FINISH };

/* The first item that nobody claims; 0: none. */
static uint8_t free_item(const qr_recipe_message *answer, bool *any)
{
    *any = false;
    for (unsigned i = 0; i < QR_RECIPE_NODES_MAX; i++) {
        const qr_recipe_node *item = &answer->nodes[i];
        if (!item->number || item->dir != ITEMS)
            continue;
        *any = true;
        bool claimed = false;
        for (unsigned k = 0; k < QR_RECIPE_NODES_MAX; k++)
            claimed |= answer->nodes[k].number && answer->nodes[k].dir == CLAIMS &&
                       answer->nodes[k].value == item->number;
        if (!claimed)
            return item->number;
    }
    return 0;
}

static void queue_look(qr_lab_world *world, unsigned self, const qr_recipe_message *answer)
{
    bool any;
    qr_recipe_client *c = client_of(world, self);
    c->item = free_item(answer, &any);
    if (!any)
        rest(world, self, QR_RECIPE_OVER);
    else if (c->item == 0)
        rest(world, self, QR_RECIPE_WAITS);
    else if (qr_recipe_is_variant(world, QR_DELETES_FIRST))
        ask_delete(world, self, QUEUE_CLAIM, c->item, 0);
    else
        ask_put(world, self, QUEUE_CLAIM, CLAIMS, c->item, true, 1);
}

static void queue_next(qr_lab_world *world, unsigned self, const qr_recipe_message *answer)
{
    qr_recipe_client *c = client_of(world, self);
    qr_recipe_shared *all = qr_lab_shared(world);
    if (c->step == QUEUE_LIST) {
        queue_look(world, self, answer);
        return;
    }
    if (c->step == QUEUE_CLAIM && answer->ok) {
        c->own = answer->number;
        rest(world, self, QR_RECIPE_HAS);
        return;
    }
    if (c->step == QUEUE_FINISH && (answer->ok || qr_recipe_is_variant(world, QR_FINISHES_BLIND)))
        all->done[c->item]++;
    c->item = 0;
    ask_list(world, self, QUEUE_LIST, true);
}

static void queue_finish(qr_lab_world *world, unsigned self)
{
    qr_recipe_client *c = client_of(world, self);
    qr_recipe_shared *all = qr_lab_shared(world);
    all->worked[c->item]++;
    if (qr_recipe_is_variant(world, QR_DELETES_FIRST)) {
        c->item = 0;
        ask_list(world, self, QUEUE_LIST, true);
    } else
        ask_delete(world, self, QUEUE_FINISH, c->item,
                   qr_recipe_is_variant(world, QR_FINISHES_BLIND) ? 0 : c->own);
}

/* ---------------------------------------------------------------- barriers ---- */

enum { GATE = 1 /* the number of its node */, GATE_LIST = 1, GATE_WATCH, GATE_OPEN };

static void gate_next(qr_lab_world *world, unsigned self, const qr_recipe_message *answer)
{
    const qr_recipe_client *c = client_of(world, self);
    bool is_down = answer->nodes[0].number == GATE;
    if (c->step == GATE_LIST && is_down)
        ask_watch(world, self, GATE_WATCH, GATE, true); /* the mistake: it may be up by then */
    else if (c->step == GATE_WATCH && answer->ok)
        rest(world, self, QR_RECIPE_WAITS);
    else
        rest(world, self, QR_RECIPE_OVER);
}

enum { PARTIES, READY };
enum { PARTY_PUT = 1, PARTY_LIST, PARTY_READY, PARTY_DELETE, PARTY_LEAVE };

static unsigned nodes_in(const qr_recipe_message *answer, uint8_t dir)
{
    unsigned count = 0;
    for (unsigned i = 0; i < QR_RECIPE_NODES_MAX; i++)
        count += answer->nodes[i].number && answer->nodes[i].dir == dir;
    return count;
}

static void enter(qr_lab_world *world, unsigned self)
{
    ((qr_recipe_shared *)qr_lab_shared(world))->began = 1;
    rest(world, self, QR_RECIPE_HAS);
}

static void party_next(qr_lab_world *world, unsigned self, const qr_recipe_message *answer)
{
    qr_recipe_client *c = client_of(world, self);
    bool full = (int)nodes_in(answer, PARTIES) >= qr_lab_parameter_of(world, QR_RECIPE_PARTIES);
    bool alone = qr_recipe_is_variant(world, QR_COUNTS_ALONE);
    switch (c->step) {
    case PARTY_PUT:
        c->own = answer->number;
        ask_list(world, self, PARTY_LIST, true);
        break;
    case PARTY_LIST:
        if (nodes_in(answer, READY) > 0 || (full && alone))
            enter(world, self);
        else if (full)
            ask_put(world, self, PARTY_READY, READY, 0, false, 2);
        else
            rest(world, self, QR_RECIPE_WAITS);
        break;
    case PARTY_READY: enter(world, self); break; /* by this or by another hand */
    case PARTY_DELETE: ask_list(world, self, PARTY_LEAVE, true); break;
    default: rest(world, self, nodes_in(answer, PARTIES) ? QR_RECIPE_WAITS : QR_RECIPE_OVER);
    }
}

/* -------------------------------------------------------------- two phases ---- */

enum { VOTES, DECISION };
enum { VOTE_PUT = 1, VOTE_LIST, VOTE_DECIDE };
enum { COMMITTED = 1, ABORTED = 2 };

static uint8_t decision_in(const qr_recipe_message *answer)
{
    for (unsigned i = 0; i < QR_RECIPE_NODES_MAX; i++)
        if (answer->nodes[i].number && answer->nodes[i].dir == DECISION)
            return answer->nodes[i].value;
    return 0;
}

/* 0: some votes are missing, and those that are there are yes. */
static uint8_t verdict(const qr_lab_world *world, const qr_recipe_message *answer)
{
    unsigned votes = 0;
    for (unsigned i = 0; i < QR_RECIPE_NODES_MAX; i++)
        if (answer->nodes[i].number && answer->nodes[i].dir == VOTES) {
            votes++;
            if (answer->nodes[i].value == ABORTED)
                return ABORTED;
        }
    return votes == qr_lab_count(world, QR_RECIPE_CLIENT) ? COMMITTED : 0;
}

static void decide(qr_lab_world *world, unsigned self, uint8_t value)
{
    client_of(world, self)->item = value;
    ask_put(world, self, VOTE_DECIDE, DECISION, value, false,
            qr_recipe_is_variant(world, QR_DECIDES_BLIND) ? 0 : 2);
}

static void vote_next(qr_lab_world *world, unsigned self, const qr_recipe_message *answer)
{
    qr_recipe_client *c = client_of(world, self);
    uint8_t decision = decision_in(answer), own = verdict(world, answer);
    if (c->step == VOTE_DECIDE && qr_recipe_is_variant(world, QR_DECIDES_BLIND))
        decision = c->item;
    if (c->step == VOTE_PUT || (c->step == VOTE_DECIDE && decision == 0))
        ask_list(world, self, VOTE_LIST, true);
    else if (decision != 0) {
        c->outcome = decision;
        rest(world, self, QR_RECIPE_OVER);
    } else if (own != 0)
        decide(world, self, own);
    else
        rest(world, self, QR_RECIPE_WAITS);
}

/* ----------------------------------------------------------------- for all ---- */

void qr_recipe_begin(qr_lab_world *world, unsigned self)
{
    const qr_recipe_client *c = client_of(world, self);
    switch (qr_recipe_which(world)) {
    case QR_QUEUE: ask_list(world, self, QUEUE_LIST, true); break;
    case QR_BARRIER:
        if (qr_recipe_is_variant(world, QR_WATCHES_LATE))
            ask_list(world, self, GATE_LIST, false);
        else
            ask_watch(world, self, GATE_WATCH, GATE, false);
        break;
    case QR_DOUBLE_BARRIER: ask_put(world, self, PARTY_PUT, PARTIES, 0, true, 0); break;
    case QR_TWO_PHASE:
        ask_put(world, self, VOTE_PUT, VOTES, c->refuses ? ABORTED : COMMITTED, false, 0);
        break;
    default: ask_put(world, self, ROW_PUT, 0, is_writer(world, self), true, 0);
    }
}

void qr_recipe_answered(qr_lab_world *world, unsigned self, const qr_recipe_message *answer)
{
    static void (*const programs[QR_RECIPES])(qr_lab_world *, unsigned, const qr_recipe_message *) = {
        [QR_ELECTION] = row_next,         [QR_QUEUE] = queue_next, [QR_BARRIER] = gate_next,
        [QR_DOUBLE_BARRIER] = party_next, [QR_RWLOCK] = row_next,  [QR_TWO_PHASE] = vote_next};
    bool blind =
        qr_recipe_is_variant(world, QR_FINISHES_BLIND) && client_of(world, self)->step == QUEUE_FINISH;
    if (answer->dir && !blind) {
        qr_lab_say(world, self, "learns that its session has ended, and stops");
        rest(world, self, QR_RECIPE_OVER);
    } else
        programs[qr_recipe_which(world)](world, self, answer);
}

void qr_recipe_fired(qr_lab_world *world, unsigned self)
{
    const qr_recipe_client *c = client_of(world, self);
    if (c->phase != QR_RECIPE_WAITS)
        return; /* it has looked since */
    bool herd = qr_recipe_is_variant(world, QR_HERD);
    switch (qr_recipe_which(world)) {
    case QR_QUEUE: ask_list(world, self, QUEUE_LIST, true); break;
    case QR_BARRIER: rest(world, self, QR_RECIPE_OVER); break;
    case QR_DOUBLE_BARRIER:
        ask_list(world, self, c->step == PARTY_LIST ? PARTY_LIST : PARTY_LEAVE, true);
        break;
    case QR_TWO_PHASE: ask_list(world, self, VOTE_LIST, true); break;
    default:
        if (qr_recipe_is_variant(world, QR_LEADS_AT_ONCE))
            rest(world, self, QR_RECIPE_HAS);
        else
            ask_list(world, self, ROW_LIST, herd);
    }
}

void qr_recipe_leave(qr_lab_world *world, unsigned self)
{
    qr_recipe_client *c = client_of(world, self);
    if (qr_recipe_which(world) == QR_QUEUE)
        queue_finish(world, self);
    else
        ask_delete(world, self, qr_recipe_which(world) == QR_DOUBLE_BARRIER ? PARTY_DELETE : ROW_LEAVE,
                   c->own, 0);
}

void qr_recipe_give_up(qr_lab_world *world, unsigned self)
{
    decide(world, self, ABORTED);
}

void qr_recipe_open_gate(qr_lab_world *world, unsigned self)
{
    ask_delete(world, self, GATE_OPEN, GATE, 0);
}

#include "lab/recipe/recipe.h"

#include "lab/protocols.h"

static const qr_recipe_client *client_of(const qr_lab_world *world, unsigned self)
{
    return qr_lab_role_of(world, self) == QR_RECIPE_CLIENT ? qr_lab_state(world, self) : NULL;
}

static qr_recipe_shared *shared_of(const qr_lab_world *world)
{
    return qr_lab_shared(world);
}

/* ------------------------------------------------------------------ events ---- */

static bool may_begin(const qr_lab_world *world, unsigned self)
{
    const qr_recipe_client *c = client_of(world, self);
    return c != NULL && c->phase == QR_RECIPE_IDLE;
}

static bool begin(qr_lab_world *world, unsigned self, const qr_lab_words *arguments)
{
    if (!may_begin(world, self) || arguments->count)
        return false;
    qr_recipe_begin(world, self);
    return true;
}

static bool may_refuse(const qr_lab_world *world, unsigned self)
{
    return may_begin(world, self) && qr_recipe_which(world) == QR_TWO_PHASE;
}

static bool refuse(qr_lab_world *world, unsigned self, const qr_lab_words *arguments)
{
    if (!may_refuse(world, self) || arguments->count)
        return false;
    ((qr_recipe_client *)qr_lab_state(world, self))->refuses = 1;
    qr_recipe_begin(world, self);
    return true;
}

static bool may_leave(const qr_lab_world *world, unsigned self)
{
    const qr_recipe_client *c = client_of(world, self);
    return c != NULL && c->phase == QR_RECIPE_HAS;
}

static bool leave(qr_lab_world *world, unsigned self, const qr_lab_words *arguments)
{
    if (!may_leave(world, self) || arguments->count)
        return false;
    qr_recipe_leave(world, self);
    return true;
}

static bool may_give_up(const qr_lab_world *world, unsigned self)
{
    const qr_recipe_client *c = client_of(world, self);
    return c != NULL && c->phase == QR_RECIPE_WAITS && qr_recipe_which(world) == QR_TWO_PHASE;
}

static bool give_up(qr_lab_world *world, unsigned self, const qr_lab_words *arguments)
{
    if (!may_give_up(world, self) || arguments->count)
        return false;
    qr_recipe_give_up(world, self);
    return true;
}

/* By itself the first client opens the gate; anybody may. */
static bool may_open(const qr_lab_world *world, unsigned self)
{
    return self == 0 && may_begin(world, self) && qr_recipe_which(world) == QR_BARRIER;
}

static bool open_gate(qr_lab_world *world, unsigned self, const qr_lab_words *arguments)
{
    if (!may_begin(world, self) || qr_recipe_which(world) != QR_BARRIER || arguments->count)
        return false;
    qr_recipe_open_gate(world, self);
    return true;
}

static bool has_ended(const qr_lab_world *world, unsigned client)
{
    return qr_recipe_store_of(world)->ended >> client & 1;
}

static bool may_lapse(const qr_lab_world *world, unsigned self)
{
    return may_leave(world, self) && !has_ended(world, self) &&
           shared_of(world)->lapses < qr_lab_parameter_of(world, QR_RECIPE_LAPSES);
}

static bool lapse(qr_lab_world *world, unsigned self, const qr_lab_words *arguments)
{
    if (client_of(world, self) == NULL || has_ended(world, self) || arguments->count)
        return false;
    shared_of(world)->lapses++;
    qr_recipe_store_end(world, self);
    return true;
}

static bool may_expire(const qr_lab_world *world, unsigned self)
{
    bool may = false;
    for (unsigned i = 0; i < qr_lab_count(world, QR_RECIPE_CLIENT); i++)
        may |= !qr_lab_up(world, i) && !has_ended(world, i);
    return may && qr_lab_role_of(world, self) == QR_RECIPE_STORE;
}

static bool expire(qr_lab_world *world, unsigned self, const qr_lab_words *arguments)
{
    if (!may_expire(world, self) || arguments->count)
        return false;
    for (unsigned i = 0; i < qr_lab_count(world, QR_RECIPE_CLIENT); i++)
        if (!qr_lab_up(world, i) && !has_ended(world, i))
            qr_recipe_store_end(world, i);
    return true;
}

/* -------------------------------------------------------------- what holds ---- */

/* It thinks that it has it, and the store thinks so too. */
static bool truly_has(const qr_lab_world *world, unsigned self)
{
    const qr_recipe_client *c = client_of(world, self);
    return c->phase == QR_RECIPE_HAS && qr_lab_up(world, self) && qr_recipe_store_has(world, c->own);
}

static unsigned holders(const qr_lab_world *world, bool *writes)
{
    unsigned count = 0;
    *writes = false;
    for (unsigned i = 0; i < qr_lab_count(world, QR_RECIPE_CLIENT); i++)
        if (truly_has(world, i)) {
            count++;
            *writes |= i % 2 == 0;
        }
    return count;
}

static bool is_lost(const qr_lab_world *world, uint8_t item)
{
    if (qr_recipe_store_has(world, item) || shared_of(world)->worked[item])
        return false;
    for (unsigned i = 0; i < qr_lab_count(world, QR_RECIPE_CLIENT); i++)
        if (qr_lab_up(world, i) && client_of(world, i)->item == item)
            return false;
    return true;
}

static const char *check_queue(const qr_lab_world *world)
{
    for (uint8_t item = 1; item <= qr_lab_parameter_of(world, QR_RECIPE_ITEMS); item++) {
        if (shared_of(world)->done[item] > 1)
            return "done-once";
        if (is_lost(world, item))
            return "no-item-lost";
    }
    return NULL;
}

/* Nothing is under way, somebody waits, and what it waits for has come. */
static bool waits_in_vain(const qr_lab_world *world)
{
    bool gate = qr_recipe_which(world) == QR_BARRIER && !qr_recipe_store_has(world, 1);
    bool begun = qr_recipe_which(world) == QR_DOUBLE_BARRIER && shared_of(world)->began;
    enum { PARTY_LIST = 2 };
    for (unsigned i = 0; i < qr_lab_count(world, QR_RECIPE_CLIENT); i++) {
        const qr_recipe_client *c = client_of(world, i);
        if (world->message_count == 0 && qr_lab_up(world, i) && c->phase == QR_RECIPE_WAITS &&
            (gate || (begun && c->step == PARTY_LIST)))
            return true;
    }
    return false;
}

static bool outcomes_differ(const qr_lab_world *world)
{
    unsigned seen = 0;
    for (unsigned i = 0; i < qr_lab_count(world, QR_RECIPE_CLIENT); i++)
        seen |= client_of(world, i)->outcome;
    return seen == 3;
}

static const char *check(const qr_lab_world *world)
{
    bool writes;
    switch (qr_recipe_which(world)) {
    case QR_ELECTION:
        if (shared_of(world)->fired > 1)
            return "no-herd";
        return holders(world, &writes) > 1 ? "one-leader" : NULL;
    case QR_RWLOCK: return holders(world, &writes) > 1 && writes ? "exclusion" : NULL;
    case QR_QUEUE: return check_queue(world);
    case QR_TWO_PHASE: return outcomes_differ(world) ? "atomicity" : NULL;
    default: return waits_in_vain(world) ? "nobody-waits-in-vain" : NULL;
    }
}

/* ------------------------------------------------------------ what is seen ---- */

static const char *start(qr_lab_world *world)
{
    qr_recipe_store *store = qr_recipe_store_of(world);
    if (qr_lab_count(world, QR_RECIPE_STORE) != 1 || !qr_lab_count(world, QR_RECIPE_CLIENT))
        return "clients and one store";
    if (qr_recipe_which(world) == QR_BARRIER)
        qr_recipe_store_add(store, 0, 0, 0);
    for (int i = 0; qr_recipe_which(world) == QR_QUEUE && i < qr_lab_parameter_of(world, QR_RECIPE_ITEMS);
         i++)
        qr_recipe_store_add(store, 0, 0, 0);
    return NULL;
}

static void receive(qr_lab_world *world, unsigned self, const qr_lab_message *head)
{
    const qr_recipe_message *m = (const qr_recipe_message *)(const void *)head;
    if (qr_lab_role_of(world, self) == QR_RECIPE_STORE)
        qr_recipe_store_receive(world, m);
    else if (head->kind == QR_RECIPE_FIRED)
        qr_recipe_fired(world, self);
    else
        qr_recipe_answered(world, self, m);
}

static const char *const kinds[] = {"put", "list", "watch", "delete", "answer", "fired", NULL};
static const char *const phases[] = {"idle", "asks", "waits", "has", "over"};

static void put_nodes(const qr_lab_world *world, const qr_recipe_node *nodes, qr_buffer *out)
{
    for (unsigned i = 0; i < QR_RECIPE_NODES_MAX && nodes[i].number; i++) {
        qr_buffer_format(out, "%s%u", i ? "," : "", nodes[i].number);
        if (nodes[i].owner)
            qr_buffer_format(out, ":%s", qr_lab_name_of(world, nodes[i].owner - 1u).text);
    }
}

static void describe(const qr_lab_world *world, unsigned self, qr_buffer *out)
{
    static const char *const has[QR_RECIPES] = {"leads",     "works on an item", "is through",
                                                "is inside", "holds the lock",   "has decided"};
    static const char *const outcomes[] = {"", ", committed", ", aborted"};
    const qr_recipe_client *c = client_of(world, self);
    if (c == NULL) {
        qr_buffer_format(out, "nodes ");
        put_nodes(world, qr_recipe_store_of(world)->nodes, out);
    } else
        qr_buffer_format(out, "%s%s",
                         c->phase == QR_RECIPE_HAS ? has[qr_recipe_which(world)] : phases[c->phase],
                         outcomes[c->outcome]);
}

static void describe_message(const qr_lab_world *world, const qr_lab_message *head, qr_buffer *out)
{
    const qr_recipe_message *m = (const qr_recipe_message *)(const void *)head;
    qr_buffer_format(out, "%s", kinds[head->kind]);
    if (head->kind == QR_RECIPE_WATCH || head->kind == QR_RECIPE_DELETE)
        qr_buffer_format(out, "(%u)", m->number);
    if (head->kind == QR_RECIPE_ANSWER) {
        qr_buffer_format(out, m->ok ? "(ok,nodes:" : "(no,nodes:");
        put_nodes(world, m->nodes, out);
        qr_buffer_format(out, ")");
    }
}

static unsigned in_phase(const qr_lab_world *world, qr_recipe_phase phase)
{
    unsigned count = 0;
    for (unsigned i = 0; i < qr_lab_count(world, QR_RECIPE_CLIENT); i++)
        count += qr_lab_up(world, i) && client_of(world, i)->phase == phase;
    return count;
}

static void outcome(const qr_lab_world *world, qr_buffer *out)
{
    qr_buffer_format(out, "waits=%u,over=%u", in_phase(world, QR_RECIPE_WAITS),
                     in_phase(world, QR_RECIPE_OVER));
}

static bool observe(const qr_lab_world *world, unsigned self, qr_slice name, qr_buffer *out)
{
    static const char *const outcomes[] = {"open", "committed", "aborted"};
    const qr_recipe_client *c = self == QR_LAB_NOBODY ? NULL : client_of(world, self);
    const qr_recipe_shared *all = shared_of(world);
    if (c != NULL && qr_lab_word_is(name, "phase"))
        qr_buffer_format(out, "%s", phases[c->phase]);
    else if (c != NULL && qr_lab_word_is(name, "outcome"))
        qr_buffer_format(out, "%s", outcomes[c->outcome]);
    else if (self != QR_LAB_NOBODY)
        return false;
    else if (qr_lab_word_is(name, "worked"))
        qr_buffer_format(out, "%u", all->worked[1]);
    else if (qr_lab_word_is(name, "done"))
        qr_buffer_format(out, "%u", all->done[1]);
    else if (qr_lab_word_is(name, "waiting"))
        qr_buffer_format(out, "%u", in_phase(world, QR_RECIPE_WAITS));
    return out->size > 0;
}

static const qr_lab_parameter parameters[] = {
    [QR_RECIPE_WHICH] = {"recipe", "election|queue|barrier|double-barrier|rwlock|two-phase", QR_ELECTION, 0,
                         0, "what the clients do; in rwlock every other one writes"},
    [QR_RECIPE_VARIANT] =
        {"variant",
         "correct|leads-at-once|herd|deletes-first|finishes-blind|watches-late|counts-alone|"
         "skips-readers|decides-blind",
         QR_RIGHT, 0, 0, "the mistake, of one recipe each"},
    [QR_RECIPE_PARTIES] = {"parties", NULL, 2, 1, QR_RECIPE_CLIENTS_MAX, "of the double barrier"},
    [QR_RECIPE_ITEMS] = {"items", NULL, 1, 1, QR_RECIPE_ITEMS_MAX, "in the queue"},
    [QR_RECIPE_LAPSES] = {"lapses", NULL, 0, 0, 3, "sessions that may end although their clients live"},
    {0},
};

static const qr_lab_event events[] = {
    {"begin", "a client begins; with two phases it votes yes", may_begin, begin},
    {"refuse", "a client votes no", may_refuse, refuse},
    {"leave", "who leads, holds, works or is inside is done with it", may_leave, leave},
    {"give-up", "who waits for votes decides to abort", may_give_up, give_up},
    {"open", "a client opens the gate of the barrier", may_open, open_gate},
    {"lapse", "a client stands still for so long that its session ends; it does not know", may_lapse, lapse},
    {"expire", "the sessions of the dead end", may_expire, expire},
    {0},
};

const qr_lab_protocol qr_lab_recipe = {
    .name = "recipe",
    .title = "what clients build upon a store: elections, queues, barriers, locks",
    .roles = {{"client", "k", 3, QR_RECIPE_CLIENTS_MAX}, {"store", "s", 1, 1}},
    .parameters = parameters,
    .events = events,
    .kinds = kinds,
    .state_size = sizeof(qr_recipe_state),
    .message_size = sizeof(qr_recipe_message),
    .shared_size = sizeof(qr_recipe_shared),
    .ordered = true,
    .start = start,
    .receive = receive,
    .describe = describe,
    .describe_message = describe_message,
    .check = check,
    .outcome = outcome,
    .observe = observe,
};

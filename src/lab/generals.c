/* generals: Byzantine agreement with oral and with signed messages (Lamport, Shostak, Pease, "The Byzantine
 * Generals Problem", ACM TOPLAS 4(3), 1982; section numbers are that paper's).
 *
 * A commander sends an order to his lieutenants, and they tell each other what they got. IC1: all loyal
 * lieutenants obey the same order. IC2: if the commander is loyal, they obey the order that he sent. The
 * first general is the commander. A traitor owes the same messages as a loyal general, and may put into each
 * what he likes, or keep it to himself; which he does is an event, so an exploration tries every strategy.
 *
 * The paper's generals march in rounds and notice a missing message (A3). Here messages arrive in any order,
 * and a general makes up his mind when nothing is under way and no traitor has anything more to say. */

#include "lab/protocols.h"

enum { ORDER };
enum { ALGORITHM, DEPTH, SILENCE, COUNTING, VARIANT };
enum { ORAL, SIGNED };
enum { CORRECT, UNCHECKED };
enum { UNHEARD, ATTACK, RETREAT };
enum { GENERALS_MAX = 7, DEPTH_MAX = 2, PATH_MAX = DEPTH_MAX + 1, DUTIES_MAX = 32 };
enum { PATHS_MAX = 1 + GENERALS_MAX + GENERALS_MAX * GENERALS_MAX };

/* Who said it, and who told on: the first is the commander. With signed messages, the signatures. */
typedef struct route {
    uint8_t size, by[PATH_MAX];
} route;

typedef struct errand {
    route path; /* with the traitor himself at its end */
    uint8_t value, to;
} errand;

typedef struct general {
    uint8_t traitor, ordered, duties; /* ordered: the commander's own order */
    uint8_t heard[PATHS_MAX];         /* oral: what came by each path */
    uint8_t seen;                     /* signed: set of values with good signatures, the paper's V */
    errand owed[DUTIES_MAX];          /* a traitor's messages that he has not decided about */
} general;

typedef struct message {
    qr_lab_message head;
    route path;
    uint8_t value, zero;
} message;

static const char *const values[] = {"nothing", "attack", "retreat"};

static general *general_of(const qr_lab_world *world, unsigned self)
{
    return qr_lab_state(world, self);
}

static unsigned depth_of(const qr_lab_world *world)
{
    return (unsigned)qr_lab_parameter_of(world, DEPTH);
}

static bool is_signed(const qr_lab_world *world)
{
    return qr_lab_parameter_of(world, ALGORITHM) == SIGNED;
}

static bool is_on(const route *path, unsigned self)
{
    for (unsigned i = 0; i < path->size; i++)
        if (path->by[i] == self)
            return true;
    return false;
}

static route extended(route path, unsigned self)
{
    QR_ASSERT(path.size < PATH_MAX);
    path.by[path.size++] = (uint8_t)self;
    return path;
}

static unsigned place_of(const route *path)
{
    switch (path->size) {
    case 1: return 0;
    case 2: return 1u + path->by[1];
    default: return 1u + GENERALS_MAX + path->by[1] * (unsigned)GENERALS_MAX + path->by[2];
    }
}

/* ------------------------------------------------------------- sending ---- */

static void dispatch(qr_lab_world *world, unsigned self, const errand *duty, unsigned value)
{
    message m;
    qr_lab_message_of(world, &m.head, ORDER, self);
    m.path = duty->path;
    m.value = (uint8_t)value;
    qr_lab_send(world, &m.head, duty->to);
}

/* To everyone who has not handled it: by a loyal general at once, by a traitor as he likes. */
static void tell_on(qr_lab_world *world, unsigned self, route path, unsigned value)
{
    general *g = general_of(world, self);
    errand duty = {.path = extended(path, self), .value = (uint8_t)value};
    for (unsigned to = 0; to < world->setting->count; to++) {
        if (is_on(&duty.path, to))
            continue;
        duty.to = (uint8_t)to;
        if (!g->traitor)
            dispatch(world, self, &duty, value);
        else {
            QR_ASSERT(g->duties < DUTIES_MAX);
            g->owed[g->duties++] = duty;
        }
    }
}

static bool all_traitors(const qr_lab_world *world, const route *path)
{
    for (unsigned i = 0; i < path->size; i++)
        if (!general_of(world, path->by[i])->traitor)
            return false;
    return true;
}

/* A4: a loyal general's signature cannot be forged, and anybody can tell. Traitors sign for each other. */
static bool may_say(const qr_lab_world *world, unsigned self, unsigned value)
{
    const general *g = general_of(world, self);
    if (g->duties == 0)
        return false;
    return !is_signed(world) || qr_lab_parameter_of(world, VARIANT) == UNCHECKED ||
           g->owed[0].value == value || all_traitors(world, &g->owed[0].path);
}

static void do_duty(qr_lab_world *world, unsigned self, unsigned value)
{
    general *g = general_of(world, self);
    errand first = g->owed[0];
    memmove(g->owed, g->owed + 1, --g->duties * sizeof *g->owed);
    g->owed[g->duties] = (errand){0};
    if (value != UNHEARD)
        dispatch(world, self, &first, value);
}

/* ------------------------------------------------------------ receiving ---- */

/* 3, OM(m) step (2): what he got he sends, as commander of OM(m-1), to the others. */
static void hear_oral(qr_lab_world *world, unsigned self, const message *m)
{
    general_of(world, self)->heard[place_of(&m->path)] = m->value;
    if (m->path.size <= depth_of(world))
        tell_on(world, self, m->path, m->value);
}

/* 4, SM(m) step (2): a value that is new to him gets his signature too and goes on, while there are no more
 * than m of lieutenants. */
static void hear_signed(qr_lab_world *world, unsigned self, const message *m)
{
    general *g = general_of(world, self);
    if (g->seen >> m->value & 1)
        return;
    g->seen |= (uint8_t)(1u << m->value);
    if (g->seen == (1u << ATTACK | 1u << RETREAT) && !g->traitor)
        qr_lab_say(world, self, "has both orders with the commander's signature: he is a traitor");
    if (m->path.size <= depth_of(world))
        tell_on(world, self, m->path, m->value);
}

static void receive(qr_lab_world *world, unsigned self, const qr_lab_message *head)
{
    const message *m = (const message *)(const void *)head;
    if (is_signed(world))
        hear_signed(world, self, m);
    else
        hear_oral(world, self, m);
}

/* ------------------------------------------------------------- deciding ---- */

/* 3, OM(m) step (3): the majority of what he got by this path and what each other says that he got by it.
 * What never came, and a tie, is retreat. */
static unsigned majority_of(const qr_lab_world *world, unsigned self, route so_far)
{
    int attacks = general_of(world, self)->heard[place_of(&so_far)] == ATTACK ? 1 : -1;
    if (so_far.size > depth_of(world))
        return attacks > 0 ? ATTACK : RETREAT;
    for (unsigned other = 0; other < world->setting->count; other++)
        if (other != self && !is_on(&so_far, other))
            attacks += majority_of(world, self, extended(so_far, other)) == ATTACK ? 1 : -1;
    return attacks > 0 ? ATTACK : RETREAT;
}

/* 4, SM(m) step (3): choice(V) is its only value, else retreat. */
static unsigned decision_of(const qr_lab_world *world, unsigned self)
{
    const general *g = general_of(world, self);
    if (self == 0)
        return g->ordered;
    if (is_signed(world))
        return g->seen == 1u << ATTACK ? ATTACK : RETREAT;
    return majority_of(world, self, extended((route){0}, 0));
}

static bool is_over(const qr_lab_world *world)
{
    if (world->message_count > 0 || !general_of(world, 0)->ordered)
        return false;
    for (unsigned i = 0; i < world->setting->count; i++)
        if (general_of(world, i)->duties > 0)
            return false;
    return true;
}

static const char *broken(const qr_lab_world *world)
{
    const general *commander = general_of(world, 0);
    bool said[RETREAT + 1] = {false};
    if (!is_over(world))
        return NULL;
    for (unsigned i = 1; i < world->setting->count; i++)
        if (!general_of(world, i)->traitor)
            said[decision_of(world, i)] = true;
    if (!commander->traitor && said[ATTACK + RETREAT - commander->ordered])
        return "ic2-obedience";
    return said[ATTACK] && said[RETREAT] ? "ic1-agreement" : NULL;
}

static const char *check(const qr_lab_world *world)
{
    return qr_lab_parameter_of(world, COUNTING) ? NULL : broken(world);
}

/* --------------------------------------------------------------- events ---- */

static bool turn(qr_lab_world *world, unsigned self, const qr_lab_words *arguments)
{
    general_of(world, self)->traitor = 1;
    return arguments->count == 0 && !general_of(world, 0)->ordered;
}

static bool may_order(const qr_lab_world *world, unsigned self)
{
    return self == 0 && !general_of(world, self)->ordered;
}

static bool order(qr_lab_world *world, unsigned self, unsigned value)
{
    if (!may_order(world, self))
        return false;
    general_of(world, self)->ordered = (uint8_t)value;
    tell_on(world, self, (route){0}, value);
    return true;
}

static bool order_attack(qr_lab_world *world, unsigned self, const qr_lab_words *arguments)
{
    return arguments->count == 0 && order(world, self, ATTACK);
}

/* A traitor's own order means nothing: that he "orders retreat" would count each of his strategies twice. */
static bool may_order_retreat(const qr_lab_world *world, unsigned self)
{
    return may_order(world, self) && !general_of(world, self)->traitor;
}

static bool order_retreat(qr_lab_world *world, unsigned self, const qr_lab_words *arguments)
{
    return arguments->count == 0 && order(world, self, RETREAT);
}

static bool may_say_attack(const qr_lab_world *world, unsigned self)
{
    return may_say(world, self, ATTACK);
}

static bool may_say_retreat(const qr_lab_world *world, unsigned self)
{
    return may_say(world, self, RETREAT);
}

static bool may_keep(const qr_lab_world *world, unsigned self)
{
    return general_of(world, self)->duties > 0 && qr_lab_parameter_of(world, SILENCE);
}

static bool say(qr_lab_world *world, unsigned self, unsigned value, const qr_lab_words *arguments)
{
    if (arguments->count > 0 || !may_say(world, self, value))
        return false;
    do_duty(world, self, value);
    return true;
}

static bool say_attack(qr_lab_world *world, unsigned self, const qr_lab_words *arguments)
{
    return say(world, self, ATTACK, arguments);
}

static bool say_retreat(qr_lab_world *world, unsigned self, const qr_lab_words *arguments)
{
    return say(world, self, RETREAT, arguments);
}

static bool keep(qr_lab_world *world, unsigned self, const qr_lab_words *arguments)
{
    if (arguments->count > 0 || general_of(world, self)->duties == 0)
        return false;
    do_duty(world, self, UNHEARD);
    return true;
}

/* ---------------------------------------------------------------- words ---- */

static void describe(const qr_lab_world *world, unsigned self, qr_buffer *out)
{
    const general *g = general_of(world, self);
    qr_buffer_format(out, "%s", g->traitor ? "traitor" : "loyal");
    if (g->duties > 0)
        qr_buffer_format(out, ", may lie in %u more", g->duties);
    else if (!g->traitor && is_over(world))
        qr_buffer_format(out, ", decides: %s", values[decision_of(world, self)]);
}

static void describe_message(const qr_lab_world *world, const qr_lab_message *head, qr_buffer *out)
{
    const message *m = (const message *)(const void *)head;
    qr_buffer_format(out, "%s(by", values[m->value]);
    for (unsigned i = 0; i < m->path.size; i++)
        qr_buffer_format(out, ":%s", qr_lab_name_of(world, m->path.by[i]).text);
    qr_buffer_format(out, ")");
}

static void outcome(const qr_lab_world *world, qr_buffer *out)
{
    const char *how = broken(world);
    qr_buffer_format(out, "%s", how ? how : is_over(world) ? "kept" : "open");
}

static bool observe(const qr_lab_world *world, unsigned self, qr_slice name, qr_buffer *out)
{
    if (self == QR_LAB_NOBODY || !qr_lab_word_is(name, "decision"))
        return false;
    qr_buffer_format(out, "%s", values[is_over(world) ? decision_of(world, self) : UNHEARD]);
    return true;
}

/* ---------------------------------------------------------------- table ---- */

static const qr_lab_parameter parameters[] = {
    [ALGORITHM] = {"messages", "oral|signed", ORAL, 0, 0, "OM(m) or SM(m)"},
    [DEPTH] = {"m", NULL, 1, 0, DEPTH_MAX, "how many traitors it is meant to bear"},
    [SILENCE] = {"silence", "no|yes", 0, 0, 0, "whether explorations let a traitor keep a message back"},
    [COUNTING] = {"count", "no|yes", 0, 0, 0,
                  "whether broken conditions are only counted, as outcomes of strategies"},
    [VARIANT] = {"variant", "correct|unchecked", CORRECT, 0, 0, "the mistake: signatures are not checked"},
    {0},
};

static const qr_lab_event events[] = {
    {"turn", "is a traitor from now on; before the order", NULL, turn},
    {"order-attack", "the commander's order", may_order, order_attack},
    {"order-retreat", "the commander's order", may_order_retreat, order_retreat},
    {"attack", "a traitor says attack in the next message that he owes", may_say_attack, say_attack},
    {"retreat", "a traitor says retreat in the next message that he owes", may_say_retreat, say_retreat},
    {"keep", "a traitor does not send the next message that he owes", may_keep, keep},
    {0},
};

static const char *const kinds[] = {"order", NULL};

/* OM(m) needs more generals than m + 1 for its paths to have somewhere to go. */
static const char *start(qr_lab_world *world)
{
    return world->setting->count >= 2 ? NULL : "a commander alone";
}

const qr_lab_protocol qr_lab_generals = {
    .name = "generals",
    .title = "Byzantine generals, oral and signed",
    .roles = {{"general", "g", 4, GENERALS_MAX}},
    .parameters = parameters,
    .events = events,
    .kinds = kinds,
    .state_size = sizeof(general),
    .message_size = sizeof(message),
    .start = start,
    .receive = receive,
    .describe = describe,
    .describe_message = describe_message,
    .check = check,
    .outcome = outcome,
    .observe = observe,
};

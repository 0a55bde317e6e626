/* commit: atomic commitment in two phases and in three (Bernstein, Hadzilacos, Goodman, "Concurrency Control
 * and Recovery in Database Systems", 1987, chapter 7, "BHG"; the third phase is Skeen's, "Nonblocking Commit
 * Protocols", 1981).
 *
 * A coordinator asks all participants whether they can commit; only if all say yes does it decide so. Who has
 * said yes is uncertain: it may decide neither way by itself. In two phases, if the coordinator dies then and
 * nobody within reach knows more, the uncertain are blocked. In three phases everybody is told that all have
 * said yes before anybody commits, and those who are left can finish by themselves - if they can tell a dead
 * process from a slow one. `timeouts perfect` grants that: a timeout strikes only when the other is down or
 * cut off and nothing of it is on the way. */
#include "lab/protocols.h"

enum { COORDINATOR, PARTICIPANT };
enum { PREPARE, YES, NO, PRECOMMIT, ACK, COMMIT, ABORT, ASK, STATE, SILENCE };
enum { PHASES, TIMEOUTS, SENDING, VARIANT };
enum { PERFECT, ANY };
enum variant { CORRECT, TIMEOUT_ABORTS, FORGETS_VOTE, MAJORITY, OBEYS_DEAD };
enum standing { INITIAL, UNCERTAIN, PRECOMMITTED, COMMITTED, ABORTED };
enum duty { NONE, VOTES, ACKS, STATES, DONE };
enum { PARTICIPANTS_MAX = 8 };

/* A process; the coordinator has no vote and stands INITIAL until it decides. Whoever leads, the coordinator
 * or a participant that took over, waits for something from each participant. */
typedef struct state {
    uint8_t standing, refuses;
    uint8_t leader;        /* whom it obeys: the coordinator is 0, then the participants; only upwards */
    uint8_t duty, heard;   /* leading: what it waits for, and who has sent it (set of participants) */
    uint8_t worst, best;   /* STATES: whether one cannot commit; the furthest standing of all */
    uint8_t sending, next; /* what goes out one by one, and to whom next */
} state;

typedef struct message {
    qr_lab_message head;
    uint8_t standing; /* STATE */
    uint8_t zero;
} message;

typedef struct shared {
    uint8_t voted_yes; /* set of participants */
} shared;

static enum variant variant_of(const qr_lab_world *world)
{
    return (enum variant)qr_lab_parameter_of(world, VARIANT);
}

static bool in_three(const qr_lab_world *world)
{
    return qr_lab_parameter_of(world, PHASES) == 3;
}

static bool is_decided(const state *s)
{
    return s->standing >= COMMITTED;
}

static uint8_t everyone(const qr_lab_world *world)
{
    return (uint8_t)((1u << qr_lab_count(world, PARTICIPANT)) - 1);
}

static uint8_t bit_of(unsigned self)
{
    return self == 0 ? 0 : (uint8_t)(1u << (self - 1));
}

/* ------------------------------------------------------------ timeouts ---- */

static bool is_reachable(const qr_lab_world *world, unsigned self, unsigned other)
{
    return qr_lab_up(world, other) &&
           qr_lab_process_of(world, self)->side == qr_lab_process_of(world, other)->side;
}

static bool is_under_way(const qr_lab_world *world, unsigned from, unsigned to)
{
    for (size_t i = 0; i < world->message_count; i++) {
        const qr_lab_message *m = qr_lab_pending(world, i);
        if (m->from == from && m->to == to && qr_lab_deliverable(world, i))
            return true;
    }
    return false;
}

/* Whether self may take other for dead: it is, or is cut off, and all it ever said has arrived. */
static bool is_lost_to(const qr_lab_world *world, unsigned self, unsigned other)
{
    if (qr_lab_parameter_of(world, TIMEOUTS) == ANY)
        return true;
    return !is_reachable(world, self, other) && !is_under_way(world, other, self);
}

/* Whether self may stop waiting for other: it is lost, or it has nothing to answer to. */
static bool is_silent_to(const qr_lab_world *world, unsigned self, unsigned other)
{
    const state *s = qr_lab_state(world, other);
    return is_lost_to(world, self, other) ||
           (!is_under_way(world, other, self) && !is_under_way(world, self, other) && s->sending == SILENCE);
}

/* Everybody who would lead before self. */
static bool leaders_are_lost(const qr_lab_world *world, unsigned self)
{
    for (unsigned i = 0; i < self; i++)
        if (!is_lost_to(world, self, i))
            return false;
    return true;
}

static bool missing_are_silent(const qr_lab_world *world, unsigned self)
{
    const state *s = qr_lab_state(world, self);
    for (unsigned i = 1; i < world->setting->count; i++)
        if (i != self && !(s->heard & bit_of(i)) && !is_silent_to(world, self, i))
            return false;
    return true;
}

/* ------------------------------------------------------------- sending ---- */

static void send_one(qr_lab_world *world, unsigned self, unsigned kind, unsigned to)
{
    message m;
    qr_lab_message_of(world, &m.head, kind, self);
    if (kind == STATE)
        m.standing = ((state *)qr_lab_state(world, self))->standing;
    qr_lab_send(world, &m.head, to);
}

static void send_all(qr_lab_world *world, unsigned self, unsigned kind)
{
    state *s = qr_lab_state(world, self);
    if (qr_lab_parameter_of(world, SENDING)) {
        s->sending = (uint8_t)kind;
        s->next = 1;
        return;
    }
    message m;
    qr_lab_message_of(world, &m.head, kind, self);
    qr_lab_send_role(world, &m.head, PARTICIPANT);
}

static bool may_send(const qr_lab_world *world, unsigned self)
{
    return ((const state *)qr_lab_state(world, self))->sending != SILENCE;
}

static bool send_next(qr_lab_world *world, unsigned self, const qr_lab_words *arguments)
{
    state *s = qr_lab_state(world, self);
    if (!may_send(world, self) || arguments->count)
        return false;
    s->next += s->next == self;
    if (s->next < world->setting->count)
        send_one(world, self, s->sending, s->next++);
    s->next += s->next == self;
    if (s->next >= world->setting->count)
        s->sending = SILENCE;
    return true;
}

/* ------------------------------------------------------------- leading ---- */

static void decide(qr_lab_world *world, unsigned self, uint8_t standing)
{
    state *s = qr_lab_state(world, self);
    if (is_decided(s))
        return;
    s->standing = standing;
    qr_lab_say(world, self, standing == COMMITTED ? "commits" : "aborts");
}

static void decide_for_all(qr_lab_world *world, unsigned self, uint8_t standing)
{
    state *s = qr_lab_state(world, self);
    s->duty = DONE;
    s->heard = s->best = s->worst = 0;
    decide(world, self, standing);
    send_all(world, self, standing == COMMITTED ? COMMIT : ABORT);
}

static void wait_for_acks(qr_lab_world *world, unsigned self)
{
    state *s = qr_lab_state(world, self);
    s->duty = ACKS;
    s->heard = bit_of(self);
    s->best = s->worst = 0;
    if (self)
        s->standing = PRECOMMITTED;
    send_all(world, self, PRECOMMIT);
}

/* BHG 7.5, the termination rules TR1 to TR4: what is known of all those that could be asked. */
static void conclude_states(qr_lab_world *world, unsigned self)
{
    state *s = qr_lab_state(world, self);
    if (s->worst)
        decide_for_all(world, self, ABORTED); /* TR1 */
    else if (s->best == COMMITTED)
        decide_for_all(world, self, COMMITTED); /* TR2 */
    else if (s->best == UNCERTAIN)
        decide_for_all(world, self, ABORTED); /* TR3 */
    else
        wait_for_acks(world, self); /* TR4 */
}

/* The leader stops waiting: it has heard of all, or the rest will never come. */
static void conclude(qr_lab_world *world, unsigned self)
{
    state *s = qr_lab_state(world, self);
    unsigned yes = qr_lab_set_size(s->heard), all = qr_lab_count(world, PARTICIPANT);
    switch (s->duty) {
    case VOTES: /* BHG 7.4, step 3: no vote is a no */
        if (yes < (variant_of(world) == MAJORITY ? all / 2 + 1 : all))
            decide_for_all(world, self, ABORTED);
        else if (in_three(world))
            wait_for_acks(world, self);
        else
            decide_for_all(world, self, COMMITTED);
        break;
    case ACKS: decide_for_all(world, self, COMMITTED); break;
    case STATES: conclude_states(world, self); break;
    }
}

static void hear_of(qr_lab_world *world, unsigned self, unsigned from)
{
    state *s = qr_lab_state(world, self);
    s->heard |= bit_of(from);
    if (s->heard == everyone(world))
        conclude(world, self);
}

static bool begin(qr_lab_world *world, unsigned self, const qr_lab_words *arguments)
{
    state *s = qr_lab_state(world, self);
    if (self != 0 || s->duty != NONE || is_decided(s) || arguments->count)
        return false;
    s->duty = VOTES;
    send_all(world, self, PREPARE);
    return true;
}

static bool may_begin(const qr_lab_world *world, unsigned self)
{
    const state *s = qr_lab_state(world, self);
    return self == 0 && s->duty == NONE && !is_decided(s);
}

/* ----------------------------------------- timeouts of who does not lead ---- */

/* Two phases: whoever knows, or has not voted yet, can help the uncertain (BHG 7.4, cooperative termination).
 */
static bool can_help(const qr_lab_world *world, unsigned self, unsigned other)
{
    const state *s = qr_lab_state(world, other);
    return other != self && is_reachable(world, self, other) &&
           (is_decided(s) || (other > 0 && s->standing == INITIAL && is_lost_to(world, self, 0)));
}

/* It asks again and again; what is left out is asking while nobody within reach can help. */
static bool may_ask(const qr_lab_world *world, unsigned self)
{
    const state *s = qr_lab_state(world, self);
    if (in_three(world) || self == 0 || s->standing != UNCERTAIN || !is_silent_to(world, self, 0))
        return false;
    bool help = false;
    for (unsigned i = 0; i < world->setting->count; i++) {
        if (is_under_way(world, i, self) || is_under_way(world, self, i))
            return false;
        help |= can_help(world, self, i);
    }
    return help;
}

static bool ask(qr_lab_world *world, unsigned self, const qr_lab_words *arguments)
{
    const state *s = qr_lab_state(world, self);
    if (self == 0 || in_three(world) || s->standing != UNCERTAIN || arguments->count)
        return false;
    message m;
    qr_lab_message_of(world, &m.head, ASK, self);
    qr_lab_send_role(world, &m.head, COORDINATOR);
    qr_lab_send_role(world, &m.head, PARTICIPANT);
    return true;
}

/* Three phases: the first participant that is left leads, and asks how the others stand. */
static bool may_take_over(const qr_lab_world *world, unsigned self)
{
    const state *s = qr_lab_state(world, self);
    return in_three(world) && self > 0 && s->duty == NONE && s->standing != INITIAL &&
           leaders_are_lost(world, self);
}

static bool take_over(qr_lab_world *world, unsigned self, const qr_lab_words *arguments)
{
    state *s = qr_lab_state(world, self);
    if (self == 0 || s->duty != NONE || arguments->count)
        return false;
    s->duty = STATES;
    s->leader = (uint8_t)self;
    s->heard = bit_of(self);
    s->worst = s->standing == INITIAL || s->standing == ABORTED;
    s->best = s->standing;
    send_all(world, self, ASK);
    return true;
}

static bool may_time_out(const qr_lab_world *world, unsigned self)
{
    const state *s = qr_lab_state(world, self);
    if (s->duty != NONE && s->duty != DONE)
        return s->sending == SILENCE && missing_are_silent(world, self);
    return self > 0 && is_lost_to(world, self, 0) &&
           (s->standing == INITIAL || (s->standing == UNCERTAIN && variant_of(world) == TIMEOUT_ABORTS));
}

/* A leader goes on with what it has. Whoever has not voted yet is free to abort; the uncertain are not. */
static bool time_out(qr_lab_world *world, unsigned self, const qr_lab_words *arguments)
{
    state *s = qr_lab_state(world, self);
    if (arguments->count)
        return false;
    if (s->duty != NONE && s->duty != DONE)
        conclude(world, self);
    else if (s->standing == INITIAL && self > 0)
        decide(world, self, ABORTED);
    else if (s->standing == UNCERTAIN && variant_of(world) == TIMEOUT_ABORTS)
        decide(world, self, ABORTED);
    else
        return false;
    return true;
}

static bool refuse(qr_lab_world *world, unsigned self, const qr_lab_words *arguments)
{
    state *s = qr_lab_state(world, self);
    if (self == 0 || s->standing != INITIAL || arguments->count)
        return false;
    s->refuses = 1;
    return true;
}

/* ----------------------------------------------------------- receiving ---- */

static void vote(qr_lab_world *world, unsigned self, unsigned coordinator)
{
    state *s = qr_lab_state(world, self);
    if (s->standing != INITIAL)
        return;
    if (s->refuses) {
        decide(world, self, ABORTED);
        send_one(world, self, NO, coordinator);
        return;
    }
    s->standing = UNCERTAIN; /* on disk before the vote goes out */
    ((shared *)qr_lab_shared(world))->voted_yes |= bit_of(self);
    send_one(world, self, YES, coordinator);
}

/* In three phases only the newest leader is obeyed: an earlier one may be dead, and its words late. */
static bool obeys(qr_lab_world *world, unsigned self, unsigned from)
{
    state *s = qr_lab_state(world, self);
    if (!in_three(world) || variant_of(world) == OBEYS_DEAD)
        return true;
    if (from < s->leader)
        return false;
    s->leader = (uint8_t)from;
    return true;
}

static void on_ask(qr_lab_world *world, unsigned self, unsigned from)
{
    state *s = qr_lab_state(world, self);
    if (in_three(world) && !obeys(world, self, from))
        return;
    if (s->standing == INITIAL && self > 0) /* it has not voted, and now never will */
        decide(world, self, ABORTED);
    send_one(world, self, STATE, from);
}

static void on_state(qr_lab_world *world, unsigned self, const message *m)
{
    state *s = qr_lab_state(world, self);
    if (in_three(world)) {
        if (s->duty != STATES)
            return;
        s->worst |= m->standing == ABORTED;
        s->best = m->standing != ABORTED && m->standing > s->best ? m->standing : s->best;
        hear_of(world, self, m->head.from);
    } else if (m->standing >= COMMITTED && !is_decided(s)) {
        decide(world, self, m->standing);
        send_all(world, self, m->standing == COMMITTED ? COMMIT : ABORT);
    }
}

static void receive(qr_lab_world *world, unsigned self, const qr_lab_message *head)
{
    const message *m = (const message *)(const void *)head;
    state *s = qr_lab_state(world, self);
    unsigned from = head->from;
    switch (head->kind) {
    case PREPARE:
        if (obeys(world, self, from))
            vote(world, self, from);
        break;
    case YES:
        if (s->duty == VOTES)
            hear_of(world, self, from);
        break;
    case NO:
        if (s->duty == VOTES && variant_of(world) != MAJORITY)
            decide_for_all(world, self, ABORTED);
        break;
    case PRECOMMIT:
        if (obeys(world, self, from) && (s->standing == UNCERTAIN || s->standing == PRECOMMITTED)) {
            s->standing = PRECOMMITTED;
            send_one(world, self, ACK, from);
        }
        break;
    case ACK:
        if (s->duty == ACKS)
            hear_of(world, self, from);
        break;
    case COMMIT:
    case ABORT:
        if (obeys(world, self, from))
            decide(world, self, head->kind == COMMIT ? COMMITTED : ABORTED);
        break;
    case ASK: on_ask(world, self, from); break;
    case STATE: on_state(world, self, m); break;
    }
}

/* ------------------------------------------------- beginning and disks ---- */

static const char *start(qr_lab_world *world)
{
    for (unsigned i = 0; i < world->setting->count; i++)
        ((state *)qr_lab_state(world, i))->sending = SILENCE;
    return qr_lab_count(world, COORDINATOR) == 1 && qr_lab_count(world, PARTICIPANT) > 0
               ? NULL
               : "one coordinator, and participants";
}

/* What a process has voted and decided is on its disk. A coordinator that finds no decision there decides to
 * abort; if it finds one, it tells it again (BHG 7.4, recovery). Participants in the middle of three phases
 * come back as they were and wait for a leader. */
static void restart(qr_lab_world *world, unsigned self)
{
    state *s = qr_lab_state(world, self);
    *s = (state){.standing = s->standing, .leader = s->leader, .refuses = s->refuses, .sending = SILENCE};
    if (variant_of(world) == FORGETS_VOTE && s->standing == UNCERTAIN)
        s->standing = INITIAL;
    if (self == 0 && in_three(world))
        s->duty = DONE; /* the others have gone on without it */
    else if (self == 0)
        decide_for_all(world, self, is_decided(s) ? s->standing : ABORTED);
}

/* --------------------------------------------------------------- words ---- */

static const char *const kinds[] = {"prepare", "yes",   "no",  "precommit", "ack",
                                    "commit",  "abort", "ask", "state",     NULL};
static const char *const standings[] = {"initial", "uncertain", "precommitted", "committed", "aborted"};

static void describe(const qr_lab_world *world, unsigned self, qr_buffer *out)
{
    static const char *const duties[] = {"", ", waits for votes", ", waits for acks", ", asks how all stand",
                                         ""};
    const state *s = qr_lab_state(world, self);
    qr_buffer_format(out, "%s%s", standings[s->standing], duties[s->duty]);
    if (s->duty != NONE && s->duty != DONE)
        qr_buffer_format(out, ": %u of %u", qr_lab_set_size(s->heard), qr_lab_count(world, PARTICIPANT));
    if (s->sending != SILENCE)
        qr_buffer_format(out, ", next to send: %s to p%u", kinds[s->sending], s->next + (s->next == self));
}

static void describe_message(const qr_lab_world *world, const qr_lab_message *head, qr_buffer *out)
{
    const message *m = (const message *)(const void *)head;
    qr_buffer_format(out, "%s", kinds[head->kind]);
    if (head->kind == STATE)
        qr_buffer_format(out, "(%s)", standings[m->standing]);
}

/* -------------------------------------------------------------- checks ---- */

/* BHG 7.3: AC1, all that decide decide the same; AC3, commit needs every yes. Those that are down count as
 * well: what they have decided is on their disk. */
static const char *check(const qr_lab_world *world)
{
    bool commits = false, aborts = false;
    for (unsigned i = 0; i < world->setting->count; i++) {
        commits |= ((const state *)qr_lab_state(world, i))->standing == COMMITTED;
        aborts |= ((const state *)qr_lab_state(world, i))->standing == ABORTED;
    }
    if (commits && aborts)
        return "atomicity";
    return commits && ((const shared *)qr_lab_shared(world))->voted_yes != everyone(world) ? "validity"
                                                                                           : NULL;
}

/* Who is up, has said yes and does not know how it ended: it holds its locks. */
static unsigned count_waiting(const qr_lab_world *world)
{
    unsigned waiting = 0;
    for (unsigned i = 1; i < world->setting->count; i++) {
        const state *s = qr_lab_state(world, i);
        waiting += qr_lab_up(world, i) && s->standing != INITIAL && !is_decided(s);
    }
    return waiting;
}

/* "commit", "abort" or "-" (nobody has decided), and how many are waiting. At an end they are blocked. */
static void outcome(const qr_lab_world *world, qr_buffer *out)
{
    const char *decision = "-";
    for (unsigned i = 0; i < world->setting->count; i++) {
        const state *s = qr_lab_state(world, i);
        if (is_decided(s))
            decision = s->standing == COMMITTED ? "commit" : "abort";
    }
    qr_buffer_format(out, "%s,waiting=%u", decision, count_waiting(world));
}

static bool observe(const qr_lab_world *world, unsigned self, qr_slice name, qr_buffer *out)
{
    if (self == QR_LAB_NOBODY && qr_lab_word_is(name, "waiting"))
        qr_buffer_format(out, "%u", count_waiting(world));
    else if (self != QR_LAB_NOBODY && qr_lab_word_is(name, "standing"))
        qr_buffer_format(out, "%s", standings[((const state *)qr_lab_state(world, self))->standing]);
    else
        return false;
    return true;
}

/* --------------------------------------------------------------- table ---- */

static const qr_lab_parameter parameters[] = {
    [PHASES] = {"phases", NULL, 2, 2, 3, "2 or 3"},
    [TIMEOUTS] = {"timeouts", "perfect|any", PERFECT, 0, 0,
                  "perfect: only for who is down or cut off; any: for who is slow as well"},
    [SENDING] = {"sending", "together|one-by-one", 0, 0, 0,
                 "one-by-one: a leader may die in the middle of a broadcast, each part is an event"},
    [VARIANT] =
        {"variant", "correct|timeout-aborts|forgets-vote|majority|obeys-dead", CORRECT, 0, 0,
         "the mistake: the uncertain abort at a timeout; a yes is not on disk; most votes are enough; "
         "late words of a dead leader are obeyed"},
    {0},
};

static const qr_lab_event events[] = {
    {"begin", "the coordinator asks for votes", may_begin, begin},
    {"refuse", "a participant will vote no", NULL, refuse},
    {"send", "one-by-one: the next part of a broadcast", may_send, send_next},
    {"timeout", "a leader stops waiting; who has not voted aborts", may_time_out, time_out},
    {"ask", "two phases: an uncertain participant asks the others", may_ask, ask},
    {"take-over", "three phases: a participant leads", may_take_over, take_over},
    {0},
};

const qr_lab_protocol qr_lab_commit = {
    .name = "commit",
    .title = "atomic commitment in two or three phases",
    .roles = {{"coordinator", "c", 1, 1}, {"participant", "p", 3, PARTICIPANTS_MAX}},
    .parameters = parameters,
    .events = events,
    .kinds = kinds,
    .state_size = sizeof(state),
    .message_size = sizeof(message),
    .shared_size = sizeof(shared),
    .start = start,
    .receive = receive,
    .restart = restart,
    .describe = describe,
    .describe_message = describe_message,
    .check = check,
    .outcome = outcome,
    .observe = observe,
};

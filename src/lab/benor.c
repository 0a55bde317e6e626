/* benor: agreement on a bit without a leader and without clocks, by tossing coins (Ben-Or, "Another Advantage
 * of Free Choice: Completely Asynchronous Agreement Protocols", PODC 1983, protocol A), and what Fischer,
 * Lynch and Paterson ("Impossibility of Distributed Consensus with One Faulty Process", JACM 32(2), 1985) say
 * of it when the coin is taken away: messages that are merely late can keep it from ending for ever.
 *
 * N processes, of which at most f crash, N > 2f. A round has two steps. Each reports its bit and waits for N
 * - f reports: if more than N/2 of them agree it proposes that bit, else nothing. It waits for N - f
 * proposals: if more than f propose a bit it is decided; if any does, it is taken over; else the coin is
 * tossed. Who has decided goes on for the others' sake. */

#include "lab/protocols.h"

enum { REPORT, PROPOSAL };
enum { FAULTY, ROUNDS, COIN, VARIANT };
enum { TOSSED, KEPT };
enum { CORRECT, DECIDES_ON_ONE };
enum { WAITING, TOSSING, RESTING };
enum { PROCESSES_MAX = 7, AHEAD_MAX = 32, NOTHING = 2, SAYINGS = 3 };

typedef struct process {
    uint16_t round;                       /* from 1 */
    uint8_t bit, first, step, standing;   /* step: REPORT or PROPOSAL */
    uint8_t decided, behind;              /* decided: one more than the bit; behind: too far to keep up */
    uint8_t heard[AHEAD_MAX][2][SAYINGS]; /* sets of processes; of this round and those that follow */
} process;

typedef struct message {
    qr_lab_message head;
    uint16_t round;
    uint8_t saying, zero; /* a bit, or NOTHING */
} message;

static process *process_of(const qr_lab_world *world, unsigned self)
{
    return qr_lab_state(world, self);
}

static unsigned faulty_of(const qr_lab_world *world)
{
    return (unsigned)qr_lab_parameter_of(world, FAULTY);
}

static uint8_t *heard_of(process *p, unsigned round, unsigned step)
{
    return p->heard[round % AHEAD_MAX][step];
}

static void go_on(qr_lab_world *world, unsigned self);

static void say(qr_lab_world *world, unsigned self, unsigned kind, unsigned saying)
{
    process *p = process_of(world, self);
    message m;
    qr_lab_message_of(world, &m.head, kind, self);
    m.round = p->round;
    m.saying = (uint8_t)saying;
    p->step = (uint8_t)kind;
    heard_of(p, p->round, kind)[saying] |= (uint8_t)(1u << self);
    qr_lab_send_role(world, &m.head, 0);
}

static void next_round(qr_lab_world *world, unsigned self)
{
    process *p = process_of(world, self);
    memset(p->heard[p->round % AHEAD_MAX], 0, sizeof p->heard[0]);
    if (p->round >= qr_lab_parameter_of(world, ROUNDS)) {
        p->standing = RESTING;
        return;
    }
    p->round++;
    p->standing = WAITING;
    say(world, self, REPORT, p->bit);
    go_on(world, self);
}

static void end_reports(qr_lab_world *world, unsigned self, const uint8_t *heard)
{
    unsigned saying = NOTHING;
    for (unsigned bit = 0; bit < NOTHING; bit++)
        if (2 * qr_lab_set_size(heard[bit]) > world->setting->count)
            saying = bit;
    say(world, self, PROPOSAL, saying);
    go_on(world, self);
}

/* No two bits are proposed in one round: each had more than half of the reports. */
static void end_proposals(qr_lab_world *world, unsigned self, const uint8_t *heard)
{
    process *p = process_of(world, self);
    unsigned enough = qr_lab_parameter_of(world, VARIANT) == DECIDES_ON_ONE ? 1 : faulty_of(world) + 1;
    bool taken = false;
    for (unsigned bit = 0; bit < NOTHING; bit++) {
        if (heard[bit] == 0)
            continue;
        taken = true;
        p->bit = (uint8_t)bit;
        if (qr_lab_set_size(heard[bit]) >= enough && !p->decided) {
            p->decided = (uint8_t)(bit + 1);
            qr_lab_say(world, self, "decides %u in round %u", bit, p->round);
        }
    }
    if (taken || qr_lab_parameter_of(world, COIN) == KEPT)
        next_round(world, self);
    else
        p->standing = TOSSING;
}

static void go_on(qr_lab_world *world, unsigned self)
{
    process *p = process_of(world, self);
    const uint8_t *heard = heard_of(p, p->round, p->step);
    unsigned count = qr_lab_set_size(heard[0]) + qr_lab_set_size(heard[1]) + qr_lab_set_size(heard[NOTHING]);
    if (p->standing != WAITING || count < world->setting->count - faulty_of(world))
        return;
    if (p->step == REPORT)
        end_reports(world, self, heard);
    else
        end_proposals(world, self, heard);
}

static bool is_late(const process *p, const message *m)
{
    return p->standing == RESTING || m->round < p->round ||
           (m->round == p->round && (m->head.kind < p->step || p->standing == TOSSING));
}

static void receive(qr_lab_world *world, unsigned self, const qr_lab_message *head)
{
    const message *m = (const message *)(const void *)head;
    process *p = process_of(world, self);
    if (is_late(p, m))
        return;
    if (m->round >= p->round + AHEAD_MAX) {
        p->behind = 1;
        return;
    }
    heard_of(p, m->round, head->kind)[m->saying] |= (uint8_t)(1u << head->from);
    go_on(world, self);
}

static bool spent(const qr_lab_world *world, const qr_lab_message *head)
{
    return is_late(process_of(world, head->to), (const message *)(const void *)head);
}

/* -------------------------------------------------------------- events ---- */

static bool begin(qr_lab_world *world, unsigned self, const qr_lab_words *arguments)
{
    process *p = process_of(world, self);
    int64_t bit = self % 2;
    if (p->round > 0 || arguments->count > 1 ||
        (arguments->count == 1 && (!qr_lab_number(arguments->list[0], &bit) || bit < 0 || bit > 1)))
        return false;
    p->bit = p->first = (uint8_t)bit;
    next_round(world, self);
    return true;
}

static bool may_begin(const qr_lab_world *world, unsigned self)
{
    return process_of(world, self)->round == 0;
}

static bool may_toss(const qr_lab_world *world, unsigned self)
{
    return process_of(world, self)->standing == TOSSING;
}

static bool toss(qr_lab_world *world, unsigned self, unsigned bit, const qr_lab_words *arguments)
{
    if (!may_toss(world, self) || arguments->count > 0)
        return false;
    process_of(world, self)->bit = (uint8_t)bit;
    next_round(world, self);
    return true;
}

static bool heads(qr_lab_world *world, unsigned self, const qr_lab_words *arguments)
{
    return toss(world, self, 1, arguments);
}

static bool tails(qr_lab_world *world, unsigned self, const qr_lab_words *arguments)
{
    return toss(world, self, 0, arguments);
}

/* ------------------------------------------------------ checks and words ---- */

static const char *check(const qr_lab_world *world)
{
    unsigned decided = 0, begun_with = 0, behind = 0;
    for (unsigned i = 0; i < world->setting->count; i++) {
        const process *p = process_of(world, i);
        if (p->decided)
            decided |= 1u << (p->decided - 1);
        behind |= p->behind;
        begun_with |= p->round ? 1u << p->first : 3u; /* who has not begun may have either */
    }
    if (decided == 3)
        return "agreement";
    if (decided & ~begun_with)
        return "validity";
    return behind ? "bound-on-rounds" : NULL;
}

static void describe(const qr_lab_world *world, unsigned self, qr_buffer *out)
{
    const process *p = process_of(world, self);
    qr_buffer_format(out, "round %u, bit %u, %s", p->round, p->bit,
                     p->standing == TOSSING   ? "tosses"
                     : p->standing == RESTING ? "rests"
                     : p->step == REPORT      ? "waits for reports"
                                              : "waits for proposals");
    if (p->decided)
        qr_buffer_format(out, ", decided %u", p->decided - 1u);
}

static const char *const kinds[] = {"report", "proposal", NULL};

static void describe_message(const qr_lab_world *world, const qr_lab_message *head, qr_buffer *out)
{
    const message *m = (const message *)(const void *)head;
    (void)world;
    qr_buffer_format(out, "%s(%u,%c)", kinds[head->kind], m->round, "01-"[m->saying]);
}

static char decision_of(const qr_lab_world *world, unsigned self)
{
    return "-01"[process_of(world, self)->decided];
}

static void outcome(const qr_lab_world *world, qr_buffer *out)
{
    for (unsigned i = 0; i < world->setting->count; i++)
        qr_buffer_format(out, "%c", decision_of(world, i));
}

static bool observe(const qr_lab_world *world, unsigned self, qr_slice name, qr_buffer *out)
{
    if (self == QR_LAB_NOBODY)
        return false;
    if (qr_lab_word_is(name, "decided"))
        qr_buffer_format(out, "%c", decision_of(world, self));
    else if (qr_lab_word_is(name, "round"))
        qr_buffer_format(out, "%u", process_of(world, self)->round);
    else
        return false;
    return true;
}

/* --------------------------------------------------------------- table ---- */

static const qr_lab_parameter parameters[] = {
    [FAULTY] = {"faulty", NULL, 1, 0, 3, "f: how many may crash"},
    [ROUNDS] = {"rounds", NULL, 2, 1, 60000, "after which a process rests"},
    [COIN] = {"coin", "tossed|kept", TOSSED, 0, 0, "kept: whoever hears of no proposal keeps its bit"},
    [VARIANT] = {"variant", "correct|decides-on-one", CORRECT, 0, 0,
                 "the mistake: one proposal is enough to decide"},
    {0},
};

static const qr_lab_event events[] = {
    {"begin", "with a bit; without one, its number's last", may_begin, begin},
    {"heads", "the coin says 1", may_toss, heads},
    {"tails", "the coin says 0", may_toss, tails},
    {0},
};

static const char *start(qr_lab_world *world)
{
    return world->setting->count > 2 * faulty_of(world) ? NULL : "half of them or more may crash";
}

const qr_lab_protocol qr_lab_benor = {
    .name = "benor",
    .title = "Ben-Or's agreement by tossing coins",
    .roles = {{"process", "p", 3, PROCESSES_MAX}},
    .parameters = parameters,
    .events = events,
    .kinds = kinds,
    .state_size = sizeof(process),
    .message_size = sizeof(message),
    .start = start,
    .receive = receive,
    .check = check,
    .describe = describe,
    .describe_message = describe_message,
    .outcome = outcome,
    .observe = observe,
    .spent = spent,
};

/* swim: who finds out that a member has crashed, and at what price: SWIM (Das, Gupta, Motivala, "SWIM:
 * Scalable Weakly-consistent Infection-style Process Group Membership Protocol", DSN 2002; section numbers
 * are that paper's), with what Dadgar, Phillips and Currey add to it ("Lifeguard", DSN-W 2018: a member that
 * gets no answers at all doubts itself first), beside heartbeats of all to all.
 *
 * A thousand members are too many to be told message by message. So the stage has one process, the group, and
 * each of its events is a run of whole periods, in which messages are drawn, lost and counted. Member 0
 * crashes; some others are slow, and now and then miss what comes within a period. */

#include "lab/swim.h"

enum { ALIVE, SUSPECT, DEAD };
enum { QUEUE_MAX = 64, HEALTH_MAX = 8, MISSED_MAX = 3 };

/* What one knows of another. Equal incarnations: the graver word wins (4.2). */
typedef struct opinion {
    uint8_t status;
    uint16_t since, incarnation; /* since: period */
} opinion;

typedef struct rumour {
    uint16_t about, left, incarnation; /* left: how often it is still passed on */
    uint8_t status;
} rumour;

typedef struct peer {
    rumour queue[QUEUE_MAX];
    uint16_t queued, at; /* at: its place in the order of probes */
    uint16_t suspects;   /* opinions that are SUSPECT */
    uint16_t incarnation;
    uint8_t health; /* how much it doubts itself, 0 is not at all */
    bool slow;
    uint16_t buried; /* for the count: one more than the incarnation that was last declared dead */
} peer;

typedef struct group {
    const qr_swim_plan *plan;
    qr_swim_result *result;
    qr_prng prng;
    peer *peers;
    opinion *opinions;       /* of i about k at i * members + k */
    uint16_t *orders;        /* of i, likewise: 4.3, whom it probes next */
    uint32_t period, rounds; /* rounds: that a rumour, or a suspicion, lasts */
} group;

static opinion *opinion_of(const group *g, unsigned of, unsigned about)
{
    return &g->opinions[(size_t)of * g->plan->members + about];
}

static bool is_down(const group *g, unsigned self)
{
    return self == 0 && g->period >= g->plan->crash_at;
}

/* Whether a message that was sent now is received, and in time. */
static bool arrives(group *g, unsigned to)
{
    const peer *p = &g->peers[to];
    g->result->messages++;
    if (is_down(g, to) || qr_prng_chance(&g->prng, g->plan->loss * 1000))
        return false;
    return !p->slow || !qr_prng_chance(&g->prng, g->plan->lateness * 1000 / (1u + p->health));
}

/* ----------------------------------------------------------- spreading ---- */

/* The queue is in the order of what is left: the new one comes first, and of a full queue the last gives way.
 */
static void queue_rumour(group *g, unsigned self, rumour new)
{
    peer *p = &g->peers[self];
    unsigned at = 0;
    new.left = (uint16_t)g->rounds;
    while (at < p->queued && p->queue[at].about != new.about)
        at++;
    if (at == p->queued && p->queued < QUEUE_MAX)
        p->queued++;
    else if (at == p->queued)
        at--;
    memmove(p->queue + 1, p->queue, at * sizeof new);
    p->queue[0] = new;
}

static bool overrides(const rumour *word, const opinion *known)
{
    if (word->incarnation != known->incarnation)
        return word->incarnation > known->incarnation;
    return word->status > known->status;
}

/* 4.2: who hears that it is suspected says that it is alive, with the next incarnation. */
static void hear(group *g, unsigned self, rumour word)
{
    peer *p = &g->peers[self];
    if (word.about == self) {
        if (word.status == ALIVE || word.incarnation < p->incarnation)
            return;
        p->incarnation = (uint16_t)(word.incarnation + 1);
        word.status = ALIVE;
        word.incarnation = p->incarnation;
        queue_rumour(g, self, word);
        return;
    }
    opinion *known = opinion_of(g, self, word.about);
    if (!overrides(&word, known))
        return;
    p->suspects = (uint16_t)(p->suspects - (known->status == SUSPECT) + (word.status == SUSPECT));
    *known = (opinion){word.status, (uint16_t)g->period, word.incarnation};
    queue_rumour(g, self, word);
}

/* The first `sent` have one pass less left; both parts are in order, so they are merged. */
static void put_in_order(peer *p, unsigned sent)
{
    rumour old[QUEUE_MAX];
    unsigned first = 0, second = sent;
    memcpy(old, p->queue, p->queued * sizeof *old);
    for (unsigned i = 0; i < p->queued; i++) {
        bool from_second = first == sent || (second < p->queued && old[second].left >= old[first].left);
        p->queue[i] = old[from_second ? second++ : first++];
    }
    while (p->queued > 0 && p->queue[p->queued - 1].left == 0)
        p->queued--;
}

/* 4.1: rumours ride on the messages that are sent anyway, those that were passed on least first. */
static bool send(group *g, unsigned from, unsigned to)
{
    peer *p = &g->peers[from];
    bool arrived = arrives(g, to);
    unsigned sent = p->queued < g->plan->carried ? p->queued : g->plan->carried;
    for (unsigned i = 0; i < sent; i++) {
        p->queue[i].left--;
        if (arrived)
            hear(g, to, p->queue[i]);
    }
    put_in_order(p, sent);
    return arrived;
}

/* ------------------------------------------------------------- probing ---- */

static void declare(group *g, unsigned self, unsigned about, unsigned status)
{
    if (!is_down(g, about)) {
        g->result->suspicions += status == SUSPECT;
        unsigned incarnation = opinion_of(g, self, about)->incarnation;
        if (status == DEAD && g->peers[about].buried != incarnation + 1) {
            g->peers[about].buried = (uint16_t)(incarnation + 1);
            g->result->mistakes++;
        }
    } else if (status == DEAD && g->result->first == 0)
        g->result->first = g->period - g->plan->crash_at + 1;
    hear(g, self,
         (rumour){.about = (uint16_t)about,
                  .status = (uint8_t)status,
                  .incarnation = opinion_of(g, self, about)->incarnation});
}

/* 3.1: some others are asked to try; each way is four messages. */
static bool probe_through_others(group *g, unsigned self, unsigned target, bool *heard_any)
{
    bool answered = false;
    for (unsigned k = 0; k < g->plan->helpers; k++) {
        unsigned helper = (unsigned)qr_prng_below(&g->prng, g->plan->members);
        if (helper == self || helper == target || !send(g, self, helper))
            continue;
        bool reached = send(g, helper, target) && send(g, target, helper);
        bool told = (reached || g->plan->lifeguard) && send(g, helper, self); /* Lifeguard: or a nack */
        answered |= reached && told;
        *heard_any |= told;
    }
    return answered;
}

/* 4.3: each in turn, in an order that is drawn anew after each round, so that nobody waits longer than two.
 */
static unsigned next_target(group *g, unsigned self)
{
    peer *p = &g->peers[self];
    uint16_t *order = &g->orders[(size_t)self * g->plan->members];
    for (unsigned tries = 0; tries < g->plan->members; tries++) {
        if (p->at == 0)
            for (unsigned i = g->plan->members - 1; i > 0; i--) {
                unsigned k = (unsigned)qr_prng_below(&g->prng, i + 1);
                uint16_t swapped = order[i];
                order[i] = order[k];
                order[k] = swapped;
            }
        unsigned target = order[p->at];
        p->at = (uint16_t)((p->at + 1u) % g->plan->members);
        if (target != self && opinion_of(g, self, target)->status != DEAD)
            return target;
    }
    return self;
}

static void probe(group *g, unsigned self)
{
    peer *p = &g->peers[self];
    unsigned target = next_target(g, self);
    bool heard_any = false;
    if (target == self)
        return;
    bool answered = send(g, self, target) && send(g, target, self);
    if (!answered)
        answered = probe_through_others(g, self, target, &heard_any);
    if (g->plan->lifeguard && answered && p->health > 0)
        p->health--;
    if (g->plan->lifeguard && !answered && !heard_any && p->health < HEALTH_MAX)
        p->health++;
    if (!answered)
        declare(g, self, target, g->plan->suspicion ? SUSPECT : DEAD);
}

static void end_suspicions(group *g, unsigned self)
{
    for (unsigned i = 0; i < g->plan->members && g->peers[self].suspects > 0; i++) {
        const opinion *known = opinion_of(g, self, i);
        if (known->status == SUSPECT && g->period - known->since >= g->rounds)
            declare(g, self, i, DEAD);
    }
}

static void note_spread(group *g)
{
    for (unsigned i = 1; i < g->plan->members; i++)
        if (opinion_of(g, i, 0)->status != DEAD)
            return;
    if (g->result->all == 0 && g->period >= g->plan->crash_at)
        g->result->all = g->period - g->plan->crash_at + 1;
}

static void swim_period(group *g)
{
    for (unsigned i = 0; i < g->plan->members; i++) {
        if (is_down(g, i))
            continue;
        probe(g, i);
        end_suspicions(g, i);
    }
    note_spread(g);
}

/* ---------------------------------------------------------- heartbeats ---- */

/* Each to each in every period; who was not heard three times running is taken for dead until heard again. */
static void heartbeat_period(group *g)
{
    for (unsigned i = 0; i < g->plan->members; i++)
        for (unsigned k = 0; k < g->plan->members; k++) {
            opinion *known = opinion_of(g, k, i);
            if (i == k || is_down(g, k))
                continue;
            if (!is_down(g, i) && arrives(g, k)) {
                *known = (opinion){0};
                continue;
            }
            if (known->since < MISSED_MAX && ++known->since == MISSED_MAX) {
                known->status = DEAD;
                g->result->mistakes += !is_down(g, i);
                if (is_down(g, i) && g->result->first == 0)
                    g->result->first = g->period - g->plan->crash_at + 1;
            }
        }
    note_spread(g);
}

/* ------------------------------------------------------------ the runs ---- */

void qr_swim_run(const qr_swim_plan *plan, uint64_t seed, qr_swim_result *result)
{
    size_t pairs = (size_t)plan->members * plan->members;
    group g = {.plan = plan, .result = result};
    QR_ASSERT(plan->members >= 2 && plan->members <= QR_SWIM_MEMBERS_MAX);
    *result = (qr_swim_result){0};
    qr_prng_seed(&g.prng, seed);
    g.peers = qr_alloc_zero(plan->members, sizeof *g.peers);
    g.opinions = qr_alloc_zero(pairs, sizeof *g.opinions);
    g.orders = qr_alloc_zero(pairs, sizeof *g.orders);
    for (unsigned reach = 1; reach < plan->members; reach *= 3)
        g.rounds += 3; /* 3 log n, about as long as the tail of an epidemic (4.1) */
    for (unsigned i = 0; i < plan->members; i++) {
        g.peers[i].slow = i > 0 && qr_prng_chance(&g.prng, plan->slow * 1000);
        for (unsigned k = 0; k < plan->members; k++)
            g.orders[(size_t)i * plan->members + k] = (uint16_t)k;
    }
    for (g.period = 0; g.period < plan->periods; g.period++)
        if (plan->heartbeats)
            heartbeat_period(&g);
        else
            swim_period(&g);
    qr_free(g.peers);
    qr_free(g.opinions);
    qr_free(g.orders);
}

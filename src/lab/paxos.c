/* paxos: single-decree Paxos with separate proposers, acceptors and learners (Lamport, "Paxos Made Simple",
 * 2001; section numbers are that paper's, P1 and P2 its requirements).
 *
 * A proposer asks a majority of the acceptors to promise that they will take part in nothing older than its
 * ballot (phase 1), and then to accept a value with that ballot (phase 2): the value of the newest ballot
 * that any of that majority has accepted, and its own only if there is none. A value is chosen when a
 * majority has accepted it with the same ballot; proposers and learners find out by counting. */

#include "lab/protocols.h"

enum { PROPOSER, ACCEPTOR, LEARNER };
enum { PREPARE, PROMISE, NACK, ACCEPT, ACCEPTED };
enum { QUORUM, ROUNDS, NACKS, VARIANT };
enum variant { CORRECT, AMNESIA, ONE_PROMISE, BREAKS_PROMISE, OWN_VALUE, SHARED_BALLOTS };
enum phase { IDLE, PREPARING, ACCEPTING, REFUSED, DECIDED };
enum { PROPOSERS_MAX = 8, ACCEPTORS_MAX = 7, LEARNERS_MAX = 8, VOTES_MAX = 8 };

/* A value is a letter, 0 is none; a ballot is a number from 1, 0 is none. */
typedef struct ballot_value {
    uint16_t ballot;
    uint8_t value, zero;
} ballot_value;

typedef struct proposer {
    uint16_t ballot;
    uint16_t round;    /* how many ballots it has used; on disk, so that none is used twice */
    ballot_value best; /* the newest that an acceptor has reported in this phase 1 */
    uint8_t own, value, phase;
    uint8_t heard; /* set of acceptors: promised (PREPARING), accepted (ACCEPTING) */
} proposer;

typedef struct acceptor {
    uint16_t promised; /* takes part in nothing below */
    ballot_value accepted;
} acceptor;

typedef struct learner {
    ballot_value votes[ACCEPTORS_MAX]; /* the newest vote heard of each */
    uint8_t learned;
} learner;

typedef union state {
    proposer proposer;
    acceptor acceptor;
    learner learner;
} state;

/* What an observer has seen: who ever voted for what, also if the voter forgot. */
typedef struct shared {
    struct {
        ballot_value vote;
        uint32_t voters;
    } votes[VOTES_MAX];        /* of the newest ballots */
    uint32_t proposed, chosen; /* bit 0 is A */
} shared;

typedef struct message {
    qr_lab_message head;
    uint16_t ballot;
    ballot_value vote; /* PROMISE: the last vote; NACK: its ballot is what was promised; ACCEPT* */
} message;

static enum variant variant_of(const qr_lab_world *world)
{
    return (enum variant)qr_lab_parameter_of(world, VARIANT);
}

static unsigned quorum_of(const qr_lab_world *world)
{
    int32_t given = qr_lab_parameter_of(world, QUORUM);
    return given ? (unsigned)given : qr_lab_count(world, ACCEPTOR) / 2 + 1;
}

static uint32_t letter_bit(uint8_t value)
{
    return 1u << (value - 'A');
}

static unsigned index_of(const qr_lab_world *world, unsigned self)
{
    return self - qr_lab_first(world, qr_lab_role_of(world, self));
}

/* ---------------------------------------------------------- proposers ---- */

/* Proposers share the numbers out among themselves, so that no two ballots are equal. */
static uint16_t ballot_of(const qr_lab_world *world, unsigned self, unsigned round)
{
    if (variant_of(world) == SHARED_BALLOTS)
        return (uint16_t)round;
    return (uint16_t)((round - 1) * qr_lab_count(world, PROPOSER) + index_of(world, self) + 1);
}

/* Phase 1a. */
static bool propose(qr_lab_world *world, unsigned self, const qr_lab_words *arguments)
{
    proposer *p = qr_lab_state(world, self);
    if (qr_lab_role_of(world, self) != PROPOSER || p->phase == DECIDED || arguments->count > 1 ||
        (p->round + 1u) * qr_lab_count(world, PROPOSER) > UINT16_MAX)
        return false;
    if (arguments->count == 1) {
        qr_slice word = arguments->list[0];
        if (word.size != 1 || word.data[0] < 'A' || word.data[0] > 'Z')
            return false;
        p->own = word.data[0];
    }
    ((shared *)qr_lab_shared(world))->proposed |= letter_bit(p->own);
    p->round++;
    p->ballot = ballot_of(world, self, p->round);
    p->phase = PREPARING;
    p->heard = p->value = 0;
    p->best = (ballot_value){0};
    message m;
    qr_lab_message_of(world, &m.head, PREPARE, self);
    m.ballot = p->ballot;
    qr_lab_send_role(world, &m.head, ACCEPTOR);
    return true;
}

static bool may_propose(const qr_lab_world *world, unsigned self)
{
    const proposer *p = qr_lab_state(world, self);
    return qr_lab_role_of(world, self) == PROPOSER && p->phase != DECIDED &&
           p->round < qr_lab_parameter_of(world, ROUNDS);
}

/* Phase 2a: P2c, the value of the highest-numbered proposal among those reported. */
static void ask_to_accept(qr_lab_world *world, unsigned self, proposer *p)
{
    bool bound = p->best.ballot > 0 && variant_of(world) != OWN_VALUE;
    p->value = bound ? p->best.value : p->own;
    if (bound)
        qr_lab_say(world, self, "has to take over %c, which was accepted with ballot %u", p->value,
                   p->best.ballot);
    else
        qr_lab_say(world, self, "is free to propose its own %c", p->value);
    p->phase = ACCEPTING;
    p->heard = 0;
    p->best = (ballot_value){0};
    message m;
    qr_lab_message_of(world, &m.head, ACCEPT, self);
    m.ballot = p->ballot;
    m.vote = (ballot_value){p->ballot, p->value, 0};
    qr_lab_send_role(world, &m.head, ACCEPTOR);
}

static void on_promise(qr_lab_world *world, unsigned self, const message *m)
{
    proposer *p = qr_lab_state(world, self);
    if (p->phase != PREPARING || m->ballot != p->ballot)
        return;
    p->heard |= (uint8_t)(1u << index_of(world, m->head.from));
    if (m->vote.ballot > p->best.ballot)
        p->best = m->vote;
    if (qr_lab_set_size(p->heard) >= (variant_of(world) == ONE_PROMISE ? 1 : quorum_of(world)))
        ask_to_accept(world, self, p);
}

static void on_accepted(qr_lab_world *world, unsigned self, const message *m)
{
    proposer *p = qr_lab_state(world, self);
    if (p->phase != ACCEPTING || m->ballot != p->ballot)
        return;
    p->heard |= (uint8_t)(1u << index_of(world, m->head.from));
    if (qr_lab_set_size(p->heard) < quorum_of(world))
        return;
    p->phase = DECIDED;
    p->heard = 0;
    qr_lab_say(world, self, "knows that %c is chosen", p->value);
}

/* Not needed for safety; it spares a proposer the wait (2.2, last paragraph). */
static void on_nack(qr_lab_world *world, unsigned self, const message *m)
{
    proposer *p = qr_lab_state(world, self);
    if ((p->phase != PREPARING && p->phase != ACCEPTING) || m->ballot != p->ballot)
        return;
    p->phase = REFUSED;
    p->heard = p->value = 0;
    p->best = (ballot_value){0};
    while (variant_of(world) != SHARED_BALLOTS && ballot_of(world, self, p->round + 1u) < m->vote.ballot)
        p->round++;
}

/* ---------------------------------------------------------- acceptors ---- */

static void answer(qr_lab_world *world, unsigned self, const message *asked, unsigned kind, ballot_value vote)
{
    message m;
    qr_lab_message_of(world, &m.head, kind, self);
    m.ballot = asked->ballot;
    m.vote = vote;
    if (kind != NACK || qr_lab_parameter_of(world, NACKS))
        qr_lab_send(world, &m.head, asked->head.from);
    if (kind == ACCEPTED)
        qr_lab_send_role(world, &m.head, LEARNER);
}

/* Phase 1b. */
static void on_prepare(qr_lab_world *world, unsigned self, const message *m)
{
    acceptor *a = qr_lab_state(world, self);
    if (m->ballot < a->promised) {
        answer(world, self, m, NACK, (ballot_value){a->promised, 0, 0});
        return;
    }
    a->promised = m->ballot;
    answer(world, self, m, PROMISE, a->accepted);
}

/* The observer writes the vote down and sees whether something is chosen now. */
static void note_vote(qr_lab_world *world, unsigned self, ballot_value vote)
{
    shared *all = qr_lab_shared(world);
    unsigned at = 0;
    for (unsigned i = 0; i < VOTES_MAX; i++) {
        ballot_value known = all->votes[i].vote;
        if (known.ballot == vote.ballot && known.value == vote.value) {
            at = i;
            break;
        }
        if (known.ballot < all->votes[at].vote.ballot)
            at = i;
    }
    if (all->votes[at].vote.ballot != vote.ballot || all->votes[at].vote.value != vote.value)
        all->votes[at].voters = 0;
    all->votes[at].vote = vote;
    all->votes[at].voters |= 1u << index_of(world, self);
    if (qr_lab_set_size(all->votes[at].voters) < quorum_of(world) || all->chosen & letter_bit(vote.value))
        return;
    all->chosen |= letter_bit(vote.value);
    qr_lab_say(world, self, "is one of a quorum that has accepted (%u,%c): %c is chosen", vote.ballot,
               vote.value, vote.value);
}

/* Phase 2b: P1a, unless it has promised otherwise. */
static void on_accept(qr_lab_world *world, unsigned self, const message *m)
{
    acceptor *a = qr_lab_state(world, self);
    if (m->ballot < a->promised && variant_of(world) != BREAKS_PROMISE) {
        answer(world, self, m, NACK, (ballot_value){a->promised, 0, 0});
        return;
    }
    a->promised = m->ballot;
    a->accepted = m->vote;
    note_vote(world, self, m->vote);
    answer(world, self, m, ACCEPTED, m->vote);
}

/* ----------------------------------------------------------- learners ---- */

/* 2.3. Of each acceptor only the newest vote is kept: votes that overtook each other may hide for a while
 * that something was chosen, never pretend it. */
static void learn(qr_lab_world *world, unsigned self, const message *m)
{
    learner *l = qr_lab_state(world, self);
    ballot_value *vote = &l->votes[index_of(world, m->head.from)];
    if (m->vote.ballot > vote->ballot)
        *vote = m->vote;
    unsigned equal = 0;
    for (unsigned i = 0; i < ACCEPTORS_MAX; i++)
        equal += l->votes[i].ballot == m->vote.ballot && l->votes[i].value == m->vote.value;
    if (equal < quorum_of(world) || l->learned)
        return;
    l->learned = m->vote.value;
    qr_lab_say(world, self, "learns %c", l->learned);
}

static void receive(qr_lab_world *world, unsigned self, const qr_lab_message *head)
{
    const message *m = (const message *)(const void *)head;
    switch (head->kind) {
    case PREPARE: on_prepare(world, self, m); break;
    case PROMISE: on_promise(world, self, m); break;
    case NACK: on_nack(world, self, m); break;
    case ACCEPT: on_accept(world, self, m); break;
    case ACCEPTED:
        if (qr_lab_role_of(world, self) == LEARNER)
            learn(world, self, m);
        else
            on_accepted(world, self, m);
        break;
    }
}

/* ------------------------------------------------- beginning and disks ---- */

static const char *start(qr_lab_world *world)
{
    unsigned first = qr_lab_first(world, PROPOSER);
    for (unsigned i = 0; i < qr_lab_count(world, PROPOSER); i++)
        ((proposer *)qr_lab_state(world, first + i))->own = (uint8_t)('A' + i);
    return quorum_of(world) <= qr_lab_count(world, ACCEPTOR) ? NULL : "a quorum larger than all acceptors";
}

/* 2.2: an acceptor's promise and vote are on stable storage. A proposer may forget all but which ballots it
 * has used. */
static void restart(qr_lab_world *world, unsigned self)
{
    state *s = qr_lab_state(world, self);
    if (qr_lab_role_of(world, self) == PROPOSER)
        *s = (state){.proposer = {.round = s->proposer.round, .own = s->proposer.own}};
    else if (qr_lab_role_of(world, self) == LEARNER || variant_of(world) == AMNESIA)
        *s = (state){0};
}

/* -------------------------------------------------------------- words ---- */

static void put_vote(ballot_value vote, qr_buffer *out)
{
    if (vote.ballot)
        qr_buffer_format(out, "(%u,%c)", vote.ballot, vote.value);
    else
        qr_buffer_format(out, "-");
}

static void describe_proposer(const qr_lab_world *world, const proposer *p, qr_buffer *out)
{
    static const char *const phases[] = {"idle", "preparing", "accepting", "refused", "decided"};
    qr_buffer_format(out, "ballot %u, own %c, %s", p->ballot, p->own, phases[p->phase]);
    if (p->value)
        qr_buffer_format(out, " %c", p->value);
    if (p->phase == PREPARING || p->phase == ACCEPTING)
        qr_buffer_format(out, ", %u of %u %s", qr_lab_set_size(p->heard), quorum_of(world),
                         p->phase == PREPARING ? "promises" : "votes");
}

static void describe(const qr_lab_world *world, unsigned self, qr_buffer *out)
{
    const state *s = qr_lab_state(world, self);
    switch (qr_lab_role_of(world, self)) {
    case PROPOSER: describe_proposer(world, &s->proposer, out); break;
    case ACCEPTOR:
        qr_buffer_format(out, "promised %u, accepted ", s->acceptor.promised);
        put_vote(s->acceptor.accepted, out);
        break;
    default: qr_buffer_format(out, "learned %c", s->learner.learned ? s->learner.learned : '-'); break;
    }
}

static const char *const kinds[] = {"prepare", "promise", "nack", "accept", "accepted", NULL};

static void describe_message(const qr_lab_world *world, const qr_lab_message *head, qr_buffer *out)
{
    const message *m = (const message *)(const void *)head;
    qr_buffer_format(out, "%s(%u", kinds[head->kind], m->ballot);
    if (head->kind == PROMISE) {
        qr_buffer_format(out, ",");
        put_vote(m->vote, out);
    } else if (head->kind == NACK)
        qr_buffer_format(out, ",promised:%u", m->vote.ballot);
    else if (head->kind != PREPARE)
        qr_buffer_format(out, ",%c", m->vote.value);
    qr_buffer_format(out, ")");
}

/* -------------------------------------------------------------- checks ---- */

/* What a proposer or a learner takes for chosen; 0 = nothing yet. */
static uint8_t learned_by(const qr_lab_world *world, unsigned self)
{
    const state *s = qr_lab_state(world, self);
    switch (qr_lab_role_of(world, self)) {
    case PROPOSER: return s->proposer.phase == DECIDED ? s->proposer.value : 0;
    case LEARNER: return s->learner.learned;
    default: return 0;
    }
}

/* The three of section 2.1: only what was proposed, only one, and only what was chosen is learned. */
static const char *check(const qr_lab_world *world)
{
    const shared *all = qr_lab_shared(world);
    uint32_t learned = 0;
    for (unsigned i = 0; i < world->setting->count; i++)
        if (learned_by(world, i))
            learned |= letter_bit(learned_by(world, i));
    if (qr_lab_set_size(all->chosen | learned) > 1)
        return "agreement";
    if (all->chosen & ~all->proposed)
        return "validity";
    return learned & ~all->chosen ? "learned-is-chosen" : NULL;
}

static void put_chosen(const qr_lab_world *world, qr_buffer *out)
{
    uint32_t chosen = ((const shared *)qr_lab_shared(world))->chosen;
    if (chosen == 0)
        qr_buffer_format(out, "-");
    for (unsigned i = 0; i < 26; i++)
        if (chosen >> i & 1)
            qr_buffer_format(out, "%c", 'A' + i);
}

static void outcome(const qr_lab_world *world, qr_buffer *out)
{
    for (unsigned i = 0; i < world->setting->count; i++) {
        uint8_t learned = learned_by(world, i);
        if (qr_lab_role_of(world, i) != ACCEPTOR)
            qr_buffer_format(out, "%s=%c,", qr_lab_name_of(world, i).text, learned ? learned : '-');
    }
    qr_buffer_format(out, "chosen=");
    put_chosen(world, out);
}

static bool observe_one(const qr_lab_world *world, unsigned self, qr_slice name, qr_buffer *out)
{
    const state *s = qr_lab_state(world, self);
    unsigned role = qr_lab_role_of(world, self);
    if (role == ACCEPTOR && qr_lab_word_is(name, "promised"))
        qr_buffer_format(out, "%u", s->acceptor.promised);
    else if (role == ACCEPTOR && qr_lab_word_is(name, "accepted"))
        put_vote(s->acceptor.accepted, out);
    else if (role == PROPOSER && qr_lab_word_is(name, "ballot"))
        qr_buffer_format(out, "%u", s->proposer.ballot);
    else if (role != ACCEPTOR && qr_lab_word_is(name, "learned"))
        qr_buffer_format(out, "%c", learned_by(world, self) ? learned_by(world, self) : '-');
    else
        return false;
    return true;
}

static bool observe(const qr_lab_world *world, unsigned self, qr_slice name, qr_buffer *out)
{
    if (self != QR_LAB_NOBODY)
        return observe_one(world, self, name, out);
    if (!qr_lab_word_is(name, "chosen"))
        return false;
    put_chosen(world, out);
    return true;
}

/* An answer to a question that its proposer no longer asks: ballots and phases only go up. */
static bool spent(const qr_lab_world *world, const qr_lab_message *head)
{
    const message *m = (const message *)(const void *)head;
    if (head->kind == PREPARE || head->kind == ACCEPT || qr_lab_role_of(world, head->to) != PROPOSER)
        return false;
    const proposer *p = qr_lab_state(world, head->to);
    if (!qr_lab_up(world, head->to) || m->ballot != p->ballot)
        return m->ballot < p->ballot;
    return p->phase > (head->kind == PROMISE ? PREPARING : ACCEPTING);
}

/* ----------------------------------------------------------- symmetry ---- */

/* Acceptors are alike: what counts is how many of them stand how, with what is under way to and from them and
 * what others have heard of them. So each is hashed with all that concerns it, and the hashes are added up.
 */
static uint64_t hash_acceptor(const qr_lab_world *world, unsigned i, uint64_t messages)
{
    unsigned self = qr_lab_first(world, ACCEPTOR) + i;
    const shared *all = qr_lab_shared(world);
    uint64_t sets = 0;
    for (unsigned k = 0; k < qr_lab_count(world, PROPOSER); k++)
        sets = sets << 1 | (((const proposer *)qr_lab_state(world, k))->heard >> i & 1);
    for (unsigned k = 0; k < VOTES_MAX; k++)
        sets = sets << 1 | (all->votes[k].voters >> i & 1);
    uint64_t hash = qr_hash(qr_slice_of(qr_lab_state(world, self), sizeof(acceptor)), messages);
    hash = qr_hash_mix(hash, sets);
    unsigned first = qr_lab_first(world, LEARNER);
    for (unsigned k = 0; k < qr_lab_count(world, LEARNER); k++) {
        ballot_value vote = ((const learner *)qr_lab_state(world, first + k))->votes[i];
        hash = qr_hash_mix(hash, (uint64_t)vote.ballot << 8 | vote.value);
    }
    const qr_lab_process *process = qr_lab_process_of(world, self);
    return qr_hash_mix(hash, (uint64_t)process->side << 1 | process->down);
}

/* The rest: proposers, learners and the observer's notes, without their sets of acceptors. */
static uint64_t hash_others(const qr_lab_world *world)
{
    uint64_t hash = 0;
    for (unsigned i = 0; i < world->setting->count; i++) {
        const qr_lab_process *process = qr_lab_process_of(world, i);
        unsigned role = qr_lab_role_of(world, i);
        if (role == ACCEPTOR)
            continue;
        hash = qr_hash_mix(hash, (uint64_t)process->side << 1 | process->down);
        if (role == PROPOSER) {
            proposer p = *(const proposer *)qr_lab_state(world, i);
            p.heard = 0;
            hash = qr_hash(qr_slice_of(&p, sizeof p), hash);
        } else
            hash = qr_hash_mix(hash, ((const learner *)qr_lab_state(world, i))->learned);
    }
    const shared *all = qr_lab_shared(world);
    for (unsigned k = 0; k < VOTES_MAX; k++)
        hash = qr_hash_mix(hash, (uint64_t)all->votes[k].vote.ballot << 8 | all->votes[k].vote.value);
    return qr_hash_mix(hash, (uint64_t)all->proposed << 32 | all->chosen);
}

static uint64_t fingerprint(const qr_lab_world *world)
{
    uint64_t messages[ACCEPTORS_MAX] = {0}, sum = 0;
    unsigned first = qr_lab_first(world, ACCEPTOR), count = qr_lab_count(world, ACCEPTOR);
    for (size_t i = 0; i < world->message_count; i++) {
        message m = *(const message *)(const void *)qr_lab_pending(world, i);
        bool to_acceptor = m.head.kind == PREPARE || m.head.kind == ACCEPT;
        uint16_t *self = to_acceptor ? &m.head.to : &m.head.from;
        unsigned index = *self - first;
        *self = 0;
        messages[index] += qr_lab_message_hash(world, &m.head);
    }
    for (unsigned i = 0; i < count; i++)
        sum += hash_acceptor(world, i, messages[i]);
    return qr_hash_mix(hash_others(world), sum);
}

/* -------------------------------------------------------------- table ---- */

static const qr_lab_parameter parameters[] = {
    [QUORUM] = {"quorum", NULL, 0, 0, ACCEPTORS_MAX, "acceptors that decide; 0: a majority"},
    [ROUNDS] = {"rounds", NULL, 1, 0, 1000, "ballots of a proposer in explorations and random runs"},
    [NACKS] = {"nacks", "no|yes", 1, 0, 0, "whether acceptors say no, or nothing"},
    [VARIANT] = {"variant", "correct|amnesia|one-promise|breaks-promise|own-value|shared-ballots", CORRECT, 0,
                 0,
                 "the mistake: acceptors forget in a crash; one promise is taken for enough; acceptors vote "
                 "below what they promised; reported values are ignored; ballots are used twice"},
    {0},
};

static const qr_lab_event events[] = {
    {"propose", "begins the next ballot; with a letter, from now on for that value", may_propose, propose},
    {0},
};

const qr_lab_protocol qr_lab_paxos = {
    .name = "paxos",
    .title = "single-decree Paxos",
    .roles = {{"proposer", "p", 2, PROPOSERS_MAX},
              {"acceptor", "a", 3, ACCEPTORS_MAX},
              {"learner", "l", 0, LEARNERS_MAX}},
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
    .fingerprint = fingerprint,
    .spent = spent,
};

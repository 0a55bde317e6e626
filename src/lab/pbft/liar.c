/* What faulty replicas do. They can sign as themselves and nobody else, and send to each what they like.
 *
 * two-faced    supports whatever anyone tells it, with prepare and commit, to that one alone; as primary of
 * view 0 it tells its backups different things; in view changes it reports nothing wild         makes up
 * messages at random, and otherwise does as it should, so that it is believed */
#include "lab/pbft/pbft.h"

bool qr_pbft_lies(const qr_lab_world *world, unsigned self)
{
    unsigned first = (unsigned)qr_lab_parameter_of(world, FIRST_LIAR) - 1;
    unsigned count = qr_lab_count(world, REPLICA), liars = (unsigned)qr_lab_parameter_of(world, LIARS);
    return self < count && (self + count - first % count) % count < liars;
}

bool qr_pbft_is_silent(const qr_lab_world *world, unsigned self)
{
    return qr_pbft_lies(world, self) && qr_lab_parameter_of(world, LIE) == SILENT;
}

static bool is_two_faced(const qr_lab_world *world, unsigned self)
{
    return qr_pbft_lies(world, self) && qr_lab_parameter_of(world, LIE) == TWO_FACED;
}

static void send_vote(qr_lab_world *world, unsigned self, qr_pbft_content content, unsigned to)
{
    qr_pbft_message m;
    qr_lab_message_of(world, &m.head, content.kind, self);
    m.content = content;
    qr_pbft_seal(world, &m);
    qr_lab_send(world, &m.head, to);
}

/* "Yes, I have seen that as well, and nothing else." */
void qr_pbft_support(qr_lab_world *world, unsigned self, const qr_pbft_message *m)
{
    unsigned kind = m->head.kind, to = m->content.signer;
    qr_pbft_content vote =
        qr_pbft_vote_content(PREPARE, self, m->content.view, m->content.number, m->content.request);
    if (!is_two_faced(world, self) || qr_pbft_lies(world, to))
        return;
    if (kind == PRE_PREPARE || (kind == PREPARE && qr_pbft_primary(world, m->content.view) != self))
        send_vote(world, self, vote, to);
    if (kind != PREPARE && kind != PRE_PREPARE)
        return;
    vote.kind = COMMIT;
    send_vote(world, self, vote, to);
}

/* ------------------------------------------------- a two-faced primary ---- */

static void tell_one(qr_lab_world *world, unsigned self, unsigned to, unsigned client_number)
{
    const qr_pbft_client *c = qr_lab_state(world, qr_lab_first(world, CLIENT) + client_number - 1);
    qr_pbft_message m;
    qr_lab_message_of(world, &m.head, PRE_PREPARE, self);
    m.content.number = 1;
    m.content.request = c->request;
    m.client =
        qr_pbft_sign(world, qr_pbft_vote_content(REQUEST, qr_lab_first(world, CLIENT) + client_number - 1, 0,
                                                 0, c->request));
    qr_pbft_seal(world, &m);
    qr_lab_send(world, &m.head, to);
}

static bool has_asked(const qr_lab_world *world, unsigned number)
{
    return number >= 1 && number <= qr_lab_count(world, CLIENT) &&
           ((const qr_pbft_client *)qr_lab_state(world, qr_lab_first(world, CLIENT) + number - 1))
                   ->request.timestamp > 0;
}

/* tell A B -: one word for each of the others, in their order; a letter stands for the client of that value
 */
bool qr_pbft_tell(qr_lab_world *world, unsigned self, const qr_lab_words *arguments)
{
    unsigned count = qr_lab_count(world, REPLICA);
    if (self != 0 || !is_two_faced(world, self) || arguments->count != count - 1)
        return false;
    for (unsigned i = 0; i < arguments->count; i++) {
        qr_slice word = arguments->list[i];
        unsigned number = word.size == 1 ? word.data[0] - 'A' + 1u : 0;
        if (qr_lab_word_is(word, "-"))
            continue;
        if (!has_asked(world, number))
            return false;
        tell_one(world, self, i + 1, number);
    }
    return true;
}

bool qr_pbft_may_tell(const qr_lab_world *world, unsigned self)
{
    return self == 0 && is_two_faced(world, self) && has_asked(world, 1) && has_asked(world, 2) &&
           ((const qr_pbft_replica *)qr_lab_state(world, self))->told + 1u < qr_lab_count(world, REPLICA);
}

static bool tell_next(qr_lab_world *world, unsigned self, const qr_lab_words *arguments, unsigned number)
{
    qr_pbft_replica *r = qr_lab_state(world, self);
    if (!qr_pbft_may_tell(world, self) || arguments->count > 0)
        return false;
    r->told++;
    if (number)
        tell_one(world, self, r->told, number);
    return true;
}

bool qr_pbft_tell_first(qr_lab_world *world, unsigned self, const qr_lab_words *arguments)
{
    return tell_next(world, self, arguments, 1);
}

bool qr_pbft_tell_second(qr_lab_world *world, unsigned self, const qr_lab_words *arguments)
{
    return tell_next(world, self, arguments, 2);
}

bool qr_pbft_tell_nothing(qr_lab_world *world, unsigned self, const qr_lab_words *arguments)
{
    return tell_next(world, self, arguments, 0);
}

/* ------------------------------------------------------------ a wild one ---- */

/* A request that some client has made, the null request, or one that nobody made. */
static qr_pbft_request some_request(const qr_lab_world *world, qr_prng *prng)
{
    unsigned number = (unsigned)qr_prng_below(prng, qr_lab_count(world, CLIENT)) + 1;
    const qr_pbft_client *c = qr_lab_state(world, qr_lab_first(world, CLIENT) + number - 1);
    switch (qr_prng_below(prng, 6)) {
    case 0: return (qr_pbft_request){0};
    case 1: return (qr_pbft_request){(uint8_t)number, 'X', (uint16_t)(c->request.timestamp + 1)};
    default: return c->request;
    }
}

static void make_up(qr_lab_world *world, unsigned self, qr_prng *prng, qr_pbft_message *m)
{
    static const uint8_t some_kinds[] = {PRE_PREPARE, PREPARE,     PREPARE,  COMMIT, COMMIT,
                                         CHECKPOINT,  VIEW_CHANGE, NEW_VIEW, REPLY,  STATE};
    const qr_pbft_replica *r = qr_lab_state(world, self);
    unsigned kind = some_kinds[qr_prng_below(prng, sizeof some_kinds)];
    qr_lab_message_of(world, &m->head, kind, self);
    m->content.view = (uint16_t)(r->view + qr_prng_below(prng, 2));
    m->content.number = (uint16_t)(r->low + qr_prng_below(prng, WINDOW + 2));
    if (kind == CHECKPOINT)
        m->content.digest = qr_prng_below(prng, 3);
    if (kind == REPLY)
        m->content.result = (uint16_t)qr_prng_below(prng, 4);
    m->content.request = some_request(world, prng);
    if (kind == PRE_PREPARE && m->content.request.client)
        m->client = qr_pbft_sign(world, qr_pbft_vote_content(REQUEST, self, 0, 0, m->content.request));
    const qr_pbft_client *c =
        m->content.request.client
            ? qr_lab_state(world, qr_lab_first(world, CLIENT) + m->content.request.client - 1u)
            : NULL;
    if (kind == PRE_PREPARE && c &&
        qr_pbft_same(c->request, m->content.request)) /* as the client has signed it */
        m->client = qr_pbft_sign(
            world, qr_pbft_vote_content(REQUEST, qr_lab_first(world, CLIENT) + m->content.request.client - 1u,
                                        0, 0, m->content.request));
    unsigned all = (1u << qr_lab_count(world, REPLICA)) - 1;
    for (unsigned i = 0; i < REPLICAS_MAX && kind == NEW_VIEW; i++)
        if (r->changes[i].is && r->changes[i].view == m->content.view) { /* it rests on true ones */
            m->body.change_signers |= (uint8_t)(1u << i);
            m->body.changes[i] = qr_pbft_digest(&r->changes[i].body, sizeof r->changes[i].body);
        }
    m->body.ordered_count = (uint8_t)qr_prng_below(prng, 2);
    m->body.ordered[0] = some_request(world, prng);
    if (qr_prng_below(prng, 2)) { /* "that was prepared": with a signature of its own for all of them */
        m->body.prepared[0] =
            (qr_pbft_certificate){0, (uint8_t)(all >> qr_pbft_f(world)), 1, some_request(world, prng)};
        for (unsigned i = 0; i < PROOFS_MAX; i++)
            m->proofs[i] = qr_pbft_sign(world, qr_pbft_vote_content(PREPARE, self, 0, 1, m->content.request));
    }
    if (kind == STATE) {
        m->body.machine.number = m->body.stable = (uint16_t)(r->low + INTERVAL);
        m->body.stable_digest = qr_pbft_digest(&m->body.machine, sizeof m->body.machine);
    }
}

bool qr_pbft_may_lie(const qr_lab_world *world, unsigned self)
{
    return qr_pbft_lies(world, self) && qr_lab_parameter_of(world, LIE) == WILD &&
           ((const qr_pbft_replica *)qr_lab_state(world, self))->told < qr_lab_parameter_of(world, LIES);
}

bool qr_pbft_lie(qr_lab_world *world, unsigned self, const qr_lab_words *arguments)
{
    if (!qr_pbft_may_lie(world, self) || arguments->count > 0)
        return false;
    qr_pbft_replica *r = qr_lab_state(world, self);
    qr_prng prng;
    /* The same world tells the same lie: what was said so far and where the run stands choose it. */
    qr_prng_seed(&prng, world->setting->seed ^ (world->steps << 16) ^ ((uint64_t)self << 8) ^ r->told++);
    qr_pbft_message m;
    make_up(world, self, &prng, &m);
    qr_pbft_seal(world, &m);
    unsigned to = (unsigned)qr_prng_below(&prng, world->setting->count);
    if (m.head.kind == REPLY)
        to = qr_lab_first(world, CLIENT) + (unsigned)qr_prng_below(&prng, qr_lab_count(world, CLIENT));
    qr_lab_send(world, &m.head, to);
    return true;
}

/* claim B: in the view change of the own view it says that the last view had prepared that client's request
 * as number 1, with its own signature for everybody's. */
bool qr_pbft_claim(qr_lab_world *world, unsigned self, const qr_lab_words *arguments)
{
    qr_pbft_replica *r = qr_lab_state(world, self);
    unsigned number =
        arguments->count == 1 && arguments->list[0].size == 1 ? arguments->list[0].data[0] - 'A' + 1u : 0;
    if (!qr_pbft_lies(world, self) || !r->changing || !has_asked(world, number))
        return false;
    const qr_pbft_client *c = qr_lab_state(world, qr_lab_first(world, CLIENT) + number - 1);
    uint16_t view = (uint16_t)(r->view - 1);
    uint8_t signers = (uint8_t)(1u << qr_pbft_primary(world, view));
    for (unsigned i = 0; qr_lab_set_size(signers) <= 2 * qr_pbft_f(world); i++)
        signers |= (uint8_t)(1u << i);
    qr_pbft_message m;
    qr_lab_message_of(world, &m.head, VIEW_CHANGE, self);
    m.content.view = r->view;
    m.body.prepared[0] = (qr_pbft_certificate){view, signers, 1, c->request};
    for (unsigned i = 0; i < PROOFS_MAX; i++)
        m.proofs[i] = qr_pbft_sign(world, qr_pbft_vote_content(PREPARE, self, view, 1, c->request));
    r->changes[self] = (qr_pbft_change){.view = r->view, .is = 1, .body = m.body};
    qr_pbft_multicast(world, self, &m);
    return true;
}

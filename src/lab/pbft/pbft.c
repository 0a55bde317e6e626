#include "lab/pbft/pbft.h"

#include "lab/protocols.h"

static unsigned quorum_of(const qr_lab_world *world)
{
    return qr_pbft_variant(world) == SMALL_QUORUM ? qr_pbft_f(world) + 1 : 2 * qr_pbft_f(world) + 1;
}

static unsigned client_process(const qr_lab_world *world, unsigned number)
{
    return qr_lab_first(world, CLIENT) + number - 1;
}

static qr_pbft_content request_content(const qr_lab_world *world, qr_pbft_request request)
{
    return qr_pbft_vote_content(REQUEST, client_process(world, request.client), 0, 0, request);
}

void qr_pbft_multicast(qr_lab_world *world, unsigned self, qr_pbft_message *m)
{
    m->head.from = (uint16_t)self;
    qr_pbft_seal(world, m);
    qr_lab_send_role(world, &m->head, REPLICA);
}

void qr_pbft_say_vote(qr_lab_world *world, unsigned self, unsigned kind, unsigned number,
                      qr_pbft_request request)
{
    const qr_pbft_replica *r = qr_lab_state(world, self);
    qr_pbft_message m;
    qr_lab_message_of(world, &m.head, kind, self);
    m.content = qr_pbft_vote_content(kind, self, r->view, number, request);
    if (kind == PRE_PREPARE && request.client)
        m.client = qr_pbft_sign(world, request_content(world, request)); /* as it was received */
    qr_pbft_multicast(world, self, &m);
}

qr_pbft_slot *qr_pbft_slot_of(qr_pbft_replica *r, unsigned number)
{
    if (number <= r->low || number > r->low + (unsigned)WINDOW)
        return NULL;
    qr_pbft_slot *s = &r->slots[number % WINDOW];
    if (s->number != number)
        *s = (qr_pbft_slot){.number = (uint16_t)number};
    return s;
}

/* ------------------------------------------------- the normal case (4.2) ---- */

static bool is_assigned(qr_pbft_replica *r, qr_pbft_request request)
{
    for (unsigned number = r->low + 1u; number <= r->assigned; number++) {
        const qr_pbft_slot *s = qr_pbft_slot_of(r, number);
        if (s && s->accepted && s->view == r->view && qr_pbft_same(s->request, request))
            return true;
    }
    return false;
}

/* The primary gives what waits its numbers, as far as the watermarks allow. */
static void assign(qr_lab_world *world, unsigned self)
{
    qr_pbft_replica *r = qr_lab_state(world, self);
    bool primary = qr_pbft_primary(world, r->view) == self && !r->changing;
    for (unsigned i = 0; primary && i < CLIENTS_MAX; i++) {
        qr_pbft_request request = r->waiting[i];
        if (request.client == 0 || is_assigned(r, request) || r->assigned >= r->low + WINDOW)
            continue;
        r->assigned++;
        qr_pbft_say_vote(world, self, PRE_PREPARE, r->assigned, request);
        qr_pbft_accept(world, self, r->view, r->assigned, request);
    }
}

/* A pre-prepare is in the log; a backup says so. */
void qr_pbft_accept(qr_lab_world *world, unsigned self, unsigned view, unsigned number,
                    qr_pbft_request request)
{
    qr_pbft_replica *r = qr_lab_state(world, self);
    qr_pbft_slot *s = qr_pbft_slot_of(r, number);
    s->view = (uint16_t)view;
    s->request = request;
    s->accepted = 1;
    s->committed = 0;
    if (qr_pbft_primary(world, view) == self)
        return;
    s->prepares[self] = (qr_pbft_vote){s->view, 1, request};
    qr_pbft_say_vote(world, self, PREPARE, number, request);
}

static unsigned count_votes(const qr_lab_world *world, const qr_pbft_slot *s, const qr_pbft_vote *votes,
                            uint8_t *signers)
{
    *signers = 0;
    for (unsigned i = 0; i < qr_lab_count(world, REPLICA); i++)
        if (votes[i].cast && votes[i].view == s->view && qr_pbft_same(votes[i].request, s->request))
            *signers |= (uint8_t)(1u << i);
    return qr_lab_set_size(*signers);
}

/* Who changes views takes part in the old one no more (4.4). */
static bool is_of_this_view(const qr_pbft_replica *r, const qr_pbft_slot *s)
{
    return s->accepted && s->view == r->view && !r->changing;
}

/* prepared(m, v, n, i): the pre-prepare and 2f prepares of backups. */
static void see_prepared(qr_lab_world *world, unsigned self, qr_pbft_slot *s)
{
    qr_pbft_replica *r = qr_lab_state(world, self);
    uint8_t signers;
    if (!is_of_this_view(r, s) || (s->prepared.is && s->prepared.view == s->view) ||
        count_votes(world, s, s->prepares, &signers) + 1 < quorum_of(world))
        return;
    signers |= (uint8_t)(1u << qr_pbft_primary(world, s->view));
    s->prepared = (qr_pbft_certificate){s->view, signers, 1, s->request};
    s->commits[self] = (qr_pbft_vote){s->view, 1, s->request};
    qr_pbft_say_vote(world, self, COMMIT, s->number, s->request);
}

/* committed-local(m, v, n, i): prepared, and 2f + 1 commits. */
static void see_committed(qr_lab_world *world, unsigned self, qr_pbft_slot *s)
{
    uint8_t signers;
    if (s->committed || !is_of_this_view(qr_lab_state(world, self), s) || !s->prepared.is ||
        s->prepared.view != s->view || count_votes(world, s, s->commits, &signers) < quorum_of(world))
        return;
    s->committed = 1;
    qr_pbft_note_committed(world, self, s->number, s->request);
}

static void reply_to(qr_lab_world *world, unsigned self, unsigned number)
{
    const qr_pbft_replica *r = qr_lab_state(world, self);
    qr_pbft_reply reply = r->machine.replies[number - 1];
    qr_pbft_message m;
    qr_lab_message_of(world, &m.head, REPLY, self);
    m.content.view = r->view;
    m.content.result = reply.result;
    m.content.request = (qr_pbft_request){(uint8_t)number, 0, reply.timestamp};
    if (qr_pbft_lies(world, self) && qr_lab_parameter_of(world, LIE) == FALSE_REPLY)
        m.content.result += 100;
    qr_pbft_seal(world, &m);
    qr_lab_send(world, &m.head, client_process(world, number));
}

/* In the order of numbers, each request once: it may have got a second number in a later view. */
static void execute(qr_lab_world *world, unsigned self, qr_pbft_request request)
{
    qr_pbft_replica *r = qr_lab_state(world, self);
    qr_pbft_machine *machine = &r->machine;
    machine->number++;
    if (request.client && request.timestamp > machine->replies[request.client - 1].timestamp) {
        machine->executed++;
        struct {
            uint64_t before;
            uint32_t zero;
            struct qr_pbft_request request;
        } next = {machine->history, 0, request};
        machine->history = qr_pbft_digest(&next, sizeof next);
        machine->replies[request.client - 1] = (qr_pbft_reply){request.timestamp, machine->executed};
        qr_pbft_note_executed(world, self);
        reply_to(world, self, request.client);
    }
    if (request.client && r->waiting[request.client - 1].timestamp <= request.timestamp)
        r->waiting[request.client - 1] = (struct qr_pbft_request){0};
    if (machine->number % INTERVAL == 0)
        qr_pbft_checkpoint(world, self);
}

void qr_pbft_progress(qr_lab_world *world, unsigned self)
{
    qr_pbft_replica *r = qr_lab_state(world, self);
    assign(world, self);
    for (unsigned i = 0; i < WINDOW; i++) {
        qr_pbft_slot *s = &r->slots[i];
        if (s->number <= r->low)
            continue;
        see_prepared(world, self, s);
        see_committed(world, self, s);
    }
    qr_pbft_slot *next = qr_pbft_slot_of(r, r->machine.number + 1u);
    if (next && next->committed) {
        execute(world, self, next->request);
        qr_pbft_progress(world, self);
    }
}

/* ------------------------------------------------------------- receiving ---- */

static bool is_client(const qr_lab_world *world, unsigned number)
{
    return number >= 1 && number <= qr_lab_count(world, CLIENT);
}

static void on_request(qr_lab_world *world, unsigned self, const qr_pbft_message *m)
{
    qr_pbft_replica *r = qr_lab_state(world, self);
    qr_pbft_request request = m->content.request;
    if (!is_client(world, request.client) || m->content.signer != client_process(world, request.client) ||
        !qr_pbft_signed(world, m->content, &m->own))
        return;
    uint16_t answered = r->machine.replies[request.client - 1].timestamp;
    if (request.timestamp == answered)
        reply_to(world, self, request.client); /* 4.1: it is said again */
    if (request.timestamp > answered && request.timestamp > r->waiting[request.client - 1].timestamp)
        r->waiting[request.client - 1] = request;
}

static void on_pre_prepare(qr_lab_world *world, unsigned self, const qr_pbft_message *m)
{
    qr_pbft_replica *r = qr_lab_state(world, self);
    qr_pbft_slot *s = qr_pbft_slot_of(r, m->content.number);
    qr_pbft_request request = m->content.request;
    if (s == NULL || m->content.view != r->view || r->changing ||
        m->content.signer != qr_pbft_primary(world, r->view) || self == m->content.signer ||
        !qr_pbft_signed(world, m->content, &m->own))
        return;
    if (s->accepted && s->view == r->view) {
        if (!qr_pbft_same(s->request, request))
            qr_lab_say(world, self, "has accepted another request for number %u in this view", s->number);
        return;
    }
    if (!is_client(world, request.client) ||
        !qr_pbft_signed(world, request_content(world, request), &m->client)) {
        qr_lab_say(world, self, "drops a request that no client has signed");
        return;
    }
    qr_pbft_accept(world, self, r->view, m->content.number, request);
}

static void on_vote(qr_lab_world *world, unsigned self, const qr_pbft_message *m)
{
    qr_pbft_replica *r = qr_lab_state(world, self);
    qr_pbft_slot *s = qr_pbft_slot_of(r, m->content.number);
    if (s == NULL || m->content.signer >= qr_lab_count(world, REPLICA))
        return;
    qr_pbft_vote *known =
        m->head.kind == PREPARE ? &s->prepares[m->content.signer] : &s->commits[m->content.signer];
    if ((m->head.kind == PREPARE && m->content.signer == qr_pbft_primary(world, m->content.view)) ||
        (known->cast && known->view >= m->content.view) || !qr_pbft_signed(world, m->content, &m->own))
        return;
    *known = (qr_pbft_vote){m->content.view, 1, m->content.request};
}

/* 4.1: f + 1 replicas with the same result, one of which is honest. */
static void on_reply(qr_lab_world *world, unsigned self, const qr_pbft_message *m)
{
    qr_pbft_client *c = qr_lab_state(world, self);
    unsigned from = m->content.signer, equal = 0;
    if (c->answered || c->request.timestamp == 0 || from >= qr_lab_count(world, REPLICA) ||
        m->content.request.timestamp != c->request.timestamp ||
        m->content.request.client != c->request.client || !qr_pbft_signed(world, m->content, &m->own))
        return;
    c->replies[from].is = 1;
    c->replies[from].result = m->content.result;
    for (unsigned i = 0; i < REPLICAS_MAX; i++)
        equal += c->replies[i].is && c->replies[i].result == m->content.result;
    if (equal < (qr_pbft_variant(world) == ONE_REPLY ? 1 : qr_pbft_f(world) + 1))
        return;
    c->answered = 1;
    c->result = m->content.result;
    qr_lab_say(world, self, "believes that its request was the %u. one to be executed: %u replicas say so",
               c->result, equal);
}

static void receive(qr_lab_world *world, unsigned self, const qr_lab_message *head)
{
    const qr_pbft_message *m = (const qr_pbft_message *)(const void *)head;
    if (qr_lab_role_of(world, self) == CLIENT) {
        if (head->kind == REPLY)
            on_reply(world, self, m);
        return;
    }
    if (qr_pbft_is_silent(world, self))
        return;
    switch (head->kind) {
    case REQUEST: on_request(world, self, m); break;
    case PRE_PREPARE: on_pre_prepare(world, self, m); break;
    case PREPARE:
    case COMMIT: on_vote(world, self, m); break;
    case CHECKPOINT: qr_pbft_on_checkpoint(world, self, m); break;
    case VIEW_CHANGE: qr_pbft_on_view_change(world, self, m); break;
    case NEW_VIEW: qr_pbft_on_new_view(world, self, m); break;
    case FETCH: qr_pbft_on_fetch(world, self, m); break;
    case STATE: qr_pbft_on_state(world, self, m); break;
    }
    qr_pbft_support(world, self, m);
    if (!qr_pbft_lies(world, self) || qr_lab_parameter_of(world, LIE) != TWO_FACED)
        qr_pbft_progress(world, self);
}

/* ---------------------------------------------------------------- events ---- */

static void send_request(qr_lab_world *world, unsigned self)
{
    const qr_pbft_client *c = qr_lab_state(world, self);
    qr_pbft_message m;
    qr_lab_message_of(world, &m.head, REQUEST, self);
    m.content.request = c->request;
    qr_pbft_seal(world, &m);
    qr_lab_send_role(world, &m.head, REPLICA);
}

/* 4.1 sends to the primary first, and to all after a timeout; here at once to all, which spares the wait. */
static bool ask(qr_lab_world *world, unsigned self, const qr_lab_words *arguments)
{
    if (qr_lab_role_of(world, self) != CLIENT || arguments->count > 1)
        return false;
    qr_pbft_client *c = qr_lab_state(world, self);
    if (arguments->count == 1 && (arguments->list[0].size != 1 || arguments->list[0].data[0] < 'A' ||
                                  arguments->list[0].data[0] > 'Z'))
        return false;
    uint8_t value = arguments->count == 1 ? arguments->list[0].data[0] : c->value;
    uint16_t timestamp = (uint16_t)(c->request.timestamp + 1);
    unsigned number = self - qr_lab_first(world, CLIENT) + 1;
    memset(c->replies, 0, sizeof c->replies);
    c->answered = 0;
    c->request = (qr_pbft_request){(uint8_t)number, value, timestamp};
    ((qr_pbft_shared *)qr_lab_shared(world))->asked[number - 1] = timestamp;
    send_request(world, self);
    return true;
}

static bool may_ask(const qr_lab_world *world, unsigned self)
{
    const qr_pbft_client *c = qr_lab_state(world, self);
    return qr_lab_role_of(world, self) == CLIENT && (c->answered || c->request.timestamp == 0) &&
           c->request.timestamp < qr_lab_parameter_of(world, REQUESTS);
}

static bool again(qr_lab_world *world, unsigned self, const qr_lab_words *arguments)
{
    if (qr_lab_role_of(world, self) != CLIENT || arguments->count > 0 ||
        ((const qr_pbft_client *)qr_lab_state(world, self))->request.timestamp == 0)
        return false;
    send_request(world, self);
    return true;
}

static bool suspect(qr_lab_world *world, unsigned self, const qr_lab_words *arguments)
{
    if (qr_lab_role_of(world, self) != REPLICA || arguments->count > 0)
        return false;
    qr_pbft_suspect(world, self, ((const qr_pbft_replica *)qr_lab_state(world, self))->view + 1u);
    return true;
}

/* 4.4: the timer runs while a request waits. */
static bool may_suspect(const qr_lab_world *world, unsigned self)
{
    const qr_pbft_replica *r = qr_lab_state(world, self);
    bool waits = false;
    if (qr_lab_role_of(world, self) != REPLICA || qr_pbft_lies(world, self))
        return false;
    for (unsigned i = 0; i < CLIENTS_MAX; i++)
        waits = waits || r->waiting[i].client;
    return (waits || r->changing) && r->view < qr_lab_parameter_of(world, VIEWS);
}

static const char *start(qr_lab_world *world)
{
    unsigned count = qr_lab_count(world, REPLICA);
    if (count % 3 != 1 || count < 4)
        return "replicas are 3f + 1: 4 or 7";
    qr_pbft_make_keys(world);
    for (unsigned i = 0; i < qr_lab_count(world, CLIENT); i++)
        ((qr_pbft_client *)qr_lab_state(world, qr_lab_first(world, CLIENT) + i))->value = (uint8_t)('A' + i);
    return NULL;
}

/* ----------------------------------------------------------------- table ---- */

static const qr_lab_parameter parameters[] = {
    [LIARS] = {"liars", NULL, 0, 0, REPLICAS_MAX, "how many replicas are faulty"},
    [FIRST_LIAR] = {"first-liar", NULL, 1, 1, REPLICAS_MAX,
                    "which is the first of them; r1 is primary of view 0"},
    [LIE] =
        {"lie", "two-faced|silent|false-reply|wild", TWO_FACED, 0, 0,
         "what they do: support whatever they are told, and as primaries tell each something else; nothing; "
         "answer clients falsely; send whatever they can sign to whomever"},
    [LIES] = {"lies", NULL, 6, 0, 200, "wild: how many each sends in explorations and random runs"},
    [VIEWS] = {"views", NULL, 0, 0, 1000, "up to which view replicas lose patience in random runs"},
    [REQUESTS] = {"requests", NULL, 1, 0, 1000, "requests of a client in random runs"},
    [VARIANT] = {"variant", "correct|small-quorum|one-reply|no-proofs|forgetful|unsigned", CORRECT, 0, 0,
                 "the mistake: f + 1 replicas are taken for a quorum; a client believes one replica; a view "
                 "change is believed without proofs; what was prepared is not reported in a view change; "
                 "signatures are not looked at"},
    {0},
};

static const qr_lab_event events[] = {
    {"ask", "a client sends its next request to all replicas; with a letter, of that value", may_ask, ask},
    {"again", "a client sends its last request again", NULL, again},
    {"suspect", "a replica loses patience and changes to the next view", may_suspect, suspect},
    {"tell", "a two-faced primary pre-prepares as number 1: a letter for each other replica, or -", NULL,
     qr_pbft_tell},
    {"tell-first", "the same, step by step: the next backup gets the first client's request",
     qr_pbft_may_tell, qr_pbft_tell_first},
    {"tell-second", "the next backup gets the second client's", qr_pbft_may_tell, qr_pbft_tell_second},
    {"tell-nothing", "the next backup gets nothing", qr_pbft_may_tell, qr_pbft_tell_nothing},
    {"claim", "a liar that changes views reports the request of the client of that letter as prepared", NULL,
     qr_pbft_claim},
    {"lie", "a wild liar sends one message that it has made up", qr_pbft_may_lie, qr_pbft_lie},
    {0},
};

const qr_lab_protocol qr_lab_pbft = {
    .name = "pbft",
    .title = "Practical Byzantine Fault Tolerance",
    .roles = {{"replica", "r", 4, REPLICAS_MAX}, {"client", "c", 1, CLIENTS_MAX}},
    .parameters = parameters,
    .events = events,
    .kinds = qr_pbft_kinds,
    .state_size =
        sizeof(qr_pbft_replica) > sizeof(qr_pbft_client) ? sizeof(qr_pbft_replica) : sizeof(qr_pbft_client),
    .message_size = sizeof(qr_pbft_message),
    .shared_size = sizeof(qr_pbft_shared),
    .start = start,
    .receive = receive,
    .describe = qr_pbft_describe,
    .describe_message = qr_pbft_describe_message,
    .check = qr_pbft_check,
    .outcome = qr_pbft_outcome,
    .observe = qr_pbft_observe,
};

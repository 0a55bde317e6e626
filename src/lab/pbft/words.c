/* The story in words, and what an observer checks who sees all correct replicas. */
#include "lab/pbft/pbft.h"

const char *const qr_pbft_kinds[] = {"request",     "pre-prepare", "prepare", "commit", "reply", "checkpoint",
                                     "view-change", "new-view",    "fetch",   "state",  NULL};

/* ----------------------------------------------------------------- notes ---- */

void qr_pbft_note_committed(qr_lab_world *world, unsigned self, unsigned number, qr_pbft_request request)
{
    qr_pbft_shared *all = qr_lab_shared(world);
    if (qr_pbft_lies(world, self) || number >= NUMBERS_MAX)
        return;
    if (!all->is_committed[number]) {
        all->is_committed[number] = 1;
        all->committed[number] = request;
    }
    if (!qr_pbft_same(all->committed[number], request))
        all->split = 1;
    if (request.client > 0 && request.timestamp > all->asked[request.client - 1])
        all->invented = 1;
    qr_lab_say(world, self, "commits %c%u as number %u", request.client ? request.value : '-',
               request.timestamp, number);
}

/* After the same number of requests all have the same ones behind them. */
void qr_pbft_note_executed(qr_lab_world *world, unsigned self)
{
    qr_pbft_shared *all = qr_lab_shared(world);
    const qr_pbft_machine *machine = &((const qr_pbft_replica *)qr_lab_state(world, self))->machine;
    if (qr_pbft_lies(world, self) || machine->executed >= NUMBERS_MAX)
        return;
    if (all->histories[machine->executed] == 0)
        all->histories[machine->executed] = machine->history;
    if (all->histories[machine->executed] != machine->history)
        all->forked = 1;
}

/* ----------------------------------------------------------------- words ---- */

static void put_request(qr_pbft_request request, qr_buffer *out)
{
    if (request.client)
        qr_buffer_format(out, "%c%u", request.value, request.timestamp);
    else
        qr_buffer_format(out, "-");
}

static void describe_replica(const qr_lab_world *world, unsigned self, qr_buffer *out)
{
    qr_pbft_replica *r = qr_lab_state(world, self);
    qr_buffer_format(out, "view %u%s, %u executed", r->view, r->changing ? " (changing)" : "",
                     r->machine.executed);
    if (r->low)
        qr_buffer_format(out, ", stable %u", r->low);
    for (unsigned number = r->low + 1u; number <= r->low + (unsigned)WINDOW; number++) {
        const qr_pbft_slot *s = &r->slots[number % WINDOW];
        if (s->number != number || !s->accepted)
            continue;
        qr_buffer_format(out, "; %u: ", number);
        put_request(s->request, out);
        bool prepared = s->prepared.is && s->prepared.view == s->view;
        qr_buffer_format(out, " %s", s->committed ? "committed" : prepared ? "prepared" : "pre-prepared");
    }
}

void qr_pbft_describe(const qr_lab_world *world, unsigned self, qr_buffer *out)
{
    if (qr_lab_role_of(world, self) == REPLICA) {
        describe_replica(world, self, out);
        return;
    }
    const qr_pbft_client *c = qr_lab_state(world, self);
    put_request(c->request, out);
    if (c->answered)
        qr_buffer_format(out, " was executed as number %u", c->result);
    else
        qr_buffer_format(out, c->request.timestamp ? " waits" : " asked nothing yet");
}

void qr_pbft_describe_message(const qr_lab_world *world, const qr_lab_message *head, qr_buffer *out)
{
    const qr_pbft_message *m = (const qr_pbft_message *)(const void *)head;
    qr_buffer_format(out, "%s(", qr_pbft_kinds[head->kind]);
    switch (head->kind) {
    case REQUEST: put_request(m->content.request, out); break;
    case PRE_PREPARE:
    case PREPARE:
    case COMMIT:
        qr_buffer_format(out, "v%u,n%u,", m->content.view, m->content.number);
        put_request(m->content.request, out);
        break;
    case REPLY: qr_buffer_format(out, "%u,result:%u", m->content.request.timestamp, m->content.result); break;
    case CHECKPOINT:
        qr_buffer_format(out, "n%u,%04x", m->content.number, (unsigned)(m->content.digest & 0xffff));
        break;
    case VIEW_CHANGE:
        qr_buffer_format(out, "v%u", m->content.view);
        for (unsigned i = 0; i < WINDOW; i++)
            if (m->body.prepared[i].is) {
                qr_buffer_format(out, ",n%u:", m->body.stable + i + 1u);
                put_request(m->body.prepared[i].request, out);
            }
        break;
    case NEW_VIEW:
        qr_buffer_format(out, "v%u", m->content.view);
        for (unsigned i = 0; i < m->body.ordered_count && i < WINDOW; i++) {
            qr_buffer_format(out, ",");
            put_request(m->body.ordered[i], out);
        }
        break;
    case FETCH: qr_buffer_format(out, "n%u", m->content.number); break;
    case STATE: qr_buffer_format(out, "n%u", m->body.machine.number); break;
    }
    qr_buffer_format(out, ")");
    if (m->content.signer != head->from && head->kind == VIEW_CHANGE)
        qr_buffer_format(out, " of %s", qr_lab_name_of(world, m->content.signer).text);
}

/* ---------------------------------------------------------------- checks ---- */

/* A client believes a result that no correct replica will ever give: the request is not the result-th one of
 * the history that they share, or nobody has got that far. */
static bool is_deceived(const qr_lab_world *world, const qr_pbft_client *c)
{
    if (!c->answered)
        return false;
    for (unsigned i = 0; i < qr_lab_count(world, REPLICA); i++) {
        const qr_pbft_replica *r = qr_lab_state(world, i);
        qr_pbft_reply reply = r->machine.replies[c->request.client - 1];
        if (!qr_pbft_lies(world, i) && reply.timestamp == c->request.timestamp && reply.result == c->result)
            return false;
    }
    return true;
}

const char *qr_pbft_check(const qr_lab_world *world)
{
    const qr_pbft_shared *all = qr_lab_shared(world);
    unsigned first = qr_lab_first(world, CLIENT);
    if (all->split)
        return "agreement"; /* 4.5.1: no two requests are committed with one number */
    if (all->forked)
        return "one-history";
    if (all->invented)
        return "validity";
    for (unsigned i = 0; i < qr_lab_count(world, CLIENT); i++)
        if (is_deceived(world, qr_lab_state(world, first + i)))
            return "the-client-is-told-the-truth";
    return NULL;
}

static void put_first(const qr_pbft_shared *all, qr_buffer *out)
{
    if (all->is_committed[1])
        put_request(all->committed[1], out);
    else
        qr_buffer_format(out, "-");
}

/* What is committed as number 1, and how many clients have their answer. */
void qr_pbft_outcome(const qr_lab_world *world, qr_buffer *out)
{
    const qr_pbft_shared *all = qr_lab_shared(world);
    unsigned answered = 0;
    for (unsigned i = 0; i < qr_lab_count(world, CLIENT); i++)
        answered += ((const qr_pbft_client *)qr_lab_state(world, qr_lab_first(world, CLIENT) + i))->answered;
    qr_buffer_format(out, "n1=");
    put_first(all, out);
    qr_buffer_format(out, ",answered=%u", answered);
}

bool qr_pbft_observe(const qr_lab_world *world, unsigned self, qr_slice name, qr_buffer *out)
{
    if (self == QR_LAB_NOBODY) {
        if (!qr_lab_word_is(name, "first"))
            return false;
        put_first(qr_lab_shared(world), out);
        return true;
    }
    if (qr_lab_role_of(world, self) == CLIENT) {
        const qr_pbft_client *c = qr_lab_state(world, self);
        if (!qr_lab_word_is(name, "result"))
            return false;
        if (c->answered)
            qr_buffer_format(out, "%u", c->result);
        else
            qr_buffer_format(out, "-");
        return true;
    }
    const qr_pbft_replica *r = qr_lab_state(world, self);
    if (qr_lab_word_is(name, "view"))
        qr_buffer_format(out, "%u", r->view);
    else if (qr_lab_word_is(name, "executed"))
        qr_buffer_format(out, "%u", r->machine.executed);
    else if (qr_lab_word_is(name, "stable"))
        qr_buffer_format(out, "%u", r->low);
    else
        return false;
    return true;
}

/* Checkpoints and watermarks (4.3), and how a replica that fell behind them gets the state. */
#include "lab/pbft/pbft.h"

static qr_pbft_machine *saved_at(qr_pbft_replica *r, unsigned number)
{
    return &r->saved[number / INTERVAL % (WINDOW / INTERVAL + 1)];
}

/* 2f + 1 that say the same of the same number make it stable. */
static void count_checkpoints(qr_lab_world *world, unsigned self, unsigned number, uint64_t digest)
{
    qr_pbft_replica *r = qr_lab_state(world, self);
    unsigned signers = 0;
    for (unsigned i = 0; i < qr_lab_count(world, REPLICA); i++)
        if (r->checkpoints[i].number == number && r->checkpoints[i].digest == digest)
            signers |= 1u << i;
    if (qr_lab_set_size(signers) > 2 * qr_pbft_f(world))
        qr_pbft_stable(world, self, number, digest, signers);
}

void qr_pbft_checkpoint(qr_lab_world *world, unsigned self)
{
    qr_pbft_replica *r = qr_lab_state(world, self);
    *saved_at(r, r->machine.number) = r->machine;
    uint64_t digest = qr_pbft_digest(&r->machine, sizeof r->machine);
    r->checkpoints[self].number = r->machine.number;
    r->checkpoints[self].digest = digest;
    qr_pbft_message m;
    qr_lab_message_of(world, &m.head, CHECKPOINT, self);
    m.content = qr_pbft_checkpoint_content(self, r->machine.number, digest);
    qr_pbft_multicast(world, self, &m);
    count_checkpoints(world, self, r->machine.number, digest);
}

void qr_pbft_on_checkpoint(qr_lab_world *world, unsigned self, const qr_pbft_message *m)
{
    qr_pbft_replica *r = qr_lab_state(world, self);
    unsigned from = m->content.signer;
    if (from >= qr_lab_count(world, REPLICA) || m->content.number <= r->checkpoints[from].number ||
        !qr_pbft_signed(world, m->content, &m->own))
        return;
    r->checkpoints[from].number = m->content.number;
    r->checkpoints[from].digest = m->content.digest;
    count_checkpoints(world, self, m->content.number, m->content.digest);
}

/* The log up to there may go. */
void qr_pbft_stable(qr_lab_world *world, unsigned self, unsigned number, uint64_t digest, unsigned signers)
{
    qr_pbft_replica *r = qr_lab_state(world, self);
    if (number <= r->low)
        return;
    r->low = (uint16_t)number;
    r->stable_digest = digest;
    r->stable_signers = (uint8_t)signers;
    if (r->assigned < number)
        r->assigned = (uint16_t)number;
    for (unsigned i = 0; i < WINDOW; i++)
        if (r->slots[i].number <= number)
            r->slots[i] = (qr_pbft_slot){0};
    if (r->machine.number < number) {
        qr_lab_say(world, self, "is behind the stable checkpoint %u", number);
        qr_pbft_ask_for_state(world, self);
    }
}

/* ---------------------------------------------------------------- proofs ---- */

void qr_pbft_put_stable_proof(const qr_lab_world *world, const qr_pbft_replica *r, qr_pbft_message *m,
                              unsigned *proofs)
{
    m->body.stable = r->low;
    m->body.stable_digest = r->stable_digest;
    m->body.stable_signers = r->stable_signers;
    for (unsigned i = 0, left = 2 * qr_pbft_f(world) + 1; i < REPLICAS_MAX && r->low; i++) {
        if (!(r->stable_signers >> i & 1))
            continue;
        if (left-- == 0) { /* no more than it takes */
            m->body.stable_signers &= (uint8_t)((1u << i) - 1);
            break;
        }
        m->proofs[(*proofs)++] = qr_pbft_sign(world, qr_pbft_checkpoint_content(i, r->low, r->stable_digest));
    }
}

bool qr_pbft_stable_proven(const qr_lab_world *world, const qr_pbft_message *m, unsigned *proofs)
{
    const qr_pbft_body *body = &m->body;
    if (body->stable == 0)
        return body->stable_signers == 0;
    if (body->stable_signers >> qr_lab_count(world, REPLICA) ||
        qr_lab_set_size(body->stable_signers) != 2 * qr_pbft_f(world) + 1)
        return false;
    for (unsigned i = 0; i < REPLICAS_MAX; i++)
        if (body->stable_signers >> i & 1 &&
            !qr_pbft_signed(world, qr_pbft_checkpoint_content(i, body->stable, body->stable_digest),
                            &m->proofs[(*proofs)++]))
            return false;
    return true;
}

/* -------------------------------------------------------------- transfer ---- */

void qr_pbft_ask_for_state(qr_lab_world *world, unsigned self)
{
    const qr_pbft_replica *r = qr_lab_state(world, self);
    qr_pbft_message m;
    qr_lab_message_of(world, &m.head, FETCH, self);
    m.content.number = r->low;
    for (unsigned i = 0; i < qr_lab_count(world, REPLICA); i++)
        if (r->stable_signers >> i & 1 && i != self)
            qr_lab_send(world, &m.head, i);
}

void qr_pbft_on_fetch(qr_lab_world *world, unsigned self, const qr_pbft_message *asked)
{
    qr_pbft_replica *r = qr_lab_state(world, self);
    const qr_pbft_machine *saved = saved_at(r, r->low);
    if (r->low < asked->content.number || saved->number != r->low || r->low == 0)
        return;
    qr_pbft_message m;
    unsigned proofs = 0;
    qr_lab_message_of(world, &m.head, STATE, self);
    qr_pbft_put_stable_proof(world, r, &m, &proofs);
    m.body.machine = *saved;
    qr_pbft_seal(world, &m);
    qr_lab_send(world, &m.head, asked->head.from);
}

/* Whoever sends it: the digest that 2f + 1 have signed says whether it is the state. */
void qr_pbft_on_state(qr_lab_world *world, unsigned self, const qr_pbft_message *m)
{
    qr_pbft_replica *r = qr_lab_state(world, self);
    const qr_pbft_machine *machine = &m->body.machine;
    unsigned proofs = 0;
    if (machine->number <= r->machine.number || machine->number != m->body.stable ||
        qr_pbft_digest(machine, sizeof *machine) != m->body.stable_digest ||
        !qr_pbft_stable_proven(world, m, &proofs))
        return;
    qr_pbft_stable(world, self, machine->number, m->body.stable_digest, m->body.stable_signers);
    r->machine = *machine;
    *saved_at(r, machine->number) = *machine;
    for (unsigned i = 0; i < CLIENTS_MAX; i++)
        if (r->waiting[i].timestamp <= machine->replies[i].timestamp)
            r->waiting[i] = (qr_pbft_request){0};
    qr_pbft_note_executed(world, self);
    qr_lab_say(world, self, "has taken over the state at number %u", machine->number);
}

/* View changes (4.4): the next primary takes over what may have been committed anywhere.
 *
 * Whatever is committed in a view is prepared at f + 1 correct replicas at least, so among any 2f + 1 view
 * changes one reports it, with the signatures that prove it. A new view says which view changes it rests on,
 * by their digests, and everyone reckons for himself what follows from them. The new primary passes on the
 * view changes that it means, so that no backup waits for one that a liar has sent to others only. */
#include "lab/pbft/pbft.h"

/* ----------------------------------------------------- the view change ---- */

static void put_certificate(const qr_lab_world *world, qr_pbft_certificate c, unsigned number,
                            qr_pbft_message *m, unsigned *proofs)
{
    for (unsigned i = 0; i < REPLICAS_MAX; i++) {
        unsigned kind = i == qr_pbft_primary(world, c.view) ? PRE_PREPARE : PREPARE;
        if (c.signers >> i & 1 && *proofs < PROOFS_MAX)
            m->proofs[(*proofs)++] =
                qr_pbft_sign(world, qr_pbft_vote_content(kind, i, c.view, number, c.request));
    }
}

/* P has no more signatures than it takes: the primary's and those of 2f backups. */
static qr_pbft_certificate trimmed(const qr_lab_world *world, qr_pbft_certificate c)
{
    unsigned primary = qr_pbft_primary(world, c.view), left = 2 * qr_pbft_f(world);
    uint8_t kept = (uint8_t)(c.signers & 1u << primary);
    for (unsigned i = 0; i < REPLICAS_MAX; i++)
        if (i != primary && c.signers >> i & 1 && left > 0) {
            kept |= (uint8_t)(1u << i);
            left--;
        }
    c.signers = kept;
    return c;
}

static void put_proofs(const qr_lab_world *world, qr_pbft_message *m, unsigned proofs)
{
    for (unsigned i = 0; i < WINDOW; i++)
        if (m->body.prepared[i].is)
            put_certificate(world, m->body.prepared[i], m->body.stable + i + 1, m, &proofs);
}

static void make_change(const qr_lab_world *world, unsigned self, qr_pbft_message *m)
{
    qr_pbft_replica *r = qr_lab_state(world, self);
    unsigned proofs = 0;
    qr_lab_message_of(world, &m->head, VIEW_CHANGE, self);
    m->content.view = r->view;
    qr_pbft_put_stable_proof(world, r, m, &proofs);
    bool reports = qr_pbft_variant(world) != FORGETFUL && !qr_pbft_lies(world, self);
    for (unsigned i = 0; i < WINDOW && reports; i++) {
        const qr_pbft_slot *s = qr_pbft_slot_of(r, r->low + i + 1u);
        if (s->prepared.is)
            m->body.prepared[i] = trimmed(world, s->prepared);
    }
    put_proofs(world, m, proofs);
}

static bool is_certificate_proven(const qr_lab_world *world, qr_pbft_certificate c, unsigned number,
                                  unsigned view, const qr_pbft_message *m, unsigned *proofs)
{
    unsigned primary = qr_pbft_primary(world, c.view);
    if (c.view >= view || c.signers >> qr_lab_count(world, REPLICA) || !(c.signers >> primary & 1) ||
        qr_lab_set_size(c.signers) != 2 * qr_pbft_f(world) + 1)
        return false;
    for (unsigned i = 0; i < REPLICAS_MAX; i++) {
        unsigned kind = i == primary ? PRE_PREPARE : PREPARE;
        if (c.signers >> i & 1 &&
            !qr_pbft_signed(world, qr_pbft_vote_content(kind, i, c.view, number, c.request),
                            &m->proofs[(*proofs)++]))
            return false;
    }
    return true;
}

static bool is_proven(const qr_lab_world *world, const qr_pbft_message *m)
{
    unsigned proofs = 0;
    if (qr_pbft_variant(world) == NO_PROOFS)
        return true;
    if (!qr_pbft_stable_proven(world, m, &proofs))
        return false;
    for (unsigned i = 0; i < WINDOW; i++)
        if (m->body.prepared[i].is &&
            !is_certificate_proven(world, m->body.prepared[i], m->body.stable + i + 1u, m->content.view, m,
                                   &proofs))
            return false;
    return true;
}

static void note_change(qr_lab_world *world, unsigned self, const qr_pbft_message *m)
{
    qr_pbft_replica *r = qr_lab_state(world, self);
    r->changes[m->content.signer] = (qr_pbft_change){.view = m->content.view, .is = 1, .body = m->body};
}

void qr_pbft_suspect(qr_lab_world *world, unsigned self, unsigned view)
{
    qr_pbft_replica *r = qr_lab_state(world, self);
    r->view = (uint16_t)view;
    r->changing = 1;
    r->announced = 0;
    qr_pbft_message m;
    make_change(world, self, &m);
    qr_pbft_multicast(world, self, &m);
    note_change(world, self, &m);
}

/* ------------------------------------------------------- the new view ---- */

typedef struct plan { /* what follows from a set of view changes */
    unsigned stable, stable_signers, count;
    uint64_t stable_digest;
    qr_pbft_request ordered[WINDOW];
} plan;

/* min-s is the newest stable checkpoint among them, max-s the highest number that was prepared; to each
 * number between belongs the request that was prepared in the newest view, or the null request. */
static plan plan_of(const qr_pbft_replica *r, unsigned signers)
{
    plan p = {0};
    uint16_t views[WINDOW] = {0};
    for (unsigned i = 0; i < REPLICAS_MAX; i++)
        if (signers >> i & 1 && r->changes[i].body.stable > p.stable) {
            p.stable = r->changes[i].body.stable;
            p.stable_digest = r->changes[i].body.stable_digest;
            p.stable_signers = r->changes[i].body.stable_signers;
        }
    for (unsigned i = 0; i < REPLICAS_MAX; i++)
        for (unsigned k = 0; k < WINDOW && signers >> i & 1; k++) {
            const qr_pbft_body *body = &r->changes[i].body;
            unsigned number = body->stable + k + 1u;
            if (!body->prepared[k].is || number <= p.stable || number > p.stable + WINDOW)
                continue;
            unsigned at = number - p.stable - 1;
            if (at + 1 > p.count)
                p.count = at + 1;
            if (body->prepared[k].view + 1 <= views[at])
                continue;
            views[at] = (uint16_t)(body->prepared[k].view + 1);
            p.ordered[at] = body->prepared[k].request;
        }
    return p;
}

static void begin_view(qr_lab_world *world, unsigned self, unsigned view, const plan *p)
{
    qr_pbft_replica *r = qr_lab_state(world, self);
    r->view = (uint16_t)view;
    r->changing = 0;
    r->held.is = 0;
    qr_pbft_stable(world, self, p->stable, p->stable_digest, p->stable_signers);
    r->assigned = r->low > p->stable + p->count ? r->low : (uint16_t)(p->stable + p->count);
    for (unsigned i = 0; i < p->count; i++)
        if (qr_pbft_slot_of(r, p->stable + i + 1))
            qr_pbft_accept(world, self, view, p->stable + i + 1, p->ordered[i]);
}

/* Whoever has sent this one: its signature is its own. */
static void pass_on(qr_lab_world *world, unsigned self, unsigned signer)
{
    const qr_pbft_replica *r = qr_lab_state(world, self);
    qr_pbft_message m;
    unsigned proofs = 0;
    qr_lab_message_of(world, &m.head, VIEW_CHANGE, signer);
    m.content.view = r->changes[signer].view;
    m.body = r->changes[signer].body;
    for (unsigned i = 0; i < REPLICAS_MAX && m.body.stable; i++)
        if (m.body.stable_signers >> i & 1 && proofs < CERTIFICATE)
            m.proofs[proofs++] =
                qr_pbft_sign(world, qr_pbft_checkpoint_content(i, m.body.stable, m.body.stable_digest));
    put_proofs(world, &m, proofs);
    qr_pbft_seal(world, &m);
    m.head.from = (uint16_t)self;
    qr_lab_send_role(world, &m.head, REPLICA);
}

/* The primary of the view that everyone is changing to has heard of 2f + 1. */
static void announce(qr_lab_world *world, unsigned self)
{
    qr_pbft_replica *r = qr_lab_state(world, self);
    unsigned signers = 0;
    for (unsigned i = 0; i < qr_lab_count(world, REPLICA); i++)
        if (r->changes[i].is && r->changes[i].view == r->view)
            signers |= 1u << i;
    if (!r->changing || r->announced || qr_pbft_primary(world, r->view) != self ||
        qr_lab_set_size(signers) <= 2 * qr_pbft_f(world))
        return;
    r->announced = 1;
    plan p = plan_of(r, signers);
    qr_pbft_message m;
    qr_lab_message_of(world, &m.head, NEW_VIEW, self);
    m.content.view = r->view;
    m.body.change_signers = (uint8_t)signers;
    m.body.ordered_count = (uint8_t)p.count;
    memcpy(m.body.ordered, p.ordered, sizeof p.ordered);
    for (unsigned i = 0; i < REPLICAS_MAX; i++) {
        if (!(signers >> i & 1))
            continue;
        m.body.changes[i] = qr_pbft_digest(&r->changes[i].body, sizeof r->changes[i].body);
        if (i != self)
            pass_on(world, self, i);
    }
    qr_pbft_multicast(world, self, &m);
    begin_view(world, self, r->view, &p);
}

/* Once all view changes are here that it rests on. */
static void look_at_held(qr_lab_world *world, unsigned self)
{
    qr_pbft_replica *r = qr_lab_state(world, self);
    const qr_pbft_body *body = &r->held.body;
    unsigned view = r->held.view;
    if (!r->held.is)
        return;
    for (unsigned i = 0; i < REPLICAS_MAX; i++)
        if (body->change_signers >> i & 1 &&
            (!r->changes[i].is || r->changes[i].view != view ||
             qr_pbft_digest(&r->changes[i].body, sizeof r->changes[i].body) != body->changes[i]))
            return;
    plan p = plan_of(r, body->change_signers);
    if (p.count == body->ordered_count && memcmp(p.ordered, body->ordered, sizeof p.ordered) == 0) {
        begin_view(world, self, view, &p);
        return;
    }
    qr_lab_say(world, self, "refuses the new view %u: it is not what follows from the view changes", view);
    r->held.is = 0;
    qr_pbft_suspect(world, self, view + 1);
}

void qr_pbft_on_new_view(qr_lab_world *world, unsigned self, const qr_pbft_message *m)
{
    qr_pbft_replica *r = qr_lab_state(world, self);
    unsigned view = m->content.view;
    if (view < r->view || (view == r->view && !r->changing) ||
        m->content.signer != qr_pbft_primary(world, view) ||
        m->body.change_signers >> qr_lab_count(world, REPLICA) ||
        qr_lab_set_size(m->body.change_signers) <= 2 * qr_pbft_f(world) ||
        m->content.digest != qr_pbft_digest(&m->body, sizeof m->body) ||
        !qr_pbft_signed(world, m->content, &m->own))
        return;
    r->held.is = 1;
    r->held.view = m->content.view;
    r->held.body = m->body;
    look_at_held(world, self);
}

/* ------------------------------------------------------- hearing of it ---- */

/* Liveness (4.5.2): f + 1 want to go on, one of them is honest, so nobody waits for his own patience to end.
 */
static void join(qr_lab_world *world, unsigned self)
{
    const qr_pbft_replica *r = qr_lab_state(world, self);
    unsigned ahead = 0, least = UINT16_MAX;
    for (unsigned i = 0; i < qr_lab_count(world, REPLICA); i++) {
        if (!r->changes[i].is || r->changes[i].view <= r->view)
            continue;
        ahead++;
        least = r->changes[i].view < least ? r->changes[i].view : least;
    }
    if (ahead > qr_pbft_f(world))
        qr_pbft_suspect(world, self, least);
}

void qr_pbft_on_view_change(qr_lab_world *world, unsigned self, const qr_pbft_message *m)
{
    qr_pbft_replica *r = qr_lab_state(world, self);
    unsigned from = m->content.signer;
    if (from >= qr_lab_count(world, REPLICA) || from == self || m->content.view == 0 ||
        (r->changes[from].is && r->changes[from].view > m->content.view) ||
        m->content.digest != qr_pbft_digest(&m->body, sizeof m->body) ||
        !qr_pbft_signed(world, m->content, &m->own))
        return;
    if (!is_proven(world, m)) {
        qr_lab_say(world, self, "drops a view change without its proofs");
        return;
    }
    note_change(world, self, m);
    join(world, self);
    announce(world, self);
    look_at_held(world, self);
}

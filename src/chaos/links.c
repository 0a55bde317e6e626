/* Cuts and delays: the proxy does them, the page says which. */
#include <unistd.h>

#include "chaos/inside.h"

static void knock(const qr_chaos *c)
{
    uint64_t one = 1;
    (void)!write(c->knock, &one, sizeof one);
}

static void cut(qr_chaos *c, uint32_t from, uint32_t to)
{
    if (from != to)
        atomic_store(&c->page->cut[from][to], 1);
}

static void isolate(qr_chaos *c, uint32_t one)
{
    for (uint32_t i = 0; i < c->slot_count; i++) {
        cut(c, one, i);
        cut(c, i, one);
    }
}

/* Who is in which half is drawn; the bridge reaches both. */
static void halve(qr_chaos *c, uint32_t bridge)
{
    uint32_t order[SLOTS_MAX], count = c->options->members;
    for (uint32_t i = 0; i < count; i++)
        order[i] = i;
    for (uint32_t i = count - 1; i > 0; i--) {
        uint32_t other = (uint32_t)qr_prng_below(&c->prng, i + 1), kept = order[i];
        order[i] = order[other];
        order[other] = kept;
    }
    for (uint32_t i = 0; i < count / 2; i++)
        for (uint32_t j = count / 2; j < count; j++)
            if (order[i] != bridge && order[j] != bridge) {
                cut(c, order[i], order[j]);
                cut(c, order[j], order[i]);
            }
}

static void one_way(qr_chaos *c, uint32_t one)
{
    bool deaf = qr_prng_below(&c->prng, 2) == 0;
    for (uint32_t i = 0; i < c->slot_count; i++)
        cut(c, deaf ? i : one, deaf ? one : i);
}

static void slow_down(qr_chaos *c, uint32_t one)
{
    bool all = qr_prng_below(&c->prng, 2) == 0;
    uint32_t ms = (uint32_t)qr_prng_between(&c->prng, 5, 300);
    for (uint32_t i = 0; i < c->slot_count; i++)
        for (uint32_t j = 0; j < c->slot_count; j++)
            if (all || i == one || j == one)
                atomic_store(&c->page->delay_ms[i][j], ms);
}

void qr_chaos_links_break(qr_chaos *c, qr_chaos_fault fault)
{
    qr_chaos_slot *leader = qr_prng_below(&c->prng, 2) ? qr_chaos_cluster_leader(c) : NULL;
    uint32_t one =
        leader ? (uint32_t)(leader - c->slots) : (uint32_t)qr_prng_below(&c->prng, c->options->members);
    if (fault == QR_CHAOS_ISOLATE)
        isolate(c, one);
    else if (fault == QR_CHAOS_HALVES || fault == QR_CHAOS_BRIDGE)
        halve(c, fault == QR_CHAOS_BRIDGE ? one : UINT32_MAX);
    else if (fault == QR_CHAOS_ONEWAY)
        one_way(c, one);
    else
        slow_down(c, one);
    if (fault != QR_CHAOS_HALVES)
        qr_buffer_format(&c->told, " %s", c->slots[one].name);
    if (qr_prng_below(&c->prng, 2))
        atomic_fetch_add(&c->page->resets, 1);
    knock(c);
}

void qr_chaos_links_heal(qr_chaos *c)
{
    for (uint32_t i = 0; i < SLOTS_MAX; i++)
        for (uint32_t j = 0; j < SLOTS_MAX; j++) {
            atomic_store(&c->page->cut[i][j], 0);
            atomic_store(&c->page->delay_ms[i][j], 0);
        }
    knock(c);
}

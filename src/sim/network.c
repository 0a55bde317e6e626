#include "sim/network.h"

void qr_sim_message_drop(qr_sim_message *message)
{
    QR_ASSERT(message->copies > 0);
    if (--message->copies == 0)
        qr_free(message);
}

void qr_sim_network_init(qr_sim_network *network, uint32_t nodes, uint64_t seed)
{
    QR_ASSERT(nodes >= 1 && nodes <= QR_SIM_NODES_MAX);
    *network = (qr_sim_network){.nodes = nodes};
    network->weather = (qr_sim_weather){.delay_us_min = 50, .delay_us_max = 500};
    qr_prng_seed(&network->prng, seed);
}

static uint64_t arrival_us(qr_sim_network *network, uint32_t from, uint32_t to, uint64_t now_us)
{
    const qr_sim_weather *weather = &network->weather;
    uint64_t at_us = now_us + qr_prng_between(&network->prng, weather->delay_us_min, weather->delay_us_max);
    if (weather->straggling && qr_prng_chance(&network->prng, weather->straggling))
        at_us += qr_prng_below(&network->prng, (uint64_t)weather->straggle_us_max + 1);
    uint64_t clogged_us = network->clogged_us[from][to];
    if (at_us < clogged_us)
        at_us = clogged_us + qr_prng_below(&network->prng, 1000);
    if (weather->in_order && at_us <= network->latest_us[from][to])
        at_us = network->latest_us[from][to] + 1;
    if (weather->in_order)
        network->latest_us[from][to] = at_us;
    return at_us;
}

static uint16_t kind_of(qr_slice bytes)
{
    enum { KIND_AT = 1, BODY_AT = 34 };
    if (bytes.size <= KIND_AT)
        return 0;
    return (uint16_t)(bytes.data[KIND_AT] << 8 | (bytes.size > BODY_AT ? bytes.data[BODY_AT] : 0));
}

/* Only engines' messages begin with their kind; the others are one kind each. */
static uint16_t note_kind(qr_sim_network *network, qr_slice bytes)
{
    enum { ENGINES = 1 };
    uint16_t kind = kind_of(bytes);
    if (kind >> 8 != ENGINES)
        kind &= 0xff00;
    uint32_t at = 0;
    while (at < network->kind_count && network->kinds[at] != kind)
        at++;
    if (at == network->kind_count && at < QR_SIM_KINDS_MAX)
        network->kinds[network->kind_count++] = kind;
    return kind;
}

void qr_sim_network_send(qr_sim_network *network, uint32_t from, uint32_t to, qr_slice bytes, uint64_t now_us)
{
    QR_ASSERT(from < network->nodes && to < network->nodes && from != to);
    const qr_sim_weather *weather = &network->weather;
    network->sent++;
    bool lost = (weather->loss && qr_prng_chance(&network->prng, weather->loss)) ||
                (note_kind(network, bytes) == network->lost_kind && now_us < network->lost_kind_us);
    if (lost || qr_sim_network_is_cut(network, from, to)) {
        network->lost++;
        return;
    }
    qr_sim_message *message = qr_alloc(sizeof *message + bytes.size);
    *message = (qr_sim_message){.from = from, .to = to, .copies = 1, .size = (uint32_t)bytes.size};
    if (bytes.size)
        memcpy(message->bytes, bytes.data, bytes.size);
    if (bytes.size && weather->corruption && qr_prng_chance(&network->prng, weather->corruption)) {
        message->bytes[qr_prng_below(&network->prng, bytes.size)] ^=
            (uint8_t)(1u << qr_prng_below(&network->prng, 8));
        network->spoilt++;
    }
    if (weather->duplication && qr_prng_chance(&network->prng, weather->duplication)) {
        message->copies = 2;
        network->arrival(network->context, message, arrival_us(network, from, to, now_us));
    }
    network->arrival(network->context, message, arrival_us(network, from, to, now_us));
}

/* ------------------------------------------------------------------- cuts ---- */

static void cut_add(qr_sim_cut *cut, uint32_t from, uint32_t to)
{
    if (from != to)
        *cut |= (qr_sim_cut)1 << (from * QR_SIM_NODES_MAX + to);
}

/* Every link between a node of one group and a node of the other; groups are bit sets. */
static qr_sim_cut between(const qr_sim_network *network, uint64_t one, uint64_t other)
{
    qr_sim_cut cut = 0;
    for (uint32_t a = 0; a < network->nodes; a++)
        for (uint32_t b = 0; b < network->nodes; b++)
            if ((one >> a & 1) && (other >> b & 1)) {
                cut_add(&cut, a, b);
                cut_add(&cut, b, a);
            }
    return cut;
}

qr_sim_cut qr_sim_cut_make(qr_sim_network *network, qr_sim_cut_shape shape, uint32_t victim)
{
    uint32_t nodes = network->nodes;
    uint64_t all = ((uint64_t)1 << nodes) - 1, own = (uint64_t)1 << victim;
    if (nodes < 2)
        return 0;
    uint32_t other = (victim + 1 + (uint32_t)qr_prng_below(&network->prng, nodes - 1)) % nodes;
    qr_sim_cut cut = 0;
    switch (shape) {
    case QR_SIM_CUT_ISOLATE: return between(network, own, all & ~own);
    case QR_SIM_CUT_HALVES: {
        uint64_t half = qr_prng_below(&network->prng, all + 1);
        return between(network, half, all & ~half);
    }
    case QR_SIM_CUT_ONE_WAY: cut_add(&cut, victim, other); return cut;
    case QR_SIM_CUT_PAIR: return between(network, own, (uint64_t)1 << other);
    case QR_SIM_CUT_DEAF:
        for (uint32_t n = 0; n < nodes; n++)
            cut_add(&cut, n, victim);
        return cut;
    case QR_SIM_CUT_MUTE:
        for (uint32_t n = 0; n < nodes; n++)
            cut_add(&cut, victim, n);
        return cut;
    case QR_SIM_CUT_RING: {
        uint32_t reach = (nodes + 1) / 4;
        for (uint32_t n = 0; n < nodes; n++)
            for (uint32_t far = reach + 1; reach > 0 && far + reach < nodes; far++)
                cut_add(&cut, n, (n + far) % nodes);
        return cut;
    }
    default: {
        uint64_t rest = all & ~own, half = qr_prng_below(&network->prng, all + 1) & rest;
        return between(network, half, rest & ~half);
    }
    }
}

void qr_sim_cut_apply(qr_sim_network *network, qr_sim_cut cut, bool mend)
{
    for (uint32_t from = 0; from < network->nodes; from++)
        for (uint32_t to = 0; to < network->nodes; to++)
            if (qr_sim_cut_has(cut, from, to)) {
                QR_ASSERT(!mend || network->cuts[from][to] > 0);
                network->cuts[from][to] += mend ? -1u : 1u;
            }
}

const char *qr_sim_cut_name(qr_sim_cut_shape shape)
{
    static const char *const names[QR_SIM_CUT_SHAPES] = {"isolated", "halves", "one way", "deaf",
                                                         "mute",     "pair",   "bridge",  "ring"};
    return (unsigned)shape < QR_SIM_CUT_SHAPES ? names[shape] : "?";
}

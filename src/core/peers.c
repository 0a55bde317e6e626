#include "core/peers.h"

enum { FAREWELL_TIMEOUTS = 10 }; /* election timeouts for which a leader goes on sending to a removed one */

/* ------------------------------------------------------------ one peer ---- */

void qr_peer_restart(qr_peer *peer, uint64_t incarnation, uint64_t next, uint64_t now_ms)
{
    *peer = (qr_peer){.id = peer->id,
                      .link = peer->link,
                      .down_ms = peer->down_ms,
                      .vote = peer->vote,
                      .incarnation = incarnation,
                      .leaving_ms = peer->leaving_ms,
                      .heard_ms = now_ms,
                      .next = next,
                      .window = QR_FLYING_MAX,
                      .progress = QR_PROBE};
}

bool qr_peer_alive(const qr_peer *peer, const qr_engine_config *config, uint64_t now_ms)
{
    return peer->answered && peer->link != QR_LINK_DOWN && now_ms - peer->heard_ms < config->election_ms;
}

static void forget_flying(qr_peer *peer)
{
    peer->flying_count = 0;
    peer->flying_bytes = 0;
}

void qr_peer_reconnect(qr_peer *peer, bool up)
{
    if (peer->progress == QR_PIPELINE) { /* what was under way is lost with the connection */
        peer->progress = QR_PROBE;
        peer->next = peer->match + 1;
        forget_flying(peer);
    }
    peer->probing = !up;
    peer->offered_ms = 0;
}

void qr_peer_flies(qr_peer *peer, uint64_t last, size_t bytes)
{
    QR_ASSERT(last >= peer->next && peer->flying_count < QR_FLYING_MAX);
    uint32_t at = (peer->flying_first + peer->flying_count++) % QR_FLYING_MAX;
    peer->flying[at] = (qr_flying){.last = last, .bytes = bytes};
    peer->flying_bytes += bytes;
    peer->next = last + 1;
}

void qr_peer_agrees(qr_peer *peer, uint64_t accepted, uint64_t match)
{
    if (match > peer->match) {
        QR_ASSERT(match <= accepted);
        peer->match = match;
        peer->window = peer->window > QR_FLYING_MAX / 2 ? QR_FLYING_MAX : 2 * peer->window;
        while (peer->flying_count && peer->flying[peer->flying_first].last <= peer->match) {
            peer->flying_bytes -= peer->flying[peer->flying_first].bytes;
            peer->flying_first = (peer->flying_first + 1) % QR_FLYING_MAX;
            peer->flying_count--;
        }
    }
    if (peer->progress != QR_PIPELINE && accepted + 1 >= peer->next) {
        peer->progress = QR_PIPELINE;
        peer->next = accepted + 1;
        forget_flying(peer);
    }
    if (peer->next <= peer->match)
        peer->next = peer->match + 1;
}

void qr_peer_rejects(qr_peer *peer, uint64_t next)
{
    peer->window = peer->progress == QR_PIPELINE ? 1 : peer->window;
    peer->progress = QR_PROBE;
    peer->probing = false;
    peer->next = next;
    forget_flying(peer);
}

void qr_peer_needs_checkpoint(qr_peer *peer, uint64_t base)
{
    peer->progress = QR_CHECKPOINT;
    peer->next = (base > peer->match ? base : peer->match) + 1;
    forget_flying(peer);
}

bool qr_peer_offer(qr_peer *peer, const qr_engine_config *config, uint64_t now_ms)
{
    if (peer->offered_ms && now_ms - peer->offered_ms < config->election_ms)
        return false;
    peer->offered_ms = now_ms ? now_ms : 1;
    return true;
}

/* ------------------------------------------------------------ all of them ---- */

static void add(qr_peers *peers, const qr_peers *old, const qr_member *member, uint64_t next, uint64_t now_ms)
{
    qr_peer *peer = &peers->list[peers->count++];
    const qr_peer *before = qr_peers_of(old, member->id);
    *peer = before ? *before : (qr_peer){.id = member->id};
    peer->leaving_ms = 0;
    bool is_other_disk = member->incarnation && peer->incarnation && member->incarnation != peer->incarnation;
    if (before == NULL || is_other_disk) /* it has nothing yet */
        qr_peer_restart(peer, member->incarnation, next, now_ms);
    peer->incarnation = member->incarnation ? member->incarnation : peer->incarnation;
}

void qr_peers_say_farewell(qr_peers *peers, const qr_peer *gone, const qr_engine_config *config,
                           uint64_t now_ms)
{
    if (gone->id == config->self || peers->count == QR_PEERS_MAX || qr_peers_of(peers, gone->id))
        return;
    qr_peer *peer = &peers->list[peers->count++];
    *peer = *gone;
    if (peer->leaving_ms == 0)
        peer->leaving_ms = now_ms + (uint64_t)FAREWELL_TIMEOUTS * config->election_ms;
}

void qr_peers_follow(qr_peers *peers, const qr_members *members, const qr_engine_config *config, bool leads,
                     uint64_t next, uint64_t now_ms)
{
    qr_peers *old = qr_alloc(sizeof *old);
    *old = *peers;
    peers->count = 0;
    for (uint32_t i = 0; i < members->count; i++)
        if (members->list[i].id != config->self)
            add(peers, old, &members->list[i], next, now_ms);
    for (uint32_t i = 0; i < old->count && leads; i++)
        qr_peers_say_farewell(peers, &old->list[i], config, now_ms);
    qr_free(old);
}

void qr_peers_forget_departed(qr_peers *peers, uint64_t until_ms)
{
    uint32_t left = 0;
    for (uint32_t i = 0; i < peers->count; i++)
        if (peers->list[i].leaving_ms == 0 || peers->list[i].leaving_ms > until_ms) {
            if (left != i)
                peers->list[left] = peers->list[i];
            left++;
        }
    peers->count = left;
}

void qr_peers_miss(qr_peers *peers, uint64_t to, uint64_t memory_first)
{
    for (uint32_t i = 0; i < peers->count; i++) {
        qr_peer *peer = &peers->list[i];
        if (peer->next <= to && peer->next < memory_first)
            peer->progress = QR_CHECKPOINT;
    }
}

/* ------------------------------------------------------------ quorums ---- */

typedef struct view {
    const qr_peers *peers;
    uint64_t self, now_ms;
} view;

static uint64_t heard_of(const void *context, uint64_t id)
{
    const view *v = context;
    const qr_peer *peer = qr_peers_of(v->peers, id);
    return id == v->self ? v->now_ms : peer ? peer->heard_ms : 0;
}

uint64_t qr_peers_heard_ms(const qr_peers *peers, const qr_members *members, const qr_engine_config *config,
                           uint64_t now_ms)
{
    const view v = {.peers = peers, .self = config->self, .now_ms = now_ms};
    return qr_quorum_value(members, heard_of, &v);
}

static bool is_reached(const void *context, uint64_t id)
{
    const view *v = context;
    const qr_peer *peer = qr_peers_of(v->peers, id);
    return id == v->self || (peer && peer->link == QR_LINK_UP);
}

bool qr_peers_reach_quorum(const qr_peers *peers, const qr_members *members, const qr_engine_config *config)
{
    const view v = {.peers = peers, .self = config->self};
    return qr_quorum_has(members, is_reached, &v);
}

uint64_t qr_peers_best(const qr_peers *peers, const qr_members *members, const qr_engine_config *config,
                       uint64_t now_ms)
{
    const qr_peer *best = NULL;
    for (uint32_t i = 0; i < peers->count; i++) {
        const qr_peer *peer = &peers->list[i];
        const qr_member *member = qr_members_find(members, peer->id);
        if (member == NULL || member->role != QR_ROLE_VOTER || peer->link == QR_LINK_DOWN ||
            now_ms - peer->heard_ms >= config->election_ms)
            continue;
        if (best == NULL || peer->match > best->match)
            best = peer;
    }
    return best ? best->id : 0;
}

qr_status qr_peers_judge(qr_peers *peers, const qr_members *members, bool leads, uint64_t from,
                         uint64_t incarnation)
{
    const qr_member *member = qr_members_find(members, from);
    qr_peer *peer = qr_peers_find(peers, from);
    uint64_t known = member ? member->incarnation : 0;
    if (leads && peer && peer->incarnation > known)
        known = peer->incarnation;
    if (incarnation < known)
        return QR_E_FOREIGN; /* facts row 31 */
    bool is_newer = known && incarnation > known;
    if (peer && is_newer && leads)
        peer->newer = incarnation > peer->newer ? incarnation : peer->newer;
    return peer && !is_newer ? QR_OK : QR_E_NOT_FOUND;
}

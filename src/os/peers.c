/* Links to the other members: when to dial, when a link counts as up, what waits to be written.
 *
 * Our messages to a peer go over the connection that we dialed; its messages come over the one it dialed. As
 * soon as one of the two breaks the other is closed too and the link is down: a member that was killed closes
 * both at once, and the engine hears of it in the same round of the loop. Both sides then dial again, so
 * after a break both directions are new and nothing sent before it arrives behind something sent after it. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "os/peers.h"

enum {
    PAUSE_MIN_MS = 20,
    PAUSE_MAX_MS = 1000,
    CONNECT_MS = 2000,
    GREET_MS = 5000,
    LOG_GAP_MS = 60000,
    WAITING_ROOM = 1024 * 1024, /* kept of .waiting between two bursts */
    QUEUE_MAX = 64 * 1024 * 1024,
};

static void dial(qr_os_link *link);
static void link_free_if_over(qr_os_link *link);

qr_os_link *qr_os_link_find(qr_os_peers *peers, uint64_t id)
{
    for (size_t i = 0; i < peers->link_count; i++)
        if (peers->links[i]->id == id)
            return peers->links[i];
    return NULL;
}

bool qr_os_link_may_log(qr_os_peers *peers, qr_os_link *link, bool dialing)
{
    uint64_t *logged_ms = link ? &link->logged_ms[dialing ? 0 : 1] : &peers->stranger_logged_ms;
    uint64_t now_ms = qr_os_now_ms(peers->os);
    if (*logged_ms != 0 && now_ms - *logged_ms < LOG_GAP_MS)
        return false;
    *logged_ms = now_ms;
    return true;
}

/* ---- dialing ---- */

static void on_pause_over(uv_timer_t *timer)
{
    dial(timer->data);
}

static void pause_then_dial(qr_os_link *link)
{
    QR_ASSERT(link->dialed == NULL);
    if (link->os->closing || link->gone)
        return;
    uv_update_time(&link->os->loop);
    uv_timer_start(&link->timer, on_pause_over, link->pause_ms, 0);
    link->pause_ms = link->pause_ms * 2 < PAUSE_MAX_MS ? link->pause_ms * 2 : PAUSE_MAX_MS;
}

static void dial_failed(qr_os_link *link, const char *why)
{
    link->dialed = NULL;
    if (link->pause_ms >= PAUSE_MAX_MS && qr_os_link_may_log(link->os->peers, link, true))
        qr_log(link->os, QR_LOG_WARN, "peer cannot be reached; trying on", "peer", link->id_text, "address",
               link->text, "error", why, NULL);
    if (link->address_next < link->address_count)
        dial(link);
    else
        pause_then_dial(link);
}

static void on_impatient(uv_timer_t *timer)
{
    qr_os_link *link = timer->data;
    if (link->dialed != NULL && link->dialed->state != QR_OS_WIRE_UP)
        qr_os_link_lost(link, link->dialed, "no answer in time");
}

void qr_os_link_connected(qr_os_link *link)
{
    uv_timer_start(&link->timer, on_impatient, link->os->peers->greet_ms, 0);
}

static void dial_next(qr_os_link *link)
{
    QR_ASSERT(link->dialed == NULL && link->address_next < link->address_count);
    const qr_os_address *address = &link->addresses[link->address_next++];
    link->dialed = qr_os_wire_dial(link, address);
    if (link->dialed == NULL) {
        dial_failed(link, "the address cannot be dialed");
        return;
    }
    uv_update_time(&link->os->loop);
    uv_timer_start(&link->timer, on_impatient, link->os->peers->connect_ms, 0);
}

static void on_resolved(uv_getaddrinfo_t *resolver, int status, struct addrinfo *found)
{
    qr_os_link *link = resolver->data;
    link->resolving = false;
    link->address_count = status == 0 ? qr_os_address_list(found, link->port, link->addresses) : 0;
    link->address_next = 0;
    uv_freeaddrinfo(found);
    if (link->gone) {
        link_free_if_over(link);
        return;
    }
    if (link->os->closing)
        return;
    if (link->moved) { /* it was asked for the old address */
        link->moved = false;
        link->address_count = 0;
        dial(link);
        return;
    }
    if (link->address_count == 0)
        dial_failed(link, status != 0 ? uv_strerror(status) : "the name has no IP address");
    else
        dial_next(link);
}

/* The next address of a pass, or a new pass: names are asked for again each time, because they move. */
static void dial(qr_os_link *link)
{
    qr_os *os = link->os;
    if (link->dialed != NULL || link->resolving || os->closing || link->gone)
        return;
    uv_timer_stop(&link->timer);
    if (link->address_next < link->address_count) {
        dial_next(link);
        return;
    }
    link->address_next = 0;
    if (qr_os_address_literal(link->host, link->port, link->addresses, &link->address_count)) {
        dial_next(link);
        return;
    }
    link->address_count = 0;
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    link->resolver.data = link;
    link->resolving = uv_getaddrinfo(&os->loop, &link->resolver, on_resolved, link->host, NULL, &hints) == 0;
    if (!link->resolving)
        dial_failed(link, "the name cannot be looked up");
}

/* ---- the state of a link ---- */

void qr_os_link_greeted(qr_os_link *link)
{
    QR_ASSERT(!link->up && link->dialed != NULL && link->dialed->state == QR_OS_WIRE_UP);
    uv_timer_stop(&link->timer);
    link->pause_ms = PAUSE_MIN_MS;
    link->address_next = 0;
    link->logged_ms[0] = 0;
    link->up = true;
    qr_log(link->os, QR_LOG_INFO, "peer is connected", "peer", link->id_text, "address", link->text, NULL);
    if (link->os->handlers.on_link)
        link->os->handlers.on_link(link->os->context, link->id, true, qr_os_now_ms(link->os));
    qr_os_happened(link->os);
}

static void link_down(qr_os_link *link, const char *why)
{
    qr_buffer_shrink(&link->waiting, WAITING_ROOM);
    link->dirty = false;
    if (!link->up)
        return;
    link->up = false;
    qr_log(link->os, QR_LOG_WARN, "peer is disconnected", "peer", link->id_text, "address", link->text,
           "reason", why, NULL);
    if (link->os->handlers.on_link)
        link->os->handlers.on_link(link->os->context, link->id, false, qr_os_now_ms(link->os));
    qr_os_happened(link->os);
}

void qr_os_link_lost(qr_os_link *link, qr_os_wire *wire, const char *why)
{
    QR_ASSERT(wire == link->dialed || wire == link->accepted);
    bool was_up = link->up;
    qr_os_wire_close(wire);
    if (wire == link->accepted) {
        link->accepted = NULL;
        if (!was_up)
            return; /* our own dialing goes on */
        qr_os_wire_close(link->dialed);
    } else if (was_up && link->accepted != NULL) {
        qr_os_wire_close(link->accepted);
        link->accepted = NULL;
    }
    link->dialed = NULL;
    link_down(link, why);
    if (was_up)
        pause_then_dial(link);
    else
        dial_failed(link, why);
}

/* The peer dialed us and was greeted. If it had a connection already, that one is dead and so is what we had
 * on ours. */
void qr_os_link_accepted(qr_os_link *link, qr_os_wire *wire, uint64_t incarnation)
{
    if (link->accepted != NULL)
        qr_os_link_lost(link, link->accepted, "the peer connected anew");
    QR_ASSERT(link->accepted == NULL);
    link->accepted = wire;
    link->logged_ms[1] = 0;
    if (link->incarnation != 0 && link->incarnation != incarnation)
        qr_log(link->os, QR_LOG_WARN, "peer came back with another data folder", "peer", link->id_text, NULL);
    link->incarnation = incarnation;
    if (link->dialed == NULL) {
        link->pause_ms = PAUSE_MIN_MS;
        link->address_next = 0;
        dial(link);
    }
}

void qr_os_link_removed(qr_os_link *link, const char *sentence)
{
    qr_os *os = link->os;
    link->pause_ms = PAUSE_MAX_MS;
    if (os->handlers.on_removed)
        os->handlers.on_removed(os->context, link->id, sentence);
    qr_os_happened(os);
}

void qr_os_link_refused(qr_os_link *link, const char *sentence)
{
    if (qr_os_link_may_log(link->os->peers, link, true))
        qr_log(link->os, QR_LOG_ERROR, "peer refused the connection", "peer", link->id_text, "address",
               link->text, "sentence", sentence, NULL);
    link->pause_ms = PAUSE_MAX_MS;
}

/* ---- sending ---- */

static qr_status peers_send(void *self, uint64_t to, qr_slice message)
{
    qr_os_peers *peers = self;
    qr_os_link *link = qr_os_link_find(peers, to);
    if (link == NULL)
        return QR_E_NOT_FOUND;
    if (message.size > QR_PEER_MESSAGE_MAX)
        return QR_E_TOO_LARGE;
    if (!link->up || message.size == 0)
        return QR_E_BUSY; /* nothing is kept for a peer that is away: it would only be told of the past */
    size_t queued = link->waiting.size + qr_os_wire_unwritten(link->dialed);
    if (queued > 0 && queued + QR_OS_FRAME_HEAD + message.size > peers->queue_max)
        return QR_E_BUSY;
    qr_os_frame_add(&link->waiting, message);
    link->sent += message.size;
    link->dirty = peers->dirty = true;
    qr_os_happened(peers->os);
    return QR_OK;
}

void qr_os_peers_count(const qr_os *os, qr_os_process *process)
{
    const qr_os_peers *peers = os->peers;
    for (size_t i = 0; peers != NULL && i < peers->link_count && i < QR_OS_PEERS_SHOWN_MAX; i++) {
        const qr_os_link *link = peers->links[i];
        process->peers[i].id = link->id;
        process->peers[i].sent = link->sent;
        process->peers[i].received = link->received;
        process->peer_count = i + 1;
    }
}

static void write_link(qr_os_link *link)
{
    link->dirty = false;
    if (!link->up || link->waiting.size == 0 || link->dialed->flying)
        return;
    if (qr_os_wire_send(link->dialed, &link->waiting) != QR_OK) {
        qr_os_link_lost(link, link->dialed, "a write failed");
        return;
    }
    qr_buffer_shrink(&link->waiting, WAITING_ROOM);
}

void qr_os_peers_flush(qr_os *os)
{
    qr_os_peers *peers = os->peers;
    if (peers == NULL || !peers->dirty)
        return;
    peers->dirty = false;
    for (size_t i = 0; i < peers->link_count; i++)
        if (peers->links[i]->dirty)
            write_link(peers->links[i]);
}

bool qr_os_peers_written(const qr_os *os)
{
    const qr_os_peers *peers = os->peers;
    for (size_t i = 0; peers != NULL && i < peers->link_count; i++) {
        const qr_os_link *link = peers->links[i];
        if (link->up && link->waiting.size + qr_os_wire_unwritten(link->dialed) > 0)
            return false;
    }
    return true;
}

/* ---- who the peers are ---- */

static void link_address(qr_os_link *link, const qr_os_peer *peer)
{
    qr_free(link->host);
    link->host = qr_strdup(peer->host);
    link->port = peer->port;
    snprintf(link->text, sizeof link->text, strchr(link->host, ':') ? "[%s]:%u" : "%s:%u", link->host,
             link->port);
    link->address_count = link->address_next = 0;
    link->pause_ms = PAUSE_MIN_MS;
    link->logged_ms[0] = 0;
}

static qr_os_link *link_new(qr_os_peers *peers, const qr_os_peer *peer)
{
    QR_ASSERT(peer->id != peers->self);
    qr_os_link *link = qr_alloc_zero(1, sizeof *link);
    link->os = peers->os;
    link->id = peer->id;
    link->is_new = true;
    snprintf(link->id_text, sizeof link->id_text, "%" PRIx64, link->id);
    link_address(link, peer);
    uv_timer_init(&peers->os->loop, &link->timer);
    link->timer.data = link;
    return link;
}

static void link_free(qr_os_link *link)
{
    qr_free(link->host);
    qr_buffer_free(&link->waiting);
    qr_free(link);
}

static void link_free_if_over(qr_os_link *link)
{
    if (!link->timer_closed || link->resolving)
        return;
    link->os->peers->gone_count--;
    link_free(link);
}

static void on_timer_closed(uv_handle_t *handle)
{
    qr_os_link *link = handle->data;
    link->timer_closed = true;
    link_free_if_over(link);
}

/* Both connections end, and nobody dials again. */
static void hang_up(qr_os_link *link, const char *why)
{
    if (link->accepted != NULL)
        qr_os_wire_close(link->accepted);
    if (link->dialed != NULL)
        qr_os_wire_close(link->dialed);
    link->accepted = link->dialed = NULL;
    uv_timer_stop(&link->timer);
    link_down(link, why);
}

static void link_end(qr_os_link *link)
{
    link->gone = true;
    link->os->peers->gone_count++;
    hang_up(link, "it is no member any more");
    if (link->resolving)
        uv_cancel((uv_req_t *)&link->resolver);
    uv_close((uv_handle_t *)&link->timer, on_timer_closed);
}

static void link_move(qr_os_link *link, const qr_os_peer *peer)
{
    if (strcmp(link->host, peer->host) == 0 && link->port == peer->port)
        return;
    hang_up(link, "it has another address now");
    link_address(link, peer);
    link->moved = link->resolving;
    dial(link);
}

void qr_os_peers_update(qr_os *os, const qr_os_peer *list, size_t count)
{
    qr_os_peers *peers = os->peers;
    qr_os_link **links = qr_alloc_zero(count + 1, sizeof *links);
    qr_os_link **before = peers->links;
    size_t before_count = peers->link_count;
    for (size_t i = 0; i < count; i++)
        links[i] = qr_os_link_find(peers, list[i].id);
    peers->links = NULL;
    peers->link_count = 0;
    for (size_t i = 0; i < before_count; i++) {
        size_t at = 0;
        while (at < count && links[at] != before[i])
            at++;
        if (at == count)
            link_end(before[i]);
    }
    qr_free(before);
    for (size_t i = 0; i < count; i++)
        if (links[i] == NULL)
            links[i] = link_new(peers, &list[i]);
    peers->links = links;
    peers->link_count = count;
    for (size_t i = 0; i < count; i++) {
        link_move(links[i], &list[i]);
        if (links[i]->is_new)
            dial(links[i]);
        links[i]->is_new = false;
    }
}

/* ---- the whole ---- */

qr_status qr_os_peers_start(qr_os *os, const qr_os_peers_config *config, qr_network *network)
{
    QR_ASSERT(os->peers == NULL);
    qr_os_peers *peers = qr_alloc_zero(1, sizeof *peers);
    os->peers = peers;
    peers->os = os;
    peers->cluster = config->cluster;
    peers->group = config->group;
    peers->self = config->self;
    peers->incarnation = config->incarnation;
    peers->queue_max = config->queue_max ? config->queue_max : QUEUE_MAX;
    peers->greet_ms = GREET_MS;
    peers->connect_ms = CONNECT_MS;
    qr_os_ring_init(&peers->wires);
    qr_os_ring_init(&peers->strangers);
    uv_timer_init(&os->loop, &peers->patience);
    peers->patience.data = peers;
    qr_os_peers_update(os, config->peers, config->peer_count);
    *network = (qr_network){.self = peers, .send = peers_send};
    return QR_OK;
}

qr_status qr_os_peers_listen(qr_os *os, const char *host, uint16_t port, qr_arena *arena,
                             const char **sentence)
{
    return qr_os_listen_on(os, host, port, qr_os_wire_accept, NULL, arena, sentence);
}

void qr_os_peers_close(qr_os *os)
{
    qr_os_peers *peers = os->peers;
    if (peers == NULL)
        return;
    for (size_t i = 0; i < peers->link_count; i++) {
        qr_os_link *link = peers->links[i];
        link->up = false;
        link->dialed = link->accepted = NULL;
        uv_timer_stop(&link->timer);
        if (link->resolving)
            uv_cancel((uv_req_t *)&link->resolver);
    }
    while (!qr_os_ring_empty(&peers->wires))
        qr_os_wire_close(QR_OS_CONTAINER(peers->wires.next, qr_os_wire, all));
}

void qr_os_peers_end(qr_os *os)
{
    qr_os_peers *peers = os->peers;
    if (peers == NULL)
        return;
    qr_os_peers_close(os);
    for (size_t i = 0; i < peers->link_count; i++)
        uv_close((uv_handle_t *)&peers->links[i]->timer, NULL);
    uv_close((uv_handle_t *)&peers->patience, NULL);
}

void qr_os_peers_free(qr_os *os)
{
    qr_os_peers *peers = os->peers;
    if (peers == NULL)
        return;
    QR_ASSERT(peers->gone_count == 0); /* the loop has run out of handles */
    for (size_t i = 0; i < peers->link_count; i++)
        link_free(peers->links[i]);
    qr_free(peers->links);
    qr_free(peers);
    os->peers = NULL;
}

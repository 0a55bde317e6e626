/* The life of a client: it connects somewhere, asks, loses its connection or leaves it, goes on elsewhere
 * with its session, ends it or lets it end, and begins anew. */
#include <inttypes.h>

#include "sim/door/inside.h"

enum { CONNECT_US_MAX = 600000, PING_PARTS = 3 };

static uint64_t below(qr_simd_client *client, uint64_t bound)
{
    return qr_simd_below(client->all, bound);
}

static uint64_t now_us(const qr_simd_client *client)
{
    return client->all->world->now_us;
}

static void stand(qr_simd_client *client, qr_simd_standing standing)
{
    client->standing = standing;
    client->since_us = now_us(client);
}

/* ------------------------------------------------------------------- ending ---- */

void qr_simd_client_forget(qr_simd_client *client)
{
    client->session = 0;
    client->zxid = client->wrote = 0;
    client->watch_count = 0;
    client->may_be_moved = false;
}

void qr_simd_client_cut(qr_simd_client *client)
{
    qr_sim_story(client->all->world, "z%u has lost its connection %u", client->number + 1,
                 client->wire->number);
    while (client->first != NULL) {
        qr_simd_op *op = client->first;
        client->first = op->next;
        qr_simd_lose(client->all, op);
    }
    client->last = &client->first;
    client->under_way = 0;
    if (client->standing == QR_SIMD_CONNECTING && !client->wire->impostor && client->session != 0)
        client->may_be_moved = true;
    client->wire = NULL;
    stand(client, QR_SIMD_AWAY);
}

static void leave(qr_simd_client *client)
{
    qr_simd_wire_drop(client->wire);
    qr_simd_client_cut(client);
}

/* --------------------------------------------------------------- connecting ---- */

static void greet(qr_simd_client *client, int64_t session, const uint8_t *password, int64_t zxid)
{
    qr_jute_connect_request request = {.last_zxid_seen = zxid,
                                       .timeout = (int32_t)client->timeout_ms,
                                       .session_id = session,
                                       .password = qr_slice_of(password, QR_SIMD_PASSWORD)};
    qr_buffer out;
    qr_buffer_init(&out);
    size_t begin = qr_jute_packet_begin(&out);
    qr_jute_encode(&qr_jute_record_connect_request, &request, &out);
    qr_jute_packet_end(&out, begin);
    qr_simd_wire_send(client->wire, qr_buffer_slice(&out));
    qr_buffer_free(&out);
}

/* Somebody who knows the id of a session and not its password. */
static bool tries_another(qr_simd_client *client)
{
    static const uint8_t wrong[QR_SIMD_PASSWORD] = {1};
    const qr_simd_client *other = &client->all->clients[below(client, client->all->client_count)];
    if (client->session != 0 || other->session == 0 || below(client, 3) > 0)
        return false;
    client->wire->impostor = true;
    qr_sim_story(client->all->world, "z%u takes itself for z%u", client->number + 1, other->number + 1);
    greet(client, other->session, wrong, 0);
    return true;
}

static void join(qr_simd_client *client)
{
    static const uint32_t timeouts_ms[] = {300, 600, 1200, 3000};
    static const uint8_t nothing[QR_SIMD_PASSWORD];
    qr_sim_world *world = client->all->world;
    uint32_t node = (uint32_t)below(client, world->nodes);
    client->wire = qr_simd_wire_open(client, node);
    if (client->wire == NULL)
        return;
    client->sent_us = client->heard_us = world->now_us;
    stand(client, QR_SIMD_CONNECTING);
    if (tries_another(client))
        return;
    if (client->session == 0)
        client->timeout_ms = timeouts_ms[below(client, 4)];
    qr_sim_story(world, "z%u connects to n%u as session %" PRIx64 ", has seen %" PRIu64, client->number + 1,
                 node + 1, (uint64_t)client->session, client->zxid);
    greet(client, client->session, client->session ? client->password : nothing, (int64_t)client->zxid);
}

static void refused(qr_simd_client *client)
{
    qr_simd *all = client->all;
    if (client->wire->impostor)
        return;
    qr_simd_lease *lease = qr_simd_lease_of(all, client->session);
    if (client->session == 0 || lease == NULL || (lease->ended_us == 0 && !lease->close_asked))
        qr_sim_fail(all->world, "gone-is-gone",
                    "z%u was told that its session %" PRIx64 " has ended, and it has not", client->number + 1,
                    (uint64_t)client->session);
    else
        lease->told_expired = true;
    qr_simd_client_forget(client);
}

static void attached(qr_simd_client *client, const qr_jute_connect_reply *reply)
{
    qr_simd *all = client->all;
    qr_sim_world *world = all->world;
    const qr_simd_lease *lease = qr_simd_lease_of(all, reply->session_id);
    if (client->wire->impostor || lease == NULL || !lease->session ||
        (client->session != 0 && client->session != reply->session_id) ||
        reply->password.size != QR_SIMD_PASSWORD) {
        qr_sim_fail(world, "sessions-have-passwords", "z%u was given session %" PRIx64, client->number + 1,
                    (uint64_t)reply->session_id);
        return;
    }
    if (lease->told_expired || (lease->ended_us != 0 && lease->ended_us < client->wire->opened_us) ||
        lease->ttl_ms != (uint64_t)reply->timeout)
        qr_sim_fail(world, "gone-is-gone",
                    "z%u is attached to session %" PRIx64 ", which had ended or lasts another time",
                    client->number + 1, (uint64_t)reply->session_id);
    world->report->door_sessions += client->session == 0;
    client->session = reply->session_id;
    memcpy(client->password, reply->password.data, QR_SIMD_PASSWORD);
    stand(client, QR_SIMD_ATTACHED);
    for (size_t i = 0; i < all->lost_count; i++) /* what its earlier connections sent comes no more */
        if (all->lost[i]->session == client->session && all->lost[i]->bound > world->oracle.model.revision)
            all->lost[i]->bound = world->oracle.model.revision;
    qr_simd_watch_set(client);
}

static void hear_greeting(qr_simd_client *client, qr_slice bytes)
{
    qr_reader reader = qr_reader_of(bytes);
    qr_jute_connect_reply reply;
    client->wire->greeted = true;
    if (qr_jute_decode(&qr_jute_record_connect_reply, &reader, &client->all->world->arena, &reply) != QR_OK)
        qr_sim_fail(client->all->world, "answers-can-be-read", "z%u got no greeting", client->number + 1);
    else if (reply.timeout > 0)
        attached(client, &reply);
    else
        refused(client);
}

void qr_simd_client_hear(qr_simd_wire *wire, qr_slice bytes)
{
    qr_simd_client *client = wire->client;
    qr_sim_world *world = client->all->world;
    client->heard_us = world->now_us;
    if (!wire->greeted) {
        hear_greeting(client, bytes);
        return;
    }
    qr_reader reader = qr_reader_of(bytes);
    qr_jute_reply_header header;
    qr_jute_watcher_event event;
    if (qr_jute_decode(&qr_jute_record_reply_header, &reader, &world->arena, &header) != QR_OK) {
        qr_sim_fail(world, "answers-can-be-read", "z%u got an answer without a header", client->number + 1);
        return;
    }
    if (header.xid == -1) {
        if (qr_jute_decode(&qr_jute_record_watcher_event, &reader, &world->arena, &event) == QR_OK)
            qr_simd_watch_event(client, event.type, event.path);
        return;
    }
    qr_simd_op *op = client->first;
    if (op == NULL || op->xid != header.xid) {
        qr_sim_fail(world, "answers-come-in-order", "z%u is answered request %d, the next is %d",
                    client->number + 1, header.xid, op ? op->xid : 0);
        return;
    }
    client->first = op->next;
    if (client->first == NULL)
        client->last = &client->first;
    client->under_way--;
    qr_simd_told(client, op, &header, &reader);
}

/* -------------------------------------------------------------------- acting ---- */

static void ping(qr_simd_client *client)
{
    if (now_us(client) - client->sent_us >= (uint64_t)client->timeout_ms * 1000 / PING_PARTS)
        qr_simd_send(client, qr_simd_op_new(client->all, client, QR_JUTE_OP_PING));
}

static void close_session(qr_simd_client *client)
{
    qr_simd_lease *lease = qr_simd_lease_of(client->all, client->session);
    QR_ASSERT(lease != NULL);
    lease->close_asked = true;
    client->wire->closing = true;
    qr_simd_send(client, qr_simd_op_new(client->all, client, QR_JUTE_OP_CLOSE_SESSION));
}

/* The run ends: sessions are closed, or left to end. */
static void depart(qr_simd_client *client)
{
    if (client->wire != NULL && client->wire->closing)
        return;
    if (client->standing == QR_SIMD_ATTACHED && below(client, 2)) {
        close_session(client);
        return;
    }
    if (client->wire != NULL)
        leave(client);
    qr_simd_client_forget(client);
    stand(client, QR_SIMD_GONE);
}

static bool misbehave(qr_simd_client *client)
{
    uint64_t draw = below(client, 1000);
    if (draw < 20) {
        leave(client);
    } else if (draw < 28) {
        close_session(client);
    } else if (draw < 34) { /* it comes back when it has ended, or before */
        leave(client);
        client->since_us += 1000 * below(client, 2 * client->timeout_ms);
    } else if (draw < 38) { /* somebody else goes on in its place */
        leave(client);
        qr_simd_client_forget(client);
    } else {
        return false;
    }
    return true;
}

static void act_attached(qr_simd_client *client)
{
    uint64_t silent_us = now_us(client) - client->heard_us;
    if (silent_us > (uint64_t)client->timeout_ms * 2000 / 3) {
        leave(client);
        return;
    }
    ping(client);
    if (client->wire->closing || !qr_simd_works(client->all) || client->under_way >= QR_SIMD_PIPELINE_MAX)
        return;
    if (qr_simd_stormy(client->all) && misbehave(client))
        return;
    qr_simd_draft(client);
}

static void act_later(qr_simd_client *client)
{
    uint64_t mean_us = qr_simd_works(client->all) ? (uint64_t)client->all->think_ms * 1000 : 20000;
    qr_simd_after(client->all, 1 + below(client, 2 * mean_us), QR_SIMD_ACT_CLIENT, client);
}

void qr_simd_client_act(qr_simd_client *client)
{
    if (client->standing == QR_SIMD_GONE)
        return;
    act_later(client);
    if (client->all->world->phase >= QR_SIM_SETTLING)
        depart(client);
    else if (client->standing == QR_SIMD_AWAY &&
             (client->since_us <= now_us(client) || !qr_simd_stormy(client->all)))
        join(client);
    else if (client->standing == QR_SIMD_CONNECTING && client->since_us + CONNECT_US_MAX < now_us(client))
        leave(client);
    else if (client->standing == QR_SIMD_ATTACHED)
        act_attached(client);
}

void qr_simd_client_init(qr_simd_client *client)
{
    client->last = &client->first;
    act_later(client);
}

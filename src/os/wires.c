/* One TCP connection between two members: connecting, the hello both ways, frames in, frames out. */
#include <inttypes.h>
#include <stdio.h>

#include "os/peers.h"

enum {
    STRANGERS_MAX = 64, /* accepted connections without a hello */
    STRANGER_CHECK_MS = 100,
    REFUSED_MS = 1000, /* for a refused dialer to read our sentence */
    KEEPALIVE_S = 5,
    USER_TIMEOUT_MS = 5000, /* unacknowledged bytes: the peer, or the way to it, is gone */
    KEPT_ROOM = 1024 * 1024,
    INTAKE_MAX = 1024 * 1024, /* read of one peer between two rounds */
};

static void on_read(uv_stream_t *tcp, ssize_t got, const uv_buf_t *buffer);

size_t qr_os_wire_unwritten(const qr_os_wire *wire)
{
    return uv_stream_get_write_queue_size((const uv_stream_t *)&wire->tcp);
}

void qr_os_wire_hello(const qr_os_peers *peers, uint64_t to, qr_os_answer answer, uint8_t *bytes)
{
    qr_os_hello hello = {
        .version = QR_OS_PEER_FORMAT,
        .answer = answer,
        .cluster = peers->cluster,
        .group = peers->group,
        .from = peers->self,
        .to = to,
        .incarnation = peers->incarnation,
    };
    qr_os_hello_encode(&hello, bytes);
}

/* ---- birth and death ---- */

static qr_os_wire *wire_new(qr_os *os, qr_os_link *link)
{
    qr_os_wire *wire = qr_alloc_zero(1, sizeof *wire);
    wire->os = os;
    wire->link = link;
    wire->dialed = link != NULL;
    wire->state = wire->dialed ? QR_OS_WIRE_CONNECTING : QR_OS_WIRE_GREETING;
    int failed = uv_tcp_init(&os->loop, &wire->tcp);
    QR_ASSERT(failed == 0);
    wire->tcp.data = wire;
    qr_os_ring_init(&wire->strange);
    qr_os_ring_push(&os->peers->wires, &wire->all);
    return wire;
}

static void on_closed(uv_handle_t *handle)
{
    qr_os_wire *wire = handle->data;
    QR_ASSERT(!wire->flying);
    qr_buffer_free(&wire->in);
    qr_buffer_free(&wire->flight);
    qr_free(wire);
}

static void no_longer_strange(qr_os_wire *wire)
{
    qr_os_peers *peers = wire->os->peers;
    if (qr_os_ring_empty(&wire->strange))
        return;
    qr_os_ring_remove(&wire->strange);
    QR_ASSERT(peers->stranger_count > 0);
    if (--peers->stranger_count == 0)
        uv_timer_stop(&peers->patience);
}

void qr_os_wire_close(qr_os_wire *wire)
{
    if (wire->state == QR_OS_WIRE_CLOSED)
        return;
    no_longer_strange(wire);
    wire->state = QR_OS_WIRE_CLOSED;
    qr_os_ring_remove(&wire->all);
    uv_close((uv_handle_t *)&wire->tcp, on_closed);
}

/* The wire is of no more use: whoever holds it is told. */
static void wire_broken(qr_os_wire *wire, const char *why)
{
    if (wire->state == QR_OS_WIRE_CLOSED)
        return;
    qr_os_link *link = wire->link;
    if (link != NULL && (link->dialed == wire || link->accepted == wire))
        qr_os_link_lost(link, wire, why);
    else
        qr_os_wire_close(wire);
}

/* ---- writing ---- */

static void on_written(uv_write_t *write, int status)
{
    qr_os_wire *wire = QR_OS_CONTAINER(write, qr_os_wire, write);
    wire->flying = false;
    if (wire->state == QR_OS_WIRE_CLOSED)
        return;
    if (status != 0) {
        wire_broken(wire, uv_strerror(status));
        return;
    }
    qr_buffer_shrink(&wire->flight, KEPT_ROOM);
    if (wire->link == NULL) /* it was told who we are; its end is awaited */
        return;
    wire->link->dirty = wire->os->peers->dirty = wire->link->waiting.size > 0;
    if (wire->link->dirty)
        qr_os_happened(wire->os);
}

qr_status qr_os_wire_send(qr_os_wire *wire, qr_buffer *bytes)
{
    QR_ASSERT(!wire->flying && bytes->size > 0 && bytes->size < UINT32_MAX);
    uv_buf_t all = uv_buf_init((char *)bytes->data, (unsigned)bytes->size);
    int wrote = uv_try_write((uv_stream_t *)&wire->tcp, &all, 1);
    if (wrote == UV_EAGAIN)
        wrote = 0;
    if (wrote < 0)
        return QR_E_IO;
    if ((size_t)wrote == bytes->size) {
        qr_buffer_clear(bytes);
        return QR_OK;
    }
    qr_buffer swap = wire->flight;
    wire->flight = *bytes;
    *bytes = swap;
    qr_buffer_clear(bytes);
    uv_buf_t rest =
        uv_buf_init((char *)wire->flight.data + wrote, (unsigned)(wire->flight.size - (size_t)wrote));
    wire->flying = uv_write(&wire->write, (uv_stream_t *)&wire->tcp, &rest, 1, on_written) == 0;
    return wire->flying ? QR_OK : QR_E_IO;
}

/* A few bytes on a fresh socket: they fit, or the connection is no good. */
static bool write_small(qr_os_wire *wire, const uint8_t *bytes, size_t size)
{
    uv_buf_t all = uv_buf_init((char *)bytes, (unsigned)size);
    return uv_try_write((uv_stream_t *)&wire->tcp, &all, 1) == (int)size;
}

/* ---- the hello ---- */

static void peer_name(const qr_os_wire *wire, char *text, size_t size)
{
    struct sockaddr_storage from;
    int from_size = sizeof from;
    if (uv_tcp_getpeername(&wire->tcp, (struct sockaddr *)&from, &from_size) == 0)
        qr_os_address_text((const struct sockaddr *)&from, text, size);
    else
        snprintf(text, size, "?");
}

/* The last thing that an accepted connection is told: a hello and one frame. Then its end is awaited. */
static void say_and_end(qr_os_wire *wire, uint64_t to, qr_os_answer answer, qr_slice payload)
{
    qr_buffer bytes;
    qr_buffer_init(&bytes);
    qr_os_wire_hello(wire->os->peers, to, answer, qr_buffer_extend(&bytes, QR_OS_HELLO_SIZE));
    qr_os_frame_add(&bytes, payload);
    bool sent = qr_os_wire_send(wire, &bytes) == QR_OK;
    qr_buffer_free(&bytes);
    if (!sent) {
        qr_os_wire_close(wire);
        return;
    }
    wire->state = QR_OS_WIRE_REFUSED;
    wire->deadline_ms = qr_os_now_ms(wire->os) + REFUSED_MS;
}

static void refuse(qr_os_wire *wire, uint64_t to, qr_os_answer answer, const char *sentence)
{
    qr_os_peers *peers = wire->os->peers;
    char from[QR_OS_ADDRESS_TEXT];
    peer_name(wire, from, sizeof from);
    if (qr_os_link_may_log(peers, qr_os_link_find(peers, to), false))
        qr_log(wire->os, QR_LOG_ERROR, "refused a peer connection", "from", from, "sentence", sentence, NULL);
    say_and_end(wire, to, answer, qr_slice_text(sentence));
}

/* Somebody without an id asks who we are: a joiner that looks for its cluster. It may know nothing yet but
 * our format. */
static void tell_who(qr_os_wire *wire, const qr_os_hello *hello)
{
    qr_os *os = wire->os;
    qr_buffer members;
    qr_buffer_init(&members);
    if (hello->version == QR_OS_PEER_FORMAT && os->handlers.who)
        os->handlers.who(os->context, &members);
    QR_ASSERT(members.size <= QR_OS_WHO_MAX);
    if (members.size > 0)
        say_and_end(wire, hello->from, QR_OS_ACCEPTS, qr_buffer_slice(&members));
    else
        refuse(wire, hello->from, QR_OS_REFUSES, "this member cannot tell who belongs to the cluster yet");
    qr_buffer_free(&members);
}

/* Why this hello cannot be accepted, as a sentence for both sides; false: it can. */
static bool has_objection(const qr_os_peers *peers, const qr_os_hello *hello, char *why, size_t size)
{
    if (hello->version != QR_OS_PEER_FORMAT)
        snprintf(why, size, "peer format %u is not known to member %" PRIx64 ", which speaks format %u",
                 hello->version, peers->self, QR_OS_PEER_FORMAT);
    else if (hello->cluster != peers->cluster)
        snprintf(why, size, "member %" PRIx64 " belongs to cluster %" PRIx64 ", not to cluster %" PRIx64,
                 peers->self, peers->cluster, hello->cluster);
    else if (hello->group != peers->group)
        snprintf(why, size, "member %" PRIx64 " belongs to group %" PRIu64 ", not to group %" PRIu64,
                 peers->self, peers->group, hello->group);
    else if (hello->to != peers->self)
        snprintf(why, size, "this is member %" PRIx64 ", not member %" PRIx64, peers->self, hello->to);
    else if (hello->from == peers->self)
        snprintf(why, size, "member %" PRIx64 " talks to itself, or two members have the same id",
                 peers->self);
    else
        return false;
    return true;
}

static void refuse_unknown(qr_os_wire *wire, uint64_t from)
{
    qr_os *os = wire->os;
    char why[QR_OS_REFUSAL_MAX];
    if (os->handlers.was_removed && os->handlers.was_removed(os->context, from)) {
        snprintf(why, sizeof why, "member %" PRIx64 " was removed from the cluster", from);
        refuse(wire, from, QR_OS_REMOVED, why);
    } else {
        snprintf(why, sizeof why, "member %" PRIx64 " is not known to member %" PRIx64, from,
                 os->peers->self);
        refuse(wire, from, QR_OS_REFUSES, why);
    }
}

static void on_asked(qr_os_wire *wire, const qr_os_hello *hello)
{
    qr_os_peers *peers = wire->os->peers;
    char why[QR_OS_REFUSAL_MAX];
    if (has_objection(peers, hello, why, sizeof why)) {
        refuse(wire, hello->from, QR_OS_REFUSES, why);
        return;
    }
    qr_os_link *link = qr_os_link_find(peers, hello->from);
    if (link == NULL) {
        refuse_unknown(wire, hello->from);
        return;
    }
    uint8_t answer[QR_OS_HELLO_SIZE];
    qr_os_wire_hello(peers, hello->from, QR_OS_ACCEPTS, answer);
    if (!write_small(wire, answer, sizeof answer)) {
        qr_os_wire_close(wire);
        return;
    }
    no_longer_strange(wire);
    wire->link = link;
    wire->state = QR_OS_WIRE_UP;
    qr_os_link_accepted(link, wire, hello->incarnation);
}

static void on_answered(qr_os_wire *wire, const qr_os_hello *hello)
{
    qr_os_peers *peers = wire->os->peers;
    qr_os_link *link = wire->link;
    if (hello->answer == QR_OS_REFUSES) {
        wire->state = QR_OS_WIRE_REFUSED;
        return;
    }
    /* Only a member of our cluster may say that, and only about us. */
    if (hello->answer == QR_OS_REMOVED && hello->cluster == peers->cluster && hello->to == peers->self &&
        hello->from == link->id) {
        wire->state = QR_OS_WIRE_REMOVED;
        return;
    }
    char why[QR_OS_REFUSAL_MAX];
    bool objection = has_objection(peers, hello, why, sizeof why);
    if (!objection && hello->from != link->id) {
        snprintf(why, sizeof why, "member %" PRIx64 " answers at the address of member %" PRIx64, hello->from,
                 link->id);
        objection = true;
    }
    if (objection || hello->answer != QR_OS_ACCEPTS) {
        qr_os_link_refused(link, objection ? why : "the answer to our hello is none");
        wire_broken(wire, "the hello was not right");
        return;
    }
    wire->state = QR_OS_WIRE_UP;
    qr_os_link_greeted(link);
}

static void on_hello(qr_os_wire *wire, const uint8_t *bytes)
{
    qr_os_peers *peers = wire->os->peers;
    qr_os_hello hello;
    qr_status status = qr_os_hello_decode(bytes, &hello);
    if (status == QR_OK && !wire->dialed && hello.answer != QR_OS_ASKS && hello.answer != QR_OS_WHO)
        status = QR_E_INVALID;
    if (status != QR_OK) {
        if (qr_os_link_may_log(peers, wire->link, wire->dialed)) {
            char from[QR_OS_ADDRESS_TEXT];
            peer_name(wire, from, sizeof from);
            qr_log(wire->os, QR_LOG_WARN, "something that is no member of ours speaks on the peer port",
                   "from", from, NULL);
        }
        wire_broken(wire, "the bytes are not a hello");
    } else if (wire->dialed) {
        on_answered(wire, &hello);
    } else if (hello.answer == QR_OS_WHO) {
        tell_who(wire, &hello);
    } else {
        on_asked(wire, &hello);
    }
}

/* ---- reading ---- */

/* What a peer says is shown to people: nothing but printable ASCII of it. */
static void on_refusal(qr_os_wire *wire, qr_slice sentence)
{
    char text[QR_OS_REFUSAL_MAX + 1];
    size_t size = 0;
    for (; size < sentence.size && size < QR_OS_REFUSAL_MAX; size++)
        text[size] =
            sentence.data[size] >= ' ' && sentence.data[size] < 0x7F ? (char)sentence.data[size] : '?';
    text[size] = 0;
    if (wire->state == QR_OS_WIRE_REMOVED)
        qr_os_link_removed(wire->link, text);
    else
        qr_os_link_refused(wire->link, text);
    wire_broken(wire, "refused");
}

static void frame_is_bad(qr_os_wire *wire, qr_status status)
{
    const char *why = status == QR_E_TOO_LARGE ? "a frame is larger than allowed"
                      : status == QR_E_CORRUPT ? "the checksum of a frame is wrong"
                                               : "a frame is malformed";
    qr_log(wire->os, QR_LOG_ERROR, "a peer connection is damaged", "peer", wire->link->id_text, "sentence",
           why, NULL);
    wire_broken(wire, why);
}

/* Takes as much of bytes as makes sense by itself, and says how much that was. */
static size_t consume(qr_os_wire *wire, qr_slice bytes)
{
    size_t used = 0;
    while (wire->state != QR_OS_WIRE_CLOSED && used < bytes.size) {
        qr_slice rest = qr_slice_of(bytes.data + used, bytes.size - used);
        if (wire->state == QR_OS_WIRE_GREETING) {
            if (rest.size < QR_OS_HELLO_SIZE)
                break;
            used += QR_OS_HELLO_SIZE;
            on_hello(wire, rest.data);
            continue;
        }
        if (wire->state == QR_OS_WIRE_REFUSED && !wire->dialed)
            return bytes.size; /* only its end is awaited */
        if (wire->state == QR_OS_WIRE_UP && wire->dialed) {
            wire_broken(wire, "bytes where none belong");
            break;
        }
        bool refused = wire->state == QR_OS_WIRE_REFUSED || wire->state == QR_OS_WIRE_REMOVED;
        size_t payload_max = refused ? QR_OS_REFUSAL_MAX : QR_PEER_MESSAGE_MAX;
        qr_slice payload;
        size_t size;
        qr_status status = qr_os_frame_take(rest, payload_max, &payload, &size);
        if (status == QR_E_BUSY)
            break;
        if (status != QR_OK) {
            frame_is_bad(wire, status);
            break;
        }
        used += size;
        if (refused) {
            on_refusal(wire, payload);
        } else if (wire->os->handlers.on_message) {
            wire->link->received += payload.size;
            wire->os->handlers.on_message(wire->os->context, wire->link->id, payload, qr_os_now_ms(wire->os));
        }
    }
    return used;
}

/* .in grows by what has arrived, never by what a head announces. */
static void feed(qr_os_wire *wire, qr_slice bytes)
{
    if (wire->in.size == 0) {
        size_t used = consume(wire, bytes);
        if (wire->state != QR_OS_WIRE_CLOSED && used < bytes.size)
            qr_buffer_add(&wire->in, bytes.data + used, bytes.size - used);
        return;
    }
    qr_buffer_add_slice(&wire->in, bytes);
    size_t used = consume(wire, qr_buffer_slice(&wire->in));
    if (wire->state == QR_OS_WIRE_CLOSED)
        return;
    if (used == wire->in.size)
        qr_buffer_shrink(&wire->in, KEPT_ROOM);
    else if (used > 0)
        qr_buffer_drop(&wire->in, used);
}

static void on_alloc(uv_handle_t *handle, size_t size, uv_buf_t *buffer)
{
    qr_os_wire *wire = handle->data;
    qr_os_read_within(wire->os, &wire->intake, INTAKE_MAX, buffer);
}

static void on_read(uv_stream_t *tcp, ssize_t got, const uv_buf_t *buffer)
{
    qr_os_wire *wire = tcp->data;
    if (wire->state == QR_OS_WIRE_CLOSED || got == 0 || got == UV_ENOBUFS)
        return;
    wire->intake.bytes += got > 0 ? (size_t)got : 0;
    if (got < 0)
        wire_broken(wire, got == UV_EOF ? "the peer closed the connection" : uv_strerror((int)got));
    else
        feed(wire, qr_slice_of(buffer->base, (size_t)got));
    qr_os_happened(tcp->loop->data);
}

/* ---- dialing ---- */

static void on_connected(uv_connect_t *connect, int status)
{
    qr_os_wire *wire = QR_OS_CONTAINER(connect, qr_os_wire, connect);
    if (wire->state == QR_OS_WIRE_CLOSED)
        return;
    if (status != 0) {
        wire_broken(wire, uv_strerror(status));
        return;
    }
    qr_os_peers *peers = wire->os->peers;
    qr_os_tune_socket(&wire->tcp, KEEPALIVE_S, USER_TIMEOUT_MS);
    uint8_t hello[QR_OS_HELLO_SIZE];
    qr_os_wire_hello(peers, wire->link->id, QR_OS_ASKS, hello);
    wire->state = QR_OS_WIRE_GREETING;
    if (!write_small(wire, hello, sizeof hello) ||
        uv_read_start((uv_stream_t *)&wire->tcp, on_alloc, on_read) != 0) {
        wire_broken(wire, "the hello could not be sent");
        return;
    }
    qr_os_link_connected(wire->link);
}

qr_os_wire *qr_os_wire_dial(qr_os_link *link, const qr_os_address *address)
{
    qr_os_wire *wire = wire_new(link->os, link);
    if (uv_tcp_connect(&wire->connect, &wire->tcp, (const struct sockaddr *)&address->bytes, on_connected) ==
        0)
        return wire;
    qr_os_wire_close(wire);
    return NULL;
}

/* ---- accepting ---- */

static void on_patience(uv_timer_t *timer)
{
    qr_os_peers *peers = timer->data;
    uint64_t now_ms = qr_os_now_ms(peers->os);
    for (qr_os_ring *at = peers->strangers.next, *next; at != &peers->strangers; at = next) {
        next = at->next;
        qr_os_wire *wire = QR_OS_CONTAINER(at, qr_os_wire, strange);
        if (wire->deadline_ms <= now_ms)
            qr_os_wire_close(wire);
    }
}

static void on_nobody_closed(uv_handle_t *handle)
{
    qr_free(handle);
}

void qr_os_wire_accept(qr_os *os, uv_stream_t *listener, const qr_stream_door *door)
{
    qr_os_peers *peers = os->peers;
    if (peers == NULL) { /* not ready yet: the dialer will come back */
        uv_tcp_t *nobody = qr_alloc_zero(1, sizeof *nobody);
        uv_tcp_init(&os->loop, nobody);
        (void)uv_accept(listener, (uv_stream_t *)nobody);
        uv_close((uv_handle_t *)nobody, on_nobody_closed);
        return;
    }
    /* The oldest stranger makes room: somebody who only holds connections open cannot keep members out. */
    if (peers->stranger_count >= STRANGERS_MAX)
        qr_os_wire_close(QR_OS_CONTAINER(peers->strangers.next, qr_os_wire, strange));
    qr_os_wire *wire = wire_new(os, NULL);
    wire->deadline_ms = qr_os_now_ms(os) + peers->greet_ms;
    qr_os_ring_push(&peers->strangers, &wire->strange);
    if (peers->stranger_count++ == 0)
        uv_timer_start(&peers->patience, on_patience, STRANGER_CHECK_MS, STRANGER_CHECK_MS);
    if (uv_accept(listener, (uv_stream_t *)&wire->tcp) != 0 ||
        uv_read_start((uv_stream_t *)&wire->tcp, on_alloc, on_read) != 0) {
        qr_os_wire_close(wire);
        return;
    }
    qr_os_tune_socket(&wire->tcp, KEEPALIVE_S, USER_TIMEOUT_MS);
}

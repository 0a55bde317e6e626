/* What peers.c (links: who is up, who is dialed when) and wires.c (one TCP connection of a peer) share. */
#ifndef QR_OS_PEERS_H
#define QR_OS_PEERS_H

#include "os/frames.h"
#include "os/room.h"

typedef struct qr_os_link qr_os_link; /* to one other member */
typedef struct qr_os_wire qr_os_wire; /* one connection, dialed or accepted */

typedef enum qr_os_wire_state {
    QR_OS_WIRE_CONNECTING, /* dialed: TCP is not there yet */
    QR_OS_WIRE_GREETING,   /* dialed: the answer is awaited; accepted: the hello is */
    QR_OS_WIRE_UP,         /* dialed: frames go out; accepted: frames come in */
    QR_OS_WIRE_REFUSED,    /* dialed: the sentence is awaited; accepted: it is sent, the end is awaited */
    QR_OS_WIRE_REMOVED,    /* dialed: the same, and the peer says that we were removed */
    QR_OS_WIRE_CLOSED,
} qr_os_wire_state;

struct qr_os_wire {
    qr_os *os;
    qr_os_link *link; /* NULL: accepted and not greeted */
    uv_tcp_t tcp;
    uv_connect_t connect;
    uv_write_t write;
    bool dialed;
    bool flying; /* a uv_write of .flight is under way */
    qr_os_wire_state state;
    uint64_t deadline_ms; /* accepted: until greeted, or until the refused one ends */
    qr_os_intake intake;
    qr_buffer in; /* an incomplete frame or hello */
    qr_buffer flight;
    qr_os_ring all;     /* in peers.wires */
    qr_os_ring strange; /* in peers.strangers, while accepted and not greeted */
};

struct qr_os_link {
    qr_os *os;
    uint64_t id;
    char *host;
    uint16_t port;
    char text[QR_OS_ADDRESS_TEXT + 256]; /* "host:port", for the log */
    char id_text[20];
    bool up;
    bool is_new; /* not dialed yet */
    bool gone;   /* no peer any more; freed when its timer is closed and its resolver has answered */
    bool timer_closed;
    qr_os_wire *dialed, *accepted; /* NULL: none */
    uint64_t incarnation;          /* as last told; 0 = never */
    uint64_t pause_ms;             /* before the next dial */
    uv_timer_t timer;              /* pause, or patience with connecting and greeting */
    uv_getaddrinfo_t resolver;
    bool resolving;
    bool moved; /* to another address, while the old one was being looked up */
    qr_os_address addresses[QR_OS_ADDRESSES_MAX];
    size_t address_count, address_next;
    qr_buffer waiting;       /* frames of this turn and those that do not fit under way */
    bool dirty;              /* .waiting has news since the last write */
    uint64_t sent, received; /* bytes of messages */
    uint64_t logged_ms[2];   /* trouble in dialing, trouble in accepting; 0 = never */
};

struct qr_os_peers {
    qr_os *os;
    uint64_t cluster, group, self, incarnation;
    qr_os_link **links; /* owned, link_count of them */
    size_t link_count;
    size_t gone_count; /* links that are gone, but not freed yet */
    size_t queue_max;
    qr_os_ring wires, strangers;
    size_t stranger_count;
    uv_timer_t patience; /* with strangers; runs only while there are some */
    uint64_t greet_ms, connect_ms;
    uint64_t stranger_logged_ms;
    bool dirty; /* some link is */
};

/* peers.c */
qr_os_link *qr_os_link_find(qr_os_peers *peers, uint64_t id);
void qr_os_link_connected(qr_os_link *link); /* TCP is there; now the answer to our hello is awaited */
void qr_os_link_greeted(qr_os_link *link);   /* our dialed wire was accepted */
void qr_os_link_accepted(qr_os_link *link, qr_os_wire *wire, uint64_t incarnation);
void qr_os_link_lost(qr_os_link *link, qr_os_wire *wire,
                     const char *why); /* the wire broke or failed; it is closed here */
void qr_os_link_refused(qr_os_link *link, const char *sentence); /* the peer would not have us */
void qr_os_link_removed(qr_os_link *link, const char *sentence); /* nor will it ever again */
/* True once a minute for each of the two kinds of trouble of a link; link NULL: for strangers. */
bool qr_os_link_may_log(qr_os_peers *peers, qr_os_link *link, bool dialing);

/* wires.c */
qr_os_wire *qr_os_wire_dial(qr_os_link *link, const qr_os_address *address); /* NULL: failed at once */
void qr_os_wire_accept(qr_os *os, uv_stream_t *listener, const qr_stream_door *door);
void qr_os_wire_close(qr_os_wire *wire); /* frees itself later; tells nobody */
size_t qr_os_wire_unwritten(const qr_os_wire *wire);
/* Writes what the socket takes of bytes; the rest flies, and bytes is empty afterwards. Not OK: broken. */
qr_status qr_os_wire_send(qr_os_wire *wire, qr_buffer *bytes);
void qr_os_wire_hello(const qr_os_peers *peers, uint64_t to, qr_os_answer answer, uint8_t *bytes);

#endif

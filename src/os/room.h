/* What the files of this room share. Nobody else includes it (unit tests of the room do, to shorten
 * patience).
 *
 * libuv is fenced in here: uv_* appears in no header that leaves the room. Every uv handle's .data is the
 * object that contains it. */
#ifndef QR_OS_ROOM_H
#define QR_OS_ROOM_H

#include <netinet/in.h>
#include <stdarg.h>
#include <uv.h>

#include "os/os.h"

enum {
    QR_OS_READ_SIZE = 256 * 1024, /* bytes of the one buffer that every read goes through */
    QR_OS_LOG_OUTPUTS_MAX = 8,
    QR_OS_LOG_LINE_MAX = 4096,  /* bytes: what Linux writes to a pipe in one piece */
    QR_OS_LOG_VALUE_MAX = 1024, /* bytes of a value, escaped */
    QR_OS_ADDRESSES_MAX = 8,    /* of one host name */
    QR_OS_STOP_MS = 1000,       /* patience with unwritten bytes when stopping */
    QR_OS_TURN_LONG_US = 10000, /* CPU time of a turn that is worth a line of the log, and */
};
#define QR_OS_TURN_WINDOW_NS UINT64_C(5000000000) /* how long only a longer one is worth another */

/* ---- rings: circular lists that live inside their elements; an element alone points to itself ---- */
typedef struct qr_os_ring qr_os_ring;
struct qr_os_ring {
    qr_os_ring *prev, *next;
};

#define QR_OS_CONTAINER(pointer, type, field) ((type *)(void *)((char *)(pointer)-offsetof(type, field)))

static inline void qr_os_ring_init(qr_os_ring *ring)
{
    ring->prev = ring->next = ring;
}
static inline bool qr_os_ring_empty(const qr_os_ring *ring)
{
    return ring->next == ring;
}
static inline void qr_os_ring_push(qr_os_ring *ring, qr_os_ring *element)
{
    element->prev = ring->prev;
    element->next = ring;
    ring->prev->next = element;
    ring->prev = element;
}
static inline void qr_os_ring_remove(qr_os_ring *element)
{
    element->prev->next = element->next;
    element->next->prev = element->prev;
    qr_os_ring_init(element);
}
/* Moves every element of source to target, which must be empty. */
static inline void qr_os_ring_take(qr_os_ring *target, qr_os_ring *source)
{
    qr_os_ring_init(target);
    if (qr_os_ring_empty(source))
        return;
    *target = *source;
    target->next->prev = target;
    target->prev->next = target;
    qr_os_ring_init(source);
}

/* ---- the log sink ---- */
typedef struct qr_os_log {
    qr_log_level level;
    bool json;
    int outputs[QR_OS_LOG_OUTPUTS_MAX]; /* file descriptors */
    size_t output_count;
    qr_buffer line;
} qr_os_log;

/* ---- what a connection has brought since the last round ---- */
typedef struct qr_os_intake {
    uint64_t round;
    size_t bytes;
} qr_os_intake;

/* ---- client connections (streams.c) ---- */
typedef struct qr_os_streams {
    qr_os_ring all;   /* qr_os_connection.all */
    qr_os_ring woken; /* qr_os_connection.woken: to be drained after the turn */
    size_t count;
    qr_buffer scratch; /* drained bytes on their way to the socket */
    uv_timer_t timer;  /* one for all connections: the nearest wake_ms or deadline */
    uint64_t armed_ms; /* UINT64_MAX = not armed */
    uint64_t swept_ms;
    uint64_t patience_ms; /* with a connection whose unwritten bytes do not move */
    uint64_t linger_ms;   /* with a client that ended its half, or does not end it after we did */
} qr_os_streams;

typedef struct qr_os_listener qr_os_listener;
typedef struct qr_os_disk qr_os_disk;
typedef struct qr_os_peers qr_os_peers;

typedef struct qr_os_program qr_os_program;

struct qr_os {
    qr_os_handlers handlers;
    void *context;
    uv_loop_t loop;
    uv_prepare_t prepare; /* before poll */
    uv_check_t check;     /* after poll: the round */
    uv_idle_t idle;       /* active while something waits for a round, so that poll does not block */
    uv_timer_t wake;      /* handlers.wake_ms */
    uv_timer_t stopper;   /* only while stopping */
    uv_signal_t signals[3];
    bool happened;          /* a round is due */
    uint64_t round;         /* counts them */
    bool stopping;          /* no new connections; what is queued is being written */
    bool closing;           /* connections are closed; the disk is being waited for */
    uint64_t wake_armed_ms; /* UINT64_MAX = not armed */
    uint64_t stop_ms;       /* when patience with unwritten bytes ends */
    uint8_t *read_bytes;    /* QR_OS_READ_SIZE; owned */
    qr_histogram turns;     /* how long the rounds took */
    qr_histogram turn_cpu;  /* CPU time of the loop thread from the end of one to that of the next */
    struct {
        uint64_t cpu_us;     /* of the thread at the end of the last one */
        uint64_t window_ns;  /* when the present window began */
        uint64_t longest_us; /* in it; a longer one is logged */
    } turn;
    qr_os_log log;
    qr_os_streams streams;
    qr_os_listener *listeners; /* list; owned */
    qr_os_disk *disks;         /* list; owned */
    qr_os_peers *peers;        /* NULL before qr_os_peers_start; owned */
    qr_os_program *program;    /* NULL: none runs; frees itself */
};

/* spawn.c */
void qr_os_program_close(qr_os *os); /* kills it; nobody is told */

/* loop.c */
void qr_os_happened(qr_os *os); /* a round is due */
void qr_os_read_alloc(uv_handle_t *handle, size_t size, uv_buf_t *buffer);
/* The buffer for a connection that may bring at most so many bytes between two rounds: else a round after a
 * stall would be as long as all sockets are full. Has it brought them, the buffer is none: libuv reports
 * UV_ENOBUFS, and the connection is read on after a round. Each has a share of its own, so none starves
 * another. The reader adds to the intake what it gets. */
void qr_os_read_within(qr_os *os, qr_os_intake *intake, size_t limit, uv_buf_t *buffer);
void qr_os_tune_socket(uv_tcp_t *tcp, unsigned keepalive_s, unsigned user_timeout_ms);

/* listen.c */
typedef void (*qr_os_accept)(qr_os *os, uv_stream_t *listener, const qr_stream_door *door);
qr_status qr_os_listen_on(qr_os *os, const char *host, uint16_t port, qr_os_accept accept,
                          const qr_stream_door *door, qr_arena *arena, const char **sentence);
void qr_os_listeners_close(qr_os *os);

/* streams.c */
void qr_os_streams_init(qr_os *os);
void qr_os_streams_flush(qr_os *os);                     /* drains what asked to be woken */
bool qr_os_streams_are_few(const qr_os *os, size_t max); /* woken ones: at most so many */
void qr_os_streams_stop(qr_os *os);  /* no more reading; each connection closes once it is drained */
void qr_os_streams_close(qr_os *os); /* at once */
void qr_os_streams_free(qr_os *os);  /* after the handles are gone */

/* disk.c */
bool qr_os_disks_idle(const qr_os *os);
void qr_os_disks_count(const qr_os *os, qr_os_process *process); /* adds up what they have counted */
void qr_os_disks_wake(qr_os *os);  /* for what was submitted; else it is done before the loop waits */
void qr_os_disks_close(qr_os *os); /* ends the threads; handles are closing when it returns */
void qr_os_disks_free(qr_os *os);

/* disk_log.c: a line of level debug for an operation; by the loop thread only */
void qr_os_disk_log_submitted(qr_os *os, const qr_disk_op *op); /* before the disk thread sees it */
void qr_os_disk_log_done(qr_os *os, const qr_disk_op *op);      /* before its owner is told */
void qr_os_disk_log_run(qr_os *os, const qr_disk_op *op);       /* synchronously */

/* peers.c */
void qr_os_peers_flush(qr_os *os);
void qr_os_peers_count(const qr_os *os, qr_os_process *process);
bool qr_os_peers_written(const qr_os *os);
void qr_os_peers_close(qr_os *os); /* every connection, at once */
void qr_os_peers_end(qr_os *os);   /* the timers too; handles are closing when it returns */
void qr_os_peers_free(qr_os *os);

/* signals.c */
void qr_os_signals_init(qr_os *os);
void qr_os_signals_start(qr_os *os);
void qr_os_signals_close(qr_os *os);

/* log.c */
void qr_os_log_init(qr_os_log *log);
void qr_os_log_close(qr_os_log *log);

/* log_line.c: fields as for qr_log; the line replaces what was in the buffer */
void qr_os_log_line(qr_buffer *line, bool json, qr_log_level level, int64_t wall_ms, const char *message,
                    va_list fields);

/* address.c */
typedef struct qr_os_address {
    struct sockaddr_storage bytes;
} qr_os_address;
/* A literal address, or "localhost" as both loopbacks; false: a name that must be asked for. */
bool qr_os_address_literal(const char *host, uint16_t port, qr_os_address *list, size_t *count);
/* The same, and names through the resolver of the system, which blocks. NOT_FOUND with a sentence. */
qr_status qr_os_address_resolve(const char *host, uint16_t port, qr_os_address *list, size_t *count,
                                qr_arena *arena, const char **sentence);
/* From what the resolver answered; at most QR_OS_ADDRESSES_MAX. */
size_t qr_os_address_list(const struct addrinfo *found, uint16_t port, qr_os_address *list);
void qr_os_address_text(const struct sockaddr *address, char *text,
                        size_t size); /* "127.0.0.1:4711", "[::1]:4711" */
enum { QR_OS_ADDRESS_TEXT = INET6_ADDRSTRLEN + 16 };

#endif

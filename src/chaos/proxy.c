/* The proxy between members: every connection to a member's announced peer address comes here first.
 *
 * The hello at the beginning of a connection tells who dials; then it is a link from one place to another,
 * and the page says whether its bytes are withheld or late. What goes the other way on the same connection
 * (the answer to the hello) is on the link back, as with packets. A cut keeps what it withholds, as TCP
 * would; a reset ends the connection. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "chaos/inside.h"
#include "os/frames.h"

enum {
    WIRES_MAX = 256,
    READ_SIZE = 64 * 1024,
    HELD_MAX = 1 << 20, /* bytes of one direction; then the sender waits */
    NOBODY = SLOTS_MAX, /* dialed by somebody whose place is not known: never cut */
};

typedef struct piece piece;
struct piece {
    piece *next;
    uint64_t due_us;
    size_t size, sent;
    uint8_t bytes[];
};

typedef struct direction {
    piece *first, *last;
    size_t held; /* bytes */
    bool ended;  /* no more will come */
} direction;

typedef struct wire {
    int ends[2]; /* the dialer's and the dialed one's socket; -1: not yet */
    uint32_t to;
    uint64_t from;     /* member id */
    bool greeted;      /* the hello was read */
    direction ways[2]; /* by the end that the bytes come from */
} wire;

typedef struct proxy {
    qr_chaos *c;
    wire *wires[WIRES_MAX];
    size_t count;
    uint32_t resets; /* that were carried out */
    uint8_t bytes[READ_SIZE];
} proxy;

/* ------------------------------------------------------------------------- links ---- */

static uint32_t place_of(const proxy *p, uint64_t id)
{
    for (uint32_t i = 0; i < SLOTS_MAX && id != 0; i++)
        if (atomic_load(&p->c->page->ids[i]) == id)
            return i;
    return NOBODY;
}

/* From and to whom the bytes go that come in at that end. */
static bool is_cut(const proxy *p, const wire *w, int end)
{
    uint32_t from = place_of(p, w->from), to = w->to;
    if (from == NOBODY)
        return false;
    return end == 0 ? atomic_load(&p->c->page->cut[from][to]) : atomic_load(&p->c->page->cut[to][from]);
}

static uint64_t delay_us(const proxy *p, const wire *w, int end)
{
    uint32_t from = place_of(p, w->from), to = w->to;
    if (from == NOBODY)
        return 0;
    return 1000ULL * (end == 0 ? atomic_load(&p->c->page->delay_ms[from][to])
                               : atomic_load(&p->c->page->delay_ms[to][from]));
}

/* ------------------------------------------------------------------------- wires ---- */

static void free_direction(direction *way)
{
    for (piece *one = way->first, *next; one != NULL; one = next) {
        next = one->next;
        qr_free(one);
    }
}

static void drop(proxy *p, size_t at)
{
    wire *w = p->wires[at];
    for (int end = 0; end < 2; end++) {
        if (w->ends[end] >= 0)
            close(w->ends[end]);
        free_direction(&w->ways[end]);
    }
    qr_free(w);
    p->wires[at] = p->wires[--p->count];
}

static void accept_wire(proxy *p, uint32_t to)
{
    int made = accept4(p->c->slots[to].proxy, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), on = 1;
    if (made < 0)
        return;
    if (p->count == WIRES_MAX) {
        close(made);
        return;
    }
    setsockopt(made, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    wire *w = qr_alloc_zero(1, sizeof *w);
    *w = (wire){.ends = {made, -1}, .to = to};
    p->wires[p->count++] = w;
}

/* Goes on to the member; whether it is there, the first write tells. */
static bool dial(const proxy *p, wire *w)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(p->c->slots[w->to].peer_port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int on = 1;
    w->ends[1] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (w->ends[1] < 0)
        return false;
    setsockopt(w->ends[1], IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return connect(w->ends[1], (const struct sockaddr *)&address, sizeof address) == 0 ||
           errno == EINPROGRESS;
}

static void hold(const proxy *p, wire *w, int end, const uint8_t *bytes, size_t size)
{
    direction *way = &w->ways[end];
    piece *one = qr_alloc(sizeof *one + size);
    *one = (piece){.due_us = qr_chaos_now_us() + delay_us(p, w, end), .size = size};
    memcpy(one->bytes, bytes, size);
    if (way->last != NULL)
        way->last->next = one;
    else
        way->first = one;
    way->last = one;
    way->held += size;
}

/* False: it is no member's hello. */
static bool greet(const proxy *p, wire *w)
{
    uint8_t bytes[QR_OS_HELLO_SIZE];
    qr_os_hello hello;
    ssize_t seen = recv(w->ends[0], bytes, sizeof bytes, MSG_PEEK);
    if (seen < 0)
        return errno == EAGAIN || errno == EINTR;
    if (seen < (ssize_t)sizeof bytes)
        return seen > 0;
    if (qr_os_hello_decode(bytes, &hello) != QR_OK)
        return false;
    w->from = hello.from;
    w->greeted = true;
    return dial(p, w);
}

static bool read_end(proxy *p, wire *w, int end)
{
    if (!w->greeted)
        return greet(p, w);
    ssize_t got = recv(w->ends[end], p->bytes, sizeof p->bytes, 0);
    if (got > 0)
        hold(p, w, end, p->bytes, (size_t)got);
    else if (got == 0)
        w->ways[end].ended = true;
    else if (errno != EAGAIN && errno != EINTR)
        return false;
    return true;
}

static bool write_end(wire *w, int end)
{
    direction *way = &w->ways[!end];
    piece *one = way->first;
    ssize_t sent = send(w->ends[end], one->bytes + one->sent, one->size - one->sent, MSG_NOSIGNAL);
    if (sent < 0)
        return errno == EAGAIN || errno == EINTR;
    one->sent += (size_t)sent;
    if (one->sent < one->size)
        return true;
    way->first = one->next;
    way->last = one->next != NULL ? way->last : NULL;
    way->held -= one->size;
    qr_free(one);
    return true;
}

/* An end that has said its last word takes the connection along, once that has arrived. */
static bool is_over(const proxy *p, const wire *w)
{
    for (int end = 0; end < 2; end++)
        if (w->ways[end].ended && w->ways[end].first == NULL && !is_cut(p, w, end))
            return true;
    return false;
}

/* -------------------------------------------------------------------------- loop ---- */

/* What is to be waited for at that end, and until when. */
static struct pollfd look(const proxy *p, const wire *w, int end, uint64_t now_us, uint64_t *wake_us)
{
    struct pollfd file = {.fd = w->ends[end]};
    const piece *next = w->ways[!end].first;
    if (!w->ways[end].ended && w->ways[end].held < HELD_MAX)
        file.events |= POLLIN;
    if (next != NULL && !is_cut(p, w, !end)) {
        if (next->due_us <= now_us)
            file.events |= POLLOUT;
        else if (next->due_us < *wake_us)
            *wake_us = next->due_us;
    }
    if (file.events == 0)
        file.fd = -1; /* a broken one would not let us sleep */
    return file;
}

static void reset_cut_wires(proxy *p)
{
    uint32_t wanted = atomic_load(&p->c->page->resets);
    for (size_t i = p->count; i-- > 0 && wanted != p->resets;)
        if (is_cut(p, p->wires[i], 0) || is_cut(p, p->wires[i], 1))
            drop(p, i);
    p->resets = wanted;
}

static bool serve(proxy *p, wire *w, const struct pollfd *files)
{
    for (int end = 0; end < 2; end++) {
        if (files[end].fd >= 0 && (files[end].revents & POLLOUT) && !write_end(w, end))
            return false;
        if (files[end].fd >= 0 && (files[end].revents & ~POLLOUT) && !read_end(p, w, end))
            return false;
    }
    return !is_over(p, w);
}

static void turn(proxy *p)
{
    struct pollfd files[1 + SLOTS_MAX + 2 * WIRES_MAX];
    uint64_t now_us = qr_chaos_now_us(), wake_us = UINT64_MAX, knocks;
    size_t count = p->count, slots = p->c->slot_count;
    files[0] = (struct pollfd){.fd = p->c->knock, .events = POLLIN};
    for (size_t i = 0; i < slots; i++)
        files[1 + i] = (struct pollfd){.fd = p->c->slots[i].proxy, .events = POLLIN};
    for (size_t i = 0; i < count; i++)
        for (int end = 0; end < 2; end++)
            files[1 + slots + 2 * i + (size_t)end] = look(p, p->wires[i], end, now_us, &wake_us);
    int patience_ms = wake_us == UINT64_MAX ? -1 : (int)((wake_us - now_us) / 1000) + 1;
    if (poll(files, 1 + slots + 2 * count, patience_ms) < 0)
        return;
    if (files[0].revents != 0)
        (void)!read(p->c->knock, &knocks, sizeof knocks);
    for (size_t i = count; i-- > 0;)
        if (!serve(p, p->wires[i], &files[1 + slots + 2 * i]))
            drop(p, i);
    for (uint32_t i = 0; i < slots; i++)
        if (files[1 + i].revents != 0)
            accept_wire(p, i);
    reset_cut_wires(p);
}

void qr_chaos_proxy(qr_chaos *c, uint32_t number)
{
    (void)number;
    proxy *p = qr_alloc_zero(1, sizeof *p);
    p->c = c;
    for (;;)
        turn(p);
}

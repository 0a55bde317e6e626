/* A blocking TCP connection for the command line client. */
#include "os/dial.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "os/room.h"

enum { RECEIVE_SIZE = 64 * 1024 };

struct qr_dial {
    int socket;
    uint64_t timeout_ms;
};

static uint64_t now_ms(void)
{
    return uv_hrtime() / 1000000;
}

/* Waits until one of the files is ready; false: not before deadline_ms. */
static bool wait_until(struct pollfd *files, nfds_t count, uint64_t deadline_ms)
{
    for (;;) {
        uint64_t now = now_ms();
        uint64_t left = deadline_ms > now ? deadline_ms - now : 0;
        int ready = poll(files, count, left > 60000 ? 60000 : (int)left);
        if (ready > 0)
            return true;
        if (ready < 0 && errno != EINTR)
            return false;
        if (left == 0)
            return false;
    }
}

static bool wait_socket(int socket, short events, uint64_t deadline_ms)
{
    struct pollfd file = {.fd = socket, .events = events};
    return wait_until(&file, 1, deadline_ms);
}

/* A connected socket, or -1 and errno. */
static int connect_one(const qr_os_address *address, uint64_t deadline_ms)
{
    const struct sockaddr *to = (const struct sockaddr *)&address->bytes;
    socklen_t size = to->sa_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
    int made = socket(to->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (made < 0)
        return -1;
    int error = 0;
    if (connect(made, to, size) != 0) {
        error = errno;
        if (error == EINPROGRESS) {
            socklen_t error_size = sizeof error;
            if (!wait_socket(made, POLLOUT, deadline_ms))
                error = ETIMEDOUT;
            else if (getsockopt(made, SOL_SOCKET, SO_ERROR, &error, &error_size) != 0)
                error = errno;
        }
    }
    if (error != 0) {
        close(made);
        errno = error;
        return -1;
    }
    int on = 1;
    setsockopt(made, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return made;
}

qr_dial *qr_dial_open(const char *endpoint, uint64_t timeout_ms, qr_arena *arena, const char **sentence)
{
    const char *url = strstr(endpoint, "://") ? endpoint : qr_arena_format(arena, "http://%s", endpoint);
    const char *host;
    uint16_t port;
    qr_os_address list[QR_OS_ADDRESSES_MAX];
    size_t count = 0;
    if (qr_os_parse_url(url, arena, &host, &port, sentence) != QR_OK ||
        qr_os_address_resolve(host, port, list, &count, arena, sentence) != QR_OK)
        return NULL;
    uint64_t deadline_ms = now_ms() + timeout_ms;
    int error = 0;
    for (size_t i = 0; i < count; i++) {
        int made = connect_one(&list[i], deadline_ms);
        if (made >= 0) {
            qr_dial *dial = qr_alloc_zero(1, sizeof *dial);
            dial->socket = made;
            dial->timeout_ms = timeout_ms;
            return dial;
        }
        if (error == 0)
            error = errno;
    }
    *sentence = qr_arena_format(arena, "cannot connect to %s: %s", endpoint, strerror(error));
    return NULL;
}

qr_status qr_dial_send(qr_dial *dial, qr_slice bytes)
{
    uint64_t deadline_ms = now_ms() + dial->timeout_ms;
    while (bytes.size > 0) {
        ssize_t sent = send(dial->socket, bytes.data, bytes.size, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0 && errno != EAGAIN)
            return QR_E_IO;
        if (sent < 0) {
            if (!wait_socket(dial->socket, POLLOUT, deadline_ms))
                return QR_E_TIMEOUT;
            continue;
        }
        bytes = qr_slice_of(bytes.data + sent, bytes.size - (size_t)sent);
    }
    return QR_OK;
}

qr_status qr_dial_receive(qr_dial *dial, qr_buffer *into, uint64_t timeout_ms)
{
    uint64_t deadline_ms = now_ms() + timeout_ms;
    uint8_t *at = qr_buffer_reserve(into, RECEIVE_SIZE);
    for (;;) {
        ssize_t got = recv(dial->socket, at, RECEIVE_SIZE, 0);
        if (got > 0) {
            into->size += (size_t)got;
            return QR_OK;
        }
        if (got == 0 || (errno != EAGAIN && errno != EINTR))
            return QR_E_IO;
        if (errno == EAGAIN && !wait_socket(dial->socket, POLLIN, deadline_ms))
            return QR_E_TIMEOUT;
    }
}

qr_status qr_dial_wait(qr_dial *dial, int also, uint64_t timeout_ms)
{
    struct pollfd files[2] = {{.fd = dial->socket, .events = POLLIN}, {.fd = also, .events = POLLIN}};
    uint64_t now = now_ms();
    uint64_t deadline_ms = timeout_ms > UINT64_MAX - now ? UINT64_MAX : now + timeout_ms;
    return wait_until(files, 2, deadline_ms) ? QR_OK : QR_E_TIMEOUT;
}

void qr_dial_close(qr_dial *dial)
{
    if (dial == NULL)
        return;
    close(dial->socket);
    qr_free(dial);
}

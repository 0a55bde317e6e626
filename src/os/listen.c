/* Listeners, for clients and for peers alike. */
#include <stdio.h>
#include <string.h>

#include "os/room.h"

enum { BACKLOG = 1024 };

struct qr_os_listener {
    qr_os *os;
    uv_tcp_t tcp;
    qr_os_accept accept;
    qr_stream_door door;
    qr_os_listener *next;
};

static void on_connection(uv_stream_t *stream, int status)
{
    qr_os_listener *listener = stream->data;
    if (status == 0 && !listener->os->stopping)
        listener->accept(listener->os, stream, &listener->door);
}

static void on_closed(uv_handle_t *handle)
{
    qr_free(handle->data);
}

void qr_os_listeners_close(qr_os *os)
{
    for (qr_os_listener *listener = os->listeners, *next; listener != NULL; listener = next) {
        next = listener->next;
        uv_close((uv_handle_t *)&listener->tcp, on_closed);
    }
    os->listeners = NULL;
}

static bool is_any_v6(const qr_os_address *address)
{
    return IN6_IS_ADDR_UNSPECIFIED(&((const struct sockaddr_in6 *)&address->bytes)->sin6_addr);
}

static int listen_one(qr_os *os, const qr_os_address *address, qr_os_accept accept,
                      const qr_stream_door *door)
{
    qr_os_listener *listener = qr_alloc_zero(1, sizeof *listener);
    listener->os = os;
    listener->accept = accept;
    if (door != NULL)
        listener->door = *door;
    int failed = uv_tcp_init(&os->loop, &listener->tcp);
    QR_ASSERT(failed == 0);
    listener->tcp.data = listener;
    /* "::" alone serves IPv4 too, as Go's servers do; every other IPv6 address stays apart from its IPv4
     * twin. */
    unsigned flags = address->bytes.ss_family == AF_INET6 && !is_any_v6(address) ? UV_TCP_IPV6ONLY : 0;
    failed = uv_tcp_bind(&listener->tcp, (const struct sockaddr *)&address->bytes, flags);
    if (failed == 0)
        failed = uv_listen((uv_stream_t *)&listener->tcp, BACKLOG, on_connection);
    if (failed != 0) {
        uv_close((uv_handle_t *)&listener->tcp, on_closed);
        return failed;
    }
    listener->next = os->listeners;
    os->listeners = listener;
    return 0;
}

static qr_status explain(int failed, const qr_os_address *address, uint16_t port, qr_arena *arena,
                         const char **sentence)
{
    char text[QR_OS_ADDRESS_TEXT];
    qr_os_address_text((const struct sockaddr *)&address->bytes, text, sizeof text);
    char *colon = strrchr(text, ':');
    if (colon != NULL)
        *colon = 0;
    if (failed == UV_EADDRINUSE) {
        *sentence = qr_arena_format(
            arena, "port %u on %s is taken by another program (address already in use)", port, text);
        return QR_E_EXISTS;
    }
    if (failed == UV_EADDRNOTAVAIL) {
        *sentence = qr_arena_format(arena, "%s is not an address of this machine", text);
        return QR_E_NOT_FOUND;
    }
    if (failed == UV_EACCES) {
        *sentence = qr_arena_format(arena, "port %u on %s may not be used by this user", port, text);
        return QR_E_PERMISSION;
    }
    *sentence = qr_arena_format(arena, "cannot listen on port %u of %s: %s", port, text, uv_strerror(failed));
    return QR_E_IO;
}

qr_status qr_os_listen_on(qr_os *os, const char *host, uint16_t port, qr_os_accept accept,
                          const qr_stream_door *door, qr_arena *arena, const char **sentence)
{
    qr_os_address list[QR_OS_ADDRESSES_MAX];
    size_t count = 0;
    qr_status status = qr_os_address_resolve(host, port, list, &count, arena, sentence);
    if (status != QR_OK)
        return status;
    size_t open = 0;
    int failed_last = 0;
    size_t failed_at = 0;
    for (size_t i = 0; i < count; i++) {
        int failed = listen_one(os, &list[i], accept, door);
        if (failed == 0) {
            open++;
            continue;
        }
        failed_last = failed;
        failed_at = i;
        /* A machine without IPv6 still has a localhost, and a name may carry addresses of other machines. */
        if (failed != UV_EADDRNOTAVAIL && failed != UV_EAFNOSUPPORT)
            break;
        failed_last = open > 0 || i + 1 < count ? 0 : failed;
    }
    if (failed_last == 0 && open > 0)
        return QR_OK;
    return explain(failed_last, &list[failed_at], port, arena, sentence);
}

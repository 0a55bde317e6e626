/* Addresses: URLs, literal addresses, names. */
#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "os/room.h"

static qr_status refuse(qr_status status, qr_arena *arena, const char **sentence, const char *url,
                        const char *why)
{
    *sentence = qr_arena_format(arena, "\"%s\" %s", url, why);
    return status;
}

static bool parse_port(const char *text, uint16_t *port)
{
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 5 || text[digits] != 0)
        return false;
    unsigned long value = strtoul(text, NULL, 10);
    if (value == 0 || value > UINT16_MAX)
        return false;
    *port = (uint16_t)value;
    return true;
}

qr_status qr_os_parse_url(const char *url, qr_arena *arena, const char **host, uint16_t *port,
                          const char **sentence)
{
    if (strncmp(url, "https://", 8) == 0)
        return refuse(QR_E_UNSUPPORTED, arena, sentence, url, "asks for TLS, which is not supported yet");
    if (strncmp(url, "unix://", 7) == 0 || strncmp(url, "unixs://", 8) == 0)
        return refuse(QR_E_UNSUPPORTED, arena, sentence, url, "is a unix socket, which is not supported");
    if (strncmp(url, "http://", 7) != 0)
        return refuse(QR_E_INVALID, arena, sentence, url, "is not a URL of the form http://host:port");
    char *rest = qr_arena_format(arena, "%s", url + 7);
    char *slash = strchr(rest, '/');
    if (slash != NULL && slash[1] != 0)
        return refuse(QR_E_INVALID, arena, sentence, url, "must not contain a path");
    if (slash != NULL)
        *slash = 0;
    if (strpbrk(rest, "@?# \t") != NULL)
        return refuse(QR_E_INVALID, arena, sentence, url,
                      "must be of the form http://host:port and nothing more");
    char *colon;
    if (rest[0] == '[') {
        char *end = strchr(rest, ']');
        if (end == NULL)
            return refuse(QR_E_INVALID, arena, sentence, url, "lacks a closing ']'");
        *end = 0;
        *host = rest + 1;
        colon = end + 1;
    } else {
        *host = rest;
        colon = strchr(rest, ':');
        if (colon != NULL && strchr(colon + 1, ':') != NULL)
            return refuse(QR_E_INVALID, arena, sentence, url,
                          "has more than one ':'; write IPv6 addresses in [ ]");
    }
    if (colon == NULL || *colon != ':')
        return refuse(QR_E_INVALID, arena, sentence, url, "lacks a port");
    if (!parse_port(colon + 1, port))
        return refuse(QR_E_INVALID, arena, sentence, url, "has a port that is not a number from 1 to 65535");
    *colon = 0;
    if (**host == 0)
        return refuse(QR_E_INVALID, arena, sentence, url, "lacks a host");
    return QR_OK;
}

static bool literal_one(const char *host, uint16_t port, qr_os_address *address)
{
    memset(address, 0, sizeof *address);
    return uv_ip4_addr(host, port, (struct sockaddr_in *)&address->bytes) == 0 ||
           uv_ip6_addr(host, port, (struct sockaddr_in6 *)&address->bytes) == 0;
}

bool qr_os_address_literal(const char *host, uint16_t port, qr_os_address *list, size_t *count)
{
    *count = 0;
    if (strcasecmp(host, "localhost") == 0) {
        bool both = literal_one("127.0.0.1", port, &list[0]) && literal_one("::1", port, &list[1]);
        QR_ASSERT(both);
        *count = 2;
        return true;
    }
    if (!literal_one(host, port, &list[0]))
        return false;
    *count = 1;
    return true;
}

size_t qr_os_address_list(const struct addrinfo *found, uint16_t port, qr_os_address *list)
{
    size_t count = 0;
    for (const struct addrinfo *at = found; at != NULL && count < QR_OS_ADDRESSES_MAX; at = at->ai_next) {
        if (at->ai_family != AF_INET && at->ai_family != AF_INET6)
            continue;
        QR_ASSERT(at->ai_addrlen <= sizeof list->bytes);
        qr_os_address *address = &list[count++];
        memset(address, 0, sizeof *address);
        memcpy(&address->bytes, at->ai_addr, at->ai_addrlen);
        if (at->ai_family == AF_INET)
            ((struct sockaddr_in *)&address->bytes)->sin_port = htons(port);
        else
            ((struct sockaddr_in6 *)&address->bytes)->sin6_port = htons(port);
    }
    return count;
}

qr_status qr_os_address_resolve(const char *host, uint16_t port, qr_os_address *list, size_t *count,
                                qr_arena *arena, const char **sentence)
{
    if (qr_os_address_literal(host, port, list, count))
        return QR_OK;
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    int failed = getaddrinfo(host, NULL, &hints, &found);
    if (failed != 0) {
        *sentence = qr_arena_format(arena, "the name %s is not known: %s", host, gai_strerror(failed));
        return QR_E_NOT_FOUND;
    }
    *count = qr_os_address_list(found, port, list);
    freeaddrinfo(found);
    if (*count == 0) {
        *sentence = qr_arena_format(arena, "the name %s has no IP address", host);
        return QR_E_NOT_FOUND;
    }
    return QR_OK;
}

void qr_os_address_text(const struct sockaddr *address, char *text, size_t size)
{
    char ip[INET6_ADDRSTRLEN] = "?";
    if (address->sa_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)address;
        uv_ip4_name(v4, ip, sizeof ip);
        snprintf(text, size, "%s:%u", ip, ntohs(v4->sin_port));
    } else if (address->sa_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)address;
        uv_ip6_name(v6, ip, sizeof ip);
        snprintf(text, size, "[%s]:%u", ip, ntohs(v6->sin6_port));
    } else {
        snprintf(text, size, "?");
    }
}

#include "door/zookeeper/conf.h"

#include <stddef.h>
#include <stdlib.h>

#include "door/zookeeper/properties.h"

enum { TICK_MS = 3000, CONNECTIONS_MAX = 60, ADMIN_PORT = 8080 };

/* What is wrong with a value, or NULL; sentences stand behind the name of the setting. */
typedef const char *complaint;

qr_zookeeper_conf qr_zookeeper_conf_usual(void)
{
    return (qr_zookeeper_conf){
        .tick_ms = TICK_MS, .connections_max = CONNECTIONS_MAX, .admin = true, .admin_port = ADMIN_PORT};
}

/* ---- values ---- */

static bool take_number(const char *text, uint32_t least, uint32_t most, uint32_t *number)
{
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 10 || text[digits] != 0)
        return false;
    uint64_t value = strtoull(text, NULL, 10);
    if (value < least || value > most)
        return false;
    *number = (uint32_t)value;
    return true;
}

static bool take_port(const char *text, uint16_t *port)
{
    uint32_t number;
    if (!take_number(text, 1, UINT16_MAX, &number))
        return false;
    *port = (uint16_t)number;
    return true;
}

/* As Java reads the number of a system property: 0x begins a hexadecimal one. */
static bool take_property_number(const char *text, uint64_t *number)
{
    bool hex = strncmp(text, "0x", 2) == 0 || strncmp(text, "0X", 2) == 0;
    size_t digits = strspn(text += hex ? 2 : 0, hex ? "0123456789abcdefABCDEF" : "0123456789");
    if (digits == 0 || digits > 10 || text[digits] != 0)
        return false;
    *number = strtoull(text, NULL, hex ? 16 : 10);
    return true;
}

static bool is_word(const char *text, const char *word)
{
    for (; *text != 0 && *word != 0; text++, word++)
        if ((*text | 0x20) != *word)
            return false;
    return *text == *word;
}

/* ---- servers ---- */

/* Up to the next colon, or what [ ] enclose; NULL: there is nothing, or a bracket has no end. */
static char *take_part(char **rest)
{
    char *part = *rest;
    if (part == NULL || *part == 0)
        return NULL;
    if (*part == '[') {
        char *end = strchr(part, ']');
        if (end == NULL || (end[1] != 0 && end[1] != ':') || end == part + 1)
            return NULL;
        *rest = end[1] == ':' ? end + 2 : NULL;
        *end = 0;
        return part + 1;
    }
    char *colon = strchr(part, ':');
    *rest = colon != NULL ? colon + 1 : NULL;
    if (colon != NULL)
        *colon = 0;
    return *part != 0 ? part : NULL;
}

/* What stands behind the semicolon: [host:]port. */
static bool take_client(char *text, qr_zookeeper_server *server)
{
    char *first = take_part(&text);
    if (first == NULL)
        return false;
    if (text == NULL)
        return take_port(first, &server->client_port);
    server->client_host = first;
    return take_port(text, &server->client_port);
}

const char *qr_zookeeper_server_read(const char *value, qr_arena *arena, qr_zookeeper_server *server)
{
    *server = (qr_zookeeper_server){.id = 0};
    static const char form[] = "is not of the form host:port:port[:role][;[host:]port]";
    char *rest = qr_arena_format(arena, "%s", value);
    char *client = strchr(rest, ';');
    if (client != NULL)
        *client++ = 0;
    if (strchr(rest, '|') != NULL)
        return "has several addresses of one server; a member has one here";
    server->host = take_part(&rest);
    const char *peer = take_part(&rest), *election = take_part(&rest), *role = take_part(&rest);
    if (server->host == NULL || peer == NULL || election == NULL || rest != NULL ||
        !take_port(peer, &server->peer_port) || !take_port(election, &server->election_port))
        return form;
    server->observer = role != NULL && is_word(role, "observer");
    if (role != NULL && !server->observer && !is_word(role, "participant"))
        return "has a role that is neither participant nor observer";
    return client == NULL || take_client(client, server) ? NULL : form;
}

static const char *bracketed(const char *host, qr_arena *arena)
{
    return strchr(host, ':') != NULL ? qr_arena_format(arena, "[%s]", host) : host;
}

const char *qr_zookeeper_server_text(const qr_zookeeper_server *server, qr_arena *arena)
{
    const char *text =
        qr_arena_format(arena, "%s:%u:%u:%s", bracketed(server->host, arena), server->peer_port,
                        server->election_port, server->observer ? "observer" : "participant");
    if (server->client_port == 0)
        return text;
    return qr_arena_format(arena, "%s;%s:%u", text,
                           server->client_host ? bracketed(server->client_host, arena) : "0.0.0.0",
                           server->client_port);
}

/* In the order of their ids, so that every member has the same list whatever order its file has. */
static complaint add_server(qr_zookeeper_conf *conf, const char *id, const char *value, qr_arena *arena)
{
    qr_zookeeper_server server;
    uint32_t number;
    if (!take_number(id, 1, QR_ZOOKEEPER_SERVER_ID_MAX, &number))
        return "has no number from 1 to 254 behind its point";
    complaint wrong = qr_zookeeper_server_read(value, arena, &server);
    if (wrong != NULL)
        return wrong;
    server.id = number;
    size_t at = 0;
    while (at < conf->server_count && conf->servers[at].id < server.id)
        at++;
    if (at == conf->server_count || conf->servers[at].id != server.id) {
        if (conf->server_count == QR_MEMBERS_MAX)
            return "is one server too many; there are at most 32";
        memmove(&conf->servers[at + 1], &conf->servers[at],
                (conf->server_count - at) * sizeof *conf->servers);
        conf->server_count++;
    }
    conf->servers[at] = server;
    return NULL;
}

const qr_zookeeper_server *qr_zookeeper_conf_server(const qr_zookeeper_conf *conf, uint32_t id)
{
    for (size_t i = 0; i < conf->server_count; i++)
        if (conf->servers[i].id == id)
            return &conf->servers[i];
    return NULL;
}

/* ---- settings ---- */

static const struct {
    const char *name;
    size_t at; /* of a number in qr_zookeeper_conf */
    uint32_t least;
} numbers[] = {
    {"tickTime", offsetof(qr_zookeeper_conf, tick_ms), 1},
    {"minSessionTimeout", offsetof(qr_zookeeper_conf, session_min_ms), 1},
    {"maxSessionTimeout", offsetof(qr_zookeeper_conf, session_max_ms), 1},
    {"maxClientCnxns", offsetof(qr_zookeeper_conf, connections_max), 0},
};

static const struct {
    const char *name;
    size_t at; /* of a bool */
} switches[] = {
    {"extendedTypesEnabled", offsetof(qr_zookeeper_conf, extended_types)},
    {"reconfigEnabled", offsetof(qr_zookeeper_conf, reconfig)},
    {"enforceQuota", offsetof(qr_zookeeper_conf, enforce_quota)},
    {"readonlymode.enabled", offsetof(qr_zookeeper_conf, read_only)},
};

static const struct {
    const char *name;
    size_t at; /* of a text */
} texts[] = {
    {"dataDir", offsetof(qr_zookeeper_conf, data_dir)},
    {"dynamicConfigFile", offsetof(qr_zookeeper_conf, dynamic_file)},
    {"clientPortAddress", offsetof(qr_zookeeper_conf, client_host)},
    {"admin.serverAddress", offsetof(qr_zookeeper_conf, admin_host)},
    {"4lw.commands.whitelist", offsetof(qr_zookeeper_conf, words)},
    {"DigestAuthenticationProvider.superDigest", offsetof(qr_zookeeper_conf, super_digest)},
};

/* They ask for nothing that somebody would miss. */
static const char *const harmless[] = {
    "initLimit",
    "syncLimit",
    "electionAlg",
    "peerType",
    "clientPortListenBacklog",
    "autopurge.snapRetainCount",
    "autopurge.purgeInterval",
    "snapCount",
    "preAllocSize",
    "standaloneEnabled",
    "syncEnabled",
    "connectToLearnerMasterLimit",
    "version", /* of a dynamic file */
};

/* To run without it would betray whoever asked for it. */
static const char *const protections[] = {
    "sslQuorum",
    "quorum.auth.enableSasl",
    "quorum.auth.serverRequireSasl",
    "quorum.auth.learnerRequireSasl",
    "sessionRequireClientSASLAuth",
    "enforce.auth.enabled",
    "admin.forceHttps",
    "ssl.quorum.enabled",
};

static bool is_among(const char *const *list, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(list[i], name) == 0)
            return true;
    return false;
}

static const char no_effect[] = "has no effect here";

static void note(qr_zookeeper_conf *conf, const char *name, const char *what, qr_arena *arena)
{
    if (conf->note_count < QR_ZOOKEEPER_CONF_NOTES_MAX)
        conf->notes[conf->note_count++] = qr_arena_format(arena, "%s %s", name, what);
}

static complaint set_packet_max(qr_zookeeper_conf *conf, const char *value, qr_arena *arena)
{
    uint64_t bytes;
    if (!take_property_number(value, &bytes) || bytes == 0)
        return "is not a number of bytes";
    if (bytes > QR_ZOOKEEPER_PACKET_MAX) {
        bytes = QR_ZOOKEEPER_PACKET_MAX;
        note(conf, "jute.maxbuffer", "is 1572864 here, which is the most", arena);
    }
    conf->packet_max = (uint32_t)bytes;
    return NULL;
}

/* Of the tables; false: it stands in none of them. */
static bool set_listed(qr_zookeeper_conf *conf, const char *name, const char *value, complaint *wrong)
{
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        if (strcmp(numbers[i].name, name) != 0)
            continue;
        if (!take_number(value, numbers[i].least, INT32_MAX,
                         (uint32_t *)(void *)((char *)conf + numbers[i].at)))
            *wrong = "is not a number that could be meant";
        return true;
    }
    for (size_t i = 0; i < sizeof switches / sizeof *switches; i++) {
        if (strcmp(switches[i].name, name) != 0)
            continue;
        memcpy((char *)conf + switches[i].at, &(bool){is_word(value, "true")}, sizeof(bool));
        return true;
    }
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        if (strcmp(texts[i].name, name) != 0)
            continue;
        memcpy((char *)conf + texts[i].at, &(const char *){*value != 0 ? value : NULL}, sizeof value);
        return true;
    }
    return false;
}

static qr_status set(qr_zookeeper_conf *conf, const char *name, const char *value, qr_arena *arena,
                     complaint *wrong)
{
    *wrong = NULL;
    if (strncmp(name, "server.", 7) == 0) {
        *wrong = add_server(conf, name + 7, value, arena);
    } else if (strcmp(name, "clientPort") == 0 || strcmp(name, "admin.serverPort") == 0) {
        if (!take_port(value, name[0] == 'c' ? &conf->client_port : &conf->admin_port))
            *wrong = "is not a port from 1 to 65535";
    } else if (strcmp(name, "admin.enableServer") == 0) {
        conf->admin = is_word(value, "true");
    } else if (strcmp(name, "jute.maxbuffer") == 0) {
        *wrong = set_packet_max(conf, value, arena);
    } else if (is_among(protections, sizeof protections / sizeof *protections, name)) {
        *wrong = is_word(value, "true") ? "asks for a protection that is not there yet" : NULL;
        return *wrong != NULL ? QR_E_UNSUPPORTED : QR_OK;
    } else if (!set_listed(conf, name, value, wrong) &&
               !is_among(harmless, sizeof harmless / sizeof *harmless, name)) {
        note(conf, name, no_effect, arena);
    }
    return *wrong != NULL ? QR_E_INVALID : QR_OK;
}

qr_status qr_zookeeper_conf_set(qr_zookeeper_conf *conf, const char *name, const char *value, qr_arena *arena,
                                const char **sentence)
{
    complaint wrong;
    qr_status status = set(conf, name, value, arena, &wrong);
    if (status != QR_OK)
        *sentence = qr_arena_format(arena, "%s %s", name, wrong);
    return status;
}

qr_status qr_zookeeper_conf_read(qr_zookeeper_conf *conf, qr_slice text, bool dynamic, qr_arena *arena,
                                 const char **sentence)
{
    qr_zookeeper_properties reader = qr_zookeeper_properties_of(text);
    qr_zookeeper_property property;
    qr_status status;
    while ((status = qr_zookeeper_properties_next(&reader, arena, &property, sentence)) == QR_OK) {
        complaint wrong = NULL;
        if (dynamic && strncmp(property.name, "server.", 7) != 0 && strcmp(property.name, "version") != 0)
            note(conf, property.name, no_effect, arena);
        else
            status = set(conf, property.name, property.value, arena, &wrong);
        if (status != QR_OK) {
            *sentence = qr_arena_format(arena, "line %zu: %s %s", property.line, property.name, wrong);
            return status;
        }
    }
    return status == QR_E_NOT_FOUND ? QR_OK : status;
}

bool qr_zookeeper_conf_myid(qr_slice text, uint32_t *id)
{
    while (text.size > 0 && text.data[0] <= ' ')
        text = qr_slice_of(text.data + 1, text.size - 1);
    while (text.size > 0 && text.data[text.size - 1] <= ' ')
        text.size--;
    char digits[4] = {0};
    if (text.size >= sizeof digits)
        return false;
    memcpy(digits, text.data, text.size);
    return take_number(digits, 1, QR_ZOOKEEPER_SERVER_ID_MAX, id);
}

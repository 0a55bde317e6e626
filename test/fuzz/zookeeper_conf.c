/* Any bytes as a zoo.cfg, a dynamic file and a myid: read or refused with the number of a line. What was
 * read, written with every byte escaped, reads as the same. */
#include "door/zookeeper/conf.h"
#include "door/zookeeper/properties.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A letter that means something behind a backslash, and a byte that ends a line, are written as \u. */
static void write_escaped(qr_buffer *out, const char *text)
{
    static const char digits[] = "0123456789abcdef", special[] = "tnrfu\n\r";
    for (; *text != 0; text++) {
        uint8_t byte = (uint8_t)*text;
        qr_buffer_u8(out, '\\');
        if (strchr(special, *text) == NULL) {
            qr_buffer_u8(out, byte);
            continue;
        }
        qr_buffer_add(out, "u00", 3);
        qr_buffer_u8(out, (uint8_t)digits[byte >> 4]);
        qr_buffer_u8(out, (uint8_t)digits[byte & 15]);
    }
}

static void read_again(const qr_zookeeper_property *property, qr_arena *arena)
{
    qr_buffer text;
    qr_buffer_init(&text);
    write_escaped(&text, property->name);
    qr_buffer_u8(&text, '=');
    write_escaped(&text, property->value);
    qr_zookeeper_properties reader = qr_zookeeper_properties_of(qr_buffer_slice(&text));
    qr_zookeeper_property again;
    const char *sentence = NULL;
    QR_ASSERT(qr_zookeeper_properties_next(&reader, arena, &again, &sentence) == QR_OK);
    QR_ASSERT(strcmp(again.name, property->name) == 0 && strcmp(again.value, property->value) == 0);
    QR_ASSERT(qr_zookeeper_properties_next(&reader, arena, &again, &sentence) == QR_E_NOT_FOUND);
    qr_buffer_free(&text);
}

static void configure(qr_slice text, bool dynamic, qr_arena *arena)
{
    qr_zookeeper_conf conf = qr_zookeeper_conf_usual();
    const char *sentence = NULL;
    qr_status status = qr_zookeeper_conf_read(&conf, text, dynamic, arena, &sentence);
    QR_ASSERT(status == QR_OK || strncmp(sentence, "line ", 5) == 0);
    for (size_t i = 0; i < conf.server_count; i++) {
        const qr_zookeeper_server *server = &conf.servers[i];
        QR_ASSERT(i == 0 || conf.servers[i - 1].id < server->id);
        QR_ASSERT(server->host[0] != 0 && server->peer_port != 0 && server->election_port != 0);
        QR_ASSERT(qr_zookeeper_conf_server(&conf, server->id) == server);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    qr_slice text = qr_slice_of(data, size < QR_ZOOKEEPER_CONF_MAX ? size : QR_ZOOKEEPER_CONF_MAX);
    qr_arena arena;
    qr_arena_init(&arena);
    qr_zookeeper_properties reader = qr_zookeeper_properties_of(text);
    qr_zookeeper_property property;
    const char *sentence = NULL;
    qr_status status;
    size_t line = 0;
    while ((status = qr_zookeeper_properties_next(&reader, &arena, &property, &sentence)) == QR_OK) {
        QR_ASSERT(property.line > line);
        line = property.line;
        read_again(&property, &arena);
    }
    QR_ASSERT(status == QR_E_NOT_FOUND || strncmp(sentence, "line ", 5) == 0);
    configure(text, false, &arena);
    configure(text, true, &arena);
    uint32_t id;
    QR_ASSERT(!qr_zookeeper_conf_myid(text, &id) || (id >= 1 && id <= QR_ZOOKEEPER_SERVER_ID_MAX));
    qr_arena_free(&arena);
    return 0;
}

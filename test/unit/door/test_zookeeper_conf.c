/* zoo.cfg: lines as Java reads them, and what they say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "door/zookeeper/conf.h"
#include "door/zookeeper/properties.h"

static qr_arena arena;

static int set_up(void **state)
{
    (void)state;
    qr_arena_init(&arena);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    qr_arena_free(&arena);
    return 0;
}

/* "line name=value|" of each. */
static const char *lines_of(const char *text)
{
    qr_zookeeper_properties reader = qr_zookeeper_properties_of(qr_slice_text(text));
    qr_zookeeper_property property;
    const char *all = "", *sentence = NULL;
    qr_status status;
    while ((status = qr_zookeeper_properties_next(&reader, &arena, &property, &sentence)) == QR_OK)
        all = qr_arena_format(&arena, "%s%zu %s=%s|", all, property.line, property.name, property.value);
    return status == QR_E_NOT_FOUND ? all : sentence;
}

static void lines_are_read_as_java_reads_them(void **state)
{
    (void)state;
    assert_string_equal(lines_of("a=b\r\nc : d\n\re f  \n"), "1 a=b|2 c=d|4 e=f|");
    assert_string_equal(lines_of("# no=no\\\n!no\n \t# no\n a"), "4 a=|");
    assert_string_equal(lines_of("a=b\\\n   c\\\r\n\td\ne=f"), "1 a=bcd|4 e=f|");
    assert_string_equal(lines_of("a=b\\\\\nc=d"), "1 a=b\\|2 c=d|");
    assert_string_equal(lines_of("a\\ b\\:c==d:e"), "1 a b:c==d:e|");
    assert_string_equal(lines_of("a=\\u0041\\u00e4\\u20AC\\q"), "1 a=A\xC3\xA4\xE2\x82\xAC\x71|");
    assert_string_equal(lines_of("a=#b\\"), "1 a=#b|");
    assert_string_equal(lines_of("a\\\n=b"), "1 a=b|");
    assert_string_equal(lines_of(""), "");
    assert_string_equal(lines_of("a=b\n\nc=\\u12x4"),
                        "line 3: there is a zero byte, or a \\u without four hexadecimal digits");
}

static qr_zookeeper_conf conf_of(const char *text, bool dynamic)
{
    qr_zookeeper_conf conf = qr_zookeeper_conf_usual();
    const char *sentence = "";
    qr_status status = qr_zookeeper_conf_read(&conf, qr_slice_text(text), dynamic, &arena, &sentence);
    assert_string_equal(sentence, "");
    assert_int_equal(status, QR_OK);
    return conf;
}

static void settings(void **state)
{
    (void)state;
    qr_zookeeper_conf usual = conf_of("", false);
    assert_int_equal(usual.tick_ms, 3000);
    assert_null(usual.data_dir);
    qr_zookeeper_conf conf = conf_of("tickTime=2000\ndataDir=/d\nclientPort=1\nclientPort=2181\ninitLimit=x\n"
                                     "4lw.commands.whitelist=*\nmaxClientCnxns=0\nextendedTypesEnabled=TRUE\n"
                                     "clientPortAddress=::1\nminSessionTimeout=1\nsslQuorum=false\n",
                                     false);
    assert_int_equal(conf.tick_ms, 2000);
    assert_int_equal(conf.client_port, 2181);
    assert_int_equal(conf.connections_max, 0);
    assert_int_equal(conf.session_min_ms, 1);
    assert_true(conf.extended_types);
    assert_string_equal(conf.data_dir, "/d");
    assert_string_equal(conf.words, "*");
    assert_string_equal(conf.client_host, "::1");
    assert_int_equal(conf.note_count, 0);
    assert_true(usual.admin);
    assert_int_equal(usual.admin_port, 8080);
    conf = conf_of("admin.enableServer=false\nadmin.serverPort=81\nadmin.serverAddress=::1", false);
    assert_false(conf.admin);
    assert_int_equal(conf.admin_port, 81);
    assert_string_equal(conf.admin_host, "::1");
    assert_int_equal(conf_of("jute.maxbuffer=0x10ffff", false).packet_max, 0x10ffff);
    assert_int_equal(conf_of("jute.maxbuffer=1500000", false).packet_max, 1500000);
    conf = conf_of("jute.maxbuffer=4194304", false);
    assert_int_equal(conf.packet_max, QR_ZOOKEEPER_PACKET_MAX);
    assert_string_equal(conf.notes[0], "jute.maxbuffer is 1572864 here, which is the most");
}

static void what_has_no_effect_is_noted(void **state)
{
    (void)state;
    qr_zookeeper_conf conf = conf_of("snapSizeLimitInKb=1\nfoo=bar\n", false);
    assert_int_equal(conf.note_count, 2);
    assert_string_equal(conf.notes[1], "foo has no effect here");
    conf = conf_of("dataDir=/d\nversion=100000000\n", true);
    assert_null(conf.data_dir);
    assert_int_equal(conf.note_count, 1);
    const char *many = "";
    for (int i = 0; i < QR_ZOOKEEPER_CONF_NOTES_MAX + 1; i++)
        many = qr_arena_format(&arena, "%sfoo%d=\n", many, i);
    assert_int_equal(conf_of(many, false).note_count, QR_ZOOKEEPER_CONF_NOTES_MAX);
}

static void servers(void **state)
{
    (void)state;
    qr_zookeeper_conf conf = conf_of("server.3=c:2888:3888:observer\n"
                                     "server.1=[::1]:2889:3889:PARTICIPANT;[fe80::1]:2181\n"
                                     "server.2=old:1:2\nserver.2=b:2890:3890;2182\nserver.4=d:5:6;e:7\n",
                                     false);
    assert_int_equal(conf.server_count, 4);
    const qr_zookeeper_server *server = conf.servers;
    assert_int_equal(server[0].id, 1);
    assert_string_equal(server[0].host, "::1");
    assert_int_equal(server[0].peer_port, 2889);
    assert_int_equal(server[0].election_port, 3889);
    assert_false(server[0].observer);
    assert_string_equal(server[0].client_host, "fe80::1");
    assert_int_equal(server[0].client_port, 2181);
    assert_string_equal(server[1].host, "b");
    assert_null(server[1].client_host);
    assert_int_equal(server[1].client_port, 2182);
    assert_true(server[2].observer);
    assert_int_equal(server[2].client_port, 0);
    assert_string_equal(server[3].client_host, "e");
    assert_ptr_equal(qr_zookeeper_conf_server(&conf, 3), &conf.servers[2]);
    assert_null(qr_zookeeper_conf_server(&conf, 5));
}

static void mistakes_name_their_line(void **state)
{
    (void)state;
    static const struct {
        const char *text, *sentence;
        qr_status status;
    } cases[] = {
        {"server.x=a:1:2", "line 1: server.x has no number", QR_E_INVALID},
        {"server.255=a:1:2", "line 1: server.255 has no number", QR_E_INVALID},
        {"\nserver.1=a:1", "line 2: server.1 is not of the form", QR_E_INVALID},
        {"server.1=a:1:2:participant:3", "line 1: server.1 is not of the form", QR_E_INVALID},
        {"server.1=a:0:2", "line 1: server.1 is not of the form", QR_E_INVALID},
        {"server.1=[a:1:2", "line 1: server.1 is not of the form", QR_E_INVALID},
        {"server.1=a:1:2;", "line 1: server.1 is not of the form", QR_E_INVALID},
        {"server.1=a:1:2;b:c", "line 1: server.1 is not of the form", QR_E_INVALID},
        {"server.1=a:1:2:boss", "line 1: server.1 has a role", QR_E_INVALID},
        {"server.1=a:1:2|b:1:2", "line 1: server.1 has several addresses", QR_E_INVALID},
        {"clientPort=70000", "line 1: clientPort is not a port", QR_E_INVALID},
        {"admin.serverPort=x", "line 1: admin.serverPort is not a port", QR_E_INVALID},
        {"tickTime=0", "line 1: tickTime is not a number", QR_E_INVALID},
        {"jute.maxbuffer=0", "line 1: jute.maxbuffer is not a number", QR_E_INVALID},
        {"jute.maxbuffer=1m", "line 1: jute.maxbuffer is not a number", QR_E_INVALID},
        {"sslQuorum=true", "line 1: sslQuorum asks for a protection", QR_E_UNSUPPORTED},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        qr_zookeeper_conf conf = qr_zookeeper_conf_usual();
        const char *sentence = "";
        qr_status status =
            qr_zookeeper_conf_read(&conf, qr_slice_text(cases[i].text), false, &arena, &sentence);
        assert_int_equal(status, cases[i].status);
        assert_memory_equal(sentence, cases[i].sentence, strlen(cases[i].sentence));
    }
}

static void myid(void **state)
{
    (void)state;
    uint32_t id = 0;
    assert_true(qr_zookeeper_conf_myid(qr_slice_text(" 12\n"), &id));
    assert_int_equal(id, 12);
    assert_true(qr_zookeeper_conf_myid(qr_slice_text("254"), &id));
    static const char *const wrong[] = {"", "0", "255", "1 2", "-1", "1234", "a", "1\n2"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_false(qr_zookeeper_conf_myid(qr_slice_text(wrong[i]), &id));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_read_as_java_reads_them), cmocka_unit_test(settings),
        cmocka_unit_test(what_has_no_effect_is_noted),       cmocka_unit_test(servers),
        cmocka_unit_test(mistakes_name_their_line),          cmocka_unit_test(myid),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

/* Configuration files: the flat part of YAML that is read, and the sentences about everything else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bin/config_file.h"
#include "bin/serve.h"

/* ---- the reader ---- */

/* All entries as "name=value;", a value that is not there as "name;". */
static char *entries(qr_arena *arena, const char *text)
{
    qr_config_reader reader = qr_config_reader_of(qr_slice_text(text));
    qr_config_entry entry;
    const char *sentence = "";
    char *all = qr_arena_format(arena, "%s", "");
    qr_status status;
    while ((status = qr_config_next(&reader, arena, &entry, &sentence)) == QR_OK)
        all = qr_arena_format(arena, "%s%s%s%s;", all, qr_arena_text(arena, entry.name),
                              entry.value ? "=" : "", entry.value ? entry.value : "");
    if (status != QR_E_NOT_FOUND)
        fail_msg("%s", sentence);
    return all;
}

static void test_values(void **state)
{
    static const struct {
        const char *text, *wanted;
    } cases[] = {
        {"", ""},
        {"name: a", "name=a;"},
        {"name: a\n", "name=a;"},
        {"name: a\r\nb: c\r\n", "name=a;b=c;"},
        {"\xEF\xBB\xBF# first\n\n  # second\n---\nname:   a b  \t\n", "name=a b;"},
        {"name: a # comment\nb: c#d\n", "name=a;b=c#d;"},
        {"name:\nb: # nothing\nc:   \n", "name;b;c;"},
        {"name: ''\nb: \"\"\n", "name=;b=;"},
        {"name: 'it''s # not \\ a comment' # this is\n", "name=it's # not \\ a comment;"},
        {"name: \"a \\\"b\\\" \\\\ 'c' # d\"\n", "name=a \"b\" \\ 'c' # d;"},
        {"u: http://10.0.0.1:2379,http://[::1]:2379\n", "u=http://10.0.0.1:2379,http://[::1]:2379;"},
        {"c: a=http://10.0.0.1:2380,b=http://10.0.0.2:2380\n",
         "c=a=http://10.0.0.1:2380,b=http://10.0.0.2:2380;"},
        {"o: [stderr]\n", "o=stderr;"},
        {"o: [ stderr , '/a b' ,\"c\" ] # both\n", "o=stderr,/a b,c;"},
        {"o: []\n", "o=;"},
        {"n: -5\nt: true\nq: 1e3\n", "n=-5;t=true;q=1e3;"},
        {"name: \xC3\xA9\n", "name=\xC3\xA9;"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        qr_arena arena;
        qr_arena_init(&arena);
        assert_string_equal(entries(&arena, cases[i].text), cases[i].wanted);
        qr_arena_free(&arena);
    }
}

static void test_refusals(void **state)
{
    static const struct {
        const char *text, *wanted;
    } cases[] = {
        {"a: b\nclient-transport-security:\n  cert-file: x\n",
         "line 3: nested YAML is not read; this would belong to \"client-transport-security\" in line 2"},
        {"  a: b\n", "line 1: a name stands at the beginning of its line"},
        {"a: b\n\n- c\n", "line 3: lists over several lines are not read"},
        {"a:\n- c\n", "line 2: lists over several lines"},
        {"a: - c\n", "line 1: a: lists over several lines"},
        {"a: {b: c}\n", "line 1: a: the value begins with a character that YAML"},
        {"a: |\n  text\n", "line 1: a: the value begins with"},
        {"a: &anchor b\n", "between quotes"},
        {"a: *anchor\n", "between quotes"},
        {"a: !tag b\n", "between quotes"},
        {"a: @b\n", "between quotes"},
        {"a: 'b\n", "line 1: a: the ' that ends the value is missing"},
        {"a: \"b\n", "line 1: a: the \" that ends the value is missing"},
        {"a: \"b\\\n", "only \\\" and \\\\"},
        {"a: \"\\n\"\n", "only \\\" and \\\\"},
        {"a: 'b' c\n", "something behind the end"},
        {"a: 'b'#c\n", "something behind the end"},
        {"a: [b\n", "the ] that ends the list"},
        {"a: [b,\n", "the ] that ends the list"},
        {"a: [b 'c']x\n", "something behind the end"},
        {"a: ['b' c]\n", "the ] that ends the list"},
        {"a: [b, [c]]\n", "line 1: a: "},
        {"a: [b, c: d]\n", "line 1: a: a second \": \""},
        {"a: b: c\n", "line 1: a: a second \": \""},
        {"a: b:\n", "line 1: a: a second \": \""},
        {"a:b\n", "line 1: this is not of the form"},
        {"A: b\n", "line 1: this is not of the form"},
        {"a b: c\n", "line 1: this is not of the form"},
        {": c\n", "line 1: this is not of the form"},
        {"just a word\n", "line 1: this is not of the form"},
        {"a: b\n---\nc: d\n", "line 2: this is not of the form"},
        {"a: b\x01\n", "line 1: control characters"},
        {"# \x7F\n", "line 1: control characters"},
        {"a: b\rc: d\n", "line 1: control characters"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        qr_arena arena;
        qr_arena_init(&arena);
        qr_config_reader reader = qr_config_reader_of(qr_slice_text(cases[i].text));
        qr_config_entry entry;
        const char *sentence = "no sentence";
        qr_status status;
        while ((status = qr_config_next(&reader, &arena, &entry, &sentence)) == QR_OK)
            continue;
        if (status != QR_E_INVALID || strstr(sentence, cases[i].wanted) == NULL)
            fail_msg("\"%s\" gives \"%s\" instead of \"%s\"", cases[i].text, sentence, cases[i].wanted);
        qr_arena_free(&arena);
    }
}

static void test_a_zero_byte(void **state)
{
    qr_arena arena;
    qr_arena_init(&arena);
    static const char text[] = "a: b\0c\n";
    qr_config_reader reader = qr_config_reader_of(qr_slice_of(text, sizeof text - 1));
    qr_config_entry entry;
    const char *sentence = "";
    assert_int_equal(qr_config_next(&reader, &arena, &entry, &sentence), QR_E_INVALID);
    assert_non_null(strstr(sentence, "control characters"));
    qr_arena_free(&arena);
}

/* ---- the file in place of the flags ---- */

typedef struct served {
    qr_arena arena;
    char *path;
    qr_flags flags;
    qr_serve_config config;
    qr_status status;
    const char *sentence;
} served;

static char *temporary_file(qr_arena *arena, qr_slice bytes)
{
    char *path = qr_arena_format(arena, "%s", "/tmp/quorate-config-XXXXXX");
    int file = mkstemp(path);
    assert_true(file >= 0);
    assert_true(write(file, bytes.data, bytes.size) == (ssize_t)bytes.size);
    close(file);
    return path;
}

static void serve_with(served *s, qr_slice bytes, const char *word, const char *variable)
{
    memset(s, 0, sizeof *s);
    qr_arena_init(&s->arena);
    s->sentence = "";
    s->path = temporary_file(&s->arena, bytes);
    char *line[] = {qr_arena_format(&s->arena, "serve"),
                    qr_arena_format(&s->arena, "--config-file=%s", s->path),
                    qr_arena_format(&s->arena, "%s", word), NULL};
    char *environment[] = {qr_arena_format(&s->arena, "%s", variable), NULL};
    s->flags = qr_serve_flags();
    s->status = qr_serve_parse(&s->flags, *word ? 3 : 2, line, *variable ? environment : NULL, &s->arena,
                               &s->sentence);
    if (s->status == QR_OK) {
        s->status = qr_serve_configure(&s->flags, &s->arena, &s->config, &s->sentence);
        s->sentence = s->status == QR_OK ? "" : qr_flags_place(&s->flags, s->sentence, &s->arena);
    }
}

static void done(served *s)
{
    unlink(s->path);
    qr_arena_free(&s->arena);
}

static void expect_refusal(const char *text, const char *wanted)
{
    served s;
    serve_with(&s, qr_slice_text(text), "", "");
    assert_int_not_equal(s.status, QR_OK);
    if (strstr(s.sentence, wanted) == NULL || strstr(s.sentence, s.path) == NULL)
        fail_msg("\"%s\" does not say \"%s\" and the file", s.sentence, wanted);
    done(&s);
}

static void test_file_configures(void **state)
{
    served s;
    serve_with(&s,
               qr_slice_text("name: b\n"
                             "data-dir: /var/lib/quorate/b\n"
                             "listen-client-urls: http://127.0.0.1:4\n"
                             "advertise-client-urls: 'http://127.0.0.1:4'\n"
                             "initial-advertise-peer-urls: http://127.0.0.1:2\n"
                             "initial-cluster: a=http://127.0.0.1:1,b=http://127.0.0.1:2\n"
                             "heartbeat-interval: 50\n"
                             "election-timeout:\n"
                             "experimental-watch-progress-notify-interval: 10m\n"
                             "log-level: \"warn\"\n"
                             "log-outputs: [stderr, /dev/null]\n"
                             "wal-dir:\n"),
               "", "");
    assert_int_equal(s.status, QR_OK);
    assert_string_equal(s.config.name, "b");
    assert_string_equal(s.config.data_dir, "/var/lib/quorate/b");
    assert_int_equal(s.config.member_count, 2);
    assert_int_equal(s.config.heartbeat_ms, 50);
    assert_int_equal(s.config.election_ms, 1000);
    assert_int_equal(s.config.log.level, QR_LOG_WARN);
    assert_string_equal(s.config.log.outputs, "stderr,/dev/null");
    assert_int_equal(s.flags.warning_count, 0);
    done(&s);
}

/* etcd's rule: with a file, flags and variables have no effect. We say which. */
static void test_file_replaces_flags_and_variables(void **state)
{
    served s;
    serve_with(&s, qr_slice_text("heartbeat-interval: 50\n"), "--name=from-the-line",
               "ETCD_HEARTBEAT_INTERVAL=70");
    assert_int_equal(s.status, QR_OK);
    assert_string_equal(s.config.name, "default");
    assert_int_equal(s.config.heartbeat_ms, 50);
    assert_int_equal(s.flags.warning_count, 1);
    assert_non_null(strstr(s.flags.warnings[0], "--name, ETCD_HEARTBEAT_INTERVAL"));
    done(&s);
}

static void test_file_refusals(void **state)
{
    expect_refusal("name: a\nno-such-flag: 1\n", ", line 2: no-such-flag is not known");
    expect_refusal("name: a\n\nname: b\n", ", line 3: name was already set in line 1");
    expect_refusal("name:\nname: b\n", ", line 2: name was already set in line 1");
    expect_refusal("heartbeat-interval: soon\n",
                   ", line 1: heartbeat-interval must be a whole number, not \"soon\"");
    expect_refusal("# x\nlog-level: loud\n", ", line 2: --log-level is debug");
    expect_refusal("name: a\nelection-timeout: 200\n", ", line 2: --election-timeout[200ms]");
    expect_refusal("name: x\ninitial-cluster: a=http://x:1\n", ", line 2: couldn't find local name \"x\"");
    expect_refusal("client-cert-auth: true\n", ", line 1: client-cert-auth is not supported: TLS");
    expect_refusal("config-file: other.yml\n", ", line 1: config-file cannot be named");
    expect_refusal("client-transport-security:\n  cert-file: x\n",
                   ", line 1: client-transport-security is not known");
    expect_refusal("name:\n  first: x\n", ", line 2: nested YAML");
    expect_refusal("listen-client-urls: http://127.0.0.1:1\n", "--advertise-client-urls is required");
}

static void test_file_bound(void **state)
{
    char *text = malloc(QR_CONFIG_FILE_MAX + 1);
    memset(text, '#', QR_CONFIG_FILE_MAX + 1);
    served s;
    serve_with(&s, qr_slice_of(text, QR_CONFIG_FILE_MAX), "", "");
    assert_int_equal(s.status, QR_OK);
    done(&s);
    serve_with(&s, qr_slice_of(text, QR_CONFIG_FILE_MAX + 1), "", "");
    assert_int_equal(s.status, QR_E_TOO_LARGE);
    assert_non_null(strstr(s.sentence, "more than 65536 bytes"));
    done(&s);
    free(text);
}

static void test_no_file(void **state)
{
    qr_arena arena;
    qr_arena_init(&arena);
    qr_slice text;
    const char *sentence = "";
    assert_int_equal(qr_config_read("/nowhere/at/all.yml", &arena, &text, &sentence), QR_E_NOT_FOUND);
    assert_non_null(strstr(sentence, "/nowhere/at/all.yml"));
    assert_int_equal(qr_config_read("/tmp", &arena, &text, &sentence), QR_E_IO);
    qr_arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_a_zero_byte),
        cmocka_unit_test(test_file_configures),
        cmocka_unit_test(test_file_replaces_flags_and_variables),
        cmocka_unit_test(test_file_refusals),
        cmocka_unit_test(test_file_bound),
        cmocka_unit_test(test_no_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

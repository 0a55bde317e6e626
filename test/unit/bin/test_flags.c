/* Flags, variables, and what serve makes of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "bin/serve.h"

enum { WORD, TRUTH, COUNT, OLD, LOCKED, SMALL_COUNT };

static const qr_flag small[] = {
    {"a-word", QR_FLAG_TEXT, QR_FLAG_TAKEN, "usual", "TEXT", "A word."},
    {"truth", QR_FLAG_BOOL, QR_FLAG_TAKEN, "false", "", "True or not."},
    {"count", QR_FLAG_NUMBER, QR_FLAG_TAKEN, "7", "N", "How many."},
    {"old", QR_FLAG_TEXT, QR_FLAG_IGNORED, "x", "", "nobody needs it"},
    {"locked", QR_FLAG_BOOL, QR_FLAG_REFUSED, "false", "", "there is no lock"},
};

typedef struct parsed {
    qr_arena arena;
    qr_flags flags;
    const char *sentence;
    qr_status status;
} parsed;

enum { LINE_MAX = 32 };

/* words: separated by spaces; "" is one empty word less. */
static void split(qr_arena *arena, const char *words, char **line, int *count)
{
    char *rest = qr_arena_format(arena, "%s", words);
    for (char *word; (word = strsep(&rest, " ")) != NULL;) {
        assert_true(*count < LINE_MAX);
        if (*word)
            line[(*count)++] = word;
    }
    line[*count] = NULL;
}

static void parse(parsed *p, qr_flags table, const char *words, const char *variables)
{
    char *line[LINE_MAX + 1], *environment[LINE_MAX + 1];
    int count = 0, variable_count = 0;
    memset(p, 0, sizeof *p);
    qr_arena_init(&p->arena);
    p->flags = table;
    line[count++] = qr_arena_format(&p->arena, "verb");
    split(&p->arena, words, line, &count);
    split(&p->arena, variables, environment, &variable_count);
    p->sentence = "";
    p->status = qr_flags_parse(&p->flags, count, line, environment, &p->arena, &p->sentence);
}

static qr_flags small_table(void)
{
    return (qr_flags){.table = small, .count = SMALL_COUNT, .prefix = "ETCD_"};
}

static void done(parsed *p)
{
    qr_arena_free(&p->arena);
}

static void expect_word(const char *words, const char *variables, const char *wanted)
{
    parsed p;
    parse(&p, small_table(), words, variables);
    if (p.status != QR_OK)
        fail_msg("%s", p.sentence);
    assert_string_equal(qr_flags_text(&p.flags, WORD), wanted);
    done(&p);
}

static void expect_refusal(const char *words, const char *variables, const char *wanted)
{
    parsed p;
    parse(&p, small_table(), words, variables);
    assert_int_not_equal(p.status, QR_OK);
    if (strstr(p.sentence, wanted) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", p.sentence, wanted);
    done(&p);
}

static void test_forms(void **state)
{
    expect_word("", "", "usual");
    expect_word("--a-word x", "", "x");
    expect_word("--a-word=x", "", "x");
    expect_word("-a-word x", "", "x");
    expect_word("-a-word=x=y", "", "x=y");
    expect_word("--a-word=", "", "");
    expect_word("--a-word x --a-word y", "", "y");
    expect_word("--a-word --truth", "", "--truth"); /* as in Go: the next word is the value, whatever it is */
    expect_word("", "ETCD_A_WORD=v", "v");
    expect_word("", "ETCD_A_WORD=", "usual");
    expect_word("--a-word x", "ETCD_A_WORD=v", "x");
    expect_word("--experimental-a-word x", "", "x");
    expect_word("", "HOME=/root ETCD_A_WORD=v ETCDCTL_API=3", "v");
}

static void test_booleans_and_numbers(void **state)
{
    static const struct {
        const char *words;
        bool truth;
        int64_t count;
    } cases[] = {{"", false, 7},
                 {"--truth", true, 7},
                 {"--truth=false", false, 7},
                 {"--truth=T", true, 7},
                 {"-truth=0 --count 12", false, 12},
                 {"--truth --count=-3", true, -3}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        parsed p;
        parse(&p, small_table(), cases[i].words, "");
        assert_int_equal(p.status, QR_OK);
        assert_int_equal(qr_flags_bool(&p.flags, TRUTH), cases[i].truth);
        assert_int_equal(qr_flags_number(&p.flags, COUNT), cases[i].count);
        done(&p);
    }
    expect_refusal("--truth true", "", "'true' is not a flag"); /* as in Go */
    expect_refusal("--truth=perhaps", "", "--truth must be true or false, not \"perhaps\"");
    expect_refusal("--count abc", "", "--count must be a whole number, not \"abc\"");
    expect_refusal("--count 1x", "", "1x");
    expect_refusal("--count=", "", "--count");
    expect_refusal("--count 99999999999999999999", "", "--count");
    expect_refusal("", "ETCD_COUNT=abc", "ETCD_COUNT must be a whole number");
}

static void test_unknown(void **state)
{
    expect_refusal("--none=1", "", "--none is not known");
    expect_refusal("stray", "", "'stray' is not a flag");
    expect_refusal("---a-word x", "", "'---a-word' is not a flag");
    expect_refusal("--", "", "'--' is not a flag");
    expect_refusal("-", "", "'-' is not a flag");
    expect_refusal("--a-word", "", "--a-word needs a value");
    parsed p;
    parse(&p, small_table(), "", "ETCD_NONE=1 ETCD_=2");
    assert_int_equal(p.status, QR_OK);
    assert_int_equal(p.flags.warning_count, 1);
    assert_non_null(strstr(p.flags.warnings[0], "ETCD_NONE"));
    done(&p);
}

static void test_ignored_and_refused(void **state)
{
    parsed p;
    parse(&p, small_table(), "--old=y", "");
    assert_int_equal(p.status, QR_OK);
    assert_int_equal(p.flags.warning_count, 1);
    assert_string_equal(p.flags.warnings[0], "--old has no effect: nobody needs it");
    done(&p);
    parse(&p, small_table(), "--old=x --locked=false", "");
    assert_int_equal(p.status, QR_OK);
    assert_int_equal(p.flags.warning_count, 0);
    done(&p);
    expect_refusal("--locked", "", "--locked is not supported: there is no lock");
    expect_refusal("--experimental-locked=true", "", "--locked is not supported");
    expect_refusal("", "ETCD_LOCKED=true", "ETCD_LOCKED is not supported");
}

static void test_help_wins(void **state)
{
    parsed p;
    parse(&p, small_table(), "--none --help", "");
    assert_int_equal(p.status, QR_OK);
    assert_true(p.flags.help);
    done(&p);
    parse(&p, small_table(), "-h", "");
    assert_true(p.flags.help && !p.flags.version);
    done(&p);
    parse(&p, small_table(), "--version", "");
    assert_true(p.flags.version);
    done(&p);
}

/* ---- serve ---- */

typedef struct served {
    parsed p;
    qr_serve_config config;
    qr_status status;
    const char *sentence;
} served;

static void serve(served *s, const char *words, const char *variables)
{
    parse(&s->p, qr_serve_flags(), words, variables);
    s->sentence = s->p.sentence;
    s->status = s->p.status;
    if (s->status == QR_OK)
        s->status = qr_serve_configure(&s->p.flags, &s->p.arena, &s->config, &s->sentence);
}

static void expect_serve_refusal(const char *words, const char *wanted)
{
    served s;
    serve(&s, words, "");
    assert_int_not_equal(s.status, QR_OK);
    if (strstr(s.sentence, wanted) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", s.sentence, wanted);
    done(&s.p);
}

static void test_serve_defaults(void **state)
{
    served s;
    serve(&s, "", "");
    assert_int_equal(s.status, QR_OK);
    const qr_serve_config *config = &s.config;
    assert_string_equal(config->name, "default");
    assert_string_equal(config->data_dir, "default.etcd");
    assert_int_equal(config->member_count, 1);
    assert_string_equal(config->members[0].peer_urls[0], "http://localhost:2380");
    assert_true(config->self != 0 && config->self == config->members[0].id && config->cluster != 0);
    assert_int_equal(config->heartbeat_ms, 100);
    assert_int_equal(config->election_ms, 1000);
    assert_true(config->quota_bytes == 2ull * 1024 * 1024 * 1024);
    assert_int_equal(config->request_max, 1572864);
    assert_int_equal(config->txn_ops_max, 128);
    assert_true(config->log.json && config->log.level == QR_LOG_INFO && !config->existing);
    done(&s.p);
    serve(&s, "--name x", "ETCD_QUOTA_BACKEND_BYTES=-1");
    assert_int_equal(s.status, QR_OK);
    assert_string_equal(s.config.data_dir, "x.etcd");
    assert_string_equal(s.config.members[0].name, "x");
    assert_int_equal(s.config.quota_bytes, 0);
    done(&s.p);
}

#define THREE "a=http://127.0.0.1:1,b=http://127.0.0.1:2,c=http://127.0.0.1:3"

static void serve_three(served *s, const char *name, int port, const char *cluster, const char *token)
{
    char words[512];
    snprintf(words, sizeof words,
             "--name %s --initial-advertise-peer-urls http://127.0.0.1:%d --initial-cluster %s "
             "--initial-cluster-token %s",
             name, port, cluster, token);
    serve(s, words, "");
    if (s->status != QR_OK)
        fail_msg("%s", s->sentence);
}

/* The ids are the same on every member, whatever the order of the list, and others with another token. */
static void test_serve_identity(void **state)
{
    served a, b, c, other;
    serve_three(&a, "a", 1, THREE, "t");
    serve_three(&b, "b", 2, "c=http://127.0.0.1:3,b=http://127.0.0.1:2,a=http://127.0.0.1:1", "t");
    serve_three(&c, "c", 3, "a=http://127.0.0.1:1/,b=http://127.0.0.1:2/,c=http://127.0.0.1:3/", "t");
    serve_three(&other, "a", 1, THREE, "u");
    assert_true(a.config.cluster == b.config.cluster && a.config.cluster == c.config.cluster);
    assert_true(a.config.cluster != other.config.cluster && a.config.self != other.config.self);
    assert_true(a.config.self != b.config.self && b.config.self != c.config.self);
    assert_true(a.config.members[1].id == b.config.self);
    assert_int_equal(a.config.group.count, 3);
    for (size_t i = 0; i < 3; i++)
        assert_true(a.config.group.list[i].id == b.config.group.list[i].id &&
                    a.config.group.list[i].role == QR_ROLE_VOTER);
    assert_int_equal(a.config.peer_urls[2].port, 3);
    done(&a.p);
    done(&b.p);
    done(&c.p);
    done(&other.p);
}

static void test_serve_several_urls(void **state)
{
    served s;
    serve(&s,
          "--name a --initial-advertise-peer-urls http://10.0.0.1:1,http://127.0.0.1:1 "
          "--initial-cluster a=http://127.0.0.1:1,b=http://127.0.0.1:2,a=http://10.0.0.1:1",
          "");
    assert_int_equal(s.status, QR_OK);
    assert_int_equal(s.config.member_count, 2);
    assert_int_equal(s.config.members[0].peer_url_count, 2);
    done(&s.p);
}

static void test_serve_refusals(void **state)
{
    expect_serve_refusal("--name stranger --initial-cluster " THREE,
                         "couldn't find local name \"stranger\" in the initial cluster");
    expect_serve_refusal("--name a --initial-cluster " THREE,
                         "--initial-advertise-peer-urls is http://localhost:2380");
    expect_serve_refusal("--initial-cluster nonsense", "\"nonsense\" is not of the form name=URL");
    expect_serve_refusal("--initial-cluster=", "--initial-cluster is empty");
    expect_serve_refusal("--initial-cluster a=http://x:1,b=http://x:1", "http://x:1 twice");
    expect_serve_refusal("--initial-cluster a=https://x:1", "TLS");
    expect_serve_refusal("--initial-cluster-state perhaps", "\"perhaps\"");
    expect_serve_refusal(
        "--election-timeout 499",
        "--election-timeout[499ms] should be at least as 5 times as --heartbeat-interval[100ms]");
    expect_serve_refusal("--election-timeout 50001 --heartbeat-interval 1000", "too long");
    expect_serve_refusal("--heartbeat-interval 0", "--heartbeat-interval is 0");
    expect_serve_refusal("--heartbeat-interval=-5", "--heartbeat-interval is -5");
    expect_serve_refusal("--max-request-bytes 0", "--max-request-bytes");
    expect_serve_refusal("--max-txn-ops=-1", "--max-txn-ops");
    expect_serve_refusal("--log-level loud", "\"loud\"");
    expect_serve_refusal("--log-format xml", "\"xml\"");
    expect_serve_refusal("--listen-client-urls http://127.0.0.1:1",
                         "--advertise-client-urls is required when --listen-client-urls is set explicitly");
    expect_serve_refusal("--listen-peer-urls http://127.0.0.1",
                         "--listen-peer-urls: \"http://127.0.0.1\" lacks a port");
    expect_serve_refusal("--listen-peer-urls=,", "--listen-peer-urls is empty");
    expect_serve_refusal("--name a=b", "'='");
    expect_serve_refusal("--cert-file x.pem", "--cert-file is not supported: TLS");
    expect_serve_refusal("--client-cert-auth", "--client-cert-auth is not supported");
    expect_serve_refusal("--peer-trusted-ca-file ca.pem", "--peer-trusted-ca-file is not supported");
    expect_serve_refusal("--auth-token jwt", "--auth-token is not supported");
    expect_serve_refusal("--wal-dir /x", "--wal-dir is not supported");
    expect_serve_refusal("--no-such-flag", "--no-such-flag is not known");
}

/* Every flag of Debian's etcd 3.4.23 is known by name. */
static void test_serve_knows_etcds_flags(void **state)
{
    static const char names[] =
        "name data-dir wal-dir snapshot-count heartbeat-interval election-timeout "
        "initial-election-tick-advance "
        "listen-peer-urls listen-client-urls max-snapshots max-wals quota-backend-bytes "
        "backend-batch-interval "
        "backend-batch-limit max-txn-ops max-request-bytes max-concurrent-streams grpc-keepalive-min-time "
        "grpc-keepalive-interval grpc-keepalive-timeout initial-advertise-peer-urls initial-cluster "
        "initial-cluster-state initial-cluster-token advertise-client-urls discovery discovery-fallback "
        "discovery-proxy "
        "discovery-srv discovery-srv-name strict-reconfig-check pre-vote auto-compaction-retention "
        "auto-compaction-mode "
        "enable-v2 cert-file key-file client-cert-auth client-crl-file client-cert-allowed-hostname "
        "trusted-ca-file "
        "auto-tls peer-cert-file peer-key-file peer-client-cert-auth peer-trusted-ca-file "
        "peer-cert-allowed-cn "
        "peer-cert-allowed-hostname peer-auto-tls peer-crl-file cipher-suites cors host-whitelist auth-token "
        "bcrypt-cost "
        "auth-token-ttl enable-pprof metrics listen-metrics-urls logger log-outputs log-level proxy "
        "proxy-failure-wait "
        "proxy-refresh-interval proxy-dial-timeout proxy-write-timeout proxy-read-timeout "
        "experimental-initial-corrupt-check experimental-corrupt-check-time experimental-enable-v2v3 "
        "experimental-backend-bbolt-freelist-type experimental-enable-lease-checkpoint "
        "experimental-compaction-batch-limit experimental-peer-skip-client-san-verification "
        "experimental-watch-progress-notify-interval experimental-warning-apply-duration force-new-cluster "
        "debug "
        "log-package-levels config-file enable-grpc-gateway";
    qr_arena arena;
    qr_arena_init(&arena);
    char *rest = qr_arena_format(&arena, "%s", names);
    for (char *name; (name = strsep(&rest, " ")) != NULL;) {
        parsed p;
        parse(&p, qr_serve_flags(), qr_arena_format(&arena, "--%s=?", name), "");
        if (strstr(p.sentence, "is not known") != NULL)
            fail_msg("%s", p.sentence);
        done(&p);
    }
    qr_arena_free(&arena);
}

static void test_tables_are_sound(void **state)
{
    qr_flags flags = qr_serve_flags();
    for (size_t i = 0; i < flags.count; i++) {
        const qr_flag *flag = &flags.table[i];
        assert_int_equal(flag->name[strspn(flag->name, "abcdefghijklmnopqrstuvwxyz0123456789-")], 0);
        assert_true(strlen(flag->help) > 0);
        assert_int_equal(i < QR_SERVE_FLAG_COUNT, flag->conduct == QR_FLAG_TAKEN);
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(flags.table[j].name, flag->name);
    }
    qr_buffer page;
    qr_buffer_init(&page);
    qr_serve_help(&page);
    qr_buffer_u8(&page, 0);
    for (size_t i = 0; i < flags.count; i++)
        assert_non_null(strstr((char *)page.data, flags.table[i].name));
    size_t column = 0;
    for (size_t i = 0; i < page.size; i++) {
        column = page.data[i] == '\n' ? 0 : column + 1;
        assert_true(column <= 120);
    }
    qr_buffer_free(&page);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms),
        cmocka_unit_test(test_booleans_and_numbers),
        cmocka_unit_test(test_unknown),
        cmocka_unit_test(test_ignored_and_refused),
        cmocka_unit_test(test_help_wins),
        cmocka_unit_test(test_serve_defaults),
        cmocka_unit_test(test_serve_identity),
        cmocka_unit_test(test_serve_several_urls),
        cmocka_unit_test(test_serve_refusals),
        cmocka_unit_test(test_serve_knows_etcds_flags),
        cmocka_unit_test(test_tables_are_sound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

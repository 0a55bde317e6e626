/* URLs, log lines, dialing. */
#include "drive.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/dial.h"

static void expect_url(const char *url, const char *wanted_host, uint16_t wanted_port)
{
    qr_arena arena;
    qr_arena_init(&arena);
    const char *host = NULL, *sentence = NULL;
    uint16_t port = 0;
    assert_int_equal(qr_os_parse_url(url, &arena, &host, &port, &sentence), QR_OK);
    assert_string_equal(host, wanted_host);
    assert_int_equal(port, wanted_port);
    qr_arena_free(&arena);
}

static void expect_bad_url(const char *url, qr_status wanted, const char *why)
{
    qr_arena arena;
    qr_arena_init(&arena);
    const char *host = NULL, *sentence = NULL;
    uint16_t port = 0;
    assert_int_equal(qr_os_parse_url(url, &arena, &host, &port, &sentence), wanted);
    assert_non_null(strstr(sentence, why));
    assert_non_null(strstr(sentence, url));
    qr_arena_free(&arena);
}

static void test_urls(void **state)
{
    expect_url("http://127.0.0.1:2379", "127.0.0.1", 2379);
    expect_url("http://localhost:2379/", "localhost", 2379);
    expect_url("http://[::1]:65535", "::1", 65535);
    expect_url("http://db-1.example.com:1", "db-1.example.com", 1);
    expect_bad_url("https://127.0.0.1:2379", QR_E_UNSUPPORTED, "TLS");
    expect_bad_url("unix:///tmp/x:1", QR_E_UNSUPPORTED, "unix socket");
    expect_bad_url("127.0.0.1:2379", QR_E_INVALID, "http://host:port");
    expect_bad_url("http://127.0.0.1", QR_E_INVALID, "lacks a port");
    expect_bad_url("http://127.0.0.1:", QR_E_INVALID, "port");
    expect_bad_url("http://127.0.0.1:0", QR_E_INVALID, "1 to 65535");
    expect_bad_url("http://127.0.0.1:65536", QR_E_INVALID, "1 to 65535");
    expect_bad_url("http://127.0.0.1:23x", QR_E_INVALID, "1 to 65535");
    expect_bad_url("http://:2379", QR_E_INVALID, "lacks a host");
    expect_bad_url("http://a:1/path", QR_E_INVALID, "path");
    expect_bad_url("http://::1:2379", QR_E_INVALID, "[ ]");
    expect_bad_url("http://[::1:2379", QR_E_INVALID, "']'");
    expect_bad_url("http://user@a:1", QR_E_INVALID, "nothing more");
    expect_bad_url("", QR_E_INVALID, "http://host:port");
}

/* What a sink wrote to a file; the time stamp is checked and cut out. */
static char *logged(qr_arena *arena, bool json, const char *message, const char *value)
{
    char *folder = drive_folder();
    char *path = qr_arena_format(arena, "%s/out", folder);
    qr_os *os = qr_os_new(&(qr_os_handlers){0}, NULL);
    const char *sentence = "";
    qr_log_config config = {.level = QR_LOG_INFO, .json = json, .outputs = path};
    assert_int_equal(qr_log_open(os, &config, arena, &sentence), QR_OK);
    qr_log(os, QR_LOG_DEBUG, "not this one", NULL);
    qr_log(os, QR_LOG_WARN, message, "key", value, NULL);
    qr_os_free(os);
    char *text = qr_arena_zero(arena, 1, 4096);
    int file = open(path, O_RDONLY);
    assert_true(read(file, text, 4095) > 0);
    close(file);
    drive_remove(folder);
    char *stamp = strstr(text, "ts=");
    stamp = stamp ? stamp + 3 : strstr(text, "\"ts\":\"") + 6;
    assert_int_equal(stamp[4], '-');
    assert_int_equal(stamp[10], 'T');
    assert_int_equal(stamp[19], '.');
    assert_int_equal(stamp[23], 'Z');
    memmove(stamp, stamp + 24, strlen(stamp + 24) + 1);
    return text;
}

static void test_log(void **state)
{
    qr_arena arena;
    qr_arena_init(&arena);
    assert_string_equal(logged(&arena, true, "plain", "value"),
                        "{\"level\":\"warn\",\"ts\":\"\",\"msg\":\"plain\",\"key\":\"value\"}\n");
    assert_string_equal(logged(&arena, true, "a \"b\" \\ c", "line\nfeed\ttab\x01\x7F"),
                        "{\"level\":\"warn\",\"ts\":\"\",\"msg\":\"a \\\"b\\\" \\\\ c\","
                        "\"key\":\"line\\nfeed\\ttab\\u0001\\u007f\"}\n");
    /* Good UTF-8 stays; broken, overlong and surrogate bytes become U+FFFD. */
    assert_string_equal(
        logged(&arena, true, "m", "\xC3\xA9 \xF0\x9F\x98\x80 \xFF \xC0\x80 \xED\xA0\x80 \xE2\x82"),
        "{\"level\":\"warn\",\"ts\":\"\",\"msg\":\"m\",\"key\":\"\xC3\xA9 \xF0\x9F\x98\x80 \xEF\xBF\xBD "
        "\xEF\xBF\xBD\xEF\xBF\xBD \xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD \xEF\xBF\xBD\xEF\xBF\xBD\"}\n");
    assert_string_equal(logged(&arena, false, "two words", "one"),
                        "ts= level=warn msg=\"two words\" key=one\n");
    assert_string_equal(logged(&arena, false, "m", "a=\"b\""), "ts= level=warn msg=m key=\"a=\\\"b\\\"\"\n");
    assert_string_equal(logged(&arena, false, "m", ""), "ts= level=warn msg=m key=\"\"\n");
    qr_arena_free(&arena);
}

/* Texts that would be a second line, another field or a command to the terminal, if they were copied. */
static void test_log_cannot_be_forged(void **state)
{
    qr_arena arena;
    qr_arena_init(&arena);
    static const char forged[] = "x\n{\"level\":\"error\",\"msg\":\"forged\"}";
    assert_string_equal(
        logged(&arena, true, "m", forged),
        "{\"level\":\"warn\",\"ts\":\"\",\"msg\":\"m\",\"key\":\"x\\n{\\\"level\\\":\\\"error\\\","
        "\\\"msg\\\":\\\"forged\\\"}\"}\n");
    assert_string_equal(logged(&arena, false, "m", "x level=error msg=forged"),
                        "ts= level=warn msg=m key=\"x level=error msg=forged\"\n");
    assert_string_equal(logged(&arena, false, "m", "x\" level=\"error\r\n"),
                        "ts= level=warn msg=m key=\"x\\\" level=\\\"error\\r\\n\"\n");
    assert_string_equal(logged(&arena, false, "m",
                               "\x1B[2J\xC2\x9B"
                               "2J\xE2\x80\xA8\xE2\x80\xAE\xE2\x81\xA7"),
                        "ts= level=warn msg=m key=\"\\u001b[2J\\u009b2J\\u2028\\u202e\\u2067\"\n");
    qr_arena_free(&arena);
}

static void format(qr_buffer *line, bool json, const char *message, ...)
{
    va_list fields;
    va_start(fields, message);
    qr_os_log_line(line, json, QR_LOG_WARN, 0, message, fields);
    va_end(fields);
}

/* Every pair of bytes as a value: one line comes out, in which only the quotes of ours stand free. */
static void test_log_takes_any_bytes(void **state)
{
    qr_buffer line;
    qr_buffer_init(&line);
    for (unsigned pair = 0; pair < 2 * 255 * 255; pair++) {
        bool json = pair % 2;
        char text[] = {(char)(pair / 2 % 255 + 1), (char)(pair / 2 / 255 + 1), 0};
        format(&line, json, "m", "a", text, "b", "c", NULL);
        size_t quotes = 0;
        for (size_t i = 0; i < line.size; i++) {
            if (line.data[i] == '\\')
                i++;
            else if (line.data[i] == '"')
                quotes++;
            if ((line.data[i] < 0x20 || line.data[i] == 0x7F) && i + 1 != line.size)
                fail_msg("a control character of %02x %02x came through", (uint8_t)text[0], (uint8_t)text[1]);
        }
        assert_int_equal(line.data[line.size - 1], '\n');
        assert_true(quotes == (json ? 20 : 0) || (!json && quotes == 2));
        const char *end = json ? ",\"b\":\"c\"}\n" : " b=c\n";
        assert_memory_equal(line.data + line.size - strlen(end), end, strlen(end));
    }
    qr_buffer_free(&line);
}

static void test_log_is_bounded(void **state)
{
    enum { LONG = 100000 };
    char *text = malloc(LONG + 1);
    qr_buffer line;
    qr_buffer_init(&line);
    static const char *const fillings[] = {"a", "\"", "\n", "\x01", "\xC3\xA9", "\xFF", "\xE2\x80\xA8"};
    for (size_t i = 0; i < 2 * (sizeof fillings / sizeof *fillings); i++) {
        const char *filling = fillings[i / 2];
        size_t size = strlen(filling);
        for (size_t at = 0; at < LONG; at++)
            text[at] = filling[at % size];
        text[LONG] = 0;
        format(&line, i % 2, "m", "a", text, "b", text, "c", text, "d", text, "e", text, "f", text, NULL);
        assert_true(line.size <= QR_OS_LOG_LINE_MAX && line.size > QR_OS_LOG_LINE_MAX / 2);
        assert_int_equal(memchr(line.data, '\n', line.size) == line.data + line.size - 1, true);
        const char *end = i % 2 ? "...\"}\n" : "...\"\n";
        assert_memory_equal(line.data + line.size - strlen(end), end, strlen(end));
        format(&line, i % 2, text, "a", "b", NULL);
        end = i % 2 ? ",\"a\":\"b\"}\n" : " a=b\n";
        assert_memory_equal(line.data + line.size - strlen(end), end, strlen(end));
    }
    qr_buffer_free(&line);
    free(text);
}

static size_t file_size(const char *path)
{
    struct stat facts;
    return stat(path, &facts) == 0 ? (size_t)facts.st_size : 0;
}

/* What logrotate does: the file is moved away, the sink is opened again. A name that cannot be opened leaves
 * level and outputs as they were. */
static void test_log_is_opened_again(void **state)
{
    qr_arena arena;
    qr_arena_init(&arena);
    char *folder = drive_folder(), *path = qr_arena_format(&arena, "%s/out", folder);
    char *moved = qr_arena_format(&arena, "%s/out.1", folder);
    qr_os *os = qr_os_new(&(qr_os_handlers){0}, NULL);
    const char *sentence = "";
    qr_log_config config = {.level = QR_LOG_INFO, .outputs = path};
    assert_int_equal(qr_log_open(os, &config, &arena, &sentence), QR_OK);
    qr_log(os, QR_LOG_INFO, "first", NULL);
    assert_int_equal(rename(path, moved), 0);
    qr_log(os, QR_LOG_INFO, "second", NULL);
    size_t size = file_size(moved);
    assert_int_equal(qr_log_open(os, &config, &arena, &sentence), QR_OK);
    qr_log(os, QR_LOG_INFO, "third", NULL);
    assert_int_equal(file_size(moved), size);
    assert_true(file_size(path) > 0 && file_size(path) < size);
    config = (qr_log_config){.level = QR_LOG_ERROR, .outputs = "stderr,/nowhere/at/all"};
    assert_int_equal(qr_log_open(os, &config, &arena, &sentence), QR_E_IO);
    size = file_size(path);
    qr_log(os, QR_LOG_INFO, "fourth", NULL);
    assert_true(file_size(path) > size);
    config.outputs = "stderr,stderr,stderr,stderr,stderr,stderr,stderr,stderr,stderr";
    assert_int_equal(qr_log_open(os, &config, &arena, &sentence), QR_E_TOO_LARGE);
    config.outputs = path;
    assert_int_equal(qr_log_open(os, &config, &arena, &sentence), QR_OK);
    size = file_size(path);
    qr_log(os, QR_LOG_WARN, "not this one", NULL);
    assert_int_equal(file_size(path), size);
    qr_os_free(os);
    drive_remove(folder);
    qr_arena_free(&arena);
}

static void test_log_cannot_be_opened(void **state)
{
    qr_arena arena;
    qr_arena_init(&arena);
    qr_os *os = qr_os_new(&(qr_os_handlers){0}, NULL);
    const char *sentence = "";
    qr_log_config config = {.outputs = "/nowhere/at/all"};
    assert_int_equal(qr_log_open(os, &config, &arena, &sentence), QR_E_IO);
    assert_non_null(strstr(sentence, "/nowhere/at/all"));
    qr_os_free(os);
    qr_arena_free(&arena);
}

static void test_dial(void **state)
{
    qr_arena arena;
    qr_arena_init(&arena);
    const char *sentence = NULL;
    uint16_t port = drive_free_port();
    char *endpoint = qr_arena_format(&arena, "127.0.0.1:%u", port);
    assert_null(qr_dial_open(endpoint, 200, &arena, &sentence));
    assert_non_null(strstr(sentence, "refused"));
    assert_null(qr_dial_open("127.0.0.1", 200, &arena, &sentence));
    assert_non_null(strstr(sentence, "lacks a port"));
    /* Somebody who accepts (in the kernel's queue) and says nothing. */
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(listener, 8), 0);
    qr_dial *dial = qr_dial_open(qr_arena_format(&arena, "http://%s", endpoint), 1000, &arena, &sentence);
    assert_non_null(dial);
    qr_buffer got;
    qr_buffer_init(&got);
    assert_int_equal(qr_dial_receive(dial, &got, 20), QR_E_TIMEOUT);
    assert_int_equal(qr_dial_send(dial, qr_slice_text("question")), QR_OK);
    int made = accept(listener, NULL, NULL);
    char text[16];
    assert_int_equal(recv(made, text, sizeof text, 0), 8);
    assert_int_equal(send(made, "answer", 6, 0), 6);
    assert_int_equal(qr_dial_receive(dial, &got, 1000), QR_OK);
    assert_int_equal(got.size, 6);
    close(made);
    assert_int_equal(qr_dial_receive(dial, &got, 1000), QR_E_IO);
    qr_dial_close(dial);
    qr_buffer_free(&got);
    close(listener);
    qr_arena_free(&arena);
}

static void test_clock_and_random(void **state)
{
    qr_os *os = qr_os_new(&(qr_os_handlers){0}, NULL);
    uint64_t before_ms = qr_os_now_ms(os);
    for (int i = 0; i < 1000; i++) {
        uint64_t now_ms = qr_os_now_ms(os);
        assert_true(now_ms >= before_ms);
        before_ms = now_ms;
    }
    assert_true(qr_os_wall_ms() > 1600000000000);
    uint8_t a[300] = {0}, b[300] = {0};
    qr_os_random(a, sizeof a);
    qr_os_random(b, sizeof b);
    assert_memory_not_equal(a, b, sizeof a);
    qr_os_free(os);
}

/* ---- the loop itself ---- */
typedef struct rounds {
    qr_os *os;
    uint64_t wanted_ms, came_ms;
    size_t turns;
} rounds;

static void round_turn(void *context, uint64_t now_ms, int64_t wall_ms)
{
    rounds *r = context;
    r->turns++;
    if (r->wanted_ms == UINT64_MAX) {
        r->wanted_ms = now_ms + 25;
    } else if (now_ms >= r->wanted_ms) {
        r->came_ms = now_ms;
        r->wanted_ms = UINT64_MAX - 1;
        qr_os_stop(r->os);
    }
}
static uint64_t round_wake_ms(void *context)
{
    return ((rounds *)context)->wanted_ms;
}

/* The first turn comes at once, the second when wake_ms says so, and none of them in a busy loop. */
static void test_wake_timer(void **state)
{
    rounds r = {.wanted_ms = UINT64_MAX};
    r.os = qr_os_new(&(qr_os_handlers){.turn = round_turn, .wake_ms = round_wake_ms}, &r);
    uint64_t before_ms = qr_os_now_ms(r.os);
    qr_os_run(r.os);
    assert_true(r.came_ms >= before_ms + 25);
    assert_true(r.came_ms < before_ms + 2000);
    assert_true(r.turns <= 10);
    qr_os_free(r.os);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_urls),
        cmocka_unit_test(test_log),
        cmocka_unit_test(test_log_cannot_be_forged),
        cmocka_unit_test(test_log_takes_any_bytes),
        cmocka_unit_test(test_log_is_bounded),
        cmocka_unit_test(test_log_is_opened_again),
        cmocka_unit_test(test_log_cannot_be_opened),
        cmocka_unit_test(test_dial),
        cmocka_unit_test(test_clock_and_random),
        cmocka_unit_test(test_wake_timer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

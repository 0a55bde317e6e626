/* Programs beside this one: their end is told once, with their last words. */
#include "drive.h"

#include <string.h>

typedef struct stage {
    qr_os *os;
    int ends, exit_status;
    char words[1024];
} stage;

static void on_ended(void *context, int exit_status, const char *words)
{
    stage *at = context;
    at->ends++;
    at->exit_status = exit_status;
    assert_in_range(strlen(words), 0, 511);
    strcpy(at->words, words);
}

static bool has_ended(void *context)
{
    return ((stage *)context)->ends > 0;
}

static void run(stage *at, const char *script)
{
    const char *arguments[] = {"/bin/sh", "-c", script, NULL};
    at->ends = 0;
    assert_int_equal(qr_os_spawn(at->os, arguments, on_ended, at), QR_OK);
    assert_int_equal(qr_os_spawn(at->os, arguments, on_ended, at), QR_E_BUSY);
    drive_until(&at->os, 1, has_ended, at, "the end of a program");
    assert_int_equal(at->ends, 1);
}

static void test_ends(void **state)
{
    (void)state;
    const qr_os_handlers handlers = {0};
    stage at = {0};
    at.os = qr_os_new(&handlers, &at);
    run(&at, "exit 0");
    assert_int_equal(at.exit_status, 0);
    assert_string_equal(at.words, "");
    run(&at, "echo out; echo 'no such luck' >&2; exit 3");
    assert_int_equal(at.exit_status, 3);
    assert_string_equal(at.words, "no such luck\n");
    run(&at, "kill -9 $$");
    assert_int_equal(at.exit_status, 128 + 9);
    run(&at, "i=0; while [ $i -lt 5000 ]; do echo 'word' >&2; i=$((i + 1)); done; echo last >&2");
    assert_int_equal(at.exit_status, 0);
    assert_non_null(strstr(at.words, "word\nlast\n"));
    qr_os_free(at.os);
}

static void test_cannot_start(void **state)
{
    (void)state;
    const qr_os_handlers handlers = {0};
    stage at = {0};
    at.os = qr_os_new(&handlers, &at);
    const char *arguments[] = {"/nowhere/at/all", NULL};
    assert_int_equal(qr_os_spawn(at.os, arguments, on_ended, &at), QR_E_IO);
    drive_once(&at.os, 1);
    drive_once(&at.os, 1);
    run(&at, "exit 0"); /* the failure left nothing behind */
    assert_int_equal(at.exit_status, 0);
    qr_os_free(at.os);
}

static void test_killed_with_us(void **state)
{
    (void)state;
    const qr_os_handlers handlers = {0};
    stage at = {0};
    at.os = qr_os_new(&handlers, &at);
    const char *arguments[] = {"/bin/sh", "-c", "while :; do read x; sleep 100; done", NULL};
    assert_int_equal(qr_os_spawn(at.os, arguments, on_ended, &at), QR_OK);
    qr_os_free(at.os);
    assert_int_equal(at.ends, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ends),
        cmocka_unit_test(test_cannot_start),
        cmocka_unit_test(test_killed_with_us),
    };
    return cmocka_run_group_tests_name("os: spawn", tests, NULL, NULL);
}

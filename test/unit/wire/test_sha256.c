/* The examples of FIPS 180-4, whole and in pieces. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "wire/sha256.h"

static void sum_of(const char *text, size_t piece, char *hex)
{
    uint8_t digest[QR_SHA256_SIZE];
    qr_sha256 *sum = qr_sha256_new();
    for (size_t at = 0, size = strlen(text); at < size; at += piece)
        qr_sha256_add(sum, qr_slice_of((const uint8_t *)text + at, size - at < piece ? size - at : piece));
    qr_sha256_end(sum, digest);
    qr_sha256_free(sum);
    for (int i = 0; i < QR_SHA256_SIZE; i++)
        snprintf(hex + 2 * i, 3, "%02x", digest[i]);
}

static void test_examples(void **state)
{
    (void)state;
    char hex[2 * QR_SHA256_SIZE + 1];
    sum_of("", 1, hex);
    assert_string_equal(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    sum_of("abc", 3, hex);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    for (size_t piece = 1; piece < 60; piece += 7) {
        sum_of("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", piece, hex);
        assert_string_equal(hex, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_examples)};
    return cmocka_run_group_tests_name("wire: sha256", tests, NULL, NULL);
}

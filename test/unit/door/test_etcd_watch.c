/* Watch streams at random, each from a seed. */
#include "unit.h"

#include "base/base.h"
#include "watch_play.h"

static void test_random_plays(void **state)
{
    enum { PLAYS = 300, SIZE = 1500 };
    uint8_t bytes[SIZE];
    size_t told = 0;
    for (uint64_t seed = 1; seed <= PLAYS; seed++) {
        qr_prng prng;
        qr_prng_seed(&prng, seed);
        for (size_t i = 0; i < SIZE; i++)
            bytes[i] = (uint8_t)qr_prng_next(&prng);
        told += watch_play(bytes, 1 + qr_prng_below(&prng, SIZE));
    }
    print_message("%zu events told\n", told);
    assert_true(told > 5000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random_plays)};
    return cmocka_run_group_tests_name("door: watch", tests, NULL, NULL);
}

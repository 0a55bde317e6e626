/* Addresses that a list of rights may name, and which of them an address lies within. */
#include "unit.h"

#include "door/zookeeper/address.h"

static void read(void **state)
{
    (void)state;
    static const char *const good[] = {"0.0.0.0",
                                       "255.1.2.3/0",
                                       "1.2.3.4/32",
                                       "::",
                                       "::1",
                                       "1::",
                                       "fe80::/10",
                                       "1:2:3:4:5:6:7:8",
                                       "::ffff:1.2.3.4",
                                       "1:2:3:4:5:6:1.2.3.4/128"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        if (qr__zk_address_of(qr_slice_text(good[i])).size == 0)
            fail_msg("%s", good[i]);
    static const char *const bad[] = {"",
                                      "300.1.1.1",
                                      "1.2.3",
                                      "1.2.3.4.5",
                                      "1.2.3.4/33",
                                      "1.2.3.4/",
                                      "1.2.3.4/x",
                                      ":",
                                      ":::",
                                      "1:2",
                                      "1::2::3",
                                      "1:2:3:4:5:6:7:",
                                      "1:2:3:4:5:6:7:8:9",
                                      "12345::",
                                      "::/129",
                                      "1:2:3:4:5:6:7:8::",
                                      "1:2:3:4:5:6:7:1.2.3.4",
                                      "::g",
                                      "1.2.3.4 "};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (qr__zk_address_of(qr_slice_text(bad[i])).size != 0)
            fail_msg("%s", bad[i]);
}

static bool within(const char *address, const char *range)
{
    return qr__zk_address_within(qr_slice_text(address), qr_slice_text(range));
}

static void lies_within(void **state)
{
    (void)state;
    assert_true(within("127.0.0.1", "127.0.0.1"));
    assert_true(within("10.200.0.1", "10.0.0.0/8"));
    assert_false(within("11.0.0.1", "10.0.0.0/8"));
    assert_true(within("10.127.0.1", "10.64.0.0/10"));
    assert_false(within("10.128.0.1", "10.64.0.0/10"));
    assert_true(within("1.2.3.4", "9.9.9.9/0"));
    assert_true(within("1:0:0:0:0:0:0:2", "1::2"));
    assert_true(within("febf::1", "fe80::/10"));
    assert_false(within("fec0::1", "fe80::/10"));
    assert_true(within("::ffff:102:304", "::ffff:1.2.3.4"));
    assert_false(within("1.2.3.4", "::/0"));
    assert_false(within("nothing", "0.0.0.0/0"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(read), cmocka_unit_test(lies_within)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

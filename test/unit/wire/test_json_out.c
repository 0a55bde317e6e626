/* Documents of JSON, laid out as Jackson does it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "wire/json_out.h"

static void key(qr_json_out *json, const char *name)
{
    qr_json_out_key(json, qr_slice_text(name));
}

static void objects_stand_in_lines_and_arrays_in_one(void **state)
{
    (void)state;
    qr_buffer out = {0};
    qr_json_out json = qr_json_out_of(&out, SIZE_MAX);
    qr_json_out_open(&json, '{');
    key(&json, "a\"");
    qr_json_out_number(&json, INT64_MIN);
    key(&json, "b");
    qr_json_out_open(&json, '[');
    qr_json_out_text(&json, qr_slice_text("\n"));
    qr_json_out_bare(&json, "null");
    qr_json_out_open(&json, '{');
    key(&json, "c");
    qr_json_out_open(&json, '{');
    qr_json_out_close(&json);
    qr_json_out_close(&json);
    qr_json_out_open(&json, '[');
    qr_json_out_close(&json);
    qr_json_out_close(&json);
    qr_json_out_close(&json);
    qr_buffer_u8(&out, 0);
    assert_string_equal(out.data, "{\n  \"a\\\"\" : -9223372036854775808,\n"
                                  "  \"b\" : [ \"\\u000a\", null, {\n    \"c\" : { }\n  }, [ ] ]\n}");
    assert_false(json.cut);
    qr_buffer_free(&out);
}

static void what_is_too_large_is_cut(void **state)
{
    (void)state;
    qr_buffer out = {0};
    qr_json_out json = qr_json_out_of(&out, 100);
    qr_json_out_open(&json, '[');
    for (int i = 0; i < 1000; i++) {
        qr_json_out_open(&json, '{');
        key(&json, "name");
        qr_json_out_number(&json, i);
        qr_json_out_close(&json);
    }
    qr_json_out_close(&json);
    assert_true(json.cut);
    assert_in_range(out.size, 100, 200);
    qr_buffer_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(objects_stand_in_lines_and_arrays_in_one),
        cmocka_unit_test(what_is_too_large_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

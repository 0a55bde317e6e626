/* Messages as JSON, both ways. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sample.pb-c.h"
#include "wire/json.h"

#define KINDS (&sample__kinds__descriptor)

typedef struct text {
    qr_buffer wire, json;
} text;

static void free_text(text *t)
{
    qr_buffer_free(&t->wire);
    qr_buffer_free(&t->json);
}

/* Reads the document, and writes it again. */
static const char *again(text *t, const char *document)
{
    const char *why;
    size_t size = strlen(document);
    uint8_t *copy = qr_alloc(size + 1); /* of exactly this size: a step outside is seen */
    memcpy(copy, document, size);
    qr_buffer_clear(&t->wire);
    qr_buffer_clear(&t->json);
    size_t taken = qr_json_read(KINDS, qr_slice_of(copy, size), &t->wire, &why);
    qr_free(copy);
    if (why)
        return why;
    assert_int_equal(taken, size);
    assert_true(t->wire.size <= size);
    assert_true(qr_json_write(KINDS, qr_buffer_slice(&t->wire), &t->json));
    qr_buffer_u8(&t->json, 0);
    return (const char *)t->json.data;
}

static void expect(const char *document, const char *wanted)
{
    text t = {0};
    assert_string_equal(again(&t, document), wanted);
    free_text(&t);
}

static void same(const char *document)
{
    expect(document, document);
}

static void values(void **state)
{
    same("{}");
    same("{\"color\":\"RED\"}");
    same("{\"color\":\"BLUE\",\"colors\":[\"NONE\",\"RED\"]}");
    expect("{\"color\":7}", "{\"color\":7}");
    expect("{\"color\":-2}", "{\"color\":\"BLUE\"}");
    same("{\"small\":-2147483648}");
    same("{\"natural\":4294967295}");
    same("{\"large\":\"18446744073709551615\"}");
    same("{\"number\":\"-9223372036854775808\"}");
    expect("{\"large\":18446744073709551615,\"number\":9223372036854775807}",
           "{\"large\":\"18446744073709551615\",\"number\":\"9223372036854775807\"}");
    expect("{\"small\":\"7\",\"natural\":\"8\"}", "{\"small\":7,\"natural\":8}");
    same("{\"raw\":\"AP/+\",\"flag\":true,\"raws\":[\"\",\"AA==\",\"AAE=\"]}");
    same("{\"empty\":{}}");
    same("{\"chosen\":\"0\"}");
    same("{\"children\":[{},{\"small\":1,\"children\":[{\"flag\":true}]},{}]}");
}

static void what_is_zero_is_left_out(void **state)
{
    expect("{\"color\":0,\"small\":0,\"number\":\"0\",\"raw\":\"\",\"flag\":false,\"camel_case_name\":\"\","
           "\"raws\":[]}",
           "{}");
    expect("{\"number\":-0}", "{}");
    expect("{\"empty\":null,\"color\":null,\"raws\":null}", "{}");
    expect("null", "{}");
}

static void names(void **state)
{
    same("{\"camel_case_name\":\"x\"}");
    expect("{\"camelCaseName\":\"x\"}", "{\"camel_case_name\":\"x\"}");
    expect("{\"camel_CaseName\":\"x\",\"Camel_case_name\":\"x\",\"camelCaseNam\":1}", "{}");
    expect("{\"unknown\":{\"a\":[1,{\"b\":null},-1.5e+3,\"\\u0041\",true,[]]},\"small\":1}", "{\"small\":1}");
    expect("{\"\\u0073mall\":1}", "{\"small\":1}");
    expect("{\"raws\":[],\"raws\":[]}", "a name occurs twice");
    expect("{\"empty\":{},\"empty\":{}}", "a name occurs twice");
    expect("{\"empty\":{},\"chosen\":0}", "two members of a oneof");
}

/* The last one counts, zero too: as decoders of the message have it. */
static void numbers_that_occur_twice(void **state)
{
    const char *why;
    qr_buffer out;
    qr_buffer_init(&out);
    qr_json_read(KINDS, qr_slice_text("{\"small\":1,\"small\":0}"), &out, &why);
    assert_null(why);
    assert_int_equal(out.size, 4);
    assert_memory_equal(out.data, "\x18\x01\x18\x00", 4);
    qr_buffer_free(&out);
}

static void strings(void **state)
{
    same("{\"camel_case_name\":\"\\\"\\\\/\\u0001\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\"}");
    expect("{\"camel_case_name\":\"a\\b\\f\\n\\r\\t\\/\\u00e4\\u20ac\\ud83d\\ude00\"}",
           "{\"camel_case_name\":\"a\\u0008\\u000c\\u000a\\u000d\\u0009/"
           "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\"}");
    expect("{\"camel_case_name\":\"\\ud83dx\\ude00\\ud83d\\u0041\"}",
           "{\"camel_case_name\":\"\xef\xbf\xbdx\xef\xbf\xbd\xef\xbf\xbd\x41\"}");
    expect("{\"camel_case_name\":\"\xff\xc0\x80\xed\xa0\x80\"}",
           "{\"camel_case_name\":\"\\ufffd\\ufffd\\ufffd\\ufffd\\ufffd\\ufffd\"}");
}

static void refusals(void **state)
{
    static const char *const bad[] = {"{",
                                      "[]",
                                      "\"x\"",
                                      "1",
                                      "{\"small\":}",
                                      "{\"small\":1,}",
                                      "{,}",
                                      "{\"small\" 1}",
                                      "{\"small\":1 \"flag\":true}",
                                      "{\"small\":1.0}",
                                      "{\"small\":1e2}",
                                      "{\"small\":01}",
                                      "{\"small\":-}",
                                      "{\"small\":\"\"}",
                                      "{\"small\":\"x\"}",
                                      "{\"small\":\" 1\"}",
                                      "{\"small\":2147483648}",
                                      "{\"natural\":-1}",
                                      "{\"natural\":4294967296}",
                                      "{\"large\":18446744073709551616}",
                                      "{\"number\":9223372036854775808}",
                                      "{\"number\":-9223372036854775809}",
                                      "{\"small\":true}",
                                      "{\"flag\":1}",
                                      "{\"flag\":\"true\"}",
                                      "{\"color\":\"GREEN\"}",
                                      "{\"color\":[]}",
                                      "{\"raw\":\"AA\"}",
                                      "{\"raw\":\"AA=\"}",
                                      "{\"raw\":\"====\"}",
                                      "{\"raw\":\"A===\"}",
                                      "{\"raw\":\"-_8=\"}",
                                      "{\"raw\":\"AA=A\"}",
                                      "{\"raw\":5}",
                                      "{\"raw\":\"A\\n\"}",
                                      "{\"raws\":\"AA==\"}",
                                      "{\"raws\":[null]}",
                                      "{\"raws\":[\"AA==\"",
                                      "{\"empty\":[]}",
                                      "{\"camel_case_name\":\"",
                                      "{\"camel_case_name\":\"\\",
                                      "{\"camel_case_name\":\"\\u12",
                                      "{\"camel_case_name\":\"\n\"}",
                                      "{\"camel_case_name\":\"\\x\"}",
                                      "{\"x\":[1,2}",
                                      "{\"x\":{\"a\"}}",
                                      "{\"x\":tru}",
                                      "{\"x\":1.}",
                                      "{\"x\":1e}",
                                      "{\"x\":nul}",
                                      "{x:1}",
                                      "{\"small\":nulll}"};
    text t = {0};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_true(again(&t, bad[i])[0] != '{');
    free_text(&t);
}

static void several_documents(void **state)
{
    static const char documents[] = " {\"small\":1}\n{\"small\":2} junk";
    const char *why;
    qr_buffer out;
    qr_buffer_init(&out);
    qr_slice rest = qr_slice_text(documents);
    size_t taken = qr_json_read(KINDS, rest, &out, &why);
    assert_int_equal(taken, 12);
    rest = qr_slice_of(rest.data + taken, rest.size - taken);
    taken = qr_json_read(KINDS, rest, &out, &why);
    assert_int_equal(taken, 12);
    rest = qr_slice_of(rest.data + taken, rest.size - taken);
    qr_json_read(KINDS, rest, &out, &why);
    assert_non_null(why);
    assert_int_equal(qr_json_read(KINDS, qr_slice_text(" \n"), &out, &why), 0);
    assert_null(why);
    assert_int_equal(qr_json_read(KINDS, qr_slice_of(NULL, 0), &out, &why), 0);
    assert_null(why);
    qr_json_read(KINDS, qr_slice_of("\0", 1), &out, &why);
    assert_non_null(why);
    qr_buffer_free(&out);
}

/* Depth is bounded, in what is known and in what is skipped. */
static void depth(void **state)
{
    for (int known = 0; known < 2; known++) {
        const char *opening = known ? "{\"children\":[" : "{\"x\":[", *why;
        qr_buffer document, out;
        qr_buffer_init(&document);
        qr_buffer_init(&out);
        for (int levels = 2; levels <= 1 << 16; levels += levels < QR_JSON_DEPTH_MAX + 10 ? 2 : levels) {
            qr_buffer_clear(&document);
            qr_buffer_clear(&out);
            for (int i = 0; i < levels / 2; i++)
                qr_buffer_add_slice(&document, qr_slice_text(opening));
            for (int i = 0; i < levels / 2; i++)
                qr_buffer_add_slice(&document, qr_slice_text("]}"));
            qr_json_read(KINDS, qr_buffer_slice(&document), &out, &why);
            assert_int_equal(why == NULL, levels <= QR_JSON_DEPTH_MAX);
        }
        qr_buffer_free(&document);
        qr_buffer_free(&out);
    }
}

/* What no encoder of ours writes is refused, not printed wrongly. */
static void odd_messages(void **state)
{
    qr_buffer out;
    qr_buffer_init(&out);
    assert_false(qr_json_write(KINDS, qr_slice_of("\x18\x01\x08\x01", 4), &out)); /* 3 before 1 */
    assert_false(qr_json_write(KINDS, qr_slice_of("\x18\x01\x18\x02", 4), &out)); /* twice */
    assert_false(qr_json_write(KINDS, qr_slice_of("\x12\x02\x01\x01", 4), &out)); /* packed */
    assert_false(qr_json_write(KINDS, qr_slice_of("\x18", 1), &out));
    assert_false(qr_json_write(KINDS, qr_slice_of("\x42\x05\x01", 3), &out));
    qr_buffer_clear(&out);
    assert_true(qr_json_write(KINDS, qr_slice_of("\x18\x01\xa0\x06\x01", 5), &out)); /* 100 is not known */
    assert_memory_equal(out.data, "{\"small\":1}", 11);
    qr_buffer_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values),
        cmocka_unit_test(what_is_zero_is_left_out),
        cmocka_unit_test(names),
        cmocka_unit_test(strings),
        cmocka_unit_test(refusals),
        cmocka_unit_test(several_documents),
        cmocka_unit_test(depth),
        cmocka_unit_test(odd_messages),
        cmocka_unit_test(numbers_that_occur_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

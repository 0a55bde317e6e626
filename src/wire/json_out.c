#include "wire/json_out.h"

#include <inttypes.h>
#include <stdio.h>

#include "wire/json.h"

qr_json_out qr_json_out_of(qr_buffer *out, size_t size_max)
{
    return (qr_json_out){.out = out, .size_max = size_max};
}

static bool has_room(qr_json_out *json)
{
    json->cut |= json->out->size >= json->size_max;
    return !json->cut;
}

static void new_line(qr_json_out *json)
{
    qr_buffer_format(json->out, "\n%*s", (int)(2 * json->objects), "");
}

/* In front of an element of an array; the key is in front of a member of an object. */
static void separate(qr_json_out *json)
{
    if (json->depth == 0 || json->levels[json->depth - 1].object)
        return;
    struct qr_json_level *level = &json->levels[json->depth - 1];
    qr_buffer_format(json->out, level->any ? ", " : " ");
    level->any = true;
}

void qr_json_out_open(qr_json_out *json, char bracket)
{
    QR_ASSERT(json->depth < QR_JSON_OUT_DEPTH_MAX);
    if (has_room(json)) {
        separate(json);
        qr_buffer_u8(json->out, (uint8_t)bracket);
    }
    json->levels[json->depth++] = (struct qr_json_level){.object = bracket == '{'};
    json->objects += bracket == '{';
}

void qr_json_out_close(qr_json_out *json)
{
    QR_ASSERT(json->depth > 0);
    struct qr_json_level level = json->levels[--json->depth];
    json->objects -= level.object;
    if (!has_room(json))
        return;
    if (level.object && level.any)
        new_line(json);
    else
        qr_buffer_u8(json->out, ' ');
    qr_buffer_u8(json->out, level.object ? '}' : ']');
}

void qr_json_out_key(qr_json_out *json, qr_slice name)
{
    QR_ASSERT(json->depth > 0 && json->levels[json->depth - 1].object);
    if (!has_room(json))
        return;
    if (json->levels[json->depth - 1].any)
        qr_buffer_u8(json->out, ',');
    json->levels[json->depth - 1].any = true;
    new_line(json);
    qr_json_write_text(json->out, name);
    qr_buffer_format(json->out, " : ");
}

void qr_json_out_text(qr_json_out *json, qr_slice text)
{
    if (!has_room(json))
        return;
    separate(json);
    qr_json_write_text(json->out, text);
}

void qr_json_out_number(qr_json_out *json, int64_t number)
{
    char digits[24];
    snprintf(digits, sizeof digits, "%" PRId64, number);
    qr_json_out_bare(json, digits);
}

void qr_json_out_bare(qr_json_out *json, const char *literal)
{
    if (!has_room(json))
        return;
    separate(json);
    qr_buffer_format(json->out, "%s", literal);
}

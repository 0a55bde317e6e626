#include "box/replay.h"

/* Takes one frame; false: none whole stands here. */
static bool take_frame(qr_reader *in, qr_slice *payload)
{
    qr_reader reader = *in;
    uint32_t size = qr_reader_u32(&reader), sum = qr_reader_u32(&reader);
    if (reader.failed || size == 0 || size > QR_BOX_FRAME_MAX || size > qr_reader_left(&reader))
        return false;
    *payload = qr_reader_take(&reader, size);
    if ((uint32_t)qr_hash(*payload, size) != sum)
        return false;
    *in = reader;
    return true;
}

static bool is_head(qr_slice payload)
{
    return payload.size > 1 + QR_BOX_MAGIC && payload.data[0] == QR_BOX_HEAD &&
           memcmp(payload.data + 1, qr_box_magic, QR_BOX_MAGIC) == 0;
}

static bool read_head(qr_slice payload, qr_box_segment *segment)
{
    qr_reader reader = qr_reader_of(payload);
    qr_reader_take(&reader, 1 + QR_BOX_MAGIC);
    qr_engine_config *config = &segment->config;
    uint8_t format = qr_reader_u8(&reader), flags = qr_reader_u8(&reader);
    segment->follows = flags & 1;
    segment->whole = flags & 2;
    segment->wall_ms = (int64_t)qr_reader_u64(&reader);
    segment->now_ms = config->now_ms = qr_reader_u64(&reader);
    segment->cluster = qr_reader_u64(&reader);
    segment->group = qr_reader_u64(&reader);
    config->self = qr_reader_u64(&reader);
    config->incarnation = qr_reader_u64(&reader);
    segment->boot = qr_reader_varint(&reader);
    segment->sequence = qr_reader_varint(&reader);
    qr_slice name = qr_reader_bytes(&reader);
    config->seed = qr_reader_u64(&reader);
    config->heartbeat_ms = (uint32_t)qr_reader_varint(&reader);
    config->election_ms = (uint32_t)qr_reader_varint(&reader);
    config->memory_max = (size_t)qr_reader_varint(&reader);
    config->message_max = (size_t)qr_reader_varint(&reader);
    config->bug = (uint32_t)qr_reader_varint(&reader);
    if (reader.failed || format != QR_BOX_FORMAT || flags > 3 || name.size >= sizeof segment->engine ||
        config->self == 0 || config->heartbeat_ms == 0 || config->election_ms <= config->heartbeat_ms ||
        config->election_ms > (1 << 30))
        return false;
    memcpy(segment->engine, name.data, name.size);
    return true;
}

/* The next place that looks like a head. */
static void skip_to_head(qr_reader *file)
{
    size_t ahead = QR_BOX_FRAME_HEADER + 1;
    while (qr_reader_left(file) >= ahead + QR_BOX_MAGIC &&
           memcmp(file->at + ahead, qr_box_magic, QR_BOX_MAGIC) != 0)
        file->at++;
    if (qr_reader_left(file) < ahead + QR_BOX_MAGIC)
        file->at = file->end;
}

static const char *read_rest(qr_reader *file, qr_box_segment *segment)
{
    qr_slice payload;
    if (!take_frame(file, &payload) || payload.data[0] != QR_BOX_IMAGE)
        return "its image is damaged";
    segment->image = qr_slice_of(payload.data + 1, payload.size - 1);
    const uint8_t *first = file->at;
    qr_reader ahead = *file;
    while (take_frame(&ahead, &payload) && payload.data[0] == QR_BOX_STEPS)
        *file = ahead;
    segment->steps = qr_slice_of(first, (size_t)(file->at - first));
    ahead = *file;
    if (qr_reader_left(file) == 0 || (take_frame(&ahead, &payload) && is_head(payload)))
        return NULL;
    return "its end is damaged, or was never written";
}

bool qr_box_next(qr_reader *file, qr_box_segment *segment, bool *lost)
{
    while (qr_reader_left(file) > 0) {
        *segment = (qr_box_segment){0};
        const uint8_t *first = file->at;
        qr_reader ahead = *file;
        qr_slice payload;
        if (take_frame(&ahead, &payload) && is_head(payload) && read_head(payload, segment)) {
            *file = ahead;
            segment->damage = read_rest(file, segment);
            segment->bytes = qr_slice_of(first, (size_t)(file->at - first));
            if (segment->damage != NULL)
                skip_to_head(file);
            return true;
        }
        *lost = true;
        file->at++;
        skip_to_head(file);
    }
    return false;
}

bool qr_box_begun(qr_slice bytes, int64_t *wall_ms)
{
    qr_box_segment segment = {0};
    qr_reader reader = qr_reader_of(bytes);
    qr_slice payload;
    if (!take_frame(&reader, &payload) || !is_head(payload) || !read_head(payload, &segment))
        return false;
    *wall_ms = segment.wall_ms;
    return true;
}

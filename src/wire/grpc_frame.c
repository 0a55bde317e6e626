#include "wire/grpc_frame.h"

#include "wire/grpc.h"

const qr_grpc_limits qr_grpc_limits_default = {
    .message_max = 2 * 1024 * 1024, /* 1.5 MiB of request and 512 KiB of overhead */
    .streams_max = 1000,
    .header_list_max = 16 * 1024,
    .buffered_max = 32 * 1024 * 1024,
};

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static void advance(qr_slice *input, size_t size)
{
    QR_ASSERT(size <= input->size);
    if (size == 0) /* the slice may be a NULL one */
        return;
    input->data += size;
    input->size -= size;
}

/* Takes what is missing of the prefix; the verdict on it once it is whole, else NOTHING. */
static qr_grpc_deframed take_prefix(qr_grpc_deframer *deframer, qr_slice *input, uint32_t message_max)
{
    size_t size = smaller(input->size, (size_t)QR_GRPC_PREFIX_SIZE - deframer->prefix_size);
    if (size)
        memcpy(deframer->prefix + deframer->prefix_size, input->data, size);
    deframer->prefix_size = (uint8_t)(deframer->prefix_size + size);
    advance(input, size);
    if (deframer->prefix_size < QR_GRPC_PREFIX_SIZE)
        return QR_GRPC_DEFRAMED_NOTHING;
    const uint8_t *at = deframer->prefix;
    deframer->message_size = (uint32_t)at[1] << 24 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 8 | at[4];
    if (at[0] != 0)
        return at[0] == 1 ? QR_GRPC_DEFRAMED_COMPRESSED : QR_GRPC_DEFRAMED_MALFORMED;
    if (deframer->message_size > message_max)
        return QR_GRPC_DEFRAMED_TOO_LARGE;
    return QR_GRPC_DEFRAMED_MESSAGE;
}

qr_grpc_deframed qr_grpc_deframer_next(qr_grpc_deframer *deframer, qr_slice *input, uint32_t message_max,
                                       qr_slice *message)
{
    if (deframer->handed_over) {
        deframer->handed_over = false;
        qr_buffer_shrink(&deframer->body, QR_GRPC_BODY_KEPT);
    }
    if (deframer->prefix_size < QR_GRPC_PREFIX_SIZE) {
        qr_grpc_deframed verdict = take_prefix(deframer, input, message_max);
        if (verdict != QR_GRPC_DEFRAMED_MESSAGE)
            return verdict;
    }
    QR_ASSERT(deframer->body.size <= deframer->message_size);
    if (deframer->body.size == 0 && input->size >= deframer->message_size) {
        *message = qr_slice_of(input->data, deframer->message_size);
        advance(input, deframer->message_size);
        deframer->prefix_size = 0;
        return QR_GRPC_DEFRAMED_MESSAGE;
    }
    size_t size = smaller(input->size, deframer->message_size - deframer->body.size);
    qr_buffer_add(&deframer->body, input->data, size);
    advance(input, size);
    if (deframer->body.size < deframer->message_size)
        return QR_GRPC_DEFRAMED_NOTHING;
    *message = qr_buffer_slice(&deframer->body);
    deframer->prefix_size = 0;
    deframer->handed_over = true;
    return QR_GRPC_DEFRAMED_MESSAGE;
}

void qr_grpc_deframer_reset(qr_grpc_deframer *deframer)
{
    deframer->prefix_size = 0;
    deframer->handed_over = false;
    qr_buffer_clear(&deframer->body);
}

void qr_grpc_deframer_free(qr_grpc_deframer *deframer)
{
    qr_grpc_deframer_reset(deframer);
    qr_buffer_free(&deframer->body);
}

static void pass_frame(qr_grpc_position *position)
{
    enum {
        TYPE_AT = 3,
        FLAGS_AT = 4,
        HEADERS = 1,
        CONTINUATION = 9,
        END_HEADERS = 4
    }; /* RFC 9113, 4.1 and 6 */
    uint8_t type = position->head[TYPE_AT];
    if (type == HEADERS || type == CONTINUATION)
        position->in_block = !(position->head[FLAGS_AT] & END_HEADERS);
    position->head_size = 0;
    if (!position->in_block)
        position->frames++;
}

void qr_grpc_position_pass(qr_grpc_position *position, qr_slice bytes)
{
    while (bytes.size > 0) {
        if (position->magic_size < QR_GRPC_MAGIC_SIZE) {
            size_t size = smaller(bytes.size, (size_t)QR_GRPC_MAGIC_SIZE - position->magic_size);
            position->magic_size = (uint8_t)(position->magic_size + size);
            advance(&bytes, size);
            continue;
        }
        if (position->head_size < QR_GRPC_HEAD_SIZE) {
            position->head[position->head_size++] = bytes.data[0];
            advance(&bytes, 1);
            if (position->head_size < QR_GRPC_HEAD_SIZE)
                continue;
            const uint8_t *head = position->head;
            position->payload_left = (uint32_t)head[0] << 16 | (uint32_t)head[1] << 8 | head[2];
        }
        size_t size = smaller(bytes.size, position->payload_left);
        position->payload_left -= (uint32_t)size;
        advance(&bytes, size);
        if (position->payload_left == 0)
            pass_frame(position);
    }
}

void qr_grpc_prefix_store(uint8_t *at, uint32_t message_size)
{
    at[0] = 0;
    at[1] = (uint8_t)(message_size >> 24);
    at[2] = (uint8_t)(message_size >> 16);
    at[3] = (uint8_t)(message_size >> 8);
    at[4] = (uint8_t)message_size;
}

bool qr_grpc_timeout_parse(qr_slice text, uint64_t *timeout_ms)
{
    if (text.size < 2 || text.size > 9)
        return false;
    uint64_t value = 0;
    for (size_t i = 0; i + 1 < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
        value = value * 10 + (uint64_t)(text.data[i] - '0');
    }
    switch (text.data[text.size - 1]) {
    case 'H': *timeout_ms = value * 3600000; return true;
    case 'M': *timeout_ms = value * 60000; return true;
    case 'S': *timeout_ms = value * 1000; return true;
    case 'm': *timeout_ms = value; return true;
    case 'u': *timeout_ms = (value + 999) / 1000; return true;
    case 'n': *timeout_ms = (value + 999999) / 1000000; return true;
    default: return false;
    }
}

void qr_grpc_text_encode(qr_buffer *out, const char *text)
{
    static const char digits[] = "0123456789ABCDEF";
    for (size_t i = 0; text[i] != '\0' && i < QR_GRPC_TEXT_MAX; i++) {
        uint8_t byte = (uint8_t)text[i];
        if (byte >= 0x20 && byte <= 0x7e && byte != '%') {
            qr_buffer_u8(out, byte);
        } else {
            uint8_t escape[3] = {'%', (uint8_t)digits[byte >> 4], (uint8_t)digits[byte & 15]};
            qr_buffer_add(out, escape, sizeof escape);
        }
    }
}

static int hex_digit(uint8_t byte)
{
    if (byte >= '0' && byte <= '9')
        return byte - '0';
    if (byte >= 'A' && byte <= 'F')
        return byte - 'A' + 10;
    if (byte >= 'a' && byte <= 'f')
        return byte - 'a' + 10;
    return -1;
}

/* A receiver keeps an escape that is none as it stands: the text is for people ("PROTOCOL-HTTP2.md",
 * Status-Message). */
void qr_grpc_text_decode(qr_buffer *out, qr_slice text)
{
    for (size_t i = 0; i < text.size; i++) {
        uint8_t byte = text.data[i];
        if (byte == '%' && text.size - i > 2) {
            int high = hex_digit(text.data[i + 1]);
            int low = hex_digit(text.data[i + 2]);
            if (high >= 0 && low >= 0) {
                byte = (uint8_t)(high << 4 | low);
                i += 2;
            }
        }
        qr_buffer_u8(out, byte);
    }
    qr_buffer_u8(out, 0);
}

bool qr_grpc_content_type_valid(qr_slice value)
{
    static const char expected[] = "application/grpc";
    const size_t size = sizeof expected - 1;
    if (value.size < size)
        return false;
    for (size_t i = 0; i < size; i++) {
        uint8_t byte = value.data[i];
        if (byte >= 'A' && byte <= 'Z')
            byte = (uint8_t)(byte - 'A' + 'a');
        if (byte != (uint8_t)expected[i])
            return false;
    }
    return value.size == size || value.data[size] == '+' || value.data[size] == ';';
}

#include "door/zookeeper/address.h"

/* Takes digits of that base; how many there were. A number of more than four digits, or none, is 0 of them.
 */
static size_t take_number(qr_slice *text, uint32_t base, uint32_t *number)
{
    size_t digits = 0;
    *number = 0;
    for (; digits < text->size; digits++) {
        uint8_t letter = text->data[digits], lower = letter | 0x20;
        uint32_t digit = letter >= '0' && letter <= '9' ? letter - (uint32_t)'0'
                         : lower >= 'a' && lower <= 'f' ? lower - (uint32_t)'a' + 10
                                                        : base;
        if (digit >= base)
            break;
        if (digits == 4)
            return 0;
        *number = *number * base + digit;
    }
    *text = qr_slice_of(text->data + digits, text->size - digits);
    return digits;
}

static bool take(qr_slice *text, const char *what)
{
    if (!qr_slice_starts(*text, qr_slice_text(what)))
        return false;
    *text = qr_slice_of(text->data + strlen(what), text->size - strlen(what));
    return true;
}

static bool take_four(qr_slice *text, uint8_t bytes[4])
{
    for (size_t i = 0; i < 4; i++) {
        uint32_t number;
        if ((i > 0 && !take(text, ".")) || take_number(text, 10, &number) == 0 || number > 255)
            return false;
        bytes[i] = (uint8_t)number;
    }
    return true;
}

/* Eight groups; "::" once, for as many zeros as are missing; the last two may be written as four numbers. */
static bool take_sixteen(qr_slice *text, uint8_t bytes[16])
{
    size_t size = 0, gap = SIZE_MAX;
    if (take(text, "::"))
        gap = 0;
    while (size < 16 && text->size > 0 && text->data[0] != '/') {
        qr_slice whole = *text;
        uint32_t number;
        if (take_number(text, 16, &number) == 0)
            return false;
        if (text->size > 0 && text->data[0] == '.') {
            *text = whole;
            if (size > 12 || !take_four(text, bytes + size))
                return false;
            size += 4;
            break;
        }
        bytes[size++] = (uint8_t)(number >> 8);
        bytes[size++] = (uint8_t)number;
        if (gap == SIZE_MAX && take(text, "::"))
            gap = size;
        else if (!take(text, ":"))
            break;
        else if (text->size == 0 || size == 16)
            return false;
    }
    if (gap == SIZE_MAX || size == 16)
        return gap == SIZE_MAX && size == 16;
    memmove(bytes + 16 - (size - gap), bytes + gap, size - gap);
    memset(bytes + gap, 0, 16 - size);
    return true;
}

qr__zk_address qr__zk_address_of(qr_slice text)
{
    qr__zk_address it = {.size = 0};
    bool sixteen = text.size > 0 && memchr(text.data, ':', text.size);
    if (sixteen ? !take_sixteen(&text, it.bytes) : !take_four(&text, it.bytes))
        return it;
    uint32_t size = sixteen ? 16 : 4;
    it.bits = 8 * size;
    if (take(&text, "/") && take_number(&text, 10, &it.bits) == 0)
        return it;
    if (text.size == 0 && it.bits <= 8 * size)
        it.size = size;
    return it;
}

bool qr__zk_address_within(qr_slice address, qr_slice range)
{
    qr__zk_address one = qr__zk_address_of(address), all = qr__zk_address_of(range);
    if (all.size == 0 || one.size != all.size)
        return false;
    uint32_t whole = all.bits / 8, rest = all.bits % 8;
    if (memcmp(one.bytes, all.bytes, whole) != 0)
        return false;
    return rest == 0 || (one.bytes[whole] ^ all.bytes[whole]) >> (8 - rest) == 0;
}

#include "door/zookeeper/four.h"

qr_zookeeper_word qr_zookeeper_word_of(qr_slice letters)
{
#define NAME(word) #word,
    static const char *const names[] = {QR_ZOOKEEPER_WORDS(NAME)};
    for (int word = 0; word < QR_ZOOKEEPER_WORD_COUNT; word++)
        if (qr_slice_equal(letters, qr_slice_text(names[word])))
            return (qr_zookeeper_word)word;
    return QR_ZOOKEEPER_WORD_COUNT;
}

static bool is_blank(uint8_t byte)
{
    return byte == ' ' || byte == '\t';
}

static qr_slice trim(qr_slice text)
{
    while (text.size > 0 && is_blank(text.data[0]))
        text = qr_slice_of(text.data + 1, text.size - 1);
    while (text.size > 0 && is_blank(text.data[text.size - 1]))
        text.size--;
    return text;
}

qr_zookeeper_word_set qr_zookeeper_words_allowed(qr_slice setting)
{
    const qr_zookeeper_word_set all = (1U << QR_ZOOKEEPER_WORD_COUNT) - 1;
    qr_zookeeper_word_set allowed = 0;
    for (size_t begin = 0, at = 0; at <= setting.size; at++) {
        if (at < setting.size && setting.data[at] != ',')
            continue;
        if (at > begin) {
            qr_slice item = trim(qr_slice_of(setting.data + begin, at - begin));
            allowed |= qr_slice_equal(item, qr_slice_text("*")) ? all : 1U << qr_zookeeper_word_of(item);
        }
        begin = at + 1;
    }
    return allowed & all;
}

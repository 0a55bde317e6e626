/* four: the four-letter words that may come in place of a session, and which of them are answered. The
 * answers are elsewhere. */
#ifndef QR_DOOR_ZOOKEEPER_FOUR_H
#define QR_DOOR_ZOOKEEPER_FOUR_H

#include "base/base.h"

#define QR_ZOOKEEPER_WORDS(X)                                                                                \
    X(conf)                                                                                                  \
    X(cons)                                                                                                  \
    X(crst)                                                                                                  \
    X(dirs)                                                                                                  \
    X(dump)                                                                                                  \
    X(envi)                                                                                                  \
    X(gtmk)                                                                                                  \
    X(hash)                                                                                                  \
    X(isro)                                                                                                  \
    X(mntr)                                                                                                  \
    X(ruok)                                                                                                  \
    X(srst)                                                                                                  \
    X(srvr)                                                                                                  \
    X(stat)                                                                                                  \
    X(stmk)                                                                                                  \
    X(wchc)                                                                                                  \
    X(wchp)                                                                                                  \
    X(wchs)

typedef enum qr_zookeeper_word {
#define QR_ZOOKEEPER_WORD(word) QR_ZOOKEEPER_WORD_##word,
    QR_ZOOKEEPER_WORDS(QR_ZOOKEEPER_WORD)
#undef QR_ZOOKEEPER_WORD
        QR_ZOOKEEPER_WORD_COUNT /* none: to be taken for a length */
} qr_zookeeper_word;

typedef uint32_t qr_zookeeper_word_set; /* bit n: word n */

qr_zookeeper_word qr_zookeeper_word_of(qr_slice letters);
/* The setting 4lw.commands.whitelist: words with commas between them, blanks around them, "*" for all. A word
 * that is not known is left out. */
qr_zookeeper_word_set qr_zookeeper_words_allowed(qr_slice setting);
static inline bool qr_zookeeper_word_in(qr_zookeeper_word_set set, qr_zookeeper_word word)
{
    return set >> word & 1;
}

#endif

/* find: which scenarios and topics a reader means who has the words of lecture notes.
 *
 * Upper and lower case, and accents (of Latin-1), make no difference. First the words are looked for as they
 * stand, side by side, in names, titles, sources and the words of topics. Only if nobody has them so, whoever
 * has all of them somewhere, each as the beginning of a word, is meant. */
#ifndef QR_LAB_FIND_H
#define QR_LAB_FIND_H

#include "lab/scenario.h"

/* The words as they are compared; owned by the arena. */
char *qr_scenario_folded(const char *text, qr_arena *arena);

typedef enum qr_scenario_manner { QR_SCENARIO_AS_THEY_STAND, QR_SCENARIO_ALL_OF_THEM } qr_scenario_manner;

/* words: folded. scenario may be NULL: whether the topic itself is meant. */
bool qr_scenario_is_meant(const char *words, qr_scenario_manner manner, const qr_scenario_topic *topic,
                          const qr_scenario *scenario);

/* The scenario whose name is most like this one, which is none of them; NULL: none is alike. */
const char *qr_scenario_name_like(const char *name);

#endif

/* narrate: what happens in a world, told: sentences for people, or JSON lines for programs. */
#ifndef QR_LAB_NARRATE_H
#define QR_LAB_NARRATE_H

#include "lab/scenario.h"

typedef struct qr_narrator {
    bool json;
    qr_buffer out; /* owned: whole lines; the owner takes them when it likes */
    uint64_t told; /* lines of the story that have a number */
} qr_narrator;

/* An ear that writes into the narrator, which must outlive it. */
qr_lab_ear qr_narrator_ear(qr_narrator *narrator);

void qr_narrate_begin(qr_narrator *narrator, const qr_scenario *scenario);
void qr_narrate_end(qr_narrator *narrator, const qr_scenario *scenario, const qr_scenario_result *result);

#endif

/* scenario: a text file that says what a protocol's processes go through, and how that ends.
 *
 * One line, one matter; `#` begins a comment. First the head (name, title, source, about, protocol, members,
 * seed, let, allow), then the steps; doc/formats/scenario.md has every line. Reading checks the form; whether
 * names and values make sense turns out when it is run. */
#ifndef QR_LAB_SCENARIO_H
#define QR_LAB_SCENARIO_H

#include "lab/explore.h"
#include "lab/lab.h"

enum {
    QR_SCENARIO_SIZE_MAX = 65536, /* bytes of a file */
    QR_SCENARIO_WORDS_MAX = 64,   /* of a line */
    QR_SCENARIO_DEPTH_MAX = 8,    /* of repeats */
    QR_SCENARIO_COMPLAINT_MAX = 256,
};

typedef enum qr_scenario_verb {
    QR_SCENARIO_EVENT, /* PROCESS EVENT ARGUMENT... */
    QR_SCENARIO_DELIVER,
    QR_SCENARIO_DROP,
    QR_SCENARIO_DUPLICATE,
    QR_SCENARIO_CRASH,
    QR_SCENARIO_RESTART,
    QR_SCENARIO_PARTITION,
    QR_SCENARIO_HEAL,
    QR_SCENARIO_RUN,
    QR_SCENARIO_RANDOM,
    QR_SCENARIO_SAMPLE,
    QR_SCENARIO_EXPLORE,
    QR_SCENARIO_REPEAT,
    QR_SCENARIO_END,
    QR_SCENARIO_NOTE,
    QR_SCENARIO_QUIET,
    QR_SCENARIO_LOUD,
    QR_SCENARIO_EXPECT,
} qr_scenario_verb;

typedef struct qr_scenario_step {
    qr_scenario_verb verb;
    uint32_t line;      /* of the file, from 1 */
    qr_lab_words words; /* EVENT: all of them; else without the verb */
    qr_slice rest;      /* NOTE: the text */
    size_t partner;     /* REPEAT: its END; END: its REPEAT */
} qr_scenario_step;

typedef struct qr_scenario {
    qr_slice name, title, source; /* source may be empty */
    qr_slice about;               /* the lines of the file from the first `about` to the last; may be empty */
    const qr_lab_protocol *protocol;
    qr_lab_setting setting;
    qr_scenario_step *steps; /* owned */
    size_t step_count, step_room;
    qr_arena arena; /* of the words */
} qr_scenario;

/* text is borrowed as long as the scenario lives. INVALID or TOO_LARGE: complaint (of COMPLAINT_MAX bytes)
 * says which line and why. qr_scenario_free() in either case. */
qr_status qr_scenario_read(qr_slice text, qr_scenario *scenario, char *complaint);
void qr_scenario_free(qr_scenario *scenario);

/* The files of the folder scenarios/, built into the program; name NULL ends the list. */
typedef struct qr_scenario_file {
    const char *name;
    uint32_t topic; /* index into qr_scenario_topics */
    const char *text;
} qr_scenario_file;
extern const qr_scenario_file qr_scenario_files[];

/* What scenarios/topics says they are about; title NULL ends the list. A topic may have no scenario. */
typedef struct qr_scenario_topic {
    const char *title;
    const char *page;  /* of doc/ */
    const char *words; /* of lecture notes, by which it is found */
    const char *see;   /* a line each: what else to look at; may be empty */
} qr_scenario_topic;
extern const qr_scenario_topic qr_scenario_topics[];

typedef struct qr_scenario_result {
    bool as_expected;
    uint32_t expectations; /* that were looked at */
    qr_buffer wrong;       /* a line each of what was not; owned */
    const char *violation; /* NULL, or what broke; static */
    uint64_t steps, sent;
    bool explored, sampled; /* sampled: finding is of walks; states and moves count these and their steps */
    qr_lab_finding finding; /* of the last explore or sample; path is not kept */
} qr_scenario_result;

/* Runs it to its end or to the first broken property. ear may be NULL. */
void qr_scenario_run(const qr_scenario *scenario, const qr_lab_ear *ear, qr_scenario_result *result);
/* Everything that may happen with its members and parameters, instead of its steps. */
void qr_scenario_explore(const qr_scenario *scenario, const qr_lab_ear *ear, qr_scenario_result *result);
void qr_scenario_result_free(qr_scenario_result *result);

#endif

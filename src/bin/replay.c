/* replay: what the black boxes of members have recorded, through the same code again. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bin/bin.h"
#include "bin/engines.h"
#include "bin/recording.h"

enum { REPLAY_SAME, REPLAY_DIFFERS, REPLAY_USAGE }; /* exit statuses */

static const char help[] =
    "NAME\n"
    "    quorate replay - repeat what members have recorded, step by step\n\n"
    "SYNOPSIS\n"
    "    quorate replay [--story] [--member ID] FILE\n\n"
    "DESCRIPTION\n"
    "    FILE comes from 'quorate blackbox pull', or is a file blackbox-N of a data folder. Every event that "
    "the\n"
    "    consensus of a member was told goes through the code of this program again. After each step its "
    "effects\n"
    "    are compared with those that were recorded: what it sent, wrote, committed and answered.\n\n"
    "    Prints the story of all members in the order of their wall clocks: elections, votes, links, changes "
    "of\n"
    "    members, what was cut off. Times are UTC. Last come the verdict and, for log entries at which more "
    "than\n"
    "    one member has noted the digest of its state, whether these are equal.\n\n"
    "OPTIONS\n"
    "    --story         everything that was traced: appends, commits and rounds of reads as well.\n"
    "    --member ID     only this one; hexadecimal.\n"
    "    --help          print this page and end.\n\n"
    "EXIT STATUS\n"
    "    0   every step had the same effects.\n"
    "    1   a step differs, or a part of the file is damaged; the first such place is printed.\n"
    "    2   the file cannot be read or holds no recording, or the command line is wrong.\n\n"
    "EXAMPLES\n"
    "    quorate blackbox pull incident.box\n"
    "    quorate replay incident.box\n"
    "    quorate replay --story --member 8e9e05c52164694d incident.box | less\n";

typedef struct line {
    int64_t wall_ms;
    size_t order;
    const char *text;
} line;

typedef struct applied {
    uint64_t index, digest;
    uint64_t cluster;
} applied;

typedef struct replay {
    qr_arena arena;
    qr_recording recording;
    const char *path;
    bool help, story;
    uint64_t only; /* a member; 0 = all */
    line *lines;
    size_t line_count, line_room;
    applied *states;
    size_t state_count, state_room;
    uint64_t states_shared;
} replay;

/* ------------------------------------------------------------ the story ---- */

static const char *name_of(void *context, uint64_t id)
{
    replay *self = context;
    return id == 0 ? "nobody" : qr_arena_format(&self->arena, "%" PRIx64, id);
}

/* What happens with every write or every heartbeat is no news. */
static bool is_news(qr_trace_kind kind)
{
    switch (kind) {
    case QR_TRACE_APPEND:
    case QR_TRACE_COMMIT:
    case QR_TRACE_READ_ROUND:
    case QR_TRACE_READ_DONE:
    case QR_TRACE_FETCH: return false;
    default: return true;
    }
}

static void on_traced(void *context, const qr_box_segment *segment, int64_t wall_ms,
                      const qr_trace_record *record)
{
    replay *self = context;
    if (!self->story && !is_news(record->kind))
        return;
    qr_buffer text;
    qr_buffer_init(&text);
    time_t second = (time_t)(wall_ms / 1000);
    struct tm utc;
    char stamp[32];
    gmtime_r(&second, &utc);
    strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &utc);
    qr_buffer_format(&text, "[%s.%03d] %" PRIx64 " ", stamp, (int)(wall_ms % 1000), segment->config.self);
    qr_trace_say(record, name_of, self, &text);
    if (self->line_count == self->line_room) {
        self->line_room = self->line_room ? self->line_room * 2 : 1024;
        self->lines = qr_realloc(self->lines, self->line_room * sizeof *self->lines);
    }
    self->lines[self->line_count] = (line){.wall_ms = wall_ms,
                                           .order = self->line_count,
                                           .text = qr_arena_text(&self->arena, qr_buffer_slice(&text))};
    self->line_count++;
    qr_buffer_free(&text);
}

static int by_time(const void *a, const void *b)
{
    const line *left = a, *right = b;
    if (left->wall_ms != right->wall_ms)
        return left->wall_ms < right->wall_ms ? -1 : 1;
    return left->order < right->order ? -1 : left->order > right->order;
}

static void print_story(replay *self)
{
    if (self->line_count > 0)
        qsort(self->lines, self->line_count, sizeof *self->lines, by_time);
    for (size_t i = 0; i < self->line_count; i++)
        puts(self->lines[i].text);
}

/* ------------------------------------------------------------ states ---- */

static void on_applied(void *context, const qr_box_segment *segment, uint64_t index, uint64_t digest)
{
    replay *self = context;
    if (self->state_count == self->state_room) {
        self->state_room = self->state_room ? self->state_room * 2 : 4096;
        self->states = qr_realloc(self->states, self->state_room * sizeof *self->states);
    }
    self->states[self->state_count++] =
        (applied){.index = index, .digest = digest, .cluster = segment->cluster};
}

static int by_index(const void *a, const void *b)
{
    const applied *left = a, *right = b;
    if (left->cluster != right->cluster)
        return left->cluster < right->cluster ? -1 : 1;
    return left->index < right->index ? -1 : left->index > right->index;
}

/* The first entry at which two digests differ; 0 = none does. */
static uint64_t compare_states(replay *self)
{
    if (self->state_count > 0)
        qsort(self->states, self->state_count, sizeof *self->states, by_index);
    for (size_t i = 1; i < self->state_count; i++) {
        const applied *before = &self->states[i - 1], *one = &self->states[i];
        if (before->index != one->index || before->cluster != one->cluster)
            continue;
        self->states_shared++;
        if (before->digest != one->digest)
            return one->index;
    }
    return 0;
}

/* ------------------------------------------------------------ repeating ---- */

static const qr_engine_ops *engine_of(void *context, const char *name)
{
    return qr_bin_engine(name);
}

static void say_difference(const qr_box_segment *segment, const qr_replay_result *result)
{
    printf("differs: member %" PRIx64 ", start %" PRIu64 ", segment %" PRIu64 ", ", segment->config.self,
           segment->boot, segment->sequence);
    if (result->step > 0)
        printf("step %" PRIu64 " (%s): ", result->step, qr_event_name(result->event));
    printf("%s\n", result->difference);
}

/* Members do not depend on each other: behind a difference the others are still repeated. */
static int repeat(replay *self)
{
    qr_replay *engine = qr_replay_new(&(qr_replay_config){
        .engine = engine_of, .traced = on_traced, .applied = on_applied, .context = self});
    qr_replay_result result = {0};
    qr_replay_result first = {0};
    const qr_box_segment *where = NULL;
    uint64_t differing = 0;
    size_t repeated = 0;
    for (size_t i = 0; i < self->recording.count; i++) {
        const qr_box_segment *segment = &self->recording.list[i];
        if (self->only != 0 && self->only != segment->config.self)
            continue;
        repeated++;
        if (!qr_replay_segment(engine, segment, &result) && differing++ == 0) {
            first = result;
            where = segment;
        }
    }
    qr_replay_free(engine);
    print_story(self);
    if (where != NULL)
        say_difference(where, &first);
    uint64_t divergent = compare_states(self);
    printf("%zu segments, %" PRIu64 " steps repeated; ", repeated, result.steps);
    if (differing > 0)
        printf("%" PRIu64 " segments differ\n", differing);
    else
        printf("every step had the effects that were recorded\n");
    if (divergent != 0)
        printf("the states of two members differ at entry %" PRIu64 "\n", divergent);
    else if (self->states_shared > 0)
        printf("digests of states agree at %" PRIu64 " entries\n", self->states_shared);
    if (self->recording.lost)
        printf("damaged: a part of the file is no recording that can be read\n");
    if (repeated == 0)
        return REPLAY_USAGE;
    return differing > 0 || divergent != 0 || self->recording.lost ? REPLAY_DIFFERS : REPLAY_SAME;
}

static const char *parse(replay *self, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const char *at = argv[i];
        if (at[0] != '-') {
            if (self->path != NULL)
                return "one file at a time";
            self->path = at;
            continue;
        }
        at += strspn(at, "-");
        char *end = NULL;
        if (strcmp(at, "help") == 0 || strcmp(at, "h") == 0)
            self->help = true;
        else if (strcmp(at, "story") == 0)
            self->story = true;
        else if (strcmp(at, "member") == 0 && i + 1 < argc)
            self->only = strtoull(argv[++i], &end, 16);
        else
            return qr_arena_format(&self->arena, "the flag %s is not known, or lacks its value", argv[i]);
        if (end != NULL && (*end != 0 || self->only == 0))
            return "--member takes the hexadecimal id of a member";
    }
    return self->path == NULL && !self->help ? "which file?" : NULL;
}

int qr_replay_main(int argc, char **argv)
{
    replay self = {0};
    qr_arena_init(&self.arena);
    self.recording.arena = &self.arena;
    int exit_status = REPLAY_USAGE;
    const char *sentence = parse(&self, argc, argv);
    if (sentence == NULL && self.help) {
        fputs(help, stdout);
        exit_status = REPLAY_SAME;
    } else if (sentence == NULL && qr_recording_add_file(&self.recording, self.path, &sentence)) {
        qr_recording_sort(&self.recording);
        if (self.recording.count == 0)
            sentence = qr_arena_format(&self.arena, "%s holds no recording", self.path);
        else
            exit_status = repeat(&self);
    }
    if (sentence != NULL)
        fprintf(stderr, "quorate replay: %s\nTry 'quorate replay --help'.\n", sentence);
    qr_recording_free(&self.recording);
    qr_free(self.lines);
    qr_free(self.states);
    qr_arena_free(&self.arena);
    return exit_status;
}

/* A campaign in several processes. Seeds are independent of each other, so each worker takes every n-th one
 * and writes a record per seed into its pipe. A worker that dies (a sanitizer's report, a bad address) takes
 * only its present seed with it: that seed has failed, and a new worker goes on behind it. */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bin/simulate.h"
#include "bin/verify.h"
#include "sim/door/door.h"
#include "tree/tree.h"

enum { JOBS_MAX = 64 };

/* Where SIGABRT jumps to: a signal handler can be told in no other way. One per process, armed only during a
 * run. */
static sigjmp_buf abort_jump;
static volatile sig_atomic_t abort_armed;

static void on_abort(int signal_number)
{
    if (abort_armed) {
        abort_armed = 0;
        siglongjmp(abort_jump, 1);
    }
}

static qr_machine *new_machine(uint32_t bug, uint64_t admit_bytes)
{
    qr_tree_config config = {.bug = bug, .admit_bytes = admit_bytes, .move_always = true};
    return qr_tree_open(&config);
}

static const char *verify_files(const qr_disk *disk)
{
    verify v;
    qr_verify_init(&v);
    const char *sentence = qr_verify_inspect(&v, disk);
    const char *wrong = qr_verify_is_damaged(&v)             ? "damage is found in them"
                        : v.segments > 0 && sentence != NULL ? "they cannot be checked"
                                                             : NULL;
    qr_verify_free(&v);
    return wrong;
}

static void run_once(const qr_simulate_options *options, uint64_t seed, FILE *story, qr_sim_report *report)
{
    qr_sim_config config = {
        .seed = seed,
        .engine = options->engine,
        .machine = new_machine,
        .verify = verify_files,
        .door = &qr_sim_door_zookeeper,
        .doors = options->doors,
        .elects = options->elects,
        .groups = options->groups,
        .nodes = options->nodes,
        .fault_ms = options->fault_ms,
        .bug = options->bug,
        .story = story,
    };
    struct sigaction action = {.sa_handler = on_abort, .sa_flags = SA_NODEFER}, before;
    sigaction(SIGABRT, &action, &before);
    if (sigsetjmp(abort_jump, 1) == 0) {
        abort_armed = 1;
        (options->groups ? qr_sim_groups_run : qr_sim_run)(&config, report);
    } else {
        report->failed = true;
        report->invariant = "keeps-its-promises";
        snprintf(report->detail, sizeof report->detail, "an assertion has failed");
    }
    abort_armed = 0;
    sigaction(SIGABRT, &before, NULL);
}

static uint64_t cpu_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

void qr_simulate_one(const qr_simulate_options *options, uint64_t seed, qr_simulate_record *record)
{
    static const qr_simulate_record empty;
    *record = empty;
    record->seed = seed;
    uint64_t before = cpu_us();
    run_once(options, seed, options->story ? stdout : NULL, &record->report);
    if (options->twice && !record->report.failed) {
        static qr_sim_report again;
        run_once(options, seed, NULL, &again);
        if (again.trace_hash != record->report.trace_hash) {
            record->report.failed = true;
            record->report.invariant = "same-seed-same-run";
            snprintf(record->report.detail, sizeof record->report.detail, "trace hash %016llx, then %016llx",
                     (unsigned long long)record->report.trace_hash, (unsigned long long)again.trace_hash);
        }
    }
    record->cpu_us = cpu_us() - before;
    snprintf(record->invariant, sizeof record->invariant, "%s",
             record->report.invariant ? record->report.invariant : "");
    record->report.invariant = NULL;
}

/* ---------------------------------------------------------------- workers ---- */

typedef struct worker {
    pid_t pid;
    int pipe;
    FILE *errors;  /* its standard error */
    uint64_t seed; /* the one it is at */
    qr_simulate_record record;
    size_t got; /* bytes of .record */
    bool running;
} worker;

static void write_all(int file, const void *data, size_t size)
{
    const char *at = data;
    while (size > 0) {
        ssize_t written = write(file, at, size);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            _exit(3); /* the parent is gone */
        at += written;
        size -= (size_t)written;
    }
}

/* The first line of what was said on standard error. */
static void first_line(FILE *errors, char *text, size_t size)
{
    text[0] = 0;
    fflush(errors);
    rewind(errors);
    if (fgets(text, (int)size, errors) != NULL)
        text[strcspn(text, "\n")] = 0;
}

static _Noreturn void work(const qr_simulate_options *options, const worker *self, int out)
{
    static qr_simulate_record record;
    bool leaked = false;
    dup2(fileno(self->errors), STDERR_FILENO);
    for (uint64_t seed = self->seed; seed <= options->last && seed >= self->seed; seed += options->jobs) {
        qr_simulate_one(options, seed, &record);
        if (strcmp(record.invariant, "keeps-its-promises") == 0) {
            leaked = true; /* the world was left where it stood */
            first_line(self->errors, record.report.detail, sizeof record.report.detail);
            rewind(self->errors);
            if (ftruncate(fileno(self->errors), 0) != 0)
                _exit(3);
            lseek(STDERR_FILENO, 0, SEEK_SET);
        }
        write_all(out, &record, sizeof record);
    }
    if (leaked)
        _exit(0);
    exit(0);
}

static void start(const qr_simulate_options *options, worker *workers, uint32_t number, uint64_t seed)
{
    worker *self = &workers[number];
    int ends[2];
    *self = (worker){.seed = seed, .running = true, .errors = tmpfile()};
    if (self->errors == NULL || pipe(ends) != 0) {
        perror("quorate sim");
        exit(2);
    }
    fflush(stdout);
    self->pid = fork();
    if (self->pid < 0) {
        perror("quorate sim: fork");
        exit(2);
    }
    if (self->pid == 0) {
        close(ends[0]);
        for (uint32_t i = 0; i < options->jobs; i++)
            if (i != number && workers[i].running)
                close(workers[i].pipe);
        work(options, self, ends[1]);
    }
    close(ends[1]);
    self->pipe = ends[0];
}

static void say_errors(FILE *errors)
{
    char line[512];
    fflush(errors);
    rewind(errors);
    for (int i = 0; i < 60 && fgets(line, sizeof line, errors) != NULL; i++)
        fputs(line, stderr);
}

/* The worker has closed its pipe. true: it had not finished, and *record tells of the seed it died in. */
static bool reap(const qr_simulate_options *options, worker *self, qr_simulate_record *record)
{
    int status = 0;
    waitpid(self->pid, &status, 0);
    close(self->pipe);
    self->running = false;
    bool died = !WIFEXITED(status) || WEXITSTATUS(status) != 0;
    if (died) {
        say_errors(self->errors);
        *record = (qr_simulate_record){.seed = self->seed};
        record->report.failed = true;
        bool ended = self->seed > options->last;
        snprintf(record->invariant, sizeof record->invariant, "%s",
                 ended ? "leaves-no-memory" : "stays-alive");
        char *detail = record->report.detail;
        first_line(self->errors, detail, sizeof record->report.detail);
        if (detail[0] == 0 && WIFSIGNALED(status))
            snprintf(detail, sizeof record->report.detail, "killed by signal %d", WTERMSIG(status));
    }
    fclose(self->errors);
    return died;
}

/* Takes what the worker has written; false: the campaign is to end. */
static bool listen_to(const qr_simulate_options *options, worker *workers, uint32_t number,
                      bool (*tell)(void *, const qr_simulate_record *), void *context)
{
    worker *self = &workers[number];
    char *at = (char *)&self->record + self->got;
    ssize_t got = read(self->pipe, at, sizeof self->record - self->got);
    if (got < 0 && errno == EINTR)
        return true;
    if (got > 0) {
        self->got += (size_t)got;
        if (self->got < sizeof self->record)
            return true;
        self->got = 0;
        self->seed = self->record.seed + options->jobs;
        return tell(context, &self->record);
    }
    qr_simulate_record record;
    if (!reap(options, self, &record))
        return true;
    bool go_on = tell(context, &record);
    if (go_on && record.seed + options->jobs <= options->last)
        start(options, workers, number, record.seed + options->jobs);
    return go_on;
}

void qr_simulate_all(const qr_simulate_options *options, bool (*tell)(void *, const qr_simulate_record *),
                     void *context)
{
    static worker workers[JOBS_MAX];
    QR_ASSERT(options->jobs >= 1 && options->jobs <= JOBS_MAX);
    for (uint32_t i = 0; i < options->jobs && options->first + i <= options->last; i++)
        start(options, workers, i, options->first + i);
    bool go_on = true;
    while (go_on) {
        struct pollfd polls[JOBS_MAX];
        uint32_t numbers[JOBS_MAX], count = 0;
        for (uint32_t i = 0; i < options->jobs; i++)
            if (workers[i].running) {
                polls[count] = (struct pollfd){.fd = workers[i].pipe, .events = POLLIN};
                numbers[count++] = i;
            }
        if (count == 0)
            return;
        if (poll(polls, count, -1) < 0 && errno != EINTR)
            break;
        for (uint32_t i = 0; i < count && go_on; i++)
            if (polls[i].revents != 0)
                go_on = listen_to(options, workers, numbers[i], tell, context);
    }
    for (uint32_t i = 0; i < options->jobs; i++)
        if (workers[i].running) {
            kill(workers[i].pid, SIGKILL);
            waitpid(workers[i].pid, NULL, 0);
            close(workers[i].pipe);
            fclose(workers[i].errors);
        }
}

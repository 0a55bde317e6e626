/* What the benchmarks count with: CPU time, and instructions of this program where the machine tells. */
#ifndef BENCH_METER_H
#define BENCH_METER_H

#include <inttypes.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

typedef struct meter {
    int counter; /* descriptor, or -1 */
    double began;
    uint64_t instructions;
} meter;

static inline double meter_seconds(void)
{
    struct timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static inline uint64_t meter_instructions(const meter *m)
{
    uint64_t count = 0;
    return m->counter >= 0 && read(m->counter, &count, sizeof count) == (ssize_t)sizeof count ? count : 0;
}

static inline void meter_open(meter *m)
{
    struct perf_event_attr about = {.type = PERF_TYPE_HARDWARE,
                                    .size = sizeof about,
                                    .config = PERF_COUNT_HW_INSTRUCTIONS,
                                    .exclude_kernel = 1,
                                    .exclude_hv = 1};
    m->counter = (int)syscall(SYS_perf_event_open, &about, 0, -1, -1, 0);
}

static inline void meter_begin(meter *m)
{
    m->instructions = meter_instructions(m);
    m->began = meter_seconds();
}

static inline void meter_say(meter *m, const char *what, double operations)
{
    double ns = (meter_seconds() - m->began) * 1e9 / operations;
    uint64_t used = meter_instructions(m) - m->instructions;
    if (m->counter >= 0)
        printf("%-44s %9.1f ns %9.0f instructions\n", what, ns, (double)used / operations);
    else
        printf("%-44s %9.1f ns\n", what, ns);
}

#endif

/* quorate sim: runs whole clusters in simulated worlds, one for each seed, and says which of them broke a
 * rule. */
#include "bin/simulate.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "bin/bin.h"
#include "bin/planted.h"
#include "fixed/fixed.h"
#include "paxos/paxos.h"
#include "raft/raft.h"

static const char help[] =
    "usage: quorate sim [options]\n"
    "\n"
    "Runs a whole cluster - the production code of engine, log, tree and node - in a simulated world: disks "
    "that lose\n"
    "and tear what was not synced, a network that loses, repeats, delays and cuts, processes that die at any "
    "moment,\n"
    "clients that read and write. After every step it checks that no rule was broken. One seed is one run, "
    "and always\n"
    "the same one.\n"
    "\n"
    "  --seeds A-B      run these seeds (default 1-100)\n"
    "  --seed N         run this one\n"
    "  --engine NAME    raft (default), paxos or fixed\n"
    "  --nodes N        1 to 7 members; else each seed draws 1, 3 or 5\n"
    "  --groups N       another world: three hosts with replicas of N groups (1 to 4), and transactions over "
    "several of them\n"
    "  --fault-ms N     simulated milliseconds with faults; else each seed draws 6000 to 16000\n"
    "  --doors          in every seed clients of ZooKeeper, too; else in some of them\n"
    "  --story          tell what happens, sentence by sentence (with --seed)\n"
    "  --twice          run each seed twice and compare the trace hashes\n"
    "  --hashes         print the trace hash of each seed, to compare builds\n"
    "  --first          stop at the first failure\n"
    "  --jobs J         processes (default: one a processor)\n"
    "  --bug NAME       plant this bug (builds with -Dplanted_bugs=true); 'list' names them\n"
    "  --help           this text\n"
    "\n"
    "A line for each failure names the seed, the rule, the simulated time and the command that replays it. "
    "The exit\n"
    "status is 0 if no seed failed, 1 if one did, 2 if the options make no sense.\n";

typedef struct campaign {
    const qr_simulate_options *options;
    uint64_t seeds, failures, hash;
    qr_sim_report total; /* sums */
    uint64_t cpu_us;
} campaign;

/* ---------------------------------------------------------------- options ---- */

static int list_bugs(void)
{
    for (size_t i = 1; i < QR_BUG_COUNT; i++)
        printf("%-30s row %2d  %s\n", qr_planted_bugs[i].name, qr_planted_bugs[i].row,
               qr_planted_bugs[i].what);
#ifndef QR_PLANTED_BUGS
    printf("(this build has none of them: meson setup -Dplanted_bugs=true)\n");
#endif
    return 0;
}

static bool parse_number(const char *text, uint64_t max, uint64_t *number)
{
    char *end;
    if (text[0] < '0' || text[0] > '9')
        return false;
    *number = strtoull(text, &end, 10);
    return *end == 0 && *number <= max;
}

static bool parse_seeds(const char *text, qr_simulate_options *options)
{
    char first[32] = {0};
    const char *dash = strchr(text, '-');
    if (dash == NULL || (size_t)(dash - text) >= sizeof first)
        return false;
    memcpy(first, text, (size_t)(dash - text));
    return parse_number(first, UINT64_MAX / 2, &options->first) &&
           parse_number(dash + 1, UINT64_MAX / 2, &options->last) && options->first <= options->last;
}

static bool parse_engine(const char *name, qr_simulate_options *options)
{
    if (strcmp(name, "raft") == 0) {
        options->engine = &qr_raft;
        options->elects = true;
    } else if (strcmp(name, "paxos") == 0) {
        options->engine = &qr_paxos;
        options->elects = true;
    } else if (strcmp(name, "fixed") == 0) {
        options->engine = &qr_fixed;
        options->elects = false;
    } else
        return false;
    return true;
}

static bool parse_bug(const char *name, qr_simulate_options *options)
{
    options->bug = qr_planted_find(name);
    return options->bug != 0;
}

enum {
    OPTION_SEEDS = 256,
    OPTION_SEED,
    OPTION_ENGINE,
    OPTION_NODES,
    OPTION_GROUPS,
    OPTION_FAULT,
    OPTION_DOORS,
    OPTION_STORY,
    OPTION_TWICE,
    OPTION_HASHES,
    OPTION_FIRST,
    OPTION_JOBS,
    OPTION_BUG,
    OPTION_HELP
};

static const struct option long_options[] = {
    {"seeds", required_argument, NULL, OPTION_SEEDS},
    {"seed", required_argument, NULL, OPTION_SEED},
    {"engine", required_argument, NULL, OPTION_ENGINE},
    {"nodes", required_argument, NULL, OPTION_NODES},
    {"groups", required_argument, NULL, OPTION_GROUPS},
    {"fault-ms", required_argument, NULL, OPTION_FAULT},
    {"doors", no_argument, NULL, OPTION_DOORS},
    {"story", no_argument, NULL, OPTION_STORY},
    {"twice", no_argument, NULL, OPTION_TWICE},
    {"hashes", no_argument, NULL, OPTION_HASHES},
    {"first", no_argument, NULL, OPTION_FIRST},
    {"jobs", required_argument, NULL, OPTION_JOBS},
    {"bug", required_argument, NULL, OPTION_BUG},
    {"help", no_argument, NULL, OPTION_HELP},
    {NULL, 0, NULL, 0},
};

static bool take_number(uint32_t *target, uint64_t max)
{
    uint64_t number = 0;
    bool good = parse_number(optarg, max, &number) && number > 0;
    *target = (uint32_t)number;
    return good;
}

static bool take_option(int option, qr_simulate_options *options)
{
    switch (option) {
    case OPTION_SEEDS: return parse_seeds(optarg, options);
    case OPTION_SEED:
        if (!parse_number(optarg, UINT64_MAX / 2, &options->first))
            return false;
        options->last = options->first;
        return true;
    case OPTION_ENGINE: return parse_engine(optarg, options);
    case OPTION_NODES: return take_number(&options->nodes, 7);
    case OPTION_GROUPS: return take_number(&options->groups, QR_SIM_GROUPS_MAX);
    case OPTION_FAULT: return take_number(&options->fault_ms, 3600000);
    case OPTION_DOORS: return options->doors = true;
    case OPTION_STORY: return options->story = true;
    case OPTION_TWICE: return options->twice = true;
    case OPTION_HASHES: return options->hashes = true;
    case OPTION_FIRST: return options->stop_at_first = true;
    case OPTION_JOBS: return take_number(&options->jobs, 64);
    case OPTION_BUG: return parse_bug(optarg, options);
    default: return false;
    }
}

/* ----------------------------------------------------------------- telling ---- */

static void say_failure(const qr_simulate_options *options, const qr_simulate_record *record)
{
    printf("FAILED seed %" PRIu64 " at %" PRIu64 " ms: %s: %s\n  replay: quorate sim --seed %" PRIu64
           " --engine %s",
           record->seed, record->report.failed_at_ms, record->invariant, record->report.detail, record->seed,
           options->engine->name);
    if (options->nodes)
        printf(" --nodes %u", options->nodes);
    if (options->groups)
        printf(" --groups %u", options->groups);
    if (options->fault_ms)
        printf(" --fault-ms %u", options->fault_ms);
    if (options->doors)
        printf(" --doors");
    if (options->bug)
        printf(" --bug %s", qr_planted_bugs[options->bug].name);
    printf(" --story\n");
    fflush(stdout);
}

static bool tell(void *context, const qr_simulate_record *record)
{
    campaign *all = context;
    const qr_sim_report *report = &record->report;
    all->seeds++;
    all->failures += report->failed;
    all->cpu_us += record->cpu_us;
    all->hash += qr_hash_mix(record->seed, report->trace_hash); /* a sum: workers finish in any order */
    all->total.simulated_ms += report->simulated_ms;
    all->total.events += report->events;
    all->total.messages += report->messages;
    all->total.crashes += report->crashes;
    all->total.elections += report->elections;
    all->total.entries += report->entries;
    all->total.writes_acked += report->writes_acked;
    all->total.writes_unknown += report->writes_unknown;
    all->total.reads_checked += report->reads_checked;
    all->total.watch_events += report->watch_events;
    all->total.checkpoints += report->checkpoints;
    all->total.recorded += report->recorded;
    all->total.damages += report->damages;
    all->total.spoilt += report->spoilt;
    all->total.malformed += report->malformed;
    all->total.cores += report->cores;
    all->total.put_aside += report->put_aside;
    all->total.doors += report->doors;
    all->total.door_answers += report->door_answers;
    all->total.door_events += report->door_events;
    all->total.door_sessions += report->door_sessions;
    all->total.restores += report->restores;
    all->total.transfers += report->transfers;
    for (size_t i = 0; i < QR_SIM_PARTS; i++)
        all->total.transfers_cut[i] += report->transfers_cut[i];
    all->total.configurations += report->configurations;
    all->total.changes += report->changes;
    all->total.changes_refused += report->changes_refused;
    all->total.wipes += report->wipes;
    all->total.renewed += report->renewed;
    all->total.transactions += report->transactions;
    all->total.decisions += report->decisions;
    all->total.aborted += report->aborted;
    if (all->options->hashes)
        printf("hash %" PRIu64 " %016" PRIx64 "\n", record->seed, report->trace_hash);
    if (report->failed)
        say_failure(all->options, record);
    return !(report->failed && all->options->stop_at_first);
}

/* Of the world of one group. */
static void say_group(const qr_sim_report *total)
{
    printf("%" PRIu64 " entries, %" PRIu64 " writes acknowledged, %" PRIu64 " unknown, %" PRIu64
           " reads checked, %" PRIu64 " events watched\n",
           total->entries, total->writes_acked, total->writes_unknown, total->reads_checked,
           total->watch_events);
    printf("%" PRIu64 " checkpoints made, %" PRIu64 " starts from one, %" PRIu64
           " taken over from a leader\n",
           total->checkpoints, total->restores, total->transfers);
    const uint64_t *cut = total->transfers_cut;
    printf("transfers cut at the first chunk %" PRIu64 ", in the middle %" PRIu64
           ", at the last chunk %" PRIu64 ", while loading %" PRIu64 "\n",
           cut[QR_SIM_PART_FIRST], cut[QR_SIM_PART_MIDDLE], cut[QR_SIM_PART_LAST], cut[QR_SIM_PART_LOAD]);
    printf("%" PRIu64 " changes of members done, %" PRIu64 " refused, %" PRIu64 " configurations, %" PRIu64
           " disks lost, %" PRIu64 " incarnations renewed\n",
           total->changes, total->changes_refused, total->configurations, total->wipes, total->renewed);
    printf("%" PRIu64 " disks damaged, %" PRIu64 " logs put aside; %" PRIu64 " messages spoilt, %" PRIu64
           " and records malformed; %" PRIu64 " quorums healed alone first\n",
           total->damages, total->put_aside, total->spoilt, total->malformed, total->cores);
    printf("%" PRIu64 " seeds with clients of ZooKeeper: %" PRIu64 " sessions, %" PRIu64 " answers, %" PRIu64
           " watch events\n",
           total->doors, total->door_sessions, total->door_answers, total->door_events);
    printf("%" PRIu64 " steps of engines repeated from their recordings\n", total->recorded);
}

static void say_groups(const qr_sim_report *total)
{
    printf("%" PRIu64 " transactions, %" PRIu64 " updates committed, %" PRIu64 " of them told, %" PRIu64
           " told that they are aborted, %" PRIu64 " unknown, %" PRIu64 " reads checked\n",
           total->transactions, total->decisions, total->writes_acked, total->aborted, total->writes_unknown,
           total->reads_checked);
    printf("%" PRIu64 " times one host stayed dead until nothing was left undone\n", total->cores);
}

static void say_summary(const campaign *all)
{
    const qr_sim_report *total = &all->total;
    double cpu = (double)all->cpu_us / 1e6, simulated = (double)total->simulated_ms / 1e3;
    printf("%" PRIu64 " seeds, %" PRIu64 " failed\n", all->seeds, all->failures);
    printf("%.0f simulated seconds, %" PRIu64 " events, %" PRIu64 " messages, %" PRIu64 " crashes, %" PRIu64
           " elections\n",
           simulated, total->events, total->messages, total->crashes, total->elections);
    if (all->options->groups)
        say_groups(total);
    else
        say_group(total);
    printf("%.1f CPU seconds, %.0f simulated seconds a CPU second\n", cpu, cpu > 0 ? simulated / cpu : 0.0);
    printf("trace hash of all: %016" PRIx64 "\n", all->hash);
}

/* Of an option that is none getopt has told already. */
static int complain(int option)
{
    for (const struct option *known = long_options; known->name; known++)
        if (known->val == option)
            fprintf(stderr, "quorate sim: --%s cannot be '%s'; see quorate sim --help\n", known->name, optarg);
    return 2;
}

int qr_simulate_main(int argc, char **argv)
{
    qr_simulate_options options = {.first = 1, .last = 100, .engine = &qr_raft, .elects = true};
    int option;
    optind = 1;
    while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        if (option == OPTION_HELP) {
            fputs(help, stdout);
            return 0;
        }
        if (option == OPTION_BUG && strcmp(optarg, "list") == 0)
            return list_bugs();
        if (!take_option(option, &options))
            return complain(option);
    }
    if (optind < argc) {
        fprintf(stderr, "quorate sim: %s is not an option; see quorate sim --help\n", argv[optind]);
        return 2;
    }
    if (options.groups && !options.elects) {
        fprintf(stderr, "quorate sim: --groups needs an engine that elects\n");
        return 2;
    }
    if (options.jobs == 0) {
        long processors = sysconf(_SC_NPROCESSORS_ONLN);
        options.jobs = processors < 1 ? 1 : processors > 64 ? 64 : (uint32_t)processors;
    }
    campaign all = {.options = &options};
    if (options.first == options.last) {
        static qr_simulate_record record;
        qr_simulate_one(&options, options.first, &record);
        tell(&all, &record);
    } else
        qr_simulate_all(&options, tell, &all);
    say_summary(&all);
    return all.failures > 0;
}

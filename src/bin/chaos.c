/* quorate chaos: a cluster of real processes under faults, and a verdict on what its clients saw. */
#include "chaos/chaos.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "bin/bin.h"

static const char help_before[] =
    "usage: quorate chaos [options]\n"
    "\n"
    "Starts a cluster of its own in a temporary folder, with a proxy between the members, and breaks it "
    "again and\n"
    "again while clients read, write and watch. In the end judges say whether a correct store could have "
    "told the\n"
    "clients what they were told. With --endpoints: the clients and the judges alone, for a test cluster of "
    "yours;\n"
    "what breaks there is your part.\n"
    "\n"
    "  --members N        3 (default) to 7 members\n"
    "  --seconds N        how long faults are begun (default 60)\n"
    "  --faults LIST      comma separated, of those below; default: all that are possible here\n"
    "  --seed N           of the order and the choices of faults (default: the time)\n"
    "  --clients N        1 to 64 (default 8), each with one operation at a time\n"
    "  --rate N           operations a second, all clients together (default 500; 0: as many as they can)\n"
    "  --history FILE     keep what clients recorded there\n"
    "  --judge FILE       do nothing but judge what was kept\n"
    "  --shim FILE        preload this library into members: libbrokendisk.so of a build, for eio\n"
    "  --endpoints LIST   comma separated addresses of clients' ports: use that cluster\n"
    "  --help             this text\n"
    "\n"
    "Faults:\n";

static const char help_after[] =
    "\n"
    "The exit status is 0 if nothing was found, 1 if something was, 2 if it could not begin.\n";

static const struct {
    const char *name, *what;
    int needs;
} faults[] = {
#define FAULT_ROW(id, name, what, needs) {name, what, needs},
    QR_CHAOS_FAULT_LIST(FAULT_ROW)
#undef FAULT_ROW
};

static void print_help(void)
{
    fputs(help_before, stdout);
    for (size_t i = 0; i < QR_CHAOS_FAULT_COUNT; i++)
        printf("  %-10s %s%s\n", faults[i].name, faults[i].what,
               faults[i].needs == QR_CHAOS_ROOT   ? " (root)"
               : faults[i].needs == QR_CHAOS_SHIM ? " (--shim)"
                                                  : "");
    fputs(help_after, stdout);
}

static bool parse_number(const char *text, uint64_t low, uint64_t high, uint64_t *number)
{
    char *end;
    if (text[0] < '0' || text[0] > '9')
        return false;
    *number = strtoull(text, &end, 10);
    return *end == 0 && *number >= low && *number <= high;
}

static bool parse_small(const char *text, uint64_t low, uint64_t high, uint32_t *number)
{
    uint64_t wide;
    bool good = parse_number(text, low, high, &wide);
    *number = good ? (uint32_t)wide : *number;
    return good;
}

static bool parse_faults(char *list, qr_chaos_options *options)
{
    memset(options->faults, 0, sizeof options->faults);
    for (char *one; (one = strsep(&list, ",")) != NULL;) {
        size_t i = 0;
        while (i < QR_CHAOS_FAULT_COUNT && strcmp(one, faults[i].name) != 0)
            i++;
        if (i == QR_CHAOS_FAULT_COUNT)
            return false;
        options->faults[i] = true;
    }
    return true;
}

enum {
    OPTION_MEMBERS = 256,
    OPTION_SECONDS,
    OPTION_FAULTS,
    OPTION_SEED,
    OPTION_CLIENTS,
    OPTION_RATE,
    OPTION_HISTORY,
    OPTION_JUDGE,
    OPTION_SHIM,
    OPTION_ENDPOINTS,
    OPTION_HELP,
};

static const struct option table[] = {
    {"members", required_argument, NULL, OPTION_MEMBERS},
    {"seconds", required_argument, NULL, OPTION_SECONDS},
    {"faults", required_argument, NULL, OPTION_FAULTS},
    {"seed", required_argument, NULL, OPTION_SEED},
    {"clients", required_argument, NULL, OPTION_CLIENTS},
    {"rate", required_argument, NULL, OPTION_RATE},
    {"history", required_argument, NULL, OPTION_HISTORY},
    {"judge", required_argument, NULL, OPTION_JUDGE},
    {"shim", required_argument, NULL, OPTION_SHIM},
    {"endpoints", required_argument, NULL, OPTION_ENDPOINTS},
    {"help", no_argument, NULL, OPTION_HELP},
    {NULL, 0, NULL, 0},
};

static bool take_option(int option, qr_chaos_options *options, const char **judge)
{
    switch (option) {
    case OPTION_MEMBERS: return parse_small(optarg, 3, QR_CHAOS_MEMBERS_MAX, &options->members);
    case OPTION_SECONDS: return parse_small(optarg, 1, 1000000, &options->seconds);
    case OPTION_FAULTS: return parse_faults(optarg, options);
    case OPTION_SEED: return parse_number(optarg, 0, UINT64_MAX / 2, &options->seed);
    case OPTION_CLIENTS: return parse_small(optarg, 1, QR_CHAOS_CLIENTS_MAX, &options->clients);
    case OPTION_RATE: return parse_small(optarg, 0, 1000000, &options->rate);
    case OPTION_HISTORY: options->history = optarg; return true;
    case OPTION_JUDGE: *judge = optarg; return true;
    case OPTION_SHIM: options->shim = realpath(optarg, NULL); return options->shim != NULL;
    case OPTION_ENDPOINTS: options->endpoints = optarg; return true;
    default: return false;
    }
}

int qr_chaos_main(int argc, char **argv)
{
    char program[4096];
    ssize_t size = readlink("/proc/self/exe", program, sizeof program - 1);
    program[size > 0 ? size : 0] = 0;
    qr_chaos_options options = {.program = program, .members = 3, .seconds = 60, .clients = 8, .rate = 500};
    options.seed = (uint64_t)time(NULL);
    memset(options.faults, true, sizeof options.faults);
    const char *judge = NULL;
    for (int option; (option = getopt_long(argc, argv, "", table, NULL)) != -1;) {
        if (option == OPTION_HELP) {
            print_help();
            return 0;
        }
        if (option == '?' || !take_option(option, &options, &judge)) {
            fprintf(stderr, "quorate chaos: %s makes no sense. Try 'quorate chaos --help'.\n",
                    argv[optind - 1]);
            return 2;
        }
    }
    if (optind < argc) {
        fprintf(stderr, "quorate chaos: %s makes no sense. Try 'quorate chaos --help'.\n", argv[optind]);
        return 2;
    }
    if (options.endpoints != NULL)
        memset(options.faults, 0, sizeof options.faults);
    return judge != NULL ? qr_chaos_judge(judge) : qr_chaos_run(&options);
}

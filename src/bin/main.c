/* quorate: the verbs of the binary. Under the name etcd it is serve, so that it can take the place of that
 * program. */
#include <stdio.h>
#include <string.h>

#include "bin/bin.h"

static const char help[] =
    "NAME\n"
    "    quorate - a distributed consensus store: one small binary for an etcd or ZooKeeper server\n\n"
    "SYNOPSIS\n"
    "    quorate VERB [FLAGS] [ARGUMENTS]\n"
    "    etcd [FLAGS]                 (the same binary under etcd's name: serve)\n\n"
    "VERBS\n"
    "    serve      run one member of a cluster\n"
    "    zookeeper  the same, described by a zoo.cfg\n"
    "    local      run a whole cluster on this machine, in the foreground\n\n"
    "    put        write a key\n"
    "    get        read a key or a range\n"
    "    del        delete a key or a range\n"
    "    txn        a transaction from standard input\n"
    "    compact    forget the history up to a revision\n"
    "    watch      print what happens to keys, or run a command for it\n"
    "    lease      what lives as long as it is renewed, and the keys bound to it\n"
    "    lock       hold a lock, for the time of a command\n"
    "    elect      stand in an election, or print who leads\n"
    "    across     one transaction over keys of several clusters\n\n"
    "    status     how the cluster is, and how many more members may fail\n"
    "    endpoint   health, status and hash of each member by itself\n"
    "    alarm      what members complain of\n"
    "    member     who belongs to the cluster; add, promote, remove, update, replace members\n"
    "    move-leader  let another member lead\n\n"
    "    backup     copy the whole state of a running cluster into a file\n"
    "    restore    make a member's data folder out of such a file, for a new cluster\n"
    "    verify     check the files of a stopped member, changing nothing\n"
    "    blackbox   collect what the members have recorded of an incident\n"
    "    replay     repeat it step by step, and tell its story\n"
    "    sim        run whole clusters in the simulator, with faults, from seeds\n"
    "    chaos      break a cluster of real processes, and judge what its clients saw\n"
    "    scenario   algorithms of consensus, run message by message, told and checked\n\n"
    "    version    print the version\n"
    "    help       print this page; 'quorate help VERB' is 'quorate VERB --help'\n\n"
    "EXAMPLES\n"
    "    quorate local\n"
    "        three members on loopback, until Ctrl-C; then, in another terminal:\n"
    "    quorate put greeting hello\n"
    "    quorate get greeting\n"
    "    etcdctl --endpoints=127.0.0.1:22379 get greeting\n\n"
    "EXIT STATUS\n"
    "    0 when all went well, 1 when something failed, 2 when the command line is wrong. status and verify\n"
    "    have their own: see their help.\n";

typedef struct verb {
    const char *name;
    int (*run)(int argc, char **argv);
} verb;

static const verb verbs[] = {
    {"serve", qr_serve_main},        {"local", qr_local_main},     {"put", qr_client_main},
    {"get", qr_client_main},         {"del", qr_client_main},      {"txn", qr_client_main},
    {"compact", qr_client_main},     {"status", qr_client_main},   {"member", qr_client_main},
    {"move-leader", qr_client_main}, {"verify", qr_verify_main},   {"sim", qr_simulate_main},
    {"backup", qr_client_main},      {"restore", qr_restore_main}, {"watch", qr_client_main},
    {"lease", qr_client_main},       {"lock", qr_client_main},     {"elect", qr_client_main},
    {"endpoint", qr_client_main},    {"alarm", qr_client_main},    {"chaos", qr_chaos_main},
    {"blackbox", qr_client_main},    {"replay", qr_replay_main},   {"zookeeper", qr_zookeeper_main},
    {"scenario", qr_scenario_main},  {"across", qr_client_main},
};

static const verb *find(const char *name)
{
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        if (strcmp(verbs[i].name, name) == 0)
            return &verbs[i];
    return NULL;
}

static int unknown(const char *name)
{
    fprintf(stderr, "quorate: '%s' is not a verb. Try 'quorate help'.\n", name);
    return 2;
}

static int run_help(int argc, char **argv)
{
    if (argc < 2) {
        fputs(help, stdout);
        return 0;
    }
    const verb *wanted = find(argv[1]);
    char *line[] = {argv[1], (char[]){"--help"}, NULL};
    return wanted ? wanted->run(2, line) : unknown(argv[1]);
}

int main(int argc, char **argv)
{
    const char *slash = argc > 0 ? strrchr(argv[0], '/') : NULL;
    const char *called = slash ? slash + 1 : argc > 0 ? argv[0] : "quorate";
    if (strcmp(called, "etcd") == 0)
        return qr_serve_main(argc, argv);
    if (argc < 2) {
        fputs(help, stderr);
        return 2;
    }
    const char *name = argv[1] + strspn(argv[1], "-");
    if (strcmp(name, "help") == 0 || strcmp(argv[1], "-h") == 0)
        return run_help(argc - 1, argv + 1);
    if (strcmp(name, "version") == 0) {
        puts("quorate " QR_VERSION);
        return 0;
    }
    const verb *wanted = find(argv[1]);
    return wanted ? wanted->run(argc - 1, argv + 1) : unknown(argv[1]);
}

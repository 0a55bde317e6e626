/* local: a whole cluster on this machine, in the foreground, each member a process of its own. For trying
 * things out; it restarts nobody, so a member that was killed stays away. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bin/bin.h"
#include "bin/flags.h"
#include "core/members.h"

enum {
    LOCAL_LINE_MAX = 8192, /* bytes of a child's line; longer ones are broken */
    STOP_MS = 5000,        /* between TERM and KILL */
};

enum {
    LOCAL_MEMBERS,
    LOCAL_DATA_DIR,
    LOCAL_CLIENT_PORT,
    LOCAL_PORT_STEP,
    LOCAL_LOG_LEVEL,
    LOCAL_ENGINE,
    LOCAL_FLAG_COUNT
};

static const qr_flag table[] = {
    {"members", QR_FLAG_NUMBER, QR_FLAG_TAKEN, "3", "N", "How many members; they are called m1, m2, ..."},
    {"data-dir", QR_FLAG_TEXT, QR_FLAG_TAKEN, "", "FOLDER",
     "Where the members' folders are; kept at the end. Without it a temporary folder, which is removed."},
    {"client-port", QR_FLAG_NUMBER, QR_FLAG_TAKEN, "2379", "PORT",
     "Client port of the first member; its peer port is the next one."},
    {"port-step", QR_FLAG_NUMBER, QR_FLAG_TAKEN, "10000", "N",
     "From member to member (the second one is two steps away: 2379, 22379, 32379, ...). Where that passes "
     "65535 the "
     "members get ports just behind the first one's."},
    {"log-level", QR_FLAG_TEXT, QR_FLAG_TAKEN, "info", "LEVEL",
     "Of the members: debug, info, warn or error."},
    {"engine", QR_FLAG_TEXT, QR_FLAG_TAKEN, "raft", "raft|paxos", "Of the members."},
};
_Static_assert(sizeof table / sizeof *table == LOCAL_FLAG_COUNT, "one enum value a flag");

typedef struct child {
    char name[24];
    unsigned client_port, peer_port;
    pid_t process; /* 0: ended */
    int output;    /* its stdout and stderr; -1: closed */
    char line[LOCAL_LINE_MAX];
    size_t line_size;
} child;

typedef struct cluster {
    child members[QR_MEMBERS_MAX];
    size_t count;
    char folder[4096];
    bool temporary, stopping;
    int signals;      /* a signalfd */
    uint64_t kill_ms; /* when patience with stopping members ends */
    const char *log_level, *engine;
    char initial[QR_MEMBERS_MAX * 48];
} cluster;

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* ---- ports ---- */

static bool port_is_free(unsigned port)
{
    int probe = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int on = 1;
    setsockopt(probe, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    bool is_free = bind(probe, (struct sockaddr *)&address, sizeof address) == 0 && listen(probe, 1) == 0;
    close(probe);
    return is_free;
}

static bool plan_ports(cluster *all, unsigned first, unsigned step)
{
    for (size_t i = 0; i < all->count; i++) {
        child *member = &all->members[i];
        uint64_t port = first + (i == 0 ? 0 : (uint64_t)(i + 1) * step);
        if (port + 1 > UINT16_MAX)
            port = first + 10 * (uint64_t)i;
        if (port + 1 > UINT16_MAX) {
            fprintf(stderr, "quorate local: no port is left for member %zu\n", i + 1);
            return false;
        }
        member->client_port = (unsigned)port;
        member->peer_port = (unsigned)port + 1;
        snprintf(member->name, sizeof member->name, "m%zu", i + 1);
        for (unsigned at = member->client_port; at <= member->peer_port; at++) {
            if (!port_is_free(at)) {
                fprintf(stderr,
                        "quorate local: port %u on 127.0.0.1 is taken by another program; "
                        "try another --client-port or --port-step\n",
                        at);
                return false;
            }
        }
        size_t used = strlen(all->initial);
        snprintf(all->initial + used, sizeof all->initial - used, "%s%s=http://127.0.0.1:%u", i ? "," : "",
                 member->name, member->peer_port);
    }
    return true;
}

/* ---- folders ---- */

static bool make_folder(cluster *all, const char *wanted)
{
    if (wanted[0] != 0) {
        snprintf(all->folder, sizeof all->folder, "%s", wanted);
        if (mkdir(all->folder, 0700) == 0 || errno == EEXIST)
            return true;
    } else {
        const char *above = getenv("TMPDIR");
        snprintf(all->folder, sizeof all->folder, "%s/quorate-local-XXXXXX",
                 above && *above ? above : "/tmp");
        all->temporary = mkdtemp(all->folder) != NULL;
        if (all->temporary)
            return true;
    }
    fprintf(stderr, "quorate local: folder %s cannot be made: %s\n", all->folder, strerror(errno));
    return false;
}

static int remove_entry(const char *path, const struct stat *about, int kind, struct FTW *position)
{
    return remove(path);
}

/* ---- members ---- */

/* In the child: becomes the member. */
static void become(const cluster *all, const child *member)
{
    char name[24], folder[4200], client[64], peer[64];
    snprintf(name, sizeof name, "%s", member->name);
    snprintf(folder, sizeof folder, "%s/%s", all->folder, member->name);
    snprintf(client, sizeof client, "http://127.0.0.1:%u", member->client_port);
    snprintf(peer, sizeof peer, "http://127.0.0.1:%u", member->peer_port);
    /* clang-format off */
    const char *const line[] = {
        "quorate", "serve",
        "--name", name,
        "--data-dir", folder,
        "--listen-client-urls", client,
        "--advertise-client-urls", client,
        "--listen-peer-urls", peer,
        "--initial-advertise-peer-urls", peer,
        "--initial-cluster", all->initial,
        "--initial-cluster-token", "quorate-local",
        "--log-format", "console",
        "--log-level", all->log_level,
        "--engine", all->engine,
        NULL,
    };
    /* clang-format on */
    char program[4096]; /* by its own name, so that ps shows that */
    ssize_t size = readlink("/proc/self/exe", program, sizeof program - 1);
    program[size > 0 ? size : 0] = 0;
    char *const *words = (char *const *)(uintptr_t)line; /* execv does not write to them */
    execv(program, words);
    execv("/proc/self/exe", words);
    fprintf(stderr, "quorate local: the member cannot be started: %s\n", strerror(errno));
    _exit(127);
}

static bool spawn(cluster *all, child *member, const sigset_t *mask_before)
{
    int pipes[2];
    if (pipe2(pipes, O_CLOEXEC) != 0)
        return false;
    pid_t parent = getpid();
    member->process = fork();
    if (member->process == 0) {
        sigprocmask(SIG_SETMASK, mask_before, NULL);
        setpgid(0, 0); /* Ctrl-C reaches us only: we stop the members in order */
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        if (getppid() != parent)
            _exit(1); /* we were killed in between */
        int nothing = open("/dev/null", O_RDONLY);
        dup2(nothing, STDIN_FILENO);
        dup2(pipes[1], STDOUT_FILENO);
        dup2(pipes[1], STDERR_FILENO);
        become(all, member);
    }
    close(pipes[1]);
    member->output = pipes[0];
    fcntl(member->output, F_SETFL, O_NONBLOCK);
    return member->process > 0;
}

static void stop_all(cluster *all)
{
    for (size_t i = 0; i < all->count; i++)
        if (all->members[i].process > 0)
            kill(all->members[i].process, all->stopping ? SIGKILL : SIGTERM);
    if (!all->stopping)
        all->kill_ms = now_ms() + STOP_MS;
    all->stopping = true;
}

static size_t running(const cluster *all)
{
    size_t count = 0;
    for (size_t i = 0; i < all->count; i++)
        count += all->members[i].process > 0;
    return count;
}

/* ---- what they say ---- */

static void show_line(const cluster *all, child *member)
{
    member->line[member->line_size] = 0;
    printf("%s | %s\n", member->name, member->line);
    if (strstr(member->line, "this member leads now") != NULL && !all->stopping)
        printf("==== %s leads ====\n", member->name);
    fflush(stdout);
    member->line_size = 0;
}

static void read_output(const cluster *all, child *member)
{
    char bytes[4096];
    ssize_t got;
    while ((got = read(member->output, bytes, sizeof bytes)) > 0) {
        for (ssize_t i = 0; i < got; i++) {
            if (bytes[i] != '\n')
                member->line[member->line_size++] = bytes[i];
            if (bytes[i] == '\n' || member->line_size == LOCAL_LINE_MAX - 1)
                show_line(all, member);
        }
    }
    if (got == 0) {
        if (member->line_size > 0)
            show_line(all, member);
        close(member->output);
        member->output = -1;
    }
}

static void reap(cluster *all)
{
    int status;
    for (size_t i = 0; i < all->count; i++) {
        child *member = &all->members[i];
        if (member->process <= 0 || waitpid(member->process, &status, WNOHANG) != member->process)
            continue;
        if (member->output >= 0)
            read_output(all, member);
        member->process = 0;
        if (WIFSIGNALED(status))
            printf("==== %s was ended by signal %d ====\n", member->name, WTERMSIG(status));
        else if (!all->stopping || WEXITSTATUS(status) != 0)
            printf("==== %s has ended with status %d ====\n", member->name, WEXITSTATUS(status));
        fflush(stdout);
    }
}

static void on_signal(cluster *all)
{
    struct signalfd_siginfo signal;
    while (read(all->signals, &signal, sizeof signal) == (ssize_t)sizeof signal) {
        if (signal.ssi_signo == SIGCHLD)
            continue;
        if (!all->stopping)
            puts("==== stopping ====");
        stop_all(all);
    }
}

/* Until every member has ended. */
static void watch(cluster *all)
{
    while (running(all) > 0) {
        struct pollfd look[QR_MEMBERS_MAX + 1] = {{.fd = all->signals, .events = POLLIN}};
        for (size_t i = 0; i < all->count; i++)
            look[i + 1] = (struct pollfd){.fd = all->members[i].output, .events = POLLIN};
        uint64_t now = now_ms();
        int patience_ms = !all->stopping ? -1 : all->kill_ms > now ? (int)(all->kill_ms - now) : 0;
        int ready = poll(look, all->count + 1, patience_ms);
        if (ready == 0 && all->stopping) {
            stop_all(all); /* KILL */
            all->kill_ms = now_ms() + STOP_MS;
        }
        for (size_t i = 0; i < all->count; i++)
            if (look[i + 1].revents != 0 && all->members[i].output >= 0)
                read_output(all, &all->members[i]);
        if (look[0].revents != 0)
            on_signal(all);
        reap(all);
    }
}

static void introduce(const cluster *all)
{
    printf("%zu members; their data is in %s%s.\n", all->count, all->folder,
           all->temporary ? ", which is removed at the end" : "");
    for (size_t i = 0; i < all->count; i++)
        printf("  %s: client port %u, peer port %u, process %d\n", all->members[i].name,
               all->members[i].client_port, all->members[i].peer_port, (int)all->members[i].process);
    printf("Try:  etcdctl --endpoints=");
    for (size_t i = 0; i < all->count; i++)
        printf("%s127.0.0.1:%u", i ? "," : "", all->members[i].client_port);
    printf(" put greeting hello\nCtrl-C stops them all.\n\n");
    fflush(stdout);
}

static int run(cluster *all)
{
    sigset_t wanted, before;
    sigemptyset(&wanted);
    sigaddset(&wanted, SIGINT);
    sigaddset(&wanted, SIGTERM);
    sigaddset(&wanted, SIGHUP);
    sigaddset(&wanted, SIGCHLD);
    sigprocmask(SIG_BLOCK, &wanted, &before);
    signal(SIGPIPE, SIG_IGN);
    all->signals = signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK);
    bool started = all->signals >= 0;
    for (size_t i = 0; i < all->count && started; i++)
        started = spawn(all, &all->members[i], &before);
    if (started)
        introduce(all);
    else
        stop_all(all);
    watch(all);
    bool told = all->stopping && started; /* all of them ending by themselves is a failure */
    if (!started)
        fprintf(stderr, "quorate local: the members cannot be started: %s\n", strerror(errno));
    if (all->temporary)
        nftw(all->folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    return told ? 0 : 1;
}

static const char help_head[] = "NAME\n"
                                "    quorate local - run a whole cluster on this machine\n\n"
                                "SYNOPSIS\n"
                                "    quorate local [FLAGS]\n\n"
                                "DESCRIPTION\n"
                                "    Starts the members of one cluster as processes on loopback and shows "
                                "what they say, each line behind the\n"
                                "    name of its member, and who leads. Ctrl-C (or SIGTERM) stops them all. "
                                "A member that is killed is not\n"
                                "    started again: kill -9 one of them and see the others go on.\n\n"
                                "OPTIONS\n";

static const char help_tail[] = "    --help\n        Print this page and end.\n\n"
                                "EXIT STATUS\n"
                                "    0   stopped by a signal.\n"
                                "    1   could not start, or all members have ended by themselves.\n"
                                "    2   the flags are wrong.\n\n"
                                "EXAMPLES\n"
                                "    quorate local\n"
                                "    quorate local --members 5 --client-port 4000 --port-step 10\n";

static void print_help(const qr_flags *flags)
{
    qr_buffer page;
    qr_buffer_init(&page);
    qr_flags_help(flags, &page);
    printf("%s%.*s%s", help_head, (int)page.size, (const char *)page.data, help_tail);
    qr_buffer_free(&page);
}

static bool in_bounds(const qr_flags *flags, size_t flag, int64_t least, int64_t most)
{
    int64_t value = qr_flags_number(flags, flag);
    if (value >= least && value <= most)
        return true;
    fprintf(stderr, "quorate local: --%s is %lld; it must be from %lld to %lld\n", table[flag].name,
            (long long)value, (long long)least, (long long)most);
    return false;
}

int qr_local_main(int argc, char **argv)
{
    qr_arena arena;
    qr_arena_init(&arena);
    qr_flags flags = {.table = table, .count = LOCAL_FLAG_COUNT};
    const char *sentence = NULL;
    int exit_status = 2;
    if (qr_flags_parse(&flags, argc, argv, NULL, &arena, &sentence) != QR_OK) {
        fprintf(stderr, "quorate local: %s\nTry 'quorate local --help'.\n", sentence);
    } else if (flags.help || flags.version) {
        print_help(&flags);
        exit_status = 0;
    } else if (in_bounds(&flags, LOCAL_MEMBERS, 1, QR_MEMBERS_MAX) &&
               in_bounds(&flags, LOCAL_CLIENT_PORT, 1, 65534) &&
               in_bounds(&flags, LOCAL_PORT_STEP, 2, 65534)) {
        cluster *all = qr_alloc_zero(1, sizeof *all);
        all->count = (size_t)qr_flags_number(&flags, LOCAL_MEMBERS);
        all->log_level = qr_flags_text(&flags, LOCAL_LOG_LEVEL);
        all->engine = qr_flags_text(&flags, LOCAL_ENGINE);
        exit_status = 1;
        if (plan_ports(all, (unsigned)qr_flags_number(&flags, LOCAL_CLIENT_PORT),
                       (unsigned)qr_flags_number(&flags, LOCAL_PORT_STEP)) &&
            make_folder(all, qr_flags_text(&flags, LOCAL_DATA_DIR)))
            exit_status = run(all);
        qr_free(all);
    }
    qr_arena_free(&arena);
    return exit_status;
}

/* Processes, time and ports. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "chaos/inside.h"

extern char **environ;

static volatile sig_atomic_t interrupted;

static void on_signal(int signal)
{
    (void)signal;
    interrupted = 1;
}

bool qr_chaos_interrupted(void)
{
    return interrupted != 0;
}

void qr_chaos_catch_signals(void)
{
    struct sigaction catch = {.sa_handler = on_signal};
    sigaction(SIGINT, &catch, NULL);
    sigaction(SIGTERM, &catch, NULL);
    signal(SIGPIPE, SIG_IGN);
}

uint64_t qr_chaos_now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

void qr_chaos_sleep_ms(uint64_t ms)
{
    poll(NULL, 0, (int)ms);
}

pid_t qr_chaos_fork(qr_chaos *c, void (*run)(qr_chaos *c, uint32_t number), uint32_t number)
{
    pid_t parent = getpid();
    fflush(stdout);
    pid_t child = fork();
    if (child != 0)
        return child;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGINT, SIG_IGN); /* the terminal's: we are told by the page */
    if (getppid() == parent)
        run(c, number);
    _exit(0);
}

bool qr_chaos_command(const char *const *words)
{
    posix_spawn_file_actions_t silent;
    posix_spawn_file_actions_init(&silent);
    for (int file = 0; file < 3; file++)
        posix_spawn_file_actions_addopen(&silent, file, "/dev/null", O_RDWR, 0);
    pid_t child = 0;
    int status = -1,
        error = posix_spawnp(&child, words[0], &silent, NULL, (char *const *)(uintptr_t)words, environ);
    posix_spawn_file_actions_destroy(&silent);
    if (error != 0)
        return false;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        continue;
    return status == 0;
}

static int remove_one(const char *path, const struct stat *about, int flag, struct FTW *where)
{
    (void)about;
    (void)flag;
    (void)where;
    remove(path); /* as far as it goes */
    return 0;
}

void qr_chaos_remove_tree(const char *folder)
{
    nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

uint16_t qr_chaos_port(qr_chaos *c, int *listener)
{
    unsigned low = 12000, high = 30000;
    const char *range = getenv("TEST_PORTS");
    if (range == NULL || sscanf(range, "%u-%u", &low, &high) != 2 || low >= high || high > 65535)
        low = 12000, high = 30000;
    for (int attempt = 0; attempt < 1000; attempt++) {
        uint16_t port = (uint16_t)qr_prng_between(&c->port_prng, low, high);
        struct sockaddr_in address = {
            .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        int made = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (made >= 0 && bind(made, (const struct sockaddr *)&address, sizeof address) == 0 &&
            listen(made, 128) == 0) {
            *listener = made;
            return port;
        }
        close(made);
    }
    return 0;
}

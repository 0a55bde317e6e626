/* Members: processes of the program under test, in their places. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "chaos/inside.h"

enum { LOOK_MS = 20, END_MS = 30000, WRITE_MS = 2000 };

void qr_chaos_member_init(qr_chaos *c, uint32_t number)
{
    qr_chaos_slot *s = &c->slots[number];
    int client, peer;
    snprintf(s->name, sizeof s->name, "m%u", number + 1);
    s->folder = qr_arena_format(&c->words, "%s/%s", c->folder, s->name);
    s->data = qr_arena_format(&c->words, "%s/data", s->folder);
    s->log = qr_arena_format(&c->words, "%s.log", s->folder);
    s->image = qr_arena_format(&c->words, "%s.ext4", s->folder);
    s->filler = qr_arena_format(&c->words, "%s/filler", s->folder);
    s->fault = qr_arena_format(&c->words, "%s/eio", s->folder);
    s->client_port = qr_chaos_port(c, &client);
    s->peer_port = qr_chaos_port(c, &peer);
    s->proxy_port = qr_chaos_port(c, &s->proxy);
    s->endpoint = qr_arena_format(&c->words, "127.0.0.1:%u", s->client_port);
    close(client);
    close(peer);
}

/* ------------------------------------------------------------------ one process ---- */

static const char *initial_cluster(qr_chaos *c)
{
    qr_buffer text;
    qr_buffer_init(&text);
    for (uint32_t i = 0; i < c->slot_count; i++)
        if (c->slots[i].used)
            qr_buffer_format(&text, "%s%s=http://127.0.0.1:%u", text.size ? "," : "", c->slots[i].name,
                             c->slots[i].proxy_port);
    const char *copy = qr_arena_text(&c->arena, qr_buffer_slice(&text));
    qr_buffer_free(&text);
    return copy;
}

/* In the child. */
static void become(const qr_chaos *c, const qr_chaos_slot *s, const char *const *words)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setpgid(0, 0); /* Ctrl-C is for us */
    int log = open(s->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
    dup2(nothing, STDIN_FILENO);
    dup2(log, STDOUT_FILENO);
    dup2(log, STDERR_FILENO);
    if (c->options->shim != NULL) {
        setenv("LD_PRELOAD", c->options->shim, 1);
        setenv("BROKENDISK", s->folder, 1);
    }
    execv(c->options->program, (char *const *)(uintptr_t)words);
    _exit(127);
}

bool qr_chaos_member_start(qr_chaos *c, qr_chaos_slot *s)
{
    qr_arena *arena = &c->arena;
    const char *client = qr_arena_format(arena, "http://127.0.0.1:%u", s->client_port);
    /* clang-format off */
    const char *const words[] = {
        "quorate", "serve",
        "--name", s->name,
        "--data-dir", s->data,
        "--listen-client-urls", client,
        "--advertise-client-urls", client,
        "--listen-peer-urls", qr_arena_format(arena, "http://127.0.0.1:%u", s->peer_port),
        "--initial-advertise-peer-urls", qr_arena_format(arena, "http://127.0.0.1:%u", s->proxy_port),
        "--initial-cluster", initial_cluster(c),
        "--initial-cluster-token", c->prefix,
        "--initial-cluster-state", s->joins ? "existing" : "new",
        "--checkpoint-bytes", "4194304", /* so that checkpoints and their transfers are in it, too */
        "--log-level", "info",
        NULL,
    };
    /* clang-format on */
    fflush(stdout);
    pid_t child = fork();
    if (child == 0)
        become(c, s, words);
    s->process = child > 0 ? child : 0;
    s->paused = false;
    return s->process != 0;
}

/* True: it is gone. */
static bool reap(qr_chaos_slot *s)
{
    int status;
    if (s->process != 0 && waitpid(s->process, &status, WNOHANG) == s->process)
        s->process = 0;
    return s->process == 0;
}

bool qr_chaos_member_wait_end(qr_chaos_slot *s, uint64_t patience_ms)
{
    for (uint64_t deadline_us = qr_chaos_now_us() + patience_ms * 1000; !reap(s); qr_chaos_sleep_ms(LOOK_MS))
        if (qr_chaos_now_us() > deadline_us)
            return false;
    return true;
}

void qr_chaos_member_end(qr_chaos_slot *s, int signal)
{
    if (s->process == 0)
        return;
    kill(s->process, signal);
    if (signal != SIGKILL && !qr_chaos_member_wait_end(s, END_MS))
        kill(s->process, SIGKILL);
    while (s->process != 0 && waitpid(s->process, NULL, 0) < 0 && errno == EINTR)
        continue;
    s->process = 0;
    s->paused = false;
}

void qr_chaos_member_pause(qr_chaos_slot *s, bool pause)
{
    if (s->process != 0)
        kill(s->process, pause ? SIGSTOP : SIGCONT);
    s->paused = pause;
}

/* -------------------------------------------------------------------- questions ---- */

bool qr_chaos_member_status(qr_chaos *c, const qr_chaos_slot *s, uint64_t *id, uint64_t *leader,
                            bool *learner)
{
    QrEtcdpb__StatusRequest request = QR_ETCDPB__STATUS_REQUEST__INIT;
    const void *answer = NULL;
    qr_chaos_line *l = s->process != 0 && !s->paused ? qr_chaos_line_open(s->endpoint) : NULL;
    bool good = l != NULL && qr_chaos_line_ask(l, "etcdserverpb.Maintenance/Status", &request.base,
                                               &qr_etcdpb__status_response__descriptor, WRITE_MS, &c->arena,
                                               &answer) == ANSWERED;
    qr_chaos_line_close(l);
    const QrEtcdpb__StatusResponse *status = answer;
    if (!good || status->header == NULL)
        return false;
    *id = status->header->member_id;
    *leader = status->leader;
    *learner = status->islearner;
    return true;
}

qr_chaos_slot *qr_chaos_cluster_leader(qr_chaos *c)
{
    for (uint32_t i = 0; i < c->slot_count; i++) {
        uint64_t id, leader;
        bool learner;
        if (qr_chaos_member_status(c, &c->slots[i], &id, &leader, &learner) && id == leader && id != 0)
            return &c->slots[i];
    }
    return NULL;
}

static bool write_through(qr_chaos *c, const qr_chaos_slot *s)
{
    QrEtcdpb__PutRequest request = QR_ETCDPB__PUT_REQUEST__INIT;
    const void *answer = NULL;
    char *key = qr_arena_format(&c->arena, "chaos-ready/%s", c->prefix);
    request.key = (ProtobufCBinaryData){.len = strlen(key), .data = (uint8_t *)key};
    request.value = request.key;
    qr_chaos_line *l = qr_chaos_line_open(s->endpoint);
    bool good = l != NULL && qr_chaos_line_ask(l, "etcdserverpb.KV/Put", &request.base,
                                               &qr_etcdpb__put_response__descriptor, WRITE_MS, &c->arena,
                                               &answer) == ANSWERED;
    qr_chaos_line_close(l);
    return good;
}

bool qr_chaos_member_wait_ready(qr_chaos *c, qr_chaos_slot *s)
{
    uint64_t deadline_us = qr_chaos_now_us() + BACK_MS * 1000ULL, id, leader;
    bool learner;
    while (!write_through(c, s) || !qr_chaos_member_status(c, s, &id, &leader, &learner) || learner) {
        if (reap(s)) {
            printf("not ok chaos: %s has ended by itself, see the end of %s\n", s->name, s->log);
            return false;
        }
        if (qr_chaos_now_us() > deadline_us) {
            printf("not ok chaos: no write through %s within %d s after healing\n", s->name, BACK_MS / 1000);
            return false;
        }
        qr_chaos_sleep_ms(LOOK_MS);
    }
    atomic_store(&c->page->ids[s - c->slots], id);
    return true;
}

bool qr_chaos_cluster_wait_ready(qr_chaos *c)
{
    bool good = true;
    for (uint32_t i = 0; i < c->slot_count && good; i++)
        good = !c->slots[i].used || qr_chaos_member_wait_ready(c, &c->slots[i]);
    return good;
}

/* Each member in turn, until one does it; changes of members go through at most once, since what was done
 * before is refused. */
const void *qr_chaos_cluster_ask(qr_chaos *c, const qr_chaos_slot *besides, const char *method,
                                 const ProtobufCMessage *request,
                                 const ProtobufCMessageDescriptor *descriptor)
{
    for (uint32_t i = 0; i < c->slot_count; i++) {
        const qr_chaos_slot *s = &c->slots[i];
        const void *answer = NULL;
        if (s == besides || !s->used || s->process == 0 || s->paused)
            continue;
        qr_chaos_line *l = qr_chaos_line_open(s->endpoint);
        qr_chaos_outcome end =
            l == NULL ? REFUSED : qr_chaos_line_ask(l, method, request, descriptor, 5000, &c->arena, &answer);
        if (l != NULL && end != ANSWERED)
            printf("# %s by %s: %s\n", method, s->name, qr_chaos_line_why(l));
        qr_chaos_line_close(l);
        if (end == ANSWERED)
            return answer;
    }
    return NULL;
}

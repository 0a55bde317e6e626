/* Private to the room. Everything is a process: the proxy, each client, each watcher. They share one page of
 * memory and append to one history file, one write a line, so that nothing has to be handed over. */
#ifndef QR_CHAOS_INSIDE_H
#define QR_CHAOS_INSIDE_H

#include <stdatomic.h>
#include <stdio.h>
#include <sys/types.h>

#include "chaos/chaos.h"
#include "judge/judge.h"
#include "rpc.pb-c.h"

enum {
    SLOTS_MAX = QR_CHAOS_MEMBERS_MAX + 1, /* places for members; the last one is spare */
    WATCHERS = 4,
    KEY_SLOTS = 20, /* keys that clients use at a time */
    KEY_OPERATIONS =
        200, /* about so many on each, then there are fresh ones: short histories are judged fast */
    KEY_STRIDE = 1000000, /* key = qr_chaos_slot * stride + generation: a span of slots always has traffic */
    ASK_MS = 2000,        /* a client's patience with one operation */
    BACK_MS = 120000,     /* ours with a cluster that was healed */
};

typedef struct qr_chaos_page {
    _Atomic uint64_t ids[SLOTS_MAX];            /* of the member that lives there; 0 = nobody that is known */
    _Atomic uint32_t cut[SLOTS_MAX][SLOTS_MAX]; /* from, to: bytes are withheld */
    _Atomic uint32_t delay_ms[SLOTS_MAX][SLOTS_MAX]; /* from, to */
    _Atomic uint32_t resets;     /* grows: connections on links that are cut now are to be reset */
    _Atomic uint64_t operations; /* begun by clients */
    _Atomic uint64_t changes;    /* acknowledged to clients */
    _Atomic bool stopping;       /* clients come to an end */
    _Atomic uint64_t until;      /* watchers end when they were told everything up to here; 0 = not yet */
} qr_chaos_page;

/* A member's place: ports and folder stay, members come and go. */
typedef struct qr_chaos_slot {
    char name[8];
    /* Texts of .words. The folder has the data, and the file system is mounted there; the log and the image
     * of the file system are beside it. filler, fault: files that take all space, that make syncs fail. */
    const char *endpoint, *folder, *data, *log, *image, *filler, *fault;
    uint16_t client_port, peer_port, proxy_port;
    bool used;   /* a member belongs there */
    bool joins;  /* it came to a running cluster */
    bool paused; /* SIGSTOP */
    bool mounted;
    pid_t process; /* 0: not running */
    int proxy;     /* listening */
} qr_chaos_slot;

typedef struct qr_chaos {
    const qr_chaos_options *options;
    qr_chaos_page *page;
    qr_chaos_slot slots[SLOTS_MAX];
    uint32_t slot_count;
    const char *endpoints[32];
    uint32_t endpoint_count;
    char *folder;
    const char *history_path, *prefix;
    int history; /* append only */
    int knock;   /* an eventfd: the proxy is to look at the page */
    uint64_t begin_revision;
    bool own_disks;
    qr_prng prng;      /* of the plan */
    qr_prng port_prng; /* what is free differs from run to run, so this must not move the plan */
    qr_buffer told;    /* about the fault that is being done: who it meets */
    qr_arena arena;    /* of one round */
    qr_arena words;    /* of the whole run */
    pid_t proxy, watchers[WATCHERS], clients[QR_CHAOS_CLIENTS_MAX]; /* 0: not running */
} qr_chaos;

/* ---- process.c ---- */
uint64_t qr_chaos_now_us(void);      /* one clock for all processes */
void qr_chaos_sleep_ms(uint64_t ms); /* or until a signal */
bool qr_chaos_interrupted(void);     /* SIGINT or SIGTERM came */
void qr_chaos_catch_signals(void);
/* A process of ours that dies with us; run() does not return to the caller. -1: it cannot be made. */
pid_t qr_chaos_fork(qr_chaos *c, void (*run)(qr_chaos *c, uint32_t number), uint32_t number);
bool qr_chaos_command(const char *const *words); /* runs it, silently; true: it ended well */
void qr_chaos_remove_tree(const char *folder);
/* A port of loopback that nobody uses, of $TEST_PORTS, FROM-TO; *listener: a socket that listens there. */
uint16_t qr_chaos_port(qr_chaos *c, int *listener);

/* ---- line.c: one connection to one member ---- */
typedef enum qr_chaos_outcome {
    ANSWERED,
    REFUSED, /* surely not done */
    UNSURE,
} qr_chaos_outcome;
typedef struct qr_chaos_line qr_chaos_line;
qr_chaos_line *qr_chaos_line_open(const char *endpoint); /* NULL: nobody is there */
void qr_chaos_line_close(qr_chaos_line *l);              /* NULL is fine */
/* The answer lives in the arena. Anything but ANSWERED: the line is of no more use. text: why, or NULL. */
qr_chaos_outcome qr_chaos_line_ask(qr_chaos_line *l, const char *method, const ProtobufCMessage *request,
                                   const ProtobufCMessageDescriptor *descriptor, uint64_t patience_ms,
                                   qr_arena *arena, const void **answer);
const char *qr_chaos_line_why(const qr_chaos_line *l); /* of the last ask; until close */
/* A stream: sends one message more (the first one opens it), or waits for answers. False: it is over. */
bool qr_chaos_line_send(qr_chaos_line *l, const char *method, const ProtobufCMessage *request);
bool qr_chaos_line_listen(qr_chaos_line *l, uint64_t patience_ms,
                          void (*take)(void *context, qr_slice message), void *context);

/* ---- keys.c: names of keys and values, and requests that several use ---- */
ProtobufCBinaryData qr_chaos_key(const qr_chaos *c, uint64_t key, qr_arena *arena);
uint64_t qr_chaos_key_number(const qr_chaos *c, ProtobufCBinaryData bytes); /* UINT64_MAX: none of ours */
ProtobufCBinaryData qr_chaos_value(uint64_t value, qr_arena *arena);
uint64_t qr_chaos_value_number(ProtobufCBinaryData bytes);

/* ---- history.c: one line a thing that happened ---- */
typedef struct qr_chaos_span {
    uint32_t fault;      /* qr_chaos_fault */
    uint64_t begin, end; /* us */
} qr_chaos_span;
typedef struct qr_chaos_history {
    qr_judge_op *ops;
    size_t op_count, op_room;
    qr_judge_watch watches[WATCHERS];
    qr_judge_note *notes[WATCHERS];
    size_t note_room[WATCHERS], watch_count;
    qr_chaos_span *faults;
    size_t fault_count, fault_room;
} qr_chaos_history;
void qr_chaos_history_add_op(const qr_chaos *c, const qr_judge_op *op);
void qr_chaos_history_add_watch(const qr_chaos *c, uint32_t number, const qr_judge_watch *watch);
void qr_chaos_history_format_note(qr_buffer *lines, uint32_t number, const qr_judge_note *note);
void qr_chaos_history_add_lines(const qr_chaos *c, const qr_buffer *lines);
void qr_chaos_history_add_fault(const qr_chaos *c, const qr_chaos_span *fault);
bool qr_chaos_history_load(const char *path, qr_chaos_history *h); /* false: it cannot be read */
void qr_chaos_history_free(qr_chaos_history *h);

/* ---- processes ---- */
void qr_chaos_client(qr_chaos *c, uint32_t number);
void qr_chaos_watcher(qr_chaos *c, uint32_t number);
void qr_chaos_proxy(qr_chaos *c, uint32_t number);

/* ---- member.c: slots ---- */
void qr_chaos_member_init(qr_chaos *c, uint32_t number);
bool qr_chaos_member_start(qr_chaos *c, qr_chaos_slot *s);
void qr_chaos_member_end(qr_chaos_slot *s, int signal); /* and waits for it; KILL after a while */
bool qr_chaos_member_wait_end(qr_chaos_slot *s, uint64_t patience_ms); /* until it ends by itself */
void qr_chaos_member_pause(qr_chaos_slot *s, bool pause);
/* Until a write succeeds through it. */
bool qr_chaos_member_wait_ready(qr_chaos *c, qr_chaos_slot *s);
bool qr_chaos_cluster_wait_ready(qr_chaos *c);
qr_chaos_slot *qr_chaos_cluster_leader(qr_chaos *c); /* NULL: nobody says so */
bool qr_chaos_member_status(qr_chaos *c, const qr_chaos_slot *s, uint64_t *id, uint64_t *leader,
                            bool *learner);
/* Through any member but that one; NULL: nobody did it. */
const void *qr_chaos_cluster_ask(qr_chaos *c, const qr_chaos_slot *besides, const char *method,
                                 const ProtobufCMessage *request,
                                 const ProtobufCMessageDescriptor *descriptor);

/* ---- disk.c: a file system for each member (root) ---- */
bool qr_chaos_disk_make(qr_chaos_slot *s);
bool qr_chaos_disk_mount(qr_chaos_slot *s);
void qr_chaos_disk_unmount(qr_chaos_slot *s);
bool qr_chaos_disk_cut_power(qr_chaos_slot *s);
bool qr_chaos_disk_fill(qr_chaos_slot *s);
void qr_chaos_disk_give_back(qr_chaos_slot *s);
void qr_chaos_disk_remove_spares(qr_chaos_slot *s);

/* ---- nemesis.c, links.c: faults ---- */
bool qr_chaos_round(qr_chaos *c, qr_chaos_fault fault);       /* false: the cluster did not come back */
void qr_chaos_links_break(qr_chaos *c, qr_chaos_fault fault); /* cuts or delays */
void qr_chaos_links_heal(qr_chaos *c);

/* ---- verdict.c ---- */
bool qr_chaos_ask_all(qr_chaos *c); /* the last reads, and the hashes; false: something is wrong */
bool qr_chaos_verdict(const char *path);

#endif

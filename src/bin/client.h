/* The command line client: keys, watches, leases, locks, elections, members and their state, over the etcd v3
 * wire. For machines without etcdctl; the flags, the texts and the txn language are those of etcdctl where it
 * has them.
 */
#ifndef QR_BIN_CLIENT_H
#define QR_BIN_CLIENT_H

#include <stdio.h>
#include <sys/types.h>

#include "base/base.h"
#include "rpc.pb-c.h"

enum {
    QR_CLIENT_ENDPOINTS_MAX = 32,
    QR_CLIENT_INPUT_MAX = 8 * 1024 * 1024, /* bytes taken from standard input */
    QR_CLIENT_ARGUMENTS_MAX = 64,          /* of one line of a txn */
};

typedef enum qr_client_verb {
    QR_CLIENT_PUT = 1 << 0,
    QR_CLIENT_GET = 1 << 1,
    QR_CLIENT_DEL = 1 << 2,
    QR_CLIENT_TXN = 1 << 3,
    QR_CLIENT_COMPACT = 1 << 4,
    QR_CLIENT_STATUS = 1 << 5,
    QR_CLIENT_MEMBER = 1 << 6,
    QR_CLIENT_MOVE_LEADER = 1 << 7,
    QR_CLIENT_BACKUP = 1 << 8,
    QR_CLIENT_WATCH = 1 << 9,
    QR_CLIENT_LEASE = 1 << 10,
    QR_CLIENT_LOCK = 1 << 11,
    QR_CLIENT_ELECT = 1 << 12,
    QR_CLIENT_ENDPOINT = 1 << 13,
    QR_CLIENT_ALARM = 1 << 14,
    QR_CLIENT_BLACKBOX = 1 << 15,
    QR_CLIENT_ACROSS = 1 << 16,
} qr_client_verb;

/* What a verb ends with. */
enum { QR_CLIENT_DONE = 0, QR_CLIENT_REFUSED = 1, QR_CLIENT_USAGE = 2 };

typedef struct qr_client_options {
    const char *endpoints; /* comma separated */
    const char *output;    /* "simple" or "json" */
    const char *timeout;   /* "5s", "500ms" */
    const char *order, *sort_by, *consistency;
    const char *peer_urls, *client_urls; /* comma separated */
    const char *wait;                    /* a time, as timeout */
    const char *lease;                   /* hexadecimal, as etcdctl shows leases */
    int64_t revision, limit, ttl;
    bool hex, prefix, from_key, count_only, keys_only, print_value_only, prev_kv, ignore_value, ignore_lease;
    bool physical, only, voter, help, progress_notify, keys, once, listen, interactive;
    const char *arguments[QR_CLIENT_ARGUMENTS_MAX + 1]; /* what is no flag; NULL behind the last */
    size_t argument_count;
    size_t command_at; /* of a verb that runs one: the argument it begins with, or argument_count */
} qr_client_options;

typedef struct qr_client {
    qr_arena arena; /* everything lives until the process ends its verb */
    qr_client_verb verb;
    qr_client_options options;
    uint64_t timeout_ms;
    const char *endpoints[QR_CLIENT_ENDPOINTS_MAX];
    size_t endpoint_count;
    size_t answering; /* the endpoint that answered last is asked first */
    qr_buffer out;    /* what goes to standard output */
} qr_client;

/* ---- client_flags.c: one table of flags for parsing and for help ---- */

void qr_client_options_init(qr_client_options *options);
/* NULL, or a sentence in the arena that says what is wrong. */
const char *qr_client_parse(qr_client_verb verb, int count, char *const *arguments,
                            qr_client_options *options, qr_arena *arena);
void qr_client_print_flags(qr_client_verb verb, FILE *to);
bool qr_client_duration(const char *text, uint64_t *milliseconds);

void qr_client_help(qr_client_verb verb, FILE *to); /* client_help.c */

/* ---- client_wire.c: one call ---- */

const char *qr_client_authority(const char *url); /* HOST:PORT of an endpoint with a scheme or without */

/* Asks the endpoints in turn until one answers; endpoint not NULL: that one only. A call that may change
 * something goes to the next endpoint only while it surely was not sent. NULL: *sentence says why. The answer
 * lives in the arena. */
const void *qr_client_call(qr_client *client, const char *endpoint, const char *path, bool changes,
                           const ProtobufCMessage *request, const ProtobufCMessageDescriptor *answer,
                           const char **sentence);

/* One request, any number of answers: each is given to take(). NULL: the stream ended well. */
const char *qr_client_stream(qr_client *client, const char *endpoint, const char *path,
                             const ProtobufCMessage *request, void (*take)(void *context, qr_slice message),
                             void *context);

/* ---- client_listen.c: a call that goes on ---- */

typedef struct qr_client_listener {
    bool (*take)(void *context, qr_slice message); /* one answer; false: enough */
    /* Something arrived, wake_ms has come, or `signals` can be read; false: enough. NULL: nothing to do. */
    bool (*woken)(void *context);
    uint64_t wake_ms; /* by qr_client_now_ms(); UINT64_MAX = never */
    int signals;      /* a file, or -1 */
    void *context;
    void *call; /* while it listens: whom say() tells */
} qr_client_listener;

uint64_t qr_client_now_ms(void);
/* Sends one request and goes on until the listener has enough: NULL. A sentence: the call or the connection
 * ended, or the member is silent although it was asked whether it lives. */
const char *qr_client_listen(qr_client *client, const char *endpoint, const char *path,
                             const ProtobufCMessage *request, qr_client_listener *listener);
/* One more request on the same call, from within take() or woken(). That it did not arrive shows in how the
 * call ends. */
void qr_client_say(const qr_client_listener *listener, const ProtobufCMessage *request);

/* ---- client_run.c: a command of the user's ---- */

/* Runs it with more variables ("NAME=value", NULL behind the last), standard streams as they are. own_group:
 * in a process group of its own, which gets the terminal. 0: *sentence says why not. */
pid_t qr_client_run(qr_client *client, const char *const *command, const char *const *variables,
                    bool own_group, const char **sentence);
int qr_client_exit_status(int wait_status); /* as a shell says it */

/* ---- client.c: for the verbs elsewhere ---- */

/* Comma separated. NULL, or a sentence. */
const char *qr_client_split_endpoints(qr_client *client, const char *list);
/* What was printed so far goes out now. QR_CLIENT_DONE or QR_CLIENT_REFUSED. */
int qr_client_flush(qr_client *client);
/* For verbs that go on: a fresh arena until end() brings back the one of before. */
qr_arena qr_client_scratch(qr_client *client);
void qr_client_scratch_end(qr_client *client, qr_arena kept);

int qr_client_refuse(const char *sentence); /* QR_CLIENT_REFUSED */
int qr_client_misuse(const char *sentence); /* QR_CLIENT_USAGE */
bool qr_client_wants_json(const qr_client *client);
void qr_client_print_json_line(qr_client *client, const ProtobufCMessage *message);
/* endpoint NULL: any. NULL: *sentence says why. */
const QrEtcdpb__MemberListResponse *qr_client_members(qr_client *client, const char *endpoint,
                                                      const char **sentence);
const QrEtcdpb__StatusResponse *qr_client_ask_status(qr_client *client, const char *endpoint,
                                                     const char **sentence);

/* ---- client_lease.c; seconds; NULL: *sentence says why ---- */

/* lease 0: of the server's choice. One of our own choice may be asked for at one endpoint after the other. */
const QrEtcdpb__LeaseGrantResponse *qr_client_grant(qr_client *client, int64_t ttl, int64_t lease,
                                                    const char **sentence);
const QrEtcdpb__LeaseKeepAliveResponse *qr_client_renew(qr_client *client, int64_t lease,
                                                        const char **sentence); /* TTL 0: there is none */
const QrEtcdpb__LeaseRevokeResponse *qr_client_revoke(qr_client *client, int64_t lease,
                                                      const char **sentence);
int qr_client_run_lease(qr_client *client);

/* ---- client_watch.c, client_lock.c, client_endpoint.c ---- */

int qr_client_run_watch(qr_client *client);
int qr_client_run_lock(qr_client *client);
int qr_client_run_elect(qr_client *client);
int qr_client_run_endpoint(qr_client *client);
int qr_client_run_alarm(qr_client *client);
const char *qr_client_alarm_name(const QrEtcdpb__AlarmMember *alarm);

/* ---- client_across.c ---- */

int qr_client_run_across(qr_client *client);

/* ---- client_member.c ---- */

int qr_client_run_member(qr_client *client);
int qr_client_run_move_leader(qr_client *client);

/* ---- client_request.c: requests from words ---- */

const char *qr_client_get_request(qr_client *client, const qr_client_options *options,
                                  QrEtcdpb__RangeRequest *request);
const char *qr_client_put_request(qr_client *client, const qr_client_options *options, bool may_read_input,
                                  QrEtcdpb__PutRequest *request);
const char *qr_client_watch_request(qr_client *client, const qr_client_options *options,
                                    QrEtcdpb__WatchCreateRequest *request);
/* The end of the range of all keys with that prefix. */
ProtobufCBinaryData qr_client_prefix_end(qr_client *client, const char *prefix);
const char *qr_client_del_request(qr_client *client, const qr_client_options *options,
                                  QrEtcdpb__DeleteRangeRequest *request);
/* All of standard input; NULL: too much of it. */
const char *qr_client_input(qr_client *client, qr_slice *text);

/* ---- client_txn.c: the language of etcdctl txn ---- */

typedef struct qr_client_words {
    char *list[QR_CLIENT_ARGUMENTS_MAX]; /* in the arena */
    size_t count;
} qr_client_words;

/* A line to words. False: a quote that does not end, an unknown escape, or too many words. */
bool qr_client_split(qr_client *client, qr_slice text, qr_client_words *words);

const char *qr_client_txn_request(qr_client *client, qr_slice text, QrEtcdpb__TxnRequest *request);

/* ---- client_backup.c ---- */

int qr_client_run_backup(qr_client *client); /* the exit status */

/* ---- client_blackbox.c ---- */

int qr_client_run_blackbox(qr_client *client);

/* ---- client_status.c: how the cluster is; returns the exit status ---- */

int qr_client_status(qr_client *client);

/* ---- client_print.c ---- */

void qr_client_print_bytes(qr_client *client, ProtobufCBinaryData data);
void qr_client_print_event(qr_client *client, const QrMvccpb__Event *event);
void qr_client_print_kv(qr_client *client, const QrMvccpb__KeyValue *kv, bool value_only);
void qr_client_print_get(qr_client *client, const qr_client_options *options,
                         const QrEtcdpb__RangeResponse *answer);
void qr_client_print_put(qr_client *client, const QrEtcdpb__PutResponse *answer);
void qr_client_print_del(qr_client *client, const QrEtcdpb__DeleteRangeResponse *answer);
void qr_client_print_txn(qr_client *client, const QrEtcdpb__TxnResponse *answer);
void qr_client_print_members(qr_client *client, const QrEtcdpb__MemberListResponse *answer);
void qr_client_print_json(qr_client *client,
                          const ProtobufCMessage *message); /* one line, as etcdctl -w json */

void qr_client_json_text(qr_buffer *out, const char *text); /* between quotes */

/* A table for people: rows of cells, columns as wide as needed. */
void qr_client_print_table(qr_client *client, const char *const *cells, size_t rows, size_t columns);

#endif

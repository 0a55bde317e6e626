#include "bin/client_hold.h"

#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "wire/protobuf.h"

enum { RETRY_MS = 200 }; /* between two tries while nobody answers */

static const char lease_ended[] = "the lease has ended", key_deleted[] = "its key was deleted";

static ProtobufCBinaryData data_of(const char *text)
{
    return (ProtobufCBinaryData){.len = strlen(text), .data = (uint8_t *)(uintptr_t)text};
}

/* ---- the lease ---- */

/* What is left of the lease is shared among the endpoints, so that one that is silent does not cost it;
 * parts: how many questions it is to last for. */
static void set_patience(qr_client_hold *hold, uint64_t parts)
{
    uint64_t now_ms = qr_client_now_ms(), left_ms = hold->valid_ms > now_ms ? hold->valid_ms - now_ms : 0;
    uint64_t share_ms = left_ms / hold->client->endpoint_count / parts + 1;
    hold->client->timeout_ms = share_ms < hold->timeout_ms ? share_ms : hold->timeout_ms;
}

/* A renewal counts from before it was sent. */
static void renew(qr_client_hold *hold)
{
    qr_client *client = hold->client;
    uint64_t now_ms = qr_client_now_ms(), timeout_ms = client->timeout_ms;
    qr_arena kept = qr_client_scratch(client);
    const char *sentence;
    set_patience(hold, 1);
    const QrEtcdpb__LeaseKeepAliveResponse *answer = qr_client_renew(client, hold->lease, &sentence);
    client->timeout_ms = timeout_ms;
    if (answer && answer->ttl <= 0)
        hold->lost = lease_ended;
    if (answer)
        hold->valid_ms = now_ms + (uint64_t)answer->ttl * 1000;
    hold->renew_ms = answer ? now_ms + hold->ttl_ms / 3 : qr_client_now_ms() + RETRY_MS;
    qr_client_scratch_end(client, kept);
}

/* Its key is gone: with the lease, or because somebody deleted it. */
static void lose_key(qr_client_hold *hold)
{
    renew(hold);
    if (!hold->lost)
        hold->lost = key_deleted;
}

static void read_signals(qr_client_hold *hold)
{
    struct signalfd_siginfo one;
    while (read(hold->signals, &one, sizeof one) == sizeof one)
        if (one.ssi_signo == SIGCHLD)
            hold->child = true;
        else
            hold->told = (int)one.ssi_signo;
}

static bool look(qr_client_hold *hold)
{
    read_signals(hold);
    if (!hold->lost && qr_client_now_ms() >= hold->renew_ms)
        renew(hold);
    if (!hold->lost && qr_client_now_ms() >= hold->valid_ms)
        hold->lost = lease_ended;
    return !hold->told && !hold->lost;
}

/* Until a signal comes, wake_ms, or the time to renew the lease. */
static bool nap(qr_client_hold *hold, uint64_t wake_ms)
{
    if (!hold->lost && hold->renew_ms < wake_ms)
        wake_ms = hold->renew_ms;
    uint64_t now_ms = qr_client_now_ms(), left_ms = wake_ms > now_ms ? wake_ms - now_ms : 0;
    struct pollfd file = {.fd = hold->signals, .events = POLLIN};
    poll(&file, 1, left_ms < INT32_MAX ? (int)left_ms : INT32_MAX);
    return look(hold);
}

/* ---- its place among the others ---- */

/* The key is new because the lease is: so the same question may be asked of the next endpoint when the answer
 * was lost, and finds the key that it has put. */
static const char *put_key(qr_client_hold *hold, const char *value)
{
    QrEtcdpb__Compare is_new = QR_ETCDPB__COMPARE__INIT, *compares[] = {&is_new};
    is_new.target = QR_ETCDPB__COMPARE__COMPARE_TARGET__CREATE;
    is_new.target_union_case = QR_ETCDPB__COMPARE__TARGET_UNION_CREATE_REVISION;
    is_new.key = data_of(hold->key);
    QrEtcdpb__PutRequest put = QR_ETCDPB__PUT_REQUEST__INIT;
    put.key = data_of(hold->key);
    put.value = data_of(value);
    put.lease = hold->lease;
    QrEtcdpb__RequestOp then = QR_ETCDPB__REQUEST_OP__INIT, *thens[] = {&then};
    then.request_case = QR_ETCDPB__REQUEST_OP__REQUEST_REQUEST_PUT;
    then.request_put = &put;
    QrEtcdpb__RangeRequest get = QR_ETCDPB__RANGE_REQUEST__INIT;
    get.key = data_of(hold->key);
    QrEtcdpb__RequestOp other = QR_ETCDPB__REQUEST_OP__INIT, *others[] = {&other};
    other.request_case = QR_ETCDPB__REQUEST_OP__REQUEST_REQUEST_RANGE;
    other.request_range = &get;
    QrEtcdpb__TxnRequest request = QR_ETCDPB__TXN_REQUEST__INIT;
    request.compare = compares;
    request.success = thens;
    request.failure = others;
    request.n_compare = request.n_success = request.n_failure = 1;
    const char *sentence = NULL;
    const QrEtcdpb__TxnResponse *answer =
        qr_client_call(hold->client, NULL, "/etcdserverpb.KV/Txn", false, &request.base,
                       &qr_etcdpb__txn_response__descriptor, &sentence);
    if (!answer)
        return sentence;
    const QrEtcdpb__RangeResponse *found =
        answer->n_responses == 1 &&
                answer->responses[0]->response_case == QR_ETCDPB__RESPONSE_OP__RESPONSE_RESPONSE_RANGE
            ? answer->responses[0]->response_range
            : NULL;
    if (!answer->header || (!answer->succeeded && !(found && found->n_kvs == 1)))
        return "the answer cannot be read";
    hold->token = answer->succeeded ? answer->header->revision : found->kvs[0]->create_revision;
    return NULL;
}

/* With an id of its own choice, so that the next endpoint may be asked when the answer was lost: "already
 * exists" is an answer then, too. */
static const char *make_lease(qr_client_hold *hold)
{
    static const char exists[] = "etcdserver: lease already exists";
    qr_client *client = hold->client;
    const char *sentence = NULL;
    uint64_t id, now_ms = qr_client_now_ms();
    if (getrandom(&id, sizeof id, 0) != sizeof id)
        return "there is no randomness";
    hold->lease = (int64_t)(id >> 1 | 1);
    const QrEtcdpb__LeaseGrantResponse *granted =
        qr_client_grant(client, client->options.ttl, hold->lease, &sentence);
    if (!granted && strcmp(sentence, exists) != 0)
        return sentence;
    hold->ttl_ms = (uint64_t)(granted ? granted->ttl : client->options.ttl) * 1000;
    hold->valid_ms = now_ms + hold->ttl_ms;
    hold->renew_ms = now_ms + hold->ttl_ms / 3;
    return NULL;
}

const char *qr_client_hold_begin(qr_client_hold *hold, qr_client *client, const char *name, const char *value)
{
    const char *sentence;
    *hold = (qr_client_hold){.client = client, .name = name, .timeout_ms = client->timeout_ms};
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    hold->signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (hold->signals < 0)
        return "signals cannot be received";
    sentence = make_lease(hold);
    if (sentence)
        return sentence;
    hold->key = qr_arena_format(&client->arena, "%s/%" PRIx64, name, (uint64_t)hold->lease);
    sentence = put_key(hold, value);
    if (sentence)
        qr_client_hold_end(hold);
    return sentence;
}

static const QrEtcdpb__RangeResponse *ask_range(qr_client *client, const QrEtcdpb__RangeRequest *request,
                                                const char **sentence)
{
    const QrEtcdpb__RangeResponse *answer =
        qr_client_call(client, NULL, "/etcdserverpb.KV/Range", false, &request->base,
                       &qr_etcdpb__range_response__descriptor, sentence);
    if (answer && !answer->header) {
        *sentence = "the answer cannot be read";
        return NULL;
    }
    return answer;
}

static const QrEtcdpb__RangeResponse *range(qr_client *client, const char *prefix, int64_t create_max,
                                            const char **sentence)
{
    QrEtcdpb__RangeRequest request = QR_ETCDPB__RANGE_REQUEST__INIT;
    request.key = data_of(prefix);
    request.range_end = qr_client_prefix_end(client, prefix);
    request.limit = 1;
    request.sort_target = QR_ETCDPB__RANGE_REQUEST__SORT_TARGET__CREATE;
    request.sort_order = create_max ? QR_ETCDPB__RANGE_REQUEST__SORT_ORDER__DESCEND
                                    : QR_ETCDPB__RANGE_REQUEST__SORT_ORDER__ASCEND;
    request.max_create_revision = create_max;
    return ask_range(client, &request, sentence);
}

const QrEtcdpb__RangeResponse *qr_client_hold_first(qr_client *client, const char *name,
                                                    const char **sentence)
{
    return range(client, qr_arena_format(&client->arena, "%s/", name), 0, sentence);
}

const char *qr_client_hold_listen(qr_client *client, ProtobufCBinaryData key, ProtobufCBinaryData end,
                                  int64_t revision, qr_client_listener *listener)
{
    QrEtcdpb__WatchCreateRequest create = QR_ETCDPB__WATCH_CREATE_REQUEST__INIT;
    create.key = key;
    create.range_end = end;
    create.start_revision = revision;
    QrEtcdpb__WatchRequest request = QR_ETCDPB__WATCH_REQUEST__INIT;
    request.request_union_case = QR_ETCDPB__WATCH_REQUEST__REQUEST_UNION_CREATE_REQUEST;
    request.create_request = &create;
    return qr_client_listen(client, client->endpoints[client->answering], "/etcdserverpb.Watch/Watch",
                            &request.base, listener);
}

/* One look at a key has begun, the predecessor's or its own: its end, or anything odd, is a reason to look
 * again. */
typedef struct vigil {
    qr_client_hold *hold;
    qr_client_listener listener;
    uint64_t wake_ms;
    bool while_held;
} vigil;

static bool take(void *context, qr_slice message)
{
    vigil *self = context;
    qr_arena kept = qr_client_scratch(self->hold->client);
    const QrEtcdpb__WatchResponse *answer = (const void *)qr_protobuf_unpack(
        &qr_etcdpb__watch_response__descriptor, message, &self->hold->client->arena);
    bool goes_on = answer && !answer->canceled;
    for (size_t i = 0; goes_on && i < answer->n_events; i++)
        goes_on = answer->events[i]->type != QR_MVCCPB__EVENT__EVENT_TYPE__DELETE;
    qr_client_scratch_end(self->hold->client, kept);
    return goes_on;
}

static uint64_t next_ms(const vigil *self)
{
    return self->hold->renew_ms < self->wake_ms ? self->hold->renew_ms : self->wake_ms;
}

static bool is_over(const vigil *self)
{
    return self->while_held && (self->hold->child || qr_client_now_ms() >= self->wake_ms);
}

static bool woken(void *context)
{
    vigil *self = context;
    bool goes_on = look(self->hold);
    self->listener.wake_ms = next_ms(self);
    return goes_on && !is_over(self);
}

/* Until the key is deleted after that revision, or whatever else is a reason to look. An endpoint that fails
 * is passed over. */
static void keep_vigil(vigil *self, ProtobufCBinaryData key, int64_t revision)
{
    qr_client *client = self->hold->client;
    const ProtobufCBinaryData no_end = {0};
    self->listener = (qr_client_listener){.take = take,
                                          .woken = woken,
                                          .wake_ms = next_ms(self),
                                          .signals = self->hold->signals,
                                          .context = self};
    if (qr_client_hold_listen(client, key, no_end, revision + 1, &self->listener))
        client->answering = (client->answering + 1) % client->endpoint_count;
}

/* Nobody answered: the next endpoint is asked after a moment. False: told to end, or lost. */
static bool pass_over(qr_client_hold *hold)
{
    hold->client->answering = (hold->client->answering + 1) % hold->client->endpoint_count;
    return nap(hold, qr_client_now_ms() + RETRY_MS);
}

/* True: the key still stands as it was put. */
static bool stands(qr_client_hold *hold, const QrEtcdpb__RangeResponse *first)
{
    return first->n_kvs == 1 && first->kvs[0]->create_revision == hold->token;
}

/* True: the waiting is over. */
static bool wait_once(qr_client_hold *hold)
{
    qr_client *client = hold->client;
    const char *sentence;
    const QrEtcdpb__RangeResponse *before =
        range(client, qr_arena_format(&client->arena, "%s/", hold->name), hold->token - 1, &sentence);
    if (!before || (before->n_kvs && !before->kvs[0]))
        return !pass_over(hold);
    hold->revision = before->header->revision;
    if (before->n_kvs == 0) {
        const QrEtcdpb__RangeResponse *first = qr_client_hold_first(client, hold->name, &sentence);
        if (first && !stands(hold, first))
            lose_key(hold);
        return first || !look(hold);
    }
    vigil self = {.hold = hold, .wake_ms = UINT64_MAX};
    keep_vigil(&self, before->kvs[0]->key, hold->revision);
    return !look(hold);
}

const char *qr_client_hold_wait(qr_client_hold *hold)
{
    bool is_done = false;
    while (!is_done) {
        qr_arena kept = qr_client_scratch(hold->client);
        is_done = wait_once(hold);
        qr_client_scratch_end(hold->client, kept);
    }
    if (!hold->lost)
        return NULL;
    return qr_arena_format(&hold->client->arena, "%s before its turn had come", hold->lost);
}

/* The key is asked for before it is watched, so that no history is needed that may be compacted. */
static bool mind_key(vigil *self)
{
    qr_client_hold *hold = self->hold;
    QrEtcdpb__RangeRequest request = QR_ETCDPB__RANGE_REQUEST__INIT;
    request.key = data_of(hold->key);
    const char *sentence;
    set_patience(hold, 2); /* a renewal has to follow in time */
    const QrEtcdpb__RangeResponse *own = ask_range(hold->client, &request, &sentence);
    if (!own)
        return pass_over(hold);
    if (!stands(hold, own))
        lose_key(hold);
    else
        keep_vigil(self, request.key, own->header->revision);
    return look(hold);
}

bool qr_client_hold_mind(qr_client_hold *hold, uint64_t wake_ms)
{
    vigil self = {.hold = hold, .wake_ms = wake_ms, .while_held = true};
    bool goes_on = true;
    if (hold->lost)
        goes_on = nap(hold, wake_ms);
    while (goes_on && !is_over(&self)) {
        qr_arena kept = qr_client_scratch(hold->client);
        goes_on = mind_key(&self);
        qr_client_scratch_end(hold->client, kept);
    }
    hold->client->timeout_ms = hold->timeout_ms;
    hold->child = false;
    return goes_on;
}

void qr_client_hold_end(qr_client_hold *hold)
{
    const char *sentence;
    if (hold->lost != lease_ended && !qr_client_revoke(hold->client, hold->lease, &sentence))
        fprintf(stderr, "quorate: not given back, but it ends by itself within %" PRIu64 " s: %s\n",
                hold->ttl_ms / 1000, sentence);
    close(hold->signals);
}

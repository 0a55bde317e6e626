/* quorate across: one transaction over keys of several clusters. The protocol is src/group's; here are its
 * words, its clock, and the patience of somebody at a terminal. */
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/random.h>

#include "bin/across.h"

enum {
    RETRY_MS = 50,
    PUSH_MS = 2000,
    FORGET_MS = 10 * 60 * 1000, /* the same for everybody who uses these clusters so */
    LIMIT_MS_MAX = FORGET_MS / 4,
};

typedef struct across {
    qr_client *client; /* arguments and output */
    qr_client groups[QR_GROUP_GROUPS_MAX];
    size_t group_count;
    qr_group_config config;
    qr_group_key keys[QR_GROUP_KEYS_MAX];
    const char *words[QR_GROUP_KEYS_MAX]; /* as they were said */
    qr_slice values[QR_GROUP_KEYS_MAX];   /* to be put */
    size_t count;
    int64_t amount;       /* to be moved */
    const char *sentence; /* the last trouble */
} across;

/* ------------------------------------------------------------------- words ---- */

/* Each cluster's endpoints, a plus between clusters. */
static const char *take_groups(across *all)
{
    qr_arena *arena = &all->client->arena;
    char *text = qr_arena_format(arena, "%s", all->client->options.endpoints), *rest = NULL;
    for (char *one = strtok_r(text, "+", &rest); one; one = strtok_r(NULL, "+", &rest)) {
        if (all->group_count == QR_GROUP_GROUPS_MAX)
            return "too many clusters";
        qr_client *group = &all->groups[all->group_count++];
        *group = *all->client;
        qr_arena_init(&group->arena); /* of its own */
        const char *sentence = qr_client_split_endpoints(group, one);
        if (sentence)
            return sentence;
    }
    return NULL;
}

/* GROUP:KEY, and =VALUE if one is wanted. */
static const char *take_key(across *all, const char *word, bool wants_value)
{
    qr_arena *arena = &all->client->arena;
    char *end;
    unsigned long group = strtoul(word, &end, 10);
    const char *equals = wants_value ? strchr(end, '=') : NULL;
    size_t size = equals ? (size_t)(equals - end) : strlen(end);
    if (end == word || *end != ':' || size < 2 || (wants_value && !equals))
        return qr_arena_format(arena, "\"%s\": GROUP:KEY%s is wanted", word, wants_value ? "=VALUE" : "");
    if (group < 1 || group > all->group_count)
        return qr_arena_format(arena, "\"%s\": --endpoints names %zu clusters, with a plus between them",
                               word, all->group_count);
    if (all->count == QR_GROUP_KEYS_MAX)
        return "more than 64 keys";
    qr_group_key key = {(uint32_t)group - 1, qr_slice_of(end + 1, size - 1)};
    for (size_t i = 0; i < all->count; i++)
        if (all->keys[i].group == key.group && qr_slice_equal(all->keys[i].key, key.key))
            return qr_arena_format(arena, "\"%s\" is named twice", word);
    all->words[all->count] = qr_arena_text(arena, qr_slice_of(word, (size_t)(end - word) + size));
    all->values[all->count] = equals ? qr_slice_text(equals + 1) : (qr_slice){0};
    all->keys[all->count++] = key;
    return NULL;
}

static const char *take_keys(across *all, size_t from, bool want_values)
{
    const qr_client_options *options = &all->client->options;
    const char *sentence = options->argument_count > from ? NULL : "no key is named";
    for (size_t i = from; i < options->argument_count && !sentence; i++)
        sentence = take_key(all, options->arguments[i], want_values);
    return sentence;
}

/* ------------------------------------------------------------------ values ---- */

static const char *read_balance(across *all, const qr_group_task *task, size_t i, int64_t *balance)
{
    uint64_t revision;
    char *text = qr_arena_text(&all->client->arena, qr_group_value(task, i, &revision)), *end;
    *balance = strtoll(text, &end, 10);
    return *end ? qr_arena_format(&all->client->arena, "%s holds \"%s\", which is no number", all->words[i],
                                  text)
                : NULL;
}

/* NULL: .values are what is to be written. Else why nothing is. */
static const char *move(across *all, const qr_group_task *task)
{
    qr_arena *arena = &all->client->arena;
    int64_t from, to;
    const char *sentence = read_balance(all, task, 0, &from);
    if (!sentence)
        sentence = read_balance(all, task, 1, &to);
    if (!sentence && from < all->amount)
        sentence = qr_arena_format(arena, "%s has only %" PRId64, all->words[0], from);
    if (!sentence && to > INT64_MAX - all->amount)
        sentence = qr_arena_format(arena, "%s would have too much", all->words[1]);
    if (sentence)
        return sentence;
    all->values[0] = qr_slice_text(qr_arena_format(arena, "%" PRId64, from - all->amount));
    all->values[1] = qr_slice_text(qr_arena_format(arena, "%" PRId64, to + all->amount));
    return NULL;
}

static void print(across *all, const qr_group_task *task)
{
    for (size_t i = 0; i < all->count; i++) {
        uint64_t revision;
        qr_slice value = qr_group_value(task, i, &revision);
        if (revision)
            qr_buffer_format(&all->client->out, "%s\n%.*s\n", all->words[i], (int)value.size,
                             (const char *)value.data);
    }
}

/* ----------------------------------------------------------------- driving ---- */

static void carry_out(across *all, qr_group_task *task, const qr_group_call *call)
{
    qr_client *group = &all->groups[call->group];
    const char *sentence = NULL;
    qr_arena kept = qr_client_scratch(group);
    const qr_txn_result *result = qr_across_call(group, call, &sentence);
    if (result == NULL)
        all->sentence = qr_arena_format(&all->client->arena, "cluster %u: %s", call->group + 1, sentence);
    qr_group_answer(task, result ? QR_OK : QR_E_TIMEOUT, result, qr_client_now_ms());
    qr_client_scratch_end(group, kept);
}

/* One call, or a rest until there is one; false: the owner is to act. */
static bool go_on(across *all, qr_group_task *task)
{
    qr_group_call call;
    uint64_t now_ms = qr_client_now_ms();
    if (qr_group_next(task, now_ms, &call)) {
        carry_out(all, task, &call);
        return true;
    }
    uint64_t wake_ms = qr_group_wake_ms(task);
    if (wake_ms == UINT64_MAX)
        return false;
    poll(NULL, 0, wake_ms > now_ms ? (int)(wake_ms - now_ms) : 0);
    return true;
}

static int verdict(across *all, qr_group_state state, const char *refused)
{
    static const char *const sentences[] = {
        [QR_GROUP_ABORTED] = "aborted: nothing has happened",
        [QR_GROUP_UNKNOWN] = "unknown: it may have been committed, in all clusters or in none"};
    if (state == QR_GROUP_COMMITTED)
        return QR_CLIENT_DONE;
    const char *why = refused ? refused : all->sentence ? all->sentence : "others held a key for too long";
    return qr_client_refuse(qr_arena_format(&all->client->arena, "%s (%s)", sentences[state], why));
}

static int run_update(across *all, bool moves)
{
    uint64_t random[2];
    const char *refused = NULL;
    if (getrandom(random, sizeof random, 0) != sizeof random)
        return qr_client_refuse("there is no randomness");
    const char *id = qr_arena_format(&all->client->arena, "%016" PRIx64 "%016" PRIx64, random[0], random[1]);
    qr_group_task *task = qr_group_update(&all->config, qr_slice_text(id), all->keys, all->count,
                                          qr_client_now_ms(), (uint32_t)all->client->timeout_ms);
    for (;;) {
        if (go_on(all, task))
            continue;
        if (qr_group_state_of(task) != QR_GROUP_HOLDING)
            break;
        refused = moves ? move(all, task) : NULL;
        if (refused)
            qr_group_abort(task);
        else if (!qr_group_commit(task, all->values))
            refused = "keys and values are more than 1 MiB";
    }
    qr_group_state state = qr_group_state_of(task);
    qr_group_free(task);
    if (state == QR_GROUP_COMMITTED)
        qr_buffer_format(&all->client->out, "OK\n");
    return verdict(all, state, refused);
}

static int run_read(across *all)
{
    qr_group_task *task = qr_group_read(&all->config, all->keys, all->count, qr_client_now_ms(),
                                        (uint32_t)all->client->timeout_ms);
    while (go_on(all, task)) {
    }
    qr_group_state state = qr_group_state_of(task);
    if (state == QR_GROUP_COMMITTED)
        print(all, task);
    qr_group_free(task);
    return verdict(all, state, NULL);
}

/* Until it is told to end. */
static _Noreturn void run_sweep(across *all)
{
    qr_group_task *tasks[QR_GROUP_GROUPS_MAX];
    for (size_t i = 0; i < all->group_count; i++)
        tasks[i] = qr_group_sweep(&all->config, (uint32_t)i);
    for (size_t i = 0;; i = (i + 1) % all->group_count)
        go_on(all, tasks[i]);
}

int qr_client_run_across(qr_client *client)
{
    static across all; /* large */
    all = (across){.client = client,
                   .config = {.retry_ms = RETRY_MS, .push_ms = PUSH_MS, .forget_ms = FORGET_MS}};
    const qr_client_options *options = &client->options;
    const char *word = options->argument_count ? options->arguments[0] : "";
    const char *sentence = take_groups(&all);
    if (!sentence && client->timeout_ms > LIMIT_MS_MAX)
        sentence = "--timeout is at most 150s here";
    if (sentence)
        return qr_client_misuse(sentence);
    if (strcmp(word, "sweep") == 0 && options->argument_count == 1)
        run_sweep(&all);
    bool moves = strcmp(word, "move") == 0, puts = strcmp(word, "put") == 0;
    if (!moves && !puts && strcmp(word, "get") != 0)
        return qr_client_misuse("across get, put, move or sweep");
    char *end = NULL;
    if (moves && options->argument_count == 4)
        all.amount = strtoll(options->arguments[1], &end, 10);
    if (moves && (!end || *end || all.amount <= 0))
        return qr_client_misuse("move takes an amount above 0 and two keys");
    sentence = take_keys(&all, moves ? 2 : 1, puts);
    if (sentence)
        return qr_client_misuse(sentence);
    return moves || puts ? run_update(&all, moves) : run_read(&all);
}

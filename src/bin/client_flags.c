#include <stdlib.h>

#include "bin/client.h"

enum {
    ANY = 0x1ffff,
    ONE_CLUSTER = ANY & ~QR_CLIENT_ACROSS,
    READS = QR_CLIENT_GET,
    SPANS = QR_CLIENT_GET | QR_CLIENT_DEL | QR_CLIENT_WATCH,
    HOLDS = QR_CLIENT_LOCK | QR_CLIENT_ELECT,
};

typedef enum flag_kind { KIND_SWITCH, KIND_TEXT, KIND_NUMBER } flag_kind;

typedef struct flag_row {
    const char *name;
    char letter; /* 0 = none */
    flag_kind kind;
    unsigned verbs;
    size_t offset;
    const char *value_name;
    const char *help;
} flag_row;

#define AT(member) offsetof(qr_client_options, member)

static const flag_row flags[] = {
    {"prefix", 0, KIND_SWITCH, SPANS, AT(prefix), NULL, "all keys that begin with KEY"},
    {"from-key", 0, KIND_SWITCH, SPANS, AT(from_key), NULL, "all keys that are KEY or sort after it"},
    {"rev", 0, KIND_NUMBER, READS, AT(revision), "N",
     "the state right after revision N (default: the newest)"},
    {"rev", 0, KIND_NUMBER, QR_CLIENT_WATCH, AT(revision), "N",
     "what happened at revision N and after (default: from now on)"},
    {"rev", 0, KIND_NUMBER, QR_CLIENT_ENDPOINT, AT(revision), "N", "up to revision N (hashkv)"},
    {"limit", 0, KIND_NUMBER, READS, AT(limit), "N", "at most N keys (default: all)"},
    {"order", 0, KIND_TEXT, READS, AT(order), "ORDER", "ASCEND or DESCEND (default: ASCEND)"},
    {"sort-by", 0, KIND_TEXT, READS, AT(sort_by), "WHAT",
     "KEY, VERSION, CREATE, MODIFY or VALUE (default: KEY)"},
    {"consistency", 0, KIND_TEXT, READS, AT(consistency), "L",
     "l: linearizable, s: what this member has, maybe stale (default: l)"},
    {"count-only", 0, KIND_SWITCH, READS, AT(count_only), NULL, "only how many keys there are"},
    {"keys-only", 0, KIND_SWITCH, READS, AT(keys_only), NULL, "no values"},
    {"print-value-only", 0, KIND_SWITCH, READS, AT(print_value_only), NULL, "print no keys"},
    {"prev-kv", 0, KIND_SWITCH, QR_CLIENT_PUT | QR_CLIENT_DEL | QR_CLIENT_WATCH, AT(prev_kv), NULL,
     "also print what was there before"},
    {"lease", 0, KIND_TEXT, QR_CLIENT_PUT, AT(lease), "ID",
     "bind the key to this lease (hexadecimal; default: none)"},
    {"ignore-value", 0, KIND_SWITCH, QR_CLIENT_PUT, AT(ignore_value), NULL, "keep the value the key has"},
    {"ignore-lease", 0, KIND_SWITCH, QR_CLIENT_PUT, AT(ignore_lease), NULL, "keep the lease the key has"},
    {"progress-notify", 0, KIND_SWITCH, QR_CLIENT_WATCH, AT(progress_notify), NULL,
     "also say how far it has come, every ten minutes without an event"},
    {"interactive", 'i', KIND_SWITCH, QR_CLIENT_WATCH, AT(interactive), NULL,
     "begin and end watches by lines on standard input"},
    {"keys", 0, KIND_SWITCH, QR_CLIENT_LEASE, AT(keys), NULL,
     "also the keys that are bound to it (timetolive)"},
    {"once", 0, KIND_SWITCH, QR_CLIENT_LEASE, AT(once), NULL, "renew it once and end (keep-alive)"},
    {"ttl", 0, KIND_NUMBER, HOLDS, AT(ttl), "SECONDS",
     "how long it stays taken when this program dies without a word (default: 10)"},
    {"listen", 'l', KIND_SWITCH, QR_CLIENT_ELECT, AT(listen), NULL, "do not stand, but print who leads"},
    {"physical", 0, KIND_SWITCH, QR_CLIENT_COMPACT, AT(physical), NULL,
     "accepted for etcdctl's sake; the answer is the same"},
    {"only", 0, KIND_SWITCH, QR_CLIENT_STATUS, AT(only), NULL,
     "only these endpoints, not the other members that they name; nothing is said about the quorum"},
    {"peer-urls", 0, KIND_TEXT, QR_CLIENT_MEMBER, AT(peer_urls), "LIST",
     "where the other members reach this one: comma separated http://HOST:PORT (add, update, replace)"},
    {"client-urls", 0, KIND_TEXT, QR_CLIENT_MEMBER, AT(client_urls), "LIST",
     "what the printed command line has as client URLs (add, replace; default: port 2379 of its peer URL)"},
    {"voter", 0, KIND_SWITCH, QR_CLIENT_MEMBER, AT(voter), NULL,
     "it gets its vote by itself once it has caught up, as with etcdctl (add; default: when it is promoted)"},
    {"wait", 0, KIND_TEXT, QR_CLIENT_MEMBER, AT(wait), "TIME",
     "patience with a learner that has not caught up (promote, replace; default: none, replace with "
     "--peer-urls 10m)"},
    {"endpoints", 0, KIND_TEXT, ONE_CLUSTER, AT(endpoints), "LIST",
     "comma separated host:port, tried in turn (default: $ETCDCTL_ENDPOINTS or 127.0.0.1:2379)"},
    {"endpoints", 0, KIND_TEXT, QR_CLIENT_ACROSS, AT(endpoints), "LISTS",
     "of each cluster comma separated host:port, with a plus between clusters; for everybody in the same "
     "order"},
    {"timeout", 0, KIND_TEXT, ONE_CLUSTER & ~QR_CLIENT_BACKUP, AT(timeout), "TIME",
     "patience with one endpoint: 500ms, 5s, 1m (default: 5s)"},
    {"timeout", 0, KIND_TEXT, QR_CLIENT_BACKUP, AT(timeout), "TIME",
     "patience with one endpoint that says nothing, as while it saves its state (default: 1m)"},
    {"timeout", 0, KIND_TEXT, QR_CLIENT_ACROSS, AT(timeout), "TIME",
     "patience with one endpoint, and with the whole transaction (default: 5s)"},
    {"write-out", 'w', KIND_TEXT, ONE_CLUSTER, AT(output), "FORM",
     "simple or json; also -o (default: simple)"},
    {"hex", 0, KIND_SWITCH, ONE_CLUSTER, AT(hex), NULL, "print keys and values as \\x00 bytes"},
    {"help", 'h', KIND_SWITCH, ANY, AT(help), NULL, "this text"},
};

enum { FLAG_COUNT = sizeof flags / sizeof flags[0] };

void qr_client_options_init(qr_client_options *options)
{
    memset(options, 0, sizeof *options);
    const char *endpoints = getenv("ETCDCTL_ENDPOINTS");
    options->endpoints = endpoints && *endpoints ? endpoints : "127.0.0.1:2379";
    options->output = "simple";
    options->ttl = 10;
    options->timeout = "5s";
    options->order = options->sort_by = "";
    options->consistency = "l";
    options->lease = options->peer_urls = options->client_urls = options->wait = "";
}

static const flag_row *find_flag(qr_client_verb verb, const char *name, size_t size)
{
    for (size_t i = 0; i < FLAG_COUNT; i++)
        if ((flags[i].verbs & (unsigned)verb) && strlen(flags[i].name) == size &&
            memcmp(flags[i].name, name, size) == 0)
            return &flags[i];
    return NULL;
}

static const flag_row *find_letter(qr_client_verb verb, char letter)
{
    if (letter == 'o')
        letter = 'w';
    for (size_t i = 0; i < FLAG_COUNT; i++)
        if ((flags[i].verbs & (unsigned)verb) && flags[i].letter == letter)
            return &flags[i];
    return NULL;
}

/* value NULL: a switch without one. */
static const char *set_flag(const flag_row *flag, const char *value, qr_client_options *options,
                            qr_arena *arena)
{
    char *at = (char *)options + flag->offset;
    if (flag->kind == KIND_TEXT) {
        memcpy(at, &value, sizeof value);
        return NULL;
    }
    if (flag->kind == KIND_SWITCH) {
        bool on = !value || strcmp(value, "true") == 0;
        if (value && !on && strcmp(value, "false") != 0)
            return qr_arena_format(arena, "--%s is on or off: it takes true, false or nothing", flag->name);
        memcpy(at, &on, sizeof on);
        return NULL;
    }
    char *end;
    int64_t number = strtoll(value, &end, 10);
    if (*end || end == value)
        return qr_arena_format(arena, "--%s takes a number, not \"%s\"", flag->name, value);
    memcpy(at, &number, sizeof number);
    return NULL;
}

/* One argument that begins with a dash; *used counts a value taken from the next one. */
static const char *parse_flag(qr_client_verb verb, const char *word, const char *next,
                              qr_client_options *options, qr_arena *arena, int *used)
{
    const flag_row *found;
    const char *value = NULL;
    if (word[1] == '-') {
        const char *equals = strchr(word, '=');
        found = find_flag(verb, word + 2, equals ? (size_t)(equals - word) - 2 : strlen(word + 2));
        value = equals ? equals + 1 : NULL;
    } else {
        found = find_letter(verb, word[1]);
        value = word[2] == '=' ? word + 3 : word[2] ? word + 2 : NULL;
    }
    if (!found)
        return qr_arena_format(arena, "unknown flag %s; --help lists what there is", word);
    if (found->kind != KIND_SWITCH && !value) {
        if (!next)
            return qr_arena_format(arena, "--%s needs a value", found->name);
        value = next;
        *used = 1;
    }
    return set_flag(found, value, options, arena);
}

/* Behind the first words of these verbs comes a command with flags of its own. */
static bool begins_command(qr_client_verb verb, const qr_client_options *options)
{
    return verb == QR_CLIENT_LOCK && options->argument_count == 1;
}

const char *qr_client_parse(qr_client_verb verb, int count, char *const *arguments,
                            qr_client_options *options, qr_arena *arena)
{
    bool flags_end = false;
    options->command_at = SIZE_MAX;
    for (int i = 0; i < count; i++) {
        const char *word = arguments[i];
        if (!flags_end && strcmp(word, "--") == 0) {
            flags_end = true;
            options->command_at = options->argument_count;
        } else if (!flags_end && word[0] == '-' && word[1]) {
            int used = 0;
            const char *sentence =
                parse_flag(verb, word, i + 1 < count ? arguments[i + 1] : NULL, options, arena, &used);
            if (sentence)
                return sentence;
            i += used;
        } else if (options->argument_count < QR_CLIENT_ARGUMENTS_MAX) {
            if (!flags_end && begins_command(verb, options)) {
                flags_end = true;
                options->command_at = options->argument_count;
            }
            options->arguments[options->argument_count++] = word;
        } else {
            return "too many arguments";
        }
    }
    options->arguments[options->argument_count] = NULL;
    bool runs = verb == QR_CLIENT_WATCH || verb == QR_CLIENT_LOCK;
    if (!runs || options->command_at > options->argument_count)
        options->command_at = options->argument_count;
    if (strcmp(options->output, "simple") != 0 && strcmp(options->output, "json") != 0)
        return qr_arena_format(arena, "--write-out knows simple and json, not \"%s\"", options->output);
    return NULL;
}

bool qr_client_duration(const char *text, uint64_t *milliseconds)
{
    static const struct {
        const char *unit;
        double factor;
    } units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"", 1000}};
    char *end;
    double number = strtod(text, &end);
    if (end == text || !(number > 0 && number < 1e6))
        return false;
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (strcmp(end, units[i].unit) != 0)
            continue;
        *milliseconds = (uint64_t)(number * units[i].factor);
        return *milliseconds > 0;
    }
    return false;
}

void qr_client_print_flags(qr_client_verb verb, FILE *to)
{
    for (size_t i = 0; i < FLAG_COUNT; i++) {
        const flag_row *one = &flags[i];
        if (!(one->verbs & (unsigned)verb))
            continue;
        char left[64];
        snprintf(left, sizeof left, "%c%c%s--%s%s%s", one->letter ? '-' : ' ',
                 one->letter ? one->letter : ' ', one->letter ? ", " : "  ", one->name,
                 one->value_name ? " " : "", one->value_name ? one->value_name : "");
        fprintf(to, "  %-26s %s\n", left, one->help);
    }
}

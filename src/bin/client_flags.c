#include <stdlib.h>

#include "bin/client.h"

enum { ANY = 0x1ff, READS = QR_CLIENT_GET, SPANS = QR_CLIENT_GET | QR_CLIENT_DEL };

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
    {"limit", 0, KIND_NUMBER, READS, AT(limit), "N", "at most N keys (default: all)"},
    {"order", 0, KIND_TEXT, READS, AT(order), "ORDER", "ASCEND or DESCEND (default: ASCEND)"},
    {"sort-by", 0, KIND_TEXT, READS, AT(sort_by), "WHAT",
     "KEY, VERSION, CREATE, MODIFY or VALUE (default: KEY)"},
    {"consistency", 0, KIND_TEXT, READS, AT(consistency), "L",
     "l: linearizable, s: what this member has, maybe stale (default: l)"},
    {"count-only", 0, KIND_SWITCH, READS, AT(count_only), NULL, "only how many keys there are"},
    {"keys-only", 0, KIND_SWITCH, READS, AT(keys_only), NULL, "no values"},
    {"print-value-only", 0, KIND_SWITCH, READS, AT(print_value_only), NULL, "print no keys"},
    {"prev-kv", 0, KIND_SWITCH, QR_CLIENT_PUT | QR_CLIENT_DEL, AT(prev_kv), NULL,
     "also print what was there before"},
    {"lease", 0, KIND_TEXT, QR_CLIENT_PUT, AT(lease), "ID",
     "bind the key to this lease (hexadecimal; default: none)"},
    {"ignore-value", 0, KIND_SWITCH, QR_CLIENT_PUT, AT(ignore_value), NULL, "keep the value the key has"},
    {"ignore-lease", 0, KIND_SWITCH, QR_CLIENT_PUT, AT(ignore_lease), NULL, "keep the lease the key has"},
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
    {"endpoints", 0, KIND_TEXT, ANY, AT(endpoints), "LIST",
     "comma separated host:port, tried in turn (default: $ETCDCTL_ENDPOINTS or 127.0.0.1:2379)"},
    {"timeout", 0, KIND_TEXT, ANY, AT(timeout), "TIME",
     "patience with one endpoint: 500ms, 5s, 1m (default: 5s)"},
    {"write-out", 'w', KIND_TEXT, ANY, AT(output), "FORM", "simple or json; also -o (default: simple)"},
    {"hex", 0, KIND_SWITCH, ANY, AT(hex), NULL, "print keys and values as \\x00 bytes"},
    {"help", 'h', KIND_SWITCH, ANY, AT(help), NULL, "this text"},
};

enum { FLAG_COUNT = sizeof flags / sizeof flags[0] };

void qr_client_options_init(qr_client_options *options)
{
    memset(options, 0, sizeof *options);
    const char *endpoints = getenv("ETCDCTL_ENDPOINTS");
    options->endpoints = endpoints && *endpoints ? endpoints : "127.0.0.1:2379";
    options->output = "simple";
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

const char *qr_client_parse(qr_client_verb verb, int count, char *const *arguments,
                            qr_client_options *options, qr_arena *arena)
{
    bool flags_end = false;
    for (int i = 0; i < count; i++) {
        const char *word = arguments[i];
        if (!flags_end && strcmp(word, "--") == 0) {
            flags_end = true;
        } else if (!flags_end && word[0] == '-' && word[1]) {
            int used = 0;
            const char *sentence =
                parse_flag(verb, word, i + 1 < count ? arguments[i + 1] : NULL, options, arena, &used);
            if (sentence)
                return sentence;
            i += used;
        } else if (options->argument_count < QR_CLIENT_ARGUMENTS_MAX) {
            options->arguments[options->argument_count++] = word;
        } else {
            return "too many arguments";
        }
    }
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

/* ---- help ---- */

static const struct {
    qr_client_verb verb;
    const char *usage, *what, *examples;
} pages[] = {
    {QR_CLIENT_PUT, "quorate put KEY [VALUE]",
     "Writes VALUE under KEY. Without VALUE it is read from standard input, to its end.\n"
     "Prints OK when a majority of the members has it on disk.",
     "  quorate put /service/db/leader node-1\n"
     "  quorate put config --prev-kv < config.json\n"
     "  quorate put -- -key value      (a key that begins with a dash)\n"},
    {QR_CLIENT_GET, "quorate get KEY [END]",
     "Prints KEY and its value, one line each; with END all keys from KEY up to, not including, END.\n"
     "A key that is not there prints nothing and is no error.",
     "  quorate get /service/ --prefix --keys-only\n"
     "  quorate get config --rev 41 --print-value-only\n"
     "  quorate get '' --from-key --sort-by MODIFY --order DESCEND --limit 10\n"},
    {QR_CLIENT_DEL, "quorate del KEY [END]",
     "Deletes KEY; with END all keys from KEY up to, not including, END. Prints how many were deleted.",
     "  quorate del /service/db/leader --prev-kv\n"
     "  quorate del /tmp/ --prefix\n"},
    {QR_CLIENT_TXN, "quorate txn < FILE",
     "Reads a transaction from standard input, as etcdctl writes it: comparisons, an empty line, the "
     "operations\n"
     "if all of them hold, an empty line, the operations if not, and an empty line or the end. All happens "
     "at\n"
     "once or not at all. Prints SUCCESS or FAILURE and what each operation gave.\n"
     "\n"
     "  comparison  TARGET(\"KEY\") OP \"VALUE\"\n"
     "              TARGET: ver or version, c or create, m or mod, val or value, lease; OP: = != < >\n"
     "  operation   put KEY VALUE, get KEY [END], del KEY [END], with the flags of these verbs",
     "  printf 'ver(\"lock\") = \"0\"\\n\\nput lock me\\n\\nget lock\\n\\n' | quorate txn\n"},
    {QR_CLIENT_COMPACT, "quorate compact REVISION",
     "Forgets what is not visible at REVISION or after. Reads below it fail from then on.",
     "  quorate compact 1000\n"},
    {QR_CLIENT_STATUS, "quorate status",
     "Asks the endpoints and every member that they name, and prints a table: MEMBER and ID; ROLE (leader,\n"
     "follower, learner, or no leader: it knows none); STATE as seen from here; VERSION; TERM; APPLIED, the "
     "index\n"
     "that its state has; LAG, how many entries that is behind the newest known; DB SIZE, the memory of the\n"
     "store; TIME of one connection and call; ENDPOINT. Below it: how many voters are alive and how many "
     "more\n"
     "may be lost, the leader, alarms, and what went wrong.\n\n"
     "A second table tells what our own members say of themselves: KEYS and LIVE, their bytes; REVISIONS "
     "that "
     "can\n"
     "be read and the bytes of HISTORY behind them; LOG and newest CHECKPOINT on the disk; DISK (ok, slow or "
     "full);\n"
     "TRANSFER, how much of a checkpoint has come from another member or has gone to it.\n\n"
     "The exit status is 0 when all is well, 1 when something is missing but the cluster serves (a member "
     "does\n"
     "not answer, has no leader or is more than 5000 entries behind; an alarm), 2 when it cannot serve: too "
     "few\n"
     "voters, no leader, or nobody answered. With --only: 0 when all endpoints answered, else 1.",
     "  quorate status --endpoints 127.0.0.1:2379,127.0.0.1:22379,127.0.0.1:32379\n"
     "  quorate status -o json\n"
     "  quorate status --only --timeout 1s         (is the member of this machine alive?)\n"},
    {QR_CLIENT_MEMBER,
     "quorate member [list]\n"
     "       quorate member add NAME --peer-urls LIST [--voter]\n"
     "       quorate member promote MEMBER\n"
     "       quorate member remove MEMBER\n"
     "       quorate member update MEMBER --peer-urls LIST\n"
     "       quorate member replace OLD NEW [--peer-urls LIST]",
     "Who belongs to the cluster. MEMBER is an id, or the name of a member that has started once.\n"
     "\n"
     "  list      Prints the members: id, started or not, name, peer URLs, client URLs, learner or not.\n"
     "  add       Tells the cluster of a new member and prints the command line that starts it. It comes as "
     "a\n"
     "            learner: it gets everything and counts for nothing, so the cluster is as safe as before.\n"
     "  promote   Gives a learner that has caught up a vote.\n"
     "  remove    Takes a member out. It ends by itself and its data folder is of no use any more. Refused "
     "when\n"
     "            fewer than a majority of the voters left would be alive.\n"
     "  update    Gives a member another peer URL. Do this before it moves there.\n"
     "  replace   Takes OLD out and gives NEW, a learner that has caught up, its vote, in one step: at no "
     "time\n"
     "            is a vote missing. With --peer-urls NEW is the name of a member to add; then this waits "
     "until\n"
     "            it was started and has caught up.\n"
     "\n"
     "One change at a time: a second one waits, or is refused (\"too many requests\"). A change that was cut "
     "off may be asked for "
     "again.",
     "  quorate member add m4 --peer-urls http://10.0.0.4:2380\n"
     "  quorate member promote m4 --wait 5m\n"
     "  quorate member replace m2 m5 --peer-urls http://10.0.0.5:2380\n"
     "  quorate member remove 8e9e05c52164694d\n"},
    {QR_CLIENT_MOVE_LEADER, "quorate move-leader MEMBER",
     "Makes MEMBER (an id, or a name) the leader. It must be a voter. The call goes to the present leader,\n"
     "which is found through --endpoints. Writes pause for about one round trip.",
     "  quorate move-leader m2\n"},
    {QR_CLIENT_BACKUP, "quorate backup FILE",
     "Copies the whole state of the cluster as one member has it now, keys, history and all else, into "
     "FILE,\n"
     "while the cluster goes on. The copy is read back and checked, block by block and by the digest of its\n"
     "state, before it gets its name; until then it is FILE.part. 'quorate restore' makes a new cluster of "
     "it.\n"
     "The endpoints are tried in turn until one begins to answer. Prints index, revision and keys.",
     "  quorate backup /backups/quorate-$(date +%F)\n"
     "  quorate backup --endpoints 127.0.0.1:22379 --timeout 1m today.backup\n"},
};

void qr_client_help(qr_client_verb verb, FILE *to)
{
    for (size_t i = 0; i < sizeof pages / sizeof pages[0]; i++) {
        if (pages[i].verb != verb)
            continue;
        fprintf(to, "usage: %s [flags]\n\n%s\n\nflags:\n", pages[i].usage, pages[i].what);
        for (size_t j = 0; j < FLAG_COUNT; j++) {
            const flag_row *one = &flags[j];
            if (!(one->verbs & (unsigned)verb))
                continue;
            char left[64];
            snprintf(left, sizeof left, "%c%c%s--%s%s%s", one->letter ? '-' : ' ',
                     one->letter ? one->letter : ' ', one->letter ? ", " : "  ", one->name,
                     one->value_name ? " " : "", one->value_name ? one->value_name : "");
            fprintf(to, "  %-26s %s\n", left, one->help);
        }
        if (verb == QR_CLIENT_STATUS) {
            fprintf(to, "\nexamples:\n%s", pages[i].examples);
            continue;
        }
        fprintf(to,
                "\nexit status: 0 done, 1 refused by the server or no endpoint answered (a sentence on "
                "standard error\n"
                "says why), 2 the command line is wrong.\n\nexamples:\n%s",
                pages[i].examples);
    }
}

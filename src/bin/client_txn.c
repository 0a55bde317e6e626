/* The language of etcdctl txn: lines of comparisons, an empty line, operations, an empty line, operations.
 *
 * Words are separated by spaces; a word in double quotes may hold anything, with \" \\ \n \t \r \a \b \f \v,
 * \xHH and octal escapes; in single quotes everything is as it stands. */
#include <stdlib.h>

#include "bin/client.h"

static bool is_space(uint8_t byte)
{
    return byte == ' ' || byte == '\t' || byte == '\r';
}

static int hex_digit(uint8_t byte)
{
    if (byte >= '0' && byte <= '9')
        return byte - '0';
    byte |= 0x20;
    return byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

/* One escape after its backslash. False: there is no such escape. */
static bool take_escape(qr_reader *line, uint8_t *byte)
{
    static const char names[] = "ntrabfv\\\"'", values[] = "\n\t\r\a\b\f\v\\\"'";
    uint8_t next = qr_reader_u8(line);
    const char *known = next ? strchr(names, next) : NULL;
    if (known) {
        *byte = (uint8_t)values[known - names];
        return true;
    }
    if (next == 'x' && qr_reader_left(line) >= 2) {
        int high = hex_digit(qr_reader_u8(line)), low = hex_digit(qr_reader_u8(line));
        *byte = (uint8_t)(high * 16 + low);
        return high >= 0 && low >= 0;
    }
    if (next >= '0' && next <= '3' && qr_reader_left(line) >= 2) {
        uint8_t middle = qr_reader_u8(line), last = qr_reader_u8(line);
        *byte = (uint8_t)((next - '0') * 64 + (middle - '0') * 8 + (last - '0'));
        return middle >= '0' && middle <= '7' && last >= '0' && last <= '7';
    }
    return false;
}

/* The rest of a quoted word. NULL: it does not end, or holds an unknown escape or a zero byte. */
static char *take_quoted(qr_client *client, qr_reader *line, uint8_t quote)
{
    char *word = qr_arena_alloc(&client->arena, qr_reader_left(line) + 1);
    size_t size = 0;
    while (qr_reader_left(line) > 0) {
        uint8_t byte = qr_reader_u8(line);
        if (byte == quote) {
            word[size] = 0;
            return word;
        }
        if (byte == '\\' && quote == '"' && !take_escape(line, &byte))
            return NULL;
        if (byte == 0)
            return NULL;
        word[size++] = (char)byte;
    }
    return NULL;
}

static void skip_spaces(qr_reader *line)
{
    while (qr_reader_left(line) > 0 && is_space(*line->at))
        line->at++;
}

bool qr_client_split(qr_client *client, qr_slice text, qr_client_words *words)
{
    qr_reader line = qr_reader_of(text);
    words->count = 0;
    for (skip_spaces(&line); qr_reader_left(&line) > 0; skip_spaces(&line)) {
        if (words->count == QR_CLIENT_ARGUMENTS_MAX)
            return false;
        char **word = &words->list[words->count++];
        if (*line.at == '"' || *line.at == '\'') {
            uint8_t quote = qr_reader_u8(&line);
            *word = take_quoted(client, &line, quote);
        } else {
            const uint8_t *start = line.at;
            while (qr_reader_left(&line) > 0 && !is_space(*line.at))
                line.at++;
            *word = qr_arena_text(&client->arena, qr_slice_of(start, (size_t)(line.at - start)));
        }
        if (!*word)
            return false;
    }
    return true;
}

/* ---- comparisons ---- */

static const struct {
    const char *name;
    QrEtcdpb__Compare__CompareTarget target;
    QrEtcdpb__Compare__TargetUnionCase member;
} targets[] = {
#define TARGET(name, TARGET, MEMBER)                                                                         \
    {                                                                                                        \
        name, QR_ETCDPB__COMPARE__COMPARE_TARGET__##TARGET, QR_ETCDPB__COMPARE__TARGET_UNION_##MEMBER        \
    }
    TARGET("ver", VERSION, VERSION),      TARGET("version", VERSION, VERSION),
    TARGET("c", CREATE, CREATE_REVISION), TARGET("create", CREATE, CREATE_REVISION),
    TARGET("m", MOD, MOD_REVISION),       TARGET("mod", MOD, MOD_REVISION),
    TARGET("val", VALUE, VALUE),          TARGET("value", VALUE, VALUE),
    TARGET("lease", LEASE, LEASE),
#undef TARGET
};

static const char *set_target(qr_client *client, const char *name, char *value, QrEtcdpb__Compare *compare)
{
    size_t i = 0;
    while (i < sizeof targets / sizeof targets[0] && strcmp(targets[i].name, name) != 0)
        i++;
    if (i == sizeof targets / sizeof targets[0])
        return qr_arena_format(&client->arena,
                               "\"%s\" cannot be compared: ver, create, mod, val or lease can", name);
    compare->target = targets[i].target;
    compare->target_union_case = targets[i].member;
    if (compare->target == QR_ETCDPB__COMPARE__COMPARE_TARGET__VALUE) {
        compare->value.data = (uint8_t *)value;
        compare->value.len = strlen(value);
        return NULL;
    }
    char *end;
    bool lease = compare->target == QR_ETCDPB__COMPARE__COMPARE_TARGET__LEASE;
    compare->version = lease ? (int64_t)strtoull(value, &end, 16) : strtoll(value, &end, 10);
    if (end == value || *end)
        return qr_arena_format(&client->arena, "\"%s\" is not a number to compare %s with", value, name);
    return NULL;
}

/* TARGET("KEY") OP "VALUE" */
static const char *parse_compare(qr_client *client, qr_slice line, QrEtcdpb__Compare *compare)
{
    static const char *const operators[] = {"=", ">", "<", "!="};
    const char *malformed =
        qr_arena_format(&client->arena, "malformed comparison: %s", qr_arena_text(&client->arena, line));
    qr_etcdpb__compare__init(compare);
    qr_reader reader = qr_reader_of(line);
    skip_spaces(&reader);
    const uint8_t *start = reader.at;
    while (qr_reader_left(&reader) > 0 && *reader.at != '(' && !is_space(*reader.at))
        reader.at++;
    char *name = qr_arena_text(&client->arena, qr_slice_of(start, (size_t)(reader.at - start)));
    skip_spaces(&reader);
    if (qr_reader_u8(&reader) != '(')
        return malformed;
    skip_spaces(&reader);
    uint8_t quote = qr_reader_u8(&reader);
    char *key = quote == '"' || quote == '\'' ? take_quoted(client, &reader, quote) : NULL;
    skip_spaces(&reader);
    if (!key || qr_reader_u8(&reader) != ')')
        return malformed;

    qr_client_words rest;
    if (!qr_client_split(client, qr_slice_of(reader.at, qr_reader_left(&reader)), &rest) || rest.count != 2)
        return malformed;
    size_t relation = 0;
    while (relation < 4 && strcmp(operators[relation], rest.list[0]) != 0)
        relation++;
    if (relation == 4)
        return malformed;
    compare->result = (QrEtcdpb__Compare__CompareResult)relation;
    compare->key.data = (uint8_t *)key;
    compare->key.len = strlen(key);
    return set_target(client, name, rest.list[1], compare);
}

/* ---- operations ---- */

static const char *parse_operation(qr_client *client, qr_slice line, QrEtcdpb__RequestOp *op)
{
    qr_client_words words;
    qr_etcdpb__request_op__init(op);
    if (!qr_client_split(client, line, &words) || words.count == 0)
        return qr_arena_format(&client->arena, "malformed operation: %s",
                               qr_arena_text(&client->arena, line));
    const char *name = words.list[0];
    bool is_put = strcmp(name, "put") == 0, is_get = strcmp(name, "get") == 0,
         is_del = strcmp(name, "del") == 0;
    if (!is_put && !is_get && !is_del)
        return qr_arena_format(&client->arena, "unknown operation \"%s\": put, get or del", name);

    qr_client_options options;
    qr_client_options_init(&options);
    qr_client_verb verb = is_put ? QR_CLIENT_PUT : is_get ? QR_CLIENT_GET : QR_CLIENT_DEL;
    const char *sentence =
        qr_client_parse(verb, (int)words.count - 1, words.list + 1, &options, &client->arena);
    if (sentence)
        return sentence;
    if (is_put) {
        op->request_case = QR_ETCDPB__REQUEST_OP__REQUEST_REQUEST_PUT;
        op->request_put = qr_arena_alloc(&client->arena, sizeof *op->request_put);
        return qr_client_put_request(client, &options, false, op->request_put);
    }
    if (is_get) {
        op->request_case = QR_ETCDPB__REQUEST_OP__REQUEST_REQUEST_RANGE;
        op->request_range = qr_arena_alloc(&client->arena, sizeof *op->request_range);
        return qr_client_get_request(client, &options, op->request_range);
    }
    op->request_case = QR_ETCDPB__REQUEST_OP__REQUEST_REQUEST_DELETE_RANGE;
    op->request_delete_range = qr_arena_alloc(&client->arena, sizeof *op->request_delete_range);
    return qr_client_del_request(client, &options, op->request_delete_range);
}

/* ---- sections ---- */

/* The next line; false at the end of the text. */
static bool take_line(qr_reader *text, qr_slice *line)
{
    if (qr_reader_left(text) == 0)
        return false;
    const uint8_t *start = text->at;
    const uint8_t *newline = memchr(start, '\n', qr_reader_left(text));
    text->at = newline ? newline + 1 : text->end;
    *line = qr_slice_of(start, (size_t)((newline ? newline : text->end) - start));
    while (line->size && is_space(line->data[line->size - 1]))
        line->size--;
    return true;
}

static size_t count_lines(qr_slice text)
{
    size_t count = 1;
    for (size_t i = 0; i < text.size; i++)
        count += text.data[i] == '\n';
    return count;
}

static const char *take_operations(qr_client *client, qr_reader *text, size_t room,
                                   QrEtcdpb__RequestOp ***ops, size_t *count)
{
    qr_slice line;
    *ops = qr_arena_zero(&client->arena, room, sizeof **ops);
    while (take_line(text, &line) && line.size) {
        QrEtcdpb__RequestOp *op = qr_arena_alloc(&client->arena, sizeof *op);
        const char *sentence = parse_operation(client, line, op);
        if (sentence)
            return sentence;
        (*ops)[(*count)++] = op;
    }
    return NULL;
}

const char *qr_client_txn_request(qr_client *client, qr_slice text, QrEtcdpb__TxnRequest *request)
{
    qr_etcdpb__txn_request__init(request);
    qr_reader reader = qr_reader_of(text);
    size_t room = count_lines(text);
    request->compare = qr_arena_zero(&client->arena, room, sizeof *request->compare);
    qr_slice line;
    while (take_line(&reader, &line) && line.size) {
        QrEtcdpb__Compare *compare = qr_arena_alloc(&client->arena, sizeof *compare);
        const char *sentence = parse_compare(client, line, compare);
        if (sentence)
            return sentence;
        request->compare[request->n_compare++] = compare;
    }
    const char *sentence = take_operations(client, &reader, room, &request->success, &request->n_success);
    return sentence ? sentence
                    : take_operations(client, &reader, room, &request->failure, &request->n_failure);
}

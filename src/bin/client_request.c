#include <stdlib.h>
#include <strings.h>

#include "bin/client.h"

static ProtobufCBinaryData data_of(const void *bytes, size_t size)
{
    return (ProtobufCBinaryData){.len = size, .data = (uint8_t *)bytes};
}

static ProtobufCBinaryData text_data(const char *text)
{
    return data_of(text, strlen(text));
}

/* The end of the range of all keys with that prefix: the last byte that can be raised is raised; if none can,
 * "\0". */
ProtobufCBinaryData qr_client_prefix_end(qr_client *client, const char *prefix)
{
    size_t size = strlen(prefix);
    uint8_t *end = qr_arena_alloc(&client->arena, size + 1);
    memcpy(end, prefix, size + 1);
    while (size > 0 && end[size - 1] == 0xff)
        size--;
    if (size == 0)
        return data_of("\0", 1);
    end[size - 1]++;
    return data_of(end, size);
}

/* KEY [END] with --prefix or --from-key; an empty key with one of them means every key. */
static const char *span(qr_client *client, const qr_client_options *options, ProtobufCBinaryData *key,
                        ProtobufCBinaryData *end)
{
    size_t count = options->command_at;
    if (count < 1 || count > 2)
        return "one key is needed, or a key and the end of a range";
    if (options->prefix && options->from_key)
        return "--prefix and --from-key exclude each other";
    if (count == 2 && (options->prefix || options->from_key))
        return "a range end and --prefix or --from-key exclude each other";
    const char *text = options->arguments[0];
    *key = text_data(text);
    if (count == 2)
        *end = text_data(options->arguments[1]);
    else if (options->from_key || (options->prefix && !*text))
        *end = data_of("\0", 1);
    else if (options->prefix)
        *end = qr_client_prefix_end(client, text);
    if (!*text && (options->prefix || options->from_key))
        *key = data_of("\0", 1);
    return NULL;
}

const char *qr_client_watch_request(qr_client *client, const qr_client_options *options,
                                    QrEtcdpb__WatchCreateRequest *request)
{
    qr_etcdpb__watch_create_request__init(request);
    request->start_revision = options->revision;
    request->prev_kv = options->prev_kv;
    request->progress_notify = options->progress_notify;
    if (options->revision < 0)
        return "--rev takes a revision";
    return span(client, options, &request->key, &request->range_end);
}

static bool one_of(const char *word, const char *const *words, size_t count, int *index)
{
    for (size_t i = 0; i < count; i++) {
        if (strcasecmp(word, words[i]) == 0) {
            *index = (int)i;
            return true;
        }
    }
    return false;
}

const char *qr_client_get_request(qr_client *client, const qr_client_options *options,
                                  QrEtcdpb__RangeRequest *request)
{
    static const char *const orders[] = {"", "ASCEND", "DESCEND"};
    static const char *const targets[] = {"KEY", "VERSION", "CREATE", "MODIFY", "VALUE", "MOD"};
    qr_etcdpb__range_request__init(request);
    const char *sentence = span(client, options, &request->key, &request->range_end);
    if (sentence)
        return sentence;
    int order = 0, target = 0;
    if (!one_of(options->order, orders, 3, &order))
        return qr_arena_format(&client->arena, "--order is ASCEND or DESCEND, not \"%s\"", options->order);
    if (*options->sort_by && !one_of(options->sort_by, targets, 6, &target))
        return qr_arena_format(&client->arena,
                               "--sort-by is KEY, VERSION, CREATE, MODIFY or VALUE, not \"%s\"",
                               options->sort_by);
    if (strcmp(options->consistency, "l") != 0 && strcmp(options->consistency, "s") != 0)
        return qr_arena_format(&client->arena, "--consistency is l or s, not \"%s\"", options->consistency);
    if (options->keys_only && options->count_only)
        return "--keys-only and --count-only exclude each other";
    if (target == 5)
        target = QR_ETCDPB__RANGE_REQUEST__SORT_TARGET__MOD;
    /* Keys come in ascending order anyway: the server need not sort. */
    if (target == QR_ETCDPB__RANGE_REQUEST__SORT_TARGET__KEY && order == 1)
        order = 0;
    if (target != QR_ETCDPB__RANGE_REQUEST__SORT_TARGET__KEY && order == 0)
        order = QR_ETCDPB__RANGE_REQUEST__SORT_ORDER__ASCEND;
    request->sort_order = (QrEtcdpb__RangeRequest__SortOrder)order;
    request->sort_target = (QrEtcdpb__RangeRequest__SortTarget)target;
    request->limit = options->limit;
    request->revision = options->revision;
    request->serializable = options->consistency[0] == 's';
    request->keys_only = options->keys_only;
    request->count_only = options->count_only;
    return NULL;
}

const char *qr_client_input(qr_client *client, qr_slice *text)
{
    qr_buffer input;
    qr_buffer_init(&input);
    const char *sentence = NULL;
    for (;;) {
        uint8_t *at = qr_buffer_reserve(&input, 64 * 1024);
        size_t got = fread(at, 1, 64 * 1024, stdin);
        input.size += got;
        if (got == 0)
            break;
        if (input.size > QR_CLIENT_INPUT_MAX) {
            sentence = "standard input has more than 8 MiB";
            break;
        }
    }
    *text = qr_arena_copy(&client->arena, qr_buffer_slice(&input));
    qr_buffer_free(&input);
    return sentence;
}

const char *qr_client_put_request(qr_client *client, const qr_client_options *options, bool may_read_input,
                                  QrEtcdpb__PutRequest *request)
{
    qr_etcdpb__put_request__init(request);
    size_t wanted = options->ignore_value ? 1 : 2;
    bool from_input = may_read_input && !options->ignore_value && options->argument_count == 1;
    if (options->argument_count != wanted && !from_input)
        return options->ignore_value ? "with --ignore-value exactly one key is needed"
                                     : "a key and a value are needed";
    request->key = text_data(options->arguments[0]);
    if (from_input) {
        qr_slice text;
        const char *sentence = qr_client_input(client, &text);
        if (sentence)
            return sentence;
        request->value = data_of(text.data, text.size);
    } else if (!options->ignore_value) {
        request->value = text_data(options->arguments[1]);
    }
    char *end = NULL;
    request->lease = *options->lease ? (int64_t)strtoull(options->lease, &end, 16) : 0;
    if (end && *end)
        return qr_arena_format(&client->arena, "--lease takes a hexadecimal id, not \"%s\"", options->lease);
    request->prev_kv = options->prev_kv;
    request->ignore_value = options->ignore_value;
    request->ignore_lease = options->ignore_lease;
    return NULL;
}

const char *qr_client_del_request(qr_client *client, const qr_client_options *options,
                                  QrEtcdpb__DeleteRangeRequest *request)
{
    qr_etcdpb__delete_range_request__init(request);
    request->prev_kv = options->prev_kv;
    return span(client, options, &request->key, &request->range_end);
}

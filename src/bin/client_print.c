#include <inttypes.h>

#include "bin/client.h"

/* ---- simple ---- */

void qr_client_print_bytes(qr_client *client, ProtobufCBinaryData data)
{
    if (client->options.hex)
        for (size_t i = 0; i < data.len; i++)
            qr_buffer_format(&client->out, "\\x%02x", data.data[i]);
    else
        qr_buffer_add(&client->out, data.data, data.len);
}

static void print_line(qr_client *client, ProtobufCBinaryData data)
{
    qr_client_print_bytes(client, data);
    qr_buffer_u8(&client->out, '\n');
}

void qr_client_print_kv(qr_client *client, const QrMvccpb__KeyValue *kv, bool value_only)
{
    if (!value_only)
        print_line(client, kv->key);
    print_line(client, kv->value);
}

static void print_kvs(qr_client *client, QrMvccpb__KeyValue *const *kvs, size_t count, bool value_only)
{
    for (size_t i = 0; i < count; i++)
        qr_client_print_kv(client, kvs[i], value_only);
}

void qr_client_print_get(qr_client *client, const qr_client_options *options,
                         const QrEtcdpb__RangeResponse *answer)
{
    if (options && options->count_only)
        qr_buffer_format(&client->out, "%" PRId64 "\n", answer->count);
    else
        print_kvs(client, answer->kvs, answer->n_kvs, options && options->print_value_only);
}

void qr_client_print_put(qr_client *client, const QrEtcdpb__PutResponse *answer)
{
    qr_buffer_format(&client->out, "OK\n");
    if (answer->prev_kv)
        qr_client_print_kv(client, answer->prev_kv, false);
}

void qr_client_print_del(qr_client *client, const QrEtcdpb__DeleteRangeResponse *answer)
{
    qr_buffer_format(&client->out, "%" PRId64 "\n", answer->deleted);
    print_kvs(client, answer->prev_kvs, answer->n_prev_kvs, false);
}

void qr_client_print_txn(qr_client *client, const QrEtcdpb__TxnResponse *answer)
{
    qr_buffer_format(&client->out, "%s\n", answer->succeeded ? "SUCCESS" : "FAILURE");
    for (size_t i = 0; i < answer->n_responses; i++) {
        const QrEtcdpb__ResponseOp *response = answer->responses[i];
        qr_buffer_u8(&client->out, '\n');
        switch (response->response_case) {
        case QR_ETCDPB__RESPONSE_OP__RESPONSE_RESPONSE_RANGE:
            qr_client_print_get(client, NULL, response->response_range);
            break;
        case QR_ETCDPB__RESPONSE_OP__RESPONSE_RESPONSE_PUT:
            qr_client_print_put(client, response->response_put);
            break;
        case QR_ETCDPB__RESPONSE_OP__RESPONSE_RESPONSE_DELETE_RANGE:
            qr_client_print_del(client, response->response_delete_range);
            break;
        default: /* the language has no nested txns */ break;
        }
    }
}

void qr_client_print_event(qr_client *client, const QrMvccpb__Event *event)
{
    bool is_put = event->type == QR_MVCCPB__EVENT__EVENT_TYPE__PUT;
    qr_buffer_format(&client->out, "%s\n", is_put ? "PUT" : "DELETE");
    if (event->prev_kv)
        qr_client_print_kv(client, event->prev_kv, false);
    if (event->kv)
        qr_client_print_kv(client, event->kv, false);
}

static void print_list(qr_client *client, char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++)
        qr_buffer_format(&client->out, "%s%s", i ? "," : "", words[i]);
}

void qr_client_print_members(qr_client *client, const QrEtcdpb__MemberListResponse *answer)
{
    for (size_t i = 0; i < answer->n_members; i++) {
        const QrEtcdpb__Member *member = answer->members[i];
        qr_buffer_format(&client->out, "%" PRIx64 ", %s, %s, ", member->id,
                         member->name[0] ? "started" : "unstarted", member->name);
        print_list(client, member->peerurls, member->n_peerurls);
        qr_buffer_format(&client->out, ", ");
        print_list(client, member->clienturls, member->n_clienturls);
        qr_buffer_format(&client->out, ", %s\n", member->islearner ? "true" : "false");
    }
}

void qr_client_print_table(qr_client *client, const char *const *cells, size_t rows, size_t columns)
{
    for (size_t row = 0; row < rows; row++) {
        for (size_t column = 0; column < columns; column++) {
            size_t width = 0;
            for (size_t i = 0; i < rows; i++) {
                size_t size = strlen(cells[i * columns + column]);
                width = size > width ? size : width;
            }
            const char *cell = cells[row * columns + column];
            if (column + 1 < columns)
                qr_buffer_format(&client->out, "%-*s  ", (int)width, cell);
            else
                qr_buffer_format(&client->out, "%s\n", cell);
        }
    }
}

/* ---------------------------------------------------------------------------------------------------------------
 * JSON ---- Any message by its descriptor, in the shape of etcdctl -w json: zero values are left out, bytes
 * are base64, numbers are numbers, and the one-of of a txn's answers is wrapped in "Response". */

static void json_base64(qr_buffer *out, const ProtobufCBinaryData *data)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    qr_buffer_u8(out, '"');
    for (size_t i = 0; i < data->len; i += 3) {
        size_t left = data->len - i;
        uint32_t group = (uint32_t)data->data[i] << 16 | (left > 1 ? (uint32_t)data->data[i + 1] << 8 : 0) |
                         (left > 2 ? data->data[i + 2] : 0);
        qr_buffer_u8(out, (uint8_t)digits[group >> 18]);
        qr_buffer_u8(out, (uint8_t)digits[group >> 12 & 63]);
        qr_buffer_u8(out, (uint8_t)(left > 1 ? digits[group >> 6 & 63] : '='));
        qr_buffer_u8(out, (uint8_t)(left > 2 ? digits[group & 63] : '='));
    }
    qr_buffer_u8(out, '"');
}

void qr_client_json_text(qr_buffer *out, const char *text)
{
    qr_buffer_u8(out, '"');
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            qr_buffer_format(out, "\\%c", *text);
        else if ((unsigned char)*text < 0x20)
            qr_buffer_format(out, "\\u%04x", *text);
        else
            qr_buffer_u8(out, (uint8_t)*text);
    }
    qr_buffer_u8(out, '"');
}

static void json_message(qr_buffer *out, const ProtobufCMessage *message);

/* The value of a field at an address; a list has its elements one after another there. */
static size_t json_value(qr_buffer *out, const ProtobufCFieldDescriptor *field, const void *at)
{
    switch (field->type) {
    case PROTOBUF_C_TYPE_INT64:
        qr_buffer_format(out, "%" PRId64, *(const int64_t *)at);
        return sizeof(int64_t);
    case PROTOBUF_C_TYPE_UINT64:
        qr_buffer_format(out, "%" PRIu64, *(const uint64_t *)at);
        return sizeof(uint64_t);
    case PROTOBUF_C_TYPE_UINT32:
        qr_buffer_format(out, "%" PRIu32, *(const uint32_t *)at);
        return sizeof(uint32_t);
    case PROTOBUF_C_TYPE_ENUM: qr_buffer_format(out, "%d", *(const int *)at); return sizeof(int);
    case PROTOBUF_C_TYPE_BOOL:
        qr_buffer_format(out, "%s", *(const protobuf_c_boolean *)at ? "true" : "false");
        return sizeof(protobuf_c_boolean);
    case PROTOBUF_C_TYPE_STRING: qr_client_json_text(out, *(char *const *)at); return sizeof(char *);
    case PROTOBUF_C_TYPE_BYTES: json_base64(out, at); return sizeof(ProtobufCBinaryData);
    default:
        QR_ASSERT(field->type == PROTOBUF_C_TYPE_MESSAGE);
        json_message(out, *(ProtobufCMessage *const *)at);
        return sizeof(ProtobufCMessage *);
    }
}

static bool is_absent(const ProtobufCFieldDescriptor *field, const char *message)
{
    const void *at = message + field->offset;
    if (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF)
        return *(const uint32_t *)(message + field->quantifier_offset) != field->id;
    if (field->label == PROTOBUF_C_LABEL_REPEATED)
        return *(const size_t *)(message + field->quantifier_offset) == 0;
    switch (field->type) {
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_UINT64: return *(const uint64_t *)at == 0;
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_ENUM: return *(const uint32_t *)at == 0;
    case PROTOBUF_C_TYPE_BOOL: return !*(const protobuf_c_boolean *)at;
    case PROTOBUF_C_TYPE_STRING: return !**(char *const *)at;
    case PROTOBUF_C_TYPE_BYTES: return ((const ProtobufCBinaryData *)at)->len == 0;
    default: return !*(ProtobufCMessage *const *)at;
    }
}

/* "response_put" is "ResponsePut" in a one-of of etcdctl's. */
static void json_name(qr_buffer *out, const ProtobufCFieldDescriptor *field)
{
    if (!(field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF)) {
        qr_client_json_text(out, field->name);
        return;
    }
    qr_buffer_u8(out, '"');
    for (const char *at = field->name; *at; at++) {
        bool first = at == field->name || at[-1] == '_';
        if (*at != '_')
            qr_buffer_u8(out, (uint8_t)(first && *at >= 'a' && *at <= 'z' ? *at - 'a' + 'A' : *at));
    }
    qr_buffer_u8(out, '"');
}

static void json_message(qr_buffer *out, const ProtobufCMessage *message)
{
    const char *bytes = (const char *)message, *separator = "";
    qr_buffer_u8(out, '{');
    for (unsigned i = 0; i < message->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &message->descriptor->fields[i];
        bool one_of = field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF;
        if (is_absent(field, bytes))
            continue;
        qr_buffer_format(out, "%s%s", separator, one_of ? "\"Response\":{" : "");
        json_name(out, field);
        qr_buffer_u8(out, ':');
        if (field->label == PROTOBUF_C_LABEL_REPEATED) {
            size_t count = *(const size_t *)(bytes + field->quantifier_offset);
            const char *at = *(const char *const *)(bytes + field->offset);
            for (size_t j = 0; j < count; j++) {
                qr_buffer_u8(out, j ? ',' : '[');
                at += json_value(out, field, at);
            }
            qr_buffer_u8(out, ']');
        } else {
            json_value(out, field, bytes + field->offset);
        }
        if (one_of)
            qr_buffer_u8(out, '}');
        separator = ",";
    }
    qr_buffer_u8(out, '}');
}

void qr_client_print_json(qr_client *client, const ProtobufCMessage *message)
{
    json_message(&client->out, message);
}

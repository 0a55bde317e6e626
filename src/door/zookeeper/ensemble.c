#include "door/zookeeper/ensemble.h"

#include "door/zookeeper/request.h"

/* ---- the record ---- */

void qr_zookeeper_ensemble_encode(const qr_zookeeper_ensemble *ensemble, qr_buffer *out)
{
    qr_arena arena;
    qr_arena_init(&arena);
    qr_buffer_u8(out, QR_ZOOKEEPER_ENSEMBLE_FORMAT);
    qr_buffer_varint(out, ensemble->count);
    for (size_t i = 0; i < ensemble->count; i++) {
        qr_buffer_u64(out, ensemble->seats[i].member);
        qr_buffer_varint(out, ensemble->seats[i].server.id);
        qr_buffer_bytes(out, qr_slice_text(qr_zookeeper_server_text(&ensemble->seats[i].server, &arena)));
    }
    qr_arena_free(&arena);
}

static qr_status decode_seat(qr_reader *reader, qr_arena *arena, qr_zookeeper_ensemble *ensemble)
{
    uint64_t member = qr_reader_u64(reader), number = qr_reader_varint(reader);
    qr_slice text = qr_reader_bytes(reader);
    bool sound = !reader->failed && member != 0 && number >= 1 && number <= QR_ZOOKEEPER_SERVER_ID_MAX &&
                 (ensemble->count == 0 || ensemble->seats[ensemble->count - 1].server.id < number) &&
                 text.size > 0 && memchr(text.data, 0, text.size) == NULL &&
                 qr_zookeeper_seat_of(ensemble, member) == NULL;
    struct qr_zookeeper_seat *seat = &ensemble->seats[ensemble->count];
    *seat = (struct qr_zookeeper_seat){.member = member};
    if (!sound || qr_zookeeper_server_read(qr_arena_text(arena, text), arena, &seat->server) != NULL)
        return QR_E_INVALID;
    seat->server.id = (uint32_t)number;
    ensemble->count++;
    return QR_OK;
}

qr_status qr_zookeeper_ensemble_decode(qr_slice bytes, qr_arena *arena, qr_zookeeper_ensemble *ensemble)
{
    qr_reader reader = qr_reader_of(bytes);
    uint8_t format = qr_reader_u8(&reader);
    uint64_t count = format == QR_ZOOKEEPER_ENSEMBLE_FORMAT ? qr_reader_varint(&reader) : 0;
    qr_status status = reader.failed || format == 0 || count > QR_MEMBERS_MAX ? QR_E_INVALID
                       : format > QR_ZOOKEEPER_ENSEMBLE_FORMAT                ? QR_E_BAD_VERSION
                                                                              : QR_OK;
    ensemble->count = 0;
    for (uint64_t i = 0; i < count && status == QR_OK; i++)
        status = decode_seat(&reader, arena, ensemble);
    if (status == QR_OK && qr_reader_left(&reader))
        status = QR_E_INVALID;
    if (status != QR_OK)
        ensemble->count = 0;
    return status;
}

qr_slice qr_zookeeper_ensemble_text(const qr_zookeeper_ensemble *ensemble, qr_arena *arena)
{
    const char *text = "";
    for (size_t i = 0; i < ensemble->count; i++)
        text = qr_arena_format(arena, "%sserver.%u=%s\n", text, ensemble->seats[i].server.id,
                               qr_zookeeper_server_text(&ensemble->seats[i].server, arena));
    return qr_slice_text(
        qr_arena_format(arena, "%sversion=%llx", text, (unsigned long long)ensemble->version));
}

/* ---- seats ---- */

struct qr_zookeeper_seat *qr_zookeeper_seat_of(qr_zookeeper_ensemble *ensemble, uint64_t member)
{
    for (size_t i = 0; i < ensemble->count; i++)
        if (ensemble->seats[i].member == member)
            return &ensemble->seats[i];
    return NULL;
}

struct qr_zookeeper_seat *qr_zookeeper_seat_numbered(qr_zookeeper_ensemble *ensemble, uint32_t number)
{
    for (size_t i = 0; i < ensemble->count; i++)
        if (ensemble->seats[i].server.id == number)
            return &ensemble->seats[i];
    return NULL;
}

struct qr_zookeeper_seat *qr_zookeeper_seat_add(qr_zookeeper_ensemble *ensemble, uint64_t member,
                                                uint32_t number)
{
    if (ensemble->count == QR_MEMBERS_MAX)
        return NULL;
    if (number == 0 || qr_zookeeper_seat_numbered(ensemble, number) != NULL)
        for (number = 1; qr_zookeeper_seat_numbered(ensemble, number) != NULL;)
            number++;
    size_t at = 0;
    while (at < ensemble->count && ensemble->seats[at].server.id < number)
        at++;
    struct qr_zookeeper_seat *seat = &ensemble->seats[at];
    memmove(seat + 1, seat, (ensemble->count - at) * sizeof *seat);
    ensemble->count++;
    *seat = (struct qr_zookeeper_seat){.member = member, .server.id = number};
    return seat;
}

void qr_zookeeper_seat_remove(qr_zookeeper_ensemble *ensemble, struct qr_zookeeper_seat *seat)
{
    size_t at = (size_t)(seat - ensemble->seats);
    memmove(seat, seat + 1, (--ensemble->count - at) * sizeof *seat);
}

/* ---- wishes ---- */

/* What stands before the next comma (or the end of a line), without blanks around it; empty parts are passed
 * over. False: there is no more. */
static bool next_part(qr_slice *rest, qr_arena *arena, char **part)
{
    while (rest->size > 0) {
        size_t size = 0, begin = 0;
        while (size < rest->size && rest->data[size] != ',' && rest->data[size] != '\n')
            size++;
        size_t end = size;
        while (begin < end && rest->data[begin] <= ' ')
            begin++;
        while (end > begin && rest->data[end - 1] <= ' ')
            end--;
        *part = qr_arena_text(arena, qr_slice_of(rest->data + begin, end - begin));
        size += size < rest->size;
        *rest = qr_slice_of(rest->data + size, rest->size - size);
        if (**part != 0)
            return true;
    }
    return false;
}

static int32_t read_leaving(const qr_zookeeper_ensemble *ensemble, qr_slice list, qr_arena *arena,
                            qr_zookeeper_wishes *wishes)
{
    char *part;
    while (next_part(&list, arena, &part)) {
        uint32_t number;
        if (strspn(part, "0123456789") != strlen(part) || strlen(part) > 18)
            return QR_ZOOKEEPER_MARSHALLING;
        bool is_there = qr_zookeeper_conf_myid(qr_slice_text(part), &number) &&
                        qr_zookeeper_seat_numbered((qr_zookeeper_ensemble *)(uintptr_t)ensemble, number);
        for (size_t i = 0; is_there && i < wishes->leaving_count; i++)
            is_there = wishes->leaving[i] != number;
        if (is_there)
            wishes->leaving[wishes->leaving_count++] = number;
    }
    return QR_ZOOKEEPER_OK;
}

static bool is_printable(const char *text)
{
    for (; *text != 0; text++)
        if (*text <= ' ' || *text > '~')
            return false;
    return true;
}

/* "server.N=..."; a later one of the same number wins. */
static int32_t read_server(char *text, qr_arena *arena, qr_zookeeper_wishes *wishes)
{
    char *equals = strchr(text, '='), *point;
    if (equals == NULL || strchr(equals + 1, '=') != NULL || !is_printable(text))
        return QR_ZOOKEEPER_BAD_ARGUMENTS;
    *equals = 0;
    point = strrchr(text, '.');
    const char *digits = point != NULL ? point + 1 : text;
    qr_zookeeper_server server;
    if (*digits == 0 || strspn(digits, "0123456789") != strlen(digits))
        return QR_ZOOKEEPER_MARSHALLING;
    if (qr_zookeeper_server_read(equals + 1, arena, &server) != NULL || server.client_port == 0)
        return QR_ZOOKEEPER_BAD_ARGUMENTS;
    if (!qr_zookeeper_conf_myid(qr_slice_text(digits), &server.id)) {
        server.id = QR_ZOOKEEPER_SERVER_ID_MAX + 1;
        wishes->too_much = true;
    }
    size_t at = 0;
    while (at < wishes->joining_count && wishes->joining[at].id != server.id)
        at++;
    if (at == QR_MEMBERS_MAX)
        return QR_ZOOKEEPER_BAD_ARGUMENTS;
    wishes->joining_count += at == wishes->joining_count;
    wishes->joining[at] = server;
    return QR_ZOOKEEPER_OK;
}

static bool is_joining(const qr_zookeeper_wishes *wishes, uint32_t number)
{
    for (size_t i = 0; i < wishes->joining_count; i++)
        if (wishes->joining[i].id == number)
            return true;
    return false;
}

/* Not with two servers at one place, nor with fewer than two participants. */
static bool is_sound(const qr_zookeeper_ensemble *ensemble, const qr_zookeeper_wishes *wishes)
{
    qr_zookeeper_server all[2 * QR_MEMBERS_MAX];
    size_t count = 0, participants = 0;
    for (size_t i = 0; i < ensemble->count; i++) {
        bool stays = !is_joining(wishes, ensemble->seats[i].server.id);
        for (size_t j = 0; j < wishes->leaving_count; j++)
            stays = stays && wishes->leaving[j] != ensemble->seats[i].server.id;
        if (stays)
            all[count++] = ensemble->seats[i].server;
    }
    for (size_t i = 0; i < wishes->joining_count; i++)
        all[count++] = wishes->joining[i];
    for (size_t i = 0; i < count; i++)
        participants += !all[i].observer;
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < i; j++)
            if (all[i].peer_port == all[j].peer_port && strcmp(all[i].host, all[j].host) == 0)
                return false;
    return participants >= 2 && count <= QR_MEMBERS_MAX;
}

int32_t qr_zookeeper_wishes_read(const qr_zookeeper_ensemble *ensemble, qr_slice joining, qr_slice leaving,
                                 qr_slice members, qr_arena *arena, qr_zookeeper_wishes *wishes)
{
    *wishes = (qr_zookeeper_wishes){.joining_count = 0};
    bool all = members.data != NULL;
    if (all && (joining.size > 0 || leaving.size > 0))
        return QR_ZOOKEEPER_BAD_ARGUMENTS;
    int32_t err = read_leaving(ensemble, leaving, arena, wishes);
    qr_slice servers = all ? members : joining;
    char *part;
    while (err == QR_ZOOKEEPER_OK && next_part(&servers, arena, &part))
        err = read_server(part, arena, wishes);
    if (err != QR_ZOOKEEPER_OK)
        return err;
    for (size_t i = 0; all && i < ensemble->count; i++)
        if (!is_joining(wishes, ensemble->seats[i].server.id))
            wishes->leaving[wishes->leaving_count++] = ensemble->seats[i].server.id;
    /* Who leaves and joins at once stays, at the new place. */
    for (size_t i = 0; i < wishes->leaving_count;)
        if (is_joining(wishes, wishes->leaving[i]))
            wishes->leaving[i] = wishes->leaving[--wishes->leaving_count];
        else
            i++;
    return is_sound(ensemble, wishes) ? QR_ZOOKEEPER_OK : QR_ZOOKEEPER_BAD_ARGUMENTS;
}

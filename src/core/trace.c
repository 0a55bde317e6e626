#include "core/trace.h"

#include <inttypes.h>

static const char *const sentences[] = {[QR_TRACE_NONE] = "",
#define QR_TRACE_ROW(kind_name, sentence) [QR_TRACE_##kind_name] = sentence,
                                        QR_TRACE_LIST(QR_TRACE_ROW)
#undef QR_TRACE_ROW
};

void qr_trace_init(qr_trace *trace, size_t room)
{
    QR_ASSERT((room & (room - 1)) == 0);
    *trace = (qr_trace){.room = room, .ring = room ? qr_alloc_zero(room, sizeof(qr_trace_record)) : NULL};
}

void qr_trace_free(qr_trace *trace)
{
    qr_free(trace->ring);
    *trace = (qr_trace){0};
}

void qr_trace_add(qr_trace *trace, qr_trace_kind kind, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    if (trace == NULL)
        return;
    qr_trace_record record = {.now_ms = trace->now_ms, .number = {a, b, c, d}, .kind = kind};
    trace->hash = qr_hash_mix(trace->hash, record.now_ms);
    trace->hash = qr_hash_mix(trace->hash, (uint64_t)kind);
    for (int i = 0; i < 4; i++)
        trace->hash = qr_hash_mix(trace->hash, record.number[i]);
    if (trace->room)
        trace->ring[trace->count & (trace->room - 1)] = record;
    trace->count++;
    if (trace->sink)
        trace->sink(trace->context, &record);
}

void qr_trace_say(const qr_trace_record *record, const char *(*name_of)(void *context, uint64_t id),
                  void *context, qr_buffer *out)
{
    if ((unsigned)record->kind >= QR_TRACE_COUNT)
        return;
    for (const char *at = sentences[record->kind]; *at; at++) {
        if (*at != '%') {
            qr_buffer_u8(out, (uint8_t)*at);
            continue;
        }
        at++;
        bool is_member = *at >= 'A' && *at <= 'D';
        uint64_t number = record->number[is_member ? *at - 'A' : *at - 'a'];
        if (is_member && number == 0)
            qr_buffer_format(out, "nobody");
        else if (is_member && name_of)
            qr_buffer_format(out, "%s", name_of(context, number));
        else
            qr_buffer_format(out, "%" PRIu64, number);
    }
}

/* What verify found, as a table for people and as JSON for programs. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "bin/verify.h"

/* ---- words ---- */

static const char *verdict_word(qr_wal_verdict verdict)
{
    switch (verdict) {
    case QR_WAL_SOUND: return "sound";
    case QR_WAL_TORN: return "torn tail";
    case QR_WAL_DAMAGED: return "damaged";
    case QR_WAL_UNCHECKED: return "unchecked";
    case QR_WAL_SPARE: return "spare";
    case QR_WAL_STRANGER: return "not a file of the log";
    }
    return "";
}

static const char *checkpoint_word(const qr_checkpoint_report *report)
{
    switch (report->verdict) {
    case QR_CHECKPOINT_SOUND: return "sound";
    case QR_CHECKPOINT_DAMAGED: return "damaged";
    case QR_CHECKPOINT_UNCHECKED: return report->status == QR_E_BAD_VERSION ? "newer version" : "unchecked";
    case QR_CHECKPOINT_UNFINISHED: return "unfinished";
    }
    return "";
}

static const char *verdict_sentence(verify *v, const qr_wal_report *report)
{
    const char *word = verdict_word(report->verdict);
    if (report->verdict == QR_WAL_TORN)
        return qr_arena_format(&v->arena, "%s at position %" PRIu64 " (%" PRIu64 " bytes would be cut)", word,
                               report->position, report->torn);
    if (report->verdict == QR_WAL_DAMAGED)
        return qr_arena_format(&v->arena, "%s at position %" PRIu64 ": %s", word, report->position,
                               report->what);
    if (report->verdict == QR_WAL_UNCHECKED)
        return qr_arena_format(&v->arena, "%s: %s", word, report->what);
    return word;
}

static const char *range(verify *v, uint64_t first, uint64_t last)
{
    return qr_arena_format(&v->arena, "%" PRIu64 "..%" PRIu64, first, last);
}

/* ---- table ---- */

static void print_segment(verify *v, const qr_wal_report *report)
{
    bool segment = report->verdict < QR_WAL_SPARE;
    const char *sequence = segment ? qr_arena_format(&v->arena, "%" PRIu64, report->sequence) : "";
    const char *positions = report->has_head ? range(v, report->first_position, report->next_position) : "";
    const char *records = report->has_head ? qr_arena_format(&v->arena, "%" PRIu64, report->records) : "";
    const char *entries = report->index_first ? range(v, report->index_first, report->index_last) : "";
    printf("%-26s  %8s  %-25s  %8s  %-17s  %s\n", report->name, sequence, positions, records, entries,
           verdict_sentence(v, report));
}

static const char *checkpoint_sentence(verify *v, const qr_checkpoint_report *report)
{
    const char *word = checkpoint_word(report);
    if (report->verdict == QR_CHECKPOINT_DAMAGED)
        return qr_arena_format(&v->arena, "%s at block %" PRIu64 ", position %" PRIu64 ": %s", word,
                               report->block, report->position, report->what);
    if (report->verdict == QR_CHECKPOINT_UNCHECKED)
        return qr_arena_format(&v->arena, "%s: %s", word, report->what);
    return word;
}

static void print_checkpoint(verify *v, const qr_checkpoint_report *report)
{
    const qr_checkpoint_about *about = &report->about;
    const char *term = "", *maker = "";
    if (report->has_about) {
        term = qr_arena_format(&v->arena, "%" PRIu64, about->term);
        maker = qr_arena_format(&v->arena, "%" PRIx64, about->member);
    }
    printf("%-32s  %10" PRIu64 "  %6s  %12" PRIu64 "  %-16s  %s\n", report->name, report->index, term,
           report->size, maker, checkpoint_sentence(v, report));
}

static void print_checkpoints(verify *v)
{
    if (v->checkpoints.size > 0)
        printf("\n%-32s  %10s  %6s  %12s  %-16s  %s\n", "CHECKPOINT", "INDEX", "TERM", "BYTES", "MADE BY",
               "VERDICT");
    for (size_t at = 0; at < v->checkpoints.size; at += sizeof(qr_checkpoint_report)) {
        qr_checkpoint_report report;
        memcpy(&report, v->checkpoints.data + at, sizeof report);
        print_checkpoint(v, &report);
    }
}

static void print_segments(verify *v)
{
    if (v->reports.size > 0)
        printf("%-26s  %8s  %-25s  %8s  %-17s  %s\n", "FILE", "SEQUENCE", "POSITIONS", "RECORDS", "ENTRIES",
               "VERDICT");
    for (size_t at = 0; at < v->reports.size; at += sizeof(qr_wal_report)) {
        qr_wal_report report;
        memcpy(&report, v->reports.data + at, sizeof report);
        print_segment(v, &report);
    }
}

/* The last line begins with the result. */
static void print_summary(verify *v, const char *result)
{
    putchar('\n');
    if (v->gap_first > 0)
        printf("gap: entries %s are neither in a sound checkpoint nor in the log\n",
               range(v, v->gap_first, v->gap_last));
    if (v->whole > 0) {
        const char *newest = v->has_sound ? qr_arena_format(&v->arena, "%" PRIu64, v->sound_index) : "none";
        printf("checkpoints %zu, damaged %zu, newest sound index %s\n", v->whole, v->whole_damaged, newest);
    }
    if (v->segments > 0) {
        const char *entries = v->index_first ? range(v, v->index_first, v->index_last) : "none";
        printf("%s%s: segments %zu, damaged %zu, good records %" PRIu64 ", entries %s\n", result,
               v->torn ? " with a torn tail" : "", v->segments, v->damaged, v->records, entries);
    }
}

void qr_verify_print_table(verify *v, const char *result, const char *sentence)
{
    const qr_wal_report *known = &v->known;
    if (known->has_head)
        printf("cluster %" PRIx64 ", group %" PRIu64 ", member %" PRIx64 ", incarnation %" PRIx64 "\n\n",
               known->cluster, known->group, known->member, known->incarnation);
    print_segments(v);
    print_checkpoints(v);
    if (v->segments > 0 || v->whole > 0)
        print_summary(v, result);
    fflush(stdout);
    if (sentence != NULL)
        fprintf(stderr, "quorate verify: %s cannot be checked: %s\n", v->folder, sentence);
}

/* ---- JSON: numbers of 64 bits that name something are hexadecimal texts, as no reader may round them ----
 */

static void json_text(const char *name, const char *text)
{
    printf("\"%s\":\"", name);
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            printf("\\%c", *text);
        else if ((unsigned char)*text < 0x20)
            printf("\\u%04x", (unsigned)(unsigned char)*text);
        else
            putchar(*text);
    }
    putchar('"');
}

static void json_number(const char *name, uint64_t value)
{
    printf(",\"%s\":%" PRIu64, name, value);
}

static void json_identity(const qr_wal_report *report)
{
    printf(",\"cluster\":\"%" PRIx64 "\",\"group\":%" PRIu64 ",\"member\":\"%" PRIx64
           "\",\"incarnation\":\"%" PRIx64 "\"",
           report->cluster, report->group, report->member, report->incarnation);
}

static void json_file(const qr_wal_report *report)
{
    putchar('{');
    json_text("name", report->name);
    json_number("size", report->size);
    putchar(',');
    json_text("verdict", verdict_word(report->verdict));
    if (report->what != NULL) {
        putchar(',');
        json_text("what", report->what);
    }
    if (report->verdict == QR_WAL_TORN || report->verdict == QR_WAL_DAMAGED)
        json_number("position", report->position);
    if (report->verdict == QR_WAL_TORN)
        json_number("torn", report->torn);
    if (report->verdict < QR_WAL_SPARE)
        json_number("sequence", report->sequence);
    if (report->has_head) {
        json_number("span", report->span);
        json_number("first_position", report->first_position);
        json_number("next_position", report->next_position);
        json_number("records", report->records);
        json_number("index_first", report->index_first);
        json_number("index_last", report->index_last);
        json_identity(report);
    }
    putchar('}');
}

static void json_hex(const char *name, uint64_t value)
{
    printf(",\"%s\":\"%" PRIx64 "\"", name, value);
}

static void json_about(const qr_checkpoint_about *about)
{
    json_number("term", about->term);
    json_number("revision", about->revision);
    json_hex("digest", about->digest);
    printf(",\"wall_ms\":%" PRId64, about->wall_ms);
    json_number("apply_version", about->apply_version);
    json_hex("cluster", about->cluster);
    json_number("group", about->group);
    json_hex("member", about->member);
    json_hex("incarnation", about->incarnation);
}

static void json_checkpoint(const qr_checkpoint_report *report)
{
    putchar('{');
    json_text("name", report->name);
    json_number("size", report->size);
    putchar(',');
    json_text("verdict", checkpoint_word(report));
    if (report->what != NULL) {
        putchar(',');
        json_text("what", report->what);
    }
    if (report->verdict == QR_CHECKPOINT_DAMAGED) {
        json_number("block", report->block);
        json_number("position", report->position);
    }
    json_number("index", report->index);
    if (report->has_about)
        json_about(&report->about);
    putchar('}');
}

static void json_lists(const verify *v)
{
    printf(",\"files\":[");
    for (size_t at = 0; at < v->reports.size; at += sizeof(qr_wal_report)) {
        qr_wal_report report;
        memcpy(&report, v->reports.data + at, sizeof report);
        if (at > 0)
            putchar(',');
        json_file(&report);
    }
    printf("],\"checkpoints\":[");
    for (size_t at = 0; at < v->checkpoints.size; at += sizeof(qr_checkpoint_report)) {
        qr_checkpoint_report report;
        memcpy(&report, v->checkpoints.data + at, sizeof report);
        if (at > 0)
            putchar(',');
        json_checkpoint(&report);
    }
    putchar(']');
}

void qr_verify_print_json(const verify *v, const char *result, const char *sentence)
{
    putchar('{');
    json_text("folder", v->folder);
    putchar(',');
    json_text("result", result);
    if (sentence != NULL) {
        putchar(',');
        json_text("sentence", sentence);
    }
    json_number("records", v->records);
    json_number("index_first", v->index_first);
    json_number("index_last", v->index_last);
    if (v->has_sound)
        json_number("checkpoint_index", v->sound_index);
    if (v->gap_first > 0) {
        json_number("gap_first", v->gap_first);
        json_number("gap_last", v->gap_last);
    }
    json_lists(v);
    puts("}");
}

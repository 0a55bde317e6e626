#include "lab/narrate.h"

typedef unsigned long long number;

/* --------------------------------------------------------------- text ---- */

static void describe(const qr_lab_telling *t, qr_buffer *out)
{
    t->world->setting->protocol->describe_message(t->world, t->message, out);
}

/* "   7  p1 -> a1  prepare(1)": what happens has a number, what follows from it is indented. */
static void say_message(qr_narrator *n, const qr_lab_telling *t, const char *before, const char *after)
{
    qr_buffer_format(&n->out, "%s%s -> %s  ", before, qr_lab_name_of(t->world, t->message->from).text,
                     qr_lab_name_of(t->world, t->message->to).text);
    describe(t, &n->out);
    qr_buffer_format(&n->out, "%s\n", after);
}

static void say_state(qr_narrator *n, const qr_lab_telling *t)
{
    qr_buffer_format(&n->out, "          %s: ", qr_lab_name_of(t->world, t->self).text);
    t->world->setting->protocol->describe(t->world, t->self, &n->out);
    qr_buffer_format(&n->out, "\n");
}

static void tell_text(qr_narrator *n, const qr_lab_telling *t)
{
    const char *self = qr_lab_name_of(t->world, t->self).text;
    char who[sizeof(qr_lab_name)];
    memcpy(who, self, sizeof who);
    if (t->what != QR_LAB_SENT && t->what != QR_LAB_SAID && t->what != QR_LAB_LOOKED &&
        t->what != QR_LAB_STATE && t->what != QR_LAB_VIOLATED)
        qr_buffer_format(&n->out, "%5llu  ", (number)++n->told);
    switch (t->what) {
    case QR_LAB_EVENT: qr_buffer_format(&n->out, "%s  %s\n", who, t->text); break;
    case QR_LAB_SENT: say_message(n, t, "          sends ", ""); break;
    case QR_LAB_DELIVERED: say_message(n, t, "", ""); break;
    case QR_LAB_LOST: say_message(n, t, "", "  is lost: the receiver is down"); break;
    case QR_LAB_DROPPED: say_message(n, t, "", "  is lost on the way"); break;
    case QR_LAB_DUPLICATED: say_message(n, t, "", "  is doubled on the way"); break;
    case QR_LAB_CRASHED: qr_buffer_format(&n->out, "%s  crashes\n", who); break;
    case QR_LAB_RESTARTED: qr_buffer_format(&n->out, "%s  starts again\n", who); break;
    case QR_LAB_PARTED: qr_buffer_format(&n->out, "the network splits: %s\n", t->text); break;
    case QR_LAB_HEALED: qr_buffer_format(&n->out, "the network is whole again\n"); break;
    case QR_LAB_SAID:
        if (t->self == QR_LAB_NOBODY)
            qr_buffer_format(&n->out, "\n   -- %s\n", t->text);
        else
            qr_buffer_format(&n->out, "        * %s %s\n", who, t->text);
        break;
    case QR_LAB_LOOKED: qr_buffer_format(&n->out, "        = %s\n", t->text); break;
    case QR_LAB_STATE: say_state(n, t); break;
    case QR_LAB_VIOLATED: qr_buffer_format(&n->out, "     !! broken: %s\n", t->text); break;
    }
}

/* --------------------------------------------------------------- JSON ---- */

static void json_text(qr_buffer *out, qr_slice text)
{
    qr_buffer_u8(out, '"');
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.data[i];
        if (c == '"' || c == '\\')
            qr_buffer_format(out, "\\%c", c);
        else if (c < 0x20)
            qr_buffer_format(out, "\\u%04x", c);
        else
            qr_buffer_u8(out, c);
    }
    qr_buffer_u8(out, '"');
}

static void json_field(qr_buffer *out, const char *name, const char *text)
{
    qr_buffer_format(out, ",\"%s\":", name);
    json_text(out, qr_slice_text(text));
}

static const char *json_what(qr_lab_what what)
{
    switch (what) {
    case QR_LAB_EVENT: return "event";
    case QR_LAB_SENT: return "send";
    case QR_LAB_DELIVERED: return "deliver";
    case QR_LAB_LOST: return "lost";
    case QR_LAB_DROPPED: return "drop";
    case QR_LAB_DUPLICATED: return "duplicate";
    case QR_LAB_CRASHED: return "crash";
    case QR_LAB_RESTARTED: return "restart";
    case QR_LAB_PARTED: return "partition";
    case QR_LAB_HEALED: return "heal";
    case QR_LAB_SAID: return "say";
    case QR_LAB_LOOKED: return "look";
    case QR_LAB_STATE: return "state";
    case QR_LAB_VIOLATED: return "violation";
    }
    return "";
}

static void tell_json(qr_narrator *n, const qr_lab_telling *t)
{
    qr_buffer_format(&n->out, "{\"step\":%llu,\"what\":\"%s\"", (number)t->world->steps, json_what(t->what));
    if (t->message) {
        qr_buffer text = {0};
        json_field(&n->out, "from", qr_lab_name_of(t->world, t->message->from).text);
        json_field(&n->out, "to", qr_lab_name_of(t->world, t->message->to).text);
        describe(t, &text);
        qr_buffer_format(&n->out, ",\"message\":");
        json_text(&n->out, qr_buffer_slice(&text));
        qr_buffer_free(&text);
    } else if (t->self != QR_LAB_NOBODY)
        json_field(&n->out, "process", qr_lab_name_of(t->world, t->self).text);
    if (t->what == QR_LAB_STATE) {
        qr_buffer text = {0};
        t->world->setting->protocol->describe(t->world, t->self, &text);
        qr_buffer_format(&n->out, ",\"state\":");
        json_text(&n->out, qr_buffer_slice(&text));
        qr_buffer_free(&text);
    }
    if (t->text)
        json_field(&n->out, "text", t->text);
    qr_buffer_format(&n->out, "}\n");
}

/* ------------------------------------------------- beginning and end ---- */

static void hear(void *context, const qr_lab_telling *telling)
{
    qr_narrator *n = context;
    if (n->json)
        tell_json(n, telling);
    else
        tell_text(n, telling);
}

qr_lab_ear qr_narrator_ear(qr_narrator *narrator)
{
    return (qr_lab_ear){hear, narrator};
}

/* The lines of `about` as they stand, without that word. */
static void say_about(qr_buffer *out, qr_slice about)
{
    while (about.size > 0) {
        const uint8_t *newline = memchr(about.data, '\n', about.size);
        size_t size = newline ? (size_t)(newline - about.data) : about.size;
        qr_slice line = qr_slice_of(about.data, size);
        if (qr_slice_starts(line, qr_slice_text("about ")))
            line = qr_slice_of(line.data + 6, line.size - 6);
        qr_buffer_format(out, "  %.*s\n", (int)line.size, (const char *)line.data);
        size += newline != NULL;
        about = qr_slice_of(about.data + size, about.size - size);
    }
}

void qr_narrate_begin(qr_narrator *narrator, const qr_scenario *scenario)
{
    qr_buffer *out = &narrator->out;
    if (narrator->json) {
        qr_buffer_format(out, "{\"what\":\"begin\",\"scenario\":");
        json_text(out, scenario->name);
        json_field(out, "protocol", scenario->protocol->name);
        qr_buffer_format(out, ",\"title\":");
        json_text(out, scenario->title);
        qr_buffer_format(out, "}\n");
        return;
    }
    qr_buffer_format(out, "%.*s: %.*s\n", (int)scenario->name.size, (const char *)scenario->name.data,
                     (int)scenario->title.size, (const char *)scenario->title.data);
    if (scenario->source.size)
        qr_buffer_format(out, "  after %.*s\n", (int)scenario->source.size,
                         (const char *)scenario->source.data);
    say_about(out, scenario->about);
    qr_buffer_format(out, "\n");
}

static void say_finding(qr_buffer *out, const qr_lab_finding *f, bool sampled)
{
    if (sampled)
        qr_buffer_format(out, "\n  %llu walks, %llu steps, %llu ends, the median after %llu steps\n",
                         (number)f->states, (number)f->moves, (number)f->ends, (number)f->depth);
    else
        qr_buffer_format(out, "\n  %llu states, %llu moves, %llu ends, depth %llu%s\n", (number)f->states,
                         (number)f->moves, (number)f->ends, (number)f->depth,
                         f->violation  ? ", up to the first break"
                         : f->complete ? ""
                                       : ", not everything");
    for (size_t i = 0; i < f->outcome_count; i++)
        qr_buffer_format(out, "    %-24s %12llu %s %10llu ends\n", f->outcomes[i].text,
                         (number)f->outcomes[i].states, sampled ? "walks" : "states",
                         (number)f->outcomes[i].ends);
}

void qr_narrate_end(qr_narrator *narrator, const qr_scenario *scenario, const qr_scenario_result *result)
{
    qr_buffer *out = &narrator->out;
    const qr_lab_finding *f = &result->finding;
    if (narrator->json) {
        qr_buffer_format(out,
                         "{\"what\":\"end\",\"as_expected\":%s,\"violation\":\"%s\",\"steps\":%llu,\"sent\":"
                         "%llu,\"states\":%llu,\"ends\":%llu,\"outcomes\":{",
                         result->as_expected ? "true" : "false",
                         result->violation ? result->violation : "none", (number)result->steps,
                         (number)result->sent, (number)f->states, (number)f->ends);
        for (size_t i = 0; i < f->outcome_count; i++)
            qr_buffer_format(out, "%s\"%s\":[%llu,%llu]", i ? "," : "", f->outcomes[i].text,
                             (number)f->outcomes[i].states, (number)f->outcomes[i].ends);
        qr_buffer_format(out, "}}\n");
        return;
    }
    if (result->explored)
        say_finding(out, f, result->sampled);
    qr_buffer_format(out, "\n%.*s", (int)result->wrong.size, (const char *)result->wrong.data);
    qr_buffer_format(out, "%.*s: %s: %llu steps, %llu messages, %u expectations, broken: %s\n",
                     (int)scenario->name.size, (const char *)scenario->name.data,
                     result->as_expected ? "as expected" : "NOT as expected", (number)result->steps,
                     (number)result->sent, result->expectations,
                     result->violation ? result->violation : "nothing");
}

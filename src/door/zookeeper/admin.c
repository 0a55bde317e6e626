/* The AdminServer: HTTP/1.1 on a byte stream. Every request is answered at once, from what is known here. */
#include "door/zookeeper/commands.h"
#include "wire/http1.h"

enum {
    CONNECTIONS_MAX = 16,
    IDLE_MS = 30000, /* until a connection is closed on which nothing goes on; as there */
};

typedef struct admin { /* a connection */
    qr_zookeeper_door *door;
    qr_http1 *http;
    qr_stream_waker waker;
    uint64_t deadline_ms;
    bool overdue;
} admin;

static bool is(qr_slice text, const char *word)
{
    return qr_slice_equal(text, qr_slice_text(word));
}

static void answer(admin *one, const qr_http1_request *request)
{
    static const char commands[] = "/commands";
    const qr_slice prefix = qr_slice_text("/commands/");
    if (!is(request->method, "GET") && !is(request->method, "HEAD")) {
        qr_http1_respond(one->http, 405, "text/plain", "Allow: GET, HEAD\r\n",
                         qr_slice_text("commands are asked for by GET\n"));
        return;
    }
    qr_buffer body;
    qr_buffer_init(&body);
    if (is(request->path, commands) || qr_slice_equal(request->path, prefix)) {
        qr__zk_list_commands(&body);
        qr_http1_respond(one->http, 200, "text/html", NULL, qr_buffer_slice(&body));
    } else if (qr_slice_starts(request->path, prefix)) {
        qr_slice name = qr_slice_of(request->path.data + prefix.size, request->path.size - prefix.size);
        qr__zk_run_command(one->door, name, request->query, &body);
        qr_http1_respond(one->http, 200, "application/json", NULL, qr_buffer_slice(&body));
    } else {
        qr_http1_respond(one->http, 404, "text/plain", NULL, qr_slice_text("commands are below /commands\n"));
    }
    qr_buffer_free(&body);
}

static void on_request(void *context, qr_http1 *http, const qr_http1_request *request)
{
    admin *one = context;
    answer(one, request);
    one->waker.wake(one->waker.self);
}

static void *admin_open(void *self, const char *peer, qr_stream_waker waker, uint64_t now_ms)
{
    static const qr_http1_handlers handlers = {on_request};
    static const qr_http1_limits limits = {.head_max = 8 * 1024, .body_max = 8 * 1024};
    qr_zookeeper_door *door = self;
    if (door->admin_connections == CONNECTIONS_MAX)
        return NULL;
    door->admin_connections++;
    admin *one = qr_alloc_zero(1, sizeof *one);
    *one = (admin){.door = door, .waker = waker, .deadline_ms = now_ms + IDLE_MS};
    one->http = qr_http1_new(&handlers, one, &limits);
    return one;
}

static qr_status admin_feed(void *stream, qr_slice bytes, uint64_t now_ms)
{
    admin *one = stream;
    one->door->now_ms = now_ms;
    one->deadline_ms = now_ms + IDLE_MS;
    return qr_http1_feed(one->http, bytes);
}

static void admin_drain(void *stream, qr_buffer *out, size_t size_max)
{
    admin *one = stream;
    qr_http1_drain(one->http, out, size_max);
    qr_http1_resume(one->http);
}

static uint64_t admin_wake_ms(void *stream)
{
    return ((const admin *)stream)->deadline_ms;
}

static void admin_tick(void *stream, uint64_t now_ms)
{
    admin *one = stream;
    one->overdue |= now_ms >= one->deadline_ms;
}

static int admin_finished(void *stream)
{
    const admin *one = stream;
    return one->overdue || qr_http1_finished(one->http);
}

static void admin_close(void *stream)
{
    admin *one = stream;
    one->door->admin_connections--;
    qr_http1_free(one->http);
    qr_free(one);
}

qr_stream_door qr_zookeeper_door_admin(qr_zookeeper_door *door)
{
    static const qr_stream_ops ops = {.name = "zookeeper admin",
                                      .open = admin_open,
                                      .feed = admin_feed,
                                      .drain = admin_drain,
                                      .wake_ms = admin_wake_ms,
                                      .tick = admin_tick,
                                      .finished = admin_finished,
                                      .close = admin_close};
    return (qr_stream_door){door, &ops};
}

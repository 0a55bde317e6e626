/* SIGTERM, SIGINT and SIGHUP arrive on the loop thread. SIGPIPE is ignored: a broken connection is seen as a
 * failed write. */
#include <signal.h>

#include "os/room.h"

static const int numbers[] = {SIGTERM, SIGINT, SIGHUP};
enum { COUNT = sizeof numbers / sizeof *numbers };

static void on_signal(uv_signal_t *handle, int number)
{
    qr_os *os = handle->data;
    os->handlers.on_signal(os->context, number);
    qr_os_happened(os);
}

void qr_os_signals_init(qr_os *os)
{
    _Static_assert(COUNT == sizeof os->signals / sizeof *os->signals, "one handle a signal");
    signal(SIGPIPE, SIG_IGN);
    if (os->handlers.on_signal != NULL)
        signal(SIGHUP, SIG_IGN); /* until the loop runs: a log that is rotated must not end a recovery */
    for (int i = 0; i < COUNT; i++) {
        int failed = uv_signal_init(&os->loop, &os->signals[i]);
        QR_ASSERT(failed == 0);
        os->signals[i].data = os;
    }
}

void qr_os_signals_start(qr_os *os)
{
    if (os->handlers.on_signal == NULL)
        return;
    for (int i = 0; i < COUNT; i++) {
        int failed = uv_signal_start(&os->signals[i], on_signal, numbers[i]);
        QR_ASSERT(failed == 0);
    }
}

void qr_os_signals_close(qr_os *os)
{
    for (int i = 0; i < COUNT; i++)
        uv_close((uv_handle_t *)&os->signals[i], NULL);
}

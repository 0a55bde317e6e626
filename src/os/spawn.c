/* A program that runs beside this one: started, its last words kept, its end told. */
#include <signal.h>

#include "os/room.h"

enum { WORDS_MAX = 512 }; /* bytes of standard error that are kept: the last ones */

struct qr_os_program {
    qr_os *os;
    uv_process_t process;
    uv_pipe_t pipe; /* its standard error */
    int open;       /* handles that are not closed yet */
    int exit_status;
    bool is_over; /* the process has ended */
    char words[WORDS_MAX];
    size_t word_size;
    void (*ended)(void *context, int exit_status, const char *words);
    void *context;
};

static void on_closed(uv_handle_t *handle)
{
    qr_os_program *program = handle->data;
    if (--program->open > 0)
        return;
    qr_os *os = program->os;
    os->program = NULL;
    program->words[program->word_size] = 0;
    if (!os->closing && program->ended != NULL) {
        program->ended(program->context, program->exit_status, program->words);
        qr_os_happened(os);
    }
    qr_free(program);
}

static void close_all(qr_os_program *program)
{
    if (!uv_is_closing((uv_handle_t *)&program->process))
        uv_close((uv_handle_t *)&program->process, on_closed);
    if (!uv_is_closing((uv_handle_t *)&program->pipe))
        uv_close((uv_handle_t *)&program->pipe, on_closed);
}

static void on_exit(uv_process_t *process, int64_t exit_status, int signal_number)
{
    qr_os_program *program = process->data;
    program->exit_status = signal_number ? 128 + signal_number : (int)exit_status;
    program->is_over = true;
    if (!uv_is_active((uv_handle_t *)&program->pipe))
        close_all(program);
}

/* Keeps the last words: a full buffer gives up its first half. */
static void on_words(uv_stream_t *stream, ssize_t size, const uv_buf_t *buffer)
{
    qr_os_program *program = stream->data;
    if (size < 0) {
        uv_read_stop(stream);
        if (program->is_over)
            close_all(program);
        return;
    }
    for (ssize_t i = 0; i < size; i++) {
        if (program->word_size == WORDS_MAX - 1) {
            size_t kept = WORDS_MAX / 2;
            memmove(program->words, program->words + program->word_size - kept, kept);
            program->word_size = kept;
        }
        program->words[program->word_size++] = buffer->base[i];
    }
}

qr_status qr_os_spawn(qr_os *os, const char *const *arguments,
                      void (*ended)(void *context, int exit_status, const char *words), void *context)
{
    if (os->program != NULL || os->stopping)
        return QR_E_BUSY;
    qr_os_program *program = qr_alloc_zero(1, sizeof *program);
    *program = (qr_os_program){.os = os, .ended = ended, .context = context, .open = 2};
    program->process.data = program->pipe.data = program;
    uv_pipe_init(&os->loop, &program->pipe, 0);
    uv_stdio_container_t stdio[3] = {{.flags = UV_IGNORE}, {.flags = UV_IGNORE}};
    stdio[2].flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE;
    stdio[2].data.stream = (uv_stream_t *)&program->pipe;
    const uv_process_options_t options = {.exit_cb = on_exit,
                                          .file = arguments[0],
                                          .args = (char **)arguments,
                                          .stdio = stdio,
                                          .stdio_count = 3};
    os->program = program;
    int failed = uv_spawn(&os->loop, &program->process, &options);
    if (failed != 0) { /* libuv wants the handle closed all the same */
        program->ended = NULL;
        close_all(program);
        return QR_E_IO;
    }
    uv_read_start((uv_stream_t *)&program->pipe, qr_os_read_alloc, on_words);
    return QR_OK;
}

void qr_os_program_close(qr_os *os)
{
    qr_os_program *program = os->program;
    if (program == NULL)
        return;
    program->ended = NULL;
    if (!program->is_over)
        uv_process_kill(&program->process, SIGKILL);
    close_all(program);
}

#include "drive.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

void drive_once(qr_os *const *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        uv_run(&list[i]->loop, UV_RUN_NOWAIT);
}

void drive_until(qr_os *const *list, size_t count, bool (*holds)(void *context), void *context,
                 const char *what)
{
    uint64_t end_ms = uv_hrtime() / 1000000 + DRIVE_MAX_MS;
    while (!holds(context)) {
        drive_once(list, count);
        if (uv_hrtime() / 1000000 > end_ms)
            fail_msg("did not happen in time: %s", what);
        /* Wait for the first descriptor of any loop, a millisecond at most, so that a busy machine is not
         * made busier. */
        struct pollfd look[8];
        for (size_t i = 0; i < count; i++)
            look[i] = (struct pollfd){.fd = uv_backend_fd(&list[i]->loop), .events = POLLIN};
        poll(look, count, 1);
    }
}

uint16_t drive_free_port(void)
{
    int probe = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    assert_int_equal(bind(probe, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(getsockname(probe, (struct sockaddr *)&address, &size), 0);
    close(probe);
    return ntohs(address.sin_port);
}

int drive_connect(uint16_t port)
{
    int made = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
    assert_int_equal(connect(made, (struct sockaddr *)&address, sizeof address), 0);
    fcntl(made, F_SETFL, O_NONBLOCK);
    return made;
}

size_t drive_send(int socket, const void *bytes, size_t size)
{
    ssize_t sent = send(socket, bytes, size, MSG_NOSIGNAL);
    return sent > 0 ? (size_t)sent : 0;
}

char *drive_folder(void)
{
    char *folder = qr_strdup("/tmp/quorate-test-os-XXXXXX");
    assert_non_null(mkdtemp(folder));
    return folder;
}

void drive_remove(char *folder)
{
    DIR *open = opendir(folder);
    for (struct dirent *entry; open && (entry = readdir(open)) != NULL;) {
        char path[512];
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 && unlink(path) != 0)
            rmdir(path);
    }
    if (open)
        closedir(open);
    rmdir(folder);
    qr_free(folder);
}

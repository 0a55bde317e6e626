/* Replays a corpus through a fuzz target without libFuzzer: every file given, and every file in the folders
 * given, in order of name, goes once through LLVMFuzzerTestOneInput(). So the ordinary test run keeps every
 * input that was ever worth keeping. Fails when there was nothing to replay. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { INPUT_MAX = 64 * 1024 * 1024, PATH_MAX_BYTES = 4096 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        perror(path);
        return -1;
    }
    size_t size = 0, room = 4096;
    uint8_t *data = malloc(room);
    while (data != NULL) {
        size_t got = fread(data + size, 1, room - size, file);
        size += got;
        if (got == 0 || size >= INPUT_MAX)
            break;
        if (size == room) {
            uint8_t *larger = realloc(data, room *= 2);
            if (larger == NULL)
                free(data);
            data = larger;
        }
    }
    fclose(file);
    if (data == NULL) {
        fprintf(stderr, "%s: out of memory\n", path);
        return -1;
    }
    /* An exact copy, so that a sanitizer sees a read behind the last byte. */
    uint8_t *exact = malloc(size ? size : 1);
    if (exact != NULL) {
        memcpy(exact, data, size);
        LLVMFuzzerTestOneInput(exact, size);
    }
    free(exact);
    free(data);
    return exact != NULL ? 1 : -1;
}

static int not_hidden(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

/* The number of inputs replayed, or -1. */
static int replay(const char *path)
{
    struct stat facts;
    if (stat(path, &facts) != 0) {
        perror(path);
        return -1;
    }
    if (!S_ISDIR(facts.st_mode))
        return replay_file(path);
    struct dirent **entries = NULL;
    int count = scandir(path, &entries, not_hidden, alphasort), inputs = 0;
    if (count < 0) {
        perror(path);
        return -1;
    }
    for (int i = 0; i < count; i++) {
        char inside[PATH_MAX_BYTES];
        int size = snprintf(inside, sizeof inside, "%s/%s", path, entries[i]->d_name);
        int more = size > 0 && size < (int)sizeof inside && inputs >= 0 ? replay(inside) : -1;
        inputs = more < 0 || inputs < 0 ? -1 : inputs + more;
        free(entries[i]);
    }
    free(entries);
    return inputs;
}

int main(int argc, char **argv)
{
    int inputs = 0;
    LLVMFuzzerTestOneInput((const uint8_t *)"", 0);
    for (int i = 1; i < argc; i++) {
        int more = replay(argv[i]);
        if (more < 0)
            return 1;
        inputs += more;
    }
    if (inputs == 0) {
        fprintf(stderr, "nothing to replay\n");
        return 1;
    }
    printf("%d inputs replayed\n", inputs);
    return 0;
}

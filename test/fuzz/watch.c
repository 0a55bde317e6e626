/* Fuzz target: a watch stream of the etcd door. The input is drawn from for requests, writes, compactions,
 * turns and the client's reading; what is told is held against all that happened (watch_play.h). */
#include "../unit/door/watch_play.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    watch_play(data, size);
    return 0;
}

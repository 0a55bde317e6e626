#include "bin/engines.h"

#include <string.h>

#include "paxos/paxos.h"
#include "raft/raft.h"

const qr_engine_ops *qr_bin_engine(const char *name)
{
    static const qr_engine_ops *const engines[] = {&qr_raft, &qr_paxos};
    for (size_t i = 0; i < sizeof engines / sizeof *engines; i++)
        if (strcmp(engines[i]->name, name) == 0)
            return engines[i];
    return NULL;
}

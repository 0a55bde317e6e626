/* Private to client_across.c and across_call.c: transactions over several clusters, one a group (src/group),
 * from the command line. */
#ifndef QR_BIN_ACROSS_H
#define QR_BIN_ACROSS_H

#include "bin/client.h"
#include "group/group.h"

/* Carries the call out in the cluster that the client's endpoints name, whichever answers; every step of a
 * task may be repeated. NULL: *sentence says why not. The result lives in the client's arena. */
const qr_txn_result *qr_across_call(qr_client *client, const qr_group_call *call, const char **sentence);

#endif

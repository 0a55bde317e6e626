/* What the two files of `quorate status` share: client_status.c asks and judges, client_status_print.c tells.
 */
#ifndef QR_BIN_CLIENT_STATUS_H
#define QR_BIN_CLIENT_STATUS_H

#include "bin/client.h"

enum { QR_CLIENT_REPORTS_MAX = 128 };

typedef enum qr_client_health {
    QR_CLIENT_WELL,
    QR_CLIENT_DEGRADED,
    QR_CLIENT_NO_QUORUM
} qr_client_health; /* exit status */

typedef struct qr_client_report {
    uint64_t id;
    const char *name, *endpoint;
    bool learner;
    const QrEtcdpb__StatusResponse *status;     /* NULL: did not answer */
    const QrEtcdpb__MemberStatusResponse *more; /* NULL: it is no member of ours, or did not answer */
    const char *trouble;                        /* a sentence, or NULL */
    double round_trip_ms;
} qr_client_report;

typedef struct qr_client_survey {
    qr_client *client;
    qr_client_report list[QR_CLIENT_REPORTS_MAX];
    size_t count;
    uint64_t cluster;      /* 0: nobody answered yet */
    bool complete;         /* the list has all members of the cluster */
    uint64_t leader, term; /* by the newest term that was told; leader 0: none */
    uint64_t index;        /* the newest known */
    size_t voters, alive;  /* alive: answered, and knows that leader if there is one */
    const QrEtcdpb__AlarmResponse *alarms;
    bool lacks; /* something is missing or late */
} qr_client_survey;

qr_client_report *qr_client_survey_find(qr_client_survey *survey, uint64_t id);
size_t qr_client_survey_needed(const qr_client_survey *survey); /* voters */
uint64_t qr_client_survey_lag(const qr_client_survey *survey, const QrEtcdpb__StatusResponse *status);

void qr_client_status_for_people(qr_client_survey *survey);
void qr_client_status_for_programs(qr_client_survey *survey, qr_client_health health);

#endif

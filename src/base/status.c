#include "base/status.h"

const char *qr_status_name(qr_status status)
{
    static const char *const names[] = {
#define QR_STATUS_NAME(name, sentence) #name,
        QR_STATUS_LIST(QR_STATUS_NAME)
#undef QR_STATUS_NAME
    };
    return (unsigned)status < QR_STATUS_COUNT ? names[status] : "UNKNOWN";
}

const char *qr_status_sentence(qr_status status)
{
    static const char *const sentences[] = {
#define QR_STATUS_SENTENCE(name, sentence) sentence,
        QR_STATUS_LIST(QR_STATUS_SENTENCE)
#undef QR_STATUS_SENTENCE
    };
    return (unsigned)status < QR_STATUS_COUNT ? sentences[status] : "unknown status";
}

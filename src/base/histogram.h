/* How long something took, counted into classes that double: fixed room, no allocation, nothing to tune.
 * Whoever counts owns one. */
#ifndef QR_BASE_HISTOGRAM_H
#define QR_BASE_HISTOGRAM_H

#include <stdint.h>

enum {
    QR_HISTOGRAM_CLASSES = 16,   /* the last one has no upper bound */
    QR_HISTOGRAM_FIRST_US = 250, /* upper bound of the first: 0.25 ms, then 0.5, 1, 2, ... 4,096 ms */
};

typedef struct qr_histogram {
    uint64_t counts[QR_HISTOGRAM_CLASSES];
    uint64_t sum_us;
} qr_histogram;

static inline void qr_histogram_add(qr_histogram *histogram, uint64_t us)
{
    unsigned class = 0;
    while (class < QR_HISTOGRAM_CLASSES - 1 && us > (uint64_t)QR_HISTOGRAM_FIRST_US << class)
        class ++;
    histogram->counts[class]++;
    histogram->sum_us += us;
}

#endif

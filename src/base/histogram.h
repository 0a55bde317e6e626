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

/* The upper bound of the class in which that part of all, from the shortest on, ends; 0 if nothing was
 * counted. */
static inline uint64_t qr_histogram_quantile_us(const qr_histogram *histogram, unsigned per_mille)
{
    uint64_t all = 0, seen = 0;
    for (unsigned class = 0; class < QR_HISTOGRAM_CLASSES; class ++)
        all += histogram->counts[class];
    for (unsigned class = 0; class < QR_HISTOGRAM_CLASSES && all > 0; class ++) {
        seen += histogram->counts[class];
        if (seen * 1000 >= all * per_mille)
            return (uint64_t)QR_HISTOGRAM_FIRST_US << class;
    }
    return 0;
}

#endif

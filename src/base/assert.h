/* Programmer's errors end the process, in release builds too (STYLE.md, "Three kinds of trouble"). */
#ifndef QR_BASE_ASSERT_H
#define QR_BASE_ASSERT_H

_Noreturn void qr_panic(const char *file, int line, const char *what);

#if defined(__GNUC__)
#define QR_LIKELY(x)   __builtin_expect(!!(x), 1)
#define QR_UNLIKELY(x) __builtin_expect(!!(x), 0)
#else
#define QR_LIKELY(x)   (x)
#define QR_UNLIKELY(x) (x)
#endif

/* Builds without assertions are a control of the simulator's oracles, which then have to see everything
 * (doc/campaign.md). */
#ifdef QR_NO_ASSERTS
#define QR_BROKEN_PROMISE(what) ((void)0)
enum { QR_ASSERTED = 0 };
#else
#define QR_BROKEN_PROMISE(what) qr_panic(__FILE__, __LINE__, what)
enum { QR_ASSERTED = 1 };
#endif

#define QR_ASSERT(condition)                                                                                 \
    do {                                                                                                     \
        if (QR_UNLIKELY(!(condition)))                                                                       \
            QR_BROKEN_PROMISE(#condition);                                                                   \
    } while (0)

/* Like QR_ASSERT, with a sentence for the person who finds it in a log. */
#define QR_CHECK(condition, sentence)                                                                        \
    do {                                                                                                     \
        if (QR_UNLIKELY(!(condition)))                                                                       \
            QR_BROKEN_PROMISE(sentence);                                                                     \
    } while (0)

#endif

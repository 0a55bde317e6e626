/* Memory of our own making: these never return NULL (the process ends with a sentence). Sizes that come from
 * outside are checked against a named bound before they reach here. Pieces of several megabytes lie in
 * large pages where the system has them. */
#ifndef QR_BASE_MEM_H
#define QR_BASE_MEM_H

#include <stddef.h>

void *qr_alloc(size_t size);                       /* uninitialised */
void *qr_alloc_zero(size_t count, size_t size);    /* zeroed; count * size is checked */
void *qr_alloc_aligned(size_t align, size_t size); /* align: a power of two, at least that of a pointer */
void *qr_realloc(void *old, size_t size);          /* like realloc(3) */
void qr_free(void *memory);                        /* NULL is fine */
/* The system makes no large pages of it: it may be given back in parts, and is touched for the first time in
 * parts. */
void qr_in_small_pages(void *memory, size_t size);
/* The memory stays whose it is and may be written again; until then it costs nothing and its content is lost.
 * Both numbers are multiples of 4096. Does nothing where the system can't. */
void qr_give_back(void *memory, size_t size);
/* Touches memory that is about to be written, all of it in one call of the system instead of a trap for each
 * page; its content stays. Does nothing where the system can't. */
void qr_touch(void *memory, size_t size);
char *qr_strdup(const char *text);

#endif

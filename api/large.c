/* Memory for megabytes, in huge pages. */
#define _DEFAULT_SOURCE /* madvise: POSIX's own knows no huge pages */
#include "api/large.h"

#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

/* A huge page is as large on most machines. */
enum { ALIGNMENT = 64, HUGE_BYTES = 2 << 20 };

void *api_large_alloc(size_t bytes)
{
    const size_t unit = bytes < HUGE_BYTES ? ALIGNMENT : HUGE_BYTES;
    if (bytes > SIZE_MAX - HUGE_BYTES)
        return NULL;
    bytes = (bytes / unit + (bytes % unit > 0 || bytes == 0)) * unit;
    void *made = aligned_alloc(unit, bytes);
#ifdef MADV_HUGEPAGE
    if (made && unit == HUGE_BYTES)
        madvise(made, bytes, MADV_HUGEPAGE);
#endif
    return made;
}

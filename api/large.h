/* Memory for megabytes. */
#ifndef CLEAVE_API_LARGE_H
#define CLEAVE_API_LARGE_H

#include <stddef.h>

/* At least `bytes` bytes at a multiple of 64, for the caller to free(), or
 * NULL. From 2 MiB on they come in huge pages where there are any, rounded up
 * to them: getting thousands of small ones takes longer than filling them.
 * Thread-safe. */
void *api_large_alloc(size_t bytes);

#endif

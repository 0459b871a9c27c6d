/* Calls of the allocator by everything that is linked statically into a
 * program, which the linker sends here (--wrap): counted, and made to fail. */
#ifndef TESTS_NN_ALLOCATOR_H
#define TESTS_NN_ALLOCATOR_H

#include <stdatomic.h>
#include <stddef.h>

extern atomic_size_t allocator_calls;

/* How many calls are left up to the one that fails; 0: none does. */
extern atomic_size_t allocator_countdown;

#endif

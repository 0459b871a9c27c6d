/* Buffers between unreadable pages: a step outside is a crash or is found. */
#ifndef CLEAVE_TESTS_NN_GUARD_H
#define CLEAVE_TESTS_NN_GUARD_H

#include <stddef.h>

/* Where in its pages a buffer lies: its first byte right after the unreadable
 * page before, or its last byte right before the one after. The latter is, for
 * odd counts, also what misaligns it for vector loads. */
enum guard_side { GUARD_BEFORE, GUARD_AFTER };

/* Room for one buffer; reused by guard_place. */
struct guard {
    unsigned char *pages; /* the readable part */
    size_t bytes;         /* of the readable part */
    unsigned char *from;  /* the buffer placed last */
    size_t count;
};

/* Room for buffers of up to `floats` floats. Fails the test on no memory. */
void guard_open(struct guard *guard, size_t floats);
void guard_close(struct guard *guard);

/* Begins a buffer of `floats` floats at that side and fills all other bytes
 * with a pattern. The buffer's own contents are undefined. */
float *guard_place(struct guard *guard, size_t floats, enum guard_side side);

/* Fails the test if a byte outside the buffer was written. */
void guard_check(const struct guard *guard);

#endif

/* What every fuzz target shares: the entry point and a loud complaint. */
#ifndef CLEAVE_TESTS_FUZZ_TARGET_H
#define CLEAVE_TESTS_FUZZ_TARGET_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* libFuzzer's entry point; the replay driver calls it too. Returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Ends the process if a property does not hold, so that fuzzer and replay
 * count it as a crash. */
static inline void must_hold(int property, const char *what)
{
    if (property)
        return;
    fprintf(stderr, "property broken: %s\n", what);
    abort();
}

#endif

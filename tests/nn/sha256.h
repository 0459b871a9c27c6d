/* SHA-256 (FIPS 180-4), to compare many bytes with a short golden value. */
#ifndef CLEAVE_TESTS_NN_SHA256_H
#define CLEAVE_TESTS_NN_SHA256_H

#include <stddef.h>

/* Writes 64 hexadecimal digits and a NUL. */
void sha256_hex(const void *bytes, size_t count, char out[65]);

#endif

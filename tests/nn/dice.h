/* Random numbers that repeat: a test names its seed, and fails the same way
 * again. */
#ifndef CLEAVE_TESTS_NN_DICE_H
#define CLEAVE_TESTS_NN_DICE_H

#include <stdint.h>

/* Steele and Vigna's splitmix64: any seed will do, 0 too. */
static inline uint64_t dice(uint64_t *seed)
{
    uint64_t value = *seed += 0x9E3779B97F4A7C15u;
    value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9u;
    value = (value ^ value >> 27) * 0x94D049BB133111EBu;
    return value ^ value >> 31;
}

/* 0 to below - 1. */
static inline uint32_t dice_below(uint64_t *seed, uint32_t below)
{
    return (uint32_t)(dice(seed) % below);
}

#endif

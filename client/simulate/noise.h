/* Seeded randomness that depends on nothing but its arguments. */
#ifndef CLEAVE_CLIENT_SIMULATE_NOISE_H
#define CLEAVE_CLIENT_SIMULATE_NOISE_H

#include <math.h>
#include <stdint.h>

/* splitmix64's finaliser (Steele et al., 2014). */
static inline uint64_t noise_mix(uint64_t value)
{
    value += 0x9E3779B97F4A7C15u;
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9u;
    value = (value ^ (value >> 27)) * 0x94D049BB133111EBu;
    return value ^ (value >> 31);
}

/* 0 < u < 1, for the `index`th event of one `kind`. */
static inline double noise_uniform(uint64_t seed, uint64_t index, uint64_t kind)
{
    uint64_t mixed = noise_mix(noise_mix(noise_mix(seed) ^ index) ^ kind);
    return ((double)(mixed >> 11) + 0.5) / 9007199254740992.0;
}

/* Standard normal (Box and Muller, 1958). */
static inline double noise_normal(uint64_t seed, uint64_t index, uint64_t kind)
{
    double radius = sqrt(-2 * log(noise_uniform(seed, index, kind)));
    return radius *
           cos(6.283185307179586 * noise_uniform(seed, index, kind ^ 0x5555u));
}

/* Exponential with this mean. */
static inline double noise_exponential(uint64_t seed, uint64_t index,
                                       uint64_t kind, double mean)
{
    return -mean * log(noise_uniform(seed, index, kind));
}

#endif

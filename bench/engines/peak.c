/* cleave-peak: what the chip's multiply-add units give at most. */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#ifdef CLEAVE_X86
#include <immintrin.h>
#endif

#include "bench/timing.h"

enum { CHAINS = 24, ROUNDS = 5000000, THREADS_MAX = 256 };

/* Independent chains hide the latency of the units; the volatile sink keeps
 * the sums alive. */
static volatile float float_sink;
static volatile int32_t int_sink;

#ifdef CLEAVE_X86
#define UNROLL _Pragma("GCC unroll 24")

__attribute__((target("avx512f"))) static double fma_512(void)
{
    __m512 sum[CHAINS], factor = _mm512_set1_ps(0.999f);

    UNROLL
    for (int i = 0; i < CHAINS; i++)
        sum[i] = _mm512_set1_ps((float)i);
    for (int round = 0; round < ROUNDS; round++) {
        UNROLL
        for (int i = 0; i < CHAINS; i++)
            sum[i] = _mm512_fmadd_ps(sum[i], factor, factor);
    }
    UNROLL
    for (int i = 1; i < CHAINS; i++)
        sum[0] = _mm512_add_ps(sum[0], sum[i]);
    float_sink = _mm512_reduce_add_ps(sum[0]);
    return 2.0 * 16 * CHAINS * ROUNDS;
}

__attribute__((target("avx2,fma"))) static double fma_256(void)
{
    __m256 sum[12], factor = _mm256_set1_ps(0.999f);

    UNROLL
    for (int i = 0; i < 12; i++)
        sum[i] = _mm256_set1_ps((float)i);
    for (int round = 0; round < ROUNDS; round++) {
        UNROLL
        for (int i = 0; i < 12; i++)
            sum[i] = _mm256_fmadd_ps(sum[i], factor, factor);
    }
    UNROLL
    for (int i = 1; i < 12; i++)
        sum[0] = _mm256_add_ps(sum[0], sum[i]);
    float_sink = _mm256_cvtss_f32(sum[0]);
    return 2.0 * 8 * 12 * ROUNDS;
}

/* The instruction itself: for the intrinsic gcc 12 copies and stores each
 * sum, which takes twice as long as the product. */
__attribute__((target("avx512f,avx512vnni"))) static double vnni_512(void)
{
    __m512i sum[CHAINS], a = _mm512_set1_epi8(3), b = _mm512_set1_epi8(-2);

    UNROLL
    for (int i = 0; i < CHAINS; i++)
        sum[i] = _mm512_set1_epi32(i);
    for (int round = 0; round < ROUNDS; round++) {
        UNROLL
        for (int i = 0; i < CHAINS; i++)
            __asm__("vpdpbusd %2, %1, %0" : "+v"(sum[i]) : "v"(a), "v"(b));
    }
    UNROLL
    for (int i = 1; i < CHAINS; i++)
        sum[0] = _mm512_add_epi32(sum[0], sum[i]);
    int_sink = _mm512_reduce_add_epi32(sum[0]);
    return 2.0 * 64 * CHAINS * ROUNDS;
}

__attribute__((target("avx2"))) static double multiply_add_256(void)
{
    __m256i sum[12], a = _mm256_set1_epi8(3), b = _mm256_set1_epi8(-2);

    UNROLL
    for (int i = 0; i < 12; i++)
        sum[i] = _mm256_set1_epi32(i);
    for (int round = 0; round < ROUNDS; round++) {
        UNROLL
        for (int i = 0; i < 12; i++)
            sum[i] = _mm256_add_epi32(
                sum[i], _mm256_madd_epi16(_mm256_maddubs_epi16(a, sum[i]), b));
    }
    UNROLL
    for (int i = 1; i < 12; i++)
        sum[0] = _mm256_add_epi32(sum[0], sum[i]);
    int_sink = _mm256_extract_epi32(sum[0], 0);
    return 2.0 * 32 * 12 * ROUNDS;
}

static double run_float(void)
{
    return __builtin_cpu_supports("avx512f") ? fma_512() : fma_256();
}

static double run_int8(void)
{
    return __builtin_cpu_supports("avx512vnni") ? vnni_512()
                                                : multiply_add_256();
}
#else
/* What the compiler makes of it for the target it was told of. */
static double run_float(void)
{
    float sum[CHAINS * 4];

    for (int i = 0; i < CHAINS * 4; i++)
        sum[i] = (float)i;
    for (int round = 0; round < ROUNDS; round++)
        for (int i = 0; i < CHAINS * 4; i++)
            sum[i] = __builtin_fmaf(sum[i], 0.999f, 0.999f);
    float_sink = sum[0];
    for (int i = 1; i < CHAINS * 4; i++)
        float_sink = float_sink + sum[i];
    return 2.0 * CHAINS * 4 * ROUNDS;
}

static double run_int8(void)
{
    return 0;
}
#endif

struct job {
    double (*run)(void);
    double operations;
};

static void *work(void *argument)
{
    struct job *job = argument;

    job->operations = job->run();
    return NULL;
}

/* Operations a second of all threads together, best of three. */
static double rate(double (*run)(void), int threads)
{
    double best = 0;

    for (int round = 0; round < 3; round++) {
        pthread_t thread[THREADS_MAX];
        struct job job[THREADS_MAX];
        double began = bench_now(), operations = 0, now;

        for (int i = 0; i < threads; i++) {
            job[i].run = run;
            if (pthread_create(&thread[i], NULL, work, &job[i]) != 0)
                abort();
        }
        for (int i = 0; i < threads; i++) {
            pthread_join(thread[i], NULL);
            operations += job[i].operations;
        }
        now = operations / (bench_now() - began);
        best = now > best ? now : best;
    }
    return best;
}

int main(int argc, char **argv)
{
    long threads =
        argc == 3 && bench_clock(argv[2]) ? strtol(argv[1], NULL, 10) : 0;

    if (threads < 1 || threads > THREADS_MAX) {
        fprintf(stderr, "usage: cleave-peak THREADS wall|cpu\n");
        return 2;
    }
    printf("{\"fp32\": %.1f, \"int8\": %.1f}\n",
           rate(run_float, (int)threads) / 1e9,
           rate(run_int8, (int)threads) / 1e9);
    return 0;
}

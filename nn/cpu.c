/* CPU detection and the choice of a kernel set. */
#include "nn/cpu.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#ifdef CLEAVE_X86
#include <cpuid.h>
#endif
#ifdef CLEAVE_AARCH64
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

#include "nn/nn.h"

struct level {
    const struct nn_kernels *kernels;
    bool (*supported)(void);
};

static bool always(void)
{
    return true;
}

#ifdef CLEAVE_X86
/* The builtins look at XCR0 too: a CPU whose operating system does not save
 * the wide registers counts as one without them. */
static bool has_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

/* AVX-VNNI is bit 4 of EAX in leaf 7, subleaf 1 (Intel SDM, CPUID), which not
 * every compiler has a name for. */
static bool has_avxvnni(void)
{
    unsigned a, b, c, d;

    return has_avx2() && __get_cpuid_count(7, 1, &a, &b, &c, &d) &&
           (a & 1u << 4);
}

static bool has_avx512(void)
{
    return has_avx2() && __builtin_cpu_supports("avx512f") &&
           __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl");
}

static bool has_avx512vnni(void)
{
    return has_avx512() && __builtin_cpu_supports("avx512vnni");
}
#endif

#ifdef CLEAVE_AARCH64
static bool has_neondot(void)
{
    return getauxval(AT_HWCAP) & HWCAP_ASIMDDP;
}
#endif

/* Best first. */
static const struct level levels[] = {
#ifdef CLEAVE_X86
    {&nn_kernels_avx512vnni, has_avx512vnni},
    {&nn_kernels_avx512, has_avx512},
    {&nn_kernels_avxvnni, has_avxvnni},
    {&nn_kernels_avx2, has_avx2},
#endif
#ifdef CLEAVE_AARCH64
    {&nn_kernels_neondot, has_neondot},
    {&nn_kernels_neon, always},
#endif
    {&nn_kernels_scalar, always},
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static const struct nn_kernels *chosen; /* NULL: CLEAVE_CPU is unusable */
static char forced[32];

static void choose(void)
{
    const char *name = getenv("CLEAVE_CPU");

    if (name && *name) {
        size_t length = strlen(name);

        if (length >= sizeof forced)
            length = sizeof forced - 1;
        memcpy(forced, name, length);
        chosen = nn_cpu_find(name);
        return;
    }
    for (size_t i = 0; i < sizeof levels / sizeof levels[0] && !chosen; i++)
        if (levels[i].supported())
            chosen = levels[i].kernels;
}

const struct nn_kernels *nn_cpu_find(const char *name)
{
    for (size_t i = 0; i < sizeof levels / sizeof levels[0]; i++)
        if (strcmp(levels[i].kernels->name, name) == 0)
            return levels[i].supported() ? levels[i].kernels : NULL;
    return NULL;
}

enum api_status nn_cpu_select(const struct nn_kernels **kernels,
                              struct api_error *error)
{
    pthread_once(&once, choose);
    if (!chosen)
        return api_fail(error, API_USAGE,
                        "CLEAVE_CPU=%s is not a kernel set of this machine",
                        forced);
    *kernels = chosen;
    return API_OK;
}

const char *nn_cpu_name(void)
{
    pthread_once(&once, choose);
    return chosen ? chosen->name : "none";
}

/* Which other library plans may ask: nobody, unless the program says so. */
#include "nn/provider.h"

#include <stdatomic.h>

static _Atomic(const struct nn_provider *) in_use;

void nn_provider_use(const struct nn_provider *provider)
{
    atomic_store(&in_use, provider);
}

const struct nn_provider *nn_provider(void)
{
    return atomic_load(&in_use);
}

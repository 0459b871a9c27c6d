/* Payloads from untrusted bytes: one byte chooses the point and, from the
 * number of points on, a prior with contexts; then payload. */
#include <math.h>
#include <string.h>

#include "nn/latent.h"
#include "tests/fuzz/target.h"
#include "tests/nn/random_prior.h"

static struct nn_bundle *bundle;

struct buffers {
    void *scratch;
    float *latent, *again;
    uint8_t *payload;
    size_t count, bound;
};

/* A latent that came off the wire, packed and unpacked, is itself. */
static void check_repacking(const struct nn_bundle_point *point,
                            const struct buffers *to, const uint8_t *payload,
                            size_t size)
{
    size_t packed = 0;
    must_hold(nn_latent_pack(point, to->latent, to->scratch, to->payload,
                             to->bound, &packed) == API_OK,
              "what was decoded encodes");
    if (point->info.codec == API_CODEC_RANS)
        must_hold(packed == size && memcmp(to->payload, payload, size) == 0,
                  "one latent has one payload");
    must_hold(nn_latent_unpack(point, to->payload, packed, to->scratch,
                               to->again, NULL) == API_OK,
              "what was encoded decodes");
    if (point->info.codec == API_CODEC_RANS)
        must_hold(memcmp(to->again, to->latent, to->count * 4) == 0,
                  "and is the same");
}

/* The same bytes as a head's output. */
static void check_packing(const struct nn_bundle_point *point,
                          const struct buffers *to, const uint8_t *data,
                          size_t size)
{
    memset(to->latent, 0, to->count * sizeof *to->latent);
    memcpy(to->latent, data, size < to->count * 4 ? size : to->count * 4);
    size_t packed = 0;
    enum api_status status = nn_latent_pack(point, to->latent, to->scratch,
                                            to->payload, to->bound, &packed);
    must_hold(status == API_OK || status == API_UNPROCESSABLE,
              "encodes or refuses");
    if (status == API_OK)
        must_hold(nn_latent_unpack(point, to->payload, packed, to->scratch,
                                   to->again, NULL) == API_OK,
                  "what was encoded decodes");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!bundle)
        must_hold(nn_bundle_open(CLEAVE_SOURCE_DIR
                                 "/tests/data/tiny.safetensors",
                                 &bundle, NULL) == API_OK,
                  "the tiny bundle opens");
    if (size < 1)
        return 0;
    struct nn_bundle_point chosen =
        bundle->points[data[0] % bundle->point_count];
    const struct nn_bundle_point *point = &chosen;
    struct buffers to = {.count = nn_latent_count(point),
                         .bound = nn_latent_payload_bound(point)};
    if (to.count == 0)
        return 0;
    struct nn_prior *prior = random_prior_make(point->info.latent_channels,
                                               1 + data[0] % 8u, data[0]);
    if (data[0] >= bundle->point_count)
        chosen.prior = prior;
    to.scratch = malloc(nn_latent_scratch_bytes(point) + 1);
    to.latent = malloc(to.count * sizeof *to.latent);
    to.again = malloc(to.count * sizeof *to.again);
    to.payload = malloc(to.bound);
    if (nn_latent_unpack(point, data + 1, size - 1, to.scratch, to.latent,
                         NULL) == API_OK)
        check_repacking(point, &to, data + 1, size - 1);
    check_packing(point, &to, data + 1, size - 1);
    random_prior_free(&prior);
    free(to.payload);
    free(to.again);
    free(to.latent);
    free(to.scratch);
    return 0;
}

/* Bundles from untrusted bytes: parse, export, and run what is small. */
#include <string.h>
#include <unistd.h>

#include "nn/bundle.h"
#include "tests/fuzz/target.h"

/* Planning and running cost what the bundle says; a fuzzer wants many. */
static int is_small(const struct nn_bundle *bundle)
{
    if (bundle->input.width > 64 || bundle->input.height > 64)
        return 0;
    for (uint32_t g = 0; g < bundle->graph_count; g++) {
        const struct nn_graph *graph = &bundle->graphs[g];
        for (int i = 0; i < 3; i++)
            if (graph->input[i] > 64)
                return 0;
        if (graph->node_count > 32)
            return 0;
        for (uint32_t n = 0; n < graph->node_count; n++) {
            const struct nn_node *node = &graph->nodes[n];
            for (int i = 0; i < 4; i++)
                if (node->pad[i] > 8)
                    return 0;
            if (node->size[0] > 64 || node->size[1] > 64 || node->block > 8)
                return 0;
        }
    }
    return 1;
}

static void run_points(const struct nn_model *model)
{
    uint8_t pixels[64 * 64 * 3] = {0};
    struct nn_context *context = NULL;
    if (nn_context_open(model, &context, NULL) != API_OK)
        return;
    float *odds = malloc(sizeof *odds * nn_model_class_count(model));
    for (uint16_t i = 0; i < nn_model_point_count(model); i++) {
        size_t values = nn_latent_values(model, i);
        if (values == 0) {
            nn_known_input(model, i, pixels, NULL);
            if (nn_run_full(context, i, pixels, odds) == API_OK)
                nn_known_check(model, i, odds, NULL);
            continue;
        }
        size_t bound = nn_latent_bound(model, i), packed;
        float *latent = calloc(values, sizeof *latent);
        uint8_t *payload = malloc(bound);
        bool ran = nn_run_head(context, i, pixels, latent) == API_OK;
        bool sure;
        if (ran)
            nn_run_exit(context, i, latent, odds, &sure);
        if (ran && nn_latent_encode(context, i, latent, payload, bound,
                                    &packed) == API_OK)
            must_hold(nn_latent_decode(context, i, payload, packed, latent,
                                       NULL) == API_OK,
                      "what was encoded decodes");
        nn_known_input(model, i, pixels, latent);
        if (nn_run_tail(context, i, latent, odds) == API_OK)
            nn_known_check(model, i, odds, NULL);
        free(payload);
        free(latent);
    }
    free(odds);
    nn_context_close(&context);
}

static void open_model(const uint8_t *data, size_t size)
{
    char path[] = "/tmp/cleave-fuzz-XXXXXX";
    int file = mkstemp(path);
    must_hold(file >= 0, "a temporary file");
    struct nn_model *model = NULL;
    if (write(file, data, size) == (ssize_t)size &&
        nn_model_open(path, &model, NULL) == API_OK)
        run_points(model);
    nn_model_close(&model);
    close(file);
    unlink(path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct nn_bundle *bundle = NULL;
    struct api_error error = {0};
    if (nn_bundle_parse(data, size, &bundle, &error) != API_OK) {
        must_hold(error.status != API_OK && error.text[0], "a reason");
        return 0;
    }
    for (int local = 0; local < 2; local++) {
        uint8_t *bytes;
        size_t count;
        struct nn_bundle *part = NULL;
        must_hold(nn_bundle_export_head(bundle, local, &bytes, &count, NULL) ==
                      API_OK,
                  "a valid bundle exports");
        must_hold(nn_bundle_parse(bytes, count, &part, NULL) == API_OK,
                  "an exported bundle is valid");
        must_hold(part->fingerprint == bundle->fingerprint, "fingerprint");
        nn_bundle_close(&part);
        free(bytes);
    }
    int small = is_small(bundle);
    nn_bundle_close(&bundle);
    if (small)
        open_model(data, size);
    return 0;
}

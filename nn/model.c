/* Models and contexts: a bundle, its plans, and the memory to run them in. */
#include <stdlib.h>
#include <string.h>

#include "api/limits.h"
#include "nn/bundle.h"
#include "nn/cpu.h"
#include "nn/known_answer.h"
#include "nn/latent.h"
#include "nn/nn.h"
#include "nn/plan.h"

enum { ALIGNMENT = 64 };

struct nn_model {
    struct nn_bundle *bundle;
    const struct nn_kernels *kernels;
    struct nn_weights *weights;
    struct nn_plan **plans; /* [bundle->graph_count], in its order */
    float pixel[3][256];    /* (pixel - mean) / scale, for each channel */
    size_t scratch_bytes;   /* of the hungriest codec */
};

struct nn_context {
    const struct nn_model *model;
    struct nn_threads *threads;  /* NULL: the caller's alone */
    struct nn_handle ***handles; /* [graph_count]; each as its plan wants */
    uint32_t thread_count;
    float *arena;
    size_t arena_floats;
    float *picture; /* normalised input, NHWC */
    void *scratch;  /* for the codecs */
};

static size_t picture_values(const struct nn_model *model)
{
    const struct nn_input *input = &model->bundle->input;

    return (size_t)input->height * input->width * 3;
}

static const struct nn_plan *plan_of(const struct nn_model *model,
                                     const struct nn_graph *graph)
{
    return model->plans[graph - model->bundle->graphs];
}

/* The table of what each byte becomes, so that every CPU and every path feeds
 * exactly the same floats to the first layer. */
static void fill_pixel_table(struct nn_model *model)
{
    const struct nn_input *input = &model->bundle->input;

    for (int channel = 0; channel < 3; channel++)
        for (int byte = 0; byte < 256; byte++)
            model->pixel[channel][byte] =
                ((float)byte - input->mean[channel]) / input->scale[channel];
}

static enum api_status plan_graphs(struct nn_model *model,
                                   struct api_error *error)
{
    const struct nn_bundle *bundle = model->bundle;

    model->plans =
        calloc((size_t)bundle->graph_count + 1, sizeof *model->plans);
    if (!model->plans)
        return api_fail(error, API_NO_MEMORY, "no memory for the plans");
    for (uint32_t i = 0; i < bundle->graph_count; i++) {
        enum api_status status =
            nn_plan_build(&bundle->graphs[i], model->kernels, model->weights,
                          &model->plans[i], error);

        if (status != API_OK)
            return status;
    }
    return API_OK;
}

static bool takes_and_gives(const struct nn_model *model,
                            const struct nn_graph *graph, struct nn_shape in,
                            struct nn_shape out)
{
    const struct nn_plan *plan;

    if (!graph)
        return true;
    plan = plan_of(model, graph);
    return memcmp(&plan->in, &in, sizeof in) == 0 &&
           memcmp(&plan->out, &out, sizeof out) == 0;
}

/* Callers' buffers are sized by the input, the latent and the labels, so every
 * graph of a point must agree with these. */
static enum api_status check_points(struct nn_model *model,
                                    struct api_error *error)
{
    const struct nn_bundle *bundle = model->bundle;
    const struct nn_shape picture = {bundle->input.height, bundle->input.width,
                                     3};
    const struct nn_shape classes = {1, 1, bundle->label_count};

    for (uint16_t i = 0; i < bundle->point_count; i++) {
        const struct nn_bundle_point *point = &bundle->points[i];
        const struct api_point *info = &point->info;
        const struct nn_shape latent = {info->latent_height, info->latent_width,
                                        info->latent_channels};
        size_t scratch = nn_latent_scratch_bytes(point);

        if (!takes_and_gives(model, point->head, picture, latent) ||
            !takes_and_gives(model, point->exit, latent, classes) ||
            !takes_and_gives(model, point->tail, latent, classes) ||
            !takes_and_gives(model, point->full, picture, classes))
            return api_fail(error, API_BAD_BUNDLE,
                            "point %s: a graph of it gives another shape "
                            "than input, latent and labels demand",
                            info->id);
        if (scratch > model->scratch_bytes)
            model->scratch_bytes = scratch;
    }
    return API_OK;
}

/* Takes the bundle, whatever comes of it. */
static enum api_status open_bundle(struct nn_bundle *bundle,
                                   const struct nn_kernels *kernels,
                                   struct nn_model **model,
                                   struct api_error *error)
{
    struct nn_model *made = calloc(1, sizeof *made);
    enum api_status status;

    if (!made) {
        nn_bundle_close(&bundle);
        return api_fail(error, API_NO_MEMORY, "no memory for the model");
    }
    made->kernels = kernels;
    made->bundle = bundle;
    status = nn_weights_open(kernels, &made->weights);
    if (status != API_OK) {
        api_fail(error, status, "no memory for the weights");
        goto out;
    }
    status = plan_graphs(made, error);
    if (status != API_OK)
        goto out;
    status = check_points(made, error);
    if (status != API_OK)
        goto out;
    fill_pixel_table(made);
    nn_bundle_rest(made->bundle);
    *model = made;
    made = NULL;
out:
    nn_model_close(&made);
    return status;
}

enum api_status nn_model_open(const char *path, struct nn_model **model,
                              struct api_error *error)
{
    const struct nn_kernels *kernels;
    struct nn_bundle *bundle;
    enum api_status status = nn_cpu_select(&kernels, error);

    if (status == API_OK)
        status = nn_bundle_open(path, &bundle, error);
    return status == API_OK ? open_bundle(bundle, kernels, model, error)
                            : status;
}

enum api_status nn_model_open_bytes(const uint8_t *bytes, size_t count,
                                    struct nn_model **model,
                                    struct api_error *error)
{
    const struct nn_kernels *kernels;
    struct nn_bundle *bundle;
    enum api_status status = nn_cpu_select(&kernels, error);

    if (status == API_OK)
        status = nn_bundle_parse(bytes, count, &bundle, error);
    return status == API_OK ? open_bundle(bundle, kernels, model, error)
                            : status;
}

void nn_model_return_bytes(struct nn_model *model)
{
    nn_bundle_return(model->bundle);
}

void nn_model_close(struct nn_model **model)
{
    struct nn_model *old = *model;

    if (!old)
        return;
    if (old->plans)
        for (uint32_t i = 0; i < old->bundle->graph_count; i++)
            nn_plan_close(&old->plans[i]);
    free(old->plans);
    nn_weights_close(&old->weights);
    nn_bundle_close(&old->bundle);
    free(old);
    *model = NULL;
}

const char *nn_model_name(const struct nn_model *model)
{
    return model->bundle->name;
}

const char *nn_model_version(const struct nn_model *model)
{
    return model->bundle->version;
}

uint64_t nn_model_fingerprint(const struct nn_model *model)
{
    return model->bundle->fingerprint;
}

const struct nn_input *nn_model_input(const struct nn_model *model)
{
    return &model->bundle->input;
}

uint32_t nn_model_class_count(const struct nn_model *model)
{
    return model->bundle->label_count;
}

const char *nn_model_label(const struct nn_model *model, uint32_t index)
{
    return index < model->bundle->label_count ? model->bundle->labels[index]
                                              : NULL;
}

uint16_t nn_model_point_count(const struct nn_model *model)
{
    return model->bundle->point_count;
}

static const struct nn_bundle_point *point_at(const struct nn_model *model,
                                              uint16_t index)
{
    return index < model->bundle->point_count ? &model->bundle->points[index]
                                              : NULL;
}

const struct api_point *nn_model_point(const struct nn_model *model,
                                       uint16_t index)
{
    const struct nn_bundle_point *point = point_at(model, index);

    return point ? &point->info : NULL;
}

int nn_model_point_find(const struct nn_model *model, const char *id)
{
    for (uint16_t i = 0; i < model->bundle->point_count; i++)
        if (strcmp(model->bundle->points[i].info.id, id) == 0)
            return i;
    return -1;
}

bool nn_model_has_head(const struct nn_model *model, uint16_t point)
{
    const struct nn_bundle_point *at = point_at(model, point);

    return at && (at->info.kind == API_POINT_SPLIT   ? at->head != NULL
                  : at->info.kind == API_POINT_LOCAL ? at->full != NULL
                                                     : false);
}

/* What the server runs for a point, or NULL. */
static const struct nn_graph *server_graph(const struct nn_model *model,
                                           uint16_t point)
{
    const struct nn_bundle_point *at = point_at(model, point);

    return !at                                  ? NULL
           : at->info.kind == API_POINT_SPLIT   ? at->tail
           : at->info.kind == API_POINT_OFFLOAD ? at->full
                                                : NULL;
}

bool nn_model_has_tail(const struct nn_model *model, uint16_t point)
{
    return server_graph(model, point) != NULL;
}

bool nn_model_same_tail(const struct nn_model *model, uint16_t a, uint16_t b)
{
    return server_graph(model, a) == server_graph(model, b);
}

bool nn_model_same_input(const struct nn_model *model, uint16_t a, uint16_t b)
{
    const struct nn_bundle_point *one = point_at(model, a);
    const struct nn_bundle_point *other = point_at(model, b);

    if (!one || !other || one->info.kind != other->info.kind)
        return false;
    if (one->info.kind == API_POINT_SPLIT)
        return one->head && one->head == other->head &&
               one->info.codec == other->info.codec &&
               one->prior == other->prior;
    return one->info.kind == API_POINT_OFFLOAD;
}

enum api_status nn_model_export_head(const struct nn_model *model,
                                     bool include_local, uint8_t **bytes,
                                     size_t *byte_count,
                                     struct api_error *error)
{
    enum api_status status = nn_bundle_export_head(model->bundle, include_local,
                                                   bytes, byte_count, error);

    nn_bundle_rest(model->bundle);
    return status;
}

/* At least one cache line, so that no two workers share one. */
static void *allocate(size_t bytes)
{
    return aligned_alloc(ALIGNMENT,
                         (bytes / ALIGNMENT + 1) * (size_t)ALIGNMENT);
}

/* What the hungriest plan takes of `threads` threads. */
static size_t arena_floats(const struct nn_model *model, uint32_t threads)
{
    size_t most = 0;

    for (uint32_t i = 0; i < model->bundle->graph_count; i++) {
        size_t floats = nn_plan_arena_floats(model->plans[i], threads);

        most = floats > most ? floats : most;
    }
    return most;
}

static enum api_status bind_plans(struct nn_context *context,
                                  struct api_error *error)
{
    const struct nn_model *model = context->model;
    enum api_status status = API_OK;

    context->handles = calloc((size_t)model->bundle->graph_count + 1,
                              sizeof *context->handles);
    if (!context->handles)
        return api_fail(error, API_NO_MEMORY, "no memory for a context");
    for (uint32_t i = 0; i < model->bundle->graph_count && status == API_OK;
         i++)
        status = nn_plan_bind(model->plans[i], &context->handles[i], error);
    return status;
}

enum api_status nn_context_open(const struct nn_model *model,
                                struct nn_context **context,
                                struct api_error *error)
{
    struct nn_context *made = calloc(1, sizeof *made);
    enum api_status status;

    if (made) {
        made->model = model;
        made->thread_count = 1;
        made->arena_floats = arena_floats(model, 1);
        made->arena = allocate(made->arena_floats * sizeof(float));
        made->picture = allocate(picture_values(model) * sizeof(float));
        made->scratch = allocate(model->scratch_bytes);
    }
    if (!made || !made->arena || !made->picture || !made->scratch) {
        nn_context_close(&made);
        return api_fail(error, API_NO_MEMORY, "no memory for a context");
    }
    status = bind_plans(made, error);
    if (status != API_OK) {
        nn_context_close(&made);
        return status;
    }
    *context = made;
    return API_OK;
}

enum api_status nn_context_use_threads(struct nn_context *context,
                                       uint32_t threads,
                                       struct api_error *error)
{
    struct nn_threads *made = NULL;
    enum api_status status = API_OK;
    size_t floats;
    float *arena;

    if (threads < 1 || threads > API_LIMIT_THREADS)
        return api_fail(error, API_USAGE, "not 1 to %u threads",
                        API_LIMIT_THREADS);
    floats = arena_floats(context->model, threads);
    arena = allocate(floats * sizeof *arena);
    if (!arena)
        return api_fail(error, API_NO_MEMORY, "no memory for threads");
    if (threads > 1)
        status = nn_threads_open(threads, &made, error);
    if (status != API_OK) {
        free(arena);
        return status;
    }
    nn_threads_close(&context->threads);
    free(context->arena);
    context->threads = made;
    context->thread_count = threads;
    context->arena = arena;
    context->arena_floats = floats;
    return API_OK;
}

void nn_context_close(struct nn_context **context)
{
    struct nn_context *old = *context;

    if (!old)
        return;
    nn_threads_close(&old->threads);
    for (uint32_t i = 0; old->handles && i < old->model->bundle->graph_count;
         i++)
        nn_plan_unbind(old->model->plans[i], &old->handles[i]);
    free(old->handles);
    free(old->scratch);
    free(old->picture);
    free(old->arena);
    free(old);
    *context = NULL;
}

size_t nn_latent_values(const struct nn_model *model, uint16_t point)
{
    const struct nn_bundle_point *at = point_at(model, point);

    return at ? nn_latent_count(at) : 0;
}

size_t nn_latent_bound(const struct nn_model *model, uint16_t point)
{
    const struct nn_bundle_point *at = point_at(model, point);

    return at ? nn_latent_payload_bound(at) : 0;
}

static void normalise(struct nn_context *context, const uint8_t *pixels)
{
    const struct nn_model *model = context->model;
    size_t values = picture_values(model);
    float *picture = context->picture;

    for (size_t i = 0; i < values; i += 3) {
        picture[i] = model->pixel[0][pixels[i]];
        picture[i + 1] = model->pixel[1][pixels[i + 1]];
        picture[i + 2] = model->pixel[2][pixels[i + 2]];
    }
}

static void run(struct nn_context *context, const struct nn_graph *graph,
                const float *input, float *output)
{
    size_t index = (size_t)(graph - context->model->bundle->graphs);

    nn_plan_run(context->model->plans[index], context->threads, context->arena,
                context->handles[index], input, output);
}

enum api_status nn_run_head(struct nn_context *context, uint16_t point,
                            const uint8_t *pixels, float *latent)
{
    const struct nn_model *model = context->model;
    const struct nn_bundle_point *at = point_at(model, point);

    if (!at)
        return API_NOT_FOUND;
    if (!at->head)
        return API_UNAVAILABLE;
    normalise(context, pixels);
    run(context, at->head, context->picture, latent);
    return API_OK;
}

enum api_status nn_run_exit(struct nn_context *context, uint16_t point,
                            const float *latent, float *probabilities,
                            bool *sure)
{
    const struct nn_bundle_point *at = point_at(context->model, point);
    struct nn_class best;

    if (!at)
        return API_NOT_FOUND;
    if (!at->exit)
        return API_UNAVAILABLE;
    run(context, at->exit, latent, probabilities);
    nn_top(probabilities, nn_model_class_count(context->model), &best, 1);
    *sure = (double)best.probability >= at->info.exit_threshold;
    return API_OK;
}

/* As many latents at a time as the arena has room for. */
enum api_status nn_run_tails(struct nn_context *context, uint16_t point,
                             uint32_t count, const float *latents,
                             float *probabilities)
{
    const struct nn_model *model = context->model;
    const struct nn_bundle_point *at = point_at(model, point);
    const struct nn_plan *plan;
    uint32_t room = 1;

    if (!at)
        return API_NOT_FOUND;
    if (!at->tail)
        return API_UNAVAILABLE;
    plan = plan_of(model, at->tail);
    while (room < count &&
           nn_plan_batch_floats(plan, context->thread_count, room + 1) <=
               context->arena_floats)
        room++;
    while (count) {
        uint32_t now = count < room ? count : room;

        nn_plan_run_batch(plan, context->threads, now, context->arena,
                          context->handles[at->tail - model->bundle->graphs],
                          latents, probabilities);
        latents += now * nn_shape_floats(&plan->in);
        probabilities += now * nn_shape_floats(&plan->out);
        count -= now;
    }
    return API_OK;
}

enum api_status nn_run_tail(struct nn_context *context, uint16_t point,
                            const float *latent, float *probabilities)
{
    return nn_run_tails(context, point, 1, latent, probabilities);
}

enum api_status nn_run_full(struct nn_context *context, uint16_t point,
                            const uint8_t *pixels, float *probabilities)
{
    const struct nn_model *model = context->model;
    const struct nn_bundle_point *at = point_at(model, point);

    if (!at)
        return API_NOT_FOUND;
    if (!at->full)
        return API_UNAVAILABLE;
    normalise(context, pixels);
    run(context, at->full, context->picture, probabilities);
    return API_OK;
}

/* What is known of a graph that the server runs, or NULL. */
static const struct nn_known_answer *known_answer(const struct nn_model *model,
                                                  uint16_t point)
{
    const struct nn_graph *graph = server_graph(model, point);

    return graph && graph->known.count > 0 ? &graph->known : NULL;
}

bool nn_known_input(const struct nn_model *model, uint16_t point,
                    uint8_t *pixels, float *latent)
{
    const struct nn_known_answer *known = known_answer(model, point);

    if (!known)
        return false;
    if (point_at(model, point)->info.kind == API_POINT_SPLIT)
        nn_known_latent(known, latent, nn_latent_values(model, point));
    else
        nn_known_pixels(known, pixels, picture_values(model));
    return true;
}

enum api_status nn_known_check(const struct nn_model *model, uint16_t point,
                               const float *probabilities,
                               struct api_error *error)
{
    const struct nn_known_answer *known = known_answer(model, point);

    return known ? nn_known_compare(known, probabilities, error) : API_OK;
}

enum api_status nn_latent_encode(struct nn_context *context, uint16_t point,
                                 const float *latent, uint8_t *payload,
                                 size_t capacity, size_t *payload_bytes)
{
    const struct nn_bundle_point *at = point_at(context->model, point);

    if (!at)
        return API_NOT_FOUND;
    return nn_latent_pack(at, latent, context->scratch, payload, capacity,
                          payload_bytes);
}

enum api_status nn_latent_decode(struct nn_context *context, uint16_t point,
                                 const uint8_t *payload, size_t payload_bytes,
                                 float *latent, struct api_error *error)
{
    const struct nn_bundle_point *at = point_at(context->model, point);

    if (!at)
        return api_fail(error, API_NOT_FOUND, "no such operating point");
    return nn_latent_unpack(at, payload, payload_bytes, context->scratch,
                            latent, error);
}

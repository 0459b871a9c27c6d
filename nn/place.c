/* Places values: first fit in the arena, or between the steps of a chain. */
#include "nn/place.h"

#include <stdlib.h>
#include <string.h>

#include "api/limits.h"
#include "nn/chain.h"
#include "nn/int8.h"

enum {
    ALIGN_FLOATS = 16,       /* 64 bytes, one cache line */
    STAGE_BYTES = 512 << 10, /* half of what most second-level caches hold */
};

#define ARENA_FLOATS_MAX (API_LIMIT_ARENA_BYTES / sizeof(float))

struct value {
    struct nn_place place;
    uint32_t readers;
    uint32_t last_step; /* the last one that reads it */
};

/* A part of the arena in use at some step. */
struct block {
    size_t from, to;
    uint32_t last_step;
};

struct placer {
    struct nn_plan *plan;
    const struct nn_uses *uses;
    uint32_t output;
    const char *graph;
    struct api_error *error;
    struct value *values;
    struct block *blocks; /* sorted by offset */
    uint32_t block_count;
    size_t chain_floats;
};

static size_t aligned(size_t floats)
{
    return (floats + ALIGN_FLOATS - 1) / ALIGN_FLOATS * ALIGN_FLOATS;
}

static enum api_status too_large(const struct placer *placer)
{
    return api_fail(placer->error, API_BAD_BUNDLE,
                    "graph %s needs more than %u MiB of memory", placer->graph,
                    API_LIMIT_ARENA_BYTES >> 20);
}

static void count_readers(struct placer *placer)
{
    for (uint32_t i = 0; i < placer->plan->step_count; i++) {
        const struct nn_uses *uses = &placer->uses[i];

        placer->values[uses->from].readers++;
        placer->values[uses->from].last_step = i;
        if (uses->has_with) {
            placer->values[uses->with].readers++;
            placer->values[uses->with].last_step = i;
        }
    }
}

/* First fit among the blocks in use. */
static enum api_status place(struct placer *placer, const struct nn_step *step,
                             struct value *value)
{
    const size_t values = nn_shape_floats(&step->out);
    const size_t floats =
        aligned(step->to_quant.scale > 0 ? nn_int8_floats(values) : values);
    struct block *blocks = placer->blocks;
    size_t from = 0;
    uint32_t at = 0;

    while (at < placer->block_count && blocks[at].from - from < floats)
        from = blocks[at++].to;
    if (floats > ARENA_FLOATS_MAX || from > ARENA_FLOATS_MAX - floats)
        return too_large(placer);
    memmove(blocks + at + 1, blocks + at,
            (placer->block_count - at) * sizeof *blocks);
    blocks[at] = (struct block){from, from + floats, value->last_step};
    placer->block_count++;
    value->place = (struct nn_place){NN_AT_ARENA, from};
    if (from + floats > placer->plan->gather_offset)
        placer->plan->gather_offset = from + floats;
    return API_OK;
}

static void release_read(struct placer *placer, uint32_t step)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < placer->block_count; i++)
        if (placer->blocks[i].last_step > step)
            placer->blocks[kept++] = placer->blocks[i];
    placer->block_count = kept;
}

/* A layer adds to what its output held, so that it best lies where the residual
 * does, if nobody needs that any more and it is not being read as the input. */
static bool take_over(struct placer *placer, uint32_t number,
                      struct value *value)
{
    const struct nn_step *step = &placer->plan->steps[number];
    const struct value *residual;

    if (!step->layer || !step->residual)
        return false;
    residual = &placer->values[placer->uses[number].with];
    if (residual->last_step != number ||
        residual->place.memory != NN_AT_ARENA ||
        (step->from.memory == NN_AT_ARENA &&
         step->from.offset == residual->place.offset))
        return false;
    value->place = residual->place;
    for (uint32_t i = 0; i < placer->block_count; i++)
        if (placer->blocks[i].from == value->place.offset)
            placer->blocks[i].last_step = value->last_step;
    return true;
}

/* `inside` a chain, the result has its place. */
static enum api_status place_step(struct placer *placer, uint32_t number,
                                  bool inside)
{
    struct nn_step *step = &placer->plan->steps[number];
    const struct nn_uses *uses = &placer->uses[number];
    struct value *made = &placer->values[uses->made];
    enum api_status status = API_OK;

    step->from = placer->values[uses->from].place;
    if (uses->has_with)
        step->with = placer->values[uses->with].place;
    if (inside)
        made->place = step->to;
    else if (uses->made == placer->output)
        made->place = (struct nn_place){NN_AT_OUTPUT, 0};
    else if (!take_over(placer, number, made))
        status = place(placer, step, made);
    step->to = made->place;
    return status;
}

/* All steps of a chain run at once: what they read stays until the last. */
static enum api_status place_chain(struct placer *placer, uint32_t first)
{
    struct nn_plan *plan = placer->plan;
    const uint32_t left = plan->step_count - first;
    bool hands_on[NN_CHAIN_STEPS_MAX] = {false};
    enum api_status status = API_OK;
    size_t floats;
    uint32_t end;

    for (uint32_t i = 0; i + 1 < left && i < NN_CHAIN_STEPS_MAX; i++) {
        const struct nn_uses *uses = &placer->uses[first + i];

        hands_on[i] = uses[1].from == uses->made &&
                      placer->values[uses->made].readers == 1;
    }
    floats = nn_chain_find(plan->steps + first, left, hands_on);
    if (floats > placer->chain_floats)
        placer->chain_floats = floats;
    end = first + plan->steps[first].chain_steps;
    for (uint32_t i = first; i < end && status == API_OK; i++)
        status = place_step(placer, i, i + 1 < end);
    release_read(placer, end - 1);
    return status;
}

/* As many chains to a stage as fit; one with more weights is a stage itself. */
static void end_stages(struct nn_plan *plan)
{
    size_t held = 0;

    for (uint32_t i = 0; i < plan->step_count;
         i += plan->steps[i].chain_steps) {
        size_t bytes = 0;

        for (uint32_t k = 0; k < plan->steps[i].chain_steps; k++)
            bytes += nn_step_weight_bytes(&plan->steps[i + k]);
        if (i > 0 && held + bytes > STAGE_BYTES) {
            plan->steps[i].begins_stage = true;
            held = 0;
        }
        held += bytes;
    }
}

enum api_status nn_place_values(struct nn_plan *plan,
                                const struct nn_uses *uses,
                                uint32_t value_count, uint32_t output,
                                const char *graph, struct api_error *error)
{
    struct placer placer = {.plan = plan,
                            .uses = uses,
                            .output = output,
                            .graph = graph,
                            .error = error};
    enum api_status status = API_OK;

    placer.values = calloc(value_count, sizeof *placer.values);
    placer.blocks = calloc(value_count, sizeof *placer.blocks);
    if (!placer.values || !placer.blocks) {
        status = api_fail(error, API_NO_MEMORY, "no memory to plan");
        goto out;
    }
    placer.values[0].place = (struct nn_place){NN_AT_INPUT, 0};
    count_readers(&placer);
    for (uint32_t i = 0; i < plan->step_count && status == API_OK;
         i += plan->steps[i].chain_steps)
        status = place_chain(&placer, i);
    if (status != API_OK)
        goto out;
    end_stages(plan);
    plan->chain_offset = aligned(plan->gather_floats);
    plan->gather_floats = plan->chain_offset + aligned(placer.chain_floats);
    if (plan->gather_floats > ARENA_FLOATS_MAX - plan->gather_offset)
        status = too_large(&placer);
    plan->arena_floats = plan->gather_offset + plan->gather_floats;
out:
    free(placer.blocks);
    free(placer.values);
    return status;
}

/* Runs a plan: no allocation, no lock, no question which CPU this is. */
#include <string.h>

#include "nn/band.h"
#include "nn/chain.h"
#include "nn/plan.h"
#include "nn/step.h"

struct memory {
    float *arena; /* one picture's values */
    float *scratch;
    struct nn_handle *const *handles;
    const float *input;
    float *output;
};

static const float *source(const struct memory *memory,
                           const struct nn_place *place)
{
    switch (place->memory) {
    case NN_AT_INPUT:
        return memory->input;
    case NN_AT_OUTPUT:
        return memory->output;
    default:
        return memory->arena + place->offset;
    }
}

static float *target(const struct memory *memory, const struct nn_place *place)
{
    return place->memory == NN_AT_OUTPUT ? memory->output
                                         : memory->arena + place->offset;
}

static float *scratch_of(const struct nn_plan *plan,
                         const struct memory *memory, struct nn_part part)
{
    return memory->scratch + part.index * plan->gather_floats;
}

static void run_step(const struct nn_plan *plan, const struct nn_step *step,
                     struct nn_part part, const struct memory *memory)
{
    const struct nn_operands operands = {
        .from = source(memory, &step->from),
        .with = source(memory, &step->with),
        .to = target(memory, &step->to),
        .scratch = scratch_of(plan, memory, part),
        .handles = memory->handles,
    };

    nn_step_run(plan, step, part, &operands);
}

/* One thread's run of a chain. Of what step i but the last makes, `held` are
 * the rows that are there, the first of them where the value's place begins. */
struct chain {
    const struct nn_plan *plan;
    const struct nn_step *steps;
    const struct memory *memory;
    float *scratch;
    struct nn_span held[NN_CHAIN_STEPS_MAX];
};

static uint8_t *held_rows(const struct chain *chain, uint32_t step)
{
    return (uint8_t *)(chain->scratch + chain->plan->chain_offset +
                       chain->steps[step].to.offset);
}

/* Makes room for rows that a window after row `from` reaches. */
static void drop_rows(struct chain *chain, uint32_t step, size_t from)
{
    const size_t row_bytes =
        nn_band_row_bytes(&chain->steps[step].out, chain->steps[step].to_quant);
    struct nn_span *held = &chain->held[step];
    uint8_t *rows = held_rows(chain, step);

    if (from < held->to) {
        memmove(rows, rows + (from - held->from) * row_bytes,
                (held->to - from) * row_bytes);
        held->from = from;
    } else {
        *held = (struct nn_span){from, from};
    }
}

static void run_rows(struct chain *chain, uint32_t number, struct nn_span rows)
{
    const struct memory *memory = chain->memory;
    const struct nn_step *step = &chain->steps[number];
    const struct nn_step band = nn_band_step(step, rows);
    const size_t in_row = nn_band_row_bytes(&step->in, step->from_quant);
    const size_t with_row = nn_band_row_bytes(&step->out, step->with_quant);
    const size_t out_row = nn_band_row_bytes(&step->out, step->to_quant);
    const size_t first = nn_band_reach(step, rows).from;
    struct nn_operands operands = {.scratch = chain->scratch};

    if (number > 0)
        operands.from = held_rows(chain, number - 1) +
                        (first - chain->held[number - 1].from) * in_row;
    else
        operands.from =
            (const uint8_t *)source(memory, &step->from) + first * in_row;
    if (step->residual)
        operands.with =
            (const uint8_t *)source(memory, &step->with) + rows.from * with_row;
    if (number + 1 < chain->steps->chain_steps)
        operands.to = held_rows(chain, number) +
                      (rows.from - chain->held[number].from) * out_row;
    else
        operands.to =
            (uint8_t *)target(memory, &step->to) + rows.from * out_row;
    nn_step_run(chain->plan, &band, (struct nn_part){0, 1, NULL}, &operands);
}

/* Some rows of the chain's output: from behind, which rows each step is to add
 * to those that are there; then all of them. */
static void run_band(struct chain *chain, struct nn_span rows)
{
    const uint32_t last = chain->steps->chain_steps - 1;
    struct nn_span wanted[NN_CHAIN_STEPS_MAX] = {{0, 0}};
    uint32_t first = last;

    for (wanted[last] = rows; first > 0; first--) {
        const struct nn_span reach =
            nn_band_reach(&chain->steps[first], wanted[first]);
        const struct nn_span *held = &chain->held[first - 1];

        drop_rows(chain, first - 1, reach.from);
        if (reach.to <= held->to)
            break;
        wanted[first - 1] = (struct nn_span){held->to, reach.to};
    }
    for (uint32_t i = first; i <= last; i++) {
        run_rows(chain, i, wanted[i]);
        if (i < last)
            chain->held[i].to = wanted[i].to;
    }
}

/* A thread's rows of the chain's output. Those in the middle that another
 * thread needs as well, both make, each for itself. */
static void run_chain(const struct nn_plan *plan, const struct nn_step *steps,
                      struct nn_part part, const struct memory *memory)
{
    const struct nn_step *last = &steps[steps->chain_steps - 1];
    const struct nn_span mine = nn_part_span(part, last->out.height);
    struct chain chain = {.plan = plan,
                          .steps = steps,
                          .memory = memory,
                          .scratch = scratch_of(plan, memory, part)};

    for (size_t row = mine.from; row < mine.to; row += steps->chain_rows) {
        struct nn_span rows = {row, row + steps->chain_rows};

        if (rows.to > mine.to)
            rows.to = mine.to;
        run_band(&chain, rows);
    }
}

/* All steps, each thread its part of each; none begins before the one before it
 * has ended. */
struct walk {
    const struct nn_plan *plan;
    uint32_t count; /* of pictures */
    float *arena;   /* the values of each, then scratch for all */
    struct nn_handle *const *handles;
    const float *input;
    float *output;
};

static struct memory memory_of(const struct walk *walk, uint32_t picture)
{
    const struct nn_plan *plan = walk->plan;

    return (struct memory){
        .arena = walk->arena + picture * plan->gather_offset,
        .scratch = walk->arena + walk->count * plan->gather_offset,
        .handles = walk->handles,
        .input = walk->input + picture * nn_shape_floats(&plan->in),
        .output = walk->output + picture * nn_shape_floats(&plan->out),
    };
}

static void walk_stages(void *job, struct nn_part part)
{
    const struct walk *walk = job;
    const struct nn_plan *plan = walk->plan;
    const struct nn_step *step = plan->steps, *next = step;
    const struct nn_step *end = step + plan->step_count;

    for (; step < end; step = next)
        for (uint32_t i = 0; i < walk->count; i++) {
            const struct memory memory = memory_of(walk, i);

            next = step;
            do {
                if (next->chain_steps > 1)
                    run_chain(plan, next, part, &memory);
                else
                    run_step(plan, next, part, &memory);
                nn_part_meet(part);
                next += next->chain_steps;
            } while (next < end && !next->begins_stage);
        }
}

void nn_plan_run_batch(const struct nn_plan *plan, struct nn_threads *threads,
                       uint32_t count, float *arena,
                       struct nn_handle *const *handles, const float *input,
                       float *output)
{
    struct walk walk = {plan, count, arena, handles, input, output};

    if (threads)
        nn_threads_run(threads, walk_stages, &walk);
    else
        walk_stages(&walk, (struct nn_part){0, 1, NULL});
}

void nn_plan_run(const struct nn_plan *plan, struct nn_threads *threads,
                 float *arena, struct nn_handle *const *handles,
                 const float *input, float *output)
{
    nn_plan_run_batch(plan, threads, 1, arena, handles, input, output);
}

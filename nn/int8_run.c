/* Runs the steps of a plan that take or make bytes. */
#include "nn/int8.h"
#include "nn/plan.h"

struct nn_int8_sum nn_int8_sum_of(struct nn_quant a, struct nn_quant b,
                                  const struct nn_step *step)
{
    const struct nn_quant to = step->to_quant;
    const float first = a.scale / to.scale, second = b.scale / to.scale;
    const float zeros = (float)a.zero * first;
    const float others = (float)b.zero * second;
    const float both = zeros + others;

    return (struct nn_int8_sum){.first = first,
                                .second = second,
                                .offset = (float)to.zero - both,
                                .lo = nn_int8_limit(step->lo, to),
                                .hi = nn_int8_limit(step->hi, to)};
}

/* Steps too short to be shared: the first thread does them. */
static struct nn_span run_whole(const struct nn_step *step, const void *in,
                                const void *with, void *out)
{
    switch (step->op) {
    case NN_OP_MAXPOOL:
        nn_int8_max_pool(step, in, out);
        break;
    case NN_OP_AVGPOOL:
    case NN_OP_GLOBAL_AVGPOOL:
        nn_int8_average_pool(step, in, out);
        break;
    case NN_OP_CONCAT:
        nn_int8_concatenate(step, in, with, out);
        break;
    default:
        nn_int8_dequantize(step, in, out);
    }
    return (struct nn_span){0, nn_shape_floats(&step->out)};
}

struct nn_span nn_int8_run(const struct nn_kernels *kernels,
                           const struct nn_step *step, struct nn_part part,
                           const void *in, const void *with, void *out,
                           void *scratch)
{
    const struct nn_int8_kernels *int8 = kernels->int8;
    struct nn_span span = nn_part_span(part, nn_shape_floats(&step->out));
    struct nn_int8_sum sum;

    switch (step->op) {
    case NN_OP_QUANTIZE:
        int8->quantize((const float *)in + span.from,
                       (uint8_t *)out + span.from, span.to - span.from,
                       1.0f / step->to_quant.scale,
                       (float)step->to_quant.zero);
        return span;
    case NN_OP_CONV:
    case NN_OP_LINEAR:
        return nn_int8_conv_run(int8, step, part, in,
                                step->residual ? with : NULL, out, scratch);
    case NN_OP_DWCONV:
        return nn_int8_dwconv_run(int8, step, part, in, out, scratch);
    case NN_OP_ADD:
        sum = nn_int8_sum_of(step->from_quant, step->with_quant, step);
        int8->add((const uint8_t *)in + span.from,
                  (const uint8_t *)with + span.from,
                  (uint8_t *)out + span.from, span.to - span.from, &sum);
        return span;
    default:
        return part.index == 0 ? run_whole(step, in, with, out)
                               : (struct nn_span){0, 0};
    }
}

/* Int8 graphs that the reference computes as they grow. */
#include "tests/nn/int8_net.h"

#include <check.h>
#include <stdlib.h>

#include "tests/nn/dice.h"
#include "tests/nn/reference.h"

static uint64_t seed = 3;

uint32_t net_draw(uint32_t below)
{
    return dice_below(&seed, below);
}

float net_float(float low, float high)
{
    return low + (high - low) * (float)net_draw(1u << 24) * 0x1p-24f;
}

struct nn_quant net_quant(void)
{
    return (struct nn_quant){net_float(0.01f, 0.1f), (uint8_t)net_draw(256)};
}

static struct net *plain_net(uint32_t height, uint32_t width, uint32_t channels)
{
    struct net *net = calloc(1, sizeof *net);

    ck_assert_ptr_nonnull(net);
    for (size_t i = 0; i < WEIGHTS; i++)
        net->weights[i] = (int8_t)((int)net_draw(255) - 127);
    for (size_t i = 0; i < CHANNELS_MAX; i++) {
        net->scales[i] = net_float(0.0001f, 0.01f);
        net->biases[i] = net_float(-2, 2);
    }
    net->graph =
        (struct nn_graph){"int8", {height, width, channels}, 0,
                          .nodes = net->nodes};
    net->values[0] = (struct int8_value){
        .height = height, .width = width, .channels = channels};
    int8_value_open(&net->values[0]);
    fill(net->values[0].floats, int8_value_count(&net->values[0]), FILL_NORMAL,
         5);
    return net;
}

void net_close(struct net *net)
{
    for (uint32_t i = 0; i <= net->graph.node_count; i++)
        int8_value_close(&net->values[i]);
    free(net);
}

struct nn_node net_node(enum nn_op op, uint32_t in)
{
    return (struct nn_node){.op = op,
                            .in_count = 1,
                            .in = {in, in},
                            .stride = {1, 1},
                            .dilation = {1, 1},
                            .kernel = {1, 1},
                            .groups = 1};
}

uint32_t net_append(struct net *net, const struct nn_node *node)
{
    uint32_t index = net->graph.node_count++;

    ck_assert_uint_lt(index, NODES_MAX);
    net->nodes[index] = *node;
    int8_node(node, &net->values[node->in[0]], &net->values[node->in[1]],
              &net->values[index + 1]);
    return index + 1;
}

struct nn_node net_weighted(struct net *net, enum nn_op op, uint32_t in,
                            uint32_t channels, uint32_t height, uint32_t width)
{
    struct nn_node node = net_node(op, in);
    struct nn_tensor *tensors = net->tensors[net->graph.node_count];
    const uint32_t inputs = net->values[in].channels;
    uint32_t first = net_draw(1000); /* at any alignment */

    if (op == NN_OP_DWCONV)
        channels = inputs;
    node.out = (struct nn_range){0, channels};
    node.inch = (struct nn_range){0, inputs};
    if (op == NN_OP_CONV)
        tensors[0] = tensor_of(NN_I8, net->weights + first, 4, channels, height,
                               width, inputs);
    else if (op == NN_OP_LINEAR)
        tensors[0] =
            tensor_of(NN_I8, net->weights + first, 2, channels, inputs, 1, 1);
    else
        tensors[0] =
            tensor_of(NN_I8, net->weights + first, 3, height, width, inputs, 1);
    ck_assert_uint_lt(channels * height * width * inputs + first, WEIGHTS);
    ck_assert_uint_le(channels, CHANNELS_MAX);
    tensors[1] = tensor_of(NN_F32, net->scales, 1, channels, 1, 1, 1);
    tensors[2] = tensor_of(NN_F32, net->biases, 1, channels, 1, 1, 1);
    node.weight = &tensors[0];
    node.scale = &tensors[1];
    node.bias = net_draw(4) ? &tensors[2] : NULL;
    node.quant = net_quant();
    return node;
}

void net_act(struct nn_node *node)
{
    node->act = (enum nn_act)net_draw(NN_ACT_CLIP + 1);
    node->limits[0] = -0.4f;
    node->limits[1] = 1.1f;
}

struct net *net_open(uint32_t height, uint32_t width, uint32_t channels)
{
    struct net *net = plain_net(height, width, channels);
    struct nn_node quantize = net_node(NN_OP_QUANTIZE, 0);

    quantize.quant =
        (struct nn_quant){net_float(0.004f, 0.01f), (uint8_t)net_draw(256)};
    net_append(net, &quantize);
    return net;
}

void net_dequantize(struct net *net)
{
    if (net->values[net->graph.node_count].type.scale > 0) {
        struct nn_node node = net_node(NN_OP_DEQUANTIZE, net->graph.node_count);

        net_append(net, &node);
    }
}

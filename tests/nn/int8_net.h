/* Graphs of int8 nodes with random numbers, and what they should give. */
#ifndef CLEAVE_TESTS_NN_INT8_NET_H
#define CLEAVE_TESTS_NN_INT8_NET_H

#include <stdint.h>

#include "nn/bundle.h"
#include "tests/nn/int8_reference.h"

enum { NODES_MAX = 14, WEIGHTS = 1 << 18, CHANNELS_MAX = 160 };

/* Numbers that all nodes share, and a graph whose values are computed by the
 * reference as nodes are added. */
struct net {
    int8_t weights[WEIGHTS];
    float scales[CHANNELS_MAX], biases[CHANNELS_MAX];
    struct nn_tensor tensors[NODES_MAX][3]; /* weight, scale, bias */
    struct nn_node nodes[NODES_MAX];
    struct int8_value values[NODES_MAX + 1];
    struct nn_graph graph;
};

/* From low to high; every call draws the next number. */
float net_float(float low, float high);
uint32_t net_draw(uint32_t below);
struct nn_quant net_quant(void);

/* A graph whose first node quantizes its input. */
struct net *net_open(uint32_t height, uint32_t width, uint32_t channels);
void net_close(struct net *net);

/* A node of one input with the defaults that the parser fills in. */
struct nn_node net_node(enum nn_op op, uint32_t in);

/* A conv, dwconv or linear of random numbers, `channels` of them out, and a
 * kernel of height * width; the next to be appended. */
struct nn_node net_weighted(struct net *net, enum nn_op op, uint32_t in,
                            uint32_t channels, uint32_t height, uint32_t width);

/* Gives the node one of the activations that clamp. */
void net_act(struct nn_node *node);

/* Appends a node and computes its value; returns the value's number. */
uint32_t net_append(struct net *net, const struct nn_node *node);

/* Appends a dequantize if the last value is U8. */
void net_dequantize(struct net *net);

#endif

/* The graphs of a bundle: names, inputs, lists of nodes. */
#include <stdlib.h>
#include <string.h>

#include "api/limits.h"
#include "nn/bundle_parts.h"

static enum api_status read_graph(struct nn_bundle *bundle, const char *name,
                                  const struct nn_json *json,
                                  struct nn_graph *graph,
                                  struct api_error *error)
{
    if (!nn_bundle_key_ok(name))
        return api_fail(error, API_BAD_BUNDLE, "graph with a bad name");
    graph->name = name;
    const struct nn_json *input = nn_json_member(json, "input");
    if (nn_json_count(input) != 3)
        return api_fail(error, API_BAD_BUNDLE,
                        "graph %s: input is not [h, w, c]", name);
    for (size_t i = 0; i < 3; i++) {
        uint64_t side;
        if (!nn_json_integer(nn_json_at(input, i), 1, API_LIMIT_TENSOR_SIDE,
                             &side))
            return api_fail(error, API_BAD_BUNDLE,
                            "graph %s: side of input outside 1 to %u", name,
                            API_LIMIT_TENSOR_SIDE);
        graph->input[i] = (uint32_t)side;
    }
    const struct nn_json *nodes = nn_json_member(json, "nodes");
    size_t count = nn_json_count(nodes);
    if (!nn_json_is_array(nodes) || count < 1 || count > API_LIMIT_NODES)
        return api_fail(error, API_BAD_BUNDLE,
                        "graph %s: nodes are no list of 1 to %u", name,
                        API_LIMIT_NODES);
    graph->nodes = calloc(count, sizeof *graph->nodes);
    if (!graph->nodes)
        return api_fail(error, API_NO_MEMORY, "out of memory");
    graph->node_count = (uint32_t)count;
    for (uint32_t i = 0; i < graph->node_count; i++) {
        enum api_status status =
            nn_bundle_read_node(bundle, graph, i, nn_json_at(nodes, i), error);
        if (status != API_OK)
            return status;
    }
    return nn_bundle_read_known(bundle, name,
                                nn_json_member(json, "known_answer"),
                                &graph->known, error);
}

enum api_status nn_bundle_read_graphs(struct nn_bundle *bundle,
                                      struct api_error *error)
{
    const struct nn_json *graphs = nn_json_member(bundle->document, "graphs");
    size_t count = nn_json_count(graphs);
    if (!nn_json_is_object(graphs) || count > API_LIMIT_GRAPHS)
        return api_fail(error, API_BAD_BUNDLE,
                        "graphs are no object of at most %u", API_LIMIT_GRAPHS);
    bundle->graphs = calloc(count + 1, sizeof *bundle->graphs);
    if (!bundle->graphs)
        return api_fail(error, API_NO_MEMORY, "out of memory");
    const char *name;
    const struct nn_json *json;
    for (void *at = NULL; nn_json_next(graphs, &at, &name, &json);) {
        /* Counted first: what a failing read allocated is freed by close. */
        struct nn_graph *graph = &bundle->graphs[bundle->graph_count++];
        enum api_status status = read_graph(bundle, name, json, graph, error);
        if (status != API_OK)
            return status;
    }
    return API_OK;
}

const struct nn_graph *nn_bundle_graph(const struct nn_bundle *bundle,
                                       const char *name)
{
    for (uint32_t i = 0; i < bundle->graph_count; i++)
        if (strcmp(bundle->graphs[i].name, name) == 0)
            return &bundle->graphs[i];
    return NULL;
}

/* What the readers of a bundle's parts share; internal to nn/bundle*.c. */
#ifndef CLEAVE_NN_BUNDLE_PARTS_H
#define CLEAVE_NN_BUNDLE_PARTS_H

#include <stdbool.h>
#include <stddef.h>

#include "api/status.h"
#include "nn/bundle.h"
#include "nn/bundle_json.h"

/* 1 to `max` bytes of [A-Za-z0-9._-]: fit to be printed and put in a URL. */
bool nn_bundle_name_ok(const char *name, size_t max);

/* 1 to 255 bytes of printable ASCII without blanks: names of tensors, graphs
 * and priors, which only appear inside the file and in refusals. */
bool nn_bundle_key_ok(const char *key);

/* The tensor that JSON text `name` names; NULL if it is no text or there is
 * no such tensor. */
const struct nn_tensor *nn_bundle_tensor(const struct nn_bundle *bundle,
                                         const struct nn_json *name);

/* NULL if the bundle has none of that name. */
const struct nn_prior *nn_bundle_prior(const struct nn_bundle *bundle,
                                       const char *name);

/* Reads graph->nodes[index], which is zeroed, from its JSON; the graph's name
 * and the bundle's tensors are there already. */
enum api_status nn_bundle_read_node(const struct nn_bundle *bundle,
                                    const struct nn_graph *graph,
                                    uint32_t index, const struct nn_json *json,
                                    struct api_error *error);

/* Reads a graph's known answer from its JSON; `json` may be NULL, then nothing
 * is known. Needs the bundle's labels. */
enum api_status nn_bundle_read_known(const struct nn_bundle *bundle,
                                     const char *graph,
                                     const struct nn_json *json,
                                     struct nn_known_answer *known,
                                     struct api_error *error);

/* Each reads its part of bundle->document into *bundle, which frees whatever
 * was read when closed, also after a failure. Needs, in this order: tensors,
 * input and labels, graphs and priors, points. */
enum api_status nn_bundle_read_tensors(struct nn_bundle *bundle,
                                       struct api_error *error);
enum api_status nn_bundle_read_meta(struct nn_bundle *bundle,
                                    struct api_error *error);
enum api_status nn_bundle_read_graphs(struct nn_bundle *bundle,
                                      struct api_error *error);
enum api_status nn_bundle_read_priors(struct nn_bundle *bundle,
                                      struct api_error *error);
enum api_status nn_bundle_read_points(struct nn_bundle *bundle,
                                      struct api_error *error);

#endif

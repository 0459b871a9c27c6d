/* Proves and warms a model before it is served. */
#ifndef CLEAVE_SERVER_SELFTEST_H
#define CLEAVE_SERVER_SELFTEST_H

#include "api/status.h"

struct srv_model;
struct srv_workspace;

/* Runs every graph that answers requests once, on the input whose answer the
 * bundle knows or else on what the workspace holds (grey, an empty latent),
 * shared among a thread for each of the `count` workspaces, and every
 * workspace at least once, so that no request meets cold memory. The
 * workspaces must be as srv_workspace_open left them. API_INTERNAL if an
 * answer is no probability distribution, API_BAD_BUNDLE if it is not the known
 * one. */
enum api_status srv_selftest(const struct srv_model *model,
                             struct srv_workspace *const *workspaces,
                             unsigned count, struct api_error *error);

#endif

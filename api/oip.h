/* Documents of the Open Inference Protocol, version 2 (KServe's REST API),
 * with Triton's extensions binary_tensor_data, classification and
 * model_repository. */
#ifndef CLEAVE_API_OIP_H
#define CLEAVE_API_OIP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/json.h"
#include "api/limits.h"
#include "api/status.h"

/* The header that says how long the JSON in front of binary tensors is. */
#define API_OIP_HEADER "Inference-Header-Content-Length"

enum api_datatype { API_UINT8, API_FP32, API_BYTES };

#define API_TENSOR_RANK 8

/* One input. BYTES tensors have one element, which `bytes` is. */
struct api_tensor {
    char name[64];
    enum api_datatype datatype;
    unsigned rank;
    uint32_t shape[API_TENSOR_RANK];
    uint8_t *bytes; /* row-major, little-endian; borrowed, or in `owned` */
    size_t byte_count;
};

/* POST …/infer, reduced to what this server can be asked: one input, and the
 * output "probabilities" as it is or as its best classes. */
struct api_infer_request {
    char id[API_LIMIT_INFER_ID_BYTES + 1]; /* "": none */
    uint64_t timeout_us;                   /* 0: none */
    char quality[16];                      /* "": none */
    struct api_tensor input;
    uint32_t top_count; /* classes to answer with, or 0: all probabilities */
    bool binary;        /* the output goes behind the JSON */
    void *owned;        /* what was decoded from JSON, or NULL */
};

/* Parses an untrusted body, of which the first `json_bytes` are JSON; tensors
 * of the input borrow from it. API_BAD_REQUEST with a reason, API_TOO_LARGE
 * for too much JSON. BYTES inside JSON is base64 (RFC 4648). Once read, a
 * request is freed. Thread-safe. */
enum api_status api_infer_read(uint8_t *body, size_t body_bytes,
                               size_t json_bytes,
                               struct api_infer_request *request,
                               struct api_error *error);
void api_infer_free(struct api_infer_request *request);

/* The answer to one. */
struct api_infer_answer {
    const char *model, *version;
    const char *point, *asked; /* the point that answers, and was asked for */
    const struct api_infer_request *request;
    const float *probabilities; /* class_count of them */
    uint32_t class_count;
    const struct api_class *top; /* request->top_count of them at most */
    uint32_t top_count;
};

/* Writes JSON and, if the request wants that, binary tensors behind it;
 * malloc'ed, or NULL when memory ran out. *json_bytes < *body_bytes tells that
 * there is a binary part. Thread-safe. */
uint8_t *api_infer_write(const struct api_infer_answer *answer,
                         size_t *body_bytes, size_t *json_bytes);

/* GET /v2 and GET /v2/models/{m}: malloc'ed text, or NULL. `versions`: all
 * that are served. `whole`: the server can run the whole network. */
char *api_oip_server_write(const char *name, const char *version);
char *api_oip_model_write(const struct api_model *model, bool whole,
                          const char *const *versions, size_t version_count);

/* A bundle in POST /v2/repository/index. */
struct api_bundle_state {
    char name[64], version[64];
    bool is_served;
    char reason[200]; /* why not, or why its latest file is not; or "" */
};

char *api_oip_index_write(const struct api_bundle_state *bundles, size_t count,
                          bool only_served);

/* What a POST to /v2/repository asks beyond its path. */
struct api_repository_request {
    bool only_served; /* index */
};

/* Parses such a body, which may be empty. API_BAD_REQUEST with a reason;
 * API_UNAVAILABLE for models inside the request, which this server takes from
 * files only. Thread-safe. */
enum api_status api_repository_read(const char *text, size_t bytes,
                                    struct api_repository_request *request,
                                    struct api_error *error);

#endif

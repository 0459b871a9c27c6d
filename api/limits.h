/* Every cap on outside input, as one named constant. */
#ifndef CLEAVE_API_LIMITS_H
#define CLEAVE_API_LIMITS_H

/* Pictures */
#define API_LIMIT_JPEG_BYTES (16u << 20)      /* one uploaded JPEG */
#define API_LIMIT_PICTURE_SIDE 16384u         /* pixels, either side */
#define API_LIMIT_PICTURE_PIXELS (64u << 20)  /* width times height */
#define API_LIMIT_JPEG_SCANS 100u             /* progressive scans */
#define API_LIMIT_JPEG_MEMORY_BYTES (256u << 20) /* libjpeg's coefficients */

/* Frames */
#define API_LIMIT_FRAME_BYTES (1u << 20)      /* header and payload */
#define API_LIMIT_LATENT_VALUES (1u << 20)    /* channels * height * width */

/* Documents */
#define API_LIMIT_JSON_BYTES (64u << 10)      /* JSON sent by a client */
#define API_LIMIT_INFER_JSON_BYTES (1u << 20) /* JSON of one OIP request */
#define API_LIMIT_INFER_ID_BYTES 255u         /* its id */
#define API_LIMIT_REPLY_BYTES (4u << 20)      /* JSON sent by a server */
#define API_LIMIT_TOP 100u                    /* classes in one answer */
#define API_LIMIT_POINTS 64u                  /* operating points of a model */
#define API_LIMIT_MODELS 256u                 /* bundles of one server */

/* Link probe */
#define API_LIMIT_PROBE_BYTES (1u << 20)      /* either direction */

/* Bundles */
#define API_LIMIT_BUNDLE_BYTES (1u << 30)
#define API_LIMIT_BUNDLE_HEADER_BYTES (8u << 20)
#define API_LIMIT_LABELS 65536u
#define API_LIMIT_INPUT_SIDE 2048u            /* of what the network takes */
#define API_LIMIT_GRAPHS 256u
#define API_LIMIT_PRIORS 64u
#define API_LIMIT_PRIOR_CHANNELS 4096u
#define API_LIMIT_PRIOR_ENTRIES (1u << 18)    /* of one prior's CDF tables */
#define API_LIMIT_NODES 4096u                 /* nodes of one graph */
#define API_LIMIT_TENSOR_SIDE 65536u          /* any one dimension */
#define API_LIMIT_KNOWN_CLASSES 8u            /* of one graph's known answer */
#define API_LIMIT_ARENA_BYTES (1u << 30)      /* working memory of one run */
#define API_LIMIT_THREADS 64u                 /* of one run */
#define API_LIMIT_BATCH 16u                   /* frames of one run */
#define API_LIMIT_PACKED_BYTES (1u << 30)     /* a model's weights in memory */
#define API_LIMIT_GRAPH_OPERATIONS (1ull << 36) /* of one run of a graph */

#endif

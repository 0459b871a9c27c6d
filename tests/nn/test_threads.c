/* Contexts in several threads, and runs with several threads of their own. */
#include <check.h>
#include <pthread.h>
#include <stdlib.h>

#include "api/limits.h"
#include "nn/nn.h"
#include "tests/nn/reference.h"
#include "tests/nn/rig.h"
#include "tests/run_suite.h"

/* One worker of several on the same model, with its own context. */
struct worker {
    const struct nn_model *model;
    const uint8_t *pixels;
    float *probabilities; /* of its last round */
    bool failed;
};

static void *work(void *with)
{
    struct worker *worker = with;
    struct nn_context *context = NULL;

    worker->failed = nn_context_open(worker->model, &context, NULL) != API_OK;
    for (int round = 0; round < 20 && !worker->failed; round++)
        worker->failed = nn_run_full(context, 0, worker->pixels,
                                     worker->probabilities) != API_OK;
    nn_context_close(&context);
    return NULL;
}

START_TEST(threads_share_a_model)
{
    enum { WORKERS = 4 };
    struct worker workers[WORKERS];
    pthread_t threads[WORKERS];
    struct rig rig;
    size_t bytes;

    rig_open(&rig, RIG_TINY);
    bytes = nn_model_class_count(rig.model) * sizeof(float);
    for (int i = 0; i < WORKERS; i++) {
        workers[i] = (struct worker){rig.model, rig.pixels,
                                     rig_memory(bytes), false};
        ck_assert_int_eq(pthread_create(&threads[i], NULL, work, &workers[i]),
                         0);
    }
    ck_assert_int_eq(nn_run_full(rig.context, 0, rig.pixels, rig.probabilities),
                     API_OK);
    for (int i = 0; i < WORKERS; i++) {
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
        ck_assert(!workers[i].failed);
        ck_assert_mem_eq(workers[i].probabilities, rig.probabilities, bytes);
        free(workers[i].probabilities);
    }
    rig_close(&rig);
}
END_TEST

START_TEST(thread_counts_out_of_range_are_refused)
{
    struct rig rig;
    struct api_error error = {0};

    rig_open(&rig, RIG_TINY);
    ck_assert_int_eq(nn_context_use_threads(rig.context, 0, &error), API_USAGE);
    ck_assert_int_eq(
        nn_context_use_threads(rig.context, API_LIMIT_THREADS + 1, &error),
        API_USAGE);
    ck_assert_int_eq(nn_run_full(rig.context, 0, rig.pixels, rig.probabilities),
                     API_OK);
    rig_close(&rig);
}
END_TEST

/* A context changes its threads between runs; every head, tail and network
 * then says the same to the bit. */
START_TEST(threads_of_a_run_change_no_bit)
{
    static const uint32_t counts[] = {2, 3, 7, 1};
    struct rig rig;
    size_t latent_bytes, bytes;
    float *latent, *probabilities;

    rig_open(&rig, RIG_TINY);
    bytes = nn_model_class_count(rig.model) * sizeof(float);
    probabilities = rig_memory(bytes);
    for (uint16_t i = 0; i < nn_model_point_count(rig.model); i++) {
        bool split = nn_model_point(rig.model, i)->kind == API_POINT_SPLIT;

        latent_bytes = nn_latent_values(rig.model, i) * sizeof(float);
        latent = rig_memory(latent_bytes + 1);
        for (size_t k = 0; k <= sizeof counts / sizeof counts[0]; k++) {
            float *to = k ? rig.probabilities : probabilities;

            if (split) {
                float *made = k ? rig.latent : latent;

                ck_assert_int_eq(nn_run_head(rig.context, i, rig.pixels, made),
                                 API_OK);
                ck_assert_int_eq(nn_run_tail(rig.context, i, made, to), API_OK);
            } else {
                ck_assert_int_eq(nn_run_full(rig.context, i, rig.pixels, to),
                                 API_OK);
            }
            if (k && split)
                ck_assert_mem_eq(rig.latent, latent, latent_bytes);
            if (k)
                ck_assert_mem_eq(rig.probabilities, probabilities, bytes);
            if (k < sizeof counts / sizeof counts[0])
                ck_assert_int_eq(
                    nn_context_use_threads(rig.context, counts[k], NULL),
                    API_OK);
        }
        free(latent);
    }
    free(probabilities);
    rig_close(&rig);
}
END_TEST

Suite *make_suite(void)
{
    Suite *suite = suite_create("threads");
    TCase *cases = tcase_create("threads");

    (void)reference_level();
    tcase_set_timeout(cases, 0);
    tcase_add_test(cases, threads_share_a_model);
    tcase_add_test(cases, thread_counts_out_of_range_are_refused);
    tcase_add_test(cases, threads_of_a_run_change_no_bit);
    suite_add_tcase(suite, cases);
    return suite;
}

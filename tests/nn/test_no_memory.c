/* Each allocation fails once: the engine says so, and leaks nothing (which the
 * address sanitizer sees). */
#include <check.h>
#include <stdlib.h>

#include "nn/nn.h"
#include "tests/nn/allocator.h"
#include "tests/nn/rig.h"
#include "tests/run_suite.h"

#define OPERATORS CLEAVE_SOURCE_DIR "/tests/data/operators.safetensors"
#define DEFAULT CLEAVE_SOURCE_DIR "/models/default.safetensors"

/* What a server does with a model before it runs it. */
static enum api_status prepare(const char *path)
{
    struct nn_model *model = NULL;
    struct nn_context *context = NULL;
    uint8_t *head = NULL;
    size_t head_bytes;
    enum api_status status = nn_model_open(path, &model, NULL);

    if (status == API_OK)
        status = nn_model_export_head(model, true, &head, &head_bytes, NULL);
    if (status == API_OK)
        status = nn_context_open(model, &context, NULL);
    if (status == API_OK)
        status = nn_context_use_threads(context, 2, NULL);
    nn_context_close(&context);
    nn_model_close(&model);
    free(head);
    return status;
}

/* The default bundle is large: of its allocations, some. */
static const struct {
    const char *path;
    size_t step;
} bundles[] = {{RIG_TINY, 1}, {OPERATORS, 1}, {DEFAULT, 29}};

START_TEST(each_allocation_may_fail)
{
    size_t failed = 0;

    for (size_t n = 1;; n += bundles[_i].step) {
        enum api_status status;
        bool reached;

        allocator_countdown = n;
        status = prepare(bundles[_i].path);
        reached = allocator_countdown == 0;
        allocator_countdown = 0;
        /* A failure may be survived, such as that of a larger table. */
        if (status != API_OK)
            ck_assert_int_eq(status, API_NO_MEMORY);
        failed += status != API_OK;
        if (!reached) {
            ck_assert_int_eq(status, API_OK);
            break;
        }
    }
    ck_assert_uint_gt(failed, 10);
}
END_TEST

Suite *make_suite(void)
{
    Suite *suite = suite_create("no memory");
    TCase *cases = tcase_create("no memory");

    tcase_set_timeout(cases, 0);
    tcase_add_loop_test(cases, each_allocation_may_fail, 0,
                        sizeof bundles / sizeof bundles[0]);
    suite_add_tcase(suite, cases);
    return suite;
}

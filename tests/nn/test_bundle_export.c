/* The head bundle: a bundle itself, smaller, and of the same model. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "nn/bundle.h"
#include "tests/run_suite.h"

#define TINY CLEAVE_SOURCE_DIR "/tests/data/tiny.safetensors"

static struct nn_bundle *whole, *part;
static uint8_t *bytes;
static size_t count;

static void export(bool include_local)
{
    struct api_error error = {0};
    ck_assert_int_eq(nn_bundle_open(TINY, &whole, &error), API_OK);
    ck_assert_int_eq(
        nn_bundle_export_head(whole, include_local, &bytes, &count, &error),
        API_OK);
    ck_assert_msg(nn_bundle_parse(bytes, count, &part, &error) == API_OK, "%s",
                  error.text);
}

static void clear(void)
{
    nn_bundle_close(&part);
    nn_bundle_close(&whole);
    free(bytes);
    bytes = NULL;
}

static const struct nn_tensor *tensor(const struct nn_bundle *bundle,
                                      const char *name)
{
    for (uint32_t i = 0; i < bundle->tensor_count; i++)
        if (strcmp(bundle->tensors[i].name, name) == 0)
            return &bundle->tensors[i];
    return NULL;
}

START_TEST(heads_stay_and_tails_go)
{
    export(false);
    ck_assert_uint_lt(count, whole->file_bytes);
    ck_assert_uint_eq((size_t)(part->data - part->file) % 64, 0);
    ck_assert_uint_eq(part->fingerprint, whole->fingerprint);
    ck_assert_str_eq(part->name, whole->name);
    ck_assert_str_eq(part->version, whole->version);
    ck_assert_mem_eq(&part->input, &whole->input, sizeof part->input);
    ck_assert_uint_eq(part->label_count, whole->label_count);
    ck_assert_str_eq(part->labels[7], whole->labels[7]);
    ck_assert_uint_eq(part->graph_count, 2);
    ck_assert_uint_eq(part->prior_count, whole->prior_count);
    ck_assert_uint_eq(part->point_count, whole->point_count);
    for (uint16_t i = 0; i < part->point_count; i++) {
        const struct nn_bundle_point *mine = &part->points[i];
        const struct nn_bundle_point *theirs = &whole->points[i];
        ck_assert_mem_eq(&mine->info, &theirs->info, sizeof mine->info);
        ck_assert(!mine->head == !theirs->head);
        ck_assert(!mine->prior == !theirs->prior);
        ck_assert_ptr_null(mine->tail);
        ck_assert_ptr_null(mine->full);
    }
    clear();
}
END_TEST

START_TEST(tensors_are_the_same_or_gone)
{
    export(false);
    for (uint32_t i = 0; i < part->tensor_count; i++) {
        const struct nn_tensor *mine = &part->tensors[i];
        const struct nn_tensor *theirs = tensor(whole, mine->name);
        ck_assert_ptr_nonnull(theirs);
        ck_assert_uint_eq(mine->dtype, theirs->dtype);
        ck_assert_uint_eq(mine->rank, theirs->rank);
        ck_assert_mem_eq(mine->dims, theirs->dims, sizeof mine->dims);
        ck_assert_uint_eq(mine->bytes, theirs->bytes);
        ck_assert_mem_eq(mine->data, theirs->data, mine->bytes);
    }
    ck_assert_ptr_nonnull(tensor(part, "stem"));
    ck_assert_ptr_nonnull(tensor(part, "prior.w50-low.cdf"));
    ck_assert_ptr_null(tensor(part, "restore"));
    ck_assert_ptr_null(tensor(part, "fc"));
    ck_assert_ptr_null(tensor(part, "ops.conv5"));
    clear();
}
END_TEST

START_TEST(local_adds_the_whole_network)
{
    export(true);
    for (uint16_t i = 0; i < part->point_count; i++) {
        ck_assert(!part->points[i].full == !whole->points[i].full);
        ck_assert_ptr_null(part->points[i].tail);
    }
    ck_assert_ptr_nonnull(tensor(part, "fc"));
    ck_assert_ptr_null(tensor(part, "restore"));
    clear();
}
END_TEST

START_TEST(the_bytes_repeat)
{
    export(true);
    uint8_t *again = NULL, *of_part = NULL;
    size_t again_count, part_count;
    ck_assert_int_eq(
        nn_bundle_export_head(whole, true, &again, &again_count, NULL), API_OK);
    ck_assert_uint_eq(again_count, count);
    ck_assert_mem_eq(again, bytes, count);
    /* A subset of the subset is the subset. */
    ck_assert_int_eq(
        nn_bundle_export_head(part, true, &of_part, &part_count, NULL), API_OK);
    ck_assert_uint_eq(part_count, count);
    ck_assert_mem_eq(of_part, bytes, count);
    free(of_part);
    free(again);
    clear();
}
END_TEST

Suite *make_suite(void)
{
    TCase *cases = tcase_create("export");
    tcase_add_test(cases, heads_stay_and_tails_go);
    tcase_add_test(cases, tensors_are_the_same_or_gone);
    tcase_add_test(cases, local_adds_the_whole_network);
    tcase_add_test(cases, the_bytes_repeat);
    Suite *suite = suite_create("bundle_export");
    suite_add_tcase(suite, cases);
    return suite;
}

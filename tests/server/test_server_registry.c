/* Tests of server/registry.c and folder.c: which bundle is served when. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "repository.h"
#include "server/folder.h"
#include "server/registry.h"
#include "server/selftest.h"
#include "tests/run_suite.h"

static struct repository repository;
static struct srv_metrics *metrics;
static struct srv_registry *registry;

static void prepare(void)
{
    repository_make(&repository);
    ck_assert_int_eq(srv_metrics_open(NULL, 0, &metrics), API_OK);
}

static void clean(void)
{
    srv_registry_close(&registry);
    srv_metrics_close(&metrics);
    repository_remove(&repository);
}

static enum api_status open_registry(const char *default_model,
                                     struct api_error *error)
{
    const struct srv_registry_options options = {
        .model = "",
        .folder = repository.folder,
        .default_model = default_model,
        .each = {.workspaces = 2,
                 .threads_per_request = 1,
                 .batch = 1,
                 .metrics = metrics},
    };
    return srv_registry_open(&options, &registry, error);
}

static void open_good(const char *default_model)
{
    struct api_error error = {API_OK, ""};
    ck_assert_msg(open_registry(default_model, &error) == API_OK, "%s",
                  error.text);
}

static void scan(void)
{
    struct api_error error = {API_OK, ""};
    ck_assert_msg(srv_registry_scan(registry, &error) == API_OK, "%s",
                  error.text);
}

static struct srv_model *take(const char *name, const char *version)
{
    return srv_registry_take(registry, name, name ? strlen(name) : 0, version,
                             version ? strlen(version) : 0);
}

/* Fails unless asking gives this version with this last digit of its
 * fingerprint; "" for none. */
static void assert_served(const char *name, const char *version,
                          const char *expected, unsigned digit)
{
    struct srv_model *model = take(name, version);
    ck_assert_str_eq(model ? model->info.version : "", expected);
    if (model)
        ck_assert_uint_eq(model->info.fingerprint & 15, digit);
    srv_model_release(&model);
    ck_assert_ptr_null(model);
}

static void assert_count(unsigned served, unsigned failed)
{
    unsigned now_served, now_failed;
    srv_registry_count(registry, &now_served, &now_failed);
    ck_assert_uint_eq(now_served, served);
    ck_assert_uint_eq(now_failed, failed);
}

START_TEST(the_newest_version_answers)
{
    repository_put(&repository, "tiny", "0.9.0", '1');
    repository_put(&repository, "tiny", "0.10.", '2');
    repository_put(&repository, "abcd", "1.0.0", '3');
    open_good("");
    assert_count(3, 0);
    assert_served("tiny", NULL, "0.10.", 2);
    assert_served("tiny", "0.9.0", "0.9.0", 1);
    assert_served("tiny", "0.9", "", 0);
    assert_served("tin", NULL, "", 0);
    assert_served(NULL, NULL, "1.0.0", 3); /* the first by name */

    struct srv_model *old =
        srv_registry_take_print(registry, "tiny", UINT64_C(0x5ac081e299e505f1));
    ck_assert_ptr_nonnull(old);
    ck_assert_str_eq(old->info.version, "0.9.0");
    srv_model_release(&old);
    ck_assert_ptr_null(srv_registry_take_print(registry, "abcd",
                                               UINT64_C(0x5ac081e299e505f1)));
}
END_TEST

START_TEST(the_default_model_can_be_named)
{
    repository_put(&repository, "tiny", "0.1.0", '1');
    repository_put(&repository, "abcd", "1.0.0", '2');
    open_good("tiny");
    assert_served(NULL, NULL, "0.1.0", 1);
    struct srv_registry *other = registry;
    struct api_error error;
    ck_assert_int_eq(open_registry("tyni", &error), API_NOT_FOUND);
    ck_assert_ptr_nonnull(strstr(error.text, "tyni"));
    registry = other;
    struct srv_model *models[API_LIMIT_MODELS];
    ck_assert_uint_eq(srv_registry_take_all(registry, models), 2);
    ck_assert_str_eq(models[0]->info.name, "tiny");
    ck_assert_str_eq(models[1]->info.name, "abcd");
    srv_model_release(&models[0]);
    srv_model_release(&models[1]);
}
END_TEST

START_TEST(a_bad_bundle_leaves_the_old_one)
{
    repository_put(&repository, "tiny", "0.1.0", '1');
    open_good("");
    repository_put_broken(&repository, "tiny", "0.1.0");
    scan();
    assert_count(1, 1);
    assert_served("tiny", NULL, "0.1.0", 1);
    repository_put(&repository, "tiny", "0.1.0", '2');
    scan();
    assert_count(1, 0);
    assert_served("tiny", NULL, "0.1.0", 2);
}
END_TEST

START_TEST(a_damaged_weight_fails_the_self_test)
{
    struct api_error error = {API_OK, ""};
    repository_put(&repository, "tiny", "0.1.0", '1');
    open_good("");
    repository_put_damaged(&repository, "tiny", "0.1.0");
    scan();
    assert_count(1, 1);
    assert_served("tiny", NULL, "0.1.0", 1);
    ck_assert_int_eq(srv_registry_load(registry, "tiny", &error),
                     API_UNPROCESSABLE);
    ck_assert_ptr_nonnull(strstr(error.text, "self-test of point "));
    ck_assert_ptr_nonnull(strstr(error.text, "the known answer is 0."));
}
END_TEST

START_TEST(a_lease_outlives_the_swap)
{
    repository_put(&repository, "tiny", "0.1.0", '1');
    open_good("");
    struct srv_model *leased = take("tiny", NULL);
    repository_put(&repository, "tiny", "0.1.0", '2');
    scan();
    assert_served("tiny", NULL, "0.1.0", 2);
    ck_assert_uint_eq(leased->info.fingerprint & 15, 1);
    struct srv_workspace *workspace = srv_model_borrow(leased);
    struct api_error error = {API_OK, ""};
    ck_assert_int_eq(srv_selftest(leased, &workspace, 1, &error),
                     API_OK);
    srv_model_give_back(leased, workspace);
    ck_assert_uint_eq(atomic_load(&leased->leases), 1);
    srv_model_release(&leased);
}
END_TEST

START_TEST(what_is_gone_is_no_longer_served)
{
    repository_put(&repository, "tiny", "0.1.0", '1');
    repository_put(&repository, "tiny", "0.2.0", '2');
    open_good("");
    repository_delete(&repository, "tiny", "0.2.0");
    scan();
    assert_count(1, 0);
    assert_served("tiny", NULL, "0.1.0", 1);
    repository_delete(&repository, "tiny", "0.1.0");
    scan();
    assert_served(NULL, NULL, "", 0);

    /* Unlike a folder that cannot be read. */
    repository_put(&repository, "tiny", "0.1.0", '1');
    scan();
    char aside[80];
    struct api_error error;
    snprintf(aside, sizeof aside, "%s-aside", repository.folder);
    ck_assert_int_eq(rename(repository.folder, aside), 0);
    ck_assert_int_eq(srv_registry_scan(registry, &error), API_NOT_FOUND);
    assert_served("tiny", NULL, "0.1.0", 1);
    ck_assert_int_eq(rename(aside, repository.folder), 0);
}
END_TEST

START_TEST(unchanged_files_are_not_read_again)
{
    repository_put(&repository, "tiny", "0.1.0", '1');
    open_good("");
    struct srv_model *before = take("tiny", NULL);
    scan();
    struct srv_model *after = take("tiny", NULL);
    ck_assert_ptr_eq(before, after);
    srv_model_release(&before);
    srv_model_release(&after);
}
END_TEST

START_TEST(unloading_lasts_until_loading)
{
    struct api_error error;
    repository_put(&repository, "tiny", "0.1.0", '1');
    repository_put(&repository, "abcd", "0.1.0", '2');
    open_good("");
    ck_assert_int_eq(srv_registry_unload(registry, "tiny", &error), API_OK);
    assert_served("tiny", NULL, "", 0);
    repository_put(&repository, "tiny", "0.1.0", '3');
    scan();
    assert_served("tiny", NULL, "", 0);
    ck_assert_int_eq(srv_registry_load(registry, "tiny", &error), API_OK);
    assert_served("tiny", NULL, "0.1.0", 3);

    ck_assert_int_eq(srv_registry_load(registry, "none", &error),
                     API_NOT_FOUND);
    ck_assert_int_eq(srv_registry_unload(registry, "none", &error),
                     API_NOT_FOUND);
    repository_put_broken(&repository, "tiny", "0.1.0");
    ck_assert_int_eq(srv_registry_load(registry, "tiny", &error),
                     API_UNPROCESSABLE);
    ck_assert_uint_gt(strlen(error.text), 0);
    assert_served("tiny", NULL, "0.1.0", 3);
}
END_TEST

START_TEST(folders_must_agree_with_their_bundle)
{
    struct api_error error;
    repository_misplace(&repository, "tiny", "0.1.0", "tiny", "1");
    ck_assert_int_eq(open_registry("", &error), API_BAD_BUNDLE);
    ck_assert_msg(strstr(error.text, "tiny/0.1.0") != NULL &&
                      strstr(error.text, "tiny/1") != NULL,
                  "%s", error.text);
}
END_TEST

START_TEST(nothing_to_serve_is_a_failure)
{
    struct api_error error;
    ck_assert_int_eq(open_registry("", &error), API_NOT_FOUND);
    ck_assert_ptr_nonnull(strstr(error.text, repository.folder));
    repository_put_broken(&repository, "tiny", "0.1.0");
    ck_assert_int_eq(open_registry("", &error), API_BAD_BUNDLE);
}
END_TEST

START_TEST(versions_are_ordered_by_their_numbers)
{
    static const char *const newest_first[] = {
        "2",    "1.10.0", "1.9.1", "1.9",   "1.8-rc2", "1.8",
        "0.11", "0.2",    "0.1.b", "0.1.a", "0"};
    const size_t count = sizeof newest_first / sizeof *newest_first;
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < count; j++) {
            struct srv_bundle_file a = {.name = "m"}, b = {.name = "m"};
            snprintf(a.version, sizeof a.version, "%s", newest_first[i]);
            snprintf(b.version, sizeof b.version, "%s", newest_first[j]);
            int order = srv_bundle_file_order(&a, &b);
            ck_assert_msg((order < 0) == (i < j) && (order == 0) == (i == j),
                          "%s and %s", a.version, b.version);
        }
    }
    struct srv_bundle_file padded = {.name = "m", .version = "1.009"};
    struct srv_bundle_file plain = {.name = "m", .version = "1.9"};
    ck_assert_int_eq(srv_bundle_file_order(&padded, &plain), 0);
    struct srv_bundle_file a = {.name = "a", .version = "1"};
    struct srv_bundle_file b = {.name = "b", .version = "2"};
    ck_assert_int_lt(srv_bundle_file_order(&a, &b), 0);
}
END_TEST

Suite *make_suite(void)
{
    TCase *cases = tcase_create("registry");
    tcase_add_checked_fixture(cases, prepare, clean);
    tcase_add_test(cases, the_newest_version_answers);
    tcase_add_test(cases, the_default_model_can_be_named);
    tcase_add_test(cases, a_bad_bundle_leaves_the_old_one);
    tcase_add_test(cases, a_damaged_weight_fails_the_self_test);
    tcase_add_test(cases, a_lease_outlives_the_swap);
    tcase_add_test(cases, what_is_gone_is_no_longer_served);
    tcase_add_test(cases, unchanged_files_are_not_read_again);
    tcase_add_test(cases, unloading_lasts_until_loading);
    tcase_add_test(cases, folders_must_agree_with_their_bundle);
    tcase_add_test(cases, nothing_to_serve_is_a_failure);
    tcase_add_test(cases, versions_are_ordered_by_their_numbers);
    Suite *suite = suite_create("server registry");
    suite_add_tcase(suite, cases);
    return suite;
}

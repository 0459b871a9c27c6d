/* The bump allocator: pieces are zeros, aligned, apart, and freed. */
#include <check.h>
#include <stdint.h>
#include <string.h>

#include "nn/bump.h"
#include "tests/nn/dice.h"
#include "tests/run_suite.h"

enum { PIECES = 300 };

/* Each piece keeps its own value while others of up to 4 MiB are made. */
START_TEST(pieces_are_apart)
{
    struct nn_bump bump = {0};
    unsigned char *pieces[PIECES];
    size_t bytes[PIECES];
    uint64_t seed = 3;

    for (int i = 0; i < PIECES; i++) {
        bytes[i] = 1 + dice_below(&seed, i % 50 ? 5000 : 4 << 20);
        pieces[i] = nn_bump_get(&bump, bytes[i]);
        ck_assert_ptr_nonnull(pieces[i]);
        ck_assert_uint_eq((uintptr_t)pieces[i] % 64, 0);
        ck_assert(pieces[i][0] == 0 &&
                  memcmp(pieces[i], pieces[i] + 1, bytes[i] - 1) == 0);
        memset(pieces[i], i % 255 + 1, bytes[i]);
    }
    for (int i = 0; i < PIECES; i++)
        ck_assert(pieces[i][0] == i % 255 + 1 &&
                  memcmp(pieces[i], pieces[i] + 1, bytes[i] - 1) == 0);
    nn_bump_clear(&bump);
    ck_assert_ptr_null(bump.last);
}
END_TEST

START_TEST(too_much_is_refused)
{
    struct nn_bump bump = {0};

    ck_assert_ptr_nonnull(nn_bump_get(&bump, 1));
    ck_assert_ptr_null(nn_bump_get(&bump, SIZE_MAX));
    ck_assert_ptr_nonnull(nn_bump_get(&bump, 1));
    nn_bump_clear(&bump);
}
END_TEST

Suite *make_suite(void)
{
    Suite *suite = suite_create("bump");
    TCase *cases = tcase_create("bump");

    tcase_add_test(cases, pieces_are_apart);
    tcase_add_test(cases, too_much_is_refused);
    suite_add_tcase(suite, cases);
    return suite;
}

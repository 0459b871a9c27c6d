/* Contexts: the tables that docs/WIRE.md names, exact round trips, damage. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "nn/rans.h"
#include "tests/nn/dice.h"
#include "tests/nn/random_prior.h"
#include "tests/run_suite.h"

enum { LIMIT = NN_RANS_LIMIT };

/* A latent and its coding, in buffers as long as the contract says. */
struct job {
    struct nn_rans_grid grid;
    uint32_t channels;
    size_t count, bound, coded;
    struct nn_prior *prior;
    void *scratch;
    float *values, *got;
    uint8_t *stream;
};

static struct job open_job(size_t height, size_t width, uint32_t channels,
                           uint32_t contexts, uint64_t seed)
{
    struct job job = {.grid = {height, width}, .channels = channels};
    job.count = height * width * channels;
    job.bound = NN_RANS_BOUND(job.count);
    job.prior = random_prior_make(channels, contexts, seed);
    job.scratch = malloc(nn_rans_scratch_bytes(job.grid, channels));
    job.values = malloc(job.count * sizeof *job.values);
    job.got = malloc(job.count * sizeof *job.got);
    job.stream = malloc(job.bound);
    return job;
}

static void close_job(struct job *job)
{
    random_prior_free(&job->prior);
    free(job->scratch);
    free(job->values);
    free(job->got);
    free(job->stream);
}

static int32_t symbol_at(const struct job *job, size_t y, size_t x, uint32_t c)
{
    return (int32_t)job->values[(y * job->grid.width + x) * job->channels + c];
}

/* One term of docs/WIRE.md's sum: 0 left, 1 above, 2 here. */
static int64_t term(const struct job *job, uint32_t where, int32_t symbol,
                    uint32_t from, uint32_t to)
{
    size_t n = job->channels;
    int32_t clamped = symbol > 7 ? 7 : symbol < -7 ? -7 : symbol;
    return (int64_t)clamped *
           job->prior->context_weight[(where * n + from) * n + to];
}

static uint32_t documented_table(const struct job *job, size_t y, size_t x,
                                 uint32_t c)
{
    int64_t sum = 0;
    for (uint32_t j = 0; j < job->channels; j++) {
        sum += x > 0 ? term(job, 0, symbol_at(job, y, x - 1, j), j, c) : 0;
        sum += y > 0 ? term(job, 1, symbol_at(job, y - 1, x, j), j, c) : 0;
        sum += j < c ? term(job, 2, symbol_at(job, y, x, j), j, c) : 0;
    }
    uint32_t limits = job->prior->contexts - 1, context = 0;
    for (uint32_t i = 0; i < limits; i++)
        context += sum >= job->prior->context_limit[i * job->channels + c];
    return c * (limits + 1) + context;
}

/* The same values as one position of a prior without contexts, which has a
 * channel, and the documented table, for each of them. */
static struct nn_prior *flatten(const struct job *job, double *bits)
{
    struct nn_prior *flat = random_prior_make((uint32_t)job->count, 1, 0);
    const struct nn_prior *prior = job->prior;
    uint32_t end = 0, i = 0;
    *bits = 0;
    for (size_t y = 0; y < job->grid.height; y++) {
        for (size_t x = 0; x < job->grid.width; x++) {
            for (uint32_t c = 0; c < job->channels; c++, i++) {
                uint32_t table = documented_table(job, y, x, c);
                const uint32_t *from = prior->cdf + prior->cdf_start[table];
                uint32_t entries =
                    prior->cdf_start[table + 1] - prior->cdf_start[table];
                memcpy(flat->cdf + end, from, entries * sizeof *from);
                flat->symbol_min[i] = prior->symbol_min[c];
                end += entries;
                flat->cdf_start[i + 1] = end;
                int32_t s = symbol_at(job, y, x, c) - prior->symbol_min[c];
                int32_t n = (int32_t)entries - 2;
                bool regular = s >= 0 && s < n;
                uint32_t at = (uint32_t)(regular ? s : n);
                *bits += 16 - log2(from[at + 1] - from[at]);
                if (!regular)
                    *bits += 1 + 2 * floor(log2(s < 0 ? -2.0 * s
                                                      : 2.0 * (s - n) + 1));
            }
        }
    }
    nn_rans_prepare(flat);
    return flat;
}

static void check_job(struct job *job)
{
    ck_assert_int_eq(nn_rans_encode(job->prior, job->values, job->grid,
                                    job->scratch, job->stream, job->bound,
                                    &job->coded),
                     API_OK);
    uint8_t *bytes = malloc(job->coded);
    memcpy(bytes, job->stream, job->coded);
    ck_assert_int_eq(nn_rans_decode(job->prior, bytes, job->coded, job->grid,
                                    job->scratch, job->got),
                     API_OK);
    for (size_t i = 0; i < job->count; i++)
        ck_assert_msg(job->got[i] == job->values[i], "value %zu: %g, not %g", i,
                      (double)job->got[i], (double)job->values[i]);
    free(bytes);
}

static void check_tables(struct job *job)
{
    double bits;
    struct nn_prior *flat = flatten(job, &bits);
    struct nn_rans_grid one = {1, 1};
    void *scratch = malloc(nn_rans_scratch_bytes(one, flat->channels));
    uint8_t *stream = malloc(job->bound);
    size_t coded;
    ck_assert_int_eq(nn_rans_encode(flat, job->values, one, scratch, stream,
                                    job->bound, &coded),
                     API_OK);
    ck_assert_uint_eq(coded, job->coded);
    ck_assert_mem_eq(stream, job->stream, coded);
    /* Whole bytes leave a state that grew from 2^23 to below 2^31, and a step
     * loses at most 2^16 / 2^23 of that state. */
    ck_assert_double_ge((double)coded, bits / 8 + 2.99);
    ck_assert_double_le((double)coded, bits / 8 * 1.005 + 4.01);
    free(stream);
    free(scratch);
    random_prior_free(&flat);
}

static void fill(struct job *job, uint64_t *seed)
{
    uint32_t kind = dice_below(seed, 4);
    for (size_t i = 0; i < job->count; i++) {
        int32_t wide = (int32_t)dice_below(seed, 2 * LIMIT + 1) - LIMIT;
        int32_t small = (int32_t)dice_below(seed, 11) - 5;
        bool rare = dice_below(seed, 8) == 0;
        int32_t symbol = kind == 0   ? small
                         : kind == 1 ? (rare ? small : 0)
                         : kind == 2 ? (rare ? wide : small)
                                     : wide;
        job->values[i] = (float)symbol;
    }
}

START_TEST(random_latents_use_the_documented_tables)
{
    uint64_t seed = 41;
    for (int round = 0; round < 300; round++) {
        struct job job =
            open_job(1 + dice_below(&seed, 6), 1 + dice_below(&seed, 6),
                     1 + dice_below(&seed, round % 4 ? 7 : 40),
                     1 + dice_below(&seed, 9), dice(&seed));
        for (int again = 0; again < 3; again++) {
            fill(&job, &seed);
            check_job(&job);
            check_tables(&job);
        }
        close_job(&job);
    }
}
END_TEST

/* Sums as large as they get, of either sign, at limits that are as large. */
START_TEST(the_largest_sums_do_not_overflow)
{
    struct job job = open_job(3, 3, 512, 2, 43);
    int8_t *weights = job.prior->context_weight;
    for (int sign = 0; sign < 2; sign++) {
        memset(weights, sign ? -128 : 127, (size_t)3 * 512 * 512);
        for (size_t from = 0; from < 512; from++)
            memset(weights + (2 * 512 + from) * 512, 0, from + 1);
        for (size_t i = 0; i < job.count; i++)
            job.values[i] = i % 3 ? LIMIT : (float)(sign ? LIMIT : 8);
        for (uint32_t c = 0; c < 512; c++)
            job.prior->context_limit[c] = (sign ? -128 : 127) * 7 * 512 * 2;
        check_job(&job);
        check_tables(&job);
    }
    close_job(&job);
}
END_TEST

START_TEST(a_row_does_not_see_the_end_of_the_last_one)
{
    /* Two rows of two: the left neighbour of the second row's first position
     * is nothing, not the first row's last. */
    struct job job = open_job(2, 2, 1, 2, 47);
    int8_t *weights = job.prior->context_weight;
    weights[0] = 1, weights[1] = 0, weights[2] = 0;
    job.prior->context_limit[0] = 1;
    static const float rows[4] = {0, 5, 0, 0};
    memcpy(job.values, rows, sizeof rows);
    ck_assert_uint_eq(documented_table(&job, 0, 1, 0), 0);
    ck_assert_uint_eq(documented_table(&job, 1, 0, 0), 0);
    check_job(&job);
    check_tables(&job);
    close_job(&job);
}
END_TEST

START_TEST(damaged_streams_do_no_harm)
{
    uint64_t seed = 53;
    struct job job = open_job(5, 4, 3, 6, 59);
    fill(&job, &seed);
    check_job(&job);
    for (size_t cut = 0; cut < job.coded; cut++) {
        uint8_t *bytes = malloc(cut ? cut : 1);
        memcpy(bytes, job.stream, cut);
        ck_assert_int_eq(nn_rans_decode(job.prior, bytes, cut, job.grid,
                                        job.scratch, job.got),
                         API_UNPROCESSABLE);
        free(bytes);
    }
    uint8_t *bytes = malloc(job.coded);
    for (int round = 0; round < 5000; round++) {
        memcpy(bytes, job.stream, job.coded);
        for (uint32_t edits = 1 + dice_below(&seed, 3); edits > 0; edits--)
            bytes[dice_below(&seed, (uint32_t)job.coded)] =
                (uint8_t)dice(&seed);
        enum api_status status = nn_rans_decode(job.prior, bytes, job.coded,
                                                job.grid, job.scratch, job.got);
        ck_assert(status == API_OK || status == API_UNPROCESSABLE);
    }
    free(bytes);
    close_job(&job);
}
END_TEST

Suite *make_suite(void)
{
    TCase *cases = tcase_create("rans_context");
    tcase_set_timeout(cases, 120);
    tcase_add_test(cases, random_latents_use_the_documented_tables);
    tcase_add_test(cases, the_largest_sums_do_not_overflow);
    tcase_add_test(cases, a_row_does_not_see_the_end_of_the_last_one);
    tcase_add_test(cases, damaged_streams_do_no_harm);
    Suite *suite = suite_create("rans_context");
    suite_add_tcase(suite, cases);
    return suite;
}

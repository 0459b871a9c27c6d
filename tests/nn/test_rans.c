/* The entropy coder: exact round trips, the stream's bytes, hostile streams. */
#include <check.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "nn/rans.h"
#include "tests/nn/dice.h"
#include "tests/run_suite.h"

enum { CHANNELS = 6, POSITIONS = 50, COUNT = CHANNELS * POSITIONS };

/* Channels from "only the escape" to "one symbol has nearly everything". */
struct tables {
    struct nn_prior prior;
    float gain[CHANNELS], inverse_gain[CHANNELS];
    int32_t symbol_min[CHANNELS];
    uint32_t cdf_start[CHANNELS + 1], cdf[400], reciprocal[400];
    uint16_t bucket[CHANNELS * NN_BUCKETS];
};

static void add_channel(struct tables *tables, const uint32_t *frequencies,
                        uint32_t intervals, int32_t symbol_min, float gain)
{
    uint32_t c = tables->prior.channels++;
    uint32_t at = tables->cdf_start[c];
    uint32_t *cdf = tables->cdf + at;
    cdf[0] = 0;
    for (uint32_t i = 0; i < intervals; i++)
        cdf[i + 1] = cdf[i] + frequencies[i];
    ck_assert_uint_eq(cdf[intervals], 65536);
    tables->cdf_start[c + 1] = at + intervals + 1;
    tables->symbol_min[c] = symbol_min;
    tables->gain[c] = gain;
    tables->inverse_gain[c] = 1.0f / gain;
}

static struct tables *make_tables(void)
{
    struct tables *tables = calloc(1, sizeof *tables);
    uint32_t ramp[101];
    ramp[100] = 65536;
    for (uint32_t i = 0; i < 100; i++) {
        ramp[i] = 1 + 13 * i;
        ramp[100] -= ramp[i];
    }
    add_channel(tables, (uint32_t[]){65536}, 1, 0, 1.0f);
    add_channel(tables, (uint32_t[]){65535, 1}, 2, 0, 1.0f);
    add_channel(tables, (uint32_t[]){1, 65534, 1}, 3, -1, 7.5f);
    add_channel(tables, ramp, 101, -50, 3.0f);
    add_channel(tables, (uint32_t[]){1, 1, 1, 65533}, 4, 1 << 20, 1e-3f);
    add_channel(tables, (uint32_t[]){32768, 32768}, 2, -(1 << 20), 1e9f);
    tables->prior.name = "test";
    tables->prior.contexts = 1;
    tables->prior.gain = tables->gain;
    tables->prior.inverse_gain = tables->inverse_gain;
    tables->prior.symbol_min = tables->symbol_min;
    tables->prior.cdf_start = tables->cdf_start;
    tables->prior.cdf = tables->cdf;
    tables->prior.reciprocal = tables->reciprocal;
    tables->prior.bucket = tables->bucket;
    nn_rans_prepare(&tables->prior);
    return tables;
}

/* With scratch as long as the contract says, so that sanitizers check it. */
static enum api_status encode(const struct nn_prior *prior, const float *values,
                              size_t positions, uint8_t *out, size_t capacity,
                              size_t *coded)
{
    const struct nn_rans_grid grid = {1, positions};
    void *scratch = malloc(nn_rans_scratch_bytes(grid, prior->channels));
    enum api_status status =
        nn_rans_encode(prior, values, grid, scratch, out, capacity, coded);
    free(scratch);
    return status;
}

static enum api_status decode(const struct nn_prior *prior,
                              const uint8_t *bytes, size_t count,
                              size_t positions, float *values)
{
    const struct nn_rans_grid grid = {1, positions};
    void *scratch = malloc(nn_rans_scratch_bytes(grid, prior->channels));
    enum api_status status =
        nn_rans_decode(prior, bytes, count, grid, scratch, values);
    free(scratch);
    return status;
}

/* What docs/WIRE.md says a value comes back as. */
static float restored(const struct nn_prior *prior, uint32_t c, float value)
{
    float q = nearbyintf(value * prior->gain[c]);
    q = fminf(fmaxf(q, -1048576.0f), 1048576.0f);
    return q * prior->inverse_gain[c];
}

static size_t check_round_trip(const struct nn_prior *prior,
                               const float *values)
{
    size_t bound = NN_RANS_BOUND((size_t)COUNT), coded = 0;
    uint8_t *room = malloc(bound);
    ck_assert_int_eq(encode(prior, values, POSITIONS, room, bound, &coded),
                     API_OK);
    /* Exactly as long as the stream: a read past it is seen. */
    uint8_t *stream = malloc(coded);
    memcpy(stream, room, coded);
    float *got = malloc(COUNT * sizeof *got);
    ck_assert_int_eq(decode(prior, stream, coded, POSITIONS, got), API_OK);
    for (uint32_t i = 0; i < COUNT; i++) {
        float want = restored(prior, i % CHANNELS, values[i]);
        ck_assert_msg(got[i] == want, "value %u: %g became %g, not %g", i,
                      (double)values[i], (double)got[i], (double)want);
    }
    /* One byte less of room must be noticed, not overrun. */
    size_t untouched = 77;
    uint8_t *tight = malloc(coded - 1);
    ck_assert_int_eq(
        encode(prior, values, POSITIONS, tight, coded - 1, &untouched),
        API_TOO_LARGE);
    ck_assert_uint_eq(untouched, 77);
    free(tight);
    free(got);
    free(stream);
    free(room);
    return coded;
}

START_TEST(extreme_tensors_come_back)
{
    static const float extremes[] = {
        0.0f,    -0.0f,    1.0f,       -1.0f,  FLT_MAX, -FLT_MAX,
        FLT_MIN, 1e-45f,   -1e-45f,    0.5f,   -0.5f,   1.5f,
        1048576, -1048576, 1048576.5f, 1.1e9f, 2.5f,    -2.5f,
    };
    enum { KINDS = sizeof extremes / sizeof *extremes };
    struct tables *tables = make_tables();
    float values[COUNT];
    for (int kind = 0; kind < KINDS; kind++) {
        for (int i = 0; i < COUNT; i++)
            values[i] = extremes[kind];
        check_round_trip(&tables->prior, values);
        for (int i = 0; i < COUNT; i++)
            values[i] = i % 2 ? extremes[kind] : 0.0f;
        check_round_trip(&tables->prior, values);
        for (int i = 0; i < COUNT; i++)
            values[i] = extremes[(i / CHANNELS + kind) % KINDS];
        check_round_trip(&tables->prior, values);
    }
    free(tables);
}
END_TEST

START_TEST(random_tensors_come_back)
{
    struct tables *tables = make_tables();
    float values[COUNT];
    uint64_t seed = 11;
    for (int round = 0; round < 300; round++) {
        float spread = powf(10.0f, (float)dice_below(&seed, 14) - 5.0f);
        for (int i = 0; i < COUNT; i++) {
            float unit = (float)dice_below(&seed, 2000001) / 1e6f - 1.0f;
            values[i] = unit * unit * unit * spread;
        }
        check_round_trip(&tables->prior, values);
    }
    free(tables);
}
END_TEST

/* Integers over the whole range, so that every length of escape occurs. */
START_TEST(every_escape_length_comes_back)
{
    struct tables *tables = make_tables();
    float values[COUNT] = {0};
    for (uint32_t bit = 0; bit <= 20; bit++) {
        for (int near = -2; near <= 2; near++) {
            float size = (float)((1 << bit) + near);
            for (int i = 0; i < COUNT; i++)
                values[i] = (i / CHANNELS % 2 ? size : -size) *
                            tables->inverse_gain[i % CHANNELS];
            check_round_trip(&tables->prior, values);
        }
    }
    free(tables);
}
END_TEST

START_TEST(probable_symbols_cost_little)
{
    struct tables *tables = make_tables();
    struct nn_prior one = tables->prior;
    /* The second channel alone, whose symbol 0 has 65535 of 65536. */
    uint32_t start[2] = {0, 3};
    one.channels = 1;
    one.gain++;
    one.inverse_gain++;
    one.symbol_min++;
    one.cdf += tables->cdf_start[1];
    one.cdf_start = start;
    one.reciprocal += tables->cdf_start[1];
    one.bucket += NN_BUCKETS;
    float zeros[4096] = {0};
    uint8_t stream[64];
    size_t coded;
    ck_assert_int_eq(encode(&one, zeros, 4096, stream, sizeof stream, &coded),
                     API_OK);
    ck_assert_uint_le(coded, 6);
    free(tables);
}
END_TEST

/* Every frequency, as the first of two, and states that just fit it. */
START_TEST(every_frequency_divides_exactly)
{
    float gain = 1, inverse = 1, values[40], got[40];
    int32_t symbol_min = 0;
    uint32_t start[2] = {0, 4}, cdf[4] = {0, 0, 65535, 65536};
    uint32_t reciprocal[4];
    uint16_t bucket[NN_BUCKETS];
    struct nn_prior prior = {.name = "all",
                             .channels = 1,
                             .contexts = 1,
                             .gain = &gain,
                             .inverse_gain = &inverse,
                             .symbol_min = &symbol_min,
                             .cdf_start = start,
                             .cdf = cdf,
                             .reciprocal = reciprocal,
                             .bucket = bucket};
    uint8_t stream[400];
    uint64_t seed = 61;
    for (cdf[1] = 1; cdf[1] < 65535; cdf[1]++) {
        size_t coded;
        nn_rans_prepare(&prior);
        for (int i = 0; i < 40; i++)
            values[i] = (float)(dice(&seed) & 1);
        ck_assert_int_eq(
            encode(&prior, values, 40, stream, sizeof stream, &coded), API_OK);
        ck_assert_int_eq(decode(&prior, stream, coded, 40, got), API_OK);
        ck_assert_mem_eq(got, values, sizeof values);
    }
}
END_TEST

/* The bytes of docs/WIRE.md, worked out by hand for symbols of 32768, 32767
 * and, for the escape, 1. */
START_TEST(the_stream_is_the_documented_one)
{
    float gain = 1, inverse = 1;
    int32_t symbol_min = 0;
    uint32_t start[2] = {0, 4}, cdf[4] = {0, 32768, 65535, 65536};
    uint32_t reciprocal[4];
    uint16_t bucket[NN_BUCKETS];
    struct nn_prior prior = {.name = "hand",
                             .channels = 1,
                             .contexts = 1,
                             .gain = &gain,
                             .inverse_gain = &inverse,
                             .symbol_min = &symbol_min,
                             .cdf_start = start,
                             .cdf = cdf,
                             .reciprocal = reciprocal,
                             .bucket = bucket};
    nn_rans_prepare(&prior);
    float values[3] = {0, 0, 0}, got[3];
    uint8_t stream[16];
    size_t coded;
    ck_assert_int_eq(encode(&prior, values, 3, stream, 16, &coded), API_OK);
    /* Three symbols of one half: the state doubles each time, to 2^26. */
    ck_assert_uint_eq(coded, 4);
    ck_assert_mem_eq(stream, ((uint8_t[]){0, 0, 0, 4}), 4);
    ck_assert_int_eq(decode(&prior, stream, 4, 3, got), API_OK);
    /* 2 is the first value past the regular ones, u = 0: its zero bit takes
     * the state to 2^24. The escape, frequency 1 at 65535, wants a state
     * below 2^15: bytes 00 and 00 leave, 2^8 stays and becomes
     * 2^24 + 65535. */
    values[0] = 2;
    ck_assert_int_eq(encode(&prior, values, 1, stream, 16, &coded), API_OK);
    ck_assert_uint_eq(coded, 6);
    ck_assert_mem_eq(stream, ((uint8_t[]){0xFF, 0xFF, 0, 1, 0, 0}), 6);
    ck_assert_int_eq(decode(&prior, stream, 6, 1, got), API_OK);
    ck_assert_float_eq(got[0], 2);
}
END_TEST

static void fill(float *values, uint64_t seed)
{
    for (int i = 0; i < COUNT; i++)
        values[i] = (float)dice_below(&seed, 200) / 10.0f - 10.0f;
}

START_TEST(damaged_streams_do_no_harm)
{
    struct tables *tables = make_tables();
    float values[COUNT], got[COUNT];
    fill(values, 5);
    size_t coded, bound = NN_RANS_BOUND((size_t)COUNT);
    uint8_t *stream = malloc(bound);
    ck_assert_int_eq(
        encode(&tables->prior, values, POSITIONS, stream, bound, &coded),
        API_OK);
    for (size_t cut = 0; cut < coded; cut++) {
        uint8_t *bytes = malloc(cut ? cut : 1);
        memcpy(bytes, stream, cut);
        ck_assert_int_eq(decode(&tables->prior, bytes, cut, POSITIONS, got),
                         API_UNPROCESSABLE);
        free(bytes);
    }
    uint8_t *bytes = malloc(coded + 1);
    memcpy(bytes, stream, coded);
    bytes[coded] = 0;
    ck_assert_int_eq(decode(&tables->prior, bytes, coded + 1, POSITIONS, got),
                     API_UNPROCESSABLE);
    free(bytes);

    /* The checksum is the frame's. Here: an answer, whatever the bytes. */
    bytes = malloc(coded);
    uint64_t seed = 9;
    for (size_t at = 0; at < coded; at++) {
        memcpy(bytes, stream, coded);
        bytes[at] ^= (uint8_t)(1 + dice_below(&seed, 255));
        enum api_status status =
            decode(&tables->prior, bytes, coded, POSITIONS, got);
        ck_assert(status == API_OK || status == API_UNPROCESSABLE);
    }
    for (int round = 0; round < 3000; round++) {
        size_t count = dice_below(&seed, (uint32_t)coded) + 1;
        uint8_t *noise = malloc(count);
        for (size_t i = 0; i < count; i++)
            noise[i] = (uint8_t)(round % 3 == 0   ? dice(&seed)
                                 : round % 3 == 1 ? 0xFF
                                                  : 0);
        if (count > 3)
            noise[3] = (uint8_t)dice(&seed) & 0x7F;
        enum api_status status =
            decode(&tables->prior, noise, count, POSITIONS, got);
        ck_assert(status == API_OK || status == API_UNPROCESSABLE);
        free(noise);
    }
    free(bytes);
    free(stream);
    free(tables);
}
END_TEST

/* Stream 2^23 with nothing else decodes to no symbols, and only to those. */
START_TEST(the_empty_tensor_is_four_bytes)
{
    struct tables *tables = make_tables();
    uint8_t stream[5] = {0};
    size_t coded;
    ck_assert_int_eq(encode(&tables->prior, NULL, 0, stream, 5, &coded),
                     API_OK);
    ck_assert_uint_eq(coded, 4);
    ck_assert_int_eq(decode(&tables->prior, stream, 4, 0, NULL), API_OK);
    stream[3] = 0x80;
    ck_assert_int_eq(decode(&tables->prior, stream, 4, 0, NULL),
                     API_UNPROCESSABLE);
    free(tables);
}
END_TEST

Suite *make_suite(void)
{
    TCase *cases = tcase_create("rans");
    tcase_set_timeout(cases, 120);
    tcase_add_test(cases, extreme_tensors_come_back);
    tcase_add_test(cases, random_tensors_come_back);
    tcase_add_test(cases, every_escape_length_comes_back);
    tcase_add_test(cases, probable_symbols_cost_little);
    tcase_add_test(cases, every_frequency_divides_exactly);
    tcase_add_test(cases, the_stream_is_the_documented_one);
    tcase_add_test(cases, damaged_streams_do_no_harm);
    tcase_add_test(cases, the_empty_tensor_is_four_bytes);
    Suite *suite = suite_create("rans");
    suite_add_tcase(suite, cases);
    return suite;
}

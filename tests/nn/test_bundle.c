/* Bundles: what a good one holds, and that each broken rule is refused. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "nn/bundle.h"
#include "tests/nn/dice.h"
#include "tests/nn/mutant.h"
#include "tests/run_suite.h"

#define TINY CLEAVE_SOURCE_DIR "/tests/data/tiny.safetensors"

static enum api_status parse_mutant(const struct mutant *mutant,
                                    struct api_error *error)
{
    size_t count;
    uint8_t *bytes = mutant_write(mutant, &count);
    struct nn_bundle *bundle = NULL;
    enum api_status status = nn_bundle_parse(bytes, count, &bundle, error);
    ck_assert((status == API_OK) == (bundle != NULL));
    nn_bundle_close(&bundle);
    free(bytes);
    return status;
}

START_TEST(tiny_opens_with_its_facts)
{
    struct nn_bundle *bundle = NULL;
    struct api_error error = {0};
    ck_assert_msg(nn_bundle_open(TINY, &bundle, &error) == API_OK, "%s",
                  error.text);
    ck_assert_str_eq(bundle->name, "tiny");
    ck_assert_uint_eq(bundle->input.width, 32);
    ck_assert_uint_eq(bundle->input.resize_shorter, 36);
    ck_assert(!bundle->input.bicubic);
    ck_assert_float_eq(bundle->input.mean[2], 130.0f);
    ck_assert_uint_eq(bundle->label_count, 10);
    ck_assert_str_eq(bundle->labels[9], "class 9");
    ck_assert_uint_eq(bundle->prior_count, 4);
    ck_assert_uint_eq(bundle->point_count, 7);
    const struct nn_bundle_point *point = &bundle->points[1];
    ck_assert_str_eq(point->info.id, "w50-low");
    ck_assert_int_eq(point->info.kind, API_POINT_SPLIT);
    ck_assert_int_eq(point->info.codec, API_CODEC_RANS);
    ck_assert_double_eq(point->info.width, 0.5);
    ck_assert_uint_eq(point->info.latent_channels, 4);
    ck_assert_double_lt(point->info.top1, 0); /* never measured */
    ck_assert_ptr_nonnull(point->prior);
    ck_assert_uint_eq(point->prior->channels, 4);
    /* A narrower width is a prefix of the one shared weight. */
    const struct nn_node *narrow = &point->head->nodes[0];
    const struct nn_node *wide = &bundle->points[3].head->nodes[0];
    ck_assert_ptr_eq(narrow->weight, wide->weight);
    ck_assert_uint_eq(narrow->out.to, 6);
    ck_assert_uint_eq(wide->out.to, 12);
    nn_bundle_close(&bundle);
    ck_assert_ptr_null(bundle);
    nn_bundle_close(&bundle);
}
END_TEST

/* A point that sends pictures again encoded. */
#define SECOND_OFFLOAD(graph, quality)                                         \
    "{\"id\": \"again\", \"kind\": \"offload\", \"graph\": \"" graph           \
    "\", \"quality\": " quality "}"

/* What lies behind a head. */
#define EXIT(graph, threshold, share)                                          \
    "{\"graph\": \"" graph "\", \"threshold\": " threshold                     \
    ", \"share\": " share "}"

/* One edit a row, and words of the refusal that it must bring. */
static const struct {
    const char *path, *text, *reason;
} broken[] = {
    /* The safetensors header */
    {"header|__metadata__", NULL, "not a Cleave bundle"},
    {"header|__metadata__|extra", "3", "metadata that is not text"},
    {"header|__metadata__|format", "\"pt\"", "not a Cleave bundle"},
    {"header|__metadata__|cleave", NULL, "not a Cleave bundle"},
    {"header|__metadata__|cleave", "\"[1,\"", "invalid JSON"},
    {"header|__metadata__|cleave", "\"[1]\"", "bundle format"},
    {"header|fc|dtype", "\"F64\"", "element type unknown"},
    {"header|fc|dtype", NULL, "element type unknown"},
    {"header|fc|shape", "7", "shape is no list"},
    {"header|fc|shape", "[1,1,10,4,4]", "shape is no list"},
    {"header|fc|shape", "[0,16]", "side outside"},
    {"header|fc|shape", "[-10,16]", "side outside"},
    {"header|fc|shape", "[10.0,16]", "side outside"},
    {"header|fc|shape", "[65536,65536,65536,65536]", "larger than the file"},
    {"header|fc|shape", "[10,15]", "do not fit its shape"},
    {"header|fc|data_offsets", NULL, "offsets outside"},
    {"header|fc|data_offsets", "[8896,8736]", "offsets outside"},
    {"header|fc|data_offsets", "[8736,9223372036854775807]", "offsets outside"},
    {"header|fc|data_offsets", "[8735,8895]", "gap or overlap"},
    {"header|fc|data_offsets", "[0,160]", "gap or overlap"},
    {"header|fc", NULL, "gap or overlap"},
    {"header|a b", "{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0,1]}",
     "bad name"},
    /* The document: what the model says of itself */
    {"document|format", "2", "bundle format"},
    {"document|format", "\"1\"", "bundle format"},
    {"document|name", "\"\"", "name is not"},
    {"document|name", "\"a/b\"", "name is not"},
    {"document|version", "7", "version is not"},
    {"document|version",
     "\"0123456789012345678901234567890123456789012345678901234567890123\"",
     "version is not"},
    {"document|fingerprint", "\"d02628292d828cf\"", "fingerprint"},
    {"document|fingerprint", "\"d02628292d828cg5\"", "fingerprint"},
    {"document|input|width", "0", "width or height"},
    {"document|input|height", "4096", "width or height"},
    {"document|input|resize_shorter", "31", "resize_shorter"},
    {"document|input|filter", "\"nearest\"", "filter"},
    {"document|input|mean", "[1,2]", "mean or scale"},
    {"document|input|scale", "[1,0,1]", "mean or scale"},
    {"document|input", "[]", "width or height"},
    {"document|labels", "[]", "labels are no list"},
    {"document|labels|3", "\"\"", "label 3"},
    {"document|labels|3", "\"a\\nb\"", "label 3"},
    {"document|labels|3", "4", "label 3"},
    /* Graphs */
    {"document|graphs", "[]", "graphs are no object"},
    {"document|graphs|a b", "{}", "bad name"},
    {"document|graphs|full|input", "[32,32]", "input is not"},
    {"document|graphs|full|input", "[32,32,0]", "side of input"},
    {"document|graphs|full|nodes", "[]", "nodes are no list"},
    {"document|graphs|full|nodes", "{}", "nodes are no list"},
    {"document|graphs|head/w50|nodes|0", "7", "op unknown"},
    {"document|graphs|head/w50|nodes|0|op", "\"gemm\"", "op unknown"},
    {"document|graphs|head/w50|nodes|1|dilation", "[2,2]", "does not have"},
    {"document|graphs|head/w50|nodes|1|groups", "2", "does not have"},
    {"document|graphs|head/w50|nodes|0|dilation", "[0,1]", "dilation"},
    {"document|graphs|head/w50|nodes|0|dilation", "[1,256]", "dilation"},
    {"document|graphs|head/w50|nodes|0|groups", "0", "groups"},
    {"document|graphs|head/w50|nodes|0|groups", "65537", "groups"},
    {"document|graphs|head/w50|nodes|0|groups", "[1]", "groups"},
    {"document|graphs|head/w50|nodes|0|limits", "[0,1]", "clip alone"},
    {"document|graphs|head/w50|nodes|0|slope", "0.1", "leaky_relu alone"},
    {"document|graphs|head/w50|nodes|0|act", "\"clip\"", "limits"},
    {"document|graphs|head/w50|nodes|0|act", "\"leaky_relu\"", "slope"},
    {"document|graphs|ops|nodes|4",
     "{\"op\":\"act\",\"in\":[4],\"act\":\"clip\",\"limits\":[1,0]}", "order"},
    {"document|graphs|ops|nodes|4",
     "{\"op\":\"act\",\"in\":[4],\"act\":\"clip\",\"limits\":[0,1e39]}",
     "limits"},
    {"document|graphs|ops|nodes|4",
     "{\"op\":\"act\",\"in\":[4],\"act\":\"leaky_relu\",\"slope\":1e4}",
     "slope"},
    {"document|graphs|ops|nodes|4", "{\"op\":\"layer_norm\",\"in\":[4]}",
     "epsilon"},
    {"document|graphs|ops|nodes|4",
     "{\"op\":\"layer_norm\",\"in\":[4],\"epsilon\":0}", "epsilon"},
    {"document|graphs|ops|nodes|4", "{\"op\":\"concat\",\"in\":[4]}",
     "number of inputs"},
    {"document|graphs|ops|nodes|4", "{\"op\":\"resize\",\"in\":[4]}",
     "size is not"},
    {"document|graphs|ops|nodes|4",
     "{\"op\":\"resize\",\"in\":[4],\"size\":[1,0]}", "size out of"},
    {"document|graphs|ops|nodes|4",
     "{\"op\":\"resize\",\"in\":[4],\"size\":[1,65537]}", "size out of"},
    {"document|graphs|ops|nodes|4",
     "{\"op\":\"resize\",\"in\":[4],\"size\":[1,1],\"filter\":\"cubic\"}",
     "filter"},
    {"document|graphs|ops|nodes|4",
     "{\"op\":\"resize\",\"in\":[4],\"size\":[1,1],\"coordinates\":\"half\"}",
     "coordinates"},
    {"document|graphs|ops|nodes|4", "{\"op\":\"depth_to_space\",\"in\":[4]}",
     "block"},
    {"document|graphs|ops|nodes|4",
     "{\"op\":\"depth_to_space\",\"in\":[4],\"block\":256}", "block"},
    {"document|graphs|ops|nodes|4",
     "{\"op\":\"depth_to_space\",\"in\":[4],\"block\":1,\"order\":\"rdc\"}",
     "order"},
    {"document|graphs|head/w50|nodes|2|pad", "[0,0,0,0]", "does not have"},
    {"document|graphs|head/w50|nodes|0|in", "0", "number of inputs"},
    {"document|graphs|head/w50|nodes|2|in", "[1]", "number of inputs"},
    {"document|graphs|head/w50|nodes|0|in", "[1]", "no earlier value"},
    {"document|graphs|head/w50|nodes|0|in", "[-1]", "no earlier value"},
    {"document|graphs|head/w50|nodes|2|in", "[1,3]", "no earlier value"},
    {"document|graphs|head/w50|nodes|0|weight", "\"absent\"", "no tensor"},
    {"document|graphs|head/w50|nodes|0|weight", NULL, "no tensor"},
    {"document|graphs|head/w50|nodes|0|weight", "\"fc\"", "wrong rank"},
    {"document|graphs|head/w50|nodes|1|weight", "\"stem\"", "wrong rank"},
    {"document|graphs|head/w50|nodes|0|out", "[0,13]", "out outside"},
    {"document|graphs|head/w50|nodes|0|out", "[6,6]", "out outside"},
    {"document|graphs|head/w50|nodes|0|inch", "[0,4]", "inch outside"},
    {"document|graphs|head/w50|nodes|0|inch", "[3,3]", "inch outside"},
    {"document|graphs|head/w50|nodes|1|channels", "[0,13]", "channels outsi"},
    {"document|graphs|head/w50|nodes|0|out", "[0,7]", "does not fit"},
    {"document|graphs|head/w50|nodes|0|bias", "\"w100.stem.bias\"",
     "does not fit"},
    {"document|graphs|head/w50|nodes|0|bias", "\"absent\"", "no tensor"},
    {"document|graphs|head/w50|nodes|0|scale", "\"stem\"", "no list of F32"},
    {"document|graphs|head/w50|nodes|0|stride", "[0,1]", "stride"},
    {"document|graphs|head/w50|nodes|0|stride", "[1,256]", "stride"},
    {"document|graphs|head/w50|nodes|0|stride", "[1]", "stride"},
    {"document|graphs|head/w50|nodes|0|pad", "[0,255,0,0]", "pad"},
    {"document|graphs|head/w50|nodes|0|act", "\"mish\"", "act unknown"},
    {"document|graphs|ops|nodes|5|kernel", NULL, "kernel"},
    {"document|graphs|ops|nodes|5|kernel", "[0,1]", "kernel"},
    {"document|graphs|ops|nodes|3|bias", NULL, "no bias"},
    {"document|graphs|ops|nodes|3|scale", NULL, "no scale"},
    {"document|graphs|ops|nodes|3|bias", "\"ops.conv5.bias\"", "does not fit"},
    /* Priors */
    {"document|priors", "7", "priors are no object"},
    {"document|priors|w50-low|gain", NULL, "missing or no list"},
    {"document|priors|w50-low|gain", "\"prior.w50-low.cdf\"",
     "missing or no list"},
    {"document|priors|w50-low|symbol_min", "\"prior.w100-low.symbol_min\"",
     "do not agree"},
    {"document|priors|w50-low|cdf_start", "\"prior.w100-low.cdf_start\"",
     "do not agree"},
    {"document|priors|w50-low|cdf", "\"prior.w50-high.cdf\"", "does not span"},
    /* Points */
    {"document|points", "[]", "points are no list"},
    {"document|points|0|quality", "50", "quality without an offload point"},
    {"document|points|+", SECOND_OFFLOAD("full", "0"), "quality outside"},
    {"document|points|+", SECOND_OFFLOAD("full", "101"), "quality outside"},
    {"document|points|+", SECOND_OFFLOAD("full", "\"50\""), "quality outside"},
    {"document|points|+", SECOND_OFFLOAD("ops", "50"), "another shape"},
    {"document|points|+", SECOND_OFFLOAD("absent", "50"), "first offload's"},
    {"document|points|1|id", "\"offload\"", "used twice"},
    {"document|points|1|id", "\"a b\"", "id is not"},
    {"document|points|1|id", NULL, "id is not"},
    {"document|points|1|kind", "\"other\"", "kind unknown"},
    {"document|points|1|width", "0", "width outside"},
    {"document|points|1|width", "1.5", "width outside"},
    {"document|points|1|rate", "\"0123456789abcdef\"", "rate is not"},
    {"document|points|1|ensemble", "0", "ensemble"},
    {"document|points|1|codec", "\"none\"", "codec unknown"},
    {"document|points|1|codec", "\"zip\"", "codec unknown"},
    {"document|points|1|latent", "[8,8]", "latent"},
    {"document|points|1|latent", "[0,8,4]", "latent"},
    {"document|points|1|latent", "[65535,65535,4]", "latent"},
    {"document|points|1|latent", "[8,8,8]", "another shape"},
    {"document|points|1|head", "\"ops\"", "another shape"},
    {"document|points|1|head", NULL, "names no graph"},
    {"document|points|0|graph", "\"ops\"", "another shape"},
    {"document|points|1|prior", NULL, "without a prior"},
    {"document|points|1|prior", "\"absent\"", "prior is missing"},
    {"document|points|1|prior", "\"w100-low\"", "number of channels"},
    {"document|points|1|exit", "7", "threshold outside"},
    {"document|points|1|exit", EXIT("tail/w50", "0", "0.4"), "threshold"},
    {"document|points|1|exit", EXIT("tail/w50", "1.01", "0.4"), "threshold"},
    {"document|points|1|exit", EXIT("tail/w50", "\"1\"", "0.4"), "threshold"},
    {"document|points|1|exit", EXIT("tail/w50", "0.8", "-0.1"), "share"},
    {"document|points|1|exit", EXIT("tail/w50", "0.8", "1.1"), "share"},
    {"document|points|1|exit", EXIT("tail/w50", "0.8", "null"), "share"},
    {"document|points|1|exit", EXIT("head/w50", "0.8", "0.4"), "another shape"},
    {"document|points|1|exit", EXIT("absent", "0.8", "0.4"), "exit is missing"},
    {"document|points|1|exit", "{\"threshold\": 0.8}", "names no graph"},
    {"document|points|1|head_macs", "-1", "MACs"},
    {"document|points|1|pictures", "1.5", "pictures"},
    {"document|points|1|bytes_mean", "-2", "bytes"},
    {"document|points|1|top1", "1.01", "accuracy"},
};

START_TEST(each_rule_is_kept)
{
    struct mutant *mutant = mutant_open();
    struct api_error error = {0};
    mutant_edit(mutant, broken[_i].path, broken[_i].text);
    enum api_status status = parse_mutant(mutant, &error);
    ck_assert_msg(status == API_BAD_BUNDLE, "%s = %s was taken",
                  broken[_i].path, broken[_i].text ? broken[_i].text : "-");
    ck_assert_int_eq(error.status, API_BAD_BUNDLE);
    ck_assert_msg(strstr(error.text, broken[_i].reason) != NULL, "%s: %s",
                  broken[_i].path, error.text);
    mutant_close(mutant);
}
END_TEST

/* What is optional may go, and what is unknown may come. */
static const struct {
    const char *path, *text;
} harmless[] = {
    {"document|provenance", NULL},
    {"document|news", "{\"deep\":[[[1]]]}"},
    {"document|points|1|news", "true"},
    {"document|points|1|ensemble", NULL},
    {"document|points|1|head_macs", NULL},
    {"document|points|1|top1", "1"},
    {"document|points|1|exit", EXIT("tail/w50", "1", "0")},
    {"document|points|1|exit",
     "{\"graph\": \"tail/w50\", \"threshold\": 1e-6}"},
    {"document|points|+", SECOND_OFFLOAD("full", "50")},
    {"document|graphs|full", NULL},
    {"document|graphs|tail/w50", NULL},
    {"header|__metadata__|other", "\"text\""},
    {"document|graphs|head/w50|nodes|0|bias", NULL},
    {"document|graphs|head/w50|nodes|0|act", NULL},
    {"document|fingerprint", "\"D02628292D828CF5\""},
};

START_TEST(harmless_edits_are_taken)
{
    struct mutant *mutant = mutant_open();
    struct api_error error = {0};
    mutant_edit(mutant, harmless[_i].path, harmless[_i].text);
    ck_assert_msg(parse_mutant(mutant, &error) == API_OK, "%s: %s",
                  harmless[_i].path, error.text);
    mutant_close(mutant);
}
END_TEST

/* Wrong numbers in the tables themselves. */
static const struct {
    const char *tensor;
    size_t index;
    uint32_t bits;
    const char *reason;
} poked[] = {
    {"prior.w50-low.gain", 0, 0x7FC00000, "gain outside"}, /* NaN */
    {"prior.w50-low.gain", 1, 0x7F800000, "gain outside"}, /* infinity */
    {"prior.w50-low.gain", 2, 0x00000000, "gain outside"},
    {"prior.w50-low.gain", 3, 0xBF800000, "gain outside"}, /* -1 */
    {"prior.w50-low.gain", 0, 0x00000001, "gain outside"}, /* denormal */
    {"prior.w50-low.symbol_min", 0, 0x80000000, "symbol_min"},
    {"prior.w50-low.symbol_min", 0, 0x00100001, "symbol_min"},
    {"prior.w50-low.cdf", 0, 1, "does not rise"},
    {"prior.w50-low.cdf", 1, 0, "does not rise"},
    {"prior.w50-low.cdf", 1, 0xFFFFFFFF, "does not rise"},
    {"prior.w50-low.cdf", 52, 65535, "does not rise"},
    {"prior.w50-low.cdf_start", 0, 1, "does not span"},
    {"prior.w50-low.cdf_start", 4, 52, "does not span"},
    {"prior.w50-low.cdf_start", 1, 1, "does not rise by 2"},
    {"prior.w50-low.cdf_start", 1, 0xFFFFFFFF, "does not rise by 2"},
    {"prior.w50-low.cdf_start", 1, 1000000, "does not rise by 2"},
};

START_TEST(bad_tables_are_refused)
{
    struct mutant *mutant = mutant_open();
    struct api_error error = {0};
    mutant_poke(mutant, poked[_i].tensor, poked[_i].index, poked[_i].bits);
    ck_assert_int_eq(parse_mutant(mutant, &error), API_BAD_BUNDLE);
    ck_assert_msg(strstr(error.text, poked[_i].reason) != NULL, "%s",
                  error.text);
    mutant_close(mutant);
}
END_TEST

START_TEST(bytes_of_no_tensor_are_refused)
{
    struct mutant *mutant = mutant_open();
    struct api_error error = {0};
    mutant_grow(mutant, 1);
    ck_assert_int_eq(parse_mutant(mutant, &error), API_BAD_BUNDLE);
    ck_assert_ptr_nonnull(strstr(error.text, "after the last tensor"));
    mutant_close(mutant);
}
END_TEST

/* Text that no JSON writer would make: what comes before and around it. */
static enum api_status parse_header(uint64_t length, const char *header,
                                    size_t count, struct api_error *error)
{
    uint8_t *bytes = malloc(8 + count);
    for (int i = 0; i < 8; i++)
        bytes[i] = (uint8_t)(length >> 8 * i);
    memcpy(bytes + 8, header, count);
    struct nn_bundle *bundle = NULL;
    enum api_status status = nn_bundle_parse(bytes, 8 + count, &bundle, error);
    nn_bundle_close(&bundle);
    free(bytes);
    return status;
}

START_TEST(hostile_headers_are_refused)
{
    static const struct {
        uint64_t length;
        const char *header, *reason;
    } rows[] = {
        {0, "{}", "no JSON object"},
        {2, "[]", "no JSON object"},
        {3, "{}", "cut off"},
        {UINT64_MAX, "{}", "more than"},
        {UINT64_MAX - 7, "{}", "more than"},
        {2, "{}", "not a Cleave bundle"},
        {15, "{\"a\":1,\"a\":222}", "invalid JSON"},
        {9, "{\"a\":\"\xff\"}", "invalid JSON"},
        {13, "{\"a\":\"\\u0000\"}", "invalid JSON"},
        {9, "{\"a\":NaN}", "invalid JSON"},
        {4, "{} x", "invalid JSON"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct api_error error = {0};
        ck_assert_int_eq(parse_header(rows[i].length, rows[i].header,
                                      strlen(rows[i].header), &error),
                         API_BAD_BUNDLE);
        ck_assert_msg(strstr(error.text, rows[i].reason) != NULL, "row %zu: %s",
                      i, error.text);
    }
    struct api_error error = {0};
    struct nn_bundle *bundle = NULL;
    for (size_t count = 0; count < 8; count++)
        ck_assert_int_eq(nn_bundle_parse((const uint8_t *)"\2\0\0\0\0\0\0\0",
                                         count, &bundle, &error),
                         API_BAD_BUNDLE);
}
END_TEST

START_TEST(deep_nesting_is_refused)
{
    enum { DEPTH = 1 << 20 };
    char *header = malloc(DEPTH + 5);
    memcpy(header, "{\"a\":", 5);
    memset(header + 5, '[', DEPTH);
    struct api_error error = {0};
    ck_assert_int_eq(parse_header(DEPTH + 5, header, DEPTH + 5, &error),
                     API_BAD_BUNDLE);
    free(header);
}
END_TEST

static uint8_t *read_tiny(size_t *count)
{
    FILE *file = fopen(TINY, "rb");
    ck_assert_ptr_nonnull(file);
    uint8_t *bytes = malloc(1 << 20);
    *count = fread(bytes, 1, 1 << 20, file);
    fclose(file);
    return bytes;
}

START_TEST(every_truncation_is_refused)
{
    size_t count;
    uint8_t *whole = read_tiny(&count);
    for (size_t cut = 0; cut < count; cut += cut < 64 ? 1 : 97) {
        uint8_t *bytes = malloc(cut ? cut : 1);
        memcpy(bytes, whole, cut);
        struct nn_bundle *bundle = NULL;
        ck_assert_int_eq(nn_bundle_parse(bytes, cut, &bundle, NULL),
                         API_BAD_BUNDLE);
        free(bytes);
    }
    free(whole);
}
END_TEST

/* Whatever the bytes: an answer, and no sanitizer's complaint. */
START_TEST(random_damage_does_no_harm)
{
    size_t count;
    uint8_t *whole = read_tiny(&count);
    uint8_t *bytes = malloc(count);
    uint64_t seed = 3;
    int taken = 0;
    for (int round = 0; round < 4000; round++) {
        memcpy(bytes, whole, count);
        uint32_t edits = 1 + dice_below(&seed, 4);
        for (uint32_t i = 0; i < edits; i++) {
            size_t at = dice_below(&seed, (uint32_t)count);
            bytes[at] = dice_below(&seed, 2)
                            ? (uint8_t)dice(&seed)
                            : whole[dice_below(&seed, (uint32_t)count)];
        }
        struct nn_bundle *bundle = NULL;
        enum api_status status = nn_bundle_parse(bytes, count, &bundle, NULL);
        ck_assert(status == API_OK || status == API_BAD_BUNDLE);
        taken += status == API_OK;
        nn_bundle_close(&bundle);
    }
    /* Damage to weights cannot be seen; damage to the header must be. */
    ck_assert_int_gt(taken, 400);
    ck_assert_int_lt(taken, 3000);
    free(bytes);
    free(whole);
}
END_TEST

START_TEST(only_regular_files_are_opened)
{
    char folder[] = "/tmp/cleave-bundle-XXXXXX";
    ck_assert_ptr_nonnull(mkdtemp(folder));
    char path[64];
    snprintf(path, sizeof path, "%s/it", folder);
    struct nn_bundle *bundle = NULL;
    struct api_error error = {0};
    ck_assert_int_eq(nn_bundle_open(path, &bundle, &error), API_NOT_FOUND);
    ck_assert_int_eq(nn_bundle_open(folder, &bundle, &error), API_BAD_BUNDLE);
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    ck_assert_int_eq(nn_bundle_open(path, &bundle, &error), API_BAD_BUNDLE);
    unlink(path);
    fclose(fopen(path, "wb"));
    ck_assert_int_eq(nn_bundle_open(path, &bundle, &error), API_BAD_BUNDLE);
    unlink(path);
    rmdir(folder);
    ck_assert_ptr_null(bundle);
}
END_TEST

Suite *make_suite(void)
{
    TCase *good = tcase_create("good");
    tcase_add_test(good, tiny_opens_with_its_facts);
    tcase_add_loop_test(good, harmless_edits_are_taken, 0,
                        sizeof harmless / sizeof *harmless);
    TCase *bad = tcase_create("bad");
    tcase_set_timeout(bad, 120);
    tcase_add_loop_test(bad, each_rule_is_kept, 0,
                        sizeof broken / sizeof *broken);
    tcase_add_loop_test(bad, bad_tables_are_refused, 0,
                        sizeof poked / sizeof *poked);
    tcase_add_test(bad, bytes_of_no_tensor_are_refused);
    tcase_add_test(bad, hostile_headers_are_refused);
    tcase_add_test(bad, deep_nesting_is_refused);
    tcase_add_test(bad, every_truncation_is_refused);
    tcase_add_test(bad, random_damage_does_no_harm);
    tcase_add_test(bad, only_regular_files_are_opened);
    Suite *suite = suite_create("bundle");
    suite_add_tcase(suite, good);
    suite_add_tcase(suite, bad);
    return suite;
}

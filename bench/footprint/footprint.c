/* cleave-footprint: what coding, switching and picture input take. */
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <jpeglib.h>

#include "api/limits.h"
#include "bench/timing.h"
#include "bench/tool.h"
#include "nn/nn.h"

#define SECONDS 0.5

/* Calls of the allocator by everything linked statically into this program;
 * the linker sends them here (--wrap). */
static atomic_size_t allocations;

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__real_realloc(void *old, size_t bytes);
void *__real_aligned_alloc(size_t alignment, size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_realloc(void *old, size_t bytes);
void *__wrap_aligned_alloc(size_t alignment, size_t bytes);

void *__wrap_malloc(size_t bytes)
{
    atomic_fetch_add(&allocations, 1);
    return __real_malloc(bytes);
}

void *__wrap_calloc(size_t count, size_t bytes)
{
    atomic_fetch_add(&allocations, 1);
    return __real_calloc(count, bytes);
}

void *__wrap_realloc(void *old, size_t bytes)
{
    atomic_fetch_add(&allocations, 1);
    return __real_realloc(old, bytes);
}

void *__wrap_aligned_alloc(size_t alignment, size_t bytes)
{
    atomic_fetch_add(&allocations, 1);
    return __real_aligned_alloc(alignment, bytes);
}

struct rig {
    struct nn_model *model;
    struct nn_context *context;
    uint16_t point, points;
    const char *ids[API_LIMIT_POINTS];
    uint8_t *pixels, *payload;
    float *latent;
    struct file jpeg;
    uint8_t *rows;
};

static void run_head(void *with)
{
    struct rig *rig = with;

    must(nn_run_head(rig->context, rig->point, rig->pixels, rig->latent) ==
             API_OK,
         "head");
}

static void encode(void *with)
{
    struct rig *rig = with;
    size_t bytes;

    must(nn_latent_encode(rig->context, rig->point, rig->latent, rig->payload,
                          nn_latent_bound(rig->model, rig->point),
                          &bytes) == API_OK,
         "coding");
}

/* Switches to every point in turn, by name, as a client does. */
static void switch_all(void *with)
{
    struct rig *rig = with;

    for (uint16_t i = 0; i < rig->points; i++) {
        int found = nn_model_point_find(rig->model, rig->ids[i]);

        must(found == i && nn_model_point(rig->model, i), "switch");
        rig->point = (uint16_t)found;
    }
}

static void prepare(void *with)
{
    struct rig *rig = with;

    must(nn_picture_from_jpeg(nn_model_input(rig->model), rig->jpeg.bytes,
                              rig->jpeg.count, rig->pixels, NULL) == API_OK,
         "picture");
}

/* The same library with the same scaling, and nothing behind it. */
static void decode(void *with)
{
    struct rig *rig = with;
    struct jpeg_decompress_struct jpeg;
    struct jpeg_error_mgr errors;
    JSAMPROW row;
    unsigned shorter;

    jpeg.err = jpeg_std_error(&errors);
    jpeg_create_decompress(&jpeg);
    jpeg_mem_src(&jpeg, rig->jpeg.bytes, (unsigned long)rig->jpeg.count);
    jpeg_read_header(&jpeg, TRUE);
    shorter = jpeg.image_width < jpeg.image_height ? jpeg.image_width
                                                   : jpeg.image_height;
    jpeg.scale_num = 1;
    for (jpeg.scale_denom = 8; jpeg.scale_denom > 1; jpeg.scale_denom /= 2)
        if (shorter / jpeg.scale_denom >=
            2u * nn_model_input(rig->model)->resize_shorter)
            break;
    jpeg.out_color_space = JCS_RGB;
    jpeg_start_decompress(&jpeg);
    row = rig->rows;
    while (jpeg.output_scanline < jpeg.output_height)
        jpeg_read_scanlines(&jpeg, &row, 1);
    jpeg_finish_decompress(&jpeg);
    jpeg_destroy_decompress(&jpeg);
}

static double median(void (*call)(void *), struct rig *rig)
{
    size_t runs;

    return bench_median(call, rig, SECONDS, &runs);
}

/* Coding's share of the head's time, at each point. */
static void print_coding(struct rig *rig)
{
    const char *before = "{\"coding\": {";

    for (uint16_t i = 0; i < rig->points; i++) {
        double head, coding;

        if (!nn_model_has_head(rig->model, i) ||
            nn_model_point(rig->model, i)->kind != API_POINT_SPLIT)
            continue;
        rig->point = i;
        rig->latent = get(nn_latent_values(rig->model, i) * sizeof(float));
        rig->payload = get(nn_latent_bound(rig->model, i));
        head = median(run_head, rig);
        coding = median(encode, rig);
        printf("%s\"%s\": %.6f", before, rig->ids[i], coding / head);
        before = ", ";
        free(rig->payload);
        free(rig->latent);
    }
    putchar('}');
}

int main(int argc, char **argv)
{
    struct rig rig = {0};
    size_t before;
    double switching;

    if (argc != 4 || !bench_clock(argv[3])) {
        fprintf(stderr, "usage: cleave-footprint BUNDLE JPEG wall|cpu\n");
        return 2;
    }
    must(nn_model_open(argv[1], &rig.model, NULL) == API_OK, "model");
    must(nn_context_open(rig.model, &rig.context, NULL) == API_OK, "context");
    rig.points = nn_model_point_count(rig.model);
    for (uint16_t i = 0; i < rig.points; i++)
        rig.ids[i] = nn_model_point(rig.model, i)->id;
    rig.pixels = get((size_t)nn_model_input(rig.model)->width *
                     nn_model_input(rig.model)->height * 3);
    rig.jpeg = read_file(argv[2]);
    rig.rows = get(65536 * 3);
    prepare(&rig);
    print_coding(&rig);
    before = allocations;
    switch_all(&rig);
    before = allocations - before;
    switching = median(switch_all, &rig) / rig.points;
    printf(", \"switch_ns\": %.1f, \"switch_allocations\": %zu, "
           "\"picture\": %.6f}\n",
           switching * 1e9, before,
           median(prepare, &rig) / median(decode, &rig));
    nn_context_close(&rig.context);
    nn_model_close(&rig.model);
    free(rig.rows);
    free(rig.jpeg.bytes);
    free(rig.pixels);
    return 0;
}

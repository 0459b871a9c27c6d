/* Writes the seed corpora: make_corpus FOLDER (tests/fuzz/corpus). */
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#include "api/frame.h"
#include "api/json.h"
#include "nn/latent.h"
#include "tests/fuzz/target.h"
#include "tests/nn/jpeg_maker.h"
#include "tests/nn/random_prior.h"

static const char *root;

/* A leading byte below 0 is left out. */
static void save(const char *target, const char *name, int leading,
                 const void *bytes, size_t size)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", root, target);
    mkdir(path, 0777);
    snprintf(path, sizeof path, "%s/%s/%s", root, target, name);
    FILE *file = fopen(path, "wb");
    must_hold(file != NULL, path);
    if (leading >= 0)
        fputc(leading, file);
    fwrite(bytes, 1, size, file);
    fclose(file);
}

/* A bundle of the tests, opened. */
static struct nn_bundle *open_bundle(const char *path)
{
    struct nn_bundle *bundle = NULL;
    must_hold(nn_bundle_open(path, &bundle, NULL) == API_OK, path);
    return bundle;
}

static void make_bundles(const struct nn_bundle *bundle)
{
    struct nn_bundle *operators =
        open_bundle(CLEAVE_SOURCE_DIR "/tests/data/operators.safetensors");
    save("bundle", "operators", -1, operators->file, operators->file_bytes);
    nn_bundle_close(&operators);
    save("bundle", "whole", -1, bundle->file, bundle->file_bytes);
    for (int local = 0; local < 2; local++) {
        uint8_t *bytes;
        size_t size;
        must_hold(nn_bundle_export_head(bundle, local, &bytes, &size, NULL) ==
                      API_OK,
                  "a head is exported");
        save("bundle", local ? "local" : "head", -1, bytes, size);
        free(bytes);
    }
}

static void make_pictures(void)
{
    uint8_t exif[JPEG_EXIF_BYTES];
    jpeg_exif(6, true, exif);
    const struct {
        const char *name;
        struct jpeg_order order;
    } rows[] = {
        {"grey", {.width = 20, .height = 13, .colour = JPEG_GREY}},
        {"exif",
         {.width = 24,
          .height = 17,
          .colour = JPEG_YCC,
          .app1 = exif,
          .app1_bytes = sizeof exif,
          .quality = 40}},
        {"subsampled",
         {.width = 40,
          .height = 33,
          .colour = JPEG_YCC,
          .subsampled = true,
          .quality = 30}},
        {"progressive",
         {.width = 40,
          .height = 33,
          .colour = JPEG_YCC,
          .progressive = true,
          .quality = 30}},
        {"rgb", {.width = 16, .height = 16, .colour = JPEG_RGB}},
        {"cmyk", {.width = 16, .height = 16, .colour = JPEG_CMYK}},
        {"long", {.width = 500, .height = 1, .colour = JPEG_GREY}},
        {"scaled",
         {.width = 150,
          .height = 140,
          .colour = JPEG_YCC,
          .subsampled = true,
          .quality = 5}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        size_t size;
        uint8_t *jpeg = jpeg_make(&rows[i].order, &size);
        save("picture", rows[i].name, (int)i % 4, jpeg, size);
        free(jpeg);
    }
}

/* The latent by the prior with contexts that fuzz_latent makes of this leading
 * byte. */
static void make_context_latent(const struct nn_bundle *bundle, uint16_t p,
                                const float *latent)
{
    static uint8_t payload[32768];
    struct nn_bundle_point point = bundle->points[p];
    uint8_t leading = (uint8_t)(p + bundle->point_count);
    struct nn_prior *prior = random_prior_make(point.info.latent_channels,
                                               1 + leading % 8u, leading);
    void *scratch = malloc(nn_latent_scratch_bytes(&point) + 1);
    size_t size;
    char name[80];
    point.prior = prior;
    must_hold(nn_latent_pack(&point, latent, scratch, payload, sizeof payload,
                             &size) == API_OK,
              "a latent packs with contexts");
    snprintf(name, sizeof name, "%s-contexts", point.info.id);
    save("latent", name, leading, payload, size);
    free(scratch);
    random_prior_free(&prior);
}

static void make_latents_and_frames(const struct nn_bundle *bundle)
{
    static float latent[1024];
    static uint8_t payload[32768], frame_bytes[32768];
    for (uint16_t p = 0; p < bundle->point_count; p++) {
        const struct nn_bundle_point *point = &bundle->points[p];
        size_t count = nn_latent_count(point), size;
        if (count == 0)
            continue;
        for (size_t i = 0; i < count; i++)
            latent[i] = (float)((i * 7919) % 31) / 8.0f - 2.0f +
                        (i % 41 == 0 ? 100.0f : 0.0f);
        void *scratch = malloc(nn_latent_scratch_bytes(point) + 1);
        must_hold(nn_latent_pack(point, latent, scratch, payload,
                                 sizeof payload, &size) == API_OK,
                  "a latent packs");
        free(scratch);
        save("latent", point->info.id, p, payload, size);
        if (point->info.codec == API_CODEC_RANS)
            make_context_latent(bundle, p, latent);
        struct api_frame frame = {.fingerprint = bundle->fingerprint,
                                  .point = p,
                                  .codec = (uint8_t)point->info.codec,
                                  .channels = point->info.latent_channels,
                                  .height = point->info.latent_height,
                                  .width = point->info.latent_width,
                                  .payload = payload,
                                  .payload_bytes = (uint32_t)size};
        must_hold(api_frame_write(&frame, frame_bytes, sizeof frame_bytes,
                                  &size) == API_OK,
                  "a frame is written");
        save("frame", point->info.id, -1, frame_bytes, size);
    }
}

static void make_documents(void)
{
    static struct api_answer answer = {.model = "tiny",
                                       .version = "0.1.0",
                                       .point = "w50-low",
                                       .top_count = 2};
    answer.top[0] = (struct api_class){3, "caf\xC3\xA9 \"x\"", 0.75};
    answer.top[1] = (struct api_class){9, "class 9", 1e-9};
    static struct api_model model = {.name = "tiny",
                                     .version = "0.1.0",
                                     .fingerprint = 0xD02628292D828CF5u,
                                     .input_width = 32,
                                     .input_height = 32,
                                     .class_count = 10,
                                     .point_count = 2};
    model.points[0] = (struct api_point){.id = "offload",
                                         .bytes_mean = -1,
                                         .bytes_p95 = -1,
                                         .top1 = -1,
                                         .top5 = -1};
    model.points[1] = (struct api_point){.id = "w50-low",
                                         .kind = API_POINT_SPLIT,
                                         .codec = API_CODEC_RANS,
                                         .width = 0.5,
                                         .rate = "low",
                                         .ensemble = 1,
                                         .latent_height = 8,
                                         .latent_width = 8,
                                         .latent_channels = 4,
                                         .head_macs = 69120,
                                         .tail_macs = 20640,
                                         .bytes_mean = 412.5,
                                         .bytes_p95 = 600,
                                         .top1 = 0.7,
                                         .top5 = 0.9,
                                         .pictures = 750};
    char *texts[] = {
        api_answer_write(&answer), api_model_write(&model),
        api_problem_write(API_MODEL_MISMATCH, "another", "r-1", &model)};
    static const char *const names[] = {"answer", "model", "problem"};
    for (int i = 0; i < 3; i++) {
        save("json", names[i], -1, texts[i], strlen(texts[i]));
        /* A kind of point that a later server may know. */
        char *kind = strstr(texts[i], "\"split\"");
        if (kind && i == 1) {
            memcpy(kind, "\"spilt\"", 7);
            save("json", "unknown_kind", -1, texts[i], strlen(texts[i]));
        }
        free(texts[i]);
    }
}

/* The skeletons of JPEGs in a row: an Exif thumbnail inside the first, the
 * second cut short, stuffing and restarts in the third. */
static void make_streams(void)
{
    static const char row[] = "x\xFF\xD8\xFF\xE1\0\x0C"
                              "Ex\xFF\xD8\xFF\xDA\0\2\xFF\xD9"
                              "\xFF\xDA\0\4\1\2data\xFF\xD9"
                              "\xFF\xD8\xFF\xDA\0\4\1\2cut"
                              "\xFF\xD8\xFF\xDA\0\4\1\2a\xFF\0b\xFF\xD0"
                              "c\xFF\xFF\xD9"
                              "\r\n--boundary\r\n\xFF\xD8\xFF";
    save("mjpeg", "row", -1, row, sizeof row - 1);
    save("mjpeg", "one", -1, row + 37, 15);
}

/* Requests as Triton's client writes them. */
static void make_requests(void)
{
    static const struct {
        const char *name, *json, *binary;
        size_t binary_bytes;
    } rows[] = {
        {"json",
         "{\"id\":\"7\",\"parameters\":{\"timeout\":1000},\"inputs\":[{"
         "\"name\":"
         "\"image\",\"shape\":[1,2,1,3],\"datatype\":\"UINT8\",\"data\":[[[1,2,"
         "3]],"
         "[[4,5,255]]]}],\"outputs\":[{\"name\":\"probabilities\","
         "\"parameters\":{"
         "\"classification\":2}}]}",
         "", 0},
        {"base64",
         "{\"inputs\":[{\"name\":\"jpeg\",\"shape\":[1],\"datatype\":\"BYTES\","
         "\"data\":[\"/9j/4A==\"]}]}",
         "", 0},
        {"bytes",
         "{\"parameters\":{\"binary_data_output\":true},\"inputs\":[{\"name\":"
         "\"jpeg\",\"shape\":[1],\"datatype\":\"BYTES\",\"parameters\":{"
         "\"binary_data_size\":7}}]}",
         "\3\0\0\0abc", 7},
        {"floats",
         "{\"inputs\":[{\"name\":\"image\",\"shape\":[2],\"datatype\":\"FP32\","
         "\"parameters\":{\"binary_data_size\":8}}],\"outputs\":[{\"name\":"
         "\"probabilities\",\"parameters\":{\"binary_data\":true}}]}",
         "\0\0\x80\x3f\0\0\0\0", 8},
        {"index", "{\"ready\":true,\"parameters\":{\"config\":\"{}\"}}", "", 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char bytes[1000];
        size_t length = strlen(rows[i].json);
        bytes[0] = (char)(length & 255);
        bytes[1] = (char)(length >> 8);
        memcpy(bytes + 2, rows[i].json, length);
        memcpy(bytes + 2 + length, rows[i].binary, rows[i].binary_bytes);
        save("oip", rows[i].name, -1, bytes, 2 + length + rows[i].binary_bytes);
    }
}

/* Whole requests. `given` goes between the first line and Host. */
static void make_exchange(const char *name, const char *first,
                          const char *given, const void *body, size_t size)
{
    static uint8_t bytes[65536];
    int head =
        snprintf((char *)bytes, sizeof bytes, "%s\n%sHost: x\n", first, given);
    if (size > 0)
        head += snprintf((char *)bytes + head, sizeof bytes - (size_t)head,
                         "Content-Length: %zu\n", size);
    bytes[head++] = '\n';
    must_hold(size < sizeof bytes - (size_t)head, "a request fits");
    memcpy(bytes + head, body, size);
    save("http", name, -1, bytes, (size_t)head + size);
}

static void make_exchanges(const struct nn_bundle *bundle)
{
    static const char token[] = "Authorization: Bearer 0123456789abcdef\n";
    static const char *const asked[][2] = {
        {"live", "/healthz"},
        {"ready", "/readyz"},
        {"root", "/"},
        {"models", "/v1/models"},
        {"model", "/v1/models/tiny"},
        {"labels", "/v1/models/tiny/labels"},
        {"head", "/v1/models/tiny/head?local=1"},
        {"probe", "/v1/probe?bytes=100"},
        {"oip", "/v2"},
        {"oip-model", "/v2/models/tiny/versions/0.1.0"},
        {"oip-ready", "/v2/models/tiny/ready"},
        {"page", "/console/app.js"},
    };
    for (size_t i = 0; i < sizeof asked / sizeof *asked; i++) {
        char first[80];
        snprintf(first, sizeof first, "GET %s", asked[i][1]);
        make_exchange(asked[i][0], first, "", "", 0);
    }
    make_exchange("metrics", "GET /metrics", token, "", 0);
    make_exchange("slow", "GET /debug/slow", token, "", 0);
    make_exchange("cached", "HEAD /v1/models/tiny/labels",
                  "If-None-Match: W/\"a\", \"b\"\n", "", 0);

    uint8_t frame[4096], pixels[16] = {0}, *jpeg;
    static float latent[1024];
    size_t size;
    const struct nn_bundle_point *point = &bundle->points[1];
    struct api_frame header = {.fingerprint = bundle->fingerprint,
                               .point = 1,
                               .codec = (uint8_t)point->info.codec,
                               .channels = point->info.latent_channels,
                               .height = point->info.latent_height,
                               .width = point->info.latent_width,
                               .payload = frame + API_FRAME_HEADER_BYTES};
    void *scratch = malloc(nn_latent_scratch_bytes(point) + 1);
    must_hold(
        nn_latent_pack(point, latent, scratch, frame + API_FRAME_HEADER_BYTES,
                       sizeof frame - API_FRAME_HEADER_BYTES, &size) == API_OK,
        "a latent packs");
    free(scratch);
    header.payload_bytes = (uint32_t)size;
    must_hold(api_frame_write(&header, frame, sizeof frame, &size) == API_OK,
              "a frame is written");
    make_exchange("tail", "POST /v1/models/tiny/tail?top=3&quality=auto",
                  "X-Request-Id: 7\nContent-Type: "
                  "application/vnd.cleave.frame\n",
                  frame, size);
    make_exchange("latent", "POST /v1/models/tiny/latent", "", frame, size);
    must_hold(nn_picture_to_jpeg(pixels, 2, 2, 50, &jpeg, &size, NULL) ==
                  API_OK,
              "a JPEG");
    make_exchange("classify", "POST /v1/classify?top=2",
                  "Content-Type: image/jpeg\nX-Request-Timeout-Ms: 9000\n",
                  jpeg, size);
    make_exchange("encode", "POST /v1/models/tiny/encode?point=w50-low", token,
                  jpeg, size);
    free(jpeg);
    static const char infer[] =
        "{\"id\":\"a\",\"inputs\":[{\"name\":\"jpeg\",\"shape\":[1],"
        "\"datatype\":\"BYTES\",\"data\":[\"/9j/4A==\"]}]}";
    make_exchange("infer", "POST /v2/models/tiny/infer", "", infer,
                  sizeof infer - 1);
    make_exchange("index", "POST /v2/repository/index", "", "{}", 2);
    make_exchange("load", "POST /v2/repository/models/tiny/load", token, "{}",
                  2);
}

int main(int count, char **arguments)
{
    if (count != 2) {
        fprintf(stderr, "usage: make_corpus FOLDER\n");
        return 2;
    }
    root = arguments[1];
    mkdir(root, 0777);
    struct nn_bundle *bundle =
        open_bundle(CLEAVE_SOURCE_DIR "/tests/data/tiny.safetensors");
    make_bundles(bundle);
    make_pictures();
    make_latents_and_frames(bundle);
    make_documents();
    make_streams();
    make_requests();
    make_exchanges(bundle);
    nn_bundle_close(&bundle);
    return EXIT_SUCCESS;
}

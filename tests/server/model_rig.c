/* What a device would send, made with the engine. */
#include "model_rig.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

#include "api/frame.h"
#include "api/limits.h"
#include "running_server.h"

void model_rig_open(struct model_rig *rig)
{
    struct api_error error = {API_OK, ""};
    memset(rig, 0, sizeof *rig);
    ck_assert_msg(nn_model_open(TINY_MODEL, &rig->model, &error) == API_OK,
                  "%s", error.text);
    ck_assert_int_eq(nn_context_open(rig->model, &rig->context, NULL), API_OK);
    const struct nn_input *input = nn_model_input(rig->model);
    rig->pixels = malloc((size_t)input->width * input->height * 3);
    rig->photo = file_read(PHOTO, &rig->photo_bytes);
    ck_assert_int_eq(nn_picture_from_jpeg(input, (const uint8_t *)rig->photo,
                                          rig->photo_bytes, rig->pixels, NULL),
                     API_OK);
}

void model_rig_close(struct model_rig *rig)
{
    nn_context_close(&rig->context);
    nn_model_close(&rig->model);
    free(rig->pixels);
    free(rig->photo);
}

uint16_t model_rig_split(const struct model_rig *rig)
{
    int point = nn_model_point_find(rig->model, "w50-low");
    ck_assert_int_ge(point, 0);
    return (uint16_t)point;
}

void model_rig_frame(struct model_rig *rig, uint16_t point, uint8_t *frame,
                     size_t *frame_bytes)
{
    const struct api_point *info = nn_model_point(rig->model, point);
    float *latent =
        malloc(nn_latent_values(rig->model, point) * sizeof *latent);
    ck_assert_ptr_nonnull(latent);
    size_t payload_bytes = 0;
    ck_assert_int_eq(nn_run_head(rig->context, point, rig->pixels, latent),
                     API_OK);
    ck_assert_int_eq(
        nn_latent_encode(
            rig->context, point, latent, frame + API_FRAME_HEADER_BYTES,
            API_LIMIT_FRAME_BYTES - API_FRAME_HEADER_BYTES, &payload_bytes),
        API_OK);
    free(latent);
    struct api_frame head = {
        .fingerprint = nn_model_fingerprint(rig->model),
        .point = point,
        .codec = (uint8_t)info->codec,
        .channels = info->latent_channels,
        .height = info->latent_height,
        .width = info->latent_width,
        .payload = frame + API_FRAME_HEADER_BYTES,
        .payload_bytes = (uint32_t)payload_bytes,
    };
    ck_assert_int_eq(
        api_frame_write(&head, frame, API_LIMIT_FRAME_BYTES, frame_bytes),
        API_OK);
}

uint8_t *slow_jpeg(size_t *bytes)
{
    enum { SIDE = 4096, SCANS = 64 };
    struct jpeg_compress_struct jpeg;
    struct jpeg_error_mgr errors;
    unsigned char *out = NULL;
    unsigned long out_bytes = 0;
    jpeg_scan_info scans[SCANS];
    memset(scans, 0, sizeof scans);
    for (int i = 0; i < SCANS; i++) { /* each coefficient on its own */
        scans[i].comps_in_scan = 1;
        scans[i].Ss = scans[i].Se = i;
    }
    jpeg.err = jpeg_std_error(&errors);
    jpeg_create_compress(&jpeg);
    jpeg_mem_dest(&jpeg, &out, &out_bytes);
    jpeg.image_width = jpeg.image_height = SIDE;
    jpeg.input_components = 1;
    jpeg.in_color_space = JCS_GRAYSCALE;
    jpeg_set_defaults(&jpeg);
    jpeg.scan_info = scans;
    jpeg.num_scans = SCANS;
    jpeg_start_compress(&jpeg, TRUE);
    static JSAMPLE row[SIDE];
    for (int i = 0; i < SIDE; i++)
        row[i] = (JSAMPLE)(i * 37 % 251);
    JSAMPROW rows[1] = {row};
    while (jpeg.next_scanline < jpeg.image_height)
        jpeg_write_scanlines(&jpeg, rows, 1);
    jpeg_finish_compress(&jpeg);
    jpeg_destroy_compress(&jpeg);
    *bytes = out_bytes;
    return out;
}

/* Throw-away directories and files, and what a fake server has to say. */
#include "scratch.h"

#include <check.h>
#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/json.h"

void scratch_make(char path[SCRATCH_PATH_BYTES])
{
    const char *base = getenv("TMPDIR");
    snprintf(path, SCRATCH_PATH_BYTES, "%s/cleave-test-XXXXXX",
             base && *base ? base : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(path));
}

void scratch_join(char path[SCRATCH_PATH_BYTES], const char *directory,
                  const char *name)
{
    int bytes = snprintf(path, SCRATCH_PATH_BYTES, "%s/%s", directory, name);
    ck_assert_int_lt(bytes, SCRATCH_PATH_BYTES);
}

static bool ends_so(const char *name, const char *ending)
{
    size_t bytes = strlen(name), end_bytes = strlen(ending);
    return bytes >= end_bytes && strcmp(name + bytes - end_bytes, ending) == 0;
}

size_t scratch_count(const char *directory, const char *ending)
{
    DIR *stream = opendir(directory);
    ck_assert_ptr_nonnull(stream);
    size_t count = 0;
    for (struct dirent *entry; (entry = readdir(stream)) != NULL;)
        count += entry->d_name[0] != '.' && ends_so(entry->d_name, ending);
    closedir(stream);
    return count;
}

void scratch_find(char path[SCRATCH_PATH_BYTES], const char *directory,
                  const char *ending)
{
    DIR *stream = opendir(directory);
    ck_assert_ptr_nonnull(stream);
    struct dirent *entry;
    while ((entry = readdir(stream)) != NULL && !ends_so(entry->d_name, ending))
        ;
    ck_assert_msg(entry != NULL, "no *%s in %s", ending, directory);
    scratch_join(path, directory, entry->d_name);
    closedir(stream);
}

void scratch_remove(const char *path)
{
    DIR *stream = opendir(path);
    if (!stream)
        return;
    for (struct dirent *entry; (entry = readdir(stream)) != NULL;) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        char file[SCRATCH_PATH_BYTES];
        scratch_join(file, path, entry->d_name);
        unlink(file);
        rmdir(file);
    }
    closedir(stream);
    rmdir(path);
}

char *scratch_read(const char *path, size_t *bytes)
{
    FILE *file = fopen(path, "rb");
    ck_assert_msg(file != NULL, "cannot open %s", path);
    struct stat info;
    ck_assert_int_eq(fstat(fileno(file), &info), 0);
    char *contents = malloc((size_t)info.st_size + 1);
    ck_assert_ptr_nonnull(contents);
    *bytes = fread(contents, 1, (size_t)info.st_size, file);
    ck_assert_uint_eq(*bytes, (size_t)info.st_size);
    contents[*bytes] = '\0';
    fclose(file);
    return contents;
}

void scratch_write(const char *path, const void *bytes, size_t count)
{
    FILE *file = fopen(path, "wb");
    ck_assert_msg(file != NULL, "cannot write %s", path);
    ck_assert_uint_eq(fwrite(bytes, 1, count, file), count);
    ck_assert_int_eq(fclose(file), 0);
}

void scratch_flip(const char *path, size_t offset)
{
    size_t bytes;
    char *contents = scratch_read(path, &bytes);
    ck_assert_uint_lt(offset, bytes);
    contents[offset] = (char)~contents[offset];
    scratch_write(path, contents, bytes);
    free(contents);
}

const char *scratch_bundle(void)
{
    return CLEAVE_SOURCE_DIR "/tests/data/tiny.safetensors";
}

const char *scratch_jpeg(size_t *bytes)
{
    static char *jpeg;
    static size_t jpeg_bytes;
    if (!jpeg)
        jpeg = scratch_read(CLEAVE_SOURCE_DIR "/models/samples/cat.jpg",
                            &jpeg_bytes);
    *bytes = jpeg_bytes;
    return jpeg;
}

static struct nn_model *open_bundle(void)
{
    struct nn_model *model = NULL;
    struct api_error error = {.text = ""};
    ck_assert_msg(nn_model_open(scratch_bundle(), &model, &error) == API_OK,
                  "%s", error.text);
    return model;
}

char *scratch_head(int include_local, size_t *bytes)
{
    struct nn_model *model = open_bundle();
    uint8_t *head = NULL;
    ck_assert_int_eq(
        nn_model_export_head(model, include_local != 0, &head, bytes, NULL),
        API_OK);
    nn_model_close(&model);
    return (char *)head;
}

char *scratch_models(unsigned long long fingerprint)
{
    struct nn_model *model = open_bundle();
    struct api_model *listed = calloc(1, sizeof *listed);
    ck_assert_ptr_nonnull(listed);
    snprintf(listed->name, sizeof listed->name, "%s", nn_model_name(model));
    snprintf(listed->version, sizeof listed->version, "%s",
             nn_model_version(model));
    listed->fingerprint =
        fingerprint ? fingerprint : nn_model_fingerprint(model);
    listed->input_width = nn_model_input(model)->width;
    listed->input_height = nn_model_input(model)->height;
    listed->class_count = nn_model_class_count(model);
    listed->point_count = nn_model_point_count(model);
    for (uint16_t i = 0; i < listed->point_count; i++)
        listed->points[i] = *nn_model_point(model, i);
    const struct api_model *models[] = {listed};
    char *text = api_model_list_write(models, 1);
    ck_assert_ptr_nonnull(text);
    nn_model_close(&model);
    free(listed);
    return text;
}

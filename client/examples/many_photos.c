/* Example of libcleave: classify many JPEG files, several at a time.
 *
 * While one picture is on the device, others are on their way to the server;
 * answers come by callback, in the order in which they are ready.
 *
 * Build it outside this tree with
 *     cc many_photos.c $(pkg-config --cflags --libs libcleave) -o many_photos
 * and run it with
 *     ./many_photos http://127.0.0.1:8080 *.jpg */
#include <cleave.h>
#include <stdio.h>
#include <stdlib.h>

struct photo {
    const char *path;
    unsigned char *jpeg;
    size_t jpeg_bytes;
    int failed;
};

static unsigned char *read_file(const char *path, size_t *bytes)
{
    FILE *file = fopen(path, "rb");
    unsigned char *contents = NULL;
    if (!file)
        return NULL;
    if (fseek(file, 0, SEEK_END) == 0) {
        long end = ftell(file);
        rewind(file);
        if (end > 0)
            contents = malloc((size_t)end);
        if (contents && fread(contents, 1, (size_t)end, file) != (size_t)end) {
            free(contents);
            contents = NULL;
        }
        *bytes = (size_t)end;
    }
    fclose(file);
    return contents;
}

/* Called in a thread of the library; printf keeps lines of several threads
 * apart. The JPEG is ours again. */
static void on_answer(void *context, enum cleave_status status,
                      const struct cleave_result *result,
                      const struct cleave_error *error)
{
    struct photo *photo = context;
    photo->failed = status != CLEAVE_OK;
    if (status == CLEAVE_OK)
        printf("%s: %s, %.1f %%, by %s\n", photo->path, result->top[0].label,
               100 * result->top[0].probability, result->point);
    else
        fprintf(stderr, "%s: %s\n", photo->path, error->text);
    free(photo->jpeg);
    photo->jpeg = NULL;
}

static void on_log(void *context, enum cleave_level level, const char *text)
{
    (void)context;
    fprintf(stderr, "%s: %s\n", level == CLEAVE_WARNING ? "warning" : "note",
            text);
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: %s SERVER_URL PHOTO.jpg...\n", argv[0]);
        return 2;
    }
    struct cleave_options options = {0};
    options.server_url = argv[1];
    options.log = on_log;

    struct cleave *handle = NULL;
    struct cleave_error error;
    int count = argc - 2, failures = 0;
    struct photo *photos = calloc((size_t)count, sizeof *photos);
    if (!photos || cleave_open(&options, &handle, &error) != CLEAVE_OK) {
        fprintf(stderr, "%s\n", photos ? error.text : "out of memory");
        free(photos);
        return 1;
    }
    for (int i = 0; i < count; i++) {
        struct photo *photo = &photos[i];
        photo->path = argv[i + 2];
        photo->jpeg = read_file(photo->path, &photo->jpeg_bytes);
        photo->failed = 1;
        if (!photo->jpeg)
            fprintf(stderr, "%s: cannot be read\n", photo->path);
        /* Waits while as many as options.threads are in progress. */
        else if (cleave_submit(handle, photo->jpeg, photo->jpeg_bytes, "auto",
                               0, on_answer, photo, &error) != CLEAVE_OK)
            fprintf(stderr, "%s: %s\n", photo->path, error.text);
    }
    cleave_close(&handle); /* after the last answer */
    for (int i = 0; i < count; i++) {
        failures += photos[i].failed;
        free(photos[i].jpeg); /* of one that was not submitted */
    }
    free(photos);
    return failures > 0;
}

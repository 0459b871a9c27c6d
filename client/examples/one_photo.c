/* Example of libcleave: classify one JPEG file, with a server's help.
 *
 * Build it outside this tree with
 *     cc one_photo.c $(pkg-config --cflags --libs libcleave) -o one_photo
 * and run it with
 *     ./one_photo http://127.0.0.1:8080 photo.jpg */
#include <cleave.h>
#include <stdio.h>
#include <stdlib.h>

static unsigned char *read_file(const char *path, size_t *bytes)
{
    unsigned char *contents = NULL;
    FILE *file = fopen(path, "rb");
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

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: %s SERVER_URL PHOTO.jpg\n", argv[0]);
        return 2;
    }
    size_t jpeg_bytes = 0;
    unsigned char *jpeg = read_file(argv[2], &jpeg_bytes);
    if (!jpeg) {
        fprintf(stderr, "cannot read %s\n", argv[2]);
        return 1;
    }

    /* Everything that is not set keeps its default. */
    struct cleave_options options = {0};
    options.server_url = argv[1];
    options.top = 3;

    /* Fetches the model's device part, or takes it from the cache. One handle
     * serves any number of pictures and threads. */
    struct cleave *handle = NULL;
    struct cleave_error error;
    int exit_status = 1;
    if (cleave_open(&options, &handle, &error) != CLEAVE_OK) {
        fprintf(stderr, "%s\n", error.text);
        goto out;
    }

    /* "auto" decides for this picture whether to send the JPEG, to send
     * features, or to answer here; at most 500 ms are spent on the server. */
    static struct cleave_result result;
    if (cleave_classify(handle, jpeg, jpeg_bytes, "auto", 500, &result,
                        &error) != CLEAVE_OK) {
        fprintf(stderr, "%s\n", error.text);
        goto out;
    }
    printf("by %s (%s), %zu bytes sent\n", result.point, result.reason,
           result.bytes_sent);
    for (unsigned i = 0; i < result.top_count; i++)
        printf("%5.1f %%  %s\n", 100 * result.top[i].probability,
               result.top[i].label);
    exit_status = 0;
out:
    cleave_close(&handle);
    free(jpeg);
    return exit_status;
}

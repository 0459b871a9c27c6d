/* Feeds files to a fuzz target without a fuzzer: replay FILE|FOLDER... */
#include <dirent.h>
#include <errno.h>
#include <string.h>

#include "tests/fuzz/target.h"

static long replayed;

static int replay_file(const char *path)
{
    enum { MOST = 4 << 20 };
    FILE *file = fopen(path, "rb");
    uint8_t *room = malloc(MOST);
    if (!file || !room) {
        fprintf(stderr, "cannot read %s: %s\n", path, strerror(errno));
        free(room);
        return EXIT_FAILURE;
    }
    size_t size = fread(room, 1, MOST, file);
    fclose(file);
    /* Exactly as long as the input: sanitizers see any read past it. */
    uint8_t *data = malloc(size ? size : 1);
    memcpy(data, room, size);
    free(room);
    LLVMFuzzerTestOneInput(data, size);
    free(data);
    replayed++;
    return EXIT_SUCCESS;
}

static int replay(const char *path)
{
    DIR *folder = opendir(path);
    if (!folder)
        return replay_file(path);
    int failed = EXIT_SUCCESS;
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        char inner[1024];
        if (entry->d_name[0] == '.')
            continue;
        snprintf(inner, sizeof inner, "%s/%s", path, entry->d_name);
        failed |= replay_file(inner);
    }
    closedir(folder);
    return failed;
}

int main(int count, char **arguments)
{
    int failed = EXIT_SUCCESS;
    for (int i = 1; i < count; i++)
        failed |= replay(arguments[i]);
    printf("%ld inputs\n", replayed);
    return replayed > 0 ? failed : EXIT_FAILURE;
}

/* The pictures that a command line names. */
#include "client/files.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "api/limits.h"

#define FIRST_BYTES 65536u

static bool append(struct cli_files *files, char *path)
{
    if (!path)
        return false;
    if (files->count == files->capacity) {
        size_t capacity = files->capacity ? files->capacity * 2 : 64;
        char **paths = realloc(files->paths, capacity * sizeof *paths);
        if (!paths) {
            free(path);
            return false;
        }
        files->paths = paths;
        files->capacity = capacity;
    }
    files->paths[files->count++] = path;
    return true;
}

bool cli_files_is_jpeg_name(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot && dot != name &&
           (strcasecmp(dot, ".jpg") == 0 || strcasecmp(dot, ".jpeg") == 0);
}

char *cli_files_join(const char *directory, const char *name)
{
    size_t bytes = strlen(directory) + strlen(name) + 2;
    size_t used = strlen(directory);
    const char *slash = used > 0 && directory[used - 1] == '/' ? "" : "/";
    char *path = malloc(bytes);
    if (path)
        snprintf(path, bytes, "%s%s%s", directory, slash, name);
    return path;
}

static int compare_paths(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool add_directory(struct cli_files *files, const char *directory)
{
    DIR *stream = opendir(directory);
    if (!stream)
        return append(files, strdup(directory)); /* reading will say why */
    size_t first = files->count;
    bool fits = true;
    for (struct dirent *entry = readdir(stream); entry && fits;
         entry = readdir(stream)) {
        if (cli_files_is_jpeg_name(entry->d_name))
            fits = append(files, cli_files_join(directory, entry->d_name));
    }
    closedir(stream);
    if (files->count == first)
        return fits && append(files, strdup(directory));
    qsort(files->paths + first, files->count - first, sizeof *files->paths,
          compare_paths);
    return fits;
}

bool cli_files_add(struct cli_files *files, const char *operand)
{
    struct stat info;
    if (strcmp(operand, "-") != 0 && stat(operand, &info) == 0 &&
        S_ISDIR(info.st_mode))
        return add_directory(files, operand);
    return append(files, strdup(operand));
}

void cli_files_free(struct cli_files *files)
{
    for (size_t i = 0; i < files->count; i++)
        free(files->paths[i]);
    free(files->paths);
    *files = (struct cli_files){0};
}

/* A path may be a pipe, which has no size to ask for, so the buffer grows as
 * bytes come. */
static const char *read_stream(FILE *file, unsigned char **bytes, size_t *count)
{
    unsigned char *buffer = NULL;
    size_t used = 0, capacity = 0;
    do {
        if (used == capacity) {
            capacity = capacity ? capacity * 2 : FIRST_BYTES;
            unsigned char *larger = realloc(buffer, capacity);
            if (!larger) {
                free(buffer);
                return "out of memory";
            }
            buffer = larger;
        }
        used += fread(buffer + used, 1, capacity - used, file);
    } while (!feof(file) && !ferror(file) && used <= API_LIMIT_JPEG_BYTES);
    const char *why = NULL;
    if (ferror(file))
        why = errno == EISDIR ? "no .jpg or .jpeg file in this directory"
                              : strerror(errno);
    else if (used > API_LIMIT_JPEG_BYTES)
        why = "larger than a JPEG may be (16 MiB)";
    if (why) {
        free(buffer);
        return why;
    }
    *bytes = buffer;
    *count = used;
    return NULL;
}

const char *cli_files_read(const char *path, unsigned char **bytes,
                           size_t *count)
{
    FILE *file = fopen(path, "rbe");
    if (!file)
        return strerror(errno);
    const char *why = read_stream(file, bytes, count);
    fclose(file);
    return why;
}

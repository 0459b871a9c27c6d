/* Memory, files, and what happens when there is none. */
#include "bench/tool.h"

#include <stdio.h>
#include <stdlib.h>

void must(bool good, const char *what)
{
    if (!good) {
        fprintf(stderr, "%s failed\n", what);
        exit(1);
    }
}

void *get(size_t bytes)
{
    void *memory = calloc(1, bytes);

    must(memory != NULL, "memory");
    return memory;
}

struct file read_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    struct file read;
    long count;

    must(file && fseek(file, 0, SEEK_END) == 0, path);
    count = ftell(file);
    must(count > 0, path);
    rewind(file);
    read = (struct file){get((size_t)count), (size_t)count};
    must(fread(read.bytes, 1, read.count, file) == read.count, path);
    fclose(file);
    return read;
}

/* Variants of the tiny bundle, made by changing its header's text. */
#include "repository.h"

#include <check.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define TINY CLEAVE_SOURCE_DIR "/tests/data/tiny.safetensors"
#define MOST_BYTES 65536

void repository_make(struct repository *repository)
{
    snprintf(repository->folder, sizeof repository->folder,
             "/tmp/cleaved-models-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(repository->folder));
}

void repository_remove(const struct repository *repository)
{
    pid_t pid = fork();
    if (pid == 0) {
        execlp("rm", "rm", "-rf", repository->folder, (char *)NULL);
        _exit(1);
    }
    waitpid(pid, NULL, 0);
}

/* Where what follows the first `before` after `from` begins. */
static size_t find(const char *bytes, size_t count, size_t from,
                   const char *before)
{
    size_t length = strlen(before);
    size_t at = from;
    while (at + length < count && memcmp(bytes + at, before, length) != 0)
        at++;
    ck_assert_uint_lt(at + length, count);
    return at + length;
}

/* Overwrites what follows the first `before` in the header. */
static void change(char *bytes, size_t count, const char *before,
                   const char *text)
{
    size_t at = find(bytes, count, 0, before);
    memcpy(bytes + at, text, strlen(text));
}

static void write_bundle(const struct repository *repository,
                         const char *folder_name, const char *folder_version,
                         const char *bytes, size_t count)
{
    char path[300], aside[310];
    snprintf(path, sizeof path, "%s/%s", repository->folder, folder_name);
    mkdir(path, 0777);
    snprintf(path, sizeof path, "%s/%s/%s", repository->folder, folder_name,
             folder_version);
    mkdir(path, 0777);
    snprintf(path, sizeof path, "%s/%s/%s/model.safetensors",
             repository->folder, folder_name, folder_version);
    snprintf(aside, sizeof aside, "%s.part", path);
    FILE *file = fopen(aside, "wb");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(bytes, 1, count, file), count);
    ck_assert_int_eq(fclose(file), 0);
    ck_assert_int_eq(rename(aside, path), 0);
}

static size_t read_tiny(char *bytes)
{
    FILE *file = fopen(TINY, "rb");
    ck_assert_ptr_nonnull(file);
    size_t count = fread(bytes, 1, MOST_BYTES, file);
    ck_assert_uint_lt(count, MOST_BYTES);
    fclose(file);
    return count;
}

static size_t make_variant(char *bytes, const char *name, const char *version,
                           char digit)
{
    size_t count = read_tiny(bytes);
    const char last[2] = {digit, '\0'};
    change(bytes, count, "\\\"name\\\": \\\"", name);
    change(bytes, count, "\\\"version\\\": \\\"", version);
    change(bytes, count, "\\\"fingerprint\\\": \\\"5ac081e299e505f", last);
    return count;
}

void repository_put(const struct repository *repository, const char *name,
                    const char *version, char digit)
{
    char bytes[MOST_BYTES];
    size_t count = make_variant(bytes, name, version, digit);
    write_bundle(repository, name, version, bytes, count);
}

void repository_put_two_tails(const struct repository *repository)
{
    char bytes[MOST_BYTES];
    size_t count = make_variant(bytes, "tiny", "0.1.0", 'f');
    size_t point = find(bytes, count, 0, "\\\"id\\\": \\\"w50-high\\\"");
    size_t macs = find(bytes, count, point, "\\\"tail_macs\\\": ");
    memcpy(bytes + macs, "10", 2);
    size_t prior = find(bytes, count, macs, "\\\"prior\\\": ");
    memcpy(bytes + prior, "\\\"w50-low\\\" ", 12);
    write_bundle(repository, "tiny", "0.1.0", bytes, count);
}

void repository_put_broken(const struct repository *repository,
                           const char *name, const char *version)
{
    char bytes[MOST_BYTES];
    size_t count = read_tiny(bytes);
    write_bundle(repository, name, version, bytes, count / 2);
}

void repository_put_damaged(const struct repository *repository,
                            const char *name, const char *version)
{
    char bytes[MOST_BYTES];
    size_t count = make_variant(bytes, name, version, 'f');
    size_t header = (uint8_t)bytes[0] | (size_t)(uint8_t)bytes[1] << 8;
    size_t tensor = find(bytes, count, 0, "\"middle\":{");
    size_t from = find(bytes, count, tensor, "\"data_offsets\":[");
    /* The sign of its first F16. */
    bytes[8 + header + strtoul(bytes + from, NULL, 10) + 1] ^= (char)0x80;
    write_bundle(repository, name, version, bytes, count);
}

void repository_misplace(const struct repository *repository, const char *name,
                         const char *version, const char *folder_name,
                         const char *folder_version)
{
    char bytes[MOST_BYTES];
    size_t count = make_variant(bytes, name, version, 'f');
    write_bundle(repository, folder_name, folder_version, bytes, count);
}

void repository_delete(const struct repository *repository, const char *name,
                       const char *version)
{
    char path[300];
    snprintf(path, sizeof path, "%s/%s/%s/model.safetensors",
             repository->folder, name, version);
    ck_assert_int_eq(unlink(path), 0);
}

/* Two levels of folders, each name checked before it becomes part of a path. */
#include "server/folder.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "api/large.h"
#include "api/limits.h"

#define FILE_NAME "model.safetensors"

bool srv_file_stamp_same(const struct srv_file_stamp *a,
                         const struct srv_file_stamp *b)
{
    return a->device == b->device && a->inode == b->inode &&
           a->bytes == b->bytes && a->modified_ns == b->modified_ns;
}

/* Like strcmp, but a run of digits is one number. */
static int natural_order(const char *a, const char *b)
{
    while (*a && *b) {
        if (isdigit((unsigned char)*a) && isdigit((unsigned char)*b)) {
            a += strspn(a, "0");
            b += strspn(b, "0");
            size_t a_digits = strspn(a, "0123456789");
            size_t b_digits = strspn(b, "0123456789");
            if (a_digits != b_digits)
                return a_digits < b_digits ? -1 : 1;
            int order = memcmp(a, b, a_digits);
            if (order != 0)
                return order;
            a += a_digits;
            b += b_digits;
        } else if (*a != *b) {
            break;
        } else {
            a++;
            b++;
        }
    }
    return (unsigned char)*a - (unsigned char)*b;
}

int srv_bundle_file_order(const struct srv_bundle_file *a,
                          const struct srv_bundle_file *b)
{
    int order = strcmp(a->name, b->name);
    return order != 0 ? order : natural_order(b->version, a->version);
}

/* The names that a bundle can have (docs/WIRE.md); not "." or "..". */
static bool is_name(const char *text)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyz"
                                  "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    size_t length = strspn(text, allowed);
    return length > 0 && length < 64 && text[length] == '\0' && text[0] != '.';
}

/* Fills the stamp; false if there is no such regular file. */
static bool take_stamp(struct srv_bundle_file *file)
{
    struct stat info;
    if (stat(file->path, &info) != 0)
        return false;
    if (!S_ISREG(info.st_mode)) {
        errno = EISDIR;
        return false;
    }
    file->stamp.device = info.st_dev;
    file->stamp.inode = info.st_ino;
    file->stamp.bytes = info.st_size;
    file->stamp.modified_ns =
        (int64_t)info.st_mtim.tv_sec * 1000000000 + info.st_mtim.tv_nsec;
    return true;
}

/* Reads as many bytes as the stamp says. */
static enum api_status read_all(FILE *stream,
                                const struct srv_bundle_file *file,
                                uint8_t **bytes, size_t *count,
                                struct api_error *error)
{
    struct srv_bundle_file after = *file;
    size_t size = (size_t)file->stamp.bytes;
    uint8_t *made = api_large_alloc(size);
    if (!made)
        return api_fail(error, API_NO_MEMORY, "no memory for the bundle");
    bool whole = fread(made, 1, size, stream) == size;
    if (!whole || !take_stamp(&after) ||
        !srv_file_stamp_same(&after.stamp, &file->stamp)) {
        free(made);
        return api_fail(error, API_BAD_BUNDLE,
                        "the file changed while it was read");
    }
    *bytes = made;
    *count = size;
    return API_OK;
}

enum api_status srv_file_read(const struct srv_bundle_file *file,
                              uint8_t **bytes, size_t *count,
                              struct api_error *error)
{
    if (file->stamp.bytes > (off_t)API_LIMIT_BUNDLE_BYTES)
        return api_fail(error, API_BAD_BUNDLE, "more than %u bytes",
                        API_LIMIT_BUNDLE_BYTES);
    FILE *stream = fopen(file->path, "rb");
    if (!stream)
        return api_fail(error, API_NOT_FOUND, "%.120s: %s", file->path,
                        strerror(errno));
    enum api_status status = read_all(stream, file, bytes, count, error);
    fclose(stream);
    return status;
}

static void visit_versions(const char *folder, const char *name,
                           srv_visit_fn *visit, void *context)
{
    struct srv_bundle_file file = {.path = ""};
    int length = snprintf(file.path, sizeof file.path, "%s/%s", folder, name);
    if (length < 0 || (size_t)length >= sizeof file.path)
        return;
    DIR *versions = opendir(file.path);
    if (!versions)
        return;
    snprintf(file.name, sizeof file.name, "%s", name);
    for (struct dirent *item; (item = readdir(versions));) {
        if (!is_name(item->d_name))
            continue;
        length = snprintf(file.path, sizeof file.path, "%s/%s/%s/" FILE_NAME,
                          folder, name, item->d_name);
        if (length < 0 || (size_t)length >= sizeof file.path ||
            !take_stamp(&file))
            continue;
        snprintf(file.version, sizeof file.version, "%.63s", item->d_name);
        visit(context, &file);
    }
    closedir(versions);
}

enum api_status srv_folder_visit(const char *folder, srv_visit_fn *visit,
                                 void *context, struct api_error *error)
{
    DIR *models = opendir(folder);
    if (!models)
        return api_fail(error, API_NOT_FOUND, "%.120s: %s", folder,
                        strerror(errno));
    for (struct dirent *item; (item = readdir(models));) {
        if (is_name(item->d_name))
            visit_versions(folder, item->d_name, visit, context);
    }
    closedir(models);
    return API_OK;
}

enum api_status srv_file_visit(const char *path, srv_visit_fn *visit,
                               void *context, struct api_error *error)
{
    struct srv_bundle_file file = {.path = ""};
    snprintf(file.path, sizeof file.path, "%s", path);
    if (!take_stamp(&file))
        return api_fail(error, API_NOT_FOUND, "%.120s: %s", path,
                        strerror(errno));
    visit(context, &file);
    return API_OK;
}

/* Finds bundles in the file system, and tells whether one has changed. */
#ifndef CLEAVE_SERVER_FOLDER_H
#define CLEAVE_SERVER_FOLDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "api/status.h"

/* What changes when a file is replaced. */
struct srv_file_stamp {
    dev_t device;
    ino_t inode;
    off_t bytes;
    int64_t modified_ns;
};

bool srv_file_stamp_same(const struct srv_file_stamp *a,
                         const struct srv_file_stamp *b);

struct srv_bundle_file {
    char path[1024];
    char name[64], version[64]; /* of the folders; "" for a single file */
    struct srv_file_stamp stamp;
};

/* By name, then newest version first: runs of digits count as numbers, so
 * that 0.10 is newer than 0.9. Negative, 0 or positive. */
int srv_bundle_file_order(const struct srv_bundle_file *a,
                          const struct srv_bundle_file *b);

typedef void srv_visit_fn(void *context, const struct srv_bundle_file *file);

/* Calls `visit` for every FOLDER/<name>/<version>/model.safetensors. Names
 * that no model can have are passed over: they cannot be asked for.
 * API_NOT_FOUND if the folder cannot be read. */
enum api_status srv_folder_visit(const char *folder, srv_visit_fn *visit,
                                 void *context, struct api_error *error);

/* Reads a whole file into memory, malloc'ed: who overwrites it afterwards
 * changes nothing here, as it would with a map. API_BAD_BUNDLE if it is not
 * what was seen under `file->stamp`, or too large for a bundle; API_NOT_FOUND
 * if it cannot be read. */
enum api_status srv_file_read(const struct srv_bundle_file *file,
                              uint8_t **bytes, size_t *count,
                              struct api_error *error);

/* Calls `visit` for one file. API_NOT_FOUND if it cannot be read. */
enum api_status srv_file_visit(const char *path, srv_visit_fn *visit,
                               void *context, struct api_error *error);

#endif

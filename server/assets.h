/* Files that the build embeds (embed.cmake). */
#ifndef CLEAVE_SERVER_ASSETS_H
#define CLEAVE_SERVER_ASSETS_H

#include <stddef.h>

/* One file. Either form may be missing, never both. */
struct srv_asset {
    const char *path; /* under server/console/, or "openapi.yaml" */
    const char *media_type;
    const char *etag; /* in quotes; the same for both forms, so weak */
    const unsigned char *plain, *gzip; /* NULL: not held */
    size_t plain_bytes, gzip_bytes;
};

extern const struct srv_asset srv_assets[];
extern const size_t srv_asset_count;

#endif

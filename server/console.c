/* The pages for people: the console at /, the API's description at /docs. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "server/app.h"
#include "server/assets.h"
#include "server/handlers.h"

#define FOLDER "/console/"

/* A page may load what this server holds and nothing else; pictures also come
 * from the visitor's own disk and camera. */
#define CONTENT_SECURITY_POLICY                                                \
    "default-src 'none'; script-src 'self'; style-src 'self'; "                \
    "img-src 'self' blob: data:; connect-src 'self'; base-uri 'none'; "        \
    "form-action 'none'; frame-ancestors 'none'"

static const struct srv_asset *find(const char *path)
{
    for (size_t i = 0; i < srv_asset_count; i++)
        if (strcmp(srv_assets[i].path, path) == 0)
            return &srv_assets[i];
    return NULL;
}

/* Does a comma-separated header list `item`, and not with q=0? Parameters
 * besides that one are passed over (RFC 9110 section 12.4.2). */
static bool lists(const struct srv_request *request, const char *header,
                  const char *item)
{
    const char *at = srv_request_header(request, header);
    size_t length = strlen(item);
    while (at && *at) {
        at += strspn(at, ", \t");
        size_t whole = strcspn(at, ","), name = strcspn(at, ",; \t");
        if (name == length && strncasecmp(at, item, length) == 0) {
            const char *weight = strstr(at, "q=");
            return !weight || weight >= at + whole ||
                   strtod(weight + 2, NULL) > 0;
        }
        at += whole;
    }
    return false;
}

/* A client that takes no gzip gets it all the same where there is no other
 * form: RFC 9110 section 12.5.3 allows that, and only curl would notice. */
static void reply_asset(struct srv_request *request,
                        const struct srv_asset *asset, const char *vary)
{
    bool gzip = asset->gzip && (!asset->plain ||
                                lists(request, "Accept-Encoding", "gzip"));
    if (gzip)
        srv_reply_static(request, asset->media_type, asset->gzip,
                         asset->gzip_bytes);
    else
        srv_reply_static(request, asset->media_type, asset->plain,
                         asset->plain_bytes);
    /* The library sends no body then. */
    if (srv_request_holds(request, asset->etag))
        request->reply.code = 304;
    if (gzip)
        srv_reply_header(request, "Content-Encoding", "gzip");
    srv_reply_header(request, "Vary", "%s", vary);
    srv_reply_header(request, "ETag", "W/%s", asset->etag);
    srv_reply_header(request, "Cache-Control", "no-cache");
    srv_reply_header(request, "Content-Security-Policy", "%s",
                     CONTENT_SECURITY_POLICY);
    srv_reply_header(request, "X-Content-Type-Options", "nosniff");
    srv_reply_header(request, "Referrer-Policy", "no-referrer");
}

static void reply_page(struct srv_request *request, const char *path)
{
    const struct srv_asset *asset =
        request->app->config->console ? find(path) : NULL;
    if (asset)
        reply_asset(request, asset, "Accept-Encoding");
    else
        srv_reply_problem(request, API_NOT_FOUND, "no such path");
}

void srv_root(struct srv_request *request)
{
    static const char pointer[] =
        "cleaved " CLEAVE_VERSION ", a Cleave server\n\n"
        "  curl --data-binary @photo.jpg -H 'Content-Type: image/jpeg' "
        "<this address>/v1/classify\n\n"
        "Models: /v1/models   Description: /openapi.yaml   "
        "Health: /healthz /readyz /metrics\n";
    if (request->app->config->console &&
        lists(request, "Accept", "text/html")) {
        reply_asset(request, find("index.html"), "Accept, Accept-Encoding");
        return;
    }
    srv_reply_static(request, "text/plain; charset=utf-8", pointer,
                     sizeof pointer - 1);
    srv_reply_header(request, "Vary", "Accept");
}

void srv_docs(struct srv_request *request)
{
    reply_page(request, "docs.html");
}

void srv_console_file(struct srv_request *request)
{
    reply_page(request, request->path + sizeof FOLDER - 1);
}

void srv_openapi(struct srv_request *request)
{
    reply_asset(request, find("openapi.yaml"), "Accept-Encoding");
}

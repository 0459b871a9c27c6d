/* Loads bundles aside and puts each in its place in one step. */
#include "server/registry.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/folder.h"
#include "server/log.h"
#include "server/monotonic.h"

/* A bundle's place. */
struct entry {
    struct srv_bundle_file file; /* as last read */
    bool found;                  /* by the scan that is going on */
    bool unloaded;               /* on request, until loaded on request */
    struct srv_model *model;     /* NULL: not served */
    char reason[200];            /* why the file was refused, or "" */
};

struct srv_registry {
    struct srv_registry_options options;
    pthread_mutex_t lock; /* the loader reads without it, and writes with it */
    size_t count;
    /* By name, then newest version first. */
    struct entry *entries[API_LIMIT_MODELS];
};

static void log_entry(const struct entry *entry, enum srv_log_level level,
                      const char *event, int64_t begun_us)
{
    struct srv_log_line line;
    srv_log_begin(&line, level, event);
    srv_log_text(&line, "path", entry->file.path);
    srv_log_text(&line, "model", entry->file.name);
    srv_log_text(&line, "model_version", entry->file.version);
    if (entry->reason[0])
        srv_log_text(&line, "reason", entry->reason);
    if (begun_us > 0)
        srv_log_ms(&line, "duration_ms", srv_now_us() - begun_us);
    srv_log_end(&line);
}

/* Puts `model` (NULL: none) in the entry's place and lets go of the old one. */
static void publish(struct srv_registry *registry, struct entry *entry,
                    struct srv_model *model, const char *reason)
{
    pthread_mutex_lock(&registry->lock);
    struct srv_model *old = entry->model;
    entry->model = model;
    snprintf(entry->reason, sizeof entry->reason, "%s", reason);
    if (model) {
        snprintf(entry->file.name, sizeof entry->file.name, "%s",
                 model->info.name);
        snprintf(entry->file.version, sizeof entry->file.version, "%s",
                 model->info.version);
    }
    pthread_mutex_unlock(&registry->lock);
    srv_model_release(&old);
}

/* A folder's names are what people and requests go by, so a bundle must agree
 * with those that it lies in. A single bundle's place has no names before its
 * first load, and any afterwards. */
static enum api_status check_names(const struct srv_registry *registry,
                                   const struct entry *entry,
                                   const struct srv_model *model,
                                   struct api_error *error)
{
    const struct api_model *info = &model->info;
    if (!registry->options.folder[0] ||
        (strcmp(info->name, entry->file.name) == 0 &&
         strcmp(info->version, entry->file.version) == 0))
        return API_OK;
    return api_fail(error, API_BAD_BUNDLE,
                    "the bundle calls itself %s/%s, its folders %s/%s",
                    info->name, info->version, entry->file.name,
                    entry->file.version);
}

static void load(struct srv_registry *registry, struct entry *entry)
{
    int64_t begun_us = srv_now_us();
    struct srv_model *model = NULL;
    struct api_error why = {API_OK, ""};
    enum api_status status =
        srv_model_open(&entry->file, &registry->options.each, &model, &why);
    if (status == API_OK)
        status = check_names(registry, entry, model, &why);
    srv_metrics_load(registry->options.each.metrics, status == API_OK);
    if (status == API_OK) {
        publish(registry, entry, model, "");
        log_entry(entry, SRV_INFO, "model_loaded", begun_us);
        return;
    }
    srv_model_release(&model);
    pthread_mutex_lock(&registry->lock);
    snprintf(entry->reason, sizeof entry->reason, "%s", why.text);
    pthread_mutex_unlock(&registry->lock);
    log_entry(entry, SRV_ERROR,
              entry->model ? "model_refused_old_one_stays" : "model_refused",
              begun_us);
}

static struct entry *find_file(const struct srv_registry *registry,
                               const struct srv_bundle_file *file)
{
    for (size_t i = 0; i < registry->count; i++) {
        if (strcmp(registry->entries[i]->file.path, file->path) == 0)
            return registry->entries[i];
    }
    return NULL;
}

/* Adds an entry where it belongs; NULL if there is no memory or no room. */
static struct entry *add(struct srv_registry *registry,
                         const struct srv_bundle_file *file)
{
    struct entry *made = calloc(1, sizeof *made);
    if (!made || registry->count == API_LIMIT_MODELS) {
        free(made);
        return NULL;
    }
    made->file = *file;
    pthread_mutex_lock(&registry->lock);
    size_t at = registry->count++;
    for (; at > 0; at--) {
        struct entry *before = registry->entries[at - 1];
        if (srv_bundle_file_order(&before->file, file) <= 0)
            break;
        registry->entries[at] = before;
    }
    registry->entries[at] = made;
    pthread_mutex_unlock(&registry->lock);
    return made;
}

static void drop(struct srv_registry *registry, size_t i)
{
    struct entry *old = registry->entries[i];
    pthread_mutex_lock(&registry->lock);
    registry->count--;
    memmove(&registry->entries[i], &registry->entries[i + 1],
            (registry->count - i) * sizeof registry->entries[0]);
    pthread_mutex_unlock(&registry->lock);
    srv_model_release(&old->model);
    free(old);
}

/* One file of the folder. */
static void visit(void *context, const struct srv_bundle_file *file)
{
    struct srv_registry *registry = context;
    struct entry *entry = find_file(registry, file);
    bool is_new = entry == NULL;
    if (is_new)
        entry = add(registry, file);
    if (!entry) {
        srv_log_message(SRV_ERROR, "model_ignored",
                        "too many models, or no memory for one more");
        return;
    }
    entry->found = true;
    bool changed =
        is_new || !srv_file_stamp_same(&entry->file.stamp, &file->stamp);
    entry->file.stamp = file->stamp;
    if (changed && !entry->unloaded)
        load(registry, entry);
}

enum api_status srv_registry_scan(struct srv_registry *registry,
                                  struct api_error *error)
{
    const struct srv_registry_options *options = &registry->options;
    for (size_t i = 0; i < registry->count; i++)
        registry->entries[i]->found = false;
    enum api_status status =
        options->folder[0]
            ? srv_folder_visit(options->folder, visit, registry, error)
            : srv_file_visit(options->model, visit, registry, error);
    /* A folder that cannot be read says nothing of what is in it. */
    if (status != API_OK)
        return status;
    for (size_t i = registry->count; i-- > 0;) {
        if (registry->entries[i]->found)
            continue;
        log_entry(registry->entries[i], SRV_INFO, "model_removed", 0);
        drop(registry, i);
    }
    return API_OK;
}

static enum api_status nothing_served(struct srv_registry *registry,
                                      struct api_error *error)
{
    const struct srv_registry_options *options = &registry->options;
    for (size_t i = 0; i < registry->count; i++) {
        if (registry->entries[i]->reason[0])
            return api_fail(error, API_BAD_BUNDLE, "%s",
                            registry->entries[i]->reason);
    }
    return api_fail(error, API_NOT_FOUND, "no bundle to serve in %.120s",
                    options->folder[0] ? options->folder : options->model);
}

/* A name that no bundle has, served or refused, is a slip of the pen. */
static enum api_status check_default(const struct srv_registry *registry,
                                     struct api_error *error)
{
    const char *name = registry->options.default_model;
    bool known = name[0] == '\0';
    for (size_t i = 0; i < registry->count && !known; i++)
        known = strcmp(registry->entries[i]->file.name, name) == 0;
    return known ? API_OK
                 : api_fail(error, API_NOT_FOUND,
                            "no bundle of the default model %s", name);
}

enum api_status srv_registry_open(const struct srv_registry_options *options,
                                  struct srv_registry **registry,
                                  struct api_error *error)
{
    struct srv_registry *made = calloc(1, sizeof *made);
    if (!made)
        return api_fail(error, API_NO_MEMORY, "no memory for the models");
    made->options = *options;
    pthread_mutex_init(&made->lock, NULL);
    enum api_status status = srv_registry_scan(made, error);
    unsigned served, failed;
    srv_registry_count(made, &served, &failed);
    if (status == API_OK && served == 0)
        status = nothing_served(made, error);
    if (status == API_OK)
        status = check_default(made, error);
    if (status == API_OK)
        *registry = made;
    else
        srv_registry_close(&made);
    return status;
}

void srv_registry_close(struct srv_registry **registry)
{
    struct srv_registry *old = *registry;
    if (!old)
        return;
    while (old->count > 0)
        drop(old, old->count - 1);
    pthread_mutex_destroy(&old->lock);
    free(old);
    *registry = NULL;
}

static bool is_text(const char *own, const char *text, size_t length)
{
    return strlen(own) == length && memcmp(own, text, length) == 0;
}

/* With the lock held: the newest version that is served, or NULL. */
static struct srv_model *find(const struct srv_registry *registry,
                              const char *name, size_t name_length,
                              const char *version, size_t version_length)
{
    for (size_t i = 0; i < registry->count; i++) {
        const struct entry *entry = registry->entries[i];
        if (entry->model &&
            (!name || is_text(entry->file.name, name, name_length)) &&
            (!version || is_text(entry->file.version, version, version_length)))
            return entry->model;
    }
    return NULL;
}

static struct srv_model *find_default(const struct srv_registry *registry)
{
    const char *name = registry->options.default_model;
    return name[0] ? find(registry, name, strlen(name), NULL, 0)
                   : find(registry, NULL, 0, NULL, 0);
}

struct srv_model *srv_registry_take(struct srv_registry *registry,
                                    const char *name, size_t name_length,
                                    const char *version, size_t version_length)
{
    pthread_mutex_lock(&registry->lock);
    struct srv_model *model =
        name ? find(registry, name, name_length, version, version_length)
             : find_default(registry);
    if (model)
        srv_model_lease(model);
    pthread_mutex_unlock(&registry->lock);
    return model;
}

struct srv_model *srv_registry_take_print(struct srv_registry *registry,
                                          const char *name,
                                          uint64_t fingerprint)
{
    struct srv_model *model = NULL;
    pthread_mutex_lock(&registry->lock);
    for (size_t i = 0; i < registry->count && !model; i++) {
        struct srv_model *own = registry->entries[i]->model;
        if (own && own->info.fingerprint == fingerprint &&
            strcmp(own->info.name, name) == 0)
            model = srv_model_lease(own);
    }
    pthread_mutex_unlock(&registry->lock);
    return model;
}

size_t srv_registry_take_all(struct srv_registry *registry,
                             struct srv_model *models[API_LIMIT_MODELS])
{
    size_t count = 0;
    pthread_mutex_lock(&registry->lock);
    struct srv_model *first = find_default(registry);
    if (first)
        models[count++] = srv_model_lease(first);
    for (size_t i = 0; i < registry->count; i++) {
        struct srv_model *own = registry->entries[i]->model;
        if (own && own != first)
            models[count++] = srv_model_lease(own);
    }
    pthread_mutex_unlock(&registry->lock);
    return count;
}

size_t srv_registry_index(struct srv_registry *registry,
                          struct api_bundle_state bundles[API_LIMIT_MODELS])
{
    pthread_mutex_lock(&registry->lock);
    for (size_t i = 0; i < registry->count; i++) {
        const struct entry *entry = registry->entries[i];
        struct api_bundle_state *state = &bundles[i];
        snprintf(state->name, sizeof state->name, "%s", entry->file.name);
        snprintf(state->version, sizeof state->version, "%s",
                 entry->file.version);
        state->is_served = entry->model != NULL;
        snprintf(state->reason, sizeof state->reason, "%s",
                 entry->reason[0]  ? entry->reason
                 : entry->unloaded ? "unloaded on request"
                                   : "");
    }
    size_t count = registry->count;
    pthread_mutex_unlock(&registry->lock);
    return count;
}

void srv_registry_count(struct srv_registry *registry, unsigned *served,
                        unsigned *failed)
{
    *served = *failed = 0;
    pthread_mutex_lock(&registry->lock);
    for (size_t i = 0; i < registry->count; i++) {
        *served += registry->entries[i]->model != NULL;
        *failed += registry->entries[i]->reason[0] != '\0';
    }
    pthread_mutex_unlock(&registry->lock);
}

static void set_unloaded(struct srv_registry *registry, struct entry *entry,
                         bool unloaded)
{
    pthread_mutex_lock(&registry->lock);
    entry->unloaded = unloaded;
    pthread_mutex_unlock(&registry->lock);
}

enum api_status srv_registry_load(struct srv_registry *registry,
                                  const char *name, struct api_error *error)
{
    for (size_t i = 0; i < registry->count; i++) {
        struct entry *entry = registry->entries[i];
        if (strcmp(entry->file.name, name) != 0)
            continue;
        set_unloaded(registry, entry, false);
        entry->file.stamp = (struct srv_file_stamp){0}; /* no file's */
    }
    enum api_status status = srv_registry_scan(registry, error);
    if (status != API_OK)
        return status;
    status = api_fail(error, API_NOT_FOUND, "no bundle of that name");
    for (size_t i = 0; i < registry->count; i++) {
        const struct entry *entry = registry->entries[i];
        if (strcmp(entry->file.name, name) != 0)
            continue;
        if (entry->reason[0])
            return api_fail(error, API_UNPROCESSABLE, "%s", entry->reason);
        status = API_OK;
    }
    return status;
}

enum api_status srv_registry_unload(struct srv_registry *registry,
                                    const char *name, struct api_error *error)
{
    enum api_status status =
        api_fail(error, API_NOT_FOUND, "no bundle of that name");
    for (size_t i = 0; i < registry->count; i++) {
        struct entry *entry = registry->entries[i];
        if (strcmp(entry->file.name, name) != 0)
            continue;
        set_unloaded(registry, entry, true);
        publish(registry, entry, NULL, "");
        log_entry(entry, SRV_INFO, "model_unloaded", 0);
        status = API_OK;
    }
    return status;
}

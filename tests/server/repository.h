/* A folder of bundles that a test fills and changes. */
#ifndef CLEAVE_TESTS_REPOSITORY_H
#define CLEAVE_TESTS_REPOSITORY_H

struct repository {
    char folder[64];
};

/* Makes an empty folder; removing takes everything in it along. */
void repository_make(struct repository *repository);
void repository_remove(const struct repository *repository);

/* Puts the tiny model there as <name>/<version>/model.safetensors, replacing
 * what is there by rename. Both have as many characters as the tiny model's
 * own name ("tiny") and version ("0.1.0"); `digit` becomes the last one of
 * its fingerprint. */
void repository_put(const struct repository *repository, const char *name,
                    const char *version, char digit);

/* Puts the tiny model there with two tails for the frames of the point
 * "w50-low": the lighter one is the point "w50-high". */
void repository_put_two_tails(const struct repository *repository);

/* Puts half a bundle there in the same way. */
void repository_put_broken(const struct repository *repository,
                           const char *name, const char *version);

/* Puts the tiny model there with one bit of one weight flipped. */
void repository_put_damaged(const struct repository *repository,
                            const char *name, const char *version);

/* Puts the bundle called name and version into folders of other names. */
void repository_misplace(const struct repository *repository, const char *name,
                         const char *version, const char *folder_name,
                         const char *folder_version);

void repository_delete(const struct repository *repository, const char *name,
                       const char *version);

#endif

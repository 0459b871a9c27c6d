/* Bundles that are wrong in one place: the tiny bundle, with one edit. */
#ifndef CLEAVE_TESTS_NN_MUTANT_H
#define CLEAVE_TESTS_NN_MUTANT_H

#include <stddef.h>
#include <stdint.h>

/* A safetensors file taken apart. */
struct mutant;

/* Takes tests/data/tiny.safetensors apart; the test fails if it cannot. */
struct mutant *mutant_open(void);
void mutant_close(struct mutant *mutant);

/* Replaces what lies at `path` by the JSON in `text`, or removes it if that is
 * NULL. A path is member names and array numbers joined by '|', through the
 * header ("header|…") or the metadata document ("document|…"). "+" appends to
 * an array. Fails the test if the path leads nowhere. */
void mutant_edit(struct mutant *mutant, const char *path, const char *text);

/* Overwrites element `index` of a tensor of 4-byte elements. */
void mutant_poke(struct mutant *mutant, const char *tensor, size_t index,
                 uint32_t bits);

/* Adds a tensor of `bytes` zeros, which `dtype` and `shape` (JSON) should
 * take. */
void mutant_add(struct mutant *mutant, const char *name, const char *dtype,
                const char *shape, size_t bytes);

/* Makes the tail of point w50-low a graph with every int8 op. */
void mutant_int8(struct mutant *mutant);

/* Appends zeros to the tensors' part. */
void mutant_grow(struct mutant *mutant, size_t bytes);

/* Puts the file together again: malloc'ed, exactly as long as the file, so
 * that sanitizers see any read past it. */
uint8_t *mutant_write(const struct mutant *mutant, size_t *bytes);

#endif

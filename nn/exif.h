/* The orientation of a picture, out of its untrusted EXIF segment. */
#ifndef CLEAVE_NN_EXIF_H
#define CLEAVE_NN_EXIF_H

#include <stddef.h>
#include <stdint.h>

/* Reads the orientation (1 to 8, EXIF 2.32 section 4.6.4 A, tag 0x0112) from
 * the contents of an APP1 segment, which begin with "Exif\0\0". 1, which means
 * upright, for whatever is absent, damaged or out of range. Thread-safe. */
int nn_exif_orientation(const uint8_t *segment, size_t count);

#endif

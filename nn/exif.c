/* A bounded walk through the first TIFF directory of an EXIF segment. */
#include "nn/exif.h"

#include <stdbool.h>
#include <string.h>

enum {
    TAG_ORIENTATION = 0x0112,
    ENTRY_BYTES = 12,
    TYPE_BYTE = 1,
    TYPE_SHORT = 3,
    TYPE_LONG = 4
};

/* TIFF bytes with their order of digits. */
struct tiff {
    const uint8_t *bytes;
    size_t count;
    bool big_endian;
};

/* An unsigned number of 1, 2 or 4 bytes; 0 outside the segment, which no
 * valid field that we look for has. */
static uint32_t number(const struct tiff *tiff, size_t at, size_t width)
{
    if (at > tiff->count || tiff->count - at < width)
        return 0;
    uint32_t value = 0;
    for (size_t i = 0; i < width; i++) {
        size_t next = tiff->big_endian ? i : width - 1 - i;
        value = value << 8 | tiff->bytes[at + next];
    }
    return value;
}

static uint32_t entry_value(const struct tiff *tiff, size_t entry)
{
    /* Short values sit at the front of the field, in either order. */
    switch (number(tiff, entry + 2, 2)) {
    case TYPE_BYTE:
        return number(tiff, entry + 8, 1);
    case TYPE_SHORT:
        return number(tiff, entry + 8, 2);
    case TYPE_LONG:
        return number(tiff, entry + 8, 4);
    default:
        return 0;
    }
}

int nn_exif_orientation(const uint8_t *segment, size_t count)
{
    if (count < 14 || memcmp(segment, "Exif\0", 6) != 0)
        return 1;
    struct tiff tiff = {segment + 6, count - 6, segment[6] == 'M'};
    if (memcmp(tiff.bytes, tiff.big_endian ? "MM\0*" : "II*\0", 4) != 0)
        return 1;
    size_t directory = number(&tiff, 4, 4);
    if (directory >= tiff.count)
        return 1;
    uint32_t entries = number(&tiff, directory, 2);
    for (uint32_t i = 0; i < entries; i++) {
        size_t entry = directory + 2 + (size_t)i * ENTRY_BYTES;
        if (entry + ENTRY_BYTES > tiff.count)
            return 1;
        if (number(&tiff, entry, 2) != TAG_ORIENTATION ||
            number(&tiff, entry + 4, 4) != 1)
            continue;
        uint32_t value = entry_value(&tiff, entry);
        return value >= 1 && value <= 8 ? (int)value : 1;
    }
    return 1;
}

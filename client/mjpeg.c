/* Where the JPEGs of a stream begin and end. */
#include "client/mjpeg.h"

#include <string.h>

/* Markers; those with neither length nor payload are the last two kinds. */
enum { SOI = 0xD8, EOI = 0xD9, SOS = 0xDA, TEM = 0x01, RST0 = 0xD0 };

enum state {
    BETWEEN,     /* pictures */
    BETWEEN_FF,  /* and an FF was seen */
    SEGMENTS,    /* a marker is due */
    SEGMENTS_FF, /* its FF was seen */
    LENGTH_HIGH, /* the first byte of a segment's length is due */
    LENGTH_LOW,  /* the second */
    PAYLOAD,     /* of a segment */
    SCAN,        /* entropy-coded data */
    SCAN_FF      /* and an FF was seen */
};

static int is_bare(int code)
{
    return code == TEM || (code >= RST0 && code < SOI);
}

/* The byte behind an FF inside a picture. */
static enum cli_mjpeg_event take_marker(struct cli_mjpeg *scanner, int code,
                                        enum state otherwise)
{
    scanner->code = code;
    if (code == SOI) {
        scanner->state = SEGMENTS;
        return CLI_MJPEG_BEGIN;
    }
    if (code == EOI) {
        scanner->state = BETWEEN;
        return CLI_MJPEG_END;
    }
    if (code != 0xFF) /* any number of them may stand before a marker */
        scanner->state =
            code == 0 || is_bare(code) ? (int)otherwise : LENGTH_HIGH;
    return CLI_MJPEG_NOTHING;
}

static void take_length(struct cli_mjpeg *scanner)
{
    /* The length counts its own two bytes; less cannot be, and is passed
     * over as libjpeg does with stray bytes. */
    scanner->left = scanner->length > 2 ? scanner->length - 2 : 0;
    scanner->state = scanner->left > 0      ? PAYLOAD
                     : scanner->code == SOS ? SCAN
                                            : SEGMENTS;
}

static enum cli_mjpeg_event take_byte(struct cli_mjpeg *scanner,
                                      unsigned char byte)
{
    switch ((enum state)scanner->state) {
    case BETWEEN:
        scanner->state = byte == 0xFF ? BETWEEN_FF : BETWEEN;
        break;
    case BETWEEN_FF:
        if (byte == SOI) {
            scanner->state = SEGMENTS;
            return CLI_MJPEG_BEGIN;
        }
        scanner->state = byte == 0xFF ? BETWEEN_FF : BETWEEN;
        break;
    case SEGMENTS:
        scanner->state = byte == 0xFF ? SEGMENTS_FF : SEGMENTS;
        break;
    case SEGMENTS_FF:
        return take_marker(scanner, byte, SEGMENTS);
    case LENGTH_HIGH:
        scanner->length = (unsigned)byte << 8;
        scanner->state = LENGTH_LOW;
        break;
    case LENGTH_LOW:
        scanner->length |= byte;
        take_length(scanner);
        break;
    case PAYLOAD:
        if (--scanner->left == 0)
            scanner->state = scanner->code == SOS ? SCAN : SEGMENTS;
        break;
    case SCAN:
        scanner->state = byte == 0xFF ? SCAN_FF : SCAN;
        break;
    case SCAN_FF:
        return take_marker(scanner, byte, SCAN);
    }
    return CLI_MJPEG_NOTHING;
}

/* How many bytes from here on cannot change anything: all of a payload but its
 * last, and data up to the next FF. */
static size_t skippable(struct cli_mjpeg *scanner, const unsigned char *bytes,
                        size_t count)
{
    if (scanner->state == PAYLOAD) {
        size_t most = scanner->left - 1;
        size_t skipped = most < count ? most : count;
        scanner->left -= skipped;
        return skipped;
    }
    if (scanner->state != SCAN && scanner->state != BETWEEN)
        return 0;
    const unsigned char *next = memchr(bytes, 0xFF, count);
    return next ? (size_t)(next - bytes) : count;
}

enum cli_mjpeg_event cli_mjpeg_scan(struct cli_mjpeg *scanner,
                                    const unsigned char *bytes, size_t count,
                                    size_t *used)
{
    size_t at = 0;
    enum cli_mjpeg_event event = CLI_MJPEG_NOTHING;
    while (at < count && event == CLI_MJPEG_NOTHING) {
        at += skippable(scanner, bytes + at, count - at);
        if (at < count)
            event = take_byte(scanner, bytes[at++]);
    }
    *used = at;
    return event;
}

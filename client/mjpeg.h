/* Where the JPEGs of a stream begin and end. */
#ifndef CLEAVE_CLIENT_MJPEG_H
#define CLEAVE_CLIENT_MJPEG_H

#include <stddef.h>

/* A scanner of motion JPEG: JPEGs one behind the other, as ffmpeg's mjpeg and
 * image2pipe formats and libcamera write them, with anything between them. It
 * follows the marker segments (ITU-T T.81, annex B), so that a thumbnail in an
 * Exif segment begins no picture and ends none. Zero-initialised: before the
 * first byte. Plain data; not thread-safe. */
struct cli_mjpeg {
    int state;
    unsigned length; /* of the segment, as far as it is known */
    size_t left;     /* bytes of it to come */
    int code;        /* its marker */
};

enum cli_mjpeg_event {
    CLI_MJPEG_NOTHING,
    CLI_MJPEG_BEGIN, /* the last two bytes seen begin a picture; one that had
                      * begun before is cut short in front of them */
    CLI_MJPEG_END    /* the last byte seen ends it */
};

/* Looks at bytes until something happens: *used becomes how many. */
enum cli_mjpeg_event cli_mjpeg_scan(struct cli_mjpeg *scanner,
                                    const unsigned char *bytes, size_t count,
                                    size_t *used);

#endif

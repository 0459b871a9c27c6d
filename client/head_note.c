/* The note beside a cached bundle: its ETag, size and checksum. */
#include "client/head_note.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "api/frame.h"
#include "api/limits.h"

#define FIRST_LINE "cleave head 1"
#define NOTE_BYTES 320u
#define READ_BYTES 65536u

/* Only what a header line can carry back: visible ASCII without blanks. */
static bool is_plain(const char *etag)
{
    for (; *etag; etag++) {
        if (*etag <= ' ' || *etag > '~')
            return false;
    }
    return true;
}

bool cli_head_note_read(const char *path, struct cli_head_note *note)
{
    FILE *file = fopen(path, "rbe");
    if (!file)
        return false;
    char text[NOTE_BYTES];
    size_t count = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[count] = '\0';
    struct cli_head_note read = {.bytes = 0};
    int end = -1;
    /* No blank before the ETag: sscanf would eat an empty one's newline. */
    if (sscanf(text, FIRST_LINE "\n%10" SCNu64 " %8" SCNx32 " etag:%n",
               &read.bytes, &read.crc, &end) != 2 ||
        end < 0 || strlen(text) != count)
        return false;
    const char *etag = text + end;
    const char *newline = strchr(etag, '\n');
    if (!newline || newline[1] != '\0' ||
        (size_t)(newline - etag) >= sizeof read.etag)
        return false;
    memcpy(read.etag, etag, (size_t)(newline - etag));
    if (!is_plain(read.etag))
        return false;
    *note = read;
    return true;
}

static enum api_status cannot_write(struct api_error *error, const char *path)
{
    char reason[80] = "";
    strerror_r(errno, reason, sizeof reason);
    return api_fail(error, API_INTERNAL, "cannot write %.100s: %s", path,
                    reason);
}

enum api_status cli_head_note_write(const char *path, const char *temporary,
                                    const struct cli_head_note *note,
                                    struct api_error *error)
{
    FILE *file = fopen(temporary, "wbe");
    if (!file)
        return cannot_write(error, temporary);
    bool written =
        fprintf(file, FIRST_LINE "\n%" PRIu64 " %08" PRIx32 " etag:%s\n",
                note->bytes, note->crc,
                is_plain(note->etag) ? note->etag : "") > 0 &&
        fflush(file) == 0 && fsync(fileno(file)) == 0;
    if (fclose(file) != 0 || !written || rename(temporary, path) != 0) {
        enum api_status status = cannot_write(error, path);
        unlink(temporary);
        return status;
    }
    return API_OK;
}

bool cli_head_note_measure(const char *path, struct cli_head_note *note)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    uint8_t bytes[READ_BYTES];
    uint64_t total = 0;
    uint32_t crc = 0;
    ssize_t count = 1;
    while (count > 0 && total <= API_LIMIT_BUNDLE_BYTES) {
        count = read(fd, bytes, sizeof bytes);
        if (count < 0 && errno == EINTR) {
            count = 1;
        } else if (count > 0) {
            crc = api_crc32c(crc, bytes, (size_t)count);
            total += (uint64_t)count;
        }
    }
    close(fd);
    if (count != 0)
        return false;
    note->bytes = total;
    note->crc = crc;
    return true;
}

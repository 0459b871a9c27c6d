/* What every reader of untrusted JSON does to each member. */
#include "api/json_read.h"

#include <stdbool.h>
#include <string.h>

#include "api/limits.h"

/* Bytes of `text` that fit in `capacity` with a NUL without cutting a UTF-8
 * character. */
static size_t fitting(const char *text, size_t capacity)
{
    size_t length = strlen(text);
    if (length < capacity)
        return length;
    length = capacity - 1;
    while (length > 0 && ((unsigned char)text[length] & 0xC0) == 0x80)
        length--;
    return length;
}

void api_copy_cut(char *out, size_t capacity, const char *text)
{
    size_t length = fitting(text, capacity);
    memcpy(out, text, length);
    out[length] = '\0';
}

void api_refuse(struct api_reader *reader, const char *name, const char *why)
{
    if (reader->status == API_OK)
        reader->status = api_fail(reader->error, API_UNPROCESSABLE,
                                  "member \"%s\" %s", name, why);
}

json_t *api_member(struct api_reader *reader, const json_t *object,
                   const char *name, bool required)
{
    json_t *value = json_object_get(object, name);
    if (!value && required)
        api_refuse(reader, name, "is missing");
    return reader->status == API_OK ? value : NULL;
}

static bool has_controls(const char *text)
{
    for (; *text; text++) {
        if ((unsigned char)*text < 0x20 || *text == 0x7F)
            return true;
    }
    return false;
}

void api_read_string(struct api_reader *reader, const json_t *object,
                     const char *name, bool required, bool cut, char *out,
                     size_t capacity)
{
    json_t *value = api_member(reader, object, name, required);
    if (!value)
        return;
    const char *text = json_string_value(value);
    if (!text)
        api_refuse(reader, name, "is not a string");
    else if (has_controls(text))
        api_refuse(reader, name, "has control characters");
    else if (!cut && strlen(text) >= capacity)
        api_refuse(reader, name, "is too long");
    else
        api_copy_cut(out, capacity, text);
}

void api_read_name(struct api_reader *reader, const json_t *object,
                   const char *name, char *out, size_t capacity)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyz"
                                  "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    api_read_string(reader, object, name, true, false, out, capacity);
    if (reader->status == API_OK &&
        (out[0] == '\0' || out[0] == '.' || out[strspn(out, allowed)] != '\0'))
        api_refuse(reader, name, "is not a plain name");
}

uint64_t api_read_whole(struct api_reader *reader, const json_t *object,
                        const char *name, bool required, uint64_t least,
                        uint64_t most, uint64_t absent)
{
    json_t *value = api_member(reader, object, name, required);
    if (!value)
        return absent;
    if (!json_is_integer(value)) {
        api_refuse(reader, name, "is not a whole number");
        return absent;
    }
    json_int_t number = json_integer_value(value);
    if (number < 0 || (uint64_t)number < least || (uint64_t)number > most) {
        api_refuse(reader, name, "is out of range");
        return absent;
    }
    return (uint64_t)number;
}

double api_read_real(struct api_reader *reader, const json_t *object,
                     const char *name, bool required, double least, double most,
                     double absent)
{
    json_t *value = api_member(reader, object, name, required);
    if (!value)
        return absent;
    if (!json_is_number(value)) {
        api_refuse(reader, name, "is not a number");
        return absent;
    }
    double number = json_number_value(value);
    if (!(number >= least && number <= most)) {
        api_refuse(reader, name, "is out of range");
        return absent;
    }
    return number;
}

/* jansson refuses embedded NULs, invalid UTF-8 and anything after the
 * document. It says nothing where memory runs out. */
enum api_status api_parse_object(const char *text, size_t bytes, json_t **root,
                                 struct api_error *error)
{
    if (bytes > API_LIMIT_REPLY_BYTES)
        return api_fail(error, API_UNPROCESSABLE, "document exceeds %u bytes",
                        API_LIMIT_REPLY_BYTES);
    json_error_t why;
    json_t *parsed = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &why);
    if (!parsed && why.text[0] == '\0')
        return api_fail(error, API_NO_MEMORY, "no memory for a document");
    if (!parsed) {
        /* jansson quotes the document, which may hold anything. */
        for (char *at = why.text; *at; at++) {
            if ((unsigned char)*at < 0x20 || (unsigned char)*at > 0x7E)
                *at = '?';
        }
        return api_fail(error, API_UNPROCESSABLE,
                        "not JSON: %s at line %d column %d", why.text, why.line,
                        why.column);
    }
    if (!json_is_object(parsed)) {
        json_decref(parsed);
        return api_fail(error, API_UNPROCESSABLE, "not a JSON object");
    }
    *root = parsed;
    return API_OK;
}

/* openapi.yaml, embedded by the build (embed.cmake). */
#ifndef CLEAVE_SERVER_OPENAPI_H
#define CLEAVE_SERVER_OPENAPI_H

#include <stddef.h>

extern const unsigned char srv_openapi_text[];
extern const size_t srv_openapi_bytes;

#endif

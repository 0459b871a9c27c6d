# cmake -DINPUT=file -DOUTPUT=file.c -P embed.cmake: the file as a C array.
file(READ ${INPUT} hex HEX)
string(REGEX REPLACE "(..)" "0x\\1," bytes "${hex}")
string(REGEX REPLACE "(................................................................................)" "\\1\n" bytes "${bytes}")
file(WRITE ${OUTPUT} "/* Made by embed.cmake from openapi.yaml. */
#include \"server/openapi.h\"
const unsigned char srv_openapi_text[] = {
${bytes}0};
const size_t srv_openapi_bytes = sizeof srv_openapi_text - 1;
")

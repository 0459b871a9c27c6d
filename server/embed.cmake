# cmake -DFILES=… -DOUTPUT=file.c -P embed.cmake: files as C arrays, plain and
# gzipped. FILES: a list of path=file, separated by |.
find_program(GZIP gzip REQUIRED)

set(type_html "text/html; charset=utf-8")
set(type_css "text/css; charset=utf-8")
set(type_js "text/javascript; charset=utf-8")
set(type_svg "image/svg+xml")
set(type_jpg "image/jpeg")
set(type_yaml "application/yaml")

# Appends FILE to `text` as the array NAME.
function(append_array name file)
  file(READ ${file} hex HEX)
  string(REGEX REPLACE "(..)" "0x\\1," bytes "${hex}")
  string(REPEAT "[0-9a-fx,]" 75 line)
  string(REGEX REPLACE "(${line})" "\\1\n" bytes "${bytes}")
  set(text "${text}static const unsigned char ${name}[] = {\n${bytes}};\n"
      PARENT_SCOPE)
endfunction()

set(text "/* Made by embed.cmake. */\n#include \"server/assets.h\"\n")
set(table "")
set(number 0)
string(REPLACE "|" ";" FILES "${FILES}")
foreach(entry IN LISTS FILES)
  string(REGEX MATCH "^([^=]+)=(.+)$" matched "${entry}")
  set(path ${CMAKE_MATCH_1})
  set(file ${CMAKE_MATCH_2})
  file(SHA256 ${file} hash)
  string(SUBSTRING ${hash} 0 16 hash)
  set(plain "NULL")
  set(plain_bytes 0)
  set(gzip "NULL")
  set(gzip_bytes 0)
  if(NOT file MATCHES "\\.gz$")
    set(plain plain_${number})
    set(plain_bytes "sizeof plain_${number}")
    append_array(plain_${number} ${file})
  endif()
  if(NOT file MATCHES "\\.jpg$")
    set(gzipped ${file})
    if(NOT file MATCHES "\\.gz$")
      set(gzipped ${OUTPUT}.gz)
      execute_process(COMMAND ${GZIP} -9nc ${file} OUTPUT_FILE ${gzipped}
                      COMMAND_ERROR_IS_FATAL ANY)
    endif()
    set(gzip gzip_${number})
    set(gzip_bytes "sizeof gzip_${number}")
    append_array(gzip_${number} ${gzipped})
  endif()
  string(REGEX MATCH "[a-z]+$" extension "${path}")
  string(APPEND table "    {\"${path}\", \"${type_${extension}}\",
     \"\\\"${hash}\\\"\", ${plain}, ${gzip}, ${plain_bytes}, ${gzip_bytes}},\n")
  math(EXPR number "${number} + 1")
endforeach()
file(REMOVE ${OUTPUT}.gz)
file(WRITE ${OUTPUT} "${text}const struct srv_asset srv_assets[] = {
${table}};
const size_t srv_asset_count = sizeof srv_assets / sizeof srv_assets[0];
")

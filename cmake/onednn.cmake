# Finds oneDNN for CLEAVE_ONEDNN: sets ONEDNN_INCLUDE_DIR and ONEDNN_SONAME, the
# name by which the library is loaded, empty where it is not to be used. The
# name is read from the library: Debian's are libdnnl.so.2 and libdnnl.so.3.6.
set(ONEDNN_SONAME "")
if(CLEAVE_ONEDNN STREQUAL "OFF")
  message(STATUS "oneDNN: off")
  return()
endif()
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|amd64|AMD64)$")
  find_path(ONEDNN_INCLUDE_DIR oneapi/dnnl/dnnl.h)
  find_library(ONEDNN_LIBRARY dnnl)
  mark_as_advanced(ONEDNN_INCLUDE_DIR ONEDNN_LIBRARY)
  if(ONEDNN_INCLUDE_DIR AND ONEDNN_LIBRARY)
    execute_process(COMMAND ${CMAKE_OBJDUMP} -p ${ONEDNN_LIBRARY}
                    OUTPUT_VARIABLE onednn_header)
    if(onednn_header MATCHES "SONAME +(libdnnl\\.so\\.[23][.0-9]*)")
      set(ONEDNN_SONAME ${CMAKE_MATCH_1})
    endif()
  endif()
endif()
if(ONEDNN_SONAME)
  message(STATUS "oneDNN: ${ONEDNN_SONAME}, loaded when a network asks for it")
elseif(CLEAVE_ONEDNN STREQUAL "ON")
  message(FATAL_ERROR "CLEAVE_ONEDNN is ON, but there is no oneDNN 2 or 3 with "
          "headers (Debian: libdnnl-dev), or this is no x86-64 machine")
else()
  message(STATUS "oneDNN: not found")
endif()

# Fails if libcleave.so shows a symbol that is not cleave_*, lacks one that
# cleave.h declares, or has no SONAME. Needs LIBRARY, HEADER, NM and READELF.
cmake_minimum_required(VERSION 3.25)
execute_process(COMMAND ${NM} -D --defined-only ${LIBRARY}
  OUTPUT_VARIABLE listing COMMAND_ERROR_IS_FATAL ANY)
string(REGEX MATCHALL "[^\n ]+\n" symbols "${listing}")
set(shown "")
foreach(symbol ${symbols})
  string(STRIP "${symbol}" symbol)
  if(NOT symbol MATCHES "^cleave_[a-z_]+$")
    message(SEND_ERROR "${LIBRARY} shows ${symbol}")
  endif()
  list(APPEND shown ${symbol})
endforeach()

file(READ ${HEADER} header)
string(REGEX MATCHALL "[ *\n]cleave_[a-z_]+\\(" declared "${header}")
foreach(function ${declared})
  string(REGEX REPLACE "[ *\n(]" "" function "${function}")
  if(NOT function IN_LIST shown)
    message(SEND_ERROR "${LIBRARY} lacks ${function}")
  endif()
endforeach()
list(LENGTH declared count)
if(count LESS 5)
  message(SEND_ERROR "cleave.h declares next to nothing: ${count}")
endif()

execute_process(COMMAND ${READELF} -d ${LIBRARY}
  OUTPUT_VARIABLE dynamic COMMAND_ERROR_IS_FATAL ANY)
if(NOT dynamic MATCHES "SONAME.*libcleave\\.so\\.[0-9]+")
  message(SEND_ERROR "${LIBRARY} has no versioned SONAME")
endif()

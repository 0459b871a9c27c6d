# Manual pages from --help, where help2man is installed.
find_program(HELP2MAN help2man)
if(NOT HELP2MAN OR CLEAVE_SANITIZE)
  return()
endif()
list(JOIN CMAKE_CROSSCOMPILING_EMULATOR " " emulator)

# man_page(PAGE COMMAND DESCRIPTION): PAGE.1 of "cleave COMMAND --help".
function(man_page page command description)
  set(file ${CMAKE_BINARY_DIR}/man/${page}.1)
  string(STRIP "${emulator} $<TARGET_FILE:cleave> ${command}" called)
  add_custom_command(OUTPUT ${file}
    COMMAND ${CMAKE_SOURCE_DIR}/scripts/make-man ${HELP2MAN} ${called}
            ${page} ${PROJECT_VERSION} ${description} ${file}
    DEPENDS cleave ${CMAKE_SOURCE_DIR}/scripts/make-man
    VERBATIM)
  set_property(GLOBAL APPEND PROPERTY CLEAVE_MAN_PAGES ${file})
  install(FILES ${file} DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
endfunction()

man_page(cleave "" "classify pictures on a weak device")
man_page(cleave-run run "say what is on pictures")
man_page(cleave-points points "list a server's operating points")
man_page(cleave-probe probe "measure the link to a server")
man_page(cleave-explain explain "show what a decision was made from")
man_page(cleave-doctor doctor "check what pictures need")

get_property(pages GLOBAL PROPERTY CLEAVE_MAN_PAGES)
add_custom_target(man ALL DEPENDS ${pages})
if(BUILD_TESTING)
  add_test(NAME man_pages
    COMMAND ${CMAKE_SOURCE_DIR}/tests/client/check_man ${pages})
endif()

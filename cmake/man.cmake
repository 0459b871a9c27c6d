# Manual pages from --help, where help2man is installed.
find_program(HELP2MAN help2man)
if(NOT HELP2MAN OR CLEAVE_SANITIZE)
  return()
endif()
list(JOIN CMAKE_CROSSCOMPILING_EMULATOR " " emulator)

# man_page(COMPONENT PAGE TARGET COMMAND DESCRIPTION): PAGE.1 of
# "TARGET COMMAND --help".
function(man_page component page target command description)
  set(file ${CMAKE_BINARY_DIR}/man/${page}.1)
  string(STRIP "${emulator} $<TARGET_FILE:${target}> ${command}" called)
  add_custom_command(OUTPUT ${file}
    COMMAND ${CMAKE_SOURCE_DIR}/scripts/make-man ${HELP2MAN} ${called}
            ${page} ${PROJECT_VERSION} ${description} ${file}
    DEPENDS ${target} ${CMAKE_SOURCE_DIR}/scripts/make-man
    VERBATIM)
  set_property(GLOBAL APPEND PROPERTY CLEAVE_MAN_PAGES ${file})
  install(FILES ${file} DESTINATION ${CMAKE_INSTALL_MANDIR}/man1
    COMPONENT ${component})
endfunction()

man_page(program cleave cleave "" "classify pictures on a weak device")
man_page(program cleave-run cleave run "say what is on pictures")
man_page(program cleave-points cleave points "list a server's operating points")
man_page(program cleave-probe cleave probe "measure the link to a server")
man_page(program cleave-explain cleave explain "show what a decision was made from")
man_page(program cleave-simulate cleave simulate "predict what a fleet will do")
man_page(program cleave-doctor cleave doctor "check what pictures need")
man_page(server cleaved cleaved "" "classify pictures, and finish what devices began")

get_property(pages GLOBAL PROPERTY CLEAVE_MAN_PAGES)
add_custom_target(man ALL DEPENDS ${pages})
if(BUILD_TESTING)
  add_test(NAME man_pages
    COMMAND ${CMAKE_SOURCE_DIR}/tests/client/check_man ${pages})
endif()

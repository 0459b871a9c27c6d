# Run by cpack between installing the components into their folders and packing
# those: adds what Debian's policy asks of each package.
foreach(component ${CPACK_COMPONENTS_ALL})
  string(TOUPPER ${component} upper)
  set(package ${CPACK_DEBIAN_${upper}_PACKAGE_NAME})
  set(stage ${CPACK_TEMPORARY_INSTALL_DIRECTORY}/${component})
  set(doc ${stage}/usr/share/doc/${package})

  # Not file(INSTALL), which would prepend cpack's own DESTDIR.
  configure_file(${CPACK_CLEAVE_SOURCE}/cmake/debian/copyright ${doc}/copyright
                 COPYONLY)
  configure_file(${CPACK_CLEAVE_SOURCE}/CHANGELOG.md ${doc}/changelog COPYONLY)
  # SOURCE_DATE_EPOCH, where it is set, keeps a build reproducible.
  string(TIMESTAMP date "%a, %d %b %Y %H:%M:%S +0000" UTC)
  file(WRITE ${doc}/changelog.Debian
       "cleave (${CPACK_CLEAVE_VERSION}) unstable; urgency=medium\n\n"
       "  * What is new is in changelog.gz.\n\n"
       " -- ${CPACK_PACKAGE_CONTACT}  ${date}\n")
  file(GLOB compressed ${doc}/changelog* ${stage}/usr/share/man/man1/*.1)
  execute_process(COMMAND gzip -9nf ${compressed}
                  COMMAND_ERROR_IS_FATAL ANY)
  file(GLOB archives ${stage}/usr/lib/*/*.a ${stage}/usr/lib/*.a)
  if(archives)
    execute_process(COMMAND strip --strip-debug -D -R .comment
                    -R .gnu.lto_* -R .gnu.debuglto_* ${archives}
                    COMMAND_ERROR_IS_FATAL ANY)
  endif()
endforeach()

set(stage ${CPACK_TEMPORARY_INSTALL_DIRECTORY})
file(COPY ${CPACK_CLEAVE_SOURCE}/client/examples
     DESTINATION ${stage}/development/usr/share/doc/libcleave-dev)
configure_file(${CPACK_CLEAVE_SOURCE}/cmake/debian/cleaved/default
               ${stage}/server/etc/default/cleaved COPYONLY)

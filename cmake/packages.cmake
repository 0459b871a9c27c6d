# Debian packages by CPack: cmake --workflow --preset deb. One for each
# component of the install rules; finish.cmake adds what Debian asks for.
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME cleave)
set(CPACK_PACKAGE_VENDOR "The Cleave authors")
set(CPACK_PACKAGE_CONTACT "The Cleave authors <cleave@cleave.invalid>"
    CACHE STRING "Maintainer of the packages: NAME <ADDRESS>")
set(CPACK_OUTPUT_FILE_PREFIX ${CMAKE_BINARY_DIR}/packages)
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS
    OWNER_READ OWNER_WRITE OWNER_EXECUTE
    GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
set(CPACK_COMPONENTS_ALL server program library development)
set(CPACK_COMPONENTS_GROUPING IGNORE)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_RELEASE 1)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(debian_version ${PROJECT_VERSION}-${CPACK_DEBIAN_PACKAGE_RELEASE})

# deb_package(COMPONENT NAME SECTION SYNOPSIS LINES): LINES follow what all
# packages say of themselves.
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "") # which CPack puts before synopses
macro(deb_package component name section synopsis lines)
  set(CPACK_DEBIAN_${component}_PACKAGE_NAME ${name})
  set(CPACK_DEBIAN_${component}_PACKAGE_SECTION ${section})
  set(CPACK_DEBIAN_${component}_PACKAGE_SHLIBDEPS ON)
  set(CPACK_DEBIAN_${component}_DESCRIPTION "${synopsis}
Cleave splits a vision network between a weak device and a server: for each
picture the device sends the JPEG, or a few hundred bytes of features, or
answers by itself.
.
${lines}")
endmacro()

deb_package(SERVER cleaved net "split-computing inference server"
"This is the server, with a network that knows ImageNet's 1000 classes. It
listens on 127.0.0.1:8080 until /etc/default/cleaved says otherwise.")
deb_package(PROGRAM cleave graphics "classify pictures on a weak device"
"This is the device's command.")
deb_package(LIBRARY libcleave${PROJECT_VERSION_MAJOR} libs
"split-computing inference for devices - library"
"This is the device's library.")
deb_package(DEVELOPMENT libcleave-dev libdevel
"split-computing inference for devices - development files"
"Header, static library, examples, and what pkg-config and CMake need to build
with libcleave.")

# Loaded if it is there, for networks that few servers have: libdnnl.so.2 is in
# Debian's package libdnnl2.
string(REPLACE ".so." "" CPACK_DEBIAN_SERVER_PACKAGE_SUGGESTS
       "${ONEDNN_SONAME}")
set(CPACK_DEBIAN_SERVER_PACKAGE_CONTROL_EXTRA
    ${CMAKE_SOURCE_DIR}/cmake/debian/cleaved/conffiles
    ${CMAKE_SOURCE_DIR}/cmake/debian/cleaved/postinst
    ${CMAKE_SOURCE_DIR}/cmake/debian/cleaved/postrm
    ${CMAKE_SOURCE_DIR}/cmake/debian/cleaved/prerm)
set(CPACK_DEBIAN_LIBRARY_PACKAGE_CONTROL_EXTRA
    ${CMAKE_SOURCE_DIR}/cmake/debian/libcleave/triggers)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS_POLICY ">=")
# Its files are a link and an archive: what they need is said here.
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SHLIBDEPS OFF)
string(CONCAT CPACK_DEBIAN_DEVELOPMENT_PACKAGE_DEPENDS
  "${CPACK_DEBIAN_LIBRARY_PACKAGE_NAME} (= ${debian_version}), "
  "libcurl4-openssl-dev | libcurl-dev, libjansson-dev, libzstd-dev, "
  "libjpeg-dev")

set(CPACK_PRE_BUILD_SCRIPTS ${CMAKE_SOURCE_DIR}/cmake/debian/finish.cmake)
# For finish.cmake: cpack hands on what begins with CPACK_.
set(CPACK_CLEAVE_SOURCE ${CMAKE_SOURCE_DIR})
set(CPACK_CLEAVE_VERSION ${debian_version})
include(CPack)

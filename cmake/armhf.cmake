# Cross-compiles for 32-bit ARM (armhf) with Debian's compiler, against the
# unpacked packages in build/armhf-root, and runs under qemu-user.
# tests/cross/run makes that folder.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR armv7l)
set(CMAKE_C_COMPILER arm-linux-gnueabihf-gcc)

cmake_path(SET CMAKE_SYSROOT NORMALIZE
  "${CMAKE_CURRENT_LIST_DIR}/../build/armhf-root")
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(ENV{PKG_CONFIG_SYSROOT_DIR} "${CMAKE_SYSROOT}")
set(ENV{PKG_CONFIG_LIBDIR}
  "${CMAKE_SYSROOT}/usr/lib/arm-linux-gnueabihf/pkgconfig")

set(CMAKE_CROSSCOMPILING_EMULATOR qemu-arm -L "${CMAKE_SYSROOT}")

# Compiles against musl and links nothing but archives, which
# scripts/device-libraries puts into build/device-root.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR ${CMAKE_HOST_SYSTEM_PROCESSOR})
set(CMAKE_C_COMPILER musl-gcc)
set(CMAKE_C_COMPILER_AR gcc-ar) # which know objects of link-time optimisation
set(CMAKE_C_COMPILER_RANLIB gcc-ranlib)
set(CMAKE_EXE_LINKER_FLAGS_INIT -static)

cmake_path(SET root NORMALIZE "${CMAKE_CURRENT_LIST_DIR}/../build/device-root")
set(CMAKE_C_FLAGS_INIT "-isystem ${root}/include")
set(CMAKE_FIND_ROOT_PATH ${root})
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(ENV{PKG_CONFIG_LIBDIR} "${root}/lib/pkgconfig")
set(PKG_CONFIG_ARGN --static)

# Language, warnings, linker, compiler cache, sanitizers: all that holds for every target.

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "Release or Debug" FORCE)
endif()
set(ASHLAR_SANITIZE "" CACHE STRING "Sanitizers to build with, e.g. address,undefined")

# -g1: line numbers in back traces, at a tenth of the size of full debug information.
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -g1 -DNDEBUG")
set(CMAKE_CXX_FLAGS_DEBUG "-O0 -g")
if(ASHLAR_SANITIZE)
  # clang makes -O0 in less than half of the time of -O1; folders.cmake and kernels.cmake
  # optimise what is hot. Fuzzers run long.
  set(CMAKE_CXX_FLAGS_DEBUG "-O0 -g1")
  if(ASHLAR_FUZZ OR CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    set(CMAKE_CXX_FLAGS_DEBUG "-O1 -g1")
  endif()
endif()

# The same bits everywhere: no contraction of a*b+c that the source does not ask for.
add_compile_options(-ffp-contract=off -fno-math-errno)
# Messages and debug information name files by their path in the repository.
add_compile_options(-ffile-prefix-map=${CMAKE_SOURCE_DIR}/=)
include_directories(${CMAKE_SOURCE_DIR})

add_compile_options(-Wall -Wextra -Wconversion -Wshadow)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # GCC 12 warns about std::string's own operator+ (GCC bug 105651).
  add_compile_options(-Wno-restrict)
endif()

if(ASHLAR_SANITIZE)
  # Instrumented code draws warnings that the plain build, where each is an error, does not.
  add_compile_options(-w)
  add_compile_options(-fsanitize=${ASHLAR_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${ASHLAR_SANITIZE})
  if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")  # as GCC says it
    string(REGEX MATCH "address|thread" memory "${ASHLAR_SANITIZE}")
    string(TOUPPER "${memory}" memory)
    add_compile_definitions(__SANITIZE_${memory}__)
  endif()
else()
  add_compile_options(-Werror)
endif()

find_program(ASHLAR_LLD ld.lld)
find_program(ASHLAR_GOLD ld.gold)
if(ASHLAR_LLD)
  add_link_options(-fuse-ld=lld)
elseif(ASHLAR_GOLD)
  add_link_options(-fuse-ld=gold)
endif()
add_link_options(-Wl,--gc-sections -Wl,--as-needed)
add_compile_options(-ffunction-sections -fdata-sections)

# base_dir and the sloppiness let precompiled headers hit, and let build folders and clones share.
find_program(ASHLAR_CCACHE ccache)
if(ASHLAR_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER env CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} CCACHE_NOHASHDIR=1
      CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime ${ASHLAR_CCACHE})
endif()

# One static library ashlar_<folder> per folder of ashlar/, all sources below it globbed.

# One precompiled header for every library, one more (with GoogleTest) for the tests.
set(ASHLAR_PCH_HEADERS <algorithm> <array> <atomic> <chrono> <cmath> <cstdint> <cstring> <functional>
    <map> <memory> <mutex> <optional> <span> <string> <string_view> <thread> <unordered_map>
    <utility> <variant> <vector> <fmt/format.h>)
file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/generated/pch.cc CONTENT "// Carries a precompiled header.\n")
add_library(ashlar_pch OBJECT ${CMAKE_BINARY_DIR}/generated/pch.cc)
target_link_libraries(ashlar_pch PRIVATE fmt::fmt Threads::Threads)
target_precompile_headers(ashlar_pch PRIVATE ${ASHLAR_PCH_HEADERS})

# Sanitizer builds optimise what loops: these folders, and the kernels. With clang -O1 takes two to three
# times as long as -O0, and wants a precompiled header of its own.
set(ASHLAR_HOT_FOLDERS "")
if(ASHLAR_SANITIZE AND CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  set(ASHLAR_HOT_FOLDERS base tensor sim comm schedule runtime text)
  add_library(ashlar_hot_pch OBJECT ${CMAKE_BINARY_DIR}/generated/pch.cc)
  target_compile_options(ashlar_hot_pch PRIVATE -O1)
  target_link_libraries(ashlar_hot_pch PRIVATE fmt::fmt Threads::Threads)
  target_precompile_headers(ashlar_hot_pch PRIVATE ${ASHLAR_PCH_HEADERS})
endif()

# ashlar_third_party(folder targets...): what the folder's library links besides our own.
function(ashlar_third_party folder)
  set_property(GLOBAL APPEND PROPERTY ASHLAR_THIRD_PARTY_${folder} ${ARGN})
endfunction()

# ashlar_optional_source(folder found_variable real.cc stub.cc): keeps one of the two in the library.
function(ashlar_optional_source folder found real stub)
  if(${found})
    set(left_out ${stub})
  else()
    set(left_out ${real})
  endif()
  set_property(GLOBAL APPEND PROPERTY ASHLAR_LEFT_OUT_${folder} ${CMAKE_SOURCE_DIR}/ashlar/${folder}/${left_out})
endfunction()

function(ashlar_folder folder)
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/ashlar/${folder}/*.cc)
  list(FILTER sources EXCLUDE REGEX "(\\.kernel|/main|_main)\\.cc$|/cuda/")
  get_property(left_out GLOBAL PROPERTY ASHLAR_LEFT_OUT_${folder})
  if(left_out)
    list(REMOVE_ITEM sources ${left_out})
  endif()
  if(sources)
    add_library(ashlar_${folder} STATIC ${sources})
    if(folder IN_LIST ASHLAR_HOT_FOLDERS)
      target_compile_options(ashlar_${folder} PRIVATE -O1)
      target_precompile_headers(ashlar_${folder} REUSE_FROM ashlar_hot_pch)
    else()
      target_precompile_headers(ashlar_${folder} REUSE_FROM ashlar_pch)
    endif()
    ashlar_group(ashlar_${folder})
  else()
    add_library(ashlar_${folder} INTERFACE)
  endif()
endfunction()

function(ashlar_link_layers)
  foreach(folder IN LISTS ASHLAR_FOLDERS)
    get_target_property(type ashlar_${folder} TYPE)
    set(scope PUBLIC)
    if(type STREQUAL "INTERFACE_LIBRARY")
      set(scope INTERFACE)
    endif()
    list(TRANSFORM ASHLAR_LINKS_${folder} PREPEND ashlar_ OUTPUT_VARIABLE ours)
    get_property(others GLOBAL PROPERTY ASHLAR_THIRD_PARTY_${folder})
    target_link_libraries(ashlar_${folder} ${scope} ${ours} ${others})
  endforeach()
endfunction()

ashlar_third_party(base fmt::fmt spdlog::spdlog nlohmann_json::nlohmann_json PkgConfig::tomlplusplus Threads::Threads)

# Sanitizer builds with clang and those of CI, which are made from nothing, compile sources of one target together:
# most of the time of a source is its headers and their templates. Other builds compile each alone, so that they are
# quick after a change, and show what a source fails to include.

option(ASHLAR_GROUPED "Compile sources of one target together" OFF)

find_program(ASHLAR_PYTHON python3)

# Compiles the sources of `target` in the groups that tools/group_sources.py makes of them.
function(ashlar_group target)
  set(sanitized FALSE)
  if(ASHLAR_SANITIZE AND CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
    set(sanitized TRUE)
  endif()
  if(NOT ASHLAR_PYTHON OR NOT (ASHLAR_GROUPED OR sanitized))
    return()
  endif()
  get_target_property(sources ${target} SOURCES)
  list(FILTER sources EXCLUDE REGEX "^\\$<")
  execute_process(COMMAND ${ASHLAR_PYTHON} ${CMAKE_SOURCE_DIR}/tools/group_sources.py ${sources}
                  WORKING_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR}
                  OUTPUT_VARIABLE rows OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
  string(REPLACE "\n" ";" rows "${rows}")
  foreach(row IN LISTS rows)
    string(REGEX MATCH "^([0-9]+) (.*)$" matched "${row}")
    set_source_files_properties(${CMAKE_MATCH_2} PROPERTIES UNITY_GROUP ${CMAKE_MATCH_1})
  endforeach()
  set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_MODE GROUP)
endfunction()

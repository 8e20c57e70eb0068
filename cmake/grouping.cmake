# Sanitizer builds with clang, which CI makes from nothing, compile sources of one target together: most of the time
# of a source is its headers and their templates. The release build compiles each alone, so that it is
# quick after a change, and shows what a source fails to include.

find_program(ASHLAR_PYTHON python3)

# Compiles the sources of `target` in the groups that tools/group_sources.py makes of them.
function(ashlar_group target)
  if(NOT ASHLAR_SANITIZE OR NOT ASHLAR_PYTHON OR NOT CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
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

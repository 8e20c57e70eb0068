# version.cc, the one place that knows the version: PROJECT_VERSION and what git says of the checkout.
# Run as a script (cmake -P) it writes the file; included, it adds the rule that does so.

if(CMAKE_SCRIPT_MODE_FILE)
  execute_process(COMMAND git -C ${SOURCE} describe --always --dirty --exclude=*
                  OUTPUT_VARIABLE ASHLAR_REVISION OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  configure_file(${SOURCE}/cmake/version.cc.in ${OUTPUT} @ONLY)  # keeps the file if nothing changed
  return()
endif()

function(ashlar_version)
  set(output ${CMAKE_BINARY_DIR}/generated/version.cc)
  set(when "")  # a commit or a checkout touches this log
  if(EXISTS ${CMAKE_SOURCE_DIR}/.git/logs/HEAD)
    set(when ${CMAKE_SOURCE_DIR}/.git/logs/HEAD)
  endif()
  add_custom_command(
    OUTPUT ${output}
    COMMAND ${CMAKE_COMMAND} -DSOURCE=${CMAKE_SOURCE_DIR} -DOUTPUT=${output}
            -DASHLAR_VERSION=${PROJECT_VERSION} -P ${CMAKE_SOURCE_DIR}/cmake/version.cmake
    DEPENDS ${when} ${CMAKE_SOURCE_DIR}/cmake/version.cc.in ${CMAKE_SOURCE_DIR}/cmake/version.cmake
    VERBATIM)
  add_library(ashlar_version STATIC ${output})
  target_link_libraries(ashlar_base PUBLIC ashlar_version)
endfunction()

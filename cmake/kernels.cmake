# Every ashlar/kernels/**/*.kernel.cc is compiled once per ISA tier, into the namespace of the tier;
# ashlar/kernels/amx only for tier amx, which has the other kernels of avx512.
# tools/check_symbols.sh proves that a tier's objects export nothing else.

set(avx2 -mavx2 -mfma -mf16c -mbmi2)
set(avx512 ${avx2} -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512vnni -mprefer-vector-width=512)
set(ASHLAR_TIER_FLAGS_scalar "")
set(ASHLAR_TIER_FLAGS_avx2 ${avx2})
set(ASHLAR_TIER_FLAGS_avx512_on_avx2 ${avx2} -DASHLAR_AVX512_ON_AVX2)
set(ASHLAR_TIER_FLAGS_avx512 ${avx512})
set(ASHLAR_TIER_FLAGS_avx512bf16 ${avx512} -mavx512bf16)
set(ASHLAR_TIER_FLAGS_amx ${avx512} -mamx-tile -mamx-bf16)
unset(avx2)
unset(avx512)

if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64)$")
  set(ASHLAR_TIERS scalar avx2 avx512_on_avx2 avx512 avx512bf16 amx)
else()
  set(ASHLAR_TIERS scalar)
endif()

function(ashlar_kernel_tiers)
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/ashlar/kernels/*.kernel.cc)
  add_custom_target(kernel_tiers)  # what tools/check_symbols.sh looks at
  if(NOT sources)
    return()
  endif()
  set(amx_sources ${sources})
  list(FILTER amx_sources INCLUDE REGEX "/kernels/amx/")
  list(FILTER sources EXCLUDE REGEX "/kernels/amx/")
  foreach(tier IN LISTS ASHLAR_TIERS)
    if(tier STREQUAL "amx")
      set(sources ${amx_sources})
    endif()
    add_library(ashlar_kernels_${tier} OBJECT ${sources})
    target_compile_definitions(ashlar_kernels_${tier} PRIVATE ASHLAR_TIER_NAMESPACE=${tier})
    target_compile_options(ashlar_kernels_${tier} PRIVATE ${ASHLAR_TIER_FLAGS_${tier}})
    if(CMAKE_BUILD_TYPE STREQUAL "Release")
      if(tier STREQUAL "scalar" AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
        # -O3 unrolls its loops over lanes, ten times as long to compile.
        target_compile_options(ashlar_kernels_${tier} PRIVATE -O2 -ftree-vectorize -fvect-cost-model=dynamic)
      else()
        target_compile_options(ashlar_kernels_${tier} PRIVATE -O3)
      endif()
    endif()
    if(ASHLAR_SANITIZE AND CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
      # Unrolled loops full of checks take minutes to compile. What the three left out would find, a bad
      # address, the address sanitizer finds where it is used.
      target_compile_options(ashlar_kernels_${tier} PRIVATE
        -O1 -fno-unroll-loops -fno-sanitize=null,object-size,pointer-overflow)
    endif()
    if(ASHLAR_SANITIZE AND tier STREQUAL "avx512_on_avx2")
      # For comparisons of bits only: the branches of avx512 on the registers of avx2, which both stay.
      target_compile_options(ashlar_kernels_${tier} PRIVATE -fno-sanitize=all)
    endif()
    target_link_libraries(ashlar_kernels_${tier} PRIVATE fmt::fmt)
    add_dependencies(kernel_tiers ashlar_kernels_${tier})
    target_sources(ashlar_kernels PRIVATE $<TARGET_OBJECTS:ashlar_kernels_${tier}>)
  endforeach()
endfunction()

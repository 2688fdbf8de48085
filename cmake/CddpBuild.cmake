# Flags that every target of the project is built with.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_INSTALL_RPATH_USE_LINK_PATH ON)  # libtorch may lie anywhere
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release)
endif()

find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  # Precompiled headers are cached only with these settings.
  set(CMAKE_CXX_COMPILER_LAUNCHER
      ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
      ${CCACHE_PROGRAM})
endif()

add_library(cddp_flags INTERFACE)
target_include_directories(cddp_flags INTERFACE
  $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include> $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}>
  $<INSTALL_INTERFACE:include/compressed_ddp>)
target_compile_features(cddp_flags INTERFACE cxx_std_20)
# Replicas are bit-identical only when no target contracts a*b+c (design law 4).
target_compile_options(cddp_flags INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-ffp-contract=off>)
# What follows is not for who uses the library.
if(NOT PROJECT_IS_TOP_LEVEL)
  return()
endif()
target_compile_options(cddp_flags INTERFACE
  $<BUILD_INTERFACE:$<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Werror
    # Members left out of a designated initialiser have defaults.
    -Wno-missing-field-initializers>>)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # False alarms of GCC 12 inside libstdc++ at -O3.
  target_compile_options(cddp_flags INTERFACE
    $<BUILD_INTERFACE:$<$<COMPILE_LANGUAGE:CXX>:-Wno-restrict -Wno-maybe-uninitialized
      -Wno-stringop-overflow>>)
endif()
if(CDDP_SANITIZE)
  target_compile_options(cddp_flags INTERFACE -fsanitize=${CDDP_SANITIZE} -fno-omit-frame-pointer)
  target_compile_definitions(cddp_flags INTERFACE _GLIBCXX_ASSERTIONS)
  target_link_options(cddp_flags INTERFACE -fsanitize=${CDDP_SANITIZE})
endif()
if(CDDP_FUZZ)
  target_compile_options(cddp_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()
if(CDDP_COVERAGE)
  target_compile_options(cddp_flags INTERFACE --coverage -O0 -g)
  target_link_options(cddp_flags INTERFACE --coverage)
endif()

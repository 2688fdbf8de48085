# libtorch and what its distributed headers need, as the target cddp_torch.
if(CDDP_TORCH_FROM STREQUAL "python")
  find_package(Python3 REQUIRED COMPONENTS Interpreter)
  execute_process(
    COMMAND ${Python3_EXECUTABLE} -c "import torch; print(torch.utils.cmake_prefix_path)"
    OUTPUT_VARIABLE CDDP_TORCH_PREFIX OUTPUT_STRIP_TRAILING_WHITESPACE
    RESULT_VARIABLE CDDP_TORCH_RESULT)
  if(NOT CDDP_TORCH_RESULT EQUAL 0)
    message(FATAL_ERROR "CDDP_TORCH_FROM=python, but ${Python3_EXECUTABLE} cannot import torch")
  endif()
  find_package(Torch REQUIRED PATHS ${CDDP_TORCH_PREFIX} NO_DEFAULT_PATH)
elseif(CDDP_TORCH_FROM STREQUAL "system")
  find_package(Torch REQUIRED)
else()
  message(FATAL_ERROR "CDDP_TORCH_FROM is system or python, not ${CDDP_TORCH_FROM}")
endif()
message(STATUS "libtorch ${Torch_VERSION}: ${TORCH_INSTALL_PREFIX}")

# TorchConfig sets -std and the ABI flag in CMAKE_CXX_FLAGS style strings.
add_library(cddp_torch INTERFACE)
target_include_directories(cddp_torch SYSTEM INTERFACE ${TORCH_INCLUDE_DIRS})
target_link_libraries(cddp_torch INTERFACE ${TORCH_LIBRARIES} Threads::Threads)
separate_arguments(CDDP_TORCH_FLAGS UNIX_COMMAND "${TORCH_CXX_FLAGS}")
target_compile_options(cddp_torch INTERFACE ${CDDP_TORCH_FLAGS})

# ProcessGroupGloo.hpp includes Gloo's headers.
if(CDDP_TORCH_FROM STREQUAL "python")
  # The wheel's own, for libtorch_cpu holds a Gloo of that version: the headers or
  # the library of the system's beside it would be another one.
  find_path(GLOO_INCLUDE_DIR gloo/config.h PATHS ${TORCH_INCLUDE_DIRS} NO_DEFAULT_PATH)
  if(NOT GLOO_INCLUDE_DIR)
    message(FATAL_ERROR "CDDP_TORCH_FROM=python: this PyTorch comes without Gloo's headers "
                        "(gloo/config.h is not below ${TORCH_INCLUDE_DIRS})")
  endif()
else()
  find_path(GLOO_INCLUDE_DIR gloo/config.h HINTS ${TORCH_INCLUDE_DIRS} REQUIRED)
  find_library(GLOO_LIBRARY NAMES gloo libgloo.so.0 HINTS ${TORCH_INSTALL_PREFIX}/lib)
  if(GLOO_LIBRARY)
    target_link_libraries(cddp_torch INTERFACE ${GLOO_LIBRARY})
  endif()
endif()
target_include_directories(cddp_torch SYSTEM INTERFACE ${GLOO_INCLUDE_DIR})

find_path(CDDP_AUTOGRAD_CONTEXT torch/csrc/distributed/autograd/context/context.h
          HINTS ${TORCH_INCLUDE_DIRS})
if(NOT CDDP_AUTOGRAD_CONTEXT)
  target_include_directories(cddp_torch SYSTEM INTERFACE ${CMAKE_SOURCE_DIR}/ddp/torch_1_13)
endif()

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
  # Its configuration looks for its own parts where CMake looks for anything: without this
  # it takes those of the system's libtorch where there is one, too.
  cmake_path(SET CDDP_TORCH_ROOT NORMALIZE "${CDDP_TORCH_PREFIX}/../..")
  set(CMAKE_PREFIX_PATH ${CDDP_TORCH_ROOT} ${CMAKE_PREFIX_PATH})
  # With CUDA it tries out for which GPUs to build; here nvcc sees nothing of torch.
  if(NOT DEFINED TORCH_CUDA_ARCH_LIST)
    set(TORCH_CUDA_ARCH_LIST 9.0)
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
foreach(folder IN LISTS TORCH_INCLUDE_DIRS)
  target_include_directories(cddp_torch SYSTEM INTERFACE $<BUILD_INTERFACE:${folder}>)
endforeach()
# A wheel's libtorch exports a std::filesystem of its own, from the compiler that it was built
# with. Two crashes where folders are removed are put down to it. Behind libstdc++ nothing
# of ours is bound to it.
target_link_libraries(cddp_torch
  INTERFACE -Wl,--push-state,--no-as-needed -lstdc++ -Wl,--pop-state)
target_link_libraries(cddp_torch INTERFACE ${TORCH_LIBRARIES} Threads::Threads)
separate_arguments(CDDP_TORCH_FLAGS UNIX_COMMAND "${TORCH_CXX_FLAGS}")
target_compile_options(cddp_torch INTERFACE ${CDDP_TORCH_FLAGS})

# A wheel has headers of fmt, of another version than the library that is linked here.
get_target_property(CDDP_FMT_INCLUDE_DIR fmt::fmt INTERFACE_INCLUDE_DIRECTORIES)
if(EXISTS ${TORCH_INSTALL_PREFIX}/include/fmt)
  set(include_first ${PROJECT_BINARY_DIR}/include_first)
  file(MAKE_DIRECTORY ${include_first})
  file(CREATE_LINK ${CDDP_FMT_INCLUDE_DIR}/fmt ${include_first}/fmt SYMBOLIC)
  target_include_directories(cddp_torch BEFORE INTERFACE $<BUILD_INTERFACE:${include_first}>)
endif()

# Where libtorch has NCCL, its header: the wheel's, next to it, or CUDA's.
set(CDDP_NCCL_INCLUDE_DIR "")
if(CDDP_CUDA AND EXISTS ${TORCH_INSTALL_PREFIX}/lib/libtorch_cuda.so)
  find_path(CDDP_NCCL_HEADER nccl.h NO_CACHE
            HINTS ${TORCH_INSTALL_PREFIX}/../nvidia/nccl/include ${CUDAToolkit_INCLUDE_DIRS})
  if(CDDP_NCCL_HEADER)
    set(CDDP_NCCL_INCLUDE_DIR ${CDDP_NCCL_HEADER})
  endif()
endif()

# Headers of ours that stand in for what a libtorch lacks.
function(cddp_torch_lacks folder)
  target_include_directories(cddp_torch SYSTEM INTERFACE
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/ddp/${folder}>
    $<INSTALL_INTERFACE:include/compressed_ddp/${folder}>)
endfunction()

# ProcessGroupGloo.hpp includes Gloo's headers.
if(CDDP_TORCH_FROM STREQUAL "python")
  # The wheel's libtorch_cpu holds a Gloo: the headers or the library of the system's
  # would be of another version. That of PyTorch 2.11 ships none.
  find_path(CDDP_WHEELS_GLOO gloo/config.h PATHS ${TORCH_INCLUDE_DIRS} NO_DEFAULT_PATH)
  if(CDDP_WHEELS_GLOO)
    target_include_directories(cddp_torch SYSTEM INTERFACE $<BUILD_INTERFACE:${CDDP_WHEELS_GLOO}>)
  else()
    cddp_torch_lacks(gloo_stand_in)
  endif()
else()
  find_path(GLOO_INCLUDE_DIR gloo/config.h HINTS ${TORCH_INCLUDE_DIRS} REQUIRED)
  target_include_directories(cddp_torch SYSTEM INTERFACE ${GLOO_INCLUDE_DIR})
  find_library(GLOO_LIBRARY NAMES gloo libgloo.so.0 HINTS ${TORCH_INSTALL_PREFIX}/lib)
  if(GLOO_LIBRARY)
    target_link_libraries(cddp_torch INTERFACE ${GLOO_LIBRARY})
  endif()
endif()

find_path(CDDP_AUTOGRAD_CONTEXT torch/csrc/distributed/autograd/context/context.h
          HINTS ${TORCH_INCLUDE_DIRS})
if(NOT CDDP_AUTOGRAD_CONTEXT)
  cddp_torch_lacks(torch_1_13)
endif()

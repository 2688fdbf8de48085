// Kernels that begin while the one before them on the stream ends (programmatic dependent
// launches, compute capability 9.0 and later): what a launch costs is hidden, and so is what a
// kernel does before it needs the other's results. Elsewhere they follow each other as usual.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

namespace cddp::cuda {

// The next kernel may begin once all blocks of this one have called it, or have ended.
__device__ inline void LetNextBegin() {
#if __CUDA_ARCH__ >= 900
  cudaTriggerProgrammaticLaunchCompletion();
#endif
}

// Returns when the kernel before has ended, and what it wrote can be read. A kernel that is
// launched overlapping calls it in all threads, whatever they do: the one behind relies on this
// one's end being that of all before.
__device__ inline void WaitForPrevious() {
#if __CUDA_ARCH__ >= 900
  cudaGridDependencySynchronize();
#endif
}

// Whether this kernel's machine code, and so that of its library, was built for 9.0 or later:
// what was built for earlier ones, and runs there too, has neither of the two above.
template <typename Arguments>
bool CanOverlap(void (*kernel)(Arguments)) {
  constexpr int kLeast = 90;
  cudaFuncAttributes attributes;
  return cudaFuncGetAttributes(&attributes, kernel) == cudaSuccess &&
         attributes.ptxVersion >= kLeast;
}

// Errors are for cudaGetLastError. `overlapping`: only where CanOverlap.
template <typename Arguments>
void Launch(void (*kernel)(Arguments), dim3 blocks, int threads, bool overlapping,
            cudaStream_t stream, const Arguments& arguments) {
  cudaLaunchAttribute attribute{};
  attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attribute.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = blocks;
  config.blockDim = dim3(static_cast<unsigned>(threads));
  config.stream = stream;
  config.attrs = &attribute;
  config.numAttrs = overlapping ? 1 : 0;
  cudaLaunchKernelEx(&config, kernel, arguments);
}

}  // namespace cddp::cuda
